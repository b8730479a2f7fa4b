/* SPDX-License-Identifier: Apache-2.0 */
/* The session model of the unit tests (tests/unit/session/model.h) with the choices of the fuzzer: one life
 * of a client, a broker and their sessions, of which each packet is held against a simple reference. */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

static void on_failure(void *context, const char *text)
{
    (void)context;
    fputs(text, stderr);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct model_options options = {.fail = on_failure};
    static struct model *model;

    if (model == NULL && (model = model_new(&options)) == NULL)
        abort();
    model_life(model, choices_from_bytes(view_of(data, size)), 0);
    return 0;
}
