#include "attend/attend.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "mat/mat.h"

enum {
	TILE_ROWS = 1024,       /* half a megabyte at dim 128: stays in the cache while all queries pass over it */
	GROUP_TILES = 32,       /* tiles whose parts of z are held at once, before they are added in order */
};

/* exp(-80) is far below what float can add to the best weight of 1, and far above its subnormals, which are slow. */
static const double LOGIT_FLOOR = -80;

struct worker {
	float *tile;            /* [TILE_ROWS][dim] */
	float *f;               /* [ATTEND_N_SHARP][dim] */
	double *scratch;        /* [n_scratch], for the variances of a query */
	size_t n_scratch;
	struct fault fault;
	size_t fault_at;        /* number of the task that failed, SIZE_MAX for none */
};

struct attend {
	struct attend_pool pool;
	struct attend_settings set;
	size_t n_query_max, n_tile, n_group;    /* n_group: tiles of a group */
	size_t n_top;           /* rows scored again, at least ATTEND_N_SHARP where there are so many */
	float *weight;          /* [n_query_max][n_row]: scores, then exp((l_j - l_best) / T) */
	float *q;               /* [n_query_max][dim] */
	float *z;               /* [n_query_max][dim] */
	double *z_sum;          /* [n_query_max][dim] */
	float *z_part;          /* [n_group][n_query_max][dim] */
	double *total;          /* [n_query_max], sum of a query's weights before they are divided by it */
	struct attend_item *top;        /* [n_query_max][n_top] */
	uint32_t *cluster;      /* [n_row], NULL until a query has a bonus */
	struct worker *worker;  /* [n_thread] */
	/* the batch at hand */
	size_t n_query, first_tile;
	const struct attend_query *query;
	struct attend_result *result;
};

double
attend_beta(size_t n_row, size_t dim, double score_sd)
{
	double n = n_row < 2 ? 2 : (double)n_row;

	if (!(score_sd >= 1e-6))
		score_sd = 1 / sqrt((double)dim);
	return sqrt(2 * log(n)) / score_sd;
}

void
attend_aim(const float *x, double query_weight, const double *user_mean, double gain, size_t dim, float *q)
{
	for (size_t d = 0; d < dim; d++)
		q[d] = user_mean ? (float)(query_weight * x[d] + gain * user_mean[d]) : x[d];
}

size_t
attend_batch(size_t n_row, size_t n_extra, size_t n_wanted)
{
	size_t n = ((size_t)256 << 20) / (n_row * sizeof(float) + n_extra);

	return n < 1 ? 1 : n < n_wanted ? n : n_wanted;
}

struct attend *
attend_new(const struct attend_pool *pool, const struct attend_settings *settings, size_t n_query_max)
{
	struct attend *a = xcalloc(1, sizeof *a);
	size_t dim = pool->dim, n_top = settings->n_top > ATTEND_N_SHARP ? settings->n_top : ATTEND_N_SHARP;

	assert(pool->n_row > 0 && settings->n_top > 0 && n_query_max > 0);
	a->pool = *pool;
	a->set = *settings;
	if (a->set.n_thread == 0)
		a->set.n_thread = 1;
	a->n_query_max = n_query_max;
	a->n_tile = (pool->n_row + TILE_ROWS - 1) / TILE_ROWS;
	a->n_group = a->n_tile < GROUP_TILES ? a->n_tile : GROUP_TILES;
	a->n_top = n_top < pool->n_row ? n_top : pool->n_row;
	/* Not cleared: pages that no batch needs are never touched. */
	a->weight = xaligned(n_query_max * pool->n_row, sizeof *a->weight);
	a->q = xaligned(n_query_max * dim, sizeof *a->q);
	a->z = xaligned(n_query_max * dim, sizeof *a->z);
	a->z_sum = xaligned(n_query_max * dim, sizeof *a->z_sum);
	a->z_part = xaligned(a->n_group * n_query_max * dim, sizeof *a->z_part);
	a->total = xcalloc(n_query_max, sizeof *a->total);
	a->top = xcalloc(n_query_max * a->n_top, sizeof *a->top);
	a->worker = xcalloc(a->set.n_thread, sizeof *a->worker);
	for (size_t w = 0; w < a->set.n_thread; w++) {
		a->worker[w].tile = xaligned(TILE_ROWS * dim, sizeof(float));
		a->worker[w].f = xaligned(ATTEND_N_SHARP * dim, sizeof(float));
	}
	return a;
}

