#include "state/state.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/num.h"
#include "state/inside.h"

static const char *const sql_text[N_SQL] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_BEGIN_READ] = "BEGIN",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_META] = "SELECT v, crc FROM meta WHERE k=?1",
	[SQL_META_SET] = "INSERT OR REPLACE INTO meta(k, v, crc) VALUES(?1, ?2, ?3)",
	[SQL_META_REMOVE] = "DELETE FROM meta WHERE k=?1",
	[SQL_FIND] = "SELECT id, n FROM value WHERE kind=?1 AND key=?2",
	[SQL_GET] = "SELECT id, n, t, crc, v FROM value WHERE kind=?1 AND key=?2",
	[SQL_INSERT] = "INSERT INTO value(kind, key, n, t, crc, v) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_UPDATE] = "UPDATE value SET id=?2, n=?3, t=?4, crc=?5, v=?6 WHERE id=?1",
	[SQL_DELETE] = "DELETE FROM value WHERE id=?1",
	[SQL_LAST_ID] = "SELECT max(id) FROM value",
	[SQL_GAP] = "SELECT id FROM value WHERE kind=?1 AND key>=?2 AND id<=?3 AND key<?4 ORDER BY key",
	[SQL_GAP_END] = "SELECT id FROM value WHERE kind=?1 AND key>=?2 AND id<=?3 ORDER BY key",
	[SQL_MOVE] = "UPDATE value SET id=?2 WHERE id=?1",
	[SQL_TOTAL] = "SELECT n_value, n_observation FROM total WHERE kind=?1",
	[SQL_TOTAL_SET] = "INSERT OR REPLACE INTO total(kind, n_value, n_observation) VALUES(?1, ?2, ?3)",
	[SQL_SOURCE] = "SELECT v, crc FROM source WHERE name=?1",
	[SQL_SOURCE_SET] = "INSERT OR REPLACE INTO source(name, v, crc) VALUES(?1, ?2, ?3)",
	[SQL_EVENT_ADD] = "INSERT OR IGNORE INTO applied(event, user, t) VALUES(?1, ?2, ?3)",
	[SQL_EVENT_FORGET] = "DELETE FROM applied WHERE user=?1",
	[SQL_LINEAGE_ADD] = "INSERT OR REPLACE INTO merged(uuid, generation, t) VALUES(?1, ?2, ?3)",
};

static double
wait_s(void)
{
	const char *text = getenv("HARE_STATE_WAIT_S");
	double s;

	return text && num_read_f64(text, strlen(text), &s) == 0 && s >= 0 && s <= 1e6 ? s : 30;
}

/* A wrong value is told, not passed over: the log where a rollback journal was meant can cost the state. */
static int
check_environment(struct fault *f)
{
	static const char *const names[] = { "HARE_STATE_WAIT_S", "HARE_STATE_JOURNAL", "HARE_STATE_PAGE" };
	static const char *const wanted[] = { "0 to 1000000 seconds", "delete", "a power of two from 4096 to 65536" };
	double s;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *text = getenv(names[i]);
		if (!text || !*text)
			continue;
		int right = i == 0 ? num_read_f64(text, strlen(text), &s) == 0 && s >= 0 && s <= 1e6
		    : i == 1 ? strcmp(text, "delete") == 0 : state_page_bytes() != 0;
		if (!right)
			return fault(f, EX_USAGE, "%s: expected %s, got %s", names[i], wanted[i], fault_quote(text, strlen(text)));
	}
	return 0;
}

