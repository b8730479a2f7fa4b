/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the load generator's command line from one table, from which --help is printed, too. Called by load.c
 * once. */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define PAYLOAD_MAX (1024 * 1024)
#define ANSWERED_PAYLOAD_MAX 2048 /* of what comes back: packets of LOAD_INPUT_MAX at most */
#define NUMBERS 100000            /* what WIRE_NUMBER_DIGITS digits can tell apart */

static void refuse(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void refuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("mqward-bench-load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs(" (--help shows the options)\n", stderr);
    va_end(arguments);
    exit(2);
}

static uint64_t read_number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end = NULL;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || value < least || value > most)
        refuse("--%s: '%s' is not a number from %llu to %llu", name, text, (unsigned long long)least,
            (unsigned long long)most);
    return value;
}

/* The index of text in a list that NULL ends. */
static unsigned read_word(const char *name, const char *text, const char *const *words)
{
    for (unsigned i = 0; words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    refuse("--%s: unknown '%s'", name, text);
}

static void read_address(struct load_address *address, const char *name, const char *text)
{
    char *colon = strrchr(text, ':');

    if (colon == NULL)
        refuse("--%s: expected ADDRESS:PORT", name);
    free((char *)address->host);
    address->port = (uint16_t)read_number(name, colon + 1, 1, 65535);
    address->host = strndup(text, (size_t)(colon - text));
    if (address->host == NULL)
        abort();
}

static void set_target(struct load_options *options, const char *name, const char *text)
{
    read_address(&options->target, name, text);
}

static void set_publisher(struct load_options *options, const char *name, const char *text)
{
    read_address(&options->publisher, name, text);
}

static void set_mode(struct load_options *options, const char *name, const char *text)
{
    static const char *const modes[] = {
        "batch", "single", "cork", "paced", "roundtrip", "fanout", "handshakes", "idle", NULL};

    options->mode = (enum load_mode)read_word(name, text, modes);
}

static void set_version(struct load_options *options, const char *name, const char *text)
{
    static const char *const versions[] = {"3.1.1", "5.0", NULL};

    options->form.version = read_word(name, text, versions) == 0 ? WIRE_V311 : WIRE_V5;
}

static void set_seconds(struct load_options *options, const char *name, const char *text)
{
    char *end = NULL;

    options->seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(options->seconds) || options->seconds <= 0 ||
        options->seconds > 86400)
        refuse("--%s: '%s' is not a number of seconds", name, text);
}

#define NUMBER_SETTER(keyword, field, type, least, most)                                                     \
    static void set_##keyword(struct load_options *options, const char *name, const char *text)              \
    {                                                                                                        \
        options->field = (type)read_number(name, text, least, most);                                         \
    }
#define TEXT_SETTER(keyword, field)                                                                          \
    static void set_##keyword(struct load_options *options, const char *name, const char *text)              \
    {                                                                                                        \
        (void)name;                                                                                          \
        options->field = text;                                                                               \
    }

NUMBER_SETTER(connections, connections, unsigned, 1, NUMBERS)
NUMBER_SETTER(messages, messages, uint64_t, 1, UINT64_MAX - 1)
NUMBER_SETTER(rate, rate, uint64_t, 1, 10000000)
NUMBER_SETTER(window, window, unsigned, 1, 65535)
NUMBER_SETTER(topics, topics, unsigned, 1, NUMBERS)
NUMBER_SETTER(buffer, buffer, unsigned, 4096, 1 << 30)
NUMBER_SETTER(opening, opening, unsigned, 1, NUMBERS)
NUMBER_SETTER(qos, form.qos, unsigned, 0, 1)
NUMBER_SETTER(payload, form.payload_size, size_t, 0, PAYLOAD_MAX)
TEXT_SETTER(topic, form.topic)
TEXT_SETTER(ca, ca)
TEXT_SETTER(certificate, certificate)
TEXT_SETTER(key, key)
TEXT_SETTER(sign, sign)

static void set_tls(struct load_options *options, const char *name, const char *text)
{
    (void)name;
    (void)text;
    options->tls = true;
}

static void set_wait(struct load_options *options, const char *name, const char *text)
{
    (void)name;
    (void)text;
    options->wait = true;
}

static void set_resume(struct load_options *options, const char *name, const char *text)
{
    (void)name;
    (void)text;
    options->resume = true;
}

struct option_row {
    const char *name;
    const char *value; /* what help calls it; NULL: takes none */
    void (*set)(struct load_options *options, const char *name, const char *text);
    const char *help;
};

