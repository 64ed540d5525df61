/*
 * inside.h - what the files of lib/attend share; nobody else includes it
 */
#ifndef HARE_ATTEND_INSIDE_H
#define HARE_ATTEND_INSIDE_H

#include "attend/attend.h"
#include "attend/kernel.h"

enum { NEAR_QUERIES = 96, NEAR_ROWS = 256 };    /* whose weights are laid out for a product, and near, at once */
enum { TILE_ROWS = ATTEND_TILE };       /* half a megabyte at dim 128: stays in the cache while all queries pass over it */

/* exp(-80) is far below what float can add to the best weight of 1, and far above its subnormals, which are slow. */
#define LOGIT_FLOOR (-80.)

/* Whole numbers of 2^-36: the sum of 2^26 rows of length 1.02 by weights of at most 1 stays below 2^63. */
#define Z_UNIT 0x1p-36
#define SUM_UNIT 0x1p-60
typedef __int128 whole;         /* of SUM_UNIT */

struct total {                  /* over rows, in whole numbers: the same in any order */
	whole w, wl;
	int64_t *z;             /* [dim], of Z_UNIT */
};
void total_add(struct total *t, const double sum[2]);
void total_add_z(int64_t *to, const float *z, size_t dim);

struct worker {
	float *tile;            /* [TILE_ROWS][dim]: rows that are lent as copies, or widened */
	float *near;            /* [NEAR_QUERIES][NEAR_ROWS]: weights that z wants of these rows, else 0; or [TILE_ROWS] */
	size_t n_heavy[NEAR_QUERIES];   /* how many of these are wanted */
	size_t *next;           /* [n_query_max]: the first of a query's best rows that this pass over a tile has not come to */
	float *part;            /* [n_query_max][n_pad]: z of a tile */
	double *add;            /* [TILE_ROWS] */
	uint32_t *some;         /* [TILE_ROWS]: rows that z needs */
	float *f;               /* [ATTEND_N_SHARP][dim] */
	float *row;             /* [dim] */
	double *scratch;        /* [n_scratch], for the variances of a query */
	size_t n_scratch;
	struct total *total;    /* [n_query_max] */
	struct fault fault;
	size_t fault_at;        /* number of the task that failed, SIZE_MAX for none */
};

struct settled {                /* of a query, once its best rows are known */
	double best, temperature, tau, most_bonus;
	struct attend_item *in_order;   /* [n_in_order] by row */
	size_t n_in_order;
};

struct sparse {                 /* the rows that a query has read, if not all */
	int is_sparse;
	size_t *row;            /* [n], in the order of tiles */
	float *weight;          /* [n] */
	size_t n, n_cap, n_cap_weight;
	double certificate;
	size_t n_drawn;         /* rows read besides, as a sample */
	int is_sampled;         /* the certificate is a matter of chance */
};

struct attend {
	struct attend_pool pool;
	struct attend_settings set;
	const struct attend_kernel *kernel;
	size_t n_query_max, n_tile, n_pad;
	size_t n_top;           /* rows scored again, at least ATTEND_N_SHARP where there are so many */
	float *weight;          /* [n_tile][n_batch][TILE_ROWS]: scores, then exp((l_j - l_best) / T) */
	float *most;            /* [n_query_max][n_tile]: the largest score of a tile */
	float *q;               /* [n_query_max][n_pad], zeros behind dim */
	float *grouped;         /* [n_query_max][n_pad]: queries [first, n_query) as scores_many() takes them, if KERNEL_MANY */
	float *z;               /* [n_query_max][dim] */
	double *sum;            /* [n_query_max], sum of a query's weights before they are divided by it */
	double w_least, log_least;      /* lighter rows are left out of z; ln of it */
	struct attend_item *top;        /* [n_query_max][n_top] */
	struct attend_item *by_row;     /* [n_query_max][n_top], the best by row; scratch before they are known */
	struct settled *settled;        /* [n_query_max] */
	struct bound *bound;    /* bound.c's; NULL until it is used */
	struct cells *cells;    /* [n_thread], cells.c's; NULL until it is used */
	struct sparse *sparse;  /* [n_query_max] */
	uint32_t *cluster;      /* [n_row], NULL until a query has a bonus and the pool has no span() */
	struct worker *worker;  /* [n_thread] */
	/* the batch at hand */
	size_t n_batch;         /* queries of it */
	size_t first, n_query;  /* queries [first, n_query) are worked on */
	const struct attend_query *query;
	struct attend_result *result;
};

/* Bytes of a number. */
static inline size_t
attend_type_size(enum attend_type type)
{
	return type == ATTEND_F32 ? 4 : type == ATTEND_I8 ? 1 : 2;
}

/* The row behind a tile's last. */
static inline size_t
attend_tile_end(const struct attend *a, size_t tile)
{
	size_t end = (tile + 1) * TILE_ROWS;

	return end < a->pool.n_row ? end : a->pool.n_row;
}

