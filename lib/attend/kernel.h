/*
 * kernel.h - the loops that attention spends its time in, one set for each kind of processor
 *
 *   scores   s_qj = a_q . x_j: 16 sums, sum i over the elements i, i + 16, ..., by fused multiply-add; then those 8 apart
 *            are added, then 4, 2 and 1 apart. An int8 row's sum is multiplied by its scale at the end
 *   blend    z_q += w_qj x_j, fused, row by row in their order; a weight of 0 may be left out, which changes no bit
 *   weigh    l_j = (beta s_j + add_j - best) t, a float: had in double where there is an add (plain: always), else by fused
 *            products that are as near; w_j = exp(l_j) in float, and sums of w and w l, l within [floor, 80], in 16 doubles.
 *            A score that is infinite or no number makes the second sum none
 *   rounding so no result depends on how many rows or queries a call has, nor on what stands beside them; and AVX-512,
 *            AVX2 and NEON give the same bits. The plain kernel, which any processor runs, does not fuse: its bits differ
 *   shapes   a row has dim numbers of one type, rows follow each other; queries are padded with zeros to a multiple of 16
 */
#ifndef HARE_ATTEND_KERNEL_H
#define HARE_ATTEND_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "attend/attend.h"

enum { KERNEL_LANES = 16,
	KERNEL_MANY = 36,       /* queries from which on scores_many() pays */
	KERNEL_HEADS = 20 };    /* heads that are too many for pass_heads() */
static inline size_t
kernel_pad(size_t dim)
{
	return (dim + KERNEL_LANES - 1) / KERNEL_LANES * KERNEL_LANES;
}

/* A query as a sketch meets it (mat/sketch.h): Ra in whole numbers -127 to 127 of some unit. Bounds are
   e reach + (2 c.whole - offset) s per + plus, for the errors e and the scales s of the rows. */
struct kernel_sketch_query {
	const int8_t *whole;            /* [n_code] */
	size_t n_code;                  /* codes of a row, a multiple of 8, at most 2,048 */
	int32_t offset;                 /* 15 times the sum of the whole numbers */
	float per, reach, plus;
};

/* One query whose temperature is known. */
struct kernel_pass {
	const float *q;                 /* [kernel_pad(dim)] */
	double beta, best, t, floor;    /* l = (beta s + add - best) t, as weigh() has it */
	float least;                    /* lighter rows are left out of z */
};

/* One of several heads that pass over rows together. */
struct kernel_head {
	double base, floor;             /* l = s - base */
	float over;                     /* a score of that or more is not weighed */
	double sum[2][16];              /* of w and w l, row j in j mod 16; kernel_fold() adds them up */
};

struct attend_kernel {
	const char *name;
	/* score[q * n_stride + j] of rows [n] and queries a [n_query][kernel_pad(dim)]; scale is [n] for int8, else unused. */
	void (*scores)(enum attend_type type, const void *rows, const float *scale, size_t n, size_t dim, const float *a,
	    size_t n_query, float *score, size_t n_stride);
	/* The same bits for many queries and rows of float32: grouped [n_query][kernel_pad(dim)] is what group() makes of the
	   queries, in an order that depends on the kernel. It pays from KERNEL_MANY queries on. */
	void (*group)(const float *a, size_t n_query, size_t dim, float *grouped);
	void (*scores_many)(const float *rows, size_t n, size_t dim, const float *grouped, size_t n_query, float *score,
	    size_t n_stride);
	/* z [n_query][kernel_pad(dim)] += weights w[q * n_stride + j] times rows */
	void (*blend)(enum attend_type type, const void *rows, const float *scale, size_t n, size_t dim, const float *w,
	    size_t n_stride, size_t n_query, float *z);
	/* The same for one query and some of the rows, by their numbers. later: n / 2 rows that it will want next, a hint for the
	   memory, or NULL. */
	void (*blend_some)(enum attend_type type, const void *rows, const float *scale, const uint32_t *row, size_t n, size_t dim,
	    const float *w, float *z, const void *later);
	/* scores(), weigh() and blend_some() of the rows that weigh enough, with the same bits, while the rows are near: they come
	   from memory once. w [n] are the weights. */
	void (*pass)(const struct kernel_pass *p, enum attend_type type, const void *rows, const float *scale, size_t n, size_t dim,
	    const double *add, float *w, float *z, double sum[2]);
	/* scores(), weigh() and blend() of less than KERNEL_HEADS heads, with the same bits, by sixteens of rows of float32 while they
	   are near. It ends before the first sixteen in which a score is over what its head takes; the scores of these are there.
	   Returns the number of rows before. a and z [n_head][kernel_pad(dim)]; score [i * n_stride + j]. */
	size_t (*pass_heads)(struct kernel_head *head, size_t n_head, const float *a, const float *rows, size_t n, size_t dim,
	    float *score, size_t n_stride, float *z);
	/* Rows as float; those of int8 without their scale. Exact. */
	void (*widen)(enum attend_type type, const void *rows, size_t n, size_t dim, float *out);
	/* w [n] of score [n], which may be the same place: 0 where l is below floor (at least -80); l above 80 counts as 80; add may
	   be NULL. kept [n], if not NULL: w where it is at least least, else 0; returns how many are (0 if NULL).
	   sum: of w, and of w l. q is not used. */
	size_t (*weigh)(const struct kernel_pass *p, const float *score, const double *add, size_t n, float *w, float *kept,
	    double sum[2]);
	/* At least the sum of these weights, and at most 1.07 times that, in a fifth of the time: 2^k (1 + f) instead of 2^(k + f). More
	   where p->best p->t is beyond 10,000, and floats of scores tell weights less well apart. A score is a number; nothing is
	   added. Weights below exp(-80) may be left out. */
	double (*weigh_over)(const struct kernel_pass *p, const float *score, size_t n);
	/* The numbers of those of w [n] that are at least least, in order, and they; row and kept have room for n, and kept may be w.
	   Returns how many. */
	size_t (*list)(const float *w, size_t n, float least, uint32_t *row, float *kept);
	float (*largest)(const float *score, size_t n);         /* n > 0 */
	/* bound [16 n_block] of the scores of rows; sums of codes are whole numbers, so the same in any order. */
	void (*sketch)(const struct kernel_sketch_query *q, const uint8_t *block, size_t n_block, float *bound);
};

/* Sums of 16 lanes, in the order that all kernels have: 8 apart, then 4, 2 and 1. Changes them. */
static inline double
kernel_fold(double lane[16])
{
	for (size_t half = 8; half > 0; half /= 2)
		for (size_t i = 0; i < half; i++)
			lane[i] += lane[i + half];
	return lane[0];
}

/* The best of this processor; or by name: "avx512", "avx2", "neon", "plain". NULL: it has none such. */
const struct attend_kernel *attend_kernel_best(void);
const struct attend_kernel *attend_kernel_named(const char *name);
/* The i-th that this processor runs, the best first; NULL behind the last. */
const struct attend_kernel *attend_kernel_at(size_t i);

#endif
