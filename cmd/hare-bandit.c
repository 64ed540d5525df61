/*
 * hare-bandit - chooses arms by their features and learns from rewards
 */
#include "bandit.h"

#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/thread.h"
#include "filter.h"

enum { LEARN_ROWS = 64, BATCH_ROWS = 256, TILE_ROWS = 16 };

static const double REWARD_MAX = 1e30;

static size_t n_commit = 100000, n_top = 1;
static int explain;

#define POLICY_OPTIONS { 0, NULL, OPT_TABLE, (void *)bandit_policy_opts, NULL, NULL, NULL, NULL }
#define MODEL_OPTIONS { 0, NULL, OPT_TABLE, (void *)bandit_model_opts, NULL, NULL, NULL, NULL }
#define ARM_OPTIONS { 0, NULL, OPT_TABLE, (void *)bandit_arm_opts, NULL, NULL, NULL, NULL }
#define SHARED_OPTIONS { 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL }
#define END_OPTIONS { 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL }
#define COMMIT_OPTION { 0, "commit", OPT_SIZE, &n_commit, "N", "write the state every N rows too", NULL, NULL }

static const struct opt learn_opts[] = {
	POLICY_OPTIONS, MODEL_OPTIONS, ARM_OPTIONS, COMMIT_OPTION, SHARED_OPTIONS, END_OPTIONS
};
static const struct opt choose_opts[] = {
	POLICY_OPTIONS, ARM_OPTIONS,
	{ 0, "explain", OPT_FLAG, &explain, NULL, "the best arms of each row, one line each, with mean and bonus", NULL, NULL },
	{ 0, "top", OPT_SIZE, &n_top, "K", "how many (1)", NULL, NULL },
	SHARED_OPTIONS, END_OPTIONS
};

/* One draw for each row: of what it is, and of how many came before it. */
static uint64_t
stream(const struct record_in *in, size_t i, uint64_t n_before)
{
	struct span raw = record_raw(in, i);

	return hash64(raw.at, raw.n, n_before);
}

/* ---- run and learn ---- */

struct learning {
	struct bandit_job job;
	int is_run;
	int label, arm, reward, propensity;     /* columns */
	struct record_out *out;
	struct record_row row;
};

static int
find_columns(struct learning *l, struct fault *f)
{
	struct record_in *in = l->job.in;

	if (l->is_run)
		return (l->label = record_need(in, "label", f)) < 0 ? -1 : 0;
	l->propensity = record_find(in, "propensity");
	return (l->arm = record_need(in, "arm", f)) < 0 || (l->reward = record_need(in, "reward", f)) < 0 ? -1 : 0;
}

static int
open_output(struct learning *l, struct fault *f)
{
	const char *const name[] = { record_column_name("arm"), record_column_name("score"), record_column_name("reward"),
	    record_column_name("propensity") };

	l->out = record_out_open(l->job.in, NULL, name, bandit_draws(l->job.bandit) ? 4 : 3, f);
	return l->out ? 0 : -1;
}

/* The arm in a cell that was found good, added if it is new. */
static size_t
arm_of(struct bandit_job *j, size_t i, int column, size_t arm)
{
	return arm == SIZE_MAX ? bandit_add_arm(j->bandit, record_cell(j->in, i, column), NULL) : arm;
}

static struct bandit_desk *
look(struct bandit_job *j)
{
	struct bandit_desk *desk = bandit_job_desk(j);

	bandit_observe(j->bandit, (const double *)j->x.at);
	bandit_look(desk, 0, (const double *)j->x.at);
	return desk;
}

/* Chooses, is told, learns. -1 if the row is bad: nothing is changed; -2 if it could not be written. */
static int
run_row(struct learning *l, size_t i, struct fault *f)
{
	struct bandit_job *j = &l->job;
	struct bandit_choice choice;
	size_t label;

	if (bandit_job_arm(j, i, l->label, &label, f) < 0 || bandit_job_features(j, i, f) < 0)
		return -1;
	label = arm_of(j, i, l->label, label);
	struct bandit_desk *desk = look(j);
	bandit_score(desk, 1);
	bandit_choose(desk, 0, bandit_draws(j->bandit) ? stream(j->in, i, bandit_n_row(j->bandit)) : 0, &choice);
	struct span name = bandit_arm_name(j->bandit, choice.arm);
	record_row_begin(&l->row, l->out);
	record_put_text(&l->row, name.at, name.n);
	record_put_number(&l->row, choice.score);
	record_put_integer(&l->row, choice.arm == label);
	if (bandit_draws(j->bandit))
		record_put_number(&l->row, choice.propensity);
	bandit_learn(j->bandit, desk, choice.arm, choice.arm == label);
	return record_emit(l->out, j->in, i, &l->row, f) < 0 ? -2 : 0;
}

