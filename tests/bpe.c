/* Byte pairs: cutting by hand, merging and learning against slow twins, files and damaged files. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "claim.h"
#include "lm/bpe.h"
#include "lm/inside.h"
#include "scratch.h"
#include "tensor/tensor.h"

static char folder[SCRATCH];
static char path[3][96];                /* vocab.json, merges.txt, tokenizer */

static int
span_equal(struct span a, struct span b)
{
	return a.n == b.n && memcmp(a.at, b.at, a.n) == 0;
}

static struct bpe *
learn(const char *const *text, size_t n_token)
{
	struct bpe_learn *l = bpe_learn_new();

	for (; *text; text++)
		bpe_learn_add(l, *text, strlen(*text));
	return bpe_learn_end(l, n_token);
}

/* -- cutting -- */

static void
claim_cut(const char *what, const char *text, size_t n, const char *sizes)
{
	char got[256] = "";

	for (size_t i = 0, m; i < n; i += m) {
		m = bpe_piece(text + i, n - i);
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%zu", i ? " " : "", m);
	}
	claim(strcmp(got, sizes) == 0, "cut: %s is %s (got %s)", what, sizes, got);
}

#define CUT(what, text, sizes) claim_cut(what, text, sizeof(text) - 1, sizes)

static void
cutting(void)
{
	CUT("words with their blank", "Hello big world", "5 4 6");
	CUT("letters, numbers, signs", "abc123!? x", "3 3 2 2");
	CUT("a run of blanks leaves one to the word", "a   b", "1 2 2");
	CUT("but not a tab", "a \tb", "1 1 1 1");
	CUT("blanks at the end are one", "a  \n", "1 3");
	CUT("line ends before a word", "a\r\n\nb", "1 2 1 1");
	CUT("contractions", "it's we're I'll", "2 2 3 3 2 3");
	CUT("capitals do not contract", "IT'S", "2 1 1");
	CUT("an apostrophe behind a blank", "a 's", "1 2 1");
	CUT("a contraction cuts a word", "'storm", "2 4");
	CUT("signs take the apostrophe", "!'s", "2 1");
	CUT("accents apart are signs", "e\xcc\x81t", "1 2 1");
	CUT("Han are letters", "\xe4\xbd\xa0\xe5\xa5\xbd!", "6 1");
	CUT("no-break space is blank, none to be left out", "\xc2\xa0" "a", "2 1");
	CUT("U+0085 is blank", "a\xc2\x85 b", "1 2 2");
	CUT("U+FEFF and U+180E are not", "\xef\xbb\xbf\xe1\xa0\x8e", "6");
	CUT("the separators U+001C to U+001F are not", "\x1c\x1f", "2");
	CUT("half a number", " \xc2\xbd", "3");
	CUT("bad bytes stand alone", "a\xff\xfe b", "1 1 1 2");
	CUT("and take no blank", "  \xff", "1 1 1");
	CUT("a cut character is bad bytes", "a\xe4\xbd", "1 1 1");
	CUT("surrogates are bad bytes", "\xed\xa0\x80", "1 1 1");
}

/* -- a slow twin of learning and merging: everything counted afresh, tokens as strings -- */

enum { TWIN_TOKENS = 400, TWIN_PIECES = 4000, TWIN_LENGTH = 200 };
static struct {
	char at[64];
	size_t n;
} twin_token[TWIN_TOKENS];
static size_t n_twin, n_twin_merge;
static unsigned twin_merge[4 * TWIN_TOKENS][3];
static struct {
	unsigned token[TWIN_LENGTH];
	size_t n;
} twin_piece[TWIN_PIECES];
static size_t n_twin_piece;

static size_t
twin_apply(unsigned *token, size_t n, const unsigned merge[3])
{
	size_t m = 0;

	for (size_t i = 0; i < n; m++) {
		int here = i + 1 < n && token[i] == merge[0] && token[i + 1] == merge[1];
		token[m] = here ? merge[2] : token[i];
		i += here ? 2 : 1;
	}
	return m;
}

static int
twin_order(unsigned a, unsigned b)
{
	size_t n = twin_token[a].n < twin_token[b].n ? twin_token[a].n : twin_token[b].n;
	int order = memcmp(twin_token[a].at, twin_token[b].at, n);

	return order ? order : (int)twin_token[a].n - (int)twin_token[b].n;
}

