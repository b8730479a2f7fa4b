/* SPDX-License-Identifier: Apache-2.0 */
/* What the sink of the standard output takes as its settings. */
#ifndef MQWARD_EXPORTERS_SINK_STDOUT_H
#define MQWARD_EXPORTERS_SINK_STDOUT_H

#include "exporters/lines.h"

struct sink_stdout_settings {
    int descriptor; /* 1; it is duplicated */
    struct lines_settings lines;
};

#endif
