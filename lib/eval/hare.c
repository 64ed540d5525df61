/*
 * HARE: uncertainty-augmented attention of query and user, as attend.h and belief.h have it, on the candidates of a space
 *
 *   shown    the highest logits beta (x + g ubar).x_j + alpha U_c(j)            hare_select()
 *   prior    u ~ N(0, I / lambda), and base_rate expected of anything           hare_prior()
 *   learnt   from each row shown f = x_j - mean, y = r - base_rate; its cluster's S_c += q~ q~'
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "base/mem.h"
#include "belief/belief.h"
#include "eval/system.h"
#include "mat/mat.h"

enum { GAIN, ALPHA, KAPPA, LAMBDA, NOISE, BASE, HALF_LIFE, N_KNOB };

struct hare {
	const struct eval_space *space;
	double value[N_KNOB];           /* those of the space where none was given */
	int by_query;                   /* features of the query instead of the row */
	struct belief_prior prior;
	struct belief *belief;
	struct belief_posterior *posterior;
	struct belief_cluster **cluster;        /* [n_cluster], NULL without observations */
	int has_bonus;
	double time;                    /* steps learnt from */
	float *mean;                    /* [dim], ubar */
	float *personal;                /* [n], ubar.x_j */
	float *score, *q, *f, *weight64;        /* [n], [dim], [ATTEND_N_SHARP][dim], [ATTEND_N_SHARP] */
	uint32_t best[ATTEND_N_SHARP];
	double *bonus, *scratch;        /* [n_cluster]; grown to n_scratch */
	size_t n_scratch;
};

static double *
scratch_of(struct hare *h, size_t n)
{
	if (n > h->n_scratch) {
		free(h->scratch);
		h->scratch = xmalloc(n, sizeof *h->scratch);
		h->n_scratch = n;
	}
	return h->scratch;
}

/* -- the prior, and what is believed before anything is learnt -- */

static void
hare_prior(struct hare *h)
{
	h->prior = (struct belief_prior){ .lambda = h->value[LAMBDA], .noise_var = h->value[NOISE],
	    .base_rate = h->value[BASE], .half_life = h->value[HALF_LIFE] };
}

static void *
hare_create(const void *arg, const struct eval_space *s, const double *value, uint64_t seed, uint64_t user)
{
	struct hare *h = xcalloc(1, sizeof *h);
	const double of_space[] = { s->gain, s->bonus, s->kappa, s->prior.lambda, s->prior.noise_var, s->prior.base_rate,
	    s->prior.half_life };

	(void)seed;
	(void)user;
	h->space = s;
	h->by_query = arg != NULL;
	for (size_t i = 0; i < N_KNOB; i++)
		h->value[i] = isnan(value[i]) ? of_space[i] : value[i];
	hare_prior(h);
	h->belief = belief_new(s->dim);
	h->posterior = belief_posterior_new(s->dim);
	h->cluster = xcalloc(s->n_cluster, sizeof *h->cluster);
	h->bonus = xcalloc(s->n_cluster, sizeof *h->bonus);
	h->mean = xcalloc(s->dim, sizeof *h->mean);
	h->personal = xcalloc(s->n, sizeof *h->personal);
	h->score = xmalloc(s->n, sizeof *h->score);
	h->q = xmalloc(s->dim, sizeof *h->q);
	h->f = xmalloc(ATTEND_N_SHARP * s->dim, sizeof *h->f);
	h->weight64 = xmalloc(ATTEND_N_SHARP, sizeof *h->weight64);
	return h;
}

static void
hare_free(void *user)
{
	struct hare *h = user;

	belief_free(h->belief);
	belief_posterior_free(h->posterior);
	for (size_t c = 0; c < h->space->n_cluster; c++)
		belief_cluster_free(h->cluster[c]);
	free(h->cluster);
	free(h->bonus);
	free(h->mean);
	free(h->personal);
	free(h->score);
	free(h->q);
	free(h->f);
	free(h->weight64);
	free(h->scratch);
	free(h);
}

/* -- logits, and what is shown -- */