static void
twin_learn(size_t n_want)
{
	static unsigned count[TWIN_TOKENS][TWIN_TOKENS];

	n_twin_merge = 0;
	for (n_twin = 0; n_twin < 256; n_twin++) {
		twin_token[n_twin].at[0] = (char)n_twin;
		twin_token[n_twin].n = 1;
	}
	while (n_twin < n_want) {
		unsigned best[3] = {0}, n_best = 1;

		memset(count, 0, sizeof count);
		for (size_t p = 0; p < n_twin_piece; p++)
			for (size_t i = 0; i + 1 < twin_piece[p].n; i++)
				count[twin_piece[p].token[i]][twin_piece[p].token[i + 1]]++;
		for (unsigned a = 0; a < n_twin; a++)
			for (unsigned b = 0; b < n_twin; b++) {
				int order = twin_order(a, best[0]) ? twin_order(a, best[0]) : twin_order(b, best[1]);
				if (count[a][b] > n_best || (count[a][b] == n_best && n_best > 1 && order < 0)) {
					n_best = count[a][b];
					best[0] = a;
					best[1] = b;
				}
			}
		if (n_best < 2)
			break;
		memcpy(twin_token[n_twin].at, twin_token[best[0]].at, twin_token[best[0]].n);
		memcpy(twin_token[n_twin].at + twin_token[best[0]].n, twin_token[best[1]].at, twin_token[best[1]].n);
		twin_token[n_twin].n = twin_token[best[0]].n + twin_token[best[1]].n;
		for (best[2] = 0; twin_order(best[2], (unsigned)n_twin) != 0; best[2]++)
			;
		n_twin += best[2] == n_twin;
		memcpy(twin_merge[n_twin_merge++], best, sizeof best);
		for (size_t p = 0; p < n_twin_piece; p++)
			twin_piece[p].n = twin_apply(twin_piece[p].token, twin_piece[p].n, best);
	}
}

static size_t
twin_encode(const char *piece, size_t n, unsigned *token)
{
	for (size_t i = 0; i < n; i++)
		token[i] = (unsigned char)piece[i];
	for (;;) {
		size_t r = n_twin_merge;

		for (size_t i = 0; i + 1 < n; i++)
			for (size_t q = 0; q < r; q++)
				if (twin_merge[q][0] == token[i] && twin_merge[q][1] == token[i + 1])
					r = q;
		if (r == n_twin_merge)
			return n;
		n = twin_apply(token, n, twin_merge[r]);
	}
}

static void
twins(void)
{
	struct rng rng = rng_at(3, 0);
	struct bpe_learn *l = bpe_learn_new();
	char text[TWIN_LENGTH];
	unsigned want[TWIN_LENGTH];
	struct bpe_tokens got = {0};
	int same = 1;

	n_twin_piece = 0;
	for (size_t t = 0; t < 1500; t++) {
		size_t n = 1 + (size_t)rng_below(&rng, t % 100 ? 9 : 90);
		for (size_t i = 0; i < n; i++)
			text[i] = "aaabbcd"[rng_below(&rng, 7)];
		bpe_learn_add(l, text, n);
		for (size_t i = 0; i < n; i++)
			twin_piece[n_twin_piece].token[i] = (unsigned char)text[i];
		twin_piece[n_twin_piece++].n = n;
	}
	twin_learn(256 + 120);
	struct bpe *b = bpe_learn_end(l, BPE_N_SPECIAL + 256 + 120);
	claim(bpe_n(b) == BPE_N_SPECIAL + n_twin, "learn: %zu tokens, the twin's %zu", bpe_n(b), n_twin + BPE_N_SPECIAL);
	claim(b->n_merge == n_twin_merge, "learn: %zu merges, the twin's %zu", b->n_merge, n_twin_merge);
	for (size_t i = 0; i < n_twin && i + BPE_N_SPECIAL < bpe_n(b); i++)
		same &= span_equal(bpe_token(b, (uint32_t)i + BPE_N_SPECIAL), (struct span){ twin_token[i].at, twin_token[i].n });
	claim(same, "learn: the tokens are the twin's, in order");
	same = 1;
	for (size_t t = 0; t < 4000; t++) {
		size_t n = 1 + (size_t)rng_below(&rng, t % 4 ? 12 : TWIN_LENGTH);
		for (size_t i = 0; i < n; i++)
			text[i] = t % 7 ? "aaabbcd"[rng_below(&rng, 7)] : 'a';
		got.n = 0;
		bpe_encode(b, text, n, &got);
		size_t n_want = twin_encode(text, n, want);
		same &= n_want == got.n;
		for (size_t i = 0; same && i < n_want; i++)
			same &= got.at[i] == want[i] + BPE_N_SPECIAL;
	}
	claim(same, "encode: short and long pieces are merged as the twin does");
	free(got.at);
	bpe_free(b);
}

