/* sublinear.c - attention by an index: time as the pool grows, and whether what is promised is kept
   usage: sublinear make N DIM FILE [GROUP [STORE]]    a pool of N rows in groups of about GROUP, sqrt(N), with an index
          sublinear time FILE...                       milliseconds a query, by the index and exact; recall of the ten best
          sublinear promise FILE N E D [MOST]          of N queries, how many were off by more than E; MOST: share of
                                                       rows beyond which all are read
   Rows: a group has a centre near one of 200 subjects, in directions that weigh less and less, as those of texts do; a
   row is its group's centre with noise of length .4. Groups grow in number and in size, both as sqrt(N). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attend_pool.c"
#include "base/rng.h"
#include "base/thread.h"
#include "mat/mat.h"

enum { N_SUBJECT = 200, BATCH = 256, N_CLUSTER = 64 };

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static void
stop(const struct fault *f)
{
	fprintf(stderr, "sublinear: %s\n", f->text);
	exit(1);
}

/* -- rows -- */

static void
noise(struct rng *r, double length, size_t dim, float *x)
{
	for (size_t d = 0; d < dim; d += 4) {
		uint64_t a = rng_u64(r), b = rng_u64(r);
		for (size_t k = 0; k < 4 && d + k < dim; k++) {         /* the sum of four bytes is near enough to a normal number */
			uint32_t four = (uint32_t)((k < 2 ? a : b) >> k % 2 * 32);
			int sum = (int)((four & 255) + (four >> 8 & 255) + (four >> 16 & 255) + (four >> 24));
			x[d + k] += (float)((sum - 510) * (length / 147.8 / sqrt((double)dim)));
		}
	}
}

static void
group_centre(size_t group, size_t dim, float *x)
{
	struct rng r = rng_at(1, group % N_SUBJECT), own = rng_at(2, group);

	for (size_t d = 0; d < dim; d++)
		x[d] = (float)((rng_normal(&r) + rng_normal(&own)) / pow(1 + (double)d, .25));
	mat_normalise(x, dim);
}

struct make {
	size_t from, n, dim, n_group;
	float *x, *centre;              /* [4096][dim], [n_group][dim] */
	size_t *cluster;
};

static void
make_row(void *arg, size_t i, size_t worker)
{
	struct make *m = arg;
	struct rng r = rng_at(3, m->from + i);
	size_t group = rng_below(&r, m->n_group);

	(void)worker;
	memcpy(m->x + i * m->dim, m->centre + group * m->dim, m->dim * sizeof *m->x);
	noise(&r, .4, m->dim, m->x + i * m->dim);
	mat_normalise(m->x + i * m->dim, m->dim);
	m->cluster[i] = group % N_SUBJECT % N_CLUSTER;
}

static int
make_pool(size_t n, size_t dim, const char *path, size_t n_each, const char *store)
{
	struct fault f;
	struct pool_format format = { .has_index = 1 };
	struct make m = { .dim = dim, .n_group = n / n_each + 1, .x = xaligned(4096 * dim, sizeof *m.x),
	    .cluster = xmalloc(4096, sizeof *m.cluster) };
	struct pool_builder *b = pool_create(path, dim, "00000000000000000000000000000000", N_CLUSTER, NULL, 0, &f);
	double t = now_ms();

	if (!b || pool_store_of(store, &format.store) < 0 || pool_set_format(b, format, &f) < 0)
		stop(&f);
	pool_set_threads(b, thread_count());
	m.centre = xaligned(m.n_group * dim, sizeof *m.centre);
	for (size_t g = 0; g < m.n_group; g++)
		group_centre(g, dim, m.centre + g * dim);
	for (m.from = 0; m.from < n; m.from += m.n) {
		m.n = n - m.from < 4096 ? n - m.from : 4096;
		thread_for(thread_count(), m.n, make_row, &m);
		for (size_t i = 0; i < m.n; i++) {
			char id[24];
			int n_id = snprintf(id, sizeof id, "r%zu", m.from + i);
			if (pool_add(b, (struct span){ id, (size_t)n_id }, m.x + i * dim, m.cluster[i], NULL, &f) < 0)
				stop(&f);
		}
	}
	double half = now_ms();
	if (pool_commit(b, &f) < 0)
		stop(&f);
	printf("%zu rows x %zu in %zu groups, %s: %.1f s, and %.1f s for ids, sums and index\n", n, dim, m.n_group, store,
	    (half - t) / 1e3,
	    (now_ms() - half) / 1e3);
	free(m.centre);
	free(m.x);
	free(m.cluster);
	return 0;
}

/* -- queries -- */

