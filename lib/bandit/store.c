#include "bandit/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* A value of kind "arm", little-endian: the head, features of the arm [arm_dim], and if it has observations and
   parameters of its own b [d], the lower triangles of gram and S by rows, mean [d], hybrid: C [d][k].
   Of kind "bandit": "rows", the head (index: how many arms; n: rows) and, if features are standardised, centre, square,
   origin and per_unit [dim]; "shared", the head and b, gram, S, mean over z. */
struct head {
	uint32_t magic, index;
	uint64_t n;
	uint32_t d, k, arm_dim, model;
};
enum { MAGIC = 0x31414248 };            /* "HBA1" */

/* ---- settings ---- */

struct setting {
	const char *key;
	enum { NUMBER, CHOICE, FLAG, COUNT, BITS } kind;
	size_t at;                      /* of the field */
	const char *const *names;       /* of a CHOICE */
	double least, most;
	int is_learning;                /* fixed once something is learnt */
};
#define AT(field) offsetof(struct bandit_settings, field)
static const struct setting setting[] = {
	{ "bandit.policy", CHOICE, AT(policy), bandit_policy_name, 0, 0, 0 },
	{ "bandit.alpha", NUMBER, AT(alpha), NULL, 0, 1e300, 0 },
	{ "bandit.epsilon", NUMBER, AT(epsilon), NULL, 0, 1, 0 },
	{ "bandit.gamma", NUMBER, AT(gamma), NULL, 1e-300, 1e300, 0 },
	{ "bandit.seed", BITS, AT(seed), NULL, 0, 0, 0 },
	{ "bandit.model", CHOICE, AT(model), bandit_model_name, 0, 0, 1 },
	{ "bandit.lambda", NUMBER, AT(lambda), NULL, 0, 1e30, 1 },
	{ "bandit.half_life", NUMBER, AT(half_life), NULL, 0, 1e300, 1 },
	{ "bandit.clip", NUMBER, AT(clip), NULL, 0, 1e300, 1 },
	{ "bandit.standardise", FLAG, AT(standardise), NULL, 0, 1, 1 },
	{ "bandit.intercept", FLAG, AT(intercept), NULL, 0, 1, 1 },
	{ "bandit.dim", COUNT, AT(dim), NULL, 0, BANDIT_DIM_MAX, 1 },
	{ "bandit.arm_dim", COUNT, AT(arm_dim), NULL, 0, BANDIT_DIM_MAX, 1 },
	{ "bandit.closed", FLAG, AT(is_closed), NULL, 0, 1, 0 },
};
enum { N_SETTING = sizeof setting / sizeof setting[0] };

const char *const *
bandit_setting_names(void)
{
	static const char *name[N_SETTING + 1];

	for (size_t i = 0; i < N_SETTING; i++)
		name[i] = setting[i].key;
	return name;
}

/* As text into out; returns its length. */
static size_t
show(const struct setting *k, const struct bandit_settings *set, char out[NUM_F64_MAX])
{
	const char *field = (const char *)set + k->at;
	int choice;
	uint64_t bits;
	size_t count;
	double number;

	switch (k->kind) {
	case CHOICE:
		memcpy(&choice, field, sizeof choice);
		strcpy(out, k->names[choice]);
		break;
	case FLAG:
		memcpy(&choice, field, sizeof choice);
		strcpy(out, choice ? "1" : "0");
		break;
	case BITS:
		memcpy(&bits, field, sizeof bits);
		snprintf(out, NUM_F64_MAX, "%llu", (unsigned long long)bits);
		break;
	case COUNT:
		memcpy(&count, field, sizeof count);
		snprintf(out, NUM_F64_MAX, "%zu", count);
		break;
	case NUMBER:
		memcpy(&number, field, sizeof number);
		out[num_put_f64(out, number)] = '\0';
		break;
	}
	return strlen(out);
}

static int
take(const struct setting *k, const char *text, struct bandit_settings *set)
{
	char *field = (char *)set + k->at;
	size_t n = strlen(text), count;
	uint64_t bits;
	double number;
	int choice = 0;

	switch (k->kind) {
	case CHOICE:
		while (k->names[choice] && strcmp(k->names[choice], text) != 0)
			choice++;
		if (!k->names[choice])
			return -1;
		memcpy(field, &choice, sizeof choice);
		return 0;
	case FLAG:
	case COUNT:
	case BITS:
		if (num_read_u64(text, n, &bits) < 0 || (k->kind != BITS && (double)bits > k->most))
			return -1;
		choice = (int)bits;
		count = (size_t)bits;
		if (k->kind == BITS)
			memcpy(field, &bits, sizeof bits);
		else if (k->kind == COUNT)
			memcpy(field, &count, sizeof count);
		else
			memcpy(field, &choice, sizeof choice);
		return 0;
	case NUMBER:
		if (num_read_f64(text, n, &number) < 0 || number < k->least || number > k->most)
			return -1;
		memcpy(field, &number, sizeof number);
		return 0;
	}
	return -1;
}

