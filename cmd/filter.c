#include "filter.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

/* ---- progress: on a terminal once a second, and one line whenever SIGUSR1 asks ---- */

enum { FIRST_S = 2, STEP_S = 1 };               /* a run shorter than FIRST_S shows none */

static _Atomic uint64_t n_row_done;
static _Atomic int read_percent = -1, left_s = -1;      /* -1: unknown */
static char name[48];
static double begin_s, shown_s;
static int is_shown;

double
filter_now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static char *
put_words(char *out, const char *words)
{
	while (*words)
		*out++ = *words++;
	return out;
}

static char *
put_count(char *out, uint64_t value, const char *words)
{
	char digits[20];
	int n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while (value /= 10);
	while (n)
		*out++ = digits[--n];
	return put_words(out, words);
}

/* "hare-embed: 12345 rows, 321/s, 42 % read, about 31 s left", by calls that a signal handler may make. */
static size_t
progress_line(char out[256])
{
	double took_s = filter_now_s() - begin_s;
	uint64_t n_row = n_row_done;
	int percent = read_percent, left = left_s;
	char *p = put_words(put_words(out, name), ": ");

	p = put_count(p, n_row, n_row == 1 ? " row" : " rows");
	if (took_s > 0)
		p = put_count(put_words(p, ", "), (uint64_t)((double)n_row / took_s), "/s");
	if (percent >= 0)
		p = put_count(put_words(p, ", "), (uint64_t)percent, " % read");
	if (left >= 0)
		p = put_count(put_words(p, ", about "), (uint64_t)left, " s left");
	return (size_t)(p - out);
}

static void
on_usr1(int signal_number)
{
	int kept = errno;
	char line[256];
	size_t n = progress_line(line);

	(void)signal_number;
	line[n++] = '\n';
	ssize_t told = write(STDERR_FILENO, line, n);
	(void)told;     /* nobody listens: no reason to stop */
	errno = kept;
}

static void
on_batch(const struct record_in *in)
{
	static int wanted = -1;
	double share, now = filter_now_s();
	uint64_t n_row;

	if (wanted < 0)
		wanted = !record_options.quiet && isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
	record_progress(in, &n_row, &share);
	n_row_done = n_row;
	read_percent = share < 0 ? -1 : (int)(100 * share);
	left_s = share < .01 ? -1 : (int)((now - begin_s) * (1 - share) / share);
	if (wanted && now - begin_s >= FIRST_S && now - shown_s >= STEP_S) {
		char line[256];

		line[progress_line(line)] = '\0';
		fprintf(stderr, "\r%s\033[K", line);
		shown_s = now;
		is_shown = 1;
	}
}

/* Before main(), so that a filter has nothing to do for it. */
__attribute__((constructor)) static void
begin_progress(void)
{
	struct sigaction usr1 = { .sa_handler = on_usr1, .sa_flags = SA_RESTART };

	snprintf(name, sizeof name, "%s", program_invocation_short_name);
	begin_s = filter_now_s();
	record_on_batch = on_batch;
	sigaction(SIGUSR1, &usr1, NULL);
}

void
filter_tell_bad(struct record_in *in)
{
	const char *text;
	size_t n_told = 0;

	if (!in || record_n_bad(in) == 0 || record_options.quiet)
		return;
	for (; (text = record_bad_text(in, n_told)); n_told++)
		warnx("%s", text);
	warnx("%zu bad row%s skipped%s", record_n_bad(in), record_n_bad(in) == 1 ? "" : "s",
	    n_told < record_n_bad(in) ? "; the first of them are told above" : "");
}

int
filter_finish(struct record_in *in, struct record_out *out, int status, const struct fault *f)
{
	struct fault closing;

	if (is_shown)
		fputs("\r\033[K", stderr);
	if (status != EX_OK)
		warnx("%s", f->text);
	filter_tell_bad(in);
	if (record_out_close(out, &closing) < 0 && status == EX_OK) {
		warnx("%s", closing.text);
		status = closing.status;
	}
	record_close(in);
	return file_stdout_close(status);
}

/* Such a file begins with the length of its header, eight bytes of which the last are 0, and the header's brace. */
static int
is_tensors(const char *path)
{
	unsigned char head[9];
	struct stat st;
	int is = 0, fd;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	if (read(fd, head, sizeof head) == (ssize_t)sizeof head && head[8] == '{') {
		uint64_t n_header = 0;

		for (int i = 7; i >= 0; i--)
			n_header = n_header << 8 | head[i];
		is = n_header < (uint64_t)st.st_size;
	}
	close(fd);
	return is;
}

int
filter_take_pools(struct opt_list *pools, int n_operand, char **operand)
{
	int n_left = 0;

	/* that of the environment is meant when no other is named */
	if (pools->n == 0 || pools->at[0] == getenv("HARE_POOL"))
		return n_operand;
	for (int i = 0; i < n_operand; i++) {
		if (strcmp(operand[i], "-") == 0 || !is_tensors(operand[i])) {
			operand[n_left++] = operand[i];
			continue;
		}
		pools->at = xrealloc(pools->at, pools->n + 1, sizeof *pools->at);
		pools->at[pools->n++] = operand[i];
	}
	return n_left;
}
