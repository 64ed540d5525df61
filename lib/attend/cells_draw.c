/* Rows drawn from the unread cells, as often as is foretold of them. With p the chance of a row, X = min(Y / p, most) lies
   between 0 and most, and its mean is the sum of min(Y, most p): so the empirical Bernstein bound of Maurer and Pontil
   (2009, theorem 11: independent, not of one distribution) holds for it whatever was foretold. One draw for each of
   as many equal parts. */
#include <math.h>

#include "attend/cells_inside.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"

enum { CHUNK = 256 };           /* draws of a task */

struct draw {
	uint32_t cell, place;
};

struct drawing {
	struct cells *c;
	size_t n;
	double best, temperature, most, all;
};

static double
of_draw(const struct drawing *g, const struct draw *d, const struct attend_span *s)
{
	const struct cells *c = g->c;
	const struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	const struct attend_query *query = &a->query[c->i];
	size_t n = x->start[d->cell + 1] - x->start[d->cell], run = x->cell_run[d->cell];
	float score;

	a->kernel->scores(s->type, s->x, s->scale, 1, a->pool.dim, a->q + c->i * a->n_pad, 1, &score, 0);
	while (query->bonus && x->run_start[run + 1] <= d->place)
		run++;
	double bonus = query->bonus ? attend_bonus_of(&a->set, query, a->pool.n_cluster, x->run_cluster[run]) : 0;
	double y = exp(fmin((a->set.beta * score + bonus - g->best) / g->temperature, 700)) / (c->told[d->cell] / g->all / (double)n);
	return y < g->most ? y / g->most : 1;
}

/* All rows of a task are asked for before the first of them is needed. */
static void
some_draws(void *arg, size_t task, size_t worker)
{
	struct drawing *g = arg;
	struct cells *c = g->c;
	struct worker *w = cells_worker(c, worker);
	const struct draw *draw = c->draw + task * CHUNK;
	size_t n = g->n - task * CHUNK < CHUNK ? g->n - task * CHUNK : CHUNK;
	struct attend_span span[CHUNK];
	const uint32_t *row;
	double sum = 0, square = 0;

	for (size_t k = 0; k < n; k++) {
		struct piece p = { .n = 1, .from = draw[k].place, .cell = draw[k].cell };
		if (cells_rows(c, w, cells_task(c, task * CHUNK + k), &p, 0, &span[k], &row) < 0) {
			__atomic_store_n(&c->has_failed, 1, __ATOMIC_RELAXED);
			return;
		}
		for (size_t line = 0; line < c->a->pool.dim * attend_type_size(span[k].type); line += 64)
			__builtin_prefetch((const char *)span[k].x + line);
	}
	for (size_t k = 0; k < n; k++) {
		double part = of_draw(g, &draw[k], &span[k]);
		sum += part;
		square += part * part;
	}
	c->draw_sum[task][0] = sum;
	c->draw_sum[task][1] = square;
}

int
cells_draw(struct cells *c, double best, double temperature, double most, double delta, uint64_t round, size_t n_draw, double *mean,
    double *bound)
{
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	struct rng r = rng_at(a->set.seed + round, hash64(a->q + c->i * a->n_pad, a->pool.dim * sizeof *a->q, 0));
	double all = 0, before = 0, sum = 0, square = 0, n = (double)n_draw;
	size_t cell = SIZE_MAX, next = 0, n_task = (n_draw + CHUNK - 1) / CHUNK;

	for (size_t k = 0; k < x->n_cell; k++)
		all += c->is_read[k] ? 0 : c->told[k];
	*bound = *mean = 0;
	if (all <= 0)           /* nothing is unread */
		return 0;
	c->draw = xgrow(c->draw, &c->n_draw_cap, n_draw, sizeof *c->draw);
	c->draw_sum = xgrow(c->draw_sum, &c->n_draw_sum_cap, n_task, sizeof *c->draw_sum);
	for (size_t k = 0; k < n_draw; k++) {
		double until = ((double)k + rng_uniform(&r)) / n * all, chance = rng_uniform(&r);
		while (next < x->n_cell && (cell == SIZE_MAX || before + c->told[cell] < until)) {
			while (next < x->n_cell && (c->is_read[next] || c->told[next] <= 0))
				next++;
			if (next == x->n_cell)
				break;
			before += cell == SIZE_MAX ? 0 : c->told[cell];
			cell = next++;
		}
		size_t n_row = x->start[cell + 1] - x->start[cell];
		c->draw[k] = (struct draw){ (uint32_t)cell, (uint32_t)(x->start[cell] + (size_t)(chance * (double)n_row)) };
	}
	struct drawing g = { c, n_draw, best, temperature, most, all };
	thread_for(n_task <= 4 ? 1 : c->n_thread, n_task, some_draws, &g);
	if (c->has_failed)
		return -1;
	for (size_t t = 0; t < n_task; t++) {
		sum += c->draw_sum[t][0];
		square += c->draw_sum[t][1];
	}
	c->n_drawn += n_draw;
	double part = sum / n, variance = fmax(0, square - sum * part) / (n - 1), ln = log(2 / delta);
	*mean = most * part;
	*bound = most * (part + sqrt(2 * variance * ln / n) + 7 * ln / (3 * (n - 1)));
	return 0;
}
