/*
 * Blends, prompts and persons from a small pool whose sentences are known.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "claim.h"
#include "decode/decode.h"
#include "mat/mat.h"
#include "scratch.h"

enum { DIM = 2, N_TOPIC = 12 };

static struct pool *pool;
static struct decode_columns columns;
static struct decode *decode;
static struct fault f;

static void
add(struct pool_builder *b, const char *id, float angle, const char *title, const char *text)
{
	const float x[DIM] = { cosf(angle), sinf(angle) };
	const struct span texts[2] = { { title, strlen(title) }, { text, strlen(text) } };

	if (pool_add(b, (struct span){ id, strlen(id) }, x, 0, texts, &f) < 0)
		claim(0, "%s", f.text);
}

/* topic0 .. topic11 have four sentences of nine words that no other has; then the odd ones. */
static void
make_pool(const char *path)
{
	static const char *const names[] = { "title", "text" };
	struct pool_builder *b = pool_create(path, DIM, "0123456789abcdef0123456789abcdef", 1, names, 2, &f);
	char id[32], title[32], text[1024];

	for (int i = 0; i < N_TOPIC; i++) {
		snprintf(id, sizeof id, "topic%d", i);
		snprintf(title, sizeof title, "Title %d", i);
		text[0] = '\0';
		for (int s = 0; s < 4; s++)
			snprintf(text + strlen(text), sizeof text - strlen(text),
			    "Take word%da%d word%db%d word%dc%d word%dd%d word%de%d word%df%d and go%d. ",
			    i, s, i, s, i, s, i, s, i, s, i, s, s);
		add(b, id, .1f * (float)i, title, text);
	}
	add(b, "copy", 3, "Copy", "Paint the fence with green colour before the rain comes. Ask the neighbour for his ladder.");
	add(b, "copycat", 3, "Copycat", "Paint the fence with green colour before the rain comes! Wait until the paint is dry.");
	add(b, "leaning", 3, "Leaning", "Granite is a hard rock from deep below. It contains quartz. This makes it last. Marble is another and softer one.");
	add(b, "list", 3, "List", "Follow these steps:\n1. Open the box. Keep the lid.\n2. Take the lamp out.\n3. Press the red button twice.\nThe lamp glows for an hour.");
	add(b, "inline", 3, "Inline", "1. Open the tin with care. 2. Pour the soup into a pot. 3. Heat it slowly.");
	add(b, "empty", 3, "Empty", "");
	add(b, "bare", 3, "Bare words", "This is a tool for bees");
	add(b, "wrapped", 3, "Wrapped", "A sentence that was\nwrapped over  several\n lines comes out as one.");
	if (pool_commit(b, &f) < 0)
		claim(0, "%s", f.text);
}

static struct decode_item
item(const char *id, double weight)
{
	return (struct decode_item){ pool_find(pool, (struct span){ id, strlen(id) }), weight };
}

static const char *
blend(const char *query, const struct decode_item *items, size_t n, size_t n_word, int sources)
{
	static struct buf out;

	buf_clear(&out);
	if (decode_blend(decode, (struct span){ query, strlen(query) }, items, n, n_word, sources, &out, &f) < 0)
		claim(0, "%s", f.text);
	return buf_string(&out);
}

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
		n++;
	return n;
}

static size_t
count_words(const char *text)
{
	size_t n = 0;

	for (const char *at = text; *at; at++)
		n += *at != ' ' && *at != '\n' && (at == text || at[-1] == ' ' || at[-1] == '\n');
	return n;
}

static void
test_breadth(void)
{
	struct decode_item items[N_TOPIC];
	char id[32];
	size_t n_words[4], n_flat = 0, n_sharp = 0;
	const char *text;

	for (int i = 0; i < N_TOPIC; i++) {
		snprintf(id, sizeof id, "topic%d", i);
		items[i] = item(id, 1. / N_TOPIC);
	}
	text = blend("", items, N_TOPIC, 120, 1);
	for (int i = 0; i < N_TOPIC; i++) {
		snprintf(id, sizeof id, "[topic%d]", i);
		n_flat += count(text, id) > 0;
	}
	for (int i = 0; i < N_TOPIC; i++)
		items[i].weight = i == 7 ? .97 : .03 / (N_TOPIC - 1);
	text = blend("", items, N_TOPIC, 36, 1);
	for (int i = 0; i < N_TOPIC; i++) {
		snprintf(id, sizeof id, "[topic%d]", i);
		n_sharp += count(text, id) > 0;
	}
	claim(n_flat >= 11, "a flat attention over 12 items draws on nearly all (%zu)", n_flat);
	claim(n_sharp == 1 && count(text, "[topic7]") == 4, "a sharp one on a single item, with all that it says");
	claim(strncmp(blend("", items, N_TOPIC, 36, 0), "Take word7a0 ", 13) == 0, "the first sentence is the heaviest item's");
	for (int i = 0; i < 4; i++)
		items[i].weight = 4 - i;
	text = blend("", items, 4, 105, 1);
	for (int i = 0; i < 4; i++) {
		snprintf(id, sizeof id, "[topic%d]", i);
		n_words[i] = count(text, id);
	}
	claim(n_words[0] == 4 && n_words[1] == 3 && n_words[2] == 2 && n_words[3] == 1,
	    "in a hundred words, weights of 4 : 3 : 2 : 1 give as many sentences");
}

