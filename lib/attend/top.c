/* The best rows of a query: found by the kernel's scores, scored again in double, and what they tell of tau and T. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/inside.h"
#include "mat/mat.h"

/* 1 if s is to stand before t: heavier, or the lower row. */
int
attend_before(const struct attend_item *s, const struct attend_item *t)
{
	return s->logit != t->logit ? s->logit > t->logit : s->row < t->row;
}

int
attend_by_weight(const void *s, const void *t)
{
	return attend_before(s, t) ? -1 : attend_before(t, s);
}

int
attend_by_row(const void *s, const void *t)
{
	const struct attend_item *a = s, *b = t;

	return a->row < b->row ? -1 : a->row > b->row;
}

size_t
attend_first_from(const struct attend_item *by_row, size_t n, size_t row)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (by_row[middle].row < row)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first of heap [n] stands behind all others; item takes its place and sinks to its own. */
void
attend_heap_replace(struct attend_item *heap, size_t n, struct attend_item item)
{
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n && attend_before(&heap[child], &heap[child + 1]))
			child++;
		if (!attend_before(&item, &heap[child]))
			break;
		heap[at] = heap[child];
	}
	heap[at] = item;
}

/* Sorted behind first, an array is a heap. */
void
attend_heap_make(struct attend_item *heap, size_t n)
{
	if (n > 1)
		qsort(heap, n, sizeof *heap, attend_by_weight);
	for (size_t j = 0; j < n / 2; j++) {
		struct attend_item t = heap[j];
		heap[j] = heap[n - 1 - j];
		heap[n - 1 - j] = t;
	}
}

double
attend_bonus_of(const struct attend_settings *set, const struct attend_query *query, size_t n_cluster, uint32_t cluster)
{
	return query->bonus ? set->alpha * query->bonus[cluster < n_cluster ? cluster : 0] : 0;
}

void
attend_heap_consider(struct attend_heap *h, size_t row, double logit, double bonus)
{
	struct attend_item item = { .row = row, .logit = logit, .bonus = bonus };

	if (h->n < h->n_max) {
		h->item[h->n++] = item;
		if (h->n < h->n_max)
			return;
		attend_heap_make(h->item, h->n);
	} else if (attend_before(&item, &h->item[0]))
		attend_heap_replace(h->item, h->n, item);
	h->least = h->item[0].logit;
}

/* Rows of a tile by their scores alone. */
static void
consider_scores(struct attend *a, size_t i, size_t from, size_t end, struct attend_heap *h, struct worker *w)
{
	const float *score = attend_weight_at(a, i, from);
	size_t n_some = h->n;

	for (size_t j = 0; h->n < h->n_max && j < end - from; j++)
		attend_heap_consider(h, from + j, a->set.beta * score[j], 0);
	if (h->n < h->n_max)
		return;
	/* once the heap is full, those that may stand before its least, and those that filled it not again */
	size_t first = h->n - n_some;
	n_some = a->kernel->list(score + first, end - from - first, nextafterf((float)(h->least / a->set.beta), -INFINITY), w->some,
	    w->near);
	for (size_t k = 0; k < n_some; k++) {
		size_t j = first + w->some[k];
		if (a->set.beta * score[j] > h->least)
			attend_heap_consider(h, from + j, a->set.beta * score[j], 0);
	}
}

/* What the last of the n_top best logits is at least: each tile has a row with its largest score, so it is that of the n_top-th
   best tile. item [n_top] is scratch. */
static double
least_of_top(const struct attend *a, size_t i, double least_bonus, struct attend_item *item)
{
	struct attend_heap tiles = { .item = item, .n_max = a->n_top };

	for (size_t tile = 0; tile < a->n_tile; tile++)
		attend_heap_consider(&tiles, tile, a->set.beta * a->most[i * a->n_tile + tile] + least_bonus, 0);
	return tiles.n < tiles.n_max ? -INFINITY : tiles.least;
}

