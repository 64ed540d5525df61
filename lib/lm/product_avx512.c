/* Products on processors with AVX-512 F, BW, DQ and VL. */
#include "lm/product_loops.h"

#ifdef __x86_64__
#include <immintrin.h>

#define NAME avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
typedef float wide __attribute__((vector_size(64), aligned(4), may_alias));
#define VEC wide
#define VEC_N 16
#define VEC_FMA(a, b, c) ((wide)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define VEC_SET1(x) ((wide)_mm512_set1_ps(x))
#define VEC_OF_BF16(at) ((wide)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(at))), 16))
#define KEEP(v) __asm__("" : "+v"(v))
#define ONE_FMA(a, b, c) __builtin_fmaf(a, b, c)
#define TILE_VEC 6
#define DOT_X 4
#define DOT_W 4
#define DOT_ONE 4

#define INT __m512i
#define INT_SUMS __m512i
#define INT_N 32
#define INT_LOAD(at) _mm512_loadu_si512((const void *)(at))
#define INT_OF_I8(at) _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)(at)))
#define INT_DOT(c, a, b) _mm512_add_epi32(c, _mm512_madd_epi16(a, b))
#define INT_SUM(a) _mm512_reduce_add_epi32(a)
#define WHOLE_X 4
#define WHOLE_W 4
#define WHOLE_ONE 4
#include "lm/product_tiles.inc"

const struct lm_loops *
lm_loops_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma") ? &loops : NULL;
}
#else
const struct lm_loops *lm_loops_avx512(void) { return NULL; }
#endif
