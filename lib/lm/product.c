/* Products with a matrix of any type.

   Numbers that lie by input are summed in parts of about PART inputs, each as product_loops.h has it; to the bias come the sums of
   the parts, one after the other. Of a matrix that lies by output an output is one inner product. So the bits of a row of LM_FEW
   or fewer depend neither on the rows beside it nor on threads; more rows get those of sgemm. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "lm/fit_inside.h"
#include "lm/lanes.h"
#include "lm/product_loops.h"
#include "lm/run_inside.h"
#include "mat/mat.h"

enum { COLUMNS = 256,                   /* outputs of a task: a fixed cut, so that threads do not show */
	PART = 192, WIDTH = 4096,       /* inputs and outputs of a task where it is cut by both */
	SPARE = 256,                    /* numbers: 1 KiB */
	TINY = 1 << 14 };               /* numbers of a matrix that threads are not worth waking for */

struct product {
	const struct lm_matrix *w;
	const float *b, *x;
	float *y;
	size_t n;
	enum lm_after after;
	int is_table;
	size_t n_part, n_strip;         /* the cut by inputs and outputs */
	struct lm_work *work;
	const struct lm_loops *loops;
};

static const void *
number_at(const void *w, size_t i, int is_bf16)
{
	return is_bf16 ? (const void *)((const uint16_t *)w + i) : (const void *)((const float *)w + i);
}

/* Rounding to the nearest by adding what leaves no bits below 1: |x| <= LM_WHOLE is far below 2^22. */
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
	*scale = most / LM_WHOLE;
	float inverse = most > 0 ? LM_WHOLE / most : 0;
	for (i = 0; i < n; i++) {
		float w = x[i] * inverse;
		w = w == w ? w : 0;             /* what is no number */
		w = w > LM_WHOLE ? LM_WHOLE : w < -LM_WHOLE ? -LM_WHOLE : w;
		out[i] = (int16_t)(int32_t)(w + 0x1.8p23f - 0x1.8p23f);
	}
}

/* -- tasks -- */

static void
whole_outputs(const struct product *p, size_t from, size_t n_out)
{
	const struct lm_matrix *w = p->w;
	float value[LM_FEW * COLUMNS];

	p->loops->whole((const int8_t *)w->at + from * w->n_in, w->scale + from, w->n_in, n_out, p->work->whole, p->work->scale, p->n,
	    value, COLUMNS);
	for (size_t r = 0; r < p->n; r++) {
		float *y = p->y + r * w->n_out + from, *sum = value + r * COLUMNS;
		if (p->b)
			fit_add(sum, p->b + from, n_out);
		if (p->after == LM_ADD)
			fit_add(y, sum, n_out);
		else
			memcpy(y, sum, n_out * sizeof *y);
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
	else
		p->loops->by_output(number_at(w->at, from * w->n_in, w->type == LM_BF16), w->type == LM_BF16, w->n_in, n_out, p->x, p->n,
		    p->y + from, w->n_out);
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

/* The sums of part k, row r. Of one row they lie so that what is stored into them never looks, by its place in 1 KiB,
   like what is read of W soon after: a processor that compares the last 12 bits of two addresses would wait for the store. Strides
   of W are multiples of 1 KiB at most sizes. */
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
	p->loops->by_input(number_at(w->at, i * n_out + o, w->type == LM_BF16), w->type == LM_BF16, n, to - o, n_out, p->x + i, w->n_in,
	    p->n, sums_at(p, k, 0) + o, n_out);
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

	p->loops = lm_loops_at(0);

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
