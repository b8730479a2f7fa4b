/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted answers to what a session asks of its surroundings. Audit events are world_audit.c's. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/clock.h"
#include "issuer.h"
#include "signer.h"
#include "world.h"

static uint64_t on_password_tag(void *context, const char *file, struct view name)
{
    const struct world *world = context;

    (void)name;
    cr_expect_str_eq(file, "users");
    return world->password_tag;
}

static enum reason on_claim(
    void *context, struct view identity, struct view client_id, uint64_t limit, bool proven)
{
    struct world *world = context;

    world->claims++;
    snprintf(world->claimed, sizeof(world->claimed), "%s%.*s %.*s %llu", proven ? "" : "? ",
        VIEW_ARGS(identity), client_id.length == 0 ? 1 : (int)client_id.length,
        client_id.length == 0 ? "-" : (const char *)client_id.data, (unsigned long long)limit);
    return world->claim_answer;
}

/* "id eva", "address 203.0.113.9" */
static void party_text(const struct session_party *party, char out[256])
{
    snprintf(out, 256, "%s %.*s", party->is_address ? "address" : "id", VIEW_ARGS(party->value));
}

static bool on_denied(void *context, const struct session_party *party, const struct policy_repeat *repeat)
{
    struct world *world = context;

    party_text(party, world->denied);
    if (++world->denials < repeat->count)
        return false;
    world->denials = 0;
    return true;
}

static void on_ban(void *context, const struct session_ban *ban)
{
    struct world *world = context;
    struct buffer line = {0};
    char text[256];

    party_text(&ban->party, text);
    buffer_format(&line, "ban %s %llu %.*s", text, (unsigned long long)ban->for_ms, VIEW_ARGS(ban->why));
    world_take_line(world, &line);
}

static uint64_t on_ban_left(void *context, const struct session_party *party, bool ordered)
{
    const struct world *world = context;
    char text[256];

    party_text(party, text);
    return world->banned == NULL || strcmp(text, world->banned) != 0 || (ordered && !world->ban_ordered)
               ? 0
               : 90500;
}

static void on_hold_rates(void *context, const struct policy *policy, const struct policy_subject *subject)
{
    struct world *world = context;

    world->held_policy = policy;
    snprintf(world->held_rates, sizeof(world->held_rates), "%zu %.*s", policy_check_count(policy),
        subject == NULL ? 1 : (int)policy_subject_id(subject).length,
        subject == NULL ? "?" : (const char *)policy_subject_id(subject).data);
}

/* What is counted of a CONNECT, a check's own words say. */
static bool counts(const struct policy_check_info *check, enum session_counted counted)
{
    if (counted == SESSION_MESSAGE)
        return check->counts[POLICY_MESSAGES] || check->counts[POLICY_BYTES];
    return check->counts[POLICY_CONNECTS] &&
           (counted == SESSION_ARRIVAL) == (check->per == POLICY_PER_ADDRESS);
}

/* "message flood,bytes 5": what was counted against which checks. Those that the test says refuse. */
static struct session_rates on_count(
    void *context, enum session_counted counted, uint64_t checks, uint64_t bytes)
{
    static const char *const words[] = {"arrival", "entry", "message"};
    struct world *world = context;
    struct session_rates answer = {0};
    struct buffer line = {0};

    cr_assert_not_null(world->held_policy, "counted before anything was held");
    buffer_append(&line, view_of_string(words[counted]));
    for (size_t i = 0; i < policy_check_count(world->held_policy); i++) {
        const struct policy_check_info *check = policy_check(world->held_policy, i);
        uint64_t bit = UINT64_C(1) << i;

        if ((checks & bit) == 0 || !counts(check, counted))
            continue;
        buffer_format(
            &line, "%s%s", buffer_length(&line) == strlen(words[counted]) ? " " : ",", check->info.name);
        if (strstr(world->limited, check->info.name) == NULL)
            continue;
        if (check->monitor)
            answer.monitored |= bit;
        else if (answer.refused == 0)
            answer.refused = bit;
    }
    if (counted == SESSION_MESSAGE)
        buffer_format(&line, " %llu", (unsigned long long)bytes);
    snprintf(world->counted, sizeof(world->counted), "%.*s", VIEW_ARGS(buffer_view(&line)));
    buffer_release(&line);
    if (answer.refused != 0)
        answer.monitored = 0;
    return answer;
}

const struct jwks *world_find_jwks(void *context, const char *name)
{
    const struct world *world = context;

    cr_expect_str_eq(name, "idp");
    return world->keys == NULL ? NULL : issuer_keys(world->keys);
}

/* ---- the replay store ---- */

static void add_line(struct world *world, const char *what, const char *name, const char *more)
{
    struct buffer line = {0};

    buffer_format(&line, "%s %s%s%s", what, name, *more == 0 ? "" : " ", more);
    world_take_line(world, &line);
}

static bool on_replay(
    void *context, const struct session_replay *asked, uint64_t ticket, enum replay_answer *answer)
{
    struct world *world = context;
    struct world_asked *later = &world->asked[world->asked_count];
    char name[48];

    signer_name(&asked->mark, asked->sequence, name);
    *answer = world->replay_down ? REPLAY_DOWN
              : asked->sequence  ? replay_sequence(world->replays, &asked->mark)
                                 : replay_nonce(world->replays, &asked->mark, clock_wall_us() / 1000);
    add_line(world, "asks", name, world->replay_later ? "" : world_answer_word(*answer));
    if (!world->replay_later)
        return true;
    cr_assert_lt(world->asked_count, WORLD_ASKED_MAX);
    world->asked_count++;
    *later = (struct world_asked){.ticket = ticket, .answer = *answer};
    snprintf(later->name, sizeof(later->name), "%s", name);
    *answer = REPLAY_FORGOTTEN; /* is not to be looked at */
    return false;
}

static bool on_replay_is_done(void *context, const struct session_replay *asked)
{
    struct world *world = context;

    return replay_is_done(world->replays, &asked->mark, asked->sequence);
}

static void on_replay_end(void *context, const struct session_replay *asked, bool done)
{
    struct world *world = context;
    char name[48];

    signer_name(&asked->mark, asked->sequence, name);
    add_line(world, done ? "done" : "undone", name, "");
    if (done)
        replay_done(world->replays, &asked->mark, asked->sequence);
    else
        replay_undo(world->replays, &asked->mark, asked->sequence);
}

static enum session_room on_room(void *context, struct session_need need)
{
    struct world *world = context;

    cr_assert(need.most > need.usual && need.usual > 0);
    world->room_asked += need.most;
    return world->room;
}

struct session_hooks world_hooks(struct world *world)
{
    return (struct session_hooks){.audit = world_audit,
        .password_tag = on_password_tag,
        .claim = on_claim,
        .denied = on_denied,
        .ban = on_ban,
        .ban_left = on_ban_left,
        .hold_rates = on_hold_rates,
        .count = on_count,
        .replay = on_replay,
        .replay_is_done = on_replay_is_done,
        .replay_end = on_replay_end,
        .replays_later = world->replay_later,
        .scan = world_scan,
        .scan_later = world_scan_later,
        .room = on_room};
}
