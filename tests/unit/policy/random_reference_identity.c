/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for identities: from what a client presents to who it is, and what there is against it. */
#include "random_policy.h"

/* ---- texts ---- */

static bool is_safe(const char *text)
{
    if (text[0] == '\0' || text[0] == '$' || strlen(text) > 1024 || strpbrk(text, "/+#\x7f") != NULL)
        return false;
    for (; *text != '\0'; text++) {
        unsigned char here = (unsigned char)text[0], next = (unsigned char)text[1];
        if (here < 0x20 || (here == 0xc2 && next < 0xa0))
            return false;
    }
    return true;
}

/* '*' stands for any text, <name> for the subject's value and nothing else. */
static bool glob(const char *pattern, const char *text, const struct random_subject *subject)
{
    size_t open, close;
    if (pattern[0] == '\0')
        return text[0] == '\0';
    if (pattern[0] == '*')
        return glob(pattern + 1, text, subject) || (text[0] != '\0' && glob(pattern, text + 1, subject));
    if (pattern[0] == '<') {
        const char *value = subject->value[level_placeholder(pattern, strlen(pattern), &open, &close)];
        size_t length = strlen(value);
        return strncmp(text, value, length) == 0 && glob(pattern + close, text + length, subject);
    }
    return pattern[0] == text[0] && glob(pattern + 1, text + 1, subject);
}

static bool network_has(const char *network, const char *address)
{
    static const struct {
        const char *network, *address;
    } inside[] = {
        {"10.0.0.0/8", "10.1.2.3"},
        {"10.0.0.0/8", "::ffff:10.1.2.3"},
        {"192.0.2.7", "192.0.2.7"},
        {"2001:db8::/32", "2001:db8::1"},
    };
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
        if (strcmp(inside[i].network, network) == 0 && strcmp(inside[i].address, address) == 0)
            return true;
    }
    return false;
}

/* ---- the source ---- */

static void set_value(struct random_subject *subject, enum placeholder placeholder, const char *text)
{
    bool safe = is_safe(text) && !(broker_reads_dots(subject->dialect) && strpbrk(text, ".*") != NULL);
    subject->value[placeholder] = safe ? text : NULL;
    subject->unsafe[placeholder] = !safe;
}

static bool presents(const struct random_client *client, enum source_kind kind)
{
    bool leads_to_fleet = false;
    for (size_t i = 0; i < client->ca_count; i++)
        leads_to_fleet |= strcmp(client->cas[i], "fleet") == 0;
    switch (kind) {
    case SOURCE_CERT:
        return leads_to_fleet;
    case SOURCE_PASSWORD:
        return client->username != NULL && client->password;
    case SOURCE_BROKER_USERNAME:
        return client->username != NULL;
    case SOURCE_BROKER_CLIENT_ID:
        return client->client_id[0] != '\0';
    case SOURCE_ANONYMOUS:
        return true;
    }
    return false;
}

/* The identity that the certificate carries, or NULL. */
static const char *certificate_id(const struct random_source *source, const struct random_client *client)
{
    const char *id = client->cn[0] == NULL ? client->cn[1] : client->cn[0];
    if (id == NULL || (client->cn[0] != NULL && client->cn[1] != NULL) ||
        (client->ou[0] != NULL && client->ou[1] != NULL))
        return NULL;
    if (source->strip)
        id = strncmp(id, "d-", 2) == 0 ? id + 2 : "";
    return id[0] == '\0' ? NULL : id;
}

static const char *identity_of(
    const struct random_source *source, const struct random_client *client, struct random_subject *subject)
{
    const char *site = client->ou[0] == NULL ? client->ou[1] : client->ou[0];
    switch (source->kind) {
    case SOURCE_CERT:
        if (site != NULL)
            set_value(subject, P_SITE, site);
        return certificate_id(source, client);
    case SOURCE_PASSWORD:
    case SOURCE_BROKER_USERNAME:
        return client->username;
    case SOURCE_BROKER_CLIENT_ID:
        return client->client_id;
    case SOURCE_ANONYMOUS:
        return "a";
    }
    return NULL;
}

/* ---- groups ---- */

static bool in_group(const struct random_group *group, const char *id, const struct random_client *client,
    const struct random_subject *subject, bool *unsafe)
{
    bool fits = group->ids[0] == NULL || glob(group->ids[0], id, subject) ||
                (group->ids[1] != NULL && glob(group->ids[1], id, subject));
    if (!fits || (group->sources != 0 && (group->sources & subject->source) == 0) ||
        (group->network != NULL && !network_has(group->network, client->address)))
        return false;
    if (group->site == NULL)
        return true;
    *unsafe |= subject->unsafe[P_SITE];
    return subject->value[P_SITE] != NULL && glob(group->site, subject->value[P_SITE], subject);
}

/* ---- what is against it ---- */

static void refuse(struct reference_identity *identity, enum reason reason)
{
    identity->result = POLICY_REFUSED;
    identity->refuses[reason] = true;
}

static void refuse_value(
    struct reference_identity *identity, const struct random_subject *subject, enum placeholder placeholder)
{
    refuse(identity, subject->unsafe[placeholder] ? REASON_identity_unsafe : REASON_identity_missing);
}

