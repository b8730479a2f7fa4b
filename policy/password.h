/* SPDX-License-Identifier: Apache-2.0 */
/* Password files as mosquitto_passwd writes them: name:$7$iterations$salt$hash (PBKDF2-HMAC-SHA512) and
 * name:$6$salt$hash (SHA-512 over password and salt). */
#ifndef MQWARD_POLICY_PASSWORD_H
#define MQWARD_POLICY_PASSWORD_H

#include "base/diag.h"
#include "base/reason.h"

struct password_file;

/* NULL after errors (all of the file's lines are checked; hashes are never quoted in messages). referrer: the
 * place that names the file. */
struct password_file *password_file_load(
    const char *path, struct diag_list *diag, const struct diag_place *referrer);
void password_file_free(struct password_file *file);
/* REASON_none if name and password are right, else REASON_password_unknown_user or REASON_password_wrong; the
 * time that it takes does not tell which. */
enum reason password_file_verify(const struct password_file *file, struct view name, struct view password);

#endif
