/*
 * estimate.c - the worth of a policy from rewards that another one earned
 *
 * Sources: IPS and its self-normalised form, Swaminathan and Joachims, The Self-Normalized Estimator for Counterfactual
 * Learning (NIPS 2015); doubly robust, Dudik, Langford and Li, Doubly Robust Policy Evaluation and Learning (ICML 2011),
 * with each half of the log predicted by what the other half taught; replay, Li, Chu, Langford and Wang, Unbiased Offline
 * Evaluation of Contextual-bandit-based News Article Recommendation Algorithms (WSDM 2011).
 */
#include "bandit/inside.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct shown {
	size_t arm, target, n_target;   /* where its targets begin */
	double reward, propensity;
	double probability;             /* of the judged policy for this arm */
};

struct bandit_log {
	size_t dim, n_arm;              /* arms seen, shown or targets */
	double lambda;
	struct shown *row;
	size_t n, n_cap;
	size_t *target_arm;
	double *target_probability;
	size_t n_target, n_target_cap, n_probability_cap;
	float *x;                       /* [n][dim] */
	size_t n_x_cap;
	int is_partial;                 /* targets that do not sum to 1 */
};

struct bandit_log *
bandit_log_new(size_t dim, double lambda)
{
	struct bandit_log *l = xcalloc(1, sizeof *l);

	l->dim = dim;
	l->lambda = lambda;
	return l;
}

void
bandit_log_free(struct bandit_log *l)
{
	if (!l)
		return;
	free(l->row);
	free(l->target_arm);
	free(l->target_probability);
	free(l->x);
	free(l);
}

void
bandit_log_add(struct bandit_log *l, size_t arm, double reward, double propensity, struct bandit_target target,
    const double *x)
{
	struct shown *r;
	double sum = 0;

	l->row = xgrow(l->row, &l->n_cap, l->n + 1, sizeof *l->row);
	l->target_arm = xgrow(l->target_arm, &l->n_target_cap, l->n_target + target.n + 1, sizeof *l->target_arm);
	l->target_probability = xgrow(l->target_probability, &l->n_probability_cap, l->n_target + target.n + 1,
	    sizeof *l->target_probability);
	r = &l->row[l->n];
	*r = (struct shown){ arm, l->n_target, target.n, reward, propensity, 0 };
	l->n_arm = arm >= l->n_arm ? arm + 1 : l->n_arm;
	for (size_t i = 0; i < target.n; i++) {
		l->target_arm[l->n_target] = target.arm[i];
		l->target_probability[l->n_target++] = target.probability[i];
		l->n_arm = target.arm[i] >= l->n_arm ? target.arm[i] + 1 : l->n_arm;
		sum += target.probability[i];
		if (target.arm[i] == arm)
			r->probability += target.probability[i];
	}
	l->is_partial |= fabs(sum - 1) > 1e-6;
	if (l->dim) {
		l->x = xgrow(l->x, &l->n_x_cap, (l->n + 1) * l->dim, sizeof *l->x);
		for (size_t i = 0; i < l->dim; i++)
			l->x[l->n * l->dim + i] = (float)x[i];
	}
	l->n++;
}

/* Of terms whose mean is the estimate. */
static void
mean_of(const double *term, size_t n, struct bandit_estimate *out)
{
	double sum = 0, square = 0;

	for (size_t i = 0; i < n; i++)
		sum += term[i];
	out->value = sum / (double)n;
	for (size_t i = 0; i < n; i++)
		square += (term[i] - out->value) * (term[i] - out->value);
	out->error = n > 1 ? sqrt(square / (double)(n - 1) / (double)n) : INFINITY;
}

/* Sum of weighted rewards over the sum of weights, error by the delta method. */
static int
ratio_of(const struct bandit_log *l, const double *weight, struct bandit_estimate *out, struct fault *f)
{
	double sum = 0, reward = 0, square = 0;

	for (size_t i = 0; i < l->n; i++) {
		sum += weight[i];
		reward += weight[i] * l->row[i].reward;
	}
	if (sum == 0)
		return fault(f, EX_DATAERR, "no row of the log shows an arm that the policy would choose");
	out->value = reward / sum;
	for (size_t i = 0; i < l->n; i++) {
		double off = weight[i] * (l->row[i].reward - out->value);
		square += off * off;
	}
	out->error = out->n_effective > 1 ? sqrt(square) / sum * sqrt(out->n_effective / (out->n_effective - 1)) : INFINITY;
	return 0;
}

