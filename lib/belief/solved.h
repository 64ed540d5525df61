/*
 * solved.h - inside lib/belief: what belief_solve() keeps, as posterior.c derives it
 */
#ifndef HARE_BELIEF_SOLVED_H
#define HARE_BELIEF_SOLVED_H

#include "belief/store.h"

struct belief_posterior {
	size_t dim, n;          /* n = 0: nothing known, or sums */
	size_t n_plain;         /* numbers of f that are not stretched: dim, or dim - 1 */
	int is_sums;
	int marks_only;
	double lambda;
	double noise_var, base_rate;    /* as these rewards have them */
	double stretch, square; /* s, s^2 */
	float *f;               /* [n][dim] */
	double *scale;          /* [n], sqrt(w / noise_var) */
	double *g;              /* [n][dim], rows of G: f scaled */
	double *l;              /* [n][n] or [dim][dim] */
	double *mean;           /* [dim] */
	size_t n_cap, l_cap;
};

/* How much the rewards are marks, of 0 and 1: from 1 for marks alone to 0 for grades that are all the same. */
double belief_share_marks(const struct belief *b, const struct belief_prior *prior);

/* What of a reward is left to be explained. */
static inline double
belief_residual(struct observation o, size_t dim, double base_rate, const struct belief_prior *prior)
{
	double rest = o.reward - base_rate;

	return prior->has_query && !belief_is_apart(prior) ? rest - prior->query_mean * o.f[dim - 1] : rest;
}

#endif
