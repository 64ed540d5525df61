#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/thread.h"
#include "embed/codebook.h"
#include "embed/trained.h"
#include "mat/mat.h"
#include "train/inside.h"

/* What train.h calls the trained space, from the base space. */
struct space {
	size_t base_dim, dim;           /* dim = base_dim + 1, or with a plain block 2 base_dim + 1 */
	double radius;                  /* R */
	double plain;                   /* W */
	double query_plain;             /* what a plain query is multiplied by, beside sqrt W */
	float *query_map, *item_map;    /* [base_dim][dim], [base_dim][dim - 1] */
	uint64_t *query_key, *item_key; /* sorted */
	float *query_row, *item_row;    /* [n][dim] */
	size_t n_query, n_item;
};

/* x = slope R L^-1 z beside the plain query x0 and 0 */
static void
to_query(const struct space *s, const double *chol, const float *z, const float *x0, float *x)
{
	size_t dim = s->base_dim;
	double *b = xmalloc(dim, sizeof *b), learnt = sqrt(1 - s->plain) * TRAIN_SLOPE * s->radius;

	for (size_t d = 0; d < dim; d++)
		b[d] = z[d];
	mat_solve64(chol, dim, b, 0);
	for (size_t d = 0; d < dim; d++)
		x[d] = (float)(learnt * b[d]);
	for (size_t d = dim; d + 1 < s->dim; d++)
		x[d] = (float)(sqrt(s->plain) * s->query_plain * x0[d - dim]);
	x[s->dim - 1] = 0;
	free(b);
}

/* f [dim - 1] = L'v / R beside the plain item x0 */
static void
to_item(const struct space *s, const double *chol, const float *v, const float *x0, float *f)
{
	size_t dim = s->base_dim;
	double *w = xmalloc(dim, sizeof *w);

	train_whiten(chol, dim, v, w);
	for (size_t d = 0; d < dim; d++)
		f[d] = (float)(sqrt(1 - s->plain) * w[d] / s->radius);
	for (size_t d = dim; d + 1 < s->dim; d++)
		f[d] = (float)(sqrt(s->plain) * x0[d - dim]);
	free(w);
}

struct keyed {
	uint64_t key;
	size_t at;
};

static int
by_key(const void *a, const void *b)
{
	const struct keyed *s = a, *t = b;

	return s->key != t->key ? (s->key > t->key) - (s->key < t->key) : (s->at > t->at) - (s->at < t->at);
}

/* Keys of n vectors x [n][dim] in ascending order, the first of equal ones only, with their places. */
static size_t
sort_keys(const float *x, size_t n, size_t dim, struct keyed **out)
{
	struct keyed *k = xmalloc(n + 1, sizeof *k);
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		k[i] = (struct keyed){ hash64(x + i * dim, dim * sizeof *x, 0), i };
	qsort(k, n, sizeof *k, by_key);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || k[i].key != k[m - 1].key)
			k[m++] = k[i];
	*out = k;
	return m;
}

