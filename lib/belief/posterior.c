#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "belief/solved.h"
#include "mat/mat.h"

/*
 * From n observations, with g_i = f_i sqrt(w_i / noise_var) the rows of G and c_i = (r_i - base_rate) sqrt(w_i / noise_var):
 *	Lambda = lambda I + G'G, and by the matrix inversion lemma
 *	mean = G' M^-1 c,  x' cov x = (x'x - |L^-1 G x|^2) / lambda,  M = lambda I + G G' = L L'
 * From sums, L L' = Lambda itself.
 *
 * What the query says, q_i = the last number of f_i, has the weight query_mean + s v with s^2 = lambda query_var and
 * v ~ N(0, 1 / lambda) as all others: so q_i is replaced by s q_i, and c_i loses query_mean q_i. With s = 0 nothing is
 * learnt of the weight and no other case is needed.
 *
 * Grades lift base_rate by a share of y'M^-1 c / y'M^-1 y, y_i = sqrt(w_i / noise_var): generalised least squares, u summed
 * over, C = M / lambda being the covariance of c. Then mean = G'M^-1 (c - lift y). From sums, with h = sum w f / noise_var,
 *	y'C^-1 y = sum w / noise_var - h'Lambda^-1 h,  y'C^-1 c = sum w c / noise_var - h'mean,  mean - lift Lambda^-1 h
 *
 * Apart (query_least > 0) s is 0 and nothing is taken from c. With k_i = q_i sqrt(w_i / noise_var) the rewards then say of
 * the weight, u summed over, a normal likelihood of precision A and mean B / A, C = M / lambda the covariance of c:
 *	A = k' C^-1 k = lambda |L^-1 k|^2,  B = k' C^-1 c = lambda k' M^-1 c
 * or from sums, with h = sum w q f / noise_var,  A = sum w q^2 / noise_var - |L^-1 h|^2,  B = sum w q c / noise_var - h'mean
 */

enum { N_HALVES = 8 };               /* of noise_var, for grades */

struct belief_posterior *
belief_posterior_new(size_t dim)
{
	struct belief_posterior *p = xcalloc(1, sizeof *p);

	p->dim = p->n_plain = dim;
	p->lambda = 1;
	p->mean = xcalloc(dim, sizeof *p->mean);
	return p;
}

void
belief_posterior_free(struct belief_posterior *p)
{
	if (!p)
		return;
	free(p->f);
	free(p->scale);
	free(p->g);
	free(p->l);
	free(p->mean);
	free(p);
}

void
belief_take_as_marks(struct belief_posterior *p)
{
	p->marks_only = 1;
}

static void
room(struct belief_posterior *p, size_t n, size_t n_l)
{
	if (n > p->n_cap) {
		p->f = xrealloc(p->f, n, p->dim * sizeof *p->f);
		p->scale = xrealloc(p->scale, n, sizeof *p->scale);
		p->g = xrealloc(p->g, n, p->dim * sizeof *p->g);
		p->n_cap = n;
	}
	if (n_l > p->l_cap) {
		p->l = xrealloc(p->l, n_l, n_l * sizeof *p->l);
		p->l_cap = n_l;
	}
}

static size_t
plain_count(size_t dim, const struct belief_prior *prior)
{
	assert(!prior->has_query || (dim > 1 && prior->query_var >= 0));
	return dim - (prior->has_query != 0);
}

int
belief_is_apart(const struct belief_prior *prior)
{
	return prior->has_query && prior->query_least > 0;
}

/* s^2 */
static double
square_of(const struct belief_prior *prior)
{
	return !prior->has_query ? 1 : belief_is_apart(prior) ? 0 : prior->lambda * prior->query_var;
}

/* The mean of the weight, by what the rewards say of it and its prior. */
static double
weight_mean(double precision, double linear, const struct belief_prior *prior)
{
	double v = prior->query_var;

	return v > 0 ? (v * linear + prior->query_mean) / (v * fmax(0, precision) + 1) : prior->query_mean;
}

