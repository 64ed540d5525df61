/*
 * attend_job.h - what the files of hare-attend share
 */
#ifndef HARE_CMD_ATTEND_JOB_H
#define HARE_CMD_ATTEND_JOB_H

#include <stddef.h>
#include <stdint.h>

#include "attend/attend.h"
#include "base/fault.h"
#include "belief/belief.h"
#include "model/model.h"
#include "pool/pool.h"
#include "record/record.h"
#include "state/state.h"
#include "tensor/tensor.h"

/* What is to come out. */
extern struct attend_wish {
	const char *text_name;
	size_t n_choose;
	uint64_t seed;
	int explain, no_z, as_list, has_certificate, has_confidence;
} attend_wish;

/* What the state tells of the people of a batch. */
struct person {
	struct span name;
	uint64_t hash;
	int is_known;
	struct belief *belief;
	struct belief_posterior *posterior;
	struct fault fault;
	int failed;
};

struct attending {
	struct model *model;
	struct pool *pool;
	struct pool_index index;        /* of --delta */
	int has_index;
	struct state *state;            /* NULL: not given, or not there yet */
	int has_learnt;                 /* the state has settings, and they are those used */
	struct belief_prior prior;
	size_t belief_dim;
	struct attend_settings set;
	struct attend *attend;
	struct record_in *in;
	struct record_out *out;
	struct npy_writer *npy;
	double *mean;                   /* [dim], the model's: what the features of beliefs are counted from */
	int x_column, user_column;      /* -1: none */
	size_t text_column;
	size_t n_batch;                 /* rows at once */
	size_t n_asked, n_known, n_exact, n_by_index;   /* queries so far, of known users, that read all rows, or by the index */
	struct pool_whole whole;        /* that the pool is a shard of, or is itself */
	struct partial *partial;        /* attend_partial.c's */
	const char *passes;             /* [records of the batch], 0: is no query; NULL: all are */
	struct belief_cluster **cluster;        /* [n_cluster], NULL for one without observations */
	size_t n_cluster;
	int has_bonus;
	uint64_t generation;            /* commits of the state when clusters were read, plus one; 0: not yet */
	/* the batch at hand */
	size_t n_query, n_person;
	size_t *row;                    /* [n_batch], the record of a query */
	float *x;                       /* [n_batch][dim] */
	double *bonus;                  /* [n_batch][n_cluster] */
	struct person *person;          /* [n_batch] */
	struct person **by_name;        /* [n_slot], open addressing */
	size_t n_slot;
	struct attend_query *query;     /* [n_batch] */
	struct attend_result *result;   /* [n_batch] */
	struct record_row *cells;       /* [n_batch] */
	float *aim;                     /* [n_thread][dim] */
	double *scratch;                /* [n_thread][dim] */
	size_t *chosen;                 /* [n_batch][n_choose], rows drawn */
	double *propensity;             /* [n_batch][n_choose] */
	size_t *n_chosen;               /* [n_batch] */
};

/* The results of the batch at hand, in the order of their records. */
int attending_emit(struct attending *a, struct fault *f);

/* The queries of the batch, and then what is known of who asks; -1 with *f set. */
int attending_read_queries(struct attending *a, size_t n, struct fault *f);
int attending_ask_state(struct attending *a, struct fault *f);

/* --partial and --merge; name [n_name] are the columns that an answer has. */
int attending_open_partial(struct attending *a, int merge, int no_x, const char *const *name, size_t n_name, struct fault *f);
int attending_all_partial(struct attending *a, struct fault *f);
void attending_partial_free(struct attending *a);

/* The rows of a pool as attention reads them. */
struct attend_pool attending_pool(struct pool *p, const double *mean);

#endif
