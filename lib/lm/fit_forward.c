/* From rows to the loss, strip by strip, and what the way back needs is kept. */
#include "lm/fit_inside.h"

#include <math.h>
#include <string.h>

#include "mat/mat.h"

/* y = x W, rows [n] of both. */
static void
product(const float *x, size_t n, const struct lm_affine *a, float *y)
{
	mat_mul(1, mat_of(x, n, a->w.n_in), 0, mat_of(a->w.at, a->w.n_in, a->w.n_out), 0, 0, mat_of(y, n, a->w.n_out));
}

/* P of the strip's examples: z1 becomes gelu, slope1 its derivative. */
static void
prefix(struct lm_fit *t, const struct fit_strip *s)
{
	const struct lm_shape *shape = &t->m->shape;
	size_t from = s->example, n = s->n_example, n_inner = shape->n_prefix_inner, n_out = shape->n_prefix * shape->dim;
	float *given = t->given + from * shape->n_given, *z1 = t->z1 + from * n_inner, *slope = t->slope1 + from * n_inner;

	for (size_t i = 0; i < n; i++)
		if (t->batch[from + i].prompt.given)
			memcpy(given + i * shape->n_given, t->batch[from + i].prompt.given, shape->n_given * sizeof *given);
		else
			memset(given + i * shape->n_given, 0, shape->n_given * sizeof *given);
	product(given, n, &t->m->prefix1, slope);
	for (size_t i = 0; i < n; i++)
		fit_gelu(slope + i * n_inner, t->m->prefix1.b, n_inner, z1 + i * n_inner);
	product(z1, n, &t->m->prefix2, t->p2 + from * n_out);
	for (size_t i = 0; i < n; i++)
		fit_add(t->p2 + (from + i) * n_out, t->m->prefix2.b, n_out);
}

static void
embed(struct lm_fit *t, const struct fit_strip *s)
{
	const struct lm *m = t->m;
	size_t dim = m->shape.dim;
	const float *wte = m->wte.at;
	float *x0 = t->kept[0].x;

	if (m->shape.n_prefix > 0)
		prefix(t, s);
	for (size_t e = s->example; e < s->example + s->n_example; e++)
		for (size_t i = 0; i < t->example[e].n_row; i++) {
			size_t r = t->example[e].row + i;
			const struct lm_row *row = &t->row[r];
			float *x = x0 + r * dim;
			memcpy(x, row->token == LM_NONE ? t->p2 + (e * m->shape.n_prefix + i) * dim : wte + row->token * dim,
			    dim * sizeof *x);
			if (m->shift && row->before != LM_NONE)
				fit_add_product(x, m->shift, wte + row->before * dim, dim);
			fit_add(x, m->wpe + row->place * dim, dim);
			if (m->wse)
				fit_add(x, m->wse + row->source * dim, dim);
			if (t->drop.below)
				fit_drop(&t->drop, 0, t->first_row + r, NULL, x, NULL, dim, x);
		}
}

size_t
fit_seen(const struct lm_fit *t, const struct fit_example *e, size_t from, size_t to)
{
	return t->m->shape.two_way && from < e->n_seen && to < e->n_seen ? e->n_seen : to;
}

static void
attend(struct lm_fit *t, const struct fit_kept *k, const struct fit_example *e)
{
	size_t dim = t->m->shape.dim, n_head = t->m->shape.n_head, size = dim / n_head, n = e->n_row;
	const float *qkv = k->qkv + e->row * 3 * dim;
	float scale = 1 / sqrtf((float)size);

	for (size_t h = 0; h < n_head; h++) {
		float *p = k->p + e->p + h * n * n;
		for (size_t from = 0; from < n; from += FIT_ROWS) {
			size_t to = from + FIT_ROWS < n ? from + FIT_ROWS : n, n_seen = fit_seen(t, e, from, to);
			struct mat w = part_of(p + from * n, to - from, n_seen, n);
			mat_mul(1, part_of(qkv + from * 3 * dim + h * size, to - from, size, 3 * dim), 0,
			    part_of(qkv + dim + h * size, n_seen, size, 3 * dim), 1, 0, w);
			for (size_t i = from; i < to; i++)
				fit_softmax(p + i * n, fit_seen(t, e, i, i + 1), n_seen, scale);
			mat_mul(1, w, 0, part_of(qkv + 2 * dim + h * size, n_seen, size, 3 * dim), 0, 0,
			    part_of(k->y + (e->row + from) * dim + h * size, to - from, size, dim));
		}
	}
}

