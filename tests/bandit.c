/* Bandits against slow twins in long double, and identities. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bandit/inside.h"
#include "base/rng.h"
#include "claim.h"
#include "scratch.h"

typedef long double real;

static void
solve(real *a, real *b, size_t n)       /* a x = b, both destroyed; b becomes x */
{
	for (size_t i = 0; i < n; i++) {
		size_t p = i;
		for (size_t r = i + 1; r < n; r++)
			p = fabsl(a[r * n + i]) > fabsl(a[p * n + i]) ? r : p;
		for (size_t c = 0; c < n; c++) {
			real t = a[i * n + c];
			a[i * n + c] = a[p * n + c];
			a[p * n + c] = t;
		}
		real t = b[i];
		b[i] = b[p];
		b[p] = t;
		for (size_t r = i + 1; r < n; r++) {
			real by = a[r * n + i] / a[i * n + i];
			for (size_t c = i; c < n; c++)
				a[r * n + c] -= by * a[i * n + c];
			b[r] -= by * b[i];
		}
	}
	for (size_t i = n; i-- > 0; ) {
		for (size_t c = i + 1; c < n; c++)
			b[i] -= a[i * n + c] * b[c];
		b[i] /= a[i * n + i];
	}
}

/* A ridge regression that solves everything anew each time it is asked. */
struct twin {
	size_t n;
	real *a, *b;
};

static struct twin
twin_new(size_t n, real lambda)
{
	struct twin t = { n, calloc(n * n, sizeof(real)), calloc(n, sizeof(real)) };

	for (size_t i = 0; i < n; i++)
		t.a[i * n + i] = lambda;
	return t;
}

static void
twin_free(struct twin t)
{
	free(t.a);
	free(t.b);
}

static void
twin_learn(struct twin t, const real *x, real reward, real weight)
{
	for (size_t i = 0; i < t.n; i++) {
		for (size_t j = 0; j < t.n; j++)
			t.a[i * t.n + j] += weight * x[i] * x[j];
		t.b[i] += weight * reward * x[i];
	}
}

static void
twin_solve(struct twin t, const real *b, real *out)
{
	real *a = malloc(t.n * t.n * sizeof *a);

	memcpy(a, t.a, t.n * t.n * sizeof *a);
	memcpy(out, b, t.n * sizeof *out);
	solve(a, out, t.n);
	free(a);
}

static real
inner(const real *x, const real *y, size_t n)
{
	real s = 0;

	for (size_t i = 0; i < n; i++)
		s += x[i] * y[i];
	return s;
}

/* Features of scales 1e-3 to 1e4, far from 0 and correlated. */
static void
nasty(struct rng *r, double *x, size_t n)
{
	double common = rng_normal(r);

	for (size_t i = 0; i < n; i++) {
		double scale = pow(10, -3 + 7 * (double)i / (double)(n > 1 ? n - 1 : 1));
		x[i] = (float)(scale * (3 + common + 0.1 * rng_normal(r)));
	}
}

static const struct bandit_settings plain = { .policy = BANDIT_LINUCB, .alpha = 0.5, .epsilon = 0.2, .gamma = 5,
    .lambda = 1, .seed = 7 };

static struct bandit *
new_bandit(struct bandit_settings set, size_t dim, size_t n_arm)
{
	set.dim = dim;
	struct bandit *b = bandit_new(&set);

	for (size_t a = 0; a < n_arm; a++) {
		char name[8];
		int n = snprintf(name, sizeof name, "%zu", a);
		bandit_add_arm(b, (struct span){ name, (size_t)n }, NULL);
	}
	return b;
}

