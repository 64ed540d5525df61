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

void
train_whiten(const double *chol, size_t dim, const float *v, double *w)
{
	for (size_t d = 0; d < dim; d++) {
		double s = 0;
		for (size_t e = d; e < dim; e++)
			s += chol[e * dim + d] * v[e];
		w[d] = s;
	}
}

double
train_radius(const struct trained *t, const double *chol)
{
	size_t dim = t->dim;
	double *w = xmalloc(dim, sizeof *w), most = 0;
	float *short_w = xmalloc(dim, sizeof *short_w);

	for (size_t j = 0; j < t->n_item; j++) {
		train_whiten(chol, dim, t->v + j * dim, w);
		for (size_t d = 0; d < dim; d++)
			short_w[d] = (float)w[d];
		most = fmax(most, mat_norm(short_w, dim));
	}
	free(w);
	free(short_w);
	return most > 0 ? most : 1;
}

enum { FORETELL_CLICKS = 50, FORETELL_USERS = 40 };     /* of a user; users */

struct foretell {
	const struct trained *t;
	const struct train_log *log;
	const uint32_t *user;           /* those asked for */
	const size_t *start;            /* [n_user + 1] into click, of all users */
	const uint32_t *click;          /* sorted by user, in the order of the log */
	const float *v;                 /* [n_item][width], less their means: v, and with a plain share x beside it */
	const float *w;                 /* the same: L'v in place of v */
	size_t width;                   /* dim or 2 dim */
	const double *chol;
	double gain, base_gain, plain;  /* plain: W */
	double scale[2];                /* of w and of x, so that the prior of tastes is N(0, I) */
	double *sum, *weight;           /* [n] of each user asked for */
};

/* What scores the rows of v: the query and the user in one. */
static void
aim_at(const struct foretell *s, uint32_t query, const double *mean, float *aim)
{
	size_t dim = s->t->dim;
	double learnt = s->scale[0] / TRAIN_SLOPE, plain = s->scale[1] / TRAIN_SLOPE;

	/* w'mean = v'L mean */
	for (size_t d = 0; d < dim; d++)
		aim[d] = (float)((1 - s->plain) * (double)s->t->z[query * dim + d] / s->gain + learnt * mat_ddot64(s->chol + d * dim, mean, d + 1));
	for (size_t d = dim; d < s->width; d++)
		aim[d] = (float)(s->plain * (double)s->t->q[query * dim + d - dim] / (s->base_gain * TRAIN_SLOPE) + plain * mean[d]);
}

/* One user: the belief is N(mean, cov) over w and x in their scales, learnt by rank-one steps from clicks, which are rewards
   of 1. */
static void
foretell_user(void *arg, size_t i, size_t worker)
{
	const struct foretell *s = arg;
	const struct trained *t = s->t;
	size_t width = s->width, n_item = t->n_item;
	uint32_t user = s->user[i];
	double *mean = xcalloc(width, sizeof *mean), *cov = xcalloc(width * width, sizeof *cov), *g = xmalloc(width, sizeof *g);
	double *f = xmalloc(width, sizeof *f);
	float *aim = xmalloc(width, sizeof *aim), *score = xmalloc(n_item, sizeof *score);
	size_t to = s->start[user] + FORETELL_CLICKS < s->start[user + 1] ? s->start[user] + FORETELL_CLICKS : s->start[user + 1];

	(void)worker;
	for (size_t d = 0; d < width; d++)
		cov[d * width + d] = 1;
	for (size_t k = s->start[user]; k < to; k++) {
		const struct click *c = &s->log->click[s->click[k]];
		double sum = 0, along = 0, spread = TRAIN_NOISE_VAR;
		float most = -INFINITY;

		aim_at(s, c->query, mean, aim);
		mat_mul_vec(1, mat_of(s->v, n_item, width), 0, aim, 0, score);
		for (size_t j = 0; j < n_item; j++)
			most = score[j] > most ? score[j] : most;
		for (size_t j = 0; j < n_item; j++)
			sum += score[j] - most > -80 ? expf(score[j] - most) : 0;
		s->sum[i] += c->weight * (score[c->item] - most - log(sum));
		s->weight[i] += c->weight;
		for (size_t d = 0; d < width; d++)
			f[d] = s->scale[d >= t->dim] * (double)s->w[c->item * width + d];
		for (size_t d = 0; d < width; d++) {
			g[d] = mat_ddot64(cov + d * width, f, width);
			along += mean[d] * f[d];
			spread += g[d] * f[d];
		}
		double error = 1 - TRAIN_BASE_RATE - along;
		for (size_t d = 0; d < width; d++) {
			mean[d] += g[d] * error / spread;
			for (size_t e = 0; e < width; e++)
				cov[d * width + e] -= g[d] * g[e] / spread;
		}
	}
	free(mean);
	free(cov);
	free(g);
	free(f);
	free(aim);
	free(score);
}

/* to [n][width] = from [n][dim], less its mean, from column at on */
static void
centred(const float *from, size_t n, size_t dim, float *to, size_t width, size_t at)
{
	double *mean = xcalloc(dim, sizeof *mean);

	for (size_t j = 0; j < n; j++)
		for (size_t d = 0; d < dim; d++)
			mean[d] += from[j * dim + d];
	for (size_t j = 0; j < n; j++)
		for (size_t d = 0; d < dim; d++)
			to[j * width + at + d] = (float)(from[j * dim + d] - mean[d] / (double)n);
	free(mean);
}

double
train_foretell(const struct trained *t, const struct train_log *log, const unsigned char *of, const double *chol,
    const struct train_view *view, size_t n_thread)
{
	size_t dim = t->dim, width = view->plain > 0 ? 2 * dim : dim, n = 0;
	float *l = xmalloc(dim * dim, sizeof *l), *w = xaligned(t->n_item * width, sizeof *w), *v = xaligned(t->n_item * width, sizeof *v);
	size_t *start = xcalloc(t->n_user + 2, sizeof *start);
	uint32_t *click = xmalloc(log->n, sizeof *click), *user = xmalloc(t->n_user, sizeof *user);
	struct mat learnt = { v, t->n_item, dim, width }, whitened = { w, t->n_item, dim, width };

	for (size_t i = 0; i < dim * dim; i++)
		l[i] = (float)chol[i];
	centred(t->v, t->n_item, dim, v, width, 0);
	mat_mul(1, learnt, 0, mat_of(l, dim, dim), 0, 0, whitened);
	if (width > dim) {
		centred(t->x, t->n_item, dim, v, width, dim);
		centred(t->x, t->n_item, dim, w, width, dim);
	}
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
	struct foretell s = { .t = t, .log = log, .user = user, .start = start, .click = click, .v = v, .w = w, .width = width, .chol = chol,
		.gain = view->gain, .base_gain = view->base_gain, .plain = view->plain, .scale = { TRAIN_SLOPE, 0 }, .sum = sum, .weight = weight };
	if (width > dim) {
		s.scale[0] = sqrt((1 - view->plain) / TRAIN_LAMBDA_BESIDE) / train_radius(t, chol);
		s.scale[1] = sqrt(view->plain / TRAIN_LAMBDA_BESIDE);
	}
	thread_for(n_thread, n, foretell_user, &s);
	for (size_t i = 0; i < n; i++) {
		all += sum[i];
		of_all += weight[i];
	}
	free(l);
	free(w);
	free(v);
	free(start);
	free(click);
	free(user);
	free(sum);
	free(weight);
	return of_all > 0 ? all / of_all : -INFINITY;
}
