/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how an address of the configuration becomes one of a socket. Called by server.c, by admin.c, and by
 * preflight.c, which asks only whether it could. */
#include "proxy/listen_address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int bind_first(const struct addrinfo *found, bool shared)
{
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
        (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0) &&
        bind(fd, found->ai_addr, found->ai_addrlen) == 0)
        return fd;

    int number = errno;
    if (fd >= 0)
        close(fd);
    errno = number;
    return -1;
}

int listen_address_bind(const struct config_address *address, uint16_t port, bool shared, const char **error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found = NULL;
    char service[8];

    snprintf(service, sizeof(service), "%u", port);
    int status = getaddrinfo(address->host, service, &hints, &found);
    if (status != 0) {
        *error = status == EAI_SYSTEM ? strerror(errno) : gai_strerror(status);
        return -1;
    }
    int fd = bind_first(found, shared);
    if (fd < 0)
        *error = strerror(errno);
    freeaddrinfo(found);
    return fd;
}

uint16_t listen_address_port(int fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof(bound);

    if (getsockname(fd, (struct sockaddr *)&bound, &length) != 0)
        return 0;
    return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)&bound)->sin_port);
}
