/* SPDX-License-Identifier: Apache-2.0 */
/* Who 'mqward check' judges for: what mqward may read, write and trust depends on the user that it runs as.
 */
#ifndef MQWARD_PROXY_CLI_CHECK_USER_H
#define MQWARD_PROXY_CLI_CHECK_USER_H

#include <stdbool.h>
#include <stddef.h>

struct check_user {
    char name[64];        /* who the process has become; "": it is who it was */
    char unreachable[96]; /* who it should have become, and why it could not; "": nothing of the kind */
};

/* Becomes the user called name, for good; with NULL, and as root, the user that the audit directory of the
 * mqward.yaml at path belongs to, which is the one that mqward runs as (systemd's StateDirectory= is given to
 * it). Where there is no such directory yet, or it is root's, or the process is not root's, nothing changes.
 * False and a sentence in error: the user that was named can't be had. */
bool check_user_become(
    const char *name, const char *path, struct check_user *user, char *error, size_t error_size);

#endif
