#include "embed/trained.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"
#include "mat/mat.h"

static const char *const name[2][3] = { { "query_map", "query_key", "query_row" }, { "item_map", "item_key", "item_row" } };

static int
read_side(struct embed_trained *t, const struct model *m, enum embed_as as, struct fault *f)
{
	size_t width = as == EMBED_ITEM ? t->dim - 1 : t->dim, shape[2] = { t->base_dim, width }, any = TENSOR_FREE;
	struct tensor map, key, row;

	if (tensor_get(m->file, name[as][0], TENSOR_F32, 2, shape, &map, f) < 0)
		return -1;
	t->map[as] = map.at;
	t->n_key[as] = 0;
	for (size_t i = 0; i < t->base_dim * width; i++)
		if (!(fabsf(t->map[as][i]) < 1e6f))
			return fault(f, EX_DATAERR, "%s: tensor %s: number %zu is %g", tensor_path(m->file), name[as][0], i, (double)t->map[as][i]);
	if (!tensor_has(m->file, name[as][1]))
		return 0;
	if (tensor_get(m->file, name[as][1], TENSOR_U64, 1, &any, &key, f) < 0)
		return -1;
	shape[0] = key.shape[0];
	shape[1] = t->dim;
	if (tensor_get(m->file, name[as][2], TENSOR_F32, 2, shape, &row, f) < 0)
		return -1;
	t->key[as] = key.at;
	t->row[as] = row.at;
	t->n_key[as] = key.shape[0];
	for (size_t i = 1; i < t->n_key[as]; i++)
		if (t->key[as][i] <= t->key[as][i - 1])
			return fault(f, EX_DATAERR, "%s: tensor %s: number %zu is not above the one before", tensor_path(m->file), name[as][1], i);
	for (size_t i = 0; i < t->n_key[as] * t->dim; i++)
		if (!(fabsf(t->row[as][i]) < 1e6f))
			return fault(f, EX_DATAERR, "%s: tensor %s: number %zu is %g", tensor_path(m->file), name[as][2], i, (double)t->row[as][i]);
	return 0;
}

int
embed_trained_open(struct embed_trained *t, const struct model *m, struct fault *f)
{
	const char *base_dim = tensor_meta(m->file, "base_dim");
	uint64_t n;

	*t = (struct embed_trained){ .base_dim = m->dim, .dim = m->dim };
	if (!base_dim)
		return 0;
	if (num_read_u64(base_dim, strlen(base_dim), &n) < 0 || n == 0 || n > MODEL_DIM_MAX || m->dim < 2)
		return fault(f, EX_DATAERR, "%s: base_dim: expected a whole number from 1 to %d, got \"%s\"", tensor_path(m->file),
		    MODEL_DIM_MAX, base_dim);
	t->base_dim = (size_t)n;
	if (read_side(t, m, EMBED_QUERY, f) < 0 || read_side(t, m, EMBED_ITEM, f) < 0)
		return -1;
	return 1;
}

/* The row kept for x0, or NULL. */
static const float *
kept(const struct embed_trained *t, enum embed_as as, const float *x0)
{
	uint64_t key = hash64(x0, t->base_dim * sizeof *x0, 0);
	size_t from = 0, to = t->n_key[as];

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (t->key[as][mid] < key)
			from = mid + 1;
		else
			to = mid;
	}
	return from < t->n_key[as] && t->key[as][from] == key ? t->row[as] + from * t->dim : NULL;
}

void
embed_trained_apply(const struct embed_trained *t, enum embed_as as, const float *x0, float *x)
{
	const float *row = kept(t, as, x0);
	size_t width = as == EMBED_ITEM ? t->dim - 1 : t->dim;
	int some = 0;

	for (size_t i = 0; i < t->base_dim && !some; i++)
		some = x0[i] != 0;
	if (row) {
		memcpy(x, row, t->dim * sizeof *x);
		return;
	}
	memset(x, 0, t->dim * sizeof *x);
	if (!some)
		return;
	/* A sum of one order, by the plain loop: the vector of a text is the same on every machine. */
	for (size_t i = 0; i < t->base_dim; i++) {
		const float *m = t->map[as] + i * width;
		for (size_t d = 0; d < width; d++)
			x[d] += x0[i] * m[d];
	}
	if (as == EMBED_QUERY)
		return;
	double square = mat_dot64(x, x, width);
	if (square > 1) {
		for (size_t d = 0; d < width; d++)
			x[d] = (float)(x[d] / sqrt(square));
		square = 1;
	}
	x[width] = (float)sqrt(1 - square);
}
