/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the acts of the notation: "publish dt/a/plc-7/temp qos=1". Called by test.c and explain.c. An act is a
 * row of one table, a word about it a row of another. */
#include "base/number.h"
#include "base/topic.h"
#include "policy/mps1.h"
#include "policy/notation.h"
#include "policy/yara.h"

/* ---- words about the act ---- */

enum act_word {
    WORD_QOS = 1,
    WORD_RETAIN = 2,
    WORD_SIZE = 4,
    WORD_WILL = 8,
    WORD_SIGNED = 16,
    WORD_MATCHES = 32
};

static bool set_qos(
    struct notation *notation, const struct notation_word *word, struct view value, struct notated_act *out)
{
    uint64_t qos;
    if (number_parse(value, &qos) != 0 || qos > 2)
        return notation_refuse(
            notation, word, "qos=0, qos=1 or qos=2", "not a QoS: '%.*s'", VIEW_ARGS(value));
    out->qos = (uint8_t)qos;
    return true;
}

static bool set_retain(
    struct notation *notation, const struct notation_word *word, struct view value, struct notated_act *out)
{
    out->retain = view_equal(value, VIEW("true"));
    return out->retain || view_equal(value, VIEW("false")) ||
           notation_refuse(notation, word, "retain=true or retain=false", "neither true nor false: '%.*s'",
               VIEW_ARGS(value));
}

static bool set_size(
    struct notation *notation, const struct notation_word *word, struct view value, struct notated_act *out)
{
    return number_parse_size(value, &out->size) == 0 ||
           notation_refuse(notation, word,
               "a number and one of B, KiB, MiB, GiB, KB, MB, GB, such as size=64KiB", "not a size: '%.*s'",
               VIEW_ARGS(value));
}

static bool set_will(
    struct notation *notation, const struct notation_word *word, struct view value, struct notated_act *out)
{
    (void)notation;
    (void)word;
    (void)value;
    out->act = POLICY_ACT_WILL;
    return true;
}

static bool set_signed(
    struct notation *notation, const struct notation_word *word, struct view value, struct notated_act *out)
{
    const uint8_t *colon = value.length == 0 ? NULL : memchr(value.data, ':', value.length);
    out->kid = value;
    if (colon != NULL) {
        out->kid.length = (size_t)(colon - value.data);
        out->signer = view_skip(value, out->kid.length + 1);
    }
    if (!mps1_kid_valid(out->kid))
        return notation_refuse(notation, word,
            "signed=<key> or signed=<key>:<signer>; keys have up to 32 letters, digits and . _ -",
            "not a key: '%.*s'", VIEW_ARGS(out->kid));
    return colon == NULL || mps1_sub_valid(out->signer) ||
           notation_refuse(notation, word, "signers have up to 64 letters, digits and . _ : @ -",
               "not a signer: '%.*s'", VIEW_ARGS(out->signer));
}

/* A set that no check names finds nothing that matters: in a test that is a mistake. */
static bool is_scanned_with(const struct policy *policy, struct view set)
{
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct yara_terms *terms = policy->checks[i].info.yara;
        for (size_t k = 0; terms != NULL && k < terms->rule_count; k++) {
            if (view_equal_string(set, terms->rules[k]))
                return true;
        }
    }
    return false;
}

static bool refuse_set(struct notation *notation, const struct notation_word *word, struct view set)
{
    const struct policy *policy = notation->policy;
    const char *near[POLICY_CHECKS_MAXIMUM];
    size_t count = 0;
    for (size_t i = 0; i < policy->check_count && count < POLICY_CHECKS_MAXIMUM; i++) {
        const struct yara_terms *terms = policy->checks[i].info.yara;
        const char *name = terms == NULL ? NULL : diag_suggest(set, terms->rules, terms->rule_count);
        if (name != NULL)
            near[count++] = name;
    }
    return notation_refuse(notation, word, count == 0 ? NULL : diag_hint(notation->diag, set, near, count),
        "no check scans with the rule set '%.*s'", VIEW_ARGS(set));
}

static bool add_match(
    struct notation *notation, const struct notation_word *word, struct view set, struct notated_act *out)
{
    if (!yara_set_name_valid(set))
        return notation_refuse(notation, word,
            "matches=<rule set>[,<rule set>...]; they have up to 64 letters, digits and . _ -",
            "not a rule set: '%.*s'", VIEW_ARGS(set));
    for (size_t i = 0; i < out->match_count; i++) {
        if (view_equal(out->matches[i], set))
            return notation_refuse(
                notation, word, NULL, "the rule set '%.*s' is named twice", VIEW_ARGS(set));
    }
    out->matches[out->match_count++] = set;
    return notation->expectation == ACT_OPEN || notation->unsure || is_scanned_with(notation->policy, set) ||
           refuse_set(notation, word, set);
}

