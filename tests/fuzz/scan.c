/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline against libyara (tests/unit/rules/machine.h). Input: the set (from 16 on all of them; with
 * 0x80 without Hyperscan), a byte that the context is drawn from, and the payload, in which 0xfe and two
 * bytes stand for something that one of the set's strings matches. */
#include "base/hash.h"
#include "machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_payload(const struct generated *generated, struct view input, struct buffer *payload)
{
    buffer_clear(payload);
    while (input.length > 0) {
        if (input.data[0] != 0xfe || input.length < 3) {
            buffer_append_byte(payload, input.data[0]);
            input = view_skip(input, 1);
            continue;
        }
        size_t seed = (size_t)input.data[1] << 8 | input.data[2];
        buffer_append(payload, buffer_view(&generated->seeds[seed % generated->seed_count]));
        input = view_skip(input, 3);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine machines[2];
    static struct buffer payload;

    if (size < 2)
        return 0;
    struct machine *machine = &machines[data[0] >> 7];
    if (machine->rules == NULL) {
        hash_initialize();
        machine_start(machine, 1, 55, data[0] >> 7);
    }
    unsigned set = data[0] & 15;
    uint64_t sets = (data[0] & 16) != 0 || set >= MACHINE_SETS ? (1U << MACHINE_SETS) - 1 : 1U << set;
    struct random random = {data[1]};
    make_payload(&machine->generated[set % MACHINE_SETS], view_of(data + 2, size - 2), &payload);
    struct scan_context context = machine_context(&random, buffer_length(&payload));
    machine_scan(machine, sets, &context, buffer_view(&payload));
    return 0;
}
