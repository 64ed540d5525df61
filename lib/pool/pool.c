/* A pool that is read: segments of mapped files, rows numbered through. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "mat/sketch.h"
#include "pool/inside.h"

static int
read_count(struct tensor_file *t, const char *key, size_t *out, struct fault *f)
{
	const char *s = tensor_meta(t, key);
	uint64_t n;

	if (!s || num_read_u64(s, strlen(s), &n) < 0 || n > INT32_MAX)
		return fault(f, EX_DATAERR, "%s: %s: expected a whole number, got \"%s\"", tensor_path(t), key, s ? s : "");
	*out = (size_t)n;
	return 0;
}

/* Tensor "SEGMENT.NAME" (or "SEGMENT.NAME.REST"). */
static int
get(struct tensor_file *t, size_t i_segment, const char *name, const char *rest, enum tensor_type type, size_t n_dim,
    const size_t *shape, struct tensor *out, struct fault *f)
{
	struct buf b = {0};

	buf_printf(&b, "%zu.%s%s", i_segment, name, rest);
	int r = tensor_get(t, buf_string(&b), type, n_dim, shape, out, f);
	buf_free(&b);
	return r;
}

static int
get_column(struct tensor_file *t, size_t i_segment, const char *text, const char *offset, const char *name, size_t n,
    struct column *out, struct fault *f)
{
	struct tensor bytes, offsets;

	if (get(t, i_segment, text, name, TENSOR_U8, 1, (size_t[]){ TENSOR_FREE }, &bytes, f) < 0 ||
	    get(t, i_segment, offset, name, TENSOR_U64, 1, (size_t[]){ n + 1 }, &offsets, f) < 0)
		return -1;
	*out = (struct column){ bytes.at, bytes.n_byte, offsets.at };
	return 0;
}

static size_t
column_index(struct pool *p, const char *name)
{
	size_t i = pool_column(p, name);

	if (i != SIZE_MAX)
		return i;
	p->column = xgrow(p->column, &p->n_column_cap, p->n_column + 1, sizeof *p->column);
	p->column[p->n_column] = xstrdup(name);
	return p->n_column++;
}

/* Sums of honest rows keep below a bound; within it nothing that is computed from them can overflow. */
static int
sums_are_possible(const struct segment *s, size_t dim)
{
	int64_t most = (int64_t)(s->n << 18) + (int64_t)(s->n << 10), most_moment = (int64_t)(s->n << 36) + (int64_t)(s->n << 30);

	for (size_t i = 0; i < dim; i++)
		if (s->sum[i] > most || s->sum[i] < -most)
			return 0;
	for (size_t i = 0; i < dim * (dim + 1) / 2; i++)
		if (s->moment[i] > most_moment || s->moment[i] < -most_moment)
			return 0;
	return 1;
}

/* x, and what goes with the type it is kept in. */
static int
get_vectors(struct pool *p, struct tensor_file *t, size_t i_segment, struct segment *s, struct fault *f)
{
	struct tensor v;
	struct buf name = {0};
	size_t n_block = mat_sketch_block(p->dim);

	if (get(t, i_segment, "x", "", TENSOR_ANY, 2, (size_t[]){ TENSOR_FREE, p->dim }, &v, f) < 0)
		return -1;
	for (s->store = POOL_F32; s->store <= POOL_I8 && pool_store_tensor(s->store) != v.type; s->store++)
		;
	if (s->store > POOL_I8)
		return fault(f, EX_DATAERR, "%s: vectors of segment %zu are kept in a type that is not read", tensor_path(t), i_segment);
	s->x = v.at;
	s->n = v.shape[0];
	tensor_read_whole(t, &v);
	if (s->store == POOL_I8) {
		if (get(t, i_segment, "x.scale", "", TENSOR_F32, 1, &s->n, &v, f) < 0)
			return -1;
		s->scale = v.at;
	}
	buf_printf(&name, "%zu.sketch", i_segment);
	int has_sketch = tensor_has(t, buf_string(&name));
	buf_free(&name);
	if (!has_sketch)
		return 0;
	if (p->dim > MAT_SKETCH_DIM_MAX)
		return fault(f, EX_DATAERR, "%s: has a sketch of %zu dimensions, %d are the most", tensor_path(t), p->dim, MAT_SKETCH_DIM_MAX);
	if (get(t, i_segment, "sketch", "", TENSOR_U8, 2, (size_t[]){ (s->n + MAT_SKETCH_ROWS - 1) / MAT_SKETCH_ROWS, n_block }, &v, f) < 0)
		return -1;
	s->sketch = v.at;
	tensor_read_whole(t, &v);
	return 0;
}

