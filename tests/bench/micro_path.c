/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what mqward-bench-path measures: a PUBLISH through mqward, from the bytes that a turn of the loop
 * reads from one side to those that it writes to the other: libevent, proxy/conn.c, session, policy, audit;
 * its PUBACK included. With TLS also OpenSSL, for the rows that say so. Without the kernel. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "micro.h"
#include "micro_still.h"
#include "micro_world.h"

#define RECORD 16384        /* bytes of a batch: what one TLS record brings */
#define SIGNED_SECONDS 3    /* between two batches that are signed: a signer's nonces of 6 minutes are kept */
#define MESSAGES 3000       /* of a run, about */
#define MANY_MESSAGES 40000 /* where only some of them are told */

static const char allowed[] =
    "rules:\n  - {rule: data, who: fleet, allow: [publish, subscribe], topics: [\"bench/<id>/#\"]}\n"
    "  - {rule: no-debug, who: fleet, deny: [publish, receive], topics: [\"bench/+/debug/#\"]}\n";
static const char sampled[] =
    "audit: {allow: 1%}\n"
    "rules:\n  - {rule: data, who: fleet, allow: [publish, subscribe], topics: [\"bench/<id>/#\"]}\n";
static const char denied[] =
    "rules:\n  - {rule: others, who: fleet, allow: [publish, subscribe], topics: [\"others/<id>/#\"]}\n";

#define CHECKED                                                                                              \
    "rules:\n  - {rule: data, who: fleet, allow: [publish, subscribe], topics: "                             \
    "[\"bench/<id>/#\"]}\nchecks:\n"
#define SIGNATURE "  - {check: signed, topics: [\"#\"], signature: {keys: [m25a]}}\n"
#define SCAN "  - {check: scanned, topics: [\"#\"], yara: {rules: shipped}}\n"
static const char limited[] =
    CHECKED "  - {check: flood, topics: [\"#\"], rate: {per: id, messages: 1000000/s}}\n";
static const char is_signed[] = CHECKED SIGNATURE;
static const char is_scanned[] = CHECKED SCAN;
static const char everything[] = "audit: {allow: 1%}\n" CHECKED SIGNATURE SCAN;

enum {
    TO_CLIENT = 1,
    PROPERTIES = 2,
    SINGLE = 4,   /* one packet a turn of the loop; else as many as a record holds */
    DENIED = 8,   /* by the policy */
    SIGNED = 16,  /* with an envelope, which mqward takes off; a nonce of its own each time */
    SCANNED = 32, /* needs the folder of rules */
    MANY = 64,    /* messages, since only some of them are told */
    TLS = 128,    /* the client's side; a record for all */
    RECORDS = 256 /* the same; the client sends a record for each */
};

