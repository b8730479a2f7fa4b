# SPDX-License-Identifier: Apache-2.0
"""What people see of the trail, and what is delivered once more."""
from table import row

TAIL = "test_audit_tail.py"
REPLAY = "test_audit_replay.py"
PRINT = "proxy/cli/audit_print.c"
TEXT = "proxy/cli/text.c"
WHERE = "proxy/cli/audit_where.c"

ROWS = [
    row("tail-quotes", "no text of a client looks like two parts of the line", TEXT,
        "fit.quoted = fit.quoted || fit.isolated;", "fit.quoted = fit.isolated || fit.cut;",
        f"{TAIL}::test_no_text_of_a_client_looks_like_another_part"),
    row("tail-cut", "no text of a client pushes the others off the screen", TEXT,
        "if (used > columns) {", "if (false) {",
        f"{TAIL}::test_no_text_of_a_client_looks_like_another_part"),
    row("tail-isolated", "letters from right to left move nothing beside them", TEXT,
        "fit.isolated = fit.isolated || (glyph.shown && character_is_right_to_left(glyph.character));", "",
        f"{TAIL}::test_no_text_of_a_client_looks_like_another_part"),
    row("tail-marks", "marks do not pile up", TEXT, "            --*marks;\n", "",
        f"{TAIL}::test_no_text_of_a_client_looks_like_another_part"),
    row("tail-claims", "who is refused has proven nothing", PRINT,
        "    return !is_refused_connect(event);", "    return true;",
        f"{TAIL}::test_a_name_that_was_not_proven_is_a_claim"),
    row("tail-missing", "lines that are not there are said", "proxy/cli/audit_tail.c",
        "    tell_missing(progress, &head);\n", "", f"{TAIL}::test_lines_that_are_missing_are_said",
        f"{TAIL}::test_what_retention_deletes_before_it_was_shown_is_said"),
    row("tail-severity", "a severity is that and above", WHERE,
        "condition->comparison = AT_LEAST;", "condition->comparison = MORE;",
        f"{TAIL}::test_a_severity_is_that_and_above"),
    row("tail-not", "!= is the opposite of =", WHERE, "== (condition->comparison == EQUAL);", ";",
        f"{TAIL}::test_filters_are_fields_with_values"),
    row("replay-owner", "a file that root makes is the daemon's", "exporters/sink_file.c",
        "if (!owner->given)", "if (true)",
        f"{REPLAY}::test_a_file_that_root_makes_is_the_daemons"),
    row("replay-backwards", "a part that ends before it begins is refused", "proxy/cli/audit_replay.c",
        "if (journal_position_compare(*from, end) > 0 || (times && since->wall_us > until->wall_us)) {", "if (false) {",
        f"{REPLAY}::test_a_part_that_ends_before_it_begins_is_refused"),
    row("shadow-counted", "what a shadow policy decides otherwise is counted", "proxy/session/session_shadow.c",
        "    session_count_shadow(session, denies(shadow));\n", "",
        "test_shadow.py::test_what_would_change_is_in_the_message_on_the_terminal_and_counted"),
    row("bans-logged", "the log has the beginning of a ban", "proxy/bans.c",
        "    log_begun(order);\n", "    (void)log_begun;\n",
        "test_bans.py::test_a_ban_ends_with_its_time"),
]
