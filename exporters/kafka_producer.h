/* SPDX-License-Identifier: Apache-2.0 */
/* A producer of librdkafka on the exporter's loop. The library has threads of its own; all that is called
 * here is called on the loop's thread, and nothing here blocks. */
#ifndef MQWARD_EXPORTERS_KAFKA_PRODUCER_H
#define MQWARD_EXPORTERS_KAFKA_PRODUCER_H

#include "base/view.h"
#include "exporters/sink_kafka.h"

struct event_base;
struct kafka_producer;
struct rd_kafka_conf_s;

struct kafka_producer_calls {
    /* The cluster has the record that was sent with tag. */
    void (*delivered)(void *argument, uint64_t tag);
    /* No broker answers at present; the library goes on trying. */
    void (*away)(void *argument, bool refused, const char *detail);
    /* Something is not delivered, or the producer is of no more use: kafka_producer_drop() is due. */
    void (*failed)(void *argument, bool refused, const char *detail);
    /* A batch of answers is dealt with. */
    void (*settled)(void *argument);
    /* What was dropped has ended: another one may begin. */
    void (*ended)(void *argument);
    void *argument;
};

/* Settings are checked, nothing is connected. NULL and a sentence in error. settings are borrowed. */
struct kafka_producer *kafka_producer_new(const struct exporter_kafka *settings, struct event_base *base,
    const struct kafka_producer_calls *calls, char *error, size_t error_size);
/* Drops what there is; waits up to wait_ms for its end. NULL is fine. */
void kafka_producer_free(struct kafka_producer *producer, uint64_t wait_ms);

/* Makes the library's producer, which connects by itself. False and a sentence in error. Not before ended().
 */
bool kafka_producer_begin(struct kafka_producer *producer, char *error, size_t error_size);
bool kafka_producer_is_open(const struct kafka_producer *producer);
/* The record is copied; delivered() or failed() follow. tag: not 0. False and a sentence in error if the
 * library does not take it. */
bool kafka_producer_send(struct kafka_producer *producer, struct view key, struct view record, uint64_t tag,
    char *error, size_t error_size);
/* The last that a broker's connection had to say since something was delivered; "" without it. refused: a
 * broker's own words. */
const char *kafka_producer_trouble(const struct kafka_producer *producer, bool *refused);
/* When it said so (monotonic milliseconds); 0 without it. What repeats itself is said again after 30 seconds.
 */
uint64_t kafka_producer_trouble_ms(const struct kafka_producer *producer);
/* What is open keeps records back for company for so long: linger.ms, rounded up. */
uint64_t kafka_producer_linger_ms(const struct kafka_producer *producer);
/* Forgets all that is under way. No call comes for it any more but ended(), from the loop. */
void kafka_producer_drop(struct kafka_producer *producer);

/* kafka_settings.c: NULL and a sentence in error. brokers NULL: none are named. */
struct rd_kafka_conf_s *kafka_settings_conf(
    const struct exporter_kafka *settings, char *error, size_t error_size);

/* linger.ms of it, in milliseconds. */
double kafka_settings_linger_ms(const struct rd_kafka_conf_s *conf);

/* Records and bytes that may be under way. */
#define KAFKA_WINDOW 10000U
#define KAFKA_WINDOW_BYTES ((size_t)8 * 1024 * 1024)

#endif
