/*
 * mem.h - memory that is there, and bytes that grow
 *
 * Running out of memory is one of two things that a library may end the program for (the other is an option whose
 * value is no number): the x-calls print one line and exit with EX_OSERR. Sizes are given as count and size, so
 * that their product is checked.
 */
#ifndef HARE_BASE_MEM_H
#define HARE_BASE_MEM_H

#include <stddef.h>

void *xmalloc(size_t n, size_t size_bytes);             /* not cleared; n = 0 is allowed */
void *xcalloc(size_t n, size_t size_bytes);
void *xrealloc(void *at, size_t n, size_t size_bytes);
void *xaligned(size_t n, size_t size_bytes);            /* 64-byte aligned, not cleared; end with free() */
void *xlarge(size_t n, size_t size_bytes);              /* the same, in large pages where the system has them: for what is
	                                                   filled from its beginning on */
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);

/* Room for one more in an array that grows by half: at = xgrow(at, &n_cap, n_used + 1, sizeof *at). */
void *xgrow(void *at, size_t *n_cap, size_t n_want, size_t size_bytes);

/* Borrowed bytes, not ended by NUL. */
struct span {
	const char *at;
	size_t n;
};
int span_is(struct span s, const char *text);           /* the same bytes as the C string text */

/* Owned bytes that grow. {0} is an empty one. */
struct buf {
	char *at;               /* NULL while nothing was put */
	size_t n, n_cap;
};
void buf_reserve(struct buf *b, size_t n_more);         /* afterwards at[n .. n + n_more) may be written */
void buf_put(struct buf *b, const void *at, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, int c);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *buf_string(struct buf *b);                  /* ends the bytes with a NUL that n does not count */
struct span buf_span(const struct buf *b);
void buf_clear(struct buf *b);                          /* n = 0, the memory is kept */
void buf_free(struct buf *b);                           /* {0} again */

#endif
