/* SPDX-License-Identifier: Apache-2.0 */
/* Password files as mosquitto_passwd writes them: lines of name:hash, with the hashes of password_hash.h. */
#ifndef MQWARD_POLICY_PASSWORD_H
#define MQWARD_POLICY_PASSWORD_H

#include "base/diag.h"
#include "base/reason.h"

struct password_file;

/* NULL after errors (all of the file's lines are checked; hashes are never quoted in messages). check_memory:
 * bytes that the check of one password may take; a hash that needs more is an error. referrer: the place that
 * names the file. */
struct password_file *password_file_load(
    const char *path, uint64_t check_memory, struct diag_list *diag, const struct diag_place *referrer);
void password_file_free(struct password_file *file);
/* A number that stands for the name and its hash in the file, and changes with either; 0: no such name. */
uint64_t password_file_tag(const struct password_file *file, struct view name);
/* REASON_none if name and password are right, else REASON_password_unknown_user or REASON_password_wrong; the
 * time that it takes does not tell which. REASON_internal_error: the hash could not be computed (no memory).
 */
enum reason password_file_verify(const struct password_file *file, struct view name, struct view password);

#endif
