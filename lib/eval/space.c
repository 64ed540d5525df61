#include "eval/space.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "base/mem.h"
#include "base/thread.h"
#include "mat/mat.h"

/* Of x_i.x_j over pairs i /= j: their sum is |sum x|^2 and their sum of squares |X'X|^2, less those of i = j. */
static double
score_sd(const float *x, size_t n, size_t dim)
{
	double *gram = xcalloc(dim * dim, sizeof *gram), *sum = xcalloc(dim, sizeof *sum), *row = xmalloc(dim, sizeof *row);
	double self = 0, self2 = 0, all = 0, all2 = 0, n_pair = (double)n * ((double)n - 1);

	for (size_t i = 0; i < n; i++) {
		for (size_t d = 0; d < dim; d++) {
			row[d] = (double)x[i * dim + d];
			sum[d] += row[d];
		}
		mat_gram64(row, 1, dim, gram);
		double length2 = mat_ddot64(row, row, dim);
		self += length2;
		self2 += length2 * length2;
	}
	for (size_t d = 0; d < dim; d++) {
		all += sum[d] * sum[d];
		for (size_t e = 0; e <= d; e++)
			all2 += (d == e ? 1 : 2) * gram[d * dim + e] * gram[d * dim + e];
	}
	free(row);
	free(sum);
	free(gram);
	if (n < 2)
		return 0;
	double mean = (all - self) / n_pair, var = (all2 - self2) / n_pair - mean * mean;
	return var > 0 ? sqrt(var) : 0;
}

static void
finish_space(struct eval_space *s)
{
	if (s->beta == 0)
		s->beta = attend_beta(s->n, s->dim, score_sd(s->x, s->n, s->dim));
	s->mean64 = xmalloc(s->dim, sizeof *s->mean64);
	for (size_t d = 0; d < s->dim; d++)
		s->mean64[d] = (double)s->mean[d];
}

int
eval_space_open(struct eval_space *s, const struct model *m, struct pool *p, const size_t *row, size_t n, struct fault *f)
{
	*s = (struct eval_space){ .n = n, .dim = m->dim, .n_cluster = pool_n_cluster(p), .beta = m->beta, .gain = m->gain,
	    .kappa = m->widening, .bonus = m->bonus, .prior = m->prior };
	s->x = xmalloc(n * s->dim, sizeof *s->x);
	s->cluster = xmalloc(n, sizeof *s->cluster);
	for (size_t i = 0; i < n; i++) {
		float *to = s->x + i * s->dim;
		const float *from = pool_rows(p, row[i], 1, to, f);
		if (!from)
			return -1;
		if (from != to)
			memcpy(to, from, s->dim * sizeof *to);
		s->cluster[i] = (uint32_t)pool_cluster(p, row[i]);
	}
	s->mean = xmalloc(s->dim, sizeof *s->mean);
	memcpy(s->mean, m->mean, s->dim * sizeof *s->mean);
	finish_space(s);
	return 0;
}

void
eval_space_of(struct eval_space *s, float *x, size_t n, size_t dim)
{
	struct model defaults = {0};

	model_defaults(&defaults);
	*s = (struct eval_space){ .n = n, .dim = dim, .n_cluster = 1, .x = x, .gain = defaults.gain, .kappa = defaults.widening,
	    .bonus = defaults.bonus, .prior = defaults.prior };
	s->cluster = xcalloc(n, sizeof *s->cluster);
	s->mean = xcalloc(dim, sizeof *s->mean);
	double *sum = xcalloc(dim, sizeof *sum);
	for (size_t i = 0; i < n; i++)
		for (size_t d = 0; d < dim; d++)
			sum[d] += (double)x[i * dim + d];
	for (size_t d = 0; d < dim; d++)
		s->mean[d] = (float)(sum[d] / (double)n);
	free(sum);
	finish_space(s);
}

void
eval_space_close(struct eval_space *s)
{
	free(s->x);
	free(s->mean);
	free(s->mean64);
	free(s->cluster);
	free(s->query);
	free(s->cosine);
	*s = (struct eval_space){0};
}

