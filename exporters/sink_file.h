/* SPDX-License-Identifier: Apache-2.0 */
/* What the sink of a file takes as its settings. */
#ifndef MQWARD_EXPORTERS_SINK_FILE_H
#define MQWARD_EXPORTERS_SINK_FILE_H

#include <sys/types.h>

#include "exporters/lines.h"

/* Whose a new file is to be where root writes it in another user's place. Its group is the folder's, if that
 * has the set-group-ID bit. */
struct sink_file_owner {
    bool given; /* or else: who writes it */
    uid_t user;
    gid_t group;
};

/* Strings are borrowed. */
struct sink_file_settings {
    const char *path;
    mode_t mode;       /* of a new file, whatever the umask */
    uint64_t max_size; /* bytes; a file that would grow larger becomes <path>.1; 0: never */
    uint64_t keep;     /* <path>.1 to <path>.<keep>, at least one */
    struct sink_file_owner owner;
    struct lines_settings lines;
};

#endif
