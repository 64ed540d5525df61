/* Cutting, merging and back; tokens by their bytes, ranks by their pairs. */
#include "lm/bpe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "lm/inside.h"
#include "text/text.h"

enum { SHORT = 48 };                    /* bytes of a piece whose pairs are looked through, not heaped */

const char *const bpe_special_name[BPE_N_SPECIAL] = { "<|endoftext|>", "<|begin|>", "<|item|>", "<|person|>", "<|spare|>" };

/* -- pairs -- */

static size_t
pair_place(const struct bpe_pairs *p, uint64_t key)
{
	uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(h ^ h >> 32) & (p->n_place - 1);

	while (p->key[i] != key && p->key[i] != UINT64_MAX)
		i = (i + 1) & (p->n_place - 1);
	return i;
}

static void
pairs_grow(struct bpe_pairs *p)
{
	struct bpe_pairs more = { .n = p->n, .n_place = p->n_place ? 2 * p->n_place : 1024 };

	more.key = xmalloc(more.n_place, sizeof *more.key);
	more.value = xmalloc(more.n_place, sizeof *more.value);
	memset(more.key, 0xff, more.n_place * sizeof *more.key);
	for (size_t i = 0; i < p->n_place; i++)
		if (p->key[i] != UINT64_MAX) {
			size_t to = pair_place(&more, p->key[i]);
			more.key[to] = p->key[i];
			more.value[to] = p->value[i];
		}
	bpe_pairs_free(p);
	*p = more;
}

uint32_t *
bpe_pair(struct bpe_pairs *p, uint32_t left, uint32_t right, int *is_new)
{
	uint64_t key = (uint64_t)left << 32 | right;

	if (2 * p->n >= p->n_place)
		pairs_grow(p);
	size_t i = pair_place(p, key);
	if ((*is_new = p->key[i] == UINT64_MAX)) {
		p->key[i] = key;
		p->value[i] = 0;
		p->n++;
	}
	return &p->value[i];
}

const uint32_t *
bpe_pair_find(const struct bpe_pairs *p, uint32_t left, uint32_t right)
{
	uint64_t key = (uint64_t)left << 32 | right;

	if (p->n == 0)
		return NULL;
	size_t i = pair_place(p, key);
	return p->key[i] == key ? &p->value[i] : NULL;
}

void
bpe_pairs_free(struct bpe_pairs *p)
{
	free(p->key);
	free(p->value);
	*p = (struct bpe_pairs){0};
}

/* -- tokens -- */

static struct span
bytes_of(const struct bpe *b, uint32_t token)
{
	size_t from = token ? b->end[token - 1] : 0;

	return (struct span){ b->bytes.at + from, b->end[token] - from };
}

static size_t
slot_of(const struct bpe *b, const char *at, size_t n)
{
	size_t i = (size_t)hash64(at, n, 0) & (b->n_slot - 1);

	for (; b->slot[i] != UINT32_MAX; i = (i + 1) & (b->n_slot - 1)) {
		struct span s = bytes_of(b, b->slot[i]);
		if (s.n == n && memcmp(s.at, at, n) == 0)
			break;
	}
	return i;
}

static void
slots(struct bpe *b, size_t n_slot)
{
	free(b->slot);
	b->n_slot = n_slot;
	b->n_slotted = 0;
	b->slot = xmalloc(n_slot, sizeof *b->slot);
	memset(b->slot, 0xff, n_slot * sizeof *b->slot);
	for (uint32_t t = 0; t < b->n; t++)
		if (!b->special[t]) {
			struct span s = bytes_of(b, t);
			b->slot[slot_of(b, s.at, s.n)] = t;
			b->n_slotted++;
		}
}

struct bpe *
bpe_new(void)
{
	struct bpe *b = xcalloc(1, sizeof *b);

	buf_reserve(&b->bytes, 1);
	slots(b, 1024);
	return b;
}

