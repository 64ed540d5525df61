/* Kernel of processors with AVX2, FMA and F16C: a vector of 16 is two of 8. */
#include "attend/kernel_inside.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,fma,f16c")))
struct v_avx2 {
	__m256 lo, hi;
};
#define V struct v_avx2
#define IN static inline __attribute__((always_inline)) TARGET

IN V v_zero(void) { return (V){ _mm256_setzero_ps(), _mm256_setzero_ps() }; }
IN V v_load(const float *at) { return (V){ _mm256_loadu_ps(at), _mm256_loadu_ps(at + 8) }; }
IN V v_load_f16(const uint16_t *at)
{
	return (V){ _mm256_cvtph_ps(_mm_loadu_si128((const void *)at)), _mm256_cvtph_ps(_mm_loadu_si128((const void *)(at + 8))) };
}
IN __m256 widen_bf16(const uint16_t *at)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)at)), 16));
}
IN V v_load_bf16(const uint16_t *at) { return (V){ widen_bf16(at), widen_bf16(at + 8) }; }
IN __m256 widen_i8(const int8_t *at) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)at))); }
IN V v_load_i8(const int8_t *at) { return (V){ widen_i8(at), widen_i8(at + 8) }; }
IN void v_store(float *at, V x) { _mm256_storeu_ps(at, x.lo); _mm256_storeu_ps(at + 8, x.hi); }
IN V v_set1(float x) { return (V){ _mm256_set1_ps(x), _mm256_set1_ps(x) }; }
IN V v_add(V a, V b) { return (V){ _mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi) }; }
IN V v_mul(V a, V b) { return (V){ _mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi) }; }
IN V v_fma(V a, V b, V c) { return (V){ _mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi) }; }
IN V v_max(V a, V b) { return (V){ _mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi) }; }
IN V v_min(V a, V b) { return (V){ _mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi) }; }
IN V v_round(V a) { return (V){ _mm256_round_ps(a.lo, 0), _mm256_round_ps(a.hi, 0) }; }
IN __m256 power2(__m256 n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)); }
IN V v_power2(V n) { return (V){ power2(n.lo), power2(n.hi) }; }

struct d_avx2 {
	__m256d a, b, c, d;
};
#define D struct d_avx2
IN D d_set1(double x) { __m256d v = _mm256_set1_pd(x); return (D){ v, v, v, v }; }
IN D d_load(const double *at) { return (D){ _mm256_loadu_pd(at), _mm256_loadu_pd(at + 4), _mm256_loadu_pd(at + 8), _mm256_loadu_pd(at + 12) }; }
IN void d_store(double *at, D x) { _mm256_storeu_pd(at, x.a); _mm256_storeu_pd(at + 4, x.b); _mm256_storeu_pd(at + 8, x.c); _mm256_storeu_pd(at + 12, x.d); }
IN D
d_of(V x)
{
	return (D){ _mm256_cvtps_pd(_mm256_castps256_ps128(x.lo)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.lo, 1)),
	    _mm256_cvtps_pd(_mm256_castps256_ps128(x.hi)), _mm256_cvtps_pd(_mm256_extractf128_ps(x.hi, 1)) };
}
IN V
v_of(D x)
{
	return (V){ _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(x.a)), _mm256_cvtpd_ps(x.b), 1),
	    _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(x.c)), _mm256_cvtpd_ps(x.d), 1) };
}
#define EACH(f, x, y) (D){ f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d) }
IN D d_add(D x, D y) { return EACH(_mm256_add_pd, x, y); }
IN D d_sub(D x, D y) { return EACH(_mm256_sub_pd, x, y); }
IN D d_mul(D x, D y) { return EACH(_mm256_mul_pd, x, y); }
IN V
v_keep(V w, V l, V floor)
{
	return (V){ _mm256_and_ps(w.lo, _mm256_cmp_ps(l.lo, floor.lo, _CMP_GE_OQ)), _mm256_and_ps(w.hi, _mm256_cmp_ps(l.hi, floor.hi, _CMP_GE_OQ)) };
}

IN uint32_t
v_at_least(V w, float least)
{
	__m256 most = _mm256_set1_ps(least);
	return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(w.lo, most, _CMP_GE_OQ)) |
	    (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(w.hi, most, _CMP_GE_OQ)) << 8;
}

IN float
v_sum(V x)
{
	__m256 y = _mm256_add_ps(x.lo, x.hi);
	__m128 z = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
	z = _mm_add_ps(z, _mm_movehl_ps(z, z));
	return _mm_cvtss_f32(_mm_add_ss(z, _mm_movehdup_ps(z)));
}

IN void
v_sum16(const V *x, float *out)
{
	for (size_t i = 0; i < 16; i++)
		out[i] = v_sum(x[i]);
}

/* Scores of 4 queries and 3 rows: one half of the vectors after the other, so that the registers hold 12 sums. */
enum { TILE_Q = 4, TILE_R = 3, TILE = TILE_Q * TILE_R };

IN void
tile_step(__m256 r0, __m256 r1, __m256 r2, const float *a, size_t n_pad, __m256 *sum)
{
	_Pragma("GCC unroll 4")
	for (size_t q = 0; q < TILE_Q; q++) {
		__m256 one = _mm256_loadu_ps(a + q * n_pad);
		sum[TILE_R * q] = _mm256_fmadd_ps(r0, one, sum[TILE_R * q]);
		sum[TILE_R * q + 1] = _mm256_fmadd_ps(r1, one, sum[TILE_R * q + 1]);
		sum[TILE_R * q + 2] = _mm256_fmadd_ps(r2, one, sum[TILE_R * q + 2]);
	}
}

