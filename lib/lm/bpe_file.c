/* A vocabulary from and into files: vocab.json and merges.txt of GPT-2, and tensors. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "json/json.h"
#include "lm/inside.h"
#include "text/text.h"

/* -- bytes as letters: GPT-2 writes those that are no visible ones as U+0100 and on, in order -- */

struct letters {
	uint32_t of[256];               /* code point of a byte */
	int byte[0x144];                /* and back; -1: none */
};

static void
letters_init(struct letters *l)
{
	uint32_t next = 0x100;

	for (size_t i = 0; i < sizeof l->byte / sizeof *l->byte; i++)
		l->byte[i] = -1;
	for (uint32_t c = 0; c < 256; c++) {
		l->of[c] = (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c != 0xad) ? c : next++;
		l->byte[l->of[c]] = (int)c;
	}
}

static int
from_letters(const struct letters *l, const char *at, size_t n, struct buf *bytes)
{
	uint32_t code = 0;

	buf_clear(bytes);
	for (size_t i = 0, m; i < n; i += m) {
		if ((m = text_code(at + i, n - i, &code)) == 0 || code >= sizeof l->byte / sizeof *l->byte || l->byte[code] < 0)
			return -1;
		buf_putc(bytes, l->byte[code]);
	}
	return 0;
}

static void
to_letters(const struct letters *l, struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		uint32_t code = l->of[(unsigned char)s.at[i]];

		if (code < 0x80) {
			buf_putc(out, (int)code);
		} else {
			buf_putc(out, (int)(0xc0 | code >> 6));
			buf_putc(out, (int)(0x80 | (code & 0x3f)));
		}
	}
}

/* -- what must hold of any vocabulary -- */

/* All bytes have their tokens, and every other one is special or made by a merge. path: who is blamed. */
static int
check(struct bpe *b, const char *path, const uint8_t *made, struct fault *f)
{
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		if (bpe_find(b, &byte, 1) == UINT32_MAX)
			return fault(f, EX_DATAERR, "%s: no token for the byte %d", path, c);
	}
	for (uint32_t t = 0; t < b->n; t++) {
		struct span s = bpe_token(b, t);

		if (!b->special[t] && s.n != 1 && !made[t])
			return fault(f, EX_DATAERR, "%s: token %u \"%s\" is made by no merge", path, (unsigned)t,
			    fault_quote(s.at, s.n));
	}
	return 0;
}

/* -- vocab.json and merges.txt -- */

struct source {
	const char *vocab_path, *merges_path;
	struct letters letters;
	struct buf left, right;
	uint8_t *made;                  /* [n] of the tokens */
};

/* Tokens in the order of their ids. */
static int
read_vocab(struct bpe *b, struct source *s, const struct json *j, struct fault *f)
{
	size_t n = json_count(j);
	struct json_member m = {0};
	const char **key = xcalloc(n ? n : 1, sizeof *key);
	int done = -1;

	if (!json_is_object(j) || n == 0 || n >= UINT32_MAX) {
		fault(f, EX_DATAERR, "%s: expected an object of tokens and their ids", s->vocab_path);
		goto end;
	}
	while (json_next(j, &m)) {
		int64_t id = json_integer(m.value, -1);
		const char *quoted = fault_quote(m.key, strlen(m.key));

		if (id < 0 || (uint64_t)id >= n) {
			fault(f, EX_DATAERR, "%s: token \"%s\": expected an id from 0 to %zu, without holes", s->vocab_path, quoted, n - 1);
			goto end;
		}
		if (key[id]) {
			fault(f, EX_DATAERR, "%s: token \"%s\": id %zu is that of another token too", s->vocab_path, quoted, (size_t)id);
			goto end;
		}
		key[id] = m.key;
	}
	for (size_t i = 0; i < n; i++) {
		if (from_letters(&s->letters, key[i], strlen(key[i]), &s->left) < 0) {
			fault(f, EX_DATAERR, "%s: token \"%s\" has a character that stands for no byte", s->vocab_path,
			    fault_quote(key[i], strlen(key[i])));
			goto end;
		}
		bpe_add(b, s->left.at ? s->left.at : "", s->left.n, 0);
	}
	done = 0;
end:
	free(key);
	return done;
}

