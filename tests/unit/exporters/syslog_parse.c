/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the parsers that the renderings are judged by. */
#include "syslog_parse.h"

#include <string.h>

#include "base/utf8.h"

/* ---- RFC 5424, section 6 ---- */

static struct view take_token(struct view *rest, size_t longest)
{
    size_t length = 0;

    while (length < rest->length && rest->data[length] > ' ' && rest->data[length] < 0x7F)
        length++;
    struct view token = view_of(rest->data, length);
    if (length == 0 || length > longest || length >= rest->length || rest->data[length] != ' ')
        return view_of(NULL, 0);
    *rest = view_skip(*rest, length + 1);
    return token;
}

static const char *parse_priority(struct view *rest, struct syslog_parsed *parsed)
{
    unsigned value = 0, digits = 0;

    if (rest->length < 5 || rest->data[0] != '<')
        return "no PRI";
    *rest = view_skip(*rest, 1);
    while (digits < 4 && rest->length > 0 && rest->data[0] >= '0' && rest->data[0] <= '9') {
        value = value * 10 + (unsigned)(rest->data[0] - '0');
        digits++;
        *rest = view_skip(*rest, 1);
    }
    if (digits < 1 || digits > 3 || value > 191 || !view_starts_with(*rest, VIEW(">1 ")))
        return "a bad PRI or VERSION";
    parsed->facility = value / 8;
    parsed->severity = value % 8;
    *rest = view_skip(*rest, 3);
    return NULL;
}

/* A quoted value; *rest behind its closing quote. */
static const char *parse_value(struct view *rest, char out[SYSLOG_PARSED_VALUE])
{
    size_t length = 0;

    for (;;) {
        if (rest->length == 0)
            return "a PARAM-VALUE without end";
        uint8_t byte = rest->data[0];
        *rest = view_skip(*rest, 1);
        if (byte == '"')
            break;
        if (byte == ']')
            return "a bare ] in a PARAM-VALUE";
        if (byte == '\\' && rest->length > 0 && strchr("\"\\]", rest->data[0]) != NULL) {
            byte = rest->data[0];
            *rest = view_skip(*rest, 1);
        } else if (byte == '\\') {
            return "a bare \\ in a PARAM-VALUE";
        }
        if (length + 1 >= SYSLOG_PARSED_VALUE)
            return "a PARAM-VALUE that is too long";
        out[length++] = (char)byte;
    }
    out[length] = '\0';
    return NULL;
}

static struct view take_name(struct view *rest)
{
    size_t length = 0;

    while (length < rest->length && length < 33 && rest->data[length] > ' ' && rest->data[length] < 0x7F &&
           strchr("=]\"", rest->data[length]) == NULL)
        length++;
    struct view name = view_of(rest->data, length);
    *rest = view_skip(*rest, length);
    return length == 0 || length > 32 ? view_of(NULL, 0) : name;
}

static const char *parse_structured_data(struct view *rest, struct syslog_parsed *parsed)
{
    if (!view_starts_with(*rest, VIEW("[")))
        return "no SD-ELEMENT";
    *rest = view_skip(*rest, 1);
    parsed->sd_id = take_name(rest);
    if (parsed->sd_id.length == 0)
        return "no SD-ID";
    while (view_starts_with(*rest, VIEW(" "))) {
        struct syslog_param *param = &parsed->params[parsed->param_count];
        if (parsed->param_count == SYSLOG_PARSED_PARAMS)
            return "too many parameters";
        parsed->param_count++;
        *rest = view_skip(*rest, 1);
        param->name = take_name(rest);
        if (param->name.length == 0 || !view_starts_with(*rest, VIEW("=\"")))
            return "a bad PARAM-NAME";
        *rest = view_skip(*rest, 2);
        const char *error = parse_value(rest, param->value);
        if (error != NULL)
            return error;
    }
    if (!view_starts_with(*rest, VIEW("] ")))
        return "no end of the SD-ELEMENT";
    *rest = view_skip(*rest, 2);
    return NULL;
}

static const char *check_bytes(struct view text)
{
    while (text.length > 0) {
        size_t length = utf8_sequence_length(text);
        if (length == 0)
            return "ill-formed UTF-8";
        if (length == 1 && (text.data[0] < 0x20 || text.data[0] == 0x7F))
            return "a control character";
        if (length == 2 && text.data[0] == 0xC2 && text.data[1] < 0xA0)
            return "a C1 control character";
        if (view_starts_with(text, VIEW("\xe2\x80\xa8")) || view_starts_with(text, VIEW("\xe2\x80\xa9")))
            return "a line separator";
        text = view_skip(text, length);
    }
    return NULL;
}

