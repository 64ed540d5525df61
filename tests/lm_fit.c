/* How the language model learns: gradients against finite differences of a twin spelt out in double, the same bytes from any
   number of threads and after a stop, and a task that it must learn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"
#include "lm/bpe.h"
#include "lm/fit.h"
#include "scratch.h"

enum { PROMPT = 9, TEXT = 6, EXAMPLES = 5 };

/* -- the twin -- */
struct twin {
	const struct lm_shape *s;
	const struct lm_part *part;
	size_t n_part;
	const double *numbers;
};

static const double *
named(const struct twin *t, const char *name)
{
	for (size_t i = 0; i < t->n_part; i++)
		if (strcmp(t->part[i].name, name) == 0)
			return t->numbers + t->part[i].from;
	return NULL;
}

static const double *
of_block(const struct twin *t, size_t l, const char *name)
{
	char full[64];

	snprintf(full, sizeof full, "h.%zu.%s", l, name);
	return named(t, full);
}

/* y [n_out] = x W + b */
static void
affine(const double *x, size_t n_in, const double *w, const double *b, size_t n_out, double *y)
{
	for (size_t o = 0; o < n_out; o++) {
		y[o] = b ? b[o] : 0;
		for (size_t i = 0; i < n_in; i++)
			y[o] += x[i] * w[i * n_out + o];
	}
}

static double
gelu(double x)
{
	return .5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + .044715 * x * x * x)));
}

