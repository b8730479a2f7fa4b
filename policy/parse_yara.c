/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of a check's yara. Called by the table of parse_checks.c. */
#include "policy/compiled.h"
#include "policy/parse.h"
#include "policy/yara.h"

#define SCAN_MINIMUM UINT64_C(1024)
#define SCAN_MAXIMUM (UINT64_C(256) * 1024 * 1024)
#define TIMEOUT_MINIMUM_MS 1
#define TIMEOUT_MAXIMUM_MS 10000

static const struct keyword_choice at_choices[] = {
    {.name = "publish", .value = VERB_PUBLISH, .help = "what clients publish, their wills too."},
    {.name = "receive",
        .value = VERB_RECEIVE,
        .help = "what is delivered to them; `who` and `unless` are about the receiver."},
    {0},
};
static const struct keyword_foreign at_foreign[] = {
    {"in", "write publish", NULL},
    {"inbound", "write publish", NULL},
    {"ingress", "write publish", NULL},
    {"will", "write publish: wills are among what clients publish", NULL},
    {"out", "write receive", NULL},
    {"outbound", "write receive", NULL},
    {"egress", "write receive", NULL},
    {"deliver", "write receive", NULL},
    {"delivery", "write receive", NULL},
    {"subscribe", "write receive: what is delivered to subscribers", NULL},
    {"both", "write 'at: [publish, receive]'", NULL},
    {"all", "write 'at: [publish, receive]'", NULL},
    {0},
};

/* A set of one bit is a view, the others stand alone. */
static const struct keyword_choice view_choices[] = {
    {.name = "all", .value = YARA_VIEWS_ALL, .help = "all of these."},
    {.name = "none", .value = 0, .help = "nothing but the bytes as they came."},
    {.name = "base64", .value = YARA_VIEW_BASE64, .help = "base64 and base64url, within a text, too."},
    {.name = "hex", .value = YARA_VIEW_HEX, .help = "hexadecimal digits, within a text, too."},
    {.name = "json", .value = YARA_VIEW_JSON, .help = "a text with its escapes resolved."},
    {.name = "gzip", .value = YARA_VIEW_GZIP, .help = "what gzip and zlib have compressed."},
    {.name = "utf16", .value = YARA_VIEW_UTF16, .help = "UTF-16 as UTF-8."},
    {0},
};
static const struct keyword_foreign view_foreign[] = {
    {"raw", "the bytes as they came are always scanned: write none, if nothing else is to be", NULL},
    {"plain", "the bytes as they came are always scanned: write none, if nothing else is to be", NULL},
    {"base64url", "write base64: it is both", NULL},
    {"zlib", "write gzip: it is both", NULL},
    {"deflate", "write gzip, which is zlib, too; a raw deflate stream is not decoded", NULL},
    {"hexadecimal", "write hex", NULL},
    {"unicode", "write utf16", NULL},
    {"utf-16", "write utf16", NULL},
    {0},
};

static const struct keyword_choice match_choices[] = {
    {.name = "reject",
        .value = YARA_MATCH_REJECT,
        .help = "it is refused: MQTT 5.0 gets `reason_code` in PUBACK or PUBREC, MQTT 3.x an "
                "acknowledgement."},
    {.name = "drop", .value = YARA_MATCH_DROP, .help = "it is acknowledged as if it had been accepted."},
    {.name = "disconnect",
        .value = YARA_MATCH_DISCONNECT,
        .help =
            "it is refused, and its sender's session ends; a delivery is dropped, and its receiver stays."},
    {.name = "alert", .value = YARA_MATCH_ALERT, .help = "it goes on, and the audit says so."},
    {.name = "quarantine",
        .value = YARA_MATCH_QUARANTINE,
        .help = "it is refused, and its payload stored for an analyst."},
    {0},
};
static const struct keyword_foreign match_foreign[] = {
    {"block", "write reject", NULL},
    {"deny", "write reject", NULL},
    {"refuse", "write reject", NULL},
    {"ignore", "write drop, or alert for what is to go on", NULL},
    {"discard", "write drop", NULL},
    {"close", "write disconnect", NULL},
    {"kick", "write disconnect", NULL},
    {"log", "write alert", NULL},
    {"warn", "write alert", NULL},
    {"audit", "write alert", NULL},
    {"report", "write alert", NULL},
    {"allow", "write alert", NULL},
    {"pass", "write alert", NULL},
    {"monitor", "write 'mode: monitor' of the check, or alert", NULL},
    {"store", "write quarantine", NULL},
    {"isolate", "write quarantine", NULL},
    {0},
};

static const struct keyword_choice error_choices[] = {
    {.name = "reject", .value = YARA_ERROR_REJECT, .help = "it is refused."},
    {.name = "alert", .value = YARA_ERROR_ALERT, .help = "it goes on, and the audit says so."},
    {0},
};
static const struct keyword_foreign error_foreign[] = {
    {"block", "write reject", NULL},
    {"deny", "write reject", NULL},
    {"drop", "write reject", NULL},
    {"disconnect", "write reject", NULL},
    {"quarantine", "write reject: what is stored is what a rule has found something in", NULL},
    {"fail_closed", "write reject", NULL},
    {"log", "write alert", NULL},
    {"warn", "write alert", NULL},
    {"allow", "write alert", NULL},
    {"pass", "write alert", NULL},
    {"ignore", "write alert", NULL},
    {"fail_open", "write alert", NULL},
    {0},
};

