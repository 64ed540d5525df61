/*
 * pairs.h - what a decoder learns from: pairs of input and output, and what HARE would find for each input
 *
 *   person    of a row of user a: other rows of a, drawn, none of which nearly repeats it. u is the mean of a belief that was
 *             rewarded with 1 for each of them (belief.h, the MODEL's prior); A and z are attention (attend.h) of the input's
 *             vector and u over them, beta by their number and spread unless the MODEL has one
 *   nobody    rows without users: u = 0, A and z over the N_NEAR rows of all that attention finds best, without the row itself
 *             and those that nearly repeat it
 *   repeats   the sets of words of both outputs, or of both inputs, share more than overlap of what they hold together
 *             (Jaccard)
 *   example   question: the input; items: the outputs of the rows by A; given [z ; u]; text: the output. A share alone of the
 *             examples has no items, z = u = 0
 *   order     an example depends on the pairs, the options, its row and its draw's number alone
 */
#ifndef HARE_TRAIN_PAIRS_H
#define HARE_TRAIN_PAIRS_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "embed/embed.h"
#include "lm/compose.h"
#include "lm/fit.h"
#include "model/model.h"

/* -- what attention and a belief make of a person's rows -- */

struct pairs_seen {
	size_t row;                     /* of those given */
	double weight;                  /* A */
};
struct pairs_look;                      /* scratch, one for each thread */
struct pairs_look *pairs_look_new(const struct model *m, size_t n_row_max);
void pairs_look_free(struct pairs_look *l);     /* NULL is allowed */
/* x [dim] of the input as a query, row [n] vectors [dim] of items, n at most n_row_max: given [2 dim] becomes [z ; u], seen [n]
   the rows, heaviest first. Without rows all of given is 0. O(n^2 dim + n^3). */
int pairs_look(struct pairs_look *l, const float *x, const float *const *row, size_t n, float *given, struct pairs_seen *seen,
    struct fault *f);

/* -- pairs -- */

struct pairs_options {
	size_t n_profile;               /* rows of a person, at most */
	double overlap, alone;
	uint64_t seed;
	size_t n_thread;
};
void pairs_defaults(struct pairs_options *o);   /* 40, .8, .3, 0, 1 */

struct pairs;
struct pairs *pairs_new(const struct model *m, const struct pairs_options *o);
void pairs_free(struct pairs *p);       /* NULL is allowed */
/* user: at = NULL for none; all rows have one, or none has (assert). */
void pairs_add(struct pairs *p, struct span input, struct span output, struct span user);
/* After the last row. item: vectors [n][dim] of the rows as items, copied; NULL: those of "output\ninput" by the MODEL.
   -1 with *f set: the MODEL's vectors come from a server, or too few rows. */
int pairs_end(struct pairs *p, struct embed *e, const float *item, struct fault *f);
size_t pairs_n(const struct pairs *p);
size_t pairs_n_user(const struct pairs *p);     /* 0: they have none */
struct span pairs_input(const struct pairs *p, size_t row);
struct span pairs_output(const struct pairs *p, size_t row);
/* held [n] becomes 1 for the rows of about share of the users (and share of the rows, at most), drawn by seed; where no user
   is so small, or there are none, for about share of the rows, and *by_row 1. Returns how many. */
size_t pairs_hold_out(const struct pairs *p, double share, uint8_t *held, int *by_row);
/* Rows with use[row] = 0 are no items of others from here on. NULL: all are. Borrowed. */
void pairs_use(struct pairs *p, const uint8_t *use);

struct pairs_example {                  /* {0} to begin; the memory stays from one use to the next */
	struct lm_example example;      /* borrows from what is below */
	float *given;
	struct lm_row *prompt, *row;
	uint32_t *target;
	size_t n_prompt_cap, n_row_cap, n_given;
	size_t n_cut;                   /* tokens of the question that did not fit */
};
void pairs_example_free(struct pairs_example *e);
/* Examples of rows row[n], number of the draw stream[n]; never alone if together. */
int pairs_examples(struct pairs *p, const struct lm *m, const struct compose_limits *l, const size_t *row,
    const uint64_t *stream, size_t n, int together, struct pairs_example *out, struct fault *f);

/* -- the order of a training -- */

struct course_options {
	size_t n_row;                   /* of a batch, on average: prefixes, prompts and texts counted */
	uint64_t seed;
};
/* All rows with use[row] in an order drawn for each epoch; some hundred together are made ready, sorted by length, cut into
   batches of as many examples, and these shuffled. Borrows p, m, l. */
struct course;
struct course *course_new(struct pairs *p, const struct lm *m, const struct compose_limits *l, const uint8_t *use,
    const struct course_options *o);
void course_free(struct course *c);     /* NULL is allowed */
/* The next batch [*n], borrowed until the next call. */
int course_next(struct course *c, const struct lm_example **example, size_t *n, struct fault *f);
double course_epoch(const struct course *c);    /* how often all rows were seen */
/* Where the course stands, as text, and back: -1 if it is none of such a course. */
void course_place(const struct course *c, struct buf *out);
int course_go(struct course *c, const char *place);
size_t course_n_cut(const struct course *c);    /* examples so far whose question was cut */

#endif
