#include "attend/heads.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/inside.h"
#include "base/mem.h"
#include "base/thread.h"

enum { N_STEP = 16, BITS = 4,           /* powers of 2^BITS that are kept apart */
	NEAR_HEADS = 64,                /* whose weights stay near until they are blended */
	BLOCK_ROWS = 256 };             /* rows whose weights are summed in floating point */
static const double LN_STEP = BITS * 0.69314718055994530942;
#define LOGIT_MOST 4e6f         /* beyond that of any unit row, |a_h| being below 1e6; its step is within an int by far */

/* Sums of one head, apart for each power, the highest first. */
struct steps {
	int highest, is_empty;
	whole w[N_STEP], wl[N_STEP];    /* l relative to the step */
	int64_t *z;             /* [N_STEP][dim] */
	struct attend_heap top;
};

struct head_worker {
	float *score, *part, *tile;     /* [n_all][BLOCK_ROWS], [n_all][n_pad]: z of a tile since the last step, [BLOCK_ROWS][dim] */
	struct steps *steps;    /* [n_all] */
	struct kernel_head *head;       /* [n_all]: weights are relative to the base, a step's */
	int *step;              /* [n_all]: the highest so far of this tile, if head.over is above -infinity */
	struct fault fault;
	size_t fault_at;
};

struct attend_heads {
	struct attend_pool pool;
	const struct attend_kernel *kernel;
	size_t n_head, n_top, n_max, n_thread, n_pad, n_tile;   /* n_max: heads of all queries */
	float *a, *grouped, *z; /* [n_max][n_pad], the same as scores_many() takes them, [n_max][dim] */
	struct attend_head_item *item;  /* [n_max][n_top] */
	struct head_worker *worker;
	size_t n_all;           /* heads of the queries at hand */
};

struct attend_heads *
attend_heads_new(const struct attend_pool *pool, size_t n_head, size_t n_top, size_t n_query_max, size_t n_thread,
    const struct attend_kernel *kernel)
{
	struct attend_heads *h = xcalloc(1, sizeof *h);

	assert(pool->n_row > 0 && n_head > 0 && n_query_max > 0);
	h->pool = *pool;
	h->kernel = kernel ? kernel : attend_kernel_best();
	h->n_head = n_head;
	h->n_top = n_top < pool->n_row ? n_top : pool->n_row;
	h->n_max = n_head * n_query_max;
	h->n_thread = n_thread ? n_thread : 1;
	h->n_pad = kernel_pad(pool->dim);
	h->n_tile = (pool->n_row + TILE_ROWS - 1) / TILE_ROWS;
	h->a = xaligned(h->n_max * h->n_pad, sizeof *h->a);
	memset(h->a, 0, h->n_max * h->n_pad * sizeof *h->a);
	h->grouped = xaligned(h->n_max * h->n_pad, sizeof *h->grouped);
	h->z = xaligned(h->n_max * pool->dim, sizeof *h->z);
	h->item = xcalloc(h->n_max * h->n_top + 1, sizeof *h->item);
	h->worker = xcalloc(h->n_thread, sizeof *h->worker);
	for (size_t t = 0; t < h->n_thread; t++) {
		struct head_worker *w = &h->worker[t];
		w->score = xaligned(h->n_max * BLOCK_ROWS, sizeof *w->score);
		w->part = xaligned(h->n_max * h->n_pad, sizeof *w->part);
		w->tile = xaligned(BLOCK_ROWS * pool->dim, sizeof *w->tile);
		w->steps = xcalloc(h->n_max, sizeof *w->steps);
		w->head = xcalloc(h->n_max, sizeof *w->head);
		w->step = xcalloc(h->n_max, sizeof *w->step);
		for (size_t i = 0; i < h->n_max; i++) {
			w->steps[i].z = xcalloc(N_STEP * pool->dim, sizeof *w->steps[i].z);
			w->steps[i].top.item = xcalloc(h->n_top + 1, sizeof *w->steps[i].top.item);
			w->steps[i].top.n_max = h->n_top;
		}
	}
	return h;
}

