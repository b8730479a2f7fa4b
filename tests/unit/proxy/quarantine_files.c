/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the quarantine do to its files. */
#include "quarantine_files.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

void file_name(char name[FILE_NAME_MAX], const char *folder, struct view payload, const char *suffix)
{
    uint8_t sha256[32];
    int length = snprintf(name, FILE_NAME_MAX, "%.64s/", folder);

    cr_assert_eq(EVP_Digest(payload.data, payload.length, sha256, NULL, EVP_sha256(), NULL), 1);
    for (unsigned i = 0; i < 32; i++)
        length += snprintf(name + length, FILE_NAME_MAX - (size_t)length, "%02x", sha256[i]);
    snprintf(name + length, FILE_NAME_MAX - (size_t)length, "%s", suffix);
}

void file_put(const char *folder, struct view payload, const char *suffix, struct view bytes)
{
    char name[FILE_NAME_MAX];

    file_name(name, folder, payload, suffix);
    int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL, 0400);
    cr_assert(descriptor >= 0);
    cr_assert_eq(write(descriptor, bytes.data, bytes.length), (ssize_t)bytes.length);
    close(descriptor);
}

bool file_is_there(const char *folder, struct view payload, const char *suffix)
{
    char name[FILE_NAME_MAX];
    struct stat status;

    file_name(name, folder, payload, suffix);
    return lstat(name, &status) == 0;
}

void file_check(const char *folder, struct view payload, const char *suffix, struct view bytes)
{
    char name[FILE_NAME_MAX];
    static uint8_t content[1 << 20];
    struct stat status;

    file_name(name, folder, payload, suffix);
    cr_assert_eq(lstat(name, &status), 0, "%s", name);
    cr_assert(S_ISREG(status.st_mode));
    cr_assert_eq(status.st_mode & 07777, 0400);
    int descriptor = open(name, O_RDONLY);
    cr_assert(descriptor >= 0);
    ssize_t length = read(descriptor, content, sizeof(content));
    close(descriptor);
    cr_assert(length >= 0 && view_equal(view_of(content, (size_t)length), bytes), "%s", name);
}

size_t file_count(const char *folder)
{
    return directory_count(folder, ".payload", NULL) + directory_count(folder, ".json", NULL);
}

struct quarantine *open_here(const char *folder, uint64_t max_bytes, uint64_t max_files)
{
    char error[512] = "";
    struct quarantine *quarantine = quarantine_open(folder, max_bytes, max_files, error, sizeof(error));

    cr_assert_not_null(quarantine, "%s", error);
    return quarantine;
}

void refuse(const char *folder, const char *why)
{
    char error[512] = "";

    cr_assert_null(quarantine_open(folder, LARGE, 100, error, sizeof(error)), "%s", why);
    cr_expect(strstr(error, why) != NULL, "%s", error);
    cr_expect_eq(strncmp(error, folder, strlen(folder)), 0, "%s", error);
}

const char *store_with(struct quarantine *quarantine, struct view payload, struct view description)
{
    uint8_t sha256[32];

    cr_assert_eq(EVP_Digest(payload.data, payload.length, sha256, NULL, EVP_sha256(), NULL), 1);
    return quarantine_result_name(quarantine_store(quarantine, sha256, payload, description));
}

const char *store(struct quarantine *quarantine, const char *payload)
{
    return store_with(quarantine, view_of_string(payload), DESCRIPTION);
}

size_t file_check_all(const char *folder)
{
    static uint8_t payload[PAYLOAD_SIZE];
    DIR *stream = opendir(folder);
    struct dirent *entry;
    size_t payloads = 0;

    while ((entry = readdir(stream)) != NULL) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "quarantine.lock") == 0)
            continue;
        cr_assert_null(strstr(entry->d_name, ".new"), "%s", entry->d_name);
        if (strstr(entry->d_name, ".payload") == NULL)
            continue;
        int descriptor = openat(dirfd(stream), entry->d_name, O_RDONLY);
        ssize_t length = read(descriptor, payload, sizeof(payload));
        struct view bytes = view_of(payload, (size_t)length);
        close(descriptor);
        cr_assert(file_is_there(folder, bytes, ".payload"), "%s is not its own hash", entry->d_name);
        file_check(folder, bytes, ".json", DESCRIPTION);
        payloads++;
    }
    closedir(stream);
    cr_assert_eq(file_count(folder), 2 * payloads);
    return payloads;
}

void file_limit(uint64_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

void fill_payload(uint8_t payload[PAYLOAD_SIZE], unsigned number)
{
    memset(payload, (int)('a' + number % 26), PAYLOAD_SIZE);
    memcpy(payload, &number, sizeof(number));
}

void log_nothing(void)
{
    log_configure(LOG_ERROR, LOG_TEXT, open("/dev/null", O_WRONLY));
}
