/* Attention with fewer bytes: sketches bound every score, and full rows are read from the highest bound on. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attend/inside.h"
#include "base/mem.h"
#include "base/thread.h"
#include "mat/mat.h"
#include "mat/sketch.h"

enum { N_BIN = 320, PER_NAT = 4, SAMPLE = 16 };         /* logits below the best, in quarters; every 16th row is looked at */

/* Reading rows here and there costs more a row than reading all: beyond this share of them it does not pay. */
static const double READ_MOST = .1;

struct bound {
	struct kernel_sketch_query query;
	int8_t whole[MAT_SKETCH_DIM_MAX];
	double turned[MAT_SKETCH_DIM_MAX];
	float *add;             /* [n_cluster], alpha U_c / beta */
	uint32_t *row;          /* [n_tile][TILE_ROWS]: rows that were read, by their place in the tile */
	float *score;           /* [n_tile][TILE_ROWS]: theirs */
	float *weight;          /* [n_tile][TILE_ROWS] */
	double *row_add;        /* [n_tile][TILE_ROWS]: alpha U_c(j), NULL until a query has a bonus */
	size_t *n, *n_seen;     /* [n_tile], and how many of them the heap has seen */
	double *unread, *known; /* [n_tile]: of exp((l - best) / T), over bounds of unread rows no less than the sum, over those read it */
	uint32_t (*count)[N_BIN];       /* [n_thread] */
	size_t *n_late;         /* [n_tile]: rows read from here on are in sums and z already */
	/* the step at hand */
	size_t i;
	int is_settled;         /* T is known: what is read goes into sums and z at once */
	float from;             /* rows with bounds from here on are read */
};

void
attend_bound_free(struct bound *b)
{
	if (!b)
		return;
	free(b->count);
	free(b->known);
	free(b->unread);
	free(b->n_seen);
	free(b->n);
	free(b->n_late);
	free(b->row_add);
	free(b->weight);
	free(b->score);
	free(b->row);
	free(b->add);
	free(b);
}

static struct bound *
bound_new(const struct attend *a)
{
	struct bound *b = xcalloc(1, sizeof *b);

	b->add = xcalloc(a->pool.n_cluster, sizeof *b->add);
	b->row = xaligned(a->n_tile * TILE_ROWS, sizeof *b->row);
	b->score = xaligned(a->n_tile * TILE_ROWS, sizeof *b->score);
	b->weight = xaligned(a->n_tile * TILE_ROWS, sizeof *b->weight);
	b->n_late = xcalloc(a->n_tile, sizeof *b->n_late);
	b->n = xcalloc(a->n_tile, sizeof *b->n);
	b->n_seen = xcalloc(a->n_tile, sizeof *b->n_seen);
	b->unread = xcalloc(a->n_tile, sizeof *b->unread);
	b->known = xcalloc(a->n_tile, sizeof *b->known);
	b->count = xcalloc(a->set.n_thread, sizeof *b->count);
	return b;
}

/* The query in whole numbers, and what rounding may add. With q^ these whole numbers and d = Rq - q^:
   q.x = q^.s(c - 7.5) + q^.(Rx - s(c - 7.5)) + d.Rx <= q^.s(c - 7.5) + |q^| e + |d| |x|. */
static void
aim_query(struct attend *a, struct bound *b, size_t i)
{
	const struct attend_query *query = &a->query[i];
	size_t n = mat_sketch_codes(a->pool.dim);
	double most = 0, off = 0, length = 0, sum = 0, most_add = 0;

	mat_sketch_turn(a->q + i * a->n_pad, a->pool.dim, b->turned);
	for (size_t k = 0; k < n; k++)
		most = fmax(most, fabs(b->turned[k]));
	double unit = most > 0 ? most / 127 : 1;
	for (size_t k = 0; k < n; k++) {
		double v = rint(b->turned[k] / unit), d = b->turned[k] - v * unit;
		b->whole[k] = (int8_t)v;
		off += d * d;
		length += v * unit * v * unit;
		sum += v;
	}
	for (size_t c = 0; c < a->pool.n_cluster; c++) {
		double add = query->bonus ? a->set.alpha * query->bonus[c] / a->set.beta : 0;
		b->add[c] = (float)add;
		most_add = fmax(most_add, fabs(add));
	}
	/* the roundings of a kernel's score, of a bound and of their sums, each 2^-24 of something of the size of |q| |x| */
	double slack = (sqrt(length) * ((double)a->n_pad / 16 + 16) + 4 * most_add) * 0x1p-23;
	b->query = (struct kernel_sketch_query){ b->whole, n, (int32_t)(15 * sum), (float)(unit / 2),
	    (float)(sqrt(length) * (1 + 1e-6)), (float)(sqrt(off) * 1.01 + slack) };
	b->i = i;
}

