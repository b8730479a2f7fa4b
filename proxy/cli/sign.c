/* SPDX-License-Identifier: Apache-2.0 */
/* mqward sign: signs a message as a device does, for scripts and tests. */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/number.h"
#include "base/secret.h"
#include "proxy/cli/signing.h"

enum { OPTION_KID = SIGNING_OPTIONS, OPTION_SUB, OPTION_SEQ, OPTION_TIME, OPTION_NONCE, OPTION_CARRIER };
static const struct cli_option options[] = {
    SIGNING_OPTION_ROWS,
    [OPTION_KID] = {"kid", 0, "KID", "the key's name in the signature, with its generation: m25a, m25a.2"},
    [OPTION_SUB] = {"sub", 0, "NAME", "the signer (default: whose the static key is)"},
    [OPTION_SEQ] = {"seq", 0, "EPOCH:COUNTER", "a sequence in place of a nonce"},
    [OPTION_TIME] = {"time", 0, "MS", "the time of the signature, since 1970 (default: now)"},
    [OPTION_NONCE] = {"nonce", 0, "HEX", "16 bytes (default: random ones)"},
    [OPTION_CARRIER] = {"carrier", 0, "CARRIER",
        "envelope (default): writes the payload to send; property: writes the value of the User Property "
        "'mps1'"},
    {NULL, 0, NULL, NULL},
};

/* ---- the header ---- */

static int read_names(
    const struct cli_command *command, const char *const *values, struct mps1_header *header)
{
    header->kid = view_of_string(values[OPTION_KID]);
    header->sub = view_of_string(values[OPTION_SUB]);
    if (values[OPTION_KID] == NULL)
        return cli_usage_error(command, "--kid is needed");
    if (!mps1_kid_valid(header->kid))
        return cli_usage_error(command,
            "--kid: '%s' is no name for a key: letters, digits, '.', '_' and '-', at most 32 of them",
            values[OPTION_KID]);
    if (values[OPTION_SUB] == NULL)
        return values[SIGNING_KEYS] != NULL ? CLI_OK : cli_usage_error(command, "--sub is needed");
    if (!mps1_sub_valid(header->sub))
        return cli_usage_error(command,
            "--sub: '%s' is no signer's name: letters, digits, '.', '_', ':', '@' and '-', at most 64 of "
            "them",
            values[OPTION_SUB]);
    return CLI_OK;
}

static int read_time(const struct cli_command *command, const char *const *values, struct mps1_header *header)
{
    header->t_ms = clock_wall_us() / 1000;
    if (values[OPTION_TIME] != NULL && number_parse(view_of_string(values[OPTION_TIME]), &header->t_ms) != 0)
        return cli_usage_error(command, "--time: '%s' are not milliseconds since 1970", values[OPTION_TIME]);
    return CLI_OK;
}

static void write_counter(uint8_t *out, uint64_t number)
{
    for (size_t i = 8; i > 0; i--, number >>= 8)
        out[i - 1] = (uint8_t)number;
}

static int read_sequence(const struct cli_command *command, const char *text, struct mps1_header *header)
{
    const char *colon = strchr(text, ':');
    uint64_t epoch, counter;

    if (colon == NULL || number_parse(view_of(text, (size_t)(colon - text)), &epoch) != 0 ||
        number_parse(view_of_string(colon + 1), &counter) != 0)
        return cli_usage_error(command, "--seq: '%s' is not EPOCH:COUNTER, such as 1:42", text);
    if (counter >= MPS1_COUNTER_END)
        return cli_usage_error(command, "--seq: the counter must stay below 2^48: begin a new epoch");
    header->flags |= MPS1_SEQ;
    write_counter(header->nonce, epoch);
    write_counter(header->nonce + 8, counter);
    return CLI_OK;
}

static int read_nonce(
    const struct cli_command *command, const char *const *values, struct mps1_header *header)
{
    const char *nonce = values[OPTION_NONCE];

    if (values[OPTION_SEQ] != NULL)
        return nonce == NULL ? read_sequence(command, values[OPTION_SEQ], header)
                             : cli_usage_error(command, "--seq and --nonce: only one of them");
    if (nonce == NULL) {
        if (RAND_bytes(header->nonce, sizeof(header->nonce)) == 1)
            return CLI_OK;
        fputs("mqward: no random bytes for the nonce\n", stderr);
        return CLI_FINDINGS;
    }
    if (signing_hex_read(view_of_string(nonce), header->nonce, sizeof(header->nonce)) == MPS1_NONCE_SIZE)
        return CLI_OK;
    return cli_usage_error(command, "--nonce: '%s' are not 32 hex digits", nonce);
}

/* ---- the key ---- */

/* Takes what the header lacks from the key: algorithm and signer. A key that the proxy would refuse now is
 * refused here, and says why. */
static int take_key(const struct cli_command *command, struct keyring *keyring, const char *path,
    struct mps1_header *header, struct mps1_key *ready)
{
    const struct keyring_entry *entry = keyring_find_kid(keyring, header->kid, NULL);
    const struct keyring_key *key;
    enum reason reason;

