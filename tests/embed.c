/* The counting, the products, the singular vectors and the clusters of a fit, against slow twins that do it at length. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"
#include "embed/codebook.h"
#include "embed/corpus.h"
#include "embed/svd.h"

/* -- terms -- */

enum { VOCABULARY = 160, TERM_MAX = VOCABULARY * (VOCABULARY + 1) };

/* Texts over words "wNN", the rarer the higher their number; always the same. */
static char **
make_texts(size_t n, size_t n_word)
{
	char **text = xmalloc(n, sizeof *text);

	for (size_t i = 0; i < n; i++) {
		struct rng r = rng_at(7, i);
		struct buf b = {0};
		for (size_t j = 0; j < n_word; j++) {
			double u = rng_uniform(&r);
			buf_printf(&b, "w%d ", (int)(VOCABULARY * u * u * u));
		}
		text[i] = xstrdup(buf_string(&b));
		buf_free(&b);
	}
	return text;
}

struct known {                          /* the twin: a term and what it counts */
	char name[16];
	unsigned df;
	unsigned *tf;                   /* [n_text] */
};

static int
by_df(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return x->df != y->df ? (x->df < y->df) - (x->df > y->df) : strcmp(x->name, y->name);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->name, ((const struct known *)b)->name);
}

/* All terms of the texts, counted by spelling them out. */
static size_t
count_terms(char **text, size_t n, struct known *known, size_t min_df, size_t max_df)
{
	static unsigned df[TERM_MAX];
	size_t n_known = 0;
	unsigned *last = xcalloc(TERM_MAX, sizeof *last), *where = xcalloc(TERM_MAX, sizeof *where);

	memset(df, 0, sizeof df);
	for (int pass = 0; pass < 2; pass++) {
		memset(last, 0, TERM_MAX * sizeof *last);
		for (size_t i = 0; i < n; i++) {
			int before = -1, word, n_char;
			for (const char *s = text[i]; sscanf(s, "w%d %n", &word, &n_char) == 1; s += n_char) {
				int id[2] = { word, before < 0 ? -1 : VOCABULARY + before * VOCABULARY + word };
				for (int k = 0; k < 2; k++) {
					if (id[k] < 0)
						continue;
					if (pass == 0) {
						df[id[k]] += last[id[k]] != i + 1;
						last[id[k]] = (unsigned)i + 1;
					} else if (where[id[k]]) {
						known[where[id[k]] - 1].tf[i]++;
					}
				}
				before = word;
			}
		}
		for (int id = 0; pass == 0 && id < TERM_MAX; id++) {
			if (df[id] < min_df || df[id] > max_df)
				continue;
			struct known *k = &known[n_known++];
			if (id < VOCABULARY)
				snprintf(k->name, sizeof k->name, "w%d", id);
			else
				snprintf(k->name, sizeof k->name, "w%d w%d", (id - VOCABULARY) / VOCABULARY, (id - VOCABULARY) % VOCABULARY);
			k->df = df[id];
			k->tf = xcalloc(n, sizeof *k->tf);
			where[id] = (unsigned)n_known;
		}
	}
	free(last);
	free(where);
	return n_known;
}

static int
same_terms(const struct terms *t, const struct known *known, size_t n)
{
	int same = t->n == n;

	for (size_t i = 0; same && i < n; i++)
		same = t->df[i] == known[i].df && t->start[i + 1] - t->start[i] == strlen(known[i].name) &&
		    memcmp(t->bytes.at + t->start[i], known[i].name, strlen(known[i].name)) == 0;
	return same;
}

/* Entry (d, t) of A, by walking along the row. */
static double
entry(const struct sparse *a, size_t d, size_t t)
{
	size_t n = a->start[d + 1] - a->start[d], n_value = a->value_start[d + 1] - a->value_start[d];

	for (size_t j = 0; j < n; j++)
		if (a->column[a->start[d] + j] == t)
			return a->row_scale[d] * (double)a->column_scale[t] *
			    (j < n - n_value ? 1 : a->value[a->value_start[d] + j - (n - n_value)]);
	return 0;
}

