#include "bandit/inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* Sums are added in an order that is theirs, not that of the operands, so that merging commutes to the last bit. */
struct part {
	struct bandit *b;
	const char *path;
	uint64_t digest;
};

static int
by_digest(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return (x->digest > y->digest) - (x->digest < y->digest);
}

static uint64_t
digest(const struct bandit *b)
{
	uint64_t h = hash64(&b->n_row, sizeof b->n_row, b->n_shared);

	if (b->centre)
		h = hash64(b->square, b->set.dim * sizeof *b->square, hash64(b->centre, b->set.dim * sizeof *b->centre, h));
	for (size_t a = 0; a < b->n_arm; a++) {
		h = hash64(b->arm[a].name, b->arm[a].n_name, h ^ b->arm[a].n);
		if (b->s)
			h = hash64(b->b + a * b->pad, b->pad * sizeof *b->b, h);
	}
	return h;
}

/* ---- arms: in the order of their lowest place in any part, then of their names ---- */

struct name {
	struct span name;
	size_t place;
	const double *feature;
};

static int
by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
	int c = memcmp(x->name.at, y->name.at, n);

	if (c == 0)
		c = (x->name.n > y->name.n) - (x->name.n < y->name.n);
	return c ? c : (x->place > y->place) - (x->place < y->place);
}

static int
by_place(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return x->place != y->place ? (x->place > y->place) - (x->place < y->place) : by_name(a, b);
}

static int
unite_arms(struct bandit *out, const struct part *part, size_t n_part, struct fault *f)
{
	struct name *all = NULL;
	size_t n = 0, n_cap = 0, n_kept = 0, n_feature = out->set.arm_dim;
	int e = 0;

	for (size_t p = 0; p < n_part; p++)
		for (size_t a = 0; a < part[p].b->n_arm; a++) {
			all = xgrow(all, &n_cap, n + 1, sizeof *all);
			all[n++] = (struct name){ bandit_arm_name(part[p].b, a), a,
			    n_feature ? bandit_arm_feature(part[p].b, a) : NULL };
		}
	if (n)
		qsort(all, n, sizeof *all, by_name);
	for (size_t i = 0; i < n && e == 0; i++) {
		struct name *last = n_kept ? &all[n_kept - 1] : NULL;
		if (!last || last->name.n != all[i].name.n || memcmp(last->name.at, all[i].name.at, last->name.n) != 0)
			all[n_kept++] = all[i];
		else if (n_feature && memcmp(last->feature, all[i].feature, n_feature * sizeof *last->feature) != 0)
			e = fault(f, EX_DATAERR, "arm %s has other features in one of the states than in another",
			    fault_quote(last->name.at, last->name.n));
	}
	if (n_kept)
		qsort(all, n_kept, sizeof *all, by_place);
	for (size_t i = 0; i < n_kept && e == 0; i++)
		bandit_add_arm(out, all[i].name, all[i].feature);
	free(all);
	return e;
}

/* ---- sums ---- */

static void
add_gauss(struct bandit_gauss to, struct bandit_gauss from, size_t dim)
{
	for (size_t i = 0; i < root_triangle(dim); i++)
		to.gram[i] += from.gram[i];
	for (size_t i = 0; i < root_pad(dim); i++)
		to.b[i] += from.b[i];
}

/* Means and sums of squares of two samples together (Chan, Golub and LeVeque 1979). */
static void
add_rows(struct bandit *to, const struct bandit *from)
{
	double n = (double)to->n_row, m = (double)from->n_row, both = n + m;

	for (size_t i = 0; to->centre && from->centre && both > 0 && i < to->set.dim; i++) {
		double off = from->centre[i] - to->centre[i];
		to->square[i] += from->square[i] + off * off * (n * m / both);
		to->centre[i] = (n * to->centre[i] + m * from->centre[i]) / both;
	}
	to->n_row += from->n_row;
}

