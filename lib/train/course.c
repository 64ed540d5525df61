/* The order in which pairs are learnt from. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "train/pairs.h"

enum { CHUNK = 640 };                   /* examples that are made ready together */
static const uint64_t SEED_EPOCH = 0x65706f6368206f66, SEED_CHUNK = 0x6368756e6b206f66;

struct course {
	struct pairs *p;
	const struct lm *m;
	const struct compose_limits *limits;
	struct course_options set;
	size_t n;                       /* rows to learn from */
	size_t *all, *order;            /* [n]; order: of this epoch */
	uint64_t epoch;
	size_t chunk, batch;            /* the next batch is this one of this chunk */
	int is_made;                    /* chunk and order are those */
	struct pairs_example *made;     /* [CHUNK] */
	struct lm_example *sorted;      /* [CHUNK] */
	size_t first[CHUNK + 1];        /* where batches begin in sorted, shuffled: of batch b first[at[b]] */
	size_t at[CHUNK];
	size_t n_batch, n_cut;
};

struct course *
course_new(struct pairs *p, const struct lm *m, const struct compose_limits *l, const uint8_t *use,
    const struct course_options *o)
{
	struct course *c = xcalloc(1, sizeof *c);

	c->p = p;
	c->m = m;
	c->limits = l;
	c->set = *o;
	c->all = xmalloc(pairs_n(p), sizeof *c->all);
	for (size_t i = 0; i < pairs_n(p); i++)
		if (!use || use[i])
			c->all[c->n++] = i;
	c->order = xmalloc(c->n, sizeof *c->order);
	c->made = xcalloc(CHUNK, sizeof *c->made);
	c->sorted = xcalloc(CHUNK, sizeof *c->sorted);
	return c;
}

void
course_free(struct course *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CHUNK; i++)
		pairs_example_free(&c->made[i]);
	free(c->made);
	free(c->sorted);
	free(c->order);
	free(c->all);
	free(c);
}

static void
shuffle(size_t *at, size_t n, struct rng r)
{
	for (; n > 1; n--) {
		size_t k = rng_below(&r, n), t = at[k];
		at[k] = at[n - 1];
		at[n - 1] = t;
	}
}

static size_t
n_row_of(const struct course *c, const struct lm_example *e)
{
	return c->m->shape.n_prefix + e->prompt.n + e->n;
}

struct sorting {
	struct lm_example e;
	size_t n_row, i;
};

static int
by_length(const void *a, const void *b)
{
	const struct sorting *s = a, *t = b;

	if (s->n_row != t->n_row)
		return s->n_row < t->n_row ? -1 : 1;
	return (s->i > t->i) - (s->i < t->i);
}

static int
make_chunk(struct course *c, struct fault *f)
{
	size_t from = c->chunk * CHUNK, n = c->n - from < CHUNK ? c->n - from : CHUNK, n_row = 0;
	uint64_t stream[CHUNK];
	struct sorting *s;

	for (size_t i = 0; i < c->n; i++)
		c->order[i] = c->all[i];
	shuffle(c->order, c->n, rng_at(c->set.seed ^ SEED_EPOCH, c->epoch));
	for (size_t i = 0; i < n; i++)
		stream[i] = c->epoch * c->n + from + i;
	if (pairs_examples(c->p, c->m, c->limits, c->order + from, stream, n, 0, c->made, f) < 0)
		return -1;
	s = xmalloc(n, sizeof *s);
	for (size_t i = 0; i < n; i++)
		s[i] = (struct sorting){ c->made[i].example, n_row_of(c, &c->made[i].example), i };
	qsort(s, n, sizeof *s, by_length);
	for (size_t i = 0; i < n; i++) {
		c->sorted[i] = s[i].e;
		n_row += s[i].n_row;
	}
	/* Each batch has as many examples, whatever their length: with as many rows short ones would count for less. */
	c->n_batch = (n_row + c->set.n_row / 2) / c->set.n_row;
	c->n_batch = c->n_batch < 1 ? 1 : c->n_batch > n ? n : c->n_batch;
	for (size_t b = 0; b < c->n_batch; b++) {
		c->at[b] = b;
		c->first[b] = n * b / c->n_batch;
	}
	c->first[c->n_batch] = n;
	free(s);
	shuffle(c->at, c->n_batch, rng_at(c->set.seed ^ SEED_CHUNK, c->epoch * (c->n / CHUNK + 1) + c->chunk));
	c->is_made = 1;
	return 0;
}

int
course_next(struct course *c, const struct lm_example **example, size_t *n, struct fault *f)
{
	assert(c->n > 0);
	if (c->is_made && c->batch == c->n_batch) {
		c->is_made = 0;
		c->batch = 0;
		if (++c->chunk * CHUNK >= c->n) {
			c->chunk = 0;
			c->epoch++;
		}
	}
	if (!c->is_made) {
		if (make_chunk(c, f) < 0)
			return -1;
		for (size_t i = 0; c->batch == 0 && i < c->first[c->n_batch]; i++)
			c->n_cut += c->made[i].n_cut > 0;
	}
	assert(c->batch < c->n_batch);
	size_t b = c->at[c->batch++];
	*example = c->sorted + c->first[b];
	*n = c->first[b + 1] - c->first[b];
	return 0;
}

double
course_epoch(const struct course *c)
{
	double chunk = (double)c->chunk * CHUNK, share = c->is_made ? (double)c->batch / (double)c->n_batch : 0;
	double size = (double)c->n - chunk < CHUNK ? (double)c->n - chunk : CHUNK;

	return (double)c->epoch + (chunk + share * size) / (double)c->n;
}

void
course_place(const struct course *c, struct buf *out)
{
	buf_printf(out, "%zu rows, batches of %zu, seed %llu: epoch %llu, chunk %zu, batch %zu", c->n, c->set.n_row,
	    (unsigned long long)c->set.seed, (unsigned long long)c->epoch, c->chunk, c->batch);
}

int
course_go(struct course *c, const char *place)
{
	unsigned long long seed, epoch;
	size_t n, n_row, chunk, batch;

	if (sscanf(place, "%zu rows, batches of %zu, seed %llu: epoch %llu, chunk %zu, batch %zu", &n, &n_row, &seed, &epoch,
	    &chunk, &batch) != 6 || n != c->n || n_row != c->set.n_row || seed != c->set.seed || chunk * CHUNK >= c->n || batch > CHUNK)
		return -1;
	c->epoch = epoch;
	c->chunk = chunk;
	c->batch = batch;
	c->is_made = 0;
	struct fault f;
	if (batch > 0 && (make_chunk(c, &f) < 0 || batch > c->n_batch))
		return -1;
	return 0;
}

size_t
course_n_cut(const struct course *c)
{
	return c->n_cut;
}