int
attend_find_top(struct attend *a, size_t i, struct worker *w)
{
	const struct attend_query *query = &a->query[i];
	const struct attend_settings *set = &a->set;
	struct attend_heap h = { .item = a->top + i * a->n_top, .n_max = a->n_top };
	double most_bonus = 0, least_bonus = 0;

	for (size_t c = 0; query->bonus && c < a->pool.n_cluster; c++) {
		double b = set->alpha * query->bonus[c];
		if (c == 0 || b > most_bonus)
			most_bonus = b;
		if (c == 0 || b < least_bonus)
			least_bonus = b;
	}
	a->settled[i].most_bonus = most_bonus;
	double least = least_of_top(a, i, least_bonus, a->by_row + i * a->n_top);
	for (size_t tile = 0; tile < a->n_tile; tile++) {
		/* rounding of these two sums and of a row's moves with the sums, so a tile that is passed over has none better */
		double most = set->beta * a->most[i * a->n_tile + tile] + most_bonus;
		if (most < least || (h.n == h.n_max && most <= h.least))
			continue;
		size_t from = tile * TILE_ROWS, end = attend_tile_end(a, tile);
		const float *score = attend_weights(a, i, tile) - from;
		struct attend_span s;
		if (!query->bonus)
			consider_scores(a, i, from, end, &h, w);
		for (size_t j = from; query->bonus && j < end; j += s.n) {
			if (attend_span_of(a, j, end - j, w, i, &s) < 0)
				return -1;
			for (size_t k = 0; k < s.n; k++) {
				double bonus = attend_bonus_of(set, query, a->pool.n_cluster, s.cluster[k]);
				double logit = set->beta * score[j + k] + bonus;
				if (h.n < h.n_max || logit > h.least)
					attend_heap_consider(&h, j + k, logit, bonus);
			}
		}
	}
	return 0;
}

static double
dot_user(const double *mean, const float *x, size_t dim)
{
	double sum = 0;

	for (size_t d = 0; d < dim; d++)
		sum += mean[d] * x[d];
	return sum;
}

/* tau^2, over the softmax of the ATTEND_N_SHARP best logits; negative: a row could not be read. */
static double
attended_variance(const struct attend_settings *set, const struct attend_query *query, const double *mean, size_t dim,
    const struct attend_item *top, size_t n_top, const float *(*row)(void *arg, size_t row), void *arg, float *f, double *scratch)
{
	size_t n = n_top < ATTEND_N_SHARP ? n_top : ATTEND_N_SHARP;
	double sum = 0, total = 0, variance[ATTEND_N_SHARP];

	for (size_t j = 0; j < n; j++) {
		const float *x = row(arg, top[j].row);
		if (!x)
			return -1;
		for (size_t d = 0; d < dim; d++)
			f[j * dim + d] = (float)(x[d] - mean[d]);
	}
	if (query->user_mean)
		query->variances(query->user, query->x, f, n, variance, scratch);
	else
		for (size_t j = 0; j < n; j++) {
			const float *g = f + j * dim;
			double said = mat_dot64(query->x, g, dim);
			variance[j] = mat_dot64(g, g, dim) / set->lambda + set->query_var * said * said;
		}
	for (size_t j = 0; j < n; j++) {
		double e = exp(top[j].logit - top[0].logit);
		total += e;
		sum += e * fmax(0, variance[j]);
	}
	return sum / total;
}

int
attend_settle(const struct attend_settings *set, const struct attend_query *query, const double *mean, size_t dim,
    struct attend_item *top, size_t n_top, const float *(*row)(void *arg, size_t row), void *arg, float *f, double *scratch,
    struct settled *out)
{
	double variance, gain = query->user_mean ? attend_gain(set->gain, query->user_times) : set->gain;

	for (size_t j = 0; j < n_top; j++) {
		const float *x = row(arg, top[j].row);
		if (!x)
			return -1;
		top[j].content = set->beta * (query->user_mean ? query->query_weight : 1) * mat_dot64(query->x, x, dim);
		top[j].personal = query->user_mean ? set->beta * gain * dot_user(query->user_mean, x, dim) : 0;
		top[j].logit = top[j].content + top[j].personal + top[j].bonus;
	}
	qsort(top, n_top, sizeof *top, attend_by_weight);
	if ((variance = attended_variance(set, query, mean, dim, top, n_top, row, arg, f, scratch)) < 0)
		return -1;
	double steep = set->beta * set->gain;
	out->temperature = sqrt(1 + set->kappa * (3.14159265358979323846 / 8) * steep * steep * variance);
	out->tau = sqrt(variance);
	out->best = top[0].logit;
	return 0;
}
