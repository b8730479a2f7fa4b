/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the sink that appends the journal's lines to a file, for readers such as Filebeat. A row of the sinks
 * (sinks.h); batches and waiting are lines.c's, and all that is here runs on its thread.
 *
 * A file is only ever appended to, in whole lines, and keeps its inode when it is renamed: whoever follows it
 * by inode sees each line once. <path> becomes <path>.1, <path>.1 becomes <path>.2, up to <path>.<keep>, the
 * oldest of which goes. The renames begin with the oldest, and stop at a number that is free, so that a
 * process that died between two of them left a gap that the next rotation fills, and nothing else.
 *
 * What a full disk left of a line is finished as soon as there is room. What a crash left of one is ended
 * with a line feed by the next run: a reader sees one line that is no JSON, and never two lines in one. */
#include "exporters/sink_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "exporters/sink.h"
#include "exporters/sinks.h"

struct file {
    struct sink_file_settings settings;
    char *path, *folder;
    char *older, *newer; /* room for two numbered names */
    size_t name_size;
    int descriptor; /* -1: none */
    uint64_t size;
    bool fixed; /* rotation failed: not tried again within the job */
};

static bool wants_sync(const struct file *file)
{
    return file->settings.lines.fsync != EXPORTER_FSYNC_NEVER;
}

/* ---- opening ---- */

/* The name in its folder is to outlive a power cut, too. */
static int sync_folder(const struct file *file)
{
    int folder, status;

    if (!wants_sync(file))
        return 0;
    folder = open(file->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder == -1)
        return -1;
    status = fsync(folder);
    close(folder);
    return status;
}

static void forget(struct file *file)
{
    if (file->descriptor != -1)
        close(file->descriptor); /* and with it the lock */
    file->descriptor = -1;
}

/* Owner and mode are not everybody's to give: root without its capabilities, file systems of other systems.
 * The events come first; the log has it. */
static int settle(const struct file *file, int status, const char *what)
{
    if (status == 0 || (errno != EPERM && errno != EINVAL))
        return status;
    LOG_LIMITED(LOG_WARN, "sink", "a new file is not as it should be", log_string("path", file->path),
        log_string("what", what), log_string("error", strerror(errno)));
    return 0;
}

static int give_owner(const struct file *file)
{
    const struct sink_file_owner *owner = &file->settings.owner;
    struct stat folder;

    if (!owner->given)
        return 0;
    if (stat(file->folder, &folder) == -1)
        return -1;
    return fchown(file->descriptor, owner->user, folder.st_mode & S_ISGID ? (gid_t)-1 : owner->group);
}

/* A new file: its owner, its mode whatever the umask, its name for good. */
static int finish_new(const struct file *file)
{
    if (settle(file, give_owner(file), "owner") == -1 ||
        settle(file, fchmod(file->descriptor, file->settings.mode), "mode") == -1)
        return -1;
    return sync_folder(file);
}

/* What is left half made would be taken for finished by the next try. It is empty, and nobody else's yet. */
static void remove_new(const struct file *file)
{
    struct stat own, named;
    int error = errno;

    if (fstat(file->descriptor, &own) == 0 && lstat(file->path, &named) == 0 && own.st_dev == named.st_dev &&
        own.st_ino == named.st_ino)
        (void)unlink(file->path);
    errno = error;
}

/* A new file, or the one that is there. Neither a symbolic link, which would lead to somebody else's file,
 * nor a pipe or a device. */
static int open_descriptor(struct file *file, struct lines_job *job)
{
    const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    struct stat status;
    bool made = true;

    file->descriptor = open(file->path, flags | O_CREAT | O_EXCL, file->settings.mode);
    if (file->descriptor == -1 && errno == EEXIST) {
        made = false;
        file->descriptor = open(file->path, flags);
    }
    if (file->descriptor == -1) {
        lines_job_fail(job, REASON_sink_unreachable, file->path, errno);
        return -1;
    }
    if (fstat(file->descriptor, &status) == -1 || (made && finish_new(file) == -1)) {
        if (made)
            remove_new(file);
        lines_job_fail(job, REASON_sink_unreachable, file->path, errno);
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        lines_job_fail(job, REASON_sink_unreachable, "the path leads to something that is no file", 0);
        return -1;
    }
    file->size = (uint64_t)status.st_size;
    return 0;
}

