#include "embed/svd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "mat/mat.h"

/* Products run over tiles of TILE rows, whatever the threads; sums over tiles are kept for GROUPS spans of them. */
enum { TILE = 256, GROUPS = 16, SMALL = 2048 };

struct work {
	const struct sparse *a;
	float *t;                       /* [n_column][stride], of which n_basis columns are the basis */
	size_t n_basis, stride;
	size_t n_thread;
	uint64_t seed;
	float shift;
	int sketch;                     /* this pass makes the first basis */
	float **panel;                  /* [n_thread] two panels [n_column][SPARSE_PANEL] */
	float **tile;                   /* [n_thread] [TILE][stride] */
	float **gram;                   /* [n_thread] [n_basis][n_basis] */
	double *sum;                    /* [GROUPS][n_basis][n_basis] */
	int of_rows;                    /* Gram matrix of A T instead of T */
	const float *factor;            /* T = T factor' */
	size_t n_factor;                /* rows of it */
};

static void
multiply_panel(void *arg, size_t p, size_t worker)
{
	struct work *w = arg;
	size_t n = w->a->n_column, first = p * SPARSE_PANEL;
	size_t width = w->n_basis - first < SPARSE_PANEL ? w->n_basis - first : SPARSE_PANEL;

	if (!w->panel[worker])
		w->panel[worker] = xaligned(2 * n * SPARSE_PANEL, sizeof **w->panel);
	float *from = w->panel[worker], *to = from + n * SPARSE_PANEL;
	if (w->sketch) {
		sparse_sketch(w->a, w->seed, p, to);
	} else {
		for (size_t i = 0; i < n; i++)
			memcpy(from + i * SPARSE_PANEL, w->t + i * w->stride + first, SPARSE_PANEL * sizeof *from);
		sparse_gram(w->a, from, to);
	}
	for (size_t i = 0; i < n; i++) {
		float *t = w->t + i * w->stride + first;
		for (size_t k = 0; k < width; k++)
			t[k] = to[i * SPARSE_PANEL + k] - w->shift * t[k];
	}
}

static void
gram_group(void *arg, size_t group, size_t worker)
{
	struct work *w = arg;
	size_t n_row = w->of_rows ? w->a->n_row : w->a->n_column, l = w->n_basis;
	size_t n_tile = (n_row + TILE - 1) / TILE, from = group * n_tile / GROUPS, to = (group + 1) * n_tile / GROUPS;
	double *sum = w->sum + group * l * l;

	if (!w->tile[worker])
		w->tile[worker] = xaligned(TILE * w->stride, sizeof **w->tile);
	if (!w->gram[worker])
		w->gram[worker] = xaligned(l * l, sizeof **w->gram);
	memset(sum, 0, l * l * sizeof *sum);
	for (size_t i = from; i < to; i++) {
		size_t first = i * TILE, n = n_row - first < TILE ? n_row - first : TILE;
		struct mat tile = { w->t + first * w->stride, n, l, w->stride };

		if (w->of_rows) {
			tile.at = w->tile[worker];
			for (size_t j = 0; j < n; j++)
				sparse_row_mul(w->a, first + j, w->t, w->stride, l, tile.at + j * w->stride);
		}
		mat_mul(1, tile, 1, tile, 0, 0, mat_of(w->gram[worker], l, l));
		for (size_t j = 0; j < l * l; j++)
			sum[j] += w->gram[worker][j];
	}
}

/* sum[0] = (A T)' A T or T' T, in double over tiles. */
static void
gram(struct work *w, int of_rows)
{
	size_t n = w->n_basis * w->n_basis;

	w->of_rows = of_rows;
	thread_for(w->n_thread, GROUPS, gram_group, w);
	for (size_t g = 1; g < GROUPS; g++)
		for (size_t j = 0; j < n; j++)
			w->sum[j] += w->sum[g * n + j];
}

static void
transform_tile(void *arg, size_t i, size_t worker)
{
	struct work *w = arg;
	size_t first = i * TILE, n = w->a->n_column - first < TILE ? w->a->n_column - first : TILE;
	struct mat tile = { w->t + first * w->stride, n, w->n_basis, w->stride };
	struct mat out = { w->tile[worker], n, w->n_factor, w->stride };

	if (!out.at)
		out.at = w->tile[worker] = xaligned(TILE * w->stride, sizeof **w->tile);
	mat_mul(1, tile, 0, mat_of(w->factor, w->n_factor, w->n_basis), 1, 0, out);
	for (size_t j = 0; j < n; j++)
		memcpy(tile.at + j * w->stride, out.at + j * w->stride, w->n_factor * sizeof *out.at);
}

static void
transform(struct work *w, const float *factor, size_t n_factor)
{
	w->factor = factor;
	w->n_factor = n_factor;
	thread_for(w->n_thread, (w->a->n_column + TILE - 1) / TILE, transform_tile, w);
}

/* The eigenvalues [n_basis] of sum[0], ascending, and its eigenvectors in the rows of vectors. */
static int
eigen(struct work *w, float *vectors, float *values)
{
	size_t n = w->n_basis;

	for (size_t i = 0; i < n * n; i++)
		if (!isfinite(vectors[i] = (float)w->sum[i]))
			return -1;
	return mat_eigen(mat_of(vectors, n, n), values);
}

