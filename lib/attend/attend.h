/*
 * attend.h - uncertainty-augmented attention of a query and a user over a pool of vectors
 *
 *   query     q = v x + g ubar                               g gain, ubar the user's mean (0 for nobody), v what the
 *                                                            user's query says (1 for nobody)
 *   logits    l_j = beta q.x_j + alpha U_c(j)                c(j) cluster of row j, U its bonus
 *   widening  tau^2 = sum_j A0_j var_j                       A0 softmax of the 64 best logits, f_j = x_j - mean, var_j
 *             T = sqrt(1 + kappa (pi/8) beta^2 g^2 tau^2)    the variance of the reward foretold, the user's own or for
 *                                                            nobody |f_j|^2 / lambda + query_var (x.f_j)^2
 *   answer    A = softmax(l / T), z = sum_j A_j x_j, entropy - sum_j A_j ln A_j
 *   scale     beta = sqrt(2 ln N) / sd_s, sd_s the standard deviation of x_i.x_j over pairs of the pool
 *   source    Vaswani et al., Attention is all you need (2017), eq 1, with projections tied so that they cancel;
 *             beta: freezing of the random energy model, Derrida (1981); T: the mean-field softmax of Lu, Ie and Sha
 *             (2020), after MacKay (1992), The evidence framework applied to classification networks
 *   shapes    x, ubar, mean and z are [dim]; a bonus is [n_cluster]
 *   rounding  scores, weights and z come from the kernels of kernel.h, whose sums have one order for a row, or for the
 *             rows of a tile of 1,024, whose place depends on the pool alone; what tiles add up to is added in whole numbers
 *             of 2^-36 (z) and 2^-60 (sums of weights), so in any order. So a query's result is the same, bit for bit,
 *             whatever the batch, its place in it, the number of threads, and the shards a pool is cut into. The best
 *             rows are scored again in double. Weights below 2^-24 / N of the best, all of which sum to
 *             less than float can tell, are left out of z
 *   epsilon   rows are read from the highest bound of their logit on, until what is unread cannot weigh more than epsilon of
 *             all: with R the sum of exp((l - l_best) / T) over what was read and U no less than that of the bounds of
 *             the rest, the total variation is at most U / (R + U). T is exact: the rows it is taken over are read before. Where that
 *             would read too much, and in small pools, all rows are
 *   delta     with an index, cells of rows are read, those foretold most of the mass first, until what probes told of such
 *             cells when the index was made, and a sample of the unread rows, both say that no more than epsilon of the mass is
 *             unread, with confidence 1 - delta; hare(7) has what of this is a theorem. T is that of the 64 best rows found.
 *             The sample follows from the query's numbers and the seed. Cost grows as sqrt(N) in pools that fall into cells
 *   cost      O(N dim) per query: a batch reads the pool once for its scores, and once more those rows that z needs;
 *             one or two queries over a pool with sketches read those first and then each row once;
 *             memory 4 N bytes per query
 */
#ifndef HARE_ATTEND_ATTEND_H
#define HARE_ATTEND_ATTEND_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/rng.h"

struct attend_kernel;
struct pool_index;

enum { ATTEND_N_SHARP = 64,     /* rows that tau is taken over */
	ATTEND_TILE = 1024 };           /* rows whose sums are taken together; shards begin at multiples */

/* How numbers of rows are kept: float32, float16, bfloat16, or bytes with a scale for each row. */
enum attend_type { ATTEND_F32, ATTEND_F16, ATTEND_BF16, ATTEND_I8 };

struct attend_span {            /* rows that lie together, borrowed */
	enum attend_type type;
	const void *x;                  /* [n][dim] */
	const float *scale;             /* [n], for ATTEND_I8 */
	const uint32_t *cluster;        /* [n]; one that is no cluster counts as cluster 0 */
	size_t n;
};

struct attend_sketch {          /* of rows that lie together, borrowed; mat/sketch.h */
	const uint8_t *block;
	size_t i_first;                 /* the first row's place in the first block */
	const uint32_t *cluster;        /* [n] */
	size_t n;
	/* The rows themselves, if x is not NULL, as in a span; they need not be sound: what is found by them counts only once span()
	   has given all rows, and rows() the best. */
	enum attend_type type;
	const void *x;
	const float *scale;
};

/* What is attended to. rows() gives rows [from, from + n) as float32 [n][dim], borrowed, or put into scratch [n][dim],
   or NULL with *f set; it is called from several threads. cluster() gives a row's number below n_cluster; not called
   while no query has a bonus. span(), which may be NULL: rows as they are kept, from row from on, at least one and at most
   n of them; 0, or -1 with *f set. With it, rows() is asked for single rows only and cluster() not at all. */
