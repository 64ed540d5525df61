/* passes.c - passes over pools made to break them: what bounds promise, what is found beside sketches, heads */
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "attend/attend.h"
#include "attend/heads.h"
#include "attend/kernel.h"
#include "base/mem.h"
#include "claim.h"
#include "mat/mat.h"
#include "mat/sketch.h"
#include "vectors.h"

/* -- pools -- */

struct world {
	size_t n, dim;
	float *x;
	uint32_t *cluster;
	uint8_t *block;
	double *mean;
	enum attend_type type;
	void *kept;             /* the rows in that type; NULL: x */
	float *scale;
	/* rows unsound, unsound + step and so on, which shows when they are asked for; SIZE_MAX: none */
	size_t unsound, step;
	size_t impossible;      /* a row that shows so only in rows(); SIZE_MAX: none */
	atomic_size_t n_early, n_spanned;       /* rows that were asked for alone before all had been in spans; rows in spans */
};

/* Rows are asked for. */
static int
ask(const struct world *w, size_t from, size_t n, struct fault *f)
{
	size_t first = from <= w->unsound ? w->unsound : w->unsound + (from - w->unsound + w->step - 1) / w->step * w->step;

	if (w->unsound != SIZE_MAX && first < from + n)
		return fault(f, EX_DATAERR, "row %zu is not sound", first);
	return 0;
}

static const void *
at(const struct world *w, size_t row)
{
	static const size_t size[] = { 4, 2, 2, 1 };

	return w->kept ? (const char *)w->kept + row * w->dim * size[w->type] : (const void *)(w->x + row * w->dim);
}

static const float *
rows_of(void *arg, size_t from, size_t n, float *scratch, struct fault *f)
{
	struct world *w = arg;

	(void)scratch;
	w->n_early += w->n_spanned < w->n;
	if (from <= w->impossible && w->impossible < from + n) {
		fault(f, EX_DATAERR, "row %zu is no row", w->impossible);
		return NULL;
	}
	return ask(w, from, n, f) < 0 ? NULL : w->x + from * w->dim;
}

static int
span_of(void *arg, size_t from, size_t n, struct attend_span *out, struct fault *f)
{
	struct world *w = arg;

	w->n_early += n == 1;
	/* in pieces that begin and end anywhere */
	*out = (struct attend_span){ w->type, at(w, from), w->scale ? w->scale + from : NULL, w->cluster + from, n > 700 ? 700 : n };
	w->n_spanned += out->n;
	return ask(w, from, out->n, f);
}

/* The same rows in shorter pieces. */
static int
span_short(void *arg, size_t from, size_t n, struct attend_span *out, struct fault *f)
{
	return span_of(arg, from, n > 90 ? 90 : n, out, f);
}

static int
sketch_of(void *arg, size_t from, size_t n, struct attend_sketch *out, struct fault *f)
{
	const struct world *w = arg;

	(void)f;
	*out = (struct attend_sketch){ w->block + from / 16 * mat_sketch_block(w->dim), from % 16, w->cluster + from, n > 500 ? 500 : n,
	    w->type, at(w, from), w->scale ? w->scale + from : NULL };
	return 0;
}

static struct world
world_new(size_t n, size_t dim)
{
	return (struct world){ .n = n, .dim = dim, .x = xcalloc(n * dim, sizeof(float)), .cluster = xcalloc(n, sizeof(uint32_t)),
	    .block = xcalloc((n + 15) / 16, mat_sketch_block(dim)), .mean = xcalloc(dim, sizeof(double)),
	    .unsound = SIZE_MAX, .step = n, .impossible = SIZE_MAX };
}

