/* SPDX-License-Identifier: Apache-2.0 */
/* mqward-bench-rules: writes rules of YARA as vendors write them, for what a start with thousands of them
 * costs (start.py).
 *
 *     mqward-bench-rules COUNT       to standard output; the same each time */
#include <stdio.h>
#include <stdlib.h>

#include "generate.h"

int main(int argc, char **argv)
{
    struct generated generated;

    if (argc != 2 || strtoul(argv[1], NULL, 10) == 0) {
        fputs("usage: mqward-bench-rules COUNT\n", stderr);
        return 2;
    }
    unsigned long count = strtoul(argv[1], NULL, 10);
    struct random random = {count};
    generate_realistic(&generated, &random, (unsigned)count);
    struct view text = buffer_view(&generated.text);
    bool good = fwrite(text.data, 1, text.length, stdout) == text.length && fflush(stdout) == 0;
    generated_release(&generated);
    return good ? 0 : 1;
}
