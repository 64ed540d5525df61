/* The language model at work: step by step it gives what learning computes all at once, files come back as they were written,
   and texts obey their options. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"
#include "lm/bpe.h"
#include "lm/fit.h"
#include "lm/run.h"
#include "lm/run_inside.h"
#include "scratch.h"

enum { PROMPT = 9, TEXT = 7, VOCAB = 300 };

static struct lm_shape
shape_of(int prefix, int source, int shift, int copy, int two_way)
{
	struct lm_shape s = { .n_layer = 2, .n_head = 2, .dim = 16, .n_inner = 40, .n_place = 32, .n_vocab = VOCAB,
		.two_way = two_way, .copy = copy, .shift = shift };

	if (source)
		s.n_source = 3;
	if (prefix) {
		s.n_prefix = 3;
		s.n_given = 6;
		s.n_prefix_inner = 8;
	}
	return s;
}

struct world {
	struct lm_shape shape;
	float *numbers;
	struct lm *m;
	float given[6];
	struct lm_row prompt[PROMPT], text[TEXT];
	uint32_t target[TEXT];
	struct lm_example example;
};

static void
make(struct world *w, struct lm_shape s, uint64_t seed)
{
	struct rng r = rng_at(seed, 1);

	w->shape = s;
	w->numbers = xmalloc(lm_count(&s), sizeof *w->numbers);
	lm_draw(&s, w->numbers, seed);
	for (size_t i = 0; i < lm_count(&s); i++)
		w->numbers[i] += (float)(.1 * rng_normal(&r));
	w->m = lm_new(&s, w->numbers, NULL);
	for (size_t i = 0; i < 6; i++)
		w->given[i] = (float)rng_normal(&r);
	for (size_t i = 0; i < PROMPT; i++)
		w->prompt[i] = (struct lm_row){ .token = 5 + (uint32_t)rng_below(&r, 6), .before = i ? w->prompt[i - 1].token : LM_NONE,
			.before2 = i > 1 ? w->prompt[i - 2].token : LM_NONE, .place = (uint32_t)i, .source = s.n_source ? 1 + i / 5 : 0,
			.log_weight = i < 5 ? 0 : -1.5f };
	for (size_t i = 0; i < TEXT; i++) {
		w->text[i] = (struct lm_row){ .token = i ? w->target[i - 1] : BPE_BEGIN, .before = i ? w->text[i - 1].token : LM_NONE,
			.before2 = i > 1 ? w->text[i - 2].token : LM_NONE, .place = 20 + (uint32_t)i };
		w->target[i] = 5 + (uint32_t)rng_below(&r, 6);
	}
	w->example = (struct lm_example){ .prompt = { .given = w->given, .row = w->prompt, .n = PROMPT }, .row = w->text,
		.target = w->target, .n = TEXT };
}

static void
unmake(struct world *w)
{
	lm_free(w->m);
	free(w->numbers);
}

/* - sum ln p of the targets, step by step; slots of other texts move along with it. */
static double
loss_by_steps(const struct lm *m, const struct world *w, size_t n_thread, size_t n_beside)
{
	struct fault f;
	struct lm_run *r = lm_run_new(m, 1 + n_beside, 40, n_thread);
	size_t slot[8];
	struct lm_row row[8];
	float *log_p = xmalloc((1 + n_beside) * VOCAB, sizeof *log_p);
	double sum = 0;

	for (size_t i = 0; i <= n_beside; i++) {
		struct lm_prompt p = w->example.prompt;
		slot[i] = i;
		if (i > 0)
			p.n -= i;
		if (lm_run_prompt(r, i, &p, &f) < 0)
			claim(0, "a prompt is read: %s", f.text);
	}
	for (size_t t = 0; t < TEXT; t++) {
		for (size_t i = 0; i <= n_beside; i++)
			row[i] = w->text[i == 0 ? t : t / 2];
		if (lm_run_step(r, slot, row, 1 + n_beside, log_p, &f) < 0)
			claim(0, "a step is taken: %s", f.text);
		double whole = 0;
		for (size_t v = 0; v < VOCAB; v++)
			whole += exp(log_p[v]);
		if (fabs(whole - 1) > 1e-4)
			claim(0, "probabilities sum to 1, got %g", whole);
		sum -= log_p[w->target[t]];
	}
	free(log_p);
	lm_run_free(r);
	return sum;
}

