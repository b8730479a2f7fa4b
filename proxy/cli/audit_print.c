/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the line of 'mqward audit tail': time, severity, action and whether it was only reported, who, topic,
 * rule, reason, what the action has besides, detail. Parts are parted by two blanks, and no text of a
 * stranger has a blank outside quotation marks. */
#include "proxy/cli/audit_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/view.h"
#include "proxy/cli/audit_where.h"
#include "proxy/cli/text.h"

#define PART_COLUMNS 120U
#define DETAIL_COLUMNS 1024U /* the last part: it pushes nothing away */

static const struct {
    json_int_t severity;
    const char *name, *color;
} severities[] = {{99, "critical", "\033[1;31m"}, {73, "high", "\033[31m"}, {47, "medium", "\033[33m"},
    {21, "low", ""}, {0, "low", ""}};
#define SEVERITY_COUNT (sizeof(severities) / sizeof(severities[0]))

bool audit_severity_find(const char *name, uint64_t *severity)
{
    size_t row = 0;

    while (row < SEVERITY_COUNT && strcmp(severities[row].name, name) != 0)
        row++;
    *severity = row < SEVERITY_COUNT ? (uint64_t)severities[row].severity : 0;
    return row < SEVERITY_COUNT;
}

/* ---- parts ---- */

static struct view field_text(const json_t *event, const char *field)
{
    const json_t *value = audit_field(event, field);

    return view_of(json_string_value(value), json_string_length(value));
}

static void print_text(struct view text)
{
    text_print_part(stdout, text, PART_COLUMNS);
}

/* What is before it, and the text, if there is one. */
static bool print_field(const json_t *event, const char *before, const char *field)
{
    const struct view text = field_text(event, field);

    if (text.length == 0)
        return false;
    fputs(before, stdout);
    print_text(text);
    return true;
}

static void print_number(const json_t *event, const char *before, const char *field)
{
    const json_t *value = audit_field(event, field);

    if (json_is_integer(value))
        printf("%s%" JSON_INTEGER_FORMAT, before, json_integer_value(value));
}

/* What is called a denial or a failure, and went on: in monitor mode, or where a failed scan only alerts. */
static bool went_on(const json_t *event)
{
    const struct view disposition = field_text(event, "mqward.disposition");
    const struct view action = field_text(event, "event.action");

    if (view_equal_string(disposition, "monitored"))
        return true;
    return view_equal_string(disposition, "informed") &&
           (view_ends_with(action, VIEW("-denied")) || view_ends_with(action, VIEW("-failed")));
}

static void print_head(const json_t *event, bool color)
{
    struct view time = field_text(event, "@timestamp");
    const json_int_t severity = json_integer_value(audit_field(event, "event.severity"));
    size_t row = 0;

    while (severities[row].severity > severity && row + 1 < SEVERITY_COUNT)
        row++;
    time.length = time.length > 23 ? 23 : time.length; /* to the millisecond */
    print_text(time);
    printf("Z  %s%-8s  ", color ? severities[row].color : "", severities[row].name);
    print_text(field_text(event, "event.action"));
    if (went_on(event) && print_field(event, " (", "mqward.disposition"))
        putchar(')');
    if (color)
        fputs("\033[0m", stdout);
}

/* ---- who ---- */

static bool is_refused_connect(const json_t *event)
{
    return view_equal_string(field_text(event, "event.action"), "mqtt-connect-refused");
}

/* A certificate or a token names somebody only after it was verified. Who is refused at CONNECT with anything
 * else is whom it says it is: nobody may have looked yet. The broker looks later than at the will. */
static bool is_proven(const json_t *event)
{
    const struct view source = field_text(event, "mqward.identity_source");

    if (view_equal_string(source, "cert") || view_equal_string(source, "jwt"))
        return true;
    if (view_equal_string(source, "broker") &&
        view_equal_string(field_text(event, "mqtt.packet"), "connect") &&
        !view_equal_string(field_text(event, "event.action"), "mqtt-connect-accepted"))
        return false;
    return !is_refused_connect(event);
}

/* One that all have who show no credential tells nobody from the others. */
static bool is_anonymous(const json_t *event)
{
    return view_equal_string(field_text(event, "mqward.identity_source"), "anonymous");
}

static bool print_claim(const char *before, struct view claim)
{
    if (claim.length == 0)
        return false;
    fputs(before, stdout);
    print_text(claim);
    return true;
}

