/*
 * fit.h - the language model learns: gradients by hand, AdamW, checkpoints
 *
 *   loss      - mean over target tokens of ln p_t (lm.h), in nats
 *   step      AdamW, Loshchilov and Hutter 2019, algorithm 2, decoupled decay on matrices; gradients clipped to a length of
 *             clip; rate warmed up linearly over n_warm steps, then a cosine to rate_end of it at n_step
 *   dropout   on rows after embedding, on what each part of a block adds, on h before the logits; masks by counter, so that
 *             they do not depend on threads
 *   order     the same data, options and seed give the same bytes, whatever the threads; a run that was stopped and goes on
 *             from its checkpoint gives the same bytes as one that was not
 *   cost      about 6 numbers(m) per row of arithmetic; memory 16 bytes a number and the activations of a batch
 */
#ifndef HARE_LM_FIT_H
#define HARE_LM_FIT_H

#include "lm/lm.h"

struct lm_example {                     /* borrowed */
	struct lm_prompt prompt;        /* n 0: text alone */
	const struct lm_row *row;       /* [n] the rows of the text: what is read ... */
	const uint32_t *target;         /* [n] ... and what each is to foretell; LM_NONE: nothing */
	size_t n;
};

struct lm_fit_options {
	double rate, rate_end;          /* of Adam; rate_end a share of it */
	double beta1, beta2, epsilon, decay, clip;
	size_t n_warm, n_step;
	double dropout;
	const uint8_t *frozen;          /* [n_part] of lm_parts(): 1 stays as it is; NULL: all move */
	uint64_t seed;
	size_t n_thread;
};
void lm_fit_defaults(struct lm_fit_options *o);

/* Trains the flat numbers of m (made by lm_new() on them). Borrows m and numbers. */
struct lm_fit *lm_fit_new(struct lm *m, float *numbers, const struct lm_fit_options *o);
void lm_fit_free(struct lm_fit *t);
void lm_fit_freeze(struct lm_fit *t, const uint8_t *frozen);    /* from here on */
/* One step on a batch, in n_part pieces whose gradients are summed (1: at once). Returns the batch's mean loss before the
   step; *n_target: how many tokens. *f and -1 (loss is never negative) if the loss is no number: nothing has moved. */
double lm_fit_step(struct lm_fit *t, const struct lm_example *batch, size_t n, size_t n_piece, size_t *n_target, struct fault *f);
/* Loss without dropout and without learning: sum over targets, *n_target their number. */
double lm_fit_loss(struct lm_fit *t, const struct lm_example *batch, size_t n, size_t *n_target);
/* The rate falls to its end at step n_step, from here on. */
void lm_fit_schedule(struct lm_fit *t, size_t n_step);
size_t lm_fit_done(const struct lm_fit *t);             /* steps so far */
/* Gradients of the batch's mean loss [lm_count()], no step: for tests. */
double lm_fit_gradient(struct lm_fit *t, const struct lm_example *batch, size_t n, float *gradient);

/* Everything needed to go on (numbers, moments, steps), and place: a note of the caller's of where the data stood. */
int lm_fit_save(const struct lm_fit *t, const char *path, const char *place, struct fault *f);
/* Into a fit of the same shape; the caller frees *place. */
int lm_fit_load(struct lm_fit *t, const char *path, char **place, struct fault *f);

#endif
