/* SPDX-License-Identifier: Apache-2.0 */
/* Reason codes of MQTT 5.0 (section 2.4 and the tables of each packet): which packet may carry which, from
 * which side. Called by the decoders. */
#include "proxy/mqtt/codec.h"

#define CONNACK CODEC_IN(MQTT_CONNACK)
#define PUBACKS (CODEC_IN(MQTT_PUBACK) | CODEC_IN(MQTT_PUBREC))
#define PUBRELS (CODEC_IN(MQTT_PUBREL) | CODEC_IN(MQTT_PUBCOMP))
#define SUBACK CODEC_IN(MQTT_SUBACK)
#define UNSUBACK CODEC_IN(MQTT_UNSUBACK)
#define DISCONNECT CODEC_IN(MQTT_DISCONNECT)
#define AUTH CODEC_IN(MQTT_AUTH)

/* Packet types by sender. */
struct code_rule {
    uint16_t client;
    uint16_t server;
};

static const struct code_rule rules[256] = {
    /* Success, normal disconnection, granted QoS 0 */
    [0x00] = {PUBACKS | PUBRELS | DISCONNECT,
        CONNACK | PUBACKS | PUBRELS | SUBACK | UNSUBACK | DISCONNECT | AUTH},
    [0x01] = {0, SUBACK},     /* granted QoS 1 */
    [0x02] = {0, SUBACK},     /* granted QoS 2 */
    [0x04] = {DISCONNECT, 0}, /* disconnect with Will Message */
    [0x10] = {0, PUBACKS},    /* no matching subscribers */
    [0x11] = {0, UNSUBACK},   /* no subscription existed */
    [0x18] = {AUTH, AUTH},    /* continue authentication */
    [0x19] = {AUTH, 0},       /* re-authenticate */
    [0x80] = {PUBACKS | DISCONNECT,
        CONNACK | PUBACKS | SUBACK | UNSUBACK | DISCONNECT}, /* unspecified error */
    [0x81] = {DISCONNECT, CONNACK | DISCONNECT},             /* malformed packet */
    [0x82] = {DISCONNECT, CONNACK | DISCONNECT},             /* protocol error */
    /* implementation specific error */
    [0x83] = {PUBACKS | DISCONNECT, CONNACK | PUBACKS | SUBACK | UNSUBACK | DISCONNECT},
    [0x84] = {0, CONNACK},                                                  /* unsupported protocol version */
    [0x85] = {0, CONNACK},                                                  /* client identifier not valid */
    [0x86] = {0, CONNACK},                                                  /* bad user name or password */
    [0x87] = {PUBACKS, CONNACK | PUBACKS | SUBACK | UNSUBACK | DISCONNECT}, /* not authorized */
    [0x88] = {0, CONNACK},                                                  /* server unavailable */
    [0x89] = {0, CONNACK | DISCONNECT},                                     /* server busy */
    [0x8A] = {0, CONNACK},                                                  /* banned */
    [0x8B] = {0, DISCONNECT},                                               /* server shutting down */
    [0x8C] = {0, CONNACK | DISCONNECT},           /* bad authentication method; DISCONNECT by table 2-6 */
    [0x8D] = {0, DISCONNECT},                     /* keep alive timeout */
    [0x8E] = {0, DISCONNECT},                     /* session taken over */
    [0x8F] = {0, SUBACK | UNSUBACK | DISCONNECT}, /* topic filter invalid */
    [0x90] = {PUBACKS | DISCONNECT, CONNACK | PUBACKS | DISCONNECT}, /* topic name invalid */
    [0x91] = {PUBACKS, PUBACKS | SUBACK | UNSUBACK},                 /* packet identifier in use */
    [0x92] = {PUBRELS, PUBRELS},                                     /* packet identifier not found */
    [0x93] = {DISCONNECT, DISCONNECT},                               /* receive maximum exceeded */
    [0x94] = {DISCONNECT, DISCONNECT},                               /* topic alias invalid */
    [0x95] = {DISCONNECT, CONNACK | DISCONNECT},                     /* packet too large */
    [0x96] = {DISCONNECT, DISCONNECT},                               /* message rate too high */
    [0x97] = {PUBACKS | DISCONNECT, CONNACK | PUBACKS | SUBACK | DISCONNECT}, /* quota exceeded */
    [0x98] = {DISCONNECT, DISCONNECT},                                        /* administrative action */
    [0x99] = {PUBACKS | DISCONNECT, CONNACK | PUBACKS | DISCONNECT},          /* payload format invalid */
    [0x9A] = {0, CONNACK | DISCONNECT},                                       /* retain not supported */
    [0x9B] = {0, CONNACK | DISCONNECT},                                       /* QoS not supported */
    [0x9C] = {0, CONNACK | DISCONNECT},                                       /* use another server */
    [0x9D] = {0, CONNACK | DISCONNECT},                                       /* server moved */
    [0x9E] = {0, SUBACK | DISCONNECT},  /* shared subscriptions not supported */
    [0x9F] = {0, CONNACK | DISCONNECT}, /* connection rate exceeded */
    [0xA0] = {0, DISCONNECT},           /* maximum connect time */
    [0xA1] = {0, SUBACK | DISCONNECT},  /* subscription identifiers not supported */
    [0xA2] = {0, SUBACK | DISCONNECT},  /* wildcard subscriptions not supported */
};

bool codec_reason_allowed(enum mqtt_type type, enum mqtt_direction direction, uint8_t code)
{
    unsigned types = direction == MQTT_FROM_CLIENT ? rules[code].client : rules[code].server;
    return (types & CODEC_IN(type)) != 0;
}
