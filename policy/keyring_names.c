/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a policy gets to know of keys: their names, and which are masters. Called for policies that are
 * loaded with their keys, and for tools that need no secrets. */
#include "policy/keyring.h"
#include "policy/parse_keys.h"

struct names {
    const char **kids;
    bool *masters;
};

static struct names new_names(struct arena *arena, size_t count)
{
    return (struct names){
        arena_calloc(arena, count + 1, sizeof(const char *)), arena_calloc(arena, count + 1, sizeof(bool))};
}

bool keyring_read_names(const char *path, struct arena *arena, struct keyring_names *names)
{
    struct diag_list *diag = diag_list_new();
    struct arena *own = arena_new();
    struct parsed_keys parsed;
    bool sound = parse_keys(path, own, diag, NULL, &parsed) && diag_errors(diag) == 0;
    size_t count = sound ? parsed.count : 0;
    struct names read = new_names(arena, count);

    for (size_t i = 0; i < count; i++) {
        read.kids[i] = arena_copy_string(arena, parsed.items[i].kid.text);
        read.masters[i] = parsed.items[i].type == KEYRING_MASTER;
    }
    *names = (struct keyring_names){read.kids, read.masters, count};
    arena_free(own);
    diag_list_free(diag);
    return sound;
}

void keyring_names(const struct keyring *keyring, struct arena *arena, struct keyring_names *names)
{
    size_t count = keyring_count(keyring);
    struct names read = new_names(arena, count);

    for (size_t i = 0; i < count; i++) {
        const struct keyring_entry *entry = keyring_entry(keyring, i);

        read.kids[i] = arena_copy_string(arena, view_of_string(entry->kid));
        read.masters[i] = entry->type == KEYRING_MASTER;
    }
    *names = (struct keyring_names){read.kids, read.masters, count};
}
