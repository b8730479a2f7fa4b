/* SPDX-License-Identifier: Apache-2.0 */
/* The hash chain over all lines of the journal, with a key that evolves (audit-events.md, "The promise", 6).
 * No input or output, no allocation: the sealer seals with it, and whoever verifies checks with it.
 *
 * A line ends with
 *
 *   ,"chain":{"epoch":"<16 hex>","start":<number>,"prev":"<64 hex>","hash":"<64 hex>"}}
 *
 *   hash      = HMAC-SHA-256(K[s,i], prev as 32 bytes || the bytes of the line before ,"hash":)
 *   S[0]      = the verification key, 32 random bytes
 *   S[s]      = SHA-256("mqward-chain-start" || S[s-1])
 *   K[s,1]    = HMAC-SHA-256(S[s-1], "mqward-chain-1" || epoch || s)      both as 64 bits, big-endian
 *   K[s,i+1]  = SHA-256(K[s,i])
 *
 * s is chain.start: how often mqward has started under this verification key, this time included. i is
 * event.sequence. prev is the hash of the line before: of the same start, or of the last line of the start
 * before; 64 zeros in the very first line of a chain. A start whose process died before its first line leaves
 * a hole in the numbers of starts, not in the links. */
#ifndef MQWARD_EXPORTERS_CHAIN_H
#define MQWARD_EXPORTERS_CHAIN_H

#include "base/view.h"

struct buffer;

#define CHAIN_KEY_SIZE 32  /* of the verification key, of S and of K */
#define CHAIN_HASH_SIZE 32 /* of prev and hash */
/* The member with its comma is no longer. */
#define CHAIN_MEMBER_MAX ((size_t)256)

/* ---- the key schedule ---- */

/* S[s] from S[s-1], in place. */
void chain_next_secret(uint8_t secret[CHAIN_KEY_SIZE]);
/* K[s,1] from secret, which is S[start-1]. */
void chain_first_key(
    const uint8_t secret[CHAIN_KEY_SIZE], uint64_t epoch, uint64_t start, uint8_t key[CHAIN_KEY_SIZE]);
/* K[s,i+steps] from K[s,i], in place. Each step is one SHA-256 (some 50 to 150 ns): bound what a line may ask
 * for. */
void chain_next_key(uint8_t key[CHAIN_KEY_SIZE], uint64_t steps);
/* What OpenSSL's functions left of keys on the stack is wiped by none of the calls in this file: that would
 * cost more than they do. Whoever is done with a batch of them calls secret_wipe_stack() (base/secret.h), and
 * wipes the keys that it holds. */

/* ---- a line ---- */

/* The chain member of a line, as it stands there. */
struct chain_link {
    uint64_t epoch;
    uint64_t start;
    uint8_t prev[CHAIN_HASH_SIZE];
    uint8_t hash[CHAIN_HASH_SIZE];
    struct view covered; /* the bytes of the line that the hash covers, behind prev */
};

enum chain_member {
    CHAIN_LINKED,  /* *link is filled in */
    CHAIN_ABSENT,  /* the line has none: it was written before there was a chain, or cut */
    CHAIN_MANGLED, /* the line ends like one, but not the way chain_seal() writes it */
};

/* Reads the member at the end of a line (without its newline). link->covered points into line. */
enum chain_member chain_parse(struct view line, struct chain_link *link);
/* The hash of a line: key is K[start, event.sequence]. */
void chain_hash(const uint8_t key[CHAIN_KEY_SIZE], const uint8_t prev[CHAIN_HASH_SIZE], struct view covered,
    uint8_t hash[CHAIN_HASH_SIZE]);
/* True if link->hash is the right one under key for what the line says, its own prev included. Whether prev
 * is the hash of the line before is another question. Takes the same time whatever the hash is. */
bool chain_holds(const uint8_t key[CHAIN_KEY_SIZE], const struct chain_link *link);

/* ---- a place in the chain ---- */

/* What is needed to seal or to check the next line. It has a secret in it. */
struct chain_cursor {
    uint64_t epoch;
    uint64_t start;
    uint64_t sequence;             /* of the next line: i */
    uint8_t key[CHAIN_KEY_SIZE];   /* K[start,sequence] */
    uint8_t prev[CHAIN_HASH_SIZE]; /* the hash of the line before */
};

/* To the first line of a start. secret is S[start-1]; prev is left as it is. */
void chain_begin(
    struct chain_cursor *cursor, const uint8_t secret[CHAIN_KEY_SIZE], uint64_t epoch, uint64_t start);
/* Behind the next line, whose hash it was. */
void chain_step(struct chain_cursor *cursor, const uint8_t hash[CHAIN_HASH_SIZE]);

/* Seals the line that begins at offset from of lines and ends there with "}\n", as record_render() leaves it:
 * adds the member, and moves the cursor behind it. */
void chain_seal(struct chain_cursor *cursor, struct buffer *lines, size_t from);

#endif
