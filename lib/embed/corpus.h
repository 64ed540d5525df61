/*
 * corpus.h - the texts of a fit as numbers: distinct words, documents as lists of them, terms, a sparse matrix
 *
 *   memory   a text is not kept, only four bytes for each of its words; words and pairs of words are kept once
 *   order    words are numbered as they first occur, terms by their bytes; neither depends on threads or batches
 */
#ifndef HARE_EMBED_CORPUS_H
#define HARE_EMBED_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "embed/sparse.h"
#include "text/text.h"

struct corpus {
	size_t n_doc, n_word;
	struct buf bytes;               /* of all words, end to end */
	size_t *word_start;             /* [n_word + 1] into bytes */
	uint64_t *word_count;           /* [n_word] occurrences */
	uint32_t *word_df;              /* [n_word] documents that it occurs in */
	uint32_t *token;                /* [n_token] words of all documents, end to end */
	size_t *doc_start;              /* [n_doc + 1] into token */
	size_t n_token;
	/* the rest is the business of corpus.c */
	uint32_t *word_last;            /* [n_word] last document it was seen in, plus one */
	struct corpus_slot { uint32_t tag, word_1; } *slot;     /* [n_slot], word plus one */
	size_t n_slot, n_word_cap[4], n_token_cap, n_doc_cap;
	struct text_words *words;       /* [n_words] one for each text of a batch */
	uint64_t **hash;
	size_t *n_hash_cap;
	size_t n_words;
};
void corpus_init(struct corpus *c);
void corpus_free(struct corpus *c);
/* -1 with *f set if there are more words or texts than 32 bits can number. */
int corpus_add(struct corpus *c, const struct span *text, size_t n, size_t n_thread, struct fault *f);
struct span corpus_word(const struct corpus *c, size_t word);
/* UINT32_MAX if it did not occur. */
uint32_t corpus_find(const struct corpus *c, struct span word);
/* The number of a word, a new one if it did not occur; counts nothing: for a corpus used as a dictionary. */
uint32_t corpus_intern(struct corpus *c, struct span word);
void corpus_drop_tokens(struct corpus *c);      /* once the matrix is made: words and counts stay */

/* Terms: words, and pairs of neighbours as "word next", sorted by their bytes. */
struct terms {
	size_t n;
	struct buf bytes;
	uint32_t *start;                /* [n + 1] into bytes */
	uint32_t *df;                   /* [n] */
	uint32_t (*word)[2];            /* [n] words of the corpus; the second is UINT32_MAX for a word alone,
	                                   the first too for one that does not occur in it */
};
struct terms_options {
	size_t n_max;
	size_t min_df, min_df_pair;     /* documents that a word, a pair must be in */
	double max_df;                  /* share of the documents */
	int bigrams;
	int stop_words;                 /* function words make no terms, nor pairs with one */
	size_t n_thread;
};
/* At most n_max terms that occur in enough documents and in max_df of them or fewer, those of more documents
   first, ties by bytes. -1 with *f set if none is left, or their bytes go beyond 32 bits. */
int terms_choose(struct terms *t, const struct corpus *c, const struct terms_options *o, struct fault *f);
void terms_free(struct terms *t);

/* Documents by terms: entry (d, t) is weight(tf), the scales are 1. sublinear: 1 + log tf, else tf. Terms of a
   document stand in the order in which they first occur. End with sparse_free(). */
void terms_matrix(struct sparse *a, const struct terms *t, const struct corpus *c, int sublinear, size_t n_thread);

#endif
