/* Products with a matrix of any type. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "lm/fit_inside.h"
#include "lm/lanes.h"
#include "lm/run_inside.h"
#include "mat/mat.h"

enum { COLUMNS = 256,                   /* outputs of a task: a fixed cut, so that threads do not show */
	PART = 192, WIDTH = 4096,       /* inputs and outputs of a task where it is cut by both */
	AHEAD = 8,                      /* rows of a matrix that are asked for before they are needed */
	SPARE = 256,                    /* numbers: 1 KiB */
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
	enum lm_after after;
	int is_table;
	size_t n_part, n_strip;         /* the cut by inputs and outputs */
	struct lm_work *work;
};

typedef uint32_t words __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32), aligned(2), may_alias));
INLINE const void *
number_at(const void *w, size_t i, int is_bf16)
{
	return is_bf16 ? (const void *)((const uint16_t *)w + i) : (const void *)((const float *)w + i);
}

/* A macro, as vectors are no arguments that every processor passes alike. */
#define LOAD_LANES(w, i, is_bf16) \
	((is_bf16) ? (lanes)(__builtin_convertvector(*(const halves *)((const uint16_t *)(w) + (i)), words) << 16) : \
	*(const lanes *)((const float *)(w) + (i)))

INLINE float
load_one(const void *w, size_t i, int is_bf16)
{
	return is_bf16 ? of_bf16(((const uint16_t *)w)[i]) : ((const float *)w)[i];
}

/* -- matrices that lie by input: y = X W

   Every output is summed in one order, whatever the number of rows, threads or lanes: in parts of about PART inputs; within a
   part four products make (a + b) + (c + d), which is added to what there is; what remains of four comes one by one. So the
   result of a row does not depend on the rows beside it. What is needed next is asked for in time: a processor foresees one
   stream of memory, not eight. */

#define FOUR(a, k) ((a(k) + a((k) + 1)) + (a((k) + 2) + a((k) + 3)))

/* One row: y [n_out] = x [n] W [n][n_out of stride]; y stays in the cache, and eight rows of W meet it at a time. */
INLINE void
one_row(const void *restrict w, int is_bf16, size_t n, size_t n_out, size_t stride, const float *restrict x,
    float *restrict y)
{
	size_t i = 0;

	memset(y, 0, n_out * sizeof *y);
	for (; i + 8 <= n; i += 8) {
		const void *at = number_at(w, i * stride, is_bf16), *next = i + 16 <= n ? number_at(at, 8 * stride, is_bf16) : at;
		const float *xi = x + i;
		size_t o = 0;
		for (; o + LANES <= n_out; o += LANES) {
			for (size_t k = 0; k < 8 && (!is_bf16 || o % (2 * LANES) == 0); k++)
				__builtin_prefetch(number_at(next, k * stride + o, is_bf16), 0, 2);
#define PRODUCT(k) xi[k] * LOAD_LANES(at, (k) * stride + o, is_bf16)
			lanes sum = *(lanes *)(y + o) + FOUR(PRODUCT, 0);
			*(lanes *)(y + o) = sum + FOUR(PRODUCT, 4);
#undef PRODUCT
		}
		for (; o < n_out; o++) {
#define PRODUCT(k) xi[k] * load_one(at, (k) * stride + o, is_bf16)
			float sum = y[o] + FOUR(PRODUCT, 0);
			y[o] = sum + FOUR(PRODUCT, 4);
#undef PRODUCT
		}
	}
	for (size_t o = 0; i + 4 <= n && o < n_out; o++) {
#define PRODUCT(k) x[i + (k)] * load_one(w, (i + (k)) * stride + o, is_bf16)
		y[o] += FOUR(PRODUCT, 0);
#undef PRODUCT
	}
	for (i = n / 4 * 4; i < n; i++)
		for (size_t o = 0; o < n_out; o++)
			y[o] += x[i] * load_one(w, i * stride + o, is_bf16);
}

/* n_row rows of x, which lies by input, and the first LANES columns of W, all sums in registers: a vector of them for each row,
   as more make a processor of narrow registers spill. ahead: columns until those to ask for now. */
