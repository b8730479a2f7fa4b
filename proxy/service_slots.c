/* SPDX-License-Identifier: Apache-2.0 */
/* Which counters a snapshot's rules, checks and rule sets have. Called by server.c and server_loop.c. */
#include "base/arena.h"
#include "proxy/service.h"
#include "proxy/slots.h"

/* Checks come first: they are few. */
static const uint16_t *take_rules(struct snapshot *snapshot, struct slots *slots)
{
    size_t count = policy_rule_info_count(snapshot->policy), checks = policy_check_count(snapshot->policy);
    uint16_t *taken = arena_calloc(snapshot->arena, count + 1, sizeof(*taken));

    for (size_t i = 0; i < count; i++) {
        bool check = i < checks;
        size_t index = check ? count - checks + i : i - checks;
        const char *name = policy_rule_info_at(snapshot->policy, index)->name;

        taken[index] = i < SESSION_RULES_COUNTED ? slots_take(slots, check ? "check" : "rule", name)
                                                 : SESSION_SLOT_OTHER;
    }
    return taken;
}

static const struct session_set_slot *take_sets(struct snapshot *snapshot, struct slots *slots)
{
    const struct config *config = snapshot->config;
    struct session_set_slot *taken = arena_calloc(snapshot->arena, SCAN_SETS_MAX, sizeof(*taken));

    for (size_t i = 0; i < config->rules_count && snapshot->scan_rules != NULL; i++) {
        const char *name = config->rules[i].name;
        uint64_t bit = scan_rules_set(snapshot->scan_rules, name);

        if (bit != 0)
            taken[__builtin_ctzll(bit)] = (struct session_set_slot){name, slots_take(slots, "set", name)};
    }
    return taken;
}

void snapshot_take_slots(struct snapshot *snapshot, struct slots *rules, struct slots *sets)
{
    snapshot->rule_slots = rules;
    snapshot->set_slots = sets;
    snapshot->slots.rules = take_rules(snapshot, rules);
    snapshot->slots.sets = take_sets(snapshot, sets);
    for (size_t i = 0; i < snapshot->config->listener_count; i++)
        snapshot->services[i].session.slots = snapshot->slots;
}

void snapshot_give_slots(struct snapshot *snapshot)
{
    if (snapshot->rule_slots == NULL)
        return;
    for (size_t i = 0; i < policy_rule_info_count(snapshot->policy); i++)
        slots_give(snapshot->rule_slots, snapshot->slots.rules[i]);
    for (size_t i = 0; i < SCAN_SETS_MAX; i++)
        if (snapshot->slots.sets[i].name != NULL)
            slots_give(snapshot->set_slots, snapshot->slots.sets[i].slot);
}
