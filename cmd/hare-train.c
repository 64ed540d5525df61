/*
 * hare-train - learn from the logs of other users: what queries mean, what items are, what people are like
 */
#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/opt.h"
#include "base/thread.h"
#include "filter.h"
#include "mat/mat.h"
#include "model/model.h"
#include "pool/pool.h"
#include "record/record.h"
#include "train.h"
#include "train/evidence.h"
#include "train/train.h"

enum { BATCH = 1024 };

static const char *model_path, *output;
static struct opt_list pools;
static size_t n_round, n_candidate = 8192;
static double ridge = 4, spread = NAN, gain = NAN, plain = 0;
static uint64_t seed;
static int strangers, no_items, no_queries, no_users, no_maps;

static const struct opt opts[] = {
	{ 'm', "model", OPT_FILE, &model_path, "MODEL", "made by hare-embed fit", NULL, "HARE_MODEL" },
	{ 'p', "pool", OPT_LIST, &pools, "POOL", "its items; may be given again", NULL, "HARE_POOL" },
	{ 'o', "output", OPT_FILE, &output, "TRAINED", "the MODEL to write", NULL, NULL },
	{ 0, "rounds", OPT_SIZE, &n_round, "N", "passes over the log, at most, of which held-out users choose; 0: 8 to 160, as suits its size", NULL, NULL },
	{ 0, "candidates", OPT_SIZE, &n_candidate, "N", "items that clicked ones are told from, beside those clicked", NULL, NULL },
	{ 0, "ridge", OPT_REAL, &ridge, "W", "how firmly items, queries and users are held to what their texts say", NULL, NULL },
	{ 0, "spread", OPT_REAL, &spread, "W", "room for people unlike any of the log; default: by held-out users", NULL, NULL },
	{ 0, "gain", OPT_REAL, &gain, "G", "weight of the user beside the query; default: by held-out users", NULL, NULL },
	{ 0, "plain", OPT_REAL, &plain, "W", "share of what texts alone say, kept beside what is learnt; 0: it is not", NULL, NULL },
	{ 0, "strangers", OPT_FLAG, &strangers, NULL, "also for people unlike those of the log: that share by held-out users", NULL, NULL },
	{ 0, "no-items", OPT_FLAG, &no_items, NULL, "learn nothing of single items", NULL, NULL },
	{ 0, "no-queries", OPT_FLAG, &no_queries, NULL, "learn nothing of single queries", NULL, NULL },
	{ 0, "no-users", OPT_FLAG, &no_users, NULL, "learn nothing of users", NULL, NULL },
	{ 0, "no-maps", OPT_FLAG, &no_maps, NULL, "learn no maps of queries and items", NULL, NULL },
	{ 0, "seed", OPT_U64, &seed, "N", "of all that is drawn", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct reading {
	struct pool *pool;
	struct train_log *log;
	int user, x, item, reward, propensity;
	size_t dim, n_unrewarded;
	double *weight;                 /* of each click, in order, where there are propensities */
	float *vector;
};

static int
read_row(struct reading *r, struct record_in *in, size_t i, struct fault *f)
{
	double reward = 1, propensity = 1;
	size_t row;
	struct span id = record_cell(in, i, r->item);

	if (record_vector(in, i, r->x, r->vector, r->dim, f) < 0)
		return -1;
	if (r->reward >= 0 && record_number(in, i, r->reward, &reward, f) < 0)
		return -1;
	if (r->propensity >= 0 && record_number(in, i, r->propensity, &propensity, f) < 0)
		return -1;
	if (reward < 0)
		return record_fault(in, i, r->reward, f, "expected a reward of 0 or more, got %g", reward);
	if (!(propensity > 0 && propensity <= 1))
		return record_fault(in, i, r->propensity, f, "expected a probability above 0, at most 1, got %g", propensity);
	int found = pool_lookup(r->pool, id, &row, f);
	if (found < 0)
		return -1;
	if (found == 0)
		return record_fault(in, i, r->item, f, "no item \"%s\" in the pool", fault_quote(id.at, id.n));
	if (reward > 0)
		train_log_add(r->log, record_cell(in, i, r->user), r->vector, row, reward / propensity);
	else
		r->n_unrewarded++;
	return 0;
}

static int
read_log(struct reading *r, struct record_in *in, struct fault *f)
{
	ptrdiff_t n;

	if ((r->user = record_need(in, "user", f)) < 0 || (r->x = record_need(in, "x", f)) < 0 ||
	    (r->item = record_need(in, "item", f)) < 0)
		return -1;
	r->reward = record_find(in, "reward");
	r->propensity = record_find(in, "propensity");
	while ((n = record_batch(in, BATCH, f)) > 0)
		for (size_t i = 0; i < (size_t)n; i++)
			if (read_row(r, in, i, f) < 0 && record_bad(in, f) < 0)
				return -1;
	return (int)n;
}

static void
tell(const char *line, void *arg)
{
	(void)arg;
	warnx("%s", line);
}

static void
summarise(const struct train_report *r, const struct reading *reading)
{
	warnx("%zu clicks (%zu shown items without reward passed over) of %zu users, %zu queries, %zu items among %zu", r->n_click,
	    reading->n_unrewarded, r->n_user, r->n_query, r->n_item, r->n_candidate);
	warnx("held out: %zu users and %zu of other interests; %zu rounds, spread %g, gain %g, plain %g", r->n_held_out,
	    r->n_stranger, r->n_round, r->spread, r->gain, r->plain);
	if (isfinite(r->after))
		warnx("log probability of a held-out user's next click: %.3f before, %.3f after", r->before, r->after);
	if (isfinite(r->stranger_after))
		warnx("the same of users of other interests: %.3f before, %.3f after", r->stranger_before, r->stranger_after);
}

/* Vectors of all rows, borrowed where they lie together. */
static float *
all_rows(struct pool *pool, struct fault *f)
{
	size_t n = pool_n(pool), dim = pool_dim(pool), step = 4096;
	float *rows = xaligned(n * dim, sizeof *rows), *scratch = xmalloc(step * dim, sizeof *scratch);

	for (size_t i = 0; i < n; i += step) {
		size_t m = n - i < step ? n - i : step;
		const float *at = pool_rows(pool, i, m, scratch, f);
		if (!at) {
			free(rows);
			rows = NULL;
			break;
		}
		memcpy(rows + i * dim, at, m * dim * sizeof *rows);
	}
	free(scratch);
	return rows;
}

static int
train(const struct opt_program *p, int n_operand, char **operand, const struct train_options *preset)
{
	struct train_options o = *preset;
	struct train_report report;
	struct reading reading = {0};
	struct record_in *in = NULL;
	struct model *model = NULL;
	float *rows = NULL;
	struct fault f;
	int done = -1;

	n_operand = filter_take_pools(&pools, n_operand, operand);
	if (!model_path)
		opt_usage(p, "-m MODEL is missing");
	if (pools.n == 0)
		opt_usage(p, "-p POOL is missing");
	if (!output)
		opt_usage(p, "-o TRAINED is missing");
	if (ridge < 0)
		opt_usage(p, "--ridge: expected 0 or more, got %g", ridge);
	if (spread <= 0)
		opt_usage(p, "--spread: expected more than 0, got %g", spread);
	if (gain <= 0)
		opt_usage(p, "--gain: expected more than 0, got %g", gain);
	if (strangers && plain != 0)
		opt_usage(p, "--strangers chooses the share that --plain gives: one of them");
	if (!(plain >= 0 && plain < 1))
		opt_usage(p, "--plain: expected 0 or more, and less than 1, got %g", plain);
	if (mat_check(&f) < 0 || file_out_check(output, &f) < 0 || !(model = model_open(model_path, &f)) ||
	    tensor_verify_all(model->file, &f) < 0 || !(reading.pool = pool_open(pools.at, pools.n, model->space, model_path, &f)) ||
	    !(in = record_open(n_operand, operand, &f)))
		goto end;
	if (tensor_meta(model->file, "base_dim")) {
		fault(&f, EX_DATAERR, "%s: is trained already; train the MODEL of hare-embed fit with the whole log", model_path);
		goto end;
	}
	reading.dim = model->dim;
	reading.log = train_log_new(model->dim);
	reading.vector = xmalloc(model->dim, sizeof *reading.vector);
	if (read_log(&reading, in, &f) < 0 || !(rows = all_rows(reading.pool, &f)))
		goto end;
	o.n_round_max = n_round;
	o.n_candidate = n_candidate;
	o.ridge = ridge;
	o.spread = spread;
	o.gain = gain;
	o.plain = strangers ? NAN : plain;
	o.items &= !no_items;
	o.queries &= !no_queries;
	o.users &= !no_users;
	o.item_map &= !no_maps;
	o.query_map &= !no_maps;
	o.seed = seed;
	o.n_thread = record_options.n_thread;
	o.tell = record_options.verbose ? tell : NULL;
	done = train_attention(model, rows, pool_n(reading.pool), reading.log, &o, output, &report, &f);
	if (done == 0 && !record_options.quiet && record_options.verbose)
		summarise(&report, &reading);
end:
	done = filter_finish(in, NULL, done < 0 ? f.status : EX_OK, &f);
	free(rows);
	free(reading.vector);
	train_log_free(reading.log);
	pool_close(reading.pool);
	model_close(model);
	return done;
}

static int
run_attention(const struct opt_program *p, int n_operand, char **operand)
{
	struct train_options o;

	train_defaults(&o);
	return train(p, n_operand, operand, &o);
}

static int
run_query(const struct opt_program *p, int n_operand, char **operand)
{
	struct train_options o;

	train_defaults(&o);
	o.item_map = o.items = 0;
	return train(p, n_operand, operand, &o);
}

static int
run_prior(const struct opt_program *p, int n_operand, char **operand)
{
	struct train_options o;

	train_defaults(&o);
	o.item_map = o.items = o.query_map = o.queries = 0;
	return train(p, n_operand, operand, &o);
}

/* -- evidence -- */

static int half_life, hear;

static const struct opt evidence_opts[] = {
	{ 'm', "model", OPT_FILE, &model_path, "MODEL", "whose constants are to fit, trained or not", NULL, "HARE_MODEL" },
	{ 'p', "pool", OPT_LIST, &pools, "POOL", "its items; may be given again", NULL, "HARE_POOL" },
	{ 'o', "output", OPT_FILE, &output, "MODEL", "the MODEL to write, of the same space", NULL, NULL },
	{ 0, "half-life", OPT_FLAG, &half_life, NULL, "also whether users change, and how fast", NULL, NULL },
	{ 0, "hear", OPT_FLAG, &hear, NULL, "also what queries foretell, from the column x", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct rewards {
	const struct model *model;
	struct pool *pool;
	struct evidence *evidence;
	int user, x, item, reward;
	float *x_at, *f, *scratch;      /* [dim] */
};

static int
read_reward(struct rewards *r, struct record_in *in, size_t i, struct fault *f)
{
	size_t dim = r->model->dim, row;
	struct span id = record_cell(in, i, r->item);
	double reward;

	if (record_number(in, i, r->reward, &reward, f) < 0 || (r->x >= 0 && record_vector(in, i, r->x, r->x_at, dim, f) < 0))
		return -1;
	int found = pool_lookup(r->pool, id, &row, f);
	if (found < 0)
		return -1;
	if (found == 0)
		return record_fault(in, i, r->item, f, "no item \"%s\" in the pool", fault_quote(id.at, id.n));
	const float *at = pool_rows(r->pool, row, 1, r->scratch, f);
	if (!at)
		return -1;
	for (size_t d = 0; d < dim; d++)
		r->f[d] = at[d] - r->model->mean[d];
	evidence_add(r->evidence, record_cell(in, i, r->user), r->f, r->x >= 0 ? mat_dot64(r->x_at, r->f, dim) : 0, reward);
	return 0;
}

static int
read_rewards(struct rewards *r, struct record_in *in, struct fault *f)
{
	ptrdiff_t n;

	if ((r->user = record_need(in, "user", f)) < 0 || (r->item = record_need(in, "item", f)) < 0 ||
	    (r->reward = record_need(in, "reward", f)) < 0 || (hear && record_need(in, "x", f) < 0))
		return -1;
	r->x = hear ? record_find(in, "x") : -1;
	while ((n = record_batch(in, BATCH, f)) > 0)
		for (size_t i = 0; i < (size_t)n; i++)
			if (read_reward(r, in, i, f) < 0 && record_bad(in, f) < 0)
				return -1;
	return (int)n;
}

static int
fit_constants(struct rewards *r, struct fault *f)
{
	struct model m = *r->model;
	struct evidence_constants c = { m.prior.lambda, m.prior.noise_var, m.prior.base_rate, m.prior.half_life, m.prior.query_mean,
		m.prior.query_var };
	struct evidence_report report;

	/* Tastes that are learnt apart are learnt as if queries said nothing; what is fitted to queries is learnt together. */
	if (!hear && m.prior.query_least > 0)
		c.query_mean = c.query_var = 0;
	if (evidence_fit(r->evidence, &c, hear, half_life, record_options.n_thread, &report, f) < 0)
		return -1;
	m.prior.lambda = c.lambda;
	m.prior.noise_var = c.noise_var;
	m.prior.base_rate = c.base_rate;
	m.prior.half_life = c.half_life;
	if (hear) {
		/* Queries that foretell less than nothing are not heard. */
		m.query_share = c.query_mean > 0 ? c.query_mean * m.gain : 0;
		m.prior.query_var = c.query_var;
		m.prior.query_least = 0;
	}
	if (record_options.verbose) {
		warnx("%zu rewards of %zu users; log density of a reward %.4f before, %.4f after", report.n_reward, report.n_user,
		    report.before, report.after);
		warnx("lambda %.4g, noise_var %.4g, base_rate %.4g, half_life %.4g, query_share %.4g, query_var %.4g", m.prior.lambda,
		    m.prior.noise_var, m.prior.base_rate, m.prior.half_life, m.query_share, m.prior.query_var);
	}
	return train_write_constants(r->model, &m, output, f);
}

static int
run_evidence(const struct opt_program *p, int n_operand, char **operand)
{
	struct rewards r = {0};
	struct record_in *in = NULL;
	struct model *model = NULL;
	struct fault f;
	int done = -1;

	n_operand = filter_take_pools(&pools, n_operand, operand);
	if (!model_path)
		opt_usage(p, "-m MODEL is missing");
	if (pools.n == 0)
		opt_usage(p, "-p POOL is missing");
	if (!output)
		opt_usage(p, "-o MODEL is missing");
	if (mat_check(&f) < 0 || file_out_check(output, &f) < 0 || !(model = model_open(model_path, &f)) ||
	    !(r.pool = pool_open(pools.at, pools.n, model->space, model_path, &f)) || !(in = record_open(n_operand, operand, &f)))
		goto end;
	r.model = model;
	r.evidence = evidence_new(model->dim);
	r.x_at = xmalloc(model->dim, sizeof *r.x_at);
	r.f = xmalloc(model->dim, sizeof *r.f);
	r.scratch = xmalloc(model->dim, sizeof *r.scratch);
	if (read_rewards(&r, in, &f) == 0 && fit_constants(&r, &f) == 0)
		done = 0;
end:
	done = filter_finish(in, NULL, done < 0 ? f.status : EX_OK, &f);
	free(r.x_at);
	free(r.f);
	free(r.scratch);
	evidence_free(r.evidence);
	pool_close(r.pool);
	model_close(model);
	return done;
}

#define USAGE "[-qvT] -m MODEL -p POOL -o TRAINED [--rounds N] [--ridge W] [--seed N] [file ...]"

static const struct opt_program program_attention = {
	.name = "attention",
	.summary = "learn queries, items and people from clicks",
	.usage = USAGE,
	.opts = opts,
	.examples = "hare-embed -m deb.model -c query clicks.csv | hare-train attention -m deb.model -p deb.pool -o deb.trained\n"
	    "hare-embed -m deb.trained --as item -c title,text deb.csv | hare-pool build -m deb.trained -o deb.trained.pool\n",
	.run = run_attention,
};
static const struct opt_program program_query = {
	.name = "query",
	.summary = "learn only what queries mean",
	.usage = USAGE,
	.opts = opts,
	.run = run_query,
};
static const struct opt_program program_prior = {
	.name = "prior",
	.summary = "learn only what people are like",
	.usage = USAGE,
	.opts = opts,
	.run = run_prior,
};
static const struct opt_program program_evidence = {
	.name = "evidence",
	.summary = "fit the constants of beliefs to rewards",
	.usage = "[-qvT] -m MODEL -p POOL -o MODEL [--half-life] [--hear] [file ...]",
	.opts = evidence_opts,
	.examples = "hare-train evidence -v -m skills.model -p skills.pool -o fitted.model rewards.csv\n",
	.run = run_evidence,
};
static const struct opt_program *const verbs[] = { &program_attention, &program_query, &program_prior, &program_evidence,
	&train_decoder, &train_distil, &train_tokenizer, &train_encode, &train_convert, NULL };
static const struct opt_program program = {
	.name = "hare-train",
	.summary = "learn from the logs of other users",
	.usage = "attention | query | prior | evidence | decoder | distil | tokenizer | encode | convert [options] [file ...]",
	.verbs = verbs,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