static void
cosine_of(const struct eval_space *s, size_t query, float *out)
{
	mat_mul_vec(1, mat_of(s->x, s->n, s->dim), 0, s->query + query * s->dim, 0, out);
}

static void
fill_cosine(void *arg, size_t i, size_t worker)
{
	struct eval_space *s = arg;

	(void)worker;
	cosine_of(s, i, s->cosine + i * s->n);
}

void
eval_space_ask(struct eval_space *s, float *query, size_t n_query, size_t n_thread, size_t cosine_bytes)
{
	free(s->query);
	free(s->cosine);
	s->cosine = NULL;
	s->query = query;
	s->n_query = n_query;
	if (n_query <= cosine_bytes / sizeof *s->cosine / s->n) {
		s->cosine = xmalloc(n_query * s->n, sizeof *s->cosine);
		thread_for(n_thread, n_query, fill_cosine, s);
	}
}

int
eval_space_train(struct eval_space *s, const struct embed *e, const struct model *m, size_t n_thread, size_t cosine_bytes,
    struct fault *f)
{
	size_t dim = m->dim;

	if (!embed_is_trained(e) || embed_base_dim(e) != s->dim)
		return fault(f, EX_DATAERR, "%s: expected a MODEL of hare-train on vectors of %zu numbers", tensor_path(m->file), s->dim);
	struct eval_space to = { .n = s->n, .dim = dim, .n_cluster = m->n_cluster, .beta = m->beta, .gain = m->gain, .kappa = m->widening,
	    .bonus = m->bonus, .prior = m->prior };
	float *query = xmalloc(s->n_query * dim, sizeof *query);
	size_t n_query = s->n_query;
	to.x = xmalloc(s->n * dim, sizeof *to.x);
	to.cluster = xmalloc(s->n, sizeof *to.cluster);
	to.mean = xmalloc(dim, sizeof *to.mean);
	for (size_t i = 0; i < s->n; i++) {
		embed_from_base(e, EMBED_ITEM, s->x + i * s->dim, to.x + i * dim);
		to.cluster[i] = (uint32_t)model_cluster(m, to.x + i * dim);
	}
	for (size_t i = 0; i < n_query; i++)
		embed_from_base(e, EMBED_QUERY, s->query + i * s->dim, query + i * dim);
	memcpy(to.mean, m->mean, dim * sizeof *to.mean);
	finish_space(&to);
	eval_space_close(s);
	*s = to;
	eval_space_ask(s, query, n_query, n_thread, cosine_bytes);
	return 0;
}

const float *
eval_space_cosine(const struct eval_space *s, size_t query, float *scratch)
{
	if (s->cosine)
		return s->cosine + query * s->n;
	cosine_of(s, query, scratch);
	return scratch;
}

/* 1 if row a comes behind row b. */
static int
is_behind(const float *score, uint32_t a, uint32_t b)
{
	return score[a] < score[b] || (score[a] == score[b] && a > b);
}

/* A heap with the last of those kept on top. */
static void
sift(const float *score, uint32_t *heap, size_t n, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= n)
			return;
		if (child + 1 < n && is_behind(score, heap[child + 1], heap[child]))
			child++;
		if (!is_behind(score, heap[child], heap[i]))
			return;
		uint32_t kept = heap[i];
		heap[i] = heap[child];
		heap[child] = kept;
		i = child;
	}
}

void
eval_top(const float *score, size_t n_score, size_t n, uint32_t *row)
{
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++)
		row[i] = (uint32_t)i;
	for (size_t i = n / 2; i-- > 0; )
		sift(score, row, n, i);
	for (size_t i = n; i < n_score; i++)
		if (score[i] > score[row[0]]) {
			row[0] = (uint32_t)i;
			sift(score, row, n, 0);
		}
	for (size_t left = n; left-- > 1; ) {
		uint32_t last = row[0];
		row[0] = row[left];
		row[left] = last;
		sift(score, row, left, 0);
	}
}
