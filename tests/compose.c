/* Rows of prompts and texts, by hand; words from tokens, whatever their bytes; overlap of words against a slow twin. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "claim.h"
#include "eval/rouge.h"
#include "lm/compose.h"
#include "text/text.h"

static struct span
span(const char *s)
{
	return (struct span){ s, strlen(s) };
}

static struct bpe *
vocabulary(void)
{
	struct bpe_learn *l = bpe_learn_new();

	for (int i = 0; i < 5; i++)
		bpe_learn_add(l, " a parser of mail and maps", 26);
	return bpe_learn_end(l, BPE_N_SPECIAL + 256 + 24);
}

static struct lm *
model(struct bpe *b, size_t n_source, float **numbers)
{
	struct lm_shape s = { .n_layer = 1, .n_head = 2, .dim = 8, .n_inner = 16, .n_place = COMPOSE_TEXT_PLACE + 16,
		.n_vocab = bpe_n(b), .n_source = n_source, .two_way = n_source > 0, .copy = n_source > 0, .shift = n_source > 0 };

	*numbers = xcalloc(lm_count(&s), sizeof **numbers);
	lm_draw(&s, *numbers, 1);
	return lm_new(&s, *numbers, b);
}

/* The bytes of rows [from, to). */
static int
reads(const struct compose *c, const struct lm *m, size_t from, size_t to, const char *text)
{
	struct buf b = {0};

	for (size_t i = from; i < to; i++)
		bpe_decode(m->bpe, &c->row[i].token, 1, &b);
	int is = span_is(buf_span(&b), text);
	buf_free(&b);
	return is;
}

static size_t
end_of(const struct compose *c, size_t from)
{
	size_t i = from;

	while (i < c->n && c->row[i].source == c->row[from].source)
		i++;
	return i;
}

static void
prompts(const struct lm *m)
{
	struct compose_limits l = { .n_question = 6, .n_item = 2, .n_item_token = 4, .n_text = 8 };
	struct compose_item item[] = { { span("maps"), .5 }, { span("   "), .25 }, { span("  a parser of mail and maps\n"), .25 },
		{ span("mail"), 0 } };
	struct compose c = {0};

	compose_prompt(&c, m, &l, span(" mail and maps \n"), item, 4);
	size_t q = end_of(&c, 0), i1 = end_of(&c, q), i2 = end_of(&c, i1);
	claim(c.row[0].source == 1 && reads(&c, m, 0, q, " mail and maps"),
	    "the question comes first, blanks around it are one before it");
	claim(c.row[q].source == 2 && reads(&c, m, q, i1, " maps") && c.row[i1 - 1].token == BPE_ITEM,
	    "then items, each with its end");
	claim(c.row[i1].source == 3 && i2 == c.n && i2 - i1 == 4 && c.row[i2 - 1].token == BPE_ITEM,
	    "a blank item is none, a long one is cut before its end");
	claim(c.n_left_out == 1 && c.n_cut == 0, "an item more than fit is told");
	claim(fabs(c.row[q].log_weight - log(.5 + 1e-6)) < 1e-6 && fabs(c.row[i1].log_weight - log(.25 + 1e-6)) < 1e-6 &&
	    c.row[0].log_weight == 0,
	    "rows know the share of their item, the question's are 0");
	int right = 1;
	for (size_t i = 0; i < c.n; i++) {
		const struct lm_row *r = &c.row[i];
		uint32_t before = r->place > 0 ? c.row[i - 1].token : BPE_BEGIN, before2 = r->place > 1 ? c.row[i - 2].token :
		    r->place == 1 ? BPE_BEGIN : LM_NONE;
		right &= r->before == before && r->before2 == before2;
		right &= i == 0 || r->place == (r->source == c.row[i - 1].source ? c.row[i - 1].place + 1 : 0);
	}
	claim(right, "places count from 0 in each part, and what begins a part follows BPE_BEGIN");
	compose_prompt(&c, m, &l, span("a parser of mail and maps and mail of maps"), NULL, 0);
	claim(c.n == 6 && c.n_cut > 0, "a long question is cut, %zu tokens of it", c.n_cut);
	compose_prompt(&c, m, &l, span(""), NULL, 0);
	claim(c.n == 0, "nothing gives no rows");
	compose_prompt(&c, m, &l, span("mail"), (struct compose_item[]){ { span("maps"), 0 } }, 1);
	claim(isfinite(c.row[c.n - 1].log_weight), "items without weight are finite");

	struct lm_row row[8];
	uint32_t target[8];
	size_t n;
	compose_text(&c, m, &l, span("mail maps"), row, target, &n);
	right = row[0].token == BPE_BEGIN && row[0].before == LM_NONE && row[0].place == COMPOSE_TEXT_PLACE &&
	    target[n - 1] == BPE_END;
	for (size_t i = 1; i < n; i++)
		right &= row[i].token == target[i - 1] && row[i].before == row[i - 1].token && row[i].place == row[i - 1].place + 1 &&
		    row[i].source == 0;
	claim(right, "a text begins with BPE_BEGIN, each row foretells the next, the last the end");
	compose_text(&c, m, &l, span("a parser of mail and maps and mail of maps xyz xyz"), row, target, &n);
	claim(n == 8 && target[7] == BPE_END, "a long text is cut at %zu rows", n);
	compose_free(&c);
}

