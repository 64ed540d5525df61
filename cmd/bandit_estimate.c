/*
 * bandit_estimate.c - hare-bandit estimate: what another policy would have earned
 */
#include "bandit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"

enum { BATCH_ROWS = 256 };

static const char *policy_column, *probability_column, *probabilities_column;
static struct opt_list estimator;
static double ridge = 1;

static const char *const estimator_name[] = { "ips", "snips", "dr", "replay" };

static const struct opt opts[] = {
	{ 0, "policy-column", OPT_STRING, &policy_column, "NAME", "the judged policy: the arm that it would choose", NULL, NULL },
	{ 0, "probability-column", OPT_STRING, &probability_column, "NAME", "its probability of the arm that was shown", NULL, NULL },
	{ 0, "probabilities-column", OPT_STRING, &probabilities_column, "NAME", "a vector of its probabilities, in the order of --arms",
	    NULL, NULL },
	{ 0, "estimator", OPT_LIST, &estimator, "NAME[,NAME...]", "ips, snips, dr, replay (all that the log allows)", NULL, NULL },
	{ 0, "ridge", OPT_REAL, &ridge, "L", "penalty of the reward model of dr (1)", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)bandit_policy_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)bandit_arm_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct judging {
	struct bandit_job job;          /* its bandit knows the arms; with a state it is the judged policy */
	int is_state;
	struct bandit_log *log;
	int arm, reward, propensity, target;    /* columns */
	size_t *target_arm;
	double *target_probability;
	size_t n_target_cap, n_probability_cap;
	struct buf vector;
};

static int
is_wanted(enum bandit_estimator e)
{
	if (estimator.n == 0)
		return 1;
	for (size_t i = 0; i < estimator.n; i++)
		for (const char *p = estimator.at[i]; *p; ) {
			size_t n = strcspn(p, ",");
			if (strlen(estimator_name[e]) == n && memcmp(p, estimator_name[e], n) == 0)
				return 1;
			p += n + (p[n] == ',');
		}
	return 0;
}

static void
check_options(const struct opt_program *p)
{
	int n_policy = (policy_column != NULL) + (probability_column != NULL) + (probabilities_column != NULL);

	bandit_check_options(p);
	if (n_policy > 1)
		opt_usage(p, "expected one of --policy-column, --probability-column and --probabilities-column, got %d", n_policy);
	if (n_policy == 0 && !bandit_state_name)
		opt_usage(p, "expected the policy to judge: --policy-column, --probability-column, --probabilities-column or -s");
	if (ridge <= 0)
		opt_usage(p, "--ridge: expected more than 0, got %g", ridge);
	for (size_t i = 0; i < estimator.n; i++)
		for (const char *name = estimator.at[i]; ; ) {
			size_t n = strcspn(name, ","), k = 0;
			while (k < BANDIT_N_ESTIMATOR && (strlen(estimator_name[k]) != n || memcmp(name, estimator_name[k], n) != 0))
				k++;
			if (k == BANDIT_N_ESTIMATOR)
				opt_usage(p, "--estimator: expected ips, snips, dr or replay, got \"%.*s\"", (int)n, name);
			if (!name[n])
				break;
			name += n + 1;
		}
}

static int
find_columns(struct judging *g, struct fault *f)
{
	struct record_in *in = g->job.in;
	const char *name = policy_column ? policy_column : probability_column ? probability_column : probabilities_column;

	if ((g->arm = record_find(in, "arm")) < 0 && (g->arm = record_find(in, "item")) < 0)
		return record_need(in, "arm", f);
	if ((g->reward = record_need(in, "reward", f)) < 0 || (g->propensity = record_need(in, "propensity", f)) < 0)
		return -1;
	g->job.x_column = record_find(in, "x");
	g->is_state = !name;
	g->target = -1;
	if (g->is_state)
		return g->job.x_column < 0 ? record_need(in, "x", f) : 0;
	return (g->target = record_need_name(in, name, f)) < 0 ? -1 : 0;
}

