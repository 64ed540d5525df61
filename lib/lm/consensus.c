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
	uint64_t *at;                   /* [n] hashes, ascending */
	size_t n;
};

/* Words, or without a vocabulary tokens. */
static struct words
words_of(const struct bpe *bpe, const uint32_t *token, size_t n, struct text_words *t, struct buf *text)
{
	struct words w = { 0 };

	if (!bpe) {
		w.at = xmalloc(n + 1, sizeof *w.at);
		for (size_t i = 0; i < n; i++)
			w.at[w.n++] = token[i];
	} else {
		buf_clear(text);
		bpe_decode(bpe, token, n, text);
		text_words(t, text->at, text->n);
		w.at = xmalloc(t->n + 1, sizeof *w.at);
		for (size_t i = 0; i < t->n; i++)
			w.at[w.n++] = hash64(t->at[i].at, t->at[i].n, 0);
	}
	qsort(w.at, w.n, sizeof *w.at, hash64_order);
	return w;
}

/* F measure of the words that both have, each as often as in both. */
static double
agreement(const struct words *a, const struct words *b)
{
	size_t i = 0, j = 0, n_same = 0;

	while (i < a->n && j < b->n) {
		if (a->at[i] == b->at[j]) {
			n_same++;
			i++;
			j++;
		} else if (a->at[i] < b->at[j])
			i++;
		else
			j++;
	}
	return a->n + b->n > 0 ? 2 * (double)n_same / (double)(a->n + b->n) : 1;
}

size_t
lm_consensus(const struct bpe *bpe, const struct lm_text *text, const double *worth, size_t n)
{
	struct words *w = xmalloc(n, sizeof *w);
	double *weight = xmalloc(n, sizeof *weight), top = -INFINITY, most = -1;
	struct text_words scratch = { 0 };
	struct buf written = { 0 };
	size_t best = 0;

	for (size_t i = 0; i < n; i++) {
		w[i] = words_of(bpe, text[i].token, text[i].n, &scratch, &written);
		top = worth[i] > top ? worth[i] : top;
	}
	for (size_t i = 0; i < n; i++)
		weight[i] = worth[i] > -INFINITY ? exp(worth[i] - top) : 0;
	for (size_t i = 0; i < n; i++) {
		double sum = 0;
		for (size_t j = 0; j < n; j++)
			sum += weight[j] * agreement(&w[i], &w[j]);
		if (sum > most || (!(sum < most) && worth[i] > worth[best])) {
			most = sum;
			best = i;
		}
	}
	for (size_t i = 0; i < n; i++)
		free(w[i].at);
	free(w);
	free(weight);
	text_words_free(&scratch);
	buf_free(&written);
	return best;
}
