/*
 * Texts by the language model, for questions, attended items and people: many at once.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "decode/write_inside.h"
#include "lm/run.h"

enum { N_AGAIN = 8,             /* how often an unfaithful text is written again */
	N_BESIDE = 3,           /* tokens that an empty text is given at least when it is written again */
	N_GPT2 = 64,            /* tokens of a text by a model that knows no length */
	N_ROW = 32 };           /* rows of a step: more share no weights */

struct job {                            /* a request at work; the memory stays from one to the next */
	const struct decode_request *request;
	struct decode_written *out;
	struct decode_item *items;
	struct compose_item *text;      /* [n_item] */
	size_t n_item_cap, n_text_cap;
	struct buf texts;               /* of the items, one after another */
	struct compose compose;
	struct write_seen seen;
	struct lm_prompt prompt;
	struct lm_options options;
	size_t n_again;
	int is_beside, is_done;         /* is_beside: written again as the first came out empty */
};

struct worker {
	struct lm_run *run;             /* NULL: not yet */
	struct job *job;                /* [n_job] */
	size_t n_job;
	struct lm_prompt *prompt;       /* [n_job] of those that are written in this round, and so on */
	struct lm_options *options;
	struct lm_text *text;
	size_t *at;
	struct write_scratch scratch;
	struct span *stop;              /* lm_options wants its own */
};

struct decode_writer {
	struct lm *lm;
	struct lm **beside;             /* [n_beside] that write together with it */
	size_t n_beside;
	struct decode_write_options o;
	struct compose_limits limits;
	struct pool *pool;
	const struct decode_columns *columns;
	size_t *column;                 /* [n_column] of an item's text; none: its title */
	size_t n_column;
	size_t n_row;                   /* of prefix, prompt and text, at most */
	uint8_t *plain, *visible;       /* [n_vocab], of write_sort_tokens() */
	struct worker *worker;          /* [n_thread] */
};

/* -- opening -- */

static int
add_column(struct decode_writer *w, size_t column)
{
	if (column == SIZE_MAX)
		return 0;
	w->column = xrealloc(w->column, w->n_column + 1, sizeof *w->column);
	w->column[w->n_column++] = column;
	return 1;
}

/* What an item says to the model: what it was taught with, unless the user has a wish. */
static void
choose_columns(struct decode_writer *w, int own_columns)
{
	const char *names = lm_meta(w->lm, "item_columns");

	for (size_t i = 0; own_columns && i < w->columns->n_text; i++)
		add_column(w, w->columns->text[i]);
	for (const char *at = names ? names : ""; !own_columns && *at; ) {
		size_t n = strcspn(at, ",");
		char *name = xstrndup(at, n);
		add_column(w, pool_column(w->pool, name));
		free(name);
		at += n + (at[n] == ',');
	}
	/* "inputs,output,user": it read the outputs of other rows as items */
	names = lm_meta(w->lm, "columns");
	if (w->n_column == 0 && w->columns->title == SIZE_MAX && names && (names = strchr(names, ','))) {
		char *name = xstrndup(names + 1, strcspn(names + 1, ","));
		add_column(w, pool_column(w->pool, name));
		free(name);
	}
	if (w->n_column == 0 && !add_column(w, w->columns->title)) {
		for (size_t i = 0; i < w->columns->n_text; i++)
			add_column(w, w->columns->text[i]);
	}
}

static int
check_space(const struct decode_writer *w, const char *path, const char *pool_name, struct fault *f)
{
	const struct lm_shape *s = &w->lm->shape;
	const char *space = lm_meta(w->lm, "space");

	if (!w->pool)
		return 0;
	if (space && strcmp(space, pool_space(w->pool)) != 0)
		return fault(f, EX_DATAERR, "%s: is of embedding space %.8s, but %s is of %.8s", path, space, pool_name,
		    pool_space(w->pool));
	if (s->n_prefix > 0 && s->n_given != 2 * pool_dim(w->pool))
		return fault(f, EX_DATAERR, "%s: is given %zu numbers, z and the user, but vectors of %s have %zu dimensions", path,
		    s->n_given, pool_name, pool_dim(w->pool));
	return 0;
}

