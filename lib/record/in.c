#include "record/inside.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"

void (*record_on_batch)(const struct record_in *in);

enum next { NEXT_ROW, NEXT_WAIT, NEXT_END, NEXT_HELD };

static char *
at_position(const struct record_in *in, uint64_t position)
{
	return in->bytes + (position - in->base);
}

static void
hold(struct record_in *in, const struct fault *f)
{
	in->held = *f;
	in->is_held = 1;
}

static void
count_bad(struct record_in *in, const struct fault *f)
{
	if (in->n_bad < RECORD_N_BAD_KEPT)
		in->bad[in->n_bad] = xstrdup(f->text);
	in->n_bad++;
}

/* ---- files ---- */

static int
open_next(struct record_in *in, struct fault *f)
{
	in->source = source_open(in->file[in->n_opened], f);
	if (!in->source)
		return -1;
	in->n_opened++;
	in->at_end = 0;
	in->header_due = 1;
	in->file_start = in->line_at;
	in->n_line = 0;
	return 0;
}

/* Reads once. What came before the first byte still needed makes room for it. */
static int
fill(struct record_in *in, struct fault *f)
{
	uint64_t keep = in->n_row ? in->row[0].at : in->row_open ? in->now.at : in->line_at;
	size_t n_done = (size_t)(keep - in->base), n_kept = in->n_bytes - n_done;
	ptrdiff_t n;

	if (in->n_cap - in->n_bytes < RECORD_CHUNK) {
		if (n_done < in->n_cap / 2 || in->n_cap - n_kept < RECORD_CHUNK) {
			in->n_cap = 2 * in->n_cap + 2 * RECORD_CHUNK;
			in->bytes = xrealloc(in->bytes, in->n_cap, 1);
		}
		memmove(in->bytes, in->bytes + n_done, n_kept);
		in->base = keep;
		in->n_bytes = n_kept;
	}
	n = source_read(in->source, in->bytes + in->n_bytes, RECORD_CHUNK, f);
	if (n < 0)
		return -1;
	in->n_bytes += (size_t)n;
	in->at_end = n == 0;
	return 0;
}

/* ---- rows ---- */

/* Takes the header row out of the batch; the first file's is the one that the others must have. */
static int
take_header(struct record_in *in, struct fault *f)
{
	size_t n = in->n_cell - in->now.cell;
	const char *name = in->file_name[in->now.file];

	in->header_due = 0;
	if (in->now.file == 0) {
		buf_put(&in->header, at_position(in, in->now.at), in->now.n);
		in->name = xcalloc(n, sizeof *in->name);
		in->n_column = n;
	} else if (n != in->n_column) {
		return fault(f, EX_DATAERR, "%s: %zu columns, but %s has %zu: files of one run need the same header", name, n,
		    in->file_name[0], in->n_column);
	}
	for (size_t c = 0; c < n; c++) {
		const struct record_cell *cell = &in->cell[in->now.cell + c];
		const char *at = cell->at & RECORD_DECODED ?
		    in->decoded.at + ((cell->at & ~RECORD_DECODED) - in->decoded_base) : at_position(in, cell->at);

		if (in->now.file == 0) {
			buf_put(&in->names, at, cell->n);
			in->name[c].n = cell->n;
		} else if (cell->n != in->name[c].n || (cell->n && memcmp(at, in->name[c].at, cell->n) != 0)) {
			return fault(f, EX_DATAERR, "%s: column %zu is \"%s\", but in %s \"%s\": files of one run need the same header",
			    name, c + 1, fault_quote(at, cell->n), in->file_name[0], fault_quote(in->name[c].at, in->name[c].n));
		}
	}
	if (in->now.file == 0) {
		const char *at = buf_string(&in->names);

		for (size_t c = 0; c < n; c++) {
			in->name[c].at = at;
			at += in->name[c].n;
		}
	}
	return 0;
}

static void
forget_open_row(struct record_in *in)
{
	in->n_cell = in->now.cell;
	in->decoded.n = (size_t)(in->now.decoded - in->decoded_base);
	in->row_open = 0;
}

