/* SPDX-License-Identifier: Apache-2.0 */
/* No signed message that was changed stands; what the replay store is told and what its answers mean;
 * keyrings without a file. */
#include "mps1_support.h"
#include "signature_support.h"
#include "support.h"

/* ---- nothing that was changed stands ---- */

/* How many single-bit flips of a part leave a message that stands. */
static size_t count_standing(
    struct keyring *keyring, const struct attempt *attempt, const struct packet *packet, size_t part)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)packet->parts[part].data;
    struct signature_found found;
    size_t standing = 0;

    for (size_t bit = 0; bit < 8 * packet->parts[part].length; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        standing += signature_verify_packet(keyring, attempt, packet, &found) == REASON_none;
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    cr_assert_eq(
        signature_verify_packet(keyring, attempt, packet, &found), REASON_none, "the message itself");
    return standing;
}

/* Of header, topic, payload and properties, every bit; as everybody may relay and every time is right,
 * nothing but the tag is in the way. */
Test(signature, no_message_with_a_flipped_bit_stands)
{
    static const struct view all[] = {VIEW("*")};
    static const uint64_t everyone[2] = {1, 0};
    static const struct signature_relay relay = {everyone, all, 1};
    static const unsigned flags[] = {0, MPS1_PROPS, MPS1_SEQ | MPS1_PROPS | MPS1_WILL | MPS1_RETAIN};
    struct keyring *keyring = signature_make_keyring();

    for (size_t i = 0; i < 12; i++) {
        const unsigned set = flags[i / 4];
        const struct attempt attempt = {.kid = i % 4 < 2 ? "m25a.2" : "big",
            .algorithm = i % 4 < 2 ? MPS1_HMAC_SHA_256 : MPS1_HMAC_SHA_512,
            .property = i % 2 != 0,
            .flags = set,
            .retain = (set & MPS1_RETAIN) != 0,
            .will = (set & MPS1_WILL) != 0,
            .replay = SIGNATURE_REPLAY_NONE,
            .relay = &relay,
            .groups = everyone};
        struct packet packet = signature_make_packet(keyring, &attempt);
        for (size_t part = 0; part < (attempt.property ? PARTS : PARTS - 1); part++)
            cr_expect_eq(count_standing(keyring, &attempt, &packet, part), 0, "%zu: part %zu", i, part);
        signature_free_packet(&packet);
    }
    keyring_release(keyring);
}

/* ---- replay ---- */

Test(signature, the_store_is_told_what_it_has_to_know)
{
    struct keyring *keyring = signature_make_keyring();
    const struct attempt attempt = {.kid = "m25a.2"};
    const struct signature_terms terms = {.max_age_ms = 300000, .skew_ms = 60000};
    struct packet packet = signature_make_packet(keyring, &attempt);
    struct signature_found found;

    cr_assert_eq(signature_verify_packet(keyring, &attempt, &packet, &found), REASON_none);
    const struct replay_mark mark = signature_mark(&terms, &found);
    cr_expect(view_equal(mark.kid, VIEW("m25a.2")));
    cr_expect(view_equal(mark.sub, VIEW("plc-7")));
    cr_expect_arr_eq(mark.nonce, found.header.nonce, MPS1_NONCE_SIZE);
    cr_expect_arr_eq(mark.tag, found.header.tag.data, REPLAY_TAG_SIZE);
    cr_expect_eq(mark.t_ms, NOW);
    cr_expect_eq(mark.until_ms, NOW + 360000);
    signature_free_packet(&packet);
    keyring_release(keyring);
}

Test(signature, only_a_retransmission_that_says_so_is_one)
{
    static const struct {
        enum replay_answer answer;
        enum reason first, again, sequence; /* DUP = 0; DUP = 1; of a sequence, DUP = 1; all at QoS 1 */
    } rows[] = {
        {REPLAY_NEW, REASON_none, REASON_none, REASON_none},
        {REPLAY_PENDING, REASON_sig_replay, REASON_none, REASON_none},
        {REPLAY_DONE, REASON_sig_replay, REASON_sig_dup_suppressed, REASON_sig_dup_suppressed},
        {REPLAY_REUSED, REASON_sig_nonce_reuse, REASON_sig_nonce_reuse, REASON_sig_replay},
        {REPLAY_FORGOTTEN, REASON_sig_replay, REASON_sig_replay, REASON_sig_replay},
        {REPLAY_FULL, REASON_sig_store_down, REASON_sig_store_down, REASON_sig_store_down},
        {REPLAY_DOWN, REASON_sig_store_down, REASON_sig_store_down, REASON_sig_store_down},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned qos = 1; qos <= 2; qos++) {
            cr_expect_eq(signature_replayed(rows[i].answer, qos, false, false), rows[i].first);
            cr_expect_eq(signature_replayed(rows[i].answer, qos, true, false), rows[i].again);
            cr_expect_eq(signature_replayed(rows[i].answer, qos, true, true), rows[i].sequence);
        }
        cr_expect_eq(signature_replayed(rows[i].answer, 0, true, false), rows[i].first, "QoS 0 has no DUP");
    }
}

/* ---- a keyring without a file ---- */

Test(signature, a_keyring_of_given_keys_has_copies_of_them)
{
    uint8_t secret[32], derived[MPS1_TAG_MAX], wanted[MPS1_TAG_MAX];
    char kid[] = "m1", sub[] = "plc-9", third[] = "plc-3";
    memcpy(secret, mps1_secret().data, sizeof(secret));
    const struct view revoked[] = {view_of_string(sub)};
    const struct keyring_minimum minimums[] = {{view_of_string(third), 3}};
    const struct keyring_given given = {.entry = {.kid = kid,
                                            .type = KEYRING_MASTER,
                                            .algorithm = MPS1_HMAC_SHA_384,
                                            .not_after_ms = UINT64_MAX,
                                            .revoked_count = 1,
                                            .minimum_count = 1},
        .secret = view_of(secret, sizeof(secret)),
        .revoked = revoked,
        .minimums = minimums};
    struct keyring *keyring = keyring_of(&given, 1);
    memset(secret, 'x', sizeof(secret));
    memset(kid, 'x', 2);
    memset(sub, 'x', 5);
    memset(third, 'x', 5);

    cr_assert_eq(keyring_count(keyring), 1);
    cr_expect_str_eq(keyring_entry(keyring, 0)->kid, "m1");
    const struct {
        const char *kid, *sub;
        enum reason reason;
    } rows[] = {{"m1", "plc-7", REASON_none}, {"m1", "plc-9", REASON_sig_key_revoked},
        {"m1.2", "plc-3", REASON_sig_key_revoked}, {"m1.3", "plc-3", REASON_none},
        {"xx", "plc-7", REASON_sig_key_unknown}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct mps1_header header = {.algorithm = MPS1_HMAC_SHA_384,
            .kid = view_of_string(rows[i].kid),
            .sub = view_of_string(rows[i].sub)};
        const struct keyring_entry *entry;
        cr_expect_eq(
            keyring_find(keyring, &header, NOW, &entry), rows[i].reason, "%s %s", rows[i].kid, rows[i].sub);
    }
    keyring_derive(keyring_entry(keyring, 0), MPS1_DEVICE, VIEW("m1"), VIEW("plc-7"), derived);
    mps1_derive(mps1_secret(), MPS1_DEVICE, MPS1_HMAC_SHA_384, VIEW("m1"), VIEW("plc-7"), wanted);
    cr_expect_arr_eq(derived, wanted, mps1_tag_size(MPS1_HMAC_SHA_384));
    keyring_release(keyring);
}
