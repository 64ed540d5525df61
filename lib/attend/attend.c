#include "attend/inside.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

double
attend_beta(size_t n_row, size_t dim, double score_sd)
{
	double n = n_row < 2 ? 2 : (double)n_row;

	if (!(score_sd >= 1e-6))
		score_sd = 1 / sqrt((double)dim);
	return sqrt(2 * log(n)) / score_sd;
}

double
attend_gain(double gain, double user_times)
{
	return user_times > 0 ? gain * user_times : gain;
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
	a->kernel = settings->kernel ? settings->kernel : attend_kernel_best();
	if (a->set.n_thread == 0)
		a->set.n_thread = 1;
	a->n_query_max = n_query_max;
	a->n_tile = (pool->n_row + TILE_ROWS - 1) / TILE_ROWS;
	a->n_pad = kernel_pad(dim);
	a->n_top = n_top < pool->n_row ? n_top : pool->n_row;
	a->w_least = 0x1p-24 / (double)(settings->n_whole ? settings->n_whole : pool->n_row);
	a->log_least = log(a->w_least);
	/* Not cleared: pages that no batch needs are never touched. */
	a->weight = xlarge(n_query_max * a->n_tile * TILE_ROWS, sizeof *a->weight);
	a->most = xaligned(n_query_max * a->n_tile, sizeof *a->most);
	a->q = xaligned(n_query_max * a->n_pad, sizeof *a->q);
	memset(a->q, 0, n_query_max * a->n_pad * sizeof *a->q);
	a->grouped = xaligned(n_query_max * a->n_pad, sizeof *a->grouped);
	a->z = xaligned(n_query_max * dim, sizeof *a->z);
	a->sum = xcalloc(n_query_max, sizeof *a->sum);
	a->top = xcalloc(n_query_max * a->n_top, sizeof *a->top);
	a->by_row = xcalloc(n_query_max * a->n_top, sizeof *a->by_row);
	a->settled = xcalloc(n_query_max, sizeof *a->settled);
	a->sparse = xcalloc(n_query_max, sizeof *a->sparse);
	a->worker = xcalloc(a->set.n_thread, sizeof *a->worker);
	for (size_t t = 0; t < a->set.n_thread; t++) {
		struct worker *w = &a->worker[t];
		w->tile = xaligned(TILE_ROWS * dim, sizeof *w->tile);
		w->near = xaligned(NEAR_QUERIES * NEAR_ROWS, sizeof *w->near);
		w->next = xcalloc(n_query_max, sizeof *w->next);
		w->part = xaligned(n_query_max * a->n_pad, sizeof *w->part);
		w->add = xaligned(TILE_ROWS, sizeof *w->add);
		w->some = xaligned(TILE_ROWS, sizeof *w->some);
		w->f = xaligned(ATTEND_N_SHARP * dim, sizeof *w->f);
		w->row = xaligned(dim, sizeof *w->row);
		w->total = xcalloc(n_query_max, sizeof *w->total);
		for (size_t i = 0; i < n_query_max; i++)
			w->total[i].z = xcalloc(dim, sizeof *w->total[i].z);
	}
	return a;
}

void
attend_free(struct attend *a)
{
	if (!a)
		return;
	for (size_t t = 0; t < a->set.n_thread; t++) {
		struct worker *w = &a->worker[t];
		for (size_t i = 0; i < a->n_query_max; i++)
			free(w->total[i].z);
		free(w->total);
		free(w->scratch);
		free(w->row);
		free(w->f);
		free(w->some);
		free(w->add);
		free(w->part);
		free(w->next);
		free(w->near);
		free(w->tile);
	}
	free(a->worker);
	free(a->cluster);
	for (size_t i = 0; i < a->n_query_max; i++) {
		free(a->sparse[i].row);
		free(a->sparse[i].weight);
	}
	free(a->sparse);
	attend_bound_free(a->bound);
	attend_cells_free(a->cells, a->set.n_thread);
	free(a->settled);
	free(a->by_row);
	free(a->top);
	free(a->sum);
	free(a->z);
	free(a->grouped);
	free(a->q);
	free(a->most);
	free(a->weight);
	free(a);
}

float *
attend_weights(const struct attend *a, size_t i, size_t tile)
{
	return a->weight + (tile * a->n_batch + i) * TILE_ROWS;
}

float *
attend_weight_at(const struct attend *a, size_t i, size_t row)
{
	return attend_weights(a, i, row / TILE_ROWS) + row % TILE_ROWS;
}

/* -- rows -- */

