/*
 * vectors.h - word vectors from a file: GloVe text, word2vec text (a first line "words dimension") and word2vec
 *             binary, each of them gzipped or not
 */
#ifndef HARE_EMBED_VECTORS_H
#define HARE_EMBED_VECTORS_H

#include <stddef.h>

#include "base/fault.h"
#include "embed/corpus.h"

struct vectors {
	size_t dim;
	struct corpus words;    /* used as a dictionary: word i has row i */
	float *row;             /* [words.n_word][dim] */
	size_t n_row_cap;
	unsigned char *exact;   /* [words.n_word] the file's word was folded already */
	size_t n_exact_cap;
};
/* Keeps the words that c has, and of others the first until n_max are kept in all. A word of the file is folded as
   those of texts are; what folds to several words or none is passed over; where several fold to one, that which was
   folded already wins, else the first. 0, or -1 with *f set: "FILE:LINE: ...". */
int vectors_read(struct vectors *v, const char *path, const struct corpus *c, size_t n_max, struct fault *f);
void vectors_free(struct vectors *v);

#endif
