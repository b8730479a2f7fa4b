/* SPDX-License-Identifier: Apache-2.0 */
/* A file with the secret of a signature key. Used by keyring.c and the command line. */
#ifndef MQWARD_POLICY_KEY_SECRET_H
#define MQWARD_POLICY_KEY_SECRET_H

#include <sys/types.h>

#include "base/private_file.h"
#include "base/view.h"

#define KEY_SECRET_MAX 512

enum key_secret_format { KEY_SECRET_HEX, KEY_SECRET_BASE64, KEY_SECRET_RAW };

/* Reads the file (as base/private_file.h does) and decodes it to secret. Hex and base64 may stand in several
 * lines. Returns the length, or -1 and *error, which never has a byte of the file. Leaves no copy. */
ssize_t key_secret_read(const char *path, enum key_secret_format format, uint8_t secret[KEY_SECRET_MAX],
    struct private_file_error *error);
/* Why a secret is one that can be guessed (a literal), or NULL. */
const char *key_secret_weakness(struct view secret);

#endif
