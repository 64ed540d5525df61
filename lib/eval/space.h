/*
 * space.h - what all systems of hare-eval(1) work on: candidates, queries, and the constants of a MODEL
 *
 *   scale     beta = sqrt(2 ln n) / sd_s of the candidates, as attend_beta()
 *   shapes    x [n][dim] and query [n_query][dim] are float32, one row behind the other
 *   cost      inner products of all queries with all candidates are kept where they fit into the memory allowed, else each
 *             is computed when it is asked for; the same bits either way
 */
#ifndef HARE_EVAL_SPACE_H
#define HARE_EVAL_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "belief/belief.h"
#include "embed/embed.h"
#include "model/model.h"
#include "pool/pool.h"

struct eval_generator;

#define EVAL_COSINE_BYTES ((size_t)1 << 30)      /* for all spaces of a run together */

struct eval_space {
	size_t n, dim, n_cluster, n_query;
	float *x;                       /* [n][dim], candidates */
	float *mean;                    /* [dim], what the features of a belief are counted from */
	double *mean64;                 /* [dim], the same */
	uint32_t *cluster;              /* [n], below n_cluster */
	float *query;                   /* [n_query][dim] */
	float *cosine;                  /* [n_query][n], or NULL */
	double beta;                    /* scale of the logits */
	double gain, kappa;             /* g, widening */
	double bonus;                   /* alpha / beta */
	struct belief_prior prior;
	const struct eval_generator *generator;         /* generative.h, borrowed; NULL: none */
};

/* The rows [n] of the pool, with the constants of the model; no query yet. 0, or -1 with *f set. To be ended by
   eval_space_close() in either case. */
int eval_space_open(struct eval_space *s, const struct model *m, struct pool *p, const size_t *row, size_t n, struct fault *f);
/* The same from vectors: takes x [n][dim] over; clusters are all 0, constants those of model_defaults(). */
void eval_space_of(struct eval_space *s, float *x, size_t n, size_t dim);
void eval_space_close(struct eval_space *s);
/* Takes query [n_query][dim] over, in place of those before. */
void eval_space_ask(struct eval_space *s, float *query, size_t n_query, size_t n_thread, size_t cosine_bytes);
/* Moves candidates and queries into the space of a MODEL of hare-train(1), trained on the one that s is in, with its constants.
   e is of m. 0, or -1 with *f set (EX_DATAERR) if it is not trained, or on vectors of another length. */
int eval_space_train(struct eval_space *s, const struct embed *e, const struct model *m, size_t n_thread, size_t cosine_bytes,
    struct fault *f);
/* Inner products [n] of a query with all candidates: borrowed, or put into scratch [n]. */
const float *eval_space_cosine(const struct eval_space *s, size_t query, float *scratch);

/* The n highest of score [n_score] into row, highest first, of equals the lower row. n <= n_score. */
void eval_top(const float *score, size_t n_score, size_t n, uint32_t *row);

#endif
