#include "lm/fit.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "lm/fit_inside.h"

enum { CHUNK = 1 << 15 };               /* numbers that one task updates */

void
lm_fit_defaults(struct lm_fit_options *o)
{
	*o = (struct lm_fit_options){ .rate = 1e-3, .rate_end = .02, .beta1 = .9, .beta2 = .98, .epsilon = 1e-9, .decay = .01,
		.clip = 1, .n_warm = 200, .n_step = 10000, .dropout = .1, .seed = 1, .n_thread = thread_count() };
}

struct lm_fit *
lm_fit_new(struct lm *m, float *numbers, const struct lm_fit_options *o)
{
	struct lm_fit *t = xcalloc(1, sizeof *t);

	t->m = m;
	t->numbers = numbers;
	t->o = *o;
	if (t->o.n_thread < 1)
		t->o.n_thread = 1;
	if (t->o.n_thread > THREAD_MAX)
		t->o.n_thread = THREAD_MAX;
	t->part = lm_parts(&m->shape, &t->n_part);
	t->n_number = lm_count(&m->shape);
	t->gradient = xaligned(t->n_number, sizeof(float));
	t->moment1 = xcalloc(t->n_number, sizeof(float));
	t->moment2 = xcalloc(t->n_number, sizeof(float));
	t->g = lm_new(&m->shape, t->gradient, NULL);
	t->frozen = xcalloc(t->n_part, 1);
	lm_fit_freeze(t, o->frozen);
	t->kept = xcalloc(m->shape.n_layer, sizeof *t->kept);
	size_t n_chunk = 0;
	for (size_t i = 0; i < t->n_part; i++)
		n_chunk += (t->part[i].n + CHUNK - 1) / CHUNK;
	t->chunk = xcalloc(n_chunk, sizeof *t->chunk);
	for (size_t i = 0; i < t->n_part; i++)
		for (size_t from = 0; from < t->part[i].n; from += CHUNK)
			t->chunk[t->n_chunk++] = (struct fit_chunk){ .part = i, .from = t->part[i].from + from,
				.n = t->part[i].n - from < CHUNK ? t->part[i].n - from : CHUNK };
	return t;
}

void
lm_fit_free(struct lm_fit *t)
{
	if (!t)
		return;
	free(t->gradient);
	free(t->moment1);
	free(t->moment2);
	free(t->g->block);
	free(t->g);
	free(t->frozen);
	free(t->part);
	free(t->kept);
	free(t->chunk);
	free(t->example);
	free(t->strip);
	free(t->row);
	free(t->target_row);
	free(t->target);
	free(t->arena);
	free(t);
}

void
lm_fit_freeze(struct lm_fit *t, const uint8_t *frozen)
{
	if (frozen)
		memcpy(t->frozen, frozen, t->n_part);
	else
		memset(t->frozen, 0, t->n_part);
}

void
lm_fit_schedule(struct lm_fit *t, size_t n_step)
{
	t->o.n_step = n_step;
}

size_t
lm_fit_done(const struct lm_fit *t)
{
	return t->n_done;
}

static size_t
targets_of(const struct lm_example *batch, size_t n)
{
	size_t n_target = 0;

	for (size_t e = 0; e < n; e++)
		for (size_t i = 0; i < batch[e].n; i++)
			n_target += batch[e].target[i] != LM_NONE;
	return n_target;
}

/* Room for n_want entries of size, with a quarter to spare, as batches differ. */
static void *
room(void *at, size_t *n_cap, size_t n_want, size_t size)
{
	if (n_want <= *n_cap)
		return at;
	free(at);
	*n_cap = n_want + n_want / 4;
	return xaligned(*n_cap, size);
}

