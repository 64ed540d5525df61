/*
 * recall.h - what one user's rewards of one row say of that row itself, asked for by a query like those it was shown for
 *
 *   model     a reward of row j, shown for the query x, is f_j'u + e_j(x) + noise beside what is expected of anything, with
 *             e_j(x) = a_j + w_j'x, a_j ~ N(0, own), w_j ~ N(0, asked I), noise ~ N(0, noise_var): a linear model of each
 *             row's own, beside the u that all rows share. Its covariance is own + asked x'x' within a row, 0 between rows
 *   so        own is what a row is worth whatever is asked; asked is what it is worth for queries near x. A row that was
 *             wanted for a query is foretold to be wanted for it again, one that was not is not
 *   whitened  with L L' = own 1 1' + asked X X' + noise_var I over the rewards of a row, c = L^-1 1, y = L^-1 r: a belief
 *             about u that learns c_i f_j and y_i, times sqrt(noise_var) both, is that of u with all e_j summed over. Each
 *             c_i and y_i depends on the rewards before it alone, so it is learnt once. With l = L^-1 k, k the covariances
 *             with what is asked, the row is foretold l'y + (1 - l'c) f_j'u, with the variance
 *             own + asked x'x - l'l beside (1 - l'c)^2 f_j' cov f_j. What is whitened is no grade: belief_take_as_marks()
 *   source    Li, Chu, Langford and Schapire (2010), Algorithm 2; Rasmussen and Williams, Gaussian Processes for Machine
 *             Learning (2006), eqs 2.25, 2.26, 2.41, 2.42
 *   cost      O(k dim + k^2) to learn the k-th reward of a row, O(n dim) to ask for a query after n rewards, O(k^2) for a row
 */
#ifndef HARE_BELIEF_RECALL_H
#define HARE_BELIEF_RECALL_H

#include <stddef.h>
#include <stdint.h>

enum { RECALL_ROW_MAX = 128 };          /* rewards of a row that are learnt, the first so many */

struct recall_prior {
	double own, asked;              /* variances, 0 or more */
	double noise_var;               /* > 0 */
};

struct recall;
struct recall *recall_new(size_t dim, size_t n_row, struct recall_prior prior); /* end with recall_free() */
void recall_free(struct recall *r);     /* NULL is allowed */
/* A reward, less what is expected of anything, of row with x'f_j = said; x [dim], of any length, counts as of length 1. white becomes what a belief
   learns in its place. Returns 0, or -1 when the row has RECALL_ROW_MAX: then nothing is learnt. */
struct recall_white {
	double one, reward, said;       /* what f_j is multiplied by; y_i; whitened x'f_j: times sqrt(noise_var) all */
};
int recall_learn(struct recall *r, uint32_t row, const float *x, double reward, double said, struct recall_white *white);
/* The rows that were learnt of, in the order of their first reward. */
size_t recall_n(const struct recall *r);
uint32_t recall_row(const struct recall *r, size_t i);
/* The query that recall_of() is about. */
void recall_ask(struct recall *r, const float *x);
/* Of a row never learnt of: 1, 0, own + asked x'x. */
struct recall_of {
	double share;                   /* of f_j'u that counts, 1 - l'c */
	double mean;                    /* l'y */
	double variance;                /* own + asked x'x - l'l */
};
struct recall_of recall_of(struct recall *r, uint32_t row);

#endif
