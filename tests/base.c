/* The lowest room: hashes, random numbers, threads, bytes in, files out. Called as "base toy ..." it is a program with
   every kind of option, which options.bats talks to. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/rng.h"
#include "base/source.h"
#include "base/thread.h"
#include "claim.h"
#include "scratch.h"

static struct fault f;

static int
fault_says(int status, const char *text)
{
	return f.status == status && strcmp(f.text, text) == 0;
}

static void
check_hash(void)
{
	struct rng r = rng_at(5, 1);
	unsigned char bytes[1100];
	int same = 1;

	claim(crc32c(0, "123456789", 9) == 0xE3069283 && crc32c_portable(0, "123456789", 9) == 0xE3069283,
	    "CRC-32C of 123456789 is e3069283 by both ways");
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)rng_u32(&r);
	for (size_t n = 0; n < 1000; n++) {
		size_t cut = rng_below(&r, n + 1);
		uint32_t whole = crc32c(0, bytes + n % 9, n);
		same &= whole == crc32c_portable(0, bytes + n % 9, n);
		same &= whole == crc32c(crc32c(0, bytes + n % 9, cut), bytes + n % 9 + cut, n - cut);
	}
	claim(same, "the instruction and the table agree at every length and place, in one piece or two");

	char one[33], two[33], other[33];
	struct hash128 *h = hash128_new();
	hash128_add(h, "the whole of it", 15);
	hash128_hex(h, one);
	h = hash128_new();
	hash128_add(h, "the who", 7);
	hash128_add(h, "", 0);
	hash128_add(h, "le of it", 8);
	hash128_hex(h, two);
	h = hash128_new();
	hash128_add(h, "the whole of is", 15);
	hash128_hex(h, other);
	claim(strcmp(one, two) == 0 && strlen(one) == 32 && strcmp(one, other) != 0, "the hash of pieces is that of the whole, in 32 digits");
	h = hash128_new();
	hash128_hex(h, one);
	claim(strcmp(one, "99aa06d3014798d86001c324468d497f") == 0, "XXH3 of nothing is the one of its specification");
	claim(hash64("a", 1, 0) != hash64("a", 1, 1) && hash64("a", 1, 3) == hash64("a", 1, 3), "a seed changes the 64-bit hash");
}

static int
block_is(struct rng r, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	return rng_u32(&r) == a && rng_u32(&r) == b && rng_u32(&r) == c && rng_u32(&r) == d;
}

static void
check_rng(void)
{
	claim(block_is(rng_at(0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8), "Philox of zeros is that of Random123");
	claim(block_is((struct rng){ .seed = UINT64_MAX, .stream = UINT64_MAX, .counter = UINT64_MAX },
	    0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd), "so is Philox of ones");
	claim(block_is((struct rng){ .seed = 0x299f31d0a4093822, .stream = 0x0370734413198a2e, .counter = 0x85a308d3243f6a88 },
	    0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1), "and Philox of the digits of pi");

	struct rng r = rng_at(9, 4), later = rng_at(9, 4);
	for (int i = 0; i < 4 * 1000; i++)
		rng_u32(&r);
	later.counter = 1000;
	claim(rng_u32(&r) == rng_u32(&later), "block 1000 can be had without those before it");

	enum { N = 200000 };
	double sum = 0, square = 0, low = 1, high = 0, gumbel = 0;
	size_t n_of[7] = {0};
	r = rng_at(9, 5);
	for (int i = 0; i < N; i++) {
		double u = rng_uniform(&r), z = rng_normal(&r);
		low = fmin(low, u);
		high = fmax(high, u);
		sum += z;
		square += z * z;
		gumbel += rng_gumbel(&r);
		n_of[rng_below(&r, 7)]++;
	}
	/* five standard errors */
	claim(low > 0 && low < 1e-4 && high < 1 && high > 1 - 1e-4, "uniform numbers fill (0, 1) and never reach its ends");
	claim(fabs(sum / N) < 5 / sqrt(N) && fabs(square / N - 1) < 5 * sqrt(2. / N), "normal numbers have mean 0 and variance 1");
	claim(fabs(gumbel / N - .5772156649) < 5 * 1.2825 / sqrt(N), "Gumbel numbers have Euler's constant for mean");
	int even = 1;
	for (int i = 0; i < 7; i++)
		even &= fabs((double)n_of[i] - N / 7.) < 5 * sqrt(N * 6 / 49.);
	claim(even, "numbers below 7 are equally frequent");
	uint64_t n = ((uint64_t)1 << 63) + 1, n_high = 0;
	int below = 1;
	for (int i = 0; i < 10000; i++) {
		uint64_t x = rng_below(&r, n);
		below &= x < n;
		n_high += x >= n / 2;
	}
	claim(below && fabs((double)n_high - 5000) < 250 && rng_below(&r, 1) == 0, "a bound just above 2^63 makes no bias, and below 1 is 0");
}

