/* hare-eval titles - a DECODER writes for many inputs, each with a person's rows, and what it writes is measured */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/thread.h"
#include "eval.h"
#include "eval_titles.h"
#include "filter.h"
#include "mat/mat.h"
#include "text/stop.h"
#include "text/text.h"

enum { TASK = 8 };

static const char *model_path, *output, *score_name, *author_name = "author", *profile_of = "own";
static struct opt_list decoder_paths, inputs_names, profiles_names, pool_names;
static size_t n_beam = 32, n_consensus = 64;
static double length_power = .5;
static uint64_t seed;
static int faithful, controls;

static const struct opt opts[] = {
	{ 'm', "decoder", OPT_LIST, &decoder_paths, "DECODER",
	    "made by hare-train decoder; given again: they write together", NULL, "HARE_DECODER" },
	{ 0, "inputs", OPT_LIST, &inputs_names, "FILE", "id,input: what is to be written for; may be given again", NULL, NULL },
	{ 0, "profiles", OPT_LIST, &profiles_names, "FILE",
	    "sample_id,item_id: rows of the person who asks; may be given again", NULL, NULL },
	{ 0, "pool", OPT_LIST, &pool_names, "FILE", "id,title,text: what item_id is; may be given again", NULL, NULL },
	{ 'o', "output", OPT_FILE, &output, "FILE", "what is written, as id,output; default: to stdout", NULL, NULL },
	{ 0, "model", OPT_FILE, &model_path, "MODEL",
	    "that the DECODER was trained with, if it does not hold it", NULL, "HARE_MODEL" },
	{ 0, "beam", OPT_SIZE, &n_beam, "N", "texts that are followed at once; 1: the likeliest token each time", NULL, NULL },
	{ 0, "consensus", OPT_SIZE, &n_consensus, "N", "of N texts that beams end, take the one that agrees best with the others; 0: the likeliest", NULL, NULL },
	{ 0, "length-power", OPT_REAL, &length_power, "P", "texts are compared by log p / tokens^P", NULL, NULL },
	{ 0, "faithful", OPT_FLAG, &faithful, NULL,
	    "begin no word but those of the input and the items, and function words", NULL, NULL },
	{ 0, "profile-of", OPT_CHOICE, &profile_of, "WHOM", "whose rows are given", "own other none", NULL },
	{ 0, "score", OPT_STRING, &score_name, "COLUMN",
	    "of the inputs: what should have been written; figures go to stdout", NULL, NULL },
	{ 0, "controls", OPT_FLAG, &controls, NULL, "with --score: also with another author's rows, and without any", NULL, NULL },
	{ 0, "author-column", OPT_STRING, &author_name, "NAME",
	    "of the inputs, if it is there: the groups of intervals and of other", NULL, NULL },
	{ 0, "seed", OPT_U64, &seed, "S", "of all draws", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

static const char *const whose_names[TITLES_N_WHOSE] = { "own", "other", "none" };

/* -- vectors -- */

static void
embed_task(void *arg, size_t task, size_t worker)
{
	struct titles *t = arg;
	struct writer *w = &t->writer[worker];
	size_t dim = t->decoder.model->dim;
	const struct texts *texts = t->as_items ? &t->item_text : &t->input;
	float *out = t->as_items ? t->f : t->x;

	if (!w->embed)
		w->embed = embed_scratch_new(t->decoder.embed);
	for (size_t i = task * TASK; i < (task + 1) * TASK && i < texts->n; i++) {
		struct span s = texts_at(texts, i);
		embed_text(t->decoder.embed, w->embed, s.at, s.n, out + i * dim);
	}
}

static void
embed_all(struct titles *t)
{
	t->x = xaligned(t->id.n * t->decoder.model->dim, sizeof *t->x);
	t->f = xaligned(t->item.n * t->decoder.model->dim + 1, sizeof *t->f);
	embed_set_as(t->decoder.embed, EMBED_QUERY);
	thread_for(record_options.n_thread, (t->input.n + TASK - 1) / TASK, embed_task, t);
	t->as_items = 1;
	embed_set_as(t->decoder.embed, EMBED_ITEM);
	thread_for(record_options.n_thread, (t->item_text.n + TASK - 1) / TASK, embed_task, t);
}

static int
open_all(struct titles *t, struct fault *f)
{
	if (mat_check(f) < 0 || (output && file_out_check(output, f) < 0) ||
	    eval_decoder_open(&t->decoder, decoder_paths.at, decoder_paths.n, model_path, f) < 0 || titles_read(t, f) < 0)
		return -1;
	record_options.n_thread = record_options.n_thread ? record_options.n_thread : thread_count();
	t->writer = xcalloc(record_options.n_thread, sizeof *t->writer);
	t->written = xcalloc(t->id.n, sizeof *t->written);
	t->of = xmalloc(t->id.n, sizeof *t->of);
	t->seen = xcalloc(t->id.n * (t->decoder.limits.n_item + 1), sizeof *t->seen);
	t->was_cut = xcalloc(t->id.n, 1);
	t->was_empty = xcalloc(t->id.n, 1);
	embed_all(t);
	return 0;
}

/* -- writing -- */

/* Tokens that --faithful allows whatever was read: those that begin no word, and function words. What begins with a blank
   begins a word. */
static void
allow(struct titles *t)
{
	size_t n = bpe_n(t->decoder.lm->bpe);

	t->allowed = xmalloc(n, 1);
	for (size_t v = 0; v < n; v++) {
		struct span s = bpe_token(t->decoder.lm->bpe, (uint32_t)v);
		char word[32];
		t->allowed[v] = 1;
		if (s.n < 2 || s.at[0] != ' ')
			continue;
		size_t k = s.n - 1;
		for (size_t i = 0; i < k && i < sizeof word; i++)
			word[i] = s.at[i + 1] >= 'A' && s.at[i + 1] <= 'Z' ? (char)(s.at[i + 1] + 32) : s.at[i + 1];
		int letter = (word[0] >= 'a' && word[0] <= 'z') || (word[0] >= '0' && word[0] <= '9') || (unsigned char)word[0] >= 0x80;
		t->allowed[v] = !letter || (k <= sizeof word && stop_is_word((struct span){ word, k }));
	}
}

struct asked {                          /* of a task's samples */
	struct eval_prompt prompt;
	uint8_t *allowed;
};

static int
prepare(struct titles *t, struct writer *w, size_t s, struct asked *a, struct lm_prompt *prompt, struct lm_options *o,
    struct fault *f)
{
	size_t of = t->of[s], from = of < t->id.n ? t->from[of] : 0, n = of < t->id.n ? t->from[of + 1] - from : 0;
	size_t dim = t->decoder.model->dim, n_item = t->decoder.limits.n_item;
	uint32_t *found = t->seen + s * (n_item + 1);
	const float **row = xmalloc(n + 1, sizeof *row);
	struct span *title = xmalloc(n + 1, sizeof *title);

	for (size_t i = 0; i < n; i++) {
		size_t at = t->found[t->list[from + i]] - 1;
		row[i] = t->f + at * dim;
		title[i] = texts_at(&t->title, at);
	}
	int status = eval_prompt_make(&a->prompt, &t->decoder, w->look, texts_at(&t->input, s), t->x + s * dim, row, title, n, f);
	if (status == 0) {
		for (size_t i = 0; i <= n_item; i++)
			found[i] = i < n && i < n_item ? t->found[t->list[from + a->prompt.seen[i].row]] : 0;
		t->was_cut[s] = a->prompt.compose.n_cut > 0;
		*prompt = a->prompt.prompt;
		eval_prompt_options(&a->prompt, &t->decoder, o);
		o->n_beam = n_beam;
		o->n_consensus = n_beam > 1 ? n_consensus : 0;
		o->length_power = length_power;
		o->seed = seed;
		o->stream = s;
		if (faithful) {
			size_t n_token = bpe_n(t->decoder.lm->bpe);
			a->allowed = xmalloc(n_token, 1);
			memcpy(a->allowed, t->allowed, n_token);
			for (size_t i = 0; i < prompt->n; i++)
				a->allowed[prompt->row[i].token] = 1;
			o->allowed = a->allowed;
		}
	}
	free(row);
	free(title);
	return status;
}

/* One line; the first words of the input where the model wrote none. */
static void
put_words(struct titles *t, size_t s, const struct lm_text *text)
{
	struct buf *out = &t->written[s];

	buf_clear(out);
	compose_words(t->decoder.lm, text->token, text->n, out);
	t->was_empty[s] = out->n == 0;
	if (out->n == 0) {
		struct span in = texts_at(&t->input, s);
		size_t n = text_fit(in.at, in.n, 60);
		for (size_t i = n; n < in.n && i > 0; i--)
			if (in.at[i - 1] == ' ') {
				n = i - 1;
				break;
			}
		if (text_is_valid(in.at, n))
			buf_put(out, in.at, n);
		if (out->n == 0)
			buf_puts(out, "(nothing)");
	}
	for (size_t i = 0; i < out->n; i++)
		if (out->at[i] == '\n' || out->at[i] == '\t')
			out->at[i] = ' ';
}

static void
write_task(void *arg, size_t task, size_t worker)
{
	struct titles *t = arg;
	struct writer *w = &t->writer[worker];
	struct asked asked[TASK];
	struct lm_prompt prompt[TASK];
	struct lm_options o[TASK];
	struct lm_text text[TASK];
	size_t from = task * TASK, n = t->id.n - from < TASK ? t->id.n - from : TASK;
	int failed = 0;

	memset(asked, 0, sizeof asked);
	if (!w->look)
		w->look = pairs_look_new(t->decoder.model, t->n_profile_most);
	if (!w->run)
		w->run = eval_decoder_run(&t->decoder, TASK * (n_beam > 1 ? 2 * n_beam : 1));
	for (size_t i = 0; i < n && !failed; i++)
		failed = prepare(t, w, from + i, &asked[i], &prompt[i], &o[i], &w->fault) < 0;
	if (!failed)
		failed = lm_generate(w->run, prompt, o, n, text, &w->fault) < 0;
	for (size_t i = 0; i < n && !failed; i++)
		put_words(t, from + i, &text[i]);
	if (failed && task < w->fault_at)
		w->fault_at = task;
	for (size_t i = 0; i < n; i++) {
		eval_prompt_free(&asked[i].prompt);
		free(asked[i].allowed);
	}
}

/* Each sample gets the rows of a sample of another author; without authors, of another sample. */
static void
choose_profiles(struct titles *t, enum titles_whose whose)
{
	size_t n = t->id.n;

	for (size_t s = 0; s < n; s++) {
		struct rng r = rng_at(seed, s);
		size_t k = s;
		if (whose == TITLES_OTHER) {
			/* an author first, so that those with many samples are not drawn more often */
			for (int tries = 0; tries < 1000 && t->author[k] == t->author[s]; tries++) {
				size_t author = rng_below(&r, t->has_author ? t->authors.n : n);
				k = rng_below(&r, n);
				for (size_t i = 0; i < n && t->author[k] != author; i++)
					k = (k + 1) % n;
			}
			if (t->author[k] == t->author[s])
				k = n;
		}
		t->of[s] = (uint32_t)(whose == TITLES_NONE ? n : k);
	}
}

static int
write_titles(struct titles *t, enum titles_whose whose, struct fault *f)
{
	size_t n_cut = 0, n_empty = 0;

	choose_profiles(t, whose);
	for (size_t w = 0; w < record_options.n_thread; w++)
		t->writer[w].fault_at = SIZE_MAX;
	thread_for(record_options.n_thread, (t->id.n + TASK - 1) / TASK, write_task, t);
	for (size_t w = 0; w < record_options.n_thread; w++)
		if (t->writer[w].fault_at != SIZE_MAX) {
			*f = t->writer[w].fault;
			return -1;
		}
	for (size_t s = 0; s < t->id.n; s++) {
		n_cut += t->was_cut[s];
		n_empty += t->was_empty[s];
	}
	if (record_options.verbose && n_cut)
		warnx("%zu inputs have more than %zu tokens, which were cut", n_cut, t->decoder.limits.n_question);
	if (record_options.verbose && n_empty)
		warnx("%zu inputs for which the model wrote no word have their own first words", n_empty);
	return 0;
}

static void
put_cell(struct buf *out, struct span s)
{
	int quote = s.n == 0;

	for (size_t i = 0; i < s.n; i++)
		quote |= s.at[i] == ',' || s.at[i] == '"' || s.at[i] == '\n' || s.at[i] == '\r';
	if (!quote) {
		buf_put(out, s.at, s.n);
		return;
	}
	buf_putc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.at[i] == '"')
			buf_putc(out, '"');
		buf_putc(out, s.at[i]);
	}
	buf_putc(out, '"');
}

