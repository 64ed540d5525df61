#include "bandit.h"

#include <float.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { IDLE_MS = 1000, CACHE_BYTES = 1 << 20 };

const char *bandit_state_name;
static const char *policy, *model, *arms, *source_option;
static double alpha = NAN, lambda = NAN, half_life = NAN, clip = NAN, epsilon = NAN, gap_scale = NAN;
static uint64_t seed;
static int standardise, intercept;

#define END_OPTIONS { 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL }

const struct opt bandit_policy_opts[] = {
	{ 's', "state", OPT_FILE, &bandit_state_name, "STATE", "where arms are kept", NULL, "HARE_STATE" },
	{ 0, "policy", OPT_CHOICE, &policy, "auto|linucb|hybrid|lints|egreedy|squarecb|uniform", "how to choose (auto)",
	    "auto linucb hybrid lints egreedy squarecb uniform", NULL },
	{ 0, "alpha", OPT_REAL, &alpha, "A", "of linucb and lints: weight of what is not known (0.35)", NULL, NULL },
	{ 0, "epsilon", OPT_REAL, &epsilon, "E", "of egreedy: share of choices at random (0.1)", NULL, NULL },
	{ 0, "gamma", OPT_REAL, &gap_scale, "G", "of squarecb: how sharply it prefers the best (10)", NULL, NULL },
	{ 0, "seed", OPT_U64, &seed, "S", "of all draws (0)", NULL, NULL },
	END_OPTIONS
};

const struct opt bandit_model_opts[] = {
	{ 0, "model", OPT_CHOICE, &model, "disjoint|hybrid|shared", "what arms have in common (disjoint)",
	    "disjoint hybrid shared", NULL },
	{ 0, "lambda", OPT_REAL, &lambda, "L", "precision of the prior, the penalty of ridge regression (root of the number of features)", NULL, NULL },
	{ 0, "half-life", OPT_REAL, &half_life, "H", "an observation counts half after H more of its arm (0: for ever)", NULL, NULL },
	{ 0, "standardise", OPT_FLAG, &standardise, NULL, "subtract the mean of the rows so far, divide by their deviation",
	    NULL, NULL },
	{ 0, "clip", OPT_REAL, &clip, "C", "features beyond -C and C become these", NULL, NULL },
	{ 0, "intercept", OPT_FLAG, &intercept, NULL, "a feature that is always 1, behind the others", NULL, NULL },
	{ 0, "source", OPT_STRING, &source_option, "NAME", "name of the input, to go on where its last reading ended; "
	    "default: the path of the file", NULL, NULL },
	END_OPTIONS
};

const struct opt bandit_arm_opts[] = {
	{ 0, "arms", OPT_STRING, &arms, "LIST|FILE", "the arms there are: a,b,c or records with a column arm, and x for "
	    "features of arms", NULL, NULL },
	END_OPTIONS
};

void
bandit_check_options(const struct opt_program *p)
{
	if (alpha < 0)
		opt_usage(p, "--alpha: expected 0 or more, got %g", alpha);
	/* beyond, squares of float32 leave the range of float64 */
	if (lambda < 1e-30 || lambda > 1e30)
		opt_usage(p, "--lambda: expected 1e-30 to 1e30, got %g", lambda);
	if (half_life < 0)
		opt_usage(p, "--half-life: expected 0 or more, got %g", half_life);
	if (clip < 0)
		opt_usage(p, "--clip: expected 0 or more, got %g", clip);
	if (epsilon < 0 || epsilon > 1)
		opt_usage(p, "--epsilon: expected 0 to 1, got %g", epsilon);
	if (gap_scale <= 0)
		opt_usage(p, "--gamma: expected more than 0, got %g", gap_scale);
	if (policy && model && strcmp(policy, "hybrid") == 0 && strcmp(model, "hybrid") != 0)
		opt_usage(p, "--policy hybrid has the model hybrid, not %s", model);
}

/* ---- settings ---- */

