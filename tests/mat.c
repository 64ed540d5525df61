/* mat.c - the numbers of lib/mat against slow twins in long double */
#include "mat/mat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"

static struct rng rng;

static float *
random_floats(size_t n)
{
	float *x = xmalloc(n, sizeof *x);

	for (size_t i = 0; i < n; i++)
		x[i] = (float)rng_normal(&rng);
	return x;
}

static float
op(struct mat a, int t, size_t i, size_t j)
{
	return t ? a.at[j * a.stride + i] : a.at[i * a.stride + j];
}

/* The largest error of C = alpha op(A) op(B) + beta C, over the sum of the sizes of what is added up. */
static double
product_error(size_t m, size_t n, size_t k, int t_a, int t_b, size_t gap)
{
	struct mat a = { NULL, t_a ? k : m, t_a ? m : k, (t_a ? m : k) + gap };
	struct mat b = { NULL, t_b ? n : k, t_b ? k : n, (t_b ? k : n) + gap };
	struct mat c = { NULL, m, n, n + gap };
	const float alpha = .75f, beta = -.5f;
	double worst = 0;

	a.at = random_floats(a.n_row * a.stride);
	b.at = random_floats(b.n_row * b.stride);
	c.at = random_floats(m * c.stride);
	float *old = xmalloc(m * c.stride, sizeof *old);
	memcpy(old, c.at, m * c.stride * sizeof *old);
	mat_mul(alpha, a, t_a, b, t_b, beta, c);
	for (size_t i = 0; i < m; i++) {
		for (size_t j = 0; j < n; j++) {
			long double sum = (long double)beta * old[i * c.stride + j], size = fabsl(sum);
			for (size_t l = 0; l < k; l++) {
				long double part = (long double)alpha * op(a, t_a, i, l) * op(b, t_b, l, j);
				sum += part;
				size += fabsl(part);
			}
			worst = fmax(worst, (double)(fabsl(c.at[i * c.stride + j] - sum) / size));
		}
		/* what lies between the rows is nobody's to write */
		for (size_t j = n; j < c.stride; j++)
			if (c.at[i * c.stride + j] != old[i * c.stride + j])
				worst = INFINITY;
	}
	free(old);
	free(a.at);
	free(b.at);
	free(c.at);
	return worst;
}

static void
products(void)
{
	static const size_t size[][3] = { {1, 1, 1}, {2, 3, 5}, {7, 1, 64}, {1, 130, 33}, {65, 63, 129}, {200, 40, 17} };
	double worst = 0;

	for (size_t s = 0; s < sizeof size / sizeof *size; s++)
		for (int t = 0; t < 4; t++)
			for (size_t gap = 0; gap < 6; gap += 5)
				worst = fmax(worst, product_error(size[s][0], size[s][1], size[s][2], t & 1, t >> 1, gap));
	claim(worst < 1e-6, "products are right for every transpose, odd shapes and strides");

	worst = 0;
	for (size_t n_row = 1; n_row < 2100; n_row = n_row * 2 + 1)
		for (size_t n_col = 1; n_col < 200; n_col = n_col * 3 + 1)
			for (int t = 0; t < 2; t++) {
				size_t n_in = t ? n_row : n_col, n_out = t ? n_col : n_row;
				struct mat a = mat_of(random_floats(n_row * n_col), n_row, n_col);
				float *x = random_floats(n_in), *y = random_floats(n_out), *old = xmalloc(n_out, sizeof *old);
				memcpy(old, y, n_out * sizeof *old);
				mat_mul_vec(1.5f, a, t, x, .25f, y);
				for (size_t i = 0; i < n_out; i++) {
					long double sum = .25L * old[i], scale = fabsl(sum);
					for (size_t k = 0; k < n_in; k++) {
						long double part = 1.5L * op(a, t, i, k) * x[k];
						sum += part;
						scale += fabsl(part);
					}
					worst = fmax(worst, (double)(fabsl(y[i] - sum) / scale));
				}
				free(a.at);
				free(x);
				free(y);
				free(old);
			}
	claim(worst < 1e-6, "matrix times vector is right both ways, for sizes on both sides of the kernels' blocks");
}

