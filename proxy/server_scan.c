/* SPDX-License-Identifier: Apache-2.0 */
/* What scans beside the workers: the pool and the quarantine. Called by server.c. */
#include <errno.h>

#include "base/log.h"
#include "proxy/scan_pool.h"
#include "proxy/server_internal.h"

static int open_quarantine(struct server *server)
{
    const struct config_quarantine *config = &server->snapshot->config->scan.quarantine;
    char error[512] = "";

    if (config->directory.path == NULL)
        return 0;
    server->quarantine =
        quarantine_open(config->directory.path, config->max_bytes, config->max_files, error, sizeof(error));
    if (server->quarantine != NULL)
        return 0;
    LOG_EVENT(LOG_ERROR, "quarantine", "can't use the folder", log_string("error", error)); /* names it */
    return -1;
}

int server_scan_open(struct server *server)
{
    const struct config_scan *config = &server->snapshot->config->scan;

    if (open_quarantine(server) != 0)
        return -1;
    server->scan_pool = scan_pool_new((unsigned)config->threads, config->wait_ms, server->quarantine);
    if (server->scan_pool != NULL)
        return 0;
    LOG_EVENT(LOG_ERROR, "scan", "can't start the threads that scan", log_string("error", strerror(errno)));
    return -1;
}

void server_scan_close(struct server *server)
{
    if (scan_pool_free(server->scan_pool))
        quarantine_close(server->quarantine);
}
