/* hare-train tokenizer, encode - byte pairs of a language model: learning them, texts to tokens and back */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "filter.h"
#include "lm/bpe.h"
#include "tensor/tensor.h"
#include "train.h"

enum { BATCH = 1024, N_TOKEN_MAX = 1 << 24 };

static const char *columns;             /* -c, both verbs */

/* -- tokenizer -- */

static const char *tokenizer_path, *json_folder;
static size_t n_token = 8192;

static const struct opt tokenizer_opts[] = {
	{ 'o', "output", OPT_FILE, &tokenizer_path, "TOKENIZER", "the file to write", NULL, NULL },
	{ 'c', "columns", OPT_STRING, &columns, "NAMES", "columns of text, split by commas; default: text", NULL, NULL },
	{ 0, "tokens", OPT_SIZE, &n_token, "N", "tokens, 5 special ones and 256 bytes among them", NULL, NULL },
	{ 0, "vocab", OPT_FILE, &json_folder, "FOLDER", "write vocab.json and merges.txt there as well, for other programs", NULL,
	    NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

/* The columns [*n] of -c; the caller frees. NULL with *f set. */
static int *
find_columns(struct record_in *in, size_t *n, struct fault *f)
{
	const char *list = columns ? columns : record_column_name("text");
	size_t n_cap = 0;
	int *column = NULL;

	for (*n = 0; ; ) {
		size_t length = columns ? strcspn(list, ",") : strlen(list);
		char *name = xstrndup(list, length);

		column = xgrow(column, &n_cap, *n + 1, sizeof *column);
		column[*n] = record_need_name(in, name, f);
		free(name);
		if (column[(*n)++] < 0) {
			free(column);
			return NULL;
		}
		if (list[length] == '\0')
			return column;
		list += length + 1;
	}
}

/* The text of a row, several columns joined by line ends as hare-embed(1) does; borrowed until the next call. */
static struct span
row_text(const struct record_in *in, size_t i, const int *column, size_t n_column, struct buf *joined)
{
	if (n_column == 1)
		return record_cell(in, i, column[0]);
	buf_clear(joined);
	for (size_t c = 0; c < n_column; c++) {
		struct span cell = record_cell(in, i, column[c]);

		if (c)
			buf_putc(joined, '\n');
		buf_put(joined, cell.at, cell.n);
	}
	return buf_span(joined);
}

/* NULL with *f set. */
static struct bpe *
learn(struct record_in *in, struct fault *f)
{
	size_t n_column, n_text = 0;
	int *column = find_columns(in, &n_column, f);
	struct bpe_learn *l;
	struct buf joined = {0};
	ptrdiff_t n;

	if (!column)
		return NULL;
	l = bpe_learn_new();
	while ((n = record_batch(in, BATCH, f)) > 0)
		for (size_t i = 0; i < (size_t)n; i++) {
			struct span text = row_text(in, i, column, n_column, &joined);

			bpe_learn_add(l, text.at, text.n);
			n_text += text.n > 0;
		}
	free(column);
	buf_free(&joined);
	/* Learning ends l in any case. */
	struct bpe *b = bpe_learn_end(l, n < 0 ? 0 : n_token);
	if (n == 0 && n_text > 0)
		return b;
	bpe_free(b);
	if (n == 0)
		fault(f, EX_DATAERR, "no text to learn from: all are empty");
	return NULL;
}

static char *
in_folder(const char *folder, const char *name)
{
	struct buf path = {0};

	buf_printf(&path, "%s/%s", folder, name);
	buf_string(&path);
	return path.at;
}

static int
write_json(const struct bpe *b, struct fault *f)
{
	char *vocab = in_folder(json_folder, "vocab.json"), *merges = in_folder(json_folder, "merges.txt");
	int done = mkdir(json_folder, 0777) < 0 && access(json_folder, F_OK) < 0 ? fault_errno(f, json_folder, NULL) :
	    bpe_write_json(b, vocab, merges, f);

	free(vocab);
	free(merges);
	return done;
}

static int
write_tokenizer(const struct bpe *b, struct fault *f)
{
	struct tensor_writer *w = tensor_create(tokenizer_path, "tokenizer", f);

	if (!w)
		return -1;
	bpe_declare(w, b);
	if (bpe_put(w, b, f) == 0)
		return tensor_commit(w, f);
	tensor_abort(w);
	return -1;
}

static int
run_tokenizer(const struct opt_program *p, int n_operand, char **operand)
{
	struct record_in *in = NULL;
	struct bpe *b = NULL;
	struct fault f;
	int done = -1;

	if (!tokenizer_path)
		opt_usage(p, "-o TOKENIZER is missing");
	if (n_token < BPE_N_SPECIAL + 256 || n_token > N_TOKEN_MAX)
		opt_usage(p, "--tokens: expected %d to %d, got %zu", BPE_N_SPECIAL + 256, N_TOKEN_MAX, n_token);
	if (file_out_check(tokenizer_path, &f) == 0 && (in = record_open(n_operand, operand, &f)) && (b = learn(in, &f)) &&
	    (!json_folder || write_json(b, &f) == 0) && write_tokenizer(b, &f) == 0)
		done = 0;
	if (done == 0 && bpe_n(b) < n_token && !record_options.quiet)
		warnx("%zu tokens, not %zu: no other pair of tokens occurs twice", bpe_n(b), n_token);
	bpe_free(b);
	return filter_finish(in, NULL, done < 0 ? f.status : EX_OK, &f);
}

/* -- encode -- */

static const char *vocabulary, *text_name;
static int reverse;

static const struct opt encode_opts[] = {
	{ 'm', "model", OPT_FILE, &vocabulary, "TOKENIZER", "or a DECODER, or a folder with vocab.json and merges.txt", NULL, NULL },
	{ 'c', "columns", OPT_STRING, &columns, "NAMES", "columns of text; default: text, or tokens with --reverse", NULL, NULL },
	{ 'o', "output", OPT_STRING, &text_name, "NAME", "column to write; default: tokens, and text with --reverse", NULL, NULL },
	{ 'r', "reverse", OPT_FLAG, &reverse, NULL, "tokens to text", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)record_opts, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL },
};

struct encoding {
	struct bpe *bpe;
	int *column;
	size_t n_column;
	struct record_out *out;
	struct record_row row;
	struct bpe_tokens tokens;
	struct span *digits;            /* [tokens.n] */
	size_t n_digits_cap;
	struct buf joined, text;
};

static struct bpe *
open_vocabulary(const char *path, struct fault *f)
{
	struct stat about;
	struct bpe *b = NULL;

	if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
		char *vocab = in_folder(path, "vocab.json"), *merges = in_folder(path, "merges.txt");

		b = bpe_open(vocab, merges, f);
		free(vocab);
		free(merges);
		return b;
	}
	struct tensor_file *t = tensor_open(path, NULL, f);
	if (t)
		b = bpe_load(t, f);
	tensor_close(t);
	return b;
}

