/* SPDX-License-Identifier: Apache-2.0 */
/* Signed messages for the tests of signature.h, and the keys that they are verified with. */
#ifndef MQWARD_TESTS_POLICY_SIGNATURE_SUPPORT_H
#define MQWARD_TESTS_POLICY_SIGNATURE_SUPPORT_H

#include "policy/signature.h"

#define NOW UINT64_C(1750000000000)
#define PAYLOAD "{\"c\":21.5}"

/* m25a: plc-9 is revoked, plc-3 has its second generation; old: over; next: not yet; big: SHA-512;
 * ops-1: op:eva's own; other: no check names it. Their secrets are mps1_secret(). */
struct keyring *signature_make_keyring(void);

/* What is signed, what comes, and how it is asked; of a zeroed one nothing is wrong. */
struct attempt {
    const char *kid, *sub, *principal; /* NULL: m25a, plc-7, plc-7 */
    unsigned algorithm;                /* 0: SHA-256 */
    unsigned flags;
    int64_t age_ms; /* t is NOW - age_ms */
    bool clockless; /* t is 0 */
    bool property, no_carrier, both, twice;
    bool cut, other_version, other_algorithm, other_tag;
    bool retain, will, has_properties;
    enum signature_place place;
    enum signature_replay replay;
    bool when_present;
    const struct signature_relay *relay;
    const uint64_t *groups;
};

/* The packet as it came; its parts are on the heap, so that a sanitizer sees who reads behind them. */
struct packet {
    struct view
        parts[6]; /* owned: topic, payload, content type, response topic, correlation data, property */
    struct signature_message message;
};
enum { PART_TOPIC, PART_PAYLOAD, PART_TYPE, PART_RESPONSE, PART_CORRELATION, PART_PROPERTY, PARTS };

struct packet signature_make_packet(struct keyring *keyring, const struct attempt *attempt);
void signature_free_packet(struct packet *packet);
/* At NOW, under a check of all keys but other, with a max_age of 5 minutes and a skew of one. */
enum reason signature_verify_packet(struct keyring *keyring, const struct attempt *attempt,
    const struct packet *packet, struct signature_found *found);

#endif
