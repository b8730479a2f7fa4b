/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the XML of --junit, of 'mqward policy test' and 'mqward rules test'. Whatever the texts hold, the
 * document is well-formed: what XML 1.0 can't have becomes U+FFFD. */
#include "proxy/cli/junit.h"

#include <errno.h>
#include <stdio.h>

#include "base/character.h"

static const struct view replacement = {(const uint8_t *)"\xef\xbf\xbd", 3};

/* Characters of section 2.2 of XML 1.0, but for the surrogates, which no well-formed UTF-8 has. */
static bool is_xml(uint32_t character)
{
    return character == '\t' || character == '\n' || character == '\r' ||
           (character >= 0x20 && character != 0xfffe && character != 0xffff);
}

static const char *entity_of(uint8_t byte)
{
    static const char *const entities[128] = {['&'] = "&amp;",
        ['<'] = "&lt;",
        ['>'] = "&gt;",
        ['"'] = "&quot;",
        ['\t'] = "&#9;",
        ['\n'] = "&#10;",
        ['\r'] = "&#13;"};
    return byte < 128 ? entities[byte] : NULL;
}

static void escape(struct buffer *out, const char *text)
{
    for (struct view rest = view_of_string(text); rest.length > 0;) {
        size_t length = utf8_sequence_length(rest);
        const char *entity = entity_of(rest.data[0]);
        bool good = length > 0 && is_xml(character_decode(rest, &length));
        if (entity != NULL)
            buffer_append(out, view_of_string(entity));
        else
            buffer_append(out, good ? view_of(rest.data, length) : replacement);
        rest = view_skip(rest, length == 0 ? 1 : length);
    }
}

static void attribute(struct buffer *out, const char *name, const char *value)
{
    buffer_format(out, " %s=\"", name);
    escape(out, value);
    buffer_append_byte(out, '"');
}

void junit_begin(struct buffer *out, const char *command)
{
    buffer_format(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
    attribute(out, "name", command);
    buffer_format(out, ">\n");
}

void junit_end(struct buffer *out)
{
    buffer_format(out, "</testsuites>\n");
}

void junit_case(
    struct buffer *out, const char *classname, const char *name, const char *message, const char *detail)
{
    buffer_format(out, "    <testcase");
    attribute(out, "classname", classname);
    attribute(out, "name", name);
    if (message == NULL) {
        buffer_format(out, "/>\n");
        return;
    }
    buffer_format(out, ">\n      <failure");
    attribute(out, "message", message);
    buffer_format(out, ">");
    escape(out, detail);
    buffer_format(out, "</failure>\n    </testcase>\n");
}

static void write_finding(void *context, enum diag_severity severity, const char *place, const char *message)
{
    struct buffer *out = context;

    if (severity != DIAG_ERROR)
        return;
    escape(out, place);
    buffer_format(out, ": ");
    escape(out, message);
    buffer_append_byte(out, '\n');
}

/* What could not be loaded has no results: one case says so. */
static void write_errors(struct buffer *out, const struct diag_list *diag, const char *what)
{
    buffer_format(out, "    <testcase classname=\"%s\" name=\"load\">\n      <error message=\"%zu errors\">",
        what, diag_errors(diag));
    diag_each(diag, write_finding, out);
    buffer_format(out, "</error>\n    </testcase>\n");
}

void junit_suite_begin(struct buffer *out, const struct junit_suite *suite, const char *what)
{
    size_t errors = diag_errors(suite->diag) > 0 || !suite->loaded ? 1 : 0;

    buffer_format(out, "  <testsuite");
    attribute(out, "name", suite->name);
    buffer_format(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\">\n", suite->cases + errors,
        suite->failed, errors);
    if (errors > 0)
        write_errors(out, suite->diag, what);
}

void junit_suite_end(struct buffer *out)
{
    buffer_format(out, "  </testsuite>\n");
}

static void write_result(struct buffer *out, const struct policy_test_result *result)
{
    struct buffer detail = {0};

    buffer_format(&detail, "expected: %s (%s)", result->expected, result->location);
    buffer_append_byte(&detail, '\0');
    junit_case(out, result->as, result->act, result->passed ? NULL : result->verdict,
        (const char *)buffer_view(&detail).data);
    buffer_release(&detail);
}

void junit_policy(struct buffer *out, const char *name, const struct policy_test_report *report,
    const struct diag_list *diag)
{
    const struct junit_suite suite = {.name = name,
        .cases = report == NULL ? 0 : report->count,
        .failed = report == NULL ? 0 : report->failed,
        .diag = diag,
        .loaded = report != NULL};

    junit_suite_begin(out, &suite, "policy");
    for (size_t i = 0; report != NULL && i < report->count; i++)
        write_result(out, &report->results[i]);
    junit_suite_end(out);
}

bool junit_write(const struct buffer *out, const char *path)
{
    struct view text = buffer_view(out);
    FILE *file = fopen(path, "w");
    bool written = file != NULL;

    if (file != NULL) {
        written = fwrite(text.data, 1, text.length, file) == text.length;
        written = fclose(file) == 0 && written;
    }
    if (!written)
        fprintf(stderr, "mqward: %s can't be written: %s\n", path, strerror(errno));
    return written;
}
