#include "train/pairs.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "base/hash.h"
#include "base/names.h"
#include "base/rng.h"
#include "base/thread.h"
#include "mat/mat.h"
#include "text/text.h"

enum { N_NEAR = 64, N_REPEAT = 16, EMBED_ROWS = 16, NEAR_BATCH = 64 };
/* Streams of one seed that must not meet. */
static const uint64_t SEED_PROFILE = 0x70726f66696c6521, SEED_HELD = 0x68656c6420757321;

struct pairs {
	const struct model *model;
	struct pairs_options set;
	size_t n, dim;
	struct buf text;
	size_t *start;                  /* [2 n + 1]: input, output, input, ... in text */
	size_t n_start_cap;
	struct names users;
	uint32_t *user;                 /* [n] or NULL */
	size_t n_user_cap;
	uint32_t *of_user;              /* [n]: rows, user by user */
	size_t *user_start;             /* [n_user + 1] */
	float *x, *item;                /* [n][dim] */
	uint32_t *word;                 /* sets of words, hashed and sorted */
	size_t *word_start;             /* [2 n + 1] */
	const uint8_t *use;             /* [n] or NULL */
	double beta;                    /* over all rows */
	double *mean;                   /* [dim], of the MODEL */
	struct attend *attend;          /* over all rows, where there are no users */
	struct pairs_worker {
		struct embed_scratch *embed;
		struct pairs_look *look;
		struct compose compose;
		struct text_words words;
		struct buf text;
		uint32_t *deck;         /* rows of a user, to draw from */
		size_t n_deck_cap;
		const float **row;      /* [n_profile] */
		size_t *profile;        /* [n_profile] */
		struct compose_item *item;
		struct fault fault;
		size_t fault_at;
	} *worker;                      /* [n_thread] */
	struct embed *embed;            /* while pairs_end() runs */
	int as_items;                   /* it embeds rows as items, else inputs as queries */
	struct near *near;              /* of the examples at hand, where there are no users */
	size_t n_near_cap;
};

struct near {                           /* what attention over all rows found for one */
	size_t n;
	struct { size_t row; double weight; } at[N_NEAR];
};

void
pairs_defaults(struct pairs_options *o)
{
	*o = (struct pairs_options){ .n_profile = 40, .overlap = .8, .alone = .3, .n_thread = 1 };
}

struct pairs *
pairs_new(const struct model *m, const struct pairs_options *o)
{
	struct pairs *p = xcalloc(1, sizeof *p);

	p->model = m;
	p->set = *o;
	p->dim = m->dim;
	if (p->set.n_thread == 0)
		p->set.n_thread = 1;
	p->worker = xcalloc(p->set.n_thread, sizeof *p->worker);
	p->start = xgrow(NULL, &p->n_start_cap, 1, sizeof *p->start);
	p->start[0] = 0;
	return p;
}

void
pairs_free(struct pairs *p)
{
	if (!p)
		return;
	for (size_t w = 0; w < p->set.n_thread; w++) {
		struct pairs_worker *k = &p->worker[w];
		embed_scratch_free(k->embed);
		pairs_look_free(k->look);
		compose_free(&k->compose);
		text_words_free(&k->words);
		buf_free(&k->text);
		free(k->deck);
		free(k->row);
		free(k->profile);
		free(k->item);
	}
	attend_free(p->attend);
	names_free(&p->users);
	buf_free(&p->text);
	free(p->worker);
	free(p->near);
	free(p->start);
	free(p->user);
	free(p->of_user);
	free(p->user_start);
	free(p->x);
	free(p->item);
	free(p->word);
	free(p->word_start);
	free(p->mean);
	free(p);
}

void
pairs_add(struct pairs *p, struct span input, struct span output, struct span user)
{
	assert(p->n == 0 || (user.at != NULL) == (p->user != NULL));
	p->start = xgrow(p->start, &p->n_start_cap, 2 * p->n + 3, sizeof *p->start);
	buf_put(&p->text, input.at, input.n);
	p->start[2 * p->n + 1] = p->text.n;
	buf_put(&p->text, output.at, output.n);
	p->start[2 * p->n + 2] = p->text.n;
	if (user.at) {
		p->user = xgrow(p->user, &p->n_user_cap, p->n + 1, sizeof *p->user);
		p->user[p->n] = (uint32_t)names_add(&p->users, user);
	}
	p->n++;
}

