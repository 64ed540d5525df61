#include <math.h>
#include <string.h>

#include "base/num.h"
#include "learn/learn.h"
#include "model/model.h"

const char *const learn_setting_names[] = {
	"base_rate", "clock", "dim", "feature", "gain", "half_life", "lambda", "noise_var", "query_least", "query_mean", "query_var", "space", NULL
};

const char *const learn_dump_names[] = { "kind", "key", "n", "first", "last", "form", "value" };

static int
bad(struct state *s, const char *key, const char *value, struct fault *f)
{
	return fault(f, EX_DATAERR, "%s: setting %s: expected a number in its range, got %s", state_path(s), key,
	    fault_quote(value, strlen(value)));
}

/* 1, 0, -1; a number must be at least least, or above it if open. */
static int
get_number(struct state *s, const char *key, double *out, double least, int open, struct fault *f)
{
	const char *v;
	int found = state_meta(s, key, &v, f);

	if (found == 1 && (num_read_f64(v, strlen(v), out) < 0 || *out < least || (open && *out == least)))
		return bad(s, key, v, f);
	return found;
}

static int
get_text(struct state *s, const char *key, char *out, size_t n_out, struct fault *f)
{
	const char *v;
	int found = state_meta(s, key, &v, f);

	if (found != 1)
		return found;
	if (strlen(v) >= n_out)
		return bad(s, key, v, f);
	strcpy(out, v);
	return 1;
}

void
learn_settle(struct learn_settings *set)
{
	set->prior.has_query = strcmp(set->feature, "item") == 0;
	if (!set->prior.has_query)
		set->prior.query_mean = set->prior.query_var = set->prior.query_least = 0;
}

size_t
learn_belief_dim(const struct learn_settings *set)
{
	return set->dim + (set->prior.has_query != 0);
}

int
learn_settings(struct state *s, struct learn_settings *set, struct fault *f)
{
	struct model standard;
	double dim;

	memset(set, 0, sizeof *set);
	model_defaults(&standard);
	set->prior = standard.prior;
	set->gain = standard.gain;
	int found = get_number(s, "dim", &dim, 1, 0, f);
	if (found != 1)
		return found;
	if (dim != floor(dim) || dim > MODEL_DIM_MAX)
		return fault(f, EX_DATAERR, "%s: setting dim: expected a dimension, got %g", state_path(s), dim);
	if ((found = get_text(s, "space", set->space, sizeof set->space, f)) == 1 &&
	    (found = get_text(s, "feature", set->feature, sizeof set->feature, f)) == 1 &&
	    (found = get_text(s, "clock", set->clock, sizeof set->clock, f)) == 1 &&
	    (found = get_number(s, "gain", &set->gain, 0, 0, f)) == 1 &&
	    (found = get_number(s, "lambda", &set->prior.lambda, 0, 1, f)) == 1 &&
	    (found = get_number(s, "noise_var", &set->prior.noise_var, 0, 1, f)) == 1 &&
	    (found = get_number(s, "base_rate", &set->prior.base_rate, -HUGE_VAL, 0, f)) == 1 &&
	    (found = get_number(s, "half_life", &set->prior.half_life, 0, 0, f)) == 1) {
		set->dim = (size_t)dim;
		/* What was learnt from items before queries were heard has one number less, and not the setting either. */
		if ((found = get_number(s, "query_var", &set->prior.query_var, 0, 0, f)) == 0 && strcmp(set->feature, "item") == 0)
			return fault(f, EX_DATAERR, "%s: was learnt by an earlier version, which did not keep what queries said; "
			    "learn the rewards anew into another state", state_path(s));
		if (found >= 0 && (found = get_number(s, "query_mean", &set->prior.query_mean, 0, 0, f)) == 0)
			set->prior.query_mean = 0;
		if (found >= 0 && (found = get_number(s, "query_least", &set->prior.query_least, 0, 0, f)) == 0)
			set->prior.query_least = 0;
		if (found >= 0 && set->prior.query_least > 1)
			return fault(f, EX_DATAERR, "%s: setting query_least: expected a number from 0 to 1, got %g", state_path(s),
			    set->prior.query_least);
		learn_settle(set);
		return found < 0 ? -1 : 1;
	}
	return found < 0 ? -1 : fault(f, EX_DATAERR, "%s: damaged: some of its settings are not there", state_path(s));
}

