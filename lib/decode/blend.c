/*
 * A new text from the sentences of the attended items. decode.h has the rule by which they are chosen.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "decode/inside.h"

enum { ITEM_MAX = 24, TEXT_MAX = 4096, WORD_MIN = 4, WORD_LONG = 45 };
#define MASS_KEPT .98                   /* of the attention; the rest is too thin to be heard */
#define WORDS_HEAD_START 12.            /* half a sentence: Sainte-Lague's one half */
#define MMR_RELEVANCE .7
#define NOTHING_NEW .6                  /* cosine to a sentence that was taken */
#define NO_LEAD .8                      /* an item that has not spoken yet had better begin at its beginning */
#define FULL .85                        /* of the words: then no odd short sentence is squeezed in */

/* -- tf-idf over the candidates -- */

static uint32_t
term_id(struct decode *d, struct span word)
{
	uint64_t hash = hash64(word.at, word.n, 0) | 1;         /* 0 marks a free slot */

	if (2 * (d->n_id + 1) > d->n_slot) {
		size_t n_old = d->n_slot;
		struct decode_slot *old = d->slots;
		d->n_slot = n_old ? 2 * n_old : 1024;
		d->slots = xcalloc(d->n_slot, sizeof *d->slots);
		for (size_t i = 0; i < n_old; i++) {
			if (old[i].hash == 0)
				continue;
			size_t at = old[i].hash & (d->n_slot - 1);
			while (d->slots[at].hash != 0)
				at = (at + 1) & (d->n_slot - 1);
			d->slots[at] = old[i];
		}
		free(old);
	}
	size_t at = hash & (d->n_slot - 1);
	while (d->slots[at].hash != 0 && d->slots[at].hash != hash)
		at = (at + 1) & (d->n_slot - 1);
	if (d->slots[at].hash == 0) {
		d->slots[at].hash = hash;
		d->slots[at].id = (uint32_t)d->n_id;
		d->df = xgrow(d->df, &d->n_df_cap, d->n_id + 1, sizeof *d->df);
		d->df[d->n_id++] = 0;
	}
	return d->slots[at].id;
}

static int
compare_terms(const void *a, const void *b)
{
	uint32_t x = ((const struct decode_term *)a)->id, y = ((const struct decode_term *)b)->id;

	return (x > y) - (x < y);
}

/* Counts the words of d->text as terms behind d->terms, sorted by id, each once; returns how many. */
static size_t
count_terms(struct decode *d)
{
	size_t from = d->n_term, n = 0;

	text_words(&d->words, d->text.at, d->text.n);
	d->terms = xgrow(d->terms, &d->n_term_cap, d->n_term + d->words.n, sizeof *d->terms);
	for (size_t i = 0; i < d->words.n; i++)
		d->terms[from + i] = (struct decode_term){ term_id(d, d->words.at[i]), 1 };
	if (d->words.n > 0)
		qsort(d->terms + from, d->words.n, sizeof *d->terms, compare_terms);
	for (size_t i = 0; i < d->words.n; i++) {
		if (n > 0 && d->terms[from + n - 1].id == d->terms[from + i].id)
			d->terms[from + n - 1].weight++;
		else
			d->terms[from + n++] = d->terms[from + i];
	}
	d->n_term += n;
	return n;
}

static void
weigh_terms(const struct decode *d, struct decode_term *t, size_t n)
{
	double square = 0;

	for (size_t i = 0; i < n; i++) {
		double idf = log(1 + (double)d->n_unit / (d->df[t[i].id] + .5));
		t[i].weight = (float)((1 + log(t[i].weight)) * idf);
		square += (double)t[i].weight * t[i].weight;
	}
	for (size_t i = 0; i < n && square > 0; i++)
		t[i].weight = (float)(t[i].weight / sqrt(square));
}

static double
cosine(const struct decode_term *a, size_t n_a, const struct decode_term *b, size_t n_b)
{
	double sum = 0;

	for (size_t i = 0, j = 0; i < n_a && j < n_b; ) {
		if (a[i].id == b[j].id)
			sum += (double)a[i++].weight * b[j++].weight;
		else if (a[i].id < b[j].id)
			i++;
		else
			j++;
	}
	return sum;
}

static size_t
count_blanks(struct span s)
{
	size_t n = 1;

	for (size_t i = 1; i < s.n; i++)
		n += (s.at[i] == ' ' || s.at[i] == '\n' || s.at[i] == '\t') && s.at[i - 1] != ' ' && s.at[i - 1] != '\n';
	return n;
}

/* -- what a unit is worth -- */