enum { N_TASK = 1000 };
static atomic_int n_call[N_TASK], n_inner, bad_worker;

static void
count_inner(void *arg, size_t i, size_t worker)
{
	(void)i;
	atomic_fetch_add(&n_inner, 1);
	if (worker >= 4 || arg != &n_inner)
		atomic_store(&bad_worker, 1);
}

static void
count(void *arg, size_t i, size_t worker)
{
	atomic_fetch_add(&n_call[i], 1);
	if (worker >= *(size_t *)arg)
		atomic_store(&bad_worker, 1);
	if (i % 100 == 0)
		thread_for(4, 10, count_inner, &n_inner);
}

static void *
other_caller(void *arg)
{
	for (int i = 0; i < 50; i++)
		thread_for(3, N_TASK, count, arg);
	return NULL;
}

static void
check_thread(void)
{
	size_t n_thread = 4, n_limit = 5;
	int once = 1;

	thread_for(n_thread, N_TASK, count, &n_thread);
	for (int i = 0; i < N_TASK; i++)
		once &= atomic_exchange(&n_call[i], 0) == 1;
	claim(once && n_inner == 100 && !bad_worker, "every task runs once, and so do tasks within a task");
	for (n_thread = 1; n_thread <= 5; n_thread++)
		for (size_t n_task = 0; n_task < 40; n_task++)
			thread_for(n_thread, n_task, count, &n_thread);
	for (int i = 0; i < N_TASK; i++)
		once &= atomic_exchange(&n_call[i], 0) == (i < 39 ? 5 * (39 - i) : 0);
	claim(once && !bad_worker, "so it is for any number of threads and tasks, call after call");
	pthread_t thread;
	int is_made = pthread_create(&thread, NULL, other_caller, &n_limit) == 0;
	if (is_made) {
		other_caller(&n_limit);
		pthread_join(thread, NULL);
	}
	for (int i = 0; i < N_TASK; i++)
		once &= atomic_exchange(&n_call[i], 0) == 100;
	claim(is_made && once && !bad_worker, "two callers at once do not disturb each other");
	claim(thread_count() >= 1, "there is a processor");
}

static void
put_file(const char *path, const void *at, size_t n)
{
	FILE *out = fopen(path, "w");

	if (!out || fwrite(at, 1, n, out) != n || fclose(out) != 0)
		perror(path);
}

static int
file_is(const char *path, const char *text)
{
	char at[256];
	FILE *in = fopen(path, "r");

	if (!in)
		return 0;
	size_t n = fread(at, 1, sizeof at, in);
	fclose(in);
	return n == strlen(text) && memcmp(at, text, n) == 0;
}

/* The folder holds n_want files, hidden ones counted. */
static int
folder_has(const char *folder, int n_want)
{
	char command[400], line[64] = "";

	snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
	FILE *in = popen(command, "r");
	if (!in)
		return 0;
	char *got = fgets(line, sizeof line, in);
	pclose(in);
	return got && atoi(line) == n_want;
}

static size_t
pack(unsigned char *out, size_t n_out, const char *at, size_t n)
{
	z_stream z = {0};

	deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	z.next_in = (unsigned char *)(uintptr_t)at;
	z.avail_in = (unsigned)n;
	z.next_out = out;
	z.avail_out = (unsigned)n_out;
	deflate(&z, Z_FINISH);
	n_out -= z.avail_out;
	deflateEnd(&z);
	return n_out;
}

/* Reads all in pieces of n_piece; -1 if it ends in a fault. */
static ptrdiff_t
read_all(struct source *s, char *out, size_t n_out, size_t n_piece)
{
	size_t n = 0;
	ptrdiff_t got;

	while (n + n_piece <= n_out && (got = source_read(s, out + n, n_piece, &f)) != 0) {
		if (got < 0)
			return -1;
		n += (size_t)got;
	}
	return (ptrdiff_t)n;
}

