/* What is foretold of the cells of an index, and how far down it has to be read. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/cells_inside.h"
#include "base/mem.h"

/* Share of the greatest that any cell is foretold: one far below it is sampled all the same, for what is foretold may be wrong. */
static const float TOLD_LEAST = 1e-35F;

/* Rows of a cell that have each the bonus of their run count as n exp(most / T): returns ln n. */
static double
log_n_bonus(const struct cells *c, size_t cell, double temperature, double *most)
{
	const struct pool_index *x = c->a->pool.index;
	double n = 0;

	for (size_t r = x->cell_run[cell]; r < x->cell_run[cell + 1]; r++) {
		double b = attend_bonus_of(&c->a->set, &c->a->query[c->i], c->a->pool.n_cluster, x->run_cluster[r]);
		*most = r == x->cell_run[cell] || b > *most ? b : *most;
	}
	for (size_t r = x->cell_run[cell]; r < x->cell_run[cell + 1]; r++) {
		double b = attend_bonus_of(&c->a->set, &c->a->query[c->i], c->a->pool.n_cluster, x->run_cluster[r]);
		n += (x->run_start[r + 1] - x->run_start[r]) * exp((b - *most) / temperature);
	}
	return log(n);
}

void
cells_foretell(struct cells *c, double temperature)
{
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	double steep = a->set.beta / temperature, sum[2];

	if (temperature == c->temperature)
		return;
	c->temperature = temperature;
	c->has_half = 0;
	c->most_told = -INFINITY;
	for (size_t k = 0; k < x->n_cell; k++) {
		double most = 0, log_n = a->query[c->i].bonus ? log_n_bonus(c, k, temperature, &most) : c->log_n[k];
		c->log_told[k] = log_n + most / temperature + pool_index_foretold(steep, c->u[k], c->v[k]);
		c->most_told = c->log_told[k] > c->most_told ? c->log_told[k] : c->most_told;
	}
	const struct kernel_pass how = attend_pass_at(0, c->most_told, 1);
	a->kernel->weigh(&how, c->u, c->log_told, x->n_cell, c->told, NULL, sum);
	memset(c->in_bin, 0, CELLS_BIN * sizeof *c->in_bin);
	memset(c->all, 0, sizeof c->all);
	for (size_t k = 0; k < x->n_cell; k++) {
		double l = (c->most_told - c->log_told[k]) * CELLS_PER_NAT, n = x->start[k + 1] - x->start[k];
		c->bin[k] = (uint16_t)(l < CELLS_BIN - 1 ? l : CELLS_BIN - 1);
		c->told[k] = fmaxf(c->told[k], TOLD_LEAST);
		c->in_bin[c->bin[k]][0] += c->told[k];
		c->in_bin[c->bin[k]][2] += n;
		c->all[2] += n;
	}
}

/* The same at half the sharpness. */
static void
foretell_half(struct cells *c)
{
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	double *l = xmalloc(x->n_cell, sizeof *l), steep = a->set.beta / c->temperature, top = -INFINITY, sum[2];

	for (size_t k = 0; k < x->n_cell; k++) {
		double most = 0, log_n = a->query[c->i].bonus ? log_n_bonus(c, k, c->temperature, &most) : c->log_n[k];
		l[k] = log_n + .5 * most / c->temperature + pool_index_foretold(.5 * steep, c->u[k], c->v[k]);
		top = l[k] > top ? l[k] : top;
	}
	const struct kernel_pass how = attend_pass_at(0, top, 1);
	a->kernel->weigh(&how, c->u, l, x->n_cell, c->told_half, NULL, sum);
	for (size_t k = 0; k < x->n_cell; k++) {
		c->told_half[k] = fmaxf(c->told_half[k], TOLD_LEAST);
		c->in_bin[c->bin[k]][1] += c->told_half[k];
		c->all[1] += c->told_half[k];
	}
	c->has_half = 1;
	free(l);
}

/* Of the sorted values of one kind of probes, that which a new one is below with a chance of at most alpha, if it is as they
   are; beyond what so many can tell, the chance is taken to fall with the value. */
static double
quantile(const float *sorted, double alpha)
{
	double k = floor(alpha * (POOL_INDEX_PROBES + 1));

	return k >= 1 ? sorted[k < POOL_INDEX_PROBES ? (size_t)k - 1 : POOL_INDEX_PROBES - 1] :
	    sorted[0] * alpha * (POOL_INDEX_PROBES + 1);
}

int
cells_add_limits(const struct cells *c, double temperature, size_t share, double alpha, struct limits *to)
{
	const struct pool_index *x = c->a->pool.index;
	double g = floor(2 * log2(c->a->set.beta * c->length / temperature / POOL_INDEX_SHARP_FIRST));

	if (!(g >= 0 && g + 1 < POOL_INDEX_SHARPS))
		return -1;
	for (size_t k = (size_t)g; k < (size_t)g + 2; k++) {
		size_t at = share < POOL_INDEX_SHARES ? k * POOL_INDEX_SHARES + share : k;
		const float *sorted = (share < POOL_INDEX_SHARES ? x->level : x->found) + at * POOL_INDEX_KINDS * POOL_INDEX_PROBES;
		double level = INFINITY;
		for (size_t kind = 0; kind < POOL_INDEX_KINDS; kind++)
			level = fmin(level, quantile(sorted + kind * POOL_INDEX_PROBES, alpha));
		to->rule[to->n] = x->rule[k * (POOL_INDEX_SHARES + 1) + share];
		to->level[to->n++] = level;
	}
	return 0;
}

/* What is left, by each rule; all: of what it is a share. */
struct rest {
	double left[POOL_INDEX_RULES], all[POOL_INDEX_RULES];
};

static int
is_within(const struct limits *limits, const struct rest *rest, const double *more, double deeper)
{
	for (size_t k = 0; k < limits->n; k++) {
		unsigned r = limits->rule[k];
		if (!(rest->left[r] + (more ? more[r] : 0) <= deeper * limits->level[k] * rest->all[r]))
			return 0;
	}
	return 1;
}

int
cells_read_down_to(struct cells *c, const struct limits *limits, double deeper, double mass)
{
	const struct pool_index *x = c->a->pool.index;
	size_t n_more = 0, bin = CELLS_BIN, n_cell = 0;

	for (size_t k = 0; k < limits->n; k++)
		if (limits->rule[k] == 1 && !c->has_half)
			foretell_half(c);
	struct rest rest = { {0}, { mass, c->all[1], c->all[2] } };
	for (; bin > 0 && is_within(limits, &rest, c->in_bin[bin - 1], deeper); bin--)
		for (size_t r = 0; r < POOL_INDEX_RULES; r++)
			rest.left[r] += c->in_bin[bin - 1][r];
	for (size_t k = 0; k < x->n_cell; k++) {
		c->cell[n_cell] = (uint32_t)k;
		n_cell += (c->bin[k] < bin) & !c->is_read[k];
	}
	for (size_t k = 0; k < n_cell; k++)
		n_more += x->start[c->cell[k] + 1] - x->start[c->cell[k]];
	if ((double)(c->n + n_more) > cells_read_most(c->a))
		return 0;
	for (size_t k = 0; k < n_cell; k++)
		cells_plan(c, c->cell[k]);
	return cells_read(c) < 0 ? -1 : 1;
}
