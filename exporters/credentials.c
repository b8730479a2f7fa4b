/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what was read of the files that a server of the exporters' is reached with. Made by whoever reads the
 * configuration, asked by outlet.c, redis_client.c and kafka_settings.c for each connection. */
#include "exporters/credentials.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/private_file.h"
#include "base/secret.h"

#define CREDENTIALS_MAGIC 0x63726564U

struct credentials_read {
    SSL_CTX *context; /* NULL: without TLS */
    char *password;   /* pages of their own; NULL: none */
};

struct credentials {
    uint32_t magic;
    struct credentials_files files;
    pthread_mutex_t lock; /* of what is in force */
    uint64_t generation;  /* of it */
    struct credentials_read present, next;
    bool has_next;
};

/* ---- reading ---- */

static void read_release(struct credentials_read *read)
{
    SSL_CTX_free(read->context);
    secret_unmap(read->password, CREDENTIALS_PASSWORD_MAX + 1, CREDENTIALS_PASSWORD_MAX + 1);
    *read = (struct credentials_read){NULL, NULL};
}

/* What is wrong with the first line, or NULL. It is ended there. */
static const char *end_first_line(char *text, size_t length)
{
    size_t line = 0;

    while (line < length && text[line] != '\n' && text[line] != '\r')
        line++;
    if (memchr(text, '\0', line) != NULL)
        return "its first line has a zero byte";
    text[line] = '\0';
    if (line == 0)
        return "its first line is empty";
    secret_wipe(text + line, length - line);
    return NULL;
}

static bool read_password(const char *path, char **password, char *error, size_t error_size)
{
    char *text = secret_map(CREDENTIALS_PASSWORD_MAX + 1);
    struct private_file_error why;
    ssize_t length = private_file_read_from_root(path, text, CREDENTIALS_PASSWORD_MAX, &why);
    const char *wrong = length == -1 ? why.message : end_first_line(text, (size_t)length);

    if (wrong == NULL) {
        *password = text;
        return true;
    }
    bool hint = length == -1 && why.hint != NULL;
    snprintf(error, error_size, "can't use the password file %s: %s%s%s%s", path, wrong, hint ? " (" : "",
        hint ? why.hint : "", hint ? ")" : "");
    secret_unmap(text, CREDENTIALS_PASSWORD_MAX + 1, CREDENTIALS_PASSWORD_MAX + 1);
    return false;
}

static bool read_files(
    const struct credentials_files *files, struct credentials_read *read, char *error, size_t error_size)
{
    *read = (struct credentials_read){NULL, NULL};
    if (files->tls && (read->context = client_tls_context(&files->tls_files, error, error_size)) == NULL)
        return false;
    if (files->password_file == NULL ||
        read_password(files->password_file, &read->password, error, error_size))
        return true;
    read_release(read);
    return false;
}

bool credentials_read(struct credentials *credentials, char *error, size_t error_size)
{
    assert(credentials->magic == CREDENTIALS_MAGIC);
    credentials_discard(credentials);
    credentials->has_next = read_files(&credentials->files, &credentials->next, error, error_size);
    return credentials->has_next;
}

void credentials_commit(struct credentials *credentials)
{
    struct credentials_read before;

    if (credentials == NULL || !credentials->has_next)
        return;
    pthread_mutex_lock(&credentials->lock);
    before = credentials->present;
    credentials->present = credentials->next;
    credentials->generation++;
    pthread_mutex_unlock(&credentials->lock);
    credentials->next = (struct credentials_read){NULL, NULL};
    credentials->has_next = false;
    read_release(&before);
}

void credentials_discard(struct credentials *credentials)
{
    if (credentials == NULL)
        return;
    read_release(&credentials->next);
    credentials->has_next = false;
}

/* ---- asked ---- */

uint64_t credentials_generation(struct credentials *credentials)
{
    uint64_t generation;

    if (credentials == NULL)
        return 0;
    assert(credentials->magic == CREDENTIALS_MAGIC);
    pthread_mutex_lock(&credentials->lock);
    generation = credentials->generation;
    pthread_mutex_unlock(&credentials->lock);
    return generation;
}

SSL_CTX *credentials_context(struct credentials *credentials)
{
    SSL_CTX *context;

    if (credentials == NULL)
        return NULL;
    assert(credentials->magic == CREDENTIALS_MAGIC);
    pthread_mutex_lock(&credentials->lock);
    context = credentials->present.context;
    if (context != NULL)
        SSL_CTX_up_ref(context);
    pthread_mutex_unlock(&credentials->lock);
    return context;
}

char *credentials_take_password(struct credentials *credentials)
{
    char *copy = NULL;

    if (credentials == NULL)
        return NULL;
    assert(credentials->magic == CREDENTIALS_MAGIC);
    pthread_mutex_lock(&credentials->lock);
    if (credentials->present.password != NULL)
        copy = memory_copy_string(view_of_string(credentials->present.password));
    pthread_mutex_unlock(&credentials->lock);
    return copy;
}

void credentials_give_password(char *password)
{
    if (password != NULL)
        secret_wipe(password, strlen(password));
    free(password);
}

/* ---- life ---- */

struct credentials *credentials_new(const struct credentials_files *files, char *error, size_t error_size)
{
    struct credentials_read read;
    struct credentials *credentials;

    if (!read_files(files, &read, error, error_size))
        return NULL;
    credentials = memory_calloc(1, sizeof(*credentials));
    credentials->magic = CREDENTIALS_MAGIC;
    credentials->files = *files;
    credentials->present = read;
    credentials->generation = 1;
    pthread_mutex_init(&credentials->lock, NULL);
    return credentials;
}

void credentials_free(struct credentials *credentials)
{
    if (credentials == NULL)
        return;
    assert(credentials->magic == CREDENTIALS_MAGIC);
    read_release(&credentials->present);
    read_release(&credentials->next);
    pthread_mutex_destroy(&credentials->lock);
    credentials->magic = 0;
    free(credentials);
}
