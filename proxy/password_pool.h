/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that check passwords: their hashes are slow by design, and a worker must not wait for one. */
#ifndef MQWARD_PROXY_PASSWORD_POOL_H
#define MQWARD_PROXY_PASSWORD_POOL_H

#include "base/reason.h"
#include "proxy/logins.h"
#include "proxy/service.h"

struct password_pool;
struct password_job;
struct worker;

/* threads: checks at the same time. NULL: no thread could be started (errno). */
struct password_pool *password_pool_new(unsigned threads);
/* Ends the threads; what was not checked is not. NULL is fine. */
void password_pool_free(struct password_pool *pool);

typedef void password_done(void *owner, enum reason found);
/* Who wants to know. */
struct password_request {
    struct worker *worker;
    struct snapshot *snapshot;
    struct view
        address; /* of the client: a wrong password counts for it, whether or not it waits for the answer */
    struct login_limits limits;
    password_done *done;
    void *owner;
};
/* Has the password checked; done(owner, ...) is called on the worker's thread, once. Copies what it needs.
 * NULL: too many wait already. */
struct password_job *password_pool_submit(struct password_pool *pool, const struct password_request *request,
    const struct session_password_check *check);
/* The worker's thread: done is not called any more. */
void password_job_cancel(struct password_job *job); /* NULL is fine */

#endif
