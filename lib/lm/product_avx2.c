/* Products on processors with AVX2 and FMA. */
#include "lm/product_loops.h"

#ifdef __x86_64__
#include <immintrin.h>

#define NAME avx2
#define TARGET __attribute__((target("avx2,fma")))
typedef float octet __attribute__((vector_size(32), aligned(4), may_alias));
#define VEC octet
#define VEC_N 8
#define VEC_FMA(a, b, c) ((octet)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define VEC_SET1(x) ((octet)_mm256_set1_ps(x))
#define VEC_OF_BF16(at) ((octet)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(at))), 16))
#define KEEP(v) __asm__("" : "+x"(v))
#define ONE_FMA(a, b, c) __builtin_fmaf(a, b, c)
#define TILE_VEC 3
#define DOT_X 2
#define DOT_W 3
#define DOT_ONE 4

TARGET static inline int32_t
sum_of(__m256i x)
{
	__m128i y = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));

	y = _mm_add_epi32(y, _mm_shuffle_epi32(y, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(y, _mm_shuffle_epi32(y, 0xb1)));
}
#define INT __m256i
#define INT_SUMS __m256i
#define INT_N 16
#define INT_LOAD(at) _mm256_loadu_si256((const void *)(at))
#define INT_OF_I8(at) _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(at)))
#define INT_DOT(c, a, b) _mm256_add_epi32(c, _mm256_madd_epi16(a, b))
#define INT_SUM(a) sum_of(a)
#define WHOLE_X 4
#define WHOLE_W 2
#define WHOLE_ONE 4
#include "lm/product_tiles.inc"

const struct lm_loops *
lm_loops_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &loops : NULL;
}
#else
const struct lm_loops *lm_loops_avx2(void) { return NULL; }
#endif
