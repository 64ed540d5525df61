/*
 * plot.h - figures for gnuplot(1): the numbers as NAME.dat and how to draw them as NAME.gp, which makes NAME.svg and
 *          NAME.png beside them
 */
#ifndef HARE_EVAL_PLOT_H
#define HARE_EVAL_PLOT_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "eval/run.h"
#include "eval/table.h"

struct eval_figure {
	const char *folder, *name;      /* of the files */
	const char *title, *x_name, *y_name;
};

/* A line with a band of one standard error for each system that has rows of this table and measure (NULL: any), x being
   the block as a number; without ablations unless with_ablations. Returns how many lines, 0: nothing was written; -1 with
   *f set. */
int eval_plot_lines(const struct eval_figure *figure, const struct eval_table *t, const char *table, const char *measure,
    int with_ablations, struct fault *f);

enum { HEAT_ITEMS = 40, HEAT_USERS = 40 };
/* Attention of the first users at their end to one query: users x the candidates with the most attention over all of
   them, by cluster. label: the name of a candidate. */
struct eval_labels {
	struct span (*label)(const void *arg, uint32_t row);
	const void *arg;
};
int eval_plot_heat(const struct eval_figure *figure, const struct eval_run *r, const struct eval_space *space,
    struct eval_labels labels, struct fault *f);

#endif
