/*
 * nosync.c - a library to be preloaded: nothing waits for the disk
 *
 * The tests write some ten thousand small files, each synced twice before it is in place, which takes longer than all else where
 * the disk is slow. What a sync is for, a power cut, no test sees: make bench BENCHES=state has its own. What cannot be synced,
 * a pipe or a descriptor that is closed, is refused as the system refuses it.
 *
 * That a sync is asked for is seen: a program of ours (hare-*) which puts a file in place that is not as it was synced last gets
 * EIO and a line on stderr. Not seen is a write within a tick of the clock after the sync that leaves the size as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* the regular files that were synced last, as they were then */
enum { N_SYNCED = 64 };
static struct stat synced[N_SYNCED];
static unsigned n_synced;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int
is_as(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int
sync_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode)) {
		pthread_mutex_lock(&lock);
		synced[n_synced++ % N_SYNCED] = st;
		pthread_mutex_unlock(&lock);
		return 0;
	}
	if (S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
		return 0;
	errno = EINVAL;
	return -1;
}

int
fsync(int fd)
{
	return sync_of(fd);
}

int
fdatasync(int fd)
{
	return sync_of(fd);
}

/* 0 if from may be put in place */
static int
check(const char *from, const char *to)
{
	struct stat st;
	int found = 0;

	if (strncmp(program_invocation_short_name, "hare-", 5) != 0 || stat(from, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < N_SYNCED; i++)
		found |= is_as(&synced[i], &st);
	pthread_mutex_unlock(&lock);
	if (found)
		return 0;
	dprintf(STDERR_FILENO, "nosync: %s was put in place unsynced\n", to);
	errno = EIO;
	return -1;
}

int
rename(const char *from, const char *to)
{
	return check(from, to) < 0 ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
link(const char *from, const char *to)
{
	return check(from, to) < 0 ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