static double
loss_at_once(struct world *w)
{
	struct lm_fit_options o;
	size_t n;

	lm_fit_defaults(&o);
	o.n_thread = 1;
	struct lm_fit *t = lm_fit_new(w->m, w->numbers, &o);
	double loss = lm_fit_loss(t, &w->example, 1, &n);
	lm_fit_free(t);
	return loss;
}

static void
check_steps(const char *what, struct lm_shape s)
{
	struct world w;

	for (uint64_t seed = 1; seed <= 3; seed++) {
		make(&w, s, seed);
		double once = loss_at_once(&w), steps = loss_by_steps(w.m, &w, 1, 0);
		claim(fabs(once - steps) < 1e-4 * fabs(once), "%s: steps give what learning computes at once: %.6f, %.6f", what, steps, once);
		claim(loss_by_steps(w.m, &w, 3, 0) == steps, "%s: the same from three threads", what);
		for (size_t n = 1; n <= 7; n += 2)
			claim(loss_by_steps(w.m, &w, 2, n) == steps, "%s: %zu texts beside it change not a bit", what, n);
		unmake(&w);
	}
}

static int
same_shape(const struct lm_shape *a, const struct lm_shape *b)
{
	return a->n_layer == b->n_layer && a->n_head == b->n_head && a->dim == b->dim && a->n_inner == b->n_inner &&
	    a->n_place == b->n_place && a->n_vocab == b->n_vocab && a->n_source == b->n_source && a->n_prefix == b->n_prefix &&
	    a->n_given == b->n_given && a->n_prefix_inner == b->n_prefix_inner && a->two_way == b->two_way && a->copy == b->copy &&
	    a->shift == b->shift;
}

static void
check_file(void)
{
	static const char *const meta[] = { "space", "abc", NULL };
	static const double within[] = { [LM_F32] = 1e-5, [LM_BF16] = .02, [LM_I8] = .03 };
	char path[SCRATCH];
	struct world w;
	struct fault f;

	if (!claim(scratch_file(path) == 0, "there is a file to write to"))
		return;
	make(&w, shape_of(1, 1, 1, 1, 1), 7);
	double right = loss_by_steps(w.m, &w, 1, 0);
	for (enum lm_type type = LM_F32; type <= LM_I8; type++) {
		claim(lm_write(w.m, path, type, meta, (struct span){ NULL, 0 }, &f) == 0, "type %d is written", type);
		struct lm *m = lm_open(path, &f);
		if (!claim(m != NULL, "type %d is opened", type)) {
			puts(f.text);
			continue;
		}
		claim(same_shape(&m->shape, &w.m->shape), "type %d: the shape is what it was", type);
		claim(strcmp(lm_meta(m, "space"), "abc") == 0, "type %d: metadata come back", type);
		double loss = loss_by_steps(m, &w, 2, 1);
		claim(fabs(loss - right) <= within[type] * right, "type %d: the same probabilities: %.5f, %.5f", type, loss, right);
		lm_free(m);
	}
	claim(truncate(path, 1000) == 0 && !lm_open(path, &f), "a file that is cut is refused: %s", f.text);
	unlink(path);
	unmake(&w);
}

