/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a scenario that sign, and the keys that the session has for them. */
#ifndef MQWARD_TESTS_UNIT_SESSION_SIGNER_H
#define MQWARD_TESTS_UNIT_SESSION_SIGNER_H

#include "base/buffer.h"
#include "policy/keyring.h"
#include "policy/replay.h"

/* "m25a", a master (plc-9 is revoked), "m38", one of HMAC-SHA-384, and "own", a static key of eva. The same
 * one in each test; lives as long as the process. */
struct keyring *signer_keyring(void);

/* A message signed now, from words: "topic=dt/x payload=1 sub=plc-7 kid=m25a age=5 seq=1:42 nonce=name
 * retain=true will=true props=true content_type=t forged=true". Words that are left out have the first five's
 * values (age: seconds, 0) or none. nonce: name, unless given. payload and header: appended. False: a word is
 * none of these. */
bool signer_sign(const char *name, const char *words, struct buffer *header, struct buffer *payload);
/* Unpadded base64url, appended. */
void signer_property(struct view header, struct buffer *out);
/* The name that the mark's nonce was made from, or "epoch:counter". */
void signer_name(const struct replay_mark *mark, bool sequence, char out[48]);

#endif