INLINE void
tile(const void *restrict w, int is_bf16, size_t n, size_t stride, const float *restrict x, size_t n_row, float *restrict y,
    size_t y_stride, size_t n_y, size_t ahead)
{
	lanes sum[16];
	size_t i = 0;

#pragma GCC unroll 16
	for (size_t k = 0; k < 16; k++)
		sum[k] = (lanes){ 0 };
	for (; i + 4 <= n; i += 4) {
		lanes u[4];
#pragma GCC unroll 4
		for (size_t k = 0; k < 4; k++) {
			u[k] = LOAD_LANES(w, (i + k) * stride, is_bf16);
			__builtin_prefetch(number_at(w, (i + k) * stride + ahead, is_bf16), 0, 2);
		}
#pragma GCC unroll 16
		for (size_t r = 0; r < n_row; r++) {
			const float *xi = x + i * n_row + r;
#define PRODUCT(k) xi[(k) * n_row] * u[k]
			sum[r] += FOUR(PRODUCT, 0);
#undef PRODUCT
		}
	}
	for (; i < n; i++) {
		lanes u = LOAD_LANES(w, i * stride, is_bf16);
		for (size_t r = 0; r < n_row; r++)
			sum[r] += x[i * n_row + r] * u;
	}
	for (size_t r = 0; r < n_row && r < n_y; r++)
		*(lanes *)(y + r * y_stride) = sum[r];
}

/* The columns that do not fill a vector. */
INLINE void
last_columns(const void *restrict w, int is_bf16, size_t n, size_t n_out, size_t stride, const float *restrict x,
    size_t n_row, float *restrict y, size_t y_stride, size_t n_y)
{
	for (size_t r = 0; r < n_y; r++)
		for (size_t o = 0; o < n_out; o++) {
			float sum = 0;
			size_t i = 0;
			for (; i + 4 <= n; i += 4) {
				const float *xi = x + i * n_row + r;
				const void *at = number_at(w, i * stride + o, is_bf16);
#define PRODUCT(k) xi[(k) * n_row] * load_one(at, (k) * stride, is_bf16)
				sum += FOUR(PRODUCT, 0);
#undef PRODUCT
			}
			for (; i < n; i++)
				sum += x[i * n_row + r] * load_one(w, i * stride + o, is_bf16);
			y[r * y_stride + o] = sum;
		}
}

/* Y [n_y][n_out of y_stride] = X [n_y][n of x_stride] W [n][n_out of stride], n_y <= n_row, n < PART + 8. */
INLINE void
some_rows(const void *restrict w, int is_bf16, size_t n, size_t n_out, size_t stride, const float *restrict x,
    size_t x_stride, size_t n_y, size_t n_row, float *restrict y, size_t y_stride)
{
	float by_input[(PART + 8) * 16];
	size_t o = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < AHEAD * LANES && k < n_out; k += LANES)
			__builtin_prefetch(number_at(w, i * stride + k, is_bf16), 0, 2);
		for (size_t r = 0; r < n_row; r++)
			by_input[i * n_row + r] = r < n_y ? x[r * x_stride + i] : 0;
	}
	for (; o + LANES <= n_out; o += LANES)
		tile(number_at(w, o, is_bf16), is_bf16, n, stride, by_input, n_row, y + o, y_stride, n_y,
		    o + AHEAD * LANES < n_out ? AHEAD * LANES : 0);
	last_columns(number_at(w, o, is_bf16), is_bf16, n, n_out - o, stride, by_input, n_row, y + o, y_stride, n_y);
}

#define ROWS_OF(name, is_bf16) \
CLONES static void \
name(const void *restrict w, size_t n, size_t n_out, size_t stride, const float *restrict x, size_t x_stride, size_t n_y, \
    float *restrict y, size_t y_stride) \
{ \
	if (n_y == 1) \
		one_row(w, is_bf16, n, n_out, stride, x, y); \
	else if (n_y <= 4) \
		some_rows(w, is_bf16, n, n_out, stride, x, x_stride, n_y, 4, y, y_stride); \
	else if (n_y <= 8) \
		some_rows(w, is_bf16, n, n_out, stride, x, x_stride, n_y, 8, y, y_stride); \
	else \
		some_rows(w, is_bf16, n, n_out, stride, x, x_stride, n_y, 16, y, y_stride); \
}
ROWS_OF(rows_f32, 0)
ROWS_OF(rows_bf16, 1)

/* -- matrices that lie by output: inner products, summed in 16 lanes, then the lanes by halves; here too the result of a row
   is its own */

