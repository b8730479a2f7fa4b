/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the words about what is in the quarantine. Called by scan_evidence.c. */
#include "proxy/scan_describe.h"

#include <assert.h>

#include "base/clock.h"
#include "base/json.h"

/* Bytes before they are escaped. What the message has is an attacker's, what rules say is not. */
#define TEXT_MAX 1024
#define TOPIC_MAX 4096
#define PROPERTIES_MAX 32
#define TAGS_MAX 32
#define FINDINGS_MAX 64

static void write_text(struct json *json, const char *key, struct view text)
{
    if (text.length > 0)
        json_write_string_capped(json, key, text, TEXT_MAX);
}

/* ---- parts ---- */

static void write_part(struct json *json, const struct scan_request *request, size_t index)
{
    static const char *const names[] = {[SCAN_PAYLOAD] = "payload",
        [SCAN_USER_PROPERTY] = "user_property",
        [SCAN_CORRELATION_DATA] = "correlation_data"};

    json_write_string(json, "part", view_of_string(names[request->parts[index].kind]));
    json_write_unsigned(json, "part_index", index);
}

static void write_bytes(struct json *json, const uint8_t sha256[32], size_t size)
{
    json_write_hex(json, "sha256", view_of(sha256, 32));
    json_write_unsigned(json, "size", size);
}

static void write_kept(struct json *json, const struct scan_request *request, const struct scan_kept *kept)
{
    write_part(json, request, kept->part);
    write_bytes(json, kept->sha256, request->parts[kept->part].bytes.length);
}

static void write_all_kept(struct json *json, const struct scan_description *description)
{
    json_write_array_begin(json, "kept");
    for (size_t i = 0; i < description->kept_count; i++) {
        json_write_object_begin(json, NULL);
        write_kept(json, &description->scans[0].request, &description->kept[i]);
        json_write_object_end(json);
    }
    json_write_array_end(json);
    json_write_boolean(json, "more_kept", description->more_kept);
}

static void write_payload(struct json *json, const struct scan_description *description)
{
    json_write_object_begin(json, "payload");
    write_bytes(json, description->payload_sha256, description->payload.length);
    json_write_object_end(json);
}

/* ---- the message ---- */

static void write_properties(struct json *json, const struct scan_request *request)
{
    size_t written = 0;

    for (size_t i = 0; i < request->part_count && written < PROPERTIES_MAX; i++) {
        if (request->parts[i].kind != SCAN_USER_PROPERTY)
            continue;
        if (written++ == 0)
            json_write_array_begin(json, "user_properties");
        json_write_string_capped(json, NULL, request->parts[i].bytes, TEXT_MAX);
    }
    if (written > 0)
        json_write_array_end(json);
}

static void write_correlation(struct json *json, const struct scan_request *request)
{
    for (size_t i = 0; i < request->part_count; i++) {
        struct view bytes = request->parts[i].bytes;

        if (request->parts[i].kind != SCAN_CORRELATION_DATA || bytes.length == 0)
            continue;
        bytes.length = bytes.length < TEXT_MAX ? bytes.length : TEXT_MAX;
        json_write_hex(json, "correlation_data", bytes);
        return;
    }
}

static void write_message(struct json *json, const struct scan_request *request)
{
    const struct scan_context *context = request->context;

    json_write_string_capped(json, "topic", context->topic, TOPIC_MAX);
    json_write_string(json, "direction", context->outbound ? VIEW("out") : VIEW("in"));
    json_write_unsigned(json, "qos", context->qos);
    json_write_boolean(json, "retain", context->retain);
    write_text(json, "content_type", context->content_type);
    write_properties(json, request);
    write_correlation(json, request);
    write_text(json, "client_id", context->client_id);
    write_text(json, "username", context->username);
    write_text(json, "identity", context->identity);
    write_text(json, "groups", context->groups);
}

/* ---- what was found ---- */

static void write_view(struct json *json, const struct scan_view_path *path)
{
    struct buffer text = {0};

    for (unsigned i = 0; i < path->length; i++)
        buffer_format(&text, "%s%s", i == 0 ? "" : "/", scan_view_name((enum scan_view_kind)path->kinds[i]));
    json_write_string(
        json, "view", path->length == 0 ? view_of_string(scan_view_name(SCAN_RAW)) : buffer_view(&text));
    if (path->length > 0)
        json_write_unsigned(json, "view_offset", path->offset);
    buffer_release(&text);
}

