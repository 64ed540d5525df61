#include "eval/generative.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/system.h"
#include "mat/mat.h"

enum { QUERIES, TEMPERATURE, OWN, SHARP, AGAIN, HISTORY };
enum { N_QUERY_MAX = 64, N_HISTORY_MAX = 1024 };

struct generative {
	const struct eval_space *space;
	const struct eval_decoder *decoder;
	size_t n_query, n_history;
	double temperature, own, sharp, again;
	uint64_t seed, user;
	uint32_t *hit;                  /* [n_hit] different rows that were relevant, the latest last */
	size_t n_hit, n_hit_max;
	const float **row;              /* [n_history] */
	struct span *title;             /* [n_history] */
	struct pairs_look *look;
	struct eval_prompt prompt;
	struct lm_run *run;
	struct lm_options *options;     /* [n_query] */
	struct lm_prompt *prompts;      /* [n_query] */
	struct lm_text *text;           /* [n_query] */
	struct embed_scratch *embed;
	struct buf words;
	float *q, *each;                /* [n_query][dim], [n_query][n] */
	float *score;                   /* [n] */
};

static const struct eval_knob knob[] = {
	[QUERIES] = { "queries", "that are written", 8, { 0 }, 0 },
	[TEMPERATURE] = { "temperature", "that they are drawn with; 0: those of as many beams", 1, { 0 }, 0 },
	[OWN] = { "own", "weight of the user's own query", .25, { 0, .25, .5, 1 }, 4 },
	[SHARP] = { "sharp", "0: the mean over queries, more: the best of them", 0, { 0, 2 }, 2 },
	[AGAIN] = { "again", "what an item has more that was relevant before", .2, { 0, .1, .2, .4 }, 4 },
	[HISTORY] = { "history", "latest relevant items that are known", 40, { 0 }, 0 },
};

static size_t
bounded(double value, size_t most)
{
	return !(value >= 0) ? 0 : value > (double)most ? most : (size_t)value;
}

static void *
generative_create(const void *arg, const struct eval_space *space, const double *value, uint64_t seed, uint64_t user)
{
	struct generative *g = xcalloc(1, sizeof *g);
	const struct eval_decoder *d = space->generator->decoder;

	(void)arg;
	*g = (struct generative){ .space = space, .decoder = d, .n_query = bounded(value[QUERIES], N_QUERY_MAX),
	    .n_history = bounded(value[HISTORY], N_HISTORY_MAX), .temperature = value[TEMPERATURE] > 0 ? value[TEMPERATURE] : 0,
	    .own = value[OWN], .sharp = value[SHARP], .again = value[AGAIN], .seed = seed, .user = user };
	g->row = xmalloc(g->n_history + 1, sizeof *g->row);
	g->title = xmalloc(g->n_history + 1, sizeof *g->title);
	g->look = pairs_look_new(d->model, g->n_history);
	g->run = eval_decoder_run(d, 2 * (g->n_query + 1));
	g->options = xmalloc(g->n_query + 1, sizeof *g->options);
	g->prompts = xmalloc(g->n_query + 1, sizeof *g->prompts);
	g->text = xmalloc(g->n_query + 1, sizeof *g->text);
	g->embed = embed_scratch_new(d->embed);
	g->q = xmalloc(g->n_query * space->dim + 1, sizeof *g->q);
	g->each = xmalloc(g->n_query * space->n + 1, sizeof *g->each);
	g->score = xmalloc(space->n, sizeof *g->score);
	return g;
}

static void
generative_free(void *user)
{
	struct generative *g = user;

	free(g->hit);
	free(g->row);
	free(g->title);
	pairs_look_free(g->look);
	eval_prompt_free(&g->prompt);
	lm_run_free(g->run);
	free(g->options);
	free(g->prompts);
	free(g->text);
	embed_scratch_free(g->embed);
	buf_free(&g->words);
	free(g->q);
	free(g->each);
	free(g->score);
	free(g);
}