static void
test_terms(size_t n, size_t n_word, const char *what)
{
	char **text = make_texts(n, n_word);
	struct known *known = xcalloc(TERM_MAX, sizeof *known), *cut = xcalloc(TERM_MAX, sizeof *cut);
	size_t n_known = count_terms(text, n, known, 2, n / 2);
	struct span *span = xmalloc(n, sizeof *span);
	struct corpus c;
	struct fault f;
	int all = 1, threads = 1;

	corpus_init(&c);
	for (size_t i = 0; i < n; i++)
		span[i] = (struct span){ text[i], strlen(text[i]) };
	for (size_t i = 0; i < n; i += 100)
		corpus_add(&c, span + i, n - i < 100 ? n - i : 100, 2, &f);
	claim(c.n_token == n * n_word && c.n_doc == n, "%s: every word of every text is counted", what);
	size_t n_max[] = { TERM_MAX, n_known, n_known - 1, n_known / 2, 40, 5, 1 };
	for (size_t k = 0; k < sizeof n_max / sizeof *n_max; k++) {
		struct terms_options o = { n_max[k], 2, 2, .5, 1, 0, 1 };
		struct terms one, two;
		size_t want = n_max[k] < n_known ? n_max[k] : n_known;

		memcpy(cut, known, n_known * sizeof *cut);
		qsort(cut, n_known, sizeof *cut, by_df);
		qsort(cut, want, sizeof *cut, by_name);
		terms_choose(&one, &c, &o, &f);
		o.n_thread = 3;
		terms_choose(&two, &c, &o, &f);
		all &= same_terms(&one, cut, want);
		threads &= same_terms(&two, cut, want);
		terms_free(&one);
		terms_free(&two);
	}
	claim(all, "%s: terms and document frequencies are those of counting at length, for any --terms", what);
	claim(threads, "%s: three threads choose the same", what);

	struct terms_options o = { 700, 2, 2, .5, 1, 0, 2 };
	struct terms t;
	struct sparse a, raw;
	double worst = 0, worst_raw = 0;

	terms_choose(&t, &c, &o, &f);
	terms_matrix(&a, &t, &c, 1, 2);
	terms_matrix(&raw, &t, &c, 0, 1);
	for (size_t i = 0; i < t.n; i++)
		a.column_scale[i] = (float)(log((1. + (double)n) / (1. + t.df[i])) + 1);
	sparse_unit_rows(&a);
	memcpy(cut, known, n_known * sizeof *cut);
	qsort(cut, n_known, sizeof *cut, by_df);
	qsort(cut, t.n, sizeof *cut, by_name);
	for (size_t d = 0; d < n; d += 1 + n / 60) {
		double norm = 0;

		for (size_t i = 0; i < t.n; i++) {
			double w = cut[i].tf[d] ? (1 + log(cut[i].tf[d])) * (log((1. + (double)n) / (1. + cut[i].df)) + 1) : 0;
			norm += w * w;
		}
		for (size_t i = 0; i < t.n; i++) {
			double w = cut[i].tf[d] ? (1 + log(cut[i].tf[d])) * (log((1. + (double)n) / (1. + cut[i].df)) + 1) : 0;
			worst = fmax(worst, fabs(entry(&a, d, i) - (norm > 0 ? w / sqrt(norm) : 0)));
			worst_raw = fmax(worst_raw, fabs(entry(&raw, d, i) - cut[i].tf[d]));
		}
	}
	claim(worst < 1e-6, "%s: the matrix is (1 + log tf) idf in unit rows (worst %.1e)", what, worst);
	claim(worst_raw == 0, "%s: and tf itself where that is asked", what);
	sparse_free(&a);
	sparse_free(&raw);
	terms_free(&t);
	corpus_free(&c);
	for (size_t i = 0; i < n_known; i++)
		free(known[i].tf);
	for (size_t i = 0; i < n; i++)
		free(text[i]);
	free(text);
	free(known);
	free(cut);
	free(span);
}

/* -- a sparse matrix at random, and the same dense -- */

/* Entries with a chance of density; rows fade by their number, so that the spectrum falls. With rank > 0 every row is
   one of the first rank rows. */
