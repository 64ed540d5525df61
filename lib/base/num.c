#include "base/num.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A decimal as it was read: digits 10^exponent. */
struct decimal {
	uint64_t digits;        /* the first 19 significant ones */
	int exponent;
	int is_cut;             /* there were more than 19 */
	int is_negative;
	size_t n_byte;          /* 0: no number starts there */
};

static int
is_digit(const char *s, const char *end)
{
	return s < end && (unsigned char)(*s - '0') < 10;
}

static struct decimal
scan(const char *s, const char *end)
{
	struct decimal d = {0};
	const char *p = s, *first;
	int n_digit = 0, n_read;
	enum { EXPONENT_MAX = 100000 };         /* far beyond every double, far from overflow */

	if (p < end && (*p == '-' || *p == '+'))
		d.is_negative = *p++ == '-';
	first = p;
	for (; is_digit(p, end); p++) {
		if (n_digit < 19) {
			d.digits = d.digits * 10 + (uint64_t)(*p - '0');
			n_digit += d.digits != 0;
		} else {
			d.is_cut = 1;
			d.exponent += d.exponent < EXPONENT_MAX;
		}
	}
	n_read = p > first;
	if (p < end && *p == '.') {
		first = ++p;
		for (; is_digit(p, end); p++) {
			if (n_digit < 19) {
				d.digits = d.digits * 10 + (uint64_t)(*p - '0');
				n_digit += d.digits != 0;
				d.exponent -= d.exponent > -EXPONENT_MAX;
			} else {
				d.is_cut = 1;
			}
		}
		n_read += p > first;
	}
	if (n_read == 0)
		return (struct decimal){0};
	if (p < end && (*p | 32) == 'e') {
		const char *q = p + 1;
		int negative = 0, e = 0;
		if (q < end && (*q == '-' || *q == '+'))
			negative = *q++ == '-';
		if (is_digit(q, end)) {
			for (; is_digit(q, end); q++)
				if (e < 10 * EXPONENT_MAX)
					e = e * 10 + (*q - '0');
			d.exponent += negative ? -e : e;
			p = q;
		}
	}
	d.n_byte = (size_t)(p - s);
	return d;
}

static const double power_of_ten[] = {          /* all that a double holds exactly */
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	1e20, 1e21, 1e22
};

static locale_t c_locale;

static void
make_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The rare decimals that the short way cannot decide, by the C library on a piece that ends in NUL. */
static double
read_slowly(const char *s, size_t n, int as_float)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char small[128], *copy = n < sizeof small ? small : xmalloc(n + 1, 1);

	pthread_once(&once, make_locale);
	memcpy(copy, s, n);
	copy[n] = '\0';
	double value = as_float ? (double)strtof_l(copy, NULL, c_locale) : strtod_l(copy, NULL, c_locale);
	if (copy != small)
		free(copy);
	return value;
}

size_t
num_scan_f32(const char *s, const char *end, float *value)
{
	struct decimal d = scan(s, end);

	if (d.n_byte == 0)
		return 0;
	if (d.digits == 0) {
		*value = d.is_negative ? -0.0f : 0.0f;
		return d.n_byte;
	}
	if (d.exponent >= -22 && d.exponent <= 22) {
		/* Three roundings at most (digits cut, digits to double, product): the double is off by less than 3 of
		   its last places, so rounding it once more to float is right unless it lies within 4 of the middle of
		   two floats. Neither end of the floats is reached: 1e-22 <= |x| < 1e19 1e22. */
		double x = (double)d.digits;
		x = d.exponent < 0 ? x / power_of_ten[-d.exponent] : x * power_of_ten[d.exponent];
		uint64_t bits;
		memcpy(&bits, &x, sizeof bits);
		if ((bits & 0x1FFFFFFF) - 0x0FFFFFFC > 8 && x < 0x1p127) {
			*value = (float)(d.is_negative ? -x : x);
			return d.n_byte;
		}
	}
	*value = (float)read_slowly(s, d.n_byte, 1);
	return isfinite(*value) ? d.n_byte : 0;
}

