/* SPDX-License-Identifier: Apache-2.0 */
/* audit: of mqward.yaml: rings and journal; its sinks are config_sinks.c's. Called by proxy/config.c through
 * the table of the file. */
#include "base/number.h"
#include "proxy/config_build.h"

#define KIB ((uint64_t)1 << 10)
#define GIB ((uint64_t)1 << 30)
#define MS_SECOND 1000
#define MS_MINUTE (60 * MS_SECOND)
#define MS_DAY (24 * 60 * MS_MINUTE)

/* Rings and journal */

static int set_fsync(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_audit *audit = target;
    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return -1;
    if (view_equal(node->text, VIEW("always")) || view_equal(node->text, VIEW("never"))) {
        audit->fsync = view_equal(node->text, VIEW("always")) ? CONFIG_FSYNC_ALWAYS : CONFIG_FSYNC_NEVER;
        return 0;
    }
    uint64_t interval;
    if (number_parse_duration_ms(node->text, &interval) != 0)
        return keyword_error(context, node, "always, never, or the time between two, such as 100ms",
            "fsync: expected always, never or a duration, found '%.*s'", VIEW_ARGS(node->text));
    if (interval < 1 || interval > MS_MINUTE)
        return keyword_error(
            context, node, NULL, "fsync: must be from 1ms to 1m, found '%.*s'", VIEW_ARGS(node->text));
    audit->fsync = CONFIG_FSYNC_INTERVAL;
    audit->fsync_interval_ms = interval;
    return 0;
}

static int set_ring(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_audit *audit = target;
    if (keyword_set_size(context, keyword, target, node) != 0)
        return -1;
    uint64_t below = 1, bytes = audit->ring_bytes;
    while (below * 2 <= bytes)
        below *= 2;
    if (bytes == below)
        return 0;
    char hint[96];
    snprintf(hint, sizeof(hint), "the nearest are %s and %s", keyword_show_size(below).bytes,
        keyword_show_size(below * 2).bytes);
    return keyword_error(
        context, node, hint, "ring: must be a power of two, found '%.*s'", VIEW_ARGS(node->text));
}

static const struct keyword_choice on_full_choices[] = {
    {"block", CONFIG_ON_FULL_BLOCK, false,
        "clients are no longer read until there is room again. Nothing is lost."},
    {"deny", CONFIG_ON_FULL_DENY, false,
        "each CONNECT, PUBLISH, SUBSCRIBE and delivery that can't be recorded is refused "
        "(`audit_unavailable`); "
        "connections stay, and what needs no record goes on. Refusals that found no room are counted."},
    {"drop", CONFIG_ON_FULL_DROP, false,
        "traffic goes on, and events are lost: of severity 21 above half of the ring, 47 above three "
        "quarters, 73 "
        "above seven eighths, 99 when nothing fits. They are counted."},
    {0},
};

#define AUDIT(field) offsetof(struct config_audit, field)

const struct keyword config_audit_table[] = {
    {.name = "directory",
        .set = config_set_path,
        .offset = AUDIT(directory),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "Rings, journal and cursors. Made with mode 0700 if it is not there but its parent is. One "
                "mqward "
                "uses it at a time."},
    {.name = "fsync",
        .set = set_fsync,
        .default_text = "100ms",
        .value = "`always`, `never` or duration from 1ms to 1m",
        .help = "When the journal is forced to the disk: after every batch, at this interval, or when the "
                "kernel likes. "
                "It decides what a power cut can lose; the death of the process loses nothing in any case."},
    {.name = "ring",
        .set = set_ring,
        .offset = AUDIT(ring_bytes),
        .default_text = "8MiB",
        .minimum = 256 * KIB,
        .maximum = GIB,
        .value = "size from 256KiB to 1GiB, a power of two",
        .help = "Size of each worker's ring."},
    {.name = "segment",
        .set = keyword_set_size,
        .offset = AUDIT(segment_bytes),
        .default_text = "64MiB",
        .minimum = 16 * KIB,
        .maximum = (uint64_t)1 << 50,
        .help = "Above this size the journal begins a new file. At most a quarter of `quota`."},
    {.name = "quota",
        .set = keyword_set_size,
        .offset = AUDIT(quota_bytes),
        .default_text = "1GiB",
        .minimum = 1024 * KIB,
        .maximum = (uint64_t)1 << 50,
        .help = "Size of the whole journal. When it is full of events that a sink has not confirmed, "
                "`on_full` applies."},
    {.name = "retention",
        .set = keyword_set_duration_ms,
        .offset = AUDIT(retention_ms),
        .default_text = "7d",
        .maximum = (uint64_t)3650 * MS_DAY,
        .help = "Files of the journal that all sinks have confirmed are deleted when they are older. 0: only "
                "the quota "
                "deletes."},
    {.name = "on_full",
        .set = keyword_set_choice,
        .offset = AUDIT(on_full),
        .default_text = "block",
        .choices = on_full_choices,
        .help = "What happens when there is no room for further events."},
    {.name = "aggregate",
        .set = keyword_set_duration_ms,
        .offset = AUDIT(aggregate_ms),
        .default_text = "10s",
        .maximum = 60 * MS_MINUTE,
        .help = "Denials and refusals that are alike are one event, and within this time after it only "
                "counted: then one "
                "event has their number (`mqward.suppressed`). 0: each has an event of its own."},
    {.name = "chain",
        .set = keyword_set_mapping,
        .offset = AUDIT(chain),
        .default_text = "{}",
        .members = config_chain_table,
        .shape = KEYWORD_MAPPING,
        .help = "The chain over all lines of the journal, and its [checkpoints](audit.md#the-chain)."},
    {.name = "sinks",
        .set = config_set_sinks,
        .members = config_sink_table,
        .shape = KEYWORD_LIST,
        .help = "Where events are sent. Without a sink the journal is all there is."},
    {0},
};

int config_set_audit(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_audit *audit = (void *)((char *)target + keyword->offset);
    if (keyword_set_mapping(context, keyword, target, node) != 0)
        return -1;
    audit->text = config_show(context, node);
    if (audit->segment_bytes <= audit->quota_bytes / 4)
        return 0;
    const struct yaml_node *segment = config_find_member(node, "segment");
    const struct yaml_node *quota = config_find_member(node, "quota");
    const struct yaml_node *given = segment != NULL ? segment : quota;
    return keyword_error(context, given, "the journal needs room for four files at least",
        "segment (%s) is more than a quarter of quota (%s)", keyword_show_size(audit->segment_bytes).bytes,
        keyword_show_size(audit->quota_bytes).bytes);
}