static int
read_segment(struct pool *p, struct tensor_file *t, size_t i_segment, struct fault *f)
{
	struct segment s = { .file = t, .start = p->n, .is_first = i_segment == 0 };
	struct tensor v;

	if (get_vectors(p, t, i_segment, &s, f) < 0)
		return -1;
	if (s.n > POOL_ROW_MAX - p->n)
		return fault(f, EX_DATAERR, "%s: more than %zu rows in all", tensor_path(t), POOL_ROW_MAX);
	if (get(t, i_segment, "cluster", "", TENSOR_U32, 1, &s.n, &v, f) < 0)
		return -1;
	s.cluster = v.at;
	if (get_column(t, i_segment, "id", "id.offset", "", s.n, &s.id, f) < 0 ||
	    get(t, i_segment, "id.order", "", TENSOR_U32, 1, &s.n, &v, f) < 0)
		return -1;
	s.order = v.at;
	if (get(t, i_segment, "sum", "", TENSOR_I64, 1, &p->dim, &v, f) < 0 || tensor_verify(t, v.at, v.n_byte, f) < 0)
		return -1;
	s.sum = v.at;
	if (get(t, i_segment, "moment", "", TENSOR_I64, 1, (size_t[]){ p->dim * (p->dim + 1) / 2 }, &v, f) < 0 ||
	    tensor_verify(t, v.at, v.n_byte, f) < 0)
		return -1;
	s.moment = v.at;
	if (get(t, i_segment, "quartic", "", TENSOR_U64, 1, (size_t[]){ 2 }, &v, f) < 0 || tensor_verify(t, v.at, v.n_byte, f) < 0)
		return -1;
	s.quartic = v.at;
	if (pool_index_read(&s, i_segment, p->dim, f) < 0)
		return -1;
	if (!sums_are_possible(&s, p->dim))
		return fault(f, EX_DATAERR, "%s: damaged: sums of segment %zu are not those of %zu unit rows", tensor_path(t), i_segment, s.n);

	s.sound = xcalloc(s.n / POOL_RUN + 1, sizeof *s.sound);
	p->segment = xgrow(p->segment, &p->n_segment_cap, p->n_segment + 1, sizeof *p->segment);
	p->segment[p->n_segment++] = s;
	p->n += s.n;
	return 0;
}

/* The texts, once all columns of all segments are known. */
static int
read_texts(struct pool *p, struct segment *s, size_t i_segment, struct fault *f)
{
	char prefix[40];
	size_t n_prefix = (size_t)snprintf(prefix, sizeof prefix, "%zu.text.", i_segment);

	s->text = xcalloc(p->n_column ? p->n_column : 1, sizeof *s->text);
	for (size_t i = 0; i < tensor_count(s->file); i++) {
		const char *name = tensor_name(s->file, i);
		if (strncmp(name, prefix, n_prefix) == 0 &&
		    get_column(s->file, i_segment, "text.", "offset.", name + n_prefix, s->n,
		    &s->text[pool_column(p, name + n_prefix)], f) < 0)
			return -1;
	}
	return 0;
}

