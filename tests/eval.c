/*
 * Systems and measures of hare-eval against slow honest twins.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "base/rng.h"
#include "belief/belief.h"
#include "claim.h"
#include "eval/measure.h"
#include "eval/run.h"
#include "eval/space.h"
#include "eval/system.h"
#include "eval/tune.h"
#include "mat/mat.h"

enum { N = 40, DIM = 6, N_QUERY = 12, N_CLUSTER = 4, N_STEP = 25 };

static struct fault f;
static struct eval_space space;

static void
make_space(void)
{
	struct rng r = rng_at(11, 0);
	float *x = malloc(N * DIM * sizeof *x), *q = malloc(N_QUERY * DIM * sizeof *q);

	for (size_t i = 0; i < N * DIM; i++)
		x[i] = (float)rng_normal(&r);
	for (size_t i = 0; i < N_QUERY * DIM; i++)
		q[i] = (float)rng_normal(&r);
	for (size_t i = 0; i < N; i++)
		mat_normalise(x + i * DIM, DIM);
	for (size_t i = 0; i < N_QUERY; i++)
		mat_normalise(q + i * DIM, DIM);
	eval_space_of(&space, x, N, DIM);
	space.n_cluster = N_CLUSTER;
	for (size_t i = 0; i < N; i++)
		space.cluster[i] = (uint32_t)(i % N_CLUSTER);
	eval_space_ask(&space, q, N_QUERY, 1, EVAL_COSINE_BYTES);
}

static struct eval_ask
ask_of(size_t query, uint64_t draw)
{
	static float scratch[N];

	return (struct eval_ask){ .x = space.query + query * DIM, .cosine = eval_space_cosine(&space, query, scratch), .draw = draw };
}

/* One step of the history that all tests of learners use: two rows are shown, whose rewards are drawn. */
struct shown {
	size_t query;
	uint32_t row[2];
	double reward[2];
};

static void
make_history(struct shown *h, uint64_t seed)
{
	struct rng r = rng_at(seed, 1);

	for (size_t t = 0; t < N_STEP; t++) {
		h[t].query = rng_below(&r, N_QUERY);
		h[t].row[0] = (uint32_t)rng_below(&r, N / 4);    /* few, so that rows come again */
		h[t].row[1] = (h[t].row[0] + 1 + (uint32_t)rng_below(&r, N / 4)) % N;
		for (size_t i = 0; i < 2; i++)
			h[t].reward[i] = rng_uniform(&r) < .4;
	}
}

static void *
taught(const struct eval_system *s, const double *value, const struct shown *h, size_t n)
{
	void *user = s->create(s->arg, &space, value, 5, 0);

	for (size_t t = 0; t < n; t++) {
		struct eval_ask ask = ask_of(h[t].query, t);
		if (s->learn(user, &ask, h[t].row, h[t].reward, 2, &f) < 0)
			claim(0, "%s learns: %s", s->name, f.text);
	}
	return user;
}

/* -- ridge regression by Gauss-Jordan: mean and x' A^-1 x in the features of a twin -- */

enum { FEATURES = DIM + 2 + N * (DIM + 1) };

static void
invert(const long double *a, size_t n, long double *inverse)
{
	long double *m = malloc(n * n * sizeof *m);

	memcpy(m, a, n * n * sizeof *m);
	for (size_t i = 0; i < n * n; i++)
		inverse[i] = i / n == i % n;
	for (size_t p = 0; p < n; p++) {
		long double pivot = m[p * n + p];
		for (size_t j = 0; j < n; j++) {
			m[p * n + j] /= pivot;
			inverse[p * n + j] /= pivot;
		}
		for (size_t i = 0; i < n; i++) {
			long double by = m[i * n + p];
			if (i == p || by == 0)
				continue;
			for (size_t j = 0; j < n; j++) {
				m[i * n + j] -= by * m[p * n + j];
				inverse[i * n + j] -= by * inverse[p * n + j];
			}
		}
	}
	free(m);
}

/* Features of a row under a query: fills z [FEATURES], returns how many there are. */
typedef size_t features_of(const struct eval_ask *ask, uint32_t row, double *z);

static size_t
linear_features(const struct eval_ask *ask, uint32_t row, double *z)
{
	for (size_t d = 0; d < DIM; d++)
		z[d] = (double)space.x[row * DIM + d];
	z[DIM] = (double)ask->cosine[row];
	z[DIM + 1] = 1;
	return DIM + 2;
}

