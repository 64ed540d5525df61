/*
 * source.h - bytes in: a file or stdin, gzip recognised by its magic number. The only caller of zlib.
 */
#ifndef HARE_BASE_SOURCE_H
#define HARE_BASE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

struct source;

/* path "-" or NULL is stdin, called "stdin" in messages. NULL with *f set (EX_NOINPUT, EX_NOPERM; a directory is
   EX_NOINPUT). */
struct source *source_open(const char *path, struct fault *f);
void source_close(struct source *s);            /* NULL is allowed */
const char *source_name(const struct source *s);

/* Up to n unpacked bytes; 0 at the end; -1 with *f set (EX_IOERR; a gzip stream that is cut or damaged is
   EX_DATAERR). Retries EINTR. Returns what one read(2) gives, so a pipe is not waited on for more. */
ptrdiff_t source_read(struct source *s, void *at, size_t n, struct fault *f);

/* 1 if source_read() may have to wait for another program: a pipe or terminal with nothing in it now. */
int source_would_block(struct source *s);

/* Goes on at this byte of the unpacked stream (seek for a plain file, else by reading). 0 or -1. */
int source_skip_to(struct source *s, uint64_t offset, struct fault *f);

/* Share of the file's own (packed) bytes that was read, in [0, 1]; -1 if its end is not known, as of a pipe. */
double source_share(const struct source *s);

#endif
