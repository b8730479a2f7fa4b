/* SPDX-License-Identifier: Apache-2.0 */
/* An event of the journal as one line for people. */
#ifndef MQWARD_PROXY_CLI_AUDIT_PRINT_H
#define MQWARD_PROXY_CLI_AUDIT_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* To standard output, with its line feed. What clients and servers chose can neither leave its place in the
 * line nor push the others off the screen (text_print_part()). */
void audit_print_event(const json_t *event, bool color);
/* The severity of that name; false: there is none. */
bool audit_severity_find(const char *name, uint64_t *severity);

#endif
