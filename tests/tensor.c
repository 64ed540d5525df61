/* safetensors and NPY: what is written is read back, and nothing damaged is believed. */
#include "tensor/tensor.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "claim.h"
#include "model/model.h"
#include "scratch.h"

static const char path[] = "t.hare", other[] = "o.hare", inner[] = "i.hare";

static void
write_bytes(const char *name, const void *at, size_t n)
{
	FILE *o = fopen(name, "wb");

	if (!o || fwrite(at, 1, n, o) != n || fclose(o) != 0)
		claim(0, "%s can be written", name);
}

static struct buf
read_bytes(const char *name)
{
	struct buf b = {0};
	FILE *i = fopen(name, "rb");
	char piece[4096];

	for (size_t n; i && (n = fread(piece, 1, sizeof piece, i)) > 0; )
		buf_put(&b, piece, n);
	if (i)
		fclose(i);
	return b;
}

/* Two tensors, the second 2.5 MiB and a little, put in odd pieces. */
enum { N_A = 5, N_B = 655369 };

static int
write_sample(const char *name, const char *kind, struct fault *f)
{
	struct tensor_writer *w = tensor_create(name, kind, f);
	float *b = xmalloc(N_B, sizeof *b);
	int r = w ? 0 : -1;

	for (size_t i = 0; i < N_B; i++)
		b[i] = (float)i / 3;
	if (w) {
		tensor_set_meta(w, "half", "%s", "0.5");
		tensor_set_meta(w, "quoted", "a \"b\"\n%d", 7);
		tensor_declare(w, "a", TENSOR_U8, 1, (size_t[]){ N_A });
		tensor_declare(w, "none", TENSOR_F64, 2, (size_t[]){ 0, 7 });
		tensor_declare(w, "b", TENSOR_F32, 2, (size_t[]){ N_B, 1 });
		r = tensor_put(w, "hare", 4, f);
		if (r == 0)
			r = tensor_put(w, "!", 1, f);
		for (size_t i = 0, n; r == 0 && i < N_B; i += n) {
			n = i % 2 ? 70001 : 300000;
			if (n > N_B - i)
				n = N_B - i;
			r = tensor_put(w, b + i, n * sizeof *b, f);
		}
		r = r == 0 ? tensor_commit(w, f) : (tensor_abort(w), -1);
	}
	free(b);
	return r;
}

static void
round_trip(void)
{
	struct fault f = {0};
	struct tensor a, b;
	double half;
	int right = 1;

	claim(write_sample(path, "sample", &f) == 0, "a file is written in pieces that end anywhere");
	struct tensor_file *t = tensor_open(path, "sample", &f);
	if (!claim(t != NULL, "and opens: %s", f.text))
		return;
	claim(tensor_count(t) == 3 && strcmp(tensor_name(t, 0), "a") == 0 && strcmp(tensor_name(t, 1), "none") == 0 &&
	    strcmp(tensor_name(t, 2), "b") == 0, "its tensors are listed in order, without padding and checksums");
	claim(strcmp(tensor_meta(t, "format"), "pt") == 0 && strcmp(tensor_meta(t, "quoted"), "a \"b\"\n7") == 0 &&
	    !tensor_meta(t, "missing"), "metadata come back");
	claim(tensor_meta_number(t, "half", &half, &f) == 0 && half == .5, "a number in the metadata is read");
	claim(tensor_meta_number(t, "quoted", &half, &f) == -1 && f.status == EX_DATAERR, "a text in its place is refused");
	claim(tensor_get(t, "a", TENSOR_U8, 1, (size_t[]){ N_A }, &a, &f) == 0 && memcmp(a.at, "hare!", 5) == 0, "bytes come back");
	claim(tensor_get(t, "b", TENSOR_F32, 2, (size_t[]){ TENSOR_FREE, 1 }, &b, &f) == 0 && b.shape[0] == N_B &&
	    (uintptr_t)b.at % 64 == 0, "floats lie at a multiple of 64 bytes");
	for (size_t i = 0; i < N_B; i++)
		right &= ((const float *)b.at)[i] == (float)i / 3;
	claim(right, "all of them as they were put");
	claim(tensor_get(t, "b", TENSOR_F64, 1, (size_t[]){ TENSOR_FREE }, &a, &f) == -1 &&
	    strcmp(f.text, "t.hare: tensor \"b\": expected F64[any], got F32[655369, 1]") == 0, "another shape or type is refused: %s", f.text);
	claim(tensor_get(t, "c", TENSOR_ANY, 1, (size_t[]){ TENSOR_FREE }, &a, &f) == -1 && !tensor_has(t, "c") && tensor_has(t, "none"),
	    "a missing tensor is named: %s", f.text);
	claim(tensor_verify_all(t, &f) == 0 && tensor_verify(t, b.at, b.n_byte, &f) == 0, "all blocks match their checksums");
	tensor_close(t);
	claim(!tensor_open(path, "model", &f) && f.status == EX_DATAERR, "another kind is refused: %s", f.text);
	t = tensor_open(path, NULL, &f);
	claim(t && tensor_count(t) == 3, "any kind is taken when none is asked for");
	tensor_close(t);
}

