/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline gives what libyara gives: many payloads, many rules, both prefilters. MQWARD_SEED repeats
 * payloads. */
#include <criterion/criterion.h>

#include "../rounds.h"
#include "machine.h"

#define PAYLOADS 26000

/* number: of the rules, which are the same in each run; the payloads are others. */
static void run(const char *name, uint64_t number, bool automaton)
{
    struct machine machine;
    struct random random = {rounds_seed(name) + number};
    const size_t payloads = rounds_of(PAYLOADS);
    struct buffer payload = {0};

    machine_start(&machine, number, 55, automaton);
    cr_assert_geq(machine.rule_count, 500);
    for (size_t i = 0; i < payloads; i++) {
        unsigned set = random_below(&random, MACHINE_SETS);
        uint64_t sets = random_below(&random, 20) == 0 ? (1U << MACHINE_SETS) - 1 : 1U << set;
        size_t size = random_below(&random, 50) == 0 ? 6000 : random_below(&random, 200);
        generate_payload(&machine.generated[set], &random, size, &payload);
        struct scan_context context = machine_context(&random, buffer_length(&payload));
        machine_scan(&machine, sets, &context, buffer_view(&payload));
        /* Again: the memory of verdicts, or another context for the same bytes. */
        if (random_below(&random, 8) == 0) {
            context.qos = random_below(&random, 3);
            machine_scan(&machine, sets, &context, buffer_view(&payload));
        }
    }
    /* It compared something. */
    cr_assert_gt(machine.findings, machine.scans);
    cr_assert_lt(machine.errors, machine.scans / 100);
    buffer_release(&payload);
    machine_stop(&machine);
}

Test(differential, hyperscan)
{
    run("differential/hyperscan", 1, false);
}

Test(differential, hyperscan_of_other_rules)
{
    run("differential/hyperscan_of_other_rules", 2, false);
}

Test(differential, automaton)
{
    run("differential/automaton", 3, true);
}

Test(differential, automaton_of_other_rules)
{
    run("differential/automaton_of_other_rules", 4, true);
}
