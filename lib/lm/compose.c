#include "lm/compose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/text.h"

enum { SHORTEST = 32 };         /* places of a checkpoint that prompts are cut down for */
/* The least that the ln of a weight may be: an item that nobody attends to is still read. */
static const double WEIGHT_LEAST = 1e-6;

void
compose_defaults(struct compose_limits *l)
{
	*l = (struct compose_limits){ .n_question = 96, .n_item = 4, .n_item_token = 24, .n_text = 28 };
}

static int
read_limit(size_t *out, const struct lm *m, const char *key, size_t least, size_t most, struct fault *f)
{
	double v;

	if (!lm_meta(m, key))
		return 0;
	if (tensor_meta_number(m->file, key, &v, f) < 0)
		return -1;
	if (!(v >= (double)least && v <= (double)most) || v != floor(v))
		return fault(f, EX_DATAERR, "%s: %s: expected a whole number from %zu to %zu, got %s", tensor_path(m->file), key, least,
		    most, lm_meta(m, key));
	*out = (size_t)v;
	return 0;
}

/* Every place and source that a prompt within the limits may ask for is one that the model has. */
int
compose_read_limits(struct compose_limits *l, const struct lm *m, struct fault *f)
{
	const struct lm_shape *s = &m->shape;
	size_t most = s->n_source > 0 && s->n_place > COMPOSE_TEXT_PLACE ? COMPOSE_TEXT_PLACE : s->n_place;

	compose_defaults(l);
	if (!m->file)
		return 0;
	if (read_limit(&l->n_question, m, "n_question", 1, most, f) < 0 ||
	    read_limit(&l->n_item, m, "n_item", 0, s->n_source > 1 ? s->n_source - 2 : most, f) < 0 ||
	    read_limit(&l->n_item_token, m, "n_item_token", 2, most, f) < 0 ||
	    read_limit(&l->n_text, m, "n_text", 2, s->n_place, f) < 0)
		return -1;
	size_t n_plain = l->n_question + 1 + l->n_item * l->n_item_token + l->n_text;
	if (s->n_source == 0 && s->n_place < n_plain && !lm_meta(m, "n_question") && s->n_place >= SHORTEST) {
		/* a short checkpoint of another program: a quarter for the text, the rest for question and items alike */
		l->n_text = s->n_place / 4;
		l->n_question = (s->n_place - l->n_text) / 2 - 1;
		l->n_item_token = l->n_question / l->n_item;
	} else if (s->n_source == 0 && s->n_place < n_plain)
		return fault(f, EX_DATAERR, "%s: expected %zu places or more for prompt and text, got %zu", tensor_path(m->file), n_plain,
		    s->n_place);
	if (s->n_source == 0)
		return 0;
	if (s->n_place < COMPOSE_TEXT_PLACE + l->n_text || s->n_source < 2 + l->n_item)
		return fault(f, EX_DATAERR, "%s: expected %zu places and %zu sources or more, got %zu and %zu", tensor_path(m->file),
		    COMPOSE_TEXT_PLACE + l->n_text, 2 + l->n_item, s->n_place, s->n_source);
	return 0;
}

static int
check_beside(const struct lm *m, const struct lm *first, const struct compose_limits *l, struct fault *f)
{
	const char *path = tensor_path(m->file), *first_path = tensor_path(first->file);
	const char *space = lm_meta(m, "space"), *first_space = lm_meta(first, "space");
	const struct lm_shape *s = &m->shape, *t = &first->shape;
	struct compose_limits own;

	if (compose_read_limits(&own, m, f) < 0)
		return -1;
	if (!m->bpe || !first->bpe || s->n_vocab != t->n_vocab || !bpe_is_same(m->bpe, first->bpe))
		return fault(f, EX_DATAERR, "%s: has not the vocabulary of %s: those that write together have one, which "
		    "hare-train's --tokenizer gives", path, first_path);
	if (space && first_space && strcmp(space, first_space) != 0)
		return fault(f, EX_DATAERR, "%s: is of the space %s, %s of %s", path, space, first_path, first_space);
	size_t n_given = s->n_prefix > 0 ? s->n_given : 0, n_first = t->n_prefix > 0 ? t->n_given : 0;
	if (n_given != n_first)
		return fault(f, EX_DATAERR, "%s: is given %zu numbers, %s %zu", path, n_given, first_path, n_first);
	if ((s->n_source > 0) != (t->n_source > 0) || own.n_question != l->n_question || own.n_item != l->n_item ||
	    own.n_item_token != l->n_item_token || own.n_text != l->n_text)
		return fault(f, EX_DATAERR, "%s: reads prompts of another form than %s", path, first_path);
	if (s->n_place < t->n_place)
		return fault(f, EX_DATAERR, "%s: has %zu places, %s %zu: name the one with fewer first", path, s->n_place, first_path, t->n_place);
	return 0;
}

