/* Writing: the header is made when the first byte of data comes; from then on the file grows block by block. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/opt.h"
#include "json/json.h"
#include "tensor/inside.h"

struct declared {
	char *name;
	enum tensor_type type;
	size_t n_dim, shape[TENSOR_DIM_MAX];
	size_t begin, n_byte;           /* in the data */
};

struct tensor_writer {
	char *path;
	struct file_out *out;
	struct buf meta;                /* members of __metadata__ */
	struct buf keys;                /* their names, each ended by NUL */
	struct declared *tensor;        /* [n_tensor], padding among them */
	size_t n_tensor, n_tensor_cap, n_pad;
	size_t n_data;                  /* bytes declared so far */
	size_t n_put;                   /* bytes of data that came, padding included */
	size_t i_tensor;                /* the one that the next byte belongs to */
	int frozen, wrong;
	struct fault why;               /* set if wrong: a name or a text that JSON cannot hold */
	unsigned char *block;           /* [TENSOR_BLOCK], the bytes behind the last full block */
	uint64_t *sum;                  /* [1 + n_block + 1] */
	size_t n_block;
};

struct tensor_writer *
tensor_create(const char *path, const char *kind, struct fault *f)
{
	struct file_out *out = file_out_open(path, 0666, f);

	if (!out)
		return NULL;
	struct tensor_writer *w = xcalloc(1, sizeof *w);
	w->path = xstrdup(path);
	w->out = out;
	tensor_set_meta(w, "format", "pt");
	tensor_set_meta(w, "hare", "%s", kind);
	tensor_set_meta(w, "version", "%d", TENSOR_VERSION);
	tensor_set_meta(w, "writer", "hare " HARE_VERSION);
	return w;
}

static void
free_writer(struct tensor_writer *w)
{
	for (size_t i = 0; i < w->n_tensor; i++)
		free(w->tensor[i].name);
	buf_free(&w->meta);
	buf_free(&w->keys);
	free(w->tensor);
	free(w->block);
	free(w->sum);
	free(w->path);
	free(w);
}

void
tensor_abort(struct tensor_writer *w)
{
	if (!w)
		return;
	file_out_abort(w->out);
	free_writer(w);
}

static void
is_wrong(struct tensor_writer *w, const char *what, const char *name)
{
	if (!w->wrong)
		fault(&w->why, EX_DATAERR, "%s: %s \"%s\"", w->path, what, fault_quote(name, strlen(name)));
	w->wrong = 1;
}

static int
has_key(const struct tensor_writer *w, const char *key)
{
	for (size_t i = 0; i < w->keys.n; i += strlen(w->keys.at + i) + 1)
		if (strcmp(w->keys.at + i, key) == 0)
			return 1;
	return 0;
}

void
tensor_set_meta(struct tensor_writer *w, const char *key, const char *format, ...)
{
	va_list ap, again;

	assert(!w->frozen && !has_key(w, key));
	buf_put(&w->keys, key, strlen(key) + 1);

	va_start(ap, format);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	char *text = xmalloc((size_t)n + 1, 1);
	vsnprintf(text, (size_t)n + 1, format, again);
	va_end(again);
	if (w->meta.n > 0)
		buf_putc(&w->meta, ',');
	if (json_put_string(&w->meta, key, strlen(key)) < 0)
		is_wrong(w, "expected a name in UTF-8, got", key);
	buf_putc(&w->meta, ':');
	if (json_put_string(&w->meta, text, (size_t)n) < 0)
		is_wrong(w, "expected text in UTF-8, got", text);
	free(text);
}

static void
declare(struct tensor_writer *w, const char *name, enum tensor_type type, size_t n_dim, const size_t *shape)
{
	w->tensor = xgrow(w->tensor, &w->n_tensor_cap, w->n_tensor + 1, sizeof *w->tensor);
	struct declared *d = &w->tensor[w->n_tensor++];

	*d = (struct declared){ .name = xstrdup(name), .type = type, .n_dim = n_dim, .begin = w->n_data };
	d->n_byte = tensor_type_size(type);
	for (size_t i = 0; i < n_dim; i++) {
		d->shape[i] = shape[i];
		if (__builtin_mul_overflow(d->n_byte, shape[i], &d->n_byte))
			is_wrong(w, "too large a tensor", name);
	}
	if (d->n_byte > INT64_MAX / 2 - w->n_data) {
		is_wrong(w, "too large a tensor", name);
		d->n_byte = 0;
	}
	w->n_data += d->n_byte;
}

/* Up to the next multiple of TENSOR_ALIGN, as a tensor of its own: safetensors allows no holes. */
static void
pad(struct tensor_writer *w)
{
	size_t n = -w->n_data % TENSOR_ALIGN;
	char name[32];

	if (n == 0)
		return;
	snprintf(name, sizeof name, "pad.%zu", w->n_pad++);
	declare(w, name, TENSOR_U8, 1, &n);
}