/* f'g, the last number of both stretched */
static double
product(const float *f, const float *g, size_t dim, size_t n_plain, double square)
{
	double plain = mat_dot64(f, g, n_plain);

	return n_plain < dim ? plain + square * f[n_plain] * g[n_plain] : plain;
}

/* mean = G' alpha, and back to numbers that are not stretched */
static void
blend(double *mean, size_t dim, const float *f, const double *scale, const double *alpha, size_t n, const struct belief_prior *prior)
{
	for (size_t d = 0; d < dim; d++)
		mean[d] = 0;
	for (size_t i = 0; i < n; i++) {
		double a = alpha[i] * scale[i];
		for (size_t d = 0; d < dim; d++)
			mean[d] += a * f[i * dim + d];
	}
	if (prior->has_query && !belief_is_apart(prior))
		mean[dim - 1] = prior->query_mean + prior->lambda * prior->query_var * mean[dim - 1];
}

/* Of the weight, apart: after M^-1 c = alpha. */
static double
weight_of_observations(const struct belief_posterior *p, const double *alpha, const struct belief_prior *prior)
{
	size_t n = p->n, dim = p->dim;
	double *k = xmalloc(n + 1, sizeof *k), linear = 0;

	for (size_t i = 0; i < n; i++) {
		k[i] = p->scale[i] * (double)p->f[i * dim + dim - 1];
		linear += k[i] * alpha[i];
	}
	mat_solve64(p->l, n, k, 0);
	double mean = weight_mean(p->lambda * mat_ddot64(k, k, n), p->lambda * linear, prior);
	free(k);
	return mean;
}

/* base_rate goes by so much towards its best value: after M^-1 c = alpha, which follows. */
static void
lift_observations(struct belief_posterior *p, double *alpha, double part)
{
	size_t n = p->n;
	double *one = xmalloc(n + 1, sizeof *one);

	memcpy(one, p->scale, n * sizeof *one);
	mat_solve64(p->l, n, one, 1);
	double a = mat_ddot64(p->scale, one, n), lift = a > 0 ? part * mat_ddot64(p->scale, alpha, n) / a : 0;
	for (size_t i = 0; i < n; i++)
		alpha[i] -= lift * one[i];
	p->base_rate += lift;
	free(one);
}

static int
solve_observations(struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior, double share)
{
	size_t n = b->n, dim = p->dim;

	room(p, n, n);
	p->n = n;
	double *c = xmalloc(n, sizeof *c);
	for (size_t i = 0; i < n; i++) {
		struct observation o = belief_at(b, i);
		memcpy(p->f + i * dim, o.f, dim * sizeof *p->f);
		p->scale[i] = sqrt(belief_weight(b->last - o.time, prior->half_life) / p->noise_var);
		for (size_t d = 0; d < dim; d++)
			p->g[i * dim + d] = p->scale[i] * o.f[d];
		if (p->n_plain < dim)
			p->g[i * dim + p->n_plain] *= p->stretch;
		c[i] = belief_residual(o, dim, prior->base_rate, prior) * p->scale[i];
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j <= i; j++)
			p->l[i * n + j] = p->scale[i] * p->scale[j] * product(p->f + i * dim, p->f + j * dim, dim, p->n_plain, p->square);
		p->l[i * n + i] += prior->lambda;
	}
	int e = mat_cholesky64(p->l, n);
	if (e == 0) {
		mat_solve64(p->l, n, c, 1);
		if (share < 1)
			lift_observations(p, c, 1 - share);
		blend(p->mean, dim, p->f, p->scale, c, n, prior);
		if (belief_is_apart(prior))
			p->mean[dim - 1] = weight_of_observations(p, c, prior);
	}
	free(c);
	return e;
}

