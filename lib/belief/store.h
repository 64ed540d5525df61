/*
 * store.h - inside lib/belief: what a belief holds
 *
 *   obs      rows of 16 + 4 dim bytes, in the order in which they came: time f64, reward f64, f f32 [dim]
 *   sum      sum w | sum w r | sum w r^2 | sum w f [dim] | sum w r f [dim] | sum w f f' packed lower, all at last_time
 */
#ifndef HARE_BELIEF_STORE_H
#define HARE_BELIEF_STORE_H

#include <string.h>

#include "belief/belief.h"

struct belief {
	size_t dim;
	uint64_t n;
	double first, last;
	int is_sums;            /* which of the two is meant; the other is only memory */
	struct buf obs;
	double *sum;            /* NULL until needed */
};

static inline size_t
packed_size(size_t dim)
{
	return dim * (dim + 1) / 2;
}

static inline size_t
obs_bytes(size_t dim)
{
	return 16 + 4 * dim;
}

static inline size_t
sum_count(size_t dim)
{
	return 3 + 2 * dim + packed_size(dim);
}

struct observation {
	double time, reward;
	const float *f;         /* [dim], in the belief's own memory */
};

static inline struct observation
belief_at(const struct belief *b, size_t i)
{
	const char *at = b->obs.at + i * obs_bytes(b->dim);
	struct observation o;

	memcpy(&o.time, at, 8);
	memcpy(&o.reward, at + 8, 8);
	o.f = (const float *)(at + 16);         /* rows are multiples of 4 bytes */
	return o;
}

/* How much an observation of this age still counts. */
double belief_weight(double age, double half_life);

#endif
