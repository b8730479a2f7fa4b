/* SPDX-License-Identifier: Apache-2.0 */
/* Tries mps1_sign() on the vectors: vectors sign.tsv
 *
 *   cc -o vectors vectors.c mps1_openssl.c -lcrypto */
#include <stdio.h>
#include <stdlib.h>

#include "mps1.h"

enum {
    NAME,
    ALGORITHM,
    FLAGS,
    KID,
    SUB,
    TIME,
    KEY,
    NONCE,
    TOPIC,
    CONTENT_TYPE,
    RESPONSE_TOPIC,
    CORRELATION,
    PAYLOAD,
    HEADER,
    FIELDS
};

/* Hex digits to bytes, in place and with a NUL behind them; "-" is nothing. */
static size_t decode(char *field)
{
    size_t length = 0;
    unsigned byte;

    for (; sscanf(field + 2 * length, "%2x", &byte) == 1; length++)
        field[length] = (char)byte;
    field[length] = '\0';
    return length;
}

static int try_line(char *line)
{
    char *field[FIELDS];
    size_t size[FIELDS] = {0}, made;
    uint8_t header[MPS1_HEADER_MAX];

    for (int i = 0; i < FIELDS; i++) {
        field[i] = strtok(i == 0 ? line : NULL, "\t\n");
        if (field[i] == NULL)
            return 1;
        if (i >= KEY)
            size[i] = decode(field[i]);
    }
    struct mps1_message message = {.algorithm = (uint8_t)atoi(field[ALGORITHM]),
        .flags = (uint8_t)atoi(field[FLAGS]),
        .t_ms = strtoull(field[TIME], NULL, 10),
        .kid = field[KID],
        .sub = field[SUB],
        .topic = field[TOPIC],
        .content_type = field[CONTENT_TYPE],
        .response_topic = field[RESPONSE_TOPIC],
        .correlation_data = field[CORRELATION],
        .correlation_length = size[CORRELATION],
        .payload = field[PAYLOAD],
        .payload_length = size[PAYLOAD]};
    memcpy(message.nonce, field[NONCE], sizeof(message.nonce));
    made = mps1_sign(field[KEY], size[KEY], &message, header);
    if (made == size[HEADER] && memcmp(header, field[HEADER], made) == 0)
        return 0;
    printf("FAILED %s\n", field[NAME]);
    return 1;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    char line[8192];
    int count = 0, failed = 0;

    if (file == NULL)
        return 2;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '#')
            continue;
        count++;
        failed += try_line(line);
    }
    fclose(file);
    printf("%d vectors, %d failed\n", count, failed);
    return count > 0 && failed == 0 ? 0 : 1;
}
