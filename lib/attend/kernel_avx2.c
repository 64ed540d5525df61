/* Kernel of processors with AVX2, FMA and F16C: a vector of 16 is two of 8. */
#include "attend/kernel_inside.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,fma,f16c,popcnt")))
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
IN V v_of_bits(V n) { return (V){ _mm256_castsi256_ps(_mm256_cvtps_epi32(n.lo)), _mm256_castsi256_ps(_mm256_cvtps_epi32(n.hi)) }; }

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

/* In four steps over all of them: 8 apart, then 4 of x[i] beside x[i + 8], then 2 of x[i] beside x[i + 1], then 1. */
IN void
v_sum16(const V *x, float *out)
{
	__m256 four[8], two[4], one[2];

	_Pragma("GCC unroll 8")
	for (size_t i = 0; i < 8; i++) {
		__m256 a = _mm256_add_ps(x[i].lo, x[i].hi), b = _mm256_add_ps(x[i + 8].lo, x[i + 8].hi);
		four[i] = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
	}
	_Pragma("GCC unroll 4")
	for (size_t i = 0; i < 4; i++) {
		__m256d a = _mm256_castps_pd(four[2 * i]), b = _mm256_castps_pd(four[2 * i + 1]);
		two[i] = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
	}
	_Pragma("GCC unroll 2")
	for (size_t i = 0; i < 2; i++)
		one[i] = _mm256_add_ps(_mm256_shuffle_ps(two[2 * i], two[2 * i + 1], 0x88), _mm256_shuffle_ps(two[2 * i], two[2 * i + 1], 0xDD));
	_mm256_storeu_ps(out, _mm256_permute2f128_ps(one[0], one[1], 0x20));
	_mm256_storeu_ps(out + 8, _mm256_permute2f128_ps(one[0], one[1], 0x31));
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

/* By fours: which bytes of four numbers those that are wanted are. */
IN size_t
list16(const float *w, uint32_t is, uint32_t first, uint32_t *row, float *kept)
{
#define OF(i) 4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3
	static const uint8_t place[16][16] = { { 0 }, { OF(0) }, { OF(1) }, { OF(0), OF(1) }, { OF(2) }, { OF(0), OF(2) }, { OF(1), OF(2) },
		{ OF(0), OF(1), OF(2) }, { OF(3) }, { OF(0), OF(3) }, { OF(1), OF(3) }, { OF(0), OF(1), OF(3) }, { OF(2), OF(3) },
		{ OF(0), OF(2), OF(3) }, { OF(1), OF(2), OF(3) }, { OF(0), OF(1), OF(2), OF(3) } };
#undef OF
	__m128i at = _mm_add_epi32(_mm_set1_epi32((int32_t)first), _mm_setr_epi32(0, 1, 2, 3));
	size_t n = 0;

	_Pragma("GCC unroll 4")
	for (size_t i = 0; i < 4; i++, at = _mm_add_epi32(at, _mm_set1_epi32(4))) {
		uint32_t some = is >> 4 * i & 15;
		__m128i to = _mm_loadu_si128((const void *)place[some]);
		__m128i four = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(w + 4 * i)), to);
		_mm_storeu_si128((void *)(row + n), _mm_shuffle_epi8(at, to));
		_mm_storeu_si128((void *)(kept + n), four);
		n += (size_t)__builtin_popcount(some);
	}
	return n;
}

enum { ROWS_Q = 4 };    /* queries at once */

/* One step of the sums of n_q queries by a row, whose elements stay in two registers; those of the queries come from memory with
   the products, which takes the fewest instructions. */
IN void
rows_step(__m256 lo, __m256 hi, const float *a, size_t n_pad, size_t n_q, __m256 *sum)
{
	_Pragma("GCC unroll 4")
	for (size_t q = 0; q < n_q; q++) {
		sum[2 * q] = _mm256_fmadd_ps(lo, _mm256_loadu_ps(a + q * n_pad), sum[2 * q]);
		sum[2 * q + 1] = _mm256_fmadd_ps(hi, _mm256_loadu_ps(a + q * n_pad + 8), sum[2 * q + 1]);
	}
}

IN void
scores_some(const float *x, size_t n, size_t dim, const float *a, size_t n_q, float *score, size_t n_stride, const char *soon)
{
	static const int32_t mask[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };
	const size_t n_pad = (dim + 15) / 16 * 16, n_last = dim % 16, n_low = n_last < 8 ? n_last : 8;

	for (size_t j = 0; j < n; j++, x += dim) {
		__m256 s[2 * ROWS_Q];
		__m128 out[2];
		size_t k = 0;
		_Pragma("GCC unroll 8")
		for (size_t i = 0; i < 2 * ROWS_Q; i++)
			s[i] = _mm256_setzero_ps();
		for (; k + 32 <= dim; k += 32) {
			rows_step(_mm256_loadu_ps(x + k), _mm256_loadu_ps(x + k + 8), a + k, n_pad, n_q, s);
			rows_step(_mm256_loadu_ps(x + k + 16), _mm256_loadu_ps(x + k + 24), a + k + 16, n_pad, n_q, s);
			if (soon)
				__builtin_prefetch(soon + 2 * k, 0, 3);
		}
		if (k + 16 <= dim) {
			rows_step(_mm256_loadu_ps(x + k), _mm256_loadu_ps(x + k + 8), a + k, n_pad, n_q, s);
			k += 16;
		}
		if (n_last) {
			__m256i lo = _mm256_loadu_si256((const void *)(mask + 8 - n_low));
			__m256i hi = _mm256_loadu_si256((const void *)(mask + 8 - (n_last - n_low)));
			rows_step(_mm256_maskload_ps(x + k, lo), _mm256_maskload_ps(x + k + 8, hi), a + k, n_pad, n_q, s);
		}
		soon = soon ? soon + 2 * dim : NULL;
		__m256 t = sum4(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3]), _mm256_add_ps(s[4], s[5]), _mm256_add_ps(s[6], s[7]));
		out[0] = _mm256_castps256_ps128(t);
		out[1] = _mm256_extractf128_ps(t, 1);
		_Pragma("GCC unroll 4")
		for (size_t q = 0; q < n_q; q++)
			_mm_store_ss(score + q * n_stride + j, q < 2 ? out[q] : _mm_movehl_ps(out[q - 2], out[q - 2]));
	}
}

/* Scores of rows [n] and n_q queries. Memory is asked for half as many bytes from soon on, unless that is NULL. */
TARGET static __attribute__((noinline)) void
scores_rows(const float *x, size_t n, size_t dim, const float *a, size_t n_q, float *score, size_t n_stride, const char *soon)
{
	_Pragma("GCC unroll 4")
	for (size_t some = 2; some <= ROWS_Q; some++)
		if (n_q == some && soon)
			scores_some(x, n, dim, a, some, score, n_stride, soon);
		else if (n_q == some)
			scores_some(x, n, dim, a, some, score, n_stride, NULL);
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
#define LIST16 list16
#define SCORES_ROWS scores_rows
#define GEMM_Q ROWS_Q
#define GEMM_LEAST 2
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
