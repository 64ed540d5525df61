/*
 * root.h - the same Gaussian by the root of its covariance, for learners that ask after every observation
 *
 *   model     precision A = lambda I + sum x x',  b = sum r x,  mean = A^-1 b,  A^-1 = S S', S lower triangular
 *   kept      the sums of x x' and of r x, which merge by addition, beside S and the mean, which follow each
 *             observation in O(dim^2); with S in hand x' A^-1 x = |S'x|^2 is one product, never negative and never the
 *             difference of large numbers, however badly the features are scaled
 *   source    Carlson, Fast Triangular Formulation of the Square Root Filter (AIAA Journal 11, 1973), with rows and
 *             columns in the opposite order; Bierman, Factorization Methods for Discrete Sequential Estimation (1977)
 *   shapes    vectors are [root_pad(dim)] doubles, 64-byte aligned, 0 behind dim. A triangle is its rows one behind the
 *             other, each padded with 0 to whole groups of ROOT_LANES: root_triangle(dim) doubles
 *   bits      every sum has one fixed order, whatever vectors the processor has: results are the same on all of them
 */
#ifndef HARE_BELIEF_ROOT_H
#define HARE_BELIEF_ROOT_H

#include <stddef.h>

enum { ROOT_LANES = 8 };

static inline size_t
root_pad(size_t n)
{
	return (n + ROOT_LANES - 1) / ROOT_LANES * ROOT_LANES;
}

/* Where row i of a triangle begins; root_row(dim) is the length of all rows. */
static inline size_t
root_row(size_t i)
{
	size_t block = i / ROOT_LANES;

	return ROOT_LANES * (block + 1) * (block * ROOT_LANES / 2 + i % ROOT_LANES);
}

static inline size_t
root_triangle(size_t dim)
{
	return root_row(dim);
}

/* S and the sums of nothing: S = I / sqrt(lambda), sums 0. */
void root_start(double *s, size_t dim, double lambda);
/* f = S'x [pad]; returns |f|^2 = x' A^-1 x. O(dim^2 / 2). */
double root_project(const double *s, const double *x, size_t dim, double *f);
/* The same of n roots that lie one behind the other, as their means do: f [n][pad], variance [n], predicted = mean'x [n]. */
void root_score(const double *s, const double *mean, size_t n, const double *x, size_t dim, double *f, double *variance,
    double *predicted);
/* S after an observation of x with f = root_project(): A + x x'. mean += A_new^-1 x error, where error is the reward
   less mean'x; mean may be NULL. gain [pad], if not NULL, becomes A_new^-1 x. scratch [3 pad]. */
void root_observe(double *s, double *mean, const double *f, double error, size_t dim, double *gain, double *scratch);
/* gram += weight x x', lower triangle; what its rows hold behind the diagonal has no meaning. */
void root_gram(double *gram, const double *x, double weight, size_t dim);
/* sum over i of x_i y_i, n a multiple of ROOT_LANES; y += a x. */
double root_dot(const double *x, const double *y, size_t n);
void root_axpy(double *y, double a, const double *x, size_t n);
/* y [pad] = S x, and so root_multiply(root_project(b)) = A^-1 b. */
void root_multiply(const double *s, const double *x, size_t dim, double *y);
/* S from the sums: lambda I + gram = S^-T S^-1. 0, or -1 if that is not positive definite. O(dim^3 / 3).
   scratch [root_triangle(dim)]. */
int root_factor(const double *gram, double lambda, size_t dim, double *s, double *scratch);

/* For tests: kernels of at most n_lane (2, 4, 8) lanes from now on; their results are the same. */
void root_narrow(int n_lane);

#endif