static void
variances(const void *user, const float *asked, const float *f, size_t n, double *variance, double *scratch)
{
	size_t dim = *(const size_t *)user;

	(void)asked;
	(void)scratch;
	for (size_t i = 0; i < n; i++)
		variance[i] = .002 * mat_dot64(f + i * dim, f + i * dim, dim);
}

struct asking {
	struct pool *pool;
	struct pool_index index;
	size_t dim;
	double *mean;
	struct attend_pool rows;
	struct attend_settings set;
	float *x;                       /* [BATCH][dim] */
	double *user;                   /* [BATCH][dim] */
	struct attend_query query[BATCH];
};

static void
open_asking(struct asking *a, const char *path)
{
	struct fault f;

	memset(a, 0, sizeof *a);
	if (!(a->pool = pool_open(&path, 1, NULL, NULL, &f)) || pool_index(a->pool, &a->index, &f) < 0)
		stop(&f);
	a->dim = pool_dim(a->pool);
	a->mean = xcalloc(a->dim, sizeof *a->mean);
	double sd = pool_score_sd(a->pool, a->mean);
	a->rows = attending_pool(a->pool, a->mean);
	a->rows.index = &a->index;
	a->set = (struct attend_settings){ .gain = 2, .beta = attend_beta(pool_n(a->pool), a->dim, sd), .kappa = 0,
	    .lambda = 100, .query_var = .05,
	    .n_top = 10, .n_thread = thread_count() };
	a->x = xcalloc(BATCH * a->dim, sizeof *a->x);
	a->user = xcalloc(BATCH * a->dim, sizeof *a->user);
}

static void
close_asking(struct asking *a)
{
	free(a->user);
	free(a->x);
	free(a->mean);
	pool_close(a->pool);
}

/* Query number k: a row with noise of length .6, as a question is to its answer; of somebody known, whose taste, of
   length .4, lies where another row and its neighbours are. */
static void
make_query(struct asking *a, size_t at, size_t k, int is_known)
{
	struct fault f;
	struct rng r = rng_at(4, k);
	float *x = a->x + at * a->dim, *row = xmalloc(a->dim, sizeof *row);
	double *u = a->user + at * a->dim, length = 0;
	const float *from = pool_rows(a->pool, rng_below(&r, pool_n(a->pool)), 1, row, &f);

	if (!from)
		stop(&f);
	memcpy(x, from, a->dim * sizeof *x);
	noise(&r, .6, a->dim, x);
	mat_normalise(x, a->dim);
	if (!(from = pool_rows(a->pool, rng_below(&r, pool_n(a->pool)), 1, row, &f)))
		stop(&f);
	float *taste = xmalloc(a->dim, sizeof *taste);
	memcpy(taste, from, a->dim * sizeof *taste);
	noise(&r, .3, a->dim, taste);
	for (size_t d = 0; d < a->dim; d++)
		length += (taste[d] - a->mean[d]) * (taste[d] - a->mean[d]);
	for (size_t d = 0; d < a->dim; d++)
		u[d] = .4 * (taste[d] - a->mean[d]) / sqrt(length);
	a->query[at] = (struct attend_query){ .x = x, .user_mean = is_known ? u : NULL, .query_weight = 1,
	    .variances = variances, .user = &a->dim };
	free(taste);
	free(row);
}

/* Share of what the exact answer weighs that lies in rows read, and the ten best that are named. */
struct score {
	double sum_read, sum_certificate, most_off;
	size_t n, n_index, n_broken, n_top, n_found;
};

static void
compare(struct asking *a, size_t n_query, size_t first, int is_known, double kappa, double epsilon, double delta,
    struct score *s)
{
	struct fault f;
	struct attend_settings set = a->set;
	size_t n_batch = attend_batch(pool_n(a->pool), 0, BATCH);
	struct attend_result *exact = xcalloc(n_batch, sizeof *exact), *some = xcalloc(n_batch, sizeof *some);

	set.kappa = kappa;
	struct attend *whole = attend_new(&a->rows, &set, n_batch);
	set.epsilon = epsilon;
	set.delta = delta;
	struct attend *part = attend_new(&a->rows, &set, n_batch);
	for (size_t k = 0, n; k < n_query; k += n) {
		n = n_query - k < n_batch ? n_query - k : n_batch;
		for (size_t i = 0; i < n; i++)
			make_query(a, i, first + k + i, is_known);
		if (attend_run(part, n, a->query, some, &f) < 0)
			stop(&f);
		size_t n_by_index = 0;
		for (size_t i = 0; i < n; i++)
			n_by_index += some[i].confidence < 1;
		if (n_by_index > 0 && attend_run(whole, n, a->query, exact, &f) < 0)
			stop(&f);
		for (size_t i = 0; i < n; i++) {
			s->n++;
			s->sum_read += some[i].read;
			s->sum_certificate += some[i].certificate;
			if (some[i].confidence == 1)
				continue;
			s->n_index++;
			double off = 0;         /* the total variation, that of T and of what is unread */
			size_t n_row = pool_n(a->pool), n_left = n_row;
			double *weight = xcalloc(n_row, sizeof *weight);
			attend_weights_of(part, i, weight);
			for (size_t j = 0; j < n_left; j++)
				off += fabs(weight[j] - attend_weight(whole, i, j)) / 2;
			free(weight);
			s->n_broken += off > epsilon;
			s->most_off = fmax(s->most_off, off);
			for (size_t t = 0; t < exact[i].n_item; t++) {
				s->n_top++;
				for (size_t m = 0; m < some[i].n_item; m++)
					s->n_found += some[i].item[m].row == exact[i].item[t].row;
			}
		}
	}
	attend_free(whole);
	attend_free(part);
	free(exact);
	free(some);
}