int
state_fault(struct state *s, int rc, const char *what, struct fault *f)
{
	int e = state_vfs_errno();
	const char *path = s->shown ? s->shown : s->path;
	const char *colon = what ? ": " : "";

	what = what ? what : "";
	if (e == 0 && s->db)
		e = sqlite3_system_errno(s->db);
	switch (rc & 0xFF) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:           /* of taking locks in the log: too many came at once */
		return fault(f, EX_TEMPFAIL, "%s%s%s: busy: another program kept it locked for %g s; try again", path, colon,
		    what, wait_s());
	case SQLITE_FULL:
		return fault(f, EX_TEMPFAIL, "%s%s%s: no space left; nothing was lost, run the same command again", path,
		    colon, what);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return fault(f, EX_DATAERR, "%s%s%s: damaged: %s", path, colon, what, s->db ? sqlite3_errmsg(s->db) : "");
	case SQLITE_IOERR:
		if (rc == SQLITE_IOERR_DATA)
			return fault(f, EX_DATAERR, "%s%s%s: page %u is damaged", path, colon, what, s->bad_page);
		if (e == ENOSPC || e == EDQUOT || e == EFBIG || rc == SQLITE_IOERR_SHMSIZE)
			return fault(f, EX_TEMPFAIL, "%s%s%s: %s; nothing was lost, run the same command again", path,
			    colon, what, strerror(e ? e : ENOSPC));
		return fault(f, EX_IOERR, "%s%s%s: %s", path, colon, what, e ? strerror(e) : sqlite3_errstr(rc));
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return fault(f, EX_NOPERM, "%s%s%s: may not be written", path, colon, what);
	case SQLITE_CANTOPEN:
		errno = e;
		if (e)
			return fault_errno(f, path, "cannot be opened");
		return fault(f, EX_NOPERM, "%s%s%s: cannot be opened", path, colon, what);
	case SQLITE_TOOBIG:
		return fault(f, EX_DATAERR, "%s%s%s: is larger than a value of a state can be", path, colon, what);
	case SQLITE_NOMEM:
		return fault(f, EX_OSERR, "%s: out of memory", s->path);
	default:
		/* a table or column that is not there, a broken constraint: not as we made it */
		return fault(f, EX_DATAERR, "%s%s%s: damaged: %s", path, colon, what,
		    s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
	}
}

int
state_exec(struct state *s, const char *sql, struct fault *f)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : state_fault(s, rc, NULL, f);
}

sqlite3_stmt *
state_prepare(struct state *s, enum sql which, struct fault *f)
{
	sqlite3_stmt **q = &s->statement[which];

	if (!*q) {
		int rc = sqlite3_prepare_v3(s->db, sql_text[which], -1, SQLITE_PREPARE_PERSISTENT, q, NULL);
		if (rc != SQLITE_OK) {
			state_fault(s, rc, NULL, f);
			return NULL;
		}
	}
	/* what was bound last may be memory that is gone */
	sqlite3_clear_bindings(*q);
	return *q;
}

/* Runs a statement without rows to its end and makes it ready again. */
static int
run(struct state *s, sqlite3_stmt *q, struct fault *f)
{
	int rc = sqlite3_step(q);

	sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : state_fault(s, rc, NULL, f);
}

int
state_bind_span(sqlite3_stmt *q, int i, struct span v)
{
	/* a NULL pointer would bind NULL, not no bytes */
	return sqlite3_bind_blob64(q, i, v.n ? v.at : "", v.n, SQLITE_STATIC);
}

struct span
state_column(sqlite3_stmt *q, int i)
{
	const void *at = sqlite3_column_blob(q, i);

	return (struct span){ at, (size_t)sqlite3_column_bytes(q, i) };
}

/* -- opening -- */

/* "file:" and the path with all that a URI would read otherwise in hexadecimal */
static void
put_uri(struct buf *b, const char *path)
{
	/* "//" begins a host's name: an empty one in front of a path from the root, which may itself begin with two */
	buf_puts(b, *path == '/' ? "file://" : "file:");
	for (; *path; path++) {
		if (strchr("%?#", *path))
			buf_printf(b, "%%%02X", (unsigned char)*path);
		else
			buf_putc(b, *path);
	}
	buf_puts(b, "?immutable=1");
}

