/*
 * product_loops.h - the loops that products with a matrix spend their time in, one set for each kind of processor
 *
 *   by input   y_o = sum_i x_i w_io: one chain of fused multiply-adds from 0 over the inputs of the call, in their order
 *   by output  y_o = sum_i x_i w_oi: 16 chains, chain k over the inputs k, k + 16, ..., then those 8 apart are added, then 4,
 *              2 and 1 apart; inputs behind the last whole 16 go on from that sum, one by one
 *   whole      y_o = (sum_i x_i w_oi) a s_o of whole numbers: exact, in any order; the factors in double
 *   rounding   so the result of a row does not depend on the rows beside it, nor on how many outputs a call has; and AVX2,
 *              AVX-512 and NEON give the same bits. The plain loops, which any processor runs, do not fuse: their bits differ
 *   shapes     x [n_y][n], y [n_y][n_out]; bfloat16 numbers are made float32, which is exact
 *
 * Only for product.c and the loops themselves; tests hold them against each other.
 */
#ifndef HARE_LM_PRODUCT_LOOPS_H
#define HARE_LM_PRODUCT_LOOPS_H

#include <stddef.h>
#include <stdint.h>

/* |w| <= 127, |x| <= LM_WHOLE: a sum of LM_WHOLE_RUN products surely fits into 32 bits. */
enum { LM_WHOLE = 8191, LM_WHOLE_RUN = 2048 };

struct lm_loops {
	const char *name;
	/* y = x W of W [n][n_out], rows stride apart; rows of x and y are x_stride and y_stride apart. */
	void (*by_input)(const void *w, int is_bf16, size_t n, size_t n_out, size_t stride, const float *x, size_t x_stride,
	    size_t n_y, float *y, size_t y_stride);
	/* y = x W' of W [n_out][n] */
	void (*by_output)(const void *w, int is_bf16, size_t n, size_t n_out, const float *x, size_t n_y, float *y, size_t y_stride);
	/* The same of whole numbers, times x_scale [n_y] and w_scale [n_out]. */
	void (*whole)(const int8_t *w, const float *w_scale, size_t n, size_t n_out, const int16_t *x, const float *x_scale,
	    size_t n_y, float *y, size_t y_stride);
};

/* The i-th that this processor runs, the best first; NULL behind the last. */
const struct lm_loops *lm_loops_at(size_t i);

/* NULL where the processor lacks what it needs. */
const struct lm_loops *lm_loops_avx512(void);
const struct lm_loops *lm_loops_avx2(void);
const struct lm_loops *lm_loops_neon(void);
const struct lm_loops *lm_loops_plain(void);

#endif