size_t
num_scan_f64(const char *s, const char *end, double *value)
{
	struct decimal d = scan(s, end);

	if (d.n_byte == 0)
		return 0;
	if (!d.is_cut && d.digits <= (uint64_t)1 << 53 && d.exponent >= -22 && d.exponent <= 22) {
		/* Both sides are exact, so the one operation rounds correctly (Clinger 1990). */
		double x = (double)d.digits;
		x = d.exponent < 0 ? x / power_of_ten[-d.exponent] : x * power_of_ten[d.exponent];
		*value = d.is_negative ? -x : x;
		return d.n_byte;
	}
	*value = read_slowly(s, d.n_byte, 0);
	return isfinite(*value) ? d.n_byte : 0;
}

int
num_read_f32(const char *s, size_t n, float *value)
{
	float x;

	if (n == 0 || num_scan_f32(s, s + n, &x) != n)
		return -1;
	*value = x;
	return 0;
}

int
num_read_f64(const char *s, size_t n, double *value)
{
	double x;

	if (n == 0 || num_scan_f64(s, s + n, &x) != n)
		return -1;
	*value = x;
	return 0;
}

int
num_read_u64(const char *s, size_t n, uint64_t *value)
{
	uint64_t x = 0;

	if (n == 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(s + i, s + n) || __builtin_mul_overflow(x, (uint64_t)10, &x) ||
		    __builtin_add_overflow(x, (uint64_t)(s[i] - '0'), &x))
			return -1;
	}
	*value = x;
	return 0;
}

int
num_read_i64(const char *s, size_t n, int64_t *value)
{
	int negative = n > 0 && s[0] == '-';
	uint64_t x;

	if (num_read_u64(s + negative, n - (size_t)negative, &x) < 0 || x > (uint64_t)INT64_MAX + (uint64_t)negative)
		return -1;
	*value = negative ? (int64_t)-x : (int64_t)x;
	return 0;
}

static size_t
put(char *out, double value, int as_float)
{
	char text[40];
	int n_digit, exponent, i;

	if (value == 0) {
		size_t n = signbit(value) != 0;
		out[0] = '-';
		out[n] = '0';
		return n + 1;
	}
	for (n_digit = as_float ? 6 : 15; ; n_digit++) {
		snprintf(text, sizeof text, "%.*e", n_digit - 1, fabs(value));
		if (as_float ? strtof(text, NULL) == (float)fabs(value) : strtod(text, NULL) == fabs(value))
			break;
	}
	char *e = strchr(text, 'e'), digit[32];
	exponent = atoi(e + 1);
	n_digit = 0;
	for (char *p = text; p < e; p++)
		if (*p != '.')
			digit[n_digit++] = *p;
	while (n_digit > 1 && digit[n_digit - 1] == '0')
		n_digit--;
	char *o = out;
	if (value < 0)
		*o++ = '-';
	int point = exponent + 1;
	if (point < -4 || point > 16) {
		*o++ = digit[0];
		if (n_digit > 1) {
			*o++ = '.';
			for (i = 1; i < n_digit; i++)
				*o++ = digit[i];
		}
		o += sprintf(o, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
	} else if (point <= 0) {
		*o++ = '0';
		*o++ = '.';
		for (i = point; i < 0; i++)
			*o++ = '0';
		for (i = 0; i < n_digit; i++)
			*o++ = digit[i];
	} else {
		for (i = 0; i < n_digit || i < point; i++) {
			if (i == point)
				*o++ = '.';
			*o++ = i < n_digit ? digit[i] : '0';
		}
	}
	return (size_t)(o - out);
}

size_t
num_put_f32(char out[NUM_F32_MAX], float value)
{
	return put(out, value, 1);
}

size_t
num_put_f64(char out[NUM_F64_MAX], double value)
{
	return put(out, value, 0);
}
