/* SPDX-License-Identifier: Apache-2.0 */
/* Packets as lines of text, for scenarios: "PUBLISH dt/a/x qos=1 id=7 payload=hi". The notation is described
 * in tests/vectors/session/README.md. */
#ifndef MQWARD_TESTS_UNIT_SESSION_PACKET_TEXT_H
#define MQWARD_TESTS_UNIT_SESSION_PACKET_TEXT_H

#include "base/buffer.h"
#include "proxy/mqtt/mqtt.h"

/* Appends the bytes of the packet that line describes. False if it describes none; error says why (a static
 * phrase). */
bool packet_text_parse(const char *line, enum mqtt_version version, struct buffer *out, const char **error);
/* Appends the line that describes a packet ("?" and hexadecimal if the bytes are not one), without a NUL. */
void packet_text_print(
    struct view bytes, enum mqtt_direction direction, enum mqtt_version version, struct buffer *out);

#endif