void
attend_heads_free(struct attend_heads *h)
{
	if (!h)
		return;
	for (size_t t = 0; t < h->n_thread; t++) {
		struct head_worker *w = &h->worker[t];
		for (size_t i = 0; i < h->n_max; i++) {
			free(w->steps[i].top.item);
			free(w->steps[i].z);
		}
		free(w->step);
		free(w->head);
		free(w->steps);
		free(w->tile);
		free(w->part);
		free(w->score);
	}
	free(h->worker);
	free(h->item);
	free(h->z);
	free(h->grouped);
	free(h->a);
	free(h);
}

/* Makes room for sums at a step; its place, or -1: it is too low to count. What moves out below never counts again. */
static int
place_of(struct steps *s, int step, size_t dim)
{
	if (s->is_empty) {
		s->highest = step;
		s->is_empty = 0;
	}
	int up = step - s->highest;
	if (up > 0) {
		size_t n_kept = up < N_STEP ? (size_t)(N_STEP - up) : 0;
		memmove(s->w + N_STEP - n_kept, s->w, n_kept * sizeof *s->w);
		memmove(s->wl + N_STEP - n_kept, s->wl, n_kept * sizeof *s->wl);
		memmove(s->z + (N_STEP - n_kept) * dim, s->z, n_kept * dim * sizeof *s->z);
		memset(s->w, 0, (N_STEP - n_kept) * sizeof *s->w);
		memset(s->wl, 0, (N_STEP - n_kept) * sizeof *s->wl);
		memset(s->z, 0, (N_STEP - n_kept) * dim * sizeof *s->z);
		s->highest = step;
	}
	int place = s->highest - step;
	return place < N_STEP ? place : -1;
}

static int
keep_fault(struct head_worker *w, size_t tile, const struct fault *f)
{
	if (tile < w->fault_at) {
		w->fault = *f;
		w->fault_at = tile;
	}
	return -1;
}

static int
span_of(struct attend_heads *h, size_t from, size_t n, struct head_worker *w, size_t tile, struct attend_span *s)
{
	struct fault f;

	if (h->pool.span)
		return h->pool.span(h->pool.arg, from, n, s, &f) < 0 ? keep_fault(w, tile, &f) : 0;
	const float *x = h->pool.rows(h->pool.arg, from, n, w->tile, &f);
	if (!x)
		return keep_fault(w, tile, &f);
	*s = (struct attend_span){ .type = ATTEND_F32, .x = x, .n = n };
	return 0;
}

static int
rows_are_impossible(struct head_worker *w, size_t tile)
{
	struct fault f;

	fault(&f, EX_DATAERR, "pool: rows from %zu on hold numbers that no unit row has", tile * TILE_ROWS);
	return keep_fault(w, tile, &f);
}

/* What weights add up to goes to the step that they are relative to. -1: no unit rows have such sums. */
static int
keep_sums(struct head_worker *w, size_t i, const double sum[2], size_t dim, size_t tile)
{
	struct steps *s = &w->steps[i];

	if (!attend_sum_is_possible(sum))
		return rows_are_impossible(w, tile);
	int place = place_of(s, w->step[i], dim);
	if (place >= 0) {
		struct total t = { s->w[place], s->wl[place], NULL };
		total_add(&t, sum);
		s->w[place] = t.w;
		s->wl[place] = t.wl;
	}
	return 0;
}

/* The same of the part of z, which begins anew. */
static int
keep_z(struct attend_heads *h, struct head_worker *w, size_t i, size_t tile)
{
	float *part = w->part + i * h->n_pad;

	if (!attend_z_is_possible(part, h->pool.dim))
		return rows_are_impossible(w, tile);
	int place = place_of(&w->steps[i], w->step[i], h->pool.dim);
	if (place >= 0)
		total_add_z(w->steps[i].z + (size_t)place * h->pool.dim, part, h->pool.dim);
	memset(part, 0, h->n_pad * sizeof *part);
	return 0;
}

