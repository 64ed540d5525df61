/* Numbers as text against the C library: what is read, what is written, and that nothing shorter would do. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "base/rng.h"
#include "claim.h"

static float
float_of(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, sizeof x);
	return x;
}

static double
double_of(uint64_t bits)
{
	double x;

	memcpy(&x, &bits, sizeof x);
	return x;
}

/* First text that did not hold, for the line of a claim that failed. */
static char wrong[64];

static int
note(const char *text, size_t n)
{
	if (!wrong[0])
		snprintf(wrong, sizeof wrong, " (%.*s)", n < 50 ? (int)n : 50, text);
	return 0;
}

static const char *
first_wrong(void)
{
	static char text[64];

	memcpy(text, wrong, sizeof text);
	wrong[0] = '\0';
	return text;
}

static int
n_digit_of(const char *text, size_t n)
{
	int n_digit = 0, n_zero = 0, is_first = 1;

	for (size_t i = 0; i < n && text[i] != 'e'; i++) {
		if (text[i] == '-' || text[i] == '.' || (is_first && text[i] == '0'))
			continue;
		is_first = 0;
		n_digit++;
		n_zero = text[i] == '0' ? n_zero + 1 : 0;
	}
	return n_digit - n_zero;
}

/* Bit for bit the same after writing and reading, by us and by the C library. */
static int
float_returns(float x)
{
	char text[NUM_F32_MAX + 1];
	size_t n = num_put_f32(text, x);
	float ours = NAN, theirs;

	text[n] = '\0';
	theirs = strtof(text, NULL);
	return (num_read_f32(text, n, &ours) == 0 && memcmp(&ours, &x, sizeof x) == 0 && memcmp(&theirs, &x, sizeof x) == 0)
	    || note(text, n);
}

static int
double_returns(double x)
{
	char text[NUM_F64_MAX + 1];
	size_t n = num_put_f64(text, x);
	double ours = NAN, theirs;

	text[n] = '\0';
	theirs = strtod(text, NULL);
	return (num_read_f64(text, n, &ours) == 0 && memcmp(&ours, &x, sizeof x) == 0 && memcmp(&theirs, &x, sizeof x) == 0)
	    || note(text, n);
}

/* The nearest decimal with one digit less is another number, and with as many digits we wrote the nearest. */
static int
float_is_shortest(float x)
{
	char text[NUM_F32_MAX + 1], other[64];
	size_t n = num_put_f32(text, x);
	int n_digit = n_digit_of(text, n);

	text[n] = '\0';
	if (n_digit > 1) {
		snprintf(other, sizeof other, "%.*e", n_digit - 2, (double)x);
		if (strtof(other, NULL) == x)
			return note(text, n);
	}
	snprintf(other, sizeof other, "%.*e", n_digit - 1, (double)x);
	/* at a power of two the nearest may lie beyond the nearer end */
	return strtof(other, NULL) != x || strtod(other, NULL) == strtod(text, NULL) || note(text, n);
}

static int
double_is_shortest(double x)
{
	char text[NUM_F64_MAX + 1], other[64];
	size_t n = num_put_f64(text, x);
	int n_digit = n_digit_of(text, n);
	char ours[64];

	text[n] = '\0';
	if (n_digit > 1) {
		snprintf(other, sizeof other, "%.*e", n_digit - 2, x);
		if (strtod(other, NULL) == x)
			return note(text, n);
	}
	snprintf(other, sizeof other, "%.*e", n_digit - 1, x);
	if (strtod(other, NULL) != x)
		return 1;
	/* the same digits: those of ours, written in the manner of theirs */
	int k = 0;
	for (size_t i = 0, is_first = 1; i < n && text[i] != 'e'; i++) {
		if (text[i] == '-' || text[i] == '.' || (is_first && text[i] == '0'))
			continue;
		is_first = 0;
		ours[k++] = text[i];
	}
	char theirs[64];
	int m = 0;
	for (char *p = other; *p != 'e'; p++)
		if (*p != '-' && *p != '.')
			theirs[m++] = *p;
	return memcmp(ours, theirs, (size_t)n_digit) == 0 || note(text, n);
}

