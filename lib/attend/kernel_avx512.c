/* Kernel of processors with AVX-512 (F, BW, DQ, VL); the sketch by VNNI where it is there. */
#include "attend/kernel_inside.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")))
#define V __m512
#define IN static inline __attribute__((always_inline)) TARGET

IN V v_zero(void) { return _mm512_setzero_ps(); }
IN V v_load(const float *at) { return _mm512_loadu_ps(at); }
IN V v_load_f16(const uint16_t *at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)at)); }
IN V v_load_bf16(const uint16_t *at)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)at)), 16));
}
IN V v_load_i8(const int8_t *at) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)at))); }
IN void v_store(float *at, V x) { _mm512_storeu_ps(at, x); }
IN V v_set1(float x) { return _mm512_set1_ps(x); }
IN V v_add(V a, V b) { return _mm512_add_ps(a, b); }
IN V v_mul(V a, V b) { return _mm512_mul_ps(a, b); }
IN V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
IN V v_max(V a, V b) { return _mm512_max_ps(a, b); }
IN V v_min(V a, V b) { return _mm512_min_ps(a, b); }
IN V v_round(V a) { return _mm512_roundscale_ps(a, 0); }
IN V v_power2(V n) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23)); }
IN V v_of_bits(V n) { return _mm512_castsi512_ps(_mm512_cvtps_epi32(n)); }

struct d_avx512 {
	__m512d lo, hi;
};
#define D struct d_avx512
IN D d_set1(double x) { return (D){ _mm512_set1_pd(x), _mm512_set1_pd(x) }; }
IN D d_load(const double *at) { return (D){ _mm512_loadu_pd(at), _mm512_loadu_pd(at + 8) }; }
IN void d_store(double *at, D x) { _mm512_storeu_pd(at, x.lo); _mm512_storeu_pd(at + 8, x.hi); }
IN D d_of(V x) { return (D){ _mm512_cvtps_pd(_mm512_castps512_ps256(x)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)) }; }
IN V v_of(D x) { return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(x.lo)), _mm512_cvtpd_ps(x.hi), 1); }
IN D d_add(D a, D b) { return (D){ _mm512_add_pd(a.lo, b.lo), _mm512_add_pd(a.hi, b.hi) }; }
IN D d_sub(D a, D b) { return (D){ _mm512_sub_pd(a.lo, b.lo), _mm512_sub_pd(a.hi, b.hi) }; }
IN D d_mul(D a, D b) { return (D){ _mm512_mul_pd(a.lo, b.lo), _mm512_mul_pd(a.hi, b.hi) }; }
IN V v_keep(V w, V l, V floor) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(l, floor, _CMP_GE_OQ), w); }
IN uint32_t v_at_least(V w, float least) { return _mm512_cmp_ps_mask(w, _mm512_set1_ps(least), _CMP_GE_OQ); }

IN float
v_sum(V x)
{
	__m256 y = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
	__m128 z = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
	z = _mm_add_ps(z, _mm_movehl_ps(z, z));
	return _mm_cvtss_f32(_mm_add_ss(z, _mm_movehdup_ps(z)));
}

/* Halves of two vectors are added into one, four times: 16 sums in 45 steps, each in the order of v_sum. */
IN void
v_sum16(const V *x, float *out)
{
	V a[8], b[4];

	_Pragma("GCC unroll 8")
	for (size_t i = 0; i < 8; i++) {
		/* pairs chosen so that the sums come out in the order of the rows */
		V lower = x[i / 2 + 8 * (i % 2)], upper = x[i / 2 + 8 * (i % 2) + 4];
		a[i] = _mm512_add_ps(_mm512_shuffle_f32x4(lower, upper, 0x44), _mm512_shuffle_f32x4(lower, upper, 0xEE));
	}
	_Pragma("GCC unroll 4")
	for (size_t i = 0; i < 4; i++)
		b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x88), _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0xDD));
	V c = _mm512_add_ps(_mm512_shuffle_ps(b[0], b[1], 0x44), _mm512_shuffle_ps(b[0], b[1], 0xEE));
	V d = _mm512_add_ps(_mm512_shuffle_ps(b[2], b[3], 0x44), _mm512_shuffle_ps(b[2], b[3], 0xEE));
	_mm512_storeu_ps(out, _mm512_add_ps(_mm512_shuffle_ps(c, d, 0x88), _mm512_shuffle_ps(c, d, 0xDD)));
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void
codes_vnni(const struct kernel_sketch_query *q, const uint8_t *code, int32_t *sum)
{
	const __m512i nibble = _mm512_set1_epi8(15);

	__m512i sum1 = _mm512_setzero_si512(), sum2 = sum1;
	for (size_t k = 0; k < q->n_code; k += 8, code += 64) {
		int32_t q4[2];
		__m512i c = _mm512_loadu_si512(code);
		__m512i first = _mm512_and_si512(c, nibble), second = _mm512_and_si512(_mm512_srli_epi16(c, 4), nibble);
		_mm_prefetch((const char *)code + 4096, _MM_HINT_T0);
		memcpy(q4, q->whole + k, sizeof q4);
		sum1 = _mm512_dpbusd_epi32(sum1, first, _mm512_set1_epi32(q4[0]));
		sum2 = _mm512_dpbusd_epi32(sum2, second, _mm512_set1_epi32(q4[1]));
	}
	_mm512_storeu_si512(sum, _mm512_add_epi32(sum1, sum2));
}

__attribute__((target("avx512f,avx512bw"))) static void
codes_bw(const struct kernel_sketch_query *q, const uint8_t *code, int32_t *sum)
{
	const __m512i nibble = _mm512_set1_epi8(15), one = _mm512_set1_epi16(1);

	__m512i all = _mm512_setzero_si512();
	for (size_t k = 0; k < q->n_code; k += 8, code += 64) {
		int32_t q4[2];
		__m512i c = _mm512_loadu_si512(code);
		__m512i first = _mm512_and_si512(c, nibble), second = _mm512_and_si512(_mm512_srli_epi16(c, 4), nibble);
		memcpy(q4, q->whole + k, sizeof q4);
		/* pairs of products stay below 2^13, and two of them below 2^15 */
		__m512i s = _mm512_add_epi16(_mm512_maddubs_epi16(first, _mm512_set1_epi32(q4[0])),
		    _mm512_maddubs_epi16(second, _mm512_set1_epi32(q4[1])));
		all = _mm512_add_epi32(all, _mm512_madd_epi16(s, one));
	}
	_mm512_storeu_si512(sum, all);
}

static void
codes_avx512(const struct kernel_sketch_query *q, const uint8_t *code, int32_t *sum)
{
	if (__builtin_cpu_supports("avx512vnni"))
		codes_vnni(q, code, sum);
	else
		codes_bw(q, code, sum);
}

#define NAME avx512
#define SKETCH codes_avx512
#define GEMM_Q 4
#define GEMM_R 4
#define TURN_Q 8
#define BLEND_C 4
#define BLEND_Q 4
#define BLEND_FEW 8
#define BLEND_ONE 8
#include "attend/kernel_lanes.inc"

static int
is_there(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl");
}
static const struct attend_kernel kernel = KERNEL_TABLE;
const struct attend_kernel *kernel_avx512(void) { return is_there() ? &kernel : NULL; }
#else
const struct attend_kernel *kernel_avx512(void) { return NULL; }
#endif
