# SPDX-License-Identifier: Apache-2.0
"""Broker dialects, placeholders, and what must never happen."""
from table import row, rows

DIALECT = "policy/dialect.c"
PATTERN = "policy/pattern.c"
IDENTITY = "policy/identity.c"
PREFIXES = "test_semantics_dialects.py::test_the_policy_sees_what_is_behind_the_prefixes_that_the_broker_knows"
FEATURES = "test_semantics_dialects.py::test_each_prefix_is_a_feature_of_its_own"
DOTS = "test_semantics_dialects.py::test_dots_are_slashes_where_the_broker_takes_them_for_slashes"
UNSAFE = "test_semantics_identity.py::test_an_unsafe_value_refuses_connect_and_names_the_rule"
QUEUE = '{{(const uint8_t *)"$queue/", 7}, 1U << DIALECT_EMQX | 1U << DIALECT_NANOMQ,'

ROWS = [
    row("emqx-queue", "emqx: $queue/, an alias of share", DIALECT, "1U << DIALECT_EMQX | 1U << DIALECT_NANOMQ,",
        "1U << DIALECT_NANOMQ,",
        f"{PREFIXES}[v5.0-emqx]"),
    row("emqx-queue-shared", "... which is refused where it would have to be filtered", DIALECT,
        "NESTING_SHARE, POLICY_FEATURE_QUEUE, true},", "NESTING_SHARE, POLICY_FEATURE_QUEUE, false},",
        "test_semantics_dialects.py::test_a_share_that_would_have_to_be_filtered_is_refused[$queue/]"),
    row("emqx-exclusive", "emqx: $exclusive/", DIALECT, '"$exclusive/", 11}, 1U << DIALECT_EMQX,',
        '"$exclusive/", 11}, 0,',
        f"{PREFIXES}[v5.0-emqx]"),
    row("emqx-stream", "emqx: $stream/", DIALECT, '"$stream/", 8}, 1U << DIALECT_EMQX,', '"$stream/", 8}, 0,',
        f"{PREFIXES}[v5.0-emqx]"),
    row("emqx-delayed", "emqx: $delayed/<s>/", DIALECT, '"$delayed/", 9}, 1U << DIALECT_EMQX,', '"$delayed/", 9}, 0,',
        f"{PREFIXES}[v5.0-emqx]"),
    row("nanomq-queue", "nanomq: $queue/", DIALECT, "1U << DIALECT_EMQX | 1U << DIALECT_NANOMQ,", "1U << DIALECT_EMQX,",
        f"{PREFIXES}[v5.0-nanomq]"),
    row("share-everywhere", "$share/g/ for every broker", DIALECT, '"$share/", 7}, ALL_DIALECTS,',
        '"$share/", 7}, 1U << DIALECT_MOSQUITTO,',
        f"{PREFIXES}[v5.0-rabbitmq]"),
    row("prefix-of-others", "a prefix of one broker is literal for the others", DIALECT,
        '"$exclusive/", 11}, 1U << DIALECT_EMQX,', '"$exclusive/", 11}, ALL_DIALECTS,', f"{PREFIXES}[v5.0-mosquitto]"),
    row("nested-prefixes", "prefixes inside prefixes are stripped, too", DIALECT,
        "row = row->nesting == NESTING_LAST ? NULL : find_prefix(dialect, rest, of_name);", "row = NULL;",
        "test_semantics_dialects.py::test_nested_prefixes_ask_for_all_of_their_features"),
    row("feature-of-filter", "each prefix of a filter is a feature that must be granted", "policy/subscribe.c",
        "if ((rule->verbs & VERB_SUBSCRIBE) == 0 || (features & ~rule->features) != 0)",
        "if ((rule->verbs & VERB_SUBSCRIBE) == 0 || features > 256)", f"{FEATURES}[shared]"),
    row("feature-of-topic", "... as is that of a topic", "policy/decide.c",
        "missed |= (tally->features & ~rule->features) != 0 ? MISSED_FEATURE : 0U;", "", f"{FEATURES}[delayed]"),
    row("reserved-trees", "$aws/, $iothub/, $dps/: literal, allowed only by name", DIALECT, QUEUE,
        '{{(const uint8_t *)"$aws/", 5}, ALL_DIALECTS, false, ARGUMENT_NONE, NESTING_LAST, 0, false},\n    ' + QUEUE,
        "test_semantics_dialects.py::test_reserved_trees_are_literal_and_allowed_by_name_only"),
    row("unknown-prefix", "an unknown $x/ is literal, therefore denied by default", DIALECT, QUEUE,
        '{{(const uint8_t *)"$unknown/", 9}, ALL_DIALECTS, false, ARGUMENT_NONE, NESTING_LAST, 0, false},\n'
        '    ' + QUEUE,
        f"{PREFIXES}[v5.0-aws]"),
    row("malformed-prefix", "a malformed prefix is refused", DIALECT,
        "if (argument.data[i] < '0' || argument.data[i] > '9')", "if (false)",
        "test_semantics_dialects.py::test_a_malformed_prefix_of_a_topic_is_refused"),
    row("dots", "rabbitmq, artemis: dots are slashes", DIALECT,
        "return dialect == DIALECT_RABBITMQ || dialect == DIALECT_ARTEMIS;", "return dialect == DIALECT_COUNT;",
        f"{DOTS}[rabbitmq]"),
    row("dots-of-others", "... and for nobody else", DIALECT,
        "return dialect == DIALECT_RABBITMQ || dialect == DIALECT_ARTEMIS;", "return dialect != DIALECT_COUNT;",
        f"{DOTS}[mosquitto]"),
    row("stars", "... a level * is +", DIALECT, "if (copy[i] == '*' && alone)", "if (false && alone)",
        f"{DOTS}[rabbitmq]"),
    row("value-dots", "... and a value with either is unsafe", IDENTITY, "if (placeholder_value_safe(value) && !joins)",
        "(void)joins;\n    if (placeholder_value_safe(value))",
        "test_semantics_dialects.py::test_a_value_with_dots_is_unsafe_where_dots_separate"),

    row("value-literal", "a value is taken literally", "policy/rule_trie.c",
        "if (!*unknown && memcmp(middle, value.data, value.length) != 0)",
        "if (!*unknown && strncasecmp((const char *)middle, (const char *)value.data, value.length) != 0)",
        "test_semantics_identity.py::test_a_value_is_literal"),
    row("value-empty", "a value must not be empty", PATTERN,
        "if (value.length == 0 || value.length > PLACEHOLDER_VALUE_MAXIMUM ||",
        "if (value.length == 0)\n        return true;\n    if (value.length > PLACEHOLDER_VALUE_MAXIMUM ||", UNSAFE),
    row("value-slash", "... have a /", PATTERN, "byte == '/' || byte == '+' ||", "byte == '+' ||", UNSAFE),
    row("value-plus", "... have a +", PATTERN, "byte == '/' || byte == '+' ||", "byte == '/' ||", UNSAFE),
    row("value-hash", "... have a #", PATTERN, "byte == '+' || byte == '#')", "byte == '+')", UNSAFE),
    row("value-control", "... have control characters", PATTERN, "if (byte < 0x20 || byte == 0x7f ||", "if (", UNSAFE),
    row("value-control-c1", "... U+0080 to U+009F included", PATTERN,
        "if (byte == 0xc2 && i + 1 < value.length && value.data[i + 1] < 0xa0)", "if (false)", UNSAFE),
    row("value-dollar", "... begin with $", PATTERN, "|| value.data[0] == '$')", ")", UNSAFE),
    row("value-names-rule", "CONNECT is refused naming the rule", IDENTITY,
        "(unsigned)__builtin_ctzll(rule->slots & missing), &rule->info);",
        "(unsigned)__builtin_ctzll(rule->slots & missing), NULL);", UNSAFE),
    row("deny-does-not-vanish", "it never makes a rule not match: a deny must not vanish", IDENTITY,
        "return (rule->slots & missing) != 0 && !rule->monitor &&",
        "return (rule->slots & missing) != 0 && !rule->monitor && !rule->deny &&",
        "test_semantics_identity.py::test_a_deny_does_not_vanish_with_its_value"),

    rows("audit-fails", "a failure of the audit denies", [
        ("proxy/worker.c", "exporter_wake(worker->exporter);\n    nanosleep(&pause, NULL);\n    return true;",
         "(void)pause;\n    return false;"),
        ("proxy/worker_audit.c", "bool room = has_room(worker, most, promised);",
         "bool room = has_room(worker, most, promised) || most > 0;"),
        ("proxy/worker_audit.c", "    if (share == NULL || used + counted <= capacity / 2)\n", "    if (true)\n"),
    ], "test_semantics_audit.py::test_nothing_passes_that_the_audit_cannot_take[v5.0]"),
    row("empty-policy", "an empty policy denies everything", "policy/decide.c",
        "verdict->reason = REASON_no_allow;\n    if (tally->nearest == NULL)\n",
        "verdict->reason = REASON_no_allow;\n    if (tally->nearest == NULL)\n        verdict->allowed = true;\n"
        "    if (tally->nearest == NULL)\n",
        "test_semantics_subscribe.py::test_an_empty_policy_denies_everything"),
    row("nobody", "... to everybody", IDENTITY, 'return identity_refused(REASON_identity_no_credential, NULL, "");',
        'subject->id = identity_copy(VIEW("anybody"));\n    return identified();',
        "test_semantics_subscribe.py::test_a_policy_without_an_identity_lets_nobody_in"),
]