static bool set_matches(
    struct notation *notation, const struct notation_word *word, struct view value, struct notated_act *out)
{
    bool good = true;
    out->matches = arena_calloc(notation->arena, value.length / 2 + 1, sizeof(*out->matches));
    for (bool more = true; more && good;) {
        const uint8_t *comma = value.length == 0 ? NULL : memchr(value.data, ',', value.length);
        struct view set = view_of(value.data, comma == NULL ? value.length : (size_t)(comma - value.data));
        more = comma != NULL;
        value = view_skip(value, more ? set.length + 1 : set.length);
        good = add_match(notation, word, set, out);
    }
    return good;
}

static const struct word_row {
    const char *name; /* with '=' where it has a value */
    unsigned bit;
    bool (*set)(struct notation *notation, const struct notation_word *word, struct view value,
        struct notated_act *out);
} act_words[] = {
    {"qos=", WORD_QOS, set_qos},
    {"retain=", WORD_RETAIN, set_retain},
    {"size=", WORD_SIZE, set_size},
    {"will", WORD_WILL, set_will},
    {"signed=", WORD_SIGNED, set_signed},
    {"matches=", WORD_MATCHES, set_matches},
};
#define ACT_WORDS (sizeof(act_words) / sizeof(act_words[0]))

enum topic_kind { TOPIC_NONE, TOPIC_NAME, TOPIC_FILTER };

static const struct act_row {
    const char *name;
    enum policy_act act;
    enum topic_kind topic;
    unsigned words; /* enum act_word bits */
} acts[] = {
    {"publish", POLICY_ACT_PUBLISH, TOPIC_NAME,
        WORD_QOS | WORD_RETAIN | WORD_SIZE | WORD_WILL | WORD_SIGNED | WORD_MATCHES},
    {"subscribe", POLICY_ACT_SUBSCRIBE, TOPIC_FILTER, WORD_QOS},
    {"receive", POLICY_ACT_RECEIVE, TOPIC_NAME, WORD_SIGNED | WORD_MATCHES},
    {"will", POLICY_ACT_WILL, TOPIC_NAME, WORD_QOS | WORD_RETAIN | WORD_SIZE | WORD_SIGNED | WORD_MATCHES},
    {"connect", POLICY_ACT_CONNECT, TOPIC_NONE, 0},
};
#define ACTS (sizeof(acts) / sizeof(acts[0]))

/* ---- reading ---- */

static const struct act_row *read_verb(struct notation *notation)
{
    const char *names[ACTS];
    if (notation->next == notation->count) {
        notation_refuse(notation, NULL, "publish, subscribe, receive, will or connect", "an act is missing");
        return NULL;
    }
    const struct notation_word *word = &notation->words[notation->next++];
    for (size_t i = 0; i < ACTS; i++) {
        if (view_equal_string(word->text, acts[i].name))
            return &acts[i];
        names[i] = acts[i].name;
    }
    notation_refuse(notation, word, diag_hint(notation->diag, word->text, names, ACTS), "unknown act '%.*s'",
        VIEW_ARGS(word->text));
    return NULL;
}

/* In YAML, " #" begins a comment. */
static bool refuse_missing_topic(
    struct notation *notation, const struct act_row *row, const struct notation_word *verb)
{
    bool filter = row->topic == TOPIC_FILTER;
    return notation_refuse(notation, verb,
        filter ? "write 'subscribe dt/a/#', and \"subscribe #\" in quotes" : NULL, "the topic %s is missing",
        filter ? "filter" : "name");
}

static bool read_topic(struct notation *notation, const struct act_row *row, struct notated_act *out)
{
    if (row->topic == TOPIC_NONE)
        return true;
    const struct notation_word *verb = &notation->words[notation->next - 1];
    const char *what = row->topic == TOPIC_NAME ? "topic name" : "topic filter";
    if (notation->next == notation->count)
        return refuse_missing_topic(notation, row, verb);
    const struct notation_word *word = &notation->words[notation->next++];
    out->topic = word->text;
    bool filter = topic_filter_valid(out->topic);
    if (row->topic == TOPIC_FILTER ? filter : topic_name_valid(out->topic))
        return true;
    return notation_refuse(notation, word,
        row->topic == TOPIC_NAME && filter ? "'+' and '#' are for filters, as of subscribe" : NULL,
        "not a %s: '%.*s'", what, VIEW_ARGS(out->topic));
}

