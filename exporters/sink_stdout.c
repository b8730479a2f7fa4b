/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the sink that writes the journal's lines to the standard output, for containers. A row of the sinks
 * (sinks.h); batches and waiting are lines.c's, and the writing runs on its thread.
 *
 * The descriptor is shared with whoever gave it to us: making it non-blocking would make it so for them, too,
 * and a reader that hangs must not hang the exporter. So the thread blocks instead.
 *
 * A write is of whole lines. Into a pipe it has 4,096 bytes (PIPE_BUF) at most where lines are that short:
 * then the kernel puts nothing of another writer's, such as our own log's, between them. */
#include "exporters/sink_stdout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "exporters/sink.h"
#include "exporters/sinks.h"

struct output {
    int descriptor;
    bool is_file;
    struct lines_settings settings;
};

/* As many whole lines as fit a write, one at least, or the rest of one that was begun. */
static size_t count_room(const struct output *output, struct view rest)
{
    size_t count = 0;

    while (count < rest.length) {
        const uint8_t *end = memchr(rest.data + count, '\n', rest.length - count);
        size_t next = (size_t)(end - rest.data) + 1;
        if (count > 0 && next > PIPE_BUF && !output->is_file)
            break;
        count = next;
    }
    return count;
}

/* Somebody else has made the open file non-blocking: we wait all the same. */
static bool wait_for_room(const struct output *output)
{
    struct pollfd descriptor = {.fd = output->descriptor, .events = POLLOUT};

    return poll(&descriptor, 1, (int)output->settings.timeout_ms) == 1;
}

static void output_work(void *state, struct lines_job *job)
{
    struct output *output = state;

    while (job->written < buffer_length(&job->lines)) {
        struct view rest = view_skip(buffer_view(&job->lines), job->written);
        ssize_t written = write(output->descriptor, rest.data, count_room(output, rest));
        if (written > 0) {
            job->written += (size_t)written;
        } else if (written == -1 && errno == EAGAIN) {
            if (wait_for_room(output))
                continue;
            lines_job_fail(job, REASON_sink_unreachable, "nobody reads the standard output", 0);
            return;
        } else if (written == 0 || errno != EINTR) {
            lines_job_fail(job, REASON_sink_unreachable, "standard output", written == 0 ? EIO : errno);
            return;
        }
    }
    if (job->sync && output->is_file && fdatasync(output->descriptor) == -1) {
        lines_job_fail(job, REASON_sink_refused, "standard output: fdatasync", errno);
        job->lost = true;
    }
}

static void output_release(void *state)
{
    struct output *output = state;

    close(output->descriptor);
    free(output);
}

/* ---- the row ---- */

static void *stdout_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    static const struct lines_kind kind = {output_work, output_release};
    const struct sink_stdout_settings *given = settings;
    struct stat status;
    int descriptor = fcntl(given->descriptor, F_DUPFD_CLOEXEC, 3);

    if (descriptor == -1 || fstat(descriptor, &status) == -1) {
        snprintf(error, error_size, "no standard output: %s", strerror(errno));
        if (descriptor != -1)
            close(descriptor);
        return NULL;
    }
    struct output *output = memory_calloc(1, sizeof(*output));
    *output = (struct output){descriptor, S_ISREG(status.st_mode), given->lines};
    return lines_new(sink, &kind, output, &given->lines, base);
}

static void stdout_start(void *link)
{
    lines_start(link);
}

static void stdout_wake(void *link)
{
    lines_wake(link);
}

static void stdout_flush(void *link)
{
    lines_flush(link);
}

static void stdout_close(void *link)
{
    lines_free(link);
}

const struct sink_type sink_stdout = {
    .name = "stdout",
    .open = stdout_open,
    .start = stdout_start,
    .wake = stdout_wake,
    .flush = stdout_flush,
    .close = stdout_close,
};