static void
norm(const double *x, size_t n, const double *g, const double *b, double *y)
{
	double mean = 0, var = 0;

	for (size_t i = 0; i < n; i++)
		mean += x[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		var += (x[i] - mean) * (x[i] - mean) / (double)n;
	for (size_t i = 0; i < n; i++)
		y[i] = (x[i] - mean) / sqrt(var + 1e-5) * g[i] + b[i];
}

static double
twin_example(const struct twin *t, const struct lm_example *x, size_t *n_target)
{
	const struct lm_shape *s = t->s;
	size_t dim = s->dim, n_see = s->n_prefix + x->prompt.n, n = n_see + x->n, size = dim / s->n_head;
	double *h = xcalloc(n * dim, sizeof *h), *a = xcalloc(n * dim, sizeof *a), *qkv = xcalloc(n * 3 * dim, sizeof *qkv);
	double *f = xcalloc(s->n_inner + s->n_given + s->n_prefix_inner + n + s->n_vocab + 8 * dim, sizeof *f);
	double *w = xcalloc(n, sizeof *w);
	const double *wte = named(t, "wte.weight"), *wpe = named(t, "wpe.weight"), *wse = named(t, "wse.weight");
	const double *shift = named(t, "shift.weight");

	if (s->n_prefix > 0) {
		double *z = xcalloc(s->n_given, sizeof *z), *inner = f;
		for (size_t i = 0; i < s->n_given; i++)
			z[i] = x->prompt.given ? x->prompt.given[i] : 0;
		affine(z, s->n_given, named(t, "prefix.1.weight"), named(t, "prefix.1.bias"), s->n_prefix_inner, inner);
		for (size_t i = 0; i < s->n_prefix_inner; i++)
			inner[i] = gelu(inner[i]);
		affine(inner, s->n_prefix_inner, named(t, "prefix.2.weight"), named(t, "prefix.2.bias"), s->n_prefix * dim, h);
		for (size_t i = 0; i < s->n_prefix * dim; i++)
			h[i] += wpe[i] + (wse ? wse[i % dim] : 0);
		free(z);
	}
	for (size_t i = s->n_prefix; i < n; i++) {
		const struct lm_row *r = i < n_see ? &x->prompt.row[i - s->n_prefix] : &x->row[i - n_see];
		for (size_t d = 0; d < dim; d++) {
			h[i * dim + d] = wte[r->token * dim + d] + wpe[r->place * dim + d];
			if (shift && r->before != LM_NONE)
				h[i * dim + d] += shift[d] * wte[r->before * dim + d];
			if (wse)
				h[i * dim + d] += wse[r->source * dim + d];
		}
	}
	for (size_t l = 0; l < s->n_layer; l++) {
		for (size_t i = 0; i < n; i++) {
			norm(h + i * dim, dim, of_block(t, l, "ln_1.weight"), of_block(t, l, "ln_1.bias"), a + i * dim);
			affine(a + i * dim, dim, of_block(t, l, "attn.c_attn.weight"), of_block(t, l, "attn.c_attn.bias"), 3 * dim,
			    qkv + i * 3 * dim);
		}
		for (size_t i = 0; i < n; i++) {
			size_t n_seen = s->two_way && i < n_see ? n_see : i + 1;
			double y[64] = { 0 };
			for (size_t head = 0; head < s->n_head; head++) {
				double sum = 0;
				for (size_t j = 0; j < n_seen; j++) {
					double e = 0;
					for (size_t d = head * size; d < (head + 1) * size; d++)
						e += qkv[i * 3 * dim + d] * qkv[j * 3 * dim + dim + d];
					sum += w[j] = exp(e / sqrt((double)size));
				}
				for (size_t j = 0; j < n_seen; j++)
					for (size_t d = head * size; d < (head + 1) * size; d++)
						y[d] += w[j] / sum * qkv[j * 3 * dim + 2 * dim + d];
			}
			affine(y, dim, of_block(t, l, "attn.c_proj.weight"), of_block(t, l, "attn.c_proj.bias"), dim, a + i * dim);
		}
		for (size_t i = 0; i < n; i++) {
			double z[64], o[64];
			for (size_t d = 0; d < dim; d++)
				h[i * dim + d] += a[i * dim + d];
			norm(h + i * dim, dim, of_block(t, l, "ln_2.weight"), of_block(t, l, "ln_2.bias"), z);
			affine(z, dim, of_block(t, l, "mlp.c_fc.weight"), of_block(t, l, "mlp.c_fc.bias"), s->n_inner, f);
			for (size_t k = 0; k < s->n_inner; k++)
				f[k] = gelu(f[k]);
			affine(f, s->n_inner, of_block(t, l, "mlp.c_proj.weight"), of_block(t, l, "mlp.c_proj.bias"), dim, o);
			for (size_t d = 0; d < dim; d++)
				h[i * dim + d] += o[d];
		}
	}
	for (size_t i = 0; i < n; i++)
		norm(h + i * dim, dim, named(t, "ln_f.weight"), named(t, "ln_f.bias"), a + i * dim);

	double loss = 0;
	for (size_t i = 0; i < x->n; i++) {
		if (x->target[i] == LM_NONE)
			continue;
		const double *ht = a + (n_see + i) * dim;
		double sum = 0, hit = 0, p, c[64] = { 0 }, q[64], k[64];
		for (size_t v = 0; v < s->n_vocab; v++) {
			double e = 0;
			for (size_t d = 0; d < dim; d++)
				e += ht[d] * wte[v * dim + d];
			sum += exp(e);
			hit = v == x->target[i] ? exp(e) : hit;
		}
		p = hit / sum;
		if (s->copy && x->prompt.n > 0) {
			const double *scalar = named(t, "copy.scalar"), *gate = named(t, "copy.gate");
			double total = 0, copied = 0, z = gate[2 * dim];
			affine(ht, dim, named(t, "copy.q.weight"), NULL, dim, q);
			for (size_t j = 0; j < x->prompt.n; j++) {
				const struct lm_row *r = &x->prompt.row[j];
				const double *hj = a + (s->n_prefix + j) * dim;
				uint32_t before = r->before == LM_NONE ? BPE_BEGIN : r->before;
				uint32_t before2 = r->before2 == LM_NONE && r->before != LM_NONE ? BPE_BEGIN : r->before2;
				double e = 0;
				affine(hj, dim, named(t, "copy.k.weight"), NULL, dim, k);
				for (size_t d = 0; d < dim; d++)
					e += q[d] * k[d];
				e = e / sqrt((double)dim) + scalar[0] * r->log_weight;
				if (before == x->row[i].token)
					e += scalar[1] + (before2 == x->row[i].before ? scalar[2] : 0);
				total += e = exp(e);
				copied += r->token == x->target[i] ? e : 0;
				for (size_t d = 0; d < dim; d++)
					c[d] += e * hj[d];
			}
			for (size_t d = 0; d < dim; d++)
				z += gate[d] * ht[d] + gate[dim + d] * c[d] / total;
			p = p / (1 + exp(-z)) + (1 - 1 / (1 + exp(-z))) * copied / total;
		}
		loss -= log(p);
		++*n_target;
	}
	free(h);
	free(a);
	free(qkv);
	free(f);
	free(w);
	return loss;
}

static double
twin_loss(const struct twin *t, const struct lm_example *x, size_t n)
{
	double loss = 0;
	size_t n_target = 0;

	for (size_t i = 0; i < n; i++)
		loss += twin_example(t, &x[i], &n_target);
	return loss / (double)n_target;
}

/* -- batches -- */
struct batch {
	struct lm_example x[EXAMPLES];
	struct lm_row prompt[EXAMPLES][PROMPT], row[EXAMPLES][TEXT];
	uint32_t target[EXAMPLES][TEXT];
	float given[EXAMPLES][4];
};

static void
follow(struct lm_row *r, const struct lm_row *start, size_t i)
{
	r->before = i > 0 ? start[i - 1].token : LM_NONE;
	r->before2 = i > 1 ? start[i - 2].token : LM_NONE;
}

static struct batch *
batch_new(const struct lm_shape *s, int with_prompts, uint64_t seed)
{
	struct batch *b = xcalloc(1, sizeof *b);
	struct rng r = rng_at(seed, 7);

	for (size_t e = 0; e < EXAMPLES; e++) {
		struct lm_example *x = &b->x[e];
		x->prompt.row = b->prompt[e];
		x->prompt.given = e % 2 ? b->given[e] : NULL;
		x->prompt.n = with_prompts && e != 3 ? PROMPT - e : 0;
		for (size_t i = 0; i < x->prompt.n; i++) {
			struct lm_row *row = &b->prompt[e][i];
			size_t part = i < 4 ? 0 : 4;
			*row = (struct lm_row){ .token = (uint32_t)rng_below(&r, s->n_vocab), .place = (uint32_t)(i - part),
				.source = s->n_source ? part ? 2 : 1 : 0, .log_weight = part ? -.5f : 0 };
			follow(row, &b->prompt[e][part], i - part);
		}
		for (size_t i = 0; i < 4; i++)
			b->given[e][i] = (float)rng_normal(&r);
		x->row = b->row[e];
		x->target = b->target[e];
		x->n = TEXT - e % 3;
		for (size_t i = 0; i < x->n; i++) {
			uint32_t token = i ? (uint32_t)rng_below(&r, s->n_vocab) : BPE_BEGIN;
			if (i > 1 && x->prompt.n > 2)   /* goes on as the prompt does, for the bonus */
				token = b->prompt[e][i % x->prompt.n].token;
			b->row[e][i] = (struct lm_row){ .token = token, .place = (uint32_t)(s->n_place / 2 + i) };
			follow(&b->row[e][i], b->row[e], i);
		}
		for (size_t i = 0; i < x->n; i++)
			b->target[e][i] = i + 1 < x->n ? b->row[e][i + 1].token : (e == 1 ? LM_NONE : BPE_END);
	}
	return b;
}

static struct lm_shape
shape_of(int prefix, int sources, int shift, int copy, int two_way)
{
	return (struct lm_shape){ .n_layer = 2, .n_head = 2, .dim = 12, .n_inner = 20, .n_place = 24, .n_vocab = 23,
		.n_source = sources ? 3 : 0, .n_prefix = prefix ? 2 : 0, .n_given = prefix ? 4 : 0, .n_prefix_inner = prefix ? 6 : 0,
		.two_way = two_way, .copy = copy, .shift = shift };
}

static float *
numbers_of(const struct lm_shape *s, uint64_t seed)
{
	size_t n = lm_count(s);
	float *at = xaligned(n, sizeof *at);
	struct rng r = rng_at(seed, 99);

	lm_draw(s, at, seed);
	for (size_t i = 0; i < n; i++)          /* nothing is at a special value, and all parts matter */
		at[i] += (float)(.15 * rng_normal(&r));
	return at;
}

static void
end(struct lm *m)
{
	free(m->block);
	free(m);
}

static void
check_gradients(const char *what, struct lm_shape s, int with_prompts)
{
	size_t n = lm_count(&s), n_part, n_target;
	float *numbers = numbers_of(&s, 5), *gradient = xcalloc(n, sizeof *gradient);
	double *exact = xcalloc(n, sizeof *exact);
	struct lm *m = lm_new(&s, numbers, NULL);
	struct lm_part *part = lm_parts(&s, &n_part);
	struct batch *b = batch_new(&s, with_prompts, 3);
	struct lm_fit_options o;

	lm_fit_defaults(&o);
	o.n_thread = 1;
	struct lm_fit *t = lm_fit_new(m, numbers, &o);
	double loss = lm_fit_gradient(t, b->x, EXAMPLES, gradient), again = lm_fit_loss(t, b->x, EXAMPLES, &n_target);
	for (size_t i = 0; i < n; i++)
		exact[i] = numbers[i];
	struct twin twin = { &s, part, n_part, exact };
	double slow = twin_loss(&twin, b->x, EXAMPLES);
	claim(fabs(loss - slow) < 1e-5 && fabs(again / (double)n_target - slow) < 1e-5, "%s: the loss is the twin's (%.7f, %.7f)", what,
	    loss, slow);
	int same = 1;
	for (size_t p = 0; p < n_part; p++) {
		double error = 0, size = 0;
		/* all of small parts, else every so many, in all rows and columns */
		size_t step_of = part[p].n > 80 ? part[p].n / CLAIM_SIZE(40, 8) | 1 : CLAIM_SIZE(1, 7);
		for (size_t i = part[p].from; i < part[p].from + part[p].n; i += step_of) {
			double at = exact[i], step = 1e-5;
			exact[i] = at + step;
			double up = twin_loss(&twin, b->x, EXAMPLES);
			exact[i] = at - step;
			double slope = (up - twin_loss(&twin, b->x, EXAMPLES)) / (2 * step);
			exact[i] = at;
			error += (slope - gradient[i]) * (slope - gradient[i]);
			size += slope * slope;
		}
		/* differences of 1e-5 in double are good to about 1e-10 */
		int holds = sqrt(error) <= 1e-4 * sqrt(size) + 1e-8 && (size > 0 || !with_prompts);
		if (!holds)
			printf("# %s: off by %g of %g\n", part[p].name, sqrt(error), sqrt(size));
		same &= holds;
	}
	claim(same, "%s: gradients of all %zu parts are those of finite differences", what, n_part);
	lm_fit_free(t);
	end(m);
	free(b);
	free(part);
	free(numbers);
	free(gradient);
	free(exact);
}

/* Rows enough for several tiles of attention, prompt's and text's: slopes along a direction through each part. */
static void
check_long(void)
{
	enum { N_PROMPT = 70, N_TEXT = 75 };
	struct lm_shape s = shape_of(1, 1, 1, 1, 1);
	s.n_place = 80;
	size_t n = lm_count(&s), n_part;
	float *numbers = numbers_of(&s, 5), *gradient = xcalloc(n, sizeof *gradient);
	double *exact = xcalloc(n, sizeof *exact);
	struct lm *m = lm_new(&s, numbers, NULL);
	struct lm_part *part = lm_parts(&s, &n_part);
	struct lm_fit_options o;
	struct lm_row row[N_PROMPT + N_TEXT];
	uint32_t target[N_TEXT];
	struct rng r = rng_at(8, 0);

	for (size_t i = 0; i < N_PROMPT + N_TEXT; i++) {
		size_t first = i < N_PROMPT ? 0 : N_PROMPT;
		row[i] = (struct lm_row){ .token = (uint32_t)rng_below(&r, s.n_vocab), .place = (uint32_t)(i - first),
			.source = first ? 0 : 1 };
		follow(&row[i], row + first, i - first);
	}
	for (size_t i = 0; i < N_TEXT; i++)
		target[i] = i % 4 ? (uint32_t)rng_below(&r, s.n_vocab) : LM_NONE;
	struct lm_example x = { .prompt = { .row = row, .n = N_PROMPT }, .row = row + N_PROMPT, .target = target, .n = N_TEXT };
	lm_fit_defaults(&o);
	o.n_thread = 1;
	struct lm_fit *t = lm_fit_new(m, numbers, &o);
	double loss = lm_fit_gradient(t, &x, 1, gradient);
	for (size_t i = 0; i < n; i++)
		exact[i] = numbers[i];
	struct twin twin = { &s, part, n_part, exact };
	double slow = twin_loss(&twin, &x, 1);
	int same = fabs(loss - slow) < 1e-5;
	for (size_t p = 0; p < n_part; p++) {
		double step = 1e-5, slope[2], here = 0, length = 0;
		for (size_t k = 0; k < 2; k++) {
			struct rng d = rng_at(9, p);
			here = length = 0;
			for (size_t i = part[p].from; i < part[p].from + part[p].n; i++) {
				double to = rng_normal(&d);
				exact[i] = numbers[i] + (k ? -step : step) * to;
				here += to * gradient[i];
				length += (double)gradient[i] * gradient[i];
			}
			slope[k] = twin_loss(&twin, &x, 1);
			for (size_t i = part[p].from; i < part[p].from + part[p].n; i++)
				exact[i] = numbers[i];
		}
		double there = (slope[0] - slope[1]) / (2 * step);
		if (fabs(here - there) > 1e-4 * sqrt(length) + 1e-8) {
			printf("# %s: %g for %g\n", part[p].name, here, there);
			same = 0;
		}
	}
	claim(same, "so they are for an example of %d rows", N_PROMPT + N_TEXT);
	lm_fit_free(t);
	end(m);
	free(part);
	free(numbers);
	free(gradient);
	free(exact);
}

/* Numbers after some steps, from the same start; the caller frees. */
static float *
fitted(const struct lm_shape *s, struct lm_fit_options o, size_t n_step, size_t n_piece, double *loss)
{
	float *numbers = numbers_of(s, 5);
	struct lm *m = lm_new(s, numbers, NULL);
	struct lm_fit *t = lm_fit_new(m, numbers, &o);
	struct fault f;
	size_t n_target;

	for (size_t i = 0; i < n_step; i++) {
		struct batch *b = batch_new(s, 1, 10 + i);
		*loss = lm_fit_step(t, b->x, EXAMPLES, n_piece, &n_target, &f);
		free(b);
	}
	lm_fit_free(t);
	end(m);
	return numbers;
}

static struct lm_fit_options
few_steps(double dropout, size_t n_thread)
{
	struct lm_fit_options o;

	lm_fit_defaults(&o);
	o.n_warm = 2;
	o.n_step = 9;
	o.dropout = dropout;
	o.n_thread = n_thread;
	return o;
}

static double
distance(const float *x, const float *y, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs((double)x[i] - y[i]));
	return most;
}

