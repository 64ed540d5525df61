/* hare-decode - writes the answer: a text blended from attended items, a prompt, or what a language model says to it, our
   own or another's */
#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "base/opt.h"
#include "base/thread.h"
#include "belief/belief.h"
#include "decode/decode.h"
#include "decode/write.h"
#include "filter.h"
#include "learn/learn.h"
#include "mat/mat.h"
#include "net/net.h"
#include "pool/pool.h"
#include "record/record.h"
#include "state/state.h"
#include "text/text.h"

enum { BATCH_ROWS = 256, ROWS_PER_JOB = 16, LENGTH_MAX = 1 << 28, N_BEAM = 4, BEAM_MAX = 64, CONSENSUS_MAX = 1024 };
enum mode { BLEND, PROMPT, ENDPOINT, DECODER };

static const char *state_file, *title, *text_columns, *template_path, *system_text;
static struct opt_list pool_path, decoder_path;
static int blend, prompt, sources, plain, faithful, per_record;
static size_t n_word = 120, budget_token = 2000, n_beam, n_consensus, top_k;
static double repetition = 1;
static uint64_t seed;

static const struct opt opts[] = {
	{ 'p', "pool", OPT_LIST, &pool_path, "POOL", "texts of the items; several act as one", NULL, "HARE_POOL" },
	{ 's', "state", OPT_FILE, &state_file, "STATE", "what is known of the users, for the prompt", NULL, "HARE_STATE" },
	{ 'm', "decoder", OPT_LIST, &decoder_path, "DECODER",
	    "write by this language model, of hare-train or a GPT-2 checkpoint; given again: they write together", NULL, NULL },
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
	{ 0, "beam", OPT_SIZE, &n_beam, "N", "of -m: search with so many beams, 4 unless something is drawn", NULL, NULL },
	{ 0, "consensus", OPT_SIZE, &n_consensus, "N", "of -m: of N texts that beams end, the one that agrees best with the others", NULL, NULL },
	{ 0, "top-k", OPT_SIZE, &top_k, "K", "of -m: draw from the K likeliest tokens", NULL, NULL },
	{ 0, "repetition-penalty", OPT_REAL, &repetition, "R", "of -m: how unlikely what was written becomes", NULL, NULL },
	{ 0, "faithful", OPT_FLAG, &faithful, NULL, "of -m: only words of the query and the items, function words apart", NULL, NULL },
	{ 0, "per-record", OPT_FLAG, &per_record, NULL, "of -m: seed and temperature come from columns of these names", NULL, NULL },
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
	int failed, was_bad;            /* was_bad: told already */
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
	int has_user, has_person;
	const double *user_mean;        /* NULL: nothing */
	uint64_t n_event;
	double unknown;
	char *template_text;            /* NULL: the default */
	struct net *net;
	struct decode_writer *writer;
	struct span *stop;              /* [net_options.stop.n] */
	float *given;                   /* [n_batch][n_given]: [z ; u] */
	size_t n_given;
	struct decode_request *requests;        /* [n_batch] */
	struct decode_written *written; /* [n_batch] */
	int z, seed_column, temperature;        /* columns, -1: none */
	uint64_t n_read;                /* rows before this batch */
	int cut_told;
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
open_decoder(struct decoding *d, struct fault *f)
{
	struct decode_write_options o = { .n_token = net_options.max_tokens, .n_beam = n_beam ? n_beam : N_BEAM, .n_consensus = n_consensus,
		.top_k = top_k,
		.top_p = isnan(net_options.top_p) ? 1 : net_options.top_p, .repetition = repetition, .faithful = faithful,
		.n_stop = net_options.stop.n, .n_thread = record_options.n_thread };

	if (d->mode != DECODER)
		return 0;
	d->stop = xcalloc(o.n_stop + 1, sizeof *d->stop);
	for (size_t i = 0; i < o.n_stop; i++)
		d->stop[i] = (struct span){ net_options.stop.at[i], strlen(net_options.stop.at[i]) };
	o.stop = d->stop;
	if (net_options.n_parallel > 1)
		o.n_thread = net_options.n_parallel < THREAD_MAX ? net_options.n_parallel : THREAD_MAX;
	d->writer = decode_writer_open(decoder_path.at, decoder_path.n, d->pool, d->pool ? pool_path.at[0] : NULL, &d->columns,
	    text_columns != NULL, &o, f);
	if (!d->writer)
		return -1;
	d->n_given = d->pool ? decode_writer_n_given(d->writer) : 0;
	if (d->n_given > 0 && (d->z = record_need(d->in, "z", f)) < 0)
		return -1;
	if (!per_record)
		return 0;
	/* one of the two is enough */
	d->temperature = record_need_name(d->in, "temperature", f);
	d->seed_column = record_need_name(d->in, "seed", &(struct fault){ 0 });
	return d->temperature < 0 && d->seed_column < 0 ? -1 : 0;
}

static int
open_records(struct decoding *d, int n_file, char *const *file, struct fault *f)
{
	const char *names[5];
	size_t n_name = 0;

	d->items = d->weights = d->query = d->user_column = d->z = d->seed_column = d->temperature = -1;
	d->in = record_open(n_file, file, f);
	if (!d->in)
		return -1;
	if (d->pool && ((d->items = record_need(d->in, "items", f)) < 0 || (d->weights = record_need(d->in, "weights", f)) < 0))
		return -1;
	d->query = d->mode == BLEND ? record_find(d->in, "query") : record_need(d->in, "query", f);
	if (d->mode != BLEND && d->query < 0)
		return -1;
	d->user_column = record_find(d->in, "user");
	if (open_decoder(d, f) < 0)
		return -1;
	if (plain)
		return 0;
	names[n_name++] = record_column_name("output");
	if (d->mode == ENDPOINT || d->mode == DECODER) {
		names[n_name++] = record_column_name("finish_reason");
		names[n_name++] = record_column_name("tokens_in");
		names[n_name++] = record_column_name("tokens_out");
		if (d->mode == ENDPOINT && net_options.keep_going)
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
	if (d->mode == DECODER) {
		d->n_batch = ROWS_PER_JOB * record_options.n_thread;
		d->given = xcalloc(d->n_batch * d->n_given + 1, sizeof *d->given);
		d->requests = xcalloc(d->n_batch, sizeof *d->requests);
		d->written = xcalloc(d->n_batch, sizeof *d->written);
	}
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
		if (d->written)
			decode_written_free(&d->written[i]);
	}
	decode_writer_close(d->writer);
	free(d->stop);
	free(d->given);
	free(d->requests);
	free(d->written);
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

/* The belief about the row's user, into d->user_mean; kept while the user stays the same. 1: it is another user. */
static int
look_up_user(struct decoding *d, size_t i, struct fault *f)
{
	struct span user = d->user_column < 0 ? (struct span){ "", 0 } : record_cell(d->in, i, d->user_column);
	struct span last = buf_span(&d->user);

	if (d->has_user && user.n == last.n && memcmp(user.at, last.at ? last.at : "", user.n) == 0)
		return 0;
	buf_clear(&d->user);
	buf_put(&d->user, user.at, user.n);
	buf_clear(&d->value);
	d->has_user = 0;
	d->user_mean = NULL;
	d->n_event = 0;
	d->unknown = 1;
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
			d->n_event = belief_n(d->belief);
			d->user_mean = belief_mean(d->posterior);
			d->unknown = belief_share_unknown(d->posterior);
		}
	}
	d->has_user = 1;
	return 1;
}

