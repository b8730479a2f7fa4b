/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of policy/ share. */
#ifndef MQWARD_TESTS_POLICY_SUPPORT_H
#define MQWARD_TESTS_POLICY_SUPPORT_H

#include <criterion/criterion.h>

#include "policy/policy.h"

/* For loops of many thousand checks: Criterion's own assertions report each success to the runner, which
 * takes longer than what is tested. */
#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            cr_assert_fail(__VA_ARGS__);                                                                     \
    } while (0)

/* Random numbers that a printed seed repeats: MQWARD_SEED=<n> in the environment. */
struct random {
    uint64_t state;
};
struct random random_seeded(const char *what);
size_t random_below(struct random *random, size_t limit); /* limit > 0 */
bool random_chance(struct random *random, unsigned percent);

/* A policy and everything it needs to live. */
struct fixture {
    struct diag_list *diag;
    struct diag_source source;
    struct policy *policy; /* NULL: refused */
    char *messages;        /* what diag_print() prints */
};
/* Compiles text; the names "fleet", "other" (CAs) and "users" (password file), "idp" (key set), "m25a" (a
 * master of signature keys), "ops-1" (a static one), "iot" and "packers" (rule sets) are known. */
struct fixture fixture_compile(const char *text);
/* The same, and fails the test if the policy has errors. */
struct fixture fixture_good(const char *text);
void fixture_free(struct fixture *fixture);

/* A client with a certificate of CA fleet: cn=<id>, ou=<site> (NULL: none); its client id is <id>. */
struct policy_subject *fixture_device(const struct fixture *fixture, const char *id, const char *site);
/* A client with user name and password. */
struct policy_subject *fixture_user(const struct fixture *fixture, const char *username);

struct policy_verdict publish(
    const struct fixture *fixture, const struct policy_subject *subject, const char *topic);
struct policy_verdict receive(
    const struct fixture *fixture, const struct policy_subject *subject, const char *topic);
struct policy_subscribe_verdict subscribe(
    const struct fixture *fixture, const struct policy_subject *subject, const char *filter);

/* The rule's name or "". */
const char *rule_name(const struct policy_rule_info *rule);
/* A file's text, NUL-terminated, or NULL. free() it. */
char *read_text(const char *path);

#endif