static void
linucb_is_exact(size_t dim, size_t n_arm, int n_row)
{
	struct bandit *b = new_bandit(plain, dim, n_arm);
	struct bandit_desk *d = bandit_desk_new(b, 1);
	struct rng r = rng_at(1, dim);
	struct twin *t = malloc(n_arm * sizeof *t);
	real *x = malloc(dim * sizeof *x), *u = malloc(dim * sizeof *u), *theta = malloc(dim * sizeof *theta);
	double *raw = malloc(dim * sizeof *raw), worst = 0, worst_theta = 0;
	int n_other = 0;

	for (size_t a = 0; a < n_arm; a++)
		t[a] = twin_new(dim, 1);
	for (int row = 0; row < n_row; row++) {
		nasty(&r, raw, dim);
		for (size_t i = 0; i < dim; i++)
			x[i] = raw[i];
		size_t want = 0;
		real most = -1, score[64];
		for (size_t a = 0; a < n_arm; a++) {
			twin_solve(t[a], t[a].b, theta);
			twin_solve(t[a], x, u);
			score[a] = inner(theta, x, dim) + 0.5L * sqrtl(inner(u, x, dim));
			most = score[a] > most ? score[a] : most;
		}
		while (score[want] < most - 1e-12L)
			want++;
		struct bandit_choice got;
		bandit_observe(b, raw);
		bandit_look(d, 0, raw);
		bandit_score(d, 1);
		bandit_choose(d, 0, 0, &got);
		n_other += got.arm != want;
		worst = fmax(worst, (double)(fabsl(got.score - score[got.arm]) / fmaxl(1, score[got.arm])));
		double reward = raw[0] * 1e3 > 3 + 0.3 * (double)got.arm;
		bandit_learn(b, d, got.arm, reward);
		twin_learn(t[got.arm], x, reward, 1);
	}
	for (size_t a = 0; a < n_arm; a++) {
		twin_solve(t[a], t[a].b, theta);
		for (size_t i = 0; i < dim; i++)
			worst_theta = fmax(worst_theta, fabs(bandit_theta(b, a)[i] - (double)theta[i]));
		twin_free(t[a]);
	}
	claim(n_other == 0 && worst < 1e-9 && worst_theta < 1e-8,
	    "LinUCB with %zu features of scales 1e-3 to 1e4 and %zu arms decides as a solve in long double does on %d rows "
	    "(scores differ by %.1g, theta by %.1g)", dim, n_arm, n_row, worst, worst_theta);
	free(t);
	free(x);
	free(u);
	free(theta);
	free(raw);
	bandit_desk_free(d);
	bandit_free(b);
}

