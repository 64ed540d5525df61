/*
 * inside.h - what the files of lib/pool share; nobody else includes it
 */
#ifndef HARE_POOL_INSIDE_H
#define HARE_POOL_INSIDE_H

#include <stdatomic.h>
#include <stdint.h>

#include "pool/pool.h"
#include "tensor/tensor.h"

#define POOL_ROW_MAX ((size_t)1 << 26)  /* of all that act as one pool: the sums below then fit 64 bits */
#define POOL_NORM_TOLERANCE 1e-3
#define POOL_STORED_TOLERANCE 3e-3      /* once rounded to 16 bits */
enum { POOL_RUN = 256 };                /* rows whose numbers are looked at together, once */

/*
 * Sums over rows for the mean and the spread of scores, in whole numbers: a row counts as q = round(2^18 x), so that
 * sums do not depend on their order, nor on how a pool is cut. |q_i| <= 2^18 * 1.003, so a product takes 36.009 bits
 * and 2^26 of them 62.009.
 */
enum { POOL_SCALE = 1 << 18 };
struct pool_sums {
	size_t dim;
	uint64_t n_row;
	int64_t *sum;                   /* [dim]: sum of q */
	int64_t *moment;                /* [dim (dim + 1) / 2]: sum of q q', packed lower triangle, row by row */
	unsigned __int128 quartic;      /* sum of (q'q)^2 */
	double *block;                  /* [n_block][dim], rows that wait for mat_gram64() */
	double *gram;                   /* [dim][dim], sums of whole numbers below 2^53, so exact in any order */
	size_t n_block, n_gram;         /* rows in block; rows in gram */
};
void pool_sums_init(struct pool_sums *s, size_t dim);
void pool_sums_free(struct pool_sums *s);
void pool_sums_add(struct pool_sums *s, const float *x);
void pool_sums_finish(struct pool_sums *s);     /* all rows are in sum, moment, quartic afterwards */

/* One segment of one file. Pointers go into the mapping. */
struct column {
	const char *bytes;              /* NULL: the segment lacks it */
	size_t n_byte;
	const uint64_t *offset;         /* [n + 1] */
};
struct segment {
	struct tensor_file *file;
	size_t start, n;                /* rows [start, start + n) of the pool */
	enum pool_store store;
	const void *x;                  /* [n][dim] */
	const float *scale;             /* [n], of POOL_I8 */
	const uint8_t *sketch;          /* blocks of 16 rows, or NULL */
	atomic_uchar *sound;            /* [n / POOL_RUN + 1], 1: the numbers of this run are those of unit rows */
	const uint32_t *cluster;        /* [n] */
	struct column id;
	const uint32_t *order;          /* [n], rows in byte order of their ids */
	struct column *text;            /* [n_column] of the pool */
	const int64_t *sum, *moment;
	const uint64_t *quartic;        /* [2]: low, high */
	int is_first;                   /* of its file */
	size_t n_cell, n_run;           /* 0: no index */
	struct pool_index index;
	const uint32_t *index_row;      /* [n], by place */
	const void *index_x;            /* [n][dim], by place, as x is kept */
	const float *index_scale;
};
struct pool {
	struct tensor_file **file;      /* [n_file] */
	size_t n_file, n_file_cap;
	struct segment *segment;        /* [n_segment] */
	size_t n_segment, n_segment_cap;
	char **column;                  /* [n_column] */
	size_t n_column, n_column_cap;
	size_t n, dim, n_cluster;
	const char *space;              /* of file[0] */
	int trusting;
	struct pool_whole whole;        /* of file[0] */
};

size_t pool_store_size(enum pool_store store);          /* bytes of a number */
enum tensor_type pool_store_tensor(enum pool_store store);
/* A row as it is kept, its scale where it has one; and back. */
void pool_encode(enum pool_store store, const float *x, size_t dim, void *out, float *scale);
void pool_decode(enum pool_store store, const void *rows, const float *scale, size_t n, size_t dim, float *out);

/* -- index.c -- */
struct pool_index_rows {
	enum pool_store store;
	const void *x;                  /* [n][dim] */
	const float *scale;
	const uint32_t *cluster;        /* [n] */
	size_t n, dim;
};
struct pool_index_made {        /* as struct pool_index, owned */
	size_t n_cell, n_run;
	uint16_t *centre, *spread;
	uint32_t *start, *row, *cell_run, *run_start, *run_cluster;
	float *level, *found;
	uint8_t *rule;
};
/* Takes the cost of a few passes over the rows with some hundred queries each, and 28 kB of memory a cell. */
void pool_index_make(const struct pool_index_rows *rows, size_t n_thread, struct pool_index_made *out);
void pool_index_made_free(struct pool_index_made *o);
/* Tensors of an index, if the segment has one; and whether it is that of its rows. */
int pool_index_read(struct segment *s, size_t i_segment, size_t dim, struct fault *f);
int pool_index_check(const struct pool *p, const struct segment *s, struct fault *f);

/* The segment that holds a row. */
const struct segment *pool_segment(const struct pool *p, size_t row);
/* Text i of a column; empty if its offsets make no sense. */
struct span pool_span(const struct column *c, size_t i);
/* Its offsets and bytes are what was written, and make sense. 0, or -1 with *f set. */
int pool_verify_span(const struct segment *s, const struct column *c, size_t i, const char *name, struct fault *f);
/* By binary search in one segment, verifying what is read: 1 with *i set, 0, or -1 with *f set. */
int pool_segment_find(const struct segment *s, struct span id, size_t *i, struct fault *f);
int pool_compare(struct span a, struct span b);         /* order of bytes */

/*
 * Streams that grow side by side and are read one after the other at the end: in memory while they are small, else in
 * one file without a name in the folder of path, which the system removes when the program ends in whatever way.
 */
struct spool;
struct spool *spool_new(const char *path, size_t n_stream);
void spool_free(struct spool *s);               /* NULL is allowed */
int spool_put(struct spool *s, size_t stream, const void *at, size_t n_byte, struct fault *f);
size_t spool_size(const struct spool *s, size_t stream);
int spool_copy(struct spool *s, size_t stream, struct tensor_writer *w, struct fault *f);
/* All bytes of a spool of one stream, borrowed. NULL with *f set; not NULL for an empty one. */
const char *spool_bytes(struct spool *s, struct fault *f);

#endif
