/*
 * The state file: what is put is got, whole or not at all; damage is named.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "claim.h"
#include "scratch.h"
#include "state/state.h"

static struct fault f;
static char folder[SCRATCH];

static struct span
span(const char *s)
{
	return (struct span){ s, strlen(s) };
}

static const char *
path(const char *name)
{
	static char ring[4][128];
	static int turn;
	char *out = ring[turn++ % 4];

	snprintf(out, sizeof ring[0], "%s/%s", folder, name);
	return out;
}

/* 200 values of changing sizes under "user", and two of another kind */
static int
fill(const char *name, int from, int to)
{
	struct state *s = state_open(path(name), STATE_CREATE, &f);
	char key[32], *v = malloc(70000);
	int e = s ? state_begin(s, &f) : -1;

	for (int i = from; e == 0 && i < to; i++) {
		snprintf(key, sizeof key, "user%03d", i);
		size_t n = (size_t)(i * 7919 % 5000) + (i % 50 == 0 ? 60000 : 0);
		memset(v, 'a' + i % 26, n);
		e = state_put(s, "user", span(key), (uint64_t)i, i, (struct span){ v, n }, &f);
	}
	if (e == 0)
		e = state_put(s, "cluster", span("3"), 5, 1, span("five"), &f);
	if (e == 0)
		e = state_commit(s, &f);
	free(v);
	return state_close(s, &f) < 0 ? -1 : e;
}

/* How many of the 200 are read back right; wrong counts any other answer that is no error. */
static int
read_back(const char *name, int *n_wrong, int *n_error)
{
	struct state *s = state_open(path(name), STATE_READ, &f);
	struct buf v = {0};
	int n_right = 0;

	*n_wrong = *n_error = 0;
	for (int i = 0; i < 200; i++) {
		char key[32];
		snprintf(key, sizeof key, "user%03d", i);
		size_t n = (size_t)(i * 7919 % 5000) + (i % 50 == 0 ? 60000 : 0), k = 0;
		int found = s ? state_get(s, "user", span(key), &v, &f) : -1;
		while (found == 1 && k < v.n && v.at[k] == 'a' + i % 26)
			k++;
		if (found == 1 && v.n == n && k == n)
			n_right++;
		else if (found < 0 && f.status == EX_DATAERR)
			++*n_error;
		else
			++*n_wrong;
	}
	buf_free(&v);
	struct fault closing;
	state_close(s, &closing);
	return n_right;
}

