#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "mat/mat.h"
#include "train/inside.h"

void
train_prior(const struct trained *t, const unsigned char *use, double spread, double *chol)
{
	size_t dim = t->dim, n = 0;
	double *mean = xcalloc(dim, sizeof *mean), *row = xmalloc(dim, sizeof *row), trace = 0;

	for (size_t a = 0; a < t->n_user; a++)
		if (!use || use[a]) {
			for (size_t d = 0; d < dim; d++)
				mean[d] += t->user.at[a * dim + d];
			n++;
		}
	memset(chol, 0, dim * dim * sizeof *chol);
	for (size_t a = 0; a < t->n_user && n > 0; a++)
		if (!use || use[a]) {
			for (size_t d = 0; d < dim; d++)
				row[d] = (t->user.at[a * dim + d] - mean[d] / (double)n) / sqrt((double)n);
			mat_gram64(row, 1, dim, chol);
		}
	for (size_t d = 0; d < dim; d++)
		trace += chol[d * dim + d];
	/* Nobody to learn from, or users left out: people of unit variance. */
	double floor = trace > 1e-9 ? spread * trace / (double)dim : 1;
	for (size_t d = 0; d < dim; d++)
		chol[d * dim + d] += floor;
	int e = mat_cholesky64(chol, dim);
	(void)e;                                /* floor > 0: positive definite */
	for (size_t i = 0; i < dim; i++)
		for (size_t j = i + 1; j < dim; j++)
			chol[i * dim + j] = 0;
	free(mean);
	free(row);
}

enum { FORETELL_CLICKS = 50, FORETELL_USERS = 40 };     /* of a user; users */

struct foretell {
	const struct trained *t;
	const struct train_log *log;
	const uint32_t *user;           /* those asked for */
	const size_t *start;            /* [n_user + 1] into click, of all users */
	const uint32_t *click;          /* sorted by user, in the order of the log */
	const float *v, *w;             /* [n_item][dim], less their means: v, and L'v, in which the prior is N(0, I) */
	const double *chol;
	double gain;
	double *sum, *weight;           /* [n] of each user asked for */
};

/* One user: the belief is N(mean, cov) over w, learnt by rank-one steps from clicks, which are rewards of 1. */
static void
foretell_user(void *arg, size_t i, size_t worker)
{
	const struct foretell *s = arg;
	const struct trained *t = s->t;
	size_t dim = t->dim, n_item = t->n_item;
	uint32_t user = s->user[i];
	double *mean = xcalloc(dim, sizeof *mean), *cov = xcalloc(dim * dim, sizeof *cov), *g = xmalloc(dim, sizeof *g);
	float *aim = xmalloc(dim, sizeof *aim), *score = xmalloc(n_item, sizeof *score);
	size_t to = s->start[user] + FORETELL_CLICKS < s->start[user + 1] ? s->start[user] + FORETELL_CLICKS : s->start[user + 1];

	(void)worker;
	for (size_t d = 0; d < dim; d++)
		cov[d * dim + d] = 1;
	for (size_t k = s->start[user]; k < to; k++) {
		const struct click *c = &s->log->click[s->click[k]];
		const float *f = s->w + c->item * dim;
		double sum = 0, along = 0, spread = 0;
		float most = -INFINITY;

		/* w'mean = v'L mean: one product for the query and the user */
		for (size_t d = 0; d < dim; d++)
			aim[d] = (float)(t->z[c->query * dim + d] / s->gain + mat_ddot64(s->chol + d * dim, mean, d + 1));
		mat_mul_vec(1, mat_of(s->v, n_item, dim), 0, aim, 0, score);
		for (size_t j = 0; j < n_item; j++)
			most = score[j] > most ? score[j] : most;
		for (size_t j = 0; j < n_item; j++)
			sum += score[j] - most > -80 ? expf(score[j] - most) : 0;
		s->sum[i] += c->weight * (score[c->item] - most - log(sum));
		s->weight[i] += c->weight;
		for (size_t d = 0; d < dim; d++) {
			const double *row = cov + d * dim;
			double a = 0;
			for (size_t e = 0; e < dim; e++)
				a += row[e] * f[e];
			g[d] = a * TRAIN_SLOPE;
			along += mean[d] * f[d] * TRAIN_SLOPE;
			spread += a * f[d] * TRAIN_SLOPE * TRAIN_SLOPE;
		}
		double error = 1 - TRAIN_BASE_RATE - along;
		spread += TRAIN_NOISE_VAR;
		for (size_t d = 0; d < dim; d++) {
			mean[d] += g[d] * error / spread;
			for (size_t e = 0; e < dim; e++)
				cov[d * dim + e] -= g[d] * g[e] / spread;
		}
	}
	free(mean);
	free(cov);
	free(g);
	free(aim);
	free(score);
}

double
train_foretell(const struct trained *t, const struct train_log *log, const unsigned char *of, const double *chol,
    double gain, size_t n_thread)
{
	size_t dim = t->dim, n = 0;
	float *l = xmalloc(dim * dim, sizeof *l), *w = xaligned(t->n_item * dim, sizeof *w), *v = xaligned(t->n_item * dim, sizeof *v);
	double *mean = xcalloc(dim, sizeof *mean);
	size_t *start = xcalloc(t->n_user + 2, sizeof *start);
	uint32_t *click = xmalloc(log->n, sizeof *click), *user = xmalloc(t->n_user, sizeof *user);

	for (size_t i = 0; i < dim * dim; i++)
		l[i] = (float)chol[i];
	for (size_t j = 0; j < t->n_item; j++)
		for (size_t d = 0; d < dim; d++)
			mean[d] += t->v[j * dim + d];
	for (size_t j = 0; j < t->n_item; j++)
		for (size_t d = 0; d < dim; d++)
			v[j * dim + d] = (float)(t->v[j * dim + d] - mean[d] / (double)t->n_item);
	mat_mul(1, mat_of(v, t->n_item, dim), 0, mat_of(l, dim, dim), 0, 0, mat_of(w, t->n_item, dim));
	for (size_t i = 0; i < log->n; i++)
		start[log->click[i].user + 2]++;
	for (size_t a = 2; a < t->n_user + 2; a++)
		start[a] += start[a - 1];
	for (size_t i = 0; i < log->n; i++)
		click[start[log->click[i].user + 1]++] = (uint32_t)i;
	for (size_t a = 0; a < t->n_user && n < FORETELL_USERS; a++)
		if (of[a])
			user[n++] = (uint32_t)a;
	double *sum = xcalloc(n + 1, sizeof *sum), *weight = xcalloc(n + 1, sizeof *weight), all = 0, of_all = 0;
	struct foretell s = { t, log, user, start, click, v, w, chol, gain, sum, weight };
	thread_for(n_thread, n, foretell_user, &s);
	for (size_t i = 0; i < n; i++) {
		all += sum[i];
		of_all += weight[i];
	}
	free(l);
	free(w);
	free(v);
	free(mean);
	free(start);
	free(click);
	free(user);
	free(sum);
	free(weight);
	return of_all > 0 ? all / of_all : -INFINITY;
}
