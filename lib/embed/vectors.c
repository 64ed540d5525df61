#include "embed/vectors.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/source.h"
#include "model/model.h"

enum { READ_BYTES = 1 << 18 };

struct reader {
	struct source *source;
	struct buf buf;                 /* at[pos..n) is not yet used */
	size_t pos, n_line;             /* n_line: lines begun */
	int end;
	const struct corpus *corpus;
	struct vectors *v;
	size_t n_max;
	float *row;                     /* [dim] */
	struct text_words folded;
};

/* At least n more bytes, unless the file ends before. 0, or -1 with *f set. */
static int
fill(struct reader *r, size_t n, struct fault *f)
{
	if (r->pos > 0 && r->buf.n - r->pos < n) {
		memmove(r->buf.at, r->buf.at + r->pos, r->buf.n - r->pos);
		r->buf.n -= r->pos;
		r->pos = 0;
	}
	while (!r->end && r->buf.n - r->pos < n) {
		buf_reserve(&r->buf, READ_BYTES);
		ptrdiff_t got = source_read(r->source, r->buf.at + r->buf.n, READ_BYTES, f);
		if (got < 0)
			return -1;
		r->end = got == 0;
		r->buf.n += (size_t)got;
	}
	return 0;
}

/* Bytes up to the next delimiter, which is passed; 1, or 0 at the end, or -1 with *f set. Borrowed until the next. */
static int
next_until(struct reader *r, char delimiter, struct span *out, struct fault *f)
{
	size_t n_seen = 0, n_want = 1;

	for (;;) {
		if (fill(r, n_want, f) < 0)
			return -1;
		size_t n = r->buf.n - r->pos;
		const char *at = r->buf.at ? r->buf.at + r->pos : NULL;
		const char *found = n > n_seen ? memchr(at + n_seen, delimiter, n - n_seen) : NULL;

		if (found) {
			*out = (struct span){ at, (size_t)(found - at) };
			r->pos += out->n + 1;
			return 1;
		}
		if (r->end) {
			*out = (struct span){ at, n };
			r->pos += n;
			return n > 0;
		}
		n_seen = n;
		n_want = n + READ_BYTES;
	}
}

static int
next_line(struct reader *r, struct span *line, struct fault *f)
{
	int got = next_until(r, '\n', line, f);

	r->n_line += got > 0;
	while (got > 0 && line->n > 0 && strchr(" \t\r", line->at[line->n - 1]))
		line->n--;
	return got;
}

static int
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts the last field off s. An empty one if there is none. */
static struct span
last_field(struct span *s)
{
	size_t from, to = s->n;

	while (to > 0 && is_blank(s->at[to - 1]))
		to--;
	for (from = to; from > 0 && !is_blank(s->at[from - 1]); from--)
		;
	s->n = from;
	return (struct span){ s->at + from, to - from };
}

static size_t
count_fields(struct span s)
{
	size_t n = 0;

	while (last_field(&s).n > 0)
		n++;
	return n;
}

/* Keeps r->row for a word, or not. */
static void
keep(struct reader *r, struct span word)
{
	struct vectors *v = r->v;
	uint32_t i;

	text_words(&r->folded, word.at, word.n);
	if (r->folded.n != 1)
		return;
	struct span folded = r->folded.at[0];
	int exact = folded.n == word.n && memcmp(folded.at, word.at, word.n) == 0;
	i = corpus_find(&v->words, folded);
	if (i != UINT32_MAX && (v->exact[i] || !exact))
		return;
	if (i == UINT32_MAX) {
		if (v->words.n_word >= r->n_max && corpus_find(r->corpus, folded) == UINT32_MAX)
			return;
		i = corpus_intern(&v->words, folded);
		size_t n_cap = v->n_row_cap * v->dim;
		v->row = xgrow(v->row, &n_cap, ((size_t)i + 1) * v->dim, sizeof *v->row);
		v->n_row_cap = n_cap / v->dim;
		v->exact = xgrow(v->exact, &v->n_exact_cap, (size_t)i + 1, 1);
	}
	v->exact[i] = (unsigned char)exact;
	memcpy(v->row + i * v->dim, r->row, v->dim * sizeof *v->row);
}

/* "word n n n", where the word may hold blanks itself. */
static int
read_line(struct reader *r, struct span line, struct fault *f)
{
	const char *name = source_name(r->source);
	size_t dim = r->v->dim, n_field = count_fields(line);
	float number;

	if (n_field < dim + 1)
		return fault(f, EX_DATAERR, "%s:%zu: expected a word and %zu numbers, got %zu fields", name, r->n_line, dim, n_field);
	for (size_t i = dim; i-- > 0; ) {
		struct span field = last_field(&line);
		if (num_read_f32(field.at, field.n, &r->row[i]) < 0)
			return fault(f, EX_DATAERR, "%s:%zu: \"%s\" is not a number", name, r->n_line, fault_quote(field.at, field.n));
	}
	while (line.n > 0 && is_blank(line.at[line.n - 1]))
		line.n--;
	/* What is left is the word; but if a number stands before the others, there are too many of them. */
	struct span rest = line, last = last_field(&rest);
	if (rest.n > 0 && num_read_f32(last.at, last.n, &number) == 0)
		return fault(f, EX_DATAERR, "%s:%zu: expected a word and %zu numbers, got %zu fields", name, r->n_line, dim, n_field);
	keep(r, line);
	return 0;
}

