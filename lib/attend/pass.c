/* Passes over all rows: scores, the best of them and with them T, then weights and z, tile by tile. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/inside.h"
#include "base/mem.h"
#include "base/thread.h"

/* Weights of NEAR_ROWS rows are summed in floating point. */
_Static_assert(TILE_ROWS % NEAR_ROWS == 0, "blocks of rows are the same in all passes");

/* s_j = q.x_j of one tile for every query. */
static void
score_tile(void *arg, size_t tile, size_t worker)
{
	struct attend *a = arg;
	struct worker *w = &a->worker[worker];
	size_t dim = a->pool.dim, from = tile * TILE_ROWS, end = attend_tile_end(a, tile), n_query = a->n_query - a->first;
	struct attend_span s;

	for (size_t j = from; j < end; j += s.n) {
		if (attend_span_of(a, j, end - j, w, tile, &s) < 0)
			return;
		float *score = attend_weight_at(a, a->first, j);
		const float *q = a->q + a->first * a->n_pad;
		if (n_query < 4 || (n_query < KERNEL_MANY && s.type == ATTEND_F32)) {
			a->kernel->scores(s.type, s.x, s.scale, s.n, dim, q, n_query, score, TILE_ROWS);
			continue;
		}
		const float *x = attend_widened(a, &s, w->tile);
		if (n_query < KERNEL_MANY)
			a->kernel->scores(ATTEND_F32, x, NULL, s.n, dim, q, n_query, score, TILE_ROWS);
		else
			a->kernel->scores_many(x, s.n, dim, a->grouped, n_query, score, TILE_ROWS);
		for (size_t i = 0; s.type == ATTEND_I8 && i < n_query; i++)
			for (size_t k = 0; k < s.n; k++)
				score[i * TILE_ROWS + k] *= s.scale[k];
	}
	for (size_t i = a->first; i < a->n_query; i++)
		a->most[i * a->n_tile + tile] = a->kernel->largest(attend_weights(a, i, tile), end - from);
}

/* The heaviest rows go in by their logits in double. */
static void
set_aside(struct attend *a, size_t i, size_t from, size_t end)
{
	const struct attend_item *by_row = a->settled[i].in_order;
	size_t n = a->settled[i].n_in_order;

	for (size_t t = attend_first_from(by_row, n, from); t < n && by_row[t].row < end; t++)
		*attend_weight_at(a, i, by_row[t].row) = -FLT_MAX;
}

struct row_source {
	struct attend *a;
	struct worker *w;
	size_t task;
};

static const float *
row_of(void *arg, size_t row)
{
	struct row_source *s = arg;

	return attend_row(s->a, row, s->w->row, s->w, s->task);
}

/* The best rows of a query in order, and its temperature. */
int
attend_settle_from(struct attend *a, size_t i, const float *(*row)(void *arg, size_t row), void *arg, struct worker *w)
{
	const struct attend_query *query = &a->query[i];
	struct attend_item *top = a->top + i * a->n_top;

	if (query->user_mean && query->n_scratch > w->n_scratch) {
		w->scratch = xrealloc(w->scratch, query->n_scratch, sizeof *w->scratch);
		w->n_scratch = query->n_scratch;
	}
	if (attend_settle(&a->set, query, a->pool.mean, a->pool.dim, top, a->n_top, row, arg, w->f, w->scratch, &a->settled[i]) < 0)
		return -1;
	if (!isfinite(a->settled[i].best) || !isfinite(a->settled[i].temperature))
		return attend_rows_are_impossible(a, w, top[0].row / TILE_ROWS, top[0].row / TILE_ROWS);
	struct attend_item *by_row = a->by_row + i * a->n_top;
	memcpy(by_row, top, a->n_top * sizeof *top);
	qsort(by_row, a->n_top, sizeof *by_row, attend_by_row);
	a->settled[i].in_order = by_row;
	a->settled[i].n_in_order = a->n_top;
	return 0;
}

int
attend_settle_query(struct attend *a, size_t i, struct worker *w)
{
	struct row_source source = { a, w, i };

	return attend_settle_from(a, i, row_of, &source, w);
}

