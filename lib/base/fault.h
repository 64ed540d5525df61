/*
 * fault.h - what went wrong, in words for the user
 *
 * Libraries explain, programs decide: a library call that fails fills the caller's struct fault and returns -1
 * or NULL; only cmd/ prints it and exits with its status, one of sysexits.h.
 */
#ifndef HARE_BASE_FAULT_H
#define HARE_BASE_FAULT_H

#include <stddef.h>
#include <sysexits.h>

struct fault {
	int status;             /* EX_DATAERR, EX_NOINPUT, ...; what the program should exit with */
	char text[1024];        /* one line without the program's name and without a line end */
};

/* Fills *f and returns -1, so that a caller can write: return fault(f, EX_DATAERR, "%s: ...", ...);
   a text longer than the field is cut at its end. */
int fault(struct fault *f, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same for a failed system call on a file: "PATH: WHAT: strerror(errno)". The status follows errno:
   ENOENT, EISDIR and ENOTDIR are EX_NOINPUT, EACCES, EPERM and EROFS EX_NOPERM, ENOSPC, EDQUOT and EFBIG EX_TEMPFAIL,
   all else EX_IOERR. what may be NULL. */
int fault_errno(struct fault *f, const char *path, const char *what);

/* Bytes of the user's that go into a message: printable, in at most 40 characters, cut ones end in "...".
   The result lives in one of 4 buffers of the thread. */
const char *fault_quote(const char *at, size_t n);

#endif
