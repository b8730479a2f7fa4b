/* SPDX-License-Identifier: Apache-2.0 */
/* A signature's MAC: the same as OpenSSL's HMAC and HKDF make, and of nothing but the very message. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "mps1_support.h"
#include "support.h"

static const unsigned algorithms[] = {MPS1_HMAC_SHA_256, MPS1_HMAC_SHA_384, MPS1_HMAC_SHA_512};

static const char *digest_name(unsigned algorithm)
{
    return algorithm == MPS1_HMAC_SHA_256 ? "SHA256" : algorithm == MPS1_HMAC_SHA_384 ? "SHA384" : "SHA512";
}

/* ---- the references ---- */

/* HMAC as EVP_MAC has it. */
static void reference_hmac(const char *digest, struct view key, struct view bytes, uint8_t tag[MPS1_TAG_MAX])
{
    size_t length;

    cr_assert_not_null(
        EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, key.data == NULL ? "" : (const char *)key.data,
            key.length, bytes.data, bytes.length, tag, MPS1_TAG_MAX, &length));
}

static void append_part(struct buffer *out, struct view part, unsigned size)
{
    for (unsigned i = size; i > 0; i--)
        buffer_append_byte(out, (uint8_t)(part.length >> 8 * (i - 1)));
    buffer_append(out, part);
}

static void reference_mac(unsigned algorithm, struct view secret, struct view covered, bool props,
    const struct mps1_message *message, uint8_t tag[MPS1_TAG_MAX])
{
    static const struct view none = {NULL, 0};
    struct buffer input = {0};

    buffer_append(&input, covered);
    append_part(&input, message->topic, 2);
    append_part(&input, props ? message->content_type : none, 2);
    append_part(&input, props ? message->response_topic : none, 2);
    append_part(&input, props ? message->correlation_data : none, 2);
    append_part(&input, message->payload, 4);
    reference_hmac(digest_name(algorithm), secret, buffer_view(&input), tag);
    buffer_release(&input);
}

/* RFC 5869 with SHA-256, from its own words. */
static void reference_hkdf(struct view master, struct view info, uint8_t *out, size_t size)
{
    static const uint8_t salt[32] = {0};
    uint8_t key[MPS1_TAG_MAX], block[MPS1_TAG_MAX];
    size_t block_length = 0;

    reference_hmac("SHA256", view_of(salt, sizeof(salt)), master, key);
    for (uint8_t number = 1; size > 0; number++) {
        struct buffer input = {0};
        size_t part = size < 32 ? size : 32;

        buffer_append(&input, view_of(block, block_length));
        buffer_append(&input, info);
        buffer_append_byte(&input, number);
        reference_hmac("SHA256", view_of(key, 32), buffer_view(&input), block);
        buffer_release(&input);
        block_length = 32;
        memcpy(out, block, part);
        out += part;
        size -= part;
    }
}

/* ---- the same ---- */

/* Fresh random bytes, at most limit of them. */
static struct view random_bytes(struct random *random, size_t limit)
{
    size_t length = random_below(random, limit + 1);
    uint8_t *bytes = memory_calloc(length + 1, 1);

    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)random_below(random, 256);
    return view_of(bytes, length);
}

static void free_view(struct view view)
{
    free((void *)(uintptr_t)view.data);
}

static void compare(unsigned algorithm, struct view secret, struct view covered, bool props,
    const struct mps1_message *message)
{
    uint8_t tag[MPS1_TAG_MAX], wanted[MPS1_TAG_MAX];
    struct mps1_key key;

    mps1_key_init(&key, algorithm, secret);
    for (int twice = 0; twice < 2; twice++) { /* a key is not used up */
        mps1_mac(&key, covered, props, message, tag);
        reference_mac(algorithm, secret, covered, props, message, wanted);
        CHECK(memcmp(tag, wanted, mps1_tag_size(algorithm)) == 0,
            "%s: another tag; secret %zu, covered %zu, payload %zu bytes", mps1_algorithm_name(algorithm),
            secret.length, covered.length, message->payload.length);
    }
    mps1_key_wipe(&key);
}

