/* hare-eval simulate - systems on simulated users: a small pool with latent tastes, or clicks on real items from tags */
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/thread.h"
#include "embed/embed.h"
#include "eval.h"
#include "eval/measure.h"
#include "eval/world.h"
#include "filter.h"
#include "mat/mat.h"
#include "model/model.h"
#include "pool/pool.h"
#include "record/record.h"

static const char *system_names = "all", *world_name = "prototype", *model_name, *queries_name, *log_name, *plots_name, *trained_name;
static struct opt_list pool_name, given;
static struct eval_world_options set = { .n_user = 30, .n_round = 200, .n_row = 6000,
    .prefixes = "field::,works-with::,works-with-format::,game::,protocol::,culture::,devel::lang:,admin::,security::", .share_min = .005, .share_max = .03, .reward = .9, .base = .03, .blend = .53 };
static size_t n_seed = 5, n_show = 1, n_tune_user = 20, n_probe_user = 10, split;
static int no_probes;

static const struct opt opts[] = {
	{ 0, "world", OPT_CHOICE, &world_name, "WORLD", "what is simulated", "prototype clicks", NULL },
	{ 0, "system", OPT_STRING, &system_names, "NAMES", "systems, split by commas; all is the default; the others are paired with the first", NULL, NULL },
	{ 0, "queries", OPT_CHOICE, &queries_name, "KIND", "what queries tell; default: informative for prototype, ambiguous for clicks", "informative ambiguous empty", NULL },
	{ 0, "users", OPT_SIZE, &set.n_user, "N", "users of a world", NULL, NULL },
	{ 0, "rounds", OPT_SIZE, &set.n_round, "N", "rounds of a user", NULL, NULL },
	{ 0, "seeds", OPT_SIZE, &n_seed, "N", "worlds, with the seeds S, S + 1, ...", NULL, NULL },
	{ 0, "seed", OPT_U64, &set.seed, "S", "of all draws", NULL, NULL },
	{ 0, "first-user", OPT_SIZE, &set.first_user, "N", "number of the first user: other numbers are other people", NULL, NULL },
	{ 0, "show", OPT_SIZE, &n_show, "N", "items shown in a round", NULL, NULL },
	{ 'm', "model", OPT_FILE, &model_name, "MODEL", "clicks: the embedding space, and the constants of HARE", NULL, "HARE_MODEL" },
	{ 'p', "pool", OPT_LIST, &pool_name, "POOL", "clicks: items, with a column tags", NULL, "HARE_POOL" },
	{ 0, "trained", OPT_FILE, &trained_name, "TRAINED", "clicks: of hare-train on MODEL: systems run in its space", NULL, NULL },
	{ 0, "interests", OPT_STRING, &set.prefixes, "PREFIXES", "clicks: how tags begin that are interests, split by commas", NULL, NULL },
	{ 0, "rows", OPT_SIZE, &set.n_row, "N", "clicks: candidates, drawn by the seed", NULL, NULL },
	{ 0, "share-min", OPT_REAL, &set.share_min, "P", "clicks: share of the candidates that an interest has at least", NULL, NULL },
	{ 0, "share-max", OPT_REAL, &set.share_max, "P", "clicks: and at most", NULL, NULL },
	{ 0, "reward", OPT_REAL, &set.reward, "P", "clicks: probability of a reward where an interest is met", NULL, NULL },
	{ 0, "base", OPT_REAL, &set.base, "P", "clicks: and where it is not", NULL, NULL },
	{ 0, "blend", OPT_REAL, &set.blend, "B", "clicks: share of the wanted item in an ambiguous query", NULL, NULL },
	{ 0, "any", OPT_FLAG, &set.any, NULL, "clicks: both interests of a user are met in every round, not only the one asked for", NULL, NULL },
	{ 0, "among", OPT_FLAG, &set.among, NULL, "clicks: queries are made of candidates, not of other rows", NULL, NULL },
	{ 0, "drift", OPT_FLAG, &set.drift, NULL, "clicks: interests change after half of the rounds", NULL, NULL },
	{ 0, "split", OPT_SIZE, &split, "H", "clicks: interests of the users from half 1 or 2 of all, drawn by the seed", NULL, NULL },
	{ 0, "log", OPT_FILE, &log_name, "FILE", "also write what the first system showed: event,user,x,item,reward", NULL, NULL },
	{ 0, "tune-users", OPT_SIZE, &n_tune_user, "N", "other users that the constants of the baselines are chosen on; 0: the defaults", NULL, NULL },
	{ 0, "set", OPT_LIST, &given, "SYSTEM.NAME=VALUE", "a constant of a system", NULL, NULL },
	{ 0, "plots", OPT_FILE, &plots_name, "FOLDER", "also draw figures there, by gnuplot", NULL, NULL },
	{ 0, "no-probes", OPT_FLAG, &no_probes, NULL, "leave out entropy and divergence", NULL, NULL },
	{ 0, "probe-users", OPT_SIZE, &n_probe_user, "N", "users of a world asked for entropy and divergence: the first so many", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct simulation {
	struct eval_bench bench;
	int is_clicks;
	struct model *model, *trained;  /* trained: NULL, or whose space systems run in */
	struct embed *embed;            /* of trained */
	struct pool *pool;
	struct eval_world *world;       /* [n_seed] */
	struct eval_world tuning;
	double *best;                   /* [n_step of all worlds] */
	struct eval_task task;          /* all worlds, one behind the other */
};

static int
make_world(struct simulation *s, struct eval_world *w, const struct eval_world_options *o, struct fault *f)
{
	if (s->is_clicks) {
		if (eval_world_clicks(w, o, s->model, s->pool, f) < 0)
			return -1;
		return s->trained ? eval_space_train(&w->space, s->embed, s->trained, o->n_thread, o->cosine_bytes, f) : 0;
	}
	eval_world_prototype(w, o);
	return 0;
}

static int
open_all(struct simulation *s, struct fault *f)
{
	static const char *const spaces[] = { "" };

	/* Worlds simulated, and then no place for the log: that is told before. */
	if ((log_name && file_out_check(log_name, f) < 0) || mat_check(f) < 0 || eval_check_given(given.at, given.n, f) < 0 ||
	    (s->bench.n_entry = eval_pick(system_names, spaces, 1,
	    "what simulated users ask is a vector, without words for a decoder", s->bench.entry, f)) < 0)
		return -1;
	if (s->is_clicks && (!(s->model = model_open(model_name, f)) ||
	    !(s->pool = pool_open(pool_name.at, pool_name.n, s->model->space, model_name, f))))
		return -1;
	if (trained_name && (!(s->trained = model_open(trained_name, f)) || !(s->embed = embed_open(s->trained, f))))
		return -1;
	set.queries = !queries_name ? (s->is_clicks ? EVAL_AMBIGUOUS : EVAL_INFORMATIVE) :
	    strcmp(queries_name, "informative") == 0 ? EVAL_INFORMATIVE : strcmp(queries_name, "empty") == 0 ? EVAL_EMPTY : EVAL_AMBIGUOUS;
	set.n_thread = record_options.n_thread;
	set.cosine_bytes = EVAL_COSINE_BYTES / n_seed;
	set.half = (int)split;
	s->world = xcalloc(n_seed, sizeof *s->world);
	s->best = xmalloc(n_seed * set.n_user * set.n_round, sizeof *s->best);
	for (size_t i = 0; i < n_seed; i++) {
		struct eval_world_options o = set;
		o.seed = set.seed + i;
		if (make_world(s, &s->world[i], &o, f) < 0)
			return -1;
		if (n_show > s->world[i].space.n)
			return fault(f, EX_USAGE, "--show: expected at most %zu, as there are no more candidates, got %zu",
			    s->world[i].space.n, n_show);
		memcpy(s->best + i * s->world[i].task.n_step, s->world[i].best, s->world[i].task.n_step * sizeof *s->best);
	}
	if (n_tune_user > 0) {
		struct eval_world_options o = set;
		o.n_user = n_tune_user;
		o.first_user = set.first_user + ((size_t)1 << 40);      /* nobody who is reported */
		o.half = split ? 1 : 0;
		if (make_world(s, &s->tuning, &o, f) < 0)
			return -1;
	}
	s->bench.run = (struct eval_run_options){ .n_show = n_show, .seed = set.seed, .n_thread = record_options.n_thread,
	    .n_probe_user = no_probes ? 0 : n_probe_user };
	return eval_table_open(&s->bench.table, f);
}

static void
let_go(struct simulation *s)
{
	eval_bench_free(&s->bench);
	free((void *)s->task.first);
	for (size_t i = 0; s->world && i < n_seed; i++)
		eval_world_close(&s->world[i]);
	free(s->world);
	free(s->best);
	eval_world_close(&s->tuning);
	pool_close(s->pool);
	embed_close(s->embed);
	model_close(s->trained);
	model_close(s->model);
}

/* What was shown by one run in one world, for those that learn from logs. */
static void
put_log(struct buf *text, const struct simulation *s, const struct eval_world *w, size_t seed, const struct eval_run *r)
{
	for (size_t step = 0; step < w->task.n_step; step++) {
		size_t user = step / set.n_round, dim = w->space.dim;
		for (size_t i = 0; i < r->n_show; i++) {
			uint32_t row = r->shown[step * r->n_show + i];
			buf_printf(text, "%zu-%zu-%zu,%zu-%zu,", seed, set.first_user + user, step % set.n_round + 1, seed,
			    set.first_user + user);
			for (size_t d = 0; d < dim; d++) {
				char number[NUM_F32_MAX];
				if (d)
					buf_putc(text, ' ');
				buf_put(text, number, num_put_f32(number, w->space.query[w->task.query[step] * dim + d]));
			}
			struct span id = s->is_clicks ? pool_id(s->pool, w->row[row]) : (struct span){0};
			buf_putc(text, ',');
			if (s->is_clicks)
				buf_put(text, id.at, id.n);
			else
				buf_printf(text, "%u", row);
			buf_printf(text, ",%d\n", r->reward[step * r->n_show + i] > 0);
		}
	}
}

static int
write_log(const struct buf *text, struct fault *f)
{
	struct file_out *out = file_out_open(log_name, 0666, f);

	if (!out)
		return -1;
	if (file_out_write(out, text->at, text->n, f) < 0) {
		file_out_abort(out);
		return -1;
	}
	return file_out_commit(out, f);
}

/* One system through all worlds: the runs one behind the other. */
static int
run_entry(void *arg, const struct eval_entry *e, const struct eval_constants *c, enum eval_feedback feedback, double rate,
    struct eval_run *all, const struct eval_task **task, struct fault *f)
{
	struct simulation *s = arg;
	struct buf log = {0};
	int status = 0, is_logged = log_name && e == s->bench.entry && feedback == EVAL_TRUE;

	*all = (struct eval_run){0};
	free((void *)s->task.first);
	s->task = (struct eval_task){0};
	*task = &s->task;
	buf_puts(&log, "event,user,x,item,reward\n");
	for (size_t k = 0; k < n_seed && status == 0; k++) {
		struct eval_world *w = &s->world[k];
		struct eval_run_options o = s->bench.run;
		struct eval_run run = {0};
		o.seed = set.seed + k;
		o.feedback = feedback;
		o.rate = rate;
		if (!no_probes)
			eval_choose_probes(&o, w->space.n_query);
		o.want_heat = plots_name && k == 0 && !s->bench.heat.heat;
		status = eval_run(&run, e->system, c->value, &w->space, &w->task, &o, f);
		eval_bench_heat(&s->bench, &run);
		if (status == 0)
			eval_run_join(all, &s->task, &run, &w->task);
		if (status == 0 && is_logged)
			put_log(&log, s, w, set.seed + k, &run);
		eval_run_free(&run);
	}
	if (status == 0 && is_logged)
		status = write_log(&log, f);
	buf_free(&log);
	return status;
}

static int
report(void *arg, const struct eval_entry *e, const struct eval_constants *c, const struct eval_run *run,
    const struct eval_task *task, const struct eval_run *first, struct fault *f)
{
	struct simulation *s = arg;
	struct eval_table *t = &s->bench.table;

	if (eval_report_rewards(t, e->name, run, task, eval_simulate_blocks, s->best, NULL, NULL, f) < 0 ||
	    (first && eval_report_rewards(t, e->name, run, task, eval_simulate_blocks, NULL, s->bench.entry[0].name, first, f) < 0) ||
	    eval_report_curve(t, e->name, run, task, 0, f) < 0 || eval_bench_probes(&s->bench, e, c, run, task, f) < 0)
		return -1;
	return s->world->is_graded ? 0 : eval_report_calibration(t, e->name, run, task, f);
}

/* What could be earned: by whoever knows all, and by the one item that is best for all rounds. */
static int
report_world(struct simulation *s, struct fault *f)
{
	size_t n = n_seed * set.n_user;
	double *best = xcalloc(n, sizeof *best), *single = xcalloc(n, sizeof *single);

	for (size_t u = 0; u < n; u++) {
		for (size_t i = 0; i < set.n_round; i++)
			best[u] += s->best[u * set.n_round + i] / (double)set.n_round;
		single[u] = s->world[u / set.n_user].single[u % set.n_user];
	}
	struct eval_line line = { "world", "oracle", NULL, "reward", "all", 0, 0, 0 };
	line.n = eval_mean(best, n, &line.value, &line.error);
	struct eval_line one = { "world", "single", NULL, "reward", "all", 0, 0, 0 };
	one.n = eval_mean(single, n, &one.value, &one.error);
	struct eval_line interests = { "world", NULL, NULL, "interests", "all", (double)s->world[0].n_interest, NAN, 0 };
	free(best);
	free(single);
	if (eval_table_put(&s->bench.table, line, f) < 0 || eval_table_put(&s->bench.table, one, f) < 0)
		return -1;
	return s->is_clicks ? eval_table_put(&s->bench.table, interests, f) : 0;
}

static struct span
item_label(const void *arg, uint32_t row)
{
	static char number[HEAT_ITEMS][16];
	static size_t n;
	const struct simulation *s = arg;

	if (s->is_clicks)
		return pool_id(s->pool, s->world->row[row]);
	char *at = number[n++ % HEAT_ITEMS];
	return (struct span){ at, (size_t)snprintf(at, sizeof number[0], "%u", row) };
}

static int
plot(struct simulation *s, struct fault *f)
{
	return eval_plot(plots_name, &s->bench.table, s->bench.heat.heat ? &s->bench.heat : NULL, &s->world->space,
	    (struct eval_labels){ item_label, s }, "a query of the first world", f);
}

static int
run_simulate(const struct opt_program *p, int n_operand, char **operand)
{
	struct simulation s = { .is_clicks = strcmp(world_name, "clicks") == 0, .bench = { .given = &given, .space = &s.tuning.space,
		.tuning = &s.tuning.task, .arg = &s, .run_entry = run_entry, .report = report } };
	struct fault f;

	n_operand = filter_take_pools(&pool_name, n_operand, operand);
	if (n_operand > 0)
		opt_usage(p, "unexpected operand %s", operand[0]);
	if (trained_name && (!s.is_clicks || log_name))
		opt_usage(p, "--trained goes with --world clicks, and without --log");
	if (s.is_clicks && !model_name)
		opt_usage(p, "expected a MODEL: -m or HARE_MODEL");
	if (s.is_clicks && pool_name.n == 0)
		opt_usage(p, "expected a POOL: -p or HARE_POOL");
	if (set.n_user == 0 || set.n_round == 0 || n_seed == 0 || n_show == 0 || set.n_row == 0)
		opt_usage(p, "--users, --rounds, --seeds, --show, --rows: expected at least 1");
	if (split > 2)
		opt_usage(p, "--split: expected 1 or 2, got %zu", split);
	if (fmin(fmin(set.reward, set.base), set.blend) < 0 || fmax(fmax(set.reward, set.base), set.blend) > 1)
		opt_usage(p, "--reward, --base, --blend: expected 0 to 1");
	if (!record_options.n_thread)
		record_options.n_thread = thread_count();
	int failed = open_all(&s, &f) < 0 || report_world(&s, &f) < 0 || eval_bench_run(&s.bench, &f) < 0 ||
	    (plots_name && plot(&s, &f) < 0);
	int status = filter_finish(NULL, s.bench.table.out, failed ? f.status : EX_OK, &f);
	let_go(&s);
	return status;
}

const struct opt_program eval_simulate = {
	.name = "simulate",
	.summary = "systems on simulated users",
	.usage = "[--world prototype] [--queries KIND] [--system NAMES] [--users N] [--rounds N] [--seeds N] [--seed S]\n"
	    "--world clicks -m MODEL -p POOL... [--interests PREFIXES] [--queries KIND] [--drift] [--split H] [--log FILE]",
	.opts = opts,
	.examples =
	    "  hare-eval simulate --system hare,cosine,linucb-user --users 5 --seeds 2 |\n"
	    "    mlr --icsv --opprint filter '$table == \"reward\"' then cut -f system,block,value then reshape -s block,value\n",
	.run = run_simulate,
};