static void write_finding(
    struct json *json, const struct scan_request *request, const struct scan_finding *finding)
{
    const struct scan_rule *rule = finding->rule;

    json_write_object_begin(json, NULL);
    json_write_string(json, "rule", view_of_string(rule->name));
    json_write_string(json, "set", view_of_string(rule->set));
    write_text(json, "id", view_of_string(rule->id));
    write_text(json, "description", view_of_string(rule->description));
    write_text(json, "reference", view_of_string(rule->reference));
    write_text(json, "severity", view_of_string(rule->severity));
    write_text(json, "mitre_attack", view_of_string(rule->mitre_attack));
    json_write_array_begin(json, "tags");
    for (size_t i = 0; i < rule->tag_count && i < TAGS_MAX; i++)
        json_write_string_capped(json, NULL, view_of_string(rule->tags[i]), TEXT_MAX);
    json_write_array_end(json);
    write_part(json, request, finding->part_index);
    write_view(json, &finding->view);
    if (finding->offset != UINT64_MAX)
        json_write_unsigned(json, "offset", finding->offset);
    json_write_object_end(json);
}

static bool same(const struct scan_finding *a, const struct scan_finding *b)
{
    return a->rule == b->rule && a->part_index == b->part_index && a->offset == b->offset &&
           a->view.offset == b->view.offset && a->view.length == b->view.length &&
           memcmp(a->view.kinds, b->view.kinds, a->view.length) == 0;
}

/* Two checks may ask the same rules. */
static bool is_listed(const struct scan_finding *const *listed, size_t count, const struct scan_finding *one)
{
    for (size_t i = 0; i < count; i++)
        if (same(listed[i], one))
            return true;
    return false;
}

/* Returns how many there are; *more: not all of them. */
static size_t collect(
    const struct scan_description *description, const struct scan_finding *listed[FINDINGS_MAX], bool *more)
{
    size_t count = 0;

    *more = false;
    for (size_t i = 0; i < description->count; i++) {
        const struct scan_result *result = &description->results[i].result;
        size_t known = result->count < SCAN_FINDINGS_MAX ? result->count : SCAN_FINDINGS_MAX;

        *more = *more || known < result->count;
        for (size_t j = 0; j < known; j++) {
            if (is_listed(listed, count, &result->findings[j]))
                continue;
            if (count == FINDINGS_MAX)
                *more = true;
            else
                listed[count++] = &result->findings[j];
        }
    }
    return count;
}

static void write_findings(struct json *json, const struct scan_description *description)
{
    const struct scan_finding *listed[FINDINGS_MAX];
    bool more;
    size_t count = collect(description, listed, &more);

    json_write_array_begin(json, "findings");
    for (size_t i = 0; i < count; i++)
        write_finding(json, &description->scans[0].request, listed[i]);
    json_write_array_end(json);
    json_write_boolean(json, "more_findings", more);
}

/* The first reason why not all was looked at. */
static void write_incomplete(struct json *json, const struct scan_description *description)
{
    for (size_t i = 0; i < description->count; i++) {
        const struct scan_result *result = &description->results[i].result;

        if (result->complete)
            continue;
        json_write_string(json, "incomplete",
            view_of_string(result->error != NULL        ? result->error
                           : result->incomplete != NULL ? result->incomplete
                                                        : "error"));
        return;
    }
}

void scan_describe(const struct scan_description *description, struct buffer *out)
{
    const struct scan_request *request = &description->scans[0].request;
    char when[CLOCK_TIMESTAMP_LENGTH + 1];
    struct json json;

    assert(description->count > 0);
    clock_format_timestamp(description->wall_us, when);
    json_write_begin(&json, out);
    json.indented = true;
    json_write_object_begin(&json, NULL);
    json_write_string(&json, "time", view_of_string(when));
    write_kept(&json, request, &description->kept[description->which]);
    write_payload(&json, description);
    write_message(&json, request);
    write_all_kept(&json, description);
    write_findings(&json, description);
    write_incomplete(&json, description);
    json_write_object_end(&json);
    buffer_append_byte(out, '\n');
}
