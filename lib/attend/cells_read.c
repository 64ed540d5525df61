/* Rows of an index: scored piece by piece, weighed and blended once the temperature is known. Pieces may be of several
   threads: what each makes stands in a place of its own, or is a whole number. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "attend/cells_inside.h"
#include "base/mem.h"
#include "base/thread.h"

enum { N_SLOT = 1024,
	RUN = 8,                /* pieces of a task */
	FEW = 2048 };           /* rows that threads are not worth waking for */

int
cells_rows(struct cells *c, struct worker *w, size_t task, const struct piece *p, size_t done, struct attend_span *s,
    const uint32_t **row)
{
	struct fault f;
	struct attend *a = c->a;

	if (p->cell == SIZE_MAX)
		return attend_span_of(a, p->from + done, p->n - done, w, task, s);
	if (a->pool.indexed(a->pool.arg, p->from + done, p->n - done, s, row, &f) < 0)
		return attend_keep_fault(w, task, &f);
	return 0;
}

static size_t
task_of(const struct cells *c, const struct piece *p)
{
	return cells_task(c, (size_t)(p - c->piece));
}

/* do_piece() for every piece from the first on, next being the one that its thread does then, or NULL. -1: one of them failed,
   which its worker keeps. */
struct each {
	struct cells *c;
	size_t first;
	int (*do_piece)(struct cells *c, struct piece *p, const struct piece *next, struct worker *w);
};

static void
some_pieces(void *arg, size_t task, size_t worker)
{
	struct each *e = arg;
	struct cells *c = e->c;
	struct worker *w = cells_worker(c, worker);
	size_t end = e->first + (task + 1) * RUN;
	if (end > c->n_piece)
		end = c->n_piece;
	for (size_t k = e->first + task * RUN; k < end; k++)
		if (e->do_piece(c, &c->piece[k], k + 1 < end ? &c->piece[k + 1] : NULL, w) < 0) {
			__atomic_store_n(&c->has_failed, 1, __ATOMIC_RELAXED);
			return;
		}
}

static int
each_piece(struct cells *c, size_t first,
    int (*do_piece)(struct cells *c, struct piece *p, const struct piece *next, struct worker *w))
{
	struct each e = { c, first, do_piece };
	size_t n = first < c->n_piece ? c->n - c->piece[first].at : 0;

	thread_for(n < FEW ? 1 : c->n_thread, (c->n_piece - first + RUN - 1) / RUN, some_pieces, &e);
	return c->has_failed ? -1 : 0;
}

static void
ask_for(const void *at, size_t n_byte)
{
	enum { MOST = 3072 };   /* what follows is asked for by the loops themselves */

	for (size_t k = 0; k < n_byte && k < MOST; k += 64)
		__builtin_prefetch((const char *)at + k, 0, 2);
}

/* The next piece begins somewhere else: what is needed of it first is asked for. All places lie in one array. */
static void
ask_for_next(const struct cells *c, const struct piece *p, const struct piece *next, const struct attend_span *s,
    const uint32_t *row)
{
	if (!next || p->cell == SIZE_MAX || next->cell == SIZE_MAX)
		return;
	ptrdiff_t away = (ptrdiff_t)next->from - (ptrdiff_t)p->from;
	ptrdiff_t n_byte = (ptrdiff_t)(c->a->pool.dim * attend_type_size(s->type));
	ask_for((const char *)s->x + away * n_byte, next->n * (size_t)n_byte);
	ask_for(row + away, next->n * sizeof *row);
	if (s->scale)
		ask_for(s->scale + away, next->n * sizeof *s->scale);
}

/* -- scores -- */

/* The bonus of the places of a piece; runs of a cell are each of one cluster. */
static void
put_bonus(struct cells *c, const struct piece *p)
{
	const struct pool_index *x = c->a->pool.index;

	for (size_t r = x->cell_run[p->cell]; r < x->cell_run[p->cell + 1]; r++) {
		double bonus = attend_bonus_of(&c->a->set, &c->a->query[c->i], c->a->pool.n_cluster, x->run_cluster[r]);
		for (size_t k = x->run_start[r]; k < x->run_start[r + 1]; k++)
			if (k >= p->from && k < p->from + p->n)
				c->add[p->at + k - p->from] = bonus;
	}
}

