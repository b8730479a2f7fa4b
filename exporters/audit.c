/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the encoding of an event in a ring: a version byte, then the present fields in ascending order, each
 * an id byte and a value as its kind says. Numbers are little-endian. Actions, reasons and dispositions are
 * kept by name, so that a later version with more rows still reads what an earlier one left in its rings.
 *
 * Each event has exactly one encoding (no empty text, no zero, no order but one): what does not re-encode to
 * itself is damaged. Encoded by the workers, decoded by the exporter thread from files that a crash may have
 * damaged. */
#include "exporters/audit.h"

#include <assert.h>
#include <stddef.h>

#include "exporters/audit_fields.h"

#define AUDIT_VERSION 1
#define AUDIT_ABSENT SIZE_MAX
#define AUDIT_REASON_CODE_LENGTH 8
#define AUDIT_NAME_MAX 32

struct audit_field {
    uint8_t id;
    uint8_t kind;
    uint16_t offset;
    uint16_t cap;
};

/* One kind of member: its value is written after the id (audit_encode_<kind>(); AUDIT_ABSENT: not at all) and
 * read back (false: damaged). */
typedef bool audit_decode(const struct audit_field *field, struct view *rest, struct audit_event *event);

/* ---- the tables ---- */

static const struct audit_action_info audit_actions[AUDIT_ACTION_COUNT] = {
#define ACTION(identifier, name, kind, categories, types) {name, kind, categories, types},
    AUDIT_ACTIONS(ACTION)
#undef ACTION
};

static const char *const audit_dispositions[] = {
    [AUDIT_FORWARDED] = "forwarded",
    [AUDIT_REWRITTEN] = "rewritten",
    [AUDIT_REJECTED] = "rejected",
    [AUDIT_DROPPED] = "dropped",
    [AUDIT_CLOSED] = "closed",
    [AUDIT_INFORMED] = "informed",
    [AUDIT_MONITORED] = "monitored",
};
#define AUDIT_DISPOSITION_COUNT (sizeof(audit_dispositions) / sizeof(audit_dispositions[0]))

const struct audit_action_info *audit_action_info(enum audit_action action)
{
    assert((unsigned)action < AUDIT_ACTION_COUNT);
    return &audit_actions[action];
}

const char *audit_action_name(enum audit_action action)
{
    return audit_action_info(action)->name;
}

const char *audit_disposition_name(enum audit_disposition disposition)
{
    assert((unsigned)disposition < AUDIT_DISPOSITION_COUNT);
    return audit_dispositions[disposition];
}

/* ---- primitives ---- */

static size_t audit_put_number(uint8_t *out, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++)
        out[i] = (uint8_t)(value >> (8 * i));
    return width;
}

static bool audit_take_number(struct view *rest, size_t width, uint64_t *value)
{
    if (rest->length < width)
        return false;
    *value = 0;
    for (size_t i = 0; i < width; i++)
        *value |= (uint64_t)rest->data[i] << (8 * i);
    *rest = view_skip(*rest, width);
    return true;
}

/* A text longer than its cap is cut to one byte more than the cap: that byte is the mark of the cut, and the
 * renderer, which shows at most the cap, ends the text with U+2026. */
static size_t audit_put_text(uint8_t *out, struct view text, size_t cap)
{
    size_t length = text.length > cap ? cap + 1 : text.length;

    assert(text.data != NULL || text.length == 0);
    audit_put_number(out, length, 2);
    if (length > 0)
        memcpy(out + 2, text.data, length);
    return 2 + length;
}

static bool audit_take_text(struct view *rest, size_t cap, struct view *text)
{
    uint64_t length;

    if (!audit_take_number(rest, 2, &length) || length == 0 || length > cap + 1 || length > rest->length)
        return false;
    *text = view_of(rest->data, length);
    *rest = view_skip(*rest, length);
    return true;
}

static size_t audit_put_name(uint8_t *out, const char *name)
{
    size_t length = strlen(name);

    assert(length > 0 && length <= AUDIT_NAME_MAX);
    out[0] = (uint8_t)length;
    memcpy(out + 1, name, length);
    return 1 + length;
}

static bool audit_take_name(struct view *rest, struct view *name)
{
    uint64_t length;

    if (!audit_take_number(rest, 1, &length) || length > rest->length)
        return false;
    *name = view_of(rest->data, length);
    *rest = view_skip(*rest, length);
    return true;
}

/* ---- kinds ---- */