/* Text is read as the C library reads it; what overflows is no number. */
static int
reads_as_library(const char *text)
{
	size_t n = strlen(text);
	float f = NAN, f_library = strtof(text, NULL);
	double d = NAN, d_library = strtod(text, NULL);
	size_t n_f = num_scan_f32(text, text + n, &f), n_d = num_scan_f64(text, text + n, &d);

	if (isinf(f_library) ? n_f != 0 : n_f != n || memcmp(&f, &f_library, sizeof f) != 0)
		return note(text, n);
	if (isinf(d_library) ? n_d != 0 : n_d != n || memcmp(&d, &d_library, sizeof d) != 0)
		return note(text, n);
	return 1;
}

static void
check_floats(void)
{
	struct rng r = rng_at(20, 1);
	int returns = 1, shortest = 1;

	for (uint32_t e = 0; e < 255; e++) {
		for (int step = -3; step <= 3; step++) {
			uint32_t bits = (e << 23) + (uint32_t)step;
			float x = float_of(bits & 0x7FFFFFFF);
			if (!isfinite(x) || x == 0)
				continue;
			returns &= float_returns(x) & float_returns(-x);
			shortest &= float_is_shortest(x);
		}
	}
	claim(returns, "floats at and beside every power of two return bit for bit%s", first_wrong());
	claim(shortest, "no shorter text gives a float at or beside a power of two%s", first_wrong());

	returns = shortest = 1;
	for (uint32_t bits = 1; bits < 20000; bits++) {
		returns &= float_returns(float_of(bits)) & float_returns(float_of(0x7F800000 - bits));
		if (bits < 5000)
			shortest &= float_is_shortest(float_of(bits));
	}
	claim(returns, "the smallest and the largest floats return bit for bit%s", first_wrong());
	claim(shortest, "no shorter text gives one of the smallest floats%s", first_wrong());

	returns = shortest = 1;
	for (int i = 0; i < 2000000; i++) {
		float x = float_of(rng_u32(&r));
		if (!isfinite(x))
			continue;
		returns &= float_returns(x);
		if (i % 16 == 0 && x != 0)
			shortest &= float_is_shortest(x);
	}
	claim(returns, "two million random bit patterns of floats return bit for bit%s", first_wrong());
	claim(shortest, "no shorter text gives random floats, and of as short ones ours is the nearest%s", first_wrong());

	returns = shortest = 1;
	for (int i = 0; i < 200000; i++) {
		float x = (float)(rng_normal(&r) * .1);
		returns &= float_returns(x) & float_returns((float)i);
		shortest &= float_is_shortest(x);
	}
	claim(returns & shortest, "values of vectors and whole numbers return in shortest form%s", first_wrong());
}

static void
check_doubles(void)
{
	struct rng r = rng_at(20, 2);
	int returns = 1, shortest = 1;

	for (uint64_t e = 0; e < 2047; e++) {
		for (int step = -2; step <= 2; step++) {
			double x = double_of(((e << 52) + (uint64_t)(int64_t)step) & INT64_MAX);
			if (!isfinite(x) || x == 0)
				continue;
			returns &= double_returns(x) & double_returns(-x);
			shortest &= double_is_shortest(x);
		}
	}
	claim(returns, "doubles at and beside every power of two return bit for bit%s", first_wrong());
	claim(shortest, "no shorter text gives a double at or beside a power of two%s", first_wrong());

	returns = shortest = 1;
	for (int i = 0; i < 400000; i++) {
		double x = double_of(rng_u64(&r));
		if (!isfinite(x))
			continue;
		returns &= double_returns(x) & double_returns(double_of((uint64_t)i));
		if (i % 8 == 0 && x != 0)
			shortest &= double_is_shortest(x);
	}
	claim(returns, "random bit patterns of doubles and the smallest doubles return bit for bit%s", first_wrong());
	claim(shortest, "no shorter text gives random doubles, and of as short ones ours is the nearest%s", first_wrong());

	returns = 1;
	for (int i = 0; i < 100000; i++)
		returns &= double_returns(i / 100.0) & double_returns((double)(rng_u64(&r) >> rng_below(&r, 64)));
	claim(returns, "hundredths and whole doubles return bit for bit%s", first_wrong());
}

