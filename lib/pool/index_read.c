/* An index that is read: its edges are believed only once they lead nowhere outside; what is foretold needs no belief. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pool/inside.h"

static int
get(struct segment *s, size_t i_segment, const char *name, enum tensor_type type, size_t n_dim, const size_t *shape,
    int verify,
    struct tensor *out, struct fault *f)
{
	struct buf b = {0};

	buf_printf(&b, "%zu.index.%s", i_segment, name);
	int r = tensor_get(s->file, buf_string(&b), type, n_dim, shape, out, f);
	buf_free(&b);
	return r == 0 && verify ? tensor_verify(s->file, out->at, out->n_byte, f) : r;
}

/* Ascending from 0 to last; strictly where none may be empty. */
static int
are_edges(const uint32_t *edge, size_t n, size_t last)
{
	int right = edge[0] == 0 && edge[n] == last;

	for (size_t i = 0; i < n; i++)
		right &= edge[i] < edge[i + 1];
	return right;
}

int
pool_index_read(struct segment *s, size_t i_segment, size_t dim, struct fault *f)
{
	struct pool_index *x = &s->index;
	struct buf name = {0};
	struct tensor v;

	buf_printf(&name, "%zu.index.centre", i_segment);
	int has_index = tensor_has(s->file, buf_string(&name));
	buf_free(&name);
	if (!has_index || s->n == 0)
		return 0;
	x->first = s->start;
	x->n = s->n;
	if (get(s, i_segment, "centre", TENSOR_F16, 2, (size_t[]){ TENSOR_FREE, dim }, 0, &v, f) < 0)
		return -1;
	x->centre = v.at;
	size_t n_cell = x->n_cell = v.shape[0], n_edge = n_cell + 1;
	if (n_cell == 0 || n_cell > s->n)
		return fault(f, EX_DATAERR, "%s: damaged: an index of %zu cells of %zu rows", tensor_path(s->file), n_cell, s->n);
	if (get(s, i_segment, "spread", TENSOR_BF16, 2, (size_t[]){ n_cell, dim }, 0, &v, f) < 0)
		return -1;
	x->spread = v.at;
	if (get(s, i_segment, "start", TENSOR_U32, 1, &n_edge, 1, &v, f) < 0)
		return -1;
	x->start = v.at;
	if (get(s, i_segment, "cell_run", TENSOR_U32, 1, &n_edge, 1, &v, f) < 0)
		return -1;
	x->cell_run = v.at;
	if (get(s, i_segment, "run_cluster", TENSOR_U32, 1, (size_t[]){ TENSOR_FREE }, 1, &v, f) < 0)
		return -1;
	x->run_cluster = v.at;
	size_t n_run = v.shape[0], n_run_edge = n_run + 1;
	if (get(s, i_segment, "run_start", TENSOR_U32, 1, &n_run_edge, 1, &v, f) < 0)
		return -1;
	x->run_start = v.at;
	if (get(s, i_segment, "level", TENSOR_F32, 4, (size_t[]){ POOL_INDEX_SHARPS, POOL_INDEX_SHARES, POOL_INDEX_KINDS,
	    POOL_INDEX_PROBES }, 0,
	    &v, f) < 0)
		return -1;
	x->level = v.at;
	if (get(s, i_segment, "found", TENSOR_F32, 3, (size_t[]){ POOL_INDEX_SHARPS, POOL_INDEX_KINDS, POOL_INDEX_PROBES },
	    0, &v, f) < 0)
		return -1;
	x->found = v.at;
	if (get(s, i_segment, "rule", TENSOR_U8, 2, (size_t[]){ POOL_INDEX_SHARPS, POOL_INDEX_SHARES + 1 }, 1, &v, f) < 0)
		return -1;
	x->rule = v.at;
	for (size_t i = 0; i < POOL_INDEX_CHOICES; i++)
		if (x->rule[i] >= POOL_INDEX_RULES)
			return fault(f, EX_DATAERR, "%s: damaged: the index has a rule %u", tensor_path(s->file), x->rule[i]);
	if (get(s, i_segment, "row", TENSOR_U32, 1, &s->n, 0, &v, f) < 0)
		return -1;
	s->index_row = v.at;
	if (get(s, i_segment, "x", pool_store_tensor(s->store), 2, (size_t[]){ s->n, dim }, 0, &v, f) < 0)
		return -1;
	s->index_x = v.at;
	if (s->store == POOL_I8) {
		if (get(s, i_segment, "scale", TENSOR_F32, 1, &s->n, 0, &v, f) < 0)
			return -1;
		s->index_scale = v.at;
	}
	int right = n_run > 0 && are_edges(x->start, n_cell, s->n) && are_edges(x->cell_run, n_cell, n_run) &&
	    are_edges(x->run_start, n_run, s->n);
	for (size_t c = 0; right && c <= n_cell; c++)
		right = x->run_start[x->cell_run[c]] == x->start[c];
	if (!right)
		return fault(f, EX_DATAERR, "%s: damaged: cells of the index do not cover its rows", tensor_path(s->file));
	s->n_cell = n_cell;
	s->n_run = n_run;
	return 0;
}

