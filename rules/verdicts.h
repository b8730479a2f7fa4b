/* SPDX-License-Identifier: Apache-2.0 */
/* Remembers what libyara said about small payloads. Exact: an entry answers for the very same bytes alone. */
#ifndef MQWARD_RULES_VERDICTS_H
#define MQWARD_RULES_VERDICTS_H

#include "base/view.h"

/* A rule that matched, and where. */
struct verdict {
    uint32_t rule; /* in the generation */
    uint64_t offset;
};

#define VERDICTS_KEY_MAXIMUM ((size_t)4096) /* bytes of a key that is remembered */
#define VERDICTS_BYTES ((size_t)1 << 20)    /* of all entries of a thread */

struct verdicts;

struct verdicts *verdicts_new(void);
void verdicts_free(struct verdicts *verdicts); /* NULL is fine */
/* Forgets all: another generation. */
void verdicts_clear(struct verdicts *verdicts);
/* true: found and count are those of key; they hold until the next call. */
bool verdicts_find(
    const struct verdicts *verdicts, struct view key, const struct verdict **found, size_t *count);
void verdicts_keep(struct verdicts *verdicts, struct view key, const struct verdict *found, size_t count);

#endif
