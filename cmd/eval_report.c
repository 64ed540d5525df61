/* What the verbs of hare-eval share: systems by name, and the tables that do not depend on the task. */
#include "eval.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "eval/measure.h"

static int
add(const struct eval_system **system, int n, const struct eval_system *s)
{
	for (int i = 0; i < n; i++)
		if (system[i] == s)
			return n;
	system[n] = s;
	return n + 1;
}

int
eval_pick(const char *names, const struct eval_system **system, struct fault *f)
{
	int n = 0;

	for (const char *at = names; ; ) {
		size_t length = strcspn(at, ",");
		if (length == 3 && memcmp(at, "all", 3) == 0) {
			for (size_t i = 0; eval_systems[i]; i++)
				n = add(system, n, eval_systems[i]);
		} else {
			const struct eval_system *s = eval_system_find(at, length, f);
			if (!s)
				return -1;
			n = add(system, n, s);
		}
		if (!at[length])
			return n;
		at += length + 1;
	}
}

int
eval_report_constants(struct eval_table *out, const struct eval_system *system, const struct eval_constants *c, struct fault *f)
{
	for (size_t k = 0; k < system->n_knob; k++) {
		struct eval_line line = { "constants", system->name, NULL, system->knob[k].name, c->from[k], c->value[k], NAN, 0 };
		if (eval_table_put(out, line, f) < 0)
			return -1;
	}
	if (isnan(c->score))
		return 0;
	struct eval_line line = { "constants", system->name, NULL, "hit", "training", c->score, NAN, 0 };
	return eval_table_put(out, line, f);
}

int
eval_report_time(struct eval_table *out, const char *name, double cpu_s, size_t n_step, struct fault *f)
{
	struct eval_line line = { "time", name, NULL, "cpu_us", "all", 1e6 * cpu_s / (double)(n_step ? n_step : 1), NAN, n_step };

	return eval_table_put(out, line, f);
}

static double
mean_reward(const struct eval_run *r, size_t n_step)
{
	double sum = 0;

	for (size_t i = 0; i < n_step * r->n_show; i++)
		sum += (double)r->reward[i];
	return sum / (double)(n_step * r->n_show);
}

int
eval_report_probes(struct eval_table *out, const struct eval_system *system, const struct eval_constants *c,
    const struct eval_space *space, const struct eval_task *task, const struct eval_run_options *o, const struct eval_run *r,
    struct fault *f)
{
	if (o->n_probe == 0 || r->n_probe_user == 0)
		return 0;
	if (eval_report_divergence(out, system->name, r, f) < 0)
		return -1;
	if (!r->attends)
		return 0;
	if (eval_report_entropy(out, "entropy", system->name, r, f) < 0)
		return -1;
	for (int chance = 0; chance < 2 && !system->is_ablation; chance++) {
		struct eval_run_options control = *o;
		struct eval_run run;
		control.feedback = chance ? EVAL_CHANCE : EVAL_ZERO;
		control.rate = mean_reward(r, task->n_step);
		int status = eval_run(&run, system, c->value, space, task, &control, f);
		if (status == 0)
			status = eval_report_entropy(out, chance ? "entropy-chance" : "entropy-zero", system->name, &run, f);
		eval_run_free(&run);
		if (status < 0)
			return -1;
	}
	return 0;
}

void
eval_choose_probes(struct eval_run_options *o, size_t n_query)
{
	struct rng r = rng_at(o->seed, hash64("probes", 6, 0));

	o->n_probe = n_query < EVAL_PROBES ? n_query : EVAL_PROBES;
	for (size_t i = 0; i < o->n_probe; ) {
		size_t j = 0;
		o->probe[i] = (uint32_t)rng_below(&r, n_query);
		while (o->probe[j] != o->probe[i])
			j++;
		i += j == i;
	}
}