static struct sparse
make_sparse(size_t n_row, size_t n_column, double density, size_t rank, double fade)
{
	struct sparse a = { .n_row = n_row, .n_column = n_column };
	size_t n = 0, n_value = 0, n_max = n_row * n_column;

	a.start = xcalloc(n_row + 1, sizeof *a.start);
	a.value_start = xcalloc(n_row + 1, sizeof *a.value_start);
	a.column = xmalloc(n_max, sizeof *a.column);
	a.value = xmalloc(n_max, sizeof *a.value);
	a.row_scale = xmalloc(n_row, sizeof *a.row_scale);
	a.column_scale = xmalloc(n_column, sizeof *a.column_scale);
	for (size_t i = 0; i < n_row; i++) {
		for (int valued = 0; valued < 2; valued++) {
			struct rng r = rng_at(11, rank ? i % rank : i);
			for (size_t j = 0; j < n_column; j++) {
				double u = rng_uniform(&r), v = rng_normal(&r);
				if (u > density || (v > .5) != valued)
					continue;
				a.column[n++] = (uint32_t)j;
				if (valued)
					a.value[n_value++] = (float)(1 + v);
			}
		}
		a.start[i + 1] = n;
		a.value_start[i + 1] = n_value;
		a.row_scale[i] = (float)pow(1 + (double)(rank ? i % rank : i), -fade);
	}
	for (size_t j = 0; j < n_column; j++)
		a.column_scale[j] = (float)(1 + .5 * sin((double)j));
	return a;
}

static double *
dense_of(const struct sparse *a)
{
	double *d = xcalloc(a->n_row * a->n_column, sizeof *d);

	for (size_t i = 0; i < a->n_row; i++)
		for (size_t j = 0; j < a->n_column; j++)
			d[i * a->n_column + j] = entry(a, i, j);
	return d;
}

static void
test_sparse(void)
{
	enum { R = 70, C = 45, K = SPARSE_PANEL };
	struct sparse a = make_sparse(R, C, .2, 0, .3);
	double *d = dense_of(&a), worst = 0, worst_row = 0, size = 0;
	float *from = xaligned(C * K, sizeof *from), *to = xaligned(C * K, sizeof *to), *again = xaligned(C * K, sizeof *again);
	float b[C * K], y[K];

	for (size_t i = 0; i < C * K; i++)
		b[i] = from[i] = (float)cos((double)i);
	for (size_t i = 0; i < R; i++) {
		sparse_row_mul(&a, i, b, K, K, y);
		for (size_t k = 0; k < K; k++) {
			double want = 0;
			for (size_t j = 0; j < C; j++)
				want += d[i * C + j] * b[j * K + k];
			worst_row = fmax(worst_row, fabs(want - y[k]));
		}
	}
	sparse_gram(&a, from, to);
	for (size_t t = 0; t < C; t++)
		for (size_t k = 0; k < K; k++) {
			double want = 0;
			for (size_t i = 0; i < R; i++)
				for (size_t j = 0; j < C; j++)
					want += d[i * C + t] * d[i * C + j] * b[j * K + k];
			worst = fmax(worst, fabs(want - to[t * K + k]));
			size = fmax(size, fabs(want));
		}
	claim(worst_row < 1e-5, "a row times a block is that of the dense matrix (worst %.1e)", worst_row);
	claim(worst < 1e-5 * size, "A' A times a panel is that of the dense matrix (worst %.1e of %.1f)", worst, size);
	sparse_sketch(&a, 3, 1, to);
	sparse_sketch(&a, 3, 1, again);
	int same = memcmp(to, again, C * K * sizeof *to) == 0;
	sparse_sketch(&a, 3, 2, again);
	claim(same && memcmp(to, again, C * K * sizeof *to) != 0, "a sketch depends on seed and panel alone");
	free(from);
	free(to);
	free(again);
	free(d);
	sparse_free(&a);
}