/* Rows, targets and strips of the batch. */
static void
lay_out(struct lm_fit *t, const struct lm_example *batch, size_t n)
{
	const struct lm_shape *s = &t->m->shape;
	size_t n_row = 0, n_target = targets_of(batch, n), n_cap = t->n_target_cap;

	for (size_t e = 0; e < n; e++)
		n_row += s->n_prefix + batch[e].prompt.n + batch[e].n;
	t->example = room(t->example, &t->n_example_cap, n, sizeof *t->example);
	t->strip = room(t->strip, &t->n_strip_cap, n, sizeof *t->strip);
	t->row = room(t->row, &t->n_row_cap, n_row, sizeof *t->row);
	t->target = room(t->target, &t->n_target_cap, n_target, sizeof *t->target);
	t->target_row = room(t->target_row, &n_cap, n_target, sizeof *t->target_row);
	t->batch = batch;
	t->n_example = n;
	t->n_row = t->n_target = t->n_prompt = t->n_strip = t->n_p = t->n_alpha = 0;
	/* strips of 512 rows at most, four or eight or ... of them, so that two or four threads have equal shares */
	size_t n_most = 0, n_strip = 4 * ((n_row + 4 * FIT_STRIP - 1) / (4 * FIT_STRIP));
	for (size_t e = 0; e < n; e++) {
		const struct lm_example *b = &batch[e];
		struct fit_example *x = &t->example[e];
		*x = (struct fit_example){ .row = t->n_row, .n_seen = s->n_prefix + b->prompt.n, .target = t->n_target,
			.prompt = t->n_prompt, .n_prompt = s->copy ? b->prompt.n : 0, .p = t->n_p, .alpha = t->n_alpha };
		for (size_t i = 0; i < s->n_prefix; i++)
			t->row[t->n_row++] = (struct lm_row){ .token = LM_NONE, .before = LM_NONE, .before2 = LM_NONE, .place = (uint32_t)i };
		for (size_t i = 0; i < b->prompt.n; i++)
			t->row[t->n_row++] = b->prompt.row[i];
		for (size_t i = 0; i < b->n; i++) {
			if (b->target[i] != LM_NONE) {
				t->target_row[t->n_target] = (uint32_t)t->n_row;
				t->target[t->n_target++] = b->target[i];
			}
			t->row[t->n_row++] = b->row[i];
		}
		x->n_row = t->n_row - x->row;
		x->n_target = t->n_target - x->target;
		t->n_prompt += x->n_prompt;
		t->n_p += s->n_head * x->n_row * x->n_row;
		t->n_alpha += x->n_target * x->n_prompt;
		n_most = x->n_row > n_most ? x->n_row : n_most;
		if ((x->row + x->n_row / 2) * n_strip >= t->n_strip * n_row)
			t->strip[t->n_strip++] = (struct fit_strip){ .example = e };
		t->strip[t->n_strip - 1].n_example++;
	}
	for (size_t r = 0; r < t->n_row; r++) {
		const struct lm_row *row = &t->row[r];
		assert(row->token == LM_NONE || row->token < s->n_vocab);
		assert(row->place < s->n_place && (!s->n_source || row->source < s->n_source));
	}
	t->n_scratch = (size_t)FIT_ROWS * n_most;
}

static float *
take(struct lm_fit *t, size_t n)
{
	float *at = t->arena ? t->arena + t->n_arena : NULL;

	t->n_arena += (n + 15) / 16 * 16;
	return at;
}