/* Opens and verifies all; whether that fails with EX_DATAERR and a line that names the file. */
static int
is_refused(const char *name, const char *kind, struct fault *f)
{
	struct tensor_file *t = tensor_open(name, kind, f);
	int r = !t || tensor_verify_all(t, f) < 0;

	tensor_close(t);
	return r && f->status == EX_DATAERR && strncmp(f->text, name, strlen(name)) == 0 && !strchr(f->text, '\n');
}

static void
damage(void)
{
	struct fault f = {0};
	struct buf whole = read_bytes(path);
	uint64_t n_json;
	size_t n_header, n_refused = 0, n_tried = 0;

	memcpy(&n_json, whole.at, 8);
	n_header = 8 + n_json;
	/* every byte of the header, and a step of odd length through data and checksums; other bits each time */
	for (size_t i = 0; i < whole.n; i += i < n_header || i + 64 > whole.n ? 1 : 40009) {
		whole.at[i] ^= (char)(1 << i % 8);
		write_bytes(other, whole.at, whole.n);
		n_refused += (size_t)is_refused(other, "sample", &f);
		n_tried++;
		whole.at[i] ^= (char)(1 << i % 8);
	}
	claim(n_refused == n_tried && n_tried > 500, "%zu of %zu files with one bit flipped are refused", n_refused, n_tried);

	static const struct { size_t at; const char *says; } named[] = {
		{ 7, "not a safetensors file" }, { 2, "cut off or not a safetensors file" }, { 8, "damaged header" },
	};
	for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
		whole.at[named[i].at] ^= 0x40;
		write_bytes(other, whole.at, whole.n);
		claim(is_refused(other, "sample", &f) && strstr(f.text, named[i].says), "byte %zu: %s", named[i].at, f.text);
		whole.at[named[i].at] ^= 0x40;
	}
	/* inside a name, where JSON stays valid */
	char *quoted = strstr(whole.at + 8, "half");
	*quoted ^= 4;
	write_bytes(other, whole.at, whole.n);
	claim(is_refused(other, "sample", &f) && strstr(f.text, "header does not match its checksum"), "a name: %s", f.text);
	*quoted ^= 4;
	whole.at[n_header + 64 + 100] ^= 1;
	write_bytes(other, whole.at, whole.n);
	struct tensor_file *t = tensor_open(other, "sample", &f);
	struct tensor b;
	claim(t && tensor_get(t, "b", TENSOR_F32, 2, (size_t[]){ N_B, 1 }, &b, &f) == 0, "a file with damaged data opens");
	claim(tensor_verify(t, (const char *)b.at + b.n_byte - 4, 4, &f) == 0, "a sound block of it passes");
	claim(tensor_verify(t, b.at, 4, &f) == -1 && strstr(f.text, "(tensor b)") && tensor_verify(t, b.at, 4, &f) == -1,
	    "the damaged block does not, however often it is asked: %s", f.text);
	tensor_close(t);
	whole.at[n_header + 64 + 100] ^= 1;
	whole.at[whole.n - 3] ^= 1;
	write_bytes(other, whole.at, whole.n);
	claim(is_refused(other, "sample", &f) && strstr(f.text, "checksums do not match"), "a checksum: %s", f.text);
	whole.at[whole.n - 3] ^= 1;

	static const size_t cut[] = { 0, 1, 7, 8, 9, 100 };
	n_refused = n_tried = 0;
	for (size_t i = 0; i < sizeof cut / sizeof *cut; i++, n_tried++) {
		write_bytes(other, whole.at, cut[i]);
		n_refused += (size_t)is_refused(other, "sample", &f);
	}
	for (size_t n = n_header; n < whole.n; n += 260003, n_tried++) {
		write_bytes(other, whole.at, n);
		n_refused += (size_t)is_refused(other, "sample", &f);
	}
	for (size_t n = whole.n - 1; n + 9 > whole.n; n--, n_tried++) {
		write_bytes(other, whole.at, n);
		n_refused += (size_t)is_refused(other, "sample", &f);
	}
	claim(n_refused == n_tried, "%zu of %zu truncated files are refused: %s", n_refused, n_tried, f.text);
	buf_putc(&whole, 0);
	write_bytes(other, whole.at, whole.n);
	claim(is_refused(other, "sample", &f), "a byte too many is refused: %s", f.text);

	claim(!tensor_open("missing", NULL, &f) && f.status == EX_NOINPUT, "a missing file is EX_NOINPUT: %s", f.text);
	mkdir("folder", 0777);
	claim(!tensor_open("folder", NULL, &f) && f.status == EX_NOINPUT, "a folder is EX_NOINPUT: %s", f.text);
	buf_free(&whole);
}

