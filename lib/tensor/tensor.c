/* Reading: nothing in the file is believed before it was held against the file's size or a checksum. */
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "json/json.h"
#include "tensor/inside.h"

struct entry {
	char *name, *dtype;
	enum tensor_type type;          /* TENSOR_ANY: a dtype or a number of dimensions that we do not read */
	size_t n_dim, shape[TENSOR_DIM_MAX];
	size_t begin, end;              /* in the data */
	size_t i_header;                /* where the header lists it, for a stable order */
	int hidden;                     /* padding and checksums of our own files */
	void *aligned;                  /* copy of a tensor that another writer put at an odd place */
};

struct meta {
	char *key, *value;
};

struct tensor_file {
	char *path;
	struct file_map map;
	int is_within;                  /* map is part of another file's */
	const unsigned char *data;
	size_t n_header, n_data;        /* n_header + n_data = map.n */
	struct entry *entry;            /* [n_entry], in the order of the data */
	size_t n_entry, n_entry_cap;
	size_t *shown, n_shown;         /* entries that are not hidden */
	struct meta *meta;
	size_t n_meta, n_meta_cap;
	const uint64_t *sum;            /* [n_block], NULL: a file without checksums */
	size_t n_checked, n_block;      /* bytes of data that sum covers */
	atomic_uchar *block;            /* [n_block], what is known of them: UNSEEN, BUSY or GOOD */
	pthread_mutex_t lock;           /* for entry[].aligned */
};

/* The shape of one tensor, and that its bytes are as many as the shape says. */
static int
read_shape(struct tensor_file *t, struct entry *e, const struct json *shape, size_t n_bit, struct fault *f)
{
	size_t n_bits = n_bit;

	if (!json_is_array(shape))
		return fault(f, EX_DATAERR, "%s: damaged header: tensor %s has no shape", t->path, e->name);
	e->n_dim = json_count(shape);
	if (e->n_dim > TENSOR_DIM_MAX)
		e->type = TENSOR_ANY;
	for (size_t i = 0; i < e->n_dim; i++) {
		int64_t n = json_integer(json_at(shape, i), -1);
		if (n < 0 || __builtin_mul_overflow(n_bits, (size_t)n, &n_bits))
			return fault(f, EX_DATAERR, "%s: damaged header: tensor %s has an impossible shape", t->path, e->name);
		if (i < TENSOR_DIM_MAX)
			e->shape[i] = (size_t)n;
	}
	if (n_bits % 8 != 0 || n_bits / 8 != e->end - e->begin)
		return fault(f, EX_DATAERR, "%s: damaged header: tensor %s needs %zu bytes by its shape and has %zu",
		    t->path, e->name, n_bits / 8, e->end - e->begin);
	return 0;
}

static int
read_entry(struct tensor_file *t, const char *name, const struct json *j, struct fault *f)
{
	t->entry = xgrow(t->entry, &t->n_entry_cap, t->n_entry + 1, sizeof *t->entry);
	struct entry *e = &t->entry[t->n_entry];
	*e = (struct entry){ .name = xstrdup(name), .i_header = t->n_entry };
	t->n_entry++;

	struct span dtype = json_string(json_get(j, "dtype"));
	e->dtype = xstrndup(dtype.n ? dtype.at : "", dtype.n);
	size_t n_bit = tensor_type_of(e->dtype, strlen(e->dtype), &e->type);
	if (n_bit == 0)
		return fault(f, EX_DATAERR, "%s: damaged header: tensor %s has the unknown type \"%s\"", t->path, name,
		    fault_quote(e->dtype, strlen(e->dtype)));
	const struct json *offsets = json_get(j, "data_offsets");
	int64_t begin = json_integer(json_at(offsets, 0), -1), end = json_integer(json_at(offsets, 1), -1);
	if (json_count(offsets) != 2 || begin < 0 || end < begin)
		return fault(f, EX_DATAERR, "%s: damaged header: tensor %s has no valid data_offsets", t->path, name);
	if ((uint64_t)end > t->n_data)
		return fault(f, EX_DATAERR, "%s: cut off or damaged: tensor %s ends at byte %llu, the file at %zu", t->path,
		    name, (unsigned long long)end + t->n_header, t->map.n);
	e->begin = (size_t)begin;
	e->end = (size_t)end;
	return read_shape(t, e, json_get(j, "shape"), n_bit, f);
}

