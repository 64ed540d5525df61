/* Attention that reads few rows: those of the cells of an index that are foretold most of the mass. What is left unread is
   held to what probes told of such cells, and sampled; hare(7) has what of this is a theorem. A query is one thread's. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/inside.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/thread.h"
#include "mat/half.h"
#include "mat/mat.h"
#include "pool/pool.h"

enum { SMALL = 8 * TILE_ROWS, N_DRAW = 1024, N_ROUND = 6, N_BIN = 1024, PER_NAT = 4, N_SLOT = 1024 };

/* Share of the greatest that any cell is foretold: one far below it is sampled all the same, for what is foretold may be wrong. */
static const float TOLD_LEAST = 1e-35F;
/* Cells lie apart: beyond this share of the rows, reading all of them one after the other is as fast. */
static const double READ_MOST = .25;
static double
read_most(const struct attend *a)
{
	return (a->set.read_most > 0 ? a->set.read_most : READ_MOST) * (double)a->pool.n_row;
}

/* Temperature and the ten best come from what the first round reads; less than this may miss one of the ten. */
static const double MISS_TEN = .05;
enum { SHARE_OF_T = 7 };        /* pool_index_share(7) = 2^-8 of the mass may be missing there */

struct piece {                  /* rows that lie together and were read */
	size_t at, n;                   /* in the lists of what was read */
	size_t from;                    /* place in the index, or row of the pool */
	int is_place;
};

struct cells {                  /* of one worker */
	float *u, *v;                   /* [n_cell]: q.m, and sum q^2 v */
	float *square;                  /* [n_pad]: q^2 */
	float *log_n;                   /* [n_cell]: of its rows */
	/* what is foretold at a temperature */
	double temperature;             /* 0: nothing yet */
	double *log_told;               /* [n_cell]: ln of the mass */
	float *told;                    /* [n_cell]: as a share of the most */
	float *told_half;               /* [n_cell]: the same at half the sharpness, of some other whole; if has_half */
	int has_half;
	uint16_t *bin;                  /* [n_cell]: how far below the most, in quarters of a nat, as far as there are bins */
	double (*in_bin)[POOL_INDEX_RULES];     /* [N_BIN]: sums of what rules count */
	double all[POOL_INDEX_RULES];
	unsigned char *is_read;         /* [n_cell] */
	uint32_t *cell;                 /* [n_cell], that are to be read */
	struct piece *piece;
	size_t n_piece, n_piece_cap;
	uint32_t *row;                  /* [n], of the pool */
	float *score, *weight;          /* [n] */
	double *add;                    /* [n], alpha U_c, where the query has a bonus */
	size_t n, n_row_cap, n_score_cap, n_weight_cap, n_add_cap;
	size_t n_drawn;
	struct attend_item *kept;       /* [n_top] */
	/* the query at hand */
	struct attend *a;
	struct worker *w;
	size_t i;
	double length;                  /* |q| */
	struct attend_heap heap;
	double most_told;               /* what told is a share of, as a logarithm */
};

/* -- reading -- */

static int
keep_fault(struct cells *c, const struct fault *f)
{
	if (c->i < c->w->fault_at) {
		c->w->fault = *f;
		c->w->fault_at = c->i;
	}
	return -1;
}

static int
rows_of(struct cells *c, const struct piece *p, size_t done, struct attend_span *s, const uint32_t **row)
{
	struct fault f;
	struct attend *a = c->a;

	if (!p->is_place)
		return attend_span_of(a, p->from + done, p->n - done, c->w, c->i, s);
	if (a->pool.indexed(a->pool.arg, p->from + done, p->n - done, s, row, &f) < 0)
		return keep_fault(c, &f);
	return 0;
}

