/* Put in front of the C library (LD_PRELOAD): each sync of a file takes SLOW_SYNC_US microseconds
 * longer, as it does on disks across a network. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int later(int fd, const char *how) {
    const char *wait = getenv("SLOW_SYNC_US");
    if (wait) usleep((useconds_t)atoi(wait));
    return ((int (*)(int))dlsym(RTLD_NEXT, how))(fd);
}

int fsync(int fd) { return later(fd, "fsync"); }
int fdatasync(int fd) { return later(fd, "fdatasync"); }
