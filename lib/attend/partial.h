/*
 * partial.h - attention over a pool that is cut into shards, each seen by another process
 *
 *   steps     1. every shard tells its best rows (attend_find); 2. those of all shards together have the best rows of the
 *             whole, and with them T (attend_settle_found); 3. every shard sums weights and weighted rows at that T
 *             (attend_sum); 4. sums of all shards added are those of the whole (attend_put_together)
 *   exact     shards begin at multiples of ATTEND_TILE rows of the whole, sums over tiles are whole numbers, and all else is
 *             done in step 2 and 4 as attend_run() does it: so the result has the same bits
 */
#ifndef HARE_ATTEND_PARTIAL_H
#define HARE_ATTEND_PARTIAL_H

#include "attend/attend.h"

struct attend_found {           /* a row that may be among the best */
	size_t row;                     /* of the whole */
	float score;                    /* by the kernel */
	uint32_t cluster;
	const float *x;                 /* [dim], borrowed */
};

struct attend_settled {         /* step 2 */
	double best, temperature, tau;
	struct attend_item *top;        /* [n_top], best first; the caller's */
	size_t n_top;
};

struct attend_sums {            /* steps 3 and 4 */
	uint64_t w[2], wl[2];           /* low, high: of 2^-60, two's complement */
	int64_t *z;                     /* [dim], of 2^-36; the caller's */
};

/* Step 1: the rows of query i are then had by attend_found_row(), n of them, in no order. 0, or -1 with *f set. */
int attend_find(struct attend *a, size_t n_query, const struct attend_query *query, struct fault *f);
size_t attend_n_found(const struct attend *a);
/* Row k of query i; first: of the whole, where the shard begins. x [dim] takes the vector. 0, or -1 with *f set. */
int attend_found_row(struct attend *a, size_t i, size_t k, size_t first, float *x, struct attend_found *out, struct fault *f);

/* Step 2. n_top: best rows wanted, at most n; out->top has room for them. mean: as in struct attend_pool. */
void attend_settle_found(const struct attend_settings *set, const struct attend_query *query, const double *mean, size_t dim,
    size_t n_cluster, const struct attend_found *found, size_t n, size_t n_top, struct attend_settled *out);

/* Step 3, of n_query queries with what step 2 found of each. */
int attend_sum(struct attend *a, size_t n_query, const struct attend_query *query, const struct attend_settled *settled,
    size_t first, struct fault *f);
void attend_sums_of(struct attend *a, size_t i, struct attend_sums *out);

/* Step 4. */
void attend_sums_add(struct attend_sums *to, const struct attend_sums *part, size_t dim);
/* The answer; z [dim] takes it, the rest is borrowed from settled. */
void attend_put_together(const struct attend_settled *settled, const struct attend_sums *all, size_t n_item, size_t dim, float *z,
    struct attend_result *out);

#endif
