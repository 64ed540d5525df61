/*
 * The prompt that a language model gets.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decode/inside.h"

static const char with_person[] =
	"Answer the question for one person, from the notes below. The first notes matter most: the share behind a title "
	"says how much. Combine them into one answer of its own, fit it to what is known of the person, and leave out what "
	"does not help. Do not mention the notes, their shares or this description.\n"
	"\n"
	"Question: {query}\n"
	"\n"
	"What is known of the person:\n"
	"{user}\n"
	"\n"
	"Notes:\n"
	"{items}\n";
static const char without_person[] =
	"Answer the question from the notes below. The first notes matter most: the share behind a title says how much. "
	"Combine them into one answer of its own, and leave out what does not help. Do not mention the notes or their shares.\n"
	"\n"
	"Question: {query}\n"
	"\n"
	"Notes:\n"
	"{items}\n";

enum { TOKEN_BYTES = 4, SHORTEST = 60 * TOKEN_BYTES };

/* Bytes of the longest start of a text that ends at a sentence and has at most n_want bytes; its first sentence may have
   twice as many, if there is room for them. */
static size_t
shorten(struct decode *d, struct span text, size_t n_want, size_t n_room)
{
	size_t n = 0;

	if (text.n <= n_want)
		return text.n;
	text_sentences(&d->cut, text.at, text.n);
	for (size_t i = 0; i < d->cut.n; i++) {
		size_t end = (size_t)(d->cut.at[i].at - text.at) + d->cut.at[i].n;
		if (end > n_want && !(i == 0 && end <= 2 * n_want && end <= n_room))
			break;
		n = end;
	}
	return n;
}

/* Appends one item with about n_want bytes of text, so that out has at most n_max bytes. 1 if all of its text came, 0 if
   not, -1 (and out as it was) if there is no room for it. */
static int
put_item(struct decode *d, size_t rank, double mass, size_t n_want, size_t n_max, struct buf *out)
{
	const struct decode_item *item = &d->items[rank];
	double percent = mass > 0 ? 100 * item->weight / mass : 100;
	size_t n_before = out->n, n_put = 0;
	int has_text = 0, whole = 1;

	buf_printf(out, "%s%zu. ", rank ? "\n\n" : "", rank + 1);
	decode_put_sentence(out, decode_title(d, item->row));
	buf_printf(out, percent < 1 ? " (under 1 %%)" : " (%.0f %%)", percent);
	for (size_t c = 0; c < d->columns->n_text && out->n < n_max; c++) {
		struct span text = pool_text(d->pool, item->row, d->columns->text[c]);
		while (text.n > 0 && strchr(" \t\r\n", text.at[text.n - 1]))
			text.n--;
		has_text |= text.n > 0;
		size_t n_room = n_max - out->n - 1, n_left = n_want > n_put ? n_want - n_put : 0;
		size_t n = whole ? shorten(d, text, n_left < n_room ? n_left : n_room, n_room) : 0;
		whole &= n == text.n;
		if (n == 0)
			continue;
		buf_putc(out, '\n');
		buf_put(out, text.at, n);
		n_put += n;
	}
	if (out->n > n_max || (has_text && n_put == 0)) {
		out->n = n_before;
		return -1;
	}
	return whole;
}

/* All items that fit into n_max bytes when each text may have share * generosity of them; *n_in of them, *n_cut texts
   were cut. */
static void
lay_out(struct decode *d, size_t n_item, double mass, size_t n_max, double generosity, struct buf *out, size_t *n_in,
    size_t *n_cut)
{
	buf_clear(out);
	*n_in = *n_cut = 0;
	for (size_t j = 0; j < n_item; j++) {
		double share = mass > 0 ? d->items[j].weight / mass : 1. / (double)n_item;
		double n_text = fmin(fmax(share * generosity * (double)n_max, SHORTEST), (double)n_max);
		int whole = put_item(d, j, mass, (size_t)n_text, n_max, out);
		if (whole < 0)
			return;
		*n_cut += !whole;
		(*n_in)++;
	}
}

/* Places in the template where something goes. */
static size_t
placeholder(const char *at, const char **name)
{
	static const char *const names[] = { "{query}", "{user}", "{items}" };

	for (size_t i = 0; i < 3; i++) {
		if (strncmp(at, names[i], strlen(names[i])) == 0) {
			*name = names[i];
			return strlen(names[i]);
		}
	}
	return 0;
}

static void
fill(const char *template_text, const struct decode_prompt *p, struct span items, struct buf *out)
{
	const char *name;

	for (const char *at = template_text; *at; ) {
		size_t n = placeholder(at, &name);
		if (n == 0) {
			buf_putc(out, *at++);
			continue;
		}
		struct span s = name[1] == 'q' ? p->query : name[1] == 'u' ? p->person : items;
		if (name[1] == 'u' && !s.at)
			buf_puts(out, "Nothing is known of this person yet.");
		else if (s.n > 0)
			buf_put(out, s.at, s.n);
		at += n;
	}
}

int
decode_prompt(struct decode *d, const struct decode_prompt *p, const struct decode_item *items, size_t n_item,
    struct buf *out, struct fault *f)
{
	const char *template_text = p->template_text;
	struct buf whole = { 0 }, best = { 0 };
	size_t n_in, n_cut, n_best = 0, n_fixed;
	double mass = 0;

	if (!template_text)
		template_text = n_item == 0 && !p->person.at ? "{query}" : p->person.at ? with_person : without_person;
	fill(template_text, p, (struct span){ "", 0 }, &whole);
	n_fixed = whole.n;
	if ((n_fixed + TOKEN_BYTES - 1) / TOKEN_BYTES > p->budget_token) {
		buf_free(&whole);
		return fault(f, EX_DATAERR, "the prompt without items has about %zu tokens, the budget is %zu",
		    (n_fixed + TOKEN_BYTES - 1) / TOKEN_BYTES, p->budget_token);
	}
	decode_sort(d, items, n_item);
	for (size_t j = 0; j < n_item; j++) {
		if (pool_check_row(d->pool, d->items[j].row, f) < 0) {
			buf_free(&whole);
			return -1;
		}
		mass += d->items[j].weight;
	}
	/* as many items as possible, then as much of their texts as possible */
	size_t n_max = p->budget_token * TOKEN_BYTES - n_fixed;
	for (double generosity = 1; n_item > 0 && generosity <= 1024; generosity *= 2) {
		lay_out(d, n_item, mass, n_max, generosity, &whole, &n_in, &n_cut);
		if (n_in < n_best)
			break;
		n_best = n_in;
		buf_clear(&best);
		buf_put(&best, whole.at ? whole.at : "", whole.n);
		if (n_cut == 0)
			break;
	}
	fill(template_text, p, buf_span(&best), out);
	buf_free(&whole);
	buf_free(&best);
	return 0;
}
