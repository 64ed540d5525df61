/*
 * Rows read and passed on: the quiet corners of CSV and TSV, vectors, positions, and what comes out.
 * Small inputs are files in a temporary folder; the output is stdout itself, turned into a file meanwhile.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "claim.h"
#include "record/record.h"
#include "scratch.h"

static char folder[SCRATCH];
static int real_stdout;

/* ---- a filter in one call ---- */

struct run {
	int status;             /* EX_OK or the fault's */
	char fault[sizeof ((struct fault *)0)->text];
	char *out;
	size_t n_out, n_row, n_bad;
	char bad[256];          /* the first message of --skip-bad */
};
static struct run got;

static char *
in_folder(const char *name)
{
	static char path[4][300];
	static int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof path[0], "%s/%s", folder, name);
	return p;
}

static void
write_file(const char *name, const void *at, size_t n)
{
	FILE *to = fopen(in_folder(name), "wb");

	if (!to || fwrite(at, 1, n, to) != n || fclose(to) != 0)
		abort();
}

static void
stdout_to(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	fflush(stdout);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
		abort();
	close(fd);
}

static void
stdout_back(void)
{
	dup2(real_stdout, STDOUT_FILENO);
}

static void
read_out(void)
{
	FILE *from = fopen(in_folder("out"), "rb");

	free(got.out);
	got.out = xcalloc(16 << 20, 1);
	got.n_out = fread(got.out, 1, (16 << 20) - 1, from);
	fclose(from);
}

static void
options(void)
{
	record_options = (struct record_options){ .vec = "text", .n_thread = 1 };
}

/* Passes the files on; with a column name, adds its vectors as a new column "new". */
static void
pass(int n_file, char *const *file, size_t n_batch, const char *vector, const char *new_name)
{
	struct fault f = {0};
	struct record_in *in = record_open(n_file, file, &f);
	struct record_out *out = NULL;
	struct record_row row = {0};
	struct buf x = {0};
	ptrdiff_t n = -1;
	int c = -1;

	got.n_row = got.n_bad = 0;
	got.bad[0] = '\0';
	stdout_to(in_folder("out"));
	if (in && (!vector || (c = record_need(in, vector, &f)) >= 0))
		out = record_out_open(in, NULL, &new_name, vector ? 1 : 0, &f);
	while (out && (n = record_batch(in, n_batch, &f)) > 0) {
		for (size_t i = 0; i < (size_t)n; i++) {
			record_row_begin(&row, out);
			if (vector) {
				ptrdiff_t dim = record_vector_any(in, i, c, &x, &f);

				if (dim < 0 && record_bad(in, &f) == 0)
					continue;
				if (dim < 0) {
					n = -1;
					break;
				}
				record_put_vector(&row, (float *)x.at, (size_t)dim);
			}
			if (record_emit(out, in, i, &row, &f) < 0) {
				n = -1;
				break;
			}
			got.n_row++;
		}
		if (n < 0)
			break;
	}
	got.status = n < 0 ? f.status : EX_OK;
	if (record_out_close(out, &f) < 0 && got.status == EX_OK)
		got.status = f.status;
	snprintf(got.fault, sizeof got.fault, "%s", got.status == EX_OK ? "" : f.text);
	if (in) {
		got.n_bad = record_n_bad(in);
		if (record_bad_text(in, 0))
			snprintf(got.bad, sizeof got.bad, "%s", record_bad_text(in, 0));
	}
	record_close(in);
	record_row_free(&row);
	buf_free(&x);
	stdout_back();
	read_out();
}

static void
pass_bytes(const void *at, size_t n)
{
	write_file("in.csv", at, n);
	pass(1, (char *[]){ in_folder("in.csv") }, 100, NULL, NULL);
}

static int
out_is(const char *at, size_t n)
{
	return got.n_out == n && memcmp(got.out, at, n) == 0;
}

