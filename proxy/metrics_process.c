/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of the process that every client library of Prometheus has. Called by server_metrics.c. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/metrics.h"

#define US_OF_SECOND 1000000u

static uint64_t us_of(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * US_OF_SECOND + (uint64_t)time->tv_usec;
}

/* Fields of /proc/self/stat behind the command, which may hold anything, and its bracket: "S 1 ...". */
static bool read_stat(uint64_t *virtual_bytes, uint64_t *resident_pages)
{
    char text[2048];
    FILE *in = fopen("/proc/self/stat", "re");
    size_t length = in == NULL ? 0 : fread(text, 1, sizeof(text) - 1, in);
    const char *at;

    if (in != NULL)
        fclose(in);
    text[length] = '\0';
    at = strrchr(text, ')');
    return at != NULL && sscanf(at,
                             ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                             "%*u %" SCNu64 " %" SCNu64,
                             virtual_bytes, resident_pages) == 2;
}

/* Newer kernels (6.2) say it as the size of the folder; with older ones each has to be looked at. */
static uint64_t look_at_descriptors(void)
{
    struct stat status;
    uint64_t count = 0;
    DIR *folder;

    if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
        return (uint64_t)status.st_size;
    folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count < 3 ? 0 : count - 3; /* ".", "..", and the folder itself */
}

/* So that counting takes no more than a hundredth of the time. */
static uint64_t count_descriptors(struct metrics_descriptors *descriptors)
{
    uint64_t begun_ms = clock_monotonic_ms(), ended_ms;

    if (begun_ms < descriptors->again_ms)
        return descriptors->count;
    descriptors->count = look_at_descriptors();
    ended_ms = clock_monotonic_ms();
    descriptors->again_ms = ended_ms + (ended_ms - begun_ms) * 100;
    return descriptors->count;
}

void metrics_write_process(
    struct metrics *metrics, uint64_t started_us, struct metrics_descriptors *descriptors)
{
    uint64_t virtual_bytes = 0, pages = 0;
    struct rusage usage = {0};
    struct rlimit limit = {0};

    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &limit);
    metrics_single_decimal(metrics, METRICS_process_cpu, us_of(&usage.ru_utime) + us_of(&usage.ru_stime), 6);
    if (read_stat(&virtual_bytes, &pages)) {
        metrics_single(metrics, METRICS_process_resident, pages * (uint64_t)sysconf(_SC_PAGESIZE));
        metrics_single(metrics, METRICS_process_virtual, virtual_bytes);
    }
    metrics_single(metrics, METRICS_process_fds, count_descriptors(descriptors));
    metrics_single(metrics, METRICS_process_max_fds, limit.rlim_cur);
    metrics_single_decimal(metrics, METRICS_process_start, started_us, 6);
}
