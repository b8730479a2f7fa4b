/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the XML of 'mqward policy test --junit'. Whatever the texts hold, the document is well-formed: what
 * XML 1.0 can't have becomes U+FFFD. */
#include "proxy/cli/junit.h"

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

void junit_begin(struct buffer *out)
{
    buffer_format(
        out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mqward policy test\">\n");
}

void junit_end(struct buffer *out)
{
    buffer_format(out, "</testsuites>\n");
}

static void write_case(struct buffer *out, const struct policy_test_result *result)
{
    buffer_format(out, "    <testcase");
    attribute(out, "classname", result->as);
    attribute(out, "name", result->act);
    if (result->passed) {
        buffer_format(out, "/>\n");
        return;
    }
    buffer_format(out, ">\n      <failure");
    attribute(out, "message", result->verdict);
    buffer_format(out, ">expected: ");
    escape(out, result->expected);
    buffer_format(out, " (");
    escape(out, result->location);
    buffer_format(out, ")</failure>\n    </testcase>\n");
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

/* A policy with errors has no results: one case says so. */
static void write_errors(struct buffer *out, const struct diag_list *diag)
{
    buffer_format(out,
        "    <testcase classname=\"policy\" name=\"load\">\n      <error message=\"%zu errors\">",
        diag_errors(diag));
    diag_each(diag, write_finding, out);
    buffer_format(out, "</error>\n    </testcase>\n");
}

void junit_suite(struct buffer *out, const char *name, const struct policy_test_report *report,
    const struct diag_list *diag)
{
    size_t errors = diag_errors(diag) > 0 || report == NULL ? 1 : 0;

    buffer_format(out, "  <testsuite");
    attribute(out, "name", name);
    buffer_format(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\">\n",
        (report == NULL ? 0 : report->count) + errors, report == NULL ? 0 : report->failed, errors);
    if (errors > 0)
        write_errors(out, diag);
    for (size_t i = 0; report != NULL && i < report->count; i++)
        write_case(out, &report->results[i]);
    buffer_format(out, "  </testsuite>\n");
}
