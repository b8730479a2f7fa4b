/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the compilation of checks, and the tries of rules and checks. Called by policy.c after the rules. */
#include <inttypes.h>

#include "base/buffer.h"
#include "policy/compile.h"
#include "policy/signature.h"

/* The keys of what is counted, and of its burst. */
static const struct counted_row {
    const char *key, *burst_key;
} counted_rows[POLICY_COUNTED] = {
    [POLICY_MESSAGES] = {"messages", "burst"},
    [POLICY_BYTES] = {"bytes", "bytes_burst"},
    [POLICY_CONNECTS] = {"connects", "connects_burst"},
};

void compile_refuse_check(struct compiler *compiler, const struct parsed_check *check, const char *key,
    const char *inner, const char *hint, const char *message)
{
    struct diag_place place = compile_key_place(check->node, &check->name, key, inner);
    diag_add(
        compiler->diag, DIAG_ERROR, &place, hint, "check '%.*s': %s", VIEW_ARGS(check->name.text), message);
}

/* ---- rates ---- */

static void check_bursts(struct compiler *compiler, const struct parsed_check *check)
{
    for (size_t i = 0; i < POLICY_COUNTED; i++) {
        if (check->has_burst[i] && !check->rates[i].given)
            compile_refuse_check(compiler, check, "rate", counted_rows[i].burst_key,
                arena_format(compiler->arena, "it is the burst of '%s'", counted_rows[i].key),
                arena_format(
                    compiler->arena, "'%s' without '%s'", counted_rows[i].burst_key, counted_rows[i].key));
    }
}

/* Connects of an address are counted before anybody looks at a credential. */
static void check_address(struct compiler *compiler, const struct parsed_check *check)
{
    static const char hint[] = "make a check of its own of 'connects', for everyone";
    static const char message[] = "an address's connects are counted before it is known who connects";
    if (check->per != POLICY_PER_ADDRESS || !check->rates[POLICY_CONNECTS].given)
        return;
    if (check->has_who)
        compile_refuse_check(compiler, check, "who", NULL, hint, message);
    if (check->has_unless)
        compile_refuse_check(compiler, check, "unless", NULL, hint, message);
}

static void check_rate(struct compiler *compiler, const struct parsed_check *check)
{
    bool publishes = check->rates[POLICY_MESSAGES].given || check->rates[POLICY_BYTES].given;
    if (!check->has_per)
        return; /* no rate, or one that its table refused */
    check_bursts(compiler, check);
    check_address(compiler, check);
    if (!publishes && !check->rates[POLICY_CONNECTS].given)
        compile_refuse_check(compiler, check, "rate", NULL, "such as 'messages: 20/s'",
            "a rate needs 'messages', 'bytes' or 'connects'");
    else if (!publishes && check->has_topics)
        compile_refuse_check(compiler, check, "topics", NULL, "remove it", "a CONNECT has no topic");
    else if (publishes && !check->has_topics)
        compile_refuse_check(compiler, check, "check", NULL, "such as 'topics: [\"#\"]'",
            "'topics' is missing: which publishes is it about?");
}

/* A message larger than the burst would never pass. */
static uint64_t default_burst(
    const struct compiler *compiler, enum policy_counted counted, const struct parsed_rate *rate)
{
    uint64_t packet = compiler->policy->settings.limit_packet;
    return counted == POLICY_BYTES && rate->count < packet ? packet : rate->count;
}

static char unit_of(uint64_t period_ns)
{
    uint64_t seconds = period_ns / RATE_SECOND_NS;
    return seconds == 1 ? 's' : seconds == 60 ? 'm' : 'h';
}

/* "20/s, 256KiB/s per id" */
static const char *show_rate(struct compiler *compiler, const struct parsed_check *check)
{
    static const char *const pers[] = {
        [POLICY_PER_ID] = "id", [POLICY_PER_ADDRESS] = "address", [POLICY_PER_GROUP] = "group"};
    struct buffer text = {0};
    for (int i = 0; i < POLICY_COUNTED; i++) {
        const struct parsed_rate *rate = &check->rates[i];
        if (rate->count == 0)
            continue;
        buffer_format(&text, "%s", buffer_length(&text) == 0 ? "" : ", ");
        if (i == POLICY_BYTES)
            buffer_format(
                &text, "%s%s", keyword_show_size(rate->count).bytes, rate->count % 1024 == 0 ? "" : "B");
        else
            buffer_format(&text, "%" PRIu64 "%s", rate->count, i == POLICY_CONNECTS ? " connects" : "");
        buffer_format(&text, "/%c", unit_of(rate->period_ns));
    }
    buffer_format(&text, " per %s", pers[check->per]);
    const char *result = arena_copy_string(compiler->arena, buffer_view(&text));
    buffer_release(&text);
    return result;
}

static void compile_rate(struct compiler *compiler, const struct parsed_check *parsed,
    const char *const *groups, struct policy_check *check)
{
    struct policy_check_info *info = &check->info;
    (void)groups;
    check_rate(compiler, parsed);
    check->match.verbs = VERB_PUBLISH;
    info->per = (enum policy_per)parsed->per;
    for (int i = 0; i < POLICY_COUNTED; i++) {
        const struct parsed_rate *rate = &parsed->rates[i];
        if (rate->count == 0)
            continue;
        uint64_t burst =
            parsed->has_burst[i] ? parsed->bursts[i] : default_burst(compiler, (enum policy_counted)i, rate);
        info->counts[i] = true;
        /* a burst of 0 was refused */
        info->limits[i] = rate_limit_make(rate->count, rate->period_ns, burst == 0 ? 1 : burst);
    }
    info->text = show_rate(compiler, parsed);
}

