/* hare-attend --partial and --merge: one column carries what processes that see different shards tell each other.
   What it holds is base64 of: a step (1, 2 or 3), struct head, the best rows, and in step 3 sums. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/partial.h"
#include "attend_job.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"

struct head {
	uint64_t key;           /* of the query, its user and the constants: all shards must have seen the same */
	uint64_t n_whole, first, n_row;
	uint64_t dim, n_item, n_top;    /* n_top: rows that follow */
	double beta, alpha, gain, kappa, lambda, query_var;
	double best, temperature, tau;
};

struct best_row {               /* then id and, in step 1, [dim] floats */
	uint64_t row;
	double logit;
	float score;
	uint32_t cluster, n_id, pad;
};

/* What is known of one record while shards are missing. */
struct group {
	struct group *next;     /* of the same slot */
	uint64_t hash;
	int step;
	struct head head;       /* n_row: rows of the shards that came */
	struct buf rows;        /* struct best_row and what follows it, one behind the other */
	uint64_t *first;        /* [n_shard], of shards with rows */
	size_t n_shard, n_shard_cap;
	struct attend_sums sums;
	char where[64];
};

struct partial {
	int merging, no_x, partial_column;
	const char *name[12];
	size_t n_name;
	struct group **slot;    /* [N_SLOT] */
	size_t n_open;
	struct buf bytes, text, passes;
	struct group **done;    /* [n_done_cap], by record of the batch */
	size_t n_done_cap;
	int step;               /* of the records that come in; 0: none has */
	float *z;
};
enum { N_SLOT = 1 << 14 };

static void
group_free(struct group *g)
{
	if (!g)
		return;
	buf_free(&g->rows);
	free(g->first);
	free(g->sums.z);
	free(g);
}

void
attending_partial_free(struct attending *a)
{
	struct partial *p = a->partial;

	if (!p)
		return;
	for (size_t i = 0; i < N_SLOT; i++)
		while (p->slot[i]) {
			struct group *g = p->slot[i];
			p->slot[i] = g->next;
			group_free(g);
		}
	free(p->slot);
	free(p->done);
	free(p->z);
	buf_free(&p->bytes);
	buf_free(&p->text);
	buf_free(&p->passes);
	free(p);
	a->partial = NULL;
}

static int
open_out(struct attending *a, int step, struct fault *f)
{
	struct partial *p = a->partial;
	const char *only[] = { record_column_name("partial") };
	const int drop[] = { p->partial_column, p->merging && step == 3 && p->no_x ? a->x_column : -1, -1 };
	const int *from = p->partial_column < 0 ? drop + 1 : drop;

	a->out = p->merging && step == 3 ? record_out_open(a->in, from, p->name, p->n_name, f) : record_out_open(a->in, from, only, 1, f);
	return a->out ? 0 : -1;
}

int
attending_open_partial(struct attending *a, int merging, int no_x, const char *const *name, size_t n_name, struct fault *f)
{
	struct partial *p = a->partial = xcalloc(1, sizeof *p);

	p->slot = xcalloc(N_SLOT, sizeof *p->slot);
	p->merging = merging;
	p->no_x = no_x;
	p->n_name = n_name;
	memcpy(p->name, name, n_name * sizeof *name);
	p->partial_column = merging ? record_need(a->in, "partial", f) : record_find(a->in, "partial");
	if (merging && p->partial_column < 0)
		return -1;
	if (!merging)
		p->step = p->partial_column < 0 ? 0 : 2;
	return merging ? 0 : open_out(a, p->step + 1, f);
}

/* -- the column -- */

static void
put_cell(struct partial *p, struct record_row *cells)
{
	size_t n = num_base64_size(p->bytes.n);

	buf_clear(&p->text);
	buf_reserve(&p->text, n);
	num_base64_put(p->text.at, p->bytes.at, p->bytes.n);
	record_put_text(cells, p->text.at, n);
}

static uint64_t
key_of(const struct attending *a, size_t i)
{
	const struct attend_query *q = &a->query[i];
	size_t dim = a->model->dim;
	uint64_t key = hash64(q->x, dim * sizeof *q->x, 1);

	key = hash64(a->model->space, 32, key);
	if (q->user_mean) {
		key = hash64(q->user_mean, dim * sizeof *q->user_mean, key);
		key = hash64(&q->query_weight, sizeof q->query_weight, key);
		key = hash64(&q->user_times, sizeof q->user_times, key);
	}
	if (q->bonus)
		key = hash64(q->bonus, a->n_cluster * sizeof *q->bonus, key);
	return key;
}

