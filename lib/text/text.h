/*
 * text.h - words and sentences of UTF-8 text. The only caller of utf8proc.
 *
 *   words       NFKC and case folded, without what Unicode calls ignorable; a word is a maximal run of letters, marks
 *               and numbers (categories L, M, N) that begins with a letter or number; an apostrophe between letters is
 *               dropped ("don't" is "dont"); letters of Han, Hiragana, Katakana, Thai and the like, which are written
 *               without blanks, are a word each, with their marks; a dot above i is dropped
 *   sentences   end at . ! ? (or their full-width forms) before a blank and something that can begin a sentence, not
 *               after one letter, a number of one or two digits or a known abbreviation; and at the end of a line,
 *               unless the next goes on in small letters. List marks ("- ", "1. ") at the start of a line begin a
 *               sentence and are not part of it
 *   bad bytes   invalid UTF-8 separates words and is otherwise passed over; text_is_valid() tells
 *   cost        text_words() 1-2 ns a byte of ASCII, about 12 ns a byte of the rest
 */
#ifndef HARE_TEXT_TEXT_H
#define HARE_TEXT_TEXT_H

#include <stdint.h>

#include "base/mem.h"

struct text_words {             /* scratch and result; {0} to begin, text_words_free() to end */
	struct span *at;        /* [n], folded, borrowed from folded until the next call. They lie there in order, one
	                           blank apart, so that a word and the next are together one span "word next" */
	size_t n, n_cap;
	struct buf folded;
};
void text_words(struct text_words *w, const char *text, size_t n);
void text_words_free(struct text_words *w);

struct text_sentences {
	struct span *at;        /* [n], borrowed from the text itself, blanks at both ends cut */
	size_t n, n_cap;
};
void text_sentences(struct text_sentences *s, const char *text, size_t n);
void text_sentences_free(struct text_sentences *s);

int text_is_valid(const char *text, size_t n);          /* UTF-8 */
/* The character at the start of text: its bytes, 1 to 4; 0 for n = 0 and for bytes that are no UTF-8. */
size_t text_code(const char *text, size_t n, uint32_t *code);
/* What it is to the regular expressions \p{L}, \p{N} and \s. Blank is Unicode's White_Space, as in the regex module of
   Python: with U+0085, without U+180E, U+FEFF and the separators U+001C to U+001F. */
enum text_class { TEXT_OTHER, TEXT_LETTER, TEXT_NUMBER, TEXT_BLANK };
enum text_class text_class(uint32_t code);
size_t text_width(const char *text, size_t n);          /* columns of a terminal */
/* Bytes of the longest start of text that is at most width columns wide and ends between characters. */
size_t text_fit(const char *text, size_t n, size_t width);

#endif
