/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a scenario (tests/vectors/session/README.md): what is fed in, and all that must come out, in
 * order. Nothing that a scenario does not mention may happen. Called by scripts.c. */
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "packet_text.h"

static const struct version_word {
    const char *word;
    unsigned versions; /* bits */
} version_words[] = {
    {"3.1", 1 << MQTT_V31},
    {"3.1.1", 1 << MQTT_V311},
    {"3.x", 1 << MQTT_V31 | 1 << MQTT_V311},
    {"5.0", 1 << MQTT_V5},
    {"any", 1 << MQTT_V31 | 1 << MQTT_V311 | 1 << MQTT_V5},
};

unsigned scenario_versions(const char *word, size_t length)
{
    for (size_t i = 0; i < sizeof(version_words) / sizeof(version_words[0]); i++)
        if (strlen(version_words[i].word) == length && strncmp(version_words[i].word, word, length) == 0)
            return version_words[i].versions;
    return 0;
}

void scenario_fail(struct run *run, const char *what, const char *detail)
{
    fprintf(stderr, "%s:%u: %s (%s): %s%s\n", run->file, run->line, run->name,
        mqtt_version_name(run->version), what, detail);
    for (size_t i = run->seen; i < run->world->count && i < run->seen + 12; i++)
        fprintf(stderr, "    out: %s\n", run->world->lines[i]);
    run->failed = true;
}

/* ---- settings ---- */

enum reason scenario_reason(struct run *run, const char *name)
{
    for (int i = 0; i < REASON_COUNT; i++)
        if (strcmp(reason_info((enum reason)i)->name, name) == 0)
            return (enum reason)i;
    scenario_fail(run, "no such reason: ", name);
    return REASON_none;
}

static void set_certificate(struct world *world, const char *name, const char *value)
{
    size_t at = world->peer.certificate_value_count++;

    world->peer.has_certificate = world->peer.tls = true;
    world->peer.tls_subject = VIEW("CN=test");
    snprintf(world->certificate_texts[at], sizeof(world->certificate_texts[at]), "%s", value);
    world->certificate_values[at].name = name;
    world->certificate_values[at].value = view_of_string(world->certificate_texts[at]);
}

static void set_one(struct run *run, const char *key, const char *value)
{
    struct world *world = run->world;
    uint32_t number = (uint32_t)strtoul(value, NULL, 10);

    if (strcmp(key, "dialect") == 0)
        world->settings.dialect = (enum dialect)dialect_parse(view_of_string(value));
    else if (strcmp(key, "alias_maximum") == 0)
        world->settings.topic_alias_maximum = (uint16_t)number;
    else if (strcmp(key, "max_filters") == 0)
        world->settings.max_filters = number;
    else if (strcmp(key, "broker_max_packet") == 0)
        world->settings.broker_max_packet = number;
    else if (strcmp(key, "refuse_control_characters") == 0)
        world->settings.options.refuse_control_characters = strcmp(value, "true") == 0;
    else if (strcmp(key, "password") == 0 && strcmp(value, "later") == 0)
        world->password_later = true;
    else if (strcmp(key, "password") == 0)
        world->password_answer = scenario_reason(run, value);
    else if (strcmp(key, "bytes") == 0 && strcmp(value, "single") == 0)
        world->split = true;
    else if (strcmp(key, "replay") == 0 && strcmp(value, "later") == 0)
        world->replay_later = true;
    else if (strcmp(key, "scan") == 0 && strcmp(value, "later") == 0)
        world->scan_later = true;
    else if (strcmp(key, "scan_inline") == 0)
        world->settings.scan_inline = number;
    else if (strcmp(key, "keyring") == 0 && strcmp(value, "none") == 0)
        world->settings.keyring = NULL;
    else if (strcmp(key, "certificate_expires") == 0)
        world->peer.certificate_expires_s = number;
    else if (strcmp(key, "claim") == 0)
        world->claim_answer = scenario_reason(run, value);
    else if (strcmp(key, "cn") == 0)
        set_certificate(world, "cn", value);
    else if (strcmp(key, "ou") == 0)
        set_certificate(world, "ou", value);
    else
        scenario_fail(run, "no such setting: ", key);
}

