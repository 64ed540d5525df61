/* attend.c - attention against a slow twin in long double, straight from the formulas */
#include "attend/attend.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "belief/belief.h"
#include "claim.h"
#include "mat/mat.h"
#include "vectors.h"

static const struct belief_prior prior = { .lambda = 100, .noise_var = .05, .base_rate = .03, .has_query = 1, .query_mean = .5,
    .query_var = .05 };

/* -- a pool of unit vectors in loose groups, so that scores spread as those of texts do -- */

struct world {
	size_t n_row, dim, n_cluster;
	float *x;               /* [n_row][dim] */
	size_t *cluster;        /* [n_row] */
	double *mean;           /* [dim] */
	double score_sd;
	int copies;             /* rows are lent as copies at odd addresses */
	size_t bad_row;         /* reading a tile from this row on fails */
};

static struct world
world_new(size_t n_row, size_t dim, size_t n_cluster)
{
	struct world w = { n_row, dim, n_cluster, xmalloc(n_row * dim, sizeof(float)), xmalloc(n_row, sizeof(size_t)),
	    xcalloc(dim, sizeof(double)), 0, 0, SIZE_MAX };
	float *centre = xmalloc(n_cluster * dim, sizeof *centre);
	long double *moment = xcalloc(dim * dim, sizeof *moment), sum = 0, square = 0, quartic = 0, n_pair;

	for (size_t c = 0; c < n_cluster; c++)
		unit(centre + c * dim, dim);
	for (size_t j = 0; j < n_row; j++) {
		float *x = w.x + j * dim;
		w.cluster[j] = rng_below(&rng, n_cluster);
		unit(x, dim);
		for (size_t d = 0; d < dim; d++)
			x[d] += .7f * centre[w.cluster[j] * dim + d];
		mat_normalise(x, dim);
		for (size_t d = 0; d < dim; d++)
			w.mean[d] += x[d] / (double)n_row;
	}
	/* Sums over pairs i /= j of s and s^2, from the rows' sum and their second moment. */
	for (size_t j = 0; j < n_row; j++) {
		const float *x = w.x + j * dim;
		long double length = 0;
		for (size_t d = 0; d < dim; d++) {
			length += (long double)x[d] * x[d];
			for (size_t e = 0; e < dim; e++)
				moment[d * dim + e] += (long double)x[d] * x[e];
		}
		quartic += length * length;
	}
	for (size_t d = 0; d < dim; d++) {
		long double s = 0;
		for (size_t j = 0; j < n_row; j++)
			s += w.x[j * dim + d];
		sum += s * s - moment[d * dim + d];
		for (size_t e = 0; e < dim; e++)
			square += moment[d * dim + e] * moment[d * dim + e];
	}
	n_pair = (long double)n_row * (n_row - 1);
	if (n_row > 1)
		w.score_sd = (double)sqrtl(fmaxl(0, (square - quartic) / n_pair - sum / n_pair * (sum / n_pair)));
	free(centre);
	free(moment);
	return w;
}

static void
world_free(struct world *w)
{
	free(w->x);
	free(w->cluster);
	free(w->mean);
}

static const float *
world_rows(void *arg, size_t from, size_t n, float *scratch, struct fault *f)
{
	const struct world *w = arg;

	if (from + n > w->bad_row) {
		fault(f, EX_DATAERR, "rows %zu to %zu are damaged", from, from + n);
		return NULL;
	}
	if (!w->copies)
		return w->x + from * w->dim;
	memcpy(scratch, w->x + from * w->dim, n * w->dim * sizeof *scratch);
	return scratch;
}

static size_t
world_cluster(void *arg, size_t row)
{
	return ((const struct world *)arg)->cluster[row];
}

static struct attend_pool
world_pool(struct world *w)
{
	return (struct attend_pool){ .n_row = w->n_row, .dim = w->dim, .n_cluster = w->n_cluster, .mean = w->mean,
	    .rows = world_rows, .cluster = world_cluster, .arg = w };
}

