/*
 * A DECODER's file is written: numbers in one of three forms, its vocabulary, and a MODEL within it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lm/lm.h"
#include "mat/half.h"
#include "tensor/tensor.h"

/* The arrays of m in the order of lm_parts(): matrix or vector (the other is NULL). */
struct lm_array {
	const struct lm_matrix *matrix;
	const float *vector;
};

static struct lm_array *
arrays(const struct lm *m, size_t *n)
{
	const struct lm_shape *s = &m->shape;
	struct lm_array *a = xcalloc(12 * s->n_layer + 16, sizeof *a), *at = a;
#define VECTOR(v) (at++->vector = (v))
#define MATRIX(w) (at++->matrix = &(w))
	MATRIX(m->wte);
	VECTOR(m->wpe);
	for (size_t i = 0; i < s->n_layer; i++) {
		const struct lm_block *b = &m->block[i];
		VECTOR(b->ln1_g);
		VECTOR(b->ln1_b);
		MATRIX(b->qkv.w);
		VECTOR(b->qkv.b);
		MATRIX(b->proj.w);
		VECTOR(b->proj.b);
		VECTOR(b->ln2_g);
		VECTOR(b->ln2_b);
		MATRIX(b->fc.w);
		VECTOR(b->fc.b);
		MATRIX(b->out.w);
		VECTOR(b->out.b);
	}
	VECTOR(m->lnf_g);
	VECTOR(m->lnf_b);
	if (s->n_source > 0)
		VECTOR(m->wse);
	if (s->shift)
		VECTOR(m->shift);
	if (s->n_prefix > 0) {
		MATRIX(m->prefix1.w);
		VECTOR(m->prefix1.b);
		MATRIX(m->prefix2.w);
		VECTOR(m->prefix2.b);
	}
	if (s->copy) {
		MATRIX(m->copy_q.w);
		MATRIX(m->copy_k.w);
		VECTOR(m->copy_gate);
		VECTOR(m->copy_scalar);
	}
#undef VECTOR
#undef MATRIX
	*n = (size_t)(at - a);
	return a;
}

static int
put_bf16(struct tensor_writer *w, const float *at, size_t n, struct fault *f)
{
	uint16_t part[4096];

	for (size_t i = 0; i < n; ) {
		size_t k = 0;
		for (; k < 4096 && i < n; k++, i++)
			part[k] = mat_bf16(at[i]);
		if (tensor_put(w, part, k * sizeof *part, f) < 0)
			return -1;
	}
	return 0;
}

/* By output, each with the scale that takes its largest number to 127; then the scales. */
static int
put_i8(struct tensor_writer *w, const struct lm_matrix *m, int is_table, struct fault *f)
{
	const float *at = m->at;
	int8_t *row = xmalloc(m->n_in, 1);
	float *scale = xmalloc(m->n_out, sizeof *scale);
	size_t step = is_table ? 1 : m->n_out;
	int bad = 0;

	for (size_t o = 0; o < m->n_out && !bad; o++) {
		const float *from = is_table ? at + o * m->n_in : at + o;
		float most = 0;
		for (size_t i = 0; i < m->n_in; i++)
			most = fmaxf(most, fabsf(from[i * step]));
		scale[o] = most / 127;
		for (size_t i = 0; i < m->n_in; i++)
			row[i] = most > 0 ? (int8_t)lrintf(from[i * step] / scale[o]) : 0;
		bad = tensor_put(w, row, m->n_in, f) < 0;
	}
	if (!bad)
		bad = tensor_put(w, scale, m->n_out * sizeof *scale, f) < 0;
	free(row);
	free(scale);
	return bad ? -1 : 0;
}

static void
declare(struct tensor_writer *w, const struct lm_part *p, const struct lm_array *a, enum lm_type type)
{
	if (!a->matrix || type == LM_F32)
		tensor_declare(w, p->name, TENSOR_F32, p->n_dim, p->shape);
	else if (type == LM_BF16)
		tensor_declare(w, p->name, TENSOR_BF16, p->n_dim, p->shape);
	else {
		size_t by_output[] = { a->matrix->n_out, a->matrix->n_in };
		char name[sizeof p->name + 8];
		tensor_declare(w, p->name, TENSOR_I8, 2, by_output);
		snprintf(name, sizeof name, "%s.scale", p->name);
		tensor_declare(w, name, TENSOR_F32, 1, by_output);
	}
}