/* Number of the arm in a cell; SIZE_MAX with *f set. New ones are added where arms are not declared. */
static size_t
number_of(struct judging *g, size_t i, int column, struct fault *f)
{
	struct bandit_job *j = &g->job;
	size_t arm;

	if (bandit_job_arm(j, i, column, &arm, f) < 0)
		return SIZE_MAX;
	if (arm == SIZE_MAX && g->is_state) {
		record_fault(j->in, i, column, f, "expected one of the %zu arms of %s", bandit_n_arm(j->bandit), bandit_state_name);
		return SIZE_MAX;
	}
	return arm != SIZE_MAX ? arm : bandit_add_arm(j->bandit, record_cell(j->in, i, column), NULL);
}

static void
put_target(struct judging *g, struct bandit_target *target, size_t arm, double probability)
{
	if (probability <= 0)
		return;
	g->target_arm = xgrow(g->target_arm, &g->n_target_cap, target->n + 1, sizeof *g->target_arm);
	g->target_probability = xgrow(g->target_probability, &g->n_probability_cap, target->n + 1, sizeof *g->target_probability);
	g->target_arm[target->n] = arm;
	g->target_probability[target->n++] = probability;
	target->arm = g->target_arm;
	target->probability = g->target_probability;
}

static int
read_probabilities(struct judging *g, size_t i, struct bandit_target *target, struct fault *f)
{
	struct record_in *in = g->job.in;
	ptrdiff_t n = record_vector_wide(in, i, g->target, &g->vector, f);
	const double *p = (const double *)g->vector.at;
	double sum = 0;

	if (n < 0)
		return -1;
	if ((size_t)n != bandit_n_arm(g->job.bandit))
		return record_fault(in, i, g->target, f, "expected %zu probabilities, one for each arm, got %td",
		    bandit_n_arm(g->job.bandit), n);
	for (ptrdiff_t a = 0; a < n; a++) {
		if (p[a] < 0)
			return record_fault(in, i, g->target, f, "expected probabilities, got %g", p[a]);
		sum += p[a];
	}
	if (fabs(sum - 1) > 1e-4)
		return record_fault(in, i, g->target, f, "expected probabilities that sum to 1, got %g", sum);
	for (ptrdiff_t a = 0; a < n; a++)
		put_target(g, target, (size_t)a, p[a] / sum);
	return 0;
}

static int
read_target(struct judging *g, size_t i, size_t arm, struct bandit_target *target, struct fault *f)
{
	struct bandit_job *j = &g->job;
	double p;

	if (policy_column) {
		size_t chosen = number_of(g, i, g->target, f);
		if (chosen == SIZE_MAX)
			return -1;
		put_target(g, target, chosen, 1);
		return 0;
	}
	if (probabilities_column)
		return read_probabilities(g, i, target, f);
	if (probability_column) {
		if (record_number(j->in, i, g->target, &p, f) < 0)
			return -1;
		if (!(p >= 0 && p <= 1))
			return record_fault(j->in, i, g->target, f, "expected a probability, got %g", p);
		put_target(g, target, arm, p);
		return 0;
	}
	struct bandit_desk *desk = bandit_job_desk(j);
	bandit_look(desk, 0, (const double *)j->x.at);
	bandit_score(desk, 1);
	for (size_t a = 0; a < bandit_n_arm(j->bandit); a++)
		put_target(g, target, a, bandit_propensity(desk, 0, a));
	return 0;
}

static int
judge_row(struct judging *g, size_t i, struct fault *f)
{
	struct bandit_job *j = &g->job;
	struct bandit_target target = {0};
	double reward, propensity;

	if (record_number(j->in, i, g->reward, &reward, f) < 0 || record_number(j->in, i, g->propensity, &propensity, f) < 0)
		return -1;
	if (!(propensity > 0 && propensity <= 1))
		return record_fault(j->in, i, g->propensity, f, "expected a probability above 0 and up to 1, got %g", propensity);
	if (j->x_column >= 0 && bandit_job_features(j, i, f) < 0)
		return -1;
	size_t arm = number_of(g, i, g->arm, f);
	if (arm == SIZE_MAX || read_target(g, i, arm, &target, f) < 0)
		return -1;
	if (!g->log)
		g->log = bandit_log_new(j->x_column < 0 ? 0 : bandit_settings(j->bandit)->dim, ridge);
	bandit_log_add(g->log, arm, reward, propensity, target, (const double *)j->x.at);
	return 0;
}