/* Of the weight, apart: after the mean of the others; said = sum w q f, the last of it sum w q^2. */
static double
weight_of_sums(const struct belief_posterior *p, const double *said, double target, const struct belief_prior *prior)
{
	size_t n = p->dim - 1;
	double *h = xcalloc(p->dim, sizeof *h), linear = target / p->noise_var;

	for (size_t i = 0; i < n; i++) {
		h[i] = said[i] / p->noise_var;
		linear -= h[i] * p->mean[i];
	}
	mat_solve64(p->l, p->dim, h, 0);
	double mean = weight_mean(said[n] / p->noise_var - mat_ddot64(h, h, n), linear, prior);
	free(h);
	return mean;
}

/* The same from sums, after the mean, which is stretched. */
static void
lift_sums(struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior, double part)
{
	size_t dim = p->dim;
	const double *linear = b->sum + 3;
	double *one = xmalloc(2 * dim, sizeof *one), *h = one + dim, rest = b->sum[1] - prior->base_rate * b->sum[0];

	if (prior->has_query && !belief_is_apart(prior))
		rest -= prior->query_mean * linear[dim - 1];
	for (size_t i = 0; i < dim; i++)
		one[i] = h[i] = (i < p->n_plain ? 1 : p->stretch) * linear[i] / p->noise_var;
	mat_solve64(p->l, dim, one, 1);
	double a = b->sum[0] / p->noise_var - mat_ddot64(h, one, dim);
	double lift = a > 0 ? part * (rest / p->noise_var - mat_ddot64(h, p->mean, dim)) / a : 0;
	for (size_t i = 0; i < dim; i++)
		p->mean[i] -= lift * one[i];
	p->base_rate += lift;
	free(one);
}

static int
solve_sums(struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior, double share)
{
	size_t dim = p->dim;
	const double *linear = b->sum + 3, *target = linear + dim, *packed = target + dim;
	const double *said = packed + packed_size(dim - 1);     /* sum w q f, the last row */

	room(p, 0, dim);
	p->n = 0;
	for (size_t i = 0; i < dim; i++, packed += i) {
		double s_i = i < p->n_plain ? 1 : p->stretch, rest = target[i] - prior->base_rate * linear[i];
		for (size_t j = 0; j <= i; j++)
			p->l[i * dim + j] = s_i * (j < p->n_plain ? 1 : p->stretch) * packed[j] / p->noise_var;
		p->l[i * dim + i] += prior->lambda;
		if (prior->has_query && !belief_is_apart(prior))
			rest -= prior->query_mean * said[i];
		p->mean[i] = s_i * rest / p->noise_var;
	}
	if (mat_cholesky64(p->l, dim) < 0)
		return -1;
	mat_solve64(p->l, dim, p->mean, 1);
	if (share < 1)
		lift_sums(p, b, prior, 1 - share);
	if (belief_is_apart(prior))
		p->mean[dim - 1] = weight_of_sums(p, said, target[dim - 1] - p->base_rate * linear[dim - 1], prior);
	else if (prior->has_query)
		p->mean[dim - 1] = prior->query_mean + p->stretch * p->mean[dim - 1];
	return 0;
}

static int
solve_with(struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior, double noise_var,
    double share)
{
	p->noise_var = noise_var;
	p->base_rate = prior->base_rate;
	if ((b->is_sums ? solve_sums : solve_observations)(p, b, prior, share) < 0)
		return -1;
	for (size_t d = 0; d < p->dim; d++)
		if (!isfinite(p->mean[d]))
			return -2;
	return 0;
}

