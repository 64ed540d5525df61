#include "embed/embed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/hash.h"
#include "base/thread.h"
#include "embed/codebook.h"
#include "embed/corpus.h"
#include "embed/remote.h"
#include "embed/svd.h"
#include "embed/vectors.h"
#include "mat/mat.h"

/* Vectors of the texts are made BLOCK at a time, ROWS of them a task. */
enum { BLOCK = 1024, ROWS = 64, CLUSTERS_MAX = 64, TEXTS_PER_CLUSTER = 8 };
static const double sif_a = 1e-3;       /* Arora et al. 2017, section 4.1 */

struct embed_fit {
	struct embed_options o;
	struct corpus corpus;
	size_t n_text, n_empty;
	/* what makes vectors; terms sorted by their bytes */
	size_t dim;
	struct terms terms;
	struct sparse a;                /* texts by terms; column_scale are the terms' weights */
	float *component;               /* [n_term][dim] */
	float *common;                  /* [dim], for word vectors */
	double share;
	struct codebook book;
};

struct embed_fit *
embed_fit_new(const struct embed_options *o)
{
	struct embed_fit *fit = xcalloc(1, sizeof *fit);

	fit->o = *o;
	if (fit->o.n_thread == 0)
		fit->o.n_thread = thread_count();
	fit->share = NAN;
	corpus_init(&fit->corpus);
	return fit;
}

void
embed_fit_free(struct embed_fit *fit)
{
	if (!fit)
		return;
	corpus_free(&fit->corpus);
	terms_free(&fit->terms);
	sparse_free(&fit->a);
	codebook_free(&fit->book);
	free(fit->component);
	free(fit->common);
	free(fit);
}

/* Words and counts have done their work when the matrix is there. They were many small pieces, which the allocator
   would keep, and the largest arrays are still to come. */
static void
drop_corpus(struct embed_fit *fit)
{
	corpus_free(&fit->corpus);
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

static size_t
n_cluster_of(const struct embed_fit *fit)
{
	size_t n = fit->n_text / TEXTS_PER_CLUSTER;

	if (fit->o.n_cluster)
		return fit->o.n_cluster;
	return n < 1 ? 1 : n > CLUSTERS_MAX ? CLUSTERS_MAX : n;
}

static void
book_add(struct embed_fit *fit, const float *x)
{
	int zero = 1;

	for (size_t i = 0; i < fit->dim && zero; i++)
		zero = x[i] == 0;
	fit->n_empty += (size_t)zero;
	codebook_add(&fit->book, x);
}

static int
add_remote(struct embed_fit *fit, const struct span *text, size_t n, struct fault *f)
{
	for (size_t i = 0; i < n; i += EMBED_SERVER_BATCH) {
		size_t m = n - i < EMBED_SERVER_BATCH ? n - i : EMBED_SERVER_BATCH;
		float *x;

		if (remote_vectors(fit->o.net, text + i, m, &fit->dim, &x, f) < 0)
			return -1;
		if (fit->o.dim && fit->dim && fit->dim != fit->o.dim) {
			free(x);
			return fault(f, EX_DATAERR, "the server's vectors have %zu numbers, asked for were %zu", fit->dim, fit->o.dim);
		}
		/* Blank texts before the first vector could not be counted in a mean of unknown length. */
		if (x && fit->book.dim == 0) {
			codebook_init(&fit->book, fit->dim, fit->o.n_cluster ? fit->o.n_cluster : CLUSTERS_MAX, fit->o.seed);
			fit->book.n_seen = fit->n_empty;
		}
		for (size_t j = 0; j < m; j++)
			if (x)
				book_add(fit, x + j * fit->dim);
			else
				fit->n_empty++;
		free(x);
	}
	return 0;
}

int
embed_fit_add(struct embed_fit *fit, const struct span *text, size_t n, struct fault *f)
{
	fit->n_text += n;
	if (fit->o.net)
		return add_remote(fit, text, n, f);
	return corpus_add(&fit->corpus, text, n, fit->o.n_thread, f);
}

/* -- vectors of the texts, once the components are there -- */

struct block {
	struct embed_fit *fit;
	size_t first, n;
	int finished;                   /* unit vectors; else the bare products */
	float *x;                       /* [n][dim] */
};

static void
make_rows(void *arg, size_t i, size_t worker)
{
	struct block *b = arg;
	struct embed_fit *fit = b->fit;
	size_t to = (i + 1) * ROWS < b->n ? (i + 1) * ROWS : b->n;

	(void)worker;
	for (size_t j = i * ROWS; j < to; j++) {
		float *x = b->x + j * fit->dim;

		sparse_row_mul(&fit->a, b->first + j, fit->component, fit->dim, fit->dim, x);
		if (!b->finished)
			continue;
		if (fit->common) {
			double along = mat_dot64(x, fit->common, fit->dim);
			for (size_t k = 0; k < fit->dim; k++)
				x[k] -= (float)(along * fit->common[k]);
		}
		mat_normalise(x, fit->dim);
	}
}

static void
each_block(struct embed_fit *fit, int finished,
    void (*use)(struct embed_fit *fit, const float *x, size_t n, void *arg), void *arg)
{
	struct block b = { .fit = fit, .finished = finished, .x = xaligned(BLOCK * fit->dim, sizeof *b.x) };

	for (b.first = 0; b.first < fit->a.n_row; b.first += b.n) {
		b.n = fit->a.n_row - b.first < BLOCK ? fit->a.n_row - b.first : BLOCK;
		thread_for(fit->o.n_thread, (b.n + ROWS - 1) / ROWS, make_rows, &b);
		use(fit, b.x, b.n, arg);
	}
	free(b.x);
}

static void
add_block(struct embed_fit *fit, const float *x, size_t n, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < n; i++)
		book_add(fit, x + i * fit->dim);
}

