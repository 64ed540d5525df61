/*
 * Beliefs against a slow honest twin: the precision of the prior as a whole matrix, and its mean, in long double, inverted by
 * Gauss-Jordan.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "belief/belief.h"
#include "claim.h"
#include "mat/mat.h"

enum { DIM_MAX = 24 };

static struct fault f;

struct event {
	float f[DIM_MAX];
	double reward, time;
};

static struct event *
make_events(size_t n, size_t dim, uint64_t seed)
{
	struct event *e = calloc(n, sizeof *e);
	struct rng r = rng_at(seed, 0);

	for (size_t i = 0; i < n; i++) {
		for (size_t d = 0; d < dim; d++)
			e[i].f[d] = (float)(rng_normal(&r) / sqrt((double)dim));
		e[i].reward = rng_uniform(&r) < .3;
		e[i].time = (double)(i + 1);
	}
	return e;
}

/* mean [dim] and cov [dim][dim] from the formulas, in long double: precision P + sum w f f' / s2 and P m + sum w f y / s2,
   P = diag(lambda, ..., 1 / query_var), m = (0, ..., query_mean). A weight without variance is no unknown: what it foretells
   is taken from the rewards. */
static void
twin(const struct event *e, size_t n, size_t dim, const struct belief_prior *p, long double *mean, long double *cov)
{
	long double a[DIM_MAX][2 * DIM_MAX], b[DIM_MAX], last = -INFINITY, given = p->has_query && p->query_var == 0 ? p->query_mean : 0;
	size_t whole = dim;

	if (p->has_query && p->query_var == 0)
		dim--;
	for (size_t i = 0; i < dim; i++) {
		int is_query = p->has_query && i + 1 == whole;
		long double precision = is_query ? 1 / (long double)p->query_var : p->lambda;
		b[i] = is_query ? precision * p->query_mean : 0;
		for (size_t j = 0; j < 2 * dim; j++)
			a[i][j] = j == i ? precision : j == dim + i;
	}
	for (size_t k = 0; k < n; k++)
		last = e[k].time > last ? e[k].time : last;
	for (size_t k = 0; k < n; k++) {
		long double w = p->half_life > 0 ? powl(2, -(last - e[k].time) / p->half_life) : 1;
		long double y = (long double)e[k].reward - p->base_rate - given * e[k].f[whole - 1];
		for (size_t i = 0; i < dim; i++) {
			b[i] += w * e[k].f[i] * y / p->noise_var;
			for (size_t j = 0; j < dim; j++)
				a[i][j] += w * e[k].f[i] * e[k].f[j] / p->noise_var;
		}
	}
	for (size_t c = 0; c < dim; c++) {
		size_t top = c;
		for (size_t i = c; i < dim; i++)
			if (fabsl(a[i][c]) > fabsl(a[top][c]))
				top = i;
		for (size_t j = 0; j < 2 * dim; j++) {
			long double t = a[c][j];
			a[c][j] = a[top][j];
			a[top][j] = t;
		}
		long double pivot = a[c][c];
		for (size_t j = 0; j < 2 * dim; j++)
			a[c][j] /= pivot;
		for (size_t i = 0; i < dim; i++) {
			long double times = a[i][c];
			if (i != c)
				for (size_t j = 0; j < 2 * dim; j++)
					a[i][j] -= times * a[c][j];
		}
	}
	memset(cov, 0, whole * whole * sizeof *cov);
	mean[whole - 1] = given;
	for (size_t i = 0; i < dim; i++) {
		mean[i] = 0;
		for (size_t j = 0; j < dim; j++) {
			cov[i * whole + j] = a[i][dim + j];
			mean[i] += a[i][dim + j] * b[j];
		}
	}
}

/* log N(r; base_rate + query_mean q, F F' / lambda + query_var q q' + noise_var / w), each reward having the constant of its
   likelihood w times, by elimination in the covariance of all rewards; apart as if queries said nothing. */
static long double
twin_evidence(const struct event *e, size_t n, size_t dim, const struct belief_prior *p)
{
	int is_heard = p->has_query && p->query_least == 0;
	size_t n_plain = dim - (p->has_query != 0);
	long double *c = calloc(n * (n + 1) + 1, sizeof *c), sum = 0, last = -INFINITY;

	for (size_t k = 0; k < n; k++)
		last = e[k].time > last ? e[k].time : last;
	for (size_t i = 0; i < n; i++) {
		long double w = p->half_life > 0 ? powl(2, -(last - e[i].time) / p->half_life) : 1, *row = c + i * (n + 1);
		for (size_t j = 0; j < n; j++) {
			for (size_t d = 0; d < n_plain; d++)
				row[j] += (long double)e[i].f[d] * e[j].f[d] / p->lambda;
			if (is_heard)
				row[j] += (long double)p->query_var * e[i].f[dim - 1] * e[j].f[dim - 1];
		}
		row[i] += p->noise_var / w;
		row[n] = (long double)e[i].reward - p->base_rate - (is_heard ? p->query_mean * e[i].f[dim - 1] : 0);
		sum -= (logl(w) - (1 - w) * logl(2 * 3.14159265358979323846L * p->noise_var)) / 2;
	}
	for (size_t i = 0; i < n; i++) {
		const long double *pivot = c + i * (n + 1);
		sum -= (pivot[n] * pivot[n] / pivot[i] + logl(pivot[i]) + logl(2 * 3.14159265358979323846L)) / 2;
		for (size_t k = i + 1; k < n; k++) {
			long double times = c[k * (n + 1) + i] / pivot[i];
			for (size_t j = i; j <= n; j++)
				c[k * (n + 1) + j] -= times * pivot[j];
		}
	}
	free(c);
	return sum;
}

