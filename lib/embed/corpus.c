#include "embed/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/thread.h"

enum { SLOTS_MIN = 1 << 12, AHEAD = 8 };

void
corpus_init(struct corpus *c)
{
	*c = (struct corpus){0};
	c->n_slot = SLOTS_MIN;
	c->slot = xcalloc(c->n_slot, sizeof *c->slot);
	c->word_start = xcalloc(1, sizeof *c->word_start);
	c->n_word_cap[0] = 1;
	c->doc_start = xcalloc(1, sizeof *c->doc_start);
	c->n_doc_cap = 1;
}

static void
drop_scratch(struct corpus *c)
{
	for (size_t i = 0; i < c->n_words; i++) {
		text_words_free(&c->words[i]);
		free(c->hash[i]);
	}
	free(c->words);
	free(c->hash);
	free(c->n_hash_cap);
	c->words = NULL;
	c->hash = NULL;
	c->n_hash_cap = NULL;
	c->n_words = 0;
}

void
corpus_drop_tokens(struct corpus *c)
{
	drop_scratch(c);
	free(c->token);
	c->token = NULL;
	c->n_token = c->n_token_cap = 0;
}

void
corpus_free(struct corpus *c)
{
	corpus_drop_tokens(c);
	buf_free(&c->bytes);
	free(c->word_start);
	free(c->word_count);
	free(c->word_df);
	free(c->word_last);
	free(c->doc_start);
	free(c->slot);
	*c = (struct corpus){0};
}

struct span
corpus_word(const struct corpus *c, size_t word)
{
	return (struct span){ c->bytes.at + c->word_start[word], c->word_start[word + 1] - c->word_start[word] };
}

/* The low bits of a hash choose the slot, the high ones tell most strangers apart without looking at their bytes. */
static struct corpus_slot *
slot_of(const struct corpus *c, uint64_t hash, const char *at, size_t n)
{
	uint32_t tag = (uint32_t)(hash >> 32);

	for (size_t i = hash & (c->n_slot - 1); ; i = (i + 1) & (c->n_slot - 1)) {
		struct corpus_slot *s = &c->slot[i];

		if (s->word_1 == 0)
			return s;
		if (s->tag == tag) {
			struct span word = corpus_word(c, s->word_1 - 1);
			if (word.n == n && memcmp(word.at, at, n) == 0)
				return s;
		}
	}
}

static void
grow_slots(struct corpus *c)
{
	free(c->slot);
	c->n_slot *= 2;
	c->slot = xcalloc(c->n_slot, sizeof *c->slot);
	for (size_t w = 0; w < c->n_word; w++) {
		struct span word = corpus_word(c, w);
		uint64_t hash = hash64(word.at, word.n, 0);
		*slot_of(c, hash, word.at, word.n) = (struct corpus_slot){ (uint32_t)(hash >> 32), (uint32_t)w + 1 };
	}
}

uint32_t
corpus_find(const struct corpus *c, struct span word)
{
	const struct corpus_slot *s = slot_of(c, hash64(word.at, word.n, 0), word.at, word.n);

	return s->word_1 ? s->word_1 - 1 : UINT32_MAX;
}

static uint32_t
number_of(struct corpus *c, uint64_t hash, struct span word)
{
	struct corpus_slot *s = slot_of(c, hash, word.at, word.n);

	if (s->word_1)
		return s->word_1 - 1;
	size_t w = c->n_word++;
	*s = (struct corpus_slot){ (uint32_t)(hash >> 32), (uint32_t)w + 1 };
	buf_put(&c->bytes, word.at, word.n);
	c->word_start = xgrow(c->word_start, &c->n_word_cap[0], w + 2, sizeof *c->word_start);
	c->word_count = xgrow(c->word_count, &c->n_word_cap[1], w + 1, sizeof *c->word_count);
	c->word_df = xgrow(c->word_df, &c->n_word_cap[2], w + 1, sizeof *c->word_df);
	c->word_last = xgrow(c->word_last, &c->n_word_cap[3], w + 1, sizeof *c->word_last);
	c->word_start[w + 1] = c->bytes.n;
	c->word_count[w] = c->word_df[w] = c->word_last[w] = 0;
	if (2 * c->n_word > c->n_slot)
		grow_slots(c);
	return (uint32_t)w;
}

uint32_t
corpus_intern(struct corpus *c, struct span word)
{
	return number_of(c, hash64(word.at, word.n, 0), word);
}

struct cut {
	struct corpus *c;
	const struct span *text;
};

static void
cut_text(void *arg, size_t i, size_t worker)
{
	struct cut *cut = arg;
	struct corpus *c = cut->c;
	struct text_words *w = &c->words[i];

	(void)worker;
	text_words(w, cut->text[i].at, cut->text[i].n);
	c->hash[i] = xgrow(c->hash[i], &c->n_hash_cap[i], w->n, sizeof *c->hash[i]);
	for (size_t j = 0; j < w->n; j++)
		c->hash[i][j] = hash64(w->at[j].at, w->at[j].n, 0);
}

int
corpus_add(struct corpus *c, const struct span *text, size_t n, size_t n_thread, struct fault *f)
{
	struct cut cut = { c, text };

	if (n > c->n_words) {
		drop_scratch(c);
		c->words = xcalloc(n, sizeof *c->words);
		c->hash = xcalloc(n, sizeof *c->hash);
		c->n_hash_cap = xcalloc(n, sizeof *c->n_hash_cap);
		c->n_words = n;
	}
	thread_for(n_thread, n, cut_text, &cut);
	for (size_t i = 0; i < n; i++) {
		const struct text_words *w = &c->words[i];
		const uint64_t *hash = c->hash[i];

		if (c->n_doc >= UINT32_MAX - 1 || c->n_word + w->n >= UINT32_MAX - 1)
			return fault(f, EX_DATAERR, "too many texts or words: 32 bits cannot number them");
		c->token = xgrow(c->token, &c->n_token_cap, c->n_token + w->n, sizeof *c->token);
		uint32_t doc_1 = (uint32_t)c->n_doc + 1;
		for (size_t j = 0; j < w->n; j++) {
			if (j + AHEAD < w->n)
				__builtin_prefetch(&c->slot[hash[j + AHEAD] & (c->n_slot - 1)]);
			uint32_t word = number_of(c, hash[j], w->at[j]);
			c->word_count[word]++;
			if (c->word_last[word] != doc_1) {
				c->word_last[word] = doc_1;
				c->word_df[word]++;
			}
			c->token[c->n_token++] = word;
		}
		c->n_doc++;
		c->doc_start = xgrow(c->doc_start, &c->n_doc_cap, c->n_doc + 1, sizeof *c->doc_start);
		c->doc_start[c->n_doc] = c->n_token;
	}
	return 0;
}