size_t
pairs_n(const struct pairs *p)
{
	return p->n;
}

size_t
pairs_n_user(const struct pairs *p)
{
	return p->user ? p->users.n : 0;
}

/* Text i of 2 n. */
static struct span
text_of(const struct pairs *p, size_t i)
{
	return (struct span){ p->text.at + p->start[i], p->start[i + 1] - p->start[i] };
}

struct span
pairs_input(const struct pairs *p, size_t row)
{
	return text_of(p, 2 * row);
}

struct span
pairs_output(const struct pairs *p, size_t row)
{
	return text_of(p, 2 * row + 1);
}

/* -- vectors and sets of words -- */

static int
by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* What stands for row i as an item: its output and its input. */
static struct span
item_text(const struct pairs *p, size_t i, struct buf *text)
{
	struct span input = pairs_input(p, i), output = pairs_output(p, i);

	buf_clear(text);
	buf_put(text, output.at, output.n);
	buf_putc(text, '\n');
	buf_put(text, input.at, input.n);
	return buf_span(text);
}

static void
embed_rows(void *arg, size_t task, size_t worker)
{
	struct pairs *p = arg;
	struct pairs_worker *w = &p->worker[worker];
	size_t end = (task + 1) * EMBED_ROWS < p->n ? (task + 1) * EMBED_ROWS : p->n;
	float *to = p->as_items ? p->item : p->x;

	if (!w->embed)
		w->embed = embed_scratch_new(p->embed);
	for (size_t i = task * EMBED_ROWS; i < end; i++) {
		struct span text = p->as_items ? item_text(p, i, &w->text) : pairs_input(p, i);
		embed_text(p->embed, w->embed, text.at, text.n, to + i * p->dim);
	}
}

static void
take_words(struct pairs *p)
{
	struct text_words words = {0};
	size_t n = 0, n_cap = 0;

	p->word_start = xmalloc(2 * p->n + 1, sizeof *p->word_start);
	for (size_t t = 0; t < 2 * p->n; t++) {
		struct span text = text_of(p, t);
		p->word_start[t] = n;
		text_words(&words, text.at, text.n);
		p->word = xgrow(p->word, &n_cap, n + words.n + 1, sizeof *p->word);
		uint32_t *set = p->word + n;
		for (size_t i = 0; i < words.n; i++)
			set[i] = (uint32_t)hash64(words.at[i].at, words.at[i].n, 0);
		qsort(set, words.n, sizeof *set, by_number);
		size_t n_set = 0;
		for (size_t i = 0; i < words.n; i++)
			if (i == 0 || set[i] != set[i - 1])
				set[n_set++] = set[i];
		n += n_set;
	}
	p->word_start[2 * p->n] = n;
	text_words_free(&words);
}

/* What the sets of words of texts s and t share. */
static double
jaccard(const struct pairs *p, size_t s, size_t t)
{
	const uint32_t *a = p->word + p->word_start[s], *b = p->word + p->word_start[t];
	size_t n_a = p->word_start[s + 1] - p->word_start[s], n_b = p->word_start[t + 1] - p->word_start[t], n_both = 0;

	for (size_t i = 0, j = 0; i < n_a && j < n_b; ) {
		uint32_t x = a[i], y = b[j];
		n_both += x == y;
		i += x <= y;
		j += y <= x;
	}
	return n_a + n_b > n_both ? (double)n_both / (double)(n_a + n_b - n_both) : 0;
}

static int
repeats(const struct pairs *p, size_t i, size_t j)
{
	return jaccard(p, 2 * i + 1, 2 * j + 1) > p->set.overlap || jaccard(p, 2 * i, 2 * j) > p->set.overlap;
}

static void
sort_by_user(struct pairs *p)
{
	size_t *at;

	p->user_start = xcalloc(p->users.n + 1, sizeof *p->user_start);
	p->of_user = xmalloc(p->n, sizeof *p->of_user);
	for (size_t i = 0; i < p->n; i++)
		p->user_start[p->user[i] + 1]++;
	for (size_t u = 0; u < p->users.n; u++)
		p->user_start[u + 1] += p->user_start[u];
	at = xmalloc(p->users.n, sizeof *at);
	memcpy(at, p->user_start, p->users.n * sizeof *at);
	for (size_t i = 0; i < p->n; i++)
		p->of_user[at[p->user[i]]++] = (uint32_t)i;
	free(at);
}

