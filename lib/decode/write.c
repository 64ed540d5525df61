/*
 * A text by the language model, for a question, attended items and a person.
 */
#include "decode/write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/thread.h"
#include "decode/inside.h"
#include "lm/compose.h"
#include "lm/run.h"
#include "text/stop.h"

enum { N_AGAIN = 8,             /* how often an unfaithful text is written again */
	N_BESIDE = 3,           /* tokens that an empty text is given at least when it is written again */
	N_GPT2 = 64 };          /* tokens of a text by a model that knows no length */

struct worker {
	struct lm_run *run;     /* NULL: not yet */
	struct compose compose;
	struct decode_item *items;
	struct compose_item *text;      /* [n_item] */
	size_t n_item_cap, n_text_cap;
	struct buf texts;       /* of the items, one after another */
	uint8_t *allowed;       /* [n_vocab], for faithful */
	struct bpe_tokens tokens;
	struct text_words words;
	uint64_t *seen;         /* hashes of words, sorted */
	size_t n_seen, n_seen_cap;
	struct buf words_of;
	struct span *stop;      /* lm_options wants its own */
};

struct decode_writer {
	struct lm *lm;
	struct decode_write_options o;
	struct compose_limits limits;
	struct pool *pool;
	const struct decode_columns *columns;
	size_t *column;         /* [n_column] of an item's text; none: its title */
	size_t n_column;
	size_t n_row;           /* of prefix, prompt and text, at most */
	uint8_t *plain;         /* [n_vocab] 1: a function word or marks; no special but the end */
	uint8_t *visible;       /* [n_vocab] 1: whole characters, at least one of them seen */
	struct worker *worker;  /* [n_thread] */
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
is_whole(struct span s)
{
	int n_seen = 0;

	for (size_t i = 0; i < s.n; i++)
		n_seen += (unsigned char)s.at[i] > ' ' && s.at[i] != 0x7f;
	return n_seen > 0 && text_is_valid(s.at, s.n);
}

static int
is_letter(unsigned char c)
{
	return c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static void
sort_tokens(struct decode_writer *w)
{
	const struct bpe *b = w->lm->bpe;
	size_t n = w->lm->shape.n_vocab;
	struct text_words words = { 0 };

	w->plain = xcalloc(n, sizeof *w->plain);
	w->visible = xcalloc(n, sizeof *w->visible);
	for (size_t t = 0; t < n; t++) {
		if (t >= bpe_n(b) || bpe_is_special(b, (uint32_t)t)) {
			w->plain[t] = t == bpe_end(b);
			continue;
		}
		struct span s = bpe_token(b, (uint32_t)t);
		size_t n_letter = 0;
		for (size_t i = 0; i < s.n; i++)
			n_letter += is_letter((unsigned char)s.at[i]);
		text_words(&words, s.at, s.n);
		w->plain[t] = n_letter == 0 || (words.n == 1 && stop_is_word(words.at[0]));
		w->visible[t] = is_whole(s);
	}
	text_words_free(&words);
}

struct decode_writer *
decode_writer_open(const char *path, struct pool *p, const char *pool_name, const struct decode_columns *c, int own_columns,
    const struct decode_write_options *o, struct fault *f)
{
	struct lm *lm = lm_open(path, f);

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
		fault(f, EX_DATAERR, "%s: has no vocabulary: expected vocab.json and merges.txt beside it", path);
	else if (check_space(w, path, pool_name, f) == 0 && compose_read_limits(&w->limits, lm, f) == 0 &&
	    settle_lengths(w, path, f) == 0) {
		if (p)
			choose_columns(w, own_columns);
		sort_tokens(w);
		return w;
	}
	decode_writer_close(w);
	return NULL;
}

void
decode_writer_close(struct decode_writer *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->o.n_thread; i++) {
		struct worker *k = &w->worker[i];
		lm_run_free(k->run);
		compose_free(&k->compose);
		text_words_free(&k->words);
		buf_free(&k->texts);
		buf_free(&k->words_of);
		free(k->items);
		free(k->text);
		free(k->allowed);
		free(k->tokens.at);
		free(k->seen);
		free(k->stop);
	}
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
gather(struct decode_writer *w, struct worker *k, const struct decode_request *r, struct fault *f)
{
	k->items = xgrow(k->items, &k->n_item_cap, r->n_item + 1, sizeof *k->items);
	k->text = xgrow(k->text, &k->n_text_cap, r->n_item + 1, sizeof *k->text);
	for (size_t i = 0; i < r->n_item; i++) {
		size_t at = i;
		for (; at > 0 && k->items[at - 1].weight < r->items[i].weight; at--)
			k->items[at] = k->items[at - 1];
		k->items[at] = r->items[i];
	}
	buf_clear(&k->texts);
	for (size_t i = 0; i < r->n_item; i++) {
		size_t from = k->texts.n;
		if (decode_item_text(w->pool, k->items[i].row, w->column, w->n_column, &k->texts, f) < 0)
			return -1;
		k->text[i] = (struct compose_item){ { NULL, k->texts.n - from }, k->items[i].weight };
	}
	for (size_t i = 0, from = 0; i < r->n_item; from += k->text[i++].text.n)
		k->text[i].text.at = k->texts.at + from;
	return 0;
}

/* -- faithful -- */

static void
see(struct decode_writer *w, struct worker *k, struct span s)
{
	text_words(&k->words, s.at, s.n);
	k->seen = xgrow(k->seen, &k->n_seen_cap, k->n_seen + k->words.n + 1, sizeof *k->seen);
	for (size_t i = 0; i < k->words.n; i++)
		k->seen[k->n_seen++] = hash64(k->words.at[i].at, k->words.at[i].n, 0);
	k->tokens.n = 0;
	buf_clear(&k->words_of);
	buf_putc(&k->words_of, ' ');
	buf_put(&k->words_of, s.at, s.n);
	bpe_encode(w->lm->bpe, k->words_of.at, k->words_of.n, &k->tokens);
	bpe_encode(w->lm->bpe, s.at, s.n, &k->tokens);
	for (size_t i = 0; i < k->tokens.n; i++)
		k->allowed[k->tokens.at[i]] = 1;
}

/* Which words and tokens question and items hold. Items that the model does not read do not count. */
static void
see_all(struct decode_writer *w, struct worker *k, const struct decode_request *r)
{
	size_t n = w->lm->shape.n_vocab, n_item = r->n_item < w->limits.n_item ? r->n_item : w->limits.n_item;

	if (!k->allowed)
		k->allowed = xmalloc(n, sizeof *k->allowed);
	memcpy(k->allowed, w->plain, n);
	k->n_seen = 0;
	see(w, k, r->query);
	for (size_t i = 0; i < n_item; i++)
		see(w, k, k->text[i].text);
	qsort(k->seen, k->n_seen, sizeof *k->seen, hash64_order);
}

static int
is_seen(const struct worker *k, struct span word)
{
	uint64_t hash = hash64(word.at, word.n, 0);

	return stop_is_word(word) || bsearch(&hash, k->seen, k->n_seen, sizeof hash, hash64_order) != NULL;
}

/* Tokens up to and with the first word that is nowhere; 0: there is none. A word is only known when the next begins. */
static size_t
unseen_at(struct decode_writer *w, struct worker *k, const uint32_t *token, size_t n)
{
	for (size_t m = 1; m <= n; m++) {
		buf_clear(&k->words_of);
		bpe_decode(w->lm->bpe, token, m, &k->words_of);
		int open = m < n && k->words_of.n > 0 && is_letter((unsigned char)k->words_of.at[k->words_of.n - 1]);
		text_words(&k->words, k->words_of.at, k->words_of.n);
		for (size_t i = 0; i + (size_t)open < k->words.n; i++) {
			if (!is_seen(k, k->words.at[i])) {
				/* where the last word was open a token ago, that one was its end */
				struct span last = bpe_token(w->lm->bpe, token[m - 1]);
				int more = last.n > 0 && is_letter((unsigned char)last.at[0]);
				return more || m == 1 ? m : m - 1;
			}
		}
	}
	return 0;
}

/* -- ends -- */

/* Bytes up to the end of the last sentence; 0: there is none. */
static size_t
sentence_end(const char *at, size_t n)
{
	static const char *const wide[] = { "\343\200\202", "\357\274\201", "\357\274\237" };   /* ideographic . ! ? */

	for (size_t i = n; i > 0; i--) {
		if (strchr(".!?", at[i - 1]) && at[i - 1] && (i == n || at[i] == ' ' || at[i] == '\n'))
			return i;
		for (size_t k = 0; k < 3 && i >= 3; k++) {
			if (memcmp(at + i - 3, wide[k], 3) == 0)
				return i;
		}
	}
	return 0;
}

/* The same, or of the last word. */
static size_t
last_end(const char *at, size_t n)
{
	size_t end = sentence_end(at, n);

	for (size_t i = n; end == 0 && i > 1; i--) {
		if (at[i - 1] == ' ' || at[i - 1] == '\n')
			return i - 1;
	}
	return end ? end : n;
}

static void
words_of(struct decode_writer *w, const uint32_t *token, size_t n, int ended, struct buf *out)
{
	buf_clear(out);
	compose_words(w->lm, token, n, out);
	if (!ended && out->n > 0)
		out->n = last_end(out->at, out->n);
}

/* When the model has nothing to say: what weighs most, in the pool's own words. */
static void
stand_in(struct decode_writer *w, struct worker *k, const struct decode_request *r, struct buf *out)
{
	struct bpe_tokens *t = &k->tokens;

	t->n = 0;
	if (r->n_item > 0)
		bpe_encode(w->lm->bpe, k->text[0].text.at, k->text[0].text.n, t);
	else
		bpe_encode(w->lm->bpe, r->query.at, r->query.n, t);
	words_of(w, t->at, t->n < w->o.n_token ? t->n : w->o.n_token, t->n <= w->o.n_token, out);
	if (out->n == 0)
		buf_puts(out, "...");
}

/* -- writing -- */

static int
write_text(struct decode_writer *w, struct worker *k, const struct decode_request *r, struct decode_written *out)
{
	struct fault *f = &out->fault;
	struct lm_options o;
	struct lm_text text;

	if (gather(w, k, r, f) < 0)
		return -1;
	compose_prompt(&k->compose, w->lm, &w->limits, r->query, k->text, r->n_item);
	if (k->compose.n == 0 && w->lm->shape.n_source == 0) {
		/* nothing to go on from but the end of what was before */
		k->compose.row = xgrow(k->compose.row, &k->compose.n_cap, 1, sizeof *k->compose.row);
		k->compose.row[k->compose.n++] = (struct lm_row){ .token = bpe_end(w->lm->bpe), .before = LM_NONE, .before2 = LM_NONE };
	}
	out->n_cut = k->compose.n_cut;
	out->n_left_out = k->compose.n_left_out;
	out->n_in = k->compose.n;
	struct lm_prompt prompt = { .given = w->lm->shape.n_prefix > 0 ? r->given : NULL, .row = k->compose.row,
		.n = k->compose.n };
	lm_options_default(&o);
	compose_options(w->lm, &w->limits, &o);
	if (w->lm->shape.n_source == 0)
		o.place = (uint32_t)k->compose.n;
	o.n_token = w->o.n_token;
	o.n_token_min = 1;
	o.n_beam = isnan(r->temperature) ? w->o.n_beam : 1;
	o.n_consensus = o.n_beam > 1 ? w->o.n_consensus : 0;
	o.temperature = isnan(r->temperature) ? 0 : r->temperature;
	o.top_k = w->o.top_k;
	o.top_p = w->o.top_p;
	o.repetition = w->o.repetition;
	o.seed = r->seed;
	o.stream = r->stream;
	o.stop = k->stop;
	o.n_stop = w->o.n_stop;
	if (w->o.faithful) {
		see_all(w, k, r);
		o.allowed = k->allowed;
	}
	for (size_t again = 0; ; again++) {
		if (lm_generate(k->run, &prompt, &o, 1, &text, f) < 0)
			return -1;
		out->n_out = text.n;
		out->ended = text.ended;
		size_t n_kept = w->o.faithful ? unseen_at(w, k, text.token, text.n) : 0;
		if (n_kept == 0) {
			words_of(w, text.token, text.n, text.ended, &out->text);
			break;
		}
		/* copies are not asked whether they may */
		int again_helps = k->allowed[text.token[n_kept - 1]] && again < N_AGAIN;
		k->allowed[text.token[n_kept - 1]] = 0;
		if (!again_helps) {
			size_t n = n_kept - 1;
			while (n > 0 && unseen_at(w, k, text.token, n) > 0)
				n--;
			words_of(w, text.token, n, 0, &out->text);
			if (sentence_end(out->text.at, out->text.n) == 0)
				buf_clear(&out->text);
			out->ended = 0;
			break;
		}
	}
	if (out->text.n > 0)
		return 0;
	o.n_token_min = N_BESIDE < o.n_token ? N_BESIDE : o.n_token;
	o.allowed = w->visible;
	if (!w->o.faithful) {
		if (lm_generate(k->run, &prompt, &o, 1, &text, f) < 0)
			return -1;
		out->n_out = text.n;
		out->ended = text.ended;
		words_of(w, text.token, text.n, text.ended, &out->text);
	}
	if (out->text.n == 0)
		stand_in(w, k, r, &out->text);
	return 0;
}

struct writing {
	struct decode_writer *w;
	const struct decode_request *request;
	struct decode_written *out;
};

static void
write_one(void *arg, size_t i, size_t worker)
{
	struct writing *a = arg;
	struct worker *k = &a->w->worker[worker];
	struct decode_write_options *o = &a->w->o;

	if (!k->run)
		k->run = lm_run_new(a->w->lm, 2 * o->n_beam + 1, a->w->n_row, o->n_thread);
	if (!k->stop && o->n_stop > 0) {
		k->stop = xmalloc(o->n_stop, sizeof *k->stop);
		memcpy(k->stop, o->stop, o->n_stop * sizeof *k->stop);
	}
	buf_clear(&a->out[i].text);
	a->out[i].failed = write_text(a->w, k, &a->request[i], &a->out[i]) < 0;
}

void
decode_write(struct decode_writer *w, const struct decode_request *request, size_t n, struct decode_written *out)
{
	struct writing a = { w, request, out };

	thread_for(w->o.n_thread, n, write_one, &a);
}
