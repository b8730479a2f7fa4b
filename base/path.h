/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: whether two of them lead to the same place, and who may change where one leads. */
#ifndef MQWARD_BASE_PATH_H
#define MQWARD_BASE_PATH_H

#include "base/arena.h"

/* The one way to write where path leads: absolute, without links, "." and "..". What is not there yet is
 * taken as it is written. In the arena. */
const char *path_real(struct arena *arena, const char *path);
/* The same of a file: its folder is looked at, the file itself is not, whatever it is. NULL: path names no
 * file ("x/", "x/.."). */
const char *path_real_file(struct arena *arena, const char *path);
/* The folder that the file lies in: "." of "x", "/" of "/x". In the arena. */
const char *path_folder(struct arena *arena, const char *path);

/* 0 if nobody but root and this process's user can give the names in folder, and the names on the way to it,
 * another meaning: each of these folders, and each that a link on the way leads through, belongs to one of
 * them and is closed to writing by others. A folder on the way, such as /tmp, may be open to all if its
 * sticky bit is set and what lies there on the way is theirs; folder itself may not: who is first to use a
 * name there has it. -1: what is wrong, in the arena. */
struct path_trouble {
    const char *folder;  /* which of them */
    const char *problem; /* "others may write to it" */
    bool missing;        /* it is not there */
};
int path_check_folder(struct arena *arena, const char *folder, struct path_trouble *trouble);

#endif
