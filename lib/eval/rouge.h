/*
 * rouge.h - how near a text comes to another: overlap of words
 *
 *   words     maximal runs of a-z and 0-9 of the text in small letters; no stemming, no stop words
 *   rouge-1   F1 of the overlap of words, each counted as often as the text that has it less often
 *   rouge-l   F1 of the longest common subsequence of words
 *   source    Lin, ROUGE: A Package for Automatic Evaluation of Summaries (2004), sections 2 and 3
 *   interval  of a mean over texts: percentiles of 2,000 draws of whole groups, for texts of a group are not independent
 */
#ifndef HARE_EVAL_ROUGE_H
#define HARE_EVAL_ROUGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

struct rouge_words {                    /* scratch and result; {0} to begin */
	struct span *at;                /* [n], borrowed from folded */
	size_t n, n_cap;
	struct buf folded;
};
void rouge_words(struct rouge_words *w, struct span text);
void rouge_words_free(struct rouge_words *w);

struct rouge {
	double one, l;
};
/* 0 if either has no word. O(words of a times words of b). */
struct rouge rouge_of(const struct rouge_words *a, const struct rouge_words *b);

struct rouge_interval {
	double mean, low, high;         /* 95 % */
};
/* Of value [n] in groups group [n] < n_group. skip: a group that is left out, SIZE_MAX: none. */
struct rouge_interval rouge_interval(const double *value, const uint32_t *group, size_t n, size_t n_group, size_t skip,
    uint64_t seed);

#endif