static void
share_out(struct lm_fit *t)
{
	const struct lm_shape *s = &t->m->shape;
	size_t n = t->n_row, dim = s->dim, n_out = s->n_prefix * dim;

	t->n_arena = 0;
	for (size_t l = 0; l < s->n_layer; l++) {
		struct fit_kept *k = &t->kept[l];
		k->x = take(t, n * dim);
		k->n1 = take(t, n * dim);
		k->qkv = take(t, n * 3 * dim);
		k->p = take(t, t->n_p);
		k->y = take(t, n * dim);
		k->x2 = take(t, n * dim);
		k->n2 = take(t, n * dim);
		k->slope = take(t, n * s->n_inner);
		k->gelu = take(t, n * s->n_inner);
		k->mean1 = take(t, n);
		k->scale1 = take(t, n);
		k->mean2 = take(t, n);
		k->scale2 = take(t, n);
	}
	t->x = take(t, n * dim);
	t->h = take(t, n * dim);
	t->mean = take(t, n);
	t->scale = take(t, n);
	t->dx = take(t, n * dim);
	t->dh = take(t, n * dim);
	t->d_part = take(t, n * dim);
	for (size_t i = 0; i < 2; i++) {
		t->grown[i].qkv = take(t, n * 3 * dim);
		t->grown[i].proj = take(t, n * dim);
		t->grown[i].fc = take(t, n * s->n_inner);
		t->grown[i].out = take(t, n * dim);
	}
	t->norm_part = take(t, (2 * s->n_layer + 1) * t->n_strip * 2 * dim);
	if (s->n_prefix > 0) {
		t->given = take(t, t->n_example * s->n_given);
		t->z1 = take(t, t->n_example * s->n_prefix_inner);
		t->slope1 = take(t, t->n_example * s->n_prefix_inner);
		t->d_g1 = take(t, t->n_example * s->n_prefix_inner);
		t->p2 = take(t, t->n_example * n_out);
		t->d_p2 = take(t, t->n_example * n_out);
	}
	t->logits = take(t, t->n_target * s->n_vocab);
	t->h_dropped = t->h_target = take(t, t->n_target * dim);
	t->copy_part = take(t, t->n_strip * (2 * dim + 4));
	if (s->copy) {
		t->h_target = take(t, t->n_target * dim);
		t->dh_target = take(t, t->n_target * dim);
		t->h_prompt = take(t, t->n_prompt * dim);
		t->dh_prompt = take(t, t->n_prompt * dim);
		t->q = take(t, t->n_target * dim);
		t->dq = take(t, t->n_target * dim);
		t->k = take(t, t->n_prompt * dim);
		t->dk = take(t, t->n_prompt * dim);
		t->c = take(t, t->n_target * dim);
		t->alpha = take(t, t->n_alpha);
		t->d_alpha = take(t, t->n_alpha);
	}
	t->scratch = take(t, t->o.n_thread * t->n_scratch);
}

static void
begin(struct lm_fit *t, const struct lm_example *batch, size_t n)
{
	lay_out(t, batch, n);
	float *arena = t->arena;
	t->arena = NULL;
	share_out(t);
	t->arena = room(arena, &t->n_arena_cap, t->n_arena, sizeof *t->arena);
	share_out(t);
}

static void
forward(void *arg, size_t i, size_t worker)
{
	struct lm_fit *t = arg;

	(void)worker;
	fit_forward(t, i);
	if (t->learning)
		fit_head_back(t, i);
}

/* Sum of losses of the batch that begin() laid out. */
static double
loss_of(struct lm_fit *t)
{
	double loss = 0;

	thread_for(t->o.n_thread, t->n_strip, forward, t);
	for (size_t i = 0; i < t->n_strip; i++)
		loss += t->strip[i].loss;
	return loss;
}

struct back {
	struct lm_fit *t;
	size_t layer, n_tile, n_strip;
};

/* The way back through a layer, and beside it the matrices of the layer above, whose rows are all done. */
static void
back(void *arg, size_t i, size_t worker)
{
	const struct back *b = arg;

	if (i < b->n_strip)
		fit_layer_back(b->t, b->layer, i, worker);
	else
		fit_tile(b->t, b->layer + 1, i - b->n_strip);
}

static void
prefix_back(void *arg, size_t i, size_t worker)
{
	(void)worker;
	fit_prefix_back(arg, i);
}

