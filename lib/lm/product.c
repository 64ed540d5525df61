/* Products with a matrix of any type. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "lm/run_inside.h"
#include "mat/mat.h"

/* gcc makes one of each for AVX-512, AVX2 and any processor; the first that the processor has is taken when the program starts. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

enum { COLUMNS = 256,                   /* outputs of a task: a fixed cut, so that threads do not show */
	PARTS = 8, PARTS_FEW = 4,       /* tasks of one row's product by inputs, and of few rows', whose sums are added in order */
	ROWS = 8,                       /* inputs taken together */
	FEW = 32,                       /* rows up to which a product is bound by reading its matrix */
	TINY = 1 << 14 };               /* numbers of a matrix that threads are not worth waking for */

/* As mat_bf16_float(), where loops over vectors can take it in. */
static inline float
of_bf16(uint16_t b)
{
	uint32_t bits = (uint32_t)b << 16;
	float x;

	memcpy(&x, &bits, sizeof x);
	return x;
}

struct product {
	const struct lm_matrix *w;
	const float *b, *x;
	float *y;
	size_t n;
	int is_table;
	size_t n_part;
	float *part;                    /* [n_part][n][n_out] */
	int16_t *whole;                 /* [n][n_in] x in whole numbers, times scale [n] */
	float *scale;
};

/* y [n_out] += x [n] W [n][n_out]: memory is read in order, y stays in the cache. Four rows at once: rows of a multiple of 4 KiB
   share their places in it. */
CLONES static void
add_rows_f32(const float *restrict w, const float *restrict x, size_t n, size_t n_out, float *restrict y)
{
	size_t i = 0;

	for (; i + 4 <= n; i += 4, w += 4 * n_out)
		for (size_t o = 0; o < n_out; o++)
			y[o] += (x[i] * w[o] + x[i + 1] * w[n_out + o]) + (x[i + 2] * w[2 * n_out + o] + x[i + 3] * w[3 * n_out + o]);
	for (; i < n; i++, w += n_out)
		for (size_t o = 0; o < n_out; o++)
			y[o] += x[i] * w[o];
}

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32), aligned(2), may_alias));
enum { LANES = 16 };
#define INLINE static inline __attribute__((always_inline))

INLINE void
load_lanes(const void *w, size_t i, int is_bf16, lanes *out)
{
	if (is_bf16)
		*out = (lanes)(__builtin_convertvector(*(const halves *)((const uint16_t *)w + i), words) << 16);
	else
		*out = *(const lanes *)((const float *)w + i);
}

/* Y [n][n_out] += X [n][n_in] W [n_in][n_out], rows of X x_stride apart. n_in a multiple of ROWS, n_out of LANES: eight vectors of
   W meet every row of X, and W is read in order. */
INLINE void
add_block(const void *restrict w, int is_bf16, size_t n_in, size_t n_out, const float *restrict x, size_t x_stride, size_t n,
    float *restrict y)
{
	for (size_t i = 0; i < n_in; i += ROWS)
		for (size_t o = 0; o < n_out; o += LANES) {
			lanes v[ROWS];
			for (size_t k = 0; k < ROWS; k++)
				load_lanes(w, (i + k) * n_out + o, is_bf16, &v[k]);
			for (size_t r = 0; r < n; r++) {
				const float *xr = x + r * x_stride + i;
				lanes *yr = (lanes *)(y + r * n_out + o);
				*yr += ((xr[0] * v[0] + xr[1] * v[1]) + (xr[2] * v[2] + xr[3] * v[3])) +
				    ((xr[4] * v[4] + xr[5] * v[5]) + (xr[6] * v[6] + xr[7] * v[7]));
			}
		}
}
CLONES static void
add_block_f32(const void *restrict w, size_t n_in, size_t n_out, const float *restrict x, size_t x_stride, size_t n, float *restrict y)
{
	add_block(w, 0, n_in, n_out, x, x_stride, n, y);
}
CLONES static void
add_block_bf16(const void *restrict w, size_t n_in, size_t n_out, const float *restrict x, size_t x_stride, size_t n, float *restrict y)
{
	add_block(w, 1, n_in, n_out, x, x_stride, n, y);
}

