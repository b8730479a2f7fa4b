/* SPDX-License-Identifier: Apache-2.0 */
/* What 'mqward sign' and 'mqward verify' have in common: a message and a key, as the command line gives them.
 */
#ifndef MQWARD_PROXY_CLI_SIGNING_H
#define MQWARD_PROXY_CLI_SIGNING_H

#include "base/buffer.h"
#include "policy/key_secret.h"
#include "policy/keyring.h"
#include "proxy/cli/cli.h"

/* The first options of both. */
enum signing_option {
    SIGNING_TOPIC,
    SIGNING_PAYLOAD,
    SIGNING_RETAIN,
    SIGNING_WILL,
    SIGNING_CONTENT_TYPE,
    SIGNING_RESPONSE_TOPIC,
    SIGNING_CORRELATION_DATA,
    SIGNING_KEYS,
    SIGNING_KEY_FILE,
    SIGNING_KEY_FORMAT,
    SIGNING_ALG,
    SIGNING_OPTIONS
};
#define SIGNING_OPTION_ROWS                                                                                  \
    [SIGNING_TOPIC] = {"topic", 't', "TOPIC", "the topic of the message"},                                   \
    [SIGNING_PAYLOAD] = {"payload", 'p', "FILE", "its payload (default: -, standard input)"},                \
    [SIGNING_RETAIN] = {"retain", 'r', NULL, "it is retained"},                                              \
    [SIGNING_WILL] = {"will", 0, NULL, "it is a will"},                                                      \
    [SIGNING_CONTENT_TYPE] = {"content-type", 0, "TEXT", "its content type (5.0)"},                          \
    [SIGNING_RESPONSE_TOPIC] = {"response-topic", 0, "TOPIC", "its response topic (5.0)"},                   \
    [SIGNING_CORRELATION_DATA] = {"correlation-data", 0, "HEX", "its correlation data (5.0)"},               \
    [SIGNING_KEYS] = {"keys", 'k', "FILE", "keys.yaml, whose keys are used"},                                \
    [SIGNING_KEY_FILE] = {"key-file", 0, "FILE", "or: the secret of the one device"},                        \
    [SIGNING_KEY_FORMAT] = {"key-format", 0, "FORMAT", "of the key file: hex (default), base64 or raw"},     \
    [SIGNING_ALG] = {"alg", 0, "NAME", "with a key file: HMAC-SHA-256 (default), -384 or -512"}

struct signing_message {
    struct mps1_message message; /* views into the options, payload and correlation */
    bool retain, will;
    bool props; /* one of the three properties was given, be it empty */
    struct buffer payload;
    uint8_t *correlation;
};
/* CLI_OK, or another status after a message on standard error. signing_message_release() in any case. */
int signing_message_read(
    const struct cli_command *command, const char *const *values, struct signing_message *message);
void signing_message_release(struct signing_message *message);

/* The secret of --key-file and its algorithm. */
struct signing_secret {
    uint8_t bytes[KEY_SECRET_MAX];
    size_t length;
    uint8_t algorithm;
};
/* Exactly one of --keys and --key-file is given, --key-format and --alg only with the second: else a usage
 * error. */
int signing_check_key_options(const struct cli_command *command, const char *const *values);
/* CLI_OK, or another status after a message. secret_wipe() it afterwards. */
int signing_secret_read(
    const struct cli_command *command, const char *const *values, struct signing_secret *secret);
/* The keyring of --keys; its findings go to standard error. NULL if it has errors. */
struct keyring *signing_keyring_read(const char *path);

/* Decodes hex digits of either case; the number of bytes, or -1 for anything else or more than size. */
ssize_t signing_hex_read(struct view digits, uint8_t *out, size_t size);
/* The algorithm of a name such as "HMAC-SHA-256", 0 for others. */
uint8_t signing_algorithm(const char *name);

#endif
