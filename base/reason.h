/* SPDX-License-Identifier: Apache-2.0 */
/* The reasons of reason.def. */
#ifndef MQWARD_BASE_REASON_H
#define MQWARD_BASE_REASON_H

#include <stdint.h>

enum reason {
#define REASON(identifier, code, v5, v3, severity, text) REASON_##identifier,
#include "base/reason.def"
#undef REASON
    REASON_COUNT
};

struct reason_info {
    const char *name; /* the identifier: event.reason */
    const char *code; /* event.code */
    uint8_t v5;       /* MQTT 5.0 reason code */
    uint8_t v3;       /* MQTT 3.x CONNACK return code, 0 = none */
    uint8_t severity;
    const char *text;
};

/* The row of a reason; asserts that it is one. */
const struct reason_info *reason_info(enum reason reason);

#endif