/* Li et al. (2010), Algorithm 2, as it is printed. */
static void
hybrid_is_exact(void)
{
	enum { DIM = 5, K = DIM, ARMS = 3, ROWS = 120 };
	struct bandit_settings set = plain;
	set.model = BANDIT_HYBRID;
	struct bandit *b = new_bandit(set, DIM, ARMS);
	struct bandit_desk *d = bandit_desk_new(b, 1);
	struct rng r = rng_at(2, 0);
	struct twin shared = twin_new(K, 1), arm[ARMS];
	real bb[ARMS][DIM][K] = {{{0}}};
	double worst = 0;
	int n_other = 0;

	for (int a = 0; a < ARMS; a++)
		arm[a] = twin_new(DIM, 1);
	for (int row = 0; row < ROWS; row++) {
		double raw[DIM];
		real x[DIM], beta[K], score[ARMS], column[DIM], solved[DIM];
		size_t want = 0;
		for (int i = 0; i < DIM; i++)
			x[i] = raw[i] = (float)rng_normal(&r);
		twin_solve(shared, shared.b, beta);
		for (int a = 0; a < ARMS; a++) {
			/* theta = A^-1 (b - B beta); w = z - B' A^-1 x */
			real rest[DIM], theta[DIM], ax[DIM], w[K], pw[K];
			for (int i = 0; i < DIM; i++)
				rest[i] = arm[a].b[i] - inner(bb[a][i], beta, K);
			twin_solve(arm[a], rest, theta);
			twin_solve(arm[a], x, ax);
			for (int k = 0; k < K; k++) {
				for (int i = 0; i < DIM; i++)
					column[i] = bb[a][i][k];
				w[k] = x[k] - inner(column, ax, DIM);
			}
			twin_solve(shared, w, pw);
			score[a] = inner(x, beta, K) + inner(x, theta, DIM) + 0.5L * sqrtl(inner(w, pw, K) + inner(ax, x, DIM));
			want = score[a] > score[want] + 1e-12L ? (size_t)a : want;
		}
		struct bandit_choice got;
		bandit_look(d, 0, raw);
		bandit_score(d, 1);
		bandit_choose(d, 0, 0, &got);
		n_other += got.arm != want;
		worst = fmax(worst, (double)fabsl(got.score - score[got.arm]));
		size_t a = got.arm;
		double reward = raw[a] + raw[3] > 0.2;
		bandit_learn(b, d, a, reward);
		/* A0 += B' A^-1 B before, -= after; b0 the same */
		for (int sign = 1; sign >= -1; sign -= 2) {
			for (int k = 0; k < K; k++) {
				for (int i = 0; i < DIM; i++)
					column[i] = bb[a][i][k];
				twin_solve(arm[a], column, solved);
				for (int m = 0; m < K; m++)
					for (int i = 0; i < DIM; i++)
						shared.a[k * K + m] += sign * solved[i] * bb[a][i][m];
				shared.b[k] += sign * inner(solved, arm[a].b, DIM);
			}
			if (sign < 0)
				break;
			twin_learn(arm[a], x, reward, 1);
			for (int i = 0; i < DIM; i++)
				for (int k = 0; k < K; k++)
					bb[a][i][k] += x[i] * x[k];
			twin_learn(shared, x, reward, 1);
		}
	}
	claim(n_other == 0 && worst < 1e-9, "hybrid LinUCB by rank-one updates decides as Algorithm 2 with its matrices on %d "
	    "rows (scores differ by %.1g)", ROWS, worst);
	for (int a = 0; a < ARMS; a++)
		twin_free(arm[a]);
	twin_free(shared);
	bandit_desk_free(d);
	bandit_free(b);
}

/* The vector kernels keep the order of eight lanes: the same sums by hand have the same bits. */
static void
bits_are_those_of_the_order(void)
{
	enum { DIM = 45 };
	struct rng r = rng_at(3, 0);
	double *s = xaligned(root_triangle(DIM), 8), *x = xaligned(root_pad(DIM), 8), *f = xaligned(root_pad(DIM), 8), lane[8] = {0};
	int same = 1;

	memset(s, 0, root_triangle(DIM) * 8);
	memset(x, 0, root_pad(DIM) * 8);
	for (size_t i = 0; i < DIM; i++) {
		x[i] = rng_normal(&r);
		for (size_t j = 0; j <= i; j++)
			s[root_row(i) + j] = rng_normal(&r);
	}
	double got = root_project(s, x, DIM, f), sum[48];
	for (size_t j = 0; j < 48; j++) {
		sum[j] = 0;
		for (size_t i = j / 8 * 8; i < DIM; i++)
			sum[j] += x[i] * s[root_row(i) + j];
		same &= memcmp(&sum[j], &f[j], 8) == 0;
	}
	/* groups of four, then the rest, each from its own 0 */
	for (size_t g = 0; g < 4; g++)
		for (size_t l = 0; l < 8; l++)
			lane[l] += sum[8 * g + l] * sum[8 * g + l];
	for (size_t g = 4; g < 6; g++)
		for (size_t l = 0; l < 8; l++)
			lane[l] += sum[8 * g + l] * sum[8 * g + l];
	double want = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
	claim(same && memcmp(&want, &got, 8) == 0, "a projection has the bits of its sums taken one by one in eight lanes");
	free(s);
	free(x);
	free(f);
}

