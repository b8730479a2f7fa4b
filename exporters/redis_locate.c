/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the lists of sentinels and of nodes. Called by redis_client.c. */
#include "exporters/redis_locate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "base/memory.h"
#include "base/number.h"

#define LOCATE_MAGIC 0x726c6f63U
#define LEARNED_MAX 32 /* nodes that redirections named; then the oldest makes room */
#define SLOTS 16384

struct node {
    char host[REDIS_HOST_MAX];
    uint16_t port;
};

struct redis_locate {
    uint32_t magic;
    const struct exporter_redis *settings;

    /* Sentinel: indexes of settings->nodes in the order in which they are asked, and who is asked now. */
    size_t order[REDIS_NODES_MAX];
    size_t position;
    bool has_master; /* the target is the server that the sentinel at position named */
    bool is_proven;  /* ROLE says that it is the master */
    struct node master;

    /* Cluster: settings->nodes, then what was learned; where the key is thought to be. */
    struct node learned[LEARNED_MAX];
    size_t learned_count, learned_oldest;
    size_t current;
    bool is_asking;
    unsigned redirects;
};

struct redis_locate *redis_locate_new(const struct exporter_redis *settings)
{
    struct redis_locate *locate = memory_calloc(1, sizeof(*locate));

    assert(settings->topology == REDIS_SINGLE
               ? settings->address.host != NULL
               : settings->node_count > 0 && settings->node_count <= REDIS_NODES_MAX);
    assert(settings->topology != REDIS_SENTINEL || settings->master != NULL);
    locate->magic = LOCATE_MAGIC;
    locate->settings = settings;
    for (size_t i = 0; i < REDIS_NODES_MAX; i++)
        locate->order[i] = i;
    return locate;
}

void redis_locate_free(struct redis_locate *locate)
{
    if (locate == NULL)
        return;
    assert(locate->magic == LOCATE_MAGIC);
    locate->magic = 0;
    free(locate);
}

/* ---- addresses in answers ---- */

/* A host name or an IP address, and nothing else: a path would be a socket on our own machine. */
static bool take_host(char out[REDIS_HOST_MAX], struct view host)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%";

    if (host.length > 2 && host.data[0] == '[' && host.data[host.length - 1] == ']')
        host = view_of(host.data + 1, host.length - 2);
    if (host.length == 0 || host.length >= REDIS_HOST_MAX)
        return false;
    for (size_t i = 0; i < host.length; i++)
        if (host.data[i] == 0 || strchr(allowed, host.data[i]) == NULL)
            return false;
    memcpy(out, host.data, host.length);
    out[host.length] = '\0';
    return true;
}

static bool take_port(uint16_t *out, struct view port)
{
    uint64_t value;

    if (number_parse(port, &value) != 0 || value == 0 || value > UINT16_MAX)
        return false;
    *out = (uint16_t)value;
    return true;
}

/* ---- the target ---- */

static struct redis_address address_of(const struct node *node)
{
    return (struct redis_address){node->host, node->port};
}

static size_t cluster_count(const struct redis_locate *locate)
{
    return locate->settings->node_count + locate->learned_count;
}

static struct redis_address cluster_node(const struct redis_locate *locate, size_t index)
{
    return index < locate->settings->node_count
               ? locate->settings->nodes[index]
               : address_of(&locate->learned[index - locate->settings->node_count]);
}

bool redis_locate_target(const struct redis_locate *locate, struct redis_address *address)
{
    const struct exporter_redis *settings = locate->settings;

    assert(locate->magic == LOCATE_MAGIC);
    if (settings->topology == REDIS_SENTINEL && !locate->has_master) {
        *address = settings->nodes[locate->order[locate->position]];
        return true;
    }
    *address = settings->topology == REDIS_SINGLE     ? settings->address
               : settings->topology == REDIS_SENTINEL ? address_of(&locate->master)
                                                      : cluster_node(locate, locate->current);
    return false;
}

const void *redis_locate_giver(const struct redis_locate *locate)
{
    const struct exporter_redis *settings = locate->settings;
    bool given = settings->topology == REDIS_SENTINEL
                     ? locate->has_master
                     : settings->topology == REDIS_CLUSTER && locate->current >= settings->node_count;

    assert(locate->magic == LOCATE_MAGIC);
    return given ? settings : NULL;
}

bool redis_locate_is_asking(const struct redis_locate *locate)
{
    return locate->is_asking;
}

void redis_locate_begin(struct redis_locate *locate)
{
    assert(locate->magic == LOCATE_MAGIC);
    locate->position = 0;
    locate->has_master = locate->is_proven = false;
    locate->redirects = 0;
}

/* ---- sentinels ---- */

