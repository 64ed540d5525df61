/* Models that write together: what they say is the mean of what each says, to whatever they are asked. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"
#include "lm/bpe.h"
#include "lm/run.h"

enum { VOCAB = 300, PROMPT = 9, TEXT = 20, MODELS = 3, BESIDE = 5 };

/* Of other sizes, with and without prefix, copy head and sight both ways. */
static const struct lm_shape shape[MODELS] = {
	{ .n_layer = 2, .n_head = 2, .dim = 16, .n_inner = 40, .n_place = 64, .n_vocab = VOCAB, .n_source = 3, .n_prefix = 3,
	    .n_given = 6, .n_prefix_inner = 8, .two_way = 1, .copy = 1, .shift = 1 },
	{ .n_layer = 1, .n_head = 1, .dim = 24, .n_inner = 32, .n_place = 64, .n_vocab = VOCAB, .n_source = 3, .n_prefix = 7,
	    .n_given = 6, .n_prefix_inner = 8, .two_way = 1, .copy = 1 },
	{ .n_layer = 3, .n_head = 4, .dim = 16, .n_inner = 20, .n_place = 64, .n_vocab = VOCAB, .n_source = 3, .shift = 1 },
};

static float *number[MODELS], given[6];
static struct lm *model[MODELS];
static struct lm_row row[PROMPT];
static struct lm_prompt prompt = { .given = given, .row = row, .n = PROMPT };

static void
make(void)
{
	struct rng r = rng_at(4, 1);

	for (size_t k = 0; k < MODELS; k++) {
		number[k] = xmalloc(lm_count(&shape[k]), sizeof *number[k]);
		lm_draw(&shape[k], number[k], k);
		for (size_t i = 0; i < lm_count(&shape[k]); i++)
			number[k][i] += (float)(.1 * rng_normal(&r));
		model[k] = lm_new(&shape[k], number[k], NULL);
	}
	for (size_t i = 0; i < 6; i++)
		given[i] = (float)rng_normal(&r);
	for (size_t i = 0; i < PROMPT; i++)
		row[i] = (struct lm_row){ .token = 5 + (uint32_t)rng_below(&r, 6), .before = i ? row[i - 1].token : LM_NONE,
			.before2 = i > 1 ? row[i - 2].token : LM_NONE, .place = (uint32_t)i, .source = 1 + (uint32_t)i / 5,
			.log_weight = i < 5 ? 0 : -.5f };
}

static struct lm_run *
run_of(size_t n_model, size_t n_thread)
{
	struct lm_run *r = lm_run_new(model[0], 8, PROMPT + shape[0].n_prefix + TEXT + 1, n_thread);

	for (size_t k = 1; k < n_model; k++)
		lm_run_add(r, model[k]);
	return r;
}

static struct lm_row
row_at(const uint32_t *token, size_t i)
{
	return (struct lm_row){ .token = i ? token[i - 1] : BPE_BEGIN, .before = i > 1 ? token[i - 2] : i ? BPE_BEGIN : LM_NONE,
		.before2 = i > 2 ? token[i - 3] : i == 2 ? BPE_BEGIN : LM_NONE, .place = 20 + (uint32_t)i };
}

/* The twin: each model in a run of its own, their probabilities added one by one. Returns the largest difference over a text,
   of probabilities, and puts what its tokens sum up to into log_p. */
static double
follow(size_t n_model, struct lm_run *together, size_t slot, const uint32_t *token, size_t n, double *sum)
{
	struct fault f;
	struct lm_run *alone[MODELS];
	float *log_p = xmalloc(VOCAB, sizeof *log_p), *one = xmalloc(VOCAB, sizeof *one);
	double worst = 0;

	*sum = 0;
	for (size_t k = 0; k < n_model; k++) {
		alone[k] = lm_run_new(model[k], 1, PROMPT + shape[k].n_prefix + TEXT + 1, 1);
		if (lm_run_prompt(alone[k], 0, &prompt, &f) < 0)
			return INFINITY;
	}
	for (size_t i = 0; i < n; i++) {
		double p[VOCAB] = { 0 };
		struct lm_row at = row_at(token, i);
		for (size_t k = 0; k < n_model; k++) {
			if (lm_run_step(alone[k], &(size_t){ 0 }, &at, 1, one, &f) < 0)
				return INFINITY;
			for (size_t v = 0; v < VOCAB; v++)
				p[v] += exp((double)one[v]) / (double)n_model;
		}
		if (together && lm_run_step(together, &slot, &at, 1, log_p, &f) < 0)
			return INFINITY;
		for (size_t v = 0; together && v < VOCAB; v++)
			worst = fmax(worst, fabs((double)log_p[v] - log(p[v])));
		*sum += log(p[token[i]]);
	}
	for (size_t k = 0; k < n_model; k++)
		lm_run_free(alone[k]);
	free(log_p);
	free(one);
	return worst;
}

