/* The pool: rows, ids and texts come back, sums against pairs one by one, damage is found, segments act as one. */
#include "pool/pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "claim.h"
#include "mat/mat.h"
#include "scratch.h"
#include "tensor/tensor.h"

enum { DIM = 7, N = 700, N_CLUSTER = 5 };
static const char space[] = "00112233445566778899aabbccddeeff";
static const char *const column[] = { "title", "title.offset", "" };
static float x[N][DIM];
static char id[N][16];

static void
make_rows(void)
{
	for (size_t i = 0; i < N; i++) {
		struct rng r = rng_at(7, i);
		for (size_t k = 0; k < DIM; k++)
			x[i][k] = (float)(rng_normal(&r) + (k == 2));
		if (i % 97 == 5)
			memset(x[i], 0, sizeof x[i]);
		mat_normalise(x[i], DIM);
		/* long common beginnings, and ids that begin as others end */
		snprintf(id[i], sizeof id[i], i % 3 ? "package-%zu" : "%zu", (i * 389) % N);
	}
}

static struct pool_builder *
add_rows(struct pool_builder *b, size_t from, size_t n, struct fault *f)
{
	for (size_t i = from; b && i < from + n; i++) {
		char text[3][40];
		struct span t[3];
		for (size_t k = 0; k < 3; k++) {
			int size = snprintf(text[k], sizeof text[k], "%zu of %s", i, column[k]);
			t[k] = (struct span){ text[k], k == 2 && i % 2 ? 0 : (size_t)size };
		}
		if (pool_add(b, (struct span){ id[i], strlen(id[i]) }, x[i], i % N_CLUSTER, t, f) < 0) {
			claim(0, "row %zu is added: %s", i, f->text);
			pool_abort(b);
			return NULL;
		}
	}
	return b;
}

static int
build(const char *path, size_t from, size_t n, struct fault *f)
{
	struct pool_builder *b = add_rows(pool_create(path, DIM, space, N_CLUSTER, column, 3, f), from, n, f);

	return b ? pool_commit(b, f) : -1;
}

static int
rows_are_right(struct pool *p)
{
	struct fault f;
	float *scratch = malloc(sizeof x);
	const float *got = pool_rows(p, 0, N, scratch, &f);
	int right = pool_n(p) == N && got && memcmp(got, x, sizeof x) == 0;

	for (size_t i = 0; right && i < N; i++) {
		char text[40];
		struct span s = pool_id(p, i), t = pool_text(p, i, pool_column(p, "title.offset")), e = pool_text(p, i, pool_column(p, ""));
		size_t row;
		snprintf(text, sizeof text, "%zu of title.offset", i);
		right = span_is(s, id[i]) && span_is(t, text) && (e.n == 0) == (i % 2) && pool_cluster(p, i) == i % N_CLUSTER &&
		    pool_check_row(p, i, &f) == 0 && pool_find(p, s) == i && pool_lookup(p, s, &row, &f) == 1 && row == i;
	}
	for (size_t from = 0; right && from < N; from += 61) {
		size_t n = N - from < 100 ? N - from : 100;
		got = pool_rows(p, from, n, scratch, &f);
		right = got && memcmp(got, x[from], n * sizeof x[0]) == 0;
	}
	free(scratch);
	return right && pool_find(p, (struct span){ "nobody", 6 }) == SIZE_MAX && pool_find(p, (struct span){ "", 0 }) == SIZE_MAX;
}

/* Every pair by itself. */
static double
slow_sd(double mean[DIM])
{
	double sum = 0, square = 0, n_pair = (double)N * (N - 1);

	memset(mean, 0, DIM * sizeof *mean);
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < DIM; k++)
			mean[k] += (double)x[i][k] / N;
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < N; j++) {
			double s = 0;
			for (size_t k = 0; k < DIM; k++)
				s += (double)x[i][k] * x[j][k];
			if (i != j) {
				sum += s;
				square += s * s;
			}
		}
	return sqrt(square / n_pair - sum / n_pair * (sum / n_pair));
}

