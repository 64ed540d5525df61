#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "train/inside.h"

struct train_log *
train_log_new(size_t dim)
{
	struct train_log *l = xcalloc(1, sizeof *l);

	l->dim = dim;
	return l;
}

void
train_log_free(struct train_log *l)
{
	if (!l)
		return;
	names_free(&l->users);
	names_free(&l->queries);
	free(l->click);
	free(l->query);
	free(l);
}

void
train_log_add(struct train_log *l, struct span user, const float *x, size_t item, double weight)
{
	struct click c = { .item = (uint32_t)item, .weight = (float)weight };

	assert(item <= UINT32_MAX && l->n < UINT32_MAX && weight > 0);
	c.user = (uint32_t)names_add(&l->users, user);
	c.query = (uint32_t)names_add(&l->queries, (struct span){ (const char *)x, l->dim * sizeof *x });
	l->n_user = l->users.n;
	if (l->queries.n > l->n_query) {
		l->query = xgrow(l->query, &l->n_query_cap, l->n_query + 1, l->dim * sizeof *l->query);
		memcpy(l->query + l->n_query * l->dim, x, l->dim * sizeof *x);
		l->n_query = l->queries.n;
	}
	l->click = xgrow(l->click, &l->n_cap, l->n + 1, sizeof *l->click);
	l->click[l->n++] = c;
}

size_t
train_log_n(const struct train_log *l)
{
	return l->n;
}
