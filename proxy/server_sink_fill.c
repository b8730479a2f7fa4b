/* SPDX-License-Identifier: Apache-2.0 */
/* The sinks file, stdout and syslog, from the configuration to what the exporter takes. Called by
 * server_sinks.c. */
#include <sys/stat.h>
#include <unistd.h>

#include "exporters/sink_file.h"
#include "exporters/sink_stdout.h"
#include "exporters/sink_syslog.h"
#include "proxy/server_internal.h"

static struct lines_settings lines_settings(const struct config_audit *audit, uint64_t timeout_ms)
{
    static const enum exporter_fsync fsyncs[] = {
        [CONFIG_FSYNC_ALWAYS] = EXPORTER_FSYNC_ALWAYS,
        [CONFIG_FSYNC_INTERVAL] = EXPORTER_FSYNC_INTERVAL,
        [CONFIG_FSYNC_NEVER] = EXPORTER_FSYNC_NEVER,
    };

    return (struct lines_settings){fsyncs[audit->fsync], audit->fsync_interval_ms, timeout_ms};
}

/* Root writes a sink's file beside the daemon, or before its first start: it must not be root's then, or the
 * daemon can't go on with it. The daemon is who the directory belongs to. */
static struct sink_file_owner find_owner(const char *directory)
{
    struct stat status;

    if (geteuid() != 0 || directory == NULL || stat(directory, &status) == -1)
        return (struct sink_file_owner){0};
    return (struct sink_file_owner){true, status.st_uid, status.st_gid};
}

void server_file_fill(
    struct sink_file_settings *file, const struct config_sink_file *config, const struct config_audit *audit)
{
    *file = (struct sink_file_settings){
        .path = config->path.path,
        .mode = config->mode,
        .max_size = config->max_size,
        .keep = config->keep,
        .owner = find_owner(audit->directory.path),
        .lines = lines_settings(audit, config->timeout_ms),
    };
}

void server_stdout_fill(struct sink_stdout_settings *output, const struct config_sink_stdout *config,
    const struct config_audit *audit)
{
    *output = (struct sink_stdout_settings){
        .descriptor = STDOUT_FILENO,
        .lines = lines_settings(audit, config->timeout_ms),
    };
}

int server_syslog_fill(struct sink_syslog_settings *syslog, const struct config_sink_syslog *config,
    struct credentials **credentials)
{
    *syslog = (struct sink_syslog_settings){
        .host = config->address.unix_path != NULL ? config->address.unix_path : config->address.host,
        .port = config->address.port,
        .outlet = {.udp = config->udp != 0, .datagrams = true, .timeout_ms = config->timeout_ms},
        .framing = (enum syslog_framing)config->framing,
        .shape =
            {
                .facility = (unsigned)config->facility,
                .format = (enum syslog_format)config->format,
                .sd_id = config->sd_id,
                .process = (uint32_t)getpid(),
                .limit = config->max_message,
            },
        .timeout_ms = config->timeout_ms,
    };
    if (config->tls == NULL)
        return 0;
    syslog->outlet.tls_server_name = config->tls->server_name;
    syslog->outlet.credentials = *credentials = server_credentials("syslog", config->tls, NULL);
    return *credentials == NULL ? -1 : 0;
}
