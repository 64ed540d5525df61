/*
 * trained.h - the step from an embedding to the space of a trained MODEL (hare-train(1)), in which queries and items have
 *             maps of their own, and what the log taught of a very query or item replaces what the map makes of it
 *
 *   query     x = x0 Q, or the row kept for x0
 *   item      f = x0 F beside sqrt(1 - |f|^2), shortened to unit length where |f| > 1, or the row kept for x0
 *   file      base_dim (metadata): numbers of x0; query_map F32 [base_dim][dim], item_map F32 [base_dim][dim - 1],
 *             query_key and item_key U64 [n], sorted: XXH3-64 of the bytes of x0 as float32, and beside them query_row
 *             and item_row F32 [n][dim]
 */
#ifndef HARE_EMBED_TRAINED_H
#define HARE_EMBED_TRAINED_H

#include <stdint.h>

#include "base/fault.h"
#include "embed/embed.h"

struct embed_trained {
	size_t base_dim, dim;
	const float *map[2];            /* by enum embed_as */
	const uint64_t *key[2];         /* [n_key] */
	const float *row[2];            /* [n_key][dim] */
	size_t n_key[2];
};
/* 1, 0 with base_dim = dim if the model is not trained, -1 with *f set. */
int embed_trained_open(struct embed_trained *t, const struct model *m, struct fault *f);
void embed_trained_apply(const struct embed_trained *t, enum embed_as as, const float *x0, float *x);

#endif
