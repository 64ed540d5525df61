/*
 * learn.h - rewards into the state: what of a user's events becomes beliefs, exactly once
 *
 *   values     kind "user", key the user: a belief (belief.h). Kind "cluster", key the number of the cluster in decimal:
 *              a belief_cluster. Settings in the state's meta: those of struct learn_settings, by these names
 *   buffer     events wait in memory, no lock held; then each user is read, learnt and written once, in the order of
 *              keys, and committed with the position of the input. What is learnt depends on the order of the events
 *              alone, never on where the buffer was emptied
 *   query      with feature "item" a belief has dim + 1 numbers for each observation: [f ; x'f], x the query that the item
 *              was an answer to, 0 without one (belief.h)
 *   clusters   an event that carries the query x, and the cluster c of the item that was shown, adds q q' to the
 *              cluster's covariance, q = unit(v x + gain m), m the mean of the user before the event and v its weight of the
 *              query, belief_query_weight()
 */
#ifndef HARE_LEARN_LEARN_H
#define HARE_LEARN_LEARN_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "belief/belief.h"
#include "record/record.h"
#include "state/state.h"

/* Fixed when a state first learns. */
struct learn_settings {
	size_t dim;                     /* 0: the state has not learnt yet */
	char space[33];                 /* id of the embedding space; "" for features that come from no MODEL */
	char feature[8];                /* "item", "z" or "x" */
	char clock[8];                  /* unit of times and half_life: "event", the user's own count, or "time", seconds */
	double gain;                    /* of the user's mean beside the query, in clusters */
	struct belief_prior prior;      /* has_query follows from feature: learn_settle() */
};

/* To be called when feature, gain or prior were set by hand. */
void learn_settle(struct learn_settings *set);
/* Numbers of an observation in a belief: dim, or dim + 1. */
size_t learn_belief_dim(const struct learn_settings *set);

/* 1; 0 with dim = 0 and the defaults of a MODEL if it has none yet; -1 with *f set. */
int learn_settings(struct state *s, struct learn_settings *set, struct fault *f);
extern const char *const learn_setting_names[]; /* as in the state's meta, in order, ended by NULL */
/* Within a transaction. */
int learn_set_settings(struct state *s, const struct learn_settings *set, struct fault *f);
/* 0, also if either has not learnt yet; -1 with *f set (EX_DATAERR) to the first setting that differs, both named. */
int learn_same_settings(const struct learn_settings *a, const char *a_name, const struct learn_settings *b, const char *b_name, struct fault *f);
/* The state's embedding space is this one, or it has not learnt yet; else -1 with both named. */
int learn_check_space(const struct learn_settings *set, const char *state_name, const char *space, const char *space_name, struct fault *f);

/* -- events -- */

struct learn;
/* Borrows s, opened for writing. The state's own settings, if it has some, must be set (EX_DATAERR naming whose:
   set_name). n_cluster: how many the codebook has; 0: no cluster learns. The buffer takes about buffer_bytes. */
struct learn *learn_new(struct state *s, const struct learn_settings *set, const char *set_name, size_t n_cluster,
    size_t buffer_bytes, struct fault *f);
void learn_free(struct learn *l);       /* NULL is allowed; what was not committed is gone */

struct learn_event {
	struct span user;
	struct span id;                 /* at = NULL: it has none; else it is learnt only if no event of this id ever was */
	const float *f;                 /* [dim] */
	double reward;
	double time;                    /* not looked at when the clock is "event" */
	const float *x;                 /* [dim], the query, of a length below 1e12; NULL: none */
	size_t cluster;                 /* of the item shown; read if x is not NULL and there are clusters */
};
/* Copies the event. 1 if the buffer is now full: commit before the next one. All must be finite, and reward within
   BELIEF_REWARD_MAX (assert). */
int learn_add(struct learn *l, const struct learn_event *e);
size_t learn_n_waiting(const struct learn *l);
/* Learns what waits, in one transaction with the position: source NULL has none; was: where the reading began after
   the last commit, n_row = 0 for a source that is new. EX_TEMPFAIL if another program moved it meanwhile, was busy or
   the disk is full: nothing is changed, and the same run may be repeated. After -1 only learn_free() is
   left, for the events that wait have been worked upon. The settings are written with the first. */
int learn_commit(struct learn *l, const char *source, const struct state_source *was, const struct state_source *now, struct fault *f);
uint64_t learn_n_learnt(const struct learn *l);         /* events committed */
uint64_t learn_n_repeated(const struct learn *l);       /* events passed over for their id */

/* -- fingerprints: has what was read of a file changed under its name? -- */

/* Of the first 4 kB and the last 256 bytes in front of a position, and the position. */
struct learn_trace;
struct learn_trace *learn_trace_new(const char *path, struct fault *f); /* path NULL: bytes are given by learn_trace_feed() */
void learn_trace_free(struct learn_trace *t);           /* NULL is allowed */
void learn_trace_feed(struct learn_trace *t, const void *at, size_t n);
/* Reads on to a position of the unpacked file; positions only grow. EX_DATAERR if it ends before. */
int learn_trace_to(struct learn_trace *t, uint64_t offset, struct fault *f);
uint64_t learn_trace_fingerprint(const struct learn_trace *t);

/* -- whole states -- */

/* The sum of all parts into out, which must be new. In any order of the parts the same beliefs. EX_DATAERR, with both
   named, if parts differ in a setting, share an origin (a copy, a part merged before), a source or an event. O(users)
   time, in the memory of one belief for each part. Each part is read as of one commit; it must not be in a transaction. */
int learn_merge(struct state *out, struct state *const *part, size_t n_part, struct fault *f);

/* As records (hare-state(1) has the columns), the same bytes for the same beliefs. *out is opened here, and is the
   caller's to close even when -1 comes back. */
struct learn_how {
	int mean;               /* what is believed instead of what was seen */
	int all;                /* identity, lineage, sources and events too */
	int text;               /* numbers in decimal instead of base64 */
};
enum { LEARN_N_DUMP = 7 };
extern const char *const learn_dump_names[LEARN_N_DUMP];
int learn_dump(struct state *s, const struct learn_how *how, int n_user, char *const *user, struct record_out **out, struct fault *f);
/* Takes a dump into a new state, in one transaction. */
int learn_load(struct state *s, struct record_in *in, struct fault *f);
/* Every value is what its kind says, beyond the checksums of state_check(). */
int learn_check(struct state *s, struct fault *f);

#endif