/* Inputs as string literals, which may hold NUL. */
#define WRITE(name, s) write_file(name, s, sizeof(s) - 1)
#define PASS(s) pass_bytes(s, sizeof(s) - 1)
#define OUT_IS(s) (got.status == EX_OK && out_is(s, sizeof(s) - 1))
static int
fault_is(int status, const char *what)
{
	char whole[512];

	snprintf(whole, sizeof whole, "%s%s", in_folder("in.csv"), what);
	if (got.status == status && strcmp(got.fault, whole) == 0)
		return 1;
	printf("# %d %s\n", got.status, got.fault);
	return 0;
}

/* ---- claims ---- */

static void
passing(void)
{
	static const struct { const char *what, *in; size_t n; } same[] = {
#define SAME(what, s) { what, s, sizeof(s) - 1 }
		SAME("quoted and plain cells", "a,b\n\"x\",x\n\"\",\n"),
		SAME("blanks around cells", "a,b\n x ,\t y\t\n\" q \", \n"),
		SAME("quotes and newlines in cells", "a,b\n\"one\ntwo\",\"say \"\"hi\"\"\"\n\"\"\"\",\"\n\n\"\n"),
		SAME("commas in quotes", "a,b\n\"1,2\",\",\"\n"),
		SAME("NUL bytes", "a,b\n\0,x\0y\n\"\0\",\"\0\n\0\"\n"),
		SAME("bytes that are no UTF-8", "a,b\n\xff\xfe,\xc3\n"),
		SAME("a return inside quotes", "a,b\n\"x\ry\r\nz\",1\n"),
		SAME("a header alone", "a,b\n"),
		SAME("a header with a newline in a name", "\"a\nb\",c\n1,2\n"),
		SAME("two columns of one name", "a,a\n1,2\n"),
		SAME("a blank line in a file of one column", "a\n\nx\n\n"),
		SAME("empty names", ",\n,\n"),
	};

	options();
	for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
		pass_bytes(same[i].in, same[i].n);
		claim(got.status == EX_OK && out_is(same[i].in, same[i].n), "%s pass byte for byte", same[i].what);
	}
	PASS("\xEF\xBB\xBF" "a,b\r\n1,2\r\n\"x\r\ny\",z\r\n");
	claim(OUT_IS("a,b\n1,2\n\"x\r\ny\",z\n"), "a byte order mark and CRLF are read and not written");
	PASS("\xEF\xBB\xBF\xEF\xBB\xBF" "a,b\n1,2\n");
	claim(OUT_IS("a,b\n1,2\n"), "two marks are read like one");
	PASS("\xEF\xBB\xBF\"a\",b\n\xEF\xBB\xBFx,1\n");
	claim(OUT_IS("\"a\",b\n\xEF\xBB\xBFx,1\n"), "a mark before a quoted name goes, one in a later row stays");
	PASS("a,b\n1,2\n3,\"4\"");
	claim(OUT_IS("a,b\n1,2\n3,\"4\"\n"), "a last row without a line end is a row");
	PASS("a,b\n1,2\n3,4\r");
	claim(OUT_IS("a,b\n1,2\n3,4\n"), "a file cut between CR and LF ends in a row");
}

static void
long_cells(void)
{
	struct buf b = {0};
	size_t n_plain;

	buf_puts(&b, "a,b\n1,");
	for (int i = 0; i < 1 << 20; i++)
		buf_putc(&b, 'a' + i % 26);
	buf_puts(&b, "\n");
	n_plain = b.n;
	buf_puts(&b, "2,\"");
	for (int i = 0; i < 1 << 18; i++)
		buf_puts(&b, "x\"\"\n");
	buf_puts(&b, "\"\n");
	options();
	pass_bytes(b.at, b.n);
	claim(got.n_row == 2 && out_is(b.at, b.n), "cells of a megabyte, plain and quoted with newlines, pass");
	b.n = n_plain;
	for (int i = 0; i < 20000; i++)
		buf_printf(&b, "%d,y\n", i);
	pass_bytes(b.at, b.n);
	claim(got.n_row == 20001 && out_is(b.at, b.n), "rows behind a long one pass");
	b.n = 0;
	for (int r = 0; r < 3; r++)
		for (int i = 0; i < 100000; i++)
			buf_printf(&b, "%d%c", i, i < 99999 ? ',' : '\n');
	pass_bytes(b.at, b.n);
	claim(got.n_row == 2 && out_is(b.at, b.n), "a hundred thousand columns pass");
	buf_free(&b);
}

