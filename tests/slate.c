/* Rows to be shown together, against a twin that conditions on all of them at once. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "belief/slate.h"
#include "claim.h"
/* The same picks, by solving for all rewards of 0 so far at once instead of one after the other. */
static size_t
slow_slate(const struct belief_slate *s, size_t n_pick, size_t *pick)
{
	size_t n = s->n, m = 0;

	for (size_t p = 0; p < n_pick; p++) {
		long double a[8][9];
		double best = -INFINITY;
		size_t at = SIZE_MAX;
		for (size_t j = 0; j < n; j++) {
			int skip = s->is_old && p + s->n_fresh >= n_pick && s->is_old[j];
			for (size_t i = 0; i < m; i++)
				skip |= pick[i] == j;
			if (skip)
				continue;
			/* k'(C + noise I)^-1 [error, k] by elimination */
			long double mean = s->mean[j], var = s->cov[j * n + j];
			for (int which = 0; which < 2; which++) {
				for (size_t r = 0; r < m; r++) {
					for (size_t c = 0; c < m; c++)
						a[r][c] = s->cov[pick[r] * n + pick[c]] + (r == c ? s->noise_var : 0);
					a[r][m] = which ? s->cov[pick[r] * n + j] : -s->base_rate - s->mean[pick[r]];
				}
				for (size_t r = 0; r < m; r++)
					for (size_t q = 0; q < m; q++)
						if (q != r) {
							long double f = a[q][r] / a[r][r];
							for (size_t c = 0; c <= m; c++)
								a[q][c] -= f * a[r][c];
						}
				for (size_t r = 0; r < m; r++) {
					long double k = s->cov[pick[r] * n + j], y = a[r][m] / a[r][r];
					if (which)
						var -= k * y;
					else
						mean += k * y;
				}
			}
			double score = (double)(s->rest[j] + mean + s->explore * sqrtl(var > 0 ? var : 0));
			if (score > best) {
				best = score;
				at = j;
			}
		}
		if (at == SIZE_MAX)
			break;
		pick[m++] = at;
	}
	return m;
}

static void
test_slate(void)
{
	enum { N = 30, D = 5, PICK = 5 };
	size_t n_same = 0, n_trial = 200, n_fresh = 0, n_old_late = 0;

	for (size_t t = 0; t < n_trial; t++) {
		struct rng r = rng_at(21, t);
		double f[N][D], rest[N], mean[N], again[N], cov[N * N], twin[N * N];
		unsigned char old[N];
		size_t pick[PICK], slow[PICK];
		for (size_t i = 0; i < N; i++) {
			rest[i] = .1 * rng_normal(&r);
			mean[i] = again[i] = .2 * rng_normal(&r);
			old[i] = rng_uniform(&r) < .5;
			for (size_t d = 0; d < D; d++)
				f[i][d] = .3 * rng_normal(&r);
		}
		for (size_t i = 0; i < N; i++)
			for (size_t j = 0; j < N; j++) {
				double k = 0;
				for (size_t d = 0; d < D; d++)
					k += f[i][d] * f[j][d];
				cov[i * N + j] = twin[i * N + j] = k;
			}
		struct belief_slate s = { N, rest, mean, cov, .03, .05, (double)(t % 3), t % 2 ? old : NULL, t % 4 };
		struct belief_slate u = s;
		u.mean = again;
		u.cov = twin;
		size_t m = slow_slate(&u, PICK, slow), n = belief_slate(&s, PICK, pick);
		int same = n == m;
		for (size_t i = 0; i < n && same; i++)
			same = pick[i] == slow[i];
		n_same += (size_t)same;
		if (s.is_old)
			for (size_t i = PICK - s.n_fresh; i < n; i++) {
				n_fresh++;
				n_old_late += old[pick[i]];
			}
	}
	claim(n_same == n_trial, "a slate is that of its slow twin (%zu of %zu)", n_same, n_trial);
	claim(n_fresh > 0 && n_old_late == 0, "no old row stands in a fresh place (%zu places)", n_fresh);
	double mean[2] = { .5, .4 }, cov[4] = { 1, 1, 1, 1 };
	unsigned char old[2] = { 1, 1 };
	size_t pick[2];
	struct belief_slate s = { 2, NULL, mean, cov, 0, .1, 0, old, 1 };
	claim(belief_slate(&s, 2, pick) == 1 && pick[0] == 0, "where all are old the fresh place stays empty");
}

int
main(void)
{
	test_slate();
	return claim_n_failed > 0;
}
