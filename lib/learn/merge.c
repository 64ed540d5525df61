#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "learn/learn.h"

/* -- what parts must not share -- */

struct claims {
	struct claim { char *name; size_t n_name, part; } *at;
	size_t n, cap;
	size_t part;
};

static void
put_claim(struct claims *c, struct span name)
{
	c->at = xgrow(c->at, &c->cap, c->n + 1, sizeof *c->at);
	c->at[c->n++] = (struct claim){ xstrndup(name.at, name.n), name.n, c->part };
}

static int
collect(void *arg, struct span key, struct span v, double time, struct fault *f)
{
	(void)v, (void)time, (void)f;
	put_claim(arg, key);
	return 0;
}

static int
by_name(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int c = memcmp(x->name, y->name, x->n_name < y->n_name ? x->n_name : y->n_name);

	if (c == 0)
		c = (x->n_name > y->n_name) - (x->n_name < y->n_name);
	return c ? c : (x->part > y->part) - (x->part < y->part);
}

static int
refuse_shared(struct claims *c, struct state *const *part, const char *what, struct fault *f)
{
	int e = 0;

	if (c->n > 1)
		qsort(c->at, c->n, sizeof *c->at, by_name);
	for (size_t i = 1; i < c->n && e == 0; i++) {
		const struct claim *x = &c->at[i - 1], *y = &c->at[i];
		if (x->part != y->part && x->n_name == y->n_name && memcmp(x->name, y->name, x->n_name) == 0)
			e = fault(f, EX_DATAERR, "%s and %s both hold %s %s: the same rewards would count twice",
			    state_path(part[x->part]), state_path(part[y->part]), what, fault_quote(x->name, x->n_name));
	}
	for (size_t i = 0; i < c->n; i++)
		free(c->at[i].name);
	free(c->at);
	*c = (struct claims){0};
	return e;
}

static int
refuse_common(struct state *const *part, size_t n_part, struct fault *f)
{
	struct claims origins = {0}, sources = {0};
	struct fault second;
	int e = 0;

	for (size_t i = 0; i < n_part && e == 0; i++) {
		char uuid[33];
		uint64_t generation;
		origins.part = sources.part = i;
		if ((e = state_identity(part[i], uuid, &generation, f)) == 0) {
			put_claim(&origins, (struct span){ uuid, 32 });
			e = state_each_ledger(part[i], STATE_LINEAGE, collect, &origins, f);
		}
		if (e == 0)
			e = state_each_ledger(part[i], STATE_SOURCES, collect, &sources, f);
	}
	/* both are asked in any case, for they let go of the names; the first fault is told */
	if (refuse_shared(&origins, part, "what was learnt in state", e < 0 ? &second : f) < 0)
		e = -1;
	if (refuse_shared(&sources, part, "what was learnt from", e < 0 ? &second : f) < 0)
		e = -1;
	return e;
}

/* -- what the sum keeps of their past -- */

struct keeping {
	struct state *out;
	const char *name;
};

static int
keep_source(void *arg, struct span key, struct span v, double time, struct fault *f)
{
	struct keeping *k = arg;
	struct state_source at;
	char *name = xstrndup(key.at, key.n);
	int e = 0;

	(void)time;
	if (v.n == sizeof at) {
		memcpy(&at, v.at, sizeof at);
		e = state_set_source(k->out, name, &at, f);
	} else {
		e = fault(f, EX_DATAERR, "%s: source %s: damaged", k->name, fault_quote(key.at, key.n));
	}
	free(name);
	return e;
}

static int
keep_event(void *arg, struct span key, struct span v, double time, struct fault *f)
{
	struct keeping *k = arg;
	int e = state_apply_once(k->out, key, v, time, f);

	if (e == 1)
		return fault(f, EX_DATAERR, "%s and another part both hold event %s: the same reward would count twice", k->name,
		    fault_quote(key.at, key.n));
	return e;
}