/* How long prompt and text may be, within the places that the model has. */
static int
settle_lengths(struct decode_writer *w, const char *path, struct fault *f)
{
	const struct lm_shape *s = &w->lm->shape;
	struct compose_limits *l = &w->limits;
	struct lm_options standard;
	size_t n_most;

	lm_options_default(&standard);
	compose_options(w->lm, l, &standard);
	if (s->n_source > 0) {
		n_most = s->n_place > COMPOSE_TEXT_PLACE ? s->n_place - COMPOSE_TEXT_PLACE : 0;
		if (w->o.n_token == 0)
			w->o.n_token = standard.n_token;
	} else {
		n_most = s->n_place > 1 ? s->n_place / 2 : 0;
		if (w->o.n_token == 0)
			w->o.n_token = N_GPT2 < n_most ? N_GPT2 : n_most;
	}
	if (w->o.n_token > n_most || w->o.n_token == 0)
		return fault(f, w->o.n_token > n_most && n_most > 0 ? EX_USAGE : EX_DATAERR,
		    "%s: has places for texts of %zu tokens at most, %zu are asked for", path, n_most, w->o.n_token);
	if (s->n_source == 0) {
		size_t n_room = s->n_place - w->o.n_token - 2;
		if (l->n_question > n_room)
			l->n_question = n_room;
		while (l->n_item > 0 && l->n_item * l->n_item_token > n_room - l->n_question)
			l->n_item--;
	}
	w->n_row = s->n_prefix + l->n_question + l->n_item * l->n_item_token + w->o.n_token + 2;
	return 0;
}

static int
open_beside(struct decode_writer *w, const char *const *path, size_t n, struct fault *f)
{
	w->beside = xcalloc(n + 1, sizeof *w->beside);
	for (size_t i = 0; i < n; i++) {
		if (!(w->beside[i] = compose_open_beside(path[i], w->lm, &w->limits, f)))
			return -1;
		w->n_beside++;
	}
	return 0;
}

struct decode_writer *
decode_writer_open(const char *const *path, size_t n_path, struct pool *p, const char *pool_name, const struct decode_columns *c,
    int own_columns, const struct decode_write_options *o, struct fault *f)
{
	struct lm *lm = lm_open(path[0], f);

	if (!lm)
		return NULL;
	struct decode_writer *w = xcalloc(1, sizeof *w);
	w->lm = lm;
	w->o = *o;
	w->o.n_beam = o->n_beam > 0 ? o->n_beam : 1;
	w->pool = p;
	w->columns = c;
	if (w->o.n_thread == 0)
		w->o.n_thread = 1;
	w->worker = xcalloc(w->o.n_thread, sizeof *w->worker);
	if (!lm->bpe)
		fault(f, EX_DATAERR, "%s: has no vocabulary: expected vocab.json and merges.txt beside it", path[0]);
	else if (check_space(w, path[0], pool_name, f) == 0 && compose_read_limits(&w->limits, lm, f) == 0 &&
	    open_beside(w, path + 1, n_path - 1, f) == 0 && settle_lengths(w, path[0], f) == 0) {
		size_t n = lm->shape.n_vocab;
		if (p)
			choose_columns(w, own_columns);
		w->plain = xmalloc(n, sizeof *w->plain);
		w->visible = xmalloc(n, sizeof *w->visible);
		write_sort_tokens(lm->bpe, n, w->plain, w->visible);
		return w;
	}
	decode_writer_close(w);
	return NULL;
}

static void
job_free(struct job *j)
{
	compose_free(&j->compose);
	buf_free(&j->texts);
	free(j->items);
	free(j->text);
	write_seen_free(&j->seen);
}

