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
		.end = BPE_END, .n_best = 1 };
}

struct beam {
	uint32_t *token;                /* [n_token] */
	size_t n;
	double log_p;
	int ended;
};

struct writing {                        /* one text at work */
	const struct lm_prompt *prompt;
	const struct lm_options *o;
	struct lm_text *out;            /* [n_best] */
	size_t slot;                    /* first of its own: n_beam, and with beams as many again to reorder into */
	size_t turn;                    /* which half holds the beams */
	struct beam *beam, *next;       /* [n_beam] */
	size_t n_beam;                  /* alive */
	struct beam *best;              /* [n_kept()], the first n_has of those that ended, best first */
	size_t n_has, n_ended;
	int is_done;
	uint8_t *in_prompt;             /* [n_vocab] with allowed, else NULL */
	struct rng rng;
};

static double
worth(const struct lm_options *o, double log_p, size_t n)
{
	return log_p / pow((double)(n > 0 ? n : 1), o->length_power);
}

static size_t
n_best(const struct lm_options *o)
{
	return o->n_best > 1 ? o->n_best : 1;
}

static size_t
n_kept(const struct lm_options *o)
{
	return o->n_consensus > n_best(o) ? o->n_consensus : n_best(o);
}

static double
worth_of(const struct lm_options *o, const struct beam *b)
{
	return worth(o, b->log_p, b->n + (size_t)b->ended);
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
	double weight;                  /* of draw() */
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

/* The likeliest of the n left on a heap goes to its end: all[n - 1]. */
static void
sift(struct choice *all, size_t n, size_t i)
{
	for (size_t child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && by_log_p(&all[child + 1], &all[child]) < 0)
			child++;
		if (by_log_p(&all[child], &all[i]) >= 0)
			return;
		struct choice kept = all[i];
		all[i] = all[child];
		all[child] = kept;
	}
}

static const struct choice *
pop(struct choice *all, size_t n)
{
	struct choice top = all[0];

	all[0] = all[n - 1];
	all[n - 1] = top;
	sift(all, n - 1, 0);
	return &all[n - 1];
}

/* Draws at a temperature among the top_k, of those among the fewest that hold top_p. Few of a vocabulary's tokens are likely:
   only those that are looked at are sorted, and none where none is left out. */
static struct choice
draw(struct writing *w, const float *log_p, size_t n_vocab)
{
	const struct lm_options *o = w->o;
	struct choice *all = xmalloc(n_vocab, sizeof *all), got;
	size_t n = 0, n_sorted = 0;
	double sum = 0, best = -INFINITY;

	for (uint32_t v = 0; v < n_vocab; v++)
		if (log_p[v] != -INFINITY) {
			all[n++] = (struct choice){ .token = v, .log_p = log_p[v] };
			if (best < log_p[v])
				best = log_p[v];
		}
	if (n == 0) {
		free(all);
		return (struct choice){ .token = o->end };
	}
	if ((o->top_k == 0 || o->top_k >= n) && o->top_p >= 1) {        /* none is left out: no order is needed */
		for (size_t i = 0; i < n; i++)
			sum += all[i].weight = exp((all[i].log_p - best) / o->temperature);
		double at = rng_uniform(&w->rng) * sum;
		size_t i = 0;
		while (i + 1 < n && (at -= all[i].weight) >= 0)
			i++;
		got = all[i];
		free(all);
		return got;
	}
	for (size_t i = n / 2; i-- > 0; )
		sift(all, n, i);
	size_t n_most = o->top_k > 0 && o->top_k < n ? o->top_k : n;
	if (n_most < n)
		while (n_sorted < n_most)
			sum += exp((pop(all, n - n_sorted++)->log_p - best) / o->temperature);
	else
		for (size_t i = 0; i < n; i++)
			sum += exp((all[i].log_p - best) / o->temperature);
	double kept = sum;
	if (o->top_p < 1) {
		kept = 0;
		size_t i = 0;
		for (; i < n_most && (i == 0 || kept < o->top_p * sum); i++) {
			if (i == n_sorted)
				pop(all, n - n_sorted++);
			kept += exp((all[n - 1 - i].log_p - best) / o->temperature);
		}
		n_most = i;
	}
	double at = rng_uniform(&w->rng) * kept;
	for (size_t i = 0; ; i++) {
		if (i == n_sorted)
			pop(all, n - n_sorted++);
		got = all[n - 1 - i];
		at -= exp((got.log_p - best) / o->temperature);
		if (at < 0 || i + 1 == n_most)
			break;
	}
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
	double mine = worth(w->o, log_p, b->n + (size_t)ended);
	size_t at = w->n_has;

	w->n_ended++;
	while (at > 0 && worth_of(w->o, &w->best[at - 1]) < mine)
		at--;
	if (at == n_kept(w->o))
		return;
	if (w->n_has < n_kept(w->o))
		w->n_has++;
	struct beam last = w->best[w->n_has - 1];       /* its memory is used again */
	for (size_t i = w->n_has - 1; i > at; i--)
		w->best[i] = w->best[i - 1];
	w->best[at] = last;
	beam_set(&w->best[at], b, w->o->n_token);
	w->best[at].log_p = log_p;
	w->best[at].ended = ended;
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
			if (i < width || o->n_consensus > 0)
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
	const struct beam *last = w->n_has == n_best(o) ? &w->best[w->n_has - 1] : NULL;
	if (n_next == 0 || (w->n_has > 0 && width == 1))
		w->is_done = 1;
	else if (o->n_consensus > 0)
		w->is_done = w->n_ended >= n_kept(o);
	else if (last && worth(o, last->log_p, last->n + 1) > worth(o, w->beam[0].log_p, w->beam[0].n + 1))
		w->is_done = 1;
	if (w->is_done && w->n_has == 0)
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
    const struct writing *before, size_t n_vocab, struct fault *f)
{
	size_t width = o->n_beam > 1 ? o->n_beam : 1;

	*w = (struct writing){ .prompt = p, .o = o, .out = out, .slot = slot, .n_beam = 1, .rng = rng_at(o->seed, o->stream) };
	w->beam = xcalloc(width, sizeof *w->beam);
	w->next = xcalloc(width, sizeof *w->next);
	w->best = xcalloc(n_kept(o), sizeof *w->best);
	w->beam[0].token = xmalloc(o->n_token + 1, sizeof *w->beam[0].token);
	if (o->allowed) {
		w->in_prompt = xcalloc(n_vocab, 1);
		for (size_t i = 0; i < p->n; i++)
			if (p->row[i].token < n_vocab)
				w->in_prompt[p->row[i].token] = 1;
	}
	/* several texts for one prompt: it is read once */
	if (before && before->prompt->n == p->n && before->prompt->row == p->row && before->prompt->given == p->given &&
	    o->first != LM_NONE) {
		lm_run_copy(r, slot, before->slot);
		return 0;
	}
	return lm_run_prompt(r, slot, p, f);
}