static void
basics(void)
{
	struct stat st;
	int wrong, error;
	uint64_t n, n_obs;
	struct buf v = {0};

	claim(fill("a", 0, 200) == 0 && read_back("a", &wrong, &error) == 200, "values put are got back");
	claim(stat(path("a"), &st) == 0 && (st.st_mode & 0777) == 0600, "a state is made for its owner alone");
	claim(access(path("a-wal"), F_OK) < 0 && access(path("a-shm"), F_OK) < 0, "a closed state is one file");
	struct state *s = state_open(path("a"), STATE_WRITE, &f);
	state_count(s, "user", &n, &n_obs, &f);
	claim(n == 200 && n_obs == 199 * 100, "totals count values and observations");
	state_begin(s, &f);
	state_put(s, "user", span("user007"), 100, 1, span("other"), &f);
	state_put(s, "user", span("zoe"), 3, 1, span("new"), &f);
	claim(state_get(s, "user", span("zoe"), &v, &f) == 1 && v.n == 3, "a transaction sees its own puts");
	state_rollback(s);
	claim(state_get(s, "user", span("zoe"), &v, &f) == 0 && state_get(s, "user", span("user007"), &v, &f) == 1 && v.n == 433,
	    "what was rolled back is not there");
	char before[33], after[33];
	uint64_t g1, g2;
	state_identity(s, before, &g1, &f);
	state_begin(s, &f);
	state_expect(s, "user", 150, &f);
	for (int i = 0; i < 150; i++) {
		char key[32];
		snprintf(key, sizeof key, "user%03d", i);
		state_get(s, "user", span(key), &v, &f);
		state_put(s, "user", span(key), (uint64_t)i + 1, i, (struct span){ v.at, v.n }, &f);
	}
	claim(state_delete(s, "user", span("user199"), &f) == 1 && state_delete(s, "user", span("nobody"), &f) == 0, "deleting tells what was there");
	claim(state_commit(s, &f) == 0, "a transaction that moves most values is committed");
	state_identity(s, after, &g2, &f);
	state_count(s, "user", &n, &n_obs, &f);
	claim(strcmp(before, after) == 0 && g2 == g1 + 1, "a commit counts, the identity stays");
	claim(n == 199 && n_obs == 199 * 100 - 199 + 150, "totals follow replacing and deleting");
	claim(state_check(s, NULL, NULL, &f) == 0, "a state in use passes its check");
	struct state_walk *w = state_walk_new(s, "user", &f);
	char last[64] = "";
	int got, sorted = 1, n_walk = 0;
	while ((got = state_walk_next(w, &f)) == 1) {
		struct span key = state_walk_key(w);
		sorted &= strncmp(last, key.at, key.n) < 0;
		snprintf(last, sizeof last, "%.*s", (int)key.n, key.at);
		n_walk++;
	}
	state_walk_free(w);
	claim(got == 0 && sorted && n_walk == 199, "a walk meets every value once, in the order of keys");
	const char *text;
	state_begin(s, &f);
	state_set_meta(s, "dim", "32", &f);
	state_apply_once(s, span("e1"), span("ann"), 1, &f);
	claim(state_apply_once(s, span("e1"), span("bob"), 2, &f) == 1 && state_apply_once(s, span("e2"), span("bob"), 2, &f) == 0,
	    "an event is applied once");
	struct state_source at = { 100, 3, 4, 0xFEEDFACECAFEBEEF, 5 }, back = {0};
	state_set_source(s, "/tmp/x.csv", &at, &f);
	state_commit(s, &f);
	claim(state_meta(s, "dim", &text, &f) == 1 && strcmp(text, "32") == 0 && state_meta(s, "space", &text, &f) == 0 && !text,
	    "settings are kept, absent ones are absent");
	claim(state_source(s, "/tmp/x.csv", &back, &f) == 1 && memcmp(&at, &back, sizeof at) == 0 && state_source(s, "y", &back, &f) == 0,
	    "the position of a source is kept");
	state_begin(s, &f);
	state_forget_events(s, span("bob"), &f);
	claim(state_apply_once(s, span("e1"), span("x"), 1, &f) == 1 && state_apply_once(s, span("e2"), span("x"), 1, &f) == 0,
	    "a user's events can be forgotten");
	state_commit(s, &f);
	char odd[] = "a\0b,\"\n", big[3000];
	memset(big, 'k', sizeof big);
	state_begin(s, &f);
	state_put(s, "user", (struct span){ odd, 6 }, 1, 1, span("odd"), &f);
	state_put(s, "user", (struct span){ big, sizeof big }, 1, 1, span("big"), &f);
	state_put(s, "user", span(""), 1, 1, span(""), &f);
	state_commit(s, &f);
	claim(state_get(s, "user", (struct span){ odd, 6 }, &v, &f) == 1 && v.n == 3 && state_get(s, "user", (struct span){ odd, 1 }, &v, &f) == 0 &&
	    state_get(s, "user", (struct span){ big, sizeof big }, &v, &f) == 1 && state_get(s, "user", span(""), &v, &f) == 1 && v.n == 0,
	    "keys are any bytes, of any length");
	char *large = malloc(1000000000);       /* never touched */
	claim(large && state_begin(s, &f) == 0 && state_put(s, "user", span("large"), 1, 1, (struct span){ large, 1000000000 }, &f) < 0 &&
	    f.status == EX_DATAERR && strstr(f.text, "user large: is larger than"), "a value beyond what a state can hold is refused by name");
	state_rollback(s);
	free(large);
	claim(state_backup(s, path("copy"), &f) == 0 && state_backup(s, path("copy"), &f) < 0, "a backup is made, and not over another file");
	claim(state_close(s, &f) == 0, "closing works");
	struct state *c = state_open(path("copy"), STATE_WRITE, &f);
	claim(c && state_check(c, NULL, NULL, &f) == 0 && state_count(c, "user", &n, &n_obs, &f) == 0 && n == 202, "the backup is a whole state");
	state_close(c, &f);
	claim(stat(path("copy"), &st) == 0 && (st.st_mode & 0777) == 0600, "a backup is for its owner alone too");
	buf_free(&v);
}

