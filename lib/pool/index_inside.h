/*
 * index_inside.h - what the parts of making an index share: cells (index.c), more of them for rows that are far from
 * all (index_far.c), long ones in two (index_split.c), and probes (index_probe.c)
 */
#ifndef HARE_POOL_INDEX_INSIDE_H
#define HARE_POOL_INDEX_INSIDE_H

#include "base/rng.h"
#include "pool/inside.h"

enum { N_KIND = POOL_INDEX_KINDS, N_EACH = POOL_INDEX_PROBES, N_PROBE = N_KIND * N_EACH, N_SHARP = POOL_INDEX_SHARPS,
	N_SHARE = POOL_INDEX_SHARES, N_RULE = POOL_INDEX_RULES };

struct best;
struct made {
	const struct pool_index_rows *in;
	size_t n_thread, dim;
	/* k-means */
	size_t n_sample, n_coarse, n_fine;
	float *sample;                  /* [n_sample][dim] */
	uint32_t *sample_of;            /* [n_sample], coarse centre */
	float *coarse, *coarse_half;    /* [n_coarse][dim], [n_coarse]: half the squared length */
	float *fine, *fine_half;
	size_t *fine_start;             /* [n_coarse + 1] */
	uint32_t *member;               /* [n_sample], by coarse centre */
	size_t *member_start;           /* [n_coarse + 1] */
	uint32_t *of;                   /* [n], the cell of a row */
	/* probes */
	float *probe;                   /* [N_PROBE][dim] */
	float *reference;               /* [N_PROBE], about the best score */
	float *centre, *spread;         /* [n_cell][dim], as they are kept */
	float *mass;                    /* [n_cell][N_SHARP][N_PROBE] */
	struct best *best;              /* [n_thread] */
	float *level[N_RULE];           /* [N_SHARP][N_SHARE + 1][N_KIND][N_EACH] */
	float *cost;                    /* [N_PROBE / COST_EACH][N_RULE][N_SHARP][N_SHARE + 1], share of rows */
	struct pool_index_made *out;
};

/* Row i as float [dim]. */
void pool_index_row(const struct made *m, size_t i, float *out);
/* Lloyd's k-means over rows [n][dim] from centres of k-means++; one that no row is nearest to stays where it is. */
void pool_index_means(const float *rows, size_t n, size_t dim, float *centre, size_t n_centre, int n_round, struct rng r);
/* half [n] the squared lengths of centres; score [n][n_centre] of rows less these: the largest is that of the nearest. */
void pool_index_halves(const float *centre, size_t n, size_t dim, float *half);
void pool_index_nearness(const float *rows, size_t n, const float *centre, const float *half, size_t n_centre, size_t dim,
    float *score);
size_t pool_index_largest(const float *v, size_t n);
void pool_index_sort(float *v, size_t n);       /* ascending */
/* More centres, where rows are far from all: fine, n_fine and of[] change. */
void pool_index_gather(struct made *m);
/* More cells, where some are long: n_fine and of[] change, fine does not. */
void pool_index_split(struct made *m);
/* Levels, once cells are there. */
void pool_index_probe(struct made *m);

#endif
