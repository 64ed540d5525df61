/* lm.c - the language model at work: tokens a second of GPT-2's shape (124M numbers), against what memory and arithmetic can give
   usage: lm [SCRATCH-FILE]     random numbers; files of that name and a type hold them as float32, bfloat16 and int8

   Everything is measured in turn, REPEAT times over, and medians are told: so what else the machine does hits all alike. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "lm/run.h"
#include "mat/mat.h"

enum { STEPS = 6, BATCH = 16, REPEAT = 15 };

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int
by_value(const void *a, const void *b)
{
	double s = *(const double *)a, t = *(const double *)b;

	return s < t ? -1 : s > t;
}

static const float *numbers;
static size_t n_number;
static volatile float sink;

static void
read_part(void *arg, size_t i, size_t worker)
{
	size_t n = n_number / 64;
	float lane[64] = { 0 };

	(void)arg;
	(void)worker;
	for (size_t k = i * n; k + 64 <= (i + 1) * n; k += 64)
		for (size_t d = 0; d < 64; d++)
			lane[d] += numbers[k + d];
	/* all of them, or the compiler reads some of the numbers only */
	for (size_t d = 1; d < 64; d++)
		lane[0] += lane[d];
	sink = lane[0];
}

/* Products that stay in the cache, by OpenBLAS. */
enum { EDGE = 192, PRODUCTS = 64 };
static const float *square;

static void
multiply(void *arg, size_t i, size_t worker)
{
	float *y = arg;

	(void)i;
	struct mat x = mat_of(square, EDGE, EDGE);
	mat_mul(1, x, 0, x, 0, 0, mat_of(y + worker * EDGE * EDGE, EDGE, EDGE));
}

/* -- n texts at once -- */
struct texts {
	struct lm_run *run;
	size_t n;
	float *log_p;
	double took[REPEAT];            /* seconds a token */
};

static struct texts
texts_new(const struct lm *m, size_t n)
{
	return (struct texts){ .run = lm_run_new(m, n, 64, thread_count()), .n = n, .log_p = xmalloc(n * m->shape.n_vocab, sizeof(float)) };
}

static double
seconds_a_token(struct texts *t)
{
	struct fault f;
	size_t slot[BATCH];
	struct lm_row row[BATCH], first = { .token = 1, .before = LM_NONE, .before2 = LM_NONE };

	for (size_t i = 0; i < t->n; i++) {
		slot[i] = i;
		lm_run_prompt(t->run, i, &(struct lm_prompt){ .row = &first, .n = 1 }, &f);
	}
	double from = now();
	for (size_t s = 0; s < STEPS; s++) {
		for (size_t i = 0; i < t->n; i++)
			row[i] = (struct lm_row){ .token = 7 + (uint32_t)(s * t->n + i), .before = LM_NONE, .before2 = LM_NONE,
				.place = 1 + (uint32_t)s };
		lm_run_step(t->run, slot, row, t->n, t->log_p, &f);
	}
	return (now() - from) / (double)(STEPS * t->n);
}

/* The median of what a takes over what b takes; b NULL: of a. Sorted in a copy, as rounds belong together. */
static double
median(const double *a, const double *b)
{
	double each[REPEAT];

	for (int k = 0; k < REPEAT; k++)
		each[k] = b ? a[k] / b[k] : a[k];
	qsort(each, REPEAT, sizeof *each, by_value);
	return each[REPEAT / 2];
}

int
main(int argc, char *argv[])
{
	enum { TYPES = 3, COUNTS = 3 };
	static const char *const name[TYPES] = { "f32", "bf16", "int8" };
	static const size_t at_once[COUNTS] = { 1, 4, BATCH };
	struct lm_shape s = { .n_layer = 12, .n_head = 12, .dim = 768, .n_inner = 3072, .n_place = 1024, .n_vocab = 50257 };
	const char *path = argc > 1 ? argv[1] : "/tmp/hare-bench-lm";
	char file[TYPES][4096];
	struct fault f;
	struct lm *at[TYPES];
	struct texts texts[TYPES][COUNTS];
	double reading[REPEAT], adding[REPEAT];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (mat_check(&f) < 0)
		return 1;
	n_number = lm_count(&s);
	float *drawn = xlarge(n_number, sizeof *drawn), *y = xmalloc(thread_count() * EDGE * EDGE, sizeof *y);
	lm_draw(&s, drawn, 1);
	numbers = square = drawn;
	struct lm *m = lm_new(&s, drawn, NULL);
	for (int t = 0; t < TYPES; t++) {
		snprintf(file[t], sizeof file[t], "%s.%s", path, name[t]);
		if (lm_write(m, file[t], (enum lm_type)t, NULL, (struct span){ NULL, 0 }, &f) < 0 || !(at[t] = lm_open(file[t], &f))) {
			fprintf(stderr, "lm: %s\n", f.text);
			return 1;
		}
		for (int k = 0; k < COUNTS; k++)
			texts[t][k] = texts_new(at[t], at_once[k]);
	}
	for (int r = 0; r < REPEAT; r++) {
		double from = now();
		thread_for(thread_count(), 64, read_part, NULL);
		reading[r] = now() - from;
		from = now();
		thread_for(thread_count(), PRODUCTS, multiply, y);
		/* seconds for as many multiply-adds as a token takes */
		adding[r] = (now() - from) * (double)n_number / ((double)PRODUCTS * EDGE * EDGE * EDGE);
		for (int t = 0; t < TYPES; t++)
			for (int k = 0; k < COUNTS; k++)
				texts[t][k].took[r] = seconds_a_token(&texts[t][k]);
	}
	printf("%.0fM numbers, %zu threads; reading them once as f32: %.1f ms, %.1f GB/s: at most %.1f tokens/s of one text\n",
	    1e-6 * (double)n_number, thread_count(), 1e3 * median(reading, NULL), 4e-9 * (double)n_number / median(reading, NULL),
	    1 / median(reading, NULL));
	printf("multiply-adds in the cache by OpenBLAS: %.1f a nanosecond: at most %.1f tokens/s of many texts as f32\n",
	    1e-9 * (double)n_number / median(adding, NULL), 1 / median(adding, NULL));
	const double *single = texts[LM_F32][0].took;
	for (int t = 0; t < TYPES; t++)
		for (int k = 0; k < COUNTS; k++) {
			const double *took = texts[t][k].took;
			printf("%-5s %2zu at once  %7.1f tokens/s  %4.2f of one  %4.2f of one as f32", name[t], at_once[k], 1 / median(took, NULL),
			    median(texts[t][0].took, took), median(single, took));
			if (k == 0)
				printf("  %4.2f of what reading allows\n", median(reading, took));
			else
				printf("  %4.2f of what arithmetic as f32 allows\n", median(adding, took));
		}
	for (int t = 0; t < TYPES; t++) {
		for (int k = 0; k < COUNTS; k++) {
			lm_run_free(texts[t][k].run);
			free(texts[t][k].log_p);
		}
		lm_free(at[t]);
		unlink(file[t]);
	}
	lm_free(m);
	free(drawn);
	free(y);
	return 0;
}
