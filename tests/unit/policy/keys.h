/* SPDX-License-Identifier: Apache-2.0 */
/* A folder with secrets for the tests of keyrings. */
#ifndef MQWARD_TESTS_POLICY_KEYS_H
#define MQWARD_TESTS_POLICY_KEYS_H

#include <sys/types.h>

#include "policy/keyring.h"

/* Changes into a new folder that has the files of tests/vectors/keys/secrets with mode 0600, and group.key
 * (0640), open.key (0604), pipe.key (a FIFO), folder.key, link.key (to m25a.key) and link-to-open.key. */
void keys_begin(void);
/* Removes it. */
void keys_end(void);
/* Makes or replaces a file there. */
void keys_write(const char *name, const char *text, mode_t mode);
/* messages: what diag_print() prints; free() it. */
struct keyring *keys_load(const char *name, char **messages);
/* The keyring of that text as keys.yaml; fails the test if it has errors. */
struct keyring *keys_good(const char *text);

#endif