static void
check_decimals(void)
{
	struct rng r = rng_at(20, 3);
	char text[1024];
	int same = 1;

	for (int k = -400; k <= 400; k++) {
		for (int m = 1; m < 10; m++) {
			snprintf(text, sizeof text, "%de%d", m, k);
			same &= reads_as_library(text);
		}
	}
	claim(same, "a digit times any power of ten is read as strtof and strtod read it%s", first_wrong());

	same = 1;
	for (int i = 0; i < 500000; i++) {
		size_t n = 0, n_digit = 1 + rng_below(&r, 25), point = rng_below(&r, n_digit + 1);
		if (rng_below(&r, 2))
			text[n++] = "-+"[rng_below(&r, 2)];
		for (size_t j = 0; j < n_digit; j++) {
			if (j == point)
				text[n++] = '.';
			text[n++] = (char)('0' + rng_below(&r, 10));
		}
		text[n] = '\0';
		if (rng_below(&r, 3)) {
			int range = rng_below(&r, 4) ? 45 : 400;
			snprintf(text + n, sizeof text - n, "%c%d", "eE"[rng_below(&r, 2)], (int)rng_below(&r, (uint64_t)range * 2) - range);
		}
		same &= reads_as_library(text);
	}
	claim(same, "half a million random decimals are read as strtof and strtod read them%s", first_wrong());

	/* The middle of two floats takes up to 113 digits beyond 1e-45, and has the digits of a double. */
	same = 1;
	for (int i = 0; i < 60000; i++) {
		uint32_t bits = rng_u32(&r) & 0x7FFFFFFF;
		if (i % 3 == 0)
			bits %= 0x02000000;
		if (!isfinite(float_of(bits + 1)) || isnan(float_of(bits)))
			continue;
		double middle = ((double)float_of(bits) + (double)float_of(bits + 1)) / 2;
		snprintf(text, sizeof text, "%.*e", (int)(150 - rng_below(&r, 130)), middle);
		same &= reads_as_library(text);
		char *e = strchr(text, 'e'), tail[16];
		snprintf(tail, sizeof tail, "%s", e);
		snprintf(e, sizeof text - (size_t)(e - text), "00000000001%s", tail);
		same &= reads_as_library(text);
		while (*--e == '0' && e[-1] != '.')
			;
		if (*e > '0') {
			--*e;
			snprintf(e + 1, sizeof text - (size_t)(e + 1 - text), "9999999999%s", tail);
			same &= reads_as_library(text);
		}
	}
	claim(same, "the middle of two floats, and a hair above and below, goes the right way%s", first_wrong());

	same = 1;
	for (int i = 0; i < 20000; i++) {
		/* odd numbers of 54 bits are the middle of two doubles */
		uint64_t middle = (rng_u64(&r) >> 10 | (uint64_t)1 << 53) | 1;
		snprintf(text, sizeof text, "%llu.%s%d", (unsigned long long)middle, "000000000000000000000", (int)rng_below(&r, 2));
		same &= reads_as_library(text);
		snprintf(text, sizeof text, "%llue%d", (unsigned long long)middle, (int)rng_below(&r, 600) - 300);
		same &= reads_as_library(text);
	}
	claim(same, "the middle of two doubles goes to the even one, and above it up%s", first_wrong());

	char *longest = malloc(200001);
	memset(longest, '0', 200000);
	longest[200000] = '\0';
	longest[1] = '.';
	longest[150000] = '7';
	float f;
	size_t n = num_scan_f32(longest, longest + 200000, &f);
	claim(n == 200000 && f == 0, "150,000 zeros behind the point are a number too small for a float: 0");
	memcpy(longest + 199993, "e149999", 7);
	claim(num_read_f32(longest, 200000, &f) == 0 && f == 7, "and its exponent is added before it is judged");
	free(longest);
}

