/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the life of a compiled policy: from a file or text, through parse.c and compile.c, to the last
 * release. Called by the proxy at start and reload, and by the command line. */
#include <assert.h>
#include <openssl/evp.h>

#include "base/buffer.h"
#include "policy/compile.h"

#define FILE_SIZE_MAXIMUM ((size_t)16 << 20)
#define DIGEST_SIZE 32

/* "sha256:<hex>" of the file's bytes. NULL if libcrypto does not do it. */
static const char *version_of(struct arena *arena, struct view text)
{
    uint8_t digest[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1] = "";
    if (EVP_Digest(text.length == 0 ? (const void *)"" : text.data, text.length, digest, NULL, EVP_sha256(),
            NULL) != 1)
        return NULL;
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    return arena_format(arena, "sha256:%s", hex);
}

static struct policy *new_policy(void)
{
    struct arena *arena = arena_new();
    struct policy *policy = arena_alloc(arena, sizeof(*policy));
    policy->magic = POLICY_MAGIC;
    policy->arena = arena;
    atomic_init(&policy->references, 1);
    return policy;
}

static void compile_tree(struct compiler *compiler, const struct yaml_node *root, size_t errors)
{
    struct parsed_policy parsed;
    struct keyword_context context = {.arena = compiler->arena, .diag = compiler->diag};
    parse_policy(&context, root, &parsed);
    compiler->parsed = &parsed;
    compile_settings(compiler);
    compile_identity(compiler);
    compile_groups(compiler);
    compile_rules(compiler);
    if (diag_errors(compiler->diag) == errors) {
        compile_trie(compiler);
        lint_policy(compiler);
    }
}

struct policy *policy_compile(
    const struct diag_source *source, const struct policy_names *names, struct diag_list *diag)
{
    size_t errors = diag_errors(diag);
    struct policy *policy = new_policy();
    struct compiler compiler = {.policy = policy, .arena = policy->arena, .diag = diag, .names = names};
    struct arena *tree = arena_new();
    const struct yaml_node *root = yaml_read(tree, source, diag);
    if (root != NULL)
        compile_tree(&compiler, root, errors);
    policy->settings.version = version_of(policy->arena, source->text);
    if (policy->settings.version == NULL) {
        struct diag_place place = {.source = source};
        diag_add(diag, DIAG_ERROR, &place, NULL, "the SHA-256 of the file can't be computed");
    }
    arena_free(tree);
    if (root != NULL && diag_errors(diag) == errors)
        return policy;
    policy_release(policy);
    return NULL;
}

struct policy *policy_load(const char *path, const struct policy_names *names, struct diag_list *diag,
    const struct diag_place *referrer)
{
    const struct diag_source *source = diag_read_file(diag, path, FILE_SIZE_MAXIMUM, referrer);
    return source == NULL ? NULL : policy_compile(source, names, diag);
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
