/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of audit records for 'mqward policy explain --event'. A record does not hold all that a
 * policy asks for: what is not there is said, never guessed. */
#include "proxy/cli/policy_event.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/memory.h"
#include "exporters/audit.h"
#include "policy/explain.h"
#include "policy/mps1.h"
#include "policy/yara.h"
#include "proxy/cli/text.h"

#define ATTRIBUTES_MAXIMUM 64

/* What an action says of the act. */
static const struct {
    enum audit_action action;
    const char *verb;
} verbs[] = {
    {AUDIT_connect_accepted, "connect"},
    {AUDIT_connect_refused, "connect"},
    {AUDIT_publish_allowed, "publish"},
    {AUDIT_publish_denied, "publish"},
    {AUDIT_subscribe_granted, "subscribe"},
    {AUDIT_subscribe_denied, "subscribe"},
    {AUDIT_subscription_withdrawn, "subscribe"},
    {AUDIT_delivery_filtered, "receive"},
    {AUDIT_will_denied, "will"},
};

/* Of checks, which are about messages of any direction. */
static const enum audit_action checking[] = {
    AUDIT_signature_rejected, AUDIT_payload_matched, AUDIT_payload_blocked, AUDIT_scan_failed};

/* ---- fields ---- */

/* The value at a path such as "mqtt.topic", or NULL. */
static const json_t *field(const json_t *record, const char *path)
{
    const char *dot = strchr(path, '.');
    if (dot == NULL)
        return json_object_get(record, path);
    const json_t *inner = json_object_getn(record, path, (size_t)(dot - path));
    return inner == NULL ? NULL : field(inner, dot + 1);
}

/* A text; data is NULL if there is none. */
static struct view text_field(const json_t *record, const char *path)
{
    const json_t *value = field(record, path);
    if (!json_is_string(value))
        return (struct view){NULL, 0};
    return view_of(json_string_value(value), json_string_length(value));
}

static void lack(struct policy_event *event, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void lack(struct policy_event *event, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '\n' ? ' ' : *at;
    buffer_format(&event->lacks, "%s\n", text);
}

/* Texts that were longer than their cap end with U+2026. */
static void lack_if_cut(struct policy_event *event, const char *path, struct view text)
{
    if (view_ends_with(text, VIEW("\xe2\x80\xa6")))
        lack(event, "%s is cut in the record", path);
}

void policy_event_append_word(struct buffer *line, const char *key, struct view value)
{
    bool quoted = value.length == 0;
    for (size_t i = 0; i < value.length && !quoted; i++)
        quoted = value.data[i] <= ' ' || value.data[i] == '"' || value.data[i] == '\\';
    buffer_format(line, "%s%s", line->end > line->start ? " " : "", key);
    if (!quoted) {
        buffer_append(line, value);
        return;
    }
    buffer_append_byte(line, '"');
    for (size_t i = 0; i < value.length; i++) {
        if (value.data[i] == '"' || value.data[i] == '\\')
            buffer_append_byte(line, '\\');
        buffer_append_byte(line, value.data[i]);
    }
    buffer_append_byte(line, '"');
}

/* ---- the certificate's subject ---- */

static int hex_digit(uint8_t byte)
{
    const char *found = byte == 0 ? NULL : strchr("0123456789abcdef", byte | 0x20);
    return found == NULL ? -1 : (int)(found - "0123456789abcdef");
}

/* One value of a name as RFC 2253 writes it, escapes undone; *at ends behind it, at ',' or '+'. */
static void read_name_value(struct view name, size_t *at, struct buffer *out)
{
    for (; *at < name.length && name.data[*at] != ',' && name.data[*at] != '+'; (*at)++) {
        uint8_t byte = name.data[*at];
        if (byte == '\\' && *at + 2 < name.length && hex_digit(name.data[*at + 1]) >= 0 &&
            hex_digit(name.data[*at + 2]) >= 0) {
            byte = (uint8_t)(hex_digit(name.data[*at + 1]) << 4 | hex_digit(name.data[*at + 2]));
            *at += 2;
        } else if (byte == '\\' && *at + 1 < name.length) {
            byte = name.data[++*at];
        }
        buffer_append_byte(out, byte);
    }
}

/* How often a name has a type ("OU"); the first value goes to out. */
static size_t find_in_name(struct view name, const char *type, struct buffer *out)
{
    size_t found = 0;
    for (size_t at = 0; at < name.length; at++) {
        const uint8_t *equals = memchr(name.data + at, '=', name.length - at);
        if (equals == NULL)
            return found;
        struct view key = view_of(name.data + at, (size_t)(equals - name.data) - at);
        struct buffer value = {0};
        at = (size_t)(equals - name.data) + 1;
        read_name_value(name, &at, &value);
        if (view_equal_string(key, type) && found++ == 0)
            buffer_append(out, buffer_view(&value));
        buffer_release(&value);
    }
    return found;
}

/* Values of a certificate that are in its subject, and what they are called there. */
static const char *subject_type(const char *value)
{
    static const char *const types[][2] = {{"cn", "CN"}, {"ou", "OU"}, {"o", "O"}, {"c", "C"}, {"l", "L"},
        {"st", "ST"}, {"serial_number", "serialNumber"}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(types[i][0], value) == 0)
            return types[i][1];
    }
    return NULL;
}

