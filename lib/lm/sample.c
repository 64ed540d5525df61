/* Texts: the most probable by beams or one token after the other, or drawn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "lm/run_inside.h"

void
lm_options_default(struct lm_options *o)
{
	*o = (struct lm_options){ .n_token = 64, .n_beam = 1, .length_power = 1, .top_p = 1, .repetition = 1, .first = LM_NONE,
		.end = BPE_END };
}

struct beam {
	uint32_t *token;                /* [n_token] */
	size_t n;
	double log_p;
};

struct writing {                        /* one text at work */
	const struct lm_prompt *prompt;
	const struct lm_options *o;
	struct lm_text *out;
	size_t slot;                    /* first of its own: n_beam, and with beams as many again to reorder into */
	size_t turn;                    /* which half holds the beams */
	struct beam *beam, *next;       /* [n_beam] */
	size_t n_beam;                  /* alive */
	struct beam best;               /* of those that ended */
	int has_best, is_done;
	uint8_t *in_prompt;             /* [n_vocab] with allowed, else NULL */
	struct rng rng;
};

static double
worth(const struct lm_options *o, double log_p, size_t n)
{
	return log_p / pow((double)(n > 0 ? n : 1), o->length_power);
}

static void
beam_set(struct beam *to, const struct beam *from, size_t n_max)
{
	if (!to->token)
		to->token = xmalloc(n_max + 1, sizeof *to->token);
	if (from->n > 0)
		memcpy(to->token, from->token, from->n * sizeof *to->token);
	to->n = from->n;
	to->log_p = from->log_p;
}

/* -- what may follow -- */

static int
would_repeat(const struct beam *b, size_t n, uint32_t token)
{
	if (n == 0 || b->n + 1 < n)
		return 0;
	const uint32_t *last = b->token + b->n - (n - 1);
	for (size_t i = 0; i + n <= b->n; i++)
		if (memcmp(b->token + i, last, (n - 1) * sizeof *last) == 0 && b->token[i + n - 1] == token)
			return 1;
	return 0;
}

static void
restrict_next(const struct writing *w, const struct beam *b, size_t n_vocab, const struct bpe *bpe, float *log_p)
{
	const struct lm_options *o = w->o;

	for (uint32_t v = 0; v < n_vocab; v++) {
		if (v == o->end) {
			if (b->n < o->n_token_min)
				log_p[v] = -INFINITY;
		} else if ((bpe && bpe_is_special(bpe, v)) || (o->allowed && !o->allowed[v] && !w->in_prompt[v]))
			log_p[v] = -INFINITY;
		if (isnan(log_p[v]))
			log_p[v] = -INFINITY;
	}
	if (o->repetition != 1)
		for (size_t i = 0; i < b->n; i++) {
			uint32_t v = b->token[i];
			size_t first = 0;
			while (b->token[first] != v)
				first++;
			if (first == i)         /* once for each token */
				log_p[v] *= (float)o->repetition;
		}
	if (o->no_repeat > 0)
		for (size_t i = 0; i + o->no_repeat <= b->n; i++) {
			uint32_t v = b->token[i + o->no_repeat - 1];
			if (would_repeat(b, o->no_repeat, v))
				log_p[v] = -INFINITY;
		}
}

struct choice {
	uint32_t token;
	size_t beam;
	double log_p;
};

/* The n best of log_p, best first, ties to the lower token. */
static size_t
best_of(const float *log_p, size_t n_vocab, size_t n, struct choice *out)
{
	size_t n_out = 0;

	for (uint32_t v = 0; v < n_vocab; v++) {
		if (log_p[v] == -INFINITY || (n_out == n && log_p[v] <= out[n - 1].log_p))
			continue;
		size_t at = n_out < n ? n_out++ : n - 1;
		for (; at > 0 && out[at - 1].log_p < log_p[v]; at--)
			out[at] = out[at - 1];
		out[at] = (struct choice){ .token = v, .log_p = log_p[v] };
	}
	return n_out;
}

static int
by_log_p(const void *a, const void *b)
{
	const struct choice *s = a, *t = b;

	return s->log_p > t->log_p ? -1 : s->log_p < t->log_p ? 1 : s->token < t->token ? -1 : s->token > t->token;
}

