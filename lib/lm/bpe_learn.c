/* Learning byte pairs: distinct pieces and their counts, then the most frequent pair, again and again. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "lm/inside.h"

struct piece {                          /* distinct; its tokens are those of its bytes at first, then ever fewer */
	size_t from, n;                 /* in bytes, then in token */
	uint64_t n_time;
};
struct pair {
	uint32_t left, right;
	uint64_t n_time;
	uint32_t *piece;                /* [n_piece] that have held it; more than once, or no longer, does no harm */
	size_t n_piece, n_cap;
	int is_touched;                 /* is in bpe_learn.touched */
};
struct wait {                           /* a pair with the count that it had, or more than it has now */
	uint64_t n_time;
	uint32_t pair;
};
struct bpe_learn {
	struct buf bytes;               /* of the distinct pieces */
	struct piece *piece;
	size_t n_piece, n_piece_cap;
	uint32_t *slot;                 /* [n_slot] pieces by their bytes, UINT32_MAX: free */
	size_t n_slot;

	struct bpe *b;                  /* from here on: while learning */
	uint32_t *token;                /* of all pieces, [bytes.n] */
	struct bpe_pairs index;         /* pair by its tokens */
	struct pair *pair;
	size_t n_pair, n_pair_cap;
	struct wait *wait;              /* a heap */
	size_t n_wait, n_wait_cap;
	uint32_t *touched;
	size_t n_touched, n_touched_cap;
};

struct bpe_learn *
bpe_learn_new(void)
{
	struct bpe_learn *l = xcalloc(1, sizeof *l);

	l->n_slot = 4096;
	l->slot = xmalloc(l->n_slot, sizeof *l->slot);
	memset(l->slot, 0xff, l->n_slot * sizeof *l->slot);
	return l;
}

static size_t
slot_of(const struct bpe_learn *l, const char *at, size_t n)
{
	size_t i = (size_t)hash64(at, n, 0) & (l->n_slot - 1);

	for (; l->slot[i] != UINT32_MAX; i = (i + 1) & (l->n_slot - 1)) {
		const struct piece *p = &l->piece[l->slot[i]];
		if (p->n == n && memcmp(l->bytes.at + p->from, at, n) == 0)
			break;
	}
	return i;
}

static void
add_piece(struct bpe_learn *l, const char *at, size_t n)
{
	size_t i = slot_of(l, at, n);

	if (l->slot[i] != UINT32_MAX) {
		l->piece[l->slot[i]].n_time++;
		return;
	}
	l->piece = xgrow(l->piece, &l->n_piece_cap, l->n_piece + 1, sizeof *l->piece);
	l->piece[l->n_piece] = (struct piece){ l->bytes.n, n, 1 };
	buf_put(&l->bytes, at, n);
	l->slot[i] = (uint32_t)l->n_piece++;
	if (2 * l->n_piece < l->n_slot)
		return;
	l->n_slot *= 2;
	l->slot = xrealloc(l->slot, l->n_slot, sizeof *l->slot);
	memset(l->slot, 0xff, l->n_slot * sizeof *l->slot);
	for (uint32_t p = 0; p < l->n_piece; p++)
		l->slot[slot_of(l, l->bytes.at + l->piece[p].from, l->piece[p].n)] = p;
}

void
bpe_learn_add(struct bpe_learn *l, const char *text, size_t n)
{
	for (size_t i = 0, m; i < n; i += m) {
		m = bpe_piece(text + i, n - i);
		add_piece(l, text + i, m);
	}
}

/* -- the most frequent pair -- */

