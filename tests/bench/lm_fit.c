/* Tokens a second of lm_fit_step().
   usage: lm_fit N_LAYER DIM N_HEAD N_VOCAB KIND N_EXAMPLE N_ROW [N_THREAD [SECONDS]]
   KIND plain: texts of N_ROW tokens (GPT-2); prompt: N_ROW tokens of prompt (about, as they differ) and 15 of text, prefix,
   copy head and all. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "lm/fit.h"
#include "mat/mat.h"

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t
number(char **argv, int argc, int i, size_t fallback)
{
	return i < argc ? strtoull(argv[i], NULL, 10) : fallback;
}

int
main(int argc, char **argv)
{
	struct fault f;

	if (argc < 8)
		errx(64, "usage: lm_fit N_LAYER DIM N_HEAD N_VOCAB plain|prompt N_EXAMPLE N_ROW [N_THREAD [SECONDS]]");
	if (mat_check(&f) < 0)
		errx(f.status, "%s", f.text);
	int prompt = strcmp(argv[5], "prompt") == 0;
	size_t n = number(argv, argc, 6, 1), n_row = number(argv, argc, 7, 1), n_text = prompt ? 15 : n_row, n_all = 0;
	struct lm_shape s = { .n_layer = number(argv, argc, 1, 1), .dim = number(argv, argc, 2, 1), .n_head = number(argv, argc, 3, 1),
		.n_vocab = number(argv, argc, 4, 1), .n_place = 256, .two_way = prompt, .copy = prompt, .shift = prompt };
	s.n_inner = 4 * s.dim;
	if (prompt)
		s.n_source = 18, s.n_prefix = 8, s.n_given = 256, s.n_prefix_inner = 2 * s.dim;
	float *numbers = xaligned(lm_count(&s), sizeof *numbers);
	lm_draw(&s, numbers, 1);
	struct lm *m = lm_new(&s, numbers, NULL);
	struct lm_fit_options o;
	lm_fit_defaults(&o);
	o.n_thread = number(argv, argc, 8, thread_count());
	double seconds = argc > 9 ? atof(argv[9]) : 5;
	struct lm_fit *t = lm_fit_new(m, numbers, &o);

	struct lm_example *x = xcalloc(n, sizeof *x);
	float *given = xcalloc(256, sizeof *given);
	struct rng r = rng_at(1, 0);
	for (size_t e = 0; e < n; e++) {
		size_t n_prompt = prompt ? n_row - n_row / 4 + rng_below(&r, n_row / 2 + 1) : 0;
		struct lm_row *row = xcalloc(n_prompt + n_text, sizeof *row);
		uint32_t *target = xcalloc(n_text, sizeof *target);
		for (size_t i = 0; i < n_prompt + n_text; i++) {
			size_t place = i < n_prompt ? i : i - n_prompt;
			row[i] = (struct lm_row){ .token = (uint32_t)rng_below(&r, s.n_vocab), .before = LM_NONE, .before2 = LM_NONE,
				.place = (uint32_t)((i < n_prompt ? place % 32 : place + (prompt ? 128 : 0)) % 256), .source = i < n_prompt ? 1 : 0 };
			if (place > 0)
				row[i].before = row[i - 1].token;
		}
		for (size_t i = 0; i < n_text; i++)
			target[i] = (uint32_t)rng_below(&r, s.n_vocab);
		x[e] = (struct lm_example){ .prompt = { .given = given, .row = row, .n = n_prompt }, .row = row + n_prompt, .target = target,
			.n = n_text };
		n_all += s.n_prefix + n_prompt + n_text;
	}
	size_t n_target, n_step = 0;
	double best = 1e9, t0 = 0, from = now();
	for (; n_step < 3 || now() - from < seconds; n_step++) {
		t0 = now();
		if (lm_fit_step(t, x, n, 1, &n_target, &f) < 0)
			errx(f.status, "%s", f.text);
		double took = now() - t0;
		best = n_step > 1 && took < best ? took : best;
		if (n_step == 1)
			from = now();
	}
	double mean = (now() - from) / (double)(n_step - 2);
	printf("%-52s %8.0f tokens/s (best step %.0f), %zu rows a step, %zu numbers, %zu threads\n",
	    prompt ? "hare, prefix, prompt and copy head" : "hare, plain", (double)n_all / mean,
	    (double)n_all / best, n_all, lm_count(&s), o.n_thread);
	return 0;
}