Test(mps1_mac, is_openssls_hmac_for_payloads_of_0_to_1000_bytes)
{
    struct random random = random_seeded("mps1 payloads");
    uint8_t bytes[1000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)random_below(&random, 256);
    for (size_t a = 0; a < 3; a++)
        for (size_t length = 0; length <= sizeof(bytes); length++) {
            struct mps1_message message = mps1_some_message();

            message.payload = view_of(bytes, length);
            compare(algorithms[a], mps1_secret(), VIEW("what is covered"), length % 2 == 0, &message);
        }
}

Test(mps1_mac, is_openssls_hmac_for_parts_of_any_length)
{
    struct random random = random_seeded("mps1 parts");

    for (size_t i = 0; i < 1500; i++) {
        struct view secret = random_bytes(&random, 300), covered = random_bytes(&random, 199);
        struct mps1_message message = {random_bytes(&random, 600), random_bytes(&random, 40),
            random_bytes(&random, 300), random_bytes(&random, 300), random_bytes(&random, 1000)};

        compare(algorithms[i % 3], secret, covered, random_chance(&random, 50), &message);
        free_view(secret);
        free_view(covered);
        free_view(message.topic);
        free_view(message.content_type);
        free_view(message.response_topic);
        free_view(message.correlation_data);
        free_view(message.payload);
    }
}

/* At the block sizes of the hashes a secret is padded, used as it is, or hashed. */
Test(mps1_mac, is_openssls_hmac_for_secrets_of_0_to_300_bytes)
{
    const struct mps1_message message = mps1_some_message();
    uint8_t secret[300];

    for (size_t i = 0; i < sizeof(secret); i++)
        secret[i] = (uint8_t)(i * 7);
    for (size_t a = 0; a < 3; a++)
        for (size_t length = 0; length <= sizeof(secret); length++)
            compare(algorithms[a], view_of(secret, length), VIEW("covered"), true, &message);
}

Test(mps1_mac, parts_of_the_longest_lengths)
{
    uint8_t *bytes = memory_calloc(70000, 1);
    const struct mps1_message message = {view_of(bytes, 65535), view_of(bytes, 65535), view_of(bytes, 65535),
        view_of(bytes, 65535), view_of(bytes, 70000)};

    for (size_t a = 0; a < 3; a++)
        compare(algorithms[a], mps1_secret(), VIEW("covered"), true, &message);
    free(bytes);
}

static void random_name(struct random *random, char *name, size_t max)
{
    static const char characters[] = "ABCXYZabcxyz0189._-";
    size_t length = 1 + random_below(random, max);

    for (size_t i = 0; i < length; i++)
        name[i] = characters[random_below(random, sizeof(characters) - 1)];
    name[length] = '\0';
}

Test(mps1_mac, derived_keys_are_those_of_rfc_5869)
{
    struct random random = random_seeded("mps1 keys");

    for (size_t i = 0; i < 600; i++) {
        bool receiver = random_chance(&random, 50);
        unsigned algorithm = algorithms[i % 3];
        uint8_t secret[MPS1_TAG_MAX], wanted[MPS1_TAG_MAX], master[129];
        char kid[MPS1_KID_MAX + 1], sub[MPS1_SUB_MAX + 1];
        struct buffer info = {0};
        struct view ikm = view_of(master, 1 + random_below(&random, sizeof(master)));

        for (size_t at = 0; at < ikm.length; at++)
            master[at] = (uint8_t)random_below(&random, 256);
        random_name(&random, kid, MPS1_KID_MAX);
        random_name(&random, sub, MPS1_SUB_MAX);
        buffer_append(&info, receiver ? VIEW("MPS1 egress\0") : VIEW("MPS1 device\0"));
        buffer_append_byte(&info, (uint8_t)algorithm);
        append_part(&info, view_of_string(kid), 1);
        append_part(&info, view_of_string(sub), 1);
        reference_hkdf(ikm, buffer_view(&info), wanted, mps1_tag_size(algorithm));
        mps1_derive(ikm, receiver ? MPS1_EGRESS_RECEIVER : MPS1_DEVICE, algorithm, view_of_string(kid),
            view_of_string(sub), secret);
        CHECK(memcmp(secret, wanted, mps1_tag_size(algorithm)) == 0, "%s of %s: another key", kid, sub);
        buffer_release(&info);
    }
}