/* The float32 numbers [n_in][n_out], of a table [n_out][n_in], of a matrix of another type; the caller frees. */
static float *
widen(const struct lm_matrix *m, int is_table)
{
	size_t n = m->n_in * m->n_out, by_output = is_table ? 1 : m->n_out, by_row = is_table ? m->n_in : 1;
	float *out = xmalloc(n, sizeof *out);
	const uint16_t *half = m->at;
	const int8_t *byte = m->at;

	if (m->type == LM_BF16)
		for (size_t i = 0; i < n; i++)
			out[i] = mat_bf16_float(half[i]);
	else
		for (size_t o = 0; o < m->n_out; o++)
			for (size_t i = 0; i < m->n_in; i++)
				out[o * by_row + i * by_output] = m->scale[o] * byte[o * m->n_in + i];
	return out;
}

static int
put(struct tensor_writer *w, const struct lm_part *p, const struct lm_array *a, enum lm_type type, int is_table, struct fault *f)
{
	if (!a->matrix)
		return tensor_put(w, a->vector, p->n * sizeof(float), f);
	if (a->matrix->type == LM_I8 && type == LM_I8)  /* as they are: rounded once more, scales would move */
		return tensor_put(w, a->matrix->at, p->n, f) < 0 ? -1 :
		    tensor_put(w, a->matrix->scale, a->matrix->n_out * sizeof(float), f);
	float *wide = a->matrix->type == LM_F32 ? NULL : widen(a->matrix, is_table);
	struct lm_matrix m = *a->matrix;
	m.at = wide ? wide : m.at;
	int bad = type == LM_F32 ? tensor_put(w, m.at, p->n * sizeof(float), f) : type == LM_BF16 ? put_bf16(w, m.at, p->n, f) :
	    put_i8(w, &m, is_table, f);
	free(wide);
	return bad;
}

/* from: its metadata are taken over, NULL: none. */
static int
write_file(const struct lm *m, const char *path, enum lm_type type, const char *const *meta, const struct tensor_file *from,
    struct span model, struct fault *f)
{
	static const char *const type_name[] = { [LM_F32] = "f32", [LM_BF16] = "bf16", [LM_I8] = "int8" };
	const struct lm_shape *s = &m->shape;
	struct tensor_writer *w = tensor_create(path, "decoder", f);
	size_t n_part, n_array;
	int bad = 0;

	if (!w)
		return -1;
	struct lm_part *part = lm_parts(s, &n_part);
	struct lm_array *array = arrays(m, &n_array);
	tensor_set_meta(w, "type", "%s", type_name[type]);
	tensor_set_meta(w, "n_head", "%zu", s->n_head);
	tensor_set_meta(w, "two_way", "%d", s->two_way);
	if (s->n_prefix > 0) {
		tensor_set_meta(w, "n_prefix", "%zu", s->n_prefix);
		tensor_set_meta(w, "n_given", "%zu", s->n_given);
		tensor_set_meta(w, "n_prefix_inner", "%zu", s->n_prefix_inner);
	}
	for (; meta && meta[0]; meta += 2)
		tensor_set_meta(w, meta[0], "%s", meta[1]);
	if (from)
		tensor_set_meta_file(w, from);
	for (size_t i = 0; i < n_part; i++)
		declare(w, &part[i], &array[i], type);
	if (m->bpe)
		bpe_declare(w, m->bpe);
	if (model.n > 0)
		tensor_declare(w, "model", TENSOR_U8, 1, &model.n);
	for (size_t i = 0; i < n_part && !bad; i++)
		bad = put(w, &part[i], &array[i], type, i == 0, f) < 0;
	if (!bad && m->bpe)
		bad = bpe_put(w, m->bpe, f) < 0;
	if (!bad && model.n > 0)
		bad = tensor_put(w, model.at, model.n, f) < 0;
	free(part);
	free(array);
	if (bad) {
		tensor_abort(w);
		return -1;
	}
	return tensor_commit(w, f);
}

int
lm_write(const struct lm *m, const char *path, enum lm_type type, const char *const *meta, struct span model, struct fault *f)
{
	return write_file(m, path, type, meta, NULL, model, f);
}

int
lm_convert(const struct lm *m, const char *path, enum lm_type type, int with_model, struct fault *f)
{
	struct span model = { NULL, 0 };
	struct tensor t;

	if (with_model && tensor_has(m->file, "model")) {
		const size_t any = TENSOR_FREE;
		if (tensor_get(m->file, "model", TENSOR_U8, 1, &any, &t, f) < 0 || tensor_verify(m->file, t.at, t.n_byte, f) < 0)
			return -1;
		model = (struct span){ t.at, t.n_byte };
	}
	return write_file(m, path, type, NULL, m->file, model, f);
}
