/* SPDX-License-Identifier: Apache-2.0 */
/* Owns librdkafka's producer: its making, its answers, its end. Called by sink_kafka.c.
 *
 *   none --begin--> open --drop--> ending (a thread of ours destroys it) --ended()--> none
 *
 * Answers come through the library's queue; it writes to an eventfd when the queue was empty. The destruction
 * waits for the library's threads, and these may wait for a resolver or a broker that hangs: a thread of its
 * own does it, one at a time, so that neither the exporter nor the stop of the process waits.
 *
 * The library's threads inherit the signal mask of the thread that makes the producer: all are blocked while
 * it is made. */
#include "exporters/kafka_producer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <librdkafka/rdkafka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"

#define PRODUCER_MAGIC 0x6b707264U
#define PRODUCER_DETAIL 512
#define PRODUCER_ANSWERS 64 /* batches of answers dealt with in one turn of the loop */

/* Shared with the thread that destroys; the last of the two to let go frees it. */
struct producer_end {
    rd_kafka_t *handle;
    int ended; /* the eventfd, by a descriptor of its own */
    atomic_int holders;
};

struct kafka_producer {
    uint32_t magic;
    const struct exporter_kafka *settings;
    struct kafka_producer_calls calls;
    rd_kafka_t *handle; /* NULL: not open */
    rd_kafka_queue_t *queue;
    int answers, ended; /* eventfds */
    struct event *answers_event, *ended_event;
    struct producer_end *end; /* of handle: ready for the day */
    bool ending;              /* the thread runs */
    pthread_t thread;
    bool trouble_refused;
    char trouble[PRODUCER_DETAIL]; /* the last that a broker's connection said */
    uint64_t trouble_ms;           /* when; 0: it said nothing */
    uint64_t linger_ms;
};

/* What one answer of the library means for all that is under way. */
struct producer_verdict {
    enum { PRODUCER_GOES_ON, PRODUCER_AWAY, PRODUCER_FAILED } what;
    bool refused;
    char detail[PRODUCER_DETAIL];
};

/* ---- what the library says ---- */

static void producer_on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    bool own_end = strcmp(facility, "TERMINATE") == 0; /* it would have us wait for what we gave up */
    /* "experimental", of what kafka_settings.c has set: nothing that an operator could do about */
    bool own_setting = strcmp(facility, "CONFWARN") == 0 && strstr(text, "enable.gapless.guarantee") != NULL;
    enum log_level ours = own_end || own_setting || level > 6 ? LOG_DEBUG : level <= 4 ? LOG_WARN : LOG_INFO;

    LOG_LIMITED(ours, "kafka", "librdkafka", log_string("client", rd_kafka_name(handle)),
        log_string("facility", facility), log_string("detail", text));
}

/* Errors above 0 are brokers' answers; those below are the library's own. */
static bool producer_is_refusal(rd_kafka_resp_err_t error)
{
    return error > 0 || error == RD_KAFKA_RESP_ERR__AUTHENTICATION || error == RD_KAFKA_RESP_ERR__SSL ||
           error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           error == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE; /* what follows upon a broker's */
}

static void producer_forget_trouble(struct kafka_producer *producer)
{
    producer->trouble[0] = '\0';
    producer->trouble_refused = false;
    producer->trouble_ms = 0;
}

/* True after a fatal error, which says what was wrong. */
static bool producer_has_died(struct kafka_producer *producer, struct producer_verdict *verdict)
{
    rd_kafka_resp_err_t error =
        rd_kafka_fatal_error(producer->handle, verdict->detail, sizeof(verdict->detail));

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    verdict->refused = producer_is_refusal(error);
    return true;
}

static void producer_on_error(
    struct kafka_producer *producer, rd_kafka_event_t *event, struct producer_verdict *verdict)
{
    rd_kafka_resp_err_t error = rd_kafka_event_error(event);
    const char *text = rd_kafka_event_error_string(event);

    if (error == RD_KAFKA_RESP_ERR__FATAL) {
        verdict->what = PRODUCER_FAILED;
        (void)producer_has_died(producer, verdict);
    } else if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        verdict->what = PRODUCER_AWAY;
        verdict->refused = producer->trouble_refused;
        snprintf(verdict->detail, sizeof(verdict->detail), "%s",
            producer->trouble[0] != '\0' ? producer->trouble : text);
    } else { /* of one connection: the reason, if it comes to the worst */
        producer->trouble_refused = producer_is_refusal(error);
        producer->trouble_ms = clock_monotonic_ms();
        snprintf(producer->trouble, sizeof(producer->trouble), "%s", text);
    }
}

