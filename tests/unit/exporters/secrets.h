/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials for tests: of a password, of certificates. What is no good fails the test. */
#ifndef MQWARD_TESTS_EXPORTERS_SECRETS_H
#define MQWARD_TESTS_EXPORTERS_SECRETS_H

#include "exporters/credentials.h"

/* <directory>/<name>, mode 0600; path (borrowed) has room for it. */
void secrets_write(char path[256], const char *directory, const char *name, const char *text);
/* The password is written to <directory>/password first. The caller's. */
struct credentials *secrets_password(const char *directory, const char *password);
/* Paths of PEM files, NULL: none. The caller's. */
struct credentials *secrets_tls(const char *authority, const char *certificate, const char *key);

#endif
