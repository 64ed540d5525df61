#include "eval/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"
#include "mat/mat.h"

const size_t eval_check[EVAL_CHECKS] = { 0, 5, 10, 25, 50, 100, 200 };

/* Draws for probes have numbers that no step has. */
#define PROBE_DRAW ((uint64_t)1 << 40)

struct running {
	struct eval_run *r;
	const struct eval_system *system;
	const double *value;
	const struct eval_space *space;
	const struct eval_task *task;
	const struct eval_run_options *o;
	double *cpu_s;                  /* [n_user] */
	struct fault *fault;            /* [n_user] */
	unsigned char *failed;          /* [n_user] */
	float **scratch;                /* [n_thread], [n] cosines and [n] weights */
};

static double
cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double
learnt_reward(const struct running *g, size_t user, size_t step, uint32_t row, double reward)
{
	if (g->o->feedback == EVAL_TRUE)
		return reward;
	if (g->o->feedback == EVAL_ZERO)
		return 0;
	uint64_t at[] = { user, step, row };
	struct rng r = rng_at(g->o->seed + 1, hash64(at, sizeof at, 0));
	return rng_uniform(&r) < g->o->rate;
}

static struct eval_ask
ask_for(const struct running *g, uint32_t query, uint64_t draw, float *scratch)
{
	return (struct eval_ask){ .x = g->space->query + query * g->space->dim,
	    .cosine = eval_space_cosine(g->space, query, scratch), .draw = draw, .query = query };
}

static int
probe(struct running *g, void *system, size_t user, size_t check, float *scratch, struct fault *f)
{
	const struct eval_space *s = g->space;
	struct eval_run *r = g->r;
	size_t at = user * EVAL_CHECKS + check, n_top = s->n < EVAL_PROBE_TOP ? s->n : EVAL_PROBE_TOP;
	float *weight = scratch + s->n;
	double entropy = 0;

	r->reached[at] = 1;
	for (size_t p = 0; p < r->n_probe; p++) {
		struct eval_ask ask = ask_for(g, g->o->probe[p], PROBE_DRAW + p, scratch);
		if (g->system->rank(system, &ask, n_top, r->top + (at * r->n_probe + p) * EVAL_PROBE_TOP, f) < 0)
			return -1;
		if (!r->attends)
			continue;
		if (g->system->attend(system, &ask, weight, f) < 0)
			return -1;
		entropy += mat_entropy(weight, s->n);
		mat_mul_vec(1, mat_of(s->x, s->n, s->dim), 1, weight, 0, r->z + (at * r->n_probe + p) * s->dim);
	}
	if (r->attends)
		r->entropy[at] = entropy / (double)r->n_probe;
	return 0;
}

static int
run_step(struct running *g, void *system, size_t user, size_t step, double *reward, float *scratch, struct fault *f)
{
	struct eval_run *r = g->r;
	size_t n = r->n_show;
	uint32_t *shown = r->shown + step * n;
	struct eval_ask ask = ask_for(g, g->task->query[step], step - g->task->first[user], scratch);
	double begin = cpu_now();

	if (g->system->rank(system, &ask, n, shown, f) < 0)
		return -1;
	g->cpu_s[user] += cpu_now() - begin;
	if (r->mean && g->system->foretell(system, &ask, shown, n, r->mean + step * n, r->sd + step * n, f) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		double got = g->task->reward(g->task->arg, user, step, shown[i]);
		r->reward[step * n + i] = (float)got;
		reward[i] = learnt_reward(g, user, step, shown[i], got);
	}
	begin = cpu_now();
	if (g->system->learn && g->system->learn(system, &ask, shown, reward, n, f) < 0)
		return -1;
	g->cpu_s[user] += cpu_now() - begin;
	return 0;
}

static void
run_user(void *arg, size_t user, size_t worker)
{
	struct running *g = arg;
	const struct eval_task *t = g->task;
	struct fault *f = &g->fault[user];
	size_t check = 0;
	int failed = 0;

	if (!g->scratch[worker])
		g->scratch[worker] = xmalloc(2 * g->space->n, sizeof **g->scratch);
	float *scratch = g->scratch[worker];
	double *reward = xmalloc(g->r->n_show, sizeof *reward);
	void *system = g->system->create(g->system->arg, g->space, g->value, g->o->seed, user);
	for (size_t step = t->first[user]; !failed && step <= t->first[user + 1]; step++) {
		if (user < g->r->n_probe_user && check < EVAL_CHECKS && eval_check[check] == step - t->first[user])
			failed = probe(g, system, user, check++, scratch, f) < 0;
		if (!failed && step < t->first[user + 1])
			failed = run_step(g, system, user, step, reward, scratch, f) < 0;
	}
	if (!failed && g->r->heat && user < g->r->n_probe_user) {
		struct eval_ask ask = ask_for(g, g->o->probe[0], PROBE_DRAW, scratch);
		failed = g->system->attend(system, &ask, g->r->heat + user * g->space->n, f) < 0;
	}
	g->system->free(system);
	free(reward);
	g->failed[user] = failed != 0;
}

