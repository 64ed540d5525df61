/*
 * half.h - floats of 16 bits: IEEE 754 binary16, and bfloat16, the upper half of a float
 */
#ifndef HARE_MAT_HALF_H
#define HARE_MAT_HALF_H

#include <stdint.h>

/* Nearest, ties to even; what is too large becomes infinite. */
uint16_t mat_f16(float x);
uint16_t mat_bf16(float x);
float mat_f16_float(uint16_t h);
float mat_bf16_float(uint16_t h);
uint16_t mat_f16_up(float x);           /* the least that is not below x, x >= 0 */

#endif
