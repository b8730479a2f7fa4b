/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the generation of rules. */
#include "generate.h"

#include <stdlib.h>

#include "base/memory.h"

uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

unsigned random_below(struct random *random, unsigned bound)
{
    return (unsigned)((random_next(random) >> 33) % bound);
}

/* A rule that is written. */
struct writer {
    struct generated *generated;
    struct random *random;
    unsigned options;
    unsigned number;  /* of the rule */
    unsigned strings; /* that it has */
};

static unsigned pick(struct writer *writer, unsigned bound)
{
    return random_below(writer->random, bound);
}

static struct buffer *add_seed(struct writer *writer)
{
    struct generated *generated = writer->generated;

    generated->seeds = memory_realloc(generated->seeds, generated->seed_count + 1, sizeof(*generated->seeds));
    struct buffer *seed = &generated->seeds[generated->seed_count++];
    *seed = (struct buffer){0};
    return seed;
}

/* ---- strings ---- */

/* Few letters, so that rules have beginnings in common. */
static void word(struct writer *writer, char *out, unsigned length)
{
    static const char letters[] = "abcdefghABCDEFGH0123";

    for (unsigned i = 0; i < length; i++)
        out[i] = letters[pick(writer, sizeof(letters) - 1)];
    out[length] = '\0';
}

static void add_wide(struct buffer *seed, const char *text)
{
    for (; *text != '\0'; text++) {
        buffer_append_byte(seed, (uint8_t)*text);
        buffer_append_byte(seed, 0);
    }
}

static void add_base64(struct buffer *seed, const char *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text);

    for (size_t i = 0; i + 3 <= length; i += 3) {
        uint32_t bits =
            (uint32_t)(uint8_t)text[i] << 16 | (uint32_t)(uint8_t)text[i + 1] << 8 | (uint8_t)text[i + 2];
        for (unsigned k = 0; k < 4; k++)
            buffer_append_byte(seed, (uint8_t)digits[bits >> (18 - 6 * k) & 63]);
    }
}

static void text_string(struct writer *writer, unsigned kind)
{
    static const char *const modifiers[] = {"", " nocase", " wide", " ascii wide", " fullword", " xor",
        " xor(0x01-0x20)", " xor(5-9) ascii wide", " base64", " base64wide", " nocase ascii wide fullword",
        " private", " wide nocase", " wide fullword", " xor(7) fullword"};
    struct buffer *text = &writer->generated->text, *seed = add_seed(writer);
    const char *modifier = modifiers[kind % (sizeof(modifiers) / sizeof(modifiers[0]))];
    char letters[64];
    uint8_t key = strstr(modifier, "xor") != NULL ? (uint8_t)(pick(writer, 2) * 7) : 0;

    unsigned length = 3 + pick(writer, 14);
    if (strstr(modifier, "base64") != NULL)
        length += 6;
    else if (strstr(modifier, "xor") == NULL && pick(writer, 16) == 0)
        length = 1 + pick(writer, 2);
    word(writer, letters, length);
    buffer_format(text, "\"%s\"%s", letters, modifier);
    if (strstr(modifier, "base64") != NULL)
        add_base64(seed, letters);
    else if (strstr(modifier, "wide") != NULL && pick(writer, 2) == 0)
        add_wide(seed, letters);
    else
        buffer_append(seed, view_of_string(letters));
    for (size_t i = seed->start; i < seed->end; i++) {
        if (strstr(modifier, "nocase") != NULL && pick(writer, 2) == 0 && seed->data[i] >= 'A')
            seed->data[i] ^= 0x20;
        seed->data[i] ^= key;
    }
    if (strstr(modifier, "fullword") != NULL)
        buffer_append_byte(seed, pick(writer, 3) == 0 ? 'x' : ' ');
}

