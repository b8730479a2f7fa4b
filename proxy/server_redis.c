/* SPDX-License-Identifier: Apache-2.0 */
/* How a Redis is reached: from the configuration to what its client takes, password included. Called by
 * server.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proxy/server_internal.h"

/* The first line of a file, without its end; NULL after an error was logged. */
static char *read_secret(const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    ssize_t length = file == NULL ? -1 : getline(&line, &size, file);

    if (file != NULL)
        fclose(file);
    if (length < 0) {
        LOG_EVENT(LOG_ERROR, "redis", "can't read the password file", log_string("path", path),
            log_string("error", strerror(errno)));
        free(line);
        return NULL;
    }
    line[strcspn(line, "\r\n")] = 0;
    return line;
}

static void fill_tls(struct exporter_redis *redis, const struct config_upstream_tls *tls)
{
    if (tls == NULL)
        return;
    redis->tls = true;
    redis->tls_ca = tls->ca == NULL ? NULL : tls->ca->file.path;
    redis->tls_server_name = tls->server_name;
    redis->tls_certificate = tls->certificate.path;
    redis->tls_key = tls->key.path;
}

int server_redis_fill(struct exporter_redis *redis, const struct config_redis_server *config, char **password)
{
    redis->host = config->address.unix_path != NULL ? config->address.unix_path : config->address.host;
    redis->port = config->address.port;
    redis->username = config->username;
    redis->database = (uint32_t)config->database;
    redis->timeout_ms = config->timeout_ms;
    fill_tls(redis, config->tls);
    if (config->password_file.path == NULL)
        return 0;
    redis->password = *password = read_secret(config->password_file.path);
    return *password == NULL ? -1 : 0;
}

void server_redis_forget(char *password)
{
    if (password != NULL)
        explicit_bzero(password, strlen(password));
    free(password);
}
