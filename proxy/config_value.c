/* SPDX-License-Identifier: Apache-2.0 */
/* The values that mqward.yaml has beyond those of base/keyword.c: one-line texts, paths, addresses,
 * references, optional timeouts, and what lists of mappings have in common. Called through the tables of
 * proxy/config*.c. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/buffer.h"
#include "base/number.h"
#include "proxy/config_build.h"

#define CONFIG_TEXT_MAX 4096     /* bytes of any string; PATH_MAX */
#define CONFIG_TIMEOUT_MIN 100   /* milliseconds; less refuses everybody */
#define CONFIG_HOST_NAME_MAX 253 /* RFC 1035 section 2.3.4, in text */
#define CONFIG_LABEL_MAX 63
#define CONFIG_NAME_MAX 64

struct config_builder *config_builder_of(struct keyword_context *context)
{
    return context->user;
}

/* Texts */

static bool is_label_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '-' || byte == '_';
}

/* The scalar's text, one line and not empty; NULL after an error. */
static const char *read_text(
    struct keyword_context *context, const struct keyword *keyword, const struct yaml_node *node)
{
    struct keyword_string string = {0};
    const struct keyword plain = {.name = keyword->name};
    if (keyword_set_string(context, &plain, &string, node) != 0)
        return NULL;
    for (size_t i = 0; i < string.text.length; i++) {
        if (string.text.data[i] < 0x20) {
            keyword_error(
                context, node, NULL, "%s: must be one line without control characters", keyword->name);
            return NULL;
        }
    }
    if (string.text.length >= CONFIG_TEXT_MAX) {
        keyword_error(context, node, NULL, "%s: longer than %d bytes", keyword->name, CONFIG_TEXT_MAX - 1);
        return NULL;
    }
    return (const char *)string.text.data; /* the setter's copy is followed by a NUL */
}

static void *field_of(const struct keyword *keyword, void *target)
{
    return (char *)target + keyword->offset;
}

int config_set_text(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const char *text = read_text(context, keyword, node);
    if (text != NULL)
        *(const char **)field_of(keyword, target) = text;
    return text == NULL ? -1 : 0;
}

int config_set_path(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const char *text = read_text(context, keyword, node);
    if (text == NULL)
        return -1;
    const char *folder = text[0] == '/' ? "" : config_builder_of(context)->folder;
    struct config_path *path = field_of(keyword, target);
    path->path = arena_format(context->arena, "%s%s", folder, text);
    path->place = node->place;
    return 0;
}

bool config_is_name(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!is_label_byte(text.data[i]))
            return false;
    }
    return text.length > 0 && text.length <= CONFIG_NAME_MAX;
}

int config_set_optional_timeout(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_set_duration_ms(context, keyword, target, node) != 0)
        return -1;
    uint64_t value = *(uint64_t *)field_of(keyword, target);
    if (value != 0 && value < CONFIG_TIMEOUT_MIN)
        return keyword_error(context, node, "0 switches it off", "%s: must be at least %dms, found '%.*s'",
            keyword->name, CONFIG_TIMEOUT_MIN, VIEW_ARGS(node->text));
    return 0;
}

/* Addresses */

bool config_is_host_name(struct view text)
{
    if (text.length == 0 || text.length > CONFIG_HOST_NAME_MAX)
        return false;
    size_t label = 0;
    bool label_is_number = true; /* the last label: RFC 1123 tells names from addresses by it */
    for (size_t i = 0; i < text.length; i++) {
        bool hyphen_inside = label > 0 && i + 1 < text.length && text.data[i + 1] != '.';
        if (text.data[i] == '-' && !hyphen_inside)
            return false;
        if (text.data[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
            label_is_number = true;
            continue;
        }
        if (!is_label_byte(text.data[i]) || ++label > CONFIG_LABEL_MAX)
            return false;
        label_is_number = label_is_number && text.data[i] >= '0' && text.data[i] <= '9';
    }
    return label > 0 && !label_is_number;
}

static bool is_ipv4(const char *host)
{
    struct in_addr address;
    return inet_pton(AF_INET, host, &address) == 1;
}

/* With or without a zone ("fe80::1%eth0"). */
static bool is_ipv6(const char *host)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    size_t length = strcspn(host, "%");
    if (length >= sizeof(address) || (host[length] == '%' && host[length + 1] == '\0'))
        return false;
    memcpy(address, host, length);
    address[length] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1;
}