static void
settle(void *arg, size_t task, size_t worker)
{
	struct attend *a = arg;
	size_t i = a->first + task;

	if (attend_find_top(a, i, &a->worker[worker]) < 0 || attend_settle_query(a, i, &a->worker[worker]) < 0)
		return;
	set_aside(a, i, 0, a->pool.n_row);
}

/* exp((l - best) / T) of a row that was scored again. */
float
attend_weight_of(const struct settled *at, double logit)
{
	double l = (logit - at->best) / at->temperature;

	return l > LOGIT_FLOOR ? (float)exp(l) : 0;
}

struct kernel_pass
attend_pass_of(const struct attend *a, size_t i)
{
	const struct settled *at = &a->settled[i];

	struct kernel_pass p = attend_pass_at(a->set.beta, at->best, at->temperature);

	p.q = a->q + i * a->n_pad;
	p.least = (float)a->w_least;
	return p;
}

/* What is added to the logits of rows [from, end), in w->add. -1: they could not be read. */
static int
add_bonus(struct attend *a, size_t i, size_t from, size_t end, struct worker *w)
{
	struct attend_span s;

	for (size_t j = from; j < end; j += s.n) {
		if (attend_span_of(a, j, end - j, w, from / TILE_ROWS, &s) < 0)
			return -1;
		for (size_t k = 0; k < s.n; k++)
			w->add[j - from + k] = attend_bonus_of(&a->set, &a->query[i], a->pool.n_cluster, s.cluster[k]);
	}
	return 0;
}

/* The scores of query i in rows [from, end), at most NEAR_ROWS of a tile, become weights; what they add up to goes to the worker.
   kept, if not NULL: those that z wants, else 0; *n_kept is how many. *next: the first of its best rows that is not before from;
   moved on to end. */
static int
weigh_rows(struct attend *a, size_t i, size_t from, size_t end, float *kept, size_t *n_kept, size_t *next, struct worker *w)
{
	const struct settled *at = &a->settled[i];
	const struct kernel_pass p = attend_pass_of(a, i);
	float *score = attend_weight_at(a, i, from);
	double sum[2];

	if (a->query[i].bonus && add_bonus(a, i, from, end, w) < 0)
		return -1;
	size_t n = a->kernel->weigh(&p, score, a->query[i].bonus ? w->add : NULL, end - from, score, kept, sum);

	if (!attend_sum_is_possible(sum))
		return attend_rows_are_impossible(a, w, from / TILE_ROWS, from / TILE_ROWS);
	total_add(&w->total[i], sum);
	for (; *next < at->n_in_order && at->in_order[*next].row < end; ++*next) {
		size_t j = at->in_order[*next].row - from;
		float weight = attend_weight_of(at, at->in_order[*next].logit);
		score[j] = weight;
		if (kept) {
			kept[j] = weight >= p.least ? weight : 0;
			n += weight >= p.least;
		}
	}
	if (kept)
		*n_kept = n;
	return 0;
}

static void pass_one(struct attend *a, size_t tile, struct worker *w);

/* Of one query, most rows of a tile weigh enough for z: told from their scores, where no bonus is added. */
static int
is_heavy(const struct attend *a, size_t i, size_t tile)
{
	const struct settled *at = &a->settled[i];
	const float *score = attend_weights(a, i, tile), least = (float)((at->best + at->temperature * a->log_least) / a->set.beta);
	size_t n = attend_tile_end(a, tile) - tile * TILE_ROWS;
	uint32_t n_heavy = 0;

	for (size_t j = 0; !a->query[i].bonus && j < n; j++)
		n_heavy += score[j] >= least;
	return n_heavy > n / 2;
}

/* Rows that are read anyway may as well be scored again, unless that takes longer than memory takes to bring them. */
static int
is_scored_again(struct attend *a, size_t tile, struct worker *w)
{
	struct attend_span s = { .type = ATTEND_F32 };

	if (a->pool.span && attend_span_of(a, tile * TILE_ROWS, 1, w, tile, &s) < 0)
		return 0;
	return s.type != ATTEND_I8;
}

/* Rows [from, end), a tile, for one query: what z wants of it stands in one list, so that memory is asked for these rows alone, and
   well before. */
