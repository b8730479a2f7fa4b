/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tables of docs/audit.md that are derived from the code. Called by the command that prints
 * references, and by the test that compares the manual with it. */
#include "base/buffer.h"
#include "exporters/audit.h"
#include "exporters/audit_fields.h"

static void reference_actions(struct buffer *out)
{
    buffer_format(out, "### Actions\n\n| `event.action` | `event.kind` | `event.category` | `event.type` |\n"
                       "|---|---|---|---|\n");
    for (unsigned i = 0; i < AUDIT_ACTION_COUNT; i++) {
        const struct audit_action_info *info = audit_action_info((enum audit_action)i);
        buffer_format(
            out, "| `%s` | %s | %s | %s |\n", info->name, info->kind, info->categories, info->types);
    }
}

static void reference_dispositions(struct buffer *out)
{
    static const char *const texts[] = {
        [AUDIT_FORWARDED] = "it went on unchanged",
        [AUDIT_REWRITTEN] = "it went on changed",
        [AUDIT_REJECTED] = "it was refused, and the sender was told",
        [AUDIT_DROPPED] = "it was thrown away, the sender was not told",
        [AUDIT_CLOSED] = "the connection was closed",
        [AUDIT_INFORMED] = "nothing was decided: a report",
        [AUDIT_MONITORED] =
            "it would have been denied, and went on because of monitor mode: type allowed, outcome success",
    };

    buffer_format(out, "\n### Dispositions\n\n| `mqward.disposition` | meaning |\n|---|---|\n");
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        buffer_format(out, "| `%s` | %s |\n", audit_disposition_name((enum audit_disposition)i), texts[i]);
}

static void reference_reasons(struct buffer *out)
{
    buffer_format(out,
        "\n### Reasons\n\n| `event.code` | `event.reason` | `event.severity` | MQTT 5.0 code | meaning |\n"
        "|---|---|---|---|---|\n");
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *info = reason_info((enum reason)i);
        buffer_format(out, "| `%s` | `%s` | %u | 0x%02X | %s |\n", info->code, info->name,
            (unsigned)info->severity, (unsigned)info->v5, info->text);
    }
}

static void reference_caps(struct buffer *out)
{
    static const struct {
        const char *member;
        unsigned cap;
    } caps[] = {
#define FIELD(id, kind, member, cap) {#member, cap},
        AUDIT_FIELDS(FIELD)
#undef FIELD
    };

    buffer_format(out, "\n### Caps\n\nA text longer than its cap is cut and ends with `…` (U+2026), which is "
                       "within the cap. All "
                       "other texts of an event are fixed.\n\n| bytes | texts |\n|---|---|\n");
    for (unsigned cap = 1; cap <= AUDIT_FIELD_MAX; cap++) {
        const char *before = NULL;
        for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
            if (caps[i].cap != cap)
                continue;
            if (before == NULL)
                buffer_format(out, "| %u | ", cap);
            buffer_format(out, "%s%s", before == NULL ? "" : ", ", caps[i].member);
            before = caps[i].member;
        }
        if (before != NULL)
            buffer_format(out, " |\n");
    }
}

void audit_print_reference(struct buffer *out)
{
    reference_actions(out);
    reference_dispositions(out);
    reference_reasons(out);
    reference_caps(out);
}
