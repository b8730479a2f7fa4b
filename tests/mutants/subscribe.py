# SPDX-License-Identifier: Apache-2.0
"""SUBSCRIBE, UNSUBSCRIBE and deliveries."""
from table import row

SUBSCRIBE = "proxy/session/session_subscribe.c"
UNSUBSCRIBE = "proxy/session/session_unsubscribe.c"
PENDING = "proxy/session/session_pending.c"
PUBLISH = "proxy/session/session_publish.c"
DELIVERY = "proxy/session/session_delivery.c"
TEXT = "proxy/mqtt/text.c"
POLICY = "policy/subscribe.c"
SEMANTICS = "test_semantics_subscribe.py"
MERGED = f"{SEMANTICS}::test_denied_filters_are_left_out_and_the_answers_merged"
MATCHES = f"{SEMANTICS}::test_a_pattern_matches_as_mqtt_says"
SHARE = "test_semantics_dialects.py::test_a_malformed_share_is_a_protocol_error_towards_every_broker[v5.0-mosquitto]"
REFUSED = "if (session_filters_remove(&session->subscriptions.refused, hash) && !session->resumed) {"
RECEIVED = "    if (!judge_delivery(session, &context, output))"
# What is not judged has no verdict of its own.
UNJUDGED = "    context.verdict = (struct policy_verdict){.allowed = true};\n" + RECEIVED

