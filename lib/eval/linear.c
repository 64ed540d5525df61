/*
 * One linear model for each user over features of a row: z = [x_j, x.x_j, 1]
 *
 *   linucb-user  reward = w0 x.x_j + z'theta, theta ~ N(0, I / lambda); score = mean + alpha sd (Li et al. 2010,
 *                Algorithm 1, one model for all arms)
 *   thompson     the same; score by a draw of theta from N(mean, v^2 A^-1) (Agrawal and Goyal 2013)
 *   hybrid       and each row has an intercept of its own besides: Algorithm 2 with x = 1. With A_a = lambda_a + n_a,
 *                B_a the sum of z and b_a that of the reward over the observations of row a, its two updates of the shared
 *                sums are one, of rank one: z - B_a / A_a and r - b_a / A_a, both times sqrt(A_a / (A_a + 1)), with A_a,
 *                B_a and b_a as they were before
 *   w0           what a cosine is worth before anything is learnt; 0 is the textbook
 *   cost         O(n dim) for the means of all rows, O(dim^2) for each observation; spreads of the N_SPREAD best only
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "belief/root.h"
#include "eval/system.h"
#include "mat/mat.h"

enum { N_SPREAD = 400 };
enum linear_kind { LINUCB, HYBRID, THOMPSON };
enum { LAMBDA, ALPHA, COSINE, OWN };

/* What the hybrid holds of a row that was shown. */
struct own {
	uint32_t row;
	double n, reward;               /* observations, and the sum of their rewards */
	double *z;                      /* [pad], sum of features */
};

struct linear {
	const struct eval_space *space;
	const double *value;
	enum linear_kind kind;
	uint64_t seed, user;
	size_t dim, pad;                /* of z */
	double *root, *mean;            /* A^-1 = S S' and theta */
	double *z, *f, *scratch, *drawn;
	float *weight, *score, *wide;   /* [space->dim], [n], [n] */
	uint32_t *best;                 /* [N_SPREAD] */
	struct own *own;
	size_t n_own, n_own_max;
	uint32_t *own_of;               /* [n], number of the row's own plus one; hybrid only */
};

static const enum linear_kind kinds[] = { LINUCB, HYBRID, THOMPSON };

static void *
linear_create(const void *arg, const struct eval_space *space, const double *value, uint64_t seed, uint64_t user)
{
	struct linear *l = xcalloc(1, sizeof *l);
	size_t dim = space->dim + 2, pad = root_pad(dim);

	*l = (struct linear){ .space = space, .value = value, .kind = *(const enum linear_kind *)arg, .seed = seed, .user = user,
	    .dim = dim, .pad = pad };
	l->root = xaligned(root_triangle(dim), sizeof *l->root);
	double *vectors = xaligned(7 * pad, sizeof *vectors);
	memset(vectors, 0, 7 * pad * sizeof *vectors);
	l->mean = vectors;
	l->z = vectors + pad;
	l->f = vectors + 2 * pad;
	l->drawn = vectors + 3 * pad;
	l->scratch = vectors + 4 * pad;
	root_start(l->root, dim, value[LAMBDA]);
	l->weight = xmalloc(space->dim, sizeof *l->weight);
	l->score = xmalloc(space->n, sizeof *l->score);
	l->wide = xmalloc(space->n, sizeof *l->wide);
	l->best = xmalloc(N_SPREAD, sizeof *l->best);
	if (l->kind == HYBRID)
		l->own_of = xcalloc(space->n, sizeof *l->own_of);
	return l;
}

static void
linear_free(void *user)
{
	struct linear *l = user;

	for (size_t i = 0; i < l->n_own; i++)
		free(l->own[i].z);
	free(l->own);
	free(l->own_of);
	free(l->best);
	free(l->wide);
	free(l->score);
	free(l->weight);
	free(l->mean);
	free(l->root);
	free(l);
}

/* z of a row, in l->z */
static void
features(struct linear *l, const struct eval_ask *ask, uint32_t row)
{
	const float *x = l->space->x + row * l->space->dim;

	for (size_t d = 0; d < l->space->dim; d++)
		l->z[d] = (double)x[d];
	l->z[l->space->dim] = (double)ask->cosine[row];
	l->z[l->space->dim + 1] = 1;
}

