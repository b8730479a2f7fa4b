/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiled conditions of libyara 4.2.3 tell about rules: what they use, and whether they can match a
 * payload in which none of their strings occurs. */
#ifndef MQWARD_RULES_CLASSIFY_H
#define MQWARD_RULES_CLASSIFY_H

#include <yara.h>

#include "base/view.h"

struct classified {
    uint32_t *needs; /* indices of the rules that it refers to; free() */
    size_t need_count;
    const char **objects; /* identifiers of externals and modules that it loads; free() */
    size_t object_count;
    /* It could match although none of its strings, and of those of the rules that it refers to, occurs. */
    bool always;
    /* It could match although none of its own strings occurs, if rules that it refers to match. */
    bool by_needs;
};

/* One for each of the rules, in their order; free with classified_free(). A condition that is not understood
 * can match always. NULL: the code as a whole is not understood, so that the rules must stay together. */
struct classified *classify(const YR_RULES *rules);
void classified_free(struct classified *classified, size_t count);

#endif
