/*
 * create.c - a new state file, whole or not there; and what is no state of ours
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/num.h"
#include "state/inside.h"

/* kind and key are indexed apart from the values, so that large values do not spread the tree that is searched. */
static const char schema[] =
	"CREATE TABLE meta(k TEXT PRIMARY KEY NOT NULL, v TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE value(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key BLOB NOT NULL, n INTEGER NOT NULL,"
	" t REAL NOT NULL, crc INTEGER NOT NULL, v BLOB NOT NULL);"
	"CREATE UNIQUE INDEX value_key ON value(kind, key);"
	"CREATE TABLE total(kind TEXT PRIMARY KEY NOT NULL, n_value INTEGER NOT NULL, n_observation INTEGER NOT NULL)"
	" WITHOUT ROWID;"
	"CREATE TABLE source(name BLOB PRIMARY KEY NOT NULL, v BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE applied(event BLOB PRIMARY KEY NOT NULL, user BLOB NOT NULL, t REAL NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE merged(uuid TEXT PRIMARY KEY NOT NULL, generation INTEGER NOT NULL, t REAL NOT NULL) WITHOUT ROWID;";

char *
state_folder(const char *path)
{
	char *target = realpath(path, NULL), *folder = target ? target : xstrdup(path), *slash = strrchr(folder, '/');

	if (slash) {
		slash[slash == folder] = '\0';
		return folder;
	}
	free(folder);
	return xstrdup(".");
}

int
state_sync_folder(const char *path, struct fault *f)
{
	char *folder = state_folder(path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* some file systems cannot sync a folder, and need not */
	int e = fd < 0 || (fsync(fd) < 0 && errno != EINVAL) ? fault_errno(f, folder, "cannot sync") : 0;
	if (fd >= 0)
		close(fd);
	free(folder);
	return e;
}

int
state_on_network(const char *path, const char **kind)
{
	static const struct { unsigned long magic; const char *name; } network[] = {
		{ 0x6969, "nfs" }, { 0x517B, "smb" }, { 0xFE534D42, "smb" }, { 0xFF534D42, "cifs" }, { 0x01021997, "9p" },
		{ 0x00C36400, "ceph" }, { 0x0BD00BD0, "lustre" }, { 0x47504653, "gpfs" }, { 0x5346414F, "afs" },
		{ 0x73757245, "coda" }, { 0x19830326, "beegfs" }, { 0x65735546, "fuse" },
	};
	struct statfs fs;
	char *folder = state_folder(path);
	int e = statfs(folder, &fs);

	free(folder);
	if (e < 0)
		return 0;
	for (size_t i = 0; i < sizeof network / sizeof network[0]; i++)
		if (((unsigned long)fs.f_type & 0xFFFFFFFF) == network[i].magic) {
			*kind = network[i].name;
			return 1;
		}
	return 0;
}

static uint32_t
big_endian(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int
state_doubt(const char *path, struct fault *f)
{
	unsigned char head[100];
	struct stat st;

	if (stat(path, &st) < 0)
		return fault_errno(f, path, NULL);
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return fault_errno(f, path, NULL);
	}
	if (!S_ISREG(st.st_mode))
		return fault(f, EX_DATAERR, "%s: is no regular file", path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_errno(f, path, NULL);
	ssize_t n = pread(fd, head, sizeof head, 0);
	if (n < 0)
		fault_errno(f, path, NULL);
	close(fd);
	if (n < 0)
		return -1;
	if (n < (ssize_t)sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
		return fault(f, EX_DATAERR, "%s: is no state of hare", path);
	if (big_endian(head + 68) != APPLICATION)
		return fault(f, EX_DATAERR, "%s: is an SQLite database, but no state of hare", path);
	if (big_endian(head + 60) > FORMAT)
		return fault(f, EX_DATAERR, "%s: format %u was written by a newer version of hare (this one knows %d)", path,
		    big_endian(head + 60), FORMAT);
	if (head[20] != PAGE_CHECK_BYTES)
		return fault(f, EX_DATAERR, "%s: the first page is damaged", path);
	return 0;
}

uint64_t
state_page_bytes(void)
{
	const char *text = getenv("HARE_STATE_PAGE");
	uint64_t n;

	if (!text || !*text)
		return 32768;
	return num_read_u64(text, strlen(text), &n) == 0 && n >= 4096 && n <= 65536 && (n & (n - 1)) == 0 ? n : 0;
}

static int
new_uuid(char out[33], struct fault *f)
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return fault(f, EX_OSERR, "no random numbers from the system: %s", strerror(errno));
	for (size_t i = 0; i < sizeof bytes; i++) {
		out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
	out[32] = '\0';
	return 0;
}

/* Nobody else knows the temporary file, so no journal is needed until it has its name. */
static int
fill(struct state *s, struct fault *f)
{
	char uuid[33], text[256];
	int reserve = PAGE_CHECK_BYTES;

	int rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE, state_vfs());
	if (rc != SQLITE_OK)
		return state_fault(s, rc, NULL, f);
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_file_control(s->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
	sqlite3_snprintf(sizeof text, text, "PRAGMA page_size=%llu; PRAGMA journal_mode=OFF; PRAGMA synchronous=FULL;"
	    "PRAGMA application_id=%d; PRAGMA user_version=%d", (unsigned long long)state_page_bytes(), APPLICATION, FORMAT);
	s->in_transaction = 1;
	if (new_uuid(uuid, f) < 0 || state_exec(s, text, f) < 0 || state_exec(s, "BEGIN", f) < 0 ||
	    state_exec(s, schema, f) < 0 || state_set_identity(s, uuid, 0, f) < 0 || state_exec(s, "COMMIT", f) < 0)
		return -1;
	return state_exec(s, s->is_wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE", f);
}

int
state_create(const char *path, struct fault *f)
{
	const char *journal = getenv("HARE_STATE_JOURNAL");
	struct state s = { .mode = STATE_CREATE, .found_id = -1, .path = state_temporary(path), .shown = path };
	int e = 0;

	s.is_wal = !(journal && strcmp(journal, "delete") == 0);
	int fd = open(s.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		e = fault_errno(f, path, "cannot be made");
		state_temporary_free(s.path);
		return e;
	}
	close(fd);
	e = fill(&s, f);
	for (int i = 0; i < N_SQL; i++)
		sqlite3_finalize(s.statement[i]);
	sqlite3_close(s.db);
	if (e == 0 && state_publish(s.path, path, f) < 0 && access(path, F_OK) < 0)
		e = -1;         /* if it is there now, another program made it meanwhile: as good as ours */
	buf_free(&s.meta);
	buf_free(&s.found_key);
	state_temporary_free(s.path);
	return e;
}
