#include "embed/embed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "embed/remote.h"
#include "embed/sparse.h"
#include "embed/trained.h"
#include "mat/mat.h"
#include "text/text.h"

struct embed {
	const struct model *model;
	struct embed_trained trained;
	enum embed_as as;
	int is_trained;
	size_t dim, n_term, n_slot;     /* dim: underneath a trained model, that of the embedding */
	const unsigned char *bytes;     /* of the terms, end to end */
	const uint32_t *start;          /* [n_term + 1] */
	const uint32_t (*slot)[2];      /* [n_slot] high half of the hash, term plus one */
	const float *weight;            /* [n_term] */
	const float *component;         /* [n_term][dim] */
	const float *common;            /* [dim] or NULL */
	int pairs;                      /* some terms are pairs of words */
	int remote;
	const char *url, *remote_model;
};

struct embed_scratch {
	struct text_words words;
	uint64_t *hash;                 /* [2 n] of words, and of pairs that begin with them */
	uint32_t *count, *list;         /* count [n_term] is 0 between texts; list: terms found, as they first occur */
	size_t n_hash_cap, n_list_cap, n_list;
	float *x0;                      /* [dim], for a trained model */
};

static int
read_terms(struct embed *e, struct fault *f)
{
	struct tensor_file *file = e->model->file;
	const char *path = tensor_path(file);
	struct tensor bytes, start, slot, weight, component, common;
	size_t any[2] = { TENSOR_FREE, 2 }, n_free = 0;

	if (tensor_get(file, "term_bytes", TENSOR_U8, 1, any, &bytes, f) < 0 ||
	    tensor_get(file, "term_start", TENSOR_U32, 1, any, &start, f) < 0 ||
	    tensor_get(file, "term_slot", TENSOR_U32, 2, any, &slot, f) < 0)
		return -1;
	if (start.shape[0] < 2)
		return fault(f, EX_DATAERR, "%s: tensor term_start: expected two numbers or more, got %zu", path, start.shape[0]);
	e->n_term = start.shape[0] - 1;
	size_t shape[2] = { e->n_term, e->dim };
	if (tensor_get(file, "term_weight", TENSOR_F32, 1, shape, &weight, f) < 0 ||
	    tensor_get(file, "components", TENSOR_F32, 2, shape, &component, f) < 0)
		return -1;
	if (tensor_has(file, "common")) {
		if (tensor_get(file, "common", TENSOR_F32, 1, &e->dim, &common, f) < 0)
			return -1;
		e->common = common.at;
	}
	e->bytes = bytes.at;
	e->pairs = memchr(bytes.at, ' ', bytes.shape[0]) != NULL;
	e->start = start.at;
	e->slot = slot.at;
	e->n_slot = slot.shape[0];
	e->weight = weight.at;
	e->component = component.at;
	for (size_t i = 0; i < e->n_term; i++)
		if (e->start[i] > e->start[i + 1])
			return fault(f, EX_DATAERR, "%s: tensor term_start: number %zu is below the one before", path, i + 1);
	if (e->start[0] != 0 || e->start[e->n_term] != bytes.shape[0])
		return fault(f, EX_DATAERR, "%s: tensor term_start: expected 0 to %zu, got %u to %u", path, bytes.shape[0],
		    e->start[0], e->start[e->n_term]);
	for (size_t i = 0; i < e->n_slot; i++) {
		if (e->slot[i][1] > e->n_term)
			return fault(f, EX_DATAERR, "%s: tensor term_slot: expected terms up to %zu, got %u", path, e->n_term,
			    e->slot[i][1]);
		n_free += e->slot[i][1] == 0;
	}
	/* A search ends at a free slot. */
	if (n_free == 0 || (e->n_slot & (e->n_slot - 1)) != 0)
		return fault(f, EX_DATAERR, "%s: tensor term_slot: expected a power of two of slots, some of them free", path);
	return 0;
}

struct embed *
embed_open(const struct model *m, struct fault *f)
{
	struct embed *e = xcalloc(1, sizeof *e);

	e->model = m;
	/* a flipped bit would go into every vector that is ever made */
	e->is_trained = tensor_verify_all(m->file, f) < 0 ? -1 : embed_trained_open(&e->trained, m, f);
	if (e->is_trained < 0) {
		embed_close(e);
		return NULL;
	}
	e->dim = e->trained.base_dim;
	if (strcmp(m->source, "endpoint") == 0) {
		e->remote = 1;
		e->url = tensor_meta(m->file, "endpoint_url");
		e->remote_model = tensor_meta(m->file, "endpoint_model");
		if (e->url && e->remote_model)
			return e;
		fault(f, EX_DATAERR, "%s: does not say which server and model its vectors come from", tensor_path(m->file));
	} else if (strcmp(m->source, "tfidf") == 0 || strcmp(m->source, "vectors") == 0) {
		if (read_terms(e, f) == 0)
			return e;
	} else {
		fault(f, EX_DATAERR, "%s: source: expected tfidf, vectors or endpoint, got \"%s\"", tensor_path(m->file),
		    fault_quote(m->source, strlen(m->source)));
	}
	embed_close(e);
	return NULL;
}

void
embed_close(struct embed *e)
{
	free(e);
}

void
embed_set_as(struct embed *e, enum embed_as as)
{
	e->as = as;
}

int
embed_is_trained(const struct embed *e)
{
	return e->is_trained;
}

size_t
embed_base_dim(const struct embed *e)
{
	return e->dim;
}

