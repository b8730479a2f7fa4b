# SPDX-License-Identifier: Apache-2.0
"""What is counted, who may ask for it, and when mqward says that it is not ready."""
from table import row

COUNTERS = "proxy/session/session_counters.c"
ADMIN = "proxy/admin.c"
WATCH = "proxy/server_watch.c"
SLOTS = "proxy/slots.c"

METRICS = "test_metrics.py"
ASKED = "test_admin.py"

ROWS = [
    row("count-rule", "a denial counts for its rule", COUNTERS,
        "    counter_add(&counters->rules[session_rule_slot(session, verdict->rule)][SESSION_DENIED], count);\n", "",
        f"{METRICS}::test_decisions_count_by_rule_and_result"),
    row("count-reason", "a denial counts by its reason", COUNTERS,
        "    counter_add(&counters->refusals[verdict->reason], count);\n", "",
        f"{METRICS}::test_decisions_count_by_rule_and_result"),
    row("count-waited", "what waited for a scan is counted once", COUNTERS,
        "if (counters == NULL || session->scanned != NULL)", "if (counters == NULL)",
        f"{METRICS}::test_a_signature_is_counted_once_though_its_message_waits_for_a_scan"),
    row("slots-kept", "a rule keeps its numbers over a reload", SLOTS, "if (slot == slots->count) {", "if (true) {",
        f"{METRICS}::test_a_reload_resets_nothing"),
    row("ready-drain", "a stop is not ready", WATCH, "if (server->watch.draining)", "if (false)",
        f"{ASKED}::test_readiness_through_a_drain"),
    row("ready-blocked", "a blocked audit is not ready", WATCH, "if (trail.blocked &&", "if (false &&",
        f"{METRICS}::test_a_blocked_audit_is_not_ready"),
    row("admin-host", "no other name leads to loopback", ADMIN, "return is_address(name) ||",
        "return true || is_address(name) ||", f"{ASKED}::test_a_name_that_leads_to_loopback_is_refused"),
    row("admin-target", "no target takes the place of the name in the header", ADMIN,
        "(header == NULL || is_ours(view_of_string(header))) &&", "(header == NULL || target != NULL || is_ours(view_of_string(header))) &&",
        f"{ASKED}::test_no_target_takes_the_place_of_the_name_in_the_header"),
    row("status-reload", "/status does not quote the policy", "proxy/reload.c", '"%s: an error, which the log has", place);',
        '"%s: %s", place, message);', f"{ASKED}::test_status_shows_where_a_reload_failed_and_nothing_that_stands_there"),
    row("checkpoint-age", "lines that wait for a checkpoint are counted", "proxy/server_metrics.c", "METRICS_unsigned_seconds, trail.unsigned_ms",
        "METRICS_unsigned_seconds, 0 * trail.unsigned_ms", f"{METRICS}::test_what_no_checkpoint_has_signed_is_told"),
    row("syslog-long", "long texts hide nothing", "exporters/record_shorten.c", "if (record_walk(line, NULL, NULL) == 0)", "if (line.length == 0)",
        "test_sink_syslog.py::test_long_names_hide_nothing"),
    row("sink-flush", "a stop syncs what was written", "exporters/lines.c", "    lines->flush = true;", "    lines->flush = false;",
        "test_sink_file.py::test_a_stop_does_not_wait_for_the_fsync_interval"),
    row("admin-room", "the oldest connection makes room", ADMIN, "    end_peer(admin->oldest);\n    sweep(admin);\n}", "}",
        f"{ASKED}::test_a_thousand_connections_keep_nobody_from_asking"),
    row("admin-deadline", "a slow request ends", ADMIN, "now - (*at)->since_ms > REQUEST_MS",
        "now - (*at)->since_ms > 100 * REQUEST_MS",
        f"{ASKED}::test_a_slow_request_ends_in_bounded_time_and_holds_up_nobody"),
    row("admin-rest", "without descriptors the loop rests", ADMIN,
        "    evconnlistener_set_error_cb(admin->listener, on_accept_error);\n", "    (void)on_accept_error;\n",
        f"{ASKED}::test_without_descriptors_nobody_is_accepted_and_the_loop_rests"),
    row("admin-method", "only GET and HEAD", ADMIN, "else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD)",
        "else if (false)", f"{ASKED}::test_nothing_but_get_and_head_is_allowed"),
]
