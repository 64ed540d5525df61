#include "belief/recall.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mat/mat.h"

/* The rewards of one row. L L' is their covariance, noise included. */
struct kept {
	uint32_t row;
	size_t n, n_cap;
	size_t *at;                     /* [n], numbers of the observations */
	double *l;                      /* packed lower triangle by rows */
	struct recall_white *white;     /* [n], not yet times sqrt(noise_var) */
};

struct recall {
	size_t dim, n_row;
	struct recall_prior prior;
	uint32_t *kept_of;              /* [n_row], number of the row's kept plus one */
	struct kept *kept;
	size_t n_kept, n_kept_cap;
	float *x;                       /* [n][dim], queries of the observations */
	double *near;                   /* [n], x'x' with what is asked */
	float *query;                   /* [dim], what is asked */
	double self;                    /* its length: 1, or 0 */
	size_t n, n_cap;
	double scratch[RECALL_ROW_MAX];
};

struct recall *
recall_new(size_t dim, size_t n_row, struct recall_prior prior)
{
	struct recall *r = xcalloc(1, sizeof *r);

	r->dim = dim;
	r->n_row = n_row;
	r->prior = prior;
	r->query = xcalloc(dim, sizeof *r->query);
	r->kept_of = xcalloc(n_row, sizeof *r->kept_of);
	return r;
}

void
recall_free(struct recall *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_kept; i++) {
		free(r->kept[i].at);
		free(r->kept[i].l);
		free(r->kept[i].white);
	}
	free(r->kept);
	free(r->kept_of);
	free(r->x);
	free(r->near);
	free(r->query);
	free(r);
}

static struct kept *
kept_of(struct recall *r, uint32_t row)
{
	if (!r->kept_of[row]) {
		r->kept = xgrow(r->kept, &r->n_kept_cap, r->n_kept + 1, sizeof *r->kept);
		r->kept[r->n_kept] = (struct kept){ .row = row };
		r->kept_of[row] = (uint32_t)++r->n_kept;
	}
	return &r->kept[r->kept_of[row] - 1];
}

/* scratch = L^-1 k, k the covariances of a row's observations with another one. Returns its squared length. */
static double
solve(const struct kept *k, double *scratch)
{
	double sum = 0;

	for (size_t i = 0; i < k->n; i++) {
		const double *row = k->l + i * (i + 1) / 2;
		scratch[i] = (scratch[i] - mat_ddot64(row, scratch, i)) / row[i];
		sum += scratch[i] * scratch[i];
	}
	return sum;
}

int
recall_learn(struct recall *r, uint32_t row, const float *x, double reward, double said, struct recall_white *white)
{
	struct kept *k = kept_of(r, row);
	const struct recall_prior *p = &r->prior;
	struct recall_white w = { 1, reward, said };
	double sd = sqrt(p->noise_var);

	if (k->n == RECALL_ROW_MAX)
		return -1;
	if (r->n == r->n_cap) {
		r->n_cap = r->n_cap ? 2 * r->n_cap : 64;
		r->x = xrealloc(r->x, r->n_cap, r->dim * sizeof *r->x);
		r->near = xrealloc(r->near, r->n_cap, sizeof *r->near);
	}
	if (k->n == k->n_cap) {
		k->n_cap = k->n_cap ? 2 * k->n_cap : 4;
		k->at = xrealloc(k->at, k->n_cap, sizeof *k->at);
		k->white = xrealloc(k->white, k->n_cap, sizeof *k->white);
		k->l = xrealloc(k->l, k->n_cap * (k->n_cap + 1) / 2, sizeof *k->l);
	}
	float *query = r->x + r->n * r->dim;
	memcpy(query, x, r->dim * sizeof *x);
	double length = mat_normalise(query, r->dim);
	for (size_t i = 0; i < k->n; i++)
		r->scratch[i] = p->own + p->asked * mat_dot64(query, r->x + k->at[i] * r->dim, r->dim);
	double spread = p->own + (length > 0 ? p->asked : 0) + p->noise_var - solve(k, r->scratch);
	double *l = k->l + k->n * (k->n + 1) / 2, d = sqrt(spread);
	memcpy(l, r->scratch, k->n * sizeof *l);
	l[k->n] = d;
	for (size_t i = 0; i < k->n; i++) {
		w.one -= l[i] * k->white[i].one;
		w.reward -= l[i] * k->white[i].reward;
		w.said -= l[i] * k->white[i].said;
	}
	w = (struct recall_white){ w.one / d, w.reward / d, w.said / d };
	*white = (struct recall_white){ w.one * sd, w.reward * sd, w.said * sd };
	k->white[k->n] = w;
	k->at[k->n++] = r->n;
	r->near[r->n++] = 0;
	return 0;
}

size_t
recall_n(const struct recall *r)
{
	return r->n_kept;
}

uint32_t
recall_row(const struct recall *r, size_t i)
{
	return r->kept[i].row;
}

void
recall_ask(struct recall *r, const float *x)
{
	memcpy(r->query, x, r->dim * sizeof *x);
	r->self = mat_normalise(r->query, r->dim) > 0;
	for (size_t i = 0; i < r->n; i++)
		r->near[i] = mat_dot64(r->query, r->x + i * r->dim, r->dim);
}

struct recall_of
recall_of(struct recall *r, uint32_t row)
{
	const struct recall_prior *p = &r->prior;
	struct recall_of of = { 1, 0, p->own + p->asked * r->self };

	if (!r->kept_of[row])
		return of;
	const struct kept *k = &r->kept[r->kept_of[row] - 1];
	for (size_t i = 0; i < k->n; i++)
		r->scratch[i] = p->own + p->asked * r->near[k->at[i]];
	of.variance = fmax(0, of.variance - solve(k, r->scratch));
	for (size_t i = 0; i < k->n; i++) {
		of.share -= r->scratch[i] * k->white[i].one;
		of.mean += r->scratch[i] * k->white[i].reward;
	}
	return of;
}
