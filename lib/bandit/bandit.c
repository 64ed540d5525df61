#include "bandit/inside.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

const char *const bandit_policy_name[] = { "linucb", "lints", "egreedy", "squarecb", "uniform", NULL };
const char *const bandit_model_name[] = { "disjoint", "hybrid", "shared", NULL };

static double *
zeros(size_t n)
{
	double *at = xaligned(n, sizeof *at);

	memset(at, 0, n * sizeof *at);
	return at;
}

/* n doubles of old and room behind them, which costs nothing until an arm is there. */
static double *
more(double *old, size_t n, size_t n_new)
{
	double *at = xaligned(n_new, sizeof *at);

	if (n)
		memcpy(at, old, n * sizeof *at);
	free(old);
	return at;
}

struct bandit *
bandit_new(const struct bandit_settings *set)
{
	struct bandit *b = xcalloc(1, sizeof *b);
	struct fault f;

	b->set = *set;
	b->set.dim = 0;
	b->settings_changed = b->rows_changed = 1;
	if (set->dim && bandit_set_dim(b, set->dim, &f) < 0)
		assert(!"settings were checked where they came from");
	return b;
}

void
bandit_free(struct bandit *b)
{
	if (!b)
		return;
	for (size_t a = 0; a < b->n_arm; a++)
		free(b->arm[a].name);
	free(b->arm);
	free(b->slot);
	free(b->feature);
	free(b->s);
	free(b->mean);
	free(b->gram);
	free(b->b);
	free(b->c);
	free(b->shared.s);
	free(b->shared.mean);
	free(b->shared.gram);
	free(b->shared.b);
	free(b->centre);
	free(b->square);
	free(b->origin);
	free(b->per_unit);
	free(b->scratch);
	free(b);
}

const struct bandit_settings *
bandit_settings(const struct bandit *b)
{
	return &b->set;
}

void
bandit_set_policy(struct bandit *b, const struct bandit_settings *set)
{
	struct bandit_settings old = b->set;

	b->set.policy = set->policy;
	b->set.alpha = set->alpha;
	b->set.epsilon = set->epsilon;
	b->set.gamma = set->gamma;
	b->set.seed = set->seed;
	if (old.policy != set->policy || old.alpha != set->alpha || old.epsilon != set->epsilon ||
	    old.gamma != set->gamma || old.seed != set->seed)
		b->settings_changed = 1;
}

void
bandit_close_arms(struct bandit *b)
{
	b->settings_changed |= !b->set.is_closed;
	b->set.is_closed = 1;
}

/* ---- memory ---- */

static void
start_arm(struct bandit *b, size_t a)
{
	struct bandit_gauss g = bandit_gauss_of(b, a);

	root_start(g.s, b->d, b->set.lambda);
	memset(g.gram, 0, b->triangle * sizeof *g.gram);
	memset(g.mean, 0, b->pad * sizeof *g.mean);
	memset(g.b, 0, b->pad * sizeof *g.b);
	if (b->c)
		memset(b->c + a * b->d * b->k_pad, 0, b->d * b->k_pad * sizeof *b->c);
}

void
bandit_take(struct bandit *b)
{
	if (b->d == 0 || b->set.model == BANDIT_SHARED || b->s)
		return;
	b->s = more(NULL, 0, b->n_cap * b->triangle);
	b->gram = more(NULL, 0, b->n_cap * b->triangle);
	b->mean = more(NULL, 0, b->n_cap * b->pad);
	b->b = more(NULL, 0, b->n_cap * b->pad);
	if (b->set.model == BANDIT_HYBRID)
		b->c = more(NULL, 0, b->n_cap * b->d * b->k_pad);
	for (size_t a = 0; a < b->n_arm; a++)
		start_arm(b, a);
}

static void
grow_arms(struct bandit *b)
{
	size_t n = b->n_arm, n_cap = n < 8 ? 8 : n + n / 2;

	b->arm = xrealloc(b->arm, n_cap, sizeof *b->arm);
	if (b->set.arm_dim)
		b->feature = more(b->feature, n * b->set.arm_dim, n_cap * b->set.arm_dim);
	if (b->s) {
		b->s = more(b->s, n * b->triangle, n_cap * b->triangle);
		b->gram = more(b->gram, n * b->triangle, n_cap * b->triangle);
		b->mean = more(b->mean, n * b->pad, n_cap * b->pad);
		b->b = more(b->b, n * b->pad, n_cap * b->pad);
		if (b->c)
			b->c = more(b->c, n * b->d * b->k_pad, n_cap * b->d * b->k_pad);
	}
	b->n_cap = n_cap;
}