/* What somebody says of itself, beside the identity that it has (which may be none). */
static bool print_claims(const json_t *event, struct view identity)
{
    struct view user = field_text(event, identity.length > 0 ? "mqtt.username" : "user.name");
    struct view id = field_text(event, "mqtt.client_id");

    if (user.length == 0)
        user = field_text(event, "mqtt.username");
    if (view_equal(user, identity))
        user.length = 0;
    if (view_equal(id, identity) || view_equal(id, user))
        id.length = 0;
    if (user.length == 0 && id.length == 0)
        return false;
    fputs(identity.length > 0 ? " claims" : "  claims", stdout);
    (void)print_claim(" user ", user);
    (void)print_claim(" client ", id);
    return true;
}

/* Names that were not proven are shown where there is no identity, where it is nobody's own, and where a
 * CONNECT was refused, perhaps because of them. */
static bool print_person(const json_t *event)
{
    struct view identity = field_text(event, "user.name");

    if (is_anonymous(event) || is_proven(event))
        (void)print_claim("  ", identity);
    else
        identity.length = 0;
    if (identity.length > 0 && !is_refused_connect(event) && !is_anonymous(event))
        return true;
    return print_claims(event, identity) || identity.length > 0;
}

static void print_who(const json_t *event)
{
    const bool who = print_person(event) || print_field(event, "  ", "mqward.ban.value");

    if (print_field(event, who ? " (" : "  (", "client.ip"))
        putchar(')');
}

/* ---- what ---- */

/* "<- " of what the broker sends to the client. */
static void print_topic(const json_t *event)
{
    const bool outbound = view_equal_string(field_text(event, "network.direction"), "outbound");

    (void)print_field(event, outbound ? "  <- " : "  ", "mqtt.topic");
    (void)print_field(event, "  response topic ", "mqtt.response_topic");
}

/* Names of rules are the operator's, and may have blanks; they are shown whole. */
static bool print_rule(const json_t *event, const char *before, const char *name, const char *line)
{
    const struct view rule = field_text(event, name);

    if (rule.length == 0)
        return false;
    fputs(before, stdout);
    text_print(stdout, rule);
    if (print_field(event, " (", line))
        putchar(')');
    return true;
}

static void print_decision(const json_t *event)
{
    if (!print_rule(event, "  rule ", "rule.name", "mqward.rule_line"))
        (void)print_rule(event, "  rule ", "rule.id", "mqward.rule_line");
    if (!view_equal_string(field_text(event, "event.reason"), "none"))
        (void)print_field(event, "  ", "event.reason");
    if (!print_field(event, "  shadow: ", "mqward.shadow.decision"))
        return;
    (void)print_field(event, " ", "mqward.shadow.reason");
    (void)print_rule(event, " rule ", "mqward.shadow.rule", "mqward.shadow.rule_line");
}

/* Of a match all rules; one is named already. */
static void print_matches(const json_t *event)
{
    const json_t *rules = audit_field(event, "mqward.yara.rules");

    for (size_t i = 0; json_array_size(rules) > 1 && i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i);
        fputs(i == 0 ? "  found " : ", ", stdout);
        print_text(view_of(json_string_value(rule), json_string_length(rule)));
    }
    (void)print_field(event, "  in ", "mqward.yara.view");
    (void)print_field(event, "  quarantine ", "mqward.quarantine.result");
}

static void print_rest(const json_t *event)
{
    const json_int_t suppressed = json_integer_value(audit_field(event, "mqward.suppressed"));

    print_matches(event);
    if (print_field(event, "  key ", "mqward.signature.kid"))
        (void)print_field(event, " of ", "mqward.signature.signer");
    (void)print_field(event, "  until ", "mqward.ban.until");
    print_number(event, "  count ", "mqward.count");
    print_number(event, "  sequence ", "mqward.gap.first_sequence");
    print_number(event, " to ", "mqward.gap.last_sequence");
    if (suppressed > 0)
        printf("  and %" JSON_INTEGER_FORMAT " more", suppressed);
    const struct view detail = field_text(event, "mqward.detail");
    if (detail.length > 0) {
        fputs("  ", stdout);
        text_print_part(stdout, detail, DETAIL_COLUMNS);
    }
}

void audit_print_event(const json_t *event, bool color)
{
    print_head(event, color);
    print_who(event);
    print_topic(event);
    print_decision(event);
    print_rest(event);
    putchar('\n');
}