static int
read_meta(struct tensor_file *t, const struct json *j, struct fault *f)
{
	struct json_member m = {0};

	if (!json_is_object(j))
		return fault(f, EX_DATAERR, "%s: damaged header: __metadata__ is no object", t->path);
	while (json_next(j, &m)) {
		struct span value = json_string(m.value);
		if (!json_is_string(m.value) || memchr(value.at, '\0', value.n))
			return fault(f, EX_DATAERR, "%s: damaged header: metadata %s is no text", t->path, m.key);
		t->meta = xgrow(t->meta, &t->n_meta_cap, t->n_meta + 1, sizeof *t->meta);
		t->meta[t->n_meta++] = (struct meta){ xstrdup(m.key), xstrndup(value.at, value.n) };
	}
	return 0;
}

static int
by_place(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return x->i_header < y->i_header ? -1 : 1;
}

static int
read_header(struct tensor_file *t, struct fault *f)
{
	uint64_t n_json;
	struct json_member m = {0};
	int r = 0;

	if (t->map.n < sizeof n_json)
		return fault(f, EX_DATAERR, "%s: not a safetensors file: it has %zu bytes", t->path, t->map.n);
	memcpy(&n_json, t->map.at, sizeof n_json);
	if (n_json > TENSOR_HEADER_MAX)
		return fault(f, EX_DATAERR, "%s: not a safetensors file: its first 8 bytes are no header size", t->path);
	if (n_json > t->map.n - sizeof n_json)
		return fault(f, EX_DATAERR, "%s: cut off or not a safetensors file: header of %zu bytes in a file of %zu",
		    t->path, (size_t)n_json, t->map.n);
	t->n_header = sizeof n_json + (size_t)n_json;
	t->n_data = t->map.n - t->n_header;
	t->data = t->map.at + t->n_header;

	struct buf what = {0};
	buf_printf(&what, "%s: damaged header", t->path);
	struct json *header = json_read((const char *)t->map.at + sizeof n_json, (size_t)n_json, buf_string(&what), f);
	buf_free(&what);
	if (!header)
		return -1;
	if (!json_is_object(header))
		r = fault(f, EX_DATAERR, "%s: damaged header: it is no JSON object", t->path);
	while (r == 0 && json_next(header, &m)) {
		if (strcmp(m.key, "__metadata__") == 0)
			r = read_meta(t, m.value, f);
		else
			r = read_entry(t, m.key, m.value, f);
	}
	json_free(header);
	if (r < 0)
		return -1;

	/* Every byte of the data belongs to one tensor: no overlaps, no holes, no tail. */
	if (t->n_entry > 0)
		qsort(t->entry, t->n_entry, sizeof *t->entry, by_place);
	size_t end = 0;
	for (size_t i = 0; i < t->n_entry; i++) {
		if (t->entry[i].begin != end)
			return fault(f, EX_DATAERR, "%s: damaged header: tensor %s begins at byte %zu of the data, expected %zu",
			    t->path, t->entry[i].name, t->entry[i].begin, end);
		end = t->entry[i].end;
	}
	if (end != t->n_data)
		return fault(f, EX_DATAERR, "%s: damaged: the header accounts for %zu bytes, the file has %zu", t->path,
		    t->n_header + end, t->map.n);
	return 0;
}

/* Our own files end in checksums: those of the header and of themselves must be right at once. */
static int
read_sums(struct tensor_file *t, struct fault *f)
{
	struct entry *e = t->n_entry > 0 ? &t->entry[t->n_entry - 1] : NULL;

	if (!e || strcmp(e->name, TENSOR_SUM_NAME) != 0 || e->type != TENSOR_U64 || e->n_dim != 1 ||
	    (t->n_header + e->begin) % TENSOR_ALIGN != 0)
		return fault(f, EX_DATAERR, "%s: damaged: its checksums are missing", t->path);
	size_t n_block = (e->begin + TENSOR_BLOCK - 1) / TENSOR_BLOCK;
	if (e->shape[0] != n_block + 2)
		return fault(f, EX_DATAERR, "%s: damaged: %zu checksums, expected %zu", t->path, e->shape[0], n_block + 2);
	const uint64_t *sum = (const void *)(t->data + e->begin);
	if (hash64(sum, (n_block + 1) * sizeof *sum, 0) != sum[n_block + 1])
		return fault(f, EX_DATAERR, "%s: damaged: the checksums do not match their own", t->path);
	if (hash64(t->map.at, t->n_header, 0) != sum[0])
		return fault(f, EX_DATAERR, "%s: damaged: the header does not match its checksum", t->path);
	t->sum = sum + 1;
	t->n_block = n_block;
	t->n_checked = e->begin;
	t->block = xcalloc(n_block ? n_block : 1, sizeof *t->block);
	for (size_t i = 0; i < t->n_entry; i++)
		t->entry[i].hidden = i + 1 == t->n_entry || strncmp(t->entry[i].name, "pad.", 4) == 0;
	return 0;
}

