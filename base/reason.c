/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table made of reason.def. Called by whoever logs, records, counts or answers a reason. */
#include "base/reason.h"

#include <assert.h>

static const struct reason_info reason_table[REASON_COUNT] = {
#define REASON(identifier, code, v5, v3, severity, text)                                                     \
    [REASON_##identifier] = {#identifier, code, v5, v3, severity, text},
#include "base/reason.def"
#undef REASON
};

const struct reason_info *reason_info(enum reason reason)
{
    assert((unsigned)reason < REASON_COUNT);
    return &reason_table[reason];
}
