/* What hare-train(1) fits: gradients against finite differences, the loss against a softmax spelt out, the trained space
   against the logits that it stands for, and the same bits from any number of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"
#include "embed/embed.h"
#include "mat/mat.h"
#include "scratch.h"
#include "train/evidence.h"
#include "train/inside.h"

enum { DIM = 6, ITEMS = 40, USERS = 12, QUERIES = 5, CLICKS = 240 };

static float rows[ITEMS * DIM], question[QUERIES * DIM];

static void
random_unit(float *x, uint64_t stream)
{
	struct rng r = rng_at(11, stream);

	for (size_t d = 0; d < DIM; d++)
		x[d] = (float)rng_normal(&r);
	mat_normalise(x, DIM);
}

/* Users 0 to 5 click among the first ten items, the others among the next ten. */
static struct train_log *
make_log(void)
{
	struct train_log *log = train_log_new(DIM);
	struct rng r = rng_at(12, 0);

	for (size_t j = 0; j < ITEMS; j++)
		random_unit(rows + j * DIM, j);
	for (size_t k = 0; k < QUERIES; k++)
		random_unit(question + k * DIM, 1000 + k);
	for (size_t i = 0; i < CLICKS; i++) {
		char name[16];
		size_t user = i % USERS, item = (user < 6 ? 0 : 10) + rng_below(&r, 10);
		int n = snprintf(name, sizeof name, "u%zu", user);
		train_log_add(log, (struct span){ name, (size_t)n }, question + rng_below(&r, QUERIES) * DIM, item, 1 + (double)(i % 3));
	}
	return log;
}

/* The same loss, term by term in double. */
static double
slow_loss(const struct trained *t, const struct train_log *log, const uint32_t *click, size_t n)
{
	double loss = 0, total = 0;

	for (size_t i = 0; i < n; i++) {
		const struct click *c = &log->click[click[i]];
		double z[DIM], sum = 0, hit = 0;
		for (size_t d = 0; d < DIM; d++) {
			z[d] = (double)t->query.at[c->query * DIM + d] + t->user.at[c->user * DIM + d];
			for (size_t e = 0; e < DIM; e++)
				z[d] += 4 * (double)t->q[c->query * DIM + e] * t->map_query.at[e * DIM + d];
		}
		for (size_t j = 0; j < t->n_item; j++) {
			double s = 0;
			for (size_t d = 0; d < DIM; d++) {
				double v = j < t->n_known ? t->item.at[j * DIM + d] : 0;
				for (size_t e = 0; e < DIM; e++)
					v += 4 * (double)t->x[j * DIM + e] * t->map_item.at[e * DIM + d];
				s += z[d] * v;
			}
			sum += exp(s);
			if (j == c->item)
				hit = s;
		}
		loss += c->weight * (log1p(sum - 1) - hit);
		total += c->weight;
	}
	return loss / total;
}

