/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a signature on the wire. Called by signature.c and by the command line. */
#include "policy/mps1.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#include "policy/base64url.h"

#define OFFSET_VERSION 4
#define OFFSET_ALGORITHM 5
#define OFFSET_LENGTH 6
#define OFFSET_FLAGS 8
#define OFFSET_TIME 9
#define OFFSET_NONCE 17
#define OFFSET_NAMES 33
#define FLAGS_KNOWN (MPS1_RETAIN | MPS1_WILL | MPS1_SEQ | MPS1_PROPS | MPS1_EGRESS)

static const uint8_t magic[4] = {0xFF, 'M', 'P', 'S'};

static const struct algorithm_row {
    unsigned algorithm;
    const char *name;
    size_t tag_size;
} algorithms[] = {
    {MPS1_HMAC_SHA_256, "HMAC-SHA-256", 32},
    {MPS1_HMAC_SHA_384, "HMAC-SHA-384", 48},
    {MPS1_HMAC_SHA_512, "HMAC-SHA-512", 64},
};

static const struct algorithm_row *find_algorithm(unsigned algorithm)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (algorithms[i].algorithm == algorithm)
            return &algorithms[i];
    return NULL;
}

const char *mps1_algorithm_name(unsigned algorithm)
{
    const struct algorithm_row *row = find_algorithm(algorithm);

    return row == NULL ? NULL : row->name;
}

size_t mps1_tag_size(unsigned algorithm)
{
    const struct algorithm_row *row = find_algorithm(algorithm);

    return row == NULL ? 0 : row->tag_size;
}

/* ---- names ---- */

