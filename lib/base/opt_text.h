/*
 * opt_text.h - what a table of options looks like: usage, --help, --list-options, completions. Only for opt.c.
 *
 * top is the program, p the program itself or one of its verbs.
 */
#ifndef HARE_BASE_OPT_TEXT_H
#define HARE_BASE_OPT_TEXT_H

#include <stddef.h>
#include <stdio.h>

#include "base/opt.h"

/* The options of p, those of an OPT_TABLE in its place. Returns their number; *all is the caller's to free(). */
size_t opt_flatten(const struct opt_program *p, const struct opt ***all);

void opt_put_usage(FILE *out, const struct opt_program *top, const struct opt_program *p);
void opt_put_help(FILE *out, const struct opt_program *top, const struct opt_program *p);
void opt_put_list(FILE *out, const struct opt_program *top);
int opt_put_completion(FILE *out, const struct opt_program *top, const char *shell);    /* -1: not a shell we know */

#endif
