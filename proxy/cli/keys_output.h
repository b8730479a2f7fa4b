/* SPDX-License-Identifier: Apache-2.0 */
/* Where the verbs of 'mqward keys' write secrets: a new file that nobody else can read, or standard output.
 */
#ifndef MQWARD_PROXY_CLI_KEYS_OUTPUT_H
#define MQWARD_PROXY_CLI_KEYS_OUTPUT_H

#include "base/view.h"

struct keys_output {
    const char *path; /* NULL: standard output */
    int fd;
    int error; /* errno of the first write that failed, or 0 */
};

/* The file must not be there yet: no key is ever overwritten. False after a message. */
bool keys_output_open(struct keys_output *output, const char *path);
/* Past stdio, so that no buffer keeps a copy. */
void keys_output_write(struct keys_output *output, struct view text);
/* False after a message if not all could be written; a file goes away then. */
bool keys_output_close(struct keys_output *output);

#define KEYS_HEX_MAX 128
/* Lower-case hex of at most 64 bytes; returns its length. Without a NUL. */
size_t keys_hex(struct view bytes, char out[KEYS_HEX_MAX]);

#endif
