/* AdamW with clipped gradients. */
#include "lm/fit_inside.h"

#include <math.h>
#include <string.h>

#include "base/thread.h"

static void
square(void *arg, size_t i, size_t worker)
{
	struct lm_fit *t = arg;
	struct fit_chunk *c = &t->chunk[i];

	(void)worker;
	if (t->frozen[c->part])
		memset(t->gradient + c->from, 0, c->n * sizeof *t->gradient);
	c->square = t->frozen[c->part] ? 0 : fit_square(t->gradient + c->from, c->n);
}

struct update {
	struct lm_fit *t;
	struct fit_adam adam;
};

static void
update(void *arg, size_t i, size_t worker)
{
	const struct update *u = arg;
	struct lm_fit *t = u->t;
	const struct fit_chunk *c = &t->chunk[i];
	struct fit_adam adam = u->adam;

	(void)worker;
	if (t->frozen[c->part])
		return;
	if (!t->part[c->part].decays)
		adam.decay = 0;
	fit_adam(&adam, t->numbers + c->from, t->moment1 + c->from, t->moment2 + c->from, t->gradient + c->from, c->n);
}

/* Of step n_done, the first being 0. */
static double
rate(const struct lm_fit_options *o, size_t n_done)
{
	if (n_done < o->n_warm)
		return o->rate * (double)(n_done + 1) / (double)o->n_warm;
	if (n_done >= o->n_step)
		return o->rate * o->rate_end;
	double share = (double)(n_done - o->n_warm) / (double)(o->n_step - o->n_warm);
	return o->rate * (o->rate_end + (1 - o->rate_end) * .5 * (1 + cos(M_PI * share)));
}

int
fit_update(struct lm_fit *t)
{
	const struct lm_fit_options *o = &t->o;
	double sum = 0, n = (double)(t->n_done + 1);

	thread_for(o->n_thread, t->n_chunk, square, t);
	for (size_t i = 0; i < t->n_chunk; i++)
		sum += t->chunk[i].square;
	double length = sqrt(sum);
	if (!isfinite(length))
		return -1;
	struct update u = { .t = t, .adam = {
		.rate = (float)rate(o, t->n_done), .beta1 = (float)o->beta1, .beta2 = (float)o->beta2,
		.correct1 = (float)(1 / (1 - pow(o->beta1, n))), .correct2 = (float)(1 / (1 - pow(o->beta2, n))),
		.epsilon = (float)o->epsilon, .decay = (float)o->decay,
		.scale = o->clip > 0 && length > o->clip ? (float)(o->clip / length) : 1,
	} };
	thread_for(o->n_thread, t->n_chunk, update, &u);
	t->n_done++;
	return 0;
}
