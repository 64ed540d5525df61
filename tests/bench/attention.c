/* attention.c - the kernels of attention against what the machine can do: reading memory, and products of matrices
   usage: attention N DIM [POOL [STORES]]    rows of POOL (none: -), each many times with noise, else rows in clusters
   STORES: some of f32,f16,bf16,int8 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attend/attend.h"
#include "attend/heads.h"
#include "attend/kernel.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "mat/mat.h"
#include "mat/sketch.h"
#include "pool/pool.h"

enum { N_QUERY = 256, REPEAT = 7, N_THREAD_MAX = 64 };

static size_t n_row, dim, n_thread;
static float *x;                /* [n_row][dim] */
static uint16_t *half;          /* [n_row][dim], bfloat16 or float16 */
static int8_t *byte;            /* [n_row][dim] */
static float *scale;            /* [n_row] */
static uint32_t *cluster;       /* [n_row] */
static uint8_t *blocks;         /* [n_row / 16][mat_sketch_block(dim)] */
static enum attend_type type;
static size_t n_repeat = REPEAT;
static volatile double sink;

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void read_all(void *arg);
static void gemm_all(void *arg);

static int
by_value(const void *a, const void *b)
{
	double s = *(const double *)a, t = *(const double *)b;

	return s < t ? -1 : s > t;
}

/* Medians of n_repeat, each run of what beside one of read_all() and one of gemm_all(): a machine that is shared changes its
   speed. */
static double
median_ms(void (*what)(void *arg), void *arg, double *of_read, double *of_gemm)
{
	double took[REPEAT], ratio[REPEAT], gemm_ratio[REPEAT];

	what(arg);
	for (size_t i = 0; i < n_repeat; i++) {
		double t = now_ms();
		what(arg);
		took[i] = now_ms() - t;
		t = now_ms();
		read_all(NULL);
		ratio[i] = took[i] / (now_ms() - t);
		t = now_ms();
		if (of_gemm)
			gemm_all(NULL);
		gemm_ratio[i] = took[i] / (now_ms() - t);
	}
	qsort(took, n_repeat, sizeof *took, by_value);
	qsort(ratio, n_repeat, sizeof *ratio, by_value);
	qsort(gemm_ratio, n_repeat, sizeof *gemm_ratio, by_value);
	if (of_read)
		*of_read = ratio[n_repeat / 2];
	if (of_gemm)
		*of_gemm = gemm_ratio[n_repeat / 2];
	return took[n_repeat / 2];
}

/* -- rows -- */

static float *own;              /* [n_own][dim], rows that those of the pool are made of */
static size_t n_own;

static void
make_row(void *arg, size_t task, size_t worker)
{
	(void)arg;
	(void)worker;
	for (size_t j = task * 1024; j < (task + 1) * 1024 && j < n_row; j++) {
		struct rng r = rng_at(3, j);
		const float *from = own + rng_below(&r, n_own) * dim;
		float *to = x + j * dim;
		uint64_t s = rng_u64(&r);
		/* the sum of four bytes is near enough to a normal number, and fast; length of the noise .4 */
		for (size_t d = 0; d < dim; d++) {
			s = s * 6364136223846793005u + 1442695040888963407u;
			double z = (double)(s >> 32 & 255) + (double)(s >> 40 & 255) + (double)(s >> 48 & 255) + (double)(s >> 56 & 255) - 510;
			to[d] = from[d] + (float)(z * (.4 / 147.8 / sqrt((double)dim)));
		}
		mat_normalise(to, dim);
		cluster[j] = (uint32_t)(j % 64);
	}
}

static void
make_rows(const char *path)
{
	struct fault f;
	struct pool *p = path ? pool_open(&path, 1, NULL, NULL, &f) : NULL;

	if (path && !p) {
		fprintf(stderr, "attention: %s\n", f.text);
		exit(1);
	}
	n_own = p ? pool_n(p) : 20000;
	if (p)
		dim = pool_dim(p);
	own = xaligned(n_own * dim, sizeof *own);
	if (p) {
		const float *rows = pool_rows(p, 0, n_own, own, &f);
		if (rows && rows != own)
			memcpy(own, rows, n_own * dim * sizeof *own);
		pool_close(p);
	} else {
		/* two hundred subjects, in directions that weigh less and less, as those of texts do */
		float *subject = xmalloc(200 * dim, sizeof *subject);
		struct rng r = rng_at(1, 1);
		for (size_t i = 0; i < 200 * dim; i++)
			subject[i] = (float)(rng_normal(&r) / sqrt(1 + (double)(i % dim)));
		for (size_t j = 0; j < n_own; j++) {
			const float *s = subject + rng_below(&r, 200) * dim;
			for (size_t d = 0; d < dim; d++)
				own[j * dim + d] = s[d] + (float)(rng_normal(&r) / sqrt(1 + (double)d));
			mat_normalise(own + j * dim, dim);
		}
		free(subject);
	}
	x = xaligned(n_row * dim, sizeof *x);
	cluster = xmalloc(n_row, sizeof *cluster);
	thread_for(n_thread, (n_row + 1023) / 1024, make_row, NULL);
}

