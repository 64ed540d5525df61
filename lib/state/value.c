/*
 * value.c - values under kind and key, their checksums and totals
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "state/inside.h"

enum { ROW_EXTRA = 256 };       /* bytes that a row takes beside its key and value, at most */

uint32_t
state_crc(const char *kind, struct span key, uint64_t n, double time, struct span value)
{
	struct { uint64_t n_key, n; double time; } fixed = { key.n, n, time };
	uint32_t crc = crc32c(0, kind, strlen(kind) + 1);

	crc = crc32c(crc, &fixed, sizeof fixed);
	crc = crc32c(crc, key.at, key.n);
	return crc32c(crc, value.at, value.n);
}

const char *
state_name(const char *kind, struct span key, char out[96])
{
	sqlite3_snprintf(96, out, "%s %s", kind, fault_quote(key.at, key.n));
	return out;
}

/* 1 and the statement at its row, 0, or -1; the caller resets it. */
static int
look_up(struct state *s, enum sql which, const char *kind, struct span key, sqlite3_stmt **out, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, which, f);
	char where[96];

	if (!q)
		return -1;
	*out = q;
	sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
	state_bind_span(q, 2, key);
	int rc = sqlite3_step(q);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		sqlite3_reset(q);
		return state_fault(s, rc, state_name(kind, key, where), f);
	}
	if (s->in_transaction) {
		s->found_id = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
		s->found_n = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(q, 1) : 0;
		buf_clear(&s->found_key);
		buf_put(&s->found_key, key.at, key.n);
		strcpy(s->found_kind, kind);
	}
	return rc == SQLITE_ROW;
}

/* What was just looked up need not be again. */
static int
find(struct state *s, const char *kind, struct span key, struct fault *f)
{
	sqlite3_stmt *q;

	assert(strlen(kind) <= KIND_MAX);
	if (s->found_id >= 0 && s->found_key.n == key.n && strcmp(s->found_kind, kind) == 0 &&
	    (key.n == 0 || memcmp(s->found_key.at, key.at, key.n) == 0))
		return s->found_id > 0;
	int found = look_up(s, SQL_FIND, kind, key, &q, f);
	if (found >= 0)
		sqlite3_reset(q);
	return found;
}

int
state_get(struct state *s, const char *kind, struct span key, struct buf *value, struct fault *f)
{
	sqlite3_stmt *q;
	char where[96];

	assert(strlen(kind) <= KIND_MAX);
	buf_clear(value);
	int found = look_up(s, SQL_GET, kind, key, &q, f);
	if (found < 0)
		return -1;
	if (found) {
		struct span v = state_column(q, 4);
		if (state_crc(kind, key, (uint64_t)sqlite3_column_int64(q, 1), sqlite3_column_double(q, 2), v) ==
		    (uint32_t)sqlite3_column_int64(q, 3))
			buf_put(value, v.at, v.n);
		else
			found = fault(f, EX_DATAERR, "%s: %s: damaged: its checksum is another", s->path,
			    state_name(kind, key, where));
	}
	sqlite3_reset(q);
	return found;
}

struct total *
state_total(struct state *s, const char *kind, struct fault *f)
{
	for (size_t i = 0; i < s->n_total; i++)
		if (strcmp(s->total[i].kind, kind) == 0)
			return &s->total[i];
	assert(s->n_total < N_KIND && strlen(kind) <= KIND_MAX);
	sqlite3_stmt *q = state_prepare(s, SQL_TOTAL, f);
	if (!q)
		return NULL;
	struct total *t = &s->total[s->n_total];
	memset(t, 0, sizeof *t);
	strcpy(t->kind, kind);
	sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
	int rc = sqlite3_step(q);
	if (rc == SQLITE_ROW) {
		t->n_value = (uint64_t)sqlite3_column_int64(q, 0);
		t->n_observation = (uint64_t)sqlite3_column_int64(q, 1);
	}
	sqlite3_reset(q);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		state_fault(s, rc, NULL, f);
		return NULL;
	}
	s->n_total++;
	return t;
}

int
state_write_totals(struct state *s, struct fault *f)
{
	for (size_t i = 0; i < s->n_total; i++) {
		struct total *t = &s->total[i];
		if (!t->changed)
			continue;
		sqlite3_stmt *q = state_prepare(s, SQL_TOTAL_SET, f);
		if (!q)
			return -1;
		sqlite3_bind_text(q, 1, t->kind, -1, SQLITE_STATIC);
		sqlite3_bind_int64(q, 2, (sqlite3_int64)t->n_value);
		sqlite3_bind_int64(q, 3, (sqlite3_int64)t->n_observation);
		int rc = sqlite3_step(q);
		sqlite3_reset(q);
		if (rc != SQLITE_DONE)
			return state_fault(s, rc, NULL, f);
	}
	return 0;
}

