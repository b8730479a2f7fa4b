/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which events are alike, and what the event says that tells of many (audit-events "Floods are
 * aggregated": principal, decision, rule and topic). Called by repeats.c.
 *
 * Both come from the lists below. What must be the same is compared, and is what is told. What is a
 * connection's own is told as long as all are of one connection. Whatever is in no list (a new field, too) is
 * neither compared nor told: nobody is named for what another one did, and nobody hides an act behind another
 * one's. */
#include "exporters/repeats_key.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "exporters/audit_fields.h"

enum {
    KEY_USED = 1,
    KEY_TOPIC = 2,
    /* The client identifier; of a CONNECT it is the client's to choose, as often as it likes. */
    KEY_CLIENT = 4,
    KEY_NAME = 8,   /* the name that CONNECT gives, which may be all that is known */
    KEY_MATCH = 16, /* what was found, and each message that was kept */
    KEY_SHADOW = 32,
};

#define KEY_ACT (KEY_USED | KEY_TOPIC | KEY_CLIENT)

/* Denials and refusals. What was allowed is sampled by the policy; the beginning and the end of a session
 * have an event each. A rate is about how much, whatever the topic. */
static const uint8_t kinds[AUDIT_ACTION_COUNT] = {
    [AUDIT_publish_denied] = KEY_ACT,
    [AUDIT_subscribe_denied] = KEY_ACT,
    [AUDIT_delivery_filtered] = KEY_ACT,
    [AUDIT_signature_rejected] = KEY_ACT,
    [AUDIT_payload_matched] = KEY_ACT | KEY_MATCH,
    [AUDIT_payload_blocked] = KEY_ACT | KEY_MATCH,
    [AUDIT_scan_failed] = KEY_ACT | KEY_MATCH,
    [AUDIT_will_denied] = KEY_ACT,
    [AUDIT_shadow_diff] = KEY_ACT | KEY_SHADOW,
    [AUDIT_rate_limited] = KEY_USED | KEY_CLIENT,
    [AUDIT_protocol_error] = KEY_USED | KEY_CLIENT,
    [AUDIT_connect_refused] = KEY_USED | KEY_NAME,
    [AUDIT_tls_handshake_failed] = KEY_USED,
};

/* ---- the members ---- */

/* Principal, decision and rule. A client can't draw certificates at will. */
#define MEMBERS_OF_ALL(MEMBER)                                                                               \
    MEMBER(action)                                                                                           \
    MEMBER(reason)                                                                                           \
    MEMBER(disposition)                                                                                      \
    MEMBER(outbound)                                                                                         \
    MEMBER(statement)                                                                                        \
    MEMBER(client_ip)                                                                                        \
    MEMBER(listener)                                                                                         \
    MEMBER(upstream)                                                                                         \
    MEMBER(tls)                                                                                              \
    MEMBER(tls_subject)                                                                                      \
    MEMBER(tls_issuer)                                                                                       \
    MEMBER(tls_serial)                                                                                       \
    MEMBER(tls_fingerprint)                                                                                  \
    MEMBER(user)                                                                                             \
    MEMBER(source)                                                                                           \
    MEMBER(packet)                                                                                           \
    MEMBER(has_reason_code)                                                                                  \
    MEMBER(reason_code)                                                                                      \
    MEMBER(signature_kid)                                                                                    \
    MEMBER(signature_sub)                                                                                    \
    MEMBER(ruleset)                                                                                          \
    MEMBER(policy_version)                                                                                   \
    MEMBER(previous_policy)                                                                                  \
    MEMBER(rule)                                                                                             \
    MEMBER(rule_location)                                                                                    \
    MEMBER(nearest)

/* What was decided about: nobody hides a retained message behind one that is not, or one answer's topic
 * behind another's. */
#define MEMBERS_OF_TOPICS(MEMBER)                                                                            \
    MEMBER(has_topic)                                                                                        \
    MEMBER(topic)                                                                                            \
    MEMBER(response_topic)                                                                                   \
    MEMBER(has_qos)                                                                                          \
    MEMBER(qos)                                                                                              \
    MEMBER(retained)

/* Of a message that went on all the same, what it was is what counts. */
#define MEMBERS_OF_PAYLOADS(MEMBER)                                                                          \
    MEMBER(has_payload)                                                                                      \
    MEMBER(payload_bytes)                                                                                    \
    MEMBER(has_payload_hash)                                                                                 \
    MEMBER(payload_sha256)                                                                                   \
    MEMBER(payload_excerpt)

#define MEMBERS_OF_MATCHES(MEMBER)                                                                           \
    MEMBER(yara_rules)                                                                                       \
    MEMBER(yara_rule_count)                                                                                  \
    MEMBER(yara_sets)                                                                                        \
    MEMBER(yara_set_count)                                                                                   \
    MEMBER(yara_tags)                                                                                        \
    MEMBER(yara_tag_count)                                                                                   \
    MEMBER(yara_techniques)                                                                                  \
    MEMBER(yara_technique_count)                                                                             \
    MEMBER(yara_id)                                                                                          \
    MEMBER(yara_description)                                                                                 \
    MEMBER(yara_reference)                                                                                   \
    MEMBER(yara_severity)                                                                                    \
    MEMBER(yara_view)                                                                                        \
    MEMBER(yara_part)                                                                                        \
    MEMBER(scan_incomplete)                                                                                  \
    MEMBER(quarantine)                                                                                       \
    MEMBER(has_quarantine_sha256)                                                                            \
    MEMBER(quarantine_sha256)

#define MEMBERS_OF_SHADOWS(MEMBER)                                                                           \
    MEMBER(shadow_policy)                                                                                    \
    MEMBER(shadow_decision)                                                                                  \
    MEMBER(shadow_rule)                                                                                      \
    MEMBER(shadow_location)                                                                                  \
    MEMBER(shadow_reason)

/* Not compared: told as long as it is one connection's (repeats_connection() has them all). */
#define MEMBERS_OF_CONNECTIONS(MEMBER)                                                                       \
    MEMBER(session_id)                                                                                       \
    MEMBER(client_port)                                                                                      \
    MEMBER(server_ip)                                                                                        \
    MEMBER(server_port)                                                                                      \
    MEMBER(tls_resumed)                                                                                      \
    MEMBER(tls_version)                                                                                      \
    MEMBER(tls_cipher)                                                                                       \
    MEMBER(tls_server_name)                                                                                  \
    MEMBER(roles)                                                                                            \
    MEMBER(role_count)                                                                                       \
    MEMBER(mqtt_version)                                                                                     \
    MEMBER(has_connect)                                                                                      \
    MEMBER(clean_start)                                                                                      \
    MEMBER(keep_alive)

#define MEMBER(member) memcpy(&kept->member, &event->member, sizeof(kept->member));

static bool counts_payload(uint8_t kind, enum audit_disposition disposition)
{
    return (kind & KEY_TOPIC) != 0 && (kind & KEY_SHADOW) == 0 &&
           (disposition == AUDIT_MONITORED || disposition == AUDIT_INFORMED);
}

bool repeats_compares_topic(enum audit_action action)
{
    return (kinds[action] & KEY_TOPIC) != 0;
}

bool repeats_compares_payload(enum audit_action action, enum audit_disposition disposition)
{
    return counts_payload(kinds[action], disposition);
}

/* What is compared of an event of that kind, which both who tells and who compares have at hand. */
#define MEMBERS_COMPARED(DO)                                                                                 \
    MEMBERS_OF_ALL(DO)                                                                                       \
    if (kind & KEY_TOPIC) {                                                                                  \
        MEMBERS_OF_TOPICS(DO)                                                                                \
    }                                                                                                        \
    if (counts_payload(kind, event->disposition)) {                                                          \
        MEMBERS_OF_PAYLOADS(DO)                                                                              \
    }                                                                                                        \
    if (kind & KEY_MATCH) {                                                                                  \
        MEMBERS_OF_MATCHES(DO)                                                                               \
    }                                                                                                        \
    if (kind & KEY_SHADOW) {                                                                                 \
        MEMBERS_OF_SHADOWS(DO)                                                                               \
    }                                                                                                        \
    if (kind & KEY_CLIENT) {                                                                                 \
        DO(client_id)                                                                                        \
    }                                                                                                        \
    if (kind & KEY_NAME) {                                                                                   \
        DO(username)                                                                                         \
    }

static void keep_compared(struct audit_event *kept, const struct audit_event *event)
{
    uint8_t kind = kinds[event->action];

    MEMBERS_COMPARED(MEMBER)
}

static void keep_connection(struct audit_event *kept, const struct audit_event *event)
{
    uint8_t kind = kinds[event->action];

    MEMBERS_OF_CONNECTIONS(MEMBER)
    if ((kind & KEY_CLIENT) == 0) {
        MEMBER(client_id)
    }
    if ((kind & KEY_NAME) == 0) {
        MEMBER(username)
    }
}

#undef MEMBER

/* ---- what is alike ---- */

/* Its length, as much of it as is kept, and of a longer one a hash of all. */
static uint8_t *put_bytes(uint8_t *out, struct view text, size_t most)
{
    size_t kept = text.length < most ? text.length : most;
    uint64_t whole;

    memcpy(out, &text.length, sizeof(text.length));
    out += sizeof(text.length);
    if (kept > 0)
        memcpy(out, text.data, kept);
    out += kept;
    if (kept == text.length)
        return out;
    whole = hash_bytes(text);
    memcpy(out, &whole, sizeof(whole));
    return out + sizeof(whole);
}

static uint8_t *put_text(uint8_t *out, struct view text)
{
    return put_bytes(out, text, AUDIT_FIELD_MAX);
}

static uint8_t *put_list(uint8_t *out, const struct view *texts)
{
    for (size_t i = 0; i < AUDIT_LIST_MAX; i++)
        out = put_bytes(out, texts[i], REPEATS_KEY_ITEM);
    return out;
}

static uint8_t *put_hash(uint8_t *out, const uint8_t *hash)
{
    memcpy(out, hash, 32);
    return out + 32;
}

static uint8_t *put_number(uint8_t *out, uint64_t number)
{
    memcpy(out, &number, sizeof(number));
    return out + sizeof(number);
}

#define PUT(member)                                                                                          \
    at = _Generic(event->member, struct view                                                                 \
                  : put_text, const struct view *                                                            \
                  : put_list, const uint8_t *                                                                \
                  : put_hash, default                                                                        \
                  : put_number)(at, event->member);

size_t repeats_key(const struct audit_event *event, uint8_t out[REPEATS_KEY_MAX], uint64_t *hash)
{
    uint8_t kind = kinds[event->action], *at = out;

    if (kind == 0)
        return 0;
    MEMBERS_COMPARED(PUT)
    assert((size_t)(at - out) <= REPEATS_KEY_MAX);
    *hash = hash_bytes(view_of(out, (size_t)(at - out)));
    return (size_t)(at - out);
}

#undef PUT

/* Of what was hashed before and one member more. */
static uint64_t hash_more(uint64_t before, const void *bytes, size_t length)
{
    const uint64_t words[2] = {before, hash_bytes(view_of(bytes, length))};

    return hash_bytes(view_of((const uint8_t *)words, sizeof(words)));
}

static uint64_t hash_texts(uint64_t before, const struct view *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        before = hash_more(before, &texts[i].length, sizeof(texts[i].length));
        if (texts[i].length > 0)
            before = hash_more(before, texts[i].data, texts[i].length);
    }
    return before;
}