static void
check_steps(void)
{
	struct fault f;
	struct rng r = rng_at(2, 1);
	uint32_t token[TEXT];
	double sum, worst = 0;

	for (size_t i = 0; i < TEXT; i++)
		token[i] = 5 + (uint32_t)rng_below(&r, 40);
	for (size_t n = 2; n <= MODELS; n++) {
		struct lm_run *run = run_of(n, 1);
		lm_run_prompt(run, 3, &prompt, &f);
		lm_run_copy(run, 6, 3);
		worst = fmax(worst, follow(n, run, 6, token, TEXT, &sum));
		lm_run_copy(run, 1, 3);         /* a text that goes on from the prompt again */
		worst = fmax(worst, follow(n, run, 1, token + 5, TEXT - 5, &sum));
		lm_run_free(run);
	}
	claim(worst < 2e-5, "two and three models say the mean of their probabilities, counted one by one: ln p differs by %.1e", worst);

	/* from the prompt itself */
	float last[MODELS][VOCAB], mean[VOCAB];
	worst = 0;
	for (size_t k = 0; k < MODELS; k++) {
		struct lm_run *run = lm_run_new(model[k], 1, 40, 1);
		lm_run_prompt(run, 0, &prompt, &f);
		lm_run_last(run, 0, last[k]);
		lm_run_free(run);
	}
	struct lm_run *run = run_of(MODELS, 1);
	lm_run_prompt(run, 0, &prompt, &f);
	lm_run_last(run, 0, mean);
	for (size_t v = 0; v < VOCAB; v++) {
		double p = 0;
		for (size_t k = 0; k < MODELS; k++)
			p += exp((double)last[k][v]) / MODELS;
		worst = fmax(worst, fabs((double)mean[v] - log(p)));
	}
	claim(worst < 2e-5, "and so they do where a text goes on from the prompt: ln p differs by %.1e", worst);
	lm_run_free(run);
}

static void
check_texts(void)
{
	struct fault f;
	struct lm_options o[BESIDE];
	struct lm_prompt prompts[BESIDE];
	struct lm_text text[BESIDE];
	uint32_t token[TEXT + 1];
	double sum;

	for (size_t i = 0; i < BESIDE; i++) {
		lm_options_default(&o[i]);
		o[i].n_token = TEXT;
		o[i].first = BPE_BEGIN;
		o[i].place = 20;
		o[i].n_beam = i % 2 ? 1 : 4;
		prompts[i] = prompt;
		prompts[i].n -= i;
	}
	struct lm_run *run = run_of(2, 1), *beside = run_of(2, 2), *single = run_of(1, 1);
	int bad = lm_generate(run, prompts, o, 1, text, &f) < 0;
	size_t n = text[0].n;
	memcpy(token, text[0].token, n * sizeof *token);
	double log_p = text[0].log_p;
	token[n] = BPE_END;
	follow(2, NULL, 0, token, n + (size_t)text[0].ended, &sum);
	claim(!bad && n > 0 && fabs(sum - log_p) < 1e-4, "a text of beams has the mean's probability: %.5f, %.5f", log_p,
	    sum);
	bad = lm_generate(beside, prompts, o, BESIDE, text, &f) < 0;
	claim(!bad && text[0].n == n && memcmp(text[0].token, token, n * sizeof *token) == 0 && fabs(text[0].log_p - log_p) < 1e-12,
	    "which is what it is beside others, for any threads");
	bad = lm_generate(single, prompts, o, 1, text, &f) < 0;
	claim(!bad && (text[0].n != n || memcmp(text[0].token, token, n * sizeof *token) != 0), "and is not what the first writes alone");
	lm_run_free(run);
	lm_run_free(beside);
	lm_run_free(single);
}

int
main(void)
{
	make();
	check_steps();
	check_texts();
	for (size_t k = 0; k < MODELS; k++) {
		lm_free(model[k]);
		free(number[k]);
	}
	return claim_n_failed > 0;
}
