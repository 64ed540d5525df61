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
	PARTS = 16,                     /* tasks of one row's product by inputs, whose sums are added in order */
	ROWS = 8,                       /* inputs taken together */
	FEW = 32,                       /* rows up to which a product is bound by reading its matrix */
	TINY = 1 << 14 };               /* numbers of a matrix that threads are not worth waking for */

static float
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
	float *part;                    /* [PARTS][n_out] */
	int16_t *whole;                 /* [n][n_in] x in whole numbers, times scale [n] */
	float *scale;
};

/* y [n_out] += x [n] W [n][n_out]: memory is read in order, y stays in the cache. */
CLONES static void
add_rows_f32(const float *restrict w, const float *restrict x, size_t n, size_t n_out, float *restrict y)
{
	size_t i = 0;

	for (; i + ROWS <= n; i += ROWS, w += ROWS * n_out)
		for (size_t o = 0; o < n_out; o++)
			y[o] += ((x[i] * w[o] + x[i + 1] * w[n_out + o]) + (x[i + 2] * w[2 * n_out + o] + x[i + 3] * w[3 * n_out + o])) +
			    ((x[i + 4] * w[4 * n_out + o] + x[i + 5] * w[5 * n_out + o]) + (x[i + 6] * w[6 * n_out + o] + x[i + 7] * w[7 * n_out + o]));
	for (; i < n; i++, w += n_out)
		for (size_t o = 0; o < n_out; o++)
			y[o] += x[i] * w[o];
}

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
enum { LANES = 16 };

/* Y [n][n_out] += X [n][n_in] W [n_in][n_out], rows of W, X and Y w_stride, x_stride and y_stride apart. n_in a multiple of ROWS,
   n_out of LANES: eight vectors of W meet every row of X. */
CLONES static void
add_block_f32(const float *restrict w, size_t w_stride, size_t n_in, size_t n_out, const float *restrict x, size_t x_stride,
    size_t n, float *restrict y, size_t y_stride)
{
	for (size_t i = 0; i < n_in; i += ROWS, w += ROWS * w_stride)
		for (size_t o = 0; o < n_out; o += LANES) {
			const float *at = w + o;
			lanes w0 = *(const lanes *)at, w1 = *(const lanes *)(at + w_stride), w2 = *(const lanes *)(at + 2 * w_stride),
			    w3 = *(const lanes *)(at + 3 * w_stride), w4 = *(const lanes *)(at + 4 * w_stride),
			    w5 = *(const lanes *)(at + 5 * w_stride), w6 = *(const lanes *)(at + 6 * w_stride),
			    w7 = *(const lanes *)(at + 7 * w_stride);
			for (size_t r = 0; r < n; r++) {
				const float *xr = x + r * x_stride + i;
				lanes *yr = (lanes *)(y + r * y_stride + o);
				*yr += ((xr[0] * w0 + xr[1] * w1) + (xr[2] * w2 + xr[3] * w3)) +
				    ((xr[4] * w4 + xr[5] * w5) + (xr[6] * w6 + xr[7] * w7));
			}
		}
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

/* Outputs [from, from + n_out) of all rows, where a matrix lies by output. */
static void
by_output(const struct product *p, size_t from, size_t n_out)
{
	const struct lm_matrix *w = p->w;

	for (size_t o = from; o < from + n_out; o++)
		for (size_t r = 0; r < p->n; r++) {
			float sum;
			if (w->type == LM_I8) {
				double whole = 0;
				for (size_t i = 0; i < w->n_in; i += RUN)
					whole += dot_i8((const int8_t *)w->at + o * w->n_in + i, p->whole + r * w->n_in + i,
					    w->n_in - i < RUN ? w->n_in - i : RUN);
				sum = (float)(whole * p->scale[r] * w->scale[o]);
			} else if (w->type == LM_BF16)
				sum = dot_bf16((const uint16_t *)w->at + o * w->n_in, p->x + r * w->n_in, w->n_in);
			else
				sum = dot_f32((const float *)w->at + o * w->n_in, p->x + r * w->n_in, w->n_in);
			p->y[r * w->n_out + o] = sum + (p->b ? p->b[o] : 0);
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
	if ((w->type != LM_F32 && p->n < ROWS && (w->type == LM_I8 || p->is_table)) || (p->is_table && p->n == 1)) {
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
	if (!p->is_table && p->n <= FEW && w->n_in % ROWS == 0 && n_out % LANES == 0) {
		add_block_f32((const float *)w->at + from, w->n_out, w->n_in, n_out, p->x, w->n_in, p->n, y.at, y.stride);
		return;
	}
	struct mat part = { .at = (float *)w->at + (p->is_table ? from * w->n_in : from), .n_row = p->is_table ? n_out : w->n_in,
		.n_col = p->is_table ? w->n_in : n_out, .stride = p->is_table ? w->n_in : w->n_out };
	mat_mul(1, x, 0, part, p->is_table, 1, y);
}

/* Inputs of one part of a single row's product. */
static void
inputs(void *arg, size_t task, size_t worker)
{
	const struct product *p = arg;
	const struct lm_matrix *w = p->w;
	size_t from = task * w->n_in / PARTS, to = (task + 1) * w->n_in / PARTS;
	float *y = p->part + task * w->n_out;

	(void)worker;
	memset(y, 0, w->n_out * sizeof *y);
	if (w->type == LM_F32)
		add_rows_f32((const float *)w->at + from * w->n_out, p->x + from, to - from, w->n_out, y);
	else
		add_rows_bf16((const uint16_t *)w->at + from * w->n_out, p->x + from, to - from, w->n_out, y);
}

static void
product(struct product *p, size_t n_thread)
{
	const struct lm_matrix *w = p->w;

	if (w->n_in * w->n_out < TINY)
		n_thread = 1;
	if (w->type == LM_I8 && p->n < ROWS) {
		p->whole = xmalloc(p->n * w->n_in, sizeof *p->whole);
		p->scale = xmalloc(p->n, sizeof *p->scale);
		for (size_t r = 0; r < p->n; r++)
			to_whole(p->x + r * w->n_in, w->n_in, p->whole + r * w->n_in, &p->scale[r]);
	}
	if (p->n == 1 && !p->is_table && w->type != LM_I8) {
		p->part = xmalloc(PARTS * w->n_out, sizeof *p->part);
		thread_for(n_thread, PARTS, inputs, p);
		set_bias(p, 0, w->n_out);
		for (size_t k = 0; k < PARTS; k++)
			for (size_t o = 0; o < w->n_out; o++)
				p->y[o] += p->part[k * w->n_out + o];
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
