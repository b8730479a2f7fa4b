/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from credentials to a subject: which source, which identity, which groups, and whether the
 * values that rules will fill into their topics are there and safe. Called by the proxy at CONNECT and, for a
 * client id that the broker assigns, at CONNACK. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "policy/compiled.h"
#include "policy/identity.h"

/* ---- values ---- */

struct view identity_copy(struct view value)
{
    return view_of(memory_copy_string(value), value.length);
}

static struct policy_subject *new_subject(const struct policy *policy)
{
    struct policy_subject *subject =
        memory_calloc(1, sizeof(*subject) + policy->names.count * sizeof(struct view) +
                             policy->group_words * sizeof(uint64_t));
    subject->magic = SUBJECT_MAGIC;
    subject->policy = policy;
    subject->source = POLICY_SOURCE_ANONYMOUS;
    subject->values = (struct view *)(subject + 1);
    subject->groups = (uint64_t *)(subject->values + policy->names.count);
    subject->groups[0] = 1;
    return subject;
}

static void free_values(struct policy_subject *subject)
{
    for (size_t slot = 0; slot < subject->policy->names.count; slot++) {
        free((void *)(uintptr_t)subject->values[slot].data);
        subject->values[slot] = (struct view){NULL, 0};
    }
}

/* A value that is there but not safe is not kept: nothing can be filled with it by accident. One with dots
 * would be several levels where dots separate them. */
void identity_set_value(struct policy_subject *subject, unsigned slot, struct view value)
{
    bool joins =
        dialect_reads_dots(subject->dialect) && value.length > 0 &&
        (memchr(value.data, '.', value.length) != NULL || memchr(value.data, '*', value.length) != NULL);
    if (placeholder_value_safe(value) && !joins)
        subject->values[slot] = identity_copy(value);
    else
        subject->unsafe |= UINT64_C(1) << slot;
}

static struct policy_identification identified(void)
{
    return (struct policy_identification){.result = POLICY_IDENTIFIED, .reason = REASON_none};
}

struct policy_identification identity_refused(
    enum reason reason, const struct policy_rule_info *rule, const char *detail)
{
    struct policy_identification identification = {.result = POLICY_REFUSED, .reason = reason, .rule = rule};
    snprintf(identification.detail, sizeof(identification.detail), "%s", detail);
    return identification;
}

/* ---- sources ---- */

/* How often a certificate has a value; *value is the first. */
static size_t find_certificate_value(
    const struct policy_credentials *credentials, const char *name, struct view *value)
{
    size_t found = 0;
    for (size_t i = 0; i < credentials->certificate_value_count; i++) {
        const struct policy_certificate_value *candidate = &credentials->certificate_values[i];
        if (strcmp(candidate->name, name) == 0 && found++ == 0)
            *value = candidate->value;
    }
    return found;
}

static bool cert_present(const struct identity_row *row, const struct policy_credentials *credentials)
{
    for (size_t i = 0; credentials->has_certificate && i < credentials->certificate_ca_count; i++) {
        if (strcmp(credentials->certificate_cas[i], row->ca) == 0)
            return true;
    }
    return false;
}

static bool password_present(const struct identity_row *row, const struct policy_credentials *credentials)
{
    (void)row;
    return credentials->has_username && credentials->has_password;
}

static bool broker_present(const struct identity_row *row, const struct policy_credentials *credentials)
{
    return row->from_client_id ? credentials->client_id.length > 0 : credentials->has_username;
}

static bool anonymous_present(const struct identity_row *row, const struct policy_credentials *credentials)
{
    (void)row;
    (void)credentials;
    return true;
}

static struct policy_identification take_cert(const struct identity_row *row,
    const struct policy_credentials *credentials, struct policy_subject *subject)
{
    struct view id = {NULL, 0}, value;
    if (find_certificate_value(credentials, row->value_name, &id) != 1 || !view_starts_with(id, row->strip))
        return identity_refused(REASON_identity_bad_certificate, NULL, row->value_name);
    subject->id = identity_copy(view_skip(id, row->strip.length));
    if (subject->id.length == 0)
        return identity_refused(REASON_identity_bad_certificate, NULL, row->value_name);
    for (size_t i = 0; i < row->attribute_count; i++) {
        const struct identity_attribute *attribute = &row->attributes[i];
        size_t found = find_certificate_value(credentials, attribute->value_name, &value);
        /* Which of several is meant nobody can say, and a group or a deny may depend on it. */
        if (found > 1)
            return identity_refused(REASON_identity_bad_certificate, NULL, attribute->value_name);
        if (found == 1)
            identity_set_value(subject, attribute->slot, value);
    }
    struct policy_identification identification = identified();
    identification.expires_s = row->ends_at_expiry ? credentials->certificate_expires_s : 0;
    return identification;
}

