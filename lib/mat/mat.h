/*
 * mat.h - views, products, softmax, factorisations. The only caller of OpenBLAS and its LAPACK.
 *
 *   shapes   row-major; element (i, j) of a view is at[i * stride + j]; sizes are size_t and checked against BLAS's int
 *   threads  OpenBLAS runs in the caller's thread; every call may be made from several threads at once
 *   rounding a result may depend on the shape of the call and on the kernel that OpenBLAS picked, never on anything else
 */
#ifndef HARE_MAT_MAT_H
#define HARE_MAT_MAT_H

#include <stddef.h>

#include "base/fault.h"

/* Call first in main: one BLAS thread, and a proof on a tiny product and a tiny factorisation that the BLAS found
   computes right. 0, or -1 with *f set (EX_SOFTWARE and the setting that helps). Well under a millisecond. */
int mat_check(struct fault *f);

struct mat {                    /* float32, borrowed */
	float *at;
	size_t n_row, n_col, stride;
};
struct mat mat_of(const float *at, size_t n_row, size_t n_col);         /* stride = n_col */

/* C = alpha op(A) op(B) + beta C, op = transpose where t_ is 1. Source: BLAS level 3, sgemm. */
void mat_mul(float alpha, struct mat a, int t_a, struct mat b, int t_b, float beta, struct mat c);
/* y [n_row] = alpha A x [n_col] + beta y, or with t_a y [n_col] = alpha A' x [n_row] + beta y (sgemv). */
void mat_mul_vec(float alpha, struct mat a, int t_a, const float *x, float beta, float *y);
float mat_dot(const float *x, const float *y, size_t n);                /* sdot */

/* Columns of A [n_row][n_col], n_row >= n_col, replaced by an orthonormal basis of their span (Householder QR). */
void mat_orthonormalise(struct mat a);
/* Symmetric A = V diag(w) V': rows of A become the eigenvectors, w ascending. 0, or -1 if it did not converge
   or n > 32,766. */
int mat_eigen(struct mat a, float *w);

/* -- float64, dense [n][n] row-major, for beliefs; fixed order of sums of our own where bits must not move -- */

/* A = L L', lower triangle replaced by L, upper untouched. 0, or -1 if A is not positive definite. (dpotrf) */
int mat_cholesky64(double *a, size_t n);
/* Solves L y = b in place, then with both = 1 also L' x = y. (dtrsv) */
void mat_solve64(const double *l, size_t n, double *b, int both);
/* The same for n_b right-hand sides, each a row of b [n_b][n]. (dtrsm) */
void mat_solve_many64(const double *l, size_t n, double *b, size_t n_b, int both);
/* Sum of x_i y_i over two float arrays in double, in one fixed order whatever the processor's vector width. */
double mat_dot64(const float *x, const float *y, size_t n);
/* The same for double. */
double mat_ddot64(const double *x, const double *y, size_t n);

/* A += X' X, lower triangle, X [n_row][n], A [n][n]. (dsyrk) Whole numbers whose sums stay below 2^53 come out exact. */
void mat_gram64(const double *x, size_t n_row, size_t n, double *a);

/* C [n_row][n_col] = A [n_row][n_inner] B', B [n_col][n_inner]. (dgemm) */
void mat_mul64(const double *a, size_t n_row, size_t n_inner, const double *b, size_t n_col, double *c);

/* -- softmax -- */
/* logits [n] become weights that sum to 1; the maximum is subtracted first, sums are in double. n > 0.
   Returns log sum exp of the logits. */
double mat_softmax(float *logits, size_t n);
double mat_entropy(const float *weights, size_t n);     /* nats, sum in double, 0 log 0 = 0 */
double mat_norm(const float *x, size_t n);              /* Euclidean, in double */
/* x / |x|; a zero vector stays zero. Returns |x|. */
double mat_normalise(float *x, size_t n);

#endif
