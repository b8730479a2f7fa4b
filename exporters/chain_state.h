/* SPDX-License-Identifier: Apache-2.0 */
/* Where the chain is, in a file that survives the death of the process: chain.state of the audit directory.
 * It holds the key of the next line and the secret of the next start, and nothing that would let anybody seal
 * an earlier line.
 *
 * It is in the first 512 bytes (one sector): magic, and two slots with a check each. The newer slot is
 * written whole, then the older one is wiped: whenever the process dies, one of them holds. The second sector
 * has start, epoch and secret of the present start once more, for when neither slot holds. */
#ifndef MQWARD_EXPORTERS_CHAIN_STATE_H
#define MQWARD_EXPORTERS_CHAIN_STATE_H

#include "exporters/chain.h"

#define CHAIN_STATE_NAME "chain.state"
#define CHAIN_STATE_BYTES 4096 /* of the file */

/* What a slot says. */
struct chain_point {
    struct chain_cursor cursor;     /* sequence 0: no start with lines yet, and there is no key */
    uint8_t secret[CHAIN_KEY_SIZE]; /* S[cursor.start], for the next start */
    uint64_t checkpoint_epoch, checkpoint_sequence; /* of the last checkpoint; 0: none yet */
    uint64_t unsigned_lines;                        /* since then */
    uint64_t sealed_us;                             /* event.created of the last line; 0: there is none yet */
    /* The wall clock's time until which the last line must be in the journal; later retention may have taken
     * even the newest file. UINT64_MAX: for ever. */
    uint64_t kept_until_us;
};

/* The state of a chain that begins: start 0, the verification key as secret. Lines of epochs before epoch are
 * not its own: now (seconds since 1970) << 32, or 0 for a key that the journal may know already. */
void chain_point_begin(struct chain_point *point, const uint8_t key[CHAIN_KEY_SIZE], uint64_t epoch);
/* The same for a proxy that shall never have the verification key: the first start is given away without a
 * line, and the secret is the next one's. Epoch and sequence are 0, and there is no key. */
void chain_point_begin_elsewhere(struct chain_point *point, const uint8_t key[CHAIN_KEY_SIZE]);

enum chain_state_found { CHAIN_STATE_FOUND, CHAIN_STATE_MISSING, CHAIN_STATE_DAMAGED, CHAIN_STATE_FAILED };

/* Reads a state without changing it, also while the process that owns it writes it. CHAIN_STATE_FAILED: errno
 * and a sentence in error. Wipe *point when done. */
enum chain_state_found chain_state_read(
    const char *path, struct chain_point *point, char *error, size_t error_size);
/* Makes the file (0600, on the disk when it returns); an existing one is not touched (errno EEXIST). 0, or -1
 * and a sentence in error. */
int chain_state_make(const char *path, const struct chain_point *point, char *error, size_t error_size);

struct chain_state;

/* Opens what is there; *point is the newest slot that holds, and the other one is wiped. Only with
 * CHAIN_STATE_FOUND *state is set. The file must belong to this process's user, and be open to nobody else
 * (CHAIN_STATE_FAILED otherwise). */
enum chain_state_found chain_state_open(
    const char *path, struct chain_state **state, struct chain_point *point, char *error, size_t error_size);
/* The start of which the second sector has the secret; false: that does not hold. Changes nothing. */
bool chain_state_start(const char *path, uint64_t *start);
/* A state of which no slot holds, but which still has the secret: makes it a point at that start, of which no
 * line and no key is known (sequence 0). False if it has not. *start: which one. */
bool chain_state_rescue(const char *path, uint64_t *start);
/* Whether chain_state_open() of the state in directory would get as far as what is in it, which is neither
 * read nor changed. 0, or -1 and a sentence in error. */
int chain_state_check(const char *directory, char *error, size_t error_size);
/* The next state; the one before is gone from memory and file when this returns. It survives the process, not
 * a power cut. Where the file was deleted, moved or cut by somebody it is made again under its name. 0, or -1
 * (errno: the file is not there, or behind): call it again later. */
int chain_state_set(struct chain_state *state, const struct chain_point *point);
/* False if the file was deleted, moved or cut: the next chain_state_set() makes it again. */
bool chain_state_in_place(const struct chain_state *state);
/* What was set is on the disk. 0 or -1 (errno). */
int chain_state_sync(struct chain_state *state);
void chain_state_close(struct chain_state *state); /* NULL is fine */

#endif