static int
save(const struct titles *t, struct fault *f)
{
	struct buf text = {0};
	int status = 0;

	buf_puts(&text, "id,output\n");
	for (size_t s = 0; s < t->id.n; s++) {
		put_cell(&text, names_at(&t->id, s));
		buf_putc(&text, ',');
		put_cell(&text, buf_span(&t->written[s]));
		buf_putc(&text, '\n');
	}
	if (output) {
		struct file_out *out = file_out_open(output, 0666, f);
		status = !out || file_out_write(out, text.at, text.n, f) < 0 ? -1 : 0;
		if (status == 0)
			status = file_out_commit(out, f);
		else
			file_out_abort(out);
	} else {
		fwrite(text.at, 1, text.n, stdout);
	}
	buf_free(&text);
	return status;
}

static int
evaluate(struct titles *t, struct fault *f)
{
	enum titles_whose first = strcmp(profile_of, "other") == 0 ? TITLES_OTHER : strcmp(profile_of, "none") == 0 ? TITLES_NONE : TITLES_OWN;
	struct titles_scores own = {0}, s = {0};
	int status;

	if (open_all(t, f) < 0)
		return -1;
	if (faithful)
		allow(t);
	if (record_options.verbose && t->n_stray)
		warnx("%zu rows of profiles are of no sample of the inputs", t->n_stray);
	if (write_titles(t, first, f) < 0 || ((output || !score_name) && save(t, f) < 0))
		return -1;
	if (!score_name)
		return 0;
	printf("profile,measure,value,low,high\n");
	if ((status = titles_score(t, &own, f)) == 0)
		titles_report(t, whose_names[first], &own);
	for (enum titles_whose w = TITLES_OTHER; controls && w < TITLES_N_WHOSE && status == 0; w++) {
		fflush(stdout);
		if ((status = write_titles(t, w, f)) == 0 && (status = titles_score(t, &s, f)) == 0) {
			titles_report(t, whose_names[w], &s);
			titles_compare(t, whose_names[w], &own, &s);
		}
		titles_scores_free(&s);
	}
	titles_scores_free(&own);
	return status;
}

