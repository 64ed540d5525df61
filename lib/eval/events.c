#include "eval/events.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/rng.h"
#include "mat/mat.h"
#include "record/record.h"

enum { BATCH = 1024 };

/* Calls row() for each row of a file. */
static int
each_row(const char *path, int (*open)(void *arg, struct record_in *in, struct fault *f),
    int (*row)(void *arg, struct record_in *in, size_t i, struct fault *f), void *arg, struct fault *f)
{
	char *name[] = { (char *)path };
	struct record_in *in = record_open(1, name, f);
	ptrdiff_t n = -1;
	int status = in ? open(arg, in, f) : -1;

	while (status == 0 && (n = record_batch(in, BATCH, f)) > 0)
		for (size_t i = 0; status == 0 && i < (size_t)n; i++)
			status = row(arg, in, i, f);
	record_close(in);
	return status < 0 || n < 0 ? -1 : 0;
}

static int
find_item(struct pool *pool, const struct record_in *in, size_t i, int column, size_t *row, struct fault *f)
{
	struct span id = record_cell(in, i, column);
	int found = pool_lookup(pool, id, row, f);

	if (found == 0)
		return record_fault(in, i, column, f, "expected an item of the pool, got \"%s\"", fault_quote(id.at, id.n));
	return found < 0 ? -1 : 0;
}

static int
find_event(const struct eval_events *e, const struct record_in *in, size_t i, int column, size_t *event, struct fault *f)
{
	struct span id = record_cell(in, i, column);

	*event = names_find(&e->event, id);
	if (*event == SIZE_MAX)
		return record_fault(in, i, column, f, "no such event: \"%s\"", fault_quote(id.at, id.n));
	return 0;
}

/* -- candidates -- */

struct reading_items {
	struct eval_items *items;
	struct pool *pool;
	int column;
	size_t n_max;
};

static int
open_items(void *arg, struct record_in *in, struct fault *f)
{
	struct reading_items *r = arg;

	return (r->column = record_need_name(in, "item", f)) < 0 ? -1 : 0;
}

static int
row_of_items(void *arg, struct record_in *in, size_t i, struct fault *f)
{
	struct reading_items *r = arg;
	struct eval_items *t = r->items;
	size_t row;

	if (find_item(r->pool, in, i, r->column, &row, f) < 0)
		return -1;
	if (t->of_row[row])
		return 0;
	t->row = xgrow(t->row, &r->n_max, t->n + 1, sizeof *t->row);
	t->row[t->n++] = row;
	t->of_row[row] = (uint32_t)t->n;
	return 0;
}

int
eval_items_read(struct eval_items *items, const char *path, struct pool *pool, struct fault *f)
{
	struct reading_items r = { .items = items, .pool = pool };

	*items = (struct eval_items){ .of_row = xcalloc(pool_n(pool), sizeof *items->of_row) };
	if (path) {
		if (each_row(path, open_items, row_of_items, &r, f) < 0)
			return -1;
	} else {
		items->n = pool_n(pool);
		items->row = xmalloc(items->n, sizeof *items->row);
		for (size_t i = 0; i < items->n; i++) {
			items->row[i] = i;
			items->of_row[i] = (uint32_t)i + 1;
		}
	}
	if (items->n == 0)
		return fault(f, EX_DATAERR, "%s: no candidates", path ? path : "the pool");
	return 0;
}

void
eval_items_free(struct eval_items *items)
{
	free(items->row);
	free(items->of_row);
	*items = (struct eval_items){0};
}

/* -- queries -- */

static int
query_number(struct eval_queries *q, const struct record_in *in, size_t i, int column, int is_vector, uint32_t *number,
    struct fault *f)
{
	size_t n_before = q->text.n, at = names_add(&q->text, record_cell(in, i, column));

	*number = (uint32_t)at;
	if (at < n_before)
		return 0;
	q->x = xgrow(q->x, &q->n_x_max, q->text.n * q->dim, sizeof *q->x);
	float *x = q->x + at * q->dim;
	if (is_vector) {
		if (record_vector(in, i, column, x, q->dim, f) < 0)
			return -1;
		if (mat_norm(x, q->dim) > 1e12)
			return record_fault(in, i, column, f, "expected a vector of about unit length");
		return 0;
	}
	if (!q->scratch)
		q->scratch = embed_scratch_new(q->embed);
	struct span text = record_cell(in, i, column);
	embed_text(q->embed, q->scratch, text.at, text.n, x);
	return 0;
}

void
eval_queries_free(struct eval_queries *q)
{
	embed_scratch_free(q->scratch);
	names_free(&q->text);
	free(q->x);
	*q = (struct eval_queries){0};
}

/* -- events -- */

struct reading_events {
	struct eval_events *e;
	struct eval_queries *queries;
	struct pool *pool;
	const struct eval_items *items;
	int event_column, user_column, query_column, item_column, is_vector;
	size_t n_user_of_max, n_query_max, n_pair, n_pair_max;
	struct pair { uint32_t event, item; } *pair;
};

