/* SPDX-License-Identifier: Apache-2.0 */
/* The session's hooks about denials and bans: which table knows of whom. */
#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/bans.h"
#include "proxy/conn_internal.h"
#include "proxy/denials.h"

bool conn_count_denial(void *context, const struct session_party *party, const struct policy_repeat *repeat)
{
    const struct conn *conn = context;

    assert(conn->magic == CONN_MAGIC);
    return denials_add(conn->worker->denials, party->is_address ? DENIALS_BY_ADDRESS : DENIALS_BY_ID,
        party->value, repeat->count, repeat->within_ms, clock_monotonic_ms());
}

void conn_begin_ban(void *context, const struct session_ban *ban)
{
    const struct conn *conn = context;
    uint64_t now = clock_monotonic_ms();
    struct ban_order order = {.by = ban->party.is_address ? BAN_BY_ADDRESS : BAN_BY_ID,
        .value = ban->party.value,
        .until_ms = now + ban->for_ms,
        .until_wall_us = ban->until_wall_us,
        .why = ban->why};

    assert(conn->magic == CONN_MAGIC);
    if (bans_begin(conn->worker->bans, &order, now) == BAN_FULL)
        LOG_LIMITED(LOG_ERROR, "bans", "no room for a ban: as many as there can be were ordered by operators",
            log_string("by", ban_by_name(order.by)), log_view("value", order.value));
}

uint64_t conn_ban_left(void *context, const struct session_party *party, bool ordered)
{
    const struct conn *conn = context;

    assert(conn->magic == CONN_MAGIC);
    return bans_left(conn->worker->bans, party->is_address ? BAN_BY_ADDRESS : BAN_BY_ID, party->value,
        ordered, clock_monotonic_ms());
}

void conn_enforce_bans(struct conn *conn)
{
    /* A CONNECT that has not come yet is refused when it comes. */
    if (conn->phase < CONN_IDENTIFY || conn->phase >= CONN_CLOSING || !session_is_banned(conn->session))
        return;
    conn_abort(conn, REASON_banned);
    conn_after_event(conn);
}