static int
sketch_of(struct attend *a, size_t from, size_t n, struct worker *w, size_t task, struct attend_sketch *s)
{
	struct fault f;

	return a->pool.sketch(a->pool.arg, from, n, s, &f) < 0 ? attend_keep_fault(w, task, &f) : 0;
}

/* Bounds of a tile, in the place of its scores. */
static void
bound_tile(void *arg, size_t tile, size_t worker)
{
	struct attend *a = arg;
	struct bound *b = a->bound;
	struct worker *w = &a->worker[worker];
	size_t from = tile * TILE_ROWS, end = attend_tile_end(a, tile);
	float *u = attend_weights(a, b->i, tile);
	struct attend_sketch s;

	b->n[tile] = b->n_seen[tile] = b->n_late[tile] = 0;
	for (size_t j = from; j < end; j += s.n) {
		if (sketch_of(a, j, end - j, w, tile, &s) < 0)
			return;
		size_t n_block = (s.i_first + s.n + 15) / 16;
		int is_straight = s.i_first == 0 && (j - from) % 16 == 0;
		float *to = is_straight ? u + (j - from) : w->near;
		a->kernel->sketch(&b->query, s.block, n_block, to);
		if (!is_straight)
			memcpy(u + (j - from), to + s.i_first, s.n * sizeof *u);
		if (a->query[b->i].bonus)
			for (size_t k = 0; k < s.n; k++)
				u[j - from + k] += b->add[s.cluster[k] < a->pool.n_cluster ? s.cluster[k] : 0];
	}
	/* a bound that is no number would be waited for without end */
	int is_possible = 1;
	for (size_t k = 0; k < end - from; k++)
		is_possible &= fabsf(u[k]) < 1e30f;
	if (!is_possible)
		attend_rows_are_impossible(a, w, tile, tile);
	a->most[b->i * a->n_tile + tile] = a->kernel->largest(u, end - from);
}

/* Rows [first, last) of those that a tile has read: weights, sums and z. The best rows weigh what their logits in double say. */
static int
blend_rows(struct attend *a, size_t tile, size_t first, size_t last, struct worker *w, double sum[2])
{
	struct bound *b = a->bound;
	const struct settled *at = &a->settled[b->i];
	size_t from = tile * TILE_ROWS, end = attend_tile_end(a, tile);
	size_t top = attend_first_from(at->in_order, at->n_in_order, from), n_left = last;
	float *weight = b->weight + from, *part = w->part + b->i * a->n_pad;
	const struct kernel_pass p = attend_pass_of(a, b->i);
	struct attend_span s;

	memcpy(weight + first, b->score + from + first, (last - first) * sizeof *weight);
	for (size_t t = top; t < at->n_in_order && at->in_order[t].row < end; t++)
		for (size_t k = first; k < last; k++)
			if (b->row[from + k] == at->in_order[t].row - from)
				weight[k] = -FLT_MAX;
	a->kernel->weigh(&p, weight + first, a->query[b->i].bonus ? b->row_add + from + first : NULL, last - first, weight + first,
	    NULL, sum);
	if (!attend_sum_is_possible(sum))
		return attend_rows_are_impossible(a, w, tile, tile);
	total_add(&w->total[b->i], sum);
	for (size_t t = top; t < at->n_in_order && at->in_order[t].row < end; t++)
		for (size_t k = first; k < last; k++)
			if (b->row[from + k] == at->in_order[t].row - from)
				weight[k] = attend_weight_of(&a->settled[b->i], at->in_order[t].logit);
	memset(part, 0, a->n_pad * sizeof *part);
	for (size_t j = from; j < end && n_left > first; j += s.n) {
		size_t n_here = 0;
		if (attend_span_of(a, j, end - j, w, tile, &s) < 0)
			return -1;
		for (size_t k = first; k < last; k++)
			if (b->row[from + k] >= j - from && b->row[from + k] < j - from + s.n) {
				w->some[n_here] = (uint32_t)(b->row[from + k] - (j - from));
				w->near[n_here++] = weight[k];
			}
		a->kernel->blend_some(s.type, s.x, s.scale, w->some, n_here, a->pool.dim, w->near, part, NULL);
		n_left -= n_here;
	}
	if (!attend_z_is_possible(part, a->pool.dim))
		return attend_rows_are_impossible(a, w, tile, tile);
	total_add_z(w->total[b->i].z, part, a->pool.dim);
	return 0;
}