ROWS = [
    row("filter-by-itself", "each filter is judged by itself", SUBSCRIBE,
        "judge_filter(session, &filter, &added, verdict);",
        "if (index > 0)\n            *verdict = context->verdicts[0];\n        else\n"
        "            judge_filter(session, &filter, &added, verdict);",
        f"{MERGED}[v3.1.1]"),
    row("rewritten", "a SUBSCRIBE denied in part is sent on without the denied filters", SUBSCRIBE,
        "if (!context->changed)\n        return SESSION_FORWARD;", "if (true)\n        return SESSION_FORWARD;",
        f"{MERGED}[v3.1.1]"),
    row("merged", "every filter of the client's packet has its code in its place", PENDING,
        "bool changed = pending->forwarded < pending->count;", "bool changed = false;", f"{MERGED}[v3.1.1]"),
    row("code-5", "5.0: 0x87", SUBSCRIBE, "return reason_info(reason)->v5;", "return 0x80;", f"{MERGED}[v5.0]"),
    row("code-3.1.1", "3.1.1: 0x80", SUBSCRIBE, "return 0x80;", "return 0x00;", f"{MERGED}[v3.1.1]"),
    row("code-3.1", "3.1: granted at QoS 0", SUBSCRIBE, "return 0x00;", "return 0x80;", f"{MERGED}[v3.1]"),
    row("not-forwarded-3.1", "3.1: ... and never forwarded", SUBSCRIBE,
        "if (!verdict->verdict.allowed)\n            refuse_filter(",
        "if (!verdict->verdict.allowed && session->version != MQTT_V31)\n            refuse_filter(",
        f"{SEMANTICS}::test_nothing_is_delivered_for_a_filter_that_3_1_was_told_is_granted"),
    row("all-denied", "all denied: the proxy answers itself", SUBSCRIBE,
        "session_pending_answer(session, context->pending, output);", "",
        f"{SEMANTICS}::test_a_subscribe_that_is_denied_as_a_whole_is_answered_by_the_proxy"),
    row("subscription-identifier", "subscription identifiers are kept", SUBSCRIBE,
        "rewritten.u.subscribe.filters = buffer_view(&context->filters);",
        "rewritten.u.subscribe.filters = buffer_view(&context->filters);\n"
        "    rewritten.u.subscribe.properties = (struct mqtt_properties){{NULL, 0}, 0};",
        f"{SEMANTICS}::test_options_and_identifier_of_a_rewritten_subscribe_are_kept"),
    row("options", "no local, retain as published and retain handling are kept", SUBSCRIBE,
        "write_filter(&context->filters, filter->filter, options);",
        "write_filter(&context->filters, filter->filter, options & QOS_BITS);",
        f"{SEMANTICS}::test_options_and_identifier_of_a_rewritten_subscribe_are_kept"),
    row("qos-lowered", "a QoS above what the policy allows is lowered in the request", SUBSCRIBE,
        "if (verdict->max_qos < (options & QOS_BITS) && !verdict->verdict.would_be_denied) {", "if (false) {",
        f"{MERGED}[v3.1.1]"),
    row("overlap-granted", "a filter that overlaps a denied subtree may be granted", POLICY,
        "if (judge->topic.shared && verdict->filtered) {", "if (verdict->filtered) {",
        "test_delivery.py::test_an_overlapping_subscription_is_granted_and_its_deliveries_filtered[qos0-v5.0]"),
    row("delivery-filtered", "... then delivery filters", DELIVERY, "if (!context->verdict.allowed) {", "if (false) {",
        "test_delivery.py::test_an_overlapping_subscription_is_granted_and_its_deliveries_filtered[qos0-v5.0]"),
    row("persistent-sessions", "delivery is always checked: what a persistent session kept", DELIVERY, RECEIVED,
        UNJUDGED.replace("if (", "if (!packet->dup && "),
        f"{SEMANTICS}::test_what_a_session_or_the_broker_kept_is_judged_again"),
    row("broker-side-subscriptions", "... broker-side subscriptions", DELIVERY, RECEIVED,
        UNJUDGED.replace("if (", "if (session->subscriptions.held.count > 0 && "),
        f"{SEMANTICS}::test_a_delivery_that_nobody_subscribed_to_is_judged",
        "test_delivery.py::test_leftovers_of_a_session_that_was_made_elsewhere_are_filtered[qos1-v5.0]"),
    row("retained", "... retained messages", DELIVERY, RECEIVED, UNJUDGED.replace("if (", "if (!packet->retain && "),
        f"{SEMANTICS}::test_what_a_session_or_the_broker_kept_is_judged_again",
        "test_delivery.py::test_retained_messages_are_filtered[v5.0]"),
    row("filtered-acked-1", "a dropped delivery is acknowledged to the broker: PUBACK", DELIVERY,
        "if (packet->qos > 0)\n        session_flow_refuse(\n            &session->from_broker,",
        "if (packet->qos > 1)\n        session_flow_refuse(\n            &session->from_broker,",
        f"{SEMANTICS.replace('subscribe', 'publish')}::test_a_filtered_delivery_is_acknowledged_to_its_end"),
    row("filtered-acked-2", "... PUBREC to PUBCOMP", "proxy/session/session.c",
        "if (session_flow_release(\n"
        "            &session->from_broker, packet.u.ack.packet_id, session->version, output->to_broker))",
        "if (false)",
        f"{SEMANTICS.replace('subscribe', 'publish')}::test_a_filtered_delivery_is_acknowledged_to_its_end"),
    row("share-filter", "$share: the ACL sees the real filter", "policy/dialect.c",
        '"$share/", 7}, ALL_DIALECTS, false,', '"$share/", 7}, 0, false,',
        "test_subscribe.py::test_a_shared_subscription_is_judged_by_its_filter[v5.0]"),
    row("share-filtered", "$share is refused where delivery would have to be filtered", POLICY,
        "if (judge->topic.shared && verdict->filtered) {", "if (false) {",
        "test_semantics_dialects.py::test_a_share_that_would_have_to_be_filtered_is_refused"),
    row("share-group", "malformed shares: an empty group", TEXT,
        "if (length == 0) {\n        return FAULT_share_group;",
        "if (false) {\n        return FAULT_share_group;", SHARE),
    row("share-wildcard", "malformed shares: a wildcard in the group", TEXT,
        "if (memchr(behind_prefix.data, '+', length) != NULL || memchr(behind_prefix.data, '#', length) != NULL) {",
        "if (false) {", SHARE),
    row("share-no-filter", "malformed shares: no filter", TEXT,
        "return slash == NULL || length + 1 == behind_prefix.length ? FAULT_share_form : FAULT_none;",
        "return FAULT_none;", SHARE),
    row("share-literal", "... also towards brokers, and in versions, that take them literally", TEXT,
        "if (fault == FAULT_none && share) {", "if (fault == FAULT_none && share && context->version == MQTT_V5) {",
        SHARE.replace("v5.0", "v3.1.1")),
    row("share-no-local", "No Local on a share is a protocol error", "proxy/mqtt/decode_subscribe.c",
        "return shared && (options & OPTION_NO_LOCAL) != 0 ? FAULT_share_no_local : FAULT_none;",
        "(void)shared;\n    return FAULT_none;",
        "test_subscribe.py::test_no_local_on_a_share_is_a_protocol_error"),
    row("unsubscribe-passes", "UNSUBSCRIBE passes for filters that the client holds", UNSUBSCRIBE,
        REFUSED, "if (true) {",
        f"{SEMANTICS}::test_the_broker_sees_an_unsubscribe_without_the_filters_that_it_never_saw"),
    row("unsubscribe-answered", "... the proxy answers for those it never sent on", UNSUBSCRIBE,
        REFUSED, "if (false) {",
        f"{SEMANTICS}::test_the_broker_sees_an_unsubscribe_without_the_filters_that_it_never_saw",
        f"{SEMANTICS}::test_an_unsubscribe_of_denied_filters_alone_is_answered_by_the_proxy"),
    row("unsubscribe-resumed", "... but not where the broker kept a session that may hold them", UNSUBSCRIBE, REFUSED,
        REFUSED.replace(" && !session->resumed", ""),
        f"{SEMANTICS}::test_an_unsubscribe_of_what_a_kept_session_may_hold_goes_on"),
    row("plus-and-hash", "+ never covers #", "policy/region.c", "    return depth + 1;\n",
        "    return region_first_witness(region);\n",
        f"{SEMANTICS}::test_a_pattern_covers_a_filter_only_if_it_matches_all_of_its_topics[levels]"),
    row("dollar", "a leading wildcard never matches a $ topic", "policy/rule_trie.c",
        "bool dollar = depth == 0 && level_has_dollar(&walk->region->levels[0]);", "bool dollar = false;",
        f"{MATCHES}[plus]", f"{MATCHES}[hash]"),
    row("hash-and-parent", "a/# matches a", "policy/rule_trie.c",
        "if (node->many.count > 0 && !dollar)\n        add_hit",
        "if (node->many.count > 0 && !dollar && depth < walk->count)\n        add_hit",
        f"{MATCHES}[levels]"),
    row("plus-and-empty-level", "+/+ matches /x", "policy/rule_trie.c", "if (node->one != NO_NODE && !dollar)",
        "if (node->one != NO_NODE && !dollar && (level->wild || level->text.length > 0))", f"{MATCHES}[plus]"),
    row("empty-levels", "empty levels and trailing slashes as in the specification", "policy/region.c",
        "set_literal(&region->levels[region->count++], text);",
        "if (text.length > 0 || slash == NULL)\n            set_literal(&region->levels[region->count++], text);",
        f"{MATCHES}[levels]"),
]
