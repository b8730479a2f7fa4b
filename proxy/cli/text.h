/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that strangers chose, on a terminal. */
#ifndef MQWARD_PROXY_CLI_TEXT_H
#define MQWARD_PROXY_CLI_TEXT_H

#include <stdio.h>

#include "base/view.h"

/* Prints text in one line: what a terminal obeys, what hides or reorders, and what is not UTF-8 becomes '?'.
 */
void text_print(FILE *out, struct view text);

#endif