/* Right sums prove no good will: what is verified and copied where it lies must lie as we write it. */
static int
check_places(const struct tensor_file *t, struct fault *f)
{
	for (size_t i = 0; i < t->n_entry; i++) {
		const struct entry *e = &t->entry[i];
		if (!e->hidden && (e->type == TENSOR_ANY || (t->n_header + e->begin) % TENSOR_ALIGN != 0))
			return fault(f, EX_DATAERR, "%s: damaged header: tensor %s, %s of %zu dimensions at byte %zu, is none that hare writes",
			    t->path, e->name, e->dtype, e->n_dim, t->n_header + e->begin);
	}
	return 0;
}

static int
read_all(struct tensor_file *t, const char *kind, struct fault *f)
{
	if (read_header(t, f) < 0)
		return -1;
	const char *is = tensor_meta(t, "hare");
	if (kind && !is)
		return fault(f, EX_DATAERR, "%s: expected a file of kind \"%s\", got a safetensors file of another program",
		    t->path, kind);
	if (is) {
		double version;
		if (read_sums(t, f) < 0 || tensor_meta_number(t, "version", &version, f) < 0)
			return -1;
		if (version > TENSOR_VERSION)
			return fault(f, EX_DATAERR, "%s: written by a newer version of hare (%s)", t->path,
			    tensor_meta(t, "writer") ? tensor_meta(t, "writer") : "unnamed");
		if (kind && strcmp(kind, is) != 0)
			return fault(f, EX_DATAERR, "%s: expected a file of kind \"%s\", got one of kind \"%s\"", t->path, kind, is);
		if (check_places(t, f) < 0)
			return -1;
	}
	t->shown = xmalloc(t->n_entry, sizeof *t->shown);
	for (size_t i = 0; i < t->n_entry; i++)
		if (!t->entry[i].hidden)
			t->shown[t->n_shown++] = i;
	return 0;
}

struct tensor_file *
tensor_open(const char *path, const char *kind, struct fault *f)
{
	struct tensor_file *t = xcalloc(1, sizeof *t);

	t->path = xstrdup(path);
	pthread_mutex_init(&t->lock, NULL);
	if (file_map_open(&t->map, path, f) < 0) {
		t->map = (struct file_map){0};
		tensor_close(t);
		return NULL;
	}
	if (read_all(t, kind, f) < 0) {
		tensor_close(t);
		return NULL;
	}
	return t;
}

struct tensor_file *
tensor_open_within(struct tensor_file *outer, const char *name, const char *kind, struct fault *f)
{
	const size_t any = TENSOR_FREE;
	struct tensor bytes;

	if (tensor_get(outer, name, TENSOR_U8, 1, &any, &bytes, f) < 0 || tensor_verify(outer, bytes.at, bytes.n_byte, f) < 0)
		return NULL;
	struct tensor_file *t = xcalloc(1, sizeof *t);
	struct buf path = {0};
	buf_printf(&path, "%s: %s", outer->path, name);
	t->path = xstrdup(buf_string(&path));
	buf_free(&path);
	pthread_mutex_init(&t->lock, NULL);
	t->map = (struct file_map){ bytes.at, bytes.n_byte };
	t->is_within = 1;
	if (read_all(t, kind, f) < 0) {
		tensor_close(t);
		return NULL;
	}
	return t;
}

void
tensor_close(struct tensor_file *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_entry; i++) {
		free(t->entry[i].name);
		free(t->entry[i].dtype);
		free(t->entry[i].aligned);
	}
	for (size_t i = 0; i < t->n_meta; i++) {
		free(t->meta[i].key);
		free(t->meta[i].value);
	}
	if (t->map.at && !t->is_within)
		file_map_close(&t->map);
	pthread_mutex_destroy(&t->lock);
	free(t->entry);
	free(t->shown);
	free(t->meta);
	free(t->block);
	free(t->path);
	free(t);
}

const char *
tensor_path(const struct tensor_file *t)
{
	return t->path;
}

const char *
tensor_meta(const struct tensor_file *t, const char *key)
{
	for (size_t i = 0; i < t->n_meta; i++)
		if (strcmp(t->meta[i].key, key) == 0)
			return t->meta[i].value;
	return NULL;
}

