#include "embed/codebook.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "mat/mat.h"

enum { TILE = 256 };
enum { STREAM_SAMPLE = 1, STREAM_SEED = 2 };    /* high half of a stream's number: what it is drawn for */

/* Closer than this to a centre is the same direction within float32. */
static const double same = 1e-6;

void
codebook_init(struct codebook *c, size_t dim, size_t n_cluster_max, uint64_t seed)
{
	*c = (struct codebook){ .dim = dim, .n_sample_max = n_cluster_max * CODEBOOK_SAMPLE, .seed = seed };
	c->sum = xcalloc(dim, sizeof *c->sum);
}

void
codebook_free(struct codebook *c)
{
	free(c->sample);
	free(c->sum);
	*c = (struct codebook){0};
}

void
codebook_add(struct codebook *c, const float *x)
{
	size_t at = c->n_sample;
	int zero = 1;

	c->n_seen++;
	for (size_t i = 0; i < c->dim; i++) {
		c->sum[i] += x[i];
		zero &= x[i] == 0;
	}
	if (zero)
		return;
	c->n_drawn++;
	if (at < c->n_sample_max) {
		size_t n_cap = c->n_sample_cap * c->dim;
		c->sample = xgrow(c->sample, &n_cap, (at + 1) * c->dim, sizeof *c->sample);
		c->n_sample_cap = n_cap / c->dim;
		c->n_sample++;
	} else {
		struct rng r = rng_at(c->seed, ((uint64_t)STREAM_SAMPLE << 56) + c->n_drawn);
		at = rng_below(&r, c->n_drawn);
		if (at >= c->n_sample_max)
			return;
	}
	memcpy(c->sample + at * c->dim, x, c->dim * sizeof *x);
}

void
codebook_mean(const struct codebook *c, float *mean)
{
	for (size_t i = 0; i < c->dim; i++)
		mean[i] = c->n_seen ? (float)(c->sum[i] / (double)c->n_seen) : 0;
}

struct work {
	const struct codebook *c;
	size_t n_cluster, n_thread, n_tile;
	float *centre;                  /* [n_cluster][dim] */
	float *score;                   /* [n_thread][TILE][n_cluster] */
	uint32_t *of;                   /* [n_sample] nearest centre */
	float *nearness;                /* [n_sample] its inner product */
	size_t *n_moved;                /* [n_tile] */
};

/* Seeding: how near the newest centre is. */
static void
seed_tile(void *arg, size_t i, size_t worker)
{
	struct work *w = arg;
	size_t dim = w->c->dim, from = i * TILE, n = w->c->n_sample - from < TILE ? w->c->n_sample - from : TILE;
	float *score = w->score + worker * TILE * w->n_cluster;
	const float *newest = w->centre + (w->n_cluster - 1) * dim;

	mat_mul(1, mat_of(w->c->sample + from * dim, n, dim), 0, mat_of(newest, 1, dim), 1, 0, mat_of(score, n, 1));
	for (size_t j = 0; j < n; j++)
		if (score[j] > w->nearness[from + j])
			w->nearness[from + j] = score[j];
}

/* k-means++: each next centre is a sample drawn with probability as the square of its distance, |x - c|^2 =
   2 (1 - x'c), to the nearest one so far. Returns the number found. */
static size_t
seed_centres(struct work *w, size_t n_cluster)
{
	const struct codebook *c = w->c;
	struct rng r = rng_at(c->seed, (uint64_t)STREAM_SEED << 56);
	size_t next = rng_below(&r, c->n_sample);

	for (size_t i = 0; i < c->n_sample; i++)
		w->nearness[i] = -1;
	for (w->n_cluster = 0; w->n_cluster < n_cluster; ) {
		double sum = 0, draw;

		memcpy(w->centre + w->n_cluster++ * c->dim, c->sample + next * c->dim, c->dim * sizeof *w->centre);
		thread_for(w->n_thread, w->n_tile, seed_tile, w);
		for (size_t i = 0; i < c->n_sample; i++)
			sum += 1 - w->nearness[i] > same ? 1 - w->nearness[i] : 0;
		if (sum <= 0)
			break;
		draw = rng_uniform(&r) * sum;
		for (size_t i = 0; i < c->n_sample && draw > 0; i++)
			if (1 - w->nearness[i] > same) {
				draw -= 1 - w->nearness[i];
				next = i;
			}
	}
	return w->n_cluster;
}

