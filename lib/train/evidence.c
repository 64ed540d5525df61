#include "train/evidence.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "base/thread.h"
#include "mat/mat.h"

enum { REWARD_MAX = 256 };              /* of a user */

struct person {
	size_t n, n_cap;
	float *f;                       /* [n][dim] */
	double *asked, *reward;         /* [n] */
	double *gram;                   /* [n][n], F F', once the log is read */
};

struct evidence {
	size_t dim, n_cap;
	struct names users;
	struct person *person;          /* [users' n] */
};

struct evidence *
evidence_new(size_t dim)
{
	struct evidence *e = xcalloc(1, sizeof *e);

	e->dim = dim;
	return e;
}

void
evidence_free(struct evidence *e)
{
	if (!e)
		return;
	for (size_t i = 0; i < e->users.n; i++) {
		free(e->person[i].f);
		free(e->person[i].asked);
		free(e->person[i].reward);
		free(e->person[i].gram);
	}
	names_free(&e->users);
	free(e->person);
	free(e);
}

void
evidence_add(struct evidence *e, struct span user, const float *f, double asked, double reward)
{
	size_t n_user = e->users.n, i = names_add(&e->users, user);

	if (i == n_user) {
		e->person = xgrow(e->person, &e->n_cap, n_user + 1, sizeof *e->person);
		e->person[i] = (struct person){0};
	}
	struct person *p = &e->person[i];
	if (p->n == REWARD_MAX)
		return;
	if (p->n == p->n_cap) {
		p->n_cap = p->n_cap ? 2 * p->n_cap : 16;
		p->f = xrealloc(p->f, p->n_cap, e->dim * sizeof *p->f);
		p->asked = xrealloc(p->asked, p->n_cap, sizeof *p->asked);
		p->reward = xrealloc(p->reward, p->n_cap, sizeof *p->reward);
	}
	memcpy(p->f + p->n * e->dim, f, e->dim * sizeof *f);
	p->asked[p->n] = asked;
	p->reward[p->n++] = reward;
}

/* What a user adds: to the evidence all that does not depend on base_rate and query_mean, and the sums from which their
   best values follow: with L L' = C, a = L^-1 1, b = L^-1 c, y = L^-1 r. */
struct part {
	double log_det, aa, ab, bb, ay, by, yy;
	size_t n;
	int bad;
};

struct job {
	const struct evidence *e;
	const struct evidence_constants *c;
	struct part *part;              /* [n_user] */
};

static void
gram_of(void *arg, size_t i, size_t worker)
{
	struct evidence *e = arg;
	struct person *p = &e->person[i];

	(void)worker;
	if (p->gram)
		return;
	p->gram = xmalloc(p->n * p->n, sizeof *p->gram);
	for (size_t r = 0; r < p->n; r++)
		for (size_t c = 0; c <= r; c++)
			p->gram[r * p->n + c] = mat_dot64(p->f + r * e->dim, p->f + c * e->dim, e->dim);
}

static void
person_part(void *arg, size_t i, size_t worker)
{
	const struct job *job = arg;
	const struct person *p = &job->e->person[i];
	const struct evidence_constants *c = job->c;
	struct part *out = &job->part[i];
	size_t n = p->n;
	double *l = xmalloc(n * n, sizeof *l), *v = xmalloc(3 * n, sizeof *v);

	(void)worker;
	for (size_t r = 0; r < n; r++) {
		for (size_t k = 0; k <= r; k++)
			l[r * n + k] = p->gram[r * n + k] / c->lambda + c->query_var * p->asked[r] * p->asked[k];
		double weight = c->half_life > 0 ? exp2(-(double)(n - 1 - r) / c->half_life) : 1;
		l[r * n + r] += c->noise_var / weight;
		v[r] = 1;
		v[n + r] = p->asked[r];
		v[2 * n + r] = p->reward[r];
	}
	*out = (struct part){ .n = n };
	if (mat_cholesky64(l, n) < 0) {
		out->bad = 1;
	} else {
		mat_solve_many64(l, n, v, 3, 0);
		for (size_t r = 0; r < n; r++)
			out->log_det += 2 * log(l[r * n + r]);
		out->aa = mat_ddot64(v, v, n);
		out->ab = mat_ddot64(v, v + n, n);
		out->bb = mat_ddot64(v + n, v + n, n);
		out->ay = mat_ddot64(v, v + 2 * n, n);
		out->by = mat_ddot64(v + n, v + 2 * n, n);
		out->yy = mat_ddot64(v + 2 * n, v + 2 * n, n);
	}
	free(l);
	free(v);
}