/* Inner products of four rows of W and four of X, n a multiple of LANES: out [x][w], its rows out_stride apart. */
INLINE void
dot_block(const void *restrict w, int is_bf16, size_t n, const float *restrict x, float *restrict out, size_t out_stride)
{
	lanes sum[4][4] = { 0 };

	for (size_t i = 0; i < n; i += LANES) {
		lanes v[4];
		for (size_t k = 0; k < 4; k++)
			load_lanes(w, k * n + i, is_bf16, &v[k]);
		for (size_t r = 0; r < 4; r++) {
			lanes u = *(const lanes *)(x + r * n + i);
			for (size_t k = 0; k < 4; k++)
				sum[r][k] += u * v[k];
		}
	}
	for (size_t r = 0; r < 4; r++)
		for (size_t k = 0; k < 4; k++) {
			float all = 0;
			for (size_t i = 0; i < LANES; i++)
				all += sum[r][k][i];
			out[r * out_stride + k] = all;
		}
}
CLONES static void
dot_block_f32(const void *restrict w, size_t n, const float *restrict x, float *restrict out, size_t out_stride)
{
	dot_block(w, 0, n, x, out, out_stride);
}
CLONES static void
dot_block_bf16(const void *restrict w, size_t n, const float *restrict x, float *restrict out, size_t out_stride)
{
	dot_block(w, 1, n, x, out, out_stride);
}

CLONES static void
add_rows_bf16(const uint16_t *restrict w, const float *restrict x, size_t n, size_t n_out, float *restrict y)
{
	size_t i = 0;

	for (; i + 4 <= n; i += 4, w += 4 * n_out)
		for (size_t o = 0; o < n_out; o++)
			y[o] += (x[i] * of_bf16(w[o]) + x[i + 1] * of_bf16(w[n_out + o])) +
			    (x[i + 2] * of_bf16(w[2 * n_out + o]) + x[i + 3] * of_bf16(w[3 * n_out + o]));
	for (; i < n; i++, w += n_out)
		for (size_t o = 0; o < n_out; o++)
			y[o] += x[i] * of_bf16(w[o]);
}

CLONES static float
dot_bf16(const uint16_t *restrict w, const float *restrict x, size_t n)
{
	float lane[16] = { 0 }, sum = 0;
	size_t i = 0;

	for (; i + 16 <= n; i += 16)
		for (size_t k = 0; k < 16; k++)
			lane[k] += x[i + k] * of_bf16(w[i + k]);
	for (size_t k = 0; k < 16; k++)
		sum += lane[k];
	for (; i < n; i++)
		sum += x[i] * of_bf16(w[i]);
	return sum;
}

CLONES static float
dot_f32(const float *restrict w, const float *restrict x, size_t n)
{
	float lane[32] = { 0 }, sum = 0;
	size_t i = 0;

	for (; i + 32 <= n; i += 32)
		for (size_t k = 0; k < 32; k++)
			lane[k] += x[i + k] * w[i + k];
	for (size_t k = 0; k < 32; k++)
		sum += lane[k];
	for (; i < n; i++)
		sum += x[i] * w[i];
	return sum;
}

/* Whole numbers: exact, in any order, on any processor. |w| <= 127, |x| <= WHOLE: 2^31 is not reached in 2^11 n. */
CLONES static int32_t
dot_i8(const int8_t *restrict w, const int16_t *restrict x, size_t n)
{
	int32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (int16_t)w[i] * x[i];
	return sum;
}

/* The same of four rows of x, n apart. */
CLONES static void
dot4_i8(const int8_t *restrict w, const int16_t *restrict x, size_t stride, size_t n, int32_t sum[4])
{
	int32_t a = 0, b = 0, c = 0, d = 0;

	for (size_t i = 0; i < n; i++) {
		int16_t v = w[i];
		a += v * x[i];
		b += v * x[stride + i];
		c += v * x[2 * stride + i];
		d += v * x[3 * stride + i];
	}
	sum[0] = a;
	sum[1] = b;
	sum[2] = c;
	sum[3] = d;
}

enum { WHOLE = 8191, RUN = 2048 };      /* numbers whose products surely fit: 2048 * 127 * 8191 < 2^31 */

static void
to_whole(const float *x, size_t n, int16_t *out, float *scale)
{
	float most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmaxf(most, fabsf(x[i]));
	*scale = most / WHOLE;
	float inverse = most > 0 ? WHOLE / most : 0;
	for (size_t i = 0; i < n; i++)
		out[i] = isfinite(x[i]) ? (int16_t)lrintf(x[i] * inverse) : 0;
}

/* -- tasks -- */