static uint16_t
to_half(float v)
{
	uint32_t bits;

	if (type == ATTEND_BF16) {
		memcpy(&bits, &v, sizeof bits);
		return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
	}
	/* 2^-14 and above; what is smaller becomes 0, which is good enough here */
	memcpy(&bits, &v, sizeof bits);
	int exponent = (int)(bits >> 23 & 255) - 112;
	return exponent <= 0 ? 0 : (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)exponent << 10 | (bits >> 13 & 0x3FF));
}

static void
convert_rows(void *arg, size_t task, size_t worker)
{
	(void)arg;
	(void)worker;
	for (size_t j = task * 1024; j < (task + 1) * 1024 && j < n_row; j++) {
		const float *row = x + j * dim;
		if (type == ATTEND_I8) {
			float most = 0;
			for (size_t d = 0; d < dim; d++)
				most = fmaxf(most, fabsf(row[d]));
			scale[j] = most / 127;
			for (size_t d = 0; d < dim; d++)
				byte[j * dim + d] = (int8_t)lrintf(most > 0 ? row[d] / scale[j] : 0);
		} else
			for (size_t d = 0; d < dim; d++)
				half[j * dim + d] = to_half(row[d]);
	}
}

static const float *
rows(void *arg, size_t from, size_t n, float *scratch, struct fault *f)
{
	(void)arg;
	(void)n;
	(void)scratch;
	(void)f;
	return x + from * dim;
}

static int
span(void *arg, size_t from, size_t n, struct attend_span *out, struct fault *f)
{
	(void)arg;
	(void)f;
	*out = (struct attend_span){ type, type == ATTEND_F32 ? (void *)(x + from * dim) : type == ATTEND_I8 ?
	    (void *)(byte + from * dim) : (void *)(half + from * dim), scale + from, cluster + from, n };
	return 0;
}

static void
sketch_rows(void *arg, size_t task, size_t worker)
{
	double turned[MAT_SKETCH_DIM_MAX];

	(void)arg;
	(void)worker;
	for (size_t j = task * 1024; j < (task + 1) * 1024 && j < n_row; j++)
		mat_sketch_put(blocks + j / 16 * mat_sketch_block(dim), j % 16, x + j * dim, dim, turned);
}

static int
sketch(void *arg, size_t from, size_t n, struct attend_sketch *out, struct fault *f)
{
	struct attend_span s;

	if (span(arg, from, n, &s, f) < 0)
		return -1;
	*out = (struct attend_sketch){ blocks + from / 16 * mat_sketch_block(dim), from % 16, cluster + from, n, s.type, s.x, s.scale };
	return 0;
}

/* -- what the machine can do -- */

static void
read_tile(void *arg, size_t task, size_t worker)
{
	typedef double wide __attribute__((vector_size(64), aligned(64)));
	size_t n_byte = n_row * dim * sizeof *x, piece = (size_t)1 << 19, end = (task + 1) * piece < n_byte ? (task + 1) * piece : n_byte;
	wide sum[4] = {{0}};

	(void)arg;
	(void)worker;
	for (size_t i = task * piece; i + 256 <= end; i += 256)
		for (size_t k = 0; k < 4; k++)
			sum[k] += *(const wide *)(const void *)((const char *)x + i + 64 * k);
	sum[0] += sum[1] + sum[2] + sum[3];
	sink = sum[0][0];
}

static void
read_all(void *arg)
{
	(void)arg;
	thread_for(n_thread, (n_row * dim * sizeof *x + ((size_t)1 << 19) - 1) >> 19, read_tile, NULL);
}

enum { GEMM = 768 };
static float *gemm[N_THREAD_MAX];

static void
gemm_one(void *arg, size_t task, size_t worker)
{
	float *a = gemm[worker];

	(void)arg;
	(void)task;
	mat_mul(1, mat_of(a, GEMM, GEMM), 0, mat_of(a + GEMM * GEMM, GEMM, GEMM), 0, 0, mat_of(a + 2 * GEMM * GEMM, GEMM, GEMM));
}

static void
gemm_all(void *arg)
{
	(void)arg;
	thread_for(n_thread, 8 * n_thread, gemm_one, NULL);
}

/* -- attention -- */