static void
layer(struct lm_fit *t, size_t l, const struct fit_strip *s)
{
	const struct lm_block *b = &t->m->block[l];
	const struct fit_kept *k = &t->kept[l];
	size_t dim = t->m->shape.dim, n_inner = t->m->shape.n_inner;
	const struct fit_example *last = &t->example[s->example + s->n_example - 1];
	size_t from = t->example[s->example].row, to = last->row + last->n_row, n = to - from;
	float *next = l + 1 < t->m->shape.n_layer ? t->kept[l + 1].x : t->x;

	for (size_t r = from; r < to; r++)
		k->scale1[r] = fit_norm(k->x + r * dim, b->ln1_g, b->ln1_b, dim, k->n1 + r * dim, &k->mean1[r]);
	product(k->n1 + from * dim, n, &b->qkv, k->qkv + from * 3 * dim);
	for (size_t r = from; r < to; r++)
		fit_add(k->qkv + r * 3 * dim, b->qkv.b, 3 * dim);
	for (size_t e = s->example; e < s->example + s->n_example; e++)
		attend(t, k, &t->example[e]);
	product(k->y + from * dim, n, &b->proj, k->x2 + from * dim);
	for (size_t r = from; r < to; r++) {
		float *x2 = k->x2 + r * dim;
		fit_drop(&t->drop, 1 + 2 * l, t->first_row + r, k->x + r * dim, x2, b->proj.b, dim, x2);
		k->scale2[r] = fit_norm(x2, b->ln2_g, b->ln2_b, dim, k->n2 + r * dim, &k->mean2[r]);
	}
	product(k->n2 + from * dim, n, &b->fc, k->slope + from * n_inner);
	for (size_t r = from; r < to; r++)
		fit_gelu(k->slope + r * n_inner, b->fc.b, n_inner, k->gelu + r * n_inner);
	product(k->gelu + from * n_inner, n, &b->out, next + from * dim);
	for (size_t r = from; r < to; r++)
		fit_drop(&t->drop, 2 + 2 * l, t->first_row + r, k->x2 + r * dim, next + r * dim, b->out.b, dim, next + r * dim);
}

int
fit_goes_on(const struct lm_row *j, const struct lm_row *r)
{
	uint32_t before = j->before == LM_NONE ? BPE_BEGIN : j->before;
	uint32_t before2 = j->before2 == LM_NONE && j->before != LM_NONE ? BPE_BEGIN : j->before2;

	return before != r->token ? 0 : before2 != r->before ? 1 : 2;
}

/* Weights and contexts of the copy head for one example. */
static void
copy(struct lm_fit *t, const struct fit_example *e)
{
	const float *scalar = t->m->copy_scalar;
	size_t dim = t->m->shape.dim, n = e->n_prompt;
	struct mat w = mat_of(t->alpha + e->alpha, e->n_target, n);

	if (!n || !e->n_target)
		return;
	struct mat q = mat_of(t->q + e->target * dim, e->n_target, dim), k = mat_of(t->k + e->prompt * dim, n, dim);
	mat_mul(1 / sqrtf((float)dim), q, 0, k, 1, 0, w);
	const struct lm_row *prompt = t->row + e->row + e->n_seen - n;
	for (size_t i = 0; i < e->n_target; i++) {
		const struct lm_row *row = &t->row[t->target_row[e->target + i]];
		float *a = w.at + i * n;
		for (size_t j = 0; j < n; j++) {
			int on = fit_goes_on(&prompt[j], row);
			a[j] += scalar[0] * prompt[j].log_weight + (on > 0 ? scalar[1] : 0) + (on > 1 ? scalar[2] : 0);
		}
		fit_softmax(a, n, n, 1);
	}
	mat_mul(1, w, 0, mat_of(t->h_prompt + e->prompt * dim, n, dim), 0, 0, mat_of(t->c + e->target * dim, e->n_target, dim));
}