/* For a row that the compiler knows. */
#define AUDIT_INLINE __attribute__((always_inline)) static inline

static void *audit_member(const struct audit_field *field, struct audit_event *event)
{
    return (uint8_t *)event + field->offset;
}

static const void *audit_member_const(const struct audit_field *field, const struct audit_event *event)
{
    return (const uint8_t *)event + field->offset;
}

AUDIT_INLINE size_t audit_encode_text(
    const struct audit_field *field, const struct audit_event *event, uint8_t *out)
{
    const struct view *text = audit_member_const(field, event);

    return text->length == 0 ? AUDIT_ABSENT : audit_put_text(out, *text, field->cap);
}

static bool audit_decode_text(const struct audit_field *field, struct view *rest, struct audit_event *event)
{
    return audit_take_text(rest, field->cap, audit_member(field, event));
}

AUDIT_INLINE size_t audit_encode_flag(
    const struct audit_field *field, const struct audit_event *event, uint8_t *out)
{
    const bool *flag = audit_member_const(field, event);

    (void)out;
    return *flag ? 0 : AUDIT_ABSENT;
}

static bool audit_decode_flag(const struct audit_field *field, struct view *rest, struct audit_event *event)
{
    bool *flag = audit_member(field, event);

    (void)rest;
    *flag = true;
    return true;
}

#define AUDIT_NUMBER_KIND(width, type)                                                                       \
    AUDIT_INLINE size_t audit_encode_u##width(                                                               \
        const struct audit_field *field, const struct audit_event *event, uint8_t *out)                      \
    {                                                                                                        \
        const type *number = audit_member_const(field, event);                                               \
        return *number == 0 ? AUDIT_ABSENT : audit_put_number(out, *number, sizeof(type));                   \
    }                                                                                                        \
    static bool audit_decode_u##width(                                                                       \
        const struct audit_field *field, struct view *rest, struct audit_event *event)                       \
    {                                                                                                        \
        uint64_t value;                                                                                      \
        if (!audit_take_number(rest, sizeof(type), &value) || value == 0)                                    \
            return false;                                                                                    \
        *(type *)audit_member(field, event) = (type)value;                                                   \
        return true;                                                                                         \
    }

AUDIT_NUMBER_KIND(8, uint8_t)
AUDIT_NUMBER_KIND(16, uint16_t)
AUDIT_NUMBER_KIND(64, uint64_t)

/* A hash; whether there is one is the byte before it. */
#define AUDIT_HASH_BYTES 32

#define HASH(member, present)                                                                                \
    _Static_assert(offsetof(struct audit_event, present) + 1 == offsetof(struct audit_event, member) &&      \
                       sizeof(((struct audit_event *)0)->present) == 1,                                      \
        #present " is the byte before " #member);
HASH(payload_sha256, has_payload_hash)
HASH(quarantine_sha256, has_quarantine_sha256)
#undef HASH

static size_t audit_encode_hash(
    const struct audit_field *field, const struct audit_event *event, uint8_t *out)
{
    const uint8_t *hash = (const uint8_t *)event + field->offset;

    if (hash[-1] == 0)
        return AUDIT_ABSENT;
    memcpy(out, hash, AUDIT_HASH_BYTES);
    return AUDIT_HASH_BYTES;
}

static bool audit_decode_hash(const struct audit_field *field, struct view *rest, struct audit_event *event)
{
    uint8_t *hash = (uint8_t *)event + field->offset;

    if (rest->length < AUDIT_HASH_BYTES)
        return false;
    hash[-1] = 1;
    memcpy(hash, rest->data, AUDIT_HASH_BYTES);
    *rest = view_skip(*rest, AUDIT_HASH_BYTES);
    return true;
}

/* The views of a list; its count is the byte behind them. */
#define AUDIT_LIST_BYTES sizeof(struct view[AUDIT_LIST_MAX])

#define LIST(member, number)                                                                                 \
    _Static_assert(                                                                                          \
        offsetof(struct audit_event, number) == offsetof(struct audit_event, member) + AUDIT_LIST_BYTES,     \
        #number " must stand behind its list");
LIST(roles, role_count)
LIST(yara_rules, yara_rule_count)
LIST(yara_sets, yara_set_count)
LIST(yara_tags, yara_tag_count)
LIST(yara_techniques, yara_technique_count)
#undef LIST

static size_t audit_encode_list(
    const struct audit_field *field, const struct audit_event *event, uint8_t *out)
{
    const struct view *list = audit_member_const(field, event);
    uint8_t given = *((const uint8_t *)event + field->offset + AUDIT_LIST_BYTES), count = 0;
    size_t length = 1;

    assert(given <= AUDIT_LIST_MAX);
    for (uint8_t i = 0; i < given; i++) {
        if (list[i].length == 0)
            continue;
        length += audit_put_text(out + length, list[i], field->cap);
        count++;
    }
    out[0] = count;
    return count == 0 ? AUDIT_ABSENT : length;
}

static bool audit_decode_list(const struct audit_field *field, struct view *rest, struct audit_event *event)
{
    struct view *list = audit_member(field, event);
    uint64_t count;

    if (!audit_take_number(rest, 1, &count) || count == 0 || count > AUDIT_LIST_MAX)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!audit_take_text(rest, field->cap, &list[i]))
            return false;
    }
    *((uint8_t *)event + field->offset + AUDIT_LIST_BYTES) = (uint8_t)count;
    return true;
}

