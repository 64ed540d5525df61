/* A prompt is read at once, then texts go on from it row by row over kept keys and values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "lm/fit_inside.h"
#include "lm/run_inside.h"
#include "lm/run.h"
#include "mat/mat.h"

enum { SMALL = 1 << 16,                 /* numbers to loop over that threads are not worth waking for */
	TEXT_FEW = 16 };                /* rows that a text is given room for at first */

/* What was read of a prompt; shared by the slots that go on from it. */
struct prompt {
	size_t n_user;                  /* slots */
	size_t n_prefix, n;             /* rows before the prompt, and all */
	float *kv;                      /* [n_layer][n][2 dim]: key, value */
	float *h;                       /* [n][dim] after ln_f */
	float *copy_k;                  /* [n][dim], with copy */
	struct lm_row *row;             /* [n - n_prefix] */
};

struct slot {
	struct prompt *prompt;
	float *kv;                      /* [n_layer][n_cap][2 dim] of the text's rows */
	size_t n, n_cap;                /* rows of the text, and room */
};

struct lm_run {
	const struct lm *m;
	size_t n_slot, n_row, n_thread;
	struct lm_work work;
	struct slot *slot;
	/* scratch for n rows at once */
	size_t n_cap;
	float *x, *normed, *qkv, *mixed, *inner;
	float *score;                   /* [n_thread][n_row + 1], of one row */
	float *weight;                  /* [n_weight_cap], of all rows of a prompt, for each thread */
	size_t n_weight_cap;
	uint32_t **text;                /* [n_text] of the last lm_generate() */
	size_t n_text;
	struct lm_run *beside;          /* of the next model that reads the same; NULL: none */
	float *log_p;                   /* [n_log_p] what one of those says */
	size_t n_log_p;
};

struct lm_run *
lm_run_new(const struct lm *m, size_t n_slot, size_t n_row, size_t n_thread)
{
	struct lm_run *r = xcalloc(1, sizeof *r);

	n_thread = n_thread < 1 ? 1 : n_thread > THREAD_MAX ? THREAD_MAX : n_thread;
	*r = (struct lm_run){ .m = m, .n_slot = n_slot, .n_row = n_row, .n_thread = n_thread, .work = { .n_thread = n_thread } };
	r->slot = xcalloc(n_slot, sizeof *r->slot);
	r->score = xmalloc(n_thread * (n_row + 1), sizeof *r->score);
	return r;
}

static void
let_go(struct slot *s)
{
	struct prompt *p = s->prompt;

	if (p && --p->n_user == 0) {
		free(p->kv);
		free(p->h);
		free(p->copy_k);
		free(p->row);
		free(p);
	}
	s->prompt = NULL;
	s->n = 0;
}

void
lm_run_free(struct lm_run *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_slot; i++) {
		let_go(&r->slot[i]);
		free(r->slot[i].kv);
	}
	free(r->slot);
	free(r->x);
	free(r->normed);
	free(r->qkv);
	free(r->mixed);
	free(r->inner);
	free(r->score);
	free(r->weight);
	free(r->log_p);
	lm_run_free(r->beside);
	lm_work_free(&r->work);
	lm_run_texts(r, 0);
	free(r->text);
	free(r);
}

void
lm_run_add(struct lm_run *r, const struct lm *m)
{
	size_t n_row = r->n_row + m->shape.n_prefix;

	while (r->beside)
		r = r->beside;
	r->beside = lm_run_new(m, r->n_slot, n_row, r->n_thread);
}

size_t
lm_run_slots(const struct lm_run *r)
{
	return r->n_slot;
}

const struct lm *
lm_run_model(const struct lm_run *r)
{
	return r->m;
}

uint32_t **
lm_run_texts(struct lm_run *r, size_t n)
{
	for (size_t i = 0; i < r->n_text; i++)
		free(r->text[i]);
	r->text = xrealloc(r->text, n, sizeof *r->text);
	for (size_t i = 0; i < n; i++)
		r->text[i] = NULL;
	r->n_text = n;
	return r->text;
}

static void
reserve(struct lm_run *r, size_t n)
{
	const struct lm_shape *s = &r->m->shape;

	if (n <= r->n_cap)
		return;
	r->n_cap = n;
	float **part[] = { &r->x, &r->normed, &r->qkv, &r->mixed, &r->inner };
	size_t width[] = { s->dim, s->dim, 3 * s->dim, s->dim, s->n_inner };
	for (size_t i = 0; i < 5; i++) {
		free(*part[i]);
		*part[i] = xaligned(n * width[i], sizeof(float));
	}
}