/* The k best of c [n] come first, sorted, and perhaps some more. */
static void
sort_best(struct choice *c, size_t n, size_t k)
{
	size_t from = 0, to = n;        /* the k-th best is in here, and what lies before is better than what lies behind */

	while (k < n && to - from > 32) {
		struct choice pivot = c[from + (to - from - 1) / 2];
		size_t i = from, j = to - 1;
		for (;; i++, j--) {
			while (by_log_p(&c[i], &pivot) < 0)
				i++;
			while (by_log_p(&pivot, &c[j]) < 0)
				j--;
			if (i >= j)
				break;
			struct choice swap = c[i];
			c[i] = c[j];
			c[j] = swap;
		}
		if (k <= j + 1)
			to = j + 1;
		else
			from = j + 1;
	}
	qsort(c, k < n ? to : n, sizeof *c, by_log_p);
}

/* Draws at a temperature among the top_k, of those among the fewest that hold top_p. Most often one of the first few is drawn,
   so the others are not sorted before they are asked for. */
static struct choice
draw(struct writing *w, const float *log_p, size_t n_vocab)
{
	const struct lm_options *o = w->o;
	struct choice *all = xmalloc(n_vocab, sizeof *all), got;
	size_t n = 0, n_sorted = 256, i = 0;
	double sum = 0, kept = 0;

	for (uint32_t v = 0; v < n_vocab; v++)
		if (log_p[v] != -INFINITY)
			all[n++] = (struct choice){ .token = v, .log_p = log_p[v] };
	if (n == 0) {
		free(all);
		return (struct choice){ .token = o->end };
	}
	size_t n_most = o->top_k > 0 && o->top_k < n ? o->top_k : n;
	n_sorted = n_sorted < n_most ? n_sorted : n_most;
	sort_best(all, n, n_most < n ? n_most : n_sorted);
	n = n_most;
	for (size_t k = 0; k < n; k++)
		sum += exp((all[k].log_p - all[0].log_p) / o->temperature);
	double left = o->top_p < 1 ? o->top_p * sum : sum;
	size_t n_kept = 0;
	while (o->top_p < 1 && n_kept < n && (n_kept == 0 || kept < left)) {
		if (n_kept == n_sorted)
			sort_best(all, n, n_sorted = n < 8 * n_sorted ? n : 8 * n_sorted);
		kept += exp((all[n_kept++].log_p - all[0].log_p) / o->temperature);
	}
	if (o->top_p >= 1) {
		n_kept = n;
		kept = sum;
	}
	double at = rng_uniform(&w->rng) * kept;
	for (; i + 1 < n_kept; i++) {
		if (i == n_sorted)
			sort_best(all, n, n_sorted = n < 8 * n_sorted ? n : 8 * n_sorted);
		if ((at -= exp((all[i].log_p - all[0].log_p) / o->temperature)) < 0)
			break;
	}
	if (i >= n_sorted)
		sort_best(all, n, n);
	got = all[i];
	free(all);
	return got;
}

/* -- one step of one text -- */

/* The text so far holds a stop: *n tokens stay. */
static int
stops(const struct lm_options *o, const struct bpe *bpe, const struct beam *b, size_t *n)
{
	struct buf text = { 0 };
	int found = 0;

	if (o->n_stop == 0 || !bpe)
		return 0;
	bpe_decode(bpe, b->token, b->n, &text);
	for (size_t i = 0; i < o->n_stop && !found; i++) {
		const char *at = o->stop[i].n && text.n ? memmem(text.at, text.n, o->stop[i].at, o->stop[i].n) : NULL;
		if (!at)
			continue;
		found = 1;
		size_t keep = (size_t)(at - text.at);
		buf_clear(&text);
		for (*n = 0; *n < b->n; ++*n) {
			bpe_decode(bpe, b->token + *n, 1, &text);
			if (text.n > keep)
				break;
		}
	}
	buf_free(&text);
	return found;
}

static void
end_with(struct writing *w, const struct beam *b, double log_p, int ended)
{
	size_t n = b->n + (size_t)ended;

	if (w->has_best && worth(w->o, w->best.log_p, w->best.n + (size_t)w->out->ended) >= worth(w->o, log_p, n))
		return;
	beam_set(&w->best, b, w->o->n_token);
	w->best.log_p = log_p;
	w->out->ended = ended;
	w->has_best = 1;
}

