/*
 * names.h - names as numbers, in the order in which they first come; any bytes are a name
 */
#ifndef HARE_BASE_NAMES_H
#define HARE_BASE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* {0} holds none. */
struct names {
	struct buf bytes;
	size_t *start;                  /* [n + 1] */
	uint32_t *slot;                 /* [n_slot], number plus one */
	size_t n, n_max, n_slot;
};
size_t names_add(struct names *a, struct span name);            /* its number, a new one if it is new */
size_t names_find(const struct names *a, struct span name);     /* SIZE_MAX: not there */
struct span names_at(const struct names *a, size_t i);          /* borrowed until the next is added */
void names_free(struct names *a);

#endif
