/* The numbers of a float32 model in one flat array: which, where, and what they are before anything is learnt. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "lm/compose.h"
#include "lm/lm.h"

struct list {
	struct lm_part *at;             /* NULL: only counted */
	size_t n, n_number;
};

static void
add(struct list *l, const char *name, size_t n_row, size_t n_col)
{
	size_t n = n_row * (n_col ? n_col : 1);

	if (l->at) {
		struct lm_part *p = &l->at[l->n];
		*p = (struct lm_part){ .n_dim = n_col ? 2 : 1, .shape = { n_row, n_col }, .from = l->n_number, .n = n,
			.decays = n_col > 0 };
		snprintf(p->name, sizeof p->name, "%s", name);
	}
	l->n++;
	l->n_number += n;
}

static void
add_block(struct list *l, const struct lm_shape *s, size_t i)
{
	const struct {
		const char *name;
		size_t n_row, n_col;
	} part[] = {
		{ "ln_1.weight", s->dim, 0 }, { "ln_1.bias", s->dim, 0 },
		{ "attn.c_attn.weight", s->dim, 3 * s->dim }, { "attn.c_attn.bias", 3 * s->dim, 0 },
		{ "attn.c_proj.weight", s->dim, s->dim }, { "attn.c_proj.bias", s->dim, 0 },
		{ "ln_2.weight", s->dim, 0 }, { "ln_2.bias", s->dim, 0 },
		{ "mlp.c_fc.weight", s->dim, s->n_inner }, { "mlp.c_fc.bias", s->n_inner, 0 },
		{ "mlp.c_proj.weight", s->n_inner, s->dim }, { "mlp.c_proj.bias", s->dim, 0 },
	};

	for (size_t k = 0; k < sizeof part / sizeof *part; k++) {
		char name[sizeof l->at->name];
		snprintf(name, sizeof name, "h.%zu.%s", i, part[k].name);
		add(l, name, part[k].n_row, part[k].n_col);
	}
}

static void
add_all(struct list *l, const struct lm_shape *s)
{
	add(l, "wte.weight", s->n_vocab, s->dim);
	add(l, "wpe.weight", s->n_place, s->dim);
	for (size_t i = 0; i < s->n_layer; i++)
		add_block(l, s, i);
	add(l, "ln_f.weight", s->dim, 0);
	add(l, "ln_f.bias", s->dim, 0);
	if (s->n_source > 0)
		add(l, "wse.weight", s->n_source, s->dim);
	if (s->shift)
		add(l, "shift.weight", s->dim, 0);
	if (s->n_prefix > 0) {
		add(l, "prefix.1.weight", s->n_given, s->n_prefix_inner);
		add(l, "prefix.1.bias", s->n_prefix_inner, 0);
		add(l, "prefix.2.weight", s->n_prefix_inner, s->n_prefix * s->dim);
		add(l, "prefix.2.bias", s->n_prefix * s->dim, 0);
	}
	if (s->copy) {
		add(l, "copy.q.weight", s->dim, s->dim);
		add(l, "copy.k.weight", s->dim, s->dim);
		add(l, "copy.gate", 2 * s->dim + 1, 0);
		add(l, "copy.scalar", 3, 0);
	}
}

size_t
lm_count(const struct lm_shape *s)
{
	struct list l = { 0 };

	add_all(&l, s);
	return l.n_number;
}

struct lm_part *
lm_parts(const struct lm_shape *s, size_t *n)
{
	struct list l = { 0 };

	add_all(&l, s);
	l = (struct list){ .at = xmalloc(l.n, sizeof *l.at) };
	add_all(&l, s);
	*n = l.n;
	return l.at;
}

/* The next part, in the order of add_all(). */
static const float *
take(const float **at, size_t n)
{
	const float *here = *at;

	*at += n;
	return here;
}

static struct lm_affine
take_affine(const float **at, size_t n_in, size_t n_out, int has_bias)
{
	struct lm_affine a = { .w = { .type = LM_F32, .n_in = n_in, .n_out = n_out } };

	a.w.at = take(at, n_in * n_out);
	a.b = has_bias ? take(at, n_out) : NULL;
	return a;
}

