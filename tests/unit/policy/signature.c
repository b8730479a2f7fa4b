/* SPDX-License-Identifier: Apache-2.0 */
/* Does a signature stand? Every reason, their order, and both places. */
#include "signature_support.h"
#include "support.h"

static enum reason ask(const struct attempt *attempt)
{
    struct keyring *keyring = signature_make_keyring();
    struct packet packet = signature_make_packet(keyring, attempt);
    struct signature_found found;
    enum reason reason = signature_verify_packet(keyring, attempt, &packet, &found);

    cr_expect_eq(found.present, !attempt->no_carrier);
    signature_free_packet(&packet);
    keyring_release(keyring);
    return reason;
}

static void expect(enum reason wanted, struct attempt attempt, const char *what)
{
    for (int property = 0; property < 2; property++) {
        attempt.property = property;
        enum reason reason = ask(&attempt);
        cr_expect_eq(reason, wanted, "%s, property %d: %s, not %s", what, property, reason_info(reason)->name,
            reason_info(wanted)->name);
    }
}
#define EXPECT(wanted, ...) expect(REASON_##wanted, (struct attempt){__VA_ARGS__}, #__VA_ARGS__)

/* ---- what stands ---- */

Test(signature, a_good_one_stands_in_either_carrier)
{
    EXPECT(none, .kid = NULL);
    EXPECT(none, .kid = "m25a.7");
    EXPECT(none, .kid = "m25a.2", .sub = "plc-3", .principal = "plc-3");
    EXPECT(none, .kid = "big", .algorithm = MPS1_HMAC_SHA_512);
    EXPECT(none, .kid = "ops-1", .sub = "op:eva", .principal = "op:eva");
    EXPECT(none, .flags = MPS1_PROPS);
    EXPECT(none, .flags = MPS1_RETAIN, .retain = true);
    EXPECT(none, .flags = MPS1_WILL | MPS1_RETAIN, .retain = true, .will = true);
}

Test(signature, what_was_found_is_told)
{
    struct keyring *keyring = signature_make_keyring();
    for (int property = 0; property < 2; property++) {
        const struct attempt attempt = {.kid = "m25a.7", .property = property};
        struct packet packet = signature_make_packet(keyring, &attempt);
        struct signature_found found;
        cr_assert_eq(signature_verify_packet(keyring, &attempt, &packet, &found), REASON_none);
        cr_expect(found.present);
        cr_expect_eq(found.envelope, !property);
        cr_expect(view_equal(found.payload, VIEW(PAYLOAD)));
        cr_expect(view_equal(found.header.kid, VIEW("m25a.7")));
        cr_expect(view_equal(found.header.sub, VIEW("plc-7")));
        cr_expect_str_eq(found.entry->kid, "m25a");
        cr_expect_null(found.detail);
        signature_free_packet(&packet);
    }
    keyring_release(keyring);
}

/* ---- every reason, and their order ---- */

/* A fault leaves alone what an earlier one has set. */
static void no_carrier(struct attempt *attempt)
{
    attempt->no_carrier = true;
}
static void both(struct attempt *attempt)
{
    attempt->both = true;
}
static void twice(struct attempt *attempt)
{
    attempt->twice = true;
}
static void cut(struct attempt *attempt)
{
    attempt->cut = true;
}
static void other_version(struct attempt *attempt)
{
    attempt->other_version = true;
}
static void other_algorithm(struct attempt *attempt)
{
    attempt->other_algorithm = true;
}
static void set_kid(struct attempt *attempt, const char *kid)
{
    attempt->kid = attempt->kid == NULL ? kid : attempt->kid;
}
static void unknown_key(struct attempt *attempt)
{
    set_kid(attempt, "m25b");
}
static void unnamed_key(struct attempt *attempt)
{
    set_kid(attempt, "other");
}
static void old_key(struct attempt *attempt)
{
    set_kid(attempt, "old");
}
static void next_key(struct attempt *attempt)
{
    set_kid(attempt, "next");
}
static void revoked(struct attempt *attempt)
{
    attempt->sub = attempt->principal = "plc-9";
}
static void first_generation(struct attempt *attempt)
{
    if (attempt->sub == NULL)
        attempt->sub = attempt->principal = "plc-3";
}
static void not_the_keys(struct attempt *attempt)
{
    attempt->algorithm = MPS1_HMAC_SHA_384;
}
static void other_principal(struct attempt *attempt)
{
    attempt->principal = "plc-8";
}
static void retained(struct attempt *attempt)
{
    attempt->retain = true;
}
static void will(struct attempt *attempt)
{
    attempt->will = true;
}
static void egress(struct attempt *attempt)
{
    attempt->flags |= MPS1_EGRESS;
}
static void unsigned_properties(struct attempt *attempt)
{
    attempt->has_properties = true;
}
static void other_tag(struct attempt *attempt)
{
    attempt->other_tag = true;
}
static void wants_sequence(struct attempt *attempt)
{
    attempt->replay = SIGNATURE_REPLAY_SEQ;
}
static void too_old(struct attempt *attempt)
{
    attempt->age_ms = 300001;
}

