/* A pool that is made: rows stream to temporary files; at the end ids are sorted and all goes to its place. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/thread.h"
#include "mat/mat.h"
#include "mat/sketch.h"
#include "pool/inside.h"

enum { STREAM_X, STREAM_SCALE, STREAM_SKETCH, STREAM_CLUSTER, STREAM_TEXT };    /* then text and offset of each column */

struct pool_builder {
	char *path;
	char space[33];
	size_t dim, n_cluster, n_row;
	char **column;                  /* [n_column] */
	size_t n_column;
	struct spool *rows, *ids;
	uint64_t *id_offset;            /* [n_row + 1] */
	size_t n_id_offset_cap;
	uint64_t *text_end;             /* [n_column], bytes so far */
	struct pool_sums sums;
	struct pool_format format;
	struct spool *vectors;          /* what sketch and index are made of: rows as they are kept, else NULL; then not among the rows */
	float *scale;                   /* [n_row], of POOL_I8 with vectors */
	uint32_t *cluster;              /* [n_row], with an index */
	size_t n_scale_cap, n_cluster_cap, n_thread;
	struct pool_index_made index;
	int is_copy;                    /* rows are those of a pool, which may have been rounded */
	struct pool_whole whole;
	void *kept;                     /* [dim], a row as it is kept */
	float *row;                     /* [dim], and what that is as floats */
	struct pool *old;               /* of pool_extend() */
	int lock;                       /* descriptor that holds it, or -1 */
};

int
pool_id_is_good(struct span id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.at[i] == ' ' || (id.at[i] >= '\t' && id.at[i] <= '\r'))
			return 0;
	return id.n > 0;
}

static int
check_columns(const char *path, const char *const *column, size_t n_column, struct fault *f)
{
	for (size_t i = 0; i < n_column; i++) {
		if (strcmp(column[i], "id") == 0 || strcmp(column[i], "x") == 0)
			return fault(f, EX_DATAERR, "%s: a text column cannot be called %s", path, column[i]);
		for (size_t j = 0; j < i; j++)
			if (strcmp(column[i], column[j]) == 0)
				return fault(f, EX_DATAERR, "%s: two text columns are called %s", path, column[i]);
	}
	return 0;
}

struct pool_builder *
pool_create(const char *path, size_t dim, const char *space, size_t n_cluster, const char *const *column, size_t n_column,
    struct fault *f)
{
	assert(dim > 0 && n_cluster > 0 && strlen(space) == 32);
	/* What would fail at the end, after all the work, had better fail now. */
	if (check_columns(path, column, n_column, f) < 0 || file_out_check(path, f) < 0)
		return NULL;
	struct pool_builder *b = xcalloc(1, sizeof *b);
	b->path = xstrdup(path);
	memcpy(b->space, space, sizeof b->space);
	b->dim = dim;
	b->n_cluster = n_cluster;
	b->column = xcalloc(n_column ? n_column : 1, sizeof *b->column);
	b->n_column = n_column;
	for (size_t i = 0; i < n_column; i++)
		b->column[i] = xstrdup(column[i]);
	b->rows = spool_new(path, STREAM_TEXT + 2 * n_column);
	b->ids = spool_new(path, 1);
	b->text_end = xcalloc(n_column ? n_column : 1, sizeof *b->text_end);
	b->id_offset = xgrow(NULL, &b->n_id_offset_cap, 1, sizeof *b->id_offset);
	b->id_offset[0] = 0;
	pool_sums_init(&b->sums, dim);
	b->kept = xmalloc(dim, sizeof *b->row);
	b->row = xmalloc(dim, sizeof *b->row);
	b->lock = -1;
	return b;
}

struct pool_format
pool_builder_format(const struct pool_builder *b)
{
	return b->format;
}

