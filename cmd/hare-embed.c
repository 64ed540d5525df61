#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/file.h"
#include "base/opt.h"
#include "base/thread.h"
#include "embed/embed.h"
#include "filter.h"
#include "mat/mat.h"
#include "model/model.h"
#include "net/net.h"
#include "record/record.h"

enum { BATCH = 1024, FIT_BATCH = 256, ROWS = 16 };      /* rows that are worked on together, and by one task */

static const char *columns;             /* -c, both verbs */

/* -- the text of a row: a column, or several joined by line ends -- */

struct texts {
	int *column;
	size_t n_column;
	struct buf *joined;             /* [BATCH] */
	struct span *at;                /* [BATCH] */
};

static int
texts_open(struct texts *t, struct record_in *in, struct fault *f)
{
	const char *list = columns ? columns : record_column_name("text");
	size_t n_cap = 0;

	*t = (struct texts){0};
	for (;;) {
		size_t n = strcspn(columns ? list : "", ",");
		char *name = columns ? xstrndup(list, n) : xstrdup(list);

		t->column = xgrow(t->column, &n_cap, t->n_column + 1, sizeof *t->column);
		t->column[t->n_column] = record_need_name(in, name, f);
		free(name);
		if (t->column[t->n_column++] < 0)
			return -1;
		if (!columns || list[n] == '\0')
			break;
		list += n + 1;
	}
	t->joined = xcalloc(BATCH, sizeof *t->joined);
	t->at = xcalloc(BATCH, sizeof *t->at);
	return 0;
}

static void
texts_close(struct texts *t)
{
	for (size_t i = 0; t->joined && i < BATCH; i++)
		buf_free(&t->joined[i]);
	free(t->joined);
	free(t->at);
	free(t->column);
}

/* at[0..n) of a batch, until the next. */
static void
texts_read(struct texts *t, const struct record_in *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (t->n_column == 1) {
			t->at[i] = record_cell(in, i, t->column[0]);
			continue;
		}
		buf_clear(&t->joined[i]);
		for (size_t c = 0; c < t->n_column; c++) {
			struct span cell = record_cell(in, i, t->column[c]);

			if (c)
				buf_putc(&t->joined[i], '\n');
			buf_put(&t->joined[i], cell.at, cell.n);
		}
		t->at[i] = buf_span(&t->joined[i]);
	}
}

/* -- fit -- */

static const char *fit_path, *fit_vectors;
static size_t fit_dim, fit_cluster, fit_terms = EMBED_TERMS, fit_min_df;
static double fit_max_df = NAN;         /* unless given, what suits the number of texts */
static uint64_t fit_seed;
static int fit_no_bigrams;
static const char *fit_stop = "english";
static double fit_idf_power = NAN, fit_pair_weight = .5, fit_query_share = .8, fit_query_var = .1, fit_query_least = .25;

