#include "pool_vectors.h"

#include <stdio.h>
#include <string.h>

void
vectors_close(struct vectors *v)
{
	npy_close(v->npy);
	tensor_close(v->file);
}

/* The tensor that was asked for, or the only one with rows of floats. */
static const char *
choose_tensor(const struct tensor_file *t, const char *wanted, struct fault *f)
{
	const char *name = wanted;

	for (size_t i = 0; !wanted && i < tensor_count(t); i++) {
		struct tensor about;
		tensor_about(t, i, &about);
		if (about.n_dim != 2 || tensor_to_f32(&about, 0, 0, NULL) < 0)
			continue;
		if (name) {
			fault(f, EX_DATAERR, "%s: has more than one table of floats (%s, %s): choose with --tensor", tensor_path(t), name,
			    tensor_name(t, i));
			return NULL;
		}
		name = tensor_name(t, i);
	}
	if (!name)
		fault(f, EX_DATAERR, "%s: has no table of floats", tensor_path(t));
	return name;
}

int
vectors_open(struct vectors *v, const char *path, const char *wanted, size_t dim, const char *model_name, struct fault *f)
{
	char magic[6] = "";
	FILE *file = fopen(path, "rb");

	*v = (struct vectors){0};
	if (!file)
		return fault_errno(f, path, NULL);
	size_t n_magic = fread(magic, 1, sizeof magic, file);
	fclose(file);
	if (n_magic == sizeof magic && memcmp(magic, "\x93NUMPY", sizeof magic) == 0) {
		v->npy = npy_open(path, &v->n_row, &v->n_col, f);
		if (!v->npy)
			return -1;
	} else {
		v->file = tensor_open(path, NULL, f);
		const char *name = v->file ? choose_tensor(v->file, wanted, f) : NULL;
		if (!name || tensor_get(v->file, name, TENSOR_ANY, 2, (size_t[]){ TENSOR_FREE, TENSOR_FREE }, &v->tensor, f) < 0)
			return -1;
		if (tensor_to_f32(&v->tensor, 0, 0, NULL) < 0)
			return fault(f, EX_DATAERR, "%s: tensor \"%s\": expected floats", path, name);
		v->n_row = v->tensor.shape[0];
		v->n_col = v->tensor.shape[1];
	}
	if (v->n_col != dim)
		return fault(f, EX_DATAERR, "%s: expected rows of %zu numbers, as %s has dimensions, got %zu", path, dim,
		    model_name, v->n_col);
	return 0;
}

int
vectors_row(const struct vectors *v, size_t row, float *x, struct fault *f)
{
	if (v->npy) {
		npy_rows(v->npy, row, 1, x);
		return 0;
	}
	size_t n_byte = v->tensor.n_byte / v->n_row;
	if (tensor_verify(v->file, (const char *)v->tensor.at + row * n_byte, n_byte, f) < 0)
		return -1;
	return tensor_to_f32(&v->tensor, row * v->n_col, v->n_col, x);
}
