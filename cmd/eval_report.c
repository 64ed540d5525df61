/* What the verbs of hare-eval share: systems by name, each in turn, and the tables that do not depend on the task. */
#include "eval.h"

#include <err.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "eval/measure.h"
#include "record/record.h"

static int
add(struct eval_entry *entry, int n, const struct eval_system *s, size_t space, const char *space_name, struct fault *f)
{
	for (int i = 0; i < n; i++)
		if (entry[i].system == s && entry[i].space == space)
			return n;
	if (n == EVAL_ENTRIES_MAX)
		return fault(f, EX_USAGE, "--system: more than %d systems", EVAL_ENTRIES_MAX);
	entry[n] = (struct eval_entry){ .system = s, .space = space };
	snprintf(entry[n].name, sizeof entry[n].name, "%s%s%s", s->name, space ? "@" : "", space ? space_name : "");
	return n + 1;
}

static int
find_space(const char *at, size_t length, const char *const *space, size_t n_space, size_t *found, struct fault *f)
{
	for (*found = 0; *found < n_space; ++*found)
		if (span_is((struct span){ at, length }, space[*found]))
			return 0;
	return fault(f, EX_USAGE, "no space \"%s\" here", fault_quote(at, length));
}

int
eval_pick(const char *names, const char *const *space, size_t n_space, const char *no_generator, struct eval_entry *entry,
    struct fault *f)
{
	int n = 0;

	for (const char *at = names; ; ) {
		size_t length = strcspn(at, ","), n_name = strcspn(at, "@,"), where = 0;
		if (n_name < length && find_space(at + n_name + 1, length - n_name - 1, space, n_space, &where, f) < 0)
			return -1;
		if (n_name == 3 && memcmp(at, "all", 3) == 0) {
			for (size_t i = 0; eval_systems[i] && n >= 0; i++)
				if (!no_generator || !eval_systems[i]->needs_generator)
					n = add(entry, n, eval_systems[i], where, space[where], f);
		} else {
			const struct eval_system *s = eval_system_find(at, n_name, f);
			if (s && s->needs_generator && no_generator)
				return fault(f, EX_USAGE, "%s: not available: %s", s->name, no_generator);
			n = s ? add(entry, n, s, where, space[where], f) : -1;
		}
		if (n < 0 || !at[length])
			return n;
		at += length + 1;
	}
}

static int
report_constants(struct eval_table *out, const struct eval_entry *e, const struct eval_constants *c, struct fault *f)
{
	for (size_t k = 0; k < e->system->n_knob; k++) {
		struct eval_line line = { "constants", e->name, NULL, e->system->knob[k].name, c->from[k], c->value[k], NAN, 0 };
		if (eval_table_put(out, line, f) < 0)
			return -1;
	}
	if (isnan(c->score))
		return 0;
	struct eval_line line = { "constants", e->name, NULL, "hit", "training", c->score, NAN, 0 };
	return eval_table_put(out, line, f);
}

static int
report_time(struct eval_table *out, const char *name, double cpu_s, size_t n_step, struct fault *f)
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
eval_bench_probes(struct eval_bench *b, const struct eval_entry *e, const struct eval_constants *c, const struct eval_run *r,
    const struct eval_task *task, struct fault *f)
{
	if (r->n_probe == 0 || r->n_probe_user == 0)
		return 0;
	if (eval_report_divergence(&b->table, e->name, r, f) < 0)
		return -1;
	if (!r->attends)
		return 0;
	if (eval_report_entropy(&b->table, "entropy", e->name, r, f) < 0)
		return -1;
	double rate = mean_reward(r, task->n_step);
	for (int chance = 0; chance < 2 && !e->system->is_ablation; chance++) {
		struct eval_run run = {0};
		int status = b->run_entry(b->arg, e, c, chance ? EVAL_CHANCE : EVAL_ZERO, rate, &run, &task, f);
		if (status == 0)
			status = eval_report_entropy(&b->table, chance ? "entropy-chance" : "entropy-zero", e->name, &run, f);
		eval_run_free(&run);
		if (status < 0)
			return -1;
	}
	return 0;
}

void
eval_bench_heat(struct eval_bench *b, struct eval_run *run)
{
	if (run->heat && !b->heat.heat) {
		b->heat = (struct eval_run){ .heat = run->heat, .n_probe_user = run->n_probe_user };
		run->heat = NULL;
		b->run.want_heat = 0;
	}
}

int
eval_bench_run(struct eval_bench *b, struct fault *f)
{
	struct eval_run first = {0};
	int status = 0;

	for (int i = 0; i < b->n_entry && status == 0; i++) {
		const struct eval_entry *e = &b->entry[i];
		const struct eval_task *task;
		struct eval_constants c;
		struct eval_run run = {0};
		if (record_options.verbose)
			warnx("%s: %s", e->name, e->system->title);
		status = eval_constants(&c, e->system, b->given->at, b->given->n, f);
		if (status == 0 && b->tuning && b->tuning->n_step > 0)
			status = eval_tune(&c, e->system, &b->space[e->space], b->tuning, &b->run, f);
		if (status == 0)
			status = b->run_entry(b->arg, e, &c, EVAL_TRUE, 0, &run, &task, f);
		eval_bench_heat(b, &run);
		if (status == 0 && (report_constants(&b->table, e, &c, f) < 0 ||
		    b->report(b->arg, e, &c, &run, task, i > 0 ? &first : NULL, f) < 0 ||
		    report_time(&b->table, e->name, run.cpu_s, task->n_step, f) < 0 || record_flush(b->table.out, f) < 0))
			status = -1;
		if (i == 0)
			first = run;
		else
			eval_run_free(&run);
	}
	eval_run_free(&first);
	return status;
}

void
eval_bench_free(struct eval_bench *b)
{
	eval_table_free(&b->table);
	eval_run_free(&b->heat);
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
