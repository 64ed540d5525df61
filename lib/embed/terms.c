#include "embed/corpus.h"
#include "text/stop.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

/* -- pairs of neighbouring words: an open table of keys (first word << 32 | second word) -- */

struct pair {
	uint64_t key;
	uint32_t df, last_1;            /* last_1: last document it was seen in plus one, 0 for an empty slot */
};

struct pair_table {
	struct pair *at;
	size_t n, n_slot;
};

enum { PAIR_PART_BITS = 4, PAIR_PARTS = 1 << PAIR_PART_BITS, CHUNK = 1024 };

/* The finaliser of MurmurHash3 (Appleby): every bit of the key moves every bit of the result. */
static uint64_t
mix(uint64_t k)
{
	k = (k ^ k >> 33) * UINT64_C(0xFF51AFD7ED558CCD);
	k = (k ^ k >> 33) * UINT64_C(0xC4CEB9FE1A85EC53);
	return k ^ k >> 33;
}

static struct pair *
pair_slot(const struct pair_table *t, uint64_t key, uint64_t hash)
{
	size_t i = hash & (t->n_slot - 1);

	while (t->at[i].last_1 != 0 && t->at[i].key != key)
		i = (i + 1) & (t->n_slot - 1);
	return &t->at[i];
}

static void
pair_grow(struct pair_table *t)
{
	struct pair_table old = *t;

	t->n_slot *= 2;
	t->at = xcalloc(t->n_slot, sizeof *t->at);
	for (size_t i = 0; i < old.n_slot; i++)
		if (old.at[i].last_1 != 0)
			*pair_slot(t, old.at[i].key, mix(old.at[i].key)) = old.at[i];
	free(old.at);
}

/* A term that may be chosen; word[1] is UINT32_MAX for a word alone. */
struct candidate {
	uint32_t df, word[2];
};

struct pair_count {
	const struct corpus *c;
	const unsigned char *usable;    /* [n_word]: in enough documents to make a pair that is */
	uint32_t df_from, df_to;
	unsigned part_bits;
	struct candidate *found[PAIR_PARTS];
	size_t n_found[PAIR_PARTS];
};

/* Counts the pairs whose hash falls into a part. Each part walks over all words, so that its table stays small enough
   for the cache, and what is too rare is gone before the next part begins. */
static void
count_part(void *arg, size_t part, size_t worker)
{
	struct pair_count *p = arg;
	const struct corpus *c = p->c;
	struct pair_table t = { xcalloc(CHUNK, sizeof *t.at), 0, CHUNK };
	size_t n_cap = 0;

	(void)worker;
	for (size_t d = 0; d < c->n_doc; d++)
		for (size_t i = c->doc_start[d] + 1; i < c->doc_start[d + 1]; i++) {
			uint32_t a = c->token[i - 1], b = c->token[i];

			if (!p->usable[a] || !p->usable[b])
				continue;
			uint64_t key = (uint64_t)a << 32 | b, hash = mix(key);
			if (p->part_bits && hash >> (64 - p->part_bits) != part)
				continue;
			struct pair *s = pair_slot(&t, key, hash);
			if (s->last_1 == 0) {
				*s = (struct pair){ key, 1, (uint32_t)d + 1 };
				if (2 * ++t.n > t.n_slot)
					pair_grow(&t);
			} else if (s->last_1 != d + 1) {
				s->last_1 = (uint32_t)d + 1;
				s->df++;
			}
		}
	for (size_t i = 0; i < t.n_slot; i++) {
		const struct pair *s = &t.at[i];

		if (s->last_1 == 0 || s->df < p->df_from || s->df > p->df_to)
			continue;
		p->found[part] = xgrow(p->found[part], &n_cap, p->n_found[part] + 1, sizeof *p->found[part]);
		p->found[part][p->n_found[part]++] = (struct candidate){ s->df, { (uint32_t)(s->key >> 32), (uint32_t)s->key } };
	}
	free(t.at);
}

/* -- the choice -- */

/* The lowest df that a candidate needs to be among the n_max of highest df, given how many have each; *n_above is the
   number of those with more. */
static uint32_t
cut_of(const size_t *n_with, uint32_t df_from, uint32_t df_to, size_t n_max, size_t *n_above)
{
	size_t n = 0;

	for (uint32_t df = df_to; df >= df_from; df--) {
		if (n + n_with[df] >= n_max) {
			*n_above = n;
			return df;
		}
		n += n_with[df];
	}
	*n_above = n;
	return df_from;
}

