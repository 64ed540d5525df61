/*
 * LinUCB with arms that share nothing (Li et al. 2010, Algorithm 1), features the query: one arm for each row, or one
 * for each cluster of the codebook
 *
 *   arm       of n observations with queries x_i and rewards r: k_i = x.x_i + 1, K their matrix,
 *             mean = k'(K + lambda I)^-1 r, spread^2 = (x.x + 1 - k'(K + lambda I)^-1 k) / lambda: the ridge regression of
 *             the textbook on [x, 1] in its dual form, so that an arm costs what it has seen, and one never shown nothing
 *   score     of row j: w0 x.x_j + mean + alpha spread of its arm; of equals the nearest first
 *   cost      O(steps dim) for k, then O(n^2) an arm that has n observations
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/system.h"
#include "mat/mat.h"

enum { LAMBDA, ALPHA, COSINE };

struct arm {
	size_t n, n_max, n_value, n_factor;
	uint32_t *step;                 /* [n], the step it was shown in */
	double *reward;                 /* [n] */
	double *factor;                 /* [n_max][n_max], Cholesky's of K + lambda I, filled to n */
	double *solved;                 /* [n], (K + lambda I)^-1 r */
};

struct arms {
	const struct eval_space *space;
	const double *value;
	int by_cluster;
	struct arm *arm;
	size_t n_arm, n_arm_max;
	uint32_t *arm_of;               /* [n rows or clusters], number plus one */
	float *asked;                   /* [n_step][dim] */
	size_t n_step, n_asked_max;
	double *k, *k_arm;              /* of the query at hand: [n_step]; of one arm, [most observations of an arm] */
	size_t n_k_max, n_k_arm_max;
	float *score, *ucb;             /* [n], [n_arm_of] */
};

static const int by_row = 0, by_cluster = 1;

static size_t
n_arm_of(const struct arms *a)
{
	return a->by_cluster ? a->space->n_cluster : a->space->n;
}

static void *
arms_create(const void *arg, const struct eval_space *space, const double *value, uint64_t seed, uint64_t user)
{
	struct arms *a = xcalloc(1, sizeof *a);

	(void)seed;
	(void)user;
	*a = (struct arms){ .space = space, .value = value, .by_cluster = *(const int *)arg };
	a->arm_of = xcalloc(n_arm_of(a), sizeof *a->arm_of);
	a->score = xmalloc(space->n, sizeof *a->score);
	a->ucb = xmalloc(n_arm_of(a), sizeof *a->ucb);
	return a;
}

static void
arms_free(void *user)
{
	struct arms *a = user;

	for (size_t i = 0; i < a->n_arm; i++) {
		free(a->arm[i].step);
		free(a->arm[i].reward);
		free(a->arm[i].factor);
		free(a->arm[i].solved);
	}
	free(a->arm);
	free(a->arm_of);
	free(a->asked);
	free(a->k);
	free(a->k_arm);
	free(a->score);
	free(a->ucb);
	free(a);
}

/* k of x with the queries of all steps so far */
static void
look(struct arms *a, const float *x)
{
	a->k = xgrow(a->k, &a->n_k_max, a->n_step + 1, sizeof *a->k);
	for (size_t i = 0; i < a->n_step; i++)
		a->k[i] = mat_dot64(x, a->asked + i * a->space->dim, a->space->dim) + 1;
}

static void
judge(const struct arms *a, const struct arm *arm, double self, double *mean, double *spread2)
{
	double *k = a->k_arm, left = self;

	*mean = 0;
	for (size_t i = 0; i < arm->n; i++) {
		k[i] = a->k[arm->step[i]];
		*mean += k[i] * arm->solved[i];
	}
	for (size_t i = 0; i < arm->n; i++) {
		const double *row = arm->factor + i * arm->n_max;
		k[i] = (k[i] - mat_ddot64(row, k, i)) / row[i];
		left -= k[i] * k[i];
	}
	*spread2 = fmax(left, 0) / a->value[LAMBDA];
}

static void
score_arms(struct arms *a, const struct eval_ask *ask)
{
	double self = mat_dot64(ask->x, ask->x, a->space->dim) + 1;
	float unknown = (float)(a->value[ALPHA] * sqrt(self / a->value[LAMBDA]));

	look(a, ask->x);
	for (size_t i = 0; i < n_arm_of(a); i++) {
		double mean, spread2;
		a->ucb[i] = unknown;
		if (a->arm_of[i]) {
			judge(a, &a->arm[a->arm_of[i] - 1], self, &mean, &spread2);
			a->ucb[i] = (float)(mean + a->value[ALPHA] * sqrt(spread2));
		}
	}
}

static int
arms_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct arms *a = user;
	float cosine = (float)fmax(a->value[COSINE], 1e-6);

	(void)f;
	score_arms(a, ask);
	for (size_t i = 0; i < a->space->n; i++)
		a->score[i] = a->ucb[a->by_cluster ? a->space->cluster[i] : i] + cosine * ask->cosine[i];
	eval_top(a->score, a->space->n, n, row);
	return 0;
}

