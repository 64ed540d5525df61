/*
 * What a belief says of a person, in words: the items that its mean leans to and away from.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decode/inside.h"
#include "mat/mat.h"

enum { N_NAMED = 5, BLOCK = 256 };
#define FAINT .25               /* of the strongest leaning: what is less is not worth naming */

struct leaning {
	size_t row;
	double score;           /* f_j . mean */
};

/* Keeps the N_NAMED of largest score, the first of equals, in falling order. */
static void
enter(struct leaning best[N_NAMED], size_t *n, size_t row, double score)
{
	size_t at = *n;

	if (*n == N_NAMED && score <= best[N_NAMED - 1].score)
		return;
	if (*n < N_NAMED)
		(*n)++;
	else
		at = N_NAMED - 1;
	for (; at > 0 && best[at - 1].score < score; at--)
		best[at] = best[at - 1];
	best[at] = (struct leaning){ row, score };
}

static int
put_titles(struct decode *d, const char *words, const struct leaning *best, size_t n, double faint, struct buf *out,
    struct fault *f)
{
	size_t n_put = 0;

	for (size_t i = 0; i < n && best[i].score > 0 && best[i].score >= faint; i++) {
		if (pool_check_row(d->pool, best[i].row, f) < 0)
			return -1;
		buf_puts(out, n_put++ ? "; " : words);
		decode_put_sentence(out, decode_title(d, best[i].row));
	}
	if (n_put > 0)
		buf_puts(out, ".\n");
	return 0;
}

int
decode_person(struct decode *d, const double *mean, uint64_t n_event, double share_unknown, struct buf *out, struct fault *f)
{
	size_t n_row = pool_n(d->pool), dim = pool_dim(d->pool), n_to = 0, n_away = 0;
	struct leaning to[N_NAMED], away[N_NAMED];
	double centre = 0, strongest = 0;

	if (n_event == 0) {
		buf_puts(out, "Nothing is known of this person yet.");
		return 0;
	}
	d->rows = xgrow(d->rows, &d->n_row_cap, (BLOCK + 1) * dim + BLOCK, sizeof *d->rows);
	float *lean = d->rows + BLOCK * dim, *scores = lean + dim;
	double *pool_mean = xmalloc(dim, sizeof *pool_mean);
	pool_score_sd(d->pool, pool_mean);
	for (size_t k = 0; k < dim; k++) {
		lean[k] = (float)mean[k];
		centre += pool_mean[k] * mean[k];
	}
	free(pool_mean);
	for (size_t from = 0; from < n_row; from += BLOCK) {
		size_t n = n_row - from < BLOCK ? n_row - from : BLOCK;
		const float *x = pool_rows(d->pool, from, n, d->rows, f);
		if (!x)
			return -1;
		for (size_t i = 0; i < n; i++)
			scores[i] = mat_dot(x + i * dim, lean, dim);
		for (size_t i = 0; i < n; i++) {
			enter(to, &n_to, from + i, scores[i] - centre);
			enter(away, &n_away, from + i, centre - scores[i]);
		}
	}
	if (n_to > 0)
		strongest = fmax(to[0].score, away[0].score);
	if (put_titles(d, "Leans towards: ", to, n_to, FAINT * strongest, out, f) < 0 ||
	    put_titles(d, "Leans away from: ", away, n_away, FAINT * strongest, out, f) < 0)
		return -1;
	buf_printf(out, "Learnt from %llu reaction%s; %.0f %% of what could be known is still unknown.",
	    (unsigned long long)n_event, n_event == 1 ? "" : "s", 100 * share_unknown);
	return 0;
}