/* The members of connections, for each event of a flood: so not by way of an encoding. */
uint64_t repeats_connection(const struct audit_event *event)
{
    const struct view texts[] = {event->session_id, event->server_ip, event->tls_version, event->tls_cipher,
        event->tls_server_name, event->mqtt_version, event->client_id, event->username};
    const uint64_t numbers[] = {event->client_port, event->server_port, event->tls_resumed, event->role_count,
        event->has_connect, event->clean_start, event->keep_alive};
    uint64_t hash = hash_more(0, numbers, sizeof(numbers));

    return hash_texts(
        hash_texts(hash, texts, sizeof(texts) / sizeof(texts[0])), event->roles, event->role_count);
}

struct audit_event repeats_kept(const struct audit_event *event, bool connection)
{
    struct audit_event kept = {0};

    keep_compared(&kept, event);
    if (connection)
        keep_connection(&kept, event);
    return kept;
}

/* ---- what fits a slot ---- */

/* Texts with a larger cap are cut where an event is too long for a slot. */
#define LONG_CAP 128
#define CUT_MOST 256 /* bytes that a text is cut to first, and in the end */
#define CUT_LEAST 24
#define MARK "\xe2\x80\xa6" /* U+2026, as where a text is cut when it is rendered */

/* Cuts text to limit bytes with the mark, at the start of a character; where it is built is *space. */
static void cut_text(struct view *text, size_t limit, uint8_t **space)
{
    size_t length = limit - (sizeof(MARK) - 1);

    if (text->length <= limit)
        return;
    while (length > 0 && (text->data[length] & 0xc0) == 0x80)
        length--;
    memcpy(*space, text->data, length);
    memcpy(*space + length, MARK, sizeof(MARK) - 1);
    *text = view_of(*space, length + sizeof(MARK) - 1);
    *space += limit;
}

