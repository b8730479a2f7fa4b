/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the Kafka sink: records of one topic, at least once. A row of the sinks (sink.h); the library's
 * producer is kafka_producer.c's.
 *
 * In flight is a window of records in the order of the journal. Reports come in any order over the
 * partitions; the cursor moves over the confirmed start of the window. The producer is idempotent: what it
 * sends again by itself is neither doubled nor out of order. When it gives a record up, or itself, it is
 * dropped with all that is under way, and a new one begins at the cursor after the back-off. */
#include "exporters/sink_kafka.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/backoff.h"
#include "exporters/credentials.h"
#include "exporters/kafka_producer.h"
#include "exporters/sink.h"
#include "exporters/sinks.h"

#define KAFKA_MAGIC 0x6b61666bU
#define KAFKA_CLOSE_MS 1000 /* the stop waits no longer for the library */
#define KAFKA_ERROR 512
/* After all connections ended while nothing was under way: so long, and linger.ms, what is sent then has for
 * an answer before it is asked whether the brokers are really away. The library says only once that all are
 * gone, and nothing of those that come back. But it says what keeps a connection from being made: each time
 * it is something else, and what repeats itself once in 30 seconds, with a back-off of its own between the
 * attempts. */
#define KAFKA_AWAY_MS 1500
#define KAFKA_TROUBLE_MS 45000

struct kafka_entry {
    struct journal_position end;
    uint64_t sent_ms;
    size_t length;
    bool confirmed;
};

struct kafka {
    uint32_t magic;
    struct sink *sink;
    const struct exporter_kafka *settings;
    struct kafka_producer *producer;
    struct event *retry;
    struct backoff backoff;
    bool ended, rested; /* the producer before has ended; the back-off is over */

    struct event *deadline; /* pending: looks whether the oldest under way has waited too long */

    struct event *away_timer; /* pending: something was sent since, and is given time */
    bool away, away_refused;  /* no broker answered, and none has confirmed anything since */
    bool away_told;           /* the sink counts as down because of it */
    char away_detail[KAFKA_ERROR];
    uint64_t away_ms; /* since when */

    uint64_t generation; /* of the credentials that the producer was made with */

    struct kafka_entry *entries;      /* KAFKA_WINDOW */
    uint64_t entry_first, entry_next; /* [first, next) are in flight; from 1 on, never used again: tags */
    size_t entry_bytes;
};

/* ---- failing and coming back ---- */

static enum reason kafka_reason(bool refused)
{
    return refused ? REASON_sink_refused : REASON_sink_unreachable;
}

static void kafka_forget_away(struct kafka *kafka)
{
    if (kafka->away)
        event_del(kafka->away_timer);
    kafka->away = kafka->away_told = false;
}

static void kafka_tell_away(struct kafka *kafka)
{
    kafka->away_told = true;
    sink_fail(kafka->sink, kafka_reason(kafka->away_refused), kafka->away_detail);
}

/* With all that is under way, which begins again at the cursor. kafka_begin() is due when it has ended. */
static void kafka_drop(struct kafka *kafka)
{
    event_del(kafka->deadline);
    kafka_forget_away(kafka);
    kafka->ended = !kafka_producer_is_open(kafka->producer);
    kafka_producer_drop(kafka->producer);
    kafka->entry_first = kafka->entry_next;
    kafka->entry_bytes = 0;
    sink_rewind(kafka->sink);
}

static void kafka_fail(struct kafka *kafka, bool refused, const char *detail)
{
    const struct timeval wait = backoff_down(&kafka->backoff);

    kafka_drop(kafka);
    kafka->rested = false;
    event_add(kafka->retry, &wait);
    sink_fail(kafka->sink, kafka_reason(refused), detail);
}

/* A reload has read certificates and password again. The library goes on with those that it was given. */
static bool kafka_is_outdated(const struct kafka *kafka)
{
    return kafka_producer_is_open(kafka->producer) &&
           kafka->generation != credentials_generation(kafka->settings->credentials);
}

/* It is no failure: kafka_on_ended() begins the next one at once. */
static void kafka_renew(struct kafka *kafka)
{
    LOG_EVENT(LOG_INFO, "kafka", "connecting anew, with what a reload has read",
        log_string("sink", sink_name(kafka->sink)));
    kafka_drop(kafka);
    kafka->rested = true;
}

static void kafka_begin(struct kafka *kafka);

static void kafka_on_retry(evutil_socket_t descriptor, short events, void *argument)
{
    struct kafka *kafka = argument;

    (void)descriptor;
    (void)events;
    assert(kafka->magic == KAFKA_MAGIC);
    kafka->rested = true;
    kafka_begin(kafka);
}

static void kafka_on_ended(void *argument)
{
    struct kafka *kafka = argument;

    assert(kafka->magic == KAFKA_MAGIC);
    kafka->ended = true;
    kafka_begin(kafka);
}

static void kafka_on_failed(void *argument, bool refused, const char *detail)
{
    struct kafka *kafka = argument;

    assert(kafka->magic == KAFKA_MAGIC);
    kafka_fail(kafka, refused, detail);
}

