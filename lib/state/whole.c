/*
 * whole.c - what is done with a state as a whole: scrub, copy, check
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/file.h"
#include "state/inside.h"

int
state_scrub(struct state *s, struct fault *f)
{
	/* Every page is written anew and the rest of the file cut off; then the log, which saw old and new, goes. */
	if (state_exec(s, "PRAGMA secure_delete=ON", f) < 0 || state_exec(s, "VACUUM", f) < 0)
		return -1;
	state_forget_lookups(s);
	if (!s->is_wal)
		return 0;
	int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return rc == SQLITE_OK ? 0 : state_fault(s, rc, "emptying the log", f);
}

/* The name of a temporary, and behind it those of the files that SQLite puts beside it. */
static const char *const beside[] = { "", "-wal", "-shm", "-journal" };
enum { N_BESIDE = sizeof beside / sizeof beside[0] };

char *
state_temporary(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n_folder = slash ? (size_t)(slash + 1 - path) : 0;
	struct buf name = {0};
	uint32_t turn;

	if (getrandom(&turn, sizeof turn, 0) != sizeof turn)
		turn = (uint32_t)getpid();
	for (size_t i = 0; i < N_BESIDE; i++) {
		buf_put(&name, path, n_folder);
		buf_printf(&name, ".%s.%d.%08x.tmp%s", path + n_folder, (int)getpid(), turn, beside[i]);
		buf_put(&name, "", 1);
	}
	char *at = name.at;
	for (size_t i = 0; i < N_BESIDE; i++, at += strlen(at) + 1)
		file_remember(at);
	return name.at;
}

void
state_temporary_free(char *temporary)
{
	char *at = temporary;

	for (size_t i = 0; temporary && i < N_BESIDE; i++, at += strlen(at) + 1) {
		unlink(at);
		file_forget(at);
	}
	free(temporary);
}

int
state_publish(const char *temporary, const char *path, struct fault *f)
{
	int fd = open(temporary, O_RDONLY | O_CLOEXEC), e = 0;

	if (fd < 0 || fsync(fd) < 0)
		e = fault_errno(f, path, "cannot be synced");
	if (fd >= 0)
		close(fd);
	/* link(2) replaces nothing; where a file system has no links, a race with another maker is lost */
	if (e == 0 && link(temporary, path) < 0) {
		if (errno == EEXIST || access(path, F_OK) == 0)
			e = fault(f, EX_DATAERR, "%s: is there already", path);
		else if ((errno != EPERM && errno != ENOTSUP && errno != ENOSYS) || rename(temporary, path) < 0)
			e = fault_errno(f, path, "cannot be made");
	}
	unlink(temporary);
	return e < 0 ? -1 : state_sync_folder(path, f);
}

int
state_backup(struct state *s, const char *path, struct fault *f)
{
	char *temporary = state_temporary(path);
	sqlite3_stmt *q = NULL;
	int e = 0;

	if (access(path, F_OK) == 0) {
		state_temporary_free(temporary);
		return fault(f, EX_DATAERR, "%s: is there already", path);
	}
	/* VACUUM INTO takes an empty file: made here, so that nobody else may read it */
	int fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		e = fault_errno(f, path, "cannot be made");
	} else {
		close(fd);
		/* it writes, though not here */
		sqlite3_exec(s->db, "PRAGMA query_only=OFF", NULL, NULL, NULL);
		int rc = sqlite3_prepare_v2(s->db, "VACUUM INTO ?1", -1, &q, NULL);
		if (rc == SQLITE_OK) {
			sqlite3_bind_text(q, 1, temporary, -1, SQLITE_STATIC);
			rc = sqlite3_step(q);
		}
		if (rc != SQLITE_DONE)
			e = state_fault(s, rc, path, f);
		sqlite3_finalize(q);
		if (s->mode == STATE_READ)
			sqlite3_exec(s->db, "PRAGMA query_only=ON", NULL, NULL, NULL);
		if (e == 0)
			e = state_publish(temporary, path, f);
	}
	state_temporary_free(temporary);
	return e;
}

/* -- check -- */

struct found {
	void (*say)(void *arg, const char *line);
	void *arg;
	size_t n;
	struct fault *first;
};

static void
report(struct found *w, const struct fault *f)
{
	if (w->n++ == 0)
		*w->first = *f;
	if (w->say)
		w->say(w->arg, f->text);
}

