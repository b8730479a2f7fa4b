/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: lines of the journal with an Ed25519 signature (RFC 8032) over their place in the chain.
 * Unlike the chain's hashes they can be checked by everybody, and be made by nobody who only has the chain's
 * keys.
 *
 * The signature covers, numbers as 64 bits, big-endian:
 *
 *   "mqward-checkpoint-1" || epoch || start || sequence || prev (32 bytes) || length of previous (16 bits) ||
 *   previous || events || interval.events || interval.seconds || @timestamp in microseconds since 1970 */
#ifndef MQWARD_EXPORTERS_CHECKPOINT_H
#define MQWARD_EXPORTERS_CHECKPOINT_H

#include "exporters/chain.h"

#define CHECKPOINT_KEY_NAME "checkpoint.key"
#define CHECKPOINT_PUBLIC_NAME "checkpoint.pub"
#define CHECKPOINT_SIGNATURE_SIZE 64
#define CHECKPOINT_ID_SIZE (64 + 1) /* of a public key: SHA-256 of its 32 bytes, hex, NUL */
#define CHECKPOINT_PREVIOUS_MAX 40  /* of an event.id, with its NUL */
#define CHECKPOINT_SIGNED_MAX 192   /* of what is signed */

/* What a checkpoint says of its place. */
struct checkpoint {
    uint64_t epoch, start, sequence; /* of its own line */
    uint8_t prev[CHAIN_HASH_SIZE];   /* chain.prev of its own line */
    char
        previous[CHECKPOINT_PREVIOUS_MAX]; /* event.id of the checkpoint before; "" in the first of a chain */
    uint64_t events;                       /* lines since that one, of earlier starts included */
    uint64_t interval_events, interval_seconds; /* at the latest after so many lines, after so long */
    uint64_t wall_us;                           /* @timestamp */
};

/* What is signed; returns its length. */
size_t checkpoint_encode(const struct checkpoint *checkpoint, uint8_t out[CHECKPOINT_SIGNED_MAX]);

struct checkpoint_key; /* a private key, with its public one */

/* Reads the PEM file (PKCS #8, not encrypted, Ed25519) if it is nobody else's to read
 * (base/private_file.h). NULL and a sentence in error that names the path; *missing (may be NULL) tells
 * whether there is no such file. */
struct checkpoint_key *checkpoint_key_read(const char *path, bool *missing, char *error, size_t error_size);
/* Makes a pair: the private key into path (mode 0600, never over an existing file), the public key into
 * public_path (0600 as all files of the audit directory, replaced). Both are on the disk when it returns.
 * NULL and a sentence in error. */
struct checkpoint_key *checkpoint_key_make(
    const char *path, const char *public_path, char *error, size_t error_size);
/* Writes the pair once more, as checkpoint_key_make() does. 0, or -1 and a sentence in error. */
int checkpoint_key_write(const struct checkpoint_key *key, const char *path, const char *public_path,
    char *error, size_t error_size);
void checkpoint_key_free(struct checkpoint_key *key); /* NULL is fine */
/* Where the public key of a private one is: "a/checkpoint.key" has "a/checkpoint.pub". The caller frees it.
 */
char *checkpoint_public_path(const char *path);
/* Borrowed: mqward.checkpoint.key. */
const char *checkpoint_key_id(const struct checkpoint_key *key);
/* 0, or -1 if OpenSSL fails. */
int checkpoint_sign(const struct checkpoint_key *key, const struct checkpoint *checkpoint,
    uint8_t signature[CHECKPOINT_SIGNATURE_SIZE]);

struct checkpoint_public; /* a public key */

/* Reads a PEM file (SubjectPublicKeyInfo, Ed25519). NULL and a sentence in error. */
struct checkpoint_public *checkpoint_public_read(const char *path, char *error, size_t error_size);
void checkpoint_public_free(struct checkpoint_public *key); /* NULL is fine */
const char *checkpoint_public_id(const struct checkpoint_public *key);
bool checkpoint_verify(const struct checkpoint_public *key, const struct checkpoint *checkpoint,
    const uint8_t signature[CHECKPOINT_SIGNATURE_SIZE]);

#endif
