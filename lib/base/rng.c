#include "base/rng.h"

#include <math.h>

/* Ten rounds of Philox 4x32: two 32 x 32 bit products, their halves crossed and mixed with the key, which takes a
   Weyl step after each round. */
static void
philox(uint32_t c[4], uint32_t key_0, uint32_t key_1)
{
	for (int round = 0; round < 10; round++) {
		uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
		uint32_t x = (uint32_t)(b >> 32) ^ c[1] ^ key_0, y = (uint32_t)(a >> 32) ^ c[3] ^ key_1;

		c[0] = x;
		c[1] = (uint32_t)b;
		c[2] = y;
		c[3] = (uint32_t)a;
		key_0 += 0x9E3779B9u;
		key_1 += 0xBB67AE85u;
	}
}

struct rng
rng_at(uint64_t seed, uint64_t stream)
{
	return (struct rng){ .seed = seed, .stream = stream };
}

uint32_t
rng_u32(struct rng *r)
{
	if (r->n_left == 0) {
		r->block[0] = (uint32_t)r->counter;
		r->block[1] = (uint32_t)(r->counter >> 32);
		r->block[2] = (uint32_t)r->stream;
		r->block[3] = (uint32_t)(r->stream >> 32);
		philox(r->block, (uint32_t)r->seed, (uint32_t)(r->seed >> 32));
		r->counter++;
		r->n_left = 4;
	}
	return r->block[4 - r->n_left--];
}

uint64_t
rng_u64(struct rng *r)
{
	uint64_t low = rng_u32(r);

	return (uint64_t)rng_u32(r) << 32 | low;
}

double
rng_uniform(struct rng *r)
{
	/* Odd multiples of 2^-53: the lowest is 2^-53 and the highest 1 - 2^-53, both exact. */
	return (double)(rng_u64(r) >> 12 << 1 | 1) * 0x1p-53;
}

double
rng_normal(struct rng *r)
{
	double radius = sqrt(-2 * log(rng_uniform(r)));

	return radius * cos(2 * 3.14159265358979323846 * rng_uniform(r));
}

double
rng_gumbel(struct rng *r)
{
	return -log(-log(rng_uniform(r)));
}

uint64_t
rng_below(struct rng *r, uint64_t n)
{
	/* Lemire, Fast Random Integer Generation in an Interval (2019): the high half of u n is uniform once the
	   2^64 mod n lowest values of the low half are thrown back. */
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)rng_u64(r) * n;

	if ((uint64_t)product < n) {
		uint64_t floor = -n % n;
		while ((uint64_t)product < floor)
			product = (wide)rng_u64(r) * n;
	}
	return (uint64_t)(product >> 64);
}
