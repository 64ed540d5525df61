/* hare-train decoder - a language model learns to write outputs from inputs and what HARE finds for them */
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "filter.h"
#include "mat/mat.h"
#include "train.h"
#include "train_decoder.h"
#include "train_lm.h"

enum { LINE_S = 60, N_TRIAL = 8 };

static struct decoder_set set = { .type_name = "f32", .input_name = "input", .output_name = "output", .n_layer = 2, .n_dim = 128,
	.n_head = 4, .n_token = 20000, .n_prefix = 8, .n_batch_row = 2000, .n_warm = SIZE_MAX, .n_item = SIZE_MAX, .n_patience = 10,
	.n_profile = 40, .rate = 2e-3, .dropout = .1, .decay = .01, .alone = .3, .held_share = .05, .average = .998 };

static const struct opt opts[] = {
	{ 'm', "model", OPT_FILE, &set.model_path, "MODEL", "made by hare-embed fit", NULL, "HARE_MODEL" },
	{ 'p', "pool", OPT_LIST, &set.pools, "POOL",
	    "learn from its items, where no file is given; may be given again", NULL, "HARE_POOL" },
	{ 'o', "output", OPT_FILE, &set.output, "DECODER", "the file to write", NULL, NULL },
	{ 0, "input-column", OPT_STRING, &set.input_name, "NAME", "column of what is asked", NULL, NULL },
	{ 0, "output-column", OPT_STRING, &set.output_name, "NAME", "column of what is to be written", NULL, NULL },
	{ 0, "user-column", OPT_STRING, &set.user_name, "NAME",
	    "column of who wrote it; default: user, if there is one; of a POOL none", NULL, NULL },
	{ 0, "title", OPT_STRING, &set.title_name, "COLUMN", "what is written of a POOL's items (title, else name)", NULL, NULL },
	{ 0, "text-columns", OPT_STRING, &set.text_names, "COLUMN,...",
	    "what it is written from (text, else description and instructions)", NULL, NULL },
	{ 0, "tokenizer", OPT_FILE, &set.tokenizer_path, "TOKENIZER",
	    "vocabulary of hare-train tokenizer, or of a DECODER; default: learnt here", NULL, NULL },
	{ 0, "tokens", OPT_SIZE, &set.n_token, "N", "of the vocabulary that is learnt here", NULL, NULL },
	{ 0, "layers", OPT_SIZE, &set.n_layer, "N", "blocks of the transformer", NULL, NULL },
	{ 0, "dim", OPT_SIZE, &set.n_dim, "N", "numbers of a row within it", NULL, NULL },
	{ 0, "heads", OPT_SIZE, &set.n_head, "N", "of attention in each block", NULL, NULL },
	{ 0, "prefix", OPT_SIZE, &set.n_prefix, "N", "rows made of z and u", NULL, NULL },
	{ 0, "items", OPT_SIZE, &set.n_item, "N", "of the prompt, at most; default: 4", NULL, NULL },
	{ 0, "question-tokens", OPT_SIZE, &set.n_question, "N", "of the input that are read; default: 96", NULL, NULL },
	{ 0, "item-tokens", OPT_SIZE, &set.n_item_token, "N", "of an item that are read; default: 24", NULL, NULL },
	{ 0, "text-tokens", OPT_SIZE, &set.n_text_token, "N", "of a text that is written; default: 28", NULL, NULL },
	{ 0, "profile", OPT_SIZE, &set.n_profile, "N", "other rows of a user that an example knows, at most", NULL, NULL },
	{ 0, "alone", OPT_REAL, &set.alone, "SHARE", "of the examples that know nothing but the input", NULL, NULL },
	{ 0, "steps", OPT_SIZE, &set.n_step, "N", "of the optimiser; default: 2000", NULL, NULL },
	{ 0, "minutes", OPT_REAL, &set.minutes, "M",
	    "instead of steps: as many as fit, so that a run is not exactly repeated", NULL, NULL },
	{ 0, "rate", OPT_REAL, &set.rate, "R", "of Adam", NULL, NULL },
	{ 0, "warm", OPT_SIZE, &set.n_warm, "N",
	    "steps until it is reached; default: 200, or a tenth of all if that is less", NULL, NULL },
	{ 0, "dropout", OPT_REAL, &set.dropout, "P", "share of the numbers that are left out in training", NULL, NULL },
	{ 0, "decay", OPT_REAL, &set.decay, "W", "of matrices, by AdamW", NULL, NULL },
	{ 0, "batch", OPT_SIZE, &set.n_batch_row, "N", "rows of a step, on average: prefixes, prompts and texts", NULL, NULL },
	{ 0, "average", OPT_REAL, &set.average, "A",
	    "share that an average of the numbers keeps at each step; 0: none is kept", NULL, NULL },
	{ 0, "held-out", OPT_REAL, &set.held_share, "SHARE",
	    "of the users, or rows, that are not learnt from but tell how well; 0: none", NULL, NULL },
	{ 0, "every", OPT_SIZE, &set.n_every, "N",
	    "steps between two looks at them; default: a twentieth of all, 50 to 500", NULL, NULL },
	{ 0, "patience", OPT_SIZE, &set.n_patience, "N", "such looks without a better one, then training ends; 0: never", NULL, NULL },
	{ 0, "checkpoint", OPT_FILE, &set.checkpoint_path, "FILE",
	    "where a run can go on from, written at each such look", NULL, NULL },
	{ 0, "resume", OPT_FLAG, &set.resume, NULL, "go on from the checkpoint, if it is there", NULL, NULL },
	{ 0, "stop", OPT_SIZE, &set.n_stop, "N", "end at this step, with a checkpoint, for another run to go on", NULL, NULL },
	{ 0, "init", OPT_FILE, &set.init_path, "FILE", "begin with the numbers of a DECODER, or of a GPT-2 checkpoint", NULL, NULL },
	{ 0, "frozen", OPT_FLAG, &set.frozen, NULL,
	    "with --init: only the prefix learns, and after the first epoch the last block", NULL, NULL },
	{ 0, "type", OPT_CHOICE, &set.type_name, "TYPE", "of the numbers that are written", "f32 bf16 int8", NULL },
	{ 0, "no-model", OPT_FLAG, &set.no_model, NULL, "do not put the MODEL into the DECODER", NULL, NULL },
	{ 0, "seed", OPT_U64, &set.seed, "N", "of all that is drawn", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

/* -- looks at what is held out -- */

/* Mean loss over what is held out, of numbers. */
static double
loss_of(struct teaching *t, const float *numbers)
{
	struct lm_fit_options o = t->o;

	o.frozen = NULL;
	memcpy(t->trial, numbers, t->n_number * sizeof *numbers);
	struct lm_fit *fit = lm_fit_new(t->lm_trial, t->trial, &o);
	double loss = train_loss(fit, t->held_example, t->n_held);
	lm_fit_free(fit);
	return loss;
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

/* -- training -- */

/* How long was worked: a step that takes so much longer than the others was stopped meanwhile (SIGSTOP), which does not count. */
static double
worked_s(struct teaching *t, int after_step)
{
	enum { PAUSE_S = 3, PAUSE_STEPS = 20 };
	double now = filter_now_s();

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
	double now = filter_now_s(), took = now - t->begin_s;
	size_t done = lm_fit_done(t->fit);
	int terminal = isatty(STDERR_FILENO);
	char held[32] = "";

	if (record_options.quiet || (!whole && now - t->told_s < (terminal ? 1 : LINE_S)))
		return;
	if (isfinite(t->last_loss))
		snprintf(held, sizeof held, ", held out %.3f", t->last_loss);
	double left = set.minutes > 0 ? 60 * set.minutes - took : took / (double)(done - t->first_step) * (double)(set.n_step - done);
	fprintf(stderr, "%sstep %zu of %s%zu, epoch %.2f, loss %.3f%s, %.0f tokens/s, %.0f s left%s", terminal ? "\r" : "", done,
	    set.minutes > 0 ? "about " : "", set.n_step, course_epoch(t->course), t->n_target ? t->sum_loss / (double)t->n_target : NAN, held,
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
	double share = took / (60 * set.minutes);
	size_t done = lm_fit_done(t->fit) - t->first_step;

	if (done < N_TRIAL || share <= 0)
		return;
	set.n_step = t->first_step + (size_t)((double)done / share) + 1;
	if (share >= 1)
		set.n_step = lm_fit_done(t->fit);
	lm_fit_schedule(t->fit, set.n_step);
}

static int
one_step(struct teaching *t, struct fault *f)
{
	const struct lm_example *batch;
	size_t n, n_target;
	int first_epoch = course_epoch(t->course) < 1;

	if (course_next(t->course, &batch, &n, f) < 0)
		return -1;
	if (set.frozen && first_epoch && course_epoch(t->course) >= 1) {
		decoder_freeze(t, 1);
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
		double k = (double)lm_fit_done(t->fit);
		train_average(t->mean, t->numbers, t->n_number, fmin(set.average, (1 + k) / (10 + k)));
	}
	return 0;
}

static int
learn(struct teaching *t, struct fault *f)
{
	double took = 0;
	size_t last;

	t->begin_s = t->told_s = filter_now_s();
	t->first_step = lm_fit_done(t->fit);
	if (set.frozen && course_epoch(t->course) >= 1) {
		decoder_freeze(t, 1);
		lm_fit_freeze(t->fit, t->ice);
	}
	for (;;) {
		size_t done = lm_fit_done(t->fit);
		last = set.n_stop > 0 && set.n_stop < set.n_step ? set.n_stop : set.n_step;
		if (done >= last && !(set.minutes > 0 && took < 60 * set.minutes))
			break;
		worked_s(t, 0);
		if (one_step(t, f) < 0)
			return -1;
		took = worked_s(t, 1);
		if (set.minutes > 0)
			follow_time(t, took);
		done = lm_fit_done(t->fit);
		last = set.n_stop > 0 && set.n_stop < set.n_step ? set.n_stop : set.n_step;
		int is_look = done % set.n_every == 0 || done == set.n_step;
		if (is_look)
			look(t);
		tell(t, is_look);
		if (set.checkpoint_path && (is_look || done == last) && decoder_save(t, f) < 0)
			return -1;
		if (is_look && t->n_held && set.n_patience > 0 && t->n_worse >= set.n_patience)
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
	struct course_options o = { .n_row = set.n_batch_row, .seed = set.seed };

	if (mat_check(f) < 0 || file_out_check(set.output, f) < 0 || (set.checkpoint_path && file_out_check(set.checkpoint_path, f) < 0) ||
	    !(t->model = model_open(set.model_path, f)) || !(t->embed = embed_open(t->model, f)) ||
	    decoder_read_data(t, n_file, file, f) < 0 || decoder_open_lm(t, f) < 0 || decoder_hold_out(t, f) < 0)
		return -1;
	t->course = course_new(t->pairs, t->lm, &t->limits, t->use, &o);
	if (set.resume && access(set.checkpoint_path, F_OK) == 0 && decoder_go_on(t, f) < 0)
		return -1;
	if (learn(t, f) < 0)
		return -1;
	summarise(t);
	return decoder_write(t, f);
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
	if (!set.model_path)
		opt_usage(p, "-m MODEL is missing");
	if (!set.output)
		opt_usage(p, "-o DECODER is missing");
	if (n_operand > 0 && set.pools.n > 0 && !(set.pools.n == 1 && set.pools.at[0] == getenv("HARE_POOL")))
		opt_usage(p, "a file and a POOL: rows come from one of them");
	if (set.n_step > 0 && set.minutes > 0)
		opt_usage(p, "--steps and --minutes: choose one");
	if (set.minutes < 0 || !(set.rate > 0) || set.decay < 0)
		opt_usage(p, "--minutes, --rate, --decay: expected 0 or more, and a rate above 0");
	check_share(p, "dropout", set.dropout, 1);
	check_share(p, "held-out", set.held_share, .9);
	check_share(p, "average", set.average, 1);
	check_share(p, "alone", set.alone, 1.000001);
	train_check_shape(p, set.n_layer, set.n_dim, set.n_head, set.n_token);
	if (set.n_question > COMPOSE_TEXT_PLACE || set.n_item_token > COMPOSE_TEXT_PLACE || set.n_item_token == 1 || set.n_text_token == 1 ||
	    set.n_text_token > 4096 || (set.n_item != SIZE_MAX && set.n_item > 64) || set.n_prefix > 256)
		opt_usage(p, "--question-tokens and --item-tokens: at most %d; --items: at most 64; --prefix: at most 256; "
		    "--text-tokens: 2 to 4096", COMPOSE_TEXT_PLACE);
	if (set.n_profile == 0 || set.n_profile > 1024)
		opt_usage(p, "--profile: expected 1 to 1024, got %zu", set.n_profile);
	if (set.n_batch_row == 0)
		opt_usage(p, "--batch: expected 1 or more, got 0");
	if (set.frozen && !set.init_path)
		opt_usage(p, "--frozen goes with --init");
	if ((set.resume || set.n_stop) && !set.checkpoint_path)
		opt_usage(p, "--resume and --stop go with --checkpoint");
	if (set.init_path && set.tokenizer_path)
		opt_usage(p, "--init has a vocabulary: --tokenizer is of no use");
}

static int
run_decoder(const struct opt_program *p, int n_operand, char **operand)
{
	struct teaching t = { .set = &set };
	struct fault f;

	n_operand = filter_take_pools(&set.pools, n_operand, operand);
	check_options(p, n_operand);
	if (set.n_step == 0)
		set.n_step = 2000;
	if (set.n_every == 0)
		set.n_every = set.minutes > 0 ? 250 : set.n_step / 20 < 50 ? 50 : set.n_step / 20 > 500 ? 500 : set.n_step / 20;
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