void
decode_writer_close(struct decode_writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->o.n_thread; i++) {
		struct worker *k = &w->worker[i];
		lm_run_free(k->run);
		for (size_t n = 0; n < k->n_job; n++)
			job_free(&k->job[n]);
		text_words_free(&k->scratch.words);
		buf_free(&k->scratch.words_of);
		free(k->scratch.tokens.at);
		free(k->job);
		free(k->prompt);
		free(k->options);
		free(k->text);
		free(k->at);
		free(k->stop);
	}
	for (size_t i = 0; i < w->n_beside; i++)
		lm_free(w->beside[i]);
	free(w->beside);
	free(w->worker);
	free(w->column);
	free(w->plain);
	free(w->visible);
	lm_free(w->lm);
	free(w);
}

size_t
decode_writer_n_given(const struct decode_writer *w)
{
	return w->lm->shape.n_prefix > 0 ? w->lm->shape.n_given : 0;
}

void
decode_written_free(struct decode_written *t)
{
	buf_free(&t->text);
	*t = (struct decode_written){ 0 };
}

/* -- what is read -- */

int
decode_item_text(struct pool *p, size_t row, const size_t *column, size_t n_column, struct buf *out, struct fault *f)
{
	size_t from = out->n;

	if (pool_check_row(p, row, f) < 0)
		return -1;
	for (size_t c = 0; c < n_column; c++) {
		struct span s = pool_text(p, row, column[c]);
		if (s.n > 0 && out->n > from)
			buf_putc(out, ' ');
		buf_put(out, s.at, s.n);
	}
	if (out->n == from) {
		struct span id = pool_id(p, row);
		buf_put(out, id.at, id.n);
	}
	return 0;
}

/* Items heaviest first (ties: as given), with their texts. */
static int
gather(struct decode_writer *w, struct job *j, struct fault *f)
{
	const struct decode_request *r = j->request;

	j->items = xgrow(j->items, &j->n_item_cap, r->n_item + 1, sizeof *j->items);
	j->text = xgrow(j->text, &j->n_text_cap, r->n_item + 1, sizeof *j->text);
	for (size_t i = 0; i < r->n_item; i++) {
		size_t at = i;
		for (; at > 0 && j->items[at - 1].weight < r->items[i].weight; at--)
			j->items[at] = j->items[at - 1];
		j->items[at] = r->items[i];
	}
	buf_clear(&j->texts);
	for (size_t i = 0; i < r->n_item; i++) {
		size_t from = j->texts.n;
		if (decode_item_text(w->pool, j->items[i].row, w->column, w->n_column, &j->texts, f) < 0)
			return -1;
		j->text[i] = (struct compose_item){ { NULL, j->texts.n - from }, j->items[i].weight };
	}
	for (size_t i = 0, from = 0; i < r->n_item; from += j->text[i++].text.n)
		j->text[i].text.at = j->texts.at + from;
	return 0;
}

/* Which words and tokens question and items hold. Items that the model does not read do not count. */
static void
see_all(struct decode_writer *w, struct worker *k, struct job *j)
{
	size_t n_item = j->request->n_item < w->limits.n_item ? j->request->n_item : w->limits.n_item;

	write_seen_begin(&j->seen, w->plain, w->lm->shape.n_vocab);
	write_seen_add(&j->seen, w->lm->bpe, j->request->query, &k->scratch);
	for (size_t i = 0; i < n_item; i++)
		write_seen_add(&j->seen, w->lm->bpe, j->text[i].text, &k->scratch);
	write_seen_end(&j->seen);
}

static void
set_options(struct decode_writer *w, struct worker *k, struct job *j)
{
	const struct decode_request *r = j->request;
	struct lm_options *o = &j->options;

	lm_options_default(o);
	compose_options(w->lm, &w->limits, o);
	if (w->lm->shape.n_source == 0)
		o->place = (uint32_t)j->compose.n;
	o->n_token = w->o.n_token;
	o->n_token_min = 1;
	o->n_beam = isnan(r->temperature) ? w->o.n_beam : 1;
	o->n_consensus = o->n_beam > 1 ? w->o.n_consensus : 0;
	o->temperature = isnan(r->temperature) ? 0 : r->temperature;
	o->top_k = w->o.top_k;
	o->top_p = w->o.top_p;
	o->repetition = w->o.repetition;
	o->seed = r->seed;
	o->stream = r->stream;
	o->stop = k->stop;
	o->n_stop = w->o.n_stop;
	o->allowed = w->o.faithful ? j->seen.allowed : NULL;
}

