/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing: the few MQTT packets of the benchmark, written and read by sink_client.c and load_client.c.
 */
#include "wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define VARINT_MAX 268435455

enum wire_result wire_varint_read(const uint8_t *data, size_t length, size_t *value, size_t *used)
{
    size_t result = 0;

    for (size_t i = 0; i < 4; i++) {
        if (i == length)
            return WIRE_MORE;
        result |= (size_t)(data[i] & 0x7f) << (7 * i);
        if (data[i] < 0x80) {
            *value = result;
            *used = i + 1;
            return WIRE_OK;
        }
    }
    return WIRE_BAD;
}

static size_t write_varint(uint8_t *out, size_t value)
{
    size_t used = 0;

    assert(value <= VARINT_MAX);
    do {
        out[used] = (uint8_t)(value & 0x7f);
        value >>= 7;
        if (value > 0)
            out[used] |= 0x80;
        used++;
    } while (value > 0);
    return used;
}

void wire_write_number(uint8_t *out, unsigned number)
{
    for (int i = WIRE_NUMBER_DIGITS - 1; i >= 0; i--) {
        out[i] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

size_t wire_write_connect(
    uint8_t out[WIRE_CONNECT_MAX], enum wire_version version, const char *prefix, unsigned number)
{
    static const uint8_t head[] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T'};
    size_t prefix_length = strlen(prefix);
    size_t end = sizeof(head);

    assert(sizeof(head) + 8 + prefix_length + WIRE_NUMBER_DIGITS <= WIRE_CONNECT_MAX);
    memcpy(out, head, sizeof(head));
    out[end++] = (uint8_t)version;
    out[end++] = 0x02; /* clean start */
    out[end++] = 0;    /* keep alive 0: the generator never pings, so no timer of a peer may close it */
    out[end++] = 0;
    if (version == WIRE_V5)
        out[end++] = 0; /* no properties */
    wire_write_u16(out + end, (unsigned)prefix_length + WIRE_NUMBER_DIGITS);
    memcpy(out + end + 2, prefix, prefix_length);
    wire_write_number(out + end + 2 + prefix_length, number);
    end += 2 + prefix_length + WIRE_NUMBER_DIGITS;
    out[1] = (uint8_t)(end - 2);
    return end;
}

size_t wire_write_subscribe(uint8_t out[WIRE_SUBSCRIBE_MAX], enum wire_version version, unsigned qos,
    const uint8_t *filter, size_t length)
{
    size_t end = 1;

    assert(length <= WIRE_TOPIC_MAX);
    out[0] = WIRE_SUBSCRIBE << 4 | 2;
    end += write_varint(out + 1, 2 + (version == WIRE_V5 ? 1U : 0U) + 2 + length + 1);
    wire_write_u16(out + end, 1);
    end += 2;
    if (version == WIRE_V5)
        out[end++] = 0; /* no properties */
    wire_write_u16(out + end, (unsigned)length);
    memcpy(out + end + 2, filter, length);
    end += 2 + length;
    out[end++] = (uint8_t)qos;
    return end;
}

/* What devices send, repeated up to the size: payloads of one letter or of base64 would be a scanner's worst.
 */
static void write_payload(uint8_t *out, size_t size)
{
    static const char text[] = "{\"temp\":21.57,\"hum\":40.2,\"pump\":\"on\",\"rpm\":1480,\"id\":\"m-17\"}\n";

    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)text[i % (sizeof(text) - 1)];
}

/* Writes the topic without its length; the offsets in publish are relative to the topic's start until the
 * caller shifts them. Returns its length. */
static size_t write_topic(uint8_t *out, const struct wire_publish_form *form, struct wire_publish *publish)
{
    size_t end = 0;

    for (const char *c = form->topic; *c != '\0'; c++) {
        if (*c != '%' || publish->number_at != 0) {
            out[end++] = (uint8_t)*c;
            continue;
        }
        publish->number_at = end + 1; /* plus one: 0 means that there is none */
        wire_write_number(out + end, 0);
        end += WIRE_NUMBER_DIGITS;
    }
    if (form->many_topics) {
        out[end++] = '/';
        publish->topic_at = end + 1;
        wire_write_number(out + end, 0);
        end += WIRE_NUMBER_DIGITS;
    }
    return end;
}

bool wire_publish_init(struct wire_publish *publish, const struct wire_publish_form *form)
{
    uint8_t topic[WIRE_TOPIC_MAX + 3 * WIRE_NUMBER_DIGITS];
    size_t topic_length;
    size_t body;
    size_t end;

    *publish = (struct wire_publish){0};
    if (form->topic[0] == '\0' || strlen(form->topic) > WIRE_TOPIC_MAX)
        return false;
    topic_length = write_topic(topic, form, publish);
    body = 2 + topic_length + (form->qos > 0 ? 2 : 0) + (form->version == WIRE_V5 ? 1 : 0) +
           form->prefix_size + form->payload_size;
    publish->bytes = malloc(body + 5);
    if (publish->bytes == NULL)
        abort();
    publish->bytes[0] = (uint8_t)(WIRE_PUBLISH << 4 | form->qos << 1);
    end = 1 + write_varint(publish->bytes + 1, body);
    wire_write_u16(publish->bytes + end, (unsigned)topic_length);
    end += 2;
    memcpy(publish->bytes + end, topic, topic_length);
    publish->topic_start = end;
    publish->topic_length = topic_length;
    publish->number_at += publish->number_at > 0 ? end - 1 : 0;
    publish->topic_at += publish->topic_at > 0 ? end - 1 : 0;
    end += topic_length;
    if (form->qos > 0) {
        publish->packet_id_at = end;
        end += 2;
    }
    if (form->version == WIRE_V5)
        publish->bytes[end++] = 0; /* no properties */
    publish->payload_at = end;
    memset(publish->bytes + end, 0, form->prefix_size);
    write_payload(publish->bytes + end + form->prefix_size, form->payload_size);
    publish->length = end + form->prefix_size + form->payload_size;
    return true;
}