/* largest error of mean, variances, share and evidence, each relative to the largest of its kind */
static double
error_of(const struct belief *b, const struct event *e, size_t n, size_t dim, const struct belief_prior *prior)
{
	long double mean[DIM_MAX], cov[DIM_MAX * DIM_MAX], trace = 0, most = 0, wrong = 0;
	struct belief_posterior *p = belief_posterior_new(dim);
	size_t n_plain = dim - (prior->has_query != 0);
	double worst = 0;

	twin(e, n, dim, prior, mean, cov);
	if (belief_solve(p, b, prior, &f) < 0) {
		belief_posterior_free(p);
		return INFINITY;
	}
	for (size_t i = 0; i < dim; i++) {
		most = fmaxl(most, fabsl(mean[i]));
		wrong = fmaxl(wrong, fabsl(mean[i] - belief_mean(p)[i]));
		if (i < n_plain)
			trace += cov[i * dim + i];
	}
	worst = (double)(most > 0 ? wrong / most : wrong);
	double *scratch = calloc(belief_scratch_many(p, 5) + 1, sizeof *scratch), many[5];
	struct event *x = make_events(6, dim, 99);
	float *rows = calloc(5 * dim, sizeof *rows);
	/* asked with a query, and without one */
	for (int ask = 0; ask < 2; ask++) {
		const float *query = ask ? x[5].f : NULL;
		for (int k = 0; k < 5; k++)
			memcpy(rows + (size_t)k * n_plain, x[k].f, n_plain * sizeof *rows);
		belief_variances(p, rows, query, 5, many, scratch);
		for (int k = 0; k < 5; k++) {
			long double v = 0, whole[DIM_MAX] = {0};
			for (size_t i = 0; i < n_plain; i++) {
				whole[i] = x[k].f[i];
				if (prior->has_query && ask)
					whole[n_plain] += whole[i] * query[i];
			}
			for (size_t i = 0; i < dim; i++)
				for (size_t j = 0; j < dim; j++)
					v += cov[i * dim + j] * whole[i] * whole[j];
			worst = fmax(worst, fabs(belief_variance(p, x[k].f, query, scratch) / (double)v - 1));
			worst = fmax(worst, fabs(many[k] / (double)v - 1));
		}
	}
	worst = fmax(worst, fabs(belief_share_unknown(p) / (double)(trace * prior->lambda / n_plain) - 1));
	double evidence = (double)twin_evidence(e, n, dim, prior);
	worst = fmax(worst, fabs(belief_log_evidence(p, b, prior) - evidence) / fmax(1, fabs(evidence)));
	free(rows);
	free(x);
	free(scratch);
	belief_posterior_free(p);
	return worst;
}

static int
learn(struct belief *b, const struct event *e, size_t from, size_t to, double half_life)
{
	for (size_t i = from; i < to; i++)
		if (belief_learn(b, e[i].f, e[i].reward, e[i].time, half_life, &f) < 0)
			return -1;
	return 0;
}

/* Stores the belief and reads it again, as between two runs. */
static void
through_bytes(struct belief *b)
{
	struct buf bytes = {0};

	belief_encode(b, &bytes);
	if (belief_decode(b, bytes.at, bytes.n, &f) < 0)
		claim(0, "a stored belief can be read: %s", f.text);
	buf_free(&bytes);
}

static int
same(const struct belief *a, const struct belief *b)
{
	struct buf x = {0}, y = {0};

	belief_encode(a, &x);
	belief_encode(b, &y);
	int yes = x.n == y.n && memcmp(x.at, y.at, x.n) == 0;
	buf_free(&x);
	buf_free(&y);
	return yes;
}

static const struct belief_prior prior = { .lambda = 100, .noise_var = .02, .base_rate = .03 },
    fading = { .lambda = 100, .noise_var = .02, .base_rate = .03, .half_life = 7.5 },
    soft = { .lambda = .5, .noise_var = .3, .base_rate = -.2, .half_life = 40 };
/* the last number of f is what a query said: its weight unknown, its weight given, and both with other constants */
static const struct belief_prior asked = { 100, .05, .03, 0, 1, .5, .05, 0 }, fixed = { 100, .05, .03, 0, 1, .5, 0, 0 },
    asked_fading = { 2, .3, -.2, 7.5, 1, -1.5, 4, 0 };