static void
variances(const void *user, const float *asked, const float *f, size_t n, double *variance, double *scratch)
{
	(void)asked;
	(void)scratch;
	for (size_t i = 0; i < n; i++)
		variance[i] = *(const double *)user * mat_dot64(f + i * dim, f + i * dim, dim);
}

struct job {
	struct attend *a;
	size_t n;
	struct attend_query *query;
	struct attend_result *result;
};

static void
attend_all(void *arg)
{
	struct job *j = arg;
	struct fault f;

	if (attend_run(j->a, j->n, j->query, j->result, &f) < 0)
		abort();
}

struct head_job {
	struct attend_heads *h;
	size_t n;
	const float *a;
	struct attend_head_result *result;
};

static void
heads_all(void *arg)
{
	struct head_job *j = arg;
	struct fault f;

	if (attend_heads_run(j->h, j->n, j->a, j->result, &f) < 0)
		abort();
}

int
main(int argc, char *argv[])
{
	static const char *const type_name[] = { "f32", "f16", "bf16", "int8" };
	static struct attend_query query[2][N_QUERY];
	static struct attend_result result[N_QUERY];
	static double known = .002;
	struct fault f;

	if (argc < 3 || mat_check(&f) < 0) {
		fprintf(stderr, "usage: attention N DIM [POOL]\n");
		return 64;
	}
	n_row = strtoul(argv[1], NULL, 10);
	dim = strtoul(argv[2], NULL, 10);
	n_thread = thread_count();
	make_rows(argc > 3 && strcmp(argv[3], "-") != 0 ? argv[3] : NULL);
	half = xaligned(n_row * dim, sizeof *half);
	byte = xaligned(n_row * dim, sizeof *byte);
	scale = xmalloc(n_row, sizeof *scale);
	for (size_t t = 0; t < n_thread && t < N_THREAD_MAX; t++) {
		gemm[t] = xaligned(3 * GEMM * GEMM, sizeof(float));
		for (size_t i = 0; i < 3 * GEMM * GEMM; i++)
			gemm[t][i] = (float)(i % 17) - 8;
	}
	double read_ms = median_ms(read_all, NULL, NULL, NULL), gemm_ms = median_ms(gemm_all, NULL, NULL, NULL);
	double gflops = 2e-6 * GEMM * GEMM * GEMM * 8 * (double)n_thread / gemm_ms;
	printf("%zu x %zu, %zu threads, kernel %s\n", n_row, dim, n_thread, attend_kernel_best()->name);
	printf("reading the rows once %34.2f ms %8.1f GB/s\n", read_ms, (double)(n_row * dim * 4) / read_ms / 1e6);
	printf("sgemm %d x %d x %d on every core %21.1f GFLOP/s\n", GEMM, GEMM, GEMM, gflops);

	/* spread of scores over some pairs */
	struct rng r = rng_at(9, 9);
	double sum = 0, square = 0, *mean = xcalloc(dim, sizeof *mean);
	for (size_t i = 0; i < 20000; i++) {
		double s = mat_dot64(x + rng_below(&r, n_row) * dim, x + rng_below(&r, n_row) * dim, dim);
		sum += s / 20000;
		square += s * s / 20000;
		const float *row = x + rng_below(&r, n_row) * dim;
		for (size_t d = 0; d < dim; d++)
			mean[d] += row[d] / 20000.;
	}
	struct attend_settings set = { .gain = 2, .beta = attend_beta(n_row, dim, sqrt(square - sum * sum)), .kappa = .2, .lambda = 100,
	    .n_top = 10, .n_thread = n_thread };
	struct attend_pool pool = { .n_row = n_row, .dim = dim, .n_cluster = 64, .mean = mean, .rows = rows, .span = span };
	float *q = xmalloc(N_QUERY * dim, sizeof *q);
	double *user_mean = xmalloc(N_QUERY * dim, sizeof *user_mean);
	for (size_t i = 0; i < N_QUERY; i++) {
		const float *a = own + rng_below(&r, n_own) * dim, *b = own + rng_below(&r, n_own) * dim;
		for (size_t d = 0; d < dim; d++) {
			q[i * dim + d] = a[d] + (float)(.7 * rng_normal(&r) / sqrt((double)dim));
			user_mean[i * dim + d] = .5 * b[d];
		}
		mat_normalise(q + i * dim, dim);
		query[0][i] = (struct attend_query){ .x = q + i * dim };
		query[1][i] = (struct attend_query){ .x = q + i * dim, .user_mean = user_mean + i * dim, .query_weight = 1, .variances = variances, .user = &known };
	}
	printf("%-5s %-9s %7s %9s %9s %9s %9s   %s\n", "store", "user", "queries", "ms", "of read", "GFLOP/s", "of sgemm", "entropy, T of the first");
	double f32_ms[2] = {0};
	for (type = ATTEND_F32; type <= ATTEND_I8; type++) {
		if (argc > 4 && !strstr(argv[4], type_name[type]))
			continue;
		if (type != ATTEND_F32)
			thread_for(n_thread, (n_row + 1023) / 1024, convert_rows, NULL);
		for (size_t who = 0; who < 2; who++) {
			static const size_t n_of[] = { 1, 16, 256 };
			for (size_t k = 0; k < 3; k++) {
				struct job j = { attend_new(&pool, &set, n_of[k]), n_of[k], query[who], result };
				n_repeat = k == 2 ? 3 : REPEAT;
				double of_read, of_gemm, ms = median_ms(attend_all, &j, &of_read, &of_gemm), flop = 4e-6 * (double)n_row * (double)dim * (double)n_of[k] / ms;
				if (k == 0 && type == ATTEND_F32)
					f32_ms[who] = ms;
				printf("%-5s %-9s %7zu %9.2f %9.2f %9.1f %9.2f   %.2f %.2f", type_name[type], who ? "known" : "stranger", n_of[k], ms,
				    of_read, flop,
				    4. * (double)n_row * (double)dim * (double)n_of[k] / (16. * GEMM * GEMM * GEMM * (double)n_thread) / of_gemm, result[0].entropy_nats, result[0].temperature);
				if (k == 0)
					printf("   %.2f of f32", ms / f32_ms[who]);
				printf("\n");
				fflush(stdout);
				attend_free(j.a);
			}
		}
	}
	n_repeat = REPEAT;
	/* four heads, each with a softmax of its own */
	enum { N_HEAD = 4 };
	static struct attend_head_result head_result[16 * N_HEAD];
	float *heads = xmalloc(16 * N_HEAD * dim, sizeof *heads);
	for (size_t i = 0; i < 16 * N_HEAD; i++) {
		mat_normalise(memcpy(heads + i * dim, q + i * dim, dim * sizeof *heads), dim);
		for (size_t d = 0; d < dim; d++)
			heads[i * dim + d] *= (float)(set.beta / 2);
	}
	type = ATTEND_F32;
	for (size_t n = 1; n <= 16; n *= 16) {
		struct head_job j = { attend_heads_new(&pool, N_HEAD, 10, n, n_thread, NULL), n, heads, head_result };
		double of_read, ms = median_ms(heads_all, &j, &of_read, NULL);
		printf("f32   4 heads   %7zu %9.2f %9.2f\n", n, ms, of_read);
		attend_heads_free(j.h);
	}

	/* with sketches: exact, T known before the pass; then what may be left unread */
	blocks = xaligned((n_row + 15) / 16, mat_sketch_block(dim));
	memset(blocks, 0, (n_row + 15) / 16 * mat_sketch_block(dim));
	thread_for(n_thread, (n_row + 1023) / 1024, sketch_rows, NULL);
	type = ATTEND_F32;
	printf("%-7s %-18s %9s %9s %9s %9s %9s %12s\n", "epsilon", "user", "ms", "of read", "of bare", "rows read", "of bytes", "certificate");
	static const double epsilon[] = { -1, 0, 1e-3, 1e-2 };
	double bare[4] = {0};
	for (size_t e = 0; e < 4; e++)
		for (size_t who = 0; who < 4; who++) {
			/* strangers and known users, then both without widening; first of a pool without sketch */
			struct attend_settings s = set;
			s.epsilon = fmax(0, epsilon[e]);
			s.kappa = who >= 2 ? 0 : set.kappa;
			pool.sketch = epsilon[e] < 0 ? NULL : sketch;
			double ms = 0, of_read = 0, share = 0, certificate = 0, one;
			enum { SOME = 8 };
			for (size_t i = 0; i < SOME; i++) {
				struct job j = { attend_new(&pool, &s, 1), 1, &query[who % 2][i], result };
				ms += median_ms(attend_all, &j, &one, NULL) / SOME;
				of_read += one / SOME;
				share += result[0].read / SOME;
				certificate = fmax(certificate, result[0].certificate);
				attend_free(j.a);
			}
			if (epsilon[e] < 0)
				bare[who] = ms;
			double row = (double)dim * sizeof *x, bytes = share < 1 ? (double)mat_sketch_block(dim) / 16 / row + share : 1;
			printf("%-7.3g %-9s %-8s %9.2f %9.2f %9.2f %9.4f %9.3f %12.2g%s\n", s.epsilon, who % 2 ? "known" : "stranger",
			    who >= 2 ? "kappa 0" : "", ms, of_read, ms / bare[who], share, bytes, certificate, epsilon[e] < 0 ? "  bare" : "");
			fflush(stdout);
		}
	return 0;
}
