/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keys of the signed messages: one for each connection, derived from the master as a device's is
 * (payload-signatures: header, MAC input, device keys). Independent of the code under test. Called by
 * load_client.c for each message. */
#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

#define ALGORITHM 5 /* HMAC-SHA-256 */
#define TAG_SIZE 32
#define MASTER_MAX 64
#define KID "bench"
#define KID_LENGTH (sizeof(KID) - 1)
#define HEADER_SIZE (36 + KID_LENGTH + WIRE_NUMBER_DIGITS + TAG_SIZE)
#define TIME_AT 9
#define NONCE_AT 17
#define KID_AT 33
#define SUB_AT (KID_AT + 1 + KID_LENGTH)
#define TAG_AT (HEADER_SIZE - TAG_SIZE)

struct load_sign {
    uint8_t master[MASTER_MAX];
    size_t master_length;
    EVP_MAC *hmac;
    EVP_MAC_CTX **signers; /* by the connection's number; NULL until its first message */
    unsigned count;
    uint8_t nonce[16]; /* a random half and a counter: unique is what counts */
    uint64_t counter;
};

static void die(const char *what)
{
    fprintf(stderr, "mqward-bench-load: --sign: %s\n", what);
    exit(1);
}

static void read_master(struct load_sign *sign, const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned value;

    if (file == NULL)
        load_die(path);
    while (sign->master_length < MASTER_MAX && fscanf(file, "%2x", &value) == 1)
        sign->master[sign->master_length++] = (uint8_t)value;
    (void)fclose(file);
    if (sign->master_length < 32)
        die("expected at least 64 hex digits");
}

struct load_sign *load_sign_new(const struct load_options *options)
{
    struct load_sign *sign;

    if (options->sign == NULL)
        return NULL;
    sign = calloc(1, sizeof(*sign));
    if (sign == NULL)
        abort();
    read_master(sign, options->sign);
    sign->count = options->connections;
    sign->signers = calloc(sign->count, sizeof(EVP_MAC_CTX *));
    sign->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (sign->signers == NULL || sign->hmac == NULL || RAND_bytes(sign->nonce, 8) != 1)
        die("no HMAC");
    return sign;
}

void load_sign_free(struct load_sign *sign)
{
    if (sign == NULL)
        return;
    for (unsigned i = 0; i < sign->count; i++)
        EVP_MAC_CTX_free(sign->signers[i]);
    free(sign->signers);
    EVP_MAC_free(sign->hmac);
    free(sign);
}

size_t load_sign_size(const struct load_sign *sign)
{
    return sign == NULL ? 0 : HEADER_SIZE;
}

/* A device's key: HKDF-SHA-256 of the master. */
static void derive(const struct load_sign *sign, unsigned number, uint8_t key[TAG_SIZE])
{
    static const char label[] = "MPS1 device"; /* with its NUL */
    uint8_t info[sizeof(label) + 2 + KID_LENGTH + 1 + WIRE_NUMBER_DIGITS];
    uint8_t *end = info + sizeof(label);
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM parameters[4];

    memcpy(info, label, sizeof(label));
    *end++ = ALGORITHM;
    *end++ = KID_LENGTH;
    memcpy(end, KID, KID_LENGTH);
    end += KID_LENGTH;
    *end++ = WIRE_NUMBER_DIGITS;
    wire_write_number(end, number);
    parameters[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
    parameters[1] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)sign->master, sign->master_length);
    parameters[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info));
    parameters[3] = OSSL_PARAM_construct_end();
    if (context == NULL || EVP_KDF_derive(context, key, TAG_SIZE, parameters) != 1)
        die("HKDF failed");
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

static EVP_MAC_CTX *signer(struct load_sign *sign, unsigned number)
{
    OSSL_PARAM parameters[2];
    uint8_t key[TAG_SIZE];

    assert(number < sign->count);
    if (sign->signers[number] != NULL)
        return sign->signers[number];
    derive(sign, number, key);
    parameters[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0);
    parameters[1] = OSSL_PARAM_construct_end();
    sign->signers[number] = EVP_MAC_CTX_new(sign->hmac);
    if (sign->signers[number] == NULL ||
        EVP_MAC_init(sign->signers[number], key, sizeof(key), parameters) != 1)
        die("HMAC failed");
    return sign->signers[number];
}

static void write_big_endian(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void write_header(struct load_sign *sign, uint8_t *header, unsigned number)
{
    static const uint8_t magic[] = {0xff, 'M', 'P', 'S', 1, ALGORITHM};
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    memcpy(header, magic, sizeof(magic));
    wire_write_u16(header + 6, HEADER_SIZE);
    header[8] = 0;
    write_big_endian(header + TIME_AT, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, 8);
    write_big_endian(sign->nonce + 8, sign->counter++, 8);
    memcpy(header + NONCE_AT, sign->nonce, sizeof(sign->nonce));
    header[KID_AT] = KID_LENGTH;
    memcpy(header + KID_AT + 1, KID, KID_LENGTH);
    header[SUB_AT] = WIRE_NUMBER_DIGITS;
    wire_write_number(header + SUB_AT + 1, number);
    header[TAG_AT - 1] = TAG_SIZE;
}

void load_sign_message(struct load_sign *sign, struct wire_publish *publish, unsigned number)
{
    EVP_MAC_CTX *context = signer(sign, number);
    uint8_t *header = publish->bytes + publish->payload_at;
    size_t payload_length = publish->length - publish->payload_at - HEADER_SIZE;
    uint8_t lengths[10] = {0}; /* of the three properties, none of which is there: 0; then of the payload */
    uint8_t topic_length[2];

    write_header(sign, header, number);
    wire_write_u16(topic_length, (unsigned)publish->topic_length);
    write_big_endian(lengths + 6, payload_length, 4);
    if (EVP_MAC_init(context, NULL, 0, NULL) != 1 || EVP_MAC_update(context, header, TAG_AT) != 1 ||
        EVP_MAC_update(context, topic_length, sizeof(topic_length)) != 1 ||
        EVP_MAC_update(context, publish->bytes + publish->topic_start, publish->topic_length) != 1 ||
        EVP_MAC_update(context, lengths, sizeof(lengths)) != 1 ||
        EVP_MAC_update(context, header + HEADER_SIZE, payload_length) != 1 ||
        EVP_MAC_final(context, header + TAG_AT, NULL, TAG_SIZE) != 1)
        die("HMAC failed");
}
