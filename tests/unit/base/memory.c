/* SPDX-License-Identifier: Apache-2.0 */
/* Memory, arenas and buffers. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/memory.h"
#include "check.h"

Test(memory, allocates_zeroes_and_never_null)
{
    uint8_t *memory = memory_calloc(100, 3), *nothing = memory_calloc(0, 8), *again;

    for (int i = 0; i < 300; i++)
        cr_assert_eq(memory[i], 0);
    cr_assert_not_null(nothing);
    again = memory_realloc(nothing, 0, 8);
    cr_assert_not_null(again);
    free(again);
    free(memory);
}

Test(memory, aborts_when_a_product_overflows, .signal = SIGABRT)
{
    free(memory_realloc(NULL, SIZE_MAX / 2, 3));
}

Test(memory, copies_strings_with_inner_nul)
{
    char *copy = memory_copy_string(VIEW("a\0b")), *empty = memory_copy_string((struct view){NULL, 0});

    cr_assert_arr_eq(copy, "a\0b\0", 4);
    cr_assert_str_eq(empty, "");
    free(copy);
    free(empty);
}

Test(memory, formats)
{
    char *text = memory_format("%s-%d", "x", 42);

    cr_assert_str_eq(text, "x-42");
    free(text);
}

Test(arena, gives_zeroed_aligned_pieces_that_do_not_overlap)
{
    struct arena *arena = arena_new();
    uint8_t *pieces[500];
    uint64_t state = 1;
    size_t sizes[500];

    for (size_t i = 0; i < 500; i++) {
        sizes[i] = check_random(&state) % (i % 50 == 0 ? 100000 : 300);
        pieces[i] = arena_alloc(arena, sizes[i]);
        CHECK((uintptr_t)pieces[i] % _Alignof(max_align_t) == 0);
        for (size_t k = 0; k < sizes[i]; k++)
            CHECK(pieces[i][k] == 0);
        memset(pieces[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            CHECK(pieces[i][k] == (uint8_t)i);
    arena_free(arena);
}

Test(arena, copies_and_formats)
{
    struct arena *arena = arena_new();
    struct view copy = arena_copy(arena, VIEW("topic"));

    cr_assert(view_equal(copy, VIEW("topic")));
    cr_assert_eq(copy.data[5], 0);
    cr_assert_eq(arena_copy(arena, (struct view){NULL, 0}).length, 0);
    cr_assert_str_eq(arena_copy_string(arena, VIEW("a")), "a");
    cr_assert_str_eq(arena_format(arena, "%s:%d", "f", 7), "f:7");
    cr_assert_geq(arena_used(arena), 12);
    arena_free(arena);
    arena_free(NULL);
}

Test(arena, aborts_when_a_product_overflows, .signal = SIGABRT)
{
    arena_calloc(arena_new(), SIZE_MAX / 2, 3);
}

Test(arena, one_that_knows_its_size_holds_more_all_the_same)
{
    struct arena *arena = arena_new_of(1);

    for (size_t i = 1; i < 3000; i *= 3) {
        uint8_t *memory = arena_alloc(arena, i);
        for (size_t k = 0; k < i; k++)
            cr_assert_eq(memory[k], 0);
        memset(memory, 0xFF, i);
    }
    arena_free(arena);
    arena = arena_new_of(SIZE_MAX); /* no more than any other has at once */
    cr_expect_not_null(arena_alloc(arena, 16));
    arena_free(arena);
}

/* A queue of a running number: what comes out is what went in, whatever the sizes of the steps. */
Test(buffer, is_a_queue_at_every_size_of_step)
{
    struct buffer buffer = {0};
    uint8_t in = 0, out = 0;
    uint64_t state = 7;

    for (int step = 0; step < 20000; step++) {
        size_t count = check_random(&state) % 700, taken = check_random(&state) % 700;
        uint8_t *room = buffer_reserve(&buffer, count);
        for (size_t i = 0; i < count; i++)
            room[i] = in++;
        buffer.end += count;
        taken = taken > buffer_length(&buffer) ? buffer_length(&buffer) : taken;
        struct view v = buffer_view(&buffer);
        for (size_t i = 0; i < taken; i++)
            CHECK(v.data[i] == out++);
        buffer_consume(&buffer, taken);
    }
    buffer_release(&buffer);
    cr_assert_null(buffer.data);
    cr_assert_eq(buffer_length(&buffer), 0);
}

Test(buffer, does_not_grow_when_it_is_consumed)
{
    struct buffer buffer = {0};

    for (int i = 0; i < 100000; i++) {
        buffer_append(&buffer, VIEW("0123456789"));
        if (i > 10)
            buffer_consume(&buffer, 10);
    }
    cr_assert_leq(buffer.capacity, 1024);
    buffer_release(&buffer);
}

Test(buffer, appends_and_formats)
{
    struct buffer buffer = {0};
    char longer[1000];

    memset(longer, 'x', sizeof(longer));
    buffer_append_byte(&buffer, 'a');
    buffer_append(&buffer, VIEW("bc"));
    buffer_append(&buffer, (struct view){NULL, 0});
    buffer_format(&buffer, "%d", 42);
    cr_assert(view_equal(buffer_view(&buffer), VIEW("abc42")));
    buffer_format(&buffer, "%.*s", (int)sizeof(longer), longer);
    cr_assert_eq(buffer_length(&buffer), 1005);
    cr_assert(view_equal(view_skip(buffer_view(&buffer), 5), view_of(longer, sizeof(longer))));
    buffer_clear(&buffer);
    cr_assert_eq(buffer_length(&buffer), 0);
    cr_assert_gt(buffer.capacity, 0);
    buffer_release(&buffer);
    buffer_append(&buffer, VIEW("again"));
    cr_assert(view_equal(buffer_view(&buffer), VIEW("again")));
    buffer_release(&buffer);
}

Test(buffer, refuses_to_consume_more_than_it_has, .signal = SIGABRT)
{
    struct buffer buffer = {0};

    buffer_consume(&buffer, 1);
}