    if (entry == NULL) {
        fprintf(stderr, "mqward: %s has no key '%.*s'\n", path, VIEW_ARGS(header->kid));
        return CLI_FINDINGS;
    }
    if (header->sub.length == 0 && entry->type == KEYRING_MASTER)
        return cli_usage_error(command, "--sub is needed: '%s' is the master of many signers", entry->kid);
    if (header->sub.length == 0)
        header->sub = entry->sub;
    header->algorithm = entry->algorithm;
    reason = keyring_find(keyring, header, clock_wall_us() / 1000, &entry);
    if (reason != REASON_none) {
        fprintf(stderr, "mqward: key '%.*s' is not for '%.*s' now: %s: %s\n", VIEW_ARGS(header->kid),
            VIEW_ARGS(header->sub), reason_info(reason)->name, reason_info(reason)->text);
        return CLI_FINDINGS;
    }
    key = keyring_take(keyring, entry, MPS1_DEVICE, header->kid, header->sub);
    *ready = key->key;
    keyring_put(key);
    return CLI_OK;
}

/* keyring: set with --keys; the header's signer may be a view into it. */
static int read_key(const struct cli_command *command, const char *const *values, struct mps1_header *header,
    struct mps1_key *key, struct keyring **keyring)
{
    struct signing_secret secret;
    int status;

    if (values[SIGNING_KEYS] != NULL) {
        *keyring = signing_keyring_read(values[SIGNING_KEYS]);
        return *keyring == NULL ? CLI_FINDINGS
                                : take_key(command, *keyring, values[SIGNING_KEYS], header, key);
    }
    status = signing_secret_read(command, values, &secret);
    if (status == CLI_OK) {
        header->algorithm = secret.algorithm;
        mps1_key_init(key, secret.algorithm, view_of(secret.bytes, secret.length));
    }
    secret_wipe(&secret, sizeof(secret));
    return status;
}

/* ---- both carriers ---- */

/* CLI_OK and whether the carrier is the property. */
static int read_carrier(const struct cli_command *command, const char *name, bool *property)
{
    *property = name != NULL && strcmp(name, "property") == 0;
    if (*property || name == NULL || strcmp(name, "envelope") == 0)
        return CLI_OK;
    return cli_usage_error(command, "--carrier: '%s' is neither envelope nor property", name);
}

static int write_out(struct view header, struct view payload, bool property)
{
    char text[MPS1_PROPERTY_MAX + 4];
    bool written;

    if (property) {
        mps1_write_property(header, text);
        written = puts(text) >= 0;
    } else {
        written = fwrite(header.data, 1, header.length, stdout) == header.length &&
                  fwrite(payload.data, 1, payload.length, stdout) == payload.length;
    }
    if (fflush(stdout) == 0 && written)
        return CLI_OK;
    fprintf(stderr, "mqward: standard output can't be written: %s\n", strerror(errno));
    return CLI_FINDINGS;
}

static int sign(const struct cli_command *command, const char *const *values, struct mps1_header *header,
    struct signing_message *message, bool property)
{
    uint8_t space[MPS1_HEADER_MAX];
    struct keyring *keyring = NULL;
    struct mps1_key key = {.algorithm = 0};
    int status = signing_message_read(command, values, message);

    if (status == CLI_OK)
        status = read_key(command, values, header, &key, &keyring);
    if (status == CLI_OK && property && mps1_has_envelope(message->message.payload)) {
        fputs("mqward: the payload begins as an envelope does: with a property, too, it would have two\n",
            stderr);
        status = CLI_FINDINGS;
    }
    if (status == CLI_OK) {
        header->flags |= (message->retain ? MPS1_RETAIN : 0) | (message->will ? MPS1_WILL : 0) |
                         (message->props ? MPS1_PROPS : 0);
        mps1_sign(&key, &message->message, header, space);
        status = write_out(view_of(space, header->length), message->message.payload, property);
    }
    mps1_key_wipe(&key);
    keyring_release(keyring);
    secret_wipe_stack(); /* the message's hash began with what was made of the key */
    return status;
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct mps1_header header = {.flags = 0};
    struct signing_message message = {.props = false};
    bool property = false;
    int status = CLI_OK;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    status = signing_check_key_options(command, values);
    if (status == CLI_OK)
        status = read_names(command, values, &header);
    if (status == CLI_OK)
        status = read_time(command, values, &header);
    if (status == CLI_OK)
        status = read_nonce(command, values, &header);
    if (status == CLI_OK)
        status = read_carrier(command, values[OPTION_CARRIER], &property);
    if (status == CLI_OK)
        status = sign(command, values, &header, &message, property);
    signing_message_release(&message);
    return status;
}

const struct cli_command cli_sign = {.name = "sign",
    .arguments = "",
    .summary = "sign a message (MPS1) as a device does",
    .options = options,
    .run = run};