/* Eigenvalues of symmetric m [n][n], descending, by Jacobi's rotations: slow, and as exact as double is. */
static void
jacobi(double *m, size_t n, double *values)
{
	for (int sweep = 0; sweep < 60; sweep++) {
		double off = 0;
		for (size_t p = 0; p < n; p++)
			for (size_t q = p + 1; q < n; q++) {
				double a = m[p * n + q];
				off += a * a;
				if (fabs(a) < 1e-14)
					continue;
				double theta = (m[q * n + q] - m[p * n + p]) / (2 * a);
				double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1), s = t * c;
				for (size_t k = 0; k < n; k++) {
					double x = m[k * n + p], y = m[k * n + q];
					m[k * n + p] = c * x - s * y;
					m[k * n + q] = s * x + c * y;
				}
				for (size_t k = 0; k < n; k++) {
					double x = m[p * n + k], y = m[q * n + k];
					m[p * n + k] = c * x - s * y;
					m[q * n + k] = s * x + c * y;
				}
			}
		if (off < 1e-20)
			break;
	}
	for (size_t i = 0; i < n; i++) {
		size_t rank = 0;
		for (size_t j = 0; j < n; j++)
			rank += m[j * n + j] > m[i * n + i] || (m[j * n + j] == m[i * n + i] && j < i);
		values[rank] = m[i * n + i];
	}
}

/* Share of what the best rank vectors of A capture (in squares) that v captures; *orthogonal: worst entry of V'V - I. */
static double
captured(const struct sparse *a, const struct svd *s, double *worst_value, double *orthogonal)
{
	size_t n = a->n_row, c = a->n_column;
	double *d = dense_of(a), *m = xcalloc(n * n, sizeof *m), *values = xcalloc(n, sizeof *values), best = 0, got = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			for (size_t k = 0; k < c; k++)
				m[i * n + j] += d[i * c + k] * d[j * c + k];
	jacobi(m, n, values);
	*worst_value = *orthogonal = 0;
	for (size_t k = 0; k < s->rank; k++) {
		best += values[k];
		*worst_value = fmax(*worst_value, fabs(s->s[k] / sqrt(values[k]) - 1));
		for (size_t i = 0; i < n; i++) {
			double y = 0;
			for (size_t j = 0; j < c; j++)
				y += d[i * c + j] * s->v[j * s->rank + k];
			got += y * y;
		}
		for (size_t q = 0; q < s->rank; q++) {
			double dot = 0;
			for (size_t j = 0; j < c; j++)
				dot += (double)s->v[j * s->rank + k] * s->v[j * s->rank + q];
			*orthogonal = fmax(*orthogonal, fabs(dot - (k == q)));
		}
	}
	free(d);
	free(m);
	free(values);
	return got / best;
}

static int
signs_fixed(const struct svd *s, size_t n)
{
	int fixed = 1;

	for (size_t k = 0; k < s->rank; k++) {
		float most = 0;
		for (size_t j = 0; j < n; j++)
			if (fabsf(s->v[j * s->rank + k]) > fabsf(most))
				most = s->v[j * s->rank + k];
		fixed &= most > 0;
	}
	return fixed;
}

static void
test_svd(const char *what, struct sparse a, size_t rank, size_t want_rank, double want_share, double want_value)
{
	struct svd one, three, other;
	double worst, orthogonal;

	svd_sparse(&one, &a, rank, 5, 1);
	svd_sparse(&three, &a, rank, 5, 3);
	svd_sparse(&other, &a, rank, 6, 1);
	claim(one.rank == want_rank, "svd, %s: rank %zu of %zu asked", what, one.rank, rank);
	double share = captured(&a, &one, &worst, &orthogonal);
	claim(share > want_share && share < 1 + 1e-5, "svd, %s: captures %.4f of what the exact one does", what, share);
	claim(worst < want_value, "svd, %s: singular values are those of Jacobi's method (worst %.1e)", what, worst);
	claim(orthogonal < 1e-5, "svd, %s: vectors are orthonormal (worst %.1e)", what, orthogonal);
	claim(signs_fixed(&one, a.n_column), "svd, %s: the largest entry of each is positive", what);
	size_t n_byte = a.n_column * one.rank * sizeof *one.v;
	claim(three.rank == one.rank && memcmp(one.v, three.v, n_byte) == 0, "svd, %s: three threads give the same bits", what);
	claim(other.rank != one.rank || memcmp(one.v, other.v, n_byte) != 0, "svd, %s: another seed gives others", what);
	svd_free(&one);
	svd_free(&three);
	svd_free(&other);
	sparse_free(&a);
}

