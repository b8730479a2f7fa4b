/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of files with secrets. Called by policy/key_secret.c and policy/parse_keys.c, by
 * exporters/credentials.c, and with their making by exporters/chain_*.c and exporters/checkpoint_key.c. */
#include "base/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct private_file_error *error, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(struct private_file_error *error, const char *hint, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    error->hint = hint;
    return -1;
}

/* Supplementary groups count: fsGroup is one. */
static bool is_own_group(gid_t group)
{
    return group == getegid() || group_member(group);
}

/* The rights that it may not give. from_root: a group of this process's may read what is root's. */
static mode_t forbidden(const struct stat *status, bool from_root)
{
    const bool given = from_root && status->st_uid == 0 && is_own_group(status->st_gid);

    return given ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
}

static int check_status(int descriptor, bool from_root, struct private_file_error *error)
{
    struct stat status;

    if (fstat(descriptor, &status) != 0)
        return fail(error, NULL, "%s", strerror(errno));
    if (!S_ISREG(status.st_mode))
        return fail(error, NULL, "it is not a regular file");
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return fail(error, "chown it, or run as the user that mqward serves as",
            "it belongs to user %lu, who is neither root nor the user of this process (%lu)",
            (unsigned long)status.st_uid, (unsigned long)geteuid());
    if ((status.st_mode & forbidden(&status, from_root)) != 0)
        return fail(error,
            from_root ? "chmod 600; or owner root, a group of mqward's user, and chmod 440" : "chmod 600",
            "it is open to other users of this machine (mode %03o)", (unsigned)status.st_mode & 0777);
    return 0;
}

/* One byte more than size is asked for, apart from out, to see whether there is more. */
static ssize_t read_all(int descriptor, uint8_t *out, size_t size, struct private_file_error *error)
{
    size_t length = 0;
    uint8_t more;

    for (;;) {
        bool full = length == size;
        ssize_t got = full ? read(descriptor, &more, 1) : read(descriptor, out + length, size - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(error, NULL, "%s", strerror(errno));
        if (got == 0)
            return (ssize_t)length;
        if (full) {
            explicit_bzero(&more, sizeof(more));
            return fail(error, NULL, "it is larger than %zu bytes", size);
        }
        length += (size_t)got;
    }
}

static ssize_t read_file(
    const char *path, bool from_root, void *out, size_t size, struct private_file_error *error)
{
    /* Without O_NONBLOCK the opening of a pipe waits for its writer. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t length = -1;

    *error = (struct private_file_error){
        .missing = descriptor < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)};
    if (descriptor < 0)
        return fail(error, NULL, "%s", strerror(errno));
    if (check_status(descriptor, from_root, error) == 0)
        length = read_all(descriptor, out, size, error);
    close(descriptor);
    return length;
}

ssize_t private_file_read(const char *path, void *out, size_t size, struct private_file_error *error)
{
    return read_file(path, false, out, size, error);
}

ssize_t private_file_read_from_root(
    const char *path, void *out, size_t size, struct private_file_error *error)
{
    return read_file(path, true, out, size, error);
}

/* The name of a new file is on the disk when its directory is. */
static int sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX] = ".";

    if (slash != NULL && (size_t)(slash - path) + 1 < sizeof(parent))
        snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path + 1), path);
    int directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -1;
    int status = fsync(directory);
    close(directory);
    return status;
}

int private_file_make(const char *path, const void *bytes, size_t size)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    size_t done = 0;
    int status = 0;

    if (descriptor < 0)
        return -1;
    while (status == 0 && done < size) {
        ssize_t wrote = write(descriptor, (const uint8_t *)bytes + done, size - done);
        if (wrote > 0)
            done += (size_t)wrote;
        else if (wrote == 0 || errno != EINTR)
            status = -1;
    }
    if (status != 0 || fsync(descriptor) != 0 || sync_directory(path) != 0)
        status = errno == 0 ? EIO : errno;
    close(descriptor);
    if (status == 0)
        return 0;
    unlink(path);
    errno = status;
    return -1;
}
