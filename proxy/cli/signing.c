/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of a message and of its key for 'mqward sign' and 'mqward verify'. */
#include "proxy/cli/signing.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/topic.h"
#include "base/utf8.h"

#define PAYLOAD_MAXIMUM ((size_t)268435455) /* of any MQTT packet */
#define CHUNK ((size_t)65536)
#define TEXT_MAXIMUM 65535

/* ---- words ---- */

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (uint8_t)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

ssize_t signing_hex_read(struct view digits, uint8_t *out, size_t size)
{
    if (digits.length % 2 != 0 || digits.length / 2 > size)
        return -1;
    for (size_t i = 0; i < digits.length; i += 2) {
        int high = hex_value(digits.data[i]), low = hex_value(digits.data[i + 1]);

        if (high < 0 || low < 0)
            return -1;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    return (ssize_t)(digits.length / 2);
}

uint8_t signing_algorithm(const char *name)
{
    for (uint8_t algorithm = MPS1_HMAC_SHA_256; algorithm <= MPS1_HMAC_SHA_512; algorithm++)
        if (strcmp(name, mps1_algorithm_name(algorithm)) == 0)
            return algorithm;
    return 0;
}

/* ---- the message ---- */

static int read_payload(const char *path, struct buffer *payload)
{
    bool standard = path == NULL || strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    FILE *file = standard ? stdin : fopen(path, "rb");
    size_t got;
    bool failed;

    if (file == NULL) {
        fprintf(stderr, "mqward: %s can't be read: %s\n", name, strerror(errno));
        return CLI_FINDINGS;
    }
    do {
        got = fread(buffer_reserve(payload, CHUNK), 1, CHUNK, file);
        payload->end += got;
    } while (got > 0 && buffer_length(payload) <= PAYLOAD_MAXIMUM);
    failed = ferror(file) != 0;
    if (failed)
        fprintf(stderr, "mqward: %s can't be read: %s\n", name, strerror(errno));
    else if (buffer_length(payload) > PAYLOAD_MAXIMUM)
        fprintf(stderr, "mqward: %s is larger than any MQTT packet\n", name);
    if (!standard)
        fclose(file);
    return failed || buffer_length(payload) > PAYLOAD_MAXIMUM ? CLI_FINDINGS : CLI_OK;
}

static bool is_text(struct view text)
{
    return text.length <= TEXT_MAXIMUM && utf8_valid(text);
}

static int read_topic(
    const struct cli_command *command, const char *option, const char *value, struct view *topic)
{
    *topic = view_of_string(value);
    if (is_text(*topic) && topic_name_valid(*topic))
        return CLI_OK;
    return cli_usage_error(command, "--%s: '%s' is not a topic to publish to", option, value);
}

static int read_properties(
    const struct cli_command *command, const char *const *values, struct signing_message *message)
{
    const char *type = values[SIGNING_CONTENT_TYPE], *response = values[SIGNING_RESPONSE_TOPIC];
    const char *data = values[SIGNING_CORRELATION_DATA];

    message->props = type != NULL || response != NULL || data != NULL;
    if (type != NULL) {
        message->message.content_type = view_of_string(type);
        if (!is_text(message->message.content_type))
            return cli_usage_error(command, "--content-type: not UTF-8 of at most 65535 bytes");
    }
    /* Empty: the packet has none. */
    if (response != NULL && *response != '\0' &&
        read_topic(command, "response-topic", response, &message->message.response_topic) != CLI_OK)
        return CLI_USAGE;
    if (data != NULL) {
        ssize_t length;

        message->correlation = memory_calloc(TEXT_MAXIMUM, 1);
        length = signing_hex_read(view_of_string(data), message->correlation, TEXT_MAXIMUM);
        if (length < 0)
            return cli_usage_error(
                command, "--correlation-data: '%s' are not the hex digits of at most 65535 bytes", data);
        message->message.correlation_data = view_of(message->correlation, (size_t)length);
    }
    return CLI_OK;
}

int signing_message_read(
    const struct cli_command *command, const char *const *values, struct signing_message *message)
{
    int status;

    *message = (struct signing_message){
        .retain = values[SIGNING_RETAIN] != NULL, .will = values[SIGNING_WILL] != NULL};
    if (values[SIGNING_TOPIC] == NULL)
        return cli_usage_error(command, "--topic is needed: the signature covers it");
    status = read_topic(command, "topic", values[SIGNING_TOPIC], &message->message.topic);
    if (status == CLI_OK)
        status = read_properties(command, values, message);
    if (status == CLI_OK)
        status = read_payload(values[SIGNING_PAYLOAD], &message->payload);
    message->message.payload = buffer_view(&message->payload);
    return status;
}

void signing_message_release(struct signing_message *message)
{
    buffer_release(&message->payload);
    free(message->correlation);
}

/* ---- the key ---- */

int signing_check_key_options(const struct cli_command *command, const char *const *values)
{
    bool keys = values[SIGNING_KEYS] != NULL;

    if (keys == (values[SIGNING_KEY_FILE] != NULL))
        return cli_usage_error(
            command, keys ? "--keys and --key-file: only one of them" : "--keys or --key-file is needed");
    if (keys && values[SIGNING_KEY_FORMAT] != NULL)
        return cli_usage_error(command, "--key-format is for --key-file: keys.yaml says it itself");
    if (keys && values[SIGNING_ALG] != NULL)
        return cli_usage_error(command, "--alg is for --key-file: a key of keys.yaml has one algorithm");
    return CLI_OK;
}

/* -1: there is no such format. */
static int find_format(const char *name)
{
    static const char *const names[] = {
        [KEY_SECRET_HEX] = "hex", [KEY_SECRET_BASE64] = "base64", [KEY_SECRET_RAW] = "raw"};

    if (name == NULL)
        return KEY_SECRET_HEX;
    for (int format = 0; format < (int)(sizeof(names) / sizeof(names[0])); format++)
        if (strcmp(name, names[format]) == 0)
            return format;
    return -1;
}

int signing_secret_read(
    const struct cli_command *command, const char *const *values, struct signing_secret *secret)
{
    const char *path = values[SIGNING_KEY_FILE], *name = values[SIGNING_ALG];
    int format = find_format(values[SIGNING_KEY_FORMAT]);
    struct private_file_error error;
    ssize_t length;

    *secret = (struct signing_secret){.length = 0};
    secret->algorithm = name == NULL ? MPS1_HMAC_SHA_256 : signing_algorithm(name);
    if (secret->algorithm == 0)
        return cli_usage_error(
            command, "--alg: '%s' is none of HMAC-SHA-256, HMAC-SHA-384, HMAC-SHA-512", name);
    if (format < 0)
        return cli_usage_error(command, "--key-format: expected hex, base64 or raw");
    length = key_secret_read(path, (enum key_secret_format)format, secret->bytes, &error);
    if (length < 0) {
        fprintf(stderr, "mqward: the secret in '%s' cannot be used: %s\n", path, error.message);
        if (error.hint != NULL)
            fprintf(stderr, "  hint: %s\n", error.hint);
        return CLI_FINDINGS;
    }
    secret->length = (size_t)length;
    if (secret->length >= mps1_tag_size(secret->algorithm))
        return CLI_OK;
    fprintf(stderr, "mqward: the secret in '%s' is too short: %zu bytes, at least %zu for %s\n", path,
        secret->length, mps1_tag_size(secret->algorithm), mps1_algorithm_name(secret->algorithm));
    return CLI_FINDINGS;
}

struct keyring *signing_keyring_read(const char *path)
{
    struct diag_list *diag = diag_list_new();
    struct keyring *keyring = keyring_load(path, diag, NULL);

    diag_print(diag, stderr);
    diag_list_free(diag);
    return keyring;
}