/* The row now is complete, its lines end at line_at. 0 if it is fine, -1 with *f set. */
static int
check_row(struct record_in *in, struct fault *f)
{
	size_t n = in->n_cell - in->now.cell;

	if (in->header_due) {
		if (in->now.n == 0)
			return fault(f, EX_DATAERR, "expected a header line, got a blank line");
		return 0;
	}
	if (n == in->n_column)
		return 0;
	if (in->now.n == 0)
		return fault(f, EX_DATAERR, "expected %zu columns, got a blank line", in->n_column);
	return fault(f, EX_DATAERR, "expected %zu column%s, got %zu", in->n_column, in->n_column == 1 ? "" : "s", n);
}

/* Tries to complete a row from the bytes in hand. 1: it is in->now with its cells; 0: more bytes are needed, or the
   file is over; -1: the row is bad, *f says why, and the next line begins another. */
static int
parse(struct record_in *in, struct fault *f)
{
	for (;;) {
		char *end = in->bytes + in->n_bytes, *line = at_position(in, in->line_at), *body_end, *line_end;
		const char *ending = "\n";
		size_t n_ending;
		int done;

		line_end = memchr(at_position(in, in->scanned), '\n', (size_t)(in->base + in->n_bytes - in->scanned));
		if (line_end) {
			body_end = line_end;
			line_end++;
		} else {
			in->scanned = in->base + in->n_bytes;
			if (!in->at_end)
				return 0;
			if (line == end) {
				if (!in->row_open)
					return 0;
				forget_open_row(in);
				record_split_reset(in);
				return fault(f, EX_DATAERR, "%s:%zu: a quote opened in this row is never closed",
				    in->file_name[in->now.file], in->now.line);
			}
			body_end = line_end = end;              /* the last line, cut short */
		}
		if (body_end > line && body_end[-1] == '\r')
			body_end--;
		if (body_end < line_end)
			ending = body_end;
		n_ending = body_end < line_end ? (size_t)(line_end - body_end) : 1;

		if (!in->row_open) {
			/* a second mark, left in place, would be the first one to the next reader */
			while (in->header_due && in->line_at == in->file_start && body_end - line >= 3 &&
			    memcmp(line, "\xEF\xBB\xBF", 3) == 0)
				line += 3;
			if (line == end)
				return 0;       /* nothing but marks: as empty as a file of no byte */
			in->now.at = in->base + (uint64_t)(line - in->bytes);
			in->now.line = in->n_line + 1;
			in->now.cell = in->n_cell;
			in->now.decoded = in->decoded_base + in->decoded.n;
			in->now.file = in->n_opened - 1;
		}
		done = record_split(in, line, (size_t)(body_end - line), ending, n_ending, f);
		in->line_at = in->scanned = in->base + (uint64_t)(line_end - in->bytes);
		in->n_line++;
		if (done == 0) {
			in->row_open = 1;
			continue;
		}
		in->row_open = 0;
		in->now.n = (size_t)(body_end - at_position(in, in->now.at));
		in->now.end_offset = in->line_at - in->file_start;
		in->now.end_line = in->n_line;
		if (done < 0)
			record_split_reset(in);
		if (done > 0 && check_row(in, f) == 0)
			return 1;
		forget_open_row(in);
		struct fault why = *f;
		fault(f, why.status, "%s:%zu: %s", in->file_name[in->now.file], in->now.line, why.text);
		return -1;
	}
}