/* The addresses that a keyword takes. */
struct address_form {
    uint64_t least_port;
    const char *hint;
};

static const struct address_form listen_form = {0, "write host:port, or [::1]:port for IPv6"};
static const struct address_form connect_form = {1, "write host:port, or [::1]:port for IPv6"};
static const struct address_form socket_form = {
    1, "write host:port, [::1]:port for IPv6, or the absolute path of a socket"};

/* What is wrong with an address, and how to write it. NULL: nothing. */
struct address_problem {
    const char *problem, *hint;
};

static struct address_problem split_address(struct arena *arena, const struct address_form *accepted,
    const char *text, struct config_address *address)
{
    const char *form = accepted->hint;
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (text[0] == '[') {
        const char *bracket = strchr(text, ']');
        if (bracket == NULL || bracket[1] != ':')
            return (struct address_problem){"no port behind the brackets", form};
        colon = bracket + 1;
        address->host = arena_copy_string(arena, view_of(text + 1, (size_t)(bracket - text - 1)));
        if (!is_ipv6(address->host))
            return (struct address_problem){"not an IPv6 address within the brackets", form};
    } else {
        if (colon == NULL)
            return (struct address_problem){"the port is missing", form};
        address->host = arena_copy_string(arena, view_of(text, (size_t)(colon - text)));
        if (address->host[0] == '\0')
            return (struct address_problem){
                "the host is missing", "for all addresses write 0.0.0.0:port or [::]:port"};
        if (strchr(address->host, ':') != NULL)
            return (struct address_problem){"an IPv6 address stands in brackets", form};
        if (!is_ipv4(address->host) && !config_is_host_name(view_of_string(address->host)))
            return (struct address_problem){"neither a host name nor an IP address", form};
    }
    if (number_parse(view_of_string(colon + 1), &port) != 0 || port < accepted->least_port ||
        port > UINT16_MAX)
        return (struct address_problem){accepted->least_port == 0 ? "the port must be from 0 to 65535"
                                                                  : "the port must be from 1 to 65535",
            form};
    address->port = (uint16_t)port;
    return (struct address_problem){0};
}

static int set_address(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node, const struct address_form *form)
{
    struct config_address *address = field_of(keyword, target);
    struct config_address read = {.text = read_text(context, keyword, node), .place = node->place};
    if (read.text == NULL)
        return -1;
    struct address_problem found = split_address(context->arena, form, read.text, &read);
    if (found.problem != NULL)
        return keyword_error(
            context, node, found.hint, "%s: '%s': %s", keyword->name, read.text, found.problem);
    *address = read;
    return 0;
}

int config_set_listen_address(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_address(context, keyword, target, node, &listen_form);
}

int config_set_connect_address(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_address(context, keyword, target, node, &connect_form);
}

int config_set_socket_address(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (node->kind != YAML_SCALAR || node->text.length == 0 || node->text.data[0] != '/')
        return set_address(context, keyword, target, node, &socket_form);
    const char *path = read_text(context, keyword, node);
    if (path == NULL)
        return -1;
    size_t limit = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    if (strlen(path) > limit)
        return keyword_error(
            context, node, NULL, "%s: the path of a socket has at most %zu bytes", keyword->name, limit);
    *(struct config_address *)field_of(keyword, target) =
        (struct config_address){.text = path, .unix_path = path, .place = node->place};
    return 0;
}

int config_set_server_name(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const char *name = read_text(context, keyword, node);
    if (name == NULL)
        return -1;
    if (!config_is_host_name(view_of_string(name)) && !is_ipv4(name) && !is_ipv6(name))
        return keyword_error(
            context, node, NULL, "%s: '%s' is neither a host name nor an IP address", keyword->name, name);
    *(const char **)field_of(keyword, target) = name;
    return 0;
}

/* References */

void config_add_reference(struct keyword_context *context, struct keyword_string name,
    const struct config_named_file **ca, const struct config_upstream **upstream)
{
    assert((ca == NULL) != (upstream == NULL));
    struct config_builder *builder = config_builder_of(context);
    struct config_reference *reference = arena_alloc(context->arena, sizeof(*reference));
    *reference = (struct config_reference){.name = name, .ca = ca, .upstream = upstream};
    *builder->references_tail = reference;
    builder->references_tail = &reference->next;
}