static const struct fault {
    void (*commit)(struct attempt *attempt);
    enum reason reason;
    bool at_ingress_only;
} faults[] = {
    {no_carrier, REASON_sig_missing, false},
    {both, REASON_sig_two_carriers, false},
    {twice, REASON_sig_two_carriers, false},
    {other_version, REASON_sig_version, false}, /* of another version nothing else is known */
    {other_algorithm, REASON_sig_alg, false},
    {cut, REASON_sig_malformed, false},
    {unknown_key, REASON_sig_key_unknown, false},
    {unnamed_key, REASON_sig_key_unknown, false},
    {old_key, REASON_sig_key_inactive, false},
    {next_key, REASON_sig_key_inactive, false},
    {revoked, REASON_sig_key_revoked, false},
    {first_generation, REASON_sig_key_revoked, false},
    {not_the_keys, REASON_sig_alg, false},
    {other_principal, REASON_sig_identity, true},
    {retained, REASON_sig_flags, true},
    {will, REASON_sig_flags, true},
    {egress, REASON_sig_flags, true},
    {unsigned_properties, REASON_sig_props_unsigned, false},
    {other_tag, REASON_sig_invalid, false},
    {wants_sequence, REASON_sig_replay_mode, true},
    {too_old, REASON_sig_expired, true},
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

Test(signature, each_fault_has_its_reason)
{
    for (size_t i = 0; i < FAULTS; i++) {
        struct attempt attempt = {0};
        faults[i].commit(&attempt);
        expect(faults[i].reason, attempt, reason_info(faults[i].reason)->name);
    }
}

Test(signature, of_two_faults_the_first_step_has_the_reason)
{
    for (size_t i = 0; i < FAULTS; i++) {
        for (size_t k = i + 1; k < FAULTS; k++) {
            struct attempt attempt = {0};
            char what[64];
            faults[i].commit(&attempt);
            faults[k].commit(&attempt);
            snprintf(what, sizeof(what), "faults %zu and %zu", i, k);
            expect(faults[i].reason, attempt, what);
        }
    }
}

/* What a broker kept is neither held to its age nor to who brought it. */
Test(signature, at_delivery_only_key_and_message_count)
{
    for (size_t i = 0; i < FAULTS; i++) {
        struct attempt attempt = {.place = SIGNATURE_DELIVERY};
        faults[i].commit(&attempt);
        expect(faults[i].at_ingress_only ? REASON_none : faults[i].reason, attempt,
            reason_info(faults[i].reason)->name);
    }
}

/* A key need not be active any more for what was signed while it was. */
Test(signature, at_delivery_a_key_is_active_when_the_message_was_signed)
{
    EXPECT(none, .place = SIGNATURE_DELIVERY, .kid = "old", .age_ms = 1);
    EXPECT(sig_key_inactive, .place = SIGNATURE_INGRESS, .kid = "old", .age_ms = 1);
    EXPECT(sig_key_inactive, .place = SIGNATURE_DELIVERY, .kid = "old", .age_ms = -1);
    EXPECT(sig_key_inactive, .place = SIGNATURE_DELIVERY, .kid = "next", .age_ms = 0);
    EXPECT(none, .place = SIGNATURE_DELIVERY, .kid = "next", .age_ms = -1);
    /* one that does not say when it was made, now */
    EXPECT(sig_key_inactive, .place = SIGNATURE_DELIVERY, .kid = "old", .flags = MPS1_SEQ, .clockless = true);
    EXPECT(sig_key_revoked, .place = SIGNATURE_DELIVERY, .sub = "plc-9", .age_ms = 1000000);
}

Test(signature, when_present_none_will_do_and_a_bad_one_never)
{
    for (size_t i = 0; i < FAULTS; i++) {
        struct attempt attempt = {.when_present = true};
        faults[i].commit(&attempt);
        expect(faults[i].commit == no_carrier ? REASON_none : faults[i].reason, attempt,
            reason_info(faults[i].reason)->name);
    }
}

Test(signature, the_key_of_another_signer_is_nobodys)
{
    EXPECT(sig_identity, .kid = "ops-1");
    EXPECT(sig_identity, .kid = "ops-1", .sub = "op:eva", .principal = "op:adam");
    EXPECT(sig_key_unknown, .kid = "ops-1.2", .sub = "op:eva", .principal = "op:eva");
    EXPECT(sig_key_unknown, .kid = "m25a.02");
}

/* ---- time, and replay's mode ---- */

Test(signature, ages_end_to_the_millisecond)
{
    EXPECT(none, .age_ms = 300000);
    EXPECT(sig_expired, .age_ms = 300001);
    EXPECT(none, .age_ms = -60000);
    EXPECT(sig_future, .age_ms = -60001);
    EXPECT(sig_future, .age_ms = -INT64_MAX);
    EXPECT(sig_expired, .clockless = true);
}

Test(signature, a_sequence_may_have_no_clock)
{
    EXPECT(none, .flags = MPS1_SEQ, .replay = SIGNATURE_REPLAY_SEQ);
    EXPECT(none, .flags = MPS1_SEQ, .replay = SIGNATURE_REPLAY_SEQ, .clockless = true);
    EXPECT(sig_expired, .flags = MPS1_SEQ, .replay = SIGNATURE_REPLAY_SEQ, .age_ms = 300001);
    EXPECT(sig_future, .flags = MPS1_SEQ, .replay = SIGNATURE_REPLAY_SEQ, .age_ms = -60001);
    EXPECT(sig_replay_mode, .flags = MPS1_SEQ, .replay = SIGNATURE_REPLAY_NONCE);
    EXPECT(sig_replay_mode, .flags = 0, .replay = SIGNATURE_REPLAY_SEQ);
    EXPECT(none, .flags = 0, .replay = SIGNATURE_REPLAY_NONE);
    EXPECT(none, .flags = MPS1_SEQ, .replay = SIGNATURE_REPLAY_NONE, .clockless = true);
}

/* ---- gateways ---- */

Test(signature, a_relay_brings_what_it_is_named_for)
{
    static const struct view signers[] = {VIEW("pump:*"), VIEW("plc-7")};
    const uint64_t who[2] = {UINT64_C(1) << 3, UINT64_C(1) << 1};
    const struct signature_relay relay = {who, signers, 2};
    const uint64_t first[2] = {who[0], 0}, second[2] = {0, who[1]}, others[2] = {~who[0], ~who[1]};

    EXPECT(none, .principal = "gw-1", .relay = &relay, .groups = first);
    EXPECT(none, .principal = "gw-1", .relay = &relay, .groups = second);
    EXPECT(none, .principal = "gw-1", .relay = &relay, .groups = first, .sub = "pump:3");
    EXPECT(none, .principal = "gw-1", .relay = &relay, .groups = first, .sub = "gw-1");
    EXPECT(none, .principal = "gw-1", .relay = &relay, .groups = others, .sub = "gw-1");
    EXPECT(sig_identity, .principal = "gw-1", .relay = &relay, .groups = others);
    EXPECT(sig_identity, .principal = "gw-1", .relay = &relay, .groups = first, .sub = "plc-70");
    EXPECT(sig_identity, .principal = "gw-1", .relay = &relay, .groups = first, .sub = "pump");
    EXPECT(sig_identity, .principal = "gw-1", .groups = first);
    EXPECT(sig_key_revoked, .principal = "gw-1", .relay = &relay, .groups = first, .sub = "plc-9");
}