/* -- learning by hand -- */

static void
by_hand(void)
{
	static const char *const few[] = { "ab ab ab abc", NULL }, *const tie[] = { "xy", "pq", "xy", "pq", NULL },
	    *const none[] = { "", NULL };
	struct bpe *b = learn(few, 8192);
	struct bpe_tokens t = {0};

	claim(bpe_n(b) == 263 && span_is(bpe_token(b, 261), "ab") && span_is(bpe_token(b, 262), " ab"),
	    "learn: ab, then ab with its blank, then no pair is there twice");
	claim(bpe_end(b) == BPE_END && bpe_is_special(b, BPE_ITEM) && !bpe_is_special(b, 5) && bpe_token(b, BPE_END).n == 0 &&
	    bpe_token(b, 9999).n == 0 && !bpe_is_special(b, 9999), "learn: five special tokens without bytes; none beyond the last");
	bpe_encode(b, "ab abc", 6, &t);
	claim(t.n == 3 && t.at[0] == 261 && t.at[1] == 262 && t.at[2] == 5 + 'c', "encode: ab, blank ab, c");
	t.n = 0;
	bpe_encode(b, "<|endoftext|>", 13, &t);
	int special = 0;
	for (size_t i = 0; i < t.n; i++)
		special |= bpe_is_special(b, t.at[i]);
	claim(t.n == 13 && !special, "encode: no text gives a special token");
	struct buf out = {0};
	uint32_t ids[] = { BPE_BEGIN, 261, 99999, 262, BPE_END };
	bpe_decode(b, ids, 5, &out);
	claim(span_is(buf_span(&out), "ab ab"), "decode: special and unknown tokens give no bytes");
	t.n = 0;
	bpe_encode(b, "", 0, &t);
	claim(t.n == 0, "encode: nothing of nothing");
	bpe_free(b);
	b = learn(tie, 262);
	claim(bpe_n(b) == 262 && span_is(bpe_token(b, 261), "pq"), "learn: of two pairs as frequent the one whose bytes come first");
	bpe_free(b);
	b = learn(none, 8192);
	claim(bpe_n(b) == 261, "learn: of nothing the special tokens and bytes");
	bpe_free(b);
	buf_free(&out);
	free(t.at);
}

static int
same_vocabulary(const struct bpe *a, const struct bpe *b)
{
	if (bpe_n(a) != bpe_n(b) || a->n_merge != b->n_merge || bpe_end(a) != bpe_end(b))
		return 0;
	for (uint32_t t = 0; t < bpe_n(a); t++)
		if (bpe_is_special(a, t) != bpe_is_special(b, t) || !span_equal(bpe_token(a, t), bpe_token(b, t)))
			return 0;
	return memcmp(a->merge, b->merge, a->n_merge * sizeof *a->merge) == 0;
}

static void
any_bytes(const struct bpe *b)
{
	struct rng rng = rng_at(5, 0);
	struct bpe_tokens t = {0};
	struct buf text = {0}, back = {0};
	int same = 1;

	for (size_t k = 0; k < 3000; k++) {
		size_t n = (size_t)rng_below(&rng, k % 50 ? 60 : 5000);
		buf_clear(&text);
		buf_clear(&back);
		for (size_t i = 0; i < n; i++)
			buf_putc(&text, k % 3 ? (int)rng_below(&rng, 256) : "ab \xc3\xa9\xe4'"[rng_below(&rng, 7)]);
		t.n = 0;
		bpe_encode(b, text.at, text.n, &t);
		bpe_decode(b, t.at, t.n, &back);
		same &= span_equal(buf_span(&text), buf_span(&back)) && (n == 0) == (t.n == 0);
	}
	claim(same, "any bytes come back as they were");
	buf_free(&text);
	buf_free(&back);
	free(t.at);
}

/* -- files -- */

static void
write_file(const char *to, const char *at, size_t n)
{
	struct fault f;
	struct file_out *o = file_out_open(to, 0666, &f);

	if (!o || file_out_write(o, at, n, &f) < 0 || file_out_commit(o, &f) < 0)
		claim(0, "%s", f.text);
}