static bool is_name(struct view name, size_t max, const char *others)
{
    if (name.length == 0 || name.length > max)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        uint8_t c = name.data[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        if (!plain && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return true;
}

bool mps1_kid_valid(struct view kid)
{
    return is_name(kid, MPS1_KID_MAX, "._-");
}

bool mps1_sub_valid(struct view sub)
{
    return is_name(sub, MPS1_SUB_MAX, "._:@-");
}

/* ---- numbers ---- */

static uint64_t read_number(const uint8_t *bytes, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

static void write_number(uint8_t *bytes, size_t size, uint64_t number)
{
    for (size_t i = size; i > 0; i--, number >>= 8)
        bytes[i - 1] = (uint8_t)number;
}

/* ---- reading ---- */

bool mps1_has_envelope(struct view payload)
{
    return view_starts_with(payload, view_of(magic, sizeof(magic)));
}

/* Takes a part with its length in front off rest. */
static bool take_part(struct view *rest, struct view *part)
{
    if (rest->length == 0 || rest->length < (size_t)1 + rest->data[0])
        return false;
    *part = view_of(rest->data + 1, rest->data[0]);
    *rest = view_of(rest->data + 1 + part->length, rest->length - 1 - part->length);
    return true;
}

static enum reason malformed(const char **detail, const char *what)
{
    *detail = what;
    return REASON_sig_malformed;
}

/* The names and the tag: all of the header behind its fixed part. */
static enum reason parse_parts(struct view rest, struct mps1_header *header, const char **detail)
{
    if (!take_part(&rest, &header->kid) || !mps1_kid_valid(header->kid))
        return malformed(detail, "kid");
    if (!take_part(&rest, &header->sub) || !mps1_sub_valid(header->sub))
        return malformed(detail, "sub");
    header->covered.length = (size_t)(rest.data - header->covered.data) + 1;
    if (!take_part(&rest, &header->tag) || rest.length != 0 ||
        header->tag.length != mps1_tag_size(header->algorithm))
        return malformed(detail, "tag length");
    return REASON_none;
}

enum reason mps1_parse(struct view bytes, struct mps1_header *header, const char **detail)
{
    *header = (struct mps1_header){.covered = {bytes.data, 0}};
    *detail = NULL;
    if (!mps1_has_envelope(bytes))
        return malformed(detail, "magic");
    if (bytes.length < OFFSET_NAMES)
        return malformed(detail, "header length");
    if (bytes.data[OFFSET_VERSION] != MPS1_VERSION) {
        *detail = "version";
        return REASON_sig_version;
    }
    header->algorithm = bytes.data[OFFSET_ALGORITHM];
    if (mps1_tag_size(header->algorithm) == 0) {
        *detail = "unknown algorithm";
        return REASON_sig_alg;
    }
    header->length = (size_t)read_number(bytes.data + OFFSET_LENGTH, 2);
    if (header->length < OFFSET_NAMES || header->length > bytes.length || header->length > MPS1_HEADER_MAX)
        return malformed(detail, "header length");
    header->flags = bytes.data[OFFSET_FLAGS];
    if ((header->flags & ~FLAGS_KNOWN) != 0)
        return malformed(detail, "flags");
    header->t_ms = read_number(bytes.data + OFFSET_TIME, 8);
    memcpy(header->nonce, bytes.data + OFFSET_NONCE, sizeof(header->nonce));
    if ((header->flags & MPS1_SEQ) != 0 && read_number(header->nonce + 8, 8) >= MPS1_COUNTER_END)
        return malformed(detail, "counter");
    return parse_parts(view_of(bytes.data + OFFSET_NAMES, header->length - OFFSET_NAMES), header, detail);
}

enum reason mps1_parse_property(
    struct view text, uint8_t space[MPS1_HEADER_MAX], struct mps1_header *header, const char **detail)
{
    ssize_t length = base64url_decode(text, space, MPS1_HEADER_MAX);
    enum reason reason;

    *header = (struct mps1_header){.length = 0};
    if (length < 0)
        return malformed(detail, "base64url");
    reason = mps1_parse(view_of(space, (size_t)length), header, detail);
    if (reason == REASON_none && header->length != (size_t)length)
        return malformed(detail, "header length");
    return reason;
}

/* ---- writing ---- */

static uint8_t *write_part(uint8_t *out, struct view part)
{
    *out++ = (uint8_t)part.length;
    memcpy(out, part.data, part.length);
    return out + part.length;
}

void mps1_write(struct mps1_header *header, uint8_t space[MPS1_HEADER_MAX])
{
    uint8_t *end = space + OFFSET_NAMES;

    assert(mps1_kid_valid(header->kid) && mps1_sub_valid(header->sub));
    assert(mps1_tag_size(header->algorithm) != 0);
    memcpy(space, magic, sizeof(magic));
    space[OFFSET_VERSION] = MPS1_VERSION;
    space[OFFSET_ALGORITHM] = header->algorithm;
    space[OFFSET_FLAGS] = header->flags;
    write_number(space + OFFSET_TIME, 8, header->t_ms);
    memcpy(space + OFFSET_NONCE, header->nonce, sizeof(header->nonce));
    end = write_part(end, header->kid);
    end = write_part(end, header->sub);
    *end++ = (uint8_t)mps1_tag_size(header->algorithm);
    header->covered = view_of(space, (size_t)(end - space));
    header->length = header->covered.length + mps1_tag_size(header->algorithm);
    write_number(space + OFFSET_LENGTH, 2, header->length);
}

void mps1_write_tag(struct mps1_header *header, uint8_t space[MPS1_HEADER_MAX], const uint8_t *tag)
{
    size_t size = mps1_tag_size(header->algorithm);

    header->tag = view_of(space + header->covered.length, size);
    memcpy(space + header->covered.length, tag, size);
}

size_t mps1_write_property(struct view header, char text[MPS1_PROPERTY_MAX + 4])
{
    size_t length;

    assert(header.length <= MPS1_HEADER_MAX);
    EVP_EncodeBlock((uint8_t *)text, header.data, (int)header.length);
    length = strcspn(text, "=");
    text[length] = '\0';
    for (size_t i = 0; i < length; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    return length;
}
