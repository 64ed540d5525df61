/* An index: k-means in two steps puts rows that are near each other into cells, and probes tell how far what is foretold of
   cells may be believed. Every choice follows from the rows alone, so any number of threads makes the same bytes. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/thread.h"
#include "mat/half.h"
#include "mat/mat.h"
#include "pool/inside.h"

enum { SAMPLE_PER_CELL = 32, COARSE_ROUNDS = 8, FINE_ROUNDS = 6, NEAR_COARSE = 4, BLOCK = 2048, PIECE = 256 };
enum { STREAM_SAMPLE = 1, STREAM_COARSE, STREAM_FINE, STREAM_PROBE };   /* high half of a stream's number */
enum { N_KIND = POOL_INDEX_KINDS, N_EACH = POOL_INDEX_PROBES, N_PROBE = N_KIND * N_EACH, N_SHARP = POOL_INDEX_SHARPS,
	N_SHARE = POOL_INDEX_SHARES, N_RULE = POOL_INDEX_RULES, N_BEST = 10, COST_EACH = 8 };

static const double CELLS_PER_ROOT = 4; /* cells of the square root of so many rows */
static const float NONE_NEEDED = 1e30f;

struct made {
	const struct pool_index_rows *in;
	size_t n_thread, dim;
	/* k-means */
	size_t n_sample, n_coarse, n_fine;
	float *sample;                  /* [n_sample][dim] */
	uint32_t *sample_of;            /* [n_sample], coarse centre */
	float *coarse, *coarse_half;    /* [n_coarse][dim], [n_coarse]: half the squared length */
	float *fine, *fine_half;
	size_t *fine_start;             /* [n_coarse + 1] */
	uint32_t *member;               /* [n_sample], by coarse centre */
	size_t *member_start;           /* [n_coarse + 1] */
	uint32_t *of;                   /* [n], the cell of a row */
	/* probes */
	float *probe;                   /* [N_PROBE][dim] */
	float *reference;               /* [N_PROBE], about the best score */
	float *centre, *spread;         /* [n_cell][dim], as they are kept */
	float *mass;                    /* [n_cell][N_SHARP][N_PROBE] */
	struct best *best;              /* [n_thread] */
	float *level[N_RULE];           /* [N_SHARP][N_SHARE + 1][N_KIND][N_EACH] */
	float *cost;                    /* [N_PROBE / COST_EACH][N_RULE][N_SHARP][N_SHARE + 1], share of rows */
	struct pool_index_made *out;
};

static void
row_at(const struct made *m, size_t i, float *out)
{
	const struct pool_index_rows *in = m->in;

	pool_decode(in->store, (const char *)in->x + i * m->dim * pool_store_size(in->store), in->scale ? in->scale + i : NULL,
	    1, m->dim, out);
}

/* Scores of rows less half the squared length of a centre: the largest is that of the nearest. */
static void
nearness(const float *rows, size_t n, const float *centre, const float *half, size_t n_centre, size_t dim, float *score)
{
	mat_mul(1, mat_of(rows, n, dim), 0, mat_of(centre, n_centre, dim), 1, 0, mat_of(score, n, n_centre));
	for (size_t i = 0; i < n; i++)
		for (size_t c = 0; c < n_centre; c++)
			score[i * n_centre + c] -= half[c];
}

static void
halves(const float *centre, size_t n, size_t dim, float *half)
{
	for (size_t c = 0; c < n; c++)
		half[c] = (float)(.5 * mat_dot64(centre + c * dim, centre + c * dim, dim));
}

static size_t
largest(const float *v, size_t n)
{
	size_t best = 0;

	for (size_t i = 1; i < n; i++)
		if (v[i] > v[best])
			best = i;
	return best;
}

