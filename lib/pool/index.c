/* An index: k-means in two steps puts rows that are near each other into cells, rows that it has no place for get cells of their
   own, and probes tell how far what is foretold of cells may be believed. Every choice follows from the rows alone, so any number of threads makes the same bytes. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/thread.h"
#include "mat/half.h"
#include "mat/mat.h"
#include "pool/index_inside.h"

enum { SAMPLE_PER_CELL = 32, COARSE_ROUNDS = 8, FINE_ROUNDS = 6, NEAR_COARSE = 4, BLOCK = 2048, PIECE = 256 };
enum { STREAM_SAMPLE = 1, STREAM_COARSE, STREAM_FINE };   /* high byte of a stream's number; 4 is that of
	probes, 5 that of rows far off */
static const double CELLS_PER_ROOT = 4; /* cells of the square root of so many rows */

void
pool_index_row(const struct made *m, size_t i, float *out)
{
	const struct pool_index_rows *in = m->in;

	pool_decode(in->store, (const char *)in->x + i * m->dim * pool_store_size(in->store), in->scale ? in->scale + i : NULL,
	    1, m->dim, out);
}

/* Scores of rows less half the squared length of a centre: the largest is that of the nearest. */
void
pool_index_nearness(const float *rows, size_t n, const float *centre, const float *half, size_t n_centre, size_t dim, float *score)
{
	mat_mul(1, mat_of(rows, n, dim), 0, mat_of(centre, n_centre, dim), 1, 0, mat_of(score, n, n_centre));
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < n_centre; c++)
			score[i * n_centre + c] -= half[c];
}

void
pool_index_halves(const float *centre, size_t n, size_t dim, float *half)
{
	for (size_t c = 0; c < n; c++)
		half[c] = (float)(.5 * mat_dot64(centre + c * dim, centre + c * dim, dim));
}

size_t
pool_index_largest(const float *v, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (v[i] > v[best])
			best = i;
	return best;
}

static int
by_value(const void *s, const void *t)
{
	float a = *(const float *)s, b = *(const float *)t;

	return a < b ? -1 : a > b;
}

void
pool_index_sort(float *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
}

/* k-means++ (Arthur and Vassilvitskii 2007): each next centre is a row drawn with a chance as its squared distance to the
   nearest one so far. So hardly a group that lies apart is left without. */
static void
seed_centres(const float *rows, size_t n, size_t dim, float *centre, size_t n_centre, struct rng *r)
{
	float *score = xmalloc(n, sizeof *score), *square = xmalloc(n, sizeof *square), *off = xmalloc(n, sizeof *off);
	size_t next = rng_below(r, n);

	for (size_t i = 0; i < n; i++) {
		square[i] = (float)mat_dot64(rows + i * dim, rows + i * dim, dim);
		off[i] = FLT_MAX;
	}
	for (size_t c = 0; c < n_centre; c++) {
		const float *newest = memcpy(centre + c * dim, rows + next * dim, dim * sizeof *centre);
		double sum = 0, until;
		mat_mul_vec(1, mat_of(rows, n, dim), 0, newest, 0, score);
		for (size_t i = 0; i < n; i++) {
			off[i] = fmaxf(0, fminf(off[i], square[i] + square[next] - 2 * score[i]));
			sum += off[i];
		}
		until = rng_uniform(r) * sum;
		next = rng_below(r, n);         /* where all rows are centres */
		for (size_t i = 0; sum > 0 && i < n && until > 0; i++) {
			until -= off[i];
			next = off[i] > 0 ? i : next;
		}
	}
	free(off);
	free(square);
	free(score);
}

