/* SPDX-License-Identifier: Apache-2.0 */
/* Where secrets are: in pages that core dumps leave out while a keyring is in use, and nowhere once it is
 * released. The test looks through its own memory, and through a core dump where the machine writes one. It
 * knows the secrets only under a mask, so that it does not find itself. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"
#include "keys.h"
#include "support.h"

#define NEEDLE 24 /* bytes of each that are looked for */
#define MASK 0x5A
#define CHUNK ((size_t)1 << 20)
/* The shadow memory of sanitizers: terabytes, of which nothing is there. */
#define MAPPING_MAXIMUM ((size_t)4 << 30)
#define KEYS                                                                                                 \
    "version: 1\nkeys:\n  - {kid: m25a, type: master, alg: HMAC-SHA-256, secret: {file: wiped.key}}\n"       \
    "  - {kid: ops-1, type: static, sub: eva, alg: HMAC-SHA-512, secret: {file: wiped.raw, format: raw}}\n"

enum {
    IN_TEXT,
    IN_MASTER,
    IN_STATIC,
    IN_DEVICE,
    IN_INNER_PADDED,
    IN_OUTER_PADDED,
    IN_INNER,
    IN_OUTER,
    NEEDLES
};
static const char *const needle_names[NEEDLES] = {"the text of the master's file", "the master",
    "the static key", "a device's key", "its inner block", "its outer block", "its inner state",
    "its outer state"};

struct search {
    uint8_t needles[NEEDLES][NEEDLE]; /* masked */
    size_t found[NEEDLES];
};

static void mask(struct search *search, int needle, const uint8_t *bytes)
{
    for (size_t i = 0; i < NEEDLE; i++)
        search->needles[needle][i] = bytes[i] ^ MASK;
}