/* An attribute from the subject, if it is there once and whole. A certificate without the value has no such
 * attribute, which is nothing that the record lacks. */
static void add_attribute(
    struct policy_event *event, const struct policy_attribute_info *attribute, struct view subject)
{
    const char *type = subject_type(attribute->value);
    bool whole = subject.data != NULL && !view_ends_with(subject, VIEW("\xe2\x80\xa6"));
    struct buffer value = {0};
    size_t found = type == NULL || !whole ? 0 : find_in_name(subject, type, &value);
    if (found == 1) {
        char key[80];
        snprintf(key, sizeof(key), "attrs.%s=", attribute->name);
        policy_event_append_word(&event->client, key, buffer_view(&value));
    } else if (type == NULL || !whole) {
        lack(event, "the attribute '%s' (%s); give it with '%s=...'", attribute->name, attribute->value,
            attribute->name);
    } else if (found > 1) {
        lack(event, "which %s is the attribute '%s': the certificate has several", attribute->value,
            attribute->name);
    }
    buffer_release(&value);
}

/* ---- who ---- */

/* Was the word given on the command line? */
static bool is_given(const struct policy_event *event, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < event->word_count; i++) {
        if (strncmp(event->words[i], name, length) == 0 && event->words[i][length] == '=')
            return true;
    }
    return false;
}

static void add_attributes(
    const json_t *record, const struct policy_input *source, struct view kind, struct policy_event *event)
{
    struct policy_attribute_info attributes[ATTRIBUTES_MAXIMUM];
    size_t count = policy_explain_attributes(source->policy, kind, attributes, ATTRIBUTES_MAXIMUM);
    bool certificate = view_equal(kind, VIEW("cert"));
    struct view subject = certificate ? text_field(record, "tls.client.subject") : (struct view){NULL, 0};
    for (size_t i = 0; i < count; i++) {
        if (!is_given(event, attributes[i].name))
            add_attribute(event, &attributes[i], subject);
    }
    if (view_equal(kind, VIEW("jwt")) && !is_given(event, "member"))
        lack(event, "the groups that the token names; give them with 'member=...'");
}

static void add_dialect(const json_t *record, const struct policy_input *source, struct policy_event *event)
{
    struct view upstream = text_field(record, "mqward.upstream");
    for (size_t i = 0; source->config != NULL && i < source->config->upstream_count; i++) {
        const struct config_upstream *row = &source->config->upstreams[i];
        if (view_equal_string(upstream, row->name)) {
            policy_event_append_word(&event->client, "dialect=", view_of_string(dialect_name(row->dialect)));
            return;
        }
    }
    if (view_starts_with(text_field(record, "mqtt.topic"), VIEW("$")))
        lack(event, "the broker's dialect: -c with the mqward.yaml that has upstream '%.*s' says it",
            VIEW_ARGS(upstream));
}

