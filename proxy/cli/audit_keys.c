/* SPDX-License-Identifier: Apache-2.0 */
/* mqward audit keys: the keys of the trail's chain, before the first start or to look at. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/sha.h>

#include "base/memory.h"
#include "base/private_file.h"
#include "base/secret.h"
#include "exporters/chain_key.h"
#include "exporters/chain_state.h"
#include "exporters/checkpoint.h"
#include "proxy/cli/audit_keys.h"
#include "proxy/cli/cli.h"
#include "proxy/cli/keys_output.h"
#include "proxy/cli/text.h"

/* ---- new ---- */

enum { OPTION_OUT };
static const struct cli_option new_options[] = {
    [OPTION_OUT] = {"out", 'o', "DIR", "where to; it is made (mode 700) if only its parent is there"},
    {NULL, 0, NULL, NULL},
};

static const char *const names[] = {
    CHAIN_KEY_NAME, CHAIN_STATE_NAME, CHECKPOINT_KEY_NAME, CHECKPOINT_PUBLIC_NAME};
enum { NAME_KEY, NAME_STATE, NAME_SIGNING, NAME_PUBLIC, NAMES };

/* All or nothing: half a set of keys would be taken for a whole one. */
static bool make_files(char *const paths[NAMES], size_t *made)
{
    uint8_t key[CHAIN_KEY_SIZE];
    struct chain_point point = {0};
    char error[512] = "";
    struct checkpoint_key *signer = NULL;

    *made = 0;
    if (chain_key_draw(key) == -1)
        snprintf(error, sizeof(error), "no random numbers: %s", strerror(errno));
    else if (chain_key_write(paths[NAME_KEY], key, error, sizeof(error)) == 0)
        *made = NAME_KEY + 1;
    chain_point_begin_elsewhere(&point, key);
    if (*made == NAME_KEY + 1 && chain_state_make(paths[NAME_STATE], &point, error, sizeof(error)) == 0)
        *made = NAME_STATE + 1;
    if (*made == NAME_STATE + 1) {
        signer = checkpoint_key_make(paths[NAME_SIGNING], paths[NAME_PUBLIC], error, sizeof(error));
        *made = signer != NULL ? NAMES : *made;
    }
    checkpoint_key_free(signer);
    secret_wipe(&point, sizeof(point));
    secret_wipe(key, sizeof(key));
    secret_wipe_stack();
    if (*made < NAMES)
        fprintf(stderr, "mqward: %s\n", error);
    return *made == NAMES;
}

static bool find_existing(char *const paths[NAMES])
{
    bool found = false;

    for (size_t i = 0; i < NAMES; i++) {
        if (access(paths[i], F_OK) == 0 || errno != ENOENT) {
            fprintf(stderr, "mqward: %s: %s\n", paths[i],
                access(paths[i], F_OK) == 0 ? "it is there already, and keys are not overwritten"
                                            : strerror(errno));
            found = true;
        }
    }
    return found;
}

static void tell(char *const paths[NAMES])
{
    printf(
        "%s  verification key: keep it where the trail is verified, and nowhere else\n"
        "%s  state of the chain: into audit.directory of the proxy, before its first start\n"
        "%s  signing key of the checkpoints: into audit.directory, or where audit.chain.signing_key says\n"
        "%s  its public key: where the trail is verified\n"
        "\n"
        "On the proxy the two files must belong to the user that mqward serves as, and be nobody else's to "
        "read:\n"
        "  install -d -o mqward -g mqward -m 700 /var/lib/mqward\n"
        "  install -o mqward -g mqward -m 600 " CHAIN_STATE_NAME " " CHECKPOINT_KEY_NAME " /var/lib/mqward\n"
        "The trail begins with start 2: the first one was given away without a line.\n",
        paths[NAME_KEY], paths[NAME_STATE], paths[NAME_SIGNING], paths[NAME_PUBLIC]);
}

static int run_new(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    char *paths[NAMES];
    size_t made = 0;
    bool all = false;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    if (values[OPTION_OUT] == NULL)
        return cli_usage_error(command, "where to: --out DIR");
    if (mkdir(values[OPTION_OUT], 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "mqward: %s can't be made: %s\n", values[OPTION_OUT], strerror(errno));
        return CLI_FINDINGS;
    }
    for (size_t i = 0; i < NAMES; i++)
        paths[i] = memory_format("%s/%s", values[OPTION_OUT], names[i]);
    if (!find_existing(paths)) {
        all = make_files(paths, &made);
        if (all)
            tell(paths);
        for (size_t i = 0; i < made && !all; i++)
            unlink(paths[i]);
    }
    for (size_t i = 0; i < NAMES; i++)
        free(paths[i]);
    return all ? CLI_OK : CLI_FINDINGS;
}

/* ---- show ---- */

static void print_digest(const char *what, struct view bytes)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    char hex[KEYS_HEX_MAX];

    SHA256(bytes.data, bytes.length, digest);
    size_t length = keys_hex(view_of(digest, sizeof(digest)), hex);
    printf("  %s %.*s\n", what, (int)length, hex);
}

