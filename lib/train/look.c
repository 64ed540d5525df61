/* What attention and a belief make of a person's rows. */
#include "train/pairs.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "mat/mat.h"

struct pairs_look {
	const struct model *model;
	size_t n_max;
	double *mean;                   /* [dim], of the MODEL */
	float *rows;                    /* [n_max][dim] */
	float *f;                       /* [dim + 1] */
	struct belief *belief;
	struct belief_posterior *posterior;
};

struct pairs_look *
pairs_look_new(const struct model *m, size_t n_row_max)
{
	struct pairs_look *l = xcalloc(1, sizeof *l);

	l->model = m;
	l->n_max = n_row_max;
	l->mean = xmalloc(m->dim, sizeof *l->mean);
	for (size_t d = 0; d < m->dim; d++)
		l->mean[d] = m->mean[d];
	l->rows = xaligned(n_row_max * m->dim + 1, sizeof *l->rows);
	l->f = xmalloc(m->dim + 1, sizeof *l->f);
	l->belief = belief_new(m->dim + 1);
	l->posterior = belief_posterior_new(m->dim + 1);
	return l;
}

void
pairs_look_free(struct pairs_look *l)
{
	if (!l)
		return;
	belief_posterior_free(l->posterior);
	belief_free(l->belief);
	free(l->f);
	free(l->rows);
	free(l->mean);
	free(l);
}

static const float *
look_rows(void *arg, size_t from, size_t n, float *scratch, struct fault *f)
{
	struct pairs_look *l = arg;

	(void)n, (void)scratch, (void)f;
	return l->rows + from * l->model->dim;
}

static size_t
no_cluster(void *arg, size_t row)
{
	(void)arg, (void)row;
	return 0;
}

static void
variances(const void *user, const float *x, const float *f, size_t n, double *variance, double *scratch)
{
	belief_variances(user, f, x, n, variance, scratch);
}

/* The standard deviation of x_i.x_j over pairs of rows. */
static double
spread(const struct pairs_look *l, size_t n)
{
	size_t dim = l->model->dim, n_pair = n * (n - 1) / 2;
	double sum = 0, square = 0;

	if (n < 2)
		return 0;
	for (size_t i = 1; i < n; i++)
		for (size_t j = 0; j < i; j++) {
			double s = mat_dot64(l->rows + i * dim, l->rows + j * dim, dim);
			sum += s;
			square += s * s;
		}
	double var = square / (double)n_pair - sum / (double)n_pair * (sum / (double)n_pair);
	return var > 0 ? sqrt(var) : 0;
}

static int
believe(struct pairs_look *l, size_t n, struct fault *f)
{
	size_t dim = l->model->dim;

	belief_clear(l->belief);
	for (size_t i = 0; i < n; i++) {
		for (size_t d = 0; d < dim; d++)
			l->f[d] = l->rows[i * dim + d] - l->model->mean[d];
		belief_extend(l->f, NULL, dim, l->f);
		if (belief_learn(l->belief, l->f, 1, (double)i + 1, l->model->prior.half_life, f) < 0)
			return -1;
	}
	return belief_solve(l->posterior, l->belief, &l->model->prior, f);
}

int
pairs_look(struct pairs_look *l, const float *x, const float *const *row, size_t n, float *given, struct pairs_seen *seen,
    struct fault *f)
{
	const struct model *m = l->model;
	struct attend_result found;
	size_t dim = m->dim;

	assert(n <= l->n_max);
	memset(given, 0, 2 * dim * sizeof *given);
	if (n == 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		memcpy(l->rows + i * dim, row[i], dim * sizeof **row);
	if (believe(l, n, f) < 0)
		return -1;
	struct attend_settings set = { .gain = m->gain, .beta = m->beta > 0 ? m->beta : attend_beta(n, dim, spread(l, n)),
		.kappa = m->widening, .lambda = m->prior.lambda, .query_var = belief_query_var(&m->prior), .n_top = n, .n_thread = 1 };
	struct attend_pool pool = { .n_row = n, .dim = dim, .n_cluster = 1, .mean = l->mean, .rows = look_rows,
		.cluster = no_cluster, .arg = l };
	struct attend *a = attend_new(&pool, &set, 1);
	const double *mean = belief_mean(l->posterior);
	struct attend_query query = { .x = x, .user_mean = mean, .variances = variances, .user = l->posterior,
		.n_scratch = belief_scratch_many(l->posterior, ATTEND_N_SHARP) };
	belief_weights(mean, dim + 1, &m->prior, &query.query_weight, &query.user_times);
	if (attend_run(a, 1, &query, &found, f) < 0) {
		attend_free(a);
		return -1;
	}
	memcpy(given, found.z, dim * sizeof *given);
	for (size_t d = 0; d < dim; d++)
		given[dim + d] = (float)mean[d];
	for (size_t i = 0; i < n; i++)
		seen[i] = (struct pairs_seen){ found.item[i].row, found.item[i].weight };
	attend_free(a);
	return 0;
}
