/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the compilation of a check's signature. Called by compile_checks.c. */
#include "base/buffer.h"
#include "policy/compile.h"
#include "policy/signature.h"

/* ---- keys ---- */

static const char *key_hint(struct compiler *compiler, struct view kid)
{
    const struct policy_names *names = compiler->names;
    return names->key_count == 0 ? "mqward.yaml names the file of keys with 'keys: keys.yaml'"
                                 : compile_hint(compiler, kid, names->keys, names->key_count);
}

/* Is it a key, and one of keys.yaml where those are known? Then *master says whether it is one, or may be. */
static bool check_key(struct compiler *compiler, const struct keyword_string *key, bool *master)
{
    const struct policy_names *names = compiler->names;
    *master = true;
    if (key->text.length == 0)
        return false; /* reported */
    if (!mps1_kid_valid(key->text)) {
        diag_add(compiler->diag, DIAG_ERROR, &key->place, "kids have up to 32 letters, digits and . _ -",
            "no key can be called '%.*s'", VIEW_ARGS(key->text));
        return false;
    }
    if (names == NULL || names->keys == NULL)
        return true;
    for (size_t i = 0; i < names->key_count; i++) {
        *master = names->key_masters[i];
        if (view_equal_string(key->text, names->keys[i]))
            return true;
    }
    diag_add(compiler->diag, DIAG_ERROR, &key->place, key_hint(compiler, key->text),
        "no key has the kid '%.*s' in keys.yaml", VIEW_ARGS(key->text));
    return false;
}

static void check_receiver_key(struct compiler *compiler, const struct keyword_string *key)
{
    bool master;
    if (check_key(compiler, key, &master) && !master)
        diag_add(compiler->diag, DIAG_ERROR, &key->place,
            "each receiver gets a key that is derived from a master", "'%.*s' is no master in keys.yaml",
            VIEW_ARGS(key->text));
}

static const struct view *compile_keys(struct compiler *compiler, const struct keyword_strings *strings)
{
    struct view *keys = arena_calloc(compiler->arena, strings->count, sizeof(*keys));
    for (size_t i = 0; i < strings->count; i++) {
        const struct keyword_string *key = &strings->items[i];
        bool master;
        keys[i] = arena_copy(compiler->arena, key->text);
        check_key(compiler, key, &master);
        for (size_t k = 0; k < i; k++) {
            if (view_equal(keys[k], keys[i]))
                diag_add(compiler->diag, DIAG_ERROR, &key->place, NULL, "the key '%.*s' is named twice",
                    VIEW_ARGS(key->text));
        }
    }
    return keys;
}

/* ---- relays ---- */

/* A signer that no header can name is a mistake. */
static void check_signer(struct compiler *compiler, const struct keyword_string *signer)
{
    size_t length = 0;
    bool valid = true;
    for (size_t i = 0; i < signer->text.length; i++) {
        uint8_t c = signer->text.data[i];
        valid = valid && (c == '*' || mps1_sub_valid(view_of(&c, 1)));
        length += c != '*';
    }
    if (!valid || length > MPS1_SUB_MAX)
        diag_add(compiler->diag, DIAG_ERROR, &signer->place,
            "signers have up to 64 letters, digits and . _ : @ -", "no signer can be called '%.*s'",
            VIEW_ARGS(signer->text));
}

static const struct signature_relay *compile_relays(
    struct compiler *compiler, const struct parsed_pairs *pairs, const char *const *groups)
{
    struct signature_relay *relays = arena_calloc(compiler->arena, pairs->count, sizeof(*relays));
    for (size_t i = 0; i < pairs->count; i++) {
        struct parsed_pair *pair = &pairs->items[i];
        const struct keyword_strings group = {&pair->name, 1};
        relays[i].who = compile_group_set(compiler, &group, groups);
        relays[i].signers = compile_globs(compiler, &pair->values);
        relays[i].signer_count = pair->values.count;
        for (size_t k = 0; k < pair->values.count; k++)
            check_signer(compiler, &pair->values.items[k]);
    }
    return relays;
}

/* ---- what makes no sense together ---- */

static void refuse(struct compiler *compiler, const struct parsed_check *check, const char *key,
    const char *hint, const char *message)
{
    compile_refuse_check(compiler, check, "signature", key, hint, message);
}

static const struct yaml_node *find_member(const struct yaml_node *node, const char *key)
{
    const struct yaml_node *member = node == NULL ? NULL : node->first;
    while (member != NULL && !view_equal_string(member->key, key))
        member = member->next;
    return member;
}

/* A key of the signature as it is written; NULL: it is not there. */
static const struct yaml_node *find_key(const struct parsed_check *check, const char *key)
{
    return find_member(find_member(check->node, "signature"), key);
}

/* At delivery nothing is asked of a signature but its key and the message: a message that was retained or
 * queued may be as old as it likes, and who brought it is not known any more. */
static void check_receive(struct compiler *compiler, const struct parsed_check *check)
{
    static const char *const keys[] = {
        "max_age", "skew", "replay", "store_down", "forward", "receiver_key", "relay"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (find_key(check, keys[i]) != NULL)
            refuse(compiler, check, keys[i],
                "remove it: of what is delivered, key and message are checked, and nothing else",
                arena_format(
                    compiler->arena, "'%s' is about publishes, the check is 'at: receive'", keys[i]));
    }
}