static void
all_widths_give_the_same_bits(void)
{
	enum { DIM = 45, ARMS = 3 };
	struct bandit *b[3];
	struct bandit_desk *d[3];
	int same = 1;

	for (int k = 0; k < 3; k++) {
		struct rng r = rng_at(11, 0);
		b[k] = new_bandit(plain, DIM, ARMS);
		d[k] = bandit_desk_new(b[k], 1);
		root_narrow(2 << k);
		for (int i = 0; i < 300; i++) {
			struct bandit_choice c;
			double x[DIM];
			for (int j = 0; j < DIM; j++)
				x[j] = rng_normal(&r) * (j % 5 + 1);
			bandit_look(d[k], 0, x);
			bandit_score(d[k], 1);
			bandit_choose(d[k], 0, 0, &c);
			bandit_learn(b[k], d[k], c.arm, x[c.arm] > 0);
		}
		same &= memcmp(b[k]->s, b[0]->s, ARMS * b[0]->triangle * sizeof(double)) == 0 &&
		    memcmp(b[k]->mean, b[0]->mean, ARMS * b[0]->pad * sizeof(double)) == 0 && b[k]->arm[1].n == b[0]->arm[1].n;
		for (size_t i = 0; i < ARMS * DIM; i++)
			for (size_t j = 0; j <= i % DIM; j++)
				same &= b[k]->gram[i / DIM * b[0]->triangle + root_row(i % DIM) + j] ==
				    b[0]->gram[i / DIM * b[0]->triangle + root_row(i % DIM) + j];
	}
	claim(same, "vectors of 2, 4 and 8 lanes, as far as this processor has them, learn the same bits");
	for (int k = 0; k < 3; k++) {
		bandit_desk_free(d[k]);
		bandit_free(b[k]);
	}
}

static void
root_follows_its_sums(void)
{
	enum { DIM = 37 };
	size_t n = root_triangle(DIM), pad = root_pad(DIM);
	struct rng r = rng_at(4, 0);
	struct bandit_gauss g = { xaligned(n, 8), xaligned(pad, 8), xaligned(n, 8), xaligned(pad, 8) }, h = { xaligned(n, 8),
	    xaligned(pad, 8), g.gram, g.b };
	double *x = xaligned(pad, 8), *f = xaligned(pad, 8), *scratch = xaligned(3 * pad, 8), off = 0, off_mean = 0;

	root_start(g.s, DIM, 2);
	memset(g.mean, 0, pad * 8);
	memset(g.gram, 0, n * 8);
	memset(g.b, 0, pad * 8);
	memset(x, 0, pad * 8);
	for (int row = 0; row < 500; row++) {
		for (size_t i = 0; i < DIM; i++)
			x[i] = rng_normal(&r) + 1;
		double reward = x[0] > x[1];
		root_project(g.s, x, DIM, f);
		root_observe(g.s, g.mean, f, reward - root_dot(g.mean, x, pad), DIM, NULL, scratch);
		root_gram(g.gram, x, 1, DIM);
		root_axpy(g.b, reward, x, pad);
	}
	bandit_solve(h, 2, DIM);
	for (size_t i = 0; i < DIM; i++) {
		off_mean = fmax(off_mean, fabs(g.mean[i] - h.mean[i]));
		for (size_t j = 0; j <= i; j++)
			off = fmax(off, fabs(g.s[root_row(i) + j] - h.s[root_row(i) + j]));
	}
	claim(off < 1e-12 && off_mean < 1e-12, "after 500 observations the root is that of the sums (off by %.1g, mean by %.1g)",
	    off, off_mean);
	free(g.s);
	free(g.mean);
	free(g.gram);
	free(g.b);
	free(h.s);
	free(h.mean);
	free(x);
	free(f);
	free(scratch);
}