static bool pattern_needs(const char *pattern, enum placeholder placeholder)
{
    for (; *pattern != '\0'; pattern++) {
        size_t length = strlen(placeholder_text[placeholder]);
        if (pattern[0] == '<' && strncmp(pattern + 1, placeholder_text[placeholder], length) == 0 &&
            pattern[1 + length] == '>')
            return true;
    }
    return false;
}

static bool rule_needs(const struct random_rule *rule, enum placeholder placeholder)
{
    bool needs = false;
    for (size_t i = 0; i < rule->topics; i++)
        needs |= pattern_needs(rule->topic[i], placeholder);
    for (size_t i = 0; i < rule->excepts; i++)
        needs |= pattern_needs(rule->except[i], placeholder);
    return needs;
}

bool reference_rule_needs(
    const struct random_policy *policy, const struct random_subject *subject, const char *name)
{
    const struct random_rule *rule = find_rule(policy, name);
    if (strcmp(name, "client_id") == 0)
        return policy->client_id != NULL;
    for (int i = 0; rule != NULL && i < PLACEHOLDERS; i++) {
        if (subject->value[i] == NULL && rule_needs(rule, (enum placeholder)i))
            return rule_applies_to(rule, subject) && !rule->monitor;
    }
    return false;
}

/* Values that enforced rules about the subject need. A client id that the broker has yet to assign is not
 * missing. */
static void check_values(const struct random_policy *policy, const struct random_subject *subject,
    bool assigned, struct reference_identity *identity)
{
    for (size_t i = 0; i < policy->rules; i++) {
        const struct random_rule *rule = &policy->rule[i];
        for (int p = 0; p < PLACEHOLDERS && !rule->monitor && rule_applies_to(rule, subject); p++) {
            bool pending = p == P_CLIENT_ID && !assigned && !subject->unsafe[p];
            if (subject->value[p] == NULL && !pending && rule_needs(rule, (enum placeholder)p))
                refuse_value(identity, subject, (enum placeholder)p);
        }
    }
}

static void check_client_id(const struct random_policy *policy, const char *client_id,
    const struct random_subject *subject, struct reference_identity *identity)
{
    const char *pattern = policy->client_id;
    if (pattern == NULL)
        return;
    for (int p = 0; p < PLACEHOLDERS; p++) {
        if (pattern_needs(pattern, (enum placeholder)p) && subject->value[p] == NULL) {
            refuse_value(identity, subject, (enum placeholder)p);
            return;
        }
    }
    /* One that is not known yet may become any text that a '*' stands for. */
    if (client_id[0] == '\0' ? strchr(pattern, '*') == NULL : !glob(pattern, client_id, subject))
        refuse(identity, REASON_client_id_not_allowed);
}

void reference_forget(struct random_subject *subject)
{
    *subject = (struct random_subject){.groups = 1, .forgotten = true, .source = subject->source};
}

struct reference_identity reference_identify(
    const struct random_policy *policy, const struct random_client *client, struct random_subject *subject)
{
    static const enum policy_source sources[] = {POLICY_SOURCE_CERT, POLICY_SOURCE_PASSWORD,
        POLICY_SOURCE_BROKER, POLICY_SOURCE_BROKER, POLICY_SOURCE_ANONYMOUS};
    static const enum policy_identify_result results[] = {
        POLICY_IDENTIFIED, POLICY_CHECK_PASSWORD, POLICY_ASK_BROKER, POLICY_ASK_BROKER, POLICY_IDENTIFIED};
    struct reference_identity identity = {.result = POLICY_IDENTIFIED};
    const struct random_source *source = NULL;
    bool unsafe_group = false;
    *subject = (struct random_subject){.groups = 1, .dialect = client->dialect};
    for (size_t i = 0; i < policy->sources && source == NULL; i++)
        source = presents(client, policy->source[i].kind) ? &policy->source[i] : NULL;
    if (source == NULL) {
        refuse(&identity, REASON_identity_no_credential);
        return identity;
    }
    identity.result = results[source->kind];
    subject->source = sources[source->kind];
    const char *id = identity_of(source, client, subject);
    if (id == NULL) {
        refuse(&identity, REASON_identity_bad_certificate);
        return identity;
    }
    set_value(subject, P_ID, id);
    if (client->client_id[0] != '\0')
        set_value(subject, P_CLIENT_ID, client->client_id);
    if (client->username != NULL)
        set_value(subject, P_USERNAME, client->username);
    for (size_t i = 0; i < policy->groups; i++)
        subject->groups |= in_group(&policy->group[i], id, client, subject, &unsafe_group) ? 2U << i : 0;
    if (unsafe_group)
        refuse(&identity, REASON_identity_unsafe);
    check_client_id(policy, client->client_id, subject, &identity);
    check_values(policy, subject, client->client_id[0] != '\0', &identity);
    return identity;
}

struct reference_identity reference_assign(
    const struct random_policy *policy, const char *client_id, struct random_subject *subject)
{
    struct reference_identity identity = {.result = POLICY_IDENTIFIED};
    if (subject->forgotten)
        return identity;
    check_client_id(policy, client_id, subject, &identity);
    set_value(subject, P_CLIENT_ID, client_id);
    check_values(policy, subject, true, &identity);
    return identity;
}
