/* SPDX-License-Identifier: Apache-2.0 */
/* A Unix socket that is listened on, by a path in the file system. */
#ifndef MQWARD_PROXY_UNIX_SOCKET_H
#define MQWARD_PROXY_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

struct unix_socket {
    int fd; /* non-blocking, listening */
    struct sockaddr_un address;
    dev_t device; /* of the socket that was made: at the end no other is removed */
    ino_t inode;
};

/* What would keep a socket from getting this path, as far as it can be told without making it: its folder and
 * those on the way to it (path_check_folder(); *missing: one of them is not there), and a file that is no
 * socket. 0, or -1 and why. what: of the error's text, "control socket". */
int unix_socket_check(const char *path, const char *what, bool *missing, char *error, size_t error_size);
/* Listens on path (which fits a struct sockaddr_un: asserted). mode: of the socket, from its first moment on.
 * what: as above. A socket of a process that is gone is replaced; what unix_socket_check() finds and one that
 * somebody answers are refused: -1, and why. */
int unix_socket_listen(struct unix_socket *made, const char *path, mode_t mode, int backlog, const char *what,
    char *error, size_t error_size);
/* Removes the socket from the file system, if it is still this one. The descriptor stays the caller's. */
void unix_socket_remove(const struct unix_socket *made);

#endif
