/* cells.c - attention by an index against the exact one: what is promised is kept, over pools made to break it; the
   same bytes for any threads, batch and order; an index changes nothing else */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attend_pool.c"
#include "base/rng.h"
#include "claim.h"
#include "mat/mat.h"
#include "scratch.h"

enum { N = 10000, DIM = 32, N_CLUSTER = 6, N_QUERY = CLAIM_SIZE(120, 24) };
static const char space[] = "00112233445566778899aabbccddeeff";
static float x[N][DIM], asked[N_QUERY][DIM];
static double user[N_QUERY][DIM], bonus[N_QUERY][N_CLUSTER];
static struct attend_query query[N_QUERY];
static double centre_of_features[DIM];

static void
unit(struct rng *r, float *to)
{
	for (size_t d = 0; d < DIM; d++)
		to[d] = (float)rng_normal(r);
	mat_normalise(to, DIM);
}

static void
near(struct rng *r, const float *from, double length, float *to)
{
	for (size_t d = 0; d < DIM; d++)
		to[d] = from[d] + (float)(rng_normal(r) * length / sqrt(DIM));
	mat_normalise(to, DIM);
}

/* -- pools -- */

static void
groups(void)
{
	static float middle[100][DIM];

	for (size_t g = 0; g < 100; g++) {
		struct rng r = rng_at(1, g);
		unit(&r, middle[g]);
	}
	for (size_t i = 0; i < N; i++) {
		struct rng r = rng_at(2, i);
		near(&r, middle[rng_below(&r, 100)], .3, x[i]);
	}
}

static void
no_groups(void)
{
	for (size_t i = 0; i < N; i++) {
		struct rng r = rng_at(3, i);
		unit(&r, x[i]);
	}
}

static void
identical(void)
{
	struct rng r = rng_at(4, 0);

	for (size_t i = 0; i < N; i++)
		if (i == 0)
			unit(&r, x[0]);
		else
			memcpy(x[i], x[0], sizeof x[i]);
}

static void
one_outlier(void)
{
	struct rng r = rng_at(5, 0);

	unit(&r, x[0]);
	for (size_t i = 1; i < N; i++)
		near(&r, x[0], .2, x[i]);
	for (size_t d = 0; d < DIM; d++)
		x[N / 2][d] = -x[0][d];
}

/* One row of each group is where another group's are, as in a cell that hides what it holds. */
static void
strays(void)
{
	groups();
	for (size_t i = 0; i < N; i += 100) {
		struct rng r = rng_at(6, i);
		near(&r, x[(i + 5001) % N], .9, x[i]);
	}
}

static void
near_ties(void)
{
	groups();
	for (size_t i = 1; i < N; i += 2) {
		memcpy(x[i], x[i - 1], sizeof x[i]);
		x[i][i % DIM] += 1e-7f;
	}
}

static void
zero_rows(void)
{
	groups();
	for (size_t i = 0; i < N; i += 2)
		memset(x[i], 0, sizeof x[i]);
}

static int
build(const char *path, size_t from, size_t n, enum pool_store store, int has_index, size_t n_thread)
{
	struct fault f;
	struct pool_builder *b = from == 0 ? pool_create(path, DIM, space, N_CLUSTER, NULL, 0, &f) :
	    pool_extend(path, DIM, space, "it", N_CLUSTER, NULL, 0, &f);
	struct pool_format format = { store, 1, has_index };

	if (!b || (from == 0 && pool_set_format(b, format, &f) < 0))
		return claim(0, "a pool begins: %s", f.text);
	pool_set_threads(b, n_thread);
	for (size_t i = from; i < from + n; i++) {
		char id[16];
		int n_id = snprintf(id, sizeof id, "r%zu", i);
		if (pool_add(b, (struct span){ id, (size_t)n_id }, x[i], (size_t)(x[i][0] > 0 ? 1 + (x[i][1] > 0) : i % 3), NULL, &f) < 0)
			return claim(0, "row %zu is added: %s", i, f.text);
	}
	if (pool_commit(b, &f) < 0)
		return claim(0, "a pool is written: %s", f.text);
	return 1;
}

/* -- queries -- */

static void
variances(const void *who, const float *q, const float *f, size_t n, double *variance, double *scratch)
{
	(void)who;
	(void)q;
	(void)scratch;
	for (size_t i = 0; i < n; i++)
		variance[i] = .001 * mat_dot64(f + i * DIM, f + i * DIM, DIM);
}

