/*
 * pool.h - a pool of knowledge: ids, texts, unit vectors, clusters; mapped, never loaded, never changed
 *
 *   file      tensor.h's container of kind "pool"; hare-pool(5) has the names. A POOL is one or more segments; several
 *             POOLs of one space act as one: rows are numbered through, in the order given
 *   trust     vectors and texts are verified block by block when they are first read; pool_check() tells all else that a
 *             file made wrong on purpose, with right checksums, may hold
 */
#ifndef HARE_POOL_POOL_H
#define HARE_POOL_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

struct pool;
/* space: id that all must have, named in the fault with that of the file (EX_DATAERR); NULL: they must agree.
   space_name: whose space it is, for that message ("skills.model"). An empty pool (0 rows) may be opened. */
struct pool *pool_open(const char *const *path, size_t n_path, const char *space, const char *space_name, struct fault *f);
void pool_close(struct pool *p);                /* NULL is allowed */

size_t pool_n(const struct pool *p);            /* rows */
size_t pool_dim(const struct pool *p);
size_t pool_n_cluster(const struct pool *p);
const char *pool_space(const struct pool *p);
size_t pool_n_segment(const struct pool *p);

/* Rows [from, from + n) as float32 [n][dim]: borrowed from the mapping where they lie together and are kept so,
   else put into scratch [n][dim]. NULL with *f set if they are damaged, or hold numbers beyond those of unit rows. Safe from several threads, each with its own scratch. */
const float *pool_rows(struct pool *p, size_t from, size_t n, float *scratch, struct fault *f);
size_t pool_cluster(const struct pool *p, size_t row);

/* Rows as they are kept, those from row from on that lie together, at most n. Numbers of POOL_I8 have a scale for each row;
   the value of a number is that of its bits times the scale. */
enum pool_store { POOL_F32, POOL_F16, POOL_BF16, POOL_I8 };
struct pool_kept {
	enum pool_store store;
	const void *x;                  /* [n][dim] */
	const float *scale;             /* [n] or NULL */
	const uint32_t *cluster;        /* [n], verified */
	const uint8_t *sketch;          /* mat/sketch.h: blocks of 16 rows; NULL: the segment has none */
	size_t i_sketch;                /* the first row's place in the first block */
	size_t n;
};
/* what: POOL_VECTORS or POOL_SKETCH, that of which the bytes are verified, if they were not before; x is then borrowed
   unverified, and rows read from it must be asked for. That the bytes are numbers of unit rows, as pool_rows() makes sure
   of, is left to the caller: a file made wrong on purpose may hold any. 0, or -1 with *f set. Safe from several threads. */
enum pool_part { POOL_VECTORS, POOL_SKETCH };
int pool_kept(struct pool *p, size_t from, size_t n, enum pool_part what, struct pool_kept *out, struct fault *f);
int pool_has_sketch(const struct pool *p);      /* all segments with rows have one */
/* From now on vectors, scales, clusters and sketches are used without being verified. */
void pool_trust(struct pool *p);
/* Shards are cut at multiples of so many rows: between them sums of attention are whole numbers. */
enum { POOL_TILE = 1024 };
/* What a shard tells of the pool it was cut from: rows, spread of scores, its own first row there. n = 0: not a shard. */
struct pool_whole {
	size_t n, first;
	double score_sd;
};
struct pool_whole pool_whole(const struct pool *p);

/* How a segment keeps its vectors. */
struct pool_format {
	enum pool_store store;
	int has_sketch;
};
struct pool_format pool_format_of(const struct pool *p);        /* POOL_F32 where segments differ */
const char *pool_store_name(enum pool_store store);             /* "f32", "f16", "bf16", "int8" */
int pool_store_of(const char *name, enum pool_store *store);    /* -1: no such name */
/* Never fails on a pool that opened; damaged bytes are found by pool_check_row(). */
struct span pool_id(const struct pool *p, size_t row);
/* Columns kept as text, "id" not among them. SIZE_MAX if there is no such column. */
size_t pool_n_column(const struct pool *p);
const char *pool_column_name(const struct pool *p, size_t column);
size_t pool_column(const struct pool *p, const char *name);
struct span pool_text(const struct pool *p, size_t row, size_t column);         /* empty where a segment lacks it */
int pool_check_row(struct pool *p, size_t row, struct fault *f);                /* verifies its id and texts */
int pool_check(struct pool *p, struct fault *f);                                /* everything */

/* Verifies what it reads: 1 with *row set (the first if several POOLs have the id), 0, or -1 with *f set if that part
   of the pool is damaged. O(log n) a segment. */
int pool_lookup(struct pool *p, struct span id, size_t *row, struct fault *f);
size_t pool_find(const struct pool *p, struct span id);         /* the same: row, or SIZE_MAX, also for damage */

/* Mean [dim] of the rows (mean may be NULL) and the standard deviation of x_i.x_j over pairs i /= j, from sums that the
   segments carry; hare-pool(5) has the formulas. The sums are whole numbers of 2^-18, so both are the same however the
   pool is cut. 0 for a pool of fewer than two rows. */
double pool_score_sd(const struct pool *p, double *mean);

/* -- building -- */
struct pool_builder;
struct pool_builder *pool_create(const char *path, size_t dim, const char *space, size_t n_cluster,
    const char *const *column, size_t n_column, struct fault *f);
/* text [n_column]. id must not be empty nor hold blanks, x must be of unit length within 1e-3, or zero; else EX_DATAERR,
   *f says what is wrong (without position, which the caller adds) and nothing was added. That ids are new is found by
   pool_commit(). Rows stream to temporary files without a name in the folder of path: memory is 40 bytes a row and
   the bytes of dim^2 doubles. */
int pool_add(struct pool_builder *b, struct span id, const float *x, size_t cluster, const struct span *text, struct fault *f);
int pool_commit(struct pool_builder *b, struct fault *f);       /* frees b, also on failure */
/* Before the first row. Unless called: that of the pool that is extended, else float32 without sketch. -1 with *f set: the
   dimension is too large for a sketch. */
struct pool_format pool_builder_format(const struct pool_builder *b);
int pool_set_format(struct pool_builder *b, struct pool_format format, struct fault *f);
void pool_set_whole(struct pool_builder *b, struct pool_whole whole);
void pool_abort(struct pool_builder *b);                        /* the old file stays; NULL is allowed */
int pool_id_is_good(struct span id);
/* An existing POOL gains a segment, which may have other columns; pool_commit() replaces the file. One at a time: else
   EX_TEMPFAIL. space, space_name: as in pool_open(). */
struct pool_builder *pool_extend(const char *path, size_t dim, const char *space, const char *space_name, size_t n_cluster,
    const char *const *column, size_t n_column, struct fault *f);
/* Rows [from, from + n) of p into one file of one segment. format NULL: that of p; whole NULL: no shard. */
int pool_write(const char *path, struct pool *p, size_t from, size_t n, const struct pool_format *format,
    const struct pool_whole *whole, struct fault *f);

#endif