static int
next_id(struct state *s, struct fault *f)
{
	if (s->last_id == 0) {
		sqlite3_stmt *q = state_prepare(s, SQL_LAST_ID, f);
		if (!q)
			return -1;
		int rc = sqlite3_step(q);
		s->last_id = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
		sqlite3_reset(q);
		if (rc != SQLITE_ROW)
			return state_fault(s, rc, NULL, f);
	}
	s->last_id++;
	return 0;
}

int
state_expect(struct state *s, const char *kind, uint64_t n_put, struct fault *f)
{
	struct total *t = state_total(s, kind, f);

	if (!t)
		return -1;
	/* A page holds some ten values: with one of eight replaced, nearly every page is written either way. */
	if (n_put <= t->n_value / 8 || t->n_value == 0 || t->anew)
		return 0;
	s->last_id = 0;
	if (next_id(s, f) < 0)
		return -1;
	t->last_old_id = --s->last_id;
	t->anew = 1;
	return 0;
}

/* Values between the last key put and this one (NULL: up to the last of all) are not in this batch. They are moved too:
   a page is free for others only when its last row has gone. */
static int
move_gap(struct state *s, struct total *t, const struct span *key, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, key ? SQL_GAP : SQL_GAP_END, f), *move;
	struct buf ids = {0};
	int rc, e = 0;

	if (!q)
		return -1;
	sqlite3_bind_text(q, 1, t->kind, -1, SQLITE_STATIC);
	state_bind_span(q, 2, buf_span(&t->done_key));
	sqlite3_bind_int64(q, 3, t->last_old_id);
	if (key)
		state_bind_span(q, 4, *key);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(q, 0);
		buf_put(&ids, &id, sizeof id);
	}
	sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		e = state_fault(s, rc, t->kind, f);
	for (size_t i = 0; e == 0 && i < ids.n; i += sizeof(int64_t)) {
		int64_t id;
		memcpy(&id, ids.at + i, sizeof id);
		if (!(move = state_prepare(s, SQL_MOVE, f)) || next_id(s, f) < 0) {
			e = -1;
			break;
		}
		sqlite3_bind_int64(move, 1, id);
		sqlite3_bind_int64(move, 2, s->last_id);
		rc = sqlite3_step(move);
		sqlite3_reset(move);
		if (rc != SQLITE_DONE)
			e = state_fault(s, rc, t->kind, f);
	}
	buf_free(&ids);
	if (key) {
		buf_clear(&t->done_key);
		buf_put(&t->done_key, key->at, key->n);
	}
	return e;
}

int
state_finish_anew(struct state *s, struct fault *f)
{
	for (size_t i = 0; i < s->n_total; i++)
		if (s->total[i].anew && move_gap(s, &s->total[i], NULL, f) < 0)
			return -1;
	return 0;
}

int
state_put(struct state *s, const char *kind, struct span key, uint64_t n, double last_time, struct span value, struct fault *f)
{
	struct total *t = state_total(s, kind, f);
	size_t n_most = (size_t)sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, -1) - ROW_EXTRA;
	char where[96];

	assert(s->in_transaction);
	/* asked here, because what is too large to bind would go in as NULL */
	if (key.n > n_most || value.n > n_most - key.n)
		return state_fault(s, SQLITE_TOOBIG, state_name(kind, key, where), f);
	int found = t ? find(s, kind, key, f) : -1;
	if (found < 0 || (t->anew && move_gap(s, t, &key, f) < 0))
		return -1;
	sqlite3_stmt *q = state_prepare(s, found ? SQL_UPDATE : SQL_INSERT, f);
	if (!q)
		return -1;
	if (found) {
		if (t->anew && next_id(s, f) < 0)
			return -1;
		sqlite3_bind_int64(q, 1, s->found_id);
		sqlite3_bind_int64(q, 2, t->anew ? s->last_id : s->found_id);
	} else {
		sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
		state_bind_span(q, 2, key);
	}
	sqlite3_bind_int64(q, 3, (sqlite3_int64)n);
	sqlite3_bind_double(q, 4, last_time);
	sqlite3_bind_int64(q, 5, state_crc(kind, key, n, last_time, value));
	state_bind_span(q, 6, value);
	int rc = sqlite3_step(q);
	sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return state_fault(s, rc, state_name(kind, key, where), f);
	if (!found && s->last_id > 0)
		s->last_id = sqlite3_last_insert_rowid(s->db);
	t->n_value += !found;
	t->n_observation += n - s->found_n;
	t->changed = 1;
	s->found_id = -1;
	return 0;
}

