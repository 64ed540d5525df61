/*
 * run.h - the language model at work: a cache of keys and values, next-token probabilities, and texts from them
 *
 *   cost      a step reads every weight once for all sequences it advances: for one sequence, the bytes of the weights
 *             divided by the machine's bandwidth
 *   order     what a sequence gets does not depend, to the last bit, on the others in its batch, nor on threads
 */
#ifndef HARE_LM_RUN_H
#define HARE_LM_RUN_H

#include "base/mem.h"
#include "base/rng.h"
#include "lm/lm.h"

/* Room for n_slot sequences of at most n_row rows each, prefix and prompt counted. Borrows m. */
struct lm_run;
struct lm_run *lm_run_new(const struct lm *m, size_t n_slot, size_t n_row, size_t n_thread);
void lm_run_free(struct lm_run *r);     /* NULL is allowed */
/* One more model, borrowed, that reads all that r reads from here on: log_p of a step is then the mean of what each model says,
   p = (p_1 + ... + p_n) / n. Lengths of prefixes, sizes and kinds may differ; vocabularies are the same, prompts fit all:
   compose_open_beside() sees to it. To be called before anything is read. */
void lm_run_add(struct lm_run *r, const struct lm *m);
/* Reads prefix and prompt into slot, in place of what was there. -1 with *f set (EX_DATAERR): it does not fit, or a token,
   place or source is beyond the model's. */
int lm_run_prompt(struct lm_run *r, size_t slot, const struct lm_prompt *p, struct fault *f);
/* Advances n sequences by one row each: row[i] is appended to slot[i] (all different), log_p [n][n_vocab] becomes the log
   probability of the token that follows (copy head mixed in). A slot is full: -1 with *f set. */
int lm_run_step(struct lm_run *r, const size_t *slot, const struct lm_row *row, size_t n, float *log_p, struct fault *f);
/* slot to becomes what slot from is; the prompt is shared, not copied. */
void lm_run_copy(struct lm_run *r, size_t to, size_t from);
/* Logits before any copy head of the last row of the prompt, for models that go on from a prompt (GPT-2): log
   probabilities [n_vocab]. */
void lm_run_last(struct lm_run *r, size_t slot, float *log_p);

struct lm_options {                     /* of one text */
	size_t n_token;                 /* at most */
	size_t n_token_min;             /* no end before */
	size_t n_beam;                  /* > 1: beam search, nothing is drawn */
	double length_power;            /* of beams: log p / n^power */
	size_t n_best;                  /* texts that are returned, of the beams that ended; 1 unless there are beams */
	size_t n_consensus;             /* > 0: beams go on until so many texts have ended; the first of the best is then that whose
	                                   words, and their order, agree best with the others', each weighing exp(log p / n^power) */
	double temperature;             /* 0: greedy */
	size_t top_k;                   /* 0: all */
	double top_p;                   /* 1: all */
	double repetition;              /* penalty of Keskar et al. 2019; 1: none */
	size_t no_repeat;               /* no n tokens twice; 0: off */
	uint64_t seed, stream;
	const uint8_t *allowed;         /* [n_vocab], 0: this token is never written, unless copied; NULL: all are */
	struct span *stop;              /* [n_stop] texts that end it, and are cut off */
	size_t n_stop;
	uint32_t first;                 /* the token that begins the text (row after the prompt); LM_NONE: it goes on from the
	                                   prompt's last row */
	uint32_t end;                   /* the token that ends it */
	uint32_t place, source;         /* of the first row; places count on */
};
void lm_options_default(struct lm_options *o);

struct lm_text {
	uint32_t *token;                /* [n], borrowed until the next lm_generate() of this run */
	size_t n;
	double log_p;                   /* sum, of what was chosen */
	int ended;                      /* by end or stop, else it was cut at n_token */
};
/* Texts for n prompts with their options; uses slots of r as it needs, several sequences at once, and a text that is finished
   makes room for the next. out [sum of n_best]: those of a prompt best first, and where fewer beams ended n = 0 and log_p
   -INFINITY. Prompts that stand in the same memory one after the other are read once where they begin together. */
int lm_generate(struct lm_run *r, const struct lm_prompt *prompt, const struct lm_options *o, size_t n, struct lm_text *out,
    struct fault *f);

#endif
