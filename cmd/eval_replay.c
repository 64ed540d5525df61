/* hare-eval replay - systems on recorded events, online: see, show, learn what was relevant of what was shown */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "decode/decode.h"
#include "embed/embed.h"
#include "eval.h"
#include "eval/events.h"
#include "eval/generative.h"
#include "eval/measure.h"
#include "eval/space.h"
#include "filter.h"
#include "mat/mat.h"
#include "model/model.h"
#include "pool/pool.h"
#include "record/record.h"

static const char *system_names = "all", *events_name, *relevance_name, *model_name, *items_name, *rankings_name, *plots_name;
static const char *generator_name, *title_name, *train_events_name, *train_relevance_name, *train_clicks_name;
static struct opt_list pool_name, given;
static size_t n_show = 5, n_tune_user = 40, n_probe_user = 100;
static double click_weight = 16;
static uint64_t seed;
static int no_probes;

static const struct opt opts[] = {
	{ 0, "system", OPT_STRING, &system_names, "NAMES", "systems, split by commas; all is the default; the others are paired with the first", NULL, NULL },
	{ 0, "events", OPT_FILE, &events_name, "FILE", "event,user,query: what is asked, in order", NULL, NULL },
	{ 0, "relevance", OPT_FILE, &relevance_name, "FILE", "event,item: what has a reward of 1 when it is shown", NULL, NULL },
	{ 'm', "model", OPT_FILE, &model_name, "MODEL", "the embedding space, and the constants of HARE", NULL, "HARE_MODEL" },
	{ 'p', "pool", OPT_LIST, &pool_name, "POOL", "where the items are; several act as one", NULL, "HARE_POOL" },
	{ 0, "items", OPT_FILE, &items_name, "FILE", "item: the candidates; default: the whole pool", NULL, NULL },
	{ 0, "show", OPT_SIZE, &n_show, "N", "items shown for an event", NULL, NULL },
	{ 0, "rankings", OPT_FILE, &rankings_name, "FILE", "also write what was shown: event,rank,item", NULL, NULL },
	{ 0, "seed", OPT_U64, &seed, "S", "of all draws", NULL, NULL },
	{ 0, "train-events", OPT_FILE, &train_events_name, "FILE", "events of other users, to choose the constants of the baselines on", NULL, NULL },
	{ 0, "train-relevance", OPT_FILE, &train_relevance_name, "FILE", "what is relevant to those", NULL, NULL },
	{ 0, "train-clicks", OPT_FILE, &train_clicks_name, "FILE", "event,item: what was clicked in those; makes the space clicks", NULL, NULL },
	{ 0, "click-weight", OPT_REAL, &click_weight, "W", "how far queries are moved to what was clicked", NULL, NULL },
	{ 0, "tune-users", OPT_SIZE, &n_tune_user, "N", "training users that constants are chosen on, drawn by the seed", NULL, NULL },
	{ 0, "generator", OPT_FILE, &generator_name, "DECODER", "that writes queries, for the system generative", NULL, NULL },
	{ 0, "title", OPT_STRING, &title_name, "COLUMN", "of the POOL: what it reads of an item (title, else name, else the id)", NULL, NULL },
	{ 0, "set", OPT_LIST, &given, "SYSTEM.NAME=VALUE", "a constant of a system", NULL, NULL },
	{ 0, "plots", OPT_FILE, &plots_name, "FOLDER", "also draw figures there, by gnuplot", NULL, NULL },
	{ 0, "no-probes", OPT_FLAG, &no_probes, NULL, "leave out entropy and divergence, which take most of the time", NULL, NULL },
	{ 0, "probe-users", OPT_SIZE, &n_probe_user, "N", "users asked for entropy and divergence: the first so many", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

/* Spaces that systems are run on: the MODEL's, and with its queries moved by clicks. */
enum { PLAIN, CLICKS, N_SPACE };
static const char *const space_names[N_SPACE] = { "plain", "clicks" };

struct replay {
	struct eval_bench bench;
	struct model *model;
	struct pool *pool;
	struct embed *embed;
	struct eval_items items;
	struct eval_queries queries;
	struct eval_events events, train;
	struct eval_task tuning;        /* without steps: constants are not chosen */
	struct eval_space space[N_SPACE];
	struct eval_decoder decoder;
	struct eval_generator generator;
	struct span *title, *query;     /* of the candidates, of the queries: what the generator reads */
};

/* FILE for one system; of several each has its own, with its name before the ending: r.csv becomes r.hare.csv. */
static void
rankings_path(struct buf *path, const char *system, int is_one)
{
	const char *name = strrchr(rankings_name, '/'), *dot = strrchr(name ? name : rankings_name, '.');

	buf_clear(path);
	if (is_one) {
		buf_puts(path, rankings_name);
		return;
	}
	if (!dot || dot == rankings_name || dot[-1] == '/')
		dot = rankings_name + strlen(rankings_name);
	buf_put(path, rankings_name, (size_t)(dot - rankings_name));
	buf_printf(path, ".%s%s", system, dot);
}

/* Before anything is run: there is a place for the rankings. */
static int
check_rankings(const struct replay *r, struct fault *f)
{
	struct buf path = {0};
	int status = 0;

	for (int i = 0; rankings_name && i < r->bench.n_entry && status == 0; i++) {
		rankings_path(&path, r->bench.entry[i].name, r->bench.n_entry == 1);
		status = file_out_check(buf_string(&path), f);
	}
	buf_free(&path);
	return status;
}

/* What the generator reads lies where pool and queries have it. */
static int
open_generator(struct replay *r, struct fault *f)
{
	struct decode_columns c;

	if (r->queries.is_vector)
		return fault(f, EX_DATAERR, "--generator: expected events with a column query, as a decoder reads words, got x");
	if (eval_decoder_open(&r->decoder, &generator_name, 1, model_name, f) < 0)
		return -1;
	if (strcmp(r->decoder.model->space, r->model->space) != 0)
		return fault(f, EX_DATAERR, "%s: is of the space %s, %s of %s", generator_name, r->decoder.model->space, model_name,
		    r->model->space);
	if (decode_columns(&c, r->pool, title_name, NULL, f) < 0)
		return -1;
	r->title = xmalloc(r->items.n, sizeof *r->title);
	r->query = xmalloc(r->queries.text.n, sizeof *r->query);
	for (size_t i = 0; i < r->items.n; i++) {
		size_t row = r->items.row[i];
		if (pool_check_row(r->pool, row, f) < 0) {
			decode_columns_free(&c);
			return -1;
		}
		r->title[i] = c.title == SIZE_MAX ? (struct span){0} : pool_text(r->pool, row, c.title);
		if (r->title[i].n == 0)
			r->title[i] = pool_id(r->pool, row);
	}
	for (size_t i = 0; i < r->queries.text.n; i++)
		r->query[i] = names_at(&r->queries.text, i);
	decode_columns_free(&c);
	r->generator = (struct eval_generator){ .decoder = &r->decoder, .title = r->title, .query = r->query };
	return 0;
}

static int
open_all(struct replay *r, struct fault *f)
{
	if (mat_check(f) < 0 || eval_check_given(given.at, given.n, f) < 0 ||
	    (r->bench.n_entry = eval_pick(system_names, space_names, train_clicks_name ? N_SPACE : CLICKS, generator_name ? NULL :
	    "it needs --generator, a DECODER that hare-train made of queries and what was clicked for them", r->bench.entry, f)) < 0 ||
	    check_rankings(r, f) < 0 || !(r->model = model_open(model_name, f)) ||
	    !(r->pool = pool_open(pool_name.at, pool_name.n, r->model->space, model_name, f)) ||
	    !(r->embed = embed_open(r->model, f)) || eval_items_read(&r->items, items_name, r->pool, f) < 0)
		return -1;
	if (n_show > r->items.n)
		return fault(f, EX_USAGE, "--show: expected at most %zu, as there are no more candidates, got %zu", r->items.n, n_show);
	r->queries = (struct eval_queries){ .embed = r->embed, .dim = r->model->dim };
	if (eval_events_read(&r->events, events_name, relevance_name, r->pool, &r->items, &r->queries, f) < 0)
		return -1;
	size_t n_asked = r->queries.text.n;     /* probes are of what is reported */
	if (train_events_name) {
		if (eval_events_read(&r->train, train_events_name, train_relevance_name, r->pool, &r->items, &r->queries, f) < 0)
			return -1;
		r->tuning = eval_events_sample(&r->train, n_tune_user, seed);
	}
	if (generator_name && open_generator(r, f) < 0)
		return -1;
	for (size_t i = 0; i < (train_clicks_name ? N_SPACE : CLICKS); i++) {
		float *query = r->queries.x;
		if (eval_space_open(&r->space[i], r->model, r->pool, r->items.row, r->items.n, f) < 0)
			return -1;
		if (i == CLICKS && !(query = eval_clicks_move(&r->train, train_clicks_name, r->pool, &r->items, r->space, click_weight, f)))
			return -1;
		eval_space_ask(&r->space[i], query, r->queries.text.n, record_options.n_thread, EVAL_COSINE_BYTES / N_SPACE);
		r->queries.x = NULL;    /* the first space has it now */
		r->space[i].generator = generator_name ? &r->generator : NULL;
	}
	r->bench.run = (struct eval_run_options){ .n_show = n_show, .seed = seed, .n_thread = record_options.n_thread,
	    .n_probe_user = n_probe_user };
	r->bench.run.want_heat = plots_name != NULL;
	if (!no_probes)
		eval_choose_probes(&r->bench.run, n_asked);
	return eval_table_open(&r->bench.table, f);
}

static void
let_go(struct replay *r)
{
	eval_bench_free(&r->bench);
	for (size_t i = 0; i < N_SPACE; i++)
		eval_space_close(&r->space[i]);
	eval_decoder_close(&r->decoder);
	free(r->title);
	free(r->query);
	eval_sample_free(&r->tuning);
	eval_events_free(&r->train);
	eval_events_free(&r->events);
	eval_queries_free(&r->queries);
	eval_items_free(&r->items);
	embed_close(r->embed);
	pool_close(r->pool);
	model_close(r->model);
}

static int
write_rankings(const struct replay *r, const char *system, const struct eval_run *run, struct fault *f)
{
	struct buf path = {0}, text = {0};

	rankings_path(&path, system, r->bench.n_entry == 1);
	buf_puts(&text, "event,rank,item\n");
	for (size_t step = 0; step < r->events.task.n_step; step++)
		for (size_t i = 0; i < run->n_show; i++) {
			struct span event = names_at(&r->events.event, r->events.event_of[step]);
			struct span id = pool_id(r->pool, r->items.row[run->shown[step * run->n_show + i]]);
			if (memchr(event.at, ',', event.n) || memchr(event.at, '"', event.n) || memchr(event.at, '\n', event.n)) {
				buf_putc(&text, '"');
				for (size_t c = 0; c < event.n; c++)
					buf_printf(&text, event.at[c] == '"' ? "\"\"" : "%c", event.at[c]);
				buf_putc(&text, '"');
			} else {
				buf_put(&text, event.at, event.n);
			}
			buf_printf(&text, ",%zu,", i + 1);
			buf_put(&text, id.at, id.n);
			buf_putc(&text, '\n');
		}
	struct file_out *out = file_out_open(buf_string(&path), 0666, f);
	int status = !out || file_out_write(out, text.at, text.n, f) < 0 ? -1 : file_out_commit(out, f);
	if (status < 0 && out)
		file_out_abort(out);
	buf_free(&text);
	buf_free(&path);
	return status;
}

static int
run_entry(void *arg, const struct eval_entry *e, const struct eval_constants *c, enum eval_feedback feedback, double rate,
    struct eval_run *run, const struct eval_task **task, struct fault *f)
{
	struct replay *r = arg;
	struct eval_run_options o = r->bench.run;

	o.feedback = feedback;
	o.rate = rate;
	*task = &r->events.task;
	return eval_run(run, e->system, c->value, &r->space[e->space], *task, &o, f);
}

static int
report(void *arg, const struct eval_entry *e, const struct eval_constants *c, const struct eval_run *run,
    const struct eval_task *task, const struct eval_run *first, struct fault *f)
{
	struct replay *r = arg;
	struct eval_table *t = &r->bench.table;

	if ((rankings_name && write_rankings(r, e->name, run, f) < 0) ||
	    eval_report_hits(t, e->name, run, task, eval_replay_blocks, NULL, NULL, f) < 0 ||
	    (first && eval_report_hits(t, e->name, run, task, eval_replay_blocks, r->bench.entry[0].name, first, f) < 0) ||
	    eval_bench_probes(&r->bench, e, c, run, task, f) < 0 ||
	    eval_report_curve(t, e->name, run, task, 1, f) < 0)
		return -1;
	return eval_report_calibration(t, e->name, run, task, f);
}

static struct span
item_label(const void *arg, uint32_t row)
{
	const struct replay *r = arg;

	return pool_id(r->pool, r->items.row[row]);
}

static int
plot(struct replay *r, struct fault *f)
{
	struct span query = r->bench.run.n_probe ? names_at(&r->queries.text, r->bench.run.probe[0]) : (struct span){0};
	struct buf text = {0};

	buf_put(&text, query.at, query.n);
	const struct eval_run *heat = r->bench.heat.heat ? &r->bench.heat : NULL;
	int status = eval_plot(plots_name, &r->bench.table, heat, r->space, (struct eval_labels){ item_label, r }, buf_string(&text), f);
	buf_free(&text);
	return status;
}

static int
run_replay(const struct opt_program *p, int n_operand, char **operand)
{
	struct replay r = { .bench = { .given = &given, .space = r.space, .tuning = &r.tuning, .arg = &r, .run_entry = run_entry,
		.report = report } };
	struct fault f;

	n_operand = filter_take_pools(&pool_name, n_operand, operand);
	if (n_operand > 0)
		opt_usage(p, "unexpected operand %s", operand[0]);
	if (!events_name || !relevance_name)
		opt_usage(p, "expected --events and --relevance");
	if (!model_name)
		opt_usage(p, "expected a MODEL: -m or HARE_MODEL");
	if (pool_name.n == 0)
		opt_usage(p, "expected a POOL: -p or HARE_POOL");
	if (!train_events_name != !train_relevance_name)
		opt_usage(p, "--train-events and --train-relevance go together");
	if (train_clicks_name && !train_events_name)
		opt_usage(p, "--train-clicks goes with --train-events");
	if (title_name && !generator_name)
		opt_usage(p, "--title goes with --generator");
	if (n_show == 0 || n_tune_user == 0)
		opt_usage(p, "--show, --tune-users: expected at least 1");
	int failed = open_all(&r, &f) < 0 || eval_bench_run(&r.bench, &f) < 0 || (plots_name && plot(&r, &f) < 0);
	int status = filter_finish(NULL, r.bench.table.out, failed ? f.status : EX_OK, &f);
	let_go(&r);
	return status;
}

const struct opt_program eval_replay = {
	.name = "replay",
	.summary = "systems on recorded events, online",
	.usage = "-m MODEL -p POOL... --events FILE --relevance FILE [--items FILE] [--system NAMES] [--show N]\n"
	    "[--rankings FILE] [--train-events FILE --train-relevance FILE] [--set SYSTEM.NAME=VALUE] [--seed S]",
	.opts = opts,
	.examples =
	    "  hare-eval replay -m skills.model -p skills.pool --events events.csv --relevance relevance.csv |\n"
	    "    mlr --icsv --opprint filter '$table == \"hit\"' then cut -f system,measure,block,value then reshape -s block,value\n",
	.run = run_replay,
};