static struct attend_pool
pool_of(struct world *w)
{
	double *turned = xmalloc(mat_sketch_codes(w->dim), sizeof *turned);

	memset(w->block, 0, (w->n + 15) / 16 * mat_sketch_block(w->dim));
	for (size_t j = 0; j < w->n; j++) {
		w->cluster[j] = (uint32_t)(j % 5);
		mat_sketch_put(w->block + j / 16 * mat_sketch_block(w->dim), j % 16, w->x + j * w->dim, w->dim, turned);
	}
	free(turned);
	return (struct attend_pool){ .n_row = w->n, .dim = w->dim, .n_cluster = 5, .mean = w->mean, .rows = rows_of, .span = span_of,
	    .sketch = sketch_of, .arg = w };
}

static void
world_free(struct world *w)
{
	free(w->x);
	free(w->cluster);
	free(w->block);
	free(w->mean);
	free(w->kept);
	free(w->scale);
}

static void
variances(const void *user, const float *x, const float *f, size_t n, double *variance, double *scratch)
{
	(void)x;
	(void)f;
	(void)scratch;
	for (size_t i = 0; i < n; i++)
		variance[i] = *(const double *)user;
}

enum { PLAIN, IDENTICAL, OUTLIER, LONG, TIES, ZERO, GROUPS, N_KIND };
static const char *const kind_name[] = { "random rows", "identical rows", "one outlier", "rows of many lengths", "near ties", "rows of zeros",
    "groups" };

static void
fill(struct world *w, int kind)
{
	float *centre = xmalloc(50 * w->dim, sizeof *centre);

	for (size_t c = 0; c < 50; c++)
		unit(centre + c * w->dim, w->dim);
	for (size_t j = 0; j < w->n; j++) {
		float *x = w->x + j * w->dim;
		unit(x, w->dim);
		for (size_t d = 0; d < w->dim; d++)
			switch (kind) {
			case IDENTICAL: x[d] = centre[d]; break;
			case OUTLIER: x[d] = j == 6789 ? centre[d] : .3f * x[d] - .9f * centre[d]; break;
			case LONG: x[d] *= j % 7 == 0 ? 1.7f : j % 7 == 1 ? 1e-3f : 1; break;
			case TIES: x[d] = centre[d] + 1e-4f * x[d]; break;
			case ZERO: x[d] = j % 100 ? 0 : x[d]; break;
			case GROUPS: x[d] = centre[j % 50 * w->dim + d] + .7f * x[d]; break;
			}
		if (kind != LONG && kind != ZERO)
			mat_normalise(x, w->dim);
	}
	free(centre);
}

/* The true distance of what is told with epsilon from what is told without it is never above what is certified, and that
   never above epsilon; T is the same to the bit; and with epsilon 0 all is. */
