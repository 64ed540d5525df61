/*
 * heads.h - attention with several heads, each with a softmax of its own
 *
 *   head      l_hj = a_h.x_j, A_h = softmax(l_h), z_h = sum_j A_hj x_j, h = 1 .. H; a_h holds whatever scale there is
 *   use       with projections, q'W_Q'W_K x_j is a_h.x_j with a_h = W_K'W_Q q, and sum_j A_hj W_V x_j is W_V z_h: so the pool is
 *             never projected, and one pass over its rows serves all heads of all queries. Heads whose scores are summed
 *             before one softmax are one head with the sum of their a_h
 *   rounding  as in attend.h: the same bits for any batch, number of threads, and order of queries. Weights are taken relative
 *             to a power of 16, which rises within a tile where 16 rows have a better one (online softmax: Milakov and
 *             Gimelshein 2018, with steps); what they sum to is kept in whole numbers, apart for each such power, and those
 *             16^-14 below the best are left out
 *   cost      up to four heads in all: about the time of reading the rows; of many, that of two products of matrices
 */
#ifndef HARE_ATTEND_HEADS_H
#define HARE_ATTEND_HEADS_H

#include "attend/attend.h"

struct attend_head_item {
	size_t row;
	double logit, weight;   /* A_hj */
};

struct attend_head_result {     /* borrowed until the next run */
	const float *z;                 /* [dim] */
	double entropy_nats, log_sum;   /* log_sum: ln sum_j exp(l_hj) */
	const struct attend_head_item *item;    /* [n_item], heaviest first, the lower row on a tie */
	size_t n_item;                  /* min(n_top, rows) */
};

struct attend_heads;
/* n_top may be 0. kernel NULL: the best of this processor. */
struct attend_heads *attend_heads_new(const struct attend_pool *pool, size_t n_head, size_t n_top, size_t n_query_max,
    size_t n_thread, const struct attend_kernel *kernel);
void attend_heads_free(struct attend_heads *h);         /* NULL is allowed */
/* a [n_query][n_head][dim]: |a_h| below 1e6. result [n_query][n_head]. 0, or -1 with *f set: a row could not be read. */
int attend_heads_run(struct attend_heads *h, size_t n_query, const float *a, struct attend_head_result *result, struct fault *f);

#endif
