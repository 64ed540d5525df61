#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "learn/learn.h"

struct dumping {
	struct state *state;
	struct record_out *out;
	struct record_row row;
	struct belief *belief;
	struct belief_posterior *posterior;
	struct belief_cluster *cluster;
	struct belief_prior prior;
	size_t dim;
	struct buf number, cell;
	const struct learn_how *how;
};

static int
emit(struct dumping *d, struct fault *f)
{
	return record_emit(d->out, NULL, 0, &d->row, f);
}

static void
put_time(struct dumping *d, int has, double time)
{
	if (has)
		record_put_number(&d->row, time);
	else
		record_put_text(&d->row, "", 0);
}

/* One row in the common form; n = UINT64_MAX leaves the count empty. */
static int
put_dump_row(struct dumping *d, const char *kind, struct span key, uint64_t n, const double *first, const double *last,
    const char *form, struct span value, struct fault *f)
{
	record_row_begin(&d->row, d->out);
	record_put_text(&d->row, kind, strlen(kind));
	record_put_text(&d->row, key.at, key.n);
	if (n == UINT64_MAX)
		record_put_text(&d->row, "", 0);
	else
		record_put_integer(&d->row, (int64_t)n);
	put_time(d, first != NULL, first ? *first : 0);
	put_time(d, last != NULL, last ? *last : 0);
	record_put_text(&d->row, form, strlen(form));
	record_put_text(&d->row, value.at, value.n);
	return emit(d, f);
}

static struct span
span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

/* d->number as a cell: "f64:" and base64 of little-endian float64, or decimal */
static struct span
number_cell(struct dumping *d)
{
	size_t n = d->number.n / sizeof(double);

	buf_clear(&d->cell);
	if (!d->how->text) {
		buf_puts(&d->cell, "f64:");
		buf_reserve(&d->cell, num_base64_size(d->number.n));
		num_base64_put(d->cell.at + d->cell.n, d->number.at, d->number.n);
		d->cell.n += num_base64_size(d->number.n);
		return buf_span(&d->cell);
	}
	for (size_t i = 0; i < n; i++) {
		double v;
		memcpy(&v, d->number.at + i * sizeof v, sizeof v);
		if (i)
			buf_putc(&d->cell, ' ');
		buf_reserve(&d->cell, NUM_F64_MAX);
		d->cell.n += num_put_f64(d->cell.at + d->cell.n, v);
	}
	return buf_span(&d->cell);
}

static int
named(struct dumping *d, const char *kind, struct span key, struct fault *f)
{
	struct fault why = *f;

	return fault(f, why.status, "%s: %s %s: %s", state_path(d->state), kind, fault_quote(key.at, key.n), why.text);
}

static int
dump_user(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *f)
{
	struct dumping *d = arg;

	(void)n, (void)last_time;
	if (belief_decode(d->belief, value.at, value.n, f) < 0)
		return named(d, "user", key, f);
	double first = belief_first_time(d->belief), last = belief_last_time(d->belief);
	if (d->how->mean) {
		if (belief_solve(d->posterior, d->belief, &d->prior, f) < 0)
			return named(d, "user", key, f);
		record_row_begin(&d->row, d->out);
		record_put_text(&d->row, key.at, key.n);
		record_put_integer(&d->row, (int64_t)belief_n(d->belief));
		record_put_number(&d->row, first);
		record_put_number(&d->row, last);
		record_put_number(&d->row, belief_share_unknown(d->posterior));
		buf_clear(&d->cell);
		buf_reserve(&d->cell, d->dim * sizeof(float));
		float *mean = (float *)d->cell.at;
		for (size_t i = 0; i < d->dim; i++)
			mean[i] = (float)belief_mean(d->posterior)[i];
		record_put_vector(&d->row, mean, d->dim);
		if (d->prior.has_query)
			record_put_number(&d->row, belief_query_weight(belief_mean(d->posterior), belief_dim(d->belief), &d->prior));
		return emit(d, f);
	}
	buf_clear(&d->number);
	belief_export(d->belief, &d->number);
	return put_dump_row(d, "user", key, belief_n(d->belief), &first, &last, belief_form(d->belief), number_cell(d), f);
}

static int
dump_cluster(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *f)
{
	struct dumping *d = arg;

	(void)last_time;
	if (belief_cluster_decode(d->cluster, value.at, value.n, f) < 0)
		return named(d, "cluster", key, f);
	buf_clear(&d->number);
	belief_cluster_export(d->cluster, &d->number);
	return put_dump_row(d, "cluster", key, n, NULL, NULL, "moments", number_cell(d), f);
}

static int
dump_settings(struct dumping *d, struct fault *f)
{
	for (const char *const *key = learn_setting_names; *key; key++) {
		const char *value;
		int found = state_meta(d->state, *key, &value, f);
		if (found < 0 || (found && put_dump_row(d, "setting", span_of(*key), UINT64_MAX, NULL, NULL, "text",
		    span_of(value), f) < 0))
			return -1;
	}
	return 0;
}