struct lm *
compose_open_beside(const char *path, const struct lm *first, const struct compose_limits *l, struct fault *f)
{
	struct lm *m = lm_open(path, f);

	if (m && check_beside(m, first, l, f) < 0) {
		lm_free(m);
		return NULL;
	}
	return m;
}

void
compose_free(struct compose *c)
{
	free(c->row);
	free(c->tokens.at);
	buf_free(&c->text);
	*c = (struct compose){0};
}

static int
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && is_blank(s.at[s.n - 1]))
		s.n--;
	while (s.n > 0 && is_blank(s.at[0])) {
		s.at++;
		s.n--;
	}
	return s;
}

/* The tokens of a part, into c->tokens. A blank goes before it, so that its first word is the token that the same word is
   within a text. */
static void
encode(struct compose *c, const struct lm *m, const char *before, struct span text)
{
	text = trimmed(text);
	buf_clear(&c->text);
	c->tokens.n = 0;
	if (text.n == 0)
		return;
	buf_puts(&c->text, before);
	buf_put(&c->text, text.at, text.n);
	bpe_encode(m->bpe, c->text.at, c->text.n, &c->tokens);
}

/* Appends token[0..n) as a part. What begins a part follows BPE_BEGIN, as a text does: so the copy head knows where to
   begin. */
static void
put_part(struct compose *c, const uint32_t *token, size_t n, uint32_t source, double log_weight)
{
	c->row = xgrow(c->row, &c->n_cap, c->n + n + 1, sizeof *c->row);
	for (size_t i = 0; i < n; i++)
		c->row[c->n++] = (struct lm_row){ .token = token[i], .before = i > 0 ? token[i - 1] : BPE_BEGIN,
			.before2 = i > 1 ? token[i - 2] : i == 1 ? BPE_BEGIN : LM_NONE, .place = (uint32_t)i, .source = source,
			.log_weight = (float)log_weight };
}

/* A line of one text, at most n_most tokens of which its end is the last; places count on. */
static void
put_line(struct compose *c, const struct lm *m, size_t n_most)
{
	size_t n = c->tokens.n < n_most - 1 ? c->tokens.n : n_most - 1;

	if (c->tokens.n == 0)
		return;
	c->tokens.n = n;
	bpe_encode(m->bpe, "\n", 1, &c->tokens);
	n = c->tokens.n;
	c->row = xgrow(c->row, &c->n_cap, c->n + n + 1, sizeof *c->row);
	for (size_t i = 0; i < n; i++, c->n++)
		c->row[c->n] = (struct lm_row){ .token = c->tokens.at[i], .before = c->n > 0 ? c->row[c->n - 1].token : LM_NONE,
			.before2 = c->n > 1 ? c->row[c->n - 2].token : LM_NONE, .place = (uint32_t)c->n };
}

