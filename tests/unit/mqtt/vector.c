/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of packet vectors. Used by the tests of the codec. */
#include "vector.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

struct view vector_copy(struct view v)
{
    uint8_t *copy = malloc(v.length); /* of 0 bytes, too: a read of it is an error */
    if (v.length > 0) {
        memcpy(copy, v.data, v.length);
    }
    return (struct view){copy, v.length};
}

static void append_length16(struct buffer *out, struct view content)
{
    buffer_append_byte(out, (uint8_t)(content.length >> 8));
    buffer_append_byte(out, (uint8_t)content.length);
    buffer_append(out, content);
}

static const char *read_hex(const char *at, struct buffer *out)
{
    uint8_t byte = 0;
    for (; isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]); at += 2) {
        char digits[3] = {at[0], at[1], 0};
        byte = (uint8_t)strtoul(digits, NULL, 16);
        buffer_append_byte(out, byte);
    }
    if (*at == '*') {
        char *end;
        unsigned long count = strtoul(at + 1, &end, 10);
        for (unsigned long i = 1; i < count; i++) {
            buffer_append_byte(out, byte);
        }
        at = end;
    }
    return at;
}

static const char *read_tokens(const char *at, char closing, struct buffer *out);

static const char *read_group(const char *at, struct buffer *out)
{
    struct buffer inner = {0};
    const char *end = read_tokens(at + 1, *at == '(' ? ')' : '>', &inner);
    if (end != NULL && *at == '(') {
        mqtt_varint_write(out, (uint32_t)buffer_length(&inner));
        buffer_append(out, buffer_view(&inner));
    } else if (end != NULL) {
        append_length16(out, buffer_view(&inner));
    }
    buffer_release(&inner);
    return end;
}

/* Reads tokens up to closing; returns what is behind it, or NULL if the text is malformed. */
static const char *read_tokens(const char *at, char closing, struct buffer *out)
{
    while (at != NULL) {
        at += strspn(at, " ");
        if (*at == closing) {
            return *at == 0 ? at : at + 1;
        }
        if (*at == '\'' || *at == '"') {
            const char *end = strchr(at + 1, *at);
            if (end == NULL) {
                return NULL;
            }
            struct view text = view_of(at + 1, (size_t)(end - at - 1));
            *at == '"' ? buffer_append(out, text) : append_length16(out, text);
            at = end + 1;
        } else if (*at == '(' || *at == '<') {
            at = read_group(at, out);
        } else {
            const char *end = read_hex(at, out);
            at = end == at ? NULL : end;
        }
    }
    return NULL;
}

bool vector_packet(const char *notation, struct buffer *out)
{
    return read_tokens(notation, 0, out) != NULL;
}

/* ---- lines ---- */

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
        bool starts = at == list || at[-1] == ',';
        if (starts && (at[length] == 0 || at[length] == ',')) {
            return true;
        }
    }
    return false;
}

static bool has_version(const char *list, enum mqtt_version version)
{
    return has_word(list, "any") || (version != MQTT_V5 && has_word(list, "3.x")) ||
           has_word(list, mqtt_version_name(version));
}

static bool read_result(const char *text, struct vector *vector)
{
    static const char *const words[] = {"ok", "short", "unwise"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, words[i]) == 0) {
            vector->result = (enum vector_result)i;
            return true;
        }
    }
    vector->result = VECTOR_BAD;
    return sscanf(text, "bad %31s %63[^\n]", vector->reason, vector->statement) == 2;
}

/* Splits a line at its bars, in place; false unless there are five fields. */
static bool split(char *line, char *fields[5])
{
    for (int i = 0; i < 5; i++) {
        fields[i] = line;
        char *bar = i < 4 ? strstr(line, " | ") : NULL;
        if (i < 4 && bar == NULL) {
            return false;
        }
        if (bar != NULL) {
            *bar = 0;
            line = bar + 3;
        }
    }
    return true;
}

static size_t visit_line(const char *file, size_t number, char *line,
    void (*visit)(const struct vector *vector, void *user), void *user)
{
    char *fields[5];
    struct vector vector = {0};
    struct buffer bytes = {0};
    bool good = split(line, fields) && read_result(fields[3], &vector) && vector_packet(fields[4], &bytes);
    cr_assert(good, "%s:%zu: the line can't be read", file, number);
    vector.packet = vector_copy(buffer_view(&bytes));
    size_t count = 0;
    for (int version = MQTT_V31; version <= MQTT_V5; version++) {
        for (int direction = MQTT_FROM_CLIENT; direction <= MQTT_FROM_SERVER; direction++) {
            const char *side = direction == MQTT_FROM_CLIENT ? "client" : "server";
            vector.version = (enum mqtt_version)version;
            vector.direction = (enum mqtt_direction)direction;
            if (has_version(fields[1], vector.version) &&
                (strcmp(fields[2], side) == 0 || strcmp(fields[2], "both") == 0)) {
                snprintf(vector.label, sizeof(vector.label), "%s:%zu: %s (%s, %s)", file, number, fields[0],
                    mqtt_version_name(vector.version), side);
                visit(&vector, user);
                count++;
            }
        }
    }
    cr_assert(count > 0, "%s:%zu: neither version nor direction is known", file, number);
    free((void *)vector.packet.data);
    buffer_release(&bytes);
    return count;
}

static size_t visit_file(const char *path, void (*visit)(const struct vector *vector, void *user), void *user)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s can't be opened", path);
    char *line = NULL;
    size_t capacity = 0, count = 0, number = 0;
    ssize_t length;
    while ((length = getline(&line, &capacity, file)) >= 0) {
        number++;
        if (length > 0 && line[length - 1] == '\n') {
            line[length - 1] = 0;
        }
        if (line[0] != 0 && line[0] != '#') {
            count += visit_line(strrchr(path, '/') + 1, number, line, visit, user);
        }
    }
    free(line);
    fclose(file);
    return count;
}

size_t vector_each(void (*visit)(const struct vector *vector, void *user), void *user)
{
    glob_t found;
    cr_assert_eq(glob(MQWARD_SOURCE_DIR "/tests/vectors/mqtt/*.txt", 0, NULL, &found), 0);
    size_t count = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        count += visit_file(found.gl_pathv[i], visit, user);
    }
    globfree(&found);
    return count;
}