/* log_p [n_beam][n_vocab] */
static void
advance(struct lm_run *r, struct writing *w, float *log_p, size_t n_vocab, const struct bpe *bpe)
{
	const struct lm_options *o = w->o;
	size_t width = o->n_beam > 1 ? o->n_beam : 1, n_choice = 0, n_next = 0;
	struct choice *choice = xmalloc(w->n_beam * 2 * width, sizeof *choice);

	for (size_t b = 0; b < w->n_beam; b++) {
		float *p = log_p + b * n_vocab;
		struct choice *mine = choice + n_choice;
		restrict_next(w, &w->beam[b], n_vocab, bpe, p);
		if (width == 1 && o->temperature > 0) {
			mine[0] = draw(w, p, n_vocab);
			n_choice = 1;
			continue;
		}
		size_t n = best_of(p, n_vocab, 2 * width, mine);
		for (size_t i = 0; i < n; i++) {
			mine[i].beam = b;
			mine[i].log_p += w->beam[b].log_p;
		}
		n_choice += n;
	}
	if (width > 1 || o->temperature <= 0)
		qsort(choice, n_choice, sizeof *choice, by_log_p);
	size_t from = w->slot + (w->turn ? width : 0), to = w->slot + (width > 1 && !w->turn ? width : 0);
	if (width == 1)
		from = to = w->slot;
	for (size_t i = 0; i < n_choice && n_next < width; i++) {
		struct choice *c = &choice[i];
		const struct beam *b = &w->beam[c->beam];
		double total = width > 1 || o->temperature <= 0 ? c->log_p : b->log_p + c->log_p;
		if (c->token == o->end) {
			if (i < width)
				end_with(w, b, total, 1);
			if (width == 1)
				break;
			continue;
		}
		struct beam *next = &w->next[n_next];
		beam_set(next, b, o->n_token);
		next->token[next->n++] = c->token;
		next->log_p = total;
		size_t n_kept;
		if (stops(o, bpe, next, &n_kept)) {
			next->n = n_kept;
			end_with(w, next, total, 1);
			if (width == 1)
				break;
			continue;
		}
		if (next->n >= o->n_token) {
			end_with(w, next, total, 0);
			if (width == 1)
				break;
			continue;
		}
		lm_run_copy(r, to + n_next, from + c->beam);
		n_next++;
	}
	free(choice);
	struct beam *swap = w->beam;
	w->beam = w->next;
	w->next = swap;
	w->n_beam = n_next;
	w->turn = width > 1 && !w->turn;
	/* a longer text can only lose probability; its worth is bounded by what it has now over its next length */
	if (n_next == 0 || (w->has_best && (width == 1 ||
	    worth(o, w->best.log_p, w->best.n + 1) > worth(o, w->beam[0].log_p, w->beam[0].n + 1))))
		w->is_done = 1;
	if (w->is_done && !w->has_best)
		end_with(w, w->next, w->next[0].log_p, 0);      /* nothing may follow */
}

/* -- many texts -- */

static struct lm_row
row_of(const struct writing *w, const struct beam *b)
{
	const struct lm_options *o = w->o;
	size_t n = b->n + (o->first != LM_NONE), at = n - 1;    /* rows so far, and this one's place among them */
	uint32_t before[3];

	for (size_t k = 0; k < 3; k++)          /* the k-th from the end */
		before[k] = k < b->n ? b->token[b->n - 1 - k] : k == b->n && o->first != LM_NONE ? o->first : LM_NONE;
	if (o->first == LM_NONE && w->prompt->n > 0)
		for (size_t k = b->n, j = w->prompt->n; k < 3 && j > 0; k++)
			before[k] = w->prompt->row[--j].token;
	uint32_t place = o->first == LM_NONE && w->prompt->n > 0 ? w->prompt->row[w->prompt->n - 1].place + 1 : o->place;
	return (struct lm_row){ .token = before[0], .before = before[1], .before2 = before[2], .place = place + (uint32_t)at,
		.source = o->source };
}

static int
begin(struct lm_run *r, struct writing *w, const struct lm_prompt *p, const struct lm_options *o, struct lm_text *out, size_t slot,
    size_t n_vocab, struct fault *f)
{
	size_t width = o->n_beam > 1 ? o->n_beam : 1;

	*w = (struct writing){ .prompt = p, .o = o, .out = out, .slot = slot, .n_beam = 1, .rng = rng_at(o->seed, o->stream) };
	w->beam = xcalloc(width, sizeof *w->beam);
	w->next = xcalloc(width, sizeof *w->next);
	w->beam[0].token = xmalloc(o->n_token + 1, sizeof *w->beam[0].token);
	if (o->allowed) {
		w->in_prompt = xcalloc(n_vocab, 1);
		for (size_t i = 0; i < p->n; i++)
			if (p->row[i].token < n_vocab)
				w->in_prompt[p->row[i].token] = 1;
	}
	return lm_run_prompt(r, slot, p, f);
}

