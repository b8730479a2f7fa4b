/* SPDX-License-Identifier: Apache-2.0 */
/* The quarantine's folder on the disk. Every file is reached through the folder's descriptor by a name made
 * of 64 hexadecimal digits; links are never followed. Called by quarantine.c. */
#ifndef MQWARD_PROXY_QUARANTINE_FOLDER_H
#define MQWARD_PROXY_QUARANTINE_FOLDER_H

#include "base/view.h"

#define QUARANTINE_HEX 64 /* digits of a SHA-256 */

struct quarantine_folder {
    int directory, lock;
};

/* Opens the folder, makes it if it is not there, and locks it: one process at a time. Refuses one that others
 * can write to. 0, or -1 after an error was written to error. */
int quarantine_folder_open(
    struct quarantine_folder *folder, const char *path, char *error, size_t error_size);
/* What would be refused of a folder that is there. Nothing is made or locked. 0, also if there is none; -1
 * after an error was written to error. */
int quarantine_folder_check(const char *path, char *error, size_t error_size);
void quarantine_folder_close(struct quarantine_folder *folder);

/* Files of an earlier run that do not have their names yet: what was written whole gets its name, the rest is
 * removed. 0 or -1 (errno); then *name says which file it was about (empty: the folder). */
#define QUARANTINE_NAME_MAX (QUARANTINE_HEX + sizeof(".payload.new"))
int quarantine_folder_recover(const struct quarantine_folder *folder, char name[QUARANTINE_NAME_MAX]);

struct quarantine_usage {
    uint64_t bytes; /* of payloads and descriptions */
    uint64_t files; /* payloads */
};
/* Counts what is there, but for those that skip says. 0 or -1 (errno). */
int quarantine_folder_count(const struct quarantine_folder *folder,
    bool (*skip)(const void *context, const char *hex), const void *context, struct quarantine_usage *usage);

/* What is there under a name; a missing file has size -1. */
struct quarantine_pair {
    int64_t payload, description;
};
/* 0 or -1 (errno). */
int quarantine_folder_look(
    const struct quarantine_folder *folder, const char *hex, struct quarantine_pair *pair);
/* Removes both files, for good. 0 (also if they are not there) or -1 (errno). */
int quarantine_folder_remove(const struct quarantine_folder *folder, const char *hex);
/* Writes both, so that after a crash at any point there are both or (after quarantine_folder_recover())
 * neither. There must be none of them. 0 or -1 (errno), and then neither is there. */
int quarantine_folder_write(
    const struct quarantine_folder *folder, const char *hex, struct view payload, struct view description);

#endif
