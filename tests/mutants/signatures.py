# SPDX-License-Identifier: Apache-2.0
"""Signatures of payloads: their verification step by step, replays, wills, and the form in which messages go on."""
from table import row, rows

VERIFY = "policy/signature.c"
HEADER = "policy/mps1.c"
KEYRING = "policy/keyring.c"
STORE = "policy/replay.c"
SIGNER = "policy/replay_signer.c"
SIGNATURE = "proxy/session/session_signature.c"
PUBLISH = "proxy/session/session_publish.c"
DELIVERY = "proxy/session/session_delivery.c"
WILL = "proxy/session/session_will.c"
WAITING = "proxy/session/session_waiting.c"

REASON = "test_signature_reasons.py::test_each_reason_is_reached"
FORWARD = "test_signature_forward.py"
AGAIN = "test_signature_retransmission.py"
KEYS = "test_signature_keys.py"
MODES = "test_signature_modes.py"
FLOODS = "test_signature_floods.py"
HOSTILE = "test_signature_hostile.py"
WILLS = "test_signature_wills.py"
RECEIVERS = "test_signature_delivery.py"
TABLE = "test_signature_table.py::test_each_message_of_the_table_is_judged_as_the_table_says"
PREPARED = "test_signature_table.py::test_packets_one_after_the_other"


def reached(reason, version="v5.0"):
    return f"{REASON}[{reason}-{version}-paho]"