static int
read_merge(struct bpe *b, struct source *s, const char *line, size_t n, size_t n_line, struct fault *f)
{
	const char *blank = memchr(line, ' ', n), *side[2] = { line, blank ? blank + 1 : NULL };
	size_t length[2] = { blank ? (size_t)(blank - line) : 0, blank ? n - (size_t)(blank + 1 - line) : 0 };
	struct buf *bytes[2] = { &s->left, &s->right };
	uint32_t token[2], made;

	if (length[0] == 0 || length[1] == 0 || memchr(side[1], ' ', length[1]))
		return fault(f, EX_DATAERR, "%s:%zu: expected two tokens with a blank between, got \"%s\"", s->merges_path, n_line,
		    fault_quote(line, n));
	for (int i = 0; i < 2; i++) {
		token[i] = UINT32_MAX;
		if (from_letters(&s->letters, side[i], length[i], bytes[i]) == 0)
			token[i] = bpe_find(b, bytes[i]->at, bytes[i]->n);
		if (token[i] == UINT32_MAX)
			return fault(f, EX_DATAERR, "%s:%zu: \"%s\" is no token of %s", s->merges_path, n_line,
			    fault_quote(side[i], length[i]), s->vocab_path);
	}
	if ((made = bpe_find_joined(b, token[0], token[1])) == UINT32_MAX)
		return fault(f, EX_DATAERR, "%s:%zu: \"%s\" makes no token of %s", s->merges_path, n_line, fault_quote(line, n),
		    s->vocab_path);
	if (bpe_add_merge(b, token[0], token[1], made) < 0)
		return fault(f, EX_DATAERR, "%s:%zu: \"%s\" is merged twice", s->merges_path, n_line, fault_quote(line, n));
	s->made[made] = 1;
	return 0;
}

static int
read_merges(struct bpe *b, struct source *s, const char *at, size_t n, struct fault *f)
{
	size_t n_line = 0;

	for (size_t i = 0; i < n; ) {
		const char *end = memchr(at + i, '\n', n - i);
		size_t length = end ? (size_t)(end - (at + i)) : n - i;

		n_line++;
		int is_head = n_line == 1 && length >= 8 && memcmp(at, "#version", 8) == 0;
		if (!is_head && read_merge(b, s, at + i, length, n_line, f) < 0)
			return -1;
		i += length + (end != NULL);
	}
	return 0;
}

/* What no merge makes and is written like <|endoftext|> is special. */
static int
find_special(struct bpe *b, const struct source *s, struct fault *f)
{
	b->end_token = UINT32_MAX;
	for (uint32_t t = 0; t < b->n; t++) {
		struct span at = bpe_token(b, t);

		if (s->made[t] || at.n < 5 || memcmp(at.at, "<|", 2) != 0 || memcmp(at.at + at.n - 2, "|>", 2) != 0)
			continue;
		if (span_is(at, bpe_special_name[BPE_END]))
			b->end_token = t;
		b->special[t] = 1;
	}
	if (b->end_token == UINT32_MAX)
		return fault(f, EX_DATAERR, "%s: no token \"%s\"", s->vocab_path, bpe_special_name[BPE_END]);
	return 0;
}

struct bpe *
bpe_open(const char *vocab_path, const char *merges_path, struct fault *f)
{
	struct source s = { .vocab_path = vocab_path, .merges_path = merges_path };
	struct file_map vocab = {0}, merges = {0};
	struct bpe *b = bpe_new();
	struct json *j = NULL;
	int done = -1;

	letters_init(&s.letters);
	if (file_map_open(&vocab, vocab_path, f) == 0 && file_map_open(&merges, merges_path, f) == 0 &&
	    (j = json_read((const char *)vocab.at, vocab.n, vocab_path, f)) && read_vocab(b, &s, j, f) == 0) {
		s.made = xcalloc(b->n, sizeof *s.made);
		if (read_merges(b, &s, (const char *)merges.at, merges.n, f) == 0 && find_special(b, &s, f) == 0 &&
		    check(b, vocab_path, s.made, f) == 0)
			done = 0;
	}
	if (done == 0) {
		bpe_finish(b);
	} else {
		bpe_free(b);
		b = NULL;
	}
	json_free(j);
	file_map_close(&vocab);
	file_map_close(&merges);
	buf_free(&s.left);
	buf_free(&s.right);
	free(s.made);
	return b;
}