static void
let_go(struct titles *t)
{
	for (size_t w = 0; t->writer && w < record_options.n_thread; w++) {
		embed_scratch_free(t->writer[w].embed);
		pairs_look_free(t->writer[w].look);
		lm_run_free(t->writer[w].run);
	}
	for (size_t s = 0; t->written && s < t->id.n; s++)
		buf_free(&t->written[s]);
	free(t->writer);
	free(t->written);
	free(t->of);
	free(t->seen);
	free(t->was_cut);
	free(t->was_empty);
	free(t->allowed);
	free(t->x);
	free(t->f);
	free(t->found);
	free(t->list);
	free(t->from);
	free(t->link);
	free(t->author);
	texts_free(&t->input);
	texts_free(&t->target);
	texts_free(&t->where);
	texts_free(&t->title);
	texts_free(&t->item_text);
	names_free(&t->id);
	names_free(&t->authors);
	names_free(&t->item);
	eval_decoder_close(&t->decoder);
}

static int
run_titles(const struct opt_program *p, int n_operand, char **operand)
{
	struct titles t = { .inputs_names = &inputs_names, .profiles_names = &profiles_names, .pool_names = &pool_names,
		.score_name = score_name, .author_name = author_name, .seed = seed };
	struct fault f;

	if (n_operand > 0)
		opt_usage(p, "unexpected operand %s", operand[0]);
	if (decoder_paths.n == 0)
		opt_usage(p, "-m DECODER is missing");
	if (!inputs_names.n || !profiles_names.n || !pool_names.n)
		opt_usage(p, "expected --inputs, --profiles and --pool");
	if (controls && !score_name)
		opt_usage(p, "--controls goes with --score");
	if (controls && strcmp(profile_of, "own") != 0)
		opt_usage(p, "--controls compares with the own profile: --profile-of is of no use");
	if (n_consensus > 1024)
		opt_usage(p, "--consensus: expected at most 1024, got %zu", n_consensus);
	if (n_beam == 0 || n_beam > 64)
		opt_usage(p, "--beam: expected 1 to 64, got %zu", n_beam);
	if (score_name && !output && record_options.verbose)
		warnx("without -o only figures are written");
	int status = evaluate(&t, &f) < 0 ? f.status : EX_OK;
	status = filter_finish(NULL, NULL, status, &f);
	let_go(&t);
	return status;
}

const struct opt_program eval_titles = {
	.name = "titles",
	.summary = "texts that a DECODER writes for people",
	.usage = "-m DECODER --inputs FILE --profiles FILE --pool FILE... [-o FILE] [--beam N] [--faithful]\n"
	    "[--model MODEL] [--score COLUMN [--controls]] [--profile-of own|other|none]",
	.opts = opts,
	.examples =
	    "  hare-eval titles -m deb.decoder --inputs samples.csv --profiles profile.csv --pool pool.csv.gz -o titles.csv\n"
	    "  hare-eval titles -m deb.decoder --inputs samples.csv --profiles profile.csv --pool pool.csv.gz --score target \\\n"
	    "    --controls\n",
	.run = run_titles,
};