static int
blend_listed(struct attend *a, size_t from, size_t end, struct worker *w)
{
	struct attend_span s;
	size_t n_kept;

	for (size_t j = from, next; j < end; j = next) {
		next = j + NEAR_ROWS < end ? j + NEAR_ROWS : end;
		if (weigh_rows(a, a->first, j, next, w->near + (j - from), &n_kept, &w->next[a->first], w) < 0)
			return -1;
	}
	for (size_t j = from; j < end; j += s.n) {
		if (attend_span_of(a, j, end - j, w, from / TILE_ROWS, &s) < 0)
			return -1;
		attend_blend_list(a, a->first, from / TILE_ROWS, &s, w->near + (j - from), w);
	}
	return 0;
}

/* Rows [from, end) of a tile: some queries after the others, whose weights are near when z wants them. */
static int
blend_rows(struct attend *a, size_t from, size_t end, struct worker *w)
{
	struct attend_span s;

	for (size_t first = a->first, last; first < a->n_query; first = last) {
		last = a->n_query - first < NEAR_QUERIES ? a->n_query : first + NEAR_QUERIES;
		for (size_t i = first; i < last; i++) {
			/* the scores of other queries lie in other pages: memory is asked for them beforehand */
			for (size_t k = 0; i + 2 < a->n_query && k < end - from; k += 16)
				__builtin_prefetch(attend_weight_at(a, i + 2, from) + k, 1);
			if (weigh_rows(a, i, from, end, w->near + (i - first) * NEAR_ROWS, &w->n_heavy[i - first], &w->next[i], w) < 0)
				return -1;
		}
		for (size_t j = from; j < end; j += s.n) {
			if (attend_span_of(a, j, end - j, w, from / TILE_ROWS, &s) < 0)
				return -1;
			attend_blend_span(a, from, end - from, &s, j - from, first, last, w);
		}
	}
	return 0;
}

/* Weights of one tile for every query, and their part of z. Last tiles first: what the scores came from is still near. */
static void
blend_tile(void *arg, size_t task, size_t worker)
{
	struct attend *a = arg;
	struct worker *w = &a->worker[worker];
	size_t tile = a->n_tile - 1 - task, end = attend_tile_end(a, tile);
	const int is_one = a->n_query - a->first == 1;

	/* the rows pass once, in their order */
	if (is_one && is_scored_again(a, tile, w) && is_heavy(a, a->first, tile)) {
		pass_one(a, tile, w);
		return;
	}
	memset(w->part + a->first * a->n_pad, 0, (a->n_query - a->first) * a->n_pad * sizeof *w->part);
	for (size_t i = a->first; i < a->n_query; i++)
		w->next[i] = attend_first_from(a->settled[i].in_order, a->settled[i].n_in_order, tile * TILE_ROWS);
	for (size_t j = tile * TILE_ROWS, next; j < end; j = next) {
		next = is_one || end - j < NEAR_ROWS ? end : j + NEAR_ROWS;
		if ((is_one ? blend_listed(a, j, next, w) : blend_rows(a, j, next, w)) < 0)
			return;
	}
	for (size_t i = a->first; i < a->n_query; i++) {
		if (!attend_z_is_possible(w->part + i * a->n_pad, a->pool.dim)) {
			attend_rows_are_impossible(a, w, tile, tile);
			return;
		}
		total_add_z(w->total[i].z, w->part + i * a->n_pad, a->pool.dim);
	}
}