static void
scale_does_not_matter(void)
{
	enum { DIM = 4, ROWS = 100 };
	struct bandit_settings set = plain;
	set.standardise = set.intercept = 1;
	struct bandit *b = new_bandit(set, DIM, 2);
	struct bandit_desk *d = bandit_desk_new(b, 1);
	struct rng r = rng_at(5, 0);
	struct twin t[2] = { twin_new(DIM + 1, 1), twin_new(DIM + 1, 1) };
	double row[ROWS][DIM], reward[ROWS], worst = 0;

	for (int i = 0; i < ROWS; i++) {
		for (int j = 0; j < DIM; j++)
			row[i][j] = j == 3 ? 42 : (float)(pow(10, 2 * j) * (rng_normal(&r) + 5));
		reward[i] = rng_uniform(&r) < 0.5;
		bandit_observe(b, row[i]);
		bandit_look(d, 0, row[i]);
		bandit_learn(b, d, (size_t)(i % 2), reward[i]);
	}
	/* what was learnt is measured by the first 96 rows, the last time the scale was looked at */
	for (int i = 0; i < ROWS; i++) {
		real z[DIM + 1];
		for (int j = 0; j < DIM; j++) {
			real mean = 0, square = 0;
			for (int k = 0; k < 96; k++)
				mean += row[k][j] / 96.0L;
			for (int k = 0; k < 96; k++)
				square += (row[k][j] - mean) * (row[k][j] - mean) / 96;
			z[j] = square > 0 ? (row[i][j] - mean) / sqrtl(square) : 0;
		}
		z[DIM] = 1;
		twin_learn(t[i % 2], z, reward[i], 1);
	}
	for (int a = 0; a < 2; a++) {
		real theta[DIM + 1];
		twin_solve(t[a], t[a].b, theta);
		for (int j = 0; j <= DIM; j++)
			worst = fmax(worst, fabs(bandit_theta(b, (size_t)a)[j] - (double)theta[j]));
		twin_free(t[a]);
	}
	claim(worst < 1e-9, "features standardised while they come: all rows count by the latest scale, also a feature that "
	    "never changes (theta off by %.1g)", worst);
	bandit_desk_free(d);
	bandit_free(b);
}

static void
half_life_fades(void)
{
	enum { DIM = 3, ROWS = 60 };
	struct bandit_settings set = plain;
	set.half_life = 10;
	struct bandit *b = new_bandit(set, DIM, 1);
	struct bandit_desk *d = bandit_desk_new(b, 1);
	struct rng r = rng_at(6, 0);
	struct twin t = twin_new(DIM, 1);
	double worst = 0;
	real theta[DIM];

	for (int i = 0; i < ROWS; i++) {
		double raw[DIM];
		real x[DIM];
		for (int j = 0; j < DIM; j++)
			x[j] = raw[j] = (float)rng_normal(&r);
		bandit_look(d, 0, raw);
		bandit_learn(b, d, 0, i < 30);
		twin_learn(t, x, i < 30, powl(2, -(ROWS - 1 - i) / 10.0L));
	}
	twin_solve(t, t.b, theta);
	for (int j = 0; j < DIM; j++)
		worst = fmax(worst, fabs(bandit_theta(b, 0)[j] - (double)theta[j]));
	claim(worst < 1e-12, "with a half-life of 10 an observation weighs half after 10 further ones, the prior stays "
	    "(theta off by %.1g)", worst);
	twin_free(t);
	bandit_desk_free(d);
	bandit_free(b);
}

/* ---- policies ---- */

