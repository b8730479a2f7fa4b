/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the trial of rules. Called by 'mqward rules test'. */
#include "proxy/cli/rules_trial.h"

#include <stdlib.h>

#include "base/memory.h"

#define VIEWS_BYTES_MAX ((size_t)64 << 20) /* of messages whose cost is measured; the rest is not */

const char *rules_found_text(struct arena *arena, const struct rules_found *found)
{
    if (found->offset == UINT64_MAX)
        return arena_format(arena, "found in %s", found->view);
    return arena_format(arena, "found in %s at %llu", found->view, (unsigned long long)found->offset);
}

static struct rules_found take_finding(struct arena *arena, const struct scan_finding *finding)
{
    struct buffer view = {0};

    rules_view_append(&view, &finding->view);
    struct rules_found found = {finding->rule, arena_copy_string(arena, buffer_view(&view)), finding->offset};
    buffer_release(&view);
    return found;
}

/* Room for one more of count. */
static void *grow(void *all, size_t count, size_t size)
{
    return (count & (count + 1)) == 0 ? memory_realloc(all, 2 * (count + 1), size) : all;
}

/* ---- messages ---- */

static bool keep_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    struct rules_trial *trial = context;

    (void)path;
    if (bytes.length > VIEWS_BYTES_MAX - trial->view_bytes)
        return false;
    trial->views = grow(trial->views, trial->view_count, sizeof(*trial->views));
    trial->views[trial->view_count++] = arena_copy(trial->input->arena, bytes);
    trial->view_bytes += bytes.length;
    return true;
}

static void keep_views(struct rules_trial *trial, struct view bytes)
{
    struct scan_view_space *space = scan_view_space_new();
    const struct scan_view_limits limits = scan_view_limits_for(bytes.length);

    if (keep_view(trial, NULL, bytes))
        scan_views(space, bytes, SCAN_VIEWS_ALL, &limits, keep_view, trial);
    scan_view_space_free(space);
}

/* NULL, or why not all of it was looked at. */
static const char *scan_sample(struct rules_trial *trial, const struct sample *sample, uint64_t sets,
    void (*each)(void *context, const struct scan_finding *finding), void *context)
{
    const struct scan_part part = {SCAN_PAYLOAD, buffer_view(&sample->bytes)};
    struct scan_request request = rules_request(sample, &part, sets);
    struct scan_result result;

    request.each = each;
    request.each_context = context;
    scanner_scan(trial->scanner, trial->input->rules, &request, &result);
    if (result.error != NULL && result.error_set == NULL)
        return arena_format(trial->input->arena, "not all was looked at: %s", result.error);
    if (result.error != NULL)
        return arena_format(trial->input->arena, "rule set %s: %s", result.error_set, result.error);
    if (!result.complete)
        return arena_format(trial->input->arena, "not all was looked at: %s", result.incomplete);
    return NULL;
}

/* ---- samples ---- */

/* Is it found? */
struct search {
    struct arena *arena;
    const struct scan_rule *rule;
    bool hit;
    struct rules_found found; /* the first */
};

static void on_sample(void *context, const struct scan_finding *finding)
{
    struct search *search = context;

    if (search->hit || finding->rule != search->rule)
        return;
    search->hit = true;
    search->found = take_finding(search->arena, finding);
}

static const char *judge(const struct rules_case *own, const struct search *search, const char *incomplete)
{
    if (own->kind == SAMPLE_MISS)
        return search->hit ? rules_found_text(search->arena, &search->found) : incomplete;
    if (search->hit)
        return NULL;
    if (incomplete != NULL)
        return incomplete;
    return own->rule->hidden ? "not found: private rules never are" : "not found";
}

static const char *try_sample(struct rules_trial *trial, const struct rules_case *own)
{
    struct search search = {.arena = trial->input->arena, .rule = own->rule};
    char *path = sample_find(own->rule, view_of_string(own->name));
    struct sample sample;

    if (path == NULL)
        return "there is no such file in 'samples' (a name has no '/' and no '.' at its start)";
    const char *failure = "it can't be read";
    if (sample_read(&sample, path, trial->input->diag)) {
        const char *incomplete = scan_sample(
            trial, &sample, scan_rules_set(trial->input->rules, own->rule->set), on_sample, &search);
        failure = judge(own, &search, incomplete);
        if (trial->keeps)
            keep_views(trial, buffer_view(&sample.bytes));
    }
    sample_release(&sample);
    free(path);
    return failure;
}

