#include "record/inside.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "json/json.h"

enum { FULL = 256 << 10 };      /* bytes that are written without being asked to */

struct record_out {
	int tsv, json, b64;
	char separator;         /* between cells: , or tab */
	size_t n_in;            /* columns of the input */
	unsigned char *is_cut;  /* [n_in]: not passed on */
	size_t n_cut, n_pass;   /* n_cut + n_pass = n_in */
	size_t n_name;
	struct span *name;      /* [n_name], into names */
	struct buf names;
	struct span *key;       /* [n_in + n_name]: "name": for JSON, into keys; cut ones are empty */
	struct buf keys;
	int header_due;
	struct buf header;      /* with its line end; none for JSON */
	struct buf bytes;       /* not written yet */
	int is_broken;          /* a write failed: nothing more is tried */
	struct fault broken;
};

/* ---- cells as text ---- */

static int
needs_quotes(const char *at, size_t n)
{
	if (n > 24)
		return memchr(at, ',', n) || memchr(at, '"', n) || memchr(at, '\n', n) || memchr(at, '\r', n);
	for (size_t i = 0; i < n; i++)
		if (at[i] == ',' || at[i] == '"' || at[i] == '\n' || at[i] == '\r')
			return 1;
	return 0;
}

static void
put_csv(struct buf *b, const char *at, size_t n)
{
	const char *end = at + n, *quote;

	if (!needs_quotes(at, n)) {
		buf_put(b, at, n);
		return;
	}
	buf_putc(b, '"');
	for (; (quote = memchr(at, '"', (size_t)(end - at))); at = quote + 1) {
		buf_put(b, at, (size_t)(quote + 1 - at));
		buf_putc(b, '"');
	}
	buf_put(b, at, (size_t)(end - at));
	buf_putc(b, '"');
}

static void
put_tsv(struct buf *b, const char *at, size_t n)
{
	size_t done = 0;

	for (size_t i = 0; i < n; i++) {
		int escape = at[i] == '\t' ? 't' : at[i] == '\n' ? 'n' : at[i] == '\r' ? 'r' : at[i] == '\\' ? '\\' : 0;

		if (!escape)
			continue;
		buf_put(b, at + done, i - done);
		buf_putc(b, '\\');
		buf_putc(b, escape);
		done = i + 1;
	}
	buf_put(b, at + done, n - done);
}

static void
put_cell(const struct record_out *out, struct buf *b, const char *at, size_t n)
{
	if (n == 0)
		return;
	if (out->tsv)
		put_tsv(b, at, n);
	else
		put_csv(b, at, n);
}

/* ---- the new cells of a row ---- */

void
record_row_begin(struct record_row *r, const struct record_out *out)
{
	r->out = out;
	buf_clear(&r->bytes);
	r->n_cell = 0;
	r->bad_utf8 = 0;
}

void
record_row_free(struct record_row *r)
{
	buf_free(&r->bytes);
	*r = (struct record_row){0};
}

/* What stands between the cell before and this one. */
static void
begin_cell(struct record_row *r)
{
	const struct record_out *out = r->out;

	assert(r->n_cell < out->n_name);
	if (r->n_cell)
		buf_putc(&r->bytes, out->separator);
	if (out->json) {
		struct span key = out->key[out->n_in + r->n_cell];

		buf_put(&r->bytes, key.at, key.n);
	}
	r->n_cell++;
}

static void
put_json_string(struct record_row *r, const char *at, size_t n)
{
	if (json_put_string(&r->bytes, n ? at : "", n) < 0 && !r->bad_utf8)
		r->bad_utf8 = (int)r->n_cell;
}

void
record_put_text(struct record_row *r, const char *at, size_t n)
{
	begin_cell(r);
	if (r->out->json)
		put_json_string(r, at, n);
	else
		put_cell(r->out, &r->bytes, at, n);
}

void
record_put_number(struct record_row *r, double value)
{
	assert(isfinite(value));
	begin_cell(r);
	buf_reserve(&r->bytes, NUM_F64_MAX);
	r->bytes.n += num_put_f64(r->bytes.at + r->bytes.n, value);
}

