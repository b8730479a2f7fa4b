/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the files that the verbs of 'mqward keys' make. */
#include "proxy/cli/keys_output.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool keys_output_open(struct keys_output *output, const char *path)
{
    *output = (struct keys_output){.path = path, .fd = STDOUT_FILENO};
    if (path == NULL)
        return true;
    output->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (output->fd < 0)
        fprintf(stderr, "mqward: %s can't be made: %s\n", path,
            errno == EEXIST ? "it is there already, and keys are not overwritten" : strerror(errno));
    return output->fd >= 0;
}

void keys_output_write(struct keys_output *output, struct view text)
{
    while (text.length > 0 && output->error == 0) {
        ssize_t written = write(output->fd, text.data, text.length);

        if (written >= 0)
            text = view_skip(text, (size_t)written);
        else if (errno != EINTR)
            output->error = errno;
    }
}

bool keys_output_close(struct keys_output *output)
{
    if (output->path != NULL) {
        if (output->error == 0 && fsync(output->fd) != 0)
            output->error = errno;
        if (close(output->fd) != 0 && output->error == 0)
            output->error = errno;
        if (output->error != 0)
            unlink(output->path);
    }
    if (output->error != 0)
        fprintf(stderr, "mqward: %s can't be written: %s\n",
            output->path == NULL ? "standard output" : output->path, strerror(output->error));
    return output->error == 0;
}

size_t keys_hex(struct view bytes, char out[KEYS_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";

    assert(bytes.length <= KEYS_HEX_MAX / 2);
    for (size_t i = 0; i < bytes.length; i++) {
        out[2 * i] = digits[bytes.data[i] >> 4];
        out[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    return 2 * bytes.length;
}