/* The scale of attention over all rows: their scores' spread, from sum_ij (x_i.x_j)^2 = |X'X|^2. */
static double
beta_of_all(const struct pairs *p)
{
	enum { BLOCK = 256 };
	size_t dim = p->dim;
	double n = (double)p->n, *wide = xmalloc(BLOCK * dim, sizeof *wide), *gram = xcalloc(dim * dim, sizeof *gram);
	double *sum = xcalloc(dim, sizeof *sum), square = 0, total = 0, own = 0, own2 = 0;

	if (p->model->beta > 0 || p->n < 2) {
		free(wide);
		free(gram);
		free(sum);
		return p->model->beta > 0 ? p->model->beta : attend_beta(p->n, dim, 0);
	}
	for (size_t from = 0; from < p->n; from += BLOCK) {
		size_t m = p->n - from < BLOCK ? p->n - from : BLOCK;
		for (size_t i = 0; i < m * dim; i++)
			wide[i] = p->item[from * dim + i];
		mat_gram64(wide, m, dim, gram);
		for (size_t i = 0; i < m; i++) {
			double length = mat_ddot64(wide + i * dim, wide + i * dim, dim);
			own += length;
			own2 += length * length;
			for (size_t d = 0; d < dim; d++)
				sum[d] += wide[i * dim + d];
		}
	}
	for (size_t d = 0; d < dim; d++) {
		total += sum[d] * sum[d];
		for (size_t e = 0; e <= d; e++)
			square += (e < d ? 2 : 1) * gram[d * dim + e] * gram[d * dim + e];
	}
	double mean = (total - own) / (n * (n - 1)), var = (square - own2) / (n * (n - 1)) - mean * mean;
	free(wide);
	free(gram);
	free(sum);
	return attend_beta(p->n, dim, var > 0 ? sqrt(var) : 0);
}

static size_t
no_cluster(void *arg, size_t row)
{
	(void)arg, (void)row;
	return 0;
}

static const float *
item_rows(void *arg, size_t from, size_t n, float *scratch, struct fault *f)
{
	struct pairs *p = arg;

	(void)n, (void)scratch, (void)f;
	return p->item + from * p->dim;
}

int
pairs_end(struct pairs *p, struct embed *e, const float *item, struct fault *f)
{
	size_t n_task = (p->n + EMBED_ROWS - 1) / EMBED_ROWS;

	if (p->n < 2)
		return fault(f, EX_DATAERR, "expected two rows or more to learn from, got %zu", p->n);
	if (p->n > UINT32_MAX / 2)
		return fault(f, EX_DATAERR, "expected at most %u rows, got %zu", UINT32_MAX / 2, p->n);
	if (embed_is_remote(e))
		return fault(f, EX_DATAERR, "%s: has its vectors from a server, which is not asked here", tensor_path(p->model->file));
	p->x = xaligned(p->n * p->dim, sizeof *p->x);
	p->item = xaligned(p->n * p->dim, sizeof *p->item);
	p->embed = e;
	embed_set_as(e, EMBED_QUERY);
	thread_for(p->set.n_thread, n_task, embed_rows, p);
	if (item) {
		memcpy(p->item, item, p->n * p->dim * sizeof *p->item);
	} else {
		embed_set_as(e, EMBED_ITEM);
		p->as_items = 1;
		thread_for(p->set.n_thread, n_task, embed_rows, p);
	}
	p->embed = NULL;
	take_words(p);
	if (p->user)
		sort_by_user(p);
	p->mean = xmalloc(p->dim, sizeof *p->mean);
	for (size_t d = 0; d < p->dim; d++)
		p->mean[d] = p->model->mean[d];
	for (size_t w = 0; w < p->set.n_thread; w++) {
		struct pairs_worker *k = &p->worker[w];
		size_t n_item = p->set.n_profile > N_NEAR ? p->set.n_profile : N_NEAR;
		k->row = xmalloc(n_item, sizeof *k->row);
		k->profile = xmalloc(n_item, sizeof *k->profile);
		k->item = xmalloc(n_item, sizeof *k->item);
	}
	return 0;
}