int
pool_set_format(struct pool_builder *b, struct pool_format format, struct fault *f)
{
	assert(b->n_row == 0);
	if (format.has_sketch == POOL_SKETCH_IF_LARGE && b->dim > MAT_SKETCH_DIM_MAX)
		format.has_sketch = 0;
	if (format.has_sketch && b->dim > MAT_SKETCH_DIM_MAX)
		return fault(f, EX_DATAERR, "%s: a sketch has at most %d dimensions, not %zu", b->path, MAT_SKETCH_DIM_MAX, b->dim);
	b->format = format;
	b->format.has_index = format.has_index && !b->old;
	spool_free(b->vectors);
	b->vectors = b->format.has_index || b->format.has_sketch ? spool_new(b->path, 1) : NULL;
	return 0;
}

void
pool_set_threads(struct pool_builder *b, size_t n_thread)
{
	b->n_thread = n_thread;
}

void
pool_set_whole(struct pool_builder *b, struct pool_whole whole)
{
	b->whole = whole;
}

/* The lock is on the file itself, and a file that is replaced leaves its name: so after locking, the name must still
   lead to what was locked. */
static int
lock_pool(const char *path, struct fault *f)
{
	for (int attempt = 0; attempt < 100; attempt++) {
		struct stat locked, named;
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return fault_errno(f, path, NULL);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno != ENOTSUP && errno != ENOLCK) {
			if (errno == EWOULDBLOCK)
				fault(f, EX_TEMPFAIL, "%s: another program is adding to it", path);
			else
				fault_errno(f, path, "cannot lock");
			close(fd);
			return -1;
		}
		if (fstat(fd, &locked) == 0 && stat(path, &named) == 0 && locked.st_dev == named.st_dev && locked.st_ino == named.st_ino)
			return fd;
		close(fd);
	}
	return fault(f, EX_TEMPFAIL, "%s: is being replaced again and again", path);
}

struct pool_builder *
pool_extend(const char *path, size_t dim, const char *space, const char *space_name, size_t n_cluster,
    const char *const *column, size_t n_column, struct fault *f)
{
	int lock = lock_pool(path, f);

	if (lock < 0)
		return NULL;
	struct pool_builder *b = NULL;
	struct pool *old = pool_open(&path, 1, space, space_name, f);
	if (old && (old->dim != dim || old->n_cluster != n_cluster))
		fault(f, EX_DATAERR, "%s: has %zu dimensions and %zu clusters, but %s has %zu and %zu", path, old->dim, old->n_cluster,
		    space_name, dim, n_cluster);
	else if (old)
		b = pool_create(path, dim, space, n_cluster, column, n_column, f);
	if (!b) {
		pool_close(old);
		close(lock);
		return NULL;
	}
	b->old = old;
	b->lock = lock;
	if (pool_set_format(b, pool_format_of(old), f) < 0) {
		pool_abort(b);
		return NULL;
	}
	return b;
}

void
pool_abort(struct pool_builder *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n_column; i++)
		free(b->column[i]);
	free(b->column);
	spool_free(b->rows);
	spool_free(b->ids);
	spool_free(b->vectors);
	free(b->scale);
	free(b->cluster);
	pool_index_made_free(&b->index);
	free(b->id_offset);
	free(b->text_end);
	pool_sums_free(&b->sums);
	free(b->kept);
	free(b->row);
	pool_close(b->old);
	if (b->lock >= 0)
		close(b->lock);
	free(b->path);
	free(b);
}

/* Text of a row; its offset goes before it, the last one when all is done. */
static int
put_text(struct pool_builder *b, size_t i, struct span text, struct fault *f)
{
	if (spool_put(b->rows, STREAM_TEXT + 2 * i + 1, &b->text_end[i], sizeof b->text_end[i], f) < 0)
		return -1;
	b->text_end[i] += text.n;
	return spool_put(b->rows, STREAM_TEXT + 2 * i, text.at, text.n, f);
}

