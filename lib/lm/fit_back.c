/* From the loss back to the numbers. */
#include "lm/fit_inside.h"

#include <math.h>
#include <string.h>

#include "mat/mat.h"

/* dx = dy W' */
static void
product_back(const float *dy, size_t n, const struct lm_affine *a, float beta, float *dx)
{
	mat_mul(1, mat_of(dy, n, a->w.n_out), 0, mat_of(a->w.at, a->w.n_in, a->w.n_out), 1, beta, mat_of(dx, n, a->w.n_in));
}

static void
copy_back(struct lm_fit *t, const struct fit_example *e, float *part)
{
	size_t dim = t->m->shape.dim, n = e->n_prompt;
	struct mat alpha = mat_of(t->alpha + e->alpha, e->n_target, n), d = mat_of(t->d_alpha + e->alpha, e->n_target, n);
	struct mat dc = mat_of(t->c + e->target * dim, e->n_target, dim), h = mat_of(t->h_prompt + e->prompt * dim, n, dim);
	struct mat dh = mat_of(t->dh_prompt + e->prompt * dim, n, dim), dk = mat_of(t->dk + e->prompt * dim, n, dim);

	if (!n)
		return;
	if (!e->n_target) {
		memset(dh.at, 0, n * dim * sizeof *dh.at);
		memset(dk.at, 0, n * dim * sizeof *dk.at);
		return;
	}
	mat_mul(1, dc, 0, h, 1, 1, d);
	mat_mul(1, alpha, 1, dc, 0, 0, dh);
	const struct lm_row *prompt = t->row + e->row + e->n_seen - n;
	for (size_t i = 0; i < e->n_target; i++) {
		const struct lm_row *row = &t->row[t->target_row[e->target + i]];
		float *de = d.at + i * n;
		fit_softmax_back(alpha.at + i * n, de, n, 1);
		for (size_t j = 0; j < n; j++) {
			int on = fit_goes_on(&prompt[j], row);
			part[0] += de[j] * prompt[j].log_weight;
			part[1] += on > 0 ? de[j] : 0;
			part[2] += on > 1 ? de[j] : 0;
		}
	}
	float scale = 1 / sqrtf((float)dim);
	mat_mul(scale, d, 0, mat_of(t->k + e->prompt * dim, n, dim), 0, 0, mat_of(t->dq + e->target * dim, e->n_target, dim));
	mat_mul(scale, d, 1, mat_of(t->q + e->target * dim, e->n_target, dim), 0, 0, dk);
}

void
fit_head_back(struct lm_fit *t, size_t strip)
{
	const struct lm *m = t->m;
	struct fit_strip *s = &t->strip[strip];
	const struct fit_example *first = &t->example[s->example], *last = first + s->n_example - 1;
	size_t dim = m->shape.dim, from = first->row, to = last->row + last->n_row;
	size_t target = first->target, n_target = last->target + last->n_target - target;
	size_t prompt = first->prompt, n_prompt = last->prompt + last->n_prompt - prompt;
	float *dh = t->dh, *tmp = t->d_part;

	memset(dh + from * dim, 0, (to - from) * dim * sizeof *dh);
	if (n_target > 0) {
		/* d_part has room: no more targets than rows before target_row */
		float *d = tmp + from * dim;
		mat_mul(1, mat_of(t->logits + target * m->shape.n_vocab, n_target, m->shape.n_vocab), 0,
		    mat_of(m->wte.at, m->shape.n_vocab, dim), 0, 0, mat_of(d, n_target, dim));
		for (size_t i = 0; i < n_target; i++) {
			size_t r = t->target_row[target + i];
			fit_drop(&t->drop, 1 + 2 * m->shape.n_layer, t->first_row + r, NULL, d + i * dim, NULL, dim, dh + r * dim);
		}
	}
	if (m->shape.copy) {
		float *part = t->copy_part + strip * (2 * dim + 4) + 2 * dim + 1;
		for (size_t e = s->example; e < s->example + s->n_example; e++) {
			const struct fit_example *x = &t->example[e];
			copy_back(t, x, part);
			if (!x->n_prompt) {     /* no weights: neither gate nor queries matter */
				memset(t->dq + x->target * dim, 0, x->n_target * dim * sizeof *t->dq);
				memset(t->dh_target + x->target * dim, 0, x->n_target * dim * sizeof *t->dq);
			}
		}
		if (n_target > 0)
			product_back(t->dq + target * dim, n_target, &m->copy_q, 1, t->dh_target + target * dim);
		if (n_prompt > 0)
			product_back(t->dk + prompt * dim, n_prompt, &m->copy_k, 1, t->dh_prompt + prompt * dim);
		for (size_t i = target; i < target + n_target; i++)
			fit_add(dh + t->target_row[i] * dim, t->dh_target + i * dim, dim);
		for (size_t e = s->example; e < s->example + s->n_example; e++) {
			const struct fit_example *x = &t->example[e];
			fit_add(dh + (x->row + m->shape.n_prefix) * dim, t->dh_prompt + x->prompt * dim, x->n_prompt * dim);
		}
	}
	float *part = t->norm_part + (2 * m->shape.n_layer * t->n_strip + strip) * 2 * dim;
	memset(part, 0, 2 * dim * sizeof *part);
	memset(t->dx + from * dim, 0, (to - from) * dim * sizeof *t->dx);
	for (size_t r = from; r < to; r++)
		fit_norm_back(t->x + r * dim, t->mean[r], t->scale[r], m->lnf_g, dh + r * dim, dim, t->dx + r * dim, part, part + dim);
}

