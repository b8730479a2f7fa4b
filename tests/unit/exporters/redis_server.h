/* SPDX-License-Identifier: Apache-2.0 */
/* A redis-server of our own for one test, in a directory of its own, and commands to it. It dies with the
 * test. */
#ifndef MQWARD_TESTS_EXPORTERS_REDIS_SERVER_H
#define MQWARD_TESTS_EXPORTERS_REDIS_SERVER_H

#include <jansson.h>
#include <sys/types.h>

#include "directory.h"
#include "exporters/redis_settings.h"

struct redis_server {
    char directory[DIRECTORY_MAX];
    char socket[DIRECTORY_MAX + 16];
    uint16_t port; /* TCP, loopback */
    bool tls;      /* wanted: listens on tls_port, too; the arguments for TLS are in extra */
    uint16_t tls_port;
    int holds[2]; /* sockets that keep the ports for it, as long as it is away, too; 0: none */
    pid_t process;
    const char *extra; /* more arguments, separated by blanks */
};

/* Starts it (again, if it was killed) and waits until it answers. Fails the test without redis-server. */
void redis_server_start(struct redis_server *server, const char *extra);
void redis_server_restart(struct redis_server *server);
void redis_server_kill(struct redis_server *server);
/* Kills it and removes its directory. */
void redis_server_end(struct redis_server *server);

/* Runs a command by its Unix socket, as the default user. The answer as redis-cli prints it; static. */
const char *redis_command(const struct redis_server *server, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Entries of a stream that are no checkpoints. */
long redis_length(const struct redis_server *server, const char *key);
/* All values of the stream's entries, in order, as documents; checks that each entry has one field, "event".
 */
json_t *redis_documents(const struct redis_server *server, const char *key);
/* How many different users event_numbered() made are in the stream. *duplicates: entries beyond the first for
 * a user. */
size_t redis_users(const struct redis_server *server, const char *key, size_t *duplicates);
/* Entries with the action. */
size_t redis_actions(const struct redis_server *server, const char *key, const char *action);

/* A sink to the server by TCP. */
struct exporter_redis redis_sink_settings(const struct redis_server *server);
struct exporter_sink redis_sink(const char *name, const struct exporter_redis *settings);

struct exporter *redis_exporter_open(const struct exporter_settings *settings);
void redis_push(struct exporter *exporter, uint64_t first, uint64_t count);

/* One server, one directory, one sink: what most tests begin with. */
struct redis_fixture {
    struct redis_server server;
    char path[DIRECTORY_MAX];
    struct exporter_redis redis;
    struct exporter_sink sink; /* "siem" */
    struct exporter_settings settings;
};
void redis_fixture_open(struct redis_fixture *fixture, const char *extra);
void redis_fixture_close(struct redis_fixture *fixture);

#endif
