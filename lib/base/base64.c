#include "base/num.h"

#include <string.h>

static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* What a letter stands for, plus 1; 0 for bytes that are none. */
#define UPPER(c) ['A' + c] = 1 + c, ['a' + c] = 27 + c
static const unsigned char number[256] = {
	UPPER(0), UPPER(1), UPPER(2), UPPER(3), UPPER(4), UPPER(5), UPPER(6), UPPER(7), UPPER(8), UPPER(9), UPPER(10),
	UPPER(11), UPPER(12), UPPER(13), UPPER(14), UPPER(15), UPPER(16), UPPER(17), UPPER(18), UPPER(19), UPPER(20),
	UPPER(21), UPPER(22), UPPER(23), UPPER(24), UPPER(25),
	['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61,
	['9'] = 62, ['+'] = 63, ['/'] = 64
};

size_t
num_base64_size(size_t n)
{
	return (n + 2) / 3 * 4;
}

void
num_base64_put(char *out, const void *at, size_t n)
{
	const unsigned char *p = at;

	for (; n >= 3; n -= 3, p += 3, out += 4) {
		uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
		out[0] = letter[v >> 18];
		out[1] = letter[v >> 12 & 63];
		out[2] = letter[v >> 6 & 63];
		out[3] = letter[v & 63];
	}
	if (n > 0) {
		uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
		out[0] = letter[v >> 18];
		out[1] = letter[v >> 12 & 63];
		out[2] = n == 2 ? letter[v >> 6 & 63] : '=';
		out[3] = '=';
	}
}

ptrdiff_t
num_base64_read(void *out, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char *o = out;

	if (n % 4 != 0)
		return -1;
	if (n == 0)
		return 0;
	const unsigned char *last = p + n - 4;
	for (; p < last; p += 4, o += 3) {
		uint32_t a = number[p[0]], b = number[p[1]], c = number[p[2]], d = number[p[3]];
		if (!a || !b || !c || !d)
			return -1;
		uint32_t v = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
		o[0] = (unsigned char)(v >> 16);
		o[1] = (unsigned char)(v >> 8);
		o[2] = (unsigned char)v;
	}
	/* Only here may there be padding, and then the bits that it cuts off must be zero: one text for one value. */
	int n_pad = p[3] != '=' ? 0 : p[2] != '=' ? 1 : 2;
	uint32_t v = 0;
	for (int i = 0; i < 4 - n_pad; i++) {
		if (!number[p[i]])
			return -1;
		v |= (uint32_t)(number[p[i]] - 1) << (18 - 6 * i);
	}
	if ((n_pad == 1 && (v & 0xFF) != 0) || (n_pad == 2 && (v & 0xFFFF) != 0))
		return -1;
	for (int i = 0; i < 3 - n_pad; i++)
		*o++ = (unsigned char)(v >> (16 - 8 * i));
	return o - (unsigned char *)out;
}
