/*
 * tune.h - constants of a system: from its table, from the command line, or chosen on training users
 */
#ifndef HARE_EVAL_TUNE_H
#define HARE_EVAL_TUNE_H

#include <stddef.h>

#include "base/fault.h"
#include "eval/run.h"

struct eval_constants {
	double value[EVAL_KNOBS];
	const char *from[EVAL_KNOBS];   /* "default", "model", "given" or "chosen" */
	double score;                   /* of the choice, on the training users; NAN if none was made */
};

/* Defaults, and what given (entries "SYSTEM.KNOB=VALUE") says of this system. 0, or -1 with *f set (EX_USAGE). */
int eval_constants(struct eval_constants *c, const struct eval_system *system, const char *const *given, size_t n_given,
    struct fault *f);
/* Every entry of given names a system and one of its constants: 0, or -1 with *f set (EX_USAGE). */
int eval_check_given(const char *const *given, size_t n_given, struct fault *f);
/* One constant after the other takes that value of its grid with the highest eval_score() on the task, of equals the
   first, until a round changes nothing, at most three times; given ones stay. 0, or -1 with *f set. */
int eval_tune(struct eval_constants *c, const struct eval_system *system, const struct eval_space *space,
    const struct eval_task *task, const struct eval_run_options *o, struct fault *f);

#endif