static void
layer_norm(const float *x, size_t n, size_t dim, const float *g, const float *b, float *y)
{
	float mean;

	for (size_t i = 0; i < n; i++)
		fit_norm(x + i * dim, g, b, dim, y + i * dim, &mean);
}

/* lm_apply() for rows of texts: as many as there are, and still each with the bits that it gets alone. */
static void
apply(struct lm_run *r, const struct lm_affine *a, const float *x, size_t n, enum lm_after after, float *y)
{
	for (size_t i = 0; i < n; i += LM_FEW)
		lm_apply(a, x + i * a->w.n_in, n - i < LM_FEW ? n - i : LM_FEW, after, y + i * a->w.n_out, &r->work);
}

static int
check_row(const struct lm_run *r, const struct lm_row *row, struct fault *f)
{
	const struct lm_shape *s = &r->m->shape;

	if (row->token >= s->n_vocab || (row->before != LM_NONE && row->before >= s->n_vocab))
		return fault(f, EX_DATAERR, "token %u is beyond the model's %zu", row->token >= s->n_vocab ? row->token : row->before,
		    s->n_vocab);
	if (row->place >= s->n_place)
		return fault(f, EX_DATAERR, "place %u is beyond the model's %zu: the text is too long for it", row->place, s->n_place);
	if (s->n_source > 0 && row->source >= s->n_source)
		return fault(f, EX_DATAERR, "source %u is beyond the model's %zu", row->source, s->n_source);
	return 0;
}

