/* hare-decode: texts by a language model of our own */
#include "decoding.h"

#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/thread.h"

enum { N_BEAM = 4 };

int
decoding_open_lm(struct decoding *d, struct fault *f)
{
	const struct decode_set *s = d->set;
	struct decode_write_options o = { .n_token = net_options.max_tokens, .n_beam = s->n_beam ? s->n_beam : N_BEAM,
		.n_consensus = s->n_consensus, .top_k = s->top_k, .top_p = isnan(net_options.top_p) ? 1 : net_options.top_p,
		.repetition = s->repetition, .faithful = s->faithful, .n_stop = net_options.stop.n,
		.n_thread = record_options.n_thread };

	d->stop = xcalloc(o.n_stop + 1, sizeof *d->stop);
	for (size_t i = 0; i < o.n_stop; i++)
		d->stop[i] = (struct span){ net_options.stop.at[i], strlen(net_options.stop.at[i]) };
	o.stop = d->stop;
	if (net_options.n_parallel > 1)
		o.n_thread = net_options.n_parallel < THREAD_MAX ? net_options.n_parallel : THREAD_MAX;
	d->writer = decode_writer_open(s->decoder.at, s->decoder.n, d->pool, d->pool ? s->pool.at[0] : NULL, &d->columns,
	    s->text_columns != NULL, &o, f);
	if (!d->writer)
		return -1;
	d->n_given = d->pool ? decode_writer_n_given(d->writer) : 0;
	if (d->n_given > 0 && (d->z = record_need(d->in, "z", f)) < 0)
		return -1;
	if (!s->per_record)
		return 0;
	/* one of the two is enough */
	d->temperature = record_need_name(d->in, "temperature", f);
	d->seed_column = record_need_name(d->in, "seed", &(struct fault){ 0 });
	return d->temperature < 0 && d->seed_column < 0 ? -1 : 0;
}

static int
read_options(const struct decoding *d, size_t i, struct decode_request *r, struct fault *f)
{
	struct span cell = d->seed_column < 0 ? (struct span){ "", 0 } : record_cell(d->in, i, d->seed_column);

	r->seed = d->set->seed;
	r->temperature = net_options.temperature;
	if (isnan(r->temperature) && (d->set->top_k > 0 || !isnan(net_options.top_p)))
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

int
decoding_request(struct decoding *d, size_t i)
{
	struct answer *a = &d->answers[i];
	struct decode_request *r = &d->requests[i];

	*r = (struct decode_request){ .query = decoding_query(d, i), .stream = d->n_read + i };
	a->n_item = 0;
	a->failed = 1;
	if ((d->pool && decoding_items(d, i, a, &a->fault) < 0) || read_options(d, i, r, &a->fault) < 0)
		return 0;
	r->items = a->items;
	r->n_item = a->n_item;
	if (d->n_given > 0) {
		if (decoding_user(d, i, &a->fault) < 0)
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
	warnx("%s: the query is longer than %s reads: its last %zu tokens are cut off%s", record_where(d->in, i), d->set->decoder.at[0],
	    w->n_cut, record_options.verbose ? "" : "; -v tells of every such record");
	d->cut_told = 1;
}

void
decoding_write(struct decoding *d, size_t n)
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
			decoding_at_row(d, i, &a->fault);
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
