/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses are one party's. */
#include "base/address.h"

#include <criterion/criterion.h>

Test(address, sites)
{
    static const struct {
        const char *address, *site;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
        {"2001:DB8:1:2::", "2001:db8:1:2::/64"},
        {"2001:db8:1:2::/64", "2001:db8:1:2::/64"},
        {"2001:db8:1:2::7/64", "2001:db8:1:2::/64"},
        {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:ffff:ffff::/64"},
        {"::1", "::1"},
        {"fe80::1", "fe80::1"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
        {"2001:0:1:2:3:4:5:6", "2001:0:1:2:3:4:5:6"},
        {"2002:c000:201:1::5", "2002:c000:201:1::/64"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char site[ADDRESS_SITE_SIZE], again[ADDRESS_SITE_SIZE];

        cr_expect(address_site(view_of_string(rows[i].address), site), "%s", rows[i].address);
        cr_expect_str_eq(site, rows[i].site);
        cr_expect(address_site(view_of_string(site), again), "%s", site);
        cr_expect_str_eq(again, site, "a site is its own");
    }
}

Test(address, what_is_no_address_has_no_site)
{
    static const struct view rows[] = {VIEW(""), VIEW("unknown"), VIEW("localhost"), VIEW("192.0.2"),
        VIEW("192.0.2.1/64"), VIEW("192.0.2.1 "), VIEW("192.0.2.1\0x"), VIEW("2001:db8::1/48"), VIEW("/64"),
        VIEW("::1/64"), VIEW("fe80::1%eth0"), VIEW("::ffff:192.0.2.1/64"),
        VIEW("2001:db8:1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3:4:5:6:7:8:9")};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char site[ADDRESS_SITE_SIZE] = "x";

        cr_expect_not(address_site(rows[i], site), "%.*s", VIEW_ARGS(rows[i]));
        cr_expect_str_empty(site);
    }
}