int
belief_solve(struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior, struct fault *f)
{
	assert(p->dim == b->dim && prior->lambda > 0 && prior->noise_var > 0);
	double share = p->marks_only ? 1 : belief_share_marks(b, prior), step = exp2(share - 1);
	double noise_var = prior->noise_var, most = 0;
	int e;

	p->lambda = prior->lambda;
	p->is_sums = b->is_sums;
	p->n_plain = plain_count(p->dim, prior);
	p->square = square_of(prior);
	p->stretch = sqrt(p->square);
	e = solve_with(p, b, prior, noise_var, share);
	/* Grades may have less noise than marks: as long as that explains them better. */
	if (e == 0 && share < 1)
		most = belief_log_evidence(p, b, prior);
	for (int k = 0; e == 0 && share < 1 && k < N_HALVES; k++) {
		double evidence = solve_with(p, b, prior, noise_var * step, share) < 0 ? -INFINITY : belief_log_evidence(p, b, prior);
		if (!(evidence >= most)) {
			e = solve_with(p, b, prior, noise_var, share);
			break;
		}
		most = evidence;
		noise_var *= step;
	}
	if (e == 0)
		return 0;
	/* whoever goes on all the same gets the prior, not half of a factor */
	p->n = 0;
	p->is_sums = 0;
	p->noise_var = prior->noise_var;
	p->base_rate = prior->base_rate;
	memset(p->mean, 0, p->dim * sizeof *p->mean);
	if (prior->has_query)
		p->mean[p->dim - 1] = prior->query_mean;
	return fault(f, EX_DATAERR, e == -1 ? "belief whose precision is not positive definite" : "belief whose mean is not finite");
}

const double *
belief_mean(const struct belief_posterior *p)
{
	return p->mean;
}

double
belief_base_rate(const struct belief_posterior *p)
{
	return p->base_rate;
}

double
belief_noise_var(const struct belief_posterior *p)
{
	return p->noise_var;
}

double
belief_query_weight(const double *mean, size_t dim, const struct belief_prior *prior)
{
	if (!prior->has_query || prior->query_mean == 0)
		return 1;
	double w = mean[dim - 1] / prior->query_mean, least = prior->query_least;
	return belief_is_apart(prior) ? fmax(least, fmin(1, least + (1 - least) * w)) : w;
}

void
belief_weights(const double *mean, size_t dim, const struct belief_prior *prior, double *query_weight, double *user_times)
{
	double v = belief_query_weight(mean, dim, prior);
	int is_apart = belief_is_apart(prior);

	*query_weight = is_apart ? 1 : v;
	*user_times = is_apart ? 1 / v : 1;
}

double
belief_query_var(const struct belief_prior *prior)
{
	return !prior->has_query || belief_is_apart(prior) ? 0 : prior->query_var;
}

size_t
belief_scratch(const struct belief_posterior *p)
{
	return p->is_sums ? p->dim : p->n;
}

/* What the query says of f. */
static double
said_of(const struct belief_posterior *p, const float *f, const float *x)
{
	return p->n_plain < p->dim && x ? mat_dot64(f, x, p->n_plain) : 0;
}

double
belief_variance(const struct belief_posterior *p, const float *f, const float *x, double *scratch)
{
	double v, said = said_of(p, f, x);

	if (p->is_sums) {
		for (size_t i = 0; i < p->dim; i++)
			scratch[i] = i < p->n_plain ? f[i] : p->stretch * said;
		mat_solve64(p->l, p->dim, scratch, 0);
		return mat_ddot64(scratch, scratch, p->dim);
	}
	for (size_t i = 0; i < p->n; i++) {
		const float *f_i = p->f + i * p->dim;
		double k = mat_dot64(f_i, f, p->n_plain);
		scratch[i] = p->scale[i] * (p->n_plain < p->dim ? k + p->square * said * f_i[p->n_plain] : k);
	}
	mat_solve64(p->l, p->n, scratch, 0);
	v = (mat_dot64(f, f, p->n_plain) + p->square * said * said - mat_ddot64(scratch, scratch, p->n)) / p->lambda;
	return v > 0 ? v : 0;
}

size_t
belief_scratch_many(const struct belief_posterior *p, size_t n_f)
{
	return n_f * (p->dim + belief_scratch(p));
}

/* wide [n_f][dim] = the features with what the query says of them, stretched. */
static void
widen_features(const struct belief_posterior *p, const float *f, const float *x, size_t n_f, double *wide)
{
	size_t dim = p->dim, n_plain = p->n_plain;

	for (size_t i = 0; i < n_f; i++) {
		const float *f_i = f + i * n_plain;
		for (size_t d = 0; d < n_plain; d++)
			wide[i * dim + d] = f_i[d];
		if (n_plain < dim)
			wide[i * dim + n_plain] = p->stretch * said_of(p, f_i, x);
	}
}

