/* NPY: "\x93NUMPY", version, size of the header, a Python dictionary, the numbers.
   Source: NEP 1, A simple file format for NumPy arrays; numpy.lib.format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tensor/inside.h"

enum { NPY_MAGIC = 6, NPY_HEADER = 128, NPY_BUFFER = 1 << 18 };
static const char magic[NPY_MAGIC + 1] = "\x93NUMPY";

/* -- reading -- */
struct npy {
	char *path;
	struct file_map map;
	struct tensor data;             /* at borrowed from map, or own */
	void *aligned;
	size_t n_row, n_col;
};

struct cursor {
	const char *at, *end;
};

static void
skip_blank(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
		c->at++;
}

static int
take(struct cursor *c, const char *token)
{
	size_t n = strlen(token);

	skip_blank(c);
	if ((size_t)(c->end - c->at) < n || memcmp(c->at, token, n) != 0)
		return 0;
	c->at += n;
	return 1;
}

static int
take_string(struct cursor *c, struct span *s)
{
	char quote;

	skip_blank(c);
	if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
		return 0;
	quote = *c->at++;
	s->at = c->at;
	while (c->at < c->end && *c->at != quote && *c->at != '\\')
		c->at++;
	if (c->at == c->end || *c->at != quote)
		return 0;
	s->n = (size_t)(c->at++ - s->at);
	return 1;
}

static int
take_shape(struct cursor *c, size_t *n_dim, size_t *shape)
{
	*n_dim = 0;
	if (!take(c, "("))
		return 0;
	while (!take(c, ")")) {
		size_t n = 0, n_digit = 0;
		skip_blank(c);
		for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++, n_digit++)
			if (__builtin_mul_overflow(n, (size_t)10, &n) || __builtin_add_overflow(n, (size_t)(*c->at - '0'), &n))
				return 0;
		if (n_digit == 0 || *n_dim == TENSOR_DIM_MAX)
			return 0;
		shape[(*n_dim)++] = n;
		if (!take(c, ",")) {
			if (!take(c, ")"))
				return 0;
			break;
		}
	}
	return 1;
}

static int
read_dictionary(struct npy *a, struct cursor c, struct fault *f)
{
	struct span key, descr = {0};
	int has_descr = 0, has_order = 0, has_shape = 0, fortran = 0, ok = take(&c, "{");
	size_t n_dim = 0, shape[TENSOR_DIM_MAX];

	while (ok && !take(&c, "}")) {
		ok = take_string(&c, &key) && take(&c, ":");
		if (ok && span_is(key, "descr") && !has_descr) {
			skip_blank(&c);
			if (c.at < c.end && *c.at == '[')
				return fault(f, EX_DATAERR, "%s: expected numbers of type <f4, got records", a->path);
			ok = has_descr = take_string(&c, &descr);
		} else if (ok && span_is(key, "fortran_order") && !has_order) {
			has_order = 1;
			fortran = take(&c, "True");
			ok = fortran || take(&c, "False");
		} else if (ok && span_is(key, "shape") && !has_shape)
			ok = has_shape = take_shape(&c, &n_dim, shape);
		else
			ok = 0;
		if (ok && !take(&c, ",")) {
			ok = take(&c, "}");
			break;
		}
	}
	skip_blank(&c);
	if (!ok || c.at != c.end || !has_descr || !has_order || !has_shape)
		return fault(f, EX_DATAERR, "%s: damaged NPY header", a->path);

	if (span_is(descr, "<f4"))
		a->data.type = TENSOR_F32;
	else if (span_is(descr, "<f8"))
		a->data.type = TENSOR_F64;
	else if (span_is(descr, "<f2"))
		a->data.type = TENSOR_F16;
	else
		return fault(f, EX_DATAERR, "%s: expected numbers of type <f4, <f8 or <f2, got %s", a->path,
		    fault_quote(descr.at, descr.n));
	if (n_dim != 1 && n_dim != 2)
		return fault(f, EX_DATAERR, "%s: expected an array of 1 or 2 dimensions, got %zu", a->path, n_dim);
	if (fortran)
		return fault(f, EX_DATAERR, "%s: expected an array in C order, got Fortran order", a->path);
	a->n_row = n_dim == 2 ? shape[0] : 1;
	a->n_col = shape[n_dim - 1];
	return 0;
}

static int
read_npy(struct npy *a, struct fault *f)
{
	const unsigned char *s = a->map.at;
	size_t n_size, n_dict, n_value, n_byte;

	if (a->map.n < 10 || memcmp(s, magic, NPY_MAGIC) != 0)
		return fault(f, EX_DATAERR, "%s: not an NPY file", a->path);
	if (s[6] < 1 || s[6] > 3 || s[7] != 0)
		return fault(f, EX_DATAERR, "%s: NPY version %d.%d is not known", a->path, s[6], s[7]);
	n_size = s[6] == 1 ? 2 : 4;
	n_dict = (size_t)s[8] | (size_t)s[9] << 8;
	if (n_size == 4 && a->map.n >= 12)
		n_dict |= (size_t)s[10] << 16 | (size_t)s[11] << 24;
	size_t n_header = 8 + n_size + n_dict;
	if (n_header > a->map.n)
		return fault(f, EX_DATAERR, "%s: cut off: header of %zu bytes in a file of %zu", a->path, n_header, a->map.n);
	struct cursor c = { (const char *)s + 8 + n_size, (const char *)s + n_header };
	if (read_dictionary(a, c, f) < 0)
		return -1;
	if (__builtin_mul_overflow(a->n_row, a->n_col, &n_value) ||
	    __builtin_mul_overflow(n_value, tensor_type_size(a->data.type), &n_byte) || n_byte != a->map.n - n_header)
		return fault(f, EX_DATAERR, "%s: cut off or damaged: header says %zu x %zu numbers of %zu bytes, body has %zu bytes",
		    a->path, a->n_row, a->n_col, tensor_type_size(a->data.type), a->map.n - n_header);
	a->data.at = s + n_header;
	if (n_byte > 0 && (uintptr_t)a->data.at % tensor_type_size(a->data.type) != 0) {
		/* a header that another program did not pad */
		a->aligned = xaligned(n_byte, 1);
		memcpy(a->aligned, a->data.at, n_byte);
		a->data.at = a->aligned;
	}
	a->data.n_byte = n_byte;
	return 0;
}