/* What the unread rows of a tile weigh together, by their bounds. */
static double
unread(const struct attend *a, size_t tile)
{
	const struct kernel_pass p = attend_pass_of(a, a->bound->i);

	return a->kernel->weigh_over(&p, attend_weights(a, a->bound->i, tile), attend_tile_end(a, tile) - tile * TILE_ROWS);
}

/* Rows read from first on were unread and are known now. */
static void
move_rows(struct attend *a, size_t tile, size_t first, struct worker *w)
{
	struct bound *b = a->bound;
	double sum[2];

	b->unread[tile] = unread(a, tile);
	if (blend_rows(a, tile, first, b->n[tile], w, sum) == 0)
		b->known[tile] += sum[0];
}

static void
blend_tile(void *arg, size_t tile, size_t worker)
{
	struct attend *a = arg;
	struct bound *b = a->bound;
	double sum[2];

	if (b->n_late[tile] > 0)
		blend_rows(a, tile, 0, b->n_late[tile], &a->worker[worker], sum);
}

enum { AHEAD = 12 };            /* rows that memory is asked for before their turn */

/* Row i of a span, if it has that. */
static void
ask_row(const struct attend *a, const struct attend_span *s, size_t i)
{
	size_t row_bytes = a->pool.dim * attend_type_size(s->type);

	for (size_t line = 0; i < s->n && line < row_bytes; line += 64)
		__builtin_prefetch((const char *)s->x + i * row_bytes + line);
}

/* Rows of a tile with a bound from b->from on are scored. */
static void
read_tile(void *arg, size_t tile, size_t worker)
{
	struct attend *a = arg;
	struct bound *b = a->bound;
	struct worker *w = &a->worker[worker];
	const struct attend_query *query = &a->query[b->i];
	size_t from = tile * TILE_ROWS, end = attend_tile_end(a, tile);
	float *u = attend_weights(a, b->i, tile), *most = &a->most[b->i * a->n_tile + tile];
	struct attend_span s = { .n = 0 };

	if (*most < b->from)
		return;
	size_t n_some = a->kernel->list(u, end - from, b->from, w->some, w->near);
	if (n_some == 0)
		return;
	size_t at = from, *n = &b->n[tile], n_before = *n;
	if (attend_span_of(a, at, end - at, w, tile, &s) < 0)
		return;
	for (size_t k = 0; k < n_some && k < AHEAD; k++)
		ask_row(a, &s, w->some[k]);
	for (size_t k = 0; k < n_some; k++) {
		size_t row = from + w->some[k];
		while (row >= at + s.n) {
			at += s.n;
			if (attend_span_of(a, at, end - at, w, tile, &s) < 0)
				return;
		}
		size_t row_bytes = a->pool.dim * attend_type_size(s.type), i = row - at;
		const char *x = (const char *)s.x + i * row_bytes;
		if (k + AHEAD < n_some)
			ask_row(a, &s, from + w->some[k + AHEAD] - at);
		b->row[from + *n] = w->some[k];
		a->kernel->scores(s.type, x, s.scale ? s.scale + i : NULL, 1, a->pool.dim, a->q + b->i * a->n_pad, 1,
		    &b->score[from + *n], 0);
		if (query->bonus)
			b->row_add[from + *n] = attend_bonus_of(&a->set, query, a->pool.n_cluster, s.cluster[i]);
		u[w->some[k]] = -FLT_MAX;
		++*n;
	}
	*most = a->kernel->largest(u, end - from);
	if (!b->is_settled)
		b->n_late[tile] = *n;
	else if (*n > n_before)
		move_rows(a, tile, n_before, w);
}