static void do_set(struct run *run, char *words)
{
    char *save = NULL;

    for (char *word = strtok_r(words, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        char *equals = strchr(word, '=');

        if (equals == NULL) {
            scenario_fail(run, "no value: ", word);
            return;
        }
        *equals = 0;
        set_one(run, word, equals + 1);
    }
}

/* ---- what is fed in ---- */

void scenario_begin(struct run *run)
{
    if (!run->began)
        world_begin(run->world);
    run->began = true;
}

bool scenario_may_act(struct run *run)
{
    if (run->seen < run->world->count) {
        scenario_fail(run, "not mentioned: ", run->world->lines[run->seen]);
        return false;
    }
    scenario_begin(run);
    world_forget_lines(run->world);
    run->seen = 0;
    return true;
}

/* "hex 30 05 'a/b'": bytes, and strings behind their length. */
static void parse_hex(const char *text, struct buffer *out)
{
    while (*text != 0) {
        if (*text == '\'') {
            const char *end = strchr(text + 1, '\'');
            size_t length = (size_t)(end - text - 1);

            buffer_append_byte(out, (uint8_t)(length >> 8));
            buffer_append_byte(out, (uint8_t)length);
            buffer_append(out, view_of(text + 1, length));
            text = end + 1;
        } else if (*text == ' ')
            text++;
        else {
            unsigned byte = 0;

            sscanf(text, "%2x", &byte);
            buffer_append_byte(out, (uint8_t)byte);
            text += text[1] == 0 || text[1] == ' ' ? 1 : 2;
        }
    }
}

static void feed_text(struct run *run, enum mqtt_direction from, const char *text)
{
    struct buffer bytes = {0};
    const char *error = "";
    size_t step;

    if (strncmp(text, "hex ", 4) == 0)
        parse_hex(text + 4, &bytes);
    else if (!packet_text_parse(text, run->version, &bytes, &error))
        scenario_fail(run, "can't be read: ", error);
    step = run->world->split && from == MQTT_FROM_CLIENT ? 1 : buffer_length(&bytes);
    for (size_t at = 0; at < buffer_length(&bytes); at += step)
        world_feed(run->world, from, view_of(buffer_view(&bytes).data + at, step));
    buffer_release(&bytes);
}

static void do_client(struct run *run, char *text)
{
    if (scenario_may_act(run))
        feed_text(run, MQTT_FROM_CLIENT, text);
}

static void do_broker(struct run *run, char *text)
{
    if (scenario_may_act(run))
        feed_text(run, MQTT_FROM_SERVER, text);
}

/* "open <keys of CONNECT> / <keys of CONNACK>": to an open session, without looking at what comes out. */
static void do_open(struct run *run, char *text)
{
    char line[4096];
    char *slash = strstr(text, " / ");

    if (!scenario_may_act(run))
        return;
    if (slash != NULL)
        *slash = 0;
    snprintf(line, sizeof(line), "CONNECT id=plc-7 keepalive=60 %s", slash == text ? "" : text);
    feed_text(run, MQTT_FROM_CLIENT, line);
    snprintf(line, sizeof(line), "CONNACK 0 %s", slash == NULL ? "" : slash + 3);
    feed_text(run, MQTT_FROM_SERVER, line);
    if (!session_is_open(run->world->session))
        scenario_fail(run, "the session is not open", "");
    run->seen = run->world->count;
}

/* "repeat 1 100 client PUBLISH a qos=1 id=%": '%' counts. */
static void do_repeat(struct run *run, char *text)
{
    unsigned first, last;
    int skip = 0;
    enum mqtt_direction from;

    if (sscanf(text, "%u %u %n", &first, &last, &skip) < 2 || !scenario_may_act(run)) {
        scenario_fail(run, "not a repeat: ", text);
        return;
    }
    text += skip;
    from = strncmp(text, "client ", 7) == 0 ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER;
    text += 7;
    for (unsigned i = first; i <= last && !run->failed; i++) {
        struct buffer line = {0};

        for (const char *at = text; *at != 0; at++)
            if (*at == '%')
                buffer_format(&line, "%u", i);
            else
                buffer_append_byte(&line, (uint8_t)*at);
        buffer_append_byte(&line, 0);
        feed_text(run, from, (const char *)line.data);
        buffer_release(&line);
    }
}

static void do_abort(struct run *run, char *text)
{
    if (scenario_may_act(run))
        world_abort(run->world, scenario_reason(run, text));
}

static void do_ended(struct run *run, char *text)
{
    if (!scenario_may_act(run))
        return;
    world_end(run->world, *text == 0 ? run->world->closing : scenario_reason(run, text));
    run->ended = true;
}

/* ---- what comes out ---- */

static bool has_word(const char *line, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = strstr(line, word); at != NULL; at = strstr(at + 1, word))
        if (at > line && at[-1] == ' ' && (at[length] == 0 || at[length] == ' '))
            return true;
    return false;
}