static const struct path_case {
    const char *name, *rules;
    enum mqtt_version version;
    uint8_t qos;
    size_t payload;
    size_t topics; /* different ones, in turn; 0: each its own */
    unsigned flags;
} cases[] = {
    {"to broker, QoS 0, 64 B, 3.1.1", allowed, MQTT_V311, 0, 64, 1, 0},
    {"to broker, QoS 0, 64 B, 5.0", allowed, MQTT_V5, 0, 64, 1, 0},
    {"to broker, QoS 0, 1 KiB, 3.1.1", allowed, MQTT_V311, 0, 1024, 1, 0},
    {"to broker, QoS 0, 64 B, 3.1.1, one a turn", allowed, MQTT_V311, 0, 64, 1, SINGLE},
    {"to broker, QoS 0, 64 B, 3.1.1, 4 topics", allowed, MQTT_V311, 0, 64, 4, 0},
    {"to broker, QoS 0, 64 B, 3.1.1, 64 topics", allowed, MQTT_V311, 0, 64, 64, 0},
    {"to broker, QoS 0, 64 B, 5.0, properties", allowed, MQTT_V5, 0, 64, 1, PROPERTIES},
    {"to broker, QoS 1, 64 B, 3.1.1", allowed, MQTT_V311, 1, 64, 1, 0},
    {"to broker, QoS 1, 64 B, 5.0", allowed, MQTT_V5, 1, 64, 1, 0},
    {"to broker, QoS 0, 64 B, 3.1.1, 1 % audited", sampled, MQTT_V311, 0, 64, 1, MANY},
    {"to broker, denied, a repeat, QoS 0, 3.1.1", denied, MQTT_V311, 0, 64, 1, DENIED},
    {"to broker, denied, a repeat, QoS 1, 5.0", denied, MQTT_V5, 1, 64, 1, DENIED},
    {"to broker, denied, new each time, QoS 0, 3.1.1", denied, MQTT_V311, 0, 64, 0, DENIED},
    {"to broker, rate checked, QoS 0, 64 B, 3.1.1", limited, MQTT_V311, 0, 64, 1, 0},
    {"to broker, signed, QoS 0, 128 B, 3.1.1", is_signed, MQTT_V311, 0, 128, 1, SIGNED},
    {"to broker, scanned, QoS 0, 128 B, 3.1.1", is_scanned, MQTT_V311, 0, 128, 1, SCANNED},
    {"to broker, signed, scanned, 1 % audited, QoS 0, 128 B, 3.1.1", everything, MQTT_V311, 0, 128, 1,
        SIGNED | SCANNED},
    {"to client, QoS 0, 64 B, 3.1.1", allowed, MQTT_V311, 0, 64, 1, TO_CLIENT},
    {"to client, QoS 0, 64 B, 5.0", allowed, MQTT_V5, 0, 64, 1, TO_CLIENT},
    {"to client, QoS 0, 1 KiB, 3.1.1", allowed, MQTT_V311, 0, 1024, 1, TO_CLIENT},
    {"to client, QoS 1, 64 B, 3.1.1", allowed, MQTT_V311, 1, 64, 1, TO_CLIENT},
    {"to client, QoS 1, 64 B, 5.0", allowed, MQTT_V5, 1, 64, 1, TO_CLIENT},
    {"to client, denied, a repeat, QoS 0, 3.1.1", denied, MQTT_V311, 0, 64, 1, DENIED | TO_CLIENT},
    {"TLS, to broker, QoS 0, 64 B, 3.1.1", allowed, MQTT_V311, 0, 64, 1, TLS},
    {"TLS, to broker, QoS 0, 64 B, 3.1.1, a record each", allowed, MQTT_V311, 0, 64, 1, TLS | RECORDS},
    {"TLS, to broker, QoS 0, 64 B, 3.1.1, one a turn", allowed, MQTT_V311, 0, 64, 1, TLS | SINGLE},
    {"TLS, to client, QoS 0, 64 B, 3.1.1", allowed, MQTT_V311, 0, 64, 1, TLS | TO_CLIENT},
    {"TLS, to client, QoS 0, 64 B, 3.1.1, one a turn", allowed, MQTT_V311, 0, 64, 1,
        TLS | SINGLE | TO_CLIENT},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

struct path {
    const struct path_case *row;
    struct world *world;
    struct mps1_key key;
    struct buffer batch;    /* packets, all of the same size */
    struct buffer expected; /* those that arrive */
    struct buffer answers;  /* what the receiver says to them, or mqward */
    size_t packets;         /* at a time */
    size_t made;            /* until now */
};

/* ---- packets ---- */

/* As a sensor may write it. */
static void fill(struct buffer *payload, size_t size)
{
    for (unsigned i = 0; buffer_length(payload) < size; i++)
        buffer_format(payload, "%s\"temperature%u\":21.53,\"status\":\"ok\"", i == 0 ? "{" : ",", i);
    payload->end = payload->start + size;
}

/* The envelope before the payload, for that topic. */
static void sign(struct path *path, struct view topic, struct view payload, struct buffer *out)
{
    struct mps1_header header = {.algorithm = MPS1_HMAC_SHA_256,
        .t_ms = clock_wall_us() / 1000,
        .kid = VIEW("m25a"),
        .sub = VIEW(WORLD_CLIENT)};
    const struct mps1_message message = {.topic = topic, .payload = payload};
    uint8_t space[MPS1_HEADER_MAX], tag[MPS1_TAG_MAX];

    memcpy(header.nonce, &path->made, sizeof(path->made));
    mps1_write(&header, space);
    mps1_mac(&path->key, header.covered, false, &message, tag);
    mps1_write_tag(&header, space, tag);
    buffer_append(out, view_of(space, header.length));
}

static void add_packet(struct path *path, struct view payload)
{
    const struct path_case *row = path->row;
    uint16_t packet_id = (uint16_t)(path->made % path->packets + 1);
    size_t number = row->topics == 0 ? path->made : path->made % row->topics;
    char topic[64];
    struct buffer raw = {0}, carried = {0};
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = row->version};

    snprintf(topic, sizeof(topic), "bench/" WORLD_CLIENT "/data/%08zu", number);
    if ((row->flags & PROPERTIES) != 0) {
        mqtt_property_write_string(&raw, MQTT_CONTENT_TYPE, VIEW("application/json"));
        mqtt_property_write_number(&raw, MQTT_MESSAGE_EXPIRY_INTERVAL, 3600);
        mqtt_property_write_pair(&raw, VIEW("line"), VIEW("17"));
    }
    packet.u.publish = (struct mqtt_publish){.qos = row->qos,
        .packet_id = row->qos == 0 ? (uint16_t)0 : packet_id,
        .topic = view_of_string(topic),
        .properties = {.raw = buffer_view(&raw)},
        .payload = payload};
    if ((row->flags & DENIED) == 0)
        mqtt_encode(&packet, &path->expected);
    if ((row->flags & SIGNED) != 0) {
        sign(path, packet.u.publish.topic, payload, &carried);
        buffer_append(&carried, payload);
        packet.u.publish.payload = buffer_view(&carried);
    }
    mqtt_encode(&packet, &path->batch);
    if (row->qos > 0)
        mqtt_encode_ack(
            &path->answers, row->version, MQTT_PUBACK, packet_id, (row->flags & DENIED) != 0 ? 0x87 : 0);
    path->made++;
    buffer_release(&raw);
    buffer_release(&carried);
}

