/* hare-train decoder - a language model learns to write outputs from inputs and what HARE finds for them */
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "base/opt.h"
#include "base/thread.h"
#include "decode/decode.h"
#include "embed/embed.h"
#include "filter.h"
#include "lm/compose.h"
#include "lm/fit.h"
#include "mat/mat.h"
#include "model/model.h"
#include "pool/pool.h"
#include "record/record.h"
#include "train.h"
#include "train/pairs.h"

enum { BATCH = 1024, HELD_MOST = 384, LINE_S = 60, N_TRIAL = 8 };

static const char *model_path, *output, *tokenizer_path, *init_path, *checkpoint_path, *type_name = "f32";
static const char *input_name = "input", *output_name = "output", *user_name, *title_name, *text_names;
static struct opt_list pools;
static size_t n_layer = 2, n_dim = 128, n_head = 4, n_token = 20000, n_prefix = 8, n_step, n_every, n_batch_row = 2000;
static size_t n_warm = SIZE_MAX;
static size_t n_question, n_item = SIZE_MAX, n_item_token, n_text_token, n_patience = 10, n_stop, n_profile = 40;
static double minutes, rate = 2e-3, dropout = .1, decay = .01, alone = .3, held_share = .05, average = .998;
static uint64_t seed;
static int frozen, resume, no_model;

