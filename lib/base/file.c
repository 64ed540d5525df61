#include "base/file.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* Written in pieces of the size of a large page, at multiples of it: so the system keeps the file in such pages where it
   can (ext4, XFS), and who maps it meets a fault for each 2 MiB rather than for each 64 KiB or less. */
enum { OUT_BYTES = 2 << 20 };

struct file_out {
	int fd;
	char *path;             /* where it goes in the end: no symbolic link if one could be followed */
	char *temporary;        /* NULL: path is no regular file and is written straight */
	size_t n;
	char *at;               /* [OUT_BYTES] */
};

/* Temporaries that a signal must not leave behind; the handler reads them. */
enum { N_LIVE = 32 };
static _Atomic(const char *) live[N_LIVE];

static void
clean_up(int number)
{
	for (int i = 0; i < N_LIVE; i++) {
		const char *name = atomic_load(&live[i]);
		if (name)
			unlink(name);
	}
	/* SA_RESETHAND has put the default back: the signal ends the program as if it had not been caught. */
	raise(number);
}

static void
install_clean_up(void)
{
	static const int number[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	struct sigaction act = { .sa_handler = clean_up, .sa_flags = (int)SA_RESETHAND }, before;

	for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) {
		/* What nohup(1) or the program itself has arranged is left alone. */
		if (sigaction(number[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
			sigaction(number[i], &act, NULL);
	}
}

void
file_remember(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install_clean_up);
	for (int i = 0; i < N_LIVE; i++) {
		const char *none = NULL;
		if (atomic_compare_exchange_strong(&live[i], &none, name))
			return;
	}
}

void
file_forget(const char *name)
{
	for (int i = 0; name && i < N_LIVE; i++) {
		const char *its = name;
		atomic_compare_exchange_strong(&live[i], &its, NULL);
	}
}

/* ".NAME.PID.RANDOM.tmp" in the folder of path: the same file system, so that rename(2) can take its place. */
static char *
temporary_name(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	uint64_t random = 0;
	struct buf b = {0};

	if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
		random ^= (uint64_t)(uintptr_t)&b;
	buf_put(&b, path, (size_t)(name - path));
	/* A name may have 255 bytes, and ours adds some. */
	buf_printf(&b, ".%.200s.%ld.%08x.tmp", name, (long)getpid(), (unsigned)random);
	buf_string(&b);
	return b.at;
}

static void
out_free(struct file_out *o)
{
	file_forget(o->temporary);
	free(o->path);
	free(o->temporary);
	free(o->at);
	free(o);
}

char *
file_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !slash ? xstrdup(".") : slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

/* A link stays and what it leads to is replaced; one that leads nowhere is replaced itself. The caller frees it. */
static char *
target_of(const char *path)
{
	struct stat st;
	char *real = lstat(path, &st) == 0 && S_ISLNK(st.st_mode) ? realpath(path, NULL) : NULL, *copy = xstrdup(real ? real : path);

	free(real);
	return copy;
}

int
file_out_check(const char *path, struct fault *f)
{
	char *target = target_of(path), *folder = file_folder(target);
	struct stat st;
	int is_there = stat(target, &st) == 0, r = 0;

	if (is_there && S_ISDIR(st.st_mode))
		r = fault(f, EX_NOINPUT, "%s: is a directory", path);
	else if (is_there && !S_ISREG(st.st_mode) ? access(target, W_OK) < 0 : access(folder, W_OK | X_OK) < 0)
		r = fault_errno(f, path, "cannot write");
	free(target);
	free(folder);
	return r;
}

struct file_out *
file_out_open(const char *path, mode_t mode, struct fault *f)
{
	struct file_out *o = xcalloc(1, sizeof *o);
	struct stat st;

	o->fd = -1;
	o->path = target_of(path);
	if (stat(o->path, &st) == 0 && S_ISDIR(st.st_mode)) {
		fault(f, EX_NOINPUT, "%s: is a directory", path);
		out_free(o);
		return NULL;
	}
	if (stat(o->path, &st) == 0 && !S_ISREG(st.st_mode)) {
		o->fd = open(o->path, O_WRONLY | O_CLOEXEC);
	} else {
		for (int attempt = 0; o->fd < 0 && attempt < 100; attempt++) {
			free(o->temporary);
			o->temporary = temporary_name(o->path);
			o->fd = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
			if (o->fd < 0 && errno != EEXIST)
				break;
		}
	}
	if (o->fd < 0) {
		fault_errno(f, path, "cannot write");
		out_free(o);
		return NULL;
	}
	if (o->temporary)
		file_remember(o->temporary);
	o->at = xmalloc(OUT_BYTES, 1);
	return o;
}

int
file_out_fd(struct file_out *o)
{
	return o->fd;
}

static int
write_all(struct file_out *o, const char *at, size_t n, struct fault *f)
{
	while (n > 0) {
		ssize_t put = write(o->fd, at, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return fault_errno(f, o->path, "cannot write");
		at += put;
		n -= (size_t)put;
	}
	return 0;
}

int
file_out_write(struct file_out *o, const void *at, size_t n, struct fault *f)
{
	const char *s = at;

	while (n > 0) {
		size_t n_here = n < OUT_BYTES - o->n ? n : OUT_BYTES - o->n;
		const char *piece = n_here == OUT_BYTES ? s : o->at;    /* whole pieces need no copy */
		if (piece != s)
			memcpy(o->at + o->n, s, n_here);
		o->n += n_here;
		s += n_here;
		n -= n_here;
		if (o->n < OUT_BYTES)
			break;
		if (write_all(o, piece, OUT_BYTES, f) < 0)
			return -1;
		o->n = 0;
	}
	return 0;
}

/* So that the new name itself outlives a power cut. Some file systems cannot sync a folder and say EINVAL. */
static int
sync_folder(const char *path)
{
	char *folder = file_folder(path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = 0;

	/* A folder that may be written but not read cannot be opened; the file itself is safe by now. */
	if (fd >= 0) {
		if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
			status = -1;
		close(fd);
	}
	free(folder);
	return status;
}

int
file_out_commit(struct file_out *o, struct fault *f)
{
	if (write_all(o, o->at, o->n, f) < 0) {
		file_out_abort(o);
		return -1;
	}
	o->n = 0;
	/* Devices and pipes have nothing to sync. */
	if (fsync(o->fd) < 0 && o->temporary) {
		fault_errno(f, o->path, "cannot sync");
		file_out_abort(o);
		return -1;
	}
	int fd = o->fd;
	o->fd = -1;
	if (close(fd) < 0) {
		fault_errno(f, o->path, "cannot close");
		file_out_abort(o);
		return -1;
	}
	if (o->temporary) {
		if (rename(o->temporary, o->path) < 0) {
			fault_errno(f, o->path, "cannot rename to it");
			file_out_abort(o);
			return -1;
		}
		file_forget(o->temporary);
		if (sync_folder(o->path) < 0) {
			fault_errno(f, o->path, "cannot sync its folder");
			out_free(o);
			return -1;
		}
	}
	out_free(o);
	return 0;
}

void
file_out_abort(struct file_out *o)
{
	if (!o)
		return;
	if (o->fd >= 0)
		close(o->fd);
	if (o->temporary)
		unlink(o->temporary);
	out_free(o);
}

int
file_map_open(struct file_map *m, const char *path, struct fault *f)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC), status = -1;

	*m = (struct file_map){0};
	if (fd < 0)
		return fault_errno(f, path, NULL);
	if (fstat(fd, &st) < 0) {
		fault_errno(f, path, NULL);
	} else if (S_ISDIR(st.st_mode)) {
		fault(f, EX_NOINPUT, "%s: is a directory", path);
	} else if (!S_ISREG(st.st_mode)) {
		fault(f, EX_NOINPUT, "%s: expected a regular file, got a pipe or device", path);
	} else if (st.st_size == 0) {
		status = 0;
	} else if ((uint64_t)st.st_size > SIZE_MAX) {
		fault(f, EX_IOERR, "%s: too large for this machine's addresses", path);
	} else {
		void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED) {
			fault_errno(f, path, "cannot map");
		} else {
			m->at = at;
			m->n = (size_t)st.st_size;
			status = 0;
		}
	}
	close(fd);
	return status;
}

void
file_map_close(struct file_map *m)
{
	if (m->at)
		munmap((void *)(uintptr_t)m->at, m->n);
	*m = (struct file_map){0};
}

void
file_map_whole(const struct file_map *m, const void *at, size_t n_byte)
{
#ifdef MADV_HUGEPAGE
	/* whole large pages, as only they are mapped at once; the map begins at one where the system knows of them */
	size_t from = ((size_t)((const unsigned char *)at - m->at)) / OUT_BYTES * OUT_BYTES;
	size_t to = ((size_t)((const unsigned char *)at - m->at) + n_byte + OUT_BYTES - 1) / OUT_BYTES * OUT_BYTES;

	if (n_byte >= OUT_BYTES)
		madvise((void *)(uintptr_t)(m->at + from), (to < m->n ? to : m->n) - from, MADV_HUGEPAGE);
#else
	(void)m;
	(void)at;
	(void)n_byte;
#endif
}

int
file_stdout_close(int status)
{
	static int is_closed;

	if (is_closed)
		return status;
	is_closed = 1;
	int had_output = __fpending(stdout) > 0, had_error = ferror(stdout);
	errno = 0;
	int failed = fclose(stdout) != 0;
	/* A program started without stdout (>&-) that had nothing to say has done no wrong. */
	if (!had_error && (!failed || (errno == EBADF && !had_output)))
		return status;
	if (status != EX_OK)
		return status;
	if (errno != EPIPE) {
		if (errno)
			warn("stdout");
		else
			warnx("stdout: cannot write");
	}
	return EX_IOERR;
}

/* A program may be started with a standard stream closed. The next file opened would then get its number, and records
   meant for stdout would go into, say, a half-written MODEL. What stands there instead fails as a closed one does. */
static void
hold_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void
file_init(void)
{
	hold_standard_streams();
	/* A parent that ignored it (Python does) must not make us write on into a closed pipe. */
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN);
}
