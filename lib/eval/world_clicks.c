/*
 * Clicks on real items: a user has two interests, which are tags, and clicks what has one of them
 *
 *   candidates  n_row rows drawn from those with a tag, at most three quarters of them
 *   interests   tags that begin with one of the prefixes, that share_min to share_max of the candidates have; cut in two
 *               halves by a draw
 *   sources     rows that queries are made of: those that are left, so that no query is a candidate, and an interest is a tag
 *               that at least one of those has; or with among the candidates themselves
 *   round       asks for one of the two interests, drawn
 *   reward      .9 if the row has the interest of the round, or with any either of the two, else .03 (reward, base)
 *   query       informative: a source y that has the interest of the round; ambiguous: unit(blend y + (1 - blend) z), z any
 *               source; empty: z
 *   drift       two other interests from the round after the middle on
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "eval/events.h"
#include "eval/world.h"
#include "mat/mat.h"

enum { INTERESTS = 2, USER, QUERY };

struct clicks {
	struct names tag;          /* all that have a prefix */
	size_t n_used;                  /* tags that are interests of this run's users */
	uint32_t *used;                 /* [n_used] */
	/* tags of candidates and of what is left, those of row i from tag_first[i] on */
	size_t *tag_first;              /* [n_tagged + 1] */
	uint32_t *tags;
	size_t n_candidate, n_tagged;   /* candidates first */
	size_t *row;                    /* [n_tagged], of the pool */
	uint32_t *interest;             /* [n_user][2][INTERESTS], before and after a drift */
	uint32_t *wanted;               /* [n_step], the interest of a round */
	size_t source_from, source_to;  /* sources are rows from the one to before the other */
	size_t *source_first;           /* [tag.n + 1], sources by tag */
	uint32_t *source;               /* numbers below n_tagged */
};

static void
clicks_free(void *own)
{
	struct clicks *c = own;

	names_free(&c->tag);
	free(c->used);
	free(c->tag_first);
	free(c->tags);
	free(c->row);
	free(c->interest);
	free(c->wanted);
	free(c->source_first);
	free(c->source);
	free(c);
}

static int
has_tag(const struct clicks *c, size_t i, uint32_t tag)
{
	for (size_t k = c->tag_first[i]; k < c->tag_first[i + 1]; k++)
		if (c->tags[k] == tag)
			return 1;
	return 0;
}

static const uint32_t *
interests(const struct eval_world *w, size_t user, size_t step)
{
	const struct clicks *c = w->own;
	int later = w->o.drift && 2 * (step - w->first[user]) >= w->o.n_round;

	return c->interest + (2 * user + (size_t)later) * INTERESTS;
}

static double
chance(const struct eval_world *w, size_t user, size_t step, uint32_t row)
{
	const struct clicks *c = w->own;
	const uint32_t *wanted = w->o.any ? interests(w, user, step) : &c->wanted[step];

	for (size_t i = 0; i < (w->o.any ? INTERESTS : 1); i++)
		if (has_tag(c, row, wanted[i]))
			return w->o.reward;
	return w->o.base;
}

static int
has_prefix(struct span tag, const char *prefixes)
{
	for (const char *at = prefixes; ; ) {
		size_t n = strcspn(at, ",");
		if (n > 0 && tag.n > n && memcmp(tag.at, at, n) == 0)
			return 1;
		if (!at[n])
			return 0;
		at += n + 1;
	}
}

static int
next_tag(struct span *rest, struct span *tag)
{
	while (rest->n && *rest->at == ' ') {
		rest->at++;
		rest->n--;
	}
	const char *end = rest->n ? memchr(rest->at, ' ', rest->n) : NULL;
	*tag = (struct span){ rest->at, end ? (size_t)(end - rest->at) : rest->n };
	rest->at += tag->n;
	rest->n -= tag->n;
	return tag->n > 0;
}

/* Rows with a tag in an order drawn by the seed, and their tags that have a prefix. */
static int
read_tags(struct clicks *c, const struct eval_world_options *o, struct pool *pool, struct fault *f)
{
	size_t column = pool_column(pool, "tags"), n_tags = 0, n_tags_max = 0;
	struct rng r = rng_at(o->seed, hash64("rows", 4, 0));

	if (column == SIZE_MAX)
		return fault(f, EX_DATAERR, "the pool keeps no column \"tags\": hare-pool build it from records that have one");
	c->row = xmalloc(pool_n(pool), sizeof *c->row);
	for (size_t i = 0; i < pool_n(pool); i++) {
		if (pool_check_row(pool, i, f) < 0)
			return -1;
		struct span text = pool_text(pool, i, column), tag;
		if (next_tag(&text, &tag))
			c->row[c->n_tagged++] = i;
	}
	for (size_t i = 0; i < c->n_tagged; i++) {
		size_t j = i + rng_below(&r, c->n_tagged - i), kept = c->row[i];
		c->row[i] = c->row[j];
		c->row[j] = kept;
	}
	c->n_candidate = o->n_row < c->n_tagged * 3 / 4 ? o->n_row : c->n_tagged * 3 / 4;
	c->tag_first = xcalloc(c->n_tagged + 1, sizeof *c->tag_first);
	for (size_t i = 0; i < c->n_tagged; i++) {
		struct span text = pool_text(pool, c->row[i], column), tag;
		while (next_tag(&text, &tag))
			if (has_prefix(tag, o->prefixes)) {
				c->tags = xgrow(c->tags, &n_tags_max, n_tags + 1, sizeof *c->tags);
				c->tags[n_tags++] = (uint32_t)names_add(&c->tag, tag);
			}
		c->tag_first[i + 1] = n_tags;
	}
	return 0;
}

