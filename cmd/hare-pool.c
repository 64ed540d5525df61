/*
 * hare-pool - make and look after a pool of knowledge: ids, texts, vectors and clusters in one mapped file
 */
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/opt.h"
#include "base/thread.h"
#include "filter.h"
#include "mat/mat.h"
#include "model/model.h"
#include "pool/pool.h"
#include "pool_vectors.h"
#include "record/record.h"
#include "tensor/tensor.h"

enum { BATCH = 512, TASK_ROWS = 32 };
#define NORM_TOLERANCE 1e-3

static const char *model_path, *output, *pool_path, *vectors_path, *tensor_wanted, *npy_path;
static const char *store_wanted;
static int normalise, no_x, sketch_wanted, sketch_unwanted, index_wanted, index_unwanted;
static size_t n_shard;
static struct opt_list pools;

/* -- build and add -- */
struct feed {
	struct record_in *in;
	const struct model *model;
	struct pool_builder *builder;
	struct vectors vectors;
	int id_column, x_column;        /* x_column -1: vectors from their file */
	int *text_column;               /* [n_text] */
	char **text_name;
	size_t n_text;
	size_t n_before;                /* rows before this batch */
	size_t n_added, n_zero;
	float *x;                       /* [BATCH][dim] */
	size_t cluster[BATCH];
	int is_bad[BATCH];
};

/* The vector of row i of the batch and its cluster. */
static int
prepare(struct feed *d, size_t i, struct fault *f)
{
	float *x = d->x + i * d->model->dim;
	size_t row = d->n_before + i;

	if (d->x_column >= 0) {
		if (record_vector(d->in, i, d->x_column, x, d->model->dim, f) < 0)
			return -1;
	} else if (row >= d->vectors.n_row) {
		return fault(f, EX_DATAERR, "%s: a record too many: %s has %zu rows", record_where(d->in, i), vectors_path, d->vectors.n_row);
	} else if (vectors_row(&d->vectors, row, x, f) < 0)
		return -1;

	double norm = normalise ? mat_normalise(x, d->model->dim) : mat_norm(x, d->model->dim);
	int right = normalise ? isfinite(norm) : norm == 0 || fabs(norm - 1) <= NORM_TOLERANCE;
	if (!right && d->x_column >= 0)
		return record_fault(d->in, i, d->x_column, f, "expected a vector of length 1 or 0 (or --normalise), got length %g", norm);
	if (!right)
		return fault(f, EX_DATAERR, "%s: row %zu: expected a vector of length 1 or 0 (or --normalise), got length %g", vectors_path,
		    row, norm);
	d->cluster[i] = model_cluster(d->model, x);
	return 0;
}

struct task {
	struct feed *feed;
	size_t n;
};

static void
prepare_some(void *arg, size_t i_task, size_t worker)
{
	struct task *t = arg;
	struct fault f;

	(void)worker;
	for (size_t i = i_task * TASK_ROWS; i < t->n && i < (i_task + 1) * TASK_ROWS; i++)
		t->feed->is_bad[i] = prepare(t->feed, i, &f) < 0;
}

static int
add_row(struct feed *d, size_t i, struct span *text, struct fault *f)
{
	struct span id = record_cell(d->in, i, d->id_column);
	const float *x = d->x + i * d->model->dim;

	if (d->is_bad[i])
		return prepare(d, i, f);        /* again, for what is wrong with it */
	if (id.n == 0)
		return record_fault(d->in, i, d->id_column, f, "expected an id, got an empty cell");
	if (!pool_id_is_good(id))
		return record_fault(d->in, i, d->id_column, f, "expected an id without blanks, got \"%s\"", fault_quote(id.at, id.n));
	for (size_t k = 0; k < d->n_text; k++)
		text[k] = record_cell(d->in, i, d->text_column[k]);
	if (pool_add(d->builder, id, x, d->cluster[i], text, f) < 0)
		return -1;
	d->n_added++;
	size_t k = 0;
	while (k < d->model->dim && x[k] == 0)
		k++;
	d->n_zero += k == d->model->dim;
	return 0;
}

