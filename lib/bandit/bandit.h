/*
 * bandit.h - contextual bandits with linear rewards: which arm to choose for a row of features, and what was learnt
 *
 *   models     disjoint  reward = x'theta_a: an arm shares nothing with the others (Li et al. 2010, Algorithm 1)
 *              hybrid    reward = z_a'beta + x'theta_a: beta is common to all arms (Algorithm 2)
 *              shared    reward = z_a'beta alone
 *              z_a is the outer product of the arm's own features and x where arms have some, else x
 *   policies   linucb    argmax of mean + alpha sqrt(variance), A = lambda I + sum x x', variance = x' A^-1 x
 *              lints     argmax of draws from N(mean, alpha^2 variance): the law of linear Thompson sampling (Agrawal
 *                        and Goyal 2013) for arms that share nothing
 *              egreedy   with probability epsilon any arm, else the best mean
 *              squarecb  inverse gap weighting (Foster and Rakhlin 2020): p_a = 1 / (K + g gap_a), the best has the
 *                        rest; g = gamma sqrt(1 + observations)
 *              uniform   any arm
 *   features   x as given, or standardised by the mean and variance of all rows seen so far, this one included
 *              (Welford), looked at after 2, 3, 4, 6, 8, 12, ... rows, when the sums of disjoint arms are brought
 *              to the new scale; then clipped to [-clip, clip]; then a 1 behind it: whichever is asked for
 *   ties       scores that agree to 12 digits are one: the arm that was named first has it
 *   half-life  an arm's observations count half after so many further ones of that arm; the prior does not fade
 *   cost       per arm and row O(dim^2 / 2), of a chosen arm O(dim^2) more; with a half-life O(dim^3)
 *   order      an arm's sums run in the order of its observations, all other numbers in one fixed order: the same on
 *              all processors, with any number of threads, and however a stream is cut into runs
 */
#ifndef HARE_BANDIT_BANDIT_H
#define HARE_BANDIT_BANDIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "record/record.h"
#include "state/state.h"

enum bandit_policy { BANDIT_LINUCB, BANDIT_LINTS, BANDIT_EGREEDY, BANDIT_SQUARECB, BANDIT_UNIFORM };
enum bandit_model { BANDIT_DISJOINT, BANDIT_HYBRID, BANDIT_SHARED };
extern const char *const bandit_policy_name[], *const bandit_model_name[];      /* ended by NULL */

enum { BANDIT_DIM_MAX = 4096 };

struct bandit_settings {
	/* how to choose: may be another one each time */
	enum bandit_policy policy;
	double alpha;                   /* of the spread in the score, >= 0 */
	double epsilon;                 /* in [0, 1] */
	double gamma;                   /* > 0 */
	uint64_t seed;
	/* what is learnt: fixed when a state first learns */
	enum bandit_model model;
	double lambda;                  /* precision of the prior; 0 until dim is known: then sqrt(dim) */
	double half_life;               /* in observations of the arm; 0 never forgets */
	double clip;                    /* 0: none */
	int standardise, intercept;     /* the first needs the second */
	size_t dim;                     /* features of a row as given; 0: not known yet */
	size_t arm_dim;                 /* features of an arm; 0: none */
	int is_closed;                  /* arms were declared: others are errors */
};

struct bandit;
/* Copies the settings. */
struct bandit *bandit_new(const struct bandit_settings *set);
void bandit_free(struct bandit *b);             /* NULL is allowed */
const struct bandit_settings *bandit_settings(const struct bandit *b);
/* How to choose from now on. */
void bandit_set_policy(struct bandit *b, const struct bandit_settings *set);
/* The dimension of rows, once: 0, or -1 with *f set (EX_DATAERR) if x, or z, would be larger than BANDIT_DIM_MAX. */
int bandit_set_dim(struct bandit *b, size_t dim, struct fault *f);
void bandit_close_arms(struct bandit *b);       /* is_closed = 1 */

/* Arms, in the order in which they were first named. feature [arm_dim], NULL if arm_dim is 0. */
size_t bandit_n_arm(const struct bandit *b);
struct span bandit_arm_name(const struct bandit *b, size_t arm);
size_t bandit_find_arm(const struct bandit *b, struct span name);       /* SIZE_MAX: there is none */
size_t bandit_add_arm(struct bandit *b, struct span name, const double *feature);
const double *bandit_arm_feature(const struct bandit *b, size_t arm);   /* [arm_dim] */
uint64_t bandit_arm_n(const struct bandit *b, size_t arm);              /* observations */
uint64_t bandit_n(const struct bandit *b);                              /* of all arms */
/* Features of the model: dim, or one more with the intercept; theta [that], borrowed. */
size_t bandit_n_weight(const struct bandit *b);
const double *bandit_theta(const struct bandit *b, size_t arm);
/* Rows that bandit_observe() saw. */
uint64_t bandit_n_row(const struct bandit *b);