/* T becomes an orthonormal basis of its span. *least: the smallest singular value that it had. */
static int
orthonormalise(struct work *w, double *least)
{
	size_t n = w->n_basis;
	float *vectors = xmalloc(n * n, sizeof *vectors), *values = xmalloc(n, sizeof *values);
	int done = -1;

	gram(w, 0);
	if (eigen(w, vectors, values) < 0)
		goto end;
	*least = values[0] > 0 ? sqrt(values[0]) : 0;
	done = 0;
	/* From the Cholesky factor of T'T = L L', T L'^-1: tiles in threads, where Householder goes column by column.
	   But the condition of T enters squared, so a poor one is left to Householder. */
	if (w->a->n_column > SMALL && values[0] > 1e-5f * values[n - 1] && mat_cholesky64(w->sum, n) == 0) {
		double *inverse = xcalloc(n * n, sizeof *inverse);

		for (size_t i = 0; i < n; i++)
			inverse[i * n + i] = 1;
		/* row i solves L y = e_i, so it is column i of L^-1: T L'^-1 = T (rows of inverse) */
		mat_solve_many64(w->sum, n, inverse, n, 0);
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < n; j++)
				vectors[i * n + j] = (float)inverse[j * n + i];
		transform(w, vectors, n);
		free(inverse);
	} else {
		mat_orthonormalise((struct mat){ w->t, w->a->n_column, n, w->stride });
	}
end:
	free(vectors);
	free(values);
	return done;
}

static void
fix_signs(struct svd *s, size_t n_row)
{
	float *most = xcalloc(s->rank, sizeof *most);

	for (size_t i = 0; i < n_row; i++)
		for (size_t k = 0; k < s->rank; k++)
			if (fabsf(s->v[i * s->rank + k]) > fabsf(most[k]))
				most[k] = s->v[i * s->rank + k];
	for (size_t k = 0; k < s->rank; k++)
		most[k] = most[k] < 0 ? -1 : 1;
	for (size_t i = 0; i < n_row; i++)
		for (size_t k = 0; k < s->rank; k++)
			s->v[i * s->rank + k] *= most[k];
	free(most);
}

/* Rayleigh-Ritz: the best vectors that the subspace holds. */
static int
extract(struct work *w, size_t rank, struct svd *out)
{
	size_t l = w->n_basis, n = w->a->n_column;
	float *vectors = xmalloc(l * l, sizeof *vectors), *values = xmalloc(l, sizeof *values);
	float *order = xmalloc(rank * l, sizeof *order);
	int done = -1;

	gram(w, 1);
	if (eigen(w, vectors, values) < 0)
		goto end;
	/* Below that float32 sums hold nothing but their own rounding. */
	while (out->rank < rank && values[l - 1 - out->rank] > 1e-5f * values[l - 1])
		out->rank++;
	out->s = xmalloc(out->rank, sizeof *out->s);
	for (size_t k = 0; k < out->rank; k++) {
		out->s[k] = sqrtf(values[l - 1 - k]);
		memcpy(order + k * l, vectors + (l - 1 - k) * l, l * sizeof *order);
	}
	transform(w, order, out->rank);
	for (size_t i = 1; i < n; i++)
		memmove(w->t + i * out->rank, w->t + i * w->stride, out->rank * sizeof *w->t);
	out->v = xrealloc(w->t, n * out->rank, sizeof *w->t);
	w->t = NULL;
	fix_signs(out, n);
	done = 0;
end:
	free(order);
	free(vectors);
	free(values);
	return done;
}

int
svd_sparse(struct svd *out, const struct sparse *a, size_t rank, uint64_t seed, size_t n_thread)
{
	size_t n_least = a->n_row < a->n_column ? a->n_row : a->n_column, n_panel;
	struct work w = { .a = a, .n_thread = n_thread, .seed = seed };
	double least, shift = 0;
	int done = -1;

	*out = (struct svd){0};
	if (rank > n_least)
		rank = n_least;
	w.n_basis = n_least - rank < SVD_MORE ? n_least : rank + SVD_MORE;
	n_panel = (w.n_basis + SPARSE_PANEL - 1) / SPARSE_PANEL;
	w.stride = n_panel * SPARSE_PANEL;
	w.t = xcalloc(a->n_column * w.stride, sizeof *w.t);
	w.panel = xcalloc(n_thread, sizeof *w.panel);
	w.tile = xcalloc(n_thread, sizeof *w.tile);
	w.gram = xcalloc(n_thread, sizeof *w.gram);
	w.sum = xmalloc(GROUPS * w.n_basis * w.n_basis, sizeof *w.sum);

	w.sketch = 1;
	thread_for(n_thread, n_panel, multiply_panel, &w);
	w.sketch = 0;
	if (orthonormalise(&w, &least) < 0)
		goto end;
	for (int step = 0; step < SVD_STEPS; step++) {
		w.shift = (float)shift;
		thread_for(n_thread, n_panel, multiply_panel, &w);
		if (orthonormalise(&w, &least) < 0)
			goto end;
		if (least > shift)
			shift = (shift + least) / 2;
	}
	/* A second time, from a basis that is nearly orthonormal: what the first lost to rounding is mended. */
	if (orthonormalise(&w, &least) < 0)
		goto end;
	for (size_t i = 0; i < n_thread; i++) {
		free(w.panel[i]);
		w.panel[i] = NULL;
	}
	done = extract(&w, rank, out);
end:
	for (size_t i = 0; i < n_thread; i++) {
		free(w.panel[i]);
		free(w.tile[i]);
		free(w.gram[i]);
	}
	free(w.panel);
	free(w.tile);
	free(w.gram);
	free(w.sum);
	free(w.t);
	if (done < 0)
		svd_free(out);
	return done;
}

void
svd_free(struct svd *s)
{
	free(s->v);
	free(s->s);
	*s = (struct svd){0};
}