/* Does the text begin with a word's name, and end there if it has no value? */
static bool is_word(const struct word_row *row, struct view text)
{
    struct view name = view_of_string(row->name);
    return view_ends_with(name, VIEW("=")) ? view_starts_with(text, name) : view_equal(text, name);
}

static bool refuse_act_word(
    struct notation *notation, const struct act_row *row, const struct notation_word *word, bool by)
{
    const char *names[ACT_WORDS + 1];
    size_t count = 0;
    for (size_t i = 0; i < ACT_WORDS; i++) {
        if ((row->words & act_words[i].bit) != 0)
            names[count++] = act_words[i].name;
    }
    if (by)
        names[count++] = "by <rule>";
    /* "qso=1" is near to "qos=". */
    const uint8_t *equals = word->text.length == 0 ? NULL : memchr(word->text.data, '=', word->text.length);
    size_t length = equals == NULL ? word->text.length : (size_t)(equals - word->text.data) + 1;
    struct view name = view_of(word->text.data, length);
    return notation_refuse(notation, word, diag_hint(notation->diag, name, names, count),
        "%s: unknown word '%.*s'", row->name, VIEW_ARGS(word->text));
}

static bool read_act_word(
    struct notation *notation, const struct act_row *row, unsigned *seen, bool by, struct notated_act *out)
{
    const struct notation_word *word = &notation->words[notation->next++];
    for (size_t i = 0; i < ACT_WORDS; i++) {
        const struct word_row *known = &act_words[i];
        if ((row->words & known->bit) == 0 || !is_word(known, word->text))
            continue;
        int length = (int)strcspn(known->name, "=");
        if ((*seen & known->bit) != 0)
            return notation_refuse(notation, word, NULL, "'%.*s' is given already", length, known->name);
        *seen |= known->bit;
        return known->set(notation, word, view_skip(word->text, strlen(known->name)), out);
    }
    return refuse_act_word(notation, row, word, by);
}

/* ---- by ---- */

static bool is_rule(const struct policy *policy, struct view name)
{
    for (size_t i = 0; i < policy->rule_count; i++) {
        if (policy->rules[i].info.name != NULL && view_equal_string(name, policy->rules[i].info.name))
            return true;
    }
    return policy->client_id.given && view_equal_string(name, policy->client_id.info.name);
}

static const struct policy_check_info *find_check(const struct policy *policy, struct view name)
{
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct policy_check_info *info = &policy->checks[i].info;
        if (info->info.name != NULL && view_equal_string(name, info->info.name))
            return info;
    }
    return NULL;
}

/* What policy_identify(), the decisions and notation_ask_check() refuse and deny with. */
static const enum reason reasons[] = {REASON_no_allow, REASON_denied_by_rule, REASON_not_covered,
    REASON_shared_needs_filter, REASON_feature_not_granted, REASON_not_privileged, REASON_topic_too_deep,
    REASON_topic_name_invalid, REASON_topic_filter_invalid, REASON_identity_no_credential,
    REASON_identity_bad_certificate, REASON_identity_unsafe, REASON_identity_missing,
    REASON_client_id_not_allowed, REASON_sig_missing, REASON_sig_key_unknown, REASON_sig_identity,
    REASON_payload_matched};
#define REASONS (sizeof(reasons) / sizeof(reasons[0]))

static bool is_reason(struct view name)
{
    for (size_t i = 0; i < REASONS; i++) {
        if (view_equal_string(name, reason_info(reasons[i])->name))
            return true;
    }
    return false;
}

/* Reasons of checks that no case is denied because of, by how they begin. */
static const struct {
    struct view prefix;
    const char *hint;
} untold_reasons[] = {
    {{(const uint8_t *)"sig_", 4},
        "signatures of tests are valid, fresh and new: write sig_missing, sig_key_unknown or sig_identity"},
    {{(const uint8_t *)"scan_", 5}, "messages of tests are scanned to their end: write payload_matched"},
};

