# SPDX-License-Identifier: Apache-2.0
"""Where the results of a statement are not "passes, passes". Keys: "file::test" or "file::test[parameters]"."""

# Mosquitto 2.0.11 does not do what the statement says, and so mqward in front of it doesn't either: what it does
# instead.
DEVIATIONS = {
    # ---- 3.1 and 3.1.1 ----
    "test_v311_publish::test_overlapping_subscriptions_get_the_highest_qos":
        "Of overlapping subscriptions the one without wildcards decides, and its QoS is not raised [MQTT-3.3.5-1].",
    "test_v311_qos::test_before_pubrel_the_same_identifier_is_the_same_message[3.1-4]":
        "The connection is closed when a QoS 2 PUBLISH is sent for the third time before PUBREL [MQTT-4.3.3-2].",
    "test_v311_qos::test_before_pubrel_the_same_identifier_is_the_same_message[3.1.1-4]":
        "The connection is closed when a QoS 2 PUBLISH is sent for the third time before PUBREL [MQTT-4.3.3-2].",

    # ---- 5.0 ----
    "test_v5_flow::test_no_more_than_the_receive_maximum_is_under_way[3-2]":
        "After the first PUBCOMP it sends all that waits, whatever the client's Receive Maximum is [MQTT-3.3.4-9].",
    "test_v5_flow::test_redelivery_keeps_to_the_receive_maximum_of_the_new_connection":
        "What was under way is sent again at once, whatever the new connection's Receive Maximum is [MQTT-3.3.4-9].",
    "test_v5_passing::test_expiry_does_not_end_a_delivery_that_has_begun":
        "Messages whose delivery has begun are dropped when their expiry is over [MQTT-4.3.3-7].",
    "test_v5_shared::test_a_new_member_gets_no_retained_messages[retain handling 0]":
        "Retained messages are sent for shared subscriptions, too (section 4.8.2).",
    "test_v5_shared::test_a_new_member_gets_no_retained_messages[retain handling 1]":
        "Retained messages are sent for shared subscriptions, too (section 4.8.2).",
    "test_v5_subscribe::test_a_second_subscription_replaces_the_options":
        "No Local of the first subscription stays after a second one without it [MQTT-3.8.4-3].",
    "test_v5_will::test_a_clean_start_ends_the_session_and_publishes_a_delayed_will":
        "A clean start withdraws a delayed will as any new connection does [MQTT-3.1.2-8].",
    "test_v5_will::test_a_session_that_ends_at_once_publishes_a_delayed_will_at_once":
        "The delay is kept to although the session has ended with the connection [MQTT-3.1.2-8].",
    "test_v5_will::test_disconnect_with_an_error_publishes_it":
        "DISCONNECT with a reason code of an error deletes the will; only 0x04 publishes it [MQTT-3.1.2-8].",
}

