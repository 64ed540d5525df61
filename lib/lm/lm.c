/* The model's file: a DECODER of ours or a published checkpoint is opened. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "json/json.h"
#include "lm/run_inside.h"

enum { HEAD_DIM = 64 };                 /* of every published GPT-2 */

/* -- opening -- */

struct opening {
	struct lm *m;
	struct tensor_file *t;
	struct fault *f;
	char name[96];                  /* of the tensor at hand, as the file has it */
};

/* Numbers that are not the file's hang in a list. */
static float *
own(struct lm *m, size_t n)
{
	void **block = xmalloc(1, sizeof(void *) * 8 + n * sizeof(float));      /* the numbers stay aligned to 16 */

	block[0] = m->owned;
	m->owned = block;
	return (float *)(block + 8);
}

/* The name that the file has for it: published files differ in a prefix. 1 if there is such a tensor. */
static int
find(struct opening *o, const char *name)
{
	snprintf(o->name, sizeof o->name, "%s", name);
	if (tensor_has(o->t, o->name))
		return 1;
	snprintf(o->name, sizeof o->name, "transformer.%s", name);
	if (tensor_has(o->t, o->name))
		return 1;
	snprintf(o->name, sizeof o->name, "%s", name);
	return 0;
}

/* A tensor of floats as float32: where it lies, or converted. NULL with *f set. */
static const float *
floats(struct opening *o, const char *name, size_t n_dim, const size_t *shape)
{
	struct tensor t;
	size_t n = 1;

	find(o, name);
	if (tensor_get(o->t, o->name, TENSOR_ANY, n_dim, shape, &t, o->f) < 0)
		return NULL;
	for (size_t i = 0; i < n_dim; i++)
		n *= t.shape[i];
	const float *at = t.at;
	if (t.type != TENSOR_F32) {
		float *copy = own(o->m, n);
		if (tensor_to_f32(&t, 0, n, copy) < 0) {
			fault(o->f, EX_DATAERR, "%s: %s: expected numbers of type F32, F16 or BF16", tensor_path(o->t), o->name);
			return NULL;
		}
		at = copy;
	}
	if (n_dim == 1)
		for (size_t i = 0; i < n; i++)
			if (!isfinite(at[i])) {
				fault(o->f, EX_DATAERR, "%s: %s: number %zu is not finite", tensor_path(o->t), o->name, i);
				return NULL;
			}
	return at;
}

static const float *
vector(struct opening *o, const char *name, size_t n)
{
	return floats(o, name, 1, &n);
}

/* is_table: wte, whose rows are its outputs. */
static int
matrix(struct opening *o, const char *name, size_t n_in, size_t n_out, int is_table, struct lm_matrix *w)
{
	struct tensor t;
	struct fault other;
	const size_t by_input[] = { n_in, n_out }, by_output[] = { n_out, n_in };

	*w = (struct lm_matrix){ .n_in = n_in, .n_out = n_out };
	find(o, name);
	if (tensor_get(o->t, o->name, TENSOR_I8, 2, by_output, &t, &other) == 0) {
		char scale[128];
		struct tensor s;
		snprintf(scale, sizeof scale, "%s.scale", o->name);
		if (tensor_get(o->t, scale, TENSOR_F32, 1, &n_out, &s, o->f) < 0)
			return -1;
		w->type = LM_I8;
		w->at = t.at;
		w->scale = s.at;
		return 0;
	}
	if (tensor_get(o->t, o->name, TENSOR_BF16, 2, is_table ? by_output : by_input, &t, &other) == 0) {
		w->type = LM_BF16;
		w->at = t.at;
		return 0;
	}
	w->at = floats(o, name, 2, is_table ? by_output : by_input);
	return w->at ? 0 : -1;
}

static int
affine(struct opening *o, const char *name, size_t n_in, size_t n_out, struct lm_affine *a)
{
	char part[96];

	snprintf(part, sizeof part, "%s.weight", name);
	if (matrix(o, part, n_in, n_out, 0, &a->w) < 0)
		return -1;
	snprintf(part, sizeof part, "%s.bias", name);
	return (a->b = vector(o, part, n_out)) ? 0 : -1;
}