static void
plain(const struct lm *m)
{
	struct compose_limits l = { .n_question = 8, .n_item = 2, .n_item_token = 8, .n_text = 8 };
	struct compose_item item[] = { { span("maps"), .5 } };
	struct compose c = {0};
	struct lm_row row[8];
	uint32_t target[8];
	size_t n;

	compose_prompt(&c, m, &l, span("mail"), item, 1);
	int right = reads(&c, m, 0, c.n, "maps\nmail\n");
	for (size_t i = 0; i < c.n; i++)
		right &= c.row[i].place == i && c.row[i].source == 0;
	claim(right, "without sources items and question are one text, places counting on");
	struct lm_row last = c.row[c.n - 1];
	size_t n_before = c.n;
	l.n_item_token = 3;
	compose_prompt(&c, m, &l, span("mail"), item, 1);
	claim(c.n + 2 <= n_before && reads(&c, m, c.n - 1, c.n, "\n"), "an item that is cut still ends its line");
	l.n_item_token = 8;
	compose_prompt(&c, m, &l, span("mail"), item, 1);
	compose_text(&c, m, &l, span("of"), row, target, &n);
	claim(c.n + 1 == n_before && row[0].token == last.token && row[0].place == last.place && row[1].place == last.place + 1,
	    "and a text goes on from its last row");
	compose_free(&c);
}

static void
words(const struct lm *m)
{
	struct rng r = rng_at(5, 0);
	struct buf out = {0};
	int right = 1;

	for (int trial = 0; trial < 2000; trial++) {
		uint32_t token[12];
		size_t n = 1 + rng_below(&r, 12);
		for (size_t i = 0; i < n; i++)
			token[i] = (uint32_t)rng_below(&r, bpe_n(m->bpe));
		buf_clear(&out);
		compose_words(m, token, n, &out);
		right &= text_is_valid(out.n ? out.at : "", out.n) && !memchr(out.n ? out.at : "", 27, out.n) &&
		    (out.n == 0 || (out.at[0] != ' ' && out.at[out.n - 1] != ' '));
	}
	claim(right, "any tokens give UTF-8 without control characters, and without blanks around");
	struct bpe_tokens t = {0};
	const char *text = "  na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8d\x9e\t";
	bpe_encode(m->bpe, text, strlen(text), &t);
	buf_clear(&out);
	compose_words(m, t.at, t.n, &out);
	claim(span_is(buf_span(&out), "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8d\x9e"), "whole characters of every length stay");
	buf_clear(&out);
	t.n = 0;
	bpe_encode(m->bpe, "\xbf ok \xe2\x82", 7, &t);
	compose_words(m, t.at, t.n, &out);
	claim(span_is(buf_span(&out), "ok"), "parts of characters go");
	free(t.at);
	buf_free(&out);
}