enum { N_TEXT = 300000, N_ROOM = 1000000, N_PIECE = 2 << 20 };
static char text[N_TEXT], out[N_ROOM];
static unsigned char packed[N_ROOM];

static int
reads_back(const char *path, size_t n_piece, size_t n_copy)
{
	struct source *s = source_open(path, &f);
	int same = s != NULL;

	if (!s)
		return 0;
	same &= read_all(s, out, sizeof out, n_piece) == (ptrdiff_t)(n_copy * N_TEXT);
	for (size_t i = 0; i < n_copy; i++)
		same &= memcmp(out + i * N_TEXT, text, N_TEXT) == 0;
	source_close(s);
	return same;
}

static int
fails_with(const char *path, const char *message)
{
	struct source *s = source_open(path, &f);
	ptrdiff_t n = s ? read_all(s, out, sizeof out, 4096) : -1;

	source_close(s);
	return n < 0 && fault_says(s ? EX_DATAERR : EX_NOINPUT, message);
}

static void
check_source(void)
{
	struct rng r = rng_at(5, 2);

	for (size_t i = 0; i < N_TEXT; i++)
		text[i] = (char)('a' + rng_below(&r, 20));
	put_file("plain", text, N_TEXT);
	size_t n = pack(packed, sizeof packed, text, N_TEXT);
	put_file("one.gz", packed, n);
	put_file("short.gz", packed, n - 5);
	put_file("half.gz", packed, n / 2);
	size_t n_two = n + pack(packed + n, sizeof packed - n, text, N_TEXT);
	put_file("two.gz", packed, n_two);
	memset(packed + n_two, 0, 600);
	put_file("padded.gz", packed, n_two + 600);
	memset(packed + N_ROOM - 1000, 0, 1000);
	pack(packed + N_ROOM - 1000, 1000, "", 0);
	put_file("nothing.gz", packed + N_ROOM - 1000, 1000);
	memcpy(packed + n_two, "junk", 4);
	put_file("junk.gz", packed, n_two + 4);
	packed[n / 2] ^= 0x40;
	packed[n - 6] ^= 1;
	put_file("bad.gz", packed, n);
	put_file("empty", "", 0);
	put_file("byte", "\x1f", 1);

	claim(reads_back("plain", 1000, 1) && reads_back("plain", 400000, 1), "a plain file comes as it is");
	claim(reads_back("one.gz", 777, 1) && reads_back("one.gz", 1 << 19, 1), "gzip is known by its magic and unpacked");
	claim(reads_back("two.gz", 5000, 2) && reads_back("padded.gz", 5000, 2), "members follow one another, zeros may follow the last");
	struct source *s = source_open("empty", &f);
	claim(s && read_all(s, out, sizeof out, 100) == 0, "an empty file has an end and no fault");
	source_close(s);
	s = source_open("nothing.gz", &f);
	claim(s && read_all(s, out, sizeof out, 100) == 0, "so has a gzip file of nothing, and the zeros behind it");
	source_close(s);
	s = source_open("byte", &f);
	claim(s && read_all(s, out, sizeof out, 100) == 1 && out[0] == 0x1F, "the first byte of the magic alone is a plain byte");
	source_close(s);
	claim(fails_with("short.gz", "short.gz: gzip data ends too early") && fails_with("half.gz", "half.gz: gzip data ends too early"),
	    "a gzip file that was cut says so");
	claim(fails_with("junk.gz", "junk.gz: bytes that are not gzip data follow the gzip data"), "what is no gzip behind gzip is named");
	s = source_open("bad.gz", &f);
	claim(s && read_all(s, out, sizeof out, 4096) < 0 && f.status == EX_DATAERR &&
	    strncmp(f.text, "bad.gz: gzip data is damaged: ", 30) == 0, "damage within gzip is found");
	source_close(s);
	claim(fails_with("nowhere", "nowhere: No such file or directory") && fails_with(".", ".: is a directory"),
	    "a missing file and a folder are input that is not there");

	s = source_open("plain", &f);
	int there = s && source_read(s, out, 10, &f) == 10 && source_skip_to(s, 200000, &f) == 0 &&
	    source_read(s, out, 10, &f) > 0 && memcmp(out, text + 200000, 10) == 0 &&
	    source_skip_to(s, 5, &f) == 0 && source_read(s, out, 10, &f) > 0 && memcmp(out, text + 5, 10) == 0;
	claim(there && source_skip_to(s, N_TEXT + 1, &f) < 0 && fault_says(EX_DATAERR, "plain: ends before byte 300001"),
	    "a plain file goes on at any byte, but not behind its end");
	source_close(s);
	s = source_open("two.gz", &f);
	there = s && source_skip_to(s, 400000, &f) == 0 && source_read(s, out, 10, &f) > 0 && memcmp(out, text + 100000, 10) == 0;
	claim(there && source_skip_to(s, 5, &f) < 0 && source_skip_to(s, 600001, &f) < 0, "unpacked bytes are skipped forwards only");
	source_close(s);
}

