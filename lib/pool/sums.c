/* Means over pairs from sums over rows: sum_i sum_j (x_i'x_j) = |sum x|^2 and sum_i sum_j (x_i'x_j)^2 = |sum x x'|_F^2,
   from which the pairs i = j are taken away. All of it in whole numbers until the last division. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mat/mat.h"
#include "pool/inside.h"

enum { BLOCK_ROWS = 256, GRAM_ROWS = 65536 };   /* 2^16 products of at most 2^36.003 stay below 2^53 */

void
pool_sums_init(struct pool_sums *s, size_t dim)
{
	*s = (struct pool_sums){ .dim = dim };
	s->sum = xcalloc(dim, sizeof *s->sum);
	s->moment = xcalloc(dim * (dim + 1) / 2, sizeof *s->moment);
	s->block = xmalloc(BLOCK_ROWS * dim, sizeof *s->block);
	s->gram = xcalloc(dim * dim, sizeof *s->gram);
}

void
pool_sums_free(struct pool_sums *s)
{
	free(s->sum);
	free(s->moment);
	free(s->block);
	free(s->gram);
	*s = (struct pool_sums){0};
}

static void
empty_block(struct pool_sums *s)
{
	mat_gram64(s->block, s->n_block, s->dim, s->gram);
	s->n_gram += s->n_block;
	s->n_block = 0;
}

static void
empty_gram(struct pool_sums *s)
{
	for (size_t i = 0, k = 0; i < s->dim; i++)
		for (size_t j = 0; j <= i; j++, k++) {
			s->moment[k] += (int64_t)s->gram[i * s->dim + j];
			s->gram[i * s->dim + j] = 0;
		}
	s->n_gram = 0;
}

void
pool_sums_add(struct pool_sums *s, const float *x)
{
	/* Adding and taking away 1.5 * 2^52 rounds to the nearest whole number, ties to even. */
	const double rounder = 0x1.8p52;
	double *q = s->block + s->n_block * s->dim;
	uint64_t square = 0;

	for (size_t i = 0; i < s->dim; i++) {
		q[i] = (double)x[i] * POOL_SCALE + rounder - rounder;
		int64_t whole = (int64_t)q[i];
		s->sum[i] += whole;
		square += (uint64_t)(whole * whole);
	}
	s->quartic += (unsigned __int128)square * square;
	s->n_row++;
	if (++s->n_block == BLOCK_ROWS) {
		empty_block(s);
		if (s->n_gram == GRAM_ROWS)
			empty_gram(s);
	}
}

void
pool_sums_finish(struct pool_sums *s)
{
	empty_block(s);
	empty_gram(s);
}

double
pool_score_sd(const struct pool *p, double *mean)
{
	size_t dim = p->dim, n_moment = dim * (dim + 1) / 2;
	int64_t *sum = xcalloc(dim, sizeof *sum), *moment = xcalloc(n_moment, sizeof *moment);
	unsigned __int128 quartic = 0, squares = 0;
	__int128 sum_squares = 0, trace = 0;

	for (size_t k = 0; k < p->n_segment; k++) {
		const struct segment *s = &p->segment[k];
		for (size_t i = 0; i < dim; i++)
			sum[i] += s->sum[i];
		for (size_t i = 0; i < n_moment; i++)
			moment[i] += s->moment[i];
		quartic += (unsigned __int128)s->quartic[1] << 64 | s->quartic[0];
	}
	for (size_t i = 0, k = 0; i < dim; i++) {
		sum_squares += (__int128)sum[i] * sum[i];
		for (size_t j = 0; j <= i; j++, k++) {
			unsigned __int128 m = (unsigned __int128)(moment[k] < 0 ? -moment[k] : moment[k]);
			squares += i == j ? m * m : 2 * (m * m);
		}
		trace += moment[k - 1];
	}
	if (mean)
		for (size_t i = 0; i < dim; i++)
			mean[i] = p->n < 2 ? 0 : (double)sum[i] / POOL_SCALE / (double)p->n;
	free(sum);
	free(moment);
	if (p->n < 2)
		return 0;
	long double n_pair = (long double)p->n * (long double)(p->n - 1), unit = (long double)POOL_SCALE * POOL_SCALE;
	long double mean_score = (long double)(sum_squares - trace) / unit / n_pair;
	long double mean_square = (long double)(squares - quartic) / unit / unit / n_pair;
	long double variance = mean_square - mean_score * mean_score;
	/* Equal scores leave only what 64 bits of mantissa cannot tell. */
	return variance > 1e-12L ? (double)sqrtl(variance) : 0;
}