static void
against_the_twin(void)
{
	static const size_t dims[] = { 1, 2, 7, 24 }, ns[] = { 0, 1, 2, 5, 20, 60, 300 };
	static const struct belief_prior *const priors[] = { &prior, &fading, &soft, &asked, &fixed, &asked_fading };

	for (size_t p = 0; p < 6; p++) {
		double worst = 0;
		int n_obs = 0, n_sums = 0, has_query = priors[p]->has_query;
		for (size_t d = has_query; d < 4; d++) {
			struct event *e = make_events(300, dims[d], 5 + d);
			/* some came without a query */
			for (int i = 0; has_query && i < 300; i += 3)
				e[i].f[dims[d] - 1] = 0;
			for (size_t k = 0; k < 7; k++) {
				struct belief *b = belief_new(dims[d]);
				learn(b, e, 0, ns[k], priors[p]->half_life);
				if (ns[k] > 0) {
					n_obs += strcmp(belief_form(b), "observations") == 0;
					n_sums += strcmp(belief_form(b), "sums") == 0;
				}
				worst = fmax(worst, error_of(b, e, ns[k], dims[d], priors[p]));
				belief_free(b);
			}
			free(e);
		}
		claim(worst < 1e-9 && n_obs > 5 && n_sums > 5, "mean, variance, share unknown and evidence are those of the formulas "
		    "(half-life %g, weight of the query %g +- %g, %d times from observations, %d from sums): within %.1e",
		    priors[p]->half_life, priors[p]->query_mean, sqrt(priors[p]->query_var), n_obs, n_sums, worst);
	}
}

/* Apart: u as if the query had the weight 0, the weight's mean as if both were learnt together. */
static void
apart(void)
{
	static const size_t dims[] = { 2, 7, 24 }, ns[] = { 0, 1, 2, 5, 20, 60, 300 };

	for (int h = 0; h < 2; h++) {
		const struct belief_prior p = { 100, .05, .03, h ? 7.5 : 0, 1, .4, .1, .25 };
		struct belief_prior none = p, both = p;
		double worst = 0;
		int n_sums = 0, n_inside = 0, n_bad = 0;
		none.query_mean = none.query_var = none.query_least = both.query_least = 0;
		for (size_t d = 0; d < 3; d++) {
			size_t dim = dims[d];
			struct event *e = make_events(300, dim, 50 + d);
			struct belief_posterior *post = belief_posterior_new(dim);
			for (size_t k = 0; k < 7; k++) {
				struct belief *b = belief_new(dim);
				long double mean[DIM_MAX], cov[DIM_MAX * DIM_MAX];
				double scratch[400], v = 0;
				learn(b, e, 0, ns[k], p.half_life);
				n_sums += ns[k] > 0 && strcmp(belief_form(b), "sums") == 0;
				n_bad += belief_solve(post, b, &p, &f) < 0;
				const double *found = belief_mean(post);
				twin(e, ns[k], dim, &none, mean, cov);
				for (size_t i = 0; i + 1 < dim; i++) {
					worst = fmax(worst, fabs((double)mean[i] - found[i]));
					for (size_t j = 0; j + 1 < dim; j++)
						v += (double)(cov[i * dim + j] * e[0].f[i] * e[0].f[j]);
				}
				worst = fmax(worst, fabs(belief_variance(post, e[0].f, e[1].f, scratch) / v - 1));
				long double evidence = twin_evidence(e, ns[k], dim, &p);
				worst = fmax(worst, fabs(belief_log_evidence(post, b, &p) - (double)evidence) / fmax(1, fabs((double)evidence)));
				twin(e, ns[k], dim, &both, mean, cov);
				worst = fmax(worst, fabs((double)mean[dim - 1] - found[dim - 1]));
				double heard = .25 + .75 * found[dim - 1] / .4, weight = belief_query_weight(found, dim, &p);
				n_inside += heard > .25 && heard < 1;
				n_bad += fabs(weight - (heard < .25 ? .25 : heard > 1 ? 1 : heard)) > 1e-12 || (ns[k] == 0 && weight != 1);
				belief_free(b);
			}
			belief_posterior_free(post);
			free(e);
		}
		claim(worst < 1e-9 && n_sums > 3, "apart, tastes are those of queries that say nothing, and the weight that of both learnt "
		    "together (half-life %g, %d times from sums): within %.1e", p.half_life, n_sums, worst);
		claim(n_bad == 0 && n_inside > 2, "a query is heard from the least part to the whole, and that of nobody is");
	}
	const struct belief_prior p = { .query_var = .1, .query_least = .25, .has_query = 1 }, together = { .query_var = .1, .has_query = 1 };
	claim(belief_query_var(&p) == 0 && belief_query_var(&together) == .1, "and its weight widens nothing");
}