/* Sums over what is unread, by its bounds, and over what is read; and how many rows lie how far below the best. */
static void
weigh_tile(void *arg, size_t tile, size_t worker)
{
	struct attend *a = arg;
	struct bound *b = a->bound;
	struct worker *w = &a->worker[worker];
	const struct settled *at = &a->settled[b->i];
	size_t from = tile * TILE_ROWS, n = attend_tile_end(a, tile) - from;
	const float *u = attend_weights(a, b->i, tile);
	const struct kernel_pass p = attend_pass_of(a, b->i);
	double sum[2] = {0};

	for (size_t j = tile % SAMPLE; j < n; j += SAMPLE) {
		double l = (at->best - a->set.beta * u[j]) * p.t * PER_NAT;
		b->count[worker][l < 0 ? 0 : l < N_BIN - 1 ? (size_t)l : N_BIN - 1] += u[j] > -FLT_MAX;
	}
	b->unread[tile] = unread(a, tile);
	if (b->n[tile] > 0)
		a->kernel->weigh(&p, b->score + from, a->query[b->i].bonus ? b->row_add + from : NULL, b->n[tile], w->near, NULL, sum);
	b->known[tile] = sum[0];
}

static int
by_size(const void *s, const void *t)
{
	float a = *(const float *)s, b = *(const float *)t;

	return a > b ? -1 : a < b;
}

/* A bound that at least n_wanted rows reach: as many tiles have one that does. */
static float
first_step(const struct attend *a, size_t i, size_t n_wanted)
{
	float *most = xmalloc(a->n_tile, sizeof *most), from;

	memcpy(most, a->most + i * a->n_tile, a->n_tile * sizeof *most);
	qsort(most, a->n_tile, sizeof *most, by_size);
	from = most[n_wanted < a->n_tile ? n_wanted : a->n_tile - 1];
	free(most);
	return from;
}

static int
read_rows(struct attend *a, float from, struct attend_heap *heap, struct fault *f)
{
	struct bound *b = a->bound;
	const struct attend_query *query = &a->query[b->i];

	b->from = fmaxf(from, nextafterf(-FLT_MAX, 0));         /* what was read stands at -FLT_MAX */
	thread_for(a->set.n_thread, a->n_tile, read_tile, a);
	if (attend_first_fault(a, f) < 0)
		return -1;
	for (size_t tile = 0; tile < a->n_tile; tile++)
		for (; b->n_seen[tile] < b->n[tile]; b->n_seen[tile]++) {
			size_t k = tile * TILE_ROWS + b->n_seen[tile];
			double bonus = query->bonus ? b->row_add[k] : 0, logit = a->set.beta * b->score[k] + bonus;
			if (heap->n < heap->n_max || logit >= heap->least)
				attend_heap_consider(heap, tile * TILE_ROWS + b->row[k], logit, bonus);
		}
	return 0;
}

/* What tells whether to stop: sums at the T of the moment, and rows by how far they are below. */
struct sums {
	double unread, known;
	float highest;          /* bound of an unread row */
	double count[N_BIN];    /* unread rows, estimated */
};