static void
attend_back(struct lm_fit *t, const struct fit_kept *k, const struct fit_example *e, const float *dy, float *d_qkv,
    float *scratch)
{
	size_t dim = t->m->shape.dim, n_head = t->m->shape.n_head, size = dim / n_head, n = e->n_row;
	const float *qkv = k->qkv + e->row * 3 * dim;
	float *d = d_qkv + e->row * 3 * dim, scale = 1 / sqrtf((float)size);

	for (size_t h = 0; h < n_head; h++) {
		const float *p = k->p + e->p + h * n * n;
		/* the last tile sees every row, so it begins the sums */
		for (size_t i = (n + FIT_ROWS - 1) / FIT_ROWS, first = i; i-- > 0; ) {
			float beta = i + 1 < first ? 1 : 0;
			size_t from = i * FIT_ROWS, to = from + FIT_ROWS < n ? from + FIT_ROWS : n;
			size_t n_seen = fit_seen(t, e, from, to), n_row = to - from;
			struct mat w = part_of(p + from * n, n_row, n_seen, n), dw = mat_of(scratch, n_row, n_seen);
			struct mat out = part_of(dy + (e->row + from) * dim + h * size, n_row, size, dim);
			mat_mul(1, w, 1, out, 0, beta, part_of(d + 2 * dim + h * size, n_seen, size, 3 * dim));
			mat_mul(1, out, 0, part_of(qkv + 2 * dim + h * size, n_seen, size, 3 * dim), 1, 0, dw);
			for (size_t r = 0; r < n_row; r++)
				fit_softmax_back(p + (from + r) * n, dw.at + r * n_seen, n_seen, scale);
			mat_mul(1, dw, 0, part_of(qkv + dim + h * size, n_seen, size, 3 * dim), 0, 0,
			    part_of(d + from * 3 * dim + h * size, n_row, size, 3 * dim));
			mat_mul(1, dw, 1, part_of(qkv + from * 3 * dim + h * size, n_row, size, 3 * dim), 0, beta,
			    part_of(d + dim + h * size, n_seen, size, 3 * dim));
		}
	}
}

void
fit_layer_back(struct lm_fit *t, size_t l, size_t strip, size_t worker)
{
	const struct lm_block *b = &t->m->block[l];
	const struct fit_kept *k = &t->kept[l];
	const struct fit_grown *g = &t->grown[l % 2];
	const struct fit_strip *s = &t->strip[strip];
	size_t dim = t->m->shape.dim, n_inner = t->m->shape.n_inner;
	const struct fit_example *last = &t->example[s->example + s->n_example - 1];
	size_t from = t->example[s->example].row, to = last->row + last->n_row, n = to - from;
	float *part = t->norm_part + (2 * l * t->n_strip + strip) * 2 * dim, *part2 = part + t->n_strip * 2 * dim;

	memset(part, 0, 2 * dim * sizeof *part);
	memset(part2, 0, 2 * dim * sizeof *part2);
	for (size_t r = from; r < to; r++)
		fit_drop(&t->drop, 2 + 2 * l, t->first_row + r, NULL, t->dx + r * dim, NULL, dim, g->out + r * dim);
	product_back(g->out + from * dim, n, &b->out, 0, g->fc + from * n_inner);
	fit_scale(g->fc + from * n_inner, k->slope + from * n_inner, n * n_inner);
	product_back(g->fc + from * n_inner, n, &b->fc, 0, t->d_part + from * dim);
	for (size_t r = from; r < to; r++) {
		fit_norm_back(k->x2 + r * dim, k->mean2[r], k->scale2[r], b->ln2_g, t->d_part + r * dim, dim, t->dx + r * dim, part2,
		    part2 + dim);
		fit_drop(&t->drop, 1 + 2 * l, t->first_row + r, NULL, t->dx + r * dim, NULL, dim, g->proj + r * dim);
	}
	product_back(g->proj + from * dim, n, &b->proj, 0, t->d_part + from * dim);
	for (size_t e = s->example; e < s->example + s->n_example; e++)
		attend_back(t, k, &t->example[e], t->d_part, g->qkv, t->scratch + worker * t->n_scratch);
	product_back(g->qkv + from * 3 * dim, n, &b->qkv, 0, t->d_part + from * dim);
	for (size_t r = from; r < to; r++)
		fit_norm_back(k->x + r * dim, k->mean1[r], k->scale1[r], b->ln1_g, t->d_part + r * dim, dim, t->dx + r * dim, part,
		    part + dim);
	if (l == 0 && t->drop.below)
		for (size_t r = from; r < to; r++)
			fit_drop(&t->drop, 0, t->first_row + r, NULL, t->dx + r * dim, NULL, dim, t->dx + r * dim);
}