int
eval_run(struct eval_run *r, const struct eval_system *system, const double *value, const struct eval_space *space,
    const struct eval_task *task, const struct eval_run_options *o, struct fault *f)
{
	size_t n_show = o->n_show < space->n ? o->n_show : space->n, n = task->n_step * n_show;
	size_t n_user = o->n_probe == 0 ? 0 : o->n_probe_user < task->n_user ? o->n_probe_user : task->n_user;
	size_t n_asked = n_user * EVAL_CHECKS * o->n_probe;
	struct running g = { .r = r, .system = system, .value = value, .space = space, .task = task, .o = o };
	int status = 0;

	*r = (struct eval_run){ .n_show = n_show, .n_probe = o->n_probe, .n_probe_user = n_user, .dim = space->dim,
	    .attends = system->attend != NULL };
	r->shown = xmalloc(n, sizeof *r->shown);
	r->reward = xmalloc(n, sizeof *r->reward);
	if (system->foretell) {
		r->mean = xmalloc(n, sizeof *r->mean);
		r->sd = xmalloc(n, sizeof *r->sd);
	}
	r->entropy = xmalloc(n_user * EVAL_CHECKS, sizeof *r->entropy);
	for (size_t i = 0; i < n_user * EVAL_CHECKS; i++)
		r->entropy[i] = NAN;
	r->reached = xcalloc(n_user * EVAL_CHECKS, 1);
	r->top = xmalloc(n_asked * EVAL_PROBE_TOP, sizeof *r->top);
	r->z = r->attends ? xmalloc(n_asked * space->dim, sizeof *r->z) : NULL;
	if (o->want_heat && r->attends && n_user > 0)
		r->heat = xmalloc(n_user * space->n, sizeof *r->heat);
	r->world = xcalloc(n_user, sizeof *r->world);
	g.cpu_s = xcalloc(task->n_user, sizeof *g.cpu_s);
	g.fault = xcalloc(task->n_user, sizeof *g.fault);
	g.failed = xcalloc(task->n_user, 1);
	g.scratch = xcalloc(o->n_thread ? o->n_thread : 1, sizeof *g.scratch);
	thread_for(o->n_thread, task->n_user, run_user, &g);
	for (size_t i = 0; i < task->n_user; i++) {
		r->cpu_s += g.cpu_s[i];
		if (g.failed[i] && status == 0) {
			*f = g.fault[i];
			status = -1;
		}
	}
	for (size_t i = 0; i < (o->n_thread ? o->n_thread : 1); i++)
		free(g.scratch[i]);
	free(g.scratch);
	free(g.cpu_s);
	free(g.fault);
	free(g.failed);
	return status;
}

void
eval_run_free(struct eval_run *r)
{
	free(r->shown);
	free(r->reward);
	free(r->mean);
	free(r->sd);
	free(r->entropy);
	free(r->reached);
	free(r->top);
	free(r->z);
	free(r->world);
	free(r->heat);
	*r = (struct eval_run){0};
}

/* to [n_to] grows by from [n] */
static void *
append(void *to, size_t n_to, const void *from, size_t n, size_t size_bytes)
{
	if (!from)
		return to;
	to = xrealloc(to, n_to + n, size_bytes);
	memcpy((char *)to + n_to * size_bytes, from, n * size_bytes);
	return to;
}

void
eval_run_join(struct eval_run *all, struct eval_task *task, const struct eval_run *more, const struct eval_task *task_of_more)
{
	size_t n_shown = task->n_step * more->n_show, n = task_of_more->n_step * more->n_show;
	size_t n_asked = all->n_probe_user * EVAL_CHECKS, m = more->n_probe_user * EVAL_CHECKS, n_probe = more->n_probe;
	size_t *first = xmalloc(task->n_user + task_of_more->n_user + 1, sizeof *first);
	uint32_t world = all->n_probe_user ? all->world[all->n_probe_user - 1] + 1 : 0;

	all->n_show = more->n_show;
	all->n_probe = n_probe;
	all->dim = more->dim;
	all->attends = more->attends;
	all->shown = append(all->shown, n_shown, more->shown, n, sizeof *all->shown);
	all->reward = append(all->reward, n_shown, more->reward, n, sizeof *all->reward);
	all->mean = append(all->mean, n_shown, more->mean, n, sizeof *all->mean);
	all->sd = append(all->sd, n_shown, more->sd, n, sizeof *all->sd);
	all->entropy = append(all->entropy, n_asked, more->entropy, m, sizeof *all->entropy);
	all->reached = append(all->reached, n_asked, more->reached, m, sizeof *all->reached);
	all->top = append(all->top, n_asked * n_probe * EVAL_PROBE_TOP, more->top, m * n_probe * EVAL_PROBE_TOP, sizeof *all->top);
	all->z = append(all->z, n_asked * n_probe * more->dim, more->z, m * n_probe * more->dim, sizeof *all->z);
	all->world = append(all->world, all->n_probe_user, more->world, more->n_probe_user, sizeof *all->world);
	for (size_t i = 0; i < more->n_probe_user; i++)
		all->world[all->n_probe_user + i] = world;
	all->n_probe_user += more->n_probe_user;
	all->cpu_s += more->cpu_s;
	for (size_t u = 0; u < task->n_user; u++)
		first[u] = task->first[u];
	for (size_t u = 0; u <= task_of_more->n_user; u++)
		first[task->n_user + u] = task->n_step + task_of_more->first[u];
	free((void *)task->first);
	task->first = first;
	task->n_user += task_of_more->n_user;
	task->n_step += task_of_more->n_step;
}