/* All records into the builder. */
static int
feed_all(struct feed *d, struct fault *f)
{
	struct span *text = xcalloc(d->n_text ? d->n_text : 1, sizeof *text);
	ptrdiff_t n;
	int r = 0;

	d->x = xmalloc(BATCH * d->model->dim, sizeof *d->x);
	while (r == 0 && (n = record_batch(d->in, BATCH, f)) != 0) {
		if (n < 0) {
			r = -1;
			break;
		}
		struct task task = { d, (size_t)n };
		thread_for(record_options.n_thread, ((size_t)n + TASK_ROWS - 1) / TASK_ROWS, prepare_some, &task);
		for (size_t i = 0; r == 0 && i < (size_t)n; i++) {
			r = add_row(d, i, text, f);
			if (r < 0 && f->status == EX_DATAERR)
				r = record_bad(d->in, f);
		}
		d->n_before += (size_t)n;
	}
	free(text);
	free(d->x);
	if (r == 0 && d->x_column < 0 && d->n_before != d->vectors.n_row)
		return fault(f, EX_DATAERR, "%s: has %zu rows, but there are %zu records", vectors_path, d->vectors.n_row, d->n_before);
	return r;
}

/* id and x by their roles; every other column is kept as text. */
static int
find_columns(struct feed *d, struct fault *f)
{
	size_t n_column = record_n_column(d->in);
	int x_unused;

	d->id_column = record_need(d->in, "id", f);
	if (d->id_column < 0)
		return -1;
	d->x_column = vectors_path ? -1 : record_need(d->in, "x", f);
	if (!vectors_path && d->x_column < 0)
		return -1;
	x_unused = vectors_path ? record_find(d->in, "x") : d->x_column;
	d->text_column = xcalloc(n_column, sizeof *d->text_column);
	d->text_name = xcalloc(n_column, sizeof *d->text_name);
	for (size_t k = 0; k < n_column; k++) {
		struct span name = record_name(d->in, k);
		if ((int)k == d->id_column || (int)k == x_unused)
			continue;
		if (name.n > 0 && memchr(name.at, '\0', name.n))
			return fault(f, EX_DATAERR, "column %zu: its name holds a NUL", k + 1);
		d->text_column[d->n_text] = (int)k;
		d->text_name[d->n_text++] = xstrndup(name.n ? name.at : "", name.n);
	}
	return 0;
}

/* What is given on the command line wins over what is there. */
static struct pool_format
change_format(struct pool_format format)
{
	if (store_wanted)
		pool_store_of(store_wanted, &format.store);     /* one of the choices, so it is there */
	format.has_sketch = sketch_unwanted ? 0 : sketch_wanted ? 1 : format.has_sketch;
	format.has_index = (format.has_index || index_wanted) && !index_unwanted;
	return format;
}

static int
make(struct feed *d, const char *target, int extend, struct fault *f)
{
	const struct model *m = d->model;
	const char *const *name;

	if (find_columns(d, f) < 0 || (vectors_path && vectors_open(&d->vectors, vectors_path, tensor_wanted, m->dim, model_path, f) < 0))
		return -1;
	name = (const char *const *)d->text_name;
	d->builder = extend ? pool_extend(target, m->dim, m->space, model_path, m->n_cluster, name, d->n_text, f) :
	    pool_create(target, m->dim, m->space, m->n_cluster, name, d->n_text, f);
	if (!d->builder)
		return -1;
	struct pool_format format = pool_builder_format(d->builder);
	if (!extend)
		format.has_sketch = POOL_SKETCH_IF_LARGE;
	pool_set_threads(d->builder, record_options.n_thread);
	if (pool_set_format(d->builder, change_format(format), f) < 0 || feed_all(d, f) < 0) {
		pool_abort(d->builder);
		return -1;
	}
	return pool_commit(d->builder, f);
}