/* A batch of many strips: examples of b again and again. */
static void
check_threads(struct lm_shape s)
{
	enum { MANY = 60 };
	size_t n = lm_count(&s), n_target;
	struct lm_example x[MANY];
	struct batch *b = batch_new(&s, 1, 3);
	float *one = NULL;
	int same = 1;

	for (size_t i = 0; i < MANY; i++)
		x[i] = b->x[i % EXAMPLES];
	for (size_t n_thread = 1; n_thread <= 3; n_thread++) {
		float *numbers = numbers_of(&s, 5);
		struct lm *m = lm_new(&s, numbers, NULL);
		struct lm_fit_options o = few_steps(.1, n_thread);
		struct lm_fit *t = lm_fit_new(m, numbers, &o);
		struct fault f;
		for (size_t i = 0; i < 4; i++)
			same &= lm_fit_step(t, x, MANY, 1, &n_target, &f) > 0;
		lm_fit_free(t);
		end(m);
		same &= !one || memcmp(one, numbers, n * sizeof *one) == 0;
		if (one)
			free(numbers);
		else
			one = numbers;
	}
	claim(same, "one, two and three threads give the same bytes");
	free(one);
	free(b);
}

static void
check_pieces(struct lm_shape s)
{
	size_t n = lm_count(&s);
	double loss1, loss3;
	struct lm_fit_options o = few_steps(.2, 1);

	o.epsilon = 1e-3;       /* a gradient of rounding alone must not become a step of full length */
	float *one = fitted(&s, o, 3, 1, &loss1), *three = fitted(&s, o, 3, 3, &loss3);
	claim(distance(one, three, n) < 1e-5 && fabs(loss1 - loss3) < 1e-5, "one piece or three: the same step, with the same masks");
	o.seed = 2;
	float *other = fitted(&s, o, 3, 1, &loss3);
	claim(distance(one, other, n) > 1e-4, "another seed drops others");
	free(one);
	free(three);
	free(other);
}