ROWS = [
    # ---- verification, in its order ----
    row("sig-missing", "no carrier: sig_missing", VERIFY,
        "if (reason == REASON_sig_missing && terms->when_present)", "if (reason == REASON_sig_missing)",
        reached("sig_missing", "v3.1.1")),
    row("sig-when-present", "... unless a signature is only asked for when_present", VERIFY,
        "if (reason == REASON_sig_missing && terms->when_present)", "if (reason == REASON_sig_missing && false)",
        f"{MODES}::test_when_present_asks_only_of_what_is_signed[v3.1.1]"),
    row("sig-two-carriers", "both carriers: sig_two_carriers", VERIFY,
        "if (found->envelope && message->property_count == 1)", "if (false)", TABLE, reached("sig_two_carriers")),
    row("sig-property-twice", "... or the property twice", VERIFY, "if (message->property_count > 1)", "if (false)",
        TABLE),
    row("sig-malformed", "a header that lies about its length is malformed", HEADER,
        "header->length > bytes.length || ", "", TABLE),
    row("sig-canonical", "the property is canonical base64url", "policy/base64url.c",
        "(bits & ((1 << (rest == 2 ? 4 : 2)) - 1)) != 0", "false", TABLE),
    row("sig-whole-property", "... of the header and nothing else", HEADER,
        "if (reason == REASON_none && header->length != (size_t)length)", "if (false)", TABLE),
    row("sig-version", "another version: sig_version", HEADER, "if (bytes.data[OFFSET_VERSION] != MPS1_VERSION) {",
        "if (false) {", reached("sig_version")),
    row("sig-reserved-flags", "unknown flags are malformed", HEADER, "if ((header->flags & ~FLAGS_KNOWN) != 0)",
        "if (false)", TABLE),
    row("sig-key-named", "a key that the check does not name: sig_key_unknown", VERIFY,
        "if (found->entry != NULL && !signature_names_key(", "if (false && !signature_names_key(",
        f"{MODES}::test_each_topic_has_its_own_keys[v5.0]"),
    row("sig-key-ended", "a key that has ended: sig_key_inactive", KEYRING, "|| now_ms >= found->not_after_ms)", ")",
        f"{KEYS}::test_a_key_ends_while_connections_live", reached("sig_key_inactive")),
    row("sig-key-begins", "... or has not begun", KEYRING, "now_ms < found->not_before_ms || ", "",
        f"{KEYS}::test_a_key_begins_while_connections_live"),
    row("sig-revoked", "a signer that is revoked: sig_key_revoked", KEYRING,
        "compare_subs) != NULL)\n        return true;", "compare_subs) != NULL)\n        return false;",
        f"{KEYS}::test_a_device_is_revoked_on_its_live_connection[signal-v5.0]"),
    row("sig-generation", "... and its generations below the least", KEYRING,
        "return generation < least_generation(key, sub);", "return generation == 0 && least_generation(key, sub) == 0;",
        f"{KEYS}::test_a_generation_voids_those_before[v5.0]"),
    row("sig-static-signer", "a static key is one signer's", KEYRING,
        "if (found->type == KEYRING_STATIC && !view_equal(found->sub, header->sub))", "if (false)",
        f"{KEYS}::test_a_static_key_is_one_signers"),
    row("sig-identity", "the signer is the client: sig_identity", VERIFY,
        "        if (!signature_may_bring(", "        if (false && !signature_may_bring(", reached("sig_identity")),
    row("sig-relay", "... or one that its gateway may bring", VERIFY,
        "if (relays(&terms->relays[i], groups, group_words, sub))", "if (false)",
        f"{KEYS}::test_a_gateway_brings_the_messages_of_its_devices[v5.0]"),
    row("sig-relay-groups", "... which is a matter of its groups", VERIFY,
        "bool member = false;", "bool member = true;", f"{KEYS}::test_each_group_has_its_own_devices"),
    row("sig-flag-retain", "RETAIN is the packet's: sig_flags", VERIFY,
        "if (((flags & MPS1_RETAIN) != 0) != message->retain)", "if (false)", reached("sig_flags"), TABLE),
    row("sig-flag-will", "... and WILL", VERIFY, "if (((flags & MPS1_WILL) != 0) != message->will)", "if (false)",
        f"{WILLS}::test_a_wills_signature_is_none_of_a_publish_and_the_reverse[v5.0]"),
    row("sig-flag-egress", "... and EGRESS is the proxy's", VERIFY,
        "return (flags & MPS1_EGRESS) != 0 ? \"EGRESS\" : NULL;", "return NULL;", TABLE),
    row("sig-props", "properties that are not covered: sig_props_unsigned", VERIFY,
        "if (message->has_properties && (found->header.flags & MPS1_PROPS) == 0)", "if (false)",
        reached("sig_props_unsigned")),
    row("sig-invalid", "the MAC is compared", "policy/mps1_mac.c",
        "same = CRYPTO_memcmp(tag, header->tag.data, header->tag.length) == 0;", "same = true;",
        reached("sig_invalid")),
    row("sig-covers-topic", "... and covers the topic", "policy/mps1_mac.c", "    put_short(input, message->topic);\n",
        "", TABLE),
    row("sig-mode", "SEQ where nonces are asked for, or the reverse: sig_replay_mode", VERIFY,
        "sequence != (terms->replay == SIGNATURE_REPLAY_SEQ))", "false)", reached("sig_replay_mode")),
    row("sig-future", "signed in the future: sig_future", VERIFY, "if (t > now_ms && t - now_ms > terms->skew_ms)",
        "if (false)", reached("sig_future")),
    row("sig-expired", "... or long ago: sig_expired", VERIFY,
        "if (t < now_ms && now_ms - t > terms->max_age_ms)", "if (false)", reached("sig_expired")),
    row("sig-no-clock", "a counter with t = 0 has no time", VERIFY, "if (sequence && t == 0)", "if (false)",
        f"{KEYS}::test_counters_count_once_within_a_window_of_64[v5.0]"),
    row("sig-one-answer", "clients see 0x87 only", PUBLISH,
        "        if (reason == REASON_sig_dup_suppressed)\n",
        "        if (reason == REASON_sig_dup_suppressed || reason == REASON_sig_expired)\n", reached("sig_expired")),
    # ---- replay ----
    row("sig-replay-last", "the store hears of valid signatures only", VERIFY,
        "    if (!fits(keyring, message, found))\n        return REASON_sig_invalid;\n    return place ==",
        "    if (!fits(keyring, message, found) && place == SIGNATURE_DELIVERY)\n        return REASON_sig_invalid;\n"
        "    return place ==", f"{FLOODS}::test_forgeries_do_not_get_into_the_store[v5.0]"),
    row("sig-replay", "a message comes once: sig_replay", VERIFY,
        "return again ? REASON_sig_dup_suppressed : REASON_sig_replay;",
        "return again ? REASON_sig_dup_suppressed : REASON_none;", reached("sig_replay")),
    row("sig-replay-pending", "... while it is pending, too", VERIFY,
        "return again ? REASON_none : REASON_sig_replay;", "return REASON_none;",
        f"{AGAIN}::test_a_pending_message_is_still_a_replay_without_dup[nonce-qos1-v5.0]"),
    row("sig-dup-pending", "DUP while it is pending is a retransmission", VERIFY,
        "return again ? REASON_none : REASON_sig_replay;", "return REASON_sig_replay;",
        f"{AGAIN}::test_a_message_whose_acknowledgement_was_lost_is_sent_again[nonce-qos1-v5.0-property]"),
    row("sig-dup-done", "... and once it is done acknowledged, not forwarded", VERIFY,
        "return again ? REASON_sig_dup_suppressed : REASON_sig_replay;",
        "return again ? REASON_none : REASON_sig_replay;",
        f"{AGAIN}::test_a_message_that_has_arrived_is_acknowledged_and_goes_no_further[nonce-qos1-v5.0-property]"),
    row("sig-nonce-reuse", "another message with the nonce: sig_nonce_reuse", SIGNER,
        "    if (!same)\n        return REPLAY_REUSED;\n", "    (void)same;\n", reached("sig_nonce_reuse")),
    row("sig-window", "a counter counts once within the window", SIGNER, "    window->seen |= bit;\n", "",
        f"{KEYS}::test_counters_count_once_within_a_window_of_64[v5.0]"),
    row("sig-window-end", "... and never below it", SIGNER,
        "(epoch == window->epoch && counter <= window->highest &&\n"
        "                                                        window->highest - counter >= REPLAY_WINDOW)",
        "false", f"{KEYS}::test_counters_count_once_within_a_window_of_64[v5.0]"),
    row("sig-done", "the broker's acknowledgement makes it done", SIGNATURE,
        "settle(session, answer->packet_id, !refused);", "settle(session, answer->packet_id, false);",
        f"{AGAIN}::test_a_message_that_has_arrived_is_acknowledged_and_goes_no_further[nonce-qos1-v5.0-property]"),
    row("sig-done-qos-0", "... at QoS 0 it is at once", PUBLISH,
        "        session_signature_done(session, &context->signature);\n", "        ;\n",
        f"{AGAIN}::test_dup_at_qos_0_is_no_retransmission[nonce-v3.1.1]"),
    row("sig-broker-refuses", "what the broker refuses may come again", SIGNATURE,
        "settle(session, answer->packet_id, !refused);", "settle(session, answer->packet_id, true);",
        f"{HOSTILE}::test_what_the_broker_refuses_may_come_again"),
    row("sig-rate-refuses", "... and what a rate refuses", PUBLISH,
        "else if (context->is_signed)\n        session_signature_undo(session, &context->signature);",
        "else if (false)\n        session_signature_undo(session, &context->signature);",
        f"{MODES}::test_what_a_rate_refuses_may_come_again[v5.0]"),
    rows("sig-flood", "a full store fails closed: what was forgotten does not come again", [
        (SIGNER, "    if (signer->slots[oldest].t_ms > signer->forgotten_ms)\n", "    if (false)\n"),
        (STORE, "        if (mark->t_ms <= replay_signer_oldest_ms(signer))\n            return false;\n", "")],
        f"{FLOODS}::test_a_flood_of_valid_messages_fails_closed[v5.0]"),
    row("sig-signers-full", "... and so does one that has too many signers", STORE,
        "    if (shard->signers >= store->limits.signers)\n        return NULL;\n", "",
        f"{HOSTILE}::test_more_signers_than_there_is_room_for[nonce]"),
    # ---- wills ----
    row("sig-will", "a will is verified at CONNECT", WILL,
        "    *checks = verdict.checks;\n", "    *checks = 0;\n",
        f"{WILLS}::test_an_unsigned_will_refuses_connect[v5.0]"),
    row("sig-will-fresh", "... with a fresh signature each time", WILL,
        "reason = session_signature_seen(session, signature, 0, false, 0);", "reason = REASON_none;",
        f"{WILLS}::test_each_connect_needs_a_signature_of_its_own[v5.0-property]"),
    row("sig-will-strip", "... which is taken off", WILL,
        "    session_signature_forward(signature, will->payload, will->retain, carrier);\n",
        "    *carrier = (struct session_carrier){.payload = will->payload};\n",
        f"{WILLS}::test_a_signed_will_is_published_without_its_signature[qos0-v5.0-envelope]"),
    row("sig-will-again", "a will whose signer is not trusted any more is not published", WILL,
        "    if (keyring_is_revoked(entry, will->sub, generation))\n        return REASON_sig_key_revoked;\n", "",
        f"{HOSTILE}::test_the_will_of_a_signer_who_is_not_trusted_any_more_is_not_published[revoked-v5.0]"),
    # ---- what goes on ----
    row("sig-pass", "forward: pass leaves the signature", SIGNATURE,
        "if (forward == SIGNATURE_PASS && !(clears && found->envelope))", "if (false)",
        f"{FORWARD}::test_pass_gives_what_was_sent[qos0-v5.0-property]"),
    row("sig-clears", "... but an empty retained message is always stripped", SIGNATURE,
        "bool clears = retain && found->payload.length == 0;", "bool clears = false;",
        f"{FORWARD}::test_a_retained_message_is_kept_and_cleared[pass-v5.0-envelope]"),
    row("sig-properties-stay", "all other properties go on", SIGNATURE,
        "((carrier->without | without) & BIT(value.id)) == 0 && !is_signature(&value))",
        "((carrier->without | without) & BIT(value.id)) == 0 && value.id != MQTT_USER_PROPERTY)",
        f"{FORWARD}::test_strip_keeps_all_other_properties_in_their_order[property]"),
    row("sig-resign-key", "forward: resign signs with the receiver's own key", DELIVERY,
        "policy_subject_id(session->subject), signature->now_ms,", "signature->found.header.sub, signature->now_ms,",
        f"{RECEIVERS}::test_each_receiver_gets_a_signature_under_its_own_key[qos0-v5.0-property]"),
    row("sig-age-delivery", "a delivery is held to the MAC only, never to its age", VERIFY,
        "return place == SIGNATURE_INGRESS ? check_time(terms, now_ms, found) : REASON_none;",
        "return check_time(terms, now_ms, found);", f"{RECEIVERS}::test_age_does_not_count_at_delivery[v5.0]"),
    row("sig-key-delivery", "... and to the keys of when it was signed", VERIFY,
        "return place == SIGNATURE_DELIVERY && header->t_ms != 0 ? header->t_ms : now_ms;",
        "return (void)place, (void)header, now_ms;",
        f"{RECEIVERS}::test_a_key_that_has_ended_since_does_not_hide_what_it_signed"),
    row("sig-receive", "what a check on receive asks for is not delivered without it", DELIVERY,
        "if (checks != 0 && !deliver(session, &context, checks, output))",
        "if (false && !deliver(session, &context, checks, output))",
        f"{RECEIVERS}::test_only_what_is_signed_is_delivered[v5.0]"),
    # ---- modes and reloads ----
    row("sig-monitor", "monitor mode reports and forwards", SIGNATURE,
        "        } else if (info->monitor) {\n", "        } else if (false) {\n",
        f"{MODES}::test_monitor_mode_reports_and_forwards"),
    row("sig-acl-first", "the rules are asked first", PUBLISH,
        "    if (!is_known(session, &context) && !judge_publish(session, &context, output))\n"
        "        return SESSION_CONSUMED;\n    if (context.verdict.checks != 0 &&",
        "    if (!is_known(session, &context) && !judge_publish(session, &context, output) && packet->qos > 3)\n"
        "        return SESSION_CONSUMED;\n    if (context.verdict.checks != 0 &&",
        f"{MODES}::test_the_rules_are_asked_first"),
    row("sig-no-rate", "what is not signed well costs no rate", PUBLISH,
        "    if (checks != 0 && !pass_signature(session, context, checks, output))\n        return false;\n",
        "    const struct policy_verdict verdict = context->verdict;\n\n"
        "    if (checks != 0 && !pass_signature(session, context, checks, output)) {\n"
        "        context->verdict = verdict;\n        (void)pass_rates(session, context, output);\n"
        "        return false;\n    }\n",
        f"{MODES}::test_what_is_not_signed_well_costs_no_rate[v5.0]"),
]
