/* SPDX-License-Identifier: Apache-2.0 */
/* The external variables that rules know their message by. */
#ifndef MQWARD_RULES_EXTERNALS_H
#define MQWARD_RULES_EXTERNALS_H

#include <yara.h>

#include "base/buffer.h"
#include "rules/scan.h"

enum external {
    EXTERNAL_TOPIC,
    EXTERNAL_CLIENT_ID,
    EXTERNAL_USERNAME,
    EXTERNAL_IDENTITY,
    EXTERNAL_GROUPS,
    EXTERNAL_CONTENT_TYPE,
    EXTERNAL_DIRECTION, /* "in": from the client; "out" */
    EXTERNAL_VIEW,      /* "raw", "json/base64" */
    EXTERNAL_QOS,
    EXTERNAL_RETAIN,
    EXTERNAL_PAYLOAD_SIZE,
    EXTERNALS
};

/* Makes them known to a compiler; an error of libyara, or ERROR_SUCCESS. */
int externals_define(YR_COMPILER *compiler);
/* The bit of a name, or 0. */
unsigned externals_bit(const char *name);

/* Those of a scan. Text is copied, each followed by a NUL. */
struct externals {
    struct buffer text;
    const char *strings[EXTERNAL_VIEW + 1];
    int64_t numbers[EXTERNALS];
    unsigned with_nul; /* bits of those that hold a NUL: no C string can hold them */
};

void externals_take(struct externals *externals, const struct scan_context *context);
void externals_take_view(struct externals *externals, const struct scan_view_path *path);
void externals_release(struct externals *externals);
/* Gives those of bits to a scanner; an error of libyara, or ERROR_SUCCESS. None of bits may hold a NUL. */
int externals_give(const struct externals *externals, unsigned bits, YR_SCANNER *scanner);
/* Appends them in a form that is the same only for the same values. */
void externals_append(const struct externals *externals, unsigned bits, struct buffer *out);

#endif