static void
check_pipe(void)
{
	int ends[2];
	char path[64];

	if (pipe(ends) < 0)
		return;
	snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
	struct source *s = source_open(path, &f);
	int waits = s && source_would_block(s);
	waits &= write(ends[1], "ab", 2) == 2 && !source_would_block(s);
	int gives = source_read(s, out, 100, &f) == 2 && memcmp(out, "ab", 2) == 0 && source_would_block(s);
	gives &= write(ends[1], "c", 1) == 1 && source_read(s, out, 100, &f) == 1 && out[0] == 'c';
	close(ends[1]);
	claim(waits && gives && !source_would_block(s) && source_read(s, out, 100, &f) == 0 && !source_would_block(s),
	    "a pipe is not waited on for more than it has, and its end needs no waiting");
	source_close(s);
	close(ends[0]);

	/* all of a gzip stream sent, less taken out than it holds */
	size_t n = pack(packed, sizeof packed, text, 20000);
	if (pipe(ends) < 0)
		return;
	snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
	s = source_open(path, &f);
	int holds = s && write(ends[1], packed, n - 9) == (ssize_t)(n - 9);
	size_t n_out = 0;
	while (holds && n_out < 20000 && !source_would_block(s)) {
		ptrdiff_t got = source_read(s, out + n_out, 7, &f);
		if (got <= 0)
			break;
		n_out += (size_t)got;
	}
	claim(holds && n_out > 19000 && memcmp(out, text, n_out) == 0, "what is held unpacked needs no waiting");
	close(ends[1]);
	source_close(s);
	close(ends[0]);
}

