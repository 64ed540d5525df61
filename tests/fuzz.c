/*
 * Reading records, on inputs drawn at random with a fixed seed: whatever the bytes, the direct ways and the slow ones
 * agree, and (with sanitizers) nothing is read that is not there.
 */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "claim.h"
#include "record/inside.h"
#include "scratch.h"

enum { N_INPUT = 1500 };

static int real_stdin, real_stdout;

/* ---- stdin and stdout turned into pipes that hold an input whole ---- */

static int
stdin_pipe(void)
{
	int end[2];

	if (pipe(end) < 0 || dup2(end[0], STDIN_FILENO) < 0)
		abort();
	close(end[0]);
	return end[1];
}

static void
send_bytes(int fd, const char *at, size_t n)
{
	if (n && write(fd, at, n) != (ssize_t)n)
		abort();
}

/* Everything that a program could learn from an input, as bytes to compare. */
struct told {
	struct buf rows;
	struct buf raw;         /* the rows as they would be passed on, with the header */
	size_t n_row, n_raw_wrong;
};

/* The slow way from a raw cell to what it says. */
static void
decode(struct buf *b, struct span raw)
{
	int quoted = !record_options.tsv && raw.n && raw.at[0] == '"';

	buf_clear(b);
	for (size_t i = quoted ? 1 : 0; i + (quoted ? 1 : 0) < raw.n; i++) {
		if (quoted && raw.at[i] == '"')
			i++;
		if (record_options.tsv && raw.at[i] == '\\') {
			i++;
			buf_putc(b, raw.at[i] == 't' ? '\t' : raw.at[i] == 'n' ? '\n' : raw.at[i] == 'r' ? '\r' : '\\');
		} else {
			buf_putc(b, raw.at[i]);
		}
	}
}

static void
tell_row(struct told *t, const struct record_in *in, size_t i)
{
	struct span raw = record_raw(in, i);
	struct buf slow = {0}, any = {0};
	struct fault f;
	size_t from = 0;
	double number;

	buf_printf(&t->rows, "%zu %zu %llu:", record_line(in, i), record_end_line(in, i), (unsigned long long)record_end_offset(in, i));
	buf_put(&t->raw, raw.at, raw.n);
	buf_putc(&t->raw, '\n');
	for (size_t c = 0; c < record_n_column(in); c++) {
		struct span cell = record_cell(in, i, (int)c);

		buf_printf(&t->rows, " %zu=", cell.n);
		if (cell.n)
			buf_put(&t->rows, cell.at, cell.n);
		decode(&slow, record_raw_cell(raw, &from, record_options.tsv));
		t->n_raw_wrong += slow.n != cell.n || (cell.n && memcmp(slow.at, cell.at, cell.n) != 0);
		buf_printf(&t->rows, " %td", record_vector_any(in, i, (int)c, &any, &f));
		buf_printf(&t->rows, " %d", record_number(in, i, (int)c, &number, &f));
	}
	t->n_raw_wrong += from != raw.n + 1;
	t->n_row++;
	buf_putc(&t->rows, '\n');
	buf_free(&slow);
	buf_free(&any);
}

/* Reads text[0..n) in batches of n_batch; piece > 0: what is behind the header comes in so many bytes at a time. */
static struct told
read_all(const char *text, size_t n, int plain, size_t n_batch, size_t piece)
{
	const char *header_end = memchr(text, '\n', n);
	/* record_open() waits for the header, so that is sent at once; with quotes it could be any number of lines */
	int in_pieces = piece && header_end && !memchr(text, '"', (size_t)(header_end - text));
	size_t sent = in_pieces ? (size_t)(header_end + 1 - text) : n;
	int to = stdin_pipe();
	struct told t = {0};
	struct fault f;
	struct record_in *in;
	ptrdiff_t got = 1;

	send_bytes(to, text, sent);
	if (sent == n)
		close(to);
	in = record_open(0, NULL, &f);
	if (!in)
		got = -1;
	else
		buf_put(&t.raw, in->header.at, in->header.n);
	buf_putc(&t.raw, '\n');
	while (got > 0) {
		in->plain = plain;
		while (sent < n && record_would_block(in)) {
			size_t more = n - sent < piece ? n - sent : piece;

			send_bytes(to, text + sent, more);
			sent += more;
			if (sent == n)
				close(to);
		}
		got = record_batch(in, n_batch, &f);
		for (ptrdiff_t i = 0; i < got; i++)
			tell_row(&t, in, (size_t)i);
	}
	if (sent < n)
		close(to);
	if (got < 0)
		buf_printf(&t.rows, "%d %s\n", f.status, f.text);
	for (size_t i = 0; in && record_bad_text(in, i); i++)
		buf_printf(&t.rows, "%s\n", record_bad_text(in, i));
	record_close(in);
	return t;
}

