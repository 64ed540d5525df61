/* hare-decode opens what it reads, and lets go of it */
#include "decoding.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "filter.h"
#include "learn/learn.h"

enum { BATCH_ROWS = 256, ROWS_PER_JOB = 16 };

static int
open_pool(struct decoding *d, struct fault *f)
{
	if (d->set->pool.n == 0)
		return 0;
	d->pool = pool_open(d->set->pool.at, d->set->pool.n, NULL, NULL, f);
	return d->pool ? decode_columns(&d->columns, d->pool, d->set->title, d->set->text_columns, f) : -1;
}

/* A state that is not there yet knows nobody. */
static int
open_state(struct decoding *d, struct fault *f)
{
	struct learn_settings settings;

	if (!d->set->state || !d->pool)
		return 0;
	if (access(d->set->state, F_OK) < 0 && errno == ENOENT) {
		if (d->set->mode != DECODE_BLEND && !record_options.quiet)
			warnx("%s: not there yet: every user is new", d->set->state);
		return 0;
	}
	d->state = state_open(d->set->state, STATE_READ, f);
	if (!d->state || learn_settings(d->state, &settings, f) < 0 ||
	    learn_check_space(&settings, d->set->state, pool_space(d->pool), d->set->pool.at[0], f) < 0)
		return -1;
	if (settings.dim > 0 && settings.dim != pool_dim(d->pool))
		return fault(f, EX_DATAERR, "%s: its beliefs have %zu dimensions, the vectors of %s have %zu", d->set->state,
		    settings.dim, d->set->pool.at[0], pool_dim(d->pool));
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

	if (!d->set->template)
		return 0;
	if (file_map_open(&map, d->set->template, f) < 0)
		return -1;
	d->template_text = xstrndup((const char *)map.at, map.n);
	file_map_close(&map);
	if (!strstr(d->template_text, "{query}"))
		return fault(f, EX_DATAERR, "%s: expected a template with {query}, and {user} and {items} where wanted",
		    d->set->template);
	return 0;
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
	d->query = d->set->mode == DECODE_BLEND ? record_find(d->in, "query") : record_need(d->in, "query", f);
	if (d->set->mode != DECODE_BLEND && d->query < 0)
		return -1;
	d->user_column = record_find(d->in, "user");
	if (d->set->mode == DECODE_LM && decoding_open_lm(d, f) < 0)
		return -1;
	if (d->set->plain)
		return 0;
	names[n_name++] = record_column_name("output");
	if (d->set->mode == DECODE_ENDPOINT || d->set->mode == DECODE_LM) {
		names[n_name++] = record_column_name("finish_reason");
		names[n_name++] = record_column_name("tokens_in");
		names[n_name++] = record_column_name("tokens_out");
		if (d->set->mode == DECODE_ENDPOINT && net_options.keep_going)
			names[n_name++] = record_column_name("error");
	}
	d->out = record_out_open(d->in, NULL, names, n_name, f);
	return d->out ? 0 : -1;
}

static void
take_scratch(struct decoding *d)
{
	d->n_batch = BATCH_ROWS;
	if (d->set->mode == DECODE_ENDPOINT)
		d->n_batch = ROWS_PER_JOB * net_options.n_parallel;
	if (d->set->mode == DECODE_LM) {
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

int
decoding_open(struct decoding *d, int n_file, char *const *file, struct fault *f)
{
	if (open_pool(d, f) < 0 || open_state(d, f) < 0 || open_template(d, f) < 0 ||
	    (d->set->mode == DECODE_ENDPOINT && !(d->net = net_open(&net_options, f))) || open_records(d, n_file, file, f) < 0)
		return -1;
	take_scratch(d);
	return 0;
}

int
decoding_close(struct decoding *d, int status, struct fault *f)
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
