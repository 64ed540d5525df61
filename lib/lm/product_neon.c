/* Products on 64-bit ARM processors: every one of them has these instructions. */
#include "lm/product_loops.h"

#ifdef __aarch64__
#include <arm_neon.h>

#define NAME neon
#define TARGET
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
#define VEC quad
#define VEC_N 4
#define VEC_FMA(a, b, c) ((quad)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#define VEC_SET1(x) ((quad)vdupq_n_f32(x))
#define VEC_OF_BF16(at) ((quad)vshll_n_u16(vld1_u16(at), 16))
#define KEEP(v) __asm__("" : "+w"(v))
#define ONE_FMA(a, b, c) __builtin_fmaf(a, b, c)
#define TILE_VEC 6
#define DOT_X 2
#define DOT_W 3
#define DOT_ONE 4

#define INT int16x8_t
#define INT_N 8
#define INT_SUMS int32x4_t
#define INT_LOAD(at) vld1q_s16(at)
#define INT_OF_I8(at) vmovl_s8(vld1_s8(at))
#define INT_DOT(c, a, b) vmlal_high_s16(vmlal_s16(c, vget_low_s16(a), vget_low_s16(b)), a, b)
#define INT_SUM(a) vaddvq_s32(a)
#define WHOLE_X 4
#define WHOLE_W 4
#define WHOLE_ONE 4
#include "lm/product_tiles.inc"

const struct lm_loops *lm_loops_neon(void) { return &loops; }
#else
const struct lm_loops *lm_loops_neon(void) { return NULL; }
#endif
