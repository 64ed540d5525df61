/*
 * powercut - cuts the power of a state at random moments, a thousand times
 *
 *	powercut FOLDER N [--no-sync]
 *
 * All that SQLite writes goes through a recording layer. A cut after any operation leaves: of every file what was
 * synced; of what was written since its last sync each sector of 512 bytes or not, by chance; of a removed file
 * nothing or, by chance, the file. From that image the state is opened again. It must hold exactly the first g commits,
 * g at least the number acknowledged before the cut. With --no-sync no sync counts: the control, which must fail.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "state/state.h"

enum { N_COMMIT = 24, SECTOR = 512, N_FILE = 64 };
enum op_kind { OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_REMOVE };

struct op {
	enum op_kind kind;
	int file;                       /* each making of a file is another one, also under the same name */
	size_t at, n;
	unsigned char *bytes;
};

static struct op *ops;
static size_t n_op, op_cap, acked_at[N_COMMIT + 1];
static struct { char name[16]; unsigned char *start; size_t n_start; int is_gone; } files[N_FILE];
static int n_file, recording;
static struct fault f;

static void
record(enum op_kind kind, int file, size_t at, size_t n, const void *bytes)
{
	if (!recording || file < 0)
		return;
	ops = xgrow(ops, &op_cap, n_op + 1, sizeof *ops);
	ops[n_op] = (struct op){ kind, file, at, n, NULL };
	if (kind == OP_WRITE) {
		ops[n_op].bytes = xmalloc(n, 1);
		memcpy(ops[n_op].bytes, bytes, n);
	}
	n_op++;
}

static int
find_file(const char *path, int make)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (strncmp(name, "state", 5) != 0 || strstr(name, "-shm"))
		return -1;              /* shared memory does not outlive the power */
	for (int i = n_file; i-- > 0; )
		if (strcmp(files[i].name, name) == 0 && !files[i].is_gone)
			return i;
	if (!make || n_file == N_FILE)
		return -1;
	snprintf(files[n_file].name, sizeof files[0].name, "%.15s", name);
	return n_file++;
}

/* -- the recording layer, below that of lib/state, which takes whatever is SQLite's default -- */
struct layer {
	sqlite3_file base;
	int file;
};
static sqlite3_vfs *below, layer_vfs;

static sqlite3_file *
lower(sqlite3_file *x)
{
	return (sqlite3_file *)((char *)x + sizeof(struct layer));
}

static int
layer_write(sqlite3_file *x, const void *at, int n, sqlite3_int64 offset)
{
	record(OP_WRITE, ((struct layer *)x)->file, (size_t)offset, (size_t)n, at);
	return lower(x)->pMethods->xWrite(lower(x), at, n, offset);
}

static int
layer_truncate(sqlite3_file *x, sqlite3_int64 n)
{
	record(OP_TRUNCATE, ((struct layer *)x)->file, 0, (size_t)n, NULL);
	return lower(x)->pMethods->xTruncate(lower(x), n);
}

static int
layer_sync(sqlite3_file *x, int flags)
{
	record(OP_SYNC, ((struct layer *)x)->file, 0, 0, NULL);
	return lower(x)->pMethods->xSync(lower(x), flags);
}

static int pass_close(sqlite3_file *x) { return lower(x)->pMethods->xClose(lower(x)); }
static int pass_read(sqlite3_file *x, void *at, int n, sqlite3_int64 o) { return lower(x)->pMethods->xRead(lower(x), at, n, o); }
static int pass_size(sqlite3_file *x, sqlite3_int64 *n) { return lower(x)->pMethods->xFileSize(lower(x), n); }
static int pass_lock(sqlite3_file *x, int l) { return lower(x)->pMethods->xLock(lower(x), l); }
static int pass_unlock(sqlite3_file *x, int l) { return lower(x)->pMethods->xUnlock(lower(x), l); }
static int pass_reserved(sqlite3_file *x, int *out) { return lower(x)->pMethods->xCheckReservedLock(lower(x), out); }
static int pass_control(sqlite3_file *x, int op, void *arg) { return lower(x)->pMethods->xFileControl(lower(x), op, arg); }
static int pass_sector(sqlite3_file *x) { return lower(x)->pMethods->xSectorSize(lower(x)); }
static int pass_traits(sqlite3_file *x) { return lower(x)->pMethods->xDeviceCharacteristics(lower(x)); }
static int pass_shm_map(sqlite3_file *x, int i, int n, int e, void volatile **at) { return lower(x)->pMethods->xShmMap(lower(x), i, n, e, at); }
static int pass_shm_lock(sqlite3_file *x, int at, int n, int flags) { return lower(x)->pMethods->xShmLock(lower(x), at, n, flags); }
static void pass_shm_barrier(sqlite3_file *x) { lower(x)->pMethods->xShmBarrier(lower(x)); }
static int pass_shm_unmap(sqlite3_file *x, int d) { return lower(x)->pMethods->xShmUnmap(lower(x), d); }

