/*
 * vfs.c - a checksum in every page of the database file
 *
 * SQLite reserves the last 8 bytes of each page for us. They hold the hash of the page's number and of what stands
 * before them, put there when a page is written to the database file and compared when it is read. Without that, one
 * page copied over another makes a well-formed tree in which some keys are not found, and nobody would know. Pages in
 * the write-ahead log have SQLite's own checksums; they get ours at the checkpoint. The method is that of SQLite's
 * cksumvfs, which Debian's library does not contain.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/hash.h"
#include "state/inside.h"

struct checked {
	sqlite3_file base;              /* must be first: SQLite's view of us */
	uint32_t *bad_page;
	int is_database;
	/* the file of the VFS below follows */
};

/* of the last call below that failed: SQLite asks for errno later, when others may have set it */
static _Thread_local int failed_errno;

static int
remember(int rc)
{
	if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ && rc != SQLITE_BUSY)
		failed_errno = errno;
	return rc;
}

int
state_vfs_errno(void)
{
	int e = failed_errno;

	failed_errno = 0;
	return e;
}

static sqlite3_vfs *below;
static sqlite3_vfs ours;

static sqlite3_file *
lower(sqlite3_file *f)
{
	return (sqlite3_file *)((char *)f + sizeof(struct checked));
}

/* Whole pages only: SQLite also reads the first 100 bytes, to learn the size of a page. */
static int
is_page(const sqlite3_file *f, int n, sqlite3_int64 at)
{
	return ((const struct checked *)f)->is_database && n >= 512 && (n & (n - 1)) == 0 && at % n == 0;
}

static uint64_t
page_hash(const void *page, int n, sqlite3_int64 at)
{
	return hash64(page, (size_t)n - PAGE_CHECK_BYTES, (uint64_t)(at / n) + 1);
}

static int
checked_read(sqlite3_file *f, void *page, int n, sqlite3_int64 at)
{
	int rc = remember(lower(f)->pMethods->xRead(lower(f), page, n, at));
	uint64_t stored;

	/* a short read of a page is a file that was cut: SQLite would go on with zeros */
	if ((rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ) || !is_page(f, n, at))
		return rc;
	memcpy(&stored, (char *)page + n - PAGE_CHECK_BYTES, sizeof stored);
	if (rc == SQLITE_OK && stored == page_hash(page, n, at))
		return SQLITE_OK;
	struct checked *c = (struct checked *)f;
	if (c->bad_page)
		*c->bad_page = (uint32_t)(at / n) + 1;
	return SQLITE_IOERR_DATA;
}

static int
checked_write(sqlite3_file *f, const void *page, int n, sqlite3_int64 at)
{
	static _Thread_local char copy[65536];

	if (!is_page(f, n, at) || (size_t)n > sizeof copy)
		return remember(lower(f)->pMethods->xWrite(lower(f), page, n, at));
	uint64_t hash = page_hash(page, n, at);
	memcpy(copy, page, (size_t)n - PAGE_CHECK_BYTES);
	memcpy(copy + n - PAGE_CHECK_BYTES, &hash, sizeof hash);
	return remember(lower(f)->pMethods->xWrite(lower(f), copy, n, at));
}

static int
checked_control(sqlite3_file *f, int op, void *arg)
{
	return lower(f)->pMethods->xFileControl(lower(f), op, arg);
}

/* -- the rest goes straight through -- */
static int pass_close(sqlite3_file *f) { return lower(f)->pMethods->xClose(lower(f)); }
static int pass_truncate(sqlite3_file *f, sqlite3_int64 n) { return remember(lower(f)->pMethods->xTruncate(lower(f), n)); }
static int pass_sync(sqlite3_file *f, int flags) { return remember(lower(f)->pMethods->xSync(lower(f), flags)); }
static int pass_size(sqlite3_file *f, sqlite3_int64 *n) { return lower(f)->pMethods->xFileSize(lower(f), n); }
static int pass_lock(sqlite3_file *f, int level) { return lower(f)->pMethods->xLock(lower(f), level); }
static int pass_unlock(sqlite3_file *f, int level) { return lower(f)->pMethods->xUnlock(lower(f), level); }
static int pass_reserved(sqlite3_file *f, int *out) { return lower(f)->pMethods->xCheckReservedLock(lower(f), out); }
static int pass_sector(sqlite3_file *f) { return lower(f)->pMethods->xSectorSize(lower(f)); }
static int pass_traits(sqlite3_file *f) { return lower(f)->pMethods->xDeviceCharacteristics(lower(f)); }
static int pass_shm_lock(sqlite3_file *f, int at, int n, int flags) { return lower(f)->pMethods->xShmLock(lower(f), at, n, flags); }
static void pass_shm_barrier(sqlite3_file *f) { lower(f)->pMethods->xShmBarrier(lower(f)); }
static int pass_shm_unmap(sqlite3_file *f, int remove) { return lower(f)->pMethods->xShmUnmap(lower(f), remove); }

static int
pass_shm_map(sqlite3_file *f, int region, int n, int extend, void volatile **at)
{
	return remember(lower(f)->pMethods->xShmMap(lower(f), region, n, extend, at));
}

static const sqlite3_io_methods methods = {
	2, pass_close, checked_read, checked_write, pass_truncate, pass_sync, pass_size, pass_lock, pass_unlock,
	pass_reserved, checked_control, pass_sector, pass_traits, pass_shm_map, pass_shm_lock, pass_shm_barrier,
	pass_shm_unmap, NULL, NULL
};

static int
checked_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
	struct checked *c = (struct checked *)f;

	(void)vfs;
	c->bad_page = NULL;
	c->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
	lower(f)->pMethods = NULL;
	int rc = remember(below->xOpen(below, name, lower(f), flags, out_flags));
	f->pMethods = lower(f)->pMethods ? &methods : NULL;
	return rc;
}

static void
register_ours(void)
{
	below = sqlite3_vfs_find(NULL);
	ours = *below;
	ours.zName = "hare";
	ours.szOsFile = (int)sizeof(struct checked) + below->szOsFile;
	ours.pNext = NULL;
	ours.xOpen = checked_open;
	/* the other methods of the unix VFS look at their own static data only, never at the vfs they are given */
	sqlite3_vfs_register(&ours, 0);
}

const char *
state_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_ours);
	return "hare";
}

void
state_vfs_watch(sqlite3 *db, uint32_t *bad_page)
{
	struct checked *c = NULL;

	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &c) == SQLITE_OK && c)
		c->bad_page = bad_page;
}
