/* SPDX-License-Identifier: Apache-2.0 */
/* The MAC of MPS1 with OpenSSL 3. Link with -lcrypto. */
#include <openssl/evp.h>
#include <openssl/params.h>

#include "mps1.h"

/* The part behind its length, which takes size bytes. */
static int add(EVP_MAC_CTX *mac, unsigned size, const void *part, size_t length)
{
    uint8_t prefix[4];

    mps1_number(prefix, size, length);
    return EVP_MAC_update(mac, prefix, size) && (length == 0 || EVP_MAC_update(mac, part, length));
}

size_t mps1_sign(
    const void *key, size_t key_length, const struct mps1_message *message, uint8_t header[MPS1_HEADER_MAX])
{
    static const char *const digests[] = {"SHA256", "SHA384", "SHA512"};
    size_t covered = mps1_covered(message, header), tag = 0;
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    int good;

    if (covered > 0)
        params[0] = OSSL_PARAM_construct_utf8_string("digest", (char *)digests[message->algorithm - 5], 0);
    good = covered > 0 && mac != NULL && EVP_MAC_init(mac, key, key_length, params) &&
           EVP_MAC_update(mac, header, covered) && add(mac, 2, message->topic, strlen(message->topic)) &&
           add(mac, 2, message->content_type, strlen(message->content_type)) &&
           add(mac, 2, message->response_topic, strlen(message->response_topic)) &&
           add(mac, 2, message->correlation_data, message->correlation_length) &&
           add(mac, 4, message->payload, message->payload_length) &&
           EVP_MAC_final(mac, header + covered, &tag, MPS1_HEADER_MAX - covered);
    EVP_MAC_CTX_free(mac);
    EVP_MAC_free(hmac);
    return good ? covered + tag : 0;
}
