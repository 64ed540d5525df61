/*
 * train.h - the verbs of hare-train that have files of their own
 */
#ifndef HARE_CMD_TRAIN_H
#define HARE_CMD_TRAIN_H

#include "base/opt.h"

extern const struct opt_program train_decoder, train_distil, train_tokenizer, train_encode, train_convert;

#endif
