/* machine.c - what this machine can do at best: products of matrices, and reading memory, on one core */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "mat/mat.h"

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *
filled(size_t n)
{
	struct rng rng = rng_at(1, n);
	float *x = xaligned(n, sizeof *x);

	for (size_t i = 0; i < n; i++)
		x[i] = (float)rng_uniform(&rng);
	return x;
}

int
main(void)
{
	enum { N = 768, TILE = 1024, DIM = 128 };
	size_t n_big = (size_t)64 << 20;
	struct fault f;
	float *a = filled(N * N), *b = filled(N * N), *c = filled(N * N), y[TILE];
	double best = 1e9, t;

	if (mat_check(&f) < 0) {
		fprintf(stderr, "machine: %s\n", f.text);
		return f.status;
	}
	for (int i = 0; i < 9; i++) {
		t = now_s();
		mat_mul(1, mat_of(a, N, N), 0, mat_of(b, N, N), 0, 0, mat_of(c, N, N));
		t = now_s() - t;
		best = t < best ? t : best;
	}
	printf("sgemm %d x %d x %d: %.1f GFLOP/s\n", N, N, N, 2e-9 * N * N * N / best);

	best = 1e9;
	for (int i = 0; i < 2000; i++) {
		t = now_s();
		mat_mul_vec(1, mat_of(a, TILE, DIM), 0, b, 0, y);
		t = now_s() - t;
		best = t < best ? t : best;
	}
	printf("sgemv %d x %d in the cache: %.1f GFLOP/s\n", TILE, DIM, 2e-9 * TILE * DIM / best);

	float *big = xaligned(n_big, sizeof *big);
	memset(big, 1, n_big * sizeof *big);
	best = 1e9;
	double sum = 0;
	for (int i = 0; i < 4; i++) {
		t = now_s();
		for (size_t at = 0; at < n_big; at += TILE * DIM) {
			mat_mul_vec(1, mat_of(big + at, TILE, DIM), 0, b, 0, y);
			sum += y[0];
		}
		t = now_s() - t;
		best = t < best ? t : best;
	}
	printf("reading 256 MB by sgemv: %.1f GB/s%s\n", 1e-9 * (double)n_big * sizeof *big / best, sum < 0 ? "!" : "");
	free(big);
	free(a);
	free(b);
	free(c);
	return 0;
}