static void
test_gradient(void)
{
	struct train_log *log = make_log();
	struct train_options o;
	struct trained t;
	uint32_t click[50];
	struct rng r = rng_at(13, 0);

	train_defaults(&o);
	/* the log's items become the first candidates, as train_attention() has them */
	uint32_t place[ITEMS] = {0}, n_known = 0, row_of[ITEMS];
	for (size_t i = 0; i < log->n; i++) {
		uint32_t row = log->click[i].item;
		if (place[row] == 0) {
			row_of[n_known] = row;
			place[row] = ++n_known;
		}
		log->click[i].item = place[row] - 1;
	}
	size_t n_item = n_known;
	for (uint32_t j = 0; j < ITEMS; j++)
		if (place[j] == 0)
			row_of[n_item++] = j;
	float x[ITEMS * DIM];
	for (size_t j = 0; j < n_item; j++)
		memcpy(x + j * DIM, rows + row_of[j] * DIM, sizeof(float) * DIM);
	trained_new(&t, log, x, n_item, n_known);
	struct param *p[] = { &t.map_item, &t.map_query, &t.item, &t.query, &t.user };
	const char *name[] = { "the map of items", "the map of queries", "items", "queries", "users" };
	for (size_t k = 0; k < 5; k++)
		for (size_t i = 0; i < p[k]->n_row * p[k]->n_col; i++)
			p[k]->at[i] += .3f * (float)rng_normal(&r);
	for (uint32_t i = 0; i < 50; i++)
		click[i] = i;
	double loss = train_gradient(&t, log, click, 50, &o), slow = slow_loss(&t, log, click, 50);
	claim(fabs(loss - slow) < 1e-5 * slow, "the loss is that of a softmax spelt out (%.6f, %.6f)", loss, slow);
	for (size_t k = 0; k < 5; k++) {
		double worst = 0, largest = 0;
		for (size_t trial = 0; trial < 40; trial++) {
			size_t i = rng_below(&r, p[k]->n_row * p[k]->n_col);
			float was = p[k]->at[i], step = .01f;
			p[k]->at[i] = was + step;
			double up = slow_loss(&t, log, click, 50);
			p[k]->at[i] = was - step;
			double down = slow_loss(&t, log, click, 50);
			p[k]->at[i] = was;
			double slope = (up - down) / (2 * (double)step);
			worst = fmax(worst, fabs(slope - p[k]->gradient[i]));
			largest = fmax(largest, fabs(slope));
		}
		claim(worst < 1e-3 * largest + 1e-5, "the gradient of %s is the slope of the loss (off by %.1e of %.1e)", name[k], worst, largest);
	}
	trained_free(&t);
	train_log_free(log);
}

static const struct model *
open_base(char *path)
{
	struct fault f;
	struct model m = { .source = "endpoint", .dim = DIM, .n_cluster = 2 };
	float centre[2 * DIM] = {0}, mean[DIM] = {0};

	model_defaults(&m);
	memset(m.space, 'a', 32);
	m.space[32] = 0;
	centre[0] = centre[DIM + 1] = 1;
	m.centre = centre;
	m.mean = mean;
	struct tensor_writer *w = tensor_create(path, "model", &f);
	model_declare(w, &m);
	tensor_set_meta(w, "endpoint_url", "http://localhost:1");
	tensor_set_meta(w, "endpoint_model", "none");
	if (model_put(w, &m, &f) < 0 || tensor_commit(w, &f) < 0)
		return NULL;
	return model_open(path, &f);
}

static int
same_file(const char *a, const char *b)
{
	char cmd[600];

	snprintf(cmd, sizeof cmd, "cmp -s '%s' '%s'", a, b);
	return system(cmd) == 0;
}

static double
dot(const float *a, const float *b, size_t n)
{
	double s = 0;

	for (size_t d = 0; d < n; d++)
		s += (double)a[d] * b[d];
	return s;
}