static int
build_or_add(const struct opt_program *p, const char *target, int extend, int n_operand, char **operand)
{
	struct fault f = {0};
	struct feed d = {0};

	if (!model_path)
		opt_usage(p, "expected a MODEL: -m, or HARE_MODEL in the environment");
	if (tensor_wanted && !vectors_path)
		opt_usage(p, "--tensor goes with --vectors");
	if (vectors_path && record_options.skip_bad)
		opt_usage(p, "--skip-bad does not go with --vectors, whose rows are found by counting");
	struct model *model = mat_check(&f) == 0 ? model_open(model_path, &f) : NULL;
	d.model = model;
	d.in = model ? record_open(n_operand, operand, &f) : NULL;
	int ok = d.in && make(&d, target, extend, &f) == 0;
	if (ok && record_options.verbose)
		warnx("%s: %zu row%s %s, %zu of them with a zero vector", target, d.n_added, d.n_added == 1 ? "" : "s", extend ? "added" : "written", d.n_zero);
	vectors_close(&d.vectors);
	for (size_t k = 0; k < d.n_text; k++)
		free(d.text_name[k]);
	free(d.text_name);
	free(d.text_column);
	int status = filter_finish(d.in, NULL, ok ? EX_OK : f.status, &f);
	model_close(model);
	return status;
}

static int
run_build(const struct opt_program *p, int n_operand, char **operand)
{
	if (!output)
		opt_usage(p, "expected a file to write: -o POOL");
	return build_or_add(p, output, 0, n_operand, operand);
}

static int
run_add(const struct opt_program *p, int n_operand, char **operand)
{
	if (!pool_path)
		opt_usage(p, "expected a pool to add to: -p POOL, or HARE_POOL in the environment");
	return build_or_add(p, pool_path, 1, n_operand, operand);
}

/* -- pools that are there -- */

/* Those of -p and the operands, else that of the environment. */
static struct pool *
open_pools(const struct opt_program *p, int n_operand, char **operand, struct fault *f)
{
	size_t n = 0;
	const char **path = xcalloc(pools.n + (size_t)n_operand + 1, sizeof *path), *usual = getenv("HARE_POOL");

	for (size_t i = 0; i < pools.n; i++)
		path[n++] = pools.at[i];
	for (int i = 0; i < n_operand; i++)
		path[n++] = operand[i];
	if (n == 0 && usual && *usual)
		path[n++] = usual;
	if (n == 0)
		opt_usage(p, "expected a POOL");
	struct pool *pool = mat_check(f) == 0 ? pool_open(path, n, NULL, NULL, f) : NULL;
	free(path);
	return pool;
}

static int
finish(struct pool *pool, struct record_out *out, int ok, const struct fault *f)
{
	int status = filter_finish(NULL, out, ok ? EX_OK : f->status, f);

	pool_close(pool);
	return status;
}

static size_t
n_thread(void)
{
	size_t n = record_options.n_thread ? record_options.n_thread : thread_count();

	return n < THREAD_MAX ? n : THREAD_MAX;
}

static int
run_merge(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};

	if (!output)
		opt_usage(p, "expected a file to write: -o POOL");
	struct pool *pool = open_pools(p, n_operand, operand, &f);
	struct pool_format format = pool ? change_format(pool_format_of(pool)) : (struct pool_format){ POOL_F32, 0, 0 };
	return finish(pool, NULL, pool && pool_write(output, pool, 0, pool_n(pool), &format, NULL, n_thread(), &f) == 0, &f);
}

static int
run_shard(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};

	if (!output || n_shard == 0 || n_shard > 1000000)
		opt_usage(p, "expected -o PREFIX and -n N, N from 1 to 1000000");
	struct pool *pool = open_pools(p, n_operand, operand, &f);
	int ok = pool != NULL, n_digit = snprintf(NULL, 0, "%zu", n_shard - 1);
	struct buf name = {0};
	struct pool_whole whole = { 0, 0, 0 };
	if (ok)
		whole = (struct pool_whole){ pool_n(pool), 0, pool_score_sd(pool, NULL) };
	size_t n_tile = (whole.n + POOL_TILE - 1) / POOL_TILE;
	for (size_t i = 0; ok && i < n_shard; i++) {
		size_t from = n_tile * i / n_shard * POOL_TILE, to = n_tile * (i + 1) / n_shard * POOL_TILE;
		from = from < whole.n ? from : whole.n;
		to = to < whole.n ? to : whole.n;
		whole.first = from;
		buf_clear(&name);
		/* digits enough that the shell lists shards in their order */
		buf_printf(&name, "%s.%0*zu", output, n_digit, i);
		ok = pool_write(buf_string(&name), pool, from, to - from, NULL, &whole, 1, &f) == 0;
	}
	buf_free(&name);
	return finish(pool, NULL, ok, &f);
}

