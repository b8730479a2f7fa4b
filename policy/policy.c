/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the life of a compiled policy: from a file, a folder or text, through parse.c and compile.c, to the
 * last release. Called by the proxy at start and reload, and by the command line. */
#include <assert.h>

#include "base/buffer.h"
#include "policy/compile.h"
#include "policy/policy_files.h"
#include "policy/test.h"

static struct policy *new_policy(void)
{
    struct arena *arena = arena_new();
    struct policy *policy = arena_alloc(arena, sizeof(*policy));
    policy->magic = POLICY_MAGIC;
    policy->arena = arena;
    atomic_init(&policy->references, 1);
    return policy;
}

/* The tree of the whole policy; NULL if there is nothing in it to go on with. */
static struct yaml_node *read_tree(
    struct keyword_context *context, struct arena *arena, struct policy_files *files)
{
    struct yaml_node **roots = arena_calloc(arena, files->count, sizeof(struct yaml_node *));
    size_t count = 0;
    for (size_t i = 0; i < files->count; i++) {
        struct yaml_node *root = parse_refuse_foreign_file(files->items[i], context->diag)
                                     ? NULL
                                     : yaml_read(arena, files->items[i], context->diag);
        files->incomplete = files->incomplete || root == NULL;
        if (root != NULL)
            roots[count++] = root;
    }
    if (count == 0)
        return NULL;
    return files->is_folder ? parse_join(context, files->whole, roots, count, files->incomplete) : roots[0];
}

static void compile_tree(struct compiler *compiler, const struct parsed_policy *parsed, size_t errors)
{
    compiler->parsed = parsed;
    compile_settings(compiler);
    compile_identity(compiler);
    compile_groups(compiler);
    compile_rules(compiler);
    compile_checks(compiler);
    compile_tests(compiler, diag_errors(compiler->diag) > errors);
    if (diag_errors(compiler->diag) == errors) {
        compile_tries(compiler);
        lint_policy(compiler);
        if (!compiler->untested)
            check_tests(compiler);
    }
}

static struct policy *compile_files(struct policy_files *files, const struct policy_names *names,
    struct diag_list *diag, size_t errors, bool untested)
{
    struct policy *policy = new_policy();
    struct compiler compiler = {
        .policy = policy, .arena = policy->arena, .diag = diag, .names = names, .untested = untested};
    struct keyword_context context = {.arena = policy->arena, .diag = diag};
    struct arena *tree = arena_new();
    const struct yaml_node *root = read_tree(&context, tree, files);
    if (root != NULL) {
        struct parsed_policy parsed;
        parse_policy(&context, root, &parsed);
        if (!files->incomplete) /* otherwise names of files that are missing would seem unknown */
            compile_tree(&compiler, &parsed, errors);
    }
    policy->settings.version = policy_files_version(policy->arena, files);
    if (policy->settings.version == NULL) {
        struct diag_place place = {.source = files->whole};
        diag_add(diag, DIAG_ERROR, &place, NULL, "the SHA-256 of the policy can't be computed");
    }
    arena_free(tree);
    if (root != NULL && diag_errors(diag) == errors)
        return policy;
    policy_release(policy);
    return NULL;
}

struct policy *policy_compile(
    const struct diag_source *source, const struct policy_names *names, struct diag_list *diag)
{
    struct policy_files files = {.whole = source, .items = &source, .count = 1};
    return compile_files(&files, names, diag, diag_errors(diag), false);
}

static struct policy *load(const char *path, const struct policy_names *names, struct diag_list *diag,
    const struct diag_place *referrer, bool untested)
{
    struct policy_files files;
    struct policy *policy = NULL;
    struct arena *arena = arena_new();
    size_t errors = diag_errors(diag);
    if (policy_files_read(arena, diag, path, referrer, &files))
        policy = compile_files(&files, names, diag, errors, untested);
    arena_free(arena);
    return policy;
}

struct policy *policy_load(const char *path, const struct policy_names *names, struct diag_list *diag,
    const struct diag_place *referrer)
{
    return load(path, names, diag, referrer, false);
}

struct policy *policy_load_untested(const char *path, const struct policy_names *names,
    struct diag_list *diag, const struct diag_place *referrer)
{
    return load(path, names, diag, referrer, true);
}

struct policy *policy_retain(struct policy *policy)
{
    assert(policy->magic == POLICY_MAGIC);
    size_t before = atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return policy;
}

void policy_release(struct policy *policy)
{
    if (policy == NULL)
        return;
    assert(policy->magic == POLICY_MAGIC);
    size_t before = atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1)
        return;
    policy->magic = 0;
    arena_free(policy->arena);
}

const struct policy_settings *policy_settings(const struct policy *policy)
{
    assert(policy->magic == POLICY_MAGIC);
    return &policy->settings;
}

void policy_print_reference(struct buffer *out)
{
    parse_print_reference(out);
}

void policy_print_schema(struct buffer *out)
{
    parse_print_schema(out);
}