static int
same(const struct buf *a, const struct buf *b)
{
	return a->n == b->n && (!a->n || memcmp(a->at, b->at, a->n) == 0);
}

static void
free_told(struct told *t)
{
	buf_free(&t->rows);
	buf_free(&t->raw);
}

/* ---- claims ---- */

static size_t
draw_input(struct rng *rng, char *text)
{
	static const char *const piece[] = { "a", "b", ",", ",", "\n", "\n", "\"", "\"", "\"\"", "\r\n", "\r", " ", "1", "-2.5 3", "[1, 2]",
	    "f32:AACAPw==", "\xC3\xA9", "\xEF\xBB\xBF", "\"x,y\n\",", "\t", "\\", "\\t", "nan", "1,2\n", "1,2\n", "\"1\",\"2\"\n",
	    "\n1 ,\t2\n", "\n\"a\nb\",\"\"\"\"\n", "\n,\n" };
	size_t n = 0, n_piece = rng_below(rng, 40);

	if (rng_below(rng, 8)) {
		memcpy(text, "a,b\n", 4);
		n = 4;
	}
	while (n_piece--) {
		const char *p = piece[rng_below(rng, sizeof piece / sizeof *piece)];

		memcpy(text + n, p, strlen(p));
		n += strlen(p);
		if (!rng_below(rng, 50))
			text[n++] = '\0';
	}
	return n;
}

static void
ways_agree(int tsv, int skip_bad)
{
	size_t n_twin = 0, n_batch = 0, n_piece = 0, n_raw = 0, n_again = 0, n_row = 0;
	const char *kind = tsv ? "TSV" : "CSV";

	for (uint64_t i = 0; i < N_INPUT; i++) {
		struct rng rng = rng_at(11, i);
		char text[1024];
		size_t n = draw_input(&rng, text);

		record_options = (struct record_options){ .vec = "text", .n_thread = 1, .tsv = tsv, .skip_bad = skip_bad };
		for (char *p = text; tsv && (p = memchr(p, ',', n - (size_t)(p - text))); )
			*p = '\t';
		struct told all = read_all(text, n, 1, 1000, 0), twin = read_all(text, n, 0, 1000, 0);
		struct told one = read_all(text, n, 1, 1, 0), pieces = read_all(text, n, 1, 3, 1 + rng_below(&rng, 5));

		n_twin += same(&all.rows, &twin.rows);
		n_batch += same(&all.rows, &one.rows);
		n_piece += same(&all.rows, &pieces.rows);
		n_raw += !all.n_raw_wrong;
		/* what is passed on, read again, is passed on the same */
		struct told again = read_all(all.raw.at, all.raw.n, 1, 1000, 0);
		n_again += same(&all.raw, &again.raw);
		n_row += all.n_row;
		free_told(&all);
		free_told(&twin);
		free_told(&one);
		free_told(&pieces);
		free_told(&again);
	}
	if (!tsv)
		claim(n_twin == N_INPUT, "lines split here are split as by libcsv, and so are their errors%s", skip_bad ? ", with --skip-bad" : "");
	claim(n_batch == N_INPUT && n_row > N_INPUT / 4, "%s gives the same rows in batches of one%s", kind, skip_bad ? ", with --skip-bad" : "");
	claim(n_piece == N_INPUT, "%s gives the same rows when it comes in pieces%s", kind, skip_bad ? ", with --skip-bad" : "");
	claim(n_raw == N_INPUT, "raw cells of %s say what cells say, and make up the row%s", kind, skip_bad ? ", with --skip-bad" : "");
	claim(n_again == N_INPUT, "%s passed on reads the same again%s", kind, skip_bad ? ", with --skip-bad" : "");
}

/* Good rows with a few bytes changed, cut short, or doubled. */
static void
mutations(void)
{
	static const char good[] = "id,text,x\n1,\"say \"\"hi\"\",\nthere\",0.25 -1e-07 3\n2,plain,\"[1, 2, 3]\"\n3,,f32:AACAPwAAAEAAAEBA\n"
	    "4,\"\",1 2 3\n5, blanks ,4 5 6\n";
	size_t n_right = 0, n_row = 0;

	for (uint64_t i = 0; i < N_INPUT; i++) {
		struct rng rng = rng_at(12, i);
		char text[2 * sizeof good];
		size_t n = sizeof good - 1, at = 10 + rng_below(&rng, n - 10);

		memcpy(text, good, n);
		for (uint64_t k = 1 + rng_below(&rng, 3); k; k--)
			text[10 + rng_below(&rng, n - 10)] = (char)rng_below(&rng, 256);
		if (!rng_below(&rng, 4)) {
			memmove(text + n, text + at, n - at);
			n += n - at;
		} else if (!rng_below(&rng, 4)) {
			n = at;
		}
		record_options = (struct record_options){ .vec = "text", .n_thread = 1, .skip_bad = (int)rng_below(&rng, 2) };
		struct told all = read_all(text, n, 1, 1000, 0), twin = read_all(text, n, 0, 2, 7);

		n_right += same(&all.rows, &twin.rows) && !all.n_raw_wrong;
		n_row += all.n_row;
		free_told(&all);
		free_told(&twin);
	}
	claim(n_right == N_INPUT && n_row > N_INPUT, "rows with bytes changed are read in one way only");
}

