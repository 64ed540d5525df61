/*
 * num.h - numbers as text, without the locale, exact
 *
 *   reading   correctly rounded (the float or double nearest to the decimal, ties to even), as strtof and strtod
 *             in the C locale, but only decimal: [+-] digits [. digits] [e [+-] digits], at least one digit.
 *             "nan", "inf", hexadecimal and blanks are no numbers; a value that overflows is none either.
 *   writing   the shortest decimal that reads back as the same value; of several the nearest.
 *             "0.1", "-3", "1e-07", "1.5e+20": digits as such for 1e-5 <= |v| < 1e16, else with an exponent.
 *   source    shortest form: Giulietti, The Schubfach way to render doubles (2021)
 *             reading: Clinger, How to Read Floating Point Numbers Accurately (1990); Lemire, Number Parsing at a
 *             Gigabyte per Second (2021); what they leave open goes to strtof_l and strtod_l
 *   cost      a float about 20 ns to read and 30 ns to write; no allocation but for numbers of 128 bytes and more
 */
#ifndef HARE_BASE_NUM_H
#define HARE_BASE_NUM_H

#include <stddef.h>
#include <stdint.h>

enum { NUM_F32_MAX = 24, NUM_F64_MAX = 32 };    /* bytes that the writers may need */

/* Reads the longest number that starts at s; returns its bytes, 0 if none starts there. end is not read. */
size_t num_scan_f32(const char *s, const char *end, float *value);
size_t num_scan_f64(const char *s, const char *end, double *value);

/* The whole of s[0..n) must be the number: 0, or -1. */
int num_read_f32(const char *s, size_t n, float *value);
int num_read_f64(const char *s, size_t n, double *value);
int num_read_u64(const char *s, size_t n, uint64_t *value);     /* digits only */
int num_read_i64(const char *s, size_t n, int64_t *value);

/* Writes without NUL; returns the bytes. The value must be finite. */
size_t num_put_f32(char out[NUM_F32_MAX], float value);
size_t num_put_f64(char out[NUM_F64_MAX], double value);

/* Base64 (RFC 4648, with padding). Encoding writes num_base64_size(n) bytes; decoding is strict and returns the
   bytes written, at most n / 4 * 3, or -1. */
size_t num_base64_size(size_t n);
void num_base64_put(char *out, const void *at, size_t n);
ptrdiff_t num_base64_read(void *out, const char *s, size_t n);

#endif
