#include "record/inside.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

/* ---- columns ---- */

/* -1 if it is not there, -2 if it is there twice. */
static int
find(const struct record_in *in, const char *name)
{
	int found = -1;

	for (size_t c = 0; c < in->n_column; c++)
		if (span_is(in->name[c], name)) {
			if (found >= 0)
				return -2;
			found = (int)c;
		}
	return found;
}

int
record_need_name(struct record_in *in, const char *name, struct fault *f)
{
	int c = find(in, name);
	struct buf list = {0};
	size_t i;

	if (c >= 0)
		return c;
	if (c == -2)
		return fault(f, EX_DATAERR, "%s: two columns are called \"%s\"", in->file_name[0], fault_quote(name, strlen(name)));
	for (i = 0; i < in->n_column && list.n < 400; i++)
		buf_printf(&list, "%s%s", i ? ", " : "", fault_quote(in->name[i].at, in->name[i].n));
	if (i < in->n_column)
		buf_printf(&list, " and %zu more", in->n_column - i);
	fault(f, EX_DATAERR, "%s: no column \"%s\": the column%s %s", in->file_name[0], fault_quote(name, strlen(name)),
	    in->n_column == 1 ? " is" : "s are", buf_string(&list));
	buf_free(&list);
	return -1;
}

int
record_need(struct record_in *in, const char *role, struct fault *f)
{
	return record_need_name(in, record_column_name(role), f);
}

int
record_find(struct record_in *in, const char *role)
{
	return find(in, record_column_name(role));
}

size_t
record_n_column(const struct record_in *in)
{
	return in->n_column;
}

struct span
record_name(const struct record_in *in, size_t column)
{
	return in->name[column];
}

/* ---- rows and cells as bytes ---- */

struct span
record_cell(const struct record_in *in, size_t i, int column)
{
	const struct record_cell *cell = &in->cell[in->row[i].cell + (size_t)column];

	if (cell->at & RECORD_DECODED)
		return (struct span){ in->decoded.at + ((cell->at & ~RECORD_DECODED) - in->decoded_base), cell->n };
	return (struct span){ in->bytes + (cell->at - in->base), cell->n };
}

struct span
record_raw(const struct record_in *in, size_t i)
{
	return (struct span){ in->bytes + (in->row[i].at - in->base), in->row[i].n };
}

const char *
record_where(const struct record_in *in, size_t i)
{
	static _Thread_local char ring[4][640];
	static _Thread_local unsigned turn;
	char *out = ring[turn++ % 4];

	/* of a path too long for one line of a message the end says more than the beginning */
	const char *name = in->file_name[in->row[i].file];
	size_t n = strlen(name), n_most = 600;

	snprintf(out, sizeof ring[0], "%s%s:%zu", n > n_most ? "..." : "", n > n_most ? name + n - n_most : name, in->row[i].line);
	return out;
}

size_t
record_line(const struct record_in *in, size_t i)
{
	return in->row[i].line;
}

size_t
record_end_line(const struct record_in *in, size_t i)
{
	return in->row[i].end_line;
}

uint64_t
record_end_offset(const struct record_in *in, size_t i)
{
	return in->row[i].end_offset;
}

int
record_fault(const struct record_in *in, size_t i, int column, struct fault *f, const char *format, ...)
{
	char what[sizeof f->text];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof what, format, ap);
	va_end(ap);
	if (column < 0)
		return fault(f, EX_DATAERR, "%s: %s", record_where(in, i), what);
	return fault(f, EX_DATAERR, "%s: column %s: %s", record_where(in, i),
	    fault_quote(in->name[column].at, in->name[column].n), what);
}

/* ---- numbers ---- */

/* What stands at p instead of a number, up to a byte of stops. */
static int
no_number(const struct record_in *in, size_t i, int column, const char *p, const char *end, const char *stops, struct fault *f)
{
	size_t n = 0;

	while (p + n < end && (!p[n] || !strchr(stops, p[n])))
		n++;
	if (n == 0 && p == end)
		return record_fault(in, i, column, f, "expected a number, got the cell's end");
	if (n == 0)
		return record_fault(in, i, column, f, "expected a number, got \"%s\"", fault_quote(p, (size_t)(end - p)));
	return record_fault(in, i, column, f, "\"%s\" is not a number", fault_quote(p, n));
}

/* Where the numbers of a cell go: into an array of exactly dim, or into one that grows. */
struct sink {
	float *out;
	size_t n, n_cap;
	struct buf *grow;       /* NULL: n_cap is all there is, and more are counted only */
};

static inline float *
next_place(struct sink *s, float *over)
{
	if (s->n == s->n_cap) {
		if (!s->grow) {
			s->n++;
			s->n_cap++;
			return over;
		}
		s->grow->n = s->n * sizeof(float);
		buf_reserve(s->grow, s->n * sizeof(float) + 64 * sizeof(float));
		s->out = (float *)s->grow->at;
		s->n_cap = s->grow->n_cap / sizeof(float);
	}
	return &s->out[s->n++];
}

