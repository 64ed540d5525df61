/* What probes tell of the cells of an index: how much of what is foretold must be read for little to be missed. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/thread.h"
#include "mat/half.h"
#include "mat/mat.h"
#include "pool/index_inside.h"

enum { PIECE = 256, N_BEST = 10, COST_EACH = 8 };
enum { STREAM_PROBE = 4 };      /* high half of a stream's number, behind those of index.c */

static const float NONE_NEEDED = 1e30f;

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
		pool_index_row(m, rng_below(r, m->in->n), x);
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
			pool_index_row(m, o->row[from + i], rows + i * m->dim);
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
			pool_index_row(m, o->row[i], x);
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
		double n = o->start[c + 1] - o->start[c], along = u[c] - m->reference[p];
		cell[c] = (struct foretold){ m->mass[(c * N_SHARP + g) * N_PROBE + p],
		    { n * exp(fmin(pool_index_foretold(sharp, along, v[c]), 600)),
		    n * exp(fmin(pool_index_foretold(.5 * sharp, along, v[c]), 600)), n }, (uint32_t)c };
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
				m->cost[((task * N_RULE + r) * N_SHARP + g) * (N_SHARE + 1) + s] = (float)(read > .25 ? 1 + read : read);
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

void
pool_index_probe(struct made *m)
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
			pool_index_sort(m->level[r] + i * N_EACH, N_EACH);
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