/* Another process makes the secrets, so that this one never had them. */
static void make_secrets(void)
{
    pid_t child = fork();
    int status = 1;
    if (child == 0) {
        uint8_t bytes[32 + 64];
        char text[65];
        bool good = getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes);
        for (size_t i = 0; i < 32; i++)
            snprintf(text + 2 * i, 3, "%02x", bytes[i]);
        int hex = open("wiped.key", O_WRONLY | O_CREAT | O_EXCL, 0600);
        int raw = open("wiped.raw", O_WRONLY | O_CREAT | O_EXCL, 0600);
        good = good && write(hex, text, 64) == 64 && write(raw, bytes + 32, 64) == 64;
        _exit(good ? 0 : 1);
    }
    cr_assert(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void learn_files(struct search *search)
{
    int hex = open("wiped.key", O_RDONLY), raw = open("wiped.raw", O_RDONLY);
    uint8_t text[64], bytes[NEEDLE];
    cr_assert_eq(read(hex, text, sizeof(text)), (ssize_t)sizeof(text));
    mask(search, IN_TEXT, text);
    for (size_t i = 0; i < NEEDLE; i++) {
        unsigned high = text[2 * i] > '9' ? text[2 * i] - 'a' + 10U : text[2 * i] - '0' + 0U;
        unsigned low = text[2 * i + 1] > '9' ? text[2 * i + 1] - 'a' + 10U : text[2 * i + 1] - '0' + 0U;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    mask(search, IN_MASTER, bytes);
    cr_assert_eq(read(raw, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    mask(search, IN_STATIC, bytes);
    secret_wipe(text, sizeof(text));
    secret_wipe(bytes, sizeof(bytes));
    close(hex);
    close(raw);
}

static void learn_keys(struct search *search, struct keyring *keyring)
{
    uint8_t secret[MPS1_TAG_MAX];
    keyring_derive(keyring_entry(keyring, 0), MPS1_DEVICE, VIEW("m25a.2"), VIEW("plc-7"), secret);
    mask(search, IN_DEVICE, secret);
    for (size_t i = 0; i < NEEDLE; i++) {
        search->needles[IN_INNER_PADDED][i] = secret[i] ^ 0x36 ^ MASK;
        search->needles[IN_OUTER_PADDED][i] = secret[i] ^ 0x5C ^ MASK;
    }
    secret_wipe(secret, sizeof(secret));
    const struct keyring_key *key =
        keyring_take(keyring, keyring_entry(keyring, 0), MPS1_DEVICE, VIEW("m25a.2"), VIEW("plc-7"));
    mask(search, IN_INNER, (const uint8_t *)&key->key.inner);
    mask(search, IN_OUTER, (const uint8_t *)&key->key.outer);
    keyring_put(key);
    secret_wipe_stack(); /* a new thread begins with our registers, and may put them onto its stack */
}

/* What serving does with keys. */
static void use_keys(struct keyring *keyring)
{
    const struct mps1_message message = {.topic = VIEW("t"), .payload = VIEW("payload")};
    for (size_t i = 0; i < keyring_count(keyring); i++) {
        const struct keyring_entry *entry = keyring_entry(keyring, i);
        uint8_t tag[MPS1_TAG_MAX];
        const struct keyring_key *key = keyring_take(keyring, entry, MPS1_DEVICE,
            i == 0 ? VIEW("m25a.2") : VIEW("ops-1"), i == 0 ? VIEW("plc-7") : VIEW("eva"));
        mps1_mac(&key->key, VIEW("covered"), false, &message, tag);
        keyring_put(key);
    }
}

/* ---- looking ---- */

static void search_bytes(struct search *search, const uint8_t *bytes, size_t length)
{
    for (int needle = 0; needle < NEEDLES; needle++) {
        const uint8_t first = search->needles[needle][0] ^ MASK;
        const uint8_t *at = bytes, *end = bytes + length;
        while ((size_t)(end - at) >= NEEDLE &&
               (at = memchr(at, first, (size_t)(end - at) - NEEDLE + 1)) != NULL) {
            size_t same = 1;
            while (same < NEEDLE && (at[same] ^ MASK) == search->needles[needle][same])
                same++;
            search->found[needle] += same == NEEDLE;
            at++;
        }
    }
}

/* The bytes of a descriptor from offset on, through buffer (CHUNK + NEEDLE bytes). */
static void search_range(struct search *search, int descriptor, uint8_t *buffer, uint64_t from, uint64_t to)
{
    while (from < to) {
        size_t length = to - from < CHUNK + NEEDLE ? (size_t)(to - from) : CHUNK + NEEDLE;
        ssize_t got = pread(descriptor, buffer, length, (off_t)from);
        if (got <= 0)
            return;
        search_bytes(search, buffer, (size_t)got);
        from += (size_t)got > NEEDLE && from + (size_t)got < to ? (size_t)got - NEEDLE + 1 : (size_t)got;
    }
}

/* All writable mappings of this process, or those of them that a core dump would have. */
static void search_memory(struct search *search, bool dumped)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    int memory = open("/proc/self/mem", O_RDONLY);
    size_t size = CHUNK + NEEDLE;
    uint8_t *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned long long from = 0, to = 0, begin, end;
    bool writable = false;
    char line[1024], mode[8];
    cr_assert(file != NULL && memory >= 0 && buffer != MAP_FAILED);
    memset(search->found, 0, sizeof(search->found));
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "%llx-%llx %7s", &begin, &end, mode) == 3) {
            from = begin;
            to = end;
            writable = mode[1] == 'w';
        }
        if (strncmp(line, "VmFlags:", 8) != 0 || !writable || to - from > MAPPING_MAXIMUM)
            continue;
        bool own = (uintptr_t)buffer >= from && (uintptr_t)buffer < to;
        bool left_out = strstr(line, " dd") != NULL;
        if (!(dumped && left_out) && !own)
            search_range(search, memory, buffer, from, to);
        /* The kernel may have joined the buffer with its neighbours. */
        if (own) {
            search_range(search, memory, buffer, from, (uintptr_t)buffer);
            search_range(search, memory, buffer, (uintptr_t)buffer + size, to);
        }
    }
    memset(buffer, 0, size);
    munmap(buffer, size);
    close(memory);
    fclose(file);
}

static void expect_none(const struct search *search, const char *where)
{
    for (int i = 0; i < NEEDLES; i++)
        cr_expect_eq(search->found[i], 0, "%s: %s, %zu times", where, needle_names[i], search->found[i]);
}

