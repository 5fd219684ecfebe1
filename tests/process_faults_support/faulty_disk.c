/* Put in front of the C library (LD_PRELOAD) to make a disk fail, one way or another, while a file of
 * that name lies in the folder FAULTY_DISK:
 *   fail-sync  fsync and fdatasync fail with EIO; each such call adds a line with the name of the
 *              synced file to the file failed-syncs, so that a second try is seen
 *   slow-sync  they take 20 ms longer
 *   read-only  pwrite fails with EROFS
 *   late-fail  as fail-sync, but the sync is done first: failed, and done all the same */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int asked_for(const char *what) {
    const char *folder = getenv("FAULTY_DISK");
    char path[4096];
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, what);
    return access(path, F_OK) == 0;
}

static void note(int fd) {
    char path[4096], link[64], name[4096];
    snprintf(path, sizeof path, "%s/failed-syncs", getenv("FAULTY_DISK"));
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length < 0) return;
    name[length++] = '\n';
    int out = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (out < 0) return;
    if (write(out, name, (size_t)length) < 0) { /* then the test misses the line */ }
    close(out);
}

static int synced(int fd, const char *how) {
    int (*really)(int) = (int (*)(int))dlsym(RTLD_NEXT, how);
    if (asked_for("slow-sync")) usleep(20000);
    if (asked_for("fail-sync")) {
        note(fd);
        errno = EIO;
        return -1;
    }
    int done = really(fd);
    if (asked_for("late-fail")) {
        note(fd);
        errno = EIO;
        return -1;
    }
    return done;
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }

typedef ssize_t (*pwrite_call)(int, const void *, size_t, off64_t);

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    if (asked_for("read-only")) {
        errno = EROFS;
        return -1;
    }
    return ((pwrite_call)dlsym(RTLD_NEXT, "pwrite64"))(fd, bytes, length, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return pwrite64(fd, bytes, length, at);
}
