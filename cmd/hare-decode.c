/* hare-decode - writes the answer: a text blended from attended items, a prompt, or what a language model says to it */
#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/opt.h"
#include "base/thread.h"
#include "belief/belief.h"
#include "decode/decode.h"
#include "filter.h"
#include "learn/learn.h"
#include "mat/mat.h"
#include "net/net.h"
#include "pool/pool.h"
#include "record/record.h"
#include "state/state.h"
#include "text/text.h"

enum { BATCH_ROWS = 256, ROWS_PER_JOB = 16, LENGTH_MAX = 1 << 28 };
enum mode { BLEND, PROMPT, ENDPOINT };

static const char *state_file, *title, *text_columns, *template_path, *system_text;
static struct opt_list pool_path;
static int blend, prompt, sources, plain;
static size_t n_word = 120, budget_token = 2000;

static const struct opt opts[] = {
	{ 'p', "pool", OPT_LIST, &pool_path, "POOL", "texts of the items; several act as one", NULL, "HARE_POOL" },
	{ 's', "state", OPT_FILE, &state_file, "STATE", "what is known of the users, for the prompt", NULL, "HARE_STATE" },
	{ 0, "title", OPT_STRING, &title, "COLUMN", "the pool's titles (title, else name, else the id)", NULL, NULL },
	{ 0, "text-columns", OPT_STRING, &text_columns, "COLUMN,...", "the pool's texts (text, else description and instructions, else all)",
	    NULL, NULL },
	{ 0, "plain", OPT_FLAG, &plain, NULL, "print the answers only, a blank line between them", NULL, NULL },
	{ 0, "blend", OPT_FLAG, &blend, NULL, "a new text from sentences of the items: the default without --endpoint", NULL, NULL },
	{ 'w', "words", OPT_SIZE, &n_word, "N", "length of a blend", NULL, NULL },
	{ 0, "sources", OPT_FLAG, &sources, NULL, "mark what comes from which item", NULL, NULL },
	{ 0, "prompt", OPT_FLAG, &prompt, NULL, "the prompt that a language model would get", NULL, NULL },
	{ 0, "budget", OPT_SIZE, &budget_token, "TOKENS", "of a prompt, at 4 bytes a token", NULL, NULL },
	{ 0, "template", OPT_FILE, &template_path, "FILE", "of the prompt, with {query}, {user} and {items}", NULL, NULL },
	{ 0, "system", OPT_STRING, &system_text, "TEXT", "the system's message to the language model", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)net_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct answer {                         /* of one row of the batch */
	struct buf text;                /* blend or prompt */
	struct decode_item *items;
	size_t n_item, n_item_cap;
	struct buf weights;
	struct record_row cells;
	int failed;
	struct fault fault;
};

struct decoding {
	enum mode mode;
	struct pool *pool;              /* NULL: none */
	struct decode_columns columns;
	struct decode **decode;         /* [n_thread] */
	struct state *state;            /* NULL: none, or not there yet */
	struct belief_prior prior;
	struct belief *belief;
	struct belief_posterior *posterior;
	struct buf value, user, person; /* the last user and what is known of them */
	int has_person;
	char *template_text;            /* NULL: the default */
	struct net *net;
	struct record_in *in;
	struct record_out *out;         /* NULL: plain */
	int items, weights, query, user_column;         /* columns, -1: none */
	struct answer *answers;         /* [BATCH_ROWS] */
	/* the requests of a batch */
	size_t *rows;                   /* [n_prompt] */
	struct span *prompts;
	struct net_answer *replies;
	size_t n_batch, n_told, n_failed;
	int n_streamed;                 /* the piece at hand is not the first of its answer */
};

/* -- opening -- */

static int
open_pool(struct decoding *d, struct fault *f)
{
	if (pool_path.n == 0)
		return 0;
	d->pool = pool_open(pool_path.at, pool_path.n, NULL, NULL, f);
	return d->pool ? decode_columns(&d->columns, d->pool, title, text_columns, f) : -1;
}

/* A state that is not there yet knows nobody. */
static int
open_state(struct decoding *d, struct fault *f)
{
	struct learn_settings settings;

	if (!state_file || !d->pool)
		return 0;
	if (access(state_file, F_OK) < 0 && errno == ENOENT) {
		if (d->mode != BLEND && !record_options.quiet)
			warnx("%s: not there yet: every user is new", state_file);
		return 0;
	}
	d->state = state_open(state_file, STATE_READ, f);
	if (!d->state || learn_settings(d->state, &settings, f) < 0 ||
	    learn_check_space(&settings, state_file, pool_space(d->pool), pool_path.at[0], f) < 0)
		return -1;
	if (settings.dim > 0 && settings.dim != pool_dim(d->pool))
		return fault(f, EX_DATAERR, "%s: its beliefs have %zu dimensions, the vectors of %s have %zu", state_file,
		    settings.dim, pool_path.at[0], pool_dim(d->pool));
	d->prior = settings.prior;
	size_t n = settings.dim > 0 ? learn_belief_dim(&settings) : pool_dim(d->pool);
	d->belief = belief_new(n);
	d->posterior = belief_posterior_new(n);
	return 0;
}

static int
open_template(struct decoding *d, struct fault *f)
{
	struct file_map map;

	if (!template_path)
		return 0;
	if (file_map_open(&map, template_path, f) < 0)
		return -1;
	d->template_text = xstrndup((const char *)map.at, map.n);
	file_map_close(&map);
	if (!strstr(d->template_text, "{query}"))
		return fault(f, EX_DATAERR, "%s: expected a template with {query}, and {user} and {items} where wanted",
		    template_path);
	return 0;
}

static int
open_records(struct decoding *d, int n_file, char *const *file, struct fault *f)
{
	const char *names[5];
	size_t n_name = 0;

	d->items = d->weights = d->query = d->user_column = -1;
	d->in = record_open(n_file, file, f);
	if (!d->in)
		return -1;
	if (d->pool && ((d->items = record_need(d->in, "items", f)) < 0 || (d->weights = record_need(d->in, "weights", f)) < 0))
		return -1;
	d->query = d->mode == BLEND ? record_find(d->in, "query") : record_need(d->in, "query", f);
	if (d->mode != BLEND && d->query < 0)
		return -1;
	d->user_column = record_find(d->in, "user");
	if (plain)
		return 0;
	names[n_name++] = record_column_name("output");
	if (d->mode == ENDPOINT) {
		names[n_name++] = record_column_name("finish_reason");
		names[n_name++] = record_column_name("tokens_in");
		names[n_name++] = record_column_name("tokens_out");
		if (net_options.keep_going)
			names[n_name++] = record_column_name("error");
	}
	d->out = record_out_open(d->in, NULL, names, n_name, f);
	return d->out ? 0 : -1;
}

static void
take_scratch(struct decoding *d)
{
	d->n_batch = BATCH_ROWS;
	if (d->mode == ENDPOINT)
		d->n_batch = ROWS_PER_JOB * net_options.n_parallel;
	d->answers = xcalloc(d->n_batch, sizeof *d->answers);
	d->rows = xcalloc(d->n_batch, sizeof *d->rows);
	d->prompts = xcalloc(d->n_batch, sizeof *d->prompts);
	d->replies = xcalloc(d->n_batch, sizeof *d->replies);
	d->decode = xcalloc(record_options.n_thread, sizeof *d->decode);
	for (size_t i = 0; i < record_options.n_thread; i++)
		d->decode[i] = decode_new(d->pool, &d->columns);
}

static int
let_go(struct decoding *d, int status, struct fault *f)
{
	for (size_t i = 0; d->answers && i < d->n_batch; i++) {
		buf_free(&d->answers[i].text);
		buf_free(&d->answers[i].weights);
		free(d->answers[i].items);
		record_row_free(&d->answers[i].cells);
		net_answer_free(&d->replies[i]);
	}
	for (size_t i = 0; d->decode && i < record_options.n_thread; i++)
		decode_free(d->decode[i]);
	free(d->answers);
	free(d->rows);
	free(d->prompts);
	free(d->replies);
	free(d->decode);
	free(d->template_text);
	buf_free(&d->value);
	buf_free(&d->user);
	buf_free(&d->person);
	belief_posterior_free(d->posterior);
	belief_free(d->belief);
	if (status == EX_OK && state_close(d->state, f) < 0)
		status = f->status;
	else if (status != EX_OK)
		state_close(d->state, &(struct fault){ 0 });
	net_close(d->net);
	decode_columns_free(&d->columns);
	pool_close(d->pool);
	return filter_finish(d->in, d->out, status, f);
}

/* -- a row's text -- */

static int
read_items(const struct decoding *d, size_t i, struct answer *a, struct fault *f)
{
	struct span list = record_cell(d->in, i, d->items);
	ptrdiff_t n_weight;
	float weight;

	a->n_item = 0;
	n_weight = record_vector_any(d->in, i, d->weights, &a->weights, f);
	if (n_weight < 0 && record_cell(d->in, i, d->weights).n > 0)
		return -1;
	for (size_t at = 0; at < list.n; ) {
		size_t from = at;
		while (at < list.n && list.at[at] != ' ')
			at++;
		struct span id = { list.at + from, at - from };
		at++;
		if (id.n == 0)
			continue;
		size_t row = pool_find(d->pool, id);
		if (row == SIZE_MAX)
			return record_fault(d->in, i, d->items, f, "expected ids of %s, got \"%s\"", pool_path.at[0],
			    fault_quote(id.at, id.n));
		a->items = xgrow(a->items, &a->n_item_cap, a->n_item + 1, sizeof *a->items);
		a->items[a->n_item++] = (struct decode_item){ .row = row };
	}
	if (n_weight < 0)
		n_weight = 0;
	if ((size_t)n_weight != a->n_item)
		return record_fault(d->in, i, d->weights, f, "expected %zu weights for as many items, got %td", a->n_item, n_weight);
	for (size_t k = 0; k < a->n_item; k++) {
		memcpy(&weight, a->weights.at + k * sizeof weight, sizeof weight);
		if (weight < 0)
			return record_fault(d->in, i, d->weights, f, "expected weights of at least 0, got %g", weight);
		a->items[k].weight = weight;
	}
	return 0;
}

static struct span
query_of(const struct decoding *d, size_t i)
{
	return d->query < 0 ? (struct span){ "", 0 } : record_cell(d->in, i, d->query);
}

/* Tells of a fault that knows no row where it was. */
static int
at_row(const struct decoding *d, size_t i, struct fault *f)
{
	struct fault why = *f;

	return fault(f, why.status, "%s: %s", record_where(d->in, i), why.text);
}

static void
blend_row(void *arg, size_t i, size_t worker)
{
	struct decoding *d = arg;
	struct answer *a = &d->answers[i];

	a->failed = read_items(d, i, a, &a->fault) < 0;
	if (!a->failed && decode_blend(d->decode[worker], query_of(d, i), a->items, a->n_item, n_word, sources, &a->text, &a->fault) < 0)
		a->failed = at_row(d, i, &a->fault) < 0;
}

/* What is known of the row's user, into d->person; kept while the user stays the same. */
static int
describe_user(struct decoding *d, size_t i, struct fault *f)
{
	struct span user = d->user_column < 0 ? (struct span){ "", 0 } : record_cell(d->in, i, d->user_column);
	struct span last = buf_span(&d->user);
	const double *mean = NULL;
	uint64_t n_event = 0;
	double unknown = 1;

	if (d->has_person && user.n == last.n && memcmp(user.at, last.at ? last.at : "", user.n) == 0)
		return 0;
	buf_clear(&d->user);
	buf_put(&d->user, user.at, user.n);
	buf_clear(&d->person);
	buf_clear(&d->value);
	d->has_person = 0;
	if (d->state && user.n > 0) {
		int found = state_get(d->state, "user", user, &d->value, f);
		if (found < 0)
			return -1;
		if (found) {
			if (belief_decode(d->belief, d->value.at, d->value.n, f) < 0 ||
			    belief_solve(d->posterior, d->belief, &d->prior, f) < 0) {
				struct fault why = *f;
				return fault(f, why.status, "%s: user \"%s\": %s", state_file, fault_quote(user.at, user.n), why.text);
			}
			n_event = belief_n(d->belief);
			mean = belief_mean(d->posterior);
			unknown = belief_share_unknown(d->posterior);
		}
	}
	if (decode_person(d->decode[0], mean, n_event, unknown, &d->person, f) < 0)
		return -1;
	d->has_person = 1;
	return 0;
}

static int
prompt_row(struct decoding *d, size_t i)
{
	struct answer *a = &d->answers[i];
	struct decode_prompt p = { .template_text = d->template_text, .query = query_of(d, i), .budget_token = budget_token };

	a->n_item = 0;
	a->failed = 1;
	if (d->pool && read_items(d, i, a, &a->fault) < 0)
		return 0;
	/* a damaged state is not the row's fault: --skip-bad does not pass over it */
	if (state_file && d->pool) {
		if (describe_user(d, i, &a->fault) < 0)
			return -1;
		p.person = buf_span(&d->person);
	}
	if (decode_prompt(d->decode[0], &p, a->items, a->n_item, &a->text, &a->fault) < 0)
		at_row(d, i, &a->fault);
	else if (d->mode == ENDPOINT && !text_is_valid(a->text.at ? a->text.at : "", a->text.n))
		record_fault(d->in, i, d->query, &a->fault, "expected UTF-8 for the request, got other bytes there or in the items");
	else
		a->failed = 0;
	return 0;
}

/* -- rows out -- */

/* A record of --plain; what of it was streamed already is not in text. */
static void
print_text(struct decoding *d, struct span text)
{
	if (d->n_told++ > 0 && !d->n_streamed)
		putchar('\n');
	d->n_streamed = 0;
	if (text.n > 0)
		fwrite(text.at, 1, text.n, stdout);
	putchar('\n');
}

static int
put_row(struct decoding *d, size_t i, const struct net_answer *reply, struct fault *f)
{
	struct answer *a = &d->answers[i];
	struct span text = reply ? buf_span(&reply->text) : buf_span(&a->text);

	if (!d->out) {
		print_text(d, d->n_streamed ? (struct span){ NULL, 0 } : text);
		return 0;
	}
	record_row_begin(&a->cells, d->out);
	record_put_text(&a->cells, text.at ? text.at : "", reply && reply->failed ? 0 : text.n);
	if (reply) {
		record_put_text(&a->cells, reply->finish_reason, strlen(reply->finish_reason));
		for (int k = 0; k < 2; k++) {
			int64_t n = k == 0 ? reply->tokens_in : reply->tokens_out;
			if (n >= 0)
				record_put_integer(&a->cells, n);
			else
				record_put_text(&a->cells, "", 0);
		}
		if (net_options.keep_going)
			record_put_text(&a->cells, reply->fault.text, reply->failed ? strlen(reply->fault.text) : 0);
	}
	return record_emit(d->out, d->in, i, &a->cells, f);
}

static int
flush(struct decoding *d, struct fault *f)
{
	if (d->out)
		return record_flush(d->out, f);
	return fflush(stdout) == 0 ? 0 : fault(f, EX_IOERR, "stdout: %s", strerror(errno));
}

static int
on_reply(void *arg, size_t k, struct fault *f)
{
	struct decoding *d = arg;

	if (d->replies[k].failed) {
		d->n_failed++;
		if (!d->out)
			warnx("%s: %s", record_where(d->in, d->rows[k]), d->replies[k].fault.text);
	}
	if (put_row(d, d->rows[k], &d->replies[k], f) < 0)
		return -1;
	return flush(d, f);
}

static void
on_text(void *arg, size_t k, const char *at, size_t n)
{
	struct decoding *d = arg;

	(void)k;
	if (d->n_told > 0 && !d->n_streamed)
		putchar('\n');
	d->n_streamed = 1;
	fwrite(at, 1, n, stdout);
	fflush(stdout);
}

static int
ask(struct decoding *d, size_t n_row, struct fault *f)
{
	struct net_watch watch = { .arg = d, .done = on_reply, .text = d->out ? NULL : on_text };
	size_t n = 0;

	for (size_t i = 0; i < n_row; i++) {
		if (d->answers[i].failed)
			continue;
		d->rows[n] = i;
		d->prompts[n++] = buf_span(&d->answers[i].text);
	}
	int status = net_chat(d->net, system_text, d->prompts, n, d->replies, &watch, f);
	if (status < 0) {
		/* the first row whose answer is missing is the one that failed */
		for (size_t k = 0; k < n; k++) {
			if (d->replies[k].failed && !net_options.keep_going)
				return at_row(d, d->rows[k], f);
		}
	}
	return status;
}

static int
work(struct decoding *d, size_t n_row, struct fault *f)
{
	size_t limit = n_row;

	for (size_t i = 0; i < n_row; i++) {
		buf_clear(&d->answers[i].text);
		d->answers[i].failed = 0;
	}
	if (d->mode == BLEND)
		thread_for(record_options.n_thread, n_row, blend_row, d);
	for (size_t i = 0; i < limit; i++) {
		int broken = d->mode != BLEND && prompt_row(d, i) < 0;
		if (broken || (d->answers[i].failed && record_bad(d->in, &d->answers[i].fault) < 0))
			limit = i;
	}
	if (d->mode == ENDPOINT) {
		if (ask(d, limit, f) < 0)
			return -1;
	} else {
		for (size_t i = 0; i < limit; i++) {
			if (!d->answers[i].failed && put_row(d, i, NULL, f) < 0)
				return -1;
		}
	}
	if (limit < n_row) {            /* the rows before the bad one are out */
		*f = d->answers[limit].fault;
		return -1;
	}
	return 0;
}

static enum mode
mode_of(const struct opt_program *p)
{
	if (blend && prompt)
		opt_usage(p, "--blend and --prompt are two things: choose one");
	if (net_options.dry_run && (blend || prompt || !net_options.url))
		opt_usage(p, "--dry-run shows what --endpoint would send");
	enum mode mode = prompt ? PROMPT : blend || !net_options.url ? BLEND : ENDPOINT;
	const struct net_options *o = &net_options;
	if (!o->url && (o->model || o->key_file || o->extra || o->cache || o->stream || o->keep_going || o->max_tokens || system_text))
		opt_usage(p, "--model and its like are for --endpoint, which is not given");
	if (n_word > LENGTH_MAX || budget_token > LENGTH_MAX)
		opt_usage(p, "--words, --budget: expected at most %d", LENGTH_MAX);
	if (mode == BLEND && pool_path.n == 0)
		opt_usage(p, "a pool is needed: -p POOL, or HARE_POOL");
	if (mode != ENDPOINT)
		return mode;
	/* a request that is printed is no record */
	plain |= net_options.dry_run;
	return mode;
}

static int
run(const struct opt_program *p, int n_file, char **file)
{
	struct decoding d = { .mode = mode_of(p) };
	struct fault f = { 0 };
	ptrdiff_t n = 0;

	n_file = filter_take_pools(&pool_path, n_file, file);
	if (mat_check(&f) < 0 || open_pool(&d, &f) < 0 || open_state(&d, &f) < 0 || open_template(&d, &f) < 0 ||
	    (d.mode == ENDPOINT && !(d.net = net_open(&net_options, &f))) || open_records(&d, n_file, file, &f) < 0)
		return let_go(&d, f.status, &f);
	take_scratch(&d);
	while ((n = record_batch(d.in, d.n_batch, &f)) > 0) {
		if (work(&d, (size_t)n, &f) < 0)
			break;
		if ((record_options.unbuffered || record_would_block(d.in)) && flush(&d, &f) < 0)
			break;
	}
	if (d.n_failed > 0 && !record_options.quiet)
		warnx("%zu request%s failed%s", d.n_failed, d.n_failed == 1 ? "" : "s", d.out ? ": see the column error" : "");
	return let_go(&d, n == 0 ? EX_OK : f.status, &f);
}

static const struct opt_program program = {
	.name = "hare-decode",
	.summary = "write answers from attended items",
	.usage = "-p POOL... [--blend] [--words N] [--sources] [file ...]\n"
	    "[-p POOL...] [-s STATE] --prompt [--budget TOKENS] [file ...]\n"
	    "[-p POOL...] [-s STATE] --endpoint URL [--model NAME] [-j N] [file ...]",
	.opts = opts,
	.examples = "hare-embed -m skills.model -c query questions.csv | hare-attend -m skills.model -p skills.pool |\n"
	    "  hare-decode -p skills.pool --plain\n"
	    "hare-decode -p skills.pool -s team.state --endpoint http://localhost:8080 < attended.csv",
	.run = run,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
