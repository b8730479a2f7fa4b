/* SPDX-License-Identifier: Apache-2.0 */
/* The last packets of a life, and the report of a failure. MQWARD_HISTORY says how many packets it shows. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "model_internal.h"
#include "packet_text.h"

#define HISTORY_SHOWN 48

void history_add(struct model *model, const char *what, int side, struct view bytes)
{
    struct history_entry *entry = &model->history[model->history_count++ % HISTORY_MAX];
    size_t kept = bytes.length < HISTORY_BYTES ? bytes.length : HISTORY_BYTES;

    entry->what = what;
    entry->side = (uint8_t)side;
    entry->version = (uint8_t)model->reference.version;
    entry->length = bytes.length;
    if (kept > 0)
        memcpy(entry->bytes, bytes.data, kept);
}

static void print_bytes(struct buffer *out, const struct history_entry *entry)
{
    size_t kept = entry->length < HISTORY_BYTES ? entry->length : HISTORY_BYTES;

    for (size_t i = 0; i < kept; i++)
        buffer_format(out, "%02x", entry->bytes[i]);
    if (kept < entry->length)
        buffer_format(out, "... (%zu bytes)", entry->length);
}

/* Packets one by one, as packet_text.h writes them; what is none, in hexadecimal. */
static void print_packets(struct buffer *out, const struct history_entry *entry)
{
    struct view rest = view_of(entry->bytes, entry->length);
    struct mqtt_frame frame;
    struct mqtt_error error;
    const char *separator = "";

    if (entry->length > HISTORY_BYTES) {
        print_bytes(out, entry);
        return;
    }
    for (; rest.length > 0; rest = view_skip(rest, frame.bytes.length), separator = " | ") {
        enum mqtt_version version = (enum mqtt_version)entry->version;

        buffer_append(out, view_of_string(separator));
        if (mqtt_frame_next(rest, (enum mqtt_direction)entry->side, version, SIZE_MAX, &frame, &error) !=
                MQTT_OK ||
            (version == 0 && frame.type != MQTT_CONNECT)) {
            print_bytes(out, entry);
            return;
        }
        packet_text_print(frame.bytes, (enum mqtt_direction)entry->side, version, out);
    }
}

static void print_variant(const struct model *model, struct buffer *out)
{
    static const char *const on_deny[] = {"reject", "drop", "disconnect"};
    const struct variant *variant = model->variant;

    buffer_format(out, "MQTT %s, %s, on_deny %s/%s, at most %u subscriptions, %u levels, %u bytes",
        mqtt_version_name(model->version), variant->name, on_deny[variant->publish],
        variant->disconnect_subscriber ? "disconnect" : "refuse", variant->subscriptions, variant->levels,
        variant->packet);
    buffer_format(out, ", %u aliases, broker_max_packet %u%s%s\n", model->settings.topic_alias_maximum,
        model->settings.broker_max_packet,
        model->reference.flows[CLIENT].any_order ? ", broker answers in any order" : "",
        model->mischief ? ", with mischief" : "");
}

/* What the reference holds to be under way. */
static void print_flows(const struct model *model, struct buffer *out)
{
    static const char *const owners[] = {"-", "receiver", "proxy"};

    for (int side = 0; side < SIDES; side++) {
        const struct flow *flow = &model->reference.flows[side];

        buffer_format(out, "messages of the %s in flight:", side == CLIENT ? "client" : "broker");
        for (unsigned id = 1, shown = 0; id <= model->ids && shown < 20; id++)
            if (flow->ids[id].owner != OWNER_NOBODY && ++shown > 0)
                buffer_format(out, " %u (%s)", id, owners[flow->ids[id].owner]);
        buffer_format(out, "%s\n", flow->in_flight == 0 ? " none" : "");
    }
    if (model->reference.vague || model->reference.vague_filters)
        buffer_format(out, "a side broke the rules of packet identifiers\n");
}

void model_fail(struct model *model, const char *format, ...)
{
    struct buffer *text = &model->report;
    char message[512];
    va_list arguments;
    unsigned kept = model->history_count < HISTORY_MAX ? model->history_count : HISTORY_MAX;
    const char *wanted = getenv("MQWARD_HISTORY");
    unsigned shown = wanted == NULL ? HISTORY_SHOWN : (unsigned)strtoul(wanted, NULL, 10);

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    buffer_format(text, "%s\n", message);
    if (model->seed != 0)
        buffer_format(text, "step %u of this life; to repeat it: MQWARD_SEED=%llu\n", model->steps,
            (unsigned long long)model->seed);
    print_variant(model, text);
    print_flows(model, text);
    for (unsigned i = model->history_count - (shown < kept ? shown : kept); i < model->history_count; i++) {
        const struct history_entry *entry = &model->history[i % HISTORY_MAX];

        buffer_format(text, "  %s ", entry->what);
        print_packets(text, entry);
        buffer_append_byte(text, '\n');
    }
    buffer_append_byte(text, 0);
    model->options.fail(model->options.context, (const char *)text->data);
    abort();
}