static void
check_resume(struct lm_shape s, const char *folder)
{
	size_t n = lm_count(&s), n_target;
	struct lm_fit_options o = few_steps(.1, 2);
	double loss;
	float *whole = fitted(&s, o, 6, 1, &loss), *numbers = numbers_of(&s, 5);
	struct fault f = { 0 };
	char path[600], *place = NULL;

	snprintf(path, sizeof path, "%s/checkpoint", folder);
	struct lm *m = lm_new(&s, numbers, NULL);
	struct lm_fit *t = lm_fit_new(m, numbers, &o);
	for (size_t i = 0; i < 3; i++) {
		struct batch *b = batch_new(&s, 1, 10 + i);
		lm_fit_step(t, b->x, EXAMPLES, 1, &n_target, &f);
		free(b);
	}
	claim(lm_fit_save(t, path, "epoch 1, line 17", &f) == 0, "a checkpoint is written");
	lm_fit_free(t);
	memset(numbers, 0, n * sizeof *numbers);
	t = lm_fit_new(m, numbers, &o);
	int holds = lm_fit_load(t, path, &place, &f) == 0 && lm_fit_done(t) == 3;
	claim(holds && strcmp(place, "epoch 1, line 17") == 0, "it says where the run stood");
	for (size_t i = 3; i < 6; i++) {
		struct batch *b = batch_new(&s, 1, 10 + i);
		lm_fit_step(t, b->x, EXAMPLES, 1, &n_target, &f);
		free(b);
	}
	claim(memcmp(whole, numbers, n * sizeof *whole) == 0, "a run that goes on gives the bytes of one that was not stopped");
	lm_fit_free(t);
	end(m);
	free(place);
	free(numbers);

	s.dim = 16;
	numbers = numbers_of(&s, 5);
	m = lm_new(&s, numbers, NULL);
	t = lm_fit_new(m, numbers, &o);
	place = NULL;
	claim(lm_fit_load(t, path, &place, &f) < 0 && f.status == EX_DATAERR && !place && lm_fit_done(t) == 0,
	    "a checkpoint of another shape is refused: %s", f.text + strlen(folder));
	claim(lm_fit_load(t, "/nowhere", &place, &f) < 0 && f.status == EX_NOINPUT, "so is one that is not there");
	claim(lm_fit_save(t, "/nowhere/at/all", NULL, &f) < 0 && f.status != 0, "and where nothing can be written, that is said");
	lm_fit_free(t);
	end(m);
	free(numbers);
	free(whole);
	unlink(path);
}