static void
assign_tile(void *arg, size_t i, size_t worker)
{
	struct work *w = arg;
	size_t dim = w->c->dim, k = w->n_cluster, from = i * TILE;
	size_t n = w->c->n_sample - from < TILE ? w->c->n_sample - from : TILE;
	float *score = w->score + worker * TILE * k;

	mat_mul(1, mat_of(w->c->sample + from * dim, n, dim), 0, mat_of(w->centre, k, dim), 1, 0, mat_of(score, n, k));
	w->n_moved[i] = 0;
	for (size_t j = 0; j < n; j++) {
		const float *s = score + j * k;
		size_t best = 0;

		for (size_t m = 1; m < k; m++)
			if (s[m] > s[best])
				best = m;
		w->n_moved[i] += w->of[from + j] != best;
		w->of[from + j] = (uint32_t)best;
		w->nearness[from + j] = s[best];
	}
}

/* The new centre of one cluster: the direction of the sum of its samples. */
static void
move_centre(void *arg, size_t m, size_t worker)
{
	struct work *w = arg;
	size_t dim = w->c->dim, n = 0;
	double *sum = xcalloc(dim, sizeof *sum);
	float *centre = w->centre + m * dim;

	(void)worker;
	for (size_t i = 0; i < w->c->n_sample; i++)
		if (w->of[i] == m) {
			n++;
			for (size_t j = 0; j < dim; j++)
				sum[j] += w->c->sample[i * dim + j];
		}
	for (size_t j = 0; n > 0 && j < dim; j++)
		centre[j] = (float)sum[j];
	/* Samples that cancel out leave no direction; an empty cluster is filled by refill(). */
	if (n == 0 || mat_normalise(centre, dim) == 0)
		memset(centre, 0, dim * sizeof *centre);
	free(sum);
}

/* An empty cluster takes the sample that is farthest from its centre, each another one. */
static void
refill(struct work *w)
{
	size_t dim = w->c->dim;

	for (size_t m = 0; m < w->n_cluster; m++) {
		float *centre = w->centre + m * dim;
		size_t farthest = 0;

		if (mat_norm(centre, dim) > 0)
			continue;
		for (size_t i = 1; i < w->c->n_sample; i++)
			if (w->nearness[i] < w->nearness[farthest])
				farthest = i;
		memcpy(centre, w->c->sample + farthest * dim, dim * sizeof *centre);
		w->nearness[farthest] = 1;
	}
}

size_t
codebook_make(const struct codebook *c, size_t n_cluster, size_t n_thread, float **centre)
{
	struct work w = { .c = c, .n_thread = n_thread, .n_tile = (c->n_sample + TILE - 1) / TILE };

	if (c->n_sample == 0) {
		*centre = xcalloc(c->dim, sizeof **centre);
		return 1;
	}
	if (n_cluster > c->n_sample)
		n_cluster = c->n_sample;
	w.centre = xmalloc(n_cluster * c->dim, sizeof *w.centre);
	w.score = xaligned(n_thread * TILE * n_cluster, sizeof *w.score);
	w.of = xmalloc(c->n_sample, sizeof *w.of);
	w.nearness = xmalloc(c->n_sample, sizeof *w.nearness);
	w.n_moved = xmalloc(w.n_tile, sizeof *w.n_moved);
	memset(w.of, 0xFF, c->n_sample * sizeof *w.of);

	seed_centres(&w, n_cluster);
	for (int round = 0; round < CODEBOOK_ROUNDS; round++) {
		size_t n_moved = 0;

		thread_for(n_thread, w.n_tile, assign_tile, &w);
		for (size_t i = 0; i < w.n_tile; i++)
			n_moved += w.n_moved[i];
		if (n_moved == 0)
			break;
		thread_for(n_thread, w.n_cluster, move_centre, &w);
		refill(&w);
	}
	free(w.score);
	free(w.of);
	free(w.nearness);
	free(w.n_moved);
	*centre = w.centre;
	return w.n_cluster;
}
