#include "base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"

enum { RAW_BYTES = 1 << 18 };

struct source {
	int fd;
	char *name;
	int is_regular;
	off_t start;            /* where a regular file stood when it was opened (stdin may be half read) */
	uint64_t offset;        /* unpacked bytes given out so far */
	enum { UNKNOWN, PLAIN, GZIP } form;     /* known after the first bytes */
	int is_over;            /* read(2) has said so */
	unsigned char *raw;     /* [RAW_BYTES] */
	size_t raw_at, raw_n;   /* what is left of them: raw[raw_at .. raw_at + raw_n) */
	z_stream z;
	int in_member;          /* a gzip member has begun and not ended */
	int holds_output;       /* the last inflate() filled all the room it had */
};

struct source *
source_open(const char *path, struct fault *f)
{
	int is_stdin = !path || strcmp(path, "-") == 0;
	const char *name = is_stdin ? "stdin" : path;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		fault_errno(f, name, NULL);
		if (fd >= 0 && !is_stdin)
			close(fd);
		return NULL;
	}
	if (S_ISDIR(st.st_mode)) {
		fault(f, EX_NOINPUT, "%s: is a directory", name);
		if (!is_stdin)
			close(fd);
		return NULL;
	}
	struct source *s = xcalloc(1, sizeof *s);
	s->fd = fd;
	s->name = xstrdup(name);
	s->is_regular = S_ISREG(st.st_mode);
	if (s->is_regular) {
		s->start = lseek(fd, 0, SEEK_CUR);
		if (s->start < 0)
			s->start = 0;
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	}
	s->raw = xmalloc(RAW_BYTES, 1);
	return s;
}

void
source_close(struct source *s)
{
	if (!s)
		return;
	if (s->form == GZIP)
		inflateEnd(&s->z);
	if (s->fd != STDIN_FILENO)
		close(s->fd);
	free(s->raw);
	free(s->name);
	free(s);
}

const char *
source_name(const struct source *s)
{
	return s->name;
}

static ptrdiff_t
read_some(struct source *s, void *at, size_t n, struct fault *f)
{
	ssize_t got;

	if (s->is_over)
		return 0;
	do
		got = read(s->fd, at, n);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		fault_errno(f, s->name, NULL);
		f->status = EX_IOERR;
		return -1;
	}
	s->is_over = got == 0;
	return got;
}

/* Adds to raw, which has room behind what it holds. As read_some(). */
static ptrdiff_t
fill(struct source *s, struct fault *f)
{
	if (s->raw_n == 0)
		s->raw_at = 0;
	size_t end = s->raw_at + s->raw_n;
	ptrdiff_t got = read_some(s, s->raw + end, RAW_BYTES - end, f);
	if (got > 0)
		s->raw_n += (size_t)got;
	return got;
}

/* Finds out what it is; a pipe is waited on for as few bytes as that takes. */
static int
look(struct source *s, struct fault *f)
{
	static const unsigned char magic[2] = { 0x1F, 0x8B };

	while (s->form == UNKNOWN) {
		size_t n = s->raw_n < 2 ? s->raw_n : 2;
		if (memcmp(s->raw, magic, n) != 0 || (n < 2 && s->is_over)) {
			s->form = PLAIN;
		} else if (n == 2) {
			if (inflateInit2(&s->z, 15 + 16) != Z_OK)
				return fault(f, EX_OSERR, "%s: out of memory", s->name);
			s->form = GZIP;
		} else if (fill(s, f) < 0) {
			return -1;
		}
	}
	return 0;
}

static ptrdiff_t
read_plain(struct source *s, void *at, size_t n, struct fault *f)
{
	if (s->raw_n == 0)
		return read_some(s, at, n, f);
	if (n > s->raw_n)
		n = s->raw_n;
	memcpy(at, s->raw + s->raw_at, n);
	s->raw_at += n;
	s->raw_n -= n;
	return (ptrdiff_t)n;
}