/* The row as it is kept; its sums, and later its sketch, are those of what is kept. */
static int
put_vector(struct pool_builder *b, const float *x, struct fault *f)
{
	float scale = 1;

	pool_encode(b->format.store, x, b->dim, b->kept, &scale);
	pool_decode(b->format.store, b->kept, &scale, 1, b->dim, b->row);
	if (spool_put(b->vectors ? b->vectors : b->rows, b->vectors ? 0 : STREAM_X, b->kept, b->dim * pool_store_size(b->format.store), f) < 0 ||
	    (b->format.store == POOL_I8 && spool_put(b->rows, STREAM_SCALE, &scale, sizeof scale, f) < 0))
		return -1;
	if (b->vectors && b->format.store == POOL_I8) {
		b->scale = xgrow(b->scale, &b->n_scale_cap, b->n_row + 1, sizeof *b->scale);
		b->scale[b->n_row] = scale;
	}
	return 0;
}

int
pool_add(struct pool_builder *b, struct span id, const float *x, size_t cluster, const struct span *text, struct fault *f)
{
	double norm = mat_norm(x, b->dim), allowed = b->is_copy ? POOL_STORED_TOLERANCE : POOL_NORM_TOLERANCE;
	uint32_t c = (uint32_t)cluster;

	assert(cluster < b->n_cluster);
	if (id.n == 0)
		return fault(f, EX_DATAERR, "expected an id, got nothing");
	if (!pool_id_is_good(id))
		return fault(f, EX_DATAERR, "expected an id without blanks, got \"%s\"", fault_quote(id.at, id.n));
	if (!(norm == 0 || fabs(norm - 1) <= allowed))
		return fault(f, EX_DATAERR, "expected a vector of length 1 or 0, got length %g", norm);
	if (b->n_row + (b->old ? b->old->n : 0) >= POOL_ROW_MAX)
		return fault(f, EX_DATAERR, "a pool holds at most %zu rows", POOL_ROW_MAX);
	if (put_vector(b, x, f) < 0 || spool_put(b->rows, STREAM_CLUSTER, &c, sizeof c, f) < 0 || spool_put(b->ids, 0, id.at, id.n, f) < 0)
		return -1;
	for (size_t i = 0; i < b->n_column; i++)
		if (put_text(b, i, text[i], f) < 0)
			return -1;
	b->id_offset = xgrow(b->id_offset, &b->n_id_offset_cap, b->n_row + 2, sizeof *b->id_offset);
	b->id_offset[b->n_row + 1] = b->id_offset[b->n_row] + id.n;
	if (b->format.has_index) {
		b->cluster = xgrow(b->cluster, &b->n_cluster_cap, b->n_row + 1, sizeof *b->cluster);
		b->cluster[b->n_row] = c;
	}
	b->n_row++;
	pool_sums_add(&b->sums, b->row);
	return 0;
}

/* -- ids in order -- */
struct key {
	uint64_t head;                  /* the first 8 bytes, big-endian, so that most comparisons end here */
	uint32_t row;
};

struct ids {
	const char *bytes;
	const uint64_t *offset;
};

static struct span
id_of(const struct ids *ids, size_t row)
{
	return (struct span){ ids->bytes + ids->offset[row], (size_t)(ids->offset[row + 1] - ids->offset[row]) };
}

static int
by_id(const void *a, const void *b, void *arg)
{
	const struct key *x = a, *y = b;

	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	int c = pool_compare(id_of(arg, x->row), id_of(arg, y->row));
	return c != 0 ? c : x->row < y->row ? -1 : 1;
}

