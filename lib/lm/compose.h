/*
 * compose.h - a question and attended items become the rows that the language model reads, and its text becomes words again
 *
 *   layout    question (source 1, at most n_question tokens), then items by weight (sources 2, 3, ...; at most n_item of them,
 *             n_item_token tokens each, ended by BPE_ITEM); places count from 0 in each part; log_weight is the ln of the
 *             item's weight over that of all items given, 0 for the question. The text begins with BPE_BEGIN (source 0, place
 *             COMPOSE_TEXT_PLACE on) and ends with BPE_END
 *   begin     what begins a part has BPE_BEGIN before it, as the first token of a text has: the copy head then may go on from
 *             there
 *   GPT-2     a model without sources gets one plain text: items, then question, places counting on, and goes on from there
 */
#ifndef HARE_LM_COMPOSE_H
#define HARE_LM_COMPOSE_H

#include "lm/fit.h"
#include "lm/lm.h"
#include "lm/run.h"

enum { COMPOSE_TEXT_PLACE = 128 };

struct compose_limits {                 /* stored in a DECODER's metadata as n_question, n_item, n_item_token, n_text */
	size_t n_question, n_item, n_item_token;
	size_t n_text;                  /* tokens of a text, begin and end counted */
};
void compose_defaults(struct compose_limits *l);        /* 96, 4, 24, 28 */
int compose_read_limits(struct compose_limits *l, const struct lm *m, struct fault *f);

/* Opens a DECODER that is to write together with first (lm_run_add()), whose limits are l: NULL with *f set if it is not of the
   same vocabulary, space, limits and numbers given, or has fewer places. */
struct lm *compose_open_beside(const char *path, const struct lm *first, const struct compose_limits *l, struct fault *f);

struct compose_item {
	struct span text;
	double weight;                  /* >= 0 */
};
struct compose {                        /* scratch and result; {0} to begin */
	struct lm_row *row;             /* [n]: the prompt */
	size_t n, n_cap;
	struct bpe_tokens tokens;
	struct buf text;
	size_t n_cut;                   /* tokens of the question that did not fit */
	size_t n_left_out;              /* items that did not */
};
void compose_free(struct compose *c);
/* items heaviest first. */
void compose_prompt(struct compose *c, const struct lm *m, const struct compose_limits *l, struct span question,
    const struct compose_item *item, size_t n_item);
/* The rows [*n] and targets of a text to learn, cut at n_text: row and target have room for n_text. Without sources the
   prompt's last row becomes the first of the text. */
void compose_text(struct compose *c, const struct lm *m, const struct compose_limits *l, struct span text, struct lm_row *row,
    uint32_t *target, size_t *n);
/* How a text begins, where and with what, for lm_generate(). A model without sources goes on from its prompt: place is then
   to be set to the number of its rows. */
void compose_options(const struct lm *m, const struct compose_limits *l, struct lm_options *o);
/* Appends tokens as UTF-8: broken characters and control characters (but tab and line end) are left out, blanks around
   trimmed. */
void compose_words(const struct lm *m, const uint32_t *token, size_t n, struct buf *out);

#endif
