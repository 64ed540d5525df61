/*
 * table.h - the numbers that hare-eval(1) reports: one row for each, all tables in one
 *
 *   columns  table, system, against, measure, block, value, error, n; value and error are rounded to 1e-6, an error that
 *            does not exist is an empty cell
 */
#ifndef HARE_EVAL_TABLE_H
#define HARE_EVAL_TABLE_H

#include <stddef.h>

#include "base/fault.h"
#include "record/record.h"

struct eval_line {
	const char *table, *system, *against, *measure, *block;         /* NULL: empty */
	double value, error;            /* NAN: an empty cell */
	size_t n;                       /* what value is the mean of; 0: an empty cell */
};

/* Keeps what is put, for plots, beside writing it. */
struct eval_table {
	struct record_out *out;         /* NULL: only kept */
	struct record_row row;
	struct eval_line *line;         /* [n_line], texts are owned */
	size_t n_line, n_line_max;
	char **text;                    /* [n_text], each different one once */
	size_t n_text, n_text_max;
};
int eval_table_open(struct eval_table *t, struct fault *f);
int eval_table_put(struct eval_table *t, struct eval_line line, struct fault *f);
/* Frees all but out, which record_out_close() ends. */
void eval_table_free(struct eval_table *t);

/* Mean and standard error of value[n]; entries that are NAN are left out; error is NAN for fewer than 2. Returns how
   many entered. */
size_t eval_mean(const double *value, size_t n, double *mean, double *error);

#endif