/* Rows in byte order of their ids: [n_row], to be freed. NULL with *f set if an id is there twice. */
static uint32_t *
sort_ids(struct pool_builder *b, struct fault *f)
{
	struct ids ids = { spool_bytes(b->ids, f), b->id_offset };
	int r = 0;

	if (!ids.bytes)
		return NULL;
	struct key *key = xmalloc(b->n_row, sizeof *key);
	for (size_t i = 0; i < b->n_row; i++) {
		struct span id = id_of(&ids, i);
		key[i] = (struct key){ 0, (uint32_t)i };
		for (size_t k = 0; k < 8; k++)
			key[i].head = key[i].head << 8 | (k < id.n ? (unsigned char)id.at[k] : 0);
	}
	if (b->n_row > 0)
		qsort_r(key, b->n_row, sizeof *key, by_id, &ids);
	uint32_t *order = xmalloc(b->n_row, sizeof *order);
	for (size_t i = 0; r == 0 && i < b->n_row; i++) {
		struct span id = id_of(&ids, key[i].row);
		size_t where;
		order[i] = key[i].row;
		if (i > 0 && pool_compare(id_of(&ids, key[i - 1].row), id) == 0)
			r = fault(f, EX_DATAERR, "%s: id \"%s\" is there twice: records %u and %u of those that are added", b->path,
			    fault_quote(id.at, id.n), key[i - 1].row + 1, key[i].row + 1);
		int found = r == 0 && b->old ? pool_lookup(b->old, id, &where, f) : 0;
		if (found > 0)
			r = fault(f, EX_DATAERR, "%s: id \"%s\" is there already: record %u of those that are added", b->path,
			    fault_quote(id.at, id.n), key[i].row + 1);
		else if (found < 0)
			r = -1;
	}
	free(key);
	if (r < 0) {
		free(order);
		return NULL;
	}
	return order;
}

/* -- the file -- */
static void
declare(struct tensor_writer *w, size_t i_segment, const char *name, const char *rest, enum tensor_type type, size_t n_dim,
    const size_t *shape)
{
	struct buf b = {0};

	buf_printf(&b, "%zu.%s%s", i_segment, name, rest);
	tensor_declare(w, buf_string(&b), type, n_dim, shape);
	buf_free(&b);
}

static void
declare_index(struct pool_builder *b, struct tensor_writer *w, size_t k)
{
	const struct pool_index_made *o = &b->index;
	size_t n_edge = o->n_cell + 1, n_run_edge = o->n_run + 1;

	declare(w, k, "index.", "centre", TENSOR_F16, 2, (size_t[]){ o->n_cell, b->dim });
	declare(w, k, "index.", "spread", TENSOR_BF16, 2, (size_t[]){ o->n_cell, b->dim });
	declare(w, k, "index.", "start", TENSOR_U32, 1, &n_edge);
	declare(w, k, "index.", "cell_run", TENSOR_U32, 1, &n_edge);
	declare(w, k, "index.", "run_start", TENSOR_U32, 1, &n_run_edge);
	declare(w, k, "index.", "run_cluster", TENSOR_U32, 1, &o->n_run);
	declare(w, k, "index.", "level", TENSOR_F32, 4, (size_t[]){ POOL_INDEX_SHARPS, POOL_INDEX_SHARES, POOL_INDEX_KINDS, POOL_INDEX_PROBES });
	declare(w, k, "index.", "found", TENSOR_F32, 3, (size_t[]){ POOL_INDEX_SHARPS, POOL_INDEX_KINDS, POOL_INDEX_PROBES });
	declare(w, k, "index.", "rule", TENSOR_U8, 2, (size_t[]){ POOL_INDEX_SHARPS, POOL_INDEX_SHARES + 1 });
	declare(w, k, "index.", "row", TENSOR_U32, 1, &b->n_row);
	declare(w, k, "index.", "x", pool_store_tensor(b->format.store), 2, (size_t[]){ b->n_row, b->dim });
	if (b->format.store == POOL_I8)
		declare(w, k, "index.", "scale", TENSOR_F32, 1, &b->n_row);
}