/* Products of every type and shape against sums in double, and each row against itself alone. */
static void
check_products(void)
{
	static const size_t size[][2] = { { 5, 3 }, { 64, 48 }, { 203, 37 }, { 450, 1100 }, { 770, 70 } };
	static const size_t n_rows[] = { 1, 2, 4, 5, 8, 9, 16, 17, 32, 40 };
	enum { ROWS = 40 };
	struct rng rng = rng_at(3, 1);

	for (size_t k = 0; k < sizeof size / sizeof size[0]; k++)
		for (enum lm_type type = LM_F32; type <= LM_I8; type++) {
			size_t n_in = size[k][0], n_out = size[k][1], n = n_in * n_out;
			float *w = xmalloc(n, sizeof *w), *x = xmalloc(ROWS * n_in, sizeof *x), *b = xmalloc(n_out, sizeof *b);
			float *y = xmalloc(ROWS * n_out, sizeof *y), *alone = xmalloc(ROWS * n_out, sizeof *alone);
			float *scale = xmalloc(n_out, sizeof *scale);
			uint16_t *half = xmalloc(n, sizeof *half);
			int8_t *whole = xmalloc(n, sizeof *whole);
			for (size_t i = 0; i < n; i++) {
				/* numbers that every type has: whole ones in sixteenths */
				whole[i] = (int8_t)(rng_below(&rng, 255) - 127);
				w[i] = (float)whole[i] / 16;
				uint32_t bits;
				memcpy(&bits, &w[i], sizeof bits);
				half[i] = (uint16_t)(bits >> 16);
			}
			for (size_t i = 0; i < ROWS * n_in; i++)
				x[i] = (float)rng_normal(&rng);
			for (size_t o = 0; o < n_out; o++) {
				b[o] = (float)rng_normal(&rng);
				scale[o] = 1. / 16;
			}
			/* float32 and bfloat16 lie by input, int8 by output; a table by output whatever its type */
			struct lm_affine a = { .b = b, .w = { .type = type, .n_in = n_in, .n_out = n_out, .scale = scale,
				.at = type == LM_I8 ? (void *)whole : type == LM_BF16 ? (void *)half : (void *)w } };
			struct lm table = { .wte = a.w };
			int near = 1, same = 1;
			struct lm_work work = { .n_thread = 1 }, three = { .n_thread = 3 };
			for (int form = 0; form < 4; form++) {
				int is_table = form == 3, by_output = is_table || type == LM_I8;
				for (size_t r = 0; r < ROWS; r++) {
					float *to = alone + r * n_out;
					for (size_t o = 0; o < n_out; o++)
						to[o] = 1;
					if (is_table)
						lm_logits(&table, x + r * n_in, 1, to, &work);
					else
						lm_apply(&a, x + r * n_in, 1, (enum lm_after)form, to, &work);
					for (size_t o = 0; o < n_out; o++) {
						double sum = is_table ? 0 : b[o];
						for (size_t i = 0; i < n_in; i++)
							sum += (double)x[r * n_in + i] * w[by_output ? o * n_in + i : i * n_out + o];
						if (form == LM_ADD)
							sum += 1;
						if (form == LM_GELU)
							sum *= .5 * (1 + tanh(sqrt(2 / M_PI) * (sum + .044715 * sum * sum * sum)));
						near &= fabs(to[o] - sum) < (type == LM_I8 ? .1 : 1e-3);
					}
				}
				for (size_t i = 0; i < sizeof n_rows / sizeof n_rows[0]; i++) {
					for (size_t o = 0; o < n_rows[i] * n_out; o++)
						y[o] = 1;
					if (is_table)
						lm_logits(&table, x, n_rows[i], y, &three);
					else
						lm_apply(&a, x, n_rows[i], (enum lm_after)form, y, &three);
					if (n_rows[i] <= LM_FEW)
						same &= memcmp(y, alone, n_rows[i] * n_out * sizeof *y) == 0;
					for (size_t o = 0; o < n_rows[i] * n_out; o++)
						near &= fabsf(y[o] - alone[o]) < (type == LM_I8 ? .1f : 1e-3f);
				}
			}
			claim(near, "products with %zu x %zu numbers of type %d are right", n_in, n_out, type);
			claim(same, "and each row has the bits that it has alone, whatever the threads");
			lm_work_free(&work);
			lm_work_free(&three);
			free(w);
			free(x);
			free(b);
			free(y);
			free(alone);
			free(scale);
			free(half);
			free(whole);
		}
}

static void
check_bad(void)
{
	struct world w;
	struct fault f;
	float log_p[VOCAB];
	size_t slot = 0;

	make(&w, shape_of(1, 1, 1, 1, 1), 3);
	struct lm_run *r = lm_run_new(w.m, 1, 14, 1);
	struct lm_prompt p = w.example.prompt;
	w.prompt[2].token = VOCAB;
	claim(lm_run_prompt(r, 0, &p, &f) < 0 && strstr(f.text, "token 300"), "a token that is not there: %s", f.text);
	w.prompt[2].token = 5;
	w.prompt[2].place = 32;
	claim(lm_run_prompt(r, 0, &p, &f) < 0 && strstr(f.text, "place 32"), "a place that is not there: %s", f.text);
	w.prompt[2].place = 2;
	w.prompt[2].source = 3;
	claim(lm_run_prompt(r, 0, &p, &f) < 0 && strstr(f.text, "source 3"), "a source that is not there: %s", f.text);
	w.prompt[2].source = 1;
	claim(lm_run_step(r, &slot, w.text, 1, log_p, &f) < 0, "no step without a prompt: %s", f.text);
	claim(lm_run_prompt(r, 0, &p, &f) == 0, "a prompt of 3 + 9 rows fits into 14");
	claim(lm_run_step(r, &slot, w.text, 1, log_p, &f) == 0 && lm_run_step(r, &slot, w.text + 1, 1, log_p, &f) == 0 &&
	    lm_run_step(r, &slot, w.text + 2, 1, log_p, &f) < 0, "and two rows of text, no third: %s", f.text);
	lm_run_free(r);
	r = lm_run_new(w.m, 1, 8, 1);
	claim(lm_run_prompt(r, 0, &p, &f) < 0, "a prompt that is too long: %s", f.text);
	lm_run_free(r);
	unmake(&w);
}