static int
keep_lanes(struct attend_heads *h, struct head_worker *w, size_t i, size_t tile)
{
	struct kernel_head *head = &w->head[i];
	const double sum[2] = { kernel_fold(head->sum[0]), kernel_fold(head->sum[1]) };

	memset(head->sum, 0, sizeof head->sum);
	return keep_sums(w, i, sum, h->pool.dim, tile);
}

/* Weights of head i are relative to the second step above most from now on, so that the next better row seldom needs another;
   what went before, if anything, is kept. */
static int
rise(struct attend_heads *h, struct head_worker *w, size_t i, float most, size_t tile)
{
	struct kernel_head *head = &w->head[i];
	const int has_begun = head->over > -INFINITY;

	if (!(fabsf(most) <= LOGIT_MOST))
		return rows_are_impossible(w, tile);
	if (has_begun && (keep_lanes(h, w, i, tile) < 0 || keep_z(h, w, i, tile) < 0))
		return -1;
	int step = (int)ceil(most / LN_STEP) + 1;
	w->step[i] = has_begun && step <= w->step[i] ? w->step[i] + 1 : step;
	head->base = w->step[i] * LN_STEP;
	head->over = (float)head->base > head->base ? (float)head->base : nextafterf((float)head->base, INFINITY);
	return 0;
}

/* The best of the first sixteen, or of as many as there are. */
static float
largest_of_16(const struct attend_heads *h, const float *score, size_t n)
{
	return h->kernel->largest(score, n < KERNEL_LANES ? n : KERNEL_LANES);
}

/* A tie is won by the lower row: tiles do not come in order, so an equal logit may still be of one. */
static void
consider(struct attend_heads *h, struct attend_heap *top, const float *score, size_t from, size_t n)
{
	if (h->n_top == 0 || (top->n == top->n_max && h->kernel->largest(score, n) < top->least))
		return;
	for (size_t j = 0; j < n; j++)
		if (top->n < top->n_max || score[j] >= top->least)
			attend_heap_consider(top, from + j, score[j], 0);
}

/* Rows [from, from + n) for few heads, which the kernel scores, weighs and blends while they are near. */
static int
pass_few(struct attend_heads *h, const float *x, size_t from, size_t n, size_t tile, struct head_worker *w)
{
	for (size_t j = 0; j < n; ) {
		j += h->kernel->pass_heads(w->head, h->n_all, h->a, x + j * h->pool.dim, n - j, h->pool.dim, w->score + j, BLOCK_ROWS, w->part);
		for (size_t i = 0; j < n && i < h->n_all; i++) {
			float most = largest_of_16(h, w->score + i * BLOCK_ROWS + j, n - j);
			if (!(most < w->head[i].over) && rise(h, w, i, most, tile) < 0)
				return -1;
		}
	}
	for (size_t i = 0; i < h->n_all; i++) {
		consider(h, &w->steps[i].top, w->score + i * BLOCK_ROWS, from, n);
		if (keep_lanes(h, w, i, tile) < 0)
			return -1;
	}
	return 0;
}

/* Rows [from, end) go into the parts of z of n heads by weights [n][BLOCK_ROWS]. */
static int
blend(struct attend_heads *h, size_t from, size_t end, const float *weight, size_t first, size_t n, size_t tile, struct head_worker *w)
{
	struct attend_span s;

	for (size_t j = from; j < end; j += s.n) {
		if (span_of(h, j, end - j, w, tile, &s) < 0)
			return -1;
		h->kernel->blend(s.type, s.x, s.scale, s.n, h->pool.dim, weight + (j - from), BLOCK_ROWS, n, w->part + first * h->n_pad);
	}
	return 0;
}