/* Grades: what solve makes of noise_var and base_rate, and then all is as with these. */
static void
grades(void)
{
	static const size_t dims[] = { 2, 7, 24 }, ns[] = { 1, 2, 5, 20, 60, 300 };

	for (int h = 0; h < 3; h++) {
		const struct belief_prior p = { 100, .05, .03, h == 2 ? 7.5 : 0, 1, .4, .1, h ? .25 : 0 };
		double worst = 0, most = 0, share = 0;
		int n_sums = 0, n_bad = 0, n_less = 0;
		for (size_t d = 0; d < 3; d++) {
			size_t dim = dims[d];
			struct event *e = make_events(300, dim, 70 + d);
			struct belief_posterior *post = belief_posterior_new(dim), *marks = belief_posterior_new(dim);
			belief_take_as_marks(marks);
			for (size_t i = 0; i < 300; i++)
				e[i].reward = .6 + .2 * tanh(e[i].f[0]) + (i % 3 ? .01 : 0) + (i % 10 == 7 ? .3 : 0);
			for (size_t k = 0; k < 6; k++) {
				struct belief *b = belief_new(dim);
				struct belief_prior read = p, less = p;
				learn(b, e, 0, ns[k], p.half_life);
				n_sums += strcmp(belief_form(b), "sums") == 0;
				n_bad += belief_solve(post, b, &p, &f) < 0;
				/* the weighted means of r and r^2 */
				double all = .1, mean1 = .1 * .03, mean2 = .1 * .03;
				for (size_t i = 0; i < ns[k]; i++) {
					double w = p.half_life > 0 ? exp2(-(double)(ns[k] - 1 - i) / p.half_life) : 1;
					all += w;
					mean1 += w * e[i].reward;
					mean2 += w * e[i].reward * e[i].reward;
				}
				mean1 /= all;
				mean2 /= all;
				share = (mean2 - mean1 * mean1) / (mean1 - mean1 * mean1);
				/* evidence is highest at a whole number of steps, and highest in base_rate at what the part 1 - share leads to */
				double steps = log2(p.noise_var / belief_noise_var(post)) / (1 - share);
				worst = fmax(worst, fabs(steps - round(steps)));
				n_less += steps > .5;
				read.noise_var = belief_noise_var(post);
				double evidence[3], bend, slope, best, at = belief_base_rate(post);
				for (int i = 0; i < 3; i++) {
					read.base_rate = p.base_rate + (i - 1);
					evidence[i] = (double)twin_evidence(e, ns[k], dim, &read);
				}
				bend = evidence[0] - 2 * evidence[1] + evidence[2];
				slope = (evidence[2] - evidence[0]) / 2;
				best = p.base_rate - slope / bend;
				most = fmax(most, fabs(at - (share * p.base_rate + (1 - share) * best)));
				/* and the mean is that of marks with these constants */
				read.base_rate = at;
				n_bad += belief_solve(marks, b, &read, &f) < 0;
				for (size_t i = 0; i < dim; i++)
					worst = fmax(worst, fabs(belief_mean(post)[i] - belief_mean(marks)[i]));
				double one = belief_log_evidence(post, b, &p);
				worst = fmax(worst, fabs(one / (double)twin_evidence(e, ns[k], dim, &read) - 1));
				/* a step less or more explains them worse, with the base_rate that follows */
				for (int i = -1; i < 2 && steps > .5; i += 2) {
					if (i > 0 && steps > 7.5)
						break;          /* the last that is tried */
					less.noise_var = read.noise_var * exp2(-i * (1 - share));
					struct belief_prior flat = less;
					for (int j = 0; j < 3; j++) {
						flat.base_rate = p.base_rate + (j - 1);
						evidence[j] = (double)twin_evidence(e, ns[k], dim, &flat);
					}
					bend = evidence[0] - 2 * evidence[1] + evidence[2];
					slope = (evidence[2] - evidence[0]) / 2;
					less.base_rate = p.base_rate - (1 - share) * slope / bend;
					n_bad += (double)twin_evidence(e, ns[k], dim, &less) > one + 1e-9 * fabs(one);
				}
				belief_free(b);
			}
			belief_posterior_free(post);
			belief_posterior_free(marks);
			free(e);
		}
		claim(worst < 1e-8 && most < 1e-8 && n_bad == 0 && n_sums > 3 && n_less > 3, "grades have the base rate that explains them "
		    "best, and less noise where that does (%s, half-life %g; %d times from sums, %d with less noise): within %.1e, %.1e",
		    p.query_least > 0 ? "apart" : "together", p.half_life, n_sums, n_less, worst, most);
	}
	struct belief *b = belief_new(2);
	struct belief_posterior *post = belief_posterior_new(2);
	int n_bad = 0;
	for (int i = 0; i < 40; i++) {
		belief_learn(b, (float[]){ (float)(i % 5), 1 }, i % 3 == 0, i, 7.5, &f);
		belief_solve(post, b, &fading, &f);
		n_bad += belief_base_rate(post) != fading.base_rate || belief_noise_var(post) != fading.noise_var;
	}
	claim(n_bad == 0, "marks of 0 and 1 leave both as they are, to the last bit");
	belief_learn(b, (float[]){ 1, 1 }, -3, 41, 7.5, &f);
	belief_learn(b, (float[]){ 1, 1 }, 5, 42, 7.5, &f);
	belief_solve(post, b, &fading, &f);
	claim(belief_base_rate(post) == fading.base_rate && belief_noise_var(post) == fading.noise_var, "and so do rewards beyond 0 and 1");
	belief_posterior_free(post);
	belief_free(b);
}

