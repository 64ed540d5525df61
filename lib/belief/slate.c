#include "belief/slate.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

/* The reward of row k was 0. */
static void
condition(struct belief_slate *s, size_t k, double *gain)
{
	size_t n = s->n;
	double spread = s->cov[k * n + k] + s->noise_var, error = -s->base_rate - s->mean[k];

	for (size_t i = 0; i < n; i++)
		gain[i] = s->cov[k * n + i] / spread;
	for (size_t i = 0; i < n; i++) {
		double g = gain[i] * spread;
		s->mean[i] += gain[i] * error;
		for (size_t j = 0; j < n; j++)
			s->cov[i * n + j] -= g * gain[j];
	}
}

size_t
belief_slate(struct belief_slate *s, size_t n_pick, size_t *pick)
{
	unsigned char *taken = xcalloc(s->n, 1);
	double *gain = xmalloc(s->n, sizeof *gain);
	size_t n_picked = 0;

	for (size_t p = 0; p < n_pick; p++) {
		int fresh = s->is_old && p + s->n_fresh >= n_pick;
		double most = -INFINITY;
		size_t best = SIZE_MAX;

		for (size_t j = 0; j < s->n; j++) {
			if (taken[j] || (fresh && s->is_old[j]))
				continue;
			double v = s->cov[j * s->n + j];
			double score = (s->rest ? s->rest[j] : 0) + s->mean[j] + s->explore * sqrt(v > 0 ? v : 0);
			if (score > most) {
				most = score;
				best = j;
			}
		}
		if (best == SIZE_MAX)
			break;
		taken[best] = 1;
		pick[n_picked++] = best;
		if (p + 1 < n_pick)
			condition(s, best, gain);
	}
	free(taken);
	free(gain);
	return n_picked;
}
