/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the control socket: what is one, and what is said of the rest. */
#include "proxy/control_request.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

static const char *parse(const char *text, struct control_request *request)
{
    return control_request_parse(view_of_string(text), request);
}

Test(control_request, all_that_there_are)
{
    struct control_request request;

    cr_assert_null(parse("{\"request\":\"reload\"}", &request));
    cr_expect_eq(request.verb, CONTROL_RELOAD);
    control_request_release(&request);
    cr_assert_null(parse(" {\"request\":\"bans\"} ", &request));
    cr_expect_eq(request.verb, CONTROL_BANS);
    control_request_release(&request);
    cr_assert_null(parse("{\"request\":\"lift\",\"all\":true}", &request));
    cr_expect(request.verb == CONTROL_LIFT && request.all);
    control_request_release(&request);
    cr_assert_null(parse("{\"request\":\"lift\",\"by\":\"address\",\"value\":\"192.0.2.1\"}", &request));
    cr_expect(request.verb == CONTROL_LIFT && !request.all && request.by == BAN_BY_ADDRESS);
    cr_expect(view_equal_string(request.value, "192.0.2.1"));
    control_request_release(&request);
    cr_assert_null(parse(
        "{\"value\":\"a\\n\\u00e9\",\"request\":\"ban\",\"for_ms\":600000,\"by\":\"id\",\"reason\":\"\"}",
        &request));
    cr_expect(request.verb == CONTROL_BAN && request.by == BAN_BY_ID && request.for_ms == 600000);
    cr_expect(view_equal_string(request.value, "a\n\xc3\xa9") && request.reason.length == 0);
    control_request_release(&request);
}

Test(control_request, what_is_none)
{
    static const char *const rows[][2] = {
        {"", "not a JSON object"},
        {"reload", "not a JSON object"},
        {"\"reload\"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{\"request\":\"reload\"} x", "not a JSON object"},
        {"{\"request\":\"reload\",\"request\":\"bans\"}", "not a JSON object"},
        {"{\"request\":\"\xff\"}", "not a JSON object"},
        {"{\"request\":\"a\\u0000b\"}", "not a JSON object"},
        {"{}", "request: none that is known"},
        {"{\"request\":7}", "request: none that is known"},
        {"{\"request\":\"stop\"}", "request: none that is known"},
        {"{\"request\":\"reload\",\"now\":1}", "a member that this request does not have"},
        {"{\"request\":\"reload\",\"all\":true}", "a member that this request does not have"},
        {"{\"request\":\"lift\",\"for_ms\":1,\"all\":true}", "a member that this request does not have"},
        {"{\"request\":\"lift\"}", "a member that this request needs is missing"},
        {"{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\"}",
            "a member that this request needs is missing"},
        {"{\"request\":\"lift\",\"all\":false}", "all: not true, or beside others"},
        {"{\"request\":\"lift\",\"all\":true,\"by\":\"id\",\"value\":\"x\"}",
            "all: not true, or beside others"},
        {"{\"request\":\"lift\",\"by\":\"id\"}", "value: not a text, or empty"},
        {"{\"request\":\"lift\",\"value\":\"x\"}", "by: neither id nor address"},
        {"{\"request\":\"lift\",\"by\":\"name\",\"value\":\"x\"}", "by: neither id nor address"},
        {"{\"request\":\"lift\",\"by\":\"id\",\"value\":\"\"}", "value: not a text, or empty"},
        {"{\"request\":\"lift\",\"by\":\"id\",\"value\":[\"x\"]}", "value: not a text, or empty"},
        {"{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\",\"for_ms\":0}",
            "for_ms: not a number from 1 to that of 365 days"},
        {"{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\",\"for_ms\":-1}",
            "for_ms: not a number from 1 to that of 365 days"},
        {"{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\",\"for_ms\":\"1\"}",
            "for_ms: not a number from 1 to that of 365 days"},
        {"{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\",\"for_ms\":1e3}",
            "for_ms: not a number from 1 to that of 365 days"},
        {"{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\",\"for_ms\":31536000001}",
            "for_ms: not a number from 1 to that of 365 days"},
        {"{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\",\"for_ms\":1,\"reason\":null}",
            "reason: not a text of at most 200 bytes"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct control_request request;
        const char *error = parse(rows[i][0], &request);

        cr_assert_not_null(error, "%s", rows[i][0]);
        cr_expect_str_eq(error, rows[i][1], "%s: %s", rows[i][0], error);
        cr_expect_null(request.document);
    }
}

Test(control_request, no_beginning_of_a_request_is_one)
{
    static const char whole[] =
        "{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\",\"for_ms\":1,\"reason\":\"y\"}";
    struct control_request request;

    for (size_t length = 0; length < sizeof(whole) - 1; length++)
        cr_assert_not_null(control_request_parse(view_of(whole, length), &request), "%zu", length);
    cr_assert_null(parse(whole, &request));
    control_request_release(&request);
}

Test(control_request, depth_and_length_are_bounded)
{
    char *deep = memory_calloc(1, CONTROL_REQUEST_MAX + 1);
    struct control_request request;

    memset(deep, '[', CONTROL_REQUEST_MAX);
    cr_expect_str_eq(parse(deep, &request), "not a JSON object");
    free(deep);
    deep = memory_format(
        "{\"request\":\"ban\",\"by\":\"id\",\"value\":\"x\",\"for_ms\":1,\"reason\":\"%0201d\"}", 7);
    cr_expect_str_eq(parse(deep, &request), "reason: not a text of at most 200 bytes");
    free(deep);
}
