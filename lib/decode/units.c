/*
 * A text cut into what can stand for itself: sentences, and lists.
 */
#include <string.h>
#include <strings.h>

#include "decode/inside.h"

static int
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

void
decode_put_sentence(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!is_blank(text.at[i]))
			buf_putc(out, text.at[i]);
		else if (i + 1 < text.n && !is_blank(text.at[i + 1]))
			buf_putc(out, ' ');
	}
}

int
decode_leans(struct span s)
{
	static const char *const openers[] = {
		"additionally", "afterwards", "also", "although", "and", "another", "besides", "both", "but", "consequently",
		"conversely", "finally", "furthermore", "he", "hence", "her", "his", "however", "instead", "it", "its", "it's",
		"likewise", "moreover", "nevertheless", "next", "or", "otherwise", "she", "similarly", "so", "such", "that",
		"their", "them", "then", "therefore", "these", "they", "this", "those", "thus", "together", "too", "yet",
	};
	size_t n = 0;

	while (n < s.n && !is_blank(s.at[n]) && s.at[n] != ',' && s.at[n] != ':' && s.at[n] != '.')
		n++;
	for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
		if (strlen(openers[i]) == n && strncasecmp(openers[i], s.at, n) == 0)
			return 1;
	}
	return 0;
}

/* A number and a mark at the very start, as in "2. Then ..." within a line. */
static size_t
leading_number(struct span s)
{
	size_t i = 0;

	while (i < s.n && i < 3 && s.at[i] >= '0' && s.at[i] <= '9')
		i++;
	return i > 0 && i + 1 < s.n && (s.at[i] == '.' || s.at[i] == ')') && is_blank(s.at[i + 1]) ? i + 1 : 0;
}

/* The mark that stands between the end of the last sentence and this one, on this one's line. */
static struct span
mark_before(const char *from, const char *to)
{
	const char *at;

	while (to > from && is_blank(to[-1]))
		to--;
	at = to;
	while (at > from && !is_blank(at[-1]))
		at--;
	return at < to ? (struct span){ at, (size_t)(to - at) } : (struct span){ NULL, 0 };
}

static int
same_line(const char *from, const char *to)
{
	return memchr(from, '\n', (size_t)(to - from)) == NULL;
}

static int
ends_as(struct span s, const char *marks)
{
	size_t n = s.n;

	while (n > 0 && strchr("\"')]", s.at[n - 1]))
		n--;
	return n > 0 && strchr(marks, s.at[n - 1]) != NULL;
}

static void
begin_unit(struct decode *d, size_t rank, size_t sentence)
{
	size_t place = d->n_unit > 0 && d->units[d->n_unit - 1].item == rank ? d->units[d->n_unit - 1].place + 1 : 0;

	d->units = xgrow(d->units, &d->n_unit_cap, d->n_unit + 1, sizeof *d->units);
	d->units[d->n_unit++] = (struct decode_unit){ .item = rank, .place = place, .first = sentence };
}

void
decode_cut(struct decode *d, size_t rank, const char *text, size_t n)
{
	const char *end = text;         /* of the last sentence */

	text_sentences(&d->cut, text, n);
	for (size_t i = 0; i < d->cut.n; i++) {
		struct span s = d->cut.at[i], mark = mark_before(end, s.at);
		size_t n_number = leading_number(s);
		const char *begin = mark.at ? mark.at : s.at;

		if (!mark.at && n_number > 0) {
			mark = (struct span){ s.at, n_number };
			while (n_number < s.n && is_blank(s.at[n_number]))
				n_number++;
			s = (struct span){ s.at + n_number, s.n - n_number };
		}
		d->sentences = xgrow(d->sentences, &d->n_sentence_cap, d->n_sentence + 1, sizeof *d->sentences);
		d->sentences[d->n_sentence] = (struct decode_sentence){ s, mark };
		struct decode_unit *u = i > 0 ? &d->units[d->n_unit - 1] : NULL;
		int announced = u && !u->is_list && mark.at && ends_as(d->sentences[d->n_sentence - 1].text, ":");
		int goes_on = u && u->is_list && (mark.at || same_line(end, begin));
		if (!announced && !goes_on) {
			begin_unit(d, rank, d->n_sentence);
			u = &d->units[d->n_unit - 1];
			/* the first sentence of an item leans on its title, which is put before it */
			u->leans = u->place > 0 && decode_leans(s);
		}
		u->is_list |= mark.at != NULL;
		u->n_sentence++;
		u->whole = u->is_list || ends_as(s, ".!?:") || (unsigned char)s.at[s.n - 1] >= 0x80;
		d->n_sentence++;
		end = s.at + s.n;
	}
}