/* Writes rows of one column, reads them again. file: a temporary name of its own. */
static struct record_out *
begin_out(const char *file, struct fault *f)
{
	static const char *const names[] = { "a", "b" };
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	fflush(stdout);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
		abort();
	close(fd);
	return record_out_open(NULL, NULL, names, 2, f);
}

static void
end_out(struct record_out *out, struct fault *f)
{
	record_out_close(out, f);
	dup2(real_stdout, STDOUT_FILENO);
}

static void
texts_return(const char *file, int tsv)
{
	static const char some[] = { 'a', ',', '"', '\n', '\r', '\t', '\\', ' ', '\0', '\xff', 'n', 't' };
	struct rng rng = rng_at(13, 0);
	static char cell[N_INPUT][2][8];
	static size_t n[N_INPUT][2];
	struct record_row r = {0};
	struct fault f;
	size_t i = 0, n_same = 0;

	record_options = (struct record_options){ .vec = "text", .n_thread = 1, .tsv = tsv };
	struct record_out *out = begin_out(file, &f);
	for (size_t k = 0; k < N_INPUT; k++) {
		record_row_begin(&r, out);
		for (int c = 0; c < 2; c++) {
			n[k][c] = rng_below(&rng, 8);
			for (size_t j = 0; j < n[k][c]; j++)
				cell[k][c][j] = some[rng_below(&rng, sizeof some)];
			record_put_text(&r, cell[k][c], n[k][c]);
		}
		record_emit(out, NULL, 0, &r, &f);
	}
	end_out(out, &f);
	struct record_in *in = record_open(1, (char *[]){ (char *)file }, &f);
	for (ptrdiff_t got; (got = record_batch(in, 7, &f)) > 0; )
		for (ptrdiff_t k = 0; k < got && i < N_INPUT; k++, i++)
			for (int c = 0; c < 2; c++) {
				struct span s = record_cell(in, (size_t)k, c);
				n_same += s.n == n[i][c] && (!s.n || memcmp(s.at, cell[i][c], s.n) == 0);
			}
	record_close(in);
	record_row_free(&r);
	claim(i == N_INPUT && n_same == 2 * N_INPUT, "any bytes written to %s come back", tsv ? "TSV" : "CSV");
}

static void
vectors_return(const char *file, const char *vec)
{
	struct rng rng = rng_at(14, 0);
	static float x[N_INPUT][33];
	float y[33];
	struct record_row r = {0};
	struct fault f;
	size_t i = 0, n_same = 0;

	record_options = (struct record_options){ .vec = vec, .n_thread = 1 };
	struct record_out *out = begin_out(file, &f);
	for (size_t k = 0; k < N_INPUT; k++) {
		for (int d = 0; d < 33; d++)
			do {
				uint32_t bits = rng_u32(&rng);
				memcpy(&x[k][d], &bits, sizeof bits);
			} while (!isfinite(x[k][d]));
		record_row_begin(&r, out);
		record_put_text(&r, "v", 1);
		record_put_vector(&r, x[k], 33);
		record_emit(out, NULL, 0, &r, &f);
	}
	end_out(out, &f);
	struct record_in *in = record_open(1, (char *[]){ (char *)file }, &f);
	for (ptrdiff_t got; (got = record_batch(in, 100, &f)) > 0; )
		for (ptrdiff_t k = 0; k < got && i < N_INPUT; k++, i++)
			n_same += record_vector(in, (size_t)k, 1, y, 33, &f) == 0 && memcmp(x[i], y, sizeof y) == 0;
	record_close(in);
	record_row_free(&r);
	claim(i == N_INPUT && n_same == N_INPUT, "any finite floats written as %s come back bit for bit", vec);
}

int
main(void)
{
	char file[SCRATCH];

	if (scratch_file(file) < 0)
		abort();
	real_stdin = dup(STDIN_FILENO);
	real_stdout = dup(STDOUT_FILENO);
	ways_agree(0, 0);
	ways_agree(0, 1);
	ways_agree(1, 0);
	ways_agree(1, 1);
	mutations();
	dup2(real_stdin, STDIN_FILENO);
	texts_return(file, 0);
	texts_return(file, 1);
	vectors_return(file, "text");
	vectors_return(file, "b64");
	unlink(file);
	return claim_n_failed != 0;
}