int
attend_keep_fault(struct worker *w, size_t task, const struct fault *f)
{
	if (task < w->fault_at) {
		w->fault = *f;
		w->fault_at = task;
	}
	return -1;
}

int
attend_span_of(struct attend *a, size_t from, size_t n, struct worker *w, size_t task, struct attend_span *out)
{
	struct fault f;

	if (a->pool.span)
		return a->pool.span(a->pool.arg, from, n, out, &f) < 0 ? attend_keep_fault(w, task, &f) : 0;
	const float *rows = a->pool.rows(a->pool.arg, from, n, w->tile, &f);
	if (!rows)
		return attend_keep_fault(w, task, &f);
	*out = (struct attend_span){ ATTEND_F32, rows, NULL, a->cluster ? a->cluster + from : NULL, n };
	return 0;
}

const float *
attend_row(struct attend *a, size_t row, float *scratch, struct worker *w, size_t task)
{
	struct fault f;
	const float *x = a->pool.rows(a->pool.arg, row, 1, scratch, &f);

	if (!x)
		attend_keep_fault(w, task, &f);
	return x;
}

void
attend_fault_none(struct attend *a)
{
	for (size_t w = 0; w < a->set.n_thread; w++)
		a->worker[w].fault_at = SIZE_MAX;
}

/* Of what failed in several threads, the one that a single thread would have met first. */
int
attend_first_fault(const struct attend *a, struct fault *f)
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

/* -- sums in whole numbers -- */

void
total_add(struct total *t, const double sum[2])
{
	t->w += (whole)(sum[0] / SUM_UNIT);
	t->wl += (whole)(sum[1] / SUM_UNIT);
}

void
total_add_z(int64_t *to, const float *z, size_t dim)
{
	/* Adding and taking away 1.5 * 2^52 rounds to the nearest whole number, ties to even. */
	const double rounder = 0x1.8p52;

	for (size_t d = 0; d < dim; d++)
		to[d] += (int64_t)(z[d] * (1 / Z_UNIT) + rounder - rounder);
}

/* A file made wrong on purpose may hold rows of any length: what they add up to shows it before it leaves the range that
   whole numbers have. Returns -1. */
int
attend_rows_are_impossible(const struct attend *a, struct worker *w, size_t task, size_t tile)
{
	struct fault f;

	fault(&f, EX_DATAERR, "pool: rows %zu to %zu hold numbers that no unit row has", tile * TILE_ROWS, attend_tile_end(a, tile) - 1);
	return attend_keep_fault(w, task, &f);
}

int
attend_sum_is_possible(const double sum[2])
{
	return sum[0] <= 2 * TILE_ROWS && fabs(sum[1]) <= 2 * TILE_ROWS;
}

int
attend_z_is_possible(const float *z, size_t dim)
{
	int right = 1;

	for (size_t d = 0; d < dim; d++)
		right &= fabsf(z[d]) <= 2 * TILE_ROWS;
	return right;
}

void
attend_total_none(struct attend *a, size_t i)
{
	for (size_t t = 0; t < a->set.n_thread; t++) {
		struct total *total = &a->worker[t].total[i];
		total->w = total->wl = 0;
		memset(total->z, 0, a->pool.dim * sizeof *total->z);
	}
}

/* What all threads found of query i, in the first one's total. */
struct total *
attend_gather(struct attend *a, size_t i)
{
	struct total *all = &a->worker[0].total[i];

	for (size_t t = 1; t < a->set.n_thread; t++) {
		const struct total *part = &a->worker[t].total[i];
		all->w += part->w;
		all->wl += part->wl;
		for (size_t d = 0; d < a->pool.dim; d++)
			all->z[d] += part->z[d];
	}
	return all;
}

void
attend_finish(const struct settled *at, const struct total *all, struct attend_item *top, size_t n_top, size_t dim, float *z,
    double *sum, struct attend_result *out)
{
	double total = (double)all->w * SUM_UNIT, sum_el = (double)all->wl * SUM_UNIT;

	/* Entropy needs no logarithm of a weight: with e_j = exp(l_j), - sum A ln A = ln sum e - sum e l / sum e. */
	for (size_t j = 0; j < n_top; j++) {
		top[j].weight = attend_weight_of(at, top[j].logit);
		total += top[j].weight;
		sum_el += top[j].weight * ((top[j].logit - at->best) / at->temperature);
	}
	for (size_t j = 0; j < n_top; j++)
		top[j].weight /= total;
	for (size_t d = 0; d < dim; d++)
		z[d] = (float)((double)all->z[d] * Z_UNIT / total);
	*sum = total;
	*out = (struct attend_result){ .z = z, .item = top, .entropy_nats = fmax(0, log(total) - sum_el / total), .uncertainty = at->tau,
	    .temperature = at->temperature, .read = 1, .confidence = 1 };
}

