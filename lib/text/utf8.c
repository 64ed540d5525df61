#include "text/text.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

int
text_is_valid(const char *text, size_t n)
{
	const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
	size_t i = 0;

	while (i < n) {
		uint64_t eight;
		utf8proc_int32_t code;

		if (n - i >= sizeof eight) {
			memcpy(&eight, at + i, sizeof eight);
			if (!(eight & UINT64_C(0x8080808080808080))) {
				i += sizeof eight;
				continue;
			}
		}
		utf8proc_ssize_t n_byte = utf8proc_iterate(at + i, (utf8proc_ssize_t)(n - i), &code);
		if (n_byte <= 0)
			return 0;
		i += (size_t)n_byte;
	}
	return 1;
}

size_t
text_code(const char *text, size_t n, uint32_t *code)
{
	utf8proc_int32_t got;

	if (n == 0)
		return 0;
	if (!(*text & 0x80)) {
		*code = (unsigned char)*text;
		return 1;
	}
	utf8proc_ssize_t n_byte = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &got);
	if (n_byte <= 0)
		return 0;
	*code = (uint32_t)got;
	return (size_t)n_byte;
}

enum text_class
text_class(uint32_t code)
{
	if (code < 0x80) {
		if ((code | 0x20) - 'a' < 26)
			return TEXT_LETTER;
		if (code - '0' < 10)
			return TEXT_NUMBER;
		return code == ' ' || code - '\t' < 5 ? TEXT_BLANK : TEXT_OTHER;
	}
	if (code == 0x85)               /* a control character that White_Space has */
		return TEXT_BLANK;
	switch (utf8proc_category((utf8proc_int32_t)code)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO:
		return TEXT_LETTER;
	case UTF8PROC_CATEGORY_ND:
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO:
		return TEXT_NUMBER;
	case UTF8PROC_CATEGORY_ZS:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return TEXT_BLANK;
	default:
		return TEXT_OTHER;
	}
}

/* Bytes and columns of the character at the start; a byte that belongs to none is one column wide, as a terminal
   shows a replacement for it. */
static size_t
character(const char *text, size_t n, size_t *n_column)
{
	utf8proc_int32_t code;
	utf8proc_ssize_t n_byte = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &code);

	if (n_byte <= 0) {
		*n_column = 1;
		return 1;
	}
	int width = utf8proc_charwidth(code);
	*n_column = width > 0 ? (size_t)width : 0;
	return (size_t)n_byte;
}

size_t
text_width(const char *text, size_t n)
{
	size_t width = 0, n_column;

	for (size_t i = 0; i < n; width += n_column)
		i += character(text + i, n - i, &n_column);
	return width;
}

size_t
text_fit(const char *text, size_t n, size_t width)
{
	size_t i = 0, n_column;

	while (i < n) {
		size_t n_byte = character(text + i, n - i, &n_column);

		if (n_column > width)
			break;
		width -= n_column;
		i += n_byte;
	}
	return i;
}
