/* SPDX-License-Identifier: Apache-2.0 */
/* The files that the chain of the trail has. */
#ifndef MQWARD_PROXY_CLI_AUDIT_KEYS_H
#define MQWARD_PROXY_CLI_AUDIT_KEYS_H

/* What the file is, for whoever took it for another one: "the public key of checkpoints". NULL: none of the
 * trail's, or not to be read. */
const char *audit_keys_kind(const char *path);

#endif