/* With an intercept for each row, scaled so that its prior precision is own and not lambda. */
static double own_scale;
static size_t
hybrid_features(const struct eval_ask *ask, uint32_t row, double *z)
{
	linear_features(ask, row, z);
	memset(z + DIM + 2, 0, N * sizeof *z);
	z[DIM + 2 + row] = own_scale;
	return DIM + 2 + N;
}

static size_t
item_features(const struct eval_ask *ask, uint32_t row, double *z)
{
	memset(z, 0, N * (DIM + 1) * sizeof *z);
	for (size_t d = 0; d < DIM; d++)
		z[row * (DIM + 1) + d] = (double)ask->x[d];
	z[row * (DIM + 1) + DIM] = 1;
	return N * (DIM + 1);
}

static size_t
cluster_features(const struct eval_ask *ask, uint32_t row, double *z)
{
	return item_features(ask, space.cluster[row], z);
}

/* Largest difference of what a system foretells and the twin: mean of rewards less w0 x.x_j, and spread. */
static double
difference(const struct eval_system *s, const double *value, double lambda, double w0, features_of *features)
{
	struct shown h[N_STEP];
	long double *a = calloc((size_t)FEATURES * FEATURES, sizeof *a), *inverse = malloc((size_t)FEATURES * FEATURES * sizeof *inverse);
	double *z = malloc(FEATURES * sizeof *z), b[FEATURES] = {0}, worst = 0;
	size_t n = features(&(struct eval_ask){ .x = space.query, .cosine = space.cosine }, 0, z);

	make_history(h, 3);
	void *user = taught(s, value, h, N_STEP);
	for (size_t i = 0; i < n; i++)
		a[i * n + i] = lambda;
	for (size_t t = 0; t < N_STEP; t++)
		for (size_t k = 0; k < 2; k++) {
			struct eval_ask ask = ask_of(h[t].query, 0);
			features(&ask, h[t].row[k], z);
			for (size_t i = 0; i < n; i++) {
				b[i] += z[i] * (h[t].reward[k] - w0 * (double)ask.cosine[h[t].row[k]]);
				for (size_t j = 0; z[i] != 0 && j < n; j++)
					a[i * n + j] += z[i] * z[j];
			}
		}
	invert(a, n, inverse);
	for (uint32_t row = 0; row < N; row++) {
		struct eval_ask ask = ask_of(row % N_QUERY, 0);
		double mean, sd;
		long double twin_mean = w0 * (double)ask.cosine[row], twin_var = 0;
		s->foretell(user, &ask, &row, 1, &mean, &sd, &f);
		features(&ask, row, z);
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; z[i] != 0 && j < n; j++) {
				twin_mean += z[i] * inverse[i * n + j] * b[j];
				twin_var += z[i] * inverse[i * n + j] * z[j];
			}
		worst = fmax(worst, fabs(mean - (double)twin_mean));
		worst = fmax(worst, fabs(sd - sqrt((double)twin_var * space.prior.noise_var)));
	}
	s->free(user);
	free(z);
	free(inverse);
	free(a);
	return worst;
}

static void
test_linear(void)
{
	double value[] = { 2, .1, .3, 5 };

	claim(difference(&eval_linucb_user, value, 2, .3, linear_features) < 1e-9, "linucb-user is ridge regression on [x_j, cosine, 1]");
	claim(difference(&eval_thompson, value, 2, .3, linear_features) < 1e-9, "and so is what thompson draws around");
	own_scale = sqrt(2. / 5);
	claim(difference(&eval_hybrid, value, 2, .3, hybrid_features) < 1e-9,
	    "hybrid is ridge regression with an intercept for each row besides, by updates of rank one");
	claim(difference(&eval_linucb_item, value, 2, .3, item_features) < 1e-9, "linucb-item is a ridge regression for each row, in dual form");
	claim(difference(&eval_linucb_cluster, value, 2, .3, cluster_features) < 1e-9, "linucb-cluster is one for each cluster");
}

