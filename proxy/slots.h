/* SPDX-License-Identifier: Apache-2.0 */
/* Which counters stand for which name. Rules come and go with policies, and counters of workers must not be
 * reset: a name has the same slot in every policy that has it, and keeps it as long as the slots last. Then
 * the name that has been gone for longest makes room, and what it counted moves to SESSION_SLOT_OTHER, as
 * does what a name counts that finds no room. All on the main thread. */
#ifndef MQWARD_PROXY_SLOTS_H
#define MQWARD_PROXY_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slots;

/* results: numbers of a slot, SLOTS_RESULTS_MAX at most. */
#define SLOTS_RESULTS_MAX 4
/* Adds up what all threads have counted in a slot. */
typedef void slots_read(void *context, uint16_t slot, uint64_t *results);

/* count: of all slots, those below SESSION_SLOT_FIRST among them. */
struct slots *slots_new(uint16_t count, size_t results, slots_read *read, void *context);
void slots_free(struct slots *slots); /* NULL is fine */

/* The slot of a name for whoever counts in it until slots_give(). kind: of the name, a literal; two kinds may
 * have one name. */
uint16_t slots_take(struct slots *slots, const char *kind, const char *name);
/* Nobody counts in it any more on behalf of this slots_take(). */
void slots_give(struct slots *slots, uint16_t slot);

/* The names that are in use, in the order of their slots: *next is 0 at first; false: no more. results: what
 * they have counted. */
struct slots_entry {
    const char *kind, *name;
    uint64_t results[SLOTS_RESULTS_MAX];
};
bool slots_next(const struct slots *slots, uint16_t *next, struct slots_entry *entry);
/* The same of SESSION_SLOT_NONE and SESSION_SLOT_OTHER; kind and name are NULL. */
void slots_fixed(const struct slots *slots, uint16_t slot, struct slots_entry *entry);

#endif
