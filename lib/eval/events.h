/*
 * events.h - what a replay reads: events of users, what is relevant to each, candidates
 *
 *   files    CSV with a header, gzip recognised, read by record.h: events event,user,query (or, instead of query, x: a
 *            vector, as text cannot be embedded here when a server makes the vectors); relevance event,item; items item
 *   order    users in the order in which they first come; the steps of a user in the order of the file
 *   errors   an event or item that is not known is named with its file and line (EX_DATAERR)
 */
#ifndef HARE_EVAL_EVENTS_H
#define HARE_EVAL_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/names.h"
#include "embed/embed.h"
#include "eval/run.h"
#include "pool/pool.h"

/* Rows of the pool that are candidates, and back. */
struct eval_items {
	size_t *row;                    /* [n], of the pool */
	size_t n;
	uint32_t *of_row;               /* [pool_n], candidate plus one */
};
/* path NULL: the whole pool. 0, or -1 with *f set; to be ended by eval_items_free() in either case. */
int eval_items_read(struct eval_items *items, const char *path, struct pool *pool, struct fault *f);
void eval_items_free(struct eval_items *items);

/* Query vectors of all files of a run, each different query once. */
struct eval_queries {
	const struct embed *embed;
	struct embed_scratch *scratch;  /* made when first needed */
	size_t dim;
	struct names text;              /* the words, or where x was read the numbers */
	int is_vector;                  /* x was read of one of the files */
	float *x;                       /* [text.n][dim] */
	size_t n_x_max;
};
void eval_queries_free(struct eval_queries *q);

struct eval_events {
	struct names event, user;
	struct eval_task task;          /* its arrays are these: */
	size_t *first, *event_of;       /* [n_user + 1], [n_step]: number of the event */
	uint32_t *query;
	size_t *user_of;                /* [n event] */
	uint32_t *query_of;             /* [n event] */
	size_t *rel_first;              /* [n event + 1] */
	uint32_t *rel;                  /* candidates, ascending for each event */
};
/* 0, or -1 with *f set; to be ended by eval_events_free() in either case. Relevant items that are no candidates can
   never be shown and are passed over. */
int eval_events_read(struct eval_events *e, const char *events, const char *relevance, struct pool *pool,
    const struct eval_items *items, struct eval_queries *queries, struct fault *f);
void eval_events_free(struct eval_events *e);
/* Queries moved towards what others clicked: query [n_query][dim] of the space becomes unit(x + weight m), m the mean of the
   candidates that were clicked in events of e with the very same query, where there were any. path: event,item. The
   result, to be freed; NULL with *f set. */
float *eval_clicks_move(const struct eval_events *e, const char *path, struct pool *pool, const struct eval_items *items,
    const struct eval_space *space, double weight, struct fault *f);
/* At most n users, drawn by the seed, as a task of its own; first and query become its arrays, to be freed. */
struct eval_task eval_events_sample(const struct eval_events *e, size_t n, uint64_t seed);
void eval_sample_free(struct eval_task *t);

#endif
