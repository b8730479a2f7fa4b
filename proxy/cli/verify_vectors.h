/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a table of vectors through the proxy's own code. */
#ifndef MQWARD_PROXY_CLI_VERIFY_VECTORS_H
#define MQWARD_PROXY_CLI_VERIFY_VECTORS_H

#include <stdbool.h>

/* Prints a line a vector, or all as one JSON object. CLI_OK only if all are as the table says. */
int verify_vectors(const char *path, bool as_json);

#endif