static void
declare_segment(struct pool_builder *b, struct tensor_writer *w, size_t k)
{
	size_t n_id_byte = spool_size(b->ids, 0), n_offset = b->n_row + 1, n_moment = b->dim * (b->dim + 1) / 2;

	declare(w, k, "x", "", pool_store_tensor(b->format.store), 2, (size_t[]){ b->n_row, b->dim });
	if (b->format.store == POOL_I8)
		declare(w, k, "x.scale", "", TENSOR_F32, 1, &b->n_row);
	if (b->format.has_sketch)
		declare(w, k, "sketch", "", TENSOR_U8, 2, (size_t[]){ (b->n_row + MAT_SKETCH_ROWS - 1) / MAT_SKETCH_ROWS, mat_sketch_block(b->dim) });
	declare(w, k, "cluster", "", TENSOR_U32, 1, &b->n_row);
	declare(w, k, "id", "", TENSOR_U8, 1, &n_id_byte);
	declare(w, k, "id.offset", "", TENSOR_U64, 1, &n_offset);
	declare(w, k, "id.order", "", TENSOR_U32, 1, &b->n_row);
	declare(w, k, "sum", "", TENSOR_I64, 1, &b->dim);
	declare(w, k, "moment", "", TENSOR_I64, 1, &n_moment);
	declare(w, k, "quartic", "", TENSOR_U64, 1, (size_t[]){ 2 });
	for (size_t i = 0; i < b->n_column; i++) {
		declare(w, k, "text.", b->column[i], TENSOR_U8, 1, (size_t[]){ spool_size(b->rows, STREAM_TEXT + 2 * i) });
		declare(w, k, "offset.", b->column[i], TENSOR_U64, 1, &n_offset);
	}
	if (b->index.n_cell > 0)
		declare_index(b, w, k);
}

/* Rows once more, by place. */
static int
put_index(struct pool_builder *b, struct tensor_writer *w, const char *x, struct fault *f)
{
	const struct pool_index_made *o = &b->index;
	size_t row_bytes = b->dim * pool_store_size(b->format.store);
	int r = 0;

	if (tensor_put(w, o->centre, o->n_cell * b->dim * sizeof *o->centre, f) < 0 ||
	    tensor_put(w, o->spread, o->n_cell * b->dim * sizeof *o->spread, f) < 0 ||
	    tensor_put(w, o->start, (o->n_cell + 1) * sizeof *o->start, f) < 0 ||
	    tensor_put(w, o->cell_run, (o->n_cell + 1) * sizeof *o->cell_run, f) < 0 ||
	    tensor_put(w, o->run_start, (o->n_run + 1) * sizeof *o->run_start, f) < 0 ||
	    tensor_put(w, o->run_cluster, o->n_run * sizeof *o->run_cluster, f) < 0 ||
	    tensor_put(w, o->level, POOL_INDEX_LEVELS * sizeof *o->level, f) < 0 ||
	    tensor_put(w, o->found, POOL_INDEX_FOUND * sizeof *o->found, f) < 0 ||
	    tensor_put(w, o->rule, POOL_INDEX_CHOICES * sizeof *o->rule, f) < 0 ||
	    tensor_put(w, o->row, b->n_row * sizeof *o->row, f) < 0)
		return -1;
	struct buf piece = {0};
	for (size_t i = 0; r == 0 && i < b->n_row; i++) {
		buf_put(&piece, x + o->row[i] * row_bytes, row_bytes);
		if (piece.n >= (size_t)1 << 20 || i + 1 == b->n_row) {
			r = tensor_put(w, piece.at, piece.n, f);
			buf_clear(&piece);
		}
	}
	for (size_t i = 0; b->scale && r == 0 && i < b->n_row; i++) {
		buf_put(&piece, &b->scale[o->row[i]], sizeof *b->scale);
		if (piece.n >= (size_t)1 << 20 || i + 1 == b->n_row) {
			r = tensor_put(w, piece.at, piece.n, f);
			buf_clear(&piece);
		}
	}
	buf_free(&piece);
	return r;
}