static void
check_frozen(struct lm_shape s)
{
	size_t n_part, n_target, n_moved = 0, n_wrong = 0;
	struct lm_part *part = lm_parts(&s, &n_part);
	float *numbers = numbers_of(&s, 5), *start = numbers_of(&s, 5);
	struct lm *m = lm_new(&s, numbers, NULL);
	struct lm_fit_options o = few_steps(0, 1);
	uint8_t *frozen = xcalloc(n_part, 1);
	struct fault f;

	for (size_t i = 0; i < n_part; i++)
		frozen[i] = i % 3 == 0;
	o.frozen = frozen;
	struct lm_fit *t = lm_fit_new(m, numbers, &o);
	struct batch *b = batch_new(&s, 1, 3);
	lm_fit_step(t, b->x, EXAMPLES, 1, &n_target, &f);
	for (size_t i = 0; i < n_part; i++) {
		int moved = memcmp(numbers + part[i].from, start + part[i].from, part[i].n * sizeof *numbers) != 0;
		n_moved += moved;
		n_wrong += moved == frozen[i];
	}
	claim(n_wrong == 0 && n_moved > 0, "frozen parts stay, all others move (%zu of %zu)", n_moved, n_part);
	lm_fit_freeze(t, NULL);
	lm_fit_step(t, b->x, EXAMPLES, 1, &n_target, &f);
	for (size_t i = n_moved = 0; i < n_part; i++)
		n_moved += memcmp(numbers + part[i].from, start + part[i].from, part[i].n * sizeof *numbers) != 0;
	claim(n_moved == n_part, "and move once they are not frozen any more");

	memcpy(start, numbers, lm_count(&s) * sizeof *start);
	size_t n_done = lm_fit_done(t);
	b->given[1][2] = NAN;
	claim(lm_fit_step(t, b->x, EXAMPLES, 1, &n_target, &f) == -1 && f.status == EX_DATAERR, "a loss that is no number is said: %s",
	    f.text);
	claim(memcmp(start, numbers, lm_count(&s) * sizeof *start) == 0 && lm_fit_done(t) == n_done, "and nothing has moved");
	b->given[1][2] = 0;
	claim(lm_fit_step(t, b->x, EXAMPLES, 1, &n_target, &f) > 0 && lm_fit_done(t) == n_done + 1, "the next step is one again");
	for (size_t i = 0; i < TEXT; i++)
		b->target[0][i] = LM_NONE;
	claim(lm_fit_step(t, b->x, 1, 1, &n_target, &f) == 0 && n_target == 0, "a batch without targets is no step");
	lm_fit_free(t);
	end(m);
	free(b);
	free(frozen);
	free(part);
	free(numbers);
	free(start);
}

