/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin listener answers. Called by admin.c, on the main thread. */
#include <string.h>

#include "base/log.h"
#include "proxy/admin.h"
#include "proxy/server_internal.h"

static void answer_metrics(struct server *server, struct admin_answer *answer)
{
    answer->content_type = METRICS_CONTENT_TYPE;
    server_write_metrics(server, &answer->body);
}

/* That this is answered is what it says: the process lives, and its loop turns. */
static void answer_health(struct server *server, struct admin_answer *answer)
{
    (void)server;
    buffer_append(&answer->body, VIEW("ok\n"));
}

static void answer_readiness(struct server *server, struct admin_answer *answer)
{
    server_unready(server, &answer->body);
    if (buffer_length(&answer->body) == 0)
        buffer_append(&answer->body, VIEW("ready\n"));
    else
        answer->status = 503;
}

static void answer_status(struct server *server, struct admin_answer *answer)
{
    answer->content_type = "application/json";
    server_write_status(server, &answer->body);
}

static const struct {
    const char *path;
    void (*answer)(struct server *server, struct admin_answer *answer);
} answers[] = {
    {"/metrics", answer_metrics},
    {"/healthz", answer_health},
    {"/readyz", answer_readiness},
    {"/status", answer_status},
};

static bool on_request(void *context, const char *path, struct admin_answer *answer)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        if (strcmp(path, answers[i].path) == 0) {
            answers[i].answer(context, answer);
            return true;
        }
    return false;
}

int server_admin_open(struct server *server)
{
    const struct config_admin *config = &server->snapshot->config->admin;
    char error[512] = "";

    if (config->listen.text == NULL)
        return 0;
    server->watch.admin = admin_open(config, server->base, on_request, server, error, sizeof(error));
    if (server->watch.admin == NULL) {
        LOG_EVENT(LOG_ERROR, "admin", "can't open the admin listener",
            log_string("address", config->listen.text), log_string("error", error));
        return -1;
    }
    LOG_EVENT(LOG_INFO, "admin", "metrics and health are answered",
        log_string("address", admin_address(server->watch.admin)));
    if (config->remote)
        LOG_EVENT(LOG_WARN, "admin", "whoever reaches the address may ask: allow is remote",
            log_string("address", admin_address(server->watch.admin)));
    return 0;
}

void server_admin_close(struct server *server)
{
    admin_close(server->watch.admin);
    server->watch.admin = NULL;
}
