/* hare-eval titles - a DECODER writes for many inputs, each with a person's rows, and what it writes is measured */
#include <assert.h>
#include <err.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/names.h"
#include "base/rng.h"
#include "base/thread.h"
#include "embed/embed.h"
#include "text/stop.h"
#include "eval.h"
#include "eval/rouge.h"
#include "filter.h"
#include "lm/compose.h"
#include "lm/run.h"
#include "mat/mat.h"
#include "model/model.h"
#include "record/record.h"
#include "text/text.h"
#include "train/pairs.h"

enum { BATCH = 1024, TASK = 8, PROFILE_MAX = 4096, GRAM = 5, CONTENT_LEAST = 3 };

static const char *decoder_path, *model_path, *output, *score_name, *author_name = "author", *profile_of = "own";
static struct opt_list inputs_names, profiles_names, pool_names;
static size_t n_beam = 32, n_consensus = 64;
static double length_power = .5;
static uint64_t seed;
static int faithful, controls;

static const struct opt opts[] = {
	{ 'm', "decoder", OPT_FILE, &decoder_path, "DECODER", "made by hare-train decoder", NULL, "HARE_DECODER" },
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

enum whose { OWN, OTHER, NONE, N_WHOSE };
static const char *const whose_names[N_WHOSE] = { "own", "other", "none" };

/* Texts end to end. */
struct texts {
	struct buf bytes;
	size_t *end, n, n_cap;
};

struct titles {
	struct lm *lm;
	struct model *model;
	struct embed *embed;
	struct compose_limits limits;
	/* inputs */
	struct names id;                /* number of a sample: its place */
	struct texts input, target;
	struct names authors;
	uint32_t *author;               /* [n] */
	size_t n_author_cap;
	int has_author;
	/* profiles: of sample s list[from[s] .. from[s + 1]) */
	struct names item;
	struct texts where;             /* [items], the first row that asks for it */
	uint32_t (*link)[2];            /* [n_link] sample, item */
	size_t n_link, n_link_cap, n_stray;
	size_t *from;
	uint32_t *list;
	struct texts title;             /* [items], in the order in which they were found */
	uint32_t *found;                /* [items]: place in title plus one */
	float *x, *f;                   /* [n][dim] of inputs, [items][dim] */
	struct texts item_text;         /* "title\ntext" */
	size_t n_profile_most;
	/* at work */
	enum whose whose;
	uint32_t *of;                   /* [n]: whose profile each gets; n: none */
	uint8_t *allowed;               /* [n_vocab], of --faithful before the prompt is known */
	struct writer {
		struct embed_scratch *embed;
		struct pairs_look *look;
		struct lm_run *run;
		struct fault fault;
		size_t fault_at;
	} *writer;                      /* [n_thread] */
	struct buf *written;            /* [n] */
	uint32_t *seen;                 /* [n][n_item]: items of the prompt, plus one */
	uint8_t *was_cut, *was_empty;   /* [n] */
};

static void
texts_add(struct texts *t, struct span s)
{
	buf_put(&t->bytes, s.at, s.n);
	t->end = xgrow(t->end, &t->n_cap, t->n + 1, sizeof *t->end);
	t->end[t->n++] = t->bytes.n;
}

static struct span
texts_at(const struct texts *t, size_t i)
{
	size_t from = i ? t->end[i - 1] : 0;

	return (struct span){ t->bytes.at ? t->bytes.at + from : "", t->end[i] - from };
}

static void
texts_free(struct texts *t)
{
	buf_free(&t->bytes);
	free(t->end);
}

/* -- reading -- */

static int
each_row(const struct opt_list *names,
    int (*row)(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f), struct titles *t,
    const char *const *need, size_t n_need, const char *const *find, size_t n_find, struct fault *f)
{
	struct record_in *in = record_open((int)names->n, (char *const *)(uintptr_t)names->at, f);
	int column[8], status = in ? 0 : -1;
	ptrdiff_t n = 0;

	for (size_t k = 0; k < n_need && status == 0; k++)
		status = (column[k] = record_need_name(in, need[k], f)) < 0 ? -1 : 0;
	for (size_t k = 0; k < n_find && status == 0; k++) {
		column[n_need + k] = -1;
		for (size_t c = 0; c < record_n_column(in); c++)
			if (span_is(record_name(in, c), find[k]))
				column[n_need + k] = (int)c;
	}
	while (status == 0 && (n = record_batch(in, BATCH, f)) > 0)
		for (size_t i = 0; status == 0 && i < (size_t)n; i++)
			status = row(t, in, i, column, f);
	record_close(in);
	return status < 0 || n < 0 ? -1 : 0;
}

static int
input_row(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f)
{
	struct span id = record_cell(in, i, column[0]);
	size_t n = t->id.n;

	if (names_add(&t->id, id) < n)
		return record_fault(in, i, column[0], f, "expected an id of its own, got \"%s\" again", fault_quote(id.at, id.n));
	texts_add(&t->input, record_cell(in, i, column[1]));
	if (score_name)
		texts_add(&t->target, record_cell(in, i, column[2]));
	int author = column[2 + (score_name != NULL)];
	t->has_author = author >= 0;
	t->author = xgrow(t->author, &t->n_author_cap, n + 1, sizeof *t->author);
	t->author[n] = (uint32_t)(author >= 0 ? names_add(&t->authors, record_cell(in, i, author)) : n);
	return 0;
}

static int
profile_row(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f)
{
	struct span id = record_cell(in, i, column[1]);
	size_t sample = names_find(&t->id, record_cell(in, i, column[0])), n = t->item.n, item;

	if (sample == SIZE_MAX) {
		t->n_stray++;
		return 0;
	}
	if (id.n == 0)
		return record_fault(in, i, column[1], f, "expected an item, got nothing");
	if ((item = names_add(&t->item, id)) == n) {
		const char *where = record_where(in, i);
		texts_add(&t->where, (struct span){ where, strlen(where) });
	}
	t->link = xgrow(t->link, &t->n_link_cap, t->n_link + 1, sizeof *t->link);
	t->link[t->n_link][0] = (uint32_t)sample;
	t->link[t->n_link++][1] = (uint32_t)item;
	return 0;
}

static int
pool_row(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f)
{
	size_t item = names_find(&t->item, record_cell(in, i, column[0]));
	struct span title = record_cell(in, i, column[1]), text = record_cell(in, i, column[2]);
	struct buf both = {0};

	(void)f;
	if (item == SIZE_MAX || t->found[item])
		return 0;
	texts_add(&t->title, title);
	buf_put(&both, title.at, title.n);
	buf_putc(&both, '\n');
	buf_put(&both, text.at, text.n);
	texts_add(&t->item_text, buf_span(&both));
	buf_free(&both);
	t->found[item] = (uint32_t)t->title.n;
	return 0;
}

static int
read_all(struct titles *t, struct fault *f)
{
	const char *in_need[3] = { "id", "input", score_name };

	if (each_row(&inputs_names, input_row, t, in_need, score_name ? 3 : 2, &author_name, 1, f) < 0)
		return -1;
	if (t->id.n == 0)
		return fault(f, EX_DATAERR, "%s: no inputs", inputs_names.at[0]);
	if (each_row(&profiles_names, profile_row, t, (const char *[]){ "sample_id", "item_id" }, 2, NULL, 0, f) < 0)
		return -1;
	t->found = xcalloc(t->item.n + 1, sizeof *t->found);
	if (each_row(&pool_names, pool_row, t, (const char *[]){ "id", "title", "text" }, 3, NULL, 0, f) < 0)
		return -1;
	for (size_t i = 0; i < t->item.n; i++)
		if (!t->found[i]) {
			struct span where = texts_at(&t->where, i), id = names_at(&t->item, i);
			return fault(f, EX_DATAERR, "%.*s: column item_id: expected an item of the pool, got \"%s\"", (int)where.n, where.at,
			    fault_quote(id.at, id.n));
		}
	t->from = xcalloc(t->id.n + 2, sizeof *t->from);
	t->list = xmalloc(t->n_link + 1, sizeof *t->list);
	for (size_t i = 0; i < t->n_link; i++)
		t->from[t->link[i][0] + 2]++;
	for (size_t s = 0; s < t->id.n; s++) {
		if (t->from[s + 2] > PROFILE_MAX)
			return fault(f, EX_DATAERR, "%s: expected at most %d rows for a sample, got %zu", profiles_names.at[0], PROFILE_MAX,
			    t->from[s + 2]);
		if (t->from[s + 2] > t->n_profile_most)
			t->n_profile_most = t->from[s + 2];
		t->from[s + 2] += t->from[s + 1];
	}
	for (size_t i = 0; i < t->n_link; i++)
		t->list[t->from[t->link[i][0] + 1]++] = t->link[i][1];
	return 0;
}

/* -- vectors -- */

static void
embed_task(void *arg, size_t task, size_t worker)
{
	struct titles *t = arg;
	struct writer *w = &t->writer[worker];
	size_t dim = t->model->dim;
	int items = t->whose == NONE;   /* the texts of items are embedded second, as such */
	const struct texts *texts = items ? &t->item_text : &t->input;
	float *out = items ? t->f : t->x;

	if (!w->embed)
		w->embed = embed_scratch_new(t->embed);
	for (size_t i = task * TASK; i < (task + 1) * TASK && i < texts->n; i++) {
		struct span s = texts_at(texts, i);
		embed_text(t->embed, w->embed, s.at, s.n, out + i * dim);
	}
}

static void
embed_all(struct titles *t)
{
	t->x = xaligned(t->id.n * t->model->dim, sizeof *t->x);
	t->f = xaligned(t->item.n * t->model->dim + 1, sizeof *t->f);
	t->whose = OWN;
	embed_set_as(t->embed, EMBED_QUERY);
	thread_for(record_options.n_thread, (t->input.n + TASK - 1) / TASK, embed_task, t);
	t->whose = NONE;
	embed_set_as(t->embed, EMBED_ITEM);
	thread_for(record_options.n_thread, (t->item_text.n + TASK - 1) / TASK, embed_task, t);
}

static int
open_all(struct titles *t, struct fault *f)
{
	const char *space;

	if (mat_check(f) < 0 || (output && file_out_check(output, f) < 0) || !(t->lm = lm_open(decoder_path, f)) ||
	    compose_read_limits(&t->limits, t->lm, f) < 0)
		return -1;
	if (!t->lm->bpe)
		return fault(f, EX_DATAERR, "%s: has no vocabulary", decoder_path);
	if (tensor_has(t->lm->file, "model"))
		t->model = model_open_within(t->lm->file, f);
	else if (model_path)
		t->model = model_open(model_path, f);
	else
		fault(f, EX_USAGE, "%s: holds no MODEL: give the one that it was trained with, by --model or HARE_MODEL", decoder_path);
	if (!t->model)
		return -1;
	if ((space = lm_meta(t->lm, "space")) && strcmp(space, t->model->space) != 0)
		return fault(f, EX_DATAERR, "%s: is of the space %s, %s of %s", decoder_path, space, tensor_path(t->model->file),
		    t->model->space);
	if (t->lm->shape.n_prefix > 0 && t->lm->shape.n_given != 2 * t->model->dim)
		return fault(f, EX_DATAERR, "%s: its prefix is made of %zu numbers, expected %zu as %s has", decoder_path,
		    t->lm->shape.n_given, 2 * t->model->dim, tensor_path(t->model->file));
	if (!(t->embed = embed_open(t->model, f)))
		return -1;
	if (embed_is_remote(t->embed))
		return fault(f, EX_DATAERR, "%s: has its vectors from a server, which is not asked here", tensor_path(t->model->file));
	if (read_all(t, f) < 0)
		return -1;
	record_options.n_thread = record_options.n_thread ? record_options.n_thread : thread_count();
	t->writer = xcalloc(record_options.n_thread, sizeof *t->writer);
	t->written = xcalloc(t->id.n, sizeof *t->written);
	t->of = xmalloc(t->id.n, sizeof *t->of);
	t->seen = xcalloc(t->id.n * (t->limits.n_item + 1), sizeof *t->seen);
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
	size_t n = bpe_n(t->lm->bpe);

	t->allowed = xmalloc(n, 1);
	for (size_t v = 0; v < n; v++) {
		struct span s = bpe_token(t->lm->bpe, (uint32_t)v);
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
	struct compose compose;
	float *given;
	uint8_t *allowed;
};

static int
prepare(struct titles *t, struct writer *w, size_t s, struct asked *a, struct lm_prompt *prompt, struct lm_options *o,
    struct fault *f)
{
	size_t of = t->of[s], from = of < t->id.n ? t->from[of] : 0, n = of < t->id.n ? t->from[of + 1] - from : 0;
	size_t dim = t->model->dim;
	const float **row = xmalloc(n + 1, sizeof *row);
	struct pairs_seen *seen = xmalloc(n + 1, sizeof *seen);
	struct compose_item *item = xmalloc(n + 1, sizeof *item);
	int status;

	a->given = xmalloc(2 * dim, sizeof *a->given);
	for (size_t i = 0; i < n; i++)
		row[i] = t->f + (t->found[t->list[from + i]] - 1) * dim;
	status = pairs_look(w->look, t->x + s * dim, row, n, a->given, seen, f);
	for (size_t i = 0; status == 0 && i < n; i++) {
		uint32_t at = t->found[t->list[from + seen[i].row]];
		item[i] = (struct compose_item){ texts_at(&t->title, at - 1), seen[i].weight };
		if (i < t->limits.n_item)
			t->seen[s * (t->limits.n_item + 1) + i] = at;
	}
	if (status == 0) {
		for (size_t i = n; i <= t->limits.n_item; i++)
			t->seen[s * (t->limits.n_item + 1) + i] = 0;
		compose_prompt(&a->compose, t->lm, &t->limits, texts_at(&t->input, s), item, n);
		t->was_cut[s] = a->compose.n_cut > 0;
		*prompt = (struct lm_prompt){ .given = t->lm->shape.n_prefix > 0 ? a->given : NULL, .row = a->compose.row,
			.n = a->compose.n };
		lm_options_default(o);
		compose_options(t->lm, &t->limits, o);
		if (t->lm->shape.n_source == 0)
			o->place = (uint32_t)a->compose.n;
		o->n_beam = n_beam;
		o->n_consensus = n_beam > 1 ? n_consensus : 0;
		o->length_power = length_power;
		o->temperature = 0;
		o->n_token_min = 2;
		o->seed = seed;
		o->stream = s;
		if (faithful) {
			a->allowed = xmalloc(bpe_n(t->lm->bpe), 1);
			memcpy(a->allowed, t->allowed, bpe_n(t->lm->bpe));
			for (size_t i = 0; i < a->compose.n; i++)
				a->allowed[a->compose.row[i].token] = 1;
			o->allowed = a->allowed;
		}
	}
	free(row);
	free(seen);
	free(item);
	return status;
}

/* One line; the first words of the input where the model wrote none. */
static void
put_words(struct titles *t, size_t s, const struct lm_text *text)
{
	struct buf *out = &t->written[s];

	buf_clear(out);
	compose_words(t->lm, text->token, text->n, out);
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
	const struct compose_limits *l = &t->limits;
	int failed = 0;

	memset(asked, 0, sizeof asked);
	if (!w->look)
		w->look = pairs_look_new(t->model, t->n_profile_most);
	if (!w->run)
		w->run = lm_run_new(t->lm, TASK * (n_beam > 1 ? 2 * n_beam : 1),
		    t->lm->shape.n_prefix + l->n_question + l->n_item * l->n_item_token + l->n_text, 1);
	for (size_t i = 0; i < n && !failed; i++)
		failed = prepare(t, w, from + i, &asked[i], &prompt[i], &o[i], &w->fault) < 0;
	if (!failed)
		failed = lm_generate(w->run, prompt, o, n, text, &w->fault) < 0;
	for (size_t i = 0; i < n && !failed; i++)
		put_words(t, from + i, &text[i]);
	if (failed && task < w->fault_at)
		w->fault_at = task;
	for (size_t i = 0; i < n; i++) {
		compose_free(&asked[i].compose);
		free(asked[i].given);
		free(asked[i].allowed);
	}
}

/* Each sample gets the rows of a sample of another author; without authors, of another sample. */
static void
choose_profiles(struct titles *t, enum whose whose)
{
	size_t n = t->id.n;

	t->whose = whose;
	for (size_t s = 0; s < n; s++) {
		struct rng r = rng_at(seed, s);
		size_t k = s;
		if (whose == OTHER) {
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
		t->of[s] = (uint32_t)(whose == NONE ? n : k);
	}
}

static int
write_titles(struct titles *t, enum whose whose, struct fault *f)
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
		warnx("%zu inputs have more than %zu tokens, which were cut", n_cut, t->limits.n_question);
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

/* -- figures -- */

struct scores {
	double *one, *l;                /* [n] */
	double unfaithful, distinct, copied, elsewhere, words;
};

/* Content words of a text in neither its input nor the items of its prompt. */
static void
count_faith(const struct titles *t, size_t s, const struct rouge_words *words, size_t *n_content, size_t *n_outside)
{
	struct rouge_words part = {0};
	struct names seen = {0};

	for (size_t i = 0; i <= t->limits.n_item; i++) {
		uint32_t at = i ? t->seen[s * (t->limits.n_item + 1) + i - 1] : 0;
		if (i && !at)
			break;
		rouge_words(&part, i ? texts_at(&t->title, at - 1) : texts_at(&t->input, s));
		for (size_t k = 0; k < part.n; k++)
			names_add(&seen, part.at[k]);
	}
	for (size_t k = 0; k < words->n; k++) {
		if (words->at[k].n < CONTENT_LEAST || stop_is_word(words->at[k]))
			continue;
		++*n_content;
		*n_outside += names_find(&seen, words->at[k]) == SIZE_MAX;
	}
	names_free(&seen);
	rouge_words_free(&part);
}

/* Runs of n words, one blank between. */
static struct span
gram(struct buf *b, const struct rouge_words *w, size_t at, size_t n)
{
	buf_clear(b);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_putc(b, ' ');
		buf_put(b, w->at[at + i].at, w->at[at + i].n);
	}
	return buf_span(b);
}

struct grams {
	struct names all;               /* different runs of GRAM words of what was written */
	uint32_t (*run)[2];             /* [n_run] sample, number of the run */
	size_t n_run, n_run_cap;
	uint32_t *n_row, *last_row;     /* [all.n] rows of the pool that hold it, and the last of them */
	uint32_t row;
	struct names inputs;            /* whole inputs, which may be texts of the pool */
	struct rouge_words *own;        /* [inputs.n] words of the row whose text that is */
};

static struct grams *grams_of_pool;     /* for gram_row(): one at a time */

static int
gram_row(struct titles *t, struct record_in *in, size_t i, const int *column, struct fault *f)
{
	struct grams *g = grams_of_pool;
	struct span title = record_cell(in, i, column[0]), text = record_cell(in, i, column[1]);
	struct rouge_words words = {0};
	struct buf b = {0}, both = {0};
	size_t own = names_find(&g->inputs, text);

	(void)t, (void)f;
	g->row++;
	/* what would be a run from the end of the title into the text is none */
	for (size_t c = 0; c < 2; c++) {
		rouge_words(&words, c ? text : title);
		for (size_t k = 0; k + GRAM <= words.n; k++) {
			size_t at = names_find(&g->all, gram(&b, &words, k, GRAM));
			if (at != SIZE_MAX && g->last_row[at] != g->row) {
				g->last_row[at] = g->row;
				g->n_row[at]++;
			}
		}
	}
	if (own != SIZE_MAX && g->own[own].n == 0) {
		buf_put(&both, title.at, title.n);
		buf_puts(&both, " | ");
		buf_put(&both, text.at, text.n);
		rouge_words(&g->own[own], buf_span(&both));
	}
	buf_free(&both);
	buf_free(&b);
	rouge_words_free(&words);
	return 0;
}

static int
holds(const struct rouge_words *w, struct span run)
{
	struct buf b = {0};
	int found = 0;

	for (size_t k = 0; k + GRAM <= w->n && !found; k++) {
		struct span s = gram(&b, w, k, GRAM);
		found = s.n == run.n && memcmp(s.at, run.at, s.n) == 0;
	}
	buf_free(&b);
	return found;
}

/* Of all runs, those that the pool holds; and those that it holds elsewhere than in the row that is the sample's own. */
static int
share_copied(struct titles *t, struct grams *g, double *share, double *elsewhere, struct fault *f)
{
	size_t n_found = 0, n_elsewhere = 0, own;
	int status = 0;

	g->n_row = xcalloc(g->all.n + 1, sizeof *g->n_row);
	g->last_row = xcalloc(g->all.n + 1, sizeof *g->last_row);
	for (size_t s = 0; s < t->id.n; s++)
		names_add(&g->inputs, texts_at(&t->input, s));
	g->own = xcalloc(g->inputs.n, sizeof *g->own);
	grams_of_pool = g;
	if (g->all.n > 0)
		status = each_row(&pool_names, gram_row, t, (const char *[]){ "title", "text" }, 2, NULL, 0, f);
	for (size_t i = 0; i < g->n_run && status == 0; i++) {
		uint32_t at = g->run[i][1], n = g->n_row[at];
		own = names_find(&g->inputs, texts_at(&t->input, g->run[i][0]));
		n_found += n > 0;
		n_elsewhere += n > 1 || (n == 1 && !holds(&g->own[own], names_at(&g->all, at)));
	}
	*share = g->n_run ? (double)n_found / (double)g->n_run : 0;
	*elsewhere = g->n_run ? (double)n_elsewhere / (double)g->n_run : 0;
	for (size_t i = 0; i < g->inputs.n; i++)
		rouge_words_free(&g->own[i]);
	names_free(&g->inputs);
	names_free(&g->all);
	free(g->own);
	free(g->run);
	free(g->n_row);
	free(g->last_row);
	return status;
}

static int
score(struct titles *t, struct scores *out, struct fault *f)
{
	struct rouge_words words = {0}, target = {0};
	struct names pairs = {0};
	struct grams g = {0};
	struct buf b = {0};
	size_t n_content = 0, n_outside = 0, n_pair = 0, n_word = 0;

	out->one = xmalloc(t->id.n, sizeof *out->one);
	out->l = xmalloc(t->id.n, sizeof *out->l);
	for (size_t s = 0; s < t->id.n; s++) {
		rouge_words(&words, buf_span(&t->written[s]));
		rouge_words(&target, texts_at(&t->target, s));
		struct rouge r = rouge_of(&words, &target);
		out->one[s] = r.one;
		out->l[s] = r.l;
		count_faith(t, s, &words, &n_content, &n_outside);
		n_word += words.n;
		for (size_t k = 0; k + 2 <= words.n; k++, n_pair++)
			names_add(&pairs, gram(&b, &words, k, 2));
		for (size_t k = 0; k + GRAM <= words.n; k++) {
			g.run = xgrow(g.run, &g.n_run_cap, g.n_run + 1, sizeof *g.run);
			g.run[g.n_run][0] = (uint32_t)s;
			g.run[g.n_run++][1] = (uint32_t)names_add(&g.all, gram(&b, &words, k, GRAM));
		}
	}
	out->unfaithful = n_content ? (double)n_outside / (double)n_content : 0;
	out->distinct = n_pair ? (double)pairs.n / (double)n_pair : 0;
	out->words = (double)n_word / (double)t->id.n;
	int status = share_copied(t, &g, &out->copied, &out->elsewhere, f);
	names_free(&pairs);
	buf_free(&b);
	rouge_words_free(&words);
	rouge_words_free(&target);
	return status;
}

static void
put_figure(const char *profile, const char *measure, struct rouge_interval i)
{
	printf("%s,%s,%.4f", profile, measure, i.mean);
	if (isfinite(i.low))
		printf(",%.4f,%.4f\n", i.low, i.high);
	else
		printf(",,\n");
}

static void
put_plain(const char *profile, const char *measure, double value)
{
	put_figure(profile, measure, (struct rouge_interval){ value, NAN, NAN });
}

static size_t
n_group(const struct titles *t)
{
	return t->has_author ? t->authors.n : t->id.n;
}

static void
report(const struct titles *t, const char *profile, const struct scores *s)
{
	put_figure(profile, "rouge-1", rouge_interval(s->one, t->author, t->id.n, n_group(t), SIZE_MAX, seed));
	put_figure(profile, "rouge-l", rouge_interval(s->l, t->author, t->id.n, n_group(t), SIZE_MAX, seed));
	put_plain(profile, "unfaithful", s->unfaithful);
	put_plain(profile, "distinct-2", s->distinct);
	put_plain(profile, "copied-5", s->copied);
	put_plain(profile, "copied-5 elsewhere", s->elsewhere);
	put_plain(profile, "words", s->words);
}

/* What the own profile gains over another, sample by sample; and without the author who has most samples. */
static void
compare(const struct titles *t, const char *other, const struct scores *own, const struct scores *s)
{
	double *d = xmalloc(t->id.n, sizeof *d);
	size_t *n_of = xcalloc(n_group(t), sizeof *n_of), most = 0;
	char name[40];

	for (size_t i = 0; i < t->id.n; i++)
		if (++n_of[t->author[i]] > n_of[most])
			most = t->author[i];
	for (int l = 0; l < 2; l++) {
		for (size_t i = 0; i < t->id.n; i++)
			d[i] = l ? own->l[i] - s->l[i] : own->one[i] - s->one[i];
		snprintf(name, sizeof name, "own-%s", other);
		put_figure(name, l ? "rouge-l" : "rouge-1", rouge_interval(d, t->author, t->id.n, n_group(t), SIZE_MAX, seed));
		if (!t->has_author || t->authors.n < 2)
			continue;
		snprintf(name, sizeof name, "own-%s but largest", other);
		put_figure(name, l ? "rouge-l" : "rouge-1", rouge_interval(d, t->author, t->id.n, n_group(t), most, seed));
	}
	free(n_of);
	free(d);
}

static int
evaluate(struct titles *t, struct fault *f)
{
	enum whose first = strcmp(profile_of, "other") == 0 ? OTHER : strcmp(profile_of, "none") == 0 ? NONE : OWN;
	struct scores own = {0}, s = {0};
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
	if ((status = score(t, &own, f)) == 0)
		report(t, whose_names[first], &own);
	for (enum whose w = OTHER; controls && w < N_WHOSE && status == 0; w++) {
		fflush(stdout);
		if ((status = write_titles(t, w, f)) == 0 && (status = score(t, &s, f)) == 0) {
			report(t, whose_names[w], &s);
			compare(t, whose_names[w], &own, &s);
		}
		free(s.one);
		free(s.l);
		s = (struct scores){0};
	}
	free(own.one);
	free(own.l);
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
	embed_close(t->embed);
	model_close(t->model);
	lm_free(t->lm);
}

static int
run_titles(const struct opt_program *p, int n_operand, char **operand)
{
	struct titles t = {0};
	struct fault f;

	if (n_operand > 0)
		opt_usage(p, "unexpected operand %s", operand[0]);
	if (!decoder_path)
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
