/* SPDX-License-Identifier: Apache-2.0 */
/* What mqward-bench-signatures measures with: devices, each with a signed message of 128 bytes of payload. */
#ifndef MQWARD_BENCH_MICRO_SIGNATURES_H
#define MQWARD_BENCH_MICRO_SIGNATURES_H

#include "micro.h"
#include "policy/signature.h"

#define DEVICES 1000
#define PAYLOAD_SIZE 128
#define NOW_MS UINT64_C(1750000000000)

struct device {
    char sub[16];
    char topic[32];
    uint8_t covered[MPS1_HEADER_MAX + 64 + PAYLOAD_SIZE]; /* what the MAC covers, one byte behind the other */
    size_t covered_length;
    uint8_t tag[MPS1_TAG_MAX];
    uint8_t secret[MPS1_TAG_MAX];
    uint8_t payload[MPS1_HEADER_MAX + PAYLOAD_SIZE]; /* with the envelope */
    char text[MPS1_PROPERTY_MAX + 4];                /* of the User Property */
    struct signature_message in_envelope, in_property;
};

struct fleet {
    struct keyring *keyring;
    struct device devices[DEVICES];
    size_t users; /* subjects that have it */
};

struct fleet *fleet_new(void);
void fleet_drop(struct fleet *fleet); /* the last user's frees it */

/* The subjects: OpenSSL's own HMAC over the same bytes, and the verification. Each returns how many. */
size_t micro_openssl(struct micro_subject *subjects, size_t max, struct fleet *fleet);
size_t micro_verify(struct micro_subject *subjects, size_t max, struct fleet *fleet);

#endif
