/*
 * filter.h - what the ends of all filters have in common
 *
 * A program linked with it also shows progress, without doing anything for it: where stderr is a terminal and stdout
 * is none, a line with rows, rate and time left, once a second from the second on; and one line for each SIGUSR1.
 */
#ifndef HARE_CMD_FILTER_H
#define HARE_CMD_FILTER_H

#include "base/fault.h"
#include "base/opt.h"
#include "record/record.h"

/* Ends a filter: prints f when status is not EX_OK, reports rows that --skip-bad passed over, closes out, in and
   stdout. Returns what main should return. in and out may be NULL. */
int filter_finish(struct record_in *in, struct record_out *out, int status, const struct fault *f);

/* Of that, the rows that --skip-bad passed over: for programs that close one input and open another. */
void filter_tell_bad(struct record_in *in);

/* "-p part.*" leaves all but the first of the shell's names among the operands: those that are safetensors files, which
   no records can be, are moved to pools in their order. Only behind a -p; the number of operands that are left. */
int filter_take_pools(struct opt_list *pools, int n_operand, char **operand);

/* Seconds by a clock that is never set. */
double filter_now_s(void);

#endif