static void
test_fit(void)
{
	char folder[SCRATCH], base_path[96], path[2][96];
	struct fault f;
	struct train_options o;
	struct train_report report;

	if (!claim(scratch_folder(folder) == 0, "there is a folder to write to"))
		return;
	snprintf(base_path, sizeof base_path, "%s/base", folder);
	const struct model *base = open_base(base_path);
	if (!claim(base != NULL, "a model made by hand opens"))
		return;
	for (size_t i = 0; i < 2; i++) {
		struct train_log *log = make_log();
		train_defaults(&o);
		o.n_round_max = 40;
		o.ridge = .5;
		o.n_thread = i + 1;
		snprintf(path[i], sizeof path[i], "%s/trained%zu", folder, i);
		int done = train_attention(base, rows, ITEMS, log, &o, path[i], &report, &f);
		claim(done == 0, "a log is learnt with %zu threads%s%s", i + 1, done ? ": " : "", done ? f.text : "");
		train_log_free(log);
	}
	claim(same_file(path[0], path[1]), "one thread and two write the same bytes");
	claim(report.n_click == CLICKS && report.n_user == USERS && report.n_query == QUERIES && report.n_item == 20,
	    "what was learnt from is counted");
	claim(report.after > report.before, "a held-out user's next click became more probable (%.3f from %.3f)", report.after, report.before);

	struct model *m = model_open(path[0], &f);
	struct embed *e = m ? embed_open(m, &f) : NULL;
	if (!claim(m && e, "the trained model opens%s%s", e ? "" : ": ", e ? "" : f.text))
		return;
	claim(m->dim == DIM + 1 && embed_base_dim(e) == DIM && embed_is_trained(e), "it has one dimension more");
	claim(strcmp(m->space, base->space) != 0, "it is another space");
	float item[ITEMS][DIM + 1], query[DIM + 1];
	double worst = 0;
	for (size_t j = 0; j < ITEMS; j++) {
		embed_from_base(e, EMBED_ITEM, rows + j * DIM, item[j]);
		worst = fmax(worst, fabs(dot(item[j], item[j], DIM + 1) - 1));
	}
	claim(worst < 1e-5, "items are of unit length (off by %.1e)", worst);
	/* what was clicked is ranked first, though neither the query nor the user's belief is question for more than its logit */
	size_t n_hit = 0;
	for (size_t k = 0; k < QUERIES; k++) {
		size_t best = 0;
		embed_from_base(e, EMBED_QUERY, question + k * DIM, query);
		for (size_t j = 1; j < ITEMS; j++)
			if (dot(query, item[j], DIM + 1) > dot(query, item[best], DIM + 1))
				best = j;
		n_hit += best < 20;
	}
	claim(n_hit == QUERIES, "items that nobody clicked are behind those of the log");
	claim(fabs(m->beta * m->gain * TRAIN_SLOPE - 1) < 1e-9, "beta, gain and slope make a logit a reward");
	float zero[DIM] = {0}, got[DIM + 1];
	embed_from_base(e, EMBED_ITEM, zero, got);
	claim(dot(got, got, DIM + 1) == 0, "what has no known word stays zero");
	embed_close(e);
	model_close(m);

	struct train_log *few = train_log_new(DIM);
	train_log_add(few, (struct span){ "a", 1 }, question, 0, 1);
	claim(train_attention(base, rows, ITEMS, few, &o, path[0], &report, &f) < 0 && f.status == EX_DATAERR &&
	    strstr(f.text, "at least 10 clicks"), "a log too small is told (%s)", f.text);
	train_log_free(few);
	model_close((struct model *)base);
	for (size_t i = 0; i < 2; i++)
		unlink(path[i]);
	unlink(base_path);
	rmdir(folder);
}

/* Learnt and plain beside each other: every product is the sum of both, in their shares, of what the log taught singly
   and of what only the maps make. */
static void
test_beside(void)
{
	char folder[SCRATCH], path[3][96];
	struct fault f;
	struct model *m[2];
	struct embed *e[2];
	const double share[2] = { 0, .3 };

	if (!claim(scratch_folder(folder) == 0, "there is a folder to write to"))
		return;
	for (size_t i = 0; i < 3; i++)
		snprintf(path[i], sizeof path[i], "%s/%zu", folder, i);
	const struct model *base = open_base(path[2]);
	for (size_t i = 0; i < 2; i++) {
		struct train_log *log = make_log();
		struct train_options o;
		struct train_report report;
		train_defaults(&o);
		o.n_round_max = 3;
		o.gain = 3;
		o.spread = 1;
		o.plain = share[i];
		if (!claim(train_attention(base, rows, ITEMS, log, &o, path[i], &report, &f) == 0 && (m[i] = model_open(path[i], &f)) &&
		    (e[i] = embed_open(m[i], &f)), "a log is learnt with a plain share of %g", share[i]))
			return;
		train_log_free(log);
	}
	claim(m[0]->dim == DIM + 1 && m[1]->dim == 2 * DIM + 1, "plain numbers lie beside those that were learnt");
	claim(m[0]->beta == m[1]->beta && m[1]->prior.lambda == TRAIN_LAMBDA_BESIDE, "logits keep their scale, and tastes have one of their own");
	double worst = 0, length = 0, largest = 0;
	for (size_t k = 0; k <= QUERIES; k++)
		for (size_t j = 0; j < ITEMS; j++) {
			float q[2][2 * DIM + 1], v[2][2 * DIM + 1];
			/* the last query was never asked, and half of the items were never clicked */
			const float *x = k < QUERIES ? question + k * DIM : rows;
			for (size_t i = 0; i < 2; i++) {
				embed_from_base(e[i], EMBED_QUERY, x, q[i]);
				embed_from_base(e[i], EMBED_ITEM, rows + j * DIM, v[i]);
			}
			double learnt = dot(q[0], v[0], DIM + 1), plain = m[1]->gain / base->gain * dot(x, rows + j * DIM, DIM);
			worst = fmax(worst, fabs(dot(q[1], v[1], 2 * DIM + 1) - (1 - share[1]) * learnt - share[1] * plain));
			largest = fmax(largest, fabs(learnt));
			length = fmax(length, fabs(dot(v[1], v[1], 2 * DIM + 1) - 1));
			for (size_t d = 0; d < DIM; d++)
				worst = fmax(worst, fabs(v[1][d] - sqrt(1 - share[1]) * v[0][d]));
		}
	claim(worst < 1e-5 && length < 1e-5 && largest > .1, "what a query says of an item is the sum of both in their shares (off by %.1e, unit "
	    "lengths by %.1e)", worst, length);
	for (size_t i = 0; i < 2; i++) {
		embed_close(e[i]);
		model_close(m[i]);
	}
	model_close((struct model *)base);
	for (size_t i = 0; i < 3; i++)
		unlink(path[i]);
	rmdir(folder);
}