# mqward refuses what Mosquitto lets pass, as the statement demands: what, and the statement.
STRICTER = {
    "test_v31::test_flags_that_a_packet_does_not_use_end_the_connection[PINGREQ]":
        "MQTT 3.1 leaves the flags of PINGREQ open; mqward takes only what 3.1.1 has made of them [MQTT-2.2.2-2].",
    "test_v31::test_flags_that_a_packet_does_not_use_end_the_connection[PUBACK]":
        "MQTT 3.1 leaves the flags of PUBACK open; mqward takes only what 3.1.1 has made of them [MQTT-2.2.2-2].",
    "test_v31::test_flags_that_a_packet_does_not_use_end_the_connection[PUBREC]":
        "MQTT 3.1 leaves the flags of PUBREC open; mqward takes only what 3.1.1 has made of them [MQTT-2.2.2-2].",
    "test_v31::test_flags_that_a_packet_does_not_use_end_the_connection[PUBCOMP]":
        "MQTT 3.1 leaves the flags of PUBCOMP open; mqward takes only what 3.1.1 has made of them [MQTT-2.2.2-2].",
    # ---- 3.1 and 3.1.1 ----
    "test_v311_connect::test_an_unknown_protocol_level_is_refused_with_code_1[132]":
        "Level 0x84 is a sign among bridges that Mosquitto takes; no specification has it [MQTT-3.1.2-2].",
    "test_v311_packets::test_reserved_flags_end_the_connection[PUBACK]":
        "Reserved flags of PUBACK that are not 0 are refused [MQTT-2.2.2-2].",
    "test_v311_packets::test_reserved_flags_end_the_connection[PUBREC]":
        "Reserved flags of PUBREC that are not 0 are refused [MQTT-2.2.2-2].",
    "test_v311_packets::test_reserved_flags_end_the_connection[PUBCOMP]":
        "Reserved flags of PUBCOMP that are not 0 are refused [MQTT-2.2.2-2].",
    "test_v311_packets::test_reserved_flags_end_the_connection[PINGREQ]":
        "Reserved flags of PINGREQ that are not 0 are refused [MQTT-2.2.2-2].",
    "test_v311_packets::test_packets_that_no_client_may_send_end_the_connection[SUBACK]":
        "SUBACK comes from a server only, so from a client it is a protocol violation [MQTT-4.8.0-1].",
    "test_v311_packets::test_packets_that_no_client_may_send_end_the_connection[UNSUBACK]":
        "UNSUBACK comes from a server only, so from a client it is a protocol violation [MQTT-4.8.0-1].",
    "test_v311_packets::test_packets_that_no_client_may_send_end_the_connection[PINGRESP]":
        "PINGRESP comes from a server only, so from a client it is a protocol violation [MQTT-4.8.0-1].",
    "test_v311_packets::test_bodies_that_do_not_fit_end_the_connection[remaining length longer than needed]":
        "The algorithm of section 2.2.3 never yields a remaining length of more bytes than needed [MQTT-4.8.0-1].",
    "test_v311_packets::test_bodies_that_do_not_fit_end_the_connection[PINGREQ with a body]":
        "PINGREQ has no variable header and no payload [MQTT-4.8.0-1].",
    "test_v311_packets::test_bodies_that_do_not_fit_end_the_connection[PUBACK of three bytes]":
        "The remaining length of PUBACK is 2 [MQTT-4.8.0-1].",
    "test_v311_packets::test_bodies_that_do_not_fit_end_the_connection[PUBREC of three bytes]":
        "The remaining length of PUBREC is 2 [MQTT-4.8.0-1].",
    "test_v311_packets::test_bodies_that_do_not_fit_end_the_connection[PUBREL of three bytes]":
        "The remaining length of PUBREL is 2 [MQTT-4.8.0-1].",
    "test_v311_packets::test_bodies_that_do_not_fit_end_the_connection[PUBCOMP of three bytes]":
        "The remaining length of PUBCOMP is 2 [MQTT-4.8.0-1].",
    "test_v311_publish::test_dup_with_qos_0_ends_the_connection[3.1]":
        "DUP in a PUBLISH of QoS 0 is refused [MQTT-3.3.1-2].",
    "test_v311_publish::test_dup_with_qos_0_ends_the_connection[3.1.1]":
        "DUP in a PUBLISH of QoS 0 is refused [MQTT-3.3.1-2].",
    "test_v311_subscribe::test_a_subscribe_without_a_filter_ends_the_connection[3.1]":
        "SUBSCRIBE without a topic is refused in 3.1 too, as 3.1.1 demands of both [MQTT-3.8.3-3].",
    "test_v311_subscribe::test_an_unsubscribe_without_a_filter_ends_the_connection[3.1]":
        "UNSUBSCRIBE without a topic is refused in 3.1 too, as 3.1.1 demands of both [MQTT-3.10.3-2].",
    "test_v311_will::test_a_will_is_published_after_a_second_connect[3.1]":
        "Mosquitto forgets the will of a client whose connection it closes for a second CONNECT [MQTT-3.1.2-8].",
    "test_v311_will::test_a_will_is_published_after_a_second_connect[3.1.1]":
        "Mosquitto forgets the will of a client whose connection it closes for a second CONNECT [MQTT-3.1.2-8].",

    # ---- 5.0 ----
    "test_v5_acks::test_a_code_that_an_acknowledgement_does_not_have_is_refused[PUBACK]":
        "PUBACK has one of its own reason codes [MQTT-3.4.2-1].",
    "test_v5_acks::test_a_code_that_an_acknowledgement_does_not_have_is_refused[PUBCOMP]":
        "PUBCOMP has one of its own reason codes [MQTT-3.7.2-1].",
    "test_v5_acks::test_a_code_that_an_acknowledgement_does_not_have_is_refused[PUBREC]":
        "PUBREC has one of its own reason codes [MQTT-3.5.2-1].",
    "test_v5_acks::test_a_code_that_an_acknowledgement_does_not_have_is_refused[PUBREL]":
        "PUBREL has one of its own reason codes [MQTT-3.6.2-1].",
    "test_v5_connack::test_more_than_the_servers_receive_maximum_is_refused":
        "Mosquitto refuses the surplus PUBLISH by PUBREC 0x97 and goes on; the client must not have sent it [MQTT-3.3.4-7].",
    "test_v5_connect::test_a_second_connect_lets_the_will_out":
        "Mosquitto forgets the will of a client that sends a second CONNECT, whose connection it closes [MQTT-3.1.2-8].",
    "test_v5_data::test_a_body_that_does_not_fit_is_refused[PINGREQ with a body]":
        "PINGREQ has no variable header and no payload (section 3.12).",
    "test_v5_data::test_a_body_that_does_not_fit_is_refused[PUBACK with a byte too many]":
        "Nothing follows the properties of PUBACK (section 3.4).",
    "test_v5_data::test_a_remaining_length_longer_than_needed_is_refused":
        "A Variable Byte Integer has no more bytes than needed [MQTT-1.5.5-1].",
    "test_v5_data::test_a_type_that_no_client_sends_is_refused[PINGRESP]":
        "PINGRESP comes from a server only, so from a client it is a Protocol Error [MQTT-4.13.1-1].",
    "test_v5_data::test_a_type_that_no_client_sends_is_refused[SUBACK]":
        "SUBACK comes from a server only, so from a client it is a Protocol Error [MQTT-4.13.1-1].",
    "test_v5_data::test_a_type_that_no_client_sends_is_refused[UNSUBACK]":
        "UNSUBACK comes from a server only, so from a client it is a Protocol Error [MQTT-4.13.1-1].",
    "test_v5_data::test_reserved_flags_are_refused[PINGREQ]":
        "Reserved flags of PINGREQ that are not 0 are refused [MQTT-2.1.3-1].",
    "test_v5_data::test_reserved_flags_are_refused[PUBACK]":
        "Reserved flags of PUBACK that are not 0 are refused [MQTT-2.1.3-1].",
    "test_v5_data::test_reserved_flags_are_refused[PUBCOMP]":
        "Reserved flags of PUBCOMP that are not 0 are refused [MQTT-2.1.3-1].",
    "test_v5_data::test_reserved_flags_are_refused[PUBREC]":
        "Reserved flags of PUBREC that are not 0 are refused [MQTT-2.1.3-1].",
    "test_v5_flow::test_a_message_of_a_few_bytes_more_is_left_out[1]":
        "Mosquitto sends a packet that is one byte larger than the client's Maximum Packet Size [MQTT-3.1.2-24].",
    "test_v5_identifiers::test_a_client_must_not_send_one_in_publish":
        "A client's PUBLISH has no Subscription Identifier [MQTT-3.3.4-6].",
    "test_v5_properties::test_a_property_that_a_packet_does_not_have_is_refused[PUBLISH-subscription_identifier]":
        "A client's PUBLISH has no Subscription Identifier [MQTT-3.3.4-6].",
    "test_v5_properties::test_a_wrong_value_in_a_will_is_refused[empty response topic]":
        "A Response Topic has at least one character [MQTT-4.7.3-1].",
    "test_v5_properties::test_a_wrong_value_in_a_will_is_refused[payload format indicator 2]":
        "The Payload Format Indicator is 0 or 1 (sections 3.1.3.2.3 and 3.3.2.3.2).",
    "test_v5_properties::test_a_wrong_value_in_a_will_is_refused[response topic with #]":
        "A Response Topic has no wildcards [MQTT-3.3.2-14].",
    "test_v5_properties::test_a_wrong_value_in_a_will_is_refused[response topic with +]":
        "A Response Topic has no wildcards [MQTT-3.3.2-14].",
    "test_v5_properties::test_a_wrong_value_in_connect_is_refused[authentication data without a method]":
        "Authentication Data without a method is a Protocol Error (section 3.1.2.11.10).",
    "test_v5_properties::test_a_wrong_value_in_publish_is_refused[empty response topic]":
        "A Response Topic has at least one character [MQTT-4.7.3-1].",
    "test_v5_properties::test_a_wrong_value_in_publish_is_refused[payload format indicator 2]":
        "The Payload Format Indicator is 0 or 1 (sections 3.1.3.2.3 and 3.3.2.3.2).",
    "test_v5_properties::test_a_wrong_value_in_publish_is_refused[response topic with #]":
        "A Response Topic has no wildcards [MQTT-3.3.2-14].",
    "test_v5_properties::test_a_wrong_value_in_publish_is_refused[response topic with +]":
        "A Response Topic has no wildcards [MQTT-3.3.2-14].",
    "test_v5_publish::test_dup_with_qos_0_is_refused":
        "DUP in a PUBLISH of QoS 0 is refused [MQTT-3.3.1-2].",
    "test_v5_shared::test_a_malformed_share_is_refused[$share/+/t]":
        "A ShareName has no wildcards [MQTT-4.8.2-2].",
    "test_v5_shared::test_a_malformed_share_is_refused[$share//t]":
        "A ShareName has at least one character [MQTT-4.8.2-1].",
    "test_v5_shared::test_a_malformed_share_is_refused[$share/]":
        "A ShareName has at least one character [MQTT-4.8.2-1].",
    "test_v5_shared::test_a_malformed_share_is_refused[$share/g/]":
        "A Topic Filter follows the ShareName [MQTT-4.8.2-2].",
    "test_v5_shared::test_a_malformed_share_is_refused[$share/g]":
        "A Topic Filter follows the ShareName [MQTT-4.8.2-2].",
    "test_v5_shared::test_no_local_on_a_share_is_a_protocol_error":
        "No Local on a shared subscription is a Protocol Error [MQTT-3.8.3-4].",
}