int
bandit_set_dim(struct bandit *b, size_t dim, struct fault *f)
{
	assert(b->set.dim == 0 && dim > 0);
	if (dim > BANDIT_DIM_MAX)
		return fault(f, EX_DATAERR, "expected at most %d features, got %zu", BANDIT_DIM_MAX, dim);
	size_t d = dim + (b->set.intercept != 0), k = 0;
	if (b->set.model != BANDIT_DISJOINT)
		k = b->set.arm_dim ? b->set.arm_dim * d : d;
	if (k > BANDIT_DIM_MAX)
		return fault(f, EX_DATAERR, "%zu features of arms times %zu of rows: expected at most %d products, got %zu",
		    b->set.arm_dim, d, BANDIT_DIM_MAX, k);
	b->set.dim = dim;
	/* the squared length of x grows with its features, and what the prior says with it */
	if (b->set.lambda == 0)
		b->set.lambda = sqrt((double)dim);
	b->d = d;
	b->pad = root_pad(d);
	b->triangle = root_triangle(d);
	b->k = k;
	b->k_pad = root_pad(k);
	b->settings_changed = b->rows_changed = 1;
	for (size_t a = 0; a < b->n_arm; a++)
		b->arm[a].has_changed = 1;      /* every value tells the dimension */
	size_t n_most = d > k ? d : k;
	b->scratch = xaligned(6 * root_pad(n_most) + (b->set.half_life > 0 ? root_triangle(n_most) : 0), sizeof *b->scratch);
	if (b->set.standardise) {
		b->centre = zeros(dim);
		b->square = zeros(dim);
		b->origin = zeros(dim);
		b->per_unit = zeros(dim);
	}
	if (k) {
		b->shared.s = zeros(root_triangle(k));
		b->shared.gram = zeros(root_triangle(k));
		b->shared.mean = zeros(b->k_pad);
		b->shared.b = zeros(b->k_pad);
		root_start(b->shared.s, k, b->set.lambda);
	}
	bandit_take(b);
	return 0;
}

/* ---- arms ---- */

static size_t *
find_slot(const struct bandit *b, struct span name)
{
	for (size_t i = (size_t)hash64(name.at, name.n, 0) & (b->n_slot - 1); ; i = (i + 1) & (b->n_slot - 1)) {
		const struct bandit_arm *arm = &b->arm[b->slot[i] - 1];
		if (b->slot[i] == 0 || (arm->n_name == name.n && memcmp(arm->name, name.at, name.n) == 0))
			return &b->slot[i];
	}
}

size_t
bandit_n_arm(const struct bandit *b)
{
	return b->n_arm;
}

struct span
bandit_arm_name(const struct bandit *b, size_t a)
{
	return (struct span){ b->arm[a].name, b->arm[a].n_name };
}

size_t
bandit_find_arm(const struct bandit *b, struct span name)
{
	return b->n_slot ? *find_slot(b, name) - 1 : SIZE_MAX;          /* 0 - 1 is SIZE_MAX */
}

size_t
bandit_add_arm(struct bandit *b, struct span name, const double *feature)
{
	size_t a = b->n_arm;

	if (2 * (a + 1) > b->n_slot) {
		b->n_slot = b->n_slot ? 2 * b->n_slot : 32;
		free(b->slot);
		b->slot = xcalloc(b->n_slot, sizeof *b->slot);
		for (size_t i = 0; i < a; i++)
			*find_slot(b, bandit_arm_name(b, i)) = i + 1;
	}
	if (a == b->n_cap)
		grow_arms(b);
	b->arm[a] = (struct bandit_arm){ .name = xstrndup(name.at, name.n), .n_name = name.n, .is_new = 1, .has_changed = 1 };
	*find_slot(b, name) = a + 1;
	b->n_arm++;
	b->rows_changed = 1;
	if (b->set.arm_dim)
		memcpy(b->feature + a * b->set.arm_dim, feature, b->set.arm_dim * sizeof *feature);
	if (b->s)
		start_arm(b, a);
	return a;
}