/* The bonus of the places of a piece; runs of a cell are each of one cluster. */
static void
put_bonus(struct cells *c, const struct piece *p, size_t cell)
{
	const struct pool_index *x = c->a->pool.index;

	for (size_t r = x->cell_run[cell]; r < x->cell_run[cell + 1]; r++) {
		double bonus = attend_bonus_of(&c->a->set, &c->a->query[c->i], c->a->pool.n_cluster, x->run_cluster[r]);
		for (size_t k = x->run_start[r]; k < x->run_start[r + 1]; k++)
			if (k >= p->from && k < p->from + p->n)
				c->add[p->at + k - p->from] = bonus;
	}
}

/* Rows that lie together, at most a tile of them, are scored; the best ones go to the heap. */
static int
read_piece(struct cells *c, size_t from, size_t n, int is_place, size_t cell)
{
	struct attend *a = c->a;
	const struct attend_query *query = &a->query[c->i];
	struct piece p = { c->n, n, from, is_place };
	struct attend_span s;
	const uint32_t *row = NULL;

	c->row = xgrow(c->row, &c->n_row_cap, c->n + n, sizeof *c->row);
	c->score = xgrow(c->score, &c->n_score_cap, c->n + n, sizeof *c->score);
	if (query->bonus)
		c->add = xgrow(c->add, &c->n_add_cap, c->n + n, sizeof *c->add);
	for (size_t done = 0; done < n; done += s.n) {
		if (rows_of(c, &p, done, &s, &row) < 0)
			return -1;
		a->kernel->scores(s.type, s.x, s.scale, s.n, a->pool.dim, a->q + c->i * a->n_pad, 1, c->score + c->n + done, 0);
		for (size_t k = 0; k < s.n; k++)
			c->row[c->n + done + k] = (uint32_t)(is_place ? a->pool.index->first + row[k] : from + done + k);
		for (size_t k = 0; query->bonus && !is_place && k < s.n; k++)
			c->add[c->n + done + k] = attend_bonus_of(&a->set, query, a->pool.n_cluster, s.cluster[k]);
	}
	if (query->bonus && is_place)
		put_bonus(c, &p, cell);
	for (size_t k = c->n; k < c->n + n; k++) {
		double bonus = query->bonus ? c->add[k] : 0, logit = a->set.beta * c->score[k] + bonus;
		if (c->heap.n < c->heap.n_max || logit >= c->heap.least)
			attend_heap_consider(&c->heap, c->row[k], logit, bonus);
	}
	c->piece = xgrow(c->piece, &c->n_piece_cap, c->n_piece + 1, sizeof *c->piece);
	c->piece[c->n_piece++] = p;
	c->n += n;
	return 0;
}

static int
read_cell(struct cells *c, size_t cell)
{
	const struct pool_index *x = c->a->pool.index;

	c->is_read[cell] = 1;
	for (size_t from = x->start[cell], n; from < x->start[cell + 1]; from += n) {
		n = x->start[cell + 1] - from < TILE_ROWS ? x->start[cell + 1] - from : TILE_ROWS;
		if (read_piece(c, from, n, 1, cell) < 0)
			return -1;
	}
	return 0;
}

/* Rows that are in no cell are all read. */
static int
read_others(struct cells *c)
{
	const struct pool_index *x = c->a->pool.index;

	for (size_t from = 0, n; from < c->a->pool.n_row; from += n) {
		if (from == x->first) {
			n = x->n;
			continue;
		}
		size_t end = from < x->first ? x->first : c->a->pool.n_row;
		n = end - from < TILE_ROWS ? end - from : TILE_ROWS;
		if (read_piece(c, from, n, 0, 0) < 0)
			return -1;
	}
	return 0;
}

