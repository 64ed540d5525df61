#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "learn/learn.h"

enum { BATCH_ROWS = 64 };

struct loading {
	struct state *state;
	struct record_in *in;
	int column[LEARN_N_DUMP];
	struct learn_settings set;      /* dim = 0 until a row needs them */
	int has_others;                 /* settings of another room */
	struct belief *belief;
	struct belief_cluster *cluster;
	struct buf number, bytes, text;
};

enum { KIND, KEY, COUNT, FIRST, LAST, FORM, VALUE };

static struct span
cell(struct loading *l, size_t i, int which)
{
	return record_cell(l->in, i, l->column[which]);
}

static const char *
cell_string(struct loading *l, size_t i, int which)
{
	buf_clear(&l->text);
	buf_put(&l->text, cell(l, i, which).at, cell(l, i, which).n);
	return buf_string(&l->text);
}

static int
read_count(struct loading *l, size_t i, uint64_t *n, struct fault *f)
{
	struct span c = cell(l, i, COUNT);

	if (num_read_u64(c.at, c.n, n) < 0 || *n > INT64_MAX)
		return record_fault(l->in, i, l->column[COUNT], f, "expected a count, got \"%s\"", fault_quote(c.at, c.n));
	return 0;
}

static int
read_numbers(struct loading *l, size_t i, struct fault *f)
{
	struct span c = cell(l, i, VALUE);
	const char *end = c.at + c.n, *at = c.at;

	buf_clear(&l->number);
	if (c.n >= 4 && memcmp(c.at, "f64:", 4) == 0) {
		buf_reserve(&l->number, c.n);
		ptrdiff_t n = num_base64_read(l->number.at, c.at + 4, c.n - 4);
		if (n < 0 || n % 8 != 0)
			return record_fault(l->in, i, l->column[VALUE], f, "expected base64 of float64");
		l->number.n = (size_t)n;
		return 0;
	}
	while (at < end) {
		double v;
		size_t n = num_scan_f64(at, end, &v);
		if (n == 0 || (at + n < end && at[n] != ' '))
			return record_fault(l->in, i, l->column[VALUE], f, "expected numbers, got \"%s\"",
			    fault_quote(at, (size_t)(end - at)));
		buf_put(&l->number, &v, sizeof v);
		at += n + (at + n < end);
	}
	return 0;
}

/* The first row that is no setting needs them all. */
static int
need_settings(struct loading *l, size_t i, struct fault *f)
{
	if (l->set.dim)
		return 0;
	int found = learn_settings(l->state, &l->set, f);
	if (found == 0)
		found = record_fault(l->in, i, l->column[KIND], f, "expected the settings first: dim is not there");
	if (found < 0)
		return -1;
	l->belief = belief_new(learn_belief_dim(&l->set));
	l->cluster = belief_cluster_new(l->set.dim);
	return 0;
}

static int
at_row(struct loading *l, size_t i, struct fault *f)
{
	struct fault why = *f;

	return record_fault(l->in, i, l->column[VALUE], f, "%s", why.text);
}

static int
load_value(struct loading *l, size_t i, int is_user, struct fault *f)
{
	uint64_t n;
	double first = 0, last = 0;
	const char *kind = is_user ? "user" : "cluster";
	struct span key = cell(l, i, KEY);

	if (need_settings(l, i, f) < 0 || read_count(l, i, &n, f) < 0 || read_numbers(l, i, f) < 0)
		return -1;
	const double *number = (const double *)l->number.at;
	size_t n_number = l->number.n / sizeof *number;
	buf_clear(&l->bytes);
	if (is_user) {
		if (record_number(l->in, i, l->column[FIRST], &first, f) < 0 || record_number(l->in, i, l->column[LAST], &last, f) < 0)
			return -1;
		if (belief_import(l->belief, cell_string(l, i, FORM), n, first, last, number, n_number, f) < 0)
			return at_row(l, i, f);
		belief_encode(l->belief, &l->bytes);
	} else {
		uint64_t c;
		if (num_read_u64(key.at, key.n, &c) < 0 || (key.n > 1 && key.at[0] == '0'))
			return record_fault(l->in, i, l->column[KEY], f, "expected the number of a cluster, got \"%s\"",
			    fault_quote(key.at, key.n));
		if (belief_cluster_import(l->cluster, n, number, n_number, f) < 0)
			return at_row(l, i, f);
		belief_cluster_encode(l->cluster, &l->bytes);
	}
	int found = state_get(l->state, kind, key, &l->text, f);
	if (found == 1)
		return record_fault(l->in, i, l->column[KEY], f, "expected each %s once, got \"%s\" again", kind, fault_quote(key.at, key.n));
	return found < 0 ? -1 : state_put(l->state, kind, key, n, last, buf_span(&l->bytes), f);
}

static int
load_source(struct loading *l, size_t i, struct fault *f)
{
	struct state_source at = {0};
	uint64_t *const number[] = { &at.offset, &at.n_line, &at.fingerprint };
	struct span rest = cell(l, i, VALUE);

	if (read_count(l, i, &at.n_row, f) < 0 || record_number(l->in, i, l->column[LAST], &at.time, f) < 0)
		return -1;
	for (size_t k = 0; k < 3; k++) {
		const char *blank = k < 2 && rest.n > 0 ? memchr(rest.at, ' ', rest.n) : NULL;
		size_t n = blank ? (size_t)(blank - rest.at) : rest.n;
		if (num_read_u64(rest.at, n, number[k]) < 0)
			return record_fault(l->in, i, l->column[VALUE], f, "expected a position");
		n += blank != NULL;
		rest = (struct span){ rest.at + n, rest.n - n };
	}
	return state_set_source(l->state, cell_string(l, i, KEY), &at, f);
}