static void
bad_input(void)
{
	options();
	PASS("");
	claim(fault_is(EX_DATAERR, ": empty input: expected a header line"), "an empty input is told");
	PASS("\xEF\xBB\xBF");
	claim(fault_is(EX_DATAERR, ": empty input: expected a header line"), "so is one of a byte order mark alone");
	PASS("\na,b\n");
	claim(fault_is(EX_DATAERR, ":1: expected a header line, got a blank line"), "a blank line is no header");
	PASS("a,b,c\n1,2,3\n1,2\n");
	claim(fault_is(EX_DATAERR, ":3: expected 3 columns, got 2") && out_is("a,b,c\n1,2,3\n", 12),
	    "a ragged row is named by its line; rows before it are out");
	PASS("a,b\n\"x\ny\",1\n1,2,3\n");
	claim(fault_is(EX_DATAERR, ":4: expected 2 columns, got 3"), "lines are counted as an editor does");
	PASS("a,b\n1,2\n\n3,4\n");
	claim(fault_is(EX_DATAERR, ":3: expected 2 columns, got a blank line"), "a blank line is a bad row where there are two columns");
	PASS("a,b\n1,2\n3,\"4\n5,6\n");
	claim(fault_is(EX_DATAERR, ":3: a quote opened in this row is never closed"), "an unclosed quote is named by the row it is in");
	PASS("a,b\n\"b\"c,1\n");
	claim(fault_is(EX_DATAERR, ":2: column a: expected a comma or the line's end after the closing quote"),
	    "\"b\"c is an error of its line");
	PASS("a,b\n1,x\"y\"\n");
	claim(fault_is(EX_DATAERR, ":2: column b: a quote inside a cell that does not begin with one"), "a stray quote is an error");
	PASS("a,b\n1, \"y\"\n");
	claim(got.status == EX_DATAERR, "a blank before a quote is an error too");
	PASS("a,b\n1\r2,3\n");
	claim(fault_is(EX_DATAERR, ":2: a carriage return that ends no line"), "a bare carriage return is an error");
	PASS("a,b\n\r1,2\n");
	claim(got.status == EX_DATAERR, "also where libcsv would not mention it");
	PASS("a,b\n1,2\r\r\n");
	claim(got.status == EX_DATAERR, "also before CRLF");
	PASS("a\rb\n");
	claim(fault_is(EX_DATAERR, ":1: a carriage return that ends no line"), "also in the header");

	record_options.skip_bad = 1;
	PASS("a,b\n1\n\"x\"y,z\n3,4\n5,6,7\n\n8,9\n");
	claim(OUT_IS("a,b\n3,4\n8,9\n") && got.n_bad == 4, "--skip-bad passes bad rows over and counts them");
	claim(strstr(got.bad, ":2: expected 2 columns, got 1") != NULL, "and keeps what was wrong");
	PASS("a,b\n1,2\n\"never\n3,4\n");
	claim(OUT_IS("a,b\n1,2\n") && got.n_bad == 1, "with --skip-bad too, an unclosed quote takes the rest of the file");
	PASS("a,b\n1,\"x\ny\"z,1\n3,4\n");
	claim(OUT_IS("a,b\n3,4\n") && got.n_bad == 1, "reading goes on behind the line of a quoting error");
	PASS("a\"b\n1\n");
	claim(got.status == EX_DATAERR, "a bad header is not skipped");

	options();
	pass(1, (char *[]){ in_folder("missing.csv") }, 10, NULL, NULL);
	claim(got.status == EX_NOINPUT && strstr(got.fault, "missing.csv: No such file"), "a missing file is 66");
	pass(1, (char *[]){ folder }, 10, NULL, NULL);
	claim(got.status == EX_NOINPUT, "a folder is 66");
}

