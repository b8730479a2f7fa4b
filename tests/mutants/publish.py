# SPDX-License-Identifier: Apache-2.0
"""PUBLISH, its acknowledgements, and the will."""
from table import row

PUBLISH = "proxy/session/session_publish.c"
ACKS = "proxy/session/session_acks.c"
CONNECT = "proxy/session/session_connect.c"
WILLS = "proxy/session/session_will.c"
DECIDE = "policy/decide.c"
SEMANTICS = "test_semantics_publish.py"
CONDITIONS = "test_publish.py::test_conditions_are_enforced_and_the_nearest_miss_is_named"
PREFIXES = "test_semantics_dialects.py::test_the_policy_sees_what_is_behind_the_prefixes_that_the_broker_knows"
WILL = "test_will.py::test_a_will_is_held_to_the_conditions"
JUDGED = ("POLICY_PUBLISH, packet->topic, session->settings->dialect,\n"
          "        packet->qos, packet->retain, packet->payload.length};")
JUDGED_WILL = "POLICY_WILL, will->topic, session->settings->dialect, will->qos, will->retain, will->size};"
NO_ALIAS = "BIT(MQTT_TOPIC_ALIAS_MAXIMUM) | BIT(MQTT_MAXIMUM_PACKET_SIZE) | BIT(MQTT_SESSION_EXPIRY_INTERVAL) |"

