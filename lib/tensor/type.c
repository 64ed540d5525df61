#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tensor/inside.h"

static const struct {
	const char *name;
	size_t n_bit;
	enum tensor_type type;
} types[] = {
	{ "U8", 8, TENSOR_U8 }, { "I8", 8, TENSOR_I8 }, { "U16", 16, TENSOR_U16 }, { "U32", 32, TENSOR_U32 },
	{ "U64", 64, TENSOR_U64 }, { "I32", 32, TENSOR_I32 }, { "I64", 64, TENSOR_I64 }, { "BF16", 16, TENSOR_BF16 },
	{ "F16", 16, TENSOR_F16 }, { "F32", 32, TENSOR_F32 }, { "F64", 64, TENSOR_F64 },
	/* others may write these; a file that holds them opens, they themselves are not read */
	{ "BOOL", 8, TENSOR_ANY }, { "I16", 16, TENSOR_ANY }, { "F8_E4M3", 8, TENSOR_ANY }, { "F8_E5M2", 8, TENSOR_ANY },
	{ "F8_E8M0", 8, TENSOR_ANY }, { "F4", 4, TENSOR_ANY }, { "F6_E2M3", 6, TENSOR_ANY }, { "F6_E3M2", 6, TENSOR_ANY },
	{ "C64", 64, TENSOR_ANY },
};
enum { N_TYPE = sizeof types / sizeof *types };

const char *
tensor_type_name(enum tensor_type type)
{
	for (size_t i = 0; type != TENSOR_ANY && i < N_TYPE; i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

size_t
tensor_type_size(enum tensor_type type)
{
	for (size_t i = 0; type != TENSOR_ANY && i < N_TYPE; i++)
		if (types[i].type == type)
			return types[i].n_bit / 8;
	return 0;
}

size_t
tensor_type_of(const char *name, size_t n, enum tensor_type *type)
{
	for (size_t i = 0; i < N_TYPE; i++)
		if (strlen(types[i].name) == n && memcmp(types[i].name, name, n) == 0) {
			*type = types[i].type;
			return types[i].n_bit;
		}
	return 0;
}

static float
float_of_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

float
tensor_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1F, fraction = h & 0x3FF;

	if (exponent == 0x1F)           /* infinity and NaN */
		return float_of_bits(sign | 0x7F800000 | fraction << 13);
	if (exponent > 0)
		return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
	/* zero or below 2^-14: fraction * 2^-24, exact in float */
	float value = (float)fraction * 0x1p-24f;
	return sign ? -value : value;
}

int
tensor_to_f32(const struct tensor *t, size_t from, size_t n, float *out)
{
	const char *at = t->at;

	switch (t->type) {
	case TENSOR_F32:
		if (n > 0)
			memcpy(out, at + from * sizeof *out, n * sizeof *out);
		return 0;
	case TENSOR_F64:
		for (size_t i = 0; i < n; i++)
			out[i] = (float)((const double *)t->at)[from + i];
		return 0;
	case TENSOR_F16:
		for (size_t i = 0; i < n; i++)
			out[i] = tensor_f16_to_f32(((const uint16_t *)t->at)[from + i]);
		return 0;
	case TENSOR_BF16:
		for (size_t i = 0; i < n; i++)
			out[i] = float_of_bits((uint32_t)((const uint16_t *)t->at)[from + i] << 16);
		return 0;
	default:
		return -1;
	}
}

int
tensor_write(int fd, const char *path, const void *at, size_t n_byte, struct fault *f)
{
	const char *s = at;

	while (n_byte > 0) {
		ssize_t n = write(fd, s, n_byte);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fault_errno(f, path, "cannot write");
		s += n;
		n_byte -= (size_t)n;
	}
	return 0;
}
