/*
 * nosync.c - a library to be preloaded: nothing waits for the disk
 *
 * The tests write some ten thousand small files, each synced twice before it is in place, which takes longer than all else where
 * the disk is slow. What a sync is for, a power cut, no test sees: make bench BENCHES=state has its own. What cannot be synced,
 * a pipe or a descriptor that is closed, is refused as the system refuses it.
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static int
refuse(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
		return 0;
	errno = EINVAL;
	return -1;
}

int
fsync(int fd)
{
	return refuse(fd);
}

int
fdatasync(int fd)
{
	return refuse(fd);
}