static void
dots(void)
{
	double worst = 0, worst64 = 0;

	for (size_t n = 0; n < 300; n += n < 20 ? 1 : 37) {
		float *x = random_floats(n), *y = random_floats(n);
		double *dx = xmalloc(n, sizeof *dx), *dy = xmalloc(n, sizeof *dy);
		long double sum = 0, size = 1e-300L;
		for (size_t i = 0; i < n; i++) {
			dx[i] = x[i];
			dy[i] = y[i];
			sum += (long double)x[i] * y[i];
			size += fabsl((long double)x[i] * y[i]);
		}
		worst = fmax(worst, (double)(fabsl(mat_dot(x, y, n) - sum) / size));
		worst64 = fmax(worst64, (double)(fabsl(mat_dot64(x, y, n) - sum) / size));
		worst64 = fmax(worst64, (double)(fabsl(mat_ddot64(dx, dy, n) - sum) / size));
		if (mat_dot64(x, y, n) != mat_ddot64(dx, dy, n))
			worst64 = INFINITY;
		free(x);
		free(y);
		free(dx);
		free(dy);
	}
	claim(worst < 1e-6, "inner products of floats are right in float");
	claim(worst64 < 1e-15, "inner products in double are right, and the same bits from float and double arrays");
}

static void
factorisations(void)
{
	double off = 0, left = 0;

	static const size_t shape[][2] = { {1, 1}, {5, 5}, {40, 7}, {300, 33} };
	for (size_t s = 0; s < 4; s++) {
		size_t n = shape[s][0], m = shape[s][1];
		float *at = random_floats(n * m), *old = xmalloc(n * m, sizeof *old);
		memcpy(old, at, n * m * sizeof *old);
		mat_orthonormalise(mat_of(at, n, m));
		for (size_t i = 0; i < m; i++)
			for (size_t j = 0; j < m; j++) {
				long double sum = 0;
				for (size_t r = 0; r < n; r++)
					sum += (long double)at[r * m + i] * at[r * m + j];
				off = fmax(off, fabs((double)sum - (i == j)));
			}
		/* what is left of each old column outside of the new columns */
		for (size_t j = 0; j < m; j++)
			for (size_t r = 0; r < n; r++) {
				long double rest = old[r * m + j];
				for (size_t i = 0; i < m; i++) {
					long double along = 0;
					for (size_t k = 0; k < n; k++)
						along += (long double)at[k * m + i] * old[k * m + j];
					rest -= along * at[r * m + i];
				}
				left = fmax(left, fabs((double)rest));
				if (n > 100)
					r += 16;        /* a sample is enough where it is slow */
			}
		free(at);
		free(old);
	}
	claim(off < 1e-5, "orthonormal columns have length 1 and right angles");
	claim(left < 1e-4, "they span what the columns spanned before");

	double worst = 0;
	int ascending = 1, converged = 1;
	for (size_t n = 1; n < 70; n = n * 2 + 1) {
		float *b = random_floats(n * n), *a = xmalloc(n * n, sizeof *a), *v = xmalloc(n * n, sizeof *v);
		float *w = xmalloc(n, sizeof *w);
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < n; j++)
				v[i * n + j] = a[i * n + j] = b[i * n + j] + b[j * n + i];
		converged &= mat_eigen(mat_of(v, n, n), w) == 0;
		for (size_t e = 0; e < n; e++) {
			ascending &= e == 0 || w[e - 1] <= w[e];
			for (size_t i = 0; i < n; i++) {
				long double sum = 0;
				for (size_t j = 0; j < n; j++)
					sum += (long double)a[i * n + j] * v[e * n + j];
				worst = fmax(worst, fabs((double)sum - (double)w[e] * v[e * n + i]));
			}
		}
		free(a);
		free(b);
		free(v);
		free(w);
	}
	claim(converged && ascending && worst < 1e-4, "rows of the eigenvectors satisfy A v = w v, w ascending");
	/* of 2 n^2 beyond 2^24, which float cannot count by ones */
	const size_t n_large = 2899;
	float *large = xcalloc(n_large * n_large, sizeof *large), *values = xmalloc(n_large, sizeof *values);
	for (size_t i = 0; i < n_large; i++)
		large[i * n_large + i] = (float)(n_large - i);
	converged = mat_eigen(mat_of(large, n_large, n_large), values) == 0;
	for (size_t i = 0; i < n_large; i++)
		converged &= values[i] == (float)(i + 1);
	claim(converged, "and those of a large matrix come out too");
	free(large);
	free(values);

	double factor = 0, solve = 0, many = 0;
	int kept = 1;
	for (size_t n = 1; n < 140; n = n * 2 + 1) {
		double *l = xcalloc(n * n, sizeof *l), *a = xmalloc(n * n, sizeof *a), *b = xmalloc(4 * n, sizeof *b);
		double *x = xmalloc(4 * n, sizeof *x);
		for (size_t i = 0; i < n; i++) {
			for (size_t j = 0; j < i; j++)
				l[i * n + j] = rng_normal(&rng) / (double)n;
			l[i * n + i] = 1 + rng_uniform(&rng);
		}
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < n; j++) {
				long double sum = 0;
				for (size_t k = 0; k < n; k++)
					sum += (long double)l[i * n + k] * l[j * n + k];
				a[i * n + j] = j > i ? 777 : (double)sum;
			}
		kept &= mat_cholesky64(a, n) == 0;
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < n; j++)
				if (j > i)
					kept &= a[i * n + j] == 777;
				else
					factor = fmax(factor, fabs(a[i * n + j] - l[i * n + j]));
		for (size_t i = 0; i < 4 * n; i++)
			x[i] = rng_normal(&rng);
		/* b = L x, and L L' x, by hand; solving must give x back */
		for (int both = 0; both < 2; both++) {
			for (size_t r = 0; r < 4; r++) {
				long double *t = xcalloc(n, sizeof *t);
				for (size_t i = 0; i < n; i++)
					for (size_t k = 0; k < n; k++)
						t[i] += (long double)(both ? l[k * n + i] : l[i * n + k]) * x[r * n + k];
				for (size_t i = 0; i < n; i++) {
					long double sum = both ? 0 : t[i];
					for (size_t k = 0; both && k < n; k++)
						sum += l[i * n + k] * t[k];
					b[r * n + i] = (double)sum;
				}
				free(t);
			}
			double *one = xmalloc(n, sizeof *one);
			memcpy(one, b, n * sizeof *one);
			mat_solve64(l, n, one, both);
			mat_solve_many64(l, n, b, 4, both);
			for (size_t i = 0; i < n; i++)
				solve = fmax(solve, fabs(one[i] - x[i]));
			for (size_t i = 0; i < 4 * n; i++)
				many = fmax(many, fabs(b[i] - x[i]));
			free(one);
		}
		free(l);
		free(a);
		free(b);
		free(x);
	}
	claim(kept && factor < 1e-12, "Cholesky finds L and leaves the upper triangle alone");
	claim(solve < 1e-12, "solving with L, and with L L', gives back what was multiplied");
	claim(many < 1e-12, "solving for many right-hand sides gives the same");
	double bad[4] = {1, 0, 2, 1}, nan[1] = {NAN}, zero[1] = {0};
	claim(mat_cholesky64(bad, 2) < 0 && mat_cholesky64(nan, 1) < 0 && mat_cholesky64(zero, 1) < 0,
	    "Cholesky refuses what is not positive definite, and NaN");
}