void
fit_prefix_back(struct lm_fit *t, size_t strip)
{
	const struct lm_shape *shape = &t->m->shape;
	const struct fit_strip *s = &t->strip[strip];
	size_t n_out = shape->n_prefix * shape->dim, n_inner = shape->n_prefix_inner;

	if (!n_out)
		return;
	for (size_t e = s->example; e < s->example + s->n_example; e++)
		memcpy(t->d_p2 + e * n_out, t->dx + t->example[e].row * shape->dim, n_out * sizeof *t->dx);
	float *d = t->d_g1 + s->example * n_inner;
	product_back(t->d_p2 + s->example * n_out, s->n_example, &t->m->prefix2, 0, d);
	fit_scale(t->slope1 + s->example * n_inner, d, s->n_example * n_inner);
}

/* -- products over all rows, in tiles of columns -- */

struct weight {                         /* dW = X' dY; db = the sum of dY's rows */
	const float *x, *dy;
	size_t n, n_in, n_out;
	const float *w, *b;
};

static size_t
weights(const struct lm_fit *t, size_t l, struct weight *w)
{
	const struct lm_shape *s = &t->m->shape;
	size_t n = 0;

	if (l < s->n_layer) {
		const struct fit_kept *k = &t->kept[l];
		const struct fit_grown *d = &t->grown[l % 2];
		const struct lm_block *g = &t->g->block[l];
		w[n++] = (struct weight){ k->n1, d->qkv, t->n_row, s->dim, 3 * s->dim, g->qkv.w.at, g->qkv.b };
		w[n++] = (struct weight){ k->y, d->proj, t->n_row, s->dim, s->dim, g->proj.w.at, g->proj.b };
		w[n++] = (struct weight){ k->n2, d->fc, t->n_row, s->dim, s->n_inner, g->fc.w.at, g->fc.b };
		w[n++] = (struct weight){ k->gelu, d->out, t->n_row, s->n_inner, s->dim, g->out.w.at, g->out.b };
	} else if (l == s->n_layer && s->copy) {
		w[n++] = (struct weight){ t->h_target, t->dq, t->n_target, s->dim, s->dim, t->g->copy_q.w.at, NULL };
		w[n++] = (struct weight){ t->h_prompt, t->dk, t->n_prompt, s->dim, s->dim, t->g->copy_k.w.at, NULL };
	} else if (l == s->n_layer + 1 && s->n_prefix > 0) {
		size_t n_out = s->n_prefix * s->dim;
		w[n++] = (struct weight){ t->given, t->slope1, t->n_example, s->n_given, s->n_prefix_inner, t->g->prefix1.w.at,
			t->g->prefix1.b };
		w[n++] = (struct weight){ t->z1, t->d_p2, t->n_example, s->n_prefix_inner, n_out, t->g->prefix2.w.at, t->g->prefix2.b };
	}
	return n;
}

static size_t
tiles(size_t n_col)
{
	return (n_col + FIT_COLS - 1) / FIT_COLS;
}

size_t
fit_n_tile(const struct lm_fit *t, size_t l)
{
	struct weight w[4];
	size_t n = weights(t, l, w), n_tile = l == t->m->shape.n_layer ? tiles(t->m->shape.n_vocab) : 0;

	for (size_t i = 0; i < n; i++)
		n_tile += tiles(w[i].n_out);
	return n_tile;
}

