/* SPDX-License-Identifier: Apache-2.0 */
/* Password files. What is read is within the bounds of what a check may cost; small hashes are computed, too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "policy/password.h"
#include "policy/password_hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK_MEMORY ((uint64_t)256 << 20)

static void load(struct view text)
{
    struct diag_list *diag = diag_list_new();
    int fd = memfd_create("passwords", 0);
    char *path = memory_format("/proc/self/fd/%d", fd);

    if (fd < 0 || fchmod(fd, 0600) != 0 || write(fd, text.data, text.length) != (ssize_t)text.length)
        abort();
    struct password_file *file = password_file_load(path, CHECK_MEMORY, diag, NULL);
    if ((file == NULL) != (diag_errors(diag) > 0))
        abort();
    password_file_free(file);
    free(path);
    close(fd);
    diag_list_free(diag);
}

/* text: a line's hash. */
static void parse(struct view text)
{
    struct password_hash hash;
    struct password_fault fault = {0};
    bool failed;

    if (!password_hash_parse(text, &hash, &fault)) {
        bool inside = fault.part.data >= text.data && fault.part.length <= text.length &&
                      fault.part.data + fault.part.length <= text.data + text.length;
        if (fault.message == NULL || !inside)
            abort();
        return;
    }
    if ((uint64_t)hash.memory * hash.rounds > 1 << 20 || hash.rounds > 1000000 || hash.length < 16)
        abort();
    if (hash.rounds > 10 || hash.memory > 100)
        return;
    (void)password_hash_check(&hash, VIEW("secret"), &failed);
    if (failed)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = view_of(data, size);
    const uint8_t *colon = size == 0 ? NULL : memchr(data, ':', size);

    load(text);
    if (colon != NULL)
        parse(view_of(colon + 1, size - (size_t)(colon - data) - 1));
    return 0;
}