static const struct own *
own_of(const struct linear *l, uint32_t row)
{
	return l->own_of && l->own_of[row] ? &l->own[l->own_of[row] - 1] : NULL;
}

/* Scores of all rows under theta: w0 c + z'theta, and what a row's own intercept adds. */
static void
score_all(struct linear *l, const struct eval_ask *ask, const double *theta)
{
	size_t d = l->space->dim;
	float on_cosine = (float)(theta[d] + l->value[COSINE]), constant = (float)theta[d + 1];

	for (size_t i = 0; i < d; i++)
		l->weight[i] = (float)theta[i];
	mat_mul_vec(1, mat_of(l->space->x, l->space->n, d), 0, l->weight, 0, l->score);
	for (size_t i = 0; i < l->space->n; i++)
		l->score[i] += on_cosine * ask->cosine[i] + constant;
	for (size_t i = 0; i < l->n_own; i++) {
		const struct own *o = &l->own[i];
		double all = l->value[OWN] + o->n;
		l->score[o->row] += (float)((o->reward - root_dot(o->z, theta, l->pad)) / all);
	}
}

/* Variance of a row's mean, in units of the noise's. */
static double
spread2(struct linear *l, const struct eval_ask *ask, uint32_t row)
{
	const struct own *o = own_of(l, row);
	double own_var = 0;

	features(l, ask, row);
	if (l->kind == HYBRID) {
		double all = l->value[OWN] + (o ? o->n : 0);
		own_var = 1 / all;
		if (o)
			root_axpy(l->z, -1 / all, o->z, l->pad);
	}
	return root_project(l->root, l->z, l->dim, l->f) + own_var;
}

static int
linear_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct linear *l = user;
	size_t n_row = l->space->n, n_best = n_row < N_SPREAD ? n_row : N_SPREAD;

	(void)f;
	if (l->kind == THOMPSON) {
		struct rng r = rng_at(l->seed ^ l->user * 0x9E3779B97F4A7C15u, ask->draw);
		for (size_t i = 0; i < l->dim; i++)
			l->z[i] = rng_normal(&r);
		root_multiply(l->root, l->z, l->dim, l->drawn);
		for (size_t i = 0; i < l->dim; i++)
			l->drawn[i] = l->mean[i] + l->value[ALPHA] * l->drawn[i];
		score_all(l, ask, l->drawn);
		eval_top(l->score, n_row, n, row);
		return 0;
	}
	score_all(l, ask, l->mean);
	/* where nothing is known yet all means are the same: then the nearest come first */
	for (size_t i = 0; i < n_row; i++)
		l->wide[i] = l->score[i] + 1e-6f * ask->cosine[i];
	n_best = n_best < n ? n : n_best;
	uint32_t *best = n_best > N_SPREAD ? xmalloc(n_best, sizeof *best) : l->best;
	eval_top(l->wide, n_row, n_best, best);
	for (size_t i = 0; i < n_best; i++)
		l->wide[i] = (float)((double)l->score[best[i]] + l->value[ALPHA] * sqrt(spread2(l, ask, best[i])));
	eval_top(l->wide, n_best, n, row);
	for (size_t i = 0; i < n; i++)
		row[i] = best[row[i]];
	if (best != l->best)
		free(best);
	return 0;
}

static struct own *
make_own(struct linear *l, uint32_t row)
{
	if (!l->own_of[row]) {
		l->own = xgrow(l->own, &l->n_own_max, l->n_own + 1, sizeof *l->own);
		l->own[l->n_own] = (struct own){ .row = row, .z = xaligned(l->pad, sizeof(double)) };
		memset(l->own[l->n_own].z, 0, l->pad * sizeof(double));
		l->own_of[row] = (uint32_t)++l->n_own;
	}
	return &l->own[l->own_of[row] - 1];
}