/* The library goes on by itself: what is under way stays so. Without anything under way it is no failure yet:
 * brokers close connections that are idle. What is sent next shows it. */
static void kafka_on_away(void *argument, bool refused, const char *detail)
{
    struct kafka *kafka = argument;

    assert(kafka->magic == KAFKA_MAGIC);
    if (kafka_is_outdated(kafka)) { /* it would come back with what is no longer good */
        kafka_renew(kafka);
        return;
    }
    kafka->away = true;
    kafka->away_refused = refused;
    kafka->away_ms = clock_monotonic_ms();
    snprintf(kafka->away_detail, sizeof(kafka->away_detail), "%s", detail);
    if (kafka->entry_first < kafka->entry_next)
        kafka_tell_away(kafka);
    else
        LOG_LIMITED(LOG_INFO, "kafka", "no broker is connected, and nothing is waiting for one",
            log_string("sink", sink_name(kafka->sink)), log_string("detail", detail));
}

/* The first that waits since the outage. */
static void kafka_watch_away(struct kafka *kafka)
{
    uint64_t wait_ms = KAFKA_AWAY_MS + kafka_producer_linger_ms(kafka->producer);

    if (kafka->away && !kafka->away_told && !event_pending(kafka->away_timer, EV_TIMEOUT, NULL))
        event_add(kafka->away_timer,
            &(struct timeval){(time_t)(wait_ms / 1000), (suseconds_t)(wait_ms % 1000 * 1000)});
}

/* What waits may only be slow: a cluster that has ended idle connections takes new ones. */
static void kafka_on_away_timer(evutil_socket_t descriptor, short events, void *argument)
{
    struct kafka *kafka = argument;
    uint64_t trouble_ms = kafka_producer_trouble_ms(kafka->producer);

    (void)descriptor;
    (void)events;
    assert(kafka->magic == KAFKA_MAGIC && kafka->away && kafka->entry_first < kafka->entry_next);
    if (kafka->away_told)
        return;
    if (trouble_ms > kafka->away_ms && clock_monotonic_ms() - trouble_ms <= KAFKA_TROUBLE_MS) {
        snprintf(kafka->away_detail, sizeof(kafka->away_detail), "%s",
            kafka_producer_trouble(kafka->producer, &kafka->away_refused));
        kafka_tell_away(kafka);
    } else {
        kafka_watch_away(kafka);
    }
}

/* ---- what is not confirmed in time ---- */

static void kafka_arm_deadline(struct kafka *kafka)
{
    const struct kafka_entry *oldest = &kafka->entries[kafka->entry_first % KAFKA_WINDOW];
    uint64_t now_ms = clock_monotonic_ms(), due_ms = oldest->sent_ms + kafka->settings->timeout_ms;

    if (kafka->entry_first == kafka->entry_next || event_pending(kafka->deadline, EV_TIMEOUT, NULL))
        return;
    uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    event_add(
        kafka->deadline, &(struct timeval){(time_t)(wait_ms / 1000), (suseconds_t)(wait_ms % 1000 * 1000)});
}

/* The library is not asked to do it: it would give up one record and go on with those behind it. */
static void kafka_on_deadline(evutil_socket_t descriptor, short events, void *argument)
{
    struct kafka *kafka = argument;
    const struct kafka_entry *oldest = &kafka->entries[kafka->entry_first % KAFKA_WINDOW];
    char detail[KAFKA_ERROR];
    bool refused;

    (void)descriptor;
    (void)events;
    assert(kafka->magic == KAFKA_MAGIC);
    if (kafka->entry_first == kafka->entry_next)
        return;
    if (clock_monotonic_ms() - oldest->sent_ms < kafka->settings->timeout_ms) {
        kafka_arm_deadline(kafka);
        return;
    }
    const char *trouble = kafka_producer_trouble(kafka->producer, &refused);
    snprintf(detail, sizeof(detail), "not confirmed within %" PRIu64 " ms%s%.400s",
        kafka->settings->timeout_ms, trouble[0] == '\0' ? "" : "; ", trouble);
    kafka_fail(kafka, refused, detail);
}

/* ---- sending ---- */

/* The text of a member, as it stands in the line, escapes included. Within a string its quotes would have
 * backslashes: only the member itself matches. */
static struct view kafka_find_text(struct view line, struct view member)
{
    const uint8_t *found = memmem(line.data, line.length, member.data, member.length);

    if (found == NULL)
        return view_of(NULL, 0);
    struct view rest = view_skip(line, (size_t)(found - line.data) + member.length);
    for (size_t i = 0; i < rest.length; i++) {
        if (rest.data[i] == '\\')
            i++;
        else if (rest.data[i] == '"')
            return view_of(rest.data, i);
    }
    return view_of(NULL, 0);
}

static struct view kafka_key(enum exporter_kafka_key key, struct view line)
{
    static const char *const members[] = {
        [EXPORTER_KAFKA_KEY_CLIENT_ID] = "\"client_id\":\"",
        [EXPORTER_KAFKA_KEY_USER] = "\"user\":{\"name\":\"",
        [EXPORTER_KAFKA_KEY_NONE] = NULL,
    };