void
tensor_declare(struct tensor_writer *w, const char *name, enum tensor_type type, size_t n_dim, const size_t *shape)
{
	assert(!w->frozen && n_dim <= TENSOR_DIM_MAX && type != TENSOR_ANY);
	if (strncmp(name, "pad.", 4) == 0 || strcmp(name, TENSOR_SUM_NAME) == 0 || strcmp(name, "__metadata__") == 0)
		is_wrong(w, "a tensor cannot have the name", name);
	for (size_t i = 0; i < w->n_tensor; i++)
		if (strcmp(w->tensor[i].name, name) == 0)
			is_wrong(w, "two tensors of the name", name);
	pad(w);
	declare(w, name, type, n_dim, shape);
}

static void
put_number(struct buf *b, size_t n)
{
	buf_printf(b, "%zu", n);
}

/* Size, header and blanks up to a multiple of TENSOR_ALIGN; its checksum is the first. */
static int
freeze(struct tensor_writer *w, struct fault *f)
{
	struct buf b = {0};
	int r = 0;

	pad(w);
	size_t n_checked = w->n_data;
	w->n_block = (n_checked + TENSOR_BLOCK - 1) / TENSOR_BLOCK;
	declare(w, TENSOR_SUM_NAME, TENSOR_U64, 1, (size_t[]){ w->n_block + 2 });
	w->sum = xcalloc(w->n_block + 2, sizeof *w->sum);
	w->block = xaligned(TENSOR_BLOCK, 1);
	w->frozen = 1;

	buf_put(&b, "\0\0\0\0\0\0\0\0", 8);
	buf_puts(&b, "{\"__metadata__\":{");
	buf_put(&b, w->meta.at, w->meta.n);
	buf_putc(&b, '}');
	for (size_t i = 0; i < w->n_tensor; i++) {
		const struct declared *d = &w->tensor[i];
		buf_putc(&b, ',');
		if (json_put_string(&b, d->name, strlen(d->name)) < 0) {
			is_wrong(w, "expected a name in UTF-8, got", d->name);
			break;
		}
		buf_printf(&b, ":{\"dtype\":\"%s\",\"shape\":[", tensor_type_name(d->type));
		for (size_t k = 0; k < d->n_dim; k++) {
			if (k > 0)
				buf_putc(&b, ',');
			put_number(&b, d->shape[k]);
		}
		buf_puts(&b, "],\"data_offsets\":[");
		put_number(&b, d->begin);
		buf_putc(&b, ',');
		put_number(&b, d->begin + d->n_byte);
		buf_puts(&b, "]}");
	}
	buf_putc(&b, '}');
	while (b.n % TENSOR_ALIGN != 0)
		buf_putc(&b, ' ');
	uint64_t n_json = b.n - 8;
	memcpy(b.at, &n_json, sizeof n_json);
	if (!w->wrong && n_json > TENSOR_HEADER_MAX)
		is_wrong(w, "a header beyond 100 MB in", w->path);
	w->sum[0] = hash64(b.at, b.n, 0);
	if (w->wrong) {
		*f = w->why;
		r = -1;
	} else
		r = file_out_write(w->out, b.at, b.n, f);
	buf_free(&b);
	return r;
}

/* Bytes on their way to the file; each full block is hashed and written. */
static int
put_bytes(struct tensor_writer *w, const void *at, size_t n_byte, struct fault *f)
{
	const unsigned char *s = at;

	while (n_byte > 0) {
		size_t i_block = w->n_put / TENSOR_BLOCK, used = w->n_put % TENSOR_BLOCK, n = TENSOR_BLOCK - used;
		const unsigned char *block = w->block;
		if (n > n_byte)
			n = n_byte;
		if (n == TENSOR_BLOCK)
			block = s;      /* whole blocks need no copy */
		else
			memcpy(w->block + used, s, n);
		w->n_put += n;
		s += n;
		n_byte -= n;
		if (used + n == TENSOR_BLOCK) {
			w->sum[1 + i_block] = hash64(block, TENSOR_BLOCK, 0);
			if (file_out_write(w->out, block, TENSOR_BLOCK, f) < 0)
				return -1;
		}
	}
	return 0;
}

/* Steps over tensors that are full, and fills padding. */
static int
go_on(struct tensor_writer *w, struct fault *f)
{
	static const unsigned char zero[TENSOR_ALIGN];

	for (; w->i_tensor + 1 < w->n_tensor; w->i_tensor++) {          /* the last is the checksums */
		const struct declared *d = &w->tensor[w->i_tensor];
		if (strncmp(d->name, "pad.", 4) == 0) {
			if (w->n_put == d->begin && put_bytes(w, zero, d->n_byte, f) < 0)
				return -1;
		} else if (w->n_put < d->begin + d->n_byte)
			break;
	}
	return 0;
}

