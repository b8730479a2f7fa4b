/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the file of the verification key. Called by chain_writer.c (draws one for a chain that begins) and by
 * the command line. */
#include "exporters/chain_key.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/private_file.h"
#include "base/secret.h"

#define KEY_HEADER "mqward-chain-key-1 "
#define KEY_LINE (sizeof(KEY_HEADER) - 1 + 2 * (size_t)CHAIN_KEY_SIZE + 1)
#define KEY_FILE_MAX 4096 /* of what may be taken for one: it is said what it is not */

int chain_key_draw(uint8_t key[CHAIN_KEY_SIZE])
{
    return getentropy(key, CHAIN_KEY_SIZE);
}

static int key_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The newline may be missing: people copy such lines by hand. */
static bool key_parse(const char *text, size_t length, uint8_t key[CHAIN_KEY_SIZE])
{
    const size_t header = sizeof(KEY_HEADER) - 1;

    if (length == KEY_LINE && text[length - 1] == '\n')
        length--;
    if (length != KEY_LINE - 1 || memcmp(text, KEY_HEADER, header) != 0)
        return false;
    for (size_t i = 0; i < CHAIN_KEY_SIZE; i++) {
        int high = key_digit(text[header + 2 * i]), low = key_digit(text[header + 2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

int chain_key_read(
    const char *path, uint8_t key[CHAIN_KEY_SIZE], bool *missing, char *error, size_t error_size)
{
    struct private_file_error reason;
    char text[KEY_FILE_MAX];
    ssize_t length = private_file_read(path, text, sizeof(text), &reason);
    bool read = length >= 0 && key_parse(text, (size_t)length, key);

    secret_wipe(text, sizeof(text));
    if (missing != NULL)
        *missing = length < 0 && reason.missing;
    if (read)
        return 0;
    if (length < 0)
        snprintf(error, error_size, "%s: %s%s%s", path, reason.message, reason.hint == NULL ? "" : ": ",
            reason.hint == NULL ? "" : reason.hint);
    else
        snprintf(error, error_size, "%s: it is no verification key (" KEY_HEADER "and 64 hexadecimal digits)",
            path);
    return -1;
}

int chain_key_write(const char *path, const uint8_t key[CHAIN_KEY_SIZE], char *error, size_t error_size)
{
    static const char digits[] = "0123456789abcdef";
    char text[KEY_LINE] = KEY_HEADER, *at = text + sizeof(KEY_HEADER) - 1;

    for (size_t i = 0; i < CHAIN_KEY_SIZE; i++) {
        *at++ = digits[key[i] >> 4];
        *at++ = digits[key[i] & 15];
    }
    *at = '\n';
    int status = private_file_make(path, text, sizeof(text)), saved = errno;
    secret_wipe(text, sizeof(text));
    if (status == -1)
        snprintf(error, error_size, "%s: %s", path, strerror(saved));
    errno = saved;
    return status;
}