void
belief_variances(const struct belief_posterior *p, const float *f, const float *x, size_t n_f, double *variance, double *scratch)
{
	size_t dim = p->dim, n_plain = p->n_plain, n = belief_scratch(p);
	double *wide = scratch, *y = p->is_sums ? wide : scratch + n_f * dim;

	widen_features(p, f, x, n_f, wide);
	for (size_t i = 0; i < n_f; i++) {
		double said = n_plain < dim ? wide[i * dim + n_plain] : 0;
		variance[i] = mat_dot64(f + i * n_plain, f + i * n_plain, n_plain) + said * said;
	}
	if (!p->is_sums)
		mat_mul64(wide, n_f, dim, p->g, n, y);
	mat_solve_many64(p->l, n, y, n_f, 0);
	for (size_t i = 0; i < n_f; i++) {
		double known = mat_ddot64(y + i * n, y + i * n, n);
		double v = p->is_sums ? known : (variance[i] - known) / p->lambda;
		variance[i] = v > 0 ? v : 0;
	}
}

void
belief_covariances(const struct belief_posterior *p, const float *f, const float *x, size_t n_f, double *cov, double *scratch)
{
	size_t dim = p->dim, n = belief_scratch(p);
	double *wide = scratch, *y = p->is_sums ? wide : scratch + n_f * dim;

	widen_features(p, f, x, n_f, wide);
	if (!p->is_sums) {
		mat_mul64(wide, n_f, dim, wide, n_f, cov);
		if (n > 0) {
			double *known = scratch + n_f * (dim + n);
			mat_mul64(wide, n_f, dim, p->g, n, y);
			mat_solve_many64(p->l, n, y, n_f, 0);
			mat_mul64(y, n_f, n, y, n_f, known);
			for (size_t i = 0; i < n_f * n_f; i++)
				cov[i] -= known[i];
		}
		for (size_t i = 0; i < n_f * n_f; i++)
			cov[i] /= p->lambda;
		return;
	}
	mat_solve_many64(p->l, n, y, n_f, 0);
	mat_mul64(y, n_f, n, y, n_f, cov);
}

size_t
belief_scratch_covariances(const struct belief_posterior *p, size_t n_f)
{
	return belief_scratch_many(p, n_f) + n_f * n_f;
}

double
belief_share_unknown(const struct belief_posterior *p)
{
	size_t n = p->is_sums ? p->dim : p->n, n_plain = p->n_plain;

	if (n == 0)
		return 1;
	/* Row i becomes L^-1 e_i, and its square is entry i, i of (L L')^-1. */
	double *inverse = xcalloc(n * n, sizeof *inverse), trace, share;
	for (size_t i = 0; i < n; i++)
		inverse[i * n + i] = 1;
	mat_solve_many64(p->l, n, inverse, n, 0);
	trace = mat_ddot64(inverse, inverse, (p->is_sums ? n_plain : n) * n);
	if (p->is_sums) {
		share = trace * p->lambda / (double)n_plain;
	} else {
		/* n - lambda tr M^-1 = tr M^-1 G G' is what was learnt; of it q' M^-1 q is of what the query says. */
		double said = 0;
		if (n_plain < p->dim) {
			for (size_t i = 0; i < n; i++)
				inverse[i] = p->g[i * p->dim + n_plain];
			mat_solve64(p->l, n, inverse, 0);
			said = mat_ddot64(inverse, inverse, n);
		}
		share = ((double)n_plain - (double)n + p->lambda * trace + said) / (double)n_plain;
	}
	free(inverse);
	return share > 0 ? share : 0;
}

/* -- the mean before each of many observations -- */

struct belief_track {
	size_t dim, n;          /* rows of l and v that hold */
	double *l;              /* packed lower, by rows */
	double *v, *k;          /* L^-1 c; apart, L^-1 k */
	double *alpha, *scale;
	float *f;               /* [n][dim] */
	size_t n_cap;
	struct belief_posterior *whole;
	double *mean;
};

