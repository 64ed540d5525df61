#include "eval/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mat/mat.h"

const struct eval_block eval_replay_blocks[] = { { "1-10", 1, 10 }, { "11-30", 11, 30 }, { "31-100", 31, 100 },
    { "all", 1, SIZE_MAX }, { NULL, 0, 0 } };
const struct eval_block eval_simulate_blocks[] = { { "1-10", 1, 10 }, { "11-50", 11, 50 }, { "51-200", 51, 200 },
    { "all", 1, SIZE_MAX }, { NULL, 0, 0 } };

/* Rows that a user was shown; cleared by counting on. */
struct seen {
	uint32_t *when;                 /* [n], user's number plus one of the last who saw it */
	size_t n;
};

static int
is_new(struct seen *s, uint32_t row, uint32_t user)
{
	if (row >= s->n) {
		s->when = xrealloc(s->when, row + 1024, sizeof *s->when);
		memset(s->when + s->n, 0, (row + 1024 - s->n) * sizeof *s->when);
		s->n = row + 1024;
	}
	return s->when[row] != user + 1;
}

void
eval_hits(const struct eval_run *r, const struct eval_task *t, const struct eval_block *block, int measure, double *value)
{
	struct seen seen = {0};

	for (size_t u = 0; u < t->n_user; u++) {
		size_t n_in = 0, n_hit = 0;
		for (size_t step = t->first[u]; step < t->first[u + 1]; step++) {
			const uint32_t *shown = r->shown + step * r->n_show;
			const float *reward = r->reward + step * r->n_show;
			size_t place = step - t->first[u] + 1, n = measure == EVAL_HIT1 ? 1 : r->n_show;
			int hit = 0;
			for (size_t i = 0; i < n; i++)
				hit |= reward[i] > 0 && (measure != EVAL_NEW || is_new(&seen, shown[i], (uint32_t)u));
			if (measure == EVAL_NEW)
				for (size_t i = 0; i < n; i++)
					if (is_new(&seen, shown[i], (uint32_t)u))       /* also makes room for it */
						seen.when[shown[i]] = (uint32_t)u + 1;
			if (place >= block->from && place <= block->to) {
				n_in++;
				n_hit += (size_t)hit;
			}
		}
		value[u] = n_in ? (double)n_hit / (double)n_in : NAN;
	}
	free(seen.when);
}

double
eval_score(const struct eval_run *r, const struct eval_task *t)
{
	static const struct eval_block all = { "all", 1, SIZE_MAX };
	double *value, mean, error, sum = 0;

	if (r->n_show == 1) {
		for (size_t i = 0; i < t->n_step; i++)
			sum += (double)r->reward[i];
		return sum / (double)t->n_step;
	}
	value = xmalloc(t->n_user, sizeof *value);
	eval_hits(r, t, &all, EVAL_HIT, value);
	eval_mean(value, t->n_user, &mean, &error);
	free(value);
	return mean;
}

int
eval_report_hits(struct eval_table *out, const char *name, const struct eval_run *r, const struct eval_task *t,
    const struct eval_block *blocks, const char *against, const struct eval_run *other, struct fault *f)
{
	double *value = xmalloc(2 * t->n_user, sizeof *value), *less = value + t->n_user;
	int status = 0;

	for (int m = r->n_show > 1 ? EVAL_HIT1 : EVAL_HIT; m < EVAL_MEASURES && status == 0; m++) {
		char measure[32];
		snprintf(measure, sizeof measure, "%s@%zu", m == EVAL_NEW ? "new" : "hit", m == EVAL_HIT1 ? 1 : r->n_show);
		for (const struct eval_block *b = blocks; b->name && status == 0; b++) {
			struct eval_line line = { "hit", name, NULL, measure, b->name, 0, 0, 0 };
			eval_hits(r, t, b, m, value);
			if (other) {
				if (m == EVAL_HIT1 && r->n_show > 1)
					continue;
				line.table = "pair";
				line.against = against;
				eval_hits(other, t, b, m, less);
				for (size_t u = 0; u < t->n_user; u++)
					value[u] -= less[u];
			}
			line.n = eval_mean(value, t->n_user, &line.value, &line.error);
			if (line.n > 0)
				status = eval_table_put(out, line, f);
		}
	}
	free(value);
	return status;
}

