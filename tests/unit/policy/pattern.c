/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts: globs, networks, safety of values. */
#include "policy/pattern.h"

#include "policy/network.h"
#include "support.h"

Test(pattern, globs)
{
    static const struct {
        const char *glob, *text;
        bool matches;
    } rows[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"*", "", true},
        {"*", "abc", true},
        {"a*", "a", true},
        {"a*c", "abbc", true},
        {"a*c", "abb", false},
        {"*b*", "abc", true},
        {"a*b*c", "aXbYbZc", true},
        {"", "", true},
        {"", "a", false},
        {"?", "a", false},
        {"a**b", "ab", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(glob_matches(view_of_string(rows[i].glob), view_of_string(rows[i].text)),
            rows[i].matches, "%s %s", rows[i].glob, rows[i].text);
}

Test(pattern, networks)
{
    static const struct {
        const char *network, *address;
        bool contains;
    } rows[] = {
        {"10.20.0.0/16", "10.20.255.1", true},
        {"10.20.0.0/16", "10.21.0.0", false},
        {"10.20.0.0/15", "10.21.0.0", true},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"1.2.3.4", "1.2.3.4", true},
        {"1.2.3.4/32", "1.2.3.5", false},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::/0", "1.2.3.4", true},
        {"fe80::/10", "fe80::1%eth0", true},
        {"1.2.3.4/31", "::ffff:1.2.3.5", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct network network;
        uint8_t address[16];
        cr_assert_eq(
            network_parse(view_of_string(rows[i].network), &network), NETWORK_OK, "%s", rows[i].network);
        cr_assert(network_parse_address(view_of_string(rows[i].address), address));
        cr_expect_eq(
            network_contains(&network, address), rows[i].contains, "%s %s", rows[i].network, rows[i].address);
    }
    struct network network;
    cr_expect_eq(network_parse(VIEW("10.0.0.1/8"), &network), NETWORK_HOST_BITS);
    static const char *const bad[] = {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0/8", "x",
        "::1/129", "10.0.0.0/8 ", "1.2.3.4%eth0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(network_parse(view_of_string(bad[i]), &network), NETWORK_MALFORMED, "%s", bad[i]);
}

Test(pattern, values_that_are_safe_in_a_topic)
{
    static const char *const safe[] = {
        "a", "a b", "\xc3\xa4", "a$", "<id>", "*", "\xef\xbb\xbfx", "\xc2\xa0"};
    static const struct view unsafe[] = {VIEW(""), VIEW("/"), VIEW("a/b"), VIEW("+"), VIEW("a#"), VIEW("$a"),
        VIEW("a\0b"), VIEW("\n"), VIEW("\x7f"), VIEW("\xc2\x80"), VIEW("\xc2\x9f"), VIEW("\xc0\xaf"),
        VIEW("\xff")};
    for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
        cr_expect(placeholder_value_safe(view_of_string(safe[i])), "%s", safe[i]);
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(unsafe[0]); i++)
        cr_expect_not(placeholder_value_safe(unsafe[i]), "row %zu", i);
}