/* Which tags are interests, and sources by tag. */
static int
find_interests(struct clicks *c, const struct eval_world_options *o, size_t *n_interest, struct fault *f)
{
	size_t *n_in = xcalloc(c->tag.n, sizeof *n_in), n_all = 0;
	uint32_t *all = xmalloc(c->tag.n, sizeof *all);
	struct rng r = rng_at(o->seed, hash64("halves", 6, 0));

	for (size_t k = 0; k < c->tag_first[c->n_candidate]; k++)
		n_in[c->tags[k]]++;
	c->source_first = xcalloc(c->tag.n + 2, sizeof *c->source_first);
	c->source_from = o->among ? 0 : c->n_candidate;
	c->source_to = o->among ? c->n_candidate : c->n_tagged;
	for (size_t k = c->tag_first[c->source_from]; k < c->tag_first[c->source_to]; k++)
		c->source_first[c->tags[k] + 2]++;
	for (size_t t = 0; t < c->tag.n; t++)
		if ((double)n_in[t] >= o->share_min * (double)c->n_candidate &&
		    (double)n_in[t] <= o->share_max * (double)c->n_candidate && c->source_first[t + 2] > 0)
			all[n_all++] = (uint32_t)t;
	for (size_t t = 0; t < c->tag.n; t++)
		c->source_first[t + 2] += c->source_first[t + 1];
	c->source = xmalloc(c->source_first[c->tag.n + 1], sizeof *c->source);
	for (size_t i = c->source_from; i < c->source_to; i++)
		for (size_t k = c->tag_first[i]; k < c->tag_first[i + 1]; k++)
			c->source[c->source_first[c->tags[k] + 1]++] = (uint32_t)i;
	for (size_t i = 0; i < n_all; i++) {
		size_t j = i + rng_below(&r, n_all - i);
		uint32_t kept = all[i];
		all[i] = all[j];
		all[j] = kept;
	}
	size_t from = o->half == 2 ? n_all / 2 : 0, to = o->half == 1 ? n_all / 2 : n_all;
	c->n_used = to - from;
	c->used = xmalloc(c->n_used, sizeof *c->used);
	memcpy(c->used, all + from, c->n_used * sizeof *c->used);
	*n_interest = n_all;
	free(all);
	free(n_in);
	if (c->n_used < (o->drift ? 2 : 1) * INTERESTS)
		return fault(f, EX_DATAERR, "%zu tags are interests (--interests %s): expected at least %d for a user", c->n_used,
		    o->prefixes, (o->drift ? 2 : 1) * INTERESTS);
	return 0;
}

static void
draw_users(struct clicks *c, const struct eval_world_options *o)
{
	c->interest = xmalloc(o->n_user * 2 * INTERESTS, sizeof *c->interest);
	for (size_t u = 0; u < o->n_user; u++) {
		struct rng r = eval_world_rng(o, u, USER);
		uint32_t *to = c->interest + u * 2 * INTERESTS;
		size_t n = (o->drift ? 2 : 1) * INTERESTS;
		for (size_t i = 0; i < n; ) {
			size_t j = 0;
			to[i] = c->used[rng_below(&r, c->n_used)];
			while (to[j] != to[i])
				j++;
			i += j == i;
		}
	}
}

static int
draw_query(const struct eval_world *w, struct pool *pool, size_t user, size_t step, struct rng *r, float *x, float *scratch,
    struct fault *f)
{
	struct clicks *c = w->own;
	size_t dim = w->space.dim;

	c->wanted[step] = interests(w, user, step)[rng_below(r, INTERESTS)];
	uint32_t tag = c->wanted[step];
	size_t n_source = c->source_first[tag + 1] - c->source_first[tag];
	size_t wanted = c->source[c->source_first[tag] + rng_below(r, n_source)];
	size_t other = c->source_from + rng_below(r, c->source_to - c->source_from);
	double share = w->o.queries == EVAL_INFORMATIVE ? 1 : w->o.queries == EVAL_EMPTY ? 0 : w->o.blend;
	const float *y, *z;

	if (!(y = pool_rows(pool, c->row[wanted], 1, scratch, f)) || !(z = pool_rows(pool, c->row[other], 1, scratch + dim, f)))
		return -1;
	for (size_t d = 0; d < dim; d++)
		x[d] = (float)(share * (double)y[d] + (1 - share) * (double)z[d]);
	mat_normalise(x, dim);
	return 0;
}

int
eval_world_clicks(struct eval_world *w, const struct eval_world_options *o, const struct model *m, struct pool *pool,
    struct fault *f)
{
	struct clicks *c = xcalloc(1, sizeof *c);
	int status;

	eval_world_begin(w, o);
	w->own = c;
	w->own_free = clicks_free;
	w->chance = chance;
	if (read_tags(c, o, pool, f) < 0 || find_interests(c, o, &w->n_interest, f) < 0 ||
	    eval_space_open(&w->space, m, pool, c->row, c->n_candidate, f) < 0)
		return -1;
	w->row = c->row;
	draw_users(c, o);
	c->wanted = xcalloc(w->task.n_step, sizeof *c->wanted);
	size_t dim = w->space.dim;
	float *query = xmalloc(w->task.n_step * dim, sizeof *query), *scratch = xmalloc(2 * dim, sizeof *scratch);
	status = 0;
	for (size_t u = 0; u < o->n_user && status == 0; u++) {
		struct rng r = eval_world_rng(o, u, QUERY);
		for (size_t step = w->first[u]; step < w->first[u + 1] && status == 0; step++)
			status = draw_query(w, pool, u, step, &r, query + step * dim, scratch, f);
	}
	free(scratch);
	eval_space_ask(&w->space, query, w->task.n_step, o->n_thread, o->cosine_bytes);
	eval_world_finish(w);
	return status;
}
