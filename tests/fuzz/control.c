/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the control socket: what is taken is one of those that there are, and an address in it has a
 * site that is its own. */
#include <stdlib.h>

#include "base/address.h"
#include "proxy/control_request.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static void check_site(struct view value)
{
    char site[ADDRESS_SITE_SIZE], again[ADDRESS_SITE_SIZE];

    if (!address_site(value, site)) {
        CHECK(site[0] == 0);
        return;
    }
    CHECK(address_site(view_of_string(site), again) && strcmp(site, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_request request;
    const char *error = control_request_parse(view_of(data, size), &request);

    check_site(view_of(data, size));
    if (error != NULL) {
        CHECK(error[0] != 0 && request.document == NULL && request.value.length == 0);
        return 0;
    }
    CHECK(request.verb <= CONTROL_LIFT && request.by < BAN_KINDS &&
          request.reason.length <= CONTROL_REASON_MAX);
    CHECK((request.verb == CONTROL_BAN) == (request.for_ms != 0) && request.for_ms <= BAN_LONGEST_MS);
    CHECK((request.value.length != 0) == (request.verb >= CONTROL_BAN && !request.all));
    CHECK(!request.all || request.verb == CONTROL_LIFT);
    check_site(request.value);
    control_request_release(&request);
    return 0;
}
