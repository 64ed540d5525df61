#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "train/index.h"
#include "train/inside.h"

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
	l->n_user = index_n(l->users);
	if (index_n(l->queries) > l->n_query) {
		l->query = xgrow(l->query, &l->n_query_cap, l->n_query + 1, l->dim * sizeof *l->query);
		memcpy(l->query + l->n_query * l->dim, x, l->dim * sizeof *x);
		l->n_query = index_n(l->queries);
	}
	l->click = xgrow(l->click, &l->n_cap, l->n + 1, sizeof *l->click);
	l->click[l->n++] = c;
}

size_t
train_log_n(const struct train_log *l)
{
	return l->n;
}
