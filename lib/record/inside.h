/*
 * inside.h - what the files of this room share: the reader's buffers, and a line as cells. Not for other rooms.
 *
 *   bytes      the reader keeps the bytes of all rows of a batch, and those behind that were read ahead, in one piece
 *   positions  count the unpacked bytes of all files from the first on, so that rows stay where they are when the
 *              bytes move to make room; a file's own offset is position - file_start
 */
#ifndef HARE_RECORD_INSIDE_H
#define HARE_RECORD_INSIDE_H

#include <csv.h>

#include "base/source.h"
#include "record/record.h"

enum {
	RECORD_CHUNK = 256 << 10,       /* bytes asked for at once */
	RECORD_BATCH_BYTES = 16 << 20,  /* a batch ends when its rows have that many */
	RECORD_N_BAD_KEPT = 10,         /* messages of bad rows that are kept */
};

/* A decoded cell: bytes of the row itself, or, where they had to change (quotes, escapes), of in->decoded. */
struct record_cell {
	uint64_t at;                    /* position; RECORD_DECODED is added if it counts the decoded bytes */
	size_t n;
};
#define RECORD_DECODED ((uint64_t)1 << 63)

struct record_line {                    /* a row as it came */
	uint64_t at;                    /* position of its first byte */
	size_t n;                       /* bytes without the line end */
	uint64_t end_offset;            /* in its file, behind the line end */
	size_t line, end_line;          /* first line, counted from 1; lines of the file up to and with its last */
	size_t cell;                    /* its first one in in->cell */
	uint64_t decoded;               /* position in the decoded bytes where its own begin */
	size_t file;
};

struct record_in {
	size_t n_file, n_opened;
	char **file;                    /* [n_file], as given */
	char **file_name;               /* [n_file], as messages call them */
	struct source *source;          /* of file[n_opened - 1]; NULL before the first and behind the last */
	int at_end;                     /* the source has no more bytes */
	int header_due;                 /* the next row is the header of its file */

	char *bytes;                    /* [n_cap], of which n_bytes in hand */
	size_t n_bytes, n_cap;
	uint64_t base, file_start;      /* positions of bytes[0] and of the file's first byte */

	uint64_t line_at, scanned;      /* where the next line begins; up to where no line end was found */
	size_t n_line;                  /* lines of the file before line_at */
	int row_open;                   /* lines of the row now have been read, and it goes on */
	struct record_line now;
	struct csv_parser csv;
	int csv_open, n_csv_end;        /* rows that libcsv ended in the piece given to it */
	int plain;                      /* lines without quotes are split here and not by libcsv: the same cells */

	struct record_line *row;        /* [n_row]: the batch, n_given, and at most one that was read ahead */
	size_t n_row, n_row_cap, n_given;
	uint64_t n_row_given;           /* in all batches */
	struct record_cell *cell;
	size_t n_cell, n_cell_cap;
	struct buf decoded;
	uint64_t decoded_base;          /* position of decoded.at[0] */

	struct buf header;              /* the header line(s) as they came, without the line end */
	struct buf names;               /* the decoded names, one behind the other */
	struct span *name;              /* [n_column], into names */
	size_t n_column;

	struct fault held;              /* found behind rows that go out first */
	int is_held;
	char *bad[RECORD_N_BAD_KEPT];
	size_t n_bad;
};

/* The next line of the row in progress: body without line end, end the line end itself (at least one byte). Adds its
   cells to in->cell. 1 if the row is complete, 0 if it goes on with the next line, -1 with *f set. */
int record_split(struct record_in *in, const char *body, size_t n_body, const char *end, size_t n_end, struct fault *f);
/* After an error: the next line begins a row. */
void record_split_reset(struct record_in *in);

/* The k-th raw cell, counted from *from, the bytes at[0..n) of a row that was split without error: bytes of the cell
   with its quotes. *from goes behind the cell's delimiter. */
struct span record_raw_cell(struct span row, size_t *from, int tsv);

/* --col, understood once; later calls find it done. 0, or -1 with *f set (EX_USAGE). */
int record_roles_read(struct fault *f);

#endif