static void
make_space(struct space *s, const struct trained *t, const double *chol, const struct train_view *view, const struct train_options *o)
{
	size_t dim = t->dim;
	float *v = xmalloc(dim, sizeof *v), *x0 = xcalloc(dim, sizeof *x0);
	struct keyed *key;

	*s = (struct space){ .base_dim = dim, .dim = (view->plain > 0 ? 2 : 1) * dim + 1, .plain = view->plain };
	/* the plain query by the plain gain, as base has it, and by this one */
	s->query_plain = view->gain / view->base_gain;
	s->query_map = xmalloc(dim * s->dim, sizeof *s->query_map);
	s->item_map = xmalloc(dim * (s->dim - 1), sizeof *s->item_map);
	/* the longest item of the log and of the candidates is of unit length */
	s->radius = train_radius(t, chol);
	for (size_t i = 0; i < dim; i++) {
		x0[i] = 1;
		for (size_t d = 0; d < dim; d++)
			v[d] = train_scale * t->map_query.at[i * dim + d];
		to_query(s, chol, v, x0, s->query_map + i * s->dim);
		for (size_t d = 0; d < dim; d++)
			v[d] = train_scale * t->map_item.at[i * dim + d];
		to_item(s, chol, v, x0, s->item_map + i * (s->dim - 1));
		x0[i] = 0;
	}
	free(v);
	free(x0);
	if (o->queries) {
		s->n_query = sort_keys(t->q, t->n_query, dim, &key);
		s->query_key = xmalloc(s->n_query, sizeof *s->query_key);
		s->query_row = xmalloc(s->n_query * s->dim, sizeof *s->query_row);
		for (size_t i = 0; i < s->n_query; i++) {
			s->query_key[i] = key[i].key;
			to_query(s, chol, t->z + key[i].at * dim, t->q + key[i].at * dim, s->query_row + i * s->dim);
		}
		free(key);
	}
	if (o->items) {
		s->n_item = sort_keys(t->x, t->n_known, dim, &key);
		s->item_key = xmalloc(s->n_item, sizeof *s->item_key);
		s->item_row = xmalloc(s->n_item * s->dim, sizeof *s->item_row);
		for (size_t i = 0; i < s->n_item; i++) {
			float *row = s->item_row + i * s->dim;
			s->item_key[i] = key[i].key;
			to_item(s, chol, t->v + key[i].at * dim, t->x + key[i].at * dim, row);
			row[s->dim - 1] = (float)sqrt(fmax(0, 1 - mat_dot64(row, row, s->dim - 1)));
		}
		free(key);
	}
}

static void
free_space(struct space *s)
{
	free(s->query_map);
	free(s->item_map);
	free(s->query_key);
	free(s->item_key);
	free(s->query_row);
	free(s->item_row);
}

enum { N_PART = 6 };
struct part {
	const char *name;
	enum tensor_type type;
	size_t n_dim, shape[2];
	const void *at;
	size_t n_byte;
};

static size_t
parts(const struct space *s, struct part out[N_PART])
{
	size_t n = 0, d = s->dim, b = s->base_dim;

	out[n++] = (struct part){ "query_map", TENSOR_F32, 2, { b, d }, s->query_map, b * d * sizeof(float) };
	out[n++] = (struct part){ "item_map", TENSOR_F32, 2, { b, d - 1 }, s->item_map, b * (d - 1) * sizeof(float) };
	if (s->n_query > 0) {
		out[n++] = (struct part){ "query_key", TENSOR_U64, 1, { s->n_query, 0 }, s->query_key, s->n_query * sizeof(uint64_t) };
		out[n++] = (struct part){ "query_row", TENSOR_F32, 2, { s->n_query, d }, s->query_row, s->n_query * d * sizeof(float) };
	}
	if (s->n_item > 0) {
		out[n++] = (struct part){ "item_key", TENSOR_U64, 1, { s->n_item, 0 }, s->item_key, s->n_item * sizeof(uint64_t) };
		out[n++] = (struct part){ "item_row", TENSOR_F32, 2, { s->n_item, d }, s->item_row, s->n_item * d * sizeof(float) };
	}
	return n;
}

/* The tensors of base that make its vectors; clusters and mean are written by model_put(). */
static int
is_kept(const char *name)
{
	return strcmp(name, "centre") != 0 && strcmp(name, "mean") != 0;
}

