/* SPDX-License-Identifier: Apache-2.0 */
/* What a list of cipher suites is worth, whoever makes the connection: asked of OpenSSL, not of its spelling.
 */
#ifndef MQWARD_EXPORTERS_TLS_SUITES_H
#define MQWARD_EXPORTERS_TLS_SUITES_H

#include <stdbool.h>
#include <stddef.h>

/* True if OpenSSL takes the list (ciphers(1)), every suite that a client with it would offer encrypts and has
 * the server prove its name with a certificate, and certificates must have keys and signatures of this
 * decade (security level 1 at least). Otherwise a sentence in error. */
bool tls_suites_are_sound(const char *list, char *error, size_t error_size);

#endif