/* Lloyd's k-means over rows [n][dim], from rows drawn; a centre that no row is nearest to stays where it is. */
void
pool_index_means(const float *rows, size_t n, size_t dim, float *centre, size_t n_centre, int n_round, struct rng r)
{
	float *half = xmalloc(n_centre, sizeof *half), *score = xmalloc(PIECE * n_centre, sizeof *score);
	double *sum = xmalloc(n_centre * dim, sizeof *sum);
	size_t *count = xmalloc(n_centre, sizeof *count);

	seed_centres(rows, n, dim, centre, n_centre, &r);
	for (int round = 0; round < n_round; round++) {
		pool_index_halves(centre, n_centre, dim, half);
		memset(sum, 0, n_centre * dim * sizeof *sum);
		memset(count, 0, n_centre * sizeof *count);
		for (size_t i = 0; i < n; i += PIECE) {
			size_t n_here = n - i < PIECE ? n - i : PIECE;
			pool_index_nearness(rows + i * dim, n_here, centre, half, n_centre, dim, score);
			for (size_t k = 0; k < n_here; k++) {
				size_t c = pool_index_largest(score + k * n_centre, n_centre);
				count[c]++;
				for (size_t d = 0; d < dim; d++)
					sum[c * dim + d] += rows[(i + k) * dim + d];
			}
		}
		for (size_t c = 0; c < n_centre; c++)
			for (size_t d = 0; count[c] > 0 && d < dim; d++)
				centre[c * dim + d] = (float)(sum[c * dim + d] / (double)count[c]);
	}
	free(count);
	free(sum);
	free(score);
	free(half);
}

static void
take_sample(void *arg, size_t task, size_t worker)
{
	struct made *m = arg;

	(void)worker;
	for (size_t i = task * BLOCK; i < (task + 1) * BLOCK && i < m->n_sample; i++) {
		struct rng r = rng_at(0, ((uint64_t)STREAM_SAMPLE << 56) + i);
		size_t from = m->in->n * i / m->n_sample, to = m->in->n * (i + 1) / m->n_sample;
		pool_index_row(m, from + rng_below(&r, to > from ? to - from : 1), m->sample + i * m->dim);
	}
}

static void
assign_sample(void *arg, size_t task, size_t worker)
{
	struct made *m = arg;
	float *score = xmalloc(PIECE * m->n_coarse, sizeof *score);
	size_t from = task * PIECE, n = m->n_sample - from < PIECE ? m->n_sample - from : PIECE;

	(void)worker;
	pool_index_nearness(m->sample + from * m->dim, n, m->coarse, m->coarse_half, m->n_coarse, m->dim, score);
	for (size_t i = 0; i < n; i++)
		m->sample_of[from + i] = (uint32_t)pool_index_largest(score + i * m->n_coarse, m->n_coarse);
	free(score);
}

/* The samples of one coarse centre have centres of their own, by their number. */
static void
split_coarse(void *arg, size_t g, size_t worker)
{
	struct made *m = arg;
	size_t from = m->member_start[g], n = m->member_start[g + 1] - from, k = m->fine_start[g + 1] - m->fine_start[g];
	float *rows = xmalloc(n * m->dim + 1, sizeof *rows);

	(void)worker;
	for (size_t i = 0; i < n; i++)
		memcpy(rows + i * m->dim, m->sample + m->member[from + i] * m->dim, m->dim * sizeof *rows);
	if (k > 0)
		pool_index_means(rows, n, m->dim, m->fine + m->fine_start[g] * m->dim, k, FINE_ROUNDS, rng_at(0, ((uint64_t)STREAM_FINE << 56) + g));
	free(rows);
}