struct belief_track *
belief_track_new(size_t dim)
{
	struct belief_track *t = xcalloc(1, sizeof *t);

	t->dim = dim;
	t->whole = belief_posterior_new(dim);
	belief_take_as_marks(t->whole);
	t->mean = xcalloc(dim, sizeof *t->mean);
	return t;
}

void
belief_track_free(struct belief_track *t)
{
	if (!t)
		return;
	free(t->l);
	free(t->v);
	free(t->k);
	free(t->alpha);
	free(t->scale);
	free(t->f);
	free(t->mean);
	belief_posterior_free(t->whole);
	free(t);
}

void
belief_track_reset(struct belief_track *t)
{
	t->n = 0;
}

/* Row i of the factor follows from the rows before it alone, by the same operations whenever it is asked for: that is
   why a run that begins here again arrives at the same bits. */
static int
track_row(struct belief_track *t, const struct belief *b, const struct belief_prior *prior)
{
	size_t i = t->n, dim = t->dim, n_plain = plain_count(dim, prior);
	struct observation o = belief_at(b, i);
	double *row = t->l + packed_size(i), square = square_of(prior);

	memcpy(t->f + i * dim, o.f, dim * sizeof *t->f);
	t->scale[i] = sqrt(1 / prior->noise_var);
	for (size_t j = 0; j <= i; j++) {
		double k = t->scale[i] * t->scale[j] * product(t->f + i * dim, t->f + j * dim, dim, n_plain, square);
		if (j < i)
			row[j] = (k - mat_ddot64(row, t->l + packed_size(j), j)) / t->l[packed_size(j) + j];
		else
			row[j] = k + prior->lambda - mat_ddot64(row, row, j);
	}
	if (!(row[i] > 0))
		return -1;
	row[i] = sqrt(row[i]);
	t->k[i] = (t->scale[i] * (double)o.f[dim - 1] - mat_ddot64(row, t->k, i)) / row[i];
	t->v[i] = (belief_residual(o, dim, prior->base_rate, prior) * t->scale[i] - mat_ddot64(row, t->v, i)) / row[i];
	t->n++;
	return 0;
}

const double *
belief_track_mean(struct belief_track *t, const struct belief *b, const struct belief_prior *prior, struct fault *f)
{
	assert(t->dim == b->dim);
	/* With a half-life every weight moves with every observation, so nothing can be kept. */
	if (b->is_sums || prior->half_life > 0)
		return belief_solve(t->whole, b, prior, f) < 0 ? NULL : belief_mean(t->whole);
	size_t n = b->n;
	if (n > t->n_cap) {
		size_t n_cap = n + n / 2 + 8;
		t->l = xrealloc(t->l, packed_size(n_cap), sizeof *t->l);
		t->v = xrealloc(t->v, n_cap, sizeof *t->v);
		t->k = xrealloc(t->k, n_cap, sizeof *t->k);
		t->alpha = xrealloc(t->alpha, n_cap, sizeof *t->alpha);
		t->scale = xrealloc(t->scale, n_cap, sizeof *t->scale);
		t->f = xrealloc(t->f, n_cap, t->dim * sizeof *t->f);
		t->n_cap = n_cap;
	}
	while (t->n < n)
		if (track_row(t, b, prior) < 0) {
			fault(f, EX_DATAERR, "belief whose precision is not positive definite");
			return NULL;
		}
	for (size_t i = 0; i < n; i++)
		t->alpha[i] = t->v[i];
	for (size_t i = n; i-- > 0; ) {
		const double *row = t->l + packed_size(i);
		t->alpha[i] /= row[i];
		for (size_t j = 0; j < i; j++)
			t->alpha[j] -= t->alpha[i] * row[j];
	}
	blend(t->mean, t->dim, t->f, t->scale, t->alpha, n, prior);
	if (belief_is_apart(prior))
		t->mean[t->dim - 1] = weight_mean(prior->lambda * mat_ddot64(t->k, t->k, n), prior->lambda * mat_ddot64(t->k, t->v, n), prior);
	return t->mean;
}