static void
bounds_hold(int kind)
{
	enum { N = 9500, DIM = 40, N_ASK = 6 };
	static const double epsilon[] = { .3, .05, 1e-3, 1e-5 };
	static const double known = 1e-4;
	struct world w = world_new(N, DIM);
	double bonus[5] = { 1, .2, .7, .9, .4 }, user_mean[DIM], worst = 0, n_read = 0;
	int kept = 1, below = 1, same_t = 1, same_top = 1, exact = 1, threads = 1, sums = 1;
	struct attend_result r, e;
	struct fault f;
	size_t n_sparse = 0;

	fill(&w, kind);
	struct attend_pool pool = pool_of(&w), bare = pool;
	bare.sketch = NULL;
	for (size_t i = 0; i < N_ASK; i++) {
		float x[DIM];
		unit(x, DIM);
		for (size_t d = 0; d < DIM; d++) {
			x[d] = i % 2 ? .3f * x[d] + w.x[6789 * DIM + d] : x[d];
			user_mean[d] = .4 * w.x[(100 + i) * DIM + d];
		}
		struct attend_query q = { .x = x, .bonus = i % 3 == 2 ? bonus : NULL };
		if (i >= 2) {
			q.user_mean = user_mean;
			q.query_weight = .8;
			q.variances = variances;
			q.user = &known;
		}
		struct attend_settings set = { .gain = 2, .beta = i == 5 ? 200 : i == 4 ? 3000 : 60, .alpha = 6, .kappa = .2, .lambda = 100, .n_top = 10, .n_thread = 1 };
		struct attend *all = attend_new(&bare, &set, 1);
		if (attend_run(all, 1, &q, &r, &f) < 0)
			claim(0, "%s", f.text);
		/* epsilon 0, T before the pass */
		struct attend *first = attend_new(&pool, &set, 1);
		attend_run(first, 1, &q, &e, &f);
		exact &= memcmp(e.z, r.z, sizeof x) == 0 && e.entropy_nats == r.entropy_nats && e.temperature == r.temperature &&
		    memcmp(e.item, r.item, r.n_item * sizeof *r.item) == 0 && e.certificate == 0 && e.read == 1;
		attend_free(first);
		for (size_t k = 0; k < sizeof epsilon / sizeof *epsilon; k++) {
			set.epsilon = epsilon[k];
			struct attend *some = attend_new(&pool, &set, 2);
			struct attend_query twice[2] = { q, q };
			struct attend_result both[2];
			attend_run(some, 2, twice, both, &f);
			e = both[0];
			double off = 0, total = 0;
			for (size_t j = 0; j < N; j++) {
				double a = attend_weight(some, 0, j);
				off += .5 * fabs(a - attend_weight(all, 0, j));
				total += a;
			}
			/* float weights: what two ways of summing differ by */
			kept &= off <= e.certificate + 2e-6;
			below &= e.certificate <= epsilon[k];
			sums &= fabs(total - 1) < 1e-9;
			worst = fmax(worst, off / epsilon[k]);
			same_t &= e.temperature == r.temperature && e.uncertainty == r.uncertainty;
			for (size_t t = 0; t < r.n_item; t++)
				same_top &= e.item[t].row == r.item[t].row && e.item[t].logit == r.item[t].logit;
			threads &= memcmp(both[0].z, both[1].z, sizeof x) == 0 && both[0].entropy_nats == both[1].entropy_nats;
			n_sparse += e.read < 1;
			n_read += e.read;
			struct rng draw = rng_at(4, i);
			size_t row[3];
			double propensity[3];
			sums &= attend_choose(some, 0, &draw, 3, row, propensity) > 0 && fabs(propensity[0] - attend_weight(some, 0, row[0])) < 1e-12;
			attend_free(some);
			set.n_thread = 3;
			some = attend_new(&pool, &set, 1);
			struct attend_result t3;
			attend_run(some, 1, &q, &t3, &f);
			set.n_thread = 1;
			threads &= t3.certificate == e.certificate && t3.read == e.read && t3.temperature == e.temperature;
			attend_free(some);
		}
		set.epsilon = 0;
		attend_free(all);
	}
	claim(kept && below, "%s: the true distance is within the certificate, that within epsilon (at most %.2f of epsilon)", kind_name[kind], worst);
	claim(same_t && same_top, "%s: T and the best rows are those of the exact pass", kind_name[kind]);
	claim(exact, "%s: with sketches and epsilon 0 the answer is the exact one, bit for bit", kind_name[kind]);
	claim(threads && sums, "%s: the same from any thread and place; weights sum to 1, draws follow them (%zu of 24 read %.2f of the rows)",
	    kind_name[kind], n_sparse, n_read / 24);
	if (kind == GROUPS)
		claim(n_sparse > 0, "%s: some queries read less than all", kind_name[kind]);
	world_free(&w);
}

/* The rows of w, which are of length 1, in another type, and as what that makes of them. */
static void
keep_as(struct world *w, enum attend_type type)
{
	w->type = type;
	w->kept = xaligned(w->n * w->dim, sizeof(float));
	w->scale = xmalloc(w->n, sizeof *w->scale);
	for (size_t j = 0; j < w->n; j++) {
		w->scale[j] = 1.f / 127;
		for (size_t i = j * w->dim; i < (j + 1) * w->dim; i++)
			w->x[i] = keep_number(type, w->kept, i, w->x[i], w->scale[j]);
	}
}