static int
score_piece(struct cells *c, struct piece *p, const struct piece *next, struct worker *w)
{
	struct attend *a = c->a;
	const struct attend_query *query = &a->query[c->i];
	const float *score = c->score + p->at;
	int is_place = p->cell != SIZE_MAX;
	struct attend_span s;
	const uint32_t *row = NULL;

	for (size_t done = 0; done < p->n; done += s.n) {
		if (cells_rows(c, w, task_of(c, p), p, done, &s, &row) < 0)
			return -1;
		if (done == 0)
			ask_for_next(c, p, next, &s, row);
		a->kernel->scores(s.type, s.x, s.scale, s.n, a->pool.dim, a->q + c->i * a->n_pad, 1, c->score + p->at + done, 0);
		for (size_t k = 0; k < s.n; k++)
			c->row[p->at + done + k] = (uint32_t)(is_place ? a->pool.index->first + row[k] : p->from + done + k);
		for (size_t k = 0; query->bonus && !is_place && k < s.n; k++)
			c->add[p->at + done + k] = attend_bonus_of(&a->set, query, a->pool.n_cluster, s.cluster[k]);
	}
	if (query->bonus && is_place)
		put_bonus(c, p);
	if (!query->bonus) {
		p->most = a->set.beta * a->kernel->largest(score, p->n);
		return 0;
	}
	p->most = -INFINITY;
	for (size_t k = 0; k < p->n; k++)
		p->most = fmax(p->most, a->set.beta * score[k] + c->add[p->at + k]);
	return 0;
}

int
cells_read(struct cells *c)
{
	struct attend *a = c->a;
	const struct attend_query *query = &a->query[c->i];

	c->row = xgrow(c->row, &c->n_row_cap, c->n, sizeof *c->row);
	c->score = xgrow(c->score, &c->n_score_cap, c->n, sizeof *c->score);
	if (query->bonus)
		c->add = xgrow(c->add, &c->n_add_cap, c->n, sizeof *c->add);
	if (each_piece(c, c->n_piece_read, score_piece) < 0)
		return -1;
	for (const struct piece *p = c->piece + c->n_piece_read; p < c->piece + c->n_piece; p++) {
		if (c->heap.n == c->heap.n_max && p->most < c->heap.least)
			continue;
		for (size_t k = p->at; k < p->at + p->n; k++) {
			double bonus = query->bonus ? c->add[k] : 0, logit = a->set.beta * c->score[k] + bonus;
			if (c->heap.n < c->heap.n_max || logit >= c->heap.least)
				attend_heap_consider(&c->heap, c->row[k], logit, bonus);
		}
	}
	c->n_piece_read = c->n_piece;
	return 0;
}

/* Rows that lie together, at most a tile of them. */
static void
plan_piece(struct cells *c, size_t from, size_t n, size_t cell)
{
	c->piece = xgrow(c->piece, &c->n_piece_cap, c->n_piece + 1, sizeof *c->piece);
	c->piece[c->n_piece++] = (struct piece){ .at = c->n, .n = n, .from = from, .cell = cell };
	c->n += n;
}

void
cells_plan(struct cells *c, size_t cell)
{
	const struct pool_index *x = c->a->pool.index;

	c->is_read[cell] = 1;
	for (size_t from = x->start[cell], n; from < x->start[cell + 1]; from += n) {
		n = x->start[cell + 1] - from < TILE_ROWS ? x->start[cell + 1] - from : TILE_ROWS;
		plan_piece(c, from, n, cell);
	}
}

void
cells_plan_others(struct cells *c)
{
	const struct pool_index *x = c->a->pool.index;

	for (size_t from = 0, n; from < c->a->pool.n_row; from += n) {
		if (from == x->first) {
			n = x->n;
			continue;
		}
		size_t end = from < x->first ? x->first : c->a->pool.n_row;
		n = end - from < TILE_ROWS ? end - from : TILE_ROWS;
		plan_piece(c, from, n, SIZE_MAX);
	}
}

/* -- sums -- */

static int
sum_piece(struct cells *c, struct piece *p, const struct piece *next, struct worker *w)
{
	double sum[2];

	(void)next;
	const struct kernel_pass how = attend_pass_at(c->a->set.beta, c->best, c->at_temperature);
	c->a->kernel->weigh(&how, c->score + p->at, c->a->query[c->i].bonus ? c->add + p->at : NULL, p->n, w->near, NULL, sum);
	p->sum = sum[0];
	return 0;
}

