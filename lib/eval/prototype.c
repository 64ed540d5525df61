/*
 * HARE as it was first published, for reference: projections drawn at random and unrelated, unit scales, features of the
 * query, and a mean that grows for ever
 *
 *   logits   l_j = (W_Qx x + W_Qu u).(W_K x_j) / sqrt(p) + alpha U_c(j), p = dim, W of N(0, 1 / dim);  A = softmax(l)
 *   bonus    U_c = sqrt(q' S_c^-1 q), q = W_Qx x + W_Qu u of unit length, S_c = I + sum of q q' over the rows of cluster c
 *            that were shown
 *   user     L = I + sum of x x' over queries x, and after each reward r: u = L^-1 (L u + r x), with the new L on both
 *            sides, so that nothing is ever taken back
 *   shown    the highest weights
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "belief/belief.h"
#include "belief/root.h"
#include "eval/system.h"
#include "mat/mat.h"

enum { ALPHA };

struct prototype {
	const struct eval_space *space;
	const double *value;
	size_t pad;
	float *w_qx, *w_qu, *w_k;       /* [dim][dim], row-major */
	double *root, *u, *x, *f, *gain, *scratch;
	struct belief_cluster **cluster;        /* [n_cluster], NULL without observations */
	float *user, *q, *key, *score;  /* [dim], [dim], [dim], [n] */
	double *bonus;                  /* [n_cluster] */
};

static const struct eval_knob knob[] = { [ALPHA] = { "alpha", "weight of the bonus", .01, { .01, .1, 1 }, 3 } };

static float *
draw(struct rng *r, size_t dim)
{
	float *w = xmalloc(dim * dim, sizeof *w);

	for (size_t i = 0; i < dim * dim; i++)
		w[i] = (float)(rng_normal(r) / sqrt((double)dim));
	return w;
}

static void *
prototype_create(const void *arg, const struct eval_space *space, const double *value, uint64_t seed, uint64_t user)
{
	struct prototype *p = xcalloc(1, sizeof *p);
	struct rng r = rng_at(seed, 0);         /* the same projections for all users */
	size_t dim = space->dim, pad = root_pad(dim);

	(void)arg;
	(void)user;
	*p = (struct prototype){ .space = space, .value = value, .pad = pad };
	p->w_qx = draw(&r, dim);
	p->w_qu = draw(&r, dim);
	p->w_k = draw(&r, dim);
	p->root = xaligned(root_triangle(dim), sizeof *p->root);
	root_start(p->root, dim, 1);
	p->u = xaligned(7 * pad, sizeof *p->u);
	memset(p->u, 0, 7 * pad * sizeof *p->u);
	p->x = p->u + pad;
	p->f = p->u + 2 * pad;
	p->gain = p->u + 3 * pad;
	p->scratch = p->u + 4 * pad;
	p->cluster = xcalloc(space->n_cluster, sizeof *p->cluster);
	p->bonus = xcalloc(space->n_cluster, sizeof *p->bonus);
	p->user = xcalloc(dim, sizeof *p->user);
	p->q = xmalloc(dim, sizeof *p->q);
	p->key = xmalloc(dim, sizeof *p->key);
	p->score = xmalloc(space->n, sizeof *p->score);
	return p;
}

static void
prototype_free(void *user)
{
	struct prototype *p = user;

	for (size_t c = 0; c < p->space->n_cluster; c++)
		belief_cluster_free(p->cluster[c]);
	free(p->cluster);
	free(p->bonus);
	free(p->user);
	free(p->q);
	free(p->key);
	free(p->score);
	free(p->u);
	free(p->root);
	free(p->w_qx);
	free(p->w_qu);
	free(p->w_k);
	free(p);
}

/* q, and its unit form in key */
static void
aim(struct prototype *p, const struct eval_ask *ask)
{
	size_t dim = p->space->dim;

	mat_mul_vec(1, mat_of(p->w_qx, dim, dim), 0, ask->x, 0, p->q);
	mat_mul_vec(1, mat_of(p->w_qu, dim, dim), 0, p->user, 1, p->q);
	memcpy(p->key, p->q, dim * sizeof *p->key);
	mat_normalise(p->key, dim);
}

static void
logits(struct prototype *p, const struct eval_ask *ask, float *out)
{
	size_t dim = p->space->dim;

	aim(p, ask);
	for (size_t c = 0; c < p->space->n_cluster; c++)
		p->bonus[c] = p->value[ALPHA] * (p->cluster[c] ? belief_cluster_bonus(p->cluster[c], p->key, p->scratch) : 1);
	/* (W_K' q).x_j: the pool is never projected */
	mat_mul_vec(1, mat_of(p->w_k, dim, dim), 1, p->q, 0, p->key);
	mat_mul_vec((float)(1 / sqrt((double)dim)), mat_of(p->space->x, p->space->n, dim), 0, p->key, 0, out);
	for (size_t i = 0; i < p->space->n; i++)
		out[i] += (float)p->bonus[p->space->cluster[i]];
}

static int
prototype_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct prototype *p = user;

	(void)f;
	logits(p, ask, p->score);
	eval_top(p->score, p->space->n, n, row);
	return 0;
}

static int
prototype_learn(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f)
{
	struct prototype *p = user;
	size_t dim = p->space->dim;

	aim(p, ask);
	for (size_t i = 0; i < n; i++) {
		uint32_t c = p->space->cluster[row[i]];
		if (!p->cluster[c])
			p->cluster[c] = belief_cluster_new(dim);
		belief_cluster_learn(p->cluster[c], p->key);
		if (belief_cluster_solve(p->cluster[c], f) < 0)
			return -1;
		for (size_t d = 0; d < dim; d++)
			p->x[d] = (double)ask->x[d];
		root_project(p->root, p->x, dim, p->f);
		root_observe(p->root, NULL, p->f, 0, dim, p->gain, p->scratch);
		root_axpy(p->u, reward[i], p->gain, p->pad);
	}
	for (size_t d = 0; d < dim; d++)
		p->user[d] = (float)p->u[d];
	return 0;
}

static int
prototype_attend(void *user, const struct eval_ask *ask, float *weight, struct fault *f)
{
	struct prototype *p = user;

	(void)f;
	logits(p, ask, weight);
	mat_softmax(weight, p->space->n);
	return 0;
}

const struct eval_system eval_prototype = { .name = "prototype", .title = "HARE as first published: untied random projections",
    .knob = knob, .n_knob = sizeof knob / sizeof *knob, .create = prototype_create, .free = prototype_free,
    .rank = prototype_rank, .learn = prototype_learn, .attend = prototype_attend };
