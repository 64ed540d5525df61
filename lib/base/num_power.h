/*
 * num_power.h - powers of ten as the readers and writers of num.h need them. Only for num_read.c and num_write.c.
 */
#ifndef HARE_BASE_NUM_POWER_H
#define HARE_BASE_NUM_POWER_H

#include <stdint.h>

enum { NUM_POWER_MAX = 348 };           /* every k with |k| up to this */

/* 10^k = f 2^(e - 127), e = num_power_log2(k), 2^127 <= f < 2^128: hi and lo are f rounded up to a whole number
   (exact for 0 <= k <= 55). Each is computed when it is first asked for, in a few microseconds. */
struct num_power {
	uint64_t hi, lo;
};
struct num_power num_power(int k);

/* floor(log2(10^k)), right for |k| <= 1233 */
static inline int
num_power_log2(int k)
{
	return (k * 1741647) >> 19;
}

#endif