int
state_delete(struct state *s, const char *kind, struct span key, struct fault *f)
{
	struct total *t = state_total(s, kind, f);
	int found = t ? find(s, kind, key, f) : -1;
	sqlite3_stmt *q;
	char where[96];

	assert(s->in_transaction);
	if (found != 1)
		return found;
	if (!(q = state_prepare(s, SQL_DELETE, f)))
		return -1;
	sqlite3_bind_int64(q, 1, s->found_id);
	int rc = sqlite3_step(q);
	sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		return state_fault(s, rc, state_name(kind, key, where), f);
	t->n_value--;
	t->n_observation -= s->found_n;
	t->changed = 1;
	s->found_id = -1;
	return 1;
}

int
state_count(struct state *s, const char *kind, uint64_t *n_value, uint64_t *n_observation, struct fault *f)
{
	if (!s->in_transaction)
		s->n_total = 0;         /* another program may have written meanwhile */
	struct total *t = state_total(s, kind, f);
	if (!t)
		return -1;
	*n_value = t->n_value;
	*n_observation = t->n_observation;
	return 0;
}

/* -- walking -- */

struct state_walk {
	struct state *s;
	sqlite3_stmt *q;
	char kind[KIND_MAX + 1];
	int own_snapshot;
	uint64_t n_row, n_row_total;
	struct span key, value;
	uint64_t n;
	double time;
};

struct state_walk *
state_walk_new(struct state *s, const char *kind, struct fault *f)
{
	struct state_walk *w = xcalloc(1, sizeof *w);
	uint64_t n_observation;

	assert(strlen(kind) <= KIND_MAX);
	w->s = s;
	strcpy(w->kind, kind);
	if (sqlite3_get_autocommit(s->db)) {
		if (state_begin_read(s, f) < 0) {
			free(w);
			return NULL;
		}
		w->own_snapshot = 1;
	}
	int rc = sqlite3_prepare_v2(s->db, "SELECT key, n, t, crc, v FROM value WHERE kind=?1 ORDER BY key", -1, &w->q, NULL);
	if (rc != SQLITE_OK || state_count(s, kind, &w->n_row_total, &n_observation, f) < 0) {
		if (rc != SQLITE_OK)
			state_fault(s, rc, NULL, f);
		state_walk_free(w);
		return NULL;
	}
	sqlite3_bind_text(w->q, 1, w->kind, -1, SQLITE_STATIC);
	return w;
}

int
state_walk_next(struct state_walk *w, struct fault *f)
{
	int rc = sqlite3_step(w->q);
	char where[96];

	if (rc == SQLITE_DONE) {
		if (w->n_row == w->n_row_total)
			return 0;
		return fault(f, EX_DATAERR, "%s: damaged: %llu values of kind %s, expected %llu", w->s->path,
		    (unsigned long long)w->n_row, w->kind, (unsigned long long)w->n_row_total);
	}
	if (rc != SQLITE_ROW)           /* the key that was lent last may be gone with its page */
		return state_fault(w->s, rc, w->kind, f);
	w->key = state_column(w->q, 0);
	w->n = (uint64_t)sqlite3_column_int64(w->q, 1);
	w->time = sqlite3_column_double(w->q, 2);
	w->value = state_column(w->q, 4);
	w->n_row++;
	if (state_crc(w->kind, w->key, w->n, w->time, w->value) != (uint32_t)sqlite3_column_int64(w->q, 3))
		return fault(f, EX_DATAERR, "%s: %s: damaged: its checksum is another", w->s->path,
		    state_name(w->kind, w->key, where));
	return 1;
}

struct span
state_walk_key(const struct state_walk *w)
{
	return w->key;
}

struct span
state_walk_value(const struct state_walk *w)
{
	return w->value;
}

uint64_t
state_walk_n(const struct state_walk *w)
{
	return w->n;
}

double
state_walk_time(const struct state_walk *w)
{
	return w->time;
}

void
state_walk_free(struct state_walk *w)
{
	if (!w)
		return;
	sqlite3_finalize(w->q);
	if (w->own_snapshot)
		state_rollback(w->s);
	free(w);
}

int
state_each(struct state *s, const char *kind,
    int (*each)(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *f),
    void *arg, struct fault *f)
{
	struct state_walk *w = state_walk_new(s, kind, f);
	int got = -1;

	while (w && (got = state_walk_next(w, f)) == 1)
		if (each(arg, w->key, w->n, w->time, w->value, f) < 0) {
			got = -1;
			break;
		}
	state_walk_free(w);
	return got;
}