/* Loss of target i, and its gradient: logits become d logits, d_alpha that of the weights. part: of gate and scalars. */
static double
lose(struct lm_fit *t, const struct fit_example *e, size_t i, float *part)
{
	size_t dim = t->m->shape.dim, n_vocab = t->m->shape.n_vocab, y = t->target[i], n = e->n_prompt;
	float *logits = t->logits + i * n_vocab;
	double log_p, p_word = fit_logits(logits, n_vocab, y, &log_p), share = 1, loss = -log_p;

	if (t->m->shape.copy && n > 0) {
		const float *gate = t->m->copy_gate, *h = t->h_target + i * dim, *c = t->c + i * dim;
		const float *alpha = t->alpha + e->alpha + (i - e->target) * n;
		float *d_alpha = t->d_alpha + e->alpha + (i - e->target) * n;
		const struct lm_row *prompt = t->row + e->row + e->n_seen - n;
		double z = gate[2 * dim], p_copy = 0;
		for (size_t d = 0; d < dim; d++)
			z += (double)gate[d] * h[d] + (double)gate[dim + d] * c[d];
		double g = 1 / (1 + exp(-z));
		for (size_t j = 0; j < n; j++)
			p_copy += prompt[j].token == y ? alpha[j] : 0;
		double p = g * p_word + (1 - g) * p_copy;
		loss = -log(p);
		if (!t->learning)
			return loss;
		share = g * p_word / p;
		float dz = (float)(-(p_word - p_copy) / p * g * (1 - g)) * t->per_target, da = (float)(-(1 - g) / p) * t->per_target;
		fit_add_scaled(part, dz, h, dim);
		fit_add_scaled(part + dim, dz, c, dim);
		part[2 * dim] += dz;
		for (size_t j = 0; j < n; j++)
			d_alpha[j] = prompt[j].token == y ? da : 0;
		/* what h and c hear of the gate; the rest of d c follows from alpha */
		for (size_t d = 0; d < dim; d++) {
			t->dh_target[i * dim + d] = dz * gate[d];
			t->c[i * dim + d] = dz * gate[dim + d];
		}
	}
	if (t->learning) {
		logits[y] -= 1;
		float a = (float)share * t->per_target;
		for (size_t v = 0; v < n_vocab; v++)
			logits[v] *= a;
	}
	return loss;
}

void
fit_forward(struct lm_fit *t, size_t strip)
{
	const struct lm *m = t->m;
	struct fit_strip *s = &t->strip[strip];
	size_t dim = m->shape.dim, end = s->example + s->n_example;
	const struct fit_example *first = &t->example[s->example], *last = &t->example[end - 1];
	size_t target = first->target, n_target = last->target + last->n_target - target;
	size_t prompt = first->prompt, n_prompt = last->prompt + last->n_prompt - prompt;

	embed(t, s);
	for (size_t l = 0; l < m->shape.n_layer; l++)
		layer(t, l, s);
	for (size_t r = first->row; r < last->row + last->n_row; r++)
		t->scale[r] = fit_norm(t->x + r * dim, m->lnf_g, m->lnf_b, dim, t->h + r * dim, &t->mean[r]);
	for (size_t i = target; i < target + n_target; i++) {
		const float *h = t->h + t->target_row[i] * dim;
		if (t->h_target != t->h_dropped)
			memcpy(t->h_target + i * dim, h, dim * sizeof *h);
		fit_drop(&t->drop, 1 + 2 * m->shape.n_layer, t->first_row + t->target_row[i], NULL, h, NULL, dim, t->h_dropped + i * dim);
	}
	if (m->shape.copy) {
		for (size_t e = s->example; e < end; e++)
			memcpy(t->h_prompt + t->example[e].prompt * dim, t->h + (t->example[e].row + m->shape.n_prefix) * dim,
			    t->example[e].n_prompt * dim * sizeof *t->h);
		if (n_target > 0)
			product(t->h_target + target * dim, n_target, &m->copy_q, t->q + target * dim);
		if (n_prompt > 0)
			product(t->h_prompt + prompt * dim, n_prompt, &m->copy_k, t->k + prompt * dim);
		for (size_t e = s->example; e < end; e++)
			copy(t, &t->example[e]);
	}
	s->loss = 0;
	float *part = t->copy_part + strip * (2 * dim + 4);
	memset(part, 0, (2 * dim + 4) * sizeof *part);
	if (!n_target)
		return;
	mat_mul(1, mat_of(t->h_dropped + target * dim, n_target, dim), 0, mat_of(m->wte.at, m->shape.n_vocab, dim), 1, 0,
	    mat_of(t->logits + target * m->shape.n_vocab, n_target, m->shape.n_vocab));
	for (size_t e = s->example; e < end; e++)
		for (size_t i = t->example[e].target; i < t->example[e].target + t->example[e].n_target; i++)
			s->loss += lose(t, &t->example[e], i, part);
}
