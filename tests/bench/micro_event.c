/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing: the audit event that is measured. */
#include "micro_event.h"

#include <stdio.h>

struct audit_event micro_event(uint64_t number, char user[32], char topic[96])
{
    int user_length = snprintf(user, 32, "sensor-%05u", (unsigned)(number % 1000));
    int topic_length = snprintf(topic, 96, "plant/hall-%u/line-%u/valve/%u/cmd", (unsigned)(number % 7),
        (unsigned)(number % 31), (unsigned)number);
    struct audit_event event = {.action = AUDIT_publish_denied,
        .reason = REASON_no_allow,
        .disposition = AUDIT_REJECTED,
        .wall_us = 1767323046001245 + number,
        .session_id = VIEW("9c1f0a2b-000412"),
        .client_ip = VIEW("203.0.113.9"),
        .client_port = 51724,
        .server_ip = VIEW("10.0.0.5"),
        .server_port = 1883,
        .listener = VIEW("outside"),
        .upstream = VIEW("main"),
        .user = view_of(user, (size_t)user_length),
        .source = VIEW("cert"),
        .roles = {VIEW("devices")},
        .role_count = 1,
        .client_id = view_of(user, (size_t)user_length),
        .packet = VIEW("publish"),
        .mqtt_version = VIEW("5.0"),
        .has_topic = true,
        .topic = view_of(topic, (size_t)topic_length),
        .has_qos = true,
        .qos = 1,
        .packet_id = (uint16_t)(number | 1),
        .has_reason_code = true,
        .reason_code = 0x87,
        .has_payload = true,
        .payload_bytes = 64,
        .has_payload_hash = true,
        .ruleset = VIEW("plant-a"),
        .policy_version = VIEW("sha256:6b1e0f0c1d2e3f405162738495a6b7c8d9eafb0c1d2e3f405162738495a6b7c8")};

    memset(event.payload_sha256, (int)(number & 0xFF), sizeof(event.payload_sha256));
    return event;
}
