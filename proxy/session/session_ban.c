/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that are denied again and again (on_deny.repeat), and those that are banned. Denials are counted
 * over all sessions of an identity, and bans are kept, by whoever gives the hooks. */
#include <assert.h>
#include <stdio.h>

#include "base/address.h"
#include "base/clock.h"
#include "proxy/session/session_internal.h"

static bool is_anonymous(const struct session *session)
{
    return policy_subject_source(session->subject) == POLICY_SOURCE_ANONYMOUS;
}

static struct session_party identity_of(const struct session *session)
{
    return (struct session_party){.value = policy_subject_id(session->subject)};
}

static struct session_party address_of(const struct session *session, char text[ADDRESS_SITE_SIZE])
{
    address_site(session->peer->address, text);
    return (struct session_party){.is_address = true, .value = view_of_string(text)};
}

/* ---- denials ---- */

static void ban(struct session *session, const struct policy_verdict *verdict, struct session_party party)
{
    const struct policy_repeat *repeat = &session->policy->repeat;
    struct session_ban ban = {
        .party = party, .for_ms = repeat->ban_ms, .until_wall_us = clock_wall_us() + repeat->ban_ms * 1000};
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX], why[160];

    if (party.value.length == 0)
        return; /* an address that is none */
    if (session->hooks->ban_left(session->context, &party, false) >= repeat->ban_ms)
        return; /* there is one that lasts longer */
    snprintf(why, sizeof(why), "%u denials within %llu s, the last: %s", repeat->count,
        (unsigned long long)(repeat->within_ms / 1000), reason_info(verdict->reason)->name);
    ban.why = view_of_string(why);
    session_event_begin(session, &event, AUDIT_client_banned, REASON_denials_exceeded, AUDIT_CLOSED);
    session_event_verdict(&event, verdict, nearest);
    event.detail = ban.why;
    event.count = repeat->count;
    event.ban_by = party.is_address ? VIEW("address") : VIEW("id");
    event.ban_value = party.value;
    event.ban_until_us = ban.until_wall_us;
    session_event_emit(session, &event);
    session->hooks->ban(session->context, &ban);
}

/* Whose denials are counted: the identity's, if it is proven and not one that all anonymous clients share. */
static bool answers_by_id(const struct session *session)
{
    return session->identified && !is_anonymous(session) && identity_of(session).value.length > 0;
}

bool session_denied(
    struct session *session, const struct policy_verdict *verdict, struct session_output *output)
{
    const struct policy_repeat *repeat = &session->policy->repeat;
    char address[ADDRESS_SITE_SIZE];
    struct session_party site, party;

    if (repeat->count == 0)
        return false;
    site = address_of(session, address);
    party = answers_by_id(session) ? identity_of(session) : site;
    if (party.value.length == 0 || !session->hooks->denied(session->context, &party, repeat))
        return false;
    if (repeat->ban_ms != 0 && repeat->ban_id && !party.is_address)
        ban(session, verdict, party);
    if (repeat->ban_ms != 0 && repeat->ban_address)
        ban(session, verdict, site);
    session_close(session, REASON_denials_exceeded, output);
    return true;
}

struct view session_proven_as(const struct session *session)
{
    return session->subject != NULL && !is_anonymous(session) ? identity_of(session).value
                                                              : (struct view){NULL, 0};
}

struct view session_answers_as(const struct session *session)
{
    assert(session->magic == SESSION_MAGIC);
    return session->subject != NULL && answers_by_id(session) &&
                   !policy_subject_is_distrusted(session->subject)
               ? identity_of(session).value
               : (struct view){NULL, 0};
}

bool session_rate_is_own(const struct session *session, const struct policy_check_info *check)
{
    return check->per == POLICY_PER_ID && answers_by_id(session);
}

/* ---- bans ---- */

/* Monitor mode lets everybody pass whom the policy banned before; an identity that all anonymous clients
 * share is only banned by an operator who knows what that means. */
static uint64_t left_of(const struct session *session, struct session_party party)
{
    bool ordered = session->policy->mode == POLICY_MONITOR || (!party.is_address && is_anonymous(session));

    return party.value.length == 0 ? 0 : session->hooks->ban_left(session->context, &party, ordered);
}

bool session_is_banned(const struct session *session)
{
    char address[ADDRESS_SITE_SIZE];

    return left_of(session, address_of(session, address)) != 0 ||
           (session->identified && left_of(session, identity_of(session)) != 0);
}

bool session_refuse_banned(struct session *session, struct session_output *output)
{
    char address[ADDRESS_SITE_SIZE], detail[120];
    uint64_t address_left = left_of(session, address_of(session, address));
    uint64_t id_left = session->subject == NULL ? 0 : left_of(session, identity_of(session));

    if (address_left == 0 && id_left == 0)
        return false;
    snprintf(detail, sizeof(detail), "%s%s for %llu s more",
        address_left != 0 ? "the address " : "the identity", address_left != 0 ? address : "",
        (unsigned long long)((address_left != 0 ? address_left : id_left) + 999) / 1000);
    session_connect_refuse(session, REASON_banned, NULL, detail, output);
    return true;
}