static const struct option_row rows[] = {
    {"target", "ADDRESS:PORT", set_target, "whom to connect to (required)"},
    {"mode", "MODE", set_mode, "batch (default), single, cork, paced, roundtrip, fanout, handshakes or idle"},
    {"publisher", "ADDRESS:PORT", set_publisher, "fanout: the broker, to which the messages go without TLS"},
    {"connections", "N", set_connections, "at the same time (default: 100)"},
    {"buffer", "BYTES", set_buffer, "that a socket keeps unsent (default: the system's)"},
    {"opening", "N", set_opening, "idle: so many are opened at the same time (default: 64)"},
    {"messages", "N", set_messages, "in total (handshakes: connections); default: until the time is up"},
    {"seconds", "S", set_seconds, "default: until the messages are sent or SIGTERM"},
    {"rate", "N", set_rate,
        "paced, roundtrip, fanout: messages a second over all connections (default: 20000)"},
    {"payload", "BYTES", set_payload, "default: 64"},
    {"qos", "0|1", set_qos, "default: 0"},
    {"window", "N", set_window, "QoS 1, roundtrip: unanswered messages of a connection (default: 100)"},
    {"topic", "TOPIC", set_topic, "the first % becomes the connection's number (default: bench/%/data)"},
    {"topics", "N", set_topics,
        "topics of a connection, in turn: /00000, /00001, ... is appended (default: 1, nothing appended)"},
    {"version", "3.1.1|5.0", set_version, "of MQTT (default: 3.1.1)"},
    {"tls", NULL, set_tls, "use TLS"},
    {"ca", "FILE", set_ca, "verify the server's certificate with this CA"},
    {"certificate", "FILE", set_certificate, "client certificate chain, PEM"},
    {"key", "FILE", set_key, "its key, PEM"},
    {"wait", NULL, set_wait, "send nothing before a first SIGUSR1"},
    {"resume", NULL, set_resume, "handshakes: resume the connection before"},
    {"sign", "FILE", set_sign,
        "sign with keys of this master (hex digits), kid bench, sub: the client's number"},
};

bool load_has_rate(enum load_mode mode)
{
    return mode == LOAD_PACED || mode == LOAD_ROUNDTRIP || mode == LOAD_FANOUT;
}

static void print_help(void)
{
    puts("usage: mqward-bench-load --target ADDRESS:PORT [options]\n\n"
         "Opens connections, prints {\"ready\":N}, publishes, ends them in order and prints what it sent.\n"
         "SIGUSR1: prints it meanwhile. SIGTERM: ends.\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        printf(
            "  --%-11s %-13s %s\n", rows[i].name, rows[i].value == NULL ? "" : rows[i].value, rows[i].help);
}

static const struct option_row *find_row(const char *argument)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strncmp(argument, "--", 2) == 0 && strcmp(argument + 2, rows[i].name) == 0)
            return &rows[i];
    refuse("unknown option '%s'", argument);
}

static void check(const struct load_options *options)
{
    bool answered = options->mode == LOAD_ROUNDTRIP || options->mode == LOAD_FANOUT;

    if (options->target.host == NULL)
        refuse("--target is missing");
    if ((options->publisher.host != NULL) != (options->mode == LOAD_FANOUT))
        refuse("--publisher and --mode fanout go together");
    if (answered && (options->form.payload_size > ANSWERED_PAYLOAD_MAX || options->topics > 1))
        refuse("this mode has one topic and payloads of at most %d bytes", ANSWERED_PAYLOAD_MAX);
    if (options->resume && (options->mode != LOAD_HANDSHAKES || !options->tls))
        refuse("--resume is for --mode handshakes with --tls");
    if (options->sign != NULL && options->mode == LOAD_FANOUT)
        refuse("--sign: the publisher of a fan-out does not sign");
    if ((options->certificate == NULL) != (options->key == NULL))
        refuse("--certificate and --key go together");
    if (!options->tls && (options->ca != NULL || options->certificate != NULL))
        refuse("certificates need --tls");
    if (options->mode == LOAD_CORK && !options->tls)
        refuse("--mode cork needs --tls: without records it is batch");
}

void load_options_read(struct load_options *options, int argc, char **argv)
{
    *options =
        (struct load_options){.connections = 100, .rate = 20000, .window = 100, .topics = 1, .opening = 64};
    options->form =
        (struct wire_publish_form){.version = WIRE_V311, .payload_size = 64, .topic = "bench/%/data"};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help();
            exit(0);
        }
        const struct option_row *row = find_row(argv[i]);
        if (row->value != NULL && ++i == argc)
            refuse("--%s needs a value", row->name);
        row->set(options, row->name, argv[i]);
    }
    options->form.many_topics = options->topics > 1;
    if (options->mode == LOAD_FANOUT && strchr(options->form.topic, '%') != NULL)
        options->form.topic = "bench/fan";
    check(options);
}