static int
put_estimate(struct record_out *out, struct record_row *row, const char *name, const struct bandit_estimate *e,
    size_t n, const char *note, struct fault *f)
{
	const double number[] = { e->value, e->error, e->value - 1.96 * e->error, e->value + 1.96 * e->error };

	record_row_begin(row, out);
	record_put_text(row, name, strlen(name));
	for (size_t i = 0; i < 4; i++) {
		if (note || !isfinite(number[i]))
			record_put_text(row, "", 0);
		else
			record_put_number(row, number[i]);
	}
	record_put_integer(row, (int64_t)n);
	if (note)
		record_put_text(row, "", 0);
	else
		record_put_number(row, e->n_effective);
	record_put_text(row, note ? note : "", note ? strlen(note) : 0);
	return record_emit(out, NULL, 0, row, f);
}

/* One that was asked for by name must be possible; of all, those that are not say why. */
static int
put_estimates(struct judging *g, size_t n_row, struct record_out *out, struct fault *f)
{
	struct bandit_estimate estimate;
	struct record_row row = {0};
	struct fault why;
	int e = 0;

	if (!g->log)
		g->log = bandit_log_new(0, ridge);
	for (int k = 0; k < BANDIT_N_ESTIMATOR && e == 0; k++) {
		if (!is_wanted((enum bandit_estimator)k))
			continue;
		int possible = bandit_log_estimate(g->log, (enum bandit_estimator)k, bandit_n_arm(g->job.bandit), &estimate, &why) == 0;
		if (!possible && (estimator.n || n_row == 0)) {
			*f = why;
			e = -1;
		} else {
			e = put_estimate(out, &row, estimator_name[k], &estimate, n_row, possible ? NULL : why.text, f);
		}
	}
	record_row_free(&row);
	return e;
}

static int
run(const struct opt_program *p, int n_operand, char **operand)
{
	static const char *const name[] = { "estimator", "value", "stderr", "low", "high", "n", "ess", "note" };
	struct judging g = {0};
	struct bandit_job *j = &g.job;
	struct record_out *out = NULL;
	struct fault f = {0};
	size_t n_row = 0;
	ptrdiff_t n = -1;

	check_options(p);
	if (policy_column || probability_column || probabilities_column)
		bandit_state_name = NULL;       /* of the environment: not asked */
	if ((j->in = record_open(n_operand, operand, &f)) && find_columns(&g, &f) == 0 &&
	    bandit_job_open(j, STATE_READ, &f) == 0 && bandit_job_arms(j, &f) == 0)
		n = 1;
	while (n > 0 && (n = record_batch(j->in, BATCH_ROWS, &f)) > 0)
		for (size_t i = 0; i < (size_t)n; i++) {
			if (judge_row(&g, i, &f) == 0)
				n_row++;
			else if (record_bad(j->in, &f) < 0) {
				n = -1;
				break;
			}
		}
	if (n == 0 && (!(out = record_out_open(NULL, NULL, name, 8, &f)) || put_estimates(&g, n_row, out, &f) < 0))
		n = -1;
	bandit_log_free(g.log);
	free(g.target_arm);
	free(g.target_probability);
	buf_free(&g.vector);
	bandit_job_close(j);
	state_close(j->state, &(struct fault){0});
	return filter_finish(j->in, out, n < 0 ? f.status : EX_OK, &f);
}

const struct opt_program bandit_estimate = {
	.name = "estimate",
	.summary = "what another policy would have earned, from a log with propensities",
	.usage = "--policy-column NAME [--estimator NAMES] [file ...]\n-s STATE [--policy P] [--estimator NAMES] [file ...]",
	.opts = opts,
	.examples = "  hare-bandit estimate --policy-column mine < log.csv\n",
	.run = run,
};