static void
set_choice(struct bandit_settings *set)
{
	const char *name = policy;

	if (name && (strcmp(name, "auto") == 0 || strcmp(name, "hybrid") == 0))
		name = "linucb";
	for (int i = 0; name && bandit_policy_name[i]; i++)
		if (strcmp(name, bandit_policy_name[i]) == 0)
			set->policy = (enum bandit_policy)i;
	if (!isnan(alpha))
		set->alpha = alpha;
	if (!isnan(epsilon))
		set->epsilon = epsilon;
	if (!isnan(gap_scale))
		set->gamma = gap_scale;
	if (seed)
		set->seed = seed;
}

/* What options say of the model; where they say nothing, set stays. */
static void
set_model(struct bandit_settings *set)
{
	const char *name = model ? model : policy && strcmp(policy, "hybrid") == 0 ? "hybrid" : NULL;

	for (int i = 0; name && bandit_model_name[i]; i++)
		if (strcmp(name, bandit_model_name[i]) == 0)
			set->model = (enum bandit_model)i;
	if (policy && strcmp(policy, "auto") == 0) {
		set->standardise = set->intercept = 1;
		set->clip = 2;
	}
	if (!isnan(lambda))
		set->lambda = lambda;
	if (!isnan(half_life))
		set->half_life = half_life;
	if (!isnan(clip))
		set->clip = clip;
	/* what was learnt follows the centre of the features through the intercept */
	if (standardise)
		set->standardise = set->intercept = 1;
	if (intercept)
		set->intercept = 1;
}

/* Who names LinUCB and nothing else leaves it to us to make it work on features of any scale. */
static int
is_bare_linucb(void)
{
	return strcmp(policy, "linucb") == 0 && isnan(alpha) && isnan(lambda) && isnan(clip) && isnan(half_life) &&
	    !model && !standardise && !intercept;
}

static int
check_together(const struct bandit_settings *set, struct fault *f)
{
	if (set->policy == BANDIT_LINTS && set->model != BANDIT_DISJOINT)
		return fault(f, EX_USAGE, "lints draws scores of arms that share nothing: the model cannot be %s",
		    bandit_model_name[set->model]);
	if (set->model == BANDIT_HYBRID && set->half_life > 0)
		return fault(f, EX_USAGE, "--half-life: not with a hybrid model");
	return 0;
}

/* The number of features that the arms of a file have, when the bandit is new. */
static int is_arm_file(void);
static int read_arm_file(struct bandit_job *j, struct bandit_settings *set, struct fault *f);

int
bandit_job_open(struct bandit_job *j, enum state_mode mode, struct fault *f)
{
	struct bandit_settings set = { .alpha = 0.35, .epsilon = 0.1, .gamma = 10 }, asked;
	int found = 0;

	if (bandit_state_name) {
		if (!(j->state = state_open(bandit_state_name, mode, f)))
			return -1;
		state_cache(j->state, CACHE_BYTES);
		if (state_begin_read(j->state, f) < 0)
			return -1;
		found = bandit_load_settings(j->state, &set, f);
	}
	if (found == 0 && (!policy || is_bare_linucb()))
		policy = "auto";
	asked = set;
	set_choice(&asked);
	set_model(&asked);
	if (found < 0 || check_together(&asked, f) < 0)
		return -1;
	if (found && bandit_same_settings(&set, bandit_state_name, &asked, "the command line", f) < 0)
		return -1;
	if (found) {
		if (!(j->bandit = bandit_load(j->state, f)))
			return -1;
		bandit_set_policy(j->bandit, &asked);
	} else if (is_arm_file() && read_arm_file(NULL, &asked, f) < 0) {
		return -1;
	} else if (asked.model == BANDIT_SHARED && asked.arm_dim == 0) {
		return fault(f, EX_USAGE, "--model shared: the arms need features of their own (--arms FILE with a column x)");
	} else {
		j->bandit = bandit_new(&asked);
	}
	if (j->state)
		state_rollback(j->state);
	return 0;
}

void
bandit_job_close(struct bandit_job *j)
{
	bandit_job_end_input(j);
	bandit_desk_free(j->desk);
	bandit_free(j->bandit);
	buf_free(&j->x);
}

/* ---- arms ---- */