/* Scores of head i become weights, by sixteens up to one with a score over what it takes: as pass_heads() does it. Rows before
   this are blended at once, and weigh nothing in what is blended for all heads together. */
static int
weigh(struct attend_heads *h, size_t i, size_t from, size_t n, size_t tile, struct head_worker *w)
{
	const struct attend_kernel *k = h->kernel;
	const struct kernel_head *head = &w->head[i];
	float *score = w->score + i * BLOCK_ROWS, most = 0;

	for (size_t j = 0, end; j < n; j = end) {
		end = k->largest(score + j, n - j) < head->over ? n : j;
		for (; end < n; end += KERNEL_LANES) {
			most = largest_of_16(h, score + end, n - end);
			if (!(most < head->over))
				break;
		}
		end = end < n ? end : n;
		if (end > j) {
			const struct kernel_pass p = attend_pass_at(1, head->base, 1);
			double sum[2];
			k->weigh(&p, score + j, NULL, end - j, score + j, NULL, sum);
			if (keep_sums(w, i, sum, h->pool.dim, tile) < 0)
				return -1;
		}
		if (end == n)
			break;
		if (blend(h, from, from + end, score, i, 1, tile, w) < 0 || rise(h, w, i, most, tile) < 0)
			return -1;
		memset(score, 0, end * sizeof *score);
	}
	return 0;
}

static int
pass_many(struct attend_heads *h, size_t from, size_t n, size_t tile, struct head_worker *w)
{
	size_t dim = h->pool.dim, end = from + n;
	struct attend_span s;

	for (size_t j = from; j < end; j += s.n) {
		if (span_of(h, j, end - j, w, tile, &s) < 0)
			return -1;
		if (h->n_all < KERNEL_MANY || s.type != ATTEND_F32)
			h->kernel->scores(s.type, s.x, s.scale, s.n, dim, h->a, h->n_all, w->score + (j - from), BLOCK_ROWS);
		else
			h->kernel->scores_many(s.x, s.n, dim, h->grouped, h->n_all, w->score + (j - from), BLOCK_ROWS);
	}
	for (size_t first = 0, n_near; first < h->n_all; first += n_near) {
		n_near = h->n_all - first < NEAR_HEADS ? h->n_all - first : NEAR_HEADS;
		for (size_t i = first; i < first + n_near; i++) {
			consider(h, &w->steps[i].top, w->score + i * BLOCK_ROWS, from, n);
			if (weigh(h, i, from, n, tile, w) < 0)
				return -1;
		}
		if (blend(h, from, end, w->score + first * BLOCK_ROWS, first, n_near, tile, w) < 0)
			return -1;
	}
	return 0;
}

static void
pass_tile(void *arg, size_t tile, size_t worker)
{
	struct attend_heads *h = arg;
	struct head_worker *w = &h->worker[worker];
	size_t from = tile * TILE_ROWS, end = from + TILE_ROWS < h->pool.n_row ? from + TILE_ROWS : h->pool.n_row;
	struct attend_span s;

	memset(w->part, 0, h->n_all * h->n_pad * sizeof *w->part);
	for (size_t i = 0; i < h->n_all; i++)
		w->head[i] = (struct kernel_head){ .floor = LOGIT_FLOOR, .over = -INFINITY };
	for (size_t j = from, n; j < end; j += n) {
		n = end - j < BLOCK_ROWS ? end - j : BLOCK_ROWS;
		if (h->n_all < KERNEL_HEADS && span_of(h, j, n, w, tile, &s) < 0)
			return;
		int is_few = h->n_all < KERNEL_HEADS && s.type == ATTEND_F32 && s.n == n;
		if ((is_few ? pass_few(h, s.x, j, n, tile, w) : pass_many(h, j, n, tile, w)) < 0)
			return;
	}
	for (size_t i = 0; i < h->n_all; i++)
		if (keep_z(h, w, i, tile) < 0)
			return;
}