static int
load_setting(struct loading *l, size_t i, struct fault *f)
{
	struct span key = cell(l, i, KEY);
	const char *const *name = learn_setting_names;

	/* what was loaded was doubted by those that stood before it */
	if (l->set.dim)
		return record_fault(l->in, i, l->column[KIND], f, "expected the settings first, got one behind values");
	/* those of another room are doubted there */
	if (key.n > 7 && key.n < 32 && memcmp(key.at, "bandit.", 7) == 0) {
		char own[32];
		l->has_others = 1;
		snprintf(own, sizeof own, "%s", cell_string(l, i, KEY));
		return state_set_meta(l->state, own, cell_string(l, i, VALUE), f);
	}
	while (*name && !span_is(key, *name))
		name++;
	if (!*name)
		return record_fault(l->in, i, l->column[KEY], f, "expected a setting, got \"%s\"", fault_quote(key.at, key.n));
	return state_set_meta(l->state, *name, cell_string(l, i, VALUE), f);
}

/* A value of another room, as it is: what it means is doubted there. theta is only what its bytes say. */
static int
load_bytes(struct loading *l, size_t i, const char *kind, struct fault *f)
{
	struct span key = cell(l, i, KEY), text = cell(l, i, VALUE);
	uint64_t n;

	if (span_is(cell(l, i, FORM), "theta"))
		return 0;
	if (!span_is(cell(l, i, FORM), "bytes"))
		return record_fault(l->in, i, l->column[FORM], f, "expected theta or bytes");
	if (read_count(l, i, &n, f) < 0)
		return -1;
	buf_clear(&l->bytes);
	buf_reserve(&l->bytes, text.n + 1);
	ptrdiff_t n_byte = num_base64_read(l->bytes.at, text.at, text.n);
	if (n_byte < 0)
		return record_fault(l->in, i, l->column[VALUE], f, "expected base64");
	l->bytes.n = (size_t)n_byte;
	int found = state_get(l->state, kind, key, &l->text, f);
	if (found == 1)
		return record_fault(l->in, i, l->column[KEY], f, "expected each %s once, got \"%s\" again", kind, fault_quote(key.at, key.n));
	return found < 0 ? -1 : state_put(l->state, kind, key, n, 0, buf_span(&l->bytes), f);
}

static int
load_row(struct loading *l, size_t i, struct fault *f)
{
	struct span kind = cell(l, i, KIND), key = cell(l, i, KEY);
	uint64_t n;
	double time;

	if (span_is(kind, "setting"))
		return load_setting(l, i, f);
	if (span_is(kind, "user") || span_is(kind, "cluster"))
		return load_value(l, i, span_is(kind, "user"), f);
	if (span_is(kind, "arm") || span_is(kind, "bandit"))
		return load_bytes(l, i, span_is(kind, "arm") ? "arm" : "bandit", f);
	if (span_is(kind, "source"))
		return load_source(l, i, f);
	if (span_is(kind, "event"))
		return record_number(l->in, i, l->column[LAST], &time, f) < 0 ? -1
		    : state_apply_once(l->state, key, cell(l, i, VALUE), time, f) < 0 ? -1 : 0;
	if (span_is(kind, "identity") || span_is(kind, "lineage")) {
		if (read_count(l, i, &n, f) < 0)
			return -1;
		if (key.n != 32 || strspn(cell_string(l, i, KEY), "0123456789abcdef") != 32)
			return record_fault(l->in, i, l->column[KEY], f, "expected 32 hexadecimal digits");
		return span_is(kind, "lineage") ? state_add_lineage(l->state, cell_string(l, i, KEY), n, f)
		    : state_set_identity(l->state, cell_string(l, i, KEY), n ? n - 1 : 0, f);        /* the commit counts one */
	}
	return record_fault(l->in, i, l->column[KIND], f, "expected setting, user, cluster, arm, bandit, source, event, "
	    "identity or lineage, got \"%s\"", fault_quote(kind.at, kind.n));
}

static int
load_rows(struct loading *l, struct fault *f)
{
	ptrdiff_t n;

	while ((n = record_batch(l->in, BATCH_ROWS, f)) > 0)
		for (size_t i = 0; i < (size_t)n; i++)
			if (load_row(l, i, f) < 0)
				return -1;
	if (n < 0)
		return -1;
	/* A dump begins with its settings; without all of them its beliefs mean nothing. */
	struct learn_settings set;
	int whole = learn_settings(l->state, &set, f);
	if (whole == 0 && l->has_others)
		return 0;               /* a bandit without users */
	return whole == 1 ? 0 : whole < 0 ? -1 : fault(f, EX_DATAERR, "no whole dump: it has no settings");
}

int
learn_load(struct state *s, struct record_in *in, struct fault *f)
{
	struct loading l = { .state = s, .in = in };

	for (int c = 0; c < LEARN_N_DUMP; c++)
		if ((l.column[c] = record_need_name(in, learn_dump_names[c], f)) < 0)
			return -1;
	if (state_begin(s, f) < 0)
		return -1;
	int e = load_rows(&l, f);
	if (e == 0)
		e = state_commit(s, f);
	else
		state_rollback(s);
	belief_free(l.belief);
	belief_cluster_free(l.cluster);
	buf_free(&l.number);
	buf_free(&l.bytes);
	buf_free(&l.text);
	return e;
}