/* Lloyd's k-means over rows [n][dim], from rows drawn; a centre that no row is nearest to stays where it is. */
static void
lloyd(const float *rows, size_t n, size_t dim, float *centre, size_t n_centre, int n_round, struct rng r)
{
	float *half = xmalloc(n_centre, sizeof *half), *score = xmalloc(PIECE * n_centre, sizeof *score);
	double *sum = xmalloc(n_centre * dim, sizeof *sum);
	size_t *count = xmalloc(n_centre, sizeof *count);

	for (size_t c = 0; c < n_centre; c++) { /* one out of each stretch */
		size_t from = n * c / n_centre, to = n * (c + 1) / n_centre;
		memcpy(centre + c * dim, rows + (from + rng_below(&r, to > from ? to - from : 1)) * dim, dim * sizeof *centre);
	}
	for (int round = 0; round < n_round; round++) {
		halves(centre, n_centre, dim, half);
		memset(sum, 0, n_centre * dim * sizeof *sum);
		memset(count, 0, n_centre * sizeof *count);
		for (size_t i = 0; i < n; i += PIECE) {
			size_t n_here = n - i < PIECE ? n - i : PIECE;
			nearness(rows + i * dim, n_here, centre, half, n_centre, dim, score);
			for (size_t k = 0; k < n_here; k++) {
				size_t c = largest(score + k * n_centre, n_centre);
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
		row_at(m, from + rng_below(&r, to > from ? to - from : 1), m->sample + i * m->dim);
	}
}

static void
assign_sample(void *arg, size_t task, size_t worker)
{
	struct made *m = arg;
	float *score = xmalloc(PIECE * m->n_coarse, sizeof *score);
	size_t from = task * PIECE, n = m->n_sample - from < PIECE ? m->n_sample - from : PIECE;

	(void)worker;
	nearness(m->sample + from * m->dim, n, m->coarse, m->coarse_half, m->n_coarse, m->dim, score);
	for (size_t i = 0; i < n; i++)
		m->sample_of[from + i] = (uint32_t)largest(score + i * m->n_coarse, m->n_coarse);
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
		lloyd(rows, n, m->dim, m->fine + m->fine_start[g] * m->dim, k, FINE_ROUNDS, rng_at(0, ((uint64_t)STREAM_FINE << 56) + g));
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
	lloyd(few, n_few, m->dim, m->coarse, m->n_coarse, COARSE_ROUNDS, rng_at(0, (uint64_t)STREAM_COARSE << 56));
	free(few);
	halves(m->coarse, m->n_coarse, m->dim, m->coarse_half);
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
	halves(m->fine, m->n_fine, m->dim, m->fine_half);
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
		row_at(m, from + i, rows + i * dim);
		best[i] = -FLT_MAX;
	}
	nearness(rows, n, m->coarse, m->coarse_half, m->n_coarse, dim, score);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n_near; k++) {
			size_t g = largest(score + i * m->n_coarse, m->n_coarse);
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
		nearness(some, n_some, m->fine + m->fine_start[g] * dim, m->fine_half + m->fine_start[g], k_fine, dim, score);
		for (size_t i = 0; i < n_some; i++) {
			size_t c = largest(score + i * k_fine, k_fine);
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
		row_at(m, o->row[k], x);
		for (size_t d = 0; d < dim; d++)
			sum[d] += x[d];
	}
	for (size_t d = 0; d < dim; d++) {
		o->centre[c * dim + d] = mat_f16((float)(sum[d] / (double)n));
		sum[d] = mat_f16_float(o->centre[c * dim + d]);
	}
	for (size_t k = o->start[c]; k < o->start[c + 1]; k++) {
		row_at(m, o->row[k], x);
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

/* -- probes -- */

struct best {
	float score[N_PROBE][N_BEST];   /* a heap is not worth it */
	uint32_t place[N_PROBE][N_BEST];
	float least[N_PROBE];
};

/* A row that is not zero. */
static void
some_row(const struct made *m, struct rng *r, float *x)
{
	for (int attempt = 0; attempt < 16; attempt++) {
		row_at(m, rng_below(r, m->in->n), x);
		if (mat_norm(x, m->dim) > 0)
			return;
	}
}

/* Directions of queries: a row; a row with noise, as a question that is answered by it; and that with a taste for a cell. */
static void
make_probe(struct made *m, size_t p)
{
	float *x = m->probe + p * m->dim, *y = xmalloc(m->dim, sizeof *y);
	struct rng r = rng_at(0, ((uint64_t)STREAM_PROBE << 56) + p);
	size_t kind = p / N_EACH;

	some_row(m, &r, x);
	if (kind > 0)
		for (size_t d = 0; d < m->dim; d++)
			x[d] += (float)(rng_normal(&r) * .6 / sqrt((double)m->dim));
	mat_normalise(x, m->dim);
	if (kind == 2) {
		size_t c = m->of[rng_below(&r, m->in->n)];
		for (size_t d = 0; d < m->dim; d++)
			y[d] = mat_f16_float(m->out->centre[c * m->dim + d]);
		mat_normalise(y, m->dim);
		for (size_t d = 0; d < m->dim; d++)
			x[d] += (float)(.8 * y[d]);
		mat_normalise(x, m->dim);
	}
	free(y);
}

/* e^x to 2e-7 of it, x from -87 to 88, 0 below; in steps that a compiler lays side by side. */
static inline __attribute__((always_inline)) float
fast_exp(float x)
{
	const float rounder = 0x1.8p23f;
	float clipped = x < -87 ? -87 : x > 88 ? 88 : x;
	float whole = clipped * 1.44269504f + rounder - rounder, f = (clipped - whole * .693359375f) + whole * 2.12194440e-4f;
	float e = 1 + f * (1 + f * (.5f + f * (.16666667f + f * (.041666668f + f * (.008333452f + f * .0013981999f)))));
	union { int32_t i; float f; } scale = { .i = ((int32_t)whole + 127) * (1 << 23) };

	return x < -87 ? 0 : e * scale.f;
}

/* Rows' scores [n][N_PROBE] add to the mass [N_SHARP][N_PROBE] of their cell: sharpness goes by roots of 2 from
   the first on, so every second one is the square of one before. */
static inline __attribute__((always_inline)) void
add_mass(const float *restrict score, size_t n, const float *restrict reference, float *restrict mass)
{
	float e[2][N_PROBE];

	for (size_t i = 0; i < n; i++, score += N_PROBE) {
		for (size_t p = 0; p < N_PROBE; p++)
			e[0][p] = fast_exp((score[p] - reference[p]) * (float)POOL_INDEX_SHARP_FIRST);
		for (size_t p = 0; p < N_PROBE; p++)
			e[1][p] = fast_exp((score[p] - reference[p]) * (float)(POOL_INDEX_SHARP_FIRST * 1.41421356));
		for (size_t g = 0; g < N_SHARP; g++) {
			float *restrict to = mass + g * N_PROBE, *restrict of = e[g % 2];
			for (size_t p = 0; p < N_PROBE; p++) {
				to[p] += of[p];
				of[p] *= of[p];
			}
		}
	}
}

/* Whether one of the scores is above the least of the best. */
static inline __attribute__((always_inline)) int
is_any_best(const float *score, const float *least)
{
	int n = 0;

	for (size_t p = 0; p < N_PROBE; p++)
		n += score[p] > least[p];
	return n;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void
add_mass_wide(const float *restrict score, size_t n, const float *restrict reference, float *restrict mass)
{
	add_mass(score, n, reference, mass);
}
__attribute__((target("avx2"))) static int
is_any_best_wide(const float *score, const float *least)
{
	return is_any_best(score, least);
}
#define IS_WIDE __builtin_cpu_supports("avx2")
#else
#define add_mass_wide add_mass
#define is_any_best_wide is_any_best
#define IS_WIDE 0
#endif

static void
consider(struct best *b, size_t p, float score, uint32_t place)
{
	size_t worst = 0;

	for (size_t k = 1; k < N_BEST; k++)
		if (b->score[p][k] < b->score[p][worst] || (b->score[p][k] == b->score[p][worst] && b->place[p][k] > b->place[p][worst]))
			worst = k;
	if (score < b->score[p][worst] || (score == b->score[p][worst] && place > b->place[p][worst]))
		return;
	b->score[p][worst] = score;
	b->place[p][worst] = place;
	float least = b->score[p][0];
	for (size_t k = 1; k < N_BEST; k++)
		least = b->score[p][k] < least ? b->score[p][k] : least;
	b->least[p] = nextafterf(least, -FLT_MAX);      /* an equal one at a lower place comes in */
}

static void
probe_cell(void *arg, size_t c, size_t worker)
{
	struct made *m = arg;
	struct pool_index_made *o = m->out;
	float *rows = xaligned(PIECE * m->dim, sizeof *rows), *score = xaligned(PIECE * N_PROBE, sizeof *score);
	float *mass = m->mass + c * N_SHARP * N_PROBE;
	struct best *b = &m->best[worker];

	memset(mass, 0, N_SHARP * N_PROBE * sizeof *mass);
	for (size_t from = o->start[c], n; from < o->start[c + 1]; from += n) {
		n = o->start[c + 1] - from < PIECE ? o->start[c + 1] - from : PIECE;
		for (size_t i = 0; i < n; i++)
			row_at(m, o->row[from + i], rows + i * m->dim);
		mat_mul(1, mat_of(rows, n, m->dim), 0, mat_of(m->probe, N_PROBE, m->dim), 1, 0, mat_of(score, n, N_PROBE));
		if (IS_WIDE)
			add_mass_wide(score, n, m->reference, mass);
		else
			add_mass(score, n, m->reference, mass);
		for (size_t i = 0; i < n; i++) {
			const float *s = score + i * N_PROBE;
			if (IS_WIDE ? !is_any_best_wide(s, b->least) : !is_any_best(s, b->least))
				continue;
			for (size_t p = 0; p < N_PROBE; p++)
				if (s[p] > b->least[p])
					consider(b, p, s[p], (uint32_t)(from + i));
		}
	}
	free(score);
	free(rows);
}

struct foretold {
	double mass, told[N_RULE];      /* what is there, and what is foretold by each rule; of a cell, then of it and all behind */
	uint32_t cell;
};

static int
by_told(const void *s, const void *t)
{
	const struct foretold *a = s, *b = t;

	return a->told[0] != b->told[0] ? (a->told[0] > b->told[0] ? -1 : 1) : a->cell < b->cell ? -1 : a->cell > b->cell;
}

/* q.m and sum q^2 v of every cell. */
static void
moments(const struct made *m, size_t p, float *u, float *v)
{
	const float *q = m->probe + p * m->dim;
	float *square = xmalloc(m->dim, sizeof *square);

	for (size_t d = 0; d < m->dim; d++)
		square[d] = q[d] * q[d];
	mat_mul_vec(1, mat_of(m->centre, m->out->n_cell, m->dim), 0, q, 0, u);
	mat_mul_vec(1, mat_of(m->spread, m->out->n_cell, m->dim), 0, square, 0, v);
	free(square);
}

/* About the best score of a probe: that of the rows of its nearest cells. */
static void
find_reference(void *arg, size_t p, size_t worker)
{
	struct made *m = arg;
	const struct pool_index_made *o = m->out;
	float *u = xmalloc(2 * o->n_cell, sizeof *u), *v = u + o->n_cell;
	float *x = xmalloc(m->dim, sizeof *x), most = -1;

	(void)worker;
	moments(m, p, u, v);
	for (int k = 0; k < 4; k++) {
		size_t best = 0;
		for (size_t c = 1; c < o->n_cell; c++)
			if (u[c] + 2 * sqrtf(v[c]) > u[best] + 2 * sqrtf(v[best]))
				best = c;
		for (size_t i = o->start[best]; i < o->start[best + 1]; i++) {
			row_at(m, o->row[i], x);
			most = fmaxf(most, (float)mat_dot64(m->probe + p * m->dim, x, m->dim));
		}
		u[best] = -1e30f;
	}
	m->reference[p] = most;
	free(x);
	free(u);
}

/* Cells of one probe in order, one more behind the last. told: shares by the rules. */
static void
line_up(const struct made *m, size_t p, size_t g, const float *u, const float *v, struct foretold *cell)
{
	const struct pool_index_made *o = m->out;
	double sharp = pool_index_sharp(g), all[N_RULE];

	for (size_t c = 0; c < o->n_cell; c++) {
		double n = o->start[c + 1] - o->start[c], l = sharp * (u[c] - m->reference[p]), w = .5 * sharp * sharp * v[c];
		cell[c] = (struct foretold){ m->mass[(c * N_SHARP + g) * N_PROBE + p], { n * exp(fmin(l + w, 600)),
		    n * exp(fmin(.5 * l + .25 * w, 600)), n }, (uint32_t)c };
	}
	qsort(cell, o->n_cell, sizeof *cell, by_told);
	cell[o->n_cell] = (struct foretold){ 0, {0}, UINT32_MAX };
	for (size_t c = o->n_cell; c-- > 0; ) {
		cell[c].mass += cell[c + 1].mass;
		for (size_t r = 0; r < N_RULE; r++)
			cell[c].told[r] += cell[c + 1].told[r];
	}
	all[0] = cell[0].mass;
	for (size_t r = 1; r < N_RULE; r++)
		all[r] = cell[0].told[r];
	for (size_t c = 0; c < o->n_cell; c++)
		for (size_t r = 0; r < N_RULE; r++)
			cell[c].told[r] = all[r] > 0 && isfinite(all[r]) ? cell[c].told[r] / all[r] : INFINITY;
}

/* How little may be foretold of the cells that are left, by each rule, for them to hold no more than a share of
   the mass; and for the ten best rows to be among those before. */
static void
judge_probe(void *arg, size_t p, size_t worker)
{
	struct made *m = arg;
	struct pool_index_made *o = m->out;
	float *u = xmalloc(2 * o->n_cell, sizeof *u), *v = u + o->n_cell;
	struct foretold *cell = xmalloc(o->n_cell + 1, sizeof *cell);
	uint32_t best[N_BEST];
	size_t kind = p / N_EACH, i = p % N_EACH;

	(void)worker;
	for (size_t k = 0; k < N_BEST; k++) {           /* their cells */
		size_t low = 0, high = o->n_cell;
		while (high - low > 1) {
			size_t middle = low + (high - low) / 2;
			if (o->start[middle] <= m->best[0].place[p][k])
				low = middle;
			else
				high = middle;
		}
		best[k] = (uint32_t)low;
	}
	moments(m, p, u, v);
	for (size_t g = 0; g < N_SHARP; g++) {
		size_t n_found = 0, k = 0;
		line_up(m, p, g, u, v, cell);
		for (size_t c = 0; c < o->n_cell; c++)
			for (size_t b = 0; b < N_BEST; b++)
				n_found = best[b] == cell[c].cell ? c + 1 : n_found;
		for (size_t s = 0; s <= N_SHARE; s++) {
			while (s < N_SHARE && k < o->n_cell && cell[k].mass > pool_index_share(s) * cell[0].mass)
				k++;
			/* what is left one cell too early is too much, by a little more than rounding */
			size_t n_need = s < N_SHARE ? k : n_found;
			for (size_t r = 0; r < N_RULE; r++)
				m->level[r][((g * (N_SHARE + 1) + s) * N_KIND + kind) * N_EACH + i] = n_need == 0 ? NONE_NEEDED :
				    !isfinite(cell[n_need - 1].told[r]) ? 0 : (float)fmin(NONE_NEEDED, cell[n_need - 1].told[r] * (1 - 1e-3));
		}
	}
	free(cell);
	free(u);
}

/* What the rules would read for a probe, at the levels that they have. */
static void
cost_probe(void *arg, size_t task, size_t worker)
{
	struct made *m = arg;
	struct pool_index_made *o = m->out;
	size_t p = task * COST_EACH;
	float *u = xmalloc(2 * o->n_cell, sizeof *u), *v = u + o->n_cell;
	struct foretold *cell = xmalloc(o->n_cell + 1, sizeof *cell);

	(void)worker;
	moments(m, p, u, v);
	for (size_t g = 0; g < N_SHARP; g++) {
		line_up(m, p, g, u, v, cell);
		for (size_t s = 0; s <= N_SHARE; s++)
			for (size_t r = 0; r < N_RULE; r++) {
				double level = INFINITY;
				for (size_t kind = 0; kind < N_KIND; kind++)
					level = fmin(level, m->level[r][((g * (N_SHARE + 1) + s) * N_KIND + kind) * N_EACH]);
				size_t low = 0, high = o->n_cell;       /* the first from which on no more is left */
				while (low < high) {
					size_t middle = low + (high - low) / 2;
					if (cell[middle].told[r] <= level)
						high = middle;
					else
						low = middle + 1;
				}
				/* beyond some share all rows are read */
				double read = 1 - cell[low].told[2];
				m->cost[((task * N_RULE + r) * N_SHARP + g) * (N_SHARE + 1) + s] = (float)(read > .125 ? 1 + read : read);
			}
	}
	free(cell);
	free(u);
}

/* Of the rules the one that reads least, for each sharpness and share. */
static void
choose_rules(struct made *m)
{
	struct pool_index_made *o = m->out;

	for (size_t g = 0; g < N_SHARP; g++)
		for (size_t s = 0; s <= N_SHARE; s++) {
			double cost[N_RULE] = {0};
			size_t best = 0;
			for (size_t r = 0; r < N_RULE; r++)
				for (size_t task = 0; task < N_PROBE / COST_EACH; task++)
					cost[r] += m->cost[((task * N_RULE + r) * N_SHARP + g) * (N_SHARE + 1) + s];
			for (size_t r = 1; r < N_RULE; r++)
				best = cost[r] < cost[best] ? r : best;
			o->rule[g * (N_SHARE + 1) + s] = (uint8_t)best;
			const float *from = m->level[best] + (g * (N_SHARE + 1) + s) * N_KIND * N_EACH;
			memcpy(s < N_SHARE ? o->level + (g * N_SHARE + s) * N_KIND * N_EACH : o->found + g * N_KIND * N_EACH, from,
			    N_KIND * N_EACH * sizeof *from);
		}
}

static int
by_value(const void *s, const void *t)
{
	float a = *(const float *)s, b = *(const float *)t;

	return a < b ? -1 : a > b;
}

static void
ask_probes(struct made *m)
{
	struct pool_index_made *o = m->out;

	m->probe = xaligned(N_PROBE * m->dim, sizeof *m->probe);
	m->reference = xmalloc(N_PROBE, sizeof *m->reference);
	m->centre = xaligned(o->n_cell * m->dim, sizeof *m->centre);
	m->spread = xaligned(o->n_cell * m->dim, sizeof *m->spread);
	for (size_t i = 0; i < o->n_cell * m->dim; i++) {
		m->centre[i] = mat_f16_float(o->centre[i]);
		m->spread[i] = mat_bf16_float(o->spread[i]);
	}
	m->mass = xaligned(o->n_cell * N_SHARP * N_PROBE, sizeof *m->mass);
	m->best = xaligned(m->n_thread, sizeof *m->best);
	o->level = xmalloc(POOL_INDEX_LEVELS, sizeof *o->level);
	o->found = xmalloc(POOL_INDEX_FOUND, sizeof *o->found);
	o->rule = xmalloc(POOL_INDEX_CHOICES, sizeof *o->rule);
	for (size_t r = 0; r < N_RULE; r++)
		m->level[r] = xmalloc((size_t)POOL_INDEX_CHOICES * N_KIND * N_EACH, sizeof *m->level[r]);
	m->cost = xmalloc(N_PROBE / COST_EACH * N_RULE * POOL_INDEX_CHOICES, sizeof *m->cost);
	for (size_t p = 0; p < N_PROBE; p++)
		make_probe(m, p);
	for (size_t t = 0; t < m->n_thread; t++)
		for (size_t p = 0; p < N_PROBE; p++) {
			m->best[t].least[p] = -FLT_MAX;
			for (size_t k = 0; k < N_BEST; k++) {
				m->best[t].score[p][k] = -FLT_MAX;
				m->best[t].place[p][k] = 0;
			}
		}
	thread_for(m->n_thread, N_PROBE, find_reference, m);
	thread_for(m->n_thread, o->n_cell, probe_cell, m);
	for (size_t t = 1; t < m->n_thread; t++)
		for (size_t p = 0; p < N_PROBE; p++)
			for (size_t k = 0; k < N_BEST; k++)
				if (m->best[t].score[p][k] > -FLT_MAX)
					consider(&m->best[0], p, m->best[t].score[p][k], m->best[t].place[p][k]);
	thread_for(m->n_thread, N_PROBE, judge_probe, m);
	for (size_t r = 0; r < N_RULE; r++)
		for (size_t i = 0; i < POOL_INDEX_CHOICES * N_KIND; i++)
			qsort(m->level[r] + i * N_EACH, N_EACH, sizeof *m->level[r], by_value);
	thread_for(m->n_thread, N_PROBE / COST_EACH, cost_probe, m);
	choose_rules(m);
	for (size_t r = 0; r < N_RULE; r++)
		free(m->level[r]);
	free(m->cost);
	free(m->best);
	free(m->mass);
	free(m->spread);
	free(m->centre);
	free(m->reference);
	free(m->probe);
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
	ask_probes(&m);
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