/* At a T that was there before, sums have gone along with what was read since; at another, all begins anew. */
static void
add_up(struct attend *a, int is_new, struct sums *s)
{
	struct bound *b = a->bound;

	if (is_new) {
		attend_total_none(a, b->i);
		memcpy(b->n_late, b->n, a->n_tile * sizeof *b->n);
		memset(b->count, 0, a->set.n_thread * sizeof *b->count);
		thread_for(a->set.n_thread, a->n_tile, weigh_tile, a);
	}
	*s = (struct sums){ .highest = -FLT_MAX, .unread = (double)a->pool.n_row * exp(LOGIT_FLOOR) };
	for (size_t tile = 0; tile < a->n_tile; tile++) {
		s->unread += b->unread[tile];
		s->known += b->known[tile];
		s->highest = fmaxf(s->highest, a->most[b->i * a->n_tile + tile]);
	}
	s->unread *= 1 + 1e-5;  /* the rows' weights would be floats, of logits that are floats */
	for (size_t t = 0; t < a->set.n_thread; t++)
		for (size_t k = 0; k < N_BIN; k++)
			s->count[k] += SAMPLE * (double)b->count[t][k];
}

/* The bound from which on rows must be read so that the rest weighs about half of what it may; *n: how many these are. */
static float
next_step(const struct attend *a, const struct sums *s, double allowed, double *n)
{
	const struct settled *at = &a->settled[a->bound->i];
	double rest = 0;
	size_t k = N_BIN;

	for (; k > 0; k--) {
		rest += s->count[k - 1] * exp(-(double)(k - 1) / PER_NAT);
		if (rest > .5 * allowed)
			break;
	}
	*n = 0;
	for (size_t i = 0; i < k; i++)
		*n += s->count[i];
	return (float)((at->best - (double)k / PER_NAT * at->temperature) / a->set.beta);
}

static double
n_above(const struct attend *a, const struct sums *s, float from)
{
	const struct settled *at = &a->settled[a->bound->i];
	double k = (at->best - a->set.beta * from) / at->temperature * PER_NAT, n = 0;

	for (size_t i = 0; i < N_BIN && (double)i <= k; i++)
		n += s->count[i];
	return n;
}

/* The rows that were read, for draws and single weights. */
static void
keep_rows(struct attend *a, size_t i, double certificate)
{
	struct bound *b = a->bound;
	struct sparse *s = &a->sparse[i];
	size_t n = 0;

	for (size_t tile = 0; tile < a->n_tile; tile++)
		n += b->n[tile];
	s->row = xgrow(s->row, &s->n_cap, n, sizeof *s->row);
	s->weight = xgrow(s->weight, &s->n_cap_weight, n, sizeof *s->weight);
	s->n = 0;
	for (size_t tile = 0; tile < a->n_tile; tile++)
		for (size_t k = 0; k < b->n[tile]; k++) {
			s->row[s->n] = tile * TILE_ROWS + b->row[tile * TILE_ROWS + k];
			s->weight[s->n++] = b->weight[tile * TILE_ROWS + k];
		}
	s->certificate = certificate;
}

/* -- the best rows alone, which a pass over all wants to know beforehand -- */

enum { CHUNK = 32 };            /* rows that memory is asked for at once */

struct few {
	struct attend *a;
	size_t *row, n, n_cap, i;
	float *score;           /* [n] */
	double *bonus;          /* [n] */
};

/* A row as its sketch shows it, else as it is asked for. Who passes over all asks for each, and then for the best, and finds out if
   one is not sound. */
static int
glance(struct attend *a, size_t row, struct worker *w, size_t task, struct attend_span *out)
{
	struct attend_sketch s;

	if (sketch_of(a, row, 1, w, task, &s) < 0)
		return -1;
	if (!s.x)
		return attend_span_of(a, row, 1, w, task, out);
	*out = (struct attend_span){ s.type, s.x, s.scale, s.cluster, 1 };
	return 0;
}

static const float *
row_of(void *arg, size_t row)
{
	struct few *few = arg;
	struct attend *a = few->a;
	struct worker *w = &a->worker[0];
	struct attend_span s;

	if (glance(a, row, w, row / TILE_ROWS, &s) < 0)
		return NULL;
	const float *x = attend_widened(a, &s, w->row);
	for (size_t d = 0; s.type == ATTEND_I8 && d < a->pool.dim; d++)
		w->row[d] *= *s.scale;
	return x;
}

