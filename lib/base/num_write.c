#include "base/num.h"

#include <string.h>

#include "base/num_power.h"

__extension__ typedef unsigned __int128 wide;

/* digits 10^exponent */
struct decimal {
	uint64_t digits;
	int exponent;
};

/* floor(g c / 2^128), made odd if anything was cut off: enough to tell less, equal and more (Schubfach, section 9.6).
   g is too large by less than 1, so that a rest of 0 or 1 in the next 64 bits means none. */
static inline uint64_t
round_to_odd(struct num_power g, uint64_t c)
{
	wide low = (wide)g.lo * c, high = (wide)g.hi * c + (uint64_t)(low >> 64);

	return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The shortest decimal within the interval of numbers that read back as c 2^q; of several the nearest to it. n_bit: of
   the format's significand. is_power: c is its smallest one, so that the lower neighbour is nearer than the upper. */
static inline struct decimal
shortest(uint64_t c, int q, int n_bit, int is_power)
{
	if (q <= 0 && q > -n_bit && (c & (((uint64_t)1 << -q) - 1)) == 0)
		return (struct decimal){ c >> -q, 0 };

	/* 10^k is the largest power of ten that is not wider than the interval; v and its ends l, r are taken in
	   quarters of it. */
	int k = (q * 1262611 - (is_power ? 524031 : 0)) >> 22;
	int h = q + num_power_log2(-k) + 1;
	struct num_power g = num_power(-k);
	uint64_t is_odd = c & 1;        /* ties read back to the even one: an odd c loses the ends */
	uint64_t l = round_to_odd(g, (4 * c - 2 + (uint64_t)is_power) << h) + is_odd;
	uint64_t v = round_to_odd(g, 4 * c << h);
	uint64_t r = round_to_odd(g, (4 * c + 2) << h) - is_odd;
	uint64_t s = v / 4;

	/* At most one number with a digit less fits. */
	if (s >= 10) {
		uint64_t t = s / 10;
		int low_fits = l <= 40 * t, high_fits = 40 * t + 40 <= r;
		if (low_fits != high_fits)
			return (struct decimal){ t + (uint64_t)high_fits, k + 1 };
	}
	int low_fits = l <= 4 * s, high_fits = 4 * s + 4 <= r;
	if (low_fits != high_fits)
		return (struct decimal){ s + (uint64_t)high_fits, k };
	uint64_t middle = 4 * s + 2;
	return (struct decimal){ s + (v > middle || (v == middle && (s & 1))), k };
}

static const char pair[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

enum { DIGIT_BYTES = 24 };      /* 20 digits of 64 bits, and room to copy without counting */

/* Right-aligned in text[0..20); returns where they begin. */
static inline char *
put_digits(char text[DIGIT_BYTES], uint64_t v)
{
	char *p = text + 20;

	while (v > UINT32_MAX) {
		p -= 2;
		memcpy(p, pair + 2 * (v % 100), 2);
		v /= 100;
	}
	/* the rest in 32 bits, where division is cheaper */
	uint32_t w = (uint32_t)v;
	while (w >= 100) {
		p -= 2;
		memcpy(p, pair + 2 * (w % 100), 2);
		w /= 100;
	}
	if (w >= 10) {
		p -= 2;
		memcpy(p, pair + 2 * w, 2);
	} else {
		*--p = (char)('0' + w);
	}
	return p;
}

/* d.digits > 0. room: bytes of out. */
static inline size_t
put(char *out, size_t room, int is_negative, struct decimal d)
{
	char text[DIGIT_BYTES + 32], *digit = put_digits(text, d.digits), *o = out;
	int n = (int)(text + 20 - digit), point = n + d.exponent;       /* 0.DIGITS 10^point */

	while (digit[n - 1] == '0')
		n--;
	if (is_negative)
		*o++ = '-';
	if (point > -5 && point <= 0) {
		/* The usual case: copies of a fixed size. "-0.0000" and 17 digits, or 9, leave the room for it. */
		memcpy(o, "0.0000", 6);
		o += 2 - point;
		memcpy(o, digit, room - 8);
		o += n;
	} else if (point > 0 && point <= 16) {
		int n_whole = n < point ? n : point;
		for (int i = 0; i < n_whole; i++)
			*o++ = digit[i];
		for (int i = n; i < point; i++)
			*o++ = '0';
		if (n > point) {
			*o++ = '.';
			for (int i = point; i < n; i++)
				*o++ = digit[i];
		}
	} else {
		int e = point - 1;
		*o++ = digit[0];
		if (n > 1) {
			*o++ = '.';
			for (int i = 1; i < n; i++)
				*o++ = digit[i];
		}
		*o++ = 'e';
		*o++ = e < 0 ? '-' : '+';
		if (e < 0)
			e = -e;
		if (e >= 100)
			*o++ = (char)('0' + e / 100);
		memcpy(o, pair + 2 * (e % 100), 2);
		o += 2;
	}
	return (size_t)(o - out);
}

static size_t
put_zero(char *out, int is_negative)
{
	out[0] = '-';
	out[is_negative] = '0';
	return (size_t)is_negative + 1;
}

size_t
num_put_f32(char out[NUM_F32_MAX], float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	int is_negative = bits >> 31, e = bits >> 23 & 0xFF;
	uint32_t fraction = bits & 0x7FFFFF;
	if (e == 0 && fraction == 0)
		return put_zero(out, is_negative);
	/* A number below the normal ones has the exponent of the first of them, and no hidden bit. */
	struct decimal d = e ? shortest(fraction | 0x800000, e - 150, 24, fraction == 0 && e > 1) :
	    shortest(fraction, -149, 24, 0);
	return put(out, NUM_F32_MAX, is_negative, d);
}

size_t
num_put_f64(char out[NUM_F64_MAX], double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	int is_negative = (int)(bits >> 63), e = (int)(bits >> 52 & 0x7FF);
	uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
	if (e == 0 && fraction == 0)
		return put_zero(out, is_negative);
	struct decimal d = e ? shortest(fraction | (uint64_t)1 << 52, e - 1075, 53, fraction == 0 && e > 1) :
	    shortest(fraction, -1074, 53, 0);
	return put(out, NUM_F64_MAX, is_negative, d);
}
