/* Systems without a belief: chance, the nearest, what was relevant before, and a query that moves. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "eval/system.h"
#include "mat/mat.h"

struct simple {
	const struct eval_space *space;
	const double *value;
	uint64_t seed, user;
	float *score;                   /* [n] */
	uint32_t *hit;                  /* memory: rows that were relevant */
	size_t n_hit, n_hit_max;
	double *good, *bad;             /* rocchio: [dim], sums of rows shown */
	size_t n_good, n_bad;
	float *moved;                   /* [dim] */
};

static void *
simple_create(const void *arg, const struct eval_space *space, const double *value, uint64_t seed, uint64_t user)
{
	struct simple *s = xcalloc(1, sizeof *s);

	(void)arg;
	*s = (struct simple){ .space = space, .value = value, .seed = seed, .user = user };
	s->score = xmalloc(space->n, sizeof *s->score);
	s->good = xcalloc(space->dim, sizeof *s->good);
	s->bad = xcalloc(space->dim, sizeof *s->bad);
	s->moved = xmalloc(space->dim, sizeof *s->moved);
	return s;
}

static void
simple_free(void *user)
{
	struct simple *s = user;

	free(s->score);
	free(s->hit);
	free(s->good);
	free(s->bad);
	free(s->moved);
	free(s);
}

/* -- random: a uniform draw of n rows -- */

static int
random_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct simple *s = user;
	struct rng r = rng_at(s->seed ^ s->user * 0x9E3779B97F4A7C15u, ask->draw);

	(void)f;
	for (size_t i = 0; i < n; ) {
		size_t j = 0;
		row[i] = (uint32_t)rng_below(&r, s->space->n);
		while (row[j] != row[i])
			j++;
		i += j == i;
	}
	return 0;
}

const struct eval_system eval_random = { .name = "random", .title = "chance", .create = simple_create, .free = simple_free,
    .rank = random_rank };

/* -- cosine: the nearest to the query, whoever asks -- */

static int
cosine_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct simple *s = user;

	(void)f;
	eval_top(ask->cosine, s->space->n, n, row);
	return 0;
}

const struct eval_system eval_cosine = { .name = "cosine", .title = "RAG: nearest to the query", .create = simple_create,
    .free = simple_free, .rank = cosine_rank };

/* -- memory: rows that were relevant before, closest to the query first, on the first places; cosine on the rest -- */

enum { MEMORY_PLACES };
static const struct eval_knob memory_knob[] = {
	[MEMORY_PLACES] = { "places", "of those shown that memory may take", 5, { 1, 2, 3, 4, 5 }, 5 },
};

static int
memory_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct simple *s = user;
	size_t n_place = (size_t)s->value[MEMORY_PLACES], n_first = 0;

	(void)f;
	memcpy(s->score, ask->cosine, s->space->n * sizeof *s->score);
	for (size_t i = 0; i < s->n_hit; i++)
		s->score[s->hit[i]] += 8;       /* beyond every cosine */
	eval_top(s->score, s->space->n, n, row);
	while (n_first < n && s->score[row[n_first]] > 4)
		n_first++;
	if (n_first <= n_place)
		return 0;
	memcpy(s->score, ask->cosine, s->space->n * sizeof *s->score);
	for (size_t i = 0; i < n_place; i++)
		s->score[row[i]] = 16 - (float)i;
	eval_top(s->score, s->space->n, n, row);
	return 0;
}

static int
memory_learn(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f)
{
	struct simple *s = user;

	(void)ask;
	(void)f;
	for (size_t i = 0; i < n; i++) {
		size_t h = 0;
		if (reward[i] <= 0)
			continue;
		while (h < s->n_hit && s->hit[h] != row[i])
			h++;
		if (h < s->n_hit)
			continue;
		s->hit = xgrow(s->hit, &s->n_hit_max, s->n_hit + 1, sizeof *s->hit);
		s->hit[s->n_hit++] = row[i];
	}
	return 0;
}

const struct eval_system eval_memory = { .name = "memory", .title = "what was relevant before, then cosine",
    .knob = memory_knob, .n_knob = sizeof memory_knob / sizeof *memory_knob, .create = simple_create, .free = simple_free,
    .rank = memory_rank, .learn = memory_learn };

/* -- rocchio: the query moved to the mean of what was relevant, away from the mean of what was not -- */

enum { ROCCHIO_GOOD, ROCCHIO_BAD };
static const struct eval_knob rocchio_knob[] = {
	[ROCCHIO_GOOD] = { "towards", "weight of the mean of relevant rows", 2, { .25, .5, 1, 2, 4, 8 }, 6 },
	[ROCCHIO_BAD] = { "away", "weight of the mean of other rows shown", 1, { 0, .25, .5, 1, 2, 4 }, 6 },
};

static int
rocchio_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct simple *s = user;
	double good = s->n_good ? s->value[ROCCHIO_GOOD] / (double)s->n_good : 0;
	double bad = s->n_bad ? s->value[ROCCHIO_BAD] / (double)s->n_bad : 0;

	(void)f;
	for (size_t d = 0; d < s->space->dim; d++)
		s->moved[d] = (float)(good * s->good[d] - bad * s->bad[d]);
	mat_mul_vec(1, mat_of(s->space->x, s->space->n, s->space->dim), 0, s->moved, 0, s->score);
	for (size_t i = 0; i < s->space->n; i++)
		s->score[i] += ask->cosine[i];
	eval_top(s->score, s->space->n, n, row);
	return 0;
}

static int
rocchio_learn(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f)
{
	struct simple *s = user;

	(void)ask;
	(void)f;
	for (size_t i = 0; i < n; i++) {
		const float *x = s->space->x + row[i] * s->space->dim;
		double *sum = reward[i] > 0 ? s->good : s->bad;
		*(reward[i] > 0 ? &s->n_good : &s->n_bad) += 1;
		for (size_t d = 0; d < s->space->dim; d++)
			sum[d] += (double)x[d];
	}
	return 0;
}

const struct eval_system eval_rocchio = { .name = "rocchio", .title = "the query moved by what was shown",
    .knob = rocchio_knob, .n_knob = sizeof rocchio_knob / sizeof *rocchio_knob, .create = simple_create, .free = simple_free,
    .rank = rocchio_rank, .learn = rocchio_learn };