static int
add_all(struct bandit *out, const struct part *part, size_t n_part, struct fault *f)
{
	for (size_t p = 0; p < n_part; p++)
		add_rows(out, part[p].b);
	if (out->centre && out->n_row)
		bandit_refit(out);
	for (size_t p = 0; p < n_part; p++) {
		struct bandit *from = part[p].b;
		if (from->centre)
			bandit_refit_as(from, out);
		for (size_t a = 0; a < from->n_arm; a++) {
			size_t to = bandit_find_arm(out, bandit_arm_name(from, a));
			out->arm[to].n += from->arm[a].n;
			if (out->s && from->s && from->arm[a].n)
				add_gauss(bandit_gauss_of(out, to), bandit_gauss_of(from, a), out->d);
		}
		if (out->k && from->k)
			add_gauss(out->shared, from->shared, out->k);
		out->n_shared += from->n_shared;
	}
	for (size_t a = 0; out->s && a < out->n_arm; a++)
		if (out->arm[a].n && bandit_solve(bandit_gauss_of(out, a), out->set.lambda, out->d) < 0)
			return fault(f, EX_DATAERR, "the sums of arm %s are those of no data",
			    fault_quote(out->arm[a].name, out->arm[a].n_name));
	if (out->k && out->n_shared && bandit_solve(out->shared, out->set.lambda, out->k) < 0)
		return fault(f, EX_DATAERR, "the sums that arms share are those of no data");
	return 0;
}

static int
check_parts(const struct part *part, size_t n_part, struct fault *f)
{
	for (size_t p = 0; p < n_part; p++) {
		const struct bandit_settings *set = &part[p].b->set;
		if (set->model == BANDIT_HYBRID)
			return fault(f, EX_DATAERR, "%s: the sums of a hybrid model cannot be added", part[p].path);
		if (set->model == BANDIT_SHARED && set->standardise)
			return fault(f, EX_DATAERR, "%s: a shared model of standardised features cannot be added", part[p].path);
		for (size_t q = 0; q < p; q++)
			if (bandit_same_settings(&part[q].b->set, part[q].path, set, part[p].path, f) < 0)
				return -1;
	}
	return 0;
}

static int
merge(struct state *to, struct part *part, size_t n_part, struct fault *f)
{
	struct bandit_settings set = part[0].b->set;

	for (size_t p = 0; p < n_part; p++) {
		set.is_closed &= part[p].b->set.is_closed;
		if (part[p].b->set.dim) {
			set.dim = part[p].b->set.dim;
			set.lambda = part[p].b->set.lambda;
		}
		part[p].digest = digest(part[p].b);
	}
	qsort(part, n_part, sizeof *part, by_digest);
	struct bandit *out = bandit_new(&set);
	int e = unite_arms(out, part, n_part, f);
	if (e == 0)
		e = add_all(out, part, n_part, f);
	out->rows_changed = 1;
	out->shared_changed = out->k > 0 && out->n_shared > 0;
	if (e == 0)
		e = bandit_save(out, to, f);
	bandit_free(out);
	return e;
}

int
bandit_merge(struct state *out, struct state *const *from, size_t n_from, struct fault *f)
{
	struct part *part = xcalloc(n_from, sizeof *part);
	struct bandit_settings set;
	size_t n = 0;
	int e = 0;

	for (size_t i = 0; i < n_from && e == 0; i++) {
		int found = state_begin_read(from[i], f) < 0 ? -1 : bandit_load_settings(from[i], &set, f);
		if (found == 1 && (part[n].b = bandit_load(from[i], f)))
			part[n++].path = state_path(from[i]);
		else if (found)
			e = -1;
		state_rollback(from[i]);
	}
	if (e == 0)
		e = check_parts(part, n, f);
	if (e == 0 && n)
		e = merge(out, part, n, f);
	for (size_t p = 0; p < n; p++)
		bandit_free(part[p].b);
	free(part);
	return e;
}
