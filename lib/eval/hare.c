/*
 * HARE: uncertainty-augmented attention of query and user, as attend.h and belief.h have it, on the candidates of a space
 *
 *   logits   beta (x + (g / v) ubar).x_j + alpha U_c(j), v what this user's queries say       logits()
 *   shown    a slate (slate.h) of the best of them: each the best bet if those before it earn nothing; the last of its
 *            places for rows that this user was not shown before                             hare_select()
 *   prior    u ~ N(0, I / lambda), and base_rate expected of anything                        hare_prior()
 *   learnt   from each row shown f = x_j - mean, what the query says of it, y = r - base_rate; its cluster's
 *            S_c += q~ q~'; and of the row itself e_j(x) (recall.h), which all rewards are whitened by
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "base/mem.h"
#include "belief/belief.h"
#include "belief/recall.h"
#include "belief/slate.h"
#include "eval/system.h"
#include "mat/mat.h"

enum { GAIN, ALPHA, KAPPA, LAMBDA, NOISE, BASE, HALF_LIFE, QUERY_VAR, QUERY_MEAN, QUERY_LEAST, EXPLORE, FRESH, MEMORY, RECALL,
    N_KNOB };
enum { N_BEST = 120, N_UNSEEN = 80, N_CANDIDATE = N_BEST + N_UNSEEN };

struct hare {
	const struct eval_space *space;
	double value[N_KNOB];           /* those of the space where none was given */
	int by_query;                   /* features of the query instead of the row */
	struct belief_prior prior;
	size_t dim;                     /* of the belief: one more than the space's, if it hears queries */
	struct belief *belief;
	struct belief_posterior *posterior;
	struct belief_cluster **cluster;        /* [n_cluster], NULL without observations */
	int has_bonus;
	double time;                    /* steps learnt from */
	double weight;                  /* of the query: v, or apart 1 */
	double gain;                    /* of the user: GAIN, or apart GAIN / v */
	float *mean;                    /* [space dim], ubar */
	float *personal;                /* [n], ubar.x_j */
	float *score, *masked, *q, *f, *weight64;       /* [n], [n], [space dim], [N_CANDIDATE][dim], [ATTEND_N_SHARP] */
	struct recall *recall;          /* NULL: nothing is learnt of rows themselves */
	unsigned char *n_shown;        /* [n] */
	uint32_t best[N_CANDIDATE];
	double *bonus, *scratch;        /* [n_cluster]; grown to n_scratch */
	double *cov;                    /* [N_CANDIDATE][N_CANDIDATE], made when first needed */
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
	h->prior = h->space->prior;
	h->prior.lambda = h->value[LAMBDA];
	h->prior.noise_var = h->value[NOISE];
	h->prior.base_rate = h->value[BASE];
	h->prior.half_life = h->value[HALF_LIFE];
	h->prior.query_var = h->value[QUERY_VAR];
	h->prior.query_mean = h->value[QUERY_MEAN];
	h->prior.query_least = h->value[QUERY_LEAST];
	if (h->by_query || h->value[QUERY_VAR] < 0)
		h->prior.has_query = 0;
	h->dim = h->space->dim + (h->prior.has_query != 0);
}

