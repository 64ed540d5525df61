#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "pool/inside.h"

enum { CHUNK_MIN = 16 << 10, CHUNK_MAX = 1 << 20, BUFFERS_MAX = 64 << 20 };

struct chunk {
	uint64_t at;
	size_t n_byte;
};

struct stream {
	struct buf last;                /* not yet in the file */
	struct chunk *chunk;            /* [n_chunk], in order */
	size_t n_chunk, n_chunk_cap;
	size_t n_byte;
};

struct spool {
	char *folder;
	int fd;                         /* -1: all is in memory so far */
	uint64_t n_byte;                /* of the file */
	size_t n_chunk_byte;
	struct stream *stream;          /* [n_stream] */
	size_t n_stream;
	void *map;                      /* of spool_bytes() */
	size_t n_map;
};

struct spool *
spool_new(const char *path, size_t n_stream)
{
	struct spool *s = xcalloc(1, sizeof *s);

	s->folder = file_folder(path);
	s->fd = -1;
	s->stream = xcalloc(n_stream, sizeof *s->stream);
	s->n_stream = n_stream;
	s->n_chunk_byte = BUFFERS_MAX / n_stream;
	if (s->n_chunk_byte > CHUNK_MAX)
		s->n_chunk_byte = CHUNK_MAX;
	if (s->n_chunk_byte < CHUNK_MIN)
		s->n_chunk_byte = CHUNK_MIN;
	return s;
}

void
spool_free(struct spool *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_stream; i++) {
		buf_free(&s->stream[i].last);
		free(s->stream[i].chunk);
	}
	if (s->map)
		munmap(s->map, s->n_map);
	if (s->fd >= 0)
		close(s->fd);
	free(s->stream);
	free(s->folder);
	free(s);
}

static int
open_nameless(struct spool *s, struct fault *f)
{
	struct buf name = {0};

	s->fd = open(s->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd >= 0)
		return 0;
	/* a file system without O_TMPFILE: a name for the shortest of times */
	buf_printf(&name, "%s/.hare-pool.XXXXXX", s->folder);
	buf_string(&name);
	s->fd = mkostemp(name.at, O_CLOEXEC);
	if (s->fd < 0)
		fault_errno(f, s->folder, "cannot make a temporary file");
	else
		unlink(name.at);
	buf_free(&name);
	return s->fd < 0 ? -1 : 0;
}

/* What a stream holds in memory goes to the end of the file. */
static int
spill(struct spool *s, struct stream *t, struct fault *f)
{
	size_t n_done = 0;

	if (t->last.n == 0)
		return 0;
	if (s->fd < 0 && open_nameless(s, f) < 0)
		return -1;
	while (n_done < t->last.n) {
		ssize_t n = pwrite(s->fd, t->last.at + n_done, t->last.n - n_done, (off_t)(s->n_byte + n_done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_errno(f, s->folder, "cannot write a temporary file");
		n_done += (size_t)n;
	}
	t->chunk = xgrow(t->chunk, &t->n_chunk_cap, t->n_chunk + 1, sizeof *t->chunk);
	t->chunk[t->n_chunk++] = (struct chunk){ s->n_byte, t->last.n };
	s->n_byte += t->last.n;
	buf_clear(&t->last);
	return 0;
}

int
spool_put(struct spool *s, size_t stream, const void *at, size_t n_byte, struct fault *f)
{
	assert(stream < s->n_stream);
	struct stream *t = &s->stream[stream];

	if (t->last.n + n_byte > s->n_chunk_byte && spill(s, t, f) < 0)
		return -1;
	if (n_byte > 0)
		buf_put(&t->last, at, n_byte);
	t->n_byte += n_byte;
	return 0;
}

size_t
spool_size(const struct spool *s, size_t stream)
{
	return s->stream[stream].n_byte;
}

int
spool_copy(struct spool *s, size_t stream, struct tensor_writer *w, struct fault *f)
{
	struct stream *t = &s->stream[stream];
	struct buf piece = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->n_chunk; i++) {
		size_t n_done = 0, n_byte = t->chunk[i].n_byte;
		buf_clear(&piece);
		buf_reserve(&piece, n_byte);
		while (r == 0 && n_done < n_byte) {
			ssize_t n = pread(s->fd, piece.at + n_done, n_byte - n_done, (off_t)(t->chunk[i].at + n_done));
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				r = fault_errno(f, s->folder, "cannot read a temporary file");
			else if (n == 0)
				r = fault(f, EX_IOERR, "%s: a temporary file is shorter than what was written to it", s->folder);
			else
				n_done += (size_t)n;
		}
		if (r == 0)
			r = tensor_put(w, piece.at, n_byte, f);
	}
	buf_free(&piece);
	if (r == 0 && t->last.n > 0)
		r = tensor_put(w, t->last.at, t->last.n, f);
	return r;
}

const char *
spool_bytes(struct spool *s, struct fault *f)
{
	struct stream *t = s->stream;

	assert(s->n_stream == 1);
	if (s->map)
		return s->map;
	if (t->n_chunk == 0)
		return t->n_byte > 0 ? t->last.at : "";
	if (spill(s, t, f) < 0)
		return NULL;
	void *map = mmap(NULL, s->n_byte, PROT_READ, MAP_SHARED, s->fd, 0);
	if (map == MAP_FAILED) {
		fault_errno(f, s->folder, "cannot map a temporary file");
		return NULL;
	}
	s->map = map;
	s->n_map = s->n_byte;
	return s->map;
}
