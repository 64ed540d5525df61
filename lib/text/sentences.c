#include "text/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Folded to lower case, without the last stop; those of single letters ("e.g.", "U.S.") are known by their form. */
static const char *const abbreviations[] = {
	"al", "approx", "apr", "assoc", "aug", "bzw", "ca", "cf", "corp", "dec", "dept", "dr", "eds", "eq", "eqs",
	"esp", "etc", "feb", "fig", "figs", "gov", "hr", "inc", "incl", "jan", "jr", "jul", "jun", "ltd", "mr",
	"mrs", "ms", "nos", "nov", "nr", "oct", "orig", "pp", "prof", "resp", "rev", "sept", "sr", "st", "vgl",
	"viz", "vol", "vols", "vs",
};

static int
compare_names(const void *a, const void *b)
{
	return strcmp(a, *(const char *const *)b);
}

/* The character at i, and its bytes; a byte that belongs to none is a character of category "other". */
static int32_t
code_at(const char *text, size_t i, size_t n, size_t *n_byte)
{
	utf8proc_int32_t code;
	unsigned char c = (unsigned char)text[i];

	*n_byte = 1;
	if (c < 0x80)
		return c;
	utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &code);
	if (got <= 0)
		return 0xFFFD;
	*n_byte = (size_t)got;
	return code;
}

static int
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Anything but a small letter, a closing mark or a comma. */
static int
may_begin(int32_t code)
{
	switch (utf8proc_category(code)) {
	case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_PE:
	case UTF8PROC_CATEGORY_PF: case UTF8PROC_CATEGORY_PD:
		return 0;
	default:
		return code != ',' && code != ';' && code != ':' && code != '.' && code != '!' && code != '?' && code != '/';
	}
}

/* Closing quotes and brackets belong to the sentence that they end. */
static int
is_closing(int32_t code)
{
	utf8proc_category_t category = utf8proc_category(code);

	return code == '"' || code == '\'' || category == UTF8PROC_CATEGORY_PE || category == UTF8PROC_CATEGORY_PF;
}

/* The stop at text[dot] ends no sentence: after a single letter, an abbreviation or a number of one or two digits
   ("3. Step"); "from" is where the sentence begins. */
static int
is_abbreviated(const char *text, size_t from, size_t dot)
{
	size_t start = dot, n, n_digit = 0;
	char name[16];

	while (start > from && !is_blank(text[start - 1]))
		start--;
	while (start < dot && strchr("([{\"'", text[start]))
		start++;
	n = dot - start;
	if (n == 0)
		return 0;
	for (size_t i = start; i < dot; i++)
		n_digit += is_digit(text[i]);
	if (n_digit == n)
		return n <= 2;
	/* letters, each followed by a stop: "e.g", "U.S", "J" */
	for (size_t i = start; ; ) {
		size_t n_byte;
		utf8proc_category_t category = utf8proc_category(code_at(text, i, dot, &n_byte));

		if (category < UTF8PROC_CATEGORY_LU || category > UTF8PROC_CATEGORY_LM)
			break;
		i += n_byte;
		if (i == dot)
			return 1;
		if (text[i] != '.' || ++i == dot)
			break;
	}
	if (n >= sizeof name)
		return 0;
	for (size_t i = 0; i < n; i++) {
		char c = text[start + i];
		name[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	name[n] = '\0';
	return bsearch(name, abbreviations, sizeof abbreviations / sizeof *abbreviations, sizeof *abbreviations,
	    compare_names) != NULL;
}

/* Bytes of a list mark and the blanks behind it at the start of a line: "- ", "* ", "• ", "1. ", "2) ", "(3) ", "a) ".
   0 if there is none. */
static size_t
list_mark(const char *text, size_t n)
{
	size_t i = 0, n_byte, n_name = 0;

	if (n == 0)
		return 0;
	int32_t code = code_at(text, 0, n, &n_byte);
	if (code == '-' || code == '*' || code == '+' || code == 0x2022 || code == 0x2023 || code == 0x25E6 ||
	    code == 0x2043 || code == 0x2013 || code == 0x2014 || code == 0x00B7) {
		i = n_byte;
	} else {
		int bracket = text[0] == '(';

		i = (size_t)bracket;
		while (i < n && is_digit(text[i]) && n_name < 4)
			i++, n_name++;
		int number = n_name > 0;
		if (!number && i < n && ((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z')))
			i++, n_name++;
		if (n_name == 0 || i >= n || !(text[i] == ')' || (number && !bracket && text[i] == '.')))
			return 0;
		i++;
	}
	if (i >= n || (text[i] != ' ' && text[i] != '\t'))
		return 0;
	while (i < n && (text[i] == ' ' || text[i] == '\t'))
		i++;
	return i;
}

static void
add(struct text_sentences *s, const char *text, size_t from, size_t to)
{
	while (from < to && is_blank(text[from]))
		from++;
	while (to > from && is_blank(text[to - 1]))
		to--;
	if (from == to)
		return;
	s->at = xgrow(s->at, &s->n_cap, s->n + 1, sizeof *s->at);
	s->at[s->n++] = (struct span){ text + from, to - from };
}

static size_t
skip_blanks(const char *text, size_t i, size_t n)
{
	while (i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
		i++;
	return i;
}

void
text_sentences(struct text_sentences *s, const char *text, size_t n)
{
	size_t from, i, n_byte;

	s->n = 0;
	i = skip_blanks(text, 0, n);
	from = i = i + list_mark(text + i, n - i);
	while (i < n) {
		int32_t code = code_at(text, i, n, &n_byte);

		if (code == '\n') {
			/* A line that goes on in small letters was only wrapped. */
			size_t next = skip_blanks(text, i + 1, n), mark;

			mark = list_mark(text + next, n - next);
			if (next < n && !mark && text[next] != '\n') {
				code = code_at(text, next, n, &n_byte);
				if (utf8proc_category(code) == UTF8PROC_CATEGORY_LL) {
					i = next;
					continue;
				}
			}
			add(s, text, from, i);
			from = i = next + mark;
			continue;
		}
		int wide = code == 0x3002 || code == 0xFF01 || code == 0xFF1F || code == 0xFF0E;
		if (code != '.' && code != '!' && code != '?' && !wide) {
			i += n_byte;
			continue;
		}
		size_t dot = i, end = i + n_byte;
		while (end < n) {               /* "?!", "...", closing quotes */
			int32_t more = code_at(text, end, n, &n_byte);

			if (more != '.' && more != '!' && more != '?' && !is_closing(more))
				break;
			end += n_byte;
		}
		i = end;
		if (!wide && (end == n || !is_blank(text[end])))
			continue;
		size_t next = skip_blanks(text, end, n);
		if (next < n && text[next] == '\n') {
			i = next;
			continue;                       /* the line's end decides */
		}
		if (next < n && !may_begin(code_at(text, next, n, &n_byte)))
			continue;
		if (code == '.' && end == dot + 1 && is_abbreviated(text, from, dot))
			continue;
		add(s, text, from, end);
		from = i = next;
	}
	add(s, text, from, n);
}

void
text_sentences_free(struct text_sentences *s)
{
	free(s->at);
	*s = (struct text_sentences){0};
}