void
record_put_float(struct record_row *r, float value)
{
	assert(isfinite(value));
	begin_cell(r);
	buf_reserve(&r->bytes, NUM_F32_MAX);
	r->bytes.n += num_put_f32(r->bytes.at + r->bytes.n, value);
}

void
record_put_integer(struct record_row *r, int64_t value)
{
	begin_cell(r);
	buf_printf(&r->bytes, "%lld", (long long)value);
}

void
record_put_floats(struct record_row *r, const float *x, size_t n)
{
	char *p;

	begin_cell(r);
	buf_reserve(&r->bytes, n * (NUM_F32_MAX + 1) + 2);
	p = r->bytes.at + r->bytes.n;
	if (r->out->json)
		*p++ = '[';
	for (size_t i = 0; i < n; i++) {
		assert(isfinite(x[i]));
		if (i)
			*p++ = r->out->json ? ',' : ' ';
		p += num_put_f32(p, x[i]);
	}
	if (r->out->json)
		*p++ = ']';
	r->bytes.n = (size_t)(p - r->bytes.at);
}

void
record_put_vector(struct record_row *r, const float *x, size_t n)
{
	const void *from = x;
	size_t n_byte = n * sizeof *x, n_text = num_base64_size(n_byte);

	if (!r->out->b64 || r->out->json) {
		record_put_floats(r, x, n);
		return;
	}
	begin_cell(r);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	uint32_t *little = xmalloc(n, sizeof *little);

	memcpy(little, x, n_byte);
	for (size_t i = 0; i < n; i++)
		little[i] = __builtin_bswap32(little[i]);
	from = little;
#endif
	for (size_t i = 0; i < n; i++)
		assert(isfinite(x[i]));
	buf_reserve(&r->bytes, n_text + 4);
	memcpy(r->bytes.at + r->bytes.n, "f32:", 4);
	num_base64_put(r->bytes.at + r->bytes.n + 4, from, n_byte);
	r->bytes.n += n_text + 4;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	free(little);
#endif
}

void
record_put_list(struct record_row *r, const struct span *items, size_t n)
{
	struct buf joined = {0};

	begin_cell(r);
	if (r->out->json) {
		buf_putc(&r->bytes, '[');
		for (size_t i = 0; i < n; i++) {
			if (i)
				buf_putc(&r->bytes, ',');
			put_json_string(r, items[i].at, items[i].n);
		}
		buf_putc(&r->bytes, ']');
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_putc(&joined, ' ');
		buf_put(&joined, items[i].at, items[i].n);
	}
	put_cell(r->out, &r->bytes, joined.at, joined.n);
	buf_free(&joined);
}

/* ---- opening ---- */

static int
set_names(struct record_out *out, const char *const *names, size_t n_name, struct fault *f)
{
	out->n_name = n_name;
	out->name = xcalloc(n_name, sizeof *out->name);
	for (size_t i = 0; i < n_name; i++) {
		for (size_t j = 0; j < i; j++)
			if (strcmp(names[i], names[j]) == 0)
				return fault(f, EX_USAGE, "two new columns would be called \"%s\"", fault_quote(names[i], strlen(names[i])));
		buf_put(&out->names, names[i], strlen(names[i]));
	}
	for (size_t i = 0, at = 0; i < n_name; at += out->name[i++].n)
		out->name[i] = (struct span){ n_name ? out->names.at + at : NULL, strlen(names[i]) };
	return 0;
}

