/*
 * An attention-based recommender: the user is attention over what was relevant to him before
 *
 *   user    h = sum_i a_i h_i, a = softmax(sharp x.h_i) over the relevant rows h_i of his history, each as often as it was
 *   score   s_j = x.x_j + g h.x_j;  A = softmax(beta s): no exploration, no uncertainty
 *   source  Zhou et al., Deep Interest Network (2018), with a softmax and without training: keys and values are the rows
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/system.h"
#include "mat/mat.h"

enum { GAIN, SHARP };

struct history {
	const struct eval_space *space;
	const double *value;
	uint32_t *hit;                  /* [n_hit] */
	size_t n_hit, n_hit_max, n_weight_max;
	float *weight;                  /* [n_hit] */
	float *h, *score;               /* [dim], [n] */
};

static const struct eval_knob knob[] = {
	[GAIN] = { "gain", "weight of the history beside the query", 1, { .25, .5, 1, 2, 4, 8 }, 6 },
	[SHARP] = { "sharp", "scale of the attention over the history", 32, { 0, 2, 4, 8, 16, 32, 64 }, 7 },
};

static void *
history_create(const void *arg, const struct eval_space *space, const double *value, uint64_t seed, uint64_t user)
{
	struct history *h = xcalloc(1, sizeof *h);

	(void)arg;
	(void)seed;
	(void)user;
	*h = (struct history){ .space = space, .value = value };
	h->h = xmalloc(space->dim, sizeof *h->h);
	h->score = xmalloc(space->n, sizeof *h->score);
	return h;
}

static void
history_free(void *user)
{
	struct history *h = user;

	free(h->hit);
	free(h->weight);
	free(h->h);
	free(h->score);
	free(h);
}

static void
score_all(struct history *h, const struct eval_ask *ask)
{
	size_t dim = h->space->dim;

	memcpy(h->score, ask->cosine, h->space->n * sizeof *h->score);
	if (h->n_hit == 0)
		return;
	for (size_t i = 0; i < h->n_hit; i++)
		h->weight[i] = (float)h->value[SHARP] * ask->cosine[h->hit[i]];
	mat_softmax(h->weight, h->n_hit);
	memset(h->h, 0, dim * sizeof *h->h);
	for (size_t i = 0; i < h->n_hit; i++) {
		const float *x = h->space->x + h->hit[i] * dim;
		for (size_t d = 0; d < dim; d++)
			h->h[d] += h->weight[i] * x[d];
	}
	mat_mul_vec((float)h->value[GAIN], mat_of(h->space->x, h->space->n, dim), 0, h->h, 1, h->score);
}

static int
history_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct history *h = user;

	(void)f;
	score_all(h, ask);
	eval_top(h->score, h->space->n, n, row);
	return 0;
}

static int
history_learn(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f)
{
	struct history *h = user;

	(void)ask;
	(void)f;
	for (size_t i = 0; i < n; i++)
		if (reward[i] > 0) {
			h->hit = xgrow(h->hit, &h->n_hit_max, h->n_hit + 1, sizeof *h->hit);
			h->hit[h->n_hit++] = row[i];
		}
	h->weight = xgrow(h->weight, &h->n_weight_max, h->n_hit, sizeof *h->weight);
	return 0;
}

static int
history_attend(void *user, const struct eval_ask *ask, float *weight, struct fault *f)
{
	struct history *h = user;

	(void)f;
	score_all(h, ask);
	for (size_t i = 0; i < h->space->n; i++)
		weight[i] = (float)h->space->beta * h->score[i];
	mat_softmax(weight, h->space->n);
	return 0;
}

const struct eval_system eval_history = { .name = "history", .title = "attention over the user's history", .knob = knob,
    .n_knob = sizeof knob / sizeof *knob, .create = history_create, .free = history_free, .rank = history_rank,
    .learn = history_learn, .attend = history_attend };