static void
find_centres(struct made *m)
{
	size_t n_cell = (size_t)ceil(CELLS_PER_ROOT * sqrt((double)m->in->n)), n_few;

	m->n_sample = SAMPLE_PER_CELL * n_cell < m->in->n ? SAMPLE_PER_CELL * n_cell : m->in->n;
	m->n_coarse = (size_t)ceil(sqrt((double)n_cell));
	m->sample = xaligned(m->n_sample * m->dim, sizeof *m->sample);
	m->sample_of = xmalloc(m->n_sample, sizeof *m->sample_of);
	m->member = xmalloc(m->n_sample, sizeof *m->member);
	m->coarse = xaligned(m->n_coarse * m->dim, sizeof *m->coarse);
	m->coarse_half = xmalloc(m->n_coarse, sizeof *m->coarse_half);
	m->member_start = xcalloc(m->n_coarse + 1, sizeof *m->member_start);
	m->fine_start = xcalloc(m->n_coarse + 1, sizeof *m->fine_start);
	thread_for(m->n_thread, (m->n_sample + BLOCK - 1) / BLOCK, take_sample, m);
	/* coarse centres need no more than some rows each, taken all over the pool */
	n_few = 256 * m->n_coarse < m->n_sample ? 256 * m->n_coarse : m->n_sample;
	float *few = xaligned(n_few * m->dim, sizeof *few);
	for (size_t i = 0; i < n_few; i++)
		memcpy(few + i * m->dim, m->sample + m->n_sample * i / n_few * m->dim, m->dim * sizeof *few);
	pool_index_means(few, n_few, m->dim, m->coarse, m->n_coarse, COARSE_ROUNDS, rng_at(0, (uint64_t)STREAM_COARSE << 56));
	free(few);
	pool_index_halves(m->coarse, m->n_coarse, m->dim, m->coarse_half);
	thread_for(m->n_thread, (m->n_sample + PIECE - 1) / PIECE, assign_sample, m);
	for (size_t i = 0; i < m->n_sample; i++)
		m->member_start[m->sample_of[i] + 1]++;
	for (size_t g = 0; g < m->n_coarse; g++) {
		size_t n = m->member_start[g + 1], k = (size_t)rint((double)n_cell * (double)n / (double)m->n_sample);
		m->fine_start[g + 1] = m->fine_start[g] + (n == 0 ? 0 : k < 1 ? 1 : k);
		m->member_start[g + 1] += m->member_start[g];
	}
	size_t *at = xmalloc(m->n_coarse, sizeof *at);
	memcpy(at, m->member_start, m->n_coarse * sizeof *at);
	for (size_t i = 0; i < m->n_sample; i++)
		m->member[at[m->sample_of[i]]++] = (uint32_t)i;
	free(at);
	m->n_fine = m->fine_start[m->n_coarse];
	m->fine = xaligned(m->n_fine * m->dim, sizeof *m->fine);
	m->fine_half = xmalloc(m->n_fine, sizeof *m->fine_half);
	thread_for(m->n_thread, m->n_coarse, split_coarse, m);
	pool_index_halves(m->fine, m->n_fine, m->dim, m->fine_half);
}