static void
draws_have_their_propensities(void)
{
	enum { ARMS = 4, DRAWS = 40000 };
	static const enum bandit_policy policy[] = { BANDIT_LINTS, BANDIT_EGREEDY, BANDIT_SQUARECB, BANDIT_UNIFORM };

	for (size_t k = 0; k < 4; k++) {
		struct bandit_settings set = plain;
		set.policy = policy[k];
		struct bandit *b = new_bandit(set, 2, ARMS);
		struct bandit_desk *d = bandit_desk_new(b, 1);
		double x[2] = { 1, 0.5 }, sum = 0, worst = 0, worst_stated = 0;
		size_t count[ARMS] = {0};
		for (int i = 0; i < 30; i++) {
			double y[2] = { 1, i % 3 - 1.0 };
			bandit_look(d, 0, y);
			bandit_learn(b, d, (size_t)(i * i % ARMS), i % 4 == 0);
		}
		bandit_look(d, 0, x);
		bandit_score(d, 1);
		for (uint64_t i = 0; i < DRAWS; i++) {
			struct bandit_choice c;
			bandit_choose(d, 0, i, &c);
			count[c.arm]++;
			worst_stated = fmax(worst_stated, fabs(c.propensity - bandit_propensity(d, 0, c.arm)));
		}
		for (size_t a = 0; a < ARMS; a++) {
			double p = bandit_propensity(d, 0, a);
			sum += p;
			worst = fmax(worst, fabs((double)count[a] / DRAWS - p) / sqrt(p * (1 - p) / DRAWS + 1e-12));
		}
		claim(fabs(sum - 1) < 1e-9 && worst < 4 && worst_stated == 0, "%s: propensities sum to 1 and are those of %d draws "
		    "(at most %.1f standard errors apart)", bandit_policy_name[set.policy], DRAWS, worst);
		bandit_desk_free(d);
		bandit_free(b);
	}
	double mean[2] = { 0.3, 0.1 }, variance[2] = { 0.04, 1e-6 }, want = 0.5 * erfc(-0.2 / sqrt(2 * 0.040001));
	claim(fabs(bandit_largest(mean, variance, 1, 2, 0) - want) < 1e-11 && fabs(bandit_largest(mean, variance, 1, 2, 1) - 1 + want) < 1e-11,
	    "of two arms of very different spread the chance of the larger draw is the known one to 11 digits");
}

static void
ties_go_to_the_first(void)
{
	struct bandit *b = new_bandit(plain, 3, 5);
	struct bandit_desk *d = bandit_desk_new(b, 1);
	double x[2][3] = { { 1, 2, 3 }, { 3, 1, 2 } }, y[3] = { 1, 1, 1 };
	struct bandit_choice c;

	bandit_look(d, 0, y);
	bandit_score(d, 1);
	bandit_choose(d, 0, 0, &c);
	int first = c.arm == 0;
	/* both arms learn as much about y, from different rows: the same score but for rounding */
	bandit_look(d, 0, x[0]);
	bandit_learn(b, d, 1, 2);
	bandit_look(d, 0, x[1]);
	bandit_learn(b, d, 0, 2);
	bandit_look(d, 0, y);
	bandit_score(d, 1);
	bandit_choose(d, 0, 0, &c);
	claim(first && c.arm == 0, "equal scores, also those equal but for rounding, go to the arm named first");
	bandit_desk_free(d);
	bandit_free(b);
}

static void
batches_do_not_matter(void)
{
	enum { DIM = 20, ARMS = 300, ROWS = 7 };
	struct bandit *b = new_bandit(plain, DIM, ARMS);
	struct bandit_desk *one = bandit_desk_new(b, 1), *many;
	struct rng r = rng_at(8, 0);
	double x[ROWS][DIM];
	int same = 1;

	for (int i = 0; i < 500; i++) {
		for (int j = 0; j < DIM; j++)
			x[0][j] = rng_normal(&r);
		bandit_look(one, 0, x[0]);
		bandit_learn(b, one, (size_t)(i * 7 % ARMS), i % 2);
	}
	many = bandit_desk_new(b, ROWS);
	for (size_t i = 0; i < ROWS; i++) {
		for (int j = 0; j < DIM; j++)
			x[i][j] = rng_normal(&r);
		bandit_look(many, i, x[i]);
	}
	bandit_score(many, ROWS);
	for (size_t i = 0; i < ROWS; i++) {
		struct bandit_choice p, q;
		bandit_look(one, 0, x[i]);
		bandit_score(one, 1);
		bandit_choose(one, 0, i, &p);
		bandit_choose(many, i, i, &q);
		same &= p.arm == q.arm && memcmp(&p.score, &q.score, sizeof p.score) == 0;
	}
	claim(same, "%d rows looked at together get the bits that each gets alone", ROWS);
	bandit_desk_free(one);
	bandit_desk_free(many);
	bandit_free(b);
}

