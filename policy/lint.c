/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the warnings about policies that are valid and still can't mean what they say, those about identities
 * and groups. Called by policy.c when there are no errors. Each subject is a row of a table at the end; rules
 * are in lint_rules.c, what other rules leave of them in lint_cover.c. */
#include "policy/lint.h"

#include <stdlib.h>

#include "base/memory.h"
#include "policy/signature.h"

void lint_warn(
    struct compiler *compiler, const struct diag_place *place, const char *hint, const char *message)
{
    diag_add(compiler->diag, DIAG_WARNING, place, hint, "%s", message);
}

/* ---- identity ---- */

static bool same_source(const struct identity_row *a, const struct identity_row *b)
{
    return a->source == b->source && (a->source != POLICY_SOURCE_CERT || strcmp(a->ca, b->ca) == 0) &&
           (a->source != POLICY_SOURCE_BROKER || a->from_client_id == b->from_client_id) &&
           (a->source != POLICY_SOURCE_JWT ||
               (a->token->in == b->token->in && (a->token->in == POLICY_TOKEN_PASSWORD ||
                                                    view_equal(a->token->method, b->token->method))));
}

/* A source that takes what is in the password before somebody looks whether it is a token. */
static bool takes_passwords(const struct identity_row *row)
{
    return row->source == POLICY_SOURCE_PASSWORD ||
           (row->source == POLICY_SOURCE_BROKER && !row->from_client_id);
}

static bool token_is_taken(const struct policy *policy, size_t index)
{
    const struct identity_token *token = policy->identities[index].token;
    bool taken = false;
    for (size_t i = 0; i < index; i++)
        taken = taken || takes_passwords(&policy->identities[i]);
    return token != NULL && token->in == POLICY_TOKEN_PASSWORD && taken;
}

static void lint_identity(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    struct diag_place whole = {.source = compiler->parsed->whole};
    if (policy->identity_count == 0)
        lint_warn(compiler, &whole, NULL, "no identity source: nobody can connect");
    for (size_t i = 0; i < policy->identity_count; i++) {
        bool reached = true;
        for (size_t k = 0; k < i && reached; k++)
            reached = policy->identities[k].source != POLICY_SOURCE_ANONYMOUS &&
                      !same_source(&policy->identities[k], &policy->identities[i]);
        if (!reached)
            lint_warn(compiler, &compiler->parsed->identities.items[i].place, NULL,
                "this identity source is never reached: one above takes every client that it would");
        else if (token_is_taken(policy, i))
            lint_warn(compiler, &compiler->parsed->identities.items[i].place, "move it above them",
                "tokens of clients with a user name do not get here: a source above takes their password");
    }
}

/* ---- groups ---- */

bool lint_row_has_attribute(const struct identity_row *row, uint8_t slot)
{
    for (size_t i = 0; i < row->attribute_count; i++) {
        if (row->attributes[i].slot == slot)
            return true;
    }
    return false;
}

/* Can an identity of this row fit the glob? Of most sources nothing is known before clients come. */
static bool row_can_have_id(const struct policy *policy, const struct identity_row *row, struct view glob)
{
    const struct client_id_pattern *pattern = &policy->client_id;
    if (row->source == POLICY_SOURCE_ANONYMOUS)
        return glob_matches(glob, row->anonymous_id);
    if (row->source == POLICY_SOURCE_BROKER && row->from_client_id && pattern->given && !pattern->has_slot)
        return glob_overlaps(glob, pattern->prefix);
    return true;
}

/* Could an identity of this row be in the group? */
bool lint_row_fits_group(
    const struct policy *policy, const struct identity_row *row, const struct policy_group *group)
{
    if (group->sources != 0 && (group->sources & row->source) == 0)
        return false;
    if (group->member_count > 0 && (row->token == NULL || row->token->groups.length == 0))
        return false;
    for (size_t i = 0; i < group->attribute_count; i++) {
        if (!lint_row_has_attribute(row, group->attributes[i].slot))
            return false;
    }
    bool fits = group->id_count == 0;
    for (size_t i = 0; i < group->id_count && !fits; i++)
        fits = row_can_have_id(policy, row, group->ids[i]);
    return fits;
}

bool lint_group_possible(const struct policy *policy, size_t bit)
{
    for (size_t i = 0; i < policy->identity_count; i++) {
        if (bit == 0 || lint_row_fits_group(policy, &policy->identities[i], &policy->groups[bit - 1]))
            return true;
    }
    return false;
}

