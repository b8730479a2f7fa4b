/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the quarantine's files. How a payload comes to be there:
 *
 *   write X.payload.new and X.json.new, synchronise each, then the folder
 *   rename X.payload.new to X.payload, X.json.new to X.json, synchronise the folder
 *
 * Nothing has its own name before both are whole on the disk. So after a crash a .new file whose partner has
 * its name is whole, too, and only lacks its name; any other .new file is removed. */
#include "proxy/quarantine_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "quarantine.lock"

enum file { PAYLOAD, DESCRIPTION, PAYLOAD_NEW, DESCRIPTION_NEW, FILES };
static const char *const suffixes[FILES] = {".payload", ".json", ".payload.new", ".json.new"};

static void name_of(char name[QUARANTINE_NAME_MAX], const char *hex, enum file file)
{
    snprintf(name, QUARANTINE_NAME_MAX, "%.64s%s", hex, suffixes[file]);
}

/* Which file it is, or FILES: it is none of ours. */
static enum file file_of(const char *name)
{
    unsigned file = 0;

    if (strspn(name, "0123456789abcdef") != QUARANTINE_HEX)
        return FILES;
    while (file < FILES && strcmp(name + QUARANTINE_HEX, suffixes[file]) != 0)
        file++;
    return (enum file)file;
}

