/* hare-train decoder: the model that learns, from its first numbers to the DECODER */
#include "train_decoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "train_lm.h"

static int
open_vocabulary(struct teaching *t, struct fault *f)
{
	if (t->init)
		return t->init->bpe ? 0 : fault(f, EX_DATAERR, "%s: has no vocabulary, nor vocab.json and merges.txt beside it",
		    t->set->init_path);
	if (t->set->tokenizer_path) {
		struct tensor_file *file = tensor_open(t->set->tokenizer_path, NULL, f);
		t->bpe = file ? bpe_load(file, f) : NULL;
		tensor_close(file);
		return t->bpe ? 0 : -1;
	}
	struct bpe_learn *learn = bpe_learn_new();
	struct buf text = {0};
	for (size_t i = 0; i < 2 * pairs_n(t->pairs); i++)
		train_learn_text(learn, &text, i % 2 ? pairs_output(t->pairs, i / 2) : pairs_input(t->pairs, i / 2));
	buf_free(&text);
	t->bpe = bpe_learn_end(learn, t->set->n_token);
	return 0;
}

static void
choose_shape(struct teaching *t)
{
	compose_defaults(&t->limits);
	t->limits.n_question = t->set->n_question ? t->set->n_question : t->limits.n_question;
	t->limits.n_item = t->set->n_item != SIZE_MAX ? t->set->n_item : t->limits.n_item;
	t->limits.n_item_token = t->set->n_item_token ? t->set->n_item_token : t->limits.n_item_token;
	t->limits.n_text = t->set->n_text_token ? t->set->n_text_token : t->limits.n_text;
	if (t->init) {
		t->shape = t->init->shape;
	} else {
		t->shape = train_shape(t->set->n_layer, t->set->n_dim, t->set->n_head, bpe_n(t->bpe), &t->limits);
	}
	if (!t->init || (t->shape.n_prefix == 0 && t->set->n_prefix > 0)) {
		t->shape.n_prefix = t->set->n_prefix;
		t->shape.n_given = t->set->n_prefix ? 2 * t->model->dim : 0;
		t->shape.n_prefix_inner = t->set->n_prefix ? 2 * t->shape.dim : 0;
	}
}

/* Numbers of the parts that --init has; others stay as they were drawn. */
static int
take_numbers(struct teaching *t, struct fault *f)
{
	size_t n_part;
	struct lm_part *part = lm_parts(&t->shape, &n_part);
	int status = 0;

	for (size_t i = 0; i < n_part && status == 0; i++) {
		char name[80];
		struct tensor at;
		snprintf(name, sizeof name, "%s", part[i].name);
		if (!tensor_has(t->init->file, name))
			snprintf(name, sizeof name, "transformer.%s", part[i].name);
		if (!tensor_has(t->init->file, name))
			continue;
		if (tensor_get(t->init->file, name, TENSOR_ANY, part[i].n_dim, part[i].shape, &at, f) < 0)
			status = -1;
		else if (tensor_to_f32(&at, 0, part[i].n, t->numbers + part[i].from) < 0)
			status = fault(f, EX_DATAERR, "%s: tensor %s: expected floating-point numbers, as hare-train convert --type f32 "
			    "makes them", t->set->init_path, name);
	}
	free(part);
	return status;
}

static int
check_init(const struct teaching *t, struct fault *f)
{
	const struct lm_shape *s = &t->init->shape;
	const char *space = lm_meta(t->init, "space");
	struct compose_limits l;

	if (s->n_prefix > 0 && s->n_given != 2 * t->model->dim)
		return fault(f, EX_DATAERR, "%s: its prefix is made of %zu numbers, expected %zu as %s has", t->set->init_path, s->n_given,
		    2 * t->model->dim, t->set->model_path);
	if (space && strcmp(space, t->model->space) != 0)
		return fault(f, EX_DATAERR, "%s: is of the space %s, %s of %s", t->set->init_path, space, t->set->model_path, t->model->space);
	size_t n_plain = t->limits.n_question + 1 + t->limits.n_item * t->limits.n_item_token + t->limits.n_text;
	if (s->n_source == 0 && s->n_place < n_plain)
		return fault(f, EX_DATAERR, "%s: has %zu places, expected %zu: a shorter --question-tokens, --items, --item-tokens or "
		    "--text-tokens is needed", t->set->init_path, s->n_place, n_plain);
	if (s->n_source == 0)
		return 0;
	if (compose_read_limits(&l, t->init, f) < 0)
		return -1;
	if (s->n_place < COMPOSE_TEXT_PLACE + t->limits.n_text || s->n_source < 2 + t->limits.n_item)
		return fault(f, EX_DATAERR, "%s: holds texts of %zu tokens and %zu items", t->set->init_path, l.n_text, l.n_item);
	return 0;
}