static struct attend_settings
settings_of(const struct world *w, double alpha_per_beta, double kappa)
{
	double beta = attend_beta(w->n_row, w->dim, w->score_sd);

	return (struct attend_settings){ .gain = 2, .beta = beta, .alpha = alpha_per_beta * beta, .kappa = kappa,
	    .lambda = prior.lambda, .query_var = prior.query_var, .n_top = 10, .n_thread = 1 };
}

/* -- a person: observations, what lib/belief makes of them, and what the formulas make of them -- */

struct person {
	size_t dim;
	struct belief_posterior *posterior;
	long double *mean;      /* [dim + 1], the last that of what the query says */
	long double *cov;       /* [dim + 1][dim + 1] */
};

/* A := A^-1 by Gauss-Jordan without pivots, for a positive definite A. */
static void
invert(long double *a, size_t n)
{
	for (size_t p = 0; p < n; p++) {
		long double pivot = a[p * n + p];
		a[p * n + p] = 1;
		for (size_t j = 0; j < n; j++)
			a[p * n + j] /= pivot;
		for (size_t i = 0; i < n; i++)
			if (i != p) {
				long double m = a[i * n + p];
				a[i * n + p] = 0;
				for (size_t j = 0; j < n; j++)
					a[i * n + j] -= m * a[p * n + j];
			}
	}
}