int
tensor_meta_at(const struct tensor_file *t, size_t i, const char **key, const char **value)
{
	if (i >= t->n_meta)
		return 0;
	*key = t->meta[i].key;
	*value = t->meta[i].value;
	return 1;
}

int
tensor_meta_number(const struct tensor_file *t, const char *key, double *value, struct fault *f)
{
	const char *s = tensor_meta(t, key);

	if (!s)
		return fault(f, EX_DATAERR, "%s: has no %s", t->path, key);
	if (num_read_f64(s, strlen(s), value) < 0)
		return fault(f, EX_DATAERR, "%s: %s: expected a number, got \"%s\"", t->path, key, fault_quote(s, strlen(s)));
	return 0;
}

static struct entry *
find(const struct tensor_file *t, const char *name)
{
	for (size_t i = 0; i < t->n_shown; i++)
		if (strcmp(t->entry[t->shown[i]].name, name) == 0)
			return &t->entry[t->shown[i]];
	return NULL;
}

static void
put_shape(struct buf *b, size_t n_dim, const size_t *shape)
{
	buf_putc(b, '[');
	for (size_t i = 0; i < n_dim; i++) {
		if (i > 0)
			buf_puts(b, ", ");
		if (shape[i] == TENSOR_FREE)
			buf_puts(b, "any");
		else
			buf_printf(b, "%zu", shape[i]);
	}
	buf_putc(b, ']');
}

int
tensor_get(const struct tensor_file *t, const char *name, enum tensor_type type, size_t n_dim, const size_t *shape,
    struct tensor *out, struct fault *f)
{
	struct entry *e = find(t, name);

	if (!e)
		return fault(f, EX_DATAERR, "%s: has no tensor \"%s\"", t->path, name);
	if (e->type == TENSOR_ANY)
		return fault(f, EX_DATAERR, "%s: tensor \"%s\": %s with %zu dimensions is not read", t->path, name, e->dtype, e->n_dim);
	int same = (type == TENSOR_ANY || e->type == type) && e->n_dim == n_dim;
	for (size_t i = 0; same && i < n_dim; i++)
		same = shape[i] == TENSOR_FREE || shape[i] == e->shape[i];
	if (!same) {
		struct buf b = {0};
		if (type != TENSOR_ANY)
			buf_puts(&b, tensor_type_name(type));
		put_shape(&b, n_dim, shape);
		buf_printf(&b, ", got %s", e->dtype);
		put_shape(&b, e->n_dim, e->shape);
		fault(f, EX_DATAERR, "%s: tensor \"%s\": expected %s", t->path, name, buf_string(&b));
		buf_free(&b);
		return -1;
	}
	*out = (struct tensor){ .type = e->type, .n_dim = e->n_dim, .at = t->data + e->begin, .n_byte = e->end - e->begin };
	memcpy(out->shape, e->shape, sizeof out->shape);
	/* Only files of other writers can lie crooked: ours have every tensor at a multiple of 64. */
	if ((uintptr_t)out->at % tensor_type_size(e->type) != 0) {
		pthread_mutex_lock(&((struct tensor_file *)(uintptr_t)t)->lock);
		if (!e->aligned) {
			e->aligned = xaligned(out->n_byte ? out->n_byte : 1, 1);
			memcpy(e->aligned, out->at, out->n_byte);
		}
		pthread_mutex_unlock(&((struct tensor_file *)(uintptr_t)t)->lock);
		out->at = e->aligned;
	}
	return 0;
}

int
tensor_has(const struct tensor_file *t, const char *name)
{
	return find(t, name) != NULL;
}

size_t
tensor_count(const struct tensor_file *t)
{
	return t->n_shown;
}

const char *
tensor_name(const struct tensor_file *t, size_t i)
{
	assert(i < t->n_shown);
	return t->entry[t->shown[i]].name;
}

void
tensor_about(const struct tensor_file *t, size_t i, struct tensor *out)
{
	assert(i < t->n_shown);
	const struct entry *e = &t->entry[t->shown[i]];

	*out = (struct tensor){ .type = e->type, .n_dim = e->n_dim, .n_byte = e->end - e->begin };
	memcpy(out->shape, e->shape, sizeof out->shape);
}

/* The tensor that a byte of the data belongs to, for messages. */
static const char *
owner(const struct tensor_file *t, size_t offset)
{
	for (size_t i = 0; i < t->n_entry; i++)
		if (offset < t->entry[i].end)
			return t->entry[i].name;
	return TENSOR_SUM_NAME;
}