static void *
hare_create(const void *arg, const struct eval_space *s, const double *value, uint64_t seed, uint64_t user)
{
	struct hare *h = xcalloc(1, sizeof *h);
	/* Where queries foretell no reward (query_mean 0, a trained MODEL) what rewards leave open is no bonus on logits, and
	   fewer places go to what was not shown: it is known already. */
	const double of_space[N_KNOB] = { s->gain, s->bonus, s->kappa, s->prior.lambda, s->prior.noise_var, s->prior.base_rate,
	    s->prior.half_life, s->prior.query_var, s->prior.query_mean, s->prior.query_least,
	    s->prior.query_mean > 0 ? 1 : 0, s->prior.query_mean > 0 ? .8 : .5, 0, 0 };
	struct fault f;

	(void)seed;
	(void)user;
	h->space = s;
	h->by_query = arg != NULL;
	for (size_t i = 0; i < N_KNOB; i++)
		h->value[i] = isnan(value[i]) ? of_space[i] : value[i];
	hare_prior(h);
	h->belief = belief_new(h->dim);
	h->posterior = belief_posterior_new(h->dim);
	/* nothing learnt: this cannot fail */
	if (belief_solve(h->posterior, h->belief, &h->prior, &f) < 0)
		abort();
	h->weight = 1;
	h->gain = h->value[GAIN];
	h->cluster = xcalloc(s->n_cluster, sizeof *h->cluster);
	h->bonus = xcalloc(s->n_cluster, sizeof *h->bonus);
	h->mean = xcalloc(s->dim, sizeof *h->mean);
	h->personal = xcalloc(s->n, sizeof *h->personal);
	h->score = xmalloc(s->n, sizeof *h->score);
	h->masked = xmalloc(s->n, sizeof *h->masked);
	h->q = xmalloc(s->dim, sizeof *h->q);
	h->f = xmalloc(N_CANDIDATE * h->dim, sizeof *h->f);
	h->weight64 = xmalloc(ATTEND_N_SHARP, sizeof *h->weight64);
	if (h->value[MEMORY] > 0 || h->value[RECALL] > 0) {
		belief_take_as_marks(h->posterior);     /* which whitened they are not */
		h->recall = recall_new(s->dim, s->n, (struct recall_prior){ h->value[MEMORY], h->value[RECALL], h->prior.noise_var });
	}
	h->n_shown = xcalloc(s->n, sizeof *h->n_shown);
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
	free(h->masked);
	free(h->q);
	free(h->f);
	free(h->weight64);
	recall_free(h->recall);
	free(h->n_shown);
	free(h->cov);
	free(h->scratch);
	free(h);
}

/* -- logits, and what is shown -- */

/* q~ in h->q: of unit length, or zero. Returns its length before. */
static double
aim(struct hare *h, const struct eval_ask *ask)
{
	for (size_t d = 0; d < h->space->dim; d++)
		h->q[d] = (float)h->weight * ask->x[d] + (float)h->gain * h->mean[d];
	return mat_normalise(h->q, h->space->dim);
}

/* What a row's own rewards say of it. */
static struct recall_of
own_of(const struct hare *h, uint32_t row)
{
	return h->recall ? recall_of(h->recall, row) : (struct recall_of){ 1, 0, 0 };
}

static void
logits(struct hare *h, const struct eval_ask *ask, float *out)
{
	const struct eval_space *s = h->space;
	float beta = (float)s->beta, gain = (float)h->gain, weight = (float)h->weight;

	for (size_t i = 0; i < s->n; i++)
		out[i] = beta * (weight * ask->cosine[i] + gain * h->personal[i]);
	if (h->recall) {
		double centre = mat_dot64(h->mean, s->mean, s->dim);
		recall_ask(h->recall, ask->x);
		for (size_t i = 0; i < recall_n(h->recall); i++) {
			uint32_t row = recall_row(h->recall, i);
			struct recall_of own = own_of(h, row);
			out[row] += beta * gain * (float)(own.mean + (own.share - 1) * ((double)h->personal[row] - centre));
		}
	}
	if (!h->has_bonus || h->value[ALPHA] == 0)
		return;         /* the same for all: it cancels */
	double length = aim(h, ask);
	for (size_t c = 0; c < s->n_cluster; c++)
		h->bonus[c] = s->beta * h->value[ALPHA] *
		    (h->cluster[c] ? belief_cluster_bonus(h->cluster[c], h->q, scratch_of(h, s->dim)) : length > 0);
	for (size_t i = 0; i < s->n; i++)
		out[i] += (float)h->bonus[s->cluster[i]];
}