/* Adds one row to in->row. NEXT_WAIT only if may_wait is 0. */
static enum next
next_row(struct record_in *in, int may_wait)
{
	struct fault f;

	for (;;) {
		int found;

		if (in->is_held)
			return NEXT_HELD;
		if (!in->source) {
			if (in->n_opened == in->n_file)
				return NEXT_END;
			if (open_next(in, &f) < 0) {
				hold(in, &f);
				continue;
			}
		}
		found = parse(in, &f);
		if (found > 0 && in->header_due) {
			if (take_header(in, &f) < 0)
				hold(in, &f);
			forget_open_row(in);
			if (in->now.file == 0)          /* record_open() asked for no more */
				return NEXT_END;
		} else if (found > 0) {
			in->row = xgrow(in->row, &in->n_row_cap, in->n_row + 1, sizeof *in->row);
			in->row[in->n_row++] = in->now;
			return NEXT_ROW;
		} else if (found < 0) {
			if (record_options.skip_bad && !in->header_due)
				count_bad(in, &f);
			else
				hold(in, &f);
		} else if (in->at_end) {
			if (in->header_due) {
				fault(&f, EX_DATAERR, "%s: empty input: expected a header line", in->file_name[in->n_opened - 1]);
				hold(in, &f);
				continue;
			}
			source_close(in->source);
			in->source = NULL;
		} else if (!may_wait && source_would_block(in->source)) {
			return NEXT_WAIT;
		} else if (fill(in, &f) < 0) {
			hold(in, &f);
		}
	}
}

/* Lets go of the rows given out; one that was read ahead, and cells of one in progress, move to the front. */
static void
drop_given(struct record_in *in)
{
	size_t n_left = in->n_row - in->n_given;
	const struct record_line *first = n_left ? &in->row[in->n_given] : &in->now;
	size_t cell = n_left || in->row_open ? first->cell : in->n_cell;
	uint64_t decoded = n_left || in->row_open ? first->decoded : in->decoded_base + in->decoded.n;
	size_t n_decoded = (size_t)(decoded - in->decoded_base);

	if (!in->n_given)
		return;
	for (size_t i = 0; i < n_left; i++) {
		in->row[i] = in->row[in->n_given + i];
		in->row[i].cell -= cell;
	}
	if (in->row_open)
		in->now.cell = 0;
	if (in->n_cell > cell)
		memmove(in->cell, in->cell + cell, (in->n_cell - cell) * sizeof *in->cell);
	in->n_cell -= cell;
	if (in->decoded.n > n_decoded)
		memmove(in->decoded.at, in->decoded.at + n_decoded, in->decoded.n - n_decoded);
	in->decoded.n -= n_decoded;
	in->decoded_base = decoded;
	in->n_row = n_left;
	in->n_given = 0;
}

ptrdiff_t
record_batch(struct record_in *in, size_t n_max, struct fault *f)
{
	drop_given(in);
	while (in->n_row < n_max && (!in->n_row || in->line_at - in->row[0].at < RECORD_BATCH_BYTES))
		if (next_row(in, in->n_row == 0) != NEXT_ROW)
			break;
	in->n_given = in->n_row;
	in->n_row_given += in->n_row;
	if (!in->n_row && in->is_held) {
		*f = in->held;
		return -1;
	}
	if (in->n_row && record_on_batch)
		record_on_batch(in);
	return (ptrdiff_t)in->n_row;
}

void
record_progress(const struct record_in *in, uint64_t *n_row, double *share)
{
	double here = in->source ? source_share(in->source) : in->n_opened ? 1 : 0;

	*n_row = in->n_row_given;
	/* several files count as if they were of one size: their sizes are not worth a look at each */
	*share = here < 0 ? -1 : ((double)in->n_opened - 1 + here) / (double)in->n_file;
}

int
record_would_block(struct record_in *in)
{
	if (record_options.unbuffered)
		return 1;
	if (in->n_row > in->n_given)
		return 0;
	return next_row(in, 0) == NEXT_WAIT;
}

int
record_bad(struct record_in *in, const struct fault *f)
{
	if (!record_options.skip_bad)
		return -1;
	count_bad(in, f);
	return 0;
}

size_t
record_n_bad(const struct record_in *in)
{
	return in->n_bad;
}

const char *
record_bad_text(const struct record_in *in, size_t i)
{
	return i < RECORD_N_BAD_KEPT && i < in->n_bad ? in->bad[i] : NULL;
}

/* ---- the reader as a whole ---- */

