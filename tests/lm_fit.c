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
	double *f = xcalloc(s->n_inner + s->n_given + s->n_prefix_inner + n + s->n_vocab + 8 * dim, sizeof *f), *w = xcalloc(n, sizeof *w);
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
		size_t step_of = part[p].n > 80 ? part[p].n / 40 | 1 : 1;
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

int
main(void)
{
	check_gradients("plain GPT-2", shape_of(0, 0, 0, 0, 0), 0);
	check_gradients("all parts", shape_of(1, 1, 1, 1, 1), 1);
	check_gradients("no copy head", shape_of(1, 1, 1, 0, 1), 1);
	check_gradients("no prefix", shape_of(0, 1, 1, 1, 1), 1);
	check_gradients("no sources, no shift", shape_of(1, 0, 0, 1, 1), 1);
	check_gradients("one way", shape_of(1, 1, 1, 1, 0), 1);
	return claim_n_failed > 0;
}
