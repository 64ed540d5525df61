#include "mat/sketch.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "mat/half.h"

/* The length of a transform is a power of 4, so that dividing by its root is exact. */
static size_t
block_of(size_t dim)
{
	return dim <= 16 ? 16 : 64;
}

size_t
mat_sketch_codes(size_t dim)
{
	size_t n = block_of(dim);

	return (dim + n - 1) / n * n;
}

size_t
mat_sketch_block(size_t dim)
{
	return mat_sketch_codes(dim) / 8 * 64 + 2 * MAT_SKETCH_ROWS * sizeof(uint16_t);
}

/* A fixed sequence of signs (splitmix64). */
static int
is_negative(size_t i, size_t round)
{
	uint64_t z = (i + 1 + (round << 32)) * 0x9E3779B97F4A7C15u;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return (int)((z ^ z >> 31) & 1);
}

static void
round_of(double *x, size_t n, size_t n_block, size_t round)
{
	for (size_t i = 0; i < n; i++)
		if (is_negative(i, round))
			x[i] = -x[i];
	for (size_t at = 0; at < n; at += n_block)
		for (size_t half = 1; half < n_block; half *= 2)
			for (size_t i = 0; i < n_block; i += 2 * half)
				for (size_t k = at + i; k < at + i + half; k++) {
					double a = x[k], b = x[k + half];
					x[k] = a + b;
					x[k + half] = a - b;
				}
	for (size_t i = 0; i < n; i++)
		x[i] *= n_block == 64 ? .125 : .25;
}

void
mat_sketch_turn(const float *x, size_t dim, double *out)
{
	double other[MAT_SKETCH_DIM_MAX];
	size_t n = mat_sketch_codes(dim), n_block = block_of(dim), n_times = n / n_block;

	assert(n <= MAT_SKETCH_DIM_MAX);
	for (size_t i = 0; i < n; i++)
		other[i] = i < dim ? x[i] : 0;
	round_of(other, n, n_block, 0);
	for (size_t i = 0; i < n_block; i++)
		for (size_t k = 0; k < n_times; k++)
			out[i * n_times + k] = other[k * n_block + i];
	round_of(out, n, n_block, 1);
}

static double
code_of(double x, double per)
{
	double c = floor(x * per + 8);

	return c < 0 ? 0 : c > 15 ? 15 : c;
}

/* Squared distance with scale s. */
static double
off2(const double *x, size_t n, double s)
{
	double sum = 0, per = 1 / s;

	for (size_t i = 0; i < n; i++) {
		double d = x[i] - s * (code_of(x[i], per) - 7.5);
		sum += d * d;
	}
	return sum;
}

/* The best scale of a few around that of a normal number of the row's length (a step of .335 deviations is the best for
   16 even steps, Max 1960), as float16. */
static double
scale_of(const double *x, size_t n)
{
	double square = 0, best = INFINITY, best_s = 0;

	for (size_t i = 0; i < n; i++)
		square += x[i] * x[i];
	if (square == 0)
		return 0;
	for (int k = 0; k < 6; k++) {
		double s = mat_f16_float(mat_f16_up((float)(sqrt(square / (double)n) * (.26 + .03 * k)))), off = off2(x, n, s);
		if (off < best) {
			best = off;
			best_s = s;
		}
	}
	return best_s;
}

void
mat_sketch_put(uint8_t *block, size_t r, const float *x, size_t dim, double *turned)
{
	size_t n = mat_sketch_codes(dim);
	uint16_t *side = (uint16_t *)(void *)(block + n / 8 * 64);

	assert(r < MAT_SKETCH_ROWS);
	mat_sketch_turn(x, dim, turned);
	double s = scale_of(turned, n);
	side[r] = mat_f16((float)s);
	side[MAT_SKETCH_ROWS + r] = s > 0 ? mat_f16_up((float)(sqrt(off2(turned, n, s)) * (1 + 1e-6))) : 0;
	for (size_t i = 0; s > 0 && i < n; i++) {
		unsigned c = (unsigned)code_of(turned[i], 1 / s);
		uint8_t *byte = block + i / 8 * 64 + 4 * r + i % 4;
		*byte = (uint8_t)(*byte | (i % 8 < 4 ? c : c << 4));
	}
}
