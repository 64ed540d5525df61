/*
 * writer.h - a DECODER at work for a person of whom some rows are known
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
	struct compose_limits limits;
	struct model *model;            /* that it was trained with: its space is that of the DECODER, its vectors are made here */
	struct embed *embed;
};
/* model_path: the MODEL of a DECODER that holds none, NULL: there is none. 0, or -1 with *f set; to be ended by
   eval_decoder_close() in either case. */
int eval_decoder_open(struct eval_decoder *d, const char *path, const char *model_path, struct fault *f);
void eval_decoder_close(struct eval_decoder *d);        /* {0} is allowed */
/* Rows that a run (lm_run_new()) needs for a prompt and its text. */
size_t eval_decoder_n_row(const struct eval_decoder *d);

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