static void try_rule(struct rules_trial *trial, const struct scan_rule *rule)
{
    size_t before = trial->case_count;

    for (unsigned kind = 0; kind < SAMPLE_KINDS && sample_folder(rule); kind++) {
        size_t next = 0;
        for (struct view name = sample_next(rule, kind, &next); name.length > 0;
             name = sample_next(rule, kind, &next)) {
            trial->cases = grow(trial->cases, trial->case_count, sizeof(*trial->cases));
            struct rules_case *own = &trial->cases[trial->case_count++];
            *own = (struct rules_case){rule, kind, arena_copy_string(trial->input->arena, name), NULL};
            own->failure = try_sample(trial, own);
            trial->cases_failed += own->failure != NULL;
        }
    }
    if (trial->case_count == before && !rule->hidden)
        trial->untested[trial->untested_count++] = rule;
}

void rules_trial_begin(struct rules_trial *trial, struct rules_input *input, bool keeps)
{
    size_t count = scan_rules_count(input->rules);

    *trial = (struct rules_trial){.input = input, .scanner = scanner_new(), .keeps = keeps};
    trial->untested = memory_calloc(count + 1, sizeof(*trial->untested));
    for (size_t i = 0; i < count; i++)
        try_rule(trial, scan_rules_at(input->rules, i));
}

/* ---- ordinary messages ---- */

struct listening {
    struct arena *arena;
    struct rules_message *message;
};

static void on_message(void *context, const struct scan_finding *finding)
{
    struct listening *listening = context;
    struct rules_message *message = listening->message;

    message->found = grow(message->found, message->count, sizeof(*message->found));
    message->found[message->count++] = take_finding(listening->arena, finding);
}

static void try_message(struct rules_trial *trial, const char *path, uint64_t sets)
{
    struct rules_message *message = &trial->messages[trial->message_count++];
    struct listening listening = {trial->input->arena, message};
    struct sample sample;

    *message = (struct rules_message){.path = path, .failure = "it can't be read"};
    if (sample_read(&sample, path, trial->input->diag)) {
        message->failure = scan_sample(trial, &sample, sets, on_message, &listening);
        if (trial->keeps)
            keep_views(trial, buffer_view(&sample.bytes));
    }
    sample_release(&sample);
    trial->messages_failed += message->failure != NULL || message->count > 0;
}

void rules_trial_corpus(struct rules_trial *trial, const char *folder)
{
    const char *const *paths;
    size_t count;

    if (!sample_list(folder, trial->input->arena, &paths, &count, trial->input->diag))
        return;
    trial->messages = memory_calloc(count, sizeof(*trial->messages));
    for (size_t i = 0; i < count; i++)
        try_message(trial, paths[i], rules_all_sets(trial->input->rules));
}

/* ---- costs ---- */

static void on_cost(void *context, const struct scan_cost *cost)
{
    struct rules_trial *trial = context;
    struct arena *arena = trial->input->arena;

    trial->costs = grow(trial->costs, trial->cost_count, sizeof(*trial->costs));
    trial->costs[trial->cost_count++] =
        (struct rules_cost){.set = arena_copy_string(arena, view_of_string(cost->set)),
            .rule = cost->rule == NULL ? NULL : arena_copy_string(arena, view_of_string(cost->rule)),
            .messages_ns = cost->messages_ns,
            .hostile_ns = cost->hostile_ns,
            .hostile = cost->hostile};
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a > b ? -1 : a < b;
}

static int compare_costs(const void *a, const void *b)
{
    const struct rules_cost *x = a, *y = b;
    int order = compare_numbers(x->hostile_ns, y->hostile_ns);

    return order != 0 ? order : compare_numbers(x->messages_ns, y->messages_ns);
}

void rules_trial_measure(struct rules_trial *trial)
{
    const struct scan_measure measure = {trial->views, trial->view_count, on_cost, trial};
    const struct scan_load how = {.measure = &measure};

    scan_rules_release(rules_input_again(trial->input, &how));
    if (trial->cost_count > 1)
        qsort(trial->costs, trial->cost_count, sizeof(*trial->costs), compare_costs);
}

void rules_trial_end(struct rules_trial *trial)
{
    scanner_free(trial->scanner);
    for (size_t i = 0; i < trial->message_count; i++)
        free(trial->messages[i].found);
    free(trial->messages);
    free(trial->cases);
    free(trial->untested);
    free(trial->costs);
    free(trial->views);
}