static void
check_forms(void)
{
	static const struct {
		double value;
		const char *text;
	} doubles[] = {
		{ 0, "0" }, { -0.0, "-0" }, { 1, "1" }, { -3, "-3" }, { .1, "0.1" }, { 1e-5, "0.00001" }, { 1e-6, "1e-06" },
		{ 1e-7, "1e-07" }, { 1.5e20, "1.5e+20" }, { 1e15, "1000000000000000" }, { 1e16, "1e+16" }, { 1234.5, "1234.5" },
		{ 9007199254740992, "9007199254740992" }, { 9999999999999998, "9999999999999998" }, { 5e-324, "5e-324" },
		{ DBL_MAX, "1.7976931348623157e+308" }, { DBL_MIN, "2.2250738585072014e-308" }, { 1. / 3, "0.3333333333333333" },
		{ -1.2345678901234567e-5, "-0.000012345678901234568" }, { 2e22, "2e+22" }, { 1e23, "1e+23" },
	};
	static const struct {
		float value;
		const char *text;
	} floats[] = {
		{ 0, "0" }, { -0.0f, "-0" }, { .1f, "0.1" }, { -3, "-3" }, { 1e-7f, "1e-07" }, { 1.5e20f, "1.5e+20" },
		{ 16777216, "16777216" }, { 123456792, "123456790" }, { 1e-5f, "0.00001" }, { FLT_MAX, "3.4028235e+38" },
		{ FLT_MIN, "1.1754944e-38" }, { 0x1p-149f, "1e-45" }, { 1.f / 3, "0.33333334" }, { 9.5367432e-7f, "9.536743e-07" },
		{ -1.2345679e-5f, "-0.000012345679" }, { 1e10f, "10000000000" },
	};
	char text[NUM_F64_MAX];
	int same = 1;

	for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
		size_t n = num_put_f64(text, doubles[i].value);
		same &= (n == strlen(doubles[i].text) && memcmp(text, doubles[i].text, n) == 0) || note(text, n);
	}
	for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
		size_t n = num_put_f32(text, floats[i].value);
		same &= (n == strlen(floats[i].text) && memcmp(text, floats[i].text, n) == 0) || note(text, n);
	}
	claim(same, "digits stand as such from 1e-5 to below 1e16, else with an exponent of two digits or more%s", first_wrong());
}

static void
check_refusals(void)
{
	static const char *const none[] = {
		"", "+", "-", ".", "-.", "e5", ".e5", "nan", "NaN", "inf", "-inf", "infinity", " 1", "--1", "+-1", "x", "1e400",
		"-1e400", "1e999999999999"
	};
	static const char *const beginning[] = { "1 ", "1e", "1e+", "1.2.3", "1,5", "0x10", "1-", "1e5.", "12abc", "1_0" };
	static const size_t n_beginning[] = { 1, 1, 1, 3, 1, 1, 1, 3, 2, 1 };
	static const char *const number[] = { "1.", ".5", "+1", "-.5e+03", "1E5", "00012", "0e999999999999", "1e-999999999999" };
	static const char big[] = "1e39";
	int refused = 1, stops = 1, taken = 1;
	double d = 42;
	float f = 42;

	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		refused &= (num_scan_f64(none[i], none[i] + strlen(none[i]), &d) == 0 && num_read_f32(none[i], strlen(none[i]), &f) < 0)
		    || note(none[i], strlen(none[i]));
	refused &= num_scan_f32(big, big + strlen(big), &f) == 0;
	claim(refused && d == 42 && f == 42, "words, blanks, signs alone and what overflows are no numbers%s", first_wrong());
	for (size_t i = 0; i < sizeof beginning / sizeof beginning[0]; i++) {
		size_t n = strlen(beginning[i]);
		stops &= (num_scan_f64(beginning[i], beginning[i] + n, &d) == n_beginning[i] && num_read_f64(beginning[i], n, &d) < 0 &&
		    num_scan_f32(beginning[i], beginning[i] + n, &f) == n_beginning[i] && num_read_f32(beginning[i], n, &f) < 0)
		    || note(beginning[i], n);
	}
	claim(stops, "reading stops where the number ends, and a whole cell must be one%s", first_wrong());
	for (size_t i = 0; i < sizeof number / sizeof number[0]; i++)
		taken &= reads_as_library(number[i]);
	claim(taken, "a point at either end, signs and an exponent of any length are taken%s", first_wrong());

	/* A number whose last digit is the last byte of the last page that may be read. */
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int is_guarded = at != MAP_FAILED && mprotect(at + page, page, PROT_NONE) == 0;
	static const char *const tail[] = { "1.25", "1.25e", "1.25e-", "-125e-2", "0.12345678901234567890123", "." };
	for (size_t i = 0; is_guarded && i < sizeof tail / sizeof tail[0]; i++) {
		size_t n = strlen(tail[i]);
		char *s = memcpy(at + page - n, tail[i], n);
		is_guarded &= num_scan_f32(s, s + n, &f) <= n && num_scan_f64(s, s + n, &d) <= n;
	}
	claim(is_guarded, "nothing behind the end is read");
	if (at != MAP_FAILED)
		munmap(at, 2 * page);
}