/* h->f = features of rows [n] */
static void
features(struct hare *h, const struct eval_ask *ask, const uint32_t *row, size_t n)
{
	const struct eval_space *s = h->space;

	for (size_t i = 0; i < n; i++) {
		const float *x = h->by_query ? ask->x : s->x + row[i] * s->dim;
		for (size_t d = 0; d < s->dim; d++)
			h->f[i * s->dim + d] = x[d] - s->mean[d];
	}
}

/* What the belief foretells for features f [space dim], less base_rate. */
static double
foretold(const struct hare *h, const struct eval_ask *ask, const float *f)
{
	const double *mean = belief_mean(h->posterior);
	double sum = 0;

	for (size_t d = 0; d < h->space->dim; d++)
		sum += mean[d] * (double)f[d];
	return h->prior.has_query ? sum + mean[h->space->dim] * mat_dot64(f, ask->x, h->space->dim) : sum;
}

/* The best rows by h->score, and the best of those that were not shown yet. Returns how many. */
static size_t
candidates(struct hare *h)
{
	size_t n = h->space->n, n_best = n < N_BEST ? n : N_BEST, n_unseen = 0;

	eval_top(h->score, n, n_best, h->best);
	memcpy(h->masked, h->score, n * sizeof *h->masked);
	for (size_t i = 0; i < n; i++)
		if (h->n_shown[i] > 0)
			h->masked[i] = -INFINITY;
		else
			n_unseen++;
	for (size_t i = 0; i < n_best; i++) {
		n_unseen -= h->n_shown[h->best[i]] == 0;
		h->masked[h->best[i]] = -INFINITY;
	}
	n_unseen = n_unseen < N_UNSEEN ? n_unseen : N_UNSEEN;
	eval_top(h->masked, n, n_unseen, h->best + n_best);
	return n_best + n_unseen;
}

