/* SPDX-License-Identifier: Apache-2.0 */
/* mqward verify: says whether a signature stands, with the proxy's own code; runs tables of vectors. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/secret.h"
#include "policy/signature.h"
#include "proxy/cli/signing.h"
#include "proxy/cli/verify_vectors.h"

enum {
    OPTION_PROPERTY = SIGNING_OPTIONS,
    OPTION_PRINCIPAL,
    OPTION_TIME,
    OPTION_MAX_AGE,
    OPTION_SKEW,
    OPTION_REPLAY,
    OPTION_DELIVERY,
    OPTION_VECTORS,
    OPTION_JSON
};
static const struct cli_option options[] = {
    SIGNING_OPTION_ROWS,
    [OPTION_PROPERTY] = {"property", 0, "TEXT",
        "the value of its User Property 'mps1' (default: an envelope)"},
    [OPTION_PRINCIPAL] = {"principal", 0, "NAME", "who sent it (default: whoever signed it)"},
    [OPTION_TIME] = {"time", 0, "MS", "the time now, since 1970 (default: the clock's)"},
    [OPTION_MAX_AGE] = {"max-age", 0, "DURATION", "how old a signature may be (default: 5m)"},
    [OPTION_SKEW] = {"skew", 0, "DURATION", "how far ahead its time may be (default: 60s)"},
    [OPTION_REPLAY] = {"replay", 0, "MODE", "nonce or seq: refuse the other (default: none)"},
    [OPTION_DELIVERY] = {"delivery", 0, NULL, "as who receives it: neither flags nor identity nor age"},
    [OPTION_VECTORS] = {"vectors", 0, "FILE",
        "run a table of vectors; all other options but --json fall away"},
    [OPTION_JSON] = {"json", 0, NULL, "the result as one JSON object on standard output"},
    {NULL, 0, NULL, NULL},
};

/* What is asked of the signature, from the options. */
struct question {
    struct signature_terms terms;
    enum signature_place place;
    uint64_t now_ms;
};

static int read_replay(const struct cli_command *command, const char *name, enum signature_replay *replay)
{
    static const char *const names[] = {
        [SIGNATURE_REPLAY_NONCE] = "nonce", [SIGNATURE_REPLAY_SEQ] = "seq", [SIGNATURE_REPLAY_NONE] = "none"};

    *replay = SIGNATURE_REPLAY_NONE;
    if (name == NULL)
        return CLI_OK;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) {
            *replay = (enum signature_replay)i;
            return CLI_OK;
        }
    return cli_usage_error(command, "--replay: expected nonce, seq or none");
}

static int read_question(
    const struct cli_command *command, const char *const *values, struct question *question)
{
    const char *time = values[OPTION_TIME], *age = values[OPTION_MAX_AGE], *skew = values[OPTION_SKEW];

    *question = (struct question){
        .terms = {.max_age_ms = SIGNATURE_MAX_AGE_MS, .skew_ms = SIGNATURE_SKEW_MS},
        .place = values[OPTION_DELIVERY] != NULL ? SIGNATURE_DELIVERY : SIGNATURE_INGRESS,
        .now_ms = clock_wall_us() / 1000,
    };
    if (time != NULL && number_parse(view_of_string(time), &question->now_ms) != 0)
        return cli_usage_error(command, "--time: '%s' are not milliseconds since 1970", time);
    if (age != NULL && number_parse_duration_ms(view_of_string(age), &question->terms.max_age_ms) != 0)
        return cli_usage_error(command, "--max-age: '%s' is not a duration such as 5m", age);
    if (skew != NULL && number_parse_duration_ms(view_of_string(skew), &question->terms.skew_ms) != 0)
        return cli_usage_error(command, "--skew: '%s' is not a duration such as 60s", skew);
    return read_replay(command, values[OPTION_REPLAY], &question->terms.replay);
}

/* ---- the keys ---- */

/* The header as it is, whether or not it will stand: its names choose the key. False: there is none. */
static bool peek(
    const struct signature_message *message, uint8_t space[MPS1_HEADER_MAX], struct mps1_header *header)
{
    const char *detail;

    if (message->property_count > 0)
        return mps1_parse_property(message->property, space, header, &detail) == REASON_none;
    return mps1_parse(message->message.payload, header, &detail) == REASON_none;
}