static void
check_file(void)
{
	mkdir("d", 0777);
	umask(022);
	put_file("d/a", "old", 3);
	struct file_out *o = file_out_open("d/a", 0666, &f);
	int whole = o && file_out_write(o, "new", 3, &f) == 0 && file_is("d/a", "old") && folder_has("d", 2);
	whole &= file_out_commit(o, &f) == 0 && file_is("d/a", "new") && folder_has("d", 1);
	struct stat st;
	claim(whole && stat("d/a", &st) == 0 && (st.st_mode & 0777) == 0644, "the old file stands until the new one is whole");
	o = file_out_open("d/a", 0600, &f);
	whole = o && file_out_write(o, text, N_TEXT, &f) == 0 && file_out_write(o, text, 1, &f) == 0;
	file_out_abort(o);
	claim(whole && file_is("d/a", "new") && folder_has("d", 1), "a file given up leaves the old one and nothing else");
	/* pieces of all sizes, past several of those that are written at once */
	char *piece = xmalloc(3 * N_PIECE, 1), *read = xmalloc(3 * N_PIECE, 1);
	for (size_t i = 0; i < 3 * N_PIECE; i++)
		piece[i] = text[(i * 7 + i / N_TEXT) % N_TEXT];
	o = file_out_open("d/pieces", 0600, &f);
	whole = o != NULL;
	size_t at = 0;
	for (size_t i = 0, n; whole && at < 3 * N_PIECE; i++, at += n) {
		static const size_t size[] = { 1, 300000, N_PIECE, 0, 70001, N_PIECE + 4097, 64 };
		n = size[i % 7] < 3 * N_PIECE - at ? size[i % 7] : 3 * N_PIECE - at;
		whole = file_out_write(o, piece + at, n, &f) == 0;
	}
	whole &= file_out_commit(o, &f) == 0;
	FILE *written = fopen("d/pieces", "rb");
	claim(whole && written && fread(read, 1, 3 * N_PIECE, written) == 3 * N_PIECE && getc(written) == EOF &&
	    memcmp(read, piece, 3 * N_PIECE) == 0, "pieces of all sizes become one file, in their order");
	fclose(written);
	free(read);
	free(piece);
	unlink("d/pieces");
	o = file_out_open("d/secret", 0600, &f);
	claim(o && file_out_commit(o, &f) == 0 && stat("d/secret", &st) == 0 && (st.st_mode & 0777) == 0600 && st.st_size == 0,
	    "the mode is as asked");
	unlink("d/secret");

	if (symlink("d/a", "link") < 0)
		perror("link");
	o = file_out_open("link", 0666, &f);
	whole = o && file_out_write(o, "through", 7, &f) == 0 && file_out_commit(o, &f) == 0;
	claim(whole && lstat("link", &st) == 0 && S_ISLNK(st.st_mode) && file_is("d/a", "through"), "a link stays, and what it leads to is written");
	claim(!file_out_open("d", 0666, &f) && fault_says(EX_NOINPUT, "d: is a directory"), "a folder is not written");
	claim(!file_out_open("none/a", 0666, &f) && f.status == EX_NOINPUT, "nor a file in a folder that is not there");
	claim(file_out_check("d", &f) < 0 && fault_says(EX_NOINPUT, "d: is a directory") && file_out_check("none/a", &f) < 0 &&
	    fault_says(EX_NOINPUT, "none/a: cannot write: No such file or directory"), "which can be asked before");
	claim(file_out_check("d/a", &f) == 0 && file_out_check("d/new", &f) == 0 && file_out_check("link", &f) == 0 &&
	    file_out_check("new", &f) == 0 && file_out_check("/dev/full", &f) == 0, "as what can be written");
	o = file_out_open("/dev/full", 0666, &f);
	claim(o && file_out_write(o, "x", 1, &f) == 0 && file_out_commit(o, &f) < 0 && f.status == EX_TEMPFAIL, "a full device says so");
	o = file_out_open("/dev/null", 0666, &f);
	claim(o && file_out_write(o, "x", 1, &f) == 0 && file_out_commit(o, &f) == 0 && stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode),
	    "a device is written straight and stays one");

	struct file_map m;
	int maps = file_map_open(&m, "d/a", &f) == 0 && m.n == 7 && memcmp(m.at, "through", 7) == 0;
	file_map_close(&m);
	maps &= file_map_open(&m, "empty", &f) == 0 && m.n == 0 && !m.at;
	file_map_close(&m);
	claim(maps && file_map_open(&m, "d", &f) < 0 && fault_says(EX_NOINPUT, "d: is a directory") &&
	    file_map_open(&m, "nowhere", &f) < 0 && f.status == EX_NOINPUT, "a file is mapped, an empty one too, a folder not");
}

/* What happens to d/a when its writer is ended by a signal half way; the child's status. */
static int
end_writer(int number)
{
	fflush(stdout);
	pid_t child = fork();

	if (child == 0) {
		struct file_out *o = file_out_open("d/a", 0666, &f);
		if (o && file_out_write(o, text, N_TEXT, &f) == 0)
			kill(getpid(), number);
		_exit(99);
	}
	int status = 0;
	waitpid(child, &status, 0);
	return status;
}

static void
check_ends(void)
{
	int status = end_writer(SIGTERM);
	claim(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM && file_is("d/a", "through") && folder_has("d", 1),
	    "a writer that is asked to end leaves the old file and no temporary one");
	status = end_writer(SIGPIPE);
	claim(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE && folder_has("d", 1), "so does one whose reader has gone");
	status = end_writer(SIGKILL);
	claim(WIFSIGNALED(status) && file_is("d/a", "through") && folder_has("d", 2), "a killed one leaves the old file");
	struct file_out *o = file_out_open("d/a", 0666, &f);
	claim(o && file_out_write(o, "again", 5, &f) == 0 && file_out_commit(o, &f) == 0 && file_is("d/a", "again"),
	    "and the next is not in its way");

	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct rlimit limit = { 100000, 100000 };
		setrlimit(RLIMIT_FSIZE, &limit);
		o = file_out_open("d/a", 0666, &f);
		/* more than is kept back */
		for (size_t i = 0; o && i < 8; i++)
			if (file_out_write(o, text, N_TEXT, &f) < 0) {
				file_out_abort(o);
				_exit(f.status);
			}
		_exit(1);
	}
	waitpid(child, &status, 0);
	claim(WIFEXITED(status) && WEXITSTATUS(status) == EX_TEMPFAIL && file_is("d/a", "again"), "a limit on file sizes is an error, not a signal");

	child = fork();
	if (child == 0) {
		char byte;
		close(0), close(1), close(2);
		file_init();
		int fd = open("d/a", O_RDWR);
		_exit(fd > 2 && read(0, &byte, 1) < 0 && write(1, "x", 1) < 0 && write(2, "x", 1) < 0 ? 0 : 1);
	}
	waitpid(child, &status, 0);
	claim(WIFEXITED(status) && WEXITSTATUS(status) == 0 && file_is("d/a", "again"),
	    "no file takes the place of a closed stdin, stdout or stderr, which still fail");
}

