/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the part of a record that only a checkpoint has. Called by record.c. */
#include "exporters/record_write.h"

void record_checkpoint(struct json *json, const struct record_checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return;
    json_write_object_begin(json, "checkpoint");
    if (checkpoint->previous[0] != '\0')
        json_write_literal(json, "previous", checkpoint->previous);
    record_number(json, "events", checkpoint->events);
    json_write_object_begin(json, "interval");
    record_number(json, "events", checkpoint->interval_events);
    record_number(json, "seconds", checkpoint->interval_seconds);
    json_write_object_end(json);
    json_write_literal(json, "key", checkpoint->key);
    json_write_literal(json, "signature", checkpoint->signature);
    json_write_object_end(json);
}