static void
test_thompson(void)
{
	struct shown h[N_STEP];
	double value[] = { 2, .5, .3 };
	uint32_t a[5], b[5];
	int n_other = 0;

	make_history(h, 4);
	void *user = taught(&eval_thompson, value, h, N_STEP);
	struct eval_ask ask = ask_of(0, 0);
	eval_thompson.rank(user, &ask, 5, a, &f);
	for (uint64_t draw = 1; draw < 50; draw++) {
		ask.draw = draw;
		eval_thompson.rank(user, &ask, 5, b, &f);
		n_other += memcmp(a, b, sizeof a) != 0;
	}
	ask.draw = 0;
	eval_thompson.rank(user, &ask, 5, b, &f);
	claim(memcmp(a, b, sizeof a) == 0 && n_other > 25, "the draw of a step is always the same, other steps draw others");
	eval_thompson.free(user);
}

/* -- HARE against lib/attend -- */

static const float *
rows(void *arg, size_t from, size_t n, float *scratch, struct fault *fault)
{
	(void)arg;
	(void)n;
	(void)scratch;
	(void)fault;
	return space.x + from * DIM;
}

static size_t
cluster(void *arg, size_t row)
{
	(void)arg;
	return space.cluster[row];
}

static void
variances(const void *user, const float *x, const float *row_f, size_t n, double *variance, double *scratch)
{
	belief_variances(user, row_f, x, n, variance, scratch);
}

static void
test_hare(void)
{
	struct shown h[N_STEP];
	double value[EVAL_KNOBS], bonus[N_CLUSTER], scratch[DIM], worst = 0, worst_mean = 0;
	float weight[N], q[DIM], row_f[DIM + 1];
	struct belief *belief = belief_new(DIM + 1);
	struct belief_posterior *posterior = belief_posterior_new(DIM + 1);
	struct belief_cluster *of[N_CLUSTER];
	uint32_t top[3];

	for (size_t i = 0; i < EVAL_KNOBS; i++)
		value[i] = NAN;
	for (size_t c = 0; c < N_CLUSTER; c++)
		of[c] = belief_cluster_new(DIM);
	make_history(h, 8);
	/* the highest logits, no slate */
	for (size_t i = 0; i < eval_hare_greedy.n_knob; i++)
		if (strcmp(eval_hare_greedy.knob[i].name, "explore") == 0)
			value[i] = -1;
	void *user = taught(&eval_hare_greedy, value, h, N_STEP);
	belief_solve(posterior, belief, &space.prior, &f);
	for (size_t t = 0; t < N_STEP; t++) {
		attend_aim(space.query + h[t].query * DIM, 1, belief_mean(posterior),
		    space.gain / belief_query_weight(belief_mean(posterior), DIM + 1, &space.prior), DIM, q);
		mat_normalise(q, DIM);
		for (size_t i = 0; i < 2; i++) {
			belief_cluster_learn(of[space.cluster[h[t].row[i]]], q);
			for (size_t d = 0; d < DIM; d++)
				row_f[d] = space.x[h[t].row[i] * DIM + d] - space.mean[d];
			belief_extend(row_f, space.query + h[t].query * DIM, DIM, row_f);
			belief_learn(belief, row_f, h[t].reward[i], (double)t, 0, &f);
		}
		belief_solve(posterior, belief, &space.prior, &f);
	}
	struct attend_pool pool = { .n_row = N, .dim = DIM, .n_cluster = N_CLUSTER, .mean = space.mean64, .rows = rows, .cluster = cluster };
	struct attend_settings set = { .gain = space.gain, .beta = space.beta, .alpha = space.bonus * space.beta, .kappa = space.kappa,
	    .lambda = space.prior.lambda, .query_var = belief_query_var(&space.prior), .n_top = 3, .n_thread = 1 };
	struct attend *attend = attend_new(&pool, &set, 1);
	int same_top = 1;
	for (size_t k = 0; k < N_QUERY; k++) {
		struct attend_query query = { .x = space.query + k * DIM,
		    .query_weight = 1, .user_times = 1 / belief_query_weight(belief_mean(posterior), DIM + 1, &space.prior), .user_mean = belief_mean(posterior), .variances = variances,
		    .user = posterior, .n_scratch = belief_scratch_many(posterior, ATTEND_N_SHARP), .bonus = bonus };
		struct attend_result result;
		struct eval_ask ask = ask_of(k, 0);
		attend_aim(query.x, 1, query.user_mean, attend_gain(space.gain, query.user_times), DIM, q);
		mat_normalise(q, DIM);
		for (size_t c = 0; c < N_CLUSTER; c++) {
			belief_cluster_solve(of[c], &f);
			bonus[c] = belief_cluster_bonus(of[c], q, scratch);
		}
		attend_run(attend, 1, &query, &result, &f);
		eval_hare.attend(user, &ask, weight, &f);
		eval_hare_greedy.rank(user, &ask, 3, top, &f);
		for (size_t i = 0; i < 3; i++)
			same_top &= top[i] == result.item[i].row;
		for (size_t i = 0; i < N; i++)
			worst = fmax(worst, fabs((double)weight[i] - attend_weight(attend, 0, i)));
		for (uint32_t i = 0; i < N; i++) {
			double mean, sd, twin, variance;
			for (size_t d = 0; d < DIM; d++)
				row_f[d] = space.x[i * DIM + d] - space.mean[d];
			belief_foretell(posterior, belief, &space.prior, row_f, ask.x, 1, &twin, &variance);
			eval_hare.foretell(user, &ask, &i, 1, &mean, &sd, &f);
			worst_mean = fmax(worst_mean, fabs(mean - twin) + fabs(sd - sqrt(variance)));
		}
	}
	claim(same_top && worst < 1e-4, "hare weighs and shows what lib/attend does with the same belief and clusters (%g)", worst);
	claim(worst_mean < 1e-6, "and foretells what the belief does");
	attend_free(attend);
	eval_hare.free(user);
	for (size_t c = 0; c < N_CLUSTER; c++)
		belief_cluster_free(of[c]);
	belief_posterior_free(posterior);
	belief_free(belief);
}