/* A version that is not ours yet, with all checksums right. */
static void
newer(void)
{
	struct fault f = {0};
	struct buf b = read_bytes(path);
	uint64_t n_json, sum, *sums;
	char *version = strstr(b.at + 8, "\"version\":\"1\"");

	memcpy(&n_json, b.at, 8);
	version[11] = '2';
	size_t n_block = (N_B * 4 + 128 + (1 << 20) - 1) >> 20, n_sum = n_block + 2;
	sums = xmalloc(n_sum, sizeof *sums);
	memcpy(sums, b.at + b.n - n_sum * 8, n_sum * 8);
	sums[0] = hash64(b.at, 8 + n_json, 0);
	sum = hash64(sums, (n_sum - 1) * 8, 0);
	sums[n_sum - 1] = sum;
	memcpy(b.at + b.n - n_sum * 8, sums, n_sum * 8);
	write_bytes(other, b.at, b.n);
	claim(!tensor_open(other, "sample", &f) && f.status == EX_DATAERR && strstr(f.text, "written by a newer version of hare"),
	    "a newer version is told from damage: %s", f.text);
	free(sums);
	buf_free(&b);
}

/* A file as other programs write them: header given as text, then n_data bytes 0, 1, 2, ... */
static struct tensor_file *
foreign(const char *header, size_t n_data, struct fault *f)
{
	struct buf b = {0};
	uint64_t n = strlen(header);

	buf_put(&b, &n, 8);
	buf_puts(&b, header);
	for (size_t i = 0; i < n_data; i++)
		buf_putc(&b, (int)(i & 255));
	write_bytes(other, b.at, b.n);
	buf_free(&b);
	return tensor_open(other, NULL, f);
}