/* The text is the prompt's second part, word by word: new words each time, so that only copying helps. */
static void
check_copying(void)
{
	enum { N = 24, WORDS = 4 };
	struct lm_shape s = { .n_layer = 1, .n_head = 2, .dim = 32, .n_inner = 64, .n_place = 16, .n_vocab = 300, .n_source = 2,
		.two_way = 1, .copy = 1, .shift = 1 };
	float *numbers = xaligned(lm_count(&s), sizeof *numbers);
	struct lm_fit_options o;
	double loss = 0;
	size_t n_target, n_step = 150;
	struct fault f;

	lm_draw(&s, numbers, 1);
	lm_fit_defaults(&o);
	o.rate = 1e-2;
	o.n_warm = 10;
	o.n_step = n_step;
	o.dropout = 0;
	o.n_thread = 1;
	struct lm *m = lm_new(&s, numbers, NULL);
	struct lm_fit *t = lm_fit_new(m, numbers, &o);
	struct lm_row row[N][2 * WORDS + 2];
	uint32_t target[N][WORDS + 1];
	struct lm_example x[N];
	for (size_t step = 0; step < n_step; step++) {
		struct rng r = rng_at(4, step);
		for (size_t e = 0; e < N; e++) {
			for (size_t i = 0; i <= WORDS; i++) {   /* the last one ends prompt and text */
				uint32_t token = i < WORDS ? (uint32_t)(BPE_N_SPECIAL + rng_below(&r, s.n_vocab - BPE_N_SPECIAL)) : BPE_END;
				row[e][i] = (struct lm_row){ .token = token, .place = (uint32_t)i, .source = 1 };
				follow(&row[e][i], row[e], i);
				target[e][i] = token;
				struct lm_row *text = &row[e][WORDS + 1 + i];
				*text = (struct lm_row){ .token = i ? row[e][i - 1].token : BPE_BEGIN, .place = (uint32_t)(8 + i) };
				follow(text, &row[e][WORDS + 1], i);
			}
			x[e] = (struct lm_example){ .prompt = { .row = row[e], .n = WORDS + 1 }, .row = row[e] + WORDS + 1, .target = target[e],
				.n = WORDS + 1 };
		}
		loss = lm_fit_step(t, x, N, 1, &n_target, &f);
	}
	claim(loss >= 0 && loss < .05, "to copy a prompt of words never seen together is learnt: loss %.4f of ln 300 = 5.70", loss);
	lm_fit_free(t);
	end(m);
	free(numbers);
}