static void
arm_add(struct arms *a, struct arm *arm, size_t step, double reward)
{
	size_t n = arm->n;

	if (n == arm->n_max) {
		size_t n_max = n ? 2 * n : 4;
		double *factor = xcalloc(n_max * n_max, sizeof *factor);
		for (size_t i = 0; i < n; i++)
			memcpy(factor + i * n_max, arm->factor + i * n, (i + 1) * sizeof *factor);
		free(arm->factor);
		arm->factor = factor;
		arm->n_max = n_max;
		arm->step = xrealloc(arm->step, n_max, sizeof *arm->step);
		arm->reward = xrealloc(arm->reward, n_max, sizeof *arm->reward);
		arm->solved = xrealloc(arm->solved, n_max, sizeof *arm->solved);
	}
	arm->step[n] = (uint32_t)step;
	arm->reward[n] = reward;
	double *row = arm->factor + n * arm->n_max, left;
	left = a->k[step] + a->value[LAMBDA];
	for (size_t i = 0; i < n; i++) {
		const double *above = arm->factor + i * arm->n_max;
		row[i] = (a->k[arm->step[i]] - mat_ddot64(above, row, i)) / above[i];
		left -= row[i] * row[i];
	}
	row[n] = sqrt(left);    /* at least sqrt(lambda), to rounding */
	arm->n++;
	a->k_arm = xgrow(a->k_arm, &a->n_k_arm_max, arm->n, sizeof *a->k_arm);
}

static void
arm_solve(struct arm *arm)
{
	double *y = arm->solved;

	for (size_t i = 0; i < arm->n; i++) {
		const double *row = arm->factor + i * arm->n_max;
		y[i] = (arm->reward[i] - mat_ddot64(row, y, i)) / row[i];
	}
	for (size_t i = arm->n; i-- > 0; ) {
		y[i] /= arm->factor[i * arm->n_max + i];
		for (size_t j = 0; j < i; j++)
			y[j] -= arm->factor[i * arm->n_max + j] * y[i];
	}
}

static int
arms_learn(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f)
{
	struct arms *a = user;
	size_t dim = a->space->dim;

	(void)f;
	a->asked = xgrow(a->asked, &a->n_asked_max, (a->n_step + 1) * dim, sizeof *a->asked);
	memcpy(a->asked + a->n_step * dim, ask->x, dim * sizeof *ask->x);
	a->n_step++;
	look(a, ask->x);
	for (size_t i = 0; i < n; i++) {
		uint32_t which = a->by_cluster ? a->space->cluster[row[i]] : row[i];
		if (!a->arm_of[which]) {
			a->arm = xgrow(a->arm, &a->n_arm_max, a->n_arm + 1, sizeof *a->arm);
			a->arm[a->n_arm] = (struct arm){0};
			a->arm_of[which] = (uint32_t)++a->n_arm;
		}
		struct arm *arm = &a->arm[a->arm_of[which] - 1];
		arm_add(a, arm, a->n_step - 1, reward[i] - a->value[COSINE] * (double)ask->cosine[row[i]]);
		arm_solve(arm);
	}
	return 0;
}

static int
arms_foretell(void *user, const struct eval_ask *ask, const uint32_t *row, size_t n, double *mean, double *sd, struct fault *f)
{
	struct arms *a = user;
	double self = mat_dot64(ask->x, ask->x, a->space->dim) + 1;

	(void)f;
	look(a, ask->x);
	for (size_t i = 0; i < n; i++) {
		uint32_t which = a->by_cluster ? a->space->cluster[row[i]] : row[i];
		double m = 0, spread2 = self / a->value[LAMBDA];
		if (a->arm_of[which])
			judge(a, &a->arm[a->arm_of[which] - 1], self, &m, &spread2);
		mean[i] = m + a->value[COSINE] * (double)ask->cosine[row[i]];
		sd[i] = sqrt(spread2 * a->space->prior.noise_var);
	}
	return 0;
}

static const struct eval_knob item_knob[] = {
	[LAMBDA] = { "lambda", "precision of the prior", 1, { .1, 1, 10 }, 3 },
	[ALPHA] = { "alpha", "weight of the spread", .03, { 0, .01, .03, .1, .3, 1 }, 6 },
	[COSINE] = { "cosine", "what a cosine is worth before anything is learnt", .03, { 0, .03, .1, .3, 1 }, 5 },
};
static const struct eval_knob cluster_knob[] = {
	[LAMBDA] = { "lambda", "precision of the prior", 1, { .1, 1, 10 }, 3 },
	[ALPHA] = { "alpha", "weight of the spread", .1, { 0, .01, .03, .1, .3, 1 }, 6 },
	[COSINE] = { "cosine", "what a cosine is worth before anything is learnt", .03, { 0, .03, .1, .3, 1 }, 5 },
};

#define ARMS .create = arms_create, .free = arms_free, .rank = arms_rank, .learn = arms_learn, .foretell = arms_foretell

const struct eval_system eval_linucb_item = { .name = "linucb-item", .title = "LinUCB, one arm for each row",
    .knob = item_knob, .n_knob = sizeof item_knob / sizeof *item_knob, .arg = &by_row, ARMS };
const struct eval_system eval_linucb_cluster = { .name = "linucb-cluster", .title = "LinUCB, one arm for each cluster",
    .knob = cluster_knob, .n_knob = sizeof cluster_knob / sizeof *cluster_knob, .arg = &by_cluster, ARMS };