static int
run_check(const struct opt_program *p, int n_operand, char **operand)
{
	const char *usual = getenv("HARE_POOL");
	int status = EX_OK, from_environment = pools.n + (size_t)n_operand == 0;

	if (from_environment && (!usual || !*usual))
		opt_usage(p, "expected a POOL");
	/* each by itself: pools of several spaces may be checked at once, and one that is damaged hides no other */
	for (size_t i = 0; i < pools.n + (size_t)n_operand + (from_environment ? 1 : 0); i++) {
		const char *path = from_environment ? usual : i < pools.n ? pools.at[i] : operand[i - pools.n];
		struct fault f;
		struct pool *pool = mat_check(&f) == 0 ? pool_open(&path, 1, NULL, NULL, &f) : NULL;
		if (!pool || pool_check(pool, &f) < 0) {
			warnx("%s", f.text);
			status = f.status;
		} else if (record_options.verbose)
			warnx("%s: %zu rows, sound", path, pool_n(pool));
		pool_close(pool);
	}
	return file_stdout_close(status);
}

/* -- records out -- */

/* Columns id, texts, x: so that what dump writes is what build reads. */
static struct record_out *
open_out(const struct pool *pool, struct fault *f)
{
	size_t n_column = pool_n_column(pool), n = 0;
	const char **name = xcalloc(n_column + 2, sizeof *name);

	name[n++] = record_column_name("id");
	for (size_t k = 0; k < n_column; k++)
		name[n++] = pool_column_name(pool, k);
	if (!no_x)
		name[n++] = record_column_name("x");
	struct record_out *out = record_out_open(NULL, NULL, name, n, f);
	free(name);
	return out;
}

static int
put_row(struct record_out *out, struct record_row *r, struct pool *pool, size_t row, const float *x, struct fault *f)
{
	if (pool_check_row(pool, row, f) < 0)
		return -1;
	record_row_begin(r, out);
	struct span id = pool_id(pool, row);
	record_put_text(r, id.at, id.n);
	for (size_t k = 0; k < pool_n_column(pool); k++) {
		struct span text = pool_text(pool, row, k);
		record_put_text(r, text.at, text.n);
	}
	if (!no_x)
		record_put_vector(r, x, pool_dim(pool));
	return record_emit(out, NULL, 0, r, f);
}

static int
dump_records(struct pool *pool, struct record_out *out, struct fault *f)
{
	float *scratch = xmalloc(BATCH * pool_dim(pool), sizeof *scratch);
	struct record_row r = {0};
	int ok = 1;

	for (size_t row = 0, n; ok && row < pool_n(pool); row += n) {
		n = pool_n(pool) - row < BATCH ? pool_n(pool) - row : BATCH;
		const float *x = no_x ? scratch : pool_rows(pool, row, n, scratch, f);
		ok = x != NULL;
		for (size_t i = 0; ok && i < n; i++)
			ok = put_row(out, &r, pool, row + i, x + i * pool_dim(pool), f) == 0;
	}
	record_row_free(&r);
	free(scratch);
	return ok;
}

static int
dump_npy(struct pool *pool, struct fault *f)
{
	struct npy_writer *w = npy_create(npy_path, pool_dim(pool), f);
	float *scratch = xmalloc(BATCH * pool_dim(pool), sizeof *scratch);
	int ok = w != NULL;

	for (size_t row = 0, n; ok && row < pool_n(pool); row += n) {
		n = pool_n(pool) - row < BATCH ? pool_n(pool) - row : BATCH;
		const float *x = pool_rows(pool, row, n, scratch, f);
		ok = x && npy_put(w, x, n, f) == 0;
	}
	free(scratch);
	if (!ok) {
		npy_abort(w);
		return 0;
	}
	return npy_commit(w, f) == 0;
}

static int
run_dump(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};
	struct pool *pool = open_pools(p, n_operand, operand, &f);

	if (npy_path)
		return finish(pool, NULL, pool && dump_npy(pool, &f), &f);
	struct record_out *out = pool ? open_out(pool, &f) : NULL;
	return finish(pool, out, out && dump_records(pool, out, &f), &f);
}

