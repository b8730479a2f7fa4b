/* SPDX-License-Identifier: Apache-2.0 */
/* The MAC of MPS1 with Mbed TLS 2.28 or 3. Link with -lmbedcrypto. */
#include <mbedtls/md.h>

#include "mps1.h"

/* The part behind its length, which takes size bytes. 0 is success, as everywhere in Mbed TLS. */
static int add(mbedtls_md_context_t *mac, unsigned size, const void *part, size_t length)
{
    uint8_t prefix[4];

    mps1_number(prefix, size, length);
    return mbedtls_md_hmac_update(mac, prefix, size) ||
           (length > 0 && mbedtls_md_hmac_update(mac, part, length));
}

size_t mps1_sign(
    const void *key, size_t key_length, const struct mps1_message *message, uint8_t header[MPS1_HEADER_MAX])
{
    static const mbedtls_md_type_t types[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512};
    size_t covered = mps1_covered(message, header);
    mbedtls_md_context_t mac;
    int bad;

    if (covered == 0)
        return 0;
    mbedtls_md_init(&mac);
    bad = mbedtls_md_setup(&mac, mbedtls_md_info_from_type(types[message->algorithm - 5]), 1) ||
          mbedtls_md_hmac_starts(&mac, key, key_length) || mbedtls_md_hmac_update(&mac, header, covered) ||
          add(&mac, 2, message->topic, strlen(message->topic)) ||
          add(&mac, 2, message->content_type, strlen(message->content_type)) ||
          add(&mac, 2, message->response_topic, strlen(message->response_topic)) ||
          add(&mac, 2, message->correlation_data, message->correlation_length) ||
          add(&mac, 4, message->payload, message->payload_length) ||
          mbedtls_md_hmac_finish(&mac, header + covered);
    mbedtls_md_free(&mac);
    return bad ? 0 : covered + 16u * message->algorithm - 48;
}
