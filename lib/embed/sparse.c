#include "embed/sparse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

/* Wider vectors where the processor has them; no fused multiply-add, so the bits are the same everywhere. clang 14 gives
   clones a name that other files do not call them by. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

enum { LANE = 8, N_LANE = SPARSE_PANEL / LANE };
typedef float lane __attribute__((vector_size(LANE * sizeof(float))));

void
sparse_free(struct sparse *a)
{
	free(a->start);
	free(a->value_start);
	free(a->column);
	free(a->value);
	free(a->row_scale);
	free(a->column_scale);
	*a = (struct sparse){0};
}

/* Entries of a row without a value of their own. */
static size_t
n_plain(const struct sparse *a, size_t row)
{
	return a->start[row + 1] - a->start[row] - (a->value_start[row + 1] - a->value_start[row]);
}

size_t
sparse_unit_rows(struct sparse *a)
{
	size_t n_full = 0;

	for (size_t i = 0; i < a->n_row; i++) {
		const uint32_t *column = a->column + a->start[i];
		size_t n = a->start[i + 1] - a->start[i], n_one = n_plain(a, i);
		double sum = 0;

		for (size_t j = 0; j < n; j++) {
			double v = a->column_scale[column[j]];
			if (j >= n_one)
				v *= a->value[a->value_start[i] + j - n_one];
			sum += v * v;
		}
		a->row_scale[i] = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
		n_full += sum > 0;
	}
	return n_full;
}

WIDE void
sparse_add(float *restrict y, const float *restrict x, float weight, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] += weight * x[i];
}

void
sparse_row_mul(const struct sparse *a, size_t row, const float *b, size_t stride, size_t width, float *y)
{
	const uint32_t *column = a->column + a->start[row];
	size_t n = a->start[row + 1] - a->start[row], n_one = n_plain(a, row);
	const float *value = a->value + a->value_start[row];

	memset(y, 0, width * sizeof *y);
	for (size_t j = 0; j < n; j++) {
		float v = a->column_scale[column[j]];

		if (j >= n_one)
			v *= value[j - n_one];
		sparse_add(y, b + column[j] * stride, v, width);
	}
	for (size_t j = 0; j < width; j++)
		y[j] *= a->row_scale[row];
}

/* to += row' g, without column_scale. */
static inline void
scatter(const struct sparse *a, size_t row, const lane g[N_LANE], float *to)
{
	const uint32_t *column = a->column + a->start[row];
	size_t n = a->start[row + 1] - a->start[row], n_one = n_plain(a, row);
	const float *value = a->value + a->value_start[row];

	for (size_t j = 0; j < n_one; j++) {
		lane *t = (lane *)(to + column[j] * (size_t)SPARSE_PANEL);
		for (int k = 0; k < N_LANE; k++)
			t[k] += g[k];
	}
	for (size_t j = n_one; j < n; j++) {
		lane *t = (lane *)(to + column[j] * (size_t)SPARSE_PANEL);
		for (int k = 0; k < N_LANE; k++)
			t[k] += value[j - n_one] * g[k];
	}
}

static inline void
scale_columns(const struct sparse *a, float *panel)
{
	for (size_t t = 0; t < a->n_column; t++)
		for (size_t k = 0; k < SPARSE_PANEL; k++)
			panel[t * SPARSE_PANEL + k] *= a->column_scale[t];
}

WIDE void
sparse_sketch(const struct sparse *a, uint64_t seed, size_t panel, float *to)
{
	memset(to, 0, a->n_column * SPARSE_PANEL * sizeof *to);
	for (size_t i = 0; i < a->n_row; i++) {
		/* Uniform in 2^16 steps about zero: what counts is that directions are drawn evenly enough that none
		   is missed, and normal deviates would take ten times as long. */
		struct rng r = rng_at(seed, ((uint64_t)panel << 40) + i);
		lane g[N_LANE];

		for (int k = 0; k < SPARSE_PANEL; k += 2) {
			uint32_t two = rng_u32(&r);
			g[k / LANE][k % LANE] = ((float)(two & 0xFFFF) - 32767.5f) * a->row_scale[i];
			g[k / LANE][k % LANE + 1] = ((float)(two >> 16) - 32767.5f) * a->row_scale[i];
		}
		scatter(a, i, g, to);
	}
	scale_columns(a, to);
}

WIDE void
sparse_gram(const struct sparse *a, float *from, float *to)
{
	scale_columns(a, from);
	memset(to, 0, a->n_column * SPARSE_PANEL * sizeof *to);
	for (size_t i = 0; i < a->n_row; i++) {
		const uint32_t *column = a->column + a->start[i];
		size_t n = a->start[i + 1] - a->start[i], n_one = n_plain(a, i);
		const float *value = a->value + a->value_start[i];
		lane sum[N_LANE] = {{0}};

		for (size_t j = 0; j < n_one; j++) {
			const lane *x = (const lane *)(from + column[j] * (size_t)SPARSE_PANEL);
			for (int k = 0; k < N_LANE; k++)
				sum[k] += x[k];
		}
		for (size_t j = n_one; j < n; j++) {
			const lane *x = (const lane *)(from + column[j] * (size_t)SPARSE_PANEL);
			for (int k = 0; k < N_LANE; k++)
				sum[k] += value[j - n_one] * x[k];
		}
		for (int k = 0; k < N_LANE; k++)
			sum[k] *= a->row_scale[i] * a->row_scale[i];
		scatter(a, i, sum, to);
	}
	scale_columns(a, to);
}
