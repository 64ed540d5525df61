/*
 * Is what is foretold right? A reward is 0 or 1, so one alone lies in no interval; counts do.
 *
 *   one step   n rows are shown, foretold to be worth m_i on average, give or take s_i. With e ~ N(0, 1) common to the rows
 *              of a step (they are of one belief), p_i = clip(m_i + d_i + s_i e, 0, 1), where d_i is such that the mean of
 *              p_i is m_i (itself clipped) again; given e, rewards are independent. e is integrated over N_NODE points
 *   a group    CALIBRATION_STEPS steps of one user: each step was foretold knowing those before, so counts of steps are
 *              added as independent ones (prequential: Dawid, Statistical Theory, 1984)
 *   covered    with F the distribution of the group's count T, the central interval of level q is (1 - q) / 2 < u <
 *              (1 + q) / 2 for u uniform in (F(T - 1), F(T)); what is reported is the mean probability of that, which is q
 *              for a system that foretells rightly, however few rewards there are
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/measure.h"

const double eval_level[CALIBRATION_LEVELS] = { .5, .8, .95 };

/* Gauss-Hermite, 9 points, for a standard normal: the nodes are symmetric. */
enum { N_NODE = 9 };
static const double node[N_NODE] = { -4.512745863399783, -3.205429002856470, -2.076847978677830, -1.023255663789133, 0,
    1.023255663789133, 2.076847978677830, 3.205429002856470, 4.512745863399783 };
static const double weight[N_NODE] = { 2.234584400774658e-5, 2.789141321231769e-3, 4.991640676521788e-2, .2440975028949394,
    .4063492063492064, .2440975028949394, 4.991640676521788e-2, 2.789141321231769e-3, 2.234584400774658e-5 };

static double
clip(double p)
{
	return p < 0 ? 0 : p > 1 ? 1 : p;
}

static double
mean_clipped(double at, double sd)
{
	double sum = 0;

	for (size_t k = 0; k < N_NODE; k++)
		sum += weight[k] * clip(at + sd * node[k]);
	return sum;
}

