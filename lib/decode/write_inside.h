/*
 * write_inside.h - what the files of decode/write.h share; not for other rooms
 */
#ifndef HARE_DECODE_WRITE_INSIDE_H
#define HARE_DECODE_WRITE_INSIDE_H

#include "decode/write.h"
#include "lm/compose.h"
#include "text/text.h"

/* Scratch of one thread. */
struct write_scratch {
	struct bpe_tokens tokens;
	struct text_words words;
	struct buf words_of;
};

/* What question and items of one request hold, for --faithful; {0} to begin. */
struct write_seen {
	uint8_t *allowed;               /* [n_vocab] tokens that may be written */
	uint64_t *word;                 /* [n] hashes of words, ascending once all are there */
	size_t n, n_cap;
};
/* plain [n_vocab]: tokens that may always be written. */
void write_seen_begin(struct write_seen *s, const uint8_t *plain, size_t n_vocab);
void write_seen_add(struct write_seen *s, const struct bpe *b, struct span text, struct write_scratch *k);
void write_seen_end(struct write_seen *s);
void write_seen_free(struct write_seen *s);
/* Tokens up to and with the first word that is nowhere; 0: there is none. A word is only known when the next begins. */
size_t write_unseen_at(const struct write_seen *s, const struct bpe *b, const uint32_t *token, size_t n, struct write_scratch *k);
/* plain [n]: 1 for a function word or marks, no special but the end; visible [n]: 1 for whole characters, at least one of them
   seen. */
void write_sort_tokens(const struct bpe *b, size_t n, uint8_t *plain, uint8_t *visible);

/* Bytes up to the end of the last sentence, 0: there is none; the same, or of the last word. */
size_t write_sentence_end(const char *at, size_t n);
size_t write_last_end(const char *at, size_t n);

#endif
