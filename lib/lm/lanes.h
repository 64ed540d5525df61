/* lanes.h - vectors of 16 floats in the compiler's own terms, for the files of lib/lm that loop over numbers. Not for other
   rooms. gcc makes each function marked CLONES for AVX-512, AVX2 and any processor; the first that the processor has is taken
   when the program starts. Sums over lanes have one order, so all of them give the same bits. */
#ifndef HARE_LM_LANES_H
#define HARE_LM_LANES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef float quads __attribute__((vector_size(16), aligned(4), may_alias));
enum { LANES = 16 };

/* As mat_bf16_float(), where loops over vectors can take it in. */
INLINE float
of_bf16(uint16_t b)
{
	uint32_t bits = (uint32_t)b << 16;
	float x;

	memcpy(&x, &bits, sizeof x);
	return x;
}

/* The sum of the lanes: by halves. */
INLINE float
fold(const lanes *s)
{
	float a[LANES];

	memcpy(a, s, sizeof a);
	for (size_t half = LANES / 2; half > 0; half /= 2)
		for (size_t i = 0; i < half; i++)
			a[i] += a[i + half];
	return a[0];
}

/* out [k] = fold(&s[k]), four at once. */
INLINE void
fold_four(const lanes *s, float *out)
{
	quads a[4];

	for (size_t k = 0; k < 4; k++) {
		quads q[4];
		memcpy(q, &s[k], sizeof q);
		a[k] = (q[0] + q[2]) + (q[1] + q[3]);
	}
	/* [i] + [i + 2], then [0] + [1] */
	quads b = __builtin_shufflevector(a[0], a[1], 0, 1, 4, 5) + __builtin_shufflevector(a[0], a[1], 2, 3, 6, 7);
	quads c = __builtin_shufflevector(a[2], a[3], 0, 1, 4, 5) + __builtin_shufflevector(a[2], a[3], 2, 3, 6, 7);
	*(quads *)out = __builtin_shufflevector(b, c, 0, 2, 4, 6) + __builtin_shufflevector(b, c, 1, 3, 5, 7);
}

#endif
