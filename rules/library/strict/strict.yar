/* SPDX-License-Identifier: Apache-2.0 */
/* Rules about a message and its context: a set of its own, for topics where nothing but small text is expected. They look
 * at no string, so each of them is evaluated for every message that the check covers: that costs more than all the
 * other rules together. */

rule oversized_telemetry
{
    meta:
        id = "mqward-strict-001"
        description = "More than 64 KiB where a measurement is expected"
        severity = "medium"
        mitre_attack = "T1499"
        reference = "https://attack.mitre.org/techniques/T1499/"
        sample_hit = "strict-oversized.b64"
        sample_miss = "zigbee2mqtt-devices.json sparkplug.b64 csv-energy.csv"
    condition:
        view == "raw" and payload_size > 65536
}

rule binary_as_json
{
    meta:
        id = "mqward-strict-002"
        description = "Content Type says JSON, the first bytes are not JSON's"
        severity = "medium"
        mitre_attack = "T1036"
        reference = "https://attack.mitre.org/techniques/T1036/"
        sample_hit = "strict-json.b64"
        sample_miss = "strict-json-number.json strict-json-blank.json strict-json-object.json"
    condition:
        // an object, an array, a string, a number, true, false, null, or blanks and a mark before them
        view == "raw" and content_type startswith "application/json" and filesize > 0 and
        not (uint8(0) == 0x7B or uint8(0) == 0x5B or uint8(0) == 0x22 or uint8(0) == 0x2D or
            (uint8(0) >= 0x30 and uint8(0) <= 0x39) or uint8(0) == 0x74 or uint8(0) == 0x66 or uint8(0) == 0x6E or
            uint8(0) == 0x20 or uint8(0) == 0x09 or uint8(0) == 0x0A or uint8(0) == 0x0D or uint8(0) == 0xEF)
}

rule binary_as_text
{
    meta:
        id = "mqward-strict-003"
        description = "Content Type says text, zeros are among the first bytes"
        severity = "medium"
        mitre_attack = "T1036"
        reference = "https://attack.mitre.org/techniques/T1036/"
        sample_hit = "strict-text.b64"
        sample_miss = "strict-text-csv.csv strict-text-short.txt strict-text-umlaut.txt"
    condition:
        view == "raw" and content_type startswith "text/" and filesize > 0 and
        for any i in (0..15) : (uint8(i) == 0)
}

rule retained_command
{
    meta:
        id = "mqward-strict-004"
        description = "Retained message on a topic for commands: every device that subscribes later would run it again"
        severity = "low"
        mitre_attack = "T1565.001"
        reference = "https://attack.mitre.org/techniques/T1565/001/"
        sample_hit = "strict-retained.b64"
        sample_miss = "strict-command.json strict-state.json strict-cleared.txt"
    condition:
        view == "raw" and direction == "in" and retain and payload_size > 0 and
        (topic endswith "/cmd" or topic endswith "/command" or topic contains "/rpc/request/")
}