static const sqlite3_io_methods methods = {
	2, pass_close, pass_read, layer_write, layer_truncate, layer_sync, pass_size, pass_lock, pass_unlock, pass_reserved,
	pass_control, pass_sector, pass_traits, pass_shm_map, pass_shm_lock, pass_shm_barrier, pass_shm_unmap, NULL, NULL
};

static int
layer_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *x, int flags, int *out_flags)
{
	(void)vfs;
	((struct layer *)x)->file = name ? find_file(name, 1) : -1;
	lower(x)->pMethods = NULL;
	int rc = below->xOpen(below, name, lower(x), flags, out_flags);
	x->pMethods = lower(x)->pMethods ? &methods : NULL;
	return rc;
}

static int
layer_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
	int file = find_file(name, 0);

	(void)vfs;
	record(OP_REMOVE, file, 0, 0, NULL);
	if (file >= 0 && recording)
		files[file].is_gone = 1;
	return below->xDelete(below, name, sync_folder);
}

/* -- the work: commit i sets two of seven users to i, and closes the state after every fifth -- */
static int
work(const char *path)
{
	struct state *s = NULL;
	char text[2048];

	for (int i = 1; i <= N_COMMIT; i++) {
		if (!s && !(s = state_open(path, STATE_WRITE, &f)))
			return -1;
		memset(text, 'a' + i % 26, sizeof text);
		snprintf(text, sizeof text, "%d", i);
		if (state_begin(s, &f) < 0)
			return -1;
		for (int k = 0; k < 2; k++) {
			char key[2] = { (char)('a' + (i * 3 + k) % 7), 0 };
			if (state_put(s, "user", (struct span){ key, 1 }, (uint64_t)i, i, (struct span){ text, sizeof text }, &f) < 0)
				return -1;
		}
		if (state_commit(s, &f) < 0)
			return -1;
		acked_at[i] = n_op;
		if (i % 5 == 0 || i == N_COMMIT) {
			if (state_close(s, &f) < 0)
				return -1;
			s = NULL;
		}
	}
	return 0;
}

/* -1 unless the state holds exactly its first g commits; else g */
static int
commits_held(const char *path)
{
	struct state *s = state_open(path, STATE_READ, &f);
	struct buf v = {0};
	char uuid[33];
	uint64_t g = 0;
	int right = s && state_identity(s, uuid, &g, &f) == 0 && g <= N_COMMIT;

	for (int user = 0; right && user < 7; user++) {
		char key = (char)('a' + user);
		int want = 0;
		for (int i = 1; i <= (int)g; i++)
			if ((i * 3) % 7 == user || (i * 3 + 1) % 7 == user)
				want = i;
		int found = state_get(s, "user", (struct span){ &key, 1 }, &v, &f);
		right = found == (want > 0) && (!found || atoi(buf_string(&v)) == want);
	}
	if (right && state_check(s, NULL, NULL, &f) < 0)
		right = 0;
	buf_free(&v);
	state_close(s, &(struct fault){0});
	return right ? (int)g : -1;
}

struct image {
	unsigned char *at;
	size_t n, cap;
};

static void
apply(struct image *m, const struct op *o, struct rng *r, int whole)
{
	if (o->kind == OP_TRUNCATE) {
		if (whole || rng_below(r, 2)) {
			if (o->n > m->n) {
				m->at = xgrow(m->at, &m->cap, o->n, 1);
				memset(m->at + m->n, 0, o->n - m->n);
			}
			m->n = o->n;
		}
		return;
	}
	for (size_t from = 0; from < o->n; ) {
		size_t n = SECTOR - (o->at + from) % SECTOR;
		n = n < o->n - from ? n : o->n - from;
		if (whole || rng_below(r, 2)) {
			size_t end = o->at + from + n;
			if (end > m->n) {
				m->at = xgrow(m->at, &m->cap, end, 1);
				memset(m->at + m->n, 0, end - m->n);
				m->n = end;
			}
			memcpy(m->at + o->at + from, o->bytes + from, n);
		}
		from += n;
	}
}