/* Everything that another program needs to find loss and gradients itself, one thing a line. */
static void
dump(struct lm_shape s, int with_prompts)
{
	const struct { const char *name; size_t n; } shape[] = { { "n_layer", s.n_layer }, { "n_head", s.n_head }, { "dim", s.dim },
		{ "n_source", s.n_source }, { "n_prefix", s.n_prefix }, { "two_way", (size_t)s.two_way }, { "copy", (size_t)s.copy },
		{ "shift", (size_t)s.shift } };
	size_t n = lm_count(&s), n_part;
	float *numbers = numbers_of(&s, 5), *gradient = xcalloc(n, sizeof *gradient);
	struct lm *m = lm_new(&s, numbers, NULL);
	struct lm_part *part = lm_parts(&s, &n_part);
	struct batch *b = batch_new(&s, with_prompts, 3);
	struct lm_fit_options o = few_steps(0, 1);
	struct lm_fit *t = lm_fit_new(m, numbers, &o);

	printf("loss %.9g\n", lm_fit_gradient(t, b->x, EXAMPLES, gradient));
	for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
		printf("shape %s %zu\n", shape[i].name, shape[i].n);
	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < n_part; i++) {
			printf("%s %s %zu %zu", k ? "slope" : "number", part[i].name, part[i].shape[0], part[i].n_dim > 1 ? part[i].shape[1] : 0);
			for (size_t j = 0; j < part[i].n; j++)
				printf(" %.9g", (k ? gradient : numbers)[part[i].from + j]);
			puts("");
		}
	for (size_t e = 0; e < EXAMPLES; e++) {
		const struct lm_example *x = &b->x[e];
		printf("given");
		for (size_t i = 0; i < s.n_given; i++)
			printf(" %.9g", x->prompt.given ? x->prompt.given[i] : 0);
		puts("");
		for (size_t i = 0; i < x->prompt.n + x->n; i++) {
			int text = i >= x->prompt.n;
			const struct lm_row *r = text ? &x->row[i - x->prompt.n] : &x->prompt.row[i];
			printf("%s %u %u %u %u %u %.9g", text ? "text" : "prompt", r->token, r->before, r->before2, r->place, r->source,
			    r->log_weight);
			printf(text ? " %u\n" : "\n", text ? x->target[i - x->prompt.n] : 0);
		}
		puts("end");
	}
	lm_fit_free(t);
	end(m);
	free(b);
	free(part);
	free(numbers);
	free(gradient);
}