/* The next clicks of user 3, each from a belief solved anew from those before, in the features that a trained space has. */
static double
slow_foretell(const struct trained *t, const struct train_log *log, const double *chol, const struct train_view *view)
{
	enum { WIDE = 2 * DIM };
	double f[ITEMS][WIDE], mean[WIDE] = {0}, a[WIDE * WIDE], u[WIDE], b[WIDE] = {0}, gram[WIDE * WIDE] = {0}, sum = 0, weight = 0;
	double radius = train_radius(t, chol), precision = view->plain > 0 ? TRAIN_LAMBDA_BESIDE : 1 / pow(TRAIN_SLOPE * radius, 2);

	for (size_t j = 0; j < ITEMS; j++) {
		train_whiten(chol, DIM, t->v + j * DIM, f[j]);
		for (size_t d = 0; d < DIM; d++) {
			f[j][d] *= sqrt(1 - view->plain) / radius;
			f[j][DIM + d] = sqrt(view->plain) * (double)t->x[j * DIM + d];
		}
		for (size_t d = 0; d < WIDE; d++)
			mean[d] += f[j][d] / ITEMS;
	}
	for (size_t i = 0; i < log->n; i++) {
		const struct click *c = &log->click[i];
		double score[ITEMS], all = 0;
		if (c->user != 3)
			continue;
		for (size_t d = 0; d < WIDE * WIDE; d++)
			a[d] = gram[d] / TRAIN_NOISE_VAR + (d % (WIDE + 1) == 0 ? precision : 0);
		for (size_t d = 0; d < WIDE; d++)
			u[d] = b[d] / TRAIN_NOISE_VAR;
		if (mat_cholesky64(a, WIDE) < 0)
			return NAN;
		mat_solve64(a, WIDE, u, 1);
		for (size_t j = 0; j < ITEMS; j++) {
			score[j] = (1 - view->plain) * dot(t->z + c->query * DIM, t->v + j * DIM, DIM) / view->gain +
			    view->plain * dot(t->q + c->query * DIM, t->x + j * DIM, DIM) / (view->base_gain * TRAIN_SLOPE);
			for (size_t d = 0; d < WIDE; d++)
				score[j] += u[d] * f[j][d] / TRAIN_SLOPE;
			all += exp(score[j]);
		}
		sum += c->weight * (score[c->item] - log1p(all - 1));
		weight += c->weight;
		for (size_t d = 0; d < WIDE; d++) {
			double g = f[c->item][d] - mean[d];
			b[d] += g * (1 - TRAIN_BASE_RATE);
			for (size_t e = 0; e < WIDE; e++)
				gram[d * WIDE + e] += g * (f[c->item][e] - mean[e]);
		}
	}
	return sum / weight;
}