static int
block(struct opening *o, size_t i)
{
	const struct lm_shape *s = &o->m->shape;
	struct lm_block *b = &o->m->block[i];
	char name[80];
#define NAME(part) (snprintf(name, sizeof name, "h.%zu." part, i), name)
	return (b->ln1_g = vector(o, NAME("ln_1.weight"), s->dim)) && (b->ln1_b = vector(o, NAME("ln_1.bias"), s->dim)) &&
	    affine(o, NAME("attn.c_attn"), s->dim, 3 * s->dim, &b->qkv) == 0 &&
	    affine(o, NAME("attn.c_proj"), s->dim, s->dim, &b->proj) == 0 &&
	    (b->ln2_g = vector(o, NAME("ln_2.weight"), s->dim)) && (b->ln2_b = vector(o, NAME("ln_2.bias"), s->dim)) &&
	    affine(o, NAME("mlp.c_fc"), s->dim, s->n_inner, &b->fc) == 0 &&
	    affine(o, NAME("mlp.c_proj"), s->n_inner, s->dim, &b->out) == 0 ? 0 : -1;
#undef NAME
}

/* Rows and columns of a matrix whose size is not known yet. */
static int
size_of(struct opening *o, const char *name, size_t *n_row, size_t *n_col)
{
	const size_t any[] = { TENSOR_FREE, TENSOR_FREE };
	struct tensor t;

	find(o, name);
	if (tensor_get(o->t, o->name, TENSOR_ANY, 2, any, &t, o->f) < 0)
		return -1;
	*n_row = t.shape[0];
	*n_col = t.shape[1];
	return 0;
}

/* Beside path: the file of that name in its folder, if it is there; the caller frees. */
static char *
beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	struct buf b = { 0 };

	if (slash)
		buf_put(&b, path, (size_t)(slash - path) + 1);
	buf_puts(&b, name);
	char *found = access(buf_string(&b), R_OK) == 0 ? xstrdup(buf_string(&b)) : NULL;
	buf_free(&b);
	return found;
}

static int
heads_of_config(struct opening *o, const char *path)
{
	char *config = beside(path, "config.json");
	struct file_map map;
	int64_t n = 0;

	if (!config)
		return 0;
	if (file_map_open(&map, config, o->f) < 0) {
		free(config);
		return -1;
	}
	struct json *j = json_read((const char *)map.at, map.n, config, o->f);
	file_map_close(&map);
	if (j)
		n = json_integer(json_get(j, "n_head"), 0);
	json_free(j);
	free(config);
	if (!j)
		return -1;
	if (n > 0)
		o->m->shape.n_head = (size_t)n;
	return 0;
}

static int
number_of_meta(struct opening *o, const char *key, size_t *n)
{
	double value;

	if (!tensor_meta(o->t, key))
		return 0;
	if (tensor_meta_number(o->t, key, &value, o->f) < 0)
		return -1;
	if (!(value >= 0 && value <= 1e6 && value == floor(value)))
		return fault(o->f, EX_DATAERR, "%s: %s: expected a count, got %g", tensor_path(o->t), key, value);
	*n = (size_t)value;
	return 0;
}

static int
shape(struct opening *o, const char *path)
{
	struct lm_shape *s = &o->m->shape;
	size_t n_row, n_col, two_way = 0;
	char name[80];

	if (size_of(o, "wte.weight", &s->n_vocab, &s->dim) < 0 || size_of(o, "wpe.weight", &s->n_place, &n_col) < 0)
		return -1;
	for (s->n_layer = 0; snprintf(name, sizeof name, "h.%zu.ln_1.weight", s->n_layer), find(o, name); s->n_layer++)
		;
	if (s->n_layer == 0)
		return fault(o->f, EX_DATAERR, "%s: no block: expected tensors of the names of GPT-2, as h.0.ln_1.weight", path);
	/* an int8 matrix lies by output */
	if (size_of(o, "h.0.mlp.c_fc.weight", &n_row, &n_col) < 0)
		return -1;
	s->n_inner = n_row == s->dim ? n_col : n_row;
	if (find(o, "wse.weight") && size_of(o, "wse.weight", &s->n_source, &n_col) < 0)
		return -1;
	s->shift = find(o, "shift.weight");
	s->copy = find(o, "copy.gate");
	if (number_of_meta(o, "n_prefix", &s->n_prefix) < 0 || number_of_meta(o, "n_given", &s->n_given) < 0 ||
	    number_of_meta(o, "n_prefix_inner", &s->n_prefix_inner) < 0 || number_of_meta(o, "two_way", &two_way) < 0)
		return -1;
	s->two_way = two_way != 0;
	if (tensor_meta(o->t, "n_head")) {
		if (number_of_meta(o, "n_head", &s->n_head) < 0)
			return -1;
	} else {
		s->n_head = s->dim / HEAD_DIM;
		if (heads_of_config(o, path) < 0)
			return -1;
	}
	if (s->dim == 0 || s->n_vocab == 0 || s->n_place == 0 || s->n_head == 0 || s->dim % s->n_head != 0)
		return fault(o->f, EX_DATAERR, "%s: %zu tokens, %zu places, vectors of %zu numbers for %zu heads: expected a multiple", path,
		    s->n_vocab, s->n_place, s->dim, s->n_head);
	if (s->n_prefix > s->n_place)
		return fault(o->f, EX_DATAERR, "%s: a prefix of %zu rows, but %zu places", path, s->n_prefix, s->n_place);
	return 0;
}

