/* SPDX-License-Identifier: Apache-2.0 */
/* Work on several threads: all of it, once; and rules that are loaded so are the same each time. */
#include "rules/parallel.h"

#include <criterion/criterion.h>
#include <stdatomic.h>

#include "machine.h"

#define MANY 5000

static void count(void *context, size_t i)
{
    atomic_uint *counts = context;

    atomic_fetch_add(&counts[i], 1);
}

Test(parallel, does_all_of_it_once)
{
    static atomic_uint counts[MANY + 1];
    static const size_t sizes[] = {0, 1, 2, PARALLEL_THREADS, MANY};

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        memset(counts, 0, sizeof(counts));
        parallel_each(sizes[k], count, counts);
        for (size_t i = 0; i <= MANY; i++)
            cr_assert_eq(counts[i], i < sizes[k] ? 1 : 0, "%zu of %zu", i, sizes[k]);
    }
}

Test(parallel, loads_the_same_each_time)
{
    char folder[FOLDER_SIZE];
    const char *path = folder;
    struct random random = {11};
    struct generated generated = {0};
    struct scan_source source = {.name = "set", .paths = &path, .path_count = 1};
    struct scan_rules *loaded[2];

    generate_realistic(&generated, &random, 300);
    folder_make(folder);
    folder_write(folder, "a.yar", buffer_view(&generated.text));
    generated_release(&generated);
    for (unsigned i = 0; i < 2; i++) {
        struct diag_list *diag = diag_list_new();
        source.place.source = diag_add_source(diag, "mqward.yaml");
        loaded[i] = scan_rules_load(&source, 1, diag);
        cr_assert_not_null(loaded[i]);
        diag_list_free(diag);
    }
    const struct scan_rules_stats a = scan_rules_stats(loaded[0]), b = scan_rules_stats(loaded[1]);
    cr_expect(a.rules == 300 && a.rules == b.rules && a.groups == b.groups && a.literals == b.literals);
    for (size_t group = 0; group < a.groups; group++) {
        const struct scan_rule *left[300], *right[300];
        size_t members = scan_rules_group(loaded[0], group, left, 300);
        cr_assert_eq(scan_rules_group(loaded[1], group, right, 300), members);
        for (size_t i = 0; i < members; i++)
            cr_expect_str_eq(left[i]->name, right[i]->name);
    }
    scan_rules_release(loaded[0]);
    scan_rules_release(loaded[1]);
    folder_remove(folder);
}
