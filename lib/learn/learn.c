#include "learn/learn.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "mat/mat.h"

/* Events lie in chunks, so that a growing buffer is never copied. Each is a row of fixed size:
   head, time f64 (clock "time"), id u64 (its place in ids, or none), f [belief_dim], x [dim] (if there are clusters). */
enum { CHUNK_BYTES = 1 << 20, NONE = -1 };

struct event {
	int32_t next;                   /* of the same user, later of the same cluster */
	int32_t cluster;                /* NONE: it carries no x */
	double reward;                  /* NaN: passed over, for its id */
};

struct user {
	uint64_t prefix;                /* first bytes of the key, so that most comparisons need no look at it */
	size_t key, n_key;              /* in keys */
	int32_t first, last;
};

struct learn {
	struct state *state;
	struct learn_settings set;
	const char *set_name;
	size_t n_cluster, belief_dim, buffer_bytes;

	size_t row_bytes, at_time, at_id, at_f, at_x, per_chunk;
	char **chunk;
	size_t n_chunk, chunk_cap, n_event;
	struct user *user;
	size_t n_user, user_cap;
	int32_t *slot;                  /* [n_slot], index of a user or NONE; n_slot a power of two */
	size_t n_slot;
	struct buf keys, ids;           /* an id is its length (u64) and its bytes */

	struct belief *belief;
	struct belief_track *track;
	struct belief_cluster *cluster;
	struct buf value;
	uint64_t n_learnt, n_repeated;
};

struct learn *
learn_new(struct state *s, const struct learn_settings *set, const char *set_name, size_t n_cluster, size_t buffer_bytes,
    struct fault *f)
{
	struct learn_settings have;

	if (learn_settings(s, &have, f) < 0 || learn_same_settings(&have, state_path(s), set, set_name, f) < 0)
		return NULL;
	struct learn *l = xcalloc(1, sizeof *l);
	l->state = s;
	l->set = *set;
	l->set_name = set_name;
	l->n_cluster = n_cluster;
	l->belief_dim = learn_belief_dim(set);
	l->buffer_bytes = buffer_bytes;
	l->at_time = sizeof(struct event);
	l->at_id = l->at_time + (strcmp(set->clock, "time") == 0 ? 8 : 0);
	l->at_f = l->at_id + 8;
	l->at_x = l->at_f + 4 * l->belief_dim;
	l->row_bytes = (l->at_x + (n_cluster ? 4 * set->dim : 0) + 7) / 8 * 8;
	l->per_chunk = l->row_bytes < CHUNK_BYTES ? CHUNK_BYTES / l->row_bytes : 1;
	l->n_slot = 1024;
	l->slot = xmalloc(l->n_slot, sizeof *l->slot);
	memset(l->slot, 0xFF, l->n_slot * sizeof *l->slot);
	l->belief = belief_new(l->belief_dim);
	if (n_cluster) {
		l->track = belief_track_new(l->belief_dim);
		l->cluster = belief_cluster_new(set->dim);
	}
	return l;
}

void
learn_free(struct learn *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_chunk; i++)
		free(l->chunk[i]);
	free(l->chunk);
	free(l->user);
	free(l->slot);
	buf_free(&l->keys);
	buf_free(&l->ids);
	buf_free(&l->value);
	belief_free(l->belief);
	belief_track_free(l->track);
	belief_cluster_free(l->cluster);
	free(l);
}

static struct event *
event_at(const struct learn *l, size_t i)
{
	return (struct event *)(l->chunk[i / l->per_chunk] + i % l->per_chunk * l->row_bytes);
}

static struct span
user_key(const struct learn *l, const struct user *u)
{
	return (struct span){ l->keys.at + u->key, u->n_key };
}

static size_t
find_slot(const struct learn *l, struct span key)
{
	size_t i = hash64(key.at, key.n, 0) & (l->n_slot - 1);

	while (l->slot[i] != NONE) {
		const struct user *u = &l->user[l->slot[i]];
		if (u->n_key == key.n && (key.n == 0 || memcmp(l->keys.at + u->key, key.at, key.n) == 0))
			break;
		i = (i + 1) & (l->n_slot - 1);
	}
	return i;
}