static void
set_effective(const double *weight, size_t n, struct bandit_estimate *out)
{
	double sum = 0, square = 0;

	for (size_t i = 0; i < n; i++) {
		sum += weight[i];
		square += weight[i] * weight[i];
	}
	out->n_effective = square > 0 ? sum * sum / square : 0;
}

/* ---- doubly robust ---- */

struct rewards {
	size_t dim, n_arm;              /* with the intercept */
	double *centre, *scale;         /* of features over the log [dim - 1] */
	double rate[2];                 /* mean reward of each half */
	double *s, *mean;               /* [2][n_arm] roots and means, of what the half taught */
	double *x, *f, *scratch;
};

static void
measure_features(struct rewards *m, const struct bandit_log *l)
{
	for (size_t j = 0; j < l->dim; j++) {
		double sum = 0, square = 0;
		for (size_t i = 0; i < l->n; i++)
			sum += (double)l->x[i * l->dim + j];
		m->centre[j] = sum / (double)l->n;
		for (size_t i = 0; i < l->n; i++) {
			double off = (double)l->x[i * l->dim + j] - m->centre[j];
			square += off * off;
		}
		m->scale[j] = square > 0 ? sqrt((double)l->n / square) : 0;
	}
}

static void
features_of(struct rewards *m, const struct bandit_log *l, size_t i)
{
	for (size_t j = 0; j < l->dim; j++)
		m->x[j] = ((double)l->x[i * l->dim + j] - m->centre[j]) * m->scale[j];
	m->x[l->dim] = 1;
}

static void
start_rewards(struct rewards *m, const struct bandit_log *l)
{
	size_t dim = l->dim + 1, pad = root_pad(dim), n_root = 2 * l->n_arm;

	m->dim = dim;
	m->n_arm = l->n_arm;
	m->centre = xcalloc(l->dim + 1, sizeof *m->centre);
	m->scale = xcalloc(l->dim + 1, sizeof *m->scale);
	m->s = xaligned(n_root * root_triangle(dim), sizeof *m->s);
	m->mean = xaligned(n_root * pad, sizeof *m->mean);
	memset(m->mean, 0, n_root * pad * sizeof *m->mean);
	for (size_t k = 0; k < n_root; k++)
		root_start(m->s + k * root_triangle(dim), dim, l->lambda);
	m->x = xaligned(pad, sizeof *m->x);
	memset(m->x, 0, pad * sizeof *m->x);
	m->f = xaligned(pad, sizeof *m->f);
	m->scratch = xaligned(3 * pad, sizeof *m->scratch);
	measure_features(m, l);
}

static void
free_rewards(struct rewards *m)
{
	free(m->centre);
	free(m->scale);
	free(m->s);
	free(m->mean);
	free(m->x);
	free(m->f);
	free(m->scratch);
}

/* Ridge regression of rewards, less the half's mean, on the features: for each half and arm. */
static void
teach(struct rewards *m, const struct bandit_log *l)
{
	size_t n[2] = {0}, pad = root_pad(m->dim);

	for (size_t i = 0; i < l->n; i++) {
		m->rate[i % 2] += l->row[i].reward;
		n[i % 2]++;
	}
	for (int half = 0; half < 2; half++)
		m->rate[half] /= n[half] ? (double)n[half] : 1;
	for (size_t i = 0; i < l->n; i++) {
		size_t k = (i % 2) * m->n_arm + l->row[i].arm;
		double *s = m->s + k * root_triangle(m->dim), *mean = m->mean + k * pad;
		features_of(m, l, i);
		root_project(s, m->x, m->dim, m->f);
		root_observe(s, mean, m->f, l->row[i].reward - m->rate[i % 2] - root_dot(mean, m->x, pad), m->dim, NULL, m->scratch);
	}
}