ROWS = [
    row("prefix-before-acl", "order: the dialect's prefix comes off before the ACL looks", DECIDE,
        "!dialect_strip_name(request->dialect, request->topic, topic)) {", "false) {",
        f"{PREFIXES}[v5.0-emqx]"),
    row("acl-qos", "the ACL sees the QoS", DECIDE,
        "missed |= request->qos > rule->max_qos ? MISSED_QOS : 0U;", "", f"{CONDITIONS}[2-False-10-max_qos]"),
    row("acl-retain", "the ACL sees the retain flag: retain is its own permission", DECIDE,
        "missed |= retain_fits(rule, request->retain) ? 0U : MISSED_RETAIN;", "", f"{CONDITIONS}[1-True-10-retain]"),
    row("acl-size", "the ACL sees the size", DECIDE,
        "missed |= request->size > rule->max_size ? MISSED_SIZE : 0U;", "", f"{CONDITIONS}[1-False-1025-max_size]"),
    row("every-message", "no message passes unjudged, however often its topic has passed",
        "proxy/session/session_internal.h", "entry->length == request->topic.length && request->qos <= entry->max_qos &&",
        "entry->length == request->topic.length &&",
        f"{SEMANTICS}::test_what_was_allowed_once_opens_nothing_that_is_not"),
    row("one-reason", "the decision has one reason", "proxy/session/session_audit.c",
        "session_event_begin(session, &event, action, context->verdict.reason, disposition);",
        "session_event_begin(session, &event, action, REASON_none, disposition);",
        "test_publish.py::test_a_denied_publish_is_answered_and_goes_nowhere[plain-qos1-v5.0]"),
    row("denied-qos-0", "denied, 5.0: QoS 0 is dropped", PUBLISH,
        "session_denied(session, verdict, output);\n        return false;",
        "if (context->packet.qos > 0)\n            return false;",
        f"{SEMANTICS}::test_a_denied_message_is_answered_without_the_broker"),
    row("denied-disconnect", "... or DISCONNECT 0x87, in 3.x closed, as the policy says", PUBLISH,
        "if (answer == POLICY_PUBLISH_DISCONNECT) {", "if (false) {",
        "test_publish.py::test_on_deny_disconnect_ends_the_connection"),
    row("denied-qos-1", "denied, 5.0: PUBACK 0x87", PUBLISH,
        "bool reject = answer == POLICY_PUBLISH_REJECT && session->version == MQTT_V5;",
        "bool reject = answer == POLICY_PUBLISH_REJECT && session->version == MQTT_V5 && packet->qos != 1;",
        f"{SEMANTICS}::test_a_denied_message_is_answered_without_the_broker[v5.0]"),
    row("denied-qos-2", "denied, 5.0: PUBREC 0x87", PUBLISH,
        "bool reject = answer == POLICY_PUBLISH_REJECT && session->version == MQTT_V5;",
        "bool reject = answer == POLICY_PUBLISH_REJECT && session->version == MQTT_V5 && packet->qos != 2;",
        f"{SEMANTICS}::test_a_denied_message_is_answered_without_the_broker[v5.0]"),
    row("denied-flow-ends", "... which ends the flow", ACKS,
        "bool own = kind == SESSION_PUBREC && owed->code < 0x80;", "bool own = kind == SESSION_PUBREC;",
        f"{SEMANTICS}::test_messages_that_were_denied_and_answered_leave_the_brokers_receive_maximum_free[qos2]"),
    row("denied-3", "denied, 3.x: acknowledged and dropped", PUBLISH,
        "if (packet->qos > 0)\n        session_flow_refuse(\n            &session->from_client,",
        "if (packet->qos > 0 && session->version == MQTT_V5)\n        session_flow_refuse(\n"
        "            &session->from_client,",
        f"{SEMANTICS}::test_a_denied_message_is_answered_without_the_broker[v3.1.1]"),
    row("owned-flow", "3.x, QoS 2: the proxy owns PUBREC, PUBREL and PUBCOMP", ACKS,
        "if (state == SESSION_ID_OWNED) {", "if (false) {",
        f"{SEMANTICS}::test_a_denied_qos_2_flow_of_3_x_is_the_proxys_from_end_to_end"),
    row("quota-code", "a quota that is exceeded: 0x97", "base/reason.def",
        'REASON(topic_too_deep, "ACL-1007", 0x97,', 'REASON(topic_too_deep, "ACL-1007", 0x87,',
        f"{SEMANTICS}::test_a_quota_says_0x97"),
    row("too-large-code", "too large: 0x95", "base/reason.def",
        'REASON(packet_too_large, "MQT-1004", 0x95,', 'REASON(packet_too_large, "MQT-1004", 0x81,',
        "test_protocol.py::test_a_packet_above_the_limit_is_refused_from_its_header_alone[v5.0]"),
    row("ack-order", "made-up acks wait behind the broker's", ACKS,
        "if (flow->order[kind].count == 0)\n        answer(", "if (true)\n        answer(",
        "test_outages.py::test_made_up_acks_wait_behind_the_brokers"),
    row("ack-order-of-client", "... and, for filtered deliveries, behind the client's", ACKS,
        "if (flow->order[kind].count == 0)\n        answer(", "if (true)\n        answer(",
        f"{SEMANTICS}::test_acks_for_filtered_deliveries_wait_behind_the_clients"),
    row("retransmission", "the same packet id retransmitted gets the same treatment", PUBLISH,
        "    if (!is_known(session, &context) && !judge_publish(",
        "    if (!is_known(session, &context) && packet->dup)\n"
        "        context.verdict = (struct policy_verdict){.allowed = true, .reason = REASON_allowed};\n"
        "    else if (!is_known(session, &context) && !judge_publish(",
        f"{SEMANTICS}::test_a_retransmission_is_judged_as_the_first_was"),
    row("receive-maximum", "the broker's Receive Maximum holds", PUBLISH,
        "session->from_client.ids.count >= session->broker_receive_maximum &&", "false &&",
        "test_outages.py::test_more_messages_in_flight_than_the_receive_maximum_end_the_connection",
        f"{SEMANTICS}::test_messages_that_were_denied_and_answered_leave_the_brokers_receive_maximum_free"),
    row("receive-maximum-made-up", "... with made-up acks counted in", ACKS,
        "session_ids_set(&flow->ids, owed.packet_id, owed.made_up ? SESSION_ID_REFUSED : SESSION_ID_WAITING);",
        "if (!owed.made_up)\n        session_ids_set(&flow->ids, owed.packet_id, SESSION_ID_WAITING);",
        f"{SEMANTICS}::test_messages_that_were_denied_and_wait_for_their_answer_count"),
    row("receive-maximum-of-client", "the client's Receive Maximum holds", CONNECT, NO_ALIAS,
        NO_ALIAS.replace("BIT(MQTT_SESSION", "BIT(MQTT_RECEIVE_MAXIMUM) | BIT(MQTT_SESSION"),
        f"{SEMANTICS}::test_the_clients_receive_maximum_is_the_brokers_to_keep"),
    row("retained-delete", "an empty retained payload deletes and is judged as retained", PUBLISH, JUDGED,
        JUDGED.replace("packet->retain", "packet->retain && packet->payload.length > 0"),
        "test_publish.py::test_an_empty_retained_message_is_judged_as_a_retained_one",
        f"{SEMANTICS}::test_what_was_allowed_once_opens_nothing_that_is_not"),
    row("response-topic", "the requester must itself be allowed to receive on its response topic", PUBLISH,
        "if (verdict->allowed && mqtt_properties_find(&context->packet.properties, MQTT_RESPONSE_TOPIC, &value)) {",
        "if (false) {",
        f"{SEMANTICS}::test_a_response_topic_that_the_requester_may_not_receive_is_refused"),
    row("correlation", "correlation data and content type pass", PUBLISH,
        "&session->scratch, &context->packet.properties, UINT64_C(1) << MQTT_TOPIC_ALIAS);",
        "&session->scratch, &context->packet.properties,\n"
        "        UINT64_C(1) << MQTT_TOPIC_ALIAS | UINT64_C(1) << MQTT_CONTENT_TYPE |\n"
        "            UINT64_C(1) << MQTT_CORRELATION_DATA);",
        f"{SEMANTICS}::test_a_message_without_its_alias_is_otherwise_the_same"),

    row("will-topic", "the will's topic is judged at CONNECT", WILLS,
        "session_judge(session, &request, verdict);",
        "session_judge(session, &request, verdict);\n"
        "    verdict->allowed = verdict->allowed || verdict->nearest == NULL;",
        "test_will.py::test_a_denied_will_refuses_connect[denied-v3.1.1]"),
    row("will-payload", "... its payload", WILLS, JUDGED_WILL, JUDGED_WILL.replace("will->size", "0"),
        f"{WILL}[size-v5.0]"),
    row("will-qos", "... its QoS", WILLS, JUDGED_WILL, JUDGED_WILL.replace("will->qos", "0"), f"{WILL}[qos-v5.0]"),
    row("will-retain", "... its retain flag", WILLS, JUDGED_WILL, JUDGED_WILL.replace("will->retain", "false"),
        f"{WILL}[retain-v5.0]"),
    row("will-response-topic", "... exactly as a publish: its response topic, too", WILLS,
        "session_may_receive_response(session, will->response_topic, verdict);", "",
        "test_will.py::test_a_response_topic_in_a_will_is_judged"),
    row("privilege", "$CONTROL and $SYS need the policy's explicit privilege", DECIDE,
        "missed |= tally->needs_privilege && !rule->privileged ? MISSED_PRIVILEGED : 0U;", "",
        f"{SEMANTICS}::test_the_brokers_own_trees_need_the_privilege[without]"),
    row("privilege-sys", "... $SYS as well as $CONTROL", DECIDE, 'return view_equal(first, VIEW("$SYS")) ||', "return",
        f"{SEMANTICS}::test_the_brokers_own_trees_need_the_privilege[without]"),
]