/* out [r][o] = x_r . w_o of n_row rows of X and four of W, n long; ahead: numbers of W until those to ask for now. */
INLINE void
dot_tile(const void *restrict w, int is_bf16, size_t n, const float *restrict x, size_t n_row, float *restrict out,
    size_t out_stride, size_t ahead)
{
	lanes sum[4][4];
	size_t i = 0;

	for (size_t r = 0; r < n_row; r++)
		for (size_t k = 0; k < 4; k++)
			sum[r][k] = (lanes){ 0 };
	for (; i + LANES <= n; i += LANES) {
		lanes u[4];
		for (size_t k = 0; k < 4; k++) {
			u[k] = LOAD_LANES(w, k * n + i, is_bf16);
			if (ahead && (!is_bf16 || i % (2 * LANES) == 0))
				__builtin_prefetch(number_at(w, k * n + i + ahead, is_bf16), 0, 2);
		}
		for (size_t r = 0; r < n_row; r++) {
			lanes v = *(const lanes *)(x + r * n + i);
			for (size_t k = 0; k < 4; k++)
				sum[r][k] += v * u[k];
		}
	}
	for (size_t r = 0; r < n_row; r++) {
		float *to = out + r * out_stride;
		fold_four(sum[r], to);
		for (size_t j = i; j < n; j++)
			for (size_t k = 0; k < 4; k++)
				to[k] += x[r * n + j] * load_one(w, k * n + j, is_bf16);
	}
}

INLINE float
dot_one(const void *restrict w, int is_bf16, size_t n, const float *restrict x)
{
	lanes sum = { 0 };
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		sum += *(const lanes *)(x + i) * LOAD_LANES(w, i, is_bf16);
	float all = fold(&sum);
	for (; i < n; i++)
		all += x[i] * load_one(w, i, is_bf16);
	return all;
}