int
bandit_load_settings(struct state *s, struct bandit_settings *set, struct fault *f)
{
	struct bandit_settings got = {0};
	const char *text;

	for (size_t i = 0; i < N_SETTING; i++) {
		int found = state_meta(s, setting[i].key, &text, f);
		if (found < 0 || (found == 0 && i == 0))
			return found;
		if (found == 0)
			return fault(f, EX_DATAERR, "%s: setting %s is missing", state_path(s), setting[i].key);
		if (take(&setting[i], text, &got) < 0)
			return fault(f, EX_DATAERR, "%s: setting %s: \"%s\" is none", state_path(s), setting[i].key,
			    fault_quote(text, strlen(text)));
	}
	size_t d = got.dim + (got.intercept != 0), k = got.model == BANDIT_DISJOINT ? 0 : got.arm_dim ? d * got.arm_dim : d;
	if (k > BANDIT_DIM_MAX || (got.model == BANDIT_HYBRID && got.half_life > 0) || (got.standardise && !got.intercept) ||
	    (got.dim > 0 && got.lambda < 1e-30))
		return fault(f, EX_DATAERR, "%s: settings of a bandit that do not go together", state_path(s));
	*set = got;
	return 1;
}

int
bandit_same_settings(const struct bandit_settings *a, const char *a_name, const struct bandit_settings *b,
    const char *b_name, struct fault *f)
{
	char x[NUM_F64_MAX], y[NUM_F64_MAX];

	for (size_t i = 0; i < N_SETTING; i++) {
		if (!setting[i].is_learning)
			continue;
		/* a dimension that is not known yet may become any, and with it a lambda that was not given */
		if ((setting[i].at == AT(dim) && (a->dim == 0 || b->dim == 0)) ||
		    (setting[i].at == AT(lambda) && ((a->lambda == 0 && b->dim) || (b->lambda == 0 && a->dim))))
			continue;
		size_t n = show(&setting[i], a, x);
		if (show(&setting[i], b, y) != n || memcmp(x, y, n) != 0)
			return fault(f, EX_DATAERR, "%s has %s %s, %s has %s %s", a_name, setting[i].key + strlen("bandit."), x,
			    b_name, setting[i].key + strlen("bandit."), y);
	}
	return 0;
}

static int
save_settings(struct bandit *b, struct state *s, struct fault *f)
{
	char text[NUM_F64_MAX];

	for (size_t i = 0; i < N_SETTING; i++) {
		show(&setting[i], &b->set, text);
		if (state_set_meta(s, setting[i].key, text, f) < 0)
			return -1;
	}
	return 0;
}

/* ---- numbers in and out of bytes ---- */

static void
put(struct buf *out, const double *x, size_t n)
{
	buf_put(out, x, n * sizeof *x);
}

static void
put_gauss(struct buf *out, struct bandit_gauss g, size_t d)
{
	put(out, g.b, d);
	for (size_t i = 0; i < d; i++)
		put(out, g.gram + root_row(i), i + 1);
	for (size_t i = 0; i < d; i++)
		put(out, g.s + root_row(i), i + 1);
	put(out, g.mean, d);
}

static size_t
gauss_size(size_t d)
{
	return 2 * d + d * (d + 1);
}

/* Takes n numbers; -1 if one is not finite. */
static int
get(const char **at, double *x, size_t n)
{
	memcpy(x, *at, n * sizeof *x);
	*at += n * sizeof *x;
	for (size_t i = 0; i < n; i++)
		if (!isfinite(x[i]))
			return -1;
	return 0;
}

static int
get_gauss(const char **at, struct bandit_gauss g, size_t d)
{
	if (get(at, g.b, d) < 0)
		return -1;
	for (size_t i = 0; i < d; i++)
		if (get(at, g.gram + root_row(i), i + 1) < 0 || g.gram[root_row(i) + i] < 0)
			return -1;
	for (size_t i = 0; i < d; i++)
		if (get(at, g.s + root_row(i), i + 1) < 0 || !(g.s[root_row(i) + i] > 0))
			return -1;
	return get(at, g.mean, d);
}

static struct head
head_of(const struct bandit *b, size_t index, uint64_t n)
{
	return (struct head){ MAGIC, (uint32_t)index, n, (uint32_t)b->d, (uint32_t)b->k, (uint32_t)b->set.arm_dim,
	    (uint32_t)b->set.model };
}

/* ---- out ---- */

