/* Counts what a process does to files below a directory, and kills the process at one of these acts.
 *
 * Loaded by LD_PRELOAD into the binary that users run. What it reads of the environment:
 *   KILL_BELOW  the directory
 *   KILL_AT     the act that is the last, counted from 1; 0: none
 *   KILL_HOW    `before`: it is not done; `torn`: a write leaves half of its bytes, anything else is done; then SIGKILL
 *   KILL_WHEN   if set: acts count from when this file is there
 *   KILL_COUNT  if set: a file for the number of acts of a process that ended by itself
 *
 * Not seen: what memory maps write, and calls that go around the C library.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *below;
static const char *when;
static const char *count;
static long at;
static int torn;
static atomic_long seen;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("KILL_AT"), *how = getenv("KILL_HOW");
    below = getenv("KILL_BELOW");
    when = getenv("KILL_WHEN");
    count = getenv("KILL_COUNT");
    at = text ? atol(text) : 0;
    torn = how && strcmp(how, "torn") == 0;
}

__attribute__((destructor)) static void end(void) {
    FILE *out = count ? fopen(count, "w") : NULL;
    if (out) {
        fprintf(out, "%ld\n", atomic_load(&seen));
        fclose(out);
    }
}

static int path_is_below(const char *path) {
    size_t length = below ? strlen(below) : 0;
    return length && path && strncmp(path, below, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int is_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return path_is_below(path);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether this is the last act, and is to be done, by half or wholly; dies where it is not to be done. */
static int is_last(void) {
    if (when && access(when, F_OK) != 0) return 0;
    if (atomic_fetch_add(&seen, 1) + 1 != at) return 0;
    if (!torn) die();
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* An act that is done wholly or not at all. */
#define WHOLE(type, name, condition, parameters, arguments) \
    type name parameters {                                  \
        REAL(name);                                         \
        int last = (condition) && is_last();                \
        type done = real arguments;                         \
        if (last) die();                                    \
        return done;                                        \
    }

#define WRITE(name, parameters, arguments, half) \
    ssize_t name parameters {                    \
        REAL(name);                              \
        if (is_below(fd) && is_last()) {         \
            if (real half < 0) die();            \
            die();                               \
        }                                        \
        return real arguments;                   \
    }

WRITE(write, (int fd, const void *bytes, size_t n), (fd, bytes, n), (fd, bytes, n / 2))
WRITE(pwrite, (int fd, const void *bytes, size_t n, off_t to), (fd, bytes, n, to), (fd, bytes, n / 2, to))
WRITE(pwrite64, (int fd, const void *bytes, size_t n, off64_t to), (fd, bytes, n, to), (fd, bytes, n / 2, to))
WRITE(writev, (int fd, const struct iovec *parts, int n), (fd, parts, n), (fd, parts, n / 2))

WHOLE(int, fsync, is_below(fd), (int fd), (fd))
WHOLE(int, fdatasync, is_below(fd), (int fd), (fd))
WHOLE(int, ftruncate, is_below(fd), (int fd, off_t to), (fd, to))
WHOLE(int, ftruncate64, is_below(fd), (int fd, off64_t to), (fd, to))
WHOLE(int, rename, path_is_below(to), (const char *from, const char *to), (from, to))
WHOLE(int, unlink, path_is_below(path), (const char *path), (path))
WHOLE(int, rmdir, path_is_below(path), (const char *path), (path))
WHOLE(int, mkdir, path_is_below(path), (const char *path, mode_t mode), (path, mode))
WHOLE(int, link, path_is_below(to), (const char *from, const char *to), (from, to))
WHOLE(ssize_t, copy_file_range, is_below(to), (int from, off64_t *at_from, int to, off64_t *at_to, size_t n, unsigned flags),
      (from, at_from, to, at_to, n, flags))

/* Opening is an act where it makes a file or empties one. */
static int makes(const char *path, int flags) {
    if (!path_is_below(path)) return 0;
    return (flags & O_TRUNC) || ((flags & O_CREAT) && access(path, F_OK) != 0);
}

#define OPEN(name)                                       \
    int name(const char *path, int flags, ...) {         \
        REAL(name);                                      \
        va_list more;                                    \
        va_start(more, flags);                           \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                    \
        int last = makes(path, flags) && is_last();      \
        int fd = real(path, flags, mode);                \
        if (last) die();                                 \
        return fd;                                       \
    }

OPEN(open)
OPEN(open64)
