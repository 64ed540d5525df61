#include "belief/root.h"

#include <math.h>
#include <string.h>

#ifndef __clang__
#pragma GCC optimize("no-math-errno")           /* sqrt is the processor's own, in lanes */
#endif

struct kernels {
	double (*project)(const double *s, const double *x, size_t dim, double *f);
	double (*dot)(const double *x, const double *y, size_t n);
	void (*axpy)(double *y, double a, const double *x, size_t n);
	void (*gram)(double *gram, const double *x, double weight, size_t dim);
	void (*observe)(double *s, double *mean, const double *f, double error, size_t dim, double *gain, double *scratch);
};

#define WIDTH 2
#define PARTS 4
#define CHUNK 2
#define NAME(x) narrow_##x
#define TARGET
#include "belief/root_lanes.inc"

#if defined __x86_64__
#define WIDTH 4
#define PARTS 2
#define CHUNK 4
#define NAME(x) avx2_##x
#define TARGET __attribute__((target("avx2")))
#include "belief/root_lanes.inc"

#define WIDTH 8
#define PARTS 1
#define CHUNK 4
#define NAME(x) avx512_##x
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw")))
#include "belief/root_lanes.inc"
#endif

/* The widest that this processor has, or of at most n_lane lanes. */
static const struct kernels *
widest(int n_lane)
{
#if defined __x86_64__
	if (n_lane >= 8 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
		return &avx512_kernels;
	if (n_lane >= 4 && __builtin_cpu_supports("avx2"))
		return &avx2_kernels;
#endif
	(void)n_lane;
	return &narrow_kernels;
}

static const struct kernels *kernels = &narrow_kernels;

__attribute__((constructor)) static void
choose_kernels(void)
{
	kernels = widest(8);
}

void
root_narrow(int n_lane)
{
	kernels = widest(n_lane);
}

double
root_project(const double *s, const double *x, size_t dim, double *f)
{
	return kernels->project(s, x, dim, f);
}

void
root_score(const double *s, const double *mean, size_t n, const double *x, size_t dim, double *f, double *variance,
    double *predicted)
{
	const struct kernels *k = kernels;
	size_t pad = root_pad(dim), triangle = root_triangle(dim);

	for (size_t a = 0; a < n; a++) {
		predicted[a] = k->dot(mean + a * pad, x, pad);
		variance[a] = k->project(s + a * triangle, x, dim, f + a * pad);
	}
}

double
root_dot(const double *x, const double *y, size_t n)
{
	return kernels->dot(x, y, n);
}

void
root_axpy(double *y, double a, const double *x, size_t n)
{
	kernels->axpy(y, a, x, n);
}

void
root_gram(double *gram, const double *x, double weight, size_t dim)
{
	kernels->gram(gram, x, weight, dim);
}

void
root_observe(double *s, double *mean, const double *f, double error, size_t dim, double *gain, double *scratch)
{
	kernels->observe(s, mean, f, error, dim, gain, scratch);
}

void
root_multiply(const double *s, const double *x, size_t dim, double *y)
{
	for (size_t i = 0; i < dim; i++)
		y[i] = kernels->dot(s + root_row(i), x, (i / ROOT_LANES + 1) * ROOT_LANES);
	for (size_t i = dim; i < root_pad(dim); i++)
		y[i] = 0;
}

void
root_start(double *s, size_t dim, double lambda)
{
	memset(s, 0, root_triangle(dim) * sizeof *s);
	for (size_t i = 0; i < dim; i++)
		s[root_row(i) + i] = 1 / sqrt(lambda);
}

/* A = M'M with M lower triangular, from the last row to the first (a Cholesky factorisation in the opposite order);
   then S = M^-1, row by row. */
int
root_factor(const double *gram, double lambda, size_t dim, double *s, double *m)
{
	memcpy(m, gram, root_triangle(dim) * sizeof *m);
	for (size_t i = dim; i-- > 0; ) {
		double *row = m + root_row(i), pivot = row[i] + lambda;
		if (!(pivot > 0) || !isfinite(pivot))
			return -1;
		row[i] = sqrt(pivot);
		for (size_t j = 0; j < i; j++)
			row[j] /= row[i];
		for (size_t k = 0; k < i; k++)
			root_axpy(m + root_row(k), -row[k], row, (k / ROOT_LANES + 1) * ROOT_LANES);
	}
	memset(s, 0, root_triangle(dim) * sizeof *s);
	for (size_t i = 0; i < dim; i++) {
		double *out = s + root_row(i);
		const double *row = m + root_row(i);
		for (size_t k = 0; k < i; k++)
			root_axpy(out, -row[k], s + root_row(k), (k / ROOT_LANES + 1) * ROOT_LANES);
		for (size_t j = 0; j < i; j++)
			out[j] /= row[i];
		out[i] = 1 / row[i];
	}
	return 0;
}
