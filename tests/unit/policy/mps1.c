/* SPDX-License-Identifier: Apache-2.0 */
/* A signature's header: what is made of it, and that nothing but it is taken. mps1_mac.c in the same folder
 * tests the MAC against OpenSSL's own. */
#include "policy/mps1.h"

#include <stdlib.h>

#include "base/memory.h"
#include "mps1_support.h"
#include "support.h"

static const char *parse(struct view bytes)
{
    struct mps1_header header;
    const char *detail = NULL;
    enum reason reason = mps1_parse(bytes, &header, &detail);

    CHECK((detail == NULL) == (reason == REASON_none), "%s without a detail", reason_info(reason)->name);
    return reason_info(reason)->name;
}

static const char *parse_text(struct view text)
{
    uint8_t space[MPS1_HEADER_MAX];
    struct mps1_header header;
    const char *detail = NULL;
    enum reason reason = mps1_parse_property(text, space, &header, &detail);

    CHECK((detail == NULL) == (reason == REASON_none), "%s without a detail", reason_info(reason)->name);
    return reason_info(reason)->name;
}

#define EXPECT(got, wanted, ...)                                                                             \
    do {                                                                                                     \
        const char *got_ = (got);                                                                            \
        if (strcmp(got_, wanted) != 0) {                                                                     \
            char where_[160];                                                                                \
            snprintf(where_, sizeof(where_), __VA_ARGS__);                                                   \
            cr_assert_fail("%s: %s, not %s", where_, got_, wanted);                                          \
        }                                                                                                    \
    } while (0)

/* ---- what is made ---- */

Test(mps1, every_line_of_the_signers_table_comes_out)
{
    struct mps1_table table = mps1_table_read();
    struct mps1_line line;
    size_t count = 0;

    while (mps1_table_next(&table, &line)) {
        uint8_t space[MPS1_HEADER_MAX], tag[MPS1_TAG_MAX];
        struct mps1_header made = line.header, read;
        const char *detail;
        struct mps1_key key;

        mps1_write(&made, space);
        mps1_key_init(&key, made.algorithm, line.key);
        mps1_mac(&key, made.covered, (made.flags & MPS1_PROPS) != 0, &line.message, tag);
        mps1_write_tag(&made, space, tag);
        CHECK(view_equal(view_of(space, made.length), line.bytes), "%s: another header", line.name);
        cr_assert_eq(mps1_parse(line.bytes, &read, &detail), REASON_none);
        CHECK(mps1_verify(&key, &read, &line.message), "%s: does not verify", line.name);
        CHECK(view_equal(read.kid, line.header.kid) && view_equal(read.sub, line.header.sub) &&
                  read.t_ms == line.header.t_ms && read.flags == line.header.flags &&
                  read.algorithm == line.header.algorithm && read.length == line.bytes.length &&
                  memcmp(read.nonce, line.header.nonce, MPS1_NONCE_SIZE) == 0,
            "%s: reads as something else", line.name);
        mps1_key_wipe(&key);
        count++;
    }
    cr_assert_geq(count, 30);
    mps1_table_free(&table);
}

/* The three of the specification, whose keys are derived or said there. */
Test(mps1, the_keys_of_the_specification)
{
    static const struct {
        unsigned algorithm;
        const char *kid, *sub, *key;
    } rows[] = {
        {5, "m25a", "plc-7", "4d745cdc0e80b9cfa5cf43c2793dda28e0c90714db7aec67dbe33e55af5f6da2"},
        {6, "m25a.2", "gw-1",
            "c867adcd2f5a264db145b5fb6a3f5eb8afb03851822b7d8b5511eb527a36c9296543037e767627bac80579011395342"
            "9"},
    };
    uint8_t master[32], secret[MPS1_TAG_MAX];

    for (size_t i = 0; i < sizeof(master); i++)
        master[i] = (uint8_t)i;
    for (size_t i = 0; i < 2; i++) {
        struct view key = mps1_hex(view_of_string(rows[i].key));

        mps1_derive(view_of(master, sizeof(master)), MPS1_DEVICE, rows[i].algorithm,
            view_of_string(rows[i].kid), view_of_string(rows[i].sub), secret);
        cr_assert(view_equal(key, view_of(secret, mps1_tag_size(rows[i].algorithm))));
        free((void *)(uintptr_t)key.data);
    }
}