static void
encode_row(struct encoding *e, const struct record_in *in, size_t i)
{
	struct span text = row_text(in, i, e->column, e->n_column, &e->joined);
	size_t from = 0;

	e->tokens.n = 0;
	bpe_encode(e->bpe, text.at, text.n, &e->tokens);
	e->digits = xgrow(e->digits, &e->n_digits_cap, e->tokens.n + 1, sizeof *e->digits);
	for (size_t t = 0; t < e->tokens.n; t++) {
		buf_printf(&e->text, "%u", (unsigned)e->tokens.at[t]);
		e->digits[t].n = e->text.n - from;
		from = e->text.n;
	}
	from = 0;
	for (size_t t = 0; t < e->tokens.n; from += e->digits[t++].n)
		e->digits[t].at = e->text.at + from;
	record_put_list(&e->row, e->digits, e->tokens.n);
	record_put_integer(&e->row, (int64_t)e->tokens.n);
}

static int
decode_row(struct encoding *e, const struct record_in *in, size_t i, struct fault *f)
{
	struct span cell = record_cell(in, i, e->column[0]);

	for (size_t at = 0; at < cell.n; ) {
		uint64_t token = 0;
		size_t from = at;

		for (; at < cell.n && cell.at[at] >= '0' && cell.at[at] <= '9' && token < UINT32_MAX; at++)
			token = 10 * token + (uint64_t)(cell.at[at] - '0');
		if (at == from || (at < cell.n && cell.at[at] != ' ') || at + 1 == cell.n || token >= bpe_n(e->bpe))
			return record_fault(in, i, e->column[0], f, "expected tokens 0 to %zu with a blank between, got \"%s\"",
			    bpe_n(e->bpe) - 1, fault_quote(cell.at + from, cell.n - from));
		uint32_t one = (uint32_t)token;
		bpe_decode(e->bpe, &one, 1, &e->text);
		at += at < cell.n;
	}
	record_put_text(&e->row, e->text.at ? e->text.at : "", e->text.n);
	return 0;
}