/* m + d, by halving. */
static double
centre_for(double mean, double sd)
{
	double low = -5 * sd - 1, high = 5 * sd + 2;

	for (int i = 0; i < 50; i++) {
		double middle = (low + high) / 2;
		if (mean_clipped(middle, sd) < mean)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}

void
eval_count_distribution(const double *mean, const double *sd, size_t n, double *probability)
{
	double *centre = xmalloc(n, sizeof *centre), *given = xmalloc(n + 1, sizeof *given);

	for (size_t i = 0; i < n; i++)
		centre[i] = centre_for(clip(mean[i]), sd[i]);
	memset(probability, 0, (n + 1) * sizeof *probability);
	for (size_t k = 0; k < N_NODE; k++) {
		memset(given, 0, (n + 1) * sizeof *given);
		given[0] = 1;
		for (size_t i = 0; i < n; i++) {
			double p = clip(centre[i] + sd[i] * node[k]);
			for (size_t c = i + 2; c-- > 0; )
				given[c] = (1 - p) * given[c] + (c ? p * given[c - 1] : 0);
		}
		for (size_t c = 0; c <= n; c++)
			probability[c] += weight[k] * given[c];
	}
	free(given);
	free(centre);
}

/* all [n_all + n + 1] becomes that of the sum of both counts. */
static void
add_count(double *all, size_t n_all, const double *one, size_t n, double *scratch)
{
	memset(scratch, 0, (n_all + n + 1) * sizeof *scratch);
	for (size_t i = 0; i <= n_all; i++)
		for (size_t j = 0; j <= n; j++)
			scratch[i + j] += all[i] * one[j];
	memcpy(all, scratch, (n_all + n + 1) * sizeof *all);
}

/* Share of (low, high) that lies in the central interval. */
static double
share_within(double low, double high, double level)
{
	double from = fmax(low, (1 - level) / 2), to = fmin(high, (1 + level) / 2);

	if (high <= low)        /* foretold to be impossible */
		return low > (1 - level) / 2 && low < (1 + level) / 2;
	return to > from ? (to - from) / (high - low) : 0;
}

size_t
eval_coverage(const struct eval_run *r, const struct eval_task *t, double *covered)
{
	size_t n = r->n_show, n_group = 0, n_most = CALIBRATION_STEPS * n + 1;
	double *all = xmalloc(n_most, sizeof *all), *one = xmalloc(n + 1, sizeof *one), *scratch = xmalloc(n_most, sizeof *scratch);

	memset(covered, 0, CALIBRATION_LEVELS * sizeof *covered);
	for (size_t u = 0; u < t->n_user; u++)
		for (size_t from = t->first[u]; from + CALIBRATION_STEPS <= t->first[u + 1]; from += CALIBRATION_STEPS) {
			size_t count = 0, n_all = 0;
			double below = 0;
			all[0] = 1;
			for (size_t step = from; step < from + CALIBRATION_STEPS; step++, n_all += n) {
				eval_count_distribution(r->mean + step * n, r->sd + step * n, n, one);
				add_count(all, n_all, one, n, scratch);
				for (size_t i = 0; i < n; i++)
					count += r->reward[step * n + i] > 0;
			}
			for (size_t c = 0; c < count; c++)
				below += all[c];
			for (size_t l = 0; l < CALIBRATION_LEVELS; l++)
				covered[l] += share_within(below, below + all[count], eval_level[l]);
			n_group++;
		}
	for (size_t l = 0; l < CALIBRATION_LEVELS && n_group; l++)
		covered[l] /= (double)n_group;
	free(scratch);
	free(one);
	free(all);
	return n_group;
}

/* -- deciles -- */

struct foretold {
	double mean, reward;
	size_t at;
};

static int
compare(const void *a, const void *b)
{
	const struct foretold *p = a, *q = b;

	if (p->mean != q->mean)
		return p->mean < q->mean ? -1 : 1;
	return p->at < q->at ? -1 : p->at > q->at;
}

static int
report_bins(struct eval_table *out, const char *name, const struct eval_run *r, size_t n, struct fault *f)
{
	struct foretold *all = xmalloc(n, sizeof *all);
	int status = 0;

	for (size_t i = 0; i < n; i++)
		all[i] = (struct foretold){ r->mean[i], (double)(r->reward[i] > 0), i };
	qsort(all, n, sizeof *all, compare);
	for (size_t b = 0; b < CALIBRATION_BINS && status == 0; b++) {
		size_t from = n * b / CALIBRATION_BINS, to = n * (b + 1) / CALIBRATION_BINS, m = to - from;
		double mean = 0, reward = 0;
		char block[24];
		if (m == 0)
			continue;
		snprintf(block, sizeof block, "%zu", b + 1);
		for (size_t i = from; i < to; i++) {
			mean += all[i].mean;
			reward += all[i].reward;
		}
		reward /= (double)m;
		struct eval_line foretold = { "calibration", name, NULL, "foretold", block, mean / (double)m, NAN, m };
		struct eval_line observed = { "calibration", name, NULL, "observed", block, reward,
		    sqrt(reward * (1 - reward) / (double)m), m };
		status = eval_table_put(out, foretold, f) < 0 || eval_table_put(out, observed, f) < 0 ? -1 : 0;
	}
	free(all);
	return status;
}

int
eval_report_calibration(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t,
    struct fault *f)
{
	double covered[CALIBRATION_LEVELS];

	if (!r->mean)
		return 0;
	size_t n_group = eval_coverage(r, t, covered);
	for (size_t l = 0; l < CALIBRATION_LEVELS && n_group; l++) {
		char block[24];
		snprintf(block, sizeof block, "%g", 100 * eval_level[l]);
		struct eval_line line = { "calibration", name, NULL, "covered", block, covered[l],
		    sqrt(covered[l] * (1 - covered[l]) / (double)n_group), n_group };
		if (eval_table_put(out, line, f) < 0)
			return -1;
	}
	return report_bins(out, name, r, t->n_step * r->n_show, f);
}
