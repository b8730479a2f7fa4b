/* SPDX-License-Identifier: Apache-2.0 */
/* The file of the verification key, chain.key: one line of text, "mqward-chain-key-1 <64 hex>". Whoever has
 * it can check every line of the chain, and forge every line: it belongs where the trail is verified, not
 * where it is written. */
#ifndef MQWARD_EXPORTERS_CHAIN_KEY_H
#define MQWARD_EXPORTERS_CHAIN_KEY_H

#include "exporters/chain.h"

#define CHAIN_KEY_NAME "chain.key"

/* 32 random bytes. 0 or -1 (errno). */
int chain_key_draw(uint8_t key[CHAIN_KEY_SIZE]);
/* Reads it, if the file is nobody else's to read (base/private_file.h). 0, or -1 and a sentence in error that
 * names the path; *missing (may be NULL) tells whether there is no such file. */
int chain_key_read(
    const char *path, uint8_t key[CHAIN_KEY_SIZE], bool *missing, char *error, size_t error_size);
/* Writes it, mode 0600, on the disk when it returns; an existing file is not touched (errno EEXIST). 0, or -1
 * and a sentence in error. */
int chain_key_write(const char *path, const uint8_t key[CHAIN_KEY_SIZE], char *error, size_t error_size);

#endif