static void
make_book(struct embed_fit *fit)
{
	codebook_init(&fit->book, fit->dim, n_cluster_of(fit), fit->o.seed);
	each_block(fit, 1, add_block, NULL);
}

/* -- tfidf -- */

/* Few texts do not bear many dimensions: the last ones would each be about a single text, and texts that share a subject
   but no word would be at right angles. */
static size_t
default_dim(size_t n_text)
{
	double few = floor(2 * sqrt((double)n_text));

	return few < 16 ? 16 : few < EMBED_DIM ? (size_t)few : EMBED_DIM;
}

/* The more texts, the better does idf tell what a text is about, and the more texts share the dimensions. */
static double
default_idf_power(size_t n_text)
{
	double n = (double)n_text;

	return n <= 300 ? 1 : n >= 10000 ? 2 : 1 + log(n / 300) / log(10000. / 300);
}

static int
fit_tfidf(struct embed_fit *fit, struct fault *f)
{
	struct embed_options *o = &fit->o;
	struct svd svd;
	double kept = 0;
	/* In a small pool most words are in one text only, and a query may have no other. A pair in one text says nothing
	   that its words do not. */
	size_t min_df_pair = o->min_df ? o->min_df : 2;

	if (o->min_df == 0)
		o->min_df = fit->n_text < EMBED_SMALL ? 1 : 2;
	if (o->max_df <= 0)
		o->max_df = fit->n_text < EMBED_FEW ? 1 : .5;
	if (o->idf_power < 0)
		o->idf_power = default_idf_power(fit->n_text);
	struct terms_options t = { o->n_term_max, o->min_df, min_df_pair, o->max_df, o->bigrams, o->stop_words, o->n_thread };
	if (terms_choose(&fit->terms, &fit->corpus, &t, f) < 0)
		return -1;
	terms_matrix(&fit->a, &fit->terms, &fit->corpus, 1, o->n_thread);
	drop_corpus(fit);
	for (size_t i = 0; i < fit->terms.n; i++) {
		double idf = log((1 + (double)fit->n_text) / (1 + (double)fit->terms.df[i])) + 1;
		double weight = pow(idf, o->idf_power) * (fit->terms.word[i][1] == UINT32_MAX ? 1 : o->pair_weight);
		fit->a.column_scale[i] = (float)weight;
	}
	size_t n_full = sparse_unit_rows(&fit->a);
	if (svd_sparse(&svd, &fit->a, o->dim ? o->dim : default_dim(fit->n_text), o->seed, o->n_thread) < 0)
		return fault(f, EX_SOFTWARE, "the singular vectors of the texts were not found: numbers that are not finite");
	for (size_t i = 0; i < svd.rank; i++)
		kept += (double)svd.s[i] * svd.s[i];
	fit->share = kept / (double)n_full;
	fit->dim = svd.rank;
	fit->component = svd.v;
	svd.v = NULL;
	svd_free(&svd);
	make_book(fit);
	return 0;
}

/* -- word vectors -- */

