/* Cells that are long in one direction, as those that hold rows of two groups are, in two across it: what a mean and variances
   along the axes foretell of such a cell is far below what it holds near its smaller group. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "mat/mat.h"
#include "pool/index_inside.h"

enum { MEASURED = 256, POWER_ROUNDS = 6, LLOYD_ROUNDS = 3, SPLIT_ROUNDS = 3 };

/* Of so many more cells than there were; and an axis is long with twice the variance that chance alone may give it. */
static const double MORE_CELLS = .1, LONG = 2;

struct axis {
	float variance;                 /* 0: not long */
	float cut;                      /* along it, from the mean */
	uint32_t cell;
};

struct split {
	struct made *m;
	size_t n_cell;
	uint32_t *start, *row;          /* [n_cell + 1], [n]: rows by cell */
	float *mean, *along;            /* [n_cell][dim] */
	struct axis *axis;              /* [n_cell] */
	size_t n_before;                /* cells that were there before this round's are split */
};

static void
list_rows(struct split *s)
{
	const struct made *m = s->m;
	uint32_t *at = xmalloc(s->n_cell + 1, sizeof *at);

	memset(s->start, 0, (s->n_cell + 1) * sizeof *s->start);
	for (size_t i = 0; i < m->in->n; i++)
		s->start[m->of[i] + 1]++;
	for (size_t c = 0; c < s->n_cell; c++)
		s->start[c + 1] += s->start[c];
	memcpy(at, s->start, (s->n_cell + 1) * sizeof *at);
	for (size_t i = 0; i < m->in->n; i++)
		s->row[at[m->of[i]]++] = (uint32_t)i;
	free(at);
}

/* The cut that leaves the least variance on both sides together (Otsu 1979); v [n] is put in order, its sum is 0. */
static float
best_cut(float *v, size_t n)
{
	double sum = 0, most = -1;
	float cut = 0;

	pool_index_sort(v, n);
	for (size_t i = 0; i + 1 < n; i++) {
		sum += v[i];
		double between = sum * sum / ((double)(i + 1) * (double)(n - i - 1));
		if (between > most) {
			most = between;
			cut = (v[i] + v[i + 1]) / 2;
		}
	}
	return cut;
}

/* The longest axis by power iteration, begun at the row that is farthest off. By chance alone the variance of k rows along some
   axis would be that of all divided by dim, times (1 + sqrt(dim / k))^2 (Marchenko and Pastur 1967). */
static void
measure_axis(void *arg, size_t c, size_t worker)
{
	struct split *s = arg;
	const struct made *m = s->m;
	size_t dim = m->dim, n = s->start[c + 1] - s->start[c], k = n < MEASURED ? n : MEASURED, far = 0;
	float *rows = xmalloc(k * dim + 1, sizeof *rows), *mean = s->mean + c * dim, *along = s->along + c * dim;
	double all = 0, variance = 0, most = -1;
	float at[MEASURED];

	(void)worker;
	s->axis[c] = (struct axis){ 0, 0, (uint32_t)c };
	memset(mean, 0, dim * sizeof *mean);
	for (size_t i = 0; i < k; i++) {
		pool_index_row(m, s->row[s->start[c] + n * i / k], rows + i * dim);
		for (size_t d = 0; d < dim; d++)
			mean[d] += rows[i * dim + d] / (float)k;
	}
	for (size_t i = 0; i < k; i++) {
		for (size_t d = 0; d < dim; d++)
			rows[i * dim + d] -= mean[d];
		double off = mat_dot64(rows + i * dim, rows + i * dim, dim);
		all += off / (double)k;
		if (off > most) {
			most = off;
			far = i;
		}
	}
	if (k > 2 && most > 0) {
		memcpy(along, rows + far * dim, dim * sizeof *along);
		for (int round = 0; round <= POWER_ROUNDS && mat_normalise(along, dim) > 0; round++) {
			mat_mul_vec(1, mat_of(rows, k, dim), 0, along, 0, at);
			if (round < POWER_ROUNDS)
				mat_mul_vec(1, mat_of(rows, k, dim), 1, at, 0, along);
		}
		for (size_t i = 0; i < k; i++)
			variance += (double)at[i] * at[i] / (double)k;
		double root = 1 + sqrt((double)dim / (double)k);
		if (variance > LONG * all / (double)dim * root * root)
			s->axis[c] = (struct axis){ (float)variance, best_cut(at, k), (uint32_t)c };
	}
	free(rows);
}

