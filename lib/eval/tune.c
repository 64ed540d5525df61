#include "eval/tune.h"

#include <math.h>
#include <string.h>

#include "base/num.h"
#include "eval/measure.h"

enum { ROUNDS = 3 };

/* The parts of "SYSTEM.KNOB=VALUE"; a system's name may hold no dot. */
static int
split(const char *given, struct span *system, struct span *knob, double *value)
{
	const char *dot = strchr(given, '.'), *equals = dot ? strchr(dot, '=') : NULL;

	if (!equals)
		return -1;
	*system = (struct span){ given, (size_t)(dot - given) };
	*knob = (struct span){ dot + 1, (size_t)(equals - dot - 1) };
	return num_read_f64(equals + 1, strlen(equals + 1), value);
}

int
eval_constants(struct eval_constants *c, const struct eval_system *system, const char *const *given, size_t n_given,
    struct fault *f)
{
	*c = (struct eval_constants){ .score = NAN };
	for (size_t k = 0; k < system->n_knob; k++) {
		c->value[k] = system->knob[k].value;
		c->from[k] = isnan(c->value[k]) ? "model" : "default";
	}
	for (size_t i = 0; i < n_given; i++) {
		struct span of, knob;
		double value;
		size_t k = 0;
		if (split(given[i], &of, &knob, &value) < 0)
			return fault(f, EX_USAGE, "--set: expected SYSTEM.NAME=NUMBER, got \"%s\"",
			    fault_quote(given[i], strlen(given[i])));
		if (!span_is(of, system->name))
			continue;
		while (k < system->n_knob && !span_is(knob, system->knob[k].name))
			k++;
		if (k == system->n_knob)
			return fault(f, EX_USAGE, "--set: %s has no constant \"%s\"", system->name, fault_quote(knob.at, knob.n));
		c->value[k] = value;
		c->from[k] = "given";
	}
	return 0;
}

int
eval_check_given(const char *const *given, size_t n_given, struct fault *f)
{
	for (size_t i = 0; i < n_given; i++) {
		struct eval_constants c;
		const char *dot = strchr(given[i], '.');
		const struct eval_system *system = eval_system_find(given[i], dot ? (size_t)(dot - given[i]) : strlen(given[i]), f);
		if (!system || eval_constants(&c, system, &given[i], 1, f) < 0)
			return -1;
	}
	return 0;
}

static int
try(double *score, const struct eval_constants *c, const struct eval_system *system, const struct eval_space *space,
    const struct eval_task *task, const struct eval_run_options *o, struct fault *f)
{
	struct eval_run r;
	int status = eval_run(&r, system, c->value, space, task, o, f);

	if (status == 0)
		*score = eval_score(&r, task);
	eval_run_free(&r);
	return status;
}

int
eval_tune(struct eval_constants *c, const struct eval_system *system, const struct eval_space *space,
    const struct eval_task *task, const struct eval_run_options *o, struct fault *f)
{
	struct eval_run_options quiet = *o;
	int changed = 0;

	quiet.n_probe = 0;
	for (size_t k = 0; k < system->n_knob; k++)
		changed |= system->knob[k].n_grid > 0 && strcmp(c->from[k], "given") != 0;
	if (!changed)
		return 0;
	if (try(&c->score, c, system, space, task, &quiet, f) < 0)
		return -1;
	for (int round = 0; round < ROUNDS && changed; round++) {
		changed = 0;
		for (size_t k = 0; k < system->n_knob; k++) {
			const struct eval_knob *knob = &system->knob[k];
			double before = c->value[k], best = before, score = 0;
			if (knob->n_grid == 0 || strcmp(c->from[k], "given") == 0)
				continue;
			for (size_t g = 0; g < knob->n_grid; g++) {
				if (knob->grid[g] == before)
					continue;
				c->value[k] = knob->grid[g];
				if (try(&score, c, system, space, task, &quiet, f) < 0)
					return -1;
				if (score > c->score) {
					c->score = score;
					best = knob->grid[g];
				}
			}
			c->value[k] = best;
			c->from[k] = "chosen";
			changed |= best != before;
		}
	}
	return 0;
}
