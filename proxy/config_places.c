/* SPDX-License-Identifier: Apache-2.0 */
/* What several parts of mqward.yaml would have in common and can't share: an address that two listen on, a
 * path that two write to. Each part is right by itself. Called by config.c when the whole file is read. */
#include <arpa/inet.h>
#include <ctype.h>
#include <strings.h>

#include "base/path.h"
#include "proxy/config_build.h"

static const char *place_text(struct keyword_context *context, const struct diag_place *place)
{
    return arena_format(context->arena, "line %u, column %u", place->line, place->column);
}

/* ---- addresses ---- */

struct listened {
    const char *who; /* "listener", "admin" */
    const struct config_address *address;
    int family; /* 0: a host name */
    struct in6_addr bytes;
};

static struct listened listened_of(const char *who, const struct config_address *address)
{
    struct listened listened = {.who = who, .address = address};

    if (inet_pton(AF_INET, address->host, &listened.bytes) == 1)
        listened.family = AF_INET;
    else if (inet_pton(AF_INET6, address->host, &listened.bytes) == 1)
        listened.family = AF_INET6;
    return listened;
}

static bool is_any(const struct listened *listened)
{
    static const struct in6_addr any;

    return listened->family != 0 && memcmp(&listened->bytes, &any, sizeof(any)) == 0;
}

static bool is_same(const struct listened *a, const struct listened *b)
{
    if (a->family != b->family)
        return false;
    return a->family == 0 ? strcasecmp(a->address->host, b->address->host) == 0
                          : memcmp(&a->bytes, &b->bytes, sizeof(a->bytes)) == 0;
}

/* a stands before b. Names are not resolved: what they mean is known when they are listened on. */
static void compare_listened(
    struct keyword_context *context, const struct listened *a, const struct listened *b)
{
    const struct config_address *taken = a->address, *wanted = b->address;
    const char *hint;

    if (taken->port != wanted->port || taken->port == 0)
        return;
    hint = arena_format(
        context->arena, "%s of the %s at %s", taken->text, a->who, place_text(context, &taken->place));
    if (is_same(a, b) || (a->family == b->family && (is_any(a) || is_any(b))))
        diag_add(context->diag, DIAG_ERROR, &wanted->place, hint, "%s: '%s' is listened on already", b->who,
            wanted->text);
    else if ((a->family == AF_INET6 && is_any(a) && b->family == AF_INET) ||
             (b->family == AF_INET6 && is_any(b) && a->family == AF_INET))
        diag_add(context->diag, DIAG_WARNING, &wanted->place, hint,
            "%s: '%s' is listened on already, unless net.ipv6.bindv6only is 1", b->who, wanted->text);
}

/* Two listeners of one address are config_listener.c's finding. */
static void check_addresses(struct keyword_context *context, const struct config *config)
{
    struct listened *all = arena_calloc(context->arena, config->listener_count + 1, sizeof(*all));
    size_t count = 0, listeners;

    for (size_t i = 0; i < config->listener_count; i++)
        if (config->listeners[i].address.text != NULL)
            all[count++] = listened_of("listener", &config->listeners[i].address);
    listeners = count;
    if (config->admin.listen.text != NULL && config->admin.listen.unix_path == NULL)
        all[count++] = listened_of("admin listener", &config->admin.listen);
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            if (j >= listeners || !is_same(&all[i], &all[j]))
                compare_listened(context, &all[i], &all[j]);
}

/* ---- files ---- */

/* A file that mqward makes, or writes to. */
struct made {
    const char *who;  /* "path", the keyword */
    const char *real; /* where it leads */
    const struct config_path *path;
    const struct config_sink_file *sink; /* NULL: it is none's */
};

struct all_made {
    struct made *items;
    size_t count;
};

static void add_made(struct keyword_context *context, struct all_made *all, const char *who,
    const struct config_path *path, const struct config_sink_file *sink)
{
    const char *real = path->path == NULL ? NULL : path_real_file(context->arena, path->path);

    if (real != NULL)
        all->items[all->count++] = (struct made){who, real, path, sink};
    else if (path->path != NULL)
        diag_add(
            context->diag, DIAG_ERROR, &path->place, NULL, "%s: '%s' is no path of a file", who, path->path);
}

