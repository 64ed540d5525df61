/*
 * Of a text by the language model: which of its words were read, and where it may end.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "decode/write_inside.h"
#include "text/stop.h"

/* -- words that were read -- */

void
write_seen_begin(struct write_seen *s, const uint8_t *plain, size_t n_vocab)
{
	if (!s->allowed)
		s->allowed = xmalloc(n_vocab, sizeof *s->allowed);
	memcpy(s->allowed, plain, n_vocab);
	s->n = 0;
}

void
write_seen_add(struct write_seen *s, const struct bpe *b, struct span text, struct write_scratch *k)
{
	text_words(&k->words, text.at, text.n);
	s->word = xgrow(s->word, &s->n_cap, s->n + k->words.n + 1, sizeof *s->word);
	for (size_t i = 0; i < k->words.n; i++)
		s->word[s->n++] = hash64(k->words.at[i].at, k->words.at[i].n, 0);
	k->tokens.n = 0;
	buf_clear(&k->words_of);
	buf_putc(&k->words_of, ' ');
	buf_put(&k->words_of, text.at, text.n);
	bpe_encode(b, k->words_of.at, k->words_of.n, &k->tokens);
	bpe_encode(b, text.at, text.n, &k->tokens);
	for (size_t i = 0; i < k->tokens.n; i++)
		s->allowed[k->tokens.at[i]] = 1;
}

void
write_seen_end(struct write_seen *s)
{
	qsort(s->word, s->n, sizeof *s->word, hash64_order);
}

void
write_seen_free(struct write_seen *s)
{
	free(s->allowed);
	free(s->word);
	*s = (struct write_seen){ 0 };
}

static int
is_seen(const struct write_seen *s, struct span word)
{
	uint64_t hash = hash64(word.at, word.n, 0);

	return stop_is_word(word) || bsearch(&hash, s->word, s->n, sizeof hash, hash64_order) != NULL;
}

static int
is_letter(unsigned char c)
{
	return c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

size_t
write_unseen_at(const struct write_seen *s, const struct bpe *b, const uint32_t *token, size_t n, struct write_scratch *k)
{
	for (size_t m = 1; m <= n; m++) {
		buf_clear(&k->words_of);
		bpe_decode(b, token, m, &k->words_of);
		int open = m < n && k->words_of.n > 0 && is_letter((unsigned char)k->words_of.at[k->words_of.n - 1]);
		text_words(&k->words, k->words_of.at, k->words_of.n);
		for (size_t i = 0; i + (size_t)open < k->words.n; i++) {
			if (!is_seen(s, k->words.at[i])) {
				/* where the last word was open a token ago, that one was its end */
				struct span last = bpe_token(b, token[m - 1]);
				int more = last.n > 0 && is_letter((unsigned char)last.at[0]);
				return more || m == 1 ? m : m - 1;
			}
		}
	}
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

void
write_sort_tokens(const struct bpe *b, size_t n, uint8_t *plain, uint8_t *visible)
{
	struct text_words words = { 0 };

	for (size_t t = 0; t < n; t++) {
		if (t >= bpe_n(b) || bpe_is_special(b, (uint32_t)t)) {
			plain[t] = t == bpe_end(b);
			visible[t] = 0;
			continue;
		}
		struct span s = bpe_token(b, (uint32_t)t);
		size_t n_letter = 0;
		for (size_t i = 0; i < s.n; i++)
			n_letter += is_letter((unsigned char)s.at[i]);
		text_words(&words, s.at, s.n);
		plain[t] = n_letter == 0 || (words.n == 1 && stop_is_word(words.at[0]));
		visible[t] = is_whole(s);
	}
	text_words_free(&words);
}

/* -- ends -- */

size_t
write_sentence_end(const char *at, size_t n)
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

size_t
write_last_end(const char *at, size_t n)
{
	size_t end = write_sentence_end(at, n);

	for (size_t i = n; end == 0 && i > 1; i--) {
		if (at[i - 1] == ' ' || at[i - 1] == '\n')
			return i - 1;
	}
	return end ? end : n;
}
