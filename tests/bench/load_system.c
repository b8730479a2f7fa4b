/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing: what both loops of the load generator need of the system. Called by load.c, load_open.c and
 * load_storm.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define STEP_TIMEOUT_S 10 /* for each blocking step of opening */

void load_die(const char *what)
{
    fprintf(stderr, "mqward-bench-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

int64_t load_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int load_catch_signals(void)
{
    sigset_t set;
    int descriptor;

    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        load_die("sigprocmask");
    descriptor = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (descriptor < 0)
        load_die("signalfd");
    return descriptor;
}

int load_connect(const struct load_options *options, const struct load_address *address, bool blocking)
{
    int buffer = (int)options->buffer / 2; /* the system doubles it */
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(address->port)};
    struct timeval timeout = {.tv_sec = STEP_TIMEOUT_S};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
    int on = 1;

    if (descriptor < 0)
        return -1;
    if (inet_pton(AF_INET, address->host, &peer.sin_addr) != 1) {
        errno = EINVAL;
        goto failed;
    }
    (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (buffer > 0)
        (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    if (connect(descriptor, (struct sockaddr *)&peer, sizeof(peer)) == 0 ||
        (!blocking && errno == EINPROGRESS))
        return descriptor;
failed:
    close(descriptor);
    return -1;
}
