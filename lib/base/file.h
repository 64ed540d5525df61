/*
 * file.h - files that are whole or not there, and the end of stdout
 */
#ifndef HARE_BASE_FILE_H
#define HARE_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/fault.h"

/* A file written under a temporary name in its own folder, then synced and renamed: a reader sees the old file or
   the new one. A killed writer leaves the old file, and a temporary that the next writer of the same name does not
   trip over; one that is ended by SIGINT, SIGTERM, SIGHUP or SIGPIPE removes it first. A symbolic link stays and the
   file it leads to is replaced. What is no regular file (a device, a FIFO) is written straight. path is read only
   during the call. */
struct file_out;
/* Whether file_out_open() would be let write there, for programs that work long before they open: 0, or -1 with *f set
   as it would be. A disk that is full it cannot foresee. */
int file_out_check(const char *path, struct fault *f);
struct file_out *file_out_open(const char *path, mode_t mode, struct fault *f);
int file_out_fd(struct file_out *o);
int file_out_write(struct file_out *o, const void *at, size_t n, struct fault *f);      /* buffered */
int file_out_commit(struct file_out *o, struct fault *f);       /* flush, fsync, rename, fsync the folder; frees o */
void file_out_abort(struct file_out *o);                        /* removes the temporary; frees o; NULL allowed */

/* The same care for a temporary of another kind: SIGINT, SIGTERM, SIGHUP and SIGPIPE remove the file of that name until
   it is forgotten. The name itself is kept, not a copy, and may be remembered before the file is there. Of more than 32
   names at once the rest is not kept. file_forget() allows NULL. */
void file_remember(const char *name);
void file_forget(const char *name);

char *file_folder(const char *path);    /* that the path is in; the caller frees it */

/* A file mapped read-only; an empty one gives at = NULL, n = 0. Truncation after opening is not guarded against
   (SIGBUS): files are replaced, never cut in place. */
struct file_map {
	const unsigned char *at;
	size_t n;
};
int file_map_open(struct file_map *m, const char *path, struct fault *f);
void file_map_close(struct file_map *m);
/* All of at[0..n_byte), which lies in the map, will be read: what is not in memory yet may come in large pages. A hint. */
void file_map_whole(const struct file_map *m, const void *at, size_t n_byte);

/* Ends a program: flushes and closes stdout; a failure there is one line and EX_IOERR unless status already tells
   of another; EPIPE is quiet. Returns what main should return. */
int file_stdout_close(int status);

/* At the start of every program: SIGPIPE ends quietly, SIGXFSZ becomes an error of write(2), and no file that is opened
   later takes the number of a standard stream that was closed: using that stream stays an error (EBADF). */
void file_init(void);

#endif
