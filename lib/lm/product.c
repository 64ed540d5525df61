/* Products with a matrix of any type. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "lm/run_inside.h"
#include "mat/mat.h"

enum { COLUMNS = 256 };                 /* outputs of a task: a fixed cut, so that threads do not show */

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
};

static void
by_input(const struct product *p, size_t from, size_t n_out)
{
	const struct lm_matrix *w = p->w;

	for (size_t r = 0; r < p->n; r++) {
		const float *x = p->x + r * w->n_in;
		float *y = p->y + r * w->n_out + from;
		if (p->b)
			memcpy(y, p->b + from, n_out * sizeof *y);
		else
			memset(y, 0, n_out * sizeof *y);
		for (size_t i = 0; i < w->n_in; i++) {
			const uint16_t *row = (const uint16_t *)w->at + i * w->n_out + from;
			for (size_t o = 0; o < n_out; o++)
				y[o] += x[i] * of_bf16(row[o]);
		}
	}
}

static void
by_output(const struct product *p, size_t from, size_t n_out)
{
	const struct lm_matrix *w = p->w;

	for (size_t r = 0; r < p->n; r++)
		for (size_t o = from; o < from + n_out; o++) {
			const float *x = p->x + r * w->n_in;
			float sum = 0;
			if (w->type == LM_I8) {
				const int8_t *row = (const int8_t *)w->at + o * w->n_in;
				for (size_t i = 0; i < w->n_in; i++)
					sum += x[i] * row[i];
				sum *= w->scale[o];
			} else {
				const uint16_t *row = (const uint16_t *)w->at + o * w->n_in;
				for (size_t i = 0; i < w->n_in; i++)
					sum += x[i] * of_bf16(row[i]);
			}
			p->y[r * w->n_out + o] = sum + (p->b ? p->b[o] : 0);
		}
}

static void
columns(void *arg, size_t task, size_t worker)
{
	const struct product *p = arg;
	const struct lm_matrix *w = p->w;
	size_t from = task * COLUMNS, n_out = w->n_out - from < COLUMNS ? w->n_out - from : COLUMNS;

	(void)worker;
	if (w->type == LM_F32) {
		struct mat y = { .at = p->y + from, .n_row = p->n, .n_col = n_out, .stride = w->n_out };
		struct mat part = { .at = (float *)w->at + (p->is_table ? from * w->n_in : from), .n_row = p->is_table ? n_out : w->n_in,
			.n_col = p->is_table ? w->n_in : n_out, .stride = p->is_table ? w->n_in : w->n_out };
		for (size_t r = 0; r < p->n; r++) {
			if (p->b)
				memcpy(y.at + r * y.stride, p->b + from, n_out * sizeof(float));
			else
				memset(y.at + r * y.stride, 0, n_out * sizeof(float));
		}
		if (p->n == 1)
			mat_mul_vec(1, part, !p->is_table, p->x, 1, y.at);
		else
			mat_mul(1, mat_of(p->x, p->n, w->n_in), 0, part, p->is_table, 1, y);
	} else if (w->type == LM_BF16 && !p->is_table)
		by_input(p, from, n_out);
	else
		by_output(p, from, n_out);
}

static void
product(struct product *p, size_t n_thread)
{
	thread_for(n_thread, (p->w->n_out + COLUMNS - 1) / COLUMNS, columns, p);
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
