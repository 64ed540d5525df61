#include "base/num.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num_power.h"

__extension__ typedef unsigned __int128 wide;

/* A decimal as it was read: digits 10^exponent. */
struct decimal {
	uint64_t digits;        /* the first 19 significant ones */
	int exponent;
	int is_cut;             /* there were more than 19, and digits + 1 is above the number */
	int is_negative;
	size_t n_byte;          /* 0: no number starts there */
};

static inline int
is_digit(const char *s, const char *end)
{
	return s < end && (unsigned char)(*s - '0') < 10;
}

enum { EXPONENT_MAX = 1000000000 };     /* beyond every double and every text in memory, and far from overflow */

/* The digits from s on once more, when they are too many for 64 bits. */
static void
scan_long(struct decimal *d, const char *s, const char *end)
{
	int64_t exponent = 0;
	int n_digit = 0, is_behind_point = 0;

	d->digits = 0;
	for (; s < end; s++) {
		if (*s == '.') {
			is_behind_point = 1;
			continue;
		}
		if (n_digit < 19) {
			d->digits = d->digits * 10 + (uint64_t)(*s - '0');
			n_digit += d->digits != 0;
			exponent -= is_behind_point;
		} else {
			d->is_cut = 1;
			exponent += !is_behind_point;
		}
	}
	if (exponent > EXPONENT_MAX)
		exponent = EXPONENT_MAX;
	if (exponent < -EXPONENT_MAX)
		exponent = -EXPONENT_MAX;
	d->exponent = (int)exponent;
}

