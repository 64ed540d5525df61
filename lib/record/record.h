/*
 * record.h - rows on the pipe: CSV, TSV or JSON Lines out; columns found by name; passed cells untouched.
 *            The only caller of libcsv.
 *
 * A filter looks like this:
 *
 *	struct record_in *in = record_open(n_file, file, &f);
 *	int x_column = record_need(in, "x", &f);                      ... or -1: f lists the columns present
 *	struct record_out *out = record_out_open(in, NULL, names, n_name, &f);
 *	while ((n = record_batch(in, 256, &f)) > 0) {                 ... fewer when the next read would block
 *		for (size_t i = 0; i < n; i++) {
 *			record_vector(in, i, x_column, x, dim, &f) ...
 *			record_row_begin(&row, out);
 *			record_put_vector(&row, z, dim);      ... the new cells, in the order of names
 *			record_emit(out, in, i, &row, &f);    ... behind the row as it came
 *		}
 *		if (record_would_block(in))                   ... or -u
 *			record_flush(out, &f);
 *	}
 *
 * Messages read "FILE:LINE: column NAME: expected ..., got ..."; the line is the one where the row starts, as an
 * editor counts. Bad rows give EX_DATAERR and end the run; with --skip-bad they are counted and passed over.
 */
#ifndef HARE_RECORD_RECORD_H
#define HARE_RECORD_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/opt.h"

/* The options that every filter shares; opts holds their table for struct opt_program (an OPT_TABLE entry):
   -T --tsv, -J --json, --vec text|b64, --overwrite, --skip-bad, -u --unbuffered, --col ROLE=NAME[,ROLE=NAME...],
   --threads N. */
struct record_options {
	int tsv, json, overwrite, skip_bad, unbuffered;
	const char *vec;                /* "text" or "b64" */
	struct opt_list col;            /* "x=vec": the role x is the column vec */
	size_t n_thread;                /* 0: all processors; from record_open() on 1 to THREAD_MAX */
	int quiet, verbose;             /* -q, -v */
};
extern struct record_options record_options;
extern const struct opt record_opts[];

/* The column name of a role ("x", "user", "item", ... the table of records.md), after --col. Unknown roles of --col
   are a usage error, found by record_open(). */
const char *record_column_name(const char *role);

struct record_in;
/* No files, or "-": stdin. All files must have the header of the first. NULL with *f set. An input without any byte
   (no header) is EX_DATAERR; a header alone is fine. */
struct record_in *record_open(int n_file, char *const *file, struct fault *f);
void record_close(struct record_in *in);        /* NULL is allowed */

/* Index of the column that plays role: -1 with *f set to an error that lists the columns present, or, for
   record_find(), -1 if it is not there. Two columns of the same name: needing that name is an error. */
int record_need(struct record_in *in, const char *role, struct fault *f);
int record_find(struct record_in *in, const char *role);
/* The same by the name itself, without --col. */
int record_need_name(struct record_in *in, const char *name, struct fault *f);
size_t record_n_column(const struct record_in *in);
struct span record_name(const struct record_in *in, size_t column);     /* decoded */

/* Reads 1 to n_max rows, as many as are there without waiting (at least one). 0 at the end, -1 with *f set; rows
   before the bad one are returned first, the error by the next call. Rows stay until the next call. */
ptrdiff_t record_batch(struct record_in *in, size_t n_max, struct fault *f);
/* 1 if a further record_batch() would have to wait for another program: flush before it. Always 1 with -u. It may read
   ahead (a whole row, or what there is of it), so that spans of this batch are borrowed no longer. */
int record_would_block(struct record_in *in);

/* How far reading has come: rows given out, and the share of all files' bytes in [0, 1], -1 if that cannot be known. */
void record_progress(const struct record_in *in, uint64_t *n_row, double *share);
/* Called by every record_batch() that gives rows out, if it is not NULL: cmd/filter.c shows progress. */
extern void (*record_on_batch)(const struct record_in *in);