static int
open_events(void *arg, struct record_in *in, struct fault *f)
{
	struct reading_events *r = arg;

	if ((r->event_column = record_need_name(in, "event", f)) < 0 || (r->user_column = record_need(in, "user", f)) < 0)
		return -1;
	r->is_vector = (r->query_column = record_find(in, "x")) >= 0;
	if (!r->is_vector && embed_is_remote(r->queries->embed))
		return fault(f, EX_DATAERR, "the MODEL's vectors come from a server: expected a column x, made by hare-embed");
	r->queries->is_vector |= r->is_vector;
	if (!r->is_vector)
		r->query_column = record_need(in, "query", f);
	return r->query_column < 0 ? -1 : 0;
}

static int
row_of_events(void *arg, struct record_in *in, size_t i, struct fault *f)
{
	struct reading_events *r = arg;
	struct eval_events *e = r->e;
	size_t n_before = e->event.n;
	struct span id = record_cell(in, i, r->event_column);

	if (names_add(&e->event, id) < n_before)
		return record_fault(in, i, r->event_column, f, "event \"%s\" was there before", fault_quote(id.at, id.n));
	e->user_of = xgrow(e->user_of, &r->n_user_of_max, e->event.n, sizeof *e->user_of);
	e->user_of[n_before] = names_add(&e->user, record_cell(in, i, r->user_column));
	e->query_of = xgrow(e->query_of, &r->n_query_max, e->event.n, sizeof *e->query_of);
	return query_number(r->queries, in, i, r->query_column, r->is_vector, &e->query_of[n_before], f);
}

static int
open_relevance(void *arg, struct record_in *in, struct fault *f)
{
	struct reading_events *r = arg;

	return (r->event_column = record_need_name(in, "event", f)) < 0 || (r->item_column = record_need_name(in, "item", f)) < 0
	    ? -1 : 0;
}

static int
row_of_relevance(void *arg, struct record_in *in, size_t i, struct fault *f)
{
	struct reading_events *r = arg;
	size_t event, row;

	if (find_event(r->e, in, i, r->event_column, &event, f) < 0 || find_item(r->pool, in, i, r->item_column, &row, f) < 0)
		return -1;
	if (!r->items->of_row[row])
		return 0;
	r->pair = xgrow(r->pair, &r->n_pair_max, r->n_pair + 1, sizeof *r->pair);
	r->pair[r->n_pair++] = (struct pair){ (uint32_t)event, r->items->of_row[row] - 1 };
	return 0;
}

static int
compare_pairs(const void *a, const void *b)
{
	const struct pair *p = a, *q = b;

	if (p->event != q->event)
		return p->event < q->event ? -1 : 1;
	return p->item < q->item ? -1 : p->item > q->item;
}