/* -- texts -- */

/* Words in common in the same order: of all choices of words of a, the largest that b has too. */
static size_t
in_order_twin(const struct lm_text *a, const struct lm_text *b)
{
	size_t most = 0;

	for (uint32_t chosen = 0; chosen < 1u << a->n; chosen++) {
		size_t n = 0, n_found = 0, from = 0;
		for (size_t k = 0; k < a->n; k++)
			if (chosen >> k & 1) {
				n++;
				while (from < b->n && b->token[from] != a->token[k])
					from++;
				n_found += from < b->n;
				from += from < b->n;
			}
		most = n_found == n && n > most ? n : most;
	}
	return most;
}

/* Expected agreement of text i, word by word. */
static double
agreement_twin(const struct lm_text *text, const double *worth, size_t n, size_t i)
{
	double sum = 0;

	for (size_t j = 0; j < n; j++) {
		size_t n_same = 0;
		for (uint32_t v = 0; v < 6; v++) {
			size_t a = 0, b = 0;
			for (size_t k = 0; k < text[i].n; k++)
				a += text[i].token[k] == v;
			for (size_t k = 0; k < text[j].n; k++)
				b += text[j].token[k] == v;
			n_same += a < b ? a : b;
		}
		n_same += in_order_twin(&text[i], &text[j]);
		sum += exp(worth[j]) * (text[i].n + text[j].n ? (double)n_same / (double)(text[i].n + text[j].n) : 1);
	}
	return sum;
}

static void
test_consensus(void)
{
	uint32_t token[10][6];
	struct lm_text text[10];
	double worth[10];
	size_t n_wrong = 0, n_likeliest = 0;
	struct rng r = rng_at(3, 1);

	for (size_t round = 0; round < 500; round++) {
		size_t n = 1 + (size_t)(rng_uniform(&r) * 10), likeliest = 0;
		for (size_t i = 0; i < n; i++) {
			text[i] = (struct lm_text){ .token = token[i], .n = (size_t)(rng_uniform(&r) * 6.9) };
			for (size_t k = 0; k < text[i].n; k++)
				token[i][k] = (uint32_t)(rng_uniform(&r) * 6);
			worth[i] = -3 * rng_uniform(&r);
			likeliest = worth[i] > worth[likeliest] ? i : likeliest;
		}
		size_t got = lm_consensus(NULL, text, worth, n);
		n_likeliest += got == likeliest;
		for (size_t i = 0; i < n; i++)
			n_wrong += agreement_twin(text, worth, n, i) > agreement_twin(text, worth, n, got) * (1 + 1e-12);
	}
	claim(n_wrong == 0 && n_likeliest < 450, "a consensus agrees best, counted word by word: of 500, %zu are the likeliest text", n_likeliest);

	/* worths of any height, a text that is impossible, and one alone */
	worth[0] = -1e6, worth[1] = -INFINITY, worth[2] = -1e6 - 1;
	for (size_t i = 0; i < 3; i++) {
		text[i] = (struct lm_text){ .token = token[i], .n = 1 };
		token[i][0] = (uint32_t)i;
	}
	claim(lm_consensus(NULL, text, worth, 3) == 0 && lm_consensus(NULL, text + 1, worth + 1, 1) == 0, "and is the likeliest where none agree");
}

static struct lm_text
text_of(struct lm_run *r, const struct world *w, const struct lm_options *o)
{
	struct lm_text t = { 0 };
	struct fault f;

	if (lm_generate(r, &w->example.prompt, o, 1, &t, &f) < 0)
		claim(0, "a text is written: %s", f.text);
	return t;
}