static void producer_on_undelivered(
    struct kafka_producer *producer, const rd_kafka_message_t *message, struct producer_verdict *verdict)
{
    verdict->what = PRODUCER_FAILED;
    if (producer_has_died(producer, verdict)) /* its messages say only that they were purged */
        return;
    verdict->refused = producer_is_refusal(message->err);
    snprintf(verdict->detail, sizeof(verdict->detail), "%s", rd_kafka_err2str(message->err));
}

static void producer_on_reports(
    struct kafka_producer *producer, rd_kafka_event_t *event, struct producer_verdict *verdict)
{
    const rd_kafka_message_t *message;

    while ((message = rd_kafka_event_message_next(event)) != NULL) {
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            producer_on_undelivered(producer, message, verdict);
            return;
        }
        producer_forget_trouble(producer);
        producer->calls.delivered(producer->calls.argument, (uint64_t)(uintptr_t)message->_private);
    }
}

/* False if there was no answer. The event is gone before anybody is told: it belongs to the handle, and who
 * is told may drop that. */
static bool producer_take_answer(struct kafka_producer *producer)
{
    struct producer_verdict verdict = {.what = PRODUCER_GOES_ON};
    rd_kafka_event_t *event = rd_kafka_queue_poll(producer->queue, 0);

    if (event == NULL)
        return false;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
        producer_on_reports(producer, event, &verdict);
    else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
        producer_on_error(producer, event, &verdict);
    rd_kafka_event_destroy(event);
    if (verdict.what == PRODUCER_AWAY)
        producer->calls.away(producer->calls.argument, verdict.refused, verdict.detail);
    if (verdict.what == PRODUCER_FAILED)
        producer->calls.failed(producer->calls.argument, verdict.refused, verdict.detail);
    return true;
}

static void producer_on_answers(evutil_socket_t descriptor, short events, void *argument)
{
    struct kafka_producer *producer = argument;
    uint64_t one = 1;

    (void)events;
    assert(producer->magic == PRODUCER_MAGIC);
    (void)!read(descriptor, &one, sizeof(one)); /* lowered before looking, so that no wake is lost */
    for (unsigned i = 0; producer->handle != NULL && producer_take_answer(producer); i++) {
        if (i + 1 == PRODUCER_ANSWERS) { /* the others have their turn */
            one = 1;
            (void)!write(descriptor, &one, sizeof(one));
            break;
        }
    }
    if (producer->handle != NULL)
        producer->calls.settled(producer->calls.argument);
}

/* ---- the end of a producer ---- */

static void producer_end_release(struct producer_end *end)
{
    if (atomic_fetch_sub(&end->holders, 1) > 1)
        return;
    close(end->ended);
    free(end);
}

static void *producer_destroy(void *argument)
{
    struct producer_end *end = argument;
    const uint64_t one = 1;

    rd_kafka_purge(end->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(end->handle);
    (void)!write(end->ended, &one, sizeof(one));
    producer_end_release(end);
    return NULL;
}

void kafka_producer_drop(struct kafka_producer *producer)
{
    assert(producer->magic == PRODUCER_MAGIC);
    if (producer->handle == NULL)
        return;
    rd_kafka_queue_io_event_enable(producer->queue, -1, NULL, 0); /* the number may be another's soon */
    rd_kafka_queue_destroy(producer->queue);
    producer->queue = NULL;
    producer->handle = NULL;
    atomic_store(&producer->end->holders, 2);
    int status = thread_start(&producer->thread, producer_destroy, producer->end);
    producer->ending = status == 0;
    if (status != 0) { /* better left than waited for */
        const uint64_t one = 1;
        LOG_LIMITED(LOG_ERROR, "kafka", "no thread to end a producer: it is left as it is",
            log_string("error", strerror(status)));
        (void)!write(producer->ended, &one, sizeof(one));
        producer_end_release(producer->end);
    }
}

static void producer_on_ended(evutil_socket_t descriptor, short events, void *argument)
{
    struct kafka_producer *producer = argument;
    uint64_t count;

    (void)events;
    assert(producer->magic == PRODUCER_MAGIC);
    if (read(descriptor, &count, sizeof(count)) != (ssize_t)sizeof(count))
        return;
    if (producer->ending)
        pthread_join(producer->thread, NULL);
    producer->ending = false;
    producer_end_release(producer->end);
    producer->end = NULL;
    producer->calls.ended(producer->calls.argument);
}

/* ---- sending ---- */

bool kafka_producer_is_open(const struct kafka_producer *producer)
{
    return producer->handle != NULL;
}

bool kafka_producer_begin(struct kafka_producer *producer, char *error, size_t error_size)
{
    const uint64_t one = 1;
    sigset_t before;

    assert(producer->magic == PRODUCER_MAGIC && producer->handle == NULL && producer->end == NULL);
    rd_kafka_conf_t *conf = kafka_settings_conf(producer->settings, error, error_size);
    int ended = conf == NULL ? -1 : fcntl(producer->ended, F_DUPFD_CLOEXEC, 0);
    if (ended == -1) {
        if (conf != NULL)
            snprintf(error, error_size, "%s", strerror(errno));
        goto failed;
    }
    producer->linger_ms = (uint64_t)kafka_settings_linger_ms(conf) + 1;
    rd_kafka_conf_set_log_cb(conf, producer_on_log);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    thread_block_signals(&before);
    producer->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, error_size);
    thread_restore_signals(&before);
    if (producer->handle == NULL)
        goto failed;
    producer->end = memory_calloc(1, sizeof(*producer->end));
    producer->end->handle = producer->handle;
    producer->end->ended = ended;
    producer->queue = rd_kafka_queue_get_main(producer->handle);
    producer_forget_trouble(producer);
    rd_kafka_queue_io_event_enable(producer->queue, producer->answers, &one, sizeof(one));
    event_active(producer->answers_event, EV_READ, 0); /* what came before */
    return true;
failed:
    if (ended != -1)
        close(ended);
    if (conf != NULL)
        rd_kafka_conf_destroy(conf);
    return false;
}

