/* LD_PRELOAD shim: every Nth write or sync of a file below $FAILING_DISK fails.
 *
 * The orders stand in the file $FAILING_DISK_ORDERS as "N ERRNO"; N = 0: none fails. They are read
 * again at each call, so a benchmark changes them while the agent runs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_ulong calls;

static int ours(int fd) {
    const char *folder = getenv("FAILING_DISK");
    char link[64], path[PATH_MAX];
    if (!folder) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int fails(int fd) {
    unsigned long every = 0;
    int error = 0;
    const char *orders = getenv("FAILING_DISK_ORDERS");
    if (!orders || !ours(fd)) return 0;
    FILE *file = fopen(orders, "r");
    if (!file) return 0;
    int read = fscanf(file, "%lu %d", &every, &error);
    fclose(file);
    if (read != 2 || every == 0) return 0;
    if (atomic_fetch_add(&calls, 1) % every) return 0;
    errno = error;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return fails(fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return fails(fd) ? -1 : REAL(pwrite)(fd, data, size, at);
}
ssize_t write(int fd, const void *data, size_t size) {
    return fails(fd) ? -1 : REAL(write)(fd, data, size);
}
int fsync(int fd) { return fails(fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails(fd) ? -1 : REAL(fdatasync)(fd); }