/* "word " and dim floats, little-endian, and perhaps a line end. */
static int
read_binary(struct reader *r, size_t n_word, struct fault *f)
{
	const char *name = source_name(r->source);
	size_t n_byte = r->v->dim * sizeof(float);
	struct span word;
	struct buf copy = {0};
	int done = -1;

	for (size_t i = 0; i < n_word; i++) {
		int got = next_until(r, ' ', &word, f);
		if (got < 0)
			goto end;
		while (got > 0 && word.n > 0 && word.at[0] == '\n')
			word.at++, word.n--;
		buf_clear(&copy);
		if (got > 0)
			buf_put(&copy, word.at, word.n);
		if (fill(r, n_byte, f) < 0)
			goto end;
		if (got == 0 || r->buf.n - r->pos < n_byte) {
			fault(f, EX_DATAERR, "%s: ends at word %zu of %zu", name, i + 1, n_word);
			goto end;
		}
		memcpy(r->row, r->buf.at + r->pos, n_byte);
		r->pos += n_byte;
		for (size_t j = 0; j < r->v->dim; j++)
			if (!isfinite(r->row[j])) {
				fault(f, EX_DATAERR, "%s: word %zu \"%s\": number %zu is not finite", name, i + 1,
				    fault_quote(copy.at, copy.n), j + 1);
				goto end;
			}
		keep(r, buf_span(&copy));
	}
	done = 0;
end:
	buf_free(&copy);
	return done;
}

/* Behind the header: floats have bytes that no text has, within any few of them. */
static int
is_binary(struct reader *r, int *binary, struct fault *f)
{
	enum { LOOK = 4096 };

	if (fill(r, LOOK, f) < 0)
		return -1;
	*binary = 0;
	for (size_t i = 0; i < LOOK && r->pos + i < r->buf.n; i++) {
		unsigned char c = (unsigned char)r->buf.at[r->pos + i];
		*binary |= c < 0x20 && c != '\t' && c != '\r' && c != '\n';
	}
	return 0;
}

static int
read_file(struct reader *r, struct fault *f)
{
	const char *name = source_name(r->source);
	struct vectors *v = r->v;
	struct span line, first, second;
	uint64_t n_word = 0, dim = 0;
	size_t n_read = 0;
	int got = next_line(r, &line, f), header = 0, binary = 0;

	if (got < 0)
		return -1;
	if (got == 0)
		return fault(f, EX_DATAERR, "%s: expected word vectors, got an empty file", name);
	if (count_fields(line) == 2) {
		struct span rest = line;
		second = last_field(&rest);
		first = last_field(&rest);
		header = num_read_u64(first.at, first.n, &n_word) == 0 && num_read_u64(second.at, second.n, &dim) == 0;
	}
	v->dim = header ? (size_t)dim : count_fields(line) - (line.n > 0);
	if (v->dim > MODEL_DIM_MAX)
		return fault(f, EX_DATAERR, "%s:1: expected vectors of at most %d numbers, got %zu", name, MODEL_DIM_MAX, v->dim);
	if (v->dim == 0)
		return fault(f, EX_DATAERR, "%s:1: expected a word and its numbers, got \"%s\"", name, fault_quote(line.at, line.n));
	r->row = xmalloc(v->dim, sizeof *r->row);
	if (header) {
		if (is_binary(r, &binary, f) < 0)
			return -1;
		if (binary)
			return read_binary(r, (size_t)n_word, f);
		got = next_line(r, &line, f);
	}
	for (; got > 0; got = next_line(r, &line, f)) {
		if (line.n == 0)
			continue;
		if (read_line(r, line, f) < 0)
			return -1;
		n_read++;
	}
	if (got == 0 && header && n_read != n_word)
		return fault(f, EX_DATAERR, "%s: expected %llu words as its first line says, got %zu", name,
		    (unsigned long long)n_word, n_read);
	return got;
}

int
vectors_read(struct vectors *v, const char *path, const struct corpus *c, size_t n_max, struct fault *f)
{
	struct reader r = { .corpus = c, .v = v, .n_max = n_max };

	*v = (struct vectors){0};
	corpus_init(&v->words);
	r.source = source_open(path, f);
	int done = r.source ? read_file(&r, f) : -1;
	if (done == 0 && v->words.n_word == 0)
		done = fault(f, EX_DATAERR, "%s: has no word that texts could have", path);
	source_close(r.source);
	buf_free(&r.buf);
	text_words_free(&r.folded);
	free(r.row);
	if (done < 0)
		vectors_free(v);
	return done;
}

void
vectors_free(struct vectors *v)
{
	corpus_free(&v->words);
	free(v->row);
	free(v->exact);
	*v = (struct vectors){0};
}
