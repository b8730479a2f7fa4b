/* SPDX-License-Identifier: Apache-2.0 */
/* Which checks a message is to pass. Private to policy/; the rest is in policy.h. */
#ifndef MQWARD_POLICY_CHECKS_H
#define MQWARD_POLICY_CHECKS_H

#include "policy/compiled.h"

/* The checks about the subject and a topic, as bits; region: the topic, policy->depth + 1 levels of it. */
uint64_t checks_match(const struct policy *policy, const struct policy_subject *subject,
    enum policy_operation operation, const struct region *region);

#endif