static int
log_has_bytes(const char *path)
{
	struct buf name = {0};
	struct stat st;
	char *target = realpath(path, NULL);    /* SQLite keeps the log beside the file, not beside a link to it */

	buf_puts(&name, target ? target : path);
	buf_puts(&name, "-wal");
	int yes = stat(buf_string(&name), &st) == 0 && st.st_size > 0;
	buf_free(&name);
	free(target);
	return yes;
}

static int
connect(struct state *s, const char *name, int flags)
{
	int rc = sqlite3_open_v2(name, &s->db, flags, state_vfs());

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, (int)(1000 * wait_s()));
	state_vfs_watch(s->db, &s->bad_page);
	rc = sqlite3_exec(s->db, "PRAGMA mmap_size=0; PRAGMA synchronous=FULL; PRAGMA cache_size=-4096;"
	    "PRAGMA secure_delete=FAST; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON", NULL, NULL, NULL);
	if (rc == SQLITE_OK && s->mode == STATE_READ)
		rc = sqlite3_exec(s->db, "PRAGMA query_only=ON", NULL, NULL, NULL);
	/* the first read: finishes what a killed writer left in the log */
	return rc == SQLITE_OK ? sqlite3_exec(s->db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL) : rc;
}

static int
connect_any(struct state *s, const char *path, struct fault *f)
{
	char *folder = state_folder(path);
	int may_write = access(path, W_OK) == 0 && access(folder, W_OK) == 0, rc;

	free(folder);
	rc = connect(s, path, s->mode != STATE_READ || may_write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
	if (rc == SQLITE_OK)
		return 0;
	/* Where no log may be made beside it, or there is no room for one, the file can still be read as it is, if all is
	   in it. */
	int no_room = rc == SQLITE_IOERR_SHMSIZE || rc == SQLITE_FULL;
	int not_allowed = !may_write && ((rc & 0xFF) == SQLITE_CANTOPEN || (rc & 0xFF) == SQLITE_READONLY);
	if (s->mode != STATE_READ || !(no_room || not_allowed) || (no_room && log_has_bytes(path)))
		return state_fault(s, rc, NULL, f);
	if (log_has_bytes(path))
		return fault(f, EX_NOPERM, "%s: a writer left its log, which may not be worked in here; read it once where "
		    "its folder may be written", path);
	struct buf uri = {0};
	put_uri(&uri, path);
	sqlite3_close(s->db);
	s->db = NULL;
	rc = connect(s, buf_string(&uri), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
	buf_free(&uri);
	return rc == SQLITE_OK ? 0 : state_fault(s, rc, NULL, f);
}

static int
read_pragma(struct state *s, const char *sql, char *out, size_t n_out, struct fault *f)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(q);
	out[0] = '\0';
	if (rc == SQLITE_ROW)
		sqlite3_snprintf((int)n_out, out, "%s", sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : state_fault(s, rc, NULL, f);
}

static int
set_journal(struct state *s, struct fault *f)
{
	const char *journal = getenv("HARE_STATE_JOURNAL"), *network;
	char now[32];
	int rollback = journal && strcmp(journal, "delete") == 0;

	if (read_pragma(s, "PRAGMA journal_mode", now, sizeof now, f) < 0)
		return -1;
	s->is_wal = strcmp(now, "wal") == 0;
	if (s->mode == STATE_READ)
		return 0;
	if (!rollback && state_on_network(s->path, &network))
		return fault(f, EX_IOERR, "%s: lies on a network file system (%s), where its log is not safe; "
		    "HARE_STATE_JOURNAL=delete in the environment uses a rollback journal instead", s->path, network);
	if (s->is_wal == !rollback)
		return 0;
	if (read_pragma(s, rollback ? "PRAGMA journal_mode=DELETE" : "PRAGMA journal_mode=WAL", now, sizeof now, f) < 0)
		return -1;
	s->is_wal = strcmp(now, "wal") == 0;
	return s->is_wal == !rollback ? 0 : fault(f, EX_TEMPFAIL, "%s: busy: its journal cannot be changed now", s->path);
}

/* the log is copied back at every 8 MB */
static int
set_checkpoint(struct state *s, struct fault *f)
{
	char text[32];
	double bytes;

	if (read_pragma(s, "PRAGMA page_size", text, sizeof text, f) < 0)
		return -1;
	if (num_read_f64(text, strlen(text), &bytes) == 0 && bytes >= 512)
		sqlite3_wal_autocheckpoint(s->db, (int)(8388608 / bytes));
	return 0;
}

struct state *
state_open(const char *path, enum state_mode mode, struct fault *f)
{
	struct state *s = xcalloc(1, sizeof *s);
	char version[32];
	double v;

	s->mode = mode;
	s->found_id = -1;
	s->path = xstrdup(path);
	if (check_environment(f) < 0)
		goto failed;
	if (mode == STATE_CREATE && access(path, F_OK) < 0 && errno == ENOENT) {
		const char *network, *journal = getenv("HARE_STATE_JOURNAL");
		if (!(journal && strcmp(journal, "delete") == 0) && state_on_network(path, &network)) {
			fault(f, EX_IOERR, "%s: would lie on a network file system (%s), where its log is not safe; "
			    "HARE_STATE_JOURNAL=delete in the environment uses a rollback journal instead", path, network);
			goto failed;
		}
		if (state_create(path, f) < 0)
			goto failed;
	}
	if (state_doubt(path, f) < 0 || connect_any(s, path, f) < 0)
		goto failed;
	/* the log may hold a newer first page than the file */
	if (read_pragma(s, "PRAGMA user_version", version, sizeof version, f) < 0)
		goto failed;
	if (num_read_f64(version, strlen(version), &v) < 0 || v != FORMAT) {
		fault(f, EX_DATAERR, "%s: format %s was written by a newer version of hare (this one knows %d)", path, version,
		    FORMAT);
		goto failed;
	}
	if (set_journal(s, f) < 0 || set_checkpoint(s, f) < 0)
		goto failed;
	return s;
failed:
	s->mode = STATE_READ;           /* nothing to write back */
	state_close(s, &(struct fault){0});
	return NULL;
}

const char *
state_path(const struct state *s)
{
	return s->path;
}

void
state_cache(struct state *s, size_t size_bytes)
{
	char text[64];

	sqlite3_snprintf(sizeof text, text, "PRAGMA cache_size=-%llu", (unsigned long long)(size_bytes / 1024));
	sqlite3_exec(s->db, text, NULL, NULL, NULL);
}

int
state_close(struct state *s, struct fault *f)
{
	int e = 0;

	if (!s)
		return 0;
	if (s->db && !sqlite3_get_autocommit(s->db))
		state_rollback(s);
	for (int i = 0; i < N_SQL; i++)
		sqlite3_finalize(s->statement[i]);
	if (s->db && s->mode != STATE_READ && s->is_wal) {
		/* Asked for by name since close would keep a failure to itself. Others who still read or write put it off:
		   the last of all copies the log back. */
		sqlite3_busy_timeout(s->db, 1000);
		int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		if (rc != SQLITE_OK && (rc & 0xFF) != SQLITE_BUSY && (rc & 0xFF) != SQLITE_LOCKED)
			e = state_fault(s, rc, "copying the log back", f);
	}
	sqlite3_close(s->db);
	state_forget_lookups(s);
	buf_free(&s->meta);
	buf_free(&s->found_key);
	free(s->path);
	free(s);
	return e;
}

/* -- transactions -- */

void
state_forget_lookups(struct state *s)
{
	for (size_t i = 0; i < s->n_total; i++)
		buf_free(&s->total[i].done_key);
	s->found_id = -1;
	s->last_id = 0;
	s->n_total = 0;
}

int
state_begin(struct state *s, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, SQL_BEGIN, f);

	if (!q || run(s, q, f) < 0)
		return -1;
	state_forget_lookups(s);
	s->in_transaction = 1;
	return 0;
}

int
state_begin_read(struct state *s, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, SQL_BEGIN_READ, f);

	return q ? run(s, q, f) : -1;
}