/* Row j as bytes that are no row: all its numbers or the first of them are bad, and the rest 0. */
static void
spoil(struct world *w, size_t j, float bad, int is_first)
{
	for (size_t d = 0; d < w->dim; d++) {
		float x = is_first && d > 0 ? 0 : w->type == ATTEND_I8 ? (d % 3 ? 127 : -127) : bad;
		keep_number(w->type, w->kept, j * w->dim + d, x, 1);
	}
	w->scale[j] = w->type == ATTEND_I8 ? bad : w->scale[j];
}

/* Rows that are seen beside their sketches before they are asked for. */
static void
glances(enum attend_type type)
{
	enum { N = 9500, DIM = 40 };
	static const char *const name[] = { "float32", "float16", "bfloat16", "int8" };
	static const float bad[] = { NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 3e38f, 0 };
	const size_t n_byte = N * DIM * sizeof(float);
	struct world w = world_new(N, DIM);
	struct attend_settings set = { .gain = 2, .beta = 60, .alpha = 6, .kappa = .2, .lambda = 100, .n_top = 10, .n_thread = 2 };
	double bonus[5] = { 1, .2, .7, .9, .4 };
	size_t n_told = 0, n_bad = 0, n_mended = 0, n_early = 0;
	struct attend_result r, e;
	struct fault f;
	float x[DIM], z[DIM], was_scale[N];
	int exact = 1, impossible = 1;

	fill(&w, GROUPS);
	keep_as(&w, type);
	char *was = xmalloc(n_byte, 1);
	memcpy(was, w.kept, n_byte);
	memcpy(was_scale, w.scale, sizeof was_scale);
	struct attend_pool pool = pool_of(&w), bare = pool;
	bare.sketch = NULL;
	struct attend *all = attend_new(&bare, &set, 1), *first = attend_new(&pool, &set, 1);
	for (size_t i = 0; i < 4; i++) {
		char expected[64];
		unit(x, DIM);
		for (size_t d = 0; d < DIM; d++)
			x[d] = .3f * x[d] + w.x[(100 + 7 * i) * DIM + d];
		struct attend_query q = { .x = x, .bonus = i % 2 ? bonus : NULL };
		exact &= attend_run(all, 1, &q, &r, &f) == 0;
		memcpy(z, r.z, sizeof z);
		size_t best = r.item[0].row;
		w.n_early = w.n_spanned = 0;
		exact &= attend_run(first, 1, &q, &e, &f) == 0 && memcmp(e.z, z, sizeof z) == 0 &&
		    e.temperature == r.temperature && e.entropy_nats == r.entropy_nats && memcmp(e.item, r.item, r.n_item * sizeof *r.item) == 0;
		n_early += w.n_early;
		/* the best row, one that is not looked at before, the last, some, many and all, with bytes that are anything */
		for (size_t k = 0; k < 6 * 2 * sizeof bad / sizeof *bad; k++, n_bad++) {
			w.unsound = (size_t[]){ best, 1, N - 1, 5000, 5000, 0 }[k % 6];
			w.step = (size_t[]){ N, N, N, 50, 3, 1 }[k % 6];
			for (size_t j = w.unsound; j < N; j += w.step)
				spoil(&w, j, bad[k / 12], k / 6 % 2);
			snprintf(expected, sizeof expected, "row %zu is not sound", w.unsound);
			n_told += attend_run(first, 1, &q, &e, &f) < 0 && strcmp(f.text, expected) == 0;
			w.unsound = SIZE_MAX;
			memcpy(w.kept, was, n_byte);
			memcpy(w.scale, was_scale, sizeof was_scale);
			n_mended += attend_run(first, 1, &q, &e, &f) == 0 && memcmp(e.z, z, sizeof z) == 0;
		}
		w.impossible = best;
		snprintf(expected, sizeof expected, "row %zu is no row", best);
		impossible &= attend_run(first, 1, &q, &e, &f) < 0 && strcmp(f.text, expected) == 0;
		w.impossible = SIZE_MAX;
	}
	claim(exact && n_early == 0, "%s: the best rows are found beside the sketches, none asked for before all, and the answer is the exact one", name[type]);
	claim(n_told == n_bad, "%s: rows that are not sound are told of, whatever they led to before (%zu of %zu)", name[type], n_told, n_bad);
	claim(n_mended == n_bad, "%s: and leave nothing behind", name[type]);
	claim(impossible, "%s: nor is one of the best taken that rows() refuses", name[type]);
	free(was);
	attend_free(first);
	attend_free(all);
	world_free(&w);
}

