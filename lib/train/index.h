/*
 * index.h - names as numbers, in the order in which they first come
 */
#ifndef HARE_TRAIN_INDEX_H
#define HARE_TRAIN_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct index;
struct index *index_new(void);
void index_free(struct index *x);
size_t index_n(const struct index *x);
/* The number of a name, a new one if it is new: below 2^32. */
uint32_t index_number(struct index *x, const void *at, size_t n);

#endif
