#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "mat/mat.h"

void
model_defaults(struct model *m)
{
	m->gain = 2;
	m->widening = .2;
	m->bonus = .2;
	m->beta = 0;
	m->query_share = .8;
	m->prior = (struct belief_prior){ .lambda = 100, .noise_var = .05, .base_rate = .01, .half_life = 0,
	    .has_query = 1, .query_mean = m->query_share / m->gain, .query_var = .1, .query_least = .25 };
}

/* So that attention to gain (w x + u) begins with the query as it is; 0 for gain 0, where users do not count. */
static double
query_mean_of(double gain)
{
	return gain > 0 ? 1 / gain : 0;
}

/* The constants as metadata: name, where it lives, and what it may be. */
enum range { ANY, AT_LEAST_0, ABOVE_0, FROM_0_TO_1 };
struct constant {
	const char *name;
	double *value;
	enum range range;
};
enum { N_CONSTANT = 11, N_NEEDED = 7 }; /* those behind came later: a file without them has what stands there before */

static void
constants(struct model *m, struct constant out[N_CONSTANT])
{
	memcpy(out, (struct constant[N_CONSTANT]){
		{ "gain", &m->gain, AT_LEAST_0 },
		{ "widening", &m->widening, AT_LEAST_0 },
		{ "bonus", &m->bonus, AT_LEAST_0 },
		{ "lambda", &m->prior.lambda, ABOVE_0 },
		{ "noise_var", &m->prior.noise_var, ABOVE_0 },
		{ "base_rate", &m->prior.base_rate, ANY },
		{ "half_life", &m->prior.half_life, AT_LEAST_0 },
		{ "query_var", &m->prior.query_var, AT_LEAST_0 },
		{ "query_share", &m->query_share, AT_LEAST_0 },
		{ "query_least", &m->prior.query_least, FROM_0_TO_1 },
		{ "beta", &m->beta, AT_LEAST_0 },
	}, N_CONSTANT * sizeof *out);
}

static int
read_constants(struct model *m, struct fault *f)
{
	static const char *const range_text[] = { "a number", "a number of 0 or more", "a number above 0",
	    "a number from 0 to 1" };
	struct constant c[N_CONSTANT];

	constants(m, c);
	m->query_share = 0;
	for (size_t i = 0; i < N_CONSTANT; i++) {
		double v = *c[i].value;
		if ((i < N_NEEDED || tensor_meta(m->file, c[i].name)) && tensor_meta_number(m->file, c[i].name, &v, f) < 0)
			return -1;
		int below = c[i].range == ABOVE_0 ? v <= 0 : c[i].range != ANY && v < 0;
		if (!isfinite(v) || below || (c[i].range == FROM_0_TO_1 && v > 1))
			return fault(f, EX_DATAERR, "%s: %s: expected %s, got %s", tensor_path(m->file), c[i].name,
			    range_text[c[i].range], tensor_meta(m->file, c[i].name));
		*c[i].value = v;
	}
	m->prior.has_query = 1;
	m->prior.query_mean = m->query_share * query_mean_of(m->gain);
	if (!isfinite(m->prior.query_mean))
		return fault(f, EX_DATAERR, "%s: gain: expected 0 or a number whose reciprocal is finite, got %s", tensor_path(m->file),
		    tensor_meta(m->file, "gain"));
	return 0;
}

static int
read_size(struct model *m, const char *key, size_t *out, struct fault *f)
{
	const char *s = tensor_meta(m->file, key);
	uint64_t n;

	if (!s || num_read_u64(s, strlen(s), &n) < 0 || n == 0 || n > INT32_MAX)
		return fault(f, EX_DATAERR, "%s: %s: expected a whole number above 0, got \"%s\"", tensor_path(m->file), key, s ? s : "");
	*out = (size_t)n;
	return 0;
}