/* Opens the two files with the first of old in the one changed to fresh; the fault must hold says and exit 65. */
static void
claim_damage(int file, const char *old, const char *fresh, const char *says)
{
	struct file_map m;
	struct fault f = {0};
	struct buf text = {0}, kept = {0};

	if (file_map_open(&m, path[file], &f) < 0) {
		claim(0, "%s", f.text);
		return;
	}
	buf_put(&kept, m.at, m.n);
	file_map_close(&m);
	char *at = memmem(kept.at, kept.n, old, strlen(old));
	if (!at) {
		claim(0, "damage: no %s in the file", old);
		buf_free(&kept);
		return;
	}
	buf_put(&text, kept.at, (size_t)(at - kept.at));
	buf_puts(&text, fresh);
	buf_put(&text, at + strlen(old), (size_t)(kept.at + kept.n - at) - strlen(old));
	write_file(path[file], text.at, text.n);
	struct bpe *b = bpe_open(path[0], path[1], &f);
	claim(!b && f.status == EX_DATAERR && strstr(f.text, says), "damage: \"%s\" is told (%s)", says,
	    b ? "opened" : f.text + strlen(folder));
	bpe_free(b);
	write_file(path[file], kept.at, kept.n);
	buf_free(&text);
	buf_free(&kept);
}

static void
json_files(const struct bpe *b)
{
	struct fault f = {0};

	claim(bpe_write_json(b, path[0], path[1], &f) == 0, "json: is written");
	struct bpe *again = bpe_open(path[0], path[1], &f);
	claim(again && same_vocabulary(b, again), "json: read again it is the same (%s)", again ? "" : f.text);
	bpe_free(again);
	claim_damage(0, "\"ab\": 261", "\"zz\": 261", "merges.txt:2: \"a b\" makes no token");
	claim_damage(0, "\"ab\": 261", "\"ab\": 260", "id 260 is that of another token too");
	claim_damage(0, "\"ab\": 261", "\"ab\": 1261", "\"ab\": expected an id from 0 to");
	claim_damage(0, "\"ab\": 261", "\"ab\": \"x\"", "\"ab\": expected an id");
	claim_damage(0, "\"ab\": 261", "\"a\": 261", "vocab.json");
	claim_damage(0, "\"ab\": 261", "\"a b\": 261", "stands for no byte");
	claim_damage(0, "{", "[", "vocab.json");
	claim_damage(0, "\"a\": 102", "\"aq\": 102", "merges.txt:2: \"a\" is no token");
	claim_damage(0, "\"z\": 127", "\"zq\": 127", "no token for the byte 122");
	claim_damage(0, "<|endoftext|>", "<|nothing|>", "no token \"<|endoftext|>\"");
	claim_damage(1, "a b\n", "a b\na b\n", "merges.txt:3: \"a b\" is merged twice");
	claim_damage(1, "a b\n", "a\n", "merges.txt:2: expected two tokens");
	claim_damage(1, "a b\n", "a b c\n", "merges.txt:2: expected two tokens");
	claim_damage(1, "a b\n", "\n", "merges.txt:2: expected two tokens");
	claim_damage(1, "a b\n", "a qqq\n", "merges.txt:2: \"qqq\" is no token");
	claim_damage(1, "a b\n", "a \xff\n", "merges.txt:2:");
	claim_damage(1, "a b\n", "", "token 261 \"ab\" is made by no merge");
	unlink(path[1]);
	claim(!bpe_open(path[0], path[1], &f) && f.status == EX_NOINPUT, "json: without merges.txt there is nothing");
}

static struct bpe *
through_tensors(const char *bytes, size_t n_byte, const uint64_t *end, size_t n, const uint32_t *merge, size_t n_merge,
    const uint32_t *special, size_t n_special, struct fault *f)
{
	struct tensor_writer *w = tensor_create(path[2], "tokenizer", f);
	size_t pairs[2] = { n_merge, 2 };

	if (!w)
		return NULL;
	tensor_declare(w, "bpe.bytes", TENSOR_U8, 1, &n_byte);
	tensor_declare(w, "bpe.ends", TENSOR_U64, 1, &n);
	tensor_declare(w, "bpe.merges", TENSOR_U32, 2, pairs);
	tensor_declare(w, "bpe.special", TENSOR_U32, 1, &n_special);
	if (tensor_put(w, bytes, n_byte, f) < 0 || tensor_put(w, end, n * 8, f) < 0 || tensor_put(w, merge, n_merge * 8, f) < 0 ||
	    tensor_put(w, special, n_special * 4, f) < 0) {
		tensor_abort(w);
		return NULL;
	}
	if (tensor_commit(w, f) < 0)
		return NULL;
	struct tensor_file *t = tensor_open(path[2], "tokenizer", f);
	struct bpe *b = t ? bpe_load(t, f) : NULL;
	tensor_close(t);
	return b;
}