static struct head
head_of(const struct attending *a, size_t i)
{
	return (struct head){ .key = key_of(a, i), .n_whole = a->whole.n, .first = a->whole.first, .n_row = pool_n(a->pool),
	    .dim = a->model->dim, .n_item = a->set.n_top, .beta = a->set.beta, .alpha = a->set.alpha, .gain = a->set.gain,
	    .kappa = a->set.kappa, .lambda = a->set.lambda, .query_var = a->set.query_var };
}

static int
wrong(const struct attending *a, size_t i, struct fault *f)
{
	return record_fault(a->in, i, a->partial->partial_column, f, "expected what hare-attend --partial or --merge wrote");
}

/* The next row of s; 0, or -1: there is none. */
static int
take_row(struct span *s, int step, size_t dim, struct best_row *row, struct span *id, const float **x)
{
	size_t n_vector = step == 1 ? dim * sizeof **x : 0;

	if (s->n < sizeof *row)
		return -1;
	memcpy(row, s->at, sizeof *row);
	/* ids are padded, so that floats and rows lie straight */
	size_t n_id = (row->n_id + (size_t)7) / 8 * 8, n_all = (n_vector + 7) / 8 * 8;
	if (s->n - sizeof *row < n_id || s->n - sizeof *row - n_id < n_all)
		return -1;
	*id = (struct span){ s->at + sizeof *row, row->n_id };
	*x = (const float *)(const void *)(s->at + sizeof *row + n_id);
	s->at += sizeof *row + n_id + n_all;
	s->n -= sizeof *row + n_id + n_all;
	return 0;
}

static void
put_row(struct buf *b, const struct best_row *row, struct span id, const float *x, size_t dim)
{
	static const char none[8];

	buf_put(b, row, sizeof *row);
	if (id.n > 0)
		buf_put(b, id.at, id.n);
	if (id.n % 8)
		buf_put(b, none, 8 - id.n % 8);
	if (x)
		buf_put(b, x, dim * sizeof *x);
	if (x && dim % 2)
		buf_put(b, none, 4);
}

/* The cell of record i: its step, head, rows and what is behind them. Nothing of it is believed until it accounts for all. */
static int
read_cell(struct attending *a, size_t i, int *step, struct head *head, struct span *rows, struct span *rest, struct fault *f)
{
	struct partial *p = a->partial;
	struct span cell = record_cell(a->in, i, p->partial_column), id;
	struct best_row row;
	const float *x;
	uint64_t kind;

	buf_clear(&p->bytes);
	buf_reserve(&p->bytes, cell.n + 8);
	ptrdiff_t n = num_base64_read(p->bytes.at, cell.at, cell.n);
	if (n < (ptrdiff_t)(sizeof kind + sizeof *head))
		return wrong(a, i, f);
	memcpy(&kind, p->bytes.at, sizeof kind);
	memcpy(head, p->bytes.at + sizeof kind, sizeof *head);
	*rest = (struct span){ p->bytes.at + sizeof kind + sizeof *head, (size_t)n - sizeof kind - sizeof *head };
	if (kind < 1 || kind > 3 || head->dim != a->model->dim || head->n_whole == 0 || head->n_whole > (uint64_t)1 << 40 ||
	    head->first > head->n_whole || head->n_row > head->n_whole - head->first || head->n_item == 0 ||
	    !isfinite(head->beta) || !isfinite(head->alpha) || !isfinite(head->best) || !(head->temperature >= 1 || kind == 1))
		return wrong(a, i, f);
	rows->at = rest->at;
	for (uint64_t k = 0; k < head->n_top; k++) {
		if (take_row(rest, (int)kind, head->dim, &row, &id, &x) < 0 || row.row >= head->n_whole || !isfinite(row.logit) ||
		    !isfinite(row.score))
			return wrong(a, i, f);
		for (size_t d = 0; kind == 1 && d < head->dim; d++)
			if (!(fabsf(x[d]) < 2))
				return wrong(a, i, f);
	}
	rows->n = (size_t)(rest->at - rows->at);
	if (rest->n != (kind == 3 ? (4 + head->dim) * sizeof(uint64_t) : 0))
		return wrong(a, i, f);
	*step = (int)kind;
	return 0;
}

/* -- one shard -- */