/* Sums of exp((l - best) / T) over what was read, that of cells, and that of all. */
static void
sum_read(struct cells *c, double best, double temperature, double *of_cells, double *of_all)
{
	struct attend *a = c->a;
	double sum[2];

	*of_cells = *of_all = 0;
	for (size_t k = 0; k < c->n_piece; k++) {
		const struct piece *p = &c->piece[k];
		memcpy(c->w->near, c->score + p->at, p->n * sizeof *c->score);
		a->kernel->weigh(c->w->near, a->query[c->i].bonus ? c->add + p->at : NULL, p->n, a->set.beta, best,
		    1 / temperature, LOGIT_FLOOR, sum);
		*of_all += sum[0];
		*of_cells += p->is_place ? sum[0] : 0;
	}
}

/* -- what is foretold -- */

/* Rows of a cell that have each the bonus of their run count as n exp(most / T): returns ln n. */
static double
log_n_bonus(const struct cells *c, size_t cell, double temperature, double *most)
{
	const struct pool_index *x = c->a->pool.index;
	double n = 0;

	for (size_t r = x->cell_run[cell]; r < x->cell_run[cell + 1]; r++) {
		double b = attend_bonus_of(&c->a->set, &c->a->query[c->i], c->a->pool.n_cluster, x->run_cluster[r]);
		*most = r == x->cell_run[cell] || b > *most ? b : *most;
	}
	for (size_t r = x->cell_run[cell]; r < x->cell_run[cell + 1]; r++) {
		double b = attend_bonus_of(&c->a->set, &c->a->query[c->i], c->a->pool.n_cluster, x->run_cluster[r]);
		n += (x->run_start[r + 1] - x->run_start[r]) * exp((b - *most) / temperature);
	}
	return log(n);
}

/* ln of the mass of each cell at a temperature, and its share of the greatest. */
static void
foretell(struct cells *c, double temperature)
{
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	double steep = a->set.beta / temperature, sum[2];

	if (temperature == c->temperature)
		return;
	c->temperature = temperature;
	c->has_half = 0;
	c->most_told = -INFINITY;
	for (size_t k = 0; k < x->n_cell; k++) {
		double most = 0, log_n = a->query[c->i].bonus ? log_n_bonus(c, k, temperature, &most) : c->log_n[k];
		c->log_told[k] = log_n + most / temperature + pool_index_foretold(steep, c->u[k], c->v[k]);
		c->most_told = c->log_told[k] > c->most_told ? c->log_told[k] : c->most_told;
	}
	memcpy(c->told, c->u, x->n_cell * sizeof *c->told);
	a->kernel->weigh(c->told, c->log_told, x->n_cell, 0, c->most_told, 1, LOGIT_FLOOR, sum);
	memset(c->in_bin, 0, N_BIN * sizeof *c->in_bin);
	memset(c->all, 0, sizeof c->all);
	for (size_t k = 0; k < x->n_cell; k++) {
		double l = (c->most_told - c->log_told[k]) * PER_NAT, n = x->start[k + 1] - x->start[k];
		c->bin[k] = (uint16_t)(l < N_BIN - 1 ? l : N_BIN - 1);
		c->told[k] = fmaxf(c->told[k], TOLD_LEAST);
		c->in_bin[c->bin[k]][0] += c->told[k];
		c->in_bin[c->bin[k]][2] += n;
		c->all[2] += n;
	}
}

/* The same at half the sharpness. */
static void
foretell_half(struct cells *c)
{
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	double *l = xmalloc(x->n_cell, sizeof *l), steep = a->set.beta / c->temperature, top = -INFINITY, sum[2];

	for (size_t k = 0; k < x->n_cell; k++) {
		double most = 0, log_n = a->query[c->i].bonus ? log_n_bonus(c, k, c->temperature, &most) : c->log_n[k];
		l[k] = log_n + .5 * most / c->temperature + pool_index_foretold(.5 * steep, c->u[k], c->v[k]);
		top = l[k] > top ? l[k] : top;
	}
	memcpy(c->told_half, c->u, x->n_cell * sizeof *c->told_half);
	a->kernel->weigh(c->told_half, l, x->n_cell, 0, top, 1, LOGIT_FLOOR, sum);
	for (size_t k = 0; k < x->n_cell; k++) {
		c->told_half[k] = fmaxf(c->told_half[k], TOLD_LEAST);
		c->in_bin[c->bin[k]][1] += c->told_half[k];
		c->all[1] += c->told_half[k];
	}
	c->has_half = 1;
	free(l);
}