static int
keep_lineage(void *arg, struct span key, struct span v, double time, struct fault *f)
{
	struct keeping *k = arg;
	char uuid[33] = "";
	uint64_t generation;

	(void)time;
	memcpy(uuid, key.at, key.n < 32 ? key.n : 32);
	memcpy(&generation, v.at, sizeof generation);
	return state_add_lineage(k->out, uuid, generation, f);
}

static int
keep_past(struct state *out, struct state *part, struct fault *f)
{
	struct keeping k = { out, state_path(part) };
	char uuid[33];
	uint64_t generation;

	if (state_identity(part, uuid, &generation, f) < 0 || state_add_lineage(out, uuid, generation, f) < 0 ||
	    state_each_ledger(part, STATE_LINEAGE, keep_lineage, &k, f) < 0 ||
	    state_each_ledger(part, STATE_SOURCES, keep_source, &k, f) < 0 ||
	    state_each_ledger(part, STATE_EVENTS, keep_event, &k, f) < 0)
		return -1;
	return 0;
}

/* -- the sum -- */

struct stream {
	struct state *state;
	struct state_walk *walk;
	int has;                /* the walk stands at a value */
	int is_next;            /* that belongs to the key now summed */
	struct belief *belief;
	struct belief_cluster *cluster;
	uint64_t digest;
};

static int
compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.at, b.at, n) : 0;

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int
by_digest(const void *a, const void *b)
{
	const struct stream *x = *(struct stream *const *)a, *y = *(struct stream *const *)b;

	return (x->digest > y->digest) - (x->digest < y->digest);
}

static int
named(struct stream *from, const char *kind, struct span key, struct fault *f)
{
	struct fault why = *f;

	return fault(f, why.status, "%s: %s %s: %s", state_path(from->state), kind, fault_quote(key.at, key.n), why.text);
}

/* Of three and more beliefs the sum depends on the order, by rounding; theirs is one that the operands' is not. */
static int
sum_users(struct state *out, struct stream **some, size_t n, struct span key, double half_life, struct buf *value, struct fault *f)
{
	for (size_t i = 0; i < n; i++) {
		struct span v = state_walk_value(some[i]->walk);
		if (n == 1)
			return state_put(out, "user", key, state_walk_n(some[i]->walk), state_walk_time(some[i]->walk), v, f);
		if (belief_decode(some[i]->belief, v.at, v.n, f) < 0)
			return named(some[i], "user", key, f);
		some[i]->digest = belief_digest(some[i]->belief);
	}
	qsort(some, n, sizeof *some, by_digest);
	for (size_t i = 1; i < n; i++)
		belief_merge(some[0]->belief, some[i]->belief, half_life);
	buf_clear(value);
	belief_encode(some[0]->belief, value);
	return state_put(out, "user", key, belief_n(some[0]->belief), belief_last_time(some[0]->belief), buf_span(value), f);
}

static int
sum_clusters(struct state *out, struct stream **some, size_t n, struct span key, struct buf *value, struct fault *f)
{
	for (size_t i = 0; i < n; i++) {
		struct span v = state_walk_value(some[i]->walk);
		if (belief_cluster_decode(some[i]->cluster, v.at, v.n, f) < 0)
			return named(some[i], "cluster", key, f);
		some[i]->digest = hash64(v.at, v.n, 0);         /* the count is among the bytes */
	}
	qsort(some, n, sizeof *some, by_digest);
	for (size_t i = 1; i < n; i++)
		belief_cluster_merge(some[0]->cluster, some[i]->cluster);
	buf_clear(value);
	belief_cluster_encode(some[0]->cluster, value);
	return state_put(out, "cluster", key, belief_cluster_n(some[0]->cluster), 0, buf_span(value), f);
}

