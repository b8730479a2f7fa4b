/* SPDX-License-Identifier: Apache-2.0 */
/* Failed logins, per address and per user name: who guesses passwords is refused unchecked for a while.
 * Thread-safe; touched once a CONNECT with a password. Bounded memory: when the table is full, the oldest
 * counts are forgotten. */
#ifndef MQWARD_PROXY_LOGINS_H
#define MQWARD_PROXY_LOGINS_H

#include "base/view.h"

struct logins;

struct login_limits {
    uint64_t per_address, per_name; /* failures within the window; 0: any number */
    uint64_t window_ms;
};

struct logins *logins_new(void);
void logins_free(struct logins *logins); /* NULL is fine */

/* False: the address or the name has failed too often within the window that runs; nothing is to be checked.
 */
bool logins_may_try(struct logins *logins, const struct login_limits *limits, struct view address,
    struct view name, uint64_t now_ms);
/* A password was wrong. */
void logins_failed(struct logins *logins, const struct login_limits *limits, struct view address,
    struct view name, uint64_t now_ms);

#endif