/* Of the sorted values of one kind of probes, that which a new one is below with a chance of at most alpha, if it is as they
   are; beyond what so many can tell, the chance is taken to fall with the value. */
static double
quantile(const float *sorted, double alpha)
{
	double k = floor(alpha * (POOL_INDEX_PROBES + 1));

	return k >= 1 ? sorted[k < POOL_INDEX_PROBES ? (size_t)k - 1 : POOL_INDEX_PROBES - 1] :
	    sorted[0] * alpha * (POOL_INDEX_PROBES + 1);
}

/* What may be left unread: by each of some rules no more than its level, which is that of the hardest kind of probes. */
struct limits {
	size_t n;
	unsigned rule[4];
	double level[4];
};

/* Adds those of the two sharpnesses around the one at hand, of a share, or of the ten best rows for POOL_INDEX_SHARES.
   -1: there are none. */
static int
add_limits(const struct cells *c, double temperature, size_t share, double alpha, struct limits *to)
{
	const struct pool_index *x = c->a->pool.index;
	double g = floor(2 * log2(c->a->set.beta * c->length / temperature / POOL_INDEX_SHARP_FIRST));

	if (!(g >= 0 && g + 1 < POOL_INDEX_SHARPS))
		return -1;
	for (size_t k = (size_t)g; k < (size_t)g + 2; k++) {
		size_t at = share < POOL_INDEX_SHARES ? k * POOL_INDEX_SHARES + share : k;
		const float *sorted = (share < POOL_INDEX_SHARES ? x->level : x->found) + at * POOL_INDEX_KINDS * POOL_INDEX_PROBES;
		double level = INFINITY;
		for (size_t kind = 0; kind < POOL_INDEX_KINDS; kind++)
			level = fmin(level, quantile(sorted + kind * POOL_INDEX_PROBES, alpha));
		to->rule[to->n] = x->rule[k * (POOL_INDEX_SHARES + 1) + share];
		to->level[to->n++] = level;
	}
	return 0;
}

/* What is left, by each rule; all: of what it is a share. */
struct rest {
	double left[POOL_INDEX_RULES], all[POOL_INDEX_RULES];
};

static int
is_within(const struct limits *limits, const struct rest *rest, const double *more, double deeper)
{
	for (size_t k = 0; k < limits->n; k++) {
		unsigned r = limits->rule[k];
		if (!(rest->left[r] + (more ? more[r] : 0) <= deeper * limits->level[k] * rest->all[r]))
			return 0;
	}
	return 1;
}

/* Reads every cell that is foretold most, as far as those below are within the limits; mass is what the cells that were
   read hold, as told is. 1 with *rest set, or 0: that would be too many rows, or -1. */
static int
read_down_to(struct cells *c, const struct limits *limits, double deeper, double mass, struct rest *rest)
{
	const struct pool_index *x = c->a->pool.index;
	size_t n_more = 0, bin = N_BIN, n_cell = 0;

	for (size_t k = 0; k < limits->n; k++)
		if (limits->rule[k] == 1 && !c->has_half)
			foretell_half(c);
	*rest = (struct rest){ {0}, { mass, c->all[1], c->all[2] } };
	for (; bin > 0 && is_within(limits, rest, c->in_bin[bin - 1], deeper); bin--)
		for (size_t r = 0; r < POOL_INDEX_RULES; r++)
			rest->left[r] += c->in_bin[bin - 1][r];
	for (size_t k = 0; k < x->n_cell; k++) {
		c->cell[n_cell] = (uint32_t)k;
		n_cell += (c->bin[k] < bin) & !c->is_read[k];
	}
	for (size_t k = 0; k < n_cell; k++)
		n_more += x->start[c->cell[k] + 1] - x->start[c->cell[k]];
	if ((double)(c->n + n_more) > read_most(c->a))
		return 0;
	for (size_t k = 0; k < n_cell; k++)
		if (read_cell(c, c->cell[k]) < 0)
			return -1;
	return 1;
}