static void escaped_string(struct writer *writer)
{
    struct buffer *text = &writer->generated->text, *seed = add_seed(writer);
    unsigned length = 4 + pick(writer, 8);

    buffer_append_byte(text, '"');
    for (unsigned i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)(pick(writer, 3) == 0 ? 0 : pick(writer, 256));
        buffer_format(text, "\\x%02x", byte);
        buffer_append_byte(seed, byte);
    }
    buffer_append(text, VIEW("\""));
}

/* No byte of it is certain: libyara tries it everywhere. */
static void open_string(struct writer *writer)
{
    static const char *const forms[] = {"/[q-t]{3,6}[0-9]/", "/[0-9]{5}[x-z]/", "/[a-c][^a-z][0-9]+;/"};
    static const char *const seeds[] = {"qrst4", "x12345z", "b-77;"};
    unsigned form = pick(writer, sizeof(forms) / sizeof(forms[0]));

    buffer_append(&writer->generated->text, view_of_string(forms[form]));
    buffer_append(add_seed(writer), view_of_string(seeds[form]));
}

static void regex_string(struct writer *writer)
{
    static const char *const forms[] = {"/%s[0-9]{2,4}%s/", "/%s.{1,6}%s/", "/(%s|%s)zz/", "/%s%s/i",
        "/^%s%s/", "/%s%s$/", "/\\b%s\\w+%s/", "/%s[^a-f]?%s/s", "/%s\\x00{1,3}%s/", "/%s%s/ wide",
        "/%s(ab|cd)*%s/i ascii wide", "/%s\\/\\\"%s/ nocase", "/%s.*%s/", "/%s(x|yy|[0-9]z)+?%s/ fullword"};
    static const char *const betweens[] = {
        "123", "xyz", "", "", "", "", "q", "-", "", "", "abcd", "/\"", "anything", "x7z"};
    const unsigned count = sizeof(forms) / sizeof(forms[0]);
    struct buffer *text = &writer->generated->text, *seed = add_seed(writer);
    char a[16], b[16];
    unsigned form = pick(writer, count);

    word(writer, a, 3 + pick(writer, 5));
    word(writer, b, 3 + pick(writer, 5));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    buffer_format(text, forms[form], a, b);
#pragma GCC diagnostic pop
    if (form == 2)
        buffer_format(seed, "%szz", pick(writer, 2) == 0 ? a : b);
    else if (form == 8) {
        buffer_append(seed, view_of_string(a));
        buffer_append_byte(seed, 0);
        buffer_append(seed, view_of_string(b));
    } else if (form == 9) {
        add_wide(seed, a);
        add_wide(seed, b);
    } else
        buffer_format(seed, "%s%s%s", a, betweens[form], b);
}

static void hex_string(struct writer *writer)
{
    struct buffer *text = &writer->generated->text, *seed = add_seed(writer);
    unsigned length = 6 + pick(writer, 10);

    buffer_append(text, VIEW("{ "));
    for (unsigned i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)pick(writer, 256);
        unsigned form = i < 4 || i + 4 >= length ? 9 : pick(writer, 10);
        buffer_append_byte(seed, byte);
        if (form == 0)
            buffer_append(text, VIEW("?? "));
        else if (form == 1)
            buffer_format(text, "%x? ", byte >> 4);
        else if (form == 2)
            buffer_format(text, "?%x ", byte & 15);
        else if (form == 3)
            buffer_format(text, "( %02x | %02x %02x ) ", byte, byte ^ 1, byte);
        else if (form == 4)
            buffer_format(text, "%02x [0-3] ", byte);
        else if (form == 5 && pick(writer, 3) == 0)
            buffer_format(
                text, "%02x [0-300] %02x %02x %02x %02x ", byte, byte, byte ^ 3, byte ^ 5, byte ^ 9);
        else
            buffer_format(text, "%02x ", byte);
        if (form == 5) {
            static const uint8_t changes[] = {0, 3, 5, 9};
            for (unsigned k = 0; k < 4; k++)
                buffer_append_byte(seed, byte ^ changes[k]);
        }
    }
    buffer_append(text, VIEW("}"));
}

