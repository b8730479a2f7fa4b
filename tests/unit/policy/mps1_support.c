/* SPDX-License-Identifier: Apache-2.0 */
#include "mps1_support.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/memory.h"
#include "support.h"

/* ---- bytes ---- */

struct view mps1_hex(struct view digits)
{
    uint8_t *bytes = memory_calloc(digits.length / 2 + 1, 1);

    for (size_t i = 0; i < digits.length; i++) {
        const char *known = "0123456789abcdef";
        const char *digit = strchr(known, digits.data[i]);

        cr_assert(digit != NULL && digits.length % 2 == 0, "no hexadecimal: %.*s", VIEW_ARGS(digits));
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (digit - known));
    }
    return view_of(bytes, digits.length / 2);
}

struct view mps1_copy(struct view bytes)
{
    uint8_t *copy = malloc(bytes.length); /* of 0 bytes, too */

    cr_assert(copy != NULL);
    memcpy(copy, bytes.data, bytes.length);
    return view_of(copy, bytes.length);
}

char *mps1_encode(struct view bytes)
{
    char *text = memory_calloc(bytes.length / 3 + 2, 4);

    EVP_EncodeBlock((uint8_t *)text, bytes.data, (int)bytes.length);
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    text[strcspn(text, "=")] = '\0';
    return text;
}

/* ---- signed messages ---- */

struct view mps1_secret(void)
{
    return VIEW("0123456789abcdef0123456789abcdef");
}

struct mps1_message mps1_some_message(void)
{
    return (struct mps1_message){.topic = VIEW("dt/a/plc-7/temp"),
        .content_type = VIEW("application/json"),
        .response_topic = VIEW("rsp/a/plc-7"),
        .correlation_data = VIEW("\x00\xff"),
        .payload = VIEW("{\"c\":21.5}")};
}

struct mps1_signed mps1_make(unsigned algorithm, const char *kid, const char *sub, unsigned flags,
    const uint8_t *nonce, struct mps1_message message)
{
    struct mps1_signed made = {.header = {.algorithm = (uint8_t)algorithm,
                                   .flags = (uint8_t)flags,
                                   .t_ms = UINT64_C(1750000000000),
                                   .kid = view_of_string(kid),
                                   .sub = view_of_string(sub)}};
    uint8_t tag[MPS1_TAG_MAX];
    struct mps1_key key;
    char *text;

    memcpy(made.header.nonce, nonce, MPS1_NONCE_SIZE);
    mps1_write(&made.header, made.bytes);
    mps1_key_init(&key, algorithm, mps1_secret());
    mps1_mac(&key, made.header.covered, (flags & MPS1_PROPS) != 0, &message, tag);
    mps1_write_tag(&made.header, made.bytes, tag);
    text = mps1_encode(view_of(made.bytes, made.header.length));
    made.text_length = strlen(text);
    memcpy(made.text, text, made.text_length);
    free(text);
    return made;
}

struct mps1_signed mps1_some_signed(void)
{
    uint8_t nonce[MPS1_NONCE_SIZE];

    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (uint8_t)(0xa0 + i);
    return mps1_make(MPS1_HMAC_SHA_256, "m25a", "plc-7", 0, nonce, mps1_some_message());
}

/* ---- the table ---- */

struct mps1_table mps1_table_read(void)
{
    struct mps1_table table = {.text = read_text(MQWARD_SOURCE_DIR "/tests/vectors/mps1/sign.tsv")};

    cr_assert_not_null(table.text);
    cr_assert_eq(*table.text, '#', "the first line names the columns");
    table.rest = strchr(table.text, '\n') + 1;
    return table;
}

static void forget_line(struct mps1_line *line)
{
    for (size_t i = 0; i < sizeof(line->owned) / sizeof(line->owned[0]); i++)
        free((void *)(uintptr_t)line->owned[i].data);
    *line = (struct mps1_line){.name = NULL};
}

/* The next field, NUL-terminated. */
static char *take_field(char **rest)
{
    char *field = strsep(rest, "\t");

    cr_assert(field != NULL && *field != '\0', "a field is missing");
    return strcmp(field, "-") == 0 ? field + 1 : field;
}

bool mps1_table_next(struct mps1_table *table, struct mps1_line *line)
{
    struct mps1_line *own = &table->line;
    char *rest;

    forget_line(own);
    if (*table->rest == '\0')
        return false;
    rest = strsep(&table->rest, "\n");
    own->name = take_field(&rest);
    own->header.algorithm = (uint8_t)strtoul(take_field(&rest), NULL, 10);
    own->header.flags = (uint8_t)strtoul(take_field(&rest), NULL, 10);
    own->header.kid = view_of_string(take_field(&rest));
    own->header.sub = view_of_string(take_field(&rest));
    own->header.t_ms = strtoull(take_field(&rest), NULL, 10);
    for (size_t i = 0; i < 8; i++)
        own->owned[i] = mps1_hex(view_of_string(take_field(&rest)));
    cr_assert(rest == NULL && own->owned[1].length == MPS1_NONCE_SIZE, "%s: other columns", own->name);
    own->key = own->owned[0];
    memcpy(own->header.nonce, own->owned[1].data, MPS1_NONCE_SIZE);
    own->message =
        (struct mps1_message){own->owned[2], own->owned[3], own->owned[4], own->owned[5], own->owned[6]};
    own->bytes = own->owned[7];
    *line = *own;
    return true;
}

void mps1_table_free(struct mps1_table *table)
{
    forget_line(&table->line);
    free(table->text);
}