static size_t audit_encode_action(
    const struct audit_field *field, const struct audit_event *event, uint8_t *out)
{
    (void)field;
    return audit_put_name(out, audit_action_name(event->action));
}

static bool audit_decode_action(const struct audit_field *field, struct view *rest, struct audit_event *event)
{
    struct view name;

    (void)field;
    if (!audit_take_name(rest, &name))
        return false;
    for (unsigned i = 0; i < AUDIT_ACTION_COUNT; i++) {
        if (view_equal_string(name, audit_actions[i].name)) {
            event->action = (enum audit_action)i;
            return true;
        }
    }
    return false;
}

static size_t audit_encode_reason(
    const struct audit_field *field, const struct audit_event *event, uint8_t *out)
{
    const char *code = reason_info(event->reason)->code;

    (void)field;
    assert(strlen(code) == AUDIT_REASON_CODE_LENGTH);
    memcpy(out, code, AUDIT_REASON_CODE_LENGTH);
    return AUDIT_REASON_CODE_LENGTH;
}

static bool audit_decode_reason(const struct audit_field *field, struct view *rest, struct audit_event *event)
{
    (void)field;
    if (rest->length < AUDIT_REASON_CODE_LENGTH)
        return false;
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        if (memcmp(rest->data, reason_info((enum reason)i)->code, AUDIT_REASON_CODE_LENGTH) == 0) {
            event->reason = (enum reason)i;
            *rest = view_skip(*rest, AUDIT_REASON_CODE_LENGTH);
            return true;
        }
    }
    return false;
}

static size_t audit_encode_disposition(
    const struct audit_field *field, const struct audit_event *event, uint8_t *out)
{
    (void)field;
    return audit_put_name(out, audit_disposition_name(event->disposition));
}

static bool audit_decode_disposition(
    const struct audit_field *field, struct view *rest, struct audit_event *event)
{
    struct view name;

    (void)field;
    if (!audit_take_name(rest, &name))
        return false;
    for (unsigned i = 0; i < AUDIT_DISPOSITION_COUNT; i++) {
        if (view_equal_string(name, audit_dispositions[i])) {
            event->disposition = (enum audit_disposition)i;
            return true;
        }
    }
    return false;
}

/* KIND(name, encoder and decoder, size of the member, longest value for a cap) */
#define AUDIT_KINDS(KIND)                                                                                    \
    KIND(ACTION, action, sizeof(enum audit_action), 1 + AUDIT_NAME_MAX)                                      \
    KIND(REASON, reason, sizeof(enum reason), AUDIT_REASON_CODE_LENGTH)                                      \
    KIND(DISPOSITION, disposition, sizeof(enum audit_disposition), 1 + AUDIT_NAME_MAX)                       \
    KIND(TEXT, text, sizeof(struct view), 2 + 1)                                                             \
    KIND(FLAG, flag, sizeof(bool), 0)                                                                        \
    KIND(U8, u8, 1, 1)                                                                                       \
    KIND(U16, u16, 2, 2)                                                                                     \
    KIND(U64, u64, 8, 8)                                                                                     \
    KIND(HASH, hash, AUDIT_HASH_BYTES, AUDIT_HASH_BYTES)                                                     \
    KIND(LIST, list, AUDIT_LIST_BYTES, 1 + AUDIT_LIST_MAX * (2 + 1))

enum {
#define KIND(name, function, size, extra) AUDIT_KIND_##name,
    AUDIT_KINDS(KIND)
#undef KIND
};