/* m beside what of base it is made of; s NULL: the space of base. */
static int
write_file(const struct model *base, const struct model *m, const struct space *s, uint64_t seed, const char *path, struct fault *f)
{
	static const char *const settings[] = { "seed", "n_text", "n_empty", "n_term", "endpoint_url", "endpoint_model", "vectors",
		"sif_a", "bigrams", "stop_words", "idf_power", "pair_weight", "min_df", "max_df", "variance_share", "base_dim", "base_space", "train_seed", NULL };
	struct tensor_writer *w = tensor_create(path, "model", f);
	struct part part[N_PART];
	struct tensor about;
	size_t n_part = s ? parts(s, part) : 0, n = tensor_count(base->file);

	if (!w)
		return -1;
	model_declare(w, m);
	if (s) {
		tensor_set_meta(w, "base_dim", "%zu", s->base_dim);
		tensor_set_meta(w, "base_space", "%s", base->space);
		tensor_set_meta(w, "train_seed", "%llu", (unsigned long long)seed);
	}
	for (size_t i = 0; settings[i]; i++)
		if (tensor_meta(base->file, settings[i]))
			tensor_set_meta(w, settings[i], "%s", tensor_meta(base->file, settings[i]));
	for (size_t i = 0; i < n; i++)
		if (is_kept(tensor_name(base->file, i))) {
			tensor_about(base->file, i, &about);
			tensor_declare(w, tensor_name(base->file, i), about.type, about.n_dim, about.shape);
		}
	for (size_t i = 0; i < n_part; i++)
		tensor_declare(w, part[i].name, part[i].type, part[i].n_dim, part[i].shape);
	if (model_put(w, m, f) < 0)
		goto fail;
	for (size_t i = 0; i < n; i++)
		if (is_kept(tensor_name(base->file, i))) {
			tensor_about(base->file, i, &about);
			if (tensor_get(base->file, tensor_name(base->file, i), about.type, about.n_dim, about.shape, &about, f) < 0 ||
			    tensor_verify(base->file, about.at, about.n_byte, f) < 0 || tensor_put(w, about.at, about.n_byte, f) < 0)
				goto fail;
		}
	for (size_t i = 0; i < n_part; i++)
		if (tensor_put(w, part[i].at, part[i].n_byte, f) < 0)
			goto fail;
	return tensor_commit(w, f);
fail:
	tensor_abort(w);
	return -1;
}

/* Vectors of the whole pool, as hare-embed will make them of the file: the mean and the clusters are theirs. */
static void
survey(struct codebook *book, const struct space *s, const float *rows, size_t n_row)
{
	struct embed_trained t = { .base_dim = s->base_dim, .dim = s->dim };
	float *x = xmalloc(s->dim, sizeof *x);

	t.map[EMBED_ITEM] = s->item_map;
	t.key[EMBED_ITEM] = s->item_key;
	t.row[EMBED_ITEM] = s->item_row;
	t.n_key[EMBED_ITEM] = s->n_item;
	for (size_t r = 0; r < n_row; r++) {
		embed_trained_apply(&t, EMBED_ITEM, rows + r * s->base_dim, x);
		codebook_add(book, x);
	}
	free(x);
}

int
train_write(const struct model *base, const struct trained *t, const float *rows, size_t n_row, const double *chol,
    const struct train_view *view, const struct train_options *o, const char *path, size_t *dim, struct fault *f)
{
	struct model m = *base;
	struct space s;
	struct part part[N_PART];
	struct codebook book;
	float *centre, *mean;

	make_space(&s, t, chol, view, o);
	m.dim = *dim = s.dim;
	m.gain = view->gain;
	m.beta = 1 / (view->gain * TRAIN_SLOPE);
	m.prior.lambda = s.plain > 0 ? TRAIN_LAMBDA_BESIDE : 1 / (TRAIN_SLOPE * s.radius * TRAIN_SLOPE * s.radius);
	/* Logits of queries are steep where rewards are not: they choose, but foretell no reward. */
	m.query_share = 0;
	m.prior.query_var = m.prior.query_least = 0;
	m.prior.noise_var = TRAIN_NOISE_VAR;
	m.prior.base_rate = TRAIN_BASE_RATE;
	codebook_init(&book, s.dim, base->n_cluster, o->seed);
	survey(&book, &s, rows, n_row);
	m.n_cluster = codebook_make(&book, base->n_cluster, o->n_thread, &centre);
	m.centre = centre;
	m.mean = mean = xmalloc(s.dim, sizeof *mean);
	codebook_mean(&book, mean);
	codebook_free(&book);

	struct hash128 *h = hash128_new();
	size_t n_part = parts(&s, part);
	hash128_add(h, base->space, sizeof base->space);
	hash128_add(h, centre, m.n_cluster * s.dim * sizeof *centre);
	for (size_t i = 0; i < n_part; i++)
		hash128_add(h, part[i].at, part[i].n_byte);
	hash128_hex(h, m.space);
	int e = write_file(base, &m, &s, o->seed, path, f);
	free(centre);
	free(mean);
	free_space(&s);
	return e;
}

int
train_write_constants(const struct model *base, const struct model *m, const char *path, struct fault *f)
{
	return write_file(base, m, NULL, 0, path, f);
}
