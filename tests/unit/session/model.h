/* SPDX-License-Identifier: Apache-2.0 */
/* A session between two peers that do whatever a source of choices says, held against a simple reference of
 * what each side may see. No test framework: the unit tests drive it with seeds, a fuzzer with its input. */
#ifndef MQWARD_TESTS_UNIT_SESSION_MODEL_H
#define MQWARD_TESTS_UNIT_SESSION_MODEL_H

#include "choices.h"
#include "proxy/mqtt/mqtt.h"

/* Which lives are led. Zeros: all kinds. */
struct model_options {
    enum mqtt_version version;                     /* 0: any */
    bool monitor;                                  /* only policies that block nothing */
    bool any_order;                                /* only brokers that answer in any order, as some do */
    unsigned ids;                                  /* packet identifiers in use, 1 to ids; 0: twelve */
    void (*fail)(void *context, const char *text); /* must not return */
    void *context;
};

struct model;

/* NULL if a policy of the model does not compile; the messages are printed. */
struct model *model_new(const struct model_options *options);
void model_free(struct model *model); /* NULL is fine */

/* One life: a client and a broker with what they remember, and their connections through the proxy, one after
 * the other. Returns the number of steps (packets handed in). seed: for the report of a failure; 0: none. */
unsigned model_life(struct model *model, struct choices choices, uint64_t seed);

/* One connection on which both sides use all of their packet identifiers at a time, twice. Returns the steps.
 */
unsigned model_every_id(
    struct model *model, enum mqtt_version version, struct choices choices, uint64_t seed);

#endif
