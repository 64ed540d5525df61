/*
 * Answers on file, so that a rerun is free and an interrupted run goes on.
 *
 *	hare-cache 1
 *	CRC KEY VALUE           8 and 32 hex digits, a text without line ends; CRC-32C of "KEY VALUE"
 *
 * The file only grows. A line that was cut (a killed writer, a full disk) fails its checksum and is passed over; the next
 * writer begins on a line of its own. Writers take turns by flock(2) and readers look behind what they have read, so
 * several processes may share one file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "net/inside.h"

#define MAGIC "hare-cache 1\n"
enum { KEY_SIZE = 32, VALUE_AT = 8 + 1 + KEY_SIZE + 1 };

struct entry {
	char key[KEY_SIZE];             /* key[0] = 0: no entry */
	uint64_t at;                    /* of the value in the file */
	size_t n;
};

struct net_cache {
	char *path;
	int fd;
	uint64_t read_to;               /* lines before this are in the table */
	struct entry *table;            /* [n_slot], open addressing, at most half full */
	size_t n_slot, n_entry;
	struct buf scan, value;
};

/* Slot of a key, or the empty one where it belongs. */
static struct entry *
find(const struct net_cache *c, const char *key)
{
	size_t at = hash64(key, KEY_SIZE, 0) & (c->n_slot - 1);

	while (c->table[at].key[0] != '\0' && memcmp(c->table[at].key, key, KEY_SIZE) != 0)
		at = (at + 1) & (c->n_slot - 1);
	return &c->table[at];
}

static void
enter(struct net_cache *c, const char *key, uint64_t at, size_t n)
{
	if (2 * (c->n_entry + 1) > c->n_slot) {
		struct entry *old = c->table;
		size_t n_old = c->n_slot;
		c->n_slot = n_old ? 2 * n_old : 64;
		c->table = xcalloc(c->n_slot, sizeof *c->table);
		for (size_t i = 0; i < n_old; i++) {
			if (old[i].key[0] != '\0')
				*find(c, old[i].key) = old[i];
		}
		free(old);
	}
	struct entry *e = find(c, key);
	if (e->key[0] != '\0')
		return;         /* the first answer stays, so that all readers give the same one */
	memcpy(e->key, key, KEY_SIZE);
	e->at = at;
	e->n = n;
	c->n_entry++;
}

static ptrdiff_t
read_at(const struct net_cache *c, void *out, size_t n, uint64_t at, struct fault *f)
{
	ptrdiff_t got;

	do
		got = pread(c->fd, out, n, (off_t)at);
	while (got < 0 && errno == EINTR);
	return got < 0 ? fault_errno(f, c->path, NULL) : got;
}

/* Takes one line, without its end, that begins at this offset of the file. */
static void
take_line(struct net_cache *c, const char *line, size_t n, uint64_t at)
{
	char crc[9];

	if (n < VALUE_AT || line[8] != ' ' || line[VALUE_AT - 1] != ' ' || line[9] == '\0')
		return;
	snprintf(crc, sizeof crc, "%08x", (unsigned)crc32c(0, line + 9, n - 9));
	if (memcmp(crc, line, 8) == 0)
		enter(c, line + 9, at + VALUE_AT, n - VALUE_AT);
}

/* Reads what this or another process has put behind read_to. A last line without an end may be on its way: it waits. */
static int
catch_up(struct net_cache *c, struct fault *f)
{
	buf_clear(&c->scan);
	for (;;) {
		enum { PIECE = 1 << 16 };
		buf_reserve(&c->scan, PIECE);
		ptrdiff_t got = read_at(c, c->scan.at + c->scan.n, PIECE, c->read_to + c->scan.n, f);
		if (got < 0)
			return -1;
		if (got == 0)
			return 0;
		size_t n_had = c->scan.n, from = 0;
		c->scan.n += (size_t)got;
		for (size_t i = n_had; i < c->scan.n; i++) {
			if (c->scan.at[i] != '\n')
				continue;
			take_line(c, c->scan.at + from, i - from, c->read_to + from);
			from = i + 1;
		}
		memmove(c->scan.at, c->scan.at + from, c->scan.n - from);
		c->scan.n -= from;
		c->read_to += from;
	}
}