/* -- selection and scale -- */

static void
test_top(void)
{
	float score[50];
	uint32_t got[50];
	int good = 1;
	struct rng r = rng_at(2, 2);

	for (int round = 0; round < 200; round++) {
		size_t n = 1 + rng_below(&r, 50), k = rng_below(&r, n + 1);
		for (size_t i = 0; i < n; i++)
			score[i] = (float)rng_below(&r, 8);
		eval_top(score, n, k, got);
		for (size_t i = 0; i < k; i++) {
			size_t before = 0;
			for (size_t j = 0; j < n; j++)
				before += score[j] > score[got[i]] || (score[j] == score[got[i]] && j < got[i]);
			good &= before == i;
		}
	}
	claim(good, "the highest are found in order, of equals the lower row");
}

static void
test_beta(void)
{
	double sum = 0, sum2 = 0, n = N * (N - 1);

	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < N; j++)
			if (i != j) {
				double s = mat_dot64(space.x + i * DIM, space.x + j * DIM, DIM);
				sum += s;
				sum2 += s * s;
			}
	double sd = sqrt(sum2 / n - sum / n * sum / n);
	claim(fabs(space.beta * sd / sqrt(2 * log(N)) - 1) < 1e-9, "beta is sqrt(2 ln n) / sd of the scores of all pairs");
}

/* -- measures -- */

static double
reward_by_row(const void *arg, size_t user, size_t step, uint32_t row)
{
	(void)arg;
	(void)user;
	(void)step;
	return row % 7 == 0;
}

static void
test_counts(void)
{
	double mean[] = { .1, .5, .8 }, none[] = { 0, 0, 0 }, some[] = { .2, .3, .1 }, p[4], q[4], first = 0, second = 0, expected = 0;

	eval_count_distribution(mean, none, 3, p);
	claim(fabs(p[0] - .9 * .5 * .2) < 1e-9 && fabs(p[3] - .1 * .5 * .8) < 1e-9 && fabs(p[0] + p[1] + p[2] + p[3] - 1) < 1e-9,
	    "without doubt a count is that of independent rewards");
	eval_count_distribution(mean, some, 3, q);
	for (size_t c = 0; c < 4; c++) {
		first += (double)c * q[c];
		second += (double)(c * c) * q[c];
		expected += (double)(c * c) * p[c];
	}
	claim(fabs(first - 1.4) < 1e-6 && second > expected + .05, "doubt keeps the mean of a count and widens it");
}