/* The best cells, until there are rows enough to begin with. */
static int
read_first(struct cells *c)
{
	const struct pool_index *x = c->a->pool.index;
	size_t n_other = c->n;

	for (double below = 1; c->n - n_other < 4 * c->a->n_top || c->heap.n < c->heap.n_max; below *= 2) {
		if ((double)c->n > read_most(c->a))
			return 0;
		for (size_t k = 0; k < x->n_cell; k++)
			if (!c->is_read[k] && c->log_told[k] >= c->most_told - below && read_cell(c, k) < 0)
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
	struct rest rest;
	double of_cells, of_all;

	if (add_limits(c, 1, SHARE_OF_T, alpha, &limits) < 0 || add_limits(c, 1, POOL_INDEX_SHARES, MISS_TEN, &limits) < 0)
		return 0;
	foretell(c, 1);
	int r = read_first(c);
	for (size_t round = 0, n = 0; r > 0 && round < N_ROUND; round++) {
		double best = best_read(c);
		sum_read(c, best, 1, &of_cells, &of_all);
		n = c->n;
		r = read_down_to(c, &limits, 1, of_cells * exp(fmin(best - c->most_told, 600)), &rest);
		if (r > 0 && c->n == n)
			return 1;
	}
	return r > 0 ? 0 : r;
}

/* -- sampling -- */

struct draw {
	size_t cell, place;
	struct attend_span span;
};

/* Rows drawn from the unread cells, as often as is foretold of them. With p the chance of a row, X = min(Y / p, most) lies
   between 0 and most, and its mean is the sum of min(Y, most p): so the empirical Bernstein bound of Maurer and Pontil
   (2009, theorem 11: independent, not of one distribution) holds for it whatever was foretold. One draw for each of
   N_DRAW equal parts.
   *bound is of the sum of min(Y, most p) over the unread, Y = exp((l - best) / T). */
static int
sample_unread(struct cells *c, double best, double temperature, double most, double delta, uint64_t round, double *bound)
{
	struct attend *a = c->a;
	const struct pool_index *x = a->pool.index;
	const struct attend_query *query = &a->query[c->i];
	struct rng r = rng_at(a->set.seed + round, hash64(a->q + c->i * a->n_pad, a->pool.dim * sizeof *a->q, 0));
	double all = 0, before = 0, sum = 0, square = 0;
	size_t cell = SIZE_MAX, next = 0;
	struct draw draw[N_DRAW];

	for (size_t k = 0; k < x->n_cell; k++)
		all += c->is_read[k] ? 0 : c->told[k];
	*bound = 0;
	if (all <= 0)           /* nothing is unread */
		return 0;
	/* all rows are asked for before the first of them is needed */
	for (size_t k = 0; k < N_DRAW; k++) {
		double until = ((double)k + rng_uniform(&r)) / N_DRAW * all, chance = rng_uniform(&r);
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
		struct piece p = { 0, 1, draw[k].place, 1 };
		const uint32_t *row;
		if (rows_of(c, &p, 0, &draw[k].span, &row) < 0)
			return -1;
		for (size_t line = 0; line < a->pool.dim * attend_type_size(draw[k].span.type); line += 64)
			__builtin_prefetch((const char *)draw[k].span.x + line);
	}
	for (size_t k = 0; k < N_DRAW; k++) {
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
	c->n_drawn += N_DRAW;
	double mean = sum / N_DRAW, variance = fmax(0, square - sum * mean) / (N_DRAW - 1), ln = log(2 / delta);
	*bound = most * (mean + sqrt(2 * variance * ln / N_DRAW) + 7 * ln / (3. * (N_DRAW - 1)));
	return 0;
}

/* -- the answer -- */

struct slots { uint32_t row[N_SLOT]; unsigned char used[N_SLOT]; };

static size_t
slot_of(const struct slots *s, uint32_t row)
{
	size_t at = row * 2654435761u >> 22;

	while (s->used[at] && s->row[at] != row)
		at = (at + 1) % N_SLOT;
	return at;
}

/* Weights of what was read, their sums and z, piece by piece. The best rows weigh what their logits in double say. */
static int
blend_read(struct cells *c)
{
	struct attend *a = c->a;
	struct worker *w = c->w;
	const struct settled *at = &a->settled[c->i];
	float *part = w->part + c->i * a->n_pad;
	struct slots slots = { .used = {0} };
	struct attend_span s;
	const uint32_t *row;
	double sum[2];
	int has_slots = at->n_in_order <= N_SLOT / 2;

	for (size_t t = 0; has_slots && t < at->n_in_order; t++) {
		size_t slot = slot_of(&slots, (uint32_t)at->in_order[t].row);
		slots.used[slot] = 1;
		slots.row[slot] = (uint32_t)at->in_order[t].row;
	}
	c->weight = xgrow(c->weight, &c->n_weight_cap, c->n, sizeof *c->weight);
	memcpy(c->weight, c->score, c->n * sizeof *c->weight);
	for (size_t k = 0; k < c->n_piece; k++) {
		const struct piece *p = &c->piece[k];
		float *weight = c->weight + p->at;
		size_t n_top = 0;
		for (size_t j = 0; j < p->n; j++) {
			uint32_t r = c->row[p->at + j];
			if (has_slots && !slots.used[slot_of(&slots, r)])
				continue;
			size_t t = attend_first_from(at->in_order, at->n_in_order, r);
			if (t < at->n_in_order && at->in_order[t].row == r) {
				weight[j] = -FLT_MAX;
				w->some[n_top++] = (uint32_t)j;
			}
		}
		a->kernel->weigh(weight, a->query[c->i].bonus ? c->add + p->at : NULL, p->n, a->set.beta, at->best, 1 / at->temperature,
		    LOGIT_FLOOR, sum);
		if (!attend_sum_is_possible(sum))
			return attend_rows_are_impossible(a, w, c->row[p->at] / TILE_ROWS);
		total_add(&w->total[c->i], sum);
		for (size_t t = 0; t < n_top; t++)
			weight[w->some[t]] = attend_top_weight(a, c->i,
			    at->in_order[attend_first_from(at->in_order, at->n_in_order, c->row[p->at + w->some[t]])].logit);
		memset(part, 0, a->n_pad * sizeof *part);
		for (size_t done = 0; done < p->n; done += s.n) {
			if (rows_of(c, p, done, &s, &row) < 0)
				return -1;
			size_t n_some = attend_list_heavy(weight + done, s.n, (float)a->w_least, w->some, w->near);
			a->kernel->blend_some(s.type, s.x, s.scale, w->some, n_some, a->pool.dim, w->near, part, NULL);
		}
		if (!attend_z_is_possible(part, a->pool.dim))
			return attend_rows_are_impossible(a, w, c->row[p->at] / TILE_ROWS);
		total_add_z(w->total[c->i].z, part, a->pool.dim);
	}
	return 0;
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

/* 1: the answer is there; 0: reading all is better; -1: a fault. */
static int
by_cells(struct cells *c)
{
	struct attend *a = c->a;
	struct settled *at = &a->settled[c->i];
	double epsilon = a->set.epsilon, delta = a->set.delta, deeper = 1;
	size_t share = 0;

	while (share < POOL_INDEX_SHARES && pool_index_share(share) > epsilon / 2)
		share++;
	if (share == POOL_INDEX_SHARES)
		return 0;
	if (read_others(c) < 0)
		return -1;
	int r = find_best(c, delta / 2);
	for (uint64_t round = 0; r > 0 && round < N_ROUND; round++) {
		double of_cells, of_all;
		struct limits limits = { .n = 0 };
		struct rest rest;
		size_t n_before = c->n;
		memcpy(c->kept, c->heap.item, a->n_top * sizeof *c->kept);
		if (attend_settle_query(a, c->i, c->w) < 0)
			return -1;
		double best = at->best, temperature = at->temperature;
		if (add_limits(c, temperature, share, delta / 2, &limits) < 0)
			return 0;
		memcpy(c->heap.item, c->kept, a->n_top * sizeof *c->kept);
		foretell(c, temperature);
		double unit = exp(fmin(best / temperature - c->most_told, 600));        /* of sums, as told is */
		sum_read(c, best, temperature, &of_cells, &of_all);
		if ((r = read_down_to(c, &limits, deeper, of_cells * unit, &rest)) <= 0)
			return r;
		if (c->n > n_before) {  /* T may have moved */
			if (memcmp(c->kept, c->heap.item, a->n_top * sizeof *c->kept) != 0)
				continue;
			sum_read(c, best, temperature, &of_cells, &of_all);
		}
		double allowed = epsilon / (1 - epsilon) * of_all * (1 - 1e-5), p = pool_index_share(share);
		double by_probes = p / (1 - p) * of_cells, part = delta / 4 * exp2(-(double)round), by_sample;
		double most = (allowed - by_probes) * .5 * 3 * (N_DRAW - 1) / (7 * log(2 / part));
		if (sample_unread(c, best, temperature, most, part, round, &by_sample) < 0)
			return -1;
		if (by_probes + by_sample <= allowed) {
			if (attend_settle_query(a, c->i, c->w) < 0 || blend_read(c) < 0)
				return -1;
			keep_read(c, (by_probes + by_sample) / (by_probes + by_sample + of_all * (1 - 1e-5)));
			return 1;
		}
		deeper /= 4;
	}
	return r > 0 ? 0 : r;
}

static void
one_query(void *arg, size_t i, size_t worker)
{
	struct attend *a = arg;
	struct cells *c = &a->cells[worker];
	const struct pool_index *x = a->pool.index;
	const float *q = a->q + i * a->n_pad;

	c->a = a;
	c->w = &a->worker[worker];
	c->i = i;
	c->n = c->n_piece = c->n_drawn = 0;
	c->temperature = 0;
	c->length = mat_norm(q, a->pool.dim);
	c->heap = (struct attend_heap){ .item = a->top + i * a->n_top, .n_max = a->n_top };
	memset(c->is_read, 0, x->n_cell);
	for (size_t d = 0; d < a->n_pad; d++)
		c->square[d] = q[d] * q[d];
	a->kernel->scores(ATTEND_F16, x->centre, NULL, x->n_cell, a->pool.dim, q, 1, c->u, 0);
	a->kernel->scores(ATTEND_BF16, x->spread, NULL, x->n_cell, a->pool.dim, c->square, 1, c->v, 0);
	a->sparse[i].is_sparse = by_cells(c) > 0;
}

int
attend_by_cells(struct attend *a, size_t n_query, struct fault *f)
{
	const struct pool_index *x = a->pool.index;

	if (!x || a->set.delta <= 0 || a->set.epsilon <= 0 || a->pool.n_row < SMALL || a->n_top > a->pool.n_row / 16 ||
	    (double)(a->pool.n_row - x->n) > .25 * read_most(a))
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
			c->in_bin = xcalloc(N_BIN, sizeof *c->in_bin);
			c->cell = xmalloc(x->n_cell, sizeof *c->cell);
			c->is_read = xmalloc(x->n_cell, 1);
			c->kept = xcalloc(a->n_top, sizeof *c->kept);
		}
	}
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
	}
	free(cells);
}