void
attend_free(struct attend *a)
{
	if (!a)
		return;
	for (size_t w = 0; w < a->set.n_thread; w++) {
		free(a->worker[w].tile);
		free(a->worker[w].f);
		free(a->worker[w].scratch);
	}
	free(a->worker);
	free(a->cluster);
	free(a->top);
	free(a->total);
	free(a->z_part);
	free(a->z_sum);
	free(a->z);
	free(a->q);
	free(a->weight);
	free(a);
}

/* Rows for a task; what goes wrong is kept if no earlier task of the worker failed. */
static const float *
read_rows(struct attend *a, size_t from, size_t n, struct worker *w, size_t task)
{
	struct fault f;
	const float *rows = a->pool.rows(a->pool.arg, from, n, w->tile, &f);

	if (!rows && task < w->fault_at) {
		w->fault = f;
		w->fault_at = task;
	}
	return rows;
}

static const float *
tile_rows(struct attend *a, size_t tile, struct worker *w, size_t *n)
{
	size_t from = tile * TILE_ROWS;

	*n = a->pool.n_row - from < TILE_ROWS ? a->pool.n_row - from : TILE_ROWS;
	return read_rows(a, from, *n, w, tile);
}

/* Of what failed in several threads, the one that a single thread would have met first. */
static int
first_fault(const struct attend *a, struct fault *f)
{
	const struct worker *first = NULL;

	for (size_t w = 0; w < a->set.n_thread; w++)
		if (a->worker[w].fault_at != SIZE_MAX && (!first || a->worker[w].fault_at < first->fault_at))
			first = &a->worker[w];
	if (!first)
		return 0;
	*f = first->fault;
	return -1;
}

/* s_j = q.x_j of one tile for every query. */
static void
score_tile(void *arg, size_t tile, size_t worker)
{
	struct attend *a = arg;
	size_t n, dim = a->pool.dim;
	const float *rows = tile_rows(a, tile, &a->worker[worker], &n);

	if (!rows)
		return;
	for (size_t i = 0; i < a->n_query; i++)
		mat_mul_vec(1, mat_of(rows, n, dim), 0, a->q + i * dim, 0,
		    a->weight + i * a->pool.n_row + tile * TILE_ROWS);
}

/* A part of z for every query: the tile's rows by their weights. */
static void
blend_tile(void *arg, size_t task, size_t worker)
{
	struct attend *a = arg;
	size_t n, dim = a->pool.dim, tile = a->first_tile + task;
	const float *rows = tile_rows(a, tile, &a->worker[worker], &n);

	if (!rows)
		return;
	for (size_t i = 0; i < a->n_query; i++)
		mat_mul_vec(1, mat_of(rows, n, dim), 1, a->weight + i * a->pool.n_row + tile * TILE_ROWS, 0,
		    a->z_part + (task * a->n_query_max + i) * dim);
}

/* 1 if s is to stand before t: heavier, or the lower row. */
static int
before(const struct attend_item *s, const struct attend_item *t)
{
	return s->logit != t->logit ? s->logit > t->logit : s->row < t->row;
}

static int
by_weight(const void *s, const void *t)
{
	return before(s, t) ? -1 : before(t, s);
}

/* The first of heap [n] stands behind all others; item takes its place and sinks to its own. */
static void
heap_replace(struct attend_item *heap, size_t n, struct attend_item item)
{
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && before(&heap[child], &heap[child + 1]))
			child++;
		if (!before(&item, &heap[child]))
			break;
		heap[at] = heap[child];
	}
	heap[at] = item;
}

static double
row_bonus(const struct attend *a, const struct attend_query *query, size_t row)
{
	return query->bonus ? a->set.alpha * query->bonus[a->cluster[row]] : 0;
}

/* The n_top rows of the highest logits, from the scores of sgemv, in no order. */
static void
find_top(const struct attend *a, const struct attend_query *query, const float *score, struct attend_item *top)
{
	size_t n_top = a->n_top;

	for (size_t j = 0; j < n_top; j++)
		top[j] = (struct attend_item){ .row = j,
		    .logit = a->set.beta * score[j] + row_bonus(a, query, j) };
	/* Sorted behind first, an array is a heap. */
	qsort(top, n_top, sizeof *top, by_weight);
	for (size_t j = 0; j < n_top / 2; j++) {
		struct attend_item t = top[j];
		top[j] = top[n_top - 1 - j];
		top[n_top - 1 - j] = t;
	}
	double least = top[0].logit;
	for (size_t j = n_top; j < a->pool.n_row; j++) {
		double logit = a->set.beta * score[j] + row_bonus(a, query, j);
		/* On a tie the row that came first stays. */
		if (logit > least) {
			heap_replace(top, n_top, (struct attend_item){ .row = j, .logit = logit });
			least = top[0].logit;
		}
	}
}

