/* SPDX-License-Identifier: Apache-2.0 */
/* The signature keys of keys.yaml: which key a signature names, whether it may be used, and the key itself,
 * made ready. A keyring is immutable but for its cache of derived keys; any thread may ask it. */
#ifndef MQWARD_POLICY_KEYRING_H
#define MQWARD_POLICY_KEYRING_H

#include "base/diag.h"
#include "policy/mps1.h"

struct keyring;
struct buffer;

enum keyring_type { KEYRING_MASTER, KEYRING_STATIC };

/* A key of the file. Lives as long as the keyring. */
struct keyring_entry {
    const char *kid; /* as the file and the policy name it, without a generation */
    enum keyring_type type;
    uint8_t algorithm;                    /* enum mps1_algorithm */
    struct view sub;                      /* KEYRING_STATIC: the signer */
    uint64_t not_before_ms, not_after_ms; /* since 1970; 0 and UINT64_MAX where the file has none */
    size_t revoked_count, minimum_count;  /* signers under revoked: and min_generation: */
    bool test;                            /* its secret may be one that everybody knows */
};

/* Reads keys.yaml and the files of secrets that it names. NULL after errors; neither file is ever quoted in a
 * message. referrer: the place that names the file, or NULL. The result has one reference; the last one wipes
 * all secrets. */
struct keyring *keyring_load(const char *path, struct diag_list *diag, const struct diag_place *referrer);
/* The least generation of a signer's key under a master. */
struct keyring_minimum {
    struct view sub;
    uint32_t generation;
};
/* A key that the caller has, in place of keys.yaml: a secret on the command line, a test's. */
struct keyring_given {
    struct keyring_entry entry;
    struct view secret;                     /* at most 512 bytes */
    const struct view *revoked;             /* entry.revoked_count of them */
    const struct keyring_minimum *minimums; /* entry.minimum_count of them */
};
/* All is copied. The kids differ, and nothing else is checked either. count > 0. */
struct keyring *keyring_of(const struct keyring_given *given, size_t count);
struct keyring *keyring_retain(struct keyring *keyring);
void keyring_release(struct keyring *keyring); /* NULL is fine */
size_t keyring_count(const struct keyring *keyring);
const struct keyring_entry *keyring_entry(
    const struct keyring *keyring, size_t index); /* in the file's order */

/* The names of the keys alone, and which are masters, for tools that need no secrets: the files of secrets
 * are not touched. False if keys.yaml can't be read or has errors. Names live in the arena. */
struct keyring_names {
    const char *const *kids;
    const bool *masters;
    size_t count;
};
bool keyring_read_names(const char *path, struct arena *arena, struct keyring_names *names);
/* The same of a keyring. */
void keyring_names(const struct keyring *keyring, struct arena *arena, struct keyring_names *names);

/* The entry that a kid as it is sent means, and the generation that it names (1 for a master's bare kid and
 * for static keys). NULL: no such key. generation may be NULL. */
const struct keyring_entry *keyring_find_kid(
    const struct keyring *keyring, struct view kid, uint32_t *generation);
/* The key that a header names, if it is one of the signer's that may be used now. In this order:
 * REASON_sig_key_unknown, _inactive (used from not_before on, and before not_after), _revoked (also: a
 * generation below the signer's least), REASON_sig_alg (not the key's), REASON_sig_identity (a static key of
 * another signer), REASON_none. *entry is set whenever there is such a key, else NULL. now_ms: since 1970. */
enum reason keyring_find(const struct keyring *keyring, const struct mps1_header *header, uint64_t now_ms,
    const struct keyring_entry **entry);

/* Is the signer's key of that generation void? */
bool keyring_is_revoked(const struct keyring_entry *entry, struct view sub, uint32_t generation);
/* The kid that a signer's key has now under a master: with its least generation, if that is not the first.
 * kid: MPS1_KID_MAX bytes; returns its length. */
size_t keyring_kid_now(const struct keyring_entry *entry, struct view sub, char kid[MPS1_KID_MAX]);

/* The key of kid (with its generation) and sub under the entry, made ready: a static key as it is, a master's
 * derived or from the cache. kid and sub are valid. To be given back with keyring_put(), by whichever thread;
 * it may outlive the keyring and is wiped when the last one gives it back. Not for keeping: one that is not
 * given back takes a place in the cache. */
struct keyring_key {
    struct mps1_key key;
};
const struct keyring_key *keyring_take(struct keyring *keyring, const struct keyring_entry *entry,
    enum mps1_label label, struct view kid, struct view sub);
void keyring_put(const struct keyring_key *key); /* NULL is fine */
/* The secret of a device, mps1_tag_size() bytes, for whoever provisions it. entry: KEYRING_MASTER. */
void keyring_derive(const struct keyring_entry *entry, enum mps1_label label, struct view kid,
    struct view sub, uint8_t secret[MPS1_TAG_MAX]);

/* Calls each with every key that ends (not_after) between now and within later, in the file's order. */
void keyring_expiring(const struct keyring *keyring, uint64_t now_ms, uint64_t within_ms,
    void (*each)(void *context, const struct keyring_entry *entry), void *context);
/* How long before its end a key is warned of. */
#define KEYRING_WARNING_MS (UINT64_C(30) * 24 * 3600 * 1000)

/* The Markdown reference of keys.yaml, printed from its keyword tables. */
void keyring_print_reference(struct buffer *out);

#endif