Test(keyring_wipe, secrets_are_in_no_core_dump_and_gone_after_the_release, .init = keys_begin,
    .fini = keys_end)
{
    struct search search = {0};
    make_secrets();
    learn_files(&search);
    struct keyring *keyring = keys_good(KEYS);
    learn_keys(&search, keyring);
    use_keys(keyring);
    search_memory(&search, false);
    cr_expect_eq(search.found[IN_TEXT], 0, "the text of the file is gone once it is read");
    for (int i = IN_DEVICE; i <= IN_OUTER_PADDED; i++)
        cr_expect_eq(search.found[i], 0, "a device's key is there only made ready: %s", needle_names[i]);
    for (int i = IN_MASTER; i < NEEDLES; i++)
        cr_expect((i >= IN_DEVICE && i <= IN_OUTER_PADDED) || search.found[i] > 0,
            "the search does not find %s", needle_names[i]);
    search_memory(&search, true);
    expect_none(&search, "in use, what a core dump would have");
    keyring_release(keyring);
    search_memory(&search, false);
    expect_none(&search, "released");
}

/* ---- at once ---- */

struct watch {
    struct search *search;
    atomic_int state; /* 1: the other thread stands still; 2: it may go on */
};

static void *watch(void *argument)
{
    struct watch *watch = argument;
    while (atomic_load(&watch->state) != 1)
        sched_yield();
    search_memory(watch->search, true);
    atomic_store(&watch->state, 2);
    return NULL;
}

/* Another thread looks, so that the stack is as the call has left it. */
Test(keyring_wipe, whoever_makes_a_key_ready_leaves_nothing_behind, .init = keys_begin, .fini = keys_end)
{
    struct search search = {0};
    struct watch at_once = {.search = &search};
    pthread_t thread;
    make_secrets();
    learn_files(&search);
    struct keyring *known = keys_good(KEYS), *keyring = keys_good(KEYS);
    learn_keys(&search, known);
    keyring_release(known);
    cr_assert_eq(pthread_create(&thread, NULL, watch, &at_once), 0);
    const struct keyring_key *key =
        keyring_take(keyring, keyring_entry(keyring, 0), MPS1_DEVICE, VIEW("m25a.2"), VIEW("plc-7"));
    atomic_store(&at_once.state, 1);
    while (atomic_load(&at_once.state) != 2)
        ;
    pthread_join(thread, NULL);
    expect_none(&search, "right after a key was made ready");
    keyring_put(key);
    keyring_release(keyring);
}

/* ---- a real one ---- */

/* marker: masked; stands in ordinary memory of the process, so that what is searched is known to be that. */
static void dump_core(const uint8_t *marker)
{
    const struct rlimit limit = {(rlim_t)2 << 30, (rlim_t)2 << 30};
    volatile uint8_t *memory = malloc(NEEDLE);
    for (size_t i = 0; i < NEEDLE; i++)
        memory[i] = marker[i] ^ MASK;
    struct keyring *keyring = keys_good(KEYS);
    use_keys(keyring);
    signal(SIGABRT, SIG_DFL);
    setrlimit(RLIMIT_CORE, &limit);
    abort();
}

/* The file that the kernel has written to this folder; 0 if it writes none here (another core_pattern, no
 * right to raise the limit). */
static off_t search_core(struct search *search)
{
    DIR *folder = opendir(".");
    off_t size = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        int core = strncmp(entry->d_name, "core", 4) == 0 ? open(entry->d_name, O_RDONLY) : -1;
        if (core < 0)
            continue;
        uint8_t *buffer = malloc(CHUNK + NEEDLE);
        size = lseek(core, 0, SEEK_END);
        search_range(search, core, buffer, 0, (uint64_t)size);
        free(buffer);
        close(core);
    }
    closedir(folder);
    return size;
}

Test(keyring_wipe, a_core_dump_of_a_process_that_serves_has_no_secret, .init = keys_begin, .fini = keys_end)
{
    struct search search = {0}, marker = {0};
    int status;
    cr_assert_eq(getrandom(marker.needles[0], NEEDLE, 0), NEEDLE);
    for (int i = 1; i < NEEDLES; i++)
        memcpy(marker.needles[i], marker.needles[0], NEEDLE);
    make_secrets();
    learn_files(&search);
    pid_t child = fork();
    if (child == 0)
        dump_core(marker.needles[0]);
    cr_assert(child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    struct keyring *keyring = keys_good(KEYS);
    learn_keys(&search, keyring);
    keyring_release(keyring);
    if (search_core(&search) == 0)
        return;
    expect_none(&search, "core dump");
    search_core(&marker);
    cr_expect_gt(marker.found[0], 0, "the core dump does not have what is in ordinary memory");
}
