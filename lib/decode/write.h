/*
 * write.h - from attended items to words by a language model
 *
 *   reads     the question and the heaviest items (compose.h), and [z ; u], where the DECODER has a prefix
 *   item      its columns that the DECODER's metadata names in "item_columns" (by commas), one blank between; else its
 *             title; else the column of outputs that "columns" names; else its texts; else its id
 *   end       a text that was cut at n_token ends at its last sentence, or, where there is none, at its last word
 *   empty     a text without anything to see is written again, of tokens that can be seen; if copies make that one empty
 *             too, the heaviest item's text stands in
 *   faithful  tokens that are in no item and not in the question are not written, those of function words and marks apart;
 *             as tokens may join to a word that is nowhere, such a word is looked for, its tokens are shut out, and the text
 *             is written again, some times; then it ends with the sentence before that word, and without one the heaviest
 *             item's text stands in
 *   many      each thread writes a share of the requests at once, so that a step reads the weights once for all of them
 *   order     a text depends on its request alone, not on those beside it nor on threads
 */
#ifndef HARE_DECODE_WRITE_H
#define HARE_DECODE_WRITE_H

#include "decode/decode.h"
#include "lm/lm.h"

struct decode_write_options {
	size_t n_token;                 /* of a text, at most; 0: as many as the DECODER has learnt to write */
	size_t n_beam;                  /* of requests without a temperature; 1: the likeliest token each time */
	size_t n_consensus;             /* of beams, as in lm_options; 0: the likeliest text */
	size_t top_k;                   /* 0: all */
	double top_p, repetition;       /* 1: all; 1: none */
	const struct span *stop;        /* [n_stop], borrowed */
	size_t n_stop;
	int faithful;
	size_t n_thread;
};

/* Appends the text of an item as a DECODER reads it: columns [n_column] of the pool, one blank between; its id where they
   are empty. -1 with *f set if that row is damaged. */
int decode_item_text(struct pool *p, size_t row, const size_t *column, size_t n_column, struct buf *out, struct fault *f);

struct decode_writer;
/* A DECODER, or a GPT-2 checkpoint with its vocabulary beside it; path [n_path]: more than one write together (lm_run_add()). p
   and c as in decode_new(), NULL: no pool; own_columns: the user chose those of c, not the DECODER. The pool's space must be that
   of the DECODER, unless that names none. NULL with *f set. */
struct decode_writer *decode_writer_open(const char *const *path, size_t n_path, struct pool *p, const char *pool_name,
    const struct decode_columns *c, int own_columns, const struct decode_write_options *o, struct fault *f);
void decode_writer_close(struct decode_writer *w);      /* NULL is allowed */
/* Numbers of [z ; u] that a request has to give; 0: none. */
size_t decode_writer_n_given(const struct decode_writer *w);

struct decode_request {
	struct span query;
	const struct decode_item *items;        /* in any order */
	size_t n_item;
	const float *given;             /* [n_given]; NULL: zeros */
	uint64_t seed, stream;
	double temperature;             /* NAN: nothing is drawn, beams search; 0: the likeliest token each time */
};
struct decode_written {                 /* {0} to begin */
	struct buf text;
	int ended;                      /* 0: cut at n_token */
	size_t n_in, n_out;             /* tokens */
	size_t n_cut;                   /* tokens of the question that the model has no room for */
	size_t n_left_out;              /* items likewise */
	int failed;                     /* then fault says why */
	struct fault fault;
};
void decode_written_free(struct decode_written *t);
/* Texts [n] for requests [n]; what failed is told there. */
void decode_write(struct decode_writer *w, const struct decode_request *request, size_t n, struct decode_written *out);

#endif
