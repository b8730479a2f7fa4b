/* SPDX-License-Identifier: Apache-2.0 */
/* MPS1, the signature of a payload: its header on the wire and its MAC (payload-signatures "Header"). Pure
 * functions of bytes; keys.h says whose key it is, signature.h whether the signature stands. */
#ifndef MQWARD_POLICY_MPS1_H
#define MQWARD_POLICY_MPS1_H

#include "base/reason.h"
#include "base/view.h"

struct buffer;

/* As on the wire: COSE's numbers of the HMACs. */
enum mps1_algorithm { MPS1_HMAC_SHA_256 = 5, MPS1_HMAC_SHA_384 = 6, MPS1_HMAC_SHA_512 = 7 };
enum mps1_flag {
    MPS1_RETAIN = 0x01,
    MPS1_WILL = 0x02,
    MPS1_SEQ = 0x04,   /* the nonce is an epoch and a counter */
    MPS1_PROPS = 0x08, /* content type, response topic and correlation data are signed, too */
    MPS1_EGRESS = 0x10 /* made by the proxy for the receiver */
};

#define MPS1_VERSION 1
#define MPS1_NONCE_SIZE 16
#define MPS1_KID_MAX 32
#define MPS1_SUB_MAX 64
#define MPS1_TAG_MAX 64
/* Bytes before the tag: the fixed part, the two names with their lengths, the tag's length. */
#define MPS1_COVERED_MAX (33 + 1 + MPS1_KID_MAX + 1 + MPS1_SUB_MAX + 1)
#define MPS1_HEADER_MAX (MPS1_COVERED_MAX + MPS1_TAG_MAX)
/* Characters of the largest header as base64url, in the User Property. */
#define MPS1_PROPERTY_MAX ((MPS1_HEADER_MAX * 4 + 2) / 3)
/* The name of that User Property. */
#define MPS1_PROPERTY "mps1"
/* A counter of a device with the flag SEQ stays below this. */
#define MPS1_COUNTER_END (UINT64_C(1) << 48)

struct mps1_header {
    uint8_t algorithm; /* enum mps1_algorithm */
    uint8_t flags;     /* enum mps1_flag */
    uint64_t t_ms;     /* milliseconds since 1970 */
    uint8_t nonce[MPS1_NONCE_SIZE];
    struct view kid, sub; /* views into the bytes that were parsed */
    struct view tag;      /* empty while a header is being made */
    struct view covered;  /* the bytes that the MAC covers: all before the tag's own */
    size_t length;        /* of the whole header: where an envelope's payload begins */
};

/* The names of the key's algorithm in keys.yaml: "HMAC-SHA-256"; NULL for an unknown number. */
const char *mps1_algorithm_name(unsigned algorithm);
/* Bytes of a tag, and of a key that is derived for the algorithm; 0 for an unknown number. */
size_t mps1_tag_size(unsigned algorithm);

bool mps1_kid_valid(struct view kid); /* [A-Za-z0-9._-]{1,32} */
bool mps1_sub_valid(struct view sub); /* [A-Za-z0-9._:@-]{1,64} */

/* Does a payload begin with an envelope, sound or not? */
bool mps1_has_envelope(struct view payload);
/* Reads the header at the beginning of bytes. REASON_none, REASON_sig_malformed, REASON_sig_version or
 * REASON_sig_alg; *detail (a literal) then says what is wrong. */
enum reason mps1_parse(struct view bytes, struct mps1_header *header, const char **detail);
/* Reads the header of a User Property: unpadded, canonical base64url of the header and nothing more. Decodes
 * into space. */
enum reason mps1_parse_property(
    struct view text, uint8_t space[MPS1_HEADER_MAX], struct mps1_header *header, const char **detail);
/* Writes what the MAC covers of a header (length, flags, ... as they are given; header->length and ->covered
 * are set to fit) to space. kid and sub are valid. */
void mps1_write(struct mps1_header *header, uint8_t space[MPS1_HEADER_MAX]);
/* Writes the tag behind it: the header is then whole, header->length bytes of space. */
void mps1_write_tag(struct mps1_header *header, uint8_t space[MPS1_HEADER_MAX], const uint8_t *tag);

/* The value of a User Property: unpadded base64url of a whole header; NUL-terminated. Returns its length. */
size_t mps1_write_property(struct view header, char text[MPS1_PROPERTY_MAX + 4]);

/* ---- the MAC ---- */

/* What the MAC covers beside the header. The three properties only with MPS1_PROPS. */
struct mps1_message {
    struct view topic; /* after alias resolution, before any rewriting */
    struct view content_type, response_topic, correlation_data;
    struct view payload;
};

/* A key made ready: the state of the hash behind its inner and outer padding. Immutable, so that any thread
 * may use it; secret, so that it is wiped with mps1_key_wipe(). */
struct mps1_key {
    uint8_t algorithm;
    union mps1_key_state {
        uint64_t words[27]; /* room for OpenSSL's SHA512_CTX or SHA256_CTX */
    } inner, outer;
};

/* secret: of any length, as HMAC has it. */
void mps1_key_init(struct mps1_key *key, unsigned algorithm, struct view secret);
void mps1_key_wipe(struct mps1_key *key);

/* The tag, mps1_tag_size() bytes. covered: header->covered; props: the header has MPS1_PROPS. */
void mps1_mac(const struct mps1_key *key, struct view covered, bool props, const struct mps1_message *message,
    uint8_t tag[MPS1_TAG_MAX]);
/* Writes a header as mps1_write() does, and its tag. */
void mps1_sign(const struct mps1_key *key, const struct mps1_message *message, struct mps1_header *header,
    uint8_t space[MPS1_HEADER_MAX]);
/* Constant-time comparison of the message's tag with the header's. The header's algorithm is the key's. */
bool mps1_verify(
    const struct mps1_key *key, const struct mps1_header *header, const struct mps1_message *message);

enum mps1_label { MPS1_DEVICE, MPS1_EGRESS_RECEIVER };
/* A device's secret under a master: HKDF-SHA-256, empty salt, info = label || algorithm || L8(kid) ||
 * L8(sub). Writes mps1_tag_size(algorithm) bytes. */
void mps1_derive(struct view master, enum mps1_label label, unsigned algorithm, struct view kid,
    struct view sub, uint8_t secret[MPS1_TAG_MAX]);

#endif