static void
finish(struct writing *w)
{
	size_t width = w->o->n_beam > 1 ? w->o->n_beam : 1;

	*w->out = (struct lm_text){ .token = w->best.token, .n = w->best.n, .log_p = w->best.log_p, .ended = w->out->ended };
	w->best.token = NULL;
	for (size_t i = 0; i < width; i++) {
		free(w->beam[i].token);
		free(w->next[i].token);
	}
	free(w->beam);
	free(w->next);
	free(w->in_prompt);
}

static size_t
slots_of(const struct lm_options *o)
{
	return o->n_beam > 1 ? 2 * o->n_beam : 1;
}

/* The first of n free slots side by side, which are taken; n_slot if there are none. */
static size_t
take_slots(uint8_t *taken, size_t n_slot, size_t n)
{
	for (size_t at = 0, n_free = 0; at < n_slot; at++) {
		n_free = taken[at] ? 0 : n_free + 1;
		if (n_free == n) {
			memset(taken + at + 1 - n, 1, n);
			return at + 1 - n;
		}
	}
	return n_slot;
}

int
lm_generate(struct lm_run *r, const struct lm_prompt *prompt, const struct lm_options *o, size_t n, struct lm_text *out, struct fault *f)
{
	const struct lm *m = lm_run_model(r);
	size_t n_vocab = m->shape.n_vocab, n_slot = lm_run_slots(r), n_begun = 0, n_at_work = 0;
	struct writing *w = xcalloc(n_slot, sizeof *w);
	size_t *slot = xmalloc(n_slot, sizeof *slot);
	struct lm_row *row = xmalloc(n_slot, sizeof *row);
	float *log_p = xmalloc(n_slot * n_vocab, sizeof *log_p);
	uint8_t *taken = xcalloc(n_slot, 1);
	uint32_t **kept = lm_run_texts(r, n);
	int bad = 0;

	memset(out, 0, n * sizeof *out);
	while (n_begun < n || n_at_work > 0) {
		/* the next begins as soon as there is room for it */
		while (n_begun < n && !bad) {
			size_t need = slots_of(&o[n_begun]), at = take_slots(taken, n_slot, need);
			if (need > n_slot)
				bad = fault(f, EX_DATAERR, "%zu beams, but room for %zu sequences: two for each beam are needed",
				    o[n_begun].n_beam, n_slot);
			if (at == n_slot)
				break;
			struct writing *x = &w[n_at_work++];
			bad = begin(r, x, &prompt[n_begun], &o[n_begun], &out[n_begun], at, n_vocab, f) < 0;
			n_begun++;
			/* models that go on from the prompt itself have their first probabilities already */
			if (!bad && x->o->first == LM_NONE && x->prompt->n == 0)
				bad = fault(f, EX_DATAERR, "an empty prompt: nothing to go on from");
			else if (!bad && x->o->first == LM_NONE) {
				lm_run_last(r, x->slot, log_p);
				advance(r, x, log_p, n_vocab, m->bpe);
			}
		}
		size_t n_row = 0, at = 0;
		for (size_t i = 0; i < n_at_work; i++)
			for (size_t b = 0; !w[i].is_done && b < w[i].n_beam; b++) {
				slot[n_row] = w[i].slot + (w[i].turn ? w[i].o->n_beam : 0) + b;
				row[n_row++] = row_of(&w[i], &w[i].beam[b]);
			}
		if (n_row > 0 && !bad)
			bad = lm_run_step(r, slot, row, n_row, log_p, f) < 0;
		for (size_t i = 0; i < n_at_work && !bad; i++)
			if (!w[i].is_done) {
				size_t n_beam = w[i].n_beam;
				advance(r, &w[i], log_p + at * n_vocab, n_vocab, m->bpe);
				at += n_beam;
			}
		for (size_t i = 0; i < n_at_work; )
			if (w[i].is_done || bad) {
				memset(taken + w[i].slot, 0, slots_of(w[i].o));
				finish(&w[i]);
				kept[w[i].out - out] = w[i].out->token;
				w[i] = w[--n_at_work];
			} else
				i++;
		if (bad)
			break;
	}
	free(w);
	free(slot);
	free(row);
	free(log_p);
	free(taken);
	return bad ? -1 : 0;
}
