/*
 * inside.h - what the files of lib/tensor share; nobody else includes it
 */
#ifndef HARE_TENSOR_INSIDE_H
#define HARE_TENSOR_INSIDE_H

#include "base/fault.h"
#include "tensor/tensor.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors and NPY files are mapped as they are, which needs a little-endian processor"
#endif

enum {
	TENSOR_ALIGN = 64,                      /* of every tensor in the file */
	TENSOR_BLOCK = 1 << 20,                 /* bytes that one checksum covers */
	TENSOR_HEADER_MAX = 100 * 1000 * 1000,  /* as in the reference implementation of safetensors */
	TENSOR_VERSION = 1,
};
#define TENSOR_SUM_NAME "checksum"

/* "F32" and its size; NULL and 0 for TENSOR_ANY. */
const char *tensor_type_name(enum tensor_type type);
size_t tensor_type_size(enum tensor_type type);
/* Bits of an element of the dtype called name[0..n), 0 if safetensors knows none such; *type is TENSOR_ANY for
   those that we do not read. */
size_t tensor_type_of(const char *name, size_t n, enum tensor_type *type);

/* All of at[0..n_byte) to fd; -1 with *f set, path being the name for the message. */
int tensor_write(int fd, const char *path, const void *at, size_t n_byte, struct fault *f);

/* Of the reader, for copying a whole file. */
int tensor_meta_at(const struct tensor_file *t, size_t i, const char **key, const char **value);       /* 0: there are no more */
size_t tensor_n_data(const struct tensor_file *t);              /* bytes of data before the checksums */
const void *tensor_data(const struct tensor_file *t);
size_t tensor_begin(const struct tensor_file *t, size_t i);     /* of tensor i of tensor_count(), from tensor_data() */
uint64_t tensor_sum(const struct tensor_file *t, size_t block);
/* A descriptor of the very file that is mapped, not of another that took its name since; -1 if there is none. */
int tensor_reopen(const struct tensor_file *t);

#endif
