/*
 * inside.h - inside lib/bandit: arms side by side in memory
 */
#ifndef HARE_BANDIT_INSIDE_H
#define HARE_BANDIT_INSIDE_H

#include "bandit/bandit.h"
#include "belief/root.h"

/* A Gaussian and its sums, as root.h has them. */
struct bandit_gauss {
	double *s;              /* [triangle] */
	double *mean;           /* [pad] */
	double *gram;           /* [triangle] */
	double *b;              /* [pad] */
};

struct bandit_arm {
	char *name;
	size_t n_name;
	uint64_t n;             /* observations */
	int is_new, has_changed;        /* since the state was last written */
};

struct bandit {
	struct bandit_settings set;
	size_t d, pad, triangle;        /* of x as the model sees it; 0 while dim is not known */
	size_t k, k_pad;                /* of z; 0 for disjoint arms */

	struct bandit_arm *arm;
	size_t n_arm, n_cap;
	size_t *slot, n_slot;           /* names by hash: arm + 1, 0 is free */
	double *feature;                /* [n_cap][arm_dim] */
	/* [n_cap] of each, for disjoint and hybrid models, taken when dim is known */
	double *s, *mean, *gram, *b;
	double *c;                      /* hybrid: [n_cap][d][k_pad], A^-1 B */

	struct bandit_gauss shared;     /* hybrid and shared: over z */
	uint64_t n_shared;

	uint64_t n_row;                 /* observed */
	double *centre, *square;        /* of features: mean and sum of squared deviations so far [dim] */
	double *origin, *per_unit;      /* what they are standardised by [dim]: the same when it was last looked at */
	uint64_t n_commit;      /* of the state when it was loaded or saved */
	int settings_changed, rows_changed, shared_changed;
	double *scratch;                /* learning */
};

static inline struct bandit_gauss
bandit_gauss_of(const struct bandit *b, size_t a)
{
	return (struct bandit_gauss){ b->s + a * b->triangle, b->mean + a * b->pad, b->gram + a * b->triangle, b->b + a * b->pad };
}

/* Memory for the arms that there are, once dim is known. */
void bandit_take(struct bandit *b);
/* S and mean from the sums. -1: they are those of no data. */
int bandit_solve(struct bandit_gauss g, double lambda, size_t dim);

/* Measures features by what was observed so far, or as another bandit does; what arms learnt follows. */
void bandit_refit(struct bandit *b);
void bandit_refit_as(struct bandit *b, const struct bandit *other);

struct bandit_desk {
	const struct bandit *b;
	size_t n_context, n_arm;
	double *x;              /* [n_context][pad] */
	double *predicted, *variance;   /* [n_context][n_arm] */
	double *f;              /* S'x: [n_arm][pad], or of one arm if there is more than one context */
	int f_is_whole, is_scored;
	double *z, *w, *f0;     /* [k_pad] */
	double *drawn;          /* [n_arm] */
};

/* z of arm a, or for a hybrid model w = z - C'x, from x [pad]. */
void bandit_joint(const struct bandit *b, size_t a, const double *x, double *z);

/* Of drawing the largest from N(mean[i], (alpha^2 variance[i])), i < n: the probability that it is a. */
double bandit_largest(const double *mean, const double *variance, double alpha, size_t n, size_t a);

#endif
