/*
 * opt.h - one table of options makes the parser, --help, the completions and the check of the man page
 *
 * Every program understands besides its table: --help (to stdout, exit 0), --version, and, for the build and the
 * tests, --list-options (one line each: verb, letter or -, name, argument or -) and --completion bash|zsh|fish.
 * A wrong option, a value that is none, a missing operand: one line and the usage on stderr, exit EX_USAGE.
 */
#ifndef HARE_BASE_OPT_H
#define HARE_BASE_OPT_H

#include <stddef.h>
#include <stdint.h>

#define HARE_VERSION "0.1.0"

enum opt_kind {
	OPT_END,                /* ends a table */
	OPT_FLAG,               /* int *        set to 1 */
	OPT_STRING,             /* const char **  */
	OPT_FILE,               /* const char **  the same; completed as a file name */
	OPT_LIST,               /* struct opt_list *  may be given again */
	OPT_SIZE,               /* size_t *     digits */
	OPT_U64,                /* uint64_t *   digits */
	OPT_REAL,               /* double *     finite */
	OPT_CHOICE,             /* const char **  one of choices */
	OPT_TABLE,              /* const struct opt *  into is another table that belongs to this one */
};

struct opt_list {
	const char **at;        /* [n], grown by opt_run() */
	size_t n;
};

struct opt {
	int letter;             /* 'm', or 0 */
	const char *name;       /* "model", or NULL */
	enum opt_kind kind;
	void *into;             /* where the value goes; what stands there before is the default */
	const char *arg;        /* "MODEL", in usage and help; NULL for flags */
	const char *help;       /* one line */
	const char *choices;    /* "csv tsv json", for OPT_CHOICE */
	const char *env;        /* environment variable that gives the default, or NULL */
};

struct opt_program {
	const char *name;       /* "hare-pool", or a verb: "build" */
	const char *summary;    /* one line, as in NAME of the man page */
	const char *usage;      /* what follows the name: "[-q] -m MODEL -p POOL... [file ...]"; lines split by \n */
	const struct opt *opts; /* ended by OPT_END; NULL for none */
	const char *examples;   /* lines to paste, may be NULL */
	int (*run)(const struct opt_program *p, int n_operand, char **operand); /* returns the exit status; NULL: a verb is needed */
	const struct opt_program *const *verbs;         /* ended by NULL; NULL for none */
};

/* Finds the verb, parses (options may stand after operands; "--" ends them), calls run. What main() should return:
   return opt_run(&program, argc, argv); */
int opt_run(const struct opt_program *p, int argc, char *argv[]);

/* For run(): prints "NAME: text" and the usage, exits with EX_USAGE. */
_Noreturn void opt_usage(const struct opt_program *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
