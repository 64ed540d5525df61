/*
 * measure.h - what hare-eval(1) reports of runs
 *
 *   hits         of a step: 1 if one of the first 1, or of all shown, had a reward; new: one that had not been shown to
 *                that user in an earlier step. Mean over a user's steps of a block, then mean and s.e. over users
 *   pairs        the same, user by user less that of another run on the same task
 *   entropy      of attention over probes, nats; falls: share of users whose last is below their first
 *   divergence   over probes and pairs of users: 1 - cosine of z, and share of common rows among the first five
 *   calibration  deciles of the foretold reward beside the observed share; and coverage: the number of rewards among all
 *                that was shown in CALIBRATION_STEPS steps of a user has a distribution under what was foretold; how often
 *                does its central interval hold what came? See coverage.c
 */
#ifndef HARE_EVAL_MEASURE_H
#define HARE_EVAL_MEASURE_H

#include <stddef.h>

#include "base/fault.h"
#include "eval/run.h"
#include "eval/table.h"

/* Steps counted from 1 within a user, both ends belong to it. */
struct eval_block {
	const char *name;
	size_t from, to;
};
extern const struct eval_block eval_replay_blocks[];    /* 1-10, 11-30, 31-100, all; ended by a NULL name */
extern const struct eval_block eval_simulate_blocks[];  /* 1-10, 11-50, 51-200, all */

enum { EVAL_HIT1, EVAL_HIT, EVAL_NEW, EVAL_MEASURES };
/* value [n_user]: NAN for a user without steps in the block. */
void eval_hits(const struct eval_run *r, const struct eval_task *t, const struct eval_block *block, int measure, double *value);
/* What constants are chosen by: the mean over users of hits over all steps; where one row is shown, the mean reward. */
double eval_score(const struct eval_run *r, const struct eval_task *t);

enum { CALIBRATION_STEPS = 10, CALIBRATION_LEVELS = 3, CALIBRATION_BINS = 10 };
extern const double eval_level[CALIBRATION_LEVELS];     /* .5, .8, .95 */
/* Shares [CALIBRATION_LEVELS] of groups whose count lies in the central interval, and how many groups there are. */
size_t eval_coverage(const struct eval_run *r, const struct eval_task *t, double *covered);
/* The distribution [n + 1] of the number of rewards among n rows shown at once, foretold mean and sd. */
void eval_count_distribution(const double *mean, const double *sd, size_t n, double *probability);

/* Rows of the tables. against, and other, may be NULL: no pairs. */
int eval_report_hits(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t,
    const struct eval_block *blocks, const char *against, const struct eval_run *other, struct fault *f);
/* Windows of EVAL_WINDOW steps: hits, or mean reward of what was shown, for curves; block is the last step of each. */
enum { EVAL_WINDOW = 10 };
int eval_report_curve(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t, int of_hits,
    struct fault *f);
/* Mean reward of what was shown by block, and less that of another run; regret: best [n_step] less reward, summed up to
   the end of each window. best and other may be NULL. */
int eval_report_rewards(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t,
    const struct eval_block *blocks, const double *best, const char *against, const struct eval_run *other, struct fault *f);
/* table: "entropy", "entropy-zero" or "entropy-chance" */
int eval_report_entropy(struct eval_table *out, const char *table, const char *name, const struct eval_run *r, struct fault *f);
int eval_report_divergence(struct eval_table *out, const char *name, const struct eval_run *r, struct fault *f);
int eval_report_calibration(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t,
    struct fault *f);

#endif
