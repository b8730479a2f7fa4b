/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what paths mean on this machine. Called by the reader of the configuration, and by what makes sockets
 * and keeps evidence. */
#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel has it, path_resolution(7) */

/* ---- one way to write it ---- */

/* The first component of *path, which moves behind it and the slashes that follow. */
static struct view take_component(const char **path)
{
    size_t length = strcspn(*path, "/");
    struct view component = view_of(*path, length);

    *path += length;
    *path += strspn(*path, "/");
    return component;
}

static bool is_nothing(struct view component)
{
    return component.length == 0 || view_equal(component, VIEW("."));
}

/* "/" of "/a", "/a" of "/a/b". */
static const char *parent_of(struct arena *arena, const char *real)
{
    size_t length = (size_t)(strrchr(real, '/') - real);

    return arena_copy_string(arena, view_of(real, length == 0 ? 1 : length));
}

static const char *child_of(struct arena *arena, const char *real, struct view name)
{
    return arena_format(arena, "%s%s%.*s", real, real[1] == '\0' ? "" : "/", VIEW_ARGS(name));
}

/* The working directory, or the root. */
static const char *begin(struct arena *arena, const char **path)
{
    char here[PATH_MAX];

    if (**path != '/')
        return getcwd(here, sizeof(here)) == NULL ? "/" : arena_copy_string(arena, view_of_string(here));
    *path += strspn(*path, "/");
    return "/";
}

const char *path_real(struct arena *arena, const char *path)
{
    const char *real = begin(arena, &path);

    while (*path != '\0') {
        struct view component = take_component(&path);
        char resolved[PATH_MAX];

        if (is_nothing(component))
            continue;
        if (view_equal(component, VIEW(".."))) {
            real = parent_of(arena, real);
            continue;
        }
        real = child_of(arena, real, component);
        if (realpath(real, resolved) != NULL)
            real = arena_copy_string(arena, view_of_string(resolved));
    }
    return real;
}

const char *path_folder(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path);

    if (slash == NULL)
        return ".";
    return arena_copy_string(arena, view_of(path, length == 0 ? 1 : length));
}

const char *path_real_file(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return NULL;
    return child_of(arena, path_real(arena, path_folder(arena, path)), view_of_string(name));
}

/* ---- whose it is ---- */

static bool is_ours(const struct stat *status)
{
    return status->st_uid == 0 || status->st_uid == geteuid();
}

/* last: nothing of ours is looked up in it that could be asked for its owner. */
static const char *fault_of(const struct stat *status, bool last)
{
    bool open = (status->st_mode & (S_IWGRP | S_IWOTH)) != 0;

    if (!S_ISDIR(status->st_mode))
        return "it is no folder";
    if (!is_ours(status))
        return "it is somebody else's";
    if (open && (last || (status->st_mode & S_ISVTX) == 0))
        return "others may write to it";
    return NULL;
}

static int fail(struct path_trouble *trouble, const char *folder, const char *problem)
{
    *trouble = (struct path_trouble){folder, problem, false};
    return -1;
}

static int fail_errno(struct arena *arena, struct path_trouble *trouble, const char *folder)
{
    int number = errno;

    *trouble = (struct path_trouble){
        folder, arena_copy_string(arena, view_of_string(strerror(number))), number == ENOENT};
    return -1;
}

/* What a link says, with what is behind it. NULL: errno. */
static const char *follow(struct arena *arena, const char *link, const char *rest)
{
    char target[PATH_MAX];
    ssize_t length = readlink(link, target, sizeof(target));

    if (length < 0)
        return NULL;
    if ((size_t)length == sizeof(target)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    return arena_format(arena, "%.*s/%s", (int)length, target, rest);
}

int path_check_folder(struct arena *arena, const char *folder, struct path_trouble *trouble)
{
    const char *path = folder, *real = begin(arena, &path);
    unsigned links = 0;
    struct stat status;

    if (real[1] != '\0') { /* the folders on the way to the working directory, too */
        path = arena_format(arena, "%s/%s", real + 1, path);
        real = "/";
    }
    for (;;) {
        const char *fault;

        if (lstat(real, &status) != 0)
            return fail_errno(arena, trouble, real);
        fault = fault_of(&status, *path == '\0');
        if (fault != NULL)
            return fail(trouble, real, fault);
        struct view component = take_component(&path);
        if (component.length == 0)
            return 0;
        if (is_nothing(component))
            continue;
        if (view_equal(component, VIEW(".."))) {
            real = parent_of(arena, real);
            continue;
        }
        const char *child = child_of(arena, real, component);
        if (lstat(child, &status) != 0)
            return fail_errno(arena, trouble, child);
        if (!S_ISLNK(status.st_mode)) {
            real = child;
            continue;
        }
        /* In a folder with a sticky bit its owner could replace it. */
        if (!is_ours(&status))
            return fail(trouble, child, "it is somebody else's");
        if (++links > LINKS_MAX || (path = follow(arena, child, path)) == NULL) {
            errno = links > LINKS_MAX ? ELOOP : errno;
            return fail_errno(arena, trouble, child);
        }
        if (*path == '/')
            real = begin(arena, &path);
    }
}