static void
tsv(void)
{
	options();
	record_options.tsv = 1;
	PASS("a\tb\nx\\ty\t\\\\n\\n\r\n\"q\"\t,\n");
	claim(OUT_IS("a\tb\nx\\ty\t\\\\n\\n\n\"q\"\t,\n"), "TSV passes byte for byte; quotes and commas mean nothing in it");
	PASS("a\tb\n1\t2\r\r\n");
	claim(fault_is(EX_DATAERR, ":2: a carriage return that ends no line"), "a bare carriage return is an error in TSV too");
	PASS("a\tb\n1\t\\x\n");
	claim(fault_is(EX_DATAERR, ":2: column b: expected \\t, \\n, \\r or \\\\, got \"\\x\""), "an unknown escape is an error");
	PASS("a\tb\n1\\\t2\n");
	claim(fault_is(EX_DATAERR, ":2: column a: expected \\t, \\n, \\r or \\\\, got \"\\\""), "so is a lone backslash");
}

static void
several_files(void)
{
	char *file[2];

	options();
	WRITE("1.csv", "a,b\n1,2\n3,4");
	WRITE("2.csv", "\xEF\xBB\xBF\"a\",b\r\n5,6\n7\n");
	file[0] = xstrdup(in_folder("1.csv"));
	file[1] = xstrdup(in_folder("2.csv"));
	pass(2, file, 10, NULL, NULL);
	claim(out_is("a,b\n1,2\n3,4\n5,6\n", 16) && got.n_row == 3, "files with the same names in their headers are read as one");
	claim(strstr(got.fault, "2.csv:3: expected 2 columns, got 1") != NULL, "a bad row is named by its own file and line");
	WRITE("2.csv", "a,c\n5,6\n");
	pass(2, file, 10, NULL, NULL);
	claim(got.status == EX_DATAERR && strstr(got.fault, "2.csv: column 2 is \"c\", but in ") && strstr(got.fault, "1.csv \"b\""),
	    "another header is an error that names both files");
	pass(2, (char *[]){ file[0], in_folder("missing.csv") }, 10, NULL, NULL);
	claim(got.status == EX_NOINPUT && got.n_row == 0, "a later file that is missing is told before the first row");
	free(file[0]);
	free(file[1]);
}

static void
columns(void)
{
	struct fault f;
	struct record_in *in;
	struct buf b = {0};

	options();
	WRITE("in.csv", "id,\"ti,tle\",x,x\n");
	in = record_open(1, (char *[]){ in_folder("in.csv") }, &f);
	claim(record_need(in, "id", &f) == 0 && record_need_name(in, "ti,tle", &f) == 1 && record_find(in, "user") == -1,
	    "columns are found by their decoded names");
	claim(record_need(in, "user", &f) == -1 && f.status == EX_DATAERR &&
	    strstr(f.text, ": no column \"user\": the columns are id, ti,tle, x, x"), "a missing column is told with those present");
	claim(record_need(in, "x", &f) == -1 && strstr(f.text, "two columns are called \"x\""), "a name that is there twice cannot be asked for");
	record_close(in);
	for (int i = 0; i < 3000; i++)
		buf_printf(&b, "column%d%c", i, i < 2999 ? ',' : '\n');
	write_file("in.csv", b.at, b.n);
	in = record_open(1, (char *[]){ in_folder("in.csv") }, &f);
	claim(record_need(in, "user", &f) == -1 && strlen(f.text) < 700 && strstr(f.text, " more"), "a long list of columns is cut");
	record_close(in);
	buf_free(&b);
}

/* One vector cell as CSV: the numbers read, or -1. */
static ptrdiff_t
vector_of(const char *cell, size_t dim, float *x, struct fault *f)
{
	struct buf b = {0}, any = {0};
	struct record_in *in;
	ptrdiff_t n;

	buf_printf(&b, "id,x\n1,\"%s\"\n", cell);
	write_file("in.csv", b.at, b.n);
	buf_free(&b);
	in = record_open(1, (char *[]){ in_folder("in.csv") }, f);
	record_batch(in, 1, f);
	f->text[0] = '\0';
	if (dim) {
		n = record_vector(in, 0, 1, x, dim, f);
	} else if ((n = record_vector_any(in, 0, 1, &any, f)) > 0) {
		memcpy(x, any.at, (size_t)n * sizeof *x);
	}
	record_close(in);
	buf_free(&any);
	return n;
}

