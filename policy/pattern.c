/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the syntax of topic patterns, placeholders and globs. Called when a policy is compiled (compile.c)
 * and, for the safety of values and for globs, when a client is identified (identity.c). */
#include "policy/pattern.h"

#include "base/buffer.h"
#include "base/topic.h"
#include "base/utf8.h"

#define SUGGESTED_PLACEHOLDERS 20

bool placeholder_value_safe(struct view value)
{
    if (value.length == 0 || value.length > PLACEHOLDER_VALUE_MAXIMUM || value.data[0] == '$')
        return false;
    for (size_t i = 0; i < value.length; i++) {
        uint8_t byte = value.data[i];
        if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '+' || byte == '#')
            return false;
        /* U+0080 to U+009F */
        if (byte == 0xc2 && i + 1 < value.length && value.data[i + 1] < 0xa0)
            return false;
    }
    return utf8_valid(value);
}

int placeholder_find(const struct placeholder_names *names, struct view name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (view_equal_string(name, names->names[i]))
            return (int)i;
    }
    return -1;
}

struct diag_place pattern_place(const struct keyword_string *string, struct view part)
{
    struct diag_place place = string->place;
    size_t quotes = string->quoted ? 1 : 0;
    /* Where the scalar was written with escapes or over several lines, its columns are not those of its text.
     */
    if (place.line == 0 || place.length != string->text.length + 2 * quotes || part.length == 0)
        return place;
    place.column += (uint32_t)(quotes + (size_t)(part.data - string->text.data));
    place.length = (uint32_t)part.length;
    return place;
}

static int refuse(struct diag_list *diag, const struct keyword_string *whole, struct view part,
    const char *hint, const char *message)
{
    struct diag_place place = pattern_place(whole, part);
    diag_add(diag, DIAG_ERROR, &place, hint, "%s", message);
    return -1;
}

static const uint8_t *find_byte(struct view text, int byte)
{
    return text.length == 0 ? NULL : memchr(text.data, byte, text.length);
}

/* With brackets: what is suggested can be copied. */
static void refuse_placeholder(struct diag_list *diag, const struct diag_place *place,
    const struct placeholder_names *names, struct view name)
{
    const char *near = diag_suggest(name, names->names, names->count);
    struct buffer hint = {0};
    if (near != NULL)
        buffer_format(&hint, "did you mean '<%s>'?", near);
    for (size_t i = 0; near == NULL && i < names->count && i < SUGGESTED_PLACEHOLDERS; i++)
        buffer_format(&hint, "%s<%s>", i == 0 ? "expected one of " : ", ", names->names[i]);
    if (near == NULL)
        buffer_append(&hint, VIEW("; 'attrs' of an identity source defines more"));
    buffer_append_byte(&hint, '\0');
    diag_add(diag, DIAG_ERROR, place, (const char *)buffer_view(&hint).data, "unknown placeholder '<%.*s>'",
        VIEW_ARGS(name));
    buffer_release(&hint);
}

int placeholder_split(struct diag_list *diag, const struct placeholder_names *names,
    const struct keyword_string *whole, struct view text, uint8_t *slot, struct view *prefix,
    struct view *suffix)
{
    const uint8_t *open = find_byte(text, '<'), *close = find_byte(text, '>');
    *prefix = text;
    *suffix = (struct view){NULL, 0};
    if (open == NULL && close == NULL)
        return 0;
    if (open == NULL || close == NULL || close < open)
        return refuse(diag, whole, text, "a placeholder is written '<id>'", "unpaired '<' or '>'");
    struct view name = view_of(open + 1, (size_t)(close - open) - 1);
    *prefix = view_of(text.data, (size_t)(open - text.data));
    *suffix = view_of(close + 1, text.length - prefix->length - name.length - 2);
    int found = placeholder_find(names, name);
    if (found < 0) {
        struct diag_place place = pattern_place(whole, view_of(open, name.length + 2));
        refuse_placeholder(diag, &place, names, name);
        return -1;
    }
    if (find_byte(*suffix, '<') != NULL || find_byte(*suffix, '>') != NULL)
        return refuse(diag, whole, text,
            "with two, 'a-b' and 'c' would give the same text as 'a' and 'b-c': put a '/' between, or leave "
            "one out",
            "two placeholders in one level");
    *slot = (uint8_t)found;
    return 1;
}

static bool parse_level(struct diag_list *diag, const struct placeholder_names *names,
    const struct keyword_string *string, struct view text, struct pattern *out)
{
    struct pattern_level *level = &out->levels[out->count];
    if (view_equal(text, VIEW("#"))) {
        out->multi = true;
        return true;
    }
    if (view_equal(text, VIEW("+"))) {
        level->kind = PATTERN_ONE;
    } else {
        int found =
            placeholder_split(diag, names, string, text, &level->slot, &level->prefix, &level->suffix);
        if (found < 0)
            return false;
        level->kind = found == 1 ? PATTERN_PLACEHOLDER : PATTERN_LITERAL;
        if (found == 1)
            out->slots |= (uint64_t)1 << level->slot;
    }
    out->count++;
    return true;
}

