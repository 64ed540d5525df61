#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "belief/solved.h"
#include "mat/mat.h"

/*
 * With c, G and M = L L' of posterior.c, c ~ N(0, M / lambda), and so
 *	-2 log N(c) = lambda |L^-1 c|^2 + log det M - n log lambda + n log 2 pi
 * or from sums, M / lambda being I + G G' / lambda and Lambda = L L' = lambda I + G'G,
 *	-2 log N(c) = c'c - |L^-1 G'c|^2 + log det Lambda - dim log lambda + n log 2 pi
 * A reward is c sqrt(noise_var / w): -n/2 log noise_var beside it.
 */
static double
log_det(const double *l, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += 2 * log(l[i * n + i]);
	return sum;
}

static double
of_observations(const struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior)
{
	size_t n = p->n;
	double *c = xmalloc(n + 1, sizeof *c);

	for (size_t i = 0; i < n; i++)
		c[i] = belief_residual(belief_at(b, i), p->dim, p->base_rate, prior) * p->scale[i];
	mat_solve64(p->l, n, c, 0);
	double twice = p->lambda * mat_ddot64(c, c, n) + log_det(p->l, n) - (double)n * log(p->lambda);
	free(c);
	return twice;
}

static double
of_sums(const struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior)
{
	size_t dim = p->dim;
	int is_heard = prior->has_query && !belief_is_apart(prior);
	const double *linear = b->sum + 3, *target = linear + dim, *packed = target + dim, *said = packed + packed_size(dim - 1);
	double base = p->base_rate, w = is_heard ? prior->query_mean : 0, *c = xmalloc(dim, sizeof *c);
	/* sum of w (r - base - query_mean q)^2 */
	double square = b->sum[2] - 2 * base * b->sum[1] + base * base * b->sum[0];

	if (is_heard)
		square += w * (w * said[dim - 1] - 2 * (target[dim - 1] - base * linear[dim - 1]));
	for (size_t i = 0; i < dim; i++)
		c[i] = (i < p->n_plain ? 1 : p->stretch) * (target[i] - base * linear[i] - w * said[i]) / p->noise_var;
	mat_solve64(p->l, dim, c, 0);
	double twice = square / p->noise_var - mat_ddot64(c, c, dim) + log_det(p->l, dim) - (double)dim * log(p->lambda);
	free(c);
	return twice;
}

double
belief_log_evidence(const struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior)
{
	assert(p->dim == b->dim && p->lambda == prior->lambda && (p->is_sums || p->n == b->n));
	double twice = (p->is_sums ? of_sums : of_observations)(p, b, prior), all = p->is_sums ? b->sum[0] : 0;

	for (size_t i = 0; !p->is_sums && i < p->n; i++)
		all += p->scale[i] * p->scale[i] * p->noise_var;
	return -.5 * (twice + all * log(2 * 3.14159265358979323846 * p->noise_var));
}
