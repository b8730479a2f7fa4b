/* SPDX-License-Identifier: Apache-2.0 */
/* Which counters a snapshot's rules, checks and rule sets have. Called by server.c and server_loop.c. */
#include "base/arena.h"
#include "proxy/service.h"
#include "proxy/slots.h"

/* False: it has none still. Workers that count there at this moment do so in the one or the other. */
static bool take_slot(struct slots *slots, const char *kind, const char *name, _Atomic uint16_t *taken)
{
    if (atomic_load_explicit(taken, memory_order_relaxed) == SESSION_SLOT_OTHER)
        atomic_store_explicit(taken, slots_take(slots, kind, name), memory_order_relaxed);
    return atomic_load_explicit(taken, memory_order_relaxed) != SESSION_SLOT_OTHER;
}

/* Checks come first: they are few. False: former policies have what some of them want. */
static bool take_rules(struct snapshot *snapshot)
{
    size_t count = policy_rule_info_count(snapshot->policy), checks = policy_check_count(snapshot->policy);
    bool all = true;

    for (size_t i = 0; i < count && i < SESSION_RULES_COUNTED; i++) {
        bool check = i < checks;
        size_t index = check ? count - checks + i : i - checks;
        const char *name = policy_rule_info_at(snapshot->policy, index)->name;

        all =
            take_slot(snapshot->rule_slots, check ? "check" : "rule", name, &snapshot->taken_rules[index]) &&
            all;
    }
    return all;
}

static bool take_sets(struct snapshot *snapshot)
{
    bool all = true;

    for (size_t i = 0; i < SCAN_SETS_MAX; i++) {
        struct session_set_slot *set = &snapshot->taken_sets[i];

        if (set->name != NULL)
            all = take_slot(snapshot->set_slots, "set", set->name, &set->slot) && all;
    }
    return all;
}

/* None has a slot yet. */
static void begin_rules(struct snapshot *snapshot)
{
    size_t count = policy_rule_info_count(snapshot->policy);

    snapshot->taken_rules = arena_calloc(snapshot->arena, count + 1, sizeof(snapshot->taken_rules[0]));
    for (size_t i = 0; i < count; i++)
        atomic_init(&snapshot->taken_rules[i], SESSION_SLOT_OTHER);
}

static void begin_sets(struct snapshot *snapshot)
{
    const struct config *config = snapshot->config;

    snapshot->taken_sets = arena_calloc(snapshot->arena, SCAN_SETS_MAX, sizeof(snapshot->taken_sets[0]));
    for (size_t i = 0; i < config->rules_count && snapshot->scan_rules != NULL; i++) {
        const char *name = config->rules[i].name;
        uint64_t bit = scan_rules_set(snapshot->scan_rules, name);

        if (bit != 0) {
            snapshot->taken_sets[__builtin_ctzll(bit)].name = name;
            atomic_init(&snapshot->taken_sets[__builtin_ctzll(bit)].slot, SESSION_SLOT_OTHER);
        }
    }
}

void snapshot_take_slots(struct snapshot *snapshot, struct slots *rules, struct slots *sets)
{
    snapshot->rule_slots = rules;
    snapshot->set_slots = sets;
    begin_rules(snapshot);
    begin_sets(snapshot);
    snapshot_retake_slots(snapshot);
    snapshot->slots = (struct session_slots){snapshot->taken_rules, snapshot->taken_sets};
    for (size_t i = 0; i < snapshot->config->listener_count; i++)
        snapshot->services[i].session.slots = snapshot->slots;
}

void snapshot_retake_slots(struct snapshot *snapshot)
{
    bool rules = snapshot->has_all_slots || take_rules(snapshot);
    bool sets = snapshot->has_all_slots || take_sets(snapshot);

    snapshot->has_all_slots = rules && sets;
}

void snapshot_give_slots(struct snapshot *snapshot)
{
    if (snapshot->rule_slots == NULL)
        return;
    for (size_t i = 0; i < policy_rule_info_count(snapshot->policy); i++)
        slots_give(snapshot->rule_slots, snapshot->taken_rules[i]);
    for (size_t i = 0; i < SCAN_SETS_MAX; i++)
        if (snapshot->taken_sets[i].name != NULL)
            slots_give(snapshot->set_slots, snapshot->taken_sets[i].slot);
}