int
state_commit(struct state *s, struct fault *f)
{
	char uuid[33];
	uint64_t generation;
	sqlite3_stmt *q;

	if (state_finish_anew(s, f) == 0 && state_write_totals(s, f) == 0 && state_identity(s, uuid, &generation, f) == 0 &&
	    state_set_identity(s, uuid, generation + 1, f) == 0 && (q = state_prepare(s, SQL_COMMIT, f)) != NULL &&
	    run(s, q, f) == 0) {
		state_forget_lookups(s);
		s->in_transaction = 0;
		return 0;
	}
	state_rollback(s);
	return -1;
}

void
state_rollback(struct state *s)
{
	struct fault f;

	/* an error may have rolled back already */
	if (!sqlite3_get_autocommit(s->db)) {
		sqlite3_stmt *q = state_prepare(s, SQL_ROLLBACK, &f);
		if (q) {
			sqlite3_step(q);
			sqlite3_reset(q);
		}
	}
	state_forget_lookups(s);
	s->in_transaction = 0;
}

/* -- settings, sources, events, lineage -- */

uint32_t
state_text_crc(const char *table, struct span key, struct span value)
{
	uint64_t n = key.n;
	uint32_t crc = crc32c(0, table, strlen(table) + 1);

	crc = crc32c(crc, &n, sizeof n);
	crc = crc32c(crc, key.at, key.n);
	return crc32c(crc, value.at, value.n);
}