/* The largest that there is. */
static const struct segment *
indexed(const struct pool *p)
{
	const struct segment *best = NULL;

	for (size_t i = 0; i < p->n_segment; i++)
		if (p->segment[i].n_cell > 0 && (!best || p->segment[i].n > best->n))
			best = &p->segment[i];
	return best;
}

int
pool_index(struct pool *p, struct pool_index *out, struct fault *f)
{
	const struct segment *s = indexed(p);

	if (!s)
		return 0;
	*out = s->index;
	size_t n_byte = s->n_cell * p->dim * sizeof *out->centre;
	if (!p->trusting && (tensor_verify(s->file, out->centre, n_byte, f) < 0 || tensor_verify(s->file, out->spread,
	    n_byte, f) < 0))
		return -1;
	if (tensor_verify(s->file, out->level, POOL_INDEX_LEVELS * sizeof *out->level, f) < 0 ||
	    tensor_verify(s->file, out->found, POOL_INDEX_FOUND * sizeof *out->found, f) < 0)
		return -1;
	return 1;
}

int
pool_index_kept(struct pool *p, size_t from, size_t n, struct pool_kept *out, const uint32_t **row, struct fault *f)
{
	const struct segment *s = indexed(p);
	size_t row_bytes = p->dim * pool_store_size(s->store);
	const char *x = (const char *)s->index_x + from * row_bytes;

	if (!p->trusting && (tensor_verify(s->file, x, n * row_bytes, f) < 0 ||
	    (s->index_scale && tensor_verify(s->file, s->index_scale + from, n * sizeof *s->index_scale, f) < 0) ||
	    tensor_verify(s->file, s->index_row + from, n * sizeof *s->index_row, f) < 0))
		return -1;
	*out = (struct pool_kept){ .store = s->store, .x = x, .scale = s->index_scale ? s->index_scale + from : NULL, .n = n };
	*row = s->index_row + from;
	uint32_t most = 0;
	for (size_t i = 0; i < n; i++)
		most = (*row)[i] > most ? (*row)[i] : most;
	if (n > 0 && most >= s->n)
		return fault(f, EX_DATAERR, "%s: damaged: the index names row %u of %zu", tensor_path(s->file), most, s->n);
	return 0;
}

int
pool_index_check(const struct pool *p, const struct segment *s, struct fault *f)
{
	size_t row_bytes = p->dim * pool_store_size(s->store), n_seen = 0;
	unsigned char *seen = xcalloc(s->n, 1);
	int right = 1;

	for (size_t c = 0, r = 0; right && c < s->n; c++) {
		size_t row = s->index_row[c];
		r += s->index.run_start[r + 1] <= c;
		right = row < s->n && !seen[row] && s->cluster[row] == s->index.run_cluster[r] &&
		    memcmp((const char *)s->index_x + c * row_bytes, (const char *)s->x + row * row_bytes, row_bytes) == 0 &&
		    (!s->scale || s->scale[row] == s->index_scale[c]);
		if (right) {
			seen[row] = 1;
			n_seen++;
		}
	}
	free(seen);
	for (size_t i = 0; right && i < POOL_INDEX_LEVELS; i++)
		right = isfinite(s->index.level[i]) && (i % POOL_INDEX_PROBES == 0 || s->index.level[i - 1] <= s->index.level[i]);
	for (size_t i = 0; right && i < POOL_INDEX_FOUND; i++)
		right = isfinite(s->index.found[i]) && (i % POOL_INDEX_PROBES == 0 || s->index.found[i - 1] <= s->index.found[i]);
	if (!right || n_seen != s->n)
		return fault(f, EX_DATAERR, "%s: damaged: the index is not that of its rows", tensor_path(s->file));
	return 0;
}
