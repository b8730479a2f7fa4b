/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the cost test of rules. Called by build.c, for each group, and for 'mqward rules test --cost'.
 *
 * What is compared with the budget is the thread's CPU time for each KiB, less that of a rule that never
 * comes near a match: the walk over the bytes is not the rule's doing. The best of several runs counts, so
 * that a busy machine does not make a rule dear; one that is good enough needs no other. */
#include "rules/cost.h"

#include <stdlib.h>
#include <time.h>

#include "base/memory.h"

#define PAYLOAD_SIZE ((size_t)16384)
#define RUNS 3
#define LIMIT_NS UINT64_C(1000000000) /* of one scan, of CPU time */
#define LIMIT_MOST_NS (64 * LIMIT_NS) /* the same, by the clock */

/* Each repeats, and many rules begin to match at each of its bytes. */
static const struct hostile {
    const char *name;
    const char *text;
    size_t length;
} hostile[] = {
    {"one letter", "a", 1},
    {"letters and blanks", "lorem ipsum ", 12},
    {"capitals", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 26},
    {"digits", "0123456789", 10},
    {"hexadecimal digits", "0123456789abcdef", 16},
    {"base64", "QWxhZGRpbjpvcGVuIHNlc2FtZQ+/", 28},
    {"NULs", "\0", 1},
    {"blanks", " ", 1},
    {"JSON", "{\"a\":[1,2],\"b\":\"c\"},", 20},
    {"a path", "/../", 4},
    {"all bytes", NULL, 0},
};
#define HOSTILE (sizeof(hostile) / sizeof(hostile[0]))

/* The hostile payloads, and what a rule that never matches costs on each. */
struct cost_trial {
    uint8_t bytes[HOSTILE][PAYLOAD_SIZE];
    struct view payloads[HOSTILE];
    uint64_t idle[HOSTILE];
    YR_RULES *quiet;
};

static void fill(uint8_t *payload, const struct hostile *kind)
{
    for (size_t i = 0; i < PAYLOAD_SIZE; i++)
        payload[i] =
            kind->text == NULL ? (uint8_t)(i * 151 + i / 256) : (uint8_t)kind->text[i % kind->length];
}

static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int on_message(YR_SCAN_CONTEXT *context, int message, void *data, void *user)
{
    (void)context, (void)data, (void)user;
    return message == CALLBACK_MSG_TOO_MANY_MATCHES ? CALLBACK_ERROR : CALLBACK_CONTINUE;
}

/* Adds the time that it takes to *spent; an error of libyara. Its clock runs on while the thread waits for a
 * core: that is not the rule's doing, and it is scanned again with more of it. */
static int scan_one(YR_SCANNER *scanner, struct view payload, uint64_t *spent)
{
    const uint8_t *data = payload.data == NULL ? (const uint8_t *)"" : payload.data;

    for (uint64_t timeout = LIMIT_NS;; timeout *= 2) {
        uint64_t start = cpu_ns();
        scanner->entry_point = YR_UNDEFINED;
        scanner->timeout = timeout;
        int error = yr_scanner_scan_mem(scanner, data, payload.length);
        uint64_t used = cpu_ns() - start;
        if (error == ERROR_SCAN_TIMEOUT && used < LIMIT_NS && timeout < LIMIT_MOST_NS)
            continue;
        *spent += used;
        return error;
    }
}

/* For each KiB of all payloads; UINT64_MAX: libyara gave up. enough: what is not above it need not be exact.
 */
static uint64_t measure(YR_RULES *rules, const struct view *payloads, size_t count, uint64_t enough)
{
    YR_SCANNER *scanner;
    uint64_t best = UINT64_MAX, bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += payloads[i].length;
    if (bytes == 0)
        return 0;
    if (yr_scanner_create(rules, &scanner) != ERROR_SUCCESS)
        memory_exhausted();
    yr_scanner_set_flags(
        scanner, SCAN_FLAGS_FAST_MODE | SCAN_FLAGS_NO_TRYCATCH | SCAN_FLAGS_REPORT_RULES_MATCHING);
    yr_scanner_set_callback(scanner, on_message, NULL);
    for (unsigned i = 0; i < RUNS && best > enough; i++) {
        uint64_t spent = 0, cost;
        int error = ERROR_SUCCESS;
        for (size_t k = 0; k < count && error == ERROR_SUCCESS; k++)
            error = scan_one(scanner, payloads[k], &spent);
        if (error != ERROR_SUCCESS)
            break;
        cost = (uint64_t)((double)spent * 1024 / (double)bytes);
        if (cost < best)
            best = cost;
    }
    yr_scanner_destroy(scanner);
    return best;
}

/* Less what is idle. */
static uint64_t less(uint64_t cost, uint64_t idle)
{
    if (cost == UINT64_MAX)
        return cost;
    return cost > idle ? cost - idle : 0;
}

struct cost_trial *cost_trial_new(void)
{
    static const char quiet[] = "rule quiet { strings: $a = \"\\x01\\x7f\\x02\\xfe\\x03\" condition: $a }";
    struct cost_trial *trial = memory_calloc(1, sizeof(*trial));