/* Why a text is no topic filter, and what to write. */
struct complaint {
    const char *message, *hint;
};

/* Of a '+' or '#' that has company in its level. */
static struct complaint complain_of_level(struct view level)
{
    static const char alone[] = "a '#' stands in a level of its own, the last: a/#";
    if (find_byte(level, ',') != NULL || find_byte(level, ' ') != NULL || find_byte(level, '\n') != NULL)
        return (struct complaint){
            "more than one topic filter in one text", "a list stands in [ ]: [a/#, b/#]"};
    if (find_byte(level, '#') != NULL)
        return (struct complaint){"a '#' beside other characters", alone};
    return (struct complaint){"a '+' beside other characters", "a '+' stands in a level of its own: a/+/c"};
}

static int refuse_filter(struct diag_list *diag, const struct keyword_string *string)
{
    struct complaint complaint = {"not a topic filter of MQTT",
        "at most 65535 bytes of UTF-8; '+' and '#' stand alone between slashes, '#' only at the end"};
    struct view rest = string->text;
    bool found = false;
    while (rest.length > 0 && !found) {
        const uint8_t *slash = find_byte(rest, '/');
        struct view level = view_of(rest.data, slash == NULL ? rest.length : (size_t)(slash - rest.data));
        bool wildcard = find_byte(level, '#') != NULL || find_byte(level, '+') != NULL;
        rest = view_skip(rest, level.length + (slash == NULL ? 0 : 1));
        found = (wildcard && level.length > 1) || (view_equal(level, VIEW("#")) && slash != NULL);
        if (found && level.length > 1)
            complaint = complain_of_level(level);
        else if (found)
            complaint = (struct complaint){"a '#' that is not the last level",
                "a '#' matches all that is deeper: write + for one level"};
    }
    return refuse(diag, string, string->text, complaint.hint, complaint.message);
}

bool pattern_parse(struct arena *arena, struct diag_list *diag, const struct placeholder_names *names,
    const struct keyword_string *string, struct pattern *out)
{
    struct view rest = string->text;
    *out = (struct pattern){.text = rest};
    if (!topic_filter_valid(rest))
        return refuse_filter(diag, string) == 0;
    size_t levels = topic_levels(rest);
    if (levels > PATTERN_LEVELS_MAXIMUM)
        return refuse(diag, string, rest, "a '#' matches all that is deeper", "more than 128 levels") == 0;
    out->levels = arena_calloc(arena, levels, sizeof(*out->levels));
    bool valid = true;
    for (size_t i = 0; i < levels; i++) {
        const uint8_t *slash = find_byte(rest, '/');
        struct view text = view_of(rest.data, slash == NULL ? rest.length : (size_t)(slash - rest.data));
        rest = view_skip(rest, text.length + 1);
        valid = parse_level(diag, names, string, text, out) && valid;
    }
    /* "/#" would also match the empty topic, which does not exist: it is the same as "/+/#". */
    if (out->multi && out->count == 1 && out->levels[0].kind == PATTERN_LITERAL &&
        out->levels[0].prefix.length == 0)
        out->levels[out->count++].kind = PATTERN_ONE;
    return valid;
}

bool glob_matches(struct view glob, struct view text)
{
    size_t g = 0, t = 0, star = SIZE_MAX, resume = 0;
    while (t < text.length) {
        if (g < glob.length && glob.data[g] == '*') {
            star = ++g;
            resume = t;
        } else if (g < glob.length && glob.data[g] == text.data[t]) {
            g++;
            t++;
        } else if (star != SIZE_MAX) {
            /* Let the last star take one byte more: going back further never helps. */
            g = star;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (g < glob.length && glob.data[g] == '*')
        g++;
    return g == glob.length;
}

#define GLOB_OVERLAP_MAXIMUM 4096 /* bytes of a glob: the time is the product of both */

/* row[j]: some text fits both the first i bytes of a and the first j of b. */
bool glob_overlaps(struct view a, struct view b)
{
    if (a.length > GLOB_OVERLAP_MAXIMUM || b.length > GLOB_OVERLAP_MAXIMUM)
        return true;
    bool row[GLOB_OVERLAP_MAXIMUM + 1] = {true};
    for (size_t j = 1; j <= b.length; j++)
        row[j] = row[j - 1] && b.data[j - 1] == '*';
    for (size_t i = 1; i <= a.length; i++) {
        bool star = a.data[i - 1] == '*', diagonal = row[0];
        row[0] = row[0] && star;
        for (size_t j = 1; j <= b.length; j++) {
            bool above = row[j], other_star = b.data[j - 1] == '*';
            bool same = diagonal && a.data[i - 1] == b.data[j - 1];
            row[j] = same || (star && (above || row[j - 1])) || (other_star && (row[j - 1] || above));
            diagonal = above;
        }
    }
    return row[b.length];
}