static void
one_and_many(void)
{
	struct fault f = {0};
	double mean[DIM], slow_mean[DIM], cut_mean[DIM], worst = 0;
	const char *whole[] = { "whole" }, *parts[] = { "a", "b", "c", "d" }, *grown[] = { "grown" };

	claim(build("whole", 0, N, &f) == 0, "a pool is built: %s", f.text);
	struct pool *p = pool_open(whole, 1, space, "the test", &f);
	if (!claim(p != NULL, "and opens: %s", f.text))
		return;
	claim(pool_dim(p) == DIM && pool_n_cluster(p) == N_CLUSTER && strcmp(pool_space(p), space) == 0 && pool_n_column(p) == 3 &&
	    strcmp(pool_column_name(p, 1), "title.offset") == 0 && pool_column(p, "none") == SIZE_MAX, "it knows what it is");
	claim(rows_are_right(p), "vectors, ids, texts and clusters come back; every id is found");
	claim(pool_check(p, &f) == 0, "all of it is sound");
	double sd = pool_score_sd(p, mean), slow = slow_sd(slow_mean);
	for (size_t k = 0; k < DIM; k++)
		worst = fmax(worst, fabs(mean[k] - slow_mean[k]));
	claim(fabs(sd / slow - 1) < 1e-6 && worst < 1e-6, "spread of scores %.9f, over pairs one by one %.9f; means differ by at most %.1e", sd, slow, worst);
	pool_close(p);

	claim(build("a", 0, 1, &f) == 0 && build("b", 1, 300, &f) == 0 && build("c", 301, 0, &f) == 0 && build("d", 301, N - 301, &f) == 0,
	    "the same rows in four pools, one of them empty");
	p = pool_open(parts, 4, NULL, NULL, &f);
	claim(p && rows_are_right(p), "act as one");
	claim(pool_score_sd(p, cut_mean) == sd && memcmp(mean, cut_mean, sizeof mean) == 0, "with the same spread and mean, bit for bit");
	claim(pool_write("merged", p, 0, N, NULL, NULL, 1, &f) == 0, "and merge");
	pool_close(p);
	p = pool_open((const char *[]){ "merged" }, 1, NULL, NULL, &f);
	claim(p && rows_are_right(p) && pool_check(p, &f) == 0 && pool_n_segment(p) == 1, "into one segment of the same rows");
	pool_close(p);

	claim(build("grown", 0, 10, &f) == 0, "a small pool");
	for (size_t i = 10, n; i < N; i += n) {
		n = i < 400 ? 130 : N - i;
		struct pool_builder *b = add_rows(pool_extend("grown", DIM, space, "the test", N_CLUSTER, column, 3, &f), i, n, &f);
		claim(b && pool_commit(b, &f) == 0, "grows to %zu rows", i + n);
	}
	p = pool_open(grown, 1, space, NULL, &f);
	claim(p && rows_are_right(p) && pool_check(p, &f) == 0 && pool_n_segment(p) == 5 && pool_score_sd(p, cut_mean) == sd,
	    "and is the same pool in five segments");
	pool_close(p);
}