static int
put_found(struct attending *a, size_t i, struct fault *f)
{
	struct partial *p = a->partial;
	struct head head = head_of(a, i);
	uint64_t step = 1;
	float *x = xmalloc(head.dim, sizeof *x);
	int r = 0;

	head.n_top = a->attend ? attend_n_found(a->attend) : 0;
	buf_clear(&p->bytes);
	buf_put(&p->bytes, &step, sizeof step);
	buf_put(&p->bytes, &head, sizeof head);
	for (size_t k = 0; r == 0 && k < head.n_top; k++) {
		struct attend_found found;
		r = attend_found_row(a->attend, i, k, a->whole.first, x, &found, f);
		if (r < 0 || (r = pool_check_row(a->pool, found.row - a->whole.first, f)) < 0)
			break;
		struct span id = pool_id(a->pool, found.row - a->whole.first);
		double bonus = a->query[i].bonus ? a->set.alpha * a->query[i].bonus[found.cluster < a->n_cluster ? found.cluster : 0] : 0;
		struct best_row row = { .row = found.row, .logit = a->set.beta * found.score + bonus, .score = found.score,
		    .cluster = found.cluster, .n_id = (uint32_t)id.n };
		put_row(&p->bytes, &row, id, x, head.dim);
	}
	free(x);
	if (r == 0)
		put_cell(p, &a->cells[i]);
	return r;
}

static int
find_in_shard(struct attending *a, struct fault *f)
{
	if (a->attend && attend_find(a->attend, a->n_query, a->query, f) < 0)
		return -1;
	for (size_t i = 0; i < a->n_query; i++) {
		record_row_begin(&a->cells[i], a->out);
		if (put_found(a, i, f) < 0 || record_emit(a->out, a->in, a->row[i], &a->cells[i], f) < 0)
			return -1;
	}
	return 0;
}

/* Rows and logits of a cell of step 2 or 3. */
static struct attend_settled
settled_of(const struct head *head, struct span rows)
{
	struct attend_settled s = { head->best, head->temperature, head->tau, xcalloc(head->n_top ? head->n_top : 1, sizeof *s.top), head->n_top };
	struct best_row row;
	struct span id;
	const float *x;

	for (size_t k = 0; k < head->n_top && take_row(&rows, 2, head->dim, &row, &id, &x) == 0; k++)
		s.top[k] = (struct attend_item){ .row = row.row, .logit = row.logit };
	return s;
}

static int
sum_in_shard(struct attending *a, struct fault *f)
{
	struct partial *p = a->partial;
	struct attend_settled *settled = xcalloc(a->n_query, sizeof *settled);
	struct head *head = xcalloc(a->n_query, sizeof *head);
	struct buf *rows = xcalloc(a->n_query, sizeof *rows);
	struct attend_sums sums = { .z = xcalloc(a->model->dim, sizeof *sums.z) };
	uint64_t three = 3;
	int r = 0, step;

	for (size_t i = 0; r == 0 && i < a->n_query; i++) {
		struct span s, rest;
		struct head mine = head_of(a, i);
		r = read_cell(a, a->row[i], &step, &head[i], &s, &rest, f);
		if (r == 0 && step != 2)
			r = record_fault(a->in, a->row[i], p->partial_column, f, "expected what --merge wrote of the best rows, got step %d", step);
		if (r == 0 && (head[i].key != mine.key || head[i].n_whole != mine.n_whole || head[i].beta != mine.beta ||
		    head[i].alpha != mine.alpha || head[i].gain != mine.gain))
			r = record_fault(a->in, a->row[i], p->partial_column, f,
			    "expected the query, STATE, constants and whole pool of the first step, got others");
		if (r < 0)
			break;
		buf_put(&rows[i], s.at, s.n);
		settled[i] = settled_of(&head[i], buf_span(&rows[i]));
	}
	if (r == 0 && a->attend)
		r = attend_sum(a->attend, a->n_query, a->query, settled, a->whole.first, f);
	for (size_t i = 0; r == 0 && i < a->n_query; i++) {
		if (a->attend)
			attend_sums_of(a->attend, i, &sums);
		head[i].first = a->whole.first;
		head[i].n_row = pool_n(a->pool);
		buf_clear(&p->bytes);
		buf_put(&p->bytes, &three, sizeof three);
		buf_put(&p->bytes, &head[i], sizeof *head);
		buf_put(&p->bytes, rows[i].at, rows[i].n);
		buf_put(&p->bytes, sums.w, sizeof sums.w);
		buf_put(&p->bytes, sums.wl, sizeof sums.wl);
		buf_put(&p->bytes, sums.z, a->model->dim * sizeof *sums.z);
		record_row_begin(&a->cells[i], a->out);
		put_cell(p, &a->cells[i]);
		r = record_emit(a->out, a->in, a->row[i], &a->cells[i], f);
	}
	for (size_t i = 0; i < a->n_query; i++) {
		free(settled[i].top);
		buf_free(&rows[i]);
	}
	free(sums.z);
	free(rows);
	free(head);
	free(settled);
	return r;
}