/* The forecast is that of one belief in which the intercept is one more number of u, and the query's weight the last. */
static void
foretells(void)
{
	static const size_t dims[] = { 2, 7, DIM_MAX - 1 }, ns[] = { 0, 1, 2, 5, 20, 60, 300 };

	for (int h = 0; h < 4; h++) {
		const struct belief_prior p = { 20, .05, .03, h == 1 ? 7.5 : 0, h < 3, .4, .1, h < 2 ? .25 : 0 };
		struct belief_prior together = p;
		double worst = 0;
		int n_sums = 0, n_bad = 0;
		together.query_least = 0;
		for (size_t d = 0; d < 3; d++) {
			size_t dim = dims[d], n_plain = dim - (size_t)p.has_query;
			struct event *e = make_events(300, dim, 90 + d), *wide = calloc(300, sizeof *wide);
			struct belief_posterior *post = belief_posterior_new(dim);
			for (size_t i = 0; i < 300; i++) {
				wide[i] = e[i];
				memcpy(wide[i].f + 1, e[i].f, dim * sizeof *e[i].f);
				wide[i].f[0] = 1;
			}
			for (size_t k = 0; k < 7; k++) {
				struct belief *b = belief_new(dim);
				long double twin_mean[DIM_MAX], cov[DIM_MAX * DIM_MAX];
				double mean[3], variance[3];
				float rows[3 * DIM_MAX];
				learn(b, e, 0, ns[k], p.half_life);
				n_sums += ns[k] > 0 && strcmp(belief_form(b), "sums") == 0;
				n_bad += belief_solve(post, b, &p, &f) < 0;
				for (size_t r = 0; r < 3; r++)
					memcpy(rows + r * n_plain, e[200 + r].f, n_plain * sizeof *rows);
				for (int ask = 0; ask < 2; ask++) {
					const float *x = ask && p.has_query ? e[250].f : NULL;
					belief_foretell(post, b, &p, rows, x, 3, mean, variance);
					twin(wide, ns[k], dim + 1, &together, twin_mean, cov);
					for (size_t r = 0; r < 3; r++) {
						long double g[DIM_MAX + 1] = { 1 }, m = p.base_rate, v = 0;
						for (size_t i = 0; i < n_plain; i++) {
							g[1 + i] = rows[r * n_plain + i];
							if (x)
								g[dim] += g[1 + i] * x[i];
						}
						for (size_t i = 0; i <= dim; i++) {
							m += g[i] * twin_mean[i];
							for (size_t j = 0; j <= dim; j++)
								v += g[i] * g[j] * cov[i * (dim + 1) + j];
						}
						worst = fmax(worst, fabs((double)m - mean[r]));
						worst = fmax(worst, fabs(variance[r] / (double)v - 1));
					}
				}
				belief_free(b);
			}
			belief_posterior_free(post);
			free(wide);
			free(e);
		}
		claim(worst < 1e-9 && n_bad == 0 && n_sums > 3, "what is foretold is so with tastes, intercept and query together (%s, half-life %g, "
		    "%d times from sums): within %.1e", !p.has_query ? "without a query" : p.query_least > 0 ? "apart" : "together", p.half_life,
		    n_sums, worst);
	}
}

static void
known_by_hand(void)
{
	/* one dimension, two rewards: Lambda = 2 + (1 + 4) / .5 = 12, b = (1 * .9 + 2 * -.1) / .5 = 1.4 */
	const struct belief_prior p = { .lambda = 2, .noise_var = .5, .base_rate = .1, .half_life = 0 };
	struct belief *b = belief_new(1);
	struct belief_posterior *post = belief_posterior_new(1);
	double scratch[4];

	belief_learn(b, (float[]){ 1 }, 1, 1, 0, &f);
	belief_learn(b, (float[]){ 2 }, 0, 2, 0, &f);
	belief_solve(post, b, &p, &f);
	claim(fabs(belief_mean(post)[0] - 1.4 / 12) < 1e-15 && fabs(belief_variance(post, (float[]){ 3 }, NULL, scratch) - 9. / 12) < 1e-14,
	    "the posterior of two rewards in one dimension is the one done by hand");
	/* The prototype's mistake: the old mean times the new precision enters again, so the mean grows for ever. */
	struct event *e = make_events(200, 3, 8);
	struct belief *many = belief_new(3), *twice = belief_new(3);
	struct belief_posterior *wide = belief_posterior_new(3);
	double before, after;
	for (int i = 0; i < 200; i++)
		e[i].reward = .5 + e[i].f[0];
	learn(many, e, 0, 200, 0);
	belief_solve(wide, many, &prior, &f);
	before = belief_mean(wide)[0];
	learn(twice, e, 0, 200, 0);
	for (int i = 0; i < 200; i++)
		belief_learn(twice, e[i].f, e[i].reward, 201 + i, 0, &f);
	belief_solve(wide, twice, &prior, &f);
	after = belief_mean(wide)[0];
	claim(before > .8 && before < 1.05 && fabs(after - before) < .1, "the mean comes near the truth (1) and stays there "
	    "as rewards repeat: %.3f, %.3f", before, after);
	claim(belief_variance(wide, e[0].f, NULL, scratch) >= 0, "a variance is not negative");
	belief_clear(many);
	belief_solve(wide, many, &prior, &f);
	claim(belief_mean(wide)[0] == 0 && belief_variance(wide, (float[]){ 3, 4, 0 }, NULL, scratch) == .25 && belief_share_unknown(wide) == 1,
	    "nobody's posterior is the prior");
	belief_posterior_free(wide);
	belief_posterior_free(post);
	belief_free(twice);
	belief_free(many);
	belief_free(b);
	free(e);
}