/* Rows with bounds in [from, until). */
static void
list_rows(struct few *w, float from, float until)
{
	struct attend *a = w->a;

	w->n = 0;
	for (size_t tile = 0; tile < a->n_tile; tile++) {
		size_t first = tile * TILE_ROWS, n = attend_tile_end(a, tile) - first;
		const float *u = attend_weights(a, w->i, tile);
		if (a->most[w->i * a->n_tile + tile] < from)
			continue;
		w->row = xgrow(w->row, &w->n_cap, w->n + n, sizeof *w->row);
		for (size_t j = 0; j < n; j++) {
			w->row[w->n] = first + j;
			w->n += u[j] >= from && u[j] < until;
		}
	}
}

static void
score_chunk(void *arg, size_t task, size_t worker)
{
	struct few *few = arg;
	struct attend *a = few->a;
	size_t first = task * CHUNK, n = few->n - first < CHUNK ? few->n - first : CHUNK;
	struct attend_span s[CHUNK];

	for (size_t k = 0; k < n; k++) {
		if (glance(a, few->row[first + k], &a->worker[worker], task, &s[k]) < 0)
			return;
		/* rows that are lent as copies share one place */
		for (size_t line = 0; a->pool.span && line < a->pool.dim * attend_type_size(s[k].type); line += 64)
			__builtin_prefetch((const char *)s[k].x + line);
	}
	for (size_t k = 0; k < n; k++) {
		size_t row = first + k;
		if (!a->pool.span && glance(a, few->row[row], &a->worker[worker], task, &s[k]) < 0)
			return;
		a->kernel->scores(s[k].type, s[k].x, s[k].scale, 1, a->pool.dim, a->q + few->i * a->n_pad, 1, &few->score[row], 0);
		few->bonus[row] = a->query[few->i].bonus ? attend_bonus_of(&a->set, &a->query[few->i], a->pool.n_cluster, s[k].cluster[0]) : 0;
	}
}

static int
score_few(struct few *w, struct attend_heap *heap, struct fault *f)
{
	struct attend *a = w->a;

	w->score = xrealloc(w->score, w->n, sizeof *w->score);
	w->bonus = xrealloc(w->bonus, w->n, sizeof *w->bonus);
	thread_for(a->set.n_thread, (w->n + CHUNK - 1) / CHUNK, score_chunk, w);
	if (attend_first_fault(a, f) < 0)
		return -1;
	for (size_t k = 0; k < w->n; k++) {
		double logit = a->set.beta * w->score[k] + w->bonus[k];
		if (heap->n < heap->n_max || logit >= heap->least)
			attend_heap_consider(heap, w->row[k], logit, w->bonus[k]);
	}
	return 0;
}

/* First rows of the highest bounds, enough to fill the heap; then all whose bounds reach its least. What is left lies below.
   Returns what attend_by_bound() does. */
static int
find_best(struct few *w, struct attend_heap *heap, struct fault *f)
{
	struct attend *a = w->a;
	float from = first_step(a, w->i, 4 * a->n_top), until = FLT_MAX, step = (float)(1 / a->set.beta);

	for (; heap->n < heap->n_max; until = from, from -= step, step *= 2) {
		list_rows(w, from, until);
		if (score_few(w, heap, f) < 0)
			return -1;
	}
	/* rows that are not sound may have left any least */
	for (from = (float)(heap->least / a->set.beta); from > -FLT_MAX && a->set.beta * from >= heap->least; from = nextafterf(from, -FLT_MAX))
		;
	if (from < until) {
		list_rows(w, from, until);
		if ((double)w->n > READ_MOST * (double)a->pool.n_row)
			return 2;
		if (score_few(w, heap, f) < 0)
			return -1;
	}
	return attend_settle_from(a, w->i, row_of, w, &a->worker[0]) < 0 ? attend_first_fault(a, f) : 0;
}