static void write_strings(struct writer *writer)
{
    struct buffer *text = &writer->generated->text;

    for (unsigned i = 0; i < writer->strings; i++) {
        buffer_format(text, "    $s%u = ", i);
        unsigned kind = pick(writer, 27);
        if (kind < 15)
            text_string(writer, kind);
        else if (kind < 17)
            escaped_string(writer);
        else if (kind < 22)
            regex_string(writer);
        else if (kind < 26)
            hex_string(writer);
        else
            open_string(writer);
        buffer_append_byte(text, '\n');
    }
}

/* ---- conditions ---- */

/* About one string. */
static void string_term(struct writer *writer, unsigned s)
{
    struct buffer *text = &writer->generated->text;

    switch (pick(writer, 16)) {
    case 0:
        buffer_format(text, "not $s%u", s);
        return;
    case 1:
        buffer_format(text, "#s%u < %u", s, 1 + pick(writer, 3));
        return;
    case 2:
        buffer_format(text, "#s%u > %u", s, pick(writer, 3));
        return;
    case 3:
        buffer_format(text, "$s%u at %u", s, pick(writer, 3) * 4);
        return;
    case 4:
        buffer_format(text, "$s%u in (0..%u)", s, pick(writer, 60));
        return;
    case 5:
        buffer_format(text, "$s%u in (filesize-40..filesize)", s);
        return;
    case 6:
        buffer_format(text, "@s%u[1] < %u", s, pick(writer, 50));
        return;
    case 7:
        buffer_format(text, "!s%u[1] > %u", s, pick(writer, 9));
        return;
    case 8:
        buffer_format(text, "for all i in (1..#s%u) : (@s%u[i] < 70)", s, s);
        return;
    case 9:
        buffer_format(text, "for any i in (1..#s%u) : (@s%u[i] > 3)", s, s);
        return;
    case 10:
        buffer_format(text, "#s%u in (0..50) == %u", s, pick(writer, 2));
        return;
    case 11:
        buffer_format(text, "(not defined @s%u[1] and filesize > 20)", s);
        return;
    default:
        buffer_format(text, "$s%u", s);
    }
}

/* About all of them. */
static void set_term(struct writer *writer)
{
    static const char *const terms[] = {"any of them", "all of them", "2 of them", "none of them",
        "50% of them", "any of ($s*)", "for any of them : ($ at 0)", "for all of them : (# > 0)",
        "for any of them : (@ < 40)", "any of them in (0..30)", "for 1 of ($s0) : ($)", "1 of ($s0*)"};
    unsigned term = pick(writer, sizeof(terms) / sizeof(terms[0]));

    buffer_append(&writer->generated->text, view_of_string(terms[term]));
}