static void
queries(void)
{
	struct belief *b = belief_new(2);
	struct belief_posterior *post = belief_posterior_new(2);
	double scratch[8], variance;
	float f3[3];

	belief_extend((float[]){ 1, 2 }, (float[]){ .5f, .25f }, 2, f3);
	claim(f3[0] == 1 && f3[1] == 2 && f3[2] == 1, "what a query says of an item is their inner product");
	belief_extend((float[]){ 1, 2 }, NULL, 2, f3);
	claim(f3[2] == 0, "and 0 where there was no query");
	/* Nobody: a reward of w x'f is foretold with w = .5 +- .2, that of f with 0 +- 1 / sqrt 4. */
	const struct belief_prior p = { 4, .5, .1, 0, 1, .5, .04, 0 };
	belief_solve(post, b, &p, &f);
	variance = belief_variance(post, (float[]){ 3 }, (float[]){ 2 }, scratch);
	claim(belief_mean(post)[0] == 0 && belief_mean(post)[1] == .5 && fabs(variance - (9. / 4 + .04 * 36)) < 1e-6 &&
	    belief_query_weight(belief_mean(post), 2, &p) == 1 && belief_share_unknown(post) == 1,
	    "of nobody the prior is believed: |f|^2 / lambda + query_var (x'f)^2, and the query says what it says");
	/* One reward of 1 at f = 1, x'f = 1: precision [[4 + 2, 2], [2, 25 + 2]], target (.9 * 2, 12.5 + .9 * 2) */
	belief_learn(b, (float[]){ 1, 1 }, 1, 1, 0, &f);
	belief_solve(post, b, &p, &f);
	claim(fabs(belief_mean(post)[0] - (27 * 1.8 - 2 * 14.3) / 158) < 1e-14 && fabs(belief_mean(post)[1] - (6 * 14.3 - 2 * 1.8) / 158) < 1e-14,
	    "one reward moves taste and the weight of the query as done by hand");
	claim(belief_query_weight(belief_mean(post), 2, &p) > 1, "a reward above what was foretold makes the query say more");
	belief_learn(b, (float[]){ -1, 1 }, 0, 2, 0, &f);
	belief_learn(b, (float[]){ 1, 1 }, 0, 3, 0, &f);
	belief_solve(post, b, &p, &f);
	claim(belief_query_weight(belief_mean(post), 2, &p) < 1, "queries that lead to nothing make it say less");
	/* A query that says nothing of anything changes nothing: it is the belief of one number. */
	struct belief *silent = belief_new(2), *one = belief_new(1);
	struct belief_posterior *post_one = belief_posterior_new(1);
	const struct belief_prior plain_prior = { .lambda = 4, .noise_var = .5, .base_rate = .1 };
	for (int i = 1; i < 9; i++) {
		belief_learn(silent, (float[]){ (float)i, 0 }, i % 2, i, 0, &f);
		belief_learn(one, (float[]){ (float)i }, i % 2, i, 0, &f);
	}
	belief_solve(post, silent, &p, &f);
	belief_solve(post_one, one, &plain_prior, &f);
	claim(fabs(belief_mean(post)[0] - belief_mean(post_one)[0]) < 1e-15 && belief_mean(post)[1] == .5 &&
	    fabs(belief_share_unknown(post) - belief_share_unknown(post_one)) < 1e-14,
	    "rewards that came without a query teach tastes as ever, and nothing about queries");
	const struct belief_prior beyond = { 1e-300, .5, .1, 0, 1, .5, 1e308, 0 };
	belief_clear(b);
	belief_learn(b, (float[]){ 1e30f, 1e30f }, 1, 1, 0, &f);
	int e = belief_solve(post, b, &beyond, &f);
	claim(e == 0 || (f.status == EX_DATAERR && belief_mean(post)[0] == 0 && belief_mean(post)[1] == .5),
	    "constants beyond reason give a mean or a fault, never a number that is none");
	belief_free(silent);
	belief_free(one);
	belief_free(b);
	belief_posterior_free(post);
	belief_posterior_free(post_one);
}

static void
cuts(void)
{
	for (int h = 0; h < 2; h++) {
		double half_life = h ? 7.5 : 0;
		struct event *e = make_events(90, 9, 3);
		e[10].time = e[9].time;         /* ties and late ones */
		e[40].time = 3;
		e[70].time = 20;
		struct belief *whole = belief_new(9);
		learn(whole, e, 0, 90, half_life);
		int n_same = 0;
		for (size_t cut = 0; cut <= 90; cut++) {
			struct belief *b = belief_new(9);
			learn(b, e, 0, cut, half_life);
			if (cut > 0)
				through_bytes(b);
			learn(b, e, cut, 90, half_life);
			n_same += same(b, whole);
			belief_free(b);
		}
		claim(n_same == 91 && strcmp(belief_form(whole), "sums") == 0,
		    "a stream cut anywhere gives the same bits (half-life %g)", half_life);
		const struct belief_prior p = { .lambda = 100, .noise_var = .02, .base_rate = .03, .half_life = half_life };
		double worst = error_of(whole, e, 90, 9, &p);
		claim(worst < 1e-9, "late events count as their age says (half-life %g): within %.1e", half_life, worst);
		belief_free(whole);
		free(e);
	}
}

