/* Attention that reads few rows: those of the cells of an index that are foretold most of the mass. What is left unread is
   held to what probes told of such cells, and sampled; hare(7) has what of this is a theorem. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/cells_inside.h"
#include "base/mem.h"
#include "base/thread.h"
#include "mat/mat.h"

enum { N_ROUND = 12, MEET = 1024 };

/* Cells lie apart: beyond this share of the rows, reading all of them one after the other is as fast. */
static const double READ_MOST = .25;
double
cells_read_most(const struct attend *a)
{
	return (a->set.read_most > 0 ? a->set.read_most : READ_MOST) * (double)a->pool.n_row;
}

/* Temperature and the ten best come from what the first round reads; less than this may miss one of the ten. */
static const double MISS_TEN = .05;
enum { SHARE_OF_T = 7 };        /* pool_index_share(7) = 2^-8 of the mass may be missing there */

/* The best cells, until there are rows enough to begin with. */
static int
read_first(struct cells *c)
{
	const struct pool_index *x = c->a->pool.index;
	size_t n_other = c->n;

	if (!isfinite(c->most_told))    /* an index made wrong on purpose */
		return 0;
	for (double below = 1; c->n - n_other < 4 * c->a->n_top || c->heap.n < c->heap.n_max; below *= 2) {
		if ((double)c->n > cells_read_most(c->a) || below > 1e6)
			return 0;
		for (size_t k = 0; k < x->n_cell; k++)
			if (!c->is_read[k] && c->log_told[k] >= c->most_told - below)
				cells_plan(c, k);
		if (cells_read(c) < 0)
			return -1;
	}
	return 1;
}

static double
best_read(const struct cells *c)
{
	double best = -INFINITY;

	for (size_t k = 0; k < c->heap.n; k++)
		best = fmax(best, c->heap.item[k].logit);
	return best;
}

/* Until probes say that of what the untempered softmax holds little is missing, nor one of the ten best rows. */
static int
find_best(struct cells *c, double alpha)
{
	struct limits limits = { .n = 0 };
	double of_cells, of_all;

	if (cells_add_limits(c, 1, SHARE_OF_T, alpha, &limits) < 0 || cells_add_limits(c, 1, POOL_INDEX_SHARES, MISS_TEN, &limits) < 0)
		return 0;
	cells_foretell(c, 1);
	int r = read_first(c);
	for (size_t round = 0, n = 0; r > 0 && round < N_ROUND; round++) {
		double best = best_read(c);
		cells_sum(c, best, 1, &of_cells, &of_all);
		n = c->n;
		r = cells_read_down_to(c, &limits, 1, of_cells * exp(fmin(best - c->most_told, 600)));
		if (r > 0 && c->n == n)
			return 1;
	}
	return r > 0 ? 0 : r;
}

static void
keep_read(struct cells *c, double certificate)
{
	struct sparse *s = &c->a->sparse[c->i];

	s->row = xgrow(s->row, &s->n_cap, c->n, sizeof *s->row);
	s->weight = xgrow(s->weight, &s->n_cap_weight, c->n, sizeof *s->weight);
	for (size_t k = 0; k < c->n; k++)
		s->row[k] = c->row[k];
	memcpy(s->weight, c->weight, c->n * sizeof *s->weight);
	s->n = c->n;
	s->n_drawn = c->n_drawn;
	s->is_sampled = 1;
	s->certificate = certificate;
}

/* A sample of n rows bounds what is left by mean + by_variance + last, of which last is a share of what may be left: the more are
   drawn, the smaller. */
struct sample {
	size_t n;
	double last;
};
static const struct sample few = { 1024, .5 }, more = { 4096, .25 }, many = { 16384, .125 };

/* Drawing costs little beside what was read. */
static const struct sample *
sample_for(size_t n_read)
{
	return n_read < 1 << 15 ? &few : n_read < 1 << 18 ? &more : &many;
}

