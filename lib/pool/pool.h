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

/*
 * An index: rows of a segment in cells of near ones, each with what is foretold of it, and what probes told of that. For a
 * query q and its sharpness s, the score q.x of a row counting as e^(s q.x), a cell of n rows with centre m and spread v
 * (variances along the axes) is foretold the mass n exp(s q.m + s^2 / 2 sum_d q_d^2 v_d). Probes are directions like those of
 * queries, of several kinds; hare-pool(5) has what levels say of them.
 */
enum { POOL_INDEX_ROWS = 4096,  /* a segment of fewer has none */
	POOL_INDEX_KINDS = 3, POOL_INDEX_PROBES = 256,  /* of each kind */
	POOL_INDEX_SHARPS = 8, POOL_INDEX_SHARES = 16,
	POOL_INDEX_RULES = 3,           /* what a level is a share of, see below */
	POOL_INDEX_FOUND = POOL_INDEX_SHARPS * POOL_INDEX_KINDS * POOL_INDEX_PROBES,
	POOL_INDEX_LEVELS = POOL_INDEX_FOUND * POOL_INDEX_SHARES,
	POOL_INDEX_CHOICES = POOL_INDEX_SHARPS * (POOL_INDEX_SHARES + 1) };
#define POOL_INDEX_SHARP_FIRST 20.
double pool_index_sharp(size_t g);              /* 20 2^(g / 2), g < POOL_INDEX_SHARPS */
double pool_index_share(size_t s);              /* 2^-(s + 1), s < POOL_INDEX_SHARES */
struct pool_index {
	size_t first, n;                /* rows [first, first + n) of the pool are in it */
	size_t n_cell;
	const uint16_t *centre;         /* [n_cell][dim], float16 */
	const uint16_t *spread;         /* [n_cell][dim], bfloat16 */
	const uint32_t *start;          /* [n_cell + 1]: places [start(c), start(c + 1)) hold the rows of cell c */
	const uint32_t *cell_run;       /* [n_cell + 1]: runs of cell c, each of one cluster */
	const uint32_t *run_start;      /* [n_run + 1]: its first place */
	const uint32_t *run_cluster;    /* [n_run] */
	const float *level;             /* [SHARPS][SHARES][KINDS][PROBES], of each kind ascending */
	const float *found;             /* [SHARPS][KINDS][PROBES], the same */
	/* Cells go by the mass foretold, the greatest first; a level is of those behind some cell: with rule 0 their mass foretold, of
	   the true mass of all rows; with rule 1 that at half the sharpness, and with rule 2 their rows, of what all cells have. */
	const uint8_t *rule;            /* [SHARPS][SHARES + 1], the last of each for found */
};
/* ln of what is foretold of a row of a cell, on the mean: of exp(sharp q.x), with u = q.mean and v = sum q^2 spread of the cell. Probes
   and queries foretell by this one function, at half the sharpness too. */
static inline double
pool_index_foretold(double sharp, double u, double v)
{
	return sharp * u + .5 * sharp * sharp * v;
}
/* The index of the largest segment that has one. 1 with *out filled in, its bytes verified, 0: there is none, -1 with *f set. */
int pool_index(struct pool *p, struct pool_index *out, struct fault *f);
/* What places [from, from + n) of that index hold: rows as they are kept, and row [n], their numbers less that of the first.
   cluster and sketch are NULL. 0, or -1 with *f set. Safe from several threads. */
int pool_index_kept(struct pool *p, size_t from, size_t n, struct pool_kept *out, const uint32_t **row, struct fault *f);

/* Shards are cut at multiples of so many rows: between them sums of attention are whole numbers. */
enum { POOL_TILE = 1024 };
/* What a shard tells of the pool it was cut from: rows, spread of scores, its own first row there. n = 0: not a shard. */
struct pool_whole {
	size_t n, first;
	double score_sd;
};
struct pool_whole pool_whole(const struct pool *p);

/* A sketch pays where reading the rows takes longer than all else: from POOL_SKETCH_ROWS rows on. */
enum { POOL_SKETCH_IF_LARGE = 2, POOL_SKETCH_ROWS = 65536 };

/* How a segment keeps its vectors. */
struct pool_format {
	enum pool_store store;
	int has_sketch;                 /* 1, 0, or POOL_SKETCH_IF_LARGE */
	int has_index;                  /* of a pool: one of its segments */
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
   pool_commit(). Rows stream to temporary files without a name in the folder of path: memory is 40 bytes a row (44
   of int8 with sketch or index, 48 with an index) and the bytes of dim^2 doubles. */
int pool_add(struct pool_builder *b, struct span id, const float *x, size_t cluster, const struct span *text, struct fault *f);
int pool_commit(struct pool_builder *b, struct fault *f);       /* frees b, also on failure */
/* Before the first row. Unless called: that of the pool that is extended, else float32 without sketch. -1 with *f set: the
   dimension is too large for a sketch. A segment that is added to a pool, or has few rows, gets no index. */
struct pool_format pool_builder_format(const struct pool_builder *b);
int pool_set_format(struct pool_builder *b, struct pool_format format, struct fault *f);
void pool_set_whole(struct pool_builder *b, struct pool_whole whole);
/* That sketch and index are made with; one unless called. */
void pool_set_threads(struct pool_builder *b, size_t n_thread);
void pool_abort(struct pool_builder *b);                        /* the old file stays; NULL is allowed */
int pool_id_is_good(struct span id);
/* An existing POOL gains a segment, which may have other columns; pool_commit() replaces the file. One at a time: else
   EX_TEMPFAIL. space, space_name: as in pool_open(). */
struct pool_builder *pool_extend(const char *path, size_t dim, const char *space, const char *space_name, size_t n_cluster,
    const char *const *column, size_t n_column, struct fault *f);
/* Rows [from, from + n) of p into one file of one segment, with so many threads. format NULL: that of p; whole NULL: no shard,
   which has no index. */
int pool_write(const char *path, struct pool *p, size_t from, size_t n, const struct pool_format *format,
    const struct pool_whole *whole, size_t n_thread, struct fault *f);

#endif
