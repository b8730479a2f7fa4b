/* SPDX-License-Identifier: Apache-2.0 */
/* What a server of the exporters' must prove, and what proves mqward to it: certificates and a password, read
 * from files, and read again when the operator asks for it. Connections that are there stay; the next one has
 * what was read last. */
#ifndef MQWARD_EXPORTERS_CREDENTIALS_H
#define MQWARD_EXPORTERS_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exporters/client_tls.h"

#define CREDENTIALS_PASSWORD_MAX 1024 /* bytes of the password file */

/* Borrowed: they outlive the credentials. */
struct credentials_files {
    bool tls;
    struct client_tls tls_files;
    const char
        *password_file; /* its first line, of a file as private_file_read_from_root() has it; NULL: none */
};

struct credentials;

/* Reads all of it. NULL and a sentence (with the path) in error if something is no good. */
struct credentials *credentials_new(const struct credentials_files *files, char *error, size_t error_size);
void credentials_free(struct credentials *credentials); /* wipes them; NULL is fine */

/* Reads all of it again. Nothing of it is used before credentials_commit(). False and a sentence: what was
 * read before stays, and there is nothing to commit. */
bool credentials_read(struct credentials *credentials, char *error, size_t error_size);
/* What was read is in force, or is thrown away. Neither does anything if there is nothing,
 * or credentials is NULL. */
void credentials_commit(struct credentials *credentials);
void credentials_discard(struct credentials *credentials);

/* Any thread. Another number after each credentials_commit() that put something in force. 0 for NULL. */
uint64_t credentials_generation(struct credentials *credentials);
/* Any thread. A reference that the caller gives back with SSL_CTX_free(). NULL: without TLS. credentials NULL
 * is fine. */
SSL_CTX *credentials_context(struct credentials *credentials);
/* Any thread. A copy that the caller gives back with credentials_give_password(). NULL: there is none.
 * credentials NULL is fine. */
char *credentials_take_password(struct credentials *credentials);
void credentials_give_password(char *password); /* wipes it; NULL is fine */

#endif