static void
whole_outputs(const struct product *p, size_t o)
{
	const struct lm_matrix *w = p->w;

	for (size_t r = 0; r < p->n; r += 4) {
		size_t n = p->n - r < 4 ? p->n - r : 4;
		double whole[4] = { 0 };
		for (size_t i = 0; i < w->n_in; i += RUN) {
			size_t n_run = w->n_in - i < RUN ? w->n_in - i : RUN;
			const int8_t *at = (const int8_t *)w->at + o * w->n_in + i;
			const int16_t *x = p->whole + r * w->n_in + i;
			int32_t sum[4];
			if (n == 4)
				dot4_i8(at, x, w->n_in, n_run, sum);
			else
				for (size_t k = 0; k < n; k++)
					sum[k] = dot_i8(at, x + k * w->n_in, n_run);
			for (size_t k = 0; k < n; k++)
				whole[k] += sum[k];
		}
		for (size_t k = 0; k < n; k++)
			p->y[(r + k) * w->n_out + o] = (float)(whole[k] * p->scale[r + k] * w->scale[o]) + (p->b ? p->b[o] : 0);
	}
}

/* Outputs [from, from + n_out) of all rows, where a matrix lies by output. Of the table there is no bias. */
static void
by_output(const struct product *p, size_t from, size_t n_out)
{
	const struct lm_matrix *w = p->w;
	size_t n_in = w->n_in, size = w->type == LM_BF16 ? sizeof(uint16_t) : sizeof(float);

	if (w->type == LM_I8) {
		for (size_t o = from; o < from + n_out; o++)
			whole_outputs(p, o);
		return;
	}
	for (size_t o = from; o < from + n_out; ) {
		size_t n_o = from + n_out - o >= 4 && p->n >= 4 && n_in % LANES == 0 ? 4 : 1, r = 0;
		const char *at = (const char *)w->at + o * n_in * size;
		for (; n_o == 4 && r + 4 <= p->n; r += 4)
			(w->type == LM_BF16 ? dot_block_bf16 : dot_block_f32)(at, n_in, p->x + r * n_in, p->y + r * w->n_out + o, w->n_out);
		for (; r < p->n; r++)
			for (size_t k = 0; k < n_o; k++)
				p->y[r * w->n_out + o + k] = w->type == LM_BF16 ?
				    dot_bf16((const uint16_t *)w->at + (o + k) * n_in, p->x + r * n_in, n_in) :
				    dot_f32((const float *)w->at + (o + k) * n_in, p->x + r * n_in, n_in);
		o += n_o;
	}
}

static void
set_bias(const struct product *p, size_t from, size_t n_out)
{
	for (size_t r = 0; r < p->n; r++) {
		float *y = p->y + r * p->w->n_out + from;
		if (p->b)
			memcpy(y, p->b + from, n_out * sizeof *y);
		else
			memset(y, 0, n_out * sizeof *y);
	}
}

/* The numbers of outputs [from, from + n_out) as float32; 1 if they lie by output. */
static int
widen(const struct product *p, size_t from, size_t n_out, float *wide)
{
	const struct lm_matrix *w = p->w;

	if (w->type == LM_I8) {
		const int8_t *at = (const int8_t *)w->at + from * w->n_in;
		for (size_t o = 0; o < n_out; o++)
			for (size_t i = 0; i < w->n_in; i++)
				wide[o * w->n_in + i] = at[o * w->n_in + i] * w->scale[from + o];
		return 1;
	}
	const uint16_t *at = (const uint16_t *)w->at + (p->is_table ? from * w->n_in : from);
	size_t n = p->is_table ? n_out : w->n_in, m = p->is_table ? w->n_in : n_out, stride = p->is_table ? w->n_in : w->n_out;
	for (size_t i = 0; i < n; i++)
		for (size_t o = 0; o < m; o++)
			wide[i * m + o] = of_bf16(at[i * stride + o]);
	return p->is_table;
}