static int
vector_fault(const char *cell, size_t dim, const char *what)
{
	struct fault f;
	float x[600];
	char whole[512];

	snprintf(whole, sizeof whole, "%s:2: column x: %s", in_folder("in.csv"), what);
	if (vector_of(cell, dim, x, &f) == -1 && f.status == EX_DATAERR && strcmp(f.text, whole) == 0)
		return 1;
	printf("# %s\n", f.text);
	return 0;
}

static void
vectors(void)
{
	static const char *const same[] = { "1 2.5 -3e-07", "[1, 2.5, -3e-07]", "[1,2.5,-3e-07]", "[ 1 , 2.5 ,  -3e-07 ]",
	    "f32:AACAPwAAIECwD6G0", "+1 2.50 -.3e-6" };
	struct fault f;
	struct buf many = {0};
	float x[600];

	options();
	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		claim(vector_of(same[i], 0, x, &f) == 3 && x[0] == 1 && x[1] == 2.5f && x[2] == -3e-07f &&
		    vector_of(same[i], 3, x, &f) == 0 && x[2] == -3e-07f, "the vector 1 2.5 -3e-07 is read from %s", same[i]);
	claim(vector_of("", 0, x, &f) == 0 && vector_of("[]", 0, x, &f) == 0 && vector_of("f32:", 0, x, &f) == 0,
	    "an empty cell has no numbers");
	for (int i = 0; i < 500; i++)
		buf_printf(&many, "%s%d.25", i ? " " : "", i);
	claim(vector_of(buf_string(&many), 0, x, &f) == 500 && x[499] == 499.25f && vector_of(many.at, 500, x, &f) == 0 && x[0] == .25f,
	    "500 numbers are read, told how many or not");
	claim(vector_fault(many.at, 128, "expected 128 numbers, got 500"), "too many numbers are counted, not written");
	buf_free(&many);
	claim(vector_fault("1 2", 3, "expected 3 numbers, got 2") && vector_fault("", 1, "expected 1 number, got 0") &&
	    vector_fault("f32:AACAPwAAIEA=", 3, "expected 3 numbers, got 2") && vector_fault("[1]", 3, "expected 3 numbers, got 1"),
	    "a wrong dimension is told in every form");
	claim(vector_fault("0 high", 0, "\"high\" is not a number"), "a word is not a number");
	claim(vector_fault("0 nan", 0, "\"nan\" is not a number") && vector_fault("inf 0", 0, "\"inf\" is not a number") &&
	    vector_fault("1e99", 0, "\"1e99\" is not a number") && vector_fault("0x1 2", 0, "\"0x1\" is not a number"),
	    "NaN, infinity, what overflows and hexadecimal are not numbers");
	claim(vector_fault("f32:AADAfw==", 0, "f32: number 1 is NaN") && vector_fault("f32:AACAPwAAgH8=", 0, "f32: number 2 is infinite"),
	    "nor in base64");
	claim(vector_fault("f32:AACAPw", 0, "f32: 6 characters of base64 hold no whole number of floats") &&
	    vector_fault("f32:AACA", 0, "f32: 4 characters of base64 hold no whole number of floats") &&
	    vector_fault("f32:AAC*Pw==", 0, "f32: not base64"), "damaged base64 is told");
	claim(vector_fault("1,2", 0, "\"1,2\" is not a number") && vector_fault("1  2", 0, "expected a number, got \" 2\"") &&
	    vector_fault("1 ", 0, "expected a number, got the cell's end") && vector_fault(" 1", 0, "expected a number, got \" 1\"") &&
	    vector_fault("[1 2]", 0, "expected a comma between numbers in brackets, got \"2\"") &&
	    vector_fault("[1, 2", 0, "expected a ] at the end, got \"[1, 2\"") && vector_fault("[1,]", 0, "expected a number, got the cell's end"),
	    "other ways to write a list are told, not guessed at");
}

