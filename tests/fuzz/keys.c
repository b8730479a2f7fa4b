/* SPDX-License-Identifier: Apache-2.0 */
/* Any file as keys.yaml: no crash, a keyring exactly when there is no error, and no secret in what is said of
 * it, unless the file itself has it in a place where no secret belongs (libFuzzer copies what is searched for
 * into its inputs). What is behind a zero byte is the file of a secret, "100"; "101" is always a good one.
 * Whatever key is accepted can be found, taken and used. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/keyring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "8f1d4b7a90c3e62558ab0f7712de349c6b05fe81a2d9437c1e60b8954df2ca37"
#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static void open_file(int number)
{
    int descriptor = memfd_create("keys", 0);
    REQUIRE(descriptor >= 0 && fchmod(descriptor, 0600) == 0 && dup2(descriptor, number) == number);
    close(descriptor);
}

static void fill_file(int number, struct view text)
{
    REQUIRE(ftruncate(number, 0) == 0 && pwrite(number, text.data, text.length, 0) == (ssize_t)text.length);
}

static void expect_no_secret(
    void *context, enum diag_severity severity, const char *place, const char *message)
{
    (void)context;
    (void)severity;
    (void)place;
    REQUIRE(strstr(message, SECRET) == NULL);
}

static void use_key(struct keyring *keyring, const struct keyring_entry *entry)
{
    const struct mps1_message message = {.topic = VIEW("t")};
    const struct keyring_entry *found;
    struct view kid = view_of_string(entry->kid),
                sub = entry->type == KEYRING_STATIC ? entry->sub : VIEW("a");
    const struct mps1_header header = {.algorithm = entry->algorithm, .kid = kid, .sub = sub};
    uint8_t tag[MPS1_TAG_MAX];
    uint32_t generation;

    REQUIRE(mps1_kid_valid(kid) && mps1_sub_valid(sub) && entry->not_before_ms < entry->not_after_ms);
    REQUIRE(keyring_find_kid(keyring, kid, &generation) == entry && generation == 1);
    enum reason reason = keyring_find(keyring, &header, entry->not_before_ms, &found);
    REQUIRE(found == entry && (reason == REASON_none || reason == REASON_sig_key_revoked));
    const struct keyring_key *key = keyring_take(keyring, entry, MPS1_DEVICE, kid, sub);
    mps1_mac(&key->key, VIEW("covered"), false, &message, tag);
    keyring_put(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool opened;
    if (!opened) {
        for (int number = 99; number <= 101; number++)
            open_file(number);
        fill_file(101, VIEW(SECRET "\n"));
        opened = true;
    }
    const uint8_t *zero = size == 0 ? NULL : memchr(data, 0, size);
    struct view text = view_of(data, zero == NULL ? size : (size_t)(zero - data));
    fill_file(99, text);
    fill_file(100, view_skip(view_of(data, size), text.length + 1));
    struct diag_list *diag = diag_list_new();
    struct keyring *keyring = keyring_load("/proc/self/fd/99", diag, NULL);
    REQUIRE((keyring == NULL) == (diag_errors(diag) > 0));
    if (memmem(text.data, text.length, VIEW(SECRET).data, VIEW(SECRET).length) == NULL)
        diag_each(diag, expect_no_secret, NULL);
    for (size_t i = 0; keyring != NULL && i < keyring_count(keyring); i++)
        use_key(keyring, keyring_entry(keyring, i));
    keyring_release(keyring);
    diag_list_free(diag);
    return 0;
}