static void
finish(struct attend *a, size_t i)
{
	struct attend_result *out = &a->result[i];

	attend_finish(&a->settled[i], attend_gather(a, i), a->top + i * a->n_top, a->n_top, a->pool.dim, a->z + i * a->pool.dim,
	    &a->sum[i], out);
	out->n_item = a->set.n_top < a->n_top ? a->set.n_top : a->n_top;
	if (a->sparse[i].is_sparse) {
		out->certificate = a->sparse[i].certificate;
		out->read = fmin(1, (double)(a->sparse[i].n + a->sparse[i].n_drawn) / (double)a->pool.n_row);
		out->confidence = a->sparse[i].is_sampled ? 1 - a->set.delta : 1;
	}
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
attend_begin(struct attend *a, size_t n_query, const struct attend_query *query, struct fault *f)
{
	assert(n_query <= a->n_query_max);
	a->first = 0;
	a->n_query = a->n_batch = n_query;
	a->query = query;
	attend_fault_none(a);
	for (size_t i = 0; i < n_query; i++) {
		attend_aim(query[i].x, query[i].query_weight, query[i].user_mean, attend_gain(a->set.gain, query[i].user_times), a->pool.dim, a->q + i * a->n_pad);
		if (query[i].bonus && !a->cluster && !a->pool.span && learn_clusters(a, f) < 0)
			return -1;
		a->sparse[i].is_sparse = a->sparse[i].is_sampled = 0;
		a->sparse[i].n_drawn = 0;
		attend_total_none(a, i);
	}
	return 0;
}

/* The best rows of query i, which were found before they were asked for, are rows. -1 with *f set. */
static int
top_is_sound(struct attend *a, size_t i, struct fault *f)
{
	struct worker *w = &a->worker[0];

	for (size_t t = 0; t < a->n_top; t++)
		if (!attend_row(a, a->top[i * a->n_top + t].row, w->row, w, t))
			return attend_first_fault(a, f);
	return 0;
}

/* With sketches: each query by itself, as far as it leads. 1: all are done, 0: none is. */
static int
run_by_bound(struct attend *a, size_t n_query, struct fault *f)
{
	/* what knows its temperature beforehand reads rows once; but a batch shares its two passes */
	enum { FEW = 2, SMALL = 8 * TILE_ROWS };

	if (!a->pool.sketch || a->pool.n_row < SMALL || a->n_top > a->pool.n_row / 16 || (a->set.epsilon <= 0 && n_query > FEW))
		return 0;
	for (size_t i = 0; i < n_query; i++) {
		if (a->sparse[i].is_sparse)
			continue;
		int how = attend_by_bound(a, i, f);
		if (how < 0)
			return -1;
		a->sparse[i].is_sparse = how == 1;
		if (how == 1)
			continue;
		/* the one query alone, in the place that it has */
		a->first = i;
		a->n_query = i + 1;
		int r = how == 2 ? attend_two_passes(a, f) : attend_one_pass(a, f);
		if (r == 0 && how == 0)
			r = top_is_sound(a, i, f);
		a->first = 0;
		a->n_query = n_query;
		if (r < 0)
			return -1;
	}
	return 1;
}

/* Queries that are not done yet; those that stand together share their passes. */
static int
run_the_rest(struct attend *a, size_t n_query, struct fault *f)
{
	int r = 0;

	for (size_t i = 0, end; r == 0 && i < n_query; i = end) {
		int is_done = a->sparse[i].is_sparse;
		for (end = i + 1; end < n_query && a->sparse[end].is_sparse == is_done; end++)
			;
		a->first = i;
		a->n_query = end;
		if (!is_done)
			r = attend_two_passes(a, f);
	}
	a->first = 0;
	a->n_query = n_query;
	return r;
}

int
attend_run(struct attend *a, size_t n_query, const struct attend_query *query, struct attend_result *result,
    struct fault *f)
{
	if (attend_begin(a, n_query, query, f) < 0)
		return -1;
	a->result = result;
	if (attend_by_cells(a, n_query, f) < 0)
		return -1;
	int is_done = run_by_bound(a, n_query, f);
	if (is_done < 0 || (!is_done && run_the_rest(a, n_query, f) < 0))
		return -1;
	for (size_t i = 0; i < n_query; i++)
		finish(a, i);
	return 0;
}