static void
read_columns(struct pool *p, struct tensor_file *t)
{
	for (size_t i = 0; i < tensor_count(t); i++) {
		const char *name = tensor_name(t, i);
		name += strspn(name, "0123456789");
		if (strncmp(name, ".text.", 6) == 0)
			column_index(p, name + 6);
	}
}

static int
read_whole(struct pool *p, struct tensor_file *t, struct fault *f)
{
	double sd = 0;

	if (!tensor_meta(t, "whole_n"))
		return 0;
	if (read_count(t, "whole_n", &p->whole.n, f) < 0 || read_count(t, "whole_first", &p->whole.first, f) < 0 ||
	    tensor_meta_number(t, "whole_score_sd", &sd, f) < 0)
		return -1;
	if (p->whole.n > POOL_ROW_MAX || p->whole.first > p->whole.n || !(sd >= 0 && sd <= 2))
		return fault(f, EX_DATAERR, "%s: damaged: a shard of %zu rows from row %zu, spread of scores %g", tensor_path(t), p->whole.n,
		    p->whole.first, sd);
	p->whole.score_sd = sd;
	return 0;
}

static int
read_file(struct pool *p, const char *path, const char *space, const char *space_name, struct fault *f)
{
	struct tensor_file *t = tensor_open(path, "pool", f);
	size_t dim = 0, n_cluster = 0, n_segment = 0;
	const char *mine;

	if (!t)
		return -1;
	p->file = xgrow(p->file, &p->n_file_cap, p->n_file + 1, sizeof *p->file);
	p->file[p->n_file++] = t;
	mine = tensor_meta(t, "space");
	if (!mine || strlen(mine) != 32)
		return fault(f, EX_DATAERR, "%s: has no embedding space", path);
	if (strcmp(mine, space ? space : (p->space ? p->space : mine)) != 0)
		return fault(f, EX_DATAERR, "%s: is of embedding space %.8s, but %s is of %.8s", path, mine,
		    space ? (space_name ? space_name : "the model") : tensor_path(p->file[0]), space ? space : p->space);
	if (read_count(t, "dim", &dim, f) < 0 || read_count(t, "n_cluster", &n_cluster, f) < 0 ||
	    read_count(t, "n_segment", &n_segment, f) < 0)
		return -1;
	if (dim == 0 || n_cluster == 0)
		return fault(f, EX_DATAERR, "%s: expected at least one dimension and one cluster, got %zu and %zu", path, dim, n_cluster);
	if (p->n_file > 1 && (dim != p->dim || n_cluster != p->n_cluster))
		return fault(f, EX_DATAERR, "%s: has %zu dimensions and %zu clusters, but %s has %zu and %zu", path, dim, n_cluster,
		    tensor_path(p->file[0]), p->dim, p->n_cluster);
	p->space = tensor_meta(p->file[0], "space");
	p->dim = dim;
	p->n_cluster = n_cluster;
	if (p->n_file == 1 && read_whole(p, t, f) < 0)
		return -1;
	for (size_t i = 0; i < n_segment; i++)
		if (read_segment(p, t, i, f) < 0)
			return -1;
	read_columns(p, t);
	return 0;
}

static int
read_all(struct pool *p, const char *const *path, size_t n_path, const char *space, const char *space_name, struct fault *f)
{
	if (n_path == 0)
		return fault(f, EX_USAGE, "no pool is given");
	for (size_t i = 0; i < n_path; i++)
		if (read_file(p, path[i], space, space_name, f) < 0)
			return -1;
	for (size_t i = 0, i_segment = 0; i < p->n_segment; i++) {
		i_segment = p->segment[i].is_first ? 0 : i_segment + 1;
		if (read_texts(p, &p->segment[i], i_segment, f) < 0)
			return -1;
	}
	return 0;
}

struct pool *
pool_open(const char *const *path, size_t n_path, const char *space, const char *space_name, struct fault *f)
{
	struct pool *p = xcalloc(1, sizeof *p);

	if (read_all(p, path, n_path, space, space_name, f) < 0) {
		pool_close(p);
		return NULL;
	}
	return p;
}