static struct span
span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

/* The row of a small table, its bytes put behind s->meta; 1, 0, -1. */
static int
small_get(struct state *s, enum sql which, const char *table, struct span key, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, which, f);
	char where[96];

	if (!q)
		return -1;
	if (which == SQL_META)
		sqlite3_bind_text64(q, 1, key.at, key.n, SQLITE_STATIC, SQLITE_UTF8);
	else
		state_bind_span(q, 1, key);
	int rc = sqlite3_step(q), found = rc == SQLITE_ROW;
	buf_clear(&s->meta);
	if (found) {
		struct span v = state_column(q, 0);
		if ((uint32_t)sqlite3_column_int64(q, 1) == state_text_crc(table, key, v))
			buf_put(&s->meta, v.at, v.n);
		else
			found = fault(f, EX_DATAERR, "%s: %s: damaged: its checksum is another", s->path,
			    state_name(table, key, where));
	} else if (rc != SQLITE_DONE) {
		found = state_fault(s, rc, state_name(table, key, where), f);
	}
	sqlite3_reset(q);
	return found;
}

int
state_meta(struct state *s, const char *key, const char **value, struct fault *f)
{
	int found = small_get(s, SQL_META, "meta", span_of(key), f);

	*value = found == 1 ? buf_string(&s->meta) : NULL;
	return found;
}

int
state_set_meta(struct state *s, const char *key, const char *value, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, value ? SQL_META_SET : SQL_META_REMOVE, f);

	if (!q)
		return -1;
	sqlite3_bind_text(q, 1, key, -1, SQLITE_STATIC);
	if (value) {
		sqlite3_bind_text(q, 2, value, -1, SQLITE_STATIC);
		sqlite3_bind_int64(q, 3, state_text_crc("meta", span_of(key), span_of(value)));
	}
	return run(s, q, f);
}

int
state_identity(struct state *s, char uuid[33], uint64_t *generation, struct fault *f)
{
	const char *v;
	int found = state_meta(s, "uuid", &v, f);

	if (found == 1 && strlen(v) == 32) {
		memcpy(uuid, v, 33);
		found = state_meta(s, "generation", &v, f);
		if (found == 1 && num_read_u64(v, strlen(v), generation) == 0)
			return 0;
	}
	return found < 0 ? -1 : fault(f, EX_DATAERR, "%s: damaged: it has no identity", s->path);
}