struct record_in *
record_open(int n_file, char *const *file, struct fault *f)
{
	static char *const only_stdin[] = { "-" };
	struct record_in *in;

	if (record_roles_read(f) < 0)
		return NULL;
	if (!record_options.n_thread)
		record_options.n_thread = thread_count();
	/* Scratch is taken for each thread asked for, so nobody goes on with more than can work. */
	if (record_options.n_thread > THREAD_MAX)
		record_options.n_thread = THREAD_MAX;
	if (n_file <= 0) {
		n_file = 1;
		file = only_stdin;
	}
	/* a name mistyped is told before the first row is worked on, not after the last */
	for (int i = 0; i < n_file; i++)
		if (strcmp(file[i], "-") != 0 && access(file[i], R_OK) < 0) {
			fault_errno(f, file[i], NULL);
			return NULL;
		}
	in = xcalloc(1, sizeof *in);
	in->plain = 1;
	in->n_cap = 4 * RECORD_CHUNK;
	in->bytes = xmalloc(in->n_cap, 1);
	in->n_file = (size_t)n_file;
	in->file = xcalloc(in->n_file, sizeof *in->file);
	in->file_name = xcalloc(in->n_file, sizeof *in->file_name);
	for (size_t i = 0; i < in->n_file; i++) {
		in->file[i] = xstrdup(file[i]);
		in->file_name[i] = xstrdup(strcmp(file[i], "-") == 0 ? "stdin" : file[i]);
	}
	next_row(in, 1);
	if (in->is_held) {
		*f = in->held;
		record_close(in);
		return NULL;
	}
	return in;
}

void
record_close(struct record_in *in)
{
	if (!in)
		return;
	source_close(in->source);
	record_split_reset(in);
	for (size_t i = 0; i < in->n_file; i++) {
		free(in->file[i]);
		free(in->file_name[i]);
	}
	for (size_t i = 0; i < RECORD_N_BAD_KEPT; i++)
		free(in->bad[i]);
	free(in->file);
	free(in->file_name);
	free(in->bytes);
	free(in->row);
	free(in->cell);
	free(in->name);
	buf_free(&in->decoded);
	buf_free(&in->header);
	buf_free(&in->names);
	free(in);
}

/* Reads until the byte before position is in hand, or the file is over. */
static int
have(struct record_in *in, uint64_t position, struct fault *f)
{
	while (in->base + in->n_bytes < position && !in->at_end)
		if (fill(in, f) < 0)
			return -1;
	return 0;
}

int
record_skip_to(struct record_in *in, uint64_t offset, size_t n_line, struct fault *f)
{
	const char *name = in->file_name[0];
	uint64_t last = offset - 1;             /* the byte before tells how the row there ended */
	const char *at;
	size_t n_more, n_end;

	if (in->n_file != 1 || in->n_row)
		return fault(f, EX_SOFTWARE, "%s: only one file can be read from a position, before its first row", name);
	if (offset < in->line_at)
		return fault(f, EX_DATAERR, "%s: position %llu is inside the header", name, (unsigned long long)offset);
	if (offset == in->line_at)
		return 0;
	if (last >= in->base + in->n_bytes) {
		if (source_skip_to(in->source, last, f) < 0)
			return -1;
		in->base = last;
		in->n_bytes = 0;
	}
	in->line_at = in->scanned = last;
	in->n_line = n_line;
	if (have(in, offset, f) < 0)
		return -1;
	if (in->base + in->n_bytes < offset)
		return fault(f, EX_DATAERR, "%s: ends before byte %llu, up to which it was read earlier", name,
		    (unsigned long long)offset);
	if (*at_position(in, last) == '\n') {
		in->line_at = in->scanned = offset;
		return 0;
	}
	/* The row was the last one, without a line end; that may have been written since, but not more of the row. */
	if (have(in, offset + 2, f) < 0)
		return -1;
	at = at_position(in, offset);
	n_more = (size_t)(in->base + in->n_bytes - offset);
	n_end = n_more >= 1 && at[0] == '\n' ? 1 : n_more >= 2 && at[0] == '\r' && at[1] == '\n' ? 2 : 0;
	if (n_more && !n_end)
		return fault(f, EX_DATAERR, "%s:%zu: the row has grown since it was read", name, n_line);
	in->line_at = in->scanned = offset + n_end;
	return 0;
}
