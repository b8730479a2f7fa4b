/* SPDX-License-Identifier: Apache-2.0 */
/* mqward keys new: a random secret in a file of its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/secret.h"
#include "policy/mps1.h"
#include "proxy/cli/cli.h"
#include "proxy/cli/keys_output.h"

enum { OPTION_ALG, OPTION_OUT, OPTION_PRINT };
static const struct cli_option options[] = {
    [OPTION_ALG] = {"alg", 0, "ALG", "what it is for: HMAC-SHA-256 (default), HMAC-SHA-384, HMAC-SHA-512"},
    [OPTION_OUT] = {"out", 0, "FILE", "the file to make (mode 600); one that is there is never overwritten"},
    [OPTION_PRINT] = {"print", 0, NULL, "print the secret on standard output, too"},
    {NULL, 0, NULL, NULL},
};

/* 0: unknown. */
static unsigned algorithm_of(const char *name)
{
    for (unsigned algorithm = 0; algorithm <= UINT8_MAX; algorithm++)
        if (mps1_algorithm_name(algorithm) != NULL && strcmp(mps1_algorithm_name(algorithm), name) == 0)
            return algorithm;
    return 0;
}

static bool write_line(const char *path, struct view line)
{
    struct keys_output output;

    if (!keys_output_open(&output, path))
        return false;
    keys_output_write(&output, line);
    return keys_output_close(&output);
}

static bool make(size_t size, const char *path, bool print)
{
    uint8_t secret[MPS1_TAG_MAX];
    char line[KEYS_HEX_MAX + 1];
    size_t length = 0;
    bool made = getrandom(secret, size, 0) == (ssize_t)size;

    if (!made)
        fprintf(stderr, "mqward: no random numbers: %s\n", strerror(errno));
    else {
        length = keys_hex(view_of(secret, size), line);
        line[length++] = '\n';
    }
    if (made && path != NULL)
        made = write_line(path, view_of(line, length));
    if (made && print)
        made = write_line(NULL, view_of(line, length));
    secret_wipe(secret, sizeof(secret));
    secret_wipe(line, sizeof(line));
    return made;
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *name = values[OPTION_ALG] == NULL ? "HMAC-SHA-256" : values[OPTION_ALG];
    const char *path = values[OPTION_OUT];
    bool print = values[OPTION_PRINT] != NULL;
    unsigned algorithm = algorithm_of(name);
    size_t size = mps1_tag_size(algorithm);

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    if (algorithm == 0)
        return cli_usage_error(
            command, "unknown algorithm '%s': HMAC-SHA-256, HMAC-SHA-384 or HMAC-SHA-512", name);
    if (path == NULL && !print)
        return cli_usage_error(command, "where to: --out FILE, or --print");
    if (!make(size, path, print))
        return CLI_FINDINGS;
    if (!print)
        printf("%s: %zu random bytes as hex. In keys.yaml: alg: %s, secret: {file: %s}\n", path, size, name,
            path);
    return CLI_OK;
}

const struct cli_command cli_keys_new = {.name = "keys new",
    .arguments = "",
    .summary = "make a random secret, for a master or a static key",
    .options = options,
    .run = run};