static int
learn_row(struct learning *l, size_t i, struct fault *f)
{
	struct bandit_job *j = &l->job;
	double reward, propensity;
	size_t arm;

	if (bandit_job_arm(j, i, l->arm, &arm, f) < 0 || record_number(j->in, i, l->reward, &reward, f) < 0)
		return -1;
	if (!(fabs(reward) <= REWARD_MAX))
		return record_fault(j->in, i, l->reward, f, "expected a reward from -1e30 to 1e30, got %g", reward);
	if (l->propensity >= 0 && record_number(j->in, i, l->propensity, &propensity, f) < 0)
		return -1;
	if (l->propensity >= 0 && !(propensity > 0 && propensity <= 1))
		return record_fault(j->in, i, l->propensity, f, "expected a probability above 0 and up to 1, got %g", propensity);
	if (bandit_job_features(j, i, f) < 0)
		return -1;
	arm = arm_of(j, i, l->arm, arm);
	bandit_learn(j->bandit, look(j), arm, reward);
	return 0;
}

static int
commit(struct learning *l, struct fault *f)
{
	return (l->out && record_flush(l->out, f) < 0) || bandit_job_commit(&l->job, f) < 0 ? -1 : 0;
}

static int
learn_rows(struct learning *l, struct fault *f)
{
	struct bandit_job *j = &l->job;
	struct fault bad;
	ptrdiff_t n;

	while ((n = record_batch(j->in, LEARN_ROWS, f)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++) {
			int status = l->is_run ? run_row(l, i, f) : learn_row(l, i, f);
			if (status == -2 || (status == -1 && record_bad(j->in, f) < 0)) {
				n = -1;
				break;
			}
			bandit_job_read(j, i);
			if (j->state && j->n_waiting >= n_commit && commit(l, f) < 0)
				return -1;
		}
		if (n < 0)
			break;
		if (l->out && record_would_block(j->in) && record_flush(l->out, f) < 0)
			return -1;
		if (j->state && j->n_waiting && bandit_job_is_silent(j) && commit(l, f) < 0)
			return -1;
	}
	/* rows before a bad one are learnt; the position stands before it */
	bad = *f;
	if (commit(l, f) < 0)
		return -1;
	*f = bad;
	return (int)n;
}

static int
learn_all(const struct opt_program *p, int n_operand, char **operand, int is_run)
{
	struct learning l = { .is_run = is_run };
	struct bandit_job *j = &l.job;
	struct fault f = {0}, closing;
	char *path = n_operand ? operand[0] : NULL;
	int failed;

	bandit_check_options(p);
	if (!is_run && !bandit_state_name)
		opt_usage(p, "expected a STATE: -s or HARE_STATE");
	if (n_commit == 0)
		opt_usage(p, "--commit: expected at least 1, got 0");
	if (n_operand > 1)
		opt_usage(p, "expected at most one file, got %d", n_operand);
	/* a state is made only for an input that can be read */
	failed = bandit_job_input(j, path, &f) < 0 || find_columns(&l, &f) < 0 || bandit_job_open(j, STATE_CREATE, &f) < 0 ||
	    bandit_job_arms(j, &f) < 0 || bandit_job_resume(j, path, &f) < 0 || (is_run && open_output(&l, &f) < 0) ||
	    learn_rows(&l, &f) < 0;
	if (!failed && record_options.verbose)
		warnx("%llu rows read, %zu arms", (unsigned long long)j->n_read, bandit_n_arm(j->bandit));
	bandit_job_close(j);
	if (state_close(j->state, &closing) < 0 && !failed) {
		f = closing;
		failed = 1;
	}
	record_row_free(&l.row);
	return filter_finish(j->in, l.out, failed ? f.status : EX_OK, &f);
}

static int
run_run(const struct opt_program *p, int n_operand, char **operand)
{
	return learn_all(p, n_operand, operand, 1);
}

static int
run_learn(const struct opt_program *p, int n_operand, char **operand)
{
	return learn_all(p, n_operand, operand, 0);
}

/* ---- choose ---- */