static int
save_arm(struct bandit *b, size_t a, struct buf *value, struct state *s, struct fault *f)
{
	struct bandit_arm *arm = &b->arm[a];
	struct head head = head_of(b, a, arm->n);

	buf_clear(value);
	buf_put(value, &head, sizeof head);
	if (b->set.arm_dim)
		put(value, bandit_arm_feature(b, a), b->set.arm_dim);
	if (arm->n > 0 && b->s) {
		put_gauss(value, bandit_gauss_of(b, a), b->d);
		if (b->c)
			for (size_t i = 0; i < b->d; i++)
				put(value, b->c + (a * b->d + i) * b->k_pad, b->k);
	}
	return state_put(s, "arm", bandit_arm_name(b, a), arm->n, 0, buf_span(value), f);
}

static int
save_common(struct bandit *b, struct buf *value, struct state *s, struct fault *f)
{
	struct head head = head_of(b, b->n_arm, b->n_row);      /* so that no arm is missed */

	if (b->rows_changed) {
		buf_clear(value);
		buf_put(value, &head, sizeof head);
		if (b->centre) {
			put(value, b->centre, b->set.dim);
			put(value, b->square, b->set.dim);
			put(value, b->origin, b->set.dim);
			put(value, b->per_unit, b->set.dim);
		}
		if (state_put(s, "bandit", (struct span){ "rows", 4 }, b->n_row, 0, buf_span(value), f) < 0)
			return -1;
	}
	if (b->shared_changed) {
		head.index = 0;
		head.n = b->n_shared;
		buf_clear(value);
		buf_put(value, &head, sizeof head);
		put_gauss(value, b->shared, b->k);
		if (state_put(s, "bandit", (struct span){ "shared", 6 }, b->n_shared, 0, buf_span(value), f) < 0)
			return -1;
	}
	return 0;
}

static int
get_commits(struct state *s, uint64_t *n, struct fault *f)
{
	const char *text;
	int found = state_meta(s, "bandit.commits", &text, f);

	*n = 0;
	if (found == 1 && num_read_u64(text, strlen(text), n) < 0)
		return fault(f, EX_DATAERR, "%s: setting bandit.commits: \"%s\" is none", state_path(s), fault_quote(text, strlen(text)));
	return found < 0 ? -1 : 0;
}

int
bandit_save(struct bandit *b, struct state *s, struct fault *f)
{
	struct buf value = {0};
	char text[32];
	uint64_t n_commit;
	int e = 0;

	if (get_commits(s, &n_commit, f) < 0)
		return -1;
	if (n_commit != b->n_commit)
		return fault(f, EX_TEMPFAIL, "%s: another program learnt into it meanwhile: nothing is changed, run this once more",
		    state_path(s));
	snprintf(text, sizeof text, "%llu", (unsigned long long)n_commit + 1);
	if (state_set_meta(s, "bandit.commits", text, f) < 0 || (b->settings_changed && save_settings(b, s, f) < 0))
		return -1;
	for (size_t a = 0; a < b->n_arm && e == 0; a++)
		if (b->arm[a].has_changed)
			e = save_arm(b, a, &value, s, f);
	if (e == 0)
		e = save_common(b, &value, s, f);
	buf_free(&value);
	if (e < 0)
		return -1;
	for (size_t a = 0; a < b->n_arm; a++)
		b->arm[a].is_new = b->arm[a].has_changed = 0;
	b->settings_changed = b->rows_changed = b->shared_changed = 0;
	b->n_commit = n_commit + 1;
	return 0;
}

/* ---- in ---- */

struct loading {
	struct bandit *b;
	const char *path;
	struct bandit_read { struct span name; struct span value; } *arm;       /* [n] by index; copies */
	size_t n;
	int has_rows, has_shared;
};

static int
bad_value(const struct loading *l, const char *kind, struct span key, const char *what, struct fault *f)
{
	return fault(f, EX_DATAERR, "%s: %s %s: %s", l->path, kind, fault_quote(key.at, key.n), what);
}

static int
check_head(const struct loading *l, const char *kind, struct span key, struct span v, struct head *head, struct fault *f)
{
	const struct bandit *b = l->b;

	if (v.n < sizeof *head)
		return bad_value(l, kind, key, "is cut short", f);
	memcpy(head, v.at, sizeof *head);
	if (head->magic != MAGIC || head->d != b->d || head->k != b->k || head->arm_dim != b->set.arm_dim ||
	    head->model != (uint32_t)b->set.model)
		return bad_value(l, kind, key, "is not of this bandit", f);
	return 0;
}