static void other_term(struct writer *writer)
{
    static const char *const plain[] = {"filesize < 100", "filesize > 60", "uint16(0) == 0x4142",
        "uint32be(2) > 0x40000000", "for any i in (0..3) : (uint8(i) == 0x61)", "true", "false",
        "filesize % 7 == 3", "defined uint16(50)", "not defined uint8(filesize)",
        "uint8(filesize - 1) < 0x40", "for all i in (1,3,5) : (uint8(i) > 0x20)", "(filesize & 3) == 2",
        "1 == 1", "int8(0) < 0", "for 2 i in (0..filesize) : (i == 5 or i == 9)", "filesize * 2 - 10 > 90"};
    static const char *const externals[] = {"topic startswith \"fw/\"", "topic == \"a/b\"", "qos == 1",
        "retain", "payload_size > 80", "view == \"raw\"", "client_id matches /dev-[0-9]+/",
        "direction == \"in\"", "username icontains \"ADMIN\"", "groups contains \"ops\"",
        "identity endswith \"7\"", "content_type iequals \"TEXT/plain\"", "topic"};
    static const char *const modules[] = {"math.entropy(0, filesize) > 4.0", "math.mean(0, filesize) < 90.5",
        "math.max(filesize, 40) > 50", "math.in_range(math.mean(0, 4), 60.0, 100.0)"};
    struct buffer *text = &writer->generated->text;
    unsigned kind = pick(writer, 8);

    if (kind < 2 && (writer->options & GENERATE_EXTERNALS) != 0)
        buffer_append(
            text, view_of_string(externals[pick(writer, sizeof(externals) / sizeof(externals[0]))]));
    else if (kind == 2 && (writer->options & GENERATE_MODULES) != 0)
        buffer_append(text, view_of_string(modules[pick(writer, sizeof(modules) / sizeof(modules[0]))]));
    else if (kind < 5 && (writer->options & GENERATE_REFERENCES) != 0 && writer->number > 0)
        buffer_format(text, "%sr%u", pick(writer, 3) == 0 ? "not " : "", pick(writer, writer->number));
    else if (kind == 5 && (writer->options & GENERATE_REFERENCES) != 0 && writer->number > 2)
        buffer_format(text, "%u of (r%u, r%u)", 1 + pick(writer, 2), pick(writer, writer->number),
            pick(writer, writer->number));
    else
        buffer_append(text, view_of_string(plain[pick(writer, sizeof(plain) / sizeof(plain[0]))]));
}

/* true: it may not mention all strings. */
static bool write_condition(struct writer *writer)
{
    struct buffer *text = &writer->generated->text;
    unsigned others = pick(writer, 4) == 0 ? 1 + pick(writer, 2) : writer->strings == 0;
    bool sets = writer->strings > 0 && pick(writer, 3) == 0, first = true;
    unsigned terms = (sets ? 1 : writer->strings) + others;

    for (unsigned i = 1; i < terms; i++)
        buffer_append_byte(text, '(');
    for (unsigned i = 0; i < terms; i++) {
        if (!first)
            buffer_append(text, pick(writer, 3) == 0 ? VIEW(" or ") : VIEW(" and "));
        buffer_append_byte(text, '(');
        if (i >= terms - others)
            other_term(writer);
        else if (sets)
            set_term(writer);
        else
            string_term(writer, i);
        buffer_append(text, first || terms == 1 ? VIEW(")") : VIEW("))"));
        first = false;
    }
    return sets;
}

static void write_rule(struct writer *writer, const char *kind)
{
    struct buffer *text = &writer->generated->text;

    writer->strings = pick(writer, 12) == 0 ? 0 : 1 + pick(writer, 3);
    buffer_format(text, "%srule r%u : generated tag%u {\n  meta:\n    severity = \"low\"\n    n = %u\n", kind,
        writer->number, writer->number % 5, writer->number);
    if (writer->strings > 0)
        buffer_append(text, VIEW("  strings:\n"));
    write_strings(writer);
    buffer_append(text, VIEW("  condition:\n    "));
    bool sets = write_condition(writer);
    /* A string that is not mentioned is an error. */
    for (unsigned i = 0; i < writer->strings && sets; i++)
        buffer_format(text, " and ($s%u or true)", i);
    buffer_append(text, VIEW("\n}\n"));
}

static void write_globals(struct generated *generated)
{
    buffer_append(&generated->text, VIEW("global private rule small { condition: filesize < 3000 }\n"
                                         "global rule unmarked { strings: $m = \"UNMARKED\" $n = "
                                         "/un[m]arked/ condition: not $m or $n }\n"));
}