void
bpe_free(struct bpe *b)
{
	if (!b)
		return;
	buf_free(&b->bytes);
	free(b->end);
	free(b->special);
	free(b->whole);
	free(b->slot);
	free(b->merge);
	bpe_pairs_free(&b->rank);
	free(b);
}

uint32_t
bpe_add(struct bpe *b, const char *at, size_t n, int special)
{
	uint32_t token = (uint32_t)b->n;

	b->end = xgrow(b->end, &b->n_end_cap, b->n + 1, sizeof *b->end);
	b->special = xgrow(b->special, &b->n_cap, b->n + 1, sizeof *b->special);
	buf_put(&b->bytes, at, n);
	b->end[token] = b->bytes.n;
	b->special[token] = special != 0;
	b->n++;
	if (special)
		return token;
	if (2 * b->n_slotted >= b->n_slot) {
		slots(b, 2 * b->n_slot);
	} else {
		struct span s = bytes_of(b, token);
		size_t to = slot_of(b, s.at, s.n);
		b->n_slotted += b->slot[to] == UINT32_MAX;
		b->slot[to] = token;
	}
	return token;
}

uint32_t
bpe_find(const struct bpe *b, const char *at, size_t n)
{
	return b->slot[slot_of(b, at, n)];
}

uint32_t
bpe_find_joined(const struct bpe *b, uint32_t left, uint32_t right)
{
	struct span l = bytes_of(b, left), r = bytes_of(b, right);
	char few[256], *at = l.n + r.n <= sizeof few ? few : xmalloc(l.n + r.n, 1);

	memcpy(at, l.at, l.n);
	memcpy(at + l.n, r.at, r.n);
	uint32_t found = bpe_find(b, at, l.n + r.n);
	if (at != few)
		free(at);
	return found;
}

int
bpe_add_merge(struct bpe *b, uint32_t left, uint32_t right, uint32_t made)
{
	int is_new;
	uint32_t *rank = bpe_pair(&b->rank, left, right, &is_new);

	if (!is_new)
		return -1;
	*rank = (uint32_t)b->n_merge;
	b->merge = xgrow(b->merge, &b->n_merge_cap, b->n_merge + 1, sizeof *b->merge);
	b->merge[b->n_merge++] = (struct bpe_merge){ left, right, made };
	return 0;
}

size_t
bpe_n(const struct bpe *b)
{
	return b->n;
}

struct span
bpe_token(const struct bpe *b, uint32_t token)
{
	return token < b->n && !b->special[token] ? bytes_of(b, token) : (struct span){ "", 0 };
}

int
bpe_is_special(const struct bpe *b, uint32_t token)
{
	return token < b->n && b->special[token];
}

int
bpe_is_same(const struct bpe *a, const struct bpe *b)
{
	if (a->n != b->n || a->n_merge != b->n_merge || a->end_token != b->end_token || a->bytes.n != b->bytes.n)
		return 0;
	for (size_t i = 0; i < a->n; i++)
		if (a->end[i] != b->end[i] || a->special[i] != b->special[i])
			return 0;
	for (size_t i = 0; i < a->n_merge; i++)
		if (a->merge[i].left != b->merge[i].left || a->merge[i].right != b->merge[i].right)
			return 0;
	return a->n == 0 || memcmp(a->bytes.at, b->bytes.at, a->bytes.n) == 0;
}

uint32_t
bpe_end(const struct bpe *b)
{
	return b->end_token;
}

/* -- cutting -- */

static const enum text_class bad_byte = (enum text_class)-1;

static enum text_class
class_at(const char *text, size_t n, size_t *n_byte)
{
	uint32_t code;

	if ((*n_byte = text_code(text, n, &code)) == 0) {
		*n_byte = 1;
		return bad_byte;
	}
	return text_class(code);
}

