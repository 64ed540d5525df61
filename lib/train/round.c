#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/thread.h"
#include "mat/mat.h"
#include "train/inside.h"

static void
param_new(struct param *p, size_t n_row, size_t n_col)
{
	size_t n = n_row * n_col;

	*p = (struct param){ .n_row = n_row, .n_col = n_col, .at = xcalloc(n + 1, sizeof(float)),
	    .gradient = xcalloc(n + 1, sizeof(float)), .m = xcalloc(n + 1, sizeof(float)), .v = xcalloc(n + 1, sizeof(float)) };
}

static void
param_free(struct param *p)
{
	free(p->at);
	free(p->gradient);
	free(p->m);
	free(p->v);
}

void
trained_new(struct trained *t, const struct train_log *log, const float *x, size_t n_item, size_t n_known)
{
	size_t dim = log->dim;

	*t = (struct trained){ .dim = dim, .n_item = n_item, .n_known = n_known, .n_query = log->n_query,
	    .n_user = log->n_user, .x = x, .q = log->query };
	param_new(&t->map_item, dim, dim);
	param_new(&t->map_query, dim, dim);
	param_new(&t->item, n_known, dim);
	param_new(&t->query, t->n_query, dim);
	param_new(&t->user, t->n_user, dim);
	for (size_t d = 0; d < dim; d++)
		t->map_item.at[d * dim + d] = t->map_query.at[d * dim + d] = 1;
	t->v = xaligned(n_item * dim, sizeof *t->v);
	t->z = xaligned(t->n_query * dim, sizeof *t->z);
	trained_vectors(t);
}

void
trained_free(struct trained *t)
{
	param_free(&t->map_item);
	param_free(&t->map_query);
	param_free(&t->item);
	param_free(&t->query);
	param_free(&t->user);
	free(t->v);
	free(t->z);
}

/* Rows of a product, TRAIN_TILE at a time: calls of one shape, so that the bits do not depend on the threads. */
struct product {
	float alpha, beta;
	struct mat a, b, c;
	int t_a;
};

static void
product_tile(void *arg, size_t i, size_t worker)
{
	const struct product *p = arg;
	struct mat a = p->a, c = p->c;
	size_t from = i * TRAIN_TILE, n = p->c.n_row - from < TRAIN_TILE ? p->c.n_row - from : TRAIN_TILE;

	(void)worker;
	if (p->t_a) {
		a.at += from;
		a.n_col = n;
	} else {
		a.at += from * a.stride;
		a.n_row = n;
	}
	c.at += from * c.stride;
	c.n_row = n;
	mat_mul(p->alpha, a, p->t_a, p->b, 0, p->beta, c);
}

/* C = alpha op(A) B + beta C by rows of C */
static void
multiply(float alpha, struct mat a, int t_a, struct mat b, float beta, struct mat c, size_t n_thread)
{
	struct product p = { alpha, beta, a, b, c, t_a };

	thread_for(n_thread, (c.n_row + TRAIN_TILE - 1) / TRAIN_TILE, product_tile, &p);
}

static void
vectors(struct trained *t, size_t n_thread)
{
	size_t dim = t->dim;

	multiply(train_scale, mat_of(t->x, t->n_item, dim), 0, mat_of(t->map_item.at, dim, dim), 0, mat_of(t->v, t->n_item, dim), n_thread);
	for (size_t i = 0; i < t->n_known * dim; i++)
		t->v[i] += t->item.at[i];
}

void
trained_vectors(struct trained *t)
{
	size_t dim = t->dim;

	vectors(t, 1);
	multiply(train_scale, mat_of(t->q, t->n_query, dim), 0, mat_of(t->map_query.at, dim, dim), 0, mat_of(t->z, t->n_query, dim), 1);
	for (size_t i = 0; i < t->n_query * dim; i++)
		t->z[i] += t->query.at[i];
}

enum { ROWS = 32 };                     /* clicks of a task */

