#include "bandit/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* Rows with the columns kind, key, n, first, last, form, value, as those of hare-state(1). */
struct dumping {
	struct record_out *out;
	struct record_row row;
	const char *kind;
	struct buf cell;
};

static int
put_row(struct dumping *d, const char *kind, struct span key, const uint64_t *n, const char *form, struct span value,
    struct fault *f)
{
	record_row_begin(&d->row, d->out);
	record_put_text(&d->row, kind, strlen(kind));
	record_put_text(&d->row, key.at, key.n);
	if (n)
		record_put_integer(&d->row, (int64_t)*n);
	else
		record_put_text(&d->row, "", 0);
	record_put_text(&d->row, "", 0);
	record_put_text(&d->row, "", 0);
	record_put_text(&d->row, form, strlen(form));
	record_put_text(&d->row, value.at, value.n);
	return record_emit(d->out, NULL, 0, &d->row, f);
}

static int
put_theta(struct dumping *d, const char *kind, struct span key, uint64_t n, const double *theta, size_t n_theta, struct fault *f)
{
	buf_clear(&d->cell);
	for (size_t i = 0; i < n_theta; i++) {
		if (i)
			buf_putc(&d->cell, ' ');
		buf_reserve(&d->cell, NUM_F64_MAX);
		d->cell.n += num_put_f64(d->cell.at + d->cell.n, theta[i]);
	}
	return put_row(d, kind, key, &n, "theta", buf_span(&d->cell), f);
}

static int
put_bytes(void *arg, struct span key, uint64_t n, double time, struct span value, struct fault *f)
{
	struct dumping *d = arg;

	(void)time;
	buf_clear(&d->cell);
	buf_reserve(&d->cell, num_base64_size(value.n));
	num_base64_put(d->cell.at, value.at, value.n);
	d->cell.n = num_base64_size(value.n);
	return put_row(d, d->kind, key, &n, "bytes", buf_span(&d->cell), f);
}

static int
put_settings(struct dumping *d, struct state *s, struct fault *f)
{
	for (const char *const *key = bandit_setting_names(); *key; key++) {
		const char *value;
		int found = state_meta(s, *key, &value, f);
		if (found < 0 || (found && put_row(d, "setting", (struct span){ *key, strlen(*key) }, NULL, "text",
		    (struct span){ value, strlen(value) }, f) < 0))
			return -1;
	}
	return 0;
}

int
bandit_dump(struct state *s, struct record_out *out, struct fault *f)
{
	struct dumping d = { .out = out };
	struct bandit_settings set;
	struct bandit *b = NULL;
	int found = state_begin_read(s, f) < 0 ? -1 : bandit_load_settings(s, &set, f), e = found < 0 ? -1 : 0;

	if (found == 1 && !(b = bandit_load(s, f)))
		e = -1;
	if (b)
		e = put_settings(&d, s, f);
	for (size_t a = 0; b && e == 0 && b->set.model != BANDIT_SHARED && a < b->n_arm; a++)
		e = put_theta(&d, "arm", bandit_arm_name(b, a), b->arm[a].n, b->s ? bandit_theta(b, a) : NULL, b->s ? b->d : 0, f);
	if (b && e == 0 && b->k)
		e = put_theta(&d, "bandit", (struct span){ "shared", 6 }, b->n_shared, b->shared.mean, b->k, f);
	if (b && e == 0) {
		d.kind = "arm";
		e = state_each(s, "arm", put_bytes, &d, f);
	}
	if (b && e == 0) {
		d.kind = "bandit";
		e = state_each(s, "bandit", put_bytes, &d, f);
	}
	record_row_free(&d.row);
	buf_free(&d.cell);
	bandit_free(b);
	state_rollback(s);
	return e;
}

int
bandit_check(struct state *s, struct fault *f)
{
	struct bandit_settings set;
	int found = state_begin_read(s, f) < 0 ? -1 : bandit_load_settings(s, &set, f);
	struct bandit *b = found == 1 ? bandit_load(s, f) : NULL;

	bandit_free(b);
	state_rollback(s);
	return found == 0 || b ? 0 : -1;
}
