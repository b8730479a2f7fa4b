/* SPDX-License-Identifier: Apache-2.0 */
/* Files with secrets: read only if nobody else on the machine can have read or changed them, but for whom
 * root gave them to. */
#ifndef MQWARD_BASE_PRIVATE_FILE_H
#define MQWARD_BASE_PRIVATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct private_file_error {
    bool missing;     /* there is no file of that name */
    char message[96]; /* what is wrong, without the path: "other users of this machine ..." */
    const char *hint; /* what to do, or NULL */
};

/* Reads the whole of a regular file that belongs to root or to this process's user and that group and others
 * may neither read, write nor execute. Never waits for what is no file (a pipe). The checks are made on the
 * file that was opened: a symbolic link is followed (that is how containers hand out secrets), and what it
 * leads to is judged. Returns the length, or -1 and *error; more than size bytes are an error. The bytes are
 * read to out and nowhere else. */
ssize_t private_file_read(const char *path, void *out, size_t size, struct private_file_error *error);
/* The same; but a group may read a file of root's if it is one of this process's groups. That is how
 * orchestrators hand out secrets to who is not root (Kubernetes: root:fsGroup, mode 0440). */
ssize_t private_file_read_from_root(
    const char *path, void *out, size_t size, struct private_file_error *error);
/* Makes a file that only this process's user may read and write. It and its name are on the disk when this
 * returns. 0, or -1 (errno; EEXIST: there is something of that name, and it was not touched); then there is
 * no file. */
int private_file_make(const char *path, const void *bytes, size_t size);

#endif