struct step {
	struct trained *t;
	const struct train_log *log;
	const uint32_t *click;          /* [n] */
	size_t n;
	float *x;                       /* [TRAIN_BATCH][dim], their queries */
	float *z;                       /* [TRAIN_BATCH][dim], z + u */
	float *d_z;                     /* the same, gradient */
	float *p;                       /* [TRAIN_BATCH][n_item], probabilities, then the gradient of the logits */
	double *loss;                   /* [TRAIN_BATCH] */
	double total;                   /* weights */
};

/* Of some clicks: logits, probabilities, loss, their gradient, and that of z. */
static void
step_rows(void *arg, size_t task, size_t worker)
{
	struct step *s = arg;
	struct trained *t = s->t;
	size_t from = task * ROWS, n = s->n - from < ROWS ? s->n - from : ROWS, dim = t->dim, n_item = t->n_item;
	float *p = s->p + from * n_item;

	(void)worker;
	mat_mul(1, mat_of(s->z + from * dim, n, dim), 0, mat_of(t->v, n_item, dim), 1, 0, mat_of(p, n, n_item));
	for (size_t i = 0; i < n; i++) {
		const struct click *c = &s->log->click[s->click[from + i]];
		float *row = p + i * n_item, most = row[0], hit = row[c->item];
		double sum = 0;

		for (size_t j = 1; j < n_item; j++)
			most = row[j] > most ? row[j] : most;
		for (size_t j = 0; j < n_item; j++) {
			float l = row[j] - most;
			row[j] = l > -80 ? expf(l) : 0;
			sum += row[j];
		}
		s->loss[from + i] = c->weight * (log(sum) + most - hit);
		float share = (float)(c->weight / s->total), scale = (float)(share / sum);
		for (size_t j = 0; j < n_item; j++)
			row[j] *= scale;
		row[c->item] -= share;
	}
	mat_mul(1, mat_of(p, n, n_item), 0, mat_of(t->v, n_item, dim), 0, 0, mat_of(s->d_z + from * dim, n, dim));
}

static void
step_free(struct step *s)
{
	free(s->x);
	free(s->z);
	free(s->d_z);
	free(s->p);
	free(s->loss);
}

static void
step_new(struct step *s, struct trained *t, const struct train_log *log)
{
	size_t dim = t->dim;

	*s = (struct step){ .t = t, .log = log, .x = xaligned(TRAIN_BATCH * dim, sizeof(float)),
	    .z = xaligned(TRAIN_BATCH * dim, sizeof(float)), .d_z = xaligned(TRAIN_BATCH * dim, sizeof(float)),
	    .p = xaligned(TRAIN_BATCH * t->n_item, sizeof(float)), .loss = xcalloc(TRAIN_BATCH, sizeof(double)) };
}

static double
step_run(struct step *s, const uint32_t *click, size_t n, const struct train_options *o)
{
	struct trained *t = s->t;
	size_t dim = t->dim;
	double loss = 0;

	s->click = click;
	s->n = n;
	s->total = 0;
	vectors(t, o->n_thread);
	for (size_t i = 0; i < n; i++) {
		const struct click *c = &s->log->click[click[i]];
		memcpy(s->x + i * dim, t->q + c->query * dim, dim * sizeof *s->x);
		for (size_t d = 0; d < dim; d++)
			s->z[i * dim + d] = t->query.at[c->query * dim + d] + t->user.at[c->user * dim + d];
		s->total += c->weight;
	}
	mat_mul(train_scale, mat_of(s->x, n, dim), 0, mat_of(t->map_query.at, dim, dim), 0, 1, mat_of(s->z, n, dim));
	thread_for(o->n_thread, (n + ROWS - 1) / ROWS, step_rows, s);
	/* From here v holds its own gradient: what of it is known is e's. */
	multiply(1, mat_of(s->p, n, t->n_item), 1, mat_of(s->z, n, dim), 0, mat_of(t->v, t->n_item, dim), o->n_thread);
	mat_mul(train_scale, mat_of(t->x, t->n_item, dim), 1, mat_of(t->v, t->n_item, dim), 0, 0, mat_of(t->map_item.gradient, dim, dim));
	mat_mul(train_scale, mat_of(s->x, n, dim), 1, mat_of(s->d_z, n, dim), 0, 0, mat_of(t->map_query.gradient, dim, dim));
	memcpy(t->item.gradient, t->v, t->n_known * dim * sizeof(float));
	memset(t->query.gradient, 0, t->n_query * dim * sizeof(float));
	memset(t->user.gradient, 0, t->n_user * dim * sizeof(float));
	for (size_t i = 0; i < n; i++) {
		const struct click *c = &s->log->click[click[i]];
		for (size_t d = 0; d < dim; d++) {
			t->query.gradient[c->query * dim + d] += s->d_z[i * dim + d];
			t->user.gradient[c->user * dim + d] += s->d_z[i * dim + d];
		}
		loss += s->loss[i];
	}
	return loss / s->total;
}