/* Moves the one at from to the place to; the others close up. */
static void reorder(struct redis_locate *locate, size_t from, size_t to)
{
    size_t moved = locate->order[from];

    for (; from < to; from++)
        locate->order[from] = locate->order[from + 1];
    for (; from > to; from--)
        locate->order[from] = locate->order[from - 1];
    locate->order[to] = moved;
}

bool redis_locate_skip(struct redis_locate *locate)
{
    assert(locate->settings->topology == REDIS_SENTINEL && !locate->has_master);
    if (locate->position + 1 == locate->settings->node_count)
        return false;
    locate->position++;
    return true;
}

const char *redis_locate_take_master(struct redis_locate *locate, const redisReply *reply)
{
    assert(locate->settings->topology == REDIS_SENTINEL && !locate->has_master);
    if (reply->type == REDIS_REPLY_NIL)
        return "it does not know the master";
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING || reply->element[1]->type != REDIS_REPLY_STRING)
        return "an answer that is none of a sentinel";
    if (!take_host(locate->master.host, view_of(reply->element[0]->str, (size_t)reply->element[0]->len)) ||
        !take_port(&locate->master.port, view_of(reply->element[1]->str, (size_t)reply->element[1]->len)))
        return "it names an address that is none";
    locate->has_master = true;
    return NULL;
}

const char *redis_locate_take_role(struct redis_locate *locate, const redisReply *reply)
{
    const redisReply *role =
        reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 ? reply->element[0] : NULL;

    assert(locate->settings->topology == REDIS_SENTINEL && locate->has_master);
    if (role == NULL || role->type != REDIS_REPLY_STRING)
        return "an answer that is none of Redis";
    if (!view_equal(view_of(role->str, (size_t)role->len), VIEW("master")))
        return "the server that a sentinel calls the master says that it is none";
    locate->is_proven = true;
    reorder(locate, locate->position, 0);
    locate->position = 0;
    return NULL;
}

/* ---- a cluster ---- */

static void cluster_learn(struct redis_locate *locate, const char *host, uint16_t port)
{
    size_t slot;

    for (size_t i = 0; i < cluster_count(locate); i++) {
        struct redis_address known = cluster_node(locate, i);
        if (known.port == port && strcmp(known.host, host) == 0) {
            locate->current = i;
            return;
        }
    }
    if (locate->learned_count < LEARNED_MAX)
        slot = locate->learned_count++;
    else
        slot = locate->learned_oldest++ % LEARNED_MAX;
    snprintf(locate->learned[slot].host, sizeof(locate->learned[slot].host), "%s", host);
    locate->learned[slot].port = port;
    locate->current = locate->settings->node_count + slot;
}

/* The word up to the next blank; rest is what follows it. */
static struct view take_word(struct view *rest)
{
    size_t length = 0;

    while (length < rest->length && rest->data[length] != ' ')
        length++;
    struct view word = view_of(rest->data, length);
    length += length < rest->length;
    *rest = view_of(rest->data + length, rest->length - length);
    return word;
}

/* "MOVED 3999 127.0.0.1:6381". An address without a host (":6381") is another port of the same one. */
enum redis_redirect redis_locate_redirect(struct redis_locate *locate, struct view error)
{
    struct view rest = error, word = take_word(&rest), slot = take_word(&rest);
    bool asks = view_equal(word, VIEW("ASK"));
    char host[REDIS_HOST_MAX];
    size_t colon = rest.length;
    uint64_t number;
    uint16_t port;

    assert(locate->magic == LOCATE_MAGIC);
    if (locate->settings->topology != REDIS_CLUSTER || (!asks && !view_equal(word, VIEW("MOVED"))))
        return REDIS_STAY;
    while (colon > 0 && rest.data[colon - 1] != ':')
        colon--;
    if (number_parse(slot, &number) != 0 || number >= SLOTS || colon == 0 ||
        !take_port(&port, view_of(rest.data + colon, rest.length - colon)))
        return REDIS_NONSENSE;
    if (colon == 1)
        snprintf(host, sizeof(host), "%s", cluster_node(locate, locate->current).host);
    else if (!take_host(host, view_of(rest.data, colon - 1)))
        return REDIS_NONSENSE;
    if (++locate->redirects > REDIS_REDIRECTS_MAX)
        return REDIS_ENDLESS;
    cluster_learn(locate, host, port);
    locate->is_asking = asks;
    return REDIS_FOLLOW;
}

void redis_locate_settle(struct redis_locate *locate)
{
    locate->redirects = 0;
}

void redis_locate_fail(struct redis_locate *locate)
{
    const struct exporter_redis *settings = locate->settings;

    assert(locate->magic == LOCATE_MAGIC);
    if (settings->topology == REDIS_SENTINEL && locate->has_master && !locate->is_proven)
        reorder(locate, locate->position, settings->node_count - 1);
    if (settings->topology == REDIS_CLUSTER)
        locate->current = (locate->current + 1) % cluster_count(locate);
    locate->is_asking = false;
}
