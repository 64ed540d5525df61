#include "eval/world.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/thread.h"

static double
reward(const void *arg, size_t user, size_t step, uint32_t row)
{
	const struct eval_world *w = arg;

	if (w->is_graded)
		return w->chance(w, user, step, row);
	uint64_t at[] = { w->o.first_user + user, step - w->first[user], row };
	struct rng r = rng_at(w->o.seed, hash64(at, sizeof at, 1));

	return rng_uniform(&r) < w->chance(w, user, step, row);
}

struct rng
eval_world_rng(const struct eval_world_options *o, size_t user, uint64_t purpose)
{
	uint64_t at[] = { o->first_user + user, purpose };

	return rng_at(o->seed, hash64(at, sizeof at, 2));
}

void
eval_world_begin(struct eval_world *w, const struct eval_world_options *o)
{
	size_t n_step = o->n_user * o->n_round;

	*w = (struct eval_world){ .o = *o };
	w->first = xmalloc(o->n_user + 1, sizeof *w->first);
	for (size_t u = 0; u <= o->n_user; u++)
		w->first[u] = u * o->n_round;
	w->query = xmalloc(n_step, sizeof *w->query);
	for (size_t i = 0; i < n_step; i++)
		w->query[i] = (uint32_t)i;
	w->best = xcalloc(n_step, sizeof *w->best);
	w->single = xcalloc(o->n_user, sizeof *w->single);
	w->task = (struct eval_task){ .n_user = o->n_user, .n_step = n_step, .first = w->first, .query = w->query,
	    .reward = reward, .arg = w };
}

static void
judge_user(void *arg, size_t user, size_t worker)
{
	struct eval_world *w = arg;
	double *sum = xcalloc(w->space.n, sizeof *sum);

	(void)worker;
	for (size_t step = w->first[user]; step < w->first[user + 1]; step++)
		for (size_t i = 0; i < w->space.n; i++) {
			double p = w->chance(w, user, step, (uint32_t)i);
			sum[i] += p;
			if (p > w->best[step])
				w->best[step] = p;
		}
	for (size_t i = 0; i < w->space.n; i++)
		if (sum[i] / (double)w->o.n_round > w->single[user])
			w->single[user] = sum[i] / (double)w->o.n_round;
	free(sum);
}

void
eval_world_finish(struct eval_world *w)
{
	thread_for(w->o.n_thread, w->o.n_user, judge_user, w);
}

void
eval_world_close(struct eval_world *w)
{
	if (w->own)
		w->own_free(w->own);
	eval_space_close(&w->space);
	free(w->first);
	free(w->query);
	free(w->best);
	free(w->single);
	*w = (struct eval_world){0};
}