/* All words of expected are in actual, its first four in their places, and rule and nearest miss are not left
 * out. */
static bool audit_matches(const char *expected, const char *actual)
{
    static const char *const never_silent[] = {" rule=", " nearest="};
    char words[1024];
    char *save = NULL;
    int count = 0;
    size_t at = 0;

    for (size_t i = 0; i < 2; i++)
        if ((strstr(actual, never_silent[i]) == NULL) != (strstr(expected, never_silent[i]) == NULL))
            return false;
    snprintf(words, sizeof(words), "%s", expected);
    for (char *word = strtok_r(words, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        if (count++ >= 4) {
            if (!has_word(actual, word))
                return false;
            continue;
        }
        if (strncmp(actual + at, word, strlen(word)) != 0 || actual[at + strlen(word)] != ' ')
            return false;
        at += strlen(word) + 1;
    }
    return count >= 4;
}

/* The packet of the line in the form in which world.c prints it. */
static char *normal_packet(struct run *run, const char *line, size_t prefix, enum mqtt_direction direction)
{
    struct buffer bytes = {0}, text = {0};
    const char *error = "";
    char *normal;

    if (!packet_text_parse(line + prefix, run->version, &bytes, &error))
        scenario_fail(run, "can't be read: ", error);
    buffer_append(&text, view_of(line, prefix));
    packet_text_print(buffer_view(&bytes), direction, run->version, &text);
    normal = memory_copy_string(buffer_view(&text));
    buffer_release(&bytes);
    buffer_release(&text);
    return normal;
}

static void expect_line(struct run *run, const char *line)
{
    const char *actual = run->seen < run->world->count ? run->world->lines[run->seen] : "(nothing)";
    char *expected = NULL;
    bool same;

    if (strncmp(line, "to-broker ", 10) == 0)
        expected = normal_packet(run, line, 10, MQTT_FROM_CLIENT);
    else if (strncmp(line, "to-client ", 10) == 0)
        expected = normal_packet(run, line, 10, MQTT_FROM_SERVER);
    else
        expected = memory_copy_string(view_of_string(line));
    same = strncmp(line, "audit ", 6) == 0 ? audit_matches(expected, actual) : strcmp(expected, actual) == 0;
    if (!same && !run->failed)
        scenario_fail(run, "expected: ", expected);
    run->seen += same;
    free(expected);
}

void scenario_expect_text(struct run *run, const char *what, const char *actual, const char *expected)
{
    char text[512];

    snprintf(text, sizeof(text), "is '%s', not '%s'", actual, expected);
    if (strcmp(actual, expected) != 0)
        scenario_fail(run, what, text);
}

void scenario_expect_number(struct run *run, const char *what, uint64_t actual, const char *expected)
{
    char text[32];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)actual);
    scenario_expect_text(run, what, text, expected);
}

static void do_ready(struct run *run, char *text)
{
    scenario_begin(run);
    scenario_expect_text(run, "ready ", session_client_ready(run->world->session) ? "yes" : "no", text);
}