static void
gather(struct decode *d, size_t n_item)
{
	d->n_unit = d->n_sentence = d->n_term = d->n_id = 0;
	if (d->slots)
		memset(d->slots, 0, d->n_slot * sizeof *d->slots);
	for (size_t j = 0; j < n_item; j++) {
		for (size_t c = 0; c < d->columns->n_text; c++) {
			struct span text = pool_text(d->pool, d->items[j].row, d->columns->text[c]);
			if (text.n > TEXT_MAX)          /* the start of a long text stands for it */
				text.n = text_fit(text.at, TEXT_MAX, TEXT_MAX);
			if (text.n > 0)
				decode_cut(d, j, text.at, text.n);
		}
	}
	for (size_t i = 0; i < d->n_unit; i++) {
		struct decode_unit *u = &d->units[i];
		buf_clear(&d->text);
		for (size_t s = 0; s < u->n_sentence; s++) {
			decode_put_sentence(&d->text, d->sentences[u->first + s].text);
			buf_putc(&d->text, ' ');
			u->n_word += count_blanks(d->sentences[u->first + s].text);
		}
		u->term_at = d->n_term;
		u->n_term = count_terms(d);
		for (size_t t = 0; t < u->n_term; t++)
			d->df[d->terms[u->term_at + t].id]++;
	}
}

/* Query, centre and place, each in [0, 1], into worth. */
static void
appraise(struct decode *d, struct span query)
{
	double best_query = 0, best_centre = 0;
	size_t query_at, n_query;

	buf_clear(&d->text);
	buf_put(&d->text, query.at ? query.at : "", query.n);
	query_at = d->n_term;
	n_query = count_terms(d);
	weigh_terms(d, d->terms + query_at, n_query);
	d->centre = xgrow(d->centre, &d->n_centre_cap, d->n_id, sizeof *d->centre);
	for (size_t i = 0; i < d->n_id; i++)
		d->centre[i] = 0;
	for (size_t i = 0; i < d->n_unit; i++) {
		struct decode_unit *u = &d->units[i];
		struct decode_term *t = d->terms + u->term_at;
		weigh_terms(d, t, u->n_term);
		for (size_t k = 0; k < u->n_term; k++)
			d->centre[t[k].id] += d->items[u->item].weight * t[k].weight;
	}
	for (size_t i = 0; i < d->n_unit; i++) {
		struct decode_unit *u = &d->units[i];
		struct decode_term *t = d->terms + u->term_at;
		u->query = cosine(t, u->n_term, d->terms + query_at, n_query);
		for (size_t k = 0; k < u->n_term; k++)
			u->centre += d->centre[t[k].id] * t[k].weight;
		best_query = fmax(best_query, u->query);
		best_centre = fmax(best_centre, u->centre);
	}
	for (size_t i = 0; i < d->n_unit; i++) {
		struct decode_unit *u = &d->units[i];
		double lead = 1 / (1 + .5 * (double)u->place);
		u->worth = .4 * lead;
		u->worth += best_query > 0 ? .35 * u->query / best_query : .15;
		u->worth += best_centre > 0 ? .25 * u->centre / best_centre : 0;
		if (u->n_word > WORD_LONG && !u->is_list)
			u->worth *= (double)WORD_LONG / (double)u->n_word;
		if (u->n_word < WORD_MIN || !u->whole)          /* headings, bare addresses */
			u->worth *= .3;
	}
}

/* -- choosing -- */

/* The unit to take next, or SIZE_MAX: all are taken, too long for what is left, or say nothing new. A list of the
   heaviest item may be longer than what is left, for half a list is of no use. */
static size_t
choose(const struct decode *d, size_t n_item, size_t n_left, size_t n_list_left, int is_first)
{
	double best = -INFINITY, best_share = 0;
	size_t chosen = SIZE_MAX;

	for (size_t j = 0; j < n_item; j++)
		best_share = fmax(best_share, d->items[j].weight / (d->used[j] + WORDS_HEAD_START));
	for (size_t i = 0; i < d->n_unit; i++) {
		const struct decode_unit *u = &d->units[i];
		int fits = u->n_word <= (u->is_list && u->item == d->units[0].item ? n_list_left : n_left);
		if (u->taken || (!fits && !is_first))
			continue;
		if (u->leans && !d->units[i - 1].taken)
			continue;
		if (is_first && u->item != d->units[0].item)
			continue;       /* the heaviest item that has a text speaks first */
		if (u->nearest > NOTHING_NEW)
			continue;
		double share = d->items[u->item].weight / (d->used[u->item] + WORDS_HEAD_START);
		double relevance = best_share > 0 ? share / best_share * u->worth : u->worth;
		if (u->place > 0 && d->used[u->item] == 0)
			relevance *= NO_LEAD;
		double score = MMR_RELEVANCE * relevance - (1 - MMR_RELEVANCE) * u->nearest;
		if (!fits)              /* only if nothing else is there to begin with */
			score -= 10;
		if (score > best) {
			best = score;
			chosen = i;
		}
	}
	return chosen;
}