/* The size of a regular file; -1: there is none (links, pipes and folders are none). False: errno. */
static bool size_of(const struct quarantine_folder *folder, const char *name, int64_t *size)
{
    struct stat status;

    *size = -1;
    if (fstatat(folder->directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT;
    if (S_ISREG(status.st_mode))
        *size = status.st_size;
    return true;
}

static int remove_file(const struct quarantine_folder *folder, const char *hex, enum file file)
{
    char name[QUARANTINE_NAME_MAX];

    name_of(name, hex, file);
    return unlinkat(folder->directory, name, 0) == 0 || errno == ENOENT ? 0 : -1;
}

static int give_name(const struct quarantine_folder *folder, const char *hex, enum file from, enum file to)
{
    char old[QUARANTINE_NAME_MAX], name[QUARANTINE_NAME_MAX];

    name_of(old, hex, from);
    name_of(name, hex, to);
    return renameat(folder->directory, old, folder->directory, name);
}

/* ---- opening ---- */

static int fail(char *error, size_t size, const char *path, const char *what, int number)
{
    snprintf(error, size, "%s: %s%s%s", path, what, number == 0 || *what == '\0' ? "" : ": ",
        number == 0 ? "" : strerror(number));
    return -1;
}

/* Where others can write they can have files of ours taken for known, or replace the evidence. The sticky bit
 * does not help: they need only be the first to use a name. */
static int check(int directory, const char *path, char *error, size_t size)
{
    struct stat status;

    if (fstat(directory, &status) != 0)
        return fail(error, size, path, "", errno);
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fail(error, size, path, "other users of this machine can write to the quarantine", 0);
    if (status.st_uid != 0 && status.st_uid != geteuid())
        return fail(error, size, path, "the quarantine belongs to another user", 0);
    return 0;
}

static int lock(struct quarantine_folder *folder, const char *path, char *error, size_t size)
{
    folder->lock =
        openat(folder->directory, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (folder->lock < 0)
        return fail(error, size, path, "can't open " LOCK_NAME, errno);
    if (flock(folder->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return fail(error, size, path, "another process has this quarantine open", 0);
    return fail(error, size, path, "can't lock " LOCK_NAME, errno);
}

int quarantine_folder_check(const char *path, char *error, size_t error_size)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (directory < 0)
        return errno == ENOENT ? 0 : fail(error, error_size, path, "", errno);
    int result = check(directory, path, error, error_size);
    close(directory);
    return result;
}

int quarantine_folder_open(struct quarantine_folder *folder, const char *path, char *error, size_t error_size)
{
    *folder = (struct quarantine_folder){-1, -1};
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail(error, error_size, path, "can't make it", errno);
    folder->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->directory < 0)
        return fail(error, error_size, path, "", errno);
    if (check(folder->directory, path, error, error_size) == 0 && lock(folder, path, error, error_size) == 0)
        return 0;
    quarantine_folder_close(folder);
    return -1;
}

void quarantine_folder_close(struct quarantine_folder *folder)
{
    if (folder->lock >= 0)
        close(folder->lock);
    if (folder->directory >= 0)
        close(folder->directory);
    *folder = (struct quarantine_folder){-1, -1};
}

/* ---- what is there ---- */

static DIR *list(const struct quarantine_folder *folder)
{
    int directory = openat(folder->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = directory < 0 ? NULL : fdopendir(directory);

    if (stream == NULL && directory >= 0)
        close(directory);
    return stream;
}

/* The next file of ours; FILES: there is none, or errno. */
static enum file next(DIR *stream, const char **name)
{
    const struct dirent *entry;
    enum file file;

    do {
        errno = 0;
        entry = readdir(stream);
        if (entry == NULL)
            return FILES;
        file = file_of(entry->d_name);
    } while (file == FILES);
    *name = entry->d_name;
    return file;
}

/* file is one that is called .new. */
static int recover(const struct quarantine_folder *folder, const char *hex, enum file file)
{
    enum file own = file == PAYLOAD_NEW ? PAYLOAD : DESCRIPTION;
    struct quarantine_pair pair;

    if (quarantine_folder_look(folder, hex, &pair) != 0)
        return -1;
    bool own_there = (own == PAYLOAD ? pair.payload : pair.description) >= 0;
    bool partner_there = (own == PAYLOAD ? pair.description : pair.payload) >= 0;
    return partner_there && !own_there ? give_name(folder, hex, file, own) : remove_file(folder, hex, file);
}

int quarantine_folder_recover(const struct quarantine_folder *folder, char name[QUARANTINE_NAME_MAX])
{
    DIR *stream = list(folder);
    const char *found;
    enum file file;
    int error = 0;

    name[0] = '\0';
    if (stream == NULL)
        return -1;
    while (error == 0 && (file = next(stream, &found)) != FILES) {
        if (file != PAYLOAD_NEW && file != DESCRIPTION_NEW)
            continue;
        snprintf(name, QUARANTINE_NAME_MAX, "%s", found);
        error = recover(folder, name, file) == 0 ? 0 : errno;
    }
    if (error == 0) {
        error = errno; /* of next() */
        name[0] = '\0';
    }
    if (error == 0 && fsync(folder->directory) != 0)
        error = errno;
    closedir(stream);
    errno = error;
    return error == 0 ? 0 : -1;
}

int quarantine_folder_count(const struct quarantine_folder *folder,
    bool (*skip)(const void *context, const char *hex), const void *context, struct quarantine_usage *usage)
{
    DIR *stream = list(folder);
    const char *name;
    enum file file;
    int error = 0;

    *usage = (struct quarantine_usage){0};
    if (stream == NULL)
        return -1;
    while (error == 0 && (file = next(stream, &name)) != FILES) {
        int64_t size;

        if (skip(context, name))
            continue;
        if (!size_of(folder, name, &size))
            error = errno;
        else if (size >= 0) {
            usage->bytes += (uint64_t)size;
            usage->files += file == PAYLOAD;
        }
    }
    if (error == 0)
        error = errno; /* of next() */
    closedir(stream);
    errno = error;
    return error == 0 ? 0 : -1;
}

int quarantine_folder_look(
    const struct quarantine_folder *folder, const char *hex, struct quarantine_pair *pair)
{
    char payload[QUARANTINE_NAME_MAX], description[QUARANTINE_NAME_MAX];

    name_of(payload, hex, PAYLOAD);
    name_of(description, hex, DESCRIPTION);
    return size_of(folder, payload, &pair->payload) && size_of(folder, description, &pair->description) ? 0
                                                                                                        : -1;
}

int quarantine_folder_remove(const struct quarantine_folder *folder, const char *hex)
{
    return remove_file(folder, hex, PAYLOAD) == 0 && remove_file(folder, hex, DESCRIPTION) == 0 &&
                   fsync(folder->directory) == 0
               ? 0
               : -1;
}

/* ---- writing ---- */

static int write_all(int descriptor, struct view bytes)
{
    while (bytes.length > 0) {
        ssize_t written = write(descriptor, bytes.data, bytes.length);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        bytes = view_skip(bytes, (size_t)written);
    }
    return 0;
}

/* close(2) is asked, too: some file systems say only then that there was no room. */
static int write_file(
    const struct quarantine_folder *folder, const char *hex, enum file file, struct view bytes)
{
    char name[QUARANTINE_NAME_MAX];
    int descriptor, error = 0;

    name_of(name, hex, file);
    if (remove_file(folder, hex, file) != 0) /* of a failure that could not be cleaned up */
        return -1;
    descriptor =
        openat(folder->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR);
    if (descriptor < 0)
        return -1;
    if (write_all(descriptor, bytes) != 0 || fsync(descriptor) != 0)
        error = errno;
    if (close(descriptor) != 0 && error == 0)
        error = errno;
    errno = error;
    return error == 0 ? 0 : -1;
}

int quarantine_folder_write(
    const struct quarantine_folder *folder, const char *hex, struct view payload, struct view description)
{
    if (write_file(folder, hex, PAYLOAD_NEW, payload) == 0 &&
        write_file(folder, hex, DESCRIPTION_NEW, description) == 0 && fsync(folder->directory) == 0 &&
        give_name(folder, hex, PAYLOAD_NEW, PAYLOAD) == 0 &&
        give_name(folder, hex, DESCRIPTION_NEW, DESCRIPTION) == 0 && fsync(folder->directory) == 0)
        return 0;

    int error = errno;
    for (unsigned file = 0; file < FILES; file++)
        remove_file(folder, hex, (enum file)file);
    errno = error;
    return -1;
}
