/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a trail, through the reader of lines: no crash, no line lost or made up, and nothing but an
 * untouched trail is without a finding. The first byte says how: with keys, of a copy, in any order. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exporters/line_reader.h"
#include "exporters/verify.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

static int file_of(struct view text)
{
    static int descriptor = -1;

    if (descriptor == -1)
        descriptor = memfd_create("trail", 0);
    check(descriptor != -1 && ftruncate(descriptor, 0) == 0 && lseek(descriptor, 0, SEEK_SET) == 0);
    check(pwrite(descriptor, text.data, text.length, 0) == (ssize_t)text.length);
    return descriptor;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[CHAIN_KEY_SIZE] = "the key of the trails in corpus";
    struct verify_options options = {0};
    struct line_reader reader;
    struct view line;
    size_t index = 0;
    uint64_t lines = 0, bytes = 0, kept = 0;

    if (size == 0)
        return 0;
    options.patience = 1 << 16;
    options.key = (data[0] & 1) != 0 ? key : NULL;
    options.repeats = (data[0] & 2) != 0;
    options.any_order = (data[0] & 4) != 0;
    struct verify *verify = verify_new(&options);
    line_reader_open(&reader, file_of(view_of(data + 1, size - 1)));
    for (enum line_read read; (read = line_reader_next(&reader, &line)) != LINE_END; lines++) {
        check(read == LINE_WHOLE || read == LINE_TOO_LONG);
        check(read == LINE_TOO_LONG || memchr(line.data, '\n', line.length) == NULL);
        check(reader.number == lines + 1 && reader.offset >= bytes);
        bytes = reader.offset + (read == LINE_WHOLE ? line.length + 1 : 0);
        if (read == LINE_WHOLE)
            verify_line(verify, "fuzz", reader.number, line);
        else
            verify_no_line(verify, "fuzz", reader.number, "too long");
    }
    check(bytes + line_reader_rest(&reader).length <= size - 1);
    line_reader_close(&reader);
    verify_finish(verify);
    while (verify_next_finding(verify, &index) != NULL)
        kept++;
    check(verify_summary(verify)->lines == lines);
    check((kept == 0) == (verify_summary(verify)->findings == 0));
    check(lines == 0 || kept > 0 || verify_summary(verify)->starts > 0);
    verify_free(verify);
    return 0;
}