static void do_keep_alive(struct run *run, char *text)
{
    scenario_expect_number(run, "keep alive ", session_keep_alive_ms(run->world->session), text);
}

static void do_claim(struct run *run, char *text)
{
    scenario_begin(run);
    run->world->claim_answer = scenario_reason(run, text);
}

static void do_claimed(struct run *run, char *text)
{
    scenario_expect_text(run, "claimed ", run->world->claimed, text);
}

static void do_password_asked(struct run *run, char *text)
{
    scenario_expect_text(run, "password asked ", run->world->password_asked, text);
}

static void do_anything(struct run *run, char *text)
{
    (void)text;
    run->seen = run->world->count;
}

/* "count 10 audit mqtt-publish-denied": of what came out, so many lines begin so. */
static void do_count(struct run *run, char *text)
{
    char *rest = strchr(text, ' ');
    uint64_t found = 0;

    *rest++ = 0;
    for (size_t i = 0; i < run->world->count; i++)
        found += strncmp(run->world->lines[i], rest, strlen(rest)) == 0;
    scenario_expect_number(run, rest, found, text);
}

static const struct word {
    const char *word;
    void (*act)(struct run *run, char *rest);
} words[] = {
    {"set", do_set},
    {"client", do_client},
    {"broker", do_broker},
    {"open", do_open},
    {"repeat", do_repeat},
    {"abort", do_abort},
    {"ended", do_ended},
    {"ready", do_ready},
    {"keep-alive", do_keep_alive},
    {"claim", do_claim},
    {"claimed", do_claimed},
    {"limited", scenario_limited},
    {"counted", scenario_counted},
    {"holds", scenario_held_rates},
    {"unrecorded", scenario_unrecorded},
    {"carry-on", scenario_carry_on},
    {"password-asked", do_password_asked},
    {"banned", scenario_banned},
    {"denied", scenario_denied},
    {"is-banned", scenario_is_banned},
    {"anything", do_anything},
    {"count", do_count},
    {"shadow", scenario_shadow},
    {"rebind", scenario_rebind},
    {"password", scenario_password},
    {"tag", scenario_tag},
    {"token", scenario_token},
    {"keys", scenario_keys},
    {"sign", scenario_sign},
    {"answer", scenario_answer},
    {"store", scenario_store},
    {"asking", scenario_asking},
    {"scanned", scenario_scanned},
    {"scans-here", scenario_scans_here},
    {"request", scenario_request},
    {"parts", scenario_parts},
    {"terms", scenario_terms},
    {"asking-broker", scenario_asking_broker},
    {"ready-broker", scenario_ready_broker},
    {"expires", scenario_expires},
    {"expire", scenario_expire},
};

void scenario_step(struct run *run, const char *line)
{
    char filled[4096], copy[4096];
    size_t length;

    if (*line == '[') {
        const char *end = strchr(line, ']');

        if ((scenario_versions(line + 1, (size_t)(end - line - 1)) & 1u << run->version) == 0)
            return;
        line = end + 2;
    }
    if (!scenario_fill_in(run, line, filled, sizeof(filled)))
        return;
    line = filled;
    length = strcspn(line, " ");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strlen(words[i].word) == length && strncmp(words[i].word, line, length) == 0) {
            snprintf(copy, sizeof(copy), "%s", line[length] == ' ' ? line + length + 1 : "");
            words[i].act(run, copy);
            return;
        }
    expect_line(run, line);
}

/* Whatever happened: each CONNECT has one outcome in the audit, and each accepted one an end. */
void scenario_finish(struct run *run)
{
    struct world *world = run->world;

    for (size_t i = 0; i < run->token_count; i++)
        free(run->tokens[i].text);
    if (!run->failed && run->seen < world->count)
        scenario_fail(run, "not mentioned: ", world->lines[run->seen]);
    if (run->failed)
        return;
    if (run->began && !run->ended)
        world_end(world, world->closed ? world->closing : REASON_client_lost);
    if (world->accepted > 1 || world->disconnects != world->accepted || world->accepted + world->refused > 1)
        scenario_fail(run, "connects and disconnects do not add up", "");
}
