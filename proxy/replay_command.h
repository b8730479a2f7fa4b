/* SPDX-License-Identifier: Apache-2.0 */
/* What the shared replay store is told: from a signed message to the words of a Redis command. Private to
 * replay_shared.c. */
#ifndef MQWARD_PROXY_REPLAY_COMMAND_H
#define MQWARD_PROXY_REPLAY_COMMAND_H

#include "policy/replay.h"
#include "proxy/config.h"

#define REPLAY_KEY_SIZE 16
/* A signed message, as Redis knows it. */
struct replay_subject {
    bool sequence;
    uint8_t key[REPLAY_KEY_SIZE]; /* of the nonce, or of the signer's window */
    uint8_t nonce[MPS1_NONCE_SIZE];
    uint8_t tag[REPLAY_TAG_SIZE];
    uint64_t until_ms;
};
struct replay_subject replay_subject_of(const struct replay_mark *mark, bool sequence);

/* Scripts, and their names once Redis has them. */
#define REPLAY_SHA_LENGTH 40
struct replay_scripts {
    const char *prefix;                 /* of all keys */
    char window[REPLAY_SHA_LENGTH + 1]; /* for sequences; answers with an enum replay_answer, or 0 and 1 */
    char undo[REPLAY_SHA_LENGTH + 1];
};
extern const char replay_window_script[];
extern const char replay_undo_script[];

#define REPLAY_WORDS_MAX 8
struct replay_words {
    struct view words[REPLAY_WORDS_MAX];
    size_t count;
    char key[CONFIG_REPLAY_PREFIX_MAX + 2 + 2 * REPLAY_KEY_SIZE + 1];
    char tag[2 * REPLAY_TAG_SIZE + 2 + 1];
    char epoch[17], number[21];
};

enum replay_state { REPLAY_IS_PENDING, REPLAY_IS_DONE };

/* Remembers what is new, for ttl_ms (a nonce); state: as what. */
void replay_words_add(struct replay_words *words, const struct replay_scripts *scripts,
    const struct replay_subject *subject, enum replay_state state, uint64_t ttl_ms);
/* What is remembered of a nonce. */
void replay_words_get(
    struct replay_words *words, const struct replay_scripts *scripts, const struct replay_subject *subject);
/* Marks what is remembered as done. */
void replay_words_done(
    struct replay_words *words, const struct replay_scripts *scripts, const struct replay_subject *subject);
/* Forgets what is remembered as pending. */
void replay_words_undo(
    struct replay_words *words, const struct replay_scripts *scripts, const struct replay_subject *subject);
/* What is remembered of a nonce (the answer to replay_words_get()), compared. REPLAY_DOWN: it is nothing of
 * ours. */
enum replay_answer replay_compare(struct view remembered, const struct replay_subject *subject);

#endif