static struct policy_identification take_password(const struct identity_row *row,
    const struct policy_credentials *credentials, struct policy_subject *subject)
{
    struct policy_identification identification = {.result = POLICY_CHECK_PASSWORD, .reason = REASON_none};
    identification.password_file = row->password_file;
    subject->id = identity_copy(credentials->username);
    return identification;
}

static struct policy_identification take_broker(const struct identity_row *row,
    const struct policy_credentials *credentials, struct policy_subject *subject)
{
    subject->id = identity_copy(row->from_client_id ? credentials->client_id : credentials->username);
    return (struct policy_identification){.result = POLICY_ASK_BROKER, .reason = REASON_none};
}

static struct policy_identification take_anonymous(const struct identity_row *row,
    const struct policy_credentials *credentials, struct policy_subject *subject)
{
    (void)credentials;
    subject->id = identity_copy(row->anonymous_id);
    return identified();
}

static const struct source_row {
    enum policy_source source;
    const char *name;
    bool (*present)(const struct identity_row *row, const struct policy_credentials *credentials);
    struct policy_identification (*take)(const struct identity_row *row,
        const struct policy_credentials *credentials, struct policy_subject *subject);
} sources[] = {
    {POLICY_SOURCE_CERT, "cert", cert_present, take_cert},
    {POLICY_SOURCE_JWT, "jwt", identity_jwt_present, identity_jwt_take},
    {POLICY_SOURCE_PASSWORD, "password", password_present, take_password},
    {POLICY_SOURCE_BROKER, "broker", broker_present, take_broker},
    {POLICY_SOURCE_ANONYMOUS, "anonymous", anonymous_present, take_anonymous},
};

static const struct source_row *find_source(enum policy_source source)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        if (sources[i].source == source)
            return &sources[i];
    }
    assert(false && "not a source");
    return NULL;
}

const char *policy_source_name(enum policy_source source)
{
    return find_source(source)->name;
}

static struct policy_identification take_identity(
    const struct policy *policy, const struct policy_credentials *credentials, struct policy_subject *subject)
{
    for (size_t i = 0; i < policy->identity_count; i++) {
        const struct identity_row *row = &policy->identities[i];
        const struct source_row *source = find_source(row->source);
        if (!source->present(row, credentials))
            continue;
        subject->source = row->source;
        struct policy_identification identification = source->take(row, credentials, subject);
        identification.source = row->source;
        return identification;
    }
    return identity_refused(REASON_identity_no_credential, NULL, "");
}

/* ---- groups ---- */

static bool any_glob_matches(const struct view *globs, size_t count, struct view text)
{
    for (size_t i = 0; i < count; i++) {
        if (glob_matches(globs[i], text))
            return true;
    }
    return false;
}

static bool in_networks(const struct policy_group *group, const uint8_t *address)
{
    for (size_t i = 0; i < group->network_count && address != NULL; i++) {
        if (network_contains(&group->networks[i], address))
            return true;
    }
    return false;
}

static bool has_attributes(const struct policy_group *group, const struct policy_subject *subject)
{
    for (size_t i = 0; i < group->attribute_count; i++) {
        const struct attribute_condition *condition = &group->attributes[i];
        struct view value = subject->values[condition->slot];
        if (value.data == NULL || !any_glob_matches(condition->globs, condition->glob_count, value))
            return false;
    }
    return true;
}

static bool is_member(const struct policy_group *group, const struct policy_subject *subject)
{
    bool found = group->member_count == 0;
    for (size_t i = 0; i < subject->member_count && !found; i++)
        found = any_glob_matches(group->members, group->member_count, subject->members[i]);
    return found;
}

/* The first attribute that a group asks for and that is there but not safe; -1: none. */
static int find_unsafe_attribute(const struct policy_group *group, const struct policy_subject *subject)
{
    for (size_t i = 0; i < group->attribute_count; i++) {
        if ((subject->unsafe >> group->attributes[i].slot & 1) != 0)
            return group->attributes[i].slot;
    }
    return -1;
}

/* Refuses where an unsafe attribute, which is not kept, would decide: nobody could say whether it fits, and a
 * deny for the group must not vanish. */