/* What is known of the row's user, into d->person. */
static int
describe_user(struct decoding *d, size_t i, struct fault *f)
{
	int is_other = look_up_user(d, i, f);

	if (is_other < 0 || (is_other == 0 && d->has_person))
		return is_other;
	buf_clear(&d->person);
	d->has_person = 0;
	if (decode_person(d->decode[0], d->user_mean, d->n_event, d->unknown, &d->person, f) < 0)
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

/* -- rows for the language model -- */

static int
read_options(const struct decoding *d, size_t i, struct decode_request *r, struct fault *f)
{
	struct span cell = d->seed_column < 0 ? (struct span){ "", 0 } : record_cell(d->in, i, d->seed_column);

	r->seed = seed;
	r->temperature = net_options.temperature;
	if (isnan(r->temperature) && (top_k > 0 || !isnan(net_options.top_p)))
		r->temperature = 1;
	if (cell.n > 0 && num_read_u64(cell.at, cell.n, &r->seed) < 0)
		return record_fault(d->in, i, d->seed_column, f, "expected a whole number, got \"%s\"", fault_quote(cell.at, cell.n));
	if (d->temperature < 0 || record_cell(d->in, i, d->temperature).n == 0)
		return 0;
	if (record_number(d->in, i, d->temperature, &r->temperature, f) < 0)
		return -1;
	return r->temperature >= 0 ? 0 : record_fault(d->in, i, d->temperature, f, "expected 0 or more, got %g", r->temperature);
}

/* Puts [z ; u] of a row into its place of d->given. */
static int
read_given(struct decoding *d, size_t i, struct fault *f)
{
	float *given = d->given + i * d->n_given;
	size_t dim = d->n_given / 2;

	if (record_vector(d->in, i, d->z, given, dim, f) < 0)
		return -1;
	for (size_t k = 0; k < dim; k++)
		given[dim + k] = d->user_mean ? (float)d->user_mean[k] : 0;
	return 0;
}

/* -1: the state is damaged, which is not the row's fault. */
static int
request_row(struct decoding *d, size_t i)
{
	struct answer *a = &d->answers[i];
	struct decode_request *r = &d->requests[i];

	*r = (struct decode_request){ .query = query_of(d, i), .stream = d->n_read + i };
	a->n_item = 0;
	a->failed = 1;
	if ((d->pool && read_items(d, i, a, &a->fault) < 0) || read_options(d, i, r, &a->fault) < 0)
		return 0;
	r->items = a->items;
	r->n_item = a->n_item;
	if (d->n_given > 0) {
		if (look_up_user(d, i, &a->fault) < 0)
			return -1;
		if (read_given(d, i, &a->fault) < 0)
			return 0;
		r->given = d->given + i * d->n_given;
	}
	a->failed = 0;
	return 0;
}

/* What the model had no room for: once, or with -v of every row. */
static void
tell_cut(struct decoding *d, size_t i, const struct decode_written *w)
{
	if (record_options.verbose && w->n_left_out > 0)
		warnx("%s: %zu lighter items are not read", record_where(d->in, i), w->n_left_out);
	if (w->n_cut == 0 || record_options.quiet || (d->cut_told && !record_options.verbose))
		return;
	warnx("%s: the query is longer than %s reads: its last %zu tokens are cut off%s", record_where(d->in, i), decoder_path.at[0],
	    w->n_cut, record_options.verbose ? "" : "; -v tells of every such record");
	d->cut_told = 1;
}

/* Texts for rows [0, n): what came of them goes into answers and replies. */
static void
write_rows(struct decoding *d, size_t n)
{
	size_t n_good = 0;

	for (size_t i = 0; i < n; i++) {
		if (d->answers[i].failed)
			continue;
		d->rows[n_good] = i;
		d->requests[n_good++] = d->requests[i];
	}
	decode_write(d->writer, d->requests, n_good, d->written);
	for (size_t k = 0; k < n_good; k++) {
		size_t i = d->rows[k];
		struct decode_written *w = &d->written[k];
		struct net_answer *reply = &d->replies[i];
		struct answer *a = &d->answers[i];
		if (w->failed) {
			a->failed = 1;
			a->fault = w->fault;
			at_row(d, i, &a->fault);
			continue;
		}
		tell_cut(d, i, w);
		struct buf text = reply->text;
		reply->text = w->text;
		w->text = text;
		strcpy(reply->finish_reason, w->ended ? "stop" : "length");
		reply->tokens_in = (int64_t)w->n_in;
		reply->tokens_out = (int64_t)w->n_out;
	}
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
		if (d->mode == ENDPOINT && net_options.keep_going)
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
		int broken = (d->mode == PROMPT || d->mode == ENDPOINT) && prompt_row(d, i) < 0;
		broken = broken || (d->mode == DECODER && request_row(d, i) < 0);
		if (broken || (d->answers[i].failed && record_bad(d->in, &d->answers[i].fault) < 0))
			limit = i;
	}
	if (d->mode == DECODER) {
		for (size_t i = 0; i < n_row; i++)
			d->answers[i].was_bad = d->answers[i].failed;
		write_rows(d, limit);
		d->n_read += n_row;
		for (size_t i = 0; i < limit; i++) {
			if (d->answers[i].failed && !d->answers[i].was_bad && record_bad(d->in, &d->answers[i].fault) < 0)
				limit = i;
		}
	}
	if (d->mode == ENDPOINT) {
		if (ask(d, limit, f) < 0)
			return -1;
	} else {
		for (size_t i = 0; i < limit; i++) {
			if (!d->answers[i].failed && put_row(d, i, d->mode == DECODER ? &d->replies[i] : NULL, f) < 0)
				return -1;
		}
	}
	if (limit < n_row) {            /* the rows before the bad one are out */
		*f = d->answers[limit].fault;
		return -1;
	}
	return 0;
}

