#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "belief/solved.h"
#include "mat/mat.h"

/*
 * Beside u rewards have an intercept, e = 1, which has the prior of any number of u, and apart the weight of what the query
 * says, e = q, with its own: a ~ N(a0, diag(v)). With E [n][1 or 2] the rows of e times sqrt(w / noise_var) and C = M / lambda
 * the covariance of c, u summed over,
 *	P = E'C^-1 E + diag(1 / v),  a = P^-1 (E'C^-1 c + a0 / v),  C^-1 = lambda M^-1,  K = G'M^-1 E
 *	mean = base_rate + f'ubar + (e - K'f)'a,  variance = f'Lambda^-1 f + (e - K'f)'P^-1 (e - K'f)
 * for u given a is N(ubar - K a, Lambda^-1). From sums, with H = sum w f e' / noise_var,
 *	E'C^-1 E = sum w e e' / noise_var - H'K,  E'C^-1 c = sum w e c / noise_var - H'ubar,  K = Lambda^-1 H
 */
enum { ONE, SAID, N_BESIDE };

struct beside {
	size_t n;                       /* 1, or with SAID 2 */
	double weight[N_BESIDE];        /* a */
	double var[N_BESIDE][N_BESIDE]; /* P^-1 */
	double *k;                      /* [n][dim], rows of K' */
};

/* P^-1 and a of at most two. */
static void
solve_beside(struct beside *s, double a[N_BESIDE][N_BESIDE], const double *linear)
{
	if (s->n == 1) {
		s->var[ONE][ONE] = 1 / a[ONE][ONE];
	} else {
		double det = a[ONE][ONE] * a[SAID][SAID] - a[ONE][SAID] * a[ONE][SAID];
		s->var[ONE][ONE] = a[SAID][SAID] / det;
		s->var[SAID][SAID] = a[ONE][ONE] / det;
		s->var[ONE][SAID] = s->var[SAID][ONE] = -a[ONE][SAID] / det;
	}
	for (size_t i = 0; i < s->n; i++)
		for (size_t j = 0; j < s->n; j++)
			s->weight[i] += s->var[i][j] * linear[j];
}

static void
beside_observations(struct beside *s, const struct belief_posterior *p, const struct belief *b,
    const struct belief_prior *prior, double a[N_BESIDE][N_BESIDE], double *linear)
{
	size_t n = p->n, dim = p->dim;
	double *e = xmalloc((2 * s->n + 1) * n + 1, sizeof *e), *y = e + s->n * n, *c = y + s->n * n;

	for (size_t i = 0; i < n; i++) {
		e[ONE * n + i] = p->scale[i];
		if (s->n > SAID)
			e[SAID * n + i] = p->scale[i] * (double)p->f[i * dim + dim - 1];
		c[i] = p->scale[i] * belief_residual(belief_at(b, i), dim, p->base_rate, prior);
	}
	memcpy(y, e, s->n * n * sizeof *y);
	mat_solve_many64(p->l, n, y, s->n, 1);
	for (size_t i = 0; i < s->n; i++) {
		linear[i] += p->lambda * mat_ddot64(y + i * n, c, n);
		for (size_t j = 0; j < s->n; j++)
			a[i][j] += p->lambda * mat_ddot64(y + i * n, e + j * n, n);
		for (size_t r = 0; r < n; r++)
			for (size_t d = 0; d < dim; d++)
				s->k[i * dim + d] += y[i * n + r] * p->g[r * dim + d];
	}
	free(e);
}

static void
beside_sums(struct beside *s, const struct belief_posterior *p, const struct belief *b,
    const struct belief_prior *prior, double a[N_BESIDE][N_BESIDE], double *linear)
{
	size_t dim = p->dim, n_plain = p->n_plain;
	const double *f = b->sum + 3, *target = f + dim, *said = target + dim + packed_size(dim - 1);
	double of[N_BESIDE][N_BESIDE] = { { b->sum[0], f[dim - 1] }, { f[dim - 1], said[dim - 1] } };
	double rest[N_BESIDE] = { b->sum[1] - p->base_rate * b->sum[0], target[dim - 1] - p->base_rate * f[dim - 1] };
	double *h = xmalloc(s->n * dim, sizeof *h);

	/* the weight that is learnt together is a number of u beside query_mean */
	double more = p->stretch > 0 && n_plain < dim ? (p->mean[n_plain] - prior->query_mean) / p->stretch : 0;
	if (prior->has_query && !belief_is_apart(prior))
		rest[ONE] -= prior->query_mean * f[dim - 1];
	for (size_t i = 0; i < s->n; i++) {
		double *h_i = h + i * dim;
		for (size_t d = 0; d < dim; d++)
			h_i[d] = (d < n_plain ? 1 : p->stretch) * (i == ONE ? f[d] : said[d]) / p->noise_var;
		linear[i] += rest[i] / p->noise_var - mat_ddot64(h_i, p->mean, n_plain) - (n_plain < dim ? h_i[n_plain] * more : 0);
	}
	memcpy(s->k, h, s->n * dim * sizeof *h);
	mat_solve_many64(p->l, dim, s->k, s->n, 1);
	for (size_t i = 0; i < s->n; i++)
		for (size_t j = 0; j < s->n; j++)
			a[i][j] += of[i][j] / p->noise_var - mat_ddot64(s->k + i * dim, h + j * dim, dim);
	free(h);
}

void
belief_foretell(const struct belief_posterior *p, const struct belief *b, const struct belief_prior *prior, const float *f,
    const float *x, size_t n_f, double *mean, double *variance)
{
	assert(p->dim == b->dim && p->lambda == prior->lambda && (p->is_sums || p->n == b->n));
	size_t dim = p->dim, n_plain = p->n_plain;
	struct beside s = { .n = belief_is_apart(prior) ? 2 : 1 };
	double a[N_BESIDE][N_BESIDE] = { { prior->lambda, 0 }, { 0, 1 / fmax(prior->query_var, 1e-9) } };
	double linear[N_BESIDE] = { 0, prior->query_mean * a[SAID][SAID] };
	double *scratch = xmalloc(belief_scratch_many(p, n_f), sizeof *scratch);

	s.k = xcalloc(s.n * dim, sizeof *s.k);
	(p->is_sums ? beside_sums : beside_observations)(&s, p, b, prior, a, linear);
	solve_beside(&s, a, linear);
	belief_variances(p, f, x, n_f, variance, scratch);
	for (size_t i = 0; i < n_f; i++) {
		const float *f_i = f + i * n_plain;
		double said = n_plain < dim && x ? mat_dot64(f_i, x, n_plain) : 0, e[N_BESIDE] = { 1, said };
		mean[i] = p->base_rate + (s.n > SAID || n_plain == dim ? 0 : said * p->mean[n_plain]);
		for (size_t d = 0; d < n_plain; d++)
			mean[i] += p->mean[d] * (double)f_i[d];
		for (size_t j = 0; j < s.n; j++) {
			for (size_t d = 0; d < n_plain; d++)
				e[j] -= s.k[j * dim + d] * (double)f_i[d];
			if (n_plain < dim)
				e[j] -= s.k[j * dim + n_plain] * p->stretch * said;
			mean[i] += s.weight[j] * e[j];
		}
		for (size_t j = 0; j < s.n; j++)
			for (size_t k = 0; k < s.n; k++)
				variance[i] += e[j] * s.var[j][k] * e[k];
	}
	free(s.k);
	free(scratch);
}
