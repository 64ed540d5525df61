#include "bandit/inside.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { BLOCK_BYTES = 256 << 10 };       /* of roots that several rows are held against while they are in the cache */

struct bandit_desk *
bandit_desk_new(const struct bandit *b, size_t n_context)
{
	struct bandit_desk *d = xcalloc(1, sizeof *d);
	size_t n_arm = b->n_arm, n_most = b->pad > b->k_pad ? b->pad : b->k_pad;

	d->b = b;
	d->n_context = n_context;
	d->n_arm = n_arm;
	d->f_is_whole = n_context == 1;
	d->x = xaligned(n_context * b->pad, sizeof *d->x);
	memset(d->x, 0, n_context * b->pad * sizeof *d->x);
	d->predicted = xaligned(n_context * n_arm, sizeof *d->predicted);
	d->variance = xaligned(n_context * n_arm, sizeof *d->variance);
	size_t n_block = BLOCK_BYTES / sizeof(double) / (b->triangle ? b->triangle : 1) + 1;
	d->f = xaligned((d->f_is_whole || n_arm < n_block ? n_arm : n_block) * b->pad, sizeof *d->f);
	d->z = xaligned(n_most, sizeof *d->z);
	d->w = xaligned(n_most, sizeof *d->w);
	d->f0 = xaligned(n_most, sizeof *d->f0);
	d->drawn = xaligned(n_arm, sizeof *d->drawn);
	return d;
}

void
bandit_desk_free(struct bandit_desk *d)
{
	if (!d)
		return;
	free(d->x);
	free(d->predicted);
	free(d->variance);
	free(d->f);
	free(d->z);
	free(d->w);
	free(d->f0);
	free(d->drawn);
	free(d);
}

void
bandit_look(struct bandit_desk *d, size_t c, const double *x)
{
	const struct bandit *b = d->b;
	double *out = d->x + c * b->pad, clip = b->set.clip;
	size_t dim = b->set.dim;

	if (b->set.standardise)
		for (size_t i = 0; i < dim; i++)
			out[i] = (x[i] - b->origin[i]) * b->per_unit[i];
	else
		memcpy(out, x, dim * sizeof *x);
	if (clip > 0)
		for (size_t i = 0; i < dim; i++) {
			out[i] = out[i] > clip ? clip : out[i];
			out[i] = out[i] < -clip ? -clip : out[i];
		}
	if (b->set.intercept)
		out[dim] = 1;
	d->is_scored = 0;
}

static void
score_joint(struct bandit_desk *d, size_t c)
{
	const struct bandit *b = d->b;
	const double *x = d->x + c * b->pad;

	for (size_t a = 0; a < b->n_arm; a++) {
		double *mean = &d->predicted[c * d->n_arm + a], *variance = &d->variance[c * d->n_arm + a];
		bandit_joint(b, a, x, d->z);
		double along = root_dot(b->shared.mean, d->z, b->k_pad);
		double spread = root_project(b->shared.s, d->z, b->k, d->f0);
		if (b->set.model == BANDIT_SHARED) {
			*mean = along;
			*variance = spread;
		} else {
			*mean += along;
			*variance += spread;
		}
	}
}

void
bandit_score(struct bandit_desk *d, size_t n)
{
	const struct bandit *b = d->b;

	assert(n <= d->n_context && d->n_arm == b->n_arm);
	if (b->set.model != BANDIT_SHARED) {
		size_t n_block = d->f_is_whole ? b->n_arm : BLOCK_BYTES / sizeof(double) / b->triangle + 1;
		for (size_t first = 0; first < b->n_arm; first += n_block) {
			size_t n_here = b->n_arm - first < n_block ? b->n_arm - first : n_block;
			for (size_t c = 0; c < n; c++)
				root_score(b->s + first * b->triangle, b->mean + first * b->pad, n_here, d->x + c * b->pad, b->d,
				    d->f, d->variance + c * d->n_arm + first, d->predicted + c * d->n_arm + first);
		}
	}
	if (b->set.model != BANDIT_DISJOINT)
		for (size_t c = 0; c < n; c++)
			score_joint(d, c);
	d->is_scored = 1;
}

/* ---- policies ---- */

int
bandit_draws(const struct bandit *b)
{
	return b->set.policy != BANDIT_LINUCB;
}

