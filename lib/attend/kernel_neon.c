/* Kernel of 64-bit ARM processors: a vector of 16 is four of 4. Every one of them has these instructions. */
#include "attend/kernel_inside.h"

#ifdef __aarch64__
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#define TARGET
struct v_neon {
	float32x4_t a, b, c, d;
};
#define V struct v_neon
#define IN static inline __attribute__((always_inline))

IN V v_set1(float x) { float32x4_t v = vdupq_n_f32(x); return (V){ v, v, v, v }; }
IN V v_zero(void) { return v_set1(0); }
IN V v_load(const float *at) { return (V){ vld1q_f32(at), vld1q_f32(at + 4), vld1q_f32(at + 8), vld1q_f32(at + 12) }; }
IN float32x4_t half4(const uint16_t *at) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(at))); }
IN V v_load_f16(const uint16_t *at) { return (V){ half4(at), half4(at + 4), half4(at + 8), half4(at + 12) }; }
IN float32x4_t brain4(const uint16_t *at) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(at), 16)); }
IN V v_load_bf16(const uint16_t *at) { return (V){ brain4(at), brain4(at + 4), brain4(at + 8), brain4(at + 12) }; }
IN V
v_load_i8(const int8_t *at)
{
	int8x16_t x = vld1q_s8(at);
	int16x8_t lo = vmovl_s8(vget_low_s8(x)), hi = vmovl_s8(vget_high_s8(x));
	return (V){ vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(lo))),
	    vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(hi))) };
}
IN void v_store(float *at, V x) { vst1q_f32(at, x.a); vst1q_f32(at + 4, x.b); vst1q_f32(at + 8, x.c); vst1q_f32(at + 12, x.d); }
#define EACH(f, x, y) (V){ f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d) }
IN V v_add(V x, V y) { return EACH(vaddq_f32, x, y); }
IN V v_mul(V x, V y) { return EACH(vmulq_f32, x, y); }
IN V v_max(V x, V y) { return EACH(vmaxq_f32, x, y); }
IN V v_min(V x, V y) { return EACH(vminq_f32, x, y); }
IN V v_fma(V x, V y, V z) { return (V){ vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c), vfmaq_f32(z.d, x.d, y.d) }; }
IN V v_round(V x) { return (V){ vrndnq_f32(x.a), vrndnq_f32(x.b), vrndnq_f32(x.c), vrndnq_f32(x.d) }; }
IN float32x4_t power4(float32x4_t n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23)); }
IN V v_power2(V n) { return (V){ power4(n.a), power4(n.b), power4(n.c), power4(n.d) }; }
IN float32x4_t of_bits4(float32x4_t n) { return vreinterpretq_f32_s32(vcvtnq_s32_f32(n)); }
IN V v_of_bits(V n) { return (V){ of_bits4(n.a), of_bits4(n.b), of_bits4(n.c), of_bits4(n.d) }; }

struct d_neon {
	float64x2_t at[8];
};
#define D struct d_neon
#define EACH_D(e) D y; for (size_t i = 0; i < 8; i++) y.at[i] = (e); return y
IN D d_set1(double x) { EACH_D(vdupq_n_f64(x)); }
IN D d_load(const double *at) { EACH_D(vld1q_f64(at + 2 * i)); }
IN void d_store(double *at, D x) { for (size_t i = 0; i < 8; i++) vst1q_f64(at + 2 * i, x.at[i]); }
IN D
d_of(V x)
{
	return (D){{ vcvt_f64_f32(vget_low_f32(x.a)), vcvt_high_f64_f32(x.a), vcvt_f64_f32(vget_low_f32(x.b)), vcvt_high_f64_f32(x.b),
	    vcvt_f64_f32(vget_low_f32(x.c)), vcvt_high_f64_f32(x.c), vcvt_f64_f32(vget_low_f32(x.d)), vcvt_high_f64_f32(x.d) }};
}
IN float32x4_t narrow(float64x2_t a, float64x2_t b) { return vcvt_high_f32_f64(vcvt_f32_f64(a), b); }
IN V v_of(D x) { return (V){ narrow(x.at[0], x.at[1]), narrow(x.at[2], x.at[3]), narrow(x.at[4], x.at[5]), narrow(x.at[6], x.at[7]) }; }
IN D d_add(D a, D b) { EACH_D(vaddq_f64(a.at[i], b.at[i])); }
IN D d_sub(D a, D b) { EACH_D(vsubq_f64(a.at[i], b.at[i])); }
IN D d_mul(D a, D b) { EACH_D(vmulq_f64(a.at[i], b.at[i])); }
IN float32x4_t keep4(float32x4_t w, float32x4_t l, float32x4_t f) { return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(w), vcgeq_f32(l, f))); }
IN V v_keep(V w, V l, V f) { return (V){ keep4(w.a, l.a, f.a), keep4(w.b, l.b, f.b), keep4(w.c, l.c, f.c), keep4(w.d, l.d, f.d) }; }
IN uint32_t bits4(float32x4_t w, float32x4_t least) { return vaddvq_u32(vandq_u32(vcgeq_f32(w, least), (uint32x4_t){ 1, 2, 4, 8 })); }
IN uint32_t
v_at_least(V w, float least)
{
	float32x4_t l = vdupq_n_f32(least);
	return bits4(w.a, l) | bits4(w.b, l) << 4 | bits4(w.c, l) << 8 | bits4(w.d, l) << 12;
}

IN float
v_sum(V x)
{
	float32x4_t y = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
	float32x2_t z = vadd_f32(vget_low_f32(y), vget_high_f32(y));
	return vget_lane_f32(z, 0) + vget_lane_f32(z, 1);
}

IN void
v_sum16(const V *x, float *out)
{
	for (size_t i = 0; i < 16; i++)
		out[i] = v_sum(x[i]);
}

static void
codes_neon(const struct kernel_sketch_query *q, const uint8_t *code, int32_t *sum)
{
	int32x4_t all[4];
	for (size_t i = 0; i < 4; i++)
		all[i] = vdupq_n_s32(0);
	for (size_t k = 0; k < q->n_code; k += 8, code += 64) {
		int32_t q4[2];
		memcpy(q4, q->whole + k, sizeof q4);
		for (size_t i = 0; i < 4; i++) {
			uint8x16_t c = vld1q_u8(code + 16 * i);
			for (size_t half = 0; half < 2; half++) {
				int8x16_t n = vreinterpretq_s8_u8(half ? vshrq_n_u8(c, 4) : vandq_u8(c, vdupq_n_u8(15)));
				int8x16_t m = vreinterpretq_s8_s32(vdupq_n_s32(q4[half]));
				int16x8_t p0 = vmull_s8(vget_low_s8(n), vget_low_s8(m)), p1 = vmull_s8(vget_high_s8(n), vget_high_s8(m));
				all[i] = vaddq_s32(all[i], vpaddlq_s16(vpaddq_s16(p0, p1)));
			}
		}
	}
	for (size_t i = 0; i < 4; i++)
		vst1q_s32(sum + 4 * i, all[i]);
}

#define NAME neon
#define SKETCH codes_neon
#define GEMM_Q 2
#define GEMM_R 2
#define TURN_Q 4
#define BLEND_C 2
#define BLEND_Q 2
#define BLEND_FEW 2
#define BLEND_ONE 4
#include "attend/kernel_lanes.inc"

static const struct attend_kernel kernel = KERNEL_TABLE;
const struct attend_kernel *kernel_neon(void) { return &kernel; }
#else
const struct attend_kernel *kernel_neon(void) { return NULL; }
#endif
