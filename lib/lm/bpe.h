/*
 * bpe.h - byte-level byte-pair encoding, exactly that of GPT-2
 *
 *   pieces    text is cut by GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ ;
 *             then in each piece the pair of least rank is merged, again and again. Any bytes can be encoded: those that are not
 *             UTF-8 are pieces of their own, each. \s is text_class()'s blank: as Python's regex has it, not JavaScript
 *   specials  tokens that no text gives: "<|endoftext|>" of GPT-2; a vocabulary learnt here has five, the ids 0 to 4: end,
 *             begin, item (ends an item of the prompt), person, unknown-to-come
 *   source    Sennrich, Haddow and Birch 2016, algorithm 1; Radford et al. 2019, section 2.2
 *   cost      encode about linear; learn keeps counts of pairs of the distinct pieces and updates those that a merge touches
 */
#ifndef HARE_LM_BPE_H
#define HARE_LM_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "tensor/tensor.h"

enum { BPE_END, BPE_BEGIN, BPE_ITEM, BPE_PERSON, BPE_SPARE, BPE_N_SPECIAL };    /* of vocabularies learnt here */

struct bpe;
/* vocab.json and merges.txt of GPT-2; special is what no merge makes and is written <|...|>. NULL with *f set: what does
   not fit is named with file and line. */
struct bpe *bpe_open(const char *vocab_path, const char *merges_path, struct fault *f);
/* From and into a DECODER: tensors "bpe.bytes" U8, "bpe.ends" U64 [n_token], "bpe.merges" U32 [n_merge][2],
   "bpe.special" U32, the end first; the bytes of special tokens are their names, <|endoftext|>, <|begin|>, <|item|>, <|person|>, <|spare|>.
   bpe_load: NULL with *f set; bpe_declare and bpe_put as in tensor.h. */
struct bpe *bpe_load(struct tensor_file *t, struct fault *f);
void bpe_declare(struct tensor_writer *w, const struct bpe *b);
int bpe_put(struct tensor_writer *w, const struct bpe *b, struct fault *f);
void bpe_free(struct bpe *b);           /* NULL is allowed */

size_t bpe_n(const struct bpe *b);      /* tokens, specials counted */
struct span bpe_token(const struct bpe *b, uint32_t token);     /* its bytes; none for a special one or one that is not there */
int bpe_is_special(const struct bpe *b, uint32_t token);
int bpe_is_same(const struct bpe *a, const struct bpe *b);      /* the same tokens and merges, in the same order */
uint32_t bpe_end(const struct bpe *b);  /* BPE_END, or GPT-2's <|endoftext|> */

struct bpe_tokens {                     /* {0} to begin; the caller frees at */
	uint32_t *at;
	size_t n, n_cap;
};
/* Appends the tokens of text. Scratch is inside b's own cache per call: safe from several threads. */
void bpe_encode(const struct bpe *b, const char *text, size_t n, struct bpe_tokens *out);
/* Appends the bytes of tokens; specials give none. */
void bpe_decode(const struct bpe *b, const uint32_t *token, size_t n, struct buf *out);

/* Learns n_token tokens (specials and 256 bytes counted) from texts. Ties: the pair whose bytes come first, those of its
   first token, then of its second. */
struct bpe_learn;
struct bpe_learn *bpe_learn_new(void);
void bpe_learn_add(struct bpe_learn *l, const char *text, size_t n);
/* Ends l. Fewer tokens where the texts hold no more pairs that occur twice. */
struct bpe *bpe_learn_end(struct bpe_learn *l, size_t n_token);
/* vocab.json and merges.txt in GPT-2's form, for other programs. */
int bpe_write_json(const struct bpe *b, const char *vocab_path, const char *merges_path, struct fault *f);

#endif