Test(mps1, the_longest_header_fits_its_constants)
{
    static const uint8_t nonce[MPS1_NONCE_SIZE] = {0};
    char kid[MPS1_KID_MAX + 1] = "", sub[MPS1_SUB_MAX + 1] = "";
    struct mps1_signed message;

    memset(kid, 'k', MPS1_KID_MAX);
    memset(sub, 's', MPS1_SUB_MAX);
    message = mps1_make(MPS1_HMAC_SHA_512, kid, sub, 0, nonce, mps1_some_message());
    cr_assert_eq(message.header.length, MPS1_HEADER_MAX);
    cr_assert_eq(message.text_length, MPS1_PROPERTY_MAX);
    EXPECT(parse(view_of(message.bytes, MPS1_HEADER_MAX)), "none", "envelope");
    EXPECT(parse_text(view_of(message.text, message.text_length)), "none", "property");
    memset(message.text + message.text_length, 'A', 4);
    for (size_t more = 1; more <= 4; more++)
        EXPECT(
            parse_text(view_of(message.text, message.text_length + more)), "sig_malformed", "%zu more", more);
}

/* ---- names ---- */

Test(mps1, names_of_every_byte_and_length)
{
    static const char kid_bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    char longest[80];

    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t name[3] = {'a', (uint8_t)byte, 'b'};
        bool in_kid = byte != 0 && strchr(kid_bytes, (int)byte) != NULL;

        CHECK(mps1_kid_valid(view_of(name, 3)) == in_kid, "kid with %#x", byte);
        CHECK(
            mps1_sub_valid(view_of(name, 3)) == (in_kid || byte == ':' || byte == '@'), "sub with %#x", byte);
    }
    memset(longest, 'x', sizeof(longest));
    for (size_t length = 0; length <= sizeof(longest); length++) {
        cr_expect_eq(mps1_kid_valid(view_of(longest, length)), length >= 1 && length <= 32);
        cr_expect_eq(mps1_sub_valid(view_of(longest, length)), length >= 1 && length <= 64);
    }
}

/* ---- what is refused ---- */

Test(mps1, every_truncation_is_refused)
{
    struct mps1_table table = mps1_table_read();
    struct mps1_line line;

    while (mps1_table_next(&table, &line)) {
        char *text = mps1_encode(line.bytes);

        for (size_t length = 0; length < line.bytes.length; length++) {
            struct view cut = mps1_copy(view_of(line.bytes.data, length)); /* nothing behind it to read */

            EXPECT(parse(cut), "sig_malformed", "%s: %zu bytes", line.name, length);
            free((void *)(uintptr_t)cut.data);
        }
        for (size_t length = 0; length < strlen(text); length++)
            EXPECT(
                parse_text(view_of(text, length)), "sig_malformed", "%s: %zu characters", line.name, length);
        EXPECT(parse_text(view_of_string(text)), "none", "%s", line.name);
        free(text);
    }
    mps1_table_free(&table);
}

/* The same with a length that fits what is left: no part is looked for behind the end. */
Test(mps1, every_truncation_with_a_length_to_match_is_refused)
{
    struct mps1_signed message = mps1_some_signed();

    for (size_t size = 8; size < message.header.length; size++)
        for (size_t length = 0; length <= size; length++) {
            struct view cut = mps1_copy(view_of(message.bytes, size));

            ((uint8_t *)(uintptr_t)cut.data)[6] = 0;
            ((uint8_t *)(uintptr_t)cut.data)[7] = (uint8_t)length;
            EXPECT(parse(cut), "sig_malformed", "%zu bytes that say %zu", size, length);
            free((void *)(uintptr_t)cut.data);
        }
}

/* What each value of each byte of V1's header makes of it. kid at 33, sub at 38, the tag's length at 44. */
static const char *value_means(size_t offset, unsigned value, unsigned original)
{
    const uint8_t byte = (uint8_t)value;

    if (value == original)
        return "none";
    if (offset == 4)
        return "sig_version";
    if (offset == 5) /* the others' tags are longer */
        return value >= 5 && value <= 7 ? "sig_malformed" : "sig_alg";
    if (offset == 8) /* SEQ: the nonce is no counter below 2^48 */
        return value < 0x20 && (value & MPS1_SEQ) == 0 ? "none" : "sig_malformed";
    if (offset >= 9 && offset < 33)
        return "none";
    if (offset >= 34 && offset < 38)
        return mps1_kid_valid(view_of(&byte, 1)) ? "none" : "sig_malformed";
    if (offset >= 39 && offset < 44)
        return mps1_sub_valid(view_of(&byte, 1)) ? "none" : "sig_malformed";
    return offset >= 45 ? "none" : "sig_malformed";
}

