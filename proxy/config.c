/* SPDX-License-Identifier: Apache-2.0 */
/* mqward.yaml as a whole: the table of the file, loading, and the names that its sections use of each other.
 * Called by the command line (run, check) and at a reload. The sections are in proxy/config_*.c; each keyword
 * is a row of a table. */
#include "proxy/config.h"

#include <sys/un.h>

#include "base/log.h"
#include "base/number.h"
#include "proxy/config_build.h"

#define CONFIG_BYTES_MAX ((size_t)1 << 20)
#define CONFIG_WORKERS_MAX 256
#define MS_HOUR 3600000

static int set_version(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_set_number(context, keyword, target, node) != 0)
        return -1;
    if (((struct config_builder *)target)->version == 1)
        return 0;
    return keyword_error(
        context, node, "write 'version: 1'", "version %.*s of this file is not known", VIEW_ARGS(node->text));
}

static int set_workers(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_builder *builder = target;
    if (node->kind == YAML_SCALAR && view_equal(node->text, VIEW("auto"))) {
        builder->config.workers = CONFIG_AUTO;
        return 0;
    }
    uint64_t number;
    if (node->kind == YAML_SCALAR && !node->quoted && number_parse(node->text, &number) == 0)
        return keyword_set_number(context, keyword, target, node);
    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return -1;
    return keyword_error(context, node, NULL, "workers: expected auto or a number from 1 to %d, found '%.*s'",
        CONFIG_WORKERS_MAX, VIEW_ARGS(node->text));
}

/* cas, password_files, jwks: a mapping whose keys are names. Reads into an array; NULL after an error. */
static struct config_named_file *read_named_files(
    struct keyword_context *context, const struct keyword *keyword, const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return NULL;
    if (node->count > CONFIG_LIST_MAX) {
        keyword_error(context, node, NULL, "%s: more than %d names", keyword->name, CONFIG_LIST_MAX);
        return NULL;
    }
    struct config_named_file *files = arena_calloc(context->arena, node->count + 1, sizeof(*files));
    struct config_named_file *file = files;
    for (const struct yaml_node *member = node->first; member != NULL; member = member->next, file++) {
        file->name = arena_copy_string(context->arena, member->key);
        const struct keyword path = {
            .name = arena_format(context->arena, "%s.%s", keyword->name, file->name)};
        if (member->key.length == 0)
            diag_add(context->diag, DIAG_ERROR, &member->key_place, NULL, "%s: an empty name", keyword->name);
        config_set_path(context, &path, &file->file, member);
    }
    return files;
}

static int set_cas(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config *config = &((struct config_builder *)target)->config;
    config->cas = read_named_files(context, keyword, node);
    config->ca_count = config->cas == NULL ? 0 : node->count;
    return config->cas == NULL ? -1 : 0;
}

static int set_password_files(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config *config = &((struct config_builder *)target)->config;
    config->password_files = read_named_files(context, keyword, node);
    config->password_file_count = config->password_files == NULL ? 0 : node->count;
    return config->password_files == NULL ? -1 : 0;
}

static int set_jwks(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config *config = &((struct config_builder *)target)->config;
    config->jwks = read_named_files(context, keyword, node);
    config->jwks_count = config->jwks == NULL ? 0 : node->count;
    return config->jwks == NULL ? -1 : 0;
}

#define CONFIG(field) offsetof(struct config_builder, config.field)

static const struct keyword_choice log_levels[] = {{"debug", LOG_DEBUG, false, NULL},
    {"info", LOG_INFO, false, NULL}, {"warn", LOG_WARN, false, NULL}, {"error", LOG_ERROR, false, NULL}, {0}};
static const struct keyword_choice log_formats[] = {
    {"text", LOG_TEXT, false, "`key=value`, for people."},
    {"json", LOG_JSON, false, "one object a line."},
    {0},
};

static const struct keyword log_table[] = {
    {.name = "level",
        .set = keyword_set_choice,
        .offset = CONFIG(log_level),
        .default_text = "info",
        .choices = log_levels,
        .help = "The least severe lines that are written."},
    {.name = "format",
        .set = keyword_set_choice,
        .offset = CONFIG(log_format),
        .default_text = "text",
        .choices = log_formats,
        .help = "Form of a line."},
    {0},
};