static void check_forward(struct compiler *compiler, const struct parsed_check *check)
{
    const struct parsed_signature *parsed = &check->signature;
    bool resigns = parsed->forward == SIGNATURE_RESIGN;
    if (resigns && !parsed->has_receiver_key)
        refuse(compiler, check, "forward", "the master under which the receivers' keys are derived",
            "'forward: resign' needs 'receiver_key'");
    if (!resigns && parsed->has_receiver_key)
        refuse(compiler, check, "receiver_key", "remove it, or write 'forward: resign'",
            "'receiver_key' without 'forward: resign'");
    if ((parsed->verbs & VERB_RECEIVE) != 0 && parsed->forward == SIGNATURE_STRIP)
        refuse(compiler, check, "at", "'forward: pass', or 'at: publish'",
            "what is stripped at publish has no signature when it is received");
}

static void check_combination(struct compiler *compiler, const struct parsed_check *check)
{
    const struct parsed_signature *parsed = &check->signature;
    const struct yaml_node *relay = find_key(check, "relay");
    if (!check->has_topics)
        refuse(compiler, check, NULL, "such as 'topics: [dt/#]'",
            "'topics' is missing: which messages are signed?");
    if (parsed->verbs == VERB_RECEIVE) {
        check_receive(compiler, check);
        return;
    }
    check_forward(compiler, check);
    if (parsed->replay == SIGNATURE_REPLAY_NONE && find_key(check, "store_down") != NULL)
        refuse(compiler, check, "store_down", "remove it", "'replay: none' needs no store");
    if (relay != NULL && relay->kind == YAML_MAPPING && relay->count == 0)
        refuse(compiler, check, "relay", "such as 'relay: {gateways: [plc-*]}'", "'relay' names nobody");
}

/* ---- in words ---- */

static void show_list(
    struct buffer *out, const char *key, const struct view *items, size_t count, const char *end)
{
    buffer_format(out, "%s", key);
    for (size_t i = 0; i < count; i++)
        buffer_format(out, "%s%.*s", i == 0 ? "" : ", ", VIEW_ARGS(items[i]));
    buffer_format(out, "%s", end);
}

static void show_receipt(struct buffer *out, const struct signature_terms *terms)
{
    static const char *const replays[] = {
        [SIGNATURE_REPLAY_NONCE] = "nonce", [SIGNATURE_REPLAY_SEQ] = "seq", [SIGNATURE_REPLAY_NONE] = "none"};
    static const char *const stores[] = {[SIGNATURE_STORE_DENY] = "deny", [SIGNATURE_STORE_LOCAL] = "local"};
    static const char *const forwards[] = {
        [SIGNATURE_STRIP] = "strip", [SIGNATURE_PASS] = "pass", [SIGNATURE_RESIGN] = "resign"};
    buffer_format(out, ", max_age: %s", keyword_show_duration(terms->max_age_ms).bytes);
    buffer_format(out, ", skew: %s", keyword_show_duration(terms->skew_ms).bytes);
    buffer_format(out, ", replay: %s", replays[terms->replay]);
    if (terms->replay != SIGNATURE_REPLAY_NONE)
        buffer_format(out, ", store_down: %s", stores[terms->store_down]);
    buffer_format(out, ", forward: %s", forwards[terms->forward]);
    if (terms->receiver_key.length > 0)
        buffer_format(out, ", receiver_key: %.*s", VIEW_ARGS(terms->receiver_key));
}

/* All that it demands, as the policy writes it, with the defaults. */
static const char *show(
    struct compiler *compiler, const struct parsed_check *check, const struct signature_terms *terms)
{
    const struct parsed_pairs *pairs = &check->signature.relays;
    unsigned verbs = check->signature.verbs;
    struct buffer text = {0};
    show_list(&text, "keys: [", terms->keys, terms->key_count, "]");
    if ((verbs & VERB_RECEIVE) != 0)
        buffer_format(&text, ", at: %s", (verbs & VERB_PUBLISH) != 0 ? "[publish, receive]" : "receive");
    if (terms->when_present)
        buffer_format(&text, ", require: when_present");
    if ((verbs & VERB_PUBLISH) != 0)
        show_receipt(&text, terms);
    for (size_t i = 0; i < terms->relay_count; i++) {
        buffer_format(&text, "%s%.*s: ", i == 0 ? ", relay: {" : ", ", VIEW_ARGS(pairs->items[i].name.text));
        show_list(&text, "[", terms->relays[i].signers, terms->relays[i].signer_count,
            i + 1 == terms->relay_count ? "]}" : "]");
    }
    const char *result = arena_copy_string(compiler->arena, buffer_view(&text));
    buffer_release(&text);
    return result;
}

/* ---- the whole ---- */

void compile_signature(struct compiler *compiler, const struct parsed_check *check, const char *const *groups,
    struct policy_check *out)
{
    const struct parsed_signature *parsed = &check->signature;
    struct signature_terms *terms = arena_alloc(compiler->arena, sizeof(*terms));
    check_combination(compiler, check);
    if (parsed->has_receiver_key)
        check_receiver_key(compiler, &parsed->receiver_key);
    *terms = (struct signature_terms){.keys = compile_keys(compiler, &parsed->keys),
        .key_count = parsed->keys.count,
        .max_age_ms = parsed->max_age_ms,
        .remember_ms = compiler->policy->replay_span.age_ms,
        .skew_ms = parsed->skew_ms,
        .replay = (enum signature_replay)parsed->replay,
        .forward = (enum signature_forward)parsed->forward,
        .store_down = (enum signature_store_down)parsed->store_down,
        .when_present = parsed->when_present != 0,
        .receiver_key = arena_copy(compiler->arena, parsed->receiver_key.text),
        .relays = compile_relays(compiler, &parsed->relays, groups),
        .relay_count = parsed->relays.count};
    out->match.verbs = (uint8_t)parsed->verbs;
    out->info.signature = terms;
    out->info.text = show(compiler, check, terms);
}