Test(mps1, every_value_of_every_byte)
{
    struct mps1_signed message = mps1_some_signed();
    uint8_t bytes[MPS1_HEADER_MAX + 300] = {0}; /* with a payload, which a wrong length may reach into */

    memcpy(bytes, message.bytes, message.header.length);
    for (size_t offset = 0; offset < message.header.length; offset++)
        for (unsigned value = 0; value < 256; value++) {
            const char *wanted = value_means(offset, value, message.bytes[offset]);
            char *text;

            bytes[offset] = (uint8_t)value;
            EXPECT(parse(view_of(bytes, sizeof(bytes))), wanted, "byte %zu = %#x", offset, value);
            text = mps1_encode(view_of(bytes, message.header.length));
            EXPECT(parse_text(view_of_string(text)), wanted, "property: byte %zu = %#x", offset, value);
            free(text);
            bytes[offset] = message.bytes[offset];
        }
}

Test(mps1, a_counter_is_below_2_to_the_48)
{
    for (unsigned byte = 8; byte < 16; byte++) {
        uint8_t nonce[MPS1_NONCE_SIZE] = {[0 ... 7] = 0xff};
        struct mps1_signed message;

        nonce[byte] = 1;
        message = mps1_make(MPS1_HMAC_SHA_256, "m25a", "plc-7", MPS1_SEQ, nonce, mps1_some_message());
        EXPECT(parse(view_of(message.bytes, message.header.length)), byte < 10 ? "sig_malformed" : "none",
            "byte %u", byte);
    }
}

Test(mps1, an_envelope_is_known_by_four_bytes)
{
    static const uint8_t magic[] = {0xFF, 'M', 'P', 'S', 1};

    for (size_t length = 0; length <= sizeof(magic); length++)
        cr_expect_eq(mps1_has_envelope(view_of(magic, length)), length >= 4);
    cr_expect_not(mps1_has_envelope(view_of(NULL, 0)));
    cr_expect_not(mps1_has_envelope(VIEW("MPS1")));
}

/* ---- the User Property ---- */

/* No two texts are one header: of all texts that differ from the right one in a character, none is refused
 * as a whole and means the same. */
Test(mps1, a_header_has_one_text)
{
    struct mps1_signed message = mps1_some_signed();
    uint8_t space[MPS1_HEADER_MAX];
    struct mps1_header header;
    const char *detail;

    for (size_t i = 0; i < message.text_length; i++)
        for (unsigned value = 0; value < 256; value++) {
            char text[MPS1_PROPERTY_MAX + 1];

            if ((char)value == message.text[i])
                continue;
            memcpy(text, message.text, message.text_length);
            text[i] = (char)value;
            if (mps1_parse_property(view_of(text, message.text_length), space, &header, &detail) ==
                REASON_none)
                CHECK(memcmp(space, message.bytes, message.header.length) != 0, "character %zu = %#x", i,
                    value);
        }
}

/* Headers of each length modulo 3, so that 0, 2 and 4 bits are left over. */
Test(mps1, the_text_is_unpadded_and_nothing_is_around_it)
{
    static const char *const subs[] = {"p", "pl", "plc"};
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const char *const tails[] = {"=", "==", "A", "AA", "AAA", "AAAA", "\n", " ", "\r\n"};
    static const uint8_t nonce[MPS1_NONCE_SIZE] = {0};

    for (size_t i = 0; i < 3; i++) {
        struct mps1_signed message =
            mps1_make(MPS1_HMAC_SHA_256, "m25a", subs[i], 0, nonce, mps1_some_message());
        char text[MPS1_PROPERTY_MAX + 8], last = message.text[message.text_length - 1];
        unsigned taken = 0;

        EXPECT(parse_text(view_of(message.text, message.text_length)), "none", "%s", subs[i]);
        for (size_t tail = 0; tail < sizeof(tails) / sizeof(tails[0]); tail++) {
            snprintf(text, sizeof(text), "%.*s%s", (int)message.text_length, message.text, tails[tail]);
            EXPECT(parse_text(view_of_string(text)), "sig_malformed", "%s and '%s'", subs[i], tails[tail]);
            snprintf(text, sizeof(text), "%s%.*s", tails[tail], (int)message.text_length, message.text);
            EXPECT(parse_text(view_of_string(text)), "sig_malformed", "'%s' and %s", tails[tail], subs[i]);
        }
        for (const char *c = alphabet; *c != '\0'; c++) {
            message.text[message.text_length - 1] = *c;
            taken += strcmp(parse_text(view_of(message.text, message.text_length)), "none") == 0;
        }
        message.text[message.text_length - 1] = last;
        cr_assert_eq(taken, message.header.length % 3 == 1 ? 4 : message.header.length % 3 == 2 ? 16 : 64);
    }
}
