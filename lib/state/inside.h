/*
 * inside.h - inside lib/state: what an open state holds, and how SQLite's results become faults
 */
#ifndef HARE_STATE_INSIDE_H
#define HARE_STATE_INSIDE_H

#include <sqlite3.h>

#include "state/state.h"

enum {
	FORMAT = 1,                     /* user_version */
	APPLICATION = 0x48415245,       /* "HARE" */
	PAGE_CHECK_BYTES = 8,           /* at the end of every page */
	KIND_MAX = 15, N_KIND = 8,
};

/* One prepared statement for each thing that is said often. */
enum sql {
	SQL_BEGIN, SQL_BEGIN_READ, SQL_COMMIT, SQL_ROLLBACK,
	SQL_META, SQL_META_SET, SQL_META_REMOVE,
	SQL_FIND, SQL_GET, SQL_INSERT, SQL_UPDATE, SQL_DELETE, SQL_LAST_ID, SQL_GAP, SQL_GAP_END, SQL_MOVE,
	SQL_TOTAL, SQL_TOTAL_SET,
	SQL_SOURCE, SQL_SOURCE_SET,
	SQL_EVENT_ADD, SQL_EVENT_FORGET, SQL_LINEAGE_ADD,
	N_SQL,
};

struct total {
	char kind[KIND_MAX + 1];
	uint64_t n_value, n_observation;
	int changed;
	int anew;                       /* all of the kind is written again, behind all others, in the order of keys */
	int64_t last_old_id;            /* anew: what has a higher id was written in this transaction */
	struct buf done_key;            /* anew: up to and with this key all is moved */
};

struct state {
	sqlite3 *db;
	char *path;
	enum state_mode mode;
	int in_transaction;             /* a writing one */
	int is_wal;
	sqlite3_stmt *statement[N_SQL];
	struct buf meta;                /* lent by state_meta() */
	struct total total[N_KIND];     /* of this transaction */
	size_t n_total;
	int64_t last_id;                /* of table value; 0: not looked up in this transaction */
	/* the last value looked up in this transaction, so that a put that follows need not look again */
	struct buf found_key;
	char found_kind[KIND_MAX + 1];
	int64_t found_id;               /* 0: not there; -1: nothing looked up */
	uint64_t found_n;
	uint32_t bad_page;              /* that the page check refused, 0: none */
	const char *shown;              /* path for messages while the file has a temporary name, or NULL */
};

/* Says what rc means; what: where it happened ("user ann"), may be NULL. Returns -1. */
int state_fault(struct state *s, int rc, const char *what, struct fault *f);
/* "user ann" for messages. */
const char *state_name(const char *kind, struct span key, char out[96]);
int state_exec(struct state *s, const char *sql, struct fault *f);
/* The statement, reset and without bindings; NULL with *f set. */
sqlite3_stmt *state_prepare(struct state *s, enum sql which, struct fault *f);
int state_bind_span(sqlite3_stmt *q, int i, struct span v);
struct span state_column(sqlite3_stmt *q, int i);
/* Kinds, keys and values that are read back wrong: EX_DATAERR naming them. */
uint32_t state_crc(const char *kind, struct span key, uint64_t n, double time, struct span value);
uint32_t state_text_crc(const char *table, struct span key, struct span value);

/* The total of a kind in this transaction; NULL with *f set. */
struct total *state_total(struct state *s, const char *kind, struct fault *f);
int state_write_totals(struct state *s, struct fault *f);
int state_finish_anew(struct state *s, struct fault *f);
void state_forget_lookups(struct state *s);

/* vfs.c: registers the page check under its name once; where the number of a refused page goes. */
const char *state_vfs(void);
void state_vfs_watch(sqlite3 *db, uint32_t *bad_page);
int state_vfs_errno(void);              /* of the last file operation that failed in this thread; asked for once */

/* create.c: bytes of a page of a new state, 0 if the environment asks for what cannot be. */
uint64_t state_page_bytes(void);
/* A whole, empty state under this name, or nothing; 0 also if another made it meanwhile. */
int state_create(const char *path, struct fault *f);
/* Refuses, with reasons, what is not a state of ours before SQLite sees it. */
int state_doubt(const char *path, struct fault *f);
/* The folder in which the file lies, or would: of a symbolic link, that of what it leads to. The caller frees it. */
char *state_folder(const char *path);
int state_on_network(const char *path, const char **kind);
int state_sync_folder(const char *path, struct fault *f);

#endif