static int
same(const struct lm_text *a, const uint32_t *token, size_t n)
{
	return a->n == n && memcmp(a->token, token, n * sizeof *token) == 0;
}

/* What is drawn has the probabilities it should have: of first tokens, over many streams. */
static void
check_draws(struct lm_run *r, const struct world *w)
{
	enum { N = 3000 };
	static struct lm_prompt prompt[N];
	static struct lm_options o[N];
	static struct lm_text text[N];
	size_t slot = 0, count[VOCAB];
	float log_p[VOCAB];
	struct fault f;
	struct lm_row row = { .token = BPE_BEGIN, .before = LM_NONE, .before2 = LM_NONE, .place = 20 };

	lm_run_prompt(r, 0, &w->example.prompt, &f);
	lm_run_step(r, &slot, &row, 1, log_p, &f);
	/* of what may begin a text, likeliest first */
	uint32_t order[VOCAB], n_order = 0;
	for (uint32_t v = BPE_N_SPECIAL; v < VOCAB; v++) {
		uint32_t at = n_order++;
		for (; at > 0 && log_p[order[at - 1]] < log_p[v]; at--)
			order[at] = order[at - 1];
		order[at] = v;
	}
	for (int kind = 0; kind < 3; kind++) {
		double sum = 0, all = 0;
		size_t n_may = 0;
		for (size_t i = 0; i < n_order; i++)
			all += exp(2 * (double)log_p[order[i]]);
		/* at temperature .5: all of them, the best five, the fewest that hold nine tenths */
		while (n_may < n_order && (kind == 0 || (kind == 1 ? n_may < 5 : sum < .9 * all)))
			sum += exp(2 * (double)log_p[order[n_may++]]);
		for (size_t i = 0; i < N; i++) {
			prompt[i] = w->example.prompt;
			lm_options_default(&o[i]);
			o[i].first = BPE_BEGIN;
			o[i].place = 20;
			o[i].n_token = o[i].n_token_min = 1;
			o[i].temperature = .5;
			o[i].top_k = kind == 1 ? 5 : 0;
			o[i].top_p = kind == 2 ? .9 : 1;
			o[i].stream = i;
		}
		memset(count, 0, sizeof count);
		int good = lm_generate(r, prompt, o, N, text, &f) == 0;
		for (size_t i = 0; good && i < N; i++)
			good = text[i].n == 1 && ++count[text[i].token[0]];
		double worst = 0;
		for (size_t i = 0; i < n_order; i++) {
			double p = i < n_may ? exp(2 * (double)log_p[order[i]]) / sum : 0, sd = sqrt(p * (1 - p) / N);
			double off = fabs((double)count[order[i]] / N - p);
			if (p == 0 || p * N > 10)       /* rarer ones are as they come */
				worst = fmax(worst, sd > 0 ? off / sd : off > 0 ? 99 : 0);
		}
		claim(good && worst < 4.5, "kind %d of drawing: %zu tokens as often as they should be, within %.1f deviations", kind, n_may, worst);
	}
}

