/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of a session that is about to count: what it holds is the connection's. */
#include "base/clock.h"
#include "proxy/conn_internal.h"
#include "proxy/rates.h"

void conn_hold_rates(void *context, const struct policy *policy, const struct policy_subject *subject)
{
    struct conn *conn = context;

    rates_hold(conn->worker->rates, policy, subject, view_of_string(conn->address), clock_monotonic_ns(),
        &conn->rates);
}

struct session_rates conn_count(void *context, enum session_counted counted, uint64_t checks, uint64_t bytes)
{
    const struct conn *conn = context;

    /* Packets that came at once are of one time: a look at the clock costs more than the counting. */
    if (conn->worker->now_ns == 0)
        conn->worker->now_ns = clock_monotonic_ns();
    return rates_count(conn->rates, counted, checks, bytes, conn->worker->now_ns);
}
