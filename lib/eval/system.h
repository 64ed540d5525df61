/*
 * system.h - a system that hare-eval(1) runs: what it sees, what it shows, what it learns, what it can be asked
 *
 *   life      create() makes what a system holds of one user; rank() and learn() are called in turn, step after step;
 *             free() ends it. Users are alone: what is created for one never meets another's
 *   seen      a query, and afterwards the reward of each shown row, nothing else
 *   pure      rank(), foretell() and attend() change nothing that a later call can tell: all draws come from
 *             (seed, user, ask.draw), so they may be asked for probes between steps
 *   threads   what is created for different users may be used by different threads at once
 */
#ifndef HARE_EVAL_SYSTEM_H
#define HARE_EVAL_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "eval/space.h"

struct eval_ask {
	const float *x;                 /* [dim], the query */
	const float *cosine;            /* [n], its inner products with the candidates */
	uint32_t query;                 /* its row in space->query */
	uint64_t draw;                  /* number of this step: another one for each, and for each probe */
};

enum { EVAL_KNOBS = 14, EVAL_GRID = 8 };

/* A constant of a system. NAN as a default: that of the MODEL. */
struct eval_knob {
	const char *name, *help;
	double value;                   /* the default */
	double grid[EVAL_GRID];         /* what is tried on training users; n_grid 0: it is not chosen */
	size_t n_grid;
};

struct eval_system {
	const char *name, *title;
	const struct eval_knob *knob;   /* [n_knob] */
	size_t n_knob;
	int is_ablation;                /* of HARE: no controls are run for it */
	int needs_generator;            /* it is there only where the space has one */
	const void *arg;                /* handed to create() */
	/* value [n_knob]: the constants. space and value outlive the result. */
	void *(*create)(const void *arg, const struct eval_space *space, const double *value, uint64_t seed, uint64_t user);
	void (*free)(void *user);
	/* The n <= space->n rows to show, best first. 0, or -1 with *f set. */
	int (*rank)(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f);
	/* NULL: it does not learn. */
	int (*learn)(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f);
	/* The reward foretold for rows, and the standard deviation of what the system believes it to be. NULL: it foretells none. */
	int (*foretell)(void *user, const struct eval_ask *ask, const uint32_t *row, size_t n, double *mean, double *sd, struct fault *f);
	/* Weights [n candidates] that sum to 1. NULL: it does not attend. */
	int (*attend)(void *user, const struct eval_ask *ask, float *weight, struct fault *f);
};

/* All systems, ended by NULL; HARE first. */
extern const struct eval_system *const eval_systems[];
/* NULL with *f set (EX_USAGE) to a sentence. */
const struct eval_system *eval_system_find(const char *name, size_t n, struct fault *f);

/* The families, for eval_systems. */
extern const struct eval_system eval_random, eval_cosine, eval_memory, eval_rocchio;           /* simple.c */
extern const struct eval_system eval_linucb_user, eval_hybrid, eval_thompson;                  /* linear.c */
extern const struct eval_system eval_linucb_item, eval_linucb_cluster;                         /* arms.c */
extern const struct eval_system eval_history, eval_prototype;                                  /* history.c, prototype.c */
extern const struct eval_system eval_generative;                                               /* generative.c */
extern const struct eval_system eval_hare, eval_hare_nouser, eval_hare_alpha0, eval_hare_nowiden, eval_hare_wide,
    eval_hare_query, eval_hare_nob0, eval_hare_greedy, eval_hare_deaf, eval_hare_recall,
    eval_hare_tuned, eval_hare_heard;    /* hare.c */

#endif