static int
by_variance(const void *s, const void *t)
{
	const struct axis *a = s, *b = t;

	return a->variance != b->variance ? (a->variance > b->variance ? -1 : 1) : a->cell < b->cell ? -1 : a->cell > b->cell;
}

/* Rows beyond the cut, then those nearer to the mean of these than to that of the others, are the new cell's. */
static void
split_cell(void *arg, size_t i, size_t worker)
{
	struct split *s = arg;
	struct made *m = s->m;
	const struct axis *axis = &s->axis[i];
	size_t dim = m->dim, c = axis->cell, from = s->start[c], n = s->start[c + 1] - from, n_new = 0;
	double *sum = xmalloc(2 * dim, sizeof *sum), half = 0;
	float *x = xmalloc(2 * dim, sizeof *x), *apart = x + dim;
	unsigned char *is_new = xmalloc(n, 1);

	(void)worker;
	half = mat_dot64(s->along + c * dim, s->mean + c * dim, dim) + axis->cut;
	memcpy(apart, s->along + c * dim, dim * sizeof *apart);
	for (int round = 0; round <= LLOYD_ROUNDS; round++) {
		n_new = 0;
		memset(sum, 0, 2 * dim * sizeof *sum);
		for (size_t k = 0; k < n; k++) {
			pool_index_row(m, s->row[from + k], x);
			is_new[k] = mat_dot64(apart, x, dim) > half;
			n_new += is_new[k];
			for (size_t d = 0; d < dim; d++)
				sum[is_new[k] * dim + d] += x[d];
		}
		if (n_new == 0 || n_new == n)
			break;
		half = 0;
		for (size_t d = 0; d < dim; d++) {
			double a = sum[d] / (double)(n - n_new), b = sum[dim + d] / (double)n_new;
			apart[d] = (float)(b - a);
			half += .5 * (b - a) * (b + a);
		}
	}
	for (size_t k = 0; n_new < n && k < n; k++)
		if (is_new[k])
			m->of[s->row[from + k]] = (uint32_t)(s->n_before + i);
	free(is_new);
	free(x);
	free(sum);
}

void
pool_index_split(struct made *m)
{
	size_t n_most = (size_t)((1 + MORE_CELLS) * (double)m->n_fine);
	struct split s = { .m = m };

	s.start = xmalloc(n_most + 1, sizeof *s.start);
	s.row = xmalloc(m->in->n, sizeof *s.row);
	s.mean = xmalloc(n_most * m->dim, sizeof *s.mean);
	s.along = xmalloc(n_most * m->dim, sizeof *s.along);
	s.axis = xmalloc(n_most, sizeof *s.axis);
	for (int round = 0; round < SPLIT_ROUNDS && m->n_fine < n_most; round++) {
		size_t n_long = 0;
		s.n_cell = s.n_before = m->n_fine;
		list_rows(&s);
		thread_for(m->n_thread, s.n_cell, measure_axis, &s);
		qsort(s.axis, s.n_cell, sizeof *s.axis, by_variance);
		while (n_long < n_most - s.n_cell && n_long < s.n_cell && s.axis[n_long].variance > 0)
			n_long++;
		thread_for(m->n_thread, n_long, split_cell, &s);
		m->n_fine += n_long;
	}
	free(s.axis);
	free(s.along);
	free(s.mean);
	free(s.row);
	free(s.start);
}
