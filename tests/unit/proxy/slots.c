/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: a name keeps its counters over any number of policies; when there are too many names, nothing that
 * was counted is lost or counted twice. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proxy/session/session_counters.h"
#include "proxy/slots.h"

#define COUNT 5 /* three of them for names */

/* Stands in for the counters of the workers. */
static uint64_t counted[COUNT][2];

static void read_counted(void *context, uint16_t slot, uint64_t *results)
{
    cr_assert_eq(context, counted);
    results[0] += counted[slot][0];
    results[1] += counted[slot][1];
}

static struct slots *new_slots(void)
{
    memset(counted, 0, sizeof(counted));
    return slots_new(COUNT, 2, read_counted, counted);
}

/* "kind:name=first/second ...", and the rest as "=first". */
static const char *show(const struct slots *slots, char text[512])
{
    struct slots_entry entry;
    uint16_t next = 0;
    size_t length = 0;

    while (slots_next(slots, &next, &entry))
        length += (size_t)snprintf(text + length, 512 - length, "%s:%s=%lu/%lu ", entry.kind, entry.name,
            (unsigned long)entry.results[0], (unsigned long)entry.results[1]);
    slots_fixed(slots, SESSION_SLOT_OTHER, &entry);
    snprintf(text + length, 512 - length, "=%lu/%lu", (unsigned long)entry.results[0],
        (unsigned long)entry.results[1]);
    return text;
}

#define EXPECT(slots, wanted)                                                                                \
    do {                                                                                                     \
        char text_[512];                                                                                     \
        cr_assert_str_eq(show(slots, text_), wanted);                                                        \
    } while (0)

Test(slots, a_name_has_one_slot_as_long_as_it_is_used)
{
    struct slots *slots = new_slots();
    uint16_t a = slots_take(slots, "rule", "a"), b = slots_take(slots, "check", "a");

    cr_assert_eq(a, SESSION_SLOT_FIRST);
    cr_assert_neq(a, b);
    counted[a][0] = 3;
    cr_assert_eq(slots_take(slots, "rule", "a"), a); /* the next policy has it, too */
    slots_give(slots, a);
    slots_give(slots, b);
    EXPECT(slots, "rule:a=3/0 =0/0");
    slots_free(slots);
}

Test(slots, a_name_that_comes_back_goes_on_counting)
{
    struct slots *slots = new_slots();
    uint16_t a = slots_take(slots, "rule", "a");

    counted[a][0] = 3;
    slots_give(slots, a);
    EXPECT(slots, "=0/0");
    slots_take(slots, "rule", "b");
    cr_assert_eq(slots_take(slots, "rule", "a"), a);
    counted[a][0] = 4;
    EXPECT(slots, "rule:a=4/0 rule:b=0/0 =0/0");
    slots_free(slots);
}

Test(slots, names_that_find_no_room_share_one)
{
    struct slots *slots = new_slots();

    slots_take(slots, "rule", "a");
    slots_take(slots, "rule", "b");
    slots_take(slots, "rule", "c");
    cr_assert_eq(slots_take(slots, "rule", "d"), SESSION_SLOT_OTHER);
    cr_assert_eq(slots_take(slots, "rule", "e"), SESSION_SLOT_OTHER);
    counted[SESSION_SLOT_OTHER][1] = 9;
    EXPECT(slots, "rule:a=0/0 rule:b=0/0 rule:c=0/0 =0/9");
    slots_give(slots, SESSION_SLOT_OTHER);
    slots_give(slots, SESSION_SLOT_OTHER);
    slots_free(slots);
}

Test(slots, the_name_that_is_gone_for_longest_makes_room_and_what_it_counted_stays)
{
    struct slots *slots = new_slots();
    uint16_t a = slots_take(slots, "rule", "a"), b = slots_take(slots, "rule", "b"),
             c = slots_take(slots, "rule", "c");

    counted[a][0] = 1;
    counted[b][0] = 10;
    counted[b][1] = 5;
    counted[c][0] = 100;
    slots_give(slots, b);
    slots_give(slots, a);
    cr_assert_eq(slots_take(slots, "rule", "d"), b);
    EXPECT(slots, "rule:d=0/0 rule:c=100/0 =10/5");
    counted[b][0] += 2; /* by d */
    EXPECT(slots, "rule:d=2/0 rule:c=100/0 =10/5");
    slots_give(slots, b);
    cr_assert_eq(slots_take(slots, "rule", "e"), a);
    cr_assert_eq(slots_take(slots, "rule", "f"), b);
    EXPECT(slots, "rule:e=0/0 rule:f=0/0 rule:c=100/0 =13/5");
    slots_free(slots);
}