static int
numbers(struct opening *o)
{
	struct lm *m = o->m;
	const struct lm_shape *s = &m->shape;
	const size_t wpe[] = { s->n_place, s->dim }, wse[] = { s->n_source, s->dim };

	if (matrix(o, "wte.weight", s->dim, s->n_vocab, 1, &m->wte) < 0 || !(m->wpe = floats(o, "wpe.weight", 2, wpe)) ||
	    !(m->lnf_g = vector(o, "ln_f.weight", s->dim)) || !(m->lnf_b = vector(o, "ln_f.bias", s->dim)))
		return -1;
	m->block = xcalloc(s->n_layer, sizeof *m->block);
	for (size_t i = 0; i < s->n_layer; i++)
		if (block(o, i) < 0)
			return -1;
	if ((s->n_source > 0 && !(m->wse = floats(o, "wse.weight", 2, wse))) ||
	    (s->shift && !(m->shift = vector(o, "shift.weight", s->dim))))
		return -1;
	if (s->n_prefix > 0 && (affine(o, "prefix.1", s->n_given, s->n_prefix_inner, &m->prefix1) < 0 ||
	    affine(o, "prefix.2", s->n_prefix_inner, s->n_prefix * s->dim, &m->prefix2) < 0))
		return -1;
	if (s->copy && (matrix(o, "copy.q.weight", s->dim, s->dim, 0, &m->copy_q.w) < 0 ||
	    matrix(o, "copy.k.weight", s->dim, s->dim, 0, &m->copy_k.w) < 0 ||
	    !(m->copy_gate = vector(o, "copy.gate", 2 * s->dim + 1)) || !(m->copy_scalar = vector(o, "copy.scalar", 3))))
		return -1;
	return 0;
}

static int
vocabulary(struct opening *o, const char *path)
{
	struct lm *m = o->m;

	if (tensor_has(o->t, "bpe.bytes")) {
		if (!(m->bpe = bpe_load(o->t, o->f)))
			return -1;
	} else {
		char *vocab = beside(path, "vocab.json"), *merges = beside(path, "merges.txt");
		int wanted = vocab && merges;
		if (wanted)
			m->bpe = bpe_open(vocab, merges, o->f);
		free(vocab);
		free(merges);
		if (wanted && !m->bpe)
			return -1;
	}
	if (m->bpe && bpe_n(m->bpe) > m->shape.n_vocab)
		return fault(o->f, EX_DATAERR, "%s: its vocabulary has %zu tokens, wte.weight has %zu rows", path, bpe_n(m->bpe),
		    m->shape.n_vocab);
	return 0;
}

struct lm *
lm_open(const char *path, struct fault *f)
{
	struct opening o = { .f = f };

	if (!(o.t = tensor_open(path, NULL, f)))
		return NULL;
	const char *kind = tensor_meta(o.t, "hare");
	o.m = xcalloc(1, sizeof *o.m);
	o.m->file = o.t;
	if (kind && strcmp(kind, "decoder") != 0) {
		fault(f, EX_DATAERR, "%s: expected a decoder, is a %s", path, kind);
		lm_free(o.m);
		return NULL;
	}
	if (tensor_verify_all(o.t, f) < 0 || shape(&o, path) < 0 || numbers(&o) < 0 || vocabulary(&o, path) < 0) {
		lm_free(o.m);
		return NULL;
	}
	return o.m;
}

void
lm_free(struct lm *m)
{
	if (!m)
		return;
	if (m->file) {
		bpe_free(m->bpe);
		tensor_close(m->file);
	}
	while (m->owned) {
		void **block_at = m->owned;
		m->owned = block_at[0];
		free(block_at);
	}
	free(m->block);
	free(m);
}

const char *
lm_meta(const struct lm *m, const char *key)
{
	return m->file ? tensor_meta(m->file, key) : NULL;
}