/* What agrees best comes first. */
static void
put_consensus_first(struct writing *w, const struct bpe *bpe)
{
	struct lm_text *text = xmalloc(w->n_has, sizeof *text);
	double *value = xmalloc(w->n_has, sizeof *value);

	for (size_t i = 0; i < w->n_has; i++) {
		text[i] = (struct lm_text){ .token = w->best[i].token, .n = w->best[i].n };
		value[i] = worth_of(w->o, &w->best[i]);
	}
	size_t at = lm_consensus(bpe, text, value, w->n_has);
	struct beam first = w->best[at];
	memmove(w->best + 1, w->best, at * sizeof *w->best);
	w->best[0] = first;
	free(text);
	free(value);
}

static void
finish(struct writing *w, const struct bpe *bpe)
{
	size_t width = w->o->n_beam > 1 ? w->o->n_beam : 1;

	if (w->o->n_consensus > 0 && w->n_has > 1)
		put_consensus_first(w, bpe);
	for (size_t i = 0; i < n_best(w->o); i++) {
		const struct beam *b = &w->best[i];
		w->out[i] = (struct lm_text){ .token = b->token, .n = b->n, .log_p = i < w->n_has ? b->log_p : -INFINITY, .ended = b->ended };
	}
	for (size_t i = n_best(w->o); i < n_kept(w->o); i++)
		free(w->best[i].token);
	for (size_t i = 0; i < width; i++) {
		free(w->beam[i].token);
		free(w->next[i].token);
	}
	free(w->beam);
	free(w->next);
	free(w->best);
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
	size_t n_out = 0, to = 0;
	int bad = 0;

	for (size_t i = 0; i < n; i++)
		n_out += n_best(&o[i]);
	uint32_t **kept = lm_run_texts(r, n_out);
	memset(out, 0, n_out * sizeof *out);
	while (n_begun < n || n_at_work > 0) {
		/* the next begins as soon as there is room for it */
		const struct writing *before = NULL;    /* that has read its prompt and no more */
		while (n_begun < n && !bad) {
			size_t need = slots_of(&o[n_begun]), at = take_slots(taken, n_slot, need);
			if (need > n_slot)
				bad = fault(f, EX_DATAERR, "%zu beams, but room for %zu sequences: two for each beam are needed",
				    o[n_begun].n_beam, n_slot);
			if (at == n_slot)
				break;
			struct writing *x = &w[n_at_work++];
			bad = begin(r, x, &prompt[n_begun], &o[n_begun], &out[to], at, before, n_vocab, f) < 0;
			before = x;
			to += n_best(&o[n_begun++]);
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
				finish(&w[i], m->bpe);
				w[i] = w[--n_at_work];
			} else
				i++;
		if (bad)
			break;
	}
	for (size_t i = 0; i < n_out; i++)
		kept[i] = out[i].token;
	free(w);
	free(slot);
	free(row);
	free(log_p);
	free(taken);
	return bad ? -1 : 0;
}
