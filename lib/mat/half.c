#include "mat/half.h"

#include <math.h>
#include <string.h>

static uint32_t
bits_of(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof bits);
	return bits;
}

static float
float_of(uint32_t bits)
{
	float x;

	memcpy(&x, &bits, sizeof x);
	return x;
}

uint16_t
mat_bf16(float x)
{
	uint32_t bits = bits_of(x);

	if (isnan(x))
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float
mat_bf16_float(uint16_t h)
{
	return float_of((uint32_t)h << 16);
}

uint16_t
mat_f16(float x)
{
	uint32_t sign = bits_of(x) >> 16 & 0x8000, bits = bits_of(x) & 0x7FFFFFFF;

	if (isnan(x))
		return (uint16_t)(sign | 0x7E00);
	if (bits >= 0x477FF000)         /* 65520 and more */
		return (uint16_t)(sign | 0x7C00);
	if (bits < 0x38800000)          /* below 2^-14: whole numbers of 2^-24, and .5 + .5 2^23 rounds as wanted */
		return (uint16_t)(sign | (bits_of(float_of(bits) + .5f) - bits_of(.5f)));
	return (uint16_t)(sign | ((bits + 0xFFF + (bits >> 13 & 1) - ((uint32_t)112 << 23)) >> 13));
}

float
mat_f16_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1F, fraction = h & 0x3FF;

	if (exponent == 0x1F)
		return float_of(sign | 0x7F800000 | fraction << 13);
	if (exponent > 0)
		return float_of(sign | (exponent + 112) << 23 | fraction << 13);
	float value = (float)fraction * 0x1p-24f;
	return sign ? -value : value;
}

uint16_t
mat_f16_up(float x)
{
	uint16_t h = mat_f16(x);

	return mat_f16_float(h) < x ? (uint16_t)(h + 1) : h;
}