static int
begin(struct decode_writer *w, struct worker *k, struct job *j, struct fault *f)
{
	struct compose *c = &j->compose;

	j->n_again = 0;
	j->is_beside = 0;
	if (gather(w, j, f) < 0)
		return -1;
	compose_prompt(c, w->lm, &w->limits, j->request->query, j->text, j->request->n_item);
	if (c->n == 0 && w->lm->shape.n_source == 0) {
		/* nothing to go on from but the end of what was before */
		c->row = xgrow(c->row, &c->n_cap, 1, sizeof *c->row);
		c->row[c->n++] = (struct lm_row){ .token = bpe_end(w->lm->bpe), .before = LM_NONE, .before2 = LM_NONE };
	}
	j->out->n_cut = c->n_cut;
	j->out->n_left_out = c->n_left_out;
	j->out->n_in = c->n;
	j->prompt = (struct lm_prompt){ .given = w->lm->shape.n_prefix > 0 ? j->request->given : NULL, .row = c->row, .n = c->n };
	if (w->o.faithful)
		see_all(w, k, j);
	set_options(w, k, j);
	return 0;
}

/* -- what is written -- */

static void
words_of(struct decode_writer *w, const uint32_t *token, size_t n, int ended, struct buf *out)
{
	buf_clear(out);
	compose_words(w->lm, token, n, out);
	if (!ended && out->n > 0)
		out->n = write_last_end(out->at, out->n);
}

/* When the model has nothing to say: what weighs most, in the pool's own words. */
static void
stand_in(struct decode_writer *w, struct worker *k, struct job *j)
{
	struct bpe_tokens *t = &k->scratch.tokens;
	struct span text = j->request->n_item > 0 ? j->text[0].text : j->request->query;
	struct buf *out = &j->out->text;

	t->n = 0;
	bpe_encode(w->lm->bpe, text.at, text.n, t);
	words_of(w, t->at, t->n < w->o.n_token ? t->n : w->o.n_token, t->n <= w->o.n_token, out);
	if (out->n == 0)
		buf_puts(out, "...");
}

/* Up to the end of the last sentence before the first word that is nowhere; nothing where there is none. */
static void
cut_unseen(struct decode_writer *w, struct worker *k, struct job *j, const uint32_t *token, size_t n)
{
	struct buf *out = &j->out->text;

	while (n > 0 && write_unseen_at(&j->seen, w->lm->bpe, token, n, &k->scratch) > 0)
		n--;
	words_of(w, token, n, 0, out);
	if (write_sentence_end(out->at, out->n) == 0)
		buf_clear(out);
	j->out->ended = 0;
}

/* Takes the text, or has it written again. */
static void
take(struct decode_writer *w, struct worker *k, struct job *j, const struct lm_text *text)
{
	struct decode_written *out = j->out;
	size_t n_seen = w->o.faithful ? write_unseen_at(&j->seen, w->lm->bpe, text->token, text->n, &k->scratch) : 0;

	out->n_out = text->n;
	out->ended = text->ended;
	if (n_seen > 0) {
		/* copies are not asked whether they may */
		uint8_t *allowed = &j->seen.allowed[text->token[n_seen - 1]];
		int again_helps = *allowed && j->n_again++ < N_AGAIN;
		*allowed = 0;
		if (again_helps)
			return;
		cut_unseen(w, k, j, text->token, n_seen - 1);
	} else
		words_of(w, text->token, text->n, text->ended, &out->text);
	if (out->text.n == 0 && !w->o.faithful && !j->is_beside) {
		j->is_beside = 1;
		j->options.n_token_min = N_BESIDE < w->o.n_token ? N_BESIDE : w->o.n_token;
		j->options.allowed = w->visible;
		return;
	}
	if (out->text.n == 0)
		stand_in(w, k, j);
	j->is_done = 1;
}

