/*
 * state.h - the state file: values under names, committed whole or not at all, each with its checksum. The only
 *           caller of SQLite. hare-state(5) has the tables.
 *
 * What the values mean is not known here. A value is read back exactly or not at all: CRC-32C over table, key and
 * bytes; counts of rows and of observations are kept in the same transactions, so that a lost row is noticed. Every
 * page of the file carries a checksum over its number and content too, so that "not there" can be believed as well.
 *
 * environment   HARE_STATE_WAIT_S    seconds to wait for another writer (30)
 *               HARE_STATE_JOURNAL   "delete": a rollback journal instead of the write-ahead log, for network file
 *                                    systems, where the log is refused
 *               HARE_STATE_PAGE      bytes of a page of a new state: 4096 ... 65536, a power of two (32768)
 *                                    another value of these is EX_USAGE; an empty one is none
 */
#ifndef HARE_STATE_STATE_H
#define HARE_STATE_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

enum state_mode { STATE_READ, STATE_WRITE, STATE_CREATE };      /* CREATE: WRITE, made (mode 0600) if it is not there */

struct state;
/* NULL with *f set: EX_NOINPUT, EX_NOPERM, EX_DATAERR (no state file, damaged, newer: "written by a newer version of
   hare"), EX_TEMPFAIL (busy for 30 s, or full), EX_IOERR. */
struct state *state_open(const char *path, enum state_mode mode, struct fault *f);
const char *state_path(const struct state *s);
/* Memory for pages, 4 MB until told. More makes large transactions faster. */
void state_cache(struct state *s, size_t size_bytes);
/* Checkpoints: afterwards the state is one file that cp copies. 0, or -1 with *f set. NULL is allowed. */
int state_close(struct state *s, struct fault *f);

/* Every call below returns 0, or -1 with *f set; "found" calls return 1, 0 or -1. Writing calls need a transaction.
   begin takes the writer's lock (waits up to 30 s, then EX_TEMPFAIL). A read outside of a transaction sees the last
   commit; state_begin_read() ... state_rollback() gives one snapshot to many reads. */
int state_begin(struct state *s, struct fault *f);
int state_begin_read(struct state *s, struct fault *f);
int state_commit(struct state *s, struct fault *f);
void state_rollback(struct state *s);

/* Rows of "source", "applied" and "merged" are seen through these, in the order of their names; v is what a dump keeps. */
enum state_ledger { STATE_SOURCES, STATE_EVENTS, STATE_LINEAGE };

/* Settings: short texts ("dim", "space", "lambda", ...). value is NULL-able: removes. Borrowed until the next call. */
int state_meta(struct state *s, const char *key, const char **value, struct fault *f);          /* found */
int state_set_meta(struct state *s, const char *key, const char *value, struct fault *f);
/* The id of this state, made with it, and the number of its commits. */
int state_identity(struct state *s, char uuid[33], uint64_t *generation, struct fault *f);
int state_set_identity(struct state *s, const char uuid[33], uint64_t generation, struct fault *f);    /* for load */

/* Values: kind is "user", "cluster", "arm", ...; key any bytes. n is the number of observations in the value. Key and
   value together are below 10^9 bytes: EX_DATAERR. */
int state_get(struct state *s, const char *kind, struct span key, struct buf *value, struct fault *f);  /* found */
int state_put(struct state *s, const char *kind, struct span key, uint64_t n, double last_time, struct span value, struct fault *f);
int state_delete(struct state *s, const char *kind, struct span key, struct fault *f);          /* found */
/* Values of a kind in the order of their keys' bytes. each() returns 0 to go on, -1 with *f set to stop. */
int state_each(struct state *s, const char *kind,
    int (*each)(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *f),
    void *arg, struct fault *f);
/* The same, pulled: for merging several states. The walk lends what next() gives until its next call; it holds a
   snapshot, so end it before the state is closed. At its end the rows seen are compared with the total. */
struct state_walk;
struct state_walk *state_walk_new(struct state *s, const char *kind, struct fault *f);
int state_walk_next(struct state_walk *w, struct fault *f);             /* 1, 0 at the end, -1 */
struct span state_walk_key(const struct state_walk *w);
struct span state_walk_value(const struct state_walk *w);
uint64_t state_walk_n(const struct state_walk *w);
double state_walk_time(const struct state_walk *w);
void state_walk_free(struct state_walk *w);                             /* NULL is allowed */
/* Before many puts of one transaction, in the order of their keys: where they replace more than an eighth of a kind,
   all of it is written anew, one value behind the other, which leaves pages full instead of split. */
int state_expect(struct state *s, const char *kind, uint64_t n_put, struct fault *f);
int state_count(struct state *s, const char *kind, uint64_t *n_value, uint64_t *n_observation, struct fault *f);

/* Where a named input has been read to. fingerprint: of its bytes, so that a file changed under its name is noticed. */
struct state_source {
	uint64_t offset, n_row, n_line;
	uint64_t fingerprint;
	double time;
};
int state_source(struct state *s, const char *name, struct state_source *at, struct fault *f);  /* found */
int state_set_source(struct state *s, const char *name, const struct state_source *at, struct fault *f);

/* Single events by id: 1 if it was applied before, 0 if it is new and is now marked. */
int state_apply_once(struct state *s, struct span event, struct span user, double time, struct fault *f);

/* Forgets the events of a user; returns 0 or -1. */
int state_forget_events(struct state *s, struct span user, struct fault *f);
/* each() gets, for a source: name, its numbers (state_source as bytes); an event: id, user; lineage: uuid, u64 generation. */
int state_each_ledger(struct state *s, enum state_ledger which,
    int (*each)(void *arg, struct span key, struct span v, double time, struct fault *f), void *arg, struct fault *f);
int state_add_lineage(struct state *s, const char *uuid, uint64_t generation, struct fault *f);        /* for load */

/* Whole files: removal without trace, copies of a live file, checks. */
int state_scrub(struct state *s, struct fault *f);              /* vacuum: nothing deleted can be read back */
int state_backup(struct state *s, const char *path, struct fault *f);   /* path must not be there; made whole or not at all */
/* For states that are made under another name until they are whole: path, which must not be there, beside it. */
/* A signal that ends the program removes the file first. state_temporary_free() removes what is left of it, its log
   included; NULL is allowed. */
char *state_temporary(const char *path);
void state_temporary_free(char *temporary);
int state_publish(const char *temporary, const char *path, struct fault *f);    /* of a closed state; the temporary is gone either way */
/* Every page, every value's checksum, every total, SQLite's own check. say() gets a line for each thing found wrong
   and may be NULL; -1 with *f set to the first. */
int state_check(struct state *s, void (*say)(void *arg, const char *line), void *arg, struct fault *f);

#endif