/* The sum over users in their order; best: base_rate and (with queries) query_mean become the best ones. */
static double
evidence_sum(const struct evidence *e, struct evidence_constants *c, int best, int queries, size_t n_thread)
{
	size_t n_user = e->users.n;
	struct part *part = xcalloc(n_user + 1, sizeof *part), s = {0};
	struct job job = { e, c, part };

	thread_for(n_thread, n_user, gram_of, (void *)e);
	thread_for(n_thread, n_user, person_part, &job);
	for (size_t i = 0; i < n_user; i++) {
		s.log_det += part[i].log_det;
		s.aa += part[i].aa;
		s.ab += part[i].ab;
		s.bb += part[i].bb;
		s.ay += part[i].ay;
		s.by += part[i].by;
		s.yy += part[i].yy;
		s.n += part[i].n;
		s.bad |= part[i].bad;
	}
	free(part);
	if (s.bad)
		return NAN;
	if (best) {
		double det = s.aa * s.bb - s.ab * s.ab;
		if (queries && det > 1e-9 * s.aa * s.bb) {
			c->base_rate = (s.bb * s.ay - s.ab * s.by) / det;
			c->query_mean = (s.aa * s.by - s.ab * s.ay) / det;
		} else {
			c->base_rate = (s.ay - c->query_mean * s.ab) / s.aa;
		}
	}
	double b = c->base_rate, w = c->query_mean;
	double square = s.yy - 2 * b * s.ay - 2 * w * s.by + b * b * s.aa + 2 * b * w * s.ab + w * w * s.bb;
	return -.5 * (square + s.log_det + (double)s.n * log(2 * 3.14159265358979323846));
}

double
evidence_of(const struct evidence *e, const struct evidence_constants *c)
{
	struct evidence_constants copy = *c;

	return evidence_sum(e, &copy, 0, 0, 1);
}

/* Multiplies one constant up and down while that helps. Returns 1 if it helped at all. */
static int
seek(const struct evidence *e, struct evidence_constants *c, double *most, size_t offset, double factor, int queries, size_t n_thread)
{
	int helped = 0;

	for (int up = 0; up < 2; up++)
		for (size_t i = 0; i < 40; i++) {
			struct evidence_constants next = *c;
			double *at = (double *)((char *)&next + offset);
			*at = up ? *at * factor : *at / factor;
			double now = evidence_sum(e, &next, 1, queries, n_thread);
			if (!(now > *most + 1e-6 * fabs(*most)))
				break;
			*most = now;
			*c = next;
			helped = 1;
		}
	return helped;
}

int
evidence_fit(struct evidence *e, struct evidence_constants *c, int queries, int half_life, size_t n_thread,
    struct evidence_report *report, struct fault *f)
{
	static const size_t place[] = { offsetof(struct evidence_constants, lambda), offsetof(struct evidence_constants, noise_var),
		offsetof(struct evidence_constants, query_var) };
	static const double half_lives[] = { 12.5, 25, 50, 100, 200 };
	double least = INFINITY, greatest = -INFINITY;

	*report = (struct evidence_report){ .n_user = e->users.n };
	for (size_t i = 0; i < report->n_user; i++) {
		report->n_reward += e->person[i].n;
		for (size_t k = 0; k < e->person[i].n; k++) {
			least = fmin(least, e->person[i].reward[k]);
			greatest = fmax(greatest, e->person[i].reward[k]);
		}
	}
	if (report->n_reward < 10 || !(least < greatest))
		return fault(f, EX_DATAERR, "expected at least 10 rewards that differ, got %zu%s", report->n_reward,
		    report->n_reward < 10 ? "" : " that are all the same");
	report->before = evidence_of(e, c) / (double)report->n_reward;
	if (queries && c->query_var == 0)
		c->query_var = .01;
	double most = evidence_sum(e, c, 1, queries, n_thread);
	for (double factor = 2; factor > 1.3; factor = sqrt(factor))
		for (int helped = 1; helped; ) {
			helped = 0;
			for (size_t k = 0; k < (queries ? 3u : 2u); k++)
				helped |= seek(e, c, &most, place[k], factor, queries, n_thread);
		}
	for (size_t h = 0; half_life && h < sizeof half_lives / sizeof *half_lives; h++) {
		struct evidence_constants next = *c;
		next.half_life = half_lives[h];
		double now = evidence_sum(e, &next, 1, queries, n_thread);
		if (now > most) {
			most = now;
			*c = next;
		}
	}
	report->after = most / (double)report->n_reward;
	return 0;
}
