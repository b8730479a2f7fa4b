/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the compilation of a check's yara. Called by compile_checks.c. */
#include "base/buffer.h"
#include "policy/compile.h"
#include "policy/yara.h"

/* ---- rule sets ---- */

/* Is it a rule set, and one of mqward.yaml where those are known? */
static void check_set(struct compiler *compiler, const struct keyword_string *set)
{
    const struct policy_names *names = compiler->names;
    struct keyword_context context = {.arena = compiler->arena, .diag = compiler->diag};
    if (set->text.length == 0)
        return; /* reported */
    if (!yara_set_name_valid(set->text)) {
        const char *list = keyword_hint_list(&context, set->text);
        diag_add(compiler->diag, DIAG_ERROR, &set->place,
            list != NULL ? list : "rule sets have up to 64 letters, digits and . _ -",
            "no rule set can be called '%.*s'", VIEW_ARGS(set->text));
        return;
    }
    if (names == NULL || names->rule_sets == NULL)
        return;
    for (size_t i = 0; i < names->rule_set_count; i++) {
        if (view_equal_string(set->text, names->rule_sets[i]))
            return;
    }
    diag_add(compiler->diag, DIAG_ERROR, &set->place,
        names->rule_set_count == 0
            ? "mqward.yaml defines rule sets with 'rules: {iot: {files: [iot.yar]}}'"
            : compile_hint(compiler, set->text, names->rule_sets, names->rule_set_count),
        "mqward.yaml defines no rule set '%.*s'", VIEW_ARGS(set->text));
}

static const char *const *compile_sets(struct compiler *compiler, const struct keyword_strings *strings)
{
    const char **sets = arena_calloc(compiler->arena, strings->count, sizeof(*sets));
    for (size_t i = 0; i < strings->count; i++) {
        const struct keyword_string *set = &strings->items[i];
        sets[i] = arena_copy_string(compiler->arena, set->text);
        check_set(compiler, set);
        for (size_t k = 0; k < i; k++) {
            if (set->text.length > 0 && view_equal_string(set->text, sets[k])) {
                diag_add(compiler->diag, DIAG_ERROR, &set->place, NULL, "the rule set '%.*s' is named twice",
                    VIEW_ARGS(set->text));
                break;
            }
        }
    }
    return sets;
}

/* ---- what makes no sense together ---- */

static void refuse(struct compiler *compiler, const struct parsed_check *check, const char *key,
    const char *hint, const char *message)
{
    compile_refuse_check(compiler, check, "yara", key, hint, message);
}

/* A sender is told something where its message is refused with a reason code. */
static bool tells_sender(const struct parsed_yara *parsed)
{
    bool by_match = parsed->on_match != YARA_MATCH_DROP && parsed->on_match != YARA_MATCH_ALERT;
    return (parsed->verbs & VERB_PUBLISH) != 0 && (by_match || parsed->on_error == YARA_ERROR_REJECT);
}

static void check_combination(struct compiler *compiler, const struct parsed_check *check)
{
    const struct parsed_yara *parsed = &check->yara;
    if (!check->has_topics)
        refuse(compiler, check, NULL, "such as 'topics: [dt/#]'",
            "'topics' is missing: which messages are scanned?");
    if (parsed->verbs == VERB_RECEIVE && parsed->on_match == YARA_MATCH_DISCONNECT)
        refuse(compiler, check, "on_match",
            "write 'on_match: reject': it is not delivered, and the receiver stays",
            "the sender of what is delivered is not there to be disconnected");
    if (!parsed->has_reason_code || parsed->verbs == 0 || tells_sender(parsed))
        return;
    if (parsed->verbs == VERB_RECEIVE)
        refuse(compiler, check, "reason_code", "remove it: a receiver is told nothing",
            "'reason_code' is about publishes, the check is 'at: receive'");
    else
        refuse(compiler, check, "reason_code", "remove it, or write 'on_match: reject'",
            "nothing is refused: there is nobody to tell the reason code");
}

/* ---- in words ---- */

/* How the policy writes a value of one of its keys; empty where an error left it without one. */
static const char *word_of(const char *key, int value)
{
    const struct keyword *keyword = parse_yara_table;
    while (strcmp(keyword->name, key) != 0)
        keyword++;
    const struct keyword_choice *choice = keyword->choices;
    while (choice->name != NULL && choice->value != value)
        choice++;
    return choice->name == NULL ? "" : choice->name;
}

static void show_views(struct buffer *out, unsigned views)
{
    buffer_format(out, ", views: ");
    if (views == 0 || views == YARA_VIEWS_ALL) {
        buffer_format(out, "%s", word_of("views", (int)views));
        return;
    }
    const char *separator = "[";
    for (unsigned bit = 1; bit <= YARA_VIEWS_ALL; bit <<= 1) {
        if ((views & bit) == 0)
            continue;
        buffer_format(out, "%s%s", separator, word_of("views", (int)bit));
        separator = ", ";
    }
    buffer_format(out, "]");
}

/* All that it demands, as the policy writes it, with the defaults. */
static const char *show(
    struct compiler *compiler, const struct parsed_yara *parsed, const struct yara_terms *terms)
{
    struct buffer text = {0};
    for (size_t i = 0; i < terms->rule_count; i++)
        buffer_format(&text, "%s%s", i == 0 ? "rules: [" : ", ", terms->rules[i]);
    buffer_format(&text, "]");
    if ((parsed->verbs & VERB_RECEIVE) != 0)
        buffer_format(
            &text, ", at: %s", (parsed->verbs & VERB_PUBLISH) != 0 ? "[publish, receive]" : "receive");
    buffer_format(&text, ", max_scan: %s", keyword_show_size(terms->max_scan).bytes);
    show_views(&text, terms->views);
    buffer_format(&text, ", timeout: %s", keyword_show_duration(terms->timeout_ms).bytes);
    buffer_format(&text, ", on_match: %s", word_of("on_match", (int)terms->on_match));
    buffer_format(&text, ", on_error: %s", word_of("on_error", (int)terms->on_error));
    if (tells_sender(parsed))
        buffer_format(&text, ", reason_code: %s", word_of("reason_code", terms->reason_code));
    const char *result = arena_copy_string(compiler->arena, buffer_view(&text));
    buffer_release(&text);
    return result;
}

/* ---- the whole ---- */

void compile_yara(struct compiler *compiler, const struct parsed_check *parsed, const char *const *groups,
    struct policy_check *check)
{
    const struct parsed_yara *yara = &parsed->yara;
    struct yara_terms *terms = arena_alloc(compiler->arena, sizeof(*terms));
    (void)groups;
    check_combination(compiler, parsed);
    *terms = (struct yara_terms){.rules = compile_sets(compiler, &yara->rules),
        .rule_count = yara->rules.count,
        .max_scan = yara->max_scan,
        .timeout_ms = yara->timeout_ms,
        .views = yara->views,
        .on_match = (enum yara_on_match)yara->on_match,
        .on_error = (enum yara_on_error)yara->on_error,
        .reason_code = (uint8_t)yara->reason_code};
    check->match.verbs = (uint8_t)yara->verbs;
    check->info.yara = terms;
    check->info.text = show(compiler, yara, terms);
}
