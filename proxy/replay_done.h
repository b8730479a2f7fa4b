/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that are done and that the shared replay store is to be told of, in their order: kept until it has
 * confirmed them. Private to replay_shared.c. */
#ifndef MQWARD_PROXY_REPLAY_DONE_H
#define MQWARD_PROXY_REPLAY_DONE_H

#include "proxy/replay_command.h"

struct replay_done {
    struct replay_subject subject;
    bool confirmed;
};

#define REPLAY_DONE_KEPT 16384
#define REPLAY_DONE_AT_ONCE 4096 /* under way */
struct replay_dones {
    struct replay_done items[REPLAY_DONE_KEPT];
    uint64_t first, sent, next; /* [first, sent): under way or confirmed; [sent, next): not sent */
};

/* False: one message is not kept, because there are too many: the oldest, or this one if those are under way.
 */
bool replay_dones_push(struct replay_dones *dones, const struct replay_subject *subject);
/* The next one to be sent, which is then under way; NULL: there is none, or enough are under way. What its
 * age alone refuses needs no telling. now_ms: since 1970. */
struct replay_done *replay_dones_take(struct replay_dones *dones, uint64_t now_ms);
void replay_dones_confirm(struct replay_dones *dones, struct replay_done *done);
/* What was under way and is not confirmed has to be sent again. */
void replay_dones_rewind(struct replay_dones *dones);

#endif