static const struct opt fit_opts[] = {
	{ 'o', "output", OPT_FILE, &fit_path, "MODEL", "the file to write", NULL, NULL },
	{ 'c', "columns", OPT_STRING, &columns, "NAMES", "columns of text, split by commas; default: text", NULL, NULL },
	{ 'd', "dim", OPT_SIZE, &fit_dim, "N", "numbers in a vector, or fewer if the texts do not bear them; "
	    "default: 2 sqrt(texts), 16 to 128", NULL, NULL },
	{ 0, "clusters", OPT_SIZE, &fit_cluster, "N", "clusters of the codebook; default: an eighth of the texts, at most 64", NULL, NULL },
	{ 0, "seed", OPT_U64, &fit_seed, "N", "of all that is drawn", NULL, NULL },
	{ 0, "terms", OPT_SIZE, &fit_terms, "N", "words and pairs of words that are kept, the most frequent", NULL, NULL },
	{ 0, "min-df", OPT_SIZE, &fit_min_df, "N", "texts that a term must be in; default: 2, but of fewer than 10,000 texts a word needs one", NULL,
	    NULL },
	{ 0, "max-df", OPT_REAL, &fit_max_df, "SHARE", "share of the texts that a term may be in; default: 0.5, or 1 of fewer than 50 texts", NULL, NULL },
	{ 0, "stop-words", OPT_CHOICE, &fit_stop, "LIST", "words of requests and grammar that make no terms", "english none", NULL },
	{ 0, "idf-power", OPT_REAL, &fit_idf_power, "P", "a term weighs (1 + log tf) idf^P; default: 1 up to 300 texts, 2 from 10,000 on", NULL,
	    NULL },
	{ 0, "pair-weight", OPT_REAL, &fit_pair_weight, "W", "and a pair of words times W", NULL, NULL },
	{ 0, "query-share", OPT_REAL, &fit_query_share, "W", "part of a query's logit that foretells rewards where queries count in full", NULL, NULL },
	{ 0, "query-var", OPT_REAL, &fit_query_var, "V", "how far users differ in what their queries say", NULL, NULL },
	{ 0, "query-least", OPT_REAL, &fit_query_least, "P", "part of a query that counts at least; 0: what it says and tastes are learnt together", NULL, NULL },
	{ 0, "no-bigrams", OPT_FLAG, &fit_no_bigrams, NULL, "words only, no pairs", NULL, NULL },
	{ 0, "vectors", OPT_FILE, &fit_vectors, "FILE", "word vectors: GloVe text, word2vec text or binary, gzipped or not", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)net_embedding_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

static int
fit(struct record_in *in, struct net *net, struct embed_report *report, struct fault *f)
{
	struct embed_options o = { .dim = fit_dim, .n_cluster = fit_cluster, .n_term_max = fit_terms, .min_df = fit_min_df,
		.max_df = isnan(fit_max_df) ? 0 : fit_max_df, .bigrams = !fit_no_bigrams,
		.stop_words = strcmp(fit_stop, "none") != 0, .idf_power = isnan(fit_idf_power) ? -1 : fit_idf_power,
		.pair_weight = fit_pair_weight, .query_share = fit_query_share, .query_var = fit_query_var, .query_least = fit_query_least, .seed = fit_seed, .n_thread = record_options.n_thread,
		.vectors = fit_vectors, .net = net, .url = net_options.url };
	struct embed_fit *work = embed_fit_new(&o);
	struct texts texts;
	ptrdiff_t n = texts_open(&texts, in, f);

	if (n == 0) {
		while ((n = record_batch(in, FIT_BATCH, f)) > 0) {
			texts_read(&texts, in, (size_t)n);
			if (embed_fit_add(work, texts.at, (size_t)n, f) < 0) {
				n = -1;
				break;
			}
		}
	}
	if (n == 0)
		n = embed_fit_write(work, fit_path, report, f);
	texts_close(&texts);
	embed_fit_free(work);
	return (int)n;
}

static int
run_fit(const struct opt_program *p, int n_operand, char **operand)
{
	struct embed_report report;
	struct fault f;
	struct net *net = NULL;
	struct record_in *in = NULL;
	int done = -1;

#ifdef __GLIBC__
	/* Large arrays come and go; each is to give its memory back at once. By default the allocator ceases to do so
	   when the first of them has gone. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
	if (!fit_path)
		opt_usage(p, "-o MODEL is missing");
	if (fit_terms == 0)
		opt_usage(p, "--terms: expected 1 or more, got 0");
	if (fit_max_df <= 0 || fit_max_df > 1)
		opt_usage(p, "--max-df: expected a share above 0, at most 1, got %g", fit_max_df);
	if (fit_idf_power < 0)
		opt_usage(p, "--idf-power: expected 0 or more, got %g", fit_idf_power);
	if (fit_pair_weight <= 0)
		opt_usage(p, "--pair-weight: expected more than 0, got %g (--no-bigrams leaves pairs out)", fit_pair_weight);
	if (!(fit_query_least >= 0 && fit_query_least <= 1))
		opt_usage(p, "--query-least: expected 0 to 1, got %g", fit_query_least);
	if (fit_query_share < 0 || fit_query_var < 0)
		opt_usage(p, "--query-share, --query-var: expected 0 or more, got %g", fit_query_share < 0 ? fit_query_share : fit_query_var);
	if (fit_vectors && net_options.url)
		opt_usage(p, "--vectors and --endpoint: vectors come from one of them");
	/* Texts read and a server asked, and then no place for the MODEL: that is told before. */
	if (mat_check(&f) < 0 || file_out_check(fit_path, &f) < 0 || !(in = record_open(n_operand, operand, &f)) ||
	    (net_options.url && !(net = net_open(&net_options, &f))))
		return filter_finish(in, NULL, f.status, &f);
	done = fit(in, net, &report, &f);
	if (done == 0 && report.n_empty > 0 && !record_options.quiet)
		warnx("%zu of %zu texts have no known word (zero vector)", report.n_empty, report.n_text);
	if (done == 0 && record_options.verbose) {
		warnx("%zu texts, %zu terms, %zu numbers in a vector, %zu clusters", report.n_text, report.n_term, report.dim,
		    report.n_cluster);
		if (!isnan(report.share))
			warnx("the vectors keep %.1f %% of the variance", 100 * report.share);
	}
	net_close(net);
	return filter_finish(in, NULL, done < 0 ? f.status : EX_OK, &f);
}

/* -- apply -- */

static const char *model_path, *x_name, *npy_path, *as = "query";

static const struct opt apply_opts[] = {
	{ 'm', "model", OPT_FILE, &model_path, "MODEL", "made by hare-embed fit", NULL, "HARE_MODEL" },
	{ 'c', "columns", OPT_STRING, &columns, "NAMES", "columns of text, split by commas; default: text", NULL, NULL },
	{ 'o', "output", OPT_STRING, &x_name, "NAME", "column for the vector; default: x", NULL, NULL },
	{ 0, "as", OPT_CHOICE, &as, "WHAT", "what the texts are, to a MODEL of hare-train", "query item", NULL },
	{ 0, "npy", OPT_FILE, &npy_path, "FILE", "write the vectors to an NPY file as well", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)net_embedding_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct apply {
	const struct model *model;
	struct embed *embed;
	struct net *net;                /* for a model of that kind */
	struct embed_scratch **scratch; /* [n_thread], made when first needed */
	struct texts texts;
	struct record_out *out;
	struct npy_writer *npy;
	float *x;                       /* [BATCH][dim] */
	size_t n, n_text, n_zero;       /* n: of the batch */
	size_t *known;                  /* [BATCH] */
	struct record_row *row;         /* [BATCH] */
};

static void
apply_rows(void *arg, size_t i, size_t worker)
{
	struct apply *a = arg;
	size_t dim = a->model->dim, to = (i + 1) * ROWS < a->n ? (i + 1) * ROWS : a->n;

	if (!a->net && !a->scratch[worker])
		a->scratch[worker] = embed_scratch_new(a->embed);
	for (size_t j = i * ROWS; j < to; j++) {
		float *x = a->x + j * dim;

		if (a->net)
			a->known[j] = mat_norm(x, dim) > 0;
		else
			a->known[j] = embed_text(a->embed, a->scratch[worker], a->texts.at[j].at, a->texts.at[j].n, x);
		record_row_begin(&a->row[j], a->out);
		record_put_vector(&a->row[j], x, dim);
	}
}

static int
apply_batch(struct apply *a, struct record_in *in, size_t n, struct fault *f)
{
	a->n = n;
	texts_read(&a->texts, in, n);
	if (a->net && embed_remote(a->embed, a->net, a->texts.at, n, a->x, f) < 0)
		return -1;
	thread_for(record_options.n_thread, (n + ROWS - 1) / ROWS, apply_rows, a);
	if (a->npy && npy_put(a->npy, a->x, n, f) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (record_emit(a->out, in, i, &a->row[i], f) < 0)
			return -1;
		a->n_zero += a->known[i] == 0;
	}
	a->n_text += n;
	return 0;
}

static int
apply_open(struct apply *a, struct record_in *in, struct fault *f)
{
	const char *name = x_name ? x_name : record_column_name("x");

	if (!(a->embed = embed_open(a->model, f)))
		return -1;
	embed_set_as(a->embed, strcmp(as, "item") == 0 ? EMBED_ITEM : EMBED_QUERY);
	if (embed_is_remote(a->embed)) {
		if (net_options.model && strcmp(net_options.model, embed_remote_model(a->embed)) != 0)
			return fault(f, EX_DATAERR, "%s: was fitted with the server's model %s, asked is %s", model_path,
			    embed_remote_model(a->embed), net_options.model);
		net_options.model = embed_remote_model(a->embed);
		if (!net_options.url)
			net_options.url = embed_remote_url(a->embed);
		if (!(a->net = net_open(&net_options, f)))
			return -1;
	} else if (net_options.url) {
		return fault(f, EX_DATAERR, "%s: makes its vectors itself (%s), not by a server", model_path, a->model->source);
	}
	if (texts_open(&a->texts, in, f) < 0 || !(a->out = record_out_open(in, NULL, &name, 1, f)))
		return -1;
	if (npy_path && !(a->npy = npy_create(npy_path, a->model->dim, f)))
		return -1;
	a->scratch = xcalloc(record_options.n_thread, sizeof *a->scratch);
	a->x = xaligned(BATCH * a->model->dim, sizeof *a->x);
	a->known = xcalloc(BATCH, sizeof *a->known);
	a->row = xcalloc(BATCH, sizeof *a->row);
	return 0;
}

static void
apply_close(struct apply *a)
{
	for (size_t i = 0; a->scratch && i < record_options.n_thread; i++)
		embed_scratch_free(a->scratch[i]);
	free(a->scratch);
	for (size_t i = 0; a->row && i < BATCH; i++)
		record_row_free(&a->row[i]);
	free(a->row);
	free(a->known);
	free(a->x);
	texts_close(&a->texts);
	npy_abort(a->npy);
	net_close(a->net);
	embed_close(a->embed);
}

static int
run_apply(const struct opt_program *p, int n_operand, char **operand)
{
	struct apply a = {0};
	struct fault f;
	struct model *model = NULL;
	struct record_in *in = NULL;
	ptrdiff_t n = -1;

	if (!model_path)
		opt_usage(p, "-m MODEL is missing");
	if (mat_check(&f) < 0 || !(model = model_open(model_path, &f)) || !(in = record_open(n_operand, operand, &f)))
		goto end;
	a.model = model;
	if (apply_open(&a, in, &f) < 0)
		goto end;
	/* One request's worth at a time where each text is sent away. */
	while ((n = record_batch(in, a.net ? EMBED_SERVER_BATCH : BATCH, &f)) > 0) {
		if (apply_batch(&a, in, (size_t)n, &f) < 0 || (record_would_block(in) && record_flush(a.out, &f) < 0)) {
			n = -1;
			break;
		}
	}
	if (n == 0 && a.npy) {
		n = npy_commit(a.npy, &f);
		a.npy = NULL;
	}
	if (a.n_zero > 0 && !record_options.quiet)
		warnx("%zu of %zu texts have no known word (zero vector)", a.n_zero, a.n_text);
end:
	n = filter_finish(in, a.out, n < 0 ? f.status : EX_OK, &f);
	apply_close(&a);
	model_close(model);
	return (int)n;
}

static const struct opt_program program_fit = {
	.name = "fit",
	.summary = "learn an embedding from texts",
	.usage = "[-qv] -o MODEL [-c NAMES] [-d N] [--clusters N] [--seed N] [--terms N]\n"
	    "[--vectors FILE | --endpoint URL] [file ...]",
	.opts = fit_opts,
	.examples = "hare-embed fit -o skills.model -c title,description < skills.csv\n"
	    "hare-embed fit -o skills.model --vectors glove.6B.100d.txt.gz -c description skills.csv\n",
	.run = run_fit,
};
static const struct opt_program *const verbs[] = { &program_fit, NULL };
static const struct opt_program program = {
	.name = "hare-embed",
	.summary = "text to vector",
	.usage = "[-qTJu] -m MODEL [-c NAMES] [-o NAME] [--npy FILE] [--vec text|b64] [file ...]",
	.opts = apply_opts,
	.examples = "hare-embed -m skills.model -c title,description < skills.csv | hare-pool build -m skills.model -o skills.pool\n"
	    "printf 'query\\nhow do I test this?\\n' | hare-embed -m skills.model -c query\n",
	.run = run_apply,
	.verbs = verbs,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