struct by_bytes {
	const struct corpus *c;
	uint32_t word;
};

static int
compare_words(const void *one, const void *other)
{
	const struct by_bytes *a = one, *b = other;
	struct span x = corpus_word(a->c, a->word), y = corpus_word(b->c, b->word);
	int c = memcmp(x.at, y.at, x.n < y.n ? x.n : y.n);

	return c ? c : (x.n > y.n) - (x.n < y.n);
}

/* Row i becomes what row order[i].word was, in place: there may be more of them than memory for two copies. */
static void
sort_rows(float *row, size_t dim, struct by_bytes *order, size_t n)
{
	float *held = xmalloc(dim, sizeof *held);

	for (size_t i = 0; i < n; i++) {
		size_t to = i;

		if (order[i].word == i)
			continue;
		memcpy(held, row + i * dim, dim * sizeof *row);
		while (order[to].word != i) {
			size_t from = order[to].word;
			memcpy(row + to * dim, row + from * dim, dim * sizeof *row);
			order[to].word = (uint32_t)to;
			to = from;
		}
		memcpy(row + to * dim, held, dim * sizeof *row);
		order[to].word = (uint32_t)to;
	}
	free(held);
}

/* Terms are the kept words sorted by bytes; component and weight as they are used. The rows of v are taken over. */
static int
take_vectors(struct embed_fit *fit, struct vectors *v, struct fault *f)
{
	struct terms *t = &fit->terms;
	const struct corpus *c = &fit->corpus;
	size_t n = v->words.n_word, n_known = 0;
	double n_token = (double)c->n_token;

	if (v->words.bytes.n > UINT32_MAX)
		return fault(f, EX_DATAERR, "%s: the words have more bytes than 32 bits can number", fit->o.vectors);
	struct by_bytes *order = xmalloc(n, sizeof *order);
	for (size_t i = 0; i < n; i++)
		order[i] = (struct by_bytes){ &v->words, (uint32_t)i };
	qsort(order, n, sizeof *order, compare_words);
	t->n = n;
	t->start = xmalloc(n + 1, sizeof *t->start);
	t->df = xcalloc(n, sizeof *t->df);
	t->word = xmalloc(n, sizeof *t->word);
	fit->dim = v->dim;
	for (size_t i = 0; i < n; i++) {
		struct span word = corpus_word(&v->words, order[i].word);
		uint32_t here = corpus_find(c, word);

		t->start[i] = (uint32_t)t->bytes.n;
		buf_put(&t->bytes, word.at, word.n);
		t->word[i][0] = here;
		t->word[i][1] = UINT32_MAX;
		t->df[i] = here == UINT32_MAX ? 0 : c->word_df[here];
		n_known += here != UINT32_MAX;
	}
	t->start[n] = (uint32_t)t->bytes.n;
	sort_rows(v->row, v->dim, order, n);
	fit->component = v->row;
	v->row = NULL;
	free(order);
	if (n_known == 0)
		return fault(f, EX_DATAERR, "%s: no word of the %zu texts is in it", fit->o.vectors, fit->n_text);
	terms_matrix(&fit->a, t, c, 0, fit->o.n_thread);
	for (size_t i = 0; i < n; i++) {
		double count = t->word[i][0] == UINT32_MAX ? 0 : (double)c->word_count[t->word[i][0]];
		fit->a.column_scale[i] = (float)(sif_a / (sif_a + count / n_token));
	}
	/* The mean over a text's words, so that long texts do not make the common direction alone. */
	for (size_t d = 0; d < c->n_doc; d++) {
		size_t n_word = c->doc_start[d + 1] - c->doc_start[d];
		fit->a.row_scale[d] = n_word ? 1 / (float)n_word : 0;
	}
	return 0;
}

struct common {
	float *tile;                    /* [dim][dim] */
	double *sum;
};

static void
add_squares(struct embed_fit *fit, const float *x, size_t n, void *arg)
{
	struct common *c = arg;
	size_t dim = fit->dim;

	mat_mul(1, mat_of(x, n, dim), 1, mat_of(x, n, dim), 0, 0, mat_of(c->tile, dim, dim));
	for (size_t i = 0; i < dim * dim; i++)
		c->sum[i] += c->tile[i];
}