/* ---- of nothing else ---- */

/* Would the bytes be taken on that topic? As the proxy does it: the key follows from the header's names. */
static bool is_taken(struct view header_bytes, bool property, const struct mps1_message *message)
{
    uint8_t space[MPS1_HEADER_MAX], secret[MPS1_TAG_MAX];
    struct mps1_header header;
    struct mps1_message covered = *message;
    struct mps1_key key;
    const char *detail;
    bool taken;

    if (property && mps1_parse_property(header_bytes, space, &header, &detail) != REASON_none)
        return false;
    if (!property && mps1_parse(header_bytes, &header, &detail) != REASON_none)
        return false;
    if (header.algorithm != MPS1_HMAC_SHA_256)
        return false;
    if (!property)
        covered.payload = view_skip(header_bytes, header.length);
    mps1_derive(mps1_secret(), MPS1_DEVICE, header.algorithm, header.kid, header.sub, secret);
    mps1_key_init(&key, header.algorithm, view_of(secret, sizeof(secret) / 2));
    taken = mps1_verify(&key, &header, &covered);
    mps1_key_wipe(&key);
    return taken;
}

/* A message of plc-7 under the master, ready to be flipped: its parts are writable and stand alone. */
struct flipped {
    uint8_t head[MPS1_HEADER_MAX + 10]; /* the envelope: header and payload */
    size_t header_length, head_length;
    char *text;
    uint8_t topic[15], payload[10], content_type[16], response_topic[11], correlation_data[2];
    struct mps1_message message;
};

static void flipped_init(struct flipped *flipped, unsigned flags)
{
    const struct mps1_message message = mps1_some_message();
    struct mps1_header header = {.algorithm = MPS1_HMAC_SHA_256,
        .flags = (uint8_t)flags,
        .t_ms = UINT64_C(1750000000000),
        .nonce = {1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 5},
        .kid = VIEW("m25a"),
        .sub = VIEW("plc-7")};
    uint8_t secret[MPS1_TAG_MAX], tag[MPS1_TAG_MAX];
    struct mps1_key key;

    mps1_write(&header, flipped->head);
    mps1_derive(mps1_secret(), MPS1_DEVICE, header.algorithm, header.kid, header.sub, secret);
    mps1_key_init(&key, header.algorithm, view_of(secret, 32));
    mps1_mac(&key, header.covered, (flags & MPS1_PROPS) != 0, &message, tag);
    mps1_write_tag(&header, flipped->head, tag);
    memcpy(flipped->head + header.length, message.payload.data, message.payload.length);
    flipped->header_length = header.length;
    flipped->head_length = header.length + message.payload.length;
    flipped->text = mps1_encode(view_of(flipped->head, header.length));
#define OWN(part)                                                                                            \
    memcpy(flipped->part, message.part.data, sizeof(flipped->part));                                         \
    flipped->message.part = view_of(flipped->part, sizeof(flipped->part))
    OWN(topic);
    OWN(payload);
    OWN(content_type);
    OWN(response_topic);
    OWN(correlation_data);
#undef OWN
}