/* Longest common subsequence, by trying. */
static size_t
slow_lcs(const struct rouge_words *a, size_t i, const struct rouge_words *b, size_t j)
{
	if (i == a->n || j == b->n)
		return 0;
	if (a->at[i].n == b->at[j].n && memcmp(a->at[i].at, b->at[j].at, a->at[i].n) == 0)
		return 1 + slow_lcs(a, i + 1, b, j + 1);
	size_t x = slow_lcs(a, i + 1, b, j), y = slow_lcs(a, i, b, j + 1);
	return x > y ? x : y;
}

static void
rouge(void)
{
	struct rouge_words a = {0}, b = {0};
	struct rng r = rng_at(6, 0);
	int right = 1;

	rouge_words(&a, span("The C++-parser, \xe2\x84\xaait 2.0 na\xc3\xafve"));
	claim(a.n == 8 && span_is(a.at[0], "the") && span_is(a.at[1], "c") && span_is(a.at[2], "parser") && span_is(a.at[3], "kit") &&
	    span_is(a.at[5], "0") && span_is(a.at[6], "na") && span_is(a.at[7], "ve"), "words are runs of small letters and digits");
	rouge_words(&a, span("the cat the mat"));
	rouge_words(&b, span("the mat sat the the"));
	struct rouge s = rouge_of(&a, &b);
	claim(fabs(s.one - 2. * 3 / 9) < 1e-12 && fabs(s.l - 2. * 2 / 9) < 1e-12, "by hand: three words shared, two in order");
	rouge_words(&b, span(""));
	s = rouge_of(&a, &b);
	claim(s.one == 0 && s.l == 0, "without words it is 0");
	for (int trial = 0; trial < 300; trial++) {
		char text[2][32];
		for (int k = 0; k < 2; k++) {
			size_t n = 1 + rng_below(&r, 8);
			for (size_t i = 0; i < n; i++) {
				text[k][2 * i] = (char)('a' + rng_below(&r, 4));
				text[k][2 * i + 1] = ' ';
			}
			text[k][2 * n] = '\0';
		}
		rouge_words(&a, span(text[0]));
		rouge_words(&b, span(text[1]));
		size_t n = slow_lcs(&a, 0, &b, 0);
		right &= fabs(rouge_of(&a, &b).l - 2. * (double)n / (double)(a.n + b.n)) < 1e-12;
	}
	claim(right, "the longest common subsequence is that of a slow twin");
	double value[] = { 1, 1, 1, 0, 0, .5 };
	uint32_t group[] = { 0, 0, 0, 1, 1, 2 };
	struct rouge_interval i = rouge_interval(value, group, 6, 3, SIZE_MAX, 1);
	struct rouge_interval without = rouge_interval(value, group, 6, 3, 0, 1);
	claim(fabs(i.mean - 3.5 / 6) < 1e-12 && i.low == 0 && i.high == 1, "a mean's interval is over whole groups");
	claim(fabs(without.mean - .5 / 3) < 1e-12 && without.high <= .5, "and a group may be left out");
	rouge_words_free(&a);
	rouge_words_free(&b);
}

int
main(void)
{
	struct bpe *b = vocabulary();
	float *numbers[2];
	struct lm *ours = model(b, 4, &numbers[0]), *gpt = model(b, 0, &numbers[1]);

	prompts(ours);
	plain(gpt);
	words(ours);
	rouge();
	lm_free(ours);
	lm_free(gpt);
	bpe_free(b);
	free(numbers[0]);
	free(numbers[1]);
	return claim_n_failed > 0;
}
