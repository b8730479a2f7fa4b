/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of what an encoded event holds. audit.c encodes and decodes by it, record.c takes the caps
 * from it.
 *
 *   FIELD(id, KIND, member, cap)
 *     id    on disk: never reused, never renumbered, ascending; a new field goes to the end
 *     KIND  how the member is encoded (audit.c)
 *     cap   of a text, and of each text of a list: its longest kept length in bytes; 0 for other kinds
 *
 * The caps are such that the longest event fits AUDIT_EVENT_MAX (checked when audit.c is compiled). */
#ifndef MQWARD_EXPORTERS_AUDIT_FIELDS_H
#define MQWARD_EXPORTERS_AUDIT_FIELDS_H

#define AUDIT_FIELDS(FIELD)                                                                                  \
    FIELD(1, ACTION, action, 0)                                                                              \
    FIELD(2, REASON, reason, 0)                                                                              \
    FIELD(3, DISPOSITION, disposition, 0)                                                                    \
    FIELD(4, U64, wall_us, 0)                                                                                \
    FIELD(5, FLAG, outbound, 0)                                                                              \
    FIELD(6, TEXT, detail, 1024)                                                                             \
    FIELD(7, TEXT, statement, 64)                                                                            \
    FIELD(8, TEXT, session_id, 64)                                                                           \
    FIELD(9, TEXT, client_ip, 64)                                                                            \
    FIELD(10, U16, client_port, 0)                                                                           \
    FIELD(11, TEXT, server_ip, 256)                                                                          \
    FIELD(12, U16, server_port, 0)                                                                           \
    FIELD(13, TEXT, listener, 256)                                                                           \
    FIELD(14, TEXT, upstream, 256)                                                                           \
    FIELD(15, FLAG, tls, 0)                                                                                  \
    FIELD(16, FLAG, tls_resumed, 0)                                                                          \
    FIELD(17, TEXT, tls_version, 16)                                                                         \
    FIELD(18, TEXT, tls_cipher, 64)                                                                          \
    FIELD(19, TEXT, tls_server_name, 256)                                                                    \
    FIELD(20, TEXT, tls_subject, 1024)                                                                       \
    FIELD(21, TEXT, tls_issuer, 1024)                                                                        \
    FIELD(22, TEXT, tls_serial, 128)                                                                         \
    FIELD(23, TEXT, tls_fingerprint, 128)                                                                    \
    FIELD(24, TEXT, user, 1024)                                                                              \
    FIELD(25, TEXT, source, 64)                                                                              \
    FIELD(26, TEXT, username, 1024)                                                                          \
    FIELD(27, LIST, roles, 128)                                                                              \
    FIELD(28, TEXT, client_id, 1024)                                                                         \
    FIELD(29, TEXT, packet, 32)                                                                              \
    FIELD(30, TEXT, mqtt_version, 16)                                                                        \
    FIELD(31, FLAG, has_topic, 0)                                                                            \
    FIELD(32, TEXT, topic, 1024)                                                                             \
    FIELD(33, TEXT, response_topic, 1024)                                                                    \
    FIELD(34, FLAG, has_qos, 0)                                                                              \
    FIELD(35, U8, qos, 0)                                                                                    \
    FIELD(36, FLAG, retained, 0)                                                                             \
    FIELD(37, FLAG, duplicate, 0)                                                                            \
    FIELD(38, U16, packet_id, 0)                                                                             \
    FIELD(39, FLAG, has_reason_code, 0)                                                                      \
    FIELD(40, U8, reason_code, 0)                                                                            \
    FIELD(41, FLAG, has_payload, 0)                                                                          \
    FIELD(42, U64, payload_bytes, 0)                                                                         \
    FIELD(43, HASH, payload_sha256, 0)                                                                       \
    FIELD(44, TEXT, payload_excerpt, 1024)                                                                   \
    FIELD(45, FLAG, has_connect, 0)                                                                          \
    FIELD(46, FLAG, clean_start, 0)                                                                          \
    FIELD(47, U16, keep_alive, 0)                                                                            \
    FIELD(48, TEXT, ruleset, 256)                                                                            \
    FIELD(49, TEXT, policy_version, 128)                                                                     \
    FIELD(50, TEXT, rule, 256)                                                                               \
    FIELD(51, TEXT, rule_location, 512)                                                                      \
    FIELD(52, TEXT, nearest, 256)                                                                            \
    FIELD(53, FLAG, has_totals, 0)                                                                           \
    FIELD(54, U64, duration_ms, 0)                                                                           \
    FIELD(55, U64, client_bytes, 0)                                                                          \
    FIELD(56, U64, client_packets, 0)                                                                        \
    FIELD(57, U64, server_bytes, 0)                                                                          \
    FIELD(58, U64, server_packets, 0)                                                                        \
    FIELD(59, U64, count, 0)                                                                                 \
    FIELD(60, TEXT, previous_policy, 128)                                                                    \
    FIELD(61, TEXT, ban_by, 16)                                                                              \
    FIELD(62, TEXT, ban_value, 256)                                                                          \
    FIELD(63, U64, ban_until_us, 0)                                                                          \
    FIELD(64, U64, suppressed, 0)                                                                            \
    FIELD(65, TEXT, signature_kid, 32)                                                                       \
    FIELD(66, TEXT, signature_sub, 64)                                                                       \
    FIELD(67, LIST, yara_rules, 128)                                                                         \
    FIELD(68, LIST, yara_sets, 64)                                                                           \
    FIELD(69, LIST, yara_tags, 32)                                                                           \
    FIELD(70, LIST, yara_techniques, 16)                                                                     \
    FIELD(71, TEXT, yara_id, 128)                                                                            \
    FIELD(72, TEXT, yara_description, 512)                                                                   \
    FIELD(73, TEXT, yara_reference, 256)                                                                     \
    FIELD(74, TEXT, yara_severity, 16)                                                                       \
    FIELD(75, FLAG, has_yara_offset, 0)                                                                      \
    FIELD(76, U64, yara_offset, 0)                                                                           \
    FIELD(77, TEXT, yara_view, 64)                                                                           \
    FIELD(78, TEXT, yara_part, 32)                                                                           \
    FIELD(79, U64, yara_matches, 0)                                                                          \
    FIELD(80, TEXT, scan_incomplete, 96)                                                                     \
    FIELD(81, TEXT, quarantine, 32)                                                                          \
    FIELD(82, HASH, quarantine_sha256, 0)                                                                    \
    FIELD(83, U64, start_us, 0)                                                                              \
    FIELD(84, U64, end_us, 0)                                                                                \
    FIELD(85, U64, gap_first, 0)                                                                             \
    FIELD(86, U64, gap_last, 0)                                                                              \
    FIELD(87, TEXT, shadow_policy, 128)                                                                      \
    FIELD(88, TEXT, shadow_decision, 16)                                                                     \
    FIELD(89, TEXT, shadow_rule, 256)                                                                        \
    FIELD(90, TEXT, shadow_location, 512)                                                                    \
    FIELD(91, TEXT, shadow_reason, 64)

/* AUDIT_CAP_topic and so on; 0 for what is neither a text nor a list of them. */
enum audit_cap {
#define FIELD(id, kind, member, cap) AUDIT_CAP_##member = cap,
    AUDIT_FIELDS(FIELD)
#undef FIELD
};

#endif