static void
test_foretell(void)
{
	struct train_log *log = make_log();
	struct trained t;
	double chol[DIM * DIM];
	unsigned char of[USERS] = { [3] = 1 };
	struct rng r = rng_at(15, 0);

	trained_new(&t, log, rows, ITEMS, ITEMS);
	for (size_t i = 0; i < USERS * DIM; i++)
		t.user.at[i] = (float)rng_normal(&r);
	for (size_t i = 0; i < ITEMS * DIM; i++)
		t.item.at[i] = .3f * (float)rng_normal(&r);
	trained_vectors(&t);
	train_prior(&t, NULL, .5, chol);
	for (size_t i = 0; i < 2; i++) {
		struct train_view view = { .gain = 3, .plain = i ? .3 : 0, .base_gain = 2 };
		double found = train_foretell(&t, log, of, chol, &view, 1), slow = slow_foretell(&t, log, chol, &view);
		claim(fabs(found - slow) < 1e-4 * fabs(slow), "next clicks are foretold as by a belief solved anew, with a plain share of %g "
		    "(%.5f, %.5f)", view.plain, found, slow);
	}
	trained_free(&t);
	train_log_free(log);
}

/* cov + spread tr / dim I, and with no users the identity. */
static void
test_prior(void)
{
	struct train_log *log = make_log();
	struct trained t;
	double chol[DIM * DIM], worst = 0, cov[DIM][DIM] = {{0}}, mean[DIM] = {0}, trace = 0;
	struct rng r = rng_at(14, 0);

	trained_new(&t, log, rows, ITEMS, 0);
	train_prior(&t, NULL, .5, chol);
	for (size_t i = 0; i < DIM; i++)
		for (size_t j = 0; j < DIM; j++)
			worst = fmax(worst, fabs(chol[i * DIM + j] - (i == j)));
	claim(worst == 0, "users of whom nothing was learnt have unit variance");
	for (size_t i = 0; i < USERS * DIM; i++)
		t.user.at[i] = (float)rng_normal(&r);
	for (size_t a = 0; a < USERS; a++)
		for (size_t d = 0; d < DIM; d++)
			mean[d] += t.user.at[a * DIM + d] / (double)USERS;
	for (size_t a = 0; a < USERS; a++)
		for (size_t d = 0; d < DIM; d++)
			for (size_t e = 0; e < DIM; e++)
				cov[d][e] += (t.user.at[a * DIM + d] - mean[d]) * (t.user.at[a * DIM + e] - mean[e]) / USERS;
	for (size_t d = 0; d < DIM; d++)
		trace += cov[d][d];
	train_prior(&t, NULL, .5, chol);
	worst = 0;
	for (size_t i = 0; i < DIM; i++)
		for (size_t j = 0; j < DIM; j++) {
			double s = 0;
			for (size_t k = 0; k < DIM; k++)
				s += chol[i * DIM + k] * chol[j * DIM + k];
			worst = fmax(worst, fabs(s - cov[i][j] - (i == j ? .5 * trace / DIM : 0)));
		}
	claim(worst < 1e-6, "the prior is the covariance of users and room beside it (off by %.1e)", worst);
	trained_free(&t);
	train_log_free(log);
}

/* log N(r; b + w c, K) by elimination in long double. */
static double
slow_density(const float *f, const double *asked, const double *reward, size_t n, const struct evidence_constants *c)
{
	long double a[8][9], square = 0, log_det = 0, e[8];

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < n; j++) {
			long double k = 0;
			for (size_t d = 0; d < DIM; d++)
				k += (long double)f[i * DIM + d] * f[j * DIM + d];
			a[i][j] = k / c->lambda + c->query_var * asked[i] * asked[j];
		}
		a[i][i] += c->half_life > 0 ? c->noise_var * exp2l((long double)(n - 1 - i) / c->half_life) : c->noise_var;
		a[i][n] = e[i] = reward[i] - c->base_rate - c->query_mean * asked[i];
	}
	for (size_t r = 0; r < n; r++) {
		log_det += logl(a[r][r]);
		for (size_t q = 0; q < n; q++)
			if (q != r) {
				long double g = a[q][r] / a[r][r];
				for (size_t k = r; k <= n; k++)
					a[q][k] -= g * a[r][k];
			}
	}
	for (size_t r = 0; r < n; r++)
		square += e[r] * a[r][n] / a[r][r];
	return (double)(-.5L * (square + log_det + n * logl(2 * 3.14159265358979323846L)));
}

