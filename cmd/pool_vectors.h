/*
 * pool_vectors.h - vectors that lie in a file beside the records: NPY, or a tensor of a safetensors file
 */
#ifndef HARE_CMD_POOL_VECTORS_H
#define HARE_CMD_POOL_VECTORS_H

#include <stddef.h>

#include "base/fault.h"
#include "tensor/tensor.h"

struct vectors {
	struct npy *npy;
	struct tensor_file *file;
	struct tensor tensor;
	size_t n_row, n_col;
};

/* Rows of dim numbers, as model_name has dimensions. wanted: name of a tensor; NULL: the only one with rows of floats. 0,
   or -1 with *f set; then also vectors_close(). */
int vectors_open(struct vectors *v, const char *path, const char *wanted, size_t dim, const char *model_name, struct fault *f);
void vectors_close(struct vectors *v);
int vectors_row(const struct vectors *v, size_t row, float *x, struct fault *f);

#endif