static int
is_arm_file(void)
{
	struct stat st;
	size_t n = arms ? strlen(arms) : 0;

	if (n == 0 || strchr(arms, ','))
		return 0;
	if (strchr(arms, '/') || (n > 4 && (strcmp(arms + n - 4, ".csv") == 0 || strcmp(arms + n - 4, ".tsv") == 0)))
		return 1;
	return stat(arms, &st) == 0 && S_ISREG(st.st_mode);
}

/* A declared arm: known with the same features, or new. */
static int
declare(struct bandit_job *j, struct span name, const double *feature, const char *where, struct fault *f)
{
	size_t a = bandit_find_arm(j->bandit, name), n = bandit_settings(j->bandit)->arm_dim;

	if (name.n == 0)
		return fault(f, EX_DATAERR, "%s: expected the name of an arm, got nothing", where);
	if (a == SIZE_MAX)
		bandit_add_arm(j->bandit, name, feature);
	else if (feature && n && memcmp(bandit_arm_feature(j->bandit, a), feature, n * sizeof *feature) != 0)
		return fault(f, EX_DATAERR, "%s: arm \"%s\" had other features before", where, fault_quote(name.at, name.n));
	return 0;
}

/* Its columns have their own names, whatever --col says of the rows. */
static int
find_name(const struct record_in *in, const char *name)
{
	for (size_t c = 0; c < record_n_column(in); c++)
		if (span_is(record_name(in, c), name))
			return (int)c;
	return -1;
}

/* Without j the dimension of the features only. */
static int
read_arm_file(struct bandit_job *j, struct bandit_settings *set, struct fault *f)
{
	char *path = (char *)arms;
	struct record_in *in = record_open(1, &path, f);
	struct buf x = {0};
	int e = -1, arm = in ? record_need_name(in, "arm", f) : -1, column = in ? find_name(in, "x") : -1;
	size_t n_feature = j ? bandit_settings(j->bandit)->arm_dim : 0, n_row = 0;
	ptrdiff_t n = 1;

	if (j && arm >= 0 && n_feature && column < 0) {
		record_need_name(in, "x", f);
		arm = -1;
	}
	while (arm >= 0 && n > 0 && (n = record_batch(in, 256, f)) > 0)
		for (size_t i = 0; i < (size_t)n && n > 0; i++, n_row++) {
			ptrdiff_t n_got = column < 0 ? 0 : record_vector_wide(in, i, column, &x, f);
			if (n_row == 0 && !j)
				n_feature = n_got < 0 ? 0 : (size_t)n_got;
			if (n_got >= 0 && (size_t)n_got != n_feature)
				n_got = record_fault(in, i, column, f, "expected %zu numbers, got %td", n_feature, n_got);
			if (n_got < 0 ||
			    (j && declare(j, record_cell(in, i, arm), (const double *)x.at, record_where(in, i), f) < 0))
				n = -1;
		}
	if (arm >= 0 && n == 0)
		e = n_row ? 0 : fault(f, EX_DATAERR, "%s: expected arms, got none", arms);
	if (set)
		set->arm_dim = n_feature;
	buf_free(&x);
	record_close(in);
	return e;
}

int
bandit_job_arms(struct bandit_job *j, struct fault *f)
{
	if (!arms)
		return 0;
	bandit_close_arms(j->bandit);
	if (is_arm_file())
		return read_arm_file(j, NULL, f);
	if (bandit_settings(j->bandit)->arm_dim)
		return fault(f, EX_DATAERR, "--arms: arms have features: expected a file with the columns arm and x");
	for (const char *p = arms; ; p++) {
		size_t n = strcspn(p, ",");
		if (declare(j, (struct span){ p, n }, NULL, "--arms", f) < 0)
			return -1;
		p += n;
		if (!*p)
			return 0;
	}
}

int
bandit_job_arm(struct bandit_job *j, size_t i, int column, size_t *arm, struct fault *f)
{
	struct span name = record_cell(j->in, i, column);
	const struct bandit_settings *set = bandit_settings(j->bandit);

	if (name.n == 0)
		return record_fault(j->in, i, column, f, "expected an arm, got nothing");
	*arm = bandit_find_arm(j->bandit, name);
	if (*arm != SIZE_MAX)
		return 0;
	if (set->is_closed || set->arm_dim)
		return record_fault(j->in, i, column, f, "expected one of the %zu arms, got \"%s\" (--arms adds one)",
		    bandit_n_arm(j->bandit), fault_quote(name.at, name.n));
	return 0;
}