/* Between two members: is there another? Zeros may fill the last block of a tape or an archive. */
static int
next_member(struct source *s, struct fault *f)
{
	for (;;) {
		while (s->raw_n > 0 && s->raw[s->raw_at] == 0) {        /* never the first member, which look() has seen */
			s->raw_at++;
			s->raw_n--;
		}
		if (s->raw_n > 0)
			break;
		ptrdiff_t got = fill(s, f);
		if (got <= 0)
			return (int)got;
	}
	if (s->raw[s->raw_at] != 0x1F)
		return fault(f, EX_DATAERR, "%s: bytes that are not gzip data follow the gzip data", s->name);
	inflateReset(&s->z);
	s->in_member = 1;
	return 1;
}

static ptrdiff_t
read_gzip(struct source *s, void *at, size_t n, struct fault *f)
{
	if (n > (size_t)1 << 30)        /* zlib counts in unsigned int */
		n = (size_t)1 << 30;
	for (;;) {
		if (!s->in_member) {
			int more = next_member(s, f);
			if (more <= 0)
				return more;
		}
		if (s->raw_n == 0 && !s->holds_output) {
			ptrdiff_t got = fill(s, f);
			if (got < 0)
				return -1;
			if (got == 0)
				return fault(f, EX_DATAERR, "%s: gzip data ends too early", s->name);
		}
		s->z.next_in = s->raw + s->raw_at;
		s->z.avail_in = (unsigned)s->raw_n;
		s->z.next_out = at;
		s->z.avail_out = (unsigned)n;
		int z = inflate(&s->z, Z_NO_FLUSH);
		s->raw_at += s->raw_n - s->z.avail_in;
		s->raw_n = s->z.avail_in;
		s->holds_output = z == Z_OK && s->z.avail_out == 0;
		if (z == Z_STREAM_END)
			s->in_member = 0;
		else if (z != Z_OK && z != Z_BUF_ERROR)
			return fault(f, EX_DATAERR, "%s: gzip data is damaged: %s", s->name, s->z.msg ? s->z.msg : "no reason given");
		if (s->z.avail_out < n)
			return (ptrdiff_t)(n - s->z.avail_out);
	}
}

ptrdiff_t
source_read(struct source *s, void *at, size_t n, struct fault *f)
{
	if (look(s, f) < 0)
		return -1;
	ptrdiff_t got = s->form == GZIP ? read_gzip(s, at, n, f) : read_plain(s, at, n, f);
	if (got > 0)
		s->offset += (uint64_t)got;
	return got;
}

int
source_would_block(struct source *s)
{
	if (s->is_regular || s->is_over || s->raw_n > 0 || s->holds_output)
		return 0;
	/* An end, a hang-up and an error are all answers that need no waiting. */
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	return poll(&p, 1, 0) == 0;
}

double
source_share(const struct source *s)
{
	struct stat st;
	off_t at = s->is_regular ? lseek(s->fd, 0, SEEK_CUR) : -1;

	if (at < s->start || fstat(s->fd, &st) < 0 || st.st_size <= s->start)
		return -1;
	return at >= st.st_size ? 1 : (double)(at - s->start) / (double)(st.st_size - s->start);
}

int
source_skip_to(struct source *s, uint64_t offset, struct fault *f)
{
	if (look(s, f) < 0)
		return -1;
	if (s->form == PLAIN && s->is_regular) {
		struct stat st;
		if (fstat(s->fd, &st) < 0)
			return fault_errno(f, s->name, NULL);
		if (offset > (uint64_t)(st.st_size - s->start))
			return fault(f, EX_DATAERR, "%s: ends before byte %llu", s->name, (unsigned long long)offset);
		if (lseek(s->fd, s->start + (off_t)offset, SEEK_SET) < 0)
			return fault_errno(f, s->name, NULL);
		s->raw_n = 0;
		s->is_over = 0;
		s->offset = offset;
		return 0;
	}
	if (offset < s->offset)
		return fault(f, EX_IOERR, "%s: cannot go back to byte %llu", s->name, (unsigned long long)offset);
	char *waste = xmalloc(RAW_BYTES, 1);
	int status = 0;
	while (status == 0 && s->offset < offset) {
		uint64_t n = offset - s->offset < RAW_BYTES ? offset - s->offset : RAW_BYTES;
		ptrdiff_t got = source_read(s, waste, (size_t)n, f);
		if (got < 0)
			status = -1;
		else if (got == 0)
			status = fault(f, EX_DATAERR, "%s: ends before byte %llu", s->name, (unsigned long long)offset);
	}
	free(waste);
	return status;
}
