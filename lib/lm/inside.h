/* inside.h - a vocabulary of byte pairs, for the files of lib/lm that make one. Not for other rooms. */
#ifndef HARE_LM_INSIDE_H
#define HARE_LM_INSIDE_H

#include "lm/bpe.h"

struct bpe_merge {
	uint32_t left, right, made;     /* tokens */
};
struct bpe_pairs {                      /* open addressing; a power of 2 of places, at most half of them taken */
	uint64_t *key;                  /* left << 32 | right; UINT64_MAX: free */
	uint32_t *value;
	size_t n, n_place;
};
struct bpe {
	size_t n, n_cap;                /* tokens */
	struct buf bytes;               /* of all tokens, of special ones their names */
	size_t *end, n_end_cap;         /* [n]: where the bytes of each end */
	uint8_t *special;               /* [n] */
	uint8_t *whole;                 /* [n]: the token's bytes as a piece become this token, so no merging is needed */
	uint32_t *slot;                 /* [n_slot] tokens by their bytes, UINT32_MAX: free; special ones are not there */
	size_t n_slot, n_slotted;
	uint32_t byte[256];             /* the token of each byte */
	struct bpe_merge *merge;        /* [n_merge] by rank */
	size_t n_merge, n_merge_cap;
	struct bpe_pairs rank;
	uint32_t end_token;
};

struct bpe *bpe_new(void);              /* no tokens yet */
uint32_t bpe_add(struct bpe *b, const char *at, size_t n, int special);
/* The token of these bytes, special ones passed over; UINT32_MAX: none. */
uint32_t bpe_find(const struct bpe *b, const char *at, size_t n);
uint32_t bpe_find_joined(const struct bpe *b, uint32_t left, uint32_t right);
/* The next merge; 0, or -1 if that pair has a rank already. */
int bpe_add_merge(struct bpe *b, uint32_t left, uint32_t right, uint32_t made);
void bpe_finish(struct bpe *b);         /* when all is there */

/* The bytes of the piece at the start of text, 1 or more; n > 0. */
size_t bpe_piece(const char *text, size_t n);

uint32_t *bpe_pair(struct bpe_pairs *p, uint32_t left, uint32_t right, int *is_new);   /* put in if not there, value 0 */
const uint32_t *bpe_pair_find(const struct bpe_pairs *p, uint32_t left, uint32_t right);
void bpe_pairs_free(struct bpe_pairs *p);

extern const char *const bpe_special_name[BPE_N_SPECIAL];

#endif