static void
test_words(void)
{
	struct decode_item items[N_TOPIC];
	char id[32];
	int all_short = 1, any_full = 0;

	for (int i = 0; i < N_TOPIC; i++) {
		snprintf(id, sizeof id, "topic%d", i);
		items[i] = item(id, 1. / (1 + i));
	}
	for (size_t n = 9; n < 300; n++) {
		size_t got = count_words(blend("word3b2", items, N_TOPIC, n, 0));
		all_short &= got <= n;
		any_full |= got > 200;
	}
	claim(all_short && any_full, "a blend has at most the words that were asked for, from 9 to 299");
	claim(count_words(blend("", items, N_TOPIC, 3, 0)) == 9, "a first sentence that is longer comes whole");
	struct decode_item two[] = { item("topic5", .6), item("topic3", .4) };
	claim(strstr(blend("word3b2", two, 2, 20, 0), "word3a2") != NULL && strstr(blend("word5b3", two, 2, 20, 0), "word3a2") == NULL,
	    "the query chooses among an item's sentences");
	char *first = xstrdup(blend("word3b2", items, N_TOPIC, 120, 1));
	for (int i = 0; i < N_TOPIC / 2; i++) {
		struct decode_item swap = items[i];
		items[i] = items[N_TOPIC - 1 - i];
		items[N_TOPIC - 1 - i] = swap;
	}
	claim(strcmp(first, blend("word3b2", items, N_TOPIC, 120, 1)) == 0, "the order in which the items are given does not matter");
	for (int i = 0; i < N_TOPIC; i++)
		items[i].weight *= 1000;
	claim(strcmp(first, blend("word3b2", items, N_TOPIC, 120, 1)) == 0, "nor does the sum of the weights");
	free(first);
}

static void
test_sentences(void)
{
	struct decode_item both[] = { item("copy", .5), item("copycat", .5) };
	struct decode_item one = item("leaning", 1), list = item("list", 1), tin = item("inline", 1);
	struct decode_item few[] = { item("empty", .9), item("wrapped", .1) };
	const char *text = blend("", both, 2, 100, 0);

	claim(count(text, "Paint the fence") == 1 && count(text, "ladder") == 1 && count(text, "is dry") == 1,
	    "what two items say alike is said once, the rest of both stays");
	int alone = 0, whole = 0;
	for (size_t n = 1; n < 40; n++) {
		text = blend("quartz marble", &one, 1, n, 0);
		alone |= strstr(text, "It contains") && !strstr(text, "from deep below. It contains quartz.");
		alone |= strstr(text, "This makes") && !strstr(text, "quartz. This makes");
		whole |= strstr(text, "This makes") != NULL;
	}
	claim(!alone && whole, "a sentence that begins with It or This follows the one before it, or stays out");
	claim(strcmp(blend("", &list, 1, 100, 0), "Follow these steps:\n1. Open the box. Keep the lid.\n2. Take the lamp out.\n"
	    "3. Press the red button twice.\nThe lamp glows for an hour.") == 0, "a list comes whole and in order, with the line before it");
	claim(strcmp(blend("button", &list, 1, 14, 0), "Follow these steps:\n1. Open the box. Keep the lid.\n2. Take the lamp out.\n"
	    "3. Press the red button twice.") == 0 || strcmp(blend("button", &list, 1, 14, 0), "The lamp glows for an hour.") == 0,
	    "or not at all");
	claim(strcmp(blend("", &tin, 1, 100, 0), "1. Open the tin with care.\n2. Pour the soup into a pot.\n3. Heat it slowly.") == 0,
	    "so does a list within one line");
	claim(strcmp(blend("", few, 2, 100, 0), "A sentence that was wrapped over several lines comes out as one.") == 0,
	    "an item without text is passed over; wrapped lines are joined");
	claim(strcmp(blend("", few, 1, 100, 0), "") == 0 && strcmp(blend("", few, 0, 100, 0), "") == 0, "no text, no blend");
	one = item("bare", 1);
	claim(strcmp(blend("", &one, 1, 100, 0), "Bare words: This is a tool for bees.") == 0,
	    "a title stands before a sentence that does not tell what it is about, and what has no stop gets one");
	claim(strcmp(blend("", &one, 1, 100, 1), "Bare words: This is a tool for bees. [bare]") == 0, "sources are marked");
}

