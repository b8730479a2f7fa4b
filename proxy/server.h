/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: from a snapshot to listeners, workers and the exporter, until a signal ends it. */
#ifndef MQWARD_PROXY_SERVER_H
#define MQWARD_PROXY_SERVER_H

#include "proxy/service.h"

/* Serves until SIGTERM or SIGINT; returns the process's exit status. What went wrong is in the log. */
int server_run(struct snapshot *snapshot);

#endif