static int
lock(const struct net_cache *c, int how, struct fault *f)
{
	while (flock(c->fd, how) < 0) {
		if (errno != EINTR)
			return fault_errno(f, c->path, "lock");
	}
	return 0;
}

/* Appends all of it or nothing; the lock is held. */
static int
append(struct net_cache *c, const char *at, size_t n, off_t size, struct fault *f)
{
	while (n > 0) {
		ssize_t put = write(c->fd, at, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			fault_errno(f, c->path, NULL);
			/* what was cut would be passed over anyhow; failing to remove it loses nothing */
			if (ftruncate(c->fd, size) < 0)
				return -1;
			return -1;
		}
		at += put;
		n -= (size_t)put;
	}
	return 0;
}

/* A new file gets its first line; a file that is something else is left alone. */
static int
begin(struct net_cache *c, struct fault *f)
{
	char head[sizeof MAGIC - 1];
	struct stat st;
	int status = 0;

	if (lock(c, LOCK_EX, f) < 0)
		return -1;
	ptrdiff_t got = read_at(c, head, sizeof head, 0, f);
	if (got < 0 || fstat(c->fd, &st) < 0) {
		status = got < 0 ? -1 : fault_errno(f, c->path, NULL);
	} else if (memcmp(head, MAGIC, (size_t)got) != 0) {
		status = fault(f, EX_DATAERR, "%s: is no cache of answers: expected its first line to be \"hare-cache 1\", got %s",
		    c->path, fault_quote(head, (size_t)got));
	} else if ((size_t)got < sizeof head) {         /* empty, or cut in its first line */
		status = ftruncate(c->fd, 0) < 0 ? fault_errno(f, c->path, NULL) : append(c, MAGIC, sizeof head, 0, f);
	}
	flock(c->fd, LOCK_UN);
	c->read_to = sizeof head;
	return status;
}

struct net_cache *
cache_open(const char *path, struct fault *f)
{
	struct net_cache *c = xcalloc(1, sizeof *c);

	c->path = xstrdup(path);
	c->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (c->fd < 0)
		fault_errno(f, path, NULL);
	if (c->fd < 0 || begin(c, f) < 0) {
		cache_close(c);
		return NULL;
	}
	return c;
}

void
cache_close(struct net_cache *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->path);
	free(c->table);
	buf_free(&c->scan);
	buf_free(&c->value);
	free(c);
}

int
cache_get(struct net_cache *c, const char key[33], struct span *value, struct fault *f)
{
	const struct entry *e = c->n_slot ? find(c, key) : NULL;

	if (!e || e->key[0] == '\0') {
		if (catch_up(c, f) < 0)
			return -1;
		e = c->n_slot ? find(c, key) : NULL;
	}
	if (!e || e->key[0] == '\0')
		return 0;
	buf_clear(&c->value);
	buf_reserve(&c->value, e->n);
	while (c->value.n < e->n) {
		ptrdiff_t got = read_at(c, c->value.at + c->value.n, e->n - c->value.n, e->at + c->value.n, f);
		if (got <= 0)
			return got < 0 ? -1 : fault(f, EX_DATAERR, "%s: became shorter while it was read", c->path);
		c->value.n += (size_t)got;
	}
	*value = buf_span(&c->value);
	return 1;
}

int
cache_put(struct net_cache *c, const char key[33], struct span value, struct fault *f)
{
	struct buf line = { 0 }, entry = { 0 };
	struct stat st;
	char last = '\n';
	int status = -1;

	buf_put(&line, key, KEY_SIZE);
	buf_putc(&line, ' ');
	buf_put(&line, value.at, value.n);
	if (lock(c, LOCK_EX, f) == 0) {
		if (fstat(c->fd, &st) < 0)
			fault_errno(f, c->path, NULL);
		else if (st.st_size == 0 || read_at(c, &last, 1, (uint64_t)st.st_size - 1, f) == 1) {
			if (last != '\n')
				buf_putc(&entry, '\n');
			buf_printf(&entry, "%08x ", (unsigned)crc32c(0, line.at, line.n));
			buf_put(&entry, line.at, line.n);
			buf_putc(&entry, '\n');
			status = append(c, entry.at, entry.n, st.st_size, f);
		} else {
			fault(f, EX_IOERR, "%s: cannot be read", c->path);
		}
		flock(c->fd, LOCK_UN);
	}
	buf_free(&line);
	buf_free(&entry);
	return status;
}