static void
add(float *x, const float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

static void
embed(const struct lm *m, const struct lm_row *row, float *x, float *scratch)
{
	size_t dim = m->shape.dim;

	lm_token_row(m, row->token, x);
	if (m->shift && row->before != LM_NONE) {
		lm_token_row(m, row->before, scratch);
		for (size_t d = 0; d < dim; d++)
			x[d] += m->shift[d] * scratch[d];
	}
	add(x, m->wpe + row->place * dim, dim);
	if (m->wse)
		add(x, m->wse + row->source * dim, dim);
}

static void
prefix(struct lm_run *r, const float *given, float *x)
{
	const struct lm *m = r->m;
	const struct lm_shape *s = &m->shape;
	float *zero = given ? NULL : xcalloc(s->n_given, sizeof *zero), *inner = xmalloc(s->n_prefix_inner, sizeof *inner);

	lm_apply(&m->prefix1, given ? given : zero, 1, LM_GELU, inner, &r->work);
	lm_apply(&m->prefix2, inner, 1, LM_SET, x, &r->work);
	for (size_t i = 0; i < s->n_prefix; i++) {
		add(x + i * s->dim, m->wpe + i * s->dim, s->dim);
		if (m->wse)
			add(x + i * s->dim, m->wse, s->dim);
	}
	free(zero);
	free(inner);
}

struct heads {                          /* of a prompt */
	struct lm_run *r;
	size_t n;
};

static void
attend_prompt_head(void *arg, size_t h, size_t worker)
{
	const struct heads *a = arg;
	struct lm_run *r = a->r;
	const struct lm_shape *s = &r->m->shape;
	size_t n = a->n, dim = s->dim, dh = dim / s->n_head;
	struct mat q = { .at = r->qkv + h * dh, .n_row = n, .n_col = dh, .stride = 3 * dim };
	struct mat k = q, v = q, y = { .at = r->mixed + h * dh, .n_row = n, .n_col = dh, .stride = dim };

	k.at += dim;
	v.at += 2 * dim;
	struct mat w = mat_of(r->weight + worker * n * n, n, n);
	mat_mul(1, q, 0, k, 1, 0, w);
	for (size_t i = 0; i < n; i++)
		fit_softmax(w.at + i * n, s->two_way ? n : i + 1, n, 1 / sqrtf((float)dh));
	mat_mul(1, w, 0, v, 0, 0, y);
}

static void
attend_prompt(struct lm_run *r, size_t n)
{
	size_t n_head = r->m->shape.n_head, n_thread = n * n * n_head < SMALL ? 1 : r->n_thread < n_head ? r->n_thread : n_head;

	if (n_thread * n * n > r->n_weight_cap) {
		r->n_weight_cap = n_thread * n * n;
		r->weight = xrealloc(r->weight, r->n_weight_cap, sizeof *r->weight);
	}
	thread_for(n_thread, n_head, attend_prompt_head, &(struct heads){ r, n });
}

static int
read_prompt(struct lm_run *r, size_t slot, const struct lm_prompt *p, struct fault *f)
{
	const struct lm *m = r->m;
	const struct lm_shape *s = &m->shape;
	size_t dim = s->dim, n = s->n_prefix + p->n;
	struct slot *to = &r->slot[slot];

	if (n > r->n_row)
		return fault(f, EX_DATAERR, "a prompt of %zu rows, room for %zu", n, r->n_row);
	for (size_t i = 0; i < p->n; i++)
		if (check_row(r, &p->row[i], f) < 0)
			return -1;
	let_go(to);
	struct prompt *kept = xcalloc(1, sizeof *kept);
	*kept = (struct prompt){ .n_user = 1, .n_prefix = s->n_prefix, .n = n };
	kept->kv = xmalloc(s->n_layer * n * 2 * dim, sizeof *kept->kv);
	kept->h = xmalloc(n * dim, sizeof *kept->h);
	kept->row = xmalloc(p->n, sizeof *kept->row);
	memcpy(kept->row, p->row, p->n * sizeof *kept->row);
	to->prompt = kept;
	if (n == 0)
		return 0;
	reserve(r, n);
	if (s->n_prefix > 0)
		prefix(r, p->given, r->x);
	for (size_t i = 0; i < p->n; i++)
		embed(m, &p->row[i], r->x + (s->n_prefix + i) * dim, r->normed);
	for (size_t l = 0; l < s->n_layer; l++) {
		const struct lm_block *b = &m->block[l];
		layer_norm(r->x, n, dim, b->ln1_g, b->ln1_b, r->normed);
		lm_apply(&b->qkv, r->normed, n, LM_SET, r->qkv, &r->work);
		for (size_t i = 0; i < n; i++)
			memcpy(kept->kv + (l * n + i) * 2 * dim, r->qkv + i * 3 * dim + dim, 2 * dim * sizeof(float));
		attend_prompt(r, n);
		lm_apply(&b->proj, r->mixed, n, LM_ADD, r->x, &r->work);
		layer_norm(r->x, n, dim, b->ln2_g, b->ln2_b, r->normed);
		lm_apply(&b->fc, r->normed, n, LM_GELU, r->inner, &r->work);
		lm_apply(&b->out, r->inner, n, LM_ADD, r->x, &r->work);
	}
	layer_norm(r->x, n, dim, m->lnf_g, m->lnf_b, kept->h);
	if (s->copy) {
		kept->copy_k = xmalloc(n * dim, sizeof *kept->copy_k);
		lm_apply(&m->copy_k, kept->h, n, LM_SET, kept->copy_k, &r->work);
	}
	return 0;
}

int
lm_run_prompt(struct lm_run *r, size_t slot, const struct lm_prompt *p, struct fault *f)
{
	for (; r; r = r->beside)
		if (read_prompt(r, slot, p, f) < 0)
			return -1;
	return 0;
}

/* Room for n rows of a text, few at first: most texts end long before what a run has room for. */
static void
reserve_text(struct lm_run *r, struct slot *at, size_t n)
{
	const struct lm_shape *s = &r->m->shape;
	size_t n_cap = at->n_cap < TEXT_FEW ? TEXT_FEW : at->n_cap, row = 2 * s->dim;

	if (n <= at->n_cap)
		return;
	while (n_cap < n)
		n_cap += n_cap / 2;
	float *kv = xmalloc(s->n_layer * n_cap * row, sizeof *kv);
	for (size_t l = 0; at->n > 0 && l < s->n_layer; l++)
		memcpy(kv + l * n_cap * row, at->kv + l * at->n_cap * row, at->n * row * sizeof *kv);
	free(at->kv);
	at->kv = kv;
	at->n_cap = n_cap;
}

static void
copy_slot(struct lm_run *r, size_t to, size_t from)
{
	const struct lm_shape *s = &r->m->shape;
	struct slot *a = &r->slot[to], *b = &r->slot[from];
	size_t row = 2 * s->dim;

	if (b->prompt)
		b->prompt->n_user++;
	let_go(a);
	reserve_text(r, a, b->n);
	a->prompt = b->prompt;
	a->n = b->n;
	for (size_t l = 0; b->n > 0 && l < s->n_layer; l++)
		memcpy(a->kv + l * a->n_cap * row, b->kv + l * b->n_cap * row, b->n * row * sizeof *a->kv);
}

void
lm_run_copy(struct lm_run *r, size_t to, size_t from)
{
	for (; r && to != from; r = r->beside)
		copy_slot(r, to, from);
}

struct step {
	struct lm_run *r;
	const size_t *slot;             /* [n] */
	size_t layer, n;
	float *log_p;                   /* [n][n_vocab] */
};

/* Attention of one head of one row over the prompt and the text before it, its own row included. */
static void
attend_head(void *arg, size_t task, size_t worker)
{
	const struct step *a = arg;
	struct lm_run *r = a->r;
	const struct lm_shape *s = &r->m->shape;
	const struct slot *slot = &r->slot[a->slot[task / s->n_head]];
	size_t dim = s->dim, dh = dim / s->n_head, from = task % s->n_head * dh;
	size_t n_prompt = slot->prompt->n, n_text = slot->n + 1;
	const float *prompt = slot->prompt->kv + a->layer * n_prompt * 2 * dim + from;
	const float *text = slot->kv + a->layer * slot->n_cap * 2 * dim + from, *q = r->qkv + task / s->n_head * 3 * dim + from;
	float *score = r->score + worker * (r->n_row + 1), *y = r->mixed + task / s->n_head * dim + from;

	lm_head_scores(q, prompt, n_prompt, 2 * dim, dh, score);
	lm_head_scores(q, text, n_text, 2 * dim, dh, score + n_prompt);
	fit_softmax(score, n_prompt + n_text, n_prompt + n_text, 1 / sqrtf((float)dh));
	memset(y, 0, dh * sizeof *y);
	lm_head_mix(score, prompt + dim, n_prompt, 2 * dim, dh, y);
	lm_head_mix(score + n_prompt, text + dim, n_text, 2 * dim, dh, y);
}

static void
attend_rows(const struct step *a)
{
	struct lm_run *r = a->r;
	const struct lm_shape *s = &r->m->shape;
	size_t dim = s->dim, n_seen = 0;

	for (size_t i = 0; i < a->n; i++) {
		struct slot *at = &r->slot[a->slot[i]];
		memcpy(at->kv + (a->layer * at->n_cap + at->n) * 2 * dim, r->qkv + i * 3 * dim + dim, 2 * dim * sizeof(float));
		n_seen += at->prompt->n + at->n + 1;
	}
	thread_for(n_seen * dim < SMALL ? 1 : r->n_thread, a->n * s->n_head, attend_head, (void *)(uintptr_t)a);
}

static void
log_softmax(void *arg, size_t i, size_t worker)
{
	const struct step *a = arg;
	size_t n_vocab = a->r->m->shape.n_vocab;

	(void)worker;
	fit_log_softmax(a->log_p + i * n_vocab, n_vocab);
}

/* log_p [n_vocab] becomes that of the mixture with what the prompt says. */
static void
copy_head(struct lm_run *r, const struct prompt *p, const struct lm_row *row, const float *h, float *log_p)
{
	const struct lm *m = r->m;
	size_t dim = m->shape.dim, n = p->n - p->n_prefix;
	float *q = r->normed, *c = r->mixed;
	double gate = m->copy_gate[2 * dim];

	if (n == 0)
		return;
	lm_apply(&m->copy_q, h, 1, LM_SET, q, &r->work);
	for (size_t j = 0; j < n; j++) {
		int goes_on = fit_goes_on(&p->row[j], row);
		r->score[j] = mat_dot(q, p->copy_k + (p->n_prefix + j) * dim, dim) / sqrtf((float)dim) +
		    m->copy_scalar[0] * p->row[j].log_weight + (goes_on > 0 ? m->copy_scalar[1] : 0) + (goes_on > 1 ? m->copy_scalar[2] : 0);
	}
	fit_softmax(r->score, n, n, 1);
	memset(c, 0, dim * sizeof *c);
	for (size_t j = 0; j < n; j++)
		for (size_t d = 0; d < dim; d++)
			c[d] += r->score[j] * p->h[(p->n_prefix + j) * dim + d];
	for (size_t d = 0; d < dim; d++)
		gate += (double)m->copy_gate[d] * h[d] + (double)m->copy_gate[dim + d] * c[d];
	double g = 1 / (1 + exp(-gate));
	float log_g = (float)log(g);
	for (size_t v = 0; v < m->shape.n_vocab; v++)
		log_p[v] += log_g;
	for (size_t j = 0; j < n; j++) {
		float *to = &log_p[p->row[j].token];
		*to = (float)log(exp(*to) + (1 - g) * r->score[j]);
	}
}

/* One model's step. */
static int
step_one(struct lm_run *r, const size_t *slot, const struct lm_row *row, size_t n, float *log_p, struct fault *f)
{
	const struct lm *m = r->m;
	const struct lm_shape *s = &m->shape;
	size_t dim = s->dim;

	for (size_t i = 0; i < n; i++) {
		struct slot *at = &r->slot[slot[i]];
		if (check_row(r, &row[i], f) < 0)
			return -1;
		if (!at->prompt || at->prompt->n + at->n >= r->n_row)
			return fault(f, EX_DATAERR, "a text of more than %zu rows", r->n_row);
		reserve_text(r, at, at->n + 1);
	}
	struct step step = { .r = r, .slot = slot, .n = n, .log_p = log_p };
	reserve(r, n > 2 ? n : 2);
	for (size_t i = 0; i < n; i++)
		embed(m, &row[i], r->x + i * dim, r->normed);
	for (size_t l = 0; l < s->n_layer; l++) {
		const struct lm_block *b = &m->block[l];
		layer_norm(r->x, n, dim, b->ln1_g, b->ln1_b, r->normed);
		apply(r, &b->qkv, r->normed, n, LM_SET, r->qkv);
		step.layer = l;
		attend_rows(&step);
		apply(r, &b->proj, r->mixed, n, LM_ADD, r->x);
		layer_norm(r->x, n, dim, b->ln2_g, b->ln2_b, r->normed);
		apply(r, &b->fc, r->normed, n, LM_GELU, r->inner);
		apply(r, &b->out, r->inner, n, LM_ADD, r->x);
	}
	layer_norm(r->x, n, dim, m->lnf_g, m->lnf_b, r->x);
	for (size_t i = 0; i < n; i += LM_FEW)
		lm_logits(m, r->x + i * dim, n - i < LM_FEW ? n - i : LM_FEW, log_p + i * s->n_vocab, &r->work);
	thread_for(n * s->n_vocab < SMALL ? 1 : r->n_thread, n, log_softmax, &step);
	for (size_t i = 0; i < n; i++) {
		struct slot *at = &r->slot[slot[i]];
		if (s->copy)
			copy_head(r, at->prompt, &row[i], r->x + i * dim, log_p + i * s->n_vocab);
		at->n++;
	}
	return 0;
}

struct mixing {
	float *log_p;                   /* [n][n_vocab], of the models before */
	const float *other;             /* [n][n_vocab], of the next */
	size_t n_vocab, n_before;
};

static void
mix_row(void *arg, size_t i, size_t worker)
{
	const struct mixing *m = arg;

	(void)worker;
	fit_log_mean(m->log_p + i * m->n_vocab, m->other + i * m->n_vocab, m->n_vocab, m->n_before);
}

int
lm_run_step(struct lm_run *r, const size_t *slot, const struct lm_row *row, size_t n, float *log_p, struct fault *f)
{
	size_t n_vocab = r->m->shape.n_vocab, n_before = 1;

	if (step_one(r, slot, row, n, log_p, f) < 0)
		return -1;
	for (struct lm_run *b = r->beside; b; b = b->beside) {
		r->log_p = xgrow(r->log_p, &r->n_log_p, n * n_vocab, sizeof *r->log_p);
		if (step_one(b, slot, row, n, r->log_p, f) < 0)
			return -1;
		struct mixing m = { log_p, r->log_p, n_vocab, n_before++ };
		thread_for(n * n_vocab < SMALL ? 1 : r->n_thread, n, mix_row, &m);
	}
	return 0;
}

static void
last_one(struct lm_run *r, size_t slot, float *log_p)
{
	const struct prompt *p = r->slot[slot].prompt;
	const struct lm_shape *s = &r->m->shape;

	lm_logits(r->m, p->h + (p->n - 1) * s->dim, 1, log_p, &r->work);
	fit_log_softmax(log_p, s->n_vocab);
}

void
lm_run_last(struct lm_run *r, size_t slot, float *log_p)
{
	size_t n_vocab = r->m->shape.n_vocab, n_before = 1;

	last_one(r, slot, log_p);
	for (struct lm_run *b = r->beside; b; b = b->beside) {
		r->log_p = xgrow(r->log_p, &r->n_log_p, n_vocab, sizeof *r->log_p);
		last_one(b, slot, r->log_p);
		fit_log_mean(log_p, r->log_p, n_vocab, n_before++);
	}
}
