/*
 * run.h - one system through the steps of many users, and what came of it
 *
 *   step     the system ranks the candidates for the query, the n_show best are shown, the reward of each is learnt
 *   probe    between steps, after the numbers of steps in check, each user is asked the same probe queries, from which
 *            nothing is learnt
 *   threads  users are spread over threads; a run is the same whatever their number, but for cpu_s
 *   shapes   a step is known by its place in the whole task; users have steps first[user] to first[user + 1]
 */
#ifndef HARE_EVAL_RUN_H
#define HARE_EVAL_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "eval/space.h"
#include "eval/system.h"

struct eval_task {
	size_t n_user, n_step;
	const size_t *first;            /* [n_user + 1] */
	const uint32_t *query;          /* [n_step], row of space->query */
	/* Of a row shown to user in step; from several threads, and the same whenever it is asked. */
	double (*reward)(const void *arg, size_t user, size_t step, uint32_t row);
	const void *arg;
};

enum { EVAL_CHECKS = 7, EVAL_PROBES = 20, EVAL_PROBE_TOP = 5 };
extern const size_t eval_check[EVAL_CHECKS];    /* 0, 5, 10, 25, 50, 100, 200 steps */

enum eval_feedback { EVAL_TRUE, EVAL_ZERO, EVAL_CHANCE };       /* rewards learnt: as they are, 0, drawn with one rate */

struct eval_run_options {
	size_t n_show;
	uint64_t seed;
	size_t n_thread;
	enum eval_feedback feedback;
	double rate;                    /* EVAL_CHANCE: probability of a reward of 1 */
	size_t n_probe;                 /* 0: none are asked */
	uint32_t probe[EVAL_PROBES];    /* rows of space->query */
	size_t n_probe_user;            /* of the first so many users */
	int want_heat;                  /* if it attends */
};

struct eval_run {
	size_t n_show, n_probe, n_probe_user, dim;
	uint32_t *shown;                /* [n_step][n_show] */
	float *reward;                  /* [n_step][n_show], the true one */
	double *mean, *sd;              /* [n_step][n_show], foretold before it was learnt; NULL: it foretells none */
	int attends;
	double *entropy;                /* [n_probe_user][EVAL_CHECKS], nats, mean over probes; NAN: not reached */
	float *z;                       /* [n_probe_user][EVAL_CHECKS][n_probe][dim], if it attends */
	uint32_t *top;                  /* [n_probe_user][EVAL_CHECKS][n_probe][EVAL_PROBE_TOP] */
	unsigned char *reached;         /* [n_probe_user][EVAL_CHECKS] */
	float *heat;                    /* [n_probe_user][space->n], attention to the first probe behind the last step; or NULL */
	uint32_t *world;                /* [n_probe_user], what it ran in: only users of one are compared */
	double cpu_s;                   /* in rank and learn */
};

/* 0, or -1 with *f set. To be ended by eval_run_free() in either case. value [system->n_knob] */
int eval_run(struct eval_run *r, const struct eval_system *system, const double *value, const struct eval_space *space,
    const struct eval_task *task, const struct eval_run_options *o, struct fault *f);
void eval_run_free(struct eval_run *r);
/* all, a run over task steps so far, goes on with more: users, steps and probes of one behind those of the other, more's
   being of another world. {0} is a run to begin with. task's first is grown, to be freed; its queries and rewards are not
   joined. */
void eval_run_join(struct eval_run *all, struct eval_task *task, const struct eval_run *more, const struct eval_task *task_of_more);

#endif
