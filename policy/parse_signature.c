/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of a check's signature. Called by the table of parse_checks.c. */
#include "policy/compiled.h"
#include "policy/parse.h"
#include "policy/signature.h"

#define AGE_MAXIMUM_MS (UINT64_C(30) * 24 * 3600 * 1000)
#define KID_PATTERN "^[A-Za-z0-9._-]{1,32}$"
#define SKEW_MAXIMUM_MS (UINT64_C(3600) * 1000)

static const struct keyword_choice replay_choices[] = {
    {.name = "nonce",
        .value = SIGNATURE_REPLAY_NONCE,
        .help = "each signature has a random nonce, which is remembered as long as the signature is young "
                "enough."},
    {.name = "seq",
        .value = SIGNATURE_REPLAY_SEQ,
        .help = "each signature has a counter that goes up; the last 64 may come in any order."},
    {.name = "none", .value = SIGNATURE_REPLAY_NONE, .help = "the age alone bounds a replay."},
    {0},
};
static const struct keyword_choice store_choices[] = {
    {.name = "deny", .value = SIGNATURE_STORE_DENY, .help = "the message is refused."},
    {.name = "local",
        .value = SIGNATURE_STORE_LOCAL,
        .help = "this proxy's own memory decides, and the audit says so."},
    {0},
};
static const struct keyword_choice forward_choices[] = {
    {.name = "strip",
        .value = SIGNATURE_STRIP,
        .help = "the broker and the subscribers see the message as it was before it was signed."},
    {.name = "pass",
        .value = SIGNATURE_PASS,
        .help = "the signature goes on, so that subscribers can check it."},
    {.name = "resign",
        .value = SIGNATURE_RESIGN,
        .help = "each subscriber gets a signature under its own key, which `receiver_key` makes."},
    {0},
};
static const struct keyword_choice require_choices[] = {
    {.name = "always", .value = 0, .help = "a message without a signature is refused."},
    {.name = "when_present", .value = 1, .help = "a message without one passes; a bad one never does."},
    {0},
};
static const struct keyword_choice at_choices[] = {
    {.name = "publish", .value = VERB_PUBLISH, .help = "what clients publish, their wills too."},
    {.name = "receive",
        .value = VERB_RECEIVE,
        .help = "what is delivered to them: the key and the message alone, never age or replay."},
    {0},
};

/* Of its own table, and of keys.yaml. */
static const struct keyword_foreign foreign_keys[] = {
    {.name = "kid", .hint = "write 'keys: [m25a]'", .key = "keys"},
    {.name = "kids", .hint = "write 'keys: [m25a]'", .key = "keys"},
    {.name = "on", .hint = "write 'at: receive'"},
    {.name = "when_present", .hint = "write 'require: when_present'"},
    {.name = "required", .hint = "write 'require: always', which is the default, or 'require: when_present'"},
    {.name = "secret", .hint = "secrets stand in files that keys.yaml names; name a key of it with 'keys'"},
    {0},
};

#define SIGNATURE(field) offsetof(struct parsed_check, signature.field)
const struct keyword parse_signature_table[] = {
    {.name = "keys",
        .set = keyword_set_strings,
        .offset = SIGNATURE(keys),
        .flags = KEYWORD_REQUIRED | KEYWORD_ONE_OR_MANY,
        .pattern = KID_PATTERN,
        .example = "m25a",
        .help = "Keys of `keys.yaml`, by `kid`; of a master, its devices' keys of all generations."},
    {.name = "at",
        .set = keyword_set_choices,
        .offset = SIGNATURE(verbs),
        .choices = at_choices,
        .default_text = "publish",
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Which messages are checked."},
    {.name = "require",
        .set = keyword_set_choice,
        .offset = SIGNATURE(when_present),
        .choices = require_choices,
        .default_text = "always",
        .help = "Whether every message must have a signature."},
    {.name = "max_age",
        .set = keyword_set_duration_ms,
        .offset = SIGNATURE(max_age_ms),
        .default_text = "5m",
        .minimum = 1000,
        .maximum = AGE_MAXIMUM_MS,
        .help = "How old a signature may be when it arrives."},
    {.name = "skew",
        .set = keyword_set_duration_ms,
        .offset = SIGNATURE(skew_ms),
        .default_text = "60s",
        .maximum = SKEW_MAXIMUM_MS,
        .help = "How far a signer's clock may be ahead of the proxy's."},
    {.name = "replay",
        .set = keyword_set_choice,
        .offset = SIGNATURE(replay),
        .choices = replay_choices,
        .default_text = "nonce",
        .help = "How a message that comes again is known."},
    {.name = "store_down",
        .set = keyword_set_choice,
        .offset = SIGNATURE(store_down),
        .choices = store_choices,
        .default_text = "deny",
        .help = "What happens while a replay store that several proxies share can't be reached."},
    {.name = "forward",
        .set = keyword_set_choice,
        .offset = SIGNATURE(forward),
        .choices = forward_choices,
        .default_text = "strip",
        .help = "What the broker gets of a signed message."},
    {.name = "receiver_key",
        .set = keyword_set_string,
        .offset = SIGNATURE(receiver_key),
        .seen_offset = 1 + SIGNATURE(has_receiver_key),
        .pattern = KID_PATTERN,
        .example = "m25a",
        .help = "With `forward: resign`: the master under which the receivers' keys are derived."},
    {.name = "relay",
        .set = parse_set_pairs,
        .offset = SIGNATURE(relays),
        .shape = KEYWORD_PAIRS,
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Gateways: a group, and the signers (`*` stands for any text) whose messages its members may "
                "bring besides their own: `{gateways: [plc-*]}`."},
    {.foreign = foreign_keys},
};
