# SPDX-License-Identifier: Apache-2.0
"""Sessions and topic aliases."""
from table import row, rows

SESSION = "proxy/session/session.c"
CONNECT = "proxy/session/session_connect.c"
CONNACK = "proxy/session/session_connack.c"
END = "proxy/session/session_end.c"
PUBLISH = "proxy/session/session_publish.c"
ALIAS = "proxy/session/session_alias.c"
REFUSED = "test_semantics_sessions.py::test_a_connect_that_the_policy_refuses_never_reaches_the_broker"
SILENT = "test_semantics_sessions.py::test_a_client_that_is_silent_ends_the_brokers_connection_without_disconnect"
WITHDRAW = "    if (session->state == SESSION_CONNECTING)\n        withdraw_connect(session, reason, output);"
SAY_GOODBYE = "\n        mqtt_encode_disconnect(output->to_broker, session->version, 0);"
NO_ALIAS = "BIT(MQTT_TOPIC_ALIAS_MAXIMUM) | BIT(MQTT_MAXIMUM_PACKET_SIZE) | BIT(MQTT_SESSION_EXPIRY_INTERVAL));"

ROWS = [
    row("connect-identity", "CONNECT is held until the identity is established", CONNECT,
        "session_connect_refuse(session, found.reason, found.rule, found.detail, output);\n    return false;",
        "return true;", f"{REFUSED}[password-v3.1.1]"),
    row("connect-policy", "... and the policy allows it", CONNECT,
        "if (connect->has_will && !will_allowed(session, &connect->will, output))", "if (false)",
        f"{REFUSED}[will-v5.0]"),
    row("connect-goes-on", "then the broker's connection is opened and CONNECT sent on", CONNECT,
        "mqtt_encode(&rewritten, output->to_broker);",
        "rewritten.u.connect.keep_alive = 0;\n    mqtt_encode(&rewritten, output->to_broker);",
        "test_outages.py::test_connect_reaches_the_broker_as_the_client_sent_it"),
    row("pipelined", "what a client pipelines before CONNACK is held and judged after", SESSION,
        "return session->has_authentication;", "return true;",
        "test_semantics_sessions.py::test_what_is_sent_before_connack_waits_for_it_and_is_judged"),
    rows("pipelined-bound", "... within bounds", [
        ("proxy/conn.c", "return side == &conn->broker || session_client_ready(conn->session);",
         "return side == &conn->broker || conn->phase == CONN_CONNACK || session_client_ready(conn->session);"),
        ("proxy/conn.c", "        if (from->waiting)\n            input =",
         "        if (from->waiting && conn->phase != CONN_CONNACK)\n            input ="),
    ], "test_semantics_sessions.py::test_what_is_sent_before_connack_costs_bounded_memory"),
    row("broker-refuses", "if the broker refuses, its reason goes to the client", CONNACK,
        "if (packet->frame.bytes.length <= session->client_packet_limit)\n        return SESSION_FORWARD;",
        "return SESSION_CONSUMED;",
        "test_outages.py::test_a_brokers_refusal_reaches_the_client_with_its_reason"),
    row("assigned-client-id", "assigned client ids are learned from CONNACK before <client_id> is used", CONNACK,
        "if (mqtt_properties_find(properties, MQTT_ASSIGNED_CLIENT_IDENTIFIER, &assigned)) {", "if (false) {",
        "test_semantics_sessions.py::test_an_assigned_client_id_fills_placeholders_and_is_held_to_the_binding"),
    row("client-id-binding", "a client id belongs to the identity that the policy binds it to", "policy/identity.c",
        'return fits ? identified() : refused(REASON_client_id_not_allowed, &pattern->info, "client_id");',
        "(void)fits;\n    return identified();", f"{REFUSED}[client id-v3.1.1]"),
    row("takeover", "a takeover by another identity is refused", "proxy/registry.c",
        "return REASON_client_id_in_use;", "(void)id;",
        "test_claims.py::test_a_client_id_that_is_held_is_refused_before_the_broker_is_asked[v5.0]"),
    row("keep-alive", "1.5 times the keep alive on the client's side", SESSION,
        "return (uint64_t)session->keep_alive * 1500;", "return (uint64_t)session->keep_alive * 1000;",
        f"{SILENT}[v3.1.1]"),
    row("server-keep-alive", "... the server's where it sets one", CONNACK,
        "(uint16_t)mqtt_properties_number(properties, MQTT_SERVER_KEEP_ALIVE, session->keep_alive);",
        "session->keep_alive;",
        "test_limits.py::test_the_servers_keep_alive_counts"),
    row("pings", "the broker sees the client's own PINGREQs", SESSION,
        "return decode(session, frame, MQTT_FROM_CLIENT, &packet, output);",
        "static const uint8_t pong[] = {0xD0, 0};\n"
        "    if (decode(session, frame, MQTT_FROM_CLIENT, &packet, output) == SESSION_FORWARD)\n"
        "        buffer_append(output->to_client, view_of(pong, sizeof(pong)));\n    return SESSION_CONSUMED;",
        "test_semantics_sessions.py::test_pings_are_between_client_and_broker"),
    row("lost-client", "a client that drops without DISCONNECT: so does the proxy, and the will fires", END, WITHDRAW,
        WITHDRAW + "\n    if (reason == REASON_client_closed || reason == REASON_client_lost)" + SAY_GOODBYE,
        "test_semantics_sessions.py::test_a_client_that_is_lost_ends_the_brokers_connection_without_disconnect",
        "test_will.py::test_an_allowed_will_fires_when_the_client_is_lost[plain-close-v3.1.1]"),
    row("kicked-client", "a client that is kicked leaves the will that the policy allows", END, WITHDRAW,
        WITHDRAW + "\n    if (session->state == SESSION_OPEN && reason_info(reason)->v5 == 0x87)" + SAY_GOODBYE,
        "test_will.py::test_a_client_that_is_kicked_for_a_violation_leaves_its_allowed_will",
        "test_semantics_sessions.py::test_a_client_that_is_kicked_for_a_denied_publish_leaves_its_allowed_will"),
    row("refused-will", "... and one whose CONNECT is refused leaves none", END,
        "mqtt_encode_disconnect(output->to_broker, session->version, 0);", "(void)session, (void)output;",
        "test_claims.py::test_a_connack_that_never_comes_leaves_no_will_behind[v5.0]"),
    row("disconnect-of-client", "DISCONNECT passes to the broker", SESSION,
        "output->reason = REASON_client_disconnected;\n    return verdict;",
        "output->reason = REASON_client_disconnected;\n    return SESSION_CONSUMED;",
        "test_semantics_sessions.py::test_disconnect_goes_on_as_it_came"),
    row("disconnect-of-broker", "the broker's DISCONNECT passes, Server Reference included", SESSION,
        "output->reason = REASON_broker_disconnected;\n    }\n    return verdict;",
        "output->reason = REASON_broker_disconnected;\n    }\n    return SESSION_CONSUMED;",
        "test_outages.py::test_a_brokers_disconnect_reaches_the_client_with_its_reason"),
    row("enhanced-authentication", "AUTH passes: enhanced authentication", SESSION,
        "session->authentication_asked = false;\n    return SESSION_FORWARD;",
        "session->authentication_asked = false;\n    return SESSION_CONSUMED;",
        "test_outages.py::test_enhanced_authentication_passes_both_ways"),
    row("re-authentication", "AUTH passes: re-authentication", SESSION,
        'if (!session->has_authentication)\n'
        '        return session_client_violation(session, REASON_protocol_error, "MQTT-4.12.0-6",',
        "if (!session->has_authentication || session->state == SESSION_OPEN)\n"
        '        return session_client_violation(session, REASON_protocol_error, "MQTT-4.12.0-6",',
        "test_outages.py::test_enhanced_authentication_passes_both_ways"),
    row("session-expiry", "Session Expiry passes within the policy's limit", CONNECT,
        "lower_of(session->session_expiry_asked, session->policy->limit_session_expiry_s);",
        "session->session_expiry_asked;",
        "test_outages.py::test_a_session_expiry_above_the_limit_is_lowered_wherever_it_is_asked_for"),
    row("session-expiry-disconnect", "... in DISCONNECT, too", SESSION,
        "if (expiry > session->policy->limit_session_expiry_s) {", "if (false) {",
        "test_outages.py::test_a_session_expiry_above_the_limit_is_lowered_wherever_it_is_asked_for"),

    row("alias-of-dropped", "an alias that a dropped PUBLISH defined stands for its topic", PUBLISH,
        "const struct mqtt_publish *packet = &context->packet;\n    enum policy_deny_publish answer",
        "const struct mqtt_publish *packet = &context->packet;\n    if (context->rewritten)\n"
        "        session_alias_free(&session->aliases);\n    enum policy_deny_publish answer",
        "test_alias.py::test_an_alias_of_a_denied_topic_stays_denied[qos1]"),
    row("alias-redefined", "... and never for something else", ALIAS, "if (view_equal(*slot, topic))",
        "if (slot->data != NULL)",
        "test_alias.py::test_an_alias_that_is_redefined_to_a_denied_topic_does_not_keep_the_old_one"),
    row("alias-resolved", "the full topic is judged", PUBLISH,
        "if (packet->properties.present != 0 && !resolve_alias(session, &context, output))", "if (false)",
        "test_alias.py::test_an_alias_stands_for_its_topic"),
    row("alias-forwarded", "no alias mapping is forwarded that the proxy has not established with that peer", PUBLISH,
        "context->rewritten = true;", "context->rewritten = false;",
        "test_alias.py::test_what_goes_to_the_broker_uses_only_aliases_that_the_broker_allows[0]"),
    row("alias-permitted", "the broker is given no leave to send aliases", CONNECT, NO_ALIAS,
        "BIT(MQTT_MAXIMUM_PACKET_SIZE) | BIT(MQTT_SESSION_EXPIRY_INTERVAL));",
        "test_alias.py::test_a_dropped_delivery_does_not_lose_the_alias_that_it_defined"),
    row("alias-of-broker", "... and one that sends them does not get them through", PUBLISH,
        "if (mqtt_properties_has(&packet->properties, MQTT_TOPIC_ALIAS))", "if (false)",
        "test_alias.py::test_a_dropped_delivery_does_not_lose_the_alias_that_it_defined"),
    rows("alias-0", "alias 0: 0x94", [
        ("proxy/mqtt/property.c", '"Topic Alias", PUBLISH, PUBLISH, 1, UINT16_MAX,',
         '"Topic Alias", PUBLISH, PUBLISH, 0, UINT16_MAX,'),
        (ALIAS, "if (alias == 0 || alias > aliases->maximum)\n",
         "if (alias == 0)\n        return true;\n    if (alias > aliases->maximum)\n"),
    ], "test_alias.py::test_an_invalid_alias_ends_the_connection"),
    row("alias-above", "an alias above the maximum: 0x94", ALIAS,
        "if (alias == 0 || alias > aliases->maximum)\n        return false;",
        "if (alias > aliases->maximum)\n        return true;",
        "test_alias.py::test_an_invalid_alias_ends_the_connection"),
    row("alias-unknown", "an unknown alias: 0x94", ALIAS,
        "aliases->topics[alias - 1].data == NULL)\n        return false;",
        'aliases->topics[alias - 1].data == NULL) {\n        *topic = VIEW("open/a");\n        return true;\n    }',
        "test_alias.py::test_an_invalid_alias_ends_the_connection"),
]