static void
columns(void *arg, size_t task, size_t worker)
{
	const struct product *p = arg;
	const struct lm_matrix *w = p->w;
	size_t from = task * COLUMNS, n_out = w->n_out - from < COLUMNS ? w->n_out - from : COLUMNS;

	(void)worker;
	if (p->n <= FEW && (w->type == LM_I8 || p->is_table)) {
		by_output(p, from, n_out);
		return;
	}
	set_bias(p, from, n_out);
	struct mat y = { .at = p->y + from, .n_row = p->n, .n_col = n_out, .stride = w->n_out }, x = mat_of(p->x, p->n, w->n_in);
	if (w->type != LM_F32) {
		float *wide = xmalloc(w->n_in * n_out, sizeof *wide);
		int lies_by_output = widen(p, from, n_out, wide);
		mat_mul(1, x, 0, lies_by_output ? mat_of(wide, n_out, w->n_in) : mat_of(wide, w->n_in, n_out), lies_by_output, 1, y);
		free(wide);
		return;
	}
	struct mat part = { .at = (float *)w->at + (p->is_table ? from * w->n_in : from), .n_row = p->is_table ? n_out : w->n_in,
		.n_col = p->is_table ? w->n_in : n_out, .stride = p->is_table ? w->n_in : w->n_out };
	mat_mul(1, x, 0, part, p->is_table, 1, y);
}

/* Inputs of one part of few rows' product. */
static void
inputs(void *arg, size_t task, size_t worker)
{
	const struct product *p = arg;
	const struct lm_matrix *w = p->w;
	size_t from = task * w->n_in / p->n_part, to = (task + 1) * w->n_in / p->n_part, n_out = w->n_out;
	float *y = p->part + task * p->n * n_out;

	(void)worker;
	memset(y, 0, p->n * n_out * sizeof *y);
	if (p->n == 1 && w->type == LM_F32)
		add_rows_f32((const float *)w->at + from * n_out, p->x + from, to - from, n_out, y);
	else if (p->n == 1)
		add_rows_bf16((const uint16_t *)w->at + from * n_out, p->x + from, to - from, n_out, y);
	else if (w->type == LM_F32)
		add_block_f32((const float *)w->at + from * n_out, to - from, n_out, p->x + from, w->n_in, p->n, y);
	else
		add_block_bf16((const uint16_t *)w->at + from * n_out, to - from, n_out, p->x + from, w->n_in, p->n, y);
}

/* Parts that the inputs are cut into; 0: outputs are. */
static size_t
parts(const struct product *p)
{
	const struct lm_matrix *w = p->w;

	if (p->is_table || w->type == LM_I8 || p->n > FEW)
		return 0;
	if (p->n == 1)
		return PARTS;
	return w->n_in % (PARTS_FEW * ROWS) == 0 && w->n_out % LANES == 0 ? PARTS_FEW : 0;
}

static void
product(struct product *p, size_t n_thread)
{
	const struct lm_matrix *w = p->w;

	if (w->n_in * w->n_out < TINY)
		n_thread = 1;
	if (w->type == LM_I8 && p->n <= FEW) {
		p->whole = xmalloc(p->n * w->n_in, sizeof *p->whole);
		p->scale = xmalloc(p->n, sizeof *p->scale);
		for (size_t r = 0; r < p->n; r++)
			to_whole(p->x + r * w->n_in, w->n_in, p->whole + r * w->n_in, &p->scale[r]);
	}
	p->n_part = parts(p);
	if (p->n_part > 0) {
		p->part = xmalloc(p->n_part * p->n * w->n_out, sizeof *p->part);
		thread_for(n_thread, p->n_part, inputs, p);
		set_bias(p, 0, w->n_out);
		for (size_t k = 0; k < p->n_part; k++)
			for (size_t i = 0; i < p->n * w->n_out; i++)
				p->y[i] += p->part[k * p->n * w->n_out + i];
	} else
		thread_for(n_thread, (w->n_out + COLUMNS - 1) / COLUMNS, columns, p);
	free(p->part);
	free(p->whole);
	free(p->scale);
}

void
lm_apply(const struct lm_affine *a, const float *x, size_t n, float *y, size_t n_thread)
{
	struct product p = { .w = &a->w, .b = a->b, .x = x, .y = y, .n = n };

	product(&p, n_thread);
}

void
lm_logits(const struct lm *m, const float *x, size_t n, float *y, size_t n_thread)
{
	struct product p = { .w = &m->wte, .x = x, .y = y, .n = n, .is_table = 1 };

	product(&p, n_thread);
}

void
lm_token_row(const struct lm *m, uint32_t token, float *out)
{
	const struct lm_matrix *w = &m->wte;
	size_t dim = w->n_in;

	for (size_t d = 0; d < dim; d++)
		out[d] = w->type == LM_F32 ? ((const float *)w->at)[token * dim + d] :
		    w->type == LM_BF16 ? of_bf16(((const uint16_t *)w->at)[token * dim + d]) :
		    ((const int8_t *)w->at)[token * dim + d] * w->scale[token];
}
