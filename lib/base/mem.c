#include "base/mem.h"

#include <err.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>

static void *
no_memory(void)
{
	errx(EX_OSERR, "out of memory");
}

void *
xmalloc(size_t n, size_t size_bytes)
{
	return xrealloc(NULL, n, size_bytes);
}

void *
xcalloc(size_t n, size_t size_bytes)
{
	void *at = calloc(n ? n : 1, size_bytes ? size_bytes : 1);

	return at ? at : no_memory();
}

void *
xrealloc(void *at, size_t n, size_t size_bytes)
{
	size_t n_byte;

	if (__builtin_mul_overflow(n, size_bytes, &n_byte))
		no_memory();
	at = realloc(at, n_byte ? n_byte : 1);
	return at ? at : no_memory();
}

void *
xaligned(size_t n, size_t size_bytes)
{
	size_t n_byte;

	if (__builtin_mul_overflow(n, size_bytes, &n_byte) || n_byte > SIZE_MAX - 64)
		no_memory();
	void *at = aligned_alloc(64, (n_byte + 64) / 64 * 64);
	return at ? at : no_memory();
}

void *
xlarge(size_t n, size_t size_bytes)
{
	enum { PAGE = 2 << 20 };
	size_t n_byte;

	if (__builtin_mul_overflow(n, size_bytes, &n_byte) || n_byte > SIZE_MAX - PAGE)
		no_memory();
	if (n_byte < PAGE)
		return xaligned(n, size_bytes);
	n_byte = (n_byte + PAGE - 1) / PAGE * PAGE;
	void *at = aligned_alloc(PAGE, n_byte);
	if (!at)
		return no_memory();
#ifdef MADV_HUGEPAGE
	madvise(at, n_byte, MADV_HUGEPAGE);
#endif
	return at;
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xstrndup(const char *s, size_t n)
{
	char *copy = xmalloc(n + 1, 1);

	if (n)
		memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

void *
xgrow(void *at, size_t *n_cap, size_t n_want, size_t size_bytes)
{
	if (n_want <= *n_cap)
		return at;
	size_t n_new = *n_cap + *n_cap / 2;
	if (n_new < n_want)
		n_new = n_want;
	if (n_new < 16)
		n_new = 16;
	at = xrealloc(at, n_new, size_bytes);
	*n_cap = n_new;
	return at;
}

int
span_is(struct span s, const char *text)
{
	return s.n == strlen(text) && (s.n == 0 || memcmp(s.at, text, s.n) == 0);
}

void
buf_reserve(struct buf *b, size_t n_more)
{
	size_t n_want;

	if (__builtin_add_overflow(b->n, n_more, &n_want))
		no_memory();
	b->at = xgrow(b->at, &b->n_cap, n_want, 1);
}

void
buf_put(struct buf *b, const void *at, size_t n)
{
	if (n == 0)
		return;
	buf_reserve(b, n);
	memcpy(b->at + b->n, at, n);
	b->n += n;
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void
buf_putc(struct buf *b, int c)
{
	buf_reserve(b, 1);
	b->at[b->n++] = (char)c;
}

void
buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap, again;

	va_start(ap, format);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n >= 0) {
		buf_reserve(b, (size_t)n + 1);
		vsnprintf(b->at + b->n, (size_t)n + 1, format, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

const char *
buf_string(struct buf *b)
{
	buf_reserve(b, 1);
	b->at[b->n] = '\0';
	return b->at;
}

struct span
buf_span(const struct buf *b)
{
	return (struct span){ b->at, b->n };
}

void
buf_clear(struct buf *b)
{
	b->n = 0;
}

void
buf_free(struct buf *b)
{
	free(b->at);
	*b = (struct buf){0};
}
