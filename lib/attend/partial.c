#include "attend/partial.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "attend/inside.h"
#include "base/mem.h"
#include "base/thread.h"

static void
find_one(void *arg, size_t i, size_t worker)
{
	struct attend *a = arg;

	attend_find_top(a, i, &a->worker[worker]);
}

int
attend_find(struct attend *a, size_t n_query, const struct attend_query *query, struct fault *f)
{
	if (attend_begin(a, n_query, query, f) < 0 || attend_score_pass(a, f) < 0)
		return -1;
	thread_for(a->set.n_thread, n_query, find_one, a);
	return attend_first_fault(a, f);
}

size_t
attend_n_found(const struct attend *a)
{
	return a->n_top;
}

int
attend_found_row(struct attend *a, size_t i, size_t k, size_t first, float *x, struct attend_found *out, struct fault *f)
{
	struct attend_span s;
	size_t row = a->top[i * a->n_top + k].row;

	attend_fault_none(a);
	const float *from = attend_row(a, row, a->worker[0].row, &a->worker[0], 0);
	if (!from || attend_span_of(a, row, 1, &a->worker[0], 0, &s) < 0)
		return attend_first_fault(a, f);
	memcpy(x, from, a->pool.dim * sizeof *x);
	*out = (struct attend_found){ first + row, attend_weights(a, i, row / TILE_ROWS)[row % TILE_ROWS], s.cluster ? s.cluster[0] : 0, x };
	return 0;
}

struct found_rows {
	const struct attend_found *found;
	size_t *order;          /* [n], by row */
	size_t n;
};

static const struct attend_found *sorting;
static int
by_row(const void *s, const void *t)
{
	size_t a = sorting[*(const size_t *)s].row, b = sorting[*(const size_t *)t].row;

	return a < b ? -1 : a > b;
}

static const float *
row_of(void *arg, size_t row)
{
	const struct found_rows *r = arg;
	size_t low = 0, high = r->n;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (r->found[r->order[middle]].row <= row)
			low = middle;
		else
			high = middle;
	}
	return r->found[r->order[low]].x;
}

void
attend_settle_found(const struct attend_settings *set, const struct attend_query *query, const double *mean, size_t dim,
    size_t n_cluster, const struct attend_found *found, size_t n, size_t n_top, struct attend_settled *out)
{
	struct attend_heap heap = { .item = out->top, .n_max = n_top };
	struct found_rows rows = { found, xmalloc(n, sizeof *rows.order), n };
	float *f = xmalloc(ATTEND_N_SHARP * dim, sizeof *f);
	double *scratch = xmalloc(query->n_scratch ? query->n_scratch : 1, sizeof *scratch);
	struct settled at;

	assert(n > 0 && n_top > 0 && n_top <= n);
	for (size_t k = 0; k < n; k++) {
		double bonus = attend_bonus_of(set, query, n_cluster, found[k].cluster), logit = set->beta * found[k].score + bonus;
		attend_heap_consider(&heap, found[k].row, logit, bonus);
		rows.order[k] = k;
	}
	sorting = found;
	qsort(rows.order, n, sizeof *rows.order, by_row);
	attend_settle(set, query, mean, dim, out->top, n_top, row_of, &rows, f, scratch, &at);
	out->best = at.best;
	out->temperature = at.temperature;
	out->tau = at.tau;
	out->n_top = n_top;
	free(scratch);
	free(f);
	free(rows.order);
}

int
attend_sum(struct attend *a, size_t n_query, const struct attend_query *query, const struct attend_settled *settled,
    size_t first, struct fault *f)
{
	struct attend_item **mine = xcalloc(n_query, sizeof *mine);
	int r = attend_begin(a, n_query, query, f);

	for (size_t i = 0; r == 0 && i < n_query; i++) {
		struct settled *at = &a->settled[i];
		*at = (struct settled){ .best = settled[i].best, .temperature = settled[i].temperature, .tau = settled[i].tau };
		mine[i] = xcalloc(settled[i].n_top, sizeof **mine);
		for (size_t k = 0; k < settled[i].n_top; k++)
			if (settled[i].top[k].row >= first && settled[i].top[k].row - first < a->pool.n_row) {
				mine[i][at->n_in_order] = settled[i].top[k];
				mine[i][at->n_in_order++].row -= first;
			}
		qsort(mine[i], at->n_in_order, sizeof **mine, attend_by_row);
		at->in_order = mine[i];
		for (size_t c = 0; query[i].bonus && c < a->pool.n_cluster; c++)
			if (c == 0 || a->set.alpha * query[i].bonus[c] > at->most_bonus)
				at->most_bonus = a->set.alpha * query[i].bonus[c];
	}
	if (r == 0)
		r = attend_one_pass(a, f);
	for (size_t i = 0; i < n_query; i++)
		free(mine[i]);
	free(mine);
	return r;
}

void
attend_sums_of(struct attend *a, size_t i, struct attend_sums *out)
{
	const struct total *all = attend_gather(a, i);

	*out = (struct attend_sums){ .w = { (uint64_t)all->w, (uint64_t)(all->w >> 64) }, .wl = { (uint64_t)all->wl, (uint64_t)(all->wl >> 64) },
	    .z = out->z };
	memcpy(out->z, all->z, a->pool.dim * sizeof *out->z);
}

static whole
whole_of(const uint64_t at[2])
{
	return (whole)((unsigned __int128)at[1] << 64 | at[0]);
}

void
attend_sums_add(struct attend_sums *to, const struct attend_sums *part, size_t dim)
{
	unsigned __int128 w = (unsigned __int128)whole_of(to->w) + (unsigned __int128)whole_of(part->w);
	unsigned __int128 wl = (unsigned __int128)whole_of(to->wl) + (unsigned __int128)whole_of(part->wl);

	to->w[0] = (uint64_t)w;
	to->w[1] = (uint64_t)(w >> 64);
	to->wl[0] = (uint64_t)wl;
	to->wl[1] = (uint64_t)(wl >> 64);
	for (size_t d = 0; d < dim; d++)
		to->z[d] = (int64_t)((uint64_t)to->z[d] + (uint64_t)part->z[d]);
}

void
attend_put_together(const struct attend_settled *settled, const struct attend_sums *all, size_t n_item, size_t dim, float *z,
    struct attend_result *out)
{
	struct settled at = { .best = settled->best, .temperature = settled->temperature, .tau = settled->tau };
	struct total total = { whole_of(all->w), whole_of(all->wl), all->z };
	double sum;

	attend_finish(&at, &total, settled->top, settled->n_top, dim, z, &sum, out);
	out->n_item = n_item < settled->n_top ? n_item : settled->n_top;
}
