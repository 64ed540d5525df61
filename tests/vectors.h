/*
 * vectors.h - vectors that a test draws, and numbers of rows as pools keep them
 */
#ifndef HARE_TESTS_VECTORS_H
#define HARE_TESTS_VECTORS_H

#include <math.h>
#include <stdint.h>

#include "attend/attend.h"
#include "base/rng.h"
#include "mat/half.h"
#include "mat/mat.h"

static struct rng rng;          /* of the program; main() sets it */

/* x [dim] of length 1, in a direction drawn. */
static inline void
unit(float *x, size_t dim)
{
	for (size_t d = 0; d < dim; d++)
		x[d] = (float)rng_normal(&rng);
	mat_normalise(x, dim);
}

/* Number i of kept becomes x, int8 in units of scale. Returns what it is then. */
static inline float
keep_number(enum attend_type type, void *kept, size_t i, float x, float scale)
{
	switch (type) {
	case ATTEND_F32: return ((float *)kept)[i] = x;
	case ATTEND_F16: return mat_f16_float(((uint16_t *)kept)[i] = mat_f16(x));
	case ATTEND_BF16: return mat_bf16_float(((uint16_t *)kept)[i] = mat_bf16(x));
	default: return scale * (((int8_t *)kept)[i] = (int8_t)lrintf(fmaxf(-127, fminf(127, x / scale))));
	}
}

#endif
