# SPDX-License-Identifier: Apache-2.0
"""Scanned payloads: what is looked at, what becomes of what was found, and the order of what waits."""
from table import row, rows

SCAN = "proxy/session/session_scan.c"
PUBLISH = "proxy/session/session_publish.c"
DELIVERY = "proxy/session/session_delivery.c"
WILL = "proxy/session/session_will.c"
WAITING = "proxy/session/session_waiting.c"
SESSION = "proxy/session/session.c"
SCANNER = "rules/scanner.c"

MATCH = "test_scanning_match.py"
ERRORS = "test_scanning_errors.py"
MIXED = "test_scanning_mixed.py"
POOL = "test_scanning_pool.py"
KEPT = "test_scanning_quarantine.py"

ROWS = [
    # ---- what becomes of it ----
    row("scan-publish", "what is found does not go on", SCAN, "refused = found.refuses;", "refused = false;",
        f"{MATCH}::test_what_is_found_does_not_go_on"),
    row("scan-will", "... in a will it refuses CONNECT", WILL, "refused = found.refuses;", "refused = false;",
        f"{MATCH}::test_a_will_in_which_something_is_found_refuses_connect"),
    row("scan-delivery", "... and what came to the broker otherwise is not delivered", DELIVERY,
        "if (reason == REASON_none && scans != 0)", "if (false)",
        f"{MATCH}::test_what_came_to_the_broker_otherwise_is_not_delivered"),
    row("scan-drop", "on_match: drop acknowledges", SCAN, "terms->on_match == YARA_MATCH_DROP         ? POLICY_PUBLISH_DROP",
        "terms->on_match == YARA_MATCH_DROP         ? POLICY_PUBLISH_REJECT",
        f"{MATCH}::test_what_is_found_does_not_go_on"),
    row("scan-disconnect", "on_match: disconnect ends the sender's session", SCAN, "? POLICY_PUBLISH_DISCONNECT",
        "? POLICY_PUBLISH_REJECT", f"{MATCH}::test_disconnect_ends_the_senders_session"),
    row("scan-reason-code", "the reason code is the check's", PUBLISH,
        "session->refusal_code = context->scanned->check->yara->reason_code;", "session->refusal_code = 0x99;",
        f"{MATCH}::test_what_is_found_does_not_go_on"),
    row("scan-monitor", "monitor mode only reports", SCAN,
        ".refuses = (refuses_match || refuses_rest) && !info->monitor,", ".refuses = (refuses_match || refuses_rest),",
        f"{MATCH}::test_what_only_reports_lets_it_go_on_as_it_came"),
    row("scan-alert", "on_match: alert only reports", SCAN,
        "bool matched = result->count > 0, refuses_match = matched && terms->on_match != YARA_MATCH_ALERT;",
        "bool matched = result->count > 0, refuses_match = matched;",
        f"{MATCH}::test_what_only_reports_lets_it_go_on_as_it_came"),
    row("scan-error", "what was not scanned to its end is refused", SCAN,
        "bool refuses_rest = unfinished != REASON_none && terms->on_error == YARA_ERROR_REJECT;",
        "bool refuses_rest = false;",
        f"{ERRORS}::test_what_can_not_be_scanned_to_its_end_is_refused_or_reported"),
    row("scan-error-alert", "... unless on_error only reports it", SCAN,
        "bool refuses_rest = unfinished != REASON_none && terms->on_error == YARA_ERROR_REJECT;",
        "bool refuses_rest = unfinished != REASON_none;",
        f"{ERRORS}::test_what_can_not_be_scanned_to_its_end_is_refused_or_reported"),
    row("scan-ban", "a match counts as a denial", PUBLISH, "if (context->scanned->reason == REASON_payload_matched)",
        "if (false)", f"{MIXED}::test_denials_of_a_scan_count_towards_a_ban"),
    row("scan-quarantine", "what is found for the quarantine is stored", SCAN,
        "(terms->on_match != YARA_MATCH_QUARANTINE || run->here.result.count == 0);", "true;",
        f"{KEPT}::test_the_payload_and_what_was_found"),

    # ---- what is looked at ----
    row("scan-properties", "properties are scanned", SCAN, "if (message->properties->present != 0)", "if (false)",
        "test_scanning.py::test_a_threat_is_stopped_and_audited"),
    row("scan-views", "views are those of the check", SCAN, ".views = terms->views};", ".views = 0};",
        f"{MIXED}::test_views_are_those_of_the_check"),
    row("scan-max", "max_scan is the check's", SCAN, ".max_scan = terms->max_scan,", ".max_scan = 1 << 20,",
        f"{ERRORS}::test_max_scan_is_exact"),
    row("scan-direction", "rules know the direction", SCAN, ".outbound = message->outbound,", ".outbound = false,",
        f"{MIXED}::test_rules_know_their_context"),
    row("scan-groups", "... and the groups", SCAN, "run->context.groups = groups_of(session);", "groups_of(session);",
        f"{MIXED}::test_rules_know_their_context"),
    row("scan-envelope", "the payload is scanned without its signature", SCAN,
        ".payload = stands ? context->signature.found.payload : packet->payload,", ".payload = packet->payload,",
        f"{MIXED}::test_the_mark_is_looked_for_in_the_payload_that_was_signed"),

    # ---- once, and in order ----
    row("scan-counted-once", "a message that waits is counted once", PUBLISH,
        "if (session->scanned == NULL && !pass_rates(session, context, output))\n        return false;",
        "if (!pass_rates(session, context, output))\n        return false;", f"{MIXED}::test_a_message_is_verified_counted_and_scanned"),
    row("scan-asked-once", "the replay store is asked about it once", WAITING,
        "if (session->hold.known != NULL && !item->foreseen) {", "if (false) {", f"{MIXED}::test_a_message_is_verified_counted_and_scanned"),
    row("scan-undo", "what the scan refuses has not been here", PUBLISH,
        "else if (context->is_signed)\n        session_signature_undo(session, &context->signature);",
        "else if (false)\n        session_signature_undo(session, &context->signature);",
        f"{MIXED}::test_a_counter_that_the_scan_refuses_may_come_again"),
    row("scan-order", "packets of a client stay in order", WAITING,
        "bool first = session->waiting.first == NULL, foreseen;", "bool first = true, foreseen;",
        f"{POOL}::test_a_clients_messages_stay_in_order"),
    row("scan-order-delivery", "... and those of the broker", SESSION, "if (session->deliveries.first != NULL) {",
        "if (false) {", f"{POOL}::test_deliveries_stay_in_order"),
]
