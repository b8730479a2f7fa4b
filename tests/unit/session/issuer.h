/* SPDX-License-Identifier: Apache-2.0 */
/* The issuer of a scenario's tokens. Its keys are shared secrets that are the same in each run: "k1" to
 * "k3". */
#ifndef MQWARD_TESTS_UNIT_SESSION_ISSUER_H
#define MQWARD_TESTS_UNIT_SESSION_ISSUER_H

#include "policy/jwks.h"

/* A token from words: "key=k1 iss=i aud=mqtt sub=eva exp=4102444800 roles=a,b". Words that are left out have
 * these values, but for roles, which are then none; "aud=" leaves the claim out. The caller frees it; NULL: a
 * word is none of these. */
char *issuer_token(const char *words);
/* The set with the key of that name alone. Lives as long as the process; NULL: there is no such key. */
const struct jwks *issuer_keys(const char *name);

#endif