static void cut_list(struct view *texts, size_t limit, uint8_t **space)
{
    for (size_t i = 0; i < AUDIT_LIST_MAX; i++)
        cut_text(&texts[i], limit, space);
}

#define CUT_TEXT(member, cap)                                                                                \
    if ((cap) > LONG_CAP)                                                                                    \
        cut_text(&event->member, limit, &space);
#define CUT_LIST(member, cap) cut_list(event->member, limit, &space);
#define CUT_ACTION(member, cap)
#define CUT_REASON(member, cap)
#define CUT_DISPOSITION(member, cap)
#define CUT_FLAG(member, cap)
#define CUT_U8(member, cap)
#define CUT_U16(member, cap)
#define CUT_U64(member, cap)
#define CUT_HASH(member, cap)

/* space: CUT_SPACE bytes, which the event then points into. */
static void cut_texts(struct audit_event *event, size_t limit, uint8_t *space)
{
#define FIELD(id, kind, member, cap) CUT_##kind(member, cap)
    AUDIT_FIELDS(FIELD)
#undef FIELD
}

enum {
    TEXTS_TEXT = 1,
    TEXTS_LIST = AUDIT_LIST_MAX,
    TEXTS_ACTION = 0,
    TEXTS_REASON = 0,
    TEXTS_DISPOSITION = 0,
    TEXTS_FLAG = 0,
    TEXTS_U8 = 0,
    TEXTS_U16 = 0,
    TEXTS_U64 = 0,
    TEXTS_HASH = 0,
};
#define FIELD(id, kind, member, cap) +(size_t)TEXTS_##kind *CUT_MOST
#define CUT_SPACE (0 AUDIT_FIELDS(FIELD))