int
tensor_put(struct tensor_writer *w, const void *at, size_t n_byte, struct fault *f)
{
	const char *s = at;

	if (!w->frozen && freeze(w, f) < 0)
		return -1;
	while (n_byte > 0) {
		if (go_on(w, f) < 0)
			return -1;
		assert(w->i_tensor + 1 < w->n_tensor);  /* else more was put than declared */
		const struct declared *d = &w->tensor[w->i_tensor];
		size_t n = d->begin + d->n_byte - w->n_put;
		if (n > n_byte)
			n = n_byte;
		if (put_bytes(w, s, n, f) < 0)
			return -1;
		s += n;
		n_byte -= n;
	}
	return 0;
}

void
tensor_set_meta_file(struct tensor_writer *w, const struct tensor_file *old)
{
	static const char *const own[] = { "format", "hare", "version", "writer" };
	const char *key, *value;

	for (size_t i = 0; tensor_meta_at(old, i, &key, &value); i++) {
		int is_own = has_key(w, key);
		for (size_t k = 0; k < sizeof own / sizeof *own; k++)
			is_own |= strcmp(key, own[k]) == 0;
		if (!is_own)
			tensor_set_meta(w, key, "%s", value);
	}
}

void
tensor_declare_file(struct tensor_writer *w, const struct tensor_file *old)
{
	struct tensor t;

	assert(w->n_tensor == 0);
	for (size_t i = 0; i < tensor_count(old); i++) {
		tensor_about(old, i, &t);
		tensor_declare(w, tensor_name(old, i), t.type, t.n_dim, t.shape);
	}
}

/* The first n bytes of the data, a multiple of the block. Their checksums come along, so damage in them stays what it was.
   copy_file_range(2) would spare a copy, but between files without common blocks it leaves the new one in small pages. */
static int
copy_blocks(struct tensor_writer *w, struct tensor_file *old, size_t n, struct fault *f)
{
	int from = tensor_reopen(old), r = 0;
	struct stat st;

	/* who may read it stays as it was */
	if (from >= 0) {
		if (fstat(from, &st) == 0 && fchmod(file_out_fd(w->out), st.st_mode & 0777) < 0 && errno != EPERM)
			r = fault_errno(f, w->path, "cannot set its mode");
		close(from);
	}
	if (r < 0 || file_out_write(w->out, tensor_data(old), n, f) < 0)
		return -1;
	for (size_t i = 0; i < n / TENSOR_BLOCK; i++)
		w->sum[1 + i] = tensor_sum(old, i);
	w->n_put = n;
	return 0;
}

int
tensor_put_file(struct tensor_writer *w, struct tensor_file *old, struct fault *f)
{
	size_t n_data = tensor_n_data(old), n_copied = n_data / TENSOR_BLOCK * TENSOR_BLOCK;
	const char *data = tensor_data(old);

	if (!w->frozen && freeze(w, f) < 0)
		return -1;
	assert(w->n_put == 0);
	/* tensors of old were declared first and by the same rules, so they lie where they lay */
	for (size_t i = 0, k = 0; i < tensor_count(old); i++, k++) {
		while (strncmp(w->tensor[k].name, "pad.", 4) == 0)
			k++;
		if (strcmp(w->tensor[k].name, tensor_name(old, i)) != 0 || w->tensor[k].begin != tensor_begin(old, i))
			return fault(f, EX_DATAERR, "%s: damaged: tensor %s is not where it belongs", tensor_path(old),
			    tensor_name(old, i));
	}
	if (copy_blocks(w, old, n_copied, f) < 0 || tensor_verify(old, data + n_copied, n_data - n_copied, f) < 0)
		return -1;
	return put_bytes(w, data + n_copied, n_data - n_copied, f);
}

int
tensor_commit(struct tensor_writer *w, struct fault *f)
{
	int r = w->frozen ? 0 : freeze(w, f);

	if (r == 0)
		r = go_on(w, f);
	if (r == 0) {
		assert(w->i_tensor + 1 == w->n_tensor);         /* else less was put than declared */
		size_t used = w->n_put % TENSOR_BLOCK;
		if (used > 0)
			w->sum[w->n_block] = hash64(w->block, used, 0);
		w->sum[w->n_block + 1] = hash64(w->sum, (w->n_block + 1) * sizeof *w->sum, 0);
		r = file_out_write(w->out, w->block, used, f);
		if (r == 0)
			r = file_out_write(w->out, w->sum, (w->n_block + 2) * sizeof *w->sum, f);
	}
	if (r == 0)
		r = file_out_commit(w->out, f);
	else
		file_out_abort(w->out);
	free_writer(w);
	return r;
}