const double *
bandit_arm_feature(const struct bandit *b, size_t a)
{
	return b->feature + a * b->set.arm_dim;
}

uint64_t
bandit_arm_n(const struct bandit *b, size_t a)
{
	return b->arm[a].n;
}

uint64_t
bandit_n(const struct bandit *b)
{
	return b->n_shared;
}

uint64_t
bandit_n_row(const struct bandit *b)
{
	return b->n_row;
}

size_t
bandit_n_weight(const struct bandit *b)
{
	return b->set.model == BANDIT_SHARED ? b->k : b->d;
}

const double *
bandit_theta(const struct bandit *b, size_t a)
{
	return b->set.model == BANDIT_SHARED ? b->shared.mean : b->mean + a * b->pad;
}

/* ---- features ---- */

/* Sums of an arm in other units: z_i becomes a_i z_i + h_i, and the intercept behind them stays 1. */
static void
change_units(struct bandit_gauss g, const double *a, const double *h, size_t dim)
{
	double *last = g.gram + root_row(dim), n = last[dim], reward = g.b[dim];

	for (size_t i = 0; i < dim; i++) {
		double *row = g.gram + root_row(i);
		for (size_t j = 0; j <= i; j++)
			row[j] = a[i] * a[j] * row[j] + a[i] * last[i] * h[j] + h[i] * a[j] * last[j] + h[i] * h[j] * n;
	}
	for (size_t i = 0; i < dim; i++) {
		last[i] = a[i] * last[i] + n * h[i];
		g.b[i] = a[i] * g.b[i] + h[i] * reward;
	}
}

/* Features are measured from origin in units of 1 / per_unit from now on, and so is what was learnt. */
static void
measure(struct bandit *b, const double *origin, const double *per_unit)
{
	size_t dim = b->set.dim;
	double *a = xmalloc(2 * dim, sizeof *a), *h = a + dim;

	for (size_t i = 0; i < dim; i++) {
		a[i] = b->per_unit[i] > 0 ? per_unit[i] / b->per_unit[i] : 0;
		h[i] = per_unit[i] * (b->origin[i] - origin[i]);
		b->per_unit[i] = per_unit[i];
		b->origin[i] = origin[i];
	}
	for (size_t k = 0; b->set.model == BANDIT_DISJOINT && k < b->n_arm; k++)
		if (b->arm[k].n > 0) {
			change_units(bandit_gauss_of(b, k), a, h, dim);
			bandit_solve(bandit_gauss_of(b, k), b->set.lambda, b->d);
			b->arm[k].has_changed = 1;
		}
	free(a);
}

/* A feature that was one number so far says nothing. */
void
bandit_refit(struct bandit *b)
{
	double *per_unit = xmalloc(b->set.dim, sizeof *per_unit);

	for (size_t i = 0; i < b->set.dim; i++) {
		double variance = b->square[i] / (double)b->n_row;
		per_unit[i] = variance > 0 ? 1 / sqrt(variance) : 0;
	}
	measure(b, b->centre, per_unit);
	free(per_unit);
}

void
bandit_refit_as(struct bandit *b, const struct bandit *other)
{
	measure(b, other->origin, other->per_unit);
}

void
bandit_observe(struct bandit *b, const double *x)
{
	uint64_t n = ++b->n_row, top = n;

	b->rows_changed = 1;
	if (!b->set.standardise)
		return;
	double per = 1 / (double)n;
	for (size_t i = 0; i < b->set.dim; i++) {
		double off = x[i] - b->centre[i];
		b->centre[i] += off * per;
		b->square[i] += off * (x[i] - b->centre[i]);
	}
	/* at 1, 2, 3, 4, 6, 8, 12, 16, ... rows */
	while (top > 3)
		top = top % 2 ? 0 : top / 2;
	if (top > 0)
		bandit_refit(b);
}

