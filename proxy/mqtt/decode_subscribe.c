/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10). Called by mqtt_decode(); sessions walk the filters
 * afterwards. */
#include "proxy/mqtt/codec.h"

#include <assert.h>

enum option {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED = 0xC0
};

static enum codec_fault check_options(enum mqtt_version version, uint8_t options, bool shared)
{
    if (version != MQTT_V5) {
        return options > 2 ? FAULT_options_3 : FAULT_none;
    }
    if ((options & OPTION_RESERVED) != 0) {
        return FAULT_options_reserved;
    }
    if ((options & OPTION_QOS) == OPTION_QOS) {
        return FAULT_options_qos;
    }
    if ((options & OPTION_RETAIN_HANDLING) == OPTION_RETAIN_HANDLING) {
        return FAULT_options_retain;
    }
    return shared && (options & OPTION_NO_LOCAL) != 0 ? FAULT_share_no_local : FAULT_none;
}

static enum codec_fault take_filter(
    const struct codec_context *context, struct codec_reader *reader, bool has_options)
{
    struct view filter;
    if (!codec_take_string(reader, &filter)) {
        return FAULT_truncated;
    }
    bool shared = false;
    enum codec_fault fault = codec_check_filter(context, filter, &shared);
    if (fault != FAULT_none || !has_options) {
        return fault;
    }
    uint8_t options;
    if (!codec_take_byte(reader, &options)) {
        return FAULT_truncated;
    }
    return check_options(context->version, options, shared);
}

enum codec_fault codec_decode_subscribe(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    struct mqtt_subscribe *subscribe = &packet->u.subscribe;
    bool has_options = packet->type == MQTT_SUBSCRIBE;
    *subscribe = (struct mqtt_subscribe){.has_options = has_options};
    if (!codec_take_u16(reader, &subscribe->packet_id)) {
        return FAULT_truncated;
    }
    if (subscribe->packet_id == 0) {
        return FAULT_packet_id_client;
    }
    if (context->version == MQTT_V5) {
        enum codec_fault fault =
            codec_take_properties(context, reader, CODEC_IN(packet->type), &subscribe->properties);
        if (fault != FAULT_none) {
            return fault;
        }
    }
    subscribe->filters = (struct view){reader->at, codec_remaining(reader)};
    if (subscribe->filters.length == 0) {
        return has_options ? FAULT_subscribe_empty : FAULT_unsubscribe_empty;
    }
    while (codec_remaining(reader) > 0) {
        enum codec_fault fault = take_filter(context, reader, has_options);
        if (fault != FAULT_none) {
            return fault;
        }
        subscribe->count++;
    }
    return FAULT_none;
}

bool mqtt_filter_next(const struct mqtt_subscribe *subscribe, size_t *offset, struct mqtt_filter *out)
{
    assert(*offset <= subscribe->filters.length);
    if (*offset == subscribe->filters.length) {
        return false;
    }
    struct codec_reader reader = codec_reader_of(subscribe->filters);
    reader.at += *offset;
    out->options = 0;
    bool taken = codec_take_string(&reader, &out->filter) &&
                 (!subscribe->has_options || codec_take_byte(&reader, &out->options));
    assert(taken);
    (void)taken;
    *offset = subscribe->filters.length - codec_remaining(&reader);
    return true;
}