/* Lanes 0 to 7 of the sums, or 8 to 15 if x and a begin 8 elements later; n_last: what the last vector of 16 has of these. */
IN void
tile_half(const float *x, size_t dim, const float *a, size_t n_pad, size_t n_last, __m256 *sum)
{
	static const int32_t mask[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };
	const size_t n = dim / 16 * 16;

	_Pragma("GCC unroll 12")
	for (size_t i = 0; i < TILE; i++)
		sum[i] = _mm256_setzero_ps();
	for (size_t k = 0; k < n; k += 16)
		tile_step(_mm256_loadu_ps(x + k), _mm256_loadu_ps(x + dim + k), _mm256_loadu_ps(x + 2 * dim + k), a + k, n_pad, sum);
	if (n < dim) {
		__m256i some = _mm256_loadu_si256((const void *)(mask + 8 - n_last));
		tile_step(_mm256_maskload_ps(x + n, some), _mm256_maskload_ps(x + dim + n, some), _mm256_maskload_ps(x + 2 * dim + n, some),
		    a + n, n_pad, sum);
	}
}

/* Sums of four vectors of 8, as v_sum() has them; of a and c, then those of b and d, each in two lanes. */
IN __m256
sum4(__m256 a, __m256 b, __m256 c, __m256 d)
{
	__m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
	__m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
	__m256 s = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd))),
	    _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd))));

	return _mm256_add_ps(s, _mm256_movehdup_ps(s));
}

TARGET static void
scores_tile(const float *x, size_t dim, const float *a, size_t n_pad, float *score, size_t n_stride)
{
	__m256 low[TILE], sum[TILE];
	const size_t n_last = dim % 16;

	tile_half(x, dim, a, n_pad, n_last < 8 ? n_last : 8, low);
	tile_half(x + 8, dim, a + 8, n_pad, n_last < 8 ? 0 : n_last - 8, sum);
	_Pragma("GCC unroll 12")
	for (size_t i = 0; i < TILE; i++)
		sum[i] = _mm256_add_ps(low[i], sum[i]);
	_Pragma("GCC unroll 3")
	for (size_t r = 0; r < TILE_R; r++, score++) {
		__m256 s = sum4(sum[r], sum[TILE_R + r], sum[2 * TILE_R + r], sum[3 * TILE_R + r]);
		__m128 even = _mm256_castps256_ps128(s), odd = _mm256_extractf128_ps(s, 1);
		_mm_store_ss(score, even);
		_mm_store_ss(score + n_stride, odd);
		_mm_store_ss(score + 2 * n_stride, _mm_movehl_ps(even, even));
		_mm_store_ss(score + 3 * n_stride, _mm_movehl_ps(odd, odd));
	}
}

/* Products of 32 codes, four and four of a row by four numbers of the query: at most 7,620 each, so that four of them are added
   in 16 bits. */
__attribute__((target("avx2"))) static inline __m256i
codes_32(const uint8_t *code, const int8_t *whole)
{
	const __m256i nibble = _mm256_set1_epi8(15);
	__m256i c = _mm256_loadu_si256((const void *)code);
	int32_t q4[2];

	memcpy(q4, whole, sizeof q4);
	return _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_and_si256(c, nibble), _mm256_set1_epi32(q4[0])),
	    _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(c, 4), nibble), _mm256_set1_epi32(q4[1])));
}

__attribute__((target("avx2"))) static void
codes_avx2(const struct kernel_sketch_query *q, const uint8_t *code, int32_t *sum)
{
	const __m256i one = _mm256_set1_epi16(1);
	__m256i all[2] = { _mm256_setzero_si256(), _mm256_setzero_si256() };

	for (size_t k = 0; k < q->n_code; ) {
		__m256i some[2] = { _mm256_setzero_si256(), _mm256_setzero_si256() };
		for (size_t step = 0; step < 4 && k < q->n_code; step++, k += 8, code += 64) {
			_mm_prefetch((const char *)code + 4096, _MM_HINT_T0);
			for (size_t i = 0; i < 2; i++)
				some[i] = _mm256_add_epi16(some[i], codes_32(code + 32 * i, q->whole + k));
		}
		for (size_t i = 0; i < 2; i++)
			all[i] = _mm256_add_epi32(all[i], _mm256_madd_epi16(some[i], one));
	}
	for (size_t i = 0; i < 2; i++)
		_mm256_storeu_si256((void *)(sum + 8 * i), all[i]);
}

#define NAME avx2
#define SKETCH codes_avx2
#define SCORES_TILE scores_tile
#define GEMM_Q TILE_Q
#define GEMM_R TILE_R
#define TURN_Q 4
#define BLEND_C 2
#define BLEND_Q 3
#define BLEND_FEW 4
#define BLEND_ONE 4
#include "attend/kernel_lanes.inc"

static const struct attend_kernel kernel = KERNEL_TABLE;
const struct attend_kernel *
kernel_avx2(void)
{
	/* F16C is older than AVX2, and came with every processor that has it; clang cannot ask for it */
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernel : NULL;
}
#else
const struct attend_kernel *kernel_avx2(void) { return NULL; }
#endif