struct named {                          /* a candidate and its bytes */
	const struct candidate *c;
	size_t start, n;
	const struct buf *bytes;
};

static void
name_candidate(struct named *named, const struct corpus *c, const struct candidate *from, struct buf *bytes)
{
	struct span word = corpus_word(c, from->word[0]);

	*named = (struct named){ from, bytes->n, 0, bytes };
	buf_put(bytes, word.at, word.n);
	if (from->word[1] != UINT32_MAX) {
		word = corpus_word(c, from->word[1]);
		buf_putc(bytes, ' ');
		buf_put(bytes, word.at, word.n);
	}
	named->n = bytes->n - named->start;
}

static int
compare_named(const void *one, const void *other)
{
	const struct named *a = one, *b = other;
	int c = memcmp(a->bytes->at + a->start, b->bytes->at + b->start, a->n < b->n ? a->n : b->n);

	return c ? c : (a->n > b->n) - (a->n < b->n);
}

static struct candidate *
find_candidates(const struct corpus *c, const struct terms_options *o, uint32_t df_from, uint32_t df_to, size_t *n)
{
	struct candidate *all = NULL;
	size_t n_cap = 0, n_above, *n_with = xcalloc((size_t)df_to + 1, sizeof *n_with);

	*n = 0;
	for (size_t w = 0; w < c->n_word; w++)
		if (c->word_df[w] >= df_from && c->word_df[w] <= df_to && !(o->stop_words && stop_is_word(corpus_word(c, w)))) {
			all = xgrow(all, &n_cap, *n + 1, sizeof *all);
			all[(*n)++] = (struct candidate){ c->word_df[w], { (uint32_t)w, UINT32_MAX } };
			n_with[c->word_df[w]]++;
		}
	if (o->bigrams) {
		/* A pair is in no more documents than either of its words; and if words alone fill the vocabulary it must
		   be in as many as the last of them. */
		struct pair_count p = { .c = c, .df_to = df_to, .part_bits = c->n_token > 1 << 18 ? PAIR_PART_BITS : 0 };
		unsigned char *usable = xmalloc(c->n_word, 1);

		p.df_from = cut_of(n_with, df_from, df_to, o->n_max, &n_above);
		if (p.df_from < o->min_df_pair)
			p.df_from = o->min_df_pair < UINT32_MAX ? (uint32_t)o->min_df_pair : UINT32_MAX;
		for (size_t w = 0; w < c->n_word; w++)
			usable[w] = c->word_df[w] >= p.df_from && !(o->stop_words && stop_is_word(corpus_word(c, w)));
		p.usable = usable;
		thread_for(o->n_thread, (size_t)1 << p.part_bits, count_part, &p);
		free(usable);
		for (size_t part = 0; part < (size_t)1 << p.part_bits; part++) {
			all = xgrow(all, &n_cap, *n + p.n_found[part], sizeof *all);
			for (size_t i = 0; i < p.n_found[part]; i++) {
				all[(*n)++] = p.found[part][i];
				n_with[p.found[part][i].df]++;
			}
			free(p.found[part]);
		}
	}
	/* Of those that no tie can keep out nor in, the bytes do not matter here. */
	uint32_t cut = cut_of(n_with, df_from, df_to, o->n_max, &n_above);
	struct named *tie = xmalloc(n_with[cut], sizeof *tie);
	struct buf bytes = {0};
	size_t n_tie = 0, n_kept = 0;

	for (size_t i = 0; i < *n; i++)
		if (all[i].df == cut)
			name_candidate(&tie[n_tie++], c, &all[i], &bytes);
	qsort(tie, n_tie, sizeof *tie, compare_named);
	struct candidate *kept = xmalloc(n_above + n_tie, sizeof *kept);
	for (size_t i = 0; i < *n; i++)
		if (all[i].df > cut)
			kept[n_kept++] = all[i];
	for (size_t i = 0; i < n_tie && n_kept < o->n_max; i++)
		kept[n_kept++] = *tie[i].c;
	buf_free(&bytes);
	free(tie);
	free(all);
	free(n_with);
	*n = n_kept;
	return kept;
}