struct attend_pool {
	size_t n_row, dim, n_cluster;   /* n_row > 0 */
	const double *mean;             /* [dim], what the features of the user's belief are counted from */
	const float *(*rows)(void *arg, size_t from, size_t n, float *scratch, struct fault *f);
	size_t (*cluster)(void *arg, size_t row);
	int (*span)(void *arg, size_t from, size_t n, struct attend_span *out, struct fault *f);
	/* Sketches of rows, in the same way; NULL: the rows have none. */
	int (*sketch)(void *arg, size_t from, size_t n, struct attend_sketch *out, struct fault *f);
	/* An index of rows (pool/pool.h), borrowed, and what places of it hold, with cluster NULL and row [n], their numbers less
	   that of its first; NULL: there is none. Called from several threads. Places lie in one array: what comes next is asked for
	   by where it should be, which is a hint only. */
	const struct pool_index *index;
	int (*indexed)(void *arg, size_t from, size_t n, struct attend_span *out, const uint32_t **row, struct fault *f);
	void *arg;
};

struct attend_settings {
	double gain;            /* g */
	double beta;            /* attend_beta() */
	double alpha;
	double kappa;
	double lambda, query_var;       /* of the prior: what is not known of nobody */
	size_t n_top;           /* items wanted, > 0; the pool may have fewer */
	size_t n_thread;
	double epsilon;         /* 0: exact. Else what may be left of the attention unread, in total variation; needs sketches, or
	                           delta and an index */
	double delta;           /* 0: always. Else the chance that more than epsilon is unread; below 1 */
	double read_most;       /* share of the rows beyond which delta reads all; 0: a quarter */
	uint64_t seed;          /* of what is sampled for delta */
	size_t n_whole;         /* rows of the pool that this one is a shard of; 0: it is whole */
	const struct attend_kernel *kernel;     /* kernel.h; NULL: the best of this processor */
};

/* sqrt(2 ln N) / sd. Where the pool does not tell (one row, or all pairs with the same score: sd < 1e-6), with
   sd = 1 / sqrt(dim), that of random unit vectors; N is at least 2. */
double attend_beta(size_t n_row, size_t dim, double score_sd);

/* q [dim] = query_weight * x + gain * user_mean; x where user_mean is NULL. What the bonus of a cluster is asked for, once
   normalised. */
double attend_gain(double gain, double user_times);     /* that of a user */
void attend_aim(const float *x, double query_weight, const double *user_mean, double gain, size_t dim, float *q);

struct attend_query {           /* all borrowed during attend_run() */
	const float *x;                 /* any length, but finite and below 1e12 */
	const double *user_mean;        /* NULL: nobody, and query_weight is not read and variances not called */
	double query_weight;            /* v, of the user */
	double user_times;              /* gain counts so many times for this user, but once in widening; 0: once */
	/* variance [n] of the reward foretold for each of the features f [n][dim], n at most ATTEND_N_SHARP, under the query x */
	void (*variances)(const void *user, const float *x, const float *f, size_t n, double *variance, double *scratch);
	const void *user;
	size_t n_scratch;               /* doubles that variances needs for ATTEND_N_SHARP rows */
	const double *bonus;            /* U_c; NULL: the same for all clusters, which cancels */
};

struct attend_item {
	size_t row;
	double content;         /* beta v x.x_j */
	double personal;        /* beta g ubar.x_j */
	double bonus;           /* alpha U_c(j) */
	double logit;           /* their sum; the weight is softmax(logit / temperature) */
	double weight;          /* A_j */
};

struct attend_result {          /* borrowed until the next attend_run() */
	const float *z;
	const struct attend_item *item; /* [n_item], heaviest first, the lower row on a tie */
	size_t n_item;                  /* min(n_top, n_row) */
	double entropy_nats;
	double uncertainty;             /* tau: standard deviation of the reward foretold for what is attended to */
	double temperature;             /* T */
	double certificate;             /* of the total variation between the weights told and A, an upper bound; 0: they are A */
	double read;                    /* share of the rows that were read whole */
	double confidence;              /* in the certificate: 1, or by the index 1 - delta */
};

struct attend;
/* All scratch is taken here, for up to n_query_max queries at once. pool and settings are copied, what they point to
   is borrowed. */
struct attend *attend_new(const struct attend_pool *pool, const struct attend_settings *settings, size_t n_query_max);
void attend_free(struct attend *a);     /* NULL is allowed */

/* The batch that keeps 4 N + n_extra bytes per query within 256 MB, between 1 and n_wanted. */
size_t attend_batch(size_t n_row, size_t n_extra, size_t n_wanted);

/* 0, or -1 with *f set: a row could not be read. result [n_query] is filled in. */
int attend_run(struct attend *a, size_t n_query, const struct attend_query *query, struct attend_result *result,
    struct fault *f);

/* A_row of query i of the last attend_run(). Rows 80 T or more below the best logit weigh 0. */
double attend_weight(const struct attend *a, size_t i, size_t row);

/* All of them [n_row]. */
void attend_weights_of(const struct attend *a, size_t i, double *weight);

/* Draws up to n distinct rows from A of query i, one after the other, each from what is left; propensity is that of
   each given those before. Returns how many: fewer when no row with a weight is left. For different i safe from
   several threads. */
size_t attend_choose(struct attend *a, size_t i, struct rng *r, size_t n, size_t *row, double *propensity);

#endif
