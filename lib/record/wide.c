/*
 * wide.c - vectors in float64, for programs whose results are compared with exact ones
 */
#include "record/inside.h"

#include <math.h>
#include <string.h>

#include "base/num.h"

static const double power_of_ten[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8 };

/* A number of up to nine digits, zeros at its ends not counted, is the float32 that it stands for everywhere; one of
   more can only be meant as float64. Returns its bytes, 0 if none starts there. */
static size_t
scan_slowly(const char *s, const char *end, double *value)
{
	float narrow;
	size_t n = num_scan_f64(s, end, value), n_digit = 0, n_significant = 0;

	for (const char *p = s; p < s + n && (*p | 32) != 'e'; p++) {
		n_digit += *p >= '0' && *p <= '9' && (n_digit > 0 || *p != '0');
		if (*p > '0')
			n_significant = n_digit;
	}
	if (n_significant > 9)
		return n;
	n = num_scan_f32(s, end, &narrow);
	*value = narrow;
	return n;
}

/* The same for what most numbers are, up to nine digits with a point among them. The quotient of two numbers that a
   double holds is rounded once; with at most eight places behind the point it is never so near to the middle of two
   float32 that rounding it a second time could go wrong (such a middle has 25 bits, 10^8 has 27). */
static inline size_t
scan(const char *s, const char *end, double *value)
{
	const char *p = s + (s < end && *s == '-'), *first = p, *point = NULL;
	uint32_t digits = 0;

	for (; p < end && p - first < 10; p++) {
		unsigned digit = (unsigned char)*p - '0';
		if (digit < 10)
			digits = digits * 10 + digit;
		else if (*p == '.' && !point)
			point = p;
		else
			break;
	}
	size_t n_digit = (size_t)(p - first) - (point != NULL), n_place = point ? (size_t)(p - point) - 1 : 0;
	if (n_digit - 1 >= 9 || n_place > 8 || (p < end && *p != ' ' && *p != ',' && *p != ']'))
		return scan_slowly(s, end, value);
	double whole = digits;
	if (n_place || digits >= 1u << 24)
		whole = (float)(whole / power_of_ten[n_place]);
	*value = *s == '-' ? -whole : whole;
	return (size_t)(p - s);
}

ptrdiff_t
record_vector_wide(const struct record_in *in, size_t i, int column, struct buf *out, struct fault *f)
{
	struct span cell = record_cell(in, i, column);
	const char *p = cell.at, *end = p + cell.n;
	size_t n_cap = out->n_cap / sizeof(double), n = 0;
	double *x = (double *)out->at;

	out->n = 0;
	while (p < end && *p != '[' && *p != 'f') {
		if (n == n_cap) {
			out->n = n * sizeof *x;
			buf_reserve(out, n * sizeof *x + 64 * sizeof *x);
			x = (double *)out->at;
			n_cap = out->n_cap / sizeof *x;
		}
		size_t n_byte = scan(p, end, &x[n]);
		p += n_byte;
		if (n_byte == 0 || (p < end && *p != ' '))
			break;          /* said below in the common words */
		n++;
		if (p == end) {
			out->n = n * sizeof *x;
			return (ptrdiff_t)n;
		}
		p++;
	}
	/* brackets, base64, and whatever is wrong */
	struct buf narrow = {0};
	ptrdiff_t got = record_vector_any(in, i, column, &narrow, f);
	out->n = 0;
	if (got > 0) {
		buf_reserve(out, (size_t)got * sizeof *x);
		x = (double *)out->at;
		for (ptrdiff_t j = 0; j < got; j++) {
			float v;
			memcpy(&v, narrow.at + (size_t)j * sizeof v, sizeof v);
			x[j] = v;
		}
		out->n = (size_t)got * sizeof *x;
	}
	buf_free(&narrow);
	return got;
}