static void
written(void)
{
	struct buf b = {0};

	options();
	WRITE("in.csv", "id,x,note\n\"a,1\",1 2,\"say \"\"hi\"\"\"\nb,\"[0.1, -3]\", n \n");
	pass(1, (char *[]){ in_folder("in.csv") }, 1, "x", "new");
	claim(OUT_IS("id,x,note,new\n\"a,1\",1 2,\"say \"\"hi\"\"\",1 2\nb,\"[0.1, -3]\", n ,0.1 -3\n"),
	    "new cells stand behind the row as it came");
	pass(1, (char *[]){ in_folder("in.csv") }, 10, "x", "x");
	claim(got.status == EX_DATAERR && strstr(got.fault, "there is a column \"x\" already"), "a name that is there is not replaced unasked");
	record_options.overwrite = 1;
	pass(1, (char *[]){ in_folder("in.csv") }, 10, "x", "x");
	claim(OUT_IS("id,note,x\n\"a,1\",\"say \"\"hi\"\"\",1 2\nb, n ,0.1 -3\n"), "--overwrite cuts the old column out, exactly");
	record_options.vec = "b64";
	pass(1, (char *[]){ in_folder("in.csv") }, 10, "x", "x");
	claim(OUT_IS("id,note,x\n\"a,1\",\"say \"\"hi\"\"\",f32:AACAPwAAAEA=\nb, n ,f32:zczMPQAAQMA=\n"), "--vec b64 writes bytes as they are");
	options();
	record_options.json = 1;
	pass(1, (char *[]){ in_folder("in.csv") }, 10, "x", "new");
	claim(OUT_IS("{\"id\":\"a,1\",\"x\":\"1 2\",\"note\":\"say \\\"hi\\\"\",\"new\":[1,2]}\n"
	    "{\"id\":\"b\",\"x\":\"[0.1, -3]\",\"note\":\" n \",\"new\":[0.1,-3]}\n"), "JSON Lines: passed cells are strings, vectors arrays");
	PASS("a,b\n1,\xff\n");
	claim(fault_is(EX_DATAERR, ":2: column b: bytes that are not UTF-8, which JSON needs"), "JSON refuses what is no UTF-8 and says where");
	PASS("a,a\n1,2\n");
	claim(fault_is(EX_DATAERR, ": two columns are called \"a\", which JSON cannot hold"), "JSON refuses two columns of one name");

	options();
	record_options.overwrite = 1;
	WRITE("in.csv", "x\n1\n\n");
	pass(1, (char *[]){ in_folder("in.csv") }, 10, "x", "x");
	claim(OUT_IS("x\n1\n\"\"\n"), "a lone empty cell is written \"\", so that it is no blank line");

	/* the kinds of cells that a row can have, without an input */
	static const char *const names[] = { "t", "n,o", "f", "i", "w", "l" };
	const struct span items[] = { { "a", 1 }, { "b\"", 2 } };
	struct record_row r = {0};
	struct fault f;

	for (int json = 0; json < 2; json++) {
		options();
		record_options.json = json;
		record_options.vec = "b64";
		stdout_to(in_folder("out"));
		struct record_out *out = record_out_open(NULL, NULL, names, 6, &f);
		record_row_begin(&r, out);
		record_put_text(&r, "x\r\n", 3);
		record_put_number(&r, 0.1);
		record_put_float(&r, 0.1f);
		record_put_integer(&r, -12345678901234);
		record_put_floats(&r, (float[]){ .5f, 1 }, 2);
		record_put_list(&r, items, 2);
		record_emit(out, NULL, 0, &r, &f);
		got.status = record_out_close(out, &f);
		stdout_back();
		read_out();
		if (json)
			claim(OUT_IS("{\"t\":\"x\\r\\n\",\"n,o\":0.1,\"f\":0.1,\"i\":-12345678901234,\"w\":[0.5,1],\"l\":[\"a\",\"b\\\"\"]}\n"),
			    "cells without an input, as JSON");
		else
			claim(OUT_IS("t,\"n,o\",f,i,w,l\n\"x\r\n\",0.1,0.1,-12345678901234,0.5 1,\"a b\"\"\"\n"), "cells without an input, as CSV");
	}
	record_row_free(&r);

	options();
	WRITE("in.csv", "a,\"b,\",c\n\"1\n\"\"\",2,\n,\"3,\",4\n");
	struct record_in *three = record_open(1, (char *[]){ in_folder("in.csv") }, &f);
	stdout_to(in_folder("out"));
	struct record_out *two = record_out_open(three, (int[]){ 1, -1 }, NULL, 0, &f);
	for (ptrdiff_t n = record_batch(three, 2, &f); n > 0; n--)
		record_emit(two, three, (size_t)(2 - n), NULL, &f);
	got.status = record_out_close(two, &f);
	stdout_back();
	read_out();
	record_close(three);
	claim(OUT_IS("a,c\n\"1\n\"\"\",\n,4\n"), "a column in the middle can be left out; those around it stay as they came");

	for (int i = 0; i < 100000; i++)
		buf_puts(&b, i ? "1\n" : "a\n");
	write_file("in.csv", b.at, b.n);
	buf_free(&b);
	struct record_in *in = record_open(1, (char *[]){ in_folder("in.csv") }, &f);
	stdout_to("/dev/full");
	struct record_out *out = record_out_open(in, NULL, NULL, 0, &f);
	record_batch(in, 1, &f);
	record_emit(out, in, 0, NULL, &f);
	int flushed = record_flush(out, &f), closed = record_out_close(out, &f);
	stdout_back();
	claim(flushed == -1 && closed == -1 && f.status == EX_IOERR && strcmp(f.text, "stdout: No space left on device") == 0,
	    "a full disk is 74");
	record_close(in);
}