/* Near rows, every second one by somebody known, every third with a bonus; of the length asked for. */
static void
make_queries(double length)
{
	for (size_t i = 0; i < N_QUERY; i++) {
		struct rng r = rng_at(7, i);
		float taste[DIM];
		near(&r, x[rng_below(&r, N)], .5, asked[i]);
		if (i % 10 == 9)
			memcpy(asked[i], x[i % 20 == 9 ? N / 2 : 77], sizeof asked[i]);
		near(&r, x[rng_below(&r, N)], .5, taste);
		for (size_t d = 0; d < DIM; d++) {
			asked[i][d] *= (float)length;
			user[i][d] = .4 * taste[d];
		}
		for (size_t c = 0; c < N_CLUSTER; c++)
			bonus[i][c] = rng_uniform(&r);
		query[i] = (struct attend_query){ .x = asked[i], .user_mean = i % 2 ? user[i] : NULL, .query_weight = .9,
		    .variances = variances,
		    .bonus = i % 3 == 2 ? bonus[i] : NULL };
	}
}

static struct attend_pool
rows_of(struct pool *p, struct pool_index *index)
{
	struct fault f;
	struct attend_pool rows = attending_pool(p, centre_of_features);

	claim(pool_index(p, index, &f) == 1, "the pool has an index");
	rows.index = index;
	return rows;
}

static struct attend_settings
settings(double beta)
{
	return (struct attend_settings){ .gain = 2, .beta = beta, .alpha = .05 * beta, .kappa = .2, .lambda = 400,
	    .query_var = 0, .n_top = 10,
	    .n_thread = 1 };
}

/* Total variation, from the weights of all rows. */
static double
off(const struct attend *a, const struct attend *b, size_t i, size_t n)
{
	double *v = xcalloc(2 * n, sizeof *v), sum = 0;

	attend_weights_of(a, i, v);
	attend_weights_of(b, i, v + n);
	for (size_t j = 0; j < n; j++)
		sum += fabs(v[j] - v[n + j]) / 2;
	free(v);
	return sum;
}

static void
promise(const char *name, void (*make)(void), double beta, double length, double epsilon, double delta, double most)
{
	static struct attend_result exact[N_QUERY], some[N_QUERY];
	struct pool_index index;
	struct fault f;
	size_t n_broken = 0, n_index = 0, n_wrong = 0, n_found = 0;
	double least_read = 1;

	make();
	make_queries(length);
	if (!build("p", 0, N, POOL_F32, 1, 2))
		return;
	struct pool *p = pool_open((const char *[]){ "p" }, 1, NULL, NULL, &f);
	struct attend_pool rows = rows_of(p, &index);
	struct attend_settings set = settings(beta);
	set.kappa = strcmp(name, "groups, widened") == 0 ? 1 : .1;
	struct attend *whole = attend_new(&rows, &set, N_QUERY);
	set.epsilon = epsilon;
	set.delta = delta;
	set.read_most = most;
	struct attend *part = attend_new(&rows, &set, N_QUERY);
	int ran = attend_run(whole, N_QUERY, query, exact, &f) == 0 && attend_run(part, N_QUERY, query, some, &f) == 0;
	claim(ran, "%s: all queries are answered", name);
	for (size_t i = 0; ran && i < N_QUERY; i++) {
		double o = off(whole, part, i, N);
		n_broken += o > epsilon;
		n_index += some[i].confidence < 1;
		n_wrong += some[i].certificate > epsilon || (some[i].confidence == 1 && o > some[i].certificate + 1e-6) ||
		    !(some[i].read <= 1);
		least_read = fmin(least_read, some[i].read);
		for (size_t k = 0; k < 10; k++)
			for (size_t m = 0; m < 10; m++)
				n_found += exact[i].item[k].logit == some[i].item[m].logit && (k == m || exact[i].item[k].row == some[i].item[m].row);
	}
	claim((double)n_broken <= delta * N_QUERY,
	    "%s: of %d queries no more than %g are off by more than %g (by the index: %zu)", name, N_QUERY,
	    delta * N_QUERY, epsilon, n_index);
	claim(n_wrong == 0, "%s: certificates are within epsilon, and true where they are no matter of chance", name);
	claim(n_found >= 99 * N_QUERY / 10, "%s: of the ten best 99 in 100 are found", name);
	if (make == groups && length == 1)
		claim(n_index >= N_QUERY / 2 && least_read < .2, "%s: most are answered by the index, the least reads %g", name,
		    least_read);
	attend_free(part);
	attend_free(whole);
	pool_close(p);
}

static int
same(const struct attend_result *s, const struct attend_result *t)
{
	int r = s->n_item == t->n_item && s->entropy_nats == t->entropy_nats && s->uncertainty == t->uncertainty &&
	    s->read == t->read &&
	    s->certificate == t->certificate && memcmp(s->z, t->z, DIM * sizeof *s->z) == 0;

	for (size_t k = 0; r && k < s->n_item; k++)
		r = s->item[k].row == t->item[k].row && s->item[k].weight == t->item[k].weight;
	return r;
}