void
decoder_freeze(struct teaching *t, int last_too)
{
	size_t n_part;
	struct lm_part *part = lm_parts(&t->shape, &n_part);
	char last[32];

	snprintf(last, sizeof last, "h.%zu.", t->shape.n_layer - 1);
	if (!t->ice)
		t->ice = xmalloc(n_part, 1);
	for (size_t i = 0; i < n_part; i++)
		t->ice[i] = strncmp(part[i].name, "prefix.", 7) != 0 && !(last_too && (strncmp(part[i].name, last, strlen(last)) == 0 ||
		    strncmp(part[i].name, "ln_f.", 5) == 0));
	free(part);
}

int
decoder_open_lm(struct teaching *t, struct fault *f)
{
	if (t->set->init_path && !(t->init = lm_open(t->set->init_path, f)))
		return -1;
	if (open_vocabulary(t, f) < 0)
		return -1;
	choose_shape(t);
	if (t->init && check_init(t, f) < 0)
		return -1;
	if (t->set->frozen && t->shape.n_prefix == 0)
		return fault(f, EX_USAGE, "--frozen: only the prefix would learn, and there is none (--prefix 0)");
	t->n_number = lm_count(&t->shape);
	t->numbers = xaligned(t->n_number, sizeof *t->numbers);
	t->trial = xaligned(t->n_number, sizeof *t->trial);
	lm_draw(&t->shape, t->numbers, t->set->seed);
	if (t->init && take_numbers(t, f) < 0)
		return -1;
	struct bpe *bpe = t->init ? t->init->bpe : t->bpe;
	t->lm = lm_new(&t->shape, t->numbers, bpe);
	t->lm_trial = lm_new(&t->shape, t->trial, bpe);
	if (t->set->average > 0) {
		t->mean = xaligned(t->n_number, sizeof *t->mean);
		memcpy(t->mean, t->numbers, t->n_number * sizeof *t->mean);
	}
	lm_fit_defaults(&t->o);
	t->o.rate = t->set->rate;
	t->o.rate_end = .02;
	t->o.dropout = t->set->dropout;
	t->o.decay = t->set->decay;
	t->o.beta2 = .98;
	t->o.n_step = t->set->n_step;
	t->o.n_warm = t->set->n_warm != SIZE_MAX ? t->set->n_warm : t->set->n_step / 10 < 200 ? t->set->n_step / 10 : 200;
	t->o.seed = t->set->seed;
	t->o.n_thread = record_options.n_thread;
	if (t->set->frozen)
		decoder_freeze(t, 0);
	t->o.frozen = t->ice;
	t->fit = lm_fit_new(t->lm, t->numbers, &t->o);
	return 0;
}

/* -- files -- */

int
decoder_save(const struct teaching *t, struct fault *f)
{
	struct buf place = {0}, part = {0};
	struct tensor_file *file = NULL;
	struct tensor_writer *w = NULL;
	int status = -1;
	char number[NUM_F64_MAX + 1];

	number[num_put_f64(number, isfinite(t->best_loss) ? t->best_loss : 0)] = '\0';
	course_place(t->course, &place);
	buf_printf(&place, "; worse %zu, best %s, mean %d", t->n_worse, number, t->best_is_mean);
	buf_printf(&part, "%s.part", t->set->checkpoint_path);
	if (lm_fit_save(t->fit, buf_string(&part), buf_string(&place), f) == 0 &&
	    (file = tensor_open(buf_string(&part), NULL, f)) &&
	    (w = tensor_create(t->set->checkpoint_path, tensor_meta(file, "hare"), f))) {
		tensor_set_meta_file(w, file);
		tensor_declare_file(w, file);
		if (t->mean)
			tensor_declare(w, "decoder.mean", TENSOR_F32, 1, &t->n_number);
		if (t->best)
			tensor_declare(w, "decoder.best", TENSOR_F32, 1, &t->n_number);
		if (tensor_put_file(w, file, f) < 0 || (t->mean && tensor_put(w, t->mean, t->n_number * sizeof *t->mean, f) < 0) ||
		    (t->best && tensor_put(w, t->best, t->n_number * sizeof *t->best, f) < 0))
			tensor_abort(w);
		else
			status = tensor_commit(w, f);
	}
	tensor_close(file);
	unlink(buf_string(&part));
	buf_free(&part);
	buf_free(&place);
	return status;
}