static int
run_get(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};
	int n_pool = pools.n > 0 ? 0 : 1;       /* without -p the first operand is the pool */

	if (n_operand < n_pool + 1)
		opt_usage(p, "expected a POOL and at least one ID");
	struct pool *pool = open_pools(p, n_pool, operand, &f);
	struct record_out *out = pool ? open_out(pool, &f) : NULL;
	float *scratch = pool ? xmalloc(pool_dim(pool), sizeof *scratch) : NULL;
	struct record_row r = {0};
	int ok = out != NULL;
	for (int i = n_pool; ok && i < n_operand; i++) {
		size_t row;
		struct span id = { operand[i], strlen(operand[i]) };
		int found = pool_lookup(pool, id, &row, &f);
		if (found == 0)
			fault(&f, EX_DATAERR, "%s: has no id \"%s\"", pools.n > 0 ? pools.at[0] : operand[0], fault_quote(id.at, id.n));
		const float *x = found > 0 ? pool_rows(pool, row, 1, scratch, &f) : NULL;
		ok = x && put_row(out, &r, pool, row, x, &f) == 0;
	}
	record_row_free(&r);
	free(scratch);
	return finish(pool, out, ok, &f);
}

/* -- info -- */
static int
count_zero(struct pool *pool, size_t *n_zero, struct fault *f)
{
	size_t dim = pool_dim(pool);
	float *scratch = xmalloc(BATCH * dim, sizeof *scratch);
	const float *x = scratch;

	*n_zero = 0;
	for (size_t row = 0, n; x && row < pool_n(pool); row += n) {
		n = pool_n(pool) - row < BATCH ? pool_n(pool) - row : BATCH;
		x = pool_rows(pool, row, n, scratch, f);
		for (size_t i = 0; x && i < n; i++) {
			size_t k = 0;
			while (k < dim && x[i * dim + k] == 0)
				k++;
			*n_zero += k == dim;
		}
	}
	free(scratch);
	return x ? 0 : -1;
}

static int
put_pair(struct record_out *out, struct record_row *r, const char *key, const char *value, struct fault *f)
{
	record_row_begin(r, out);
	record_put_text(r, key, strlen(key));
	record_put_text(r, value, strlen(value));
	return record_emit(out, NULL, 0, r, f);
}

static int
put_count(struct record_out *out, struct record_row *r, const char *key, uint64_t n, struct fault *f)
{
	record_row_begin(r, out);
	record_put_text(r, key, strlen(key));
	record_put_integer(r, (int64_t)n);
	return record_emit(out, NULL, 0, r, f);
}

static uint64_t
count_bytes(int n_operand, char **operand)
{
	const char *usual = getenv("HARE_POOL");
	uint64_t n_byte = 0;
	struct stat st;

	for (size_t i = 0; i < pools.n; i++)
		n_byte += stat(pools.at[i], &st) == 0 ? (uint64_t)st.st_size : 0;
	for (int i = 0; i < n_operand; i++)
		n_byte += stat(operand[i], &st) == 0 ? (uint64_t)st.st_size : 0;
	if (pools.n + (size_t)n_operand == 0 && usual)
		n_byte += stat(usual, &st) == 0 ? (uint64_t)st.st_size : 0;
	return n_byte;
}

/* Rows that are in the index that is used. */
static int
put_indexed(struct pool *pool, struct record_out *out, struct record_row *r, struct fault *f)
{
	struct pool_index x;
	int has = pool_index(pool, &x, f);

	return has < 0 ? -1 : put_count(out, r, "indexed", has ? x.n : 0, f);
}