static int
write_vocab(const struct bpe *b, const struct letters *l, const char *path, struct fault *f)
{
	struct file_out *o = file_out_open(path, 0666, f);
	struct buf text = {0}, letters = {0};

	if (!o)
		return -1;
	for (uint32_t t = 0; t < b->n; t++) {
		struct span s = { b->bytes.at + (t ? b->end[t - 1] : 0), b->end[t] - (t ? b->end[t - 1] : 0) };

		buf_clear(&letters);
		to_letters(l, s, &letters);
		buf_puts(&text, t ? ", " : "{");
		json_put_string(&text, letters.at ? letters.at : "", letters.n);
		buf_printf(&text, ": %u", (unsigned)t);
	}
	buf_puts(&text, "}\n");
	int done = file_out_write(o, text.at, text.n, f);
	buf_free(&text);
	buf_free(&letters);
	if (done == 0)
		return file_out_commit(o, f);
	file_out_abort(o);
	return -1;
}

static int
write_merges(const struct bpe *b, const struct letters *l, const char *path, struct fault *f)
{
	struct file_out *o = file_out_open(path, 0666, f);
	struct buf text = {0};

	if (!o)
		return -1;
	buf_puts(&text, "#version: 0.2\n");
	for (size_t i = 0; i < b->n_merge; i++) {
		to_letters(l, bpe_token(b, b->merge[i].left), &text);
		buf_putc(&text, ' ');
		to_letters(l, bpe_token(b, b->merge[i].right), &text);
		buf_putc(&text, '\n');
	}
	int done = file_out_write(o, text.at, text.n, f);
	buf_free(&text);
	if (done == 0)
		return file_out_commit(o, f);
	file_out_abort(o);
	return -1;
}

int
bpe_write_json(const struct bpe *b, const char *vocab_path, const char *merges_path, struct fault *f)
{
	struct letters l;

	letters_init(&l);
	return write_vocab(b, &l, vocab_path, f) < 0 || write_merges(b, &l, merges_path, f) < 0 ? -1 : 0;
}

/* -- tensors -- */

static size_t
count_special(const struct bpe *b)
{
	size_t n = 0;

	for (size_t t = 0; t < b->n; t++)
		n += b->special[t];
	return n;
}

void
bpe_declare(struct tensor_writer *w, const struct bpe *b)
{
	size_t n_special = count_special(b), merges[2] = { b->n_merge, 2 };

	tensor_declare(w, "bpe.bytes", TENSOR_U8, 1, &b->bytes.n);
	tensor_declare(w, "bpe.ends", TENSOR_U64, 1, &b->n);
	tensor_declare(w, "bpe.merges", TENSOR_U32, 2, merges);
	tensor_declare(w, "bpe.special", TENSOR_U32, 1, &n_special);
}

/* The bytes of special tokens are their names; the first special one is the end. */
int
bpe_put(struct tensor_writer *w, const struct bpe *b, struct fault *f)
{
	size_t n_special = count_special(b), n = 0;
	uint64_t *end = xmalloc(b->n, sizeof *end);
	uint32_t *merge = xmalloc(2 * b->n_merge, sizeof *merge), *special = xmalloc(n_special, sizeof *special);

	special[n++] = b->end_token;
	for (uint32_t t = 0; t < b->n; t++) {
		end[t] = b->end[t];
		if (b->special[t] && t != b->end_token)
			special[n++] = t;
	}
	for (size_t i = 0; i < b->n_merge; i++) {
		merge[2 * i] = b->merge[i].left;
		merge[2 * i + 1] = b->merge[i].right;
	}
	int done = tensor_put(w, b->bytes.at, b->bytes.n, f) < 0 || tensor_put(w, end, b->n * sizeof *end, f) < 0 ||
	    (b->n_merge > 0 && tensor_put(w, merge, 2 * b->n_merge * sizeof *merge, f) < 0) ||
	    tensor_put(w, special, n_special * sizeof *special, f) < 0 ? -1 : 0;
	free(end);
	free(merge);
	free(special);
	return done;
}