static int
dump_source(void *arg, struct span key, struct span v, double time, struct fault *f)
{
	struct dumping *d = arg;
	struct state_source at;
	char text[96];

	(void)time;
	if (v.n != sizeof at)
		return fault(f, EX_DATAERR, "%s: source %s: damaged", state_path(d->state), fault_quote(key.at, key.n));
	memcpy(&at, v.at, sizeof at);
	snprintf(text, sizeof text, "%llu %llu %llu", (unsigned long long)at.offset, (unsigned long long)at.n_line,
	    (unsigned long long)at.fingerprint);
	return put_dump_row(d, "source", key, at.n_row, NULL, &at.time, "position", span_of(text), f);
}

static int
dump_event(void *arg, struct span key, struct span user, double time, struct fault *f)
{
	return put_dump_row(arg, "event", key, UINT64_MAX, NULL, &time, "user", user, f);
}

static int
dump_lineage(void *arg, struct span key, struct span v, double time, struct fault *f)
{
	uint64_t generation;

	(void)time;
	memcpy(&generation, v.at, sizeof generation);
	return put_dump_row(arg, "lineage", key, generation, NULL, NULL, "", span_of(""), f);
}

static int
dump_past(struct dumping *d, struct fault *f)
{
	char uuid[33];
	uint64_t generation;

	if (state_identity(d->state, uuid, &generation, f) < 0 ||
	    put_dump_row(d, "identity", span_of(uuid), generation, NULL, NULL, "", span_of(""), f) < 0 ||
	    state_each_ledger(d->state, STATE_LINEAGE, dump_lineage, d, f) < 0 ||
	    state_each_ledger(d->state, STATE_SOURCES, dump_source, d, f) < 0 ||
	    state_each_ledger(d->state, STATE_EVENTS, dump_event, d, f) < 0)
		return -1;
	return 0;
}

static int
dump_some(struct dumping *d, int n, char *const *user, struct fault *f)
{
	struct buf value = {0};
	int e = 0;

	for (int i = 0; i < n && e == 0; i++) {
		int found = state_get(d->state, "user", span_of(user[i]), &value, f);
		if (found == 1)
			e = dump_user(d, span_of(user[i]), 0, 0, buf_span(&value), f);
		else
			e = found < 0 ? -1 : fault(f, EX_DATAERR, "%s: nothing is known of user %s", state_path(d->state),
			    fault_quote(user[i], strlen(user[i])));
	}
	buf_free(&value);
	return e;
}

static void
begin(struct dumping *d, struct state *s, const struct learn_settings *set)
{
	size_t dim = set->dim ? learn_belief_dim(set) : 1;

	d->state = s;
	d->prior = set->prior;
	d->dim = set->dim;
	d->belief = belief_new(dim);
	d->posterior = belief_posterior_new(dim);
	d->cluster = belief_cluster_new(set->dim ? set->dim : 1);
}

static void
end(struct dumping *d)
{
	belief_free(d->belief);
	belief_posterior_free(d->posterior);
	belief_cluster_free(d->cluster);
	record_row_free(&d->row);
	buf_free(&d->number);
	buf_free(&d->cell);
}

int
learn_dump(struct state *s, const struct learn_how *how, int n_user, char *const *user, struct record_out **out, struct fault *f)
{
	static const char *const mean_names[] = { "user", "n", "first", "last", "uncertainty", "mean", "query_weight" };
	struct dumping d = { .how = how };
	struct learn_settings set;

	*out = NULL;
	if (state_begin_read(s, f) < 0)
		return -1;
	int e = learn_settings(s, &set, f);
	if (e >= 0 && !(*out = record_out_open(NULL, NULL, how->mean ? mean_names : learn_dump_names,
	    how->mean ? 6 + (set.dim > 0 && set.prior.has_query) : LEARN_N_DUMP, f)))
		e = -1;
	if (e >= 0) {
		begin(&d, s, &set);
		d.out = *out;
		if (n_user)
			e = dump_some(&d, n_user, user, f);
		else
			e = (!how->mean && dump_settings(&d, f) < 0) || (how->all && dump_past(&d, f) < 0) ||
			    state_each(s, "user", dump_user, &d, f) < 0 ||
			    (!how->mean && state_each(s, "cluster", dump_cluster, &d, f) < 0) ? -1 : 0;
		end(&d);
	}
	state_rollback(s);
	return e < 0 ? -1 : 0;
}

/* -- doubting what is stored -- */

static int
decode_user(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *f)
{
	struct dumping *d = arg;

	if (belief_decode(d->belief, value.at, value.n, f) < 0)
		return named(d, "user", key, f);
	if (belief_n(d->belief) != n || belief_last_time(d->belief) != last_time)
		return fault(f, EX_DATAERR, "%s: user %s: its count or time is another than that of its belief", state_path(d->state),
		    fault_quote(key.at, key.n));
	return 0;
}

static int
decode_cluster(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *f)
{
	struct dumping *d = arg;

	(void)n, (void)last_time;
	return belief_cluster_decode(d->cluster, value.at, value.n, f) < 0 ? named(d, "cluster", key, f) : 0;
}

int
learn_check(struct state *s, struct fault *f)
{
	struct dumping d = {0};
	struct learn_settings set;

	if (learn_settings(s, &set, f) < 0)
		return -1;
	begin(&d, s, &set);
	int e = state_each(s, "user", decode_user, &d, f) < 0 || state_each(s, "cluster", decode_cluster, &d, f) < 0 ? -1 : 0;
	end(&d);
	return e;
}