/* lm_fit: the claims; lm_fit dump all|plain: a batch with its loss and gradients, for tests/lm-fit-torch.bats */
int
main(int argc, char **argv)
{
	char folder[SCRATCH];

	if (argc > 2) {
		int all = strcmp(argv[2], "all") == 0;
		dump(shape_of(all, all, all, all, all), all);
		return 0;
	}

	check_gradients("plain GPT-2", shape_of(0, 0, 0, 0, 0), 0);
	check_gradients("all parts", shape_of(1, 1, 1, 1, 1), 1);
	check_gradients("no copy head", shape_of(1, 1, 1, 0, 1), 1);
	check_gradients("no prefix", shape_of(0, 1, 1, 1, 1), 1);
	check_gradients("no sources, no shift", shape_of(1, 0, 0, 1, 1), 1);
	check_gradients("one way", shape_of(1, 1, 1, 1, 0), 1);
	check_long();
	check_threads(shape_of(1, 1, 1, 1, 1));
	check_pieces(shape_of(1, 1, 1, 1, 1));
	if (scratch_folder(folder) < 0)
		return 1;
	check_resume(shape_of(1, 1, 1, 1, 1), folder);
	rmdir(folder);
	check_frozen(shape_of(1, 1, 1, 1, 1));
	check_copying();
	return claim_n_failed > 0;
}