static void
refusals(void)
{
	struct fault f = {0};
	struct span text[3] = {{ "", 0 }, { "", 0 }, { "", 0 }};
	struct pool_builder *b = pool_create("r", DIM, space, N_CLUSTER, column, 3, &f);
	static const struct { const char *id; size_t n; } bad[] = { { "", 0 }, { "a b", 3 }, { "a\t", 2 }, { "\n", 1 }, { "a\rb", 3 } };
	float y[DIM];
	size_t n_refused = 0;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		n_refused += pool_add(b, (struct span){ bad[i].id, bad[i].n }, x[0], 0, text, &f) == -1 && f.status == EX_DATAERR;
	claim(n_refused == 5, "ids that are empty or hold a blank are refused: %s", f.text);
	memcpy(y, x[0], sizeof y);
	y[0] += .1f;
	claim(pool_add(b, (struct span){ "y", 1 }, y, 0, text, &f) == -1, "a vector that is not of unit length is refused: %s", f.text);
	y[0] = NAN;
	claim(pool_add(b, (struct span){ "y", 1 }, y, 0, text, &f) == -1, "so is one that is not a number: %s", f.text);
	claim(pool_add(b, (struct span){ "a\0b", 3 }, x[0], 0, text, &f) == 0 && pool_add(b, (struct span){ "a", 1 }, x[1], 0, text, &f) == 0,
	    "a NUL is no blank");
	claim(pool_commit(b, &f) == 0, "what was refused is not in the pool");
	struct pool *p = pool_open((const char *[]){ "r" }, 1, NULL, NULL, &f);
	claim(p && pool_n(p) == 2 && pool_check(p, &f) == 0 && pool_find(p, (struct span){ "a\0b", 3 }) == 0 &&
	    pool_find(p, (struct span){ "a", 1 }) == 1, "the rows around it are");
	pool_close(p);

	b = pool_create("r", DIM, space, N_CLUSTER, column, 3, &f);
	pool_add(b, (struct span){ "same", 4 }, x[0], 0, text, &f);
	pool_add(b, (struct span){ "same", 4 }, x[1], 0, text, &f);
	claim(pool_commit(b, &f) == -1 && f.status == EX_DATAERR, "an id twice is refused: %s", f.text);
	b = pool_extend("r", DIM, space, NULL, N_CLUSTER, column, 3, &f);
	struct fault busy = {0};
	claim(!pool_extend("r", DIM, space, NULL, N_CLUSTER, column, 3, &busy) && busy.status == EX_TEMPFAIL, "two cannot add at once: %s", busy.text);
	pool_add(b, (struct span){ "a", 1 }, x[1], 0, text, &f);
	claim(pool_commit(b, &f) == -1 && f.status == EX_DATAERR, "an id of an older segment is refused: %s", f.text);
	p = pool_open((const char *[]){ "r" }, 1, NULL, NULL, &f);
	claim(p && pool_n(p) == 2, "and the old pool stays");
	pool_close(p);

	claim(!pool_create("r", DIM, space, 1, (const char *[]){ "a", "a" }, 2, &f), "two columns of one name are refused: %s", f.text);
	claim(!pool_create("r", DIM, space, 1, (const char *[]){ "x" }, 1, &f), "a text column called x is refused: %s", f.text);
	b = pool_create("r", DIM, space, 1, (const char *[]){ "\xFF" }, 1, &f);
	claim(pool_commit(b, &f) == -1 && f.status == EX_DATAERR, "a name that is no UTF-8 is refused: %s", f.text);
	claim(!pool_create("nowhere/r", DIM, space, 1, column, 1, &f) && f.status == EX_NOINPUT, "a folder that is not there: %s", f.text);
	claim(!pool_create(".", DIM, space, 1, column, 1, &f) && f.status == EX_NOINPUT, "a folder for a file: %s", f.text);

	const char *mixed[] = { "whole", "o" };
	b = pool_create("o", DIM, "ffeeddccbbaa99887766554433221100", N_CLUSTER, column, 3, &f);
	claim(pool_commit(b, &f) == 0, "a pool of another space, without rows");
	claim(!pool_open(mixed, 2, NULL, NULL, &f) && f.status == EX_DATAERR && strstr(f.text, "00112233") && strstr(f.text, "ffeeddcc"),
	    "does not mix: %s", f.text);
	claim(!pool_open(mixed + 1, 1, space, "team.model", &f) && strstr(f.text, "team.model") && strstr(f.text, "o: "), "nor go with a model: %s", f.text);
	b = pool_create("o", DIM, space, N_CLUSTER + 1, column, 3, &f);
	pool_commit(b, &f);
	claim(!pool_open(mixed, 2, NULL, NULL, &f) && f.status == EX_DATAERR, "nor do other clusters: %s", f.text);
	claim(!pool_open(mixed, 0, NULL, NULL, &f) && f.status == EX_USAGE, "no pool at all is a usage error");
}