/* All parts side by side in the order of keys. */
static int
sum_kind(struct state *out, struct stream *stream, size_t n, const char *kind, double half_life, struct fault *f)
{
	int is_user = strcmp(kind, "user") == 0, e = 0;
	struct stream **some = xmalloc(n, sizeof *some);
	struct buf value = {0}, key = {0};

	for (size_t i = 0; i < n && e == 0; i++) {
		stream[i].has = 0;
		stream[i].is_next = 1;
		if (!(stream[i].walk = state_walk_new(stream[i].state, kind, f)))
			e = -1;
	}
	while (e == 0) {
		const struct stream *least = NULL;
		for (size_t i = 0; i < n && e >= 0; i++) {
			struct stream *t = &stream[i];
			if (t->is_next && (e = state_walk_next(t->walk, f)) >= 0)
				t->has = e;
			t->is_next = 0;
			if (t->has && (!least || compare(state_walk_key(t->walk), state_walk_key(least->walk)) < 0))
				least = t;
		}
		if (e < 0 || !least)
			break;
		buf_clear(&key);
		buf_put(&key, state_walk_key(least->walk).at, state_walk_key(least->walk).n);
		size_t n_some = 0;
		for (size_t i = 0; i < n; i++)
			if (stream[i].has && compare(state_walk_key(stream[i].walk), buf_span(&key)) == 0) {
				stream[i].is_next = 1;
				some[n_some++] = &stream[i];
			}
		e = is_user ? sum_users(out, some, n_some, buf_span(&key), half_life, &value, f)
		    : sum_clusters(out, some, n_some, buf_span(&key), &value, f);
	}
	for (size_t i = 0; i < n; i++) {
		state_walk_free(stream[i].walk);
		stream[i].walk = NULL;
	}
	buf_free(&value);
	buf_free(&key);
	free(some);
	return e < 0 ? -1 : 0;
}

static int
merge(struct state *out, struct state *const *part, size_t n_part, struct fault *f)
{
	struct learn_settings set = {0}, other;
	size_t first = 0;

	for (size_t i = 0; i < n_part; i++) {
		if (learn_settings(part[i], &other, f) < 0 ||
		    learn_same_settings(&set, state_path(part[first]), &other, state_path(part[i]), f) < 0)
			return -1;
		if (set.dim == 0 && other.dim != 0) {
			set = other;
			first = i;
		}
	}
	if (refuse_common(part, n_part, f) < 0 || state_begin(out, f) < 0)
		return -1;
	int e = set.dim ? learn_set_settings(out, &set, f) : 0;
	struct stream *stream = xcalloc(n_part, sizeof *stream);
	for (size_t i = 0; i < n_part && e == 0; i++) {
		stream[i].state = part[i];
		stream[i].belief = belief_new(set.dim ? learn_belief_dim(&set) : 1);
		stream[i].cluster = belief_cluster_new(set.dim ? set.dim : 1);
		e = keep_past(out, part[i], f);
	}
	if (e == 0)
		e = sum_kind(out, stream, n_part, "user", set.prior.half_life, f);
	if (e == 0)
		e = sum_kind(out, stream, n_part, "cluster", set.prior.half_life, f);
	for (size_t i = 0; i < n_part; i++) {
		belief_free(stream[i].belief);
		belief_cluster_free(stream[i].cluster);
	}
	free(stream);
	if (e == 0)
		return state_commit(out, f);
	state_rollback(out);
	return -1;
}

/* One snapshot of each part for all that is read of it: beliefs that are newer than the sources and events kept beside
   them would be learnt again from these. */
int
learn_merge(struct state *out, struct state *const *part, size_t n_part, struct fault *f)
{
	size_t n_begun = 0;
	int e = 0;

	while (n_begun < n_part && (e = state_begin_read(part[n_begun], f)) == 0)
		n_begun++;
	if (e == 0)
		e = merge(out, part, n_part, f);
	while (n_begun > 0)
		state_rollback(part[--n_begun]);
	return e;
}