static void
test_prompt(void)
{
	struct decode_item items[N_TOPIC];
	struct decode_prompt p = { .query = { "What now?", 9 }, .budget_token = 100000 };
	struct buf out = { 0 };
	char id[32];
	int within = 1, n = 0, n_least = N_TOPIC, n_refused = 0;

	for (int i = 0; i < N_TOPIC; i++) {
		snprintf(id, sizeof id, "topic%d", i);
		items[i] = item(id, 1. / (1 << i));
	}
	decode_prompt(decode, &p, items, N_TOPIC, &out, &f);
	const char *text = buf_string(&out), *first = strstr(text, "1. Title 0 (50 %)\nTake word0a0"), *second = strstr(text, "2. Title 1 (25 %)");
	claim(first && second && first < second && strstr(text, "word11a3") && strstr(text, "Question: What now?"),
	    "a prompt has the query and the items by weight, whole if the budget allows");
	for (p.budget_token = 40; p.budget_token < 900; p.budget_token += 3) {
		buf_clear(&out);
		if (decode_prompt(decode, &p, items, N_TOPIC, &out, &f) < 0) {
			n_refused += f.status == EX_DATAERR;
			continue;
		}
		n = (int)count(buf_string(&out), "Title ");
		n_least = n < n_least ? n : n_least;
		within &= out.n <= 4 * p.budget_token;
		/* a text ends at a sentence: behind every "goN" there is its stop */
		within &= count(out.at, "and go") == count(out.at, "go0.") + count(out.at, "go1.") + count(out.at, "go2.") + count(out.at, "go3.");
	}
	claim(within && n_least == 0 && n == N_TOPIC && n_refused > 0,
	    "it stays within the budget, from no item to all, texts cut at sentences; less than the query takes is refused");
	buf_clear(&out);
	p = (struct decode_prompt){ .template_text = "{user}|{query}|{items}|{else}", .query = { "{items}", 7 }, .budget_token = 100 };
	decode_prompt(decode, &p, items, 0, &out, &f);
	claim(strcmp(buf_string(&out), "Nothing is known of this person yet.|{items}||{else}") == 0,
	    "a template is filled once: what a query holds is no placeholder");
	buf_clear(&out);
	p.template_text = NULL;
	decode_prompt(decode, &p, items, 0, &out, &f);
	claim(strcmp(buf_string(&out), "{items}") == 0, "without items and person the query is the prompt");
	buf_free(&out);
}

static void
test_person(void)
{
	const double mean[DIM] = { 0, .3 };
	struct buf out = { 0 };

	decode_person(decode, NULL, 0, 1, &out, &f);
	claim(strcmp(buf_string(&out), "Nothing is known of this person yet.") == 0, "nothing is known of somebody new");
	buf_clear(&out);
	decode_person(decode, mean, 20, .4321, &out, &f);
	/* scores are sin(angle): highest for topic11, lowest for topic0 (and the odd ones at angle 3, sin .14) */
	claim(strncmp(buf_string(&out), "Leans towards: Title 11; Title 10; Title 9; Title 8; Title 7.\n", 62) == 0 &&
	    strstr(out.at, "\nLeans away from: Title 0; Title 1; ") && strstr(out.at, "Learnt from 20 reactions; 43 % of what could be known is still unknown."),
	    "a person is described by the items that the mean belief leans to and away from");
	buf_free(&out);
}

int
main(void)
{
	char path[SCRATCH];

	if (!claim(scratch_file(path) == 0, "there is a file to write to"))
		return 1;
	make_pool(path);
	const char *const paths[] = { path };
	pool = pool_open(paths, 1, NULL, NULL, &f);
	if (!claim(mat_check(&f) == 0 && pool != NULL && decode_columns(&columns, pool, NULL, NULL, &f) == 0 && columns.n_text == 1,
	    "a pool with a title and a text is read by its text"))
		return 1;
	decode = decode_new(pool, &columns);
	test_breadth();
	test_words();
	test_sentences();
	test_prompt();
	test_person();
	struct decode_columns none;
	claim(decode_columns(&none, pool, "heading", NULL, &f) < 0 && f.status == EX_USAGE && strstr(f.text, "title, text") &&
	    decode_columns(&none, pool, NULL, "text,body", &f) < 0 && strstr(f.text, "body"), "columns that are not there are named");
	decode_free(decode);
	decode_columns_free(&columns);
	pool_close(pool);
	unlink(path);
	return claim_n_failed != 0;
}
