#include "train/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* Numbers names by the order in which they first come; open addressing, at most half full. */
struct index {
	struct buf bytes;
	size_t *start;                  /* [n + 1] into bytes */
	size_t n, n_cap, n_slot;
	uint32_t *slot;                 /* number plus one, 0 for free */
};

struct index *
index_new(void)
{
	struct index *x = xcalloc(1, sizeof *x);

	x->n_slot = 64;
	x->slot = xcalloc(x->n_slot, sizeof *x->slot);
	x->start = xgrow(NULL, &x->n_cap, 1, sizeof *x->start);
	x->start[0] = 0;
	return x;
}

void
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

uint32_t
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

size_t
index_n(const struct index *x)
{
	return x->n;
}