static void
other_writers(void)
{
	struct fault f = {0};
	struct tensor v;
	struct tensor_file *t = foreign("{\"y\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[3,19]},"
	    "\"x\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]},\"s\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[19,21]}}   ", 21, &f);

	claim(t && tensor_count(t) == 3 && strcmp(tensor_name(t, 0), "x") == 0, "a file without metadata and in any order opens");
	claim(tensor_get(t, "y", TENSOR_F32, 2, (size_t[]){ 2, TENSOR_FREE }, &v, &f) == 0 && (uintptr_t)v.at % 4 == 0 &&
	    ((const unsigned char *)v.at)[0] == 3 && ((const unsigned char *)v.at)[15] == 18, "a crooked tensor is put straight");
	claim(tensor_get(t, "s", TENSOR_F16, 0, NULL, &v, &f) == 0 && v.n_byte == 2, "a scalar has no dimensions and one element");
	claim(tensor_get(t, "x", TENSOR_ANY, 1, (size_t[]){ 3 }, &v, &f) == -1, "a type that is not read is named: %s", f.text);
	claim(tensor_verify_all(t, &f) == 0, "without checksums all passes");
	tensor_close(t);
	claim(!tensor_open(other, "pool", &f) && strstr(f.text, "of another program"), "and it is no pool: %s", f.text);

	static const struct { const char *header, *why; size_t n_data; } bad[] = {
		{ "", "an empty header", 0 }, { "[]", "a header that is an array", 0 }, { "{} x", "text behind the header", 0 },
		{ "{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", "an unknown type", 4 },
		{ "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", "a missing type", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", "a missing shape", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "missing offsets", 0 },
		{ "{\"a\":7}", "a tensor that is a number", 0 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", "a size that is no integer", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "a negative size", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", "a shape that overflows to 0", 0 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "a shape larger than its bytes", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "offsets that run backwards", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", "three offsets", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "a range beyond the file", 4 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}", "ranges that overlap", 6 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", "a hole between ranges", 12 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "bytes behind the last tensor", 5 },
		{ "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "a name given twice", 4 },
		{ "{\"__metadata__\":{\"a\":1}}", "metadata that are no text", 0 },
		{ "{\"__metadata__\":[]}", "metadata that are no object", 0 },
		{ "{\"__metadata__\":{\"hare\":\"pool\",\"version\":\"1\"}}", "a pool without checksums", 0 },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		t = foreign(bad[i].header, bad[i].n_data, &f);
		claim(!t && f.status == EX_DATAERR && strncmp(f.text, other, strlen(other)) == 0, "%s is refused: %s", bad[i].why, f.text);
		tensor_close(t);
	}
}

/* Files as ours, all sums right, that hold what we never write: 64 bytes of data behind a header of 448. */
static void
sly(void)
{
	static const struct { const char *tensors, *why; int is_fine; } file[] = {
		{ "\"a\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[0,64]}", "a tensor as we write it", 1 },
		{ "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"F32\",\"shape\":[15],\"data_offsets\":[1,61]},"
		    "\"pad.0\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[61,64]}", "a crooked tensor", 0 },
		{ "\"a\":{\"dtype\":\"BOOL\",\"shape\":[64],\"data_offsets\":[0,64]}", "a tensor of a type that is not read", 0 },
		{ "\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,64],\"data_offsets\":[0,64]}", "a tensor of five dimensions", 0 },
	};

	for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
		struct fault f = {0};
		struct buf b = {0};
		uint64_t n_json = 440, sum[3];
		unsigned char data[64] = {0};

		buf_put(&b, &n_json, 8);
		buf_printf(&b, "{\"__metadata__\":{\"hare\":\"sample\",\"version\":\"1\"},%s,"
		    "\"checksum\":{\"dtype\":\"U64\",\"shape\":[3],\"data_offsets\":[64,88]}}", file[i].tensors);
		while (b.n < 8 + n_json)
			buf_putc(&b, ' ');
		sum[0] = hash64(b.at, b.n, 0);
		sum[1] = hash64(data, sizeof data, 0);
		sum[2] = hash64(sum, 2 * sizeof *sum, 0);
		buf_put(&b, data, sizeof data);
		buf_put(&b, sum, sizeof sum);
		write_bytes(other, b.at, b.n);
		buf_free(&b);
		struct tensor_file *t = tensor_open(other, "sample", &f);
		claim(file[i].is_fine ? t != NULL : !t && f.status == EX_DATAERR && strstr(f.text, "none that hare writes"),
		    "%s is %s: %s", file[i].why, file[i].is_fine ? "taken" : "refused", f.text);
		tensor_close(t);
	}
}

/* A whole file as a tensor of another, which has the metadata of a third. */
static void
within(struct tensor_file *old)
{
	struct fault f = {0};
	struct file_map bytes;
	struct tensor_writer *w;
	struct tensor b, b_old;

	if (file_map_open(&bytes, path, &f) < 0)
		return;
	w = tensor_create(inner, "outer", &f);
	tensor_set_meta_file(w, old);
	tensor_declare(w, "x", TENSOR_U8, 1, (size_t[]){ 3 });
	tensor_declare(w, "file", TENSOR_U8, 1, &bytes.n);
	claim(tensor_put(w, "abc", 3, &f) == 0 && tensor_put(w, bytes.at, bytes.n, &f) == 0 && tensor_commit(w, &f) == 0,
	    "a file is put into another");
	file_map_close(&bytes);
	struct tensor_file *outer = tensor_open(inner, "outer", &f), *t = outer ? tensor_open_within(outer, "file", "sample", &f) : NULL;
	claim(t && tensor_verify_all(t, &f) == 0 && tensor_count(t) == tensor_count(old) &&
	    tensor_get(t, "b", TENSOR_F32, 2, (size_t[]){ N_B, 1 }, &b, &f) == 0 &&
	    tensor_get(old, "b", TENSOR_F32, 2, (size_t[]){ N_B, 1 }, &b_old, &f) == 0 && memcmp(b.at, b_old.at, b.n_byte) == 0,
	    "and read there as it was");
	tensor_close(t);
	claim(!tensor_open_within(outer, "file", "pool", &f) && f.status == EX_DATAERR, "its kind is asked for: %s", f.text);
	claim(!tensor_open_within(outer, "x", NULL, &f) && f.status == EX_DATAERR, "three bytes are no file: %s", f.text);
	claim(strcmp(tensor_meta(outer, "hare"), "outer") == 0 && tensor_meta(outer, "quoted") &&
	    strcmp(tensor_meta(outer, "quoted"), tensor_meta(old, "quoted")) == 0, "metadata come along, but the writer's own");
	tensor_close(outer);
}

static void
growing(void)
{
	struct fault f = {0};
	struct tensor_file *old = tensor_open(path, "sample", &f);
	struct tensor_writer *w = tensor_create(other, "sample", &f);
	struct tensor v;

	tensor_declare_file(w, old);
	tensor_declare(w, "more", TENSOR_U64, 1, (size_t[]){ 2 });
	claim(tensor_put_file(w, old, &f) == 0 && tensor_put(w, (uint64_t[]){ 1, 2 }, 16, &f) == 0 && tensor_commit(w, &f) == 0,
	    "a file grows by a tensor");
	struct tensor_file *t = tensor_open(other, "sample", &f);
	claim(t && tensor_verify_all(t, &f) == 0 && tensor_count(t) == 4, "all of the grown file is sound");
	struct tensor b, b_old;
	claim(tensor_get(t, "b", TENSOR_F32, 2, (size_t[]){ N_B, 1 }, &b, &f) == 0 &&
	    tensor_get(old, "b", TENSOR_F32, 2, (size_t[]){ N_B, 1 }, &b_old, &f) == 0 && memcmp(b.at, b_old.at, b.n_byte) == 0 &&
	    tensor_get(t, "more", TENSOR_U64, 1, (size_t[]){ 2 }, &v, &f) == 0 && ((const uint64_t *)v.at)[1] == 2,
	    "what was there is there, and what came");
	tensor_close(t);
	within(old);
	tensor_close(old);

	struct stat st;
	w = tensor_create(other, "sample", &f);
	tensor_declare(w, "x", TENSOR_U8, 1, (size_t[]){ 3 });
	tensor_put(w, "ab", 2, &f);
	tensor_abort(w);
	claim(stat(other, &st) == 0 && st.st_size > N_B * 4, "a writer that gives up leaves the old file");
	w = tensor_create(other, "sample", &f);
	tensor_declare(w, "\xFF", TENSOR_U8, 1, (size_t[]){ 1 });
	claim(tensor_put(w, "a", 1, &f) == -1 && f.status == EX_DATAERR, "a name that is no UTF-8 is refused: %s", f.text);
	tensor_abort(w);
	w = tensor_create("/dev/full", "sample", &f);
	tensor_declare(w, "x", TENSOR_U8, 1, (size_t[]){ 1 });
	int full = tensor_put(w, "a", 1, &f) < 0;
	full = full ? (tensor_abort(w), 1) : tensor_commit(w, &f) < 0;
	claim(full && f.status == EX_TEMPFAIL, "a full disk is told: %s", f.text);
}

static void *
verify_thread(void *arg)
{
	struct fault f;

	return tensor_verify_all(arg, &f) == 0 ? arg : NULL;
}

static void
threads(void)
{
	struct fault f;
	struct tensor_file *t = tensor_open(path, "sample", &f);
	pthread_t id[4];
	int right = 1;

	for (int i = 0; i < 4; i++)
		pthread_create(&id[i], NULL, verify_thread, t);
	for (int i = 0; i < 4; i++) {
		void *r;
		pthread_join(id[i], &r);
		right &= r == t;
	}
	claim(right, "four threads verify one file at once");
	tensor_close(t);
}

enum { STEP = 1 << 16, N_READER = 4, SUMMED = 1 << 20, BEFORE = 64 };   /* bytes that one checksum covers; of data before b */
struct reader {
	struct tensor_file *t;
	const char *at;
	size_t n;
	unsigned char refused[N_B * 4 / STEP + 1];
};

/* From end to end, as readers do that share the work. */
static void *
read_thread(void *arg)
{
	struct reader *r = arg;
	struct fault f;

	for (size_t i = 0; i < r->n; i += STEP)
		r->refused[i / STEP] = tensor_verify(r->t, r->at + i, r->n - i < STEP ? r->n - i : STEP, &f) < 0;
	return NULL;
}

static void
threads_and_damage(void)
{
	struct fault f = {0};
	struct buf whole = read_bytes(path);
	uint64_t n_json;
	struct tensor b;
	int right = 1;

	memcpy(&n_json, whole.at, 8);
	whole.at[8 + n_json + SUMMED + 77] ^= 1;
	write_bytes(other, whole.at, whole.n);
	for (int round = 0; round < 50; round++) {
		struct tensor_file *t = tensor_open(other, "sample", &f);
		struct reader r[N_READER] = {0};
		pthread_t id[N_READER];
		right &= t && tensor_get(t, "b", TENSOR_F32, 2, (size_t[]){ N_B, 1 }, &b, &f) == 0;
		for (int i = 0; i < N_READER; i++) {
			r[i] = (struct reader){ .t = t, .at = b.at, .n = b.n_byte };
			pthread_create(&id[i], NULL, read_thread, &r[i]);
		}
		for (int i = 0; i < N_READER; i++) {
			pthread_join(id[i], NULL);
			for (size_t at = 0; at < b.n_byte; at += STEP) {
				size_t from = BEFORE + at, to = BEFORE + (b.n_byte - at < STEP ? b.n_byte : at + STEP);
				right &= r[i].refused[at / STEP] == (from < 2 * SUMMED && to > SUMMED);
			}
		}
		tensor_close(t);
	}
	claim(right, "of threads that read a damaged file side by side each is refused the damaged block, and no other");
	buf_free(&whole);
}

static void
npy(void)
{
	struct fault f = {0};
	float x[6] = { 1, 2.5f, -3, 1e-40f, 0, 7 }, *y = NULL;
	size_t n_row, n_col;

	claim(npy_write("a.npy", x, 2, 3, &f) == 0 && npy_read("a.npy", &y, &n_row, &n_col, &f) == 0 && n_row == 2 && n_col == 3 &&
	    memcmp(x, y, sizeof x) == 0, "an NPY file comes back as it was");
	free(y);
	struct npy_writer *w = npy_create("b.npy", 2, &f);
	claim(npy_put(w, x, 1, &f) == 0 && npy_put(w, x + 2, 2, &f) == 0 && npy_commit(w, &f) == 0 &&
	    npy_read("b.npy", &y, &n_row, &n_col, &f) == 0 && n_row == 3 && n_col == 2 && memcmp(x, y, sizeof x) == 0,
	    "rows may come one by one");
	free(y);
	w = npy_create("b.npy", 2, &f);
	npy_abort(w);
	claim(npy_read("b.npy", &y, &n_row, &n_col, &f) == 0 && n_row == 3, "a writer that gives up leaves the old file");
	free(y);
	claim(npy_write("c.npy", x, 0, 3, &f) == 0 && npy_read("c.npy", &y, &n_row, &n_col, &f) == 0 && n_row == 0 && n_col == 3,
	    "no rows are fine");
	free(y);

	struct buf whole = read_bytes("a.npy");
	claim(whole.n == 128 + sizeof x && whole.at[127] == '\n', "the header takes 128 bytes and ends in a line end");
	for (size_t n = 0, n_refused = 0; n < whole.n; n++) {
		write_bytes("cut.npy", whole.at, n);
		n_refused += (size_t)(npy_read("cut.npy", &y, &n_row, &n_col, &f) == -1 && f.status == EX_DATAERR);
		if (n + 1 == whole.n)
			claim(n_refused == whole.n, "cut anywhere it is refused: %s", f.text);
	}
	static const struct { const char *dict, *why; } bad[] = {
		{ "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", "big-endian numbers" },
		{ "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }", "integers" },
		{ "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", "records" },
		{ "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", "Fortran order" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }", "three dimensions" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", "no dimension" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", "a shape that overflows" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 4), }", "a size that overflows" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }", "more numbers than there are" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", "fewer numbers than there are" },
		{ "{'descr': '<f4', 'fortran_order': False}", "a missing shape" },
		{ "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}", "an unknown key" },
		{ "{'descr': '<f4, 'fortran_order': False, 'shape': (2, 3), }", "an open quote" }, { "", "no dictionary" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		memset(whole.at + 10, ' ', 117);
		memcpy(whole.at + 10, bad[i].dict, strlen(bad[i].dict));
		write_bytes("bad.npy", whole.at, whole.n);
		claim(npy_read("bad.npy", &y, &n_row, &n_col, &f) == -1 && f.status == EX_DATAERR, "%s: %s", bad[i].why, f.text);
	}
	buf_free(&whole);
}

static void
halves(void)
{
	int right = 1;

	/* the twin: the value that the three fields of IEEE 754 binary16 stand for */
	for (unsigned h = 0; h < 65536; h++) {
		int e = (int)(h >> 10 & 31);
		double m = h & 1023, v = e == 31 ? (m > 0 ? (double)NAN : (double)INFINITY) : e > 0 ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
		float got = tensor_f16_to_f32((uint16_t)h), want = (float)(h & 0x8000 ? -v : v);
		right &= isnan(want) ? isnan(got) : got == want && !signbit(got) == !signbit(want);
	}
	claim(right, "all 65,536 half floats are read as what they stand for");
}

static void
model(void)
{
	struct fault f = {0};
	struct model m = { .space = "0123456789abcdef0123456789abcdef", .dim = 3, .n_cluster = 2, .source = "tfidf" };
	float centre[6] = { 1, 0, 0, 0, 1, 0 }, mean[3] = { .5f, .25f, 0 };
	static const struct { const char *key, *value, *why; } bad[] = {
		{ "lambda", "0", "a prior precision of 0" }, { "noise_var", "-1", "a negative variance" }, { "gain", "x", "a gain that is no number" },
		{ "dim", "0", "no dimension" }, { "n_cluster", "1e3", "a number of clusters that is none" }, { "space", "abc", "a short space id" },
		{ "bonus", "inf", "an infinite bonus" }, { "query_var", "-.1", "a negative variance of the query" },
		{ "query_least", "1.5", "more than the whole of a query" },
		{ "gain", "1e-320", "a gain without a finite reciprocal" },
		{ "seed", "1", NULL },  /* none is wrong, and query_var is not there */
	};

	model_defaults(&m);
	m.query_share = 1;
	m.prior.query_var = .05;
	m.gain = 1 / 3.;
	m.centre = centre;
	m.mean = mean;
	for (size_t k = 0; k <= sizeof bad / sizeof *bad; k++) {
		struct model *got;
		struct tensor_writer *w = tensor_create("m", "model", &f);
		if (k > 0) {
			/* the same file by hand, with one wrong value */
			static const char *const key[] = { "space", "source", "dim", "n_cluster", "gain", "widening", "bonus", "lambda", "noise_var", "base_rate", "half_life" };
			static const char *const value[] = { "0123456789abcdef0123456789abcdef", "tfidf", "3", "2", "1", "1", "1", "1", "1", "0", "0" };
			if (strncmp(bad[k - 1].key, "query_", 6) == 0)
				tensor_set_meta(w, bad[k - 1].key, "%s", bad[k - 1].value);
			for (size_t i = 0; i < sizeof key / sizeof *key; i++)
				tensor_set_meta(w, key[i], "%s", strcmp(key[i], bad[k - 1].key) == 0 ? bad[k - 1].value : value[i]);
			tensor_declare(w, "centre", TENSOR_F32, 2, (size_t[]){ 2, 3 });
			tensor_declare(w, "mean", TENSOR_F32, 1, (size_t[]){ 3 });
		} else
			model_declare(w, &m);
		claim(model_put(w, &m, &f) == 0 && tensor_commit(w, &f) == 0, "a model is written");
		got = model_open("m", &f);
		if (k > 0 && !bad[k - 1].why) {
			claim(got && got->prior.query_var == 0 && got->prior.query_least == 0 && got->prior.has_query && got->prior.query_mean == 0,
			    "a model of before queries were heard opens, and does not hear them");
			model_close(got);
			continue;
		}
		if (k > 0) {
			claim(!got && f.status == EX_DATAERR && strstr(f.text, bad[k - 1].key), "%s is refused: %s", bad[k - 1].why, f.text);
			model_close(got);
			continue;
		}
		claim(got && strcmp(got->space, m.space) == 0 && got->dim == 3 && got->n_cluster == 2 && got->gain == 1 / 3. &&
		    got->prior.lambda == 100 && got->prior.base_rate == .01 && got->prior.query_var == .05 && got->prior.query_least == .25 &&
		    got->prior.query_mean == 1 / got->gain && strcmp(got->source, "tfidf") == 0 &&
		    memcmp(got->centre, centre, sizeof centre) == 0 && memcmp(got->mean, mean, sizeof mean) == 0, "and read back exactly");
		claim(model_cluster(got, (float[]){ 0, 1, 0 }) == 1 && model_cluster(got, (float[]){ 1, 1, 0 }) == 0 &&
		    model_cluster(got, (float[]){ 0, 0, 1 }) == 0, "the nearest centre is found, the first of equals");
		model_close(got);
	}
	centre[4] = NAN;
	struct tensor_writer *w = tensor_create("m", "model", &f);
	model_declare(w, &m);
	model_put(w, &m, &f);
	tensor_commit(w, &f);
	claim(!model_open("m", &f) && strstr(f.text, "centre: number 4 is nan"), "a centre that is not finite is refused: %s", f.text);
}

int
main(void)
{
	char folder[SCRATCH];

	if (!claim(scratch_folder(folder) == 0 && chdir(folder) == 0, "a folder for the test's files"))
		return 1;
	round_trip();
	damage();
	newer();
	other_writers();
	sly();
	growing();
	threads();
	threads_and_damage();
	npy();
	halves();
	model();
	const char *const left[] = { path, other, inner, "a.npy", "b.npy", "c.npy", "cut.npy", "bad.npy", "m" };
	for (size_t i = 0; i < sizeof left / sizeof *left; i++)
		unlink(left[i]);
	rmdir("folder");
	claim(chdir("/") == 0 && rmdir(folder) == 0, "nothing else was left behind");
	return claim_n_failed != 0;
}