/* ---- where reading stands ---- */

static void
resuming(void)
{
	static const char text[] = "\xEF\xBB\xBFid,b\r\n1,\"x\n\ny\"\n2,\"\"\r\n3,z\n4,\"\"\"\"\n5,last";
	struct fault f;
	char *file = in_folder("in.csv");

	options();
	for (int packed = 0; packed < 2; packed++) {
		uint64_t at[5];
		size_t line[5], n_right = 0;
		struct record_in *in;

		if (packed) {
			gzFile z = gzopen(file, "wb");
			gzwrite(z, text, sizeof text - 1);
			gzclose(z);
		} else {
			write_file("in.csv", text, sizeof text - 1);
		}
		in = record_open(1, (char *[]){ file }, &f);
		ptrdiff_t n = record_batch(in, 10, &f);
		for (size_t i = 0; i < 5 && n == 5; i++) {
			at[i] = record_end_offset(in, i);
			line[i] = record_end_line(in, i);
		}
		claim(n == 5 && record_line(in, 1) == 5 && line[0] == 4 && at[4] == sizeof text - 1,
		    "rows know where they begin and end%s", packed ? ", in a packed file by its unpacked bytes" : "");
		record_close(in);
		for (size_t i = 0; i < 5 && n == 5; i++) {
			struct fault g;
			char want[16];

			in = record_open(1, (char *[]){ file }, &f);
			if (record_skip_to(in, at[i], line[i], &f) < 0)
				break;
			ptrdiff_t rest = record_batch(in, 10, &f);
			record_close(in);
			if (rest != 4 - (ptrdiff_t)i)
				break;
			in = record_open(1, (char *[]){ file }, &f);
			record_skip_to(in, at[i], line[i], &f);
			if (rest && record_batch(in, 1, &f) == 1) {
				snprintf(want, sizeof want, "%zu", i + 2);
				n_right += span_is(record_cell(in, 0, 0), want) && record_line(in, 0) == line[i] + 1 &&
				    record_end_offset(in, 0) == at[i + 1];
			} else {
				n_right += record_batch(in, 1, &g) == 0;
			}
			record_close(in);
		}
		claim(n_right == 5, "reading goes on behind any row%s", packed ? " of a packed file" : "");
	}
	struct record_in *in;
	uint64_t end = sizeof text - 1;
	char longer[sizeof text + 16];

	memcpy(longer, text, end);
	memcpy(longer + end, "\r\n6,new\n", 8);
	write_file("in.csv", longer, end + 8);
	in = record_open(1, (char *[]){ file }, &f);
	claim(record_skip_to(in, end, 8, &f) == 0 && record_batch(in, 10, &f) == 1 && span_is(record_cell(in, 0, 0), "6"),
	    "a line end written behind the last row since is no row");
	record_close(in);
	memcpy(longer + end, "er\n6,new\n", 9);
	write_file("in.csv", longer, end + 9);
	in = record_open(1, (char *[]){ file }, &f);
	claim(record_skip_to(in, end, 8, &f) == -1 && f.status == EX_DATAERR && strstr(f.text, "has grown"), "a last row that has grown is told");
	record_close(in);
	in = record_open(1, (char *[]){ file }, &f);
	claim(record_skip_to(in, 1000, 8, &f) == -1 && f.status == EX_DATAERR, "so is a file that has become shorter");
	record_close(in);
}