static struct policy_identification find_groups(
    const struct policy *policy, const struct policy_credentials *credentials, struct policy_subject *subject)
{
    uint8_t bytes[16];
    const uint8_t *address = network_parse_address(credentials->address, bytes) ? bytes : NULL;
    for (size_t i = 0; i < policy->group_count; i++) {
        const struct policy_group *group = &policy->groups[i];
        if ((group->sources != 0 && (group->sources & subject->source) == 0) ||
            (group->id_count > 0 && !any_glob_matches(group->ids, group->id_count, subject->id)) ||
            (group->network_count > 0 && !in_networks(group, address)) || !is_member(group, subject))
            continue;
        int unsafe = find_unsafe_attribute(group, subject);
        if (unsafe >= 0)
            return identity_refused(REASON_identity_unsafe, NULL, policy->names.names[unsafe]);
        if (has_attributes(group, subject))
            subject->groups[(i + 1) / 64] |= UINT64_C(1) << (i + 1) % 64;
    }
    return identified();
}

/* ---- what rules need ---- */

static struct policy_identification value_refused(const struct policy *policy,
    const struct policy_subject *subject, unsigned slot, const struct policy_rule_info *rule)
{
    bool unsafe = (subject->unsafe >> slot & 1) != 0;
    return identity_refused(
        unsafe ? REASON_identity_unsafe : REASON_identity_missing, rule, policy->names.names[slot]);
}

static bool needs_missing(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_rule *rule, uint64_t missing)
{
    return (rule->slots & missing) != 0 && !rule->monitor && rule_applies(policy, rule, subject->groups);
}

/* Refuses if an enforced rule or check about this subject needs a value, other than those of pending, that
 * can't be used. A rule that only monitors does not keep anybody out. */
static struct policy_identification check_values(
    const struct policy *policy, const struct policy_subject *subject, uint64_t pending)
{
    uint64_t missing = 0;
    for (size_t slot = 0; slot < policy->names.count; slot++)
        missing |= subject->values[slot].data == NULL ? UINT64_C(1) << slot : 0;
    missing &= ~pending;
    for (size_t i = 0; missing != 0 && i < policy->rule_count; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        if (needs_missing(policy, subject, rule, missing))
            return value_refused(
                policy, subject, (unsigned)__builtin_ctzll(rule->slots & missing), &rule->info);
    }
    for (size_t i = 0; missing != 0 && i < policy->check_count; i++) {
        const struct policy_rule *match = &policy->checks[i].match;
        if (needs_missing(policy, subject, match, missing))
            return value_refused(
                policy, subject, (unsigned)__builtin_ctzll(match->slots & missing), &match->info);
    }
    return identified();
}

/* The pattern's parts around the value are globs; the value itself is literal, so it is tried at every place
 * where it occurs; the bound on the length bounds that. */
static bool client_id_fits(const struct client_id_pattern *pattern, struct view value, struct view client_id)
{
    if (client_id.length > 2 * PLACEHOLDER_VALUE_MAXIMUM)
        return false;
    if (!pattern->has_slot)
        return glob_matches(pattern->prefix, client_id);
    for (size_t at = 0; at + value.length <= client_id.length; at++) {
        struct view rest = view_of(client_id.data + at, client_id.length - at);
        if (view_starts_with(rest, value) && glob_matches(pattern->prefix, view_of(client_id.data, at)) &&
            glob_matches(pattern->suffix, view_skip(rest, value.length)))
            return true;
    }
    return false;
}

static struct policy_identification check_client_id(
    const struct policy *policy, const struct policy_subject *subject, struct view client_id)
{
    const struct client_id_pattern *pattern = &policy->client_id;
    if (!pattern->given)
        return identified();
    struct view value = subject->values[pattern->slot];
    if (pattern->has_slot && value.data == NULL)
        return value_refused(policy, subject, pattern->slot, &pattern->info);
    /* One that the broker is to make up can only fit a pattern with a '*'; it is checked when it is known. */
    bool fits = client_id.length == 0 ? pattern->open : client_id_fits(pattern, value, client_id);
    return fits ? identified()
                : identity_refused(REASON_client_id_not_allowed, &pattern->info, pattern->mismatch);
}

/* ---- the whole ---- */

/* In monitor mode a refusal lets in somebody of whom nothing is believed. */
static void forget(const struct policy *policy, struct policy_subject *subject)
{
    memset(subject->groups, 0, policy->group_words * sizeof(*subject->groups));
    subject->groups[0] = 1;
    subject->refused = true;
    free_values(subject);
}