static void make_batch(struct path *path)
{
    struct buffer payload = {0};

    fill(&payload, path->row->payload);
    buffer_clear(&path->batch);
    buffer_clear(&path->expected);
    buffer_clear(&path->answers);
    for (size_t i = 0; i < path->packets; i++)
        add_packet(path, buffer_view(&payload));
    buffer_release(&payload);
}

/* ---- running ---- */

static void expect(struct path *path, bool at_broker, const struct buffer *bytes)
{
    struct view found = world_arrived(path->world, at_broker), wanted = buffer_view(bytes);

    if (view_equal(found, wanted))
        return;
    fprintf(stderr, "mqward-bench-path: %s: what has arrived is not what was to arrive\n", path->row->name);
    exit(1);
}

static void run(void *context, size_t count)
{
    struct path *path = context;
    const struct path_case *row = path->row;
    size_t answered = buffer_length(&path->answers);
    bool to_client = (row->flags & TO_CLIENT) != 0;

    micro_count(false);
    for (size_t done = 0; done < count; done += path->packets) {
        if ((row->flags & SIGNED) != 0)
            still_advance(SIGNED_SECONDS);
        if (row->topics == 0 || (row->flags & SIGNED) != 0)
            make_batch(path);
        world_pass(path->world, !to_client, buffer_view(&path->batch), buffer_length(&path->expected),
            (row->flags & DENIED) != 0 ? answered : 0);
        expect(path, !to_client, &path->expected);
        if ((row->flags & DENIED) == 0 && answered > 0) {
            world_pass(path->world, to_client, buffer_view(&path->answers), answered, 0);
            expect(path, to_client, &path->answers);
        }
        world_told(path->world);
    }
    micro_count(true);
}

static void destroy(void *context)
{
    struct path *path = context;

    world_free(path->world);
    buffer_release(&path->batch);
    buffer_release(&path->expected);
    buffer_release(&path->answers);
    free(path);
}

static struct path *new_path(const struct path_case *row, const char *folder)
{
    char *config = (row->flags & SCANNED) != 0
                       ? memory_format("rules:\n  shipped: {files: %s, allow_slow: true}\n", folder)
                       : NULL;
    const struct world_terms terms = {.config = config,
        .rules = row->rules,
        .has_key = (row->flags & SIGNED) != 0,
        .tls = (row->flags & TLS) != 0,
        .version = row->version};
    struct path *path = memory_calloc(1, sizeof(*path));

    path->row = row;
    path->world = world_new(&terms);
    if ((row->flags & SIGNED) != 0)
        world_key(path->world, &path->key);
    path->packets = 1;
    make_batch(path);
    if ((row->flags & SINGLE) == 0)
        path->packets = RECORD / buffer_length(&path->batch);
    make_batch(path);
    if ((row->flags & RECORDS) != 0)
        world_set_record(path->world, buffer_length(&path->batch) / path->packets);
    free(config);
    return path;
}

/* With the folder of the rules that mqward ships: what is scanned; without: all the others. */
size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *folders, size_t folder_count)
{
    size_t used = 0;

    for (size_t i = 0; i < CASES; i++) {
        size_t messages = (cases[i].flags & MANY) != 0 ? MANY_MESSAGES : MESSAGES;
        struct path *path;

        if (((cases[i].flags & SCANNED) != 0) != (folder_count > 0))
            continue;
        assert(used < max);
        path = new_path(&cases[i], folder_count > 0 ? folders[0] : NULL);
        subjects[used] =
            (struct micro_subject){"", run, NULL, destroy, path, messages / path->packets * path->packets};
        snprintf(subjects[used].name, sizeof(subjects[used].name), "%s", cases[i].name);
        used++;
    }
    return used;
}
