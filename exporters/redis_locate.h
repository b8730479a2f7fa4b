/* SPDX-License-Identifier: Apache-2.0 */
/* Where is the server? What the answers of sentinels and of a cluster's nodes say about it, without any I/O:
 * redis_client.c connects to what this names, and tells it what became of that.
 *
 * Sentinel (Redis, "Sentinel client spec"): the sentinels are asked one behind the other; the first one that
 * knows the master is believed only if the server it names says itself, by ROLE, that it is a master. It is
 * then the first of the list; one whose server is none, or can't be reached, is the last.
 * Cluster (Redis, "Cluster specification", redirection): any node is asked; MOVED and ASK name another. */
#ifndef MQWARD_EXPORTERS_REDIS_LOCATE_H
#define MQWARD_EXPORTERS_REDIS_LOCATE_H

#include "base/view.h"
#include "exporters/redis_settings.h"

struct redisReply;
struct redis_locate;

#define REDIS_HOST_MAX 254    /* of a host that an answer names, with its NUL */
#define REDIS_REDIRECTS_MAX 8 /* one behind the other, without an answer between them */

enum redis_redirect {
    REDIS_STAY,     /* the error is about something else */
    REDIS_FOLLOW,   /* the server is another one now */
    REDIS_NONSENSE, /* it names no address that can be meant */
    REDIS_ENDLESS   /* the last of REDIS_REDIRECTS_MAX */
};

struct redis_locate *redis_locate_new(const struct exporter_redis *settings);
void redis_locate_free(struct redis_locate *locate); /* NULL is fine */

/* A new attempt. */
void redis_locate_begin(struct redis_locate *locate);
/* Whom to connect to now; lives until the next call. True: it is a sentinel. */
bool redis_locate_target(const struct redis_locate *locate, struct redis_address *address);
/* NULL: the configuration names the target. Otherwise an answer does, and this stands for all clients of
 * these settings (struct resolver_name). */
const void *redis_locate_giver(const struct redis_locate *locate);
/* Commands to the target are sent behind ASKING. */
bool redis_locate_is_asking(const struct redis_locate *locate);

/* The sentinel can't be reached, or its answer was no good. False: it was the last one of this attempt. */
bool redis_locate_skip(struct redis_locate *locate);
/* The answer to SENTINEL get-master-addr-by-name. NULL: the target is the server now; otherwise what is wrong
 * with it. */
const char *redis_locate_take_master(struct redis_locate *locate, const struct redisReply *reply);
/* The answer to ROLE. NULL: it is the master; otherwise what is wrong with it. */
const char *redis_locate_take_role(struct redis_locate *locate, const struct redisReply *reply);

/* An error answer to a command about the key. */
enum redis_redirect redis_locate_redirect(struct redis_locate *locate, struct view error);
/* Any other answer to one: the target has the key. */
void redis_locate_settle(struct redis_locate *locate);
/* The server can't be reached, or its connection is gone: the next attempt asks another node or sentinel
 * first. */
void redis_locate_fail(struct redis_locate *locate);

#endif