struct choosing {
	struct bandit_job job;
	struct record_out *out;
	size_t n_row, n_top;
	double *x;                      /* [BATCH_ROWS][dim] */
	size_t at[BATCH_ROWS];          /* in the batch; rows that are bad are left out */
	uint64_t draw[BATCH_ROWS], n_before;
	struct bandit_choice choice[BATCH_ROWS];
	struct explained { size_t arm; double mean, bonus, propensity; } *top;     /* [BATCH_ROWS][n_top] */
	size_t n_worker;
	struct bandit_desk **desk;      /* [n_worker] */
	struct record_row row;
};

static int
by_score(const void *a, const void *b)
{
	const struct explained *x = a, *y = b;
	double s = x->mean + x->bonus, t = y->mean + y->bonus;

	return s != t ? (s < t) - (s > t) : (x->arm > y->arm) - (x->arm < y->arm);
}

static void
explain_row(struct choosing *c, struct bandit_desk *desk, size_t place, struct explained *out)
{
	size_t n = bandit_n_arm(c->job.bandit);
	struct explained *all = xmalloc(n, sizeof *all);

	for (size_t a = 0; a < n; a++)
		all[a] = (struct explained){ a, bandit_mean(desk, place, a), bandit_bonus(desk, place, a), 0 };
	qsort(all, n, sizeof *all, by_score);
	for (size_t k = 0; k < c->n_top; k++) {
		all[k].propensity = bandit_propensity(desk, place, all[k].arm);
		out[k] = all[k];
	}
	free(all);
}

static void
choose_tile(void *arg, size_t tile, size_t worker)
{
	struct choosing *c = arg;
	struct bandit_desk *desk = c->desk[worker];
	size_t first = tile * TILE_ROWS, n = c->n_row - first < TILE_ROWS ? c->n_row - first : TILE_ROWS;
	size_t dim = bandit_settings(c->job.bandit)->dim;

	for (size_t i = 0; i < n; i++)
		bandit_look(desk, i, c->x + (first + i) * dim);
	bandit_score(desk, n);
	for (size_t i = 0; i < n; i++) {
		if (explain)
			explain_row(c, desk, i, c->top + (first + i) * c->n_top);
		else
			bandit_choose(desk, i, c->draw[first + i], &c->choice[first + i]);
	}
}

static int
put_choice(struct choosing *c, size_t i, struct fault *f)
{
	const struct bandit_choice *choice = &c->choice[i];
	struct span name = bandit_arm_name(c->job.bandit, choice->arm);

	record_row_begin(&c->row, c->out);
	record_put_text(&c->row, name.at, name.n);
	record_put_number(&c->row, choice->score);
	record_put_number(&c->row, choice->propensity);
	return record_emit(c->out, c->job.in, c->at[i], &c->row, f);
}

static int
put_explained(struct choosing *c, size_t i, struct fault *f)
{
	for (size_t k = 0; k < c->n_top; k++) {
		const struct explained *e = &c->top[i * c->n_top + k];
		struct span name = bandit_arm_name(c->job.bandit, e->arm);
		record_row_begin(&c->row, c->out);
		record_put_integer(&c->row, (int64_t)k + 1);
		record_put_text(&c->row, name.at, name.n);
		record_put_number(&c->row, e->mean);
		record_put_number(&c->row, e->bonus);
		record_put_number(&c->row, e->mean + e->bonus);
		record_put_number(&c->row, e->propensity);
		if (record_emit(c->out, c->job.in, c->at[i], &c->row, f) < 0)
			return -1;
	}
	return 0;
}

static int
choose_batch(struct choosing *c, size_t n, struct fault *f)
{
	struct bandit_job *j = &c->job;
	size_t dim = bandit_settings(j->bandit)->dim;
	int e = 0;

	c->n_row = 0;
	for (size_t i = 0; i < n && e == 0; i++) {
		if (bandit_job_features(j, i, f) < 0) {
			e = record_bad(j->in, f);
			continue;
		}
		memcpy(c->x + c->n_row * dim, j->x.at, dim * sizeof *c->x);
		c->draw[c->n_row] = stream(j->in, i, c->n_before++);
		c->at[c->n_row++] = i;
	}
	thread_for(c->n_worker, (c->n_row + TILE_ROWS - 1) / TILE_ROWS, choose_tile, c);
	struct fault bad = *f;
	for (size_t i = 0; i < c->n_row; i++)
		if ((explain ? put_explained(c, i, f) : put_choice(c, i, f)) < 0)
			return -1;
	*f = bad;
	return e;
}