void
pool_close(struct pool *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_segment; i++) {
		free(p->segment[i].text);
		free(p->segment[i].sound);
	}
	for (size_t i = 0; i < p->n_column; i++)
		free(p->column[i]);
	for (size_t i = 0; i < p->n_file; i++)
		tensor_close(p->file[i]);
	free(p->segment);
	free(p->column);
	free(p->file);
	free(p);
}

size_t
pool_n(const struct pool *p)
{
	return p->n;
}

size_t
pool_dim(const struct pool *p)
{
	return p->dim;
}

size_t
pool_n_cluster(const struct pool *p)
{
	return p->n_cluster;
}

const char *
pool_space(const struct pool *p)
{
	return p->space;
}

size_t
pool_n_segment(const struct pool *p)
{
	return p->n_segment;
}

const struct segment *
pool_segment(const struct pool *p, size_t row)
{
	size_t low = 0, high = p->n_segment;

	assert(row < p->n);
	/* the last that starts at or before row; one without rows starts where the next does */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (p->segment[middle].start <= row)
			low = middle;
		else
			high = middle;
	}
	return &p->segment[low];
}

/* Whether no number of bits [n] is larger than most, signs aside; compiled once more for wider vectors, as all rows pass. */
static inline __attribute__((always_inline)) int
within32(const uint32_t *bits, size_t n, int32_t most)
{
	int32_t wrong = 0;

	for (size_t i = 0; i < n; i++)
		wrong |= -((int32_t)(bits[i] & 0x7FFFFFFF) > most);
	return !wrong;
}