/* Vectors of what the decoder writes into q [*n]. Texts without any word that the MODEL knows are none. */
static int
write_queries(struct generative *g, const struct eval_ask *ask, size_t *n, struct fault *f)
{
	const struct eval_generator *from = g->space->generator;
	size_t n_known = g->n_hit < g->n_history ? g->n_hit : g->n_history, dim = g->space->dim;
	int draws = g->temperature > 0;

	*n = 0;
	for (size_t i = 0; i < n_known; i++) {
		uint32_t hit = g->hit[g->n_hit - 1 - i];
		g->row[i] = g->space->x + hit * dim;
		g->title[i] = from->title[hit];
	}
	if (eval_prompt_make(&g->prompt, g->decoder, g->look, from->query[ask->query], ask->x, g->row, g->title, n_known, f) < 0)
		return -1;
	if (g->prompt.prompt.n == 0 && g->decoder->lm->shape.n_source == 0)
		return 0;       /* nothing to go on from */
	for (size_t i = 0; i < g->n_query; i++) {
		struct lm_options *o = &g->options[i];
		g->prompts[i] = g->prompt.prompt;
		eval_prompt_options(&g->prompt, g->decoder, o);
		o->temperature = g->temperature;
		o->seed = g->seed ^ g->user * 0x9E3779B97F4A7C15u;
		o->stream = ask->draw * N_QUERY_MAX + i;
		if (!draws)
			o->n_beam = o->n_best = g->n_query;
	}
	if (g->n_query == 0 || lm_generate(g->run, g->prompts, g->options, draws ? g->n_query : 1, g->text, f) < 0)
		return g->n_query == 0 ? 0 : -1;
	for (size_t i = 0; i < g->n_query; i++) {
		buf_clear(&g->words);
		compose_words(g->decoder->lm, g->text[i].token, g->text[i].n, &g->words);
		*n += embed_text(g->decoder->embed, g->embed, g->words.at, g->words.n, g->q + *n * dim) > 0;
	}
	return 0;
}

static int
generative_rank(void *user, const struct eval_ask *ask, size_t n, uint32_t *row, struct fault *f)
{
	struct generative *g = user;
	size_t n_item = g->space->n, dim = g->space->dim, n_q;

	if (write_queries(g, ask, &n_q, f) < 0)
		return -1;
	mat_mul(1, mat_of(g->q, n_q, dim), 0, mat_of(g->space->x, n_item, dim), 1, 0, mat_of(g->each, n_q, n_item));
	for (size_t j = 0; j < n_item; j++) {
		double sum = 0;
		for (size_t i = 0; i < n_q; i++) {
			double s = (double)g->each[i * n_item + j];
			sum += g->sharp > 0 ? exp(g->sharp * s) : s;
		}
		sum /= (double)(n_q ? n_q : 1);
		double written = n_q == 0 ? 0 : g->sharp > 0 ? log(sum) / g->sharp : sum;
		g->score[j] = (float)((n_q ? g->own : 1) * (double)ask->cosine[j] + written);
	}
	for (size_t i = 0; i < g->n_hit; i++)
		g->score[g->hit[i]] += (float)g->again;
	eval_top(g->score, n_item, n, row);
	return 0;
}

static int
generative_learn(void *user, const struct eval_ask *ask, const uint32_t *row, const double *reward, size_t n, struct fault *f)
{
	struct generative *g = user;

	(void)ask;
	(void)f;
	for (size_t i = n; i-- > 0; ) {         /* the first shown is the latest */
		size_t at = 0;
		if (reward[i] <= 0)
			continue;
		while (at < g->n_hit && g->hit[at] != row[i])
			at++;
		if (at == g->n_hit) {
			g->hit = xgrow(g->hit, &g->n_hit_max, g->n_hit + 1, sizeof *g->hit);
			g->n_hit++;
		}
		memmove(g->hit + at, g->hit + at + 1, (g->n_hit - 1 - at) * sizeof *g->hit);
		g->hit[g->n_hit - 1] = row[i];
	}
	return 0;
}

const struct eval_system eval_generative = { .name = "generative", .title = "a decoder writes queries from the user's history",
    .knob = knob, .n_knob = sizeof knob / sizeof *knob, .needs_generator = 1, .create = generative_create,
    .free = generative_free, .rank = generative_rank, .learn = generative_learn };
