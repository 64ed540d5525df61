/*
 * inside.h - what the files of this room share; not for other rooms
 */
#ifndef HARE_DECODE_INSIDE_H
#define HARE_DECODE_INSIDE_H

#include "decode/decode.h"
#include "text/text.h"

struct decode_unit {            /* what the blend takes or leaves: a sentence, or a list with the line that announces it */
	size_t item;            /* its rank */
	size_t place;           /* among the units of its item */
	size_t first, n_sentence;       /* of sentences */
	size_t n_word;
	int is_list, leans, whole;      /* whole: ends as a sentence does */
	size_t term_at, n_term; /* its terms lie in decode.terms */
	double query, centre, worth, nearest;
	int taken;
};

struct decode_term {
	uint32_t id;
	float weight;           /* tf-idf; the vector of a unit has length 1 */
};

struct decode_sentence {
	struct span text;
	struct span mark;       /* "1." or "-" before it, at = NULL: none */
};

struct decode_slot {
	uint64_t hash;          /* 0: free */
	uint32_t id;
};

struct decode {
	struct pool *pool;
	const struct decode_columns *columns;
	struct text_sentences cut;
	struct text_words words;
	struct decode_item *items;      /* sorted */
	double *used;                   /* [n_item] words taken */
	struct decode_unit *units;
	struct decode_sentence *sentences;
	struct decode_term *terms;
	size_t n_unit, n_sentence, n_term;
	size_t n_item_cap, n_used_cap, n_unit_cap, n_sentence_cap, n_term_cap;
	/* vocabulary of one blend: open addressing from hash to id */
	struct decode_slot *slots;
	size_t n_slot, n_id;
	uint32_t *df;                   /* [n_id] units that hold the term */
	double *centre;                 /* [n_id] */
	size_t n_df_cap, n_centre_cap;
	float *rows;                    /* of the pool, for the person */
	size_t n_row_cap;
	struct buf text;
};

/* Copies items, heaviest first (ties: as given), into d->items. */
void decode_sort(struct decode *d, const struct decode_item *items, size_t n_item);
/* Title of a row, else its id. */
struct span decode_title(const struct decode *d, size_t row);
/* Cuts one text of an item of this rank into units behind d->units. */
void decode_cut(struct decode *d, size_t rank, const char *text, size_t n);
/* 1 if a sentence begins in a way that says little without the one before (It, This, ...). English only: others lose
   nothing but this care. */
int decode_leans(struct span sentence);
/* Appends a sentence, line ends and blanks in it turned into one blank. */
void decode_put_sentence(struct buf *out, struct span text);

#endif