/* Groups of rows, users or single rows, drawn until there are enough; none that would be too many. */
static size_t
hold_groups(const struct pairs *p, int by_row, double share, uint8_t *held)
{
	size_t n_group = by_row ? p->n : p->users.n, n_held = 0, n_group_held = 0;
	uint32_t *order = xmalloc(n_group, sizeof *order);
	struct rng r = rng_at(p->set.seed ^ SEED_HELD, 0);
	double n_want = share * (double)n_group, n_row_most = share * (double)p->n;

	for (size_t g = 0; g < n_group; g++)
		order[g] = (uint32_t)g;
	for (size_t g = n_group; g > 1; g--) {
		size_t k = rng_below(&r, g);
		uint32_t t = order[k];
		order[k] = order[g - 1];
		order[g - 1] = t;
	}
	/* a user who has a good part of the rows alone says little of others, and would be missed */
	for (size_t g = 0; g < n_group && (double)n_group_held < n_want; g++) {
		size_t u = order[g], n = by_row ? 1 : p->user_start[u + 1] - p->user_start[u];
		if ((double)(n_held + n) > n_row_most + 1)
			continue;
		for (size_t i = 0; i < n; i++)
			held[by_row ? u : p->of_user[p->user_start[u] + i]] = 1;
		n_held += n;
		n_group_held++;
	}
	free(order);
	return n_held;
}

size_t
pairs_hold_out(const struct pairs *p, double share, uint8_t *held, int *by_row)
{
	size_t n = 0;

	memset(held, 0, p->n);
	*by_row = 0;
	if (p->user)
		n = hold_groups(p, 0, share, held);
	if (n > 0)
		return n;
	*by_row = 1;
	return hold_groups(p, 1, share, held);
}

void
pairs_use(struct pairs *p, const uint8_t *use)
{
	p->use = use;
}

/* -- examples -- */

void
pairs_example_free(struct pairs_example *e)
{
	free(e->given);
	free(e->prompt);
	free(e->row);
	free(e->target);
	*e = (struct pairs_example){0};
}

struct making {
	struct pairs *p;
	const struct lm *m;
	const struct compose_limits *limits;
	const size_t *row;
	const uint64_t *stream;
	int together;
	struct pairs_example *out;
};

/* Rows of the user of row i, into profile[*n]: drawn without return, until there are enough. */
static void
draw_profile(struct pairs *p, struct pairs_worker *w, struct rng *r, size_t i, size_t *n)
{
	size_t u = p->user[i], from = p->user_start[u], n_left = p->user_start[u + 1] - from;

	*n = 0;
	w->deck = xgrow(w->deck, &w->n_deck_cap, n_left, sizeof *w->deck);
	memcpy(w->deck, p->of_user + from, n_left * sizeof *w->deck);
	while (n_left > 0 && *n < p->set.n_profile) {
		size_t k = rng_below(r, n_left), j = w->deck[k];
		w->deck[k] = w->deck[--n_left];
		if (j != i && (!p->use || p->use[j]) && !repeats(p, i, j))
			w->profile[(*n)++] = j;
	}
}