static void
same_bytes(void)
{
	static struct attend_result one[N_QUERY], other[N_QUERY], wide[N_QUERY];
	struct pool_index index;
	struct fault f;
	struct attend_query turned[N_QUERY];
	size_t n_same = 0, n_alone = 0, n_index = 0;

	groups();
	make_queries(1);
	build("p", 0, N, POOL_I8, 1, 1);
	build("q", 0, N, POOL_I8, 1, 3);
	claim(system("cmp p q") == 0, "an index made by one thread has the bytes of one made by three");
	struct pool *p = pool_open((const char *[]){ "p" }, 1, NULL, NULL, &f);
	struct attend_pool rows = rows_of(p, &index);
	struct attend_settings set = settings(30);
	set.epsilon = .01;
	set.delta = .05;
	set.read_most = .5;
	struct attend *a = attend_new(&rows, &set, N_QUERY);
	set.n_thread = 3;
	struct attend *b = attend_new(&rows, &set, N_QUERY), *c = attend_new(&rows, &set, 1);
	for (size_t i = 0; i < N_QUERY; i++)
		turned[i] = query[N_QUERY - 1 - i];
	attend_run(a, N_QUERY, query, one, &f);
	attend_run(b, N_QUERY, turned, other, &f);
	for (size_t i = 0; i < N_QUERY; i++) {
		n_same += same(&one[i], &other[N_QUERY - 1 - i]);
		n_index += one[i].confidence < 1;
	}
	claim(n_same == N_QUERY && n_index > 0, "three threads and another order give the same answers");
	for (size_t i = 0; i < 20; i++) {
		attend_run(c, 1, &query[i], other, &f);
		n_alone += same(&one[i], other);
	}
	claim(n_alone == 20, "so does a query alone");
	/* broad attention held to little: many rows are read, and samples are large */
	set.n_thread = 1;
	set.beta = 25;
	set.epsilon = .0005;
	set.read_most = 1.1;
	struct attend *broad = attend_new(&rows, &set, N_QUERY);
	set.n_thread = 3;
	struct attend *broad_alone = attend_new(&rows, &set, 1);
	size_t n_large = 0;
	attend_run(broad, N_QUERY, query, wide, &f);
	for (size_t i = n_alone = 0; i < N_QUERY; i++) {
		attend_run(broad_alone, 1, &query[i], other, &f);
		n_alone += same(&wide[i], other);
		n_large += wide[i].confidence < 1 && wide[i].read > .35;
	}
	claim(n_alone == N_QUERY && n_large >= N_QUERY / 6, "nor do threads show where a query reads much, as %zu of %d do", n_large,
	    N_QUERY);
	attend_free(broad);
	attend_free(broad_alone);
	/* draws are among what was read */
	size_t row[5], n_good = 0;
	double propensity[5], total = 0;
	struct rng r = rng_at(1, 1);
	for (size_t i = 0; i < 10; i++)
		for (size_t k = 0, n = attend_choose(a, i, &r, 5, row, propensity); k < n; k++)
			n_good += attend_weight(a, i, row[k]) > 0 && propensity[k] > 0;
	for (size_t k = 0; k < one[0].n_item; k++)
		total += fabs(attend_weight(a, 0, one[0].item[k].row) - one[0].item[k].weight);
	claim(n_good >= 10 && total < 1e-6, "draws have weights, and weights are those of the items");
	attend_free(c);
	attend_free(b);
	attend_free(a);
	pool_close(p);
}

/* Groups of 33 rows, more of them than a k-means over a sample has centres to spare for: no row lies alone among others. */
static void
small_groups(void)
{
	static float middle[N / 33 + 1][DIM];
	static size_t group[N];
	struct pool_index index;
	struct fault f;
	size_t n_alone = 0;

	for (size_t g = 0; g <= N / 33; g++) {
		struct rng r = rng_at(8, g);
		unit(&r, middle[g]);
	}
	for (size_t i = 0; i < N; i++) {
		struct rng r = rng_at(9, i);
		group[i] = rng_below(&r, N / 33 + 1);
		near(&r, middle[group[i]], .3, x[i]);
	}
	build("p", 0, N, POOL_F32, 1, 2);
	struct pool *p = pool_open((const char *[]){ "p" }, 1, NULL, NULL, &f);
	claim(pool_index(p, &index, &f) == 1, "the pool has an index");
	for (size_t c = 0; c < index.n_cell; c++) {
		struct pool_kept kept;
		const uint32_t *row;
		size_t n = index.start[c + 1] - index.start[c];
		int read = pool_index_kept(p, index.start[c], n, &kept, &row, &f) == 0;
		if (!read)
			claim(0, "a cell is read: %s", f.text);
		for (size_t i = 0; read && i < n; i++) {
			size_t n_like = 0;
			for (size_t k = 0; k < n; k++)
				n_like += group[row[k]] == group[row[i]];
			n_alone += 2 * n_like < n;
		}
	}
	claim(n_alone <= N / 1000, "of %d rows in %zu groups %zu lie in a cell that is mostly of others", N, (size_t)(N / 33 + 1), n_alone);
	pool_close(p);
}

