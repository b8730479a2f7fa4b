/* SPDX-License-Identifier: Apache-2.0 */
/* The scan pool: what it stores, and what it says about it. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "quarantine_files.h"
#include "scan_bench.h"

/* Of the part with these bytes, which is there as it came. */
static json_t *description_of(const struct bench *bench, struct view bytes)
{
    char name[FILE_NAME_MAX];
    json_error_t error;

    file_check(bench->folder, bytes, ".payload", bytes);
    file_name(name, bench->folder, bytes, ".json");
    json_t *description = json_load_file(name, 0, &error);
    cr_assert_not_null(description, "%s", error.text);
    return description;
}

static json_int_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value == NULL ? "(none)" : value;
}

Test(scan_pool, what_is_stored_is_described)
{
    struct bench bench;
    struct message message;

    bench_start(&bench, 1, true);
    const struct view payload = VIEW("{\"a\": \"RVZJTEVWSUwgRVZJTEVWSUw=\"} EVILEVIL");
    message_make(&message, payload);
    message.context = (struct scan_context){.topic = VIEW("a\"},\n\xff/b"),
        .client_id = VIEW("c\\"),
        .username = VIEW("<u>"),
        .identity = VIEW("${jndi:x}"),
        .groups = VIEW("g,h"),
        .content_type = VIEW("text/plain\x1b[2J"),
        .qos = 2,
        .retain = true,
        .outbound = true,
        .payload_size = message.parts[0].bytes.length};
    message.parts[1] = (struct scan_part){SCAN_USER_PROPERTY, VIEW("EVILEVIL\x01")};
    message.parts[2] = (struct scan_part){SCAN_CORRELATION_DATA, VIEW("\x00\xff")};
    for (size_t i = 0; i < 3; i++) {
        message.scans[i].request.part_count = 3;
        message.scans[i].request.views = SCAN_VIEWS_ALL;
    }
    message.count = 3;
    message.scans[0].quarantine = message.scans[2].quarantine = true;
    submit(bench.pool, &bench.fake, bench.rules, &message);
    fake_run(&bench.fake);
    cr_assert_not_null(message.quarantine[0]);
    cr_expect_str_eq(message.quarantine[0], "stored");
    cr_expect_null(message.quarantine[1], "nobody asked");
    cr_assert_not_null(message.quarantine[2]);
    cr_expect_str_eq(message.quarantine[2], "stored", "the same message");

    json_t *description = description_of(&bench, payload);
    const char *hex = "8f835f84c792c6802f82c2347ceb67b85c4644c8ebdec064e4aa594b02307929";
    cr_expect_str_eq(text(description, "part"), "payload");
    cr_expect_eq(number(description, "part_index"), 0);
    cr_expect_str_eq(text(description, "sha256"), hex);
    cr_expect_eq(number(description, "size"), 42);
    cr_expect_str_eq(text(json_object_get(description, "payload"), "sha256"), hex);
    cr_expect_eq(number(json_object_get(description, "payload"), "size"), 42);
    cr_expect_eq(strlen(text(description, "time")), CLOCK_TIMESTAMP_LENGTH);
    cr_expect_str_eq(text(description, "topic"), "a\"},\n\xef\xbf\xbd/b");
    cr_expect_str_eq(text(description, "client_id"), "c\\");
    cr_expect_str_eq(text(description, "username"), "<u>");
    cr_expect_str_eq(text(description, "identity"), "${jndi:x}");
    cr_expect_str_eq(text(description, "groups"), "g,h");
    cr_expect_str_eq(text(description, "content_type"), "text/plain\x1b[2J");
    cr_expect_str_eq(text(description, "direction"), "out");
    cr_expect_eq(json_integer_value(json_object_get(description, "qos")), 2);
    cr_expect(json_is_true(json_object_get(description, "retain")));
    cr_expect_str_eq(text(description, "correlation_data"), "00ff");
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(description, "user_properties"), 0)),
        "EVILEVIL\x01");
    cr_expect(json_is_false(json_object_get(description, "more_findings")));

    const json_t *findings = json_object_get(description, "findings");
    cr_assert_eq(json_array_size(findings), 3, "each once, however many checks found it");
    const json_t *raw = json_array_get(findings, 0), *decoded = json_array_get(findings, 1),
                 *property = json_array_get(findings, 2);
    cr_expect_str_eq(text(raw, "rule"), "evil");
    cr_expect_str_eq(text(raw, "set"), "set");
    cr_expect_str_eq(text(raw, "id"), "t-1");
    cr_expect_str_eq(text(raw, "description"), "something \"evil\"");
    cr_expect_str_eq(text(raw, "severity"), "high");
    cr_expect_str_eq(text(raw, "mitre_attack"), "T1105");
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(raw, "tags"), 0)), "dropper");
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(raw, "tags"), 1)), "linux");
    cr_expect_str_eq(text(raw, "part"), "payload");
    cr_expect_str_eq(text(raw, "view"), "raw");
    cr_expect_eq(json_integer_value(json_object_get(raw, "offset")), 34);
    cr_expect_str_eq(text(decoded, "view"), "base64");
    cr_expect_eq(json_integer_value(json_object_get(decoded, "view_offset")), 7);
    cr_expect_eq(json_integer_value(json_object_get(decoded, "offset")), 0);
    cr_expect_str_eq(text(property, "part"), "user_property");
    cr_expect_eq(number(property, "part_index"), 1);
    json_decref(description);
    bench_stop(&bench);
}

