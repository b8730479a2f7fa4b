/* SPDX-License-Identifier: Apache-2.0 */
/* The sinks file and stdout of mqward.yaml: lines for whoever reads files and pipes. Called by
 * proxy/config_sinks.c through its table. */
#include "proxy/config_build.h"

#define KIB ((uint64_t)1024)
#define MS_MINUTE ((uint64_t)60 * 1000)

#define FILE(field) offsetof(struct config_sink_file, field)

/* As chmod(1) takes it: who may read and write. mqward itself must. */
static int set_mode(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    unsigned *mode = (void *)((char *)target + keyword->offset);

    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return -1;
    *mode = 0;
    for (size_t i = 0; i < node->text.length; i++) {
        uint8_t digit = node->text.data[i];
        if (digit < '0' || digit > '7' || node->text.length > 4)
            return keyword_error(context, node, "three or four octal digits, such as 0640",
                "mode: expected a file mode, found '%.*s'", VIEW_ARGS(node->text));
        *mode = *mode * 8 + (unsigned)(digit - '0');
    }
    if ((*mode & ~0664U) != 0 || (*mode & 0600U) != 0600U)
        return keyword_error(context, node, "0600, 0640, 0644, 0660 or 0664",
            "mode: mqward reads and writes, others may read, nobody executes; found '%.*s'",
            VIEW_ARGS(node->text));
    return 0;
}

static int set_max_size(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    uint64_t *size = (void *)((char *)target + keyword->offset);

    if (keyword_set_size(context, keyword, target, node) != 0)
        return -1;
    if (*size == 0 || *size >= 64 * KIB)
        return 0;
    return keyword_error(
        context, node, NULL, "max_size: must be 0 or from 64KiB on, found '%.*s'", VIEW_ARGS(node->text));
}

const struct keyword config_sink_file_table[] = {
    {.name = "path",
        .set = config_set_path,
        .offset = FILE(path),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "The file; its folder must exist, and mqward must be allowed to make files there."},
    {.name = "mode",
        .set = set_mode,
        .offset = FILE(mode),
        .default_text = "0640",
        .value = "octal digits",
        .help = "Mode of a new file, whatever the umask."},
    {.name = "max_size",
        .set = set_max_size,
        .offset = FILE(max_size),
        .default_text = "100MiB",
        .maximum = (uint64_t)1 << 50,
        .value = "size from 64KiB, or 0",
        .help = "A file that would grow larger becomes `<path>.1`, that one `<path>.2`, and so on. 0: never, "
                "something else rotates."},
    {.name = "keep",
        .set = keyword_set_number,
        .offset = FILE(keep),
        .default_text = "5",
        .minimum = 1,
        .maximum = 1000,
        .help = "How many rotated files are kept; older ones are deleted."},
    {.name = "timeout",
        .set = keyword_set_duration_ms,
        .offset = FILE(timeout_ms),
        .default_text = "10s",
        .minimum = 100,
        .maximum = 10 * MS_MINUTE,
        .help = "When a write takes longer, the sink counts as down until it is through."},
    {0},
};

int config_set_sink_file(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_sink_file *file = arena_calloc(context->arena, 1, sizeof(*file));
    *(struct config_sink_file **)(void *)((char *)target + keyword->offset) = file;
    if (keyword_read(context, keyword->members, file, node) != 0)
        return -1;
    const struct yaml_node *keep = config_find_member(node, "keep");
    if (file->max_size != 0 || keep == NULL)
        return 0;
    diag_add(context->diag, DIAG_ERROR, &keep->key_place, "whatever rotates the file keeps what it likes",
        "keep has no effect while max_size is 0");
    return -1;
}

const struct keyword config_sink_stdout_table[] = {
    {.name = "timeout",
        .set = keyword_set_duration_ms,
        .offset = offsetof(struct config_sink_stdout, timeout_ms),
        .default_text = "10s",
        .minimum = 100,
        .maximum = 10 * MS_MINUTE,
        .help = "When nobody reads for longer, the sink counts as down until somebody does."},
    {0},
};

int config_set_sink_stdout(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_sink_stdout *output = arena_calloc(context->arena, 1, sizeof(*output));
    *(struct config_sink_stdout **)(void *)((char *)target + keyword->offset) = output;
    output->place = node->place;
    return keyword_read(context, keyword->members, output, node) == 0 ? 0 : -1;
}

size_t config_check_sink_files(struct keyword_context *context, const struct config_sink *sinks, size_t count)
{
    struct config_unique *unique = arena_calloc(context->arena, count + 1, sizeof(*unique));
    size_t paths = 0;

    for (size_t i = 0; i < count; i++) {
        if (sinks[i].file != NULL && sinks[i].file->path.path != NULL)
            unique[paths++] = (struct config_unique){
                sinks[i].file->path.path, sinks[i].file->path.path, sinks[i].file->path.place};
        else if (sinks[i].output != NULL)
            unique[paths++] = (struct config_unique){"", "stdout", sinks[i].output->place};
    }
    return config_check_unique(context, unique, paths, "output");
}