/* Arms come in the order of their names and are wanted in that of their indices. */
static int
collect_arm(void *arg, struct span key, uint64_t n, double time, struct span v, struct fault *f)
{
	struct loading *l = arg;
	struct head head;

	(void)time;
	if (check_head(l, "arm", key, v, &head, f) < 0)
		return -1;
	if (head.index >= l->n || l->arm[head.index].name.at || head.n != n)
		return bad_value(l, "arm", key, "its place among the arms is wrong", f);
	l->arm[head.index].name = (struct span){ xstrndup(key.at, key.n), key.n };
	char *copy = xmalloc(v.n, 1);
	memcpy(copy, v.at, v.n);
	l->arm[head.index].value = (struct span){ copy, v.n };
	return 0;
}

static int
load_arm(struct loading *l, size_t a, struct fault *f)
{
	struct bandit *b = l->b;
	struct span name = l->arm[a].name, v = l->arm[a].value;
	struct head head;
	const char *at = v.at + sizeof head;
	double *feature = xmalloc(b->set.arm_dim, sizeof *feature);

	memcpy(&head, v.at, sizeof head);
	int has_sums = head.n > 0 && b->s;
	size_t n = b->set.arm_dim + (has_sums ? gauss_size(b->d) + (b->c ? b->d * b->k : 0) : 0);
	int bad = v.n != sizeof head + n * sizeof(double) || get(&at, feature, b->set.arm_dim) < 0;
	if (!bad) {
		bandit_add_arm(b, name, feature);
		bad = has_sums && get_gauss(&at, bandit_gauss_of(b, a), b->d) < 0;
		for (size_t i = 0; has_sums && b->c && !bad && i < b->d; i++)
			bad = get(&at, b->c + (a * b->d + i) * b->k_pad, b->k) < 0;
		b->arm[a].n = head.n;
		b->n_shared += head.n;
		b->arm[a].is_new = b->arm[a].has_changed = 0;
	}
	free(feature);
	return bad ? bad_value(l, "arm", name, "is not what a bandit writes", f) : 0;
}

static int
load_common(void *arg, struct span key, uint64_t n, double time, struct span v, struct fault *f)
{
	struct loading *l = arg;
	struct bandit *b = l->b;
	struct head head;
	const char *at = v.at + sizeof head;

	(void)n, (void)time;
	if (check_head(l, "bandit", key, v, &head, f) < 0)
		return -1;
	size_t n_number = (v.n - sizeof head) / sizeof(double), dim = b->set.dim;
	if (span_is(key, "rows")) {
		if (head.index != l->n || v.n != sizeof head + (b->centre ? 4 * dim : 0) * sizeof(double) ||
		    (b->centre && (get(&at, b->centre, dim) < 0 || get(&at, b->square, dim) < 0 ||
		    get(&at, b->origin, dim) < 0 || get(&at, b->per_unit, dim) < 0)))
			return bad_value(l, "bandit", key, "is not what a bandit writes", f);
		b->n_row = head.n;
		l->has_rows = 1;
		return 0;
	}
	if (!span_is(key, "shared") || b->k == 0 || head.n != b->n_shared || n_number != gauss_size(b->k) ||
	    v.n != sizeof head + n_number * sizeof(double) || get_gauss(&at, b->shared, b->k) < 0)
		return bad_value(l, "bandit", key, "is not what a bandit writes", f);
	l->has_shared = 1;
	return 0;
}

struct bandit *
bandit_load(struct state *s, struct fault *f)
{
	struct bandit_settings set;
	struct loading l = { .path = state_path(s) };
	uint64_t n_arm, n_observation;
	int found = bandit_load_settings(s, &set, f), e;

	if (found == 0)
		fault(f, EX_DATAERR, "%s: holds no bandit", state_path(s));
	if (found != 1 || state_count(s, "arm", &n_arm, &n_observation, f) < 0)
		return NULL;
	l.b = bandit_new(&set);
	l.n = (size_t)n_arm;
	l.arm = xcalloc(l.n, sizeof *l.arm);
	e = get_commits(s, &l.b->n_commit, f);
	if (e == 0)
		e = state_each(s, "arm", collect_arm, &l, f);
	for (size_t a = 0; a < l.n && e == 0; a++) {
		e = l.arm[a].name.at ? load_arm(&l, a, f) : fault(f, EX_DATAERR, "%s: arm %zu is missing", l.path, a);
		free((char *)l.arm[a].value.at);
		l.arm[a].value.at = NULL;
	}
	if (e == 0)
		e = state_each(s, "bandit", load_common, &l, f);
	if (e == 0 && (!l.has_rows || (l.b->k && l.b->n_shared > 0 && !l.has_shared)))
		e = fault(f, EX_DATAERR, "%s: what all arms share is missing", l.path);
	for (size_t a = 0; a < l.n; a++) {
		free((char *)l.arm[a].name.at);
		free((char *)l.arm[a].value.at);
	}
	free(l.arm);
	if (e < 0) {
		bandit_free(l.b);
		return NULL;
	}
	l.b->settings_changed = l.b->rows_changed = l.b->shared_changed = 0;
	return l.b;
}