static void
check_texts(void)
{
	struct world w;
	struct lm_options o;
	uint32_t greedy[12], drawn[12];
	size_t n_greedy = 0, n_drawn, slot = 0;
	struct fault f;
	float log_p[VOCAB];

	make(&w, shape_of(1, 1, 1, 1, 1), 11);
	struct lm_run *r = lm_run_new(w.m, 16, 40, 1);
	lm_options_default(&o);
	o.first = BPE_BEGIN;
	o.place = 20;
	o.n_token = 8;
	o.n_token_min = 8;              /* so that none is empty */

	/* greedy by hand */
	lm_run_prompt(r, 0, &w.example.prompt, &f);
	struct lm_row row = { .token = BPE_BEGIN, .before = LM_NONE, .before2 = LM_NONE, .place = 20 };
	double sum = 0;
	while (n_greedy < 8 && lm_run_step(r, &slot, &row, 1, log_p, &f) == 0) {
		uint32_t best = BPE_END + 1;
		for (uint32_t v = best; v < VOCAB; v++)
			if (log_p[v] > log_p[best])
				best = v;
		greedy[n_greedy++] = best;
		sum += log_p[best];
		row = (struct lm_row){ .token = best, .before = row.token, .before2 = row.before, .place = row.place + 1 };
	}
	struct lm_text t = text_of(r, &w, &o);
	claim(same(&t, greedy, n_greedy), "greedy takes the most probable token each time");
	claim(fabs(t.log_p - sum) < 1e-5 && !t.ended, "and tells their log probability, and that the text was cut");
	o.temperature = 1;
	o.top_k = 1;
	t = text_of(r, &w, &o);
	claim(same(&t, greedy, n_greedy), "drawing from the best token is greedy");
	o.top_k = 0;
	o.top_p = 1e-9;
	t = text_of(r, &w, &o);
	claim(same(&t, greedy, n_greedy), "and so is drawing from the fewest that hold next to nothing");
	o.top_p = 1;
	o.seed = 5;
	t = text_of(r, &w, &o);
	n_drawn = t.n;
	memcpy(drawn, t.token, t.n * sizeof *drawn);
	t = text_of(r, &w, &o);
	claim(same(&t, drawn, n_drawn), "the same seed draws the same text");
	o.stream = 1;
	t = text_of(r, &w, &o);
	claim(!same(&t, drawn, n_drawn), "another stream draws another");
	o.temperature = 0;
	o.n_beam = 4;
	o.length_power = 0;
	t = text_of(r, &w, &o);
	claim(t.log_p >= sum - 1e-6, "four beams find a text at least as probable as greedy: %.4f, %.4f", t.log_p, sum);
	double beam_log_p = t.log_p;

	/* what beams say of their text is what it has, read once more */
	memcpy(drawn, t.token, t.n * sizeof *drawn);
	n_drawn = t.n;
	lm_run_prompt(r, 0, &w.example.prompt, &f);
	row = (struct lm_row){ .token = BPE_BEGIN, .before = LM_NONE, .before2 = LM_NONE, .place = 20 };
	sum = 0;
	for (size_t i = 0; i < n_drawn; i++) {
		lm_run_step(r, &slot, &row, 1, log_p, &f);
		sum += log_p[drawn[i]];
		row = (struct lm_row){ .token = drawn[i], .before = row.token, .before2 = row.before, .place = row.place + 1 };
	}
	claim(fabs(sum - beam_log_p) < 1e-4, "a beam's log probability is that of its text: %.5f, %.5f", beam_log_p, sum);

	/* many at once */
	struct lm_prompt prompts[7];
	struct lm_options each[7];
	struct lm_text texts[7];
	for (size_t i = 0; i < 7; i++) {
		prompts[i] = w.example.prompt;
		prompts[i].n -= i;
		each[i] = o;
		each[i].n_beam = i % 3 ? 1 : 4;
	}
	claim(lm_generate(r, prompts, each, 7, texts, &f) == 0 && same(&texts[0], drawn, n_drawn),
	    "a text is what it is whatever is written beside it");
	/* a consensus is one of what beams end, and stands beside others as it stands alone */
	o.n_consensus = 12;
	t = text_of(r, &w, &o);
	n_drawn = t.n;
	memcpy(drawn, t.token, t.n * sizeof *drawn);
	for (size_t i = 0; i < 7; i++)
		each[i].n_consensus = i % 3 ? 0 : 12;
	claim(lm_generate(r, prompts, each, 7, texts, &f) == 0 && same(&texts[0], drawn, n_drawn) && texts[0].log_p <= beam_log_p + 1e-6,
	    "a consensus of beams, alone and beside others: log p %.4f, the likeliest has %.4f", t.log_p, beam_log_p);
	o.n_consensus = 0;
	test_consensus();
	for (size_t i = 0; i < 7; i++) {
		prompts[i] = w.example.prompt;
		each[i].n_beam = 1;
		each[i].n_consensus = 0;
		each[i].temperature = 1;
		each[i].stream = i;
		each[i].n_consensus = 0;
	}
	uint32_t alone[7][8];
	size_t n_alone[7];
	for (size_t i = 0; i < 7; i++) {
		t = text_of(r, &w, &each[i]);
		memcpy(alone[i], t.token, t.n * sizeof *t.token);
		n_alone[i] = t.n;
	}
	int all_same = lm_generate(r, prompts, each, 7, texts, &f) == 0;
	for (size_t i = 0; i < 7; i++)
		all_same &= same(&texts[i], alone[i], n_alone[i]);
	claim(all_same, "texts for a prompt that is read once are those of one that is read for each");
	o.n_token_min = 1;
	o.n_best = 3;
	o.end = greedy[1];
	int in_order = lm_generate(r, prompts, &o, 1, texts, &f) == 0;
	for (size_t i = 1; i < 3; i++)
		in_order &= texts[i].n > 0 && texts[i].log_p <= texts[i - 1].log_p && !same(&texts[i], texts[i - 1].token, texts[i - 1].n);
	sum = texts[0].log_p;
	o.n_best = 1;
	t = text_of(r, &w, &o);
	claim(in_order && fabs(t.log_p - sum) < 1e-12, "the best three of four beams differ, best first, and begin with the best");
	o.n_token_min = 8;
	o.end = BPE_END;
	check_draws(r, &w);
	/* with so little room that each waits for another to end: 7 texts of 1 to 7 tokens, drawn or by beams */
	uint32_t wide[7][8];
	size_t n_wide[7];
	for (size_t i = 0; i < 7; i++) {
		prompts[i].n = w.example.prompt.n - i;
		each[i].n_token = 7 - i;
		each[i].n_token_min = 0;
		each[i].n_beam = i % 3 ? 1 : 2;
		each[i].temperature = i % 3 ? .7 : 0;
		each[i].stream = i;
	}
	all_same = lm_generate(r, prompts, each, 7, texts, &f) == 0;
	for (size_t i = 0; i < 7; i++) {
		n_wide[i] = texts[i].n;
		memcpy(wide[i], texts[i].token, texts[i].n * sizeof *wide[i]);
	}
	struct lm_run *narrow = lm_run_new(w.m, 5, 40, 2);
	all_same &= lm_generate(narrow, prompts, each, 7, texts, &f) == 0;
	for (size_t i = 0; i < 7; i++)
		all_same &= same(&texts[i], wide[i], n_wide[i]);
	claim(all_same, "texts that wait for room are what they are with room for all");
	for (size_t i = 0; i < 7; i++) {
		struct lm_text lone;
		all_same &= lm_generate(narrow, &prompts[i], &each[i], 1, &lone, &f) == 0 && same(&lone, wide[i], n_wide[i]);
	}
	claim(all_same, "and what they are alone");
	lm_run_free(narrow);
	o.n_beam = 9;
	claim(lm_generate(r, prompts, &o, 1, texts, &f) < 0, "more beams than there is room for: %s", f.text);
	o.n_beam = 1;

	uint8_t allowed[VOCAB] = { 0 };
	allowed[290] = 1;
	o.allowed = allowed;
	t = text_of(r, &w, &o);
	int all_seen = t.n == 8;
	for (size_t i = 0; i < t.n; i++) {
		int seen = t.token[i] == 290;
		for (size_t j = 0; j < PROMPT; j++)
			seen |= w.prompt[j].token == t.token[i];
		all_seen &= seen;
	}
	claim(all_seen, "only what is allowed or was read is written");
	o.no_repeat = 1;
	t = text_of(r, &w, &o);
	int once = 1;
	for (size_t i = 0; i < t.n; i++)
		for (size_t j = 0; j < i; j++)
			once &= t.token[i] != t.token[j];
	claim(once && t.n > 0, "no token twice");
	o.n_token_min = 0;
	o.allowed = NULL;
	o.no_repeat = 0;
	o.end = greedy[0];
	t = text_of(r, &w, &o);
	claim(t.n == 0 && t.ended, "the end token ends a text, and is no part of it");
	lm_run_free(r);
	unmake(&w);
}

