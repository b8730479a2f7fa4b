/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of secrets of signature keys. Called by keyring.c. */
#include "policy/key_secret.h"

#include <ctype.h>
#include <stdio.h>

#include "base/secret.h"

#define FILE_SIZE_MAXIMUM 4096 /* KEY_SECRET_MAX as hex, in short lines */
/* Of 32 random bytes about 30 differ; that fewer than 12 do has a chance of about 10^-14. */
#define DISTINCT_MINIMUM 12

static ssize_t fail(struct private_file_error *error, const char *hint, const char *message)
{
    snprintf(error->message, sizeof(error->message), "%s", message);
    error->hint = hint;
    return -1;
}

/* ---- text to bytes ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (uint8_t)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static ssize_t decode_hex(struct view text, uint8_t *out, size_t size, struct private_file_error *error)
{
    size_t length = 0, i = 0;

    while (i < text.length) {
        if (is_blank(text.data[i])) {
            i++;
            continue;
        }
        if (hex_value(text.data[i]) < 0)
            return fail(error, "such as from 'mqward keys new'; or set 'format'",
                "it holds something else than hex digits");
        if (i + 1 == text.length || hex_value(text.data[i + 1]) < 0)
            return fail(error, NULL, "a hex digit lacks the other one of its byte");
        if (length == size)
            return fail(error, NULL, "the secret is longer than 512 bytes");
        out[length++] = (uint8_t)(hex_value(text.data[i]) << 4 | hex_value(text.data[i + 1]));
        i += 2;
    }
    return (ssize_t)length;
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 section 4, with its padding; the bits that stand for nothing are zero. */
static ssize_t decode_base64(struct view text, uint8_t *out, size_t size, struct private_file_error *error)
{
    size_t length = 0, characters = 0, padding = 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < text.length; i++) {
        int value = base64_value(text.data[i]);

        if (is_blank(text.data[i]))
            continue;
        characters++;
        if (text.data[i] == '=') {
            padding++;
            continue;
        }
        if (value < 0 || padding > 0)
            return fail(error, "such as from 'openssl rand -base64 32'; or set 'format'",
                "it holds something else than base64");
        bits = (bits << 6 | (uint32_t)value) & 0xFFFFFF;
        if (characters % 4 == 1)
            continue;
        if (length == size)
            return fail(error, NULL, "the secret is longer than 512 bytes");
        out[length++] = (uint8_t)(bits >> (6 - 2 * ((characters - 1) % 4)));
    }
    unsigned left = padding == 1 ? 2 : padding == 2 ? 4 : 0;
    if (characters % 4 != 0 || padding > 2 || (bits & ((1U << left) - 1)) != 0)
        return fail(error, NULL, "its base64 is cut off or damaged at the end");
    return (ssize_t)length;
}

static ssize_t copy_raw(struct view text, uint8_t *out, size_t size, struct private_file_error *error)
{
    if (text.length > size)
        return fail(error, NULL, "the secret is longer than 512 bytes");
    if (text.length > 0)
        memcpy(out, text.data, text.length);
    return (ssize_t)text.length;
}

ssize_t key_secret_read(const char *path, enum key_secret_format format, uint8_t secret[KEY_SECRET_MAX],
    struct private_file_error *error)
{
    static ssize_t (*const decoders[])(
        struct view text, uint8_t * out, size_t size, struct private_file_error * error) = {
        [KEY_SECRET_HEX] = decode_hex, [KEY_SECRET_BASE64] = decode_base64, [KEY_SECRET_RAW] = copy_raw};
    uint8_t *text = secret_map(FILE_SIZE_MAXIMUM);
    ssize_t length = private_file_read(path, text, FILE_SIZE_MAXIMUM, error);

    if (length >= 0)
        length = decoders[format](view_of(text, (size_t)length), secret, KEY_SECRET_MAX, error);
    secret_unmap(text, FILE_SIZE_MAXIMUM, FILE_SIZE_MAXIMUM);
    return length == 0 ? fail(error, NULL, "it is empty") : length;
}

/* ---- what can be guessed ---- */

static size_t count_distinct(struct view secret)
{
    bool seen[256] = {false};
    size_t count = 0;

    for (size_t i = 0; i < secret.length; i++) {
        count += !seen[secret.data[i]];
        seen[secret.data[i]] = true;
    }
    return count;
}

/* 00 01 02 ..., ff fe fd ..., 00 02 04 ...: also the master of the specification's examples. */
static bool is_sequence(struct view secret)
{
    for (size_t i = 2; i < secret.length; i++)
        if ((uint8_t)(secret.data[i] - secret.data[i - 1]) != (uint8_t)(secret.data[1] - secret.data[0]))
            return false;
    return true;
}

static bool is_repeated(struct view secret)
{
    for (size_t period = 1; period <= secret.length / 2; period++)
        if (memcmp(secret.data, secret.data + period, secret.length - period) == 0)
            return true;
    return false;
}

static bool is_text(struct view secret)
{
    for (size_t i = 0; i < secret.length; i++)
        if (!isprint(secret.data[i]) && !is_blank(secret.data[i]))
            return false;
    return true;
}

/* Keys that the specification of MPS1 publishes with its vectors. Each is told by its first bytes. */
static bool is_published(struct view secret)
{
    static const uint8_t known[][16] = {
        {0x4d, 0x74, 0x5c, 0xdc, 0x0e, 0x80, 0xb9, 0xcf, 0xa5, 0xcf, 0x43, 0xc2, 0x79, 0x3d, 0xda, 0x28},
        {0xc8, 0x67, 0xad, 0xcf, 0x2f, 0x5a, 0x26, 0x4d, 0xb1, 0x45, 0xb5, 0xfb, 0x6a, 0x3f, 0x5e, 0xb8},
        /* SHA-256("MPS1 test key 3") */
        {0xca, 0x60, 0xa6, 0x6a, 0xac, 0x64, 0xf6, 0x1a, 0xe3, 0x51, 0x84, 0xbe, 0x5a, 0x69, 0x2d, 0x81},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (view_starts_with(secret, view_of(known[i], sizeof(known[i]))))
            return true;
    return false;
}

const char *key_secret_weakness(struct view secret)
{
    if (is_sequence(secret))
        return "its bytes count up or down, or are all the same";
    if (is_published(secret))
        return "it is published, in the examples of MPS1";
    if (is_text(secret))
        return "it is text, as a password is";
    if (is_repeated(secret))
        return "it repeats a part of itself";
    return count_distinct(secret) < DISTINCT_MINIMUM ? "it has too few different bytes to be random" : NULL;
}