/* ---- the state ---- */

static struct bandit *
through_a_state(struct bandit *b, const char *path)
{
	struct fault f;

	struct state *s = state_open(path, STATE_CREATE, &f);
	if (!s || state_begin(s, &f) < 0 || bandit_save(b, s, &f) < 0 || state_commit(s, &f) < 0) {
		claim(0, "%s", f.text);
		exit(1);
	}
	bandit_free(b);
	b = bandit_load(s, &f);
	state_close(s, &f);
	if (!b) {
		claim(0, "%s", f.text);
		exit(1);
	}
	return b;
}

static void
resuming_is_going_on(void)
{
	enum { DIM = 6, ARMS = 3, ROWS = 90 };

	for (int kind = 0; kind < 4; kind++) {
		struct bandit_settings set = plain;
		set.model = kind == 2 ? BANDIT_HYBRID : BANDIT_DISJOINT;
		set.standardise = set.intercept = kind == 1;
		set.half_life = kind == 3 ? 20 : 0;
		struct bandit *p = new_bandit(set, DIM, ARMS), *q = new_bandit(set, DIM, ARMS);
		struct rng r = rng_at(9, 0);
		int same = 1;
		char path[SCRATCH], file[80];
		if (scratch_folder(path) < 0)
			exit(1);
		snprintf(file, sizeof file, "%s/s", path);
		for (int i = 0; i < ROWS; i++) {
			struct bandit_desk *dp = bandit_desk_new(p, 1), *dq;
			struct bandit_choice cp, cq;
			double x[DIM];
			for (int j = 0; j < DIM; j++)
				x[j] = (float)(rng_normal(&r) * 10 + 3);
			if (i % 13 == 5)
				q = through_a_state(q, file);
			dq = bandit_desk_new(q, 1);
			bandit_observe(p, x);
			bandit_observe(q, x);
			bandit_look(dp, 0, x);
			bandit_look(dq, 0, x);
			bandit_score(dp, 1);
			bandit_score(dq, 1);
			bandit_choose(dp, 0, 0, &cp);
			bandit_choose(dq, 0, 0, &cq);
			same &= cp.arm == cq.arm && memcmp(&cp.score, &cq.score, sizeof cp.score) == 0;
			bandit_learn(p, dp, cp.arm, x[0] > 3);
			bandit_learn(q, dq, cq.arm, x[0] > 3);
			bandit_desk_free(dp);
			bandit_desk_free(dq);
		}
		claim(same, "%s: kept in a state and taken out again seven times, the bits are those of never stopping",
		    kind == 0 ? "linucb" : kind == 1 ? "standardised" : kind == 2 ? "hybrid" : "half-life");
		bandit_free(p);
		bandit_free(q);
		unlink(file);
		rmdir(path);
	}
}

/* ---- estimates ---- */

