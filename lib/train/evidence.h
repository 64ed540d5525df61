/*
 * evidence.h - the constants of a belief, by the evidence of a log of rewards
 *
 *   model     of a user's n rewards r, with features F [n][dim] and c = what the query says of each, x.f:
 *             r ~ N(base_rate + query_mean c, F F' / lambda + query_var c c' + noise_var W^-1), W the weights that a
 *             half-life leaves, by a user's own count of events
 *   evidence  the sum over users of log N(r; ...). base_rate and query_mean have their best values in closed form, by
 *             generalised least squares; the others are sought one after the other by factors of 2, then of sqrt 2, until
 *             none helps
 *   source    Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), eqs 2.30, 2.43, 5.8; MacKay,
 *             Bayesian interpolation (1992)
 *   cost      O(n^3) of every user for each of some 100 settings; of each user the first 256 rewards
 */
#ifndef HARE_TRAIN_EVIDENCE_H
#define HARE_TRAIN_EVIDENCE_H

#include <stddef.h>

#include "base/fault.h"
#include "base/mem.h"

struct evidence_constants {
	double lambda, noise_var, base_rate, half_life;
	double query_mean, query_var;
};

struct evidence;
struct evidence *evidence_new(size_t dim);
void evidence_free(struct evidence *e);                 /* NULL is allowed */
/* f [dim]: features of what was shown; asked: x.f, 0 without a query. All is copied. */
void evidence_add(struct evidence *e, struct span user, const float *f, double asked, double reward);

struct evidence_report {
	size_t n_user, n_reward;
	double before, after;           /* mean log density of a reward, in nats */
};
/* c holds where to begin, and then the best. queries: 0 leaves query_mean and query_var as they are.
   0, or -1 with *f set (EX_DATAERR if there are fewer than 10 rewards, or all are the same). */
int evidence_fit(struct evidence *e, struct evidence_constants *c, int queries, int half_life, size_t n_thread,
    struct evidence_report *report, struct fault *f);
/* The evidence of constants as they are, for tests; NAN if the covariance is not positive definite. */
double evidence_of(const struct evidence *e, const struct evidence_constants *c);

#endif
