/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a token says of who a client is. Called through the table of sources of identity.c. */
#include <assert.h>

#include "base/memory.h"
#include "policy/identity.h"

static struct view token_of(const struct identity_token *token, const struct policy_credentials *credentials)
{
    return token->in == POLICY_TOKEN_PASSWORD ? credentials->password : credentials->authentication_data;
}

/* A password that has the form of a token is one, good or not: a damaged token does not lead to a source
 * below. */
bool identity_jwt_present(const struct identity_row *row, const struct policy_credentials *credentials)
{
    const struct identity_token *token = row->token;
    const struct policy_claims *claims = credentials->claims;

    if (claims != NULL)
        return claims->in == token->in &&
               (token->in == POLICY_TOKEN_PASSWORD || view_equal(claims->method, token->method));
    if (token->in == POLICY_TOKEN_PASSWORD)
        return credentials->has_password && jwt_looks_like_one(credentials->password);
    return credentials->has_authentication && view_equal(credentials->authentication_method, token->method);
}

/* ---- what the claims say ---- */

static enum reason claim_reason(enum jwt_claim found)
{
    return found == JWT_CLAIM_MISSING ? REASON_token_claim_missing : REASON_token_claim_invalid;
}

/* The subject's own copy of the groups: an array of views and, behind it, their texts. */
static void keep_members(struct policy_subject *subject, const struct view *items, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += items[i].length;
    if (count == 0)
        return;
    subject->members = memory_calloc(1, count * sizeof(*items) + size);
    uint8_t *text = (uint8_t *)(subject->members + count);
    for (size_t i = 0; i < count; i++) {
        if (items[i].length > 0)
            memcpy(text, items[i].data, items[i].length);
        subject->members[i] = view_of(text, items[i].length);
        text += items[i].length;
    }
    subject->member_count = count;
}

/* REASON_none, or why not and, in *claim, the claim that is to blame. */
static enum reason take_claims(
    const struct identity_row *row, struct jwt *claims, struct policy_subject *subject, const char **claim)
{
    const struct identity_token *token = row->token;
    struct view value = {NULL, 0};
    const struct view *items;
    size_t count;
    enum jwt_claim found = jwt_claim_text(claims, token->id, &value);

    *claim = (const char *)token->id.data;
    if (found != JWT_CLAIM_FOUND || value.length == 0)
        return found != JWT_CLAIM_FOUND ? claim_reason(found) : REASON_token_claim_invalid;
    subject->id = identity_copy(value);
    if (token->groups.length > 0) {
        *claim = (const char *)token->groups.data;
        found = jwt_claim_list(claims, token->groups, &items, &count);
        if (found == JWT_CLAIM_INVALID)
            return REASON_token_claim_invalid;
        if (found == JWT_CLAIM_FOUND)
            keep_members(subject, items, count);
    }
    for (size_t i = 0; i < row->attribute_count; i++) {
        *claim = row->attributes[i].value_name;
        found = jwt_claim_text(claims, view_of_string(*claim), &value);
        if (found == JWT_CLAIM_INVALID)
            return REASON_token_claim_invalid;
        if (found == JWT_CLAIM_FOUND)
            identity_set_value(subject, row->attributes[i].slot, value);
    }
    return REASON_none;
}

/* The given value of a claim, or NULL. */
static const struct view *find_given(const struct policy_claims *claims, struct view path)
{
    for (size_t i = 0; i < claims->value_count; i++) {
        if (view_equal_string(path, claims->values[i].name))
            return &claims->values[i].value;
    }
    return NULL;
}

static struct policy_identification take_given(
    const struct identity_row *row, const struct policy_claims *claims, struct policy_subject *subject)
{
    const struct view *id = find_given(claims, row->token->id);

    if (id == NULL || id->length == 0)
        return identity_refused(REASON_token_claim_missing, NULL, (const char *)row->token->id.data);
    subject->id = identity_copy(*id);
    if (row->token->groups.length > 0)
        keep_members(subject, claims->members, claims->member_count);
    for (size_t i = 0; i < row->attribute_count; i++) {
        const struct view *value = find_given(claims, view_of_string(row->attributes[i].value_name));
        if (value != NULL)
            identity_set_value(subject, row->attributes[i].slot, *value);
    }
    return (struct policy_identification){.result = POLICY_IDENTIFIED, .reason = REASON_none};
}

struct policy_identification identity_jwt_take(const struct identity_row *row,
    const struct policy_credentials *credentials, struct policy_subject *subject)
{
    const struct identity_token *token = row->token;
    const struct jwks *jwks =
        credentials->find_jwks == NULL ? NULL : credentials->find_jwks(credentials->context, token->jwks);
    struct policy_identification identification = {.result = POLICY_IDENTIFIED, .reason = REASON_none};
    struct jwt *claims = NULL;
    char detail[JWT_DETAIL_SIZE];
    const char *claim = detail;
    /* Where a session may outlast its token, the token is to hold at the time when it is presented. */
    bool then = !row->ends_at_expiry && credentials->presented_s != 0;

    if (credentials->claims != NULL)
        return take_given(row, credentials->claims, subject);
    if (jwks == NULL)
        return identity_refused(REASON_token_key_unknown, NULL, token->jwks);
    enum reason reason = jwt_verify(jwks, &token->settings, token_of(token, credentials),
        then ? credentials->presented_s : credentials->now_s, &claims, detail);
    if (reason == REASON_none)
        reason = take_claims(row, claims, subject, &claim);
    if (reason == REASON_none)
        identification.expires_s = row->ends_at_expiry ? jwt_expires_s(claims) : 0;
    else
        identification = identity_refused(reason, NULL, claim);
    identification.token = token->passed ? POLICY_TOKEN_NONE : token->in;
    jwt_free(claims);
    return identification;
}