void
fit_tile(struct lm_fit *t, size_t l, size_t tile)
{
	struct weight w[4];
	size_t n = weights(t, l, w), dim = t->m->shape.dim, n_vocab = t->m->shape.n_vocab, i = 0;
	float more = t->more ? 1 : 0;

	while (i < n && tile >= tiles(w[i].n_out))
		tile -= tiles(w[i++].n_out);
	size_t from = tile * FIT_COLS;
	if (i == n) {   /* rows of wte */
		size_t n_row = n_vocab - from < FIT_COLS ? n_vocab - from : FIT_COLS;
		struct mat d = mat_of(of(t->g->wte.at) + from * dim, n_row, dim);
		if (t->n_target > 0)
			mat_mul(1, part_of(t->logits + from, t->n_target, n_row, n_vocab), 1, mat_of(t->h_dropped, t->n_target, dim), 0, more, d);
		else if (!t->more)
			memset(d.at, 0, n_row * dim * sizeof *d.at);
		return;
	}
	size_t n_col = w[i].n_out - from < FIT_COLS ? w[i].n_out - from : FIT_COLS;
	struct mat d = part_of(w[i].w + from, w[i].n_in, n_col, w[i].n_out);
	if (w[i].n > 0)
		mat_mul(1, mat_of(w[i].x, w[i].n, w[i].n_in), 1, part_of(w[i].dy + from, w[i].n, n_col, w[i].n_out), 0, more, d);
	else if (!t->more)
		for (size_t r = 0; r < d.n_row; r++)
			memset(d.at + r * d.stride, 0, n_col * sizeof *d.at);
	if (!w[i].b)
		return;
	float *b = of(w[i].b) + from;
	if (!t->more)
		memset(b, 0, n_col * sizeof *b);
	for (size_t r = 0; r < w[i].n; r++)
		fit_add(b, w[i].dy + r * w[i].n_out + from, n_col);
}

void
fit_rest(struct lm_fit *t, size_t column, size_t n)
{
	const struct lm_shape *s = &t->m->shape;
	size_t dim = s->dim;
	const struct lm *g = t->g;
	const float *wte = (const float *)t->m->wte.at + column;

	if (!t->more) {
		for (size_t i = 0; i < s->n_place; i++)
			memset(of(g->wpe) + i * dim + column, 0, n * sizeof(float));
		for (size_t i = 0; i < s->n_source; i++)
			memset(of(g->wse) + i * dim + column, 0, n * sizeof(float));
		if (g->shift)
			memset(of(g->shift) + column, 0, n * sizeof(float));
	}
	for (size_t r = 0; r < t->n_row; r++) {
		const struct lm_row *row = &t->row[r];
		const float *dx = t->dx + r * dim + column;
		fit_add(of(g->wpe) + row->place * dim + column, dx, n);
		if (g->wse)
			fit_add(of(g->wse) + row->source * dim + column, dx, n);
		if (row->token == LM_NONE)
			continue;
		fit_add(of(g->wte.at) + row->token * dim + column, dx, n);
		if (g->shift && row->before != LM_NONE) {
			fit_add_product(of(g->wte.at) + row->before * dim + column, t->m->shift + column, dx, n);
			fit_add_product(of(g->shift) + column, wte + row->before * dim, dx, n);
		}
	}
}

void
fit_norms(struct lm_fit *t)
{
	size_t dim = t->m->shape.dim, n_layer = t->m->shape.n_layer, n_copy = 2 * dim + 1;

	for (size_t l = 0; l < 2 * n_layer + 1; l++) {
		const struct lm_block *b = l < 2 * n_layer ? &t->g->block[l / 2] : NULL;
		float *dg = of(!b ? t->g->lnf_g : l % 2 ? b->ln2_g : b->ln1_g), *db = of(!b ? t->g->lnf_b : l % 2 ? b->ln2_b : b->ln1_b);
		if (!t->more) {
			memset(dg, 0, dim * sizeof *dg);
			memset(db, 0, dim * sizeof *db);
		}
		for (size_t i = 0; i < t->n_strip; i++) {
			const float *part = t->norm_part + (l * t->n_strip + i) * 2 * dim;
			fit_add(dg, part, dim);
			fit_add(db, part + dim, dim);
		}
	}
	if (!t->m->shape.copy)
		return;
	if (!t->more) {
		memset(of(t->g->copy_gate), 0, n_copy * sizeof(float));
		memset(of(t->g->copy_scalar), 0, 3 * sizeof(float));
	}
	for (size_t i = 0; i < t->n_strip; i++) {
		fit_add(of(t->g->copy_gate), t->copy_part + i * (n_copy + 3), n_copy);
		fit_add(of(t->g->copy_scalar), t->copy_part + i * (n_copy + 3) + n_copy, 3);
	}
}