/* q~ in h->q: of unit length, or zero. Returns its length before. */
static double
aim(struct hare *h, const struct eval_ask *ask)
{
	for (size_t d = 0; d < h->space->dim; d++)
		h->q[d] = ask->x[d] + (float)h->value[GAIN] * h->mean[d];
	return mat_normalise(h->q, h->space->dim);
}

static void
logits(struct hare *h, const struct eval_ask *ask, float *out)
{
	const struct eval_space *s = h->space;
	float beta = (float)s->beta, gain = (float)h->value[GAIN];

	for (size_t i = 0; i < s->n; i++)
		out[i] = beta * (ask->cosine[i] + gain * h->personal[i]);
	if (!h->has_bonus || h->value[ALPHA] == 0)
		return;         /* the same for all: it cancels */
	double length = aim(h, ask);
	for (size_t c = 0; c < s->n_cluster; c++)
		h->bonus[c] = s->beta * h->value[ALPHA] *
		    (h->cluster[c] ? belief_cluster_bonus(h->cluster[c], h->q, scratch_of(h, s->dim)) : length > 0);
	for (size_t i = 0; i < s->n; i++)
		out[i] += (float)h->bonus[s->cluster[i]];
}

static int
hare_select(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct hare *h = user;

	(void)f;
	logits(h, ask, h->score);
	eval_top(h->score, h->space->n, n, row);
	return 0;
}

/* -- learning -- */

static int
learn_cluster(struct hare *h, uint32_t c)
{
	if (!h->cluster[c])
		h->cluster[c] = belief_cluster_new(h->space->dim);
	belief_cluster_learn(h->cluster[c], h->q);
	h->has_bonus = 1;
	return 0;
}

static int
hare_learn(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f)
{
	struct hare *h = user;
	const struct eval_space *s = h->space;

	h->time++;
	if (h->value[ALPHA] != 0) {
		aim(h, ask);
		for (size_t i = 0; i < n; i++)
			learn_cluster(h, s->cluster[row[i]]);
		for (size_t i = 0; i < n; i++)
			if (belief_cluster_solve(h->cluster[s->cluster[row[i]]], f) < 0)
				return -1;
	}
	if (h->value[GAIN] == 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const float *x = h->by_query ? ask->x : s->x + row[i] * s->dim;
		for (size_t d = 0; d < s->dim; d++)
			h->f[d] = x[d] - s->mean[d];
		if (belief_learn(h->belief, h->f, reward[i], h->time, h->prior.half_life, f) < 0)
			return -1;
	}
	if (belief_solve(h->posterior, h->belief, &h->prior, f) < 0)
		return -1;
	for (size_t d = 0; d < s->dim; d++)
		h->mean[d] = (float)belief_mean(h->posterior)[d];
	mat_mul_vec(1, mat_of(s->x, s->n, s->dim), 0, h->mean, 0, h->personal);
	return 0;
}

/* -- what it can be asked -- */

/* f' Sigma_u f of rows [n], at most ATTEND_N_SHARP, through h->f */
static void
variances(struct hare *h, const uint32_t *row, size_t n, double *variance)
{
	const struct eval_space *s = h->space;

	for (size_t i = 0; i < n; i++)
		for (size_t d = 0; d < s->dim; d++)
			h->f[i * s->dim + d] = s->x[row[i] * s->dim + d] - s->mean[d];
	if (h->time > 0 && h->value[GAIN] != 0) {
		belief_variances(h->posterior, h->f, n, variance, scratch_of(h, belief_scratch_many(h->posterior, n)));
		return;
	}
	for (size_t i = 0; i < n; i++)
		variance[i] = mat_dot64(h->f + i * s->dim, h->f + i * s->dim, s->dim) / h->prior.lambda;
}

static int
hare_foretell(void *user, const struct eval_ask *ask, const uint32_t *row, size_t n, double *mean, double *sd, struct fault *f)
{
	struct hare *h = user;
	const struct eval_space *s = h->space;

	(void)ask;
	(void)f;
	for (size_t from = 0; from < n; from += ATTEND_N_SHARP) {
		size_t m = n - from < ATTEND_N_SHARP ? n - from : ATTEND_N_SHARP;
		variances(h, row + from, m, sd + from);
		for (size_t i = 0; i < m; i++) {
			mean[from + i] = h->prior.base_rate + mat_dot64(h->mean, h->f + i * s->dim, s->dim);
			sd[from + i] = sqrt(sd[from + i]);
		}
	}
	return 0;
}