static const struct keyword limits_table[] = {
    {.name = "filters",
        .set = keyword_set_number,
        .offset = CONFIG(limit_filters),
        .default_text = "200",
        .minimum = 1,
        .maximum = UINT16_MAX,
        .help = "Topic filters in one SUBSCRIBE or UNSUBSCRIBE."},
    {.name = "password_checks",
        .set = keyword_set_number,
        .offset = CONFIG(limit_password_checks),
        .default_text = "2",
        .minimum = 1,
        .maximum = 256,
        .help = "Passwords that are checked at the same time, each by a thread of its own. Others wait."},
    {.name = "password_memory",
        .set = keyword_set_size,
        .offset = CONFIG(limit_password_memory),
        .default_text = "512MiB",
        .minimum = 1 << 20,
        .maximum = (uint64_t)64 << 30,
        .help = "Memory that these checks may take together. A password file with an Argon2id hash that "
                "needs more "
                "than its share (this by `password_checks`) is refused."},
    {.name = "login_failures_per_address",
        .set = keyword_set_number,
        .offset = CONFIG(limit_login_failures_per_address),
        .default_text = "20",
        .maximum = UINT32_MAX,
        .help =
            "Wrong passwords from one address (of IPv6: from one /64 network) within `login_window`; after "
            "them nothing from it is checked until the window is over. 0: any number."},
    {.name = "login_failures_per_name",
        .set = keyword_set_number,
        .offset = CONFIG(limit_login_failures_per_name),
        .default_text = "100",
        .maximum = UINT32_MAX,
        .help = "The same for one user name, from wherever. It also keeps out who owns the name, until the "
                "window is over. 0: any number."},
    {.name = "login_window",
        .set = keyword_set_duration_ms,
        .offset = CONFIG(login_window_ms),
        .default_text = "1m",
        .minimum = 1000,
        .maximum = 24 * MS_HOUR,
        .help = "How long failed logins count, from the first one on."},
    {0},
};

