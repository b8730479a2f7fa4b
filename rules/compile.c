/* SPDX-License-Identifier: Apache-2.0 */
/* Owns libyara's compiler. Called by load.c, build.c, group.c and cost.c.
 *
 * A compiler that met an error takes nothing any more. So that the files behind a bad one are looked at as
 * well, a new one is given the good files from before, silently. */
#include "rules/compile.h"

#include <stdlib.h>

#include "base/memory.h"
#include "rules/externals.h"

#define BAD_FILES_MAXIMUM 100

struct listener {
    struct diag_list *diag;
    const struct scan_source *source;
    const struct source_file *file; /* that is compiled */
    bool silent;
};

/* A pattern that costs more than all others together. */
static bool is_slow(const char *message)
{
    return strstr(message, "slow down") != NULL || strstr(message, "slowing down") != NULL ||
           strstr(message, "consider using .{,N}") != NULL;
}

static void on_message(
    int level, const char *file_name, int line, const YR_RULE *rule, const char *message, void *context)
{
    const struct listener *listener = context;

    (void)file_name, (void)rule;
    if (listener->silent)
        return;
    struct diag_place place = source_place(listener->file, line > 0 ? (uint32_t)line : 1);
    bool slow = level == YARA_ERROR_LEVEL_WARNING && is_slow(message);
    bool error = level == YARA_ERROR_LEVEL_ERROR || (slow && !listener->source->allow_slow);
    diag_add(listener->diag, error ? DIAG_ERROR : DIAG_WARNING, &place,
        slow && error ? "make it longer or more exact, or allow slow rules for this rule set" : NULL, "%s",
        message);
}

/* A compiler begins each of its twelve tables with a MiB, all of it written to, and those of all sets and
 * groups are there at once. Tables grow anyway. */
#define TABLE_SIZE ((size_t)64 << 10)

static YR_COMPILER *new_compiler(struct listener *listener)
{
    YR_COMPILER *compiler;

    if (yr_compiler_create(&compiler) != ERROR_SUCCESS)
        memory_exhausted();
    compiler->arena->initial_buffer_size = TABLE_SIZE; /* nothing is in them yet */
    /* Includes are in their place already. */
    yr_compiler_set_include_callback(compiler, NULL, NULL, NULL);
    if (listener != NULL)
        yr_compiler_set_callback(compiler, on_message, listener);
    if (externals_define(compiler) != ERROR_SUCCESS)
        memory_exhausted();
    return compiler;
}

static bool add_file(YR_COMPILER *compiler, struct listener *listener, const struct source_file *file)
{
    listener->file = file;
    return yr_compiler_add_string(compiler, (const char *)file->text.data, listener->source->name) == 0;
}

/* ---- a form that takes the memory it needs ---- */

static size_t write_bytes(const void *bytes, size_t size, size_t count, void *context)
{
    buffer_append(context, view_of(bytes, size * count));
    return count;
}

static size_t read_bytes(void *bytes, size_t size, size_t count, void *context)
{
    struct buffer *buffer = context;

    if (size * count > buffer_length(buffer))
        return 0;
    memcpy(bytes, buffer_view(buffer).data, size * count);
    buffer_consume(buffer, size * count);
    return count;
}

/* A compiler's tables are larger than what is in them, and a generation has hundreds of them. Saved and
 * loaded again, they have their own size. */
static YR_RULES *compact(YR_RULES *rules)
{
    struct buffer saved = {0};
    YR_STREAM stream = {.user_data = &saved, .read = read_bytes, .write = write_bytes};
    YR_RULES *loaded = NULL;

    if (yr_rules_save_stream(rules, &stream) != ERROR_SUCCESS ||
        yr_rules_load_stream(&stream, &loaded) != ERROR_SUCCESS) {
        buffer_release(&saved);
        return rules;
    }
    buffer_release(&saved);
    yr_rules_destroy(rules);
    return loaded;
}

/* ---- compiling ---- */

/* What yr_compiler_get_rules() makes of the arena, less the automaton, which it builds first (libyara 4.2.3).
 */
static void look_into(struct compiled_set *compiled)
{
    const YR_COMPILER *compiler = compiled->compiler;
    const YR_ARENA_BUFFER *buffers = compiler->arena->buffers;

    memset(&compiled->rules, 0, sizeof(compiled->rules));
    compiled->rules.arena = compiler->arena;
    compiled->rules.rules_table = (YR_RULE *)(void *)buffers[YR_RULES_TABLE].data;
    compiled->rules.strings_table = (YR_STRING *)(void *)buffers[YR_STRINGS_TABLE].data;
    compiled->rules.code_start = buffers[YR_CODE_SECTION].data;
    compiled->rules.num_rules = compiler->next_rule_idx;
    compiled->rules.num_strings = compiler->current_string_idx;
}

void compile_set(struct compiled_set *compiled, const struct source_set *set,
    const struct scan_source *source, struct diag_list *diag)
{
    struct listener listener = {.diag = diag, .source = source};
    bool *good = memory_calloc(set->file_count + 1, sizeof(*good));
    YR_COMPILER *compiler = new_compiler(&listener);
    size_t bad = 0;

    *compiled = (struct compiled_set){0};
    for (size_t i = 0; i < set->file_count; i++) {
        good[i] = add_file(compiler, &listener, &set->files[i]);
        if (good[i])
            continue;
        if (++bad == BAD_FILES_MAXIMUM) {
            diag_add(diag, DIAG_ERROR, &source->place, NULL,
                "rule set '%s': more files are bad; the rest is not read", source->name);
            break;
        }
        yr_compiler_destroy(compiler);
        compiler = new_compiler(&listener);
        listener.silent = true;
        for (size_t k = 0; k < i; k++)
            good[k] = good[k] && add_file(compiler, &listener, &set->files[k]);
        listener.silent = false;
    }
    free(good);
    if (bad > 0 || set->file_count == 0) {
        yr_compiler_destroy(compiler);
        return;
    }
    yr_compiler_set_callback(compiler, NULL, NULL); /* the listener ends here */
    compiled->compiler = compiler;
    look_into(compiled);
}

YR_RULES *compile_finish(struct compiled_set *compiled)
{
    YR_RULES *rules;

    if (yr_compiler_get_rules(compiled->compiler, &rules) != ERROR_SUCCESS)
        return NULL;
    look_into(compiled); /* some tables have an end now */
    return compact(rules);
}

void compile_release(struct compiled_set *compiled)
{
    if (compiled->compiler != NULL)
        yr_compiler_destroy(compiled->compiler);
    *compiled = (struct compiled_set){0};
}

YR_RULES *compile_text(struct view text, const char *name)
{
    YR_COMPILER *compiler = new_compiler(NULL);
    YR_RULES *rules = NULL;

    if (yr_compiler_add_string(compiler, (const char *)text.data, name) == 0)
        yr_compiler_get_rules(compiler, &rules);
    yr_compiler_destroy(compiler);
    return rules == NULL ? NULL : compact(rules);
}