/* Bytes of a member, bytes of an encoded value besides the text itself, and how often the cap counts. */
enum {
#define KIND(name, function, size, extra) AUDIT_SIZE_##name = (size), AUDIT_EXTRA_##name = (extra),
    AUDIT_KINDS(KIND)
#undef KIND
};

static audit_decode *const audit_decoders[] = {
#define KIND(name, function, size, extra) audit_decode_##function,
    AUDIT_KINDS(KIND)
#undef KIND
};

static const struct audit_field audit_fields[] = {
#define FIELD(id, kind, member, cap) {id, AUDIT_KIND_##kind, offsetof(struct audit_event, member), cap},
    AUDIT_FIELDS(FIELD)
#undef FIELD
};
#define AUDIT_FIELD_COUNT (sizeof(audit_fields) / sizeof(audit_fields[0]))

enum {
#define FIELD(id, kind, member, cap) AUDIT_ROW_##member,
    AUDIT_FIELDS(FIELD)
#undef FIELD
};
#define AUDIT_ROW(member) (&audit_fields[AUDIT_ROW_##member])

#define FIELD(id, kind, member, cap)                                                                         \
    _Static_assert(                                                                                          \
        sizeof(((struct audit_event *)0)->member) == (size_t)AUDIT_SIZE_##kind, #member " is no " #kind);    \
    _Static_assert((cap) <= AUDIT_FIELD_MAX, #member " has too large a cap");
AUDIT_FIELDS(FIELD)
#undef FIELD

/* Version, then each field with its id at its longest. */
#define FIELD(id, kind, member, cap)                                                                         \
    +1 + (size_t)AUDIT_EXTRA_##kind +                                                                        \
        (size_t)(cap) * (AUDIT_KIND_##kind == (int)AUDIT_KIND_LIST ? AUDIT_LIST_MAX : 1)
_Static_assert(1 AUDIT_FIELDS(FIELD) <= AUDIT_EVENT_MAX, "the longest event must fit AUDIT_EVENT_MAX");
#undef FIELD

/* ---- records ---- */

#define AUDIT_ENCODE_ACTION audit_encode_action
#define AUDIT_ENCODE_REASON audit_encode_reason
#define AUDIT_ENCODE_DISPOSITION audit_encode_disposition
#define AUDIT_ENCODE_TEXT audit_encode_text
#define AUDIT_ENCODE_FLAG audit_encode_flag
#define AUDIT_ENCODE_U8 audit_encode_u8
#define AUDIT_ENCODE_U16 audit_encode_u16
#define AUDIT_ENCODE_U64 audit_encode_u64
#define AUDIT_ENCODE_HASH audit_encode_hash
#define AUDIT_ENCODE_LIST audit_encode_list

static inline size_t audit_put_field(uint8_t *out, size_t length, uint8_t id, size_t value)
{
    if (value == AUDIT_ABSENT)
        return length;
    out[length] = id;
    return length + 1 + value;
}

/* Row by row in the code, not in a loop: most fields are absent, and an indirect call to find that out is
 * dearer than the rest. */
size_t audit_event_encode(const struct audit_event *event, uint8_t *out)
{
    size_t length = 0;

    out[length++] = AUDIT_VERSION;
#define FIELD(id, kind, member, cap)                                                                         \
    length =                                                                                                 \
        audit_put_field(out, length, id, AUDIT_ENCODE_##kind(AUDIT_ROW(member), event, out + length + 1));
    AUDIT_FIELDS(FIELD)
#undef FIELD
    assert(length <= AUDIT_EVENT_MAX);
    return length;
}

int audit_event_decode(struct view record, struct audit_event *event)
{
    size_t next = 0; /* fields ascend: no row is looked at twice */

    *event = (struct audit_event){0};
    if (record.length < 1 || record.length > AUDIT_EVENT_MAX || record.data[0] != AUDIT_VERSION)
        return -1;
    struct view rest = view_skip(record, 1);
    for (unsigned seen = 0; rest.length > 0; seen++) {
        uint8_t id = rest.data[0];
        rest = view_skip(rest, 1);
        while (next < AUDIT_FIELD_COUNT && audit_fields[next].id != id)
            next++;
        /* The first three rows (action, reason, disposition) are in every event. */
        if (next == AUDIT_FIELD_COUNT || (seen < 3 && next != seen))
            return -1;
        const struct audit_field *field = &audit_fields[next++];
        if (!audit_decoders[field->kind](field, &rest, event))
            return -1;
    }
    return next >= 3 ? 0 : -1;
}
