/*
 * state.h - the state file: values under names, committed whole or not at all, each with its checksum. The only
 *           caller of SQLite. hare-state(5) has the tables.
 *
 * What the values mean is not known here. A value is read back exactly or not at all: CRC-32C over table, key and
 * bytes; counts of rows and of observations are kept in the same transactions, so that a lost row is noticed.
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
/* Checkpoints: afterwards the state is one file that cp copies. 0, or -1 with *f set. NULL is allowed. */
int state_close(struct state *s, struct fault *f);

/* Every call below returns 0, or -1 with *f set; "found" calls return 1, 0 or -1. Writing calls need a transaction.
   begin takes the writer's lock (waits up to 30 s, then EX_TEMPFAIL). A read outside of a transaction sees the last
   commit; state_begin_read() ... state_rollback() gives one snapshot to many reads. */
int state_begin(struct state *s, struct fault *f);
int state_begin_read(struct state *s, struct fault *f);
int state_commit(struct state *s, struct fault *f);
void state_rollback(struct state *s);

/* Settings: short texts ("dim", "space", "lambda", ...). value is NULL-able: removes. Borrowed until the next call. */
int state_meta(struct state *s, const char *key, const char **value, struct fault *f);          /* found */
int state_set_meta(struct state *s, const char *key, const char *value, struct fault *f);

/* Values: kind is "user", "cluster", "arm", ...; key any bytes. n is the number of observations in the value. */
int state_get(struct state *s, const char *kind, struct span key, struct buf *value, struct fault *f);  /* found */
int state_put(struct state *s, const char *kind, struct span key, uint64_t n, double last_time, struct span value, struct fault *f);
int state_delete(struct state *s, const char *kind, struct span key, struct fault *f);          /* found */
/* Values of a kind in the order of their keys' bytes. each() returns 0 to go on, -1 with *f set to stop. */
int state_each(struct state *s, const char *kind,
    int (*each)(void *arg, struct span key, uint64_t n, double last_time, struct span value, struct fault *f),
    void *arg, struct fault *f);
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

/* Whole files: lineage for merging, removal without trace, copies of a live file, checks. */
int state_merge_lineage(struct state *out, struct state *part, struct fault *f);
int state_scrub(struct state *s, struct fault *f);              /* vacuum: nothing deleted can be read back */
int state_backup(struct state *s, const char *path, struct fault *f);
int state_check(struct state *s, struct fault *f);              /* every value, every total, SQLite's own check */

#endif