/* The nearest fine centre among those of the nearest coarse ones; rows that ask the same ones ask together. */
static void
assign_block(void *arg, size_t task, size_t worker)
{
	struct made *m = arg;
	size_t dim = m->dim, from = task * BLOCK, n = m->in->n - from < BLOCK ? m->in->n - from : BLOCK, n_most = 0;
	size_t n_near = m->n_coarse < NEAR_COARSE ? m->n_coarse : NEAR_COARSE;
	float *rows = xaligned(n * dim, sizeof *rows), *some = xaligned(n * dim, sizeof *some), *best = xmalloc(n, sizeof *best);
	uint32_t *list = xmalloc(n * n_near, sizeof *list), *which = xmalloc(n, sizeof *which);

	(void)worker;
	for (size_t g = 0; g < m->n_coarse; g++)
		n_most = m->fine_start[g + 1] - m->fine_start[g] > n_most ? m->fine_start[g + 1] - m->fine_start[g] : n_most;
	float *score = xaligned(n * (n_most > m->n_coarse ? n_most : m->n_coarse), sizeof *score);
	for (size_t i = 0; i < n; i++) {
		pool_index_row(m, from + i, rows + i * dim);
		best[i] = -FLT_MAX;
	}
	pool_index_nearness(rows, n, m->coarse, m->coarse_half, m->n_coarse, dim, score);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_near; k++) {
			size_t g = pool_index_largest(score + i * m->n_coarse, m->n_coarse);
			list[i * n_near + k] = (uint32_t)g;
			score[i * m->n_coarse + g] = -FLT_MAX;
		}
	for (size_t g = 0; g < m->n_coarse; g++) {
		size_t n_some = 0, k_fine = m->fine_start[g + 1] - m->fine_start[g];
		for (size_t i = 0; k_fine > 0 && i < n; i++)
			for (size_t k = 0; k < n_near; k++)
				if (list[i * n_near + k] == g) {
					memcpy(some + n_some * dim, rows + i * dim, dim * sizeof *some);
					which[n_some++] = (uint32_t)i;
				}
		if (n_some == 0)
			continue;
		pool_index_nearness(some, n_some, m->fine + m->fine_start[g] * dim, m->fine_half + m->fine_start[g], k_fine, dim, score);
		for (size_t i = 0; i < n_some; i++) {
			size_t c = pool_index_largest(score + i * k_fine, k_fine);
			if (score[i * k_fine + c] > best[which[i]]) {
				best[which[i]] = score[i * k_fine + c];
				m->of[from + which[i]] = (uint32_t)(m->fine_start[g] + c);
			}
		}
	}
	free(score);
	free(which);
	free(list);
	free(best);
	free(some);
	free(rows);
}

/* -- cells: places by cell, then by cluster, then by row -- */

static void
sort_rows(struct made *m)
{
	const struct pool_index_rows *in = m->in;
	struct pool_index_made *o = m->out;
	uint32_t *count = xcalloc(m->n_fine + 1, sizeof *count), *name = xmalloc(m->n_fine + 1, sizeof *name);
	uint32_t n_cluster = 0;

	for (size_t i = 0; i < in->n; i++) {
		count[m->of[i]]++;
		n_cluster = in->cluster[i] >= n_cluster ? in->cluster[i] + 1 : n_cluster;
	}
	for (size_t c = 0; c < m->n_fine; c++) {
		name[c] = (uint32_t)o->n_cell;
		o->n_cell += count[c] > 0;
	}
	o->start = xcalloc(o->n_cell + 1, sizeof *o->start);
	o->row = xmalloc(in->n, sizeof *o->row);
	for (size_t i = 0; i < in->n; i++)
		o->start[(m->of[i] = name[m->of[i]]) + 1]++;
	for (size_t c = 0; c < o->n_cell; c++)
		o->start[c + 1] += o->start[c];
	/* stable twice: first by cluster, then by cell */
	uint32_t *by_cluster = xmalloc(in->n, sizeof *by_cluster), *at = xcalloc((size_t)n_cluster + 1, sizeof *at);
	for (size_t i = 0; i < in->n; i++)
		at[in->cluster[i] + 1]++;
	for (size_t c = 0; c < n_cluster; c++)
		at[c + 1] += at[c];
	for (size_t i = 0; i < in->n; i++)
		by_cluster[at[in->cluster[i]]++] = (uint32_t)i;
	uint32_t *to = xmalloc(o->n_cell, sizeof *to);
	memcpy(to, o->start, o->n_cell * sizeof *to);
	for (size_t i = 0; i < in->n; i++)
		o->row[to[m->of[by_cluster[i]]]++] = by_cluster[i];
	free(to);
	free(at);
	free(by_cluster);
	free(name);
	free(count);
	/* runs of one cluster */
	size_t n_cap = 0, n_cap_start = 0;
	o->cell_run = xcalloc(o->n_cell + 1, sizeof *o->cell_run);
	for (size_t c = 0; c < o->n_cell; c++) {
		for (size_t k = o->start[c]; k < o->start[c + 1]; k++) {
			uint32_t cluster = in->cluster[o->row[k]];
			if (k > o->start[c] && o->run_cluster[o->n_run - 1] == cluster)
				continue;
			o->run_cluster = xgrow(o->run_cluster, &n_cap, o->n_run + 1, sizeof *o->run_cluster);
			o->run_start = xgrow(o->run_start, &n_cap_start, o->n_run + 2, sizeof *o->run_start);
			o->run_cluster[o->n_run] = cluster;
			o->run_start[o->n_run++] = (uint32_t)k;
		}
		o->cell_run[c + 1] = (uint32_t)o->n_run;
	}
	o->run_start[o->n_run] = (uint32_t)in->n;
}