struct span record_cell(const struct record_in *in, size_t i, int column);      /* decoded; borrowed */
struct span record_raw(const struct record_in *in, size_t i);                   /* the row without its line end */
/* "FILE:LINE", in one of 4 buffers of the thread; and the parts of a position: */
const char *record_where(const struct record_in *in, size_t i);
size_t record_line(const struct record_in *in, size_t i);
uint64_t record_end_offset(const struct record_in *in, size_t i);       /* unpacked bytes of its file up to and with this row */
size_t record_end_line(const struct record_in *in, size_t i);           /* lines of its file up to and with this row */
/* Only for one file, before the first batch: go on behind a row that ended there, record_end_offset() and
   record_end_line() of it. -1: the file is shorter, or that last row has grown (EX_DATAERR), or could not be read. */
int record_skip_to(struct record_in *in, uint64_t offset, size_t n_line, struct fault *f);

/* Cells as numbers; -1 with *f set to "FILE:LINE: column NAME: ...". Safe from several threads. */
/* Decimal floats split by one blank, "[1, 2]", or "f32:" and base64 of little-endian float32; an empty cell has none.
   NaN and infinity are errors. record_vector() fills out[dim] and returns 0; another count is an error.
   record_vector_any() takes any count and returns it: the floats are in out->at, grown as needed. */
int record_vector(const struct record_in *in, size_t i, int column, float *out, size_t dim, struct fault *f);
ptrdiff_t record_vector_any(const struct record_in *in, size_t i, int column, struct buf *out, struct fault *f);
/* The same in float64: each decimal is read as the double nearest to it; f32: is exact as it is. Doubles in out->at. */
ptrdiff_t record_vector_wide(const struct record_in *in, size_t i, int column, struct buf *out, struct fault *f);
int record_number(const struct record_in *in, size_t i, int column, double *out, struct fault *f);
/* Says what is wrong with a cell in the common form; returns -1. */
int record_fault(const struct record_in *in, size_t i, int column, struct fault *f, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* For a row that the program found bad (f holds why): with --skip-bad counts and reports it and returns 0, so that
   the program goes on with the next; else -1. */
int record_bad(struct record_in *in, const struct fault *f);
size_t record_n_bad(const struct record_in *in);
/* What was wrong with the i-th bad row; NULL behind the first 10, of which alone the messages are kept. */
const char *record_bad_text(const struct record_in *in, size_t i);

struct record_out;
/* stdout gets the columns of in (NULL: none) and then names[]. A name that is there already is EX_DATAERR, or with
   --overwrite replaces that column (which is then cut from the passed ones). The header is written with the first
   row or at the end. drop: columns of in not to pass on, ended by -1; may be NULL. */
struct record_out *record_out_open(struct record_in *in, const int *drop, const char *const *names, size_t n_name, struct fault *f);

/* A row's new cells, made anywhere (one buffer a thread or a row of the batch), written in order by record_emit().
   {0} is empty; record_row_begin() clears it and remembers how out writes. */
struct record_row {
	const struct record_out *out;
	struct buf bytes;
	size_t n_cell;
	int bad_utf8;           /* a cell that JSON cannot hold; record_emit() says so */
};
void record_row_begin(struct record_row *r, const struct record_out *out);
void record_row_free(struct record_row *r);
void record_put_text(struct record_row *r, const char *at, size_t n);           /* quoted where CSV needs it */
void record_put_number(struct record_row *r, double value);                     /* shortest for double */
void record_put_float(struct record_row *r, float value);                       /* shortest for float */
void record_put_integer(struct record_row *r, int64_t value);
void record_put_vector(struct record_row *r, const float *x, size_t n);         /* as --vec says; an array in JSON */
void record_put_floats(struct record_row *r, const float *x, size_t n);         /* always decimal: weights */
void record_put_list(struct record_row *r, const struct span *items, size_t n); /* one blank between; an array in JSON */

/* Writes row i of in as it came (NULL: no passed columns) and behind it the new cells. The number of cells must be
   that of names (assert). -1: the write failed (EX_IOERR), or -J and bytes that are no UTF-8 (EX_DATAERR, where). */
int record_emit(struct record_out *out, const struct record_in *in, size_t i, const struct record_row *r, struct fault *f);
int record_flush(struct record_out *out, struct fault *f);
/* Flushes, writes the header if no row did, frees; NULL is allowed. file_stdout_close() still has to follow. */
int record_out_close(struct record_out *out, struct fault *f);

#endif