int
bandit_job_features(struct bandit_job *j, size_t i, struct fault *f)
{
	size_t dim = bandit_settings(j->bandit)->dim;
	ptrdiff_t n = record_vector_wide(j->in, i, j->x_column, &j->x, f);
	struct fault why;

	if (n < 0)
		return -1;
	if (n == 0 || (dim && (size_t)n != dim))
		return record_fault(j->in, i, j->x_column, f, dim ? "expected %zu number%s, got %td" : "expected numbers, got none",
		    dim, dim == 1 ? "" : "s", n);
	for (const double *x = (const double *)j->x.at, *end = x + n; x < end; x++)
		if (!(fabs(*x) <= (double)FLT_MAX))
			return record_fault(j->in, i, j->x_column, f, "expected numbers in the range of float32, got %g", *x);
	if (!dim && bandit_set_dim(j->bandit, (size_t)n, &why) < 0)
		return record_fault(j->in, i, j->x_column, f, "%s", why.text);
	return 0;
}

struct bandit_desk *
bandit_job_desk(struct bandit_job *j)
{
	if (!j->desk || j->n_desk_arm != bandit_n_arm(j->bandit)) {
		bandit_desk_free(j->desk);
		j->n_desk_arm = bandit_n_arm(j->bandit);
		j->desk = bandit_desk_new(j->bandit, 1);
	}
	return j->desk;
}

/* ---- where an input was read to ---- */

int
bandit_job_resume(struct bandit_job *j, const char *path, struct fault *f)
{
	if (!j->state)
		return 0;
	if (path && strcmp(path, "-") == 0)
		path = NULL;
	return place_begin(&j->place, j->in, path, source_option, j->state, bandit_state_name, f);
}

int
bandit_job_input(struct bandit_job *j, char *path, struct fault *f)
{
	int is_stdin = !path || strcmp(path, "-") == 0;

	return (j->in = record_open(is_stdin ? 0 : 1, &path, f)) && (j->x_column = record_need(j->in, "x", f)) >= 0 ? 0 : -1;
}

void
bandit_job_end_input(struct bandit_job *j)
{
	place_end(&j->place);
}

void
bandit_job_read(struct bandit_job *j, size_t i)
{
	place_read(&j->place, j->in, i);
	j->n_read++;
	j->n_waiting++;
}

/* In one transaction, the position with what was learnt up to it. */
static int
write_all(struct bandit_job *j, struct fault *f)
{
	struct state_source now;
	int found = j->place.source ? state_source(j->state, j->place.source, &now, f) : 0;

	if (found < 0)
		return -1;
	if (j->place.source && (found ? now.n_row : 0) != j->place.at.n_row)
		return fault(f, EX_TEMPFAIL, "%s: another program read it into %s meanwhile: nothing is changed, run this once more",
		    j->place.source, bandit_state_name);
	if (bandit_save(j->bandit, j->state, f) < 0)
		return -1;
	return j->place.source ? state_set_source(j->state, j->place.source, &j->place.done, f) : 0;
}

int
bandit_job_commit(struct bandit_job *j, struct fault *f)
{
	if (!j->state)
		return 0;
	if (place_mark(&j->place, f) < 0 || state_begin(j->state, f) < 0)
		return -1;
	if (write_all(j, f) < 0) {
		state_rollback(j->state);
		return -1;
	}
	if (state_commit(j->state, f) < 0)
		return -1;
	j->place.at = j->place.done;
	j->n_waiting = 0;
	return 0;
}

int
bandit_job_is_silent(struct bandit_job *j)
{
	struct pollfd in = { 0, POLLIN, 0 };

	if (j->place.is_file || !record_would_block(j->in))
		return 0;
	return record_options.unbuffered || poll(&in, 1, IDLE_MS) == 0;
}