/* A run of shown rows with rewards drawn as they are foretold, or not. */
static void
make_run(struct eval_run *r, size_t *first, size_t n_user, size_t n_show, double wrong)
{
	struct rng g = rng_at(9, 9);
	size_t n_step = 100 * n_user;

	*r = (struct eval_run){ .n_show = n_show, .shown = calloc(n_step * n_show, sizeof *r->shown),
	    .reward = calloc(n_step * n_show, sizeof *r->reward), .mean = calloc(n_step * n_show, sizeof *r->mean),
	    .sd = calloc(n_step * n_show, sizeof *r->sd) };
	for (size_t u = 0; u <= n_user; u++)
		first[u] = 100 * u;
	for (size_t step = 0; step < n_step; step++) {
		double e = rng_normal(&g), spread = .05;
		for (size_t i = 0; i < n_show; i++) {
			size_t at = step * n_show + i;
			r->mean[at] = .2 + .6 * rng_uniform(&g);
			r->sd[at] = spread;
			r->reward[at] = rng_uniform(&g) < wrong * (r->mean[at] + spread * e);
		}
	}
}

static void
test_coverage(void)
{
	enum { USERS = 60 };
	size_t first[USERS + 1];
	struct eval_task task = { .n_user = USERS, .n_step = 100 * USERS, .first = first };
	struct eval_run r;
	double right[CALIBRATION_LEVELS], wrong[CALIBRATION_LEVELS];

	make_run(&r, first, USERS, 5, 1);
	size_t n = eval_coverage(&r, &task, right);
	eval_run_free(&r);
	make_run(&r, first, USERS, 5, .7);
	eval_coverage(&r, &task, wrong);
	eval_run_free(&r);
	claim(n == 10 * USERS && fabs(right[0] - .5) < .05 && fabs(right[1] - .8) < .05 && fabs(right[2] - .95) < .025,
	    "intervals of what is foretold rightly cover what they should: %.3f %.3f %.3f", right[0], right[1], right[2]);
	claim(wrong[0] < .3 && wrong[2] < .7, "and of what is not, they do not: %.3f %.3f %.3f", wrong[0], wrong[1], wrong[2]);
}

static void
test_new(void)
{
	/* one user, two shown: 7 and 14 are rewarded; in steps 1 and 2 7 is shown, in 3 14 */
	uint32_t shown[] = { 7, 1, 2, 7, 7, 14, 3, 4 };
	float reward[] = { 1, 0, 0, 1, 1, 1, 0, 0 };
	size_t first[] = { 0, 4 };
	struct eval_run r = { .n_show = 2, .shown = shown, .reward = reward };
	struct eval_task t = { .n_user = 1, .n_step = 4, .first = first };
	struct eval_block all = { "all", 1, 10 }, late = { "late", 2, 3 };
	double hit1, hit, fresh, fresh_late;

	eval_hits(&r, &t, &all, EVAL_HIT1, &hit1);
	eval_hits(&r, &t, &all, EVAL_HIT, &hit);
	eval_hits(&r, &t, &all, EVAL_NEW, &fresh);
	eval_hits(&r, &t, &late, EVAL_NEW, &fresh_late);
	claim(hit1 == .5 && hit == .75 && fresh == .5 && fresh_late == .5, "hits, and new ones, by hand");
}

static void
test_tune(void)
{
	size_t first[] = { 0, 30, 60 };
	uint32_t query[60];
	struct eval_task task = { .n_user = 2, .n_step = 60, .first = first, .query = query, .reward = reward_by_row };
	struct eval_run_options o = { .n_show = 3, .n_thread = 1 };
	struct eval_constants c;
	struct eval_run r;
	double best = -1;

	for (size_t i = 0; i < 60; i++)
		query[i] = (uint32_t)(i % N_QUERY);
	eval_constants(&c, &eval_memory, NULL, 0, &f);
	eval_tune(&c, &eval_memory, &space, &task, &o, &f);
	for (double places = 1; places <= 5; places++) {
		eval_run(&r, &eval_memory, &places, &space, &task, &o, &f);
		best = fmax(best, eval_score(&r, &task));
		eval_run_free(&r);
	}
	claim(c.score == best && best > 0, "a constant is chosen by the highest score");
}

int
main(void)
{
	if (mat_check(&f) < 0)
		return f.status;
	make_space();
	test_top();
	test_beta();
	test_linear();
	test_thompson();
	test_hare();
	test_counts();
	test_coverage();
	test_new();
	test_tune();
	eval_space_close(&space);
	return claim_n_failed > 0;
}
