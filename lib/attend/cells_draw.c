/* Rows drawn from the unread cells, as often as is foretold of them. With p the chance of a row, X = min(Y / p, most) lies
   between 0 and most, and its mean is the sum of min(Y, most p): so the empirical Bernstein bound of Maurer and Pontil
   (2009, theorem 11: independent, not of one distribution) holds for it whatever was foretold. One draw for each of
   CELLS_DRAW equal parts. */
#include <math.h>
#include <string.h>

#include "attend/cells_inside.h"
#include "base/hash.h"
#include "base/rng.h"

struct draw {
	size_t cell, place;
	struct attend_span span;
};

int
cells_draw(struct cells *c, double best, double temperature, double most, double delta, uint64_t round, double *bound)
{
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	const struct attend_query *query = &a->query[c->i];
	struct rng r = rng_at(a->set.seed + round, hash64(a->q + c->i * a->n_pad, a->pool.dim * sizeof *a->q, 0));
	double all = 0, before = 0, sum = 0, square = 0;
	size_t cell = SIZE_MAX, next = 0;
	struct draw draw[CELLS_DRAW];

	for (size_t k = 0; k < x->n_cell; k++)
		all += c->is_read[k] ? 0 : c->told[k];
	*bound = 0;
	if (all <= 0)           /* nothing is unread */
		return 0;
	/* all rows are asked for before the first of them is needed */
	for (size_t k = 0; k < CELLS_DRAW; k++) {
		double until = ((double)k + rng_uniform(&r)) / CELLS_DRAW * all, chance = rng_uniform(&r);
		while (next < x->n_cell && (cell == SIZE_MAX || before + c->told[cell] < until)) {
			while (next < x->n_cell && (c->is_read[next] || c->told[next] <= 0))
				next++;
			if (next == x->n_cell)
				break;
			before += cell == SIZE_MAX ? 0 : c->told[cell];
			cell = next++;
		}
		size_t n = x->start[cell + 1] - x->start[cell];
		draw[k] = (struct draw){ .cell = cell, .place = x->start[cell] + (size_t)(chance * (double)n) };
		struct piece p = { .n = 1, .from = draw[k].place, .cell = cell };
		const uint32_t *row;
		if (cells_rows(c, c->w, &p, 0, &draw[k].span, &row) < 0)
			return -1;
		for (size_t line = 0; line < a->pool.dim * attend_type_size(draw[k].span.type); line += 64)
			__builtin_prefetch((const char *)draw[k].span.x + line);
	}
	for (size_t k = 0; k < CELLS_DRAW; k++) {
		const struct attend_span *s = &draw[k].span;
		size_t n = x->start[draw[k].cell + 1] - x->start[draw[k].cell], run = x->cell_run[draw[k].cell];
		float score;
		a->kernel->scores(s->type, s->x, s->scale, 1, a->pool.dim, a->q + c->i * a->n_pad, 1, &score, 0);
		while (query->bonus && x->run_start[run + 1] <= draw[k].place)
			run++;
		double bonus = query->bonus ? attend_bonus_of(&a->set, query, a->pool.n_cluster, x->run_cluster[run]) : 0;
		double y = exp(fmin((a->set.beta * score + bonus - best) / temperature, 700)) / (c->told[draw[k].cell] / all / (double)n);
		y = y < most ? y / most : 1;
		sum += y;
		square += y * y;
	}
	c->n_drawn += CELLS_DRAW;
	double mean = sum / CELLS_DRAW, variance = fmax(0, square - sum * mean) / (CELLS_DRAW - 1), ln = log(2 / delta);
	*bound = most * (mean + sqrt(2 * variance * ln / CELLS_DRAW) + 7 * ln / (3. * (CELLS_DRAW - 1)));
	return 0;
}