/* After a sample that could not bound what is unread by left: a larger one that may well do it, or NULL. */
static const struct sample *
larger_sample(const struct sample *s, double mean, double bound, double left, size_t n_read)
{
	const struct sample *next = s == &few ? &more : &many;
	double by_variance = bound - mean - s->last * left;

	for (; s != next && next->n < n_read; s = next, next = &many) {
		by_variance *= sqrt((double)s->n / (double)next->n);
		if (1.05 * mean + by_variance + next->last * left < left)
			return next;
	}
	return NULL;
}

/* 1: the answer is there; 0: reading all is better; -1: a fault. */
static int
by_cells(struct cells *c)
{
	struct attend *a = c->a;
	struct settled *at = &a->settled[c->i];
	double epsilon = a->set.epsilon, delta = a->set.delta, deeper = 1;
	const struct sample *sample = &few;
	size_t share = 0;
	int has_to_read = 0;

	while (share < POOL_INDEX_SHARES && pool_index_share(share) > epsilon / 2)
		share++;
	if (share == POOL_INDEX_SHARES)
		return 0;
	cells_plan_others(c);
	if (cells_read(c) < 0)
		return -1;
	int r = find_best(c, delta / 2);
	for (uint64_t round = 0; r > 0 && round < N_ROUND; round++) {
		double of_cells, of_all;
		struct limits limits = { .n = 0 };
		size_t n_before = c->n;
		memcpy(c->kept, c->heap.item, a->n_top * sizeof *c->kept);
		if (attend_settle_query(a, c->i, c->w) < 0)
			return -1;
		double best = at->best, temperature = at->temperature;
		if (cells_add_limits(c, temperature, share, delta / 2, &limits) < 0)
			return 0;
		memcpy(c->heap.item, c->kept, a->n_top * sizeof *c->kept);
		cells_foretell(c, temperature);
		double unit = exp(fmin(best / temperature - c->most_told, 600));        /* of sums, as told is */
		cells_sum(c, best, temperature, &of_cells, &of_all);
		/* cells come in steps: deeper goes down until there is one more to read */
		for (;; deeper *= .75) {
			if ((r = cells_read_down_to(c, &limits, deeper, of_cells * unit)) <= 0)
				return r;
			if (!has_to_read || c->n > n_before || deeper < 1e-9)
				break;
		}
		has_to_read = 0;
		if (c->n > n_before) {  /* T may have moved */
			if (memcmp(c->kept, c->heap.item, a->n_top * sizeof *c->kept) != 0)
				continue;
			cells_sum(c, best, temperature, &of_cells, &of_all);
		}
		double allowed = epsilon / (1 - epsilon) * of_all * (1 - 1e-5), p = pool_index_share(share);
		double by_probes = p / (1 - p) * of_cells, left = allowed - by_probes;
		double part = delta / 4 * exp2(-(double)round), mean, by_sample;
		if (sample->n < sample_for(c->n)->n)
			sample = sample_for(c->n);
		double most = sample->last * left * 3 * (double)(sample->n - 1) / (7 * log(2 / part));
		if (cells_draw(c, best, temperature, most, part, round, sample->n, &mean, &by_sample) < 0)
			return -1;
		if (by_probes + by_sample <= allowed) {
			if (attend_settle_query(a, c->i, c->w) < 0 || cells_blend(c) < 0)
				return -1;
			keep_read(c, (by_probes + by_sample) / (by_probes + by_sample + of_all * (1 - 1e-5)));
			return 1;
		}
		const struct sample *larger = larger_sample(sample, mean, by_sample, left, c->n);
		if (larger)
			sample = larger;
		else {
			deeper *= fmin(.75, fmax(.25, (.95 - sample->last) * left / mean));
			has_to_read = 1;
		}
	}
	return r > 0 ? 0 : r;
}

/* q.m and sum q^2 v of some cells. */
static void
meet_cells(void *arg, size_t task, size_t worker)
{
	const struct cells *c = arg;
	const struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	size_t dim = a->pool.dim, from = task * MEET, n = x->n_cell - from < MEET ? x->n_cell - from : MEET;

	(void)worker;
	a->kernel->scores(ATTEND_F16, x->centre + from * dim, NULL, n, dim, a->q + c->i * a->n_pad, 1, c->u + from, 0);
	a->kernel->scores(ATTEND_BF16, x->spread + from * dim, NULL, n, dim, c->square, 1, c->v + from, 0);
}

