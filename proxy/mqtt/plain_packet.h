/* SPDX-License-Identifier: Apache-2.0 */
/* The plainest packets that carry messages: a PUBLISH (section 3.3) that is whole, of QoS 0 or 1, neither
 * retained nor sent again, its topic in full, without properties; and a PUBACK (section 3.4) that says no
 * more than yes. They are what telemetry mostly is, and can be told from all others with a few comparisons.
 * For the runs of proxy/session/session_run.c; mqtt_frame_next() and mqtt_decode() know all the others, and
 * take these just as well. */
#ifndef MQWARD_PROXY_MQTT_PLAIN_PACKET_H
#define MQWARD_PROXY_MQTT_PLAIN_PACKET_H

#include "proxy/mqtt/mqtt.h"

struct mqtt_plain_publish {
    size_t size;        /* of the packet, fixed header included */
    struct view topic;  /* not empty; nothing is said of its characters */
    size_t payload;     /* bytes */
    uint16_t packet_id; /* 0: QoS 0 */
};

/* Worth a closer look? */
static inline bool mqtt_may_be_plain(struct view input)
{
    return input.length > 0 &&
           (input.data[0] == (MQTT_PUBLISH << 4) || input.data[0] == (MQTT_PUBLISH << 4 | 2) ||
               input.data[0] == (MQTT_PUBACK << 4));
}

/* qos: 0 or 1, a constant, so that each has code of its own. */
static inline __attribute__((always_inline)) bool mqtt_plain_publish_of(
    struct view input, enum mqtt_version version, int qos, struct mqtt_plain_publish *publish)
{
    const uint8_t *data = input.data;
    size_t header = 2, length = data[1], name;
    size_t others = (version == MQTT_V5 ? 3u : 2u) + (qos > 0 ? 2u : 0u); /* beside topic and payload */

    if (length >= 0x80) {
        if (data[2] == 0 || data[2] >= 0x80) /* longer than two bytes, or than it need be */
            return false;
        length = (length & 0x7f) | (size_t)data[2] << 7;
        header = 3;
    }
    if (length < others || header + length > input.length)
        return false;
    name = (size_t)data[header] << 8 | data[header + 1];
    if (name == 0 || name > length - others)
        return false;
    publish->size = header + length;
    publish->topic = view_of(data + header + 2, name);
    publish->payload = length - others - name;
    data += header + 2 + name;
    publish->packet_id = qos == 0 ? 0 : (uint16_t)((unsigned)data[0] << 8 | data[1]);
    if (qos > 0 && publish->packet_id == 0)
        return false;
    return version != MQTT_V5 || data[qos > 0 ? 2 : 0] == 0;
}

/* Is there one at the start of input? False: something else, or not all of it, or faulty. Reads nothing
 * beyond input. */
static inline bool mqtt_plain_publish(
    struct view input, enum mqtt_version version, struct mqtt_plain_publish *publish)
{
    if (input.length < 5)
        return false;
    if (input.data[0] == MQTT_PUBLISH << 4)
        return mqtt_plain_publish_of(input, version, 0, publish);
    return input.data[0] == (MQTT_PUBLISH << 4 | 2) && mqtt_plain_publish_of(input, version, 1, publish);
}

#define MQTT_PLAIN_PUBACK_SIZE 4

/* The same for a PUBACK: its packet id; 0: there is none. */
static inline uint16_t mqtt_plain_puback(struct view input)
{
    return input.length >= MQTT_PLAIN_PUBACK_SIZE && input.data[0] == MQTT_PUBACK << 4 && input.data[1] == 2
               ? (uint16_t)((unsigned)input.data[2] << 8 | input.data[3])
               : 0;
}

#endif
