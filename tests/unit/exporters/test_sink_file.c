/* SPDX-License-Identifier: Apache-2.0 */
/* The sink of a file, killed at every step that it takes, and refused by the system at every step. The calls
 * that change files are wrapped by the linker (--wrap): they count, and at a chosen one the process dies or
 * the call fails. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "directory.h"
#include "event.h"
#include "exporters/sink_file.h"
#include "exporters/sinks.h"

#define EVENTS 60U
#define KEEP 100U

/* ---- the wrapped calls ---- */

static _Atomic unsigned step, chosen; /* chosen 0: none */
static _Atomic bool dies, cuts, empties;
static _Atomic int refusal; /* of fchown(); 0: none */
static _Atomic unsigned fails_left;
static const char *watched;      /* files of this folder count */
static _Atomic uint64_t *pushed; /* how far push() came, in memory that outlives the process */

int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_fdatasync(int descriptor);
int __real_fchmod(int descriptor, mode_t mode);
int __real_flock(int descriptor, int operation);
ssize_t __real_write(int descriptor, const void *bytes, size_t count);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_fdatasync(int descriptor);
int __wrap_fchmod(int descriptor, mode_t mode);
int __wrap_flock(int descriptor, int operation);
int __real_fchown(int descriptor, uid_t user, gid_t group);
int __wrap_fchown(int descriptor, uid_t user, gid_t group);
int __real_fsync(int descriptor);
int __wrap_fsync(int descriptor);
ssize_t __wrap_write(int descriptor, const void *bytes, size_t count);

/* True: the call is to fail. */
static bool is_chosen(void)
{
    if (++step != chosen)
        return false;
    if (dies)
        kill(getpid(), SIGKILL);
    return true;
}

static bool is_watched(const char *path)
{
    return watched != NULL && strncmp(path, watched, strlen(watched)) == 0;
}

static bool is_watched_descriptor(int descriptor)
{
    char name[64], path[256];

    if (watched == NULL)
        return false;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(name, path, sizeof(path) - 1);
    path[length < 0 ? 0 : length] = '\0';
    return is_watched(path);
}

int __wrap_rename(const char *from, const char *to)
{
    if (!is_watched(from) || !is_chosen())
        return __real_rename(from, to);
    errno = EACCES;
    return -1;
}

int __wrap_unlink(const char *path)
{
    if (!is_watched(path) || !is_chosen())
        return __real_unlink(path);
    errno = EACCES;
    return -1;
}

int __wrap_fdatasync(int descriptor)
{
    if (!is_watched_descriptor(descriptor) || !is_chosen())
        return __real_fdatasync(descriptor);
    errno = EIO;
    return -1;
}

int __wrap_fchmod(int descriptor, mode_t mode)
{
    if (!is_watched_descriptor(descriptor) || !is_chosen())
        return __real_fchmod(descriptor, mode);
    errno = EPERM;
    return -1;
}

/* refusal: of every call. */
int __wrap_fchown(int descriptor, uid_t user, gid_t group)
{
    if (!is_watched_descriptor(descriptor) || refusal == 0)
        return __real_fchown(descriptor, user, group);
    errno = refusal;
    return -1;
}

/* Of a folder, as long as fails_left lasts. */
int __wrap_fsync(int descriptor)
{
    if (!is_watched_descriptor(descriptor) || fails_left == 0)
        return __real_fsync(descriptor);
    fails_left--;
    errno = EIO;
    return -1;
}

int __wrap_flock(int descriptor, int operation)
{
    if (!is_watched_descriptor(descriptor) || !is_chosen())
        return __real_flock(descriptor, operation);
    errno = ENOLCK;
    return -1;
}

/* cuts: a write puts half of its bytes first, wherever that is in a line. */
ssize_t __wrap_write(int descriptor, const void *bytes, size_t count)
{
    if (!is_watched_descriptor(descriptor))
        return __real_write(descriptor, bytes, count);
    if (cuts && count > 1)
        count /= 2;
    if (!is_chosen())
        return __real_write(descriptor, bytes, count);
    if (empties)
        cr_assert_eq(ftruncate(descriptor, 0), 0);
    errno = ENOSPC;
    return -1;
}