static void
put_byte(const char *name, off_t at, int c)
{
	int fd = open(path(name), O_WRONLY);

	if (pwrite(fd, &(char){ (char)c }, 1, at) != 1)
		claim(0, "test can write");
	close(fd);
}

static int
open_status(const char *name, enum state_mode mode)
{
	struct state *s = state_open(path(name), mode, &f);

	if (!s)
		return f.status;
	state_close(s, &(struct fault){0});
	return 0;
}

static void
what_is_no_state(void)
{
	FILE *out;

	claim(open_status("absent", STATE_READ) == EX_NOINPUT && open_status("absent", STATE_WRITE) == EX_NOINPUT, "a state that is not there: 66");
	claim(open_status("no/such/folder", STATE_CREATE) == EX_NOINPUT, "a folder that is not there: 66");
	claim(open_status("", STATE_READ) == EX_NOINPUT, "a folder for a state: 66");
	fclose(fopen(path("empty"), "w"));
	claim(open_status("empty", STATE_CREATE) == EX_DATAERR, "an empty file is no state: 65");
	out = fopen(path("text"), "w");
	for (int i = 0; i < 1000; i++)
		fputs("user,reward\n", out);
	fclose(out);
	claim(open_status("text", STATE_WRITE) == EX_DATAERR && strstr(f.text, "is no state of hare"), "text is no state: 65");
	fill("newer", 0, 20);
	put_byte("newer", 63, 99);
	claim(open_status("newer", STATE_READ) == EX_DATAERR && strstr(f.text, "newer version"), "a newer format is told as such: 65");
}

