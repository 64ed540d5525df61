/*
 * scratch.h - a folder or a file of a test's own, in TMPDIR, which scripts/run-tests removes; in /tmp if that has a long name
 */
#ifndef HARE_TESTS_SCRATCH_H
#define HARE_TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCRATCH = 64 };          /* of a path, so that names behind it have room */

static inline void
scratch_name(char path[SCRATCH])
{
	const char *place = getenv("TMPDIR");

	if (!place || strlen(place) > SCRATCH - 24)
		place = "/tmp";
	snprintf(path, SCRATCH, "%s/test-XXXXXX", place);
}

/* 0, or -1: there is none. */
static inline int
scratch_folder(char path[SCRATCH])
{
	scratch_name(path);
	return mkdtemp(path) ? 0 : -1;
}

static inline int
scratch_file(char path[SCRATCH])
{
	scratch_name(path);
	int fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

#endif