/* So flat that a step in logits is none in floats, and so steep that neighbours of the best weigh nothing. */
static void
flat_and_steep(void)
{
	enum { N = 9500, DIM = 40 };
	static const double beta[] = { 1e-39, 1e-30, 1e9, 1e12 };
	struct world w = world_new(N, DIM);
	struct attend_result r, e;
	struct fault f;
	float x[DIM];
	int same = 1;

	for (int kind = 0; kind < N_KIND; kind++) {
		fill(&w, kind);
		struct attend_pool pool = pool_of(&w), bare = pool;
		bare.sketch = NULL;
		for (size_t i = 0; i < sizeof beta / sizeof *beta; i++) {
			struct attend_settings set = { .gain = 2, .beta = beta[i], .kappa = .2, .lambda = 100, .n_top = 10, .n_thread = 1 };
			struct attend_query q = { .x = x };
			memcpy(x, w.x + 6789 * DIM, sizeof x);
			x[0] += .1f;
			struct attend *all = attend_new(&bare, &set, 1);
			set.epsilon = .01;
			struct attend *some = attend_new(&pool, &set, 1);
			same &= attend_run(all, 1, &q, &r, &f) == 0 && attend_run(some, 1, &q, &e, &f) == 0 && e.certificate <= .01 &&
			    e.temperature == r.temperature && e.item[0].row == r.item[0].row && fabs(e.item[0].weight - r.item[0].weight) < .01;
			attend_free(some);
			attend_free(all);
		}
	}
	claim(same, "attention as flat and as steep as can be is certified too");
	world_free(&w);
}

/* -- heads -- */

struct scored_row {
	double score;
	const float *x;
};

static int
by_score(const void *s, const void *t)
{
	double a = ((const struct scored_row *)s)->score, b = ((const struct scored_row *)t)->score;

	return a < b ? -1 : a > b;
}

/* Rows in the order of their scores: a head that meets them has ever better ones. */
static void
sort_rows(struct world *w, const float *a)
{
	struct scored_row *row = xmalloc(w->n, sizeof *row);
	float *x = xmalloc(w->n * w->dim, sizeof *x);

	for (size_t j = 0; j < w->n; j++)
		row[j] = (struct scored_row){ mat_dot64(a, w->x + j * w->dim, w->dim), w->x + j * w->dim };
	qsort(row, w->n, sizeof *row, by_score);
	for (size_t j = 0; j < w->n; j++)
		memcpy(x + j * w->dim, row[j].x, w->dim * sizeof *x);
	memcpy(w->x, x, w->n * w->dim * sizeof *x);
	free(x);
	free(row);
}

