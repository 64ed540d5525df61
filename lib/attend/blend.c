/* A part of z from rows that lie together: by lists of the rows that weigh something, or, where many queries need most of
   them, by one product. */
#include <stdlib.h>
#include <string.h>

#include "attend/inside.h"
#include "base/mem.h"

/* Rows of a span that several queries pass over are made float once. Their scale stays apart. */
const float *
attend_widened(const struct attend *a, const struct attend_span *s, float *into)
{
	if (s->type == ATTEND_F32)
		return s->x;
	a->kernel->widen(s->type, s->x, s->n, a->pool.dim, into);
	return into;
}

/* Queries that need most rows of a span share one product; weight [n_near][NEAR_ROWS]. */
static void
blend_near(struct attend *a, const struct attend_span *s, const float *rows, const size_t *near, size_t n_near, float *weight,
    struct worker *w)
{
	/* queries that stand together have their parts so too */
	const int is_together = near[n_near - 1] - near[0] == n_near - 1;
	size_t n_pad = a->n_pad;
	float *part = is_together ? w->part + near[0] * n_pad : xmalloc(n_near * n_pad, sizeof *part);

	if (s->type == ATTEND_I8)
		for (size_t k = 0; k < n_near; k++)
			for (size_t j = 0; j < s->n; j++)
				weight[k * NEAR_ROWS + j] *= s->scale[j];
	for (size_t k = 0; !is_together && k < n_near; k++)
		memcpy(part + k * n_pad, w->part + near[k] * n_pad, n_pad * sizeof *part);
	a->kernel->blend(ATTEND_F32, rows, NULL, s->n, a->pool.dim, weight, NEAR_ROWS, n_near, part);
	for (size_t k = 0; !is_together && k < n_near; k++)
		memcpy(w->part + near[k] * n_pad, part + k * n_pad, n_pad * sizeof *part);
	if (!is_together)
		free(part);
}

/* No row of the tile has a weight that z needs; by more than rounding. */
static int
is_too_light(const struct attend *a, size_t i, size_t tile)
{
	const struct settled *at = &a->settled[i];

	return a->set.beta * a->most[i * a->n_tile + tile] + at->most_bonus - at->best < at->temperature * (a->log_least - .001);
}

void
attend_blend_list(struct attend *a, size_t i, size_t tile, const struct attend_span *s, float *weight, struct worker *w)
{
	if (is_too_light(a, i, tile))
		return;
	size_t n_some = a->kernel->list(weight, s->n, (float)a->w_least, w->some, weight);
	if (n_some > 0)
		a->kernel->blend_some(s->type, s->x, s->scale, w->some, n_some, a->pool.dim, weight, w->part + i * a->n_pad, NULL);
}

void
attend_blend_span(struct attend *a, size_t from, size_t n_row, const struct attend_span *s, size_t at, size_t first,
    size_t end, struct worker *w)
{
	size_t near[NEAR_QUERIES], n_near = 0;

	for (size_t i = first; i < end; i++) {
		float *weight = w->near + (i - first) * NEAR_ROWS + at;
		if (a->n_query - a->first < 3 || w->n_heavy[i - first] < n_row / 2) {
			attend_blend_list(a, i, from / TILE_ROWS, s, weight, w);
			continue;
		}
		if (n_near < i - first)
			memcpy(w->near + n_near * NEAR_ROWS + at, weight, s->n * sizeof *weight);
		near[n_near++] = i;
	}
	if (n_near > 0)
		blend_near(a, s, attend_widened(a, s, w->tile), near, n_near, w->near + at, w);
}
