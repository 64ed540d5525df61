/*
 * belief.h - a Gaussian over weight vectors, learnt one row at a time, kept as sufficient statistics
 *
 *   model     reward - base_rate = f'u + noise,  u ~ N(0, I / lambda),  noise ~ N(0, noise_var)
 *   posterior Lambda = lambda I + sum w f f' / noise_var,  b = sum w f (reward - base_rate) / noise_var,
 *             mean = Lambda^-1 b,  cov = Lambda^-1
 *   query     with has_query the last number of every f is what the query said of the item, x'(the other numbers), and its
 *             weight has a prior of its own, N(query_mean, query_var): what is foretold by query_mean is taken from the
 *             reward, and the last number stretched by sqrt(lambda query_var), so that one prior N(0, I / lambda) serves.
 *             It is not stretched in what is stored
 *   apart     with query_least > 0 the mean of u is that for a weight of 0: what it is worth to know of a user is learnt as
 *             if queries said nothing, for where both explain the same rewards the query would take them all. Beside it the
 *             weight is estimated, with u summed over, and says only how much of the query to hear: query_least of it where
 *             it foretells nothing or less, all of it from query_mean on. cov is that of u, with nothing for the weight
 *   grades    rewards that lie between 0 and 1 say more than marks of 0 and 1, most of which are 0 because nobody looked. With
 *             p and q the means of r and r^2, (q - p^2) / (p - p^2) is the share that is marks. base_rate and the logarithm of
 *             noise_var are those of the prior to this share; for the rest the rewards' own: the base_rate that explains
 *             them best, u summed over, and noise_var halved up to N_HALVES times, as long as the evidence grows
 *   source    Bishop, Pattern Recognition and Machine Learning (2006), eqs 3.49-3.51; in the dual, Rasmussen and
 *             Williams, Gaussian Processes for Machine Learning (2006), eqs 2.11, 2.12
 *   forgetting weights w halve every half_life units of time before the belief's last time; the prior does not fade
 *   storage   what was seen, not what was concluded: the prior may change later, merging is addition. While that is
 *             smaller, the observations themselves (f float32, reward and time float64), else their packed sums in
 *             float64; the switch depends on the data alone
 *   shapes    every f is [dim]
 *   order     all sums run in the order of the observations, so that any cut of a stream into runs gives the same bits
 */
#ifndef HARE_BELIEF_BELIEF_H
#define HARE_BELIEF_BELIEF_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"

struct belief_prior {
	double lambda;          /* precision of the prior, > 0 */
	double noise_var;       /* in reward squared, > 0 */
	double base_rate;       /* reward expected of anything */
	double half_life;       /* in units of time of the observations; 0 never forgets */
	int has_query;          /* the last number of f is what the query said; else the next two are not read */
	double query_mean;      /* weight of what the query says, where nothing is known */
	double query_var;       /* how far users differ in it, >= 0; 0: not at all, it stays at query_mean */
	double query_least;     /* above 0, at most 1: apart, and so much of a query is heard at least; 0: together */
};

/* out [dim + 1] = [f ; x'f] for f and the query x [dim], both of lengths below 1e12; x = NULL: [f ; 0]. out may be f. */
void belief_extend(const float *f, const float *x, size_t dim, float *out);

/* No reward is as large: beyond it a mean would leave the range of float, and sums of squares that of double. */
#define BELIEF_REWARD_MAX 1e12

struct belief;
struct belief *belief_new(size_t dim);                  /* that of somebody never seen; end with belief_free() */
void belief_free(struct belief *b);                     /* NULL is allowed */
void belief_clear(struct belief *b);
size_t belief_dim(const struct belief *b);
uint64_t belief_n(const struct belief *b);              /* observations */
double belief_first_time(const struct belief *b);       /* 0 when n = 0 */
double belief_last_time(const struct belief *b);
uint64_t belief_digest(const struct belief *b);         /* equal beliefs, equal digests */

/* Learns one observation. half_life is needed here too: once only sums are kept, they fade as time goes on.
   0, or -1 with *f set if time or an f[i] is not finite, or reward is beyond BELIEF_REWARD_MAX: the belief is then
   unchanged. An observation older than the last one is entered with the weight that its age gives. */
int belief_learn(struct belief *b, const float *f, double reward, double time, double half_life, struct fault *fault);

/* b = b + other, decayed to the later time first. Commutative bit for bit. Same dim (assert). */
void belief_merge(struct belief *b, const struct belief *other, double half_life);

/* What is stored, as numbers, for people and other programs. form: "observations", numbers [n][2 + dim]: time, reward,
   f; or "sums", numbers [3 + 2 dim + dim (dim + 1) / 2]: sum w, sum w r, sum w r^2, sum w f, sum w r f, and the lower
   triangle of sum w f f' by rows. numbers are put behind what is in the buffer. Import doubts every number and gives
   back the same bits: -1 with *f set (EX_DATAERR). */
const char *belief_form(const struct belief *b);
void belief_export(const struct belief *b, struct buf *numbers);
int belief_import(struct belief *b, const char *form, uint64_t n, double first_time, double last_time,
    const double *number, size_t n_number, struct fault *f);

/* As bytes for the state file (little-endian; hare-state(5) has the layout). Decoding doubts every byte:
   -1 with *f set (EX_DATAERR). */
void belief_encode(const struct belief *b, struct buf *out);
int belief_decode(struct belief *b, const void *at, size_t n, struct fault *f);

/* The posterior: a snapshot, to be computed once per user and batch.
   cost: O(n^2 dim + n^3) from n observations, O(dim^3) from sums; of grades up to 10 times that. */