int
eval_report_entropy(struct eval_table *out, const char *table, const char *name, const struct eval_run *r, struct fault *f)
{
	size_t n = r->n_probe_user;
	double *value = xmalloc(n, sizeof *value);
	int status = 0;

	for (size_t c = 0; c < EVAL_CHECKS && status == 0; c++) {
		char block[24];
		struct eval_line line = { table, name, NULL, "entropy", block, 0, 0, 0 };
		snprintf(block, sizeof block, "%zu", eval_check[c]);
		for (size_t u = 0; u < n; u++)
			value[u] = r->entropy[u * EVAL_CHECKS + c];
		if ((line.n = eval_mean(value, n, &line.value, &line.error)) > 0)
			status = eval_table_put(out, line, f);
	}
	for (size_t u = 0; u < n; u++) {
		size_t last = 0;
		for (size_t c = 1; c < EVAL_CHECKS; c++)
			if (r->reached[u * EVAL_CHECKS + c])
				last = c;
		value[u] = last == 0 ? NAN : r->entropy[u * EVAL_CHECKS + last] < r->entropy[u * EVAL_CHECKS];
	}
	struct eval_line line = { table, name, NULL, "falls", "all", 0, 0, 0 };
	line.n = eval_mean(value, n, &line.value, &line.error);
	if (status == 0 && line.n > 0)
		status = eval_table_put(out, line, f);
	free(value);
	return status;
}

static double
share_common(const uint32_t *a, const uint32_t *b)
{
	size_t n = 0;

	for (size_t i = 0; i < EVAL_PROBE_TOP; i++)
		for (size_t j = 0; j < EVAL_PROBE_TOP; j++)
			n += a[i] == b[j];
	return (double)n / EVAL_PROBE_TOP;
}

/* One value for each user: his mean over all others, so that an error over users can be told. */
static void
diverge(const struct eval_run *r, size_t check, int by_z, double *value)
{
	size_t n = r->n_probe_user;

	for (size_t u = 0; u < n; u++) {
		double sum = 0;
		size_t n_pair = 0, a = u * EVAL_CHECKS + check;
		for (size_t v = 0; v < n; v++) {
			size_t b = v * EVAL_CHECKS + check;
			if (v == u || r->world[u] != r->world[v] || !r->reached[a] || !r->reached[b])
				continue;
			for (size_t p = 0; p < r->n_probe; p++, n_pair++) {
				size_t i = a * r->n_probe + p, j = b * r->n_probe + p;
				if (!by_z) {
					sum += share_common(r->top + i * EVAL_PROBE_TOP, r->top + j * EVAL_PROBE_TOP);
					continue;
				}
				const float *x = r->z + i * r->dim, *y = r->z + j * r->dim;
				double length = mat_norm(x, r->dim) * mat_norm(y, r->dim);
				sum += length > 0 ? 1 - mat_dot64(x, y, r->dim) / length : 0;
			}
		}
		value[u] = n_pair ? sum / (double)n_pair : NAN;
	}
}

int
eval_report_divergence(struct eval_table *out, const char *name, const struct eval_run *r, struct fault *f)
{
	double *value = xmalloc(r->n_probe_user, sizeof *value);
	int status = 0;

	for (int by_z = r->attends; by_z >= 0; by_z--)
		for (size_t c = 0; c < EVAL_CHECKS && status == 0; c++) {
			char block[24];
			struct eval_line line = { "divergence", name, NULL, by_z ? "z" : "top5", block, 0, 0, 0 };
			snprintf(block, sizeof block, "%zu", eval_check[c]);
			diverge(r, c, by_z, value);
			if ((line.n = eval_mean(value, r->n_probe_user, &line.value, &line.error)) > 0)
				status = eval_table_put(out, line, f);
		}
	free(value);
	return status;
}