static void
claim_bad(struct bpe *b, const struct fault *f, const char *says)
{
	claim(!b && f->status == EX_DATAERR && strstr(f->text, says), "load: \"%s\" is told (%s)", says,
	    b ? "opened" : f->text + strlen(folder));
	bpe_free(b);
}

static void
tensors(const struct bpe *b)
{
	struct fault f = {0};
	struct tensor_writer *w = tensor_create(path[2], "tokenizer", &f);
	int done = -1;

	if (w) {
		bpe_declare(w, b);
		done = bpe_put(w, b, &f) == 0 ? tensor_commit(w, &f) : -1;
	}
	struct tensor_file *t = tensor_open(path[2], "tokenizer", &f);
	struct bpe *again = t ? bpe_load(t, &f) : NULL;
	claim(done == 0 && again && same_vocabulary(b, again), "tensors: read again it is the same (%s)", again ? "" : f.text);
	bpe_free(again);
	tensor_close(t);

	char bytes[261];                /* end, 256 bytes, ab, ba */
	uint64_t end[259];
	uint32_t merge[2][2] = { { 'a' + 1, 'b' + 1 }, { 'b' + 1, 'a' + 1 } }, special[1] = { 0 };
	bytes[0] = '$';
	end[0] = 1;
	for (int c = 0; c < 256; c++) {
		bytes[1 + c] = (char)c;
		end[1 + c] = (uint64_t)c + 2;
	}
	memcpy(bytes + 257, "abba", 4);
	end[257] = 259;
	end[258] = 261;
#define LOAD() through_tensors(bytes, 261, end, 259, &merge[0][0], 2, special, 1, &f)
	struct bpe *good = LOAD();
	claim(good && bpe_n(good) == 259 && span_is(bpe_token(good, 258), "ba"), "tensors: made by hand it loads (%s)", good ? "" : f.text);
	bpe_free(good);
	special[0] = 300;
	claim_bad(LOAD(), &f, "bpe.special[0]: no token 300");
	special[0] = 257;
	claim_bad(LOAD(), &f, "there twice");
	special[0] = 0;
	merge[1][0] = 259;
	claim_bad(LOAD(), &f, "bpe.merges[1]: 259 and 98 are not both tokens");
	merge[1][0] = 0;
	claim_bad(LOAD(), &f, "bpe.merges[1]: 0 and 98 are not both tokens");
	merge[1][0] = 'c' + 1;
	claim_bad(LOAD(), &f, "make no token");
	merge[1][0] = 'a' + 1;
	merge[1][1] = 'b' + 1;
	claim_bad(LOAD(), &f, "are merged twice");
	merge[1][0] = 'b' + 1;
	merge[1][1] = 'a' + 1;
	bytes[260] = 'c';
	claim_bad(LOAD(), &f, "bpe.merges[1]: 99 and 98 make no token");
	memcpy(bytes + 259, "ab", 2);
	claim_bad(LOAD(), &f, "\"ab\" is there twice");
	memcpy(bytes + 259, "ba", 2);
	end[100] = 5;
	claim_bad(LOAD(), &f, "bpe.ends[100]");
	end[100] = UINT64_MAX;
	claim_bad(LOAD(), &f, "bpe.ends[100]");
	end[100] = 101;
	end[258] = 262;
	claim_bad(LOAD(), &f, "does not fit bpe.bytes");
	end[258] = 261;
	claim_bad(through_tensors(bytes, 261, end, 259, &merge[0][0], 1, special, 1, &f), &f, "token 258 \"ba\" is made by no merge");
	claim_bad(through_tensors(bytes, 261, end, 259, &merge[0][0], 2, special, 0, &f), &f, "bpe.special is empty");
}

int
main(void)
{
	static const char *const text[] = { "ab ab ab ab ab ab aba \xc3\xa9\xc3\xa9 \xff\xff", "\xc3\xa9\xc3\xa9\xc3\xa9", "it's its", NULL };

	if (scratch_folder(folder) < 0)
		return 1;
	snprintf(path[0], sizeof path[0], "%s/vocab.json", folder);
	snprintf(path[1], sizeof path[1], "%s/merges.txt", folder);
	snprintf(path[2], sizeof path[2], "%s/tokenizer", folder);
	struct bpe *b = learn(text, 300);
	cutting();
	by_hand();
	twins();
	any_bytes(b);
	json_files(b);
	tensors(b);
	bpe_free(b);
	for (int i = 0; i < 3; i++)
		unlink(path[i]);
	rmdir(folder);
	return claim_n_failed != 0;
}