static int
open_choosing(struct choosing *c, struct fault *f)
{
	const struct bandit_settings *set = bandit_settings(c->job.bandit);
	const char *const name[] = { record_column_name("arm"), record_column_name("score"), record_column_name("propensity") };
	const char *const long_name[] = { "rank", name[0], "mean", "bonus", name[1], name[2] };

	if (bandit_n_arm(c->job.bandit) == 0)
		return fault(f, EX_DATAERR, "%s: has no arms (--arms names them)",
		    bandit_state_name ? bandit_state_name : "the command line");
	if (set->dim == 0)
		return fault(f, EX_DATAERR, "%s: has not learnt yet", bandit_state_name);
	c->n_before = bandit_n_row(c->job.bandit);
	c->n_top = n_top < bandit_n_arm(c->job.bandit) ? n_top : bandit_n_arm(c->job.bandit);
	c->x = xmalloc(BATCH_ROWS * set->dim, sizeof *c->x);
	c->top = xmalloc(BATCH_ROWS * c->n_top, sizeof *c->top);
	c->n_worker = record_options.n_thread;
	c->desk = xcalloc(c->n_worker, sizeof *c->desk);
	for (size_t w = 0; w < c->n_worker; w++)
		c->desk[w] = bandit_desk_new(c->job.bandit, TILE_ROWS);
	c->out = explain ? record_out_open(c->job.in, NULL, long_name, 6, f) : record_out_open(c->job.in, NULL, name, 3, f);
	return c->out ? 0 : -1;
}

static int
run_choose(const struct opt_program *p, int n_operand, char **operand)
{
	struct choosing c = {0};
	struct bandit_job *j = &c.job;
	struct fault f = {0};
	ptrdiff_t n = -1;

	bandit_check_options(p);
	if (!bandit_state_name)
		opt_usage(p, "expected a STATE: -s or HARE_STATE");
	if (n_top == 0)
		opt_usage(p, "--top: expected at least 1, got 0");
	int failed = bandit_job_open(j, STATE_READ, &f) < 0 || state_close(j->state, &f) < 0 || bandit_job_arms(j, &f) < 0;
	j->state = NULL;
	if (!failed && (j->in = record_open(n_operand, operand, &f)) && (j->x_column = record_need(j->in, "x", &f)) >= 0 &&
	    open_choosing(&c, &f) == 0) {
		while ((n = record_batch(j->in, BATCH_ROWS, &f)) > 0)
			if (choose_batch(&c, (size_t)n, &f) < 0 || (record_would_block(j->in) && record_flush(c.out, &f) < 0)) {
				n = -1;
				break;
			}
	}
	for (size_t w = 0; c.desk && w < c.n_worker; w++)
		bandit_desk_free(c.desk[w]);
	free(c.desk);
	free(c.x);
	free(c.top);
	record_row_free(&c.row);
	bandit_job_close(j);
	return filter_finish(j->in, c.out, n < 0 ? f.status : EX_OK, &f);
}

/* ---- the program ---- */

static const struct opt_program choose_verb = {
	.name = "choose",
	.summary = "choose an arm for each row",
	.usage = "-s STATE [--policy P] [--explain --top K] [file ...]",
	.opts = choose_opts,
	.examples = "  hare-bandit choose -s flowers.state < new.csv\n",
	.run = run_choose,
};

static const struct opt_program learn_verb = {
	.name = "learn",
	.summary = "learn from the rewards of arms that were chosen",
	.usage = "-s STATE [--arms LIST|FILE] [--policy P] [--lambda L] [--half-life H] [file]",
	.opts = learn_opts,
	.examples = "  printf 'x,arm,reward\\n1 0,a,1\\n0 1,b,0\\n' | hare-bandit learn -s ab.state --arms a,b\n",
	.run = run_learn,
};

static const struct opt_program run_verb = {
	.name = "run",
	.summary = "choose, be told the right arm, learn: one pass over labelled rows",
	.usage = "[-s STATE] [--arms LIST|FILE] [--policy P] [--alpha A] [--lambda L] [file]",
	.opts = learn_opts,
	.examples = "  printf 'label,x\\na,1 0\\nb,0 1\\na,1 0\\n' | hare-bandit run --arms a,b\n",
	.run = run_run,
};

static const struct opt_program *const verbs[] = { &choose_verb, &learn_verb, &run_verb, &bandit_estimate, NULL };

static const struct opt_program program = {
	.name = "hare-bandit",
	.summary = "choose arms by features, learn from rewards, judge policies by logs",
	.usage = "choose|learn|run|estimate [option ...] [file ...]",
	.verbs = verbs,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
