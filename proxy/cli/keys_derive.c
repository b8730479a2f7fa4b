/* SPDX-License-Identifier: Apache-2.0 */
/* mqward keys derive: the keys that devices get, from the master that the proxy has. For one signer, or for
 * the many of a file, all or none of them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/secret.h"
#include "policy/keyring.h"
#include "proxy/cli/cli.h"
#include "proxy/cli/keys_output.h"
#include "proxy/cli/text.h"

enum { OPTION_KEYS, OPTION_KID, OPTION_SUB, OPTION_SUBS, OPTION_EGRESS, OPTION_OUT, OPTION_JSON };
static const struct cli_option options[] = {
    [OPTION_KEYS] = {"keys", 0, "FILE", "keys.yaml (default: /etc/mqward/keys.yaml)"},
    [OPTION_KID] = {"kid", 0, "KID", "the master, with the generation: m25a, m25a.2"},
    [OPTION_SUB] = {"sub", 0, "SUB", "the device: its key as hex, or with --json as an object"},
    [OPTION_SUBS] = {"subs", 0, "FILE",
        "many devices, a line each (-: standard input): CSV, or with --json lines"},
    [OPTION_EGRESS] = {"egress", 0, NULL, "the key for what mqward signs for the device (forward: resign)"},
    [OPTION_OUT] = {"out", 0, "FILE", "write to a new file (mode 600), not to standard output"},
    [OPTION_JSON] = {"json", 0, NULL, "an object a line: kid, sub, alg, use, key"},
    {NULL, 0, NULL, NULL},
};

struct devices {
    char **subs;
    size_t count;
};

struct derivation {
    const struct keyring_entry *entry;
    struct view kid;
    bool egress, json, many;
};

static bool refuse(struct view sub, const char *where, size_t line, const char *why)
{
    fputs("mqward: ", stderr);
    if (where != NULL)
        fprintf(stderr, "%s:%zu: ", where, line);
    fputc('\'', stderr);
    text_print(stderr, sub);
    fprintf(stderr, "' %s\n", why);
    return false;
}

/* where: the file of devices, or NULL. */
static bool check_sub(const struct keyring *keyring, const struct derivation *derivation, struct view sub,
    const char *where, size_t line)
{
    const struct keyring_entry *entry = derivation->entry;
    const struct mps1_header header = {.algorithm = entry->algorithm, .kid = derivation->kid, .sub = sub};
    uint64_t now_ms = clock_wall_us() / 1000;

    if (!mps1_sub_valid(sub))
        return refuse(sub, where, line,
            "is not a signer's name: letters, digits, '.', '_', ':', '@' and '-', at most 64 of them");
    /* A key may be handed out before it is active. */
    if (now_ms < entry->not_before_ms)
        now_ms = entry->not_before_ms;
    switch (keyring_find(keyring, &header, now_ms, &entry)) {
    case REASON_none:
        return true;
    case REASON_sig_key_inactive:
        return refuse(derivation->kid, NULL, 0, "is not valid any more");
    case REASON_sig_key_revoked:
        return refuse(sub, where, line, "is revoked under this kid, or must have a later generation");
    default:
        return refuse(sub, where, line, "has no key under this kid");
    }
}

static bool read_devices(const struct keyring *keyring, const struct derivation *derivation, const char *path,
    struct devices *devices)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *line = NULL;
    size_t size = 0, number = 0;
    bool good = true;

    if (file == NULL) {
        fprintf(stderr, "mqward: %s can't be read: %s\n", path, strerror(errno));
        return false;
    }
    for (ssize_t length; (length = getline(&line, &size, file)) >= 0;) {
        struct view sub = view_of(line, (size_t)length);

        number++;
        while (sub.length > 0 && (sub.data[sub.length - 1] == '\n' || sub.data[sub.length - 1] == '\r'))
            sub.length--;
        if (sub.length == 0)
            continue;
        good = check_sub(keyring, derivation, sub, path, number) && good;
        devices->subs = memory_realloc(devices->subs, devices->count + 1, sizeof(char *));
        devices->subs[devices->count++] = memory_copy_string(sub);
    }
    if (ferror(file)) {
        fprintf(stderr, "mqward: %s can't be read: %s\n", path, strerror(errno));
        good = false;
    }
    free(line);
    if (file != stdin)
        fclose(file);
    return good;
}