/* ---- a program with every kind of option ---- */

static int flag, quiet;
static const char *model, *form = "csv", *label = "none";
static struct opt_list pools;
static size_t top_n = 10, n_all;
static uint64_t seed = 1;
static double alpha = .25;

static int
show(const struct opt_program *p, int n_operand, char **operand)
{
	if (n_operand > 3)
		opt_usage(p, "expected at most 3 files, got %d", n_operand);
	printf("%s flag=%d quiet=%d model=%s form=%s label=%s top=%zu all=%zu seed=%llu alpha=%g pools=", p->name, flag, quiet,
	    model ? model : "-", form, label, top_n, n_all, (unsigned long long)seed, alpha);
	for (size_t i = 0; i < pools.n; i++)
		printf("%s%s", i ? "," : "", pools.at[i]);
	for (int i = 0; i < n_operand; i++)
		printf(" [%s]", operand[i]);
	putchar('\n');
	return file_stdout_close(EX_OK);
}

static const struct opt common[] = {
	{ 'q', "quiet", OPT_FLAG, &quiet, NULL, "say less", NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL }
};
static const struct opt opts[] = {
	{ 'F', "flag", OPT_FLAG, &flag, NULL, "a flag", NULL, NULL },
	{ 'm', "model", OPT_FILE, &model, "MODEL", "the model's file: [any]", NULL, "TOY_MODEL" },
	{ 'f', "form", OPT_CHOICE, &form, "FORM", "the form", "csv tsv json", NULL },
	{ 0, "label", OPT_STRING, &label, "TEXT", "a label", NULL, NULL },
	{ 'p', "pool", OPT_LIST, &pools, "POOL", "a pool; may be given again", NULL, "TOY_POOL" },
	{ 'k', "top", OPT_SIZE, &top_n, "N", "how many", NULL, "TOY_TOP" },
	{ 0, "all", OPT_SIZE, &n_all, "N", "how many of all", NULL, NULL },
	{ 's', "seed", OPT_U64, &seed, "SEED", "the seed", NULL, NULL },
	{ 'a', NULL, OPT_REAL, &alpha, "ALPHA", "how much", NULL, NULL },
	{ 0, NULL, OPT_TABLE, (void *)(uintptr_t)common, NULL, NULL, NULL, NULL },
	{ 0, NULL, OPT_END, NULL, NULL, NULL, NULL, NULL }
};
static const struct opt_program fit = { "fit", "fits a toy", "[-F] [file ...]", opts, "hare-toy fit < toys.csv", show, NULL };
static const struct opt_program *const verbs[] = { &fit, NULL };
static const struct opt_program toy = {
	"hare-toy", "shows its options", "[-Fq] [-m MODEL] [file ...]\n--form FORM", opts, "hare-toy -k 3 toys.csv", show, verbs
};
static const struct opt_program box = { "hare-box", "holds a verb", NULL, NULL, NULL, NULL, verbs };

int
main(int argc, char *argv[])
{
	file_init();
	if (argc > 1 && (strcmp(argv[1], "toy") == 0 || strcmp(argv[1], "box") == 0))
		return opt_run(argv[1][0] == 't' ? &toy : &box, argc - 1, argv + 1);
	char folder[SCRATCH], command[96];
	if (scratch_folder(folder) < 0 || chdir(folder) < 0)
		return 1;
	check_hash();
	check_rng();
	check_thread();
	check_source();
	check_pipe();
	check_file();
	check_ends();
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (chdir("/") < 0 || system(command) != 0)
		return 1;
	return claim_n_failed != 0;
}