static struct person
person_new(const struct world *w, size_t n_event)
{
	size_t dim = w->dim, n = dim + 1;
	struct person p = { dim, belief_posterior_new(n), xcalloc(n, sizeof(long double)), xcalloc(n * n, sizeof(long double)) };
	struct belief *b = belief_new(n);
	long double *sum = xcalloc(n, sizeof *sum);
	float *f = xmalloc(n, sizeof *f), *taste = xmalloc(dim, sizeof *taste), *asked = xmalloc(dim, sizeof *asked);
	struct fault fault;

	unit(taste, dim);
	for (size_t d = 0; d < dim; d++)
		p.cov[d * n + d] = prior.lambda;
	p.cov[dim * n + dim] = 1 / (long double)prior.query_var;
	sum[dim] = prior.query_mean / (long double)prior.query_var;
	for (size_t e = 0; e < n_event; e++) {
		const float *x = w->x + rng_below(&rng, w->n_row) * dim;
		for (size_t d = 0; d < dim; d++)
			f[d] = (float)(x[d] - w->mean[d]);
		unit(asked, dim);
		belief_extend(f, asked, dim, f);
		double reward = mat_dot64(f, taste, dim) > 0;
		if (belief_learn(b, f, reward, (double)e, 0, &fault) < 0)
			claim(0, "belief_learn: %s", fault.text);
		for (size_t i = 0; i < n; i++) {
			sum[i] += f[i] * ((long double)reward - prior.base_rate) / prior.noise_var;
			for (size_t j = 0; j < n; j++)
				p.cov[i * n + j] += (long double)f[i] * f[j] / prior.noise_var;
		}
	}
	invert(p.cov, n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			p.mean[i] += p.cov[i * n + j] * sum[j];
	if (belief_solve(p.posterior, b, &prior, &fault) < 0)
		claim(0, "belief_solve: %s", fault.text);
	belief_free(b);
	free(sum);
	free(f);
	free(taste);
	free(asked);
	return p;
}

static void
person_free(struct person *p)
{
	belief_posterior_free(p->posterior);
	free(p->mean);
	free(p->cov);
}

static void
person_variances(const void *user, const float *x, const float *f, size_t n, double *variance, double *scratch)
{
	belief_variances(user, f, x, n, variance, scratch);
}

static struct attend_query
ask(const float *x, const struct person *p, const double *bonus)
{
	struct attend_query q = { .x = x, .bonus = bonus };

	if (p) {
		q.user_mean = belief_mean(p->posterior);
		q.query_weight = belief_query_weight(q.user_mean, p->dim + 1, &prior);
		q.user = p->posterior;
		q.variances = person_variances;
		q.n_scratch = belief_scratch_many(p->posterior, ATTEND_N_SHARP);
	}
	return q;
}

/* -- the twin -- */

struct twin {
	long double *weight;    /* [n_row] */
	long double *logit;     /* [n_row] */
	long double *z;         /* [dim] */
	size_t *order;          /* [n_row], heaviest first */
	long double entropy, tau, temperature;
};

static const struct twin *sorting;

static int
heavier(const void *s, const void *t)
{
	size_t i = *(const size_t *)s, j = *(const size_t *)t;
	long double a = sorting->logit[i], b = sorting->logit[j];

	return a > b ? -1 : a < b ? 1 : i < j ? -1 : i > j;
}

static struct twin
twin_new(const struct world *w, const struct attend_settings *set, const float *x, const struct person *p,
    const double *bonus)
{
	size_t n = w->n_row, dim = w->dim, n_sharp = n < 64 ? n : 64;
	struct twin t = { xcalloc(n, sizeof(long double)), xcalloc(n, sizeof(long double)),
	    xcalloc(dim, sizeof(long double)), xmalloc(n, sizeof(size_t)), 0, 0, 0 };
	long double *f = xmalloc(dim + 1, sizeof *f), total = 0, tau2 = 0, says = p ? set->gain * p->mean[dim] : 1;

	for (size_t j = 0; j < n; j++) {
		long double s = 0;
		for (size_t d = 0; d < dim; d++)
			s += (says * x[d] + (p ? set->gain * p->mean[d] : 0)) * w->x[j * dim + d];
		t.logit[j] = set->beta * s + (bonus ? set->alpha * (long double)bonus[w->cluster[j]] : 0);
		t.order[j] = j;
	}
	sorting = &t;
	qsort(t.order, n, sizeof *t.order, heavier);
	long double best = t.logit[t.order[0]];
	for (size_t k = 0; k < n_sharp; k++)
		total += expl(t.logit[t.order[k]] - best);
	for (size_t k = 0; k < n_sharp; k++) {
		size_t j = t.order[k];
		long double variance = 0;
		f[dim] = 0;
		for (size_t d = 0; d < dim; d++) {
			f[d] = w->x[j * dim + d] - (long double)w->mean[d];
			f[dim] += f[d] * x[d];
		}
		for (size_t d = 0; d <= dim; d++)
			if (p)
				for (size_t e = 0; e <= dim; e++)
					variance += f[d] * p->cov[d * (dim + 1) + e] * f[e];
			else
				variance += f[d] * f[d] * (d < dim ? 1 / (long double)set->lambda : set->query_var);
		tau2 += expl(t.logit[j] - best) / total * variance;
	}
	t.tau = sqrtl(tau2);
	t.temperature = sqrtl(1 + set->kappa * (acosl(-1) / 8) * set->beta * set->beta * set->gain * set->gain * tau2);
	total = 0;
	for (size_t j = 0; j < n; j++)
		total += t.weight[j] = expl((t.logit[j] - best) / t.temperature);
	for (size_t j = 0; j < n; j++) {
		t.weight[j] /= total;
		if (t.weight[j] > 0)
			t.entropy -= t.weight[j] * logl(t.weight[j]);
		for (size_t d = 0; d < dim; d++)
			t.z[d] += t.weight[j] * w->x[j * dim + d];
	}
	free(f);
	return t;
}

static void
twin_free(struct twin *t)
{
	free(t->weight);
	free(t->logit);
	free(t->z);
	free(t->order);
}

struct errors {
	double weight, z, entropy, tau, temperature, parts;
	size_t n_order;         /* items out of the twin's order whose logits differ by more than rounding */
};

static double
relative(double got, long double want)
{
	return (double)(fabsl(got - want) / fmaxl(fabsl(want), 1e-12L));
}

static void
compare(struct errors *e, const struct attend *a, size_t i, const struct attend_result *r, const struct world *w,
    const struct attend_settings *set, const struct attend_query *q, const struct person *p)
{
	struct twin t = twin_new(w, set, q->x, p, q->bonus);
	long double off = 0, length = 0;

	for (size_t j = 0; j < w->n_row; j++)
		if (t.weight[j] > 1e-30L)
			e->weight = fmax(e->weight, relative(attend_weight(a, i, j), t.weight[j]));
	for (size_t d = 0; d < w->dim; d++) {
		off += (r->z[d] - t.z[d]) * (r->z[d] - t.z[d]);
		length += t.z[d] * t.z[d];
	}
	e->z = fmax(e->z, (double)sqrtl(off / length));
	e->entropy = fmax(e->entropy, (double)fabsl(r->entropy_nats - t.entropy) / fmax(1e-3, (double)t.entropy));
	e->tau = fmax(e->tau, relative(r->uncertainty, t.tau));
	e->temperature = fmax(e->temperature, relative(r->temperature, t.temperature));
	if (r->n_item != (set->n_top < w->n_row ? set->n_top : w->n_row))
		e->n_order++;
	for (size_t k = 0; k < r->n_item; k++) {
		const struct attend_item *item = &r->item[k];
		if (fabsl(t.logit[item->row] - t.logit[t.order[k]]) > 1e-6L)
			e->n_order++;
		e->weight = fmax(e->weight, relative(item->weight, t.weight[item->row]));
		e->parts = fmax(e->parts, fabs(item->content + item->personal + item->bonus - item->logit));
		e->parts = fmax(e->parts, (double)fabsl(item->logit - t.logit[item->row]));
		if (k > 0 && r->item[k - 1].logit < item->logit)
			e->n_order++;
	}
	twin_free(&t);
}

static void
say(const struct errors *e, const char *what)
{
	claim(e->weight < 1e-5, "%s: every weight is the twin's within 1e-5 (%.1e)", what, e->weight);
	claim(e->z < 1e-5, "%s: z is the twin's within 1e-5 (%.1e)", what, e->z);
	claim(e->entropy < 1e-5 && e->tau < 1e-5 && e->temperature < 1e-5,
	    "%s: entropy, tau and T are the twin's within 1e-5 (%.1e %.1e %.1e)", what, e->entropy, e->tau, e->temperature);
	claim(e->parts < 1e-6 && e->n_order == 0, "%s: items come in the twin's order, and their parts sum to the logit", what);
}

/* Everybody over pools of a size: nobody, few observations, many (kept as sums), with and without a bonus. */
static void
against_twin(size_t n_row, size_t dim)
{
	struct world w = world_new(n_row, dim, 7);
	struct person known[3] = { person_new(&w, 1), person_new(&w, 12), person_new(&w, 400) };
	struct attend_settings set = settings_of(&w, .2, .2);
	struct attend_pool pool = world_pool(&w);
	struct errors e = {0};
	enum { N = 8 };
	struct attend_query query[N];
	const struct person *who[N];
	struct attend_result result[N];
	struct fault f;
	float *x = xmalloc(N * dim, sizeof *x);
	double bonus[7];
	char what[100];

	for (int c = 0; c < 7; c++)
		bonus[c] = c % 3 ? rng_uniform(&rng) : 1;
	for (size_t i = 0; i < N; i++) {
		unit(x + i * dim, dim);
		who[i] = i % 4 ? &known[i % 4 - 1] : NULL;
		query[i] = ask(x + i * dim, who[i], i < 4 ? NULL : bonus);
	}
	struct attend *a = attend_new(&pool, &set, N);
	int ok = attend_run(a, N, query, result, &f) == 0;
	for (size_t i = 0; ok && i < N; i++)
		compare(&e, a, i, &result[i], &w, &set, &query[i], who[i]);
	attend_free(a);
	/* full widening, then none, and a list longer than what tau is taken over */
	set.kappa = 1;
	set.n_top = 100;
	a = attend_new(&pool, &set, N);
	ok &= attend_run(a, N, query, result, &f) == 0;
	for (size_t i = 0; ok && i < N; i++)
		compare(&e, a, i, &result[i], &w, &set, &query[i], who[i]);
	attend_free(a);
	set.kappa = 0;
	set.n_top = 1;
	a = attend_new(&pool, &set, N);
	ok &= attend_run(a, N, query, result, &f) == 0;
	for (size_t i = 0; ok && i < N; i++) {
		compare(&e, a, i, &result[i], &w, &set, &query[i], who[i]);
		ok &= result[i].temperature == 1;
	}
	attend_free(a);
	snprintf(what, sizeof what, "%zu rows of %zu", n_row, dim);
	claim(ok, "%s: attention runs, and without widening T is 1", what);
	say(&e, what);
	for (int p = 0; p < 3; p++)
		person_free(&known[p]);
	free(x);
	world_free(&w);
}

static int
same(const struct attend_result *a, const struct attend_result *b, size_t dim)
{
	return memcmp(a->z, b->z, dim * sizeof *a->z) == 0 && a->n_item == b->n_item &&
	    memcmp(a->item, b->item, a->n_item * sizeof *a->item) == 0 && a->entropy_nats == b->entropy_nats &&
	    a->uncertainty == b->uncertainty && a->temperature == b->temperature;
}

/* The same query in any batch, on any number of threads, over rows lent or copied: the same bits. */
static void
same_bits(void)
{
	enum { N = 45, DIM = 100 };     /* more than KERNEL_MANY */
	struct world w = world_new(3333, DIM, 5);
	struct person known = person_new(&w, 30);
	struct attend_settings set = settings_of(&w, .2, .2);
	struct attend_pool pool = world_pool(&w);
	struct attend_query query[N], backwards[N];
	struct attend_result result[N], other[N];
	struct fault f;
	float *x = xmalloc(N * DIM, sizeof *x);
	double bonus[5] = { .5, .6, .7, .8, 1 };
	int batch = 1, threads = 1, order = 1, copies = 1, choice = 1;

	for (size_t i = 0; i < N; i++) {
		unit(x + i * DIM, DIM);
		query[i] = ask(x + i * DIM, i % 2 ? &known : NULL, i % 3 ? bonus : NULL);
		backwards[N - 1 - i] = query[i];
	}
	struct attend *all = attend_new(&pool, &set, N), *one = attend_new(&pool, &set, 1);
	attend_run(all, N, query, result, &f);
	for (size_t i = 0; i < N; i++) {
		attend_run(one, 1, &query[i], other, &f);
		batch &= same(&result[i], &other[0], DIM);
		struct rng r = rng_at(5, i), s = rng_at(5, i);
		size_t row[3], row2[3];
		double p[3], p2[3];
		choice &= attend_choose(all, i, &r, 3, row, p) == 3 && attend_choose(one, 0, &s, 3, row2, p2) == 3;
		choice &= memcmp(row, row2, sizeof row) == 0 && memcmp(p, p2, sizeof p) == 0;
	}
	for (size_t n_thread = 2; n_thread < 5; n_thread++) {
		set.n_thread = n_thread;
		struct attend *a = attend_new(&pool, &set, N);
		attend_run(a, N, query, other, &f);
		for (size_t i = 0; i < N; i++)
			threads &= same(&result[i], &other[i], DIM);
		attend_run(a, N, backwards, other, &f);
		for (size_t i = 0; i < N; i++)
			order &= same(&result[i], &other[N - 1 - i], DIM);
		w.copies = n_thread % 2;
		attend_run(a, N, query, other, &f);
		for (size_t i = 0; i < N; i++)
			copies &= same(&result[i], &other[i], DIM);
		attend_free(a);
	}
	claim(batch, "a query alone and in a batch gives the same bits");
	claim(choice, "and so do its draws");
	claim(threads, "1, 2, 3 and 4 threads give the same bits");
	claim(order, "queries in another order give the same bits");
	claim(copies, "rows lent and rows copied give the same bits");
	attend_free(all);
	attend_free(one);
	person_free(&known);
	free(x);
	world_free(&w);
}

static void
corners(void)
{
	struct world w = world_new(2500, 24, 3);
	struct attend_settings set = settings_of(&w, 0, .2);
	struct attend_pool pool = world_pool(&w);
	struct attend_result r;
	struct fault f;
	float zero[24] = {0};

	/* rows 7, 1500 and 2000 are one text */
	memcpy(w.x + 1500 * 24, w.x + 7 * 24, 24 * sizeof(float));
	memcpy(w.x + 2000 * 24, w.x + 7 * 24, 24 * sizeof(float));
	struct attend *a = attend_new(&pool, &set, 1);
	struct attend_query q = ask(zero, NULL, NULL);
	attend_run(a, 1, &q, &r, &f);
	claim(fabs(r.entropy_nats - log(2500)) < 1e-9, "an empty query of nobody attends to all rows alike");
	claim(r.item[0].row == 0 && r.item[9].row == 9, "rows of equal weight come in the pool's order");
	q.x = w.x + 7 * 24;
	attend_run(a, 1, &q, &r, &f);
	claim(r.item[0].row == 7 && r.item[1].row == 1500 && r.item[2].row == 2000 &&
	    r.item[0].logit == r.item[2].logit, "the same text three times: the lowest row first, with one logit");

	double bonus[3] = { .25, .25, .25 };
	double entropy = r.entropy_nats;
	set.alpha = 10;
	struct attend *b = attend_new(&pool, &set, 1);
	q.bonus = bonus;
	attend_run(b, 1, &q, &r, &f);
	claim(fabs(r.entropy_nats - entropy) < 1e-7, "a bonus that is the same everywhere changes nothing beyond rounding");
	q.bonus = NULL;

	w.bad_row = 1500;
	claim(attend_run(a, 1, &q, &r, &f) < 0 && strcmp(f.text, "rows 1024 to 2048 are damaged") == 0,
	    "rows that cannot be read end the run with the first fault, in row order");
	set.n_thread = 3;
	struct attend *c = attend_new(&pool, &set, 1);
	claim(attend_run(c, 1, &q, &r, &f) < 0 && strcmp(f.text, "rows 1024 to 2048 are damaged") == 0,
	    "and so with three threads");
	w.bad_row = SIZE_MAX;
	attend_free(a);
	attend_free(b);
	attend_free(c);
	world_free(&w);

	claim(fabs(attend_beta(6000, 128, .0977) - sqrt(2 * log(6000)) / .0977) < 1e-12 &&
	    fabs(attend_beta(6000, 128, .0977) - 42.7) < .1, "beta is sqrt(2 ln N) / sd");
	claim(fabs(attend_beta(1, 25, 0) - 5 * sqrt(2 * log(2))) < 1e-12, "beta of one row is that of two random vectors");
	claim(attend_batch(1000, 0, 256) == 256 && attend_batch(1 << 20, 0, 256) == 64 &&
	    attend_batch((size_t)1 << 30, 0, 256) == 1, "large pools take smaller batches");
}

/* A known user's attention is narrower than a stranger's, and two users differ. */
static void
users_differ(void)
{
	struct world w = world_new(4000, 64, 16);
	struct attend_settings set = settings_of(&w, .2, 1);
	struct attend_pool pool = world_pool(&w);
	struct person ann = person_new(&w, 200), bob = person_new(&w, 200);
	struct attend_query q[3];
	struct attend_result r[3];
	struct fault f;
	float x[64];

	unit(x, 64);
	q[0] = ask(x, NULL, NULL);
	q[1] = ask(x, &ann, NULL);
	q[2] = ask(x, &bob, NULL);
	struct attend *a = attend_new(&pool, &set, 3);
	attend_run(a, 3, q, r, &f);
	claim(r[1].entropy_nats < r[0].entropy_nats && r[2].entropy_nats < r[0].entropy_nats,
	    "after 200 rewards attention is narrower than a stranger's");
	claim(r[1].uncertainty < r[0].uncertainty && r[1].temperature < r[0].temperature,
	    "and less uncertain, and less wide");
	claim(mat_dot64(r[1].z, r[2].z, 64) < .8 * mat_norm(r[1].z, 64) * mat_norm(r[2].z, 64),
	    "two users get different answers to one query");
	attend_free(a);
	person_free(&ann);
	person_free(&bob);
	world_free(&w);
}

/* Draws follow A: chi-square over 12 rows and 20,000 draws. */
static void
draws(void)
{
	enum { N = 12, DRAWS = 20000 };
	struct world w = world_new(N, 6, 2);
	struct attend_settings set = settings_of(&w, 0, .2);
	struct attend_pool pool = world_pool(&w);
	struct attend_result r;
	struct fault f;
	size_t count[N] = {0}, pair[N][N] = {{0}}, row[N + 1];
	double propensity[N + 1], chi = 0, chi_pair = 0, off = 0;
	int distinct = 1, n_cell = 0;
	float x[6];

	unit(x, 6);
	struct attend_query q = ask(x, NULL, NULL);
	struct attend *a = attend_new(&pool, &set, 1);
	attend_run(a, 1, &q, &r, &f);
	for (size_t s = 0; s < DRAWS; s++) {
		struct rng draw = rng_at(s, 99);
		distinct &= attend_choose(a, 0, &draw, 2, row, propensity) == 2 && row[0] != row[1];
		count[row[0]]++;
		pair[row[0]][row[1]]++;
		off = fmax(off, fabs(propensity[0] - attend_weight(a, 0, row[0])));
		off = fmax(off, fabs(propensity[1] - attend_weight(a, 0, row[1]) / (1 - attend_weight(a, 0, row[0]))));
	}
	for (size_t j = 0; j < N; j++) {
		double want = attend_weight(a, 0, j) * DRAWS;
		chi += ((double)count[j] - want) * ((double)count[j] - want) / want;
		for (size_t k = 0; k < N; k++) {
			want = attend_weight(a, 0, j) * attend_weight(a, 0, k) / (1 - attend_weight(a, 0, j)) * DRAWS;
			if (j == k || want < 5)
				continue;
			chi_pair += ((double)pair[j][k] - want) * ((double)pair[j][k] - want) / want;
			n_cell++;
		}
	}
	/* the .999 point of chi-square with 11 degrees of freedom; mean + 4 sd for the pairs */
	claim(chi < 31.3, "draws follow the weights (chi-square %.1f)", chi);
	claim(chi_pair < n_cell + 4 * sqrt(2. * n_cell), "the second draw follows what the first left (chi-square %.1f of %d)",
	    chi_pair, n_cell);
	claim(distinct, "two draws are two rows");
	claim(off < 1e-12, "propensities are the weights, and the weights of what was left");
	struct rng draw = rng_at(1, 1);
	size_t n = attend_choose(a, 0, &draw, N + 1, row, propensity), seen = 0;
	for (size_t k = 0; k < n; k++)
		seen |= (size_t)1 << row[k];
	claim(n == N && seen == (1 << N) - 1 && propensity[N - 1] == 1, "a pool can be drawn to its last row, and no further");
	double total = 0;
	for (size_t j = 0; j < N; j++)
		total += attend_weight(a, 0, j);
	claim(fabs(total - 1) < 1e-12, "weights sum to 1, also after draws");
	attend_free(a);
	world_free(&w);
}

int
main(void)
{
	static const size_t size[] = { 1, 2, 63, 64, 65, 1023, 1024, 1025, 5000, 80001 };
	struct fault f;

	rng = rng_at(20, 6);
	claim(mat_check(&f) == 0, "the BLAS of this machine computes right");
	for (size_t s = 0; s < sizeof size / sizeof *size; s++)
		against_twin(size[s], size[s] == 5000 ? 128 : size[s] % 2 ? 33 : 64);
	same_bits();
	corners();
	users_differ();
	draws();
	return claim_n_failed != 0;
}
