/* SPDX-License-Identifier: Apache-2.0 */
/* Random clients: what they present, mostly fit to be let in. */
#include <stdio.h>

#include "random_policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PICK(random, array) ((array)[random_below((random), COUNT(array))])

static const char *const safe_values[] = {"a", "a", "b", "x1", "ab", "a.b", "a*"};
static const char *const unsafe_values[] = {"", "a/b", "+", "#", "a#", "$x", "a\x01", "\xc2\x85", "a\x7f"};

static const char *random_value(struct random *random)
{
    return random_chance(random, 4) ? PICK(random, unsafe_values) : PICK(random, safe_values);
}

static void random_certificate(struct random *random, struct random_client *client)
{
    static const char *const stripped[] = {"d-a", "d-b", "d-x1", "d-", "d-a+"};
    client->ca_count = random_chance(random, 20) ? 2 : 1;
    client->cas[0] = random_chance(random, 90) ? "fleet" : "other";
    client->cas[1] = client->cas[0][0] == 'f' ? "other" : "fleet";
    for (size_t i = 0; i < 2; i++) {
        unsigned likely = i == 0 ? 96 : 2;
        if (random_chance(random, likely))
            client->cn[i] = random_chance(random, 12) ? PICK(random, stripped) : random_value(random);
        if (random_chance(random, likely))
            client->ou[i] = random_value(random);
    }
}

/* One that most policies let in. */
static void fitting_client(
    struct random *random, const struct random_policy *policy, struct random_client *client)
{
    static const char *const client_ids[] = {"a", "a", "a-1", "1-a", "x1", ""};
    static const enum dialect dialects[] = {
        DIALECT_EMQX, DIALECT_EMQX, DIALECT_MOSQUITTO, DIALECT_MOSQUITTO, DIALECT_RABBITMQ};
    bool stripped = false;
    for (size_t i = 0; i < policy->sources; i++)
        stripped |= policy->source[i].strip;
    *client = (struct random_client){.cas = {"fleet"},
        .ca_count = 1,
        .cn = {stripped ? "d-a" : PICK(random, safe_values)},
        .ou = {PICK(random, safe_values)},
        .username = PICK(random, safe_values),
        .password = true,
        .client_id = PICK(random, client_ids),
        .assigned = PICK(random, client_ids),
        .address = "10.1.2.3",
        .dialect = PICK(random, dialects)};
    client->assigned = client->assigned[0] == '\0' ? "a-b" : client->assigned;
}

void random_client(struct random *random, const struct random_policy *policy, struct random_client *client)
{
    static const char *const addresses[] = {
        "10.1.2.3", "192.0.2.7", "192.0.2.8", "2001:db8::1", "2001:db9::1", "::ffff:10.1.2.3"};
    static const char *const client_ids[] = {"a", "a", "b", "x1", "a-1", "b-1", "d-a", "1-a", "-"};
    static const enum dialect dialects[] = {DIALECT_MOSQUITTO, DIALECT_EMQX, DIALECT_EMQX, DIALECT_NANOMQ,
        DIALECT_HIVEMQ, DIALECT_RABBITMQ, DIALECT_RABBITMQ, DIALECT_ARTEMIS, DIALECT_AWS};
    if (random_chance(random, 40)) {
        fitting_client(random, policy, client);
        return;
    }
    *client = (struct random_client){.address = PICK(random, addresses), .dialect = PICK(random, dialects)};
    if (random_chance(random, 85))
        random_certificate(random, client);
    if (random_chance(random, 75)) {
        client->username = random_value(random);
        client->password = random_chance(random, 70);
    }
    client->client_id = random_chance(random, 15)   ? ""
                        : random_chance(random, 70) ? PICK(random, client_ids)
                                                    : random_value(random);
    client->assigned = random_chance(random, 75) ? PICK(random, client_ids) : "a/b";
}

const char *random_client_describe(const struct random_client *client)
{
    static char text[512];
    snprintf(text, sizeof(text),
        "client: ca %s %s cn '%s' '%s' ou '%s' '%s' username '%s' password %d client id '%s' assigned '%s' "
        "address %s dialect %s",
        client->ca_count > 0 ? client->cas[0] : "-", client->ca_count > 1 ? client->cas[1] : "-",
        client->cn[0] == NULL ? "-" : client->cn[0], client->cn[1] == NULL ? "-" : client->cn[1],
        client->ou[0] == NULL ? "-" : client->ou[0], client->ou[1] == NULL ? "-" : client->ou[1],
        client->username == NULL ? "-" : client->username, client->password, client->client_id,
        client->assigned, client->address, dialect_name(client->dialect));
    return text;
}

struct policy_identification random_client_identify(
    const struct policy *policy, const struct random_client *client, struct policy_subject **subject)
{
    struct policy_certificate_value values[4];
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        if (client->ou[i] != NULL)
            values[count++] = (struct policy_certificate_value){"ou", view_of_string(client->ou[i])};
        if (client->cn[i] != NULL)
            values[count++] = (struct policy_certificate_value){"cn", view_of_string(client->cn[i])};
    }
    const struct policy_credentials credentials = {
        .has_certificate = client->ca_count > 0,
        .certificate_cas = client->cas,
        .certificate_ca_count = client->ca_count,
        .certificate_values = values,
        .certificate_value_count = count,
        .has_username = client->username != NULL,
        .username = view_of_string(client->username),
        .has_password = client->password,
        .password = view_of_string(client->password ? "secret" : NULL),
        .client_id = view_of_string(client->client_id),
        .address = view_of_string(client->address),
        .dialect = client->dialect,
    };
    return policy_identify(policy, &credentials, subject);
}
