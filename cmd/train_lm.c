#include "train_lm.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
train_check_shape(const struct opt_program *p, size_t n_layer, size_t n_dim, size_t n_head, size_t n_token)
{
	if (n_layer == 0 || n_dim == 0 || n_head == 0 || n_dim % n_head || n_layer > 256 || n_dim > 16384)
		opt_usage(p, "--layers, --dim, --heads: expected 1 or more, and heads that divide dim");
	if (n_token < BPE_N_SPECIAL + 256 || n_token > 1 << 20)
		opt_usage(p, "--tokens: expected %d to %d, got %zu", BPE_N_SPECIAL + 256, 1 << 20, n_token);
}

struct lm_shape
train_shape(size_t n_layer, size_t n_dim, size_t n_head, size_t n_vocab, const struct compose_limits *l)
{
	return (struct lm_shape){ .n_layer = n_layer, .n_head = n_head, .dim = n_dim, .n_inner = 4 * n_dim,
		.n_place = COMPOSE_TEXT_PLACE + l->n_text, .n_vocab = n_vocab, .n_source = 2 + l->n_item, .two_way = 1, .copy = 1,
		.shift = 1 };
}

void
train_learn_text(struct bpe_learn *learn, struct buf *scratch, struct span text)
{
	buf_clear(scratch);
	buf_putc(scratch, ' ');
	buf_put(scratch, text.at, text.n);
	bpe_learn_add(learn, scratch->at, scratch->n);
}

void
train_average(float *mean, const float *numbers, size_t n, double keep)
{
	float a = (float)(1 - keep);

	for (size_t i = 0; i < n; i++)
		mean[i] = numbers[i] == mean[i] ? numbers[i] : mean[i] + a * (numbers[i] - mean[i]);   /* -0 stays -0 */
}

double
train_loss(struct lm_fit *fit, const struct lm_example *example, size_t n)
{
	enum { GROUP = 16 };
	double sum = 0;
	size_t n_all = 0, n_target;

	for (size_t i = 0; i < n; i += GROUP) {
		sum += lm_fit_loss(fit, example + i, n - i < GROUP ? n - i : GROUP, &n_target);
		n_all += n_target;
	}
	return n_all ? sum / (double)n_all : NAN;
}

void
train_meta(struct train_meta *m, const char *key, const char *format, ...)
{
	va_list args, again;

	assert(m->n < TRAIN_META);
	struct buf *text = &m->text[m->n];
	va_start(args, format);
	va_copy(again, args);
	size_t n = (size_t)vsnprintf(NULL, 0, format, args);
	buf_reserve(text, n + 1);
	vsnprintf(text->at, n + 1, format, again);
	va_end(again);
	va_end(args);
	m->list[2 * m->n] = key;
	m->list[2 * m->n++ + 1] = text->at;
}

void
train_meta_limits(struct train_meta *m, const struct compose_limits *l)
{
	train_meta(m, "n_question", "%zu", l->n_question);
	train_meta(m, "n_item", "%zu", l->n_item);
	train_meta(m, "n_item_token", "%zu", l->n_item_token);
	train_meta(m, "n_text", "%zu", l->n_text);
}

void
train_meta_free(struct train_meta *m)
{
	for (size_t i = 0; i < m->n; i++)
		buf_free(&m->text[i]);
	*m = (struct train_meta){0};
}

enum lm_type
train_type(const char *name)
{
	return strcmp(name, "bf16") == 0 ? LM_BF16 : strcmp(name, "int8") == 0 ? LM_I8 : LM_F32;
}
