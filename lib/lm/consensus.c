/*
 * Of the texts that a search ended, the one that agrees best with the others.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "lm/run_inside.h"
#include "text/text.h"

struct words {
	uint64_t *at;                   /* [n] hashes, as they stand */
	uint64_t *sorted;               /* [n] ascending */
	size_t n;
};

/* Words, or without a vocabulary tokens. */
static struct words
words_of(const struct bpe *bpe, const uint32_t *token, size_t n, struct text_words *t, struct buf *text)
{
	struct words w = { .n = n };

	if (bpe) {
		buf_clear(text);
		bpe_decode(bpe, token, n, text);
		text_words(t, text->at, text->n);
		w.n = t->n;
	}
	w.at = xmalloc(w.n + 1, sizeof *w.at);
	w.sorted = xmalloc(w.n + 1, sizeof *w.sorted);
	for (size_t i = 0; i < w.n; i++)
		w.at[i] = bpe ? hash64(t->at[i].at, t->at[i].n, 0) : token[i];
	memcpy(w.sorted, w.at, w.n * sizeof *w.at);
	qsort(w.sorted, w.n, sizeof *w.sorted, hash64_order);
	return w;
}

/* Words that both have, each as often as in both. */
static size_t
n_common(const struct words *a, const struct words *b)
{
	size_t i = 0, j = 0, n = 0;

	while (i < a->n && j < b->n) {
		if (a->sorted[i] == b->sorted[j]) {
			n++;
			i++;
			j++;
		} else if (a->sorted[i] < b->sorted[j])
			i++;
		else
			j++;
	}
	return n;
}

/* Words of the longest common subsequence; row [b->n + 1] is scratch. */
static size_t
n_in_order(const struct words *a, const struct words *b, size_t *row)
{
	memset(row, 0, (b->n + 1) * sizeof *row);
	for (size_t i = 0; i < a->n; i++) {
		size_t before = 0;
		for (size_t j = 0; j < b->n; j++) {
			size_t left = row[j + 1];
			row[j + 1] = a->at[i] == b->at[j] ? before + 1 : row[j] > left ? row[j] : left;
			before = left;
		}
	}
	return row[b->n];
}

/* Mean of the F measures of common words and of common words in order; row as above. */
static double
agreement(const struct words *a, const struct words *b, size_t *row)
{
	if (a->n + b->n == 0)
		return 1;
	size_t n_both = n_common(a, b);
	return n_both == 0 ? 0 : (double)(n_both + n_in_order(a, b, row)) / (double)(a->n + b->n);
}

size_t
lm_consensus(const struct bpe *bpe, const struct lm_text *text, const double *worth, size_t n)
{
	struct words *w = xmalloc(n, sizeof *w);
	double *weight = xmalloc(n, sizeof *weight), *sum = xcalloc(n, sizeof *sum), top = -INFINITY;
	struct text_words scratch = { 0 };
	struct buf written = { 0 };
	size_t best = 0, n_most = 0;

	for (size_t i = 0; i < n; i++) {
		w[i] = words_of(bpe, text[i].token, text[i].n, &scratch, &written);
		top = worth[i] > top ? worth[i] : top;
		n_most = w[i].n > n_most ? w[i].n : n_most;
	}
	size_t *row = xmalloc(n_most + 1, sizeof *row);
	for (size_t i = 0; i < n; i++)
		weight[i] = worth[i] > -INFINITY ? exp(worth[i] - top) : 0;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j <= i; j++) {
			double both = agreement(&w[i], &w[j], row);
			sum[i] += weight[j] * both;
			if (j < i)
				sum[j] += weight[i] * both;
		}
	for (size_t i = 1; i < n; i++)
		if (sum[i] > sum[best] || (!(sum[i] < sum[best]) && worth[i] > worth[best]))
			best = i;
	for (size_t i = 0; i < n; i++) {
		free(w[i].at);
		free(w[i].sorted);
	}
	free(w);
	free(weight);
	free(sum);
	free(row);
	text_words_free(&scratch);
	buf_free(&written);
	return best;
}
