/* SPDX-License-Identifier: Apache-2.0 */
/* What a subcommand asks of the running mqward, and what it answers. */
#ifndef MQWARD_PROXY_CLI_CONTROL_CLIENT_H
#define MQWARD_PROXY_CLI_CONTROL_CLIENT_H

#include <jansson.h>

#include "proxy/cli/cli.h"

/* The first options of such a subcommand: where the socket is. */
#define CONTROL_CLIENT_OPTIONS                                                                               \
    {"config", 'c', "FILE",                                                                                  \
        "mqward.yaml, which names the control socket (default: /etc/mqward/mqward.yaml)"},                   \
        {"socket", 's', "PATH", "the control socket itself"},                                                \
    {                                                                                                        \
        "json", 0, NULL, "the answer as one JSON object on standard output"                                  \
    }
enum { CONTROL_CLIENT_CONFIG, CONTROL_CLIENT_SOCKET, CONTROL_CLIENT_JSON, CONTROL_CLIENT_OPTION_COUNT };

/* Sends request (whose reference it takes) and waits for the answer, an object; with --json prints it, too.
 * NULL after a message that says why there is none. */
json_t *control_client_ask(const char *const *values, json_t *request);
/* The answer says yes; else its error was printed, unless --json printed all of it. */
int control_client_status(const char *const *values, const json_t *answer);

#endif