/* Room for n_context rows that are looked at together; threads each have their own. It borrows b and must be made
   anew when arms were added or the dimension set. */
struct bandit_desk;
struct bandit_desk *bandit_desk_new(const struct bandit *b, size_t n_context);
void bandit_desk_free(struct bandit_desk *d);   /* NULL is allowed */

/* Takes a row as it is given into what the features are standardised by, and counts it. Every x[i] finite. */
void bandit_observe(struct bandit *b, const double *x);
/* Puts row x [dim] on place c of the desk. */
void bandit_look(struct bandit_desk *d, size_t c, const double *x);
/* Means and variances of all arms for places 0 to n - 1. */
void bandit_score(struct bandit_desk *d, size_t n);
struct bandit_choice {
	size_t arm;
	double score;                   /* of the policy; for egreedy, squarecb and uniform the mean */
	double propensity;              /* that the policy had of choosing this arm; 1 if it draws nothing */
};
/* For place c, scored. stream: the number of the draw; another one for each row. At least one arm (assert). */
void bandit_choose(struct bandit_desk *d, size_t c, uint64_t stream, struct bandit_choice *out);
/* Of arm a at place c: the predicted reward, what is added to it for being unknown, and the policy's propensity. */
double bandit_mean(const struct bandit_desk *d, size_t c, size_t a);
double bandit_bonus(const struct bandit_desk *d, size_t c, size_t a);
double bandit_propensity(struct bandit_desk *d, size_t c, size_t a);
int bandit_draws(const struct bandit *b);       /* 1 if the policy is randomised */

/* Learns the reward of arm for the row on place 0; finite. Afterwards the row must be scored again. */
void bandit_learn(struct bandit *b, struct bandit_desk *d, size_t arm, double reward);

/* -- in the state file: values of kind "arm", key the name; of kind "bandit"; settings in meta as "bandit.NAME" -- */

/* 1 if the state has a bandit, 0 if not (set is untouched), -1 with *f set. */
int bandit_load_settings(struct state *s, struct bandit_settings *set, struct fault *f);
/* Everything; NULL with *f set: EX_DATAERR, naming the arm, for anything that no bandit wrote. */
struct bandit *bandit_load(struct state *s, struct fault *f);
/* What changed since the last time, within a transaction. 0 or -1. */
int bandit_save(struct bandit *b, struct state *s, struct fault *f);
/* 0, or -1 with *f set (EX_DATAERR): the first setting of what is learnt that differs, both named. */
int bandit_same_settings(const struct bandit_settings *a, const char *a_name, const struct bandit_settings *b,
    const char *b_name, struct fault *f);
/* out gets the sum of all parts; those without a bandit are left out. Refused (EX_DATAERR) are other settings, hybrid
   models and shared ones of standardised features. Within a transaction of out. The same bits in any order of the
   parts: arms stand in the order of their lowest place in a part, then of their names. */
int bandit_merge(struct state *out, struct state *const *part, size_t n_part, struct fault *f);
/* Rows for hare-state(1) dump: settings, what each arm believes (form theta), and the values as they are (form bytes).
   Nothing if the state has no bandit. */
int bandit_dump(struct state *s, struct record_out *out, struct fault *f);
/* Names of the settings in the state's meta, ended by NULL. */
const char *const *bandit_setting_names(void);
/* Every value is what a bandit writes, or there is none. */
int bandit_check(struct state *s, struct fault *f);

/* -- what another policy would have earned: estimates from a log -- */

struct bandit_log;
enum bandit_estimator { BANDIT_IPS, BANDIT_SNIPS, BANDIT_DR, BANDIT_REPLAY, BANDIT_N_ESTIMATOR };
/* dim: features of the reward model of DR, 0: each arm's mean alone; lambda: its ridge penalty. */
struct bandit_log *bandit_log_new(size_t dim, double lambda);
void bandit_log_free(struct bandit_log *l);
/* A row of the log: the arm shown (a small number), its reward, the propensity it was shown with; target: the
   probabilities of the policy that is judged. x [dim], may be NULL if dim is 0. Copied. */
struct bandit_target { const size_t *arm; const double *probability; size_t n; };       /* arms with probability > 0 */
void bandit_log_add(struct bandit_log *l, size_t arm, double reward, double propensity, struct bandit_target target,
    const double *x);
struct bandit_estimate {
	double value, error;            /* reward per row and its standard error */
	double n_effective;             /* (sum of weights)^2 / sum of their squares; of replay the rows that match */
};
/* 0; -1 with *f set (EX_DATAERR) to why the log does not allow it: replay of a log that is not uniform over n_arm
   arms, no row that matches, DR where a target's probabilities do not sum to 1. */
int bandit_log_estimate(struct bandit_log *l, enum bandit_estimator e, size_t n_arm, struct bandit_estimate *out,
    struct fault *f);

#endif
