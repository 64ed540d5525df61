/*
 * decode.h - from attended items to words: a text blended from their sentences, or a prompt for a language model
 *
 *   blend    sentences are taken one by one: maximal marginal relevance, argmax .7 rel(s) - .3 max over taken t of
 *            cos(s, t), with rel(s) = (a_j / (words taken from j + 12)) relative to the best item's, times what s says
 *            (place in its text, nearness to the query and to all candidates, cosines of tf-idf over the candidates).
 *            Dividing by what an item has had already is Sainte-Lague's rule: words fall to items in proportion to
 *            attention, so that a flat attention draws on many items and a sharp one on few. A sentence nearer than .6
 *            to one taken says nothing new; one that leans on its predecessor (It, This, They, ...) follows it or stays
 *            out; a list stays whole and in order
 *   source   Carbonell and Goldstein, The Use of MMR, Diversity-Based Reranking (SIGIR 1998)
 *   tokens   of a prompt are estimated as its bytes / 4, rounded up
 *   order    the same items and texts give the same bytes; nothing is drawn
 */
#ifndef HARE_DECODE_DECODE_H
#define HARE_DECODE_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "pool/pool.h"

/* Which columns of a pool are read. */
struct decode_columns {
	size_t title;                   /* SIZE_MAX: the id stands for it */
	size_t *text;                   /* [n_text], in this order; free with decode_columns_free() */
	size_t n_text;
};
/* title, texts (split by commas): names, or NULL for the defaults: "title", else "name"; "text", else "description" and
   "instructions" (those that are there), else all but those that usually hold names and labels, else all.
   -1 with *f set (EX_USAGE): no such column, those of the pool are listed. */
int decode_columns(struct decode_columns *c, const struct pool *p, const char *title, const char *texts, struct fault *f);
void decode_columns_free(struct decode_columns *c);

struct decode_item {                    /* an attended item */
	size_t row;                     /* in the pool */
	double weight;                  /* >= 0; need not sum to 1 */
};

/* Scratch, one for a thread; borrows pool and columns. */
struct decode;
struct decode *decode_new(struct pool *p, const struct decode_columns *c);
void decode_free(struct decode *d);     /* NULL is allowed */

/* Appends a new text of at most about n_word words (a first sentence that is longer comes whole) to *out; nothing if the
   items have no text. An item's sentences are one line, behind its title where the first of them does not tell what it is
   about. sources: behind its title always, and " [id]" behind each sentence. query may be empty; items need not be
   sorted. -1 with *f set if a text is damaged.
   cost: linear in the words of the heaviest items (at most 24, of at most 4 KiB a column). */
int decode_blend(struct decode *d, struct span query, const struct decode_item *items, size_t n_item, size_t n_word,
    int sources, struct buf *out, struct fault *f);

/* What a mean belief [dim of the pool] over n_event rewards says in plain words: the titles of the items it leans to and
   away from most, and how much is still unknown. n_event 0: that nothing is known (mean may be NULL).
   cost: one pass over the pool, O(N d). */
int decode_person(struct decode *d, const double *mean, uint64_t n_event, double share_unknown, struct buf *out, struct fault *f);

struct decode_prompt {
	const char *template_text;      /* with {query}, {user}, {items}; NULL: as the manual page shows it */
	struct span query;
	struct span person;             /* from decode_person(); at = NULL: the default template leaves it out */
	size_t budget_token;
};
/* Appends the prompt; no items (n_item 0) is a prompt without pool: the query alone. Items come by weight, the lightest
   are left out and long texts end early, at a sentence, so that the whole stays within the budget.
   -1 with *f set (EX_DATAERR): query and person alone are over the budget, or a text is damaged. */
int decode_prompt(struct decode *d, const struct decode_prompt *p, const struct decode_item *items, size_t n_item,
    struct buf *out, struct fault *f);

#endif
