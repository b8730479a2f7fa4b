/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how a socket gets its name and loses it. Called by control.c and admin.c. */
#include "proxy/unix_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"

struct report {
    const char *what; /* is being made */
    char *text;
    size_t size;
};

/* "before what: why" */
static int fail(const struct report *report, const char *before, const char *why)
{
    snprintf(report->text, report->size, "%s%s: %s", before, report->what, why);
    return -1;
}

static int fail_plainly(const struct report *report, const char *problem, const char *why)
{
    snprintf(report->text, report->size, "%s%s%s", problem, why == NULL ? "" : ": ", why == NULL ? "" : why);
    return -1;
}

/* In a folder where others may rename, or be the first to use a name, the socket's name would be theirs to
 * give. */
static int check_folder(const char *path, bool *missing, const struct report *report)
{
    struct arena *arena = arena_new();
    struct path_trouble trouble = {0};
    int result = path_check_folder(arena, path_folder(arena, path), &trouble);

    *missing = trouble.missing;
    if (result != 0)
        snprintf(report->text, report->size, "the folder of the %s, %s: %s", report->what, trouble.folder,
            trouble.problem);
    arena_free(arena);
    return result;
}

/* 0 if there is nothing, or a socket. */
static int check_name(const char *path, bool *there, const struct report *report)
{
    struct stat status;

    *there = lstat(path, &status) == 0;
    if (!*there)
        return errno == ENOENT ? 0 : fail(report, "can't look at the ", strerror(errno));
    return S_ISSOCK(status.st_mode) ? 0 : fail_plainly(report, "there is a file that is no socket", NULL);
}

int unix_socket_check(const char *path, const char *what, bool *missing, char *error, size_t error_size)
{
    const struct report report = {what, error, error_size};
    bool there;

    return check_folder(path, missing, &report) != 0 || check_name(path, &there, &report) != 0 ? -1 : 0;
}

/* Somebody listens there: a connection is made, or waits in a queue that is full. */
static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool answered = fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                    errno != ECONNREFUSED;

    if (fd >= 0)
        close(fd);
    return answered;
}

/* Makes room for the socket. Two processes with one configuration do not meet here: one of them has not got
 * the directory of the audit. */
static int remove_stale(const struct sockaddr_un *address, const struct report *report)
{
    bool there;

    if (check_name(address->sun_path, &there, report) != 0)
        return -1;
    if (!there)
        return 0;
    if (is_answered(address))
        return fail_plainly(report, "another process listens there", NULL);
    if (unlink(address->sun_path) != 0 && errno != ENOENT)
        return fail(report, "can't remove the old ", strerror(errno));
    return 0;
}

static int listen_on(const struct sockaddr_un *address, mode_t mode, int backlog, const struct report *report)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(0777 & ~mode); /* there is no moment in which others could connect */
    int bound = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)address, sizeof(*address));

    umask(before);
    if (bound == 0 && listen(fd, backlog) == 0)
        return fd;
    fail_plainly(report, "can't listen", strerror(errno));
    if (bound == 0)
        unlink(address->sun_path);
    if (fd >= 0)
        close(fd);
    return -1;
}

int unix_socket_listen(struct unix_socket *made, const char *path, mode_t mode, int backlog, const char *what,
    char *error, size_t error_size)
{
    const struct report report = {what, error, error_size};
    struct stat status;
    bool missing;

    *made = (struct unix_socket){.fd = -1, .address.sun_family = AF_UNIX};
    assert(strlen(path) < sizeof(made->address.sun_path)); /* config.c has checked */
    strcpy(made->address.sun_path, path);
    if (check_folder(path, &missing, &report) != 0 || remove_stale(&made->address, &report) != 0)
        return -1;
    made->fd = listen_on(&made->address, mode, backlog, &report);
    if (made->fd < 0)
        return -1;
    if (lstat(path, &status) == 0) {
        made->device = status.st_dev;
        made->inode = status.st_ino;
    }
    return 0;
}

void unix_socket_remove(const struct unix_socket *made)
{
    struct stat status;

    if (lstat(made->address.sun_path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        status.st_dev == made->device && status.st_ino == made->inode)
        unlink(made->address.sun_path);
}
