/* Rewards by block, regret, and the windows of a learning curve. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/measure.h"

/* Mean reward of what was shown to user in steps [from, to) counted from 0; NAN if he has none of them. */
static double
mean_reward(const struct eval_run *r, const struct eval_task *t, size_t user, size_t from, size_t to)
{
	size_t n = t->first[user + 1] - t->first[user], last = to < n ? to : n;
	double sum = 0;

	if (from >= last)
		return NAN;
	for (size_t i = (t->first[user] + from) * r->n_show; i < (t->first[user] + last) * r->n_show; i++)
		sum += (double)r->reward[i];
	return sum / (double)((last - from) * r->n_show);
}

static double
any_reward(const struct eval_run *r, const struct eval_task *t, size_t user, size_t from, size_t to)
{
	size_t n = t->first[user + 1] - t->first[user], last = to < n ? to : n, n_hit = 0;

	if (from >= last)
		return NAN;
	for (size_t step = t->first[user] + from; step < t->first[user] + last; step++) {
		int hit = 0;
		for (size_t i = 0; i < r->n_show; i++)
			hit |= r->reward[step * r->n_show + i] > 0;
		n_hit += (size_t)hit;
	}
	return (double)n_hit / (double)(last - from);
}

int
eval_report_curve(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t, int of_hits,
    struct fault *f)
{
	double *value = xmalloc(t->n_user, sizeof *value);
	size_t n_most = 0;
	char measure[32] = "reward", block[24];
	int status = 0;

	if (of_hits)
		snprintf(measure, sizeof measure, "hit@%zu", r->n_show);
	for (size_t u = 0; u < t->n_user; u++)
		n_most = t->first[u + 1] - t->first[u] > n_most ? t->first[u + 1] - t->first[u] : n_most;
	for (size_t from = 0; from + EVAL_WINDOW <= n_most && status == 0; from += EVAL_WINDOW) {
		struct eval_line line = { "curve", name, NULL, measure, block, 0, 0, 0 };
		snprintf(block, sizeof block, "%zu", from + EVAL_WINDOW);
		for (size_t u = 0; u < t->n_user; u++)
			value[u] = (of_hits ? any_reward : mean_reward)(r, t, u, from, from + EVAL_WINDOW);
		line.n = eval_mean(value, t->n_user, &line.value, &line.error);
		status = eval_table_put(out, line, f);
	}
	free(value);
	return status;
}

/* Summed up to the end of each window. */
static int
report_regret(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t, const double *best,
    struct fault *f)
{
	double *value = xcalloc(t->n_user, sizeof *value);
	struct eval_line line = { "regret", name, NULL, "regret", NULL, 0, 0, 1 };
	int status = 0;

	for (size_t from = 0; line.n > 0 && status == 0; from += EVAL_WINDOW) {
		char block[24];
		snprintf(block, sizeof block, "%zu", from + EVAL_WINDOW);
		line.block = block;
		for (size_t u = 0; u < t->n_user; u++) {
			if (t->first[u + 1] - t->first[u] < from + EVAL_WINDOW) {
				value[u] = NAN;
				continue;
			}
			value[u] -= EVAL_WINDOW * mean_reward(r, t, u, from, from + EVAL_WINDOW);
			for (size_t i = 0; i < EVAL_WINDOW; i++)
				value[u] += best[t->first[u] + from + i];
		}
		if ((line.n = eval_mean(value, t->n_user, &line.value, &line.error)) > 0)
			status = eval_table_put(out, line, f);
	}
	free(value);
	return status;
}

int
eval_report_rewards(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t,
    const struct eval_block *blocks, const double *best, const char *against, const struct eval_run *other, struct fault *f)
{
	double *value = xmalloc(t->n_user, sizeof *value);
	int status = 0;

	for (const struct eval_block *b = blocks; b->name && status == 0; b++) {
		struct eval_line line = { other ? "pair" : "reward", name, against, "reward", b->name, 0, 0, 0 };
		for (size_t u = 0; u < t->n_user; u++)
			value[u] = mean_reward(r, t, u, b->from - 1, b->to) -
			    (other ? mean_reward(other, t, u, b->from - 1, b->to) : 0);
		if ((line.n = eval_mean(value, t->n_user, &line.value, &line.error)) > 0)
			status = eval_table_put(out, line, f);
	}
	free(value);
	if (status == 0 && best)
		status = report_regret(out, name, r, t, best, f);
	return status;
}