/* ---- a run ---- */

struct run {
    char trail[DIRECTORY_MAX], out[DIRECTORY_MAX], path[DIRECTORY_MAX + 16];
    struct sink_file_settings file;
    struct exporter_sink sink;
    struct exporter_settings settings;
};

static void run_open(struct run *run, uint64_t max_size, enum exporter_fsync fsync)
{
    directory_make(run->trail);
    directory_make(run->out);
    pushed = mmap(NULL, sizeof(*pushed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(pushed, MAP_FAILED);
    snprintf(run->path, sizeof(run->path), "%s/out", run->out);
    run->file = (struct sink_file_settings){.path = run->path,
        .mode = 0640,
        .max_size = max_size,
        .keep = KEEP,
        .lines = {.fsync = fsync, .fsync_interval_ms = 5, .timeout_ms = 10000}};
    run->sink = (struct exporter_sink){"file", &sink_file, &run->file};
    run->settings = directory_settings(run->trail);
    run->settings.sinks = &run->sink;
    run->settings.sink_count = 1;
}

static void run_close(struct run *run)
{
    watched = NULL;
    munmap(pushed, sizeof(*pushed));
    directory_remove(run->trail);
    directory_remove(run->out);
}

static void push(struct exporter *exporter, uint64_t first, uint64_t count)
{
    uint8_t record[AUDIT_EVENT_MAX];
    char user[32];

    for (uint64_t i = first; i < first + count; i++) {
        struct audit_event event = event_numbered(i, user);
        while (!ring_push(exporter_ring(exporter, 0), view_of(record, audit_event_encode(&event, record))))
            usleep(1000);
        *pushed = i + 1;
        exporter_wake(exporter);
    }
}

/* One life of mqward: it recovers, takes so many events, and ends when all are delivered. */
static void live(const struct run *run, uint64_t first, uint64_t count)
{
    char error[256] = "";
    struct exporter *exporter = exporter_open(&run->settings, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    push(exporter, first, count);
    exporter_close(exporter, CLOSE_MS);
}

/* In a process of its own, killed at the step. True if it came to its end before. */
static bool live_until(const struct run *run, unsigned last)
{
    int status;
    pid_t child = fork();

    cr_assert_neq(child, -1);
    if (child == 0) {
        watched = run->out;
        step = 0;
        chosen = last;
        dies = true;
        live(run, 0, EVENTS);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
    return WIFEXITED(status);
}

/* ---- what is in the files ---- */

struct found {
    unsigned counts[EVENTS * 2];
    unsigned torn, files;
    int64_t last_user; /* in the order of the files */
    bool ordered;
};

static void read_line(struct found *found, struct view line)
{
    struct record_head head;
    json_t *document = record_parse_head(line, &head) == 0
                           ? json_loadb((const char *)line.data, line.length, 0, NULL)
                           : NULL;

    if (document == NULL) {
        found->torn++;
        return;
    }
    const char *user = string_at(document, "user.name");
    if (user[0] >= '0' && user[0] <= '9') {
        int64_t number = strtoll(user, NULL, 10);
        found->counts[number]++;
        found->ordered = found->ordered && number >= found->last_user;
        found->last_user = number;
    }
    json_decref(document);
}

static void read_file(struct found *found, const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;

    if (file == NULL)
        return;
    found->files++;
    while ((length = getline(&line, &capacity, file)) > 0) {
        cr_assert_eq(line[length - 1], '\n', "%s ends with half a line", path);
        read_line(found, view_of(line, (size_t)length - 1));
    }
    free(line);
    fclose(file);
}

static struct found read_files(const struct run *run)
{
    struct found found = {.ordered = true};
    char path[128];

    for (unsigned number = KEEP; number > 0; number--) {
        snprintf(path, sizeof(path), "%s.%u", run->path, number);
        read_file(&found, path);
    }
    read_file(&found, run->path);
    return found;
}

static void check_span(const struct found *found, uint64_t first, uint64_t end, bool once)
{
    for (uint64_t i = first; i < end; i++)
        cr_assert(found->counts[i] == 1 || (!once && found->counts[i] > 0), "event %u: %u times", (unsigned)i,
            found->counts[i]);
}

static void check_all(const struct found *found, unsigned count, bool once)
{
    check_span(found, 0, count, once);
}

/* ---- the tests ---- */

Test(sink_file, rotates_at_lines_and_loses_none)
{
    struct run run;

    run_open(&run, 4096, EXPORTER_FSYNC_ALWAYS);
    live(&run, 0, EVENTS);
    struct found found = read_files(&run);
    check_all(&found, EVENTS, true);
    cr_expect_gt(found.files, 5);
    cr_expect(found.ordered && found.torn == 0);
    for (unsigned number = 1; number < found.files; number++) {
        char path[128];
        struct stat status;
        snprintf(path, sizeof(path), "%s.%u", run.path, number);
        cr_assert_eq(stat(path, &status), 0);
        cr_expect_leq(status.st_size, 4096);
        cr_expect_eq(status.st_mode & 0777, 0640);
    }
    run_close(&run);
}

Test(sink_file, a_line_larger_than_a_file_has_one_of_its_own)
{
    struct run run;

    run_open(&run, 100, EXPORTER_FSYNC_NEVER);
    live(&run, 0, 10);
    struct found found = read_files(&run);
    check_all(&found, 10, true);
    cr_expect(found.files >= 11 && found.torn == 0);
    run_close(&run);
}

static void kill_everywhere(enum exporter_fsync fsync, bool in_lines)
{
    bool ended = false;

    for (unsigned last = 1; !ended; last++) {
        struct run run;
        run_open(&run, 16384, fsync);
        cuts = in_lines;
        ended = live_until(&run, last);
        cuts = false;
        uint64_t before = *pushed; /* its process died before it could push the others */
        live(&run, EVENTS, 5);
        struct found found = read_files(&run);
        check_span(&found, 0, before, ended);
        check_span(&found, EVENTS, EVENTS + 5, ended);
        cr_assert(in_lines ? found.torn <= 1 : found.torn == 0, "%u torn lines, killed at step %u",
            found.torn, last);
        run_close(&run);
        cr_assert_lt(last, 1000);
        if (ended)
            cr_assert_gt(last, 10, "there were steps to die at");
    }
}

Test(sink_file, killed_at_each_step_it_loses_nothing, .timeout = 300)
{
    kill_everywhere(EXPORTER_FSYNC_ALWAYS, false);
}

Test(sink_file, killed_within_lines_it_glues_none_together, .timeout = 300)
{
    kill_everywhere(EXPORTER_FSYNC_INTERVAL, true);
}

Test(sink_file, refused_at_each_step_it_goes_on, .timeout = 300)
{
    for (unsigned last = 1;; last++) {
        struct run run;
        run_open(&run, 16384, EXPORTER_FSYNC_ALWAYS);
        watched = run.out;
        step = 0;
        chosen = last;
        dies = false;
        cuts = last % 2 == 0;
        live(&run, 0, EVENTS);
        unsigned steps = step;
        watched = NULL;
        struct found found = read_files(&run);
        check_all(&found, EVENTS, false);
        cr_assert_eq(found.torn, 0, "step %u", last);
        run_close(&run);
        if (steps < last)
            break;
    }
    cuts = false;
}

static bool is_there(const struct run *run, unsigned number)
{
    char path[DIRECTORY_MAX + 32];

    snprintf(path, sizeof(path), "%s.%u", run->path, number);
    return access(path, F_OK) == 0;
}

/* "keep" was larger once. What is no number of ours stays. */
Test(sink_file, what_is_beyond_the_number_to_keep_goes)
{
    struct run run;
    char other[DIRECTORY_MAX + 32];

    run_open(&run, 4096, EXPORTER_FSYNC_NEVER);
    run.file.keep = 6;
    live(&run, 0, EVENTS);
    for (unsigned number = 1; number <= 6; number++)
        cr_assert(is_there(&run, number), "%u", number);
    cr_assert_not(is_there(&run, 7));
    snprintf(other, sizeof(other), "%s.old", run.path);
    close(open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    run.file.keep = 2;
    live(&run, EVENTS, EVENTS);
    for (unsigned number = 1; number <= 7; number++)
        cr_assert_eq(is_there(&run, number), number <= 2, "%u", number);
    cr_assert_eq(access(other, F_OK), 0);
    run_close(&run);
}

/* As copytruncate of logrotate does: what was in the file is somebody else's business, the line that was
 * begun is ours. */
Test(sink_file, emptied_within_a_line_it_begins_the_line_again, .timeout = 120)
{
    unsigned begun = 0;

    for (unsigned last = 14; last < 40; last += 2) {
        struct run run;
        unsigned first = 0;
        run_open(&run, 0, EXPORTER_FSYNC_NEVER);
        watched = run.out;
        step = 0;
        chosen = last;
        cuts = true;
        empties = true;
        live(&run, 0, EVENTS);
        watched = NULL;
        struct found found = read_files(&run);
        while (first < EVENTS && found.counts[first] == 0)
            first++;
        begun += first > 0;
        for (unsigned i = first; i < EVENTS; i++)
            cr_assert_eq(
                found.counts[i], 1, "event %u: %u times, emptied at step %u", i, found.counts[i], last);
        cr_assert_eq(found.torn, 0);
        run_close(&run);
    }
    cuts = false;
    empties = false;
    cr_assert_gt(begun, 0);
}

/* ---- a new file whose owner, mode or name can't be settled ---- */

static void check_settled(const struct run *run)
{
    struct stat status;

    struct found found = read_files(run);
    check_all(&found, EVENTS, true);
    cr_assert_eq(stat(run->path, &status), 0);
    cr_expect_eq(status.st_mode & 07777, 0640, "mode %o", (unsigned)status.st_mode);
}

/* Its owner can't be given: it is written all the same, without a sink-down, and the mode is as it should be.
 */
Test(sink_file, a_file_whose_owner_can_not_be_changed_is_written)
{
    static const int refusals[] = {EPERM, EINVAL};

    umask(077);
    for (size_t i = 0; i < 2; i++) {
        struct run run;
        run_open(&run, 0, EXPORTER_FSYNC_ALWAYS);
        run.file.owner = (struct sink_file_owner){true, getuid(), getgid()};
        watched = run.out;
        refusal = refusals[i];
        live(&run, 0, EVENTS);
        check_settled(&run);
        cr_expect_eq(directory_actions(run.trail, "sink-down"), 0);
        run_close(&run);
    }
}

/* What failed is done again, and not taken for done. */
Test(sink_file, a_new_file_that_could_not_be_finished_is_made_anew, .timeout = 60)
{
    struct run run;

    umask(077);
    run_open(&run, 0, EXPORTER_FSYNC_ALWAYS);
    run.file.owner = (struct sink_file_owner){true, getuid(), getgid()};
    watched = run.out;
    fails_left = 2; /* of the folder's: the third file is the one */
    live(&run, 0, EVENTS);
    check_settled(&run);
    cr_expect_eq(fails_left, 0);
    cr_expect_eq(directory_actions(run.trail, "sink-down"), 1);
    run_close(&run);
}

Test(sink_file, nothing_is_left_of_a_file_that_could_not_be_finished)
{
    struct run run;
    struct stat status;

    run_open(&run, 0, EXPORTER_FSYNC_ALWAYS);
    run.file.owner = (struct sink_file_owner){true, getuid(), getgid()};
    watched = run.out;
    refusal = EIO;
    char error[256] = "";
    struct exporter *exporter = exporter_open(&run.settings, error, sizeof(error));
    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    push(exporter, 0, 1);
    struct exporter_sink_status sink;
    WAIT_FOR((exporter_sink_status(exporter, 0, &sink), sink.failures > 1));
    exporter_close(exporter, 0);
    cr_expect(stat(run.path, &status) == -1 && errno == ENOENT);
    refusal = 0;
    live(&run, 1, EVENTS - 1);
    check_settled(&run);
    run_close(&run);
}