enum { UNSEEN, BUSY, GOOD };

/* Takes block i and hashes it, if no other thread does or did. What it is then: GOOD, UNSEEN if its checksum is another, or BUSY.
   Whoever took it returns it: threads are not to end, nor the process to fork and go on, in between. */
static int
hash_block(struct tensor_file *t, size_t i)
{
	size_t begin = i * TENSOR_BLOCK, n = t->n_checked - begin < TENSOR_BLOCK ? t->n_checked - begin : TENSOR_BLOCK;
	unsigned char is = UNSEEN;

	if (!atomic_compare_exchange_strong(&t->block[i], &is, BUSY))
		return is;
	is = hash64(t->data + begin, n, 0) == t->sum[i] ? GOOD : UNSEEN;
	atomic_store(&t->block[i], is);
	return is;
}

int
tensor_verify(struct tensor_file *t, const void *at, size_t n_byte, struct fault *f)
{
	if (!t->sum || n_byte == 0)
		return 0;
	assert((const unsigned char *)at >= t->data && (const unsigned char *)at + n_byte <= t->data + t->n_data);
	size_t from = (size_t)((const unsigned char *)at - t->data), to = from + n_byte;

	for (size_t i = from / TENSOR_BLOCK; i < t->n_block && i * TENSOR_BLOCK < to; i++) {
		int is = atomic_load(&t->block[i]) == GOOD ? GOOD : hash_block(t, i);
		/* threads that go through a file side by side would wait for each other: they take turns with the blocks instead */
		if (is == BUSY && i + 1 < t->n_block)
			hash_block(t, i + 1);
		/* the other may be done at once, or may wait for the disk */
		for (int n_look = 0; is == BUSY; is = hash_block(t, i))
			if (n_look < 64) {
				n_look++;
				sched_yield();
			} else
				nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
		if (is != GOOD) {
			size_t begin = i * TENSOR_BLOCK, end = begin + TENSOR_BLOCK < t->n_checked ? begin + TENSOR_BLOCK : t->n_checked;
			return fault(f, EX_DATAERR, "%s: damaged: bytes %zu to %zu do not match their checksum (tensor %s)",
			    t->path, t->n_header + begin, t->n_header + end - 1, owner(t, from > begin ? from : begin));
		}
	}
	return 0;
}

int
tensor_verify_all(struct tensor_file *t, struct fault *f)
{
	if (!t->is_within)
		file_map_whole(&t->map, t->data, t->n_data);
	return tensor_verify(t, t->data, t->n_checked, f);
}

void
tensor_read_whole(const struct tensor_file *t, const struct tensor *at)
{
	const unsigned char *begin = at->at;

	/* not a copy of one that lay crooked */
	if (begin >= t->data && begin < t->data + t->n_data && !t->is_within)
		file_map_whole(&t->map, begin, at->n_byte);
}

size_t
tensor_n_data(const struct tensor_file *t)
{
	/* up to the end of the last tensor shown: the padding behind it is not part of what is copied */
	return t->n_shown > 0 ? t->entry[t->shown[t->n_shown - 1]].end : 0;
}

const void *
tensor_data(const struct tensor_file *t)
{
	return t->data;
}

size_t
tensor_begin(const struct tensor_file *t, size_t i)
{
	return t->entry[t->shown[i]].begin;
}

uint64_t
tensor_sum(const struct tensor_file *t, size_t block)
{
	assert(t->sum && block < t->n_block);
	return t->sum[block];
}

int
tensor_reopen(const struct tensor_file *t)
{
	enum { PIECE = 4096 };
	unsigned char piece[PIECE];
	struct stat st;
	int fd = open(t->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	int same = t->sum && fstat(fd, &st) == 0 && (uint64_t)st.st_size == t->map.n;
	/* Equal headers and equal checksums are the same file: all that may differ is damage. */
	for (size_t i = 0; same && i < t->map.n; ) {
		size_t n = t->map.n - i < PIECE ? t->map.n - i : PIECE;
		if (i < t->n_header && i + n > t->n_header)
			n = t->n_header - i;
		same = pread(fd, piece, n, (off_t)i) == (ssize_t)n && memcmp(piece, t->map.at + i, n) == 0;
		i += n;
		if (i == t->n_header)
			i += t->n_checked;
	}
	if (!same) {
		close(fd);
		return -1;
	}
	return fd;
}