void
cells_sum(struct cells *c, double best, double temperature, double *of_cells, double *of_all)
{
	if (best != c->best || temperature != c->at_temperature)
		c->n_piece_summed = 0;
	c->best = best;
	c->at_temperature = temperature;
	(void)each_piece(c, c->n_piece_summed, sum_piece);      /* which does not fail */
	c->n_piece_summed = c->n_piece;
	*of_cells = *of_all = 0;
	for (const struct piece *p = c->piece; p < c->piece + c->n_piece; p++) {
		*of_all += p->sum;
		*of_cells += p->cell != SIZE_MAX ? p->sum : 0;
	}
}

/* -- weights and z -- */

struct slots { uint32_t row[N_SLOT]; unsigned char used[N_SLOT]; };

static size_t
slot_of(const struct slots *s, uint32_t row)
{
	size_t at = row * 2654435761u >> 22;

	while (s->used[at] && s->row[at] != row)
		at = (at + 1) % N_SLOT;
	return at;
}

/* The best rows weigh what their logits in double say. */
static int
blend_piece(struct cells *c, struct piece *p, const struct piece *next, struct worker *w)
{
	struct attend *a = c->a;
	const struct settled *at = &a->settled[c->i];
	float *part = w->part + c->i * a->n_pad, *weight = c->weight + p->at;
	struct attend_span s;
	const uint32_t *row;
	double sum[2];
	size_t n_top = 0;

	memcpy(weight, c->score + p->at, p->n * sizeof *weight);
	/* a piece below the least of the best rows holds none of them */
	for (size_t j = 0; p->most >= c->heap.least && j < p->n; j++) {
		uint32_t r = c->row[p->at + j];
		if (c->slots && !c->slots->used[slot_of(c->slots, r)])
			continue;
		size_t t = attend_first_from(at->in_order, at->n_in_order, r);
		if (t < at->n_in_order && at->in_order[t].row == r) {
			weight[j] = -FLT_MAX;
			w->some[n_top++] = (uint32_t)j;
		}
	}
	const struct kernel_pass how = attend_pass_of(a, c->i);
	a->kernel->weigh(&how, weight, a->query[c->i].bonus ? c->add + p->at : NULL, p->n, weight, NULL, sum);
	if (!attend_sum_is_possible(sum))
		return attend_rows_are_impossible(a, w, task_of(c, p), c->row[p->at] / TILE_ROWS);
	total_add(&w->total[c->i], sum);
	for (size_t t = 0; t < n_top; t++)
		weight[w->some[t]] = attend_weight_of(at,
		    at->in_order[attend_first_from(at->in_order, at->n_in_order, c->row[p->at + w->some[t]])].logit);
	memset(part, 0, a->n_pad * sizeof *part);
	for (size_t done = 0; done < p->n; done += s.n) {
		if (cells_rows(c, w, task_of(c, p), p, done, &s, &row) < 0)
			return -1;
		if (done == 0)
			ask_for_next(c, p, next, &s, row);
		size_t n_some = a->kernel->list(weight + done, s.n, (float)a->w_least, w->some, w->near);
		a->kernel->blend_some(s.type, s.x, s.scale, w->some, n_some, a->pool.dim, w->near, part, NULL);
	}
	if (!attend_z_is_possible(part, a->pool.dim))
		return attend_rows_are_impossible(a, w, task_of(c, p), c->row[p->at] / TILE_ROWS);
	total_add_z(w->total[c->i].z, part, a->pool.dim);
	return 0;
}

int
cells_blend(struct cells *c)
{
	const struct settled *at = &c->a->settled[c->i];
	struct slots slots = { .used = {0} };

	c->slots = at->n_in_order <= N_SLOT / 2 ? &slots : NULL;
	for (size_t t = 0; c->slots && t < at->n_in_order; t++) {
		size_t slot = slot_of(&slots, (uint32_t)at->in_order[t].row);
		slots.used[slot] = 1;
		slots.row[slot] = (uint32_t)at->in_order[t].row;
	}
	c->weight = xgrow(c->weight, &c->n_weight_cap, c->n, sizeof *c->weight);
	int r = each_piece(c, 0, blend_piece);
	c->slots = NULL;
	return r;
}