/* kid and sub have no character that CSV or JSON would have to escape. */
static void write_device(struct keys_output *output, const struct derivation *derivation, const char *sub)
{
    const char *algorithm = mps1_algorithm_name(derivation->entry->algorithm);
    const char *use = derivation->egress ? "egress" : "device";
    uint8_t secret[MPS1_TAG_MAX];
    char hex[KEYS_HEX_MAX], line[512];
    int length;

    keyring_derive(derivation->entry, derivation->egress ? MPS1_EGRESS_RECEIVER : MPS1_DEVICE,
        derivation->kid, view_of_string(sub), secret);
    int digits = (int)keys_hex(view_of(secret, mps1_tag_size(derivation->entry->algorithm)), hex);
    if (derivation->json)
        length = snprintf(line, sizeof(line),
            "{\"kid\":\"%.*s\",\"sub\":\"%s\",\"alg\":\"%s\",\"use\":\"%s\",\"key\":\"%.*s\"}\n",
            VIEW_ARGS(derivation->kid), sub, algorithm, use, digits, hex);
    else if (derivation->many)
        length = snprintf(line, sizeof(line), "%.*s,%s,%s,%s,%.*s\n", VIEW_ARGS(derivation->kid), sub,
            algorithm, use, digits, hex);
    else
        length = snprintf(line, sizeof(line), "%.*s\n", digits, hex);
    keys_output_write(output, view_of(line, (size_t)length));
    secret_wipe(secret, sizeof(secret));
    secret_wipe(hex, sizeof(hex));
    secret_wipe(line, sizeof(line));
}

static bool write_devices(
    const struct derivation *derivation, const struct devices *devices, const char *path)
{
    struct keys_output output;

    if (!keys_output_open(&output, path))
        return false;
    if (derivation->many && !derivation->json)
        keys_output_write(&output, VIEW("kid,sub,alg,use,key\n"));
    for (size_t i = 0; i < devices->count; i++)
        write_device(&output, derivation, devices->subs[i]);
    return keys_output_close(&output);
}

/* False after a message. */
static bool find_master(const struct keyring *keyring, const char *path, struct derivation *derivation)
{
    const char **kids = memory_calloc(keyring_count(keyring) + 1, sizeof(*kids));
    const char *near;

    derivation->entry = keyring_find_kid(keyring, derivation->kid, NULL);
    for (size_t i = 0; i < keyring_count(keyring); i++)
        kids[i] = keyring_entry(keyring, i)->kid;
    near = diag_suggest(derivation->kid, kids, keyring_count(keyring));
    if (derivation->entry == NULL) {
        fprintf(stderr, "mqward: %s has no key '", path);
        text_print(stderr, derivation->kid);
        fprintf(stderr, near == NULL ? "'\n" : "': did you mean '%s'?\n", near);
    } else if (derivation->entry->type != KEYRING_MASTER) {
        fprintf(stderr, "mqward: '%s' is a static key, from which none is derived\n", derivation->entry->kid);
        derivation->entry = NULL;
    }
    free(kids);
    return derivation->entry != NULL;
}

static bool derive(
    struct keyring *keyring, const char *path, struct derivation *derivation, const char *const *values)
{
    struct devices devices = {NULL, 0};
    bool good = find_master(keyring, path, derivation);

    if (good && values[OPTION_SUBS] != NULL)
        good = read_devices(keyring, derivation, values[OPTION_SUBS], &devices);
    else if (good) {
        good = check_sub(keyring, derivation, view_of_string(values[OPTION_SUB]), NULL, 0);
        devices.subs = memory_calloc(1, sizeof(char *));
        devices.subs[devices.count++] = memory_copy_string(view_of_string(values[OPTION_SUB]));
    }
    good = good && write_devices(derivation, &devices, values[OPTION_OUT]);
    for (size_t i = 0; i < devices.count; i++)
        free(devices.subs[i]);
    free(devices.subs);
    return good;
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *path = values[OPTION_KEYS] == NULL ? "/etc/mqward/keys.yaml" : values[OPTION_KEYS];
    struct derivation derivation = {.kid = view_of_string(values[OPTION_KID]),
        .egress = values[OPTION_EGRESS] != NULL,
        .json = values[OPTION_JSON] != NULL,
        .many = values[OPTION_SUBS] != NULL};

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    if (values[OPTION_KID] == NULL)
        return cli_usage_error(command, "which master: --kid KID");
    if ((values[OPTION_SUB] == NULL) == (values[OPTION_SUBS] == NULL))
        return cli_usage_error(command, "for whom: either --sub SUB or --subs FILE");
    struct diag_list *diag = diag_list_new();
    struct keyring *keyring = keyring_load(path, diag, NULL);
    diag_print(diag, stderr);
    bool good = keyring != NULL && derive(keyring, path, &derivation, values);
    keyring_release(keyring);
    diag_list_free(diag);
    return good ? CLI_OK : CLI_FINDINGS;
}

const struct cli_command cli_keys_derive = {.name = "keys derive",
    .arguments = "",
    .summary = "derive the keys of devices from a master, to provision them",
    .options = options,
    .run = run};
