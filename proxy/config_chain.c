/* SPDX-License-Identifier: Apache-2.0 */
/* chain: of audit: the key of the checkpoints, and how often there is one. Called by config_audit.c through
 * its table. */
#include "proxy/config_build.h"

#define MS_SECOND 1000
#define MS_DAY (24 * 3600 * MS_SECOND)

#define CHECKPOINT(field) offsetof(struct config_checkpoint, field)

static const struct keyword checkpoint_table[] = {
    {.name = "events",
        .set = keyword_set_number,
        .offset = CHECKPOINT(events),
        .default_text = "10000",
        .minimum = 100,
        .maximum = 10000000,
        .help = "After so many lines at the latest. What somebody who has taken the chain's current key can "
                "rewrite "
                "without being found out lies behind the last checkpoint."},
    {.name = "interval",
        .set = keyword_set_duration_ms,
        .offset = CHECKPOINT(interval_ms),
        .default_text = "60s",
        .minimum = MS_SECOND,
        .maximum = MS_DAY,
        .help = "So long a line waits for its checkpoint at the most. There is none while nothing happens."},
    {0},
};

const struct keyword config_chain_table[] = {
    {.name = "signing_key",
        .set = config_set_path,
        .offset = offsetof(struct config_chain, signing_key),
        .value = "path",
        .help =
            "Private Ed25519 key of the checkpoints: a PEM file that nobody else on the machine can read. By "
            "default `checkpoint.key` of `directory`. If it is not there, it is made, and the public key "
            "beside "
            "it (`.pub`)."},
    {.name = "checkpoint",
        .set = keyword_set_mapping,
        .offset = offsetof(struct config_chain, checkpoint),
        .default_text = "{}",
        .members = checkpoint_table,
        .shape = KEYWORD_MAPPING,
        .help = "How often there is a checkpoint. The first line of a start and the last line of a clean "
                "stop are "
                "always one."},
    {0},
};