/* Every tensor of a file in turn is left out or is of another size. */
static void
check_damage(void)
{
	char path[SCRATCH];
	struct world w;
	struct fault f;
	size_t n;

	if (!claim(scratch_file(path) == 0, "there is a file to write to"))
		return;
	make(&w, shape_of(1, 1, 1, 1, 1), 5);
	struct lm_part *part = lm_parts(&w.shape, &n);
	for (size_t bad = 0; bad < 2 * n; bad++) {
		/* the parts that a model may lack are known by these */
		int marks = strcmp(part[bad / 2].name, "wse.weight") == 0 || strcmp(part[bad / 2].name, "shift.weight") == 0 ||
		    strcmp(part[bad / 2].name, "copy.gate") == 0 || strcmp(part[bad / 2].name, "h.1.ln_1.weight") == 0;
		if (bad % 2 == 0 && marks)
			continue;
		struct tensor_writer *t = tensor_create(path, "decoder", &f);
		if (!claim(t != NULL, "a file is begun"))
			break;
		tensor_set_meta(t, "n_head", "2");
		tensor_set_meta(t, "n_prefix", "3");
		tensor_set_meta(t, "n_given", "6");
		tensor_set_meta(t, "n_prefix_inner", "8");
		for (int put = 0; put < 2; put++)
			for (size_t i = 0; i < n; i++) {
				size_t shape[2] = { part[i].shape[0], part[i].shape[1] }, n_byte = part[i].n * sizeof(float);
				if (i == bad / 2 && bad % 2 == 0)
					continue;
				if (i == bad / 2) {
					n_byte -= n_byte / shape[0];
					shape[0]--;
				}
				if (put)
					tensor_put(t, w.numbers + part[i].from, n_byte, &f);
				else
					tensor_declare(t, part[i].name, TENSOR_F32, part[i].n_dim, shape);
			}
		/* fewer tokens, places or sources are another shape, and a good one */
		int fits = strcmp(part[bad / 2].name, "wte.weight") == 0 || strcmp(part[bad / 2].name, "wpe.weight") == 0 ||
		    strcmp(part[bad / 2].name, "wse.weight") == 0;
		int written = tensor_commit(t, &f) == 0;
		f.text[0] = '\0';
		struct lm *m = lm_open(path, &f);
		if (bad % 2 && fits)
			claim(written && m, "%s of one row less is another model", part[bad / 2].name);
		else
			claim(written && !m && f.status == EX_DATAERR && strstr(f.text, path) && strstr(f.text, part[bad / 2].name),
			    "%s %s is told: %s", part[bad / 2].name, bad % 2 ? "of another size" : "left out", f.text);
		lm_free(m);
	}
	free(part);
	unlink(path);
	unmake(&w);
}