/* "ids: plc-1, plc-2": without brackets that is one identity. Who means it, quotes it. */
static void lint_identities(struct compiler *compiler, const struct parsed_group *group)
{
    struct keyword_context context = {.arena = compiler->arena, .diag = compiler->diag};
    for (size_t i = 0; i < group->ids.count; i++) {
        const struct keyword_string *id = &group->ids.items[i];
        const char *hint = id->quoted ? NULL : keyword_hint_list(&context, id->text);
        if (hint != NULL)
            diag_add(compiler->diag, DIAG_WARNING, &id->place, hint,
                "'%.*s' is one identity, with a comma in it", VIEW_ARGS(id->text));
    }
}

static void note_relays(const struct policy *policy, const struct signature_terms *terms, uint64_t *used)
{
    for (size_t i = 0; terms != NULL && i < terms->relay_count; i++) {
        for (size_t word = 0; word < policy->group_words; word++)
            used[word] |= terms->relays[i].who[word];
    }
}

static void lint_groups(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    uint64_t *used = memory_calloc(policy->group_words, sizeof(*used));
    for (size_t i = 0; i < policy->rule_count; i++) {
        for (size_t word = 0; word < policy->group_words; word++)
            used[word] |= policy->rules[i].who[word] | policy->rules[i].unless[word];
    }
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct policy_rule *match = &policy->checks[i].match;
        for (size_t word = 0; word < policy->group_words; word++)
            used[word] |= match->who[word] | match->unless[word];
        note_relays(policy, policy->checks[i].info.signature, used);
    }
    for (size_t bit = 1; bit <= policy->group_count; bit++) {
        const struct keyword_string *name = &compiler->parsed->groups.items[bit - 1].name;
        lint_identities(compiler, &compiler->parsed->groups.items[bit - 1]);
        if (!lint_group_possible(policy, bit))
            diag_add(compiler->diag, DIAG_WARNING, &name->place, NULL,
                "nobody can be in group '%.*s': no identity source fits its conditions",
                VIEW_ARGS(name->text));
        else if (!lint_has_bit(used, bit))
            diag_add(compiler->diag, DIAG_WARNING, &name->place, NULL,
                "group '%.*s' is used by no rule and no check", VIEW_ARGS(name->text));
    }
    free(used);
}

/* "cert of fleet": which of the identity sources. */
const char *lint_show_source(struct compiler *compiler, const struct identity_row *row)
{
    const char *name = policy_source_name(row->source);
    const char *of = row->source == POLICY_SOURCE_CERT       ? row->ca
                     : row->source == POLICY_SOURCE_PASSWORD ? row->password_file
                                                             : NULL;
    return of == NULL ? name : arena_format(compiler->arena, "%s of %s", name, of);
}

/* ---- client_id ---- */

/* What keeps every client of the row from having a client identifier that fits; NULL: nothing that is known
 * here. */
static const char *client_id_obstacle(
    struct compiler *compiler, const struct client_id_pattern *pattern, const struct identity_row *row)
{
    const char *name = compiler->policy->names.names[pattern->slot];
    if (!pattern->has_slot)
        return NULL;
    if (pattern->slot >= SLOT_FIRST_ATTRIBUTE && !lint_row_has_attribute(row, pattern->slot))
        return arena_format(compiler->arena, "their identity has no attribute '%s'", name);
    bool longer = !glob_matches(pattern->prefix, VIEW("")) || !glob_matches(pattern->suffix, VIEW(""));
    if (pattern->slot == SLOT_ID && row->from_client_id && longer)
        return "their client identifier is their identity, and can't be longer than it";
    return NULL;
}

static void lint_client_id(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    for (size_t i = 0; i < policy->identity_count && policy->client_id.given; i++) {
        const char *obstacle = client_id_obstacle(compiler, &policy->client_id, &policy->identities[i]);
        if (obstacle != NULL)
            diag_add(compiler->diag, DIAG_WARNING, &compiler->parsed->client_id.place, obstacle,
                "no client of the identity source '%s' fits this client_id: all of them are refused",
                lint_show_source(compiler, &policy->identities[i]));
    }
}

void lint_policy(struct compiler *compiler)
{
    static void (*const subjects[])(struct compiler * compiler) = {
        lint_identity, lint_groups, lint_client_id, lint_rules, lint_checks, lint_signatures, lint_cover};
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        subjects[i](compiler);
}