static double
dot_user(const double *mean, const float *x, size_t dim)
{
	double sum = 0;

	for (size_t d = 0; d < dim; d++)
		sum += mean[d] * x[d];
	return sum;
}

/* The top rows again in double, part by part, and in order. 0, or -1: a row could not be read. */
static int
score_again(struct attend *a, size_t i, struct attend_item *top, struct worker *w)
{
	const struct attend_query *query = &a->query[i];
	const struct attend_settings *set = &a->set;

	for (size_t j = 0; j < a->n_top; j++) {
		const float *x = read_rows(a, top[j].row, 1, w, i);
		if (!x)
			return -1;
		top[j].content = set->beta * (query->user_mean ? query->query_weight : 1) * mat_dot64(query->x, x, a->pool.dim);
		top[j].personal = query->user_mean ?
		    set->beta * set->gain * dot_user(query->user_mean, x, a->pool.dim) : 0;
		top[j].bonus = row_bonus(a, query, top[j].row);
		top[j].logit = top[j].content + top[j].personal + top[j].bonus;
	}
	qsort(top, a->n_top, sizeof *top, by_weight);
	return 0;
}

/* tau^2, over the softmax of the ATTEND_N_SHARP best logits. -1: a row could not be read. */
static double
attended_variance(struct attend *a, size_t i, const struct attend_item *top, struct worker *w)
{
	const struct attend_query *query = &a->query[i];
	size_t n = a->n_top < ATTEND_N_SHARP ? a->n_top : ATTEND_N_SHARP, dim = a->pool.dim;
	double sum = 0, total = 0, variance[ATTEND_N_SHARP];

	if (query->user_mean && query->n_scratch > w->n_scratch) {
		w->scratch = xrealloc(w->scratch, query->n_scratch, sizeof *w->scratch);
		w->n_scratch = query->n_scratch;
	}
	for (size_t j = 0; j < n; j++) {
		const float *x = read_rows(a, top[j].row, 1, w, i);
		if (!x)
			return -1;
		for (size_t d = 0; d < dim; d++)
			w->f[j * dim + d] = (float)(x[d] - a->pool.mean[d]);
	}
	if (query->user_mean)
		query->variances(query->user, query->x, w->f, n, variance, w->scratch);
	else
		for (size_t j = 0; j < n; j++) {
			const float *f = w->f + j * dim;
			double said = mat_dot64(query->x, f, dim);
			variance[j] = mat_dot64(f, f, dim) / a->set.lambda + a->set.query_var * said * said;
		}
	for (size_t j = 0; j < n; j++) {
		double e = exp(top[j].logit - top[0].logit);
		total += e;
		sum += e * fmax(0, variance[j]);
	}
	return sum / total;
}

/* A query's scores become its weights, and everything is known of it but z. */
static void
weigh(void *arg, size_t i, size_t worker)
{
	struct attend *a = arg;
	struct worker *w = &a->worker[worker];
	const struct attend_query *query = &a->query[i];
	const struct attend_settings *set = &a->set;
	struct attend_result *out = &a->result[i];
	struct attend_item *top = a->top + i * a->n_top;
	float *weight = a->weight + i * a->pool.n_row;
	double variance;

	find_top(a, query, weight, top);
	if (score_again(a, i, top, w) < 0 || (variance = attended_variance(a, i, top, w)) < 0)
		return;
	double steep = set->beta * set->gain;
	double temperature = sqrt(1 + set->kappa * (3.14159265358979323846 / 8) * steep * steep * variance);
	/* Entropy needs no logarithm of a weight: with e_j = exp(l_j), - sum A ln A = ln sum e - sum e l / sum e. */
	double best = top[0].logit, total = 0, sum_el = 0;
	/* The heaviest rows are set aside: they go in by their logits in double. */
	for (size_t j = 0; j < a->n_top; j++)
		weight[top[j].row] = -FLT_MAX;
	for (size_t j = 0; j < a->pool.n_row; j++) {
		double l = (set->beta * weight[j] + row_bonus(a, query, j) - best) / temperature;
		weight[j] = l > LOGIT_FLOOR ? expf((float)l) : 0;
		total += weight[j];
		sum_el += weight[j] * l;
	}
	for (size_t j = 0; j < a->n_top; j++) {
		double l = (top[j].logit - best) / temperature;
		float e = weight[top[j].row] = l > LOGIT_FLOOR ? (float)exp(l) : 0;
		total += e;
		sum_el += e * l;
	}
	for (size_t j = 0; j < a->n_top; j++)
		top[j].weight = weight[top[j].row] / total;
	a->total[i] = total;
	*out = (struct attend_result){ .z = a->z + i * a->pool.dim, .item = top,
	    .n_item = set->n_top < a->n_top ? set->n_top : a->n_top,
	    .entropy_nats = fmax(0, log(total) - sum_el / total), .uncertainty = sqrt(variance),
	    .temperature = temperature };
}