/* Damages a copy in every class of place and expects each value right or refused. */
static void
damage(void)
{
	struct rng r = rng_at(7, 0);
	struct stat st;
	int n_wrong = 0, n_noticed = 0, n_crash = 0, n_check = 0;
	enum { N_TRY = 60 };

	fill("whole", 0, 200);
	stat(path("whole"), &st);
	size_t n = (size_t)st.st_size, n_page = n / 32768;
	unsigned char *bytes = malloc(n + 32768), *bad = malloc(n + 32768);
	int fd = open(path("whole"), O_RDONLY);
	if (read(fd, bytes, n) != (ssize_t)n)
		claim(0, "test can read");
	close(fd);
	for (int t = 0; t < N_TRY; t++) {
		size_t n_bad = n, at = rng_below(&r, n), page = rng_below(&r, n_page), other = rng_below(&r, n_page);
		memcpy(bad, bytes, n);
		switch (t % 5) {
		case 0: bad[at] ^= (unsigned char)(1u << rng_below(&r, 8)); break;
		case 1: memset(bad + page * 32768, 0, 32768); break;
		case 2: memcpy(bad + page * 32768, bad + (other == page ? (page + 1) % n_page : other) * 32768, 32768); break;
		case 3: n_bad = at; break;
		case 4: memset(bad + at / 512 * 512, 0, 512); break;
		}
		int same = n_bad == n && memcmp(bad, bytes, n) == 0;
		fd = open(path("bad"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (write(fd, bad, n_bad) != (ssize_t)n_bad)
			claim(0, "test can write");
		close(fd);
		/* in a process of its own: a crash or a hang is an answer too */
		pid_t child = fork();
		if (child == 0) {
			int wrong, error;
			alarm(20);
			int right = read_back("bad", &wrong, &error), sound = 0;
			struct state *s = state_open(path("bad"), STATE_READ, &f);
			if (s && state_check(s, NULL, NULL, &f) == 0)
				sound = 1;
			_exit(wrong || right + error != 200 ? 1 : sound ? 2 : 0);
		}
		int status;
		waitpid(child, &status, 0);
		n_crash += !WIFEXITED(status);
		n_wrong += WIFEXITED(status) && WEXITSTATUS(status) == 1;
		n_check += WIFEXITED(status) && WEXITSTATUS(status) == 2 && !same;
		n_noticed += WIFEXITED(status) && WEXITSTATUS(status) == 0;
		unlink(path("bad-wal"));
		unlink(path("bad-shm"));
	}
	claim(n_wrong == 0, "%d damaged files: every value is right or refused", N_TRY);
	claim(n_crash == 0, "and none ends in a signal or a hang");
	claim(n_check == 0 && n_noticed > N_TRY * 9 / 10, "and the check finds each (%d)", n_noticed);
	free(bytes);
	free(bad);
}

static void
two_writers(void)
{
	pid_t child[3];
	uint64_t n, n_obs;
	int bad = 0;

	for (int c = 0; c < 3; c++)
		if ((child[c] = fork()) == 0) {
			struct buf v = {0};
			int e = 0;
			for (int i = 0; i < 40 && e == 0; i++) {
				struct state *s = state_open(path("shared"), STATE_CREATE, &f);
				e = s ? state_begin(s, &f) : -1;
				if (e == 0) {
					uint64_t had = state_get(s, "user", span("both"), &v, &f) == 1 ? strtoull(buf_string(&v), NULL, 10) : 0;
					char text[32];
					snprintf(text, sizeof text, "%llu", (unsigned long long)had + 1);
					e = state_put(s, "user", span("both"), had + 1, 0, span(text), &f) < 0 ? -1 : state_commit(s, &f);
				}
				e = state_close(s, &(struct fault){0}) < 0 ? -1 : e;
			}
			_exit(e != 0);
		}
	for (int c = 0; c < 3; c++) {
		int status;
		waitpid(child[c], &status, 0);
		bad |= status != 0;
	}
	struct state *s = state_open(path("shared"), STATE_READ, &f);
	state_count(s, "user", &n, &n_obs, &f);
	claim(!bad && n == 1 && n_obs == 120, "three writers at once, from the making of the file on: no commit is lost");
	state_close(s, &f);
}

static void
busy(void)
{
	setenv("HARE_STATE_WAIT_S", "0.1", 1);
	struct state *a = state_open(path("a"), STATE_WRITE, &f), *b = state_open(path("a"), STATE_WRITE, &f);
	struct buf v = {0};

	state_begin(a, &f);
	state_put(a, "user", span("late"), 1, 1, span("v"), &f);
	claim(state_begin(b, &f) < 0 && f.status == EX_TEMPFAIL, "a second writer waits, then says busy: 75");
	claim(state_get(b, "user", span("late"), &v, &f) == 0 && state_get(b, "user", span("zoe"), &v, &f) == 0 &&
	    state_get(b, "user", span("user001"), &v, &f) == 1, "a reader is not kept waiting and sees the last commit");
	state_commit(a, &f);
	claim(state_get(b, "user", span("late"), &v, &f) == 1, "and then the next one");
	state_begin_read(b, &f);
	state_get(b, "user", span("late"), &v, &f);
	state_begin(a, &f);
	state_delete(a, "user", span("late"), &f);
	state_commit(a, &f);
	claim(state_get(b, "user", span("late"), &v, &f) == 1, "a snapshot does not move");
	state_rollback(b);
	claim(state_get(b, "user", span("late"), &v, &f) == 0, "until it ends");
	state_close(b, &f);
	state_close(a, &f);
	buf_free(&v);
	unsetenv("HARE_STATE_WAIT_S");
}

int
main(void)
{
	char command[128];

	if (scratch_folder(folder) < 0)
		return !claim(0, "a folder to work in");
	file_init();
	basics();
	what_is_no_state();
	damage();
	two_writers();
	busy();
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	if (system(command) != 0)
		claim(0, "the folder can be removed");
	return claim_n_failed != 0;
}
