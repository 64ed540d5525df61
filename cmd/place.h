/*
 * place.h - where an input is in a state: what makes learning from a named file happen once
 *
 * An input has a name: that of --source, or the path of a regular file. Its position is committed with what was learnt
 * up to there, and so is a fingerprint of its bytes; a run begins behind the rows learnt before, and refuses an input
 * that is no longer the one it was.
 */
#ifndef HARE_CMD_PLACE_H
#define HARE_CMD_PLACE_H

#include "base/fault.h"
#include "learn/learn.h"
#include "record/record.h"
#include "state/state.h"

struct place {                  /* {0} is that of an input without a name */
	char *source;                   /* its name, or NULL */
	int is_file;                    /* the trace reads the file itself, else it is given the rows */
	struct learn_trace *trace;
	struct state_source at, done;   /* committed; read */
};

/* Of the input just opened as in; path NULL is stdin, name that of --source or NULL. Goes on behind what the state has
   learnt of it: 0, or -1 with *f set. End it with place_end(), also on failure. */
int place_begin(struct place *p, struct record_in *in, const char *path, const char *name, struct state *state,
    const char *state_name, struct fault *f);
void place_end(struct place *p);
/* Row i of the batch was read. */
void place_read(struct place *p, const struct record_in *in, size_t i);
/* Before a commit: done gets its fingerprint and time. 0, or -1 with *f set. */
int place_mark(struct place *p, struct fault *f);

#endif