/* Each prints what path is, or only says whether it is that. */
static bool show_key(const char *path, bool print)
{
    uint8_t key[CHAIN_KEY_SIZE];
    char error[512];

    if (chain_key_read(path, key, NULL, error, sizeof(error)) != 0)
        return false;
    if (print) {
        printf("%s: verification key of a chain\n", path);
        print_digest("SHA-256 of the key:", view_of(key, sizeof(key)));
    }
    secret_wipe(key, sizeof(key));
    return true;
}

static void print_state(const char *path, const struct chain_point *point)
{
    printf("%s: state of a chain\n", path);
    if (point->cursor.sequence == 0)
        printf("  not begun: the next start is start %" PRIu64 "\n", point->cursor.start + 1);
    else
        printf("  start %" PRIu64 ", next line %016" PRIx64 "-%" PRIu64 "\n", point->cursor.start,
            point->cursor.epoch, point->cursor.sequence);
    if (point->checkpoint_sequence > 0)
        printf("  last checkpoint %016" PRIx64 "-%" PRIu64 ", %" PRIu64 " lines behind it\n",
            point->checkpoint_epoch, point->checkpoint_sequence, point->unsigned_lines);
}

static bool show_state(const char *path, bool print)
{
    struct chain_point point;
    char error[512];

    if (chain_state_read(path, &point, error, sizeof(error)) != CHAIN_STATE_FOUND)
        return false;
    if (print)
        print_state(path, &point);
    secret_wipe(&point, sizeof(point));
    return true;
}

static bool show_signing(const char *path, bool print)
{
    char error[512];
    struct checkpoint_key *key = checkpoint_key_read(path, NULL, error, sizeof(error));

    if (key == NULL)
        return false;
    if (print)
        printf("%s: signing key of checkpoints (Ed25519)\n  mqward.checkpoint.key: %s\n", path,
            checkpoint_key_id(key));
    checkpoint_key_free(key);
    return true;
}

static bool show_public(const char *path, bool print)
{
    char error[512];
    struct checkpoint_public *key = checkpoint_public_read(path, error, sizeof(error));

    if (key == NULL)
        return false;
    if (print)
        printf("%s: public key of checkpoints (Ed25519)\n  mqward.checkpoint.key: %s\n", path,
            checkpoint_public_id(key));
    checkpoint_public_free(key);
    return true;
}

static const struct {
    bool (*show)(const char *path, bool print);
    const char *name;
} kinds[] = {
    {show_state, "the state of a chain"},
    {show_key, "the verification key of a chain"},
    {show_signing, "the signing key of checkpoints, which is the proxy's alone"},
    {show_public, "the public key of checkpoints"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* A pipe or a device may have no end. */
static bool is_regular(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* KINDS: it is none. */
static size_t find_kind(const char *path, bool print)
{
    size_t kind = 0;

    if (!is_regular(path))
        return KINDS;
    while (kind < KINDS && !kinds[kind].show(path, print))
        kind++;
    return kind;
}

const char *audit_keys_kind(const char *path)
{
    const size_t kind = find_kind(path, false);

    return kind == KINDS ? NULL : kinds[kind].name;
}

/* A key that others can read as well is not looked into; of a state that does not hold only what its next
 * start will be is said. */
static void complain(const char *path)
{
    struct private_file_error reason;
    uint64_t start;
    uint8_t bytes[CHAIN_STATE_BYTES];
    const bool closed = private_file_read(path, bytes, sizeof(bytes), &reason) >= 0;

    secret_wipe(bytes, sizeof(bytes));
    if (access(path, R_OK) != 0)
        text_complain("%s: %s", path, strerror(errno));
    else if (is_regular(path) && chain_state_start(path, &start))
        text_complain("%s: state of a chain, damaged; its start %" PRIu64
                      " is known, and the next start of mqward follows on that",
            path, start);
    else if (closed)
        text_complain("%s: no key of the audit trail", path);
    else
        text_complain("%s: no key of the audit trail that can be used: %s%s%s", path, reason.message,
            reason.hint == NULL ? "" : ": ", reason.hint == NULL ? "" : reason.hint);
}

static int run_show(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    int status = CLI_OK;

    (void)values;
    if (argc == 0)
        return cli_usage_error(command, "which file?");
    for (int i = 0; i < argc; i++) {
        if (find_kind(argv[i], true) < KINDS)
            continue;
        complain(argv[i]);
        status = CLI_FINDINGS;
    }
    return status;
}

static const struct cli_option show_options[] = {{NULL, 0, NULL, NULL}};

static const struct cli_command keys_new = {.name = "audit keys new",
    .arguments = "",
    .summary = "make verification key, state and signing key of a chain",
    .options = new_options,
    .run = run_new};
static const struct cli_command keys_show = {.name = "audit keys show",
    .arguments = " FILE...",
    .summary = "what a key file is; its secret is not shown",
    .options = show_options,
    .run = run_show};
static const struct cli_command *const verbs[] = {&keys_new, &keys_show, NULL};

const struct cli_command cli_audit_keys = {
    .name = "audit keys", .arguments = "", .summary = "keys of the trail's chain: new, show", .verbs = verbs};
