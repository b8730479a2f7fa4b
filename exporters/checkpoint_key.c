/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the files of the checkpoints' keys, PEM as the openssl command reads and writes it. Called by
 * chain_writer.c and the command line. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/private_file.h"
#include "base/secret.h"
#include "exporters/checkpoint_private.h"

#define KEY_FILE_MAX 4096

/* ---- both ---- */

/* False if the key is no Ed25519 key. */
static bool key_identify(const EVP_PKEY *key, char id[CHECKPOINT_ID_SIZE])
{
    uint8_t raw[32], digest[32];
    size_t size = sizeof(raw);

    if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 || EVP_PKEY_get_raw_public_key(key, raw, &size) != 1 ||
        size != sizeof(raw) || EVP_Digest(raw, size, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(id + 2 * i, 3, "%02x", digest[i]);
    return true;
}

/* A key with a password is not asked for: nobody is there to answer. */
static int no_password(char *buffer, int size, int writing, void *argument)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)argument;
    return -1;
}

/* ---- the private key ---- */

static struct checkpoint_key *key_wrap(EVP_PKEY *pair)
{
    struct checkpoint_key *key = memory_calloc(1, sizeof(*key));

    key->pair = pair;
    if (pair != NULL && key_identify(pair, key->id))
        return key;
    checkpoint_key_free(key);
    return NULL;
}

struct checkpoint_key *checkpoint_key_read(const char *path, bool *missing, char *error, size_t error_size)
{
    struct private_file_error reason;
    uint8_t text[KEY_FILE_MAX];
    ssize_t length = private_file_read(path, text, sizeof(text), &reason);
    struct checkpoint_key *key = NULL;

    if (missing != NULL)
        *missing = length < 0 && reason.missing;
    if (length < 0) {
        snprintf(error, error_size, "%s: %s%s%s", path, reason.message, reason.hint == NULL ? "" : ": ",
            reason.hint == NULL ? "" : reason.hint);
    } else {
        BIO *bio = BIO_new_mem_buf(text, (int)length);
        if (bio == NULL)
            memory_exhausted();
        key = key_wrap(PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL));
        BIO_free(bio);
        if (key == NULL)
            snprintf(error, error_size, "%s: it is no Ed25519 private key (PEM, PKCS #8, without a password)",
                path);
    }
    secret_wipe(text, sizeof(text));
    secret_wipe_stack();
    ERR_clear_error();
    return key;
}

void checkpoint_key_free(struct checkpoint_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pair);
    free(key);
}

const char *checkpoint_key_id(const struct checkpoint_key *key)
{
    return key->id;
}

/* ---- making a pair ---- */

/* The public key is in place before the private one: a process that dies in between leaves one that the next
 * attempt replaces, never a private key without its public one. 0 or -1 (errno). */
static int key_write_public(const char *path, const uint8_t *text, size_t length)
{
    char *fresh = memory_format("%s.new", path);
    int status = -1;

    unlink(fresh);
    if (private_file_make(fresh, text, length) == 0)
        status = rename(fresh, path);
    int saved = errno;
    if (status == -1)
        unlink(fresh);
    free(fresh);
    errno = saved;
    return status;
}

/* Both as PEM, into the files. 0 or -1 (errno), and which of them it was. */
static int key_write(EVP_PKEY *pair, const char *path, const char *public_path, const char **failed)
{
    BIO *private_bio = BIO_new(BIO_s_secmem()), *public_bio = BIO_new(BIO_s_mem());
    uint8_t *private_text, *public_text;

    if (private_bio == NULL || public_bio == NULL ||
        PEM_write_bio_PKCS8PrivateKey(private_bio, pair, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_PUBKEY(public_bio, pair) != 1)
        memory_exhausted();
    long private_length = BIO_get_mem_data(private_bio, &private_text);
    long public_length = BIO_get_mem_data(public_bio, &public_text);
    *failed = public_path;
    int status = key_write_public(public_path, public_text, (size_t)public_length);
    if (status == 0) {
        *failed = path;
        status = private_file_make(path, private_text, (size_t)private_length);
    }
    int saved = errno;
    BIO_free(private_bio); /* wipes it */
    BIO_free(public_bio);
    errno = saved;
    return status;
}

struct checkpoint_key *checkpoint_key_make(
    const char *path, const char *public_path, char *error, size_t error_size)
{
    struct checkpoint_key *key = key_wrap(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    const char *failed;

    if (key == NULL)
        memory_exhausted();
    if (access(path, F_OK) == 0) /* its public key stays, too */
        errno = EEXIST;
    else if (key_write(key->pair, path, public_path, &failed) == 0)
        goto out;
    else
        path = failed;
    snprintf(error, error_size, "%s: %s", path, strerror(errno));
    checkpoint_key_free(key);
    key = NULL;
out:
    secret_wipe_stack();
    return key;
}

int checkpoint_key_write(const struct checkpoint_key *key, const char *path, const char *public_path,
    char *error, size_t error_size)
{
    const char *failed;
    int status = key_write(key->pair, path, public_path, &failed);

    if (status == -1)
        snprintf(error, error_size, "%s: %s", failed, strerror(errno));
    secret_wipe_stack();
    return status;
}

/* ---- the public key ---- */

struct checkpoint_public *checkpoint_public_read(const char *path, char *error, size_t error_size)
{
    struct checkpoint_public *public = memory_calloc(1, sizeof(*public));
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        goto failed;
    }
    public->key = PEM_read_PUBKEY(file, NULL, no_password, NULL);
    fclose(file);
    if (public->key != NULL && key_identify(public->key, public->id))
        return public;
    ERR_clear_error();
    snprintf(error, error_size, "%s: it is no Ed25519 public key (PEM)", path);
failed:
    checkpoint_public_free(public);
    return NULL;
}

void checkpoint_public_free(struct checkpoint_public *public)
{
    if (public == NULL)
        return;
    EVP_PKEY_free(public->key);
    free(public);
}

const char *checkpoint_public_id(const struct checkpoint_public *public)
{
    return public->id;
}

char *checkpoint_public_path(const char *path)
{
    size_t length = strlen(path);

    if (length > 4 && (strcmp(path + length - 4, ".key") == 0 || strcmp(path + length - 4, ".pem") == 0))
        length -= 4;
    return memory_format("%.*s.pub", (int)length, path);
}