static void
check_decoder(const struct opt_program *p)
{
	const struct net_options *o = &net_options;

	if (o->url && o->url != getenv("HARE_ENDPOINT"))
		opt_usage(p, "-m and --endpoint are two things: choose one");
	if ((n_beam > 0 || n_consensus > 0) && (!isnan(o->temperature) || top_k > 0 || !isnan(o->top_p)))
		opt_usage(p, "--beam and --consensus draw nothing: they go without --temperature, --top-k and --top-p");
	if (n_consensus > 0 && n_beam == 1)
		opt_usage(p, "--consensus: expected two beams or more to choose among, got 1");
	if (n_consensus > CONSENSUS_MAX)
		opt_usage(p, "--consensus: expected at most %d, got %zu", CONSENSUS_MAX, n_consensus);
	if (n_beam > BEAM_MAX)
		opt_usage(p, "--beam: expected 1 to %d, got %zu", BEAM_MAX, n_beam);
	if (o->temperature < 0 || !(isnan(o->top_p) || (o->top_p > 0 && o->top_p <= 1)) || !(repetition > 0))
		opt_usage(p, "--temperature: 0 or more; --top-p: above 0, at most 1; --repetition-penalty: above 0");
	if (o->n_parallel < 1)
		opt_usage(p, "--jobs: expected 1 or more, got 0");
	if (o->seed && num_read_u64(o->seed, strlen(o->seed), &seed) < 0)
		opt_usage(p, "--seed: expected a whole number, got %s", fault_quote(o->seed, strlen(o->seed)));
	for (size_t i = 0; i < o->stop.n; i++) {
		if (!*o->stop.at[i])
			opt_usage(p, "--stop: expected a text, got nothing");
	}
}

