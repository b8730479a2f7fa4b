/* SPDX-License-Identifier: Apache-2.0 */
/* The sink syslog of mqward.yaml. Called by proxy/config_sinks.c through its table. */
#include "exporters/sink_syslog.h"
#include "proxy/config_build.h"

#define KIB ((uint64_t)1024)
#define MS_MINUTE ((uint64_t)60 * 1000)

#define SYSLOG(field) offsetof(struct config_sink_syslog, field)

static const struct keyword_choice transport_choices[] = {
    {"tcp", false, false,
        "over TCP, and with `tls` over TLS. Lost is only what the receiver had not read when it died."},
    {"udp", true, false, "over UDP: what the network or the receiver drops is lost."},
    {0},
};

static const struct keyword_foreign transport_foreign[] = {
    {"tls", "`tls: {ca: ...}`, or `tls: {}`, is a key of its own beside it", NULL},
    {"unix", "the address is the path of the socket, without 'transport'", NULL},
    {0},
};

/* RFC 5424, section 6.2.1. */
static const struct keyword_choice facility_choices[] = {
    {"user", 1, false, "user-level messages."},
    {"daemon", 3, false, "system daemons."},
    {"auth", 4, false, "security and authorization."},
    {"authpriv", 10, false, "the same, for files that few may read."},
    {"audit", 13, false, "log audit."},
    {"local0", 16, false, "for local use, as the following ones."},
    {"local1", 17, false, NULL},
    {"local2", 18, false, NULL},
    {"local3", 19, false, NULL},
    {"local4", 20, false, NULL},
    {"local5", 21, false, NULL},
    {"local6", 22, false, NULL},
    {"local7", 23, false, NULL},
    {0},
};

static const struct keyword_choice format_choices[] = {
    {"json", SYSLOG_JSON, false, "the journal's line, byte for byte."},
    {"cef", SYSLOG_CEF, false, "Common Event Format, for ArcSight and whoever reads it."},
    {"text", SYSLOG_TEXT, false, "the event in one sentence; the fields are in STRUCTURED-DATA."},
    {0},
};

static const struct keyword_choice framing_choices[] = {
    {"octet-counting", SYSLOG_OCTET_COUNTING, false, "the length before each message (RFC 5425, RFC 6587)."},
    {"lines", SYSLOG_LINES, false, "a line feed behind each message (RFC 6587, non-transparent framing)."},
    {0},
};

static const struct keyword tls_table[] = {
    CONFIG_CLIENT_TLS_KEYWORDS,
    {0},
};

static int set_sd_id(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (config_set_text(context, keyword, target, node) != 0)
        return -1;
    if (syslog_sd_id_is_valid(node->text))
        return 0;
    return keyword_error(context, node,
        "a name, '@' and the number of a private enterprise: at most 32 characters, no blank, '=', ']' or "
        "'\"'",
        "sd_id: '%.*s' is not a possible SD-ID", VIEW_ARGS(node->text));
}

const struct keyword config_sink_syslog_table[] = {
    {.name = "address",
        .set = config_set_socket_address,
        .offset = SYSLOG(address),
        .flags = KEYWORD_REQUIRED,
        .value = "`host:port`, `[v6]:port` or the absolute path of a socket",
        .help = "The receiver. A socket such as `/dev/log` may be one of datagrams or a stream."},
    {.name = "transport",
        .set = keyword_set_choice,
        .offset = SYSLOG(udp),
        .default_text = "tcp",
        .choices = transport_choices,
        .foreign = transport_foreign,
        .help = "To a host."},
    {.name = "tls",
        .set = config_set_upstream_tls,
        .offset = SYSLOG(tls),
        .members = tls_table,
        .value = "mapping",
        .help = "TLS towards the receiver; `{}` is TLS with the system's CAs. Without it: plain."},
    {.name = "framing",
        .set = keyword_set_choice,
        .offset = SYSLOG(framing),
        .default_text = "octet-counting",
        .choices = framing_choices,
        .help = "How the messages of a stream are told apart. Datagrams have none."},
    {.name = "format",
        .set = keyword_set_choice,
        .offset = SYSLOG(format),
        .default_text = "json",
        .choices = format_choices,
        .help = "What stands in MSG."},
    {.name = "facility",
        .set = keyword_set_choice,
        .offset = SYSLOG(facility),
        .default_text = "local0",
        .choices = facility_choices,
        .help = "By which receivers select."},
    {.name = "sd_id",
        .set = set_sd_id,
        .offset = SYSLOG(sd_id),
        .default_text = "mqward@32473",
        .value = "string",
        .help =
            "SD-ID of the STRUCTURED-DATA. 32473 is the number for examples: put your own behind the `@` if "
            "you have one."},
    {.name = "max_message",
        .set = keyword_set_size,
        .offset = SYSLOG(max_message),
        .default_text = "8KiB",
        .minimum = SYSLOG_LIMIT_MIN,
        .maximum = SYSLOG_LIMIT_MAX,
        .help = "Bytes of a message; longer ones are cut in a defined way. Receivers have a limit, too."},
    {.name = "timeout",
        .set = keyword_set_duration_ms,
        .offset = SYSLOG(timeout_ms),
        .default_text = "10s",
        .minimum = 100,
        .maximum = 10 * MS_MINUTE,
        .help = "To connect, and without anything being acknowledged while something is under way."},
    {0},
};

static void refuse_beside(
    struct keyword_context *context, const struct yaml_node *member, const char *name, const char *why)
{
    if (member != NULL)
        diag_add(context->diag, DIAG_ERROR, &member->key_place, NULL, "%s %s is not possible", name, why);
}

int config_set_sink_syslog(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    size_t before = diag_errors(context->diag);

    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_sink_syslog *syslog = arena_calloc(context->arena, 1, sizeof(*syslog));
    *(struct config_sink_syslog **)(void *)((char *)target + keyword->offset) = syslog;
    keyword_read(context, keyword->members, syslog, node);
    const struct yaml_node *tls = config_find_member(node, "tls");
    if (syslog->address.unix_path != NULL) {
        refuse_beside(context, tls, "tls", "over a Unix socket");
        refuse_beside(context, config_find_member(node, "transport"), "transport", "with a Unix socket");
    } else if (syslog->udp) {
        refuse_beside(context, tls, "tls", "over UDP");
        refuse_beside(context, config_find_member(node, "framing"), "framing", "of datagrams");
    }
    return diag_errors(context->diag) == before ? 0 : -1;
}