static void
make_example(void *arg, size_t task, size_t worker)
{
	struct making *k = arg;
	struct pairs *p = k->p;
	struct pairs_worker *w = &p->worker[worker];
	struct pairs_example *e = &k->out[task];
	size_t i = k->row[task], n = 0;
	struct rng r = rng_at(p->set.seed ^ SEED_PROFILE, k->stream[task]);
	int alone = rng_uniform(&r) < p->set.alone && !k->together;

	if (e->n_given < 2 * p->dim)
		e->given = xrealloc(e->given, e->n_given = 2 * p->dim, sizeof *e->given);
	memset(e->given, 0, 2 * p->dim * sizeof *e->given);
	if (!w->look)
		w->look = pairs_look_new(p->model, p->set.n_profile);
	if (!alone && p->user) {
		struct pairs_seen *seen = xmalloc(p->set.n_profile + 1, sizeof *seen);
		draw_profile(p, w, &r, i, &n);
		for (size_t j = 0; j < n; j++)
			w->row[j] = p->item + w->profile[j] * p->dim;
		if (pairs_look(w->look, p->x + i * p->dim, w->row, n, e->given, seen, &w->fault) < 0) {
			w->fault_at = task < w->fault_at ? task : w->fault_at;
			n = 0;
		}
		for (size_t j = 0; j < n; j++)
			w->item[j] = (struct compose_item){ pairs_output(p, w->profile[seen[j].row]), seen[j].weight };
		free(seen);
	} else if (!alone) {
		const struct near *near = &p->near[task];
		n = near->n;
		for (size_t j = 0; j < n; j++) {
			const float *x = p->item + near->at[j].row * p->dim;
			w->item[j] = (struct compose_item){ pairs_output(p, near->at[j].row), near->at[j].weight };
			for (size_t d = 0; d < p->dim; d++)
				e->given[d] += (float)near->at[j].weight * x[d];
		}
	}
	compose_prompt(&w->compose, k->m, k->limits, pairs_input(p, i), w->item, n);
	if (e->n_row_cap < k->limits->n_text) {
		e->n_row_cap = k->limits->n_text;
		e->row = xrealloc(e->row, e->n_row_cap, sizeof *e->row);
		e->target = xrealloc(e->target, e->n_row_cap, sizeof *e->target);
	}
	e->n_cut = w->compose.n_cut;
	compose_text(&w->compose, k->m, k->limits, pairs_output(p, i), e->row, e->target, &e->example.n);
	e->prompt = xgrow(e->prompt, &e->n_prompt_cap, w->compose.n + 1, sizeof *e->prompt);
	memcpy(e->prompt, w->compose.row, w->compose.n * sizeof *e->prompt);
	e->example.prompt = (struct lm_prompt){ .given = k->m->shape.n_prefix > 0 ? e->given : NULL, .row = e->prompt,
		.n = w->compose.n };
	e->example.row = e->row;
	e->example.target = e->target;
}

/* The rows that attention over all finds for rows row[n], without those that are not to be seen. */
static int
find_near(struct pairs *p, const size_t *row, size_t n, struct fault *f)
{
	struct attend_query query[NEAR_BATCH];
	struct attend_result found[NEAR_BATCH];

	if (!p->attend) {
		struct attend_settings set = { .gain = p->model->gain, .beta = p->beta = beta_of_all(p), .kappa = p->model->widening,
			.lambda = p->model->prior.lambda, .query_var = belief_query_var(&p->model->prior), .n_top = N_NEAR + N_REPEAT,
			.n_thread = p->set.n_thread };
		struct attend_pool pool = { .n_row = p->n, .dim = p->dim, .n_cluster = 1, .mean = p->mean, .rows = item_rows,
			.cluster = no_cluster, .arg = p };
		p->attend = attend_new(&pool, &set, NEAR_BATCH);
	}
	p->near = xgrow(p->near, &p->n_near_cap, n, sizeof *p->near);
	for (size_t from = 0; from < n; from += NEAR_BATCH) {
		size_t n_query = n - from < NEAR_BATCH ? n - from : NEAR_BATCH;
		for (size_t q = 0; q < n_query; q++)
			query[q] = (struct attend_query){ .x = p->x + row[from + q] * p->dim };
		if (attend_run(p->attend, n_query, query, found, f) < 0)
			return -1;
		for (size_t q = 0; q < n_query; q++) {
			struct near *near = &p->near[from + q];
			size_t i = row[from + q];
			double best = 0, sum = 0;
			near->n = 0;
			for (size_t j = 0; j < found[q].n_item && near->n < N_NEAR; j++) {
				const struct attend_item *at = &found[q].item[j];
				if (at->row == i || (p->use && !p->use[at->row]) || repeats(p, i, at->row))
					continue;
				if (near->n == 0)
					best = at->logit;
				near->at[near->n].row = at->row;
				sum += near->at[near->n++].weight = exp((at->logit - best) / found[q].temperature);
			}
			for (size_t j = 0; j < near->n; j++)
				near->at[j].weight /= sum;
		}
	}
	return 0;
}

int
pairs_examples(struct pairs *p, const struct lm *m, const struct compose_limits *l, const size_t *row,
    const uint64_t *stream, size_t n, int together, struct pairs_example *out, struct fault *f)
{
	struct making k = { p, m, l, row, stream, together, out };

	if (!p->user && find_near(p, row, n, f) < 0)
		return -1;
	for (size_t w = 0; w < p->set.n_thread; w++)
		p->worker[w].fault_at = SIZE_MAX;
	thread_for(p->set.n_thread, n, make_example, &k);
	for (size_t w = 0; w < p->set.n_thread; w++)
		if (p->worker[w].fault_at != SIZE_MAX) {
			*f = p->worker[w].fault;
			return -1;
		}
	return 0;
}
