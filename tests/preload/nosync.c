/*
 * nosync.c - a library to be preloaded: nothing waits for the disk
 *
 * The tests write some ten thousand small files, each synced twice before it is in place, which takes longer than all else where
 * the disk is slow. What a sync is for, a power cut, no test sees: make bench BENCHES=state has its own.
 */
#include <unistd.h>

int
fsync(int fd)
{
	(void)fd;
	return 0;
}

int
fdatasync(int fd)
{
	(void)fd;
	return 0;
}