static void
check_whole(void)
{
	uint64_t u = 7;
	int64_t i = 7;

	claim(num_read_u64("18446744073709551615", 20, &u) == 0 && u == UINT64_MAX, "2^64 - 1 is a whole number");
	claim(num_read_u64("18446744073709551616", 20, &u) < 0 && num_read_u64("99999999999999999999999", 23, &u) < 0 &&
	    num_read_u64("-1", 2, &u) < 0 && num_read_u64("+1", 2, &u) < 0 && num_read_u64("1.0", 3, &u) < 0 &&
	    num_read_u64("", 0, &u) < 0 && num_read_u64("1 ", 2, &u) < 0 && u == UINT64_MAX,
	    "2^64, signs, points and blanks are no whole numbers");
	claim(num_read_i64("-9223372036854775808", 20, &i) == 0 && i == INT64_MIN &&
	    num_read_i64("9223372036854775807", 19, &i) == 0 && i == INT64_MAX, "both ends of 64 bits with sign are read");
	claim(num_read_i64("9223372036854775808", 19, &i) < 0 && num_read_i64("-9223372036854775809", 20, &i) < 0 &&
	    num_read_i64("-", 1, &i) < 0 && num_read_i64("--1", 3, &i) < 0 && num_read_i64("", 0, &i) < 0,
	    "what lies beyond them is not");
}

static int
decodes(const char *text)
{
	unsigned char out[64];

	return num_base64_read(out, text, strlen(text)) >= 0;
}

static void
check_base64(void)
{
	static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
	static const char *const coded[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
	static const char *const none[] = {
		"Z", "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm8=Zm9v", "Zm 9", "Zm9\n", "Zm-_", "=Zm9", "Zm=v"
	};
	struct rng r = rng_at(20, 4);
	unsigned char bytes[300], back[300];
	char text[401];
	int same = 1, refused = 1;

	for (size_t i = 0; i < 7; i++) {
		size_t n = strlen(plain[i]);
		num_base64_put(text, plain[i], n);
		same &= num_base64_size(n) == strlen(coded[i]) && memcmp(text, coded[i], num_base64_size(n)) == 0;
	}
	claim(same, "base64 gives the vectors of RFC 4648");
	same = 1;
	for (size_t n = 0; n <= 300; n++) {
		for (size_t i = 0; i < n; i++)
			bytes[i] = (unsigned char)rng_u32(&r);
		num_base64_put(text, bytes, n);
		same &= num_base64_read(back, text, num_base64_size(n)) == (ptrdiff_t)n && memcmp(bytes, back, n) == 0;
	}
	claim(same, "base64 of any length comes back");
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		refused &= !decodes(none[i]) || note(none[i], strlen(none[i]));
	claim(refused, "wrong length, letters or padding, and bits behind the end are refused%s", first_wrong());
	int n_letter = 0;
	for (int c = 0; c < 256; c++) {
		char one[4] = { (char)c, 'A', 'A', 'A' };
		n_letter += num_base64_read(back, one, 4) == 3;
	}
	claim(n_letter == 64, "of 256 bytes 64 are letters of base64");
}

int
main(void)
{
	check_forms();
	check_floats();
	check_doubles();
	check_decimals();
	check_refusals();
	check_whole();
	check_base64();
	return claim_n_failed != 0;
}
