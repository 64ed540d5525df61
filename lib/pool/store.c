/* Rows as they are kept: as floats, as halves of floats, or as bytes with a scale. */
#include <math.h>
#include <string.h>

#include "mat/half.h"
#include "mat/mat.h"
#include "pool/inside.h"

static const struct {
	const char *name;
	size_t size;
	enum tensor_type type;
} stores[] = {
	[POOL_F32] = { "f32", 4, TENSOR_F32 }, [POOL_F16] = { "f16", 2, TENSOR_F16 }, [POOL_BF16] = { "bf16", 2, TENSOR_BF16 },
	[POOL_I8] = { "int8", 1, TENSOR_I8 },
};

size_t
pool_store_size(enum pool_store store)
{
	return stores[store].size;
}

enum tensor_type
pool_store_tensor(enum pool_store store)
{
	return stores[store].type;
}

const char *
pool_store_name(enum pool_store store)
{
	return stores[store].name;
}

int
pool_store_of(const char *name, enum pool_store *store)
{
	for (size_t i = 0; i < sizeof stores / sizeof *stores; i++)
		if (strcmp(stores[i].name, name) == 0) {
			*store = (enum pool_store)i;
			return 0;
		}
	return -1;
}

/* Bytes: the largest number becomes 127, and the scale is such that the row keeps its length. */
static void
encode_bytes(const float *x, size_t dim, int8_t *out, float *scale)
{
	float most = 0;
	double square = 0;

	for (size_t i = 0; i < dim; i++)
		most = fmaxf(most, fabsf(x[i]));
	for (size_t i = 0; i < dim; i++) {
		out[i] = (int8_t)(most > 0 ? lrint((double)x[i] / most * 127) : 0);
		square += (double)out[i] * out[i];
	}
	*scale = most > 0 ? (float)(1 / sqrt(square)) : 0;
}

void
pool_encode(enum pool_store store, const float *x, size_t dim, void *out, float *scale)
{
	switch (store) {
	case POOL_F32:
		memcpy(out, x, dim * sizeof *x);
		break;
	case POOL_F16:
		for (size_t i = 0; i < dim; i++)
			((uint16_t *)out)[i] = mat_f16(x[i]);
		break;
	case POOL_BF16:
		for (size_t i = 0; i < dim; i++)
			((uint16_t *)out)[i] = mat_bf16(x[i]);
		break;
	case POOL_I8:
		encode_bytes(x, dim, out, scale);
	}
}

void
pool_decode(enum pool_store store, const void *rows, const float *scale, size_t n, size_t dim, float *out)
{
	switch (store) {
	case POOL_F32:
		memcpy(out, rows, n * dim * sizeof *out);
		break;
	case POOL_F16:
		for (size_t i = 0; i < n * dim; i++)
			out[i] = mat_f16_float(((const uint16_t *)rows)[i]);
		break;
	case POOL_BF16:
		for (size_t i = 0; i < n * dim; i++)
			out[i] = mat_bf16_float(((const uint16_t *)rows)[i]);
		break;
	case POOL_I8:
		for (size_t j = 0; j < n; j++)
			for (size_t i = 0; i < dim; i++)
				out[j * dim + i] = scale[j] * ((const int8_t *)rows)[j * dim + i];
	}
}
