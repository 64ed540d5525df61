#include "belief/root.h"

#include <math.h>
#include <string.h>

/* Eight lanes whatever the processor has: the compiler splits them, and the order of sums stays. Products and sums are
   not fused (-std=c11 forbids it), so that all processors agree to the last bit. */
typedef double lanes __attribute__((vector_size(8 * ROOT_LANES), may_alias));
typedef long long lane_index __attribute__((vector_size(8 * ROOT_LANES)));

#if defined __x86_64__ && defined __gnu_linux__ && !defined __clang__ && !defined __SANITIZE_ADDRESS__
#define EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))

#pragma GCC optimize("no-math-errno")           /* sqrt is the processor's own, in lanes */

INLINE double
total(const lanes *at)
{
	lanes v = *at;

	return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

INLINE const lanes *
group(const double *x, size_t i)
{
	return (const lanes *)(x + i * ROOT_LANES);
}

/* f = S'x, of n_group groups of columns beginning with the first-th, whose squares are added. Row by row, so that a
   group's sums never leave their registers. */
INLINE void
project_columns(const double *s, const double *x, size_t dim, double *f, size_t first, const size_t n_group, lanes *square)
{
	lanes sum[4] = {{0}};
	size_t i = first * ROOT_LANES;
	const double *row = s + root_row(i) + i;

	/* the rows in which the last groups have not begun */
#pragma GCC unroll 4
	for (size_t n_part = 1; n_part < n_group; n_part++)
		for (size_t end = i + ROOT_LANES; i < end; i++, row += (first + n_part) * ROOT_LANES)
#pragma GCC unroll 4
			for (size_t g = 0; g < n_part; g++)
				sum[g] += x[i] * *group(row, g);
	while (i < dim) {
		size_t length = (i / ROOT_LANES + 1) * ROOT_LANES;
		for (size_t end = length < dim ? length : dim; i < end; i++, row += length)
#pragma GCC unroll 4
			for (size_t g = 0; g < n_group; g++)
				sum[g] += x[i] * *group(row, g);
	}
#pragma GCC unroll 4
	for (size_t g = 0; g < n_group; g++) {
		*(lanes *)(f + (first + g) * ROOT_LANES) = sum[g];
		*square += sum[g] * sum[g];
	}
}

INLINE double
project(const double *s, const double *x, size_t dim, double *f)
{
	size_t n = root_pad(dim) / ROOT_LANES, g = 0;
	lanes square = {0};

	for (; g + 4 <= n; g += 4)
		project_columns(s, x, dim, f, g, 4, &square);
	switch (n - g) {
	case 3: project_columns(s, x, dim, f, g, 3, &square); break;
	case 2: project_columns(s, x, dim, f, g, 2, &square); break;
	case 1: project_columns(s, x, dim, f, g, 1, &square); break;
	}
	return total(&square);
}

INLINE double
dot(const double *x, const double *y, size_t n)
{
	lanes sum = {0};

	for (size_t i = 0; i < n / ROOT_LANES; i++)
		sum += *group(x, i) * *group(y, i);
	return total(&sum);
}

EACH_PROCESSOR double
root_project(const double *s, const double *x, size_t dim, double *f)
{
	return project(s, x, dim, f);
}

EACH_PROCESSOR void
root_score(const double *s, const double *mean, size_t n, const double *x, size_t dim, double *f, double *variance,
    double *predicted)
{
	size_t pad = root_pad(dim), triangle = root_triangle(dim);

	for (size_t k = 0; k < n; k++) {
		predicted[k] = dot(mean + k * pad, x, pad);
		variance[k] = project(s + k * triangle, x, dim, f + k * pad);
	}
}

EACH_PROCESSOR double
root_dot(const double *x, const double *y, size_t n)
{
	return dot(x, y, n);
}

EACH_PROCESSOR void
root_axpy(double *y, double a, const double *x, size_t n)
{
	for (size_t i = 0; i < n / ROOT_LANES; i++)
		*(lanes *)(y + i * ROOT_LANES) += a * *group(x, i);
}

EACH_PROCESSOR void
root_gram(double *gram, const double *x, double weight, size_t dim)
{
	double *row = gram;

	for (size_t i = 0; i < dim; i++) {
		size_t n = i / ROOT_LANES + 1;
		double xi = weight * x[i];
		for (size_t g = 0; g < n; g++)
			*(lanes *)(row + g * ROOT_LANES) += xi * *group(x, g);
		row += n * ROOT_LANES;
	}
}

EACH_PROCESSOR void
root_multiply(const double *s, const double *x, size_t dim, double *y)
{
	for (size_t i = 0; i < dim; i++)
		y[i] = dot(s + root_row(i), x, (i / ROOT_LANES + 1) * ROOT_LANES);
	for (size_t i = dim; i < root_pad(dim); i++)
		y[i] = 0;
}

/* In every lane the sum of it and of those behind it. */
INLINE void
sum_behind(lanes *at)
{
	const lanes zero = {0};
	lanes v = *at;

	v += __builtin_shuffle(v, zero, (lane_index){ 1, 2, 3, 4, 5, 6, 7, 8 });
	v += __builtin_shuffle(v, zero, (lane_index){ 2, 3, 4, 5, 6, 7, 8, 9 });
	v += __builtin_shuffle(v, zero, (lane_index){ 4, 5, 6, 7, 8, 9, 10, 11 });
	*at = v;
}

/* Columns from the last to the first: with a_j = 1 + sum of f_k^2 over k >= j, and w_j = sum of S_k f_k over k >= j,
     S_j becomes sqrt(a_{j+1} / a_j) S_j - f_j / sqrt(a_j a_{j+1}) w_{j+1},
   and w_0 / a_0 is the gain. Each row runs for itself, its sums w from right to left. */
EACH_PROCESSOR void
root_observe(double *s, double *mean, const double *f, double error, size_t dim, double *gain, double *scratch)
{
	size_t n = root_pad(dim) / ROOT_LANES;
	double *keep = scratch, *take = scratch + n * ROOT_LANES, *root = scratch + 2 * n * ROOT_LANES, after = 1;

	for (size_t g = n; g-- > 0; ) {
		lanes a = *group(f, g) * *group(f, g), last = after - (lanes){0};
		sum_behind(&a);
		a += after;
		lanes behind = __builtin_shuffle(a, last, (lane_index){ 1, 2, 3, 4, 5, 6, 7, 8 });
		*(lanes *)(take + g * ROOT_LANES) = a * behind;
		*(lanes *)(keep + g * ROOT_LANES) = behind;
		after = a[0];
	}
	for (size_t i = 0; i < n * ROOT_LANES; i++)
		root[i] = __builtin_sqrt(take[i]);
	for (size_t g = 0; g < n; g++) {
		lanes inverse = 1 / *group(root, g);
		*(lanes *)(keep + g * ROOT_LANES) *= inverse;
		*(lanes *)(take + g * ROOT_LANES) = inverse * *group(f, g);
	}
	double per = 1 / after, *row = s;
	for (size_t i = 0; i < dim; i++) {
		size_t n_group = i / ROOT_LANES + 1;
		lanes w = {0};
		for (size_t g = n_group; g-- > 0; ) {
			lanes old = *group(row, g), sums = old * *group(f, g);
			sum_behind(&sums);
			lanes behind = __builtin_shuffle(sums, (lanes){0}, (lane_index){ 1, 2, 3, 4, 5, 6, 7, 8 });
			*(lanes *)(row + g * ROOT_LANES) = *group(keep, g) * old - *group(take, g) * (w + behind);
			w += __builtin_shuffle(sums, (lane_index){ 0, 0, 0, 0, 0, 0, 0, 0 });
		}
		if (mean)
			mean[i] += w[0] * (error * per);
		if (gain)
			gain[i] = w[0] * per;
		row += n_group * ROOT_LANES;
	}
	if (gain)
		for (size_t i = dim; i < n * ROOT_LANES; i++)
			gain[i] = 0;
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
