/*
 * bandit.h - what the verbs of hare-bandit share: the bandit that options and state ask for, and where an input was
 *            read to
 */
#ifndef HARE_CMD_BANDIT_H
#define HARE_CMD_BANDIT_H

#include <stdint.h>

#include "bandit/bandit.h"
#include "base/opt.h"
#include "learn/learn.h"
#include "place.h"
#include "record/record.h"

/* Options of all verbs. */
extern const char *bandit_state_name;
extern const struct opt bandit_policy_opts[], bandit_model_opts[], bandit_arm_opts[];
/* Complains about values that are none. */
void bandit_check_options(const struct opt_program *p);

struct bandit_job {
	struct state *state;            /* NULL: nothing is kept */
	struct bandit *bandit;
	struct bandit_desk *desk;       /* of one row; made anew by bandit_job_desk() */
	size_t n_desk_arm;
	struct buf x;                   /* a row's features */

	struct record_in *in;
	int x_column;
	struct place place;             /* of this input in the state */
	uint64_t n_read, n_waiting;     /* rows; of them not committed */
};

/* The state in this mode if one was named, and the bandit. The state's settings hold where no option was given; an
   option that contradicts what it has learnt is EX_DATAERR. */
int bandit_job_open(struct bandit_job *j, enum state_mode mode, struct fault *f);
/* Adds the arms of --arms. */
int bandit_job_arms(struct bandit_job *j, struct fault *f);
void bandit_job_close(struct bandit_job *j);

/* The features of row i, in j->x, checked: 0 or -1. The first row sets the dimension. */
int bandit_job_features(struct bandit_job *j, size_t i, struct fault *f);
/* The arm a cell names: added if the bandit's arms are open. -1: it must not be, or is empty. */
int bandit_job_arm(struct bandit_job *j, size_t i, int column, size_t *arm, struct fault *f);
struct bandit_desk *bandit_job_desk(struct bandit_job *j);

/* Opens an input that has the column x. path NULL: stdin. */
int bandit_job_input(struct bandit_job *j, char *path, struct fault *f);
/* Goes on where the state, if there is one, says that its last reading ended. */
int bandit_job_resume(struct bandit_job *j, const char *path, struct fault *f);
void bandit_job_end_input(struct bandit_job *j);
void bandit_job_read(struct bandit_job *j, size_t i);           /* row i is done with */
int bandit_job_commit(struct bandit_job *j, struct fault *f);
/* 1 if the input is a pipe that has been silent for a second. */
int bandit_job_is_silent(struct bandit_job *j);

extern const struct opt_program bandit_estimate;

#endif