/* A keyring in which the secret is the key of whom the header names. */
static int keyring_of_secret(const struct cli_command *command, const char *const *values,
    const struct mps1_header *header, struct keyring **keyring)
{
    struct signing_secret secret;
    int status = signing_secret_read(command, values, &secret);

    if (status == CLI_OK) {
        char kid[MPS1_KID_MAX + 1];
        const struct keyring_given given = {.entry = {.kid = kid,
                                                .type = KEYRING_STATIC,
                                                .algorithm = secret.algorithm,
                                                .sub = header->sub,
                                                .not_after_ms = UINT64_MAX},
            .secret = view_of(secret.bytes, secret.length)};

        snprintf(kid, sizeof(kid), "%.*s", VIEW_ARGS(header->kid));
        *keyring = keyring_of(&given, 1);
    }
    secret_wipe(&secret, sizeof(secret));
    return status;
}

/* All of the keyring's keys count. *kids: free() it. */
static void name_keys(const struct keyring *keyring, struct signature_terms *terms, struct view **kids)
{
    *kids = memory_calloc(keyring_count(keyring), sizeof(**kids));
    for (size_t i = 0; i < keyring_count(keyring); i++)
        (*kids)[i] = view_of_string(keyring_entry(keyring, i)->kid);
    terms->keys = *kids;
    terms->key_count = keyring_count(keyring);
}

/* ---- the answer ---- */

static const struct {
    uint8_t flag;
    const char *name;
} flag_names[] = {{MPS1_RETAIN, "RETAIN"}, {MPS1_WILL, "WILL"}, {MPS1_SEQ, "SEQ"}, {MPS1_PROPS, "PROPS"},
    {MPS1_EGRESS, "EGRESS"}};