static void
estimates_by_hand(void)
{
	struct bandit_log *l = bandit_log_new(0, 1);
	struct bandit_estimate e;
	struct fault f;
	size_t first = 0;
	double sure = 1;
	struct bandit_target target = { &first, &sure, 1 };
	/* arm, reward, propensity: the judged policy always takes arm 0 */
	static const struct { size_t arm; double reward, propensity; } row[] = {
		{ 0, 1, 0.5 }, { 1, 1, 0.5 }, { 0, 0, 0.25 }, { 1, 0, 0.75 }
	};

	for (int i = 0; i < 4; i++)
		bandit_log_add(l, row[i].arm, row[i].reward, row[i].propensity, target, NULL);
	int ok = bandit_log_estimate(l, BANDIT_IPS, 2, &e, &f) == 0;
	/* terms 2, 0, 0, 0 */
	claim(ok && fabs(e.value - 0.5) < 1e-15 && fabs(e.error - 0.5) < 1e-15 && fabs(e.n_effective - 1.8) < 1e-12,
	    "IPS by hand: 0.5, standard error 0.5, 1.8 effective rows");
	ok = bandit_log_estimate(l, BANDIT_SNIPS, 2, &e, &f) == 0;
	claim(ok && fabs(e.value - 2.0 / 6) < 1e-15, "SNIPS by hand: 2 of 6");
	ok = bandit_log_estimate(l, BANDIT_DR, 2, &e, &f) == 0;
	/* even rows (arm 0: 1, 0): mean 1/2, both arms' deviations shrink to 0. odd rows (arm 1: 1, 0): the same. So q = 1/2
	   everywhere: terms 1/2 + 2 (1 - 1/2), 1/2, 1/2 + 4 (0 - 1/2), 1/2 */
	claim(ok && fabs(e.value - 0.25) < 1e-12, "doubly robust by hand: 0.25");
	ok = bandit_log_estimate(l, BANDIT_REPLAY, 2, &e, &f) < 0;
	claim(ok && f.status == 65 && strstr(f.text, "row 3 was shown with propensity 0.25"), "replay refuses a log that is not uniform, and says why");
	bandit_log_free(l);
}

static void
estimates_are_honest(void)
{
	enum { ARMS = 3, ROWS = 300, WORLDS = 400 };
	double off[BANDIT_N_ESTIMATOR] = {0}, square[BANDIT_N_ESTIMATOR] = {0}, stated[BANDIT_N_ESTIMATOR] = {0};

	for (int w = 0; w < WORLDS; w++) {
		struct rng r = rng_at(10, (uint64_t)w);
		struct bandit_log *l = bandit_log_new(2, 1);
		struct bandit_estimate e;
		struct fault f;
		for (int i = 0; i < ROWS; i++) {
			double x[2] = { rng_normal(&r), rng_normal(&r) }, sure = 1;
			size_t arm = (size_t)rng_below(&r, ARMS), best = x[0] > 0 ? 0 : 1;
			struct bandit_target target = { &best, &sure, 1 };
			double chance = 0.2 + 0.3 * (arm == 0 ? x[0] > 0 : arm == 1 ? x[0] <= 0 : 0.3);
			bandit_log_add(l, arm, rng_uniform(&r) < chance, 1.0 / ARMS, target, x);
		}
		for (int k = 0; k < BANDIT_N_ESTIMATOR; k++) {
			bandit_log_estimate(l, (enum bandit_estimator)k, ARMS, &e, &f);
			off[k] += (e.value - 0.5) / WORLDS;
			square[k] += (e.value - 0.5) * (e.value - 0.5) / WORLDS;
			stated[k] += e.error / WORLDS;
		}
		bandit_log_free(l);
	}
	static const char *const name[] = { "IPS", "SNIPS", "doubly robust", "replay" };
	for (int k = 0; k < BANDIT_N_ESTIMATOR; k++)
		claim(fabs(off[k]) < 4 * sqrt(square[k] / WORLDS) && fabs(stated[k] / sqrt(square[k]) - 1) < 0.15,
		    "%s over %d logs of %d rows: bias %.4f is chance, the stated standard error %.3f is the true one %.3f",
		    name[k], WORLDS, ROWS, off[k], stated[k], sqrt(square[k]));
	claim(square[BANDIT_DR] < square[BANDIT_IPS], "doubly robust errs less than IPS");
}

int
main(void)
{
	linucb_is_exact(1, 2, 60);
	linucb_is_exact(8, 3, 200);
	linucb_is_exact(17, 5, 200);
	linucb_is_exact(33, 2, 120);
	hybrid_is_exact();
	bits_are_those_of_the_order();
	all_widths_give_the_same_bits();
	root_follows_its_sums();
	scale_does_not_matter();
	half_life_fades();
	draws_have_their_propensities();
	ties_go_to_the_first();
	batches_do_not_matter();
	resuming_is_going_on();
	estimates_by_hand();
	estimates_are_honest();
	return claim_n_failed != 0;
}