/* What the other half says of the arm for the row whose features are in m->x. */
static double
predict(const struct rewards *m, size_t i, size_t arm)
{
	size_t half = 1 - i % 2, pad = root_pad(m->dim);

	return m->rate[half] + root_dot(m->mean + (half * m->n_arm + arm) * pad, m->x, pad);
}

static void
doubly_robust(const struct bandit_log *l, const double *weight, double *term)
{
	struct rewards m = {0};

	start_rewards(&m, l);
	teach(&m, l);
	for (size_t i = 0; i < l->n; i++) {
		const struct shown *r = &l->row[i];
		features_of(&m, l, i);
		term[i] = weight[i] ? weight[i] * (r->reward - predict(&m, i, r->arm)) : 0;
		for (size_t t = r->target; t < r->target + r->n_target; t++)
			term[i] += l->target_probability[t] * predict(&m, i, l->target_arm[t]);
	}
	free_rewards(&m);
}

/* ---- replay ---- */

static int
check_uniform(const struct bandit_log *l, size_t n_arm, struct fault *f)
{
	double share = 1 / (double)n_arm, expected = share * (double)l->n, chi = 0;
	size_t *count = xcalloc(l->n_arm + 1, sizeof *count), least = SIZE_MAX, most = 0;
	int e = 0;

	for (size_t i = 0; i < l->n && e == 0; i++) {
		if (fabs(l->row[i].propensity - share) > 1e-6 + 1e-3 * share)
			e = fault(f, EX_DATAERR, "replay needs a log whose arms were drawn uniformly, else it is biased: "
			    "row %zu was shown with propensity %g, one of %zu arms is %g", i + 1, l->row[i].propensity, n_arm, share);
		count[l->row[i].arm]++;
	}
	/* said to be uniform, is it? 8 standard deviations of a chi-square beyond its mean */
	for (size_t a = 0; a < l->n_arm; a++) {
		chi += ((double)count[a] - expected) * ((double)count[a] - expected) / expected;
		least = count[a] < least ? count[a] : least;
		most = count[a] > most ? count[a] : most;
	}
	double n_free = (double)n_arm - 1;
	if (e == 0 && chi > n_free + 8 * sqrt(2 * n_free) + 16)
		e = fault(f, EX_DATAERR, "replay needs a log whose arms were drawn uniformly, else it is biased: "
		    "arms were shown from %zu to %zu times, expected about %.0f of %zu", least, most, expected, l->n);
	free(count);
	return e;
}

int
bandit_log_estimate(struct bandit_log *l, enum bandit_estimator which, size_t n_arm, struct bandit_estimate *out,
    struct fault *f)
{
	double *weight, *term;
	int e = 0;

	*out = (struct bandit_estimate){0};
	if (l->n == 0)
		return fault(f, EX_DATAERR, "the log has no rows");
	if (which == BANDIT_DR && l->is_partial)
		return fault(f, EX_DATAERR, "doubly robust needs the policy's probabilities of all arms");
	if (which == BANDIT_DR && l->n < 2)
		return fault(f, EX_DATAERR, "doubly robust needs two rows, got one");
	if (which == BANDIT_REPLAY && check_uniform(l, n_arm, f) < 0)
		return -1;
	weight = xmalloc(l->n, sizeof *weight);
	term = xmalloc(l->n, sizeof *term);
	for (size_t i = 0; i < l->n; i++) {
		weight[i] = l->row[i].probability / (which == BANDIT_REPLAY ? 1 : l->row[i].propensity);
		term[i] = weight[i] * l->row[i].reward;
	}
	set_effective(weight, l->n, out);
	switch (which) {
	case BANDIT_IPS: mean_of(term, l->n, out); break;
	case BANDIT_DR:
		doubly_robust(l, weight, term);
		mean_of(term, l->n, out);
		break;
	default: e = ratio_of(l, weight, out, f);
	}
	free(weight);
	free(term);
	return e;
}