/* Of query i. */
float *attend_weights(const struct attend *a, size_t i, size_t tile);
float *attend_weight_at(const struct attend *a, size_t i, size_t row);
/* Rows [from, from + n) or the first of them. -1: they could not be read, which the worker keeps if no task before failed. */
int attend_span_of(struct attend *a, size_t from, size_t n, struct worker *w, size_t task, struct attend_span *out);
const float *attend_row(struct attend *a, size_t row, float *scratch, struct worker *w, size_t task);
/* The worker keeps *f, unless a task before failed. Returns -1. */
int attend_keep_fault(struct worker *w, size_t task, const struct fault *f);
int attend_first_fault(const struct attend *a, struct fault *f);
void attend_fault_none(struct attend *a);

/* -- blend.c -- */
/* Rows of a span as float; those of int8 without their scale. */
const float *attend_widened(const struct attend *a, const struct attend_span *s, float *into);
/* Rows of a span, which begins in tile, go into the part of z of query i, if they weigh enough; weight [s->n] is lost. */
void attend_blend_list(struct attend *a, size_t i, size_t tile, const struct attend_span *s, float *weight, struct worker *w);
/* The n_row rows from row from on go into the parts of z of w, for queries [first, end), at most NEAR_QUERIES: rows [from + at,
   from + at + s->n) that is. Weights of all n_row, with zeros where they are too light, stand in w->near, of which those of
   the span are lost; w->n_heavy [end - first] says of each query how many of the n_row weigh enough. */
void attend_blend_span(struct attend *a, size_t from, size_t n_row, const struct attend_span *s, size_t at, size_t first,
    size_t end, struct worker *w);

/* -- top.c -- */
int attend_before(const struct attend_item *s, const struct attend_item *t);
int attend_by_weight(const void *s, const void *t);
int attend_by_row(const void *s, const void *t);
/* item [n_top] is a heap with its least in front; item takes its place if it stands before it. */
void attend_heap_replace(struct attend_item *heap, size_t n, struct attend_item item);
void attend_heap_make(struct attend_item *heap, size_t n);
/* The n_top rows of the highest logits, from the scores of the kernel, in no order; bonus is set, as is logit. */
int attend_find_top(struct attend *a, size_t i, struct worker *w);
/* Of many rows the n_max best; a tie is won by the lower row, whatever the order they come in. */
struct attend_heap {
	struct attend_item *item;
	size_t n, n_max;
	double least;           /* once it is full */
};
void attend_heap_consider(struct attend_heap *h, size_t row, double logit, double bonus);
/* The best rows again in double, part by part, and in order; then tau and T. row() gives a row by number or NULL. -1: so. */
int attend_settle(const struct attend_settings *set, const struct attend_query *query, const double *mean, size_t dim,
    struct attend_item *top, size_t n_top, const float *(*row)(void *arg, size_t row), void *arg, float *f, double *scratch,
    struct settled *out);
double attend_bonus_of(const struct attend_settings *set, const struct attend_query *query, size_t n_cluster, uint32_t cluster);

/* How scores become weights where z is not asked for; and those of query i, with the least that z wants. */
static inline struct kernel_pass
attend_pass_at(double beta, double best, double temperature)
{
	return (struct kernel_pass){ .beta = beta, .best = best, .t = 1 / temperature, .floor = LOGIT_FLOOR };
}
struct kernel_pass attend_pass_of(const struct attend *a, size_t i);
/* exp((logit - best) / T) of a row that was scored again. */
float attend_weight_of(const struct settled *at, double logit);
/* The first of rows sorted by row that is not before row. */
size_t attend_first_from(const struct attend_item *by_row, size_t n, size_t row);
int attend_sum_is_possible(const double sum[2]);
int attend_z_is_possible(const float *z, size_t dim);
int attend_rows_are_impossible(const struct attend *a, struct worker *w, size_t task, size_t tile);
/* tau, T and the order of the best rows, which are in a->top. -1: a row could not be read. */
int attend_settle_query(struct attend *a, size_t i, struct worker *w);
/* The same from rows that row() gives, arg in front. */
int attend_settle_from(struct attend *a, size_t i, const float *(*row)(void *arg, size_t row), void *arg, struct worker *w);
/* Rows of query i in the order of bounds, until what is left weighs epsilon at most. 1: done, in the totals of the workers;
   0: too much to read, but its best rows are known, with epsilon 0 if all rows are sound; 2: nor are they; -1 with *f set. */
int attend_by_bound(struct attend *a, size_t i, struct fault *f);
void attend_bound_free(struct bound *b);
/* By the index, of all queries those that it helps: these are then sparse, and in the totals of the workers. -1 with *f set. */
int attend_by_cells(struct attend *a, size_t n_query, struct fault *f);
void attend_cells_free(struct cells *cells, size_t n_thread);

/* Weights, entropy and z of sums over all rows but the best; top [n_top] becomes the items. */
void attend_finish(const struct settled *at, const struct total *all, struct attend_item *top, size_t n_top, size_t dim, float *z,
    double *sum, struct attend_result *out);
int attend_begin(struct attend *a, size_t n_query, const struct attend_query *query, struct fault *f);
/* -- pass.c -- */
/* All scores. Then, the best rows being known, weights and z tile by tile. */
int attend_score_pass(struct attend *a, struct fault *f);
int attend_one_pass(struct attend *a, struct fault *f);
/* All scores, then the best rows and with them T, then weights and z. */
int attend_two_passes(struct attend *a, struct fault *f);
struct total *attend_gather(struct attend *a, size_t i);
void attend_total_none(struct attend *a, size_t i);     /* and none of it is left */

#endif
