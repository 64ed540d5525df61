/*
 * wide.c - vectors in float64, for programs whose results are compared with exact ones
 */
#include "record/inside.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/num.h"

static const double power_of_ten[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8 };

/* What most numbers are: up to nine digits, a point among them or not. Both parts of the quotient are exact in a double,
   so it is the double nearest to the decimal (Clinger's fast path). The rest is for num_scan_f64(); beyond float32, which
   no other program of ours could read, there is no number. Returns its bytes, 0 if none starts there. */
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
	if (n_digit - 1 >= 9 || n_place > 8 || (p < end && *p != ' ' && *p != ',' && *p != ']')) {
		size_t n = num_scan_f64(s, end, value);
		return n > 0 && fabs(*value) <= FLT_MAX ? n : 0;
	}
	double whole = n_place ? digits / power_of_ten[n_place] : digits;
	*value = *s == '-' ? -whole : whole;
	return (size_t)(p - s);
}

static const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && *p == ' ')
		p++;
	return p;
}

ptrdiff_t
record_vector_wide(const struct record_in *in, size_t i, int column, struct buf *out, struct fault *f)
{
	struct span cell = record_cell(in, i, column);
	const char *p = cell.at, *end = p + cell.n;
	int in_brackets = cell.n > 0 && *p == '[';
	size_t n_cap = out->n_cap / sizeof(double), n = 0;
	double *x = (double *)out->at;

	out->n = 0;
	if (in_brackets)
		p = skip_blanks(p + 1, end);
	while (p < end && *p != 'f') {
		if (n == n_cap) {
			out->n = n * sizeof *x;
			buf_reserve(out, n * sizeof *x + 64 * sizeof *x);
			x = (double *)out->at;
			n_cap = out->n_cap / sizeof *x;
		}
		size_t n_byte = scan(p, end, &x[n]);
		if (n_byte == 0)
			break;          /* said below in the common words */
		p += n_byte;
		n++;
		if (in_brackets)
			p = skip_blanks(p, end);
		int is_last = in_brackets ? p + 1 == end && *p == ']' : p == end;
		if (is_last) {
			out->n = n * sizeof *x;
			return (ptrdiff_t)n;
		}
		if (p == end || *p != (in_brackets ? ',' : ' '))
			break;
		p = in_brackets ? skip_blanks(p + 1, end) : p + 1;
	}
	/* base64, no numbers at all, and whatever is wrong */
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