/* Scores that are all equal have no spread: nothing is left of rounding. */
static void
corners(void)
{
	struct fault f;
	struct span text[3] = {{ "", 0 }, { "", 0 }, { "", 0 }};
	double mean[DIM];

	for (size_t n = 0; n <= 3; n++) {
		struct pool_builder *b = pool_create("c", DIM, space, N_CLUSTER, column, 3, &f);
		for (size_t i = 0; i < n; i++)
			pool_add(b, (struct span){ id[i], strlen(id[i]) }, x[0], 0, text, &f);
		pool_commit(b, &f);
		struct pool *p = pool_open((const char *[]){ "c" }, 1, NULL, NULL, &f);
		double sd = pool_score_sd(p, mean);
		claim(p && sd == 0 && pool_check(p, &f) == 0 && fabs(mean[0] - (n < 2 ? 0 : x[0][0])) < 1e-5, "%zu equal rows have a spread of %g", n, sd);
		pool_close(p);
	}
}

static void
damage(void)
{
	struct fault f = {0};
	FILE *file = fopen("whole", "rb");
	static char bytes[1 << 20];
	size_t n = fread(bytes, 1, sizeof bytes, file), n_tried = 0, n_found = 0;

	fclose(file);
	for (size_t i = 0; i < n; i += 211) {
		bytes[i] ^= 8;
		file = fopen("bad", "wb");
		fwrite(bytes, 1, n, file);
		fclose(file);
		bytes[i] ^= 8;
		struct pool *p = pool_open((const char *[]){ "bad" }, 1, NULL, NULL, &f);
		/* nothing may be read beyond the mapping, whatever the bytes say */
		if (p) {
			size_t n_byte = 0;
			for (size_t row = 0; row < pool_n(p); row++)
				n_byte += pool_id(p, row).n + pool_text(p, row, 0).n + pool_cluster(p, row);
			pool_find(p, (struct span){ id[3], strlen(id[3]) });
			n_tried += n_byte == 0;
		}
		n_tried++;
		n_found += (!p || pool_check(p, &f) < 0) && f.status == EX_DATAERR;
		pool_close(p);
	}
	claim(n_found == n_tried && n_tried > 300, "%zu of %zu pools with one bit flipped are found out: %s", n_found, n_tried, f.text);
}

/* A sketch that is kept where the pool is large. */
static void
large(void)
{
	struct fault f = {0};
	int has[2] = {0};

	for (int k = 0; k < 2; k++) {
		struct pool_builder *b = pool_create("large", 4, "0123456789abcdef0123456789abcdef", 1, NULL, 0, &f);
		int r = b ? pool_set_format(b, (struct pool_format){ POOL_F32, POOL_SKETCH_IF_LARGE, 0 }, &f) : -1;
		for (size_t i = 0; r == 0 && i < POOL_SKETCH_ROWS - (size_t)k; i++) {
			char name[24];
			snprintf(name, sizeof name, "r%zu", i);
			r = pool_add(b, (struct span){ name, strlen(name) }, (const float[]){ i % 2 ? .6f : .8f, i % 2 ? .8f : .6f, 0, 0 }, 0, NULL, &f);
		}
		r = r == 0 ? pool_commit(b, &f) : (pool_abort(b), -1);
		struct pool *p = r == 0 ? pool_open((const char *[]){ "large" }, 1, NULL, NULL, &f) : NULL;
		has[k] = p && pool_check(p, &f) == 0 ? pool_has_sketch(p) : -1;
		pool_close(p);
	}
	unlink("large");
	claim(has[0] == 1 && has[1] == 0, "a sketch if large: of 65,536 rows, not of one less: %d, %d %s", has[0], has[1], f.text);
}

/* The pool "whole" again, checksums and all, with one number of one tensor changed. */
static int
forge(const char *tensor, size_t at, const void *value, size_t n_byte)
{
	struct fault f;
	struct tensor_file *t = tensor_open("whole", "pool", &f);
	struct tensor_writer *w = tensor_create("bad", "pool", &f);
	struct tensor v;
	int r = 0;

	tensor_set_meta(w, "space", "%s", tensor_meta(t, "space"));
	tensor_set_meta(w, "dim", "%s", tensor_meta(t, "dim"));
	tensor_set_meta(w, "n_cluster", "%s", tensor_meta(t, "n_cluster"));
	tensor_set_meta(w, "n_segment", "%s", tensor_meta(t, "n_segment"));
	tensor_declare_file(w, t);
	for (size_t i = 0; r == 0 && i < tensor_count(t); i++) {
		tensor_about(t, i, &v);
		tensor_get(t, tensor_name(t, i), v.type, v.n_dim, v.shape, &v, &f);
		char *copy = malloc(v.n_byte);
		memcpy(copy, v.at, v.n_byte);
		if (strcmp(tensor_name(t, i), tensor) == 0)
			memcpy(copy + at * n_byte, value, n_byte);
		r = tensor_put(w, copy, v.n_byte, &f);
		free(copy);
	}
	tensor_close(t);
	return r == 0 ? tensor_commit(w, &f) : (tensor_abort(w), -1);
}