    trial->quiet = compile_text(view_of_string(quiet), "quiet");
    if (trial->quiet == NULL)
        memory_exhausted();
    for (size_t i = 0; i < HOSTILE; i++) {
        fill(trial->bytes[i], &hostile[i]);
        trial->payloads[i] = view_of(trial->bytes[i], PAYLOAD_SIZE);
        trial->idle[i] = measure(trial->quiet, &trial->payloads[i], 1, 0);
    }
    return trial;
}

void cost_trial_free(struct cost_trial *trial)
{
    if (trial == NULL)
        return;
    yr_rules_destroy(trial->quiet);
    free(trial);
}

/* The dearest payload's, less idle. enough: as above. */
static struct cost_found dearest(YR_RULES *rules, const struct cost_trial *trial, uint64_t enough)
{
    struct cost_found found = {0};

    for (size_t i = 0; i < HOSTILE; i++) {
        uint64_t cost = less(measure(rules, &trial->payloads[i], 1, trial->idle[i] + enough), trial->idle[i]);
        if (cost > found.cost)
            found = (struct cost_found){cost, i};
    }
    return found;
}

struct cost_found cost_of(YR_RULES *rules, const struct cost_trial *trial, uint64_t budget_ns)
{
    return dearest(rules, trial, budget_ns);
}

static void complain(const struct scan_source *source, struct diag_list *diag, const struct diag_place *place,
    const char *name, const struct cost_found *found)
{
    enum diag_severity severity = source->allow_slow ? DIAG_WARNING : DIAG_ERROR;

    if (found->cost == UINT64_MAX)
        diag_add(diag, severity, place, NULL, "rule '%s': libyara gives up on %s of %zu bytes", name,
            hostile[found->which].name, PAYLOAD_SIZE);
    else
        diag_add(diag, severity, place, NULL, "rule '%s' costs %llu us for each KiB of %s; allowed are %llu",
            name, (unsigned long long)(found->cost / 1000), hostile[found->which].name,
            (unsigned long long)(source->budget_ns / 1000));
}

/* A rule with what it needs; NULL: it can't be compiled so. needed: room for a mark for each of the set. */
static YR_RULES *compile_alone(const struct group_set *set, uint32_t rule, bool *needed)
{
    memset(needed, 0, set->rules->sets[set->set].rule_count * sizeof(*needed));
    group_mark(set, &rule, 1, needed);
    return group_compile(set, needed);
}

/* Of those that a group reports. */
static void check_rules(const struct group_set *set, const struct scan_group *group,
    const struct cost_trial *trial, struct diag_list *diag)
{
    const struct scan_set *own = &set->rules->sets[set->set];
    bool *needed = memory_calloc(own->rule_count, sizeof(*needed));

    for (uint32_t i = 0; i < group->rules->num_rules; i++) {
        if (group->reported[i] == SCAN_NO_RULE)
            continue;
        uint32_t rule = group->reported[i] - own->first_rule;
        YR_RULES *alone = compile_alone(set, rule, needed);
        if (alone == NULL)
            continue;
        struct cost_found found = dearest(alone, trial, set->source->budget_ns);
        if (found.cost > set->source->budget_ns) {
            struct diag_place place = source_rule_place(group_text(set, rule));
            complain(set->source, diag, &place, set->rules->rules[group->reported[i]].name, &found);
        }
        yr_rules_destroy(alone);
    }
    free(needed);
}

void cost_check(const struct group_set *set, size_t number, const struct cost_found *found,
    const struct cost_trial *trial, struct diag_list *diag)
{
    const struct scan_set *own = &set->rules->sets[set->set];
    const struct scan_group *group = &set->rules->groups[own->first_group + number];

    if (found->cost <= set->source->budget_ns)
        return;
    if (group->owned)
        check_rules(set, group, trial, diag);
    else
        complain(set->source, diag, &set->source->place, own->name, found);
}

/* ---- to be shown ---- */

/* Messages are small, and most of their cost is idle: both are measured side by side. */
static uint64_t cost_of_messages(
    YR_RULES *rules, const struct cost_trial *trial, const struct scan_measure *question)
{
    uint64_t idle = measure(trial->quiet, question->messages, question->message_count, 0);
    uint64_t cost = measure(rules, question->messages, question->message_count, 0);

    return less(cost, idle);
}

static void tell(const struct scan_measure *question, const struct cost_trial *trial, const char *set,
    const char *rule, YR_RULES *rules)
{
    struct cost_found found = dearest(rules, trial, 0);
    struct scan_cost cost = {.set = set,
        .rule = rule,
        .messages_ns = cost_of_messages(rules, trial, question),
        .hostile_ns = found.cost,
        .hostile = hostile[found.which].name};

    question->each(question->context, &cost);
}

void cost_measure(const struct group_set *set, const struct scan_measure *question)
{
    const struct scan_set *own = &set->rules->sets[set->set];
    struct cost_trial *trial = cost_trial_new();
    bool *needed = memory_calloc(own->rule_count + 1, sizeof(*needed));

    if (!set->cut && own->rule_count > 0)
        tell(question, trial, own->name, NULL, own->whole);
    for (uint32_t i = 0; i < own->rule_count && set->cut; i++) {
        YR_RULES *alone = compile_alone(set, i, needed);
        if (alone == NULL)
            continue;
        tell(question, trial, own->name, set->rules->rules[own->first_rule + i].name, alone);
        yr_rules_destroy(alone);
    }
    free(needed);
    cost_trial_free(trial);
}