/* ---- the whole ---- */

static compile_kind *const kinds[POLICY_CHECK_KINDS] = {[POLICY_CHECK_RATE] = compile_rate,
    [POLICY_CHECK_SIGNATURE] = compile_signature,
    [POLICY_CHECK_YARA] = compile_yara};

/* After an error there may be none, or several. */
static enum policy_check_kind kind_of(const struct parsed_check *parsed)
{
    int kind = POLICY_CHECK_KINDS - 1;
    while (kind > 0 && !parsed->is_of[kind])
        kind--;
    return (enum policy_check_kind)kind;
}

static void compile_check(struct compiler *compiler, const struct parsed_check *parsed,
    const char *const *names, size_t index, struct policy_check *check)
{
    if (parsed->name.text.length == 0)
        return; /* reported as missing */
    check->match = (struct policy_rule){
        .info = compile_info(compiler, parsed->name.text, &parsed->name.place),
        .who = compile_group_set(compiler, &parsed->who, names),
        .unless = compile_group_set(compiler, &parsed->unless, names),
        .rank = (uint32_t)index,
        .deny = true,
        .monitor = parsed->mode == POLICY_MONITOR,
        .topic_count = parsed->topics.count,
    };
    check->match.topics = compile_patterns(compiler, &parsed->topics, &check->match.slots);
    check->match.info.index = (uint32_t)(compiler->policy->rule_count + index);
    check->info.info = check->match.info;
    check->info.kind = kind_of(parsed);
    check->info.monitor = check->match.monitor || compiler->policy->settings.mode == POLICY_MONITOR;
    kinds[check->info.kind](compiler, parsed, names, check);
}

static void find_kinds(struct policy *policy)
{
    for (size_t i = 0; i < policy->check_count && i < POLICY_CHECKS_MAXIMUM; i++) {
        const struct policy_check_info *info = &policy->checks[i].info;
        policy->checks_of[info->kind] |= UINT64_C(1) << i;
        if (info->signature != NULL && info->signature->forward == SIGNATURE_RESIGN)
            policy->resign_checks |= UINT64_C(1) << i;
    }
}

/* A message that one check has taken may come to another one, which takes older ones: each nonce is
 * remembered as long as the check that has the longest memory needs it. */
static void find_span(struct replay_span *span, const struct parsed_checks *checks)
{
    for (size_t i = 0; i < checks->count; i++) {
        const struct parsed_signature *signature = &checks->items[i].signature;
        if (!checks->items[i].is_of[POLICY_CHECK_SIGNATURE] || (signature->verbs & VERB_PUBLISH) == 0 ||
            signature->replay != SIGNATURE_REPLAY_NONCE)
            continue;
        if (signature->max_age_ms + signature->skew_ms > span->age_ms)
            span->age_ms = signature->max_age_ms + signature->skew_ms;
        if (signature->skew_ms > span->ahead_ms)
            span->ahead_ms = signature->skew_ms;
    }
}

void compile_checks(struct compiler *compiler)
{
    const struct parsed_checks *parsed = &compiler->parsed->checks;
    struct policy_check *checks = arena_calloc(compiler->arena, parsed->count, sizeof(*checks));
    const char **names = compile_group_names(compiler);
    find_span(&compiler->policy->replay_span, parsed);
    for (size_t i = 0; i < parsed->count; i++)
        compile_check(compiler, &parsed->items[i], names, i, &checks[i]);
    if (parsed->count > POLICY_CHECKS_MAXIMUM)
        diag_add(compiler->diag, DIAG_ERROR, &parsed->items[POLICY_CHECKS_MAXIMUM].name.place, NULL,
            "a policy has at most %d checks, this one has %zu", POLICY_CHECKS_MAXIMUM, parsed->count);
    compiler->policy->checks = checks;
    compiler->policy->check_count = parsed->count;
    find_kinds(compiler->policy);
}

static void add_to_trie(const struct policy *policy, struct rule_trie *trie, const struct policy_rule *rule)
{
    const struct rule_scope scope = {rule->verbs, group_sets_fold(rule->who, policy->group_words)};
    for (size_t k = 0; k < rule->topic_count; k++)
        rule_trie_add(trie, rule, &rule->topics[k], false, scope);
    for (size_t k = 0; k < rule->except_count; k++)
        rule_trie_add(trie, rule, &rule->excepts[k], true, scope);
}

void compile_tries(struct compiler *compiler)
{
    struct policy *policy = compiler->policy;
    policy->trie = rule_trie_new(compiler->arena);
    for (size_t i = 0; i < policy->rule_count; i++)
        add_to_trie(policy, policy->trie, &policy->rules[i]);
    rule_trie_finish(policy->trie);
    policy->check_trie = rule_trie_new(compiler->arena);
    for (size_t i = 0; i < policy->check_count; i++)
        add_to_trie(policy, policy->check_trie, &policy->checks[i].match);
    rule_trie_finish(policy->check_trie);
    size_t rules = rule_trie_depth(policy->trie), checks = rule_trie_depth(policy->check_trie);
    policy->depth = rules > checks ? rules : checks;
}