/* The longest that a field is when its texts are cut to the least. Of lists two are left: rules and sets. */
enum {
    LEAST_ACTION = 34,
    LEAST_REASON = 9,
    LEAST_DISPOSITION = 34,
    LEAST_FLAG = 1,
    LEAST_U8 = 2,
    LEAST_U16 = 3,
    LEAST_U64 = 9,
    LEAST_HASH = 33,
    LEAST_TEXT = 3,
    LEAST_LIST = 0,
    LEAST_LISTS = 2 * (2 + AUDIT_LIST_MAX * (2 + CUT_LEAST)),
};
#define LEAST(id, kind, member, cap)                                                                         \
    +(size_t)LEAST_##kind + (TEXTS_##kind == 1 ? ((cap) > LONG_CAP ? CUT_LEAST : (cap) + 1) : 0)
_Static_assert(1 + LEAST_LISTS AUDIT_FIELDS(LEAST) <= sizeof(((struct repeats_slot *)0)->record),
    "any event fits a slot when it is cut");
#undef LEAST

/* What nobody searches for in the event that tells of many: the first one had it. */
static void drop_optional(struct audit_event *event)
{
    const struct view none = {NULL, 0};

    event->payload_excerpt = event->nearest = event->tls_server_name = none;
    event->tls_subject = event->tls_issuer = event->tls_serial = none; /* the fingerprint stays */
    event->yara_description = event->yara_reference = none;
    event->yara_tag_count = event->yara_technique_count = event->role_count = 0;
}

size_t repeats_record(const struct audit_event *event, uint8_t out[AUDIT_EVENT_MAX], size_t room)
{
    struct audit_event kept = repeats_kept(event, true), shorter;
    size_t length = audit_event_encode(&kept, out), limit = CUT_MOST;
    uint8_t *space;

    if (length <= room)
        return length;
    drop_optional(&kept);
    space = memory_calloc(1, CUT_SPACE);
    length = audit_event_encode(&kept, out);
    for (; length > room; limit = limit / 2 < CUT_LEAST ? CUT_LEAST : limit / 2) {
        shorter = kept;
        cut_texts(&shorter, limit, space);
        length = audit_event_encode(&shorter, out);
        assert(length <= room || limit > CUT_LEAST);
    }
    free(space);
    return length;
}
#undef FIELD