static double
reward_of(const void *arg, size_t user, size_t step, uint32_t row)
{
	const struct eval_events *e = arg;
	size_t event = e->event_of[step], low = e->rel_first[event], high = e->rel_first[event + 1];

	(void)user;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (e->rel[middle] == row)
			return 1;
		if (e->rel[middle] < row)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/* Steps: events by user, each user's in their order; relevant candidates by event. */
static void
arrange(struct eval_events *e, struct reading_events *r)
{
	size_t n = e->event.n, n_user = e->user.n;

	e->first = xcalloc(n_user + 2, sizeof *e->first);
	e->event_of = xmalloc(n, sizeof *e->event_of);
	e->query = xmalloc(n, sizeof *e->query);
	for (size_t i = 0; i < n; i++)
		e->first[e->user_of[i] + 2]++;
	for (size_t u = 0; u < n_user; u++)
		e->first[u + 2] += e->first[u + 1];
	for (size_t i = 0; i < n; i++) {
		size_t step = e->first[e->user_of[i] + 1]++;
		e->event_of[step] = i;
		e->query[step] = e->query_of[i];
	}
	if (r->n_pair)
		qsort(r->pair, r->n_pair, sizeof *r->pair, compare_pairs);
	e->rel_first = xcalloc(n + 1, sizeof *e->rel_first);
	e->rel = xmalloc(r->n_pair, sizeof *e->rel);
	for (size_t i = 0; i < r->n_pair; i++) {
		e->rel_first[r->pair[i].event + 1]++;
		e->rel[i] = r->pair[i].item;
	}
	for (size_t i = 0; i < n; i++)
		e->rel_first[i + 1] += e->rel_first[i];
	e->task = (struct eval_task){ .n_user = n_user, .n_step = n, .first = e->first, .query = e->query, .reward = reward_of,
	    .arg = e };
}

int
eval_events_read(struct eval_events *e, const char *events, const char *relevance, struct pool *pool,
    const struct eval_items *items, struct eval_queries *queries, struct fault *f)
{
	struct reading_events r = { .e = e, .queries = queries, .pool = pool, .items = items };

	*e = (struct eval_events){0};
	int status = each_row(events, open_events, row_of_events, &r, f);
	if (status == 0 && e->event.n == 0)
		status = fault(f, EX_DATAERR, "%s: no events", events);
	if (status == 0)
		status = each_row(relevance, open_relevance, row_of_relevance, &r, f);
	if (status == 0)
		arrange(e, &r);
	free(r.pair);
	return status;
}

void
eval_events_free(struct eval_events *e)
{
	names_free(&e->event);
	names_free(&e->user);
	free(e->first);
	free(e->event_of);
	free(e->query);
	free(e->user_of);
	free(e->query_of);
	free(e->rel_first);
	free(e->rel);
	*e = (struct eval_events){0};
}

/* -- queries moved by clicks -- */

struct reading_clicks {
	const struct eval_events *e;
	struct pool *pool;
	const struct eval_items *items;
	const struct eval_space *space;
	int event_column, item_column;
	double *sum;                    /* [n_query][dim] */
	size_t *n;                      /* [n_query] */
};

static int
open_clicks(void *arg, struct record_in *in, struct fault *f)
{
	struct reading_clicks *r = arg;

	return (r->event_column = record_need_name(in, "event", f)) < 0 || (r->item_column = record_need_name(in, "item", f)) < 0
	    ? -1 : 0;
}

static int
row_of_clicks(void *arg, struct record_in *in, size_t i, struct fault *f)
{
	struct reading_clicks *r = arg;
	size_t dim = r->space->dim, event, row;

	if (find_event(r->e, in, i, r->event_column, &event, f) < 0 || find_item(r->pool, in, i, r->item_column, &row, f) < 0)
		return -1;
	if (!r->items->of_row[row])
		return 0;
	const float *x = r->space->x + (r->items->of_row[row] - 1) * dim;
	r->n[r->e->query_of[event]]++;
	for (size_t d = 0; d < dim; d++)
		r->sum[r->e->query_of[event] * dim + d] += (double)x[d];
	return 0;
}

float *
eval_clicks_move(const struct eval_events *e, const char *path, struct pool *pool, const struct eval_items *items,
    const struct eval_space *space, double weight, struct fault *f)
{
	size_t dim = space->dim, n = space->n_query;
	struct reading_clicks r = { .e = e, .pool = pool, .items = items, .space = space, .sum = xcalloc(n * dim, sizeof *r.sum),
	    .n = xcalloc(n, sizeof *r.n) };
	int status = each_row(path, open_clicks, row_of_clicks, &r, f);
	float *moved = status < 0 ? NULL : xmalloc(n * dim, sizeof *moved);

	for (size_t q = 0; moved && q < n; q++) {
		float *to = moved + q * dim;
		memcpy(to, space->query + q * dim, dim * sizeof *to);
		if (r.n[q] == 0)
			continue;
		for (size_t d = 0; d < dim; d++)
			to[d] += (float)(weight * r.sum[q * dim + d] / (double)r.n[q]);
		mat_normalise(to, dim);
	}
	free(r.sum);
	free(r.n);
	return moved;
}

/* -- a sample of users -- */

struct sample {
	const struct eval_events *e;
	size_t *step;                   /* [n_step], the step of e */
};

static double
sample_reward(const void *arg, size_t user, size_t step, uint32_t row)
{
	const struct sample *s = arg;

	return reward_of(s->e, user, s->step[step], row);
}

struct eval_task
eval_events_sample(const struct eval_events *e, size_t n, uint64_t seed)
{
	size_t n_user = e->user.n < n ? e->user.n : n;
	size_t *user = xmalloc(e->user.n, sizeof *user), *first = xcalloc(n_user + 1, sizeof *first);
	struct rng r = rng_at(seed, hash64("sample", 6, 0));
	struct sample *s = xcalloc(1, sizeof *s);

	for (size_t i = 0; i < e->user.n; i++)
		user[i] = i;
	for (size_t i = 0; i < n_user; i++) {
		size_t j = i + rng_below(&r, e->user.n - i), kept = user[i];
		user[i] = user[j];
		user[j] = kept;
		first[i + 1] = first[i] + e->first[user[i] + 1] - e->first[user[i]];
	}
	size_t n_step = first[n_user];
	uint32_t *query = xmalloc(n_step, sizeof *query);
	s->e = e;
	s->step = xmalloc(n_step, sizeof *s->step);
	for (size_t i = 0; i < n_user; i++)
		for (size_t k = 0; k < first[i + 1] - first[i]; k++) {
			s->step[first[i] + k] = e->first[user[i]] + k;
			query[first[i] + k] = e->query[e->first[user[i]] + k];
		}
	free(user);
	return (struct eval_task){ .n_user = n_user, .n_step = n_step, .first = first, .query = query, .reward = sample_reward,
	    .arg = s };
}

void
eval_sample_free(struct eval_task *t)
{
	struct sample *s = (struct sample *)t->arg;

	if (s)
		free(s->step);
	free(s);
	free((void *)t->first);
	free((void *)t->query);
	*t = (struct eval_task){0};
}