static int
set_number(struct state *s, const char *key, double value, struct fault *f)
{
	char text[NUM_F64_MAX + 1];

	text[num_put_f64(text, value)] = '\0';
	return state_set_meta(s, key, text, f);
}

int
learn_set_settings(struct state *s, const struct learn_settings *set, struct fault *f)
{
	if (set_number(s, "dim", (double)set->dim, f) < 0 || state_set_meta(s, "space", set->space, f) < 0 ||
	    state_set_meta(s, "feature", set->feature, f) < 0 || state_set_meta(s, "clock", set->clock, f) < 0 ||
	    set_number(s, "gain", set->gain, f) < 0 || set_number(s, "lambda", set->prior.lambda, f) < 0 ||
	    set_number(s, "noise_var", set->prior.noise_var, f) < 0 ||
	    set_number(s, "base_rate", set->prior.base_rate, f) < 0 ||
	    (set->prior.has_query && (set_number(s, "query_mean", set->prior.query_mean, f) < 0 ||
	    set_number(s, "query_var", set->prior.query_var, f) < 0 ||
	    set_number(s, "query_least", set->prior.query_least, f) < 0)) ||
	    set_number(s, "half_life", set->prior.half_life, f) < 0)
		return -1;
	return 0;
}

static const char *
space_text(const char *space)
{
	return space[0] ? space : "(none)";
}

static int
same_number(const char *key, double a, const char *a_name, double b, const char *b_name, struct fault *f)
{
	char x[NUM_F64_MAX + 1], y[NUM_F64_MAX + 1];

	if (a == b)
		return 0;
	x[num_put_f64(x, a)] = '\0';
	y[num_put_f64(y, b)] = '\0';
	return fault(f, EX_DATAERR, "%s has %s %s, %s has %s", a_name, key, x, b_name, y);
}

static int
same_text(const char *key, const char *a, const char *a_name, const char *b, const char *b_name, struct fault *f)
{
	return strcmp(a, b) == 0 ? 0 : fault(f, EX_DATAERR, "%s has %s %s, %s has %s", a_name, key, a, b_name, b);
}

int
learn_same_settings(const struct learn_settings *a, const char *a_name, const struct learn_settings *b, const char *b_name, struct fault *f)
{
	if (a->dim == 0 || b->dim == 0)
		return 0;
	if (same_number("dimension", (double)a->dim, a_name, (double)b->dim, b_name, f) < 0 ||
	    same_text("embedding space", space_text(a->space), a_name, space_text(b->space), b_name, f) < 0 ||
	    same_text("feature", a->feature, a_name, b->feature, b_name, f) < 0 ||
	    same_text("clock", a->clock, a_name, b->clock, b_name, f) < 0 ||
	    same_number("half-life", a->prior.half_life, a_name, b->prior.half_life, b_name, f) < 0 ||
	    same_number("lambda", a->prior.lambda, a_name, b->prior.lambda, b_name, f) < 0 ||
	    same_number("noise variance", a->prior.noise_var, a_name, b->prior.noise_var, b_name, f) < 0 ||
	    same_number("base rate", a->prior.base_rate, a_name, b->prior.base_rate, b_name, f) < 0 ||
	    same_number("query mean", a->prior.query_mean, a_name, b->prior.query_mean, b_name, f) < 0 ||
	    same_number("query variance", a->prior.query_var, a_name, b->prior.query_var, b_name, f) < 0 ||
	    same_number("least part of a query", a->prior.query_least, a_name, b->prior.query_least, b_name, f) < 0 ||
	    same_number("gain", a->gain, a_name, b->gain, b_name, f) < 0)
		return -1;
	return 0;
}

int
learn_check_space(const struct learn_settings *set, const char *state_name, const char *space, const char *space_name, struct fault *f)
{
	if (set->dim == 0)
		return 0;
	return same_text("embedding space", space_text(set->space), state_name, space_text(space), space_name, f);
}