static bool add_client(const json_t *record, const struct policy_input *source, struct policy_event *event)
{
    static const struct {
        const char *path, *key;
    } fields[] = {
        {"mqtt.client_id", "client_id="}, {"mqtt.username", "username="}, {"client.ip", "address="}};
    struct view kind = text_field(record, "mqward.identity_source"), id = text_field(record, "user.name");
    if (kind.data == NULL || id.data == NULL) {
        fprintf(stderr, "mqward: the record does not say who: it has no %s\n",
            kind.data == NULL ? "mqward.identity_source" : "user.name");
        return false;
    }
    policy_event_append_word(&event->client, "", kind);
    policy_event_append_word(&event->client, "", id);
    lack_if_cut(event, "user.name", id);
    for (size_t i = 0; i < event->word_count; i++) {
        const char *word = event->words[i], *equals = strchr(word, '=');
        char *key = memory_copy_string(view_of(word, (size_t)(equals - word) + 1));
        policy_event_append_word(&event->client, key, view_of_string(equals + 1));
        free(key);
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct view text = text_field(record, fields[i].path);
        char name[16];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(fields[i].key, "="), fields[i].key);
        /* One whose identifier the broker assigned, and who had none yet, has none in the record. */
        if (is_given(event, name) || (text.data == NULL && i > 0))
            continue;
        policy_event_append_word(&event->client, fields[i].key, text);
        lack_if_cut(event, fields[i].path, text);
    }
    if (!is_given(event, "dialect"))
        add_dialect(record, source, event);
    add_attributes(record, source, kind, event);
    return true;
}

/* ---- what ---- */

/* What a check looked at: a will, what comes, or what is delivered. */
static const char *find_checked(const json_t *record)
{
    if (view_equal_string(text_field(record, "mqtt.packet"), "connect"))
        return "will";
    return view_equal_string(text_field(record, "network.direction"), "outbound") ? "receive" : "publish";
}

static const char *find_verb(const json_t *record, struct view action)
{
    /* A check of rates is about either. */
    if (view_equal_string(action, audit_action_name(AUDIT_rate_limited)))
        return view_equal_string(text_field(record, "mqtt.packet"), "publish") ? "publish" : "connect";
    for (size_t i = 0; i < sizeof(checking) / sizeof(checking[0]); i++) {
        if (view_equal_string(action, audit_action_name(checking[i])))
            return find_checked(record);
    }
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (view_equal_string(action, audit_action_name(verbs[i].action)))
            return verbs[i].verb;
    }
    return NULL;
}

static void add_message(const json_t *record, struct policy_event *event)
{
    const json_t *size = field(record, "mqtt.payload.bytes");
    if (json_is_boolean(field(record, "mqtt.retained")))
        buffer_format(
            &event->act, " retain=%s", json_is_true(field(record, "mqtt.retained")) ? "true" : "false");
    if (json_is_integer(size) && json_integer_value(size) >= 0)
        buffer_format(&event->act, " size=%lld", (long long)json_integer_value(size));
    else
        lack(event, "the size of the payload: taken as 0");
}

/* Reasons that a policy gives to a signature of which it knows no more than who signed with which key. */
static bool is_policys_reason(struct view reason)
{
    static const enum reason reasons[] = {REASON_sig_missing, REASON_sig_key_unknown, REASON_sig_identity};
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (view_equal_string(reason, reason_info(reasons[i])->name))
            return true;
    }
    return false;
}

/* The key and the signer that the signature named: whether it was one, no policy says. What is not a name of
 * either was not in a signature that could be read. */
static void add_signature(const json_t *record, struct policy_event *event)
{
    struct view reason = text_field(record, "event.reason");
    struct view kid = text_field(record, "mqward.signature.kid");
    struct view signer = text_field(record, "mqward.signature.signer");
    if (mps1_kid_valid(kid) && mps1_sub_valid(signer))
        buffer_format(&event->act, " signed=%.*s:%.*s", VIEW_ARGS(kid), VIEW_ARGS(signer));
    else if (view_starts_with(reason, VIEW("sig_")) &&
             !view_equal_string(reason, reason_info(REASON_sig_missing)->name))
        lack(event, "the key and the signer, which could not be read: taken as not signed");
    if (view_starts_with(reason, VIEW("sig_")) && !is_policys_reason(reason))
        lack(event, "what a policy does not know, the signature itself (%.*s): taken as valid, fresh and new",
            VIEW_ARGS(reason));
}

/* The rule sets that found something. Why they did not look at all of it, no policy says. */
static void add_matches(const json_t *record, struct policy_event *event)
{
    const json_t *sets = field(record, "mqward.yara.namespaces");
    struct view reason = text_field(record, "event.reason");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(sets); i++) {
        const json_t *item = json_array_get(sets, i);
        struct view set = {NULL, 0};
        if (json_is_string(item))
            set = view_of(json_string_value(item), json_string_length(item));
        if (yara_set_name_valid(set))
            buffer_format(&event->act, "%s%.*s", count++ == 0 ? " matches=" : ",", VIEW_ARGS(set));
    }
    if (count == 0 && view_equal_string(reason, reason_info(REASON_payload_matched)->name))
        lack(event, "the rule sets that found something: taken as clean");
    if (view_starts_with(reason, VIEW("scan_")))
        lack(event, "what a policy does not know, how the scan ended (%.*s): taken as scanned to its end",
            VIEW_ARGS(reason));
}

