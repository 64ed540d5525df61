/*
 * rng.h - random numbers by counter: any draw can be had without those before it
 *
 *   source   Salmon, Moraes, Dror, Shaw, Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011), Philox4x32-10
 *   use      key = (seed, stream), one stream for each record or row; so order, batches and threads do not matter
 */
#ifndef HARE_BASE_RNG_H
#define HARE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t seed, stream, counter;         /* counter: blocks drawn so far */
	uint32_t block[4];
	unsigned n_left;
};

struct rng rng_at(uint64_t seed, uint64_t stream);
uint32_t rng_u32(struct rng *r);
uint64_t rng_u64(struct rng *r);
double rng_uniform(struct rng *r);              /* in (0, 1), never an end; 53 bits */
double rng_normal(struct rng *r);               /* N(0, 1), Box-Muller */
double rng_gumbel(struct rng *r);               /* -log(-log(uniform)): argmax of log p + gumbel samples p */
uint64_t rng_below(struct rng *r, uint64_t n);  /* uniform in [0, n), no modulo bias; n > 0 */

#endif
