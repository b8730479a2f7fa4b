/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of files and pipes, of any length. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exporters/line_reader.h"
#include "exporters/record.h"

static int file_of(const char *text, size_t length)
{
    int descriptor = memfd_create("lines", 0);

    cr_assert(descriptor != -1 && pwrite(descriptor, text, length, 0) == (ssize_t)length);
    return descriptor;
}

Test(line_reader, lines_and_the_rest_of_a_file_that_grows)
{
    struct line_reader reader;
    struct view text;
    int descriptor = file_of("one\n\nthree\nfo", 13);
    line_reader_open(&reader, descriptor);
    cr_assert_eq(line_reader_next(&reader, &text), LINE_WHOLE);
    cr_assert(view_equal_string(text, "one"));
    cr_assert_eq(line_reader_next(&reader, &text), LINE_WHOLE);
    cr_assert_eq(text.length, 0);
    cr_assert_eq(reader.number, 2);
    cr_assert_eq(line_reader_next(&reader, &text), LINE_WHOLE);
    cr_assert_eq(reader.offset, 5);
    cr_assert_eq(line_reader_next(&reader, &text), LINE_END);
    cr_assert(view_equal_string(line_reader_rest(&reader), "fo"));
    cr_assert_eq(line_reader_next(&reader, &text), LINE_END);
    cr_assert_eq(pwrite(descriptor, "ur\n", 3, 13), 3);
    cr_assert_eq(line_reader_next(&reader, &text), LINE_WHOLE);
    cr_assert(view_equal_string(text, "four"));
    cr_assert_eq(reader.number, 4);
    line_reader_close(&reader);
    close(descriptor);
}

/* Eight tebibytes of nothing: who can write a name into the directory must not keep a reader busy. */
Test(line_reader, a_hole_is_not_read, .timeout = 20)
{
    const off_t size = (off_t)8 << 40;
    struct line_reader reader;
    struct view line;
    int descriptor = file_of("one\n", 4);
    cr_assert_eq(pwrite(descriptor, "\nnext\n", 6, size), 6);
    cr_assert_eq(ftruncate(descriptor, 2 * size), 0);
    line_reader_open(&reader, descriptor);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_WHOLE);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_TOO_LONG);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_WHOLE);
    cr_assert(view_equal_string(line, "next"));
    cr_assert_eq(reader.offset, (uint64_t)size + 1);
    cr_assert_eq(reader.number, 3);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_TOO_LONG);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_END);
    cr_assert_eq(pwrite(descriptor, "end\nlast\n", 9, 2 * size), 9);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_WHOLE);
    cr_assert(view_equal_string(line, "last"));
    line_reader_close(&reader);
    close(descriptor);
}

Test(line_reader, a_line_that_is_too_long_is_said_once_and_skipped)
{
    size_t length = 3 * RECORD_LINE_MAX;
    char *text = malloc(length + 6);
    struct line_reader reader;
    struct view line;
    memset(text, 'x', length);
    memcpy(text + length, "\nnext\n", 6);
    int descriptor = file_of(text, length + 6);
    line_reader_open(&reader, descriptor);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_TOO_LONG);
    cr_assert_lt(line.length, 1000);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_WHOLE);
    cr_assert(view_equal_string(line, "next"));
    cr_assert_eq(reader.number, 2);
    cr_assert_eq(reader.offset, length + 1);
    cr_assert_lt(reader.buffer.capacity, 4 * RECORD_LINE_MAX);
    line_reader_close(&reader);
    close(descriptor);
    free(text);
}

Test(line_reader, the_longest_line_is_whole)
{
    char *text = malloc(RECORD_LINE_MAX + 1);
    struct line_reader reader;
    struct view line;
    memset(text, 'x', RECORD_LINE_MAX);
    text[RECORD_LINE_MAX] = '\n';
    int descriptor = file_of(text, RECORD_LINE_MAX + 1);
    line_reader_open(&reader, descriptor);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_WHOLE);
    cr_assert_eq(line.length, RECORD_LINE_MAX);
    cr_assert_eq(line_reader_next(&reader, &line), LINE_END);
    line_reader_close(&reader);
    close(descriptor);
    free(text);
}

Test(line_reader, what_can_not_be_read)
{
    struct line_reader reader;
    struct view line;
    line_reader_open(&reader, open("/", O_RDONLY | O_DIRECTORY));
    cr_assert_eq(line_reader_next(&reader, &line), LINE_FAILED);
    close(reader.descriptor);
    line_reader_close(&reader);
}