static int
take_array(struct tensor_file *file, const char *name, size_t n, float **out, struct fault *f)
{
	struct tensor at;

	if (!tensor_has(file, name))
		return 0;
	if (tensor_get(file, name, TENSOR_F32, 1, &n, &at, f) < 0 || tensor_verify(file, at.at, at.n_byte, f) < 0)
		return -1;
	if (!*out)
		*out = xaligned(n, sizeof **out);
	memcpy(*out, at.at, at.n_byte);
	return 0;
}

int
decoder_go_on(struct teaching *t, struct fault *f)
{
	char *place = NULL, best[40];
	struct tensor_file *file = NULL;
	int status = -1;

	if (lm_fit_load(t->fit, t->set->checkpoint_path, &place, f) < 0)
		return -1;
	const char *rest = strstr(place, "; worse ");
	if (!rest || course_go(t->course, place) < 0 ||
	    sscanf(rest, "; worse %zu, best %39[^,], mean %d", &t->n_worse, best, &t->best_is_mean) != 3 ||
	    num_read_f64(best, strlen(best), &t->best_loss) < 0) {
		fault(f, EX_DATAERR, "%s: is of other rows, options or another seed: it stands at \"%s\"", t->set->checkpoint_path,
		    fault_quote(place, strlen(place)));
	} else if ((file = tensor_open(t->set->checkpoint_path, NULL, f)) &&
	    take_array(file, "decoder.mean", t->n_number, &t->mean, f) == 0 &&
	    take_array(file, "decoder.best", t->n_number, &t->best, f) == 0) {
		status = 0;
	}
	tensor_close(file);
	free(place);
	return status;
}

int
decoder_write(const struct teaching *t, struct fault *f)
{
	const struct decoder_set *set = t->set;
	const enum lm_type type = train_type(set->type_name);
	struct train_meta meta = {0};
	struct span bytes = { NULL, 0 };
	struct file_map model;
	int status = 0;

	train_meta(&meta, "space", "%s", t->model->space);
	train_meta_limits(&meta, &t->limits);
	train_meta(&meta, "seed", "%llu", (unsigned long long)set->seed);
	train_meta(&meta, "steps", "%zu", lm_fit_done(t->fit));
	train_meta(&meta, "rate", "%g", set->rate);
	train_meta(&meta, "dropout", "%g", set->dropout);
	train_meta(&meta, "decay", "%g", set->decay);
	train_meta(&meta, "batch", "%zu", set->n_batch_row);
	train_meta(&meta, "alone", "%g", set->alone);
	train_meta(&meta, "pairs", "%zu", pairs_n(t->pairs));
	if (isfinite(t->best_loss))
		train_meta(&meta, "held_out_loss", "%.6g", t->best_loss);
	train_meta(&meta, "columns", "%.*s", (int)t->columns.n, t->columns.at);
	memcpy(t->trial, t->best ? t->best : t->numbers, t->n_number * sizeof *t->trial);
	/* with the MODEL's bytes the DECODER needs no other file at work */
	if (!set->no_model && (status = file_map_open(&model, set->model_path, f)) == 0)
		bytes = (struct span){ (const char *)model.at, model.n };
	if (status == 0)
		status = lm_write(t->lm_trial, set->output, type, meta.list, bytes, f);
	if (bytes.at)
		file_map_close(&model);
	train_meta_free(&meta);
	return status;
}
