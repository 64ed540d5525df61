/* Single weights of a query, and draws by them. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attend/inside.h"
#include "base/mem.h"

/* Weights one after the other: of all rows, or of those that were read. */
static size_t
n_weight(const struct attend *a, size_t i)
{
	return a->sparse[i].is_sparse ? a->sparse[i].n : a->pool.n_row;
}

static float *
weight_of(const struct attend *a, size_t i, size_t k)
{
	return a->sparse[i].is_sparse ? a->sparse[i].weight + k : attend_weight_at(a, i, k);
}

double
attend_weight(const struct attend *a, size_t i, size_t row)
{
	if (!a->sparse[i].is_sparse)
		return *attend_weight_at(a, i, row) / a->sum[i];
	for (size_t k = 0; k < a->sparse[i].n; k++)
		if (a->sparse[i].row[k] == row)
			return a->sparse[i].weight[k] / a->sum[i];
	return 0;
}

void
attend_weights_of(const struct attend *a, size_t i, double *weight)
{
	if (a->sparse[i].is_sparse)
		memset(weight, 0, a->pool.n_row * sizeof *weight);
	for (size_t k = 0; k < n_weight(a, i); k++)
		weight[a->sparse[i].is_sparse ? a->sparse[i].row[k] : k] = *weight_of(a, i, k) / a->sum[i];
}

size_t
attend_choose(struct attend *a, size_t i, struct rng *r, size_t n, size_t *row, double *propensity)
{
	float *taken = xmalloc(n, sizeof *taken);
	double rest = a->sum[i];
	size_t n_chosen = 0, n_all = n_weight(a, i);

	while (n_chosen < n) {
		double until = rng_uniform(r) * rest, sum = 0;
		size_t at = SIZE_MAX;
		/* Rounding may leave sum just below until at the end: then the last row with a weight it is. */
		for (size_t k = 0; k < n_all && sum < until; k++) {
			float w = *weight_of(a, i, k);
			if (w > 0) {
				at = k;
				sum += w;
			}
		}
		if (at == SIZE_MAX)
			break;
		float *weight = weight_of(a, i, at);
		row[n_chosen] = at;
		propensity[n_chosen] = fmin(1, *weight / rest);
		taken[n_chosen++] = *weight;
		*weight = 0;
		if (n_chosen == n)
			break;
		/* Summed again: what is left may be too small to be had by subtracting. */
		rest = 0;
		for (size_t k = 0; k < n_all; k++)
			rest += *weight_of(a, i, k);
	}
	for (size_t c = 0; c < n_chosen; c++) {
		*weight_of(a, i, row[c]) = taken[c];
		row[c] = a->sparse[i].is_sparse ? a->sparse[i].row[row[c]] : row[c];
	}
	free(taken);
	return n_chosen;
}
