/*
 * The research prototype's simulation, re-implemented: a small clustered pool, users with a taste, and needs around it
 *
 *   items    N_ITEM unit rows x_j in LATENT dimensions: unit(centre + ITEM_SPREAD e), N_CLUSTER centres unit, e ~ N(0, I)
 *   user     taste w = unit(centre + USER_SPREAD e) of a centre drawn
 *   round    need n = unit(w + NEED_SPREAD e)
 *   query    informative: unit(n + QUERY_SPREAD e); ambiguous: unit(n + AMBIGUOUS_SPREAD e); empty: unit(e)
 *   reward   (1 + n.x_j) / 2, a number in [0, 1]
 */
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "eval/world.h"
#include "mat/mat.h"

enum { N_ITEM = 30, LATENT = 4, N_CLUSTER = 5, TASTE, ROUND };
/* So that the one best item earns about 192 in 200 rounds, the nearest one 191 with informative queries and 130 with
   ambiguous ones, as in the prototype's reports. */
static const double ITEM_SPREAD = .3, USER_SPREAD = .2, NEED_SPREAD = .17, QUERY_SPREAD = .2, AMBIGUOUS_SPREAD = 2.2;

struct taste {
	float *need;                    /* [n_step][LATENT] */
	const float *x;                 /* [N_ITEM][LATENT], the space's */
};

static void
taste_free(void *own)
{
	struct taste *t = own;

	free(t->need);
	free(t);
}

/* to = unit(from + spread e); from NULL: unit(e) */
static void
around(struct rng *r, const float *from, double spread, float *to)
{
	for (size_t d = 0; d < LATENT; d++)
		to[d] = (float)((from ? (double)from[d] : 0) + spread * rng_normal(r));
	mat_normalise(to, LATENT);
}

static double
chance(const struct eval_world *w, size_t user, size_t step, uint32_t row)
{
	const struct taste *t = w->own;

	(void)user;
	return (1 + mat_dot64(t->need + step * LATENT, t->x + row * LATENT, LATENT)) / 2;
}

void
eval_world_prototype(struct eval_world *w, const struct eval_world_options *o)
{
	struct taste *t = xcalloc(1, sizeof *t);
	struct rng r = rng_at(o->seed, hash64("items", 5, 0));
	float centre[N_CLUSTER][LATENT], taste[LATENT];
	float *x = xmalloc(N_ITEM * LATENT, sizeof *x);

	eval_world_begin(w, o);
	w->own = t;
	w->own_free = taste_free;
	w->chance = chance;
	w->is_graded = 1;
	for (size_t c = 0; c < N_CLUSTER; c++)
		around(&r, NULL, 1, centre[c]);
	for (size_t i = 0; i < N_ITEM; i++)
		around(&r, centre[i % N_CLUSTER], ITEM_SPREAD, x + i * LATENT);
	eval_space_of(&w->space, x, N_ITEM, LATENT);
	w->space.n_cluster = N_CLUSTER;
	for (size_t i = 0; i < N_ITEM; i++)
		w->space.cluster[i] = (uint32_t)(i % N_CLUSTER);
	t->x = w->space.x;
	t->need = xmalloc(w->task.n_step * LATENT, sizeof *t->need);
	float *query = xmalloc(w->task.n_step * LATENT, sizeof *query);
	for (size_t u = 0; u < o->n_user; u++) {
		struct rng of_taste = eval_world_rng(o, u, TASTE), of_round = eval_world_rng(o, u, ROUND);
		around(&of_taste, centre[rng_below(&of_taste, N_CLUSTER)], USER_SPREAD, taste);
		for (size_t step = w->first[u]; step < w->first[u + 1]; step++) {
			float *need = t->need + step * LATENT;
			around(&of_round, taste, NEED_SPREAD, need);
			around(&of_round, o->queries == EVAL_EMPTY ? NULL : need,
			    o->queries == EVAL_INFORMATIVE ? QUERY_SPREAD : AMBIGUOUS_SPREAD, query + step * LATENT);
		}
	}
	eval_space_ask(&w->space, query, w->task.n_step, o->n_thread, o->cosine_bytes);
	eval_world_finish(w);
}