static void
test_evidence(void)
{
	struct evidence_constants c = { 3, .2, .1, 0, .5, .3 }, fitted;
	struct evidence_report report;
	struct fault fault;
	struct evidence *e = evidence_new(DIM);
	double slow = 0;

	for (uint64_t user = 0; user < 3; user++) {
		float f[8 * DIM];
		double asked[8], reward[8];
		struct rng r = rng_at(31, user);
		for (size_t i = 0; i < 8; i++) {
			for (size_t d = 0; d < DIM; d++)
				f[i * DIM + d] = (float)rng_normal(&r);
			asked[i] = rng_normal(&r);
			reward[i] = rng_normal(&r);
			evidence_add(e, (struct span){ (const char *)&user, sizeof user }, f + i * DIM, asked[i], reward[i]);
		}
		c.half_life = 5;
		slow += slow_density(f, asked, reward, 8, &c);
	}
	claim(fabs(evidence_of(e, &c) - slow) < 1e-9 * fabs(slow), "the evidence is the density spelt out, with a half-life too (%.9f)", slow);
	evidence_free(e);

	/* constants by which rewards were made are found again */
	e = evidence_new(DIM);
	for (uint64_t user = 0; user < 300; user++) {
		struct rng r = rng_at(32, user);
		double u[DIM], w = .5 + .3 * rng_normal(&r);
		for (size_t d = 0; d < DIM; d++)
			u[d] = rng_normal(&r) / sqrt(25);
		for (size_t i = 0; i < 60; i++) {
			float f[DIM];
			double asked = rng_normal(&r), reward = .2 + w * asked + .3 * rng_normal(&r);
			for (size_t d = 0; d < DIM; d++) {
				f[d] = (float)rng_normal(&r);
				reward += u[d] * f[d];
			}
			evidence_add(e, (struct span){ (const char *)&user, sizeof user }, f, asked, reward);
		}
	}
	fitted = (struct evidence_constants){ 1, 1, 0, 0, 0, 0 };
	int done = evidence_fit(e, &fitted, 1, 1, 2, &report, &fault);
	claim(done == 0 && report.n_reward == 18000 && report.n_user == 300 && report.after > report.before, "a log is fitted");
	claim(fabs(fitted.base_rate - .2) < .02 && fabs(fitted.query_mean - .5) < .06, "means are found again (%.3f, %.3f)",
	    fitted.base_rate, fitted.query_mean);
	claim(fitted.lambda > 18 && fitted.lambda < 35 && fitted.noise_var > .07 && fitted.noise_var < .12 && fitted.query_var > .06 &&
	    fitted.query_var < .13 && fitted.half_life == 0, "and variances within a step (%.3g, %.3g, %.3g), and that nobody changes",
	    fitted.lambda, fitted.noise_var, fitted.query_var);
	struct evidence_constants one = { 1, 1, 0, 0, 0, 0 }, two = one;
	struct evidence_report other;
	evidence_fit(e, &one, 0, 0, 1, &other, &fault);
	evidence_fit(e, &two, 0, 0, 2, &other, &fault);
	claim(memcmp(&one, &two, sizeof one) == 0, "one thread and two find the same bits");
	evidence_free(e);
	e = evidence_new(DIM);
	float f[DIM] = { 1 };
	for (size_t i = 0; i < 20; i++)
		evidence_add(e, (struct span){ "a", 1 }, f, 0, 0);
	claim(evidence_fit(e, &one, 0, 0, 1, &other, &fault) < 0 && strstr(fault.text, "all the same"), "rewards that are all the same are told");
	evidence_free(e);
}

int
main(void)
{
	struct fault f;

	if (!claim(mat_check(&f) == 0, "the BLAS computes right"))
		return 1;
	test_gradient();
	test_prior();
	test_fit();
	test_beside();
	test_foretell();
	test_evidence();
	return claim_n_failed > 0;
}
