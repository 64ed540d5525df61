/*
 * claim.h - a test in C prints one line for each claim; scripts/run-tests counts them
 */
#ifndef HARE_TESTS_CLAIM_H
#define HARE_TESTS_CLAIM_H

#include <stdarg.h>
#include <stdio.h>

/* A size, and the one that does for the address sanitizer: what a loop does to memory shows in few of its rounds, and its numbers
   are claimed by the build without. */
#ifdef __SANITIZE_ADDRESS__
#define CLAIM_SIZE(all, sanitized) (sanitized)
#else
#define CLAIM_SIZE(all, sanitized) (all)
#endif

static int claim_n_failed;

/* claim(x == 4, "two and two are %d", 4): the text is what holds when the test passes. Returns holds. */
__attribute__((format(printf, 2, 3), unused)) static int
claim(int holds, const char *format, ...)
{
	va_list ap;

	printf(holds ? "ok - " : "not ok - ");
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	putchar('\n');
	claim_n_failed += !holds;
	fflush(stdout);
	return holds;
}

#endif
