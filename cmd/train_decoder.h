/*
 * train_decoder.h - what the parts of hare-train decoder share: the data (train_decoder_data.c), the model and its files
 * (train_decoder_lm.c), the training (train_decoder.c)
 */
#ifndef HARE_CMD_TRAIN_DECODER_H
#define HARE_CMD_TRAIN_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/opt.h"
#include "embed/embed.h"
#include "lm/compose.h"
#include "lm/fit.h"
#include "model/model.h"
#include "record/record.h"
#include "train/pairs.h"

/* The options; train_decoder.c tells what they mean. Names and paths: NULL where none was given. */
struct decoder_set {
	const char *model_path, *output, *tokenizer_path, *init_path, *checkpoint_path, *type_name;
	const char *input_name, *output_name, *user_name, *title_name, *text_names;
	struct opt_list pools;
	size_t n_layer, n_dim, n_head, n_token, n_prefix, n_step, n_every, n_batch_row;
	size_t n_warm;                  /* SIZE_MAX: by n_step */
	size_t n_question, n_item_token, n_text_token;  /* 0: as compose_defaults() */
	size_t n_item;                  /* SIZE_MAX: likewise */
	size_t n_patience, n_stop, n_profile;
	double minutes, rate, dropout, decay, alone, held_share, average;
	uint64_t seed;
	int frozen, resume, no_model;
};

struct teaching {
	struct decoder_set *set;
	struct model *model;
	struct embed *embed;
	struct record_in *in;
	struct pairs *pairs;
	struct buf columns;             /* what was learnt from, for the DECODER */
	size_t n_empty;
	struct compose_limits limits;
	struct bpe *bpe;
	struct lm *init;                /* its vocabulary is bpe, if it has one */
	struct lm_shape shape;
	size_t n_number;
	float *numbers, *mean, *best, *trial;   /* [n_number]; trial: what is looked at */
	struct lm *lm, *lm_trial;
	struct lm_fit *fit;
	struct lm_fit_options o;
	uint8_t *held, *use, *ice;      /* [rows], [rows], [parts] */
	size_t n_held;
	struct pairs_example *held_made;
	struct lm_example *held_example;
	struct course *course;
	double best_loss, last_loss;    /* of what is held out; NAN: not known yet */
	size_t n_worse;
	int best_is_mean;
	/* for people */
	double begin_s, told_s, sum_loss, sum_row;
	double step_s, sum_step;        /* when the last step was done, how long those before took */
	size_t n_timed, n_target, first_step;
	int is_line;
};


/* Rows of the files, or of the POOLs where there are none, become t->pairs. */
int decoder_read_data(struct teaching *t, int n_file, char **file, struct fault *f);
/* Which rows are learnt from (use), and examples of the others. */
int decoder_hold_out(struct teaching *t, struct fault *f);
/* Vocabulary, shape and first numbers; the optimiser. */
int decoder_open_lm(struct teaching *t, struct fault *f);
/* With --frozen: the prefix moves, and with last_too the last block and what stands behind it. */
void decoder_freeze(struct teaching *t, int last_too);
/* The checkpoint: what the optimiser knows, and beside it the average and the best numbers; and going on from it. */
int decoder_save(const struct teaching *t, struct fault *f);
int decoder_go_on(struct teaching *t, struct fault *f);
/* The DECODER, with the best numbers. */
int decoder_write(const struct teaching *t, struct fault *f);

#endif