static const struct opt opts[] = {
	{ 'm', "model", OPT_FILE, &model_path, "MODEL", "made by hare-embed fit", NULL, "HARE_MODEL" },
	{ 'p', "pool", OPT_LIST, &pools, "POOL",
	    "learn from its items, where no file is given; may be given again", NULL, "HARE_POOL" },
	{ 'o', "output", OPT_FILE, &output, "DECODER", "the file to write", NULL, NULL },
	{ 0, "input-column", OPT_STRING, &input_name, "NAME", "column of what is asked", NULL, NULL },
	{ 0, "output-column", OPT_STRING, &output_name, "NAME", "column of what is to be written", NULL, NULL },
	{ 0, "user-column", OPT_STRING, &user_name, "NAME",
	    "column of who wrote it; default: user, if there is one; of a POOL none", NULL, NULL },
	{ 0, "title", OPT_STRING, &title_name, "COLUMN", "what is written of a POOL's items (title, else name)", NULL, NULL },
	{ 0, "text-columns", OPT_STRING, &text_names, "COLUMN,...",
	    "what it is written from (text, else description and instructions)", NULL, NULL },
	{ 0, "tokenizer", OPT_FILE, &tokenizer_path, "TOKENIZER",
	    "vocabulary of hare-train tokenizer, or of a DECODER; default: learnt here", NULL, NULL },
	{ 0, "tokens", OPT_SIZE, &n_token, "N", "of the vocabulary that is learnt here", NULL, NULL },
	{ 0, "layers", OPT_SIZE, &n_layer, "N", "blocks of the transformer", NULL, NULL },
	{ 0, "dim", OPT_SIZE, &n_dim, "N", "numbers of a row within it", NULL, NULL },
	{ 0, "heads", OPT_SIZE, &n_head, "N", "of attention in each block", NULL, NULL },
	{ 0, "prefix", OPT_SIZE, &n_prefix, "N", "rows made of z and u", NULL, NULL },
	{ 0, "items", OPT_SIZE, &n_item, "N", "of the prompt, at most; default: 4", NULL, NULL },
	{ 0, "question-tokens", OPT_SIZE, &n_question, "N", "of the input that are read; default: 96", NULL, NULL },
	{ 0, "item-tokens", OPT_SIZE, &n_item_token, "N", "of an item that are read; default: 24", NULL, NULL },
	{ 0, "text-tokens", OPT_SIZE, &n_text_token, "N", "of a text that is written; default: 28", NULL, NULL },
	{ 0, "profile", OPT_SIZE, &n_profile, "N", "other rows of a user that an example knows, at most", NULL, NULL },
	{ 0, "alone", OPT_REAL, &alone, "SHARE", "of the examples that know nothing but the input", NULL, NULL },
	{ 0, "steps", OPT_SIZE, &n_step, "N", "of the optimiser; default: 2000", NULL, NULL },
	{ 0, "minutes", OPT_REAL, &minutes, "M",
	    "instead of steps: as many as fit, so that a run is not exactly repeated", NULL, NULL },
	{ 0, "rate", OPT_REAL, &rate, "R", "of Adam", NULL, NULL },
	{ 0, "warm", OPT_SIZE, &n_warm, "N",
	    "steps until it is reached; default: 200, or a tenth of all if that is less", NULL, NULL },
	{ 0, "dropout", OPT_REAL, &dropout, "P", "share of the numbers that are left out in training", NULL, NULL },
	{ 0, "decay", OPT_REAL, &decay, "W", "of matrices, by AdamW", NULL, NULL },
	{ 0, "batch", OPT_SIZE, &n_batch_row, "N", "rows of a step, on average: prefixes, prompts and texts", NULL, NULL },
	{ 0, "average", OPT_REAL, &average, "A",
	    "share that an average of the numbers keeps at each step; 0: none is kept", NULL, NULL },
	{ 0, "held-out", OPT_REAL, &held_share, "SHARE",
	    "of the users, or rows, that are not learnt from but tell how well; 0: none", NULL, NULL },
	{ 0, "every", OPT_SIZE, &n_every, "N",
	    "steps between two looks at them; default: a twentieth of all, 50 to 500", NULL, NULL },
	{ 0, "patience", OPT_SIZE, &n_patience, "N", "such looks without a better one, then training ends; 0: never", NULL, NULL },
	{ 0, "checkpoint", OPT_FILE, &checkpoint_path, "FILE",
	    "where a run can go on from, written at each such look", NULL, NULL },
	{ 0, "resume", OPT_FLAG, &resume, NULL, "go on from the checkpoint, if it is there", NULL, NULL },
	{ 0, "stop", OPT_SIZE, &n_stop, "N", "end at this step, with a checkpoint, for another run to go on", NULL, NULL },
	{ 0, "init", OPT_FILE, &init_path, "FILE", "begin with the numbers of a DECODER, or of a GPT-2 checkpoint", NULL, NULL },
	{ 0, "frozen", OPT_FLAG, &frozen, NULL,
	    "with --init: only the prefix learns, and after the first epoch the last block", NULL, NULL },
	{ 0, "type", OPT_CHOICE, &type_name, "TYPE", "of the numbers that are written", "f32 bf16 int8", NULL },
	{ 0, "no-model", OPT_FLAG, &no_model, NULL, "do not put the MODEL into the DECODER", NULL, NULL },
	{ 0, "seed", OPT_U64, &seed, "N", "of all that is drawn", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct teaching {
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

/* -- data -- */

static int
read_rows(struct teaching *t, int n_file, char **file, struct fault *f)
{
	int in_column, out_column, user = -1;
	ptrdiff_t n;

	if (!(t->in = record_open(n_file, file, f)) || (in_column = record_need_name(t->in, input_name, f)) < 0 ||
	    (out_column = record_need_name(t->in, output_name, f)) < 0)
		return -1;
	if (user_name && (user = record_need_name(t->in, user_name, f)) < 0)
		return -1;
	if (!user_name)
		user = record_find(t->in, "user");
	buf_printf(&t->columns, "%s,%s%s%s", input_name, output_name, user >= 0 ? "," : "",
	    user < 0 ? "" : user_name ? user_name : record_column_name("user"));
	while ((n = record_batch(t->in, BATCH, f)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++) {
			struct span text = record_cell(t->in, i, out_column);
			struct span who = user < 0 ? (struct span){0} : record_cell(t->in, i, user);
			if (text.n == 0 || (user >= 0 && who.n == 0)) {
				record_fault(t->in, i, text.n == 0 ? out_column : user, f, "expected %s, got nothing",
				    text.n == 0 ? "a text to learn" : "a user");
				if (record_bad(t->in, f) < 0)
					return -1;
				continue;
			}
			pairs_add(t->pairs, record_cell(t->in, i, in_column), text, who);
		}
	}
	return n < 0 ? -1 : pairs_end(t->pairs, t->embed, NULL, f);
}

static int
read_pool_rows(struct teaching *t, struct pool *pool, const struct decode_columns *c, size_t user, struct fault *f)
{
	size_t n = pool_n(pool), dim = pool_dim(pool), n_kept = 0;
	float *item = xaligned(n * dim + 1, sizeof *item), *scratch = xmalloc(dim, sizeof *scratch);
	struct buf text = {0};
	int status = 0;

	for (size_t i = 0; i < n && status == 0; i++) {
		const float *x = pool_rows(pool, i, 1, scratch, f);
		if (!x || pool_check_row(pool, i, f) < 0) {
			status = -1;
			break;
		}
		struct span title = c->title == SIZE_MAX ? pool_id(pool, i) : pool_text(pool, i, c->title);
		struct span who = user == SIZE_MAX ? (struct span){0} : pool_text(pool, i, user);
		buf_clear(&text);
		for (size_t k = 0; k < c->n_text; k++) {
			struct span part = pool_text(pool, i, c->text[k]);
			if (k && part.n)
				buf_putc(&text, '\n');
			buf_put(&text, part.at, part.n);
		}
		if (title.n == 0 || text.n == 0 || (user != SIZE_MAX && who.n == 0)) {
			t->n_empty++;
			continue;
		}
		memcpy(item + n_kept++ * dim, x, dim * sizeof *x);
		pairs_add(t->pairs, buf_span(&text), title, who);
	}
	if (status == 0)
		status = pairs_end(t->pairs, t->embed, item, f);
	buf_free(&text);
	free(scratch);
	free(item);
	return status;
}

static int
read_pool(struct teaching *t, struct fault *f)
{
	struct pool *pool = pool_open(pools.at, pools.n, t->model->space, model_path, f);
	struct decode_columns c = {0};
	size_t user = SIZE_MAX;
	int status = !pool || decode_columns(&c, pool, title_name, text_names, f) < 0 ? -1 : 0;

	if (status == 0 && user_name && (user = pool_column(pool, user_name)) == SIZE_MAX)
		status = fault(f, EX_USAGE, "--user-column: no column \"%s\" in the pool", user_name);
	if (status == 0) {
		for (size_t k = 0; k < c.n_text; k++)
			buf_printf(&t->columns, "%s%s", k ? "+" : "", pool_column_name(pool, c.text[k]));
		buf_printf(&t->columns, ",%s%s%s", c.title == SIZE_MAX ? "id" : pool_column_name(pool, c.title), user_name ? "," : "",
		    user_name ? user_name : "");
		status = read_pool_rows(t, pool, &c, user, f);
	}
	decode_columns_free(&c);
	pool_close(pool);
	return status;
}

static int
read_data(struct teaching *t, int n_file, char **file, struct fault *f)
{
	struct pairs_options o;

	pairs_defaults(&o);
	o.n_profile = n_profile;
	o.alone = alone;
	o.seed = seed;
	o.n_thread = record_options.n_thread = record_options.n_thread ? record_options.n_thread : thread_count();
	t->pairs = pairs_new(t->model, &o);
	return n_file == 0 && pools.n > 0 ? read_pool(t, f) : read_rows(t, n_file, file, f);
}

/* -- the model that learns -- */

static int
open_vocabulary(struct teaching *t, struct fault *f)
{
	if (t->init)
		return t->init->bpe ? 0 : fault(f, EX_DATAERR, "%s: has no vocabulary, nor vocab.json and merges.txt beside it",
		    init_path);
	if (tokenizer_path) {
		struct tensor_file *file = tensor_open(tokenizer_path, NULL, f);
		t->bpe = file ? bpe_load(file, f) : NULL;
		tensor_close(file);
		return t->bpe ? 0 : -1;
	}
	struct bpe_learn *learn = bpe_learn_new();
	struct buf text = {0};
	for (size_t i = 0; i < 2 * pairs_n(t->pairs); i++) {
		struct span s = i % 2 ? pairs_output(t->pairs, i / 2) : pairs_input(t->pairs, i / 2);
		/* as compose_prompt() reads it */
		buf_clear(&text);
		buf_putc(&text, ' ');
		buf_put(&text, s.at, s.n);
		bpe_learn_add(learn, text.at, text.n);
	}
	buf_free(&text);
	t->bpe = bpe_learn_end(learn, n_token);
	return 0;
}

static void
choose_shape(struct teaching *t)
{
	compose_defaults(&t->limits);
	t->limits.n_question = n_question ? n_question : t->limits.n_question;
	t->limits.n_item = n_item != SIZE_MAX ? n_item : t->limits.n_item;
	t->limits.n_item_token = n_item_token ? n_item_token : t->limits.n_item_token;
	t->limits.n_text = n_text_token ? n_text_token : t->limits.n_text;
	if (t->init) {
		t->shape = t->init->shape;
	} else {
		t->shape = (struct lm_shape){ .n_layer = n_layer, .n_head = n_head, .dim = n_dim, .n_inner = 4 * n_dim,
			.n_place = COMPOSE_TEXT_PLACE + t->limits.n_text, .n_vocab = bpe_n(t->bpe), .n_source = 2 + t->limits.n_item,
			.two_way = 1, .copy = 1, .shift = 1 };
	}
	if (!t->init || (t->shape.n_prefix == 0 && n_prefix > 0)) {
		t->shape.n_prefix = n_prefix;
		t->shape.n_given = n_prefix ? 2 * t->model->dim : 0;
		t->shape.n_prefix_inner = n_prefix ? 2 * t->shape.dim : 0;
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
			status = fault(f, EX_DATAERR, "%s: tensor %s: expected floating-point numbers", init_path, name);
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
		return fault(f, EX_DATAERR, "%s: its prefix is made of %zu numbers, expected %zu as %s has", init_path, s->n_given,
		    2 * t->model->dim, model_path);
	if (space && strcmp(space, t->model->space) != 0)
		return fault(f, EX_DATAERR, "%s: is of the space %s, %s of %s", init_path, space, model_path, t->model->space);
	size_t n_plain = t->limits.n_question + 1 + t->limits.n_item * t->limits.n_item_token + t->limits.n_text;
	if (s->n_source == 0 && s->n_place < n_plain)
		return fault(f, EX_DATAERR, "%s: has %zu places, expected %zu: a shorter --question-tokens, --items, --item-tokens or "
		    "--text-tokens is needed", init_path, s->n_place, n_plain);
	if (s->n_source == 0)
		return 0;
	if (compose_read_limits(&l, t->init, f) < 0)
		return -1;
	if (s->n_place < COMPOSE_TEXT_PLACE + t->limits.n_text || s->n_source < 2 + t->limits.n_item)
		return fault(f, EX_DATAERR, "%s: holds texts of %zu tokens and %zu items", init_path, l.n_text, l.n_item);
	return 0;
}

/* With --frozen: the prefix moves, and from the second epoch on the last block and what stands behind it. */
static void
freeze(struct teaching *t, int last_too)
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

static int
open_lm(struct teaching *t, struct fault *f)
{
	if (init_path && !(t->init = lm_open(init_path, f)))
		return -1;
	if (open_vocabulary(t, f) < 0)
		return -1;
	choose_shape(t);
	if (t->init && check_init(t, f) < 0)
		return -1;
	t->n_number = lm_count(&t->shape);
	t->numbers = xaligned(t->n_number, sizeof *t->numbers);
	t->trial = xaligned(t->n_number, sizeof *t->trial);
	lm_draw(&t->shape, t->numbers, seed);
	if (t->init && take_numbers(t, f) < 0)
		return -1;
	struct bpe *bpe = t->init ? t->init->bpe : t->bpe;
	t->lm = lm_new(&t->shape, t->numbers, bpe);
	t->lm_trial = lm_new(&t->shape, t->trial, bpe);
	if (average > 0) {
		t->mean = xaligned(t->n_number, sizeof *t->mean);
		memcpy(t->mean, t->numbers, t->n_number * sizeof *t->mean);
	}
	lm_fit_defaults(&t->o);
	t->o.rate = rate;
	t->o.rate_end = .02;
	t->o.dropout = dropout;
	t->o.decay = decay;
	t->o.beta2 = .98;
	t->o.n_step = n_step;
	t->o.n_warm = n_warm != SIZE_MAX ? n_warm : n_step / 10 < 200 ? n_step / 10 : 200;
	t->o.seed = seed;
	t->o.n_thread = record_options.n_thread;
	if (frozen)
		freeze(t, 0);
	t->o.frozen = t->ice;
	t->fit = lm_fit_new(t->lm, t->numbers, &t->o);
	return 0;
}

/* -- what is held out -- */

static int
hold_out(struct teaching *t, struct fault *f)
{
	size_t n = pairs_n(t->pairs), n_all, stride;
	int by_row = 0;

	t->held = xcalloc(n, 1);
	t->use = xmalloc(n, 1);
	n_all = held_share > 0 ? pairs_hold_out(t->pairs, held_share, t->held, &by_row) : 0;
	for (size_t i = 0; i < n; i++)
		t->use[i] = !t->held[i];
	t->best_loss = t->last_loss = NAN;
	if (by_row)
		pairs_use(t->pairs, t->use);
	if (n_all == 0)
		return 0;
	size_t *row = xmalloc(n_all, sizeof *row);
	uint64_t *stream = xmalloc(n_all, sizeof *stream);
	stride = (n_all + HELD_MOST - 1) / HELD_MOST;
	for (size_t i = 0, k = 0; i < n; i++)
		if (t->held[i] && k++ % stride == 0) {
			row[t->n_held] = i;
			stream[t->n_held++] = UINT64_MAX - i;
		}
	t->held_made = xcalloc(t->n_held, sizeof *t->held_made);
	t->held_example = xcalloc(t->n_held, sizeof *t->held_example);
	int status = pairs_examples(t->pairs, t->lm, &t->limits, row, stream, t->n_held, 1, t->held_made, f);
	for (size_t i = 0; i < t->n_held; i++)
		t->held_example[i] = t->held_made[i].example;
	free(row);
	free(stream);
	return status;
}

/* Mean loss over what is held out, of numbers. */
static double
loss_of(struct teaching *t, const float *numbers)
{
	enum { GROUP = 16 };
	struct lm_fit_options o = t->o;
	double sum = 0;
	size_t n_all = 0, n;

	o.frozen = NULL;
	memcpy(t->trial, numbers, t->n_number * sizeof *numbers);
	struct lm_fit *fit = lm_fit_new(t->lm_trial, t->trial, &o);
	for (size_t i = 0; i < t->n_held; i += GROUP) {
		sum += lm_fit_loss(fit, t->held_example + i, t->n_held - i < GROUP ? t->n_held - i : GROUP, &n);
		n_all += n;
	}
	lm_fit_free(fit);
	return n_all ? sum / (double)n_all : NAN;
}

static void
look(struct teaching *t)
{
	double loss[2] = { t->n_held ? loss_of(t, t->numbers) : NAN, t->n_held && t->mean ? loss_of(t, t->mean) : NAN };
	int mean = t->n_held ? loss[1] < loss[0] : t->mean != NULL;
	double least = loss[mean];

	t->last_loss = least;
	t->n_worse++;
	if (t->best && !(least < t->best_loss) && t->n_held)
		return;
	if (!t->best)
		t->best = xaligned(t->n_number, sizeof *t->best);
	memcpy(t->best, mean ? t->mean : t->numbers, t->n_number * sizeof *t->best);
	t->best_loss = least;
	t->best_is_mean = mean;
	t->n_worse = 0;
}

/* -- files -- */

/* What the optimiser knows, and beside it the average and the best numbers. */
static int
save(const struct teaching *t, struct fault *f)
{
	struct buf place = {0}, part = {0};
	struct tensor_file *file = NULL;
	struct tensor_writer *w = NULL;
	int status = -1;
	char number[NUM_F64_MAX + 1];

	number[num_put_f64(number, isfinite(t->best_loss) ? t->best_loss : 0)] = '\0';
	course_place(t->course, &place);
	buf_printf(&place, "; worse %zu, best %s, mean %d", t->n_worse, number, t->best_is_mean);
	buf_printf(&part, "%s.part", checkpoint_path);
	if (lm_fit_save(t->fit, buf_string(&part), buf_string(&place), f) == 0 &&
	    (file = tensor_open(buf_string(&part), NULL, f)) &&
	    (w = tensor_create(checkpoint_path, tensor_meta(file, "hare"), f))) {
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

static int
go_on(struct teaching *t, struct fault *f)
{
	char *place = NULL, best[40];
	struct tensor_file *file = NULL;
	int status = -1;

	if (lm_fit_load(t->fit, checkpoint_path, &place, f) < 0)
		return -1;
	const char *rest = strstr(place, "; worse ");
	if (!rest || course_go(t->course, place) < 0 ||
	    sscanf(rest, "; worse %zu, best %39[^,], mean %d", &t->n_worse, best, &t->best_is_mean) != 3 ||
	    num_read_f64(best, strlen(best), &t->best_loss) < 0) {
		fault(f, EX_DATAERR, "%s: is of other rows, options or another seed: it stands at \"%s\"", checkpoint_path,
		    fault_quote(place, strlen(place)));
	} else if ((file = tensor_open(checkpoint_path, NULL, f)) &&
	    take_array(file, "decoder.mean", t->n_number, &t->mean, f) == 0 &&
	    take_array(file, "decoder.best", t->n_number, &t->best, f) == 0) {
		status = 0;
	}
	tensor_close(file);
	free(place);
	return status;
}

/* The bytes of the MODEL's file become a tensor of the DECODER, which so needs no other file at work. */
static int
write_within(const char *part, struct fault *f)
{
	struct tensor_file *file = tensor_open(part, NULL, f);
	struct tensor_writer *w = NULL;
	struct file_map model;
	int status = -1;

	if (!file)
		return -1;
	if (file_map_open(&model, model_path, f) < 0) {
		tensor_close(file);
		return -1;
	}
	if ((w = tensor_create(output, tensor_meta(file, "hare"), f))) {
		tensor_set_meta_file(w, file);
		tensor_declare_file(w, file);
		tensor_declare(w, "model", TENSOR_U8, 1, &model.n);
		if (tensor_put_file(w, file, f) < 0 || tensor_put(w, model.at, model.n, f) < 0)
			tensor_abort(w);
		else
			status = tensor_commit(w, f);
	}
	file_map_close(&model);
	tensor_close(file);
	return status;
}

static int
write_decoder(const struct teaching *t, struct fault *f)
{
	enum { N_META = 16, TEXT = 64 };
	const enum lm_type type = strcmp(type_name, "bf16") == 0 ? LM_BF16 : strcmp(type_name, "int8") == 0 ? LM_I8 : LM_F32;
	char text[N_META][TEXT];
	const char *meta[2 * N_META + 1];
	struct buf columns = {0};
	size_t n = 0;
	int status;

#define META(key, ...) (snprintf(text[n], TEXT, __VA_ARGS__), meta[2 * n] = key, meta[2 * n + 1] = text[n], n++)
	META("space", "%s", t->model->space);
	META("n_question", "%zu", t->limits.n_question);
	META("n_item", "%zu", t->limits.n_item);
	META("n_item_token", "%zu", t->limits.n_item_token);
	META("n_text", "%zu", t->limits.n_text);
	META("seed", "%llu", (unsigned long long)seed);
	META("steps", "%zu", lm_fit_done(t->fit));
	META("rate", "%g", rate);
	META("dropout", "%g", dropout);
	META("decay", "%g", decay);
	META("batch", "%zu", n_batch_row);
	META("alone", "%g", alone);
	META("pairs", "%zu", pairs_n(t->pairs));
	if (isfinite(t->best_loss))
		META("held_out_loss", "%.6g", t->best_loss);
#undef META
	buf_put(&columns, t->columns.at, t->columns.n);
	meta[2 * n] = "columns";
	meta[2 * n + 1] = buf_string(&columns);
	meta[2 * n + 2] = NULL;
	memcpy(t->trial, t->best ? t->best : t->numbers, t->n_number * sizeof *t->trial);
	if (no_model) {
		status = lm_write(t->lm_trial, output, type, meta, f);
	} else {
		struct buf part = {0};
		buf_printf(&part, "%s.part", output);
		status = lm_write(t->lm_trial, buf_string(&part), type, meta, f);
		if (status == 0)
			status = write_within(buf_string(&part), f);
		unlink(buf_string(&part));
		buf_free(&part);
	}
	buf_free(&columns);
	return status;
}

/* -- training -- */

static double
now_s(void)
{
	struct timespec s;

	clock_gettime(CLOCK_MONOTONIC, &s);
	return (double)s.tv_sec + 1e-9 * (double)s.tv_nsec;
}

/* How long was worked: a step that takes so much longer than the others was stopped meanwhile (SIGSTOP), which does not count. */
static double
worked_s(struct teaching *t, int after_step)
{
	enum { PAUSE_S = 3, PAUSE_STEPS = 20 };
	double now = now_s();

	if (after_step) {
		double step = now - t->step_s, usual = t->n_timed > 0 ? t->sum_step / (double)t->n_timed : step;
		if (t->n_timed > 0 && step > PAUSE_S && step > PAUSE_STEPS * usual) {
			t->begin_s += step - usual;
		} else {
			t->sum_step += step;
			t->n_timed++;
		}
	}
	t->step_s = now;
	return now - t->begin_s;
}

static void
tell(struct teaching *t, int whole)
{
	double now = now_s(), took = now - t->begin_s;
	size_t done = lm_fit_done(t->fit);
	int terminal = isatty(STDERR_FILENO);
	char held[32] = "";

	if (record_options.quiet || (!whole && now - t->told_s < (terminal ? 1 : LINE_S)))
		return;
	if (isfinite(t->last_loss))
		snprintf(held, sizeof held, ", held out %.3f", t->last_loss);
	double left = minutes > 0 ? 60 * minutes - took : took / (double)(done - t->first_step) * (double)(n_step - done);
	fprintf(stderr, "%sstep %zu of %s%zu, epoch %.2f, loss %.3f%s, %.0f tokens/s, %.0f s left%s", terminal ? "\r" : "", done,
	    minutes > 0 ? "about " : "", n_step, course_epoch(t->course), t->n_target ? t->sum_loss / (double)t->n_target : NAN, held,
	    t->sum_row / took, left > 0 ? left : 0, terminal ? "\033[K" : "\n");
	if (terminal && whole)
		fputc('\n', stderr);
	t->told_s = now;
	if (whole) {
		t->sum_loss = 0;
		t->n_target = 0;
	}
}

/* The schedule goes on to the step that will be reached when time is up. */
static void
follow_time(struct teaching *t, double took)
{
	double share = took / (60 * minutes);
	size_t done = lm_fit_done(t->fit) - t->first_step;

	if (done < N_TRIAL || share <= 0)
		return;
	n_step = t->first_step + (size_t)((double)done / share) + 1;
	if (share >= 1)
		n_step = lm_fit_done(t->fit);
	lm_fit_schedule(t->fit, n_step);
}

static int
one_step(struct teaching *t, struct fault *f)
{
	const struct lm_example *batch;
	size_t n, n_target;
	int first_epoch = course_epoch(t->course) < 1;

	if (course_next(t->course, &batch, &n, f) < 0)
		return -1;
	if (frozen && first_epoch && course_epoch(t->course) >= 1) {
		freeze(t, 1);
		lm_fit_freeze(t->fit, t->ice);
	}
	double loss = lm_fit_step(t->fit, batch, n, 1, &n_target, f);
	if (loss < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		t->sum_row += (double)(batch[i].prompt.n + batch[i].n);
	t->sum_loss += loss * (double)n_target;
	t->n_target += n_target;
	if (t->mean) {
		double k = (double)lm_fit_done(t->fit), keep = fmin(average, (1 + k) / (10 + k));
		float a = (float)(1 - keep);
		for (size_t i = 0; i < t->n_number; i++)
			t->mean[i] += a * (t->numbers[i] - t->mean[i]);
	}
	return 0;
}

static int
learn(struct teaching *t, struct fault *f)
{
	double took = 0;
	size_t last;

	t->begin_s = t->told_s = now_s();
	t->first_step = lm_fit_done(t->fit);
	if (frozen && course_epoch(t->course) >= 1) {
		freeze(t, 1);
		lm_fit_freeze(t->fit, t->ice);
	}
	for (;;) {
		size_t done = lm_fit_done(t->fit);
		last = n_stop > 0 && n_stop < n_step ? n_stop : n_step;
		if (done >= last && !(minutes > 0 && took < 60 * minutes))
			break;
		worked_s(t, 0);
		if (one_step(t, f) < 0)
			return -1;
		took = worked_s(t, 1);
		if (minutes > 0)
			follow_time(t, took);
		done = lm_fit_done(t->fit);
		last = n_stop > 0 && n_stop < n_step ? n_stop : n_step;
		int is_look = done % n_every == 0 || done == n_step;
		if (is_look)
			look(t);
		tell(t, is_look);
		if (checkpoint_path && (is_look || done == last) && save(t, f) < 0)
			return -1;
		if (is_look && t->n_held && n_patience > 0 && t->n_worse >= n_patience)
			break;
	}
	if (!t->best)
		look(t);
	return 0;
}

static void
summarise(const struct teaching *t)
{
	size_t n_cut = course_n_cut(t->course);

	if (!record_options.verbose)
		return;
	warnx("%zu rows%s, %zu users; %zu numbers, %zu tokens of vocabulary", pairs_n(t->pairs), t->n_empty ? " with text" : "",
	    pairs_n_user(t->pairs), t->n_number, t->shape.n_vocab);
	if (t->n_empty)
		warnx("%zu items without title, text or user were passed over", t->n_empty);
	if (n_cut)
		warnx("%zu examples had a longer question than %zu tokens, which was cut", n_cut, t->limits.n_question);
	if (isfinite(t->best_loss))
		warnx("held out: loss %.4f of the %s", t->best_loss, t->best_is_mean ? "average" : "numbers themselves");
}

static int
teach(struct teaching *t, int n_file, char **file, struct fault *f)
{
	struct course_options o = { .n_row = n_batch_row, .seed = seed };

	if (mat_check(f) < 0 || file_out_check(output, f) < 0 || (checkpoint_path && file_out_check(checkpoint_path, f) < 0) ||
	    !(t->model = model_open(model_path, f)) || !(t->embed = embed_open(t->model, f)) ||
	    read_data(t, n_file, file, f) < 0 || open_lm(t, f) < 0 || hold_out(t, f) < 0)
		return -1;
	t->course = course_new(t->pairs, t->lm, &t->limits, t->use, &o);
	if (resume && access(checkpoint_path, F_OK) == 0 && go_on(t, f) < 0)
		return -1;
	if (learn(t, f) < 0)
		return -1;
	summarise(t);
	return write_decoder(t, f);
}

static void
let_go(struct teaching *t)
{
	course_free(t->course);
	for (size_t i = 0; t->held_made && i < t->n_held; i++)
		pairs_example_free(&t->held_made[i]);
	free(t->held_made);
	free(t->held_example);
	free(t->held);
	free(t->use);
	free(t->ice);
	lm_fit_free(t->fit);
	lm_free(t->lm);
	lm_free(t->lm_trial);
	lm_free(t->init);
	bpe_free(t->bpe);
	free(t->numbers);
	free(t->mean);
	free(t->best);
	free(t->trial);
	buf_free(&t->columns);
	pairs_free(t->pairs);
	embed_close(t->embed);
	model_close(t->model);
}

static void
check_share(const struct opt_program *p, const char *name, double v, double below)
{
	if (!(v >= 0 && v < below))
		opt_usage(p, "--%s: expected 0 or more, below %g, got %g", name, below, v);
}

static void
check_options(const struct opt_program *p, int n_operand)
{
	if (!model_path)
		opt_usage(p, "-m MODEL is missing");
	if (!output)
		opt_usage(p, "-o DECODER is missing");
	if (n_operand > 0 && pools.n > 0 && !(pools.n == 1 && pools.at[0] == getenv("HARE_POOL")))
		opt_usage(p, "a file and a POOL: rows come from one of them");
	if (n_step > 0 && minutes > 0)
		opt_usage(p, "--steps and --minutes: choose one");
	if (minutes < 0 || !(rate > 0) || decay < 0)
		opt_usage(p, "--minutes, --rate, --decay: expected 0 or more, and a rate above 0");
	check_share(p, "dropout", dropout, 1);
	check_share(p, "held-out", held_share, .9);
	check_share(p, "average", average, 1);
	check_share(p, "alone", alone, 1.000001);
	if (n_layer == 0 || n_dim == 0 || n_head == 0 || n_dim % n_head || n_layer > 256 || n_dim > 16384)
		opt_usage(p, "--layers, --dim, --heads: expected 1 or more, and heads that divide dim");
	if (n_token < BPE_N_SPECIAL + 256 || n_token > 1 << 20)
		opt_usage(p, "--tokens: expected %d to %d, got %zu", BPE_N_SPECIAL + 256, 1 << 20, n_token);
	if (n_question > COMPOSE_TEXT_PLACE || n_item_token > COMPOSE_TEXT_PLACE || n_item_token == 1 || n_text_token == 1 ||
	    n_text_token > 4096 || (n_item != SIZE_MAX && n_item > 64) || n_prefix > 256)
		opt_usage(p, "--question-tokens and --item-tokens: at most %d; --items: at most 64; --prefix: at most 256; "
		    "--text-tokens: 2 to 4096", COMPOSE_TEXT_PLACE);
	if (n_profile == 0 || n_profile > 1024)
		opt_usage(p, "--profile: expected 1 to 1024, got %zu", n_profile);
	if (n_batch_row == 0)
		opt_usage(p, "--batch: expected 1 or more, got 0");
	if (frozen && !init_path)
		opt_usage(p, "--frozen goes with --init");
	if ((resume || n_stop) && !checkpoint_path)
		opt_usage(p, "--resume and --stop go with --checkpoint");
	if (init_path && tokenizer_path)
		opt_usage(p, "--init has a vocabulary: --tokenizer is of no use");
}

static int
run_decoder(const struct opt_program *p, int n_operand, char **operand)
{
	struct teaching t = {0};
	struct fault f;

	n_operand = filter_take_pools(&pools, n_operand, operand);
	check_options(p, n_operand);
	if (n_step == 0)
		n_step = 2000;
	if (n_every == 0)
		n_every = minutes > 0 ? 250 : n_step / 20 < 50 ? 50 : n_step / 20 > 500 ? 500 : n_step / 20;
	int status = teach(&t, n_operand, operand, &f) < 0 ? f.status : EX_OK;
	status = filter_finish(t.in, NULL, status, &f);
	let_go(&t);
	return status;
}

const struct opt_program train_decoder = {
	.name = "decoder",
	.summary = "learn to write: texts from questions and what HARE finds for them",
	.usage = "[-qv] -m MODEL -o DECODER [--user-column NAME] [--steps N | --minutes M] [--tokenizer TOKENIZER]\n"
	    "[--checkpoint FILE [--resume]] [--init FILE [--frozen]] [file ...]\n"
	    "[-qv] -m MODEL -p POOL... -o DECODER [--title COLUMN] [--text-columns COLUMN,...] ...",
	.opts = opts,
	.examples = "hare-train decoder -m skills.model -p skills.pool -o skills.decoder --minutes 3\n"
	    "hare-train decoder -m skills.model -o mine.decoder --checkpoint mine.checkpoint --steps 4000 letters.csv\n",
	.run = run_decoder,
};
