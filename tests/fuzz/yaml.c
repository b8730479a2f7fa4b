/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as YAML: no crash, and a tree that keeps its promises: places within the text, no zero bytes in
 * strings, bounded depth, counts that are true, and a tree or an error. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/yaml.h"

static void check_place(const struct diag_place *place, struct view text)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < text.length && line < place->line; i++) {
        line += text.data[i] == '\n';
        start = i + 1;
    }
    assert(line == place->line && place->column >= 1 && place->length >= 1);
    assert(start + place->column - 1 <= text.length);
}

static void check_nodes(const struct yaml_node *node, struct view text, size_t depth)
{
    assert(depth <= 13);
    for (; node != NULL; node = node->next) {
        size_t children = 0;
        for (const struct yaml_node *child = node->first; child != NULL; child = child->next)
            children++;
        assert(children == node->count && (node->kind != YAML_SCALAR || children == 0));
        assert(
            node->text.length == 0 || node->refused || memchr(node->text.data, 0, node->text.length) == NULL);
        check_place(&node->place, text);
        check_nodes(node->first, text, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct diag_source source = {.path = "fuzz.yaml", .text = view_of(data, size)};
    struct diag_list *diag = diag_list_new();
    struct arena *arena = arena_new();
    const struct yaml_node *root = yaml_read(arena, &source, diag);
    assert(root != NULL || diag_errors(diag) > 0);
    check_nodes(root, source.text, 0);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    diag_print(diag, out);
    fclose(out);
    free(text);
    arena_free(arena);
    diag_list_free(diag);
    return 0;
}