int
terms_choose(struct terms *t, const struct corpus *c, const struct terms_options *o, struct fault *f)
{
	double most = floor(o->max_df * (double)c->n_doc);
	uint32_t df_to = most >= (double)c->n_doc ? (uint32_t)c->n_doc : (uint32_t)most;
	uint32_t df_from = o->min_df > c->n_doc ? (uint32_t)c->n_doc + 1 : o->min_df == 0 ? 1 : (uint32_t)o->min_df;
	struct candidate *kept = NULL;
	struct named *order = NULL;
	struct buf bytes = {0};
	int done = -1;

	*t = (struct terms){0};
	if (df_from <= df_to)
		kept = find_candidates(c, o, df_from, df_to, &t->n);
	if (t->n == 0) {
		fault(f, EX_DATAERR, "no word is in at least %zu and at most %.0f of the %zu texts (--min-df, --max-df)",
		    o->min_df, most, c->n_doc);
		goto end;
	}
	order = xmalloc(t->n, sizeof *order);
	for (size_t i = 0; i < t->n; i++)
		name_candidate(&order[i], c, &kept[i], &bytes);
	if (bytes.n > UINT32_MAX) {
		fault(f, EX_DATAERR, "the terms have %zu bytes, more than 32 bits can number; choose fewer (--terms)", bytes.n);
		goto end;
	}
	qsort(order, t->n, sizeof *order, compare_named);
	t->start = xmalloc(t->n + 1, sizeof *t->start);
	t->df = xmalloc(t->n, sizeof *t->df);
	t->word = xmalloc(t->n, sizeof *t->word);
	for (size_t i = 0; i < t->n; i++) {
		t->start[i] = (uint32_t)t->bytes.n;
		t->df[i] = order[i].c->df;
		memcpy(t->word[i], order[i].c->word, sizeof t->word[i]);
		buf_put(&t->bytes, bytes.at + order[i].start, order[i].n);
	}
	t->start[t->n] = (uint32_t)t->bytes.n;
	done = 0;
end:
	free(order);
	free(kept);
	buf_free(&bytes);
	return done;
}

void
terms_free(struct terms *t)
{
	buf_free(&t->bytes);
	free(t->start);
	free(t->df);
	free(t->word);
	*t = (struct terms){0};
}

/* -- the matrix -- */

struct build {
	const struct corpus *c;
	const uint32_t *of_word;        /* [n_word] term of a word alone, UINT32_MAX if none */
	const unsigned char *begins;    /* [n_word] some pair begins with it */
	struct { uint64_t key; uint32_t term; } *of_pair;       /* [n_slot] term UINT32_MAX: empty */
	size_t n_slot, n_term;
	int sublinear;
	struct sparse *a;
	struct part { uint32_t *column; float *value; size_t n_column, n_value; } *part;        /* of CHUNK rows */
	struct scratch { uint32_t *count, *list; size_t n_cap; } *scratch;       /* of a worker; count [n_term] all 0 */
};

static void
count_term(struct scratch *s, size_t *n, uint32_t term)
{
	if (s->count[term]++ == 0) {
		s->list = xgrow(s->list, &s->n_cap, *n + 1, sizeof *s->list);
		s->list[(*n)++] = term;
	}
}

static uint32_t
find_pair(const struct build *b, uint32_t first, uint32_t second)
{
	uint64_t key = (uint64_t)first << 32 | second;

	if (!b->begins[first])
		return UINT32_MAX;
	for (size_t i = mix(key) & (b->n_slot - 1); b->of_pair[i].term != UINT32_MAX; i = (i + 1) & (b->n_slot - 1))
		if (b->of_pair[i].key == key)
			return b->of_pair[i].term;
	return UINT32_MAX;
}

/* Rows of one part: lists end to end, counts in start[row + 1] until the parts are joined. */
static void
build_part(void *arg, size_t i, size_t worker)
{
	struct build *b = arg;
	const struct corpus *c = b->c;
	struct part *p = &b->part[i];
	struct scratch *s = &b->scratch[worker];
	size_t to = (i + 1) * CHUNK < c->n_doc ? (i + 1) * CHUNK : c->n_doc, n_column_cap = 0, n_value_cap = 0;

	if (!s->count)
		s->count = xcalloc(b->n_term, sizeof *s->count);
	for (size_t d = i * CHUNK; d < to; d++) {
		size_t n = 0, n_value = p->n_value;

		for (size_t j = c->doc_start[d]; j < c->doc_start[d + 1]; j++) {
			uint32_t term = b->of_word[c->token[j]];

			if (term != UINT32_MAX)
				count_term(s, &n, term);
			if (j > c->doc_start[d] && (term = find_pair(b, c->token[j - 1], c->token[j])) != UINT32_MAX)
				count_term(s, &n, term);
		}
		p->column = xgrow(p->column, &n_column_cap, p->n_column + n, sizeof *p->column);
		for (size_t j = 0; j < n; j++)
			if (s->count[s->list[j]] == 1)
				p->column[p->n_column++] = s->list[j];
		for (size_t j = 0; j < n; j++) {
			uint32_t tf = s->count[s->list[j]];

			s->count[s->list[j]] = 0;
			if (tf == 1)
				continue;
			p->column[p->n_column++] = s->list[j];
			p->value = xgrow(p->value, &n_value_cap, p->n_value + 1, sizeof *p->value);
			p->value[p->n_value++] = b->sublinear ? 1 + logf((float)tf) : (float)tf;
		}
		b->a->start[d + 1] = n;
		b->a->value_start[d + 1] = p->n_value - n_value;
	}
}

