# SPDX-License-Identifier: Apache-2.0
"""What is not an event of its own: repeats that are counted, and events that were lost."""
from table import row, rows

WORKER = "proxy/worker_audit.c"
REPEATS = "exporters/repeats.c"
KEY = "exporters/repeats_key.c"
LOSSES = "exporters/repeats_losses.c"
SOURCE = "exporters/source.c"
SEALER = "exporters/sealer.c"
PUBLISH = "proxy/session/session_publish.c"
SUBSCRIBE = "proxy/session/session_subscribe.c"
DELIVERY = "proxy/session/session_delivery.c"
CONNECT = "proxy/session/session_connect.c"

FLOODS = "test_floods.py"
FULL = "test_on_full.py"
SHARES = "test_on_full_shares.py"

ROWS = [
    # ---- repeats ----
    row("repeats-counted", "what is like an event that was told is counted", WORKER,
        "if (repeats_count(worker->repeats, event))", "if (false && repeats_count(worker->repeats, event))",
        f"{FLOODS}::test_a_flood_is_one_event_and_then_a_number"),
    row("repeats-number", "each event stands for 1 + suppressed", REPEATS, "event.suppressed = count - 1;",
        "event.suppressed = count;", f"{FLOODS}::test_a_flood_is_one_event_and_then_a_number"),
    row("repeats-topic", "another topic is another event", KEY, "    MEMBER(topic) ", "    /* MEMBER(topic) */ ",
        f"{FLOODS}::test_principals_and_topics_are_told_apart"),
    row("repeats-principal", "another principal is another event", KEY, "    MEMBER(user) ", "    /* MEMBER(user) */ ",
        f"{FLOODS}::test_principals_and_topics_are_told_apart"),
    row("repeats-response", "another response topic is another event", KEY, "    MEMBER(response_topic) ",
        "    /* MEMBER(response_topic) */ ", f"{FLOODS}::test_each_refused_response_topic_is_named"),
    row("repeats-payload", "of a message that goes on the payload counts", KEY, "    return (kind & KEY_TOPIC) != 0 &&", "    return false &&",
        f"{FLOODS}::test_what_goes_on_in_monitor_mode_is_no_repeat_of_something_else"),
    row("repeats-long", "long texts are no way out", KEY, "    whole = hash_bytes(text);\n", "    whole = 0;\n",
        f"{FLOODS}::test_however_long_its_texts_are_a_flood_is_one"),
    row("repeats-due", "what an earlier run left is told", "proxy/worker.c", "    worker_audit_begin(worker);\n", "",
        f"{FLOODS}::test_what_was_counted_is_told_while_the_next_run_goes_on"),
    row("repeats-mixed", "of many connections none is named", REPEATS, "store(&slot->mixed, 1);", "",
        f"{FLOODS}::test_connects_with_a_wrong_password"),
    rows("repeats-kill", "the next start tells what was counted",
         ((SEALER, "    repeats_tell_all(source->repeats, source->ring);\n", ""),
          (SOURCE, "return ring_used(source->ring) == 0 && repeats_is_empty(source->repeats);",
           "return ring_used(source->ring) == 0;")),
         f"{FLOODS}::test_a_kill_in_the_middle_loses_no_number"),
    row("repeats-stop", "a stop tells what was counted", "proxy/worker.c", "    worker_audit_finish(worker);\n", "",
        f"{FLOODS}::test_a_stop_tells_all"),

    # ---- losses ----
    row("lost-counted", "what finds no room is counted", WORKER, "    repeats_lose(worker->repeats, why, event);\n", "",
        f"{FULL}::test_drop_lets_traffic_go_on_and_keeps_what_is_severe"),
    row("lost-told", "and told once", LOSSES, "write_next(repeats, &(struct losses){0});",
        "write_next(repeats, &(struct losses){.counts = {1}});",
        f"{FULL}::test_drop_lets_traffic_go_on_and_keeps_what_is_severe"),
    row("drop-severity", "the less severe goes first", WORKER,
        "(severity > 21 && used <= (severity <= 47 ? capacity / 4 * 3 : capacity / 8 * 7));", "true;",
        f"{FULL}::test_drop_lets_traffic_go_on_and_keeps_what_is_severe"),
    row("deny-publish", "deny refuses what can't be recorded: PUBLISH", PUBLISH, "    if (session->unrecorded) {\n", "    if (false) {\n",
        f"{FULL}::test_deny_refuses_what_can_not_be_recorded_and_goes_on_by_itself"),
    row("deny-subscribe", "... SUBSCRIBE", SUBSCRIBE, "    if (session->unrecorded) {\n", "    if (false) {\n",
        f"{FULL}::test_deny_refuses_what_can_not_be_recorded_and_goes_on_by_itself"),
    row("deny-delivery", "... a delivery", DELIVERY, "    if (session->unrecorded) {\n", "    if (false) {\n",
        f"{FULL}::test_deny_refuses_what_can_not_be_recorded_and_goes_on_by_itself"),
    rows("deny-connect", "... CONNECT", [
        (CONNECT, "    if (session->unrecorded) {\n", "    if (false) {\n"),
        (CONNECT, "    if (session->unrecorded) { /* the address may", "    if (false) { /* the address may"),
        ("proxy/session/session_connack.c", "    if (session->unrecorded) {\n", "    if (false) {\n"),
    ], f"{FULL}::test_deny_refuses_what_can_not_be_recorded_and_goes_on_by_itself"),
    row("fair", "who floods waits alone", WORKER, "    if (share == NULL || used + counted <= capacity / 2)\n", "    if (true)\n",
        f"{FULL}::test_who_floods_waits_alone"),
    row("fair-principal", "... with all connections of an identity", WORKER,
        "           shares_undrained(&worker->shares, share->principal, tail) + bytes > left / parts->principal;", "           false;",
        f"{FULL}::test_deny_refuses_those_who_flood_on_all_their_connections_and_nobody_else"),
    row("fair-severe", "... also with what is most severe", WORKER,
        "    if (over_share(worker, share, size, severity", "    if (severity < 99 && over_share(worker, share, size, severity",
        f"{SHARES}::test_who_pours_in_what_is_most_severe_leaves_room_to_others"),
    rows("deny-whole", "what is let in is recorded to the end",
         ((WORKER, "return was_asked_for(share, event) || !over_share", "return !over_share"),
          (WORKER, "(room && !over_share(worker, share, usual, &usual_parts))", "(room && !over_share(worker, share, usual * 0, &usual_parts))")),
         f"{SHARES}::test_deny_records_all_of_what_it_lets_in"),
    rows("wait-time", "who waits for room is not timed out",
         (("proxy/conn_timer.c", "    return conn->phase_deadline_ms + conn->phase_grace_ms;", "    return conn->phase_deadline_ms;"),
          ("proxy/conn_wait.c", "        conn->phase_deadline_ms += grace_ms;", "        conn->phase_deadline_ms += grace_ms * 0;")),
         f"{SHARES}::test_who_waits_for_room_is_not_timed_out_and_all_ends_are_told"),
    rows("wait-share-time", "... who waits for its share is", [
        ("proxy/conn_timer.c", "    return conn->audit_waiting && !conn->waits_for_share;", "    return conn->audit_waiting;"),
        ("proxy/conn_timer.c", "    return conn->phase_deadline_ms + conn->phase_grace_ms;", "    return 0;"),
    ], f"{SHARES}::test_who_waits_for_its_share_has_its_time_outs"),
    row("wait-heard", "what was sent before the end has its turn", "proxy/conn_wait.c",
        "    if (conn->phase < CONN_OPEN)\n", "    if (true)\n",
        f"{SHARES}::test_a_client_that_leaves_while_it_waits_is_heard_to_the_end"),
    row("wait-never", "what can't be waited for is refused", "proxy/conn_audit.c",
        "    bool never = need.refusal != 0 && ", "    bool never = false && need.refusal != 0 && ",
        f"{SHARES}::test_more_filters_than_can_be_recorded_hold_nobody_up"),
    rows("fair-anew", "a new connection is no new share",
         ((WORKER, "    if (!share->settled &&\n        shares_undrained(", "    if (false &&\n        shares_undrained("),
          ("proxy/conn_audit.c", "    worker_share_answer(&conn->audit_share, answers_as(conn));\n", "")),
         f"{SHARES}::test_who_comes_anew_has_no_new_share"),
]