int config_set_ca(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct keyword_string name = {0};
    const struct keyword plain = {.name = keyword->name};
    if (keyword_set_string(context, &plain, &name, node) != 0)
        return -1;
    config_add_reference(context, name, field_of(keyword, target), NULL);
    return 0;
}

/* Mappings and lists of them */

const struct yaml_node *config_find_member(const struct yaml_node *mapping, const char *key)
{
    for (const struct yaml_node *member = mapping->first; member != NULL; member = member->next) {
        if (view_equal_string(member->key, key))
            return member;
    }
    return NULL;
}

void config_check_key_pair(struct keyword_context *context, const struct yaml_node *mapping)
{
    const struct yaml_node *certificate = config_find_member(mapping, "certificate");
    const struct yaml_node *key = config_find_member(mapping, "key");
    if ((certificate == NULL) == (key == NULL))
        return;
    const struct yaml_node *given = certificate == NULL ? key : certificate;
    diag_add(context->diag, DIAG_ERROR, &given->key_place, NULL, "'%s' needs '%s' beside it",
        certificate == NULL ? "key" : "certificate", certificate == NULL ? "certificate" : "key");
}

void *config_read_list(struct keyword_context *context, const struct keyword *keyword,
    const struct yaml_node *node, size_t row_size,
    void (*finish)(struct keyword_context *context, void *row, const struct yaml_node *node))
{
    if (keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return NULL;
    if (node->count > CONFIG_LIST_MAX) {
        keyword_error(context, node, NULL, "%s: more than %d items", keyword->name, CONFIG_LIST_MAX);
        return NULL;
    }
    char *rows = arena_calloc(context->arena, node->count + 1, row_size);
    char *row = rows;
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next, row += row_size) {
        if (item->kind != YAML_MAPPING) {
            const char *first = keyword->members[0].name;
            keyword_error(context, item, arena_format(context->arena, "such as '- %s: ...'", first),
                "%s: an item must be a mapping", keyword->name);
            continue;
        }
        keyword_read(context, keyword->members, row, item);
        if (finish != NULL)
            finish(context, row, item);
    }
    return rows;
}

static int compare_unique(const void *left, const void *right)
{
    const struct config_unique *a = left, *b = right;
    int by_key = strcmp(a->key, b->key);
    if (by_key != 0)
        return by_key;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line ? -1 : 1;
    return a->place.column < b->place.column ? -1 : a->place.column > b->place.column;
}

size_t config_check_unique(
    struct keyword_context *context, struct config_unique *items, size_t count, const char *what)
{
    size_t before = diag_errors(context->diag);
    if (count > 1)
        qsort(items, count, sizeof(*items), compare_unique);
    const struct config_unique *first = items;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(items[i].key, first->key) != 0) {
            first = &items[i];
            continue;
        }
        char hint[64];
        snprintf(
            hint, sizeof(hint), "first given at line %u, column %u", first->place.line, first->place.column);
        diag_add(
            context->diag, DIAG_ERROR, &items[i].place, hint, "%s '%s' is given twice", what, items[i].shown);
    }
    return diag_errors(context->diag) - before;
}

/* ---- as it was written ---- */

static void show(struct buffer *out, const struct yaml_node *node)
{
    if (node->kind == YAML_SCALAR) {
        /* lengths keep apart what quotes would have to be escaped for */
        buffer_format(out, "%c%zu:%.*s", node->quoted ? 'q' : 's', node->text.length, VIEW_ARGS(node->text));
        return;
    }
    buffer_append_byte(out, node->kind == YAML_MAPPING ? '{' : '[');
    for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
        buffer_format(out, "%.*s=", VIEW_ARGS(child->key));
        show(out, child);
        buffer_append_byte(out, ',');
    }
    buffer_append_byte(out, '}');
}

const char *config_show(struct keyword_context *context, const struct yaml_node *node)
{
    struct buffer out = {0};

    show(&out, node);
    buffer_append_byte(&out, 0);
    char *text = arena_alloc(context->arena, buffer_length(&out));
    memcpy(text, buffer_view(&out).data, buffer_length(&out));
    buffer_release(&out);
    return text;
}
