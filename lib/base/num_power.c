#include "base/num_power.h"

#include <stdatomic.h>
#include <stddef.h>

/* 5^348 takes 809 bits, and a quotient is begun with 127 more. */
enum { N_LIMB = 32, FIVES_PER_STEP = 13 };

static const uint32_t power_of_five[FIVES_PER_STEP + 1] = {
	1, 5, 25, 125, 625, 3125, 15625, 78125, 390625, 1953125, 9765625, 48828125, 244140625, 1220703125
};

/* x [N_LIMB], lowest limb first */
static void
multiply(uint32_t *x, uint32_t by)
{
	uint64_t carry = 0;

	for (size_t i = 0; i < N_LIMB; i++) {
		carry += (uint64_t)x[i] * by;
		x[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

static void
divide(uint32_t *x, uint32_t by)
{
	uint64_t rest = 0;

	for (size_t i = N_LIMB; i-- > 0; ) {
		rest = rest << 32 | x[i];
		x[i] = (uint32_t)(rest / by);
		rest %= by;
	}
}

static struct num_power
make(int k)
{
	uint32_t x[N_LIMB] = {0};
	int n_five = k < 0 ? -k : k;
	struct num_power f = {0};
	int is_cut;

	if (k < 0) {
		/* f = 2^(b + 127) / 5^n with b the bits of 5^n. Dividing in steps and dropping each remainder gives the
		   same whole number as one division, and it never comes out even. */
		int n_bit = num_power_log2(n_five) - n_five + 1 + 127;
		x[n_bit / 32] = (uint32_t)1 << n_bit % 32;
		for (; n_five > 0; n_five -= FIVES_PER_STEP)
			divide(x, power_of_five[n_five < FIVES_PER_STEP ? n_five : FIVES_PER_STEP]);
		f.lo = (uint64_t)x[1] << 32 | x[0];
		f.hi = (uint64_t)x[3] << 32 | x[2];
		is_cut = 1;
	} else {
		x[0] = 1;
		for (; n_five > 0; n_five -= FIVES_PER_STEP)
			multiply(x, power_of_five[n_five < FIVES_PER_STEP ? n_five : FIVES_PER_STEP]);
		int top = num_power_log2(k) - k;        /* number of the highest bit of 5^k */
		for (int i = 0; i < 128; i++) {
			int bit = top - i;
			f.hi = f.hi << 1 | f.lo >> 63;
			f.lo <<= 1;
			if (bit >= 0)
				f.lo |= x[bit / 32] >> bit % 32 & 1;
		}
		is_cut = top > 127;             /* 5^k is odd: what was cut off is not zero */
	}
	f.lo += (uint64_t)is_cut;
	f.hi += is_cut && f.lo == 0;
	return f;
}

struct num_power
num_power(int k)
{
	/* hi is never 0 once it is known, and is written last; two threads that meet write the same. */
	static struct {
		_Atomic uint64_t hi, lo;
	} known[2 * NUM_POWER_MAX + 1];
	size_t i = (size_t)(k + NUM_POWER_MAX);
	struct num_power f = { .hi = atomic_load_explicit(&known[i].hi, memory_order_acquire) };

	if (f.hi == 0) {
		f = make(k);
		atomic_store_explicit(&known[i].lo, f.lo, memory_order_relaxed);
		atomic_store_explicit(&known[i].hi, f.hi, memory_order_release);
		return f;
	}
	f.lo = atomic_load_explicit(&known[i].lo, memory_order_relaxed);
	return f;
}