static struct user *
find_user(struct learn *l, struct span key)
{
	size_t i = find_slot(l, key);

	if (l->slot[i] != NONE)
		return &l->user[l->slot[i]];
	if (2 * (l->n_user + 1) > l->n_slot) {
		l->n_slot *= 2;
		l->slot = xrealloc(l->slot, l->n_slot, sizeof *l->slot);
		memset(l->slot, 0xFF, l->n_slot * sizeof *l->slot);
		for (size_t k = 0; k < l->n_user; k++)
			l->slot[find_slot(l, user_key(l, &l->user[k]))] = (int32_t)k;
		i = find_slot(l, key);
	}
	l->user = xgrow(l->user, &l->user_cap, l->n_user + 1, sizeof *l->user);
	struct user *u = &l->user[l->n_user];
	*u = (struct user){ 0, l->keys.n, key.n, NONE, NONE };
	for (size_t b = 0; b < 8; b++)
		u->prefix = u->prefix << 8 | (b < key.n ? (unsigned char)key.at[b] : 0);
	buf_put(&l->keys, key.at, key.n);
	l->slot[i] = (int32_t)l->n_user++;
	return u;
}

int
learn_add(struct learn *l, const struct learn_event *e)
{
	size_t i = l->n_event;

	assert(fabs(e->reward) <= BELIEF_REWARD_MAX);
	if (i / l->per_chunk == l->n_chunk) {
		l->chunk = xgrow(l->chunk, &l->chunk_cap, l->n_chunk + 1, sizeof *l->chunk);
		l->chunk[l->n_chunk++] = xmalloc(l->per_chunk, l->row_bytes);
	}
	struct event *to = event_at(l, i);
	struct user *u = find_user(l, e->user);
	char *row = (char *)to;
	uint64_t id = UINT64_MAX;

	to->next = NONE;
	to->cluster = NONE;
	to->reward = e->reward;
	if (l->at_id > l->at_time)
		memcpy(row + l->at_time, &e->time, 8);
	if (e->id.at) {
		uint64_t n = e->id.n;
		id = l->ids.n;
		buf_put(&l->ids, &n, 8);
		buf_put(&l->ids, e->id.at, e->id.n);
	}
	memcpy(row + l->at_id, &id, 8);
	if (l->set.prior.has_query)
		belief_extend(e->f, e->x, l->set.dim, (float *)(row + l->at_f));
	else
		memcpy(row + l->at_f, e->f, 4 * l->set.dim);
	if (l->n_cluster && e->x) {
		assert(e->cluster < l->n_cluster);
		to->cluster = (int32_t)e->cluster;
		memcpy(row + l->at_x, e->x, 4 * l->set.dim);
	}
	if (u->first == NONE)
		u->first = (int32_t)i;
	else
		event_at(l, (size_t)u->last)->next = (int32_t)i;
	u->last = (int32_t)i;
	l->n_event++;
	size_t used = l->n_event * l->row_bytes + l->n_user * (sizeof(struct user) + 16) + l->keys.n + l->ids.n;
	return used >= l->buffer_bytes || l->n_event >= INT32_MAX / 2;
}

size_t
learn_n_waiting(const struct learn *l)
{
	return l->n_event;
}

uint64_t
learn_n_learnt(const struct learn *l)
{
	return l->n_learnt;
}

uint64_t
learn_n_repeated(const struct learn *l)
{
	return l->n_repeated;
}

static void
forget_events(struct learn *l)
{
	l->n_event = l->n_user = 0;
	buf_clear(&l->keys);
	buf_clear(&l->ids);
	memset(l->slot, 0xFF, l->n_slot * sizeof *l->slot);
}

static int
by_key(const void *a, const void *b, void *arg)
{
	const struct user *x = a, *y = b;
	const char *keys = ((const struct learn *)arg)->keys.at;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	size_t n = x->n_key < y->n_key ? x->n_key : y->n_key;
	int c = n ? memcmp(keys + x->key, keys + y->key, n) : 0;
	return c ? c : (x->n_key > y->n_key) - (x->n_key < y->n_key);
}

