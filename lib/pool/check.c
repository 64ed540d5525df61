/* Whether a pool is what was written, and what was written is a pool. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mat/mat.h"
#include "mat/sketch.h"
#include "pool/inside.h"

int
pool_verify_span(const struct segment *s, const struct column *c, size_t i, const char *name, struct fault *f)
{
	if (!c->offset)
		return 0;
	if (tensor_verify(s->file, c->offset + i, 2 * sizeof *c->offset, f) < 0)
		return -1;
	uint64_t begin = c->offset[i], end = c->offset[i + 1];
	if (begin > end || end > c->n_byte)
		return fault(f, EX_DATAERR, "%s: damaged: column %s of row %zu lies at bytes %llu to %llu of %zu", tensor_path(s->file),
		    name, i, (unsigned long long)begin, (unsigned long long)end, c->n_byte);
	return tensor_verify(s->file, c->bytes + begin, (size_t)(end - begin), f);
}

int
pool_check_row(struct pool *p, size_t row, struct fault *f)
{
	const struct segment *s = pool_segment(p, row);

	if (pool_verify_span(s, &s->id, row - s->start, "id", f) < 0)
		return -1;
	for (size_t k = 0; k < p->n_column; k++)
		if (pool_verify_span(s, &s->text[k], row - s->start, p->column[k], f) < 0)
			return -1;
	return 0;
}

/* Texts follow each other without holes. */
static int
check_offsets(const struct segment *s, const struct column *c, const char *name, struct fault *f)
{
	if (!c->offset)
		return 0;
	int right = c->offset[0] == 0 && c->offset[s->n] == c->n_byte;
	for (size_t i = 0; right && i < s->n; i++)
		right = c->offset[i] <= c->offset[i + 1];
	if (!right)
		return fault(f, EX_DATAERR, "%s: damaged: offsets of column %s do not cover its bytes", tensor_path(s->file), name);
	return 0;
}

/* Strictly ascending: then every row is there once, and no id twice. Segments before it in the same file know none
   of its ids. */
static int
check_ids(const struct pool *p, size_t k, struct fault *f)
{
	const struct segment *s = &p->segment[k];
	struct span before = {0};

	for (size_t i = 0; i < s->n; i++) {
		size_t row = s->order[i], where;
		if (row >= s->n)
			return fault(f, EX_DATAERR, "%s: damaged: the order of ids names row %zu of %zu", tensor_path(s->file), row, s->n);
		struct span id = pool_span(&s->id, row);
		if (!pool_id_is_good(id))
			return fault(f, EX_DATAERR, "%s: damaged: row %zu has the id \"%s\"", tensor_path(s->file), row, fault_quote(id.at, id.n));
		if (i > 0 && pool_compare(before, id) >= 0)
			return fault(f, EX_DATAERR, "%s: damaged: ids are not in order at \"%s\"", tensor_path(s->file), fault_quote(id.at, id.n));
		before = id;
		for (size_t j = k; j > 0 && p->segment[j - 1].file == s->file; j--) {
			int found = pool_segment_find(&p->segment[j - 1], id, &where, f);
			if (found > 0)
				return fault(f, EX_DATAERR, "%s: id \"%s\" is there twice", tensor_path(s->file), fault_quote(id.at, id.n));
			if (found < 0)
				return -1;
		}
	}
	return 0;
}

/* Rows of unit length or zero, clusters that exist, and sums that are those of the rows. */
static int
check_rows(const struct pool *p, const struct segment *s, struct fault *f)
{
	struct pool_sums sums;
	float *x = xmalloc(p->dim, sizeof *x);
	int r = 0;

	pool_sums_init(&sums, p->dim);
	for (size_t i = 0; r == 0 && i < s->n; i++) {
		pool_decode(s->store, (const char *)s->x + i * p->dim * pool_store_size(s->store), s->scale ? s->scale + i : NULL, 1, p->dim, x);
		double norm = mat_norm(x, p->dim);
		if (!(norm == 0 || fabs(norm - 1) <= POOL_STORED_TOLERANCE))
			r = fault(f, EX_DATAERR, "%s: damaged: row %zu has length %g", tensor_path(s->file), i, norm);
		else if (s->cluster[i] >= p->n_cluster)
			r = fault(f, EX_DATAERR, "%s: damaged: row %zu is of cluster %u of %zu", tensor_path(s->file), i, s->cluster[i], p->n_cluster);
		else
			pool_sums_add(&sums, x);
	}
	if (r == 0) {
		pool_sums_finish(&sums);
		if (memcmp(sums.sum, s->sum, p->dim * sizeof *sums.sum) != 0 ||
		    memcmp(sums.moment, s->moment, p->dim * (p->dim + 1) / 2 * sizeof *sums.moment) != 0 ||
		    sums.quartic != ((unsigned __int128)s->quartic[1] << 64 | s->quartic[0]))
			r = fault(f, EX_DATAERR, "%s: damaged: sums over rows are not those of its rows", tensor_path(s->file));
	}
	pool_sums_free(&sums);
	free(x);
	return r;
}

/* The sketch is the one that the rows have. */
static int
check_sketch(const struct pool *p, const struct segment *s, struct fault *f)
{
	size_t n_block = mat_sketch_block(p->dim);
	uint8_t *block = xmalloc(n_block, 1);
	float *x = xmalloc(p->dim, sizeof *x);
	double *turned = xmalloc(mat_sketch_codes(p->dim), sizeof *turned);
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n; i += MAT_SKETCH_ROWS) {
		memset(block, 0, n_block);
		for (size_t k = i; k < s->n && k < i + MAT_SKETCH_ROWS; k++) {
			pool_decode(s->store, (const char *)s->x + k * p->dim * pool_store_size(s->store), s->scale ? s->scale + k : NULL, 1, p->dim, x);
			mat_sketch_put(block, k - i, x, p->dim, turned);
		}
		if (memcmp(block, s->sketch + i / MAT_SKETCH_ROWS * n_block, n_block) != 0)
			r = fault(f, EX_DATAERR, "%s: damaged: the sketch of rows from %zu on is not theirs", tensor_path(s->file), i);
	}
	free(turned);
	free(x);
	free(block);
	return r;
}

int
pool_check(struct pool *p, struct fault *f)
{
	for (size_t i = 0; i < p->n_file; i++)
		if (tensor_verify_all(p->file[i], f) < 0)
			return -1;
	for (size_t k = 0; k < p->n_segment; k++) {
		const struct segment *s = &p->segment[k];
		if (check_offsets(s, &s->id, "id", f) < 0)
			return -1;
		for (size_t i = 0; i < p->n_column; i++)
			if (check_offsets(s, &s->text[i], p->column[i], f) < 0)
				return -1;
		if (check_ids(p, k, f) < 0 || check_rows(p, s, f) < 0 || (s->sketch && check_sketch(p, s, f) < 0) ||
		    (s->n_cell > 0 && pool_index_check(p, s, f) < 0))
			return -1;
	}
	return 0;
}