static inline struct decimal
scan(const char *s, const char *end)
{
	struct decimal d = {0};
	const char *p = s, *first, *point = NULL;
	uint64_t digits = 0;

	if (p < end && (*p == '-' || *p == '+'))
		d.is_negative = *p++ == '-';
	first = p;
	/* More digits than fit make nonsense here, which scan_long() puts right. */
	for (; is_digit(p, end); p++)
		digits = digits * 10 + (uint64_t)(*p - '0');
	if (p < end && *p == '.') {
		point = p++;
		for (; is_digit(p, end); p++)
			digits = digits * 10 + (uint64_t)(*p - '0');
	}
	ptrdiff_t n_digit = p - first - (point != NULL);
	if (n_digit == 0)
		return d;
	d.digits = digits;
	if (n_digit > 19)
		scan_long(&d, first, p);
	else if (point)
		d.exponent = -(int)(p - point - 1);
	if (p < end && (*p | 32) == 'e') {
		const char *q = p + 1;
		int is_negative = 0;
		int64_t e = 0;
		if (q < end && (*q == '-' || *q == '+'))
			is_negative = *q++ == '-';
		if (is_digit(q, end)) {
			for (; is_digit(q, end); q++)
				if (e < EXPONENT_MAX)
					e = e * 10 + (*q - '0');
			/* Two billion digits and such an exponent may cancel, so they are added before they are bounded. */
			e = d.exponent + (is_negative ? -e : e);
			d.exponent = e > EXPONENT_MAX ? EXPONENT_MAX : e < -EXPONENT_MAX ? -EXPONENT_MAX : (int)e;
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

/* Formats as num_read.c sees them: bits of the significand with the hidden one, and of the exponent. */
struct format {
	int n_bit, exponent_min, exponent_max;          /* of 1.xxx 2^e, normal numbers */
};
static const struct format f32 = { 24, -126, 127 }, f64 = { 53, -1022, 1023 };

/* The significand and exponent nearest to m 10^k (m > 0): m x the power of ten in 128 bits. -1 if the error of the
   power leaves two answers, or the result is no normal number. The idea is Eisel and Lemire's (Lemire, Number Parsing
   at a Gigabyte per Second, 2021), the proof simpler: the product is known to 2 in its last place, so rounding is
   sure unless it lies that near to the middle of two numbers. */
static int
multiply_out(const struct format *format, uint64_t m, int k, uint64_t *significand, int *exponent)
{
	if (k < -NUM_POWER_MAX || k > NUM_POWER_MAX)
		return -1;
	struct num_power g = num_power(k);
	int shift = __builtin_clzll(m);
	m <<= shift;
	wide p = (wide)m * g.hi + (uint64_t)((wide)m * g.lo >> 64);
	int e = num_power_log2(k) + 64 - shift;         /* p is in units of 2^(e - 127), 2^126 <= p < 2^128 */
	if (!(p >> 127)) {
		p <<= 1;
		e--;
	}
	int n_cut = 128 - format->n_bit;
	wide half = (wide)1 << (n_cut - 1), rest = p & ((half << 1) - 1);
	if (rest - (half - 4) <= 8)
		return -1;
	uint64_t s = (uint64_t)(p >> n_cut) + (rest > half);
	if (s >> format->n_bit) {
		s >>= 1;
		e++;
	}
	if (e < format->exponent_min || e > format->exponent_max)
		return -1;
	*significand = s;
	*exponent = e;
	return 0;
}

static locale_t c_locale;

static void
make_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The rare decimals that lie too near to the middle of two numbers, or at the ends of what there is: by the C library,
   on a piece that ends in NUL. */
static double
read_slowly(const struct format *format, const char *s, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char small[128], *copy = n < sizeof small ? small : xmalloc(n + 1, 1);

	pthread_once(&once, make_locale);
	memcpy(copy, s, n);
	copy[n] = '\0';
	double value = format == &f32 ? (double)strtof_l(copy, NULL, c_locale) : strtod_l(copy, NULL, c_locale);
	if (copy != small)
		free(copy);
	return value;
}

/* d, read from s, as a number of the format: exact or infinite. d.digits > 0. */
static double
nearest(const struct format *format, const struct decimal *d, const char *s)
{
	uint64_t significand, other;
	int e, other_e;

	if (multiply_out(format, d->digits, d->exponent, &significand, &e) < 0)
		return read_slowly(format, s, d->n_byte);
	/* What was cut off is less than one of the last digit: if one more makes no difference, it makes none. */
	if (d->is_cut && (multiply_out(format, d->digits + 1, d->exponent, &other, &other_e) < 0 ||
	    other != significand || other_e != e))
		return read_slowly(format, s, d->n_byte);
	/* A double holds both formats: sign, exponent, significand without its hidden bit. */
	uint64_t bits = (uint64_t)d->is_negative << 63 | (uint64_t)(e + 1023) << 52 |
	    (significand << (53 - format->n_bit) & (((uint64_t)1 << 52) - 1));
	double value;
	memcpy(&value, &bits, sizeof value);
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
	if (d.exponent >= -22 && d.exponent <= 0) {
		/* Three roundings at most (digits cut, digits to double, quotient): the double is off by less than 3 of
		   its last places, so rounding it once more to float is right unless it lies within 4 of the middle of
		   two floats. 1e-22 and 1e19 are far from the ends of the floats. */
		double x = (double)d.digits / power_of_ten[-d.exponent];
		uint64_t bits;
		memcpy(&bits, &x, sizeof bits);
		if ((bits & 0x1FFFFFFF) - 0x0FFFFFFC > 8) {
			*value = (float)(d.is_negative ? -x : x);
			return d.n_byte;
		}
	}
	double x = nearest(&f32, &d, s);
	if (!isfinite(x))
		return 0;
	*value = (float)x;
	return d.n_byte;
}

size_t
num_scan_f64(const char *s, const char *end, double *value)
{
	struct decimal d = scan(s, end);

	if (d.n_byte == 0)
		return 0;
	if (d.digits == 0) {
		*value = d.is_negative ? -0.0 : 0.0;
		return d.n_byte;
	}
	if (!d.is_cut && d.digits <= (uint64_t)1 << 53 && d.exponent >= -22 && d.exponent <= 22) {
		/* Both sides are exact, so the one operation rounds correctly (Clinger 1990). */
		double x = (double)d.digits;
		x = d.exponent < 0 ? x / power_of_ten[-d.exponent] : x * power_of_ten[d.exponent];
		*value = d.is_negative ? -x : x;
		return d.n_byte;
	}
	double x = nearest(&f64, &d, s);
	if (!isfinite(x))
		return 0;
	*value = x;
	return d.n_byte;
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
	size_t n_sign = n > 0 && s[0] == '-';
	uint64_t x;

	if (num_read_u64(s + n_sign, n - n_sign, &x) < 0 || x > (uint64_t)INT64_MAX + n_sign)
		return -1;
	*value = n_sign ? (int64_t)-x : (int64_t)x;
	return 0;
}
