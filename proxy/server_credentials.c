/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and passwords towards sinks and the shared replay store: read at the start, and again at each
 * reload. Called by what fills in their settings, and by server_loop.c. */
#include <stdio.h>

#include "base/log.h"
#include "exporters/credentials.h"
#include "proxy/server_internal.h"

static struct credentials *read_files(
    const struct config_upstream_tls *tls, const char *password_file, char *error, size_t error_size)
{
    struct credentials_files files = {.tls = tls != NULL, .password_file = password_file};

    if (tls != NULL)
        files.tls_files = (struct client_tls){
            tls->ca == NULL ? NULL : tls->ca->file.path, tls->certificate.path, tls->key.path};
    return credentials_new(&files, error, error_size);
}

bool server_credentials_check(
    const struct config_upstream_tls *tls, const char *password_file, char *error, size_t error_size)
{
    struct credentials *credentials = read_files(tls, password_file, error, error_size);

    credentials_free(credentials);
    return credentials != NULL;
}

struct credentials *server_credentials(
    const char *component, const struct config_upstream_tls *tls, const char *password_file)
{
    char error[640] = "";
    struct credentials *credentials = read_files(tls, password_file, error, sizeof(error));

    if (credentials == NULL)
        LOG_EVENT(LOG_ERROR, component, "can't use the files that the server is reached with",
            log_string("error", error));
    return credentials;
}

/* ---- reload ---- */

/* The sinks, and behind them the shared replay store. */
static void each_owned(struct server *server,
    void (*call)(void *argument, const char *name, struct server_redis *owned), void *argument)
{
    server_sinks_each(server->sinks, call, argument);
    call(argument, "replay.redis", &server->replay_owned);
}

struct reading {
    const char *path; /* of mqward.yaml */
    struct buffer *why, *where, *findings;
    bool failed;
};

static void read_one(struct reading *reading, const char *name, struct credentials *credentials)
{
    char error[640] = "";

    if (credentials == NULL || credentials_read(credentials, error, sizeof(error)))
        return;
    LOG_EVENT(LOG_ERROR, "reload", "an error", log_string("place", name), log_string("finding", error));
    buffer_format(reading->findings, "%s: error: %s: %s\n", reading->path, name, error);
    if (!reading->failed) {
        buffer_format(reading->why, "%s: %s", name, error);
        buffer_format(reading->where, "%s: an error, which the log has", name);
    }
    reading->failed = true;
}

static void read_owned(void *argument, const char *name, struct server_redis *owned)
{
    read_one(argument, name, owned->credentials);
    read_one(argument, name, owned->sentinel_credentials);
}

static void commit_owned(void *argument, const char *name, struct server_redis *owned)
{
    (void)argument, (void)name;
    credentials_commit(owned->credentials);
    credentials_commit(owned->sentinel_credentials);
}

static void discard_owned(void *argument, const char *name, struct server_redis *owned)
{
    (void)argument, (void)name;
    credentials_discard(owned->credentials);
    credentials_discard(owned->sentinel_credentials);
}

bool server_credentials_read(
    struct server *server, struct buffer *why, struct buffer *where, struct buffer *findings)
{
    struct reading reading = {server->path, why, where, findings, false};

    each_owned(server, read_owned, &reading);
    if (reading.failed)
        each_owned(server, discard_owned, NULL);
    return !reading.failed;
}

void server_credentials_commit(struct server *server)
{
    each_owned(server, commit_owned, NULL);
}