static int
put_segment(struct pool_builder *b, struct tensor_writer *w, const uint32_t *order, struct fault *f)
{
	uint64_t quartic[2] = { (uint64_t)b->sums.quartic, (uint64_t)(b->sums.quartic >> 64) };

	if (spool_copy(b->vectors ? b->vectors : b->rows, b->vectors ? 0 : STREAM_X, w, f) < 0 || spool_copy(b->rows, STREAM_SCALE, w, f) < 0 ||
	    spool_copy(b->rows, STREAM_SKETCH, w, f) < 0 || spool_copy(b->rows, STREAM_CLUSTER, w, f) < 0 ||
	    spool_copy(b->ids, 0, w, f) < 0 || tensor_put(w, b->id_offset, (b->n_row + 1) * sizeof *b->id_offset, f) < 0 ||
	    tensor_put(w, order, b->n_row * sizeof *order, f) < 0 ||
	    tensor_put(w, b->sums.sum, b->dim * sizeof *b->sums.sum, f) < 0 ||
	    tensor_put(w, b->sums.moment, b->dim * (b->dim + 1) / 2 * sizeof *b->sums.moment, f) < 0 ||
	    tensor_put(w, quartic, sizeof quartic, f) < 0)
		return -1;
	for (size_t i = 0; i < b->n_column; i++)
		if (spool_copy(b->rows, STREAM_TEXT + 2 * i, w, f) < 0 || spool_copy(b->rows, STREAM_TEXT + 2 * i + 1, w, f) < 0)
			return -1;
	return b->index.n_cell > 0 ? put_index(b, w, spool_bytes(b->vectors, f), f) : 0;
}

/* -- the sketch: some thousand blocks of 16 rows at a time -- */

struct sketching {
	const struct pool_builder *b;
	const char *x;
	size_t first;                   /* block of the first task */
	uint8_t *block;                 /* [tasks][mat_sketch_block()] */
	float *row;                     /* [n_thread][dim] */
	double *turned;                 /* [n_thread][mat_sketch_codes(dim)] */
};

static void
sketch_block(void *arg, size_t task, size_t worker)
{
	struct sketching *s = arg;
	const struct pool_builder *b = s->b;
	size_t from = (s->first + task) * MAT_SKETCH_ROWS, n_block = mat_sketch_block(b->dim);
	float *row = s->row + worker * b->dim;

	memset(s->block + task * n_block, 0, n_block);
	for (size_t r = 0; r < MAT_SKETCH_ROWS && from + r < b->n_row; r++) {
		pool_decode(b->format.store, s->x + (from + r) * b->dim * pool_store_size(b->format.store), b->scale ? b->scale + from + r : NULL, 1,
		    b->dim, row);
		mat_sketch_put(s->block + task * n_block, r, row, b->dim, s->turned + worker * mat_sketch_codes(b->dim));
	}
}

static int
put_sketch(struct pool_builder *b, struct fault *f)
{
	enum { BLOCKS = 4096 };
	size_t n_thread = b->n_thread > 0 ? b->n_thread : 1, n_block = (b->n_row + MAT_SKETCH_ROWS - 1) / MAT_SKETCH_ROWS;
	struct sketching s = { .b = b, .x = spool_bytes(b->vectors, f) };
	int r = s.x ? 0 : -1;

	s.block = xmalloc(BLOCKS, mat_sketch_block(b->dim));
	s.row = xmalloc(n_thread * b->dim, sizeof *s.row);
	s.turned = xmalloc(n_thread * mat_sketch_codes(b->dim), sizeof *s.turned);
	for (size_t n; r == 0 && s.first < n_block; s.first += n) {
		n = n_block - s.first < BLOCKS ? n_block - s.first : BLOCKS;
		thread_for(n_thread, n, sketch_block, &s);
		r = spool_put(b->rows, STREAM_SKETCH, s.block, n * mat_sketch_block(b->dim), f);
	}
	free(s.block);
	free(s.row);
	free(s.turned);
	return r;
}