int
state_set_identity(struct state *s, const char uuid[33], uint64_t generation, struct fault *f)
{
	char text[32];

	sqlite3_snprintf(sizeof text, text, "%llu", (unsigned long long)generation);
	return state_set_meta(s, "uuid", uuid, f) < 0 ? -1 : state_set_meta(s, "generation", text, f);
}

int
state_source(struct state *s, const char *name, struct state_source *at, struct fault *f)
{
	int found = small_get(s, SQL_SOURCE, "source", span_of(name), f);

	if (found != 1)
		return found;
	if (s->meta.n != sizeof *at)
		return fault(f, EX_DATAERR, "%s: source %s: damaged", s->path, fault_quote(name, strlen(name)));
	memcpy(at, s->meta.at, sizeof *at);
	return 1;
}

int
state_set_source(struct state *s, const char *name, const struct state_source *at, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, SQL_SOURCE_SET, f);
	struct span v = { (const char *)at, sizeof *at };

	if (!q)
		return -1;
	state_bind_span(q, 1, span_of(name));
	state_bind_span(q, 2, v);
	sqlite3_bind_int64(q, 3, state_text_crc("source", span_of(name), v));
	return run(s, q, f);
}

int
state_apply_once(struct state *s, struct span event, struct span user, double time, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, SQL_EVENT_ADD, f);

	if (!q)
		return -1;
	state_bind_span(q, 1, event);
	state_bind_span(q, 2, user);
	sqlite3_bind_double(q, 3, time);
	return run(s, q, f) < 0 ? -1 : sqlite3_changes(s->db) == 0;
}

int
state_forget_events(struct state *s, struct span user, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, SQL_EVENT_FORGET, f);

	if (!q)
		return -1;
	state_bind_span(q, 1, user);
	return run(s, q, f);
}

int
state_add_lineage(struct state *s, const char *uuid, uint64_t generation, struct fault *f)
{
	sqlite3_stmt *q = state_prepare(s, SQL_LINEAGE_ADD, f);

	if (!q)
		return -1;
	sqlite3_bind_text(q, 1, uuid, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 2, (sqlite3_int64)generation);
	sqlite3_bind_double(q, 3, 0);
	return run(s, q, f);
}

int
state_each_ledger(struct state *s, enum state_ledger which,
    int (*each)(void *arg, struct span key, struct span v, double time, struct fault *f), void *arg, struct fault *f)
{
	static const char *const sql[] = {
		[STATE_SOURCES] = "SELECT name, v, crc FROM source ORDER BY name",
		[STATE_EVENTS] = "SELECT event, user, t FROM applied ORDER BY event",
		[STATE_LINEAGE] = "SELECT uuid, generation, t FROM merged ORDER BY uuid",
	};
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql[which], -1, &q, NULL), e = 0;
	char where[96];

	while (rc == SQLITE_OK && e == 0 && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		struct span key = state_column(q, 0), v = state_column(q, 1);
		uint64_t generation = (uint64_t)sqlite3_column_int64(q, 1);
		if (which == STATE_LINEAGE)
			v = (struct span){ (const char *)&generation, sizeof generation };
		if (which == STATE_SOURCES && (uint32_t)sqlite3_column_int64(q, 2) != state_text_crc("source", key, v))
			e = fault(f, EX_DATAERR, "%s: %s: damaged: its checksum is another", s->path,
			    state_name("source", key, where));
		else
			e = each(arg, key, v, which == STATE_SOURCES ? 0 : sqlite3_column_double(q, 2), f);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(q);
	if (e == 0 && rc != SQLITE_DONE)
		e = state_fault(s, rc, NULL, f);
	return e;
}