struct npy *
npy_open(const char *path, size_t *n_row, size_t *n_col, struct fault *f)
{
	struct npy *a = xcalloc(1, sizeof *a);

	a->path = xstrdup(path);
	if (file_map_open(&a->map, path, f) < 0) {
		a->map = (struct file_map){0};
		npy_close(a);
		return NULL;
	}
	if (read_npy(a, f) < 0) {
		npy_close(a);
		return NULL;
	}
	*n_row = a->n_row;
	*n_col = a->n_col;
	return a;
}

void
npy_close(struct npy *a)
{
	if (!a)
		return;
	if (a->map.at)
		file_map_close(&a->map);
	free(a->aligned);
	free(a->path);
	free(a);
}

void
npy_rows(const struct npy *a, size_t from, size_t n, float *out)
{
	tensor_to_f32(&a->data, from * a->n_col, n * a->n_col, out);
}

int
npy_read(const char *path, float **at, size_t *n_row, size_t *n_col, struct fault *f)
{
	struct npy *a = npy_open(path, n_row, n_col, f);

	if (!a)
		return -1;
	*at = xmalloc(*n_row * *n_col, sizeof **at);
	npy_rows(a, 0, *n_row, *at);
	npy_close(a);
	return 0;
}

/* -- writing -- */
struct npy_writer {
	char *path;
	struct file_out *out;
	size_t n_row, n_col;
	struct buf rows;                /* not yet written */
};

/* Of fixed size, so that it can be written again when the number of rows is known. */
static void
put_header(char out[NPY_HEADER], size_t n_row, size_t n_col)
{
	char text[NPY_HEADER];
	int n = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n_row, n_col);

	memset(out, ' ', NPY_HEADER);
	memcpy(out, magic, NPY_MAGIC);
	memcpy(out + NPY_MAGIC, "\1\0", 2);
	out[8] = NPY_HEADER - 10;
	out[9] = 0;
	memcpy(out + 10, text, (size_t)n);
	out[NPY_HEADER - 1] = '\n';
}

struct npy_writer *
npy_create(const char *path, size_t n_col, struct fault *f)
{
	char header[NPY_HEADER];
	struct file_out *out = file_out_open(path, 0666, f);

	if (!out)
		return NULL;
	struct npy_writer *w = xcalloc(1, sizeof *w);
	w->path = xstrdup(path);
	w->out = out;
	w->n_col = n_col;
	put_header(header, 0, n_col);
	if (tensor_write(file_out_fd(out), path, header, sizeof header, f) < 0) {
		npy_abort(w);
		return NULL;
	}
	return w;
}

static int
flush(struct npy_writer *w, struct fault *f)
{
	int r = tensor_write(file_out_fd(w->out), w->path, w->rows.at, w->rows.n, f);

	buf_clear(&w->rows);
	return r;
}

int
npy_put(struct npy_writer *w, const float *rows, size_t n_row, struct fault *f)
{
	size_t n_byte = n_row * w->n_col * sizeof *rows;

	w->n_row += n_row;
	if (w->rows.n + n_byte > NPY_BUFFER && flush(w, f) < 0)
		return -1;
	if (n_byte > NPY_BUFFER)
		return tensor_write(file_out_fd(w->out), w->path, rows, n_byte, f);
	if (n_byte > 0)
		buf_put(&w->rows, rows, n_byte);
	return 0;
}

static void
free_writer(struct npy_writer *w)
{
	buf_free(&w->rows);
	free(w->path);
	free(w);
}

int
npy_commit(struct npy_writer *w, struct fault *f)
{
	char header[NPY_HEADER];
	int fd = file_out_fd(w->out), r = flush(w, f);

	put_header(header, w->n_row, w->n_col);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = fault_errno(f, w->path, "cannot write");
	if (r == 0)
		r = tensor_write(fd, w->path, header, sizeof header, f);
	if (r == 0)
		r = file_out_commit(w->out, f);
	else
		file_out_abort(w->out);
	free_writer(w);
	return r;
}

void
npy_abort(struct npy_writer *w)
{
	if (!w)
		return;
	file_out_abort(w->out);
	free_writer(w);
}

int
npy_write(const char *path, const float *at, size_t n_row, size_t n_col, struct fault *f)
{
	struct npy_writer *w = npy_create(path, n_col, f);

	if (!w)
		return -1;
	if (npy_put(w, at, n_row, f) < 0) {
		npy_abort(w);
		return -1;
	}
	return npy_commit(w, f);
}