/* One query: rows are scored, weighed and blended a block after the other, while memory brings the next. */
static int
pass_block(struct attend *a, size_t i, size_t from, size_t end, size_t tile_last, struct worker *w)
{
	const float w_least = (float)a->w_least;
	const struct settled *at = &a->settled[i];
	float *score = attend_weight_at(a, i, from);
	size_t dim = a->pool.dim, top = attend_first_from(at->in_order, at->n_in_order, from);
	struct attend_span s;

	if (attend_span_of(a, from, end - from, w, from / TILE_ROWS, &s) < 0)
		return -1;
	/* all but blocks in which a row is set aside, or which are of two segments */
	if (s.n == end - from && (top == at->n_in_order || at->in_order[top].row >= end)) {
		const struct kernel_pass p = attend_pass_of(a, i);
		double sum[2];
		for (size_t k = 0; a->query[i].bonus && k < s.n; k++)
			w->add[k] = attend_bonus_of(&a->set, &a->query[i], a->pool.n_cluster, s.cluster[k]);
		a->kernel->pass(&p, s.type, s.x, s.scale, s.n, dim, a->query[i].bonus ? w->add : NULL, score, w->part + i * a->n_pad, sum);
		if (!attend_sum_is_possible(sum))
			return attend_rows_are_impossible(a, w, from / TILE_ROWS, from / TILE_ROWS);
		total_add(&w->total[i], sum);
		return 0;
	}
	for (size_t j = from; j < end; j += s.n) {
		if (attend_span_of(a, j, end - j, w, from / TILE_ROWS, &s) < 0)
			return -1;
		a->kernel->scores(s.type, s.x, s.scale, s.n, dim, a->q + i * a->n_pad, 1, score + (j - from), 0);
	}
	set_aside(a, i, from, end);
	if (weigh_rows(a, i, from, end, NULL, NULL, &top, w) < 0)
		return -1;
	for (size_t j = from; j < end; j += s.n) {
		if (attend_span_of(a, j, end - j, w, from / TILE_ROWS, &s) < 0)
			return -1;
		size_t n_some = a->kernel->list(score + (j - from), s.n, w_least, w->some, w->near);
		/* the other half of the next block; while the scores were taken memory was asked for the first */
		const char *later = j + 2 * s.n <= tile_last ? (const char *)s.x + (s.n + s.n / 2) * dim * attend_type_size(s.type) : NULL;
		a->kernel->blend_some(s.type, s.x, s.scale, w->some, n_some, dim, w->near, w->part + i * a->n_pad, later);
	}
	return 0;
}

/* A tile of one query. */
static void
pass_one(struct attend *a, size_t tile, struct worker *w)
{
	size_t i = a->first, end = attend_tile_end(a, tile);
	float *part = w->part + i * a->n_pad;

	memset(part, 0, a->n_pad * sizeof *part);
	for (size_t j = tile * TILE_ROWS; j < end; j += NEAR_ROWS)
		if (pass_block(a, i, j, j + NEAR_ROWS < end ? j + NEAR_ROWS : end, end, w) < 0)
			return;
	if (!attend_z_is_possible(part, a->pool.dim))
		attend_rows_are_impossible(a, w, tile, tile);
	else
		total_add_z(w->total[i].z, part, a->pool.dim);
}

static void
pass_tile(void *arg, size_t tile, size_t worker)
{
	struct attend *a = arg;

	if (a->n_query - a->first == 1) {
		pass_one(a, tile, &a->worker[worker]);
		return;
	}
	score_tile(a, tile, worker);
	for (size_t i = a->first; i < a->n_query; i++)
		set_aside(a, i, tile * TILE_ROWS, attend_tile_end(a, tile));
	blend_tile(a, a->n_tile - 1 - tile, worker);
}

static void
group_queries(struct attend *a)
{
	if (a->n_query - a->first >= KERNEL_MANY)
		a->kernel->group(a->q + a->first * a->n_pad, a->n_query - a->first, a->pool.dim, a->grouped);
}

/* Queries whose best rows are known are scored, weighed and blended tile by tile. */
int
attend_one_pass(struct attend *a, struct fault *f)
{
	group_queries(a);
	thread_for(a->set.n_thread, a->n_tile, pass_tile, a);
	return attend_first_fault(a, f);
}

int
attend_score_pass(struct attend *a, struct fault *f)
{
	group_queries(a);
	thread_for(a->set.n_thread, a->n_tile, score_tile, a);
	return attend_first_fault(a, f);
}

/* All scores, then the best rows and with them T, then weights and z. */
int
attend_two_passes(struct attend *a, struct fault *f)
{
	if (attend_score_pass(a, f) < 0)
		return -1;
	thread_for(a->set.n_thread, a->n_query - a->first, settle, a);
	if (attend_first_fault(a, f) < 0)
		return -1;
	thread_for(a->set.n_thread, a->n_tile, blend_tile, a);
	return attend_first_fault(a, f);
}