/* "1 2 3" */
static int
read_plain(const struct record_in *in, size_t i, int column, struct span cell, struct sink *s, struct fault *f)
{
	const char *p = cell.at, *end = p + cell.n;
	float over;

	for (;;) {
		size_t n = num_scan_f32(p, end, s->n < s->n_cap ? &s->out[s->n++] : next_place(s, &over));

		if (!n || (p + n < end && p[n] != ' '))
			return no_number(in, i, column, p, end, " ", f);
		p += n;
		if (p == end)
			return 0;
		p++;
	}
}

/* "[1, 2, 3]": one comma between, blanks anywhere around */
static int
read_bracketed(const struct record_in *in, size_t i, int column, struct span cell, struct sink *s, struct fault *f)
{
	const char *p = cell.at + 1, *end = cell.at + cell.n;
	float over;

	if (end[-1] != ']')
		return record_fault(in, i, column, f, "expected a ] at the end, got \"%s\"", fault_quote(cell.at, cell.n));
	end--;
	while (p < end && *p == ' ')
		p++;
	if (p == end)
		return 0;
	for (;;) {
		size_t n = num_scan_f32(p, end, next_place(s, &over));

		if (!n || (p + n < end && p[n] != ' ' && p[n] != ','))
			return no_number(in, i, column, p, end, " ,]", f);
		for (p += n; p < end && *p == ' '; )
			p++;
		if (p == end)
			return 0;
		if (*p != ',')
			return record_fault(in, i, column, f, "expected a comma between numbers in brackets, got \"%s\"",
			    fault_quote(p, (size_t)(end - p)));
		for (p++; p < end && *p == ' '; )
			p++;
	}
}

/* "f32:" and base64 of n float32, little-endian */
static int
read_base64(const struct record_in *in, size_t i, int column, struct span cell, struct sink *s, struct fault *f)
{
	const char *text = cell.at + 4;
	size_t n_text = cell.n - 4, n_pad = 0, n_byte, n;

	while (n_pad < 2 && n_pad < n_text && text[n_text - 1 - n_pad] == '=')
		n_pad++;
	n_byte = n_text / 4 * 3 - (n_text >= 4 ? n_pad : 0);
	n = n_byte / sizeof(float);
	if (n_text % 4 != 0 || n_byte % sizeof(float) != 0)
		return record_fault(in, i, column, f, "f32: %zu characters of base64 hold no whole number of floats", n_text);
	if (s->grow) {
		s->grow->n = 0;
		buf_reserve(s->grow, n_text / 4 * 3 + 1);
		s->out = (float *)s->grow->at;
	} else if (n != s->n_cap) {
		s->n = n;               /* the caller tells what was expected */
		return 0;
	}
	s->n = n;
	if (num_base64_read(s->out, text, n_text) != (ptrdiff_t)n_byte)
		return record_fault(in, i, column, f, "f32: not base64");
	for (size_t k = 0; k < n; k++) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		uint32_t bits;

		memcpy(&bits, &s->out[k], sizeof bits);
		bits = __builtin_bswap32(bits);
		memcpy(&s->out[k], &bits, sizeof bits);
#endif
		if (!isfinite(s->out[k]))
			return record_fault(in, i, column, f, "f32: number %zu is %s", k + 1, isnan(s->out[k]) ? "NaN" : "infinite");
	}
	return 0;
}

static int
read_vector(const struct record_in *in, size_t i, int column, struct sink *s, struct fault *f)
{
	struct span cell = record_cell(in, i, column);

	if (cell.n == 0)
		return 0;
	if (cell.at[0] == '[')
		return read_bracketed(in, i, column, cell, s, f);
	if (cell.n >= 4 && memcmp(cell.at, "f32:", 4) == 0)
		return read_base64(in, i, column, cell, s, f);
	return read_plain(in, i, column, cell, s, f);
}

int
record_vector(const struct record_in *in, size_t i, int column, float *out, size_t dim, struct fault *f)
{
	struct sink s = { out, 0, dim, NULL };

	if (read_vector(in, i, column, &s, f) < 0)
		return -1;
	if (s.n != dim)
		return record_fault(in, i, column, f, "expected %zu number%s, got %zu", dim, dim == 1 ? "" : "s", s.n);
	return 0;
}

ptrdiff_t
record_vector_any(const struct record_in *in, size_t i, int column, struct buf *out, struct fault *f)
{
	struct sink s = { (float *)out->at, 0, out->n_cap / sizeof(float), out };

	if (read_vector(in, i, column, &s, f) < 0)
		return -1;
	out->n = s.n * sizeof(float);
	return (ptrdiff_t)s.n;
}

int
record_number(const struct record_in *in, size_t i, int column, double *out, struct fault *f)
{
	struct span cell = record_cell(in, i, column);

	if (num_read_f64(cell.at, cell.n, out) < 0)
		return record_fault(in, i, column, f, "\"%s\" is not a number", fault_quote(cell.at, cell.n));
	return 0;
}
