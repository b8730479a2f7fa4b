/* SPDX-License-Identifier: Apache-2.0 */
/* What prefixes of a topic mean to which broker (mqtt-semantics "Broker dialects"): one table. */
#ifndef MQWARD_POLICY_DIALECT_H
#define MQWARD_POLICY_DIALECT_H

#include "base/buffer.h"

enum dialect {
    DIALECT_MOSQUITTO,
    DIALECT_EMQX,
    DIALECT_HIVEMQ,
    DIALECT_VERNEMQ,
    DIALECT_NANOMQ,
    DIALECT_RABBITMQ,
    DIALECT_ACTIVEMQ,
    DIALECT_ARTEMIS,
    DIALECT_AWS,
    DIALECT_AZURE,
    DIALECT_COUNT
};

/* Features that a rule must grant (bits). */
enum policy_feature {
    POLICY_FEATURE_SHARED = 1,
    POLICY_FEATURE_EXCLUSIVE = 2,
    POLICY_FEATURE_DELAYED = 4,
    POLICY_FEATURE_QUEUE = 8,
    POLICY_FEATURE_STREAM = 16,
};

struct dialect_topic {
    struct view topic; /* what the ACL judges */
    unsigned features; /* enum policy_feature: what the stripped prefixes ask for */
    bool shared;       /* deliveries go to one of a group: filtering would lose messages */
};

const char *dialect_name(enum dialect dialect);
/* The dialect with this name, or -1. */
int dialect_parse(struct view name);
/* Strips the prefixes of a filter in a SUBSCRIBE or UNSUBSCRIBE, nested ones included. False if a prefix is
 * malformed (empty group, wildcard in the group, nothing behind it): a protocol error towards any broker. */
bool dialect_strip_filter(enum dialect dialect, struct view filter, struct dialect_topic *out);
/* The same for the topic name of a PUBLISH ($delayed/<seconds>/...). */
bool dialect_strip_name(enum dialect dialect, struct view name, struct dialect_topic *out);

/* Does '.' separate levels for the broker as '/' does, and '*' stand for one level as '+' does? */
bool dialect_reads_dots(enum dialect dialect);
/* A stripped topic as the broker reads it: dots as slashes, and in a filter a level "*" as "+". Itself where
 * there is nothing to read otherwise, else written to space (appended). */
struct view dialect_read_name(enum dialect dialect, struct view name, struct buffer *space);
struct view dialect_read_filter(enum dialect dialect, struct view filter, struct buffer *space);

#endif