/* Unlike a walk, goes on behind a wrong value, so that all are named. */
static void
check_values(struct state *s, struct found *w)
{
	sqlite3_stmt *q = NULL;
	struct fault f;
	char where[96], kind[KIND_MAX + 1] = "";
	int rc = sqlite3_prepare_v2(s->db, "SELECT kind, key, n, t, crc, v FROM value ORDER BY kind, key", -1, &q, NULL);

	struct { char kind[KIND_MAX + 1]; uint64_t n_value, n_observation; } sum[N_KIND];
	size_t n_sum = 0;
	while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		sqlite3_snprintf(sizeof kind, kind, "%s", sqlite3_column_text(q, 0));
		struct span key = state_column(q, 1);
		uint64_t n = (uint64_t)sqlite3_column_int64(q, 2);
		if (state_crc(kind, key, n, sqlite3_column_double(q, 3), state_column(q, 5)) !=
		    (uint32_t)sqlite3_column_int64(q, 4)) {
			fault(&f, EX_DATAERR, "%s: %s: damaged: its checksum is another", s->path, state_name(kind, key, where));
			report(w, &f);
		}
		if (n_sum == 0 || strcmp(sum[n_sum - 1].kind, kind) != 0) {
			if (n_sum == N_KIND)
				break;
			strcpy(sum[n_sum].kind, kind);
			sum[n_sum].n_value = sum[n_sum].n_observation = 0;
			n_sum++;
		}
		sum[n_sum - 1].n_value++;
		sum[n_sum - 1].n_observation += n;
	}
	sqlite3_finalize(q);
	if (rc != SQLITE_DONE) {
		state_fault(s, rc, NULL, &f);
		report(w, &f);
		return;                 /* what was not read would be missed in the totals too */
	}
	rc = sqlite3_prepare_v2(s->db, "SELECT kind, n_value, n_observation FROM total ORDER BY kind", -1, &q, NULL);
	size_t n_seen = 0;
	while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		const char *name = (const char *)sqlite3_column_text(q, 0);
		uint64_t n_value = (uint64_t)sqlite3_column_int64(q, 1), n_observation = (uint64_t)sqlite3_column_int64(q, 2);
		uint64_t has_value = 0, has_observation = 0;
		for (size_t i = 0; i < n_sum; i++)
			if (name && strcmp(sum[i].kind, name) == 0) {
				has_value = sum[i].n_value;
				has_observation = sum[i].n_observation;
				n_seen++;
			}
		if (has_value != n_value || has_observation != n_observation) {
			fault(&f, EX_DATAERR, "%s: damaged: %llu values and %llu observations of kind %s, expected %llu and %llu",
			    s->path, (unsigned long long)has_value, (unsigned long long)has_observation, name ? name : "?",
			    (unsigned long long)n_value, (unsigned long long)n_observation);
			report(w, &f);
		}
	}
	sqlite3_finalize(q);
	if (rc != SQLITE_DONE)
		state_fault(s, rc, NULL, &f);
	else if (n_seen != n_sum)
		fault(&f, EX_DATAERR, "%s: damaged: values of a kind without total", s->path);
	else
		return;
	report(w, &f);
}

static int
seen(void *arg, struct span key, struct span v, double time, struct fault *f)
{
	(void)arg, (void)key, (void)v, (void)time, (void)f;
	return 0;
}

int
state_check(struct state *s, void (*say)(void *arg, const char *line), void *arg, struct fault *f)
{
	struct fault each;
	struct found w = { say, arg, 0, f };
	char uuid[33];
	uint64_t generation;
	sqlite3_stmt *q = NULL;

	if (state_begin_read(s, f) < 0)
		return -1;
	if (state_identity(s, uuid, &generation, &each) < 0)
		report(&w, &each);
	check_values(s, &w);
	for (int i = STATE_SOURCES; i <= STATE_LINEAGE; i++)
		if (state_each_ledger(s, (enum state_ledger)i, seen, NULL, &each) < 0)
			report(&w, &each);
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA integrity_check(20)", -1, &q, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		rc = SQLITE_OK;
		const char *line = (const char *)sqlite3_column_text(q, 0);
		if (!line || strcmp(line, "ok") != 0) {
			fault(&each, EX_DATAERR, "%s: damaged: %s", s->path, line ? line : "?");
			report(&w, &each);
		}
	}
	sqlite3_finalize(q);
	if (rc != SQLITE_DONE) {
		state_fault(s, rc, NULL, &each);
		report(&w, &each);
	}
	state_rollback(s);
	return w.n ? -1 : 0;
}