/* -- all shards -- */

struct place {
	double logit;
	uint64_t row;
	size_t at, n;
};

static int
by_logit(const void *s, const void *t)
{
	const struct place *a = s, *b = t;

	return a->logit != b->logit ? (a->logit > b->logit ? -1 : 1) : a->row < b->row ? -1 : a->row > b->row;
}

static size_t
n_wanted(const struct head *head)
{
	uint64_t n = head->n_item > ATTEND_N_SHARP ? head->n_item : ATTEND_N_SHARP;

	return n < head->n_whole ? n : head->n_whole;
}

/* Of all rows found so far, those that can still be among the best. */
static void
keep_best(struct group *g)
{
	struct place *place = xcalloc(g->head.n_top ? g->head.n_top : 1, sizeof *place);
	struct span s = buf_span(&g->rows), id;
	struct best_row row;
	struct buf kept = {0};
	const float *x;
	size_t n = 0;

	while (n < g->head.n_top && take_row(&s, 1, g->head.dim, &row, &id, &x) == 0) {
		size_t at = n > 0 ? place[n - 1].at + place[n - 1].n : 0;
		place[n] = (struct place){ row.logit, row.row, at, (size_t)(s.at - g->rows.at) - at };
		n++;
	}
	if (n > 0)
		qsort(place, n, sizeof *place, by_logit);
	if (n > n_wanted(&g->head))
		n = n_wanted(&g->head);
	for (size_t k = 0; k < n; k++)
		buf_put(&kept, g->rows.at + place[k].at, place[k].n);
	buf_free(&g->rows);
	g->rows = kept;
	g->head.n_top = n;
	free(place);
}

static int
has_shard(const struct group *g, const struct head *head)
{
	for (size_t k = 0; k < g->n_shard; k++)
		if (g->first[k] == head->first)
			return 1;
	return 0;
}

static int
is_same(const struct head *s, const struct head *t)
{
	return s->key == t->key && s->n_whole == t->n_whole && s->n_item == t->n_item && s->beta == t->beta && s->alpha == t->alpha &&
	    s->gain == t->gain && s->kappa == t->kappa && s->lambda == t->lambda && s->query_var == t->query_var && s->best == t->best && s->temperature == t->temperature;
}

/* The group that record i belongs to: that of the same other columns. A record that is there twice has a group for each. */
static struct group **
find_group(struct attending *a, size_t i, int step, const struct head *head, struct fault *f)
{
	struct partial *p = a->partial;
	uint64_t hash = (uint64_t)step;

	for (size_t c = 0; c < record_n_column(a->in); c++) {
		struct span cell = record_cell(a->in, i, (int)c);
		if ((int)c != p->partial_column)
			hash = hash64(cell.at, cell.n, hash);
	}
	struct group **at = &p->slot[hash % N_SLOT];
	for (; *at; at = &(*at)->next) {
		if ((*at)->hash != hash || has_shard(*at, head))
			continue;
		if (is_same(&(*at)->head, head))
			return at;
		record_fault(a->in, i, p->partial_column, f, "expected the query, STATE, constants and whole pool of the other shards, got others");
		return NULL;
	}
	struct group *g = *at = xcalloc(1, sizeof *g);
	g->hash = hash;
	g->step = step;
	g->head = *head;
	g->head.n_row = g->head.n_top = 0;
	g->sums.z = xcalloc(head->dim, sizeof *g->sums.z);
	strncpy(g->where, record_where(a->in, i), sizeof g->where - 1);
	p->n_open++;
	return at;
}