static int
linear_learn(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f)
{
	struct linear *l = user;

	(void)f;
	for (size_t i = 0; i < n; i++) {
		double left = reward[i] - l->value[COSINE] * (double)ask->cosine[row[i]];
		features(l, ask, row[i]);
		if (l->kind == HYBRID) {
			struct own *o = make_own(l, row[i]);
			double all = l->value[OWN] + o->n, scale = sqrt(all / (all + 1)), kept = left;
			memcpy(l->drawn, l->z, l->pad * sizeof *l->z);
			left = scale * (left - o->reward / all);
			for (size_t d = 0; d < l->dim; d++)
				l->z[d] = scale * (l->z[d] - o->z[d] / all);
			root_axpy(o->z, 1, l->drawn, l->pad);
			o->reward += kept;
			o->n++;
		}
		root_project(l->root, l->z, l->dim, l->f);
		root_observe(l->root, l->mean, l->f, left - root_dot(l->mean, l->z, l->pad), l->dim, NULL, l->scratch);
	}
	return 0;
}

static int
linear_foretell(void *user, const struct eval_ask *ask, const uint32_t *row, size_t n, double *mean, double *sd, struct fault *f)
{
	struct linear *l = user;

	(void)f;
	for (size_t i = 0; i < n; i++) {
		const struct own *o = own_of(l, row[i]);
		double var = spread2(l, ask, row[i]);
		mean[i] = l->value[COSINE] * (double)ask->cosine[row[i]] + root_dot(l->mean, l->z, l->pad);
		if (o)
			mean[i] += o->reward / (l->value[OWN] + o->n);
		/* the noise of a reward that is seldom 1 */
		sd[i] = sqrt(var * l->space->prior.noise_var);
	}
	return 0;
}

static const struct eval_knob linucb_knob[] = {
	[LAMBDA] = { "lambda", "precision of the prior", 3, { .3, 1, 3, 10, 30 }, 5 },
	[ALPHA] = { "alpha", "weight of the spread", .1, { 0, .03, .1, .2, .4, 1 }, 6 },
	[COSINE] = { "cosine", "what a cosine is worth before anything is learnt", .1, { 0, .03, .1, .3, 1 }, 5 },
};
static const struct eval_knob hybrid_knob[] = {
	[LAMBDA] = { "lambda", "precision of the prior", 3, { .3, 1, 3, 10, 30 }, 5 },
	[ALPHA] = { "alpha", "weight of the spread", .2, { 0, .03, .1, .2, .4, 1 }, 6 },
	[COSINE] = { "cosine", "what a cosine is worth before anything is learnt", .1, { 0, .03, .1, .3, 1 }, 5 },
	[OWN] = { "own", "precision of the prior of a row's own intercept", 3, { 1, 3, 10, 30 }, 4 },
};
static const struct eval_knob thompson_knob[] = {
	[LAMBDA] = { "lambda", "precision of the prior", 10, { .3, 1, 3, 10, 30 }, 5 },
	[ALPHA] = { "v", "of the spread in a draw", .03, { .01, .03, .1, .2, .4, 1 }, 6 },
	[COSINE] = { "cosine", "what a cosine is worth before anything is learnt", .1, { 0, .03, .1, .3, 1 }, 5 },
};

#define LINEAR .create = linear_create, .free = linear_free, .rank = linear_rank, .learn = linear_learn, .foretell = linear_foretell

const struct eval_system eval_linucb_user = { .name = "linucb-user", .title = "LinUCB, one linear model for a user",
    .knob = linucb_knob, .n_knob = sizeof linucb_knob / sizeof *linucb_knob, .arg = &kinds[LINUCB], LINEAR };
const struct eval_system eval_hybrid = { .name = "hybrid", .title = "LinUCB with an intercept for each row besides",
    .knob = hybrid_knob, .n_knob = sizeof hybrid_knob / sizeof *hybrid_knob, .arg = &kinds[HYBRID], LINEAR };
const struct eval_system eval_thompson = { .name = "thompson", .title = "Thompson sampling, one linear model for a user",
    .knob = thompson_knob, .n_knob = sizeof thompson_knob / sizeof *thompson_knob, .arg = &kinds[THOMPSON], LINEAR };