static int
write_pool(struct pool_builder *b, const uint32_t *order, struct fault *f)
{
	size_t n_old = b->old ? b->old->n_segment : 0;

	for (size_t i = 0; i < b->n_column; i++)
		if (spool_put(b->rows, STREAM_TEXT + 2 * i + 1, &b->text_end[i], sizeof b->text_end[i], f) < 0)
			return -1;
	if (b->format.has_sketch == POOL_SKETCH_IF_LARGE)
		b->format.has_sketch = b->n_row >= POOL_SKETCH_ROWS;
	if (b->format.has_sketch && put_sketch(b, f) < 0)
		return -1;
	pool_sums_finish(&b->sums);
	if (b->format.has_index && b->n_row >= POOL_INDEX_ROWS) {
		const void *x = spool_bytes(b->vectors, f);
		if (!x)
			return -1;
		const struct pool_index_rows rows = { b->format.store, x, b->scale, b->cluster, b->n_row, b->dim };
		pool_index_make(&rows, b->n_thread, &b->index);
	}
	struct tensor_writer *w = tensor_create(b->path, "pool", f);
	if (!w)
		return -1;
	tensor_set_meta(w, "space", "%s", b->space);
	tensor_set_meta(w, "dim", "%zu", b->dim);
	tensor_set_meta(w, "n_cluster", "%zu", b->n_cluster);
	tensor_set_meta(w, "n_segment", "%zu", n_old + 1);
	if (b->whole.n > 0) {
		tensor_set_meta(w, "whole_n", "%zu", b->whole.n);
		tensor_set_meta(w, "whole_first", "%zu", b->whole.first);
		tensor_set_meta(w, "whole_score_sd", "%.17g", b->whole.score_sd);
	}
	if (b->old)
		tensor_declare_file(w, b->old->file[0]);
	declare_segment(b, w, n_old);
	if ((b->old && tensor_put_file(w, b->old->file[0], f) < 0) || put_segment(b, w, order, f) < 0) {
		tensor_abort(w);
		return -1;
	}
	return tensor_commit(w, f);
}

int
pool_commit(struct pool_builder *b, struct fault *f)
{
	uint32_t *order = sort_ids(b, f);
	int r = order ? write_pool(b, order, f) : -1;

	free(order);
	pool_abort(b);
	return r;
}

int
pool_write(const char *path, struct pool *p, size_t from, size_t n, const struct pool_format *format,
    const struct pool_whole *whole, size_t n_thread, struct fault *f)
{
	enum { ROWS = 64 };
	struct pool_format wanted = format ? *format : pool_format_of(p);

	assert(from <= p->n && n <= p->n - from);
	struct pool_builder *b = pool_create(path, p->dim, p->space, p->n_cluster, (const char *const *)p->column, p->n_column, f);
	if (!b)
		return -1;
	wanted.has_index = wanted.has_index && !whole;
	if (pool_set_format(b, wanted, f) < 0) {
		pool_abort(b);
		return -1;
	}
	pool_set_threads(b, n_thread);
	b->is_copy = 1;
	if (whole)
		pool_set_whole(b, *whole);
	float *scratch = xmalloc(ROWS * p->dim, sizeof *scratch);
	struct span *text = xcalloc(p->n_column ? p->n_column : 1, sizeof *text);
	int r = 0;
	for (size_t row = from, n_here; r == 0 && row < from + n; row += n_here) {
		n_here = from + n - row < ROWS ? from + n - row : ROWS;
		const float *x = pool_rows(p, row, n_here, scratch, f);
		if (!x)
			r = -1;
		for (size_t i = 0; r == 0 && i < n_here; i++) {
			r = pool_check_row(p, row + i, f);
			for (size_t k = 0; r == 0 && k < p->n_column; k++)
				text[k] = pool_text(p, row + i, k);
			if (r == 0)
				r = pool_add(b, pool_id(p, row + i), x + i * p->dim, pool_cluster(p, row + i), text, f);
		}
	}
	free(scratch);
	free(text);
	if (r < 0) {
		pool_abort(b);
		return -1;
	}
	return pool_commit(b, f);
}
