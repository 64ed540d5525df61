#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "embed/codebook.h"
#include "mat/mat.h"
#include "train/inside.h"

/* A row that was shown against all odds is not to outvote the rest: in units of the mean weight. */
static const double WEIGHT_MAX = 10;

void
train_defaults(struct train_options *o)
{
	*o = (struct train_options){ .n_round_max = 0, .n_candidate = 8192, .ridge = 4, .spread = NAN, .gain = NAN,
	    .item_map = 1, .query_map = 1, .items = 1, .queries = 1, .users = 1, .n_thread = 1 };
}

static void
tell(const struct train_options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
tell(const struct train_options *o, const char *format, ...)
{
	char line[256];
	va_list args;

	if (!o->tell)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	o->tell(line, o->tell_arg);
}

/* Items that were clicked come first, in the order of their first click; then others, drawn by seed. The clicks' items
   become places in that list. Returns row_of [*n], which the caller frees. */
static uint32_t *
choose_candidates(struct train_log *log, size_t n_row, const struct train_options *o, size_t *n_known, size_t *n)
{
	uint32_t *row_of = xmalloc(n_row, sizeof *row_of), *place = xcalloc(n_row, sizeof *place);
	struct rng r = rng_at(o->seed, 0);
	size_t n_wanted = o->n_candidate;

	*n = 0;
	for (size_t i = 0; i < log->n; i++) {
		uint32_t row = log->click[i].item;
		if (place[row] == 0) {
			row_of[*n] = row;
			place[row] = (uint32_t)++*n;
		}
		log->click[i].item = place[row] - 1;
	}
	*n_known = *n;
	/* One pass that takes each of what is left with the chance that leaves the right number (Knuth, algorithm S). */
	size_t n_left = n_row - *n, n_more = n_wanted < n_left ? n_wanted : n_left;
	for (size_t row = 0; row < n_row && n_more > 0; row++) {
		if (place[row] != 0)
			continue;
		if (rng_below(&r, n_left--) < n_more) {
			row_of[(*n)++] = (uint32_t)row;
			n_more--;
		}
	}
	free(place);
	return row_of;
}

/* Who is held out: part 1 every tenth user, part 2 a cluster of users by what they clicked, the smallest that holds
   at least a thirtieth of them (none if there are fewer than 30 users). */
static void
hold_out(const struct trained *t, const struct train_log *log, const struct train_options *o, unsigned char *part,
    struct train_report *report)
{
	size_t dim = t->dim, n = t->n_user, n_cluster = 8, count[8] = {0}, least = SIZE_MAX;
	float *mean = xcalloc(n * dim, sizeof *mean), *centre = NULL;
	unsigned char *of = xcalloc(n, sizeof *of);
	struct codebook book;

	memset(part, 0, n);
	for (size_t i = 0; i < log->n; i++)
		for (size_t d = 0; d < dim; d++)
			mean[log->click[i].user * dim + d] += t->x[log->click[i].item * dim + d];
	codebook_init(&book, dim, n_cluster, o->seed);
	for (size_t a = 0; a < n; a++) {
		mat_normalise(mean + a * dim, dim);
		codebook_add(&book, mean + a * dim);
	}
	if (n >= 30) {
		n_cluster = codebook_make(&book, n_cluster, o->n_thread, &centre);
		for (size_t a = 0; a < n; a++) {
			double best = -INFINITY;
			for (size_t c = 0; c < n_cluster; c++) {
				double s = mat_dot64(mean + a * dim, centre + c * dim, dim);
				if (s > best) {
					best = s;
					of[a] = (unsigned char)c;
				}
			}
			count[of[a]]++;
		}
		for (size_t c = 0; c < n_cluster; c++)
			if (n_cluster > 1 && count[c] * 30 >= n && (least == SIZE_MAX || count[c] < count[least]))
				least = c;
	}
	report->n_held_out = report->n_stranger = 0;
	for (size_t a = 0; a < n; a++) {
		if (least != SIZE_MAX && of[a] == least) {
			part[a] = 2;
			report->n_stranger++;
		} else if (n >= 10 && a % 10 == 9) {
			part[a] = 1;
			report->n_held_out++;
		}
	}
	codebook_free(&book);
	free(centre);
	free(mean);
	free(of);
}

static void
select_part(unsigned char *out, const unsigned char *part, size_t n, int which)
{
	for (size_t a = 0; a < n; a++)
		out[a] = part[a] == which;
}

/* Adam's step falls to nearly nothing over the rounds. */
static double
rate_of(const struct train_options *o, size_t round)
{
	return .02 * (1 - (double)round / (double)o->n_round_max) + .001;
}

struct choice {
	double spread, held, stranger;
	struct train_view view;
};

static double
both_of(struct choice c)
{
	return isfinite(c.held) && isfinite(c.stranger) ? (c.held + c.stranger) / 2 : isfinite(c.held) ? c.held : c.stranger;
}

/* What is chosen where nobody is held out. */
static struct choice
given_prior(const struct train_options *o, double base_gain)
{
	return (struct choice){ .spread = isnan(o->spread) ? 1 : o->spread, .held = NAN, .stranger = NAN,
	    .view = { .gain = isnan(o->gain) ? 2 : o->gain, .plain = isnan(o->plain) ? .5 : o->plain, .base_gain = base_gain } };
}

static void
try_view(struct choice *best, struct choice now, const struct trained *t, const struct train_log *log, unsigned char *const kind[3],
    const double *chol, size_t n_thread)
{
	now.held = train_foretell(t, log, kind[1], chol, &now.view, n_thread);
	now.stranger = train_foretell(t, log, kind[2], chol, &now.view, n_thread);
	if (isnan(best->held) || both_of(now) > both_of(*best))
		*best = now;
}

/* The spread and the gain, and then the plain share, under which the next clicks of both kinds of held-out users are most
   probable, each kind counting half: people like those of the log and people unlike them. */
static struct choice
choose_prior(const struct trained *t, const struct train_log *log, const unsigned char *part, const struct train_options *o,
    double base_gain)
{
	static const double spreads[] = { .1, .3, 1 }, gains[] = { 1, 2, 3 }, shares[] = { .25, .5, .75 };
	size_t dim = t->dim, n = t->n_user;
	double *chol = xmalloc(dim * dim, sizeof *chol);
	unsigned char *kind[3];
	struct choice best = given_prior(o, base_gain), now = best;

	for (int k = 0; k < 3; k++) {
		kind[k] = xmalloc(n, 1);
		select_part(kind[k], part, n, k);
	}
	now.view.plain = isnan(o->plain) ? 0 : o->plain;
	for (size_t s = 0; s < (isnan(o->spread) ? 3 : 1); s++) {
		now.spread = isnan(o->spread) ? spreads[s] : o->spread;
		train_prior(t, kind[0], now.spread, chol);
		for (size_t g = 0; g < (isnan(o->gain) ? 3 : 1); g++) {
			now.view.gain = isnan(o->gain) ? gains[g] : o->gain;
			try_view(&best, now, t, log, kind, chol, o->n_thread);
		}
	}
	now = best;
	if (isnan(o->plain))
		train_prior(t, kind[0], now.spread, chol);
	for (size_t p = 0; isnan(o->plain) && p < 3; p++) {
		now.view.plain = shares[p];
		try_view(&best, now, t, log, kind, chol, o->n_thread);
	}
	free(chol);
	for (int k = 0; k < 3; k++)
		free(kind[k]);
	return best;
}

/* The same with a prior that is given. */
static struct choice
try_prior(const struct trained *t, const struct train_log *log, const unsigned char *part, const struct train_options *o,
    double base_gain)
{
	struct train_options fixed = *o;
	struct choice c = given_prior(o, base_gain);

	fixed.spread = c.spread;
	fixed.gain = c.view.gain;
	/* how long to learn is asked of what is learnt alone */
	fixed.plain = 0;
	return choose_prior(t, log, part, &fixed, base_gain);
}

/* The first fit, without those held out: how many rounds, which prior. */
static struct choice
rehearse(struct trained *t, struct train_log *log, const unsigned char *part, const struct train_options *o, double base_gain,
    size_t *n_round, struct train_report *report)
{
	unsigned char *fit = xmalloc(t->n_user, 1);
	struct choice best = try_prior(t, log, part, o, base_gain), now;
	size_t n_worse = 0;

	report->before = best.held;
	report->stranger_before = best.stranger;
	select_part(fit, part, t->n_user, 0);
	*n_round = 0;
	for (size_t round = 0; round < o->n_round_max && n_worse < 2; round++) {
		double loss = train_round(t, log, fit, o, round, rate_of(o, round));
		now = try_prior(t, log, part, o, base_gain);
		tell(o, "round %zu: loss %.3f; next clicks of held-out users %.3f, of strangers %.3f", round + 1, loss, now.held, now.stranger);
		if (both_of(now) > both_of(best) || *n_round == 0) {
			best = now;
			*n_round = round + 1;
			n_worse = 0;
		} else {
			n_worse++;
		}
	}
	/* The parameters are those of the last round, two behind the best at most. */
	best = choose_prior(t, log, part, o, base_gain);
	report->after = best.held;
	report->stranger_after = best.stranger;
	free(fit);
	return best;
}

int
train_attention(const struct model *base, const float *rows, size_t n_row, struct train_log *log,
    const struct train_options *wanted, const char *path, struct train_report *report, struct fault *f)
{
	struct train_options options = *wanted, *o = &options;
	size_t dim = log->dim, n_known, n_item, n_step = (log->n + TRAIN_BATCH - 1) / TRAIN_BATCH;
	struct trained t;

	if (o->n_round_max == 0) {
		size_t n = n_step ? (320 + n_step - 1) / n_step : 8;
		o->n_round_max = n < 8 ? 8 : n > 160 ? 160 : n;
	}
	size_t n_round = o->n_round_max;

	*report = (struct train_report){ .n_click = log->n, .n_user = log->n_user, .n_query = log->n_query,
	    .before = NAN, .after = NAN, .stranger_before = NAN, .stranger_after = NAN };
	if (log->n < 10 || log->n_user < 2)
		return fault(f, EX_DATAERR, "expected at least 10 clicks of 2 users, got %zu of %zu", log->n, log->n_user);
	double mean = 0;
	for (size_t i = 0; i < log->n; i++)
		mean += log->click[i].weight / (double)log->n;
	for (size_t i = 0; i < log->n; i++)
		log->click[i].weight = fminf(log->click[i].weight, (float)(WEIGHT_MAX * mean));
	uint32_t *row_of = choose_candidates(log, n_row, o, &n_known, &n_item);
	float *x = xaligned(n_item * dim, sizeof *x);
	for (size_t j = 0; j < n_item; j++)
		memcpy(x + j * dim, rows + (size_t)row_of[j] * dim, dim * sizeof *x);
	report->n_item = n_known;
	report->n_candidate = n_item;
	trained_new(&t, log, x, n_item, n_known);
	unsigned char *part = xcalloc(log->n_user, 1);
	hold_out(&t, log, o, part, report);
	double base_gain = base->gain > 0 ? base->gain : 1;
	struct choice chosen = given_prior(o, base_gain);
	if (report->n_held_out + report->n_stranger > 0) {
		chosen = rehearse(&t, log, part, o, base_gain, &n_round, report);
		trained_free(&t);
		trained_new(&t, log, x, n_item, n_known);
	}
	for (size_t round = 0; round < n_round; round++) {
		double loss = train_round(&t, log, NULL, o, round, rate_of(o, round));
		tell(o, "last fit, round %zu of %zu: loss %.3f", round + 1, n_round, loss);
	}
	report->n_round = n_round;
	report->spread = chosen.spread;
	report->gain = chosen.view.gain;
	report->plain = chosen.view.plain;
	double *chol = xmalloc(dim * dim, sizeof *chol);
	train_prior(&t, NULL, chosen.spread, chol);
	int e = train_write(base, &t, rows, n_row, chol, &chosen.view, o, path, &report->dim, f);
	free(chol);
	free(part);
	trained_free(&t);
	free(x);
	free(row_of);
	return e;
}