/* A path that a socket can have. */
static int set_socket(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const struct config_path *path = &((const struct config_builder *)target)->config.control_socket;
    if (config_set_path(context, keyword, target, node) != 0)
        return -1;
    if (strlen(path->path) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return 0;
    return keyword_error(context, node, "such as /run/mqward/control.sock",
        "%s: the path of a socket has at most %zu bytes, '%s' has %zu", keyword->name,
        sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1, path->path, strlen(path->path));
}

static const struct keyword control_table[] = {
    {.name = "socket",
        .set = set_socket,
        .offset = CONFIG(control_socket),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .example = "/run/mqward/control.sock",
        .help = "A Unix socket of mode 0600; its folder must be there, and nobody else may be able to write "
                "to it."},
    {0},
};

static const struct keyword_choice control_characters[] = {
    {"allow", false, false, "as most brokers do."},
    {"refuse", true, false, "the connection is closed as malformed."},
    {0},
};

/* While it is read: a choice is an int. */
struct strict {
    int control_characters;
};

static const struct keyword strict_table[] = {
    {.name = "control_characters",
        .set = keyword_set_choice,
        .offset = offsetof(struct strict, control_characters),
        .default_text = "allow",
        .choices = control_characters,
        .help = "Control characters and non-characters in topics and other strings, which MQTT says clients "
                "SHOULD NOT "
                "send [MQTT-1.5.4]."},
    {0},
};

static int set_strict(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct strict strict = {0};
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    if (keyword_read(context, keyword->members, &strict, node) != 0)
        return -1;
    ((struct config_builder *)target)->config.refuse_control_characters = strict.control_characters != 0;
    return 0;
}

static const char in_policy[] = "it belongs in the policy, a file of its own that 'policy' names";

/* Of the policy, and of brokers' files. */
static const struct keyword_foreign foreign_keys[] = {
    {"identity", in_policy, NULL},
    {"groups", in_policy, NULL},
    {"checks", in_policy, NULL},
    {"tests", in_policy, NULL},
    {"mode", in_policy, NULL},
    {"client_id", in_policy, NULL},
    {"on_deny", in_policy, NULL},
    {"yara", "rule sets belong under 'rules', and what is scanned in the policy, under 'checks'", NULL},
    {"listener", "write 'listeners', a list", "listeners"},
    {"port", "write 'listeners: [{address: 0.0.0.0:8883, ...}]'", NULL},
    {"broker", "write 'upstreams: [{name: main, address: 127.0.0.1:1883}]'", "upstreams"},
    {"brokers", "write 'upstreams: [{name: main, address: 127.0.0.1:1883}]'", "upstreams"},
    {"allow_anonymous", "the policy says so, with '- anonymous: {}' under 'identity'", NULL},
    {"password_file", "write 'password_files: {users: users.passwd}'", NULL},
    {"acl_file", "its rules are written into the policy", NULL},
    {0},
};

static const struct keyword config_table[] = {
    {.name = "version",
        .set = set_version,
        .offset = offsetof(struct config_builder, version),
        .flags = KEYWORD_REQUIRED,
        .value = "`1`",
        .help = "Version of this file's form."},
    {.name = "workers",
        .set = set_workers,
        .offset = CONFIG(workers),
        .default_text = "auto",
        .minimum = 1,
        .maximum = CONFIG_WORKERS_MAX,
        .value = "`auto` or number from 1 to 256",
        .help = "Threads that serve connections. `auto`: one for each CPU that mqward may use."},
    {.name = "policy",
        .set = config_set_path,
        .offset = CONFIG(policy),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "The policy: who may do what. A file, or a folder whose `*.yaml` files are one policy."},
    {.name = "shadow_policy",
        .set = config_set_path,
        .offset = CONFIG(shadow_policy),
        .value = "path",
        .help = "A policy that is tried beside the one in force: nothing is refused because of it, and where "
                "it decides "
                "otherwise, the audit has a `shadow-diff`. A file or a folder, as `policy`."},
    {.name = "keys",
        .set = config_set_path,
        .offset = CONFIG(keys),
        .value = "path",
        .help = "The keys of payload signatures, [`keys.yaml`](keys.md), that the policy's checks name."},
    {.name = "listeners",
        .set = config_set_listeners,
        .flags = KEYWORD_REQUIRED,
        .members = config_listener_table,
        .shape = KEYWORD_LIST,
        .help = "Where clients connect; at least one."},
    {.name = "upstreams",
        .set = config_set_upstreams,
        .flags = KEYWORD_REQUIRED,
        .members = config_upstream_table,
        .shape = KEYWORD_LIST,
        .help = "Brokers; at least one."},
    {.name = "cas",
        .set = set_cas,
        .value = "mapping of names to paths",
        .help = "CA certificates (PEM) under the names that this file and the policy use."},
    {.name = "password_files",
        .set = set_password_files,
        .value = "mapping of names to paths",
        .help = "Password files, as `mosquitto_passwd` writes them (see Passwords), under the names that the "
                "policy uses."},
    {.name = "jwks",
        .set = set_jwks,
        .value = "mapping of names to paths",
        .help = "JSON Web Key Sets (RFC 7517), as identity providers publish them, under the names that the "
                "policy uses for tokens."},
    {.name = "rules",
        .set = config_set_rules,
        .members = config_rules_table,
        .shape = KEYWORD_NAMED,
        .value = "mapping of names to paths, lists of paths, or mappings",
        .help = "Rule sets of YARA under the names that the policy's checks use. At most 64."},
    {.name = "scan",
        .set = keyword_set_mapping,
        .offset = CONFIG(scan),
        .default_text = "{}",
        .members = config_scan_table,
        .help = "What scanning payloads may take of the machine."},
    {.name = "audit",
        .set = config_set_audit,
        .offset = CONFIG(audit),
        .flags = KEYWORD_REQUIRED,
        .members = config_audit_table,
        .value = "mapping",
        .help = "The audit trail."},
    {.name = "replay",
        .set = keyword_set_mapping,
        .offset = CONFIG(replay),
        .default_text = "{}",
        .members = config_replay_table,
        .help = "What is remembered of signed messages, so that none is taken twice."},
    {.name = "control",
        .set = keyword_set_mapping,
        .members = control_table,
        .shape = KEYWORD_MAPPING,
        .help = "Where `mqward reload` and `mqward bans` reach the running mqward. Without it, nowhere."},
    {.name = "admin",
        .set = config_set_admin,
        .offset = CONFIG(admin),
        .members = config_admin_table,
        .shape = KEYWORD_MAPPING,
        .help =
            "Where [metrics, health and status](metrics.md) are asked for over HTTP. Without it, nowhere."},
    {.name = "log",
        .set = keyword_set_mapping,
        .default_text = "{}",
        .members = log_table,
        .help = "mqward's own log on standard error."},
    {.name = "limits",
        .set = keyword_set_mapping,
        .default_text = "{}",
        .members = limits_table,
        .help = "Limits of all listeners."},
    {.name = "strict",
        .set = set_strict,
        .default_text = "{}",
        .members = strict_table,
        .value = "mapping",
        .help = "What MQTT leaves to the server to refuse."},
    {.name = "drain",
        .set = keyword_set_duration_ms,
        .offset = CONFIG(drain_ms),
        .default_text = "10s",
        .maximum = MS_HOUR,
        .help =
            "How long a stop (SIGTERM, SIGINT) waits for what is under way to be sent. Sinks then have two "
            "seconds more to confirm; the journal keeps the rest."},
    {.foreign = foreign_keys},
};

/* References */

static void refuse_reference(struct keyword_context *context, const struct keyword_string *name,
    const char *what, const char *section, const char *const *names, size_t count)
{
    const char *hint = diag_hint(context->diag, name->text, names, count);
    if (count == 0)
        hint = arena_format(context->arena, "'%s' has no entries", section);
    diag_add(context->diag, DIAG_ERROR, &name->place, hint, "unknown %s '%.*s'", what, VIEW_ARGS(name->text));
}

static void resolve_ca(
    struct keyword_context *context, const struct config_reference *reference, const char *const *names)
{
    const struct config *config = &config_builder_of(context)->config;
    for (size_t i = 0; i < config->ca_count; i++) {
        if (view_equal_string(reference->name.text, names[i])) {
            *reference->ca = &config->cas[i];
            return;
        }
    }
    refuse_reference(context, &reference->name, "CA", "cas", names, config->ca_count);
}

static void resolve_upstream(
    struct keyword_context *context, const struct config_reference *reference, const char *const *names)
{
    const struct config *config = &config_builder_of(context)->config;
    for (size_t i = 0; i < config->upstream_count; i++) {
        if (view_equal_string(reference->name.text, names[i])) {
            *reference->upstream = &config->upstreams[i];
            return;
        }
    }
    refuse_reference(context, &reference->name, "upstream", "upstreams", names, config->upstream_count);
}

static void resolve_references(struct keyword_context *context)
{
    const struct config_builder *builder = config_builder_of(context);
    const struct config *config = &builder->config;
    const char **cas = arena_calloc(context->arena, config->ca_count + 1, sizeof(*cas));
    const char **upstreams = arena_calloc(context->arena, config->upstream_count + 1, sizeof(*upstreams));
    for (size_t i = 0; i < config->ca_count; i++)
        cas[i] = config->cas[i].name;
    for (size_t i = 0; i < config->upstream_count; i++)
        upstreams[i] = config->upstreams[i].name == NULL ? "" : config->upstreams[i].name;
    for (const struct config_reference *reference = builder->references; reference != NULL;
         reference = reference->next) {
        if (reference->ca != NULL)
            resolve_ca(context, reference, cas);
        else if (config->upstream_count > 0) /* otherwise that is the error to report */
            resolve_upstream(context, reference, upstreams);
    }
}

/* Loading */

struct config *config_load(
    const char *path, struct arena *arena, struct diag_list *diag, const struct config **partial)
{
    size_t before = diag_errors(diag);
    const struct diag_source *source = diag_read_file(diag, path, CONFIG_BYTES_MAX, NULL);
    const struct yaml_node *root = source == NULL ? NULL : yaml_read(arena, source, diag);
    if (root == NULL)
        return NULL;
    const char *slash = strrchr(path, '/');
    struct config_builder *builder = arena_alloc(arena, sizeof(*builder));
    builder->folder = arena_copy_string(arena, view_of(path, slash == NULL ? 0 : (size_t)(slash - path) + 1));
    builder->references_tail = &builder->references;
    struct keyword_context context = {.arena = arena, .diag = diag, .user = builder};
    keyword_read(&context, config_table, builder, root);
    resolve_references(&context);
    config_finish_listeners(&context);
    config_check_places(&context);
    if (partial != NULL)
        *partial = &builder->config;
    return diag_errors(diag) == before ? &builder->config : NULL;
}

void config_print_reference(struct buffer *out)
{
    keyword_print_reference(out, config_table, "mqward.yaml", 3);
}
