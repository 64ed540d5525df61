/* hare-train distil - a small language model learns to write answers as another one did: from records with its outputs */
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/opt.h"
#include "base/rng.h"
#include "base/thread.h"
#include "decode/decode.h"
#include "decode/write.h"
#include "filter.h"
#include "lm/compose.h"
#include "lm/fit.h"
#include "mat/mat.h"
#include "pool/pool.h"
#include "record/record.h"
#include "train.h"
#include "train_lm.h"

enum { BATCH = 1024, LINE_S = 60 };
static const uint64_t SEED_ORDER = 0x64697374696c206f;

static const char *output, *text_columns, *type_name = "f32";
static struct opt_list pools;
static size_t n_layer = 3, n_dim = 128, n_head = 4, n_token = 2048, n_step = 1000, n_batch = 16, n_warm = 100;
static size_t n_question = 48, n_item = 4, n_item_token = 96, n_text_token = 112;
static double rate = 2e-3, dropout = .05, decay = .01, held_share = .05, average = .995;
static uint64_t seed;

static const struct opt opts[] = {
	{ 'p', "pool", OPT_LIST, &pools, "POOL", "texts of the items; several act as one", NULL, "HARE_POOL" },
	{ 'o', "output", OPT_FILE, &output, "DECODER", "the file to write", NULL, NULL },
	{ 0, "text-columns", OPT_STRING, &text_columns, "COLUMN,...", "what is read of an item (title and texts)", NULL, NULL },
	{ 0, "tokens", OPT_SIZE, &n_token, "N", "of the vocabulary", NULL, NULL },
	{ 0, "layers", OPT_SIZE, &n_layer, "N", "blocks of the transformer", NULL, NULL },
	{ 0, "dim", OPT_SIZE, &n_dim, "N", "numbers of a row within it", NULL, NULL },
	{ 0, "heads", OPT_SIZE, &n_head, "N", "of attention in each block", NULL, NULL },
	{ 0, "items", OPT_SIZE, &n_item, "N", "that are read, at most", NULL, NULL },
	{ 0, "question-tokens", OPT_SIZE, &n_question, "N", "of the query that are read", NULL, NULL },
	{ 0, "item-tokens", OPT_SIZE, &n_item_token, "N", "of an item that are read", NULL, NULL },
	{ 0, "text-tokens", OPT_SIZE, &n_text_token, "N", "of an answer", NULL, NULL },
	{ 0, "steps", OPT_SIZE, &n_step, "N", "of the optimiser", NULL, NULL },
	{ 0, "batch", OPT_SIZE, &n_batch, "N", "records of a step", NULL, NULL },
	{ 0, "rate", OPT_REAL, &rate, "R", "of Adam", NULL, NULL },
	{ 0, "warm", OPT_SIZE, &n_warm, "N", "steps until it is reached", NULL, NULL },
	{ 0, "dropout", OPT_REAL, &dropout, "P", "share of the numbers that are left out in training", NULL, NULL },
	{ 0, "decay", OPT_REAL, &decay, "W", "of matrices, by AdamW", NULL, NULL },
	{ 0, "average", OPT_REAL, &average, "A", "share that an average of the numbers keeps at each step; 0: none is kept",
	    NULL, NULL },
	{ 0, "held-out", OPT_REAL, &held_share, "SHARE", "of the records, the last, that tell how well", NULL, NULL },
	{ 0, "type", OPT_CHOICE, &type_name, "TYPE", "of the numbers that are written", "f32 bf16 int8", NULL },
	{ 0, "seed", OPT_U64, &seed, "N", "of all that is drawn", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct lesson {                         /* places in texts */
	size_t query, n_query, answer, n_answer;
	size_t item, n_item;            /* in listed */
};
struct listed {
	size_t row;
	double weight;
};
struct made {
	struct lm_row *prompt, *row;
	uint32_t *target;
};
struct teaching {
	struct record_in *in;
	struct pool *pool;
	struct decode_columns columns;
	size_t *column, n_column;
	struct lesson *lesson;          /* [n] */
	struct listed *listed;
	size_t n, n_cap, n_listed, n_listed_cap;
	struct buf texts, weights;
	struct compose_limits limits;
	struct bpe *bpe;
	struct lm_shape shape;
	float *numbers, *mean;          /* [n_number] */
	size_t n_number;
	struct lm *lm;
	struct lm_fit *fit;
	struct lm_fit_options o;
	struct lm_example *example;     /* [n] */
	struct made *made;              /* [n] */
	size_t n_learnt;                /* the first so many are learnt from */
	double held_loss;
	size_t n_cut;
};

/* -- records -- */

static int
read_items(struct teaching *t, size_t i, int items, int weights, struct lesson *l, struct fault *f)
{
	struct span list = record_cell(t->in, i, items);
	ptrdiff_t n_weight = record_vector_any(t->in, i, weights, &t->weights, f);
	float weight;

	if (n_weight < 0)
		return -1;
	l->item = t->n_listed;
	l->n_item = 0;
	for (size_t at = 0; at < list.n; at++) {
		size_t from = at, row;
		while (at < list.n && list.at[at] != ' ')
			at++;
		if (at == from)
			continue;
		struct span id = { list.at + from, at - from };
		int found = pool_lookup(t->pool, id, &row, f);
		if (found < 0)
			return -1;
		if (found == 0)
			return record_fault(t->in, i, items, f, "no item \"%s\" in the pool", fault_quote(id.at, id.n));
		if ((ptrdiff_t)l->n_item == n_weight)
			return record_fault(t->in, i, weights, f, "expected a weight for each item, got %td", n_weight);
		memcpy(&weight, t->weights.at + l->n_item * sizeof weight, sizeof weight);
		if (weight < 0)
			return record_fault(t->in, i, weights, f, "expected weights of at least 0, got %g", weight);
		t->listed = xgrow(t->listed, &t->n_listed_cap, l->item + l->n_item + 1, sizeof *t->listed);
		/* heaviest first */
		struct listed *first = t->listed + l->item;
		size_t k = l->n_item++;
		for (; k > 0 && first[k - 1].weight < weight; k--)
			first[k] = first[k - 1];
		first[k] = (struct listed){ row, weight };
	}
	if ((ptrdiff_t)l->n_item != n_weight)
		return record_fault(t->in, i, weights, f, "expected %zu weights for as many items, got %td", l->n_item, n_weight);
	return 0;
}

static int
read_row(struct teaching *t, size_t i, const int *column, struct fault *f)
{
	struct span query = record_cell(t->in, i, column[0]), answer = record_cell(t->in, i, column[3]);
	struct lesson l = { .query = t->texts.n, .n_query = query.n, .answer = t->texts.n + query.n, .n_answer = answer.n };

	if (answer.n == 0)
		return record_fault(t->in, i, column[3], f, "expected an answer to learn, got nothing");
	if (read_items(t, i, column[1], column[2], &l, f) < 0)
		return -1;
	buf_put(&t->texts, query.at, query.n);
	buf_put(&t->texts, answer.at, answer.n);
	t->n_listed += l.n_item;
	t->lesson = xgrow(t->lesson, &t->n_cap, t->n + 1, sizeof *t->lesson);
	t->lesson[t->n++] = l;
	return 0;
}

static int
read_records(struct teaching *t, int n_file, char **file, struct fault *f)
{
	static const char *const roles[] = { "query", "items", "weights", "output" };
	int column[4];
	ptrdiff_t n;

	if (!(t->in = record_open(n_file, file, f)))
		return -1;
	for (int k = 0; k < 4; k++) {
		if ((column[k] = record_need(t->in, roles[k], f)) < 0)
			return -1;
	}
	while ((n = record_batch(t->in, BATCH, f)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++) {
			if (read_row(t, i, column, f) < 0 && record_bad(t->in, f) < 0)
				return -1;
		}
	}
	if (n == 0 && t->n == 0)
		return fault(f, EX_DATAERR, "expected records with answers, got none");
	return (int)n;
}

static struct span
text_at(const struct teaching *t, size_t from, size_t n)
{
	return (struct span){ t->texts.at + from, n };
}

static int
open_pool(struct teaching *t, struct fault *f)
{
	t->pool = pool_open(pools.at, pools.n, NULL, NULL, f);
	if (!t->pool || decode_columns(&t->columns, t->pool, NULL, text_columns, f) < 0)
		return -1;
	t->column = xcalloc(t->columns.n_text + 1, sizeof *t->column);
	if (!text_columns && t->columns.title != SIZE_MAX)
		t->column[t->n_column++] = t->columns.title;
	for (size_t i = 0; i < t->columns.n_text; i++)
		t->column[t->n_column++] = t->columns.text[i];
	return 0;
}

/* -- examples -- */

static int
learn_vocabulary(struct teaching *t, struct fault *f)
{
	struct bpe_learn *learn = bpe_learn_new();
	struct buf text = { 0 }, item = { 0 };
	int status = 0;

	for (size_t i = 0; i < t->n; i++) {
		train_learn_text(learn, &text, text_at(t, t->lesson[i].query, t->lesson[i].n_query));
		train_learn_text(learn, &text, text_at(t, t->lesson[i].answer, t->lesson[i].n_answer));
	}
	for (size_t row = 0; row < pool_n(t->pool) && status == 0; row++) {
		buf_clear(&item);
		status = decode_item_text(t->pool, row, t->column, t->n_column, &item, f);
		if (status == 0)
			train_learn_text(learn, &text, buf_span(&item));
	}
	t->bpe = bpe_learn_end(learn, n_token);
	buf_free(&text);
	buf_free(&item);
	return status;
}

static void *
copied(const void *at, size_t n, size_t size)
{
	void *out = xmalloc(n, size);

	if (n > 0)
		memcpy(out, at, n * size);
	return out;
}

static int
make_examples(struct teaching *t, struct fault *f)
{
	struct compose c = { 0 };
	struct buf texts = { 0 };
	struct compose_item *item = xmalloc(n_item + 1, sizeof *item);
	struct lm_row *row = xmalloc(t->limits.n_text, sizeof *row);
	uint32_t *target = xmalloc(t->limits.n_text, sizeof *target);
	int status = 0;

	t->example = xcalloc(t->n, sizeof *t->example);
	t->made = xcalloc(t->n, sizeof *t->made);
	for (size_t i = 0; i < t->n && status == 0; i++) {
		const struct lesson *l = &t->lesson[i];
		struct lm_example *e = &t->example[i];
		struct made *m = &t->made[i];
		size_t from = 0, n = l->n_item;
		item = xrealloc(item, n + 1, sizeof *item);
		buf_clear(&texts);
		for (size_t k = 0; k < n; k++) {
			const struct listed *at = &t->listed[l->item + k];
			from = texts.n;
			if (decode_item_text(t->pool, at->row, t->column, t->n_column, &texts, f) < 0)
				status = -1;
			item[k] = (struct compose_item){ { NULL, texts.n - from }, at->weight };
		}
		from = 0;
		for (size_t k = 0; k < n; from += item[k++].text.n)
			item[k].text.at = texts.at + from;
		compose_prompt(&c, t->lm, &t->limits, text_at(t, l->query, l->n_query), item, n);
		t->n_cut += c.n_cut > 0;
		m->prompt = copied(c.row, c.n, sizeof *c.row);
		e->prompt = (struct lm_prompt){ NULL, m->prompt, c.n };
		compose_text(&c, t->lm, &t->limits, text_at(t, l->answer, l->n_answer), row, target, &e->n);
		e->row = m->row = copied(row, e->n, sizeof *row);
		e->target = m->target = copied(target, e->n, sizeof *target);
	}
	free(item);
	free(row);
	free(target);
	buf_free(&texts);
	compose_free(&c);
	return status;
}

static void
open_lm(struct teaching *t)
{
	t->limits = (struct compose_limits){ n_question, n_item, n_item_token, n_text_token };
	t->shape = train_shape(n_layer, n_dim, n_head, bpe_n(t->bpe), &t->limits);
	t->n_number = lm_count(&t->shape);
	t->numbers = xaligned(t->n_number, sizeof *t->numbers);
	lm_draw(&t->shape, t->numbers, seed);
	if (average > 0)
		t->mean = copied(t->numbers, t->n_number, sizeof *t->numbers);
	t->lm = lm_new(&t->shape, t->numbers, t->bpe);
	lm_fit_defaults(&t->o);
	t->o.rate = rate;
	t->o.decay = decay;
	t->o.dropout = dropout;
	t->o.n_warm = n_warm < n_step / 2 ? n_warm : n_step / 2;
	t->o.n_step = n_step;
	t->o.seed = seed;
	t->o.n_thread = record_options.n_thread ? record_options.n_thread : thread_count();
	t->fit = lm_fit_new(t->lm, t->numbers, &t->o);
}

/* -- learning -- */

/* The records that are learnt from in the order of an epoch. */
static void
shuffle(size_t *order, size_t n, uint64_t epoch)
{
	struct rng r = rng_at(seed ^ SEED_ORDER, epoch);

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	for (; n > 1; n--) {
		size_t k = rng_below(&r, n), at = order[k];
		order[k] = order[n - 1];
		order[n - 1] = at;
	}
}

static void
tell(const struct teaching *t, double loss, double begin, double *told)
{
	double now = filter_now_s();
	size_t done = lm_fit_done(t->fit);
	int terminal = isatty(STDERR_FILENO), last = done == n_step;

	if (record_options.quiet || (!last && now - *told < (terminal ? 1 : LINE_S)) ||
	    (last && !terminal && !record_options.verbose))
		return;
	fprintf(stderr, "%sstep %zu of %zu, loss %.3f, %.0f s left%s", terminal ? "\r" : "", done, n_step, loss,
	    (now - begin) / (double)done * (double)(n_step - done), terminal ? "\033[K" : "\n");
	if (terminal && last)
		fputc('\n', stderr);
	*told = now;
}

static int
learn(struct teaching *t, struct fault *f)
{
	size_t *order = xmalloc(t->n_learnt, sizeof *order), at = 0, n_target;
	struct lm_example *batch = xmalloc(n_batch, sizeof *batch);
	double begin = filter_now_s(), told = begin, smooth = NAN, loss = 0;
	uint64_t epoch = 0;

	shuffle(order, t->n_learnt, epoch);
	for (size_t step = 0; step < n_step && loss >= 0; step++) {
		size_t n = 0;
		while (n < n_batch && n < t->n_learnt) {
			if (at == t->n_learnt) {
				shuffle(order, t->n_learnt, ++epoch);
				at = 0;
			}
			batch[n++] = t->example[order[at++]];
		}
		loss = lm_fit_step(t->fit, batch, n, 1, &n_target, f);
		smooth = isnan(smooth) ? loss : .95 * smooth + .05 * loss;
		double keep = fmin(average, (double)(step + 2) / (double)(step + 11));
		if (t->mean)
			train_average(t->mean, t->numbers, t->n_number, keep);
		if (loss >= 0)
			tell(t, smooth, begin, &told);
	}
	free(order);
	free(batch);
	return loss < 0 ? -1 : 0;
}

static int
write_decoder(const struct teaching *t, struct fault *f)
{
	struct train_meta meta = {0};
	struct buf columns = { 0 };

	for (size_t i = 0; i < t->n_column; i++)
		buf_printf(&columns, "%s%s", i ? "," : "", pool_column_name(t->pool, t->column[i]));
	train_meta_limits(&meta, &t->limits);
	train_meta(&meta, "seed", "%llu", (unsigned long long)seed);
	train_meta(&meta, "steps", "%zu", n_step);
	train_meta(&meta, "rate", "%g", rate);
	train_meta(&meta, "dropout", "%g", dropout);
	train_meta(&meta, "decay", "%g", decay);
	train_meta(&meta, "batch", "%zu", n_batch);
	train_meta(&meta, "records", "%zu", t->n);
	if (isfinite(t->held_loss))
		train_meta(&meta, "held_out_loss", "%.6g", t->held_loss);
	train_meta(&meta, "item_columns", "%s", buf_string(&columns));
	int status = lm_write(t->lm, output, train_type(type_name), meta.list, (struct span){ NULL, 0 }, f);
	train_meta_free(&meta);
	buf_free(&columns);
	return status;
}

static int
teach(struct teaching *t, int n_file, char **file, struct fault *f)
{
	if (mat_check(f) < 0 || file_out_check(output, f) < 0 || open_pool(t, f) < 0 || read_records(t, n_file, file, f) < 0 ||
	    learn_vocabulary(t, f) < 0)
		return -1;
	open_lm(t);
	if (make_examples(t, f) < 0)
		return -1;
	t->n_learnt = t->n - (size_t)(held_share * (double)t->n);
	if (learn(t, f) < 0)
		return -1;
	if (t->mean)
		memcpy(t->numbers, t->mean, t->n_number * sizeof *t->numbers);
	t->held_loss = train_loss(t->fit, t->example + t->n_learnt, t->n - t->n_learnt);
	if (record_options.verbose) {
		warnx("%zu records, %zu numbers, %zu tokens of vocabulary", t->n, t->n_number, t->shape.n_vocab);
		if (t->n_cut)
			warnx("%zu records had a longer query than %zu tokens, which was cut", t->n_cut, n_question);
		if (isfinite(t->held_loss))
			warnx("held out: loss %.4f a token, over %zu records", t->held_loss, t->n - t->n_learnt);
	}
	return write_decoder(t, f);
}

static void
let_go(struct teaching *t)
{
	for (size_t i = 0; t->made && i < t->n; i++) {
		free(t->made[i].prompt);
		free(t->made[i].row);
		free(t->made[i].target);
	}
	free(t->made);
	free(t->example);
	lm_fit_free(t->fit);
	lm_free(t->lm);
	bpe_free(t->bpe);
	free(t->numbers);
	free(t->mean);
	free(t->lesson);
	free(t->listed);
	free(t->column);
	buf_free(&t->texts);
	buf_free(&t->weights);
	decode_columns_free(&t->columns);
	pool_close(t->pool);
}

static void
check_options(const struct opt_program *p)
{
	if (!output)
		opt_usage(p, "-o DECODER is missing");
	if (pools.n == 0)
		opt_usage(p, "a pool is needed: -p POOL, or HARE_POOL");
	if (!(rate > 0) || !(decay >= 0) || !(dropout >= 0 && dropout < 1) || !(average >= 0 && average < 1) ||
	    !(held_share >= 0 && held_share < .9))
		opt_usage(p, "--rate: above 0; --decay: 0 or more; --dropout, --average: 0 or more, below 1; --held-out: below .9");
	train_check_shape(p, n_layer, n_dim, n_head, n_token);
	if (n_question == 0 || n_question > COMPOSE_TEXT_PLACE || n_item_token < 2 || n_item_token > COMPOSE_TEXT_PLACE ||
	    n_item > 64 || n_text_token < 2 || n_text_token > 4096)
		opt_usage(p, "--question-tokens: 1 to %d; --item-tokens: 2 to %d; --items: at most 64; --text-tokens: 2 to 4096",
		    COMPOSE_TEXT_PLACE, COMPOSE_TEXT_PLACE);
	if (n_step == 0 || n_batch == 0)
		opt_usage(p, "--steps, --batch: expected 1 or more");
}

static int
run_distil(const struct opt_program *p, int n_operand, char **operand)
{
	struct teaching t = { .held_loss = NAN };
	struct fault f;

	n_operand = filter_take_pools(&pools, n_operand, operand);
	check_options(p);
	int status = teach(&t, n_operand, operand, &f) < 0 ? f.status : EX_OK;
	status = filter_finish(t.in, NULL, status, &f);
	let_go(&t);
	return status;
}

const struct opt_program train_distil = {
	.name = "distil",
	.summary = "learn to write answers as they were written before, by a larger model or a person",
	.usage = "[-qv] -p POOL... -o DECODER [--text-columns COLUMN,...] [--steps N] [file ...]",
	.opts = opts,
	.examples = "hare-decode -p skills.pool --endpoint http://localhost:8080 attended.csv > answered.csv\n"
	    "hare-train distil -p skills.pool -o small.decoder answered.csv\n",
	.run = run_distil,
};
