/* Kernel of any processor: the twin that the others are held against. */
#include "attend/kernel_inside.h"

#include <math.h>
#include <string.h>

#include "mat/half.h"

#define TARGET
struct v_plain {
	float at[16];
};
#define V struct v_plain
#define IN static
#define EACH(x) V y; for (size_t i = 0; i < 16; i++) y.at[i] = (x); return y

IN V v_set1(float a) { EACH(a); }
IN V v_zero(void) { return v_set1(0); }
IN V v_load(const float *a) { EACH(a[i]); }
IN V v_load_f16(const uint16_t *a) { EACH(mat_f16_float(a[i])); }

IN V v_load_bf16(const uint16_t *a) { EACH(mat_bf16_float(a[i])); }
IN V v_load_i8(const int8_t *a) { EACH(a[i]); }
IN void v_store(float *at, V x) { memcpy(at, x.at, sizeof x.at); }
IN V v_add(V a, V b) { EACH(a.at[i] + b.at[i]); }
IN V v_mul(V a, V b) { EACH(a.at[i] * b.at[i]); }
IN V v_fma(V a, V b, V c) { EACH(a.at[i] * b.at[i] + c.at[i]); }
IN V v_max(V a, V b) { EACH(a.at[i] > b.at[i] ? a.at[i] : b.at[i]); }
IN V v_min(V a, V b) { EACH(a.at[i] < b.at[i] ? a.at[i] : b.at[i]); }
/* adding and taking away 1.5 * 2^23 rounds to the nearest whole number, ties to even */
IN V v_round(V a) { EACH(a.at[i] + 0x1.8p23f - 0x1.8p23f); }
IN float power2(float n) { uint32_t bits = (uint32_t)((int32_t)n + 127) << 23; float x; memcpy(&x, &bits, sizeof x); return x; }
IN V v_power2(V n) { EACH(power2(n.at[i])); }
IN float of_bits(float n) { uint32_t bits = (uint32_t)n; float x; memcpy(&x, &bits, sizeof x); return x; }
IN V v_of_bits(V n) { EACH(of_bits(n.at[i])); }

struct d_plain {
	double at[16];
};
#define D struct d_plain
#define EACH_D(x) D y; for (size_t i = 0; i < 16; i++) y.at[i] = (x); return y
IN D d_set1(double a) { EACH_D(a); }
IN D d_load(const double *a) { EACH_D(a[i]); }
IN void d_store(double *at, D x) { memcpy(at, x.at, sizeof x.at); }
IN D d_of(V a) { EACH_D(a.at[i]); }
IN V v_of(D a) { EACH((float)a.at[i]); }
IN D d_add(D a, D b) { EACH_D(a.at[i] + b.at[i]); }
IN D d_sub(D a, D b) { EACH_D(a.at[i] - b.at[i]); }
IN D d_mul(D a, D b) { EACH_D(a.at[i] * b.at[i]); }
IN V v_keep(V w, V l, V floor) { EACH(l.at[i] >= floor.at[i] ? w.at[i] : 0); }

IN uint32_t
v_at_least(V w, float least)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 16; i++)
		bits |= (uint32_t)(w.at[i] >= least) << i;
	return bits;
}

IN float
v_sum(V x)
{
	for (size_t half = 8; half > 0; half /= 2)
		for (size_t i = 0; i < half; i++)
			x.at[i] += x.at[i + half];
	return x.at[0];
}

IN void
v_sum16(const V *x, float *out)
{
	for (size_t i = 0; i < 16; i++)
		out[i] = v_sum(x[i]);
}

static void
codes_plain(const struct kernel_sketch_query *q, const uint8_t *code, int32_t *sum)
{
	memset(sum, 0, 16 * sizeof *sum);
	for (size_t k = 0; k < q->n_code; k += 8, code += 64)
		for (size_t r = 0; r < 16; r++)
			for (size_t i = 0; i < 4; i++) {
				int c = code[4 * r + i];
				sum[r] += (c & 15) * q->whole[k + i] + (c >> 4) * q->whole[k + 4 + i];
			}
}

#define NAME plain
#define INLINE static
#define UNROLL
#define IN_DOUBLE 1
#define SKETCH codes_plain
#define GEMM_Q 2
#define GEMM_R 2
#define TURN_Q 2
#define BLEND_C 2
#define BLEND_Q 1
#define BLEND_FEW 1
#define BLEND_ONE 2
#include "attend/kernel_lanes.inc"

static const struct attend_kernel kernel = KERNEL_TABLE;
const struct attend_kernel *kernel_plain(void) { return &kernel; }
