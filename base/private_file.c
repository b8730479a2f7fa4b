/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of files with secrets. Called by policy/key_secret.c and policy/parse_keys.c. */
#include "base/private_file.h"

#include <errno.h>
#include <fcntl.h>
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

static int check_status(int descriptor, struct private_file_error *error)
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
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return fail(error, "chmod 600", "it is open to other users of this machine (mode %03o)",
            (unsigned)status.st_mode & 0777);
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

ssize_t private_file_read(const char *path, void *out, size_t size, struct private_file_error *error)
{
    /* Without O_NONBLOCK the opening of a pipe waits for its writer. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t length = -1;

    *error = (struct private_file_error){
        .missing = descriptor < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG)};
    if (descriptor < 0)
        return fail(error, NULL, "%s", strerror(errno));
    if (check_status(descriptor, error) == 0)
        length = read_all(descriptor, out, size, error);
    close(descriptor);
    return length;
}