static void
heads(size_t n, size_t dim, float steep, int is_sorted)
{
	enum { N_HEAD = 3, N_ASK = 13, N_TOP = 4 };   /* alone few, in a batch many, as the kernel has it */
	_Static_assert((int)N_HEAD < (int)KERNEL_HEADS && (int)N_HEAD * (int)N_ASK >= (int)KERNEL_MANY, "both ways are gone");
	struct world w = world_new(n, dim);
	struct attend_head_result r[N_ASK * N_HEAD], one[N_HEAD], other[N_ASK * N_HEAD];
	float *a = xmalloc(N_ASK * N_HEAD * dim, sizeof *a);
	double off = 0, off_e = 0, off_w = 0;
	int same = 1, order = 1;
	struct fault f;

	fill(&w, GROUPS);
	struct attend_pool pool = pool_of(&w);
	for (size_t i = 0; i < N_ASK * N_HEAD; i++) {
		unit(a + i * dim, dim);
		for (size_t d = 0; d < dim; d++)
			a[i * dim + d] *= i % 3 ? steep : 1;
	}
	if (is_sorted)
		sort_rows(&w, a + dim);
	struct attend_heads *h = attend_heads_new(&pool, N_HEAD, N_TOP, N_ASK, 1, NULL), *h3 = attend_heads_new(&pool, N_HEAD, N_TOP, N_ASK, 3, NULL);
	claim(attend_heads_run(h, N_ASK, a, r, &f) == 0, "%zu rows of %zu: heads run", n, dim);
	long double *weight = xmalloc(n, sizeof *weight);
	for (size_t i = 0; i < N_ASK * N_HEAD; i++) {
		long double most = -1e9L, total = 0, entropy = 0;
		for (size_t j = 0; j < n; j++) {
			weight[j] = mat_dot64(a + i * dim, w.x + j * dim, dim);
			most = fmaxl(most, weight[j]);
		}
		for (size_t j = 0; j < n; j++)
			total += weight[j] = expl(weight[j] - most);
		for (size_t j = 0; j < n; j++) {
			weight[j] /= total;
			entropy -= weight[j] > 0 ? weight[j] * logl(weight[j]) : 0;
		}
		double z_off = 0, z_length = 0;
		for (size_t d = 0; d < dim; d++) {
			long double z = 0;
			for (size_t j = 0; j < n; j++)
				z += weight[j] * w.x[j * dim + d];
			z_off += (double)((r[i].z[d] - z) * (r[i].z[d] - z));
			z_length += (double)(z * z);
		}
		off = fmax(off, sqrt(z_off / z_length));
		off_e = fmax(off_e, (double)fabsl(r[i].entropy_nats - entropy));
		off_e = fmax(off_e, (double)fabsl(r[i].log_sum - (most + logl(total))) / 10);
		for (size_t k = 0; k < r[i].n_item; k++) {
			off_w = fmax(off_w, (double)fabsl(r[i].item[k].weight - weight[r[i].item[k].row]));
			order &= k == 0 || r[i].item[k].logit <= r[i].item[k - 1].logit;
		}
		order &= r[i].n_item == (N_TOP < n ? N_TOP : n);
	}
	claim(off < 2e-5 && off_e < 2e-5 && off_w < 2e-5 && order, "z, entropy and items of each head are those of long sums (%.1e %.1e %.1e)", off, off_e, off_w);
	struct attend_heads *alone = attend_heads_new(&pool, N_HEAD, N_TOP, 1, 2, NULL);
	attend_heads_run(h3, N_ASK, a, other, &f);
	for (size_t i = 0; i < N_ASK; i++) {
		attend_heads_run(alone, 1, a + i * N_HEAD * dim, one, &f);
		for (size_t k = 0; k < N_HEAD; k++) {
			const struct attend_head_result *s = &r[i * N_HEAD + k];
			same &= memcmp(s->z, one[k].z, dim * sizeof *s->z) == 0 && s->entropy_nats == one[k].entropy_nats && s->log_sum == one[k].log_sum;
			same &= memcmp(s->z, other[i * N_HEAD + k].z, dim * sizeof *s->z) == 0 && s->entropy_nats == other[i * N_HEAD + k].entropy_nats;
			same &= memcmp(s->item, one[k].item, s->n_item * sizeof *s->item) == 0;
		}
	}
	claim(same, "the same bits alone and in a batch, on one, two and three threads");
	pool.span = span_short;
	struct attend_heads *in_pieces = attend_heads_new(&pool, N_HEAD, N_TOP, 1, 2, NULL);
	attend_heads_run(in_pieces, 1, a, one, &f);
	for (size_t k = 0; k < N_HEAD; k++)
		same &= memcmp(r[k].z, one[k].z, dim * sizeof *r[k].z) == 0 && r[k].entropy_nats == one[k].entropy_nats && r[k].log_sum == one[k].log_sum;
	claim(same, "and of rows in pieces");
	/* alone, in pieces, and in a batch: a row that no pool has is told, wherever it stands among its 16 */
	size_t n_told = 0, n_bad = 0;
	for (size_t j = 0; j < n && j < 300; j += 37)
		for (int how = 0; how < 18; how++, n_bad++) {
			/* the sign makes the score of the first head positive */
			static const float bad[] = { INFINITY, -INFINITY, NAN, 1e9f, 1e11f, 1e30f };
			float was = w.x[j * dim], *at = &w.x[j * dim];
			*at = how % 6 < 3 ? bad[how % 6] : copysignf(bad[how % 6], a[0]);
			n_told += attend_heads_run(how < 6 ? alone : how < 12 ? in_pieces : h3, how < 12 ? 1 : N_ASK, a, other, &f) < 0 &&
			    strstr(f.text, "rows from 0 on") != NULL;
			*at = was;
		}
	claim(n_told == n_bad, "a row that is no row is told of, not summed (%zu of %zu)", n_told, n_bad);
	attend_heads_free(in_pieces);
	attend_heads_free(alone);
	attend_heads_free(h3);
	attend_heads_free(h);
	free(weight);
	free(a);
	world_free(&w);
}