/* How many single-bit flips of the bytes leave the message acceptable, in a carrier. */
static size_t count_taken(struct flipped *flipped, bool property, void *bytes, size_t length)
{
    struct view head =
        property ? view_of_string(flipped->text) : view_of(flipped->head, flipped->head_length);
    size_t taken = 0;

    for (size_t bit = 0; bit < 8 * length; bit++) {
        ((uint8_t *)bytes)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        taken += is_taken(head, property, &flipped->message);
        ((uint8_t *)bytes)[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert(is_taken(head, property, &flipped->message), "the message itself");
    return taken;
}

Test(mps1_mac, no_single_bit_flip_is_taken)
{
    static const unsigned flags[] = {0, MPS1_PROPS | MPS1_SEQ | MPS1_RETAIN, MPS1_PROPS | MPS1_WILL};

    for (size_t i = 0; i < 3; i++) {
        struct flipped flipped = {.text = NULL};

        flipped_init(&flipped, flags[i]);
        cr_expect_eq(count_taken(&flipped, false, flipped.head, flipped.head_length), 0);
        cr_expect_eq(count_taken(&flipped, true, flipped.text, strlen(flipped.text)), 0);
        cr_expect_eq(count_taken(&flipped, true, flipped.payload, sizeof(flipped.payload)), 0);
        for (int property = 0; property < 2; property++) {
            cr_expect_eq(count_taken(&flipped, property, flipped.topic, sizeof(flipped.topic)), 0);
            if ((flags[i] & MPS1_PROPS) == 0)
                continue;
            cr_expect_eq(
                count_taken(&flipped, property, flipped.content_type, sizeof(flipped.content_type)), 0);
            cr_expect_eq(
                count_taken(&flipped, property, flipped.response_topic, sizeof(flipped.response_topic)), 0);
            cr_expect_eq(
                count_taken(&flipped, property, flipped.correlation_data, sizeof(flipped.correlation_data)),
                0);
        }
        free(flipped.text);
    }
}

/* All ways to cut seven equal bytes into the five parts: as many tags as ways. */
Test(mps1_mac, a_byte_that_moves_to_another_part_changes_the_tag)
{
    static uint8_t tags[1000][MPS1_TAG_MAX];
    const char *bytes = "aaaaaaa";
    struct mps1_key key;
    size_t count = 0;

    mps1_key_init(&key, MPS1_HMAC_SHA_256, mps1_secret());
    for (size_t a = 0; a <= 7; a++)
        for (size_t b = a; b <= 7; b++)
            for (size_t c = b; c <= 7; c++)
                for (size_t d = c; d <= 7; d++) {
                    const struct mps1_message message = {view_of(bytes, a), view_of(bytes + a, b - a),
                        view_of(bytes + b, c - b), view_of(bytes + c, d - c), view_of(bytes + d, 7 - d)};

                    mps1_mac(&key, VIEW("covered"), true, &message, tags[count]);
                    for (size_t i = 0; i < count; i++)
                        CHECK(memcmp(tags[i], tags[count], 32) != 0, "two messages with one tag");
                    count++;
                }
    cr_assert_eq(count, 330);
}

/* A part can hold what looks like the lengths and parts behind it. */
Test(mps1_mac, lengths_inside_a_part_are_not_lengths)
{
    const struct mps1_message plain = {.topic = VIEW("t"), .payload = VIEW("p")};
    const struct mps1_message nested = {.topic = VIEW("t\0\0\0\0\0\0\0\0\0\1p"), .payload = VIEW("")};
    uint8_t tag[MPS1_TAG_MAX], other[MPS1_TAG_MAX];
    struct mps1_key key;

    mps1_key_init(&key, MPS1_HMAC_SHA_256, mps1_secret());
    mps1_mac(&key, VIEW("covered"), false, &plain, tag);
    mps1_mac(&key, VIEW("covered"), false, &nested, other);
    cr_assert(memcmp(tag, other, 32) != 0);
}

Test(mps1_mac, properties_count_only_when_they_are_signed)
{
    const struct mps1_message all = mps1_some_message();
    const struct mps1_message none = {.topic = all.topic, .payload = all.payload};
    uint8_t tag[MPS1_TAG_MAX], other[MPS1_TAG_MAX];
    struct mps1_key key;

    mps1_key_init(&key, MPS1_HMAC_SHA_512, mps1_secret());
    mps1_mac(&key, VIEW("covered"), false, &all, tag);
    mps1_mac(&key, VIEW("covered"), false, &none, other);
    cr_assert(memcmp(tag, other, 64) == 0);
    mps1_mac(&key, VIEW("covered"), true, &all, other);
    cr_assert(memcmp(tag, other, 64) != 0);
}

Test(mps1_mac, a_wiped_key_holds_nothing)
{
    static const struct mps1_key zero;
    struct mps1_key key;

    mps1_key_init(&key, MPS1_HMAC_SHA_512, mps1_secret());
    mps1_key_wipe(&key);
    cr_assert(memcmp(&key, &zero, sizeof(key)) == 0);
}
