/* lm.c - the language model at work: tokens a second of GPT-2's shape (124M numbers), against what memory can give
   usage: lm [SCRATCH-FILE]     random numbers; the file holds them as float32, bfloat16 and int8 in turn */
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

enum { STEPS = 6, BATCH = 16, REPEAT = 9 };

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

/* Tokens a second of n texts at once. */
static double
rate(const struct lm *m, size_t n)
{
	struct fault f;
	struct lm_run *r = lm_run_new(m, n, 64, thread_count());
	size_t slot[BATCH];
	struct lm_row row[BATCH], prompt = { .token = 1, .before = LM_NONE, .before2 = LM_NONE };
	float *log_p = xmalloc(n * m->shape.n_vocab, sizeof *log_p);
	double took[REPEAT];
	struct lm_prompt p = { .row = &prompt, .n = 1 };

	for (int k = 0; k < REPEAT; k++) {
		for (size_t i = 0; i < n; i++) {
			slot[i] = i;
			lm_run_prompt(r, i, &p, &f);
		}
		double from = now();
		for (size_t t = 0; t < STEPS; t++) {
			for (size_t i = 0; i < n; i++)
				row[i] = (struct lm_row){ .token = 7 + (uint32_t)(t * n + i), .before = LM_NONE, .before2 = LM_NONE,
					.place = 1 + (uint32_t)t };
			lm_run_step(r, slot, row, n, log_p, &f);
		}
		took[k] = (now() - from) / STEPS;
	}
	qsort(took, REPEAT, sizeof *took, by_value);
	free(log_p);
	lm_run_free(r);
	return (double)n / took[REPEAT / 2];
}

int
main(int argc, char *argv[])
{
	static const char *const name[] = { "f32", "bf16", "int8" };
	struct lm_shape s = { .n_layer = 12, .n_head = 12, .dim = 768, .n_inner = 3072, .n_place = 1024, .n_vocab = 50257 };
	const char *path = argc > 1 ? argv[1] : "/tmp/hare-bench-lm";
	struct fault f;
	double took[REPEAT], single = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (mat_check(&f) < 0)
		return 1;
	n_number = lm_count(&s);
	float *drawn = xlarge(n_number, sizeof *drawn);
	lm_draw(&s, drawn, 1);
	numbers = drawn;
	for (int k = 0; k < REPEAT; k++) {
		double from = now();
		thread_for(thread_count(), 64, read_part, NULL);
		took[k] = now() - from;
	}
	qsort(took, REPEAT, sizeof *took, by_value);
	double limit = 1 / took[REPEAT / 2];
	printf("%.0fM numbers, %zu threads; reading them once as f32: %.1f ms, %.1f GB/s: at most %.1f tokens/s\n", 1e-6 * (double)n_number,
	    thread_count(), 1e3 / limit, 4e-9 * (double)n_number * limit, limit);
	struct lm *m = lm_new(&s, drawn, NULL);
	for (enum lm_type type = LM_F32; type <= LM_I8; type++) {
		struct lm *at;
		if (lm_write(m, path, type, NULL, (struct span){ NULL, 0 }, &f) < 0 || !(at = lm_open(path, &f))) {
			fprintf(stderr, "lm: %s\n", f.text);
			return 1;
		}
		double one = rate(at, 1), many = rate(at, BATCH);
		if (type == LM_F32)
			single = one;
		printf("%-5s one %7.1f tokens/s  %.2f of the limit  %.2f of f32   %d at once %7.1f  %.1f of one\n", name[type], one, one / limit,
		    one / single, BATCH, many, many / one);
		lm_free(at);
	}
	unlink(path);
	lm_free(m);
	free(drawn);
	return 0;
}