/* The first singular vector of the texts' vectors; its largest entry is positive. */
static int
find_common(struct embed_fit *fit, struct fault *f)
{
	size_t dim = fit->dim;
	struct common c = { xmalloc(dim * dim, sizeof *c.tile), xcalloc(dim * dim, sizeof *c.sum) };
	float *values = xmalloc(dim, sizeof *values), *common = xmalloc(dim, sizeof *common), most = 0;
	int done;

	each_block(fit, 0, add_squares, &c);
	for (size_t i = 0; i < dim * dim; i++)
		c.tile[i] = (float)c.sum[i];
	done = mat_eigen(mat_of(c.tile, dim, dim), values);
	memcpy(common, c.tile + (dim - 1) * dim, dim * sizeof *common);
	for (size_t i = 0; i < dim; i++)
		if (fabsf(common[i]) > fabsf(most))
			most = common[i];
	for (size_t i = 0; i < dim && most < 0; i++)
		common[i] = -common[i];
	if (done < 0 || !isfinite(most))
		done = fault(f, EX_DATAERR, "%s: the numbers are too large to find the direction that texts share", fit->o.vectors);
	fit->common = common;
	free(values);
	free(c.tile);
	free(c.sum);
	return done;
}

static int
fit_vectors(struct embed_fit *fit, struct fault *f)
{
	struct vectors v;

	if (vectors_read(&v, fit->o.vectors, &fit->corpus, fit->o.n_term_max, f) < 0)
		return -1;
	int done = 0;
	if (fit->o.dim && fit->o.dim != v.dim)
		done = fault(f, EX_DATAERR, "%s: the vectors have %zu numbers, asked for were %zu", fit->o.vectors, v.dim,
		    fit->o.dim);
	if (done == 0)
		done = take_vectors(fit, &v, f);
	vectors_free(&v);
	if (done < 0)
		return -1;
	drop_corpus(fit);
	/* With one number in a vector, or one text, the shared direction would be all there is. */
	if (fit->dim == 1 || fit->n_text == 1)
		fit->common = xcalloc(fit->dim, sizeof *fit->common);
	else if (find_common(fit, f) < 0)
		return -1;
	make_book(fit);
	return 0;
}

/* -- the file -- */

/* Hash table over the terms, as embed.h says. The caller frees it. */
static uint32_t *
make_slots(const struct terms *t, size_t *n_slot)
{
	uint32_t *slot;

	for (*n_slot = 2; *n_slot < 2 * t->n; *n_slot *= 2)
		;
	slot = xcalloc(2 * *n_slot, sizeof *slot);
	for (size_t i = 0; i < t->n; i++) {
		uint64_t hash = hash64(t->bytes.at + t->start[i], t->start[i + 1] - t->start[i], 0);
		size_t j = hash & (*n_slot - 1);

		while (slot[2 * j + 1] != 0)
			j = (j + 1) & (*n_slot - 1);
		slot[2 * j] = (uint32_t)(hash >> 32);
		slot[2 * j + 1] = (uint32_t)i + 1;
	}
	return slot;
}

struct part {                           /* a tensor to write */
	const char *name;
	enum tensor_type type;
	size_t n_dim, shape[2];
	const void *at;
	size_t n_byte;
};

/* Clusters are part of the space: POOL and STATE hold their numbers. */
static void
name_space(const struct embed_fit *fit, struct model *m, const struct part *part, size_t n_part)
{
	struct hash128 *h = hash128_new();
	uint64_t shape[2] = { m->dim, m->n_cluster };

	hash128_add(h, m->source, strlen(m->source) + 1);
	hash128_add(h, shape, sizeof shape);
	if (fit->o.net)
		hash128_add(h, net_model(fit->o.net), strlen(net_model(fit->o.net)) + 1);
	hash128_add(h, m->centre, m->n_cluster * m->dim * sizeof *m->centre);
	for (size_t i = 0; i < n_part; i++)
		hash128_add(h, part[i].at, part[i].n_byte);
	hash128_hex(h, m->space);
}