static int
hare_select(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct hare *h = user;
	double rest[N_CANDIDATE], mean[N_CANDIDATE];
	unsigned char old[N_CANDIDATE];
	size_t pick[N_CANDIDATE];

	(void)f;
	logits(h, ask, h->score);
	if (h->value[EXPLORE] < 0 || h->value[GAIN] <= 0 || n > N_BEST) {
		eval_top(h->score, h->space->n, n, row);
		return 0;
	}
	size_t n_found = candidates(h);
	if (n == 1) {
		double most = -INFINITY, variance[N_CANDIDATE];
		belief_variances((features(h, ask, h->best, n_found), h->posterior), h->f, ask->x, n_found, variance, scratch_of(h, belief_scratch_many(h->posterior, n_found)));
		for (size_t i = 0; i < n_found; i++) {
			uint32_t r = h->best[i];
			struct recall_of own = own_of(h, r);
			double score = (double)h->score[r] / (h->space->beta * h->gain) + h->value[EXPLORE] * sqrt(own.share * own.share * variance[i] + own.variance);
			if (score > most) {
				most = score;
				row[0] = r;
			}
		}
		return 0;
	}
	if (!h->cov)
		h->cov = xmalloc((size_t)N_CANDIDATE * N_CANDIDATE, sizeof *h->cov);
	features(h, ask, h->best, n_found);
	belief_covariances(h->posterior, h->f, ask->x, n_found, h->cov, scratch_of(h, belief_scratch_covariances(h->posterior, n_found)));
	for (size_t i = 0; i < n_found; i++) {
		uint32_t r = h->best[i];
		struct recall_of own = own_of(h, r);
		mean[i] = own.share * foretold(h, ask, h->f + i * h->space->dim) + own.mean;
		rest[i] = (double)h->score[r] / (h->space->beta * h->gain) - mean[i];
		old[i] = h->n_shown[r] > 0;
		for (size_t j = 0; j < n_found; j++) {
			h->cov[i * n_found + j] *= own.share;
			h->cov[j * n_found + i] *= own.share;
		}
		h->cov[i * n_found + i] += own.variance;
	}
	struct belief_slate s = { .n = n_found, .rest = rest, .mean = mean, .cov = h->cov, .base_rate = belief_base_rate(h->posterior),
	    .noise_var = belief_noise_var(h->posterior), .explore = h->value[EXPLORE], .is_old = old,
	    .n_fresh = (size_t)(h->value[FRESH] * (double)n) };
	size_t n_pick = belief_slate(&s, n, pick);
	if (n_pick < n) {               /* everything was shown before: then places need not be fresh */
		eval_top(h->score, h->space->n, n, row);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		row[i] = h->best[pick[i]];
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
	float *extended = h->f + (N_CANDIDATE - 1) * h->dim;

	h->time++;
	if (h->value[ALPHA] != 0) {
		aim(h, ask);
		for (size_t i = 0; i < n; i++)
			learn_cluster(h, s->cluster[row[i]]);
		for (size_t i = 0; i < n; i++)
			if (belief_cluster_solve(h->cluster[s->cluster[row[i]]], f) < 0)
				return -1;
	}
	for (size_t i = 0; i < n; i++) {
		struct recall_white white = { 1, reward[i] - h->prior.base_rate, 0 };
		h->n_shown[row[i]] = 1;
		if (h->value[GAIN] == 0)
			continue;
		features(h, ask, row + i, 1);
		white.said = mat_dot64(h->f, ask->x, s->dim);
		if (h->recall && recall_learn(h->recall, row[i], ask->x, white.reward, white.said, &white) < 0)
			continue;
		for (size_t d = 0; d < s->dim; d++)
			extended[d] = (float)white.one * h->f[d];
		if (h->prior.has_query)
			extended[s->dim] = (float)white.said;
		if (belief_learn(h->belief, extended, h->prior.base_rate + white.reward, h->time, h->prior.half_life, f) < 0)
			return -1;
	}
	if (h->value[GAIN] == 0)
		return 0;
	if (belief_solve(h->posterior, h->belief, &h->prior, f) < 0)
		return -1;
	for (size_t d = 0; d < s->dim; d++)
		h->mean[d] = (float)belief_mean(h->posterior)[d];
	double user_times;
	belief_weights(belief_mean(h->posterior), h->dim, &h->prior, &h->weight, &user_times);
	h->gain = h->value[GAIN] * user_times;
	mat_mul_vec(1, mat_of(s->x, s->n, s->dim), 0, h->mean, 0, h->personal);
	return 0;
}

/* -- what it can be asked -- */

/* Variances of what is foretold for rows [n], at most ATTEND_N_SHARP, through h->f */
static void
variances(struct hare *h, const struct eval_ask *ask, const uint32_t *row, size_t n, double *variance)
{
	features(h, ask, row, n);
	belief_variances(h->posterior, h->f, ask->x, n, variance, scratch_of(h, belief_scratch_many(h->posterior, n)));
}

static int
hare_foretell(void *user, const struct eval_ask *ask, const uint32_t *row, size_t n, double *mean, double *sd, struct fault *f)
{
	struct hare *h = user;
	const struct eval_space *s = h->space;

	(void)f;
	if (h->recall)
		recall_ask(h->recall, ask->x);
	for (size_t from = 0; from < n; from += ATTEND_N_SHARP) {
		size_t m = n - from < ATTEND_N_SHARP ? n - from : ATTEND_N_SHARP;
		if (!h->recall) {
			features(h, ask, row + from, m);
			belief_foretell(h->posterior, h->belief, &h->prior, h->f, ask->x, m, mean + from, sd + from);
		} else {
			variances(h, ask, row + from, m, sd + from);
		}
		for (size_t i = 0; i < m; i++) {
			struct recall_of own = own_of(h, row[from + i]);
			if (h->recall)
				mean[from + i] = h->prior.base_rate + own.share * foretold(h, ask, h->f + i * s->dim) + own.mean;
			/* what is not known of rows by themselves is in their chance already */
			sd[from + i] = own.share * sqrt(sd[from + i]);
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
	double gain = h->value[GAIN];

	(void)f;
	logits(h, ask, weight);
	if (h->value[KAPPA] > 0 && h->value[GAIN] > 0) {
		eval_top(weight, s->n, n_sharp, h->best);
		for (size_t i = 0; i < n_sharp; i++)
			h->weight64[i] = weight[h->best[i]];
		mat_softmax(h->weight64, n_sharp);
		variances(h, ask, h->best, n_sharp, variance);
		for (size_t i = 0; i < n_sharp; i++)
			tau2 += (double)h->weight64[i] * variance[i];
		t = sqrt(1 + h->value[KAPPA] * (M_PI / 8) * s->beta * s->beta * gain * gain * tau2);
	}
	for (size_t i = 0; i < s->n; i++)
		weight[i] = (float)((double)weight[i] / t);
	mat_softmax(weight, s->n);
	return 0;
}

/* -- HARE, and what is left of it when a part is taken away -- */

#define KNOBS(name, gain, alpha, kappa, base, query, explore, fresh, recall) \
static const struct eval_knob name[N_KNOB] = { \
	[GAIN] = { "gain", "weight of the user beside the query", gain, {0}, 0 }, \
	[ALPHA] = { "alpha", "weight of the bonus, in units of beta", alpha, {0}, 0 }, \
	[KAPPA] = { "kappa", "widening by uncertainty", kappa, {0}, 0 }, \
	[LAMBDA] = { "lambda", "precision of the prior", NAN, {0}, 0 }, \
	[NOISE] = { "noise", "variance of a reward", NAN, {0}, 0 }, \
	[BASE] = { "base", "reward expected of anything", base, {0}, 0 }, \
	[HALF_LIFE] = { "half-life", "in steps, 0 never forgets", NAN, {0}, 0 }, \
	[QUERY_VAR] = { "query-var", "how far users differ in what queries say; below 0 queries are not heard", query, {0}, 0 }, \
	[QUERY_MEAN] = { "query-mean", "reward that one of a query's inner products foretells", NAN, {0}, 0 }, \
	[QUERY_LEAST] = { "query-least", "part of a query that is heard at least; 0: learnt together with the user", NAN, {0}, 0 }, \
	[EXPLORE] = { "explore", "standard deviations added in a slate; below 0 the highest logits are shown", explore, {0}, 0 }, \
	[FRESH] = { "fresh", "share of places for rows not shown before", fresh, {0}, 0 }, \
	[MEMORY] = { "memory", "variance of what is learnt of a row itself", 0, {0}, 0 }, \
	[RECALL] = { "recall", "the same for queries like those it was shown for", recall, {0}, 0 }, \
}
KNOBS(of_model, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN);
KNOBS(no_user, 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN);
KNOBS(no_alpha, NAN, 0, NAN, NAN, NAN, NAN, NAN, NAN);
KNOBS(no_kappa, NAN, NAN, 0, NAN, NAN, NAN, NAN, NAN);
KNOBS(whole_kappa, NAN, NAN, 1, NAN, NAN, NAN, NAN, NAN);
KNOBS(no_base, NAN, NAN, NAN, 0, NAN, NAN, NAN, NAN);
KNOBS(no_slate, NAN, NAN, NAN, NAN, NAN, -1, 0, NAN);
KNOBS(no_query, NAN, NAN, NAN, NAN, -1, NAN, NAN, NAN);
KNOBS(with_recall, NAN, NAN, NAN, NAN, NAN, NAN, NAN, .05);

/* Chosen on training users. The defaults of the first are for short queries that say little and are asked again: the user counts
   for more, and misses for nothing. Those of the second hear queries together with the user, and rewards are frequent. */
#define TUNED(name, gain, lambda, noise, base, query, query_mean, query_least, explore, memory, recall) \
static const struct eval_knob name[N_KNOB] = { \
	[GAIN] = { "gain", "weight of the user beside the query", gain, { 2, 4, 7, 12 }, 4 }, \
	[ALPHA] = { "alpha", "weight of the bonus, in units of beta", 0, {0}, 0 }, \
	[KAPPA] = { "kappa", "widening by uncertainty", NAN, {0}, 0 }, \
	[LAMBDA] = { "lambda", "precision of the prior", lambda, { 3, 10, 30, 100 }, 4 }, \
	[NOISE] = { "noise", "variance of a reward", noise, { .03, .08 }, 2 }, \
	[BASE] = { "base", "reward expected of anything", base, { 0, .03, .2, .6 }, 4 }, \
	[HALF_LIFE] = { "half-life", "in steps, 0 never forgets", NAN, {0}, 0 }, \
	[QUERY_VAR] = { "query-var", "how far users differ in what queries say; below 0 queries are not heard", query, { -1, .05, 1 }, 3 }, \
	[QUERY_MEAN] = { "query-mean", "reward that one of a query's inner products foretells", query_mean, { .25, .5 }, 2 }, \
	[QUERY_LEAST] = { "query-least", "part of a query that is heard at least; 0: learnt together with the user", query_least, {0}, 0 }, \
	[EXPLORE] = { "explore", "standard deviations added in a slate", explore, { .3, 1, 2 }, 3 }, \
	[FRESH] = { "fresh", "share of places for rows not shown before", .8, {0}, 0 }, \
	[MEMORY] = { "memory", "variance of what is learnt of a row itself", memory, { 0, .01 }, 2 }, \
	[RECALL] = { "recall", "the same for queries like those it was shown for", recall, { 0, .02, .05 }, 3 }, \
}
TUNED(for_tuning, 10, 100, .08, 0, -1, .25, .25, 1, 0, .05);
TUNED(for_hearing, 2, 10, .03, .2, 1, .5, 0, .3, 0, 0);

static const int by_query = 1;

#define HARE(knobs) .knob = knobs, .n_knob = N_KNOB, .create = hare_create, .free = hare_free, .rank = hare_select, \
    .learn = hare_learn, .foretell = hare_foretell, .attend = hare_attend

const struct eval_system eval_hare = { .name = "hare", .title = "HARE with the constants of the MODEL", HARE(of_model) };
const struct eval_system eval_hare_nouser = { .name = "hare-nouser", .title = "without the user", .is_ablation = 1, HARE(no_user) };
const struct eval_system eval_hare_alpha0 = { .name = "hare-alpha0", .title = "without the bonus of clusters", .is_ablation = 1, HARE(no_alpha) };
const struct eval_system eval_hare_nowiden = { .name = "hare-nowiden", .title = "without widening", .is_ablation = 1, HARE(no_kappa) };
const struct eval_system eval_hare_wide = { .name = "hare-wide", .title = "with the whole widening", .is_ablation = 1, HARE(whole_kappa) };
const struct eval_system eval_hare_query = { .name = "hare-query", .title = "that learns from the query, not the row", .is_ablation = 1,
    .arg = &by_query, HARE(of_model) };
const struct eval_system eval_hare_nob0 = { .name = "hare-nob0", .title = "that expects no reward of anything", .is_ablation = 1,
    HARE(no_base) };
const struct eval_system eval_hare_greedy = { .name = "hare-greedy", .title = "that shows the highest logits, no slate", .is_ablation = 1,
    HARE(no_slate) };
const struct eval_system eval_hare_deaf = { .name = "hare-deaf", .title = "that does not learn what queries say", .is_ablation = 1,
    HARE(no_query) };
const struct eval_system eval_hare_recall = { .name = "hare-recall", .title = "that also learns of rows themselves", .is_ablation = 1,
    HARE(with_recall) };
const struct eval_system eval_hare_tuned = { .name = "hare-tuned", .title = "HARE with constants chosen on other users", HARE(for_tuning) };
const struct eval_system eval_hare_heard = { .name = "hare-heard", .title = "the same, beginning with queries that are heard", .is_ablation = 1,
    HARE(for_hearing) };
