/*
 * tensor.h - named arrays in one mapped file: safetensors, with checksums; and NPY
 *
 *   file      safetensors: u64 header size, JSON header, data. tensors lie in the order they were added, each at a
 *             multiple of 64 bytes of the file (the header is padded with blanks, gaps are U8 tensors named "pad.N",
 *             which tensor_count() and tensor_name() pass over, as they do the checksums).
 *   metadata  strings: "format" = "pt" for other readers, "hare" = kind ("model", "pool", ...), "version" = "1",
 *             "writer" = "hare 0.1.0", and what the caller adds
 *   checksum  the last tensor, "checksum" U64 [1 + n_block + 1]: XXH3-64 of the first 8 bytes and the header; of every
 *             MiB of the data before this tensor (the last one shorter); of this tensor's entries so far
 *   trust     open checks header, shapes against the file's size, and the checksum tensor; a block of data is checked
 *             when tensor_verify() first asks for it, so opening a large file stays cheap (or for the block before, if another
 *             thread has that in hand)
 */
#ifndef HARE_TENSOR_TENSOR_H
#define HARE_TENSOR_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

enum tensor_type { TENSOR_ANY, TENSOR_U8, TENSOR_I8, TENSOR_U16, TENSOR_U32, TENSOR_U64, TENSOR_I32, TENSOR_I64,
	TENSOR_BF16, TENSOR_F16, TENSOR_F32, TENSOR_F64 };

enum { TENSOR_DIM_MAX = 4 };
#define TENSOR_FREE SIZE_MAX            /* in a wanted shape: any size */

struct tensor {                         /* borrowed from its file */
	enum tensor_type type;
	size_t n_dim, shape[TENSOR_DIM_MAX];
	const void *at;
	size_t n_byte;
};

struct tensor_file;
/* kind "model", "pool", ... must be the file's, NULL takes any safetensors file (also without our metadata and
   checksums). NULL with *f set: EX_NOINPUT, EX_NOPERM, or EX_DATAERR for a file that is damaged, cut, of another
   kind or of a newer version ("written by a newer version of hare"). */
struct tensor_file *tensor_open(const char *path, const char *kind, struct fault *f);
/* A whole file of ours that is kept as the U8 tensor of that name in another, which must outlive it. */
struct tensor_file *tensor_open_within(struct tensor_file *outer, const char *name, const char *kind, struct fault *f);
void tensor_close(struct tensor_file *t);               /* NULL is allowed */
const char *tensor_path(const struct tensor_file *t);
const char *tensor_meta(const struct tensor_file *t, const char *key);          /* NULL if not there */
int tensor_meta_number(const struct tensor_file *t, const char *key, double *value, struct fault *f);
/* 0 with *out filled; -1 with *f set (EX_DATAERR) if there is no such tensor or type or shape differ. */
int tensor_get(const struct tensor_file *t, const char *name, enum tensor_type type, size_t n_dim,
    const size_t *shape, struct tensor *out, struct fault *f);
int tensor_has(const struct tensor_file *t, const char *name);
size_t tensor_count(const struct tensor_file *t);
const char *tensor_name(const struct tensor_file *t, size_t i);          /* in the order of the data */
/* Type (TENSOR_ANY for one that is not read here), shape and size of tensor i; at is NULL. */
void tensor_about(const struct tensor_file *t, size_t i, struct tensor *out);
/* The bytes at[0..n_byte), which lie in the file's data, are what was written: 0, or -1 with *f set. Each sound block is
   hashed once in the life of t. Safe from several threads. Files without checksums always pass. */
int tensor_verify(struct tensor_file *t, const void *at, size_t n_byte, struct fault *f);
int tensor_verify_all(struct tensor_file *t, struct fault *f);
/* A tensor that will be read from end to end, or nearly so: a hint to the system. */
void tensor_read_whole(const struct tensor_file *t, const struct tensor *at);

/* Writing: declare everything, then give the data in the same order in pieces of any size, so that a large pool
   streams. */
struct tensor_writer;
struct tensor_writer *tensor_create(const char *path, const char *kind, struct fault *f);
void tensor_set_meta(struct tensor_writer *w, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
void tensor_declare(struct tensor_writer *w, const char *name, enum tensor_type type, size_t n_dim, const size_t *shape);
int tensor_put(struct tensor_writer *w, const void *at, size_t n_byte, struct fault *f);
/* All declared bytes must have been put; then header, checksums, fsync, rename. Frees w, also on failure. */
int tensor_commit(struct tensor_writer *w, struct fault *f);
void tensor_abort(struct tensor_writer *w);             /* the old file stays; NULL is allowed */
/* A file that grows: all tensors of old (one of ours) are declared before any other, and put before any other. Their
   bytes are copied, their checksums taken over, and the permissions of the file. */
void tensor_declare_file(struct tensor_writer *w, const struct tensor_file *old);
/* Its metadata, but the writer's own and what is set already. */
void tensor_set_meta_file(struct tensor_writer *w, const struct tensor_file *old);
int tensor_put_file(struct tensor_writer *w, struct tensor_file *old, struct fault *f);

/* NPY version 1.0, C order, little-endian f4, two dimensions. Reading also takes versions 2 and 3, f8 and f2
   (converted; what is too large for a float becomes infinite), and one dimension (a single row). */
int npy_write(const char *path, const float *at, size_t n_row, size_t n_col, struct fault *f);
/* Mapped: rows are converted as they are asked for. */
struct npy;
struct npy *npy_open(const char *path, size_t *n_row, size_t *n_col, struct fault *f);
void npy_close(struct npy *a);                          /* NULL is allowed */
void npy_rows(const struct npy *a, size_t from, size_t n, float *out);  /* [n][n_col]; thread-safe */
/* All at once; the caller frees *at. */
int npy_read(const char *path, float **at, size_t *n_row, size_t *n_col, struct fault *f);
/* Row by row, number of rows known only at the end (the header is written again then). */
struct npy_writer;
struct npy_writer *npy_create(const char *path, size_t n_col, struct fault *f);
int npy_put(struct npy_writer *w, const float *rows, size_t n_row, struct fault *f);
int npy_commit(struct npy_writer *w, struct fault *f);
void npy_abort(struct npy_writer *w);

float tensor_f16_to_f32(uint16_t h);
/* Elements [from, from + n) of t, of type F32, F64, F16 or BF16, as float. 0, or -1 if it is of another type. */
int tensor_to_f32(const struct tensor *t, size_t from, size_t n, float *out);

#endif