    return members[key] == NULL ? view_of(NULL, 0) : kafka_find_text(line, view_of_string(members[key]));
}

/* Sends what the journal has, up to the window; with credentials that were read again, by another producer,
 * as soon as nothing is under way that could still be confirmed. */
static void kafka_fill(struct kafka *kafka)
{
    struct journal_line line;
    char error[KAFKA_ERROR];

    if (kafka_is_outdated(kafka)) {
        if (kafka->entry_first == kafka->entry_next || kafka->away_told)
            kafka_renew(kafka);
        else
            kafka_arm_deadline(kafka);
        return;
    }
    while (kafka_producer_is_open(kafka->producer) && kafka->entry_next - kafka->entry_first < KAFKA_WINDOW &&
           kafka->entry_bytes < KAFKA_WINDOW_BYTES && sink_next(kafka->sink, &line)) {
        uint64_t tag = kafka->entry_next++;
        kafka->entries[tag % KAFKA_WINDOW] = (struct kafka_entry){
            .end = line.end, .sent_ms = clock_monotonic_ms(), .length = line.text.length};
        kafka->entry_bytes += line.text.length;
        if (kafka_producer_send(kafka->producer, kafka_key(kafka->settings->key, line.text), line.text, tag,
                error, sizeof(error)))
            kafka_watch_away(kafka);
        else
            kafka_fail(kafka, true, error);
    }
    kafka_arm_deadline(kafka);
}

static void kafka_begin(struct kafka *kafka)
{
    char error[KAFKA_ERROR];

    if (!kafka->ended || !kafka->rested)
        return;
    kafka->generation = credentials_generation(kafka->settings->credentials);
    if (kafka_producer_begin(kafka->producer, error, sizeof(error)))
        kafka_fill(kafka);
    else
        kafka_fail(kafka, false, error);
}

/* ---- reports ---- */

static void kafka_on_delivered(void *argument, uint64_t tag)
{
    struct kafka *kafka = argument;
    struct journal_position end = {0};
    bool moved = false;

    assert(kafka->magic == KAFKA_MAGIC && tag >= kafka->entry_first && tag < kafka->entry_next);
    backoff_up(&kafka->backoff);
    kafka_forget_away(kafka);
    kafka->entries[tag % KAFKA_WINDOW].confirmed = true;
    while (kafka->entry_first < kafka->entry_next) {
        const struct kafka_entry *entry = &kafka->entries[kafka->entry_first % KAFKA_WINDOW];
        if (!entry->confirmed)
            break;
        end = entry->end;
        moved = true;
        kafka->entry_bytes -= entry->length;
        kafka->entry_first++;
    }
    if (moved)
        sink_confirm(kafka->sink, end);
}

static void kafka_on_settled(void *argument)
{
    struct kafka *kafka = argument;

    assert(kafka->magic == KAFKA_MAGIC);
    kafka_fill(kafka);
}

/* ---- the row ---- */

static void kafka_close(void *link)
{
    struct kafka *kafka = link;

    if (kafka == NULL)
        return;
    assert(kafka->magic == KAFKA_MAGIC);
    kafka_producer_free(kafka->producer, KAFKA_CLOSE_MS);
    event_free(kafka->retry);
    event_free(kafka->deadline);
    event_free(kafka->away_timer);
    free(kafka->entries);
    kafka->magic = 0;
    free(kafka);
}

static void *kafka_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    struct kafka *kafka = memory_calloc(1, sizeof(*kafka));
    const struct kafka_producer_calls calls = {.delivered = kafka_on_delivered,
        .away = kafka_on_away,
        .failed = kafka_on_failed,
        .settled = kafka_on_settled,
        .ended = kafka_on_ended,
        .argument = kafka};
    char reason[KAFKA_ERROR];

    kafka->magic = KAFKA_MAGIC;
    kafka->sink = sink;
    kafka->settings = settings;
    kafka->entry_first = kafka->entry_next = 1;
    kafka->entries = memory_calloc(KAFKA_WINDOW, sizeof(*kafka->entries));
    kafka->retry = evtimer_new(base, kafka_on_retry, kafka);
    kafka->away_timer = evtimer_new(base, kafka_on_away_timer, kafka);
    kafka->deadline = evtimer_new(base, kafka_on_deadline, kafka);
    if (kafka->retry == NULL || kafka->away_timer == NULL || kafka->deadline == NULL)
        memory_exhausted();
    kafka->producer = kafka_producer_new(kafka->settings, base, &calls, reason, sizeof(reason));
    if (kafka->producer != NULL)
        return kafka;
    snprintf(error, error_size, "sink %s: %s", sink_name(sink), reason);
    kafka_close(kafka);
    return NULL;
}

static void kafka_start(void *link)
{
    struct kafka *kafka = link;

    kafka->ended = kafka->rested = true;
    kafka_begin(kafka);
}

static void kafka_wake(void *link)
{
    kafka_fill(link);
}

const struct sink_type sink_kafka = {
    .name = "kafka",
    .open = kafka_open,
    .start = kafka_start,
    .wake = kafka_wake,
    .close = kafka_close,
};