/* -- many at once -- */

static struct lm_run *
new_run(const struct decode_writer *w)
{
	size_t n_beam = w->o.n_beam, n_slot = n_beam > 1 ? (n_beam < N_ROW ? N_ROW / n_beam : 1) * 2 * n_beam : N_ROW;
	struct lm_run *r = lm_run_new(w->lm, n_slot, w->n_row, w->o.n_thread);

	for (size_t i = 0; i < w->n_beside; i++)
		lm_run_add(r, w->beside[i]);
	return r;
}

/* Room for n requests. */
static void
take_room(struct decode_writer *w, struct worker *k, size_t n)
{
	if (!k->run)
		k->run = new_run(w);
	if (!k->stop && w->o.n_stop > 0) {
		k->stop = xmalloc(w->o.n_stop, sizeof *k->stop);
		memcpy(k->stop, w->o.stop, w->o.n_stop * sizeof *k->stop);
	}
	if (n <= k->n_job)
		return;
	k->job = xrealloc(k->job, n, sizeof *k->job);
	memset(k->job + k->n_job, 0, (n - k->n_job) * sizeof *k->job);
	k->n_job = n;
	k->prompt = xrealloc(k->prompt, n, sizeof *k->prompt);
	k->options = xrealloc(k->options, n, sizeof *k->options);
	k->text = xrealloc(k->text, n, sizeof *k->text);
	k->at = xrealloc(k->at, n, sizeof *k->at);
}

static void
fail(struct job *j, const struct fault *f)
{
	j->out->failed = 1;
	j->out->fault = *f;
	j->is_done = 1;
}

/* Texts of jobs at [n]. What is wrong with one is not to harm the others: then each is written alone. */
static void
write_round(struct decode_writer *w, struct worker *k, const size_t *at, size_t n)
{
	struct fault f;

	for (size_t i = 0; i < n; i++) {
		k->prompt[i] = k->job[at[i]].prompt;
		k->options[i] = k->job[at[i]].options;
	}
	if (lm_generate(k->run, k->prompt, k->options, n, k->text, &f) == 0) {
		for (size_t i = 0; i < n; i++)
			take(w, k, &k->job[at[i]], &k->text[i]);
	} else if (n == 1)
		fail(&k->job[at[0]], &f);
	else
		for (size_t i = 0; i < n; i++)
			write_round(w, k, at + i, 1);
}

static void
write_texts(struct decode_writer *w, struct worker *k, const struct decode_request *request, size_t n, struct decode_written *out)
{
	struct fault f;
	size_t n_left;

	take_room(w, k, n);
	for (size_t i = 0; i < n; i++) {
		struct job *j = &k->job[i];
		j->request = &request[i];
		j->out = &out[i];
		j->is_done = out[i].failed = 0;
		buf_clear(&out[i].text);
		if (begin(w, k, j, &f) < 0)
			fail(j, &f);
	}
	do {
		n_left = 0;
		for (size_t i = 0; i < n; i++)
			if (!k->job[i].is_done)
				k->at[n_left++] = i;
		if (n_left > 0)
			write_round(w, k, k->at, n_left);
	} while (n_left > 0);
}

struct writing {
	struct decode_writer *w;
	const struct decode_request *request;
	size_t n, n_part;
	struct decode_written *out;
};

static void
write_part(void *arg, size_t i, size_t worker)
{
	struct writing *a = arg;
	size_t from = i * a->n / a->n_part, to = (i + 1) * a->n / a->n_part;

	write_texts(a->w, &a->w->worker[worker], a->request + from, to - from, a->out + from);
}

void
decode_write(struct decode_writer *w, const struct decode_request *request, size_t n, struct decode_written *out)
{
	struct writing a = { w, request, n, n < w->o.n_thread ? n : w->o.n_thread, out };

	thread_for(w->o.n_thread, a.n_part, write_part, &a);
}
