/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the redis-server processes of the tests. */
#include "redis_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "event.h"
#include "exporters/sinks.h"

#define ARGUMENTS_MAX 64
#define ATTEMPTS 10 /* to start: whoever sets SO_REUSEADDR may be quicker with a port */

/* A socket that is bound and never listens: redis-server, which sets SO_REUSEADDR, can listen there beside
 * it, while for the other tests the port is taken. -1: it is not free. */
static int hold_port(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    cr_assert_neq(descriptor, -1);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0) {
        cr_assert_eq(setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
        return descriptor;
    }
    close(descriptor);
    return -1;
}

static void let_port_go(int *hold)
{
    if (*hold > 0)
        close(*hold);
    *hold = 0;
}

/* Below the ephemeral range, so that no outgoing connection takes the port. Holds it instead of the one
 * before. */
static uint16_t free_port(int *hold)
{
    let_port_go(hold);
    for (unsigned attempt = 0; attempt < 1000; attempt++) {
        uint16_t port;
        cr_assert_eq(getrandom(&port, sizeof(port), 0), sizeof(port));
        port = (uint16_t)(12000 + port % 20000);
        int descriptor = hold_port(port);
        if (descriptor == -1)
            continue;
        *hold = descriptor;
        return port;
    }
    cr_assert_fail("no free port");
    return 0;
}

_Noreturn static void run_server(const struct redis_server *server)
{
    char *arguments[ARGUMENTS_MAX];
    char fixed[512], *rest = NULL;
    size_t count = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(fixed, sizeof(fixed),
        "redis-server --bind 127.0.0.1 --port %u --unixsocket %s --dir %s --save @ --daemonize no --loglevel "
        "warning "
        "--logfile log --tls-port %u %s",
        server->port, server->socket, server->directory, server->tls_port, server->extra);
    for (char *part = strtok_r(fixed, " ", &rest); part != NULL && count < ARGUMENTS_MAX - 1;
         part = strtok_r(NULL, " ", &rest))
        arguments[count++] = strcmp(part, "@") == 0 ? (char *)"" : part;
    arguments[count] = NULL;
    execvp("redis-server", arguments);
    _exit(127);
}

/* Returns false if it ended before it answered: another process was quicker with one of the ports. */
static bool try_start(struct redis_server *server)
{
    server->process = fork();
    cr_assert_neq(server->process, -1);
    if (server->process == 0)
        run_server(server);
    uint64_t until = clock_monotonic_ms() + 30000;
    while (strstr(redis_command(server, "PING"), "PONG") == NULL) {
        int status;
        if (waitpid(server->process, &status, WNOHANG) != 0)
            return false;
        cr_assert_lt(clock_monotonic_ms(), until, "redis-server did not answer within thirty seconds");
        usleep(10000);
    }
    return true;
}

void redis_server_restart(struct redis_server *server)
{
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        if (try_start(server))
            return;
        usleep(200000);
    }
    cr_assert_fail("redis-server did not start; is it installed, and port %u free?", server->port);
}

void redis_server_start(struct redis_server *server, const char *extra)
{
    if (server->directory[0] == '\0')
        directory_make(server->directory);
    snprintf(server->socket, sizeof(server->socket), "%s/s", server->directory);
    server->extra = extra;
    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        server->port = free_port(&server->holds[0]);
        server->tls_port = server->tls ? free_port(&server->holds[1]) : 0;
        if (try_start(server))
            return;
    }
    cr_assert_fail("redis-server did not start; is it installed?");
}

void redis_server_kill(struct redis_server *server)
{
    if (server->process <= 0)
        return;
    kill(server->process, SIGKILL);
    waitpid(server->process, NULL, 0);
    server->process = 0;
}

void redis_server_end(struct redis_server *server)
{
    redis_server_kill(server);
    let_port_go(&server->holds[0]);
    let_port_go(&server->holds[1]);
    directory_remove(server->directory);
}

/* ---- commands ---- */

static FILE *open_cli(const struct redis_server *server, const char *mode, const char *command)
{
    char line[1024];

    snprintf(line, sizeof(line), "redis-cli -s %s %s %s 2>/dev/null", server->socket, mode, command);
    FILE *pipe = popen(line, "re");
    cr_assert_not_null(pipe);
    return pipe;
}