static enum mode
mode_of(const struct opt_program *p)
{
	if (blend + prompt + (decoder_path.n > 0) > 1)
		opt_usage(p, "--blend, --prompt and -m are different things: choose one");
	if (net_options.dry_run && (blend || prompt || decoder_path.n || !net_options.url))
		opt_usage(p, "--dry-run shows what --endpoint would send");
	enum mode mode = decoder_path.n ? DECODER : prompt ? PROMPT : blend || !net_options.url ? BLEND : ENDPOINT;
	const struct net_options *o = &net_options;
	if ((!o->url || decoder_path.n) &&
	    (o->model || o->key_file || o->extra || o->cache || o->stream || o->keep_going || system_text))
		opt_usage(p, "--model and its like are for --endpoint, which is not given");
	if (!o->url && !decoder_path.n && o->max_tokens)
		opt_usage(p, "--max-tokens is for --endpoint or -m, neither of which is given");
	if (!decoder_path.n && (n_beam || n_consensus || top_k || repetition < 1 || repetition > 1 || faithful || per_record))
		opt_usage(p, "--beam and its like are for -m DECODER, which is not given");
	if (mode == DECODER)
		check_decoder(p);
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
	    "[-p POOL...] [-s STATE] -m DECODER [--max-tokens N] [--temperature T] [--faithful] [-j N] [file ...]\n"
	    "[-p POOL...] [-s STATE] --endpoint URL [--model NAME] [-j N] [file ...]",
	.opts = opts,
	.examples = "hare-embed -m skills.model -c query questions.csv | hare-attend -m skills.model -p skills.pool |\n"
	    "  hare-decode -p skills.pool --plain\n"
	    "hare-decode -p skills.pool -s team.state -m skills.decoder < attended.csv\n"
	    "hare-decode -p skills.pool -s team.state --endpoint http://localhost:8080 < attended.csv",
	.run = run,
};

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