void
terms_matrix(struct sparse *a, const struct terms *t, const struct corpus *c, int sublinear, size_t n_thread)
{
	size_t n_part = (c->n_doc + CHUNK - 1) / CHUNK, n_pair = 0;
	uint32_t *of_word = xmalloc(c->n_word, sizeof *of_word);
	unsigned char *begins = xcalloc(c->n_word, 1);
	struct build b = { .c = c, .of_word = of_word, .begins = begins, .n_term = t->n, .sublinear = sublinear, .a = a };

	memset(of_word, 0xFF, c->n_word * sizeof *of_word);
	for (size_t i = 0; i < t->n; i++)
		n_pair += t->word[i][1] != UINT32_MAX;
	for (b.n_slot = 1; b.n_slot < 2 * n_pair + 1; b.n_slot *= 2)
		;
	b.of_pair = xmalloc(b.n_slot, sizeof *b.of_pair);
	for (size_t i = 0; i < b.n_slot; i++)
		b.of_pair[i].term = UINT32_MAX;
	for (size_t i = 0; i < t->n; i++) {
		if (t->word[i][1] == UINT32_MAX) {
			if (t->word[i][0] != UINT32_MAX)
				of_word[t->word[i][0]] = (uint32_t)i;
			continue;
		}
		uint64_t key = (uint64_t)t->word[i][0] << 32 | t->word[i][1];
		size_t j = mix(key) & (b.n_slot - 1);

		while (b.of_pair[j].term != UINT32_MAX)
			j = (j + 1) & (b.n_slot - 1);
		b.of_pair[j].key = key;
		b.of_pair[j].term = (uint32_t)i;
		begins[t->word[i][0]] = 1;
	}
	*a = (struct sparse){ .n_row = c->n_doc, .n_column = t->n };
	a->start = xcalloc(a->n_row + 1, sizeof *a->start);
	a->value_start = xcalloc(a->n_row + 1, sizeof *a->value_start);
	b.part = xcalloc(n_part, sizeof *b.part);
	b.scratch = xcalloc(n_thread, sizeof *b.scratch);
	thread_for(n_thread, n_part, build_part, &b);
	for (size_t w = 0; w < n_thread; w++) {
		free(b.scratch[w].count);
		free(b.scratch[w].list);
	}
	free(b.scratch);
	free(b.of_pair);
	free(of_word);
	free(begins);

	for (size_t d = 0; d < a->n_row; d++) {
		a->start[d + 1] += a->start[d];
		a->value_start[d + 1] += a->value_start[d];
	}
	a->column = xmalloc(a->start[a->n_row], sizeof *a->column);
	a->value = xmalloc(a->value_start[a->n_row], sizeof *a->value);
	for (size_t i = 0; i < n_part; i++) {
		struct part *p = &b.part[i];

		if (p->n_column)
			memcpy(a->column + a->start[i * CHUNK], p->column, p->n_column * sizeof *p->column);
		if (p->n_value)
			memcpy(a->value + a->value_start[i * CHUNK], p->value, p->n_value * sizeof *p->value);
		free(p->column);
		free(p->value);
	}
	free(b.part);
	a->row_scale = xmalloc(a->n_row, sizeof *a->row_scale);
	a->column_scale = xmalloc(a->n_column, sizeof *a->column_scale);
	for (size_t i = 0; i < a->n_row; i++)
		a->row_scale[i] = 1;
	for (size_t i = 0; i < a->n_column; i++)
		a->column_scale[i] = 1;
}
