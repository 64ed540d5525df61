/*
 * cells_inside.h - a query that is answered by an index; only for cells.c and cells_*.c
 *
 *   cells.c        rounds of reading and foretelling, until what is unread is bounded
 *   cells_told.c   what is foretold of cells, and the levels that probes set
 *   cells_read.c   rows of cells: scores, the best of them, weights and z
 *   cells_draw.c   a sample of the rows that are unread
 */
#ifndef HARE_ATTEND_CELLS_INSIDE_H
#define HARE_ATTEND_CELLS_INSIDE_H

#include "attend/inside.h"
#include "pool/pool.h"

enum { CELLS_SMALL = 8 * TILE_ROWS, CELLS_BIN = 1024, CELLS_PER_NAT = 4 };

struct piece {                  /* rows that lie together, of one cell if of any */
	size_t at, n;                   /* in the lists of what was read */
	size_t from;                    /* place in the index, or row of the pool */
	size_t cell;                    /* SIZE_MAX: in none */
	double most;                    /* the largest logit */
	double sum;                     /* of weights, by cells_sum() */
};

struct cells {                  /* of one worker, or of all of them for a single query */
	float *u, *v;                   /* [n_cell]: q.m, and sum q^2 v */
	float *square;                  /* [n_pad]: q^2 */
	float *log_n;                   /* [n_cell]: of its rows */
	/* what is foretold at a temperature */
	double temperature;             /* 0: nothing yet */
	double *log_told;               /* [n_cell]: ln of the mass */
	float *told;                    /* [n_cell]: as a share of the most */
	float *told_half;               /* [n_cell]: the same at half the sharpness, of some other whole; if has_half */
	int has_half;
	uint16_t *bin;                  /* [n_cell]: how far below the most, in quarters of a nat, as far as there are bins */
	double (*in_bin)[POOL_INDEX_RULES];     /* [CELLS_BIN]: sums of what rules count */
	double all[POOL_INDEX_RULES];
	double most_told;               /* what told is a share of, as a logarithm */
	/* what is read */
	unsigned char *is_read;         /* [n_cell]: or will be by the next cells_read() */
	uint32_t *cell;                 /* [n_cell], scratch */
	struct piece *piece;
	size_t n_piece, n_piece_cap;
	size_t n_piece_read, n_piece_summed;    /* have scores; have sums for best and at_temperature */
	uint32_t *row;                  /* [n], of the pool */
	float *score, *weight;          /* [n] */
	double *add;                    /* [n], alpha U_c, where the query has a bonus */
	size_t n, n_row_cap, n_score_cap, n_weight_cap, n_add_cap;
	/* the sample */
	struct draw *draw;              /* [n_draw_cap] */
	double (*draw_sum)[2];          /* [n_draw_sum_cap]: of X / most and of its square, over the draws of a task */
	size_t n_draw_cap, n_draw_sum_cap, n_drawn;
	struct attend_heap heap;
	struct attend_item *kept;       /* [n_top] */
	/* the query at hand */
	struct attend *a;
	struct worker *w;
	size_t i;
	double length;                  /* |q| */
	size_t n_thread;                /* that share its pieces */
	double best, at_temperature;    /* of sum_piece() */
	const struct slots *slots;      /* of blend_piece(): where the best rows are, if there are few */
	int has_failed;
};

/* Share of the rows beyond which reading all of them is as fast, as a number of rows. */
double cells_read_most(const struct attend *a);

/* A query that is one thread's has that one's scratch, and is a task; of a single query the pieces or draws are tasks: of several
   that fail the first is told. */
static inline struct worker *
cells_worker(const struct cells *c, size_t worker)
{
	return c->n_thread > 1 ? &c->a->worker[worker] : c->w;
}
static inline size_t
cells_task(const struct cells *c, size_t k)
{
	return c->n_thread > 1 ? k : c->i;
}

/* -- cells_told.c -- */
/* ln of the mass of each cell at a temperature, and its share of the greatest. */
void cells_foretell(struct cells *c, double temperature);
/* What may be left unread: by each of some rules no more than its level, which is that of the hardest kind of probes. */
struct limits {
	size_t n;
	unsigned rule[4];
	double level[4];
};

/* Adds those of the two sharpnesses around the one at hand, of a share, or of the ten best rows for POOL_INDEX_SHARES.
   -1: there are none. */
int cells_add_limits(const struct cells *c, double temperature, size_t share, double alpha, struct limits *to);
/* Reads every cell that is foretold most, as far as those below are within the limits, deeper than 1 further down; mass is what
   the cells that were read hold, as told is. 1, or 0: that would be too many rows, or -1. */
int cells_read_down_to(struct cells *c, const struct limits *limits, double deeper, double mass);

/* -- cells_read.c -- */
/* A cell, and rows that are in no cell, that the next cells_read() reads. */
void cells_plan(struct cells *c, size_t cell);
void cells_plan_others(struct cells *c);
/* Scores of what was planned; the best rows go to the heap. -1: a row could not be read. */
int cells_read(struct cells *c);
/* The rows of a piece from done on, or the first of them; until the next call, in w->tile if they are lent as copies. *row, their
   numbers less that of the first indexed, is set for pieces of a cell. -1: the worker keeps the fault, of that task. */
int cells_rows(struct cells *c, struct worker *w, size_t task, const struct piece *p, size_t done, struct attend_span *s,
    const uint32_t **row);
/* Sums of exp((l - best) / T) over what was read, that of cells, and that of all. */
void cells_sum(struct cells *c, double best, double temperature, double *of_cells, double *of_all);
/* Weights of what was read, their sums and z, in the totals of the workers. -1: so. */
int cells_blend(struct cells *c);

/* -- cells_draw.c -- */
/* *bound is of the sum of min(Y, most p) over the unread, Y = exp((l - best) / T), p the chance of a row, but for a chance of
   delta, by n_draw rows; *mean is that sum on the mean. -1: a row could not be read. */
int cells_draw(struct cells *c, double best, double temperature, double most, double delta, uint64_t round, size_t n_draw, double *mean,
    double *bound);

#endif