/* Rows that were added later are in no cell, and found all the same. */
static void
grown(void)
{
	static struct attend_result exact[N_QUERY], some[N_QUERY];
	struct pool_index index;
	struct fault f;
	size_t n_off = 0, n_late = 0, n_index = 0;

	groups();
	make_queries(1);
	build("p", 0, N - 300, POOL_F32, 1, 1);
	build("p", N - 300, 300, POOL_F32, 1, 1);
	struct pool *p = pool_open((const char *[]){ "p" }, 1, NULL, NULL, &f);
	claim(p && pool_check(p, &f) == 0 && pool_n_segment(p) == 2, "a pool with an index grows, and is sound");
	struct attend_pool rows = rows_of(p, &index);
	claim(index.first == 0 && index.n == N - 300, "the index is that of its first segment");
	struct attend_settings set = settings(30);
	struct attend *whole = attend_new(&rows, &set, N_QUERY);
	set.epsilon = .01;
	set.delta = .05;
	set.read_most = .5;
	struct attend *part = attend_new(&rows, &set, N_QUERY);
	attend_run(whole, N_QUERY, query, exact, &f);
	attend_run(part, N_QUERY, query, some, &f);
	for (size_t i = 0; i < N_QUERY; i++) {
		n_off += off(whole, part, i, N) > .01;
		n_index += some[i].confidence < 1;
		for (size_t k = 0; k < 10; k++)
			n_late += some[i].item[k].row >= N - 300;
	}
	claim(n_off == 0 && n_late > 0 && n_index >= N_QUERY / 3, "%zu of %d queries are answered by the index, and "
	    "%zu items are of rows that were added later", n_index,
	    N_QUERY, n_late);
	attend_free(part);
	attend_free(whole);
	pool_close(p);
	/* what is written anew has an index over all, a shard none */
	p = pool_open((const char *[]){ "p" }, 1, NULL, NULL, &f);
	claim(pool_write("m", p, 0, N, NULL, NULL, 2, &f) == 0, "it is written anew");
	claim(pool_write("s", p, 0, N, NULL, &(struct pool_whole){ N, 0, .1 }, 2, &f) == 0, "and as a shard");
	pool_close(p);
	struct pool *m = pool_open((const char *[]){ "m" }, 1, NULL, NULL, &f), *s = pool_open((const char *[]){ "s" }, 1,
	    NULL, NULL, &f);
	claim(pool_index(m, &index, &f) == 1 && index.n == N && pool_check(m, &f) == 0, "then the index is over all its rows");
	claim(pool_index(s, &index, &f) == 0, "and a shard has none");
	pool_close(m);
	pool_close(s);
}

int
main(void)
{
	char dir[SCRATCH];
	struct fault f;

	if (scratch_folder(dir) < 0 || chdir(dir) < 0 || mat_check(&f) < 0)
		return 1;
	promise("groups", groups, 30, 1, .01, .05, .9);
	promise("groups, widened", groups, 60, 1, .02, .05, .9);
	promise("one outlier", one_outlier, 30, 1, .01, .05, 1.1);
	promise("zero rows", zero_rows, 30, 1, .01, .05, 1.1);
	if (CLAIM_SIZE(1, 0)) {         /* other numbers on the same way */
		promise("groups, epsilon .001", groups, 40, 1, .001, .05, .9);
		promise("no groups", no_groups, 30, 1, .01, .05, 1.1);
		promise("identical rows", identical, 30, 1, .01, .05, 1.1);
		promise("strays", strays, 30, 1, .01, .05, 1.1);
		promise("near ties", near_ties, 30, 1, .01, .05, 1.1);
		promise("huge queries", groups, 30, 1e6, .01, .05, 1.1);
	}
	small_groups();
	same_bytes();
	grown();
	for (const char *name = "pqms"; *name; name++)
		unlink((char[]){ *name, 0 });
	if (chdir("/") == 0)
		rmdir(dir);
	return claim_n_failed > 0;
}
