/*
 * train.h - what the logs of other users teach: what queries mean, what items are, what people are like
 *
 *   model     P(item j | query k, user a) = softmax_j (z_k + u_a)'v_j,  v_j = s x_j M + e_j,  z_k = s x_k W + c_k
 *             x: unit vectors of the embedding; M, W: maps, begun at I and held to it; e_j, c_k: what the log says of this
 *             very item, this very query, beyond their texts, held to 0; u_a: the users of the log, held to 0; s = 4
 *   loss      - sum of weight log P of the items that were clicked, over a softmax of all items that were clicked and of
 *             others drawn by seed; weight = reward / propensity where the log has propensities (Horvitz and Thompson
 *             1952), cut at 10 times their mean
 *   source    attention: Vaswani et al. 2017, eq 1. Items of text and log: Wang and Blei, Collaborative Topic Modeling
 *             (2011), eq 7. Optimiser: Kingma and Ba, Adam (2015), algorithm 1, with analytic gradients
 *   prior     C = cov(u_a) + spread tr(cov) / dim I, C = L L'. In the trained space items are f = L'v / R beside
 *             sqrt(1 - |f|^2), so of unit length, R the greatest |L'v|; queries are x = slope R L^-1 z beside 0. Then a new
 *             user is N(0, I / lambda), lambda = 1 / (slope R)^2, as in the untrained space, and logits are
 *             beta g (x / g + ubar).f, beta = 1 / (g slope): what learned the population needs no code of its own later.
 *             spread leaves room for people unlike any in the log
 *   plain     with a share W above 0 a vector holds the plain one too, x and f being those of above and x0, f0 those of the
 *             embedding, g0 the gain of its MODEL: items [sqrt(1 - W) f ; sqrt(W) f0], still of unit length, queries
 *             [sqrt(1 - W) x ; sqrt(W) (g / g0) x0]. Then lambda = 5, and tastes are a sum of two Gaussian processes, in what was
 *             learnt and in texts alone (Rasmussen and Williams 2006, section 4.2.4): the rewards of a user unlike any of the
 *             log move the second
 *   slope     what one unit of a logit is in reward, .15: the slope of a logistic curve where rewards are rare
 *   held out  every tenth user, and a whole cluster of users of other interests: neither trains the first fit. The
 *             number of rounds, the spread, the gain and, if it is asked for, W (of 0 to .75) are those under which the next clicks of held-out users, each
 *             foretold from those before, are most probable; the last fit takes in everybody
 *   order     the same log, options and seed give the same bytes, whatever the threads
 *   cost      a round is 6 n_click n_candidate dim products; memory 4 (512 + 6 dim) n_candidate bytes and 24 dim bytes
 *             a user and query
 */
#ifndef HARE_TRAIN_TRAIN_H
#define HARE_TRAIN_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "model/model.h"

struct train_options {
	size_t n_round_max;     /* passes over the log; 0: as many as make 320 steps of Adam, 8 to 160 */
	size_t n_candidate;     /* items in a softmax, beside those clicked */
	double ridge;           /* precision of e, c and u about 0, per number */
	double spread, gain;    /* NAN: by what is held out */
	double plain;           /* W, at least 0, below 1; 0: there is no plain part; NAN: by what is held out */
	/* What may be learnt; each may be 0. */
	int item_map, query_map;        /* M, W: else I */
	int items, queries;             /* e, c: else 0 */
	int users;                      /* u: else 0, and the covariance of users is the identity */
	uint64_t seed;
	size_t n_thread;
	void (*tell)(const char *line, void *arg);      /* progress; NULL: none */
	void *tell_arg;
};
void train_defaults(struct train_options *o);

/* Clicks as they are read; all is copied. */
struct train_log;
struct train_log *train_log_new(size_t dim);
void train_log_free(struct train_log *l);               /* NULL is allowed */
/* x [dim]: the query; item: row of the pool; weight > 0. */
void train_log_add(struct train_log *l, struct span user, const float *x, size_t item, double weight);
size_t train_log_n(const struct train_log *l);

struct train_report {
	size_t n_click, n_user, n_query, n_item, n_candidate;
	size_t n_held_out, n_stranger;  /* users */
	size_t n_round;                 /* that the last fit took */
	double spread, gain, plain;
	/* mean log probability of a next click, in nats: of held-out users and of strangers, untrained and trained */
	double before, after, stranger_before, stranger_after;
	size_t dim;
};
/* Fits and writes a MODEL beside base at path. rows [n_row][dim]: the pool's vectors, of base's space.
   0, or -1 with *f set (EX_DATAERR if the log has fewer than two users or ten clicks). */
int train_attention(const struct model *base, const float *rows, size_t n_row, struct train_log *log,
    const struct train_options *o, const char *path, struct train_report *report, struct fault *f);

/* A copy of base with the constants of m, which has all else from base: of the same space. 0, or -1 with *f set. */
int train_write_constants(const struct model *base, const struct model *m, const char *path, struct fault *f);

#endif