/* In the order of the stream: of two events of one id the first is learnt, in this buffer or in one long ago. */
static int
pass_over_repeated(struct learn *l, uint64_t *n_repeated, struct fault *f)
{
	*n_repeated = 0;
	if (l->ids.n == 0)
		return 0;
	int32_t *owner = xmalloc(l->n_event, sizeof *owner);
	for (size_t k = 0; k < l->n_user; k++)
		for (int32_t i = l->user[k].first; i != NONE; i = event_at(l, (size_t)i)->next)
			owner[i] = (int32_t)k;
	int e = 0;
	for (size_t i = 0; i < l->n_event && e >= 0; i++) {
		struct event *ev = event_at(l, i);
		uint64_t at, n;
		double time = 0;
		memcpy(&at, (char *)ev + l->at_id, 8);
		if (at == UINT64_MAX)
			continue;
		memcpy(&n, l->ids.at + at, 8);
		if (l->at_id > l->at_time)
			memcpy(&time, (char *)ev + l->at_time, 8);
		e = state_apply_once(l->state, (struct span){ l->ids.at + at + 8, n }, user_key(l, &l->user[owner[i]]), time, f);
		if (e == 1) {
			ev->reward = NAN;
			++*n_repeated;
		}
	}
	free(owner);
	return e < 0 ? -1 : 0;
}

/* x becomes q = unit(v x + gain mean): from here on the event says what its cluster learns. */
static int
aim(struct learn *l, struct event *ev, struct fault *f)
{
	float *x = (float *)((char *)ev + l->at_x);
	const double *mean = belief_track_mean(l->track, l->belief, &l->set.prior, f);

	if (!mean)
		return -1;
	double weight = belief_query_weight(mean, l->belief_dim, &l->set.prior);
	for (size_t d = 0; d < l->set.dim; d++)
		x[d] = (float)(weight * x[d] + l->set.gain * mean[d]);
	/* a prior of nearly no precision lets a mean grow beyond what a vector holds */
	if (!isfinite(mat_normalise(x, l->set.dim)))
		return fault(f, EX_DATAERR, "what was learnt leads to numbers that are not finite");
	return 0;
}

static int
learn_user(struct learn *l, const struct user *u, struct fault *f)
{
	struct span key = user_key(l, u);
	uint64_t n_before;
	int32_t i;

	/* all passed over: the user is not touched */
	for (i = u->first; i != NONE && isnan(event_at(l, (size_t)i)->reward); )
		i = event_at(l, (size_t)i)->next;
	if (i == NONE)
		return 0;
	int found = state_get(l->state, "user", key, &l->value, f);
	if (found < 0)
		return -1;
	belief_clear(l->belief);
	if (found && belief_decode(l->belief, l->value.at, l->value.n, f) < 0)
		goto named;
	if (l->track)
		belief_track_reset(l->track);
	n_before = belief_n(l->belief);
	for (; i != NONE; i = event_at(l, (size_t)i)->next) {
		struct event *ev = event_at(l, (size_t)i);
		double time;
		if (isnan(ev->reward))
			continue;
		if (ev->cluster != NONE && aim(l, ev, f) < 0)
			goto named;
		if (l->at_id > l->at_time)
			memcpy(&time, (char *)ev + l->at_time, 8);
		else
			time = belief_last_time(l->belief) + 1;
		if (belief_learn(l->belief, (float *)((char *)ev + l->at_f), ev->reward, time, l->set.prior.half_life, f) < 0)
			goto named;
	}
	assert(belief_n(l->belief) > n_before);
	buf_clear(&l->value);
	belief_encode(l->belief, &l->value);
	return state_put(l->state, "user", key, belief_n(l->belief), belief_last_time(l->belief), buf_span(&l->value), f);
named:;
	struct fault why = *f;
	return fault(f, why.status, "%s: user %s: %s", state_path(l->state), fault_quote(key.at, key.n), why.text);
}

