/* SPDX-License-Identifier: Apache-2.0 */
/* Where the text of a policy comes from: one file, or the *.yaml files of a folder. Private to policy/. */
#ifndef MQWARD_POLICY_POLICY_FILES_H
#define MQWARD_POLICY_POLICY_FILES_H

#include "base/diag.h"

struct policy_files {
    const struct diag_source *whole; /* the file, or the folder (which has no text) */
    const struct diag_source **items;
    size_t count;
    bool is_folder;
    bool incomplete; /* a file of the folder could not be read; the error is in the list */
};

/* Reads what is at path; sources live in the list. False after an error that leaves nothing to go on with. */
bool policy_files_read(struct arena *arena, struct diag_list *diag, const char *path,
    const struct diag_place *referrer, struct policy_files *files);
/* "sha256:<hex>": of a file its bytes', of a folder that of the lines "<hex of the bytes>  <name>\n" of its
 * files by name, as sha256sum(1) prints them. NULL if libcrypto does not do it. */
const char *policy_files_version(struct arena *arena, const struct policy_files *files);

#endif