double
bandit_mean(const struct bandit_desk *d, size_t c, size_t a)
{
	return d->predicted[c * d->n_arm + a];
}

double
bandit_bonus(const struct bandit_desk *d, size_t c, size_t a)
{
	enum bandit_policy policy = d->b->set.policy;

	return policy == BANDIT_LINUCB || policy == BANDIT_LINTS ? d->b->set.alpha * sqrt(d->variance[c * d->n_arm + a]) : 0;
}

/* The lowest of those that have the largest score: what differs in the 13th digit is rounding. */
static size_t
best(const double *score, size_t n)
{
	double most = score[0];

	for (size_t a = 1; a < n; a++)
		most = score[a] > most ? score[a] : most;
	double least = most - 1e-12 * fabs(most);
	for (size_t a = 0; a < n; a++)
		if (score[a] >= least)
			return a;
	return 0;
}

static double
gap_weight(const struct bandit_desk *d, const double *mean, size_t top, size_t a)
{
	const struct bandit *b = d->b;
	double g = b->set.gamma * sqrt(1 + (double)b->n_shared), gap = mean[top] - mean[a];

	return 1 / ((double)d->n_arm + g * (gap > 0 ? gap : 0));
}

static double
squarecb(const struct bandit_desk *d, const double *mean, size_t a)
{
	size_t top = best(mean, d->n_arm);
	double rest = 1;

	if (a != top)
		return gap_weight(d, mean, top, a);
	for (size_t i = 0; i < d->n_arm; i++)
		if (i != top)
			rest -= gap_weight(d, mean, top, i);
	return rest;
}

static double *
upper(struct bandit_desk *d, size_t c)
{
	for (size_t a = 0; a < d->n_arm; a++)
		d->drawn[a] = bandit_mean(d, c, a) + bandit_bonus(d, c, a);
	return d->drawn;
}

double
bandit_propensity(struct bandit_desk *d, size_t c, size_t a)
{
	const struct bandit_settings *set = &d->b->set;
	const double *mean = d->predicted + c * d->n_arm;
	double n = (double)d->n_arm;

	switch (set->policy) {
	case BANDIT_LINUCB: return a == best(upper(d, c), d->n_arm);
	case BANDIT_LINTS:
		if (set->alpha == 0)
			return a == best(mean, d->n_arm);
		return bandit_largest(mean, d->variance + c * d->n_arm, set->alpha, d->n_arm, a);
	case BANDIT_EGREEDY: return (a == best(mean, d->n_arm)) * (1 - set->epsilon) + set->epsilon / n;
	case BANDIT_SQUARECB: return squarecb(d, mean, a);
	case BANDIT_UNIFORM: return 1 / n;
	}
	return 0;
}

void
bandit_choose(struct bandit_desk *d, size_t c, uint64_t stream, struct bandit_choice *out)
{
	const struct bandit_settings *set = &d->b->set;
	const double *mean = d->predicted + c * d->n_arm;
	struct rng r = rng_at(set->seed, stream);
	size_t n = d->n_arm;

	assert(n > 0 && d->is_scored);
	if (set->policy == BANDIT_LINUCB) {
		const double *score = upper(d, c);
		out->arm = best(score, n);
		out->score = score[out->arm];
		out->propensity = 1;
		return;
	}
	switch (set->policy) {
	case BANDIT_LINTS:
		for (size_t a = 0; a < n; a++)
			d->drawn[a] = mean[a] + bandit_bonus(d, c, a) * rng_normal(&r);
		out->arm = best(d->drawn, n);
		out->score = d->drawn[out->arm];
		break;
	case BANDIT_EGREEDY:
		out->arm = rng_uniform(&r) < set->epsilon ? (size_t)rng_below(&r, n) : best(mean, n);
		break;
	case BANDIT_SQUARECB: {
		size_t top = best(mean, n);
		double left = rng_uniform(&r);
		out->arm = top;
		for (size_t a = 0; a < n && left >= 0; a++) {
			if (a == top)
				continue;
			left -= gap_weight(d, mean, top, a);
			if (left < 0)
				out->arm = a;
		}
		break;
	}
	default: out->arm = (size_t)rng_below(&r, n);
	}
	if (set->policy != BANDIT_LINTS)
		out->score = mean[out->arm];
	out->propensity = bandit_propensity(d, c, out->arm);
}