static int
blend(struct attend *a, struct fault *f)
{
	size_t dim = a->pool.dim;

	memset(a->z_sum, 0, a->n_query * dim * sizeof *a->z_sum);
	for (a->first_tile = 0; a->first_tile < a->n_tile; a->first_tile += a->n_group) {
		size_t n = a->n_tile - a->first_tile < a->n_group ? a->n_tile - a->first_tile : a->n_group;
		thread_for(a->set.n_thread, n, blend_tile, a);
		if (first_fault(a, f) < 0)
			return -1;
		for (size_t t = 0; t < n; t++)
			for (size_t k = 0; k < a->n_query * dim; k++)
				a->z_sum[k] += a->z_part[t * a->n_query_max * dim + k];
	}
	for (size_t i = 0; i < a->n_query; i++)
		for (size_t d = 0; d < dim; d++)
			a->z[i * dim + d] = (float)(a->z_sum[i * dim + d] / a->total[i]);
	return 0;
}

static int
learn_clusters(struct attend *a, struct fault *f)
{
	a->cluster = xmalloc(a->pool.n_row, sizeof *a->cluster);
	for (size_t j = 0; j < a->pool.n_row; j++) {
		size_t c = a->pool.cluster(a->pool.arg, j);
		if (c >= a->pool.n_cluster || c > UINT32_MAX) {
			free(a->cluster);
			a->cluster = NULL;
			return fault(f, EX_DATAERR, "pool: row %zu: expected a cluster below %zu, got %zu", j,
			    a->pool.n_cluster, c);
		}
		a->cluster[j] = (uint32_t)c;
	}
	return 0;
}

int
attend_run(struct attend *a, size_t n_query, const struct attend_query *query, struct attend_result *result,
    struct fault *f)
{
	size_t dim = a->pool.dim;

	assert(n_query <= a->n_query_max);
	a->n_query = n_query;
	a->query = query;
	a->result = result;
	for (size_t w = 0; w < a->set.n_thread; w++)
		a->worker[w].fault_at = SIZE_MAX;
	for (size_t i = 0; i < n_query; i++) {
		attend_aim(query[i].x, query[i].query_weight, query[i].user_mean, a->set.gain, dim, a->q + i * dim);
		if (query[i].bonus && !a->cluster && learn_clusters(a, f) < 0)
			return -1;
	}
	thread_for(a->set.n_thread, a->n_tile, score_tile, a);
	if (first_fault(a, f) < 0)
		return -1;
	thread_for(a->set.n_thread, n_query, weigh, a);
	if (first_fault(a, f) < 0)
		return -1;
	return blend(a, f);
}

double
attend_weight(const struct attend *a, size_t i, size_t row)
{
	return a->weight[i * a->pool.n_row + row] / a->total[i];
}

size_t
attend_choose(struct attend *a, size_t i, struct rng *r, size_t n, size_t *row, double *propensity)
{
	float *weight = a->weight + i * a->pool.n_row;
	float *taken = xmalloc(n, sizeof *taken);
	double rest = a->total[i];
	size_t n_chosen = 0;

	while (n_chosen < n) {
		double until = rng_uniform(r) * rest, sum = 0;
		size_t at = SIZE_MAX;
		/* Rounding may leave sum just below until at the end: then the last row with a weight it is. */
		for (size_t j = 0; j < a->pool.n_row && sum < until; j++)
			if (weight[j] > 0) {
				at = j;
				sum += weight[j];
			}
		if (at == SIZE_MAX)
			break;
		row[n_chosen] = at;
		propensity[n_chosen] = fmin(1, weight[at] / rest);
		taken[n_chosen++] = weight[at];
		weight[at] = 0;
		if (n_chosen == n)
			break;
		/* Summed again: what is left may be too small to be had by subtracting. */
		rest = 0;
		for (size_t j = 0; j < a->pool.n_row; j++)
			rest += weight[j];
	}
	for (size_t c = 0; c < n_chosen; c++)
		weight[row[c]] = taken[c];
	free(taken);
	return n_chosen;
}