/* What to write instead of such a reason; NULL: it is none. */
static const char *find_untold(struct view name)
{
    bool known = false;
    for (int i = 0; i < REASON_COUNT && !known; i++)
        known = view_equal_string(name, reason_info((enum reason)i)->name);
    for (size_t i = 0; i < sizeof(untold_reasons) / sizeof(untold_reasons[0]) && known; i++) {
        if (view_starts_with(name, untold_reasons[i].prefix))
            return untold_reasons[i].hint;
    }
    return NULL;
}

/* A single case exceeds no rate. */
static bool can_deny(const struct policy_check_info *check)
{
    return check->kind != POLICY_CHECK_RATE && !notation_only_reports(check);
}

/* Can it be what decides? A check only denies. */
static bool is_decider(const struct policy *policy, struct view name, bool denied)
{
    const struct policy_check_info *check = find_check(policy, name);
    return is_rule(policy, name) || (denied && (is_reason(name) || (check != NULL && can_deny(check))));
}

static bool refuse_check(struct notation *notation, const struct notation_word *word,
    const struct policy_check_info *check, bool denied)
{
    if (check->kind == POLICY_CHECK_RATE)
        return notation_refuse(notation, word, "'policy explain' names the checks that a publish is to pass",
            "check '%.*s' is a rate: no single case exceeds it", VIEW_ARGS(word->text));
    if (denied && !can_deny(check))
        return notation_refuse(notation, word, "it only reports: the case is allowed, by a rule",
            "check '%.*s' denies nothing: it has 'on_match: alert'", VIEW_ARGS(word->text));
    return notation_refuse(
        notation, word, "an allow is by a rule", "check '%.*s' allows nothing", VIEW_ARGS(word->text));
}

static bool refuse_decider(struct notation *notation, const struct notation_word *word, bool denied)
{
    const struct policy *policy = notation->policy;
    const struct policy_check_info *check = find_check(policy, word->text);
    const char **names =
        arena_calloc(notation->arena, policy->rule_count + policy->check_count + REASONS, sizeof(*names));
    size_t count = 0;
    if (notation->unsure)
        return true;
    for (size_t i = 0; i < policy->rule_count; i++)
        names[count++] = policy->rules[i].info.name;
    for (size_t i = 0; i < policy->check_count && denied; i++) {
        if (can_deny(&policy->checks[i].info))
            names[count++] = policy->checks[i].info.info.name;
    }
    for (size_t i = 0; i < REASONS && denied; i++)
        names[count++] = reason_info(reasons[i])->name;
    const char *near = diag_suggest(word->text, names, count), *untold = find_untold(word->text);
    if (check != NULL)
        return refuse_check(notation, word, check, denied);
    if (!denied && is_reason(word->text))
        return notation_refuse(
            notation, word, NULL, "'%.*s' is a reason to deny; an allow is by a rule", VIEW_ARGS(word->text));
    if (untold != NULL)
        return notation_refuse(
            notation, word, untold, "no case is denied because of '%.*s'", VIEW_ARGS(word->text));
    return notation_refuse(notation, word,
        near == NULL ? NULL : diag_hint(notation->diag, word->text, &near, 1), "no rule%s is named '%.*s'",
        denied ? " and no reason" : "", VIEW_ARGS(word->text));
}

/* "by" is the last word but one. */
static bool read_by(struct notation *notation, enum notation_expectation expectation, struct notated_act *out)
{
    const struct notation_word *by = &notation->words[notation->next++];
    if (notation->next == notation->count)
        return notation_refuse(
            notation, by, "write 'by <rule>', or leave it out", "the name of a rule is missing behind 'by'");
    const struct notation_word *word = &notation->words[notation->next++];
    bool denied = expectation == ACT_DENIED;
    out->by = word->text;
    return is_decider(notation->policy, word->text, denied) || refuse_decider(notation, word, denied);
}

bool notation_read_act(
    struct notation *notation, enum notation_expectation expectation, struct notated_act *out)
{
    unsigned seen = 0;
    bool good = true, by = expectation != ACT_OPEN;
    notation->expectation = expectation;
    *out = (struct notated_act){0};
    const struct act_row *row = read_verb(notation);
    if (row == NULL)
        return false;
    out->act = row->act;
    if (!read_topic(notation, row, out))
        return false;
    while (notation->next < notation->count) {
        if (by && view_equal(notation->words[notation->next].text, VIEW("by")))
            return read_by(notation, expectation, out) && notation_at_end(notation) && good;
        good = read_act_word(notation, row, &seen, by, out) && good;
    }
    return good;
}