/* -- clusters -- */

/* Near the c-th axis, of unit length. */
static void
near_axis(float *x, size_t dim, size_t c, uint64_t i)
{
	struct rng r = rng_at(21, i);
	double sum = 0;

	for (size_t k = 0; k < dim; k++) {
		x[k] = (float)((k == c) + .1 * rng_normal(&r) / sqrt((double)dim));
		sum += (double)x[k] * x[k];
	}
	for (size_t k = 0; k < dim; k++)
		x[k] = (float)(x[k] / sqrt(sum));
}

static void
test_codebook(void)
{
	enum { DIM = 12, K = 9, N = 3000 };
	struct codebook c;
	float x[DIM], mean[DIM], *one, *three;
	double sum[DIM] = {0}, worst = 0;
	unsigned axes = 0;

	codebook_init(&c, DIM, K, 1);
	for (size_t i = 0; i < N; i++) {
		near_axis(x, DIM, i % K, i);
		codebook_add(&c, x);
		for (size_t k = 0; k < DIM; k++)
			sum[k] += x[k];
	}
	memset(x, 0, sizeof x);
	codebook_add(&c, x);
	codebook_mean(&c, mean);
	for (size_t k = 0; k < DIM; k++)
		worst = fmax(worst, fabs(mean[k] - sum[k] / (N + 1)));
	claim(worst < 1e-7, "the mean is over all vectors, zeros too");
	claim(c.n_sample == K * CODEBOOK_SAMPLE && c.n_drawn == N, "a sample of bounded size is kept");
	size_t n = codebook_make(&c, K, 1, &one), n_three = codebook_make(&c, K, 3, &three);
	for (size_t m = 0; m < n; m++)
		for (size_t k = 0; k < K; k++)
			if (one[m * DIM + k] > .99)
				axes |= 1U << k;
	claim(n == K && axes == (1U << K) - 1, "nine heaps of directions give their nine centres");
	claim(n == n_three && memcmp(one, three, n * DIM * sizeof *one) == 0, "three threads give the same bits");
	free(one);
	free(three);
	codebook_free(&c);

	codebook_init(&c, DIM, 4, 1);
	for (size_t i = 0; i < 50; i++) {
		near_axis(x, DIM, i % 2, i % 2);
		codebook_add(&c, x);
	}
	n = codebook_make(&c, 4, 2, &one);
	claim(n == 2, "two distinct vectors give two clusters, not four");
	free(one);
	codebook_free(&c);

	codebook_init(&c, DIM, 4, 1);
	memset(x, 0, sizeof x);
	codebook_add(&c, x);
	n = codebook_make(&c, 4, 2, &one);
	claim(n == 1 && one[0] == 0, "nothing but zeros gives one centre without direction");
	free(one);
	codebook_free(&c);
}

int
main(void)
{
	test_terms(60, 30, "60 texts");
	test_terms(3000, 100, "300,000 words");
	test_sparse();
	test_svd("falling spectrum", make_sparse(90, 60, .3, 0, 1), 10, 10, .99999, 1e-4);
	test_svd("flat spectrum", make_sparse(150, 200, .1, 0, 0), 24, 24, .99, .02);
	test_svd("more columns than are done by Householder", make_sparse(60, 2500, .02, 0, .5), 30, 30, .9999, 1e-3);
	test_svd("all that a small matrix has", make_sparse(12, 40, .3, 0, .2), 128, 12, .99999, 1e-4);
	test_svd("more rows than columns", make_sparse(40, 7, .5, 0, .2), 128, 7, .99999, 1e-4);
	test_svd("rows repeated", make_sparse(60, 50, .2, 9, .2), 20, 9, .99999, 1e-4);
	test_codebook();
	return claim_n_failed != 0;
}
