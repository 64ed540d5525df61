/* What is learnt of single rows: belief and recall together, against one Gaussian over all that was seen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "belief/belief.h"
#include "belief/recall.h"
#include "claim.h"
#include "mat/mat.h"

enum { ROWS = 6, DIM = 4, N = 60 };

struct seen {
	uint32_t row;
	float x[DIM];
	double reward;
};

static void
draw(struct rng *r, float *v, int unit)
{
	for (size_t d = 0; d < DIM; d++)
		v[d] = (float)rng_normal(r);
	if (unit)
		mat_normalise(v, DIM);
}

/* Covariance of the rewards of two rows for two queries, both of unit length: f'g / lambda + [own + asked x'y] */
static double
covariance(const float *f, const float *g, int same, const float *x, const float *y, double lambda, struct recall_prior p)
{
	return mat_dot64(f, g, DIM) / lambda + (same ? p.own + p.asked * mat_dot64(x, y, DIM) : 0);
}

static void
against_one_gaussian(void)
{
	const struct recall_prior prior = { .02, .07, .05 };
	const struct belief_prior taste = { .lambda = 10, .noise_var = .05, .base_rate = .1 };
	struct rng r = rng_at(31, 7);
	struct recall *recall = recall_new(DIM, ROWS, prior);
	struct belief *b = belief_new(DIM);
	struct belief_posterior *post = belief_posterior_new(DIM);
	float f[ROWS][DIM], query[DIM], wide[DIM];
	struct seen s[N];
	struct fault fault;
	double c[N * N], y[N], k[N], worst_mean = 0, worst_var = 0;

	for (size_t i = 0; i < ROWS; i++)
		draw(&r, f[i], 0);
	belief_take_as_marks(post);
	for (size_t n = 0; n <= N; n++) {
		/* foretold for every row, the last of which is never shown */
		for (size_t i = 0; i < n; i++)
			y[i] = s[i].reward - taste.base_rate;
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j <= i; j++)
				c[i * n + j] = covariance(f[s[i].row], f[s[j].row], s[i].row == s[j].row, s[i].x, s[j].x, taste.lambda, prior) +
				    (i == j ? prior.noise_var : 0);
		draw(&r, query, 1);
		for (size_t d = 0; d < DIM; d++)
			wide[d] = 3 * query[d];
		mat_cholesky64(c, n);
		mat_solve64(c, n, y, 1);
		belief_solve(post, b, &taste, &fault);
		recall_ask(recall, wide);
		for (uint32_t row = 0; row < ROWS; row++) {
			double mean = 0, scratch[N + DIM], plain = 0;
			for (size_t i = 0; i < n; i++) {
				k[i] = covariance(f[row], f[s[i].row], row == s[i].row, query, s[i].x, taste.lambda, prior);
				mean += k[i] * y[i];
			}
			mat_solve64(c, n, k, 0);
			double variance = covariance(f[row], f[row], 1, query, query, taste.lambda, prior) - mat_ddot64(k, k, n);
			struct recall_of of = recall_of(recall, row);
			for (size_t d = 0; d < DIM; d++)
				plain += belief_mean(post)[d] * (double)f[row][d];
			worst_mean = fmax(worst_mean, fabs(of.mean + of.share * plain - mean));
			worst_var = fmax(worst_var, fabs(of.variance + of.share * of.share * belief_variance(post, f[row], NULL, scratch) - variance));
		}
		if (n == N)
			break;
		s[n].row = (uint32_t)rng_below(&r, ROWS - 1);
		draw(&r, s[n].x, 1);
		s[n].reward = rng_uniform(&r) < .4;
		for (size_t d = 0; d < DIM; d++)
			wide[d] = .5f * s[n].x[d];
		struct recall_white w;
		recall_learn(recall, s[n].row, wide, s[n].reward - taste.base_rate, 0, &w);
		float g[DIM];
		for (size_t d = 0; d < DIM; d++)
			g[d] = (float)w.one * f[s[n].row][d];
		belief_learn(b, g, taste.base_rate + w.reward, (double)n, 0, &fault);
	}
	claim(worst_mean < 1e-5 && worst_var < 1e-5, "after each of %d rewards tastes and rows together foretell what one Gaussian over "
	    "all rewards does: mean within %.1e, variance within %.1e", N, worst_mean, worst_var);
	claim(recall_n(recall) == ROWS - 1 && recall_row(recall, 0) == s[0].row, "rows that were shown are known in the order of their first reward");
	recall_free(recall);
	belief_free(b);
	belief_posterior_free(post);
}

static void
by_query(void)
{
	struct recall *r = recall_new(2, 3, (struct recall_prior){ 0, 1, .1 });
	const float x[2] = { 1, 0 }, other[2] = { 0, 1 }, none[2] = { 0, 0 };
	struct recall_white w;

	recall_learn(r, 1, x, 1, .5, &w);
	claim(fabs(w.one - sqrt(.1 / 1.1)) < 1e-12 && fabs(w.reward - w.one) < 1e-12 && fabs(w.said - w.one / 2) < 1e-12,
	    "the first reward of a row counts for less, as part of it is the row's own");
	recall_ask(r, x);
	claim(fabs(recall_of(r, 1).mean - 1 / 1.1) < 1e-12, "a row that was wanted is foretold to be wanted for the same query");
	claim(recall_of(r, 0).mean == 0 && recall_of(r, 0).share == 1 && recall_of(r, 0).variance == 1, "another row is not");
	recall_ask(r, other);
	claim(recall_of(r, 1).mean == 0 && recall_of(r, 1).variance == 1, "nor the row itself for an unrelated query");
	recall_ask(r, none);
	claim(recall_of(r, 1).mean == 0 && recall_of(r, 1).variance == 0, "an empty query asks for nothing of a row's own");
	int n = 1;
	while (recall_learn(r, 1, x, 0, 0, &w) == 0)
		n++;
	recall_ask(r, x);
	claim(n == RECALL_ROW_MAX && recall_of(r, 1).mean < .02, "a row learns from its first %d rewards", RECALL_ROW_MAX);
	recall_free(r);
	recall_free(NULL);
}

int
main(void)
{
	against_one_gaussian();
	by_query();
	return claim_n_failed > 0;
}
