/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing: the few MQTT packets of the benchmark, written and read by sink_client.c and load_client.c.
 */
#include "wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC_MAX 1000
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

size_t wire_write_connect(uint8_t out[WIRE_CONNECT_MAX], enum wire_version version, unsigned number)
{
    static const uint8_t head[] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T'};
    size_t end = sizeof(head);

    memcpy(out, head, sizeof(head));
    out[end++] = (uint8_t)version;
    out[end++] = 0x02; /* clean start */
    out[end++] = 0;    /* keep alive 0: the generator never pings, so no timer of a peer may close it */
    out[end++] = 0;
    if (version == WIRE_V5)
        out[end++] = 0; /* no properties */
    wire_write_u16(out + end, WIRE_NUMBER_DIGITS);
    wire_write_number(out + end + 2, number);
    end += 2 + WIRE_NUMBER_DIGITS;
    assert(end <= WIRE_CONNECT_MAX);
    out[1] = (uint8_t)(end - 2);
    return end;
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
    uint8_t topic[TOPIC_MAX + 3 * WIRE_NUMBER_DIGITS];
    size_t topic_length;
    size_t body;
    size_t end;

    *publish = (struct wire_publish){NULL, 0, 0, 0, 0};
    if (form->topic[0] == '\0' || strlen(form->topic) > TOPIC_MAX)
        return false;
    topic_length = write_topic(topic, form, publish);
    body =
        2 + topic_length + (form->qos > 0 ? 2 : 0) + (form->version == WIRE_V5 ? 1 : 0) + form->payload_size;
    publish->bytes = malloc(body + 5);
    if (publish->bytes == NULL)
        abort();
    publish->bytes[0] = (uint8_t)(WIRE_PUBLISH << 4 | form->qos << 1);
    end = 1 + write_varint(publish->bytes + 1, body);
    wire_write_u16(publish->bytes + end, (unsigned)topic_length);
    end += 2;
    memcpy(publish->bytes + end, topic, topic_length);
    publish->number_at += publish->number_at > 0 ? end - 1 : 0;
    publish->topic_at += publish->topic_at > 0 ? end - 1 : 0;
    end += topic_length;
    if (form->qos > 0) {
        publish->packet_id_at = end;
        end += 2;
    }
    if (form->version == WIRE_V5)
        publish->bytes[end++] = 0; /* no properties */
    for (size_t i = 0; i < form->payload_size; i++)
        publish->bytes[end + i] = (uint8_t)('a' + i % 26);
    publish->length = end + form->payload_size;
    return true;
}
