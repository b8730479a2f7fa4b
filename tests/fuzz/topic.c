/* SPDX-License-Identifier: Apache-2.0 */
/* Topics and filters separated by line feeds: the first against all others, and the laws that hold between
 * matching, cover and overlap. */
#include <assert.h>

#include "base/topic.h"
#include "policy/dialect.h"
#include "policy/topic_algebra.h"

#define VIEWS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void strip(struct view text)
{
    struct dialect_topic stripped;
    for (int dialect = 0; dialect < DIALECT_COUNT; dialect++) {
        if (topic_filter_valid(text) && dialect_strip_filter((enum dialect)dialect, text, &stripped))
            assert(topic_filter_valid(stripped.topic));
        if (topic_name_valid(text) && dialect_strip_name((enum dialect)dialect, text, &stripped))
            assert(topic_name_valid(stripped.topic));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view all[VIEWS], filters[VIEWS], rest = view_of(data, size);
    size_t count = 0, filter_count = 0;
    while (rest.length > 0 && count < VIEWS) {
        const uint8_t *end = memchr(rest.data, '\n', rest.length);
        all[count] = view_of(rest.data, end == NULL ? rest.length : (size_t)(end - rest.data));
        rest = view_skip(rest, all[count].length + 1);
        strip(all[count]);
        if (topic_filter_valid(all[count]))
            filters[filter_count++] = all[count];
        count++;
    }
    if (filter_count == 0)
        return 0;
    bool covered = topic_covered(filters[0], filters + 1, filter_count - 1), overlaps = false;
    for (size_t i = 1; i < filter_count; i++) {
        bool overlap = topic_overlaps(filters[0], filters[i]);
        assert(overlap == topic_overlaps(filters[i], filters[0]));
        assert(!topic_covered(filters[0], &filters[i], 1) || (covered && overlap));
        overlaps = overlaps || overlap;
        if (topic_name_valid(filters[i]))
            assert(topic_matches(filters[0], filters[i]) == overlap);
    }
    assert(!covered || overlaps);
    assert(topic_covered(filters[0], filters, filter_count));
    return 0;
}
