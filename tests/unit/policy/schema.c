/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema in docs/ is what the keywords say (tests/e2e/test_schema.py tries it on policies). With
 * MQWARD_BLESS=1 in the environment it is written anew. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "support.h"

#define SCHEMA MQWARD_SOURCE_DIR "/docs/policy.v1.schema.json"

Test(schema, the_file_is_what_the_keywords_say)
{
    struct buffer schema = {0};
    policy_print_schema(&schema);
    if (getenv("MQWARD_BLESS") != NULL) {
        FILE *out = fopen(SCHEMA, "w");
        cr_assert_not_null(out);
        fwrite(schema.data + schema.start, 1, buffer_length(&schema), out);
        fclose(out);
    }
    char *file = read_text(SCHEMA);
    cr_assert_not_null(file, "%s is missing", SCHEMA);
    cr_expect(view_equal(view_of_string(file), buffer_view(&schema)),
        "docs/policy.v1.schema.json is behind the keywords: run the test with MQWARD_BLESS=1");
    free(file);
    buffer_release(&schema);
}
