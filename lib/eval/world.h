/*
 * world.h - simulated users: candidates, queries and rewards by formulas, for hare-eval(1) simulate
 *
 *   draws    users are numbered from first_user on; interests, queries and rewards of a user follow from the seed and his
 *            number: users of other numbers are other people of the same world
 *   reward   of (user, round, row): 1 with the probability that the world has for it, else 0; or, in a graded world, that
 *            number itself. The same whenever it is asked
 */
#ifndef HARE_EVAL_WORLD_H
#define HARE_EVAL_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/rng.h"
#include "eval/run.h"
#include "model/model.h"
#include "pool/pool.h"

enum eval_queries_kind { EVAL_INFORMATIVE, EVAL_AMBIGUOUS, EVAL_EMPTY };

struct eval_world_options {
	uint64_t seed;
	size_t n_user, n_round, first_user;
	enum eval_queries_kind queries;
	size_t n_thread, cosine_bytes;
	/* clicks */
	size_t n_row;                   /* candidates */
	const char *prefixes;           /* of tags that are interests, split by commas */
	double share_min, share_max;    /* of the candidates that a tag must have to be one */
	double reward, base;            /* probability where an interest is met, and where not */
	double blend;                   /* share of the item in an ambiguous query */
	int among;                      /* queries are made of candidates, not of other rows */
	int any;                        /* either interest of a user is rewarded in all rounds, not the one asked for */
	int drift;                      /* interests change after half of the rounds */
	int half;                       /* interests of the users: 1 or 2 of two halves, drawn by the seed; 0: all */
};

struct eval_world {
	struct eval_space space;
	struct eval_task task;
	double *best;                   /* [n_step], highest probability of a reward in a step */
	double *single;                 /* [n_user], of the one row that is best for all rounds, on average */
	size_t n_interest;              /* clicks: tags that are interests, of both halves */
	const size_t *row;              /* clicks: [space.n], rows of the pool */
	/* the rest is the world's own */
	struct eval_world_options o;
	size_t *first;
	uint32_t *query;
	void *own;
	int is_graded;                  /* the reward is chance() itself, not 0 or 1 */
	double (*chance)(const struct eval_world *w, size_t user, size_t step, uint32_t row);
	void (*own_free)(void *own);
};

/* Items and tags of pool: texts of the column "tags", split by blanks. 0, or -1 with *f set; to be ended by
   eval_world_close() in either case. */
int eval_world_clicks(struct eval_world *w, const struct eval_world_options *o, const struct model *m, struct pool *pool,
    struct fault *f);
/* Latent preferences over a small clustered pool; see world_prototype.c. Never fails. */
void eval_world_prototype(struct eval_world *w, const struct eval_world_options *o);
void eval_world_close(struct eval_world *w);

/* For the worlds: task and room for [n_step]; the generator of a user, by purpose; best and single from chance(). */
void eval_world_begin(struct eval_world *w, const struct eval_world_options *o);
struct rng eval_world_rng(const struct eval_world_options *o, size_t user, uint64_t purpose);
void eval_world_finish(struct eval_world *w);

#endif
