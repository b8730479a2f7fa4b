/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the codec share; nobody else includes it. Decoders inside the codec answer with a fault,
 * a row of fault.def; only the public functions turn it into a struct mqtt_error. */
#ifndef MQWARD_PROXY_MQTT_CODEC_H
#define MQWARD_PROXY_MQTT_CODEC_H

#include "proxy/mqtt/mqtt.h"

#define CODEC_STRING_MAXIMUM 65535u     /* bytes of a string or of binary data */
#define CODEC_VARINT_MAXIMUM 268435455u /* the largest variable byte integer */

enum codec_fault {
    FAULT_none,
#define FAULT(identifier, reason, statement, text) FAULT_##identifier,
#include "proxy/mqtt/fault.def"
#undef FAULT
    FAULT_COUNT
};

/* Fills *error (may be NULL) from the fault's row and returns MQTT_BAD. */
enum mqtt_result codec_report(enum codec_fault fault, struct mqtt_error *error) __attribute__((cold));

/* What a decoder has to know besides the bytes. */
struct codec_context {
    enum mqtt_direction direction;
    enum mqtt_version version;
    bool refuse_control_characters;
};

/* ---- reading ---- */

/* The bytes of a packet that are not read yet. */
struct codec_reader {
    const uint8_t *at;
    const uint8_t *end;
};

static inline struct codec_reader codec_reader_of(struct view bytes)
{
    return (struct codec_reader){bytes.data, bytes.length == 0 ? bytes.data : bytes.data + bytes.length};
}

static inline size_t codec_remaining(const struct codec_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The functions below take a field from the reader; false when it would reach beyond the end. */
static inline bool codec_take_byte(struct codec_reader *reader, uint8_t *out)
{
    if (codec_remaining(reader) < 1) {
        return false;
    }
    *out = *reader->at++;
    return true;
}

static inline bool codec_take_u16(struct codec_reader *reader, uint16_t *out)
{
    if (codec_remaining(reader) < 2) {
        return false;
    }
    *out = (uint16_t)(reader->at[0] << 8 | reader->at[1]);
    reader->at += 2;
    return true;
}

static inline bool codec_take_bytes(struct codec_reader *reader, size_t length, struct view *out)
{
    if (codec_remaining(reader) < length) {
        return false;
    }
    *out = (struct view){reader->at, length};
    reader->at += length;
    return true;
}

/* A string or binary data: two bytes of length, then the bytes. The text is not checked. */
static inline bool codec_take_string(struct codec_reader *reader, struct view *out)
{
    uint16_t length;
    return codec_take_u16(reader, &length) && codec_take_bytes(reader, length, out);
}

/* A variable byte integer. FAULT_truncated when it has no last byte: a prefix is never taken
 * for a finished number. */
enum codec_fault codec_take_varint(struct codec_reader *reader, uint32_t *out);

/* ---- text.c ---- */

/* A UTF-8 Encoded String: well-formed, no U+0000. */
enum codec_fault codec_check_string(const struct codec_context *context, struct view string);
/* A topic name that is not empty; PUBLISH asks only when codec_is_plain() did not settle it. */
enum codec_fault codec_check_name(struct view name, bool refuse_control_characters);
/* A topic filter, shared subscriptions included; *shared (may be NULL) says whether it is one. */
enum codec_fault codec_check_filter(const struct codec_context *context, struct view filter, bool *shared);

/* ---- property.c ---- */

/* The wire types of section 2.2.2.2. */
enum codec_property_type {
    CODEC_UNKNOWN,
    CODEC_BYTE,
    CODEC_TWO_BYTES,
    CODEC_FOUR_BYTES,
    CODEC_VARINT,
    CODEC_STRING,
    CODEC_BINARY,
    CODEC_PAIR
};
/* CODEC_UNKNOWN for an identifier that is not one. */
enum codec_property_type codec_property_type(enum mqtt_property id);

/* Where properties stand: in a packet, or in the will of CONNECT. Bits of masks. */
#define CODEC_IN(type) (1u << (type))
#define CODEC_IN_WILL 1u

/* Takes the Property Length and the properties behind it, each checked for type, place, multiplicity and
 * range. */
enum codec_fault codec_take_properties(const struct codec_context *context, struct codec_reader *reader,
    unsigned place, struct mqtt_properties *out);

/* ---- code.c ---- */

/* Whether code is one that this packet type (5.0) may carry in this direction. */
bool codec_reason_allowed(enum mqtt_type type, enum mqtt_direction direction, uint8_t code);

/* ---- decode_*.c: one packet's body each, from behind the fixed header to its very end ---- */

typedef enum codec_fault codec_decode(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet);

codec_decode codec_decode_connect;
codec_decode codec_decode_publish;
codec_decode codec_decode_subscribe; /* and UNSUBSCRIBE */

/* The packet's bytes behind the fixed header. */
static inline struct codec_reader codec_body(const struct mqtt_frame *frame)
{
    return (struct codec_reader){
        frame->bytes.data + frame->header_length, frame->bytes.data + frame->bytes.length};
}

static inline struct codec_context codec_context_of(
    enum mqtt_direction direction, enum mqtt_version version, const struct mqtt_options *options)
{
    return (struct codec_context){direction, version, options != NULL && options->refuse_control_characters};
}

#endif
