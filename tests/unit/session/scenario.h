/* SPDX-License-Identifier: Apache-2.0 */
/* One run of a scenario, line by line. */
#ifndef MQWARD_TESTS_UNIT_SESSION_SCENARIO_H
#define MQWARD_TESTS_UNIT_SESSION_SCENARIO_H

#include "world.h"

/* A policy that takes another one's place while a session goes on. */
struct scenario_policy {
    char name[32];
    const char *text;
};

#define SCENARIO_POLICIES_MAX 16
#define SCENARIO_TOKENS_MAX 64

/* One run of a scenario in one version. */
struct run {
    const char *file;
    unsigned line;
    const char *name;
    enum mqtt_version version;
    struct world *world;
    size_t seen; /* lines that came out and were expected */
    bool began, ended, failed;
    const struct scenario_policy *policies; /* that "rebind" names */
    size_t policy_count;
    struct scenario_token {
        char name[16];
        char *text; /* owned */
    } tokens[SCENARIO_TOKENS_MAX];
    size_t token_count;
};

/* The versions (bits) that a word means: "5.0", "3.x", "any"; 0: none. */
unsigned scenario_versions(const char *word, size_t length);
/* Does what a line says, or checks what came out; on failure prints it and sets failed. */
void scenario_step(struct run *run, const char *line);
/* Whatever happened: each CONNECT has one outcome in the audit, and each accepted one an end. */
void scenario_finish(struct run *run);

/* ---- for the files of the steps ---- */
void scenario_fail(struct run *run, const char *what, const char *detail);
/* Nothing that came out is left unmentioned, and the session has begun. */
bool scenario_may_act(struct run *run);
void scenario_begin(struct run *run);
void scenario_expect_number(struct run *run, const char *what, uint64_t actual, const char *expected);
void scenario_expect_text(struct run *run, const char *what, const char *actual, const char *expected);
enum reason scenario_reason(struct run *run, const char *name);

/* The steps about who a client is (scenario_identity.c). */
typedef void scenario_action(struct run *run, char *rest);
scenario_action scenario_shadow, scenario_rebind, scenario_password, scenario_tag, scenario_token,
    scenario_keys, scenario_expires, scenario_expire;
/* The steps about rates and bans (scenario_limits.c). */
scenario_action scenario_limited, scenario_counted, scenario_held_rates, scenario_unrecorded,
    scenario_carry_on, scenario_banned, scenario_denied, scenario_is_banned;
/* The steps about signatures (scenario_signed.c). */
scenario_action scenario_sign, scenario_answer, scenario_store, scenario_asking;
/* The steps about scans (scenario_scan.c). */
scenario_action scenario_scanned, scenario_scans_here, scenario_request, scenario_parts, scenario_terms,
    scenario_asking_broker, scenario_ready_broker;
/* The line with the text of each token in place of its "{name}"; false: too long, or no such token. */
bool scenario_fill_in(struct run *run, const char *line, char *out, size_t size);

#endif
