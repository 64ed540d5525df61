/*
 * train_lm.h - what the verbs of hare-train that make a DECODER share
 */
#ifndef HARE_CMD_TRAIN_LM_H
#define HARE_CMD_TRAIN_LM_H

#include <stddef.h>

#include "base/mem.h"
#include "base/opt.h"
#include "lm/bpe.h"
#include "lm/compose.h"
#include "lm/fit.h"

/* Ends the program if no such model can be: of the options --layers, --dim, --heads, --tokens. */
void train_check_shape(const struct opt_program *p, size_t n_layer, size_t n_dim, size_t n_head, size_t n_token);
/* A model that reads questions and items and copies from them. */
struct lm_shape train_shape(size_t n_layer, size_t n_dim, size_t n_head, size_t n_vocab, const struct compose_limits *l);
/* Text for a vocabulary, as compose_prompt() reads it: behind a blank. scratch: {0} to begin. */
void train_learn_text(struct bpe_learn *learn, struct buf *scratch, struct span text);
/* mean [n] keeps that share of itself, the rest becomes numbers [n]. */
void train_average(float *mean, const float *numbers, size_t n, double keep);
/* Mean loss of examples a token, NAN without any. */
double train_loss(struct lm_fit *fit, const struct lm_example *example, size_t n);

/* Metadata of a DECODER. {0} is none; to be ended by train_meta_free(). */
enum { TRAIN_META = 24 };
struct train_meta {
	struct buf text[TRAIN_META];
	const char *list[2 * TRAIN_META + 1];   /* key, value, ..., NULL: for lm_write() */
	size_t n;
};
/* key is borrowed. */
void train_meta(struct train_meta *m, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
void train_meta_limits(struct train_meta *m, const struct compose_limits *l);
void train_meta_free(struct train_meta *m);
/* Of --type: f32, bf16, int8. */
enum lm_type train_type(const char *name);

#endif
