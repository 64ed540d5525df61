/*
 * model.h - the MODEL file: the embedding space and the constants that attention and learning share
 *
 * The file (hare-model(5)) also holds what makes the vectors (vocabulary, weights, ...), which is the business of
 * lib/embed: it reads it from the file.
 */
#ifndef HARE_MODEL_MODEL_H
#define HARE_MODEL_MODEL_H

#include <stddef.h>

#include "base/fault.h"
#include "belief/belief.h"
#include "tensor/tensor.h"

enum { MODEL_DIM_MAX = 65536 };         /* the covariance of a user takes dim^2 numbers */

struct model {
	char space[33];                 /* id of the embedding space: hash of what defines its vectors */
	size_t dim;                     /* of a vector, at most MODEL_DIM_MAX */
	size_t n_cluster;
	const float *centre;            /* [n_cluster][dim], unit rows: the codebook */
	const float *mean;              /* [dim], xbar of the texts it was fitted on */
	double gain;                    /* g: weight of the user's mean beside the query */
	double widening;                /* kappa */
	double bonus;                   /* alpha / beta */
	double beta;                    /* scale of the logits; 0: by the pool, attend_beta() */
	double query_share;             /* of what the query adds to a logit, the part that foretells rewards; 0: queries are not
	                                   heard by beliefs. query_mean = share / gain */
	struct belief_prior prior;      /* of users, learnt from items and queries */
	const char *source;             /* "tfidf", "vectors" or "endpoint" */
	struct tensor_file *file;
};

/* The constants of an untrained model: gain 2, widening .2, bonus .2, lambda 100, noise_var .05, base_rate .01,
   half_life 0, query_share .8, query_var .1, query_least .25: of each user is learnt how much queries say, apart */
void model_defaults(struct model *m);

/* What is told above is verified; who reads other tensors of the file verifies these, as embed_open() does. NULL with *f set. */
struct model *model_open(const char *path, struct fault *f);
/* The MODEL that lies within another file, as the tensor "model" of its bytes; outer must outlive it. */
struct model *model_open_within(struct tensor_file *outer, struct fault *f);
void model_close(struct model *m);      /* NULL is allowed */

/* For fit: declares what is above in a file that lib/embed goes on to fill: metadata at once; the tensors "centre"
   and "mean" are declared here and must be put first, by model_put(). */
void model_declare(struct tensor_writer *w, const struct model *m);
int model_put(struct tensor_writer *w, const struct model *m, struct fault *f);

/* Nearest centre by inner product, lowest index on a tie. Sums run in double in a fixed order, so that the cluster of a
   vector is the same on every machine. */
size_t model_cluster(const struct model *m, const float *x);

#endif
