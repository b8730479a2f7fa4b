/* SPDX-License-Identifier: Apache-2.0 */
/* mqward keys: the verbs for keys of payload signatures. One file (keys_<verb>.c) and one row here each. */
#include <stddef.h>

#include "proxy/cli/cli.h"

static const struct cli_command *const verbs[] = {&cli_keys_new, &cli_keys_derive, &cli_keys_list, NULL};

const struct cli_command cli_keys = {.name = "keys",
    .arguments = "",
    .summary = "make, derive and list keys of payload signatures",
    .verbs = verbs};
