/* SPDX-License-Identifier: Apache-2.0 */
/* JUnit XML, as CI systems read it: a suite a policy, a case a case. */
#ifndef MQWARD_PROXY_CLI_JUNIT_H
#define MQWARD_PROXY_CLI_JUNIT_H

#include "base/buffer.h"
#include "policy/test.h"

void junit_begin(struct buffer *out);
/* report NULL: the policy has errors, which is one case in error. */
void junit_suite(struct buffer *out, const char *name, const struct policy_test_report *report,
    const struct diag_list *diag);
void junit_end(struct buffer *out);

#endif
