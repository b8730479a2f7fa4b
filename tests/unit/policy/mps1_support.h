/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of signatures share: signed messages, and the table of tests/vectors/mps1/sign.tsv. */
#ifndef MQWARD_TESTS_POLICY_MPS1_SUPPORT_H
#define MQWARD_TESTS_POLICY_MPS1_SUPPORT_H

#include "policy/mps1.h"

/* The bytes of hexadecimal digits; fails the test for anything else. free() .data. */
struct view mps1_hex(struct view digits);
/* Fresh memory of exactly that size, so that a sanitizer sees who reads behind it. free() .data. */
struct view mps1_copy(struct view bytes);
/* Unpadded base64url, as OpenSSL has it. free() it. */
char *mps1_encode(struct view bytes);

/* A header with its tag in both of its forms, made with the secret of mps1_secret(). */
struct mps1_signed {
    struct mps1_header header;
    uint8_t bytes[MPS1_HEADER_MAX];
    char text[MPS1_PROPERTY_MAX + 8];
    size_t text_length;
};
struct view mps1_secret(void);
struct mps1_message mps1_some_message(void); /* with all of its parts */
struct mps1_signed mps1_make(unsigned algorithm, const char *kid, const char *sub, unsigned flags,
    const uint8_t *nonce, struct mps1_message message);
/* mps1_some_message(), signed by plc-7 with m25a, no flags, a nonce of a0 to af. */
struct mps1_signed mps1_some_signed(void);

/* sign.tsv. A line's views live until the next one. */
struct mps1_line {
    const char *name;
    struct mps1_header header; /* without length and tag */
    struct mps1_message message;
    struct view key, bytes; /* bytes: what must come out */
    struct view owned[8];
};
struct mps1_table {
    char *text, *rest;
    struct mps1_line line;
};
struct mps1_table mps1_table_read(void);
bool mps1_table_next(struct mps1_table *table, struct mps1_line *line);
void mps1_table_free(struct mps1_table *table);

#endif
