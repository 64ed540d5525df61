#include "text/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* What a byte below 0x80 is: ' ' ends a chunk (blanks and controls), '.' ends a word, '\'' may lie in one, and all
   else is a letter or digit, folded. */
static const char ascii[129] =
	"                                 "             /* 00 .. 20 */
	"......'........"                               /* 21 .. 2F */
	"0123456789......."                             /* 30 .. 40 */
	"abcdefghijklmnopqrstuvwxyz......"              /* 41 .. 60 */
	"abcdefghijklmnopqrstuvwxyz.... ";              /* 61 .. 7F */

/* Scripts whose writers leave no blanks between words: Thai, Lao, Myanmar, Khmer, Hiragana, Katakana, Bopomofo, Han. */
static const struct { int32_t from, to; } unspaced[] = {
	{ 0x0E00, 0x0EFF }, { 0x1000, 0x109F }, { 0x1780, 0x17FF }, { 0x2E80, 0x2FDF }, { 0x3005, 0x3007 },
	{ 0x3021, 0x3029 }, { 0x3041, 0x312F }, { 0x31A0, 0x31FF }, { 0x3400, 0x4DBF }, { 0x4E00, 0x9FFF },
	{ 0xF900, 0xFAFF }, { 0x1B000, 0x1B16F }, { 0x20000, 0x3FFFF },
};

/* A piece that utf8proc gets at a time. Its ordering of marks takes quadratic time, so a piece has an end even where
   the text offers none. */
enum { PIECE_SOFT = 256, PIECE_HARD = 512 };

struct cutter {                 /* the word that is being put together */
	struct text_words *w;
	size_t start;           /* of it, in folded */
	int open;               /* there is one */
	int letter;             /* its last character but for marks is a letter */
	int apostrophe;         /* one follows that letter: dropped if another letter comes next */
	int lone;               /* it is one character of an unspaced script, and takes only marks */
};

static void
word_end(struct cutter *c)
{
	struct text_words *w = c->w;

	if (c->open) {
		w->at = xgrow(w->at, &w->n_cap, w->n + 1, sizeof *w->at);
		w->at[w->n++].n = w->folded.n - c->start;
		buf_putc(&w->folded, ' ');
	}
	c->open = c->letter = c->apostrophe = c->lone = 0;
}

static int
is_unspaced(int32_t code)
{
	if (code < unspaced[0].from)
		return 0;
	for (size_t i = 0; i < sizeof unspaced / sizeof *unspaced; i++)
		if (code >= unspaced[i].from && code <= unspaced[i].to)
			return 1;
	return 0;
}

static void
word_put(struct cutter *c, int32_t code)
{
	utf8proc_category_t category = utf8proc_category(code);
	utf8proc_uint8_t bytes[4];
	int letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;

	if (code == '\'' || code == 0x2019 || code == 0x02BC) {
		if (c->open && c->letter && !c->apostrophe && !c->lone)
			c->apostrophe = 1;
		else
			word_end(c);
		return;
	}
	if (letter || (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)) {
		int lone = is_unspaced(code);

		if (lone || c->lone || (c->apostrophe && !letter))
			word_end(c);
		if (!c->open)
			c->start = c->w->folded.n;
		c->open = 1;
		c->letter = letter;
		c->apostrophe = 0;
		c->lone = lone;
	} else if (category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC) {
		if (c->apostrophe)
			word_end(c);
		if (!c->open)
			return;                 /* a mark on nothing is no word */
	} else if (category == UTF8PROC_CATEGORY_ME) {
		return;                         /* the ring of a keycap, around a digit */
	} else {
		word_end(c);
		return;
	}
	buf_put(&c->w->folded, bytes, (size_t)utf8proc_encode_char(code, bytes));
}

