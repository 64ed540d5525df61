/*
 * eval.h - what the verbs of hare-eval share
 */
#ifndef HARE_CMD_EVAL_H
#define HARE_CMD_EVAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/opt.h"
#include "eval/plot.h"
#include "eval/run.h"
#include "eval/table.h"
#include "eval/tune.h"

enum { EVAL_ENTRIES_MAX = 256 };

/* A system on a space: SYSTEM, or SYSTEM@SPACE. */
struct eval_entry {
	const struct eval_system *system;
	size_t space;
	char name[64];                  /* what it is reported by */
};
/* Entries of a list split by commas; "all" is all systems. space [n_space]: the names of the spaces, the first being what
   is meant where none is named. no_generator: why systems that need one are not there, and are not of "all"; NULL: they are.
   Returns how many, or -1 with *f set. */
int eval_pick(const char *names, const char *const *space, size_t n_space, const char *no_generator, struct eval_entry *entry,
    struct fault *f);

/* What replay and simulate do alike: every system in turn. */
struct eval_bench {
	struct eval_entry entry[EVAL_ENTRIES_MAX];
	int n_entry;
	const struct opt_list *given;   /* --set */
	struct eval_run_options run;
	struct eval_table table;
	const struct eval_space *space; /* constants are chosen in the one of the entry ... */
	const struct eval_task *tuning; /* ... on this; NULL or without steps: they are not */
	struct eval_run heat;           /* heat of the first system that attends */
	void *arg;                      /* for: */
	/* Runs the entry; *task, which all runs have alike, stays until the next run. */
	int (*run_entry)(void *arg, const struct eval_entry *e, const struct eval_constants *c, enum eval_feedback feedback,
	    double rate, struct eval_run *run, const struct eval_task **task, struct fault *f);
	/* What the verb reports between constants and time. first: NULL for the first itself. */
	int (*report)(void *arg, const struct eval_entry *e, const struct eval_constants *c, const struct eval_run *run,
	    const struct eval_task *task, const struct eval_run *first, struct fault *f);
};
int eval_bench_run(struct eval_bench *b, struct fault *f);
void eval_bench_free(struct eval_bench *b);
/* The first run with a heat gives it to the bench. */
void eval_bench_heat(struct eval_bench *b, struct eval_run *run);
/* Entropy and divergence of r, and for what attends and is no ablation the controls: runs with rewards of 0, and with
   rewards drawn at the rate of r. */
int eval_bench_probes(struct eval_bench *b, const struct eval_entry *e, const struct eval_constants *c,
    const struct eval_run *r, const struct eval_task *task, struct fault *f);
/* Probes: up to EVAL_PROBES different queries of the space, drawn by the seed. */
void eval_choose_probes(struct eval_run_options *o, size_t n_query);

/* Figures of what t kept into folder, which is made if it is not there. heat: a run that has it, or NULL; query: what was
   asked. */
int eval_plot(const char *folder, const struct eval_table *t, const struct eval_run *heat, const struct eval_space *space,
    struct eval_labels labels, const char *query, struct fault *f);

extern const struct opt_program eval_replay, eval_simulate, eval_titles;

#endif