static void
take(struct decode *d, size_t i)
{
	struct decode_unit *taken = &d->units[i];

	taken->taken = 1;
	d->used[taken->item] += (double)taken->n_word;
	for (size_t k = 0; k < d->n_unit; k++) {
		struct decode_unit *u = &d->units[k];
		if (!u->taken)
			u->nearest = fmax(u->nearest, cosine(d->terms + u->term_at, u->n_term,
			    d->terms + taken->term_at, taken->n_term));
	}
}

/* 1 if a reader needs the title to know what this is about: the sentence begins with This, It, ... or without a subject
   ("Writes tests of ...", "Vectors, matrices, ..."), and does not hold the title's words anyhow. */
static int
wants_title(struct decode *d, const struct decode_unit *u, struct span title)
{
	struct span s = d->sentences[u->first].text;
	size_t n = 0, n_missing = 0;

	if (title.n == 0 || d->sentences[u->first].mark.at)
		return 0;
	while (n < s.n && s.at[n] != ' ' && s.at[n] != ',' && s.at[n] != '\n')
		n++;
	if (!decode_leans(s) && !(n > 3 && s.at[n - 1] == 's' && s.at[n - 2] != 's'))
		return 0;
	buf_clear(&d->text);
	decode_put_sentence(&d->text, title);
	text_words(&d->words, d->text.at, d->text.n);
	for (size_t i = 0; i < d->words.n; i++) {
		const struct decode_term wanted = { term_id(d, d->words.at[i]), 0 };
		n_missing += u->n_term == 0 ||
		    !bsearch(&wanted, d->terms + u->term_at, u->n_term, sizeof wanted, compare_terms);
	}
	return n_missing > 0;
}

static void
put_unit(const struct decode *d, const struct decode_unit *u, struct span id, struct buf *out, int begins_line)
{
	for (size_t s = 0; s < u->n_sentence; s++) {
		const struct decode_sentence *e = &d->sentences[u->first + s];
		if (e->mark.at) {
			if (!begins_line)
				buf_putc(out, '\n');
			buf_put(out, e->mark.at, e->mark.n);
			buf_putc(out, ' ');
		} else if (!begins_line) {
			buf_putc(out, ' ');
		}
		decode_put_sentence(out, e->text);
		begins_line = 0;
	}
	/* what ends like a title would run into the next sentence */
	if (!u->whole && !u->is_list)
		buf_putc(out, '.');
	if (id.at) {
		buf_puts(out, " [");
		buf_put(out, id.at, id.n);
		buf_putc(out, ']');
	}
}

int
decode_blend(struct decode *d, struct span query, const struct decode_item *items, size_t n_item, size_t n_word,
    int sources, struct buf *out, struct fault *f)
{
	size_t n_kept = 0, n_used = 0, last = SIZE_MAX, i;
	double mass = 0, kept = 0;
	int after_list = 0;

	decode_sort(d, items, n_item);
	for (size_t j = 0; j < n_item; j++)
		mass += d->items[j].weight;
	while (n_kept < n_item && n_kept < ITEM_MAX && (n_kept == 0 || kept < MASS_KEPT * mass)) {
		if (pool_check_row(d->pool, d->items[n_kept].row, f) < 0)
			return -1;
		kept += d->items[n_kept++].weight;
	}
	gather(d, n_kept);
	if (d->n_unit == 0)
		return 0;
	appraise(d, query);
	d->used = xgrow(d->used, &d->n_used_cap, n_kept, sizeof *d->used);
	for (size_t j = 0; j < n_kept; j++)
		d->used[j] = 0;
	while ((double)n_used < FULL * (double)n_word &&
	    (i = choose(d, n_kept, n_word - n_used, n_word + n_word / 2 - n_used, n_used == 0)) != SIZE_MAX) {
		take(d, i);
		n_used += d->units[i].n_word;
	}
	for (i = 0; i < d->n_unit; i++) {
		const struct decode_unit *u = &d->units[i];
		size_t row = d->items[u->item].row;
		if (!u->taken)
			continue;
		int begins_line = u->item != last || after_list;
		if (begins_line && last != SIZE_MAX)
			buf_putc(out, '\n');
		struct span title = decode_title(d, row);
		struct span first = d->sentences[u->first].text;
		int says_title = title.n > 0 && first.n >= title.n && first.n <= title.n + 1 && memcmp(first.at, title.at, title.n) == 0;
		if (u->item != last && !says_title && (sources || (title.at != pool_id(d->pool, row).at && wants_title(d, u, title)))) {
			decode_put_sentence(out, title);
			buf_putc(out, ':');
			begins_line = 0;
		}
		put_unit(d, u, sources ? pool_id(d->pool, row) : (struct span){ NULL, 0 }, out, begins_line);
		last = u->item;
		after_list = u->is_list;
	}
	return 0;
}