static void
pipes(void)
{
	struct fault f;
	struct record_in *in;
	int end[2], real_stdin = dup(STDIN_FILENO);

	options();
	if (pipe(end) < 0 || dup2(end[0], STDIN_FILENO) < 0)
		abort();
	close(end[0]);
#define SEND(s) (write(end[1], s, sizeof(s) - 1) == (ssize_t)(sizeof(s) - 1))
	int sent = SEND("a,b\n1,2\n3,\"");
	in = record_open(0, NULL, &f);
	claim(sent && record_batch(in, 100, &f) == 1 && span_is(record_cell(in, 0, 1), "2"), "a pipe gives the rows that are there");
	claim(record_would_block(in) == 1, "half a row more is to be waited for: what is done should be written now");
	claim(span_is(record_cell(in, 0, 0), "1") && record_line(in, 0) == 2, "looking ahead leaves the batch as it is");
	sent = SEND("4\n4\"\n5,6\n");
	claim(sent && record_would_block(in) == 0, "once the rest of the row is there it is not");
	claim(record_batch(in, 100, &f) == 2 && span_is(record_cell(in, 0, 1), "4\n4") && span_is(record_cell(in, 1, 0), "5"),
	    "rows read ahead come with the next batch");
	claim(record_would_block(in) == 1, "an open pipe without a row is to be waited for");
	close(end[1]);
	claim(record_would_block(in) == 0 && record_batch(in, 100, &f) == 0, "a closed one is not");
	record_close(in);
	dup2(real_stdin, STDIN_FILENO);
	close(real_stdin);
}

static void
renaming(void)
{
	struct fault f;
	const char *wrong[] = { "nobody=x", "x", "x=", "=x", "x=a,user" };
	const char *right[] = { "x=vec,user=who", "item=sku" };
	size_t n_told = 0;

	options();
	WRITE("in.csv", "who,vec\n");
	for (size_t i = 0; i < 5; i++) {
		record_options.col = (struct opt_list){ &wrong[i], 1 };
		n_told += !record_open(1, (char *[]){ in_folder("in.csv") }, &f) && f.status == EX_USAGE;
	}
	claim(n_told == 5, "what --col cannot mean is a usage error");
	record_options.col = (struct opt_list){ right, 2 };
	struct record_in *in = record_open(1, (char *[]){ in_folder("in.csv") }, &f);
	claim(in && record_need(in, "x", &f) == 1 && record_find(in, "user") == 0 && strcmp(record_column_name("item"), "sku") == 0 &&
	    strcmp(record_column_name("query"), "query") == 0, "--col gives roles other names");
	record_close(in);
}

int
main(void)
{
	if (scratch_folder(folder) < 0)
		abort();
	real_stdout = dup(STDOUT_FILENO);
	passing();
	long_cells();
	bad_input();
	tsv();
	several_files();
	columns();
	vectors();
	written();
	resuming();
	pipes();
	renaming();
	const char *left[] = { "in.csv", "out", "1.csv", "2.csv" };
	for (size_t i = 0; i < 4; i++)
		unlink(in_folder(left[i]));
	rmdir(folder);
	free(got.out);
	return claim_n_failed != 0;
}