static void
softmax(void)
{
	double worst = 0, worst_log = 0, worst_entropy = 0, worst_sum = 0;

	for (size_t n = 1; n < 5000; n = n * 3 + 1) {
		float *x = random_floats(n), *w = xmalloc(n, sizeof *w);
		long double sum = 0, most = -INFINITY, entropy = 0, total = 0;
		for (size_t i = 0; i < n; i++) {
			w[i] = x[i] = 20 * x[i] + 1000;
			most = fmaxl(most, x[i]);
		}
		for (size_t i = 0; i < n; i++)
			sum += expl(x[i] - most);
		double log_sum = mat_softmax(w, n);
		for (size_t i = 0; i < n; i++) {
			long double a = expl(x[i] - most) / sum;
			if (a > 1e-30L) {
				worst = fmax(worst, (double)fabsl((w[i] - a) / a));
				entropy -= a * logl(a);
			}
			total += w[i];
		}
		worst_log = fmax(worst_log, (double)fabsl(log_sum - (most + logl(sum))));
		worst_entropy = fmax(worst_entropy, (double)fabsl(mat_entropy(w, n) - entropy));
		worst_sum = fmax(worst_sum, (double)fabsl(total - 1));
		free(x);
		free(w);
	}
	claim(worst < 1e-6 && worst_sum < 1e-6, "softmax of logits around 1000 is right, weight by weight, and sums to 1");
	claim(worst_log < 1e-6, "it returns the logarithm of the sum");
	claim(worst_entropy < 1e-5, "entropy in nats is right");
	float one[3] = {0, 1, 0};
	claim(mat_entropy(one, 3) == 0, "entropy of certainty is 0");
}

static void
lengths(void)
{
	float v[2] = {3, 4}, zero[2] = {0, 0}, small[2] = {3e-30f, 4e-30f};

	claim(mat_norm(v, 2) == 5, "the length of 3, 4 is 5");
	claim(mat_normalise(v, 2) == 5 && v[0] == .6f && v[1] == .8f, "a normalised vector has length 1");
	claim(mat_normalise(zero, 2) == 0 && zero[0] == 0 && zero[1] == 0, "a zero vector stays zero");
	claim(mat_normalise(small, 2) > 0 && fabs(mat_norm(small, 2) - 1) < 1e-6,
	    "a vector too short for squares in float is normalised");
}

int
main(void)
{
	struct fault f;

	rng = rng_at(1, 0);
	claim(mat_check(&f) == 0, "the BLAS of this machine computes right");
	products();
	dots();
	factorisations();
	softmax();
	lengths();
	return claim_n_failed != 0;
}