/* A sketch made wrong on purpose: its bounds are no numbers, or none is below infinity. */
static void
impossible_sketches(void)
{
	enum { N = 9500, DIM = 40 };
	static const uint16_t bad[] = { 0x7E00, 0x7C00, 0xFC00 };
	struct world w = world_new(N, DIM);
	const size_t n_block = mat_sketch_block(DIM);
	size_t n_refused = 0;
	struct attend_result r;
	struct fault f;
	float x[DIM];

	fill(&w, PLAIN);
	unit(x, DIM);
	for (size_t how = 0; how < 12; how++) {
		struct attend_pool pool = pool_of(&w);
		struct attend_settings set = { .gain = 2, .beta = 20, .kappa = .2, .lambda = 100, .epsilon = how % 2 ? .01 : 0, .n_top = 10, .n_thread = 1 };
		struct attend_query q = { .x = x };
		for (size_t b = how / 2 % 2 ? 77 : 0; b < (how / 2 % 2 ? 78 : (N + 15) / 16); b++)
			for (size_t k = 0; k < 16; k++)
				memcpy(w.block + (b + 1) * n_block - 64 + 2 * k, &bad[how / 4], sizeof *bad);
		struct attend *a = attend_new(&pool, &set, 1);
		n_refused += attend_run(a, 1, &q, &r, &f) < 0;
		attend_free(a);
	}
	claim(n_refused == 12, "bounds that are no numbers end in a fault, not in a wait without end");
	world_free(&w);
}

int
main(void)
{
	struct fault f;

	rng = rng_at(31, 5);
	claim(mat_check(&f) == 0, "the BLAS of this machine computes right");
	for (int kind = 0; kind < N_KIND; kind++)
		bounds_hold(kind);
	impossible_sketches();
	for (int type = ATTEND_F32; type <= ATTEND_I8; type++)
		glances((enum attend_type)type);
	flat_and_steep();
	heads(1, 3, 1, 0);
	heads(3000, 33, 60, 0);
	heads(5000, 64, 300, 0);
	heads(3000, 48, 200, 1);
	return claim_n_failed != 0;
}
