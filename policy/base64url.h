/* SPDX-License-Identifier: Apache-2.0 */
/* base64url without padding (RFC 7515 section 2), as tokens and keys of JOSE are written, and base64 without
 * padding, as password hashes in the PHC string format are. */
#ifndef MQWARD_POLICY_BASE64URL_H
#define MQWARD_POLICY_BASE64URL_H

#include <sys/types.h>

#include "base/view.h"

/* Decodes text into out. Returns the number of bytes, or -1 for anything that is not the one way to write
 * them: other characters, padding, blanks, left-over bits that are not zero, or more than size bytes. */
ssize_t base64url_decode(struct view text, uint8_t *out, size_t size);
/* The same with + and / for - and _. */
ssize_t base64_decode_unpadded(struct view text, uint8_t *out, size_t size);

#endif