/* What all threads found of head i, in the first one's steps. */
static struct steps *
gather(struct attend_heads *h, size_t i)
{
	struct steps *all = &h->worker[0].steps[i];
	size_t dim = h->pool.dim;

	for (size_t t = 1; t < h->n_thread; t++) {
		const struct steps *part = &h->worker[t].steps[i];
		for (int k = 0; !part->is_empty && k < N_STEP; k++) {
			int place = place_of(all, part->highest - k, dim);
			if (place < 0)
				break;
			all->w[place] += part->w[k];
			all->wl[place] += part->wl[k];
			for (size_t d = 0; d < dim; d++)
				all->z[(size_t)place * dim + d] += part->z[(size_t)k * dim + d];
		}
		for (size_t k = 0; k < part->top.n; k++)
			attend_heap_consider(&all->top, part->top.item[k].row, part->top.item[k].logit, 0);
	}
	return all;
}

static void
finish(struct attend_heads *h, size_t i, struct attend_head_result *out)
{
	struct steps *s = gather(h, i);
	size_t dim = h->pool.dim;
	double total = 0, sum_wl = 0, part[N_STEP], base = s->highest * LN_STEP;
	float *z = h->z + i * dim;
	struct attend_head_item *item = h->item + i * h->n_top;

	for (int k = 0; k < N_STEP; k++) {
		part[k] = ldexp(1, -BITS * k);
		double w = (double)s->w[k] * SUM_UNIT * part[k], wl = (double)s->wl[k] * SUM_UNIT * part[k];
		total += w;
		sum_wl += wl - w * k * LN_STEP;
	}
	for (size_t d = 0; d < dim; d++) {
		double sum = 0;
		for (int k = 0; k < N_STEP; k++)
			sum += (double)s->z[(size_t)k * dim + d] * Z_UNIT * part[k];
		z[d] = (float)(sum / total);
	}
	if (s->top.n > 1)
		qsort(s->top.item, s->top.n, sizeof *s->top.item, attend_by_weight);
	for (size_t k = 0; k < s->top.n; k++)
		item[k] = (struct attend_head_item){ s->top.item[k].row, s->top.item[k].logit, exp(s->top.item[k].logit - base) / total };
	*out = (struct attend_head_result){ .z = z, .entropy_nats = fmax(0, log(total) - sum_wl / total), .log_sum = base + log(total),
	    .item = item, .n_item = s->top.n };
}

int
attend_heads_run(struct attend_heads *h, size_t n_query, const float *a, struct attend_head_result *result, struct fault *f)
{
	const struct head_worker *first = NULL;

	h->n_all = n_query * h->n_head;
	assert(h->n_all <= h->n_max);
	for (size_t i = 0; i < h->n_all; i++)
		memcpy(h->a + i * h->n_pad, a + i * h->pool.dim, h->pool.dim * sizeof *a);
	if (h->n_all >= KERNEL_MANY)
		h->kernel->group(h->a, h->n_all, h->pool.dim, h->grouped);
	for (size_t t = 0; t < h->n_thread; t++) {
		h->worker[t].fault_at = SIZE_MAX;
		for (size_t i = 0; i < h->n_all; i++) {
			struct steps *s = &h->worker[t].steps[i];
			s->is_empty = 1;
			s->top.n = 0;
			memset(s->w, 0, sizeof s->w);
			memset(s->wl, 0, sizeof s->wl);
			memset(s->z, 0, N_STEP * h->pool.dim * sizeof *s->z);
		}
	}
	thread_for(h->n_thread, h->n_tile, pass_tile, h);
	for (size_t t = 0; t < h->n_thread; t++)
		if (h->worker[t].fault_at != SIZE_MAX && (!first || h->worker[t].fault_at < first->fault_at))
			first = &h->worker[t];
	if (first) {
		*f = first->fault;
		return -1;
	}
	for (size_t i = 0; i < h->n_all; i++)
		finish(h, i, &result[i]);
	return 0;
}
