/*
 * pool.h - a pool of knowledge: ids, texts, unit vectors, clusters; mapped, never loaded, never changed
 *
 *   file      tensor.h's container of kind "pool"; hare-pool(5) has the names. A POOL is one or more segments; several
 *             POOLs of one space act as one: rows are numbered through, in the order given
 *   trust     vectors and texts are verified block by block when they are first read
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

/* Rows [from, from + n) as float32 [n][dim]: borrowed from the mapping where they lie together, else put into
   scratch [n][dim]. NULL with *f set if they are damaged. Safe from several threads, each with its own scratch. */
const float *pool_rows(struct pool *p, size_t from, size_t n, float *scratch, struct fault *f);
size_t pool_cluster(const struct pool *p, size_t row);
/* Never fails on a pool that opened; damaged bytes are found by pool_check_row(). */
struct span pool_id(const struct pool *p, size_t row);
/* Columns kept as text, "id" not among them. SIZE_MAX if there is no such column. */
size_t pool_n_column(const struct pool *p);
const char *pool_column_name(const struct pool *p, size_t column);
size_t pool_column(const struct pool *p, const char *name);
struct span pool_text(const struct pool *p, size_t row, size_t column);         /* empty where a segment lacks it */
int pool_check_row(struct pool *p, size_t row, struct fault *f);                /* verifies its id and texts */
int pool_check(struct pool *p, struct fault *f);                                /* everything */

size_t pool_find(const struct pool *p, struct span id);         /* row, or SIZE_MAX; O(log n), the first if several */

/* Mean [dim] of the rows and the standard deviation of x_i.x_j over pairs i /= j, from sums that the segments carry
   (maths.md: xbar, sd_s). 0 for a pool of fewer than two rows. */
double pool_score_sd(const struct pool *p, double *mean);

/* -- building -- */
struct pool_builder;
struct pool_builder *pool_create(const char *path, size_t dim, const char *space, size_t n_cluster,
    const char *const *column, size_t n_column, struct fault *f);
/* text [n_column]. id must be new, not empty, without blanks: *f says which is wrong (without position; the caller
   adds where). x must be of unit length within 1e-3, or zero. */
int pool_add(struct pool_builder *b, struct span id, const float *x, size_t cluster, const struct span *text, struct fault *f);
int pool_commit(struct pool_builder *b, struct fault *f);       /* frees b, also on failure */
void pool_abort(struct pool_builder *b);
/* All segments of p, in order, into one file of one segment. */
int pool_write(const char *path, struct pool *p, size_t from, size_t n, struct fault *f);

#endif
