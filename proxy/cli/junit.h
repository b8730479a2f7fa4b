/* SPDX-License-Identifier: Apache-2.0 */
/* JUnit XML, as CI systems read it: a suite a policy or rule set, a case a case. */
#ifndef MQWARD_PROXY_CLI_JUNIT_H
#define MQWARD_PROXY_CLI_JUNIT_H

#include "base/buffer.h"
#include "policy/test.h"

struct junit_suite {
    const char *name;
    size_t cases, failed;
    const struct diag_list *diag; /* with errors, they are one more case */
    bool loaded;                  /* false: that case is there in any case */
};

/* command: whose results it is: "mqward policy test". */
void junit_begin(struct buffer *out, const char *command);
/* what: names what was loaded: "policy". */
void junit_suite_begin(struct buffer *out, const struct junit_suite *suite, const char *what);
/* message NULL: it passed. detail: what was expected, or what else there is to say. */
void junit_case(
    struct buffer *out, const char *classname, const char *name, const char *message, const char *detail);
void junit_suite_end(struct buffer *out);
/* report NULL: the policy has errors, which is one case in error. */
void junit_policy(struct buffer *out, const char *name, const struct policy_test_report *report,
    const struct diag_list *diag);
void junit_end(struct buffer *out);
/* Writes out to the file. False after a message. */
bool junit_write(const struct buffer *out, const char *path);

#endif