static int
put_info(struct pool *pool, struct record_out *out, uint64_t n_byte, struct fault *f)
{
	struct record_row r = {0};
	struct buf columns = {0};
	size_t n_zero;
	int ok = count_zero(pool, &n_zero, f) == 0;

	for (size_t k = 0; k < pool_n_column(pool); k++)
		buf_printf(&columns, "%s%s", k > 0 ? " " : "", pool_column_name(pool, k));
	ok = ok && put_count(out, &r, "rows", pool_n(pool), f) == 0 && put_count(out, &r, "dim", pool_dim(pool), f) == 0 &&
	    put_pair(out, &r, "space", pool_space(pool), f) == 0 && put_count(out, &r, "clusters", pool_n_cluster(pool), f) == 0 &&
	    put_pair(out, &r, "columns", buf_string(&columns), f) == 0 &&
	    put_count(out, &r, "segments", pool_n_segment(pool), f) == 0 && put_count(out, &r, "bytes", n_byte, f) == 0 &&
	    put_count(out, &r, "zero_vectors", n_zero, f) == 0;
	if (ok) {
		record_row_begin(&r, out);
		record_put_text(&r, "score_sd", 8);
		record_put_number(&r, pool_score_sd(pool, NULL));
		ok = record_emit(out, NULL, 0, &r, f) == 0;
	}
	struct pool_whole whole = pool_whole(pool);
	ok = ok && put_pair(out, &r, "store", pool_store_name(pool_format_of(pool).store), f) == 0 &&
	    put_pair(out, &r, "sketch", pool_has_sketch(pool) ? "yes" : "no", f) == 0 && put_indexed(pool, out, &r, f) == 0 &&
	    (whole.n == 0 || (put_count(out, &r, "whole", whole.n, f) == 0 && put_count(out, &r, "begins_at", whole.first, f) == 0));
	buf_free(&columns);
	record_row_free(&r);
	return ok;
}

static int
run_info(const struct opt_program *p, int n_operand, char **operand)
{
	struct fault f = {0};
	struct pool *pool = open_pools(p, n_operand, operand, &f);
	struct record_out *out = pool ? record_out_open(NULL, NULL, (const char *const[]){ "key", "value" }, 2, &f) : NULL;

	return finish(pool, out, out && put_info(pool, out, count_bytes(n_operand, operand), &f), &f);
}

/* -- the front door -- */
#define INDEX_OPTIONS \
	{ 0, "index", OPT_FLAG, &index_wanted, NULL, "also keep an index of the rows, for hare-attend --delta", NULL, NULL },
#define FORMAT_OPTIONS \
	{ 0, "store", OPT_CHOICE, &store_wanted, "TYPE", "how vectors are kept: f32 unless given", "f32 f16 bf16 int8", NULL }, \
	{ 0, "sketch", OPT_FLAG, &sketch_wanted, NULL, "also keep a sketch of each row, for hare-attend; default: of 65,536 rows or more", NULL, NULL }, \
	{ 0, "no-sketch", OPT_FLAG, &sketch_unwanted, NULL, "keep none", NULL, NULL },
#define INPUT_OPTIONS \
	{ 'm', "model", OPT_FILE, &model_path, "MODEL", "the model that the vectors are of", NULL, "HARE_MODEL" }, \
	{ 0, "vectors", OPT_FILE, &vectors_path, "FILE", "take vectors from an NPY or safetensors file, a row for each record", NULL, NULL }, \
	{ 0, "tensor", OPT_STRING, &tensor_wanted, "NAME", "which tensor of a safetensors file", NULL, NULL }, \
	{ 0, "normalise", OPT_FLAG, &normalise, NULL, "bring vectors to unit length", NULL, NULL }, \
	FORMAT_OPTIONS \
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL }, \
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL }
#define POOLS_OPTION \
	{ 'p', "pool", OPT_LIST, &pools, "POOL", "a pool, as an operand is; may be given again", NULL, NULL }
#define QUIET_OPTIONS \
	{ 'q', "quiet", OPT_FLAG, &record_options.quiet, NULL, "no warnings", NULL, NULL }, \
	{ 'v', "verbose", OPT_FLAG, &record_options.verbose, NULL, "say more on stderr", NULL, NULL }, \
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL }
#define RECORD_OPTIONS \
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL }, \
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL }

static const struct opt build_opts[] = {
	{ 'o', "output", OPT_FILE, &output, "POOL", "the file to write", NULL, NULL },
	INDEX_OPTIONS
	INPUT_OPTIONS,
};
static const struct opt add_opts[] = {
	{ 'p', "pool", OPT_FILE, &pool_path, "POOL", "the pool that grows", NULL, "HARE_POOL" },
	INPUT_OPTIONS,
};
static const struct opt merge_opts[] = {
	{ 'o', "output", OPT_FILE, &output, "POOL", "the file to write", NULL, NULL },
	POOLS_OPTION,
	FORMAT_OPTIONS
	INDEX_OPTIONS
	{ 0, "no-index", OPT_FLAG, &index_unwanted, NULL, "keep none, where a pool has had one", NULL, NULL },
	{ 0, "threads", OPT_SIZE, &record_options.n_thread, "N", "threads to use; 0: all processors", NULL, NULL },
	QUIET_OPTIONS,
};
static const struct opt shard_opts[] = {
	{ 'o', "output", OPT_STRING, &output, "PREFIX", "write PREFIX.0, PREFIX.1, ...", NULL, NULL },
	{ 'n', "shards", OPT_SIZE, &n_shard, "N", "how many", NULL, NULL },
	POOLS_OPTION,
	QUIET_OPTIONS,
};
static const struct opt info_opts[] = { POOLS_OPTION, RECORD_OPTIONS };
static const struct opt dump_opts[] = {
	POOLS_OPTION,
	{ 0, "npy", OPT_FILE, &npy_path, "FILE", "write the vectors to an NPY file instead", NULL, NULL },
	{ 0, "no-x", OPT_FLAG, &no_x, NULL, "leave the vectors out", NULL, NULL },
	RECORD_OPTIONS,
};
static const struct opt get_opts[] = {
	POOLS_OPTION,
	{ 0, "no-x", OPT_FLAG, &no_x, NULL, "leave the vectors out", NULL, NULL },
	RECORD_OPTIONS,
};
static const struct opt check_opts[] = { POOLS_OPTION, QUIET_OPTIONS };

static const struct opt_program build = { "build", "make a pool of records with ids, texts and vectors",
	"-m MODEL -o POOL [--store TYPE] [--sketch | --no-sketch] [--index] [--vectors FILE [--tensor NAME]] [--normalise] [file ...]", build_opts,
	"hare-embed -m skills.model -c title,description skills.csv | hare-pool build -m skills.model -o skills.pool\n", run_build, NULL };
static const struct opt_program add = { "add", "let a pool grow by records",
	"-m MODEL -p POOL [--vectors FILE [--tensor NAME]] [--normalise] [file ...]", add_opts,
	"hare-embed -m skills.model -c title,description new.csv | hare-pool add -m skills.model -p skills.pool\n", run_add, NULL };
static const struct opt_program merge = { "merge", "several pools into one file of one segment", "-o OUT [--store TYPE] [--sketch | --no-sketch] [--index | --no-index] POOL ...", merge_opts,
	"hare-pool merge -o all.pool monday.pool tuesday.pool\n", run_merge, NULL };
static const struct opt_program shard = { "shard", "cut a pool into N files", "-n N -o PREFIX POOL ...", shard_opts,
	"hare-pool shard -n 4 -o part skills.pool\n", run_shard, NULL };
static const struct opt_program info = { "info", "what is in a pool, as key,value", "POOL ...", info_opts,
	"hare-pool info skills.pool\n", run_info, NULL };
static const struct opt_program dump = { "dump", "all records of a pool, as build reads them", "[--npy FILE | --no-x] POOL ...", dump_opts,
	"hare-pool dump skills.pool | hare-pool build -m skills.model -o copy.pool\n", run_dump, NULL };
static const struct opt_program get = { "get", "the records of some ids", "[--no-x] POOL ID ...", get_opts,
	"hare-pool get --no-x -J skills.pool fuzz-tests-for-a-parser | jq .\n", run_get, NULL };
static const struct opt_program check = { "check", "verify every byte of a pool", "POOL ...", check_opts,
	"hare-pool check skills.pool && echo sound\n", run_check, NULL };
static const struct opt_program *const verbs[] = { &build, &add, &merge, &shard, &info, &dump, &get, &check, NULL };
static const struct opt_program program = { "hare-pool", "make and look after a pool of knowledge", "VERB [option ...] [operand ...]",
	NULL, "hare-pool build --help\n", NULL, verbs };

int
main(int argc, char *argv[])
{
	file_init();
	return opt_run(&program, argc, argv);
}