static void
forgery(void)
{
	struct fault f = {0};
	static const struct { const char *tensor, *says; size_t at, n_byte; uint64_t value; } lie[] = {
		{ "0.cluster", "of cluster 5 of 5", 3, 4, 5 }, { "0.cluster", "of cluster", 3, 4, UINT32_MAX },
		{ "0.id.offset", "offsets of column id", 9, 8, UINT64_MAX }, { "0.id.offset", "offsets of column id", 0, 8, 1 },
		{ "0.offset.title", "offsets of column title", 9, 8, 0 }, { "0.offset.title", "offsets of column title", N, 8, 1 << 30 },
		{ "0.id.order", "names row 700 of 700", 0, 4, N }, { "0.id.order", "not in order", 5, 4, 0 }, { "0.id", "", 0, 1, ' ' },
		{ "0.sum", "sums over rows", 0, 8, 17 }, { "0.sum", "not those of 700 unit rows", 0, 8, (uint64_t)1 << 62 },
		{ "0.moment", "sums over rows", 3, 8, 17 }, { "0.moment", "not those of 700 unit rows", 0, 8, (uint64_t)1 << 63 },
		{ "0.quartic", "sums over rows", 0, 8, 1 }, { "0.x", "has length", 10, 4, 0x40000000 }, { "0.x", "has length nan", 10, 4, 0x7FC00000 },
		{ "0.x", "has length inf", 10, 4, 0x7F800000 },
	};

	for (size_t k = 0; k < sizeof lie / sizeof *lie; k++) {
		size_t n_byte = 0, row;
		if (forge(lie[k].tensor, lie[k].at, &lie[k].value, lie[k].n_byte) < 0) {
			claim(0, "a pool is forged");
			continue;
		}
		struct pool *p = pool_open((const char *[]){ "bad" }, 1, NULL, NULL, &f);
		for (size_t i = 0; p && i < pool_n(p); i++) {
			n_byte += pool_id(p, i).n + pool_text(p, i, 0).n;
			n_byte += pool_cluster(p, i) < N_CLUSTER;
			pool_check_row(p, i, &f);
			pool_lookup(p, (struct span){ id[i], strlen(id[i]) }, &row, &f);
		}
		/* what attention would read: numbers that it can add up, or none */
		float scratch[DIM], sum = 0;
		for (size_t i = 0; p && i < pool_n(p); i++) {
			const float *y = pool_rows(p, i, 1, scratch, &f);
			for (size_t j = 0; y && j < DIM; j++)
				sum += y[j];
		}
		claim(fabsf(sum) <= N * DIM * 1.001f, "rows of such a pool are finite, or not given out");
		claim((!p || (n_byte > N && pool_check(p, &f) < 0)) && f.status == EX_DATAERR && strstr(f.text, lie[k].says),
		    "a %s that lies leads nowhere outside: %s", lie[k].tensor, f.text);
		pool_close(p);
	}
}

int
main(void)
{
	char folder[SCRATCH];
	static const char *const left[] = { "whole", "a", "b", "c", "d", "merged", "grown", "r", "o", "bad" };

	if (!claim(scratch_folder(folder) == 0 && chdir(folder) == 0, "a folder for the test's files"))
		return 1;
	make_rows();
	one_and_many();
	refusals();
	corners();
	damage();
	large();
	forgery();
	for (size_t i = 0; i < sizeof left / sizeof *left; i++)
		unlink(left[i]);
	claim(chdir("/") == 0 && rmdir(folder) == 0, "nothing else was left behind");
	return claim_n_failed != 0;
}
