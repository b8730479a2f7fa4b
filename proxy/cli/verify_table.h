/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of payload signatures as tests/vectors/mps1/README.md describes them. */
#ifndef MQWARD_PROXY_CLI_VERIFY_TABLE_H
#define MQWARD_PROXY_CLI_VERIFY_TABLE_H

#include "policy/signature.h"

/* One packet that arrives, and what must be said about it. All lives as long as the table. */
struct verify_step {
    uint64_t now_ms;
    struct signature_message message;
    uint8_t qos;
    bool dup;
    bool acknowledged;    /* by the broker, before the next step */
    enum reason expected; /* REASON_none: "ok" */
    struct view payload;  /* what goes on; data NULL: the vector does not say */
};

struct verify_vector {
    const char *name;
    struct keyring *keyring;
    const struct signature_terms *terms;
    const struct verify_step *steps;
    size_t step_count;
    bool signs; /* it says what a signer makes of the next four */
    struct mps1_header header;
    struct mps1_message message;
    struct view secret;
    struct view made; /* header and tag */
};

struct verify_table;

/* NULL after a message on standard error. */
struct verify_table *verify_table_read(const char *path);
void verify_table_free(struct verify_table *table); /* NULL is fine */
const struct verify_vector *verify_table_vectors(const struct verify_table *table, size_t *count);

#endif
