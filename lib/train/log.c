#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "train/inside.h"

/* Numbers names by the order in which they first come; open addressing, at most half full. */
struct index {
	struct buf bytes;
	size_t *start;                  /* [n + 1] into bytes */
	size_t n, n_cap, n_slot;
	uint32_t *slot;                 /* number plus one, 0 for free */
};

static struct index *
index_new(void)
{
	struct index *x = xcalloc(1, sizeof *x);

	x->n_slot = 64;
	x->slot = xcalloc(x->n_slot, sizeof *x->slot);
	x->start = xgrow(NULL, &x->n_cap, 1, sizeof *x->start);
	x->start[0] = 0;
	return x;
}

static void
index_free(struct index *x)
{
	buf_free(&x->bytes);
	free(x->start);
	free(x->slot);
	free(x);
}

static size_t
find_slot(const struct index *x, const void *at, size_t n)
{
	size_t i = hash64(at, n, 0) & (x->n_slot - 1);

	for (; x->slot[i] != 0; i = (i + 1) & (x->n_slot - 1)) {
		size_t k = x->slot[i] - 1;
		if (x->start[k + 1] - x->start[k] == n && memcmp(x->bytes.at + x->start[k], at, n) == 0)
			break;
	}
	return i;
}

static uint32_t
index_number(struct index *x, const void *at, size_t n)
{
	size_t i = find_slot(x, at, n);

	if (x->slot[i] != 0)
		return x->slot[i] - 1;
	buf_put(&x->bytes, at, n);
	x->start = xgrow(x->start, &x->n_cap, x->n + 2, sizeof *x->start);
	x->start[x->n + 1] = x->bytes.n;
	x->slot[i] = (uint32_t)++x->n;
	if (2 * x->n >= x->n_slot) {
		x->n_slot *= 2;
		free(x->slot);
		x->slot = xcalloc(x->n_slot, sizeof *x->slot);
		for (size_t k = 0; k < x->n; k++) {
			i = find_slot(x, x->bytes.at + x->start[k], x->start[k + 1] - x->start[k]);
			x->slot[i] = (uint32_t)k + 1;
		}
	}
	return (uint32_t)x->n - 1;
}

struct train_log *
train_log_new(size_t dim)
{
	struct train_log *l = xcalloc(1, sizeof *l);

	l->dim = dim;
	l->users = index_new();
	l->queries = index_new();
	return l;
}

void
train_log_free(struct train_log *l)
{
	if (!l)
		return;
	index_free(l->users);
	index_free(l->queries);
	free(l->click);
	free(l->query);
	free(l);
}

void
train_log_add(struct train_log *l, struct span user, const float *x, size_t item, double weight)
{
	struct click c = { .item = (uint32_t)item, .weight = (float)weight };

	assert(item <= UINT32_MAX && l->n < UINT32_MAX && weight > 0);
	c.user = index_number(l->users, user.at, user.n);
	c.query = index_number(l->queries, x, l->dim * sizeof *x);
	l->n_user = l->users->n;
	if (l->queries->n > l->n_query) {
		l->query = xgrow(l->query, &l->n_query_cap, l->n_query + 1, l->dim * sizeof *l->query);
		memcpy(l->query + l->n_query * l->dim, x, l->dim * sizeof *x);
		l->n_query = l->queries->n;
	}
	l->click = xgrow(l->click, &l->n_cap, l->n + 1, sizeof *l->click);
	l->click[l->n++] = c;
}

size_t
train_log_n(const struct train_log *l)
{
	return l->n;
}