static void
merges(void)
{
	static const size_t sizes[][2] = { { 3, 4 }, { 5, 12 }, { 12, 50 }, { 40, 60 }, { 0, 5 }, { 50, 0 } };

	for (int h = 0; h < 2; h++) {
		double half_life = h ? 7.5 : 0, worst = 0;
		int n_same = 0;
		for (size_t k = 0; k < 6; k++) {
			size_t n_a = sizes[k][0], n_b = sizes[k][1];
			struct event *e = make_events(n_a + n_b, 6, 20 + k);
			struct belief *a = belief_new(6), *b = belief_new(6), *ab = belief_new(6), *ba = belief_new(6);
			learn(a, e, 0, n_a, half_life);
			learn(b, e, n_a, n_a + n_b, half_life);
			belief_merge(ab, a, half_life);
			belief_merge(ab, b, half_life);
			belief_merge(ba, b, half_life);
			belief_merge(ba, a, half_life);
			n_same += same(ab, ba);
			const struct belief_prior p = { .lambda = 100, .noise_var = .02, .base_rate = .03, .half_life = half_life };
			worst = fmax(worst, error_of(ab, e, n_a + n_b, 6, &p));
			belief_free(a);
			belief_free(b);
			belief_free(ab);
			belief_free(ba);
			free(e);
		}
		claim(n_same == 6, "A + B and B + A are the same bits (half-life %g)", half_life);
		claim(worst < 1e-9, "a sum of beliefs is the belief of all events (half-life %g): within %.1e", half_life, worst);
		/* associative to rounding: compare the sums themselves */
		struct event *e = make_events(120, 6, 31);
		struct belief *part[3], *left = belief_new(6), *right = belief_new(6);
		for (size_t i = 0; i < 3; i++) {
			part[i] = belief_new(6);
			learn(part[i], e, i * 40, (i + 1) * 40, half_life);
		}
		belief_merge(left, part[0], half_life);
		belief_merge(left, part[1], half_life);
		belief_merge(left, part[2], half_life);
		belief_merge(part[1], part[2], half_life);
		belief_merge(right, part[0], half_life);
		belief_merge(right, part[1], half_life);
		struct buf x = {0}, y = {0};
		belief_export(left, &x);
		belief_export(right, &y);
		const double *u = (const double *)x.at, *v = (const double *)y.at;
		double most = 0;
		for (size_t i = 0; i < x.n / 8; i++)
			most = fmax(most, fabs(u[i] - v[i]) / fmax(fabs(u[i]), 1e-3));
		claim(x.n == y.n && most < 1e-12, "(A + B) + C and A + (B + C) agree to rounding (half-life %g): %.1e", half_life, most);
		buf_free(&x);
		buf_free(&y);
		for (size_t i = 0; i < 3; i++)
			belief_free(part[i]);
		belief_free(left);
		belief_free(right);
		free(e);
	}
	/* integer features: sums are exact, so any grouping gives the same bits */
	struct belief *a = belief_new(3), *b = belief_new(3), *whole = belief_new(3);
	for (int i = 0; i < 60; i++) {
		float x[3] = { (float)(i % 5 - 2), (float)(i % 3), (float)(i % 7 - 3) };
		belief_learn(i % 2 ? a : b, x, i % 4 == 0, i, 0, &f);
		belief_learn(whole, x, i % 4 == 0, i, 0, &f);
	}
	belief_merge(a, b, 0);
	claim(same(a, whole), "with integer features a merge is exact");
	belief_free(a);
	belief_free(b);
	belief_free(whole);
}

static void
bytes(void)
{
	struct event *e = make_events(60, 5, 12);
	struct buf stored = {0}, numbers = {0};
	size_t n_refused = 0, n_tried = 0, n_back = 0;

	for (size_t n = 0; n <= 60; n += 6) {
		struct belief *b = belief_new(5), *c = belief_new(5);
		learn(b, e, 0, n, 0);
		buf_clear(&stored);
		belief_encode(b, &stored);
		for (size_t cut = 0; cut < stored.n; cut++, n_tried++)
			n_refused += belief_decode(c, stored.at, cut, &f) < 0 && f.status == EX_DATAERR;
		if (n > 0) {
			buf_clear(&numbers);
			belief_export(b, &numbers);
			belief_import(c, belief_form(b), n, belief_first_time(b), belief_last_time(b), (double *)numbers.at,
			    numbers.n / 8, &f);
			n_back += same(b, c) && belief_digest(b) == belief_digest(c);
		}
		belief_free(b);
		belief_free(c);
	}
	claim(n_refused == n_tried, "a belief cut short anywhere is refused (%zu cuts)", n_tried);
	claim(n_back == 10, "numbers exported and imported give the same bits");
	struct belief *b = belief_new(5), *other = belief_new(6);
	learn(b, e, 0, 3, 0);
	buf_clear(&stored);
	belief_encode(b, &stored);
	claim(belief_decode(other, stored.at, stored.n, &f) < 0 && strstr(f.text, "dimension 5, expected 6"),
	    "a belief of another dimension is refused with both named");
	memset(stored.at + 56, 0xFF, 4);
	claim(belief_decode(other, stored.at, stored.n, &f) < 0, "bytes that are no number are refused");
	claim(belief_learn(b, e[0].f, NAN, 1, 0, &f) < 0 && belief_learn(b, e[0].f, 1, INFINITY, 0, &f) < 0 &&
	    belief_learn(b, (float[]){ 0, 0, NAN, 0, 0 }, 1, 1, 0, &f) < 0 && belief_n(b) == 3,
	    "a reward, time or feature that is not finite changes nothing");
	claim(belief_learn(b, e[0].f, -1.1e12, 1, 0, &f) < 0 && belief_n(b) == 3, "nor does a reward beyond any that can be added up");
	/* 6 observations of dimension 5 take less room than their sums, 7 more */
	double many[7 * 7];
	for (size_t i = 0; i < 7 * 7; i++)
		many[i] = 1;
	claim(belief_import(b, "observations", 7, 1, 1, many, 49, &f) < 0 && f.status == EX_DATAERR &&
	    belief_import(b, "observations", 6, 1, 1, many, 42, &f) == 0,
	    "more observations than are kept as such are refused");
	/* sums of no data: a negative diagonal */
	double bad[3 + 10 + 15] = { 1, 1, 1 };
	bad[3 + 10] = -1e9;
	struct belief_posterior *p = belief_posterior_new(5);
	claim(belief_import(b, "sums", 1, 1, 1, bad, 28, &f) == 0 && belief_solve(p, b, &prior, &f) < 0 && f.status == EX_DATAERR,
	    "sums that are those of no data are refused by the solve");
	belief_posterior_free(p);
	belief_free(b);
	belief_free(other);
	buf_free(&stored);
	buf_free(&numbers);
	free(e);
}

