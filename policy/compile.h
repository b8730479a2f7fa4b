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
    bool untested; /* the policy's own tests may fail */
};

/* Settings, identity, client_id, groups, rules, checks, in this order; errors go to the list. */
void compile_settings(struct compiler *compiler);
void compile_identity(struct compiler *compiler);
void compile_groups(struct compiler *compiler);
void compile_rules(struct compiler *compiler);
void compile_checks(struct compiler *compiler);
/* What each kind of them has of its own: the verbs of the match, and what info says of it. groups:
 * compile_group_names(). */
typedef void compile_kind(struct compiler *compiler, const struct parsed_check *parsed,
    const char *const *groups, struct policy_check *check);
compile_kind compile_signature, compile_yara;
/* An error about a key of a check, or one within it (NULL: none). */
void compile_refuse_check(struct compiler *compiler, const struct parsed_check *check, const char *key,
    const char *inner, const char *hint, const char *message);
/* unsure: the policy has errors already, which these may follow from. */
void compile_tests(struct compiler *compiler, bool unsure);
/* Runs the policy's own tests; each that fails is an error. Only without other errors. */
void check_tests(struct compiler *compiler);
/* Puts the patterns of rules and checks into their tries; only without errors. */
void compile_tries(struct compiler *compiler);
/* Warnings about a policy without errors. */
void lint_policy(struct compiler *compiler);

/* "did you mean" over names; the whole list only if it is short. */
const char *compile_hint(
    struct compiler *compiler, struct view word, const char *const *candidates, size_t count);
/* The rule info of something at a place. */
struct policy_rule_info compile_info(
    struct compiler *compiler, struct view name, const struct diag_place *place);
/* Group names by bit: everyone first. */
const char **compile_group_names(struct compiler *compiler);
/* Bits of groups, by their names; unknown ones are errors. */
const uint64_t *compile_group_set(
    struct compiler *compiler, const struct keyword_strings *strings, const char *const *names);
/* Adds the placeholders that the patterns need to slots. */
const struct pattern *compile_patterns(
    struct compiler *compiler, const struct keyword_strings *strings, uint64_t *slots);
/* Where a mapping has a key, or a key within one (NULL: none); else the name's place. */
struct diag_place compile_key_place(
    const struct yaml_node *node, const struct keyword_string *name, const char *key, const char *inner);
/* The texts of a list of globs. */
const struct view *compile_globs(struct compiler *compiler, const struct keyword_strings *strings);

#endif
