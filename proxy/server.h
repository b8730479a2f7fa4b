/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: from a snapshot to listeners, workers and the exporter, until a signal ends it. */
#ifndef MQWARD_PROXY_SERVER_H
#define MQWARD_PROXY_SERVER_H

#include "proxy/service.h"

/* Serves until SIGTERM or SIGINT; on SIGHUP reads path, where snapshot is from, again. Takes the snapshot's
 * reference. Returns the process's exit status; what went wrong is in the log. */
int server_run(const char *path, struct snapshot *snapshot);

#endif