static void
query_of(struct attend *a, size_t i, size_t worker, size_t n_thread)
{
	struct cells *c = &a->cells[worker];
	const struct pool_index *x = a->pool.index;
	const float *q = a->q + i * a->n_pad;

	c->a = a;
	c->w = &a->worker[worker];
	c->i = i;
	c->n_thread = n_thread;
	c->has_failed = 0;
	c->n = c->n_piece = c->n_piece_read = c->n_piece_summed = c->n_drawn = 0;
	c->temperature = 0;
	c->length = mat_norm(q, a->pool.dim);
	c->heap = (struct attend_heap){ .item = a->top + i * a->n_top, .n_max = a->n_top };
	memset(c->is_read, 0, x->n_cell);
	for (size_t d = 0; d < a->n_pad; d++)
		c->square[d] = q[d] * q[d];
	thread_for(n_thread, (x->n_cell + MEET - 1) / MEET, meet_cells, c);
	a->sparse[i].is_sparse = by_cells(c) > 0;
}

static void
one_query(void *arg, size_t i, size_t worker)
{
	query_of(arg, i, worker, 1);
}

int
attend_by_cells(struct attend *a, size_t n_query, struct fault *f)
{
	const struct pool_index *x = a->pool.index;

	if (!x || a->set.delta <= 0 || a->set.epsilon <= 0 || a->pool.n_row < CELLS_SMALL || a->pool.n_row > UINT32_MAX)
		return 0;
	if (a->n_top > a->pool.n_row / 16 || (double)(a->pool.n_row - x->n) > .25 * cells_read_most(a))
		return 0;
	if (!a->cells) {
		a->cells = xcalloc(a->set.n_thread, sizeof *a->cells);
		for (size_t t = 0; t < a->set.n_thread; t++) {
			struct cells *c = &a->cells[t];
			c->u = xaligned(x->n_cell, sizeof *c->u);
			c->v = xaligned(x->n_cell, sizeof *c->v);
			c->square = xaligned(a->n_pad, sizeof *c->square);
			c->log_told = xmalloc(x->n_cell, sizeof *c->log_told);
			c->log_n = xmalloc(x->n_cell, sizeof *c->log_n);
			for (size_t k = 0; k < x->n_cell; k++)
				c->log_n[k] = logf((float)(x->start[k + 1] - x->start[k]));
			c->told = xaligned(x->n_cell, sizeof *c->told);
			c->told_half = xaligned(x->n_cell, sizeof *c->told_half);
			c->bin = xmalloc(x->n_cell, sizeof *c->bin);
			c->in_bin = xcalloc(CELLS_BIN, sizeof *c->in_bin);
			c->cell = xmalloc(x->n_cell, sizeof *c->cell);
			c->is_read = xmalloc(x->n_cell, 1);
			c->kept = xcalloc(a->n_top, sizeof *c->kept);
		}
	}
	/* threads share the queries, or the rows of the only one: a few queries are not worth both */
	if (n_query == 1)
		query_of(a, 0, 0, a->set.n_thread);
	else
		thread_for(a->set.n_thread, n_query, one_query, a);
	return attend_first_fault(a, f);
}

void
attend_cells_free(struct cells *cells, size_t n_thread)
{
	for (size_t t = 0; cells && t < n_thread; t++) {
		struct cells *c = &cells[t];
		free(c->u);
		free(c->v);
		free(c->square);
		free(c->log_told);
		free(c->log_n);
		free(c->told);
		free(c->told_half);
		free(c->bin);
		free(c->in_bin);
		free(c->cell);
		free(c->is_read);
		free(c->kept);
		free(c->piece);
		free(c->row);
		free(c->score);
		free(c->weight);
		free(c->add);
		free(c->draw);
		free(c->draw_sum);
	}
	free(cells);
}