static uint64_t read_number(const uint8_t *bytes)
{
    uint64_t number = 0;

    for (size_t i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

static void print_header(const struct signature_found *found)
{
    const struct mps1_header *header = &found->header;

    printf("  carrier    %s\n  algorithm  %s\n  kid        %.*s\n  signer     %.*s\n  time       %llu",
        found->envelope ? "envelope" : "property", mps1_algorithm_name(header->algorithm),
        VIEW_ARGS(header->kid), VIEW_ARGS(header->sub), (unsigned long long)header->t_ms);
    if (header->t_ms < UINT64_C(253402300800000)) { /* the year 10000 */
        char time[CLOCK_TIMESTAMP_LENGTH + 1];

        clock_format_timestamp(header->t_ms * 1000, time);
        printf(" (%s)", time);
    }
    if ((header->flags & MPS1_SEQ) != 0) {
        printf("\n  sequence   %llu:%llu", (unsigned long long)read_number(header->nonce),
            (unsigned long long)read_number(header->nonce + 8));
    } else {
        fputs("\n  nonce      ", stdout);
        for (size_t i = 0; i < MPS1_NONCE_SIZE; i++)
            printf("%02x", header->nonce[i]);
    }
    fputs("\n  flags     ", stdout);
    for (size_t i = 0; i < sizeof(flag_names) / sizeof(flag_names[0]); i++)
        if ((header->flags & flag_names[i].flag) != 0)
            printf(" %s", flag_names[i].name);
    printf("%s\n  payload    %zu bytes\n", header->flags == 0 ? " none" : "", found->payload.length);
}

static void json_header(struct json *json, const struct signature_found *found)
{
    const struct mps1_header *header = &found->header;

    json_write_object_begin(json, "header");
    json_write_string(json, "carrier", view_of_string(found->envelope ? "envelope" : "property"));
    json_write_string(json, "alg", view_of_string(mps1_algorithm_name(header->algorithm)));
    json_write_string(json, "kid", header->kid);
    json_write_string(json, "sub", header->sub);
    json_write_unsigned(json, "t", header->t_ms);
    json_write_hex(json, "nonce", view_of(header->nonce, MPS1_NONCE_SIZE));
    if ((header->flags & MPS1_SEQ) != 0) {
        json_write_unsigned(json, "epoch", read_number(header->nonce));
        json_write_unsigned(json, "counter", read_number(header->nonce + 8));
    }
    json_write_array_begin(json, "flags");
    for (size_t i = 0; i < sizeof(flag_names) / sizeof(flag_names[0]); i++)
        if ((header->flags & flag_names[i].flag) != 0)
            json_write_string(json, NULL, view_of_string(flag_names[i].name));
    json_write_array_end(json);
    json_write_unsigned(json, "payload_bytes", found->payload.length);
    json_write_object_end(json);
}

static void print_json(enum reason reason, const struct signature_found *found)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", reason == REASON_none);
    if (reason != REASON_none) {
        json_write_string(&json, "reason", view_of_string(reason_info(reason)->name));
        json_write_string(&json, "text", view_of_string(reason_info(reason)->text));
    }
    if (reason != REASON_none && found->detail != NULL)
        json_write_string(&json, "detail", view_of_string(found->detail));
    if (found->header.tag.length > 0)
        json_header(&json, found);
    json_write_object_end(&json);
    printf("%.*s\n", VIEW_ARGS(buffer_view(&out)));
    buffer_release(&out);
}

static void print_answer(enum reason reason, const struct signature_found *found)
{
    if (reason == REASON_none)
        puts("accepted");
    else
        printf("refused: %s: %s%s%s%s\n", reason_info(reason)->name, reason_info(reason)->text,
            found->detail == NULL ? "" : " (", found->detail == NULL ? "" : found->detail,
            found->detail == NULL ? "" : ")");
    if (found->header.tag.length > 0)
        print_header(found);
}

/* ---- one message ---- */

static int verify(const struct cli_command *command, const char *const *values, struct question *question,
    struct signing_message *read)
{
    struct signature_message message = {
        .message = read->message,
        .has_properties = read->props,
        .property_count = values[OPTION_PROPERTY] != NULL,
        .property = view_of_string(values[OPTION_PROPERTY]),
        .retain = read->retain,
        .will = read->will,
    };
    struct mps1_header header = {.kid = VIEW("none"), .sub = VIEW("none")};
    uint8_t space[MPS1_HEADER_MAX];
    struct signature_found found;
    struct keyring *keyring = NULL;
    struct view *kids = NULL;
    enum reason reason;
    int status = CLI_OK;

    if (!peek(&message, space, &header))
        header = (struct mps1_header){.kid = VIEW("none"), .sub = VIEW("none")};
    message.principal =
        values[OPTION_PRINCIPAL] != NULL ? view_of_string(values[OPTION_PRINCIPAL]) : header.sub;
    if (values[SIGNING_KEYS] != NULL)
        keyring = signing_keyring_read(values[SIGNING_KEYS]);
    else
        status = keyring_of_secret(command, values, &header, &keyring);
    if (keyring == NULL)
        return status == CLI_OK ? CLI_FINDINGS : status;
    name_keys(keyring, &question->terms, &kids);
    reason = signature_verify(keyring, &question->terms, question->place, &message, question->now_ms, &found);
    if (values[OPTION_JSON] != NULL)
        print_json(reason, &found);
    else
        print_answer(reason, &found);
    free(kids);
    keyring_release(keyring);
    return reason == REASON_none ? CLI_OK : CLI_FINDINGS;
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct signing_message message = {.props = false};
    struct question question;
    int status;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    if (values[OPTION_VECTORS] != NULL)
        return verify_vectors(values[OPTION_VECTORS], values[OPTION_JSON] != NULL);
    status = signing_check_key_options(command, values);
    if (status == CLI_OK)
        status = read_question(command, values, &question);
    if (status == CLI_OK)
        status = signing_message_read(command, values, &message);
    if (status == CLI_OK)
        status = verify(command, values, &question, &message);
    signing_message_release(&message);
    return status;
}

const struct cli_command cli_verify = {.name = "verify",
    .arguments = "",
    .summary = "say whether a message's signature (MPS1) stands, and what is wrong with it",
    .options = options,
    .run = run};