static void
tracks(void)
{
	for (int h = 0; h < 6; h++) {
		const struct belief_prior p = { 100, .02, .03, h % 2 ? 7.5 : 0, h > 1, .5, .05, h > 3 ? .25 : 0 };
		struct event *e = make_events(70, 8, 77);
		struct belief *b = belief_new(8);
		struct belief_track *t = belief_track_new(8);
		struct belief_posterior *post = belief_posterior_new(8);
		double all[70][8], worst = 0;
		for (size_t i = 0; i < 70; i++) {
			memcpy(all[i], belief_track_mean(t, b, &p, &f), sizeof all[i]);
			belief_solve(post, b, &p, &f);
			for (size_t d = 0; d < 8; d++)
				worst = fmax(worst, fabs(belief_mean(post)[d] - all[i][d]));
			learn(b, e, i, i + 1, p.half_life);
		}
		claim(worst < 1e-12, "the mean before each observation is that of the belief then (half-life %g%s): %.1e", p.half_life,
		    h > 3 ? ", apart from queries" : p.has_query ? ", with queries" : "", worst);
		int n_same = 0;
		for (size_t cut = 0; cut < 70; cut++) {
			belief_clear(b);
			belief_track_reset(t);
			learn(b, e, 0, cut, p.half_life);
			n_same += memcmp(belief_track_mean(t, b, &p, &f), all[cut], sizeof all[cut]) == 0;
		}
		claim(n_same == 70, "and has the same bits when a run begins there (half-life %g%s)", p.half_life,
		    h > 3 ? ", apart from queries" : p.has_query ? ", with queries" : "");
		belief_posterior_free(post);
		belief_track_free(t);
		belief_free(b);
		free(e);
	}
}

static void
clusters(void)
{
	struct belief_cluster *a = belief_cluster_new(2), *b = belief_cluster_new(2), *c = belief_cluster_new(2);
	struct buf bytes_of = {0};
	double scratch[2];

	belief_cluster_solve(a, &f);
	claim(fabs(belief_cluster_bonus(a, (float[]){ .6f, .8f }, scratch) - 1) < 1e-7, "a new cluster's bonus is the length of q");
	/* I + sum = [[2, 0], [0, 5]]: q = (1, 1) gives sqrt(1/2 + 1/5) */
	belief_cluster_learn(a, (float[]){ 1, 0 });
	belief_cluster_learn(b, (float[]){ 0, 2 });
	belief_cluster_merge(a, b);
	belief_cluster_solve(a, &f);
	claim(fabs(belief_cluster_bonus(a, (float[]){ 1, 1 }, scratch) - sqrt(.7)) < 1e-15 && belief_cluster_n(a) == 2,
	    "two clusters added give the bonus done by hand");
	belief_cluster_encode(a, &bytes_of);
	int refused = 1;
	for (size_t cut = 0; cut < bytes_of.n; cut++)
		refused &= belief_cluster_decode(c, bytes_of.at, cut, &f) < 0;
	claim(refused && belief_cluster_decode(c, bytes_of.at, bytes_of.n, &f) == 0 && belief_cluster_n(c) == 2,
	    "a stored cluster is read back, a cut one refused");
	buf_free(&bytes_of);
	belief_cluster_free(a);
	belief_cluster_free(b);
	belief_cluster_free(c);
}

int
main(void)
{
	if (mat_check(&f) < 0)
		claim(0, "%s", f.text);
	against_the_twin();
	apart();
	grades();
	foretells();
	known_by_hand();
	queries();
	cuts();
	merges();
	bytes();
	tracks();
	clusters();
	return claim_n_failed != 0;
}