const char *redis_command(const struct redis_server *server, const char *format, ...)
{
    static char answer[65536];
    char command[800];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    FILE *pipe = open_cli(server, "", command);
    size_t length = fread(answer, 1, sizeof(answer) - 1, pipe);
    pclose(pipe);
    answer[length] = '\0';
    return answer;
}

long redis_length(const struct redis_server *server, const char *key)
{
    json_t *documents = redis_documents(server, key), *document;
    size_t index;
    long count = 0;

    json_array_foreach(documents, index, document) count +=
        strcmp(string_at(document, "event.action"), "checkpoint") != 0;
    json_decref(documents);
    return count;
}

json_t *redis_documents(const struct redis_server *server, const char *key)
{
    char command[128], *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    json_t *documents = json_array();

    snprintf(command, sizeof(command), "XRANGE %s - +", key);
    FILE *pipe = open_cli(server, "--raw", command);
    for (unsigned row = 0; (length = getline(&line, &capacity, pipe)) > 0; row++) {
        if (row % 3 == 1)
            cr_assert_str_eq(line, "event\n");
        if (row % 3 != 2)
            continue;
        json_error_t error;
        json_t *document = json_loadb(line, (size_t)length, 0, &error);
        cr_assert_not_null(document, "%s: %s", error.text, line);
        json_array_append_new(documents, document);
    }
    free(line);
    pclose(pipe);
    return documents;
}

size_t redis_users(const struct redis_server *server, const char *key, size_t *duplicates)
{
    json_t *documents = redis_documents(server, key), *users = json_object(), *document;
    size_t index, count, twice = 0;

    json_array_foreach(documents, index, document)
    {
        const char *user = json_string_value(json_at(document, "user.name"));
        if (user == NULL)
            continue;
        twice += json_object_get(users, user) != NULL;
        json_object_set_new(users, user, json_true());
    }
    count = json_object_size(users);
    json_decref(users);
    json_decref(documents);
    if (duplicates != NULL)
        *duplicates = twice;
    return count;
}

size_t redis_actions(const struct redis_server *server, const char *key, const char *action)
{
    json_t *documents = redis_documents(server, key), *document;
    size_t index, count = 0;

    json_array_foreach(documents, index, document) count +=
        strcmp(string_at(document, "event.action"), action) == 0;
    json_decref(documents);
    return count;
}

/* ---- our side ---- */

struct exporter_redis redis_sink_settings(const struct redis_server *server)
{
    return (struct exporter_redis){
        .address = {"127.0.0.1", server->port}, .key = "mqward:audit", .field = "event", .timeout_ms = 30000};
}

struct exporter_sink redis_sink(const char *name, const struct exporter_redis *settings)
{
    return (struct exporter_sink){.name = name, .type = &sink_redis, .settings = settings};
}

struct exporter *redis_exporter_open(const struct exporter_settings *settings)
{
    char error[256] = "";
    struct exporter *exporter = exporter_open(settings, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    return exporter;
}

void redis_push(struct exporter *exporter, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        uint8_t record[AUDIT_EVENT_MAX];
        char user[32];
        struct audit_event event = event_numbered(i, user);
        size_t length = audit_event_encode(&event, record);
        while (!ring_push(exporter_ring(exporter, 0), view_of(record, length))) {
            exporter_wake(exporter);
            usleep(1000);
        }
    }
    exporter_wake(exporter);
}

void redis_fixture_open(struct redis_fixture *fixture, const char *extra)
{
    *fixture = (struct redis_fixture){.server = {.process = 0}};
    redis_server_start(&fixture->server, extra);
    directory_make(fixture->path);
    fixture->redis = redis_sink_settings(&fixture->server);
    fixture->settings = directory_settings(fixture->path);
    fixture->sink = redis_sink("siem", &fixture->redis);
    fixture->settings.sinks = &fixture->sink;
    fixture->settings.sink_count = 1;
}

void redis_fixture_close(struct redis_fixture *fixture)
{
    redis_server_end(&fixture->server);
    directory_remove(fixture->path);
}
