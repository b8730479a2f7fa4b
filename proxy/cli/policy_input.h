/* SPDX-License-Identifier: Apache-2.0 */
/* The policy that a verb of 'mqward policy' is about: that of a mqward.yaml, or a file or folder of its own.
 */
#ifndef MQWARD_PROXY_CLI_POLICY_INPUT_H
#define MQWARD_PROXY_CLI_POLICY_INPUT_H

#include "base/json.h"
#include "policy/test.h"
#include "proxy/config.h"

struct policy_input {
    struct arena *arena;
    struct diag_list *diag;
    const char *path;            /* of the policy */
    const struct config *config; /* NULL: the policy stands alone, or mqward.yaml has errors */
    struct policy *policy;       /* NULL: it has errors */
};

/* Reads the policy, whether or not its own tests pass. Of a mqward.yaml, errors that leave its policy's path
 * and names readable are reported and do not stop that. Alone, names of CAs, password files and key sets are
 * taken as they are. The caller prints diag. */
void policy_input_open_config(struct policy_input *source, const char *path);
void policy_input_open_policy(struct policy_input *source, const char *path);
void policy_input_close(struct policy_input *source);

/* For --json: a text, and a rule with its place; null where there is none. */
void policy_json_text(struct json *json, const char *key, const char *text);
void policy_json_rule(struct json *json, const char *key, const struct policy_rule_info *rule);

#endif