static bool add_act(const json_t *record, const char *verb, struct policy_event *event)
{
    const char *path = "mqtt.topic";
    const json_t *qos = field(record, "mqtt.qos");
    if (strcmp(verb, "connect") == 0) {
        buffer_format(&event->act, "connect");
        if (view_equal_string(text_field(record, "mqward.detail"), "will"))
            lack(event, "the will that was refused: explain the event of the same session that is about it");
        return true;
    }
    /* The topic itself was allowed, the requester may not receive the answer. */
    if (view_equal_string(
            text_field(record, "event.reason"), reason_info(REASON_response_topic_denied)->name)) {
        path = "mqtt.response_topic";
        verb = "receive";
    }
    struct view topic = text_field(record, path);
    if (topic.data == NULL) {
        fprintf(stderr, "mqward: the record has no %s\n", path);
        return false;
    }
    buffer_format(&event->act, "%s", verb);
    policy_event_append_word(&event->act, "", topic);
    lack_if_cut(event, path, topic);
    if (strcmp(verb, "receive") != 0 && json_is_integer(qos))
        buffer_format(&event->act, " qos=%lld", (long long)json_integer_value(qos));
    if (strcmp(verb, "publish") == 0 || strcmp(verb, "will") == 0)
        add_message(record, event);
    if (strcmp(verb, "subscribe") != 0) {
        add_signature(record, event);
        add_matches(record, event);
    }
    return true;
}

/* ---- the whole ---- */

static bool read_record(const json_t *record, const struct policy_input *source, struct policy_event *event)
{
    struct view action = text_field(record, "event.action"), reason = text_field(record, "event.reason");
    struct view rule = text_field(record, "rule.id"), place = text_field(record, "mqward.rule_line");
    const char *verb = find_verb(record, action);
    if (rule.length == 0) /* where the record's rule is one of YARA */
        rule = text_field(record, "mqward.check");
    if (verb == NULL) {
        fprintf(stderr, "mqward: not a record of what a policy decides: event.action is '");
        text_print(stderr, action);
        fprintf(stderr, "'\n");
        return false;
    }
    buffer_format(&event->decided, "%.*s, %.*s", VIEW_ARGS(action), VIEW_ARGS(reason));
    if (rule.length > 0)
        buffer_format(&event->decided, ", %.*s", VIEW_ARGS(rule));
    if (place.length > 0)
        buffer_format(&event->decided, " (%.*s)", VIEW_ARGS(place));
    return add_client(record, source, event) && add_act(record, verb, event);
}

/* The error quotes the record. */
static void refuse_text(const json_error_t *error)
{
    fprintf(stderr, "mqward: the record is not one JSON document: line %d: ", error->line);
    text_print(stderr, view_of_string(error->text));
    fputc('\n', stderr);
}

static bool read_all(FILE *in, struct buffer *text)
{
    size_t got;
    do {
        got = fread(buffer_reserve(text, 65536), 1, 65536, in);
        text->end += got;
    } while (got > 0 && buffer_length(text) <= POLICY_EVENT_MAXIMUM);
    return !ferror(in) && buffer_length(text) <= POLICY_EVENT_MAXIMUM;
}

bool policy_event_read(FILE *in, const struct policy_input *source, const char *const *words, size_t count,
    struct policy_event *event)
{
    struct buffer text = {0};
    json_error_t error;
    json_t *record = NULL;
    bool good = read_all(in, &text);
    *event = (struct policy_event){.words = words, .word_count = count};
    if (!good)
        fprintf(stderr, "mqward: the record can't be read, or is longer than any\n");
    if (good) {
        record = json_loadb(
            (const char *)text.data + text.start, buffer_length(&text), JSON_REJECT_DUPLICATES, &error);
        good = json_is_object(record);
        if (record == NULL)
            refuse_text(&error);
        else if (!good)
            fprintf(stderr, "mqward: the record is not a JSON object\n");
    }
    good = good && read_record(record, source, event);
    json_decref(record);
    buffer_release(&text);
    return good;
}

void policy_event_release(struct policy_event *event)
{
    buffer_release(&event->client);
    buffer_release(&event->act);
    buffer_release(&event->lacks);
    buffer_release(&event->decided);
}
