/*
 * writer.h - a DECODER, or several together, at work for a person of whom some rows are known
 *
 *   reads     the question, the titles of the rows that attention finds for it, heaviest first, and, where the DECODER has a
 *             prefix, [z ; u] (pairs.h): what it was taught with
 *   threads   a DECODER may be used from several threads at once; a prompt, a look and a run are one thread's
 */
#ifndef HARE_EVAL_WRITER_H
#define HARE_EVAL_WRITER_H

#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"
#include "embed/embed.h"
#include "lm/compose.h"
#include "lm/run.h"
#include "model/model.h"
#include "train/pairs.h"

struct eval_decoder {
	struct lm *lm;                  /* has a vocabulary */
	struct lm **beside;             /* [n_beside] that write together with it */
	size_t n_beside;
	struct compose_limits limits;
	struct model *model;            /* that it was trained with: its space is that of the DECODER, its vectors are made here */
	struct embed *embed;
};
/* path [n]: more than one write together (lm_run_add()). model_path: the MODEL of a first DECODER that holds none, NULL: there is
   none. 0, or -1 with *f set; to be ended by
   eval_decoder_close() in either case. */
int eval_decoder_open(struct eval_decoder *d, const char *const *path, size_t n, const char *model_path, struct fault *f);
void eval_decoder_close(struct eval_decoder *d);        /* {0} is allowed */
/* For n_slot prompts and texts at once; the caller ends it with lm_run_free(). */
struct lm_run *eval_decoder_run(const struct eval_decoder *d, size_t n_slot);

struct eval_prompt {                    /* {0} to begin; the memory stays from one use to the next */
	struct lm_prompt prompt;        /* borrows from what is below */
	struct pairs_seen *seen;        /* [n], heaviest first */
	size_t n, n_seen_cap, n_item_cap;
	struct compose_item *item;
	struct compose compose;         /* n_cut: tokens of the question that did not fit */
	float *given;                   /* [2 dim] */
};
/* x [dim]: the question as a query; row [n] vectors and title [n] of the person's rows. 0, or -1 with *f set. */
int eval_prompt_make(struct eval_prompt *p, const struct eval_decoder *d, struct pairs_look *look, struct span question,
    const float *x, const float *const *row, const struct span *title, size_t n, struct fault *f);
/* How the text behind it begins and ends; two tokens at least, the likeliest each time. */
void eval_prompt_options(const struct eval_prompt *p, const struct eval_decoder *d, struct lm_options *o);
void eval_prompt_free(struct eval_prompt *p);

#endif
