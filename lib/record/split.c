#include "record/inside.h"

#include <stdio.h>
#include <string.h>

static const char bare_return[] = "a carriage return that ends no line";

static void
add_cell(struct record_in *in, uint64_t at, size_t n)
{
	if (in->n_cell == in->n_cell_cap)
		in->cell = xgrow(in->cell, &in->n_cell_cap, in->n_cell + 1, sizeof *in->cell);
	in->cell[in->n_cell++] = (struct record_cell){ at, n };
}

static uint64_t
decoded_position(const struct record_in *in)
{
	return RECORD_DECODED | (in->decoded_base + in->decoded.n);
}

/* What messages call the k-th cell of a row. */
static const char *
cell_name(const struct record_in *in, size_t k, char name[64])
{
	if (!in->header_due && k < in->n_column)
		snprintf(name, 64, "column %s", fault_quote(in->name[k].at, in->name[k].n));
	else
		snprintf(name, 64, "cell %zu", k + 1);
	return name;
}

/* Cells that stand in the line as they are. */
static void
split_plain(struct record_in *in, const char *body, size_t n, int delimiter)
{
	const char *end = body + n;
	uint64_t at = in->base + (uint64_t)(body - in->bytes);

	for (const char *p = body, *d; ; p = d + 1) {
		d = memchr(p, delimiter, (size_t)(end - p));
		add_cell(in, at + (uint64_t)(p - body), (size_t)((d ? d : end) - p));
		if (!d)
			return;
	}
}

static int
split_tsv(struct record_in *in, const char *body, size_t n, struct fault *f)
{
	size_t first = in->n_cell;
	char name[64];

	/* at a line's end, passed on before an LF, it would be gone for the next reader */
	if (memchr(body, '\r', n))
		return fault(f, EX_DATAERR, "%s", bare_return);
	split_plain(in, body, n, '\t');
	if (!memchr(body, '\\', n))
		return 1;
	for (size_t c = first; c < in->n_cell; c++) {
		const char *from = in->bytes + (in->cell[c].at - in->base), *end = from + in->cell[c].n, *escape;
		uint64_t at = decoded_position(in);
		size_t n_before = in->decoded.n;

		if (!memchr(from, '\\', in->cell[c].n))
			continue;
		while ((escape = memchr(from, '\\', (size_t)(end - from)))) {
			int meant = escape + 1 == end ? 0 : escape[1] == 't' ? '\t' : escape[1] == 'n' ? '\n' :
			    escape[1] == 'r' ? '\r' : escape[1] == '\\' ? '\\' : 0;

			if (!meant)
				return fault(f, EX_DATAERR, "%s: expected \\t, \\n, \\r or \\\\, got \"%s\"",
				    cell_name(in, c - first, name), fault_quote(escape, escape + 1 == end ? 1 : 2));
			buf_put(&in->decoded, from, (size_t)(escape - from));
			buf_putc(&in->decoded, meant);
			from = escape + 2;
		}
		buf_put(&in->decoded, from, (size_t)(end - from));
		in->cell[c] = (struct record_cell){ at, in->decoded.n - n_before };
	}
	return 1;
}

static void
on_cell(void *bytes, size_t n, void *reader)
{
	struct record_in *in = reader;

	add_cell(in, decoded_position(in), n);
	if (n)
		buf_put(&in->decoded, bytes, n);
}

static void
on_row(int ended_by, void *reader)
{
	(void)ended_by;
	((struct record_in *)reader)->n_csv_end++;
}

/* A blank is a byte like any other: libcsv would cut those around a cell. */
static int
no_blank(unsigned char c)
{
	(void)c;
	return 0;
}

static void *
grow_csv(void *at, size_t n)
{
	return xrealloc(at, n, 1);
}

static int
split_csv(struct record_in *in, const char *body, size_t n_body, const char *end, size_t n_end, struct fault *f)
{
	struct csv_parser *csv = &in->csv;
	char name[64];

	if (!in->csv_open) {
		csv_init(csv, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL);
		csv_set_space_func(csv, no_blank);
		csv_set_realloc_func(csv, grow_csv);
		/* its own step of 128 bytes would make a cell of a megabyte 8,000 times over */
		csv_set_blk_size(csv, 32 << 10);
		in->csv_open = 1;
	}
	/* libcsv passes over line ends before a row without a word, and takes a bare return for the end of one. */
	if (n_body && body[0] == '\r' && !in->row_open)
		return fault(f, EX_DATAERR, "%s", bare_return);
	in->n_csv_end = 0;
	if (csv_parse(csv, body, n_body, on_cell, on_row, in) < n_body)
		return fault(f, EX_DATAERR, "%s: %s", cell_name(in, in->n_cell - in->now.cell, name), csv->quoted ?
		    "expected a comma or the line's end after the closing quote" : "a quote inside a cell that does not begin with one");
	if (in->n_csv_end)
		return fault(f, EX_DATAERR, "%s", bare_return);
	csv_parse(csv, end, n_end, on_cell, on_row, in);
	return in->n_csv_end > 0;
}

int
record_split(struct record_in *in, const char *body, size_t n_body, const char *end, size_t n_end, struct fault *f)
{
	if (record_options.tsv)
		return split_tsv(in, body, n_body, f);
	if (n_body == 0 && !in->row_open) {             /* to libcsv a blank line is nothing at all */
		add_cell(in, in->line_at, 0);
		return 1;
	}
	if (in->plain && !in->row_open && !memchr(body, '"', n_body) && !memchr(body, '\r', n_body)) {
		split_plain(in, body, n_body, ',');
		return 1;
	}
	return split_csv(in, body, n_body, end, n_end, f);
}

void
record_split_reset(struct record_in *in)
{
	if (in->csv_open)
		csv_free(&in->csv);
	in->csv_open = 0;
}

struct span
record_raw_cell(struct span row, size_t *from, int tsv)
{
	const char *at = row.at + *from, *end = row.at + row.n, *p = at;

	if (!tsv && p < end && *p == '"') {
		/* behind the closing quote: one that no second follows */
		for (p++; (p = memchr(p, '"', (size_t)(end - p))) && p + 1 < end && p[1] == '"'; p += 2)
			;
		p = p ? p + 1 : end;
	} else if (!(p = memchr(p, tsv ? '\t' : ',', (size_t)(end - p)))) {
		p = end;
	}
	*from = (size_t)(p - row.at) + 1;
	return (struct span){ at, (size_t)(p - at) };
}