/* Y [n_y][n_out of y_stride] = X [n_y][n] W' for n_out rows of W. */
INLINE void
dots(const void *restrict w, int is_bf16, size_t n, size_t n_out, const float *restrict x, size_t n_y, float *restrict y,
    size_t y_stride)
{
	size_t o = 0;

	for (; o + 4 <= n_out; o += 4) {
		const void *at = number_at(w, o * n, is_bf16);
		size_t ahead = o + AHEAD + 4 <= n_out ? AHEAD * n : 0, r = 0;
		for (; r + 4 <= n_y; r += 4)
			dot_tile(at, is_bf16, n, x + r * n, 4, y + r * y_stride + o, y_stride, r == 0 ? ahead : 0);
		for (; r < n_y; r++)
			dot_tile(at, is_bf16, n, x + r * n, 1, y + r * y_stride + o, y_stride, r == 0 ? ahead : 0);
	}
	for (; o < n_out; o++)
		for (size_t r = 0; r < n_y; r++)
			y[r * y_stride + o] = dot_one(number_at(w, o * n, is_bf16), is_bf16, n, x + r * n);
}
CLONES static void
dots_f32(const void *restrict w, size_t n, size_t n_out, const float *restrict x, size_t n_y, float *restrict y,
    size_t y_stride)
{
	dots(w, 0, n, n_out, x, n_y, y, y_stride);
}
CLONES static void
dots_bf16(const void *restrict w, size_t n, size_t n_out, const float *restrict x, size_t n_y, float *restrict y,
    size_t y_stride)
{
	dots(w, 1, n, n_out, x, n_y, y, y_stride);
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

/* Rounding to the nearest by adding what leaves no bits below 1: |x| <= WHOLE is far below 2^22. */
CLONES static void
to_whole(const float *x, size_t n, int16_t *out, float *scale)
{
	float lane[LANES] = { 0 }, most = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		for (size_t k = 0; k < LANES; k++) {
			float a = fabsf(x[i + k]);
			lane[k] = a > lane[k] ? a : lane[k];
		}
	for (size_t k = 0; k < LANES; k++)
		most = lane[k] > most ? lane[k] : most;
	for (; i < n; i++)
		most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
	*scale = most / WHOLE;
	float inverse = most > 0 ? WHOLE / most : 0;
	for (i = 0; i < n; i++) {
		float w = x[i] * inverse;
		w = w == w ? w : 0;             /* what is no number */
		w = w > WHOLE ? WHOLE : w < -WHOLE ? -WHOLE : w;
		out[i] = (int16_t)(int32_t)(w + 0x1.8p23f - 0x1.8p23f);
	}
}

/* -- tasks -- */

static void
whole_outputs(const struct product *p, size_t from, size_t n_out)
{
	const struct lm_matrix *w = p->w;
	const int16_t *whole = p->work->whole;

	for (size_t o = from; o < from + n_out; o++) {
		const int8_t *at = (const int8_t *)w->at + o * w->n_in;
		for (size_t i = 0; o + AHEAD < from + n_out && i < w->n_in; i += 64)
			__builtin_prefetch(at + AHEAD * w->n_in + i, 0, 2);
		for (size_t r = 0; r < p->n; r += 4) {
			size_t n = p->n - r < 4 ? p->n - r : 4;
			double sum[4] = { 0 };
			for (size_t i = 0; i < w->n_in; i += RUN) {
				size_t n_run = w->n_in - i < RUN ? w->n_in - i : RUN;
				const int16_t *x = whole + r * w->n_in + i;
				int32_t part[4];
				if (n == 4)
					dot4_i8(at + i, x, w->n_in, n_run, part);
				else
					for (size_t k = 0; k < n; k++)
						part[k] = dot_i8(at + i, x + k * w->n_in, n_run);
				for (size_t k = 0; k < n; k++)
					sum[k] += part[k];
			}
			for (size_t k = 0; k < n; k++) {
				float *y = &p->y[(r + k) * w->n_out + o];
				float value = (float)(sum[k] * p->work->scale[r + k] * w->scale[o]) + (p->b ? p->b[o] : 0);
				*y = p->after == LM_ADD ? *y + value : value;
			}
		}
	}
}

/* y as a product with beta = 1 wants it before. */
static void
set_bias(const struct product *p, size_t from, size_t n_out)
{
	for (size_t r = 0; r < p->n; r++) {
		float *y = p->y + r * p->w->n_out + from;
		if (p->after == LM_ADD && p->b)
			fit_add(y, p->b + from, n_out);
		else if (p->after != LM_ADD && p->b)
			memcpy(y, p->b + from, n_out * sizeof *y);
		else if (p->after != LM_ADD)
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
multiply(const struct product *p, size_t from, size_t n_out)
{
	const struct lm_matrix *w = p->w;

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

static void
columns(void *arg, size_t task, size_t worker)
{
	const struct product *p = arg;
	const struct lm_matrix *w = p->w;
	size_t from = task * COLUMNS, n_out = w->n_out - from < COLUMNS ? w->n_out - from : COLUMNS;

	(void)worker;
	if (p->n > LM_FEW)
		multiply(p, from, n_out);
	else if (w->type == LM_I8)
		whole_outputs(p, from, n_out);
	else if (w->type == LM_BF16)
		dots_bf16((const uint16_t *)w->at + from * w->n_in, w->n_in, n_out, p->x, p->n, p->y + from, w->n_out);
	else
		dots_f32((const float *)w->at + from * w->n_in, w->n_in, n_out, p->x, p->n, p->y + from, w->n_out);
	if (p->after == LM_GELU)
		for (size_t r = 0; r < p->n; r++)
			fit_gelu_value(p->y + r * w->n_out + from, n_out);
}

/* Where part k of the inputs begins. */
static size_t
part_at(const struct product *p, size_t k)
{
	return k == p->n_part ? p->w->n_in : k * p->w->n_in / p->n_part / 8 * 8;
}

/* The sums of part k, row r. Of one row they lie so that what is stored into them never looks, by the last 12 bits of its
   address, like what is read of W soon after: a processor would wait for the store. Strides of W are multiples of 1 KiB at
   most sizes. */
static float *
sums_at(const struct product *p, size_t k, size_t r)
{
	const struct lm_matrix *w = p->w;
	float *at = p->work->part + (k * p->n + r) * w->n_out;

	if (p->n > 1)
		return at;
	at += k * 2 * SPARE;
	uintptr_t read = (uintptr_t)w->at + part_at(p, k) * w->n_out * (w->type == LM_BF16 ? sizeof(uint16_t) : sizeof(float));
	return at + (read / 64 * 64 - 64 - (uintptr_t)at / 64 * 64) % 1024 / sizeof *at;
}

/* One part of the inputs, one strip of the outputs. */
static void
patch(void *arg, size_t task, size_t worker)
{
	const struct product *p = arg;
	const struct lm_matrix *w = p->w;
	size_t n_out = w->n_out, k = task / p->n_strip, strip = task % p->n_strip;
	size_t i = part_at(p, k), n = part_at(p, k + 1) - i;
	/* strips of whole lines */
	size_t o = strip * n_out / p->n_strip / LANES * LANES, to = (strip + 1) * n_out / p->n_strip / LANES * LANES;
	if (strip + 1 == p->n_strip)
		to = n_out;

	(void)worker;
	for (size_t r = 0; r < p->n; r += 16) {
		size_t n_y = p->n - r < 16 ? p->n - r : 16;
		float *y = sums_at(p, k, r) + o;
		const float *x = p->x + r * w->n_in + i;
		if (w->type == LM_BF16)
			rows_bf16((const uint16_t *)w->at + i * n_out + o, n, to - o, n_out, x, w->n_in, n_y, y, n_out);
		else
			rows_f32((const float *)w->at + i * n_out + o, n, to - o, n_out, x, w->n_in, n_y, y, n_out);
	}
}

/* What patches made is added up, row by row in strips of COLUMNS. */
static void
sum_patches(void *arg, size_t task, size_t worker)
{
	const struct product *p = arg;
	size_t n_out = p->w->n_out, n_strip = (n_out + COLUMNS - 1) / COLUMNS, r = task / n_strip;
	size_t from = task % n_strip * COLUMNS, n = n_out - from < COLUMNS ? n_out - from : COLUMNS;
	float sum[COLUMNS], *y = p->y + r * n_out + from;

	(void)worker;
	if (p->b)
		memcpy(sum, p->b + from, n * sizeof *sum);
	else
		memset(sum, 0, n * sizeof *sum);
	for (size_t k = 0; k < p->n_part; k++)
		fit_add(sum, sums_at(p, k, r) + from, n);
	if (p->after == LM_GELU)
		fit_gelu_value(sum, n);
	if (p->after == LM_ADD)
		fit_add(y, sum, n);
	else
		memcpy(y, sum, n * sizeof *sum);
}

static void *
room(void *at, size_t *n_cap, size_t n, size_t size)
{
	if (n <= *n_cap)
		return at;
	free(at);
	*n_cap = n;
	return xaligned(n, size);
}

static void
product(struct product *p)
{
	const struct lm_matrix *w = p->w;
	struct lm_work *work = p->work;
	size_t n_thread = w->n_in * w->n_out < TINY ? 1 : work->n_thread;

	if (w->type == LM_I8 && p->n <= LM_FEW) {
		work->whole = room(work->whole, &work->n_whole, p->n * w->n_in, sizeof *work->whole);
		work->scale = room(work->scale, &work->n_scale, p->n, sizeof *work->scale);
		for (size_t r = 0; r < p->n; r++)
			to_whole(p->x + r * w->n_in, w->n_in, work->whole + r * w->n_in, &work->scale[r]);
	}
	if (p->is_table || w->type == LM_I8 || p->n > LM_FEW) {
		thread_for(n_thread, (w->n_out + COLUMNS - 1) / COLUMNS, columns, p);
		return;
	}
	p->n_part = (w->n_in + PART - 1) / PART;
	p->n_strip = (w->n_out + WIDTH - 1) / WIDTH;
	work->part = room(work->part, &work->n_part, p->n_part * (p->n * w->n_out + 2 * SPARE), sizeof *work->part);
	thread_for(n_thread, p->n_part * p->n_strip, patch, p);
	thread_for(p->n * w->n_out < TINY ? 1 : n_thread, p->n * ((w->n_out + COLUMNS - 1) / COLUMNS), sum_patches, p);
}

void
lm_apply(const struct lm_affine *a, const float *x, size_t n, enum lm_after after, float *y, struct lm_work *work)
{
	product(&(struct product){ .w = &a->w, .b = a->b, .x = x, .y = y, .n = n, .after = after, .work = work });
}

void
lm_logits(const struct lm *m, const float *x, size_t n, float *y, struct lm_work *work)
{
	product(&(struct product){ .w = &m->wte, .x = x, .y = y, .n = n, .is_table = 1, .work = work });
}

void
lm_work_free(struct lm_work *w)
{
	free(w->part);
	free(w->whole);
	free(w->scale);
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
