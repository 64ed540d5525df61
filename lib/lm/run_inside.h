/*
 * run_inside.h - what the files of lm/run.h and lm/lm.h share; not for other rooms
 */
#ifndef HARE_LM_RUN_INSIDE_H
#define HARE_LM_RUN_INSIDE_H

#include "lm/lm.h"
#include "lm/run.h"

struct lm_work {                        /* scratch of products, kept between them; {.n_thread} begins one */
	size_t n_thread;
	float *part;                    /* [n_part] */
	int16_t *whole;                 /* [n_whole] rows in whole numbers, times scale [n_scale] */
	float *scale;
	size_t n_part, n_whole, n_scale;
};
void lm_work_free(struct lm_work *w);
/* y [n][n_out] = x [n][n_in] W + b, or y += that, or y = gelu(that). Each of LM_FEW rows or fewer gets the bits that it gets
   alone; more get those of sgemm. */
enum { LM_FEW = 32 };
enum lm_after { LM_SET, LM_ADD, LM_GELU };
void lm_apply(const struct lm_affine *a, const float *x, size_t n, enum lm_after after, float *y, struct lm_work *work);
/* y [n][n_vocab] = x [n][dim] wte'. */
void lm_logits(const struct lm *m, const float *x, size_t n, float *y, struct lm_work *work);
/* The row of wte of a token [dim], put into out. */
void lm_token_row(const struct lm *m, uint32_t token, float *out);
/* score [n] = q . k_j, and y += sum_j p [j] v_j, of a head of size numbers; rows of k and v are stride apart. */
void lm_head_scores(const float *q, const float *k, size_t n, size_t stride, size_t size, float *score);
void lm_head_mix(const float *p, const float *v, size_t n, size_t stride, size_t size, float *y);

/* Minimum Bayes risk among texts [n]: which of them has the highest sum over all of exp(worth_j) F_ij, F_ij the mean of two
   harmonic means, of the shares of their words that texts i and j have in common, and have in common in the same order (the F of
   ROUGE-1 and ROUGE-L). Ties go to the higher worth. bpe NULL: tokens are words. O(n^2 words^2). Kumar and Byrne 2004, Minimum
   Bayes-risk decoding, eq 3; Lin 2004, ROUGE, eqs 2 to 4. */
size_t lm_consensus(const struct bpe *bpe, const struct lm_text *text, const double *worth, size_t n);

size_t lm_run_slots(const struct lm_run *r);
const struct lm *lm_run_model(const struct lm_run *r);
/* Frees the texts of before; room [n] for those to come, which are freed in turn. */
uint32_t **lm_run_texts(struct lm_run *r, size_t n);

#endif