/* What can be asked once the identity is known. */
static struct policy_identification check_identity(
    const struct policy *policy, const struct policy_credentials *credentials, struct policy_subject *subject)
{
    bool assigned = credentials->client_id.length == 0;
    /* Globs, limits and audit handle the identity itself, so its length is bounded whether or not a rule
     * fills it in. */
    if (subject->id.length > PLACEHOLDER_VALUE_MAXIMUM)
        return identity_refused(REASON_identity_unsafe, NULL, "id");
    identity_set_value(subject, SLOT_ID, subject->id);
    if (!assigned)
        identity_set_value(subject, SLOT_CLIENT_ID, credentials->client_id);
    if (credentials->has_username)
        identity_set_value(subject, SLOT_USERNAME, credentials->username);
    struct policy_identification check = find_groups(policy, credentials, subject);
    if (check.result != POLICY_REFUSED)
        check = check_client_id(policy, subject, credentials->client_id);
    if (check.result == POLICY_REFUSED)
        return check;
    return check_values(policy, subject, assigned ? UINT64_C(1) << SLOT_CLIENT_ID : 0);
}

struct policy_identification policy_identify(
    const struct policy *policy, const struct policy_credentials *credentials, struct policy_subject **out)
{
    assert(policy->magic == POLICY_MAGIC);
    struct policy_subject *subject = new_subject(policy);
    subject->dialect = credentials->dialect;
    struct policy_identification identification = take_identity(policy, credentials, subject);
    if (identification.result != POLICY_REFUSED) {
        struct policy_identification check = check_identity(policy, credentials, subject);
        check.source = identification.source;
        check.token = identification.token;
        if (check.result == POLICY_REFUSED)
            identification = check;
    }
    *out = subject;
    if (identification.result == POLICY_REFUSED && policy->settings.mode == POLICY_ENFORCE) {
        policy_subject_free(subject);
        *out = NULL;
    } else if (identification.result == POLICY_REFUSED) {
        forget(policy, subject);
    }
    return identification;
}

struct policy_identification policy_subject_set_client_id(
    const struct policy *policy, struct policy_subject *subject, struct view client_id)
{
    assert(policy->magic == POLICY_MAGIC && subject->magic == SUBJECT_MAGIC && subject->policy == policy);
    if (subject->refused)
        return identified();
    struct policy_identification identification = check_client_id(policy, subject, client_id);
    if (identification.result != POLICY_REFUSED && client_id.length == 0 && policy->client_id.given)
        identification = identity_refused(
            REASON_client_id_not_allowed, &policy->client_id.info, policy->client_id.mismatch);
    if (identification.result != POLICY_REFUSED) {
        free((void *)(uintptr_t)subject->values[SLOT_CLIENT_ID].data);
        subject->values[SLOT_CLIENT_ID] = (struct view){NULL, 0};
        subject->unsafe &= ~(UINT64_C(1) << SLOT_CLIENT_ID);
        if (client_id.length > 0)
            identity_set_value(subject, SLOT_CLIENT_ID, client_id);
        identification = check_values(policy, subject, 0);
    }
    identification.source = subject->source;
    if (identification.result == POLICY_REFUSED)
        forget(policy, subject);
    return identification;
}

void policy_subject_distrust(const struct policy *policy, struct policy_subject *subject)
{
    assert(policy->magic == POLICY_MAGIC && subject->magic == SUBJECT_MAGIC && subject->policy == policy);
    free((void *)(uintptr_t)subject->id.data);
    subject->id = (struct view){NULL, 0};
    forget(policy, subject);
}

bool policy_subject_is_distrusted(const struct policy_subject *subject)
{
    assert(subject->magic == SUBJECT_MAGIC);
    return subject->refused;
}

void policy_subject_free(struct policy_subject *subject)
{
    if (subject == NULL)
        return;
    assert(subject->magic == SUBJECT_MAGIC);
    free_values(subject);
    free((void *)(uintptr_t)subject->id.data);
    free(subject->members);
    subject->magic = 0;
    free(subject);
}

struct view policy_subject_id(const struct policy_subject *subject)
{
    assert(subject->magic == SUBJECT_MAGIC);
    return subject->id;
}

enum policy_source policy_subject_source(const struct policy_subject *subject)
{
    assert(subject->magic == SUBJECT_MAGIC);
    return subject->source;
}

const uint64_t *policy_subject_group_bits(
    const struct policy *policy, const struct policy_subject *subject, size_t *words)
{
    assert(policy->magic == POLICY_MAGIC && subject->magic == SUBJECT_MAGIC && subject->policy == policy);
    *words = policy->group_words;
    return subject->groups;
}

size_t policy_subject_groups(
    const struct policy *policy, const struct policy_subject *subject, const char **names, size_t max)
{
    assert(policy->magic == POLICY_MAGIC && subject->magic == SUBJECT_MAGIC && subject->policy == policy);
    size_t count = 0;
    for (size_t i = 0; i < policy->group_count && count < max; i++) {
        if ((subject->groups[(i + 1) / 64] >> (i + 1) % 64 & 1) != 0)
            names[count++] = policy->groups[i].name;
    }
    return count;
}