/* FILE TOKEN...: log probabilities of what follows each token, one line each, read step by step and then as one prompt. */
static int
print_log_p(int argc, char *argv[])
{
	struct fault f;
	struct lm *m = lm_open(argv[1], &f);
	size_t n = (size_t)argc - 2, slot = 0;

	if (!m) {
		fprintf(stderr, "lm: %s\n", f.text);
		return f.status;
	}
	struct lm_row *row = xcalloc(n, sizeof *row);
	float *log_p = xmalloc(m->shape.n_vocab, sizeof *log_p);
	struct lm_run *r = lm_run_new(m, 1, n, 1);
	struct lm_prompt p = { .row = row, .n = 1 };
	int bad = 0;
	for (size_t i = 0; i < n; i++)
		row[i] = (struct lm_row){ .token = (uint32_t)strtoul(argv[i + 2], NULL, 10), .before = LM_NONE, .before2 = LM_NONE,
			.place = (uint32_t)i };
	for (size_t i = 0; i <= n && !bad; i++) {
		p.n = i == n ? n : 1;
		bad = i == 0 || i == n ? lm_run_prompt(r, 0, &p, &f) : lm_run_step(r, &slot, row + i, 1, log_p, &f);
		if (!bad && (i == 0 || i == n))
			lm_run_last(r, 0, log_p);
		for (size_t v = 0; v < m->shape.n_vocab && !bad; v++)
			printf("%.6f%c", log_p[v], v + 1 == m->shape.n_vocab ? '\n' : ' ');
	}
	if (bad)
		fprintf(stderr, "lm: %s\n", f.text);
	lm_run_free(r);
	free(log_p);
	free(row);
	lm_free(m);
	return bad ? f.status : 0;
}

int
main(int argc, char *argv[])
{
	if (argc > 2)
		return print_log_p(argc, argv);
	check_steps("plain GPT-2", shape_of(0, 0, 0, 0, 0));
	check_steps("all parts", shape_of(1, 1, 1, 1, 1));
	check_steps("no copy head", shape_of(1, 1, 1, 0, 1));
	check_steps("no prefix", shape_of(0, 1, 1, 1, 1));
	check_steps("one way", shape_of(1, 1, 1, 1, 0));
	check_file();
	check_products();
	check_bad();
	check_damage();
	check_texts();
	return claim_n_failed > 0;
}
