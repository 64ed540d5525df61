#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/source.h"
#include "learn/learn.h"

enum { HEAD = 4096, TAIL = 256 };

struct learn_trace {
	struct source *source;
	uint64_t offset;
	char head[HEAD], tail[TAIL];
	size_t n_head, n_tail;
};

struct learn_trace *
learn_trace_new(const char *path, struct fault *f)
{
	struct source *source = path ? source_open(path, f) : NULL;

	if (path && !source)
		return NULL;
	struct learn_trace *t = xcalloc(1, sizeof *t);
	t->source = source;
	return t;
}

void
learn_trace_free(struct learn_trace *t)
{
	if (!t)
		return;
	source_close(t->source);
	free(t);
}

void
learn_trace_feed(struct learn_trace *t, const void *at, size_t n)
{
	const char *bytes = at;
	size_t n_head = HEAD - t->n_head < n ? HEAD - t->n_head : n;

	t->offset += n;
	memcpy(t->head + t->n_head, bytes, n_head);
	t->n_head += n_head;
	if (n >= TAIL) {
		memcpy(t->tail, bytes + n - TAIL, TAIL);
		t->n_tail = TAIL;
		return;
	}
	size_t n_keep = TAIL - n < t->n_tail ? TAIL - n : t->n_tail;
	memmove(t->tail, t->tail + t->n_tail - n_keep, n_keep);
	memcpy(t->tail + n_keep, bytes, n);
	t->n_tail = n_keep + n;
}

int
learn_trace_to(struct learn_trace *t, uint64_t offset, struct fault *f)
{
	char bytes[16384];

	while (t->offset < offset) {
		/* all between the head and the tail may be jumped over */
		if (t->n_head == HEAD && offset - t->offset > TAIL) {
			if (source_skip_to(t->source, offset - TAIL, f) < 0)
				return -1;
			t->offset = offset - TAIL;
			t->n_tail = 0;
		}
		size_t n = offset - t->offset < sizeof bytes ? (size_t)(offset - t->offset) : sizeof bytes;
		if (t->n_head < HEAD && n > HEAD - t->n_head)
			n = HEAD - t->n_head;
		ptrdiff_t got = source_read(t->source, bytes, n, f);
		if (got < 0)
			return -1;
		if (got == 0)
			return fault(f, EX_DATAERR, "%s: ends before byte %llu, up to which it was learnt",
			    source_name(t->source), (unsigned long long)offset);
		learn_trace_feed(t, bytes, (size_t)got);
	}
	return 0;
}

uint64_t
learn_trace_fingerprint(const struct learn_trace *t)
{
	return hash64(t->tail, t->n_tail, hash64(t->head, t->n_head, t->offset));
}
