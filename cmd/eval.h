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

/* What a system is reported by besides its hits. */
int eval_report_constants(struct eval_table *out, const struct eval_entry *e, const struct eval_constants *c, struct fault *f);
int eval_report_time(struct eval_table *out, const char *name, double cpu_s, size_t n_step, struct fault *f);
/* Entropy and divergence of r, and for what attends and is no ablation the controls: runs with rewards of 0, and with
   rewards drawn at the rate of r. */
int eval_report_probes(struct eval_table *out, const struct eval_entry *e, const struct eval_constants *c,
    const struct eval_space *space, const struct eval_task *task, const struct eval_run_options *o, const struct eval_run *r,
    struct fault *f);
/* Probes: up to EVAL_PROBES different queries of the space, drawn by the seed. */
void eval_choose_probes(struct eval_run_options *o, size_t n_query);

/* Figures of what t kept into folder, which is made if it is not there. heat: a run that has it, or NULL; query: what was
   asked. */
int eval_plot(const char *folder, const struct eval_table *t, const struct eval_run *heat, const struct eval_space *space,
    struct eval_labels labels, const char *query, struct fault *f);

extern const struct opt_program eval_replay, eval_simulate, eval_titles;

#endif