void
embed_from_base(const struct embed *e, enum embed_as as, const float *x0, float *x)
{
	if (e->is_trained)
		embed_trained_apply(&e->trained, as, x0, x);
	else
		memcpy(x, x0, e->dim * sizeof *x);
}

int
embed_is_remote(const struct embed *e)
{
	return e->remote;
}

const char *
embed_remote_url(const struct embed *e)
{
	return e->url;
}

const char *
embed_remote_model(const struct embed *e)
{
	return e->remote_model;
}

struct embed_scratch *
embed_scratch_new(const struct embed *e)
{
	struct embed_scratch *s = xcalloc(1, sizeof *s);

	s->count = xcalloc(e->n_term, sizeof *s->count);
	if (e->is_trained)
		s->x0 = xaligned(e->dim, sizeof *s->x0);
	return s;
}

void
embed_scratch_free(struct embed_scratch *s)
{
	if (!s)
		return;
	text_words_free(&s->words);
	free(s->hash);
	free(s->count);
	free(s->x0);
	free(s->list);
	free(s);
}

static void
look_up(const struct embed *e, struct embed_scratch *s, const char *at, size_t n, uint64_t hash)
{
	uint32_t tag = (uint32_t)(hash >> 32);

	for (size_t i = hash & (e->n_slot - 1); e->slot[i][1] != 0; i = (i + 1) & (e->n_slot - 1)) {
		uint32_t term = e->slot[i][1] - 1, from = e->start[term];

		if (e->slot[i][0] != tag || e->start[term + 1] - from != n || memcmp(e->bytes + from, at, n) != 0)
			continue;
		if (s->count[term]++ == 0) {
			s->list = xgrow(s->list, &s->n_list_cap, s->n_list + 1, sizeof *s->list);
			s->list[s->n_list++] = term;
		}
		return;
	}
}

/* Terms that a text has, in the order in which they first occur. */
static void
find_terms(const struct embed *e, struct embed_scratch *s, const char *text, size_t n)
{
	struct text_words *w = &s->words;

	s->n_list = 0;
	text_words(w, text, n);
	if (w->n == 0)
		return;
	/* All slots are asked for before the first is looked at: most lie outside of the nearer caches. */
	s->hash = xgrow(s->hash, &s->n_hash_cap, 2 * w->n, sizeof *s->hash);
	for (size_t i = 0; i < w->n; i++) {
		s->hash[2 * i] = hash64(w->at[i].at, w->at[i].n, 0);
		__builtin_prefetch(&e->slot[s->hash[2 * i] & (e->n_slot - 1)]);
		if (!e->pairs || i + 1 == w->n)
			continue;
		s->hash[2 * i + 1] = hash64(w->at[i].at, w->at[i].n + 1 + w->at[i + 1].n, 0);
		__builtin_prefetch(&e->slot[s->hash[2 * i + 1] & (e->n_slot - 1)]);
	}
	for (size_t i = 0; i < w->n; i++) {
		look_up(e, s, w->at[i].at, w->at[i].n, s->hash[2 * i]);
		if (e->pairs && i + 1 < w->n)
			look_up(e, s, w->at[i].at, w->at[i].n + 1 + w->at[i + 1].n, s->hash[2 * i + 1]);
	}
}

static size_t
base_text(const struct embed *e, struct embed_scratch *s, const char *text, size_t n, float *x)
{
	find_terms(e, s, text, n);
	memset(x, 0, e->dim * sizeof *x);
	for (size_t i = 0; i < s->n_list; i++) {
		uint32_t term = s->list[i], tf = s->count[term];
		float many = e->common ? (float)tf : tf == 1 ? 1 : 1 + logf((float)tf);

		s->count[term] = 0;
		if (i + 2 < s->n_list)
			__builtin_prefetch(e->component + (size_t)s->list[i + 2] * e->dim);
		sparse_add(x, e->component + (size_t)term * e->dim, many * e->weight[term], e->dim);
	}
	if (e->common) {
		double along = mat_dot64(x, e->common, e->dim);
		for (size_t i = 0; i < e->dim; i++)
			x[i] -= (float)(along * e->common[i]);
	}
	double norm = mat_normalise(x, e->dim);
	if (norm > 0 && isfinite(norm))
		return s->n_list;
	/* Numbers too large for a sum have no direction either. */
	memset(x, 0, e->dim * sizeof *x);
	return 0;
}

size_t
embed_text(const struct embed *e, struct embed_scratch *s, const char *text, size_t n, float *x)
{
	if (!e->is_trained)
		return base_text(e, s, text, n, x);
	size_t n_term = base_text(e, s, text, n, s->x0);
	embed_trained_apply(&e->trained, e->as, s->x0, x);
	return n_term;
}

int
embed_remote(const struct embed *e, struct net *net, const struct span *text, size_t n, float *x, struct fault *f)
{
	for (size_t i = 0; i < n; i += EMBED_SERVER_BATCH) {
		size_t m = n - i < EMBED_SERVER_BATCH ? n - i : EMBED_SERVER_BATCH, dim = e->dim;
		float *got;

		if (remote_vectors(net, text + i, m, &dim, &got, f) < 0)
			return -1;
		for (size_t k = 0; k < m; k++)
			embed_from_base(e, e->as, got + k * dim, x + (i + k) * e->model->dim);
		free(got);
		const char *name = net_model(net);
		if (name && strcmp(name, e->remote_model) != 0)
			return fault(f, EX_DATAERR, "%s: was fitted with the server's model %s, asked is %s",
			    tensor_path(e->model->file), e->remote_model, name);
	}
	return 0;
}