/* Of two sinks with one path config_sink_file.c tells as well, where both are written alike. */
static bool is_told(const struct made *a, const struct made *b)
{
    return a->sink != NULL && b->sink != NULL && strcmp(a->path->path, b->path->path) == 0;
}

/* What rotation makes of a's file: "<path>.<number>". */
static bool is_rotated(const struct made *a, const struct made *b)
{
    size_t length = strlen(a->real);
    const char *number = b->real + length + 1;

    return a->sink != NULL && a->sink->max_size > 0 && strncmp(a->real, b->real, length) == 0 &&
           b->real[length] == '.' && *number >= '1' && *number <= '9' &&
           number[strspn(number, "0123456789")] == '\0';
}

static void compare_made(struct keyword_context *context, const struct made *a, const struct made *b)
{
    const char *where = place_text(context, &a->path->place);

    if (strcmp(a->real, b->real) == 0 && !is_told(a, b))
        diag_add(context->diag, DIAG_ERROR, &b->path->place, arena_format(context->arena, "at %s", where),
            "%s: '%s' is the file of another part of the configuration", b->who, b->path->path);
    if (is_rotated(a, b))
        diag_add(context->diag, DIAG_ERROR, &b->path->place,
            arena_format(context->arena, "or 'max_size: 0' at %s", where),
            "%s: '%s' is what the rotation of '%s' would write over", b->who, b->path->path, a->path->path);
}

/* The audit directory is the trail's alone: its files are known by their names, and nobody who writes there
 * is to be taken for it. So is the quarantine. */
static void check_folders(
    struct keyword_context *context, const struct config *config, const struct all_made *all)
{
    static const char *const names[] = {"audit.directory", "scan.quarantine.directory"};
    const struct config_path *const paths[] = {&config->audit.directory, &config->scan.quarantine.directory};
    const char *real[2];

    for (size_t i = 0; i < 2; i++) {
        real[i] = paths[i]->path == NULL ? NULL : path_real(context->arena, paths[i]->path);
        for (size_t k = 0; real[i] != NULL && k < all->count; k++)
            if (all->items[k].sink != NULL &&
                strcmp(path_folder(context->arena, all->items[k].real), real[i]) == 0)
                diag_add(context->diag, DIAG_ERROR, &all->items[k].path->place, "a folder of its own",
                    "%s: '%s' lies in %s, where nothing else may write", all->items[k].who,
                    all->items[k].path->path, names[i]);
    }
    if (real[0] != NULL && real[1] != NULL && strcmp(real[0], real[1]) == 0)
        diag_add(context->diag, DIAG_ERROR, &paths[1]->place, "a folder of its own",
            "directory: '%s' is the audit directory", paths[1]->path);
}

static void check_files(struct keyword_context *context, const struct config *config)
{
    const struct config_path admin = {config->admin.listen.unix_path, config->admin.listen.place};
    struct all_made all = {arena_calloc(context->arena, config->audit.sink_count + 3, sizeof(*all.items)), 0};

    for (size_t i = 0; i < config->audit.sink_count; i++)
        if (config->audit.sinks[i].file != NULL)
            add_made(context, &all, "path", &config->audit.sinks[i].file->path, config->audit.sinks[i].file);
    add_made(context, &all, "signing_key", &config->audit.chain.signing_key, NULL);
    add_made(context, &all, "socket", &config->control_socket, NULL);
    add_made(context, &all, "listen", &admin, NULL);
    for (size_t i = 0; i < all.count; i++)
        for (size_t k = 0; k < all.count; k++)
            if (i != k && (i < k || is_rotated(&all.items[i], &all.items[k])))
                compare_made(context, &all.items[i], &all.items[k]);
    check_folders(context, config, &all);
}

void config_check_places(struct keyword_context *context)
{
    const struct config *config = &config_builder_of(context)->config;

    check_addresses(context, config);
    check_files(context, config);
}