void generate_rules(struct generated *generated, struct random *random, unsigned count, unsigned options)
{
    struct writer writer = {.generated = generated, .random = random, .options = options};

    *generated = (struct generated){0};
    if ((options & GENERATE_MODULES) != 0)
        buffer_append(&generated->text, VIEW("import \"math\"\n"));
    if ((options & GENERATE_GLOBALS) != 0)
        write_globals(generated);
    for (; writer.number < count; writer.number++)
        write_rule(&writer, (options & GENERATE_REFERENCES) != 0 && pick(&writer, 6) == 0 ? "private " : "");
    buffer_append_byte(&generated->text, '\0');
    generated->text.end--;
}

void generate_realistic(struct generated *generated, struct random *random, unsigned count)
{
    struct writer writer = {.generated = generated, .random = random};
    struct buffer *text = &generated->text;

    *generated = (struct generated){0};
    for (; writer.number < count; writer.number++) {
        buffer_format(
            text, "rule Family%u {\n  meta:\n    description = \"generated\"\n  strings:\n", writer.number);
        unsigned strings = 2 + pick(&writer, 4);
        for (unsigned i = 0; i < strings; i++) {
            static const char letters[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./- ";
            static const char *const modifiers[] = {"", "", " ascii wide", " nocase", " fullword ascii"};
            unsigned length = 8 + pick(&writer, 20);
            buffer_format(text, "    $s%u = \"", i);
            for (unsigned k = 0; k < length; k++)
                buffer_append_byte(text, (uint8_t)letters[pick(&writer, sizeof(letters) - 1)]);
            buffer_format(text, "\"%s\n", modifiers[pick(&writer, 5)]);
        }
        buffer_append(text, VIEW("    $h = {"));
        for (unsigned k = 0; k < 14; k++)
            buffer_format(text, k == 9 ? " ??" : " %02x", pick(&writer, 256));
        buffer_format(text, " }\n  condition:\n    %s%u of ($s*) or $h\n}\n",
            pick(&writer, 3) == 0 ? "filesize < 2MB and " : "", 1 + pick(&writer, 2));
    }
    buffer_append_byte(text, '\0');
    text->end--;
}

void generated_release(struct generated *generated)
{
    for (size_t i = 0; i < generated->seed_count; i++)
        buffer_release(&generated->seeds[i]);
    free(generated->seeds);
    buffer_release(&generated->text);
    *generated = (struct generated){0};
}

/* ---- payloads ---- */

static void add_ground(struct random *random, unsigned kind, struct buffer *payload)
{
    static const char *const words[] = {"temperature", "value", "status", "{\"a\":", "on", "}", ",", "abc",
        "UNMARKED", " ", "fw/", "ABBA", "unmarked", "\n", "aaaa"};

    if (kind == 0)
        buffer_append_byte(payload, (uint8_t)random_below(random, 256));
    else if (kind == 1)
        buffer_format(payload, "%u", random_below(random, 1000));
    else if (kind == 2)
        buffer_append(payload, view_of_string(words[random_below(random, sizeof(words) / sizeof(words[0]))]));
    else
        buffer_append_byte(payload, (uint8_t) "abcdefghABCDEFGH0123"[random_below(random, 20)]);
}

static void add_injected(const struct generated *generated, struct random *random, struct buffer *payload)
{
    struct view seed = buffer_view(&generated->seeds[random_below(random, (unsigned)generated->seed_count)]);
    unsigned change = random_below(random, 8);

    if (change == 0 && seed.length > 1)
        seed.length--;
    if (change == 1)
        seed = view_skip(seed, 1);
    buffer_append(payload, seed);
    if (change == 2 && seed.length > 0)
        payload->data[payload->end - 1 - random_below(random, (unsigned)seed.length)] ^= 0x20;
}

void generate_payload(
    const struct generated *generated, struct random *random, size_t size, struct buffer *payload)
{
    unsigned kind = random_below(random, 4), often = 2 + random_below(random, 60);

    buffer_clear(payload);
    while (buffer_length(payload) < size) {
        if (generated->seed_count > 0 && random_below(random, often) == 0)
            add_injected(generated, random, payload);
        else
            add_ground(random, kind, payload);
    }
}
