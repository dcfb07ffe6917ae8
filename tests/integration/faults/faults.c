// Fails chosen file operations of a process below one directory: loaded by LD_PRELOAD, armed by way of ctypes.
//
// Every caller of the C library passes here: Python, SQLite, the native index, torch. `fault_arm` begins to
// count; the operation of that number fails. Threads are counted together.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { ONCE = 0, STAYS = 1, SHORT = 2 };  // STAYS: what writes goes on failing, as on a full disk

static char root[PATH_MAX] = "";
static long target, count;
static int error_number, manner, failing;
static char failed[PATH_MAX + 32];

void fault_arm(const char *path, long number, int error, int kind) {
    snprintf(root, sizeof root, "%s", path);
    target = number; error_number = error; manner = kind; failing = 0; failed[0] = 0;
    __atomic_store_n(&count, 0, __ATOMIC_SEQ_CST);
}
void fault_disarm(void) { root[0] = 0; }
long fault_count(void) { return count; }
const char *fault_failed(void) { return failed; }

static int below(const char *path) {
    size_t length = strlen(root);
    return length && path && strncmp(path, root, length) == 0;
}
static int path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}
// Whether this operation fails; `writes`: whether it takes room on the disk.
static int fails(const char *operation, const char *path, int writes) {
    if (!below(path)) return 0;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (target && number == target) {
        snprintf(failed, sizeof failed, "%s %s", operation, path + strlen(root));
        failing = manner == STAYS || manner == SHORT;
        return 1;
    }
    return target && failing && writes;
}
static int fails_at(const char *operation, int descriptor, int writes) {
    char path[PATH_MAX];
    return root[0] && path_of(descriptor, path) && fails(operation, path, writes);
}
#define REAL(name) ((__typeof__(&name))(real_##name = real_##name ? real_##name : dlsym(RTLD_NEXT, #name)))
#define FAIL do { errno = error_number; return -1; } while (0)

static void *real_open, *real_open64, *real_openat, *real_openat64;
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT) && fails("open", path, flags & O_CREAT)) FAIL; \
        return REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        va_list list; va_start(list, flags); mode_t mode = va_arg(list, mode_t); va_end(list); \
        if (flags & (O_WRONLY | O_RDWR | O_CREAT) && fails("open", path, flags & O_CREAT)) FAIL; \
        return REAL(name)(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

static void *real_write, *real_pwrite, *real_pwrite64;
ssize_t write(int descriptor, const void *data, size_t size) {
    if (fails_at("write", descriptor, 1)) {
        if (manner == SHORT && size > 1 && count == target) return REAL(write)(descriptor, data, size / 2);
        FAIL;
    }
    return REAL(write)(descriptor, data, size);
}
#define PWRITE(name) \
    ssize_t name(int descriptor, const void *data, size_t size, off_t offset) { \
        if (fails_at("write", descriptor, 1)) { \
            if (manner == SHORT && size > 1 && count == target) \
                return REAL(name)(descriptor, data, size / 2, offset); \
            FAIL; \
        } \
        return REAL(name)(descriptor, data, size, offset); \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

static void *real_fsync, *real_fdatasync, *real_ftruncate, *real_ftruncate64;
int fsync(int d) { if (fails_at("fsync", d, 1)) FAIL; return REAL(fsync)(d); }
int fdatasync(int d) { if (fails_at("fsync", d, 1)) FAIL; return REAL(fdatasync)(d); }
int ftruncate(int d, off_t size) { if (fails_at("truncate", d, 0)) FAIL; return REAL(ftruncate)(d, size); }
int ftruncate64(int d, off64_t size) { if (fails_at("truncate", d, 0)) FAIL; return REAL(ftruncate64)(d, size); }

static void *real_rename, *real_renameat, *real_unlink, *real_unlinkat, *real_mkdir, *real_mkdirat, *real_link;
int rename(const char *a, const char *b) { if (fails("rename", b, 1)) FAIL; return REAL(rename)(a, b); }
int renameat(int p, const char *a, int q, const char *b) {
    if (fails("rename", b, 1)) FAIL;
    return REAL(renameat)(p, a, q, b);
}
int unlink(const char *path) { if (fails("unlink", path, 0)) FAIL; return REAL(unlink)(path); }
int unlinkat(int d, const char *path, int flags) {
    if (fails("unlink", path, 0)) FAIL;
    return REAL(unlinkat)(d, path, flags);
}
int mkdir(const char *path, mode_t mode) { if (fails("mkdir", path, 1)) FAIL; return REAL(mkdir)(path, mode); }
int mkdirat(int d, const char *path, mode_t mode) {
    if (fails("mkdir", path, 1)) FAIL;
    return REAL(mkdirat)(d, path, mode);
}
int link(const char *a, const char *b) { if (fails("link", b, 1)) FAIL; return REAL(link)(a, b); }

static void *real_sendfile, *real_sendfile64;
ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
    if (fails_at("write", out, 1)) FAIL;
    return REAL(sendfile)(out, in, offset, size);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) {
    if (fails_at("write", out, 1)) FAIL;
    return REAL(sendfile64)(out, in, offset, size);
}