static inline __attribute__((always_inline)) int
within16(const uint16_t *bits, size_t n, int16_t most)
{
	int16_t wrong = 0;

	for (size_t i = 0; i < n; i++)
		wrong = (int16_t)(wrong | -((int16_t)(bits[i] & 0x7FFF) > most));
	return !wrong;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static int
within32_wide(const uint32_t *bits, size_t n, int32_t most)
{
	return within32(bits, n, most);
}

__attribute__((target("avx2"))) static int
within16_wide(const uint16_t *bits, size_t n, int16_t most)
{
	return within16(bits, n, most);
}
#define IS_WIDE __builtin_cpu_supports("avx2")
#else
#define within32_wide within32
#define within16_wide within16
#define IS_WIDE 0
#endif

/* No number is beyond what a row of length 1 may have. */
static int
are_possible(const struct segment *s, size_t dim, size_t from, size_t n)
{
	const void *x = (const char *)s->x + from * dim * pool_store_size(s->store);
	const int32_t most32 = 0x3F804189;      /* 1.002 */
	const int16_t most16 = s->store == POOL_F16 ? 0x3C02 : 0x3F80;
	int right = 1;

	switch (s->store) {
	case POOL_F32:
		return IS_WIDE ? within32_wide(x, n * dim, most32) : within32(x, n * dim, most32);
	case POOL_F16:
	case POOL_BF16:
		return IS_WIDE ? within16_wide(x, n * dim, most16) : within16(x, n * dim, most16);
	case POOL_I8:   /* 1 / scale is the length of the row in whole numbers, of which one is 127 */
		for (size_t i = 0; i < n; i++)
			right &= s->scale[from + i] >= 0 && s->scale[from + i] <= 1.f / 127;
	}
	return right;
}

/* Rows [from, from + n) of a segment are what was written. */
static int
verify_bytes(const struct segment *s, size_t dim, size_t from, size_t n, struct fault *f)
{
	size_t row_bytes = dim * pool_store_size(s->store);

	if (tensor_verify(s->file, s->cluster + from, n * sizeof *s->cluster, f) < 0 ||
	    tensor_verify(s->file, (const char *)s->x + from * row_bytes, n * row_bytes, f) < 0)
		return -1;
	return s->scale ? tensor_verify(s->file, s->scale + from, n * sizeof *s->scale, f) : 0;
}

/* Rows [from, from + n) of a segment are what was written, and that is numbers which a unit row may have: sums over them
   are finite. */
static int
verify_rows(const struct segment *s, size_t dim, size_t from, size_t n, struct fault *f)
{
	size_t row_bytes = dim * pool_store_size(s->store);

	if (verify_bytes(s, dim, from, n, f) < 0)
		return -1;
	for (size_t run = from / POOL_RUN; run * POOL_RUN < from + n; run++) {
		if (atomic_load_explicit(&s->sound[run], memory_order_relaxed))
			continue;
		size_t first = run * POOL_RUN, n_here = s->n - first < POOL_RUN ? s->n - first : POOL_RUN;
		if (tensor_verify(s->file, (const char *)s->x + first * row_bytes, n_here * row_bytes, f) < 0 ||
		    (s->scale && tensor_verify(s->file, s->scale + first, n_here * sizeof *s->scale, f) < 0))
			return -1;
		if (!are_possible(s, dim, first, n_here))
			return fault(f, EX_DATAERR, "%s: damaged: rows %zu to %zu hold numbers that no unit row has", tensor_path(s->file),
			    first, first + n_here - 1);
		atomic_store_explicit(&s->sound[run], 1, memory_order_relaxed);
	}
	return 0;
}

static int
verify_sketch(const struct segment *s, size_t dim, size_t from, size_t n, struct fault *f)
{
	size_t n_block = mat_sketch_block(dim), first = from / MAT_SKETCH_ROWS, last = (from + n - 1) / MAT_SKETCH_ROWS;

	if (tensor_verify(s->file, s->cluster + from, n * sizeof *s->cluster, f) < 0)
		return -1;
	return tensor_verify(s->file, s->sketch + first * n_block, (last - first + 1) * n_block, f);
}

int
pool_kept(struct pool *p, size_t from, size_t n, enum pool_part what, struct pool_kept *out, struct fault *f)
{
	assert(n > 0 && from < p->n && n <= p->n - from);
	const struct segment *s = pool_segment(p, from);
	size_t i = from - s->start, n_here = s->n - i < n ? s->n - i : n;

	if (!p->trusting && (what == POOL_SKETCH && s->sketch ? verify_sketch(s, p->dim, i, n_here, f) :
	    verify_bytes(s, p->dim, i, n_here, f)) < 0)
		return -1;
	*out = (struct pool_kept){ .store = s->store, .x = (const char *)s->x + i * p->dim * pool_store_size(s->store),
	    .scale = s->scale ? s->scale + i : NULL, .cluster = s->cluster + i, .i_sketch = i % MAT_SKETCH_ROWS, .n = n_here,
	    .sketch = s->sketch ? s->sketch + i / MAT_SKETCH_ROWS * mat_sketch_block(p->dim) : NULL };
	return 0;
}

int
pool_has_sketch(const struct pool *p)
{
	for (size_t i = 0; i < p->n_segment; i++)
		if (p->segment[i].n > 0 && !p->segment[i].sketch)
			return 0;
	return p->n > 0;
}

void
pool_trust(struct pool *p)
{
	p->trusting = 1;
}

struct pool_whole
pool_whole(const struct pool *p)
{
	return p->whole;
}

struct pool_format
pool_format_of(const struct pool *p)
{
	struct pool_format format = { POOL_F32, pool_has_sketch(p), 0 };
	const struct segment *first = NULL;

	for (size_t i = 0; i < p->n_segment; i++)
		format.has_index |= p->segment[i].n_cell > 0;
	for (size_t i = 0; i < p->n_segment; i++) {
		const struct segment *s = &p->segment[i];
		if (s->n == 0)
			continue;
		if (first && s->store != first->store)
			return format;
		first = s;
	}
	if (!first && p->n_segment > 0) {
		first = &p->segment[0];
		format.has_sketch = first->sketch != NULL;
	}
	if (first)
		format.store = first->store;
	return format;
}

const float *
pool_rows(struct pool *p, size_t from, size_t n, float *scratch, struct fault *f)
{
	static const float none[1];

	assert(from <= p->n && n <= p->n - from);
	if (n == 0)
		return scratch ? scratch : none;
	const struct segment *s = pool_segment(p, from);
	int together = from + n <= s->start + s->n;

	for (size_t row = from; row < from + n; s++) {
		size_t i = row - s->start, n_here = s->n - i;
		if (n_here > from + n - row)
			n_here = from + n - row;
		if (n_here == 0)
			continue;
		const char *x = (const char *)s->x + i * p->dim * pool_store_size(s->store);
		if (!p->trusting && verify_rows(s, p->dim, i, n_here, f) < 0)
			return NULL;
		if (together && s->store == POOL_F32)
			return (const float *)(const void *)x;
		pool_decode(s->store, x, s->scale ? s->scale + i : NULL, n_here, p->dim, scratch + (row - from) * p->dim);
		row += n_here;
	}
	return scratch;
}

size_t
pool_cluster(const struct pool *p, size_t row)
{
	const struct segment *s = pool_segment(p, row);
	size_t cluster = s->cluster[row - s->start];

	/* only a file that was made wrong on purpose gets here; it may lead to no place outside */
	return cluster < p->n_cluster ? cluster : 0;
}

struct span
pool_span(const struct column *c, size_t i)
{
	if (!c->bytes || !c->offset)
		return (struct span){ "", 0 };
	uint64_t begin = c->offset[i], end = c->offset[i + 1];
	if (begin > end || end > c->n_byte)
		return (struct span){ "", 0 };
	return (struct span){ c->bytes + begin, (size_t)(end - begin) };
}

struct span
pool_id(const struct pool *p, size_t row)
{
	const struct segment *s = pool_segment(p, row);

	return pool_span(&s->id, row - s->start);
}

size_t
pool_n_column(const struct pool *p)
{
	return p->n_column;
}

const char *
pool_column_name(const struct pool *p, size_t column)
{
	assert(column < p->n_column);
	return p->column[column];
}

size_t
pool_column(const struct pool *p, const char *name)
{
	for (size_t i = 0; i < p->n_column; i++)
		if (strcmp(p->column[i], name) == 0)
			return i;
	return SIZE_MAX;
}

struct span
pool_text(const struct pool *p, size_t row, size_t column)
{
	assert(column < p->n_column);
	const struct segment *s = pool_segment(p, row);

	return pool_span(&s->text[column], row - s->start);
}

int
pool_compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.at, b.at, n) : 0;

	return c != 0 ? c : a.n < b.n ? -1 : a.n > b.n;
}

int
pool_segment_find(const struct segment *s, struct span id, size_t *i, struct fault *f)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (tensor_verify(s->file, &s->order[middle], sizeof *s->order, f) < 0)
			return -1;
		size_t row = s->order[middle];
		if (row >= s->n)
			return fault(f, EX_DATAERR, "%s: damaged: the order of ids names row %zu of %zu", tensor_path(s->file), row, s->n);
		if (pool_verify_span(s, &s->id, row, "id", f) < 0)
			return -1;
		int c = pool_compare(id, pool_span(&s->id, row));
		if (c == 0) {
			*i = row;
			return 1;
		}
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return 0;
}

int
pool_lookup(struct pool *p, struct span id, size_t *row, struct fault *f)
{
	for (size_t k = 0; k < p->n_segment; k++) {
		size_t i;
		int found = pool_segment_find(&p->segment[k], id, &i, f);
		if (found > 0)
			*row = p->segment[k].start + i;
		if (found != 0)
			return found;
	}
	return 0;
}

size_t
pool_find(const struct pool *p, struct span id)
{
	struct fault f;
	size_t row;

	return pool_lookup((struct pool *)(uintptr_t)p, id, &row, &f) > 0 ? row : SIZE_MAX;
}