static double
time_of(struct asking *a, int is_known, double kappa, double epsilon, double delta, size_t n_query, double *by_index)
{
	enum { REPEAT = 5 };
	struct fault f;
	struct attend_settings set = a->set;
	struct attend_result result;
	double best = 1e30;

	set.kappa = kappa;
	set.epsilon = epsilon;
	set.delta = delta;
	*by_index = 0;
	struct attend *one = attend_new(&a->rows, &set, 1);
	for (int repeat = 0; repeat < REPEAT; repeat++) {
		double took = 0;
		for (size_t k = 0; k < n_query; k++) {
			make_query(a, 0, 1000000 + k, is_known);
			double t = now_ms();
			if (attend_run(one, 1, a->query, &result, &f) < 0)
				stop(&f);
			took += now_ms() - t;
			*by_index += result.confidence < 1;
		}
		best = took < best ? took : best;
	}
	*by_index /= (double)(REPEAT * n_query);
	attend_free(one);
	return best / (double)n_query;
}

int
main(int argc, char *argv[])
{
	static const char *const who[] = { "new", "known" };
	struct fault f;
	struct asking a;

	if (mat_check(&f) < 0)
		stop(&f);
	if (argc >= 5 && strcmp(argv[1], "make") == 0)
		return make_pool(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), argv[4],
		    argc > 5 ? strtoul(argv[5], NULL, 10) : (size_t)sqrt(strtod(argv[2], NULL)),
		    argc > 6 ? argv[6] : "int8");
	if (argc >= 3 && strcmp(argv[1], "time") == 0) {
		printf("# rows, cells, who, ms a query by the index, share of queries it answered, ms exact; "
		    "share read, certificate, recall of ten\n");
		for (int i = 2; i < argc; i++) {
			open_asking(&a, argv[i]);
			pool_trust(a.pool);
			for (int known = 0; known < 2; known++) {
				struct score s = {0};
				double share, none, ms = time_of(&a, known, known ? .2 : 0, 1e-3, .01, 64, &share);
				double exact = time_of(&a, known, known ? .2 : 0, 0, 0, 4, &none);
				compare(&a, pool_n(a.pool) > 2000000 ? 100 : 400, 2000000, known, known ? .2 : 0, 1e-3, .01, &s);
				printf("%zu %zu %s %.3f %.3f %.3f %.5f %.2g %.4f\n", pool_n(a.pool), a.index.n_cell, who[known], ms, share, exact,
				    s.sum_read / (double)s.n, s.sum_certificate / (double)s.n, s.n_top ? (double)s.n_found / (double)s.n_top : 1);
				fflush(stdout);
			}
			close_asking(&a);
		}
		return 0;
	}
	if (argc >= 6 && strcmp(argv[1], "promise") == 0) {
		size_t n = strtoul(argv[3], NULL, 10);
		double epsilon = strtod(argv[4], NULL), delta = strtod(argv[5], NULL);
		open_asking(&a, argv[2]);
		a.set.read_most = argc > 6 ? strtod(argv[6], NULL) : 0;
		for (int known = 0; known < 2; known++) {
			struct score s = {0};
			compare(&a, n / 2, (size_t)known * n, known, known ? .2 : 0, epsilon, delta, &s);
			printf("%zu rows, %s users, E %g, D %g: %zu queries, %zu by the index; "
			    "more than E off in %zu; most %.2g; share read %.4f; "
			    "recall of ten %.4f\n", pool_n(a.pool), who[known], epsilon, delta, s.n, s.n_index, s.n_broken, s.most_off,
			    s.sum_read / (double)s.n, s.n_top ? (double)s.n_found / (double)s.n_top : 1);
			fflush(stdout);
		}
		close_asking(&a);
		return 0;
	}
	fprintf(stderr, "usage: sublinear make N DIM FILE [GROUP [STORE]] | time FILE ... | promise FILE N E D\n");
	return 64;
}