/* The last tiles: of the lowest layer, of the prefix, of the embeddings. */
static void
last(void *arg, size_t i, size_t worker)
{
	struct lm_fit *t = arg;
	size_t n_layer = t->m->shape.n_layer, n0 = fit_n_tile(t, 0), n1 = fit_n_tile(t, n_layer + 1), dim = t->m->shape.dim;

	(void)worker;
	if (i < n0)
		fit_tile(t, 0, i);
	else if (i < n0 + n1)
		fit_tile(t, n_layer + 1, i - n0);
	else {
		size_t from = (i - n0 - n1) * FIT_ROWS;
		fit_rest(t, from, dim - from < FIT_ROWS ? dim - from : FIT_ROWS);
	}
}

static void
gradients(struct lm_fit *t)
{
	size_t n_layer = t->m->shape.n_layer, dim = t->m->shape.dim;

	for (size_t l = n_layer; l-- > 0; ) {
		struct back b = { t, l, fit_n_tile(t, l + 1), t->n_strip };
		thread_for(t->o.n_thread, b.n_strip + b.n_tile, back, &b);
	}
	if (t->m->shape.n_prefix > 0)
		thread_for(t->o.n_thread, t->n_strip, prefix_back, t);
	thread_for(t->o.n_thread, fit_n_tile(t, 0) + fit_n_tile(t, n_layer + 1) + (dim + FIT_ROWS - 1) / FIT_ROWS, last, t);
	fit_norms(t);
}

/* Loss and gradients in pieces of whole examples. */
static double
learn(struct lm_fit *t, const struct lm_example *batch, size_t n, size_t n_piece, size_t n_target)
{
	double loss = 0;

	t->per_target = n_target ? 1 / (float)n_target : 0;
	t->learning = 1;
	t->more = 0;
	t->first_row = 0;
	n_piece = n_piece < 1 ? 1 : n_piece > n ? n : n_piece;
	for (size_t i = 0; i < n_piece; i++) {
		size_t from = n * i / n_piece, to = n * (i + 1) / n_piece;
		begin(t, batch + from, to - from);
		loss += loss_of(t);
		gradients(t);
		t->more = 1;
		t->first_row += t->n_row;
	}
	return n_target ? loss / (double)n_target : 0;
}

double
lm_fit_step(struct lm_fit *t, const struct lm_example *batch, size_t n, size_t n_piece, size_t *n_target, struct fault *f)
{
	double rate = t->o.dropout;

	*n_target = targets_of(batch, n);
	t->drop = (struct fit_drop){ 0 };
	if (rate > 0)
		t->drop = (struct fit_drop){ .below = (uint32_t)(rate * 0x1p32), .scale = (float)(1 / (1 - rate)),
			.seed = t->o.seed * 0x9E3779B97F4A7C15 + (uint64_t)t->n_done * 0xD1B54A32D192ED03 };
	double loss = n ? learn(t, batch, n, n_piece, *n_target) : 0;
	if (!*n_target)
		return 0;
	if (!isfinite(loss)) {
		fault(f, EX_DATAERR, "step %zu: the loss is no number", t->n_done + 1);
		return -1;
	}
	if (fit_update(t) < 0) {
		fault(f, EX_DATAERR, "step %zu: the gradient is no number", t->n_done + 1);
		return -1;
	}
	return loss;
}

double
lm_fit_loss(struct lm_fit *t, const struct lm_example *batch, size_t n, size_t *n_target)
{
	*n_target = targets_of(batch, n);
	if (!n)
		return 0;
	t->drop = (struct fit_drop){ 0 };
	t->learning = 0;
	t->first_row = 0;
	begin(t, batch, n);
	return loss_of(t);
}

double
lm_fit_gradient(struct lm_fit *t, const struct lm_example *batch, size_t n, float *gradient)
{
	t->drop = (struct fit_drop){ 0 };
	double loss = learn(t, batch, n, 1, targets_of(batch, n));
	memcpy(gradient, t->gradient, t->n_number * sizeof *gradient);
	return loss;
}