/* Decides which columns are passed on. */
static int
set_cuts(struct record_out *out, const struct record_in *in, const int *drop, struct fault *f)
{
	out->n_in = in ? in->n_column : 0;
	out->is_cut = xcalloc(out->n_in, 1);
	for (; in && drop && *drop >= 0; drop++)
		out->is_cut[*drop] = 1;
	for (size_t c = 0; c < out->n_in; c++) {
		for (size_t i = 0; i < out->n_name && !out->is_cut[c]; i++) {
			if (in->name[c].n != out->name[i].n || memcmp(in->name[c].at, out->name[i].at, in->name[c].n) != 0)
				continue;
			if (!record_options.overwrite)
				return fault(f, EX_DATAERR, "%s: there is a column \"%s\" already: --overwrite replaces it, --col names another",
				    in->file_name[0], fault_quote(in->name[c].at, in->name[c].n));
			out->is_cut[c] = 1;
		}
		out->n_cut += out->is_cut[c];
	}
	out->n_pass = out->n_in - out->n_cut;
	return 0;
}

static int
put_key(struct record_out *out, struct span name, size_t *end, const char *file, struct fault *f)
{
	if (json_put_string(&out->keys, name.n ? name.at : "", name.n) < 0)
		return fault(f, EX_DATAERR, "%s: the column name \"%s\" is not UTF-8, which JSON needs", file,
		    fault_quote(name.at, name.n));
	buf_putc(&out->keys, ':');
	*end = out->keys.n;
	return 0;
}

static int
set_keys(struct record_out *out, const struct record_in *in, struct fault *f)
{
	const char *file = in ? in->file_name[0] : "stdout";
	size_t n_key = out->n_in + out->n_name, *end = xcalloc(n_key, sizeof *end);
	int bad = 0;

	for (size_t c = 0; c < n_key && !bad; c++) {
		end[c] = out->keys.n;
		if (c < out->n_in && out->is_cut[c])
			continue;
		bad = put_key(out, c < out->n_in ? in->name[c] : out->name[c - out->n_in], &end[c], file, f);
		for (size_t d = 0; d < c && c < out->n_in && !bad; d++)
			if (!out->is_cut[d] && in->name[d].n == in->name[c].n && memcmp(in->name[d].at, in->name[c].at, in->name[c].n) == 0)
				bad = fault(f, EX_DATAERR, "%s: two columns are called \"%s\", which JSON cannot hold", file,
				    fault_quote(in->name[c].at, in->name[c].n));
	}
	out->key = xcalloc(n_key, sizeof *out->key);
	for (size_t c = 0, at = 0; c < n_key && !bad; at = end[c++])
		out->key[c] = (struct span){ out->keys.at + at, end[c] - at };
	free(end);
	return bad;
}

/* The cells of a row that are passed on, as they came. */
static void
put_passed(const struct record_out *out, struct buf *b, struct span row)
{
	size_t from = 0, n_put = 0;

	if (!out->n_cut) {
		buf_put(b, row.at, row.n);
		return;
	}
	for (size_t c = 0; c < out->n_in && n_put < out->n_pass; c++) {
		struct span cell = record_raw_cell(row, &from, out->tsv);

		if (out->is_cut[c])
			continue;
		if (n_put++)
			buf_putc(b, out->separator);
		buf_put(b, cell.at, cell.n);
	}
}

static void
end_row(const struct record_out *out, struct buf *b, size_t n_before)
{
	/* One empty cell alone would be a blank line, which many readers pass over. One that came so stays so. */
	if (b->n == n_before && !out->tsv && !(out->n_pass == 1 && !out->n_cut))
		buf_put(b, "\"\"", 2);
	buf_putc(b, '\n');
}

static void
make_header(struct record_out *out, const struct record_in *in)
{
	struct buf *b = &out->header;

	if (in)
		put_passed(out, b, buf_span(&in->header));
	for (size_t i = 0; i < out->n_name; i++) {
		if (i || out->n_pass)
			buf_putc(b, out->separator);
		put_cell(out, b, out->name[i].at, out->name[i].n);
	}
	end_row(out, b, 0);
}

struct record_out *
record_out_open(struct record_in *in, const int *drop, const char *const *names, size_t n_name, struct fault *f)
{
	struct record_out *out = xcalloc(1, sizeof *out);

	out->tsv = record_options.tsv;
	out->json = record_options.json;
	out->b64 = strcmp(record_options.vec, "b64") == 0;
	out->separator = out->tsv && !out->json ? '\t' : ',';
	if (set_names(out, names, n_name, f) < 0 || set_cuts(out, in, drop, f) < 0 || (out->json && set_keys(out, in, f) < 0)) {
		out->is_broken = 1;
		record_out_close(out, &(struct fault){0});
		return NULL;
	}
	if (!out->json) {
		make_header(out, in);
		out->header_due = 1;
	}
	return out;
}

