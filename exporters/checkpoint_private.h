/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of checkpoints: between checkpoint.c, which uses them, and checkpoint_key.c, which has them from
 * files. */
#ifndef MQWARD_EXPORTERS_CHECKPOINT_PRIVATE_H
#define MQWARD_EXPORTERS_CHECKPOINT_PRIVATE_H

#include <openssl/types.h>

#include "exporters/checkpoint.h"

struct checkpoint_key {
    EVP_PKEY *pair;
    char id[CHECKPOINT_ID_SIZE];
};

struct checkpoint_public {
    EVP_PKEY *key;
    char id[CHECKPOINT_ID_SIZE];
};

#endif
