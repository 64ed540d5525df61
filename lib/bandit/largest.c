#include "bandit/inside.h"

#include <math.h>

/* Standard deviations of a normal beyond which there is nothing in a double. */
static const double FAR = 8.5;

/* Of all other draws being below s. */
static double
all_below(const double *mean, const double *variance, double alpha, size_t n, size_t a, double s)
{
	double p = 1;

	for (size_t i = 0; i < n && p > 0; i++) {
		double off = s - mean[i], sd = alpha * sqrt(variance[i]);
		if (i == a || off >= FAR * sd)
			continue;
		p *= off <= -FAR * sd && off < 0 ? 0 : 0.5 * erfc(-off / (sd * M_SQRT2));
	}
	return p;
}

/* The integral over t of phi(t) prod over i of Phi((mean_a + sd_a t - mean_i) / sd_i), by the trapezoidal rule, whose
   error for such functions falls faster than any power of the step; the step is halved until nothing changes. */
double
bandit_largest(const double *mean, const double *variance, double alpha, size_t n, size_t a)
{
	double sd = alpha * sqrt(variance[a]), step = 0.5, sum = 0, was = -1, p = 0;

	if (!(sd > 0)) {
		/* no chance in it: what the others' draws leave */
		return all_below(mean, variance, alpha, n, a, mean[a]);
	}
	for (int round = 0; round < 10; round++, step /= 2) {
		for (double t = round ? -FAR + step : -FAR; t <= FAR; t += round ? 2 * step : step) {
			double below = all_below(mean, variance, alpha, n, a, mean[a] + sd * t);
			sum += exp(-0.5 * t * t) * below;
		}
		p = sum * step / sqrt(2 * M_PI);
		if (round > 0 && fabs(p - was) <= 1e-12 + 1e-11 * p)
			break;
		was = p;
	}
	/* what was drawn had some chance */
	return p > 1 ? 1 : p < 1e-300 ? 1e-300 : p;
}