/* What record i tells. The group, cut out of the table, once it is whole; NULL before, and with *failed set for a fault. */
static struct group *
take_record(struct attending *a, size_t i, int *failed, struct fault *f)
{
	struct partial *p = a->partial;
	struct head head;
	struct span rows, rest;
	int step;

	if (read_cell(a, i, &step, &head, &rows, &rest, f) < 0 || (step == 2 && wrong(a, i, f) < 0)) {
		*failed = 1;
		return NULL;
	}
	if (p->step != 0 && step != p->step) {
		record_fault(a->in, i, p->partial_column, f, "expected step %d as in the records before, got step %d", p->step, step);
		*failed = 1;
		return NULL;
	}
	p->step = step;
	if (head.n_row == 0)    /* a shard without rows adds nothing */
		return NULL;
	struct group **at = find_group(a, i, step, &head, f);
	if (!at) {
		*failed = 1;
		return NULL;
	}
	struct group *g = *at;
	if (step == 1) {
		buf_put(&g->rows, rows.at, rows.n);
		g->head.n_top += head.n_top;
		keep_best(g);
	} else {
		struct attend_sums part = { .z = xmalloc(head.dim, sizeof *part.z) };
		if (g->rows.n == 0) {
			buf_put(&g->rows, rows.at, rows.n);
			g->head.n_top = head.n_top;
		}
		memcpy(part.w, rest.at, sizeof part.w);
		memcpy(part.wl, rest.at + sizeof part.w, sizeof part.wl);
		memcpy(part.z, rest.at + sizeof part.w + sizeof part.wl, head.dim * sizeof *part.z);
		attend_sums_add(&g->sums, &part, head.dim);
		free(part.z);
	}
	g->head.n_row += head.n_row;
	g->first = xgrow(g->first, &g->n_shard_cap, g->n_shard + 1, sizeof *g->first);
	g->first[g->n_shard++] = head.first;
	if (g->head.n_row < g->head.n_whole)
		return NULL;
	*at = g->next;
	p->n_open--;
	return g;
}

/* Step 2 of query i: the best rows of the whole, T, and ids of those that will be listed. */
static int
put_settled(struct attending *a, size_t i, struct group *g, struct fault *f)
{
	struct partial *p = a->partial;
	struct head head = g->head;
	size_t n = head.n_top, n_top = n < n_wanted(&head) ? n : n_wanted(&head);
	struct attend_found *found = xcalloc(n ? n : 1, sizeof *found);
	struct span *id = xcalloc(n ? n : 1, sizeof *id), s = buf_span(&g->rows);
	struct attend_settled settled = { .top = xcalloc(n_top ? n_top : 1, sizeof *settled.top) };
	struct attend_settings set = a->set;
	struct best_row row;
	uint64_t two = 2;

	for (size_t k = 0; k < n && take_row(&s, 1, head.dim, &row, &id[k], &found[k].x) == 0; k++) {
		found[k].row = row.row;
		found[k].score = row.score;
		found[k].cluster = row.cluster;
	}
	set.beta = head.beta;
	set.alpha = head.alpha;
	set.gain = head.gain;
	set.kappa = head.kappa;
	set.lambda = head.lambda;
	set.query_var = head.query_var;
	int r = n_top == 0 ? wrong(a, a->row[i], f) : 0;
	if (r == 0) {
		attend_settle_found(&set, &a->query[i], a->mean, head.dim, a->n_cluster, found, n, n_top, &settled);
		head.best = settled.best;
		head.temperature = settled.temperature;
		head.tau = settled.tau;
		head.first = head.n_row = 0;
		head.n_top = n_top;
		buf_clear(&p->bytes);
		buf_put(&p->bytes, &two, sizeof two);
		buf_put(&p->bytes, &head, sizeof head);
		for (size_t k = 0; k < n_top; k++) {
			size_t from = 0;
			while (found[from].row != settled.top[k].row)
				from++;
			struct span listed = k < head.n_item ? id[from] : (struct span){ "", 0 };
			struct best_row best = { .row = settled.top[k].row, .logit = settled.top[k].logit, .n_id = (uint32_t)listed.n };
			put_row(&p->bytes, &best, listed, NULL, head.dim);
		}
		put_cell(p, &a->cells[i]);
	}
	free(settled.top);
	free(id);
	free(found);
	return r;
}