static int
take(struct tensor_file *t, const char *name, enum tensor_type type, size_t n_dim, const size_t *shape, struct tensor *out,
    struct fault *f)
{
	return tensor_get(t, name, type, n_dim, shape, out, f) < 0 || tensor_verify(t, out->at, out->n_byte, f) < 0 ? -1 : 0;
}

static int
load(struct bpe *b, struct tensor_file *file, struct fault *f)
{
	static const size_t list[1] = { TENSOR_FREE }, pairs[2] = { TENSOR_FREE, 2 };
	struct tensor bytes, ends, merges, special;
	const char *path = tensor_path(file);
	size_t from = 0;

	if (take(file, "bpe.bytes", TENSOR_U8, 1, list, &bytes, f) < 0 ||
	    take(file, "bpe.ends", TENSOR_U64, 1, list, &ends, f) < 0 ||
	    take(file, "bpe.merges", TENSOR_U32, 2, pairs, &merges, f) < 0 ||
	    take(file, "bpe.special", TENSOR_U32, 1, list, &special, f) < 0)
		return -1;
	size_t n = ends.shape[0];
	const uint64_t *end = ends.at;
	const uint32_t *of = special.at, *pair = merges.at;
	if (n == 0 || n >= UINT32_MAX || end[n - 1] != bytes.n_byte)
		return fault(f, EX_DATAERR, "%s: bpe.ends does not fit bpe.bytes", path);
	if (special.shape[0] == 0)
		return fault(f, EX_DATAERR, "%s: bpe.special is empty: no token ends a text", path);
	uint8_t *is_special = xcalloc(n, sizeof *is_special), *made = xcalloc(n, sizeof *made);
	int done = -1;
	for (size_t i = 0; i < special.shape[0]; i++) {
		if (of[i] >= n) {
			fault(f, EX_DATAERR, "%s: bpe.special[%zu]: no token %u", path, i, (unsigned)of[i]);
			goto end;
		}
		is_special[of[i]] = 1;
	}
	b->end_token = of[0];
	for (size_t i = 0; i < n; i++) {
		if (end[i] < from || end[i] > bytes.n_byte) {
			fault(f, EX_DATAERR, "%s: bpe.ends[%zu] does not fit bpe.bytes", path, i);
			goto end;
		}
		const char *at = (const char *)bytes.at + from;
		size_t length = (size_t)end[i] - from;
		if (!is_special[i] && bpe_find(b, at, length) != UINT32_MAX) {
			fault(f, EX_DATAERR, "%s: token %zu \"%s\" is there twice", path, i, fault_quote(at, length));
			goto end;
		}
		bpe_add(b, at, length, is_special[i]);
		from = (size_t)end[i];
	}
	for (size_t i = 0; i < merges.shape[0]; i++) {
		uint32_t left = pair[2 * i], right = pair[2 * i + 1], joined;

		if (left >= n || right >= n || is_special[left] || is_special[right]) {
			fault(f, EX_DATAERR, "%s: bpe.merges[%zu]: %u and %u are not both tokens of text", path, i, (unsigned)left,
			    (unsigned)right);
			goto end;
		}
		if ((joined = bpe_find_joined(b, left, right)) == UINT32_MAX || bpe_add_merge(b, left, right, joined) < 0) {
			fault(f, EX_DATAERR, "%s: bpe.merges[%zu]: %u and %u %s", path, i, (unsigned)left, (unsigned)right,
			    joined == UINT32_MAX ? "make no token" : "are merged twice");
			goto end;
		}
		made[joined] = 1;
	}
	done = check(b, path, made, f);
end:
	free(is_special);
	free(made);
	return done;
}

struct bpe *
bpe_load(struct tensor_file *t, struct fault *f)
{
	struct bpe *b = bpe_new();

	if (load(b, t, f) < 0) {
		bpe_free(b);
		return NULL;
	}
	bpe_finish(b);
	return b;
}
