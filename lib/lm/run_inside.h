/*
 * run_inside.h - what the files of lm/run.h and lm/lm.h share; not for other rooms
 */
#ifndef HARE_LM_RUN_INSIDE_H
#define HARE_LM_RUN_INSIDE_H

#include "lm/lm.h"
#include "lm/run.h"

/* y [n][n_out] = x [n][n_in] W + b. */
void lm_apply(const struct lm_affine *a, const float *x, size_t n, float *y, size_t n_thread);
/* y [n][n_vocab] = x [n][dim] wte'. */
void lm_logits(const struct lm *m, const float *x, size_t n, float *y, size_t n_thread);
/* The row of wte of a token [dim], put into out. */
void lm_token_row(const struct lm *m, uint32_t token, float *out);

/* Minimum Bayes risk among texts [n]: which of them has the highest sum over all of exp(worth_j) F_ij, F_ij the harmonic mean
   of the shares of their words that texts i and j have in common (ROUGE-1's F). Ties go to the higher worth. bpe NULL: tokens
   are words. O(n^2 words). Kumar and Byrne 2004, Minimum Bayes-risk decoding, eq 3. */
size_t lm_consensus(const struct bpe *bpe, const struct lm_text *text, const double *worth, size_t n);

size_t lm_run_slots(const struct lm_run *r);
const struct lm *lm_run_model(const struct lm_run *r);
/* Frees the texts of before; room [n] for those to come, which are freed in turn. */
uint32_t **lm_run_texts(struct lm_run *r, size_t n);

#endif
