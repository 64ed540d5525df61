/*
 * slate.h - rows to be shown together: each is the best bet if none of those before it is rewarded
 *
 *   model     row j is expected to earn rest_j + base_rate + mean_j, of which mean is what a belief foretells, with
 *             covariance cov between rows, and rest is known; a reward has noise_var beside it
 *   rule      the next row has the highest rest_j + mean_j + explore sqrt(cov_jj), once mean and cov are those after all
 *             rows before it earned 0. So what is shown together differs where the belief is unsure, and does not where
 *             it is sure
 *   source    upper confidence bounds: Auer, Using confidence bounds for exploitation-exploration trade-offs (2002).
 *             Conditioning on failure: Chen and Karger, Less is more: probabilistic models for retrieving fewer relevant
 *             documents (SIGIR 2006), with the Gaussian of Bishop (2006), eqs 2.81, 2.82
 *   cost      O(n n_pick) beside n_pick rank-one steps of O(n^2)
 */
#ifndef HARE_BELIEF_SLATE_H
#define HARE_BELIEF_SLATE_H

#include <stddef.h>

struct belief_slate {
	size_t n;
	const double *rest;             /* [n]; NULL: 0 */
	double *mean;                   /* [n], changed */
	double *cov;                    /* [n][n], changed */
	double base_rate, noise_var;    /* noise_var > 0 */
	double explore;                 /* standard deviations added to a mean; 0 or more */
	const unsigned char *is_old;    /* [n]: 1 for rows that the last n_fresh picks may not be; NULL: none */
	size_t n_fresh;
};
/* Up to n_pick different rows, in the order of picking; of equals the lower. Returns how many: fewer where n is, or where
   only old rows are left for the fresh places. */
size_t belief_slate(struct belief_slate *s, size_t n_pick, size_t *pick);

#endif
