#include <math.h>

#include "belief/solved.h"

/*
 * Rewards may be marks, of 0 and 1, or grades. With p and q the means of r and r^2, and beside them a tenth of a mark that is
 * 1 with the chance base_rate,
 *	share of marks = (q - p^2) / (p - p^2)
 * the variance of the rewards by that of marks of the same mean: the dispersion of a binomial model (McCullagh and Nelder,
 * Generalized Linear Models (1989), section 4.5). Of marks r^2 = r, so q = p and the share is 1, to the last bit.
 */
double
belief_share_marks(const struct belief *b, const struct belief_prior *prior)
{
	double all = .1, p = .1 * prior->base_rate, q = .1 * prior->base_rate;

	if (b->is_sums) {
		all += b->sum[0];
		p += b->sum[1];
		q += b->sum[2];
	} else {
		for (size_t i = 0; i < b->n; i++) {
			struct observation o = belief_at(b, i);
			double w = belief_weight(b->last - o.time, prior->half_life);
			all += w;
			p += w * o.reward;
			q += w * o.reward * o.reward;
		}
	}
	p /= all;
	q /= all;
	if (!(p > 0 && p < 1 && q < p && q > p * p))
		return 1;
	return (q - p * p) / (p - p * p);
}
