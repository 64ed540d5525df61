#include "base/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static size_t
slot_of(const struct names *a, struct span name)
{
	size_t i = hash64(name.at, name.n, 0) & (a->n_slot - 1);

	while (a->slot[i]) {
		struct span there = names_at(a, a->slot[i] - 1);
		if (there.n == name.n && memcmp(there.at, name.at, name.n) == 0)
			break;
		i = (i + 1) & (a->n_slot - 1);
	}
	return i;
}

static void
grow(struct names *a)
{
	free(a->slot);
	a->n_slot = a->n_slot ? 2 * a->n_slot : 64;
	a->slot = xcalloc(a->n_slot, sizeof *a->slot);
	for (size_t i = 0; i < a->n; i++)
		a->slot[slot_of(a, names_at(a, i))] = (uint32_t)i + 1;
}

size_t
names_add(struct names *a, struct span name)
{
	if (2 * (a->n + 1) > a->n_slot)
		grow(a);
	size_t slot = slot_of(a, name);
	if (a->slot[slot])
		return a->slot[slot] - 1;
	a->start = xgrow(a->start, &a->n_max, a->n + 2, sizeof *a->start);
	a->start[a->n] = a->bytes.n;
	buf_put(&a->bytes, name.at, name.n);
	a->start[++a->n] = a->bytes.n;
	a->slot[slot] = (uint32_t)a->n;
	return a->n - 1;
}

size_t
names_find(const struct names *a, struct span name)
{
	if (a->n == 0)
		return SIZE_MAX;
	size_t slot = slot_of(a, name);
	return a->slot[slot] ? a->slot[slot] - 1 : SIZE_MAX;
}

struct span
names_at(const struct names *a, size_t i)
{
	return (struct span){ a->bytes.at + a->start[i], a->start[i + 1] - a->start[i] };
}

void
names_free(struct names *a)
{
	buf_free(&a->bytes);
	free(a->start);
	free(a->slot);
	*a = (struct names){0};
}