static int
compare_bytes(struct span a, struct span b)
{
	int order = memcmp(a.at, b.at, a.n < b.n ? a.n : b.n);

	return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int
goes_before(const struct bpe_learn *l, const struct wait *a, const struct wait *b)
{
	if (a->n_time != b->n_time)
		return a->n_time > b->n_time;
	const struct pair *p = &l->pair[a->pair], *q = &l->pair[b->pair];
	int order = compare_bytes(bpe_token(l->b, p->left), bpe_token(l->b, q->left));
	return (order ? order : compare_bytes(bpe_token(l->b, p->right), bpe_token(l->b, q->right))) < 0;
}

static void
push(struct bpe_learn *l, uint32_t pair)
{
	struct wait w = { l->pair[pair].n_time, pair };
	size_t i = l->n_wait;

	if (w.n_time < 2)
		return;
	l->wait = xgrow(l->wait, &l->n_wait_cap, l->n_wait + 1, sizeof *l->wait);
	l->n_wait++;
	for (; i > 0 && goes_before(l, &w, &l->wait[(i - 1) / 2]); i = (i - 1) / 2)
		l->wait[i] = l->wait[(i - 1) / 2];
	l->wait[i] = w;
}

static struct wait
pop(struct bpe_learn *l)
{
	struct wait top = l->wait[0], w = l->wait[--l->n_wait];
	size_t i = 0;

	for (size_t child; (child = 2 * i + 1) < l->n_wait; i = child) {
		if (child + 1 < l->n_wait && goes_before(l, &l->wait[child + 1], &l->wait[child]))
			child++;
		if (!goes_before(l, &l->wait[child], &w))
			break;
		l->wait[i] = l->wait[child];
	}
	if (l->n_wait > 0)
		l->wait[i] = w;
	return top;
}

static struct pair *
pair_of(struct bpe_learn *l, uint32_t left, uint32_t right)
{
	int is_new;
	uint32_t *at = bpe_pair(&l->index, left, right, &is_new);

	if (is_new) {
		l->pair = xgrow(l->pair, &l->n_pair_cap, l->n_pair + 1, sizeof *l->pair);
		l->pair[l->n_pair] = (struct pair){ .left = left, .right = right };
		*at = (uint32_t)l->n_pair++;
	}
	return &l->pair[*at];
}

/* Counts the pairs of piece i; those with the token fresh (UINT32_MAX: all) also note the piece, as it may not be
   among theirs. */
static void
count_in(struct bpe_learn *l, uint32_t i, uint32_t fresh)
{
	const struct piece *p = &l->piece[i];
	const uint32_t *token = l->token + p->from;

	for (size_t k = 0; k + 1 < p->n; k++) {
		struct pair *pair = pair_of(l, token[k], token[k + 1]);

		pair->n_time += p->n_time;
		if (fresh != UINT32_MAX && token[k] != fresh && token[k + 1] != fresh)
			continue;
		if (pair->n_piece == 0 || pair->piece[pair->n_piece - 1] != i) {
			pair->piece = xgrow(pair->piece, &pair->n_cap, pair->n_piece + 1, sizeof *pair->piece);
			pair->piece[pair->n_piece++] = i;
		}
		if (!pair->is_touched) {
			pair->is_touched = 1;
			l->touched = xgrow(l->touched, &l->n_touched_cap, l->n_touched + 1, sizeof *l->touched);
			l->touched[l->n_touched++] = (uint32_t)(pair - l->pair);
		}
	}
}

static void
count_out(struct bpe_learn *l, const struct piece *p)
{
	const uint32_t *token = l->token + p->from;

	for (size_t k = 0; k + 1 < p->n; k++)
		pair_of(l, token[k], token[k + 1])->n_time -= p->n_time;
}

static int
holds(const struct bpe_learn *l, const struct piece *p, uint32_t left, uint32_t right)
{
	const uint32_t *token = l->token + p->from;

	for (size_t k = 0; k + 1 < p->n; k++)
		if (token[k] == left && token[k + 1] == right)
			return 1;
	return 0;
}

static void
merge_in(struct bpe_learn *l, struct piece *p, uint32_t left, uint32_t right, uint32_t made)
{
	uint32_t *token = l->token + p->from;
	size_t m = 0;

	for (size_t k = 0; k < p->n; m++) {
		int here = k + 1 < p->n && token[k] == left && token[k + 1] == right;
		token[m] = here ? made : token[k];
		k += here ? 2 : 1;
	}
	p->n = m;
}

static void
push_touched(struct bpe_learn *l)
{
	for (size_t i = 0; i < l->n_touched; i++) {
		l->pair[l->touched[i]].is_touched = 0;
		push(l, l->touched[i]);
	}
	l->n_touched = 0;
}

static void
merge(struct bpe_learn *l, uint32_t index)
{
	struct pair p = l->pair[index];         /* by value: the array grows below */
	struct buf joined = {0};
	struct span left = bpe_token(l->b, p.left), right = bpe_token(l->b, p.right);

	/* The same bytes may have been made of other halves: then that token is meant. */
	buf_put(&joined, left.at, left.n);
	buf_put(&joined, right.at, right.n);
	uint32_t made = bpe_find(l->b, joined.at, joined.n);
	if (made == UINT32_MAX)
		made = bpe_add(l->b, joined.at, joined.n, 0);
	buf_free(&joined);
	bpe_add_merge(l->b, p.left, p.right, made);
	l->pair[index].piece = NULL;
	l->pair[index].n_piece = l->pair[index].n_cap = 0;
	for (size_t i = 0; i < p.n_piece; i++) {
		struct piece *piece = &l->piece[p.piece[i]];

		if (!holds(l, piece, p.left, p.right))
			continue;
		count_out(l, piece);
		merge_in(l, piece, p.left, p.right, made);
		count_in(l, p.piece[i], made);
	}
	free(p.piece);
	push_touched(l);
}

static void
learn(struct bpe_learn *l, size_t n_token)
{
	l->token = xmalloc(l->bytes.n, sizeof *l->token);
	for (size_t i = 0; i < l->bytes.n; i++)
		l->token[i] = BPE_N_SPECIAL + (unsigned char)l->bytes.at[i];
	for (uint32_t i = 0; i < l->n_piece; i++)
		count_in(l, i, UINT32_MAX);
	push_touched(l);
	while (l->b->n < n_token && l->n_wait > 0) {
		struct wait w = pop(l);

		if (w.n_time == l->pair[w.pair].n_time)
			merge(l, w.pair);
		else if (w.n_time > l->pair[w.pair].n_time)
			push(l, w.pair);
	}
}

struct bpe *
bpe_learn_end(struct bpe_learn *l, size_t n_token)
{
	struct bpe *b = bpe_new();

	for (int i = 0; i < BPE_N_SPECIAL; i++)
		bpe_add(b, bpe_special_name[i], strlen(bpe_special_name[i]), 1);
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		bpe_add(b, &byte, 1, 0);
	}
	b->end_token = BPE_END;
	l->b = b;
	learn(l, n_token);
	bpe_finish(b);
	for (size_t i = 0; i < l->n_pair; i++)
		free(l->pair[i].piece);
	free(l->pair);
	free(l->wait);
	free(l->touched);
	free(l->token);
	bpe_pairs_free(&l->index);
	free(l->slot);
	free(l->piece);
	buf_free(&l->bytes);
	free(l);
	return b;
}
