/* Products on any processor: multiplied, rounded, then added. */
#include "lm/product_loops.h"

#define NAME plain
#define TARGET
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t quad_words __attribute__((vector_size(16)));
typedef uint16_t quad_halves __attribute__((vector_size(8), aligned(2), may_alias));
#define VEC quad
#define VEC_N 4
#define VEC_FMA(a, b, c) ((a) * (b) + (c))
#define VEC_SET1(x) ((quad){ 0 } + (x))
#define VEC_OF_BF16(at) ((quad)(__builtin_convertvector(*(const quad_halves *)(at), quad_words) << 16))
#define KEEP(v) (void)0
#define ONE_FMA(a, b, c) ((a) * (b) + (c))
#define TILE_VEC 2
#define DOT_X 1
#define DOT_W 2
#define DOT_ONE 2

static void
whole_plain(const int8_t *w, const float *w_scale, size_t n, size_t n_out, const int16_t *x, const float *x_scale, size_t n_y,
    float *y, size_t y_stride)
{
	for (size_t o = 0; o < n_out; o++, w += n)
		for (size_t r = 0; r < n_y; r++) {
			double all = 0;
			for (size_t from = 0; from < n; from += LM_WHOLE_RUN) {
				int32_t sum = 0;
				for (size_t i = from; i < n && i < from + LM_WHOLE_RUN; i++)
					sum += (int16_t)w[i] * x[r * n + i];
				all += sum;
			}
			y[r * y_stride + o] = (float)(all * x_scale[r] * w_scale[o]);
		}
}
#include "lm/product_tiles.inc"

const struct lm_loops *lm_loops_plain(void) { return &loops; }

const struct lm_loops *
lm_loops_at(size_t i)
{
	static const struct lm_loops *(*const all[])(void) = { lm_loops_avx512, lm_loops_avx2, lm_loops_neon, lm_loops_plain };

	for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
		const struct lm_loops *at = all[k]();
		if (at && i-- == 0)
			return at;
	}
	return NULL;
}
