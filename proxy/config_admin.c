/* SPDX-License-Identifier: Apache-2.0 */
/* admin: of mqward.yaml: where metrics and health are asked for. Called by proxy/config.c through the table
 * of the file. */
#include <arpa/inet.h>

#include "proxy/config_build.h"

#define ADMIN(field) offsetof(struct config_admin, field)

static int set_listen(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    bool path = node->kind == YAML_SCALAR && node->text.length > 0 && node->text.data[0] == '/';
    return path ? config_set_socket_address(context, keyword, target, node)
                : config_set_listen_address(context, keyword, target, node);
}

static const struct keyword_choice allowed[] = {
    {"loopback", false, false, "whoever is on this machine."},
    {"remote", true, false, "whoever reaches the address: there are no passwords and there is no TLS."},
    {0},
};

const struct keyword config_admin_table[] = {
    {.name = "listen",
        .set = set_listen,
        .offset = ADMIN(listen),
        .flags = KEYWORD_REQUIRED,
        .value = "`host:port`, `[v6]:port` or the absolute path of a socket",
        .example = "127.0.0.1:9883",
        .help = "Where it listens. A socket has mode 0660, so that the group of mqward's user may ask; its "
                "folder must be there, and nobody else may be able to write to it."},
    {.name = "allow",
        .set = keyword_set_choice,
        .offset = ADMIN(remote),
        .default_text = "loopback",
        .choices = allowed,
        .help = "Who may be able to ask. An address that is not of loopback is refused without `remote`."},
    {0},
};

static bool is_loopback(const char *host)
{
    struct in6_addr v6;
    struct in_addr v4;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int config_set_admin(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_admin *admin = (void *)((char *)target + keyword->offset);
    const struct config_address *listen = &admin->listen;
    if (keyword_set_mapping(context, keyword, target, node) != 0)
        return -1;
    if (listen->text == NULL || listen->unix_path != NULL || admin->remote || is_loopback(listen->host))
        return 0;
    diag_add(context->diag, DIAG_ERROR, &listen->place,
        "write 127.0.0.1 or ::1, a path, or, if everybody who reaches it may ask, 'allow: remote'",
        "listen: '%s' is not an address of loopback", listen->text);
    return -1;
}
