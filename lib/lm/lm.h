/*
 * lm.h - the language model: a GPT-2-class transformer, its numbers and its file
 *
 *   row       h0_i = wte[token_i] + shift * wte[before_i] + wpe[place_i] + wse[source_i]    (parts that the model has)
 *             the n_prefix rows before the prompt are P_i + wpe[i] + wse[0], P = W2 gelu(W1 [z ; u] + b1) + b2
 *   block     x += attn(ln_1 x); x += c_proj gelu(c_fc ln_2 x): pre-norm, epsilon 1e-5, GELU's tanh form, softmax(q.k /
 *             sqrt(dim / n_head))
 *   mask      row i sees row j if j <= i; with two_way also every row of prefix and prompt sees every other of them
 *   logits    h = ln_f x, logits = wte h (tied)
 *   copy      e_tj = (Q h_t).(K h_j) / sqrt(dim) + gamma ln weight_j + delta_0 [before_j = y_t] + delta_1 [before_j = y_t and
 *             before2_j = y_t-1] over prompt tokens j; alpha_t = softmax e_t; c_t = sum_j alpha_tj h_j;
 *             g_t = sigmoid(w.[h_t ; c_t] + b);  p_t = g_t softmax(logits_t) + (1 - g_t) sum_j alpha_tj [token_j = .]
 *             y_t is the token of row t itself, so before_j = y_t says that j goes on where the text has got to
 *   source    Radford et al. 2019 (GPT-2); prefix: Li and Liang 2021; two_way: Raffel et al. 2020, prefix LM; copy: See, Liu
 *             and Manning 2017, eqs 8-13, with weight_j the attention that HARE pays to j's item
 *   file      safetensors. Names, shapes and layout of GPT-2's checkpoints, so that matrices are [in][out] (y = x W + b);
 *             what those lack is optional: hare-decoder(5). Mapped: float32 and bfloat16 numbers are used where they lie
 */
#ifndef HARE_LM_LM_H
#define HARE_LM_LM_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "lm/bpe.h"
#include "tensor/tensor.h"

#define LM_NONE UINT32_MAX      /* no token before */

struct lm_shape {
	size_t n_layer, n_head, dim;    /* dim a multiple of n_head */
	size_t n_inner;                 /* 4 dim in GPT-2 */
	size_t n_place;                 /* rows of wpe: the context of a GPT-2 */
	size_t n_vocab;
	size_t n_source;                /* rows of wse; 0: none */
	size_t n_prefix;                /* 0: no prefix */
	size_t n_given;                 /* numbers of [z ; u] */
	size_t n_prefix_inner;
	int two_way, copy, shift;
};

enum lm_type { LM_F32, LM_BF16, LM_I8 };

/* y [n_out] = x [n_in] W. F32 and BF16: at [n_in][n_out]. I8: at [n_out][n_in] with a scale for each output. */
struct lm_matrix {
	enum lm_type type;
	size_t n_in, n_out;
	const void *at;
	const float *scale;             /* [n_out], I8 only */
};
struct lm_affine {
	struct lm_matrix w;
	const float *b;                 /* [n_out]; NULL: none */
};
struct lm_block {
	const float *ln1_g, *ln1_b, *ln2_g, *ln2_b;     /* [dim] */
	struct lm_affine qkv;           /* [dim][3 dim]: queries, keys, values, head by head within each */
	struct lm_affine proj;          /* [dim][dim] */
	struct lm_affine fc;            /* [dim][n_inner] */
	struct lm_affine out;           /* [n_inner][dim] */
};
struct lm {                             /* read-only; may be used from several threads */
	struct lm_shape shape;
	struct lm_matrix wte;           /* as a table of rows: [n_vocab][dim], whatever the type (I8: a scale for each row) */
	const float *wpe, *wse;         /* [n_place][dim], [n_source][dim] or NULL */
	const float *shift;             /* [dim] or NULL */
	struct lm_affine prefix1, prefix2;      /* [n_given][n_prefix_inner], [n_prefix_inner][n_prefix dim] */
	struct lm_block *block;         /* [n_layer] */
	const float *lnf_g, *lnf_b;
	struct lm_affine copy_q, copy_k;        /* [dim][dim], no bias */
	const float *copy_gate;         /* [2 dim + 1]: of h, of c, and b */
	const float *copy_scalar;       /* [3]: gamma, delta_0, delta_1 */
	struct bpe *bpe;                /* its vocabulary; NULL: a file without one */
	struct tensor_file *file;       /* NULL: made by lm_new() */
	void *owned;                    /* numbers that are not the file's */
};

/* One number array of a float32 model that is trained: its name in the file and where it lies. */
struct lm_part {
	char name[48];
	size_t n_dim, shape[2];
	size_t from, n;                 /* in the flat array of all numbers */
	int decays;                     /* weight decay is for matrices */
};

/* A float32 model over one flat array of lm_count() numbers, in the order of lm_parts(): what training moves. numbers is
   borrowed; the caller frees it after lm_free(). */
size_t lm_count(const struct lm_shape *s);
struct lm *lm_new(const struct lm_shape *s, float *numbers, struct bpe *bpe);
/* The parts [*n] of it; the caller frees. */
struct lm_part *lm_parts(const struct lm_shape *s, size_t *n);
/* Draws first numbers: matrices N(0, 1 / n_in) (those that write into the residual stream divided by sqrt(2 n_layer)), wte
   N(0, .05), wse and prefix N(0, .02), wpe sinusoids of height .04, ln 1 and 0, shift .5, gamma 1, delta 2 and 1. */
void lm_draw(const struct lm_shape *s, float *numbers, uint64_t seed);

/* Ours, or a published GPT-2 checkpoint (names with or without "transformer."): then n_head is dim / 64, unless a config.json
   beside it says, and vocab.json and merges.txt beside it are the vocabulary, if they are there.
   NULL with *f set: missing or misshapen tensors are named with what was expected. */
struct lm *lm_open(const char *path, struct fault *f);
void lm_free(struct lm *m);             /* NULL is allowed; ends bpe too if lm_open() made it */
/* Writes a DECODER with the numbers of m as type. meta: more metadata, pairs of key and value, ended by NULL. model: the bytes of
   a MODEL's file, which the DECODER then holds; none: it holds none. */
int lm_write(const struct lm *m, const char *path, enum lm_type type, const char *const *meta, struct span model, struct fault *f);
/* Writes a file that was opened, with its metadata, its vocabulary and, with_model, its MODEL, as another type. */
int lm_convert(const struct lm *m, const char *path, enum lm_type type, int with_model, struct fault *f);
const char *lm_meta(const struct lm *m, const char *key);       /* NULL if not there */

/* -- what is read: rows of a prompt and of the text after it -- */
struct lm_row {
	uint32_t token;
	uint32_t before, before2;       /* the tokens before it in its part, LM_NONE: none (shift and copy) */
	uint32_t place, source;
	float log_weight;               /* <= 0, of its item; prompt rows only */
};
struct lm_prompt {                      /* all borrowed */
	const float *given;             /* [n_given] [z ; u], for the prefix; NULL: zeros */
	const struct lm_row *row;       /* [n] */
	size_t n;
};

#endif