static void
set_settings(const struct embed_fit *fit, struct tensor_writer *w)
{
	const struct embed_options *o = &fit->o;

	tensor_set_meta(w, "seed", "%llu", (unsigned long long)o->seed);
	tensor_set_meta(w, "n_text", "%zu", fit->n_text);
	tensor_set_meta(w, "n_empty", "%zu", fit->n_empty);
	if (o->net) {
		tensor_set_meta(w, "endpoint_url", "%s", o->url);
		tensor_set_meta(w, "endpoint_model", "%s", net_model(o->net));
		return;
	}
	tensor_set_meta(w, "n_term", "%zu", fit->terms.n);
	if (o->vectors) {
		const char *slash = strrchr(o->vectors, '/');
		tensor_set_meta(w, "vectors", "%s", slash ? slash + 1 : o->vectors);
		tensor_set_meta(w, "sif_a", "%g", sif_a);
		return;
	}
	tensor_set_meta(w, "bigrams", "%d", o->bigrams);
	tensor_set_meta(w, "stop_words", "%s", o->stop_words ? "english" : "none");
	tensor_set_meta(w, "idf_power", "%.17g", o->idf_power);
	tensor_set_meta(w, "pair_weight", "%.17g", o->pair_weight);
	tensor_set_meta(w, "min_df", "%zu", o->min_df);
	tensor_set_meta(w, "max_df", "%.17g", o->max_df);
	tensor_set_meta(w, "variance_share", "%.6f", fit->share);
}

static int
write_model(struct embed_fit *fit, const char *path, const struct model *m, const struct part *part, size_t n_part,
    struct fault *f)
{
	struct tensor_writer *w = tensor_create(path, "model", f);

	if (!w)
		return -1;
	model_declare(w, m);
	set_settings(fit, w);
	for (size_t i = 0; i < n_part; i++)
		tensor_declare(w, part[i].name, part[i].type, part[i].n_dim, part[i].shape);
	if (model_put(w, m, f) < 0)
		goto fail;
	for (size_t i = 0; i < n_part; i++)
		if (tensor_put(w, part[i].at, part[i].n_byte, f) < 0)
			goto fail;
	return tensor_commit(w, f);
fail:
	tensor_abort(w);
	return -1;
}

int
embed_fit_write(struct embed_fit *fit, const char *path, struct embed_report *report, struct fault *f)
{
	struct model m = { .source = fit->o.net ? "endpoint" : fit->o.vectors ? "vectors" : "tfidf" };
	size_t n_slot = 0, n_part = 0;
	uint32_t *slot = NULL;
	float *centre, *mean;
	struct part part[6];

	if (fit->n_text == 0)
		return fault(f, EX_DATAERR, "there is no text to learn from, only a header");
	if (fit->o.net ? fit->dim == 0 : fit->corpus.n_token == 0)
		return fault(f, EX_DATAERR, "none of the %zu texts has a word", fit->n_text);
	if (!fit->o.net && (fit->o.vectors ? fit_vectors(fit, f) : fit_tfidf(fit, f)) < 0)
		return -1;
	model_defaults(&m);
	m.query_share = fit->o.query_share;
	m.prior.query_var = fit->o.query_var;
	m.prior.query_least = fit->o.query_least;
	m.dim = fit->dim;
	m.n_cluster = codebook_make(&fit->book, n_cluster_of(fit), fit->o.n_thread, &centre);
	m.centre = centre;
	m.mean = mean = xmalloc(fit->dim, sizeof *mean);
	codebook_mean(&fit->book, mean);
	if (!fit->o.net) {
		const struct terms *t = &fit->terms;

		slot = make_slots(t, &n_slot);
		part[n_part++] = (struct part){ "term_bytes", TENSOR_U8, 1, { t->bytes.n }, t->bytes.at, t->bytes.n };
		part[n_part++] = (struct part){ "term_start", TENSOR_U32, 1, { t->n + 1 }, t->start, (t->n + 1) * sizeof *t->start };
		part[n_part++] = (struct part){ "term_slot", TENSOR_U32, 2, { n_slot, 2 }, slot, 2 * n_slot * sizeof *slot };
		part[n_part++] = (struct part){ "term_weight", TENSOR_F32, 1, { t->n }, fit->a.column_scale, t->n * sizeof(float) };
		part[n_part++] = (struct part){ "components", TENSOR_F32, 2, { t->n, fit->dim }, fit->component,
			t->n * fit->dim * sizeof(float) };
		if (fit->common)
			part[n_part++] = (struct part){ "common", TENSOR_F32, 1, { fit->dim }, fit->common, fit->dim * sizeof(float) };
	}
	name_space(fit, &m, part, n_part);
	*report = (struct embed_report){ fit->n_text, fit->n_empty, fit->terms.n, m.dim, m.n_cluster, fit->share };
	int done = write_model(fit, path, &m, part, n_part, f);
	free(slot);
	free(centre);
	free(mean);
	return done;
}
