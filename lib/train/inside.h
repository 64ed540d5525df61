/*
 * inside.h - inside lib/train: the log as numbers, and the parameters of a fit
 */
#ifndef HARE_TRAIN_INSIDE_H
#define HARE_TRAIN_INSIDE_H

#include "base/names.h"
#include "train/train.h"

enum { TRAIN_BATCH = 512, TRAIN_TILE = 512 };   /* clicks of a step; items of a task */
static const float train_scale = 4;             /* s of train.h */

struct click {
	uint32_t user, query, item;     /* item: row of the pool, from train_candidates() on a candidate */
	float weight;
};

struct train_log {
	size_t dim, n, n_cap;
	struct click *click;            /* [n] */
	size_t n_user, n_query;
	float *query;                   /* [n_query][dim] */
	size_t n_query_cap;
	struct names users, queries;    /* by name; by bytes of x */
};

struct param {                          /* an array that is learnt */
	size_t n_row, n_col;
	float *at, *gradient;           /* [n_row][n_col] */
	float *m, *v;                   /* Adam's means of gradients and of their squares */
};

struct trained {
	size_t dim, n_item, n_known, n_query, n_user;   /* candidates, the first n_known of which were clicked */
	const float *x;                 /* [n_item][dim] */
	const float *q;                 /* [n_query][dim] */
	struct param map_item, map_query;       /* M, W [dim][dim] */
	struct param item, query, user;         /* e [n_known], c [n_query], u [n_user], each [dim] */
	float *v;                       /* [n_item][dim] */
	float *z;                       /* [n_query][dim] */
};
void trained_new(struct trained *t, const struct train_log *log, const float *x, size_t n_item, size_t n_known);
void trained_free(struct trained *t);
void trained_vectors(struct trained *t);        /* v and z of all, from the parameters */

/* One pass over the clicks whose users are wanted (use NULL: all), in an order drawn by seed and round.
   Returns the mean loss per weight. rate: Adam's step. */
double train_round(struct trained *t, const struct train_log *log, const unsigned char *use, const struct train_options *o,
    size_t round, double rate);
/* The gradients of the loss of clicks [n] (at most TRAIN_BATCH) over their summed weight, without the ridges, into the
   parameters' gradient; the loss. For train_round() and for tests. */
double train_gradient(struct trained *t, const struct train_log *log, const uint32_t *click, size_t n, const struct train_options *o);

/* The prior of users: chol [dim][dim] lower L, L L' = cov(u) + spread tr / dim I. */
void train_prior(const struct trained *t, const unsigned char *use, double spread, double *chol);
/* Mean log probability of the next clicks of the users with of[user] = 1 (the first 50 of each of the first 40), each
   foretold from the belief that those before gave; -INFINITY if there are none. */
struct train_view {
	double gain, plain;             /* g, W */
	double base_gain;               /* g0, above 0 */
};
double train_foretell(const struct trained *t, const struct train_log *log, const unsigned char *of, const double *chol,
    const struct train_view *view, size_t n_thread);
void train_whiten(const double *chol, size_t dim, const float *v, double *w);   /* w = L'v */
/* R: the greatest |L'v| of all candidates, or 1 if all are 0. */
double train_radius(const struct trained *t, const double *chol);

int train_write(const struct model *base, const struct trained *t, const float *rows, size_t n_row, const double *chol,
    const struct train_view *view, const struct train_options *o, const char *path, size_t *dim, struct fault *f);

#define TRAIN_SLOPE .15
#define TRAIN_NOISE_VAR .05
#define TRAIN_BASE_RATE .05
#define TRAIN_LAMBDA_BESIDE 5.
#endif