void
bandit_joint(const struct bandit *b, size_t a, const double *x, double *z)
{
	size_t n_arm_dim = b->set.arm_dim;

	if (n_arm_dim == 0)
		memcpy(z, x, b->pad * sizeof *z);
	else {
		for (size_t j = 0; j < n_arm_dim; j++)
			for (size_t i = 0; i < b->d; i++)
				z[j * b->d + i] = b->feature[a * n_arm_dim + j] * x[i];
		for (size_t i = b->k; i < b->k_pad; i++)
			z[i] = 0;
	}
	if (b->set.model == BANDIT_HYBRID)
		for (size_t i = 0; i < b->d; i++)
			root_axpy(z, -x[i], b->c + (a * b->d + i) * b->k_pad, b->k_pad);
}

/* ---- learning ---- */

int
bandit_solve(struct bandit_gauss g, double lambda, size_t dim)
{
	size_t pad = root_pad(dim), triangle = root_triangle(dim);
	double *scratch = xaligned(triangle > pad ? triangle : pad, sizeof *scratch);
	int e = root_factor(g.gram, lambda, dim, g.s, scratch);

	if (e == 0) {
		root_project(g.s, g.b, dim, scratch);
		root_multiply(g.s, scratch, dim, g.mean);
	}
	free(scratch);
	return e;
}

/* One observation of x: reward error + mean'x. f = S'x; gain and scratch [3 pad] as root_observe() has them. */
static void
learn(struct bandit_gauss g, const struct bandit_settings *set, const double *x, const double *f, double reward,
    double error, size_t dim, double *gain, double *scratch)
{
	size_t pad = root_pad(dim);

	if (set->half_life > 0) {
		double keep = exp2(-1 / set->half_life);
		for (size_t i = 0; i < root_triangle(dim); i++)
			g.gram[i] *= keep;
		for (size_t i = 0; i < pad; i++)
			g.b[i] *= keep;
	}
	root_gram(g.gram, x, 1, dim);
	root_axpy(g.b, reward, x, pad);
	if (set->half_life > 0)
		bandit_solve(g, set->lambda, dim);      /* positive definite as sums of squares are */
	else
		root_observe(g.s, g.mean, f, error, dim, gain, scratch);
}

void
bandit_learn(struct bandit *b, struct bandit_desk *d, size_t a, double reward)
{
	struct bandit_gauss g;
	const double *x = d->x, *f;
	size_t n_most = root_pad(b->d > b->k ? b->d : b->k);
	double *gain = b->scratch, *scratch = gain + n_most, predicted, variance = 0;

	if (b->set.model == BANDIT_SHARED) {
		bandit_joint(b, a, x, d->z);
		root_project(b->shared.s, d->z, b->k, d->f0);
		predicted = root_dot(b->shared.mean, d->z, b->k_pad);
		learn(b->shared, &b->set, d->z, d->f0, reward, reward - predicted, b->k, NULL, scratch);
		b->shared_changed = 1;
	} else {
		g = bandit_gauss_of(b, a);
		if (d->is_scored && d->f_is_whole && b->set.model == BANDIT_DISJOINT) {
			f = d->f + a * b->pad;
			predicted = d->predicted[a];
		} else {
			double *at = d->f_is_whole ? d->f + a * b->pad : d->f;
			variance = root_project(g.s, x, b->d, at);
			predicted = root_dot(g.mean, x, b->pad);
			f = at;
		}
		if (b->set.model == BANDIT_HYBRID)
			bandit_joint(b, a, x, d->w);
		learn(g, &b->set, x, f, reward, reward - predicted, b->d, b->c ? gain : NULL, scratch);
	}
	if (b->set.model == BANDIT_HYBRID) {
		/* What an observation tells of beta: of the part of z that x does not explain, with the noise of theta added. */
		double per = 1 / sqrt(1 + variance), error = (reward - predicted) * per;
		for (size_t i = 0; i < b->d; i++)
			root_axpy(b->c + (a * b->d + i) * b->k_pad, gain[i], d->w, b->k_pad);
		for (size_t i = 0; i < b->k_pad; i++)
			d->w[i] *= per;
		root_project(b->shared.s, d->w, b->k, d->f0);
		learn(b->shared, &b->set, d->w, d->f0, error, error - root_dot(b->shared.mean, d->w, b->k_pad), b->k, NULL, scratch);
		b->shared_changed = 1;
	}
	b->arm[a].n++;
	b->arm[a].has_changed = 1;
	b->n_shared++;
	d->is_scored = 0;
}
