/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the measure of mqward-bench-signatures: OpenSSL's own HMAC-SHA-256 of what a signature covers, in one
 * piece, with a context a device that has the key already. OpenSSL has four ways to begin the next message
 * with such a context; the cheapest is what a verification is held against. */
#define OPENSSL_SUPPRESS_DEPRECATED /* HMAC_CTX: one of the four */
#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "micro_signatures.h"

#define KEY_SIZE 32

struct openssl {
    struct fleet *fleet;
    size_t devices; /* that are used, one after the other */
    EVP_MAC *algorithm;
    EVP_MAC_CTX *macs[DEVICES];
    HMAC_CTX *hmacs[DEVICES];
    HMAC_CTX *copy;
};

static void expect(bool good)
{
    if (!good)
        abort();
}

/* The comparison is a part of what the other side does, too. */
static void end_mac(EVP_MAC_CTX *mac, const struct device *device)
{
    uint8_t tag[EVP_MAX_MD_SIZE];
    size_t length;

    expect(EVP_MAC_update(mac, device->covered, device->covered_length) == 1 &&
           EVP_MAC_final(mac, tag, &length, sizeof(tag)) == 1 &&
           CRYPTO_memcmp(tag, device->tag, KEY_SIZE) == 0);
}

static void end_hmac(HMAC_CTX *hmac, const struct device *device)
{
    uint8_t tag[EVP_MAX_MD_SIZE];
    unsigned length;

    expect(HMAC_Update(hmac, device->covered, device->covered_length) == 1 &&
           HMAC_Final(hmac, tag, &length) == 1 && CRYPTO_memcmp(tag, device->tag, KEY_SIZE) == 0);
}

static void run_mac_reset(void *context, size_t count)
{
    struct openssl *openssl = context;

    for (size_t i = 0; i < count; i++) {
        size_t at = i % openssl->devices;

        expect(EVP_MAC_init(openssl->macs[at], NULL, 0, NULL) == 1);
        end_mac(openssl->macs[at], &openssl->fleet->devices[at]);
    }
}

static void run_mac_dup(void *context, size_t count)
{
    struct openssl *openssl = context;

    for (size_t i = 0; i < count; i++) {
        size_t at = i % openssl->devices;
        EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(openssl->macs[at]);

        end_mac(mac, &openssl->fleet->devices[at]);
        EVP_MAC_CTX_free(mac);
    }
}

static void run_hmac_reset(void *context, size_t count)
{
    struct openssl *openssl = context;

    for (size_t i = 0; i < count; i++) {
        size_t at = i % openssl->devices;

        expect(HMAC_Init_ex(openssl->hmacs[at], NULL, 0, NULL, NULL) == 1);
        end_hmac(openssl->hmacs[at], &openssl->fleet->devices[at]);
    }
}

static void run_hmac_copy(void *context, size_t count)
{
    struct openssl *openssl = context;

    for (size_t i = 0; i < count; i++) {
        size_t at = i % openssl->devices;

        expect(HMAC_CTX_copy(openssl->copy, openssl->hmacs[at]) == 1);
        end_hmac(openssl->copy, &openssl->fleet->devices[at]);
    }
}

static void destroy(void *context)
{
    struct openssl *openssl = context;

    for (size_t i = 0; i < openssl->devices; i++) {
        EVP_MAC_CTX_free(openssl->macs[i]);
        HMAC_CTX_free(openssl->hmacs[i]);
    }
    EVP_MAC_free(openssl->algorithm);
    HMAC_CTX_free(openssl->copy);
    fleet_drop(openssl->fleet);
    free(openssl);
}

static struct openssl *new_openssl(struct fleet *fleet, size_t devices)
{
    struct openssl *openssl = memory_calloc(1, sizeof(*openssl));
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end()};

    openssl->fleet = fleet;
    fleet->users++;
    openssl->devices = devices;
    openssl->algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    openssl->copy = HMAC_CTX_new();
    for (size_t i = 0; i < devices; i++) {
        const uint8_t *key = fleet->devices[i].secret;

        openssl->macs[i] = EVP_MAC_CTX_new(openssl->algorithm);
        openssl->hmacs[i] = HMAC_CTX_new();
        expect(EVP_MAC_init(openssl->macs[i], key, KEY_SIZE, params) == 1);
        expect(HMAC_Init_ex(openssl->hmacs[i], key, KEY_SIZE, EVP_sha256(), NULL) == 1);
    }
    return openssl;
}

size_t micro_openssl(struct micro_subject *subjects, size_t max, struct fleet *fleet)
{
    static const struct {
        const char *name;
        void (*run)(void *context, size_t count);
    } ways[] = {{"EVP_MAC_init", run_mac_reset}, {"EVP_MAC_CTX_dup", run_mac_dup},
        {"HMAC_Init_ex", run_hmac_reset}, {"HMAC_CTX_copy", run_hmac_copy}};
    size_t used = 0;

    for (size_t devices = 1; devices <= DEVICES; devices *= DEVICES)
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
            assert(used < max);
            subjects[used] =
                (struct micro_subject){"", ways[i].run, NULL, destroy, new_openssl(fleet, devices), DEVICES};
            snprintf(
                subjects[used].name, sizeof(subjects[used].name), "openssl-%zu %s", devices, ways[i].name);
            used++;
        }
    return used;
}