/* What fails here may do so for a row that is not sound: passes over all rows tell. */
static int
find_by_bound(struct attend *a, size_t i, struct attend_heap *heap, struct fault *f)
{
	struct few w = { .a = a, .i = i };
	int r = find_best(&w, heap, f);

	free(w.bonus);
	free(w.score);
	free(w.row);
	attend_fault_none(a);
	return r < 0 ? 2 : r;
}

static int
by_bound(struct attend *a, size_t i, struct attend_item *kept, struct attend_item *before_top, struct fault *f)
{
	struct attend_heap heap = { .item = a->top + i * a->n_top, .n_max = a->n_top };
	struct bound *b = a->bound;
	struct sums s;
	float last_from = FLT_MAX;

	b->is_settled = 0;
	if (a->query[i].bonus && !b->row_add)
		b->row_add = xmalloc(a->n_tile * TILE_ROWS, sizeof *b->row_add);
	aim_query(a, b, i);
	thread_for(a->set.n_thread, a->n_tile, bound_tile, a);
	if (attend_first_fault(a, f) < 0)
		return -1;
	if (a->set.epsilon <= 0)
		return find_by_bound(a, i, &heap, f);
	/* rows enough for the best ones to be among them, mostly */
	for (float from = first_step(a, i, 4 * a->n_top), step = (float)(1 / a->set.beta); heap.n < heap.n_max; from -= step, step *= 2)
		if (read_rows(a, from, &heap, f) < 0)
			return -1;
	for (int round = 0; round < 16; round++) {
		struct settled before = a->settled[i];
		double least = heap.least, allowed, n;
		/* put in order, the heap is none any more */
		memcpy(kept, heap.item, a->n_top * sizeof *kept);
		if (attend_settle_query(a, i, &a->worker[0]) < 0)
			return attend_first_fault(a, f);
		int is_new = !b->is_settled || before.best != a->settled[i].best || before.temperature != a->settled[i].temperature ||
		    memcmp(before_top, a->top + i * a->n_top, a->n_top * sizeof *before_top) != 0;
		memcpy(before_top, a->top + i * a->n_top, a->n_top * sizeof *before_top);
		add_up(a, is_new, &s);
		b->is_settled = 1;
		int top_is_known = least > a->set.beta * s.highest;
		allowed = a->set.epsilon < 1 ? a->set.epsilon / (1 - a->set.epsilon) * s.known * (1 - 1e-5) : INFINITY;
		if (top_is_known && s.unread <= allowed) {
			thread_for(a->set.n_thread, a->n_tile, blend_tile, a);
			if (attend_first_fault(a, f) < 0)
				return -1;
			keep_rows(a, i, s.unread / (s.unread + s.known * (1 - 1e-5)));
			return 1;
		}
		float from = next_step(a, &s, allowed, &n), of_top = (float)(least / a->set.beta - 1e-6);
		int is_too_much = n > READ_MOST * (double)a->pool.n_row;
		if (is_too_much && (top_is_known || n_above(a, &s, of_top) > READ_MOST * (double)a->pool.n_row))
			return top_is_known ? 0 : 2;
		memcpy(heap.item, kept, a->n_top * sizeof *kept);
		if (is_too_much || from >= s.highest)
			from = is_too_much || of_top < s.highest ? of_top : s.highest;
		if (!top_is_known && of_top < from)
			from = of_top;
		/* what is estimated from a part of the rows may fall short: then a whole nat further */
		if (from >= last_from)
			from = last_from - (float)(a->settled[i].temperature / a->set.beta);
		last_from = from;
		if (read_rows(a, from, &heap, f) < 0)
			return -1;
	}
	return 2;
}

int
attend_by_bound(struct attend *a, size_t i, struct fault *f)
{
	struct attend_item *kept = xcalloc(2 * a->n_top, sizeof *kept);

	if (!a->bound)
		a->bound = bound_new(a);
	int r = by_bound(a, i, kept, kept + a->n_top, f);
	if (r == 0 || r == 2)
		attend_total_none(a, i);        /* nothing of it is kept */
	free(kept);
	return r;
}
