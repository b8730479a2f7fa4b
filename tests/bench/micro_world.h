/* SPDX-License-Identifier: Apache-2.0 */
/* A worker as mqward has them, with one connection, whose client and broker are the benchmark: sockets of
 * this process. Nothing runs but what the benchmark turns, and time stands still, so that the same is done
 * each time. Owned by micro_world.c; needs micro_still.c and the linker's --wrap of dial_new and dial_free.
 */
#ifndef MQWARD_BENCH_MICRO_WORLD_H
#define MQWARD_BENCH_MICRO_WORLD_H

#include "policy/keyring.h"
#include "proxy/conn_internal.h"

/* Its client id, and its identity. */
#define WORLD_CLIENT "00042"

struct world_terms {
    const char *config; /* lines of mqward.yaml behind the usual ones */
    const char *rules;  /* rules:, checks: and the like: of the policy, behind its head */
    bool has_key;       /* there is a key of signatures, m25a */
    bool tls;           /* of the client's side */
    enum mqtt_version version;
};

struct world;

/* The connection is open. Prints why and exits if that can't be. */
struct world *world_new(const struct world_terms *terms);
void world_free(struct world *world);

/* Sends bytes as the client or as the broker, and turns the loop until the others have got as many bytes as
 * are named, no less: those that the other side gets, and those that come back. Not counted but for the
 * turns. */
void world_pass(struct world *world, bool from_client, struct view bytes, size_t passed, size_t answered);
/* What the broker (or the client) got last, whole. */
struct view world_arrived(const struct world *world, bool at_broker);
/* Over TLS, the client sends so many bytes in a record. Until then as many as fit. */
void world_set_record(struct world *world, size_t bytes);
/* What the client signs with. */
void world_key(const struct world *world, struct mps1_key *key);
/* What was told until now. Empties the ring. */
size_t world_told(struct world *world);

#endif
