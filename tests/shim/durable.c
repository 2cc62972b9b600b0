/* A disk that loses what was not synced, for a process that is preloaded with this library.
 *
 * Writes to files below DURABLE_FROM go through as usual, so that the process reads what it wrote. What they
 * touch is noted, and copied to the file of the same name below DURABLE_TO when the file is synced. After the
 * process was killed, DURABLE_TO holds what a disk without a cache of its own would hold: for each file the
 * bytes of its last sync, and no file that was never synced.
 *
 * Names are as durable as on a journaling file system: a removal or renaming is there at once.
 * Files of shared memory (-shm) are left alone: nobody relies on them after a crash.
 * Bytes written through a memory map are not seen; SQLite maps only shared memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* One write, or one cut when length is negative, in the order they were made. */
struct change {
    off_t offset;
    ssize_t length;
};

/* A file, however many descriptors lead to it. */
struct file {
    dev_t device;
    ino_t inode;
    struct change *changes;
    size_t count, room;
    struct file *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;
static const char *from, *to;

#define REAL(name, type, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void start(void) {
    from = getenv("DURABLE_FROM");
    to = getenv("DURABLE_TO");
}

/* Where a descriptor's file is copied to; 0 when it is none of ours. */
static int target(int fd, char *path) {
    char link[64], name[PATH_MAX];
    if (!from || !to) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length <= 0) return 0;
    name[length] = 0;
    size_t root = strlen(from);
    if (strncmp(name, from, root) || name[root] != '/') return 0;
    if (length > 4 && !strcmp(name + length - 4, "-shm")) return 0;
    return snprintf(path, PATH_MAX, "%s%s", to, name + root) < PATH_MAX;
}

static int named(const char *name, char *path) {
    size_t root = from ? strlen(from) : 0;
    if (!from || !to || strncmp(name, from, root) || name[root] != '/') return 0;
    return snprintf(path, PATH_MAX, "%s%s", to, name + root) < PATH_MAX;
}

/* Under the lock. */
static struct file *file_of(int fd) {
    struct stat stat;
    if (fstat(fd, &stat) || !S_ISREG(stat.st_mode)) return NULL;
    for (struct file *file = files; file; file = file->next)
        if (file->device == stat.st_dev && file->inode == stat.st_ino) return file;
    struct file *file = calloc(1, sizeof *file);
    if (!file) abort();
    file->device = stat.st_dev;
    file->inode = stat.st_ino;
    file->next = files;
    return files = file;
}

static void note(int fd, off_t offset, ssize_t length) {
    int before = errno;
    char path[PATH_MAX];
    if (target(fd, path)) {
        pthread_mutex_lock(&lock);
        struct file *file = file_of(fd);
        if (file) {
            if (file->count == file->room) {
                file->room = file->room ? file->room * 2 : 64;
                file->changes = realloc(file->changes, file->room * sizeof *file->changes);
                if (!file->changes) abort();
            }
            file->changes[file->count++] = (struct change){offset, length};
        }
        pthread_mutex_unlock(&lock);
    }
    errno = before;
}

static ssize_t plain_pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off_t);
    return real(fd, bytes, count, offset);
}

static int plain_ftruncate(int fd, off_t length) {
    REAL("ftruncate64", int, int, off_t);
    return real(fd, length);
}

static void make_folders(char *path) {
    for (char *end = strchr(path + 1, '/'); end; end = strchr(end + 1, '/')) {
        *end = 0;
        mkdir(path, 0700);
        *end = '/';
    }
}

/* Copies what has changed since the last sync, in order. A descriptor that cannot read opens another. */
static void synced(int fd) {
    int before = errno;
    char path[PATH_MAX], link[64];
    static char buffer[1 << 16];
    if (target(fd, path)) {
        pthread_mutex_lock(&lock);
        struct file *file = file_of(fd);
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        int in = file ? open(link, O_RDONLY | O_CLOEXEC) : -1;
        int out = in < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (in >= 0 && out < 0 && errno == ENOENT) {
            make_folders(path);
            out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        }
        if (file && out < 0) abort();
        for (size_t at = 0; file && at < file->count; at++) {
            struct change change = file->changes[at];
            if (change.length < 0) {
                if (plain_ftruncate(out, change.offset)) abort();
                continue;
            }
            while (change.length > 0) {
                size_t part = (size_t)change.length < sizeof buffer ? (size_t)change.length : sizeof buffer;
                ssize_t got = pread(in, buffer, part, change.offset);
                /* It was cut since; the cut follows. */
                if (got <= 0) break;
                if (plain_pwrite(out, buffer, (size_t)got, change.offset) != got) abort();
                change.offset += got;
                change.length -= got;
            }
        }
        if (file) file->count = 0;
        if (in >= 0) close(in);
        if (out >= 0) close(out);
        pthread_mutex_unlock(&lock);
    }
    errno = before;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL("write", ssize_t, int, const void *, size_t);
    ssize_t done = real(fd, bytes, count);
    if (done > 0 && from) {
        int before = errno;
        off_t end = lseek(fd, 0, SEEK_CUR);
        if (end >= done) note(fd, end - done, done);
        errno = before;
    }
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    ssize_t done = real(fd, parts, count);
    if (done > 0 && from) {
        int before = errno;
        off_t end = lseek(fd, 0, SEEK_CUR);
        if (end >= done) note(fd, end - done, done);
        errno = before;
    }
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    ssize_t done = plain_pwrite(fd, bytes, count, offset);
    if (done > 0) note(fd, offset, done);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}

int ftruncate64(int fd, off_t length) {
    int done = plain_ftruncate(fd, length);
    if (!done) note(fd, length, -1);
    return done;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

int fsync(int fd) {
    REAL("fsync", int, int);
    int done = real(fd);
    if (!done) synced(fd);
    return done;
}

int fdatasync(int fd) {
    REAL("fdatasync", int, int);
    int done = real(fd);
    if (!done) synced(fd);
    return done;
}

int unlink(const char *name) {
    REAL("unlink", int, const char *);
    char path[PATH_MAX];
    int done = real(name);
    if (!done && named(name, path)) real(path);
    return done;
}

int rename(const char *name, const char *new_name) {
    REAL("rename", int, const char *, const char *);
    char path[PATH_MAX], new_path[PATH_MAX];
    int done = real(name, new_name);
    if (!done && named(name, path) && named(new_name, new_path)) real(path, new_path);
    return done;
}