/* Of unit vectors, or their mean. */
static int
read_floats(struct model *m, const char *name, size_t n_dim, const size_t *shape, const float **out, struct fault *f)
{
	const float most = 1.001f;
	struct tensor t;

	if (tensor_get(m->file, name, TENSOR_F32, n_dim, shape, &t, f) < 0 || tensor_verify(m->file, t.at, t.n_byte, f) < 0)
		return -1;
	*out = t.at;
	for (size_t i = 0; i < t.n_byte / sizeof **out; i++)
		if (!(fabsf((*out)[i]) <= most))
			return fault(f, EX_DATAERR, "%s: tensor %s: number %zu is %g, beyond those of unit vectors", tensor_path(m->file), name, i,
			    (double)(*out)[i]);
	return 0;
}

static int
read_model(struct model *m, struct fault *f)
{
	const char *path = tensor_path(m->file), *space = tensor_meta(m->file, "space");

	if (!space || strlen(space) != sizeof m->space - 1 || strspn(space, "0123456789abcdef") != sizeof m->space - 1)
		return fault(f, EX_DATAERR, "%s: space: expected 32 hexadecimal digits, got \"%s\"", path, space ? space : "");
	memcpy(m->space, space, sizeof m->space);
	m->source = tensor_meta(m->file, "source");
	if (!m->source)
		return fault(f, EX_DATAERR, "%s: has no source", path);
	if (read_size(m, "dim", &m->dim, f) < 0 || read_size(m, "n_cluster", &m->n_cluster, f) < 0 || read_constants(m, f) < 0)
		return -1;
	if (m->dim > MODEL_DIM_MAX)
		return fault(f, EX_DATAERR, "%s: dim: expected at most %d, got %zu", path, MODEL_DIM_MAX, m->dim);
	if (read_floats(m, "centre", 2, (size_t[]){ m->n_cluster, m->dim }, &m->centre, f) < 0)
		return -1;
	return read_floats(m, "mean", 1, &m->dim, &m->mean, f);
}

static struct model *
of_file(struct tensor_file *file, struct fault *f)
{
	if (!file)
		return NULL;
	struct model *m = xcalloc(1, sizeof *m);
	m->file = file;
	if (read_model(m, f) < 0) {
		model_close(m);
		return NULL;
	}
	return m;
}

struct model *
model_open(const char *path, struct fault *f)
{
	return of_file(tensor_open(path, "model", f), f);
}

struct model *
model_open_within(struct tensor_file *outer, struct fault *f)
{
	return of_file(tensor_open_within(outer, "model", "model", f), f);
}

void
model_close(struct model *m)
{
	if (!m)
		return;
	tensor_close(m->file);
	free(m);
}

void
model_declare(struct tensor_writer *w, const struct model *m)
{
	struct model copy = *m;
	struct constant c[N_CONSTANT];
	char number[NUM_F64_MAX + 1];

	tensor_set_meta(w, "space", "%s", m->space);
	tensor_set_meta(w, "source", "%s", m->source);
	tensor_set_meta(w, "dim", "%zu", m->dim);
	tensor_set_meta(w, "n_cluster", "%zu", m->n_cluster);
	constants(&copy, c);
	for (size_t i = 0; i < N_CONSTANT; i++) {
		number[num_put_f64(number, *c[i].value)] = '\0';
		tensor_set_meta(w, c[i].name, "%s", number);
	}
	tensor_declare(w, "centre", TENSOR_F32, 2, (size_t[]){ m->n_cluster, m->dim });
	tensor_declare(w, "mean", TENSOR_F32, 1, &m->dim);
}

int
model_put(struct tensor_writer *w, const struct model *m, struct fault *f)
{
	if (tensor_put(w, m->centre, m->n_cluster * m->dim * sizeof *m->centre, f) < 0)
		return -1;
	return tensor_put(w, m->mean, m->dim * sizeof *m->mean, f);
}

size_t
model_cluster(const struct model *m, const float *x)
{
	size_t best = 0;
	double most = -INFINITY;

	for (size_t c = 0; c < m->n_cluster; c++) {
		double s = mat_dot64(m->centre + c * m->dim, x, m->dim);
		if (s > most) {
			most = s;
			best = c;
		}
	}
	return best;
}