/* Valid UTF-8. */
static void
fold_piece(struct cutter *c, const utf8proc_uint8_t *at, size_t n)
{
	enum { N_CODE = 2 * PIECE_HARD };
	const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
	    UTF8PROC_IGNORE;
	utf8proc_int32_t few[N_CODE], *code = few;
	utf8proc_ssize_t n_code = utf8proc_decompose(at, (utf8proc_ssize_t)n, few, N_CODE, options);

	if (n_code > N_CODE) {
		code = xmalloc((size_t)n_code, sizeof *code);
		n_code = utf8proc_decompose(at, (utf8proc_ssize_t)n, code, n_code, options);
	}
	/* Folding makes i and a dot above it of the capital I with a dot: as the i has one anyway, that goes. */
	utf8proc_ssize_t n_kept = 0;
	for (utf8proc_ssize_t i = 0; i < n_code; i++)
		if (code[i] != 0x0307 || n_kept == 0 || code[n_kept - 1] != 'i')
			code[n_kept++] = code[i];
	n_code = n_kept;
	if (n_code > 0)
		n_code = utf8proc_normalize_utf32(code, n_code, options);
	for (utf8proc_ssize_t i = 0; i < n_code; i++)
		word_put(c, code[i]);
	if (code != few)
		free(code);
}

/* A mark or the middle or end of a Korean syllable belongs to the character before it. */
static int
is_bound(int32_t code)
{
	utf8proc_category_t category = utf8proc_category(code);

	return (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME) || (code >= 0x1160 && code <= 0x11FF);
}

/* Text between blanks that holds a byte of 0x80 or more. */
static void
fold_chunk(struct text_words *w, const utf8proc_uint8_t *at, size_t n)
{
	struct cutter c = { .w = w };
	size_t start = 0, i = 0;

	while (i < n) {
		utf8proc_int32_t code;
		utf8proc_ssize_t n_byte = utf8proc_iterate(at + i, (utf8proc_ssize_t)(n - i), &code);

		if (n_byte <= 0 || (i - start >= PIECE_SOFT && !is_bound(code)) || i - start >= PIECE_HARD) {
			fold_piece(&c, at + start, i - start);
			start = i;
		}
		if (n_byte <= 0) {
			word_end(&c);
			start = ++i;
		} else {
			i += (size_t)n_byte;
		}
	}
	fold_piece(&c, at + start, n - start);
	word_end(&c);
}

void
text_words(struct text_words *w, const char *text, size_t n)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t i = 0;

	w->n = 0;
	buf_clear(&w->folded);
	while (i < n) {
		size_t start = i, n_word = w->n, n_folded = w->folded.n;

		/* Plain ASCII up to the next blank: no word takes more room than it has there, and one blank. */
		size_t end = i;
		while (end < n && (at[end] >= 0x80 || ascii[at[end]] != ' '))
			if (at[end++] >= 0x80)
				break;
		int plain = end == start || at[end - 1] < 0x80;
		if (!plain) {
			while (end < n && (at[end] >= 0x80 || ascii[at[end]] != ' '))
				end++;
			fold_chunk(w, at + start, end - start);
			i = end + 1;
			continue;
		}
		buf_reserve(&w->folded, end - start + 1);
		char *out = w->folded.at + n_folded, *word = out;
		for (; i <= end; i++) {
			char c = i < end ? ascii[at[i]] : ' ';

			if (c > '\'' && c != '.') {
				*out++ = c;
			} else if (out > word) {
				if (c == '\'' && at[i - 1] >= 'A' && i + 1 < end && ascii[at[i + 1]] >= 'a')
					continue;
				w->at = xgrow(w->at, &w->n_cap, n_word + 1, sizeof *w->at);
				w->at[n_word++].n = (size_t)(out - word);
				*out++ = ' ';
				word = out;
			}
		}
		w->n = n_word;
		w->folded.n = (size_t)(out - w->folded.at);
	}
	/* folded has its last place only now. */
	const char *word = w->folded.at;
	for (size_t j = 0; j < w->n; j++) {
		w->at[j].at = word;
		word += w->at[j].n + 1;
	}
}

void
text_words_free(struct text_words *w)
{
	free(w->at);
	buf_free(&w->folded);
	*w = (struct text_words){0};
}
