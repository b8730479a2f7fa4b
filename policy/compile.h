/* SPDX-License-Identifier: Apache-2.0 */
/* From what a policy file says (parse.h) to the compiled policy (compiled.h). Private to policy/. */
#ifndef MQWARD_POLICY_COMPILE_H
#define MQWARD_POLICY_COMPILE_H

#include "policy/compiled.h"
#include "policy/parse.h"

struct compiler {
    struct policy *policy; /* being made */
    struct arena *arena;   /* its own */
    struct diag_list *diag;
    const struct policy_names *names; /* NULL: any name is fine */
    const struct parsed_policy *parsed;
};

/* Settings, identity, client_id, groups, rules, in this order; errors go to the list. */
void compile_settings(struct compiler *compiler);
void compile_identity(struct compiler *compiler);
void compile_groups(struct compiler *compiler);
void compile_rules(struct compiler *compiler);
/* Puts the rules' patterns into the trie; only without errors. */
void compile_trie(struct compiler *compiler);
/* Warnings about a policy without errors. */
void lint_policy(struct compiler *compiler);

/* "did you mean" over names; the whole list only if it is short. */
const char *compile_hint(
    struct compiler *compiler, struct view word, const char *const *candidates, size_t count);
/* The rule info of something at a place. */
struct policy_rule_info compile_info(
    struct compiler *compiler, struct view name, const struct diag_place *place);
/* The texts of a list of globs. */
const struct view *compile_globs(struct compiler *compiler, const struct keyword_strings *strings);

#endif
