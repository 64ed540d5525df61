/*
 * hare-update - learns from rewards
 */
#include <err.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/opt.h"
#include "filter.h"
#include "learn/learn.h"
#include "mat/mat.h"
#include "model/model.h"
#include "place.h"
#include "pool/pool.h"

enum { BATCH_ROWS = 512, IDLE_MS = 1000, CACHE_MB = 12 };
/* No query is as long, and no constant as large; beyond it sums of squares would leave the range of double. */
static const double LONGEST = 1e12;

static const char *model_name, *state_name, *feature = "item", *clock_name, *event_column_name, *source_option;
static struct opt_list pool_name;
static double half_life = NAN, lambda = NAN, noise_var = NAN, base_rate = NAN, query_var = NAN;
static size_t buffer_mb = 56, dim_option;
static int any_reward, no_clusters;

static const struct opt opts[] = {
	{ 'm', "model", OPT_FILE, &model_name, "MODEL", "embedding space, prior and clusters", NULL, "HARE_MODEL" },
	{ 's', "state", OPT_FILE, &state_name, "STATE", "where beliefs are kept; made if it is not there", NULL, "HARE_STATE" },
	{ 'p', "pool", OPT_LIST, &pool_name, "POOL", "where items are looked up; several act as one", NULL, "HARE_POOL" },
	{ 0, "feature", OPT_CHOICE, &feature, "item|z|x", "what the reward is credited to: the item, the blend, a vector as given",
	    "item z x", NULL },
	{ 0, "half-life", OPT_REAL, &half_life, "H", "rewards count half after H units of the clock; 0: they never fade", NULL, NULL },
	{ 0, "clock", OPT_CHOICE, &clock_name, "event|time", "unit of time: the user's own events, or the column time; "
	    "default: the state's, or time if there is that column", "event time", NULL },
	{ 0, "event-id", OPT_STRING, &event_column_name, "COLUMN", "learn each event once for ever, known by this column", NULL, NULL },
	{ 0, "source", OPT_STRING, &source_option, "NAME", "name of the input, to go on where its last reading ended; "
	    "default: the path of the file", NULL, NULL },
	{ 0, "any-reward", OPT_FLAG, &any_reward, NULL, "rewards may lie outside of 0 to 1", NULL, NULL },
	{ 0, "no-clusters", OPT_FLAG, &no_clusters, NULL, "do not learn covariances of clusters", NULL, NULL },
	{ 0, "buffer", OPT_SIZE, &buffer_mb, "MB", "memory for events that wait to be committed", NULL, NULL },
	{ 0, "dim", OPT_SIZE, &dim_option, "D", "dimension of vectors, where there is no MODEL (--feature x)", NULL, NULL },
	{ 0, "lambda", OPT_REAL, &lambda, "L", "precision of the prior, where there is no MODEL (100)", NULL, NULL },
	{ 0, "noise-var", OPT_REAL, &noise_var, "V", "variance of rewards, where there is no MODEL (0.05)", NULL, NULL },
	{ 0, "base-rate", OPT_REAL, &base_rate, "B", "reward expected of anything, where there is no MODEL (0.03)", NULL, NULL },
	{ 0, "query-var", OPT_REAL, &query_var, "V", "how far users differ in what their queries say (--feature item); default: the "
	    "state's, or the MODEL's", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct updating {
	struct model *model;            /* NULL: features come from elsewhere */
	struct pool *pool;              /* NULL: not needed */
	struct state *state;
	struct learn *learn;
	struct learn_settings set;
	int was_new;                    /* the state had no settings */

	int n_input;
	struct record_in *in;
	int user, reward, vector, item, time, event, x; /* columns, -1: not there or not asked for */
	struct place place;             /* of this input in the state */

	float *f, *query, *row;         /* [dim] */
	uint64_t n_read, n_before;
	size_t n_bad;
};

static int
open_space(struct updating *u, struct fault *f)
{
	if (model_name && !(u->model = model_open(model_name, f)))
		return -1;
	if (u->model && pool_name.n > 0 &&
	    !(u->pool = pool_open(pool_name.at, pool_name.n, u->model->space, model_name, f)))
		return -1;
	if (u->pool && pool_dim(u->pool) != u->model->dim)
		return fault(f, EX_DATAERR, "%s has dimension %zu, %s has %zu", pool_name.at[0], pool_dim(u->pool), model_name,
		    u->model->dim);
	return 0;
}

/* What the options and the MODEL ask for; where they say nothing, what the state has. */
static int
choose_settings(struct updating *u, struct fault *f)
{
	struct learn_settings have, *set = &u->set;
	int found = learn_settings(u->state, &have, f);

	if (found < 0)
		return -1;
	u->was_new = !found;
	*set = have;
	if (u->model) {
		set->dim = u->model->dim;
		memcpy(set->space, u->model->space, sizeof set->space);
		set->prior = u->model->prior;
		set->gain = u->model->gain;
		if (found) {
			set->prior.half_life = have.prior.half_life;
			set->prior.query_var = have.prior.query_var;
		}
		if (dim_option && dim_option != set->dim)
			return fault(f, EX_USAGE, "--dim %zu: %s has dimension %zu", dim_option, model_name, set->dim);
	} else {
		set->space[0] = '\0';
		set->dim = dim_option ? dim_option : have.dim;
		set->gain = found ? have.gain : 0;
		if (!isnan(lambda))
			set->prior.lambda = lambda;
		if (!isnan(noise_var))
			set->prior.noise_var = noise_var;
		if (!isnan(base_rate))
			set->prior.base_rate = base_rate;
		if (set->dim == 0)
			return fault(f, EX_USAGE, "expected a MODEL (-m) or a dimension (--dim): %s has not learnt yet", state_name);
	}
	if (!isnan(half_life))
		set->prior.half_life = half_life;
	if (!isnan(query_var))
		set->prior.query_var = query_var;
	snprintf(set->feature, sizeof set->feature, "%s", feature);
	learn_settle(set);
	if (clock_name)
		snprintf(set->clock, sizeof set->clock, "%s", clock_name);
	else if (!found)
		snprintf(set->clock, sizeof set->clock, "%s", record_find(u->in, "time") >= 0 ? "time" : "event");
	return 0;
}

static int
open_learner(struct updating *u, struct fault *f)
{
	/* Half of the settings are options': who reads the message must not look for them in the MODEL alone. */
	static char set_name[4096 + 16] = "the command line";

	if (u->model)
		snprintf(set_name, sizeof set_name, "this run (%s)", model_name);

	/* nothing is made by a command line that cannot go on */
	if (!u->model && !dim_option && access(state_name, F_OK) < 0)
		return fault(f, EX_USAGE, "expected a MODEL (-m) or a dimension (--dim): %s is not there yet", state_name);
	if (!(u->state = state_open(state_name, STATE_CREATE, f)))
		return -1;
	state_cache(u->state, (size_t)CACHE_MB << 20);
	if (choose_settings(u, f) < 0)
		return -1;
	size_t n_cluster = u->pool && !no_clusters && strcmp(feature, "x") != 0 ? u->model->n_cluster : 0;
	/* without queries there is nothing to add to a cluster, and events need no room for them; a later input may have some */
	if (n_cluster && u->n_input == 1 && record_find(u->in, "x") < 0)
		n_cluster = 0;
	if (!(u->learn = learn_new(u->state, &u->set, set_name, n_cluster, buffer_mb << 20, f)))
		return -1;
	u->f = xmalloc(u->set.dim, sizeof *u->f);
	u->query = xmalloc(u->set.dim, sizeof *u->query);
	u->row = xmalloc(u->set.dim, sizeof *u->row);
	return 0;
}

static int
find_columns(struct updating *u, struct fault *f)
{
	int is_item = strcmp(feature, "item") == 0;

	u->vector = u->item = u->time = u->event = u->x = -1;
	if ((u->user = record_need(u->in, "user", f)) < 0 || (u->reward = record_need(u->in, "reward", f)) < 0)
		return -1;
	if (is_item && (u->item = record_need(u->in, "item", f)) < 0)
		return -1;
	if (!is_item && (u->vector = record_need(u->in, feature, f)) < 0)
		return -1;
	if (event_column_name && (u->event = record_need_name(u->in, event_column_name, f)) < 0)
		return -1;
	if (strcmp(u->set.clock, "time") == 0 && (u->time = record_need(u->in, "time", f)) < 0)
		return -1;
	/* a blend has an item only if one was chosen as well */
	if (is_item) {
		u->x = record_find(u->in, "x");
	} else if (u->pool && !no_clusters && strcmp(feature, "x") != 0) {
		u->item = record_find(u->in, "item");
		u->x = u->item < 0 ? -1 : record_find(u->in, "x");
	}
	return 0;
}

static int
commit(struct updating *u, struct fault *f)
{
	struct place *p = &u->place;

	if (learn_n_waiting(u->learn) == 0 && p->done.n_row == p->at.n_row)
		return 0;
	if (place_mark(p, f) < 0 || learn_commit(u->learn, p->source, &p->at, &p->done, f) < 0)
		return -1;
	p->at = p->done;
	return 0;
}

/* -- rows -- */

/* 0; -1 if the pool has no such item; -2 if the pool is damaged. */
static int
find_item(struct updating *u, size_t i, size_t *row, struct fault *f)
{
	struct span id = record_cell(u->in, i, u->item);

	*row = pool_find(u->pool, id);
	if (*row == SIZE_MAX)
		return record_fault(u->in, i, u->item, f, "expected an item of the pool, got \"%s\"", fault_quote(id.at, id.n));
	return pool_check_row(u->pool, *row, f) < 0 ? -2 : 0;
}

/* One row into an event: -1 with *f set to what is wrong with it, -2 if it is not the row that is wrong. */
static int
read_event(struct updating *u, size_t i, struct learn_event *e, struct fault *f)
{
	size_t dim = u->set.dim, row = SIZE_MAX;
	int status;

	*e = (struct learn_event){ .user = record_cell(u->in, i, u->user), .f = u->f };
	if (e->user.n == 0)
		return record_fault(u->in, i, u->user, f, "expected a user, got nothing");
	if (record_number(u->in, i, u->reward, &e->reward, f) < 0)
		return -1;
	if (!any_reward && (e->reward < 0 || e->reward > 1))
		return record_fault(u->in, i, u->reward, f, "expected a reward from 0 to 1 (--any-reward allows others), got %g",
		    e->reward);
	if (fabs(e->reward) > BELIEF_REWARD_MAX)
		return record_fault(u->in, i, u->reward, f, "expected a reward of at most %g, got %g", BELIEF_REWARD_MAX, e->reward);
	if (u->time >= 0 && record_number(u->in, i, u->time, &e->time, f) < 0)
		return -1;
	if (u->event >= 0) {
		e->id = record_cell(u->in, i, u->event);
		if (e->id.n == 0)
			return record_fault(u->in, i, u->event, f, "expected the id of an event, got nothing");
	}
	if (u->vector >= 0 && record_vector(u->in, i, u->vector, u->f, dim, f) < 0)
		return -1;
	/* an item beside a blend is there to name the cluster only, and may be missing */
	if (u->item >= 0 && (u->vector < 0 || record_cell(u->in, i, u->item).n > 0) &&
	    (status = find_item(u, i, &row, f)) < 0)
		return status;
	if (u->vector < 0) {
		const float *x = pool_rows(u->pool, row, 1, u->row, f);
		if (!x)
			return -2;
		memcpy(u->f, x, dim * sizeof *x);
	}
	if (strcmp(feature, "x") != 0)
		for (size_t d = 0; d < dim; d++)
			u->f[d] -= u->model->mean[d];
	if (u->x >= 0 && row != SIZE_MAX && record_cell(u->in, i, u->x).n > 0) {
		if (record_vector(u->in, i, u->x, u->query, dim, f) < 0)
			return -1;
		if (mat_norm(u->query, dim) > LONGEST)
			return record_fault(u->in, i, u->x, f, "expected a vector of about unit length, got length %g",
			    mat_norm(u->query, dim));
		e->x = u->query;
		e->cluster = pool_cluster(u->pool, row);
	}
	return 0;
}

/* Nobody is kept waiting for a reward that has arrived: when the pipe is silent, what waits is committed. */
static int
is_silent(struct updating *u, const char *path)
{
	struct pollfd in = { 0, POLLIN, 0 };

	if (path || !record_would_block(u->in))
		return 0;
	return record_options.unbuffered || poll(&in, 1, IDLE_MS) == 0;
}

static int
learn_rows(struct updating *u, const char *path, struct fault *f)
{
	struct learn_event e;
	struct fault bad;
	ptrdiff_t n;

	while ((n = record_batch(u->in, BATCH_ROWS, f)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++) {
			int full = 0, status = read_event(u, i, &e, f);
			if (status == 0) {
				full = learn_add(u->learn, &e);
			} else if (status == -2 || record_bad(u->in, f) < 0) {
				n = -1;
				break;
			}
			u->n_read++;
			place_read(&u->place, u->in, i);
			if (full && commit(u, f) < 0)
				return -1;
		}
		if (n < 0)
			break;
		if (is_silent(u, path) && commit(u, f) < 0)
			return -1;
	}
	/* rows before a bad one are learnt; the position stands before it */
	bad = *f;
	if (commit(u, f) < 0)
		return -1;
	*f = bad;
	return (int)n;
}

static int
learn_file(struct updating *u, char *path, struct fault *f)
{
	int is_stdin = !path || strcmp(path, "-") == 0;

	if (!(u->in = record_open(is_stdin ? 0 : 1, &path, f)))
		return -1;
	if (!u->learn && open_learner(u, f) < 0)
		return -1;
	int e = find_columns(u, f) < 0 ||
	    place_begin(&u->place, u->in, is_stdin ? NULL : path, source_option, u->state, state_name, f) < 0 ||
	    learn_rows(u, is_stdin ? NULL : path, f) < 0 ? -1 : 0;
	place_end(&u->place);
	return e;
}

static void
check_options(const struct opt_program *p, int n_operand)
{
	if (!state_name)
		opt_usage(p, "expected a STATE: -s or HARE_STATE");
	if (strcmp(feature, "x") != 0 && !model_name)
		opt_usage(p, "expected a MODEL: -m or HARE_MODEL");
	if (strcmp(feature, "item") == 0 && pool_name.n == 0)
		opt_usage(p, "expected a POOL: -p or HARE_POOL");
	if (source_option && n_operand > 1)
		opt_usage(p, "--source: expected one input, got %d", n_operand);
	if (!isnan(half_life) && half_life < 0)
		opt_usage(p, "--half-life: expected 0 or more, got %g", half_life);
	if (model_name && (!isnan(lambda) || !isnan(noise_var) || !isnan(base_rate)))
		opt_usage(p, "--lambda, --noise-var, --base-rate: a MODEL has its own");
	if ((!isnan(lambda) && lambda <= 0) || (!isnan(noise_var) && noise_var <= 0))
		opt_usage(p, "--lambda, --noise-var: expected more than 0");
	if (!isnan(query_var) && strcmp(feature, "item") != 0)
		opt_usage(p, "--query-var: goes with --feature item");
	if (!isnan(query_var) && !(query_var >= 0 && query_var <= LONGEST))
		opt_usage(p, "--query-var: expected 0 to %g, got %g", LONGEST, query_var);
	if (dim_option > MODEL_DIM_MAX)
		opt_usage(p, "--dim: expected at most %d, got %zu", MODEL_DIM_MAX, dim_option);
	if (buffer_mb < 1 || buffer_mb > 1 << 20)
		opt_usage(p, "--buffer: expected 1 to 1048576 MB, got %zu", buffer_mb);
}

static int
run(const struct opt_program *p, int n_operand, char **operand)
{
	struct updating u = { .n_input = n_operand > 0 ? n_operand : 1 };
	struct fault f = {0}, closing;
	int failed;

	n_operand = filter_take_pools(&pool_name, n_operand, operand);
	check_options(p, n_operand);
	failed = mat_check(&f) < 0 || open_space(&u, &f) < 0;
	for (int i = 0; !failed && (i < n_operand || i == 0); i++) {
		failed = learn_file(&u, n_operand ? operand[i] : NULL, &f) < 0;
		if (!failed && i + 1 < n_operand) {
			u.n_bad += record_n_bad(u.in);
			filter_tell_bad(u.in);
			record_close(u.in);
			u.in = NULL;
		}
	}
	/* an input without rows still says what the state is for */
	if (!failed && u.was_new && u.n_read == 0)
		failed = learn_commit(u.learn, NULL, NULL, NULL, &f) < 0;
	if (u.learn && record_options.verbose)
		warnx("%llu rows read, %llu learnt, %llu learnt before, %zu bad", (unsigned long long)u.n_read,
		    (unsigned long long)learn_n_learnt(u.learn), (unsigned long long)learn_n_repeated(u.learn),
		    u.n_bad + (u.in ? record_n_bad(u.in) : 0));
	learn_free(u.learn);
	if (state_close(u.state, &closing) < 0 && !failed) {
		f = closing;
		failed = 1;
	}
	place_end(&u.place);
	pool_close(u.pool);
	model_close(u.model);
	free(u.f);
	free(u.query);
	free(u.row);
	return filter_finish(u.in, NULL, failed ? f.status : EX_OK, &f);
}

static const struct opt_program program = {
	.name = "hare-update",
	.summary = "learn from rewards",
	.usage = "-m MODEL -s STATE -p POOL... [--half-life H] [--event-id COLUMN] [--source NAME] [file ...]\n"
	    "-m MODEL -s STATE --feature z [file ...]\n"
	    "-s STATE --feature x --dim D [--lambda L] [--noise-var V] [--base-rate B] [file ...]",
	.opts = opts,
	.examples =
	    "  printf 'user,item,reward\\nann,fuzz-tests-for-a-parser,1\\n' |\n"
	    "    hare-update -m skills.model -p skills.pool -s team.state\n"
	    "  hare-update -m skills.model -p skills.pool -s fading.state --half-life 100 rewards.csv\n",
	.run = run,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