static int
encode(struct encoding *e, struct record_in *in, struct fault *f)
{
	const char *names[2] = { text_name ? text_name : reverse ? record_column_name("text") : "tokens", "n_tokens" };
	ptrdiff_t n;

	if (reverse && !columns)
		columns = "tokens";
	if (!(e->column = find_columns(in, &e->n_column, f)))
		return -1;
	if (reverse && e->n_column != 1)
		return fault(f, EX_USAGE, "--reverse: expected one column of tokens, got %zu", e->n_column);
	if (!(e->out = record_out_open(in, NULL, names, reverse ? 1 : 2, f)))
		return -1;
	while ((n = record_batch(in, BATCH, f)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++) {
			record_row_begin(&e->row, e->out);
			buf_clear(&e->text);
			if (!reverse) {
				encode_row(e, in, i);
			} else if (decode_row(e, in, i, f) < 0) {
				if (record_bad(in, f) < 0)
					return -1;
				continue;
			}
			if (record_emit(e->out, in, i, &e->row, f) < 0)
				return -1;
		}
		if (record_would_block(in) && record_flush(e->out, f) < 0)
			return -1;
	}
	return (int)n;
}

static int
run_encode(const struct opt_program *p, int n_operand, char **operand)
{
	struct encoding e = {0};
	struct record_in *in = NULL;
	struct fault f;
	int done = -1;

	if (!vocabulary)
		opt_usage(p, "-m TOKENIZER is missing");
	if ((e.bpe = open_vocabulary(vocabulary, &f)) && (in = record_open(n_operand, operand, &f)))
		done = encode(&e, in, &f);
	done = filter_finish(in, e.out, done < 0 ? f.status : EX_OK, &f);
	record_row_free(&e.row);
	free(e.column);
	free(e.tokens.at);
	free(e.digits);
	buf_free(&e.joined);
	buf_free(&e.text);
	bpe_free(e.bpe);
	return done;
}

const struct opt_program train_tokenizer = {
	.name = "tokenizer",
	.summary = "learn the byte pairs of a language model from texts",
	.usage = "[-qT] -o TOKENIZER [-c NAMES] [--tokens N] [--vocab FOLDER] [file ...]",
	.opts = tokenizer_opts,
	.examples = "hare-train tokenizer -o deb.tokens -c title,text deb.csv\n",
	.run = run_tokenizer,
};
const struct opt_program train_encode = {
	.name = "encode",
	.summary = "text to tokens, or tokens to text",
	.usage = "[-qTJu] -m TOKENIZER [-c NAMES] [-o NAME] [-r] [file ...]",
	.opts = encode_opts,
	.examples = "hare-train encode -m deb.tokens -c title deb.csv | mlr --icsv --ojson stats1 -a mean -f n_tokens\n"
	    "printf 'tokens\\n15496 995\\n' | hare-train encode -r -m gpt2\n",
	.run = run_encode,
};
