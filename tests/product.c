/* product.c - the loops of products with a matrix against sums spelt out, bit by bit, for every kind of processor there is here */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"
#include "lm/product_loops.h"
#include "mat/half.h"

enum { ROWS = 33, LANES = 16 };

static int fuses;

static float
add_product(float a, float b, float c)
{
	volatile float ab = a * b;      /* rounded before it is added */

	return fuses ? fmaf(a, b, c) : ab + c;
}

static float
by_input_twin(const float *w, size_t n, size_t stride, const float *x)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = add_product(x[i], w[i * stride], sum);
	return sum;
}

static float
by_output_twin(const float *w, size_t n, const float *x)
{
	float lane[LANES] = { 0 };
	size_t n_whole = n / LANES * LANES;

	for (size_t i = 0; i < n_whole; i++)
		lane[i % LANES] = add_product(x[i], w[i], lane[i % LANES]);
	for (size_t half = LANES / 2; half > 0; half /= 2)
		for (size_t k = 0; k < half; k++)
			lane[k] += lane[k + half];
	for (size_t i = n_whole; i < n; i++)
		lane[0] = add_product(x[i], w[i], lane[0]);
	return lane[0];
}

static float
whole_twin(const int8_t *w, float w_scale, size_t n, const int16_t *x, float x_scale)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (int64_t)w[i] * x[i];
	return (float)((double)sum * x_scale * w_scale);
}

static int
same_rows(const float *y, size_t y_stride, const float *right, size_t n, size_t n_out)
{
	int same = 1;

	for (size_t r = 0; r < n; r++) {
		same &= memcmp(y + r * y_stride, right + r * n_out, n_out * sizeof *y) == 0;
		for (size_t o = n_out; o < y_stride; o++)
			same &= y[r * y_stride + o] == 77;
	}
	for (size_t i = n * y_stride; i < ROWS * y_stride; i++)         /* nor is anything written behind them */
		same &= y[i] == 77;
	return same;
}

static void
clear(float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		y[i] = 77;
}

static void
check_size(const struct lm_loops *at, size_t n, size_t n_out)
{
	static const size_t n_rows[] = { 1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 32, 33 };
	struct rng rng = rng_at(n, n_out);
	size_t stride = n_out + 5, x_stride = n + 3, y_stride = n_out + 2;
	/* W both ways of n rows that are stride apart, and of n_out rows that follow each other */
	float *w = xmalloc(n * stride + n_out * n, sizeof *w), *x = xmalloc(ROWS * x_stride, sizeof *x), *dense = xmalloc(ROWS * n, sizeof *x);
	uint16_t *half = xmalloc(n * stride + n_out * n, sizeof *half);
	int8_t *whole = xmalloc(n_out * n, sizeof *whole);
	int16_t *wide = xmalloc(ROWS * n, sizeof *wide);
	float *y = xmalloc(ROWS * y_stride, sizeof *y), *scale = xmalloc(n_out + ROWS, sizeof *scale);
	float *right = xmalloc(ROWS * n_out, sizeof *right);

	for (size_t i = 0; i < n_out + ROWS; i++)
		scale[i] = (float)(rng_normal(&rng) * 1e-3);
	for (size_t i = 0; i < n_out * n; i++)
		whole[i] = (int8_t)(rng_below(&rng, 20) == 0 ? 127 : (int)rng_below(&rng, 255) - 127);
	for (size_t i = 0; i < ROWS * n; i++)
		wide[i] = (int16_t)(rng_below(&rng, 20) == 0 ? LM_WHOLE : (int)rng_below(&rng, 2 * LM_WHOLE + 1) - LM_WHOLE);
	for (size_t i = 0; i < n && n_out > 0; i++) {           /* the largest sums that there are */
		whole[i] = 127;
		whole[(n_out - 1) * n + i] = n_out > 1 ? -127 : 127;
		for (size_t r = 0; r < 4; r++)
			wide[r * n + i] = LM_WHOLE;
	}
	for (size_t r = 0; r < ROWS; r++)
		for (size_t i = 0; i < n; i++)
			x[r * x_stride + i] = dense[r * n + i] = (float)rng_normal(&rng);
	for (int is_bf16 = 0; is_bf16 < 2; is_bf16++) {
		int input = 1, output = 1;
		for (size_t i = 0; i < n * stride + n_out * n; i++) {
			w[i] = (float)rng_normal(&rng);
			half[i] = mat_bf16(w[i]);
			if (is_bf16)
				w[i] = mat_bf16_float(half[i]);
		}
		const void *kept = is_bf16 ? (const void *)half : w;
		const void *table = is_bf16 ? (const void *)(half + n * stride) : w + n * stride;
		for (size_t r = 0; r < ROWS; r++)
			for (size_t o = 0; o < n_out; o++)
				right[r * n_out + o] = by_input_twin(w + o, n, stride, x + r * x_stride);
		for (size_t k = 0; k < sizeof n_rows / sizeof *n_rows; k++) {
			clear(y, ROWS * y_stride);
			at->by_input(kept, is_bf16, n, n_out, stride, x, x_stride, n_rows[k], y, y_stride);
			input &= same_rows(y, y_stride, right, n_rows[k], n_out);
		}
		for (size_t r = 0; r < ROWS; r++)
			for (size_t o = 0; o < n_out; o++)
				right[r * n_out + o] = by_output_twin(w + n * stride + o * n, n, dense + r * n);
		for (size_t k = 0; k < sizeof n_rows / sizeof *n_rows; k++) {
			clear(y, ROWS * y_stride);
			at->by_output(table, is_bf16, n, n_out, dense, n_rows[k], y, y_stride);
			output &= same_rows(y, y_stride, right, n_rows[k], n_out);
		}
		claim(input, "%s, %s, %zu by %zu: sums by input have the twin's bits", at->name, is_bf16 ? "bf16" : "f32", n, n_out);
		claim(output, "and sums by output");
	}
	int exact = 1;
	for (size_t r = 0; r < ROWS; r++)
		for (size_t o = 0; o < n_out; o++)
			right[r * n_out + o] = whole_twin(whole + o * n, scale[o], n, wide + r * n, scale[n_out + r]);
	for (size_t k = 0; k < sizeof n_rows / sizeof *n_rows; k++) {
		clear(y, ROWS * y_stride);
		at->whole(whole, scale, n, n_out, wide, scale + n_out, n_rows[k], y, y_stride);
		exact &= same_rows(y, y_stride, right, n_rows[k], n_out);
	}
	claim(exact, "%s, %zu by %zu: sums of whole numbers are exact", at->name, n, n_out);
	free(w);
	free(x);
	free(dense);
	free(half);
	free(whole);
	free(wide);
	free(y);
	free(scale);
	free(right);
}

int
main(void)
{
	static const size_t size[][2] = { { 1, 1 }, { 5, 3 }, { 16, 24 }, { 64, 48 }, { 65, 23 }, { 203, 101 }, { 192, 130 }, { 64, 192 }, { 203, 203 }, { 2100, 31 } };
	const struct lm_loops *at;

	for (size_t i = 0; (at = lm_loops_at(i)); i++) {
		fuses = strcmp(at->name, "plain") != 0;
		for (size_t k = 0; k < sizeof size / sizeof *size; k++)
			check_size(at, size[k][0], size[k][1]);
	}
	return claim_n_failed > 0;
}
