/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of 'mqward audit verify' share. */
#ifndef MQWARD_PROXY_CLI_AUDIT_VERIFY_H
#define MQWARD_PROXY_CLI_AUDIT_VERIFY_H

#include "exporters/verify.h"
#include "proxy/cli/audit_report.h"
#include "proxy/cli/audit_source.h"

enum verify_option {
    VERIFY_OPTION_CONFIG,
    VERIFY_OPTION_SINK,
    VERIFY_OPTION_KEY,
    VERIFY_OPTION_PUBLIC,
    VERIFY_OPTION_HOST,
    VERIFY_OPTION_ANY_ORDER,
    VERIFY_OPTION_SKIP,
    VERIFY_OPTION_UNCHAINED,
    VERIFY_OPTION_NO_STATE,
    VERIFY_OPTION_JSON
};
/* What stands around a line in the output of 'redis-cli --raw XRANGE': its ID, and the name of its field. */
enum verify_shape { SHAPE_NONE, SHAPE_ID, SHAPE_FIELD };

enum verify_input_kind { INPUT_JOURNAL, INPUT_FILES, INPUT_SINK };

struct verify_run {
    const char *const *values;
    enum verify_input_kind input;
    struct verify *verify;
    struct audit_report report;
    enum verify_shape shape;
    char *host; /* as it stands in a line; NULL: any */
    const char *name;
    uint64_t unchained_before;
    bool progress;
};

/* Feeds run->verify with all of it: what can't be read is said, and noted in run->report. The words are
 * the command's, for files. */
void audit_verify_read(struct verify_run *run, const struct audit_source *source, int argc, char **argv);

#endif
