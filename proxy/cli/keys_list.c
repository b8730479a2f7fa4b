/* SPDX-License-Identifier: Apache-2.0 */
/* mqward keys list: what keys.yaml has, without the secrets. */
#include <stdio.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/json.h"
#include "policy/keyring.h"
#include "proxy/cli/cli.h"

enum { OPTION_KEYS, OPTION_JSON };
static const struct cli_option options[] = {
    [OPTION_KEYS] = {"keys", 0, "FILE", "keys.yaml (default: /etc/mqward/keys.yaml)"},
    [OPTION_JSON] = {"json", 0, NULL, "one JSON object on standard output"},
    {NULL, 0, NULL, NULL},
};

static const char *type_name(const struct keyring_entry *entry)
{
    return entry->type == KEYRING_MASTER ? "master" : "static";
}

static const char *state_name(const struct keyring_entry *entry, uint64_t now_ms)
{
    if (now_ms < entry->not_before_ms)
        return "not yet";
    return now_ms < entry->not_after_ms ? "valid" : "expired";
}

struct time_text {
    char bytes[CLOCK_SECONDS_LENGTH + 1];
};
static struct time_text show_time(uint64_t ms)
{
    struct time_text text;

    if (ms == 0 || ms == UINT64_MAX)
        snprintf(text.bytes, sizeof(text.bytes), "-");
    else
        clock_format_seconds(ms / 1000, text.bytes);
    return text;
}

static void print_table(const struct keyring *keyring, uint64_t now_ms)
{
    printf("%-32s %-7s %-13s %-8s %-20s %-20s %7s %7s  %s\n", "KID", "TYPE", "ALG", "STATE", "NOT BEFORE",
        "NOT AFTER", "REVOKED", "RAISED", "SUB");
    for (size_t i = 0; i < keyring_count(keyring); i++) {
        const struct keyring_entry *entry = keyring_entry(keyring, i);

        printf("%-32s %-7s %-13s %-8s %-20s %-20s %7zu %7zu  %.*s%s\n", entry->kid, type_name(entry),
            mps1_algorithm_name(entry->algorithm), state_name(entry, now_ms),
            show_time(entry->not_before_ms).bytes, show_time(entry->not_after_ms).bytes, entry->revoked_count,
            entry->minimum_count, VIEW_ARGS(entry->sub), entry->test ? " (test)" : "");
    }
}

static void json_time(struct json *json, const char *key, uint64_t ms)
{
    if (ms == 0 || ms == UINT64_MAX)
        json_write_null(json, key);
    else
        json_write_string(json, key, view_of_string(show_time(ms).bytes));
}

static void json_key(struct json *json, const struct keyring_entry *entry, uint64_t now_ms)
{
    json_write_object_begin(json, NULL);
    json_write_string(json, "kid", view_of_string(entry->kid));
    json_write_string(json, "type", view_of_string(type_name(entry)));
    json_write_string(json, "alg", view_of_string(mps1_algorithm_name(entry->algorithm)));
    if (entry->type == KEYRING_STATIC)
        json_write_string(json, "sub", entry->sub);
    else
        json_write_null(json, "sub");
    json_write_string(json, "state", view_of_string(state_name(entry, now_ms)));
    json_time(json, "not_before", entry->not_before_ms);
    json_time(json, "not_after", entry->not_after_ms);
    json_write_unsigned(json, "revoked", entry->revoked_count);
    json_write_unsigned(json, "min_generation", entry->minimum_count);
    json_write_boolean(json, "test", entry->test);
    json_write_object_end(json);
}

static void print_json(const struct keyring *keyring, const struct diag_list *diag, uint64_t now_ms)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", keyring != NULL);
    json_write_array_begin(&json, "keys");
    for (size_t i = 0; keyring != NULL && i < keyring_count(keyring); i++)
        json_key(&json, keyring_entry(keyring, i), now_ms);
    json_write_array_end(&json);
    diag_print_json(diag, &json, "findings");
    json_write_object_end(&json);
    printf("%.*s\n", VIEW_ARGS(buffer_view(&out)));
    buffer_release(&out);
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *path = values[OPTION_KEYS] == NULL ? "/etc/mqward/keys.yaml" : values[OPTION_KEYS];
    uint64_t now_ms = clock_wall_us() / 1000;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    struct diag_list *diag = diag_list_new();
    struct keyring *keyring = keyring_load(path, diag, NULL);
    if (values[OPTION_JSON] != NULL)
        print_json(keyring, diag, now_ms);
    else {
        diag_print(diag, stderr);
        if (keyring != NULL)
            print_table(keyring, now_ms);
    }
    int status = keyring == NULL ? CLI_FINDINGS : CLI_OK;
    keyring_release(keyring);
    diag_list_free(diag);
    return status;
}

const struct cli_command cli_keys_list = {.name = "keys list",
    .arguments = "",
    .summary = "list the keys of a keys.yaml: names, validity, revocations; never secrets",
    .options = options,
    .run = run};