/* ---- which parts are kept ---- */

/* A message with these parts, stored if something is in it; the answer is in *message. */
static void store_parts(
    struct bench *bench, struct message *message, const struct scan_part *parts, size_t count)
{
    message_make(message, parts[0].bytes);
    message->scans[0].request.parts = parts;
    message->scans[0].request.part_count = count;
    message->scans[0].quarantine = true;
    submit(bench->pool, &bench->fake, bench->rules, message);
    fake_run(&bench->fake);
    cr_assert_not_null(message->quarantine[0]);
}

static void expect_kept_first(const struct message *message, struct view bytes)
{
    uint8_t sha256[32];

    cr_assert_eq(EVP_Digest(bytes.data, bytes.length, sha256, NULL, EVP_sha256(), NULL), 1);
    cr_expect(message->has_sha256[0]);
    cr_expect_arr_eq(message->sha256, sha256, 32);
}

/* An attacker who is the first with a harmless payload does not hide what comes with it later. */
Test(scan_pool, what_stands_beside_a_payload_is_kept_for_itself)
{
    static const struct view finds[] = {VIEW("a EVILEVIL"), VIEW("b EVILEVIL"), VIEW("EVILEVIL c")};
    struct scan_part parts[] = {{SCAN_PAYLOAD, VIEW("{}")}, {SCAN_USER_PROPERTY, VIEW("name")},
        {SCAN_USER_PROPERTY, VIEW("harmless")}};
    struct message message;
    struct bench bench;

    bench_start(&bench, 1, true);
    for (size_t i = 0; i < 3; i++) {
        parts[2].bytes = finds[i];
        parts[2].kind = i == 2 ? SCAN_CORRELATION_DATA : SCAN_USER_PROPERTY;
        store_parts(&bench, &message, parts, 3);
        cr_expect_str_eq(message.quarantine[0], "stored");
        expect_kept_first(&message, finds[i]);
        json_t *description = description_of(&bench, finds[i]);
        cr_expect_str_eq(text(description, "part"), i == 2 ? "correlation_data" : "user_property");
        cr_expect_eq(number(description, "part_index"), 2);
        cr_expect_eq(number(description, "size"), 10);
        cr_expect_str_eq(text(json_object_get(description, "payload"), "sha256"),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        cr_expect_eq(number(json_object_get(description, "payload"), "size"), 2);
        json_decref(description);
    }
    cr_expect_not(file_is_there(bench.folder, VIEW("{}"), ".payload"), "nothing was found in it");
    store_parts(&bench, &message, parts, 3);
    cr_expect_str_eq(message.quarantine[0], "known");
    expect_kept_first(&message, finds[2]);
    cr_expect_eq(file_count(bench.folder), 6);
    bench_stop(&bench);
}

Test(scan_pool, of_a_message_so_many_parts_are_kept_the_payload_first)
{
    char texts[12][32];
    struct scan_part parts[14];
    struct message message;
    struct bench bench;

    for (unsigned i = 0; i < 12; i++) {
        snprintf(texts[i], sizeof(texts[i]), "EVILEVIL %u", i);
        parts[i] = (struct scan_part){SCAN_USER_PROPERTY, view_of_string(texts[i])};
    }
    parts[1] = parts[0]; /* the same bytes */
    parts[12] = (struct scan_part){SCAN_PAYLOAD, VIEW("EVILEVIL in the payload")};
    parts[13] = (struct scan_part){SCAN_CORRELATION_DATA, VIEW("harmless")};
    bench_start(&bench, 1, true);
    store_parts(&bench, &message, parts, 14);
    cr_expect_eq(message.found[0], 13);
    expect_kept_first(&message, parts[12].bytes);
    cr_expect_eq(file_count(bench.folder), 16);
    json_t *description = description_of(&bench, parts[7].bytes);
    const json_t *kept = json_object_get(description, "kept");
    cr_assert_eq(json_array_size(kept), 8);
    cr_expect_str_eq(text(json_array_get(kept, 0), "part"), "payload");
    cr_expect_eq(number(json_array_get(kept, 0), "part_index"), 12);
    cr_expect_eq(number(json_array_get(kept, 1), "part_index"), 0);
    cr_expect_eq(number(json_array_get(kept, 2), "part_index"), 2);
    cr_expect_eq(number(json_array_get(kept, 7), "part_index"), 7);
    cr_expect(json_is_true(json_object_get(description, "more_kept")));
    cr_expect_eq(json_array_size(json_object_get(description, "findings")), 13, "each part's");
    json_decref(description);
    bench_stop(&bench);
}

/* Of several parts the result is the worst, and the name that of one that is there. */
Test(scan_pool, what_is_lost_of_a_message_is_told)
{
    static uint8_t large[2 << 20] = "EVILEVIL";
    const struct scan_part parts[] = {{SCAN_PAYLOAD, view_of(large, sizeof(large))},
        {SCAN_USER_PROPERTY, VIEW("EVILEVIL 1")}, {SCAN_USER_PROPERTY, VIEW("EVILEVIL 2")}};
    struct message message;
    struct bench bench;

    log_configure(LOG_ERROR, LOG_TEXT, open("/dev/null", O_WRONLY));
    bench_start(&bench, 1, true);
    store_parts(&bench, &message, parts, 3);
    cr_expect_str_eq(message.quarantine[0], "full");
    expect_kept_first(&message, parts[1].bytes);
    cr_expect_eq(file_count(bench.folder), 4);
    store_parts(&bench, &message, parts + 1, 2);
    cr_expect_str_eq(message.quarantine[0], "known");
    store_parts(&bench, &message, parts, 1);
    cr_expect_str_eq(message.quarantine[0], "full");
    cr_expect_not(message.has_sha256[0]);
    bench_stop(&bench);
}

Test(scan_pool, only_what_a_check_wants_kept_is)
{
    struct message message;
    struct bench bench;

    bench_start(&bench, 1, true);
    message_make(&message, VIEW("EVILEVIL"));
    message.count = 2;
    message.parts[1] = (struct scan_part){SCAN_USER_PROPERTY, VIEW("also EVILEVIL")};
    message.scans[0].request.part_count = message.scans[1].request.part_count = 2;
    message.scans[0].request.max_scan = 8;
    message.scans[0].quarantine = true;
    submit(bench.pool, &bench.fake, bench.rules, &message);
    fake_run(&bench.fake);
    cr_expect_eq(message.found[0], 1);
    cr_expect_eq(message.found[1], 2);
    cr_expect(message.has_sha256[0]);
    cr_expect_null(message.quarantine[1]);
    cr_expect_not(message.has_sha256[1]);
    cr_expect_eq(file_count(bench.folder), 2);
    bench_stop(&bench);
}

Test(scan_pool, a_description_is_bounded)
{
    static uint8_t noise[60000];
    struct bench bench;
    struct message message;

    bench_start(&bench, 1, true);
    memset(noise, 1, sizeof(noise)); /* each takes six characters */
    message_make(&message, VIEW("EVILEVIL"));
    const struct view long_text = view_of(noise, sizeof(noise));
    message.context = (struct scan_context){
        long_text, long_text, long_text, long_text, long_text, long_text, 0, false, false, 8};
    struct scan_part parts[200] = {{SCAN_PAYLOAD, VIEW("EVILEVIL")}};
    for (size_t i = 1; i < 200; i++)
        parts[i] = (struct scan_part){SCAN_USER_PROPERTY, view_of(noise, 2000)};
    parts[1] = (struct scan_part){SCAN_CORRELATION_DATA, long_text};
    message.scans[0].request.parts = parts;
    message.scans[0].request.part_count = 200;
    message.scans[0].quarantine = true;
    submit(bench.pool, &bench.fake, bench.rules, &message);
    fake_run(&bench.fake);
    cr_assert_not_null(message.quarantine[0]);
    cr_expect_str_eq(message.quarantine[0], "stored");
    json_t *description = description_of(&bench, VIEW("EVILEVIL"));
    char *again = json_dumps(description, JSON_ENSURE_ASCII);
    cr_expect_lt(strlen(again), 300000);
    free(again);
    json_decref(description);
    bench_stop(&bench);
}

static const char *store_one(struct bench *bench, struct view payload)
{
    struct message message;

    message_make(&message, payload);
    message.scans[0].quarantine = true;
    submit(bench->pool, &bench->fake, bench->rules, &message);
    fake_run(&bench->fake);
    return message.quarantine[0];
}

Test(scan_pool, what_became_of_a_payload_is_told)
{
    static uint8_t large[2 << 20] = "EVILEVIL";
    struct bench bench;

    bench_start(&bench, 1, true);
    log_configure(LOG_ERROR, LOG_TEXT, open("/dev/null", O_WRONLY));
    cr_expect_null(store_one(&bench, VIEW("ordinary")), "nothing was found");
    cr_expect_str_eq(store_one(&bench, VIEW("EVILEVIL")), "stored");
    cr_expect_str_eq(store_one(&bench, VIEW("EVILEVIL")), "known");
    cr_expect_str_eq(store_one(&bench, view_of(large, sizeof(large))), "full");
    bench_stop(&bench);
    bench_start(&bench, 1, false);
    cr_expect_str_eq(store_one(&bench, VIEW("EVILEVIL")), "failed", "there is no folder");
    bench_stop(&bench);
}