/* Each cluster takes its events in the order of the stream, whichever user they are of. */
static int
learn_clusters(struct learn *l, struct fault *f)
{
	int32_t *first = xmalloc(l->n_cluster, 2 * sizeof *first), *last = first + l->n_cluster;
	int e = 0;

	memset(first, 0xFF, l->n_cluster * 2 * sizeof *first);
	for (size_t i = 0; i < l->n_event; i++) {
		struct event *ev = event_at(l, i);
		if (ev->cluster == NONE || isnan(ev->reward))
			continue;
		if (first[ev->cluster] == NONE)
			first[ev->cluster] = (int32_t)i;
		else
			event_at(l, (size_t)last[ev->cluster])->next = (int32_t)i;
		last[ev->cluster] = (int32_t)i;
		ev->next = NONE;
	}
	for (size_t c = 0; c < l->n_cluster && e >= 0; c++) {
		char name[32];
		if (first[c] == NONE)
			continue;
		struct span key = { name, (size_t)snprintf(name, sizeof name, "%zu", c) };
		if ((e = state_get(l->state, "cluster", key, &l->value, f)) < 0)
			break;
		belief_cluster_clear(l->cluster);
		if (e == 1 && belief_cluster_decode(l->cluster, l->value.at, l->value.n, f) < 0) {
			struct fault why = *f;
			e = fault(f, why.status, "%s: cluster %s: %s", state_path(l->state), name, why.text);
			break;
		}
		for (int32_t i = first[c]; i != NONE; i = event_at(l, (size_t)i)->next)
			belief_cluster_learn(l->cluster, (float *)((char *)event_at(l, (size_t)i) + l->at_x));
		buf_clear(&l->value);
		belief_cluster_encode(l->cluster, &l->value);
		e = state_put(l->state, "cluster", key, belief_cluster_n(l->cluster), 0, buf_span(&l->value), f);
	}
	free(first);
	return e < 0 ? -1 : 0;
}

/* Somebody else may have learnt of the same input, or fixed other settings, since we looked. */
static int
still_ours(struct learn *l, const char *source, const struct state_source *was, struct fault *f)
{
	struct learn_settings have;
	struct state_source at = {0};
	int found = learn_settings(l->state, &have, f);

	if (found < 0 || learn_same_settings(&have, state_path(l->state), &l->set, l->set_name, f) < 0)
		return -1;
	if (found == 0 && learn_set_settings(l->state, &l->set, f) < 0)
		return -1;
	if (!source)
		return 0;
	if (state_source(l->state, source, &at, f) < 0)
		return -1;
	if (at.offset != was->offset || at.n_row != was->n_row)
		return fault(f, EX_TEMPFAIL, "%s: another program learns from %s at the same time; run again when it has ended",
		    state_path(l->state), source);
	return 0;
}

int
learn_commit(struct learn *l, const char *source, const struct state_source *was, const struct state_source *now, struct fault *f)
{
	uint64_t n_repeated;

	if (state_begin(l->state, f) < 0)
		return -1;
	if (still_ours(l, source, was, f) < 0 || pass_over_repeated(l, &n_repeated, f) < 0)
		goto failed;
	if (l->n_user > 0) {
		if (state_expect(l->state, "user", l->n_user, f) < 0)
			goto failed;
		qsort_r(l->user, l->n_user, sizeof *l->user, by_key, l);
	}
	for (size_t k = 0; k < l->n_user; k++)
		if (learn_user(l, &l->user[k], f) < 0)
			goto failed;
	if (l->n_cluster && learn_clusters(l, f) < 0)
		goto failed;
	if (source && state_set_source(l->state, source, now, f) < 0)
		goto failed;
	if (state_commit(l->state, f) < 0)
		goto failed;
	l->n_learnt += l->n_event - n_repeated;
	l->n_repeated += n_repeated;
	forget_events(l);
	return 0;
failed:
	state_rollback(l->state);
	return -1;
}
