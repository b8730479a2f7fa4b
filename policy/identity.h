/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of identity*.c share. Private to them. */
#ifndef MQWARD_POLICY_IDENTITY_H
#define MQWARD_POLICY_IDENTITY_H

#include "policy/compiled.h"

struct view identity_copy(struct view value); /* owned: free() its data */
/* A value that is there but not safe is not kept: nothing can be filled with it by accident. */
void identity_set_value(struct policy_subject *subject, unsigned slot, struct view value);
/* detail is copied. */
struct policy_identification identity_refused(
    enum reason reason, const struct policy_rule_info *rule, const char *detail);

/* Tokens (identity_jwt.c). */
bool identity_jwt_present(const struct identity_row *row, const struct policy_credentials *credentials);
struct policy_identification identity_jwt_take(const struct identity_row *row,
    const struct policy_credentials *credentials, struct policy_subject *subject);

#endif