static size_t
contraction(const char *text, size_t n)
{
	if (n >= 3 && (memcmp(text, "'re", 3) == 0 || memcmp(text, "'ve", 3) == 0 || memcmp(text, "'ll", 3) == 0))
		return 3;
	return n >= 2 && text[0] == '\'' && memchr("stmd", text[1], 4) ? 2 : 0;
}

size_t
bpe_piece(const char *text, size_t n)
{
	size_t n_byte, i = contraction(text, n), last = 0;
	enum text_class class;

	if (i)
		return i;
	class = class_at(text, n, &i);
	if (text[0] == ' ' && n > 1) {
		enum text_class next = class_at(text + 1, n - 1, &n_byte);
		if (next != TEXT_BLANK && next != bad_byte) {
			class = next;
			i += n_byte;
		}
	}
	if (class == bad_byte)
		return 1;
	for (; i < n && class_at(text + i, n - i, &n_byte) == class; i += n_byte)
		last = i;
	/* The last blank of a run is left to the word behind it. */
	return class == TEXT_BLANK && i < n && last > 0 ? last : i;
}

/* -- merging -- */

struct part {                           /* of a long piece: its tokens as a list */
	uint32_t token;
	uint32_t before, next;          /* UINT32_MAX: none */
};
struct wait {
	uint32_t rank, at, left, right; /* the pair that was seen there */
};
struct heap {
	struct wait *at;
	size_t n, n_cap;
};

static int
waits_before(const struct wait *a, const struct wait *b)
{
	return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void
heap_push(struct heap *h, struct wait w)
{
	size_t i = h->n;

	h->at = xgrow(h->at, &h->n_cap, h->n + 1, sizeof *h->at);
	h->n++;
	for (; i > 0 && waits_before(&w, &h->at[(i - 1) / 2]); i = (i - 1) / 2)
		h->at[i] = h->at[(i - 1) / 2];
	h->at[i] = w;
}

static struct wait
heap_pop(struct heap *h)
{
	struct wait top = h->at[0], w = h->at[--h->n];
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
		if (child + 1 < h->n && waits_before(&h->at[child + 1], &h->at[child]))
			child++;
		if (!waits_before(&h->at[child], &w))
			break;
		h->at[i] = h->at[child];
	}
	if (h->n > 0)
		h->at[i] = w;
	return top;
}

static void
see_pair(const struct bpe *b, struct heap *h, const struct part *part, uint32_t i)
{
	if (i == UINT32_MAX || part[i].next == UINT32_MAX)
		return;
	uint32_t left = part[i].token, right = part[part[i].next].token;
	const uint32_t *rank = bpe_pair_find(&b->rank, left, right);
	if (rank)
		heap_push(h, (struct wait){ *rank, i, left, right });
}

static void
put_token(struct bpe_tokens *out, uint32_t token)
{
	out->at = xgrow(out->at, &out->n_cap, out->n + 1, sizeof *out->at);
	out->at[out->n++] = token;
}

/* GPT-2 merges all places of the pair of least rank, left to right, before it looks for the next pair; so do both of these,
   whatever order a file's merges have. Places of one rank leave the heap together: what they make waits for its turn. */
static void
merge_long(const struct bpe *b, const char *text, size_t n, struct bpe_tokens *out)
{
	struct part *part = xmalloc(n, sizeof *part);
	struct heap heap = {0}, same = {0};

	assert(n < UINT32_MAX);
	for (size_t i = 0; i < n; i++)
		part[i] = (struct part){ b->byte[(unsigned char)text[i]], i ? (uint32_t)i - 1 : UINT32_MAX,
			i + 1 < n ? (uint32_t)i + 1 : UINT32_MAX };
	for (size_t i = 0; i < n; i++)
		see_pair(b, &heap, part, (uint32_t)i);
	while (heap.n > 0) {
		same.n = 0;
		do {
			struct wait w = heap_pop(&heap);
			same.at = xgrow(same.at, &same.n_cap, same.n + 1, sizeof *same.at);
			same.at[same.n++] = w;
		} while (heap.n > 0 && heap.at[0].rank == same.at[0].rank);
		for (size_t i = 0; i < same.n; i++) {
			struct wait w = same.at[i];
			uint32_t right = part[w.at].next;

			if (part[w.at].token != w.left || right == UINT32_MAX || part[right].token != w.right)
				continue;       /* taken by another merge */
			part[w.at].token = b->merge[w.rank].made;
			part[w.at].next = part[right].next;
			part[right].token = UINT32_MAX;
			if (part[w.at].next != UINT32_MAX)
				part[part[w.at].next].before = w.at;
			see_pair(b, &heap, part, part[w.at].before);
			see_pair(b, &heap, part, w.at);
		}
	}
	for (uint32_t i = 0; i != UINT32_MAX; i = part[i].next)
		put_token(out, part[i].token);
	free(part);
	free(heap.at);
	free(same.at);
}