/* ---- writing ---- */

static int
write_all(struct record_out *out, struct fault *f)
{
	size_t done = 0;

	while (done < out->bytes.n && !out->is_broken) {
		ssize_t n = write(STDOUT_FILENO, out->bytes.at + done, out->bytes.n - done);

		if (n >= 0) {
			done += (size_t)n;
		} else if (errno == EAGAIN) {
			poll(&(struct pollfd){ STDOUT_FILENO, POLLOUT, 0 }, 1, -1);
		} else if (errno != EINTR) {
			out->is_broken = 1;
			fault(&out->broken, EX_IOERR, "stdout: %s", strerror(errno));
		}
	}
	buf_clear(&out->bytes);
	if (out->is_broken) {
		*f = out->broken;
		return -1;
	}
	return 0;
}

static void
put_header(struct record_out *out)
{
	if (out->header_due)
		buf_put(&out->bytes, out->header.at, out->header.n);
	out->header_due = 0;
}

static int
put_json_row(struct record_out *out, const struct record_in *in, size_t i, const struct record_row *r, struct fault *f)
{
	struct buf *b = &out->bytes;
	size_t n_before = b->n;
	int n_put = 0;

	buf_putc(b, '{');
	for (size_t c = 0; in && c < out->n_in; c++) {
		struct span cell;

		if (out->is_cut[c])
			continue;
		if (n_put++)
			buf_putc(b, ',');
		buf_put(b, out->key[c].at, out->key[c].n);
		cell = record_cell(in, i, (int)c);
		if (json_put_string(b, cell.n ? cell.at : "", cell.n) < 0) {
			b->n = n_before;        /* rows before it still go out whole */
			return record_fault(in, i, (int)c, f, "bytes that are not UTF-8, which JSON needs");
		}
	}
	if (r && r->bad_utf8) {
		struct span name = out->name[r->bad_utf8 - 1];

		b->n = n_before;
		return fault(f, EX_DATAERR, "%s: column %s: bytes that are not UTF-8, which JSON needs",
		    in ? record_where(in, i) : "stdout", fault_quote(name.at, name.n));
	}
	if (r && r->n_cell) {
		if (n_put)
			buf_putc(b, ',');
		buf_put(b, r->bytes.at, r->bytes.n);
	}
	buf_put(b, "}\n", 2);
	return 0;
}

int
record_emit(struct record_out *out, const struct record_in *in, size_t i, const struct record_row *r, struct fault *f)
{
	struct buf *b = &out->bytes;
	size_t n_before;

	assert((r ? r->n_cell : 0) == out->n_name && (in || !out->n_in));
	put_header(out);
	n_before = b->n;
	if (out->json) {
		if (put_json_row(out, in, i, r, f) < 0)
			return -1;
	} else {
		if (in && out->n_in)
			put_passed(out, b, record_raw(in, i));
		if (r && r->n_cell) {
			if (out->n_pass)
				buf_putc(b, out->separator);
			if (r->bytes.n)
				buf_put(b, r->bytes.at, r->bytes.n);
		}
		end_row(out, b, n_before);
	}
	return b->n >= FULL ? write_all(out, f) : 0;
}

int
record_flush(struct record_out *out, struct fault *f)
{
	return write_all(out, f);
}

int
record_out_close(struct record_out *out, struct fault *f)
{
	int status;

	if (!out)
		return 0;
	put_header(out);
	status = write_all(out, f);
	free(out->is_cut);
	free(out->name);
	free(out->key);
	buf_free(&out->names);
	buf_free(&out->keys);
	buf_free(&out->header);
	buf_free(&out->bytes);
	free(out);
	return status;
}