double
train_gradient(struct trained *t, const struct train_log *log, const uint32_t *click, size_t n, const struct train_options *o)
{
	struct step s;

	step_new(&s, t, log);
	double loss = step_run(&s, click, n, o);
	step_free(&s);
	return loss;
}

/* Adam's algorithm 1 with the ridge ridge |at - centre|^2 / 2; n_step counts from 1. to_identity: the centre is I. */
static void
adam(struct param *p, double ridge, int to_identity, double rate, uint64_t n_step)
{
	const float b1 = .9f, b2 = .999f, tiny = 1e-8f;
	float c1 = (float)(1 / (1 - pow(b1, (double)n_step))), c2 = (float)(1 / (1 - pow(b2, (double)n_step)));

	for (size_t i = 0; i < p->n_row; i++)
		for (size_t j = 0; j < p->n_col; j++) {
			size_t k = i * p->n_col + j;
			float g = p->gradient[k] + (float)ridge * (p->at[k] - (to_identity && i == j));
			p->m[k] = b1 * p->m[k] + (1 - b1) * g;
			p->v[k] = b2 * p->v[k] + (1 - b2) * g * g;
			p->at[k] -= (float)rate * p->m[k] * c1 / (sqrtf(p->v[k] * c2) + tiny);
		}
}

static int
by_key(const void *a, const void *b)
{
	const uint64_t *s = a, *t = b;

	return (*s > *t) - (*s < *t);
}

double
train_round(struct trained *t, const struct train_log *log, const unsigned char *use, const struct train_options *o,
    size_t round, double rate)
{
	uint64_t *order = xmalloc(log->n, 2 * sizeof *order);
	uint32_t *click = xmalloc(log->n, sizeof *click);
	double loss = 0;
	size_t n = 0, n_step = 0;
	struct step s;

	for (size_t i = 0; i < log->n; i++)
		if (!use || use[log->click[i].user]) {
			struct rng r = rng_at(o->seed + 1 + round, i);
			order[2 * n] = rng_u64(&r);
			order[2 * n++ + 1] = i;
		}
	qsort(order, n, 2 * sizeof *order, by_key);
	for (size_t i = 0; i < n; i++)
		click[i] = (uint32_t)order[2 * i + 1];
	/* A ridge is per number, the loss a mean over clicks. */
	double ridge = o->ridge / (double)n, map_ridge = .2 / (double)n;
	size_t n_batch = (n + TRAIN_BATCH - 1) / TRAIN_BATCH;
	step_new(&s, t, log);
	for (size_t i = 0; i < n; i += TRAIN_BATCH) {
		size_t m = n - i < TRAIN_BATCH ? n - i : TRAIN_BATCH;
		uint64_t count = round * n_batch + ++n_step;

		loss += step_run(&s, click + i, m, o) * (double)m;
		if (o->item_map)
			adam(&t->map_item, map_ridge, 1, rate, count);
		if (o->query_map)
			adam(&t->map_query, map_ridge, 1, rate, count);
		if (o->items)
			adam(&t->item, ridge, 0, rate, count);
		if (o->queries)
			adam(&t->query, ridge, 0, rate, count);
		if (o->users)
			adam(&t->user, ridge, 0, rate, count);
	}
	step_free(&s);
	free(order);
	free(click);
	trained_vectors(t);
	return n ? loss / (double)n : 0;
}