const char *syslog_parse(struct view text, struct syslog_parsed *parsed)
{
    struct view rest = text;
    const char *error;

    parsed->param_count = 0;
    if ((error = check_bytes(text)) != NULL || (error = parse_priority(&rest, parsed)) != NULL)
        return error;
    parsed->timestamp = take_token(&rest, 32);
    parsed->hostname = take_token(&rest, 255);
    parsed->app = take_token(&rest, 48);
    parsed->process = take_token(&rest, 128);
    parsed->message_id = take_token(&rest, 32);
    if (parsed->timestamp.length == 0 || parsed->hostname.length == 0 || parsed->app.length == 0 ||
        parsed->process.length == 0 || parsed->message_id.length == 0)
        return "a bad HEADER";
    if ((error = parse_structured_data(&rest, parsed)) != NULL)
        return error;
    parsed->message = rest;
    return NULL;
}

static const char *find(const struct syslog_param *params, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (view_equal_string(params[i].name, name))
            return params[i].value;
    return NULL;
}

const char *syslog_param(const struct syslog_parsed *parsed, const char *name)
{
    return find(parsed->params, parsed->param_count, name);
}

/* ---- CEF ---- */

static const char *parse_header(struct view *rest, char out[SYSLOG_PARSED_VALUE])
{
    size_t length = 0;

    for (;;) {
        if (rest->length == 0)
            return "a header without end";
        uint8_t byte = rest->data[0];
        *rest = view_skip(*rest, 1);
        if (byte == '|')
            break;
        if (byte == '\\') {
            if (rest->length == 0 || (rest->data[0] != '\\' && rest->data[0] != '|'))
                return "a bare \\ in the header";
            byte = rest->data[0];
            *rest = view_skip(*rest, 1);
        }
        if (length + 1 >= SYSLOG_PARSED_VALUE)
            return "a header that is too long";
        out[length++] = (char)byte;
    }
    out[length] = '\0';
    return NULL;
}

static size_t key_length(struct view rest)
{
    size_t length = 0;

    while (length < rest.length && ((rest.data[length] >= 'a' && rest.data[length] <= 'z') ||
                                       (rest.data[length] >= 'A' && rest.data[length] <= 'Z') ||
                                       (rest.data[length] >= '0' && rest.data[length] <= '9')))
        length++;
    return length > 0 && length < rest.length && rest.data[length] == '=' ? length : 0;
}

/* Up to the blank before the next key: a value may have blanks, an unescaped = ends it one word before. */
static const char *parse_extension_value(struct view *rest, char out[SYSLOG_PARSED_VALUE])
{
    size_t length = 0;

    while (rest->length > 0 && !(rest->data[0] == ' ' && key_length(view_skip(*rest, 1)) > 0)) {
        uint8_t byte = rest->data[0];
        *rest = view_skip(*rest, 1);
        if (byte == '=')
            return "a bare = in a value";
        if (byte == '\\') {
            if (rest->length == 0 || strchr("\\=nr", rest->data[0]) == NULL)
                return "a bare \\ in a value";
            byte = rest->data[0] == 'n' ? '\n' : rest->data[0] == 'r' ? '\r' : rest->data[0];
            *rest = view_skip(*rest, 1);
        }
        if (length + 1 >= SYSLOG_PARSED_VALUE)
            return "a value that is too long";
        out[length++] = (char)byte;
    }
    out[length] = '\0';
    *rest = view_skip(*rest, 1);
    return NULL;
}

const char *cef_parse(struct view text, struct cef_parsed *parsed)
{
    struct view rest = text;
    const char *error = check_bytes(text);

    parsed->key_count = 0;
    for (size_t i = 0; error == NULL && i < 7; i++)
        error = parse_header(&rest, parsed->header[i]);
    while (error == NULL && rest.length > 0) {
        struct syslog_param *key = &parsed->keys[parsed->key_count];
        size_t length = key_length(rest);
        if (parsed->key_count == 64 || length == 0)
            return "a bad key";
        parsed->key_count++;
        key->name = view_of(rest.data, length);
        for (size_t i = 0; i + 1 < parsed->key_count; i++)
            if (view_equal(parsed->keys[i].name, key->name))
                return "a key twice";
        rest = view_skip(rest, length + 1);
        error = parse_extension_value(&rest, key->value);
    }
    return error;
}

const char *cef_key(const struct cef_parsed *parsed, const char *name)
{
    return find(parsed->keys, parsed->key_count, name);
}