struct lm *
lm_new(const struct lm_shape *s, float *numbers, struct bpe *bpe)
{
	struct lm *m = xcalloc(1, sizeof *m);
	const float *at = numbers;
	size_t dim = s->dim;

	m->shape = *s;
	m->bpe = bpe;
	m->wte = (struct lm_matrix){ .type = LM_F32, .n_in = dim, .n_out = s->n_vocab, .at = take(&at, s->n_vocab * dim) };
	m->wpe = take(&at, s->n_place * dim);
	m->block = xcalloc(s->n_layer, sizeof *m->block);
	for (size_t i = 0; i < s->n_layer; i++) {
		struct lm_block *b = &m->block[i];
		b->ln1_g = take(&at, dim);
		b->ln1_b = take(&at, dim);
		b->qkv = take_affine(&at, dim, 3 * dim, 1);
		b->proj = take_affine(&at, dim, dim, 1);
		b->ln2_g = take(&at, dim);
		b->ln2_b = take(&at, dim);
		b->fc = take_affine(&at, dim, s->n_inner, 1);
		b->out = take_affine(&at, s->n_inner, dim, 1);
	}
	m->lnf_g = take(&at, dim);
	m->lnf_b = take(&at, dim);
	if (s->n_source > 0)
		m->wse = take(&at, s->n_source * dim);
	if (s->shift)
		m->shift = take(&at, dim);
	if (s->n_prefix > 0) {
		m->prefix1 = take_affine(&at, s->n_given, s->n_prefix_inner, 1);
		m->prefix2 = take_affine(&at, s->n_prefix_inner, s->n_prefix * dim, 1);
	}
	if (s->copy) {
		m->copy_q = take_affine(&at, dim, dim, 0);
		m->copy_k = take_affine(&at, dim, dim, 0);
		m->copy_gate = take(&at, 2 * dim + 1);
		m->copy_scalar = take(&at, 3);
	}
	return m;
}

/* Places of the text begin where those of the prompt do, in models that tell them apart by source. */
static void
draw_places(const struct lm_shape *s, float *at)
{
	size_t half = s->dim / 2;

	for (size_t i = 0; i < s->n_place; i++)
		for (size_t d = 0; d < s->dim; d++) {
			size_t k = d < half ? d : d - half, place = s->n_source > 0 ? i % COMPOSE_TEXT_PLACE : i;
			double angle = (double)place * pow(1000, -(double)k / (double)(half ? half : 1));
			at[i * s->dim + d] = k >= half ? 0 : (float)(.04 * (d < half ? sin(angle) : cos(angle)));
		}
}

static int
ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), n_end = strlen(end);

	return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

void
lm_draw(const struct lm_shape *s, float *numbers, uint64_t seed)
{
	size_t n_part;
	struct lm_part *part = lm_parts(s, &n_part);

	for (size_t i = 0; i < n_part; i++) {
		const struct lm_part *p = &part[i];
		float *at = numbers + p->from;
		double sd = 0, all = 0;         /* N(0, sd), or all the same */
		if (strcmp(p->name, "wte.weight") == 0)
			sd = .05;
		else if (strcmp(p->name, "wpe.weight") == 0) {
			draw_places(s, at);
			continue;
		} else if (strcmp(p->name, "wse.weight") == 0 || strcmp(p->name, "copy.gate") == 0 ||
		    strcmp(p->name, "prefix.1.weight") == 0 || strcmp(p->name, "prefix.2.weight") == 0)
			sd = .02;
		else if (strcmp(p->name, "copy.scalar") == 0) {
			memcpy(at, (float[]){ 1, 2, 1 }, 3 * sizeof *at);
			continue;
		} else if (p->n_dim == 2)
			sd = (ends_with(p->name, "c_proj.weight") ? sqrt(.5 / (double)s->n_layer) : 1) / sqrt((double)p->shape[0]);
		else if (strcmp(p->name, "shift.weight") == 0)
			all = .5;
		else if (ends_with(p->name, ".weight"))
			all = 1;
		struct rng r = rng_at(seed, i);
		for (size_t k = 0; k < p->n; k++)
			at[k] = sd > 0 ? (float)(sd * rng_normal(&r)) : (float)all;
		if (strcmp(p->name, "copy.gate") == 0)
			at[p->n - 1] = 0;
	}
	free(part);
}
