/* A pool that is read: segments of mapped files, rows numbered through. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
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

static int
read_segment(struct pool *p, struct tensor_file *t, size_t i_segment, struct fault *f)
{
	struct segment s = { .file = t, .start = p->n, .is_first = i_segment == 0 };
	struct tensor v;

	if (get(t, i_segment, "x", "", TENSOR_F32, 2, (size_t[]){ TENSOR_FREE, p->dim }, &v, f) < 0)
		return -1;
	s.x = v.at;
	s.n = v.shape[0];
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

/* Rows [from, from + n) of a segment are what was written, and that is numbers which a unit row may have: sums over them
   are finite. */
static int
verify_rows(const struct segment *s, size_t dim, size_t from, size_t n, struct fault *f)
{
	const float most = 1 + POOL_NORM_TOLERANCE;

	if (tensor_verify(s->file, s->cluster + from, n * sizeof *s->cluster, f) < 0)
		return -1;
	for (size_t run = from / POOL_RUN; run * POOL_RUN < from + n; run++) {
		if (atomic_load_explicit(&s->sound[run], memory_order_relaxed))
			continue;
		size_t first = run * POOL_RUN, n_here = s->n - first < POOL_RUN ? s->n - first : POOL_RUN;
		const float *x = s->x + first * dim;
		int wrong = 0;
		if (tensor_verify(s->file, x, n_here * dim * sizeof *x, f) < 0)
			return -1;
		for (size_t i = 0; i < n_here * dim; i++)
			wrong |= !(fabsf(x[i]) <= most);
		if (wrong)
			return fault(f, EX_DATAERR, "%s: damaged: rows %zu to %zu hold numbers that no unit row has", tensor_path(s->file),
			    first, first + n_here - 1);
		atomic_store_explicit(&s->sound[run], 1, memory_order_relaxed);
	}
	return 0;
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
		const float *x = s->x + i * p->dim;
		if (verify_rows(s, p->dim, i, n_here, f) < 0)
			return NULL;
		if (together)
			return x;
		if (n_here > 0)
			memcpy(scratch + (row - from) * p->dim, x, n_here * p->dim * sizeof *x);
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
