/* SPDX-License-Identifier: Apache-2.0 */
/* The steps about who a client is: passwords, tokens and their keys, and another policy while the session
 * goes on. Called by scenario.c through its table of words. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "issuer.h"
#include "scenario.h"

/* "shadow <name>": of the session that begins, or from the next rebind on. */
void scenario_shadow(struct run *run, char *rest)
{
    for (size_t i = 0; i < run->policy_count; i++)
        if (strcmp(run->policies[i].name, rest) == 0) {
            world_shadow(run->world, run->policies[i].text);
            return;
        }
    scenario_fail(run, "no such policy: ", rest);
}

/* "rebind <name>" */
void scenario_rebind(struct run *run, char *rest)
{
    if (!scenario_may_act(run))
        return;
    for (size_t i = 0; i < run->policy_count; i++)
        if (strcmp(run->policies[i].name, rest) == 0) {
            world_rebind(run->world, run->policies[i].text);
            return;
        }
    scenario_fail(run, "no such policy: ", rest);
}

/* "password <reason>": the answer that was put off. */
void scenario_password(struct run *run, char *rest)
{
    if (scenario_may_act(run))
        world_password(run->world, scenario_reason(run, rest));
}

/* "tag <number>": another entry in the password file; 0: none any more. */
void scenario_tag(struct run *run, char *rest)
{
    run->world->password_tag = strtoull(rest, NULL, 10);
}

/* "token <name> <words of issuer_token()>" */
void scenario_token(struct run *run, char *rest)
{
    struct scenario_token *token = &run->tokens[run->token_count];
    char *words = strchr(rest, ' ');

    if (words != NULL)
        *words = 0;
    if (run->token_count == SCENARIO_TOKENS_MAX ||
        (token->text = issuer_token(words == NULL ? "" : words + 1)) == NULL) {
        scenario_fail(run, "not a token: ", rest);
        return;
    }
    snprintf(token->name, sizeof(token->name), "%s", rest);
    run->token_count++;
}

/* "keys <name of a key>|none" */
void scenario_keys(struct run *run, char *rest)
{
    static const char *const names[] = {"k1", "k2", "k3"};

    run->world->keys = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], rest) == 0)
            run->world->keys = names[i];
    if (run->world->keys == NULL && strcmp(rest, "none") != 0)
        scenario_fail(run, "no such key: ", rest);
}

/* "expires <seconds since 1970>" */
void scenario_expires(struct run *run, char *rest)
{
    scenario_begin(run);
    scenario_expect_number(run, "expires ", session_expires_s(run->world->session), rest);
}

/* That time has come; what proxy/conn_timer.c does then. */
void scenario_expire(struct run *run, char *rest)
{
    (void)rest;
    if (scenario_may_act(run) && session_expire(run->world->session))
        world_abort(run->world, REASON_credential_expired);
}

static const char *find_token(const struct run *run, const char *name, size_t length)
{
    for (size_t i = 0; i < run->token_count; i++)
        if (strlen(run->tokens[i].name) == length && strncmp(run->tokens[i].name, name, length) == 0)
            return run->tokens[i].text;
    return NULL;
}

bool scenario_fill_in(struct run *run, const char *line, char *out, size_t size)
{
    size_t length = 0;

    while (*line != 0 && length + 1 < size) {
        const char *end = *line == '{' ? strchr(line, '}') : NULL, *token;

        if (end == NULL) {
            out[length++] = *line++;
            continue;
        }
        token = find_token(run, line + 1, (size_t)(end - line - 1));
        if (token == NULL || length + strlen(token) + 1 > size)
            break;
        memcpy(out + length, token, strlen(token));
        length += strlen(token);
        line = end + 1;
    }
    out[length] = 0;
    if (*line != 0)
        scenario_fail(run, "no such token, or too long: ", line);
    return *line == 0;
}
