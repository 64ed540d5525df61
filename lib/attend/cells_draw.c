/* Rows drawn from the unread cells, as often as is foretold of them. With p the chance of a row, X = min(Y / p, most) lies
   between 0 and most, and its mean is the sum of min(Y, most p): so the empirical Bernstein bound of Maurer and Pontil
   (2009, theorem 11: independent, not of one distribution) holds for it whatever was foretold. One draw for each of
   as many equal parts. */
#include <math.h>
#include <string.h>

#include "attend/cells_inside.h"
#include "base/hash.h"
#include "base/rng.h"

struct draw {
	size_t cell, place;
	struct attend_span span;
};

/* Sums of X / most and of its square over draws; all their rows are asked for before the first is needed. */
static void
add_draws(struct cells *c, const struct draw *draw, size_t n_draw, double best, double temperature, double most, double all,
    double sum[2])
{
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	const struct attend_query *query = &a->query[c->i];

	for (const struct draw *d = draw; d < draw + n_draw; d++) {
		const struct attend_span *s = &d->span;
		size_t n = x->start[d->cell + 1] - x->start[d->cell], run = x->cell_run[d->cell];
		float score;
		a->kernel->scores(s->type, s->x, s->scale, 1, a->pool.dim, a->q + c->i * a->n_pad, 1, &score, 0);
		while (query->bonus && x->run_start[run + 1] <= d->place)
			run++;
		double bonus = query->bonus ? attend_bonus_of(&a->set, query, a->pool.n_cluster, x->run_cluster[run]) : 0;
		double y = exp(fmin((a->set.beta * score + bonus - best) / temperature, 700)) / (c->told[d->cell] / all / (double)n);
		y = y < most ? y / most : 1;
		sum[0] += y;
		sum[1] += y * y;
	}
}

int
cells_draw(struct cells *c, double best, double temperature, double most, double delta, uint64_t round, size_t n_draw, double *mean,
    double *bound)
{
	enum { NEAR = 512 };
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	struct rng r = rng_at(a->set.seed + round, hash64(a->q + c->i * a->n_pad, a->pool.dim * sizeof *a->q, 0));
	double all = 0, before = 0, sum[2] = { 0, 0 }, n = (double)n_draw;
	size_t cell = SIZE_MAX, next = 0;
	struct draw draw[NEAR];

	for (size_t k = 0; k < x->n_cell; k++)
		all += c->is_read[k] ? 0 : c->told[k];
	*bound = *mean = 0;
	if (all <= 0)           /* nothing is unread */
		return 0;
	for (size_t k = 0; k < n_draw; k++) {
		struct draw *d = &draw[k % NEAR];
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
		*d = (struct draw){ .cell = cell, .place = x->start[cell] + (size_t)(chance * (double)n_row) };
		struct piece p = { .n = 1, .from = d->place, .cell = cell };
		const uint32_t *row;
		if (cells_rows(c, c->w, &p, 0, &d->span, &row) < 0)
			return -1;
		for (size_t line = 0; line < a->pool.dim * attend_type_size(d->span.type); line += 64)
			__builtin_prefetch((const char *)d->span.x + line);
		if (k % NEAR == NEAR - 1 || k + 1 == n_draw)
			add_draws(c, draw, k % NEAR + 1, best, temperature, most, all, sum);
	}
	c->n_drawn += n_draw;
	double part = sum[0] / n, variance = fmax(0, sum[1] - sum[0] * part) / (n - 1), ln = log(2 / delta);
	*mean = most * part;
	*bound = most * (part + sqrt(2 * variance * ln / n) + 7 * ln / (3 * (n - 1)));
	return 0;
}