/* Mean and variance of a cell's rows, the latter drawn to its own mean over the axes. */
static void
measure_cell(void *arg, size_t c, size_t worker)
{
	struct made *m = arg;
	struct pool_index_made *o = m->out;
	size_t dim = m->dim, n = o->start[c + 1] - o->start[c];
	double *sum = xcalloc(2 * dim, sizeof *sum), *square = sum + dim, all = 0;
	float *x = xmalloc(dim, sizeof *x);

	(void)worker;
	for (size_t k = o->start[c]; k < o->start[c + 1]; k++) {
		pool_index_row(m, o->row[k], x);
		for (size_t d = 0; d < dim; d++)
			sum[d] += x[d];
	}
	for (size_t d = 0; d < dim; d++) {
		o->centre[c * dim + d] = mat_f16((float)(sum[d] / (double)n));
		sum[d] = mat_f16_float(o->centre[c * dim + d]);
	}
	for (size_t k = o->start[c]; k < o->start[c + 1]; k++) {
		pool_index_row(m, o->row[k], x);
		for (size_t d = 0; d < dim; d++)
			square[d] += (x[d] - sum[d]) * (x[d] - sum[d]);
	}
	for (size_t d = 0; d < dim; d++)
		all += square[d] / (double)n / (double)dim;
	for (size_t d = 0; d < dim; d++)
		o->spread[c * dim + d] = mat_bf16((float)(.75 * square[d] / (double)n + .25 * all));
	free(x);
	free(sum);
}

void
pool_index_make(const struct pool_index_rows *rows, size_t n_thread, struct pool_index_made *out)
{
	struct made m = { .in = rows, .dim = rows->dim, .n_thread = n_thread ? n_thread : 1, .out = out };

	assert(rows->n > 0);
	*out = (struct pool_index_made){0};
	find_centres(&m);
	m.of = xmalloc(rows->n, sizeof *m.of);
	thread_for(m.n_thread, (rows->n + BLOCK - 1) / BLOCK, assign_block, &m);
	pool_index_gather(&m);
	pool_index_split(&m);
	sort_rows(&m);
	out->centre = xmalloc(out->n_cell * m.dim, sizeof *out->centre);
	out->spread = xmalloc(out->n_cell * m.dim, sizeof *out->spread);
	thread_for(m.n_thread, out->n_cell, measure_cell, &m);
	free(m.sample);
	free(m.sample_of);
	free(m.member);
	free(m.member_start);
	free(m.fine);
	free(m.fine_half);
	free(m.fine_start);
	free(m.coarse);
	free(m.coarse_half);
	pool_index_probe(&m);
	free(m.of);
}

void
pool_index_made_free(struct pool_index_made *o)
{
	free(o->centre);
	free(o->spread);
	free(o->start);
	free(o->row);
	free(o->cell_run);
	free(o->run_start);
	free(o->run_cluster);
	free(o->level);
	free(o->found);
	free(o->rule);
	*o = (struct pool_index_made){0};
}

double
pool_index_sharp(size_t g)
{
	return POOL_INDEX_SHARP_FIRST * exp2(.5 * (double)g);
}

double
pool_index_share(size_t s)
{
	return exp2(-1. - (double)s);
}