static void
put_items(struct compose *c, const struct lm *m, const struct compose_limits *l, const struct compose_item *item,
    size_t n_item)
{
	double sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < n_item; i++)
		sum += item[i].weight;
	for (size_t i = 0; i < n_item; i++) {
		if (n == l->n_item) {
			c->n_left_out = n_item - i;
			return;
		}
		if (m->shape.n_source == 0) {
			encode(c, m, "", item[i].text);
			n += c->tokens.n > 0;
			put_line(c, m, l->n_item_token);
			continue;
		}
		encode(c, m, " ", item[i].text);
		if (c->tokens.n == 0)
			continue;
		if (c->tokens.n > l->n_item_token - 1)
			c->tokens.n = l->n_item_token - 1;
		c->tokens.at = xgrow(c->tokens.at, &c->tokens.n_cap, c->tokens.n + 1, sizeof *c->tokens.at);
		c->tokens.at[c->tokens.n++] = BPE_ITEM;
		put_part(c, c->tokens.at, c->tokens.n, (uint32_t)(2 + n), log(item[i].weight / (sum > 0 ? sum : 1) + WEIGHT_LEAST));
		n++;
	}
}

void
compose_prompt(struct compose *c, const struct lm *m, const struct compose_limits *l, struct span question,
    const struct compose_item *item, size_t n_item)
{
	int plain = m->shape.n_source == 0;

	c->n = c->n_cut = c->n_left_out = 0;
	if (plain)
		put_items(c, m, l, item, n_item);
	encode(c, m, plain ? "" : " ", question);
	if (c->tokens.n > l->n_question) {
		c->n_cut = c->tokens.n - l->n_question;
		c->tokens.n = l->n_question;
	}
	if (plain) {
		put_line(c, m, l->n_question + 1);
		return;
	}
	put_part(c, c->tokens.at, c->tokens.n, 1, 0);
	put_items(c, m, l, item, n_item);
}

void
compose_text(struct compose *c, const struct lm *m, const struct compose_limits *l, struct span text, struct lm_row *row,
    uint32_t *target, size_t *n)
{
	int plain = m->shape.n_source == 0;
	struct lm_row first = { .token = BPE_BEGIN, .before = LM_NONE, .before2 = LM_NONE, .place = COMPOSE_TEXT_PLACE };
	size_t n_token;

	encode(c, m, plain ? "" : " ", text);
	n_token = c->tokens.n < l->n_text - 1 ? c->tokens.n : l->n_text - 1;
	/* a plain text goes on from the prompt's last row, which so becomes the first of the text */
	if (plain && c->n > 0)
		first = c->row[--c->n];
	else if (plain)
		first = (struct lm_row){ .token = bpe_end(m->bpe), .before = LM_NONE, .before2 = LM_NONE };
	row[0] = first;
	for (size_t i = 0; i < n_token; i++) {
		target[i] = c->tokens.at[i];
		row[i + 1] = (struct lm_row){ .token = c->tokens.at[i], .before = row[i].token, .before2 = row[i].before,
			.place = row[i].place + 1 };
	}
	target[n_token] = bpe_end(m->bpe);
	*n = n_token + 1;
}

void
compose_options(const struct lm *m, const struct compose_limits *l, struct lm_options *o)
{
	o->n_token = l->n_text - 1;
	o->end = bpe_end(m->bpe);
	o->source = 0;
	o->first = m->shape.n_source > 0 ? BPE_BEGIN : LM_NONE;
	o->place = m->shape.n_source > 0 ? COMPOSE_TEXT_PLACE : 0;
}

void
compose_words(const struct lm *m, const uint32_t *token, size_t n, struct buf *out)
{
	struct buf bytes = {0}, clean = {0};

	bpe_decode(m->bpe, token, n, &bytes);
	for (size_t i = 0; i < bytes.n; ) {
		size_t k = 1, n_left = bytes.n - i;
		while (k <= 4 && k <= n_left && !text_is_valid(bytes.at + i, k))
			k++;
		if (k > 4 || k > n_left) {
			i++;            /* no character begins here */
			continue;
		}
		/* what a terminal would act upon is no word */
		if (k > 1 || bytes.at[i] == '\n' || bytes.at[i] == '\t' || ((unsigned char)bytes.at[i] >= ' ' && bytes.at[i] != 0x7f))
			buf_put(&clean, bytes.at + i, k);
		i += k;
	}
	struct span words = trimmed(buf_span(&clean));
	buf_put(out, words.at, words.n);
	buf_free(&bytes);
	buf_free(&clean);
}