/* Step 4 of query i: the answer. */
static void
put_answer(struct attending *a, size_t i, struct group *g)
{
	struct attend_settled settled = settled_of(&g->head, buf_span(&g->rows));
	struct attend_result result;
	struct record_row *cells = &a->cells[i];
	struct span s = buf_span(&g->rows), *id;
	struct best_row row;
	const float *x;
	float *weight;

	if (!a->partial->z)
		a->partial->z = xmalloc(g->head.dim, sizeof *a->partial->z);
	attend_put_together(&settled, &g->sums, g->head.n_item, g->head.dim, a->partial->z, &result);
	id = xcalloc(result.n_item ? result.n_item : 1, sizeof *id);
	weight = xcalloc(result.n_item ? result.n_item : 1, sizeof *weight);
	for (size_t k = 0; k < result.n_item && take_row(&s, 3, g->head.dim, &row, &id[k], &x) == 0; k++)
		weight[k] = (float)result.item[k].weight;
	if (!attend_wish.no_z)
		record_put_vector(cells, result.z, g->head.dim);
	record_put_list(cells, id, result.n_item);
	record_put_floats(cells, weight, result.n_item);
	record_put_float(cells, (float)result.entropy_nats);
	record_put_float(cells, (float)result.uncertainty);
	free(weight);
	free(id);
	free(settled.top);
}

static int
check_key(struct attending *a, size_t i, const struct group *g, struct fault *f)
{
	if (g->head.key == key_of(a, i))
		return 0;
	return record_fault(a->in, a->row[i], a->partial->partial_column, f, "expected the STATE of the other steps, got another");
}

/* A header that came along where streams with one each were put one behind the other. */
static int
is_header(struct attending *a, size_t i)
{
	for (size_t c = 0; c < record_n_column(a->in); c++) {
		struct span cell = record_cell(a->in, i, (int)c), name = record_name(a->in, c);
		if (cell.n != name.n || memcmp(cell.at, name.at, name.n) != 0)
			return 0;
	}
	return 1;
}

static int
merge_batch(struct attending *a, size_t n, struct fault *f)
{
	struct partial *p = a->partial;
	int failed = 0, r = 0;

	p->done = xgrow(p->done, &p->n_done_cap, n, sizeof *p->done);
	memset(p->done, 0, n * sizeof(*p->done));
	buf_clear(&p->passes);
	for (size_t i = 0; i < n; i++) {
		if (!failed && !is_header(a, i))
			p->done[i] = take_record(a, i, &failed, f);
		buf_putc(&p->passes, p->done[i] != NULL);
	}
	a->passes = p->passes.at;
	struct fault bad;
	if (failed || (!a->out && open_out(a, p->step, f) < 0) || (attending_read_queries(a, n, &bad) < 0 && (*f = bad, 1)) ||
	    (a->n_query > 0 && attending_ask_state(a, f) < 0))
		r = -1;
	for (size_t i = 0; r == 0 && i < a->n_query; i++) {
		struct group *g = p->done[a->row[i]];
		record_row_begin(&a->cells[i], a->out);
		r = check_key(a, i, g, f);
		if (r == 0 && g->step == 1)
			r = put_settled(a, i, g, f);
		else if (r == 0)
			put_answer(a, i, g);
		if (r == 0)
			r = record_emit(a->out, a->in, a->row[i], &a->cells[i], f);
	}
	for (size_t i = 0; i < n; i++)
		group_free(p->done[i]);
	return r;
}

static int
shard_batch(struct attending *a, size_t n, struct fault *f)
{
	struct fault bad;
	int stopped = attending_read_queries(a, n, &bad) < 0;

	if (a->n_query > 0 && (attending_ask_state(a, f) < 0 || (a->partial->step == 2 ? sum_in_shard(a, f) : find_in_shard(a, f)) < 0))
		return -1;
	if (stopped)
		*f = bad;
	return stopped ? -1 : 0;
}

static int
whole_or_fault(struct attending *a, struct fault *f)
{
	struct partial *p = a->partial;

	for (size_t i = 0; p->n_open > 0 && i < N_SLOT; i++)
		if (p->slot[i]) {
			const struct group *g = p->slot[i];
			return fault(f, EX_DATAERR, "%s: shards are missing: %llu rows of %llu have come", g->where, (unsigned long long)g->head.n_row,
			    (unsigned long long)g->head.n_whole);
		}
	return !a->out && open_out(a, 3, f) < 0 ? -1 : 0;
}

int
attending_all_partial(struct attending *a, struct fault *f)
{
	ptrdiff_t n;

	while ((n = record_batch(a->in, a->n_batch, f)) > 0) {
		if ((a->partial->merging ? merge_batch(a, (size_t)n, f) : shard_batch(a, (size_t)n, f)) < 0)
			return -1;
		if (a->out && record_would_block(a->in) && record_flush(a->out, f) < 0)
			return -1;
		a->n_asked += a->n_query;
	}
	if (n == 0 && a->partial->merging)
		n = whole_or_fault(a, f);
	return (int)n;
}