/* What the disk holds when the power goes after operation n. */
static int
write_image(const char *folder, size_t n, int no_sync, struct rng *r)
{
	for (int i = 0; i < n_file; i++) {
		struct image m = {0};
		size_t last_sync = 0;
		int exists = files[i].n_start > 0, gone = 0, replaced = 0;
		if (files[i].n_start) {
			m.at = xgrow(m.at, &m.cap, files[i].n_start, 1);
			memcpy(m.at, files[i].start, m.n = files[i].n_start);
		}
		for (size_t k = 0; k < n; k++) {
			if (ops[k].file == i) {
				exists = 1;
				last_sync = ops[k].kind == OP_SYNC && !no_sync ? k : last_sync;
				gone |= ops[k].kind == OP_REMOVE;
			} else {
				/* a later file of the same name: the removal is as old as that, and on disk with it */
				replaced |= gone && strcmp(files[ops[k].file].name, files[i].name) == 0;
			}
		}
		for (size_t k = 0; k < n; k++)
			if (ops[k].file == i && (ops[k].kind == OP_WRITE || ops[k].kind == OP_TRUNCATE))
				apply(&m, &ops[k], r, k < last_sync);
		if (exists && !replaced && (!gone || rng_below(r, 2))) {
			char path[4096];
			snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
			FILE *out = fopen(path, "wb");
			if (!out || fwrite(m.at, 1, m.n, out) != m.n || fclose(out) != 0)
				return fault(&f, EX_IOERR, "%s: cannot be written", path);
		}
		free(m.at);
	}
	return 0;
}

int
main(int argc, char *argv[])
{
	char path[512], crash[512], name[600];
	size_t n_try = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, n_bad = 0, n_open = 0;
	int no_sync = argc > 3 && strcmp(argv[3], "--no-sync") == 0;
	struct rng r = rng_at(17, (uint64_t)no_sync);
	struct stat st;

	if (n_try == 0)
		return fprintf(stderr, "usage: powercut FOLDER N [--no-sync]\n"), EX_USAGE;
	setenv("HARE_STATE_PAGE", "4096", 1);
	below = sqlite3_vfs_find(NULL);
	layer_vfs = *below;
	layer_vfs.zName = "recording";
	layer_vfs.szOsFile = (int)sizeof(struct layer) + below->szOsFile;
	layer_vfs.xOpen = layer_open;
	layer_vfs.xDelete = layer_delete;
	sqlite3_vfs_register(&layer_vfs, 1);
	snprintf(path, sizeof path, "%s/state", argv[1]);
	snprintf(crash, sizeof crash, "%s/crash", argv[1]);
	mkdir(crash, 0700);

	/* the making of a file is not cut: it has no name before it is whole and synced */
	struct state *s = state_open(path, STATE_CREATE, &f);
	if (!s || state_close(s, &f) < 0 || stat(path, &st) < 0)
		return fprintf(stderr, "bench failed: %s\n", f.text), 1;
	n_file = 0;
	int file = find_file(path, 1);
	FILE *in = fopen(path, "rb");
	files[file].n_start = (size_t)st.st_size;
	files[file].start = xmalloc(files[file].n_start, 1);
	if (!in || fread(files[file].start, 1, files[file].n_start, in) != files[file].n_start)
		return fprintf(stderr, "bench failed: cannot read %s\n", path), 1;
	fclose(in);
	recording = 1;
	if (work(path) < 0)
		return fprintf(stderr, "bench failed: %s\n", f.text), 1;
	recording = 0;

	for (size_t t = 0; t < n_try; t++) {
		size_t cut = rng_below(&r, n_op + 1);
		int acked = 0;
		for (int i = 1; i <= N_COMMIT; i++)
			acked = acked_at[i] <= cut ? i : acked;
		static const char *const suffix[] = { "", "-wal", "-shm", "-journal" };
		for (int i = 0; i < 4; i++) {
			snprintf(name, sizeof name, "%s/state%s", crash, suffix[i]);
			unlink(name);
		}
		if (write_image(crash, cut, no_sync, &r) < 0)
			return fprintf(stderr, "bench failed: %s\n", f.text), 1;
		snprintf(name, sizeof name, "%s/state", crash);
		int held = commits_held(name);
		n_open += held >= 0;
		n_bad += held < acked;
	}
	printf("%zu power cuts within %zu operations%s: %zu bad states (%zu could be read)\n", n_try, n_op,
	    no_sync ? ", syncs not counted (control)" : "", n_bad, n_open);
	return 0;
}