static const struct keyword_choice code_choices[] = {
    {.name = "payload_format_invalid", .value = 0x99, .help = "0x99."},
    {.name = "not_authorized",
        .value = 0x87,
        .help = "0x87, as to a topic that is denied: the sender learns nothing of the scan."},
    {0},
};
static const struct keyword_foreign code_foreign[] = {
    {"0x99", "write payload_format_invalid", NULL},
    {"153", "write payload_format_invalid", NULL},
    {"0x87", "write not_authorized", NULL},
    {"135", "write not_authorized", NULL},
    {"unauthorized", "write not_authorized", NULL},
    {0},
};

/* Of its own table, and of mqward.yaml. */
static const struct keyword_foreign foreign_keys[] = {
    {"ruleset", "write 'rules: [iot]'", "rules"},
    {"rulesets", "write 'rules: [iot]'", "rules"},
    {"rule_sets", "write 'rules: [iot]'", "rules"},
    {"rule", "write 'rules: [iot]'", "rules"},
    {"sets", "write 'rules: [iot]'", "rules"},
    {"files", "the files of a rule set stand in mqward.yaml: 'rules: {iot: {files: [iot.yar]}}'", NULL},
    {"directions", "write 'at: [publish, receive]'", "at"},
    {"direction", "write 'at: receive'", "at"},
    {"on", "write 'at: receive'", "at"},
    {"max_size", "write 'max_scan: 256KiB'", "max_scan"},
    {"max_bytes", "write 'max_scan: 256KiB'", "max_scan"},
    {"limit", "write 'max_scan: 256KiB'", "max_scan"},
    {"encodings", "write 'views: [base64, gzip]'", "views"},
    {"encoding", "write 'views: [base64, gzip]'", "views"},
    {"decode", "write 'views: [base64, gzip]'", "views"},
    {"deadline", "write 'timeout: 50ms'", "timeout"},
    {"action", "write 'on_match: reject'", "on_match"},
    {"on_hit", "write 'on_match: reject'", "on_match"},
    {"on_fail", "write 'on_error: reject'", "on_error"},
    {"on_timeout", "write 'on_error: reject', which is about time, too", "on_error"},
    {"reason", "write 'reason_code: not_authorized'", "reason_code"},
    {"quarantine", "write 'on_match: quarantine'; the folder stands in mqward.yaml", NULL},
    {0},
};

bool yara_set_name_valid(struct view name)
{
    return parse_name_valid(name);
}

/* all and none have no company. */
static int set_views(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const struct yaml_node *item = node->kind == YAML_SEQUENCE && node->count > 1 ? node->first : NULL;
    for (; item != NULL; item = item->next) {
        if (item->kind == YAML_SCALAR &&
            (view_equal(item->text, VIEW("all")) || view_equal(item->text, VIEW("none"))))
            return keyword_error(context, item,
                arena_format(context->arena, "write 'views: %.*s', or name the views", VIEW_ARGS(item->text)),
                "%s: '%.*s' beside others", keyword->name, VIEW_ARGS(item->text));
    }
    return keyword_set_choices(context, keyword, target, node);
}

#define YARA(field) offsetof(struct parsed_check, yara.field)
const struct keyword parse_yara_table[] = {
    {.name = "rules",
        .set = keyword_set_strings,
        .offset = YARA(rules),
        .flags = KEYWORD_REQUIRED | KEYWORD_ONE_OR_MANY,
        .pattern = PARSE_NAME_PATTERN,
        .example = "[iot]",
        .help = "Rule sets of [`mqward.yaml`](configuration.md): none of their rules may find anything."},
    {.name = "at",
        .set = keyword_set_choices,
        .offset = YARA(verbs),
        .choices = at_choices,
        .foreign = at_foreign,
        .default_text = "publish",
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Which messages are scanned."},
    {.name = "max_scan",
        .set = keyword_set_size,
        .offset = YARA(max_scan),
        .seen_offset = 1 + YARA(has_max_scan),
        .default_text = "256KiB",
        .minimum = SCAN_MINIMUM,
        .maximum = SCAN_MAXIMUM,
        .help = "How much of the payload, and of what is decoded from it, is scanned. What is beyond is not: "
                "`on_error`."},
    {.name = "views",
        .set = set_views,
        .like = keyword_set_choices,
        .offset = YARA(views),
        .choices = view_choices,
        .foreign = view_foreign,
        .default_text = "all",
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "What is decoded and scanned, besides the bytes as they came ([how]("
                "scanning.md#what-is-scanned))."},
    {.name = "timeout",
        .set = keyword_set_duration_ms,
        .offset = YARA(timeout_ms),
        .default_text = "50ms",
        .minimum = TIMEOUT_MINIMUM_MS,
        .maximum = TIMEOUT_MAXIMUM_MS,
        .help = "CPU time for a message. What takes longer is not scanned to its end: `on_error`."},
    {.name = "on_match",
        .set = keyword_set_choice,
        .offset = YARA(on_match),
        .choices = match_choices,
        .foreign = match_foreign,
        .default_text = "reject",
        .help = "What becomes of a message in which a rule has found something."},
    {.name = "on_error",
        .set = keyword_set_choice,
        .offset = YARA(on_error),
        .seen_offset = 1 + YARA(has_on_error),
        .choices = error_choices,
        .foreign = error_foreign,
        .default_text = "reject",
        .help = "What becomes of a message that could not be scanned to its end: an error, more time or "
                "bytes than it has, a decompression bomb."},
    {.name = "reason_code",
        .set = keyword_set_choice,
        .offset = YARA(reason_code),
        .seen_offset = 1 + YARA(has_reason_code),
        .choices = code_choices,
        .foreign = code_foreign,
        .default_text = "payload_format_invalid",
        .help = "What a sender of MQTT 5.0 is told where its message is refused."},
    {.foreign = foreign_keys},
};