/* Lines of two processes, or of two sinks, would be rotated away from under each other. */
static int lock(struct file *file, struct lines_job *job)
{
    if (flock(file->descriptor, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        lines_job_fail(job, REASON_sink_unreachable, "another process or sink writes to the file", 0);
    else
        lines_job_fail(job, REASON_sink_unreachable, "no lock of the file", errno);
    return -1;
}

static int end_torn_line(struct file *file, struct lines_job *job)
{
    char last = '\n';

    if (file->size > 0 && pread(file->descriptor, &last, 1, (off_t)file->size - 1) != 1)
        last = '\n'; /* shorter by now: somebody cut it */
    if (last == '\n')
        return 0;
    if (write(file->descriptor, "\n", 1) != 1) {
        lines_job_fail(job, REASON_sink_refused, "write", errno);
        return -1;
    }
    file->size++;
    LOG_EVENT(LOG_WARN, "sink", "the file ended with half a line", log_string("path", file->path));
    return 0;
}

static int open_file(struct file *file, struct lines_job *job)
{
    if (open_descriptor(file, job) == 0 && lock(file, job) == 0 && end_torn_line(file, job) == 0)
        return 0;
    forget(file);
    return -1;
}

/* ---- writing ---- */

static int sync_file(struct file *file, struct lines_job *job)
{
    if (!wants_sync(file) || file->descriptor == -1 || fdatasync(file->descriptor) == 0)
        return 0;
    lines_job_fail(job, REASON_sink_refused, "fdatasync", errno);
    job->lost = true;
    return -1;
}

/* True if the file is where the path leads to. Where the file system does not say, writing goes on. */
static bool is_in_place(struct file *file)
{
    struct stat own, named;

    if (fstat(file->descriptor, &own) == -1)
        return true;
    file->size = (uint64_t)own.st_size;
    if (lstat(file->path, &named) == -1)
        return errno != ENOENT;
    return own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

/* The next file; what is in this one is on the disk before. */
static int leave_file(struct file *file, struct lines_job *job)
{
    int status = sync_file(file, job);

    forget(file); /* in any case: a line that was begun is ended when the file is opened again */
    lines_job_restart_line(job);
    return status;
}

static void put_number(const struct file *file, char *name, uint64_t number)
{
    if (number == 0)
        snprintf(name, file->name_size, "%s", file->path);
    else
        snprintf(name, file->name_size, "%s.%" PRIu64, file->path, number);
}

/* The oldest; and those that are left of a time when more were kept. */
static int remove_old(const struct file *file)
{
    uint64_t number = file->settings.keep;

    do {
        put_number(file, file->older, number);
        if (unlink(file->older) == -1)
            return errno == ENOENT || number > file->settings.keep ? 0 : -1;
    } while (number++ < UINT32_MAX);
    return 0;
}

static int shift_files(const struct file *file)
{
    struct stat status;
    uint64_t number;

    for (number = 1; number <= file->settings.keep; number++) {
        put_number(file, file->older, number);
        if (lstat(file->older, &status) == -1 && errno == ENOENT)
            break;
    }
    if (number > file->settings.keep) {
        if (remove_old(file) == -1)
            return -1;
        number = file->settings.keep;
    }
    for (; number > 0; number--) {
        put_number(file, file->older, number);
        put_number(file, file->newer, number - 1);
        if (rename(file->newer, file->older) == -1)
            return -1;
    }
    return sync_folder(file);
}

/* 0: there is a file to write to, this one if it can't be renamed. */
static int rotate(struct file *file, struct lines_job *job)
{
    if (sync_file(file, job) == -1)
        return -1;
    if (shift_files(file) == -1) {
        LOG_LIMITED(LOG_ERROR, "sink", "the file can't be rotated and grows", log_string("path", file->path),
            log_string("error", strerror(errno)));
        file->fixed = true;
        if (is_in_place(file))
            return 0;
    }
    forget(file);
    return open_file(file, job);
}

/* A line of the batch is in the file in part. */
static bool is_begun(const struct lines_job *job)
{
    return job->written > 0 && buffer_view(&job->lines).data[job->written - 1] != '\n';
}

/* Bytes to write to this file: whole lines that it has room for, and at least the rest of one that was begun.
 * 0: it is full. */
static size_t count_room(const struct file *file, const struct lines_job *job)
{
    struct view rest = view_skip(buffer_view(&job->lines), job->written);
    bool begun = is_begun(job);
    size_t count = 0;

    if (file->settings.max_size == 0 || file->fixed)
        return rest.length;
    while (count < rest.length) {
        const uint8_t *end = memchr(rest.data + count, '\n', rest.length - count);
        size_t next = (size_t)(end - rest.data) + 1;
        bool forced = count == 0 && (begun || file->size == 0);
        if (!forced && file->size + next > file->settings.max_size)
            break;
        count = next;
    }
    return count;
}

static int write_lines(struct file *file, struct lines_job *job)
{
    while (job->written < buffer_length(&job->lines)) {
        size_t count = count_room(file, job);
        if (count == 0) {
            if (rotate(file, job) == -1)
                return -1;
            continue;
        }
        ssize_t written = write(file->descriptor, buffer_view(&job->lines).data + job->written, count);
        if (written == -1 && errno == EINTR)
            continue;
        if (written <= 0) {
            lines_job_fail(job, REASON_sink_refused, "write", written == 0 ? EIO : errno);
            return -1;
        }
        job->written += (size_t)written;
        file->size += (uint64_t)written;
    }
    return 0;
}

static void file_work(void *state, struct lines_job *job)
{
    struct file *file = state;

    uint64_t left = file->size;

    file->fixed = false;
    if (file->descriptor != -1 &&
        (job->reopen || !is_in_place(file) || (is_begun(job) && file->size != left)) &&
        leave_file(file, job) == -1)
        return;
    if (file->descriptor == -1 && open_file(file, job) == -1)
        return;
    if (write_lines(file, job) == 0 && job->sync)
        (void)sync_file(file, job);
}

static void file_release(void *state)
{
    struct file *file = state;

    forget(file);
    free(file->path);
    free(file->folder);
    free(file->older);
    free(file->newer);
    free(file);
}

/* ---- the row ---- */

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return memory_copy_string(VIEW("."));
    return memory_copy_string(view_of(path, slash == path ? 1 : (size_t)(slash - path)));
}

static void *file_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    static const struct lines_kind kind = {file_work, file_release};
    struct file *file = memory_calloc(1, sizeof(*file));

    (void)error, (void)error_size;
    file->settings = *(const struct sink_file_settings *)settings;
    assert(file->settings.keep >= 1);
    file->path =
        memory_copy_string(view_of_string(file->settings.path)); /* the thread may outlive the settings */
    file->folder = folder_of(file->path);
    file->name_size = strlen(file->path) + 22;
    file->older = memory_calloc(1, file->name_size);
    file->newer = memory_calloc(1, file->name_size);
    file->descriptor = -1;
    return lines_new(sink, &kind, file, &file->settings.lines, base);
}

static void file_start(void *link)
{
    lines_start(link);
}

static void file_wake(void *link)
{
    lines_wake(link);
}

static void file_flush(void *link)
{
    lines_flush(link);
}

static void file_close(void *link)
{
    lines_free(link);
}

static void file_reopen(void *link)
{
    lines_reopen(link);
}

const struct sink_type sink_file = {
    .name = "file",
    .open = file_open,
    .start = file_start,
    .wake = file_wake,
    .flush = file_flush,
    .reopen = file_reopen,
    .close = file_close,
};