static size_t
merge_short(const struct bpe *b, const char *text, size_t n, uint32_t *token)
{
	uint32_t rank[SHORT];           /* of token i and the next; UINT32_MAX: none */

	for (size_t i = 0; i < n; i++)
		token[i] = b->byte[(unsigned char)text[i]];
	for (size_t i = 0; i + 1 < n; i++) {
		const uint32_t *r = bpe_pair_find(&b->rank, token[i], token[i + 1]);
		rank[i] = r ? *r : UINT32_MAX;
	}
	for (;;) {
		uint32_t least = UINT32_MAX;
		size_t m = 0;

		for (size_t i = 0; i + 1 < n; i++)
			least = rank[i] < least ? rank[i] : least;
		if (least == UINT32_MAX)
			return n;
		struct bpe_merge merge = b->merge[least];
		int before = 0;         /* the token before is one just made: their pair is another */
		for (size_t i = 0; i < n; m++) {
			int made = i + 1 < n && token[i] == merge.left && token[i + 1] == merge.right;

			if (made || before) {
				uint32_t here = made ? merge.made : token[i];
				const uint32_t *r = m ? bpe_pair_find(&b->rank, token[m - 1], here) : NULL;
				if (m)
					rank[m - 1] = r ? *r : UINT32_MAX;
				token[m] = here;
			} else {
				token[m] = token[i];
			}
			if (!made)
				rank[m] = i + 1 < n ? rank[i] : UINT32_MAX;
			i += made ? 2 : 1;
			before = made;
		}
		n = m;
	}
}

static void
encode_piece(const struct bpe *b, const char *text, size_t n, struct bpe_tokens *out)
{
	uint32_t found = bpe_find(b, text, n);

	if (found != UINT32_MAX && b->whole[found]) {
		put_token(out, found);
	} else if (n > SHORT) {
		merge_long(b, text, n, out);
	} else {
		uint32_t token[SHORT];
		size_t m = merge_short(b, text, n, token);

		for (size_t i = 0; i < m; i++)
			put_token(out, token[i]);
	}
}

void
bpe_finish(struct bpe *b)
{
	struct bpe_tokens made = {0};

	slots(b, b->n_slot);
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		b->byte[c] = bpe_find(b, &byte, 1);
	}
	free(b->whole);
	b->whole = xcalloc(b->n, sizeof *b->whole);
	for (uint32_t t = 0; t < b->n; t++) {
		struct span s = bytes_of(b, t);

		if (b->special[t])
			continue;
		made.n = 0;
		encode_piece(b, s.at, s.n, &made);
		b->whole[t] = made.n == 1;
	}
	free(made.at);
}

void
bpe_encode(const struct bpe *b, const char *text, size_t n, struct bpe_tokens *out)
{
	for (size_t i = 0, m; i < n; i += m) {
		m = bpe_piece(text + i, n - i);
		encode_piece(b, text + i, m, out);
	}
}

void
bpe_decode(const struct bpe *b, const uint32_t *token, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		struct span s = bpe_token(b, token[i]);
		buf_put(out, s.at, s.n);
	}
}