const char *kafka_producer_trouble(const struct kafka_producer *producer, bool *refused)
{
    *refused = producer->trouble_refused;
    return producer->trouble;
}

uint64_t kafka_producer_trouble_ms(const struct kafka_producer *producer)
{
    return producer->trouble_ms;
}

uint64_t kafka_producer_linger_ms(const struct kafka_producer *producer)
{
    return producer->linger_ms;
}

bool kafka_producer_send(struct kafka_producer *producer, struct view key, struct view record, uint64_t tag,
    char *error, size_t error_size)
{
    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = producer->settings->topic},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)key.data, key.length}},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)record.data, record.length}},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)tag},
    };

    assert(producer->magic == PRODUCER_MAGIC && producer->handle != NULL && tag != 0);
    rd_kafka_error_t *failure =
        rd_kafka_produceva(producer->handle, fields, sizeof(fields) / sizeof(fields[0]));
    if (failure == NULL)
        return true;
    snprintf(error, error_size, "%s", rd_kafka_error_string(failure));
    rd_kafka_error_destroy(failure);
    return false;
}

/* ---- life ---- */

struct kafka_producer *kafka_producer_new(const struct exporter_kafka *settings, struct event_base *base,
    const struct kafka_producer_calls *calls, char *error, size_t error_size)
{
    struct kafka_producer *producer = memory_calloc(1, sizeof(*producer));
    char warning[PRODUCER_DETAIL];

    producer->magic = PRODUCER_MAGIC;
    producer->settings = settings;
    producer->calls = *calls;
    producer->answers = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    producer->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(settings->brokers != NULL);
    /* What the library warns of, it says again when the producer begins. */
    if (!sink_kafka_try(settings, error, error_size, warning, sizeof(warning)))
        goto failed;
    producer->answers_event =
        event_new(base, producer->answers, EV_READ | EV_PERSIST, producer_on_answers, producer);
    producer->ended_event =
        event_new(base, producer->ended, EV_READ | EV_PERSIST, producer_on_ended, producer);
    if (producer->answers != -1 && producer->ended != -1 && producer->answers_event != NULL &&
        producer->ended_event != NULL && event_add(producer->answers_event, NULL) == 0 &&
        event_add(producer->ended_event, NULL) == 0)
        return producer;
    snprintf(error, error_size, "%s", strerror(errno));
failed:
    kafka_producer_free(producer, 0);
    return NULL;
}

/* What hangs is left to end by itself: it holds nothing of ours. */
static void producer_await_end(struct kafka_producer *producer, uint64_t wait_ms)
{
    struct timespec deadline;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (time_t)(wait_ms / 1000);
    deadline.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_sec++;
        deadline.tv_nsec -= 1000000000;
    }
    if (pthread_clockjoin_np(producer->thread, NULL, CLOCK_MONOTONIC, &deadline) != 0) {
        LOG_EVENT(LOG_WARN, "kafka", "a producer does not end, and is not waited for");
        pthread_detach(producer->thread);
    }
}

void kafka_producer_free(struct kafka_producer *producer, uint64_t wait_ms)
{
    if (producer == NULL)
        return;
    assert(producer->magic == PRODUCER_MAGIC);
    kafka_producer_drop(producer);
    if (producer->ending)
        producer_await_end(producer, wait_ms);
    if (producer->end != NULL)
        producer_end_release(producer->end);
    if (producer->answers_event != NULL)
        event_free(producer->answers_event);
    if (producer->ended_event != NULL)
        event_free(producer->ended_event);
    if (producer->answers != -1)
        close(producer->answers);
    if (producer->ended != -1)
        close(producer->ended);
    producer->magic = 0;
    free(producer);
}