struct belief_posterior;
struct belief_posterior *belief_posterior_new(size_t dim);
void belief_posterior_free(struct belief_posterior *p);
void belief_take_as_marks(struct belief_posterior *p);  /* noise_var and base_rate hold for all rewards, also for grades */
/* 0, or -1 with *f set (EX_DATAERR) if the sums are not those of any data (not positive definite). */
int belief_solve(struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior, struct fault *f);
const double *belief_mean(const struct belief_posterior *p);            /* [dim], borrowed */
/* What the rewards made of base_rate and noise_var: of marks, which are 0 or 1, nothing. */
double belief_base_rate(const struct belief_posterior *p);
double belief_noise_var(const struct belief_posterior *p);
/* How much of the query is heard, 1 of nobody: with w the last number of a mean [dim] by query_mean, w; apart
   query_least + (1 - query_least) w, from query_least to 1. 1 without a query, or if query_mean is 0. */
double belief_query_weight(const double *mean, size_t dim, const struct belief_prior *prior);
int belief_is_apart(const struct belief_prior *prior);
/* What is asked for is query_weight x + user_times g u: v x + g u with v = belief_query_weight(), but apart in the scale of x,
   x + (g/v) u, where a query never fades and tastes outgrow it. */
void belief_weights(const double *mean, size_t dim, const struct belief_prior *prior, double *query_weight, double *user_times);
/* The variance of the weight that cov has, of nobody: query_var, or 0 apart. */
double belief_query_var(const struct belief_prior *prior);
/* f' cov f, never negative; with a query f and x have dim - 1 numbers, and it is [f ; x'f]' cov [f ; x'f], x = NULL for
   x = 0. With prior only it is |f|^2 / lambda + belief_query_var() (x'f)^2. O(n dim + n^2) or O(dim^2). Several threads may ask one
   posterior, each with its own scratch of belief_scratch() doubles. */
double belief_variance(const struct belief_posterior *p, const float *f, const float *x, double *scratch);
size_t belief_scratch(const struct belief_posterior *p);
/* The same for n_f rows of f at once and one x, in products of matrices; to rounding the same numbers. scratch of
   belief_scratch_many() doubles. */
void belief_variances(const struct belief_posterior *p, const float *f, const float *x, size_t n_f, double *variance, double *scratch);
size_t belief_scratch_many(const struct belief_posterior *p, size_t n_f);
/* cov [n_f][n_f]: what the rewards foretold for the rows of f share, f_i' cov f_j; its diagonal are the variances, to
   rounding. scratch of belief_scratch_covariances() doubles. O(n_f n dim + n_f n^2 + n_f^2 dim), in products of matrices. */
void belief_covariances(const struct belief_posterior *p, const float *f, const float *x, size_t n_f, double *cov, double *scratch);
size_t belief_scratch_covariances(const struct belief_posterior *p, size_t n_f);
/* log N(rewards; what the prior foretells), in nats: how probable the prior makes what was seen, u and the weight of the query
   summed over; apart as if queries said nothing. p is that of belief_solve() with b and prior. With a half-life the
   likelihood of each reward is to the power of its weight. 0 of nobody. Source: Bishop (2006), eqs
   2.115, 3.86. O(n^2) or O(dim^2), to be compared between priors of one belief. */
double belief_log_evidence(const struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior);
/* What rewards of the rows of f [n_f] to one query x are foretold to be, and the variance of that, after belief_solve(p, b, prior).
   Tastes, the weight of the query (apart as well) and an intercept, which has the prior of a number of u, are estimated together
   here: it is the best forecast, not what is best asked for. As belief_variances(), and O(n dim + n^2) or O(dim^2). */
void belief_foretell(const struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior, const float *f,
    const float *x, size_t n_f, double *mean, double *variance);
/* trace(cov) by that of the prior, over all but what the query says: 1 for somebody never seen, towards 0 with knowledge. */
double belief_share_unknown(const struct belief_posterior *p);

/* The mean before each of many observations: in bits that do not depend on where the stream was cut. Between resets
   the belief may only have learnt; what was computed for its older observations is then used again, so that one more
   costs O(n dim + n^2) (with a half-life, or from sums, a whole solve). Rewards are taken as marks: constants of grades would
   move with each of them. */
struct belief_track;
struct belief_track *belief_track_new(size_t dim);
void belief_track_free(struct belief_track *t);
void belief_track_reset(struct belief_track *t);
/* The mean [dim], borrowed until the next call; NULL with *f set as belief_solve(). */
const double *belief_track_mean(struct belief_track *t, const struct belief *b, const struct belief_prior *prior, struct fault *f);

/* -- covariances of attention clusters: S = I + sum q q', of which the sum is kept -- */
struct belief_cluster;
struct belief_cluster *belief_cluster_new(size_t dim);
void belief_cluster_free(struct belief_cluster *c);
void belief_cluster_clear(struct belief_cluster *c);
uint64_t belief_cluster_n(const struct belief_cluster *c);
void belief_cluster_learn(struct belief_cluster *c, const float *q);
void belief_cluster_merge(struct belief_cluster *c, const struct belief_cluster *other);
void belief_cluster_encode(const struct belief_cluster *c, struct buf *out);
int belief_cluster_decode(struct belief_cluster *c, const void *at, size_t n, struct fault *f);
/* The packed lower triangle of the sum [dim (dim + 1) / 2], by rows; and back. */
void belief_cluster_export(const struct belief_cluster *c, struct buf *numbers);
int belief_cluster_import(struct belief_cluster *c, uint64_t n, const double *number, size_t n_number, struct fault *f);
/* Factorises I + sum once; then sqrt(q' S^-1 q) for any q. O(dim^3), then O(dim^2). */
int belief_cluster_solve(struct belief_cluster *c, struct fault *f);
double belief_cluster_bonus(const struct belief_cluster *c, const float *q, double *scratch);   /* scratch [dim] */

#endif