static int
hare_attend(void *user, const struct eval_ask *ask, float *weight, struct fault *f)
{
	struct hare *h = user;
	const struct eval_space *s = h->space;
	size_t n_sharp = s->n < ATTEND_N_SHARP ? s->n : ATTEND_N_SHARP;
	double variance[ATTEND_N_SHARP], tau2 = 0, t = 1;

	(void)f;
	logits(h, ask, weight);
	if (h->value[KAPPA] > 0 && h->value[GAIN] > 0) {
		eval_top(weight, s->n, n_sharp, h->best);
		for (size_t i = 0; i < n_sharp; i++)
			h->weight64[i] = weight[h->best[i]];
		mat_softmax(h->weight64, n_sharp);
		variances(h, h->best, n_sharp, variance);
		for (size_t i = 0; i < n_sharp; i++)
			tau2 += (double)h->weight64[i] * variance[i];
		t = sqrt(1 + h->value[KAPPA] * (M_PI / 8) * s->beta * s->beta * h->value[GAIN] * h->value[GAIN] * tau2);
	}
	for (size_t i = 0; i < s->n; i++)
		weight[i] = (float)((double)weight[i] / t);
	mat_softmax(weight, s->n);
	return 0;
}

/* -- HARE, and what is left of it when a part is taken away -- */

#define KNOBS(name, gain, alpha, kappa, base) \
static const struct eval_knob name[N_KNOB] = { \
	[GAIN] = { "gain", "weight of the user beside the query", gain, {0}, 0 }, \
	[ALPHA] = { "alpha", "weight of the bonus, in units of beta", alpha, {0}, 0 }, \
	[KAPPA] = { "kappa", "widening by uncertainty", kappa, {0}, 0 }, \
	[LAMBDA] = { "lambda", "precision of the prior", NAN, {0}, 0 }, \
	[NOISE] = { "noise", "variance of a reward", NAN, {0}, 0 }, \
	[BASE] = { "base", "reward expected of anything", base, {0}, 0 }, \
	[HALF_LIFE] = { "half-life", "in steps, 0 never forgets", NAN, {0}, 0 }, \
}
KNOBS(of_model, NAN, NAN, NAN, NAN);
KNOBS(no_user, 0, NAN, NAN, NAN);
KNOBS(no_alpha, NAN, 0, NAN, NAN);
KNOBS(no_kappa, NAN, NAN, 0, NAN);
KNOBS(whole_kappa, NAN, NAN, 1, NAN);
KNOBS(no_base, NAN, NAN, NAN, 0);

static const int by_query = 1;

#define HARE(knobs) .knob = knobs, .n_knob = N_KNOB, .create = hare_create, .free = hare_free, .rank = hare_select, \
    .learn = hare_learn, .foretell = hare_foretell, .attend = hare_attend

const struct eval_system eval_hare = { .name = "hare", .title = "HARE with the constants of the MODEL", HARE(of_model) };
const struct eval_system eval_hare_nouser = { .name = "hare-nouser", .title = "without the user", .is_ablation = 1, HARE(no_user) };
const struct eval_system eval_hare_alpha0 = { .name = "hare-alpha0", .title = "without the bonus", .is_ablation = 1, HARE(no_alpha) };
const struct eval_system eval_hare_nowiden = { .name = "hare-nowiden", .title = "without widening", .is_ablation = 1, HARE(no_kappa) };
const struct eval_system eval_hare_wide = { .name = "hare-wide", .title = "with the whole widening", .is_ablation = 1, HARE(whole_kappa) };
const struct eval_system eval_hare_query = { .name = "hare-query", .title = "that learns from the query, not the row", .is_ablation = 1,
    .arg = &by_query, HARE(of_model) };
const struct eval_system eval_hare_nob0 = { .name = "hare-nob0", .title = "that expects no reward of anything", .is_ablation = 1,
    HARE(no_base) };
